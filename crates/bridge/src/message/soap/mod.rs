//! Messages of the SOAP protocol 4.0 (PR-MESS; facts §1.2): values and bytes, no I/O.
//!
//! The bytes of the SOAP part are what is signed, logged and sent, so they are kept exactly as they came; every field was read from
//! them by `trust::xml`. [`Related`] reads what an information system sends (a lone SOAP part, or multipart/related with attachments);
//! [`SoapMessage::parse`] judges a SOAP part. Verdicts and codes are those of X-Road's own reader, stricter where two readers
//! could understand a message differently: a second Header or Body, an id that contradicts its objectType, a message that breaks off.

mod action;
mod content_type;
mod encoding;
mod fault;
mod header;
mod multipart;
mod related;
mod splice;

pub use action::soap_action;
pub use content_type::ContentType;
pub use fault::SoapFault;
pub use header::{RepresentedParty, RequestHash, SecurityToken, SoapHeader};
pub use multipart::{MultipartParser, PartEvent};
pub use related::{MimeHeaders, PART_HEADERS_MAX, Related, RelatedEvent, closing_delimiter, part_head};

use bytes::Bytes;
use trust::digest;
use trust::xml::{Document, Element, Limits, XmlError};

use crate::fault::Reason;

/// Namespace of the SOAP 1.1 envelope.
pub const SOAP_NAMESPACE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// Namespace of X-Road's header elements and metaservices.
pub const XROAD_NAMESPACE: &str = "http://x-road.eu/xsd/xroad.xsd";
/// Namespace of X-Road's identifiers.
pub const IDENTIFIERS_NAMESPACE: &str = "http://x-road.eu/xsd/identifiers";
/// Namespace of the represented party (PR-THIRDPARTY).
pub const REPRESENTATION_NAMESPACE: &str = "http://x-road.eu/xsd/representation.xsd";
/// Namespace of the security token (PR-SECTOKEN).
pub const SECURITY_TOKEN_NAMESPACE: &str = "http://x-road.eu/xsd/security-token.xsd";
/// The SOAP part may have this many bytes: it is held in memory as a whole.
pub const SOAP_PART_BYTES_MAX: usize = 10 * 1024 * 1024;

const LIMITS: Limits = Limits {
    bytes_max: SOAP_PART_BYTES_MAX * 2,
    depth_max: 128,
    nodes_max: 1_000_000,
    attributes_max: 256,
    namespaces_max: 256,
};

