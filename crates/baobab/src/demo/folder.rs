//! The data folder of a demo nation: where it is, that it is ours, that only one process uses it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::files::{make_private, write_durably};

/// What was decided when the data were made; later starts go on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Founding {
    /// Seed of the synthetic people.
    pub(super) seed: u64,
    /// How many there are.
    pub(super) population: u32,
}

/// The data folder, held by this process until dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    founding: Founding,
    _lock: File,
}

const FOUNDING: &str = "nation.json";

impl Folder {
    /// Opens or makes the folder. `reset` empties it first, if it is the folder of a demo nation.
    pub(super) fn open(path: &Path, wanted: Founding, reset: bool) -> anyhow::Result<Self> {
        make_private(path)?;
        let path = path.canonicalize()?;
        let lock = lock(&path)?;
        let founded = path.join(FOUNDING);
        if !founded.exists() && fs::read_dir(&path)?.flatten().any(|entry| entry.file_name() != LOCK) {
            bail!("{} holds something that is no demo nation; name another folder with --data", path.display());
        }
        if reset && founded.exists() {
            empty(&path)?;
        }
        if !founded.exists() {
            // A start that died half-way leaves no founding file, so nothing may build on its remains.
            write_durably(&founded, &serde_json::to_vec_pretty(&wanted)?)?;
        }
        let text = fs::read(&founded)?;
        let founding = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged; start again with --reset", founded.display()))?;
        Ok(Self { path, founding, _lock: lock })
    }

    pub(super) const fn founding(&self) -> Founding {
        self.founding
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder of an organisation, readable by its owner only.
    pub(super) fn organisation(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        make_private(&path)?;
        Ok(path)
    }
}

/// `baobab/demo` in the user's data directory (XDG Base Directory Specification).
#[expect(clippy::disallowed_methods, reason = "the roof reads the environment")]
pub(super) fn default_path() -> anyhow::Result<PathBuf> {
    let data_home = std::env::var("XDG_DATA_HOME").ok().filter(|path| Path::new(path).is_absolute()).map(PathBuf::from);
    let home = || std::env::var("HOME").ok().map(|home| Path::new(&home).join(".local/share"));
    let base = data_home.or_else(home).context("neither XDG_DATA_HOME nor HOME is set; name a folder with --data")?;
    Ok(base.join("baobab/demo"))
}

const LOCK: &str = "lock";

fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::create(path.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another baobab uses {}; stop it, or name another folder with --data", path.display())
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn empty(path: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(path)?.flatten().filter(|entry| entry.file_name() != LOCK) {
        let kind = entry.file_type()?;
        if kind.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Founding = Founding { seed: 1, population: 10 };

    #[test]
    fn a_second_start_goes_on_with_what_was_founded() {
        let place = tempfile::tempdir().unwrap();
        drop(Folder::open(place.path(), SMALL, false).unwrap());
        let later = Folder::open(place.path(), Founding { seed: 2, population: 99 }, false).unwrap();
        assert_eq!(later.founding(), SMALL);
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let _held = Folder::open(place.path(), SMALL, false).unwrap();
        let error = Folder::open(place.path(), SMALL, false).unwrap_err();
        assert!(error.to_string().contains("another baobab uses"), "{error}");
    }

    #[test]
    fn reset_never_empties_a_folder_that_is_not_ours() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("thesis.txt"), "three years of work").unwrap();
        assert!(Folder::open(place.path(), SMALL, true).is_err());
        assert!(place.path().join("thesis.txt").exists());
    }

    #[test]
    fn reset_founds_anew() {
        let place = tempfile::tempdir().unwrap();
        drop(Folder::open(place.path(), SMALL, false).unwrap());
        let anew = Folder::open(place.path(), Founding { seed: 7, population: 20 }, true).unwrap();
        assert_eq!(anew.founding().seed, 7);
    }
}
