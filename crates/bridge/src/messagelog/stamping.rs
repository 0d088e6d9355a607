//! Time stamps over logged messages, many in one (facts §1.5, §1.7). While no authority answers, records wait and a countdown is shown;
//! exchanges stop only where the operator wants it so ([`StampingPolicy`]).

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use civic::{Timestamp, random_array};
use store::StoreError;
use tokio::sync::Mutex;
use trust::digest::Digest;
use trust::globalconf::TrustedTsa;
use trust::tsp::{TimestampRequest, TimestampToken};
use web::{Failure, HealthCheck};

use super::replica::Duty;
use super::stamps::Leaves;
use super::{LogError, MessageLog, StampingPolicy, sql};
use crate::attempts::{Attempt, Attempts};
use crate::core::Core;
use crate::outbound::OutboundError;

/// Records under one stamp at most. X-Road takes up to 10,000; a batch is in memory while it is stamped, and 4,000 a stamp are still a
/// small fraction of what an authority stamps.
const BATCH: i64 = 4_000;
/// Records that are noted as stamped in one transaction.
const STEP: usize = 250;
const LIMIT: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Records that wait longer than this are worth a word.
const NOTED_AFTER: Duration = Duration::from_mins(5);

/// Why records still wait for their time stamp.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StampError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The global configuration is missing or names no time-stamping authority.
    #[error("the global configuration names no time-stamping authority")]
    NoAuthority,
    /// No authority answered.
    #[error("no time-stamping authority can be reached: {0}")]
    Unreachable(#[from] OutboundError),
    /// An authority answered with something else than a good stamp.
    #[error("the time stamp is refused: {0}")]
    Refused(String),
    /// Another replica took the work over.
    #[error("another replica of this node stamps now")]
    TakenOver,
}

/// Lets one batch be stamped at a time, and remembers how the authorities answered.
pub(crate) struct Stamper {
    turn: Mutex<()>,
    /// Since when this process could have asked them.
    pub(crate) since: Timestamp,
    /// The last attempt at each authority.
    pub(crate) asked: Attempts,
}

impl Stamper {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { turn: Mutex::default(), since: now, asked: Attempts::default() }
    }
}

/// How time-stamping stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StampingState {
    /// Records that wait for their stamp; 100,000 stands for that many or more.
    pub waiting: u64,
    /// When the oldest of them was made.
    pub oldest: Option<Timestamp>,
    /// When the last stamp was made.
    pub last_stamp: Option<Timestamp>,
    /// Since when stamping fails in this process, and why; `None` while it works.
    pub failing: Option<(Timestamp, String)>,
    /// When exchanges will be refused, where the policy wants that and something waits.
    pub stops_at: Option<Timestamp>,
}

/// What this process knows of the records that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    oldest: AtomicI64,
    failing: StdMutex<Option<(Timestamp, String)>>,
}

impl StampingState {
    /// How long until exchanges are refused; zero where they are.
    pub fn stops_in(&self, now: Timestamp) -> Option<Duration> {
        self.stops_at.map(|moment| if moment > now { moment.since(now) } else { Duration::ZERO })
    }

    /// A sentence for people while stamping lags; `None` where all is well.
    pub fn note(&self, now: Timestamp) -> Option<String> {
        let oldest = self.oldest.filter(|oldest| self.failing.is_some() || now.since(*oldest) > NOTED_AFTER)?;
        let reason = self.failing.as_ref().map_or_else(String::new, |(_, reason)| format!(": {reason}"));
        let end = match self.stops_in(now) {
            None => "exchanges go on".to_owned(),
            Some(Duration::ZERO) => "exchanges are refused until it works".to_owned(),
            Some(left) => format!("exchanges will be refused in {} min", left.as_secs().div_ceil(60)),
        };
        let minutes = now.since(oldest).as_secs() / 60;
        Some(format!("{} records wait for a time stamp, the oldest for {minutes} min{reason}; {end}", self.waiting))
    }
}

impl MessageLog {
    /// How time-stamping stands.
    pub async fn stamping_state(&self) -> Result<StampingState, LogError> {
        let (waiting, oldest, last) = self.store.read("bridge.waiting", sql::waiting).await?;
        self.waiting.oldest.store(oldest.unwrap_or(0), Ordering::Release);
        let oldest = oldest.map(Timestamp::from_micros);
        Ok(StampingState {
            waiting,
            oldest,
            last_stamp: last.map(Timestamp::from_micros),
            failing: self.waiting.failing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            stops_at: match self.settings.stamping {
                StampingPolicy::KeepGoing => None,
                StampingPolicy::StopAfter(limit) => oldest.map(|oldest| oldest.plus(limit)),
            },
        })
    }

    /// Whether new exchanges may begin: refused where the policy wants it and a record has waited too long for its stamp.
    pub fn admits(&self) -> Result<(), LogError> {
        let StampingPolicy::StopAfter(limit) = self.settings.stamping else { return Ok(()) };
        let oldest = self.waiting.oldest.load(Ordering::Acquire);
        let since = Timestamp::from_micros(oldest);
        if oldest > 0 && self.clock.now() > since.plus(limit) {
            return Err(LogError::Stopped { since: since.rfc3339() });
        }
        Ok(())
    }

    fn note_outcome(&self, outcome: Result<(), String>) {
        let mut failing = self.waiting.failing.lock().unwrap_or_else(PoisonError::into_inner);
        *failing = match (outcome, failing.take()) {
            (Ok(()), _) => None,
            (Err(reason), Some((since, _))) => Some((since, reason)),
            (Err(reason), None) => Some((self.clock.now(), reason)),
        };
    }
}

