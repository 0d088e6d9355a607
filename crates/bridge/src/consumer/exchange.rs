//! One exchange on the side of the caller: request out, answer in, both logged before the answer leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::request::Parts;
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;
use trust::digest::{Digest, DigestAlgorithm};

use super::answer;
use super::send::{self, Came, Dispatch, Load};
use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::globalconf::Target;
use crate::internal_tls;
use crate::listener::Reply;
use crate::message::{AnyRequest, AnyResponse, RequestIds, RestRequest};
use crate::messagelog::{Content, NewRecord, RecordKind, Role};
use crate::operations::Observed;
use crate::pace::{Gathered, Pace, PaceError};
use crate::signing;
use crate::soap_io::{Laid, lay_down};
use crate::spool::{Body, Collector, Flow, FlowError, FlowSender, MEMORY_BYTES_MAX};
use crate::transport::{self, Attachment, Envelope, EnvelopeWriter, Kind, Received};

/// What is known once a request is signed.
struct Sent {
    /// What the answer must name.
    request_hash: [u8; 64],
    /// The record of the request, where it waits to be logged together with the answer.
    record: Option<NewRecord>,
}

/// Answers a request. What is left of its body afterwards belongs to the caller of this function.
pub(super) async fn exchange(
    core: &Arc<Core>,
    head: &Parts,
    body: &mut Incoming,
    observed: &Observed,
) -> Result<Reply, Fault> {
    let request = AnyRequest::Rest(Box::new(read_request(core, head)?));
    observed.asked(&request, None);
    let targets = permitted(core, head, &request, observed)?;
    let limits = core.config.limits;
    let announced = hyper::body::Body::size_hint(body).lower();
    if announced > limits.body_bytes_max {
        return Err(too_large(core));
    }
    let mut pace = Pace::new(limits.request_timeout, limits.bytes_per_s_min);
    let gathered = pace.gather(body, MEMORY_BYTES_MAX).await.map_err(body_fault)?;
    let hash = DigestAlgorithm::Sha512;
    let dispatch = Dispatch { core, targets: &targets, request: &request, head, hash, observed };
    let (sent, received) = match gathered {
        Gathered::Whole(bytes) if bytes.len() as u64 > limits.body_bytes_max => return Err(too_large(core)),
        Gathered::Whole(bytes) if bytes.is_empty() => {
            // X-Road-Request-Hash is made over the SHA-512 of a body; where there is none the other digest serves.
            whole(&Dispatch { hash: core.hash_for(&targets), ..dispatch }, Vec::new()).await?
        }
        Gathered::Whole(bytes) => whole(&dispatch, vec![Attachment::rest(Body::from(bytes))]).await?,
        Gathered::Partly(first) => streamed(&dispatch, first, body, pace).await?,
    };
    finish(&dispatch, sent, received).await
}

