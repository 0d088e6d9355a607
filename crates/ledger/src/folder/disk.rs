use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// The name of the checkpoint: the last file of each publication.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// What the folder of tiles asks of a file system. Two live behind it: the machine's, and a model that loses, reorders
/// and tears whatever was not synced.
pub(crate) trait Disk: Send + Sync + 'static {
    /// A file of this content at this path, folders above it included. A reader sees it whole or not at all; after a
    /// crash it may be anything until [`Disk::sync`].
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;
    /// The content of a file, where there is one.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;
    /// Says what will be read next, each once. Nothing where a read takes no time.
    fn read_ahead(&self, _paths: &[String]) -> io::Result<()> {
        Ok(())
    }
    /// The names of what is in a folder; none where there is no such folder.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// Takes away a folder with the files in it, where there is one.
    fn remove_folder(&self, path: &str) -> io::Result<()>;
    /// When it returns, all that was written before survives a power cut. After an error nothing may be tried again.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the machine's file system.
///
/// Partial tiles and the checkpoint come and go by the hundred a second. A file system pays for each file that is made
/// and deleted (ext4 walks past every inode that was freed in the last minute before it hands one out), so the files
/// that went are kept aside and filled again.
pub(crate) struct RealDisk {
    root: PathBuf,
    folder: File,
    /// Where files are written before they take their place. Two processes have one each.
    aside: PathBuf,
    spares: Mutex<Spares>,
}

/// Files and folders that are in no use.
#[derive(Default)]
struct Spares {
    files: VecDeque<(Instant, PathBuf)>,
    folders: Vec<PathBuf>,
    named: u64,
}

/// Who had a file open when it went has this long to read its few kilobytes.
const SPARE_AGE_MIN: Duration = Duration::from_secs(1);
/// How the folder of what is aside is named; the number of the process follows.
const ASIDE: &str = ".aside-";
/// Another process that did not touch its own for so long is gone.
const ASIDE_AGE_MAX: Duration = Duration::from_hours(1);
/// More files are not kept aside.
const SPARES_MAX: usize = 16_384;

impl Spares {
    fn name(&mut self, aside: &Path) -> PathBuf {
        self.named += 1;
        aside.join(self.named.to_string())
    }

    /// A file to be written: one that nobody reads any more, or a new one.
    fn file(&mut self, aside: &Path) -> PathBuf {
        match self.files.front() {
            Some((since, _)) if since.elapsed() >= SPARE_AGE_MIN => {
                self.files.pop_front().map_or_else(|| self.name(aside), |(_, path)| path)
            }
            _ => self.name(aside),
        }
    }
}

impl RealDisk {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let aside = root.join(format!("{ASIDE}{}", std::process::id()));
        fs::create_dir_all(root)?;
        forget_asides(root, &aside)?;
        fs::create_dir_all(&aside)?;
        let folder = File::open(root)?;
        folder.sync_all()?;
        Ok(Self { root: root.to_owned(), folder, aside, spares: Mutex::default() })
    }

    fn with_spares<T>(&self, use_them: impl FnOnce(&mut Spares) -> T) -> T {
        use_them(&mut self.spares.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a written file in its place.
    fn place(&self, written: &Path, path: &str) -> io::Result<()> {
        let target = self.root.join(path);
        if path == CHECKPOINT {
            // The one file that is replaced: the old one becomes a spare.
            match renameat_with(CWD, written, CWD, &target, RenameFlags::EXCHANGE) {
                Ok(()) => {
                    self.with_spares(|spares| spares.files.push_back((Instant::now(), written.to_owned())));
                    return Ok(());
                }
                // There is none yet, or this file system does not exchange names.
                Err(_) => return fs::rename(written, target),
            }
        }
        match fs::rename(written, &target) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_folder_of(&target)?;
                fs::rename(written, &target)
            }
            outcome => outcome,
        }
    }

    fn make_folder_of(&self, target: &Path) -> io::Result<()> {
        let folder = target.parent().unwrap_or(&self.root);
        if let Some(spare) = self.with_spares(|spares| spares.folders.pop())
            && fs::rename(spare, folder).is_ok()
        {
            return Ok(());
        }
        fs::create_dir_all(folder)
    }

    /// Keeps the files of a folder, and the folder, aside.
    fn put_aside(&self, folder: &Path) -> io::Result<()> {
        for file in fs::read_dir(folder)? {
            let spare = self.with_spares(|spares| (spares.files.len() < SPARES_MAX).then(|| spares.name(&self.aside)));
            let Some(spare) = spare else { return fs::remove_dir_all(folder) };
            match fs::rename(file?.path(), &spare) {
                Err(error) if error.kind() == ErrorKind::NotFound => return fs::remove_dir_all(folder),
                moved => moved?,
            }
            self.with_spares(|spares| spares.files.push_back((Instant::now(), spare)));
        }
        let spare = self.with_spares(|spares| spares.name(&self.aside));
        fs::rename(folder, &spare)?;
        self.with_spares(|spares| spares.folders.push(spare));
        Ok(())
    }
}

