//! A signed request on its way to the provider's node, and the message that comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use trust::digest::DigestAlgorithm;

use super::pool::{PeerResponse, Unanswered};
use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::globalconf::Target;
use crate::message::AnyRequest;
use crate::operations::Observed;
use crate::pace::{Pace, PaceError};
use crate::spool::Flow;
use crate::transport::{self, EnvelopeReader, Kind, Limits, Received, TransportError};

/// A request and where it may go.
#[derive(Clone, Copy)]
pub(super) struct Dispatch<'d> {
    pub(super) core: &'d Arc<Core>,
    pub(super) targets: &'d [Target],
    pub(super) request: &'d AnyRequest,
    /// What the application sent.
    pub(super) head: &'d Parts,
    /// By what the request is digested.
    pub(super) hash: DigestAlgorithm,
    /// What operational monitoring sees.
    pub(super) observed: &'d Observed,
}

/// What came back.
pub(crate) struct Came {
    pub(crate) received: Received,
    /// The Content-Type with which the service answered, of SOAP messages.
    pub(crate) original: Option<String>,
}

impl From<Received> for Came {
    fn from(received: Received) -> Self {
        Self { received, original: None }
    }
}

/// The bytes of a message between nodes.
pub(crate) enum Load {
    /// All of them, of a request that changes nothing: they are sent again where a kept connection turns out to be dead.
    Whole(Bytes),
    /// They are sent once: they come as they go, or a second arrival would change something twice.
    Once(Option<Flow>),
}

/// Sends a whole message; `length` is about how many bytes it has.
pub(super) async fn open(
    dispatch: &Dispatch<'_>,
    boundary: &str,
    load: Load,
    length: u64,
) -> Result<PeerResponse, Fault> {
    let limits = dispatch.core.config.limits;
    let allowance = Pace::allowance(limits.exchange_timeout, limits.bytes_per_s_min, length);
    let opened = tokio::time::timeout(allowance, open_untimed(dispatch, boundary, load)).await;
    opened.map_or_else(
        |_| Err(timed_out(dispatch.request, allowance)),
        |opened| opened.map_err(|why| told(dispatch.request, why)),
    )
}

/// Sends a message and waits for the beginning of the answer.
pub(super) async fn open_untimed(
    dispatch: &Dispatch<'_>,
    boundary: &str,
    load: Load,
) -> Result<PeerResponse, Unanswered> {
    let mut headers = http::HeaderMap::with_capacity(16);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("content-type", &transport::content_type(boundary));
    set("x-road-request-id", dispatch.request.request_id());
    set(transport::HASH_ALGORITHM, dispatch.hash.name());
    if dispatch.core.config.log.hash == transport::ACCEPTED_HASH {
        set(transport::ACCEPTED_HASH_ALGORITHM, transport::ACCEPTED_HASH.name());
    }
    set("x-proxy-version", crate::PROTOCOL_VERSION);
    if let AnyRequest::Soap(soap) = dispatch.request {
        set("x-original-soapaction", soap.action.as_deref().unwrap_or("\"\""));
    } else {
        set("x-road-message-type", "REST");
    }
    if let Some(original) = dispatch.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) {
        set("x-original-content-type", original);
    }
    let core = dispatch.core;
    core.pool.send(core, dispatch.targets, headers, load).await
}

/// What the caller is told of a request that went out whole and was not answered.
pub(super) fn told(request: &AnyRequest, why: Unanswered) -> Fault {
    match why {
        Unanswered::Failed(fault) => fault,
        Unanswered::Cut(fault) => fault.advised(advice(request)),
    }
}

/// The same of a request whose signature did not go out: without it a peer can only refuse.
pub(super) fn told_before_the_signature(why: Unanswered) -> Fault {
    match why {
        Unanswered::Failed(fault) => fault,
        Unanswered::Cut(fault) => {
            fault.advised("It had not the whole request, so nothing was carried out. Send it again")
        }
    }
}

