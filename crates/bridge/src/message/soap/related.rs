use bytes::{Bytes, BytesMut};

use super::multipart::{MultipartParser, PartEvent};
use super::{ContentType, SOAP_PART_BYTES_MAX, Soap, SoapError, SoapMessage};

/// A part may have this many headers.
pub const PART_HEADERS_MAX: usize = 32;
/// A message may have this many attachments.
const ATTACHMENTS_MAX: usize = 64;
/// Multipart in multipart; X-Road's reader takes the innermost parts, whatever holds them.
const DEPTH_MAX: usize = 4;

/// The headers of a part in their order: names in the case in which they came, folded values joined.
pub type MimeHeaders = Vec<(String, String)>;

/// What [`Related`] found, in the order of the message.
#[derive(Clone, Debug)]
pub enum RelatedEvent {
    /// The SOAP part, judged; always first. With the headers of its part, Content-Type left out.
    Soap(Soap, MimeHeaders),
    /// An attachment begins; its headers hold a Content-Type.
    Attachment(MimeHeaders),
    /// Content of the attachment.
    Data(Bytes),
    /// The attachment ended.
    End,
}

/// Reads the message of an information system in slices: a lone SOAP part (text/xml, application/xop+xml), or multipart/related with the
/// SOAP part first (SOAP with Attachments, MTOM). It keeps the SOAP part in memory, attachments go to the sink as they come.
pub struct Related {
    kind: ContentType,
    level: Option<Level>,
    leaves: Leaves,
}

/// One multipart body; a part of it may be one itself.
struct Level {
    parser: MultipartParser,
    inner: Option<Box<Level>>,
}

struct Leaves {
    soap: Option<SoapPart>,
    judged: bool,
    attachments: usize,
}

struct SoapPart {
    content_type: String,
    headers: MimeHeaders,
    bytes: BytesMut,
}

type Sink<'s> = &'s mut dyn FnMut(RelatedEvent) -> Result<(), SoapError>;

impl Related {
    /// A reader for a message with this Content-Type.
    pub fn new(content_type: Option<&str>) -> Result<Self, SoapError> {
        let text = content_type.ok_or(SoapError::NoContentType)?;
        let kind = ContentType::parse(text);
        let level = if kind.is_related() {
            Some(Level::new(&kind)?)
        } else if kind.is_soap() {
            None
        } else {
            return Err(SoapError::ContentType(super::cut(kind.essence())));
        };
        let lone = level.is_none().then(|| SoapPart {
            content_type: text.to_owned(),
            headers: Vec::new(),
            bytes: BytesMut::new(),
        });
        Ok(Self { kind, level, leaves: Leaves { soap: lone, judged: false, attachments: 0 } })
    }

    /// The Content-Type of the whole.
    pub const fn content_type(&self) -> &ContentType {
        &self.kind
    }

    /// Takes the next slice and tells `sink` what it holds.
    pub fn push(&mut self, chunk: &[u8], sink: Sink<'_>) -> Result<(), SoapError> {
        match &mut self.level {
            Some(level) => level.push(chunk, DEPTH_MAX, &mut self.leaves, sink),
            None => self.leaves.data(Bytes::copy_from_slice(chunk), sink),
        }
    }

    /// Ends the message. It must have been whole, with a SOAP part.
    pub fn finish(&mut self, sink: Sink<'_>) -> Result<(), SoapError> {
        match &mut self.level {
            Some(level) => level.finish(DEPTH_MAX, &mut self.leaves, sink)?,
            None => self.leaves.end(sink)?,
        }
        if self.leaves.judged { Ok(()) } else { Err(SoapError::MissingSoap) }
    }

    /// Reads a whole message: the SOAP part with its headers, and the attachments.
    pub fn read(content_type: Option<&str>, bytes: &[u8]) -> Result<(Soap, Vec<(MimeHeaders, Bytes)>), SoapError> {
        let mut soap = None;
        let mut attachments: Vec<(MimeHeaders, BytesMut)> = Vec::new();
        let mut sink = |event| {
            match event {
                RelatedEvent::Soap(found, _) => soap = Some(found),
                RelatedEvent::Attachment(headers) => attachments.push((headers, BytesMut::new())),
                RelatedEvent::Data(data) => {
                    if let Some((_, content)) = attachments.last_mut() {
                        content.extend_from_slice(&data);
                    }
                }
                RelatedEvent::End => {}
            }
            Ok(())
        };
        let mut reader = Self::new(content_type)?;
        reader.push(bytes, &mut sink)?;
        reader.finish(&mut sink)?;
        let attachments = attachments.into_iter().map(|(headers, content)| (headers, content.freeze())).collect();
        Ok((soap.ok_or(SoapError::MissingSoap)?, attachments))
    }
}

