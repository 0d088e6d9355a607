use std::sync::Arc;

use trust::merkle::{Edge, TILE_WIDTH, Tile, leaf_hash};

use crate::LedgerError;
use crate::log::Shared;
use crate::publish::blocking;
use crate::source::{Source, damaged};

/// Bundles read at a time.
const PAGE: u64 = 16;

/// What a full check has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckReport {
    /// Entries whose hashes were recomputed.
    pub entries: u64,
    /// Full tiles that were compared.
    pub tiles: u64,
}

/// Walks the log from the first entry to the size of the checkpoint that is published now.
pub(crate) async fn run(shared: &Arc<Shared>) -> Result<CheckReport, LedgerError> {
    let published = shared.published();
    let size = published.checkpoint.size;
    let mut edge = Edge::default();
    let mut tiles = 0;
    while edge.size() < size {
        let before = edge.clone();
        let walked = shared.read("ledger.check", move |source| walk(source, before.clone(), size)).await?;
        edge = walked.0;
        tiles += walked.1;
    }
    if edge.root() != published.checkpoint.root {
        return Err(damaged("the entries", "they lead to another root than the one that is signed"));
    }
    if let Some(folder) = &shared.parts.folder {
        let shown = Arc::clone(&published);
        let stale = blocking(folder, move |folder| folder.stale(&shown.edge, &shown.note)).await?;
        if let Some(place) = stale.filter(|_| shared.published().checkpoint.size == size) {
            return Err(damaged(&place, "it is not what the entries make of it"));
        }
    }
    Ok(CheckReport { entries: size, tiles })
}

/// Adds some bundles of entries to the edge and compares each tile that they fill.
fn walk(source: &mut dyn Source, mut edge: Edge, size: u64) -> Result<(Edge, u64), LedgerError> {
    let mut filled = Vec::new();
    let first = edge.size() / TILE_WIDTH;
    for index in first..first + PAGE {
        let width = Tile::width_in(0, index, size);
        let entries = source.bundle(index, width)?;
        for entry in &entries {
            edge.push(leaf_hash(entry), |tile, hashes| filled.push((tile, hashes.concat())));
        }
        if entries.len() != usize::from(width) {
            return Err(damaged(&format!("entry {}", edge.size()), "it is missing"));
        }
    }
    for (tile, hashes) in &filled {
        let stored = source.tile(tile.level, tile.index)?;
        let Some(stored) = stored else { return Err(damaged(&tile.path(), "it is missing")) };
        if stored != *hashes {
            return Err(named(*tile, &stored, hashes));
        }
    }
    Ok((edge, filled.len() as u64))
}

/// A tile and what the entries make of it differ: one hash alone speaks of its entry, anything else of the tile.
fn named(tile: Tile, stored: &[u8], made: &[u8]) -> LedgerError {
    let differing: Vec<usize> = stored
        .chunks(32)
        .zip(made.chunks(32))
        .enumerate()
        .filter_map(|(place, (stored, made))| (stored != made).then_some(place))
        .collect();
    match differing.as_slice() {
        [place] if tile.level == 0 && stored.len() == made.len() => {
            let entry = tile.index.saturating_mul(TILE_WIDTH) + *place as u64;
            damaged(&format!("entry {entry}"), "it and its hash in the tile do not belong together")
        }
        _ => damaged(&tile.path(), "it is not what the entries make of it"),
    }
}
