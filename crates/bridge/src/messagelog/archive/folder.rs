//! The folder of the archives: files appear in it whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trust::digest::{Sha256, constant_time_eq};

use super::ArchiveFailure;

const ASIDE: &str = ".part";
/// A file is read in slices of this size.
const SLICE_BYTES: usize = 64 * 1024;

#[derive(Clone)]
pub(super) struct Folder(Arc<Path>);

/// Where the file of an archive is.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Under its name, whole, on the disk.
    InPlace,
    /// Nowhere: neither under its name nor under its passing name is the file that is meant.
    Lost,
}

impl Folder {
    /// Opens the folder, making it where it is missing.
    pub(super) async fn open(path: PathBuf) -> Result<Self, ArchiveFailure> {
        let folder = Self(Arc::from(path));
        folder.run(|folder| fs::create_dir_all(folder).map_err(|error| (folder.to_owned(), error))).await?;
        Ok(folder)
    }

    /// Writes a file under its passing name, down to the disk.
    pub(super) async fn write_aside(&self, name: &str, bytes: Vec<u8>) -> Result<(), ArchiveFailure> {
        let aside = aside(name);
        self.run(move |folder| {
            let path = folder.join(&aside);
            let write = || {
                let mut file = File::create(&path)?;
                file.write_all(&bytes)?;
                file.sync_all()
            };
            write().map_err(|error| (path.clone(), error))
        })
        .await
    }

    /// Gives a file its name, where it has it not yet.
    pub(super) async fn put_in_place(&self, name: &str, digest: [u8; 32]) -> Result<Placed, ArchiveFailure> {
        let name = name.to_owned();
        self.run(move |folder| {
            let (aside, path) = (folder.join(aside(&name)), folder.join(&name));
            if is_meant(&aside, &digest)? {
                fs::rename(&aside, &path).map_err(|error| (path.clone(), error))?;
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| (folder.to_owned(), error))?;
                return Ok(Placed::InPlace);
            }
            Ok(if is_meant(&path, &digest)? { Placed::InPlace } else { Placed::Lost })
        })
        .await
    }

    /// Removes files under passing names: no archive was noted for them.
    pub(super) async fn remove_leftovers(&self) -> Result<(), ArchiveFailure> {
        self.run(|folder| {
            for entry in fs::read_dir(folder).map_err(|error| (folder.to_owned(), error))? {
                let path = entry.map_err(|error| (folder.to_owned(), error))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.starts_with(".mlog-") && name.ends_with(ASIDE) && path.is_file() {
                    fs::remove_file(&path).map_err(|error| (path.clone(), error))?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn run<T, F>(&self, work: F) -> Result<T, ArchiveFailure>
    where
        T: Send + 'static,
        F: FnOnce(&Path) -> Result<T, (PathBuf, io::Error)> + Send + 'static,
    {
        let folder = Arc::clone(&self.0);
        let path = folder.to_path_buf();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        let outcome = done.unwrap_or_else(|error| Err((path, io::Error::other(error))));
        outcome.map_err(|(path, error)| ArchiveFailure::File { path, error })
    }
}

fn aside(name: &str) -> String {
    format!(".{name}{ASIDE}")
}

fn is_meant(path: &Path, digest: &[u8; 32]) -> Result<bool, (PathBuf, io::Error)> {
    match digest_of(path) {
        Ok(found) => Ok(constant_time_eq(&found, digest)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err((path.to_owned(), error)),
    }
}

fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hash, mut slice) = (File::open(path)?, Sha256::new(), vec![0; SLICE_BYTES]);
    loop {
        let read = file.read(&mut slice)?;
        if read == 0 {
            return Ok(hash.finish());
        }
        hash.update(slice.get(..read).unwrap_or_default());
    }
}
