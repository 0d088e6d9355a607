//! The public services of the authority: configuration, OCSP, time stamps. Reading only; registration is no HTTP service.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use web::Problem;

use crate::configuration::VERSION;
use crate::{Authority, AuthorityError};

/// Requests for OCSP and time stamps have a few hundred bytes.
const BODY_BYTES_MAX: usize = 8 * 1024;
const DIRECTORY_TYPE: &str = "multipart/related; charset=UTF-8";
const OCSP_TYPE: &str = "application/ocsp-response";
const TSA_TYPE: &str = "application/timestamp-reply";
const XML_TYPE: &str = "text/xml; charset=UTF-8";

pub(crate) fn router(authority: Authority) -> Router {
    Router::new()
        .route("/internalconf", get(internal))
        .route("/externalconf", get(external))
        .route("/anchor.xml", get(anchor))
        .route("/V5/{moment}/{file}", get(file))
        .route("/ocsp", post(ocsp_post))
        .route("/ocsp/{*request}", get(ocsp_get))
        .route("/tsa", post(stamp))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(authority)
}

#[derive(Deserialize)]
struct Version {
    version: Option<String>,
}

impl Version {
    /// PR-GCONF §2: without a version the source serves its oldest, which is also our only one.
    fn is_ours(&self) -> bool {
        self.version.as_deref().is_none_or(|asked| asked.parse() == Ok(VERSION))
    }
}

async fn internal(State(authority): State<Authority>, Query(version): Query<Version>) -> Result<Response, Problem> {
    if version.is_ours() {
        Ok(fresh(DIRECTORY_TYPE, authority.published().internal.clone()))
    } else {
        Err(other_version())
    }
}

async fn external(State(authority): State<Authority>, Query(version): Query<Version>) -> Result<Response, Problem> {
    if version.is_ours() {
        Ok(fresh(DIRECTORY_TYPE, authority.published().external.clone()))
    } else {
        Err(other_version())
    }
}

async fn anchor(State(authority): State<Authority>) -> Response {
    fresh(XML_TYPE, authority.anchor().into_bytes())
}

async fn file(
    State(authority): State<Authority>,
    Path((moment, file)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let published = authority.published();
    let content = published.file(&format!("/V{VERSION}/{moment}/{file}"));
    content.map(|content| fresh(XML_TYPE, content.to_vec())).ok_or_else(Problem::not_found)
}

async fn ocsp_post(State(authority): State<Authority>, body: Bytes) -> Result<Response, Problem> {
    Ok(fresh(OCSP_TYPE, authority.answer_ocsp(&body).await.map_err(problem)?))
}

/// RFC 6960 appendix A.1: the request in base64, percent-encoded, as the rest of the path.
async fn ocsp_get(State(authority): State<Authority>, Path(request): Path<String>) -> Result<Response, Problem> {
    let request = (request.len() <= BODY_BYTES_MAX).then(|| STANDARD.decode(request).ok()).flatten();
    let request =
        request.ok_or_else(|| Problem::bad_request("The path after /ocsp/ is not an OCSP request in base64."))?;
    Ok(fresh(OCSP_TYPE, authority.answer_ocsp(&request).await.map_err(problem)?))
}

async fn stamp(State(authority): State<Authority>, body: Bytes) -> Result<Response, Problem> {
    Ok(fresh(TSA_TYPE, authority.answer_tsa(&body).map_err(problem)?))
}

fn other_version() -> Problem {
    Problem::not_found().detail(format!("This source serves version {VERSION} only."))
}

/// Everything here speaks of this moment, or is fetched once by a digest: nobody in between shall keep it.
fn fresh(kind: &'static str, body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], body).into_response()
}

fn problem(error: AuthorityError) -> Problem {
    match error {
        AuthorityError::Store(cause) => Problem::unavailable(cause),
        other => Problem::internal(other),
    }
}
