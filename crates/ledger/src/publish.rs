//! What the world may see: the last signed checkpoint and the growing edge of the tree under it.
//!
//! Order of publication (that of Sunlight): the entries are staged and the checkpoint is swapped (compare-and-swap on
//! its size) in one transaction; when that is durable the tiles are written, then the checkpoint beside them; only then
//! are readers shown the new checkpoint and callers answered. Staged entries are forgotten when the tiles are synced.
//! The checkpoint row is the one thing that is trusted and must never go back: what it covers is signed.

use std::sync::{Arc, OnceLock};

use civic::Timestamp;
use store::Tx;
use trust::merkle::{Edge, TILE_WIDTH, TileTree};
use trust::note::{Checkpoint, Cosigner, Note, NoteError, NoteSigner, VerifierKey};

use crate::LedgerError;
use crate::folder::Folder;
use crate::log::Parts;
use crate::plan::Plan;
use crate::recent::Recent;
use crate::rows::{self, BatchRow, Rows};
use crate::source::{damaged, load_edge, load_recent, recent_tiles};

/// Staged batches are read so many at a time when a log is opened.
const REPLAY_BATCHES: u32 = 64;

/// A checkpoint with the edge that leads to it.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: String,
    pub(crate) edge: Edge,
    /// The trees over the partial tiles of the edge, by level, made when a proof first needs one.
    trees: [OnceLock<TileTree>; LEVELS],
}

/// A tree of 64-bit size has no more levels of tiles.
const LEVELS: usize = 8;

impl Published {
    fn new(checkpoint: Checkpoint, note: String, edge: Edge) -> Self {
        Self { checkpoint, note, edge, trees: Default::default() }
    }

    /// The tree over the partial tile of a level.
    pub(crate) fn edge_tree(&self, level: u8) -> &TileTree {
        static NONE: TileTree = TileTree::empty();
        let Some(tree) = self.trees.get(usize::from(level)) else { return &NONE };
        tree.get_or_init(|| TileTree::over(self.edge.partial(level).to_vec()))
    }
}

/// The keys of a log.
pub(crate) struct LogKeys {
    pub(crate) signer: NoteSigner,
    pub(crate) post_quantum: Option<Cosigner>,
}

impl LogKeys {
    pub(crate) fn verifier(&self) -> VerifierKey {
        self.signer.verifier()
    }

    /// The signed checkpoint of this edge.
    pub(crate) fn sign(&self, edge: Edge, now: Timestamp) -> Result<Published, LedgerError> {
        let checkpoint = Checkpoint::new(self.verifier().name(), edge.size(), edge.root())?;
        let mut note = self.signer.sign(&checkpoint.text())?;
        if let Some(cosigner) = &self.post_quantum {
            cosigner.add_to(&mut note, u64::try_from(now.seconds()).unwrap_or_default())?;
        }
        Ok(Published::new(checkpoint, note.to_string(), edge))
    }