impl Disk for RealDisk {
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let written = self.with_spares(|spares| spares.file(&self.aside));
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(&written);
        let mut file = match open() {
            // Somebody took the spares for rubbish.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&self.aside)?;
                open()?
            }
            opened => opened?,
        };
        file.write_all(bytes)?;
        let length = bytes.len() as u64;
        if file.metadata()?.len() > length {
            file.set_len(length)?;
        }
        drop(file);
        self.place(&written, path)
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        read_file(&self.root.join(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        list_folder(&self.root.join(path))
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        match self.put_aside(&self.root.join(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    fn sync(&self) -> io::Result<()> {
        // One flush for hundreds of tiles, their names included, instead of two for each.
        Ok(rustix::fs::syncfs(&self.folder)?)
    }
}

/// The machine's file system for who only looks.
pub(crate) struct ReadDisk {
    root: PathBuf,
}

impl ReadDisk {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

impl Disk for ReadDisk {
    fn write(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        read_file(&self.root.join(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        list_folder(&self.root.join(path))
    }

    fn remove_folder(&self, _: &str) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }
}

fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn list_folder(path: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(path) {
        Ok(items) => items.map(|item| Ok(item?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Takes away what earlier processes left aside.
fn forget_asides(root: &Path, own: &Path) -> io::Result<()> {
    for item in fs::read_dir(root)? {
        let item = item?;
        if !item.file_name().to_string_lossy().starts_with(ASIDE) {
            continue;
        }
        let untouched = item.metadata()?.modified()?.elapsed().unwrap_or_default();
        if item.path() == own || untouched >= ASIDE_AGE_MAX {
            fs::remove_dir_all(item.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_went_are_filled_again_and_never_seen_under_their_old_name() {
        let root = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(root.path()).unwrap();
        disk.write("tile/0/000.p/7", b"seven hashes").unwrap();
        disk.write(CHECKPOINT, b"first").unwrap();
        disk.write(CHECKPOINT, b"second").unwrap();
        disk.remove_folder("tile/0/000.p").unwrap();
        disk.remove_folder("tile/0/000.p").unwrap();
        assert_eq!(disk.read("tile/0/000.p/7").unwrap(), None);
        let spares = |disk: &RealDisk| disk.with_spares(|spares| (spares.files.len(), spares.folders.len()));
        assert_eq!(spares(&disk), (2, 1), "the old checkpoint and the partial tile, and its folder");
        std::thread::sleep(SPARE_AGE_MIN);
        disk.write("tile/0/001.p/1", b"one").unwrap();
        assert_eq!(spares(&disk), (1, 0));
        assert_eq!(disk.read("tile/0/001.p/1").unwrap().unwrap(), b"one", "nothing of what was in the file before");
        assert_eq!(fs::read_dir(root.path().join("tile/0/001.p")).unwrap().count(), 1);
        assert_eq!(disk.read(CHECKPOINT).unwrap().unwrap(), b"second");
        // Whoever tidies the folder takes the spares away.
        fs::remove_dir_all(&disk.aside).unwrap();
        disk.remove_folder("tile/0/001.p").unwrap();
        assert_eq!(disk.list("tile/0").unwrap(), Vec::<String>::new());
        disk.write("tile/0/002.p/2", b"two").unwrap();
        assert_eq!(disk.read("tile/0/002.p/2").unwrap().unwrap(), b"two");
    }
}
