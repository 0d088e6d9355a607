//! The side of the caller: takes a request of an information system of the organisation, signs it, sends it to the provider's node,
//! verifies what comes back and logs both before the answer leaves.

mod pool;

pub(crate) use pool::Pool;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use crate::core::Core;
use crate::evidence;
use crate::fault::{Fault, Reason, Side, fault};
use crate::listener::Answer;
use crate::message::{ErrorForm, RequestIds, RestRequest, RestResponse, render_error};
use crate::messagelog::{Content, NewRecord, RecordKind, Role};
use crate::outbound::{CollectError, collect};
use crate::signing;
use crate::spool::Body;
use crate::transport::{self, Attachment, Envelope, EnvelopeReader, Kind, Limits, Message, Received};

/// What a message may have on the wire beside its body, bytes.
const WIRE_BYTES: usize = 2 * 1024 * 1024;

/// Answers a request of an information system.
pub(crate) async fn handle(core: Arc<Core>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        "/asic" => return evidence::asic(&core, &head).await,
        "/verificationconf" => return evidence::verification_configuration(&core, &head),
        _ => {}
    }
    let started = Instant::now();
    let outcome = exchange(&core, &head, body).await;
    core.metrics.exchange(Role::Consumer, outcome.is_ok(), started.elapsed());
    match outcome {
        Ok(answer) => answer,
        Err(fault) => error(&core, &head, fault),
    }
}

/// An error in the form that the caller accepts. It is logged here, once.
pub(crate) fn error(core: &Core, head: &Parts, fault: Fault) -> Answer {
    let fault = core.logged(Role::Consumer, fault);
    let accept = head.headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
    let rendered = render_error(&fault, ErrorForm::negotiate(accept), core.config.error_style);
    let mut answer = Response::new(Full::new(Bytes::from(rendered.body)));
    *answer.status_mut() = StatusCode::from_u16(rendered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(rendered.content_type));
    if let Ok(value) = HeaderValue::from_str(&rendered.error_header) {
        answer.headers_mut().insert(HeaderName::from_static("x-road-error"), value);
    }
    answer
}

async fn exchange(core: &Arc<Core>, head: &Parts, body: Incoming) -> Result<Answer, Fault> {
    let body = read_body(core, body).await?;
    let request = read_request(core, head)?;
    let snapshot = core.configuration(Side::ClientProxy)?;
    if core.registry.current().open_client(request.client()).is_none()
        || !snapshot.serves(&core.config.server, request.client())
    {
        let message =
            format!("{} is no registered subsystem of this node. Check the header X-Road-Client", request.client());
        return Err(Fault::new(Side::ClientProxy, Reason::UnknownMember, message));
    }
    let targets = snapshot.targets(&request)?;
    let envelope = sign(core, &request, body)?;
    let request_hash = request.hash(envelope.rest_body().map(Body::sha512));
    let mut records = vec![record(&request, RecordKind::Request, "sent", Content::from(&envelope))];
    if !request.verb().is_safe() {
        // A request that changes something leaves no node without a trace.
        log(core, std::mem::take(&mut records)).await?;
    }
    let received = send(core, &targets, &request, &envelope, head).await;
    let outcome = match received {
        Ok(Received::Message(answer)) => {
            verify(core, &request, &request_hash, &answer).map(|response| (response, answer))
        }
        Ok(Received::Fault(fault)) | Err(fault) => Err(fault),
    };
    match outcome {
        Ok((response, answer)) => {
            records.push(record(&request, RecordKind::Response, "answered", Content::from(answer.as_ref())));
            log(core, records).await?;
            to_http(response, answer.rest_body().and_then(Body::memory).cloned())
        }
        Err(fault) => {
            for record in &mut records {
                fault.code().clone_into(&mut record.outcome);
            }
            if !records.is_empty() {
                log(core, records).await?;
            }
            Err(fault)
        }
    }
}

async fn read_body(core: &Core, body: Incoming) -> Result<Option<Bytes>, Fault> {
    let limits = core.config.limits;
    let collected = tokio::time::timeout(limits.request_timeout, collect(body, limits.body_bytes_max)).await;
    match collected {
        Ok(Ok(body)) => Ok(Some(body).filter(|body| !body.is_empty())),
        Ok(Err(CollectError::TooLarge)) => {
            let message =
                format!("the body has more than {} bytes. Send less, or ask for a larger limit", limits.body_bytes_max);
            Err(Fault::new(Side::Client, Reason::BodyTooLarge, message))
        }
        Ok(Err(CollectError::Broken(reason))) => Err(Fault::new(
            Side::Client,
            Reason::IoError,
            format!("the body broke off ({reason}). Send it again, whole"),
        )),
        Err(_) => {
            let seconds = limits.request_timeout.as_secs();
            Err(Fault::new(
                Side::Client,
                Reason::Timeout,
                format!("the body did not arrive within {seconds} s. Send it faster"),
            ))
        }
    }
}

