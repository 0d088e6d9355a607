use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::{REQUEST_BYTES_MAX, Refusal, Witness};
use crate::LedgerError;

pub(super) fn router(witness: Witness) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin_hash}/checkpoint", get(latest))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(witness)
}

async fn add_checkpoint(
    State(witness): State<Witness>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Refusal> {
    let body = body.map_err(|_| Refusal::Malformed("it is longer than 64 KiB or was cut off"))?;
    let text = std::str::from_utf8(&body).map_err(|_| Refusal::Malformed("it is not UTF-8"))?;
    Ok(plain(StatusCode::OK, witness.add_checkpoint(text).await?))
}

async fn latest(State(witness): State<Witness>, Path(hash): Path<String>) -> Result<Response, Refusal> {
    match witness.latest(&hash).await? {
        Some(note) => Ok(([(CACHE_CONTROL, "public, max-age=1")], plain(StatusCode::OK, note)).into_response()),
        None => Ok(plain(StatusCode::NOT_FOUND, "no checkpoint of this log was cosigned here\n".to_owned())),
    }
}

fn plain(status: StatusCode, text: String) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::UnknownLog(_) => StatusCode::NOT_FOUND,
            Self::Unsigned(_) => StatusCode::FORBIDDEN,
            Self::Conflict(size) => {
                let body = format!("{size}\n");
                return (StatusCode::CONFLICT, [(CONTENT_TYPE, "text/x.tlog.size")], body).into_response();
            }
            Self::Inconsistent { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Ledger(error) => {
                tracing::error!(%error, "the witness could not keep a checkpoint, so it did not cosign");
                return plain(unavailable(error), "the witness cannot answer now; nothing was cosigned\n".to_owned());
            }
        };
        plain(status, format!("{self}\n"))
    }
}

fn unavailable(error: &LedgerError) -> StatusCode {
    if error.is_temporary() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR }
}
