use std::sync::Arc;

use trust::merkle::{Edge, leaf_hash};

use crate::log::Shared;
use crate::publish::damaged;
use crate::{LedgerError, rows};

/// Entries read at a time.
const PAGE: u64 = 512;

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
        let page = (size - before.size()).min(PAGE);
        let walked = shared.store.read("ledger.check", move |tx| walk(tx, before.clone(), page)).await?;
        edge = walked.0;
        tiles += walked.1;
    }
    if edge.root() != published.checkpoint.root {
        return Err(damaged("the checkpoint", "the entries lead to another root than the one that is signed"));
    }
    Ok(CheckReport { entries: size, tiles })
}

/// Adds a page of entries to the edge and compares each tile that it fills.
fn walk(tx: &mut store::Tx<'_>, mut edge: Edge, page: u64) -> Result<(Edge, u64), LedgerError> {
    let start = edge.size();
    let entries = rows::entries(tx, start, page)?;
    let mut filled = Vec::new();
    for (row, expected) in entries.iter().zip(start..) {
        let leaf = leaf_hash(&row.entry);
        if row.position != expected {
            return Err(damaged(&format!("entry {expected}"), "it is missing"));
        }
        if row.leaf_hash != leaf {
            return Err(damaged(&format!("entry {expected}"), "its hash is not the one that was stored with it"));
        }
        edge.push(leaf, |tile, hashes| filled.push((tile, hashes.concat())));
    }
    if entries.len() as u64 != page {
        return Err(damaged(&format!("entry {}", start + entries.len() as u64), "it is missing"));
    }
    for (tile, hashes) in &filled {
        if rows::tile(tx, tile.level, tile.index)?.as_ref() != Some(hashes) {
            return Err(damaged(&tile.path(), "it is not what the entries make of it"));
        }
    }
    Ok((edge, filled.len() as u64))
}
