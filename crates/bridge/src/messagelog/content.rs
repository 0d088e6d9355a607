//! What is kept of a message, and its stored formats. Format 1 (header part and body of REST) is read for ever; formats 2 and 3 are
//! written: with the signature whole, or as its values in a mould that is kept apart.

use std::collections::BTreeMap;

use bytes::Bytes;
use trust::asic::{ChainFiles, Container, StampFiles};
use trust::digest;
use trust::xades::Mould;

use super::{KEPT_BYTES_MAX, Stamp};
use crate::spool::{Body, SpoolError};
use crate::transport::{Attachment, BatchParts, Envelope, Message};

const FORMAT_1: u8 = 1;
const FORMAT_2: u8 = 2;
const FORMAT_3: u8 = 3;
const REST: u8 = 0;
const SOAP: u8 = 1;
const WHOLE: u8 = 0;
const DIGEST: u8 = 1;
/// More attachments than this are in no message.
const ATTACHMENTS_MAX: u64 = 10_000;
const HEADERS_MAX: u64 = 1_000;

/// A part of a message: whole, or only as its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The bytes.
    Whole(Bytes),
    /// What identifies them.
    Digest {
        /// Their SHA-512.
        sha512: [u8; 64],
        /// How many they were.
        bytes: u64,
    },
}

/// The protocol of a message, with what is needed to show it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageForm {
    /// The header part of REST.
    Rest,
    /// A SOAP message with its Content-Type.
    Soap(String),
}

/// A body or attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAttachment {
    /// Its number, from 1, as it is signed (`attachment1`).
    pub number: u32,
    /// Its MIME headers; the body of a REST message has none.
    pub headers: Vec<(String, String)>,
    /// Its content.
    pub body: Kept,
}

/// What is kept of a message: all that its evidence needs, or digests of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The protocol.
    pub form: MessageForm,
    /// The header part or the SOAP message: what is signed as `message.xml`.
    pub message: Kept,
    /// The body or the attachments.
    pub attachments: Vec<KeptAttachment>,
    /// The signature.
    pub signature: Kept,
    /// The hash chain of a batch signature.
    pub batch: Option<BatchParts>,
}

impl Kept {
    /// The bytes, where they are kept.
    pub const fn whole(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Digest { .. } => None,
        }
    }

    /// The SHA-512 of the part.
    pub fn sha512(&self) -> [u8; 64] {
        match self {
            Self::Whole(bytes) => digest::sha512(bytes),
            Self::Digest { sha512, .. } => *sha512,
        }
    }

    fn digested(&self) -> Self {
        match self {
            Self::Whole(bytes) => Self::Digest { sha512: digest::sha512(bytes), bytes: bytes.len() as u64 },
            digest @ Self::Digest { .. } => digest.clone(),
        }
    }
}

impl Content {
    /// What is to be kept of a message: bodies and attachments whole up to so many bytes each (and [`KEPT_BYTES_MAX`] together),
    /// larger ones as their digests.
    pub async fn of(envelope: &Envelope, whole_bytes_max: u64) -> Result<Self, SpoolError> {
        let mut left = KEPT_BYTES_MAX;
        let mut bodies = Vec::with_capacity(envelope.attachments.len());
        for Attachment { body, .. } in &envelope.attachments {
            if body.is_kept() && body.len() <= left.min(whole_bytes_max) {
                left -= body.len();
                bodies.push(Kept::Whole(body.bytes(whole_bytes_max).await?));
            } else {
                bodies.push(digest_of(body));
            }
        }
        Ok(Self::with_bodies(envelope, bodies))
    }

