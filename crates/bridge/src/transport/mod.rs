//! The body of a message between nodes (PR-MESSTRANSP §3; facts §1.4): multipart/mixed, parts strictly in order. No I/O.
//!
//! [`write()`] lays an [`Envelope`] down; [`EnvelopeReader`] takes the bytes as they come from the wire, in any slices, keeps no more than
//! its [`Limits`] allow and yields an [`Envelope`] or the fault that the peer sent instead of (or after a part of) its message.

mod reader;
mod soap_fault;
mod writer;

pub use reader::{Event, MultipartReader};
pub use soap_fault::{read_fault, write_fault};
pub(crate) use writer::write_parts;
pub use writer::{boundary, content_type, write};

use bytes::{Bytes, BytesMut};

use crate::fault::Fault;

/// Media type of the OCSP responses in a message.
pub const OCSP_RESPONSE: &str = "application/ocsp-response";
/// Media type of the header part of a request.
pub const REST_REQUEST: &str = "application/x-road-rest-request";
/// Media type of the header part of an answer.
pub const REST_RESPONSE: &str = "application/x-road-rest-response";
/// Media type of the body.
pub const REST_BODY: &str = "application/x-road-rest-body";
/// Media type of what is signed in a batch.
pub const HASH_CHAIN_RESULT: &str = "application/hash-chain-result";
/// Media type of the way from the message to what is signed.
pub const HASH_CHAIN: &str = "application/hash-chain";
/// Media type of the signature.
pub const SIGNATURE: &str = "signature/bdoc-1.0/ts";
/// Media type of a fault.
pub const SOAP_FAULT: &str = "text/xml";

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From the node of the caller.
    Request,
    /// From the node of the provider.
    Response,
}

/// The parts of a batch signature that stand beside the XML signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchParts {
    /// The hash chain result: the file that is signed.
    pub result: Bytes,
    /// The hash chain of this message.
    pub chain: Bytes,
}

/// A whole message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// OCSP responses of the authentication certificate chain (requests only).
    pub ocsp: Vec<Bytes>,
    /// The header part.
    pub head: Bytes,
    /// The body, where the message has one; it may be empty.
    pub body: Option<Bytes>,
    /// Set for a batch signature.
    pub batch: Option<BatchParts>,
    /// The XAdES signature.
    pub signature: Bytes,
}

/// What a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message. Nothing in it is verified yet.
    Message(Box<Envelope>),
    /// A fault.
    Fault(Fault),
}

/// How much of a message is kept in memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The body, bytes.
    pub body_bytes_max: usize,
    /// OCSP responses in a request, number.
    pub ocsp_parts_max: usize,
    /// One OCSP response, bytes.
    pub ocsp_bytes_max: usize,
    /// A signature, hash chain, hash chain result or fault, bytes.
    pub signature_bytes_max: usize,
}

impl Limits {
    /// The usual limits with this limit on the body.
    pub const fn with_body(body_bytes_max: usize) -> Self {
        Self { body_bytes_max, ocsp_parts_max: 8, ocsp_bytes_max: 64 * 1024, signature_bytes_max: 256 * 1024 }
    }

    /// The most bytes that a whole message within these limits has on the wire.
    pub const fn wire_bytes_max(&self) -> usize {
        self.body_bytes_max
            + self.ocsp_parts_max * self.ocsp_bytes_max
            + 3 * self.signature_bytes_max
            + crate::message::HEADER_PART_BYTES_MAX
            + 64 * 1024
    }
}