/// Why bytes are no message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoapError {
    /// There is no Content-Type.
    #[error("the Content-Type is missing: text/xml, application/xop+xml or multipart/related is needed")]
    NoContentType,
    /// A Content-Type that a message or its SOAP part may not have.
    #[error("`{0}` may not stand here: text/xml, application/xop+xml or (for the whole) multipart/related is needed")]
    ContentType(String),
    /// A part of a multipart message without Content-Type.
    #[error("a part of the message has no Content-Type")]
    PartContentType,
    /// The multipart structure is malformed.
    #[error("the multipart message is malformed: {0}")]
    Multipart(&'static str),
    /// A limit is passed.
    #[error("{what} is over the limit of {max}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit, bytes or number.
        max: usize,
    },
    /// A multipart message without any part.
    #[error("the message holds no SOAP part")]
    MissingSoap,
    /// No XML that is read here.
    #[error("{0}")]
    Xml(#[from] XmlError),
    /// The encoding is not read here.
    #[error("the encoding {0} is not read; write UTF-8")]
    Encoding(String),
    /// Another element than Envelope at the top.
    #[error("the SOAP 1.1 Envelope is missing")]
    Envelope,
    /// There is no Header.
    #[error("the SOAP Header is missing")]
    MissingHeader,
    /// A mandatory header field is absent.
    #[error("the header field {0} is missing")]
    MissingField(&'static str),
    /// A field stands twice.
    #[error("{0} stands twice")]
    Duplicate(&'static str),
    /// An identifier is malformed.
    #[error("the identifier {field} is wrong: {reason}")]
    Identifier {
        /// The header field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A header field has a value that cannot be used.
    #[error("the header field {field} is wrong: {reason}")]
    Field {
        /// The header field.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another version of the protocol.
    #[error("protocolVersion is `{0}`; 4.0 is spoken here")]
    ProtocolVersion(String),
    /// There is no Body.
    #[error("the SOAP Body is missing")]
    MissingBody,
    /// The body holds none or several elements.
    #[error("the SOAP Body must have exactly one element")]
    Body,
    /// The element of the body does not begin with the service code.
    #[error("the body holds {found}; its element must have the name of the service code {code}")]
    Inconsistent {
        /// The local name of the element, cut to 64 characters.
        found: String,
        /// The service code.
        code: String,
    },
    /// SOAPAction is malformed.
    #[error("SOAPAction must be empty or a URI between double quotes")]
    SoapAction,
}

impl SoapError {
    /// The end of the error type, as X-Road has it.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoContentType => Reason::InvalidRequest,
            Self::ContentType(_) | Self::PartContentType => Reason::InvalidContentType,
            Self::Multipart(_) => Reason::MimeParsingFailed,
            Self::TooLarge { .. } => Reason::BodyTooLarge,
            Self::MissingSoap => Reason::MissingSoap,
            Self::Xml(_) | Self::Encoding(_) | Self::Envelope => Reason::InvalidSoap,
            Self::MissingHeader => Reason::MissingHeader,
            Self::MissingField(_) => Reason::MissingHeaderField,
            Self::Duplicate(_) => Reason::DuplicateHeaderField,
            Self::Identifier { .. } => Reason::InvalidXml,
            Self::Field { .. } => Reason::BadRequest,
            Self::ProtocolVersion(_) => Reason::InvalidProtocolVersion,
            Self::MissingBody => Reason::MissingBody,
            Self::Body => Reason::InvalidBody,
            Self::Inconsistent { .. } => Reason::InconsistentHeaders,
            Self::SoapAction => Reason::InvalidSoapAction,
        }
    }
}

/// What a SOAP part is.
#[derive(Clone, Debug)]
pub enum Soap {
    /// A request or an answer.
    Message(Box<SoapMessage>),
    /// A fault: it needs no header.
    Fault(SoapFault),
}

/// A request or an answer, with the bytes that were or will be signed.
#[derive(Clone, Debug)]
pub struct SoapMessage {
    content_type: ContentType,
    bytes: Bytes,
    header: SoapHeader,
    body_name: String,
}

impl SoapMessage {
    /// Judges a SOAP part: `content_type` is that of the part.
    pub fn parse(content_type: &str, bytes: Bytes) -> Result<Soap, SoapError> {
        let kind = ContentType::parse(content_type);
        if !kind.is_soap() {
            return Err(SoapError::ContentType(cut(kind.essence())));
        }
        if bytes.len() > SOAP_PART_BYTES_MAX {
            return Err(SoapError::TooLarge { what: "the SOAP part", max: SOAP_PART_BYTES_MAX });
        }
        let read = {
            let text = encoding::utf8(kind.parameter("charset"), &bytes)?;
            read(&Document::parse(&text, &LIMITS)?)?
        };
        Ok(match read {
            Read::Fault(fault) => {
                let text = encoding::utf8(kind.parameter("charset"), &bytes)?.into_owned();
                Soap::Fault(SoapFault { bytes: Some(Bytes::from(text)), ..fault })
            }
            Read::Message(header, body_name) => {
                Soap::Message(Box::new(Self { content_type: kind, bytes, header: *header, body_name }))
            }
        })
    }

    /// The Content-Type of the part.
    pub const fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// The part as it came.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the header says.
    pub const fn header(&self) -> &SoapHeader {
        &self.header
    }

    /// The local name of the element in the body.
    pub fn body_name(&self) -> &str {
        &self.body_name
    }

    /// SHA-512 of the SOAP part: what requestHash of the answer names (PR-MESS §2.6; attachments are not in it).
    pub fn hash(&self) -> [u8; 64] {
        digest::sha512(&self.bytes)
    }

    /// Which field of the header of this answer is not that of its request; `None` where all are (those that X-Road compares).
    pub fn mismatch(&self, request: &Self) -> Option<&'static str> {
        self.header.mismatch(&request.header)
    }

    /// Whether the answer names the hash of this request.
    pub fn names_hash_of(&self, request: &Self) -> bool {
        self.header.request_hash.as_ref().is_some_and(|named| named.value.as_deref() == Some(request.hash().as_slice()))
    }

    /// The same answer with the hash of its request; a hash that the service wrote itself is taken out, all other bytes stay. An
    /// answer in another encoding becomes UTF-8.
    pub fn with_request_hash(&self, hash: &[u8; 64]) -> Result<Self, SoapError> {
        splice::request_hash(self, hash).and_then(|(kind, bytes)| Self::again(&kind, bytes))
    }

    /// The answer of the node itself: the header of this request, and `content` (an element that declares its own namespaces) as
    /// the body.
    pub fn answer(&self, content: &str) -> Result<Self, SoapError> {
        splice::body(self, content).and_then(|(kind, bytes)| Self::again(&kind, bytes))
    }

    /// The text of an element of the body's element, `None` where it is absent: what metaservices ask.
    pub fn argument(&self, local: &str) -> Result<Option<String>, SoapError> {
        self.read_body(|wrapper| wrapper.named(local).next().map(|element| element.text().into_owned()))
    }

    /// The text of an element of the body's element, without white space around it, where no service can read another: no second
    /// element of that local name anywhere in the body, nothing but one run of text in it.
    pub fn plain_argument(&self, local: &str) -> Option<String> {
        let read = |wrapper: Element<'_, '_>| {
            let mut all = wrapper.descendants().filter(|element| element.local() == local);
            let (only, second) = (all.next()?, all.next());
            let direct = wrapper.named(local).next().is_some();
            let plain = second.is_none() && direct && only.children().count() <= 1 && only.elements().next().is_none();
            plain.then(|| only.text().trim().to_owned())
        };
        self.read_body(read).ok().flatten()
    }

    /// Reads the element in the body.
    pub fn read_body<T>(&self, read: impl FnOnce(Element<'_, '_>) -> T) -> Result<T, SoapError> {
        let text = encoding::utf8(self.content_type.parameter("charset"), &self.bytes)?;
        let document = Document::parse(&text, &LIMITS)?;
        let body = document.root().child(SOAP_NAMESPACE, "Body").ok_or(SoapError::MissingBody)?;
        body.elements().next().map(read).ok_or(SoapError::Body)
    }

    fn again(kind: &ContentType, bytes: Vec<u8>) -> Result<Self, SoapError> {
        match Self::parse(&kind.to_string(), Bytes::from(bytes))? {
            Soap::Message(message) => Ok(*message),
            Soap::Fault(_) => Err(SoapError::Body),
        }
    }
}

enum Read {
    Message(Box<SoapHeader>, String),
    Fault(SoapFault),
}

/// Reads the envelope in the order of X-Road's reader, so that of two defects the same one is told.
fn read(document: &Document<'_>) -> Result<Read, SoapError> {
    let root = document.root();
    if !root.is(SOAP_NAMESPACE, "Envelope") {
        return Err(SoapError::Envelope);
    }
    let mut header = None;
    let mut body = None;
    for element in root.elements() {
        if element.is(SOAP_NAMESPACE, "Header") {
            if header.is_some() {
                return Err(SoapError::Duplicate("Header"));
            }
            header = Some(header::read(element)?);
        } else if element.is(SOAP_NAMESPACE, "Body") {
            if body.is_some() {
                return Err(SoapError::Duplicate("Body"));
            }
            body = Some(read_body(element)?);
        }
    }
    if let Some(BodyContent { fault: Some(fault), .. }) = body {
        return Ok(Read::Fault(fault));
    }
    let header = header.ok_or(SoapError::MissingHeader)?.complete()?;
    let name = body.ok_or(SoapError::MissingBody)?.name.ok_or(SoapError::Body)?;
    if !name.starts_with(header.service.code()) {
        return Err(SoapError::Inconsistent { found: cut(&name), code: header.service.code().to_owned() });
    }
    Ok(Read::Message(Box::new(header), name))
}

struct BodyContent {
    fault: Option<SoapFault>,
    name: Option<String>,
}

fn read_body(body: Element<'_, '_>) -> Result<BodyContent, SoapError> {
    let mut content = BodyContent { fault: None, name: None };
    for element in body.elements() {
        if element.is(SOAP_NAMESPACE, "Fault") {
            content.fault = Some(SoapFault::of(element));
        } else if content.name.is_some() {
            return Err(SoapError::Body);
        } else {
            content.name = Some(element.local().to_owned());
        }
    }
    Ok(content)
}

fn cut(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(64).collect()
}
