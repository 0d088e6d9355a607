//! The transparency logs of a federation, with the witnesses and the quorum that their checkpoints need: an optional part of the
//! configuration, ours. X-Road's nodes fetch and keep a part whose identifier they do not know, and do nothing with it.
//!
//! ```json
//! {"instance": "BB", "logs": [{"origin": "log.example/state", "url": "http://…", "vkey": "log.example/state+…", "policy": "log …"}]}
//! ```
//!
//! Whoever signs the configuration decides whose witnesses count. A log's keeper cannot, and a witness cannot.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::note::policy::Policy;
use crate::note::{NoteAlgorithm, NoteError, VerifierKey};

/// The content identifier of this part in a directory.
pub const TRANSPARENCY_LOGS: &str = "TRANSPARENCY-LOGS";
/// A federation has at most so many logs.
pub const LOGS_MAX: usize = 64;
/// The part is at most so long, in bytes.
pub const LOGS_BYTES_MAX: usize = 1 << 20;

const URL_BYTES_MAX: usize = 512;

/// Why a list of logs is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogsError {
    /// Longer than one MiB.
    #[error("the list of logs is longer than {LOGS_BYTES_MAX} bytes")]
    TooLong,
    /// Not the JSON that it should be.
    #[error("the list of logs is not readable: {0}")]
    Json(String),
    /// More than 64 logs.
    #[error("there are more than {LOGS_MAX} logs")]
    TooMany,
    /// The list is of another federation.
    #[error("the list of logs is of the instance {found}, not of {expected}")]
    Instance {
        /// The instance that was asked for.
        expected: String,
        /// The one that it names.
        found: String,
    },
    /// Two entries have one origin.
    #[error("the log {0} stands there twice")]
    Twice(String),
    /// The policy of a log cannot be read.
    #[error("the policy of the log {origin} is refused: {reason}")]
    Policy {
        /// The log.
        origin: String,
        /// What is wrong.
        reason: NoteError,
    },
    /// An entry contradicts itself.
    #[error("the entry of the log {origin} is refused: {reason}")]
    Entry {
        /// The log.
        origin: String,
        /// What does not hold.
        reason: &'static str,
    },
}

/// The logs of one federation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransparencyLogs {
    /// The instance that they belong to.
    pub instance: String,
    /// The logs, each origin once.
    pub logs: Vec<FederationLog>,
}

/// A log that a federation relies on. It was checked: the policy is readable and speaks of this log alone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Entry", into = "Entry")]
pub struct FederationLog {
    key: VerifierKey,
    url: String,
    policy: Policy,
}

/// A log as it stands in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    origin: String,
    url: String,
    vkey: String,
    policy: String,
}

impl TransparencyLogs {
    /// Reads the part of this instance.
    pub fn read(bytes: &[u8], instance: &str) -> Result<Self, LogsError> {
        if bytes.len() > LOGS_BYTES_MAX {
            return Err(LogsError::TooLong);
        }
        let read: Self = serde_json::from_slice(bytes).map_err(|error| LogsError::Json(error.to_string()))?;
        if read.instance != instance {
            let (expected, found) = (instance.to_owned(), read.instance.chars().take(64).collect());
            return Err(LogsError::Instance { expected, found });
        }
        read.check()?;
        Ok(read)
    }

    /// Writes the part.
    pub fn write(&self) -> Result<Vec<u8>, LogsError> {
        self.check()?;
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| LogsError::Json(error.to_string()))?;
        if bytes.len() > LOGS_BYTES_MAX { Err(LogsError::TooLong) } else { Ok(bytes) }
    }

    fn check(&self) -> Result<(), LogsError> {
        if self.logs.len() > LOGS_MAX {
            return Err(LogsError::TooMany);
        }
        let mut origins: Vec<&str> = self.logs.iter().map(FederationLog::origin).collect();
        origins.sort_unstable();
        let twice = origins.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(*one),
            _ => None,
        });
        twice.map_or(Ok(()), |origin| Err(LogsError::Twice(origin.to_owned())))
    }
}

impl FederationLog {
    /// The logs of a policy file (C2SP tlog-policy), each with the witnesses and the quorum of the file. Every log has an address.
    pub fn of_policy(policy: &Policy) -> Result<Vec<Self>, LogsError> {
        let logs = policy.by_log().into_iter().map(|(log, policy)| {
            let origin = log.key.name().to_owned();
            let key = policy.logs().iter().map(|log| &log.key).find(|key| key.algorithm() == NoteAlgorithm::Ed25519);
            let key = key.cloned().ok_or(LogsError::Entry { origin: origin.clone(), reason: NO_KEY })?;
            let reason = "its log line has no address: write it behind the key";
            let url = policy.logs().iter().find_map(|log| log.url.clone());
            Self::new(key, url.ok_or(LogsError::Entry { origin, reason })?, policy)
        });
        logs.collect()
    }