/// Why bytes are no message between nodes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The Content-Type of the HTTP message is not multipart/mixed with a boundary.
    #[error("the content type must be multipart/mixed with a boundary of 1 to 70 characters")]
    ContentType,
    /// The multipart structure is broken.
    #[error("the multipart body is malformed: {0}")]
    Multipart(&'static str),
    /// A part has a type that may not stand at its place.
    #[error("a part of type `{found}` may not stand here: {expected} comes next")]
    Order {
        /// The type that came.
        found: String,
        /// The type that should have come.
        expected: &'static str,
    },
    /// A part is larger than its limit.
    #[error("the {part} has more than {bytes_max} bytes")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// The message ended early.
    #[error("the message ended before its {0}: the peer broke off")]
    Truncated(&'static str),
    /// The fault is malformed.
    #[error("the fault of the peer cannot be read: {0}")]
    Fault(String),
}

/// The boundary of a multipart Content-Type.
pub fn boundary_of(content_type: &str) -> Result<&str, TransportError> {
    let mut parts = content_type.split(';');
    let kind = parts.next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("multipart/mixed") && !kind.eq_ignore_ascii_case("multipart/related") {
        return Err(TransportError::ContentType);
    }
    let found = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim().trim_matches('"'))
        .filter(|value| (1..=70).contains(&value.len()) && value.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    found.ok_or(TransportError::ContentType)
}

/// What the reader waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Ocsp,
    Body,
    ChainResult,
    Chain,
    Signature,
    Done,
}

/// The part that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Ocsp,
    Head,
    Body,
    ChainResult,
    Chain,
    Signature,
    Fault,
}

/// Assembles a message from slices of its bytes.
pub struct EnvelopeReader {
    multipart: MultipartReader,
    assembly: Assembly,
}

struct Assembly {
    kind: Kind,
    limits: Limits,
    stage: Stage,
    part: Option<Part>,
    first: Bytes,
    rest: BytesMut,
    ocsp: Vec<Bytes>,
    head: Option<Bytes>,
    body: Option<Bytes>,
    result: Option<Bytes>,
    chain: Option<Bytes>,
    signature: Option<Bytes>,
    fault: Option<Fault>,
}

impl EnvelopeReader {
    /// A reader for a message of this kind with this Content-Type.
    pub fn new(kind: Kind, content_type: &str, limits: Limits) -> Result<Self, TransportError> {
        let multipart = MultipartReader::new(boundary_of(content_type)?);
        let assembly = Assembly {
            kind,
            limits,
            stage: Stage::Ocsp,
            part: None,
            first: Bytes::new(),
            rest: BytesMut::new(),
            ocsp: Vec::new(),
            head: None,
            body: None,
            result: None,
            chain: None,
            signature: None,
            fault: None,
        };
        Ok(Self { multipart, assembly })
    }

    /// Takes the next slice.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), TransportError> {
        let assembly = &mut self.assembly;
        self.multipart.push(chunk, &mut |event| assembly.event(event))
    }

    /// Ends the message.
    pub fn finish(self) -> Result<Received, TransportError> {
        self.multipart.finish()?;
        let assembly = self.assembly;
        if let Some(fault) = assembly.fault {
            return Ok(Received::Fault(fault));
        }
        let head = assembly.head.ok_or(TransportError::Truncated("header part"))?;
        let signature = assembly.signature.ok_or(TransportError::Truncated("signature"))?;
        let batch = match (assembly.result, assembly.chain) {
            (Some(result), Some(chain)) => Some(BatchParts { result, chain }),
            _ => None,
        };
        let envelope = Envelope { ocsp: assembly.ocsp, head, body: assembly.body, batch, signature };
        Ok(Received::Message(Box::new(envelope)))
    }
}

impl Assembly {
    fn event(&mut self, event: Event) -> Result<(), TransportError> {
        match event {
            Event::Start { content_type } => {
                self.part = Some(self.place(&content_type)?);
                Ok(())
            }
            Event::Data(data) => self.data(data),
            Event::End => self.end(),
        }
    }

