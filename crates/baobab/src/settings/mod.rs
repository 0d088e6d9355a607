//! Configuration files: TOML, unknown keys refused, every key documented where it is declared.
//!
//! A relative path in a file is relative to the folder of that file, wherever the program was started.

mod authority;
mod ledger;
mod legacy;
mod metrics;
mod node;
mod notary;
mod reference;
mod token;
mod witness;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::Location;
use trust::cert::Certificate;

pub(crate) use authority::AuthoritySettings;
pub(crate) use ledger::KeptLogSettings;
pub use metrics::metrics_markdown;
pub(crate) use node::NodeSettings;
pub(crate) use notary::{BookSettings, NotaryPlan, NotarySettings};
pub use reference::{Document, Key, Section, reference, reference_markdown};
pub(crate) use witness::WitnessPlan;

/// Declares the keys of a part of a configuration file: each with its documentation and its default.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $( $(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:expr; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $( $(#[doc = $doc])+ pub(crate) $key: $kind, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        impl $crate::settings::Documented for $name {
            const ABOUT: &'static [&'static str] = &[$($about),+];
            const KEYS: &'static [(&'static str, &'static [&'static str])] =
                &[$( (stringify!($key), &[$($doc),+]) ),+];
        }
    };
}
pub(crate) use settings;

/// The documentation of a part of a configuration file, as its declaration says it.
pub(crate) trait Documented: Default + Serialize {
    /// What the part is.
    const ABOUT: &'static [&'static str];
    /// The keys with what they mean.
    const KEYS: &'static [(&'static str, &'static [&'static str])];
}

/// The configuration is refused; the text says which key of which file, and what to write.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// A configuration file that was read.
#[derive(Clone, Debug)]
pub(crate) struct Loaded<T> {
    /// What it says.
    pub(crate) settings: T,
    /// Where it is.
    pub(crate) path: PathBuf,
}

settings! {
    /// Log lines go to stderr. Options of the command line and their environment variables win over this table.
    LogSettings {
        /// Which lines are written: a level (`error`, `warn`, `info`, `debug`) or a list such as `bridge=debug,warn`.
        filter: String = "info".to_owned();
        /// `human` for people at a terminal, `json` for collectors.
        format: LogForm = LogForm::Human;
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogForm {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl<T: DeserializeOwned> Loaded<T> {
    /// Reads a file; what is wrong is told with its line.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Refused(format!(
                "{} cannot be read ({error}). Name the file with --config, or make one with `init`",
                path.display()
            ))
        })?;
        let settings =
            toml::from_str(&text).map_err(|error| Refused(format!("{} is refused: {error}", path.display())))?;
        let path = path.canonicalize().with_context(|| format!("{} cannot be found", path.display()))?;
        Ok(Self { settings, path })
    }
}

impl<T> Loaded<T> {
    /// A path of the file, made absolute.
    pub(crate) fn path_of(&self, relative: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).join(relative)
    }

    /// A storage location of the file; the path of SQLite made absolute.
    pub(crate) fn location(&self, text: &str) -> anyhow::Result<Location> {
        let location: Location = text.parse().map_err(|error| self.refused("store", &error))?;
        Ok(match location {
            Location::Sqlite(path) => Location::Sqlite(self.path_of(&path)),
            other @ Location::Postgres { .. } => other,
        })
    }

    /// The certificate in a PEM file that a key names.
    pub(crate) fn certificate(&self, key: &str, file: &Path) -> anyhow::Result<Certificate> {
        let path = self.path_of(file);
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        let certificate = text.and_then(|text| Certificate::from_pem(&text).map_err(|error| error.to_string()));
        Ok(certificate.map_err(|error| self.refused(key, &format!("{}: {error}", path.display())))?)
    }

    /// A key whose value is refused.
    pub(crate) fn refused(&self, key: &str, reason: &dyn fmt::Display) -> Refused {
        Refused(format!("{}: the key `{key}` is refused: {reason}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, "server = \"BB/GOV/1002/node-1\"\nstoer = \"sqlite:x\"\n").unwrap();
        let error = Loaded::<NodeSettings>::read(&path).unwrap_err();
        assert!(error.downcast_ref::<Refused>().is_some());
        let text = error.to_string();
        assert!(text.contains("line 2") && text.contains("stoer"), "{text}");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, "store = \"sqlite:data/x.db\"").unwrap();
        let loaded = Loaded::<NodeSettings>::read(&path).unwrap();
        let expected = folder.path().canonicalize().unwrap().join("data/x.db");
        assert_eq!(loaded.location(&loaded.settings.store).unwrap(), Location::Sqlite(expected));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let text = toml::to_string(&NodeSettings::default()).unwrap();
        assert_eq!(toml::from_str::<NodeSettings>(&text).unwrap(), NodeSettings::default());
        let text = toml::to_string(&AuthoritySettings::default()).unwrap();
        assert_eq!(toml::from_str::<AuthoritySettings>(&text).unwrap(), AuthoritySettings::default());
    }
}
