//! The entries under one tile of level 0, from everywhere where they are kept, and what they make.

use trust::merkle::{Hash, TILE_WIDTH, Tile, leaf_hash};

use super::{PAGE, Remedy, Way};
use crate::LedgerError;
use crate::bundle;
use crate::folder::{Files, Folder};
use crate::rows::{self, Rows};
use crate::source::Source;
use store::Tx;

/// What a walk goes on with where entries and their tile differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Entries,
    Tiles,
}

/// Some bundles in order, as they are stored.
pub(super) struct Page {
    bundles: Vec<Bundle>,
    /// Batches that cannot be read: place and reason.
    broken: Vec<(String, String)>,
}

/// One bundle and the full tiles that end with it.
struct Bundle {
    tile: Tile,
    /// Each entry as the store has it.
    rows: Vec<Option<Vec<u8>>>,
    /// The entries of the file, up to where it can be read; `None` where there is no folder.
    file: Option<Vec<Vec<u8>>>,
    /// The full tiles, from level 0 up, as they are stored.
    tiles: Vec<(Tile, Option<Vec<u8>>)>,
}

impl Page {
    /// What a log without a folder holds.
    pub(super) fn of_rows(tx: &mut Tx<'_>, first: u64, size: u64) -> Result<Self, LedgerError> {
        let mut page = Self::of_staged(tx, first, size)?;
        let mut rows = Rows(tx);
        page.read_tiles(&mut rows)?;
        Ok(page)
    }

    /// The entries that are in the store.
    pub(super) fn of_staged(tx: &mut Tx<'_>, first: u64, size: u64) -> Result<Self, LedgerError> {
        let end = first.saturating_add(PAGE).saturating_mul(TILE_WIDTH).min(size);
        let mut bundles: Vec<Bundle> =
            (first..end.div_ceil(TILE_WIDTH)).map(|index| Bundle::empty(index, size)).collect();
        let start = first.saturating_mul(TILE_WIDTH);
        let mut broken = Vec::new();
        for batch in rows::batches_over(tx, start, end)? {
            let entries = match batch.parts() {
                Ok(entries) => entries,
                Err(error) => {
                    // Its entries are missing below; here it is said why.
                    if let LedgerError::Damaged { place, reason } = error {
                        broken.push((place, reason));
                    }
                    continue;
                }
            };
            for (position, entry) in
                (batch.first..).zip(entries).filter(|(position, _)| (start..end).contains(position))
            {
                let offset = position - start;
                let bundle = bundles.get_mut((offset / TILE_WIDTH) as usize);
                let place = bundle.and_then(|bundle| bundle.rows.get_mut((offset % TILE_WIDTH) as usize));
                if let Some(place) = place {
                    *place = Some(entry.to_vec());
                }
            }
        }
        Ok(Self { bundles, broken })
    }

    /// The same with what the folder holds.
    pub(super) fn with_files(mut self, folder: &Folder) -> Result<Self, LedgerError> {
        for bundle in &mut self.bundles {
            let bytes = folder.read(&bundle.tile.entries_path())?.unwrap_or_default();
            bundle.file = Some(bundle::entries(&bytes).map_while(|entry| entry.map(<[u8]>::to_vec)).collect());
        }
        self.read_tiles(&mut Files(folder))?;
        Ok(self)
    }

    fn read_tiles(&mut self, source: &mut dyn Source) -> Result<(), LedgerError> {
        for (tile, stored) in self.bundles.iter_mut().flat_map(|bundle| &mut bundle.tiles) {
            *stored = source.tile(tile.level, tile.index)?;
        }
        Ok(())
    }

    /// Adds the bundles to the way; it ends before one of which too much is missing.
    pub(super) fn judge(self, trust: Trust, size: u64, way: &mut Way) {
        for (place, reason) in &self.broken {
            way.found.add(place, reason, Remedy::Store);
        }
        for bundle in &self.bundles {
            let Some(chosen) = bundle.choose(trust, way) else { return };
            bundle.name_entries(&chosen, way);
            let mut made = Vec::new();
            for leaf in &chosen {
                way.edge.push(*leaf, |tile, hashes| made.push((tile, hashes.concat())));
            }
            way.tiles += made.len() as u64;
            for ((tile, made), (_, stored)) in made.iter().zip(&bundle.tiles) {
                bundle.name_tile(*tile, made, stored.as_deref(), way);
            }
        }
        debug_assert!(way.edge.size() <= size);
    }
}

