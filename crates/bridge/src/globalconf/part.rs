//! The configuration of one instance: verified against its source, parsed, with the bytes that were signed.

use civic::Timestamp;
use trust::globalconf::{
    ConfigurationSource, Directory, DirectoryPart, PrivateParams, SharedParams, TransparencyLogs, read_private,
    read_shared,
};

use super::ConfigurationError;

/// Older sources do not say their version in the directory; the specification's minimum is 2.
const VERSION_UNKNOWN: u32 = 2;

/// Whose configuration it is: the certificates and addresses of a source differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Realm {
    /// The own instance (`/internalconf`).
    Own,
    /// A federated one (`/externalconf`).
    Federated,
}

/// The configuration of one instance. It never changes.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) directory: Vec<u8>,
    pub(super) expires: Timestamp,
    pub(super) version: u32,
    pub(super) shared: Vec<u8>,
    pub(super) private: Option<Vec<u8>>,
    pub(super) params: SharedParams,
    pub(super) private_params: Option<PrivateParams>,
    pub(super) logs: LogsPart,
}

/// The transparency logs of an instance: an optional part that stops no exchange. One that cannot be used is refused by itself, and
/// the last good one stays.
#[derive(Clone, Debug, Default)]
pub(super) struct LogsPart {
    pub(super) file: Option<Vec<u8>>,
    pub(super) logs: Option<TransparencyLogs>,
    /// Why the newer one is not used.
    pub(super) refused: Option<String>,
}

impl LogsPart {
    /// Reads a file that was compared with its digest.
    pub(super) fn read(file: Vec<u8>, instance: &str) -> Result<Self, String> {
        let logs = TransparencyLogs::read(&file, instance).map_err(|error| error.to_string())?;
        Ok(Self { file: Some(file), logs: Some(logs), refused: None })
    }

    /// The last good one, where a newer one is refused.
    pub(super) fn stays(last: Option<&Self>, reason: String) -> Self {
        Self { refused: Some(reason), ..last.cloned().unwrap_or_default() }
    }
}

impl Realm {
    /// The certificates that may sign, as the shared parameters name them beside the anchor (version 3 and later).
    pub(super) fn certs(self, source: &ConfigurationSource) -> &[Vec<u8>] {
        match self {
            Self::Own => &source.internal_certs,
            Self::Federated => &source.external_certs,
        }
    }

    /// Where a source serves it.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Own => "/internalconf",
            Self::Federated => "/externalconf",
        }
    }
}

impl Part {
    /// Parses what was verified; both files must be of this instance.
    pub(super) fn new(
        instance: &str,
        directory: Vec<u8>,
        verified: &Directory,
        shared: Vec<u8>,
        private: Option<Vec<u8>>,
    ) -> Result<Self, ConfigurationError> {
        let refused = |error: String| ConfigurationError::Refused(error);
        let params = read_shared(&shared).map_err(|error| refused(error.to_string()))?;
        let private_params = private.as_deref().map(read_private).transpose();
        let private_params = private_params.map_err(|error| refused(error.to_string()))?;
        let found = [Some(&params.instance), private_params.as_ref().map(|private| &private.instance)];
        if let Some(other) = found.into_iter().flatten().find(|found| *found != instance) {
            return Err(refused(format!("it is of the instance {other}, not of {instance}")));
        }
        Ok(Self {
            directory,
            expires: verified.expires,
            version: verified.version.unwrap_or(VERSION_UNKNOWN),
            shared,
            private,
            params,
            private_params,
            logs: LogsPart::default(),
        })
    }

    pub(super) fn with_logs(self, logs: LogsPart) -> Self {
        Self { logs, ..self }
    }

    pub(super) fn instance(&self) -> &str {
        &self.params.instance
    }

    /// The file that this entry of a directory speaks of, where it is one of ours already.
    pub(super) fn file(&self, entry: &DirectoryPart) -> Option<Vec<u8>> {
        let files = [Some(&self.shared), self.private.as_ref(), self.logs.file.as_ref()];
        files.into_iter().flatten().find(|file| entry.check(file).is_ok()).cloned()
    }
}

/// Signature and expiry of a directory.
pub(super) fn verify(bytes: &[u8], certs: &[Vec<u8>], now: Timestamp) -> Result<Directory, ConfigurationError> {
    Directory::verify(bytes, certs, now).map_err(|error| ConfigurationError::Refused(error.to_string()))
}
