//! Every parser that meets strangers' bytes, as one function each: bytes in, and whether anything was read from them. It may refuse or read, it
//! may not panic; and where it reads, what it promises is asserted.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use bridge::access::ServicePath;
use bridge::message::soap::{ContentType, Related, SOAP_PART_BYTES_MAX, Soap, SoapMessage, soap_action};
use bridge::message::{HEADERS_MAX, RestRequest, RestResponse};
use bridge::transport::{self, EnvelopeReader, Kind, Limits, Received};
use bytes::Bytes;
use civic::{ClientId, MemberId, ServerId, ServiceId, Timestamp};
use trust::archive::{After, verify_archive};
use trust::asic::{Container, Rules, verify};
use trust::cert::{Certificate, CertificateRequest, MemberNameProfile};
use trust::globalconf::{
    ApprovedCa, ApprovedTsa, CaInfo, ConfigurationVersion, Directory, SharedParams, TransparencyLogs, TrustDir,
    read_anchor, read_private, read_shared, write_shared,
};
use trust::hashchain::{self, Data};
use trust::jose::{Jwk, Jwks, jws_unverified, jws_verify};
use trust::mserv::{Envelope, ManagementRequest};
use trust::note::policy::Policy;
use trust::note::{Checkpoint, Note, TlogProof, VerifierKey};
use trust::ocsp::{OcspRequest, OcspResponse};
use trust::tsp::{TimestampRequest, TimestampToken, token_of_response};
use trust::xades::{Mould, Signature};
use trust::xml;

/// A reader; whether anything was read.
pub type Reader = fn(&[u8]) -> bool;

/// All readers by the names of their targets and of the folders of their seeds.
pub const READERS: [(&str, Reader); 11] = [
    ("rest_headers", rest_headers),
    ("identifiers", identifiers),
    ("soap", soap),
    ("transport", transport_envelope),
    ("xades", xades),
    ("asic", asic),
    ("directory", directory),
    ("shared_params", shared_params),
    ("ocsp_tsp", ocsp_tsp),
    ("notes", notes),
    ("jose", jose),
];

/// Bodies that the reader of envelopes takes.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// What the seeds were signed with: public halves only.
struct Known {
    ca: Certificate,
    signer: Certificate,
    tsa: Certificate,
    trust: TrustDir,
    jwks: Jwks,
    log: VerifierKey,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let certificate = |der: &[u8]| Certificate::from_der(der).expect("a certificate beside the seeds");
    let ca = certificate(include_bytes!("../seeds/known/ca.der"));
    let tsa = certificate(include_bytes!("../seeds/known/tsa.der"));
    let shared = SharedParams {
        approved_cas: vec![ApprovedCa {
            name: "CA".to_owned(),
            top: CaInfo { cert: ca.der().to_vec(), ocsp: Vec::new() },
            certificate_profile: MemberNameProfile::fi_vrk().class_name,
            ..ApprovedCa::default()
        }],
        approved_tsas: vec![ApprovedTsa {
            name: "TSA".to_owned(),
            url: String::new(),
            cert: tsa.der().to_vec(),
            cost: None,
        }],
        ocsp_freshness_s: 3_600,
        ..SharedParams::empty("BB")
    };
    Known {
        trust: TrustDir::of("BB", vec![(shared, None, None)]).expect("the trust of the seeds"),
        signer: certificate(include_bytes!("../seeds/known/signer.der")),
        jwks: Jwks::from_json(include_bytes!("../seeds/known/jwks.json")).expect("the keys of the seeds"),
        log: include_str!("../seeds/known/log.vkey").trim().parse().expect("the log of the seeds"),
        ca,
        tsa,
    }
});

/// The moment that the seeds are of.
pub fn at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T22:40:00Z").expect("a moment")
}

/// The header part of REST messages.
pub fn rest_headers(bytes: &[u8]) -> bool {
    let request = RestRequest::parse(Bytes::copy_from_slice(bytes));
    if let Ok(read) = &request {
        assert!(read.headers().len() <= HEADERS_MAX);
        let again = RestRequest::parse(read.bytes().clone()).expect("what was read is read again");
        assert_eq!((again.sha512(), again.service()), (read.sha512(), read.service()));
    }
    let response = RestResponse::parse(Bytes::copy_from_slice(bytes));
    if let Ok(read) = &response {
        RestResponse::parse(read.bytes().clone()).expect("what was read is read again");
    }
    request.is_ok() || response.is_ok()
}

