use bytes::Bytes;
use civic::Random;

use super::{
    Attachment, BatchParts, Envelope, HASH_CHAIN, HASH_CHAIN_RESULT, Kind, Message, OCSP_RESPONSE, REST_BODY,
    REST_REQUEST, REST_RESPONSE, SIGNATURE,
};

/// A boundary for one message: `xtop` and thirty random characters. That it does not occur in the content rests on its 120 random bits.
pub fn boundary(random: &dyn Random) -> String {
    format!("xtop{}", civic::random_hex::<15>(random))
}

/// The Content-Type of a message with this boundary, as X-Road writes it.
pub fn content_type(boundary: &str) -> String {
    format!("multipart/mixed; charset=UTF-8; boundary={boundary}")
}

/// Lays a whole message down, parts in the order of the protocol. A body that is not in memory is left out: send such a one through an
/// [`EnvelopeWriter`].
pub fn write(kind: Kind, boundary: &str, envelope: &Envelope) -> Vec<u8> {
    let mut writer = EnvelopeWriter::new(boundary, envelope.memory_bytes() + 1024);
    writer.start(kind, &envelope.ocsp, &envelope.message);
    for attachment in &envelope.attachments {
        writer.begin_attachment(attachment);
        if let Some(bytes) = attachment.body.memory() {
            writer.content(bytes);
        }
    }
    writer.sign(envelope.batch.as_ref(), &envelope.signature);
    writer.out
}

/// Lays parts down, each with its media type.
pub(crate) fn write_parts(boundary: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
    let length: usize = parts.iter().map(|(kind, content)| kind.len() + content.len() + boundary.len() + 32).sum();
    let mut writer = EnvelopeWriter::new(boundary, length + boundary.len() + 8);
    for (kind, content) in parts {
        writer.begin(kind);
        writer.content(content);
    }
    writer.end();
    writer.out
}

/// Lays a message down as it comes to be: what was written so far can be taken and sent at any time.
#[derive(Debug)]
pub struct EnvelopeWriter {
    boundary: String,
    out: Vec<u8>,
    in_part: bool,
    nested: bool,
}

impl EnvelopeWriter {
    /// A writer with this boundary; `capacity` is what is expected before the first [`take`](Self::take), in bytes.
    pub fn new(boundary: &str, capacity: usize) -> Self {
        Self { boundary: boundary.to_owned(), out: Vec::with_capacity(capacity), in_part: false, nested: false }
    }

    /// OCSP responses and message.
    pub fn start(&mut self, kind: Kind, ocsp: &[Bytes], message: &Message) {
        for response in ocsp {
            self.begin(OCSP_RESPONSE);
            self.content(response);
        }
        match message {
            Message::Rest(head) => {
                self.begin(if kind == Kind::Request { REST_REQUEST } else { REST_RESPONSE });
                self.content(head);
            }
            Message::Soap { content_type, headers, bytes } => {
                self.delimiter();
                self.headers(content_type, headers);
                self.content(bytes);
            }
        }
    }

    /// Begins the body of a REST message; its bytes follow.
    pub fn begin_rest_body(&mut self) {
        self.begin(REST_BODY);
    }

    /// Begins an attachment: of a SOAP message in the nested multipart, else the body of a REST message. Its bytes follow.
    pub fn begin_attachment(&mut self, attachment: &Attachment) {
        let Some(media_type) = attachment.content_type() else { return self.begin(REST_BODY) };
        let nested = self.nested_boundary();
        if !self.nested {
            self.begin(&content_type(&nested));
            self.nested = true;
        }
        self.out.extend_from_slice(b"\r\n--");
        self.out.extend_from_slice(nested.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        let others: Vec<(String, String)> =
            attachment.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-type")).cloned().collect();
        self.headers(media_type, &others);
    }

    /// Bytes of the part that was begun last.
    pub fn content(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Hash chain and signature, and the end.
    pub fn sign(&mut self, batch: Option<&BatchParts>, signature: &[u8]) {
        self.end_nested();
        if let Some(batch) = batch {
            self.begin(HASH_CHAIN_RESULT);
            self.content(&batch.result);
            self.begin(HASH_CHAIN);
            self.content(&batch.chain);
        }
        self.begin(SIGNATURE);
        self.content(signature);
        self.end();
    }

    /// A fault instead of what should have followed, and the end (PR-MESSTRANSP §3.5).
    pub fn fault(&mut self, fault: &str) {
        self.end_nested();
        self.begin("text/xml; charset=UTF-8");
        self.content(fault.as_bytes());
        self.end();
    }

    /// What was written since it was last taken.
    pub fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.out))
    }

    fn begin(&mut self, content_type: &str) {
        self.delimiter();
        self.headers(content_type, &[]);
    }

    fn delimiter(&mut self) {
        self.end_nested();
        if self.in_part {
            self.out.extend_from_slice(b"\r\n");
        }
        self.in_part = true;
        self.out.extend_from_slice(b"--");
        self.out.extend_from_slice(self.boundary.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn headers(&mut self, content_type: &str, others: &[(String, String)]) {
        let all = std::iter::once(("content-type", content_type));
        for (name, value) in all.chain(others.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b": ");
            self.out.extend_from_slice(value.as_bytes());
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn end_nested(&mut self) {
        if std::mem::take(&mut self.nested) {
            let nested = self.nested_boundary();
            self.out.extend_from_slice(b"\r\n--");
            self.out.extend_from_slice(nested.as_bytes());
            self.out.extend_from_slice(b"--\r\n");
        }
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n--");
        self.out.extend_from_slice(self.boundary.as_bytes());
        self.out.extend_from_slice(b"--\r\n");
    }

    /// `xatt` with the random characters of the outer boundary.
    fn nested_boundary(&self) -> String {
        format!("xatt{}", self.boundary.strip_prefix("xtop").unwrap_or(&self.boundary))
    }
}