pub(super) fn timed_out(request: &AnyRequest, limit: Duration) -> Fault {
    let message = format!("the provider's node did not answer within {} s", limit.as_secs());
    Fault::new(Side::ClientProxy, Reason::Timeout, message).advised(advice(request))
}

/// What to do about a request that went out whole, and of which nothing more is known.
fn advice(request: &AnyRequest) -> &'static str {
    if request.is_safe() {
        "Try again later"
    } else {
        "Whether the request was carried out is not known: ask the provider before it is sent again"
    }
}

/// Reads the answer of a peer. `keep` says whether the request was sent to its end: the connection may then be used again.
pub(super) async fn receive(dispatch: &Dispatch<'_>, mut response: PeerResponse, keep: bool) -> Result<Came, Fault> {
    let Dispatch { core, request, .. } = *dispatch;
    let malformed = fault(Side::ClientProxy, Reason::ServiceFailed, "The provider's node is to be looked at");
    let limits = core.config.limits;
    let mut pace = Pace::new(limits.exchange_timeout, limits.bytes_per_s_min);
    let content_type = response.content_type().to_owned();
    if content_type.to_ascii_lowercase().starts_with(transport::TEXT_XML) {
        return receive_fault(request, response, pace, keep).await.map(Came::from);
    }
    let reader = EnvelopeReader::new(Kind::Response, &content_type, Limits::with_body(limits.body_bytes_max));
    let hash = transport::hash_algorithm(response.header(transport::HASH_ALGORITHM)).map_err(unreadable)?;
    let mut reader = reader.map_err(&malformed)?.with_spool(&core.spool).digesting(hash);
    while let Some(slice) = next(request, &mut response, &mut pace).await? {
        reader.push(slice).map_err(unreadable)?;
        reader.settle().await.map_err(unreadable)?;
    }
    let original = response.header("x-original-content-type").map(str::to_owned);
    if keep {
        response.done();
    }
    Ok(Came { received: reader.close().await.map_err(unreadable)?, original })
}

/// A fault instead of a message. A peer may send it while it still takes what we send, so its end is looked for and not waited for.
async fn receive_fault(
    request: &AnyRequest,
    mut response: PeerResponse,
    mut pace: Pace,
    keep: bool,
) -> Result<Received, Fault> {
    let mut bytes = BytesMut::new();
    while let Some(slice) = next(request, &mut response, &mut pace).await? {
        bytes.extend_from_slice(&slice);
        if bytes.len() > FAULT_BYTES_MAX {
            break;
        }
        if !keep && let Ok(fault) = transport::read_fault(&bytes) {
            return Ok(Received::Fault(fault));
        }
    }
    if keep {
        response.done();
    }
    transport::read_fault(&bytes).map(Received::Fault).map_err(unreadable)
}

/// A fault of a peer may have this many bytes.
const FAULT_BYTES_MAX: usize = 64 * 1024;

async fn next(request: &AnyRequest, response: &mut PeerResponse, pace: &mut Pace) -> Result<Option<Bytes>, Fault> {
    pace.next(response.body()).await.map_err(|error| {
        let fault = match error {
            PaceError::Slow { .. } => {
                let message = format!("the provider's node did not answer in time: {error}");
                Fault::new(Side::ClientProxy, Reason::Timeout, message)
            }
            PaceError::Broken(reason) => response.cut(&reason),
        };
        fault.advised(advice(request))
    })
}

fn unreadable(error: TransportError) -> Fault {
    match error {
        TransportError::Spool(reason) => super::exchange::spool_fault(reason),
        TransportError::TooLarge { bytes_max, .. } => {
            let message = format!("the answer has more than {bytes_max} bytes. Ask for less, or for a larger limit");
            Fault::new(Side::ClientProxy, Reason::BodyTooLarge, message)
        }
        error => fault(Side::ClientProxy, Reason::ServiceFailed, "The provider's node is to be looked at")(error),
    }
}