/// Identifiers as they stand in headers and addresses, and paths before access rights: two lines, a pattern and what is asked for.
pub fn identifiers(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, asked) = text.split_once('\n').unwrap_or(("/**", &text));
    if let Ok(id) = asked.parse::<ServiceId>() {
        assert_eq!(id.to_string().parse::<ServiceId>().as_ref(), Ok(&id));
    }
    if let Ok(id) = asked.parse::<ClientId>() {
        assert_eq!(id.to_string().parse::<ClientId>().as_ref(), Ok(&id));
    }
    let _ = (asked.parse::<MemberId>(), asked.parse::<ServerId>());
    let Ok(path) = ServicePath::parse(asked) else { return false };
    for segment in (0..).map_while(|position| path.segment(position)) {
        assert!(segment != ".." && !segment.contains('/'), "{asked} climbs");
    }
    if path.fits(pattern) {
        assert!(path.fits("**"), "{asked} fits {pattern} and not everything");
    }
    true
}

/// SOAP messages and faults, alone and with attachments; the first line is the content type.
pub fn soap(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (kind, body) = bytes.split_at(end);
    let kind = String::from_utf8_lossy(kind);
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let _ = (ContentType::parse(&kind).to_string(), soap_action(Some(&kind)), transport::boundary_of(&kind));
    let mut any = false;
    for kind in [&kind, "text/xml", "application/xop+xml"] {
        if let Ok(Soap::Message(message)) = SoapMessage::parse(kind, Bytes::copy_from_slice(body)) {
            assert!(message.bytes().len() <= SOAP_PART_BYTES_MAX);
            let _ = (message.plain_argument("year"), message.argument("year"));
            assert!(message.with_request_hash(&message.hash()).expect("room for a hash").names_hash_of(&message));
            any = true;
        }
    }
    if let Ok((_, attachments)) = Related::read(Some(&kind), body) {
        assert!(attachments.iter().map(|one| one.1.len()).sum::<usize>() <= body.len());
        any = true;
    }
    any | transport::read_fault(body).is_ok()
        | ManagementRequest::from_soap(body).is_ok()
        | Envelope::read(&kind, body).is_ok()
}

/// The multipart envelope between nodes. The first byte says how it is cut in slices, which must not matter.
pub fn transport_envelope(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let kind = if first % 2 == 0 { Kind::Request } else { Kind::Response };
    let sliced = received(kind, rest, usize::from(*first) + 1);
    assert_eq!(sliced, received(kind, rest, rest.len().max(1)));
    let Some(Received::Message(envelope)) = sliced else { return false };
    let total: u64 = envelope.attachments.iter().map(|attachment| attachment.body.len()).sum();
    assert!(total <= BODY_BYTES_MAX);
    true
}

fn received(kind: Kind, bytes: &[u8], slice: usize) -> Option<Received> {
    let limits = Limits::with_body(BODY_BYTES_MAX);
    let mut reader =
        EnvelopeReader::new(kind, &transport::content_type("xtopB"), limits).expect("a content type of ours");
    for chunk in bytes.chunks(slice) {
        reader.push(Bytes::copy_from_slice(chunk)).ok()?;
    }
    reader.finish().ok()
}

/// XAdES signatures and hash chains.
pub fn xades(bytes: &[u8]) -> bool {
    let read = Signature::parse(bytes);
    if let Ok(read) = &read {
        let _ = (read.check_value(KNOWN.signer.public_key()), read.file_names().count(), read.signing_time());
        if let Some(mould) = Mould::of(bytes) {
            let again =
                Mould::refill(&mould.common(), &mould.values_of(bytes)).expect("a mould gives back what it took");
            assert_eq!(again, bytes);
        }
    }
    let chain = hashchain::verify(bytes, "/sig-hashchain.xml", bytes, |_| Data::Bytes(b"a message"));
    read.is_ok() | chain.is_ok() | xml::Document::parse(bytes, &xml::Limits::SMALL).is_ok()
}

