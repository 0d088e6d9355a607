//! SOAP requests of other nodes: forwarded to the service with SOAPAction, the answer judged, the hash of the request put into it.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, StatusCode};

use super::answer::{broken_off, too_large};
use super::forward::{GRANT_USE, service_fault, too_slow, wrong};
use super::{Route, ServiceAnswer, ServiceBody, Verified};
use crate::core::Core;
use crate::fault::{Fault, Reason, Side};
use crate::message::soap::{ContentType, Soap, SoapError, SoapMessage, soap_action};
use crate::message::{AnyRequest, AnyResponse, SoapRequest};
use crate::outbound::Unverified;
use crate::pace::{Pace, PaceError};
use crate::registry::Service;
use crate::soap_io::{self, ArrivalError, SoapDeparture};
use crate::soap_services::{self, SoapAnswer};
use crate::transport::{Attachment, Message};

const SIDE: Side = Side::ServerProxy;

/// Reads the SOAP part that a peer signed. What stands beside it in HTTP is signed by nobody and decides nothing but how the service
/// is asked.
pub(super) fn read_request(core: &Core, head: &Parts, message: &Message) -> Result<AnyRequest, Fault> {
    let Message::Soap { content_type, headers, bytes } = message else {
        return Err(Fault::new(SIDE, Reason::MissingSoap, "the message holds no SOAP part"));
    };
    let refused = |error: &SoapError| {
        let message = format!("{error}. The caller's node is to be looked at");
        Fault::behind(SIDE, error.reason(), message)
    };
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let action = header("x-original-soapaction");
    soap_action(action)
        .map_err(|error| Fault::new(SIDE, error.reason(), format!("{error}. The caller's node is to be looked at")))?;
    match SoapMessage::parse(content_type, bytes.clone()).map_err(|error| refused(&error))? {
        Soap::Message(message) => Ok(AnyRequest::Soap(Box::new(SoapRequest {
            message: *message,
            headers: headers.clone(),
            original: header("x-original-content-type")
                .map_or_else(|| ContentType::parse(content_type), ContentType::parse),
            action: action.map(str::to_owned),
            request_id: header("x-road-request-id").map_or_else(|| core.uuid(), |id| id.chars().take(255).collect()),
        }))),
        Soap::Fault(_) => Err(Fault::new(SIDE, Reason::MissingSoap, "a fault is no request")),
    }
}

/// Asks the service, or the node itself.
pub(super) async fn ask(
    core: &Core,
    verified: &Verified,
    route: &Route,
    request: &SoapRequest,
    grant_use: Option<&str>,
) -> Result<ServiceAnswer, Fault> {
    let answer = match route {
        Route::Service(service, _) => {
            forward(core, service, request, &verified.envelope.attachments, grant_use).await?
        }
        Route::OwnSoap | Route::DataTracker | Route::Metaservice => {
            soap_services::answer(core, &verified.offer, &verified.snapshot, request).await?
        }
    };
    let SoapAnswer { message, headers, attachments, original } = answer;
    let message = message.with_request_hash(&request.message.hash()).map_err(|error| unusable(&error))?;
    let response = AnyResponse::Soap(Box::new(message), headers);
    Ok(ServiceAnswer { response, body: ServiceBody::Attachments(attachments, original) })
}

async fn forward(
    core: &Core,
    service: &Service,
    request: &SoapRequest,
    attachments: &[Attachment],
    grant_use: Option<&str>,
) -> Result<SoapAnswer, Fault> {
    let limits = core.config.limits;
    let mut outgoing = to_http(core, service, request, attachments, grant_use)?;
    if !service.tls_verify {
        outgoing.extensions_mut().insert(Unverified);
    }
    let length = attachments.iter().map(|attachment| attachment.body.len()).sum();
    let allowance = Pace::allowance(service.timeout, limits.bytes_per_s_min, length);
    let opened = tokio::time::timeout(allowance, core.outbound.open(outgoing)).await;
    let (head, mut body) = match opened {
        Ok(answer) => answer.map_err(service_fault)?.into_parts(),
        Err(_) => return Err(too_slow(&format!("within {} s", allowance.as_secs()))),
    };
    // R1126 of the WS-I Basic Profile: a fault comes with 500.
    if !matches!(head.status, StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR) {
        let message = format!("the service answered with status {}. Tell the provider", head.status.as_u16());
        return Err(Fault::behind(SIDE, Reason::HttpError, message));
    }
    let pace = Pace::new(service.timeout, limits.bytes_per_s_min);
    let arrival =
        soap_io::read(core, &head.headers, &mut body, pace).await.map_err(|error| arrival_fault(core, &error))?;
    match arrival.soap {
        Soap::Fault(fault) => Err(Fault::of_soap(&fault)),
        Soap::Message(message) => Ok(SoapAnswer {
            message: *message,
            headers: arrival.headers,
            attachments: arrival.attachments,
            original: arrival.original,
        }),
    }
}

fn to_http(
    core: &Core,
    service: &Service,
    request: &SoapRequest,
    attachments: &[Attachment],
    grant_use: Option<&str>,
) -> Result<Request<crate::spool::Flow>, Fault> {
    let content_type = request.message.content_type().to_string();
    let departure = SoapDeparture {
        content_type: &content_type,
        headers: &request.headers,
        bytes: request.message.bytes(),
        attachments,
        original: Some(&request.original),
    };
    let (whole_type, flow) = departure.write(core);
    let mut outgoing = Request::post(service.base_url.as_str()).body(flow).map_err(wrong)?;
    let headers = outgoing.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&whole_type).map_err(malformed)?);
    // SOAP 1.1 §6.1.1: the header must be there.
    let action = request.action.as_deref().unwrap_or("\"\"");
    headers.insert(HeaderName::from_static("soapaction"), HeaderValue::from_str(action).map_err(malformed)?);
    if let Some(grant_use) = grant_use {
        headers.insert(HeaderName::from_static(GRANT_USE), HeaderValue::from_str(grant_use).map_err(malformed)?);
    }
    Ok(outgoing)
}

fn arrival_fault(core: &Core, error: &ArrivalError) -> Fault {
    match error {
        // X-Road calls an answer without a SOAP part an invalid message.
        ArrivalError::Soap(SoapError::MissingSoap) => Fault::behind(
            SIDE,
            Reason::InvalidMessage,
            "the service answered without a SOAP message. Tell the provider",
        ),
        ArrivalError::Soap(SoapError::NoContentType) => Fault::behind(
            SIDE,
            Reason::InvalidContentType,
            "the service answered without Content-Type. Tell the provider",
        ),
        ArrivalError::Soap(error) => unusable(error),
        ArrivalError::Pace(PaceError::Slow { .. }) => too_slow("in time"),
        ArrivalError::Pace(error) => broken_off(error),
        ArrivalError::TooLarge(_) => too_large(core),
        ArrivalError::Spool(error) => {
            let message = format!("{error}. Try again later; the operator of the provider's node is to free the disk");
            Fault::new(SIDE, Reason::IoError, message)
        }
    }
}

/// The answer of the service is no answer.
fn unusable(error: &SoapError) -> Fault {
    let message = format!("the answer of the service cannot be used: {error}. Tell the provider");
    Fault::behind(SIDE, error.reason(), message)
}

fn malformed(error: impl std::fmt::Display) -> Fault {
    Fault::new(SIDE, Reason::InvalidMessage, format!("{error}. The caller's node is to be looked at"))
}
