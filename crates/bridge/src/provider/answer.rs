//! The answer of a service on its way back: signed, logged, sent. One that is in memory goes in one piece; a longer one is sent as the
//! service gives it, its signature last, after the log. Where it breaks off a fault stands in place of the signature (PR-MESSTRANSP §3.5).

use std::sync::Arc;

use bytes::Bytes;
use civic::MemberId;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::body::Incoming;
use trust::digest::{Digest, DigestAlgorithm};

use super::{Route, Verified, log, record, uses};
use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::listener::Reply;
use crate::message::soap::ContentType;
use crate::message::{AnyResponse, RestRequest, RestResponse};
use crate::messagelog::{NewRecord, RecordKind, Role};
use crate::metaservices::rest::Described;
use crate::operations::Observed;
use crate::pace::Pace;
use crate::signing;
use crate::soap_io::lay_down;
use crate::spool::{Body, Collector, Flow, FlowSender};
use crate::transport::{self, Attachment, Envelope, EnvelopeWriter, Kind, Message};

/// What the service said.
pub(super) struct ServiceAnswer {
    pub(super) response: AnyResponse,
    pub(super) body: ServiceBody,
}

/// What the node itself says about services, as the answer of one.
pub(super) fn described(
    request: &RestRequest,
    request_hash: &[u8; 64],
    described: Described,
) -> Result<ServiceAnswer, Fault> {
    let headers = [("content-type", described.content_type.as_bytes())];
    let response = RestResponse::from_http(request, request_hash, 200, "OK", headers.into_iter()).map_err(fault(
        Side::ServerProxy,
        Reason::InternalError,
        "Look into the log of the node",
    ))?;
    let response = AnyResponse::Rest(Box::new(response));
    Ok(ServiceAnswer { response, body: ServiceBody::Whole(Some(described.body)) })
}

/// The body of what it said.
pub(super) enum ServiceBody {
    /// In memory.
    Whole(Option<Bytes>),
    /// The attachments of a SOAP message, and the Content-Type with which the service sent the whole.
    Attachments(Vec<Attachment>, ContentType),
    /// Its beginning, and the connection to the service from which the rest comes.
    Stream { first: Bytes, rest: Incoming, pace: Pace },
}

/// All that the end of an exchange needs.
pub(super) struct Ending {
    pub(super) core: Arc<Core>,
    pub(super) verified: Verified,
    pub(super) route: Route,
    /// The record of the request, where it is not yet logged.
    pub(super) records: Vec<NewRecord>,
    /// By what the answer is digested.
    pub(super) hash: DigestAlgorithm,
    /// What operational monitoring sees.
    pub(super) observed: Arc<Observed>,
}

/// Brings the answer of the service back to the peer.
pub(super) async fn give(ending: Ending, answer: ServiceAnswer) -> Result<Reply, Fault> {
    let boundary = transport::boundary(&*ending.core.random);
    let ServiceAnswer { response, body } = answer;
    match body {
        ServiceBody::Whole(body) => {
            let hash = ending.hash;
            let attachments = body.map(|body| Attachment::rest(Body::digested(hash, body))).into_iter().collect();
            kept(ending, &boundary, &response, attachments).await
        }
        ServiceBody::Attachments(attachments, original) => {
            let mut reply = kept(ending, &boundary, &response, attachments).await?;
            if let Ok(value) = HeaderValue::from_str(&original.to_string()) {
                reply.headers_mut().insert(HeaderName::from_static("x-original-content-type"), value);
            }
            Ok(reply)
        }
        ServiceBody::Stream { first, rest, pace } => {
            let (sender, flow) = Flow::made();
            let reply = reply(&boundary, ending.hash, flow);
            tokio::spawn(stream(ending, boundary, response, Source { first, rest, pace }, sender));
            Ok(reply)
        }
    }
}

/// Signs, logs and lays down an answer that is there as a whole.
async fn kept(
    ending: Ending,
    boundary: &str,
    response: &AnyResponse,
    attachments: Vec<Attachment>,
) -> Result<Reply, Fault> {
    let envelope = match ending.envelope(response, attachments).await {
        Ok(envelope) => envelope,
        Err(fault) => return Err(ending.failed(fault, false).await),
    };
    let (flow, hash) = (Flow::from(lay_down(Kind::Response, boundary, &envelope)), ending.hash);
    ending.observed.response(response.status(), &envelope);
    ending.answered(&envelope).await?;
    Ok(reply(boundary, hash, flow))
}

/// Where the bytes of a long answer come from.
struct Source {
    first: Bytes,
    rest: Incoming,
    pace: Pace,
}

/// Sends a long answer to its end, or to the fault that ends it. What was begun is logged, whoever goes away.
async fn stream(ending: Ending, boundary: String, response: AnyResponse, source: Source, sender: FlowSender) {
    let (core, observed) = (Arc::clone(&ending.core), Arc::clone(&ending.observed));
    let mut writer = EnvelopeWriter::new(&boundary, 4 * 1024);
    writer.start(Kind::Response, &[], &response.message());
    writer.begin_rest_body();
    let outcome = match pump(&core, source, ending.hash, writer.take(), &sender).await {
        Ok(body) => ending.envelope(&response, vec![Attachment::rest(body)]).await,
        Err(fault) => Err(fault),
    };
    let outcome = match outcome {
        Ok(envelope) => ending.answered(&envelope).await.map(|()| envelope),
        // A part of the answer left the node: to the citizen that is an answer.
        Err(fault) => Err(ending.failed(fault, true).await),
    };
    match outcome {
        Ok(envelope) => {
            observed.response(response.status(), &envelope);
            writer.sign(envelope.batch.as_ref(), &envelope.signature);
        }
        Err(fault) => {
            observed.failed(&fault);
            writer.fault(&transport::write_fault(&core.logged(Role::Provider, fault)));
        }
    }
    let _ = sender.send(Ok(writer.take())).await;
}