/// ASiC-E containers, whole verdicts, and archives of them.
pub fn asic(bytes: &[u8]) -> bool {
    let read = Container::read(bytes);
    if let Ok(read) = &read {
        let _ = verify(read, &KNOWN.trust, &Rules { unstamped_at: Some(at()), ..Rules::default() });
    }
    read.is_ok() | verify_archive(bytes, After::Any).is_ok()
}

/// The signed directory of a global configuration.
pub fn directory(bytes: &[u8]) -> bool {
    let read = Directory::verify(bytes, &[KNOWN.signer.der().to_vec()], at());
    if let Ok(read) = &read {
        assert!(read.parts.iter().all(|part| part.check(b"another file").is_err()));
    }
    read.is_ok()
}

/// Shared and private parameters, anchors, lists of logs, and the folder that `baobab verify` takes.
pub fn shared_params(bytes: &[u8]) -> bool {
    let shared = read_shared(bytes);
    if let Ok(read) = &shared {
        for version in [ConfigurationVersion::V2, ConfigurationVersion::V6] {
            let again = read_shared(write_shared(read, version).as_bytes()).expect("what we write is read");
            assert_eq!(again.members.len(), read.members.len());
        }
    }
    let files = BTreeMap::from([
        ("instance-identifier".to_owned(), b"BB".to_vec()),
        ("BB/shared-params.xml".to_owned(), bytes.to_vec()),
    ]);
    let _ = TrustDir::load(&files);
    shared.is_ok()
        | read_private(bytes).is_ok()
        | read_anchor(bytes).is_ok()
        | TransparencyLogs::read(bytes, "BB").is_ok()
}

/// OCSP, time stamps, certificates and requests for them: DER.
pub fn ocsp_tsp(bytes: &[u8]) -> bool {
    let ocsp = OcspResponse::from_der(bytes);
    if let Ok(read) = &ocsp {
        let _ = read.verify(&KNOWN.signer, &KNOWN.ca, at(), Duration::from_hours(1), &[]);
    }
    let token = TimestampToken::from_der(bytes);
    if let Ok(read) = &token {
        let _ = read.verify(b"data", std::slice::from_ref(&KNOWN.tsa));
    }
    let certificate = Certificate::from_der(bytes);
    if let Ok(read) = &certificate {
        let _ = (MemberNameProfile::fi_vrk().member(read.subject(), "BB"), read.ocsp_url(), read.is_valid_at(at()));
    }
    let requests = OcspRequest::from_der(bytes).is_ok()
        | TimestampRequest::from_der(bytes).is_ok()
        | CertificateRequest::from_der(bytes).is_ok();
    requests | ocsp.is_ok() | token.is_ok() | certificate.is_ok() | token_of_response(bytes).is_ok()
}

/// What a transparency log says: notes, checkpoints, proofs, policies, keys.
pub fn notes(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let _ = Checkpoint::open(&text, &KNOWN.log);
    let checkpoint = Checkpoint::parse(&text);
    if let Ok(read) = &checkpoint {
        assert_eq!(Checkpoint::parse(&read.text()).as_ref().ok(), Some(read));
    }
    let note = Note::parse(&text);
    if let Ok(read) = &note {
        let _ = read.verify(std::slice::from_ref(&KNOWN.log));
    }
    let proof = TlogProof::parse(&text);
    if let Ok(read) = &proof {
        let again = TlogProof::parse(&read.to_text()).expect("what we write is read");
        assert_eq!(again.index, read.index);
        let _ = read.verify(b"entry", &KNOWN.log);
    }
    let keys = Policy::parse(&text).is_ok() | text.parse::<VerifierKey>().is_ok();
    keys | checkpoint.is_ok() | note.is_ok() | proof.is_ok()
}

/// Tokens and key sets.
pub fn jose(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let tokens = ["at+jwt", "JWT"].map(|typ| jws_verify::<serde_json::Value>(&text, &KNOWN.jwks, typ));
    let _ = jws_unverified::<serde_json::Value>(&text);
    let set = Jwks::from_json(bytes);
    if let Ok(read) = &set {
        let same = |key: &Jwk| Jwk::of(key.public_key()).is_ok_and(|own| own.thumbprint() == key.thumbprint());
        assert!(read.keys().iter().all(same));
    }
    set.is_ok() | tokens.iter().any(Result::is_ok)
}
