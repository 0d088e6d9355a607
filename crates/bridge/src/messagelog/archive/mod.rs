//! Archives (X-Road UG-SS §11; facts §1.7): stamped records leave the log as zip files of evidence, chained by their linking
//! information, and are deleted after the retention time.
//!
//! No gap and no double, whenever the process dies: a file is written and synced under a passing name; then one transaction notes
//! the archive with its records; then the file gets its name; then that is noted. The next run begins by ending what was begun: an
//! archive that was noted gets its file in place, or, where that is lost, is forgotten and its records are archived again; files
//! that nothing notes are removed.
//!
//! Threat line: whoever can write the folder can destroy archives, but not alter one unseen: containers are signed and stamped, the
//! chain names each, and the database keeps the digest of every file.

mod folder;
mod proofs;
mod restore;

pub use restore::Restored;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use civic::{ClientId, ServiceId, Timestamp};
use store::StoreError;
use tokio::sync::Mutex;
use trust::age::{self, AgeError};
use trust::archive::{ArchiveBuilder, ArchiveError, Previous};
use trust::asic::AsicError;
use trust::digest::{self, DigestAlgorithm};

use self::folder::{Folder, Placed};
use self::proofs::{Proof, Proofs};
use super::replica::Duty;
use super::sql::{self, ArchiveRow};
use super::stamping::stamp_passed_by;
use super::{LogError, MessageLog, Role, StoredRecord};
use crate::config::NodeConfig;
use crate::core::Core;

/// Records in one archive at most: the roles of all of them stand in the comment of the zip file.
const RECORDS_MAX: usize = 10_000;
/// What the comment of an archive begins with; one letter a record follows: `c` where this node asked, `p` where it answered.
const ROLES: &str = "baobab roles=";

/// Why archives are not made, or one not restored. Records stay in the log until they are safe.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFailure {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file cannot be written or read.
    #[error("{}: {error}. Free the disk or mend the rights of the folder of archives; nothing is lost", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The archive is refused, or cannot be made.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A container in it is refused, or cannot be made.
    #[error("the container of record {record}: {error}")]
    Container {
        /// The record or file.
        record: String,
        /// What is wrong.
        error: AsicError,
    },
    /// Encryption is on, but a group has no key, or a key does not serve.
    #[error("archives of `{group}` cannot be encrypted: {error}. Name the public keys of those who may read them")]
    Encryption {
        /// The group; empty where archives are not grouped.
        group: String,
        /// What is wrong.
        error: AgeError,
    },
    /// A container in it comes from another log.
    #[error("`{0}` in the archive is no record of this node: restore archives at the node that made them")]
    Foreign(String),
    /// The file of an archive went away before it had its name.
    #[error(
        "the file of the archive {0} is lost: something else removes or changes files in the folder of archives. Stop that; the \
         records are kept, and archived again"
    )]
    Lost(String),
    /// Another replica took the work over.
    #[error("another replica of this node makes archives now")]
    TakenOver,
}

impl From<StoreError> for ArchiveFailure {
    fn from(error: StoreError) -> Self {
        Self::Log(LogError::Store(error))
    }
}

/// What one run of the job did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveRun {
    /// The files that were made.
    pub archives: Vec<String>,
    /// How many records are in them.
    pub records: u64,
    /// How many of those have no proof of the ledger although there is a ledger: it took longer than they may wait.
    pub unproven: u64,
    /// How many records were deleted after their retention.
    pub deleted: u64,
}

/// Lets one run go on at a time, and knows the folder.
pub(crate) struct Archiver {
    folder: PathBuf,
    turn: Mutex<()>,
}

impl Archiver {
    pub(crate) fn new(config: &NodeConfig) -> Self {
        let folder = config.log.archives.folder.clone();
        Self { folder: folder.unwrap_or_else(|| config.state_dir.join("archive")), turn: Mutex::default() }
    }
}

/// Archives all stamped records and deletes those whose time has come. Nothing where another replica does it.
pub(crate) async fn archive(core: &Core) -> Result<ArchiveRun, ArchiveFailure> {
    let _one_at_a_time = core.archiver.turn.lock().await;
    if !core.log.take(Duty::Archiving).await? {
        return Ok(ArchiveRun::default());
    }
    let outcome = run(core).await;
    core.log.give_back(Duty::Archiving).await?;
    outcome
}