    fn with_bodies(envelope: &Envelope, bodies: Vec<Kept>) -> Self {
        let (form, message) = match &envelope.message {
            Message::Rest(head) => (MessageForm::Rest, head),
            Message::Soap { content_type, bytes, .. } => (MessageForm::Soap(content_type.clone()), bytes),
        };
        let attachments = (1_u32..).zip(&envelope.attachments).zip(bodies);
        Self {
            form,
            message: Kept::Whole(message.clone()),
            attachments: attachments
                .map(|((number, attachment), body)| KeptAttachment {
                    number,
                    headers: attachment.headers.clone(),
                    body,
                })
                .collect(),
            signature: Kept::Whole(envelope.signature.clone()),
            batch: envelope.batch.clone(),
        }
    }

    /// The same message as digests only (mode metadata): nothing of what was said, but whoever holds the message can show that it
    /// is the one that was logged and stamped.
    #[must_use]
    pub fn digests(&self) -> Self {
        let attachments = self.attachments.iter().map(|attachment| KeptAttachment {
            number: attachment.number,
            headers: Vec::new(),
            body: attachment.body.digested(),
        });
        Self {
            form: self.form.clone(),
            message: self.message.digested(),
            attachments: attachments.collect(),
            signature: self.signature.digested(),
            batch: None,
        }
    }

    /// The SHA-512 of the hash chain of a batch signature: what tells the messages of one batch apart.
    pub(super) fn chain_sha512(&self) -> Option<[u8; 64]> {
        self.batch.as_ref().map(|batch| digest::sha512(&batch.chain))
    }

    /// The evidence file; `None` where message or signature were kept as digests only. Attachments that were kept as digests are not
    /// in it: the signature still names them.
    pub fn container(&self, stamp: Option<&Stamp>) -> Option<Container> {
        let whole = |attachment: &KeptAttachment| Some((attachment.number, attachment.body.whole()?.to_vec()));
        Some(Container {
            message: self.message.whole()?.to_vec(),
            attachments: self.attachments.iter().filter_map(whole).collect(),
            signature: self.signature.whole()?.to_vec(),
            signature_chain: self
                .batch
                .as_ref()
                .map(|batch| ChainFiles { result: batch.result.to_vec(), chain: batch.chain.to_vec() }),
            time_stamp: stamp.map(|stamp| StampFiles {
                token: stamp.token.clone(),
                chain: ChainFiles { result: stamp.chain_result.clone(), chain: stamp.chain.clone() },
            }),
            ledger_proof: None,
        })
    }

    /// What an evidence file holds. Attachments that are signed but not in it are not in the content either.
    pub fn of_container(container: Container, form: MessageForm) -> Self {
        let attachments: BTreeMap<u32, Vec<u8>> = container.attachments;
        let kept = |(number, bytes): (u32, Vec<u8>)| KeptAttachment {
            number,
            headers: Vec::new(),
            body: Kept::Whole(Bytes::from(bytes)),
        };
        Self {
            form,
            message: Kept::Whole(Bytes::from(container.message)),
            attachments: attachments.into_iter().map(kept).collect(),
            signature: Kept::Whole(Bytes::from(container.signature)),
            batch: container
                .signature_chain
                .map(|files| BatchParts { result: Bytes::from(files.result), chain: Bytes::from(files.chain) }),
        }
    }