    /// Decides which part a media type begins, given what came before.
    fn place(&mut self, content_type: &str) -> Result<Part, TransportError> {
        let head_type = if self.kind == Kind::Request { REST_REQUEST } else { REST_RESPONSE };
        let wrong = |expected| {
            let found = content_type.chars().take(80).collect();
            Err(TransportError::Order { found, expected })
        };
        if content_type == SOAP_FAULT && self.kind == Kind::Response && self.stage < Stage::Done {
            self.stage = Stage::Done;
            return Ok(Part::Fault);
        }
        let (part, next) = match (self.stage, content_type) {
            (Stage::Ocsp, OCSP_RESPONSE) if self.kind == Kind::Request => {
                if self.ocsp.len() >= self.limits.ocsp_parts_max {
                    return Err(TransportError::Multipart("there are too many OCSP responses"));
                }
                (Part::Ocsp, Stage::Ocsp)
            }
            (Stage::Ocsp, found) if found == head_type => (Part::Head, Stage::Body),
            (Stage::Ocsp, _) => return wrong(head_type),
            (Stage::Body, REST_BODY) => (Part::Body, Stage::ChainResult),
            (Stage::Body | Stage::ChainResult, HASH_CHAIN_RESULT) => (Part::ChainResult, Stage::Chain),
            (Stage::Chain, HASH_CHAIN) => (Part::Chain, Stage::Signature),
            (Stage::Chain, _) => return wrong(HASH_CHAIN),
            (Stage::Body | Stage::ChainResult | Stage::Signature, SIGNATURE) => (Part::Signature, Stage::Done),
            (Stage::Done, _) => return wrong("nothing"),
            _ => return wrong(SIGNATURE),
        };
        self.stage = next;
        Ok(part)
    }