async fn run(core: &Core) -> Result<ArchiveRun, ArchiveFailure> {
    let log = &core.log;
    let folder = Folder::open(core.archiver.folder.clone()).await?;
    end_what_was_begun(log, &folder).await?;
    if let Err(error) = stamp_passed_by(core).await {
        // They wait, as all records do while there is no authority.
        tracing::warn!(%error, "records that stamping passed by are not stamped yet");
    }
    let mut run = ArchiveRun::default();
    let mut proofs = Proofs::of(core);
    let outcome = archive_due(core, &folder, &mut proofs, &mut run).await;
    // Whatever failed then: what was archived without a proof stays without.
    proofs.tell(&run);
    outcome?;
    log.store.tx("bridge.note_archived", sql::note_archived).await?;
    run.deleted = delete_old(log, core.ledger.is_some()).await?;
    Ok(run)
}

async fn archive_due(
    core: &Core,
    folder: &Folder,
    proofs: &mut Proofs,
    run: &mut ArchiveRun,
) -> Result<(), ArchiveFailure> {
    let log = &core.log;
    let mut behind = 0;
    loop {
        let waits_since = proofs.waits_since();
        let due = log.store.read("bridge.due", move |tx| sql::due(tx, behind, waits_since)).await?;
        let Some(last) = due.last() else { return Ok(()) };
        behind = last.id;
        let mut chains: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for record in due {
            let owner = owner(&record).ok_or(LogError::Damaged { id: record.id, reason: "its ids are no ids" })?;
            chains.entry(log.settings.archives.grouping.of(&owner)).or_default().push(record.id);
        }
        for (chain, records) in chains {
            write_chain(core, folder, &chain, &records, proofs, run).await?;
        }
    }
}

fn owner(record: &sql::Due) -> Option<ClientId> {
    if record.role == 0 {
        record.client.parse().ok()
    } else {
        record.service.parse().ok().map(|service: ServiceId| service.client().clone())
    }
}

/// Deletes what is archived and older than the retention time.
async fn delete_old(log: &MessageLog, ledger: bool) -> Result<u64, ArchiveFailure> {
    let now = log.clock.now();
    let before = now.minus(log.settings.archives.retention);
    let mut deleted = 0;
    loop {
        let some = log.store.tx("bridge.delete_old", move |tx| sql::delete_old(tx, before, now, ledger)).await?;
        if some == 0 {
            break;
        }
        deleted += some;
    }
    if deleted > 0 {
        log.store.tx("bridge.delete_stamps", move |tx| sql::delete_stamps(tx, before)).await?;
        log.store.tx("bridge.delete_moulds", sql::delete_moulds).await?;
    }
    Ok(deleted)
}

async fn end_what_was_begun(log: &MessageLog, folder: &Folder) -> Result<(), ArchiveFailure> {
    for archive in log.store.read("bridge.planned", sql::planned).await? {
        match place(log, folder, &archive).await {
            Err(ArchiveFailure::Lost(archive)) => {
                tracing::warn!(archive, "the file of an archive is lost; its records are archived again");
            }
            other => other?,
        }
    }
    folder.remove_leftovers().await
}

/// Brings the file of a noted archive to its place, and notes that. Where the file is lost the archive is forgotten: its records are in the
/// log and nowhere else, so nothing may say that they can be deleted.
async fn place(log: &MessageLog, folder: &Folder, archive: &ArchiveRow) -> Result<(), ArchiveFailure> {
    let id = archive.id;
    match folder.put_in_place(&archive.name, archive.file_digest).await? {
        Placed::InPlace => Ok(log.store.tx("bridge.placed", move |tx| sql::placed(tx, id)).await?),
        Placed::Lost => {
            log.store.tx("bridge.forget_archive", move |tx| sql::forget(tx, id)).await?;
            Err(ArchiveFailure::Lost(archive.name.clone()))
        }
    }
}

/// An archive that is being filled.
struct Filling {
    builder: ArchiveBuilder,
    before: Option<ArchiveRow>,
    records: Vec<i64>,
    unproven: u64,
    roles: String,
    first: Timestamp,
    last: Timestamp,
}