    /// Format 2: its number; then form (and Content-Type of SOAP), message, attachments with number and headers, signature, hash
    /// chain. Texts and bytes come after their length; numbers have 64 bits, big endian.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.encoded(FORMAT_2, |out| put_kept(out, &self.signature))
    }

    /// Format 3: as format 2, with the values of the signature instead of the signature; the mould is kept elsewhere. The signature must
    /// fit it.
    pub(super) fn encode_in(&self, mould: &Mould) -> Vec<u8> {
        let signature = self.signature.whole().map_or(&[][..], |signature| signature.as_ref());
        self.encoded(FORMAT_3, |out| put_bytes(out, &mould.values_of(signature)))
    }

    fn encoded(&self, format: u8, put_signature: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 * 1024);
        out.push(format);
        match &self.form {
            MessageForm::Rest => out.push(REST),
            MessageForm::Soap(content_type) => {
                out.push(SOAP);
                put_bytes(&mut out, content_type.as_bytes());
            }
        }
        put_kept(&mut out, &self.message);
        put_number(&mut out, self.attachments.len() as u64);
        for attachment in &self.attachments {
            put_number(&mut out, u64::from(attachment.number));
            put_number(&mut out, attachment.headers.len() as u64);
            for (name, value) in &attachment.headers {
                put_bytes(&mut out, name.as_bytes());
                put_bytes(&mut out, value.as_bytes());
            }
            put_kept(&mut out, &attachment.body);
        }
        put_signature(&mut out);
        out.push(u8::from(self.batch.is_some()));
        if let Some(batch) = &self.batch {
            put_bytes(&mut out, &batch.result);
            put_bytes(&mut out, &batch.chain);
        }
        out
    }

    /// Reads each format; `None` where the bytes are cut, longer than they say, or of another format. `mould` is the common part of the
    /// signature ([`Mould::common`]), where it was kept apart.
    pub(super) fn decode(bytes: Vec<u8>, mould: Option<&[u8]>) -> Option<Self> {
        let mut input = Input(Bytes::from(bytes));
        let content = match (input.byte()?, mould) {
            (FORMAT_1, _) => return Self::decode_1(input),
            (FORMAT_2, _) => Self::decode_2(&mut input, Input::kept)?,
            (FORMAT_3, Some(mould)) => Self::decode_2(&mut input, |input| {
                let signature = Mould::refill(mould, &input.bytes()?)?;
                Some(Kept::Whole(Bytes::from(signature)))
            })?,
            _ => return None,
        };
        input.0.is_empty().then_some(content)
    }

    fn decode_2(input: &mut Input, signature: impl FnOnce(&mut Input) -> Option<Kept>) -> Option<Self> {
        let form = match input.byte()? {
            REST => MessageForm::Rest,
            SOAP => MessageForm::Soap(input.text()?),
            _ => return None,
        };
        let message = input.kept()?;
        let count = input.number().filter(|count| *count <= ATTACHMENTS_MAX)?;
        let mut attachments = Vec::new();
        for _ in 0..count {
            let number = u32::try_from(input.number()?).ok()?;
            let count = input.number().filter(|count| *count <= HEADERS_MAX)?;
            let mut headers = Vec::new();
            for _ in 0..count {
                headers.push((input.text()?, input.text()?));
            }
            attachments.push(KeptAttachment { number, headers, body: input.kept()? });
        }
        let signature = signature(input)?;
        let batch = match input.byte()? {
            0 => None,
            1 => Some(BatchParts { result: input.bytes()?, chain: input.bytes()? }),
            _ => return None,
        };
        Some(Self { form, message, attachments, signature, batch })
    }

    /// Format 1: head, body, signature, hash chain result, hash chain, each after its length; all ones for one that is not there.
    fn decode_1(mut input: Input) -> Option<Self> {
        let mut part = || -> Option<Option<Bytes>> {
            match input.number()? {
                u64::MAX => Some(None),
                length => input.take(length).map(Some),
            }
        };
        let (head, body, signature) = (part()??, part()?, part()??);
        let batch = match (part()?, part()?) {
            (Some(result), Some(chain)) => Some(BatchParts { result, chain }),
            _ => None,
        };
        let attachment = |body| KeptAttachment { number: 1, headers: Vec::new(), body: Kept::Whole(body) };
        Some(Self {
            form: MessageForm::Rest,
            message: Kept::Whole(head),
            attachments: body.into_iter().map(attachment).collect(),
            signature: Kept::Whole(signature),
            batch,
        })
    }
}

fn digest_of(body: &Body) -> Kept {
    Kept::Digest { sha512: *body.sha512(), bytes: body.len() }
}

/// What is left to be read.
struct Input(Bytes);

