use super::{Hash, TILE_WIDTH, Tile, empty_root, root_of};

/// The growing edge of a tree: the partial tile of each level. That is all a log must remember to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// By tile level; each holds fewer than 256 hashes.
    partial: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of a tree of `size` leaves, from its partial tiles by level. `None` where one has another width than
    /// the size asks for.
    pub fn from_partial(size: u64, mut partial_of: impl FnMut(u8) -> Vec<Hash>) -> Option<Self> {
        let mut partial = Vec::new();
        let (mut level, mut rest) = (0_u8, size);
        while rest > 0 {
            let hashes = partial_of(level);
            if hashes.len() as u64 != rest % TILE_WIDTH {
                return None;
            }
            partial.push(hashes);
            rest /= TILE_WIDTH;
            level += 1;
        }
        Some(Self { size, partial })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree (RFC 6962 §2.1).
    pub fn root(&self) -> Hash {
        let mut right: Option<Hash> = None;
        for hashes in &self.partial {
            let mut row = hashes.clone();
            row.extend(right);
            right = if row.is_empty() { None } else { Some(root_of(&row)) };
        }
        right.unwrap_or_else(empty_root)
    }

    /// Adds the hash of a leaf; `full` is called for each tile that it fills, lowest level first.
    pub fn push(&mut self, leaf: Hash, mut full: impl FnMut(Tile, &[Hash])) {
        let mut carry = leaf;
        let mut index = self.size;
        self.size += 1;
        for level in 0_u8..8 {
            let row = usize::from(level);
            if self.partial.len() == row {
                self.partial.push(Vec::new());
            }
            let Some(hashes) = self.partial.get_mut(row) else { return };
            hashes.push(carry);
            if (hashes.len() as u64) < TILE_WIDTH {
                return;
            }
            index /= TILE_WIDTH;
            full(Tile { level, index, width: 256 }, hashes);
            carry = root_of(hashes);
            hashes.clear();
        }
    }

    /// The hashes of the partial tile of a level; empty where it has none.
    pub fn partial(&self, level: u8) -> &[Hash] {
        self.partial.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// The partial tiles, lowest level first.
    pub fn partial_tiles(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        let mut index = self.size;
        self.partial.iter().enumerate().filter_map(move |(level, hashes)| {
            index /= TILE_WIDTH;
            let tile = Tile { level: u8::try_from(level).ok()?, index, width: u16::try_from(hashes.len()).ok()? };
            if hashes.is_empty() { None } else { Some((tile, hashes.as_slice())) }
        })
    }
}
