//! What waits for the database, and where it waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::{StoreError, Tx};

/// No more than this many callers wait for one store; the next ones are told to slow down.
const WAITING_MAX: usize = 65_536;
/// So many patient jobs together wait for no more.
const COMPANY_MAX: usize = 256;

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
    /// Whether it only adds rows, as [`crate::Store::append`] does.
    fn is_append(&self) -> bool {
        false
    }
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
///
/// A patient job lets others come to it until its moment; then, or as soon as a job comes that does not wait, all go.
pub(crate) struct Line<J> {
    state: Mutex<State<J>>,
    arrival: Condvar,
}

struct State<J> {
    waiting: VecDeque<Place<J>>,
    /// How many in the line do not wait for company.
    hurried: usize,
    open: bool,
}

struct Place<J> {
    job: J,
    /// Until when it waits for company.
    until: Option<Instant>,
}

impl<J> State<J> {
    fn take(&mut self) -> Option<J> {
        let place = self.waiting.pop_front()?;
        self.hurried -= usize::from(place.until.is_none());
        Some(place.job)
    }

    /// Until when the first in the line goes on waiting; `None` where it goes now.
    fn pause(&self) -> Option<Instant> {
        let goes = self.hurried > 0 || !self.open || self.waiting.len() >= COMPANY_MAX;
        if goes { None } else { self.waiting.front()?.until }
    }
}

impl<J> Line<J> {
    pub(crate) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), hurried: 0, open: true };
        Self { state: Mutex::new(state), arrival: Condvar::new() }
    }

    pub(crate) fn push(&self, job: J) -> Result<(), StoreError> {
        self.enter(Place { job, until: None })
    }

    /// Lets the job wait this long for company.
    pub(crate) fn push_patient(&self, job: J, patience: Duration) -> Result<(), StoreError> {
        let until = Some(patience).filter(|patience| !patience.is_zero()).map(|patience| Instant::now() + patience);
        self.enter(Place { job, until })
    }

    /// Waits for a job; `None` once the line is closed and empty.
    pub(crate) fn next(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if state.waiting.is_empty() {
                if !state.open {
                    return None;
                }
                state = self.arrival.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = state.pause().map(|until| until.saturating_duration_since(Instant::now()));
            match left.filter(|left| !left.is_zero()) {
                None => return state.take(),
                Some(left) => {
                    state = self.arrival.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// A job that waits now, if there is one.
    pub(crate) fn next_now(&self) -> Option<J> {
        self.lock().take()
    }

    /// Runs what serves this line on a thread of its own. Where that panics nobody would ever answer those who wait: they are told, and the
    /// line takes no more. Whoever was being served hears it from a channel that is gone. False where it panicked.
    pub(crate) fn serve(&self, server: impl FnOnce(), refuse: impl Fn(J, StoreError)) -> bool {
        if catch_unwind(AssertUnwindSafe(server)).is_ok() {
            return true;
        }
        tracing::error!("a thread of the store panicked; this store takes no more work: start the program again");
        self.close();
        while let Some(job) = self.next_now() {
            refuse(job, StoreError::Broken { reason: "a thread of the store panicked".into() });
        }
        false
    }

    pub(crate) fn close(&self) {
        self.lock().open = false;
        self.arrival.notify_all();
    }

    fn enter(&self, place: Place<J>) -> Result<(), StoreError> {
        let mut state = self.lock();
        if !state.open {
            return Err(StoreError::Closed);
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(StoreError::Overloaded { waiting: state.waiting.len() });
        }
        state.hurried += usize::from(place.until.is_none());
        state.waiting.push_back(place);
        // Nobody is woken for one more patient job beside others.
        let wake = state.waiting.len() == 1 || state.pause().is_none();
        drop(state);
        if wake {
            self.arrival.notify_one();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Nothing panics while it holds this lock; the state is whole even if something did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn patient_jobs_go_together_as_soon_as_one_comes_that_does_not_wait() {
        let line = Line::new();
        line.push_patient(1, LONG).unwrap();
        line.push_patient(2, LONG).unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| line.next());
            line.push(3).unwrap();
            assert_eq!(first.join().unwrap(), Some(1));
        });
        assert_eq!((line.next_now(), line.next_now(), line.next_now()), (Some(2), Some(3), None));
    }

    #[test]
    fn a_patient_job_goes_alone_when_its_time_is_over_or_the_line_closes() {
        let line = Line::new();
        line.push_patient(1, Duration::from_millis(1)).unwrap();
        assert_eq!(line.next(), Some(1));
        line.push_patient(2, LONG).unwrap();
        line.close();
        assert_eq!((line.next(), line.next()), (Some(2), None));
        assert!(matches!(line.push_patient(3, LONG), Err(StoreError::Closed)));
    }

    #[test]
    fn those_who_wait_are_told_when_what_serves_them_panics() {
        let line = Line::new();
        for job in 1..=3 {
            line.push(job).unwrap();
        }
        let refused = Mutex::new(Vec::new());
        let refuse = |job, error| refused.lock().unwrap().push((job, matches!(error, StoreError::Broken { .. })));
        let whole = line.serve(
            || {
                assert_eq!(line.next(), Some(1));
                std::panic::resume_unwind(Box::new("a fault of the engine"));
            },
            refuse,
        );
        assert!(!whole);
        assert_eq!(refused.into_inner().unwrap(), [(2, true), (3, true)]);
        assert!(matches!(line.push(4), Err(StoreError::Closed)));
        assert!(Line::<u8>::new().serve(|| (), |_, _| unreachable!("nothing panicked")));
    }

    #[test]
    fn a_full_company_waits_no_longer() {
        let line = Line::new();
        for job in 0..COMPANY_MAX {
            line.push_patient(job, LONG).unwrap();
        }
        assert_eq!(line.next(), Some(0));
    }
}
