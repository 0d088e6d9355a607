//! Archives come back into a log: evidence and search work on them as before.

use std::collections::BTreeMap;

use civic::{ClientId, Timestamp, random_array};
use store::{Value, params};
use trust::archive::{After, ArchivedContainer, verify_archive};
use trust::asic::{Container, Direction, MessageSummary, Protocol};
use trust::digest;

use super::super::record::{id_in_name, mode_number};
use super::super::sql::{self, ArchiveRow};
use super::super::{Content, LogMode, MessageForm, MessageLog, NewRecord, RecordKind, Role};
use super::{ArchiveFailure, ROLES};

/// Records of this node were made after this moment (2000-01-01): a smaller number in a file name is another program's.
const FIRST_ID: i64 = 946_684_800_000_000;

/// What a restored archive brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Records that came back.
    pub records: u64,
    /// Records that were in the log already.
    pub present: u64,
    /// The last digest of the archive: the next one must follow it.
    pub digest: String,
}

struct Row {
    id: i64,
    values: Vec<Value>,
    stamp: Option<Stamp>,
    proof: Option<String>,
}

struct Stamp {
    id: i64,
    token: Vec<u8>,
    chain_result: Vec<u8>,
    chain: Vec<u8>,
}

impl MessageLog {
    /// Brings the records of an archive back. `name` is its file name, `after` what it must follow, `is_own` tells the subsystems of
    /// this node. An encrypted archive is decrypted before (`age --decrypt`). The chain is judged here, the signatures are not: judge
    /// the archive as evidence with `baobab verify`. Restored records stay for the retention time from now on; their outcome is
    /// `restored`, and whom they were about is no longer known.
    pub async fn restore(
        &self,
        name: &str,
        zip: &[u8],
        after: After<'_>,
        is_own: impl Fn(&ClientId) -> bool,
    ) -> Result<Restored, ArchiveFailure> {
        let archive = verify_archive(zip, after)?;
        let roles: Vec<char> = archive.comment.strip_prefix(ROLES).unwrap_or_default().chars().collect();
        let mut rows = Vec::with_capacity(archive.containers.len());
        let mut stamps = BTreeMap::new();
        let mut chain = None;
        for (place, container) in archive.containers.iter().enumerate() {
            let role = roles.get(place).map(|role| if *role == 'c' { Role::Consumer } else { Role::Provider });
            let Read { id, record, stamp, proof } = read(container, role, &is_own)?;
            chain.get_or_insert_with(|| self.settings.archives.grouping.of(record.owner()));
            let stamp = stamp.map(|files| Stamp {
                id: *stamps.entry(digest::sha256(&files.token)).or_insert(id),
                token: files.token,
                chain_result: files.chain.result,
                chain: files.chain.chain,
            });
            rows.push(Row { id, values: self.restored_row(id, &record)?, stamp, proof });
        }
        let last = rows.iter().map(|row| row.id).max().unwrap_or(0);
        let row = ArchiveRow {
            id: last,
            name: name.to_owned(),
            chain: chain.unwrap_or_default(),
            digest: archive.digest.clone(),
            file_digest: digest::sha256(zip),
        };
        let kept_until = self.clock.now().plus(self.settings.archives.retention);
        let (records, present) = self.store.tx("bridge.restore", move |tx| keep(tx, &rows, &row, kept_until)).await?;
        self.raise(last);
        Ok(Restored { records, present, digest: archive.digest })
    }

    fn restored_row(&self, id: i64, record: &NewRecord) -> Result<Vec<Value>, ArchiveFailure> {
        let plain = record.content.encode();
        let hash = self.settings.hash;
        let (signature, chain) = (record.content.signature.digest(hash), record.content.chain_digest(hash));
        Ok(params![
            id,
            record.message_id.as_str(),
            record.request_id.as_str(),
            record.role.number(),
            record.kind.number(),
            record.client.to_string(),
            record.service.to_string(),
            record.outcome.as_str(),
            Value::Null,
            record.content.commitment(&signature, chain.as_ref()),
            random_array::<32>(&*self.random),
            signature.bytes().to_vec(),
            self.store.sealer().seal("bridge_message", "content", id.to_string(), &plain)?,
            record.peer().to_string(),
            Value::Null,
            mode_number(LogMode::Full),
            Value::Null,
            chain.map(|digest| digest.bytes().to_vec()),
        ])
    }
}

fn keep(
    tx: &mut store::Tx<'_>,
    rows: &[Row],
    archive: &ArchiveRow,
    kept_until: Timestamp,
) -> Result<(u64, u64), ArchiveFailure> {
    let mut came = Vec::with_capacity(rows.len());
    for row in rows {
        if !sql::restore_record(tx, &row.values)? {
            continue;
        }
        came.push(row.id);
        if let Some(stamp) = &row.stamp {
            sql::restore_stamp(tx, row.id, stamp.id, &stamp.token, &stamp.chain_result, &stamp.chain)?;
        }
        if let Some(proof) = &row.proof {
            sql::restore_proof(tx, row.id, proof)?;
        }
    }
    if !came.is_empty() {
        sql::restored(tx, archive, &came, kept_until)?;
    }
    Ok((came.len() as u64, (rows.len() - came.len()) as u64))
}

/// What a container of an archive brings.
struct Read {
    id: i64,
    record: NewRecord,
    stamp: Option<trust::asic::StampFiles>,
    proof: Option<String>,
}

fn read(
    file: &ArchivedContainer,
    role: Option<Role>,
    is_own: &impl Fn(&ClientId) -> bool,
) -> Result<Read, ArchiveFailure> {
    let foreign = || ArchiveFailure::Foreign(file.name.clone());
    let id = id_in_name(&file.name).filter(|id| *id >= FIRST_ID).ok_or_else(foreign)?;
    let failed = |error| ArchiveFailure::Container { record: file.name.clone(), error };
    let mut container = Container::read(&file.bytes).map_err(failed)?;
    let summary = MessageSummary::read(&container.message).map_err(|_| foreign())?;
    let role = match (role, is_own(&summary.client), is_own(&summary.provider)) {
        (Some(role), true, true) => role,
        (_, true, false) | (None, true, true) => Role::Consumer,
        (_, false, true) => Role::Provider,
        (_, false, false) => return Err(foreign()),
    };
    let request_id = match summary.protocol {
        Protocol::Rest => header(&container.message, "x-road-request-id"),
        Protocol::Soap => None,
    };
    let form = match summary.protocol {
        Protocol::Rest => MessageForm::Rest,
        Protocol::Soap => MessageForm::Soap("text/xml; charset=UTF-8".to_owned()),
    };
    let kind = match summary.direction {
        Direction::Request => RecordKind::Request,
        Direction::Response => RecordKind::Response,
    };
    let (stamp, proof) = (container.time_stamp.take(), container.ledger_proof.take());
    let record = NewRecord {
        role,
        kind,
        service: summary.provider.service(&summary.service).map_err(|_| foreign())?,
        client: summary.client,
        message_id: summary.id.unwrap_or_default(),
        request_id: request_id.unwrap_or_default(),
        outcome: "restored".to_owned(),
        replay: None,
        content: Content::of_container(container, form),
    };
    Ok(Read { id, record, stamp, proof })
}

/// The last header of this name in a header part.
fn header(head: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(head).ok()?;
    let values = text.split("\r\n").skip(2).filter_map(|line| line.split_once(':'));
    let found = values.filter(|(found, _)| found.trim().eq_ignore_ascii_case(name)).last();
    found.map(|(_, value)| value.trim().to_owned())
}
