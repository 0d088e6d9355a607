//! How events reach the ledger, and how a citizen gets the proof that they did.

use std::time::Duration;

use civic::NationalNumber;
use ledger::outbox::OutboxError;
use ledger::{Outbox, outbox};
use web::{Failure, Job};

use crate::event::EventProof;
use crate::grant::GrantError;
use crate::grants::Grants;

impl Grants {
    /// Brings the commitments that wait to the ledger; how many it took. Where the ledger does not answer, nothing is lost: they go on
    /// waiting ([`ledger::outbox`]).
    pub async fn commit_pending(&self) -> Result<u64, GrantError> {
        self.inner.outbox.send().await.map_err(failed)
    }

    /// The outbox, for whoever shares the store of the consent service and commits to the same log: its job sends for all.
    pub fn outbox(&self) -> &Outbox {
        &self.inner.outbox
    }

    /// The proof of an event about this person: the record, what opens its commitment, and the ledger's proof, verified
    /// here, that it holds it. Index and ledger's proof are absent while the commitment is on the way.
    pub async fn proof(&self, event_id: &str, subject: &NationalNumber) -> Result<EventProof, GrantError> {
        let event = self.opened(event_id, subject).await?;
        let salt = event.kept.salt.ok_or_else(|| failed(OutboxError::Erased))?;
        let record = String::from_utf8_lossy(&event.record).into_owned();
        let tlog_proof = match outbox::prove(self.inner.outbox.log(), &event.kept, &record).await {
            Ok(proof) => Some(proof),
            Err(OutboxError::Waiting) => None,
            Err(error) => return Err(failed(error)),
        };
        let (salt, leaf) = (hex::encode(salt), hex::encode(event.kept.leaf));
        Ok(EventProof { record, salt, leaf, index: event.kept.index, tlog_proof })
    }

    /// What the consent service does by itself: commitments every 300 ms, expiry every minute.
    pub fn jobs(&self) -> Vec<Job> {
        let (commits, expires) = (self.clone(), self.clone());
        vec![
            Job::new("consent.commit", Duration::from_millis(300), move || {
                let grants = commits.clone();
                async move { grants.commit_pending().await.map(drop).map_err(Failure::from) }
            }),
            Job::new("consent.expire", Duration::from_mins(1), move || {
                let grants = expires.clone();
                async move { grants.expire().await.map(drop).map_err(Failure::from) }
            }),
        ]
    }
}

fn failed(error: OutboxError) -> GrantError {
    match error {
        OutboxError::Store(error) => GrantError::Store(error),
        error => GrantError::Ledger(error.to_string()),
    }
}
