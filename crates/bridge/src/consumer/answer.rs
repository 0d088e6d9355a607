//! An answer: what it must prove before anyone sees it, and how the application gets it.

use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::listener::Reply;
use crate::message::{RestRequest, RestResponse};
use crate::signing;
use crate::spool::{Body, Flow};
use crate::transport::{Envelope, Message};

/// Everything that an answer must prove before anyone sees it.
pub(super) fn verify(
    core: &Core,
    request: &RestRequest,
    request_hash: &[u8; 64],
    answer: &Envelope,
) -> Result<RestResponse, Fault> {
    let Message::Rest(head) = &answer.message else {
        let message = "a REST request was answered by a SOAP message. The provider's node is to be looked at";
        return Err(Fault::new(Side::ClientProxy, Reason::InvalidMessage, message));
    };
    let response = RestResponse::parse(head.clone()).map_err(fault(
        Side::ClientProxy,
        Reason::InvalidMessage,
        "The provider's node is to be looked at",
    ))?;
    signing::verify(core, Side::ClientProxy, request.service().client(), answer)?;
    if let Some(what) = response.mismatch(request, request_hash) {
        let message = format!(
            "the answer has another {what} than the request. It was not accepted; the provider's node is to be looked at"
        );
        return Err(Fault::new(Side::ClientProxy, Reason::InconsistentResponse, message));
    }
    Ok(response)
}

/// The answer in HTTP; a body of the spool streams from there, its length known.
pub(super) fn to_http(response: &RestResponse, body: Option<&Body>) -> Result<Reply, Fault> {
    let mut answer = Response::new(Flow::of(body));
    let status = StatusCode::from_u16(response.status()).map_err(malformed)?;
    *answer.status_mut() = status;
    if status.canonical_reason() != Some(response.reason())
        && let Ok(reason) = ReasonPhrase::try_from(response.reason().as_bytes().to_vec())
    {
        answer.extensions_mut().insert(reason);
    }
    for header in response.headers() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(malformed)?;
        let value = HeaderValue::from_bytes(header.value.as_bytes()).map_err(malformed)?;
        answer.headers_mut().append(name, value);
    }
    Ok(answer)
}

/// What a provider's node signed cannot be said in HTTP.
fn malformed(error: impl std::fmt::Display) -> Fault {
    Fault::new(Side::ClientProxy, Reason::InvalidMessage, format!("{error}. The provider's node is to be looked at"))
}
