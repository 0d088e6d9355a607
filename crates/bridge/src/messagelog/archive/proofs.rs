//! The ledger's proofs of what is archived. A proof can be had as long as the record is in the log, and never again: so a record waits for
//! its own, but not for ever.

use civic::Timestamp;

use super::super::StoredRecord;
use super::ArchiveRun;
use crate::core::Core;

/// A ledger that does not answer so often in a row is not asked again in this run: each time may last as long as an answer may take.
const SILENT_MAX: u32 = 3;

/// What becomes of a record that is to be archived.
pub(super) enum Proof {
    /// It is archived with this proof.
    Had(String),
    /// It waits for the next run.
    Later,
    /// It is archived without: it is too old to wait, or of a form for which there is no proof.
    Missing,
    /// It is archived without: there is no ledger, or the operator wants no proofs.
    Unwanted,
}

/// The proofs of one run.
pub(super) struct Proofs {
    waits_since: Option<Timestamp>,
    silent: u32,
    later: u64,
    reason: String,
}

impl Proofs {
    pub(super) fn of(core: &Core) -> Self {
        let settings = &core.log.settings.archives;
        let wanted = settings.proofs && core.ledger.is_some();
        // Whatever is set: what may leave the log must not wait for its archive.
        let wait = settings.proofs_wait.min(settings.retention);
        let waits_since = wanted.then(|| core.clock.now().minus(wait));
        Self { waits_since, silent: 0, later: 0, reason: String::new() }
    }

    /// Records from this moment on wait for their proof; `None`: none does.
    pub(super) const fn waits_since(&self) -> Option<Timestamp> {
        self.waits_since
    }

    pub(super) async fn proof_of(&mut self, core: &Core, record: &StoredRecord) -> Proof {
        let Some(waits_since) = self.waits_since else { return Proof::Unwanted };
        if self.silent < SILENT_MAX {
            match core.record_proof(record).await {
                Ok(proof) => {
                    self.silent = 0;
                    return proof.map_or(Proof::Missing, Proof::Had);
                }
                Err(error) => {
                    // What is wrong with the proof of one record says nothing of the others.
                    self.silent = if error.is_temporary() { self.silent + 1 } else { 0 };
                    self.reason = error.to_string();
                }
            }
        }
        if record.at < waits_since {
            return Proof::Missing;
        }
        self.later += 1;
        Proof::Later
    }

    /// Tells the operator once what this run did without.
    pub(super) fn tell(&self, run: &ArchiveRun) {
        if self.later > 0 {
            let (records, reason) = (self.later, &self.reason);
            tracing::warn!(records, reason, "records wait for their proof of the ledger before they are archived");
        }
        if run.unproven > 0 {
            let records = run.unproven;
            tracing::warn!(records, "records were archived without a proof of the ledger: none could be had");
        }
    }
}
