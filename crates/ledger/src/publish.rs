//! What the world may see: the last signed checkpoint and the growing edge of the tree under it.
//!
//! Order of publication: entries and full tiles are written and the checkpoint is swapped (compare-and-swap on its
//! size) in one transaction; only when that is durable are callers answered and readers shown the new checkpoint. The
//! checkpoint row is the one thing that must never go back: what it covers is signed.

use civic::Timestamp;
use store::Tx;
use trust::merkle::{Edge, Hash, leaf_hash, root_of};
use trust::note::{Checkpoint, NoteSigner};

use crate::{LedgerError, rows};

/// A checkpoint with the edge that leads to it.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: String,
    pub(crate) edge: Edge,
}

/// Entries to be added, each once, with their leaf hashes.
pub(crate) type Batch = Vec<(Hash, Vec<u8>)>;

/// Adds the entries of the batch that are new, and signs what comes of it. The position of each entry of the batch,
/// and the new state where there is one. [`LedgerError::Stale`] where the log is no longer as `edge` knows it.
pub(crate) fn integrate(
    tx: &mut Tx<'_>,
    signer: &NoteSigner,
    edge: &Edge,
    batch: &Batch,
    now: Timestamp,
) -> Result<(Vec<u64>, Option<Published>), LedgerError> {
    let old = edge.size();
    if rows::checkpoint(tx)?.is_none_or(|row| row.size != old) {
        return Err(LedgerError::Stale);
    }
    let leaves: Vec<Hash> = batch.iter().map(|(leaf, _)| *leaf).collect();
    let known = rows::positions(tx, &leaves)?;
    let mut edge = edge.clone();
    let mut tiles = Vec::new();
    let mut positions = Vec::with_capacity(batch.len());
    for (leaf, position) in leaves.iter().zip(&known) {
        if let Some(position) = position {
            positions.push(*position);
            continue;
        }
        positions.push(edge.size());
        edge.push(*leaf, |tile, hashes| tiles.push((tile.level, tile.index, hashes.concat())));
    }
    if edge.size() == old {
        return Ok((positions, None));
    }
    let new = batch.iter().zip(&positions).zip(&known).filter(|(_, known)| known.is_none());
    rows::add_entries(tx, new.map(|(((leaf, entry), position), _)| (*position, leaf, entry.as_slice())))?;
    rows::add_tiles(tx, &tiles)?;
    let published = sign(signer, edge)?;
    let origin = signer.verifier();
    if !rows::swap_checkpoint(tx, origin.name(), old, published.checkpoint.size, &published.note, now)? {
        return Err(LedgerError::Stale);
    }
    Ok((positions, Some(published)))
}

/// The state of the log as it is stored, checked: the checkpoint is ours, and the last entries and tiles lead to its
/// root. Makes the checkpoint of the empty log where there is none.
pub(crate) fn load(tx: &mut Tx<'_>, signer: &NoteSigner, now: Timestamp) -> Result<Published, LedgerError> {
    let verifier = signer.verifier();
    let Some(row) = rows::checkpoint(tx)? else {
        return start(tx, signer, now);
    };
    if row.origin != verifier.name() {
        return Err(LedgerError::OtherLog { expected: verifier.name().to_owned(), found: row.origin });
    }
    let checkpoint = Checkpoint::open(&row.note, &verifier)?;
    if checkpoint.size != row.size {
        return Err(damaged("the checkpoint", "its size is not the one that is signed"));
    }
    if rows::entries_from(tx, checkpoint.size)? > 0 {
        return Err(damaged("the entries", "there are more than the checkpoint covers"));
    }
    let edge = load_edge(tx, checkpoint.size)?;
    if edge.root() != checkpoint.root {
        return Err(damaged("the last tiles", "they do not lead to the signed root"));
    }
    Ok(Published { checkpoint, note: row.note, edge })
}

fn start(tx: &mut Tx<'_>, signer: &NoteSigner, now: Timestamp) -> Result<Published, LedgerError> {
    if rows::entries_from(tx, 0)? > 0 {
        return Err(damaged("the checkpoint", "it is missing, but there are entries"));
    }
    let published = sign(signer, Edge::default())?;
    rows::create_checkpoint(tx, signer.verifier().name(), &published.note, now)?;
    Ok(published)
}

fn sign(signer: &NoteSigner, edge: Edge) -> Result<Published, LedgerError> {
    let checkpoint = Checkpoint::new(signer.verifier().name(), edge.size(), edge.root())?;
    let note = checkpoint.sign(signer)?;
    Ok(Published { checkpoint, note, edge })
}

/// The partial tiles, from the last entries and from the full tiles below them.
fn load_edge(tx: &mut Tx<'_>, size: u64) -> Result<Edge, LedgerError> {
    let mut partial: Vec<Vec<Hash>> = Vec::new();
    let (mut level, mut complete) = (0_u8, size);
    while complete > 0 {
        let width = complete % 256;
        let first = complete - width;
        let mut hashes = Vec::new();
        if level == 0 {
            for row in rows::entries(tx, first, width)? {
                hashes.push(leaf_hash(&row.entry));
            }
        } else {
            for index in first..complete {
                hashes.push(root_of(&full_tile(tx, level - 1, index)?));
            }
        }
        partial.push(hashes);
        complete /= 256;
        level += 1;
    }
    let mut levels = partial.into_iter();
    Edge::from_partial(size, |_| levels.next().unwrap_or_default())
        .ok_or_else(|| damaged("the last entries", "some are missing"))
}

/// The hashes of a full tile that must be there.
pub(crate) fn full_tile(tx: &mut Tx<'_>, level: u8, index: u64) -> Result<Vec<Hash>, LedgerError> {
    let place = || format!("tile {level}/{index}");
    let bytes = rows::tile(tx, level, index)?.ok_or_else(|| damaged(&place(), "it is missing"))?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if hashes.len() != 256 || !rest.is_empty() {
        return Err(damaged(&place(), "it has not 256 hashes"));
    }
    Ok(hashes.to_vec())
}

pub(crate) fn damaged(place: &str, reason: &str) -> LedgerError {
    LedgerError::Damaged { place: place.to_owned(), reason: reason.to_owned() }
}
