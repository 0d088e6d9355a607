//! Durable jobs with lease, back-off and a limit: what must still be done although the process may die first.
//!
//! A job is enqueued in the transaction that makes it necessary, so neither exists without the other. A worker claims
//! it for a time (the lease), does the work, and completes it; a worker that died loses the lease and another claims
//! the job. The work is therefore done at least once: make it idempotent by the key of the job.

use std::time::Duration;

use civic::Timestamp;

use crate::{StoreError, Tx, params};

/// A payload is at most this long, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_hours(1);

/// A job that a worker holds until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The queue it came from.
    pub queue: String,
    /// What makes it the same job.
    pub key: String,
    /// What the worker needs.
    pub payload: Vec<u8>,
    /// How often it was taken, this time included. It also fences: an older holder cannot complete the job.
    pub attempts: u32,
}

/// What became of a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It will be tried again from this moment on.
    At(Timestamp),
    /// It failed too often: it stays in the table for a person to look at.
    Dead,
    /// Another worker holds it, or it is done.
    NotOurs,
}

/// The state of a queue, for health checks and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Jobs to be done, held ones included.
    pub waiting: u64,
    /// Jobs that failed too often.
    pub dead: u64,
    /// Since when the oldest job that could be done waits.
    pub oldest: Option<Timestamp>,
}

/// Adds a job, not tried before `not_before`. `false` where the queue holds this key already: nothing is changed then.
pub fn enqueue(
    tx: &mut Tx<'_>,
    queue: &str,
    key: &str,
    payload: &[u8],
    not_before: Timestamp,
) -> Result<bool, StoreError> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(StoreError::Constraint {
            reason: format!("a payload of {queue} exceeds {PAYLOAD_BYTES_MAX} bytes"),
        });
    }
    let added = tx.execute(
        "INSERT INTO store_queue (queue, key, payload, not_before, lease_until, attempts, dead)
         VALUES ($1, $2, $3, $4, 0, 0, 0) ON CONFLICT (queue, key) DO NOTHING",
        &params![queue, key, payload, not_before],
    )?;
    Ok(added == 1)
}

/// Takes at most `jobs_max` jobs that are due, oldest first, each until `now + lease`.
pub fn claim(
    tx: &mut Tx<'_>,
    queue: &str,
    now: Timestamp,
    lease: Duration,
    jobs_max: u32,
) -> Result<Vec<Claim>, StoreError> {
    let due = tx.query(
        "SELECT key, payload, attempts FROM store_queue
         WHERE queue = $1 AND dead = 0 AND not_before <= $2 AND lease_until <= $2
         ORDER BY not_before, key LIMIT $3",
        &params![queue, now, jobs_max],
    )?;
    let mut claims = Vec::with_capacity(due.len());
    for row in due {
        let key: String = row.get("key")?;
        let attempts = row.get::<u32>("attempts")?.saturating_add(1);
        tx.execute(
            "UPDATE store_queue SET lease_until = $3, attempts = $4 WHERE queue = $1 AND key = $2",
            &params![queue, key.as_str(), now.plus(lease), attempts],
        )?;
        claims.push(Claim { queue: queue.to_owned(), key, payload: row.get("payload")?, attempts });
    }
    Ok(claims)
}

/// The job is done and leaves the queue. `false` where another worker took it over meanwhile.
pub fn complete(tx: &mut Tx<'_>, claim: &Claim) -> Result<bool, StoreError> {
    let removed = tx.execute(
        "DELETE FROM store_queue WHERE queue = $1 AND key = $2 AND attempts = $3",
        &params![claim.queue.as_str(), claim.key.as_str(), claim.attempts],
    )?;
    Ok(removed == 1)
}

/// Takes a job out of the queue, whoever holds it: another way does its work now.
pub fn forget(tx: &mut Tx<'_>, queue: &str, key: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM store_queue WHERE queue = $1 AND key = $2", &params![queue, key]).map(drop)
}

/// The job failed: it is tried again after a pause that doubles each time from one second up to an hour, and no more
/// after `attempts_max` attempts. `reason` is kept for the person who looks; it must hold nothing personal.
pub fn retry(
    tx: &mut Tx<'_>,
    claim: &Claim,
    now: Timestamp,
    attempts_max: u32,
    reason: &str,
) -> Result<Retry, StoreError> {
    let reason: String = reason.chars().take(500).collect();
    let dead = claim.attempts >= attempts_max;
    let pause = Duration::from_secs(1 << claim.attempts.saturating_sub(1).min(12)).min(PAUSE_MAX);
    let again = now.plus(pause);
    let changed = tx.execute(
        "UPDATE store_queue SET not_before = $4, lease_until = 0, dead = $5, last_error = $6
         WHERE queue = $1 AND key = $2 AND attempts = $3",
        &params![claim.queue.as_str(), claim.key.as_str(), claim.attempts, again, dead, reason],
    )?;
    Ok(match (changed, dead) {
        (0, _) => Retry::NotOurs,
        (_, true) => Retry::Dead,
        (_, false) => Retry::At(again),
    })
}

/// How full a queue is.
pub fn depth(tx: &mut Tx<'_>, queue: &str) -> Result<Depth, StoreError> {
    let row = tx.query_one(
        "SELECT COALESCE(SUM(1 - dead), 0) AS waiting, COALESCE(SUM(dead), 0) AS dead,
                MIN(CASE WHEN dead = 0 THEN not_before END) AS oldest
         FROM store_queue WHERE queue = $1",
        &params![queue],
    )?;
    let Some(row) = row else { return Ok(Depth { waiting: 0, dead: 0, oldest: None }) };
    Ok(Depth { waiting: row.get("waiting")?, dead: row.get("dead")?, oldest: row.get("oldest")? })
}
