use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use store::bucket::{Bucket, BucketError};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::disk::{CHECKPOINT, Disk};

/// So many requests are under way at once.
const REQUESTS_MAX: usize = 16;
/// So many objects are read ahead at most, of 8 KiB each.
const AHEAD_MAX: usize = 8_192;

/// A bucket of an object store.
///
/// Objects are written side by side, but the checkpoint only after the server has answered for every object before it:
/// who reads a checkpoint finds its tiles. What the server answered for is as durable as the server makes it; nothing
/// of it is trusted.
pub(crate) struct BucketDisk {
    bucket: Bucket,
    runtime: Handle,
    requests: Arc<Semaphore>,
    state: Mutex<State>,
    /// Held by whoever waits for the server: nobody takes it for done while another one still waits.
    settling: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Why a write was given up: the bucket is then behind the log, and no checkpoint may follow.
    given_up: Option<String>,
    /// Objects that the server has not answered for, with their content: it is what a reader sees.
    writes: BTreeMap<String, (Bytes, JoinHandle<Result<(), BucketError>>)>,
    /// Partial tiles that are taken away; nobody waits for that.
    removals: Vec<JoinHandle<()>>,
    ahead: HashMap<String, Bytes>,
}

impl BucketDisk {
    /// The disk on this bucket. Its methods are to be called where they may wait, in the runtime of the caller.
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            runtime: Handle::current(),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            state: Mutex::default(),
            settling: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the server has answered for all that was written.
    fn settle(&self) -> io::Result<()> {
        let _turn = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let writes = std::mem::take(&mut self.state().writes);
        let outcome = self.runtime.block_on(async {
            let mut outcome = Ok(());
            for (_, write) in writes.into_values() {
                let written = write.await.map_err(|error| error.to_string());
                outcome = outcome.and(written.and_then(|written| written.map_err(|error| error.to_string())));
            }
            outcome
        });
        let mut state = self.state();
        state.given_up = state.given_up.take().or(outcome.err());
        state.given_up.clone().map_or(Ok(()), |reason| Err(io::Error::other(reason)))
    }
}

impl Disk for BucketDisk {
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let bytes = Bytes::copy_from_slice(bytes);
        if path == CHECKPOINT {
            self.settle()?;
            return self.runtime.block_on(self.bucket.put(path, bytes)).map_err(io::Error::other);
        }
        // The same name twice: in the order in which they were written.
        let before = self.state().writes.remove(path);
        if let Some((_, before)) = before {
            self.runtime.block_on(before).map_err(io::Error::other)?.map_err(io::Error::other)?;
        }
        let (bucket, requests) = (self.bucket.clone(), Arc::clone(&self.requests));
        let (name, content) = (path.to_owned(), bytes.clone());
        let write = self.runtime.spawn(async move {
            let _turn = requests.acquire_owned().await;
            bucket.put(&name, content).await
        });
        let mut state = self.state();
        state.ahead.remove(path);
        state.writes.insert(path.to_owned(), (bytes, write));
        Ok(())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.state();
        if let Some(bytes) = state.ahead.remove(path) {
            return Ok(Some(bytes.into()));
        }
        if let Some((bytes, _)) = state.writes.get(path) {
            return Ok(Some(bytes.to_vec()));
        }
        drop(state);
        let found = self.runtime.block_on(self.bucket.get(path)).map_err(io::Error::other)?;
        Ok(found.map(Vec::from))
    }

    fn read_ahead(&self, paths: &[String]) -> io::Result<()> {
        let found = self.runtime.block_on(async {
            let mut reads = JoinSet::new();
            for path in paths.iter().take(AHEAD_MAX) {
                let (bucket, requests, path) = (self.bucket.clone(), Arc::clone(&self.requests), path.clone());
                reads.spawn(async move {
                    let _turn = requests.acquire_owned().await;
                    (bucket.get(&path).await, path)
                });
            }
            let mut found = HashMap::new();
            while let Some(read) = reads.join_next().await {
                let (bytes, path) = read.map_err(io::Error::other)?;
                found.extend(bytes.map_err(io::Error::other)?.map(|bytes| (path, bytes)));
            }
            Ok::<_, io::Error>(found)
        })?;
        self.state().ahead = found;
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.settle()?;
        self.runtime.block_on(self.bucket.list(path)).map_err(io::Error::other)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        // Partial tiles go when what stands in their place is there.
        self.settle()?;
        let (bucket, requests, folder) = (self.bucket.clone(), Arc::clone(&self.requests), path.to_owned());
        let removal = self.runtime.spawn(async move {
            let _turn = requests.acquire_owned().await;
            if let Err(error) = remove(&bucket, &folder).await {
                tracing::warn!(%error, folder, "partial tiles stay in the bucket; they do no harm");
            }
        });
        let mut state = self.state();
        state.removals.retain(|removal| !removal.is_finished());
        state.removals.push(removal);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.settle()
    }
}

async fn remove(bucket: &Bucket, folder: &str) -> Result<(), BucketError> {
    for name in bucket.list(folder).await? {
        bucket.delete(&format!("{folder}/{name}")).await?;
    }
    Ok(())
}
