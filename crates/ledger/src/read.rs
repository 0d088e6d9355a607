//! Tiles, entry bundles and proofs, from full tiles in the store and the edge in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use store::Tx;
use trust::merkle::{Hash, Node, Tile, TileNode, consistency_proof, inclusion_proof, leaf_hash, verify_inclusion};

use crate::publish::{Published, damaged, full_tile};
use crate::{LedgerError, rows};

/// The inclusion proof of an entry under the published checkpoint, verified.
pub(crate) fn inclusion(tx: &mut Tx<'_>, published: &Published, index: u64) -> Result<Vec<Hash>, LedgerError> {
    let entry = rows::entries(tx, index, 1)?.into_iter().next();
    let entry = entry.ok_or_else(|| damaged(&format!("entry {index}"), "it is missing"))?;
    let (size, root) = (published.checkpoint.size, published.checkpoint.root);
    let proof = inclusion_proof(index, size, &mut nodes(tx, published))?;
    verify_inclusion(&leaf_hash(&entry.entry), index, size, &proof, &root)?;
    Ok(proof)
}

pub(crate) fn consistency(
    tx: &mut Tx<'_>,
    published: &Published,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, LedgerError> {
    consistency_proof(old, new, &mut nodes(tx, published))
}

/// A tile as it is served. A narrower partial tile than the present one is its beginning.
pub(crate) fn tile(tx: &mut Tx<'_>, published: &Published, tile: Tile) -> Result<Option<Vec<u8>>, LedgerError> {
    let there = Tile::width_in(tile.level, tile.index, published.checkpoint.size);
    if tile.width > there {
        return Ok(None);
    }
    let hashes =
        if there == 256 { full_tile(tx, tile.level, tile.index)? } else { published.edge.partial(tile.level).to_vec() };
    Ok(hashes.get(..usize::from(tile.width)).map(<[Hash]>::concat))
}

/// The entries under a tile of level 0, each behind its length in two bytes, and each with the hash that is signed.
pub(crate) fn bundle(tx: &mut Tx<'_>, published: &Published, asked: Tile) -> Result<Option<Vec<u8>>, LedgerError> {
    let Some(hashes) = tile(tx, published, Tile { level: 0, ..asked })? else { return Ok(None) };
    let (hashes, _) = hashes.as_chunks::<32>();
    let start = asked.index.saturating_mul(256);
    let entries = rows::entries(tx, start, u64::from(asked.width))?;
    if entries.len() != hashes.len() {
        return Err(damaged(&format!("the entries from {start}"), "some are missing"));
    }
    let mut bundle = Vec::new();
    for (row, hash) in entries.iter().zip(hashes) {
        let length = u16::try_from(row.entry.len());
        let (Ok(length), true) = (length, leaf_hash(&row.entry) == *hash) else {
            return Err(damaged(&format!("entry {}", row.position), "its hash is not the one that is signed"));
        };
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(&row.entry);
    }
    Ok(Some(bundle))
}

/// Reads the hash of any complete subtree; tiles are fetched once.
fn nodes(tx: &mut Tx<'_>, published: &Published) -> impl FnMut(Node) -> Result<Hash, LedgerError> {
    let mut fetched: HashMap<(u8, u64), Vec<Hash>> = HashMap::new();
    move |node| {
        let place = TileNode::of(node, published.checkpoint.size);
        let Tile { level, index, width } = place.tile;
        let hash = if width == 256 {
            let hashes = match fetched.entry((level, index)) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(empty) => empty.insert(full_tile(tx, level, index)?),
            };
            place.hash_in(hashes)
        } else {
            place.hash_in(published.edge.partial(level))
        };
        hash.ok_or_else(|| damaged(&format!("tile {level}/{index}"), "it is too narrow"))
    }
}
