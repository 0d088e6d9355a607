use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// What the folder of tiles asks of a file system. Two live behind it: the machine's, and a model that loses, reorders
/// and tears whatever was not synced.
pub(crate) trait Disk: Send + Sync + 'static {
    /// A file of this content at this path, folders above it included. A reader sees it whole or not at all; after a
    /// crash it may be anything until [`Disk::sync`].
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;
    /// The content of a file, where there is one.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;
    /// Takes away a folder with the files in it, where there is one.
    fn remove_folder(&self, path: &str) -> io::Result<()>;
    /// When it returns, all that was written before survives a power cut. After an error nothing may be tried again.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the machine's file system.
pub(crate) struct RealDisk {
    root: PathBuf,
    folder: File,
    /// Two processes that write the same tile do not meet in one unfinished file.
    suffix: String,
}

impl RealDisk {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let folder = File::open(root)?;
        folder.sync_all()?;
        Ok(Self { root: root.to_owned(), folder, suffix: format!(".part-{}", std::process::id()) })
    }
}

impl Disk for RealDisk {
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.root.join(format!("{path}{}", self.suffix));
        let mut file = match File::create(&unfinished) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(unfinished.parent().unwrap_or(&self.root))?;
                File::create(&unfinished)?
            }
            opened => opened?,
        };
        file.write_all(bytes)?;
        drop(file);
        fs::rename(&unfinished, self.root.join(path))
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.root.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    fn sync(&self) -> io::Result<()> {
        // One flush for hundreds of tiles, their names included, instead of two for each.
        Ok(rustix::fs::syncfs(&self.folder)?)
    }
}
