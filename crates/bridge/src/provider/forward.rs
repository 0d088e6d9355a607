use http::header::{HeaderName, HeaderValue};
use http::{Method, Request};
use hyper::body::Body as _;
use hyper::ext::ReasonPhrase;

use super::answer::{broken_off, too_large};
use super::{ServiceAnswer, ServiceBody};
use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::message::{AnyResponse, RestRequest, RestResponse, decided};
use crate::outbound::{OutboundError, Unverified};
use crate::pace::{Gathered, Pace, PaceError};
use crate::registry::Service;
use crate::spool::{Body, Flow, MEMORY_BYTES_MAX};

/// The header in which the information system gets the proof of the consent service.
pub(super) const GRANT_USE: &str = "baobab-grant-use";

/// Asks the information system and makes the answer of the message out of what it says.
pub(super) async fn ask(
    core: &Core,
    service: &Service,
    request: &RestRequest,
    body: Option<&Body>,
    grant_use: Option<&str>,
    request_hash: &[u8; 64],
) -> Result<ServiceAnswer, Fault> {
    let mut outgoing = to_http(service, request, body, grant_use)?;
    if !service.tls_verify {
        outgoing.extensions_mut().insert(Unverified);
    }
    let limits = core.config.limits;
    let allowance = Pace::allowance(service.timeout, limits.bytes_per_s_min, body.map_or(0, Body::len));
    let opened = tokio::time::timeout(allowance, core.outbound.open(outgoing)).await;
    let (head, mut body) = match opened {
        Ok(answer) => answer.map_err(service_fault)?.into_parts(),
        Err(_) => return Err(too_slow(&format!("within {} s", allowance.as_secs()))),
    };
    let phrase = head.extensions.get::<ReasonPhrase>().and_then(|phrase| std::str::from_utf8(phrase.as_bytes()).ok());
    let reason = phrase.or_else(|| head.status.canonical_reason()).unwrap_or("Unknown");
    let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let response = RestResponse::from_http(request, request_hash, head.status.as_u16(), reason, headers).map_err(
        fault(Side::ServerProxy, Reason::ServiceFailed, "The information system behind the service is to be looked at"),
    )?;
    if body.size_hint().lower() > limits.body_bytes_max {
        return Err(too_large(core));
    }
    let mut pace = Pace::new(service.timeout, limits.bytes_per_s_min);
    let body = match pace.gather(&mut body, MEMORY_BYTES_MAX).await {
        Ok(Gathered::Whole(bytes)) if bytes.len() as u64 > limits.body_bytes_max => return Err(too_large(core)),
        Ok(Gathered::Whole(bytes)) => ServiceBody::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
        Ok(Gathered::Partly(first)) => ServiceBody::Stream { first, rest: body, pace },
        Err(PaceError::Slow { .. }) => return Err(too_slow("in time")),
        Err(error @ PaceError::Broken(_)) => return Err(broken_off(&error)),
    };
    Ok(ServiceAnswer { response: AnyResponse::Rest(Box::new(response)), body })
}

pub(super) fn too_slow(when: &str) -> Fault {
    let message = format!("the information system did not answer {when}. Try again later, or tell the provider");
    Fault::new(Side::ServerProxy, Reason::Timeout, message)
}

fn to_http(
    service: &Service,
    request: &RestRequest,
    body: Option<&Body>,
    grant_use: Option<&str>,
) -> Result<Request<Flow>, Fault> {
    let base = service.base_url.as_str();
    let rest = request.service_path_and_query();
    let base = if rest.starts_with('/') { base.strip_suffix('/').unwrap_or(base) } else { base };
    let method = Method::from_bytes(request.verb().as_str().as_bytes()).map_err(wrong)?;
    let mut outgoing =
        Request::builder().method(method).uri(format!("{base}{rest}")).body(Flow::of(body)).map_err(wrong)?;
    for header in decided(request.headers()) {
        // Only the node says what the consent service said.
        if header.is(GRANT_USE) {
            continue;
        }
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(malformed)?;
        let value = HeaderValue::from_bytes(header.value.as_bytes()).map_err(malformed)?;
        outgoing.headers_mut().append(name, value);
    }
    if let Some(grant_use) = grant_use {
        let value = HeaderValue::from_str(grant_use).map_err(malformed)?;
        outgoing.headers_mut().insert(HeaderName::from_static(GRANT_USE), value);
    }
    Ok(outgoing)
}

fn malformed(error: impl std::fmt::Display) -> Fault {
    Fault::new(Side::ServerProxy, Reason::InvalidMessage, format!("{error}. The caller's node is to be looked at"))
}

pub(super) fn wrong(error: impl std::fmt::Display) -> Fault {
    let message = format!("{error}. The address of the service is to be corrected");
    Fault::new(Side::ServerProxy, Reason::ServiceMissingUrl, message)
}

pub(super) fn service_fault(error: OutboundError) -> Fault {
    let reason = match &error {
        OutboundError::Address(_) => Reason::ServiceMissingUrl,
        OutboundError::Connect { .. } => Reason::NetworkError,
        OutboundError::Timeout { .. } => Reason::Timeout,
        OutboundError::TooLarge { .. } => Reason::BodyTooLarge,
        OutboundError::Broken { .. } | OutboundError::Status { .. } => Reason::ServiceFailed,
    };
    // The address of the information system is no matter of the caller.
    let what = match &error {
        OutboundError::Address(_) => "the service has no valid address".to_owned(),
        OutboundError::Connect { .. } => "the information system cannot be reached".to_owned(),
        OutboundError::Timeout { seconds, .. } => format!("the information system did not answer within {seconds} s"),
        OutboundError::TooLarge { bytes_max, .. } => {
            format!("the answer of the service has more than {bytes_max} bytes")
        }
        OutboundError::Broken { .. } | OutboundError::Status { .. } => {
            "the information system broke the exchange off".to_owned()
        }
    };
    tracing::warn!(%error, "an information system failed");
    Fault::new(Side::ServerProxy, reason, format!("{what}. Try again later, or tell the provider"))
}
