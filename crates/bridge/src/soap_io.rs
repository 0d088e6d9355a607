//! SOAP messages on their way between a node and an information system, in both directions: read with their attachments spooled, written
//! from memory or the spool. Only Content-Type and SOAPAction of HTTP survive the way (PR-MESS §2.7).

use std::sync::Arc;

use http::HeaderMap;
use hyper::body::{Body as HttpBody, Incoming};

use crate::core::Core;
use crate::message::soap::{
    ContentType, MimeHeaders, Related, RelatedEvent, Soap, SoapError, closing_delimiter, part_head,
};
use crate::pace::{Pace, PaceError};
use crate::spool::{Body, Collector, Flow, FlowError, FlowSender, SpoolError};
use crate::transport::{Attachment, Envelope, EnvelopeWriter, Kind};

/// What came from an information system.
pub(crate) struct SoapArrival {
    pub(crate) soap: Soap,
    /// The headers of the SOAP part beside the Content-Type.
    pub(crate) headers: MimeHeaders,
    pub(crate) attachments: Vec<Attachment>,
    /// The Content-Type of the whole.
    pub(crate) original: ContentType,
}

/// Why a message of an information system is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArrivalError {
    /// It is no message of the protocol.
    #[error(transparent)]
    Soap(#[from] SoapError),
    /// It did not come whole, or not in time.
    #[error(transparent)]
    Pace(#[from] PaceError),
    /// All of it is larger than allowed.
    #[error("the message has more than {0} bytes")]
    TooLarge(u64),
    /// The node has no place for it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Reads a message: the SOAP part into memory, attachments there too while they are small, else into the spool.
pub(crate) async fn read(
    core: &Core,
    headers: &HeaderMap,
    body: &mut Incoming,
    mut pace: Pace,
) -> Result<SoapArrival, ArrivalError> {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let bytes_max = core.config.limits.body_bytes_max;
    if body.size_hint().lower() > bytes_max {
        return Err(ArrivalError::TooLarge(bytes_max));
    }
    let mut related = Related::new(content_type)?;
    let mut gathering = Gathering { core, soap: None, done: Vec::new(), open: None };
    let mut length = 0;
    while let Some(slice) = pace.next(body).await? {
        length += slice.len() as u64;
        if length > bytes_max {
            return Err(ArrivalError::TooLarge(bytes_max));
        }
        let mut events = Vec::new();
        related.push(&slice, &mut |event| {
            events.push(event);
            Ok(())
        })?;
        gathering.take(events).await?;
    }
    let mut events = Vec::new();
    related.finish(&mut |event| {
        events.push(event);
        Ok(())
    })?;
    gathering.take(events).await?;
    let (soap, headers) = gathering.soap.ok_or(SoapError::MissingSoap)?;
    Ok(SoapArrival { soap, headers, attachments: gathering.done, original: related.content_type().clone() })
}

struct Gathering<'c> {
    core: &'c Core,
    soap: Option<(Soap, MimeHeaders)>,
    done: Vec<Attachment>,
    open: Option<(MimeHeaders, Collector)>,
}

impl Gathering<'_> {
    async fn take(&mut self, events: Vec<RelatedEvent>) -> Result<(), SpoolError> {
        for event in events {
            match event {
                RelatedEvent::Soap(soap, headers) => self.soap = Some((soap, headers)),
                RelatedEvent::Attachment(headers) => {
                    self.open = Some((headers, Collector::spooled(Arc::clone(&self.core.spool))));
                }
                RelatedEvent::Data(data) => {
                    if let Some((_, collector)) = &mut self.open {
                        collector.push(data);
                        collector.settle().await?;
                    }
                }
                RelatedEvent::End => {
                    if let Some((headers, collector)) = self.open.take() {
                        self.done.push(Attachment { headers, body: collector.finish().await? });
                    }
                }
            }
        }
        Ok(())
    }
}

/// What goes to an information system.
#[derive(Clone, Copy)]
pub(crate) struct SoapDeparture<'d> {
    /// The Content-Type of the SOAP part.
    pub(crate) content_type: &'d str,
    pub(crate) headers: &'d [(String, String)],
    pub(crate) bytes: &'d bytes::Bytes,
    pub(crate) attachments: &'d [Attachment],
    /// The Content-Type of the whole at the other end, where it is known.
    pub(crate) original: Option<&'d ContentType>,
}

