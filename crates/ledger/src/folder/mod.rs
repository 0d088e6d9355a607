//! Tiles, entry bundles and checkpoint as files, laid out as C2SP tlog-tiles serves them: any web server can serve the
//! folder, any mirror can copy it.
//!
//! Nothing here is trusted. What was not synced when the machine stopped is written anew from the staged batches; what
//! was synced must lead to the signed root, or it is named and not served.

mod bucket;
mod disk;
#[cfg(test)]
mod loss;
#[cfg(test)]
mod model;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use trust::merkle::{Edge, TILE_WIDTH, Tile};

use self::bucket::BucketDisk;
pub(crate) use self::disk::CHECKPOINT;
use self::disk::{Disk, ReadDisk, RealDisk};
use crate::config::Tiles;
use crate::plan::Plan;
use crate::source::{Source, damaged, load_edge};
use crate::{LedgerError, bundle};

/// The folder of one log.
pub(crate) struct Folder {
    disk: Box<dyn Disk>,
    open: Mutex<Open>,
}

/// The bundle that is being filled, and what is shown beside the full tiles.
#[derive(Default)]
struct Open {
    size: u64,
    bundle: Vec<u8>,
    /// The partial tiles that are written: those of the upper levels seldom change.
    shown: Vec<Tile>,
}

impl Folder {
    /// The folder at this place, made where there is none. A bucket exists.
    pub(crate) fn at(place: &Tiles) -> Result<Self, LedgerError> {
        Ok(match place {
            Tiles::Folder(path) => {
                Self::on(RealDisk::open(path).map_err(|error| failed(&path.display().to_string(), &error))?)
            }
            Tiles::Bucket(bucket) => Self::on(BucketDisk::new(bucket.clone())),
        })
    }

    /// The folder at this place, for who only looks: it is not made, and nothing in it changes.
    pub(crate) fn to_read(place: &Tiles) -> Self {
        match place {
            Tiles::Folder(path) => Self::on(ReadDisk::new(path)),
            // It is not written either: whoever looks calls nothing that writes.
            Tiles::Bucket(bucket) => Self::on(BucketDisk::new(bucket.clone())),
        }
    }

    fn on(disk: impl Disk) -> Self {
        Self { disk: Box::new(disk), open: Mutex::default() }
    }

    /// Begins anew after the first `synced` entries, a multiple of 256 that the synced files hold: the edge they make.
    pub(crate) fn begin(&self, synced: u64) -> Result<Edge, LedgerError> {
        let edge = load_edge(&mut Files(self), synced)?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Open { size: synced, ..Open::default() };
        Ok(edge)
    }

