//! What lies under a time stamp, kept once: the way of a record to the stamped file is made anew when its evidence is asked for. Ways kept
//! with each record were a fifth of what a node writes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use trust::digest::DigestAlgorithm;
use trust::hashchain::{Files, HashChainError, Ways};

use super::{LogError, MessageLog, sql};

/// What a stamp may be made over.
const ALGORITHMS: [DigestAlgorithm; 2] = [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512];
/// Trees that are remembered, one megabyte each: whoever reads evidence reads records that stand together.
const REMEMBERED_MAX: usize = 2;

/// The records under one stamp, and their tree.
pub(super) struct Leaves {
    records: Vec<i64>,
    ways: Ways,
}

impl Leaves {
    /// The tree over records and the digests of their signatures, which are all of one algorithm.
    pub(super) fn of(algorithm: DigestAlgorithm, batch: Vec<(i64, Vec<u8>)>) -> Result<Self, HashChainError> {
        let (records, mut digests): (Vec<i64>, Vec<Vec<u8>>) = batch.into_iter().unzip();
        if let [alone] = digests.as_slice() {
            // A chain needs two files: a lone signature is paired with itself, so that there is one kind of stamp.
            digests.push(alone.clone());
        }
        let ways = Ways::build(algorithm, Files::TIME_STAMP, digests)?;
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
        let mut bytes = Vec::with_capacity(self.records.len() * 72);
        for (record, digest) in self.records.iter().zip(self.ways.digests()) {
            bytes.extend_from_slice(&record.to_be_bytes());
            bytes.extend_from_slice(digest);
        }
        bytes
    }

    /// What was kept of the leaves of a stamped file; `None` where they do not make that file.
    fn under(result: &[u8], bytes: &[u8]) -> Option<Self> {
        let read = |algorithm: DigestAlgorithm| {
            let leaf = |leaf: &[u8]| {
                let (record, digest) = leaf.split_first_chunk::<8>()?;
                Some((i64::from_be_bytes(*record), digest.to_vec()))
            };
            let leaves = bytes.chunks(8 + algorithm.output_len()).map(leaf).collect::<Option<_>>()?;
            Self::of(algorithm, leaves).ok()
        };
        ALGORITHMS.into_iter().filter_map(read).find(|leaves| leaves.result().as_bytes() == result)
    }

    /// The hash chain of a record (`ts-hashchain.xml`).
    fn chain(&self, record: i64, signature_digest: &[u8]) -> Option<String> {
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
        signature_digest: &[u8],
    ) -> Result<Vec<u8>, LogError> {
        let damaged = |reason| LogError::Damaged { id: record, reason };
        let leaves = if let Some(leaves) = self.trees.find(stamp) {
            leaves
        } else {
            let kept = self.store.read("bridge.stamp_leaves", move |tx| sql::stamp_leaves(tx, stamp)).await?;
            let leaves = kept.as_deref().and_then(|kept| Leaves::under(result, kept));
            let leaves = Arc::new(leaves.ok_or_else(|| damaged("what lies under its stamp is not what was stamped"))?);
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

    fn batch(algorithm: DigestAlgorithm, count: u8) -> Vec<(i64, Vec<u8>)> {
        (0..count).map(|number| (1_000 + i64::from(number), vec![number; algorithm.output_len()])).collect()
    }

    #[test]
    fn chains_are_made_from_kept_leaves_as_they_were_stamped() {
        for (algorithm, count) in ALGORITHMS.into_iter().flat_map(|algorithm| [1, 2, 3, 9, 100].map(|n| (algorithm, n)))
        {
            let made = Leaves::of(algorithm, batch(algorithm, count)).unwrap();
            let kept = Leaves::under(made.result().as_bytes(), &made.to_bytes()).unwrap();
            assert_eq!(kept.result(), made.result());
            let mut messages: Vec<Vec<Vec<u8>>> =
                batch(algorithm, count).into_iter().map(|(_, digest)| vec![digest]).collect();
            if count == 1 {
                messages.push(messages[0].clone());
            }
            let whole = build(algorithm, Files::TIME_STAMP, &messages).unwrap();
            for ((record, digest), chain) in batch(algorithm, count).into_iter().zip(whole.chains) {
                assert_eq!(kept.chain(record, &digest), Some(chain));
            }
            assert_eq!(kept.chain(1, &[0; 64]), None);
        }
    }

    #[test]
    fn leaves_that_are_cut_or_altered_are_not_read() {
        for algorithm in ALGORITHMS {
            let made = Leaves::of(algorithm, batch(algorithm, 9)).unwrap();
            let (result, bytes) = (made.result().as_bytes(), made.to_bytes());
            for end in 0..bytes.len() {
                assert!(Leaves::under(result, &bytes[..end]).is_none(), "cut at {end}");
            }
            let altered = [&bytes[..20], &[bytes[20] ^ 1], &bytes[21..]].concat();
            assert!(Leaves::under(result, &altered).is_none());
        }
    }
}
