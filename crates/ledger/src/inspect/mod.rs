//! A log judged while nobody runs it: what is damaged, all of it, and what helps. Nothing is written.
//!
//! [`crate::Ledger::check`] stops at the first thing that does not fit, and needs the log's private keys and a start that
//! mends. An inspection reads the store and the folder as they are, with the public keys only, and goes on to the end.

mod bundles;
mod folder;

use std::fmt;
use std::sync::Arc;

use store::{Store, StoreError, Tx};
use trust::merkle::{Edge, TILE_WIDTH};
use trust::note::{Checkpoint, Note, NoteError, VerifierKey};

use self::bundles::{Page, Trust};
use crate::folder::Folder;
use crate::publish::blocking;
use crate::rows::{self, CheckpointRow};
use crate::{LedgerError, Tiles};

/// Bundles read at a time.
const PAGE: u64 = 16;
/// More damage than this is counted, not listed.
const DAMAGE_MAX: usize = 1_000;

/// What an inspection saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// How many entries the checkpoint covers.
    pub size: u64,
    /// Full tiles that the entries make.
    pub tiles: u64,
    /// Whether the entries, or their hashes in the tiles, lead to the root that is signed: the history is whole.
    pub leads_to_root: bool,
    /// What is damaged, in the order in which it was found; at most 1,000 places.
    pub damage: Vec<Damage>,
    /// How many places are damaged.
    pub damaged: u64,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which entry, tile, file or row.
    pub place: String,
    /// What does not fit.
    pub reason: String,
    /// What helps.
    pub remedy: Remedy,
}

/// What helps against a damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The file is derived from what the store holds still.
    Start,
    /// The entries are whole; a tile over them is not.
    Tile,
    /// The entries are not what their tile says they were.
    Entries,
    /// The rows of the store do not fit together.
    Store,
    /// The store and the folder, or the key, are not of the same log.
    Place,
}

impl fmt::Display for Remedy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Start => "start the log: it writes this file anew",
            Self::Tile => "bring this tile back from a mirror or a backup; the entries under it are whole",
            Self::Entries => {
                "bring these entries back from a mirror or a backup, and check again: no other entry has their hashes"
            }
            Self::Store => {
                "restore the newest backup of the store, and compare its checkpoint with a witness before the log signs again"
            }
            Self::Place => "name the store, the folder of tiles and the key that belong together",
        })
    }
}

/// Inspects the log in this store with its public keys, of which the first is its Ed25519 key, and with its folder of
/// tiles where it has one. The log should not run meanwhile. `progress` hears of entries read, and of how many there
/// are. An error is one of the way to the data; what is wrong with the data is in the answer.
pub async fn inspect(
    store: &Store,
    keys: &[VerifierKey],
    tiles: Option<&Tiles>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Inspection, LedgerError> {
    let mut found = Findings::default();
    for reason in store.integrity().await.map_err(LedgerError::from).or_else(|error| damage_below(&error))? {
        found.add("the database", &reason, Remedy::Store);
    }
    let folder = tiles.map(|place| Arc::new(Folder::to_read(place)));
    let head = match store.read("ledger.inspect_head", head).await {
        Ok(head) => head,
        Err(error) => {
            damage_below(&error)?.iter().for_each(|reason| found.add("the database", reason, Remedy::Store));
            return Ok(found.finish(0, 0, false));
        }
    };
    let Some((size, signed)) = found.judge_head(&head, keys, folder.is_some()) else {
        return Ok(found.finish(0, 0, false));
    };
    let walk = Walk { store, folder: folder.as_ref(), size };
    let mut way = walk.run(Trust::Entries, &mut progress).await?;
    if signed.as_ref().is_some_and(|signed| !way.leads_to(signed)) && way.undecided {
        // The entries are not what was signed. Where their tiles are, it is the entries that were altered.
        let other = walk.run(Trust::Tiles, &mut progress).await?;
        way = if signed.as_ref().is_some_and(|signed| other.leads_to(signed)) { other } else { way.into_undecided() };
    }
    let whole = signed.as_ref().is_some_and(|signed| way.leads_to(signed));
    let tiles = way.tiles;
    found.append(way.found);
    if !whole && signed.is_some() && found.total == 0 {
        found.add("the entries", "they lead to another root than the one that is signed", Remedy::Store);
    }
    if let (Some(folder), true) = (folder, whole) {
        let (edge, note) = (way.edge, head.checkpoint.map(|row| row.note).unwrap_or_default());
        found.append(blocking(&folder, move |folder| folder::inspect_edge(folder, &edge, &note)).await?);
    }
    Ok(found.finish(size, tiles, whole))
}

/// What a store says of itself before its entries are read.
struct Head {
    checkpoint: Option<CheckpointRow>,
    staged: Option<(u64, u64)>,
    /// Whether tiles are kept in the store.
    tiles: bool,
    legacy: bool,
}

fn head(tx: &mut Tx<'_>) -> Result<Head, LedgerError> {
    Ok(Head {
        checkpoint: rows::checkpoint(tx)?,
        staged: rows::staged_range(tx)?,
        tiles: rows::has_tiles(tx)?,
        legacy: rows::has_legacy(tx)?,
    })
}

/// The reasons, where an error speaks of the data and not of the way to them.
fn damage_below(error: &LedgerError) -> Result<Vec<String>, LedgerError> {
    match error {
        LedgerError::Damaged { place, reason } => Ok(vec![format!("{place}: {reason}")]),
        LedgerError::Store(
            StoreError::Broken { reason } | StoreError::Statement { reason, .. } | StoreError::Column { reason, .. },
        ) => Ok(vec![reason.clone()]),
        other => Err(other.clone()),
    }
}

/// The damage that was found.
#[derive(Default)]
struct Findings {
    damage: Vec<Damage>,
    total: u64,
}

impl Findings {
    fn add(&mut self, place: &str, reason: &str, remedy: Remedy) {
        self.total += 1;
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(Damage { place: place.to_owned(), reason: reason.to_owned(), remedy });
        }
    }

    fn append(&mut self, other: Self) {
        let room = DAMAGE_MAX.saturating_sub(self.damage.len());
        self.total += other.total;
        self.damage.extend(other.damage.into_iter().take(room));
    }

    /// How far to read, and the checkpoint where it is signed; `None` where there is nothing to read.
    fn judge_head(
        &mut self,
        head: &Head,
        keys: &[VerifierKey],
        with_folder: bool,
    ) -> Option<(u64, Option<Checkpoint>)> {
        if head.legacy {
            let reason = "it is of the first format: start the log once with this version, then inspect it";
            self.add("the table ledger_entry", reason, Remedy::Start);
        }
        let Some(row) = &head.checkpoint else {
            self.add("the checkpoint", "the store has none", Remedy::Store);
            return None;
        };
        let signed = match open(&row.note, keys) {
            Ok(checkpoint) => Some(checkpoint),
            Err(error) => {
                self.add("the checkpoint", &error.to_string(), Remedy::Store);
                None
            }
        };
        let origin = keys.first().map_or("", VerifierKey::name);
        if row.origin != origin {
            self.add(
                "the checkpoint",
                &format!("the store holds `{}`, the key is of `{origin}`", row.origin),
                Remedy::Place,
            );
        }
        let size = signed.as_ref().map_or(row.size, |checkpoint| checkpoint.size);
        if size != row.size {
            let reason = format!("the row says {} entries, the signed note {size}", row.size);
            self.add("the checkpoint", &reason, Remedy::Store);
        }
        match head.staged {
            Some((first, _)) if first > 0 && !with_folder => {
                self.add("the first entries", "they are in a folder of tiles: name it", Remedy::Place);
                return None;
            }
            Some((_, end)) if end > size => {
                self.add("the entries", "there are more than the checkpoint covers", Remedy::Store);
            }
            Some((_, end)) if end < size => {
                self.add("the last entries", &format!("the store ends at {end} of {size}"), Remedy::Store);
            }
            None if size > 0 && !with_folder && !head.tiles => {
                self.add(
                    "the entries",
                    "the store holds none of them: they are in a folder of tiles or a bucket: name it",
                    Remedy::Place,
                );
                return None;
            }
            _ => {}
        }
        Some((size, signed))
    }

    fn finish(self, size: u64, tiles: u64, leads_to_root: bool) -> Inspection {
        Inspection { size, tiles, leads_to_root, damage: self.damage, damaged: self.total }
    }
}

