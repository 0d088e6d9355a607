//! Several replicas of a node on one log: who does the jobs that one alone may do, and up to which record all are settled.
//!
//! A lease is a row: it is taken for [`LEASE`], given back after the work, and checked again in the transaction that keeps the result.
//! A replica that dies loses it in time. The clock is the caller's; clocks of replicas must agree within seconds (NTP).
//!
//! A job that goes through the records in order may only pass an id when nobody will still write a lower one. So each replica says
//! in [`MessageLog::beat`] up to where it is settled; one that is silent for [`LEASE`] is taken for gone, and enters anew, above all
//! that was written meanwhile, before it writes again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use store::{Location, Store, StoreError, Tx};

use super::{LogError, MessageLog, sql};

/// How long a replica may be silent, and a job may go on without a word.
pub(crate) const LEASE: Duration = Duration::from_mins(1);
/// How often a replica says that it lives.
pub(crate) const BEAT: Duration = Duration::from_secs(2);
/// A replica that was silent so long enters anew before it writes.
const SILENT_MAX: Duration = Duration::from_secs(40);

/// Work that one replica alone does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Time stamps.
    Stamping,
    /// Commitments to the ledger.
    Commitment,
    /// Archives and retention.
    Archiving,
}

/// The name of a replica and when it last spoke.
#[derive(Debug)]
pub(super) struct Replica {
    name: [u8; 16],
    /// An embedded database has one process: nobody else is asked.
    alone: bool,
    spoke: AtomicI64,
}

impl Duty {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stamping => "stamping",
            Self::Commitment => "commitment",
            Self::Archiving => "archiving",
        }
    }
}

impl Replica {
    /// The replica of this name; without one, an embedded store has a single replica, and another store gets a name from these bytes.
    pub(super) fn new(store: &Store, name: Option<[u8; 16]>, drawn: [u8; 16]) -> Self {
        let alone = name.is_none() && matches!(store.location(), Location::Sqlite(_));
        let name = if alone { [0; 16] } else { name.unwrap_or(drawn) };
        Self { name, alone, spoke: AtomicI64::new(i64::MIN / 2) }
    }

    /// Whether no other replica can write into this log.
    pub(super) const fn is_alone(&self) -> bool {
        self.alone
    }
}

impl MessageLog {
    /// Takes a job for this replica, or keeps it; false where another replica has it.
    pub(crate) async fn take(&self, duty: Duty) -> Result<bool, StoreError> {
        if self.replica.alone {
            return Ok(true);
        }
        let (holder, now) = (self.replica.name, self.clock.now());
        self.store
            .tx("bridge.take_lease", move |tx| sql::take_lease(tx, duty.name(), holder, now, now.plus(LEASE)))
            .await
    }

    /// Gives a job back.
    pub(crate) async fn give_back(&self, duty: Duty) -> Result<(), StoreError> {
        if self.replica.alone {
            return Ok(());
        }
        let holder = self.replica.name;
        self.store.tx("bridge.give_lease", move |tx| sql::give_lease(tx, duty.name(), holder)).await
    }

    /// What a transaction that keeps the result of a job asks first.
    pub(crate) fn hold(&self, duty: Duty) -> Hold {
        Hold { duty, holder: self.replica.name, alone: self.replica.alone }
    }

    /// Tells the other replicas that this one lives and up to where it is settled. Called every few seconds.
    pub async fn beat(&self) -> Result<(), LogError> {
        if self.replica.alone {
            return Ok(());
        }
        let (name, now, settled) = (self.replica.name, self.clock.now(), self.settled());
        self.store.tx("bridge.beat", move |tx| sql::beat(tx, name, settled, now)).await?;
        self.replica.spoke.store(now.micros(), Ordering::Release);
        Ok(())
    }

    /// Tells the others that this replica writes no more. Called when all exchanges have ended.
    pub async fn leave(&self) -> Result<(), LogError> {
        if self.replica.alone {
            return Ok(());
        }
        let name = self.replica.name;
        self.replica.spoke.store(i64::MIN / 2, Ordering::Release);
        Ok(self.store.tx("bridge.leave", move |tx| sql::leave(tx, name)).await?)
    }

    /// Enters the replica, with ids above all that is written and promised.
    pub(super) async fn enter(&self) -> Result<(), StoreError> {
        if self.replica.alone {
            return Ok(());
        }
        let (name, now, own) = (self.replica.name, self.clock.now(), self.settled());
        let highest = self.store.tx("bridge.enter", move |tx| sql::enter(tx, name, own, now)).await?;
        self.raise(highest);
        self.replica.spoke.store(now.micros(), Ordering::Release);
        Ok(())
    }

    /// Before a write: a replica that the others may take for gone enters anew.
    pub(super) async fn ensure_entered(&self) -> Result<(), StoreError> {
        if self.replica.alone {
            return Ok(());
        }
        let silent = self.clock.now().micros().saturating_sub(self.replica.spoke.load(Ordering::Acquire));
        if silent > i64::try_from(SILENT_MAX.as_micros()).unwrap_or(i64::MAX) { self.enter().await } else { Ok(()) }
    }

    /// Up to this id no replica writes a record any more.
    pub(crate) async fn settled_by_all(&self) -> Result<i64, StoreError> {
        let own = self.settled();
        if self.replica.alone {
            return Ok(own);
        }
        let (name, alive_since) = (self.replica.name, self.clock.now().minus(LEASE));
        let others = self.store.read("bridge.settled", move |tx| sql::settled_of_others(tx, name, alive_since)).await?;
        Ok(others.map_or(own, |others| own.min(others)))
    }
}

/// The proof, in a transaction, that a job is still this replica's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    duty: Duty,
    holder: [u8; 16],
    alone: bool,
}

impl Hold {
    /// False where another replica took the job over: nothing of the result may be kept.
    pub(crate) fn stands(&self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        if self.alone { Ok(true) } else { sql::holds(tx, self.duty.name(), self.holder) }
    }
}
