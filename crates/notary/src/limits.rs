//! How much one client may ask of the notary in a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use civic::Timestamp;

use crate::error::NotaryError;

/// Digests of one client in a minute.
pub(crate) const DIGESTS_PER_MINUTE: usize = 60_000;
/// Clients that are counted; when there are more, the counts begin anew.
const CLIENTS_MAX: usize = 10_000;

/// Counts by client, for the present minute.
#[derive(Default)]
pub(crate) struct Limits(Mutex<(i64, BTreeMap<String, usize>)>);

impl Limits {
    /// Takes so many digests from what the client has left in this minute, or says when to come back.
    pub(crate) fn take(&self, client: &str, digests: usize, now: Timestamp) -> Result<(), NotaryError> {
        let minute = now.seconds().div_euclid(60);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 != minute || counts.1.len() >= CLIENTS_MAX {
            *counts = (minute, BTreeMap::new());
        }
        let taken = counts.1.entry(client.to_owned()).or_default();
        if *taken + digests > DIGESTS_PER_MINUTE {
            let seconds = 60 - now.seconds().rem_euclid(60);
            return Err(NotaryError::TooFast { seconds: u64::try_from(seconds).unwrap_or(60) });
        }
        *taken += digests;
        Ok(())
    }
}