impl Filling {
    fn after(before: Option<ArchiveRow>) -> Self {
        let previous =
            before.as_ref().map(|before| Previous { digest: before.digest.clone(), file: before.name.clone() });
        Self {
            builder: ArchiveBuilder::new(DigestAlgorithm::Sha512, previous.as_ref()),
            before,
            records: Vec::new(),
            unproven: 0,
            roles: ROLES.to_owned(),
            first: Timestamp::from_micros(i64::MAX),
            last: Timestamp::from_micros(0),
        }
    }

    fn add(&mut self, record: &StoredRecord, container: &[u8]) -> Result<(), ArchiveError> {
        self.builder.add(&record.file_name(), record.at, container)?;
        self.records.push(record.id);
        self.roles.push(if record.role == Role::Consumer { 'c' } else { 'p' });
        (self.first, self.last) = (self.first.min(record.at), self.last.max(record.at));
        Ok(())
    }
}

async fn write_chain(
    core: &Core,
    folder: &Folder,
    chain: &str,
    records: &[i64],
    proofs: &mut Proofs,
    run: &mut ArchiveRun,
) -> Result<(), ArchiveFailure> {
    let log = &core.log;
    let bytes_max = log.settings.archives.bytes_max;
    let name = chain.to_owned();
    let before = log.store.read("bridge.last_archive", move |tx| sql::last_archive(tx, &name)).await?;
    let mut filling = Filling::after(before);
    for id in records {
        let Some(record) = log.get(*id).await? else { continue };
        let (proof, missing) = match proofs.proof_of(core, &record).await {
            Proof::Had(proof) => (Some(proof), false),
            Proof::Later => continue,
            Proof::Missing => (None, true),
            Proof::Unwanted => (None, false),
        };
        let container = container(&record, proof)?;
        let full = filling.builder.bytes() + container.len() > bytes_max || filling.records.len() >= RECORDS_MAX;
        if full && !filling.records.is_empty() {
            filling = Filling::after(Some(finish(core, folder, chain, filling, run).await?));
        }
        filling.add(&record, &container)?;
        filling.unproven += u64::from(missing);
    }
    if !filling.records.is_empty() {
        finish(core, folder, chain, filling, run).await?;
    }
    Ok(())
}

