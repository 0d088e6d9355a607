//! Management requests (PR-MSERV) as X-Road messages of the node itself: to the node of the management service, signed and logged like any.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use trust::mserv::Envelope;

use super::exchange;
use super::send::Dispatch;
use trust::digest::DigestAlgorithm;

use crate::core::Core;
use crate::fault::{Fault, Reason, Side};
use crate::message::soap::{ContentType, Soap, SoapError, SoapMessage};
use crate::message::{AnyRequest, AnyResponse, SoapRequest};
use crate::operations::{Observed, ServerType};
use crate::spool::Body;
use crate::transport::Attachment;

/// Sends a request with the proofs beside it; answers the SOAP message that comes back. The owner of a node is always its client, so
/// the registry of the node is not asked.
pub(crate) async fn send(core: &Arc<Core>, envelope: &Envelope) -> Result<Bytes, Fault> {
    let observed = Observed::begin(core, ServerType::Client);
    let outcome = ask(core, envelope, &observed).await;
    if let Err(fault) = &outcome {
        observed.failed(fault);
    }
    outcome
}

async fn ask(core: &Arc<Core>, envelope: &Envelope, observed: &Observed) -> Result<Bytes, Fault> {
    // The body itself is written by the exchange; only its type says how the service is to be asked.
    let (whole_type, _) = envelope.to_http(&*core.random);
    let malformed = |error: &dyn std::fmt::Display| {
        Fault::new(Side::ClientProxy, Reason::InternalError, format!("{error}. This is a defect of the program"))
    };
    let head = Request::post("/").header(CONTENT_TYPE, &whole_type).body(());
    let (head, ()) = head.map_err(|error| malformed(&error))?.into_parts();
    let soap = SoapMessage::parse("text/xml; charset=UTF-8", Bytes::from(envelope.soap.clone()));
    let Soap::Message(message) = soap.map_err(|error: SoapError| malformed(&error))? else {
        return Err(malformed(&"the request is a fault"));
    };
    let request = AnyRequest::Soap(Box::new(SoapRequest {
        original: ContentType::parse(&whole_type),
        message: *message,
        headers: Vec::new(),
        action: None,
        request_id: core.uuid(),
    }));
    observed.asked(&request, None);
    let targets = exchange::reachable(core, &request, observed)?;
    let dispatch =
        Dispatch { core, targets: &targets, request: &request, head: &head, hash: DigestAlgorithm::Sha512, observed };
    let attachments = envelope.attachments().into_iter().map(|(headers, content)| Attachment {
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: Body::from(Bytes::copy_from_slice(content)),
    });
    // On the heap: the future of an exchange is large, and nobody hurries here.
    match Box::pin(exchange::exchange_kept(&dispatch, attachments.collect())).await?.response {
        AnyResponse::Soap(message, _) => Ok(message.bytes().clone()),
        AnyResponse::Rest(_) => {
            let message = "the management service answered by REST. Its node is to be looked at";
            Err(Fault::new(Side::ClientProxy, Reason::InconsistentResponse, message))
        }
    }
}
