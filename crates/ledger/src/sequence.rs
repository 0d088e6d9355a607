//! The sequencer: gathers whoever waits, gives each entry its place, and answers when all is durable and signed.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use trust::merkle::{Hash, leaf_hash};

use crate::LedgerError;
use crate::log::Shared;
use crate::publish::{self, Batch};

/// One transaction and one checkpoint cover at most about this many entries.
const BATCH_ENTRIES_MAX: usize = 4_096;
/// How often a batch is tried against a log that another process moves on.
const TRIES_MAX: u32 = 5;

/// A caller of [`crate::Ledger::append`] who waits.
pub(crate) struct Request {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) answer: oneshot::Sender<Result<Vec<u64>, LedgerError>>,
}

/// Serves requests until all handles on the ledger are gone.
pub(crate) async fn serve(shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>) {
    while let Some(first) = requests.recv().await {
        let mut gathered = first.entries.len();
        let mut group = vec![first];
        while gathered < BATCH_ENTRIES_MAX
            && let Ok(next) = requests.try_recv()
        {
            gathered += next.entries.len();
            group.push(next);
        }
        serve_group(&shared, group).await;
    }
}

async fn serve_group(shared: &Arc<Shared>, mut group: Vec<Request>) {
    let mut places: HashMap<Hash, usize> = HashMap::new();
    let mut batch: Batch = Vec::new();
    let mut wanted: Vec<Vec<usize>> = Vec::with_capacity(group.len());
    for request in &mut group {
        let entries = std::mem::take(&mut request.entries);
        let mut own = Vec::with_capacity(entries.len());
        for entry in entries {
            let leaf = leaf_hash(&entry);
            let place = *places.entry(leaf).or_insert_with(|| {
                batch.push((leaf, entry));
                batch.len() - 1
            });
            own.push(place);
        }
        wanted.push(own);
    }
    let outcome = sequence(shared, batch).await;
    for (request, own) in group.into_iter().zip(wanted) {
        let positions = outcome.as_ref().map_err(Clone::clone).and_then(|positions| {
            let own: Option<Vec<u64>> = own.iter().map(|place| positions.get(*place).copied()).collect();
            own.ok_or(LedgerError::Closed)
        });
        // A caller who went away does not want the answer; the entries are in the log all the same.
        let _ = request.answer.send(positions);
    }
}

/// The position of each entry of the batch.
async fn sequence(shared: &Arc<Shared>, batch: Batch) -> Result<Vec<u64>, LedgerError> {
    let entries = batch.len();
    let batch = Arc::new(batch);
    let mut tries = 0;
    loop {
        tries += 1;
        let (inner, batch, known) = (Arc::clone(shared), Arc::clone(&batch), shared.published());
        let outcome = shared
            .store
            .tx("ledger.sequence", move |tx| {
                publish::integrate(tx, &inner.signer, &known.edge, &batch, inner.clock.now())
            })
            .await;
        match outcome {
            Ok((positions, published)) => {
                if let Some(published) = published {
                    shared.metrics.batch(entries, published.checkpoint.size);
                    shared.show(published);
                }
                return Ok(positions);
            }
            // The log moved on without us: another replica, or a commit whose answer was lost.
            Err(LedgerError::Stale) if tries < TRIES_MAX => shared.reload().await?,
            Err(error) => {
                tracing::warn!(%error, entries, "a batch was not sequenced");
                return Err(error);
            }
        }
    }
}
