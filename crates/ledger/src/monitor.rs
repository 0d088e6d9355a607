//! A monitor: follows logs, verifies that each new checkpoint continues all that it saw, keeps what it saw, and raises an
//! alarm with the two conflicting checkpoints as evidence.
//!
//! It reads C2SP tlog-tiles only, so it follows any log that speaks it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use ::http::StatusCode;
use civic::{SharedClock, Timestamp};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use store::{Store, Tx, params};
use trust::merkle::{Hash, Node, ProofError, Tile, TileNode, consistency_proof, empty_root, root, verify_consistency};
use trust::note::policy::{Policy, Verdict};
use trust::note::{Checkpoint, Note};

use crate::wire::{Wire, WireError};
use crate::witness::{Conflict, add_conflict, conflicts};
use crate::{ClientError, LedgerError};

/// A monitor of logs; it keeps what it saw in a store.
pub struct Monitor {
    store: Store,
    clock: SharedClock,
    followed: Vec<Arc<Followed>>,
    named: RwLock<Vec<Arc<Followed>>>,
    checkpoints: Counter,
    alarms: Counter,
}

struct Followed {
    wire: Wire,
    policy: Policy,
    origin: String,
}

/// What a look at one log showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// A checkpoint that continues all that was seen before. Where its quorum is missing, it is the log's word alone.
    Continued(Verdict),
    /// The log contradicts itself: raise an alarm. Kept as evidence.
    Conflict(Box<Conflict>),
    /// Nothing can be said now: the log does not answer, or not what it must.
    Unclear(String),
}

impl Monitor {
    /// A monitor that keeps what it sees in this store. It follows nothing yet.
    pub async fn open(store: Store, clock: SharedClock) -> Result<Self, LedgerError> {
        store.migrate(crate::rows::MIGRATIONS).await?;
        let (checkpoints, alarms) = (Counter::default(), Counter::default());
        Ok(Self { store, clock, followed: Vec::new(), named: RwLock::default(), checkpoints, alarms })
    }

    /// Follows the log at this `http://` prefix, whose key is the first log of the policy. This stays, whatever others name.
    pub fn follow(&mut self, url: &str, policy: Policy) -> Result<(), ClientError> {
        self.followed.push(Arc::new(Followed::new(url, policy)?));
        Ok(())
    }

    /// Follows these logs too, in the place of those that were named so before; a log of [`Self::follow`] keeps its own policy. Answers
    /// which of them cannot be followed, and why.
    pub fn follow_named(&self, logs: &[(&str, &Policy)]) -> Vec<String> {
        let (mut named, mut refused) = (Vec::new(), Vec::new());
        for (url, policy) in logs {
            match Followed::new(url, (*policy).clone()) {
                Ok(log) if self.followed.iter().any(|own| own.origin == log.origin) => {}
                Ok(log) => named.push(Arc::new(log)),
                Err(error) => refused.push(error.to_string()),
            }
        }
        *self.named.write().unwrap_or_else(PoisonError::into_inner) = named;
        refused
    }

