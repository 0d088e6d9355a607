use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use trust::digest::DigestAlgorithm;

use super::{
    Attachment, BatchParts, Envelope, Event, HASH_CHAIN, HASH_CHAIN_RESULT, Kind, Limits, Message, MultipartReader,
    OCSP_RESPONSE, PartHeaders, REST_BODY, REST_REQUEST, REST_RESPONSE, Received, SIGNATURE, TEXT_XML, TransportError,
    XOP_XML, boundary_of, read_fault,
};
use crate::fault::Fault;
use crate::spool::{Collector, MEMORY_BYTES_MAX, Spool};

/// What the reader waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Ocsp,
    /// After the header part of a REST message.
    Body,
    /// After a SOAP message.
    Attachments,
    ChainResult,
    Chain,
    Signature,
    Done,
}

/// The part that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Ocsp,
    Rest,
    Soap,
    Body,
    Attachments,
    ChainResult,
    Chain,
    Signature,
    Fault,
}

/// Assembles a message from slices of its bytes.
///
/// [`push`](Self::push) takes a slice and never waits. A reader with a spool brings large bodies to it in [`settle`](Self::settle), to be
/// awaited after each slice, and ends with [`close`](Self::close); one without keeps all in memory and ends with
/// [`finish`](Self::finish).
#[derive(Debug)]
pub struct EnvelopeReader {
    multipart: MultipartReader,
    assembly: Assembly,
}

#[derive(Debug)]
struct Assembly {
    kind: Kind,
    limits: Limits,
    hash: DigestAlgorithm,
    spool: Option<Arc<Spool>>,
    stage: Stage,
    part: Option<Part>,
    nested: Option<MultipartReader>,
    small: Small,
    soap_headers: PartHeaders,
    ocsp: Vec<Bytes>,
    message: Option<Message>,
    attachments: Vec<(PartHeaders, Collector)>,
    attachment_bytes: u64,
    result: Option<Bytes>,
    chain: Option<Bytes>,
    signature: Option<Bytes>,
    fault: Option<Fault>,
}

/// A part that is always kept in memory.
#[derive(Debug, Default)]
struct Small {
    first: Bytes,
    rest: BytesMut,
}

impl EnvelopeReader {
    /// A reader for a message of this kind with this Content-Type, which keeps all in memory.
    pub fn new(kind: Kind, content_type: &str, limits: Limits) -> Result<Self, TransportError> {
        let multipart = MultipartReader::new(boundary_of(content_type)?);
        let assembly = Assembly {
            kind,
            limits,
            hash: DigestAlgorithm::Sha512,
            spool: None,
            stage: Stage::Ocsp,
            part: None,
            nested: None,
            small: Small::default(),
            soap_headers: PartHeaders::default(),
            ocsp: Vec::new(),
            message: None,
            attachments: Vec::new(),
            attachment_bytes: 0,
            result: None,
            chain: None,
            signature: None,
            fault: None,
        };
        Ok(Self { multipart, assembly })
    }

    /// The same, but bodies above [`MEMORY_BYTES_MAX`] go to the spool.
    #[must_use]
    pub fn with_spool(mut self, spool: &Arc<Spool>) -> Self {
        self.assembly.spool = Some(Arc::clone(spool));
        self
    }

    /// The same, but bodies are digested by this algorithm, as the peer did.
    #[must_use]
    pub const fn digesting(mut self, algorithm: DigestAlgorithm) -> Self {
        self.assembly.hash = algorithm;
        self
    }

