//! A disk that keeps only what was synced: at a power cut each later write is kept, lost or torn, in any order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::Disk;

/// What a disk does not write at once, in bytes.
const SECTOR: usize = 512;

/// Repeatable choices.
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// A number below `end` (SplitMix64).
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(super) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// A handle on the disk; clones share it, as a process and the one that follows it do.
#[derive(Clone, Default)]
pub(super) struct ModelDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What a running process sees.
    visible: BTreeMap<String, Vec<u8>>,
    /// What survives a power cut for certain.
    durable: BTreeMap<String, Vec<u8>>,
    /// What was done since the last sync.
    pending: Vec<Op>,
    /// The power is cut after so many more operations.
    fuel: Option<u64>,
    /// How the next sync ends.
    next_sync: SyncEnd,
}

#[derive(Clone)]
enum Op {
    Write(String, Vec<u8>),
    Remove(String),
}

/// How a sync ends.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SyncEnd {
    #[default]
    Good,
    /// It reports an error, and the kernel calls the pages clean all the same: they are never written.
    Failed,
    /// It says it succeeded and did nothing: the control that shows that the test would notice.
    Lie,
}

impl ModelDisk {
    /// Cuts the power after so many more operations.
    pub(super) fn cut_after(&self, operations: u64) {
        self.state().fuel = Some(operations);
    }

    pub(super) fn next_sync(&self, end: SyncEnd) {
        self.state().next_sync = end;
    }

    /// The power is cut: of what was not synced each operation is kept, lost or torn, and the order is anyone's guess.
    pub(super) fn crash(&self, draw: &mut Draw) {
        let mut state = self.state();
        let mut pending = std::mem::take(&mut state.pending);
        if draw.one_in(2) {
            for last in (1..pending.len()).rev() {
                pending.swap(last, draw.below(last as u64 + 1) as usize);
            }
        }
        let mut kept = std::mem::take(&mut state.durable);
        for operation in pending {
            match (draw.below(3), operation) {
                // The file that a removed name stood for may have been filled anew.
                (0, Op::Remove(folder)) => recycle(&mut kept, &folder, draw),
                (0, Op::Write(..)) => {}
                (1, Op::Write(path, bytes)) => drop(kept.insert(path, torn(bytes, draw))),
                (_, Op::Write(path, bytes)) => drop(kept.insert(path, bytes)),
                (_, Op::Remove(folder)) => remove(&mut kept, &folder),
            }
        }
        *state = State { visible: kept.clone(), durable: kept, ..State::default() };
    }

    /// Changes one bit of a file; `false` where there is no such file or it is empty.
    pub(super) fn flip(&self, path: &str, bit: u64) -> bool {
        let mut state = self.state();
        let Some(bytes) = state.visible.get_mut(path).filter(|bytes| !bytes.is_empty()) else { return false };
        let place = (bit / 8) as usize % bytes.len();
        bytes[place] ^= 1 << (bit % 8);
        let bytes = bytes.clone();
        state.durable.insert(path.to_owned(), bytes);
        true
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.state().visible.keys().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.fuel {
            Some(0) => Err(io::Error::other("the power is cut")),
            Some(fuel) => {
                *fuel -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for ModelDisk {
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        state.visible.insert(path.to_owned(), bytes.to_vec());
        state.pending.push(Op::Write(path.to_owned(), bytes.to_vec()));
        Ok(())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state().visible.get(path).cloned())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let inside = format!("{path}/");
        let state = self.state();
        let names = state.visible.range(inside.clone()..).map_while(|(path, _)| path.strip_prefix(&inside));
        Ok(names.map(str::to_owned).collect())
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        remove(&mut state.visible, path);
        state.pending.push(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        match std::mem::take(&mut state.next_sync) {
            SyncEnd::Good => {
                state.durable = state.visible.clone();
                state.pending.clear();
                Ok(())
            }
            SyncEnd::Failed => {
                state.pending.clear();
                Err(io::Error::other("input/output error"))
            }
            SyncEnd::Lie => Ok(()),
        }
    }
}

/// Some sectors of the content, the others as they may have been: zeros, or not there.
fn torn(mut bytes: Vec<u8>, draw: &mut Draw) -> Vec<u8> {
    for sector in bytes.chunks_mut(SECTOR) {
        if draw.one_in(2) {
            sector.fill(0);
        }
    }
    if draw.one_in(3) {
        let length = draw.below(bytes.len() as u64 + 1) as usize;
        bytes.truncate(length);
    }
    bytes
}

/// Some of the files of a folder hold something else.
fn recycle(files: &mut BTreeMap<String, Vec<u8>>, folder: &str, draw: &mut Draw) {
    let inside = format!("{folder}/");
    for (_, bytes) in files.iter_mut().filter(|(path, _)| path.starts_with(&inside)) {
        if draw.one_in(2) {
            bytes.fill(0xee);
        }
    }
}

fn remove(files: &mut BTreeMap<String, Vec<u8>>, folder: &str) {
    let inside = format!("{folder}/");
    files.retain(|path, _| !path.starts_with(&inside));
}
