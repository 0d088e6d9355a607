//! What waits for the database, and where it waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::{StoreError, Tx};

/// No more than this many callers wait for one store; the next ones are told to slow down.
const WAITING_MAX: usize = 65_536;

/// What a job wants to become of its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Commit,
    RollBack,
}

/// A piece of work inside a transaction. It may be run more than once; only the last run counts.
pub(crate) trait Job: Send {
    fn name(&self) -> &'static str;
    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict;
    /// Answers the caller: with the result of the last run, or with what went wrong below it.
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// The closure of a caller of [`crate::Store::tx`] or [`crate::Store::read`].
pub(crate) struct Closure<T, E, F> {
    name: &'static str,
    body: F,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Closure<T, E, F> {
    pub(crate) fn new(name: &'static str, body: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (answer, receiver) = oneshot::channel();
        (Self { name, body, result: None, answer }, receiver)
    }
}

impl<T, E, F> Job for Closure<T, E, F>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict {
        let result = catch_unwind(AssertUnwindSafe(|| (self.body)(tx)))
            .unwrap_or_else(|_| Err(E::from(StoreError::Panicked { name: self.name })));
        let result = match (result, tx.failure()) {
            (Ok(_), Some(first)) => Err(E::from(StoreError::FailedBefore { first: first.to_string() })),
            (result, _) => result,
        };
        let verdict = if result.is_ok() { Verdict::Commit } else { Verdict::RollBack };
        self.result = Some(result);
        verdict
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        let result = match (outcome, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(E::from(StoreError::Closed)),
            (Err(error), _) => Err(E::from(error)),
        };
        // A caller who went away does not want the answer.
        let _ = self.answer.send(result);
    }
}

/// A line of waiting jobs. Closing it lets those in it be served and refuses new ones.
pub(crate) struct Line<J> {
    state: Mutex<State<J>>,
    arrival: Condvar,
}

struct State<J> {
    waiting: VecDeque<J>,
    open: bool,
}

impl<J> Line<J> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), open: true }), arrival: Condvar::new() }
    }

    pub(crate) fn push(&self, job: J) -> Result<(), StoreError> {
        let mut state = self.lock();
        if !state.open {
            return Err(StoreError::Closed);
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(StoreError::Overloaded { waiting: state.waiting.len() });
        }
        state.waiting.push_back(job);
        drop(state);
        self.arrival.notify_one();
        Ok(())
    }

    /// Waits for a job; `None` once the line is closed and empty.
    pub(crate) fn next(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if !state.open {
                return None;
            }
            state = self.arrival.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A job that waits now, if there is one.
    pub(crate) fn next_now(&self) -> Option<J> {
        self.lock().waiting.pop_front()
    }

    pub(crate) fn close(&self) {
        self.lock().open = false;
        self.arrival.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Nothing panics while it holds this lock; the state is whole even if something did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
