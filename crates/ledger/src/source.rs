//! Where tiles and entries are read from, and what is made of them once they are verified against the signed root.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use trust::merkle::{
    Edge, Hash, Node, TILE_WIDTH, Tile, TileNode, TileTree, consistency_proof, inclusion_proof, leaf_hash, root_of,
    verify_inclusion,
};

use crate::LedgerError;
use crate::publish::Published;
use crate::recent::Recent;

/// Full tiles and entries as they are stored; nothing of them is to be believed.
pub(crate) trait Source {
    /// The bytes of a full tile, where it is there.
    fn tile(&mut self, level: u8, index: u64) -> Result<Option<Vec<u8>>, LedgerError>;
    /// The first `width` entries under a tile of level 0; fewer where some are missing.
    fn bundle(&mut self, index: u64, width: u16) -> Result<Vec<Vec<u8>>, LedgerError>;
}

/// A source without anything, which notes that it was asked: what was verified before needs no look at a disk.
#[derive(Default)]
pub(crate) struct Nothing {
    pub(crate) asked: bool,
}

impl Source for Nothing {
    fn tile(&mut self, _: u8, _: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        self.asked = true;
        Ok(None)
    }

    fn bundle(&mut self, _: u64, _: u16) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.asked = true;
        Ok(Vec::new())
    }
}

/// Tiles that were found to lead to a signed root. A full tile never changes, so it stays verified; two generations
/// keep those that are asked for often.
#[derive(Default)]
pub(crate) struct TileCache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<(u8, u64), Arc<TileTree>>,
    old: HashMap<(u8, u64), Arc<TileTree>>,
}

/// Each generation holds at most so many tiles of 16 KiB with their inner nodes.
const GENERATION_TILES_MAX: usize = 2_048;

impl TileCache {
    fn get(&self, place: (u8, u64)) -> Option<Arc<TileTree>> {
        let mut tiles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tile) = tiles.young.get(&place) {
            return Some(Arc::clone(tile));
        }
        let tile = tiles.old.remove(&place)?;
        tiles.insert(place, Arc::clone(&tile));
        Some(tile)
    }

    fn insert(&self, place: (u8, u64), tile: Arc<TileTree>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place, tile);
    }
}

impl Generations {
    fn insert(&mut self, place: (u8, u64), tile: Arc<TileTree>) {
        if self.young.len() >= GENERATION_TILES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, tile);
    }
}

/// What a reader of one checkpoint may see of a source.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a mut dyn Source,
    pub(crate) published: &'a Published,
    pub(crate) cache: &'a TileCache,
}

impl Reader<'_> {
    /// The inclusion proof of an entry, verified.
    pub(crate) fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, LedgerError> {
        let (size, root) = (self.published.checkpoint.size, self.published.checkpoint.root);
        let leaf = self.node(Node { height: 0, index })?;
        let proof = inclusion_proof(index, size, &mut |node| self.node(node))?;
        verify_inclusion(&leaf, index, size, &proof, &root)?;
        Ok(proof)
    }

    pub(crate) fn consistency(&mut self, old: u64, new: u64) -> Result<Vec<Hash>, LedgerError> {
        consistency_proof(old, new, &mut |node| self.node(node))
    }

    /// A tile as it is served. A narrower partial tile than the present one is its beginning.
    pub(crate) fn tile(&mut self, tile: Tile) -> Result<Option<Vec<u8>>, LedgerError> {
        let there = Tile::width_in(tile.level, tile.index, self.published.checkpoint.size);
        if tile.width > there {
            return Ok(None);
        }
        let cut = |hashes: &[Hash]| hashes.get(..usize::from(tile.width)).map(<[Hash]>::concat);
        match there {
            256 => Ok(cut(self.verified(tile.level, tile.index)?.hashes())),
            _ => Ok(cut(self.published.edge.partial(tile.level))),
        }
    }

    /// The entries under a tile of level 0, each behind its length in two bytes, and each with the hash that is signed.
    pub(crate) fn bundle(&mut self, asked: Tile) -> Result<Option<Vec<u8>>, LedgerError> {
        let Some(hashes) = self.tile(Tile { level: 0, ..asked })? else { return Ok(None) };
        let (hashes, _) = hashes.as_chunks::<32>();
        let start = asked.index.saturating_mul(TILE_WIDTH);
        let there = Tile::width_in(0, asked.index, self.published.checkpoint.size);
        let entries = self.source.bundle(asked.index, there)?;
        let mut bundle = Vec::new();
        for (position, hash) in (start..).zip(hashes) {
            let place = || format!("entry {position}");
            let entry = entries.get((position - start) as usize).ok_or_else(|| damaged(&place(), "it is missing"))?;
            if leaf_hash(entry) != *hash {
                return Err(damaged(&place(), "its hash is not the one that is signed"));
            }
            crate::bundle::push(&mut bundle, entry);
        }
        Ok(Some(bundle))
    }

    /// The hash of any complete subtree.
    fn node(&mut self, node: Node) -> Result<Hash, LedgerError> {
        let place = TileNode::of(node, self.published.checkpoint.size);
        let Tile { level, index, width } = place.tile;
        let hash = match width {
            256 => place.find_in(&*self.verified(level, index)?),
            _ => place.find_in(self.published.edge_tree(level)),
        };
        hash.ok_or_else(|| damaged(&place.tile.path(), "it is too narrow"))
    }

    /// A full tile that leads to the signed root: its own root stands in the tile above, and so on up to the edge.
    fn verified(&mut self, level: u8, index: u64) -> Result<Arc<TileTree>, LedgerError> {
        if let Some(tile) = self.cache.get((level, index)) {
            return Ok(tile);
        }
        let tile = TileTree::over(full_tile(self.source, level, index)?);
        let above = Tile { level: level + 1, index: index / TILE_WIDTH, width: 0 };
        let within = (index % TILE_WIDTH) as usize;
        let width = Tile::width_in(above.level, above.index, self.published.checkpoint.size);
        let expected = match width {
            256 => self.verified(above.level, above.index)?.hashes().get(within).copied(),
            _ => self.published.edge.partial(above.level).get(within).copied(),
        };
        if expected.is_none() || expected != tile.root() {
            return Err(damaged(&place_of(level, index), "it does not lead to the signed root"));
        }
        let tile = Arc::new(tile);
        self.cache.insert((level, index), Arc::clone(&tile));
        Ok(tile)
    }
}

