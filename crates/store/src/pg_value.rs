//! Our four kinds of value on PostgreSQL's wire.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::{ColumnKind, Value};

type Fault = Box<dyn Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match (self, kind) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Int(number), &Type::INT8) => out.put_i64(*number),
            (Self::Int(number), &Type::INT4) => out.put_i32(i32::try_from(*number)?),
            (Self::Int(number), &Type::INT2) => out.put_i16(i16::try_from(*number)?),
            (Self::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR | &Type::NAME | &Type::UNKNOWN) => {
                out.put_slice(text.as_bytes());
            }
            (Self::Bytes(bytes), &Type::BYTEA) => out.put_slice(bytes),
            (value, kind) => {
                return Err(format!("{value:?} where the statement takes {kind}: write CAST($n AS BIGINT)").into());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value as it came.
pub(crate) struct Decoded(pub(crate) Value);

impl<'r> FromSql<'r> for Decoded {
    fn from_sql(kind: &Type, raw: &'r [u8]) -> Result<Self, Fault> {
        Ok(Self(match *kind {
            Type::INT8 => Value::Int(i64::from_sql(kind, raw)?),
            Type::INT4 => Value::Int(i64::from(i32::from_sql(kind, raw)?)),
            Type::INT2 => Value::Int(i64::from(i16::from_sql(kind, raw)?)),
            Type::BOOL => Value::Int(i64::from(bool::from_sql(kind, raw)?)),
            Type::NUMERIC => Value::Int(whole_number(raw).ok_or("a fraction or a number beyond 64 bits")?),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            _ => Value::Text(String::from_sql(kind, raw)?),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Fault> {
        Ok(Self(Value::Null))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(
            *kind,
            Type::INT8
                | Type::INT4
                | Type::INT2
                | Type::BOOL
                | Type::NUMERIC
                | Type::BYTEA
                | Type::TEXT
                | Type::VARCHAR
                | Type::BPCHAR
                | Type::NAME
                | Type::UNKNOWN
        )
    }
}

/// One column of many rows as an array parameter. A value of another kind becomes NULL; the shape was checked before.
pub(crate) fn column_array<'r>(kind: ColumnKind, index: usize, rows: &'r [Vec<Value>]) -> Box<dyn ToSql + Sync + 'r> {
    let values = rows.iter().map(move |row| row.get(index));
    match kind {
        ColumnKind::Int => Box::new(
            values
                .map(|value| if let Some(Value::Int(number)) = value { Some(*number) } else { None })
                .collect::<Vec<_>>(),
        ),
        ColumnKind::Text => Box::new(
            values
                .map(|value| if let Some(Value::Text(text)) = value { Some(text.as_str()) } else { None })
                .collect::<Vec<_>>(),
        ),
        ColumnKind::Bytes => Box::new(
            values
                .map(|value| if let Some(Value::Bytes(bytes)) = value { Some(bytes.as_slice()) } else { None })
                .collect::<Vec<_>>(),
        ),
    }
}

/// A NUMERIC without a fraction, as `sum` and `count` of the server give it: 16-bit count of digits, weight, sign,
/// scale, then the digits to the base 10,000.
fn whole_number(raw: &[u8]) -> Option<i64> {
    let words: Vec<u16> = raw.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    let (&[count, weight, sign, _scale], digits) = words.split_first_chunk::<4>()?;
    let weight = i32::from(weight.cast_signed());
    if digits.len() != usize::from(count) || !matches!(sign, 0 | 0x4000) || weight > 5 {
        return None;
    }
    let mut number: i128 = 0;
    for place in 0..=weight {
        let digit = usize::try_from(place).ok().and_then(|place| digits.get(place)).copied().unwrap_or(0);
        number = number * 10_000 + i128::from(digit);
    }
    let fraction = digits.iter().skip(usize::try_from(weight + 1).unwrap_or(0));
    if fraction.into_iter().any(|digit| *digit != 0) {
        return None;
    }
    i64::try_from(if sign == 0 { number } else { -number }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_sum_is_read_as_an_integer() {
        assert_eq!(whole_number(&numeric(&[0, 0, 0, 0])), Some(0));
        assert_eq!(whole_number(&numeric(&[2, 1, 0, 0, 12, 3456])), Some(123_456));
        assert_eq!(whole_number(&numeric(&[1, 2, 0x4000, 0, 7])), Some(-700_000_000));
    }

    #[test]
    fn a_fraction_is_refused() {
        assert_eq!(whole_number(&numeric(&[1, 0xFFFF, 0, 2, 5_000])), None);
        assert_eq!(whole_number(&numeric(&[2, 0, 0, 1, 1, 5_000])), None);
    }
}