/// Sends a request whose attachments are kept, and answers it.
pub(super) async fn exchange_kept(dispatch: &Dispatch<'_>, attachments: Vec<Attachment>) -> Result<Answered, Fault> {
    let (sent, received) = whole(dispatch, attachments).await?;
    conclude(dispatch, sent, received).await
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

/// The nodes to which the request may go, where its client is ours and came over a connection that its settings allow.
pub(super) fn permitted(
    core: &Core,
    head: &Parts,
    request: &AnyRequest,
    observed: &Observed,
) -> Result<Vec<Target>, Fault> {
    let snapshot = core.configuration(Side::ClientProxy)?;
    core.admits(Side::ClientProxy)?;
    if core.registry.current().open_client(request.client()).is_none()
        || !snapshot.serves(&core.config.server, request.client())
    {
        let message =
            format!("{} is no registered subsystem of this node. Check the header X-Road-Client", request.client());
        return Err(Fault::new(Side::ClientProxy, Reason::UnknownMember, message));
    }
    let targets = reachable(core, request, observed)?;
    internal_tls::admit_client(core, head, request.client())?;
    Ok(targets)
}

/// The nodes to which a request may go, whoever asks.
pub(super) fn reachable(core: &Core, request: &AnyRequest, observed: &Observed) -> Result<Vec<Target>, Fault> {
    let snapshot = core.configuration(Side::ClientProxy)?;
    core.admits(Side::ClientProxy)?;
    let targets = snapshot.targets(request)?;
    observed.edit(|data| {
        data.client_server_address = snapshot.address_of(&core.config.server);
        if let [target] = targets.as_slice() {
            data.service_server_address = snapshot.address_of(&target.server);
        }
    });
    Ok(targets)
}

/// A message whose attachments are kept: signed, logged and sent in one piece.
async fn whole(dispatch: &Dispatch<'_>, attachments: Vec<Attachment>) -> Result<(Sent, Result<Came, Fault>), Fault> {
    let Dispatch { core, request, .. } = *dispatch;
    let digests: Vec<Digest> = attachments.iter().map(|attachment| *attachment.body.digest()).collect();
    let digest = request.digest(dispatch.hash);
    let signed = signing::sign(core, Side::ClientProxy, request.client().member(), &digest, &digests).await?;
    let envelope = Envelope {
        ocsp: vec![own_ocsp(core)?],
        message: request.message(),
        attachments,
        batch: signed.batch,
        signature: signed.signature,
    };
    dispatch.observed.request(&envelope);
    let record = request_record(core, request, &envelope).await?;
    let record = logged_if_unsafe(core, request, record).await?;
    dispatch.observed.sent();
    let boundary = transport::boundary(&*core.random);
    let length = envelope.memory_bytes() as u64 + envelope.attachments.iter().map(|one| one.body.len()).sum::<u64>();
    let load = match lay_down(Kind::Request, &boundary, &envelope) {
        Laid::Whole(bytes) if request.is_safe() => Load::Whole(bytes),
        Laid::Whole(bytes) => Load::Once(Some(Flow::from(bytes))),
        Laid::Stream(flow) => Load::Once(Some(flow)),
    };
    let sent = Sent { request_hash: request.answer_hash(digests.first()), record };
    let received = match send::open(dispatch, &boundary, load, length).await {
        Ok(response) => send::receive(dispatch, response, true).await,
        Err(fault) => Err(fault),
    };
    Ok((sent, received))
}

/// A body that passes through: sent as it comes, its digest taken on the way, the signature last.
async fn streamed(
    dispatch: &Dispatch<'_>,
    first: Bytes,
    body: &mut Incoming,
    pace: Pace,
) -> Result<(Sent, Result<Came, Fault>), Fault> {
    let logging = Logging::default();
    let outcome = stream(dispatch, first, body, pace, &logging).await;
    if let Err(fault) = &outcome
        && logging.ended().await
    {
        dispatch.core.note_failure(Role::Consumer, dispatch.request, fault).await;
    }
    outcome
}

async fn stream(
    dispatch: &Dispatch<'_>,
    first: Bytes,
    body: &mut Incoming,
    pace: Pace,
    logging: &Logging,
) -> Result<(Sent, Result<Came, Fault>), Fault> {
    let core = dispatch.core;
    dispatch.observed.sent();
    let boundary = transport::boundary(&*core.random);
    let (sender, flow) = Flow::made();
    let mut pump = std::pin::pin!(pump(dispatch, &boundary, first, body, pace, sender, logging));
    let limits = core.config.limits;
    // The peer's time to answer begins when it has the whole request.
    let mut opening = std::pin::pin!(send::open_untimed(dispatch, &boundary, Load::Once(Some(flow))));
    let sent = tokio::select! {
        sent = pump.as_mut() => sent?,
        opened = opening.as_mut() => {
            // Before it has the signature a peer can only refuse.
            let opened = opened.map_err(send::told_before_the_signature)?;
            return Err(match send::receive(dispatch, opened, false).await?.received {
                Received::Fault(fault) => fault,
                Received::Message(_) => {
                    let message = "the provider's node answered before it had the request. It is to be looked at";
                    Fault::new(Side::ClientProxy, Reason::InconsistentResponse, message)
                }
            });
        }
    };
    let (sent, length) = sent;
    let allowance = Pace::allowance(limits.exchange_timeout, limits.bytes_per_s_min, length);
    let received = match tokio::time::timeout(allowance, opening).await {
        Ok(Ok(response)) => send::receive(dispatch, response, true).await,
        Ok(Err(why)) => Err(send::told(dispatch.request, why)),
        Err(_) => Err(send::timed_out(dispatch.request, allowance)),
    };
    Ok((sent, received))
}

/// Brings a body from the application to the peer. Answers with what was signed and the length of the body.
async fn pump(
    dispatch: &Dispatch<'_>,
    boundary: &str,
    first: Bytes,
    body: &mut Incoming,
    mut pace: Pace,
    sender: FlowSender,
    logging: &Logging,
) -> Result<(Sent, u64), Fault> {
    let Dispatch { core, request, .. } = *dispatch;
    let limits = core.config.limits;
    let ocsp = own_ocsp(core)?;
    let message = request.message();
    let mut writer = EnvelopeWriter::new(boundary, 8 * 1024);
    writer.start(Kind::Request, std::slice::from_ref(&ocsp), &message);
    writer.begin_rest_body();
    give(core, &sender, writer.take()).await?;
    let mut collector = Collector::spooled(Arc::clone(&core.spool)).keeping(limits.logged_body_bytes_max);
    let mut next = Some(first).filter(|first| !first.is_empty());
    loop {
        let slice = match next.take() {
            Some(slice) => slice,
            None => match pace.next(body).await {
                Ok(Some(slice)) => slice,
                Ok(None) => break,
                Err(error) => {
                    let _ = sender.send(Err(FlowError::GivenUp(error.to_string()))).await;
                    return Err(body_fault(error));
                }
            },
        };
        collector.push(slice.clone());
        if collector.length() > limits.body_bytes_max {
            let _ = sender.send(Err(FlowError::GivenUp("it is too large".to_owned()))).await;
            return Err(too_large(core));
        }
        collector.settle().await.map_err(spool_fault)?;
        give(core, &sender, slice).await?;
    }
    let body = collector.finish().await.map_err(spool_fault)?;
    let (length, digest) = (body.len(), *body.digest());
    let head = request.digest(dispatch.hash);
    let signed = signing::sign(core, Side::ClientProxy, request.client().member(), &head, &[digest]).await?;
    writer.sign(signed.batch.as_ref(), &signed.signature);
    let attachments = vec![Attachment::rest(body)];
    let envelope =
        Envelope { ocsp: Vec::new(), message, attachments, batch: signed.batch, signature: signed.signature };
    dispatch.observed.request(&envelope);
    let record = request_record(core, request, &envelope).await?;
    // A request that changes something leaves no node without a trace: its signature goes last, after the log.
    let record = if request.is_safe() { Some(record) } else { logging.log(core, record).await? };
    give(core, &sender, writer.take()).await?;
    Ok((Sent { request_hash: request.answer_hash(Some(&digest)), record }, length))
}

/// The log of a request that is being sent: it is written to the end, also where the peer refuses meanwhile.
#[derive(Default)]
struct Logging {
    tasks: TaskTracker,
    begun: AtomicBool,
}

impl Logging {
    async fn log(&self, core: &Arc<Core>, record: NewRecord) -> Result<Option<NewRecord>, Fault> {
        self.begun.store(true, Ordering::Relaxed);
        let core = Arc::clone(core);
        let logged = self.tasks.spawn(async move { log(&core, vec![record]).await }).await;
        logged.unwrap_or_else(|error| Err(logging_failed(error)))?;
        Ok(None)
    }

    /// Waits until nothing is being written any more; whether something was.
    async fn ended(&self) -> bool {
        self.tasks.close();
        self.tasks.wait().await;
        self.begun.load(Ordering::Relaxed)
    }
}

/// Hands a slice to the connection. Where the connection is gone this waits for ever: the other side of it knows why, and tells.
async fn give(core: &Core, sender: &FlowSender, slice: Bytes) -> Result<(), Fault> {
    let limit = core.config.limits.exchange_timeout;
    match tokio::time::timeout(limit, sender.send(Ok(slice))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => std::future::pending().await,
        Err(_) => {
            let message = format!("the provider's node took nothing for {} s. Try again later", limit.as_secs());
            Err(Fault::new(Side::ClientProxy, Reason::Timeout, message))
        }
    }
}

/// A verified and logged answer.
pub(super) struct Answered {
    pub(super) response: AnyResponse,
    pub(super) attachments: Vec<Attachment>,
    /// The Content-Type with which the service answered, of SOAP messages.
    pub(super) original: Option<String>,
}

async fn finish(dispatch: &Dispatch<'_>, sent: Sent, received: Result<Came, Fault>) -> Result<Reply, Fault> {
    let answered = conclude(dispatch, sent, received).await?;
    answer::to_http(dispatch.core, &answered)
}

/// Verifies the answer, logs what is not yet logged, and only then lets the answer out.
async fn conclude(dispatch: &Dispatch<'_>, sent: Sent, received: Result<Came, Fault>) -> Result<Answered, Fault> {
    let Dispatch { core, request, observed, .. } = *dispatch;
    observed.received();
    let mut records: Vec<NewRecord> = sent.record.into_iter().collect();
    let outcome = match received {
        Ok(Came { received: Received::Message(envelope), original }) => {
            answer::verify(core, request, &sent.request_hash, &envelope).map(|response| (response, envelope, original))
        }
        Ok(Came { received: Received::Fault(fault), .. }) | Err(fault) => Err(fault),
    };
    match outcome {
        Ok((response, envelope, original)) => {
            records.push(record(core, request, RecordKind::Response, "answered", &envelope).await?);
            log(core, records).await?;
            observed.response(response.status(), &envelope);
            Ok(Answered { response, attachments: envelope.attachments, original })
        }
        Err(fault) => {
            for record in &mut records {
                fault.code().clone_into(&mut record.outcome);
            }
            if records.is_empty() {
                core.note_failure(Role::Consumer, request, &fault).await;
            } else {
                log(core, records).await?;
            }
            Err(fault)
        }
    }
}

fn own_ocsp(core: &Core) -> Result<Bytes, Fault> {
    core.own_ocsp.authentication().map_err(fault(
        Side::ClientProxy,
        Reason::CannotCreateSignature,
        "The node renews it by itself; look at the OCSP responder of the authority",
    ))
}

async fn request_record(core: &Core, request: &AnyRequest, envelope: &Envelope) -> Result<NewRecord, Fault> {
    record(core, request, RecordKind::Request, "sent", envelope).await
}

/// Logs a request that changes something at once; the record of another waits for the answer.
async fn logged_if_unsafe(core: &Core, request: &AnyRequest, record: NewRecord) -> Result<Option<NewRecord>, Fault> {
    if request.is_safe() {
        return Ok(Some(record));
    }
    log(core, vec![record]).await?;
    Ok(None)
}

async fn record(
    core: &Core,
    request: &AnyRequest,
    kind: RecordKind,
    outcome: &str,
    envelope: &Envelope,
) -> Result<NewRecord, Fault> {
    Ok(NewRecord {
        role: Role::Consumer,
        kind,
        client: request.client().clone(),
        service: request.service().clone(),
        message_id: request.message_id().to_owned(),
        request_id: request.request_id().to_owned(),
        outcome: outcome.to_owned(),
        replay: None,
        content: Content::of(envelope, core.config.limits.logged_body_bytes_max).await.map_err(spool_fault)?,
    })
}

async fn log(core: &Core, records: Vec<NewRecord>) -> Result<(), Fault> {
    core.log.append(records, Vec::new()).await.map_err(logging_failed)
}

fn logging_failed(error: impl std::fmt::Display) -> Fault {
    let advice = "Nothing is exchanged that cannot be logged; free the disk of the node or repair its database";
    fault(Side::ClientProxy, Reason::LoggingFailed, advice)(error)
}

/// The body of the application did not come.
pub(super) fn body_fault(error: PaceError) -> Fault {
    match error {
        PaceError::Slow { .. } => Fault::new(
            Side::Client,
            Reason::Timeout,
            format!("the body did not arrive in time: {error}. Send it faster"),
        ),
        PaceError::Broken(_) => {
            Fault::new(Side::Client, Reason::IoError, format!("the body did not arrive: {error}. Send it again, whole"))
        }
    }
}

pub(super) fn too_large(core: &Core) -> Fault {
    let bytes_max = core.config.limits.body_bytes_max;
    let message = format!("the body has more than {bytes_max} bytes. Send less, or ask for a larger limit");
    Fault::new(Side::Client, Reason::BodyTooLarge, message)
}

/// The node has no place for a body.
pub(super) fn spool_fault(error: impl std::fmt::Display) -> Fault {
    let message = format!("{error}. Try again later; the operator of the caller's node is to free the disk");
    Fault::new(Side::ClientProxy, Reason::IoError, message)
}