/// The hashes of a full tile that must be there.
pub(crate) fn full_tile(source: &mut dyn Source, level: u8, index: u64) -> Result<Vec<Hash>, LedgerError> {
    let bytes = source.tile(level, index)?.ok_or_else(|| damaged(&place_of(level, index), "it is missing"))?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if hashes.len() != 256 || !rest.is_empty() {
        return Err(damaged(&place_of(level, index), "it has not 256 hashes"));
    }
    Ok(hashes.to_vec())
}

/// The edge of the log of this size: from its last entries, and from the full tiles below each partial one.
pub(crate) fn load_edge(source: &mut dyn Source, size: u64) -> Result<Edge, LedgerError> {
    let mut partial: Vec<Vec<Hash>> = Vec::new();
    let (mut level, mut complete) = (0_u8, size);
    while complete > 0 {
        let width = complete % TILE_WIDTH;
        let first = complete - width;
        let mut hashes = Vec::new();
        if level > 0 {
            for index in first..complete {
                hashes.push(root_of(&full_tile(source, level - 1, index)?));
            }
        } else if width > 0 {
            hashes.extend(source.bundle(complete / TILE_WIDTH, width as u16)?.iter().map(|entry| leaf_hash(entry)));
        }
        partial.push(hashes);
        complete /= TILE_WIDTH;
        level += 1;
    }
    let mut levels = partial.into_iter();
    Edge::from_partial(size, |_| levels.next().unwrap_or_default())
        .ok_or_else(|| damaged("the last entries", "some are missing"))
}

/// The full tiles of the last leaves of a log of this size.
pub(crate) fn recent_tiles(size: u64, most: usize) -> Range<u64> {
    size.saturating_sub(most as u64) / TILE_WIDTH..size / TILE_WIDTH
}

/// The last leaves before this edge, as many as are remembered.
pub(crate) fn load_recent(source: &mut dyn Source, edge: &Edge, most: usize) -> Result<Recent, LedgerError> {
    let mut recent = Recent::new(most);
    let tiles = recent_tiles(edge.size(), most);
    let full = tiles.end;
    for index in tiles {
        for (position, leaf) in (index * TILE_WIDTH..).zip(full_tile(source, 0, index)?) {
            recent.insert(&leaf, position);
        }
    }
    for (position, leaf) in (full * TILE_WIDTH..).zip(edge.partial(0)) {
        recent.insert(leaf, position);
    }
    Ok(recent)
}

pub(crate) fn place_of(level: u8, index: u64) -> String {
    Tile { level, index, width: 256 }.path()
}

pub(crate) fn damaged(place: &str, reason: &str) -> LedgerError {
    LedgerError::Damaged { place: place.to_owned(), reason: reason.to_owned() }
}
