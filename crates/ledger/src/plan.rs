//! What a batch of entries makes of the log: positions, tiles, the new edge. Pure: nothing is written here.

use trust::merkle::{Edge, Hash, Tile, leaf_hash};

use crate::bundle;
use crate::recent::Recent;

/// Entries to be added, each once, with their leaf hashes.
pub(crate) type Batch = Vec<(Hash, Vec<u8>)>;

/// The next step of a log, before anything of it is written.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The size of the log before.
    pub(crate) old: u64,
    /// Where each entry of the batch stands, in its order.
    pub(crate) positions: Vec<u64>,
    /// The leaves that are new, in the order of their places from `old` on.
    pub(crate) leaves: Vec<Hash>,
    /// The new entries, each behind its length.
    pub(crate) bundle: Vec<u8>,
    /// The tiles that they fill, lowest level first where one fills another.
    pub(crate) tiles: Vec<(Tile, Vec<u8>)>,
    /// The edge after them.
    pub(crate) edge: Edge,
}

impl Plan {
    /// Gives each entry its place: the one it had, where it came lately, or the next one.
    pub(crate) fn new(edge: &Edge, recent: &Recent, batch: &Batch) -> Self {
        let mut plan = Self::from_edge(edge.clone());
        for (leaf, entry) in batch {
            let known = recent.position(leaf);
            plan.positions.push(known.unwrap_or(plan.edge.size()));
            if known.is_none() {
                plan.push(*leaf, entry);
            }
        }
        plan
    }

    /// The step that adds what is new in a batch as it was committed, whose first entry has the index `first`. `None`
    /// where entries before it are missing or the bundle is cut short.
    pub(crate) fn replay(edge: &Edge, first: u64, bundle: &[u8]) -> Option<Self> {
        let mut plan = Self::from_edge(edge.clone());
        let known = usize::try_from(edge.size().checked_sub(first)?).ok()?;
        for (place, entry) in bundle::entries(bundle).enumerate() {
            let entry = entry?;
            if place >= known {
                plan.push(leaf_hash(entry), entry);
            }
        }
        Some(plan)
    }

    /// How many entries are new.
    pub(crate) fn added(&self) -> u64 {
        self.edge.size() - self.old
    }

    fn from_edge(edge: Edge) -> Self {
        let old = edge.size();
        Self { old, positions: Vec::new(), leaves: Vec::new(), bundle: Vec::new(), tiles: Vec::new(), edge }
    }

    fn push(&mut self, leaf: Hash, entry: &[u8]) {
        bundle::push(&mut self.bundle, entry);
        self.leaves.push(leaf);
        let tiles = &mut self.tiles;
        self.edge.push(leaf, |tile, hashes| tiles.push((tile, hashes.concat())));
    }
}
