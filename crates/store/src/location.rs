use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::StoreError;

/// Where the data of one organisation live. As text: `sqlite:PATH` or `postgres://USER@HOST/DATABASE[?schema=NAME]`.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A file beside its write-ahead log; the folder is created.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres {
        /// The connection text (URL or key=value form) as libpq reads it.
        url: String,
        /// The schema that holds our tables; created where it is missing. `None`: the default of the database.
        schema: Option<String>,
    },
}

impl FromStr for Location {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let refuse = || StoreError::Location { text: without_password(text).chars().take(120).collect() };
        if let Some(path) = text.strip_prefix("sqlite:") {
            return if path.is_empty() { Err(refuse()) } else { Ok(Self::Sqlite(PathBuf::from(path))) };
        }
        if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
            return Err(refuse());
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (ours, theirs): (Vec<&str>, Vec<&str>) =
            query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| pair.starts_with("schema="));
        let schema = ours.first().and_then(|pair| pair.strip_prefix("schema=")).map(str::to_owned);
        if schema.as_deref().is_some_and(|name| !is_plain_name(name)) {
            return Err(refuse());
        }
        let url = if theirs.is_empty() { base.to_owned() } else { format!("{base}?{}", theirs.join("&")) };
        Ok(Self::Postgres { url, schema })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Self::Postgres { url, schema: None } => formatter.write_str(&without_password(url)),
            Self::Postgres { url, schema: Some(schema) } => {
                let mark = if url.contains('?') { '&' } else { '?' };
                write!(formatter, "{}{mark}schema={schema}", without_password(url))
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Whether the name needs no quoting in SQL on either engine: `[a-z_][a-z0-9_]*`, at most 63 characters.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut characters = name.chars();
    let first = characters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_');
    first
        && name.len() <= 63
        && characters.all(|other| other.is_ascii_lowercase() || other.is_ascii_digit() || other == '_')
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.split_whitespace().filter(|pair| !pair.starts_with("password=")).collect::<Vec<_>>().join(" ");
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}@{host}{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_from_its_text() {
        assert_eq!("sqlite:/data/x.db".parse(), Ok(Location::Sqlite("/data/x.db".into())));
        assert_eq!(
            "postgres://u:p@h/db?sslmode=disable&schema=fisc".parse(),
            Ok(Location::Postgres { url: "postgres://u:p@h/db?sslmode=disable".into(), schema: Some("fisc".into()) })
        );
    }

    #[test]
    fn a_schema_that_would_need_quotes_is_refused() {
        assert!("postgres://h/db?schema=a;drop".parse::<Location>().is_err());
        assert!("mysql://h/db".parse::<Location>().is_err());
        assert!("sqlite:".parse::<Location>().is_err());
    }

    #[test]
    fn a_password_is_never_shown() {
        let location: Location = "postgres://u:secret@h/db".parse().unwrap();
        assert_eq!(format!("{location} {location:?}"), "postgres://u@h/db postgres://u@h/db");
    }
}
