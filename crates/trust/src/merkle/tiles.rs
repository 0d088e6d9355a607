use super::{Hash, Node, node_hash, root_of};

/// Hashes in a full tile (C2SP tlog-tiles).
pub const TILE_WIDTH: u64 = 256;

/// A tile: up to 256 consecutive hashes of one level, each the root of a full tile of the level below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// 0 holds the leaves' hashes.
    pub level: u8,
    /// Its position in the level, from the left.
    pub index: u64,
    /// 256 where it is full, 1 to 255 where it is partial.
    pub width: u16,
}

impl Tile {
    /// Whether it holds all its 256 hashes and never changes any more.
    pub const fn is_full(&self) -> bool {
        self.width == 256
    }

    /// The path of the tile below the prefix of the log: `tile/0/x001/x234/067` or `tile/1/000.p/17`.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, index_path(self.index, self.width))
    }

    /// The path of the entries under a tile of level 0: `tile/entries/x001/067`.
    pub fn entries_path(&self) -> String {
        format!("tile/entries/{}", index_path(self.index, self.width))
    }

    /// Reads `<N>[.p/<W>]`, the part of the path after the level. `None` for any other spelling than the one that
    /// [`Tile::path`] writes.
    pub fn parse(level: u8, path: &str) -> Option<Self> {
        let (digits, width) = match path.split_once(".p/") {
            Some((digits, width)) => (digits, width.parse::<u16>().ok().filter(|width| (1..=255).contains(width))?),
            None => (path, 256),
        };
        let mut index: u64 = 0;
        for group in digits.split('/') {
            let group = group.strip_prefix('x').unwrap_or(group);
            if group.len() != 3 || !group.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1_000)?.checked_add(group.parse().ok()?)?;
        }
        let tile = Self { level, index, width };
        (level < 64 && index_path(index, width) == path).then_some(tile)
    }

    /// How many of its hashes a tree of `size` leaves has; 0 where it has none.
    pub const fn width_in(level: u8, index: u64, size: u64) -> u16 {
        let Some(before) = index.checked_mul(TILE_WIDTH) else { return 0 };
        let shift = 8 * level as u32;
        let complete = if shift >= u64::BITS { 0 } else { size >> shift };
        let there = complete.saturating_sub(before);
        if there >= TILE_WIDTH { 256 } else { there as u16 }
    }
}

/// Where a node is found: the tile that holds it, or from whose hashes it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileNode {
    /// The tile, as wide as the size of the tree makes it.
    pub tile: Tile,
    /// The first of its hashes that the node spans.
    pub first: usize,
    /// How many of its hashes the node spans: a power of two.
    pub count: usize,
}

impl TileNode {
    /// The place of a node in the tiles of a tree of `size` leaves.
    pub fn of(node: Node, size: u64) -> Self {
        // At most 63, as the height of a tree of 64-bit size is.
        let level = u8::try_from(node.height / 8).unwrap_or(7);
        let within = node.height % 8;
        let first = node.index << within;
        let index = first / TILE_WIDTH;
        let tile = Tile { level, index, width: Tile::width_in(level, index, size) };
        Self { tile, first: (first % TILE_WIDTH) as usize, count: 1 << within }
    }

    /// The hash of the node, from the hashes of its tile; `None` where the tile is too narrow.
    pub fn hash_in(&self, hashes: &[Hash]) -> Option<Hash> {
        hashes.get(self.first..self.first + self.count).map(root_of)
    }

    /// The same, from the tree over the tile.
    pub fn find_in(&self, tree: &TileTree) -> Option<Hash> {
        let height = self.count.trailing_zeros();
        tree.rows.get(height as usize)?.get(self.first >> height).copied()
    }
}

/// The hashes of a tile with the roots of all complete subtrees over them: a log that gives out many proofs hashes
/// each of them once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileTree {
    /// By height: the hashes of the tile, then the roots of two of them each, and so on.
    rows: Vec<Vec<Hash>>,
}

