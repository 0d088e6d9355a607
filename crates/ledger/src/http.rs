//! The log over HTTP: C2SP tlog-tiles for everyone, appending for registered submitters.
//!
//! | request | answer |
//! |---|---|
//! | `GET /checkpoint` | the signed checkpoint; the header `ledger-quorum` says `met` or `missing` where the log has witnesses |
//! | `GET /checkpoint/witnessed` | the last checkpoint that a quorum of witnesses cosigned |
//! | `GET /tile/<L>/<N>[.p/<W>]` | a tile of hashes |
//! | `GET /tile/entries/<N>[.p/<W>]` | a bundle of entries |
//! | `GET /proof/<index>` | a C2SP tlog-proof of one entry (beside tlog-tiles: for those who keep a proof) |
//! | `GET /consistency/<old>/<new>` | a consistency proof, one base64 hash a line (likewise) |
//! | `POST /append` | `{"leaves": [base64, …]}`, see [`crate::submitters`]; `{"indexes": […], "checkpoint": "…"}` |
//!
//! Errors are problems of RFC 9457.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use trust::merkle::Tile;

use crate::submitters::{SubmitterError, Submitters};
use crate::{Ledger, LedgerError};

/// The body of an append is at most this long, in bytes.
pub const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const BRIEF: &str = "public, max-age=1";

/// The body of `POST /append`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppendRequest {
    pub(crate) leaves: Vec<String>,
}

/// The answer to `POST /append`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AppendAnswer {
    pub(crate) indexes: Vec<u64>,
    pub(crate) checkpoint: String,
}

struct Served {
    ledger: Ledger,
    submitters: Submitters,
}

/// The routes of a log, to be served at its prefix.
pub fn router(ledger: Ledger, submitters: Submitters) -> Router {
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/checkpoint/witnessed", get(witnessed))
        .route("/tile/{*path}", get(tile))
        .route("/proof/{index}", get(proof))
        .route("/consistency/{old}/{new}", get(consistency))
        .route("/append", post(append))
        .layer(DefaultBodyLimit::max(APPEND_BYTES_MAX))
        .with_state(Arc::new(Served { ledger, submitters }))
}

async fn checkpoint(State(served): State<Arc<Served>>) -> Response {
    let quorum = served.ledger.has_quorum();
    let mut answer = plain(BRIEF, served.ledger.checkpoint());
    if let Some(met) = quorum {
        let word = HeaderValue::from_static(if met { "met" } else { "missing" });
        answer.headers_mut().insert("ledger-quorum", word);
    }
    answer
}

async fn witnessed(State(served): State<Arc<Served>>) -> Result<Response, Refusal> {
    Ok(plain(BRIEF, served.ledger.witnessed_checkpoint().ok_or(Refusal::NotFound)?))
}

async fn tile(State(served): State<Arc<Served>>, Path(path): Path<String>) -> Result<Response, Refusal> {
    let (kind, rest) = path.split_once('/').ok_or(Refusal::NotFound)?;
    let bytes = if kind == "entries" {
        let tile = Tile::parse(0, rest).ok_or(Refusal::NotFound)?;
        served.ledger.entries(tile).await?
    } else {
        let level: u8 = kind.parse().map_err(|_| Refusal::NotFound)?;
        let tile = Tile::parse(level, rest).filter(|_| level.to_string() == kind).ok_or(Refusal::NotFound)?;
        served.ledger.tile(tile).await?
    };
    let bytes = bytes.ok_or(Refusal::NotFound)?;
    let headers =
        [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, IMMUTABLE), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, bytes).into_response())
}

async fn proof(State(served): State<Arc<Served>>, Path(index): Path<u64>) -> Result<Response, Refusal> {
    // The checkpoint inside changes: the proof of today does not hold for the cache of tomorrow, but it stays valid.
    Ok(plain(BRIEF, served.ledger.tlog_proof(index).await?))
}

async fn consistency(
    State(served): State<Arc<Served>>,
    Path((old, new)): Path<(u64, u64)>,
) -> Result<Response, Refusal> {
    let hashes = served.ledger.consistency(old, new).await?;
    let lines: Vec<String> = hashes.iter().map(|hash| format!("{}\n", STANDARD.encode(hash))).collect();
    Ok(plain(IMMUTABLE, lines.concat()))
}

async fn append(
    State(served): State<Arc<Served>>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Refusal> {
    let body = body.map_err(|_| Refusal::Body("it is longer than 8 MiB or was cut off"))?;
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).ok_or(SubmitterError::Missing)?;
    let origin = served.ledger.origin();
    let submitter = served.submitters.authenticate(token, &origin, &body, served.ledger.now())?;
    let request: AppendRequest =
        serde_json::from_slice(&body).map_err(|_| Refusal::Body("it must be {\"leaves\": [base64, …]}"))?;
    let leaves: Result<Vec<Vec<u8>>, _> = request.leaves.iter().map(|leaf| STANDARD.decode(leaf)).collect();
    let leaves = leaves.map_err(|_| Refusal::Body("a leaf is not base64"))?;
    let entries = leaves.len();
    let indexes = served.ledger.append(leaves).await?;
    tracing::debug!(%submitter, entries, "appended");
    Ok(axum::Json(AppendAnswer { indexes, checkpoint: served.ledger.checkpoint() }).into_response())
}

fn plain(caching: &'static str, text: String) -> Response {
    let headers =
        [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, caching), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, text).into_response()
}

enum Refusal {
    NotFound,
    Body(&'static str),
    Submitter(SubmitterError),
    Ledger(LedgerError),
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<SubmitterError> for Refusal {
    fn from(error: SubmitterError) -> Self {
        Self::Submitter(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "the log has nothing at this address".to_owned()),
            Self::Body(reason) => (StatusCode::BAD_REQUEST, format!("the body is refused: {reason}")),
            Self::Submitter(error) => (StatusCode::UNAUTHORIZED, error.to_string()),
            Self::Ledger(error @ LedgerError::OutOfRange { .. }) => (StatusCode::NOT_FOUND, error.to_string()),
            Self::Ledger(error @ (LedgerError::EntryTooLong { .. } | LedgerError::TooMany { .. })) => {
                (StatusCode::BAD_REQUEST, error.to_string())
            }
            Self::Ledger(LedgerError::Overloaded) => {
                (StatusCode::TOO_MANY_REQUESTS, LedgerError::Overloaded.to_string())
            }
            Self::Ledger(error) => {
                tracing::error!(%error, "a request to the ledger failed");
                let temporary = error.is_temporary() || error == LedgerError::Closed;
                let status =
                    if temporary { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
                (status, "the ledger cannot answer now; nothing was acknowledged".to_owned())
            }
        };
        let problem = serde_json::json!({
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": detail,
        });
        (status, [(CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
    }
}