    fn logs(&self) -> Vec<Arc<Followed>> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        self.followed.iter().chain(&*named).map(Arc::clone).collect()
    }

    /// Looks at every log once, one after the other: its origin and what was seen.
    pub async fn round(&self) -> Result<Vec<(String, Sighting)>, LedgerError> {
        let mut sightings = Vec::new();
        for log in &self.logs() {
            let sighting = match self.look(log).await {
                Ok(sighting) => sighting,
                Err(Unclear::Ledger(error)) => return Err(error),
                Err(Unclear::Log(reason)) => Sighting::Unclear(reason),
            };
            match &sighting {
                Sighting::Continued(_) => drop(self.checkpoints.inc()),
                Sighting::Conflict(_) => {
                    self.alarms.inc();
                    tracing::error!(origin = %log.origin, "ALARM: the log shows two histories; the evidence is kept");
                }
                Sighting::Unclear(reason) => tracing::warn!(origin = %log.origin, reason, "a log was not seen"),
            }
            sightings.push((log.origin.clone(), sighting));
        }
        Ok(sightings)
    }

    /// The contradictions that this store holds.
    pub async fn conflicts(&self) -> Result<Vec<Conflict>, LedgerError> {
        self.store.read("ledger.conflicts", conflicts).await
    }

    /// Adds the monitor's metrics (`baobab_ledger_monitor_…`) to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let checkpoints = self.checkpoints.clone();
        registry.register("baobab_ledger_monitor_checkpoints", "Checkpoints that continue what was seen", checkpoints);
        registry.register("baobab_ledger_monitor_alarms", "Logs found to show two histories", self.alarms.clone());
    }

    async fn look(&self, log: &Followed) -> Result<Sighting, Unclear> {
        let (status, body) = log.wire.get("/checkpoint").await?;
        if status != StatusCode::OK {
            return Err(Unclear::Log(format!("GET /checkpoint answers {status}")));
        }
        let text = String::from_utf8(body.into()).map_err(|_| Unclear::Log("the checkpoint is no text".to_owned()))?;
        let note = Note::parse(&text).map_err(|error| Unclear::Log(error.to_string()))?;
        let verdict = log.policy.judge(&note).map_err(|error| Unclear::Log(error.to_string()))?;
        let origin = log.origin.clone();
        let last = self.store.read("ledger.monitor_last", move |tx| last(tx, &origin)).await?;
        let agrees = match &last {
            Some(last) => self.agrees(log, last, &verdict.checkpoint).await?,
            None => true,
        };
        let (seen, now) = (verdict.checkpoint.clone(), self.clock.now());
        let first = last.filter(|_| !agrees);
        let conflict = first.map(|first| Conflict {
            origin: log.origin.clone(),
            first: first.note,
            second: text.clone(),
            found_by: "monitor".to_owned(),
        });
        let kept = conflict.clone();
        self.store.tx("ledger.monitor_keep", move |tx| keep(tx, &seen, &text, kept.as_ref(), now)).await?;
        Ok(conflict.map_or(Sighting::Continued(verdict), |conflict| Sighting::Conflict(Box::new(conflict))))
    }

    /// Whether a checkpoint and the largest one seen before are of one history. The log must prove it; where it does not
    /// though its tiles lead to the new root, it contradicts itself.
    async fn agrees(&self, log: &Followed, last: &Seen, now: &Checkpoint) -> Result<bool, Unclear> {
        let seen = (last.size, last.root);
        let (old, new) = if seen.0 <= now.size { (seen, (now.size, now.root)) } else { ((now.size, now.root), seen) };
        if old.0 == new.0 || old.0 == 0 {
            return Ok(old.1 == new.1 || (old.0 == 0 && new.0 > 0 && old.1 == empty_root()));
        }
        let mut tiles = RemoteTiles { wire: &log.wire, size: new.0, fetched: HashMap::new() };
        let proof = tiles.read(|read| consistency_proof(old.0, new.0, &mut |node| read(node))).await?;
        match verify_consistency(old.0, &old.1, new.0, &new.1, &proof) {
            Ok(()) => Ok(true),
            Err(ProofError::Root) if tiles.read(|read| root(new.0, &mut |node| read(node))).await? == new.1 => {
                Ok(false)
            }
            Err(error) => Err(Unclear::Log(format!("its tiles do not lead to its checkpoint ({error})"))),
        }
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.logs().iter().map(|log| &log.origin)).finish()
    }
}

impl Followed {
    fn new(url: &str, policy: Policy) -> Result<Self, ClientError> {
        let wire = Wire::to(url).map_err(|_| ClientError::Address(url.to_owned()))?;
        let origin = policy.logs().first().map(|log| log.key.name().to_owned());
        let origin = origin.ok_or(ClientError::Protocol("the policy names no log"))?;
        Ok(Self { wire, policy, origin })
    }
}

