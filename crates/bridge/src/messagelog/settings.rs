//! What an operator decides about the message log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use civic::ClientId;
use trust::age::Recipient;
use trust::digest::DigestAlgorithm;

pub use crate::registry::LogMode;

/// Attachments of one message that are kept whole have at most this many bytes together, whatever
/// [`crate::config::NodeLimits::logged_body_bytes_max`] says: an evidence file must stay within what verifiers read.
pub const KEPT_BYTES_MAX: u64 = 48 << 20;

/// The settings of the message log.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// What is kept at most of the exchanges of any subsystem; one for which less is set has less.
    pub mode: LogMode,
    /// By what signatures are digested for their time stamps (X-Road: `hash-algo-id`), and messages for nodes that take it: SHA-256, or
    /// SHA-512 as X-Road by default (docs/decisions/0029).
    pub hash: DigestAlgorithm,
    /// What happens while no time stamp can be had.
    pub stamping: StampingPolicy,
    /// Archives and retention.
    pub archives: ArchiveSettings,
    /// The name of this replica, where several processes of the node share a store: all different. One that keeps its name over a
    /// restart takes its jobs up again at once; without a name it gets one by chance, and an embedded store has one process only.
    pub replica: Option<[u8; 16]>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            mode: LogMode::default(),
            hash: DigestAlgorithm::Sha256,
            stamping: StampingPolicy::default(),
            archives: ArchiveSettings::default(),
            replica: None,
        }
    }
}

/// What happens while no time-stamping authority answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StampingPolicy {
    /// Records wait for their stamp, exchanges go on.
    #[default]
    KeepGoing,
    /// Exchanges are refused once a record has waited so long (X-Road: `acceptable-timestamp-failure-period`, 4 hours by default).
    StopAfter(Duration),
}

/// The settings of archives (X-Road UG-SS §11.1).
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// The folder of the archives; `None`: `archive` in the node's own folder. Replicas of a node need one that all of them reach.
    pub folder: Option<PathBuf>,
    /// An archive is closed before it holds more than this many bytes of containers. It is in memory while it is made.
    pub bytes_max: usize,
    /// Whose messages share an archive.
    pub grouping: Grouping,
    /// Whom archives are encrypted to.
    pub encryption: ArchiveEncryption,
    /// Whether containers in archives carry the proof of the ledger. It is 1 to 10 kB long, by the keys of log and witnesses; without it
    /// the link between ledger and message is gone when the record leaves the log.
    pub proofs: bool,
    /// A record is not archived before it has its proof, unless it is older than this: the archive holds it without then.
    pub proofs_wait: Duration,
    /// Archived records stay in the log for so long; then they are deleted.
    pub retention: Duration,
}

/// Whose messages share an archive. Each group has its own chain of archives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// Those of all subsystems.
    #[default]
    None,
    /// Those of one member.
    Member,
    /// Those of one subsystem.
    Subsystem,
}

/// Whom archives are encrypted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ArchiveEncryption {
    /// Archives are plain zip files: guard their folder.
    #[default]
    Off,
    /// Archives are age files.
    On {
        /// The keys for groups that have none of their own.
        recipients: Vec<Recipient>,
        /// The keys of a group, by its name (`BB/GOV/1002` or `BB/GOV/1002/fisc`).
        of_group: BTreeMap<String, Vec<Recipient>>,
    },
}

impl Default for ArchiveSettings {
    fn default() -> Self {
        Self {
            folder: None,
            bytes_max: 8 << 20,
            grouping: Grouping::default(),
            encryption: ArchiveEncryption::default(),
            proofs: true,
            proofs_wait: Duration::from_hours(24),
            retention: Duration::from_hours(30 * 24),
        }
    }
}

impl Grouping {
    /// The name of the group in which messages of a subsystem are archived; empty where archives are not grouped.
    pub fn of(self, subsystem: &ClientId) -> String {
        match self {
            Self::None => String::new(),
            Self::Member => subsystem.member().to_string(),
            Self::Subsystem => subsystem.to_string(),
        }
    }
}

impl ArchiveEncryption {
    /// The keys of a group; `None` where archives are not encrypted.
    pub fn recipients(&self, group: &str) -> Option<&[Recipient]> {
        match self {
            Self::Off => None,
            Self::On { recipients, of_group } => Some(of_group.get(group).unwrap_or(recipients)),
        }
    }
}
