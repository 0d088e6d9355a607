//! How events reach the ledger, and how a citizen gets the proof that they did.

use std::time::Duration;

use civic::NationalNumber;
use web::{Failure, Job};

use crate::event::EventProof;
use crate::grant::GrantError;
use crate::grants::Grants;
use crate::store as rows;

/// Commitments brought to the ledger with one request.
const BATCH: u32 = 500;

impl Grants {
    /// Brings the commitments that wait to the ledger; how many it took. Where the ledger does not answer, nothing is lost:
    /// they are tried again half a minute later. The ledger gives the same entry the same index, so a lost answer does
    /// no harm.
    pub async fn commit_pending(&self) -> Result<usize, GrantError> {
        let mut taken = 0;
        loop {
            let now = self.now();
            let claims =
                self.inner.store.tx("consent.claim_commitments", move |tx| rows::events::claim(tx, now, BATCH)).await?;
            if claims.is_empty() {
                return Ok(taken);
            }
            let leaves: Vec<Vec<u8>> = claims.iter().map(|claim| claim.payload.clone()).collect();
            let indexes = self.inner.config.ledger.append(&leaves).await;
            let indexes = indexes.map_err(|error| GrantError::Ledger(error.to_string()))?;
            let committed: Vec<_> = claims.into_iter().zip(indexes).collect();
            taken += committed.len();
            self.inner.store.tx("consent.committed", move |tx| rows::events::committed(tx, &committed)).await?;
        }
    }

    /// The proof of an event about this person: the record, what opens its commitment, and the ledger's proof, verified
    /// here, that it holds it. Index and ledger's proof are absent while the commitment is on the way.
    pub async fn proof(&self, event_id: &str, subject: &NationalNumber) -> Result<EventProof, GrantError> {
        let mut proof = self.opened(event_id, subject).await?;
        if let Some(index) = proof.index {
            let leaf = hex::decode(&proof.leaf).unwrap_or_default();
            let text = self.inner.config.ledger.proof(index, &leaf).await;
            proof.tlog_proof = Some(text.map_err(|error| GrantError::Ledger(error.to_string()))?);
        }
        Ok(proof)
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