fn read_request(core: &Core, head: &Parts) -> Result<RestRequest, Fault> {
    let ids = RequestIds {
        message_id: format!("{}-{}", core.config.server.owner().instance(), core.uuid()),
        request_id: core.uuid(),
    };
    let target = head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    RestRequest::from_http(head.method.as_str(), target, headers, ids).map_err(fault(
        Side::Client,
        Reason::BadRequest,
        "Correct the request",
    ))
}

fn sign(core: &Core, request: &RestRequest, body: Option<Bytes>) -> Result<Envelope, Fault> {
    let body = body.map(Body::from);
    let digests: Vec<[u8; 64]> = body.iter().map(|body| *body.sha512()).collect();
    let signed = signing::sign(core, Side::ClientProxy, request.sha512(), &digests)?;
    let ocsp = core.own_ocsp.authentication().map_err(fault(
        Side::ClientProxy,
        Reason::CannotCreateSignature,
        "The node renews it by itself; look at the OCSP responder of the authority",
    ))?;
    Ok(Envelope {
        ocsp: vec![ocsp],
        message: Message::Rest(request.bytes().clone()),
        attachments: body.map(Attachment::rest).into_iter().collect(),
        batch: signed.batch,
        signature: signed.signature,
    })
}

async fn send(
    core: &Core,
    targets: &[crate::globalconf::Target],
    request: &RestRequest,
    envelope: &Envelope,
    head: &Parts,
) -> Result<Received, Fault> {
    let boundary = transport::boundary(&*core.random);
    let body = Bytes::from(transport::write(Kind::Request, &boundary, envelope));
    let mut headers = http::HeaderMap::with_capacity(8);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("content-type", &transport::content_type(&boundary));
    set("x-road-request-id", request.request_id());
    set("x-hash-algorithm", "SHA-512");
    set("x-proxy-version", crate::PROTOCOL_VERSION);
    set("x-road-message-type", "REST");
    if let Some(original) = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) {
        set("x-original-content-type", original);
    }
    let limit = core.config.limits.exchange_timeout;
    let whole = async {
        let response = core.pool.send(core, targets, headers, body).await?;
        read_answer(core, response).await
    };
    tokio::time::timeout(limit, whole).await.unwrap_or_else(|_| {
        let message = format!("the provider's node did not answer within {} s. Try again later", limit.as_secs());
        Err(Fault::new(Side::ClientProxy, Reason::Timeout, message))
    })
}

async fn read_answer(core: &Core, response: pool::PeerResponse) -> Result<Received, Fault> {
    let malformed = fault(Side::ClientProxy, Reason::ServiceFailed, "The provider's node is to be looked at");
    let limits = Limits::with_body(core.config.limits.body_bytes_max as u64);
    let content_type = response.content_type().to_owned();
    let bytes = response.collect(core.config.limits.body_bytes_max + WIRE_BYTES).await?;
    if content_type.to_ascii_lowercase().starts_with(transport::TEXT_XML) {
        return transport::read_fault(&bytes).map(Received::Fault).map_err(malformed);
    }
    let mut reader = EnvelopeReader::new(Kind::Response, &content_type, limits).map_err(&malformed)?;
    reader.push(bytes).map_err(&malformed)?;
    reader.finish().map_err(malformed)
}

/// Everything that an answer must prove before anyone sees it.
fn verify(
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

fn record(request: &RestRequest, kind: RecordKind, outcome: &str, content: Content) -> NewRecord {
    NewRecord {
        role: Role::Consumer,
        kind,
        client: request.client().clone(),
        service: request.service().clone(),
        message_id: request.message_id().to_owned(),
        request_id: request.request_id().to_owned(),
        outcome: outcome.to_owned(),
        replay: None,
        content,
    }
}

async fn log(core: &Core, records: Vec<NewRecord>) -> Result<(), Fault> {
    core.log.append(records, Vec::new()).await.map_err(fault(
        Side::ClientProxy,
        Reason::LoggingFailed,
        "Nothing is exchanged that cannot be logged; free the disk of the node or repair its database",
    ))
}

fn to_http(response: RestResponse, body: Option<Bytes>) -> Result<Answer, Fault> {
    let mut answer = Response::new(Full::new(body.unwrap_or_default()));
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