/// Passes the body on while it comes; what of it is to be logged is kept beside.
async fn pump(
    core: &Core,
    source: Source,
    hash: DigestAlgorithm,
    start: Bytes,
    sender: &FlowSender,
) -> Result<Body, Fault> {
    let limits = core.config.limits;
    let Source { first, mut rest, mut pace } = source;
    let mut collector =
        Collector::spooled(Arc::clone(&core.spool)).keeping(limits.logged_body_bytes_max).digesting(hash);
    pass(core, sender, start).await?;
    let mut next = Some(first).filter(|first| !first.is_empty());
    loop {
        let slice = match next.take() {
            Some(slice) => slice,
            None => match pace.next(&mut rest).await.map_err(|error| broken_off(&error))? {
                Some(slice) => slice,
                None => return collector.finish().await.map_err(|error| no_place(&error)),
            },
        };
        collector.push(slice.clone());
        if collector.length() > limits.body_bytes_max {
            return Err(too_large(core));
        }
        collector.settle().await.map_err(|error| no_place(&error))?;
        pass(core, sender, slice).await?;
    }
}

/// Hands a slice to the connection; a peer that takes nothing for long is given up.
async fn pass(core: &Core, sender: &FlowSender, slice: Bytes) -> Result<(), Fault> {
    let passed = tokio::time::timeout(core.config.limits.exchange_timeout, sender.send(Ok(slice))).await;
    if let Ok(Ok(())) = passed {
        return Ok(());
    }
    let message = "the calling node went away while it got the answer. Send the request again";
    Err(Fault::new(Side::ServerProxy, Reason::NetworkError, message))
}

impl Ending {
    /// Whose service answers.
    fn member(&self) -> &MemberId {
        self.verified.request.service().client().member()
    }

    /// The signed answer.
    async fn envelope(&self, response: &AnyResponse, attachments: Vec<Attachment>) -> Result<Envelope, Fault> {
        let digests: Vec<Digest> = attachments.iter().map(|attachment| *attachment.body.digest()).collect();
        let message = response.message();
        let digest = Digest::of(self.hash, message.bytes());
        let signed = signing::sign(&self.core, Side::ServerProxy, self.member(), &digest, &digests).await?;
        Ok(Envelope { ocsp: Vec::new(), message, attachments, batch: signed.batch, signature: signed.signature })
    }

    /// Logs what is not yet logged, with the answer.
    async fn answered(mut self, envelope: &Envelope) -> Result<(), Fault> {
        self.records.push(record(&self.core, &self.verified, RecordKind::Response, "answered", envelope).await?);
        log(&self.core, self.records, uses(&self.verified, &self.route, true, document_of(envelope))).await
    }

    /// Logs what is not yet logged, with the fault, which comes back; that of the log itself where it fails. `disclosed` says whether
    /// anything of the answer left the node.
    pub(super) async fn failed(mut self, fault: Fault, disclosed: bool) -> Fault {
        for record in &mut self.records {
            fault.code().clone_into(&mut record.outcome);
        }
        if self.records.is_empty() {
            self.core.note_failure(Role::Provider, &self.verified.request, &fault).await;
        }
        let uses = uses(&self.verified, &self.route, disclosed, None);
        if self.records.is_empty() && uses.is_empty() {
            return fault;
        }
        log(&self.core, self.records, uses).await.err().unwrap_or(fault)
    }
}

/// The digest of what the caller gets as a document: the body of a REST answer, the envelope of a SOAP answer.
fn document_of(envelope: &Envelope) -> Option<Digest> {
    match &envelope.message {
        Message::Rest(_) => envelope.attachments.first().map(|attachment| *attachment.body.digest()),
        Message::Soap { bytes, .. } => Some(Digest::sha512(bytes)),
    }
}

fn reply(boundary: &str, hash: DigestAlgorithm, flow: Flow) -> Reply {
    let mut reply = Response::new(flow);
    let headers = reply.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&transport::content_type(boundary)) {
        headers.insert(CONTENT_TYPE, value);
    }
    headers.insert(transport::HASH_ALGORITHM, HeaderValue::from_static(hash.name()));
    reply
}

/// The service did not give the whole answer.
pub(super) fn broken_off(error: &dyn std::fmt::Display) -> Fault {
    let message = format!("the answer of the information system did not come whole: {error}. Try again later");
    Fault::new(Side::ServerProxy, Reason::ServiceFailed, message)
}

pub(super) fn too_large(core: &Core) -> Fault {
    let bytes_max = core.config.limits.body_bytes_max;
    let message = format!("the answer of the service has more than {bytes_max} bytes. Ask for less");
    Fault::new(Side::ServerProxy, Reason::BodyTooLarge, message)
}

fn no_place(error: &dyn std::fmt::Display) -> Fault {
    let message = format!("{error}. Try again later; the operator of the provider's node is to free the disk");
    Fault::new(Side::ServerProxy, Reason::IoError, message)
}
