//! Bodies of messages: in memory while they are small, else in a file that nobody but this process can read.
//!
//! A [`Collector`] takes bytes as they come, computes their SHA-512 on the way, and becomes a [`Body`]. Above the memory limit it writes
//! pieces of [`PIECE_BYTES`] to a file of the [`Spool`]: the file is unlinked as soon as it is open, and each piece is sealed with a key
//! that exists in memory only (`trust::seal::PieceKey`). So a crash leaves nothing to clean up and nothing to read, and the space is free
//! again when the last [`Body`] of it goes.
//!
//! Trusted: nobody. Who can write the disk can make a body unreadable, not another one.

mod body;
mod collector;
mod flow;

pub use body::{Body, BodyReader};
pub use collector::Collector;
pub(crate) use flow::{Flow, FlowError, FlowSender};

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use civic::SharedRandom;
use prometheus_client::metrics::gauge::Gauge;
use trust::seal::{PieceKey, SealError};

/// A body of at most this many bytes stays in memory.
pub const MEMORY_BYTES_MAX: usize = 256 * 1024;
/// The content of one piece of a spool file, bytes.
pub const PIECE_BYTES: usize = 256 * 1024;

/// Why a body cannot be kept or read back.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The bodies on their way fill the space that the operator gave them.
    #[error("the bodies on their way fill the {bytes_max} bytes that this node may spool (`spool_bytes_max`)")]
    Full {
        /// The setting.
        bytes_max: u64,
    },
    /// The disk is full, or broken.
    #[error("the spool in {folder} failed: {error}")]
    Io {
        /// The folder of the spool.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A piece does not open: the file was altered under the node.
    #[error("a spooled body cannot be read back: {0}")]
    Sealed(#[from] SealError),
    /// Only the digest of the body was kept.
    #[error("the body was not kept, only its digest")]
    NotKept,
    /// The body is over the limit of whoever asked for it in one piece.
    #[error("the body has {length} bytes, over the limit of {bytes_max}")]
    TooLarge {
        /// Its length.
        length: u64,
        /// The limit.
        bytes_max: u64,
    },
}

/// Where bodies wait that are too large for the memory.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    used: Gauge,
    random: SharedRandomSource,
}

/// The source of keys and names; without a `Debug` of its own.
struct SharedRandomSource(SharedRandom);

impl std::fmt::Debug for SharedRandomSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("random")
    }
}

/// A file of the spool that is being written or read; its space is given back when it goes.
#[derive(Debug)]
struct SpoolFile {
    file: File,
    key: PieceKey,
    folder: PathBuf,
    reserved: AtomicU64,
    used: Gauge,
    bytes_max: u64,
}

impl Spool {
    /// Opens a spool in a folder, which is made where it is missing. Files that a killed process left are removed.
    pub fn open(folder: &Path, bytes_max: u64, random: SharedRandom) -> Result<Arc<Self>, SpoolError> {
        let failed = |error| SpoolError::Io { folder: folder.to_owned(), error };
        std::fs::create_dir_all(folder).map_err(failed)?;
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                std::fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            bytes_max,
            used: Gauge::default(),
            random: SharedRandomSource(random),
        }))
    }

    /// Bytes that wait on the disk now.
    pub fn used_bytes(&self) -> u64 {
        u64::try_from(self.used.get()).unwrap_or(0)
    }

    /// The same, for `/metrics`.
    pub(crate) fn gauge(&self) -> Gauge {
        self.used.clone()
    }

    /// A new file without a name.
    fn file(&self) -> Result<SpoolFile, SpoolError> {
        let random = &*self.random.0;
        let failed = |error| SpoolError::Io { folder: self.folder.clone(), error };
        let path = self.folder.join(format!("{PREFIX}{}", civic::random_hex::<16>(random)));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        Ok(SpoolFile {
            file,
            key: PieceKey::generate(random)?,
            folder: self.folder.clone(),
            reserved: AtomicU64::new(0),
            used: self.used.clone(),
            bytes_max: self.bytes_max,
        })
    }
}

/// How names of spool files begin, for the moment in which they have one.
const PREFIX: &str = "spool-";

impl SpoolFile {
    /// Seals a piece and writes it to its place. Blocking.
    fn write(&self, number: u64, mut piece: Vec<u8>) -> Result<(), SpoolError> {
        use std::os::unix::fs::FileExt as _;
        self.key.seal(number, &mut piece)?;
        let bytes = piece.len() as u64;
        let before = self.used.inc_by(bytes as i64);
        self.reserved.fetch_add(bytes, Ordering::Relaxed);
        if u64::try_from(before).unwrap_or(0) + bytes > self.bytes_max {
            return Err(SpoolError::Full { bytes_max: self.bytes_max });
        }
        self.file.write_all_at(&piece, place(number)).map_err(|error| self.failed(error))
    }

    /// Reads and opens a piece whose content has this many bytes. Blocking.
    fn read(&self, number: u64, length: usize) -> Result<Vec<u8>, SpoolError> {
        use std::os::unix::fs::FileExt as _;
        let mut piece = vec![0; length + trust::seal::PIECE_TAG_BYTES];
        self.file.read_exact_at(&mut piece, place(number)).map_err(|error| self.failed(error))?;
        self.key.open(number, &mut piece)?;
        Ok(piece)
    }

    fn failed(&self, error: io::Error) -> SpoolError {
        SpoolError::Io { folder: self.folder.clone(), error }
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        self.used.dec_by(self.reserved.load(Ordering::Relaxed) as i64);
    }
}

const fn place(number: u64) -> u64 {
    number * (PIECE_BYTES + trust::seal::PIECE_TAG_BYTES) as u64
}

/// Runs work on the disk beside the tasks of the node.
async fn blocking<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(SpoolError::Io { folder: folder.to_owned(), error: io::Error::other(error) }),
    }
}
