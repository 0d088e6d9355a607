//! The common part of signatures is kept once (`docs/decisions/0024`): nine tenths of a signature are certificate, OCSP answer, policy
//! and markup, the same in every message of an organisation for as long as the OCSP answer is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use civic::Timestamp;
use store::StoreError;
use trust::xades::{Mould, Moulds, Signature, SignatureError};

use super::{LogMode, MessageLog, NewRecord, sql};

/// Moulds that are remembered: one for each organisation, shape of message and OCSP answer.
const REMEMBERED_MAX: usize = 512;
/// After this the store is told again that a mould is used. Half of what `sql::delete_moulds` waits.
const TOLD_AGAIN: Duration = Duration::from_hours(12);

/// The moulds of this process, and what the store knows of them.
pub(super) struct KeptMoulds {
    known: Moulds,
    sights: Mutex<HashMap<[u8; 32], Sight>>,
}

enum Sight {
    /// It was seen once: it is worth keeping when it comes again.
    Once,
    /// It is in the store, and nobody deletes it before that moment.
    Kept(Timestamp),
}

impl KeptMoulds {
    pub(super) fn new() -> Self {
        Self { known: Moulds::new(REMEMBERED_MAX), sights: Mutex::default() }
    }

    /// Whether a mould is in the store; `None` where this is the first time that it is seen.
    fn is_kept(&self, mould: &Mould, now: Timestamp) -> Option<bool> {
        let mut sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        match sights.get(mould.id()) {
            Some(Sight::Kept(until)) => Some(now < *until),
            Some(Sight::Once) => Some(false),
            None => {
                if sights.len() >= 2 * REMEMBERED_MAX {
                    sights.clear();
                }
                sights.insert(*mould.id(), Sight::Once);
                None
            }
        }
    }

    fn note_kept(&self, mould: &Mould, until: Timestamp) {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner).insert(*mould.id(), Sight::Kept(until));
    }
}

impl MessageLog {
    /// Reads a signature, by its mould where records with such signatures were logged before.
    pub(crate) fn read_signature(&self, signature: &[u8]) -> Result<Signature, SignatureError> {
        self.moulds.known.read(signature)
    }

    /// The mould in which the signature of a record is kept; `None` where it is kept whole. When it resolves the mould is on disk.
    pub(super) async fn mould_of(&self, record: &NewRecord) -> Result<Option<Arc<Mould>>, StoreError> {
        let Some(signature) = record.content.signature.whole() else { return Ok(None) };
        let Some(mould) = self.moulds.known.learn(signature) else { return Ok(None) };
        if self.mode_of(record.owner()) != LogMode::Full {
            return Ok(None);
        }
        let now = self.clock.now();
        match self.moulds.is_kept(&mould, now) {
            None => return Ok(None),
            Some(true) => return Ok(Some(mould)),
            Some(false) => {}
        }
        let (id, common) = (*mould.id(), mould.common());
        self.store.tx("bridge.keep_mould", move |tx| sql::keep_mould(tx, id, &common, now)).await?;
        self.moulds.note_kept(&mould, now.plus(TOLD_AGAIN));
        Ok(Some(mould))
    }
}