impl Input {
    fn take(&mut self, length: u64) -> Option<Bytes> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.0.len())?;
        Some(self.0.split_to(length))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.as_ref().try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = self.number()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn kept(&mut self) -> Option<Kept> {
        match self.byte()? {
            WHOLE => self.bytes().map(Kept::Whole),
            DIGEST => {
                let bytes = self.number()?;
                Some(Kept::Digest { sha512: self.take(64)?.as_ref().try_into().ok()?, bytes })
            }
            _ => None,
        }
    }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_kept(out: &mut Vec<u8>, kept: &Kept) {
    match kept {
        Kept::Whole(bytes) => {
            out.push(WHOLE);
            put_bytes(out, bytes);
        }
        Kept::Digest { sha512, bytes } => {
            out.push(DIGEST);
            put_number(out, *bytes);
            out.extend_from_slice(sha512);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soap() -> Content {
        let attachment = |number, body| KeptAttachment {
            number,
            headers: vec![("content-type".to_owned(), "image/png".to_owned())],
            body,
        };
        Content {
            form: MessageForm::Soap("text/xml; charset=UTF-8".to_owned()),
            message: Kept::Whole(Bytes::from_static(b"<Envelope/>")),
            attachments: vec![
                attachment(1, Kept::Whole(Bytes::new())),
                attachment(3, Kept::Digest { sha512: [7; 64], bytes: 1 << 40 }),
            ],
            signature: Kept::Whole(Bytes::from_static(b"<s/>")),
            batch: Some(BatchParts { result: Bytes::from_static(b"r"), chain: Bytes::new() }),
        }
    }

    #[test]
    fn content_reads_back_and_a_cut_or_a_leftover_is_seen() {
        let rest = Content { form: MessageForm::Rest, attachments: Vec::new(), batch: None, ..soap() };
        for content in [soap(), rest, soap().digests()] {
            let bytes = content.encode();
            assert_eq!(Content::decode(bytes.clone(), None), Some(content));
            for end in 0..bytes.len() {
                assert_eq!(Content::decode(bytes[..end].to_vec(), None), None, "cut at {end}");
            }
            assert_eq!(Content::decode([bytes.as_slice(), b"x"].concat(), None), None);
        }
    }

    /// Bytes as the first release wrote them: never to be edited.
    #[test]
    fn what_was_stored_in_format_1_is_read_for_ever() {
        let part = |bytes: &[u8]| [(bytes.len() as u64).to_be_bytes().as_slice(), bytes].concat();
        let none = u64::MAX.to_be_bytes().to_vec();
        let with = [vec![1], part(b"head"), part(b"{}"), part(b"<s/>"), part(b"r"), part(b"c")].concat();
        let content = Content::decode(with, None).unwrap();
        assert_eq!(content.form, MessageForm::Rest);
        assert_eq!(content.message, Kept::Whole(Bytes::from_static(b"head")));
        assert_eq!(content.attachments.first().unwrap().body, Kept::Whole(Bytes::from_static(b"{}")));
        assert_eq!(content.signature, Kept::Whole(Bytes::from_static(b"<s/>")));
        assert_eq!(content.batch.unwrap().chain.as_ref(), b"c");
        let without = [vec![1], part(b"head"), none.clone(), part(b"<s/>"), none.clone(), none].concat();
        let content = Content::decode(without, None).unwrap();
        assert!(content.attachments.is_empty() && content.batch.is_none());
    }

    #[test]
    fn digests_tell_nothing_but_which_message_it_was() {
        let digests = soap().digests();
        assert_eq!(digests.message.sha512(), soap().message.sha512());
        assert_eq!(digests.signature, Kept::Digest { sha512: digest::sha512(b"<s/>"), bytes: 4 });
        assert!(digests.container(None).is_none());
        assert!(digests.attachments.iter().all(|attachment| attachment.headers.is_empty()));
        let numbers: Vec<u32> = soap().container(None).unwrap().attachments.into_keys().collect();
        assert_eq!(numbers, [1], "what is not kept is not exported");
    }
}