/// The evidence file of a record, for an archive.
fn container(record: &StoredRecord, proof: Option<String>) -> Result<Vec<u8>, ArchiveFailure> {
    let failed = |error| ArchiveFailure::Container { record: record.id.to_string(), error };
    let container = record.content.container(record.stamp.as_ref());
    let mut container = container.ok_or(LogError::Damaged { id: record.id, reason: "its message is missing" })?;
    container.ledger_proof = proof;
    match container.write(record.at) {
        Err(AsicError::TooLarge) => {
            // It was logged under another limit: the signature still names the attachments.
            tracing::warn!(
                record = record.id,
                "the attachments of a record are too large for its archive and are left out"
            );
            container.attachments.clear();
            container.write(record.at).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

/// Writes a full archive and notes it.
async fn finish(
    core: &Core,
    folder: &Folder,
    chain: &str,
    filling: Filling,
    run: &mut ArchiveRun,
) -> Result<ArchiveRow, ArchiveFailure> {
    let log = &core.log;
    if !log.take(Duty::Archiving).await? {
        return Err(ArchiveFailure::TakenOver);
    }
    let Filling { builder, before, records, unproven, roles, first, last } = filling;
    let encryption = log.settings.archives.encryption.recipients(chain).map(<[age::Recipient]>::to_vec);
    let digest = builder.digest().to_owned();
    let suffix = if encryption.is_some() { "zip.age" } else { "zip" };
    let name = file_name(chain, first, last, &digest, suffix);
    let zip = builder.finish(last, &roles)?;
    let file = match encryption {
        None => zip,
        Some(recipients) => age::encrypt(&recipients, &zip, &*log.random)
            .map_err(|error| ArchiveFailure::Encryption { group: chain.to_owned(), error })?,
    };
    let id = log.next_id().max(before.map_or(0, |before| before.id.saturating_add(1)));
    let row = ArchiveRow { id, name, chain: chain.to_owned(), digest, file_digest: digest::sha256(&file) };
    folder.write_aside(&row.name, file).await?;
    let (hold, noted) = (log.hold(Duty::Archiving), row.clone());
    let count = records.len() as u64;
    log.store
        .tx("bridge.plan_archive", move |tx| {
            if !hold.stands(tx)? {
                return Err(ArchiveFailure::TakenOver);
            }
            Ok(sql::plan(tx, &noted, &records)?)
        })
        .await?;
    let placed = place(log, folder, &row).await;
    if !matches!(placed, Err(ArchiveFailure::Lost(_))) {
        // Here and not at the end of the run: these are archived also where the run fails later, and what is noted and not in place yet
        // is put there by the next run.
        core.metrics.archived.inc_by(count);
        core.metrics.archived_unproven.inc_by(unproven);
        run.records += count;
        run.unproven += unproven;
    }
    placed?;
    run.archives.push(row.name.clone());
    Ok(row)
}

/// `mlog[-group]-first-last-digest.zip`, as X-Road names them.
fn file_name(chain: &str, first: Timestamp, last: Timestamp, digest: &str, suffix: &str) -> String {
    let safe = |c: char| if c.is_control() || "\\<>/:|*?\"".contains(c) || c.is_whitespace() { '_' } else { c };
    let group: String = chain.chars().map(safe).take(120).collect();
    let group = if group.is_empty() { group } else { format!("{group}-") };
    let moment = |at: Timestamp| {
        let text: String = at.rfc3339().chars().filter(char::is_ascii_digit).take(14).collect();
        text
    };
    let digest: String = digest.chars().take(16).collect();
    format!("mlog-{group}{}-{}-{digest}.{suffix}", moment(first), moment(last))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use civic::testing::{SeededRandom, TestClock};

    use super::*;

    #[tokio::test]
    async fn an_archive_whose_file_is_gone_is_forgotten_and_one_whose_file_is_there_is_noted() {
        for store in store::testing::engines().await {
            let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
            let log = MessageLog::open(store, clock, Arc::new(SeededRandom::new(1))).await.unwrap();
            let folder = tempfile::tempdir().unwrap();
            let folder = Folder::open(folder.path().join("archive")).await.unwrap();
            for (id, wrote, state) in
                [(1, None, None), (2, Some("another file"), None), (3, Some("archive"), Some(1_i64))]
            {
                let (name, chain, digest) = (format!("mlog-{id}.zip"), String::new(), String::new());
                let row = ArchiveRow { id, name, chain, digest, file_digest: digest::sha256(b"archive") };
                if let Some(bytes) = wrote {
                    folder.write_aside(&row.name, bytes.into()).await.unwrap();
                }
                let planned = row.clone();
                log.store.tx("test.plan", move |tx| sql::plan(tx, &planned, &[id])).await.unwrap();
                let placed = place(&log, &folder, &row).await;
                assert_eq!(matches!(&placed, Err(ArchiveFailure::Lost(name)) if *name == row.name), state.is_none());
                assert_eq!(placed.is_ok(), state.is_some());
                let find = "SELECT a.state FROM bridge_archived d JOIN bridge_archive a ON a.id = d.archive WHERE d.record = $1";
                let noted =
                    log.store.read("test.noted", move |tx| tx.query_one(find, &store::params![id])).await.unwrap();
                assert_eq!(noted.map(|row| row.get::<i64>("state").unwrap()), state, "archive {id}");
            }
        }
    }

    #[test]
    fn archives_are_named_as_x_road_names_them() {
        let at = Timestamp::from_seconds(1_795_300_800);
        let name = file_name("", at, at.plus(std::time::Duration::from_secs(61)), "00112233445566778899", "zip");
        assert_eq!(name, "mlog-20261121224000-20261121224101-0011223344556677.zip");
        let grouped = file_name("BB/GOV/1002/fisc", at, at, "ff", "zip.age");
        assert_eq!(grouped, "mlog-BB_GOV_1002_fisc-20261121224000-20261121224000-ff.zip.age");
        assert!(file_name(&"é/../".repeat(100), at, at, "ff", "zip").len() < 250 * 2);
    }
}