    /// Takes the next slice.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), TransportError> {
        let assembly = &mut self.assembly;
        self.multipart.push(chunk, &mut |event| assembly.event(event))
    }

    /// Brings to the spool what is too much for the memory.
    pub async fn settle(&mut self) -> Result<(), TransportError> {
        // All but the last were settled when the next one began to grow; looking at each is cheap.
        for (_, collector) in &mut self.assembly.attachments {
            collector.settle().await?;
        }
        Ok(())
    }

    /// Ends a message whose bodies may be in the spool.
    pub async fn close(mut self) -> Result<Received, TransportError> {
        let mut attachments = Vec::with_capacity(self.assembly.attachments.len());
        for (headers, collector) in std::mem::take(&mut self.assembly.attachments) {
            attachments.push(Attachment { headers: headers.to_vec(), body: collector.finish().await? });
        }
        self.end(attachments)
    }

    /// Ends a message that is in memory.
    pub fn finish(mut self) -> Result<Received, TransportError> {
        let mut attachments = Vec::with_capacity(self.assembly.attachments.len());
        for (headers, collector) in std::mem::take(&mut self.assembly.attachments) {
            let body = collector.finish_in_memory().ok_or(TransportError::Truncated("end in the spool"))?;
            attachments.push(Attachment { headers: headers.to_vec(), body });
        }
        self.end(attachments)
    }

    fn end(self, attachments: Vec<Attachment>) -> Result<Received, TransportError> {
        self.multipart.finish()?;
        let assembly = self.assembly;
        if let Some(fault) = assembly.fault {
            return Ok(Received::Fault(fault));
        }
        let message = assembly.message.ok_or(TransportError::Truncated("header part"))?;
        let signature = assembly.signature.ok_or(TransportError::Truncated("signature"))?;
        let batch = match (assembly.result, assembly.chain) {
            (Some(result), Some(chain)) => Some(BatchParts { result, chain }),
            _ => None,
        };
        let envelope = Envelope { ocsp: assembly.ocsp, message, attachments, batch, signature };
        Ok(Received::Message(Box::new(envelope)))
    }
}

impl Assembly {
    fn event(&mut self, event: Event) -> Result<(), TransportError> {
        match event {
            Event::Start { content_type, headers } => {
                self.part = Some(self.place(&content_type, headers)?);
                Ok(())
            }
            Event::Data(data) => self.data(data),
            Event::End => self.end(),
        }
    }

    /// Decides which part a media type begins, given what came before.
    fn place(&mut self, content_type: &str, headers: PartHeaders) -> Result<Part, TransportError> {
        let head_type = if self.kind == Kind::Request { REST_REQUEST } else { REST_RESPONSE };
        let wrong = |expected| {
            let found = content_type.chars().take(80).collect();
            Err(TransportError::Order { found, expected })
        };
        let (part, next) = match (self.stage, content_type) {
            (Stage::Ocsp, OCSP_RESPONSE) if self.kind == Kind::Request => {
                if self.ocsp.len() >= self.limits.ocsp_parts_max {
                    return Err(TransportError::Multipart("there are too many OCSP responses"));
                }
                (Part::Ocsp, Stage::Ocsp)
            }
            (Stage::Ocsp, found) if found == head_type => (Part::Rest, Stage::Body),
            (Stage::Ocsp, TEXT_XML | XOP_XML) => {
                self.soap_headers = headers;
                (Part::Soap, Stage::Attachments)
            }
            (Stage::Ocsp, _) => return wrong(head_type),
            (Stage::Done, _) => return wrong("nothing"),
            (_, TEXT_XML) if self.kind == Kind::Response => (Part::Fault, Stage::Done),
            (Stage::Body, REST_BODY) => {
                self.begin_attachment(PartHeaders::default())?;
                (Part::Body, Stage::ChainResult)
            }
            (Stage::Attachments, "multipart/mixed") => {
                let boundary = boundary_of(headers.get("content-type").unwrap_or_default())?;
                self.nested = Some(MultipartReader::after_empty_line(boundary));
                (Part::Attachments, Stage::ChainResult)
            }
            (Stage::Body | Stage::Attachments | Stage::ChainResult, HASH_CHAIN_RESULT) => {
                (Part::ChainResult, Stage::Chain)
            }
            (Stage::Chain, HASH_CHAIN) => (Part::Chain, Stage::Signature),
            (Stage::Chain, _) => return wrong(HASH_CHAIN),
            (_, SIGNATURE) => (Part::Signature, Stage::Done),
            _ => return wrong(SIGNATURE),
        };
        self.stage = next;
        Ok(part)
    }

    fn data(&mut self, data: Bytes) -> Result<(), TransportError> {
        let small = self.limits.signature_bytes_max;
        match self.part {
            Some(Part::Body) => self.attachment_data(data),
            Some(Part::Attachments) => self.nested_data(data),
            Some(Part::Ocsp) => self.small.push(data, "OCSP response", self.limits.ocsp_bytes_max),
            Some(Part::Rest) => self.small.push(data, "header part", crate::message::HEADER_PART_BYTES_MAX),
            Some(Part::Soap) => self.small.push(data, "SOAP message", self.limits.soap_bytes_max),
            Some(Part::ChainResult) => self.small.push(data, "hash chain result", small),
            Some(Part::Chain) => self.small.push(data, "hash chain", small),
            Some(Part::Signature) => self.small.push(data, "signature", small),
            Some(Part::Fault) => self.small.push(data, "fault", small),
            None => Err(TransportError::Multipart("data stand outside of a part")),
        }
    }

