//! What lies under a time stamp, kept once: the way of a record to the stamped file is made anew when its evidence is asked for. Ways kept
//! with each record were a fifth of what a node writes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use trust::digest::DigestAlgorithm;
use trust::hashchain::{Files, HashChainError, Ways};

use super::{LogError, MessageLog, sql};

const DIGEST_BYTES: usize = 64;
const LEAF_BYTES: usize = 8 + DIGEST_BYTES;
/// Trees that are remembered, one megabyte each: whoever reads evidence reads records that stand together.
const REMEMBERED_MAX: usize = 2;

/// The records under one stamp, and their tree.
pub(super) struct Leaves {
    records: Vec<i64>,
    ways: Ways,
}

impl Leaves {
    /// The tree over records and the SHA-512 of their signatures.
    pub(super) fn of(batch: Vec<(i64, Vec<u8>)>) -> Result<Self, HashChainError> {
        let (records, mut digests): (Vec<i64>, Vec<Vec<u8>>) = batch.into_iter().unzip();
        if let [alone] = digests.as_slice() {
            // A chain needs two files: a lone signature is paired with itself, so that there is one kind of stamp.
            digests.push(alone.clone());
        }
        let ways = Ways::build(DigestAlgorithm::Sha512, Files::TIME_STAMP, digests)?;
        Ok(Self { records, ways })
    }

    /// The file that is stamped (`ts-hashchainresult.xml`).
    pub(super) fn result(&self) -> &str {
        &self.ways.result
    }

    pub(super) fn records(&self) -> &[i64] {
        &self.records
    }

    /// As they are kept.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.records.len() * LEAF_BYTES);
        for (record, digest) in self.records.iter().zip(self.ways.digests()) {
            bytes.extend_from_slice(&record.to_be_bytes());
            bytes.extend_from_slice(digest);
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let leaf = |leaf: &[u8]| {
            let (record, digest) = leaf.split_first_chunk::<8>()?;
            (digest.len() == DIGEST_BYTES).then(|| (i64::from_be_bytes(*record), digest.to_vec()))
        };
        Self::of(bytes.chunks(LEAF_BYTES).map(leaf).collect::<Option<_>>()?).ok()
    }

    /// The hash chain of a record (`ts-hashchain.xml`).
    fn chain(&self, record: i64, signature_digest: &[u8; 64]) -> Option<String> {
        let place = self.records.iter().position(|other| *other == record)?;
        Some(self.ways.way(place).chain(Files::TIME_STAMP, signature_digest))
    }
}

/// The trees that were made last.
#[derive(Default)]
pub(super) struct Trees(Mutex<VecDeque<(i64, Arc<Leaves>)>>);

impl Trees {
    fn find(&self, stamp: i64) -> Option<Arc<Leaves>> {
        let trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trees.iter().find(|(id, _)| *id == stamp).map(|(_, leaves)| Arc::clone(leaves))
    }

    fn remember(&self, stamp: i64, leaves: &Arc<Leaves>) {
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trees.truncate(REMEMBERED_MAX - 1);
        trees.push_front((stamp, Arc::clone(leaves)));
    }
}

impl MessageLog {
    /// The hash chain that leads from a signature to its stamp.
    pub(super) async fn stamp_chain(
        &self,
        record: i64,
        stamp: i64,
        result: &[u8],
        signature_digest: &[u8; 64],
    ) -> Result<Vec<u8>, LogError> {
        let damaged = |reason| LogError::Damaged { id: record, reason };
        let leaves = if let Some(leaves) = self.trees.find(stamp) {
            leaves
        } else {
            let kept = self.store.read("bridge.stamp_leaves", move |tx| sql::stamp_leaves(tx, stamp)).await?;
            let leaves = kept.as_deref().and_then(Leaves::from_bytes);
            let leaves = Arc::new(leaves.ok_or_else(|| damaged("what lies under its stamp is cut"))?);
            self.trees.remember(stamp, &leaves);
            leaves
        };
        if leaves.result().as_bytes() != result {
            return Err(damaged("what lies under its stamp is not what was stamped"));
        }
        let chain = leaves.chain(record, signature_digest);
        Ok(chain.ok_or_else(|| damaged("it is not among the records under its stamp"))?.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use trust::hashchain::build;

    use super::*;

    fn batch(count: u8) -> Vec<(i64, Vec<u8>)> {
        (0..count).map(|number| (1_000 + i64::from(number), vec![number; 64])).collect()
    }

    #[test]
    fn chains_are_made_from_kept_leaves_as_they_were_stamped() {
        for count in [1, 2, 3, 100] {
            let made = Leaves::of(batch(count)).unwrap();
            let kept = Leaves::from_bytes(&made.to_bytes()).unwrap();
            assert_eq!(kept.result(), made.result());
            let mut messages: Vec<Vec<Vec<u8>>> = batch(count).into_iter().map(|(_, digest)| vec![digest]).collect();
            if count == 1 {
                messages.push(messages[0].clone());
            }
            let whole = build(DigestAlgorithm::Sha512, Files::TIME_STAMP, &messages).unwrap();
            for ((record, digest), chain) in batch(count).into_iter().zip(whole.chains) {
                assert_eq!(kept.chain(record, digest.as_slice().try_into().unwrap()), Some(chain));
            }
            assert_eq!(kept.chain(1, &[0; 64]), None);
        }
    }

    #[test]
    fn leaves_that_are_cut_are_not_read() {
        let bytes = Leaves::of(batch(3)).unwrap().to_bytes();
        for end in 0..bytes.len() {
            let read = Leaves::from_bytes(&bytes[..end]);
            assert_eq!(read.is_some(), end > 0 && end % LEAF_BYTES == 0, "cut at {end}");
            assert!(read.is_none_or(|read| read.result() != Leaves::of(batch(3)).unwrap().result()), "cut at {end}");
        }
    }
}