    fn data(&mut self, data: Bytes) -> Result<(), TransportError> {
        let (name, bytes_max) = match self.part {
            Some(Part::Ocsp) => ("OCSP response", self.limits.ocsp_bytes_max),
            Some(Part::Head) => ("header part", crate::message::HEADER_PART_BYTES_MAX),
            Some(Part::Body) => ("body", self.limits.body_bytes_max),
            Some(Part::ChainResult) => ("hash chain result", self.limits.signature_bytes_max),
            Some(Part::Chain) => ("hash chain", self.limits.signature_bytes_max),
            Some(Part::Signature) => ("signature", self.limits.signature_bytes_max),
            Some(Part::Fault) => ("fault", self.limits.signature_bytes_max),
            None => return Err(TransportError::Multipart("data stand outside of a part")),
        };
        if self.first.len() + self.rest.len() + data.len() > bytes_max {
            return Err(TransportError::TooLarge { part: name, bytes_max });
        }
        // A part that came in one slice is kept as it is, without a copy.
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = data;
        } else {
            if self.rest.is_empty() {
                self.rest.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.rest.extend_from_slice(&data);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), TransportError> {
        let first = std::mem::take(&mut self.first);
        let content = if self.rest.is_empty() { first } else { self.rest.split().freeze() };
        match self.part.take() {
            Some(Part::Ocsp) => self.ocsp.push(content),
            Some(Part::Head) => self.head = Some(content),
            Some(Part::Body) => self.body = Some(content),
            Some(Part::ChainResult) => self.result = Some(content),
            Some(Part::Chain) => self.chain = Some(content),
            Some(Part::Signature) => self.signature = Some(content),
            Some(Part::Fault) => self.fault = Some(read_fault(&content)?),
            None => return Err(TransportError::Multipart("a part ended that had not begun")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            ocsp: vec![Bytes::from_static(b"\x30\r\n--xtop\x00"), Bytes::from_static(b"two")],
            head: Bytes::from_static(b"GET\r\n/r1/a\r\n"),
            body: Some(Bytes::from_static(b"\r\n--xtop\r\n--xtopb-\r")),
            batch: Some(BatchParts { result: Bytes::from_static(b"<r/>"), chain: Bytes::from_static(b"<c/>") }),
            signature: Bytes::from_static(b"<s/>"),
        }
    }

    fn read(bytes: &[u8], slice: usize, limits: Limits) -> Result<Received, TransportError> {
        let mut reader = EnvelopeReader::new(Kind::Request, &content_type("xtopB"), limits)?;
        for chunk in bytes.chunks(slice.max(1)) {
            reader.push(Bytes::copy_from_slice(chunk))?;
        }
        reader.finish()
    }

    const LIMITS: Limits = Limits::with_body(1_000);

    #[test]
    fn a_message_survives_the_wire_in_slices_of_any_size() {
        let bytes = write(Kind::Request, "xtopB", &envelope());
        for slice in 1..bytes.len() {
            assert_eq!(read(&bytes, slice, LIMITS), Ok(Received::Message(Box::new(envelope()))), "slices of {slice}");
        }
    }

    #[test]
    fn an_empty_body_is_a_body_and_no_body_is_none() {
        for body in [None, Some(Bytes::new())] {
            let envelope = Envelope { body, batch: None, ocsp: Vec::new(), ..envelope() };
            let bytes = write(Kind::Request, "xtopB", &envelope);
            assert_eq!(read(&bytes, 7, LIMITS), Ok(Received::Message(Box::new(envelope))));
        }
    }

    #[test]
    fn a_message_that_breaks_off_anywhere_is_refused() {
        let bytes = write(Kind::Request, "xtopB", &envelope());
        // The last CRLF belongs to the epilogue: without it the message is whole.
        for end in 0..bytes.len() - 2 {
            assert!(read(&bytes[..end], 11, LIMITS).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn parts_out_of_order_doubled_or_after_the_signature_are_refused() {
        let part = |kind: &str| format!("--xtopB\r\ncontent-type: {kind}\r\n\r\nx\r\n");
        for kinds in [
            &[REST_BODY, REST_REQUEST, SIGNATURE][..],
            &[REST_REQUEST, REST_REQUEST, SIGNATURE],
            &[REST_REQUEST, OCSP_RESPONSE, SIGNATURE],
            &[REST_REQUEST, SIGNATURE, SIGNATURE],
            &[REST_REQUEST, SIGNATURE, REST_BODY],
            &[REST_REQUEST, HASH_CHAIN, SIGNATURE],
            &[REST_REQUEST, HASH_CHAIN_RESULT, SIGNATURE],
            &[REST_RESPONSE, SIGNATURE],
            &[REST_REQUEST],
            &[SOAP_FAULT],
        ] {
            let bytes = kinds.iter().map(|kind| part(kind)).collect::<String>() + "--xtopB--\r\n";
            assert!(read(bytes.as_bytes(), 16, LIMITS).is_err(), "{kinds:?}");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_as_soon_as_it_is_seen() {
        let envelope = Envelope { body: Some(Bytes::from(vec![b'x'; 1_001])), ..envelope() };
        let bytes = write(Kind::Request, "xtopB", &envelope);
        assert_eq!(read(&bytes, 64, LIMITS), Err(TransportError::TooLarge { part: "body", bytes_max: 1_000 }));
    }

    #[test]
    fn the_boundary_is_read_as_peers_write_it() {
        assert_eq!(boundary_of("multipart/mixed; charset=UTF-8; boundary=xtopABC"), Ok("xtopABC"));
        assert_eq!(boundary_of("Multipart/Related; type=\"a/b\"; Boundary=\"x y\""), Err(TransportError::ContentType));
        assert_eq!(boundary_of("multipart/mixed; boundary=\"xy\""), Ok("xy"));
        assert_eq!(boundary_of("text/xml"), Err(TransportError::ContentType));
        assert_eq!(boundary_of("multipart/mixed"), Err(TransportError::ContentType));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), slice in 1..40_usize) {
            let _ = read(&bytes, slice, LIMITS);
        }

        #[test]
        fn one_wrong_byte_never_yields_the_same_message(at in 0..300_usize, mask in 1..=255_u8, slice in 1..40_usize) {
            let mut bytes = write(Kind::Request, "xtopB", &envelope());
            let at = at % bytes.len();
            // Case and spaces of a part header, and the epilogue, are not content.
            let before = bytes.clone();
            bytes[at] ^= mask;
            if let Ok(Received::Message(read)) = read(&bytes, slice, LIMITS) {
                let again = write(Kind::Request, "xtopB", &read);
                proptest::prop_assert!(again != before || *read == envelope());
            }
        }

        #[test]
        fn any_body_comes_back_whole(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), slice in 1..40_usize) {
            let envelope = Envelope { body: Some(Bytes::from(body)), ..envelope() };
            let bytes = write(Kind::Request, "xtopB", &envelope);
            proptest::prop_assert_eq!(read(&bytes, slice, LIMITS), Ok(Received::Message(Box::new(envelope))));
        }
    }
}