impl SoapDeparture<'_> {
    /// The Content-Type of the whole, and its body. A multipart message gets a boundary of its own: that of the other end stands in
    /// no signature, and could cut the parts anew.
    pub(crate) fn write(&self, core: &Core) -> (String, Flow) {
        let related = self.original.filter(|original| original.is_related());
        if related.is_none() && self.attachments.is_empty() {
            return (self.lone_content_type(), Flow::from(self.bytes.clone()));
        }
        let boundary = format!("xsoap{}", civic::random_hex::<15>(&*core.random));
        let plain = || ContentType::parse("multipart/related").with_parameter("type", "text/xml");
        let kind = related.cloned().unwrap_or_else(plain).with_parameter("boundary", &boundary);
        let mut pieces = vec![
            Piece::Bytes(part_head(&boundary, true, Some(self.content_type), self.headers)),
            Piece::Bytes(self.bytes.clone()),
        ];
        for attachment in self.attachments {
            let content_type = attachment.content_type().unwrap_or("application/octet-stream");
            let others: MimeHeaders =
                attachment.headers.iter().filter(|(name, _)| !is_content_type(name)).cloned().collect();
            pieces.push(Piece::Bytes(part_head(&boundary, false, Some(content_type), &others)));
            pieces.push(Piece::Body(attachment.body.clone()));
        }
        pieces.push(Piece::Bytes(closing_delimiter(&boundary)));
        (kind.to_string(), flow(pieces))
    }

    /// A lone part says its charset: what reads HTTP must not guess.
    fn lone_content_type(&self) -> String {
        let kind = ContentType::parse(self.content_type);
        if kind.parameter("charset").is_some() {
            kind.to_string()
        } else {
            kind.with_parameter("charset", "UTF-8").to_string()
        }
    }
}

fn is_content_type(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-type")
}

/// A piece of a body on its way out.
pub(crate) enum Piece {
    /// Bytes in memory.
    Bytes(bytes::Bytes),
    /// A kept body.
    Body(Body),
}

/// The pieces one after the other: in one piece where all are in memory, else as they are read.
pub(crate) fn flow(pieces: Vec<Piece>) -> Flow {
    let in_memory = pieces.iter().map(|piece| match piece {
        Piece::Bytes(bytes) => Some(bytes),
        Piece::Body(body) => body.memory(),
    });
    if let Some(all) = in_memory.collect::<Option<Vec<_>>>() {
        let mut out = bytes::BytesMut::with_capacity(all.iter().map(|bytes| bytes.len()).sum());
        for bytes in all {
            out.extend_from_slice(bytes);
        }
        return Flow::from(out.freeze());
    }
    let (sender, made) = Flow::made();
    tokio::spawn(async move {
        for piece in pieces {
            if !give(&sender, piece).await {
                return;
            }
        }
    });
    made
}

/// Whether the other side still takes.
async fn give(sender: &FlowSender, piece: Piece) -> bool {
    match piece {
        Piece::Bytes(bytes) => sender.send(Ok(bytes)).await.is_ok(),
        Piece::Body(body) => {
            let mut reader = body.reader();
            while let Some(slice) = reader.next().await {
                if sender.send(slice.map_err(FlowError::from)).await.is_err() {
                    return false;
                }
            }
            true
        }
    }
}

/// A whole message between nodes on its way out.
pub(crate) enum Laid {
    /// In one piece.
    Whole(bytes::Bytes),
    /// Bodies of the spool are read as they are sent.
    Stream(Flow),
}

impl From<Laid> for Flow {
    fn from(laid: Laid) -> Self {
        match laid {
            Laid::Whole(bytes) => Self::from(bytes),
            Laid::Stream(flow) => flow,
        }
    }
}

/// Lays a whole message between nodes down.
pub(crate) fn lay_down(kind: Kind, boundary: &str, envelope: &Envelope) -> Laid {
    let mut writer = EnvelopeWriter::new(boundary, envelope.memory_bytes() + 1024);
    let mut pieces = Vec::new();
    writer.start(kind, &envelope.ocsp, &envelope.message);
    for attachment in &envelope.attachments {
        writer.begin_attachment(attachment);
        match attachment.body.memory() {
            Some(bytes) => writer.content(bytes),
            None => pieces.extend([Piece::Bytes(writer.take()), Piece::Body(attachment.body.clone())]),
        }
    }
    writer.sign(envelope.batch.as_ref(), &envelope.signature);
    if pieces.is_empty() {
        return Laid::Whole(writer.take());
    }
    pieces.push(Piece::Bytes(writer.take()));
    Laid::Stream(flow(pieces))
}
