//! What is kept of a message, and its stored formats. Format 1 (header part and body of REST) is read for ever; formats 2 and 3 are
//! written: with the signature whole, or as its values in a mould that is kept apart.

use std::collections::BTreeMap;

use bytes::Bytes;
use trust::asic::{ChainFiles, Container, StampFiles};
use trust::digest::{Digest, DigestAlgorithm, Sha256};
use trust::hashchain::{Files, Plain};
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
const DIGEST_SHA256: u8 = 2;
const DIGEST_SHA384: u8 = 3;
const NO_BATCH: u8 = 0;
const BATCH: u8 = 1;
const PLAIN_BATCH: u8 = 2;
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
        /// Their digest, as it is signed where they are a body or an attachment.
        digest: Digest,
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

    /// The digest of the part: the one that is kept, else by this algorithm.
    pub fn digest(&self, algorithm: DigestAlgorithm) -> Digest {
        match self {
            Self::Whole(bytes) => Digest::of(algorithm, bytes),
            Self::Digest { digest, .. } => *digest,
        }
    }

    /// How many bytes of it are kept.
    fn bytes(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Digest { .. } => 64,
        }
    }

    /// Whether a digest is that of the part.
    pub(super) fn is(&self, digest: &Digest) -> bool {
        self.digest(digest.algorithm()) == *digest
    }

    fn digested(&self, algorithm: DigestAlgorithm) -> Self {
        match self {
            Self::Whole(bytes) => Self::Digest { digest: Digest::of(algorithm, bytes), bytes: bytes.len() as u64 },
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
    pub fn digests(&self, algorithm: DigestAlgorithm) -> Self {
        let attachments = self.attachments.iter().map(|attachment| KeptAttachment {
            number: attachment.number,
            headers: Vec::new(),
            body: attachment.body.digested(algorithm),
        });
        Self {
            form: self.form.clone(),
            message: self.message.digested(algorithm),
            attachments: attachments.collect(),
            signature: self.signature.digested(algorithm),
            batch: None,
        }
    }

    /// The digest of the hash chain of a batch signature: what tells the messages of one batch apart.
    pub(super) fn chain_digest(&self, algorithm: DigestAlgorithm) -> Option<Digest> {
        self.batch.as_ref().map(|batch| Digest::of(algorithm, &batch.chain))
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
        let mut out = Vec::with_capacity(self.bytes() + self.signature.bytes());
        self.lay_down(FORMAT_2, &mut out, |out| put_kept(out, &self.signature));
        self.put_batch(&mut out);
        out
    }

    /// What the ledger is told of it: the SHA-256 of format 2 with the signature and the hash chain as these digests of them. (Earlier versions
    /// took the SHA-256 of format 2 with both whole: nine tenths of the bytes.)
    pub(super) fn commitment(&self, signature: &Digest, chain: Option<&Digest>) -> [u8; 32] {
        let mut hash = Sha256::new();
        let bytes = self.signature.bytes() as u64;
        self.lay_down(FORMAT_2, &mut hash, |out| put_kept(out, &Kept::Digest { digest: *signature, bytes }));
        hash.put(&[u8::from(chain.is_some())]);
        if let Some(chain) = chain {
            put_bytes(&mut hash, chain.bytes());
        }
        hash.finish()
    }

    /// Format 3: as format 2, with the values of the signature instead of the signature; the mould is kept elsewhere. The signature must
    /// fit it.
    pub(super) fn encode_in(&self, mould: &Mould) -> Vec<u8> {
        let signature = self.signature.whole().map_or(&[][..], |signature| signature.as_ref());
        let values = mould.values_of(signature);
        let mut out = Vec::with_capacity(self.bytes() + values.len());
        self.lay_down(FORMAT_3, &mut out, |out| put_bytes(out, &values));
        self.put_batch(&mut out);
        out
    }

    /// About how many bytes its encoded form has without the signature.
    fn bytes(&self) -> usize {
        let batch = self.batch.as_ref().map_or(0, |batch| batch.result.len() + batch.chain.len());
        let attachments = self.attachments.iter().map(|attachment| 64 + attachment.body.bytes());
        256 + self.message.bytes() + batch + attachments.sum::<usize>()
    }

    fn lay_down<O: Sink>(&self, format: u8, out: &mut O, put_signature: impl FnOnce(&mut O)) {
        out.put(&[format]);
        match &self.form {
            MessageForm::Rest => out.put(&[REST]),
            MessageForm::Soap(content_type) => {
                out.put(&[SOAP]);
                put_bytes(out, content_type.as_bytes());
            }
        }
        put_kept(out, &self.message);
        put_number(out, self.attachments.len() as u64);
        for attachment in &self.attachments {
            put_number(out, u64::from(attachment.number));
            put_number(out, attachment.headers.len() as u64);
            for (name, value) in &attachment.headers {
                put_bytes(out, name.as_bytes());
                put_bytes(out, value.as_bytes());
            }
            put_kept(out, &attachment.body);
        }
        put_signature(out);
    }

    /// The hash chain of a batch signature: without its markup where it is written as we and X-Road write it.
    fn put_batch(&self, out: &mut Vec<u8>) {
        let Some(batch) = &self.batch else { return out.push(NO_BATCH) };
        if let Some(plain) = Plain::read(Files::SIGNATURE, &batch.result, &batch.chain) {
            out.push(PLAIN_BATCH);
            put_bytes(out, &plain.to_bytes());
        } else {
            out.push(BATCH);
            put_bytes(out, &batch.result);
            put_bytes(out, &batch.chain);
        }
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
            NO_BATCH => None,
            BATCH => Some(BatchParts { result: input.bytes()?, chain: input.bytes()? }),
            PLAIN_BATCH => {
                let plain = Plain::from_bytes(Files::SIGNATURE, &input.bytes()?)?;
                Some(BatchParts { result: Bytes::from(plain.result()), chain: Bytes::from(plain.chain()) })
            }
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
    Kept::Digest { digest: *body.digest(), bytes: body.len() }
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

    fn digest(&mut self, algorithm: DigestAlgorithm) -> Option<Kept> {
        let bytes = self.number()?;
        let digest = self.take(algorithm.output_len() as u64)?;
        Some(Kept::Digest { digest: Digest::made(algorithm, &digest)?, bytes })
    }

    fn kept(&mut self) -> Option<Kept> {
        match self.byte()? {
            WHOLE => self.bytes().map(Kept::Whole),
            DIGEST => self.digest(DigestAlgorithm::Sha512),
            DIGEST_SHA256 => self.digest(DigestAlgorithm::Sha256),
            DIGEST_SHA384 => self.digest(DigestAlgorithm::Sha384),
            _ => None,
        }
    }
}

/// Where the encoded form goes: into bytes, or into a digest.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for Sha256 {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

fn put_number(out: &mut impl Sink, number: u64) {
    out.put(&number.to_be_bytes());
}

fn put_bytes(out: &mut impl Sink, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.put(bytes);
}

fn put_kept(out: &mut impl Sink, kept: &Kept) {
    match kept {
        Kept::Whole(bytes) => {
            out.put(&[WHOLE]);
            put_bytes(out, bytes);
        }
        Kept::Digest { digest, bytes } => {
            out.put(&[match digest.algorithm() {
                DigestAlgorithm::Sha256 => DIGEST_SHA256,
                DigestAlgorithm::Sha384 => DIGEST_SHA384,
                // Nobody makes a SHA-1 of a message.
                DigestAlgorithm::Sha512 | DigestAlgorithm::Sha1 => DIGEST,
            }]);
            put_number(out, *bytes);
            out.put(digest.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use trust::hashchain;

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
                attachment(3, Kept::Digest { digest: Digest::sha512(b"3"), bytes: 1 << 40 }),
                attachment(4, Kept::Digest { digest: Digest::sha256(b"4"), bytes: 1 }),
            ],
            signature: Kept::Whole(Bytes::from_static(b"<s/>")),
            batch: Some(BatchParts { result: Bytes::from_static(b"r"), chain: Bytes::new() }),
        }
    }

    #[test]
    fn content_reads_back_and_a_cut_or_a_leftover_is_seen() {
        let rest = Content { form: MessageForm::Rest, attachments: Vec::new(), batch: None, ..soap() };
        for content in [soap(), rest, soap().digests(DigestAlgorithm::Sha512)] {
            let bytes = content.encode();
            assert_eq!(Content::decode(bytes.clone(), None), Some(content));
            for end in 0..bytes.len() {
                assert_eq!(Content::decode(bytes[..end].to_vec(), None), None, "cut at {end}");
            }
            assert_eq!(Content::decode([bytes.as_slice(), b"x"].concat(), None), None);
        }
    }

    #[test]
    fn a_chain_as_all_write_it_is_kept_in_a_quarter_of_its_bytes_and_comes_back() {
        let digests = [b"1", b"2"].map(|bytes| vec![DigestAlgorithm::Sha256.digest(bytes)]);
        let built = hashchain::build(DigestAlgorithm::Sha256, Files::SIGNATURE, &digests).unwrap();
        let parts = |chain: &str| BatchParts {
            result: Bytes::from(built.result.clone()),
            chain: Bytes::copy_from_slice(chain.as_bytes()),
        };
        let none = Content { batch: None, ..soap() };
        let usual = Content { batch: Some(parts(&built.chains[0])), ..soap() };
        let odd = Content { batch: Some(parts(&format!("{} ", built.chains[0]))), ..soap() };
        let bytes = |content: &Content| content.encode().len() - none.encode().len();
        assert!(4 * bytes(&usual) < bytes(&odd));
        for content in [usual, odd] {
            assert_eq!(Content::decode(content.encode(), None), Some(content));
        }
    }

    #[test]
    fn the_ledger_is_told_of_every_part() {
        let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let told = [
            soap().commitment(&one, None),
            soap().commitment(&two, None),
            soap().commitment(&one, Some(&one)),
            soap().commitment(&one, Some(&two)),
            Content { message: Kept::Whole(Bytes::from_static(b"<Other/>")), ..soap() }.commitment(&one, None),
            Content { attachments: Vec::new(), ..soap() }.commitment(&one, None),
            Content { form: MessageForm::Rest, ..soap() }.commitment(&one, None),
        ];
        for (place, one) in told.iter().enumerate() {
            assert!(told[place + 1..].iter().all(|other| other != one), "{place}");
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
        let digests = soap().digests(DigestAlgorithm::Sha512);
        assert_eq!(digests.message.digest(DigestAlgorithm::Sha512), Digest::sha512(b"<Envelope/>"));
        assert_eq!(digests.signature, Kept::Digest { digest: Digest::sha512(b"<s/>"), bytes: 4 });
        assert!(digests.container(None).is_none());
        assert!(digests.attachments.iter().all(|attachment| attachment.headers.is_empty()));
        let numbers: Vec<u32> = soap().container(None).unwrap().attachments.into_keys().collect();
        assert_eq!(numbers, [1], "what is not kept is not exported");
    }
}
