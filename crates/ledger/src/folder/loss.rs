//! Seeded schedules of appends, syncs, power cuts and failed syncs on the modelled disk. The checkpoint store is modelled
//! as what it promises: a commit is there whole or not at all, and stays.
//!
//! `BAOBAB_LEDGER_SEEDS` sets how many schedules are run; 10,000 where it is not set.

use std::collections::BTreeMap;
use std::ops::Range;

use trust::merkle::{Edge, Hash, TILE_WIDTH, Tile, leaf_hash};

use super::model::{Draw, ModelDisk, SyncEnd};
use super::{Files, Folder};
use crate::plan::{Batch, Plan};
use crate::publish::{replay, synced_files};
use crate::recent::Recent;
use crate::rows::BatchRow;
use crate::source::{Source as _, damaged};
use crate::{LedgerError, bundle};

/// What a commit holds, and what callers and readers were told.
#[derive(Default)]
struct World {
    disk: ModelDisk,
    /// The checkpoint row.
    size: u64,
    root: Hash,
    staged: Vec<BatchRow>,
    /// Every acknowledged entry: its index and its leaf.
    acknowledged: Vec<(u64, Hash)>,
    /// Every checkpoint that anyone may have seen.
    seen: Vec<(u64, Hash)>,
    power_cuts: u64,
    next_entry: u64,
}

/// A process on this world.
struct Process {
    folder: Folder,
    edge: Edge,
    recent: Recent,
}

/// Where the power is cut in a publication.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    BeforeTheCommit,
    AfterWrites(u64),
}

/// Why a process ended.
enum End {
    PowerCut,
    Stopped,
}

impl World {
    fn new() -> Self {
        Self { root: trust::merkle::empty_root(), ..Self::default() }
    }

    /// What opening a log with a folder does.
    fn start(&self) -> Result<Process, LedgerError> {
        let folder = Folder::on(self.disk.clone());
        let first = self.staged.first().map_or(self.size, |batch| batch.first);
        let edge = folder.begin(synced_files(first, self.size))?;
        let edge = replay(&folder, edge, &self.staged)?;
        if (edge.size(), edge.root()) != (self.size, self.root) {
            return Err(damaged("the last tiles", "they do not lead to the signed root"));
        }
        folder.mend(&edge, "note")?;
        Ok(Process { folder, edge, recent: Recent::new(64) })
    }

    /// One publication of so many entries; the power may be cut at any of its steps.
    fn append(&mut self, process: &mut Process, entries: u64, cut: Option<Cut>) -> Result<(), End> {
        let batch: Batch = (0..entries)
            .map(|_| {
                self.next_entry += 1;
                let entry = self.next_entry.to_be_bytes().to_vec();
                (leaf_hash(&entry), entry)
            })
            .collect();
        let plan = Plan::new(&process.edge, &process.recent, &batch);
        if cut == Some(Cut::BeforeTheCommit) {
            return Err(End::PowerCut);
        }
        let (first, entries, bundle) = (plan.old, plan.added(), plan.bundle.clone());
        self.staged.push(BatchRow { first, entries, bundle });
        (self.size, self.root) = (plan.edge.size(), plan.edge.root());
        if let Some(Cut::AfterWrites(writes)) = cut {
            self.disk.cut_after(writes);
        }
        let written = process.folder.fill(&plan).and_then(|()| process.folder.show(&plan.edge, "note"));
        if written.and_then(|()| process.folder.tidy(&plan)).is_err() {
            return Err(End::PowerCut);
        }
        // The writes were fewer than the cut waited for.
        self.disk.cut_after(u64::MAX);
        process.edge = plan.edge;
        self.acknowledged.extend((plan.old..).zip(plan.leaves));
        self.seen.push((self.size, self.root));
        Ok(())
    }

    fn settle(&mut self, process: &Process, draw: &mut Draw, end: SyncEnd) -> Result<(), End> {
        let boundary = self.size - self.size % TILE_WIDTH;
        self.disk.next_sync(if draw.below(8) == 7 { SyncEnd::Failed } else { end });
        process.folder.sync().map_err(|_| End::Stopped)?;
        if draw.below(6) == 5 {
            return Err(End::PowerCut);
        }
        self.staged.retain(|batch| batch.first + batch.entries > boundary);
        Ok(())
    }

    /// Runs a schedule; the first thing that was lost.
    fn run(&mut self, draw: &mut Draw, end: SyncEnd) -> Result<(), String> {
        let mut process = self.start().map_err(|error| error.to_string())?;
        for _ in 0..6 {
            let outcome = match draw.below(4) {
                0 => self.settle(&process, draw, end),
                1 if draw.one_in(2) => Err(End::PowerCut),
                _ => {
                    let entries = 1 + if draw.one_in(5) { draw.below(300) } else { draw.below(12) };
                    let cut = match draw.below(12) {
                        0 => Some(Cut::BeforeTheCommit),
                        1 | 2 => Some(Cut::AfterWrites(draw.below(12))),
                        _ => None,
                    };
                    self.append(&mut process, entries, cut)
                }
            };
            // A process that stopped is started again on a machine that went on, or was switched off too.
            let cut = match outcome {
                Ok(()) => continue,
                Err(End::PowerCut) => true,
                Err(End::Stopped) => draw.one_in(2),
            };
            if cut {
                self.disk.crash(draw);
                self.power_cuts += 1;
            }
            process = self.start().map_err(|error| error.to_string())?;
        }
        self.disk.crash(draw);
        self.power_cuts += 1;
        let process = self.start().map_err(|error| error.to_string())?;
        self.verify(&process)
    }

