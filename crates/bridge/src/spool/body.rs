use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;
use trust::digest::{Digest, DigestAlgorithm};

use super::{PIECE_BYTES, SpoolError, SpoolFile};

/// The whole content of a part, its length and SHA-512 known. Cheap to clone; two are equal where their content is.
#[derive(Clone, Debug)]
pub struct Body {
    kept: Kept,
    length: u64,
    digest: Digest,
}

#[derive(Clone, Debug)]
pub(super) enum Kept {
    Memory(Bytes),
    File(Arc<SpoolFile>),
    Nothing,
}

/// Reads a body from its beginning, a piece at a time, one piece ahead.
#[derive(Debug)]
pub struct BodyReader {
    body: Body,
    next: u64,
    given: u64,
    ahead: Option<JoinHandle<Result<Vec<u8>, SpoolError>>>,
}

impl Body {
    pub(super) const fn new(kept: Kept, length: u64, digest: Digest) -> Self {
        Self { kept, length, digest }
    }

    /// A body in memory.
    pub fn digested(algorithm: DigestAlgorithm, bytes: Bytes) -> Self {
        Self { length: bytes.len() as u64, digest: Digest::of(algorithm, &bytes), kept: Kept::Memory(bytes) }
    }

    /// Its length in bytes.
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether it has no byte.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The digest of its content.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its content, where that is in memory.
    pub const fn memory(&self) -> Option<&Bytes> {
        match &self.kept {
            Kept::Memory(bytes) => Some(bytes),
            Kept::File(_) | Kept::Nothing => None,
        }
    }

    /// Whether its content is still there, and not only length and digest.
    pub const fn is_kept(&self) -> bool {
        !matches!(self.kept, Kept::Nothing)
    }

    /// Reads it from the beginning.
    pub fn reader(&self) -> BodyReader {
        BodyReader { body: self.clone(), next: 0, given: 0, ahead: None }
    }

    /// Its content in one piece, where it has at most this many bytes.
    pub async fn bytes(&self, bytes_max: u64) -> Result<Bytes, SpoolError> {
        if self.length > bytes_max {
            return Err(SpoolError::TooLarge { length: self.length, bytes_max });
        }
        if let Kept::Memory(bytes) = &self.kept {
            return Ok(bytes.clone());
        }
        let mut all = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or(0));
        let mut reader = self.reader();
        while let Some(piece) = reader.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.freeze())
    }
}

impl From<Bytes> for Body {
    /// A body in memory, with the digest that every X-Road node takes.
    fn from(bytes: Bytes) -> Self {
        Self::digested(DigestAlgorithm::Sha512, bytes)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.digest == other.digest
    }
}

impl Eq for Body {}

impl BodyReader {
    /// Bytes that were not given yet.
    pub const fn remaining(&self) -> u64 {
        self.body.length - self.given
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, SpoolError>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The same, for a stream.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SpoolError>>> {
        if self.remaining() == 0 {
            return Poll::Ready(None);
        }
        let file = match &self.body.kept {
            Kept::Memory(bytes) => {
                self.given = self.body.length;
                return Poll::Ready(Some(Ok(bytes.clone())));
            }
            Kept::Nothing => {
                self.given = self.body.length;
                return Poll::Ready(Some(Err(SpoolError::NotKept)));
            }
            Kept::File(file) => Arc::clone(file),
        };
        if self.ahead.is_none() {
            self.ahead = read(&file, self.next, self.body.length);
        }
        let Some(reading) = &mut self.ahead else { return Poll::Ready(None) };
        let outcome = ready!(Pin::new(reading).poll(context));
        self.next += 1;
        self.ahead = read(&file, self.next, self.body.length);
        let outcome = outcome.unwrap_or_else(|error| {
            Err(SpoolError::Io { folder: file.folder.clone(), error: std::io::Error::other(error) })
        });
        Poll::Ready(Some(match outcome {
            Ok(piece) => {
                self.given += piece.len() as u64;
                Ok(Bytes::from(piece))
            }
            Err(error) => {
                self.given = self.body.length;
                Err(error)
            }
        }))
    }
}

/// Begins to read a piece; `None` where there is no such piece.
fn read(file: &Arc<SpoolFile>, number: u64, length: u64) -> Option<JoinHandle<Result<Vec<u8>, SpoolError>>> {
    let from = number * PIECE_BYTES as u64;
    let bytes = length.checked_sub(from).filter(|left| *left > 0)?.min(PIECE_BYTES as u64);
    let file = Arc::clone(file);
    Some(tokio::task::spawn_blocking(move || file.read(number, bytes as usize)))
}
