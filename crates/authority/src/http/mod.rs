//! The services of the authority: what everybody may reach here, requests of nodes in [`management`], the API of
//! operators in [`operators`].

mod management;
mod openapi;
mod operators;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use trust::globalconf::ConfigurationVersion;
use trust::mserv::REQUEST_BYTES_MAX;
use web::Problem;

use crate::configuration::LOGS_FILE;
use crate::{Authority, AuthorityError};

/// Requests for OCSP and time stamps have a few hundred bytes.
const BODY_BYTES_MAX: usize = 8 * 1024;
const DIRECTORY_TYPE: &str = "multipart/related; charset=UTF-8";
const OCSP_TYPE: &str = "application/ocsp-response";
const TSA_TYPE: &str = "application/timestamp-reply";
const JSON_TYPE: &str = "application/json";
const XML_TYPE: &str = "text/xml; charset=UTF-8";

/// What everybody may reach.
pub(crate) fn public(authority: Authority) -> Router {
    let requests = Router::new()
        .route("/authcertreg", post(management::auth_cert_reg))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX));
    Router::new()
        .route("/internalconf", get(internal))
        .route("/externalconf", get(external))
        .route("/anchor.xml", get(anchor))
        .route("/external-anchor.xml", get(external_anchor))
        .route("/{version}/{moment}/{file}", get(file))
        .route("/ocsp", post(ocsp_post))
        .route("/ocsp/{*request}", get(ocsp_get))
        .route("/tsa", post(stamp))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(requests)
        .with_state(authority)
}

/// What the node of the management service alone may reach.
pub(crate) fn management(authority: Authority) -> Router {
    Router::new()
        .route("/managementservice", post(management::management_service))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(authority)
}

/// What operators with a key may reach.
pub(crate) fn operators(authority: Authority) -> Router {
    operators::router().layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX)).with_state(authority)
}

#[derive(Deserialize)]
struct Wanted {
    version: Option<String>,
}

impl Wanted {
    /// Without a version the source serves its oldest: peers from before versions do not know the word.
    fn version(&self) -> Result<ConfigurationVersion, Problem> {
        let Some(asked) = self.version.as_deref() else { return Ok(ConfigurationVersion::V2) };
        let known = asked.parse().ok().and_then(ConfigurationVersion::of_number);
        known.ok_or_else(|| Problem::not_found().detail("This source serves the versions 2 to 6."))
    }
}

async fn internal(State(authority): State<Authority>, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let version = wanted.version()?;
    let published = authority.published();
    let directory = published.internal(version).ok_or_else(nothing_is_signed)?;
    Ok(fresh(DIRECTORY_TYPE, directory.to_vec()))
}

async fn external(State(authority): State<Authority>, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let version = wanted.version()?;
    let published = authority.published();
    let directory = published.external(version).ok_or_else(nothing_is_signed)?;
    Ok(fresh(DIRECTORY_TYPE, directory.to_vec()))
}

/// There is a directory of each version, or of none.
fn nothing_is_signed() -> Problem {
    Problem::unavailable("no configuration is signed")
        .detail("No configuration is signed now; the operator of the authority sees why on /health.")
}

async fn anchor(State(authority): State<Authority>) -> Response {
    fresh(XML_TYPE, authority.anchor().into_bytes())
}

async fn external_anchor(State(authority): State<Authority>) -> Response {
    fresh(XML_TYPE, authority.external_anchor().into_bytes())
}

async fn file(
    State(authority): State<Authority>,
    Path((version, moment, file)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let number = version.strip_prefix('V').and_then(|number| number.parse().ok());
    let version = number.and_then(ConfigurationVersion::of_number).ok_or_else(Problem::not_found)?;
    let published = authority.published();
    let content = published.file(version, &moment, &file);
    let kind = if file == LOGS_FILE { JSON_TYPE } else { XML_TYPE };
    content.map(|content| fresh(kind, content.to_vec())).ok_or_else(Problem::not_found)
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

/// Everything here speaks of this moment, or is fetched once by a digest: nobody in between shall keep it.
fn fresh(kind: &'static str, body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], body).into_response()
}

/// The JSON of a body, or what is wrong with it.
fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("The body is not as expected: {error}.")))
}

fn problem(error: AuthorityError) -> Problem {
    let said = error.to_string();
    match error {
        AuthorityError::Store(cause) => Problem::unavailable(cause),
        AuthorityError::UnknownKey => Problem::unauthorized(said),
        AuthorityError::Role(_) => Problem::forbidden(said),
        AuthorityError::TooMany => Problem::too_many(said),
        AuthorityError::Unreadable { .. } => Problem::unavailable(&said).detail(said),
        AuthorityError::Unknown { .. }
        | AuthorityError::UnknownMember(_)
        | AuthorityError::UnknownServer(_)
        | AuthorityError::UnknownSerial(_) => Problem::not_found().detail(said),
        AuthorityError::RequestExists(_)
        | AuthorityError::NotPending { .. }
        | AuthorityError::CertificateOfOther(_)
        | AuthorityError::AlreadyClient { .. }
        | AuthorityError::NotClient { .. }
        | AuthorityError::NotRegistered { .. }
        | AuthorityError::ManagementService(_)
        | AuthorityError::NewOwner { .. }
        | AuthorityError::InUse { .. }
        | AuthorityError::OtherName { .. }
        | AuthorityError::Rotation { .. } => Problem::conflict(said),
        AuthorityError::Certificate(_)
        | AuthorityError::ForeignInstance { .. }
        | AuthorityError::UnknownClass { .. }
        | AuthorityError::UnknownClient(_)
        | AuthorityError::NotAuthOf(_)
        | AuthorityError::NotOwner { .. }
        | AuthorityError::Text { .. }
        | AuthorityError::Character { .. }
        | AuthorityError::NoCertificate
        | AuthorityError::NoAddress
        | AuthorityError::Settings(_)
        | AuthorityError::Management(_)
        | AuthorityError::Anchor(_)
        | AuthorityError::Logs(_)
        | AuthorityError::Trust(_) => Problem::bad_request(said),
        AuthorityError::KeyFile { .. }
        | AuthorityError::KeyExpired { .. }
        | AuthorityError::Key(_)
        | AuthorityError::Ocsp(_)
        | AuthorityError::TimeStamp(_)
        | AuthorityError::Directory(_)
        | AuthorityError::Row(_)
        | AuthorityError::Stopped => Problem::internal(said),
    }
}