impl Bundle {
    fn empty(index: u64, size: u64) -> Self {
        let width = Tile::width_in(0, index, size);
        let mut tiles = Vec::new();
        if width == 256 {
            let (mut level, mut ended) = (0, index + 1);
            tiles.push((Tile { level, index, width }, None));
            while ended.is_multiple_of(TILE_WIDTH) {
                level += 1;
                ended /= TILE_WIDTH;
                tiles.push((Tile { level, index: ended - 1, width }, None));
            }
        }
        Self { tile: Tile { level: 0, index, width }, rows: vec![None; usize::from(width)], file: None, tiles }
    }

    fn position(&self, place: usize) -> u64 {
        self.tile.index * TILE_WIDTH + place as u64
    }

    /// The hashes of the stored tile of level 0, where it is one.
    fn tile_hashes(&self) -> &[Hash] {
        let stored = self.tiles.first().and_then(|(_, stored)| stored.as_deref()).unwrap_or_default();
        let (hashes, rest) = stored.as_chunks::<32>();
        if hashes.len() == 256 && rest.is_empty() { hashes } else { &[] }
    }

    /// The leaves to go on with; `None` where there is none for an entry.
    fn choose(&self, trust: Trust, way: &mut Way) -> Option<Vec<Hash>> {
        let tile = self.tile_hashes();
        let mut chosen = Vec::new();
        for (place, row) in self.rows.iter().enumerate() {
            let row = row.as_deref().map(leaf_hash);
            let file = self.file.as_ref().and_then(|file| file.get(place)).map(|entry| leaf_hash(entry));
            let tile = tile.get(place).copied();
            let leaf = match trust {
                Trust::Tiles => tile.or(row).or(file),
                // Two of three against one.
                Trust::Entries if file.is_some() && file == tile => file,
                Trust::Entries => row.or(file).or(tile),
            };
            let Some(leaf) = leaf else {
                let place = format!("entry {}", self.position(place));
                way.found.add(
                    &place,
                    "it is missing, and what follows cannot be checked",
                    self.remedy(Remedy::Entries),
                );
                return None;
            };
            way.undecided |= tile.is_some_and(|tile| [row, file].iter().flatten().any(|entry| *entry != tile));
            chosen.push(leaf);
        }
        Some(chosen)
    }

    /// Names rows and files whose entries are not the chosen ones.
    fn name_entries(&self, chosen: &[Hash], way: &mut Way) {
        let altered = |entry: Option<&[u8]>, leaf: &Hash| entry.is_some_and(|entry| leaf_hash(entry) != *leaf);
        let in_rows: Vec<u64> = (0..)
            .zip(self.rows.iter().zip(chosen))
            .filter(|(_, (row, leaf))| altered(row.as_deref(), leaf) || (row.is_none() && self.file.is_none()))
            .map(|(place, _)| self.position(place))
            .collect();
        name(&in_rows, "in the store it is missing or not the entry that its hash is of", Remedy::Entries, way);
        let Some(file) = &self.file else { return };
        let in_file: Vec<u64> = (0..)
            .zip(chosen)
            .filter(|(place, leaf)| file.get(*place).is_none_or(|entry| leaf_hash(entry) != **leaf))
            .map(|(place, _)| self.position(place))
            .collect();
        let path = self.tile.entries_path();
        let reason = format!("in {path} it is missing or not the entry that its hash is of");
        name(&in_file, &reason, self.remedy(Remedy::Entries), way);
        if in_file.is_empty() && file.len() != chosen.len() {
            way.found.add(&path, "it holds more than its entries", self.remedy(Remedy::Entries));
        }
    }

    fn name_tile(&self, tile: Tile, made: &[u8], stored: Option<&[u8]>, way: &mut Way) {
        let reason = match stored {
            Some(stored) if stored == made => return,
            Some(_) => "it is not what the entries make of it",
            None => "it is missing",
        };
        let remedy = if tile.level == 0 { self.remedy(Remedy::Tile) } else { Remedy::Tile };
        way.found.add(&tile.path(), reason, remedy);
    }

    /// What helps against damaged files: the next start, where the store still holds every entry.
    fn remedy(&self, otherwise: Remedy) -> Remedy {
        let staged = self.file.is_some() && self.rows.iter().all(Option::is_some);
        if staged { Remedy::Start } else { otherwise }
    }
}

fn name(positions: &[u64], reason: &str, remedy: Remedy, way: &mut Way) {
    match positions {
        [] => {}
        [one] => way.found.add(&format!("entry {one}"), reason, remedy),
        [first, .., last] => {
            let place = format!("entry {first}, and {} more up to {last}", positions.len() - 1);
            way.found.add(&place, reason, remedy);
        }
    }
}
