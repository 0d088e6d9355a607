//! Time stamps over logged messages, many in one (facts §1.5, §1.7). While no authority answers, records wait; nothing stops.

use std::time::Duration;

use bytes::Bytes;
use civic::random_array;
use store::{Row, StoreError, params};
use tokio::sync::Mutex;
use trust::digest::DigestAlgorithm;
use trust::hashchain::{self, Files};
use trust::tsp::{TimestampRequest, TimestampToken};

use crate::core::Core;
use crate::globalconf::Snapshot;
use crate::outbound::OutboundError;

/// Records under one stamp.
const BATCH: i64 = 4_096;
const LIMIT: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const JOB: &str = "stamp messages";

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
}

/// Lets one batch be stamped at a time.
#[derive(Default)]
pub(crate) struct Stamper(Mutex<()>);

/// Stamps all settled records and answers how many.
pub(crate) async fn stamp(core: &Core) -> Result<u64, StampError> {
    let _one_at_a_time = core.stamper.0.lock().await;
    let settled = core.log.settled();
    let mut stamped = 0;
    loop {
        let batch = next_batch(core, settled).await?;
        core.metrics.stamps_waiting.set(batch.len() as i64);
        if batch.is_empty() {
            return Ok(stamped);
        }
        stamped += batch.len() as u64;
        stamp_batch(core, batch).await?;
    }
}

async fn next_batch(core: &Core, settled: i64) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let rows: Vec<Row> = core
        .log
        .store
        .read("bridge.unstamped", move |tx| {
            tx.query(
                "SELECT id, signature_digest FROM bridge_message \
                 WHERE id > COALESCE((SELECT id FROM bridge_mark WHERE job = $1), 0) AND id <= $2 ORDER BY id LIMIT $3",
                &params![JOB, settled, BATCH],
            )
        })
        .await?;
    rows.iter().map(|row| Ok((row.get("id")?, row.get("signature_digest")?))).collect()
}

async fn stamp_batch(core: &Core, batch: Vec<(i64, Vec<u8>)>) -> Result<(), StampError> {
    let mut leaves: Vec<Vec<Vec<u8>>> = batch.iter().map(|(_, digest)| vec![digest.clone()]).collect();
    if let [alone] = leaves.as_slice() {
        // A chain needs two files: a lone signature is paired with itself, so that there is one kind of stamp.
        leaves.push(alone.clone());
    }
    let built = hashchain::build(DigestAlgorithm::Sha512, Files::TIME_STAMP, &leaves)
        .map_err(|error| StampError::Refused(error.to_string()))?;
    let result = built.result.into_bytes();
    let token = ask(core, &result).await?;
    let id = core.log.next_id();
    core.log
        .store
        .tx("bridge.keep_stamp", move |tx| {
            tx.execute(
                "INSERT INTO bridge_stamp (id, chain_result, token) VALUES ($1, $2, $3)",
                &params![id, &result, &token],
            )?;
            for ((record, _), chain) in batch.iter().zip(&built.chains) {
                tx.execute(
                    "INSERT INTO bridge_stamped (record, stamp, chain) VALUES ($1, $2, $3) ON CONFLICT (record) DO NOTHING",
                    &params![*record, id, chain.as_bytes()],
                )?;
            }
            let last = batch.last().map_or(0, |(record, _)| *record);
            tx.execute(
                "INSERT INTO bridge_mark (job, id) VALUES ($1, $2) ON CONFLICT (job) DO UPDATE SET id = excluded.id",
                &params![JOB, last],
            )?;
            Ok::<(), StampError>(())
        })
        .await
}

/// Asks the authorities in their order; the first good stamp counts.
async fn ask(core: &Core, data: &[u8]) -> Result<Vec<u8>, StampError> {
    let snapshot = core.conf.current().ok_or(StampError::NoAuthority)?;
    let mut last = StampError::NoAuthority;
    for at in 0..snapshot.tsas().len() {
        match ask_one(core, &snapshot, at, data).await {
            Ok(token) => return Ok(token),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask_one(core: &Core, snapshot: &Snapshot, at: usize, data: &[u8]) -> Result<Vec<u8>, StampError> {
    let refused = |error: trust::tsp::TspError| StampError::Refused(error.to_string());
    let authority = snapshot.tsas().get(at).ok_or(StampError::NoAuthority)?;
    let request = TimestampRequest::for_data(data, &random_array::<16>(&*core.random)).map_err(refused)?;
    let body = Bytes::from(request.to_der().map_err(refused)?);
    let kind = "application/timestamp-query";
    let (_, answer) = core.outbound.post(&authority.url, kind, body, LIMIT, ANSWER_BYTES_MAX).await?;
    let token: TimestampToken = request.token(&answer).map_err(refused)?;
    token.verify(data, std::slice::from_ref(&authority.cert)).map_err(refused)?;
    Ok(token.der().to_vec())
}
