//! What was done at the authority, committed to a transparency log: approvals, members, certificates, keys. Whoever rewrites the
//! audit later is contradicted by the log, and an operator can prove each act to anybody.

use std::time::Duration;

use ::store::Store;
use civic::{SharedClock, SharedRandom, random_array};
use ledger::outbox::OutboxError;
use ledger::{Commitment, LedgerClient, Outbox, outbox};
use serde_json::json;
use web::{Failure, Job};

use crate::operators::AuditEntry;
use crate::{Authority, AuthorityError, store};

/// What the outbox calls acts.
const KIND: &str = "authority.act";
/// Acts committed to in one transaction.
const BATCH: u32 = 200;
/// The pause between two deliveries to the log.
const RHYTHM: Duration = Duration::from_secs(1);

/// The way of the acts of an authority to a log. Clones share it.
#[derive(Clone)]
pub struct Acts {
    store: Store,
    outbox: Outbox,
    clock: SharedClock,
    random: SharedRandom,
}

impl Acts {
    /// Commits the acts of this authority, from the first on, to the log that the client appends to.
    pub async fn open(authority: &Authority, log: LedgerClient) -> Result<Self, AuthorityError> {
        let inner = &authority.0;
        let outbox = Outbox::open(inner.store.clone(), log).await?;
        let (clock, random) = (inner.clock.clone(), inner.random.clone());
        Ok(Self { store: inner.store.clone(), outbox, clock, random })
    }

    /// Commits what was done since the last time, and brings it to the log; how many entries the log took.
    pub async fn commit(&self) -> Result<u64, ActsError> {
        loop {
            let salts: Vec<[u8; 32]> = (0..BATCH).map(|_| random_array(self.random.as_ref())).collect();
            let now = self.clock.now();
            let commit = move |tx: &mut ::store::Tx<'_>| -> Result<usize, AuthorityError> {
                let newest = outbox::newest(tx, KIND)?.and_then(|key| key.parse().ok()).unwrap_or(0);
                let entries = store::audit_after(tx, newest, BATCH)?;
                for (entry, salt) in entries.iter().zip(&salts) {
                    let commitment = Commitment::with_salt(*salt, record(entry).as_bytes());
                    outbox::add(tx, KIND, &key(entry.id), &commitment, now)?;
                }
                Ok(entries.len())
            };
            if self.store.tx("authority.commit_acts", commit).await? == 0 {
                return Ok(self.outbox.send().await?);
            }
        }
    }

    /// The proof of an act (C2SP tlog-proof with record and salt), for `baobab verify --policy`.
    pub async fn proof(&self, id: i64) -> Result<String, ActsError> {
        let read = move |tx: &mut ::store::Tx<'_>| store::audit_after(tx, id.saturating_sub(1), 1);
        let entry = self.store.read("authority.act", read).await?.into_iter().find(|entry| entry.id == id);
        let entry = entry.ok_or(ActsError::Outbox(OutboxError::Unknown))?;
        Ok(self.outbox.proof(KIND, &key(id), &record(&entry)).await?)
    }

    /// Commits again and again.
    pub fn job(&self) -> Job {
        let acts = self.clone();
        Job::new("authority.commit", RHYTHM, move || {
            let acts = acts.clone();
            async move { acts.commit().await.map(drop).map_err(Failure::from) }
        })
    }
}

/// Why an act is not in the log, or cannot be proved.
#[derive(Debug, thiserror::Error)]
pub enum ActsError {
    /// The register failed.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The outbox or the log failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// Numbers sort as texts.
fn key(id: i64) -> String {
    format!("{id:019}")
}

/// What the log commits to, byte for byte.
fn record(entry: &AuditEntry) -> String {
    json!({
        "v": 1, "kind": KIND, "id": entry.id, "at": entry.at.rfc3339(), "actor": entry.actor, "action": entry.action,
        "subject": entry.subject, "detail": entry.detail,
    })
    .to_string()
}