    /// Writes what a step fills: bundles and tiles that never change again.
    pub(crate) fn fill(&self, plan: &Plan) -> Result<(), LedgerError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.size != plan.old {
            return Err(damaged("the folder of tiles", "it does not end where the step begins"));
        }
        for entry in bundle::entries(&plan.bundle).flatten() {
            bundle::push(&mut open.bundle, entry);
            open.size += 1;
            if open.size.is_multiple_of(TILE_WIDTH) {
                let tile = Tile { level: 0, index: open.size / TILE_WIDTH - 1, width: 256 };
                self.write(&tile.entries_path(), &open.bundle)?;
                open.bundle.clear();
            }
        }
        for (tile, hashes) in &plan.tiles {
            self.write(&tile.path(), hashes)?;
        }
        Ok(())
    }

    /// Writes what the log of this edge shows beside its full tiles, the checkpoint last.
    pub(crate) fn show(&self, edge: &Edge, note: &str) -> Result<(), LedgerError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut open.shown);
        for (tile, hashes) in edge.partial_tiles() {
            open.shown.push(tile);
            if before.contains(&tile) {
                continue;
            }
            self.write(&tile.path(), &hashes.concat())?;
            if tile.level == 0 {
                self.write(&tile.entries_path(), &open.bundle)?;
            }
        }
        drop(open);
        self.write(CHECKPOINT, note.as_bytes())
    }

    /// Writes what the log of this edge shows, and anew what stands there of earlier checkpoints: after a crash such a
    /// partial tile may be torn, and who still holds that checkpoint asks for it.
    pub(crate) fn mend(&self, edge: &Edge, note: &str) -> Result<(), LedgerError> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).shown.clear();
        for (tile, hashes) in edge.partial_tiles() {
            for width in self.narrower(&tile.path())? {
                let hashes = hashes.get(..usize::from(width)).unwrap_or(hashes);
                self.write(&Tile { width, ..tile }.path(), &hashes.concat())?;
            }
            for width in if tile.level == 0 { self.narrower(&tile.entries_path())? } else { Vec::new() } {
                let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                let bundle = bundle::beginning(&open.bundle, usize::from(width));
                self.write(&Tile { width, ..tile }.entries_path(), bundle)?;
            }
        }
        self.show(edge, note)
    }

    /// The widths of the partial tiles beside this one.
    pub(crate) fn narrower(&self, path: &str) -> Result<Vec<u16>, LedgerError> {
        let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
        let names = self.disk.list(folder).map_err(|error| failed(folder, &error))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).filter(|width| (1..256).contains(width)).collect())
    }

    /// Takes away the partial tiles that a step made full.
    pub(crate) fn tidy(&self, plan: &Plan) -> Result<(), LedgerError> {
        for (tile, _) in &plan.tiles {
            self.remove(&format!("{}.p", tile.path()))?;
            if tile.level == 0 {
                self.remove(&format!("{}.p", tile.entries_path()))?;
            }
        }
        Ok(())
    }

    /// Brings the full tiles of level 0 in this range nearer, where each read alone would take its time.
    pub(crate) fn read_ahead(&self, tiles: Range<u64>) -> Result<(), LedgerError> {
        let paths: Vec<String> = tiles.map(|index| Tile { level: 0, index, width: 256 }.path()).collect();
        self.disk.read_ahead(&paths).map_err(|error| failed("the folder of tiles", &error))
    }

    /// Makes all that was written survive a power cut. After an error nothing more may be written.
    pub(crate) fn sync(&self) -> Result<(), LedgerError> {
        self.disk.sync().map_err(|error| failed("the folder of tiles", &error))
    }

    /// The partial files and the checkpoint that differ from what they should be: the first of them.
    pub(crate) fn stale(&self, edge: &Edge, note: &str) -> Result<Option<String>, LedgerError> {
        for (tile, hashes) in edge.partial_tiles() {
            let full = Tile { width: 256, ..tile };
            let found = self.read(&tile.path())?;
            // Where the log went on meanwhile, the full tile has taken its place.
            if found.as_ref() != Some(&hashes.concat()) && (found.is_some() || self.read(&full.path())?.is_none()) {
                return Ok(Some(tile.path()));
            }
        }
        Ok((self.read(CHECKPOINT)?.as_deref() != Some(note.as_bytes())).then(|| CHECKPOINT.to_owned()))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), LedgerError> {
        self.disk.write(path, bytes).map_err(|error| failed(path, &error))
    }

    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.disk.read(path).map_err(|error| failed(path, &error))
    }

    fn remove(&self, path: &str) -> Result<(), LedgerError> {
        self.disk.remove_folder(path).map_err(|error| failed(path, &error))
    }
}

/// The folder as a source of tiles and entries.
pub(crate) struct Files<'a>(pub(crate) &'a Folder);

impl Source for Files<'_> {
    fn tile(&mut self, level: u8, index: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        self.0.read(&Tile { level, index, width: 256 }.path())
    }

    fn bundle(&mut self, index: u64, width: u16) -> Result<Vec<Vec<u8>>, LedgerError> {
        // A partial bundle makes way for the full one: where the first look finds neither, the second finds that.
        for there in [width, 256] {
            let path = Tile { level: 0, index, width: there }.entries_path();
            let Some(bytes) = self.0.read(&path)? else { continue };
            let found: Option<Vec<&[u8]>> = bundle::entries(&bytes).collect();
            let found = found.ok_or_else(|| damaged(&path, "its entries are cut short"))?;
            return Ok(found.into_iter().take(usize::from(width)).map(<[u8]>::to_vec).collect());
        }
        Ok(Vec::new())
    }
}

fn failed(place: &str, error: &std::io::Error) -> LedgerError {
    LedgerError::Disk { place: place.to_owned(), reason: error.to_string() }
}
