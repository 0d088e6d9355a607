//! An answer: what it must prove before anyone sees it, and how the application gets it.

use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::exchange::Answered;
use super::soap;
use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::listener::Reply;
use crate::message::{AnyRequest, AnyResponse, RestResponse, decided};
use crate::signing;
use crate::spool::{Body, Flow};
use crate::transport::{Envelope, Message};

/// Everything that an answer must prove before anyone sees it.
pub(super) fn verify(
    core: &Core,
    request: &AnyRequest,
    request_hash: &[u8; 64],
    answer: &Envelope,
) -> Result<AnyResponse, Fault> {
    let response = match (request, &answer.message) {
        (AnyRequest::Rest(_), Message::Rest(head)) => {
            let looked_at = fault(Side::ClientProxy, Reason::InvalidMessage, "The provider's node is to be looked at");
            AnyResponse::Rest(Box::new(RestResponse::parse(head.clone()).map_err(looked_at)?))
        }
        (AnyRequest::Soap(_), Message::Soap { content_type, headers, bytes }) => {
            soap::read_answer(content_type, headers, bytes)?
        }
        _ => {
            let message = "the answer speaks another protocol than the request. The provider's node is to be looked at";
            return Err(Fault::new(Side::ClientProxy, Reason::InvalidMessage, message));
        }
    };
    signing::verify(core, Side::ClientProxy, request.service().client(), answer)?;
    match (request, &response) {
        (AnyRequest::Rest(request), AnyResponse::Rest(response)) => {
            if let Some(what) = response.mismatch(request, request_hash) {
                let message = format!("the answer has another {what} than the request. {NOT_ACCEPTED}");
                return Err(Fault::new(Side::ClientProxy, Reason::InconsistentResponse, message));
            }
        }
        (AnyRequest::Soap(request), AnyResponse::Soap(response, _)) => soap::compare(&request.message, response)?,
        _ => {}
    }
    Ok(response)
}

pub(super) const NOT_ACCEPTED: &str = "It was not accepted; the provider's node is to be looked at";

/// The answer in HTTP; a body of the spool streams from there, its length known.
pub(super) fn to_http(core: &Core, answered: &Answered) -> Result<Reply, Fault> {
    match &answered.response {
        AnyResponse::Rest(response) => {
            rest_to_http(response, answered.attachments.first().map(|attachment| &attachment.body))
        }
        AnyResponse::Soap(message, headers) => soap::to_http(core, message, headers, answered),
    }
}

fn rest_to_http(response: &RestResponse, body: Option<&Body>) -> Result<Reply, Fault> {
    let mut answer = Response::new(Flow::of(body));
    let status = StatusCode::from_u16(response.status()).map_err(malformed)?;
    *answer.status_mut() = status;
    if status.canonical_reason() != Some(response.reason())
        && let Ok(reason) = ReasonPhrase::try_from(response.reason().as_bytes().to_vec())
    {
        answer.extensions_mut().insert(reason);
    }
    for header in decided(response.headers()) {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(malformed)?;
        let value = HeaderValue::from_bytes(header.value.as_bytes()).map_err(malformed)?;
        answer.headers_mut().append(name, value);
    }
    Ok(answer)
}

/// What a provider's node signed cannot be said in HTTP.
pub(super) fn malformed(error: impl std::fmt::Display) -> Fault {
    Fault::new(Side::ClientProxy, Reason::InvalidMessage, format!("{error}. The provider's node is to be looked at"))
}