impl TileTree {
    /// The tree over no hashes.
    pub const fn empty() -> Self {
        Self { rows: Vec::new() }
    }

    /// The tree over the hashes of a tile, full or partial.
    pub fn over(hashes: Vec<Hash>) -> Self {
        let mut rows = vec![hashes];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let (pairs, _) = row.as_chunks::<2>();
            let above = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
            rows.push(above);
        }
        Self { rows }
    }

    /// The hashes of the tile.
    pub fn hashes(&self) -> &[Hash] {
        self.rows.first().map_or(&[], Vec::as_slice)
    }

    /// The root over a full tile; `None` for a partial one, which may have no single root.
    pub fn root(&self) -> Option<Hash> {
        self.rows.get(8)?.first().copied()
    }
}

/// The partial and the last full tiles that a tree of `size` leaves ends with are enough for its root: these are the
/// tiles of every level, from the right, that hold hashes no higher tile covers.
pub fn tiles_of(size: u64) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let (mut level, mut complete) = (0_u8, size);
    while complete > 0 {
        let width = complete % TILE_WIDTH;
        if width > 0 {
            tiles.push(Tile { level, index: complete / TILE_WIDTH, width: width as u16 });
        }
        complete /= TILE_WIDTH;
        level += 1;
    }
    tiles
}

fn index_path(index: u64, width: u16) -> String {
    let mut groups = vec![format!("{:03}", index % 1_000)];
    let mut rest = index / 1_000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1_000));
        rest /= 1_000;
    }
    groups.reverse();
    let path = groups.join("/");
    if width == 256 { path } else { format!("{path}.p/{width}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_specification_hold() {
        let tile = |index, width| Tile { level: 0, index, width };
        assert_eq!(tile(1_234_067, 256).path(), "tile/0/x001/x234/067");
        assert_eq!(tile(0, 112).entries_path(), "tile/entries/000.p/112");
        let of_70_000: Vec<(u8, u64, u16)> =
            tiles_of(70_000).iter().map(|tile| (tile.level, tile.index, tile.width)).collect();
        assert_eq!(of_70_000, [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
        assert_eq!(Tile::width_in(0, 272, 70_000), 256);
        assert_eq!(tiles_of(256), [Tile { level: 1, index: 0, width: 1 }]);
    }

    #[test]
    fn a_path_has_one_spelling() {
        for wrong in [
            "1",
            "0001",
            "x000/001",
            "001.p/0",
            "001.p/256",
            "001.p/07",
            "x001",
            "001/002",
            "x01/002",
            "",
            "../001",
            "-01",
        ] {
            assert_eq!(Tile::parse(0, wrong), None, "{wrong}");
        }
        assert_eq!(Tile::parse(64, "001"), None);
    }

    fn tile_of(width: usize) -> Tile {
        Tile { level: 0, index: 0, width: width as u16 }
    }

    proptest! {
        #[test]
        fn a_path_is_read_back(level in 0..64_u8, index in any::<u64>(), width in 1..=256_u16) {
            let tile = Tile { level, index, width };
            let path = tile.path();
            let rest = path.strip_prefix(&format!("tile/{level}/")).unwrap();
            prop_assert_eq!(Tile::parse(level, rest), Some(tile));
        }

        #[test]
        fn a_tree_over_a_tile_finds_what_is_hashed_from_its_hashes(width in 0..=256_usize, height in 0..9_u32) {
            let hashes: Vec<Hash> = (0..width).map(|place| crate::merkle::leaf_hash(&place.to_be_bytes())).collect();
            let tree = TileTree::over(hashes.clone());
            prop_assert_eq!(tree.hashes(), &hashes);
            prop_assert_eq!(tree.root(), (width == 256).then(|| root_of(&hashes)));
            for index in 0..=(256 >> height) {
                let place = TileNode { first: index << height, count: 1 << height, tile: tile_of(width) };
                prop_assert_eq!(place.find_in(&tree), place.hash_in(&hashes));
            }
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".{0,40}") {
            let _ = Tile::parse(0, &text);
        }
    }
}
