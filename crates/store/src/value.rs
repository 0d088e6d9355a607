use std::fmt;
use std::sync::Arc;

use crate::StoreError;

/// A value of a column, in the four kinds both engines share.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// Integers, booleans (0 and 1) and moments (microseconds UTC).
    Int(i64),
    /// Text in UTF-8, without the NUL character (PostgreSQL cannot hold it).
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl fmt::Debug for Value {
    /// Shows the kind and the size only: values may be personal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("Null"),
            Self::Int(_) => formatter.write_str("Int"),
            Self::Text(text) => write!(formatter, "Text({} bytes)", text.len()),
            Self::Bytes(bytes) => write!(formatter, "Bytes({})", bytes.len()),
        }
    }
}

/// The parameters of a statement: `params![id, name, &digest[..]]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { ::std::vec::Vec::<$crate::Value>::from([$($crate::Value::from($value)),*]) };
}

macro_rules! from {
    ($($kind:ty => |$value:ident| $made:expr),* $(,)?) => {
        $(impl From<$kind> for Value {
            fn from($value: $kind) -> Self {
                $made
            }
        })*
    };
}

from! {
    i64 => |value| Value::Int(value),
    i32 => |value| Value::Int(i64::from(value)),
    u32 => |value| Value::Int(i64::from(value)),
    u16 => |value| Value::Int(i64::from(value)),
    u8 => |value| Value::Int(i64::from(value)),
    bool => |value| Value::Int(i64::from(value)),
    &str => |value| Value::Text(value.to_owned()),
    String => |value| Value::Text(value),
    &String => |value| Value::Text(value.clone()),
    Vec<u8> => |value| Value::Bytes(value),
    &Vec<u8> => |value| Value::Bytes(value.clone()),
    &[u8] => |value| Value::Bytes(value.to_vec()),
    civic::Timestamp => |value| Value::Int(value.micros()),
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<T> From<Option<T>> for Value
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// A row of an answer; its columns are asked for by name.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn new(columns: Arc<[String]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    /// The value of a column. [`StoreError::Column`] where it is missing or of another kind.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, StoreError> {
        let position = self.columns.iter().position(|name| name == column);
        let Some(value) = position.and_then(|position| self.values.get(position)) else {
            return Err(StoreError::Column {
                column: column.to_owned(),
                reason: "the answer has no such column".into(),
            });
        };
        T::from_value(value).map_err(|reason| StoreError::Column { column: column.to_owned(), reason })
    }
}

/// What a column can be read as.
pub trait FromValue: Sized {
    /// Reads the value, or says why it cannot.
    fn from_value(value: &Value) -> Result<Self, String>;
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(number) => Ok(*number),
            other => Err(format!("expected an integer, found {other:?}")),
        }
    }
}

macro_rules! narrow {
    ($($kind:ty),*) => {
        $(impl FromValue for $kind {
            fn from_value(value: &Value) -> Result<Self, String> {
                let wide = i64::from_value(value)?;
                Self::try_from(wide).map_err(|_| format!("{wide} does not fit {}", stringify!($kind)))
            }
        })*
    };
}
narrow!(u8, u16, u32, u64, i32, usize);

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        match i64::from_value(value)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("expected 0 or 1, found {other}")),
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            other => Err(format!("expected text, found {other:?}")),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            other => Err(format!("expected bytes, found {other:?}")),
        }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bytes(bytes) => {
                bytes.as_slice().try_into().map_err(|_| format!("expected {N} bytes, found {}", bytes.len()))
            }
            other => Err(format!("expected {N} bytes, found {other:?}")),
        }
    }
}

impl FromValue for civic::Timestamp {
    fn from_value(value: &Value) -> Result<Self, String> {
        i64::from_value(value).map(Self::from_micros)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_never_shows_its_content() {
        let values = params!["Awa Ndiaye", 17_i64, &b"\x01\x02"[..], Option::<i64>::None];
        assert_eq!(format!("{values:?}"), "[Text(10 bytes), Int, Bytes(2), Null]");
    }

    #[test]
    fn a_column_of_another_kind_is_named() {
        let row = Row::new(Arc::from(["age".to_owned()]), params!["old"]);
        assert_eq!(
            row.get::<i64>("age").unwrap_err().to_string(),
            "column `age`: expected an integer, found Text(3 bytes)"
        );
        assert!(row.get::<String>("name").unwrap_err().to_string().contains("no such column"));
    }
}