    /// A log with its Ed25519 key, the prefix under which its tiles are served, and its policy.
    pub fn new(key: VerifierKey, url: String, policy: Policy) -> Result<Self, LogsError> {
        let refused = |reason| LogsError::Entry { origin: key.name().to_owned(), reason };
        if key.algorithm() != NoteAlgorithm::Ed25519 || !policy.logs().iter().any(|log| log.key.same_key(&key)) {
            return Err(refused(NO_KEY));
        }
        if policy.logs().iter().any(|log| log.key.name() != key.name()) {
            return Err(refused("its policy speaks of another log too"));
        }
        // What is read there is signed: readers of logs speak plain HTTP.
        let host = url.strip_prefix("http://").is_some_and(|rest| !rest.starts_with('/') && !rest.is_empty());
        if !host || url.len() > URL_BYTES_MAX || url.chars().any(|one| one.is_control() || one.is_whitespace()) {
            return Err(refused("its address must be http://HOST[:PORT][/PATH] with at most 512 bytes"));
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), key, policy })
    }

    /// The name of the log, the first line of its checkpoints.
    pub fn origin(&self) -> &str {
        self.key.name()
    }

    /// The prefix under which it is served (C2SP tlog-tiles).
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its Ed25519 key.
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// What its checkpoints need to count.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }
}

const NO_KEY: &str = "its Ed25519 key is not one of its policy";

impl TryFrom<Entry> for FederationLog {
    type Error = LogsError;

    fn try_from(entry: Entry) -> Result<Self, LogsError> {
        let origin: String = entry.origin.chars().take(255).collect();
        let refused = |reason| LogsError::Policy { origin: origin.clone(), reason };
        let key: VerifierKey = entry.vkey.parse().map_err(refused)?;
        let policy = Policy::parse(&entry.policy).map_err(refused)?;
        if key.name() != entry.origin {
            return Err(LogsError::Entry { origin, reason: "its key has another name" });
        }
        Self::new(key, entry.url, policy)
    }
}

impl From<FederationLog> for Entry {
    fn from(log: FederationLog) -> Self {
        Self {
            origin: log.origin().to_owned(),
            vkey: log.key.to_string(),
            policy: log.policy.to_string(),
            url: log.url,
        }
    }
}

impl PartialEq for FederationLog {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
            && self.key.to_string() == other.key.to_string()
            && self.policy.to_string() == other.policy.to_string()
    }
}

impl Eq for FederationLog {}

impl fmt::Debug for FederationLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FederationLog({} at {})", self.origin(), self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::note::{Cosigner, NoteSigner};

    fn key(name: &str) -> VerifierKey {
        NoteSigner::new(name, SigningKey::generate_ed25519().unwrap()).unwrap().verifier()
    }

    fn policy(logs: &[(&VerifierKey, &str)]) -> Policy {
        let witness = Cosigner::ed25519("bank.example/witness", SigningKey::generate_ed25519().unwrap()).unwrap();
        let logs: Vec<String> = logs.iter().map(|(key, url)| format!("log {key} {url}\n")).collect();
        let text = format!("{}witness bank {} http://bank.example\nquorum bank\n", logs.concat(), witness.verifier());
        Policy::parse(&text).unwrap()
    }

    #[test]
    fn a_policy_file_becomes_one_entry_a_log_and_is_read_as_it_was_written() {
        let (state, bank) = (key("log.example/state"), key("log.example/bank"));
        let policy = policy(&[(&state, "http://a.example/"), (&bank, "http://b.example")]);
        let logs = TransparencyLogs { instance: "BB".to_owned(), logs: FederationLog::of_policy(&policy).unwrap() };
        let origins: Vec<&str> = logs.logs.iter().map(FederationLog::origin).collect();
        assert_eq!(origins, ["log.example/state", "log.example/bank"]);
        assert_eq!(logs.logs[0].url(), "http://a.example");
        assert!(logs.logs.iter().all(|log| log.policy().logs().len() == 1 && log.policy().wants_witnesses()));
        assert_eq!(TransparencyLogs::read(&logs.write().unwrap(), "BB").unwrap(), logs);
    }

    #[test]
    fn a_list_that_is_poisoned_is_refused_with_what_is_wrong() {
        let state = key("log.example/state");
        let log = FederationLog::of_policy(&policy(&[(&state, "http://a.example")])).unwrap().remove(0);
        let good = TransparencyLogs { instance: "BB".to_owned(), logs: vec![log.clone()] };
        let text = String::from_utf8(good.write().unwrap()).unwrap();
        for (poisoned, reason) in [
            (text.replace("\"BB\"", "\"ZZ\""), "instance ZZ"),
            (text.replace("\"origin\": \"log.example/state\"", "\"origin\": \"log.example/other\""), "another name"),
            (text.replace("quorum bank", "quorum nobody"), "not defined above"),
            (text.replace("http://a.example\",", "ftp://a.example\","), "http://"),
            (text.replace("\"logs\"", "\"blogs\""), "unknown field"),
            (text[..text.len() / 2].to_owned(), "not readable"),
        ] {
            let error = TransparencyLogs::read(poisoned.as_bytes(), "BB").unwrap_err();
            assert!(error.to_string().contains(reason), "{reason}: {error}");
        }
        let twice = TransparencyLogs { logs: vec![log.clone(), log], ..good };
        assert!(matches!(twice.write(), Err(LogsError::Twice(_))));
        assert_eq!(TransparencyLogs::read(&vec![b' '; LOGS_BYTES_MAX + 1], "BB"), Err(LogsError::TooLong));
    }

    #[test]
    fn the_key_of_an_entry_is_one_of_its_policy() {
        let (state, other) = (key("log.example/state"), key("log.example/state"));
        let only = policy(&[(&state, "http://a.example")]);
        assert!(FederationLog::new(other, "http://a.example".to_owned(), only).is_err());
        let bare = Policy::parse(&format!("log {state}\nquorum none\n")).unwrap();
        assert!(FederationLog::of_policy(&bare).unwrap_err().to_string().contains("no address"));
    }
}