    /// Reads a checkpoint of this log and verifies every signature of its keys; the Ed25519 one must be there.
    fn open(&self, note: &str) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::open(note, &self.verifier())?;
        if let Some(cosigner) = &self.post_quantum {
            match Note::parse(note)?.verify(&[cosigner.verifier()]) {
                // The key is new to this log: the next checkpoint carries it.
                Ok(_) | Err(NoteError::Unsigned(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(checkpoint)
    }
}

/// Stages the entries of a step and swaps the checkpoint, in one transaction. [`LedgerError::Stale`] where the log is no
/// longer as the step began.
pub(crate) async fn commit(parts: &Parts, plan: &Arc<Plan>, published: &Arc<Published>) -> Result<(), LedgerError> {
    let (plan, published, origin) = (Arc::clone(plan), Arc::clone(published), parts.keys.verifier());
    let (with_tiles, now) = (parts.folder.is_none(), parts.clock.now());
    let swap = move |tx: &mut Tx<'_>| {
        let swapped = rows::publish(tx, origin.name(), &plan, &published.note, with_tiles, now)?;
        if swapped { Ok(()) } else { Err(LedgerError::Stale) }
    };
    parts.store.tx("ledger.publish", swap).await
}

/// The state of the log as it is stored, checked: the checkpoint is ours, and the last entries and tiles lead to its
/// root. Makes the checkpoint of the empty log where there is none; writes anew what the folder may have lost.
pub(crate) async fn load(parts: &Arc<Parts>) -> Result<(Published, Recent), LedgerError> {
    let inner = Arc::clone(parts);
    let most = parts.recent_entries_max;
    let Some(folder) = &parts.folder else {
        let rows = move |tx: &mut Tx<'_>| {
            let (checkpoint, note, staged) = trusted(tx, &inner)?;
            if staged.is_some_and(|(first, _)| first > 0) {
                return Err(damaged("the first entries", "they are not in the store: open the log with its folder"));
            }
            let edge = load_edge(&mut Rows(tx), checkpoint.size)?;
            let recent = load_recent(&mut Rows(tx), &edge, most)?;
            Ok((finish(checkpoint, note, edge)?, recent))
        };
        return parts.store.tx("ledger.open", rows).await;
    };
    let (checkpoint, note, staged) = parts.store.tx("ledger.open", move |tx| trusted(tx, &inner)).await?;
    let first = staged.map_or(checkpoint.size, |(first, _)| first);
    let synced = synced_files(first, checkpoint.size);
    let mut edge = blocking(folder, move |folder| folder.begin(synced)).await?;
    let mut next = first;
    loop {
        let page = parts.store.read("ledger.staged", move |tx| rows::batches(tx, next, REPLAY_BATCHES)).await?;
        let Some(last) = page.last() else { break };
        next = last.first + last.entries;
        edge = blocking(folder, move |folder| replay(folder, edge, &page)).await?;
    }
    let published = finish(checkpoint, note, edge)?;
    blocking(folder, move |folder| {
        folder.mend(&published.edge, &published.note)?;
        folder.read_ahead(recent_tiles(published.edge.size(), most))?;
        let recent = load_recent(&mut crate::folder::Files(folder), &published.edge, most)?;
        Ok((published, recent))
    })
    .await
}

/// Runs what reads or writes files where it may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    folder: &Arc<Folder>,
    body: impl FnOnce(&Folder) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let folder = Arc::clone(folder);
    tokio::task::spawn_blocking(move || body(&folder)).await.unwrap_or(Err(LedgerError::Closed))
}

/// How many entries, a whole number of tiles, the synced files of the folder must hold where the first staged entry is
/// `first` and the log has `size`.
pub(crate) fn synced_files(first: u64, size: u64) -> u64 {
    let boundary = first.next_multiple_of(TILE_WIDTH);
    if boundary > size { size - size % TILE_WIDTH } else { boundary }
}

/// Brings staged batches into the folder again.
pub(crate) fn replay(folder: &Folder, mut edge: Edge, batches: &[BatchRow]) -> Result<Edge, LedgerError> {
    for batch in batches {
        batch.parts()?;
        let plan = Plan::replay(&edge, batch.first, &batch.bundle)
            .ok_or_else(|| damaged(&format!("the entries before {}", batch.first), "some are missing"))?;
        folder.fill(&plan)?;
        folder.tidy(&plan)?;
        edge = plan.edge;
    }
    Ok(edge)
}

/// What the store says of a log: the checkpoint, its note, and the range of the staged entries.
type Trusted = (Checkpoint, String, Option<(u64, u64)>);

/// The checkpoint row, verified, and the range of the staged batches, which ends where the checkpoint does.
fn trusted(tx: &mut Tx<'_>, parts: &Parts) -> Result<Trusted, LedgerError> {
    let verifier = parts.keys.verifier();
    let row = rows::checkpoint(tx)?;
    rows::convert_legacy(tx)?;
    let staged = rows::staged_range(tx)?;
    let Some(row) = row else {
        if staged.is_some() {
            return Err(damaged("the checkpoint", "it is missing, but there are entries"));
        }
        let published = parts.keys.sign(Edge::default(), parts.clock.now())?;
        rows::create_checkpoint(tx, verifier.name(), &published.note, parts.clock.now())?;
        return Ok((published.checkpoint, published.note, None));
    };
    if row.origin != verifier.name() {
        return Err(LedgerError::OtherLog { expected: verifier.name().to_owned(), found: row.origin });
    }
    let checkpoint = parts.keys.open(&row.note)?;
    if checkpoint.size != row.size {
        return Err(damaged("the checkpoint", "its size is not the one that is signed"));
    }
    match staged {
        Some((_, end)) if end > checkpoint.size => {
            Err(damaged("the entries", "there are more than the checkpoint covers"))
        }
        Some((_, end)) if end < checkpoint.size => Err(damaged("the last entries", "some are missing")),
        _ => Ok((checkpoint, row.note, staged)),
    }
}

fn finish(checkpoint: Checkpoint, note: String, edge: Edge) -> Result<Published, LedgerError> {
    if edge.size() != checkpoint.size || edge.root() != checkpoint.root {
        return Err(damaged("the last tiles", "they do not lead to the signed root"));
    }
    Ok(Published::new(checkpoint, note, edge))
}