enum Unclear {
    Log(String),
    Ledger(LedgerError),
}

impl From<LedgerError> for Unclear {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<WireError> for Unclear {
    fn from(error: WireError) -> Self {
        Self::Log(match error {
            WireError::Address => "its address is no http:// URL".to_owned(),
            WireError::Unreachable(reason) => reason,
        })
    }
}

/// The tiles of a log of one size, fetched as they are needed.
struct RemoteTiles<'w> {
    wire: &'w Wire,
    size: u64,
    fetched: HashMap<(u8, u64), Vec<Hash>>,
}

/// How a computation asks for a node; an error names the tile that is missing.
type ReadNode<'r> = dyn FnMut(Node) -> Result<Hash, Option<Tile>> + 'r;

impl RemoteTiles<'_> {
    /// Computes over nodes of the tree: whenever a tile is missing it is fetched and the computation begins again.
    async fn read<T>(&mut self, compute: impl Fn(&mut ReadNode<'_>) -> Result<T, Option<Tile>>) -> Result<T, Unclear> {
        loop {
            let (size, fetched) = (self.size, &self.fetched);
            let mut read = |node| {
                let place = TileNode::of(node, size);
                let hashes = fetched.get(&(place.tile.level, place.tile.index)).ok_or(Some(place.tile))?;
                place.hash_in(hashes).ok_or(None)
            };
            match compute(&mut read) {
                Ok(value) => return Ok(value),
                Err(Some(tile)) => self.fetch(tile).await?,
                Err(None) => return Err(Unclear::Log("a tile is too narrow".to_owned())),
            }
        }
    }

    async fn fetch(&mut self, tile: Tile) -> Result<(), Unclear> {
        let (status, bytes) = self.wire.get(&format!("/{}", tile.path())).await?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if status != StatusCode::OK || hashes.len() != usize::from(tile.width) || !rest.is_empty() {
            return Err(Unclear::Log(format!("{} is not served as it must be ({status})", tile.path())));
        }
        self.fetched.insert((tile.level, tile.index), hashes.to_vec());
        Ok(())
    }
}

/// Checkpoints of one log that are kept.
const KEPT_MAX: i64 = 1_000;

/// The largest checkpoint of a log that was seen and found to continue the others.
struct Seen {
    size: u64,
    root: Hash,
    note: String,
}

fn last(tx: &mut Tx<'_>, origin: &str) -> Result<Option<Seen>, LedgerError> {
    let row = tx.query_one(
        "SELECT size, root, note FROM ledger_sighting WHERE origin = $1 AND verified = 1 ORDER BY size DESC LIMIT 1",
        &params![origin],
    )?;
    row.map(|row| Ok(Seen { size: row.get("size")?, root: row.get("root")?, note: row.get("note")? })).transpose()
}

fn keep(
    tx: &mut Tx<'_>,
    seen: &Checkpoint,
    note: &str,
    conflict: Option<&Conflict>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let size = i64::try_from(seen.size).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO ledger_sighting (origin, size, root, note, verified, seen_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (origin, size, root) DO NOTHING",
        &params![seen.origin.as_str(), size, seen.root, note, conflict.is_none(), now],
    )?;
    match conflict {
        Some(Conflict { origin, first, second, found_by }) => add_conflict(tx, origin, first, second, found_by, now),
        // What an older checkpoint says is proved by the newer one that continues it.
        None => tx
            .execute(
                "DELETE FROM ledger_sighting WHERE origin = $1 AND verified = 1 AND size < (SELECT size FROM ledger_sighting \
                 WHERE origin = $1 AND verified = 1 ORDER BY size DESC LIMIT 1 OFFSET $2)",
                &params![seen.origin.as_str(), KEPT_MAX - 1],
            )
            .map_err(Into::into)
            .map(drop),
    }
}
