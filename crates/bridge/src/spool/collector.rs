use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;
use trust::digest::{DigestAlgorithm, Digesting};

use super::body::Kept;
use super::{Body, MEMORY_BYTES_MAX, PIECE_BYTES, Spool, SpoolError, SpoolFile, blocking};

/// Pieces on their way to the disk: they are sealed and written while the next ones come.
type UnderWay = Option<JoinHandle<Result<(), SpoolError>>>;

/// Takes a body as it comes. [`push`](Self::push) never waits; [`settle`](Self::settle) brings to the disk what is too much for the
/// memory and is to be awaited after each slice: it waits for the pieces before, never for those that it sends.
#[derive(Debug)]
pub struct Collector {
    hash: Digesting,
    length: u64,
    held: Held,
    spool: Option<Arc<Spool>>,
    memory_bytes_max: usize,
    kept_bytes_max: u64,
}

#[derive(Debug)]
enum Held {
    /// A body that came in one slice is kept as it is, without a copy.
    One(Bytes),
    /// Several slices, put together.
    Many(BytesMut),
    /// Whole pieces that wait for the disk, and the one that is not full yet.
    Pieces { file: Arc<SpoolFile>, written: u64, full: Vec<Vec<u8>>, last: Vec<u8>, under_way: UnderWay },
    /// Too long to be kept: only the digest goes on.
    Nothing,
}

impl Collector {
    /// A collector that keeps everything in memory; the caller limits what it pushes.
    pub fn in_memory() -> Self {
        Self {
            hash: Digesting::new(DigestAlgorithm::Sha512),
            length: 0,
            held: Held::One(Bytes::new()),
            spool: None,
            memory_bytes_max: usize::MAX,
            kept_bytes_max: u64::MAX,
        }
    }

    /// A collector that goes to the disk above the memory limit.
    pub fn spooled(spool: Arc<Spool>) -> Self {
        Self { spool: Some(spool), memory_bytes_max: MEMORY_BYTES_MAX, ..Self::in_memory() }
    }

    /// The same, with less memory: the parts of one message share theirs.
    #[must_use]
    pub fn with_memory(mut self, bytes_max: usize) -> Self {
        if self.spool.is_some() {
            self.memory_bytes_max = bytes_max;
        }
        self
    }

    /// The same, digesting otherwise than by SHA-512.
    #[must_use]
    pub fn digesting(mut self, algorithm: DigestAlgorithm) -> Self {
        self.hash = Digesting::new(algorithm);
        self
    }

    /// The same, but a body longer than this is given up: of such a one only length and digest are known in the end.
    #[must_use]
    pub const fn keeping(mut self, bytes_max: u64) -> Self {
        self.kept_bytes_max = bytes_max;
        self
    }

    /// Bytes that came.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that are held in memory as a whole body; 0 once it goes to the disk.
    pub fn memory_bytes(&self) -> usize {
        match &self.held {
            Held::One(data) => data.len(),
            Held::Many(data) => data.len(),
            Held::Pieces { .. } | Held::Nothing => 0,
        }
    }

    /// Takes the next slice.
    pub fn push(&mut self, data: Bytes) {
        self.hash.update(&data);
        self.length += data.len() as u64;
        if self.length > self.kept_bytes_max {
            self.held = Held::Nothing;
            return;
        }
        match &mut self.held {
            Held::One(first) if first.is_empty() => *first = data,
            Held::One(first) => {
                let mut both = BytesMut::with_capacity(2 * (first.len() + data.len()));
                both.extend_from_slice(first);
                both.extend_from_slice(&data);
                self.held = Held::Many(both);
            }
            Held::Many(all) => all.extend_from_slice(&data),
            Held::Pieces { full, last, .. } => fill(full, last, &data),
            Held::Nothing => {}
        }
    }

    /// Brings to the disk what is too much for the memory.
    pub async fn settle(&mut self) -> Result<(), SpoolError> {
        if let Some(spool) = self.spool.as_ref().filter(|_| self.memory_bytes() > self.memory_bytes_max) {
            let file = Arc::new(spool.file()?);
            let (mut full, mut last) = (Vec::new(), Vec::new());
            match std::mem::replace(&mut self.held, Held::Nothing) {
                Held::One(data) => fill(&mut full, &mut last, &data),
                Held::Many(data) => fill(&mut full, &mut last, &data),
                Held::Pieces { .. } | Held::Nothing => {}
            }
            self.held = Held::Pieces { file, written: 0, full, last, under_way: None };
        }
        if let Held::Pieces { file, written, full, under_way, .. } = &mut self.held
            && !full.is_empty()
        {
            arrived(file, under_way).await?;
            let (file, pieces, from) = (Arc::clone(file), std::mem::take(full), *written);
            *written += pieces.len() as u64;
            *under_way = Some(tokio::task::spawn_blocking(move || write(&file, from, pieces)));
        }
        Ok(())
    }

    /// The body, its last piece on the disk where it is there.
    pub async fn finish(mut self) -> Result<Body, SpoolError> {
        self.settle().await?;
        if let Held::Pieces { file, written, last, under_way, .. } = &mut self.held {
            arrived(file, under_way).await?;
            if !last.is_empty() {
                let (of, pieces, from) = (Arc::clone(file), vec![std::mem::take(last)], *written);
                blocking(&file.folder, move || write(&of, from, pieces)).await?;
            }
        }
        Ok(self.body())
    }