    fn nested_data(&mut self, data: Bytes) -> Result<(), TransportError> {
        let Some(mut nested) = self.nested.take() else {
            return Err(TransportError::Multipart("attachments stand outside of their part"));
        };
        let outcome = nested.push(data, &mut |event| match event {
            Event::Start { headers, .. } => self.begin_attachment(headers),
            Event::Data(data) => self.attachment_data(data),
            Event::End => Ok(()),
        });
        self.nested = Some(nested);
        outcome
    }

    fn begin_attachment(&mut self, headers: PartHeaders) -> Result<(), TransportError> {
        if self.attachments.len() >= self.limits.attachments_max {
            return Err(TransportError::Multipart("there are too many attachments"));
        }
        let in_memory: usize = self.attachments.iter().map(|(_, collector)| collector.memory_bytes()).sum();
        let collector = match &self.spool {
            Some(spool) => {
                Collector::spooled(Arc::clone(spool)).with_memory(MEMORY_BYTES_MAX.saturating_sub(in_memory))
            }
            None => Collector::in_memory(),
        };
        self.attachments.push((headers, collector.digesting(self.hash)));
        Ok(())
    }

    fn attachment_data(&mut self, data: Bytes) -> Result<(), TransportError> {
        self.attachment_bytes += data.len() as u64;
        if self.attachment_bytes > self.limits.body_bytes_max {
            return Err(TransportError::TooLarge { part: "body", bytes_max: self.limits.body_bytes_max });
        }
        if let Some((_, collector)) = self.attachments.last_mut() {
            collector.push(data);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), TransportError> {
        let part = self.part.take();
        if part == Some(Part::Body) {
            return Ok(());
        }
        if let Some(nested) = self.nested.take().filter(|_| part == Some(Part::Attachments)) {
            // A fault may stand where the attachments broke off: then the nested end is written by the peer too.
            return nested.finish();
        }
        let content = self.small.take();
        match part {
            Some(Part::Ocsp) => self.ocsp.push(content),
            Some(Part::Rest) => self.message = Some(Message::Rest(content)),
            Some(Part::Soap) => self.soap(content),
            Some(Part::ChainResult) => self.result = Some(content),
            Some(Part::Chain) => self.chain = Some(content),
            Some(Part::Signature) => self.signature = Some(content),
            Some(Part::Fault) => self.fault = Some(read_fault(&content)?),
            Some(Part::Body | Part::Attachments) | None => {
                return Err(TransportError::Multipart("a part ended that had not begun"));
            }
        }
        Ok(())
    }

    /// A SOAP message; in an answer a fault in its place is a fault (CODE: `ProxyMessageDecoder.handleSoap`).
    fn soap(&mut self, bytes: Bytes) {
        let may_be_fault = self.kind == Kind::Response && memchr::memmem::find(&bytes, b"Fault").is_some();
        if let Some(fault) = may_be_fault.then(|| read_fault(&bytes).ok()).flatten() {
            self.fault = Some(fault);
            return;
        }
        let mut headers = std::mem::take(&mut self.soap_headers).to_vec();
        let mut content_type = String::new();
        headers.retain(|(name, value)| {
            let is_type = name.eq_ignore_ascii_case("content-type");
            if is_type {
                content_type.clone_from(value);
            }
            !is_type
        });
        self.message = Some(Message::Soap { content_type, headers, bytes });
    }
}

impl Small {
    fn push(&mut self, data: Bytes, part: &'static str, bytes_max: usize) -> Result<(), TransportError> {
        if self.first.len() + self.rest.len() + data.len() > bytes_max {
            return Err(TransportError::TooLarge { part, bytes_max: bytes_max as u64 });
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

    fn take(&mut self) -> Bytes {
        let first = std::mem::take(&mut self.first);
        if self.rest.is_empty() { first } else { self.rest.split().freeze() }
    }
}