impl Level {
    fn new(kind: &ContentType) -> Result<Self, SoapError> {
        let boundary = kind.boundary().ok_or(SoapError::Multipart("the Content-Type names no usable boundary"))?;
        Ok(Self { parser: MultipartParser::new(boundary), inner: None })
    }

    fn push(&mut self, chunk: &[u8], depth: usize, leaves: &mut Leaves, sink: Sink<'_>) -> Result<(), SoapError> {
        let Self { parser, inner } = self;
        parser.push(chunk, &mut |event| Self::event(inner, event, depth, leaves, sink))
    }

    fn finish(&mut self, depth: usize, leaves: &mut Leaves, sink: Sink<'_>) -> Result<(), SoapError> {
        let Self { parser, inner } = self;
        parser.finish(&mut |event| Self::event(inner, event, depth, leaves, sink))
    }

    fn event(
        inner: &mut Option<Box<Self>>,
        event: PartEvent,
        depth: usize,
        leaves: &mut Leaves,
        sink: Sink<'_>,
    ) -> Result<(), SoapError> {
        match (event, inner.as_mut()) {
            (PartEvent::Start(headers), _) => {
                let content_type = headers.iter().find(|header| header.0.eq_ignore_ascii_case("content-type"));
                let kind = content_type.map(|header| ContentType::parse(&header.1));
                match kind.filter(ContentType::is_multipart) {
                    Some(_) if depth == 0 => Err(SoapError::Multipart("its parts are nested too deep")),
                    Some(kind) => {
                        *inner = Some(Box::new(Self::new(&kind)?));
                        Ok(())
                    }
                    None => leaves.start(headers, sink),
                }
            }
            (PartEvent::Data(data), Some(nested)) => nested.push(&data, depth - 1, leaves, sink),
            (PartEvent::Data(data), None) => leaves.data(data, sink),
            (PartEvent::End, Some(nested)) => {
                let whole = nested.finish(depth - 1, leaves, sink);
                *inner = None;
                whole
            }
            (PartEvent::End, None) => leaves.end(sink),
        }
    }
}

impl Leaves {
    fn start(&mut self, mut headers: MimeHeaders, sink: Sink<'_>) -> Result<(), SoapError> {
        let at = headers.iter().position(|header| header.0.eq_ignore_ascii_case("content-type"));
        let content_type = at.and_then(|at| headers.get(at)).map(|header| header.1.clone());
        let content_type = content_type.ok_or(SoapError::PartContentType)?;
        if self.judged {
            self.attachments += 1;
            if self.attachments > ATTACHMENTS_MAX {
                return Err(SoapError::TooLarge { what: "the number of attachments", max: ATTACHMENTS_MAX });
            }
            return sink(RelatedEvent::Attachment(headers));
        }
        let kind = ContentType::parse(&content_type);
        if !kind.is_soap() {
            return Err(SoapError::ContentType(super::cut(kind.essence())));
        }
        headers.retain(|header| !header.0.eq_ignore_ascii_case("content-type"));
        self.soap = Some(SoapPart { content_type, headers, bytes: BytesMut::new() });
        Ok(())
    }

    fn data(&mut self, data: Bytes, sink: Sink<'_>) -> Result<(), SoapError> {
        let Some(soap) = &mut self.soap else { return sink(RelatedEvent::Data(data)) };
        if soap.bytes.len() + data.len() > SOAP_PART_BYTES_MAX {
            return Err(SoapError::TooLarge { what: "the SOAP part", max: SOAP_PART_BYTES_MAX });
        }
        soap.bytes.extend_from_slice(&data);
        Ok(())
    }

    fn end(&mut self, sink: Sink<'_>) -> Result<(), SoapError> {
        let Some(soap) = self.soap.take() else { return sink(RelatedEvent::End) };
        self.judged = true;
        let judged = SoapMessage::parse(&soap.content_type, soap.bytes.freeze())?;
        sink(RelatedEvent::Soap(judged, soap.headers))
    }
}

/// What stands before the content of a part: the boundary, its headers, the blank line.
pub fn part_head(boundary: &str, first: bool, content_type: Option<&str>, headers: &[(String, String)]) -> Bytes {
    let mut out = String::with_capacity(128);
    if !first {
        out.push_str("\r\n");
    }
    out.push_str("--");
    out.push_str(boundary);
    out.push_str("\r\n");
    let own = content_type.map(|value| ("Content-Type", value));
    for (name, value) in own.into_iter().chain(headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        out.push_str(name);
        out.push_str(": ");
        out.push_str(value);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    Bytes::from(out)
}

/// What stands behind the last part.
pub fn closing_delimiter(boundary: &str) -> Bytes {
    Bytes::from(format!("\r\n--{boundary}--\r\n"))
}
