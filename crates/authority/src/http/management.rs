//! Management requests of nodes (PR-MSERV).

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use civic::random_uuid;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Extensions, HeaderMap, StatusCode};
use trust::digest::sha256;
use trust::mserv::{Command, Envelope, MservError, fault, response};

use crate::{Authority, AuthorityError, Origin};

const SOAP_TYPE: &str = "text/xml; charset=UTF-8";

/// `POST /authcertreg`: everything but the registration of an authentication certificate is refused, because nobody
/// vouches for the sender here. Each peer has its own limit.
pub(super) async fn auth_cert_reg(
    State(authority): State<Authority>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if authority.0.strangers.take(web::peer_of(&extensions), authority.now()) {
        return answer(&authority, &headers, &body, true).await;
    }
    refused(&authority, &AuthorityError::TooMany)
}

/// `POST /managementservice`: everything else. Only the node of the management service comes here: there is no limit that strangers
/// could use up for the members.
pub(super) async fn management_service(
    State(authority): State<Authority>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&authority, &headers, &body, false).await
}

async fn answer(authority: &Authority, headers: &HeaderMap, body: &[u8], direct: bool) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match take(authority, content_type, body, direct).await {
        Ok(body) => soap(StatusCode::OK, body),
        Err(error) => refused(authority, &error),
    }
}

fn refused(authority: &Authority, error: &AuthorityError) -> Response {
    let detail = random_uuid(authority.0.random.as_ref());
    tracing::info!(%error, %detail, "a management request was refused");
    let status = match error {
        AuthorityError::TooMany => StatusCode::TOO_MANY_REQUESTS,
        AuthorityError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let text = if is_ours(error) { "the authority failed; try again".to_owned() } else { error.to_string() };
    soap(status, fault(fault_code(error), &text, &detail))
}

fn soap(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, SOAP_TYPE), (CACHE_CONTROL, "no-store")], body).into_response()
}

async fn take(authority: &Authority, content_type: &str, body: &[u8], direct: bool) -> Result<Vec<u8>, AuthorityError> {
    let (config, now) = (&authority.0.config, authority.now());
    let (envelope, request) = Envelope::read(content_type, body)?;
    let is_registration = matches!(request.command, Command::AuthCertReg { .. });
    if is_registration != direct {
        let (here, there) = if direct { ("authCertReg", "the X-Road service") } else { ("others", "/authcertreg") };
        tracing::debug!(here, there, "a management request at the wrong door");
        return Err(MservError::UnknownService(request.command.service().to_owned()).into());
    }
    let published = authority.published();
    let trust = published.trust.own().ok_or(AuthorityError::Stopped)?;
    envelope.verify(&request, &config.management_service, trust, now, config.ocsp_freshness)?;
    if matches!(request.command, Command::AuthCertReg { dry_run: true, .. }) {
        return Ok(response(&request, 0));
    }
    let message = hex::encode(sha256(&envelope.soap));
    let by = request.command.server().to_string();
    let filed = authority.file(&request.command, Origin::Node, &by, Some(message)).await?;
    Ok(response(&request, u64::try_from(filed.id).unwrap_or_default()))
}

/// Failures of ours, of which strangers need not know more.
const fn is_ours(error: &AuthorityError) -> bool {
    matches!(
        error,
        AuthorityError::Store(_)
            | AuthorityError::KeyFile { .. }
            | AuthorityError::Row(_)
            | AuthorityError::Stopped
            | AuthorityError::Directory(_)
            | AuthorityError::Unreadable { .. }
    )
}

const fn fault_code(error: &AuthorityError) -> &'static str {
    match error {
        AuthorityError::Management(error) => error.fault_code(),
        AuthorityError::Certificate(_) | AuthorityError::Trust(_) => "cert_validation",
        AuthorityError::RequestExists(_) => "management_request_exists",
        AuthorityError::AlreadyClient { .. } => "management_request_client_already_registered",
        AuthorityError::UnknownServer(_) => "management_request_server_not_found",
        error if is_ours(error) => "internal_error",
        _ => "invalid_request",
    }
}