    /// Each acknowledged entry is at its index, every tile is there, and every checkpoint ever seen is continued.
    fn verify(&self, process: &Process) -> Result<(), String> {
        let mut files = Files(&process.folder);
        let Made { mut bundles, mut full, mut edge } = Made::default();
        let mut acknowledged = self.acknowledged.iter().peekable();
        let mut seen = self.seen.iter().peekable();
        for index in 0..self.size.div_ceil(TILE_WIDTH) {
            let width = Tile::width_in(0, index, self.size);
            bundles.push(Vec::new());
            for entry in files.bundle(index, width).map_err(|error| error.to_string())? {
                bundle::push(&mut bundles[index as usize], &entry);
                let leaf = leaf_hash(&entry);
                while acknowledged.next_if(|known| **known == (edge.size(), leaf)).is_some() {}
                edge.push(leaf, |tile, hashes| drop(full.insert(tile, hashes.concat())));
                if seen.peek().is_some_and(|(size, _)| *size == edge.size()) {
                    let root = edge.root();
                    while seen.next_if(|(size, seen)| *size == edge.size() && *seen == root).is_some() {}
                }
            }
        }
        for (tile, hashes) in &full {
            if files.tile(tile.level, tile.index).map_err(|error| error.to_string())?.as_ref() != Some(hashes) {
                return Err(format!("{} is not what the entries make of it", tile.path()));
            }
        }
        let end = (edge.size(), edge.root());
        let made = Made { bundles, full, edge };
        for path in self.disk.paths().iter().filter(|path| path.contains(".p/")) {
            let found = process.folder.read(path).map_err(|error| error.to_string())?.unwrap_or_default();
            if !made.begins_with(path, &found) {
                return Err(format!("{path} is not the beginning of what the entries make"));
            }
        }
        match (acknowledged.next(), seen.next()) {
            (Some((index, _)), _) => Err(format!("the acknowledged entry {index} is lost")),
            (_, Some((size, _))) => Err(format!("the checkpoint of size {size} is not continued")),
            _ if end != (self.size, self.root) => Err("the log is not whole".to_owned()),
            _ => Ok(()),
        }
    }
}

/// What the entries make of a log: the bundles, the full tiles and the edge.
#[derive(Default)]
struct Made {
    bundles: Vec<Vec<u8>>,
    full: BTreeMap<Tile, Vec<u8>>,
    edge: Edge,
}

impl Made {
    /// Whether a partial file is the beginning of its tile or bundle; true of any other file.
    fn begins_with(&self, path: &str, found: &[u8]) -> bool {
        let Some((name, rest)) = path.strip_prefix("tile/").and_then(|path| path.split_once('/')) else { return true };
        let level: u8 = name.parse().unwrap_or(0);
        let Some(tile) = Tile::parse(level, rest).filter(|tile| !tile.is_full()) else { return true };
        if name == "entries" {
            let whole = &self.bundles[tile.index as usize];
            return found == bundle::beginning(whole, usize::from(tile.width));
        }
        let edge = self.edge.partial(level).concat();
        let whole = self.full.get(&Tile { width: 256, ..tile }).unwrap_or(&edge);
        whole.get(..usize::from(tile.width) * 32) == Some(found)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one door through which a longer run is asked for")]
fn seeds() -> u64 {
    std::env::var("BAOBAB_LEDGER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10_000)
}

/// Runs the schedules of these seeds: power cuts, and the seeds that lost something with what they lost.
fn run_all(seeds: Range<u64>, end: SyncEnd) -> (u64, Vec<(u64, String)>) {
    let (mut cuts, mut lost) = (0, Vec::new());
    for seed in seeds {
        let mut world = World::new();
        if let Err(reason) = world.run(&mut Draw::new(seed), end) {
            lost.push((seed, reason));
        }
        cuts += world.power_cuts;
    }
    (cuts, lost)
}

#[test]
fn no_schedule_of_power_cuts_and_torn_writes_loses_what_was_acknowledged() {
    let seeds = seeds();
    let middle = seeds / 2;
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(move || run_all(0..middle, SyncEnd::Good));
        let second = run_all(middle..seeds, SyncEnd::Good);
        (first.join().unwrap(), second)
    });
    let lost: Vec<_> = first.1.into_iter().chain(second.1).collect();
    assert_eq!(lost, []);
    let cuts = first.0 + second.0;
    assert!(cuts >= seeds, "{seeds} schedules, {cuts} power cuts");
}

/// Without this the test above would prove nothing.
#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    let (_, lost) = run_all(0..1_000, SyncEnd::Lie);
    assert!(lost.len() >= 5, "{} of 1,000 schedules lost something", lost.len());
}

#[test]
fn any_flipped_bit_of_the_folder_is_named_by_the_check_or_mended_at_the_start() {
    let mut draw = Draw::new(7);
    let mut named = 0;
    for seed in 0..200 {
        let mut world = World::new();
        let mut process = world.start().unwrap();
        for entries in [200, 1, 150, 90, 30 + seed % 7, 200] {
            assert!(world.append(&mut process, entries, None).is_ok());
            if entries == 90 {
                assert!(world.settle(&process, &mut Draw::new(2), SyncEnd::Good).is_ok());
            }
        }
        let paths = world.disk.paths();
        let path = &paths[draw.below(paths.len() as u64) as usize];
        assert!(world.disk.flip(path, draw.below(1 << 20)), "{path}");
        // A running log names it ...
        let checked = world.verify(&process).is_err() || process.folder.stale(&process.edge, "note").unwrap().is_some();
        // ... and one that starts mends it, names it, or leaves it to the check that names it.
        let mended = world.start().map(|process| world.verify(&process));
        assert!(checked || matches!(mended, Ok(Ok(()))), "{path} was altered and nobody said so");
        named += u32::from(checked);
    }
    assert!(named > 100, "{named} of 200 were named while the log ran; the others were older partial tiles");
}
