//! The ids of the rows that are being written: no job passes one by before its row is on disk, or will never be.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use civic::SharedClock;
use store::StoreError;

/// The ids that were given, and those whose rows are on their way to the disk.
pub(super) struct Ids {
    pub(super) last: i64,
    writing: BTreeSet<i64>,
}

/// Ids whose rows are being written. It goes when the rows are on disk or will never be, whoever waits for them or does no more.
pub(super) struct Writing {
    all: Arc<Mutex<Ids>>,
    clock: SharedClock,
    ids: Vec<i64>,
}

/// How long a row waits for those of other exchanges, for each that is on its way to the disk now, and at most.
const PATIENCE_EACH: Duration = Duration::from_micros(120);
const PATIENCE_MAX: Duration = Duration::from_millis(8);
/// Fewer other rows than this are no company: a lone caller never waits.
const COMPANY_MIN: usize = 4;

impl Ids {
    pub(super) const fn after(last: i64) -> Self {
        Self { last, writing: BTreeSet::new() }
    }

    /// Every row up to this id is on disk or will never be.
    pub(super) fn settled(&self) -> i64 {
        self.writing.first().map_or(self.last, |first| first - 1)
    }
}

impl Writing {
    pub(super) fn new(all: &Arc<Mutex<Ids>>, clock: &SharedClock) -> Self {
        Self { all: Arc::clone(all), clock: Arc::clone(clock), ids: Vec::with_capacity(4) }
    }

    /// Writes rows to the end, also where whoever waits for them leaves: they stand in the line of the store and cannot be called back,
    /// and until they are on disk no job may pass their ids by.
    pub(super) async fn finished<F>(self, write: F) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let written = tokio::spawn(async move {
            let outcome = write.await;
            drop(self);
            outcome
        });
        written.await.unwrap_or_else(|error| Err(StoreError::OutcomeUnknown { reason: error.to_string() }))
    }

    /// Under load one flush of the disk for many exchanges is worth a little of each one's time.
    pub(super) fn patience(&self) -> Duration {
        let ids = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let others = ids.writing.len().saturating_sub(self.ids.len());
        if others < COMPANY_MIN {
            return Duration::ZERO;
        }
        PATIENCE_MAX.min(PATIENCE_EACH * u32::try_from(others).unwrap_or(u32::MAX))
    }

    pub(super) fn next(&mut self) -> i64 {
        let now = self.clock.now().micros();
        let mut ids = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        ids.last = now.max(ids.last.saturating_add(1));
        let id = ids.last;
        ids.writing.insert(id);
        self.ids.push(id);
        id
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut ids = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &self.ids {
            ids.writing.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use civic::testing::{SeededRandom, TestClock};
    use store::params;

    use super::super::{Content, Kept, MessageForm, MessageLog, NewRecord, RecordKind, Role, sql};
    use super::*;

    fn record() -> NewRecord {
        NewRecord {
            role: Role::Consumer,
            kind: RecordKind::Request,
            client: "BB/COM/2001/credit".parse().unwrap(),
            service: "BB/GOV/1002/fisc/echo".parse().unwrap(),
            message_id: "left".to_owned(),
            request_id: "r-1".to_owned(),
            outcome: "sent".to_owned(),
            replay: None,
            content: Content {
                form: MessageForm::Rest,
                message: Kept::Whole(Bytes::from_static(b"GET /")),
                attachments: Vec::new(),
                signature: Kept::Whole(Bytes::from_static(b"<signature/>")),
                batch: None,
            },
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_row_that_nobody_waits_for_any_more_is_not_settled_before_it_is_written() {
        for store in store::testing::engines().await {
            let clock: SharedClock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
            let log =
                MessageLog::open(store.clone(), Arc::clone(&clock), Arc::new(SeededRandom::new(1))).await.unwrap();
            let log = Arc::new(log);
            // Another writer holds the id that the row will have, until it gives up.
            let id = clock.now().micros().max(log.settled() + 1);
            let held = log.row(id, &record(), None, None).unwrap();
            let (let_go, wait) = std::sync::mpsc::channel::<()>();
            let (holds, is_held) = tokio::sync::oneshot::channel();
            let (wait, holds) = (Mutex::new(wait), Mutex::new(Some(holds)));
            let hold = move |tx: &mut store::Tx<'_>| {
                sql::restore_record(tx, &held)?;
                if let Some(holds) = holds.lock().unwrap().take() {
                    holds.send(()).unwrap();
                }
                let _ = wait.lock().unwrap().recv();
                Err::<(), _>(StoreError::Closed)
            };
            let other = store.clone();
            let holder = tokio::spawn(async move { other.tx("test.hold", hold).await });
            is_held.await.unwrap();
            let caller = tokio::spawn({
                let log = Arc::clone(&log);
                async move { log.append(vec![record()], Vec::new()).await }
            });
            while log.settled() != id - 1 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            caller.abort();
            assert!(caller.await.unwrap_err().is_cancelled());
            assert_eq!(log.settled(), id - 1, "its row stands in the line of the store");
            let_go.send(()).unwrap();
            assert!(holder.await.unwrap().is_err());
            let started = Instant::now();
            while log.settled() < id {
                assert!(started.elapsed() < Duration::from_secs(20));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let find = "SELECT COUNT(*) AS rows FROM bridge_message WHERE id = $1";
            let found = store.read("test.find", move |tx| tx.query_one(find, &params![id])).await.unwrap();
            assert_eq!(found.unwrap().get::<i64>("rows").unwrap(), 1, "it was written all the same");
            store.close().await;
        }
    }
}
