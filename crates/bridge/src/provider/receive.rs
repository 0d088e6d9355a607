//! A message of another node as it comes in: read, its bodies spooled, nothing of it verified yet.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use hyper::body::Incoming;

use crate::config::PeerVersion;
use crate::core::Core;
use crate::fault::{Fault, Reason, Side};
use crate::pace::{Pace, PaceError};
use crate::transport::{self, Envelope, EnvelopeReader, Kind, Limits, Received, TransportError};

const SIDE: Side = Side::ServerProxy;

/// Reads a request. What is left of its body after a fault belongs to the caller of this function.
pub(super) async fn receive(core: &Core, head: &Parts, body: &mut Incoming) -> Result<Envelope, Fault> {
    if head.method != Method::POST {
        return Err(Fault::new(SIDE, Reason::InvalidHttpMethod, "nodes send each other POST requests only"));
    }
    let limits = core.config.limits;
    check_version(limits.peer_version_min, &head.headers)?;
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(CONTENT_TYPE.as_str()).unwrap_or_default();
    let reader = EnvelopeReader::new(Kind::Request, content_type, Limits::with_body(limits.body_bytes_max));
    let mut reader = reader
        .map_err(|error| {
            let message = format!("{error}. Send the message as PR-MESSTRANSP says");
            Fault::new(SIDE, Reason::InvalidContentType, message)
        })?
        .with_spool(&core.spool)
        .digesting(transport::hash_algorithm(text(transport::HASH_ALGORITHM)).map_err(unreadable)?);
    let mut pace = Pace::new(limits.request_timeout, limits.bytes_per_s_min);
    while let Some(slice) = pace.next(body).await.map_err(slow_or_broken)? {
        reader.push(slice).map_err(unreadable)?;
        reader.settle().await.map_err(unreadable)?;
    }
    match reader.close().await.map_err(unreadable)? {
        Received::Message(envelope) => Ok(*envelope),
        Received::Fault(_) => Err(Fault::new(SIDE, Reason::MissingRest, "a fault is no request")),
    }
}

/// Refuses nodes that are older than the operator wants. A node that names no version is as old as can be.
fn check_version(least: Option<PeerVersion>, headers: &HeaderMap) -> Result<(), Fault> {
    let Some(least) = least else { return Ok(()) };
    let named = headers.get("x-proxy-version").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match named.parse::<PeerVersion>() {
        Ok(version) if version >= least => Ok(()),
        _ => {
            let message = format!("the calling node must have version {least} at least. Its operator is to update it");
            Err(Fault::new(SIDE, Reason::PeerVersion, message))
        }
    }
}

fn slow_or_broken(error: PaceError) -> Fault {
    let (reason, what_to_do) = match error {
        PaceError::Slow { .. } => (Reason::Timeout, "Send it again, faster"),
        PaceError::Broken(_) => (Reason::IoError, "Send it again"),
    };
    Fault::new(SIDE, reason, format!("the message did not arrive: {error}. {what_to_do}"))
}

fn unreadable(error: TransportError) -> Fault {
    let (reason, what_to_do) = match &error {
        TransportError::TooLarge { bytes_max, part } => {
            let message = format!("the {part} of the message is over the limit of {bytes_max} bytes. Send less");
            return Fault::new(SIDE, Reason::BodyTooLarge, message);
        }
        TransportError::Spool(_) => (Reason::IoError, "Try again later; the provider's node has no place for the body"),
        TransportError::Truncated(_) => (Reason::MissingSignature, "Send the whole message"),
        TransportError::HashAlgorithm(_) => (Reason::InvalidMessage, "Say so in the header x-hash-algorithm"),
        TransportError::Order { .. } => (Reason::InvalidContentType, "Send the parts in their order"),
        _ => (Reason::MimeParsingFailed, "Send the message again"),
    };
    Fault::new(SIDE, reason, format!("{error}. {what_to_do}"))
}