    /// The body, where it is in memory; `None` where a part of it waits for the disk ([`finish`](Self::finish) brings it there).
    pub fn finish_in_memory(self) -> Option<Body> {
        match self.held {
            Held::One(_) | Held::Many(_) => Some(self.body()),
            Held::Pieces { .. } | Held::Nothing => None,
        }
    }

    fn body(self) -> Body {
        let kept = match self.held {
            Held::One(data) => Kept::Memory(data),
            Held::Many(data) => Kept::Memory(data.freeze()),
            Held::Pieces { file, .. } => Kept::File(file),
            Held::Nothing => Kept::Nothing,
        };
        Body::new(kept, self.length, self.hash.finish())
    }
}

/// Lays bytes into pieces.
fn fill(full: &mut Vec<Vec<u8>>, last: &mut Vec<u8>, mut data: &[u8]) {
    while !data.is_empty() {
        if last.capacity() == 0 {
            last.reserve_exact(PIECE_BYTES + trust::seal::PIECE_TAG_BYTES);
        }
        let (now, later) = data.split_at(data.len().min(PIECE_BYTES - last.len()));
        last.extend_from_slice(now);
        data = later;
        if last.len() == PIECE_BYTES {
            full.push(std::mem::take(last));
        }
    }
}

/// Waits until the pieces that are under way are on the disk.
async fn arrived(file: &SpoolFile, under_way: &mut UnderWay) -> Result<(), SpoolError> {
    let Some(writing) = under_way.take() else { return Ok(()) };
    writing.await.unwrap_or_else(|error| {
        Err(SpoolError::Io { folder: file.folder.clone(), error: std::io::Error::other(error) })
    })
}

fn write(file: &SpoolFile, from: u64, pieces: Vec<Vec<u8>>) -> Result<(), SpoolError> {
    for (number, piece) in (from..).zip(pieces) {
        file.write(number, piece)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use civic::testing::SeededRandom;
    use trust::digest::Digest;

    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n % 251) as u8).collect()
    }

    async fn collected(spool: &Arc<Spool>, content: &[u8], slice: usize) -> Body {
        let mut collector = Collector::spooled(Arc::clone(spool));
        for slice in content.chunks(slice) {
            collector.push(Bytes::copy_from_slice(slice));
            collector.settle().await.unwrap();
        }
        collector.finish().await.unwrap()
    }

    fn spool(folder: &tempfile::TempDir, bytes_max: u64) -> Arc<Spool> {
        Spool::open(folder.path(), bytes_max, Arc::new(SeededRandom::new(1))).unwrap()
    }

    #[tokio::test]
    async fn a_body_of_any_length_comes_back_whole_and_leaves_no_name_and_no_byte_behind() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder, 1 << 30);
        let lengths = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 3 * PIECE_BYTES + 7];
        for (length, slice) in lengths.into_iter().flat_map(|length| [(length, 10_007), (length, 3 * PIECE_BYTES)]) {
            let content = content(length);
            let body = collected(&spool, &content, slice).await;
            assert_eq!(body.len(), length as u64);
            assert_eq!(body.digest(), &Digest::sha512(&content));
            assert_eq!(body.memory().is_some(), length <= MEMORY_BYTES_MAX);
            assert!(body.bytes(1 << 30).await.unwrap() == content, "{length} in slices of {slice}");
            assert_eq!(body, Body::from(Bytes::from(content)));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
            assert_eq!(spool.used_bytes() > 0, length > MEMORY_BYTES_MAX);
            drop(body);
            assert_eq!(spool.used_bytes(), 0);
        }
    }

    #[tokio::test]
    async fn a_body_above_what_is_kept_is_known_by_its_digest_only() {
        let folder = tempfile::tempdir().unwrap();
        let content = content(PIECE_BYTES * 3);
        let mut collector = Collector::spooled(spool(&folder, 1 << 30)).keeping(2 * PIECE_BYTES as u64);
        for slice in content.chunks(10_000) {
            collector.push(Bytes::copy_from_slice(slice));
            collector.settle().await.unwrap();
        }
        let body = collector.finish().await.unwrap();
        assert!(!body.is_kept());
        assert_eq!(body.digest(), &Digest::sha512(&content));
        assert!(matches!(body.bytes(1 << 30).await, Err(SpoolError::NotKept)));
    }

    #[tokio::test]
    async fn the_space_of_the_spool_is_limited_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder, 4 * PIECE_BYTES as u64);
        let mut collector = Collector::spooled(Arc::clone(&spool));
        collector.push(Bytes::from(content(5 * PIECE_BYTES)));
        assert!(matches!(collector.finish().await, Err(SpoolError::Full { .. })));
        assert_eq!(spool.used_bytes(), 0);
        collected(&spool, &content(3 * PIECE_BYTES), 100_000).await;
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_removed_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("spool-left"), b"sealed").unwrap();
        std::fs::write(folder.path().join("other"), b"kept").unwrap();
        spool(&folder, 1);
        assert!(!folder.path().join("spool-left").exists() && folder.path().join("other").exists());
    }
}