/// The health of time-stamping: a note while records wait too long, a failure only where exchanges are refused for it.
pub(crate) fn stamping_health(core: Arc<Core>) -> HealthCheck {
    HealthCheck::noting("time stamps", move || {
        let core = Arc::clone(&core);
        async move {
            let state = core.log.stamping_state().await?;
            core.log.admits()?;
            Ok::<_, Failure>(state.note(core.clock.now()))
        }
    })
}

/// Stamps all settled records, oldest first, and answers how many. None where another replica does it.
pub(crate) async fn stamp(core: &Core) -> Result<u64, StampError> {
    let _one_at_a_time = core.stamper.turn.lock().await;
    let log = &core.log;
    let outcome = if log.take(Duty::Stamping).await? {
        let outcome = stamp_all(core).await;
        log.give_back(Duty::Stamping).await?;
        log.note_outcome(outcome.as_ref().map(drop).map_err(ToString::to_string));
        outcome
    } else {
        Ok(0)
    };
    match log.stamping_state().await {
        Ok(state) => show(core, &state),
        Err(error) => tracing::warn!(%error, "how many records wait for a time stamp is not known"),
    }
    outcome
}

fn show(core: &Core, state: &StampingState) {
    let now = core.clock.now();
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    core.metrics.stamps_waiting.set(i64::try_from(state.waiting).unwrap_or(i64::MAX));
    core.metrics.stamps_oldest_seconds.set(state.oldest.map_or(0, |oldest| seconds(now.since(oldest))));
    core.metrics.stamps_stop_seconds.set(state.stops_in(now).map_or(-1, seconds));
}

async fn stamp_all(core: &Core) -> Result<u64, StampError> {
    let settled = core.log.settled_by_all().await?;
    let mut stamped = 0;
    loop {
        let batch = core.log.store.read("bridge.unstamped", move |tx| sql::unstamped(tx, settled, BATCH)).await?;
        if batch.is_empty() {
            return Ok(stamped);
        }
        stamped += stamp_batch(core, batch).await?;
        if !core.log.take(Duty::Stamping).await? {
            return Err(StampError::TakenOver);
        }
    }
}

/// Stamps the records that the others passed by.
pub(super) async fn stamp_passed_by(core: &Core) -> Result<u64, StampError> {
    let _one_at_a_time = core.stamper.turn.lock().await;
    let mut stamped = 0;
    while core.log.take(Duty::Stamping).await? {
        let batch = core.log.store.read("bridge.passed_by", |tx| sql::passed_by(tx, BATCH)).await?;
        if batch.is_empty() {
            core.log.give_back(Duty::Stamping).await?;
            break;
        }
        stamped += stamp_batch(core, batch).await?;
    }
    Ok(stamped)
}

/// Stamps the first of these records, as many as were digested alike, and answers how many.
async fn stamp_batch(core: &Core, mut batch: Vec<(i64, Vec<u8>)>) -> Result<u64, StampError> {
    let algorithm_of = |(_, digest): &(i64, Vec<u8>)| Digest::kept(digest).map(|digest| digest.algorithm());
    let Some(algorithm) = batch.first().and_then(algorithm_of) else {
        return Err(StampError::Refused("the digest of a signature in the message log is cut".to_owned()));
    };
    let others = batch.iter().position(|one| algorithm_of(one) != Some(algorithm));
    batch.truncate(others.unwrap_or(batch.len()));
    let stamped = batch.len() as u64;
    let leaves = Leaves::of(algorithm, batch).map_err(|error| StampError::Refused(error.to_string()))?;
    let token = ask(core, leaves.result().as_bytes()).await?;
    let log = &core.log;
    let (id, hold) = (log.next_id(), log.hold(Duty::Stamping));
    let (result, kept) = (leaves.result().to_owned(), leaves.to_bytes());
    log.store
        .tx("bridge.keep_stamp", move |tx| {
            if !hold.stands(tx)? {
                return Err(StampError::TakenOver);
            }
            Ok(sql::keep_stamp(tx, id, &token, &result, &kept)?)
        })
        .await?;
    // In small steps: exchanges wait for the same writer. Records that a dead process leaves out are stamped again.
    for some in leaves.records().chunks(STEP) {
        let (some, hold) = (some.to_vec(), log.hold(Duty::Stamping));
        log.store
            .tx("bridge.keep_stamped", move |tx| {
                if !hold.stands(tx)? {
                    return Err(StampError::TakenOver);
                }
                Ok(sql::keep_stamped(tx, id, &some)?)
            })
            .await?;
    }
    Ok(stamped)
}

/// Asks the authorities in their order; the first good stamp counts.
async fn ask(core: &Core, data: &[u8]) -> Result<Vec<u8>, StampError> {
    let snapshot = core.conf.current().ok_or(StampError::NoAuthority)?;
    let mut last = StampError::NoAuthority;
    for authority in snapshot.tsas() {
        let answer = ask_one(core, authority, data).await;
        let error = answer.as_ref().err().map(ToString::to_string);
        core.stamper.asked.note(&authority.url, Attempt { at: core.clock.now(), error });
        match answer {
            Ok(token) => return Ok(token),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask_one(core: &Core, authority: &TrustedTsa, data: &[u8]) -> Result<Vec<u8>, StampError> {
    let refused = |error: trust::tsp::TspError| StampError::Refused(error.to_string());
    let request = TimestampRequest::for_data(data, &random_array::<16>(&*core.random)).map_err(refused)?;
    let body = Bytes::from(request.to_der().map_err(refused)?);
    let kind = "application/timestamp-query";
    let (_, answer) = core.outbound.post(&authority.url, kind, body, LIMIT, ANSWER_BYTES_MAX).await?;
    let token: TimestampToken = request.token(&answer).map_err(refused)?;
    token.verify(data, std::slice::from_ref(&authority.cert)).map_err(refused)?;
    Ok(token.der().to_vec())
}
