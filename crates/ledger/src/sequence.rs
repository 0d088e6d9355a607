//! The sequencer: gathers whoever waits, gives each entry its place, and answers when all is durable and signed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use store::StoreError;
use tokio::sync::{mpsc, oneshot};
use trust::merkle::{Hash, TILE_WIDTH, leaf_hash};

use crate::LedgerError;
use crate::folder::Folder;
use crate::log::Shared;
use crate::plan::{Batch, Plan};
use crate::publish::{self, Published, blocking};
use crate::rows;

/// One transaction and one checkpoint cover at most about this many entries.
const BATCH_ENTRIES_MAX: usize = 4_096;
/// And about this many bytes of them.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often a batch is tried against a log that another process moves on.
const TRIES_MAX: u32 = 5;
/// The folder is synced, and what is staged forgotten, each time so many entries were added,
const SETTLE_ENTRIES: u64 = 65_536;
/// or so many bytes of them.
const SETTLE_BYTES: usize = 16 * 1024 * 1024;

/// A caller of [`crate::Ledger::append`] who waits.
pub(crate) struct Request {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Result<Vec<u64>, LedgerError>>,
}

/// Serves requests until all handles on the ledger are gone.
pub(crate) async fn serve(shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>) {
    let mut staged = Staged::default();
    while let Some(first) = requests.recv().await {
        // Callers who were answered a moment ago ask again now: let them, and one commit serves all.
        tokio::task::yield_now().await;
        let (mut gathered, mut bytes) = (first.entries.len(), first.bytes);
        let mut group = vec![first];
        while gathered < BATCH_ENTRIES_MAX
            && bytes < BATCH_BYTES_MAX
            && let Ok(next) = requests.try_recv()
        {
            gathered += next.entries.len();
            bytes += next.bytes;
            group.push(next);
        }
        shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        serve_group(&shared, group).await;
        staged.settle_if_due(&shared, gathered as u64, bytes);
    }
}

/// Brings the folder to disk and forgets what was staged for it. The boundary is a whole number of tiles, so that the
/// files that are synced are full and never change.
pub(crate) async fn settle(shared: &Shared) -> Result<(), LedgerError> {
    let Some(folder) = &shared.parts.folder else { return Ok(()) };
    let size = shared.published().checkpoint.size;
    let end = size - size % TILE_WIDTH;
    let synced = blocking(folder, Folder::sync).await;
    if let Err(error) = synced {
        shared.stop(&error);
        return Err(error);
    }
    let forgotten = shared.parts.store.tx("ledger.settle", move |tx| rows::forget_batches(tx, end)).await?;
    tracing::debug!(forgotten, end, "the folder of tiles is synced");
    Ok(())
}

/// What was added since the folder was last synced.
#[derive(Default)]
struct Staged {
    entries: u64,
    bytes: usize,
    settling: Option<tokio::task::JoinHandle<()>>,
}

impl Staged {
    fn settle_if_due(&mut self, shared: &Arc<Shared>, entries: u64, bytes: usize) {
        self.entries += entries;
        self.bytes += bytes;
        let due = self.entries >= SETTLE_ENTRIES || self.bytes >= SETTLE_BYTES;
        let free = self.settling.as_ref().is_none_or(tokio::task::JoinHandle::is_finished);
        if shared.parts.folder.is_none() || !due || !free {
            return;
        }
        (self.entries, self.bytes) = (0, 0);
        let shared = Arc::clone(shared);
        self.settling = Some(tokio::spawn(async move {
            if let Err(error) = settle(&shared).await {
                tracing::error!(%error, "the folder of tiles could not be synced");
            }
        }));
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
    let outcome = sequence(shared, &batch).await;
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
async fn sequence(shared: &Arc<Shared>, batch: &Batch) -> Result<Vec<u64>, LedgerError> {
    let mut tries = 0;
    loop {
        tries += 1;
        if let Some(reason) = shared.stopped() {
            return Err(LedgerError::Stopped { reason });
        }
        if !shared.is_confirmed() {
            return Err(LedgerError::Unconfirmed);
        }
        let plan = Plan::new(&shared.published().edge, &shared.recent(), batch);
        if plan.added() == 0 {
            return Ok(plan.positions);
        }
        let plan = Arc::new(plan);
        let published = Arc::new(shared.parts.keys.sign(plan.edge.clone(), shared.parts.clock.now())?);
        match publish::commit(&shared.parts, &plan, &published).await {
            Ok(()) => {
                finish(shared, &plan, published).await?;
                return Ok(plan.positions.clone());
            }
            // The log moved on without us: another replica, or a commit whose answer was lost.
            Err(LedgerError::Stale) if tries < TRIES_MAX => shared.reload().await?,
            Err(error) => {
                tracing::warn!(%error, entries = batch.len(), "a batch was not sequenced");
                if matches!(error, LedgerError::Store(StoreError::Broken { .. })) {
                    shared.stop(&error);
                }
                return Err(error);
            }
        }
    }
}

/// The step is committed: tiles, checkpoint, and what is shown, in this order.
async fn finish(shared: &Arc<Shared>, plan: &Arc<Plan>, published: Arc<Published>) -> Result<(), LedgerError> {
    if let Some(folder) = &shared.parts.folder {
        let (plan, shown) = (Arc::clone(plan), Arc::clone(&published));
        let written = blocking(folder, move |folder| {
            folder.fill(&plan)?;
            folder.show(&shown.edge, &shown.note)?;
            folder.tidy(&plan)
        });
        if let Err(error) = written.await {
            // The commit holds; the folder is made whole from the staged batches at the next start, and not before.
            shared.stop(&error);
            return Err(error);
        }
    }
    shared.remember(plan);
    shared.metrics.batch(plan.added(), published.checkpoint.size);
    shared.show(published);
    Ok(())
}
