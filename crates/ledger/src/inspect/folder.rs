//! What the folder shows beside its full tiles.

use trust::merkle::{Edge, Tile};

use super::{Findings, Remedy};
use crate::LedgerError;
use crate::folder::{CHECKPOINT, Folder};

/// The partial tiles of the last checkpoint and of earlier ones, and the checkpoint. Their entries were compared before.
pub(super) fn inspect_edge(folder: &Folder, edge: &Edge, note: &str) -> Result<Findings, LedgerError> {
    let mut found = Findings::default();
    for (tile, hashes) in edge.partial_tiles() {
        let mut widths = folder.narrower(&tile.path())?;
        if !widths.contains(&tile.width) {
            found.add(&tile.path(), "it is missing", Remedy::Start);
        }
        widths.sort_unstable();
        for width in widths.into_iter().filter(|width| *width <= tile.width) {
            let path = Tile { width, ..tile }.path();
            let made = hashes.get(..usize::from(width)).unwrap_or(hashes).concat();
            if folder.read(&path)?.is_some_and(|stored| stored != made) {
                found.add(&path, "it is not what the entries make of it", Remedy::Start);
            }
        }
    }
    match folder.read(CHECKPOINT)? {
        None => found.add(CHECKPOINT, "it is missing", Remedy::Start),
        Some(shown) if shown != note.as_bytes() => {
            found.add(CHECKPOINT, "it is not the one of the store", Remedy::Start);
        }
        Some(_) => {}
    }
    Ok(found)
}