/// The checkpoint of a note: the first key must have signed it, and no other may have signed wrongly.
fn open(note: &str, keys: &[VerifierKey]) -> Result<Checkpoint, NoteError> {
    let (log, others) = keys.split_first().ok_or(NoteError::Unsigned(String::new()))?;
    let checkpoint = Checkpoint::open(note, log)?;
    match Note::parse(note)?.verify(others) {
        Ok(_) | Err(NoteError::Unsigned(_)) => Ok(checkpoint),
        Err(error) => Err(error),
    }
}

/// A walk from the first entry to the last.
struct Walk<'a> {
    store: &'a Store,
    folder: Option<&'a Arc<Folder>>,
    size: u64,
}

/// Where a walk led.
struct Way {
    edge: Edge,
    tiles: u64,
    found: Findings,
    /// Entries and tiles differed somewhere, and the walk went on with one of them.
    undecided: bool,
}

impl Way {
    fn leads_to(&self, signed: &Checkpoint) -> bool {
        (self.edge.size(), self.edge.root()) == (signed.size, signed.root)
    }

    /// Neither the entries nor the tiles alone lead to the signed root.
    fn into_undecided(mut self) -> Self {
        for damage in self.found.damage.iter_mut().filter(|damage| damage.remedy == Remedy::Tile) {
            damage.reason += "; either may be the altered one, and other places are damaged too";
        }
        self
    }
}

impl Walk<'_> {
    async fn run(&self, trust: Trust, progress: &mut impl FnMut(u64, u64)) -> Result<Way, LedgerError> {
        let mut way = Way { edge: Edge::default(), tiles: 0, found: Findings::default(), undecided: false };
        while way.edge.size() < self.size {
            let first = way.edge.size() / TILE_WIDTH;
            match self.page(first).await {
                Ok(page) => page.judge(trust, self.size, &mut way),
                Err(error) => {
                    damage_below(&error)?.iter().for_each(|reason| {
                        way.found.add(&format!("the rows from entry {}", way.edge.size()), reason, Remedy::Store);
                    });
                    break;
                }
            }
            if way.edge.size() / TILE_WIDTH < first + PAGE && way.edge.size() < self.size {
                break;
            }
            progress(way.edge.size(), self.size);
        }
        Ok(way)
    }

    /// What store and folder hold of some bundles.
    async fn page(&self, first: u64) -> Result<Page, LedgerError> {
        let size = self.size;
        let Some(folder) = self.folder else {
            return self.store.read("ledger.inspect", move |tx| Page::of_rows(tx, first, size)).await;
        };
        let staged = self.store.read("ledger.inspect", move |tx| Page::of_staged(tx, first, size)).await?;
        blocking(folder, move |folder| staged.with_files(folder)).await
    }
}
