//! Bringing the write-ahead log into the database file.
//!
//! The bulk is brought over by a thread with a connection of its own while commits go on. What was committed meanwhile is little; the writer
//! brings it over itself, and its next commit begins the log anew: without that a log that is never idle would grow for ever.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::{classify, open_connection, spawn, unavailable};
use crate::StoreError;
use crate::metrics::Metrics;

/// The log is brought over each time it has grown by this many pages of 8 KiB (32 MiB; databases of earlier versions have pages of 4 KiB): what
/// is written again and again, as the pages of indexes are, is then brought over once.
const DUE_PAGES: i64 = 4_000;
/// A log that grows faster than it is brought over makes the writer wait once it is this long (64 MiB).
const FULL_PAGES: i64 = 2 * DUE_PAGES;
/// How often a writer that waits looks again.
const LOOK: Duration = Duration::from_millis(1);

/// What the thread is at.
const IDLE: u8 = 0;
const AT_WORK: u8 = 1;
/// The bulk is over; the rest is the writer's.
const DONE: u8 = 2;

/// The checkpoints of one database, as its writer sees them.
pub(super) struct Checkpoints {
    due_at: i64,
    state: Arc<AtomicU8>,
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    outcome: Outcome,
}

#[derive(Clone)]
struct Outcome {
    metrics: Metrics,
    broken: Arc<AtomicBool>,
}

impl Checkpoints {
    pub(super) fn start(path: &Path, metrics: &Metrics, broken: &Arc<AtomicBool>) -> Result<Self, StoreError> {
        let connection = open_connection(path).map_err(|error| unavailable(&error))?;
        let state = Arc::new(AtomicU8::new(IDLE));
        let (ask, asked) = sync_channel(1);
        let outcome = Outcome { metrics: metrics.clone(), broken: Arc::clone(broken) };
        let (seen, judge) = (Arc::clone(&state), outcome.clone());
        let thread = spawn("store-checkpoint", move || serve(&connection, &asked, &seen, &judge))?;
        Ok(Self { due_at: DUE_PAGES, state, ask: Some(ask), thread: Some(thread), outcome })
    }

    /// To be called by the writer between two commits; `log_pages` is how long the log was after the last one, negative where that is not
    /// known.
    pub(super) fn after_commit(&mut self, writer: &Connection, log_pages: i64) {
        while log_pages >= FULL_PAGES && self.state.load(Ordering::SeqCst) == AT_WORK {
            thread::sleep(LOOK);
        }
        match self.state.load(Ordering::SeqCst) {
            AT_WORK => {}
            DONE => {
                self.outcome.checkpoint(writer, "PASSIVE");
                self.due_at = log_pages.max(0) + DUE_PAGES;
                self.state.store(IDLE, Ordering::SeqCst);
            }
            _ if log_pages >= self.due_at => {
                self.state.store(AT_WORK, Ordering::SeqCst);
                if self.ask.as_ref().is_none_or(|ask| ask.try_send(()).is_err()) {
                    self.state.store(DONE, Ordering::SeqCst);
                }
            }
            // The log was begun anew: the next checkpoint is due after its first stretch.
            _ if (0..self.due_at - DUE_PAGES).contains(&log_pages) => self.due_at = DUE_PAGES,
            _ => {}
        }
    }

    /// Brings everything over and empties the log.
    pub(super) fn finish(&mut self, writer: &Connection) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked leaves the log as it was: nothing is lost.
            let _ = thread.join();
        }
        if !self.outcome.broken.load(Ordering::SeqCst) {
            self.outcome.checkpoint(writer, "TRUNCATE");
        }
    }
}

fn serve(connection: &Connection, asked: &Receiver<()>, state: &AtomicU8, outcome: &Outcome) {
    while asked.recv().is_ok() {
        outcome.checkpoint(connection, "PASSIVE");
        state.store(DONE, Ordering::SeqCst);
    }
}

impl Outcome {
    fn checkpoint(&self, connection: &Connection, mode: &str) {
        let outcome = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        match outcome.map_err(|error| classify(&error, "checkpoint")) {
            Ok(()) => drop(self.metrics.checkpoints.inc()),
            Err(error @ StoreError::Broken { .. }) => {
                self.broken.store(true, Ordering::SeqCst);
                tracing::error!(%error, "the checkpoint failed; this store refuses further writes");
            }
            // Nothing is lost: the log keeps growing until a later checkpoint succeeds.
            Err(error) => tracing::warn!(%error, "the checkpoint was put off"),
        }
    }
}
