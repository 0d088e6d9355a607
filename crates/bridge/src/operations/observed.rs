//! Watching one exchange from its first byte to its answer.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use civic::Timestamp;

use super::lock;
use super::record::{OperationalData, ServerType, masked_path};
use crate::config::SubjectRule;
use crate::core::Core;
use crate::fault::Fault;
use crate::message::{AnyRequest, RestRequest, SoapRequest};
use crate::registry::ServiceKind;
use crate::transport::{Envelope, Message};

/// An exchange under way. Whoever works on it holds a reference; when the last one goes the exchange is over and its record is made,
/// however it ended. Moments are the clock's at the begin and a stopwatch's from there: they never run backwards.
pub(crate) struct Observed {
    core: Arc<Core>,
    began: Timestamp,
    started: Instant,
    seen: Mutex<Seen>,
}

struct Seen {
    data: OperationalData,
    fault: Option<Fault>,
    answered_here: bool,
}

impl Observed {
    /// A request came in.
    pub(crate) fn begin(core: &Arc<Core>, server_type: ServerType) -> Arc<Self> {
        let began = core.clock.now();
        let data = OperationalData::begun(server_type, began);
        let seen = Mutex::new(Seen { data, fault: None, answered_here: false });
        Arc::new(Self { core: Arc::clone(core), began, started: Instant::now(), seen })
    }

    /// Who asks for what. `service` is what is known of the service here; it is `None` on the side of the caller.
    pub(crate) fn asked(&self, request: &AnyRequest, service: Option<(ServiceKind, &SubjectRule)>) {
        match request {
            AnyRequest::Rest(request) => self.rest(request, service),
            AnyRequest::Soap(request) => self.soap(request),
        }
    }

    fn soap(&self, request: &SoapRequest) {
        let header = request.message.header();
        self.edit(|data| {
            data.client = Some(header.client.clone());
            data.service = Some(header.service.clone());
            data.service_version.clone_from(&header.service_version);
            data.message_id = Some(header.id.clone());
            data.issue.clone_from(&header.issue);
            data.represented_party = header
                .represented_party
                .as_ref()
                .map(|party| (party.class.clone(), party.code.clone().unwrap_or_default()));
            data.protocol_version = Some(header.protocol_version.clone());
            data.x_request_id = Some(request.request_id.clone());
            data.service_type = Some(ServiceKind::Soap);
        });
    }

    fn rest(&self, request: &RestRequest, service: Option<(ServiceKind, &SubjectRule)>) {
        self.edit(|data| {
            data.client = Some(request.client().clone());
            data.service = Some(request.service().clone());
            data.message_id = Some(request.message_id().to_owned());
            data.issue = request.header("x-road-issue").map(str::to_owned);
            data.represented_party = request.header("x-road-represented-party").map(|party| {
                party
                    .split_once('/')
                    .map_or_else(|| (None, party.to_owned()), |(class, code)| (Some(class.to_owned()), code.to_owned()))
            });
            data.protocol_version = Some("1".to_owned());
            data.x_request_id = Some(request.request_id().to_owned());
            data.rest_method = Some(request.verb().as_str());
            data.request_attachments = Some(0);
            match (data.server_type, service) {
                (ServerType::Client, _) => data.service_type = Some(ServiceKind::Rest),
                (ServerType::Producer, Some((kind, rule))) => {
                    data.service_type = Some(kind);
                    data.rest_path = masked_path(request.service_path(), rule);
                }
                // The path to a service that does not exist may hold anything.
                (ServerType::Producer, None) => {}
            }
        });
    }

    /// Whatever else is known.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut OperationalData)) {
        edit(&mut lock(&self.seen).data);
    }

    /// The request was sent on.
    pub(crate) fn sent(&self) {
        let now = self.now();
        self.edit(|data| _ = data.request_out.get_or_insert(now));
    }

    /// The answer came.
    pub(crate) fn received(&self) {
        let now = self.now();
        self.edit(|data| _ = data.response_in.get_or_insert(now));
    }

    /// The node itself answers: X-Road then writes the moments of its own side for both.
    pub(crate) fn answered_here(&self) {
        let mut seen = lock(&self.seen);
        seen.answered_here = true;
        seen.data.service_type.get_or_insert(ServiceKind::Rest);
    }

    /// The request as it is sent or came.
    pub(crate) fn request(&self, envelope: &Envelope) {
        self.edit(|data| match envelope.message {
            Message::Rest(_) => data.request_size = Some(size(envelope)),
            Message::Soap { .. } => {
                let (part, whole, attachments) = soap_sizes(envelope);
                (data.request_size, data.request_mime_size, data.request_attachments) =
                    (Some(part), whole, Some(attachments));
            }
        });
    }

    /// The answer and its status.
    pub(crate) fn response(&self, status: u16, envelope: &Envelope) {
        self.edit(|data| {
            data.succeeded = status < 400;
            match envelope.message {
                Message::Rest(_) => {
                    data.status_code = Some(status);
                    (data.response_size, data.response_attachments) = (Some(size(envelope)), Some(0));
                }
                Message::Soap { .. } => {
                    let (part, whole, attachments) = soap_sizes(envelope);
                    (data.response_size, data.response_mime_size, data.response_attachments) =
                        (Some(part), whole, Some(attachments));
                }
            }
        });
    }

    /// The exchange failed.
    pub(crate) fn failed(&self, fault: &Fault) {
        let mut seen = lock(&self.seen);
        seen.data.succeeded = false;
        seen.data.fault_code = Some(fault.code().to_owned());
        seen.data.fault_string = Some(fault.message().to_owned());
        seen.fault = Some(fault.clone());
    }

    fn now(&self) -> Timestamp {
        self.began.plus(self.started.elapsed())
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let now = self.now();
        let mut data = lock(&self.seen).data.clone();
        data.response_out = now;
        let fault = lock(&self.seen).fault.take();
        if lock(&self.seen).answered_here {
            data.request_out = Some(data.request_in);
            data.response_in = Some(now);
        }
        self.core.metrics.observe(&data, fault.as_ref(), self.started.elapsed());
        let dropped = self.core.operations.record(data);
        self.core.metrics.records_dropped(dropped);
    }
}

/// Bytes of the SOAP part; of all parts, where there are attachments; and their number.
fn soap_sizes(envelope: &Envelope) -> (u64, Option<u64>, u32) {
    let attachments = u32::try_from(envelope.attachments.len()).unwrap_or(u32::MAX);
    let part = u64::try_from(envelope.message.bytes().len()).unwrap_or(u64::MAX);
    (part, (attachments > 0).then(|| size(envelope)), attachments)
}

/// Bytes of a message with its body or attachments.
fn size(envelope: &Envelope) -> u64 {
    let head = u64::try_from(envelope.message.bytes().len()).unwrap_or(u64::MAX);
    envelope.attachments.iter().fold(head, |sum, attachment| sum.saturating_add(attachment.body.len()))
}
