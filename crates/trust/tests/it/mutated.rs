//! Every reader of this crate, fed with what was right before somebody altered it: it refuses or reads, it never panics. And with what
//! nobody sends in earnest: deep, long, many. There it refuses before it costs anything.

use std::collections::BTreeMap;

use civic::testing::SeededRandom;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use trust::age::{Identity, Recipient, decrypt, encrypt};
use trust::archive::{After, ArchiveBuilder, verify_archive};
use trust::asic::{Container, Rules, verify};
use trust::cert::{Certificate, CertificateRequest, MemberNameProfile};
use trust::digest::{DigestAlgorithm, sha512};
use trust::globalconf::{
    Anchor, AnchorSource, ConfigurationVersion, Directory, DirectoryPart, SHARED_PARAMETERS, SharedParams, TrustDir,
    read_anchor, read_private, read_shared, write_anchor, write_shared,
};
use trust::hashchain::{self, Data, Files};
use trust::jose::{Jwks, jws_sign, jws_verify};
use trust::keys::{PublicKey, SigningKey};
use trust::mserv::{Command, Envelope, ManagementRequest};
use trust::note::policy::Policy;
use trust::note::{Checkpoint, Note, NoteSigner, TlogProof, VerifierKey};
use trust::ocsp::{CertId, OcspRequest, OcspResponse};
use trust::seal::KeyRing;
use trust::testing::{harmed, harms};
use trust::tsp::{TimestampRequest, TimestampToken, token_of_response};
use trust::xades::{HASH_CHAIN_RESULT, Signature};
use trust::xml::{Document, Limits};

use crate::nation::{Nation, at, minutes};

type Reader = dyn Fn(&[u8]);

/// A thing that is right, and all that reads such things.
struct Specimen {
    what: &'static str,
    bytes: Vec<u8>,
    read: Box<Reader>,
}

impl Specimen {
    fn new(what: &'static str, bytes: impl Into<Vec<u8>>, read: impl Fn(&[u8]) + 'static) -> Self {
        Self { what, bytes: bytes.into(), read: Box::new(read) }
    }
}

/// Harms each specimen many times.
fn suffer(specimens: &[Specimen]) {
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    for specimen in specimens {
        (specimen.read)(&specimen.bytes);
        let told = TestRunner::new(config.clone()).run(&harms(&[]), |harms| {
            (specimen.read)(&harmed(&specimen.bytes, &harms));
            Ok(())
        });
        assert!(told.is_ok(), "{}: {told:?}", specimen.what);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn harmed_certificates_requests_and_answers_of_authorities_are_refused_or_read() {
    let nation = Nation::new();
    let tax = nation.organisation("BB/GOV/1002", &[0x31]);
    let subject = MemberNameProfile::subject("BB", &"BB/GOV/1002".parse().unwrap(), "Impôts", "node-1").unwrap();
    let request = CertificateRequest::create(&tax.key, &subject).unwrap();
    let token = nation.stamp(b"data");
    let asked = TimestampRequest::for_data(b"data", &[9; 8]).unwrap();
    let response = TimestampToken::from_der(&token).unwrap().response().unwrap();
    let (ca, certificate) = (nation.ca.clone(), tax.certificate.clone());
    let ocsp_request =
        OcspRequest { ids: vec![CertId::of(&certificate, &ca)], nonce: Some(vec![7; 16]) }.to_der().unwrap();
    let stamp_authority = [nation.ca.clone()];
    suffer(&[
        Specimen::new("certificate", tax.certificate.der(), |bytes| drop(Certificate::from_der(bytes))),
        Specimen::new("certificate as text", tax.certificate.to_pem(), |bytes| {
            drop(Certificate::from_pem(&text(bytes)));
        }),
        Specimen::new("certificate request", request.der(), |bytes| drop(CertificateRequest::from_der(bytes))),
        Specimen::new("public key", tax.key.public().spki_der(), |bytes| drop(PublicKey::from_spki_der(bytes))),
        Specimen::new("OCSP request", ocsp_request, |bytes| drop(OcspRequest::from_der(bytes))),
        Specimen::new("OCSP response", nation.good(&tax.certificate), move |bytes| {
            if let Ok(read) = OcspResponse::from_der(bytes) {
                drop(read.verify(&certificate, &ca, at(), minutes(60), &[]));
            }
        }),
        Specimen::new("time-stamp request", asked.to_der().unwrap(), |bytes| drop(TimestampRequest::from_der(bytes))),
        Specimen::new("time-stamp token", token, move |bytes| {
            if let Ok(read) = TimestampToken::from_der(bytes) {
                drop(read.verify(b"data", &stamp_authority));
            }
        }),
        Specimen::new("time-stamp response", response, move |bytes| {
            drop(token_of_response(bytes));
            drop(asked.token(bytes));
        }),
    ]);
}

#[test]
fn harmed_signatures_containers_and_archives_are_refused_or_read() {
    let nation = Nation::new();
    let tax = nation.organisation("BB/GOV/1002", &[0x31]);
    let message =
        b"200\r\nOK\r\nx-road-id:BB-1\r\nx-road-client:BB/COM/2001/credit\r\nx-road-service:BB/GOV/1002/fisc/s\r\n";
    let digests = [vec![sha512(message).to_vec()], vec![sha512(b"another").to_vec()]];
    let batch = hashchain::build(DigestAlgorithm::Sha512, Files::SIGNATURE, &digests).unwrap();
    let signature = tax.sign(&nation, &[(HASH_CHAIN_RESULT, batch.result.as_bytes())]);
    let direct = tax.sign(&nation, &[("/message.xml", message)]);
    let container = Container {
        message: message.to_vec(),
        attachments: BTreeMap::new(),
        signature: direct.clone(),
        signature_chain: None,
        time_stamp: None,
        ledger_proof: Some(crate::asic::proof_of(&direct, &crate::asic::log())),
    }
    .write(at())
    .unwrap();
    let mut archive = ArchiveBuilder::new(DigestAlgorithm::Sha512, None);
    archive.add("a.asice", at(), &container).unwrap();
    let key = tax.certificate.public_key().clone();
    let (result, chain) = (batch.result.clone(), batch.chains.first().unwrap().clone());
    let again = result.clone();
    let rules = Rules { unstamped_at: Some(at()), ..Rules::default() };
    suffer(&[
        Specimen::new("XAdES signature", signature, move |bytes| {
            if let Ok(read) = Signature::parse(bytes) {
                drop(read.check_value(&key));
                let _ = read.file_names().count();
            }
        }),
        Specimen::new("hash chain", chain.clone(), move |bytes| {
            drop(hashchain::verify(result.as_bytes(), "/sig-hashchain.xml", bytes, |_| Data::Bytes(message)));
        }),
        Specimen::new("hash chain result", again, move |bytes| {
            drop(hashchain::verify(bytes, "/sig-hashchain.xml", chain.as_bytes(), |_| Data::Bytes(message)));
        }),
        Specimen::new("container", container, move |bytes| {
            if let Ok(read) = Container::read(bytes) {
                drop(verify(&read, &nation.trust, &rules));
            }
        }),
        Specimen::new("archive", archive.finish(at(), "roles=cp").unwrap(), |bytes| {
            drop(verify_archive(bytes, After::Any));
        }),
    ]);
}

#[test]
fn harmed_configurations_and_management_requests_are_refused_or_read() {
    let nation = Nation::new();
    let tax = nation.organisation("BB/GOV/1002", &[0x31]);
    let shared = write_shared(&SharedParams::empty("BB"), ConfigurationVersion::V6);
    let anchor = Anchor {
        instance: "BB".to_owned(),
        generated_at: Some(at()),
        sources: vec![AnchorSource {
            download_url: "http://127.0.0.1:8604/conf".to_owned(),
            certs: vec![tax.certificate.der().to_vec()],
        }],
    };
    let part = DirectoryPart::of(SHARED_PARAMETERS, "BB", "/V6/shared-params.xml", shared.as_bytes());
    let directory = Directory { expires: at().plus(minutes(10)), version: Some(6), parts: vec![part] };
    let signed = directory.sign(&tax.key, tax.certificate.der(), &SeededRandom::new(2)).unwrap();
    let certificates = vec![tax.certificate.der().to_vec()];
    let command = Command::ClientReg {
        server: "BB/GOV/1002/node-1".parse().unwrap(),
        client: "BB/GOV/1002/fisc".parse().unwrap(),
        subsystem_name: Some("Impôts & <taxes>".to_owned()),
    };
    let request = ManagementRequest {
        id: "m-1".to_owned(),
        sender: "BB/GOV/1002".parse().unwrap(),
        provider: "BB/GOV/1000/management".parse().unwrap(),
        user: Some("BB1 <2> & 3".to_owned()),
        issue: None,
        command,
    };
    let ocsp = nation.good(&tax.certificate);
    let envelope = Envelope::signed(&request, &tax.key, &tax.certificate, &ocsp).unwrap();
    let (kind, body) = envelope.to_http(&SeededRandom::new(1));
    suffer(&[
        Specimen::new("shared parameters", shared.clone(), |bytes| {
            drop(read_shared(bytes));
            drop(read_private(bytes));
            let files = BTreeMap::from([
                ("instance-identifier".to_owned(), b"BB".to_vec()),
                ("BB/shared-params.xml".to_owned(), bytes.to_vec()),
            ]);
            drop(TrustDir::load(&files));
        }),
        Specimen::new("anchor", write_anchor(&anchor), |bytes| drop(read_anchor(bytes))),
        Specimen::new("signed directory", signed, move |bytes| drop(Directory::verify(bytes, &certificates, at()))),
        Specimen::new("management request", request.to_soap(), |bytes| drop(ManagementRequest::from_soap(bytes))),
        Specimen::new("signed management request", body, move |bytes| drop(Envelope::read(&kind, bytes))),
    ]);
}

#[test]
fn harmed_notes_proofs_tokens_and_sealed_values_are_refused_or_read() {
    let signer = NoteSigner::new("ledger.example/state", SigningKey::generate_ed25519().unwrap()).unwrap();
    let verifier = signer.verifier();
    let checkpoint = Checkpoint::new("ledger.example/state", 1, [7; 32]).unwrap();
    let note = checkpoint.sign(&signer).unwrap();
    let proof = TlogProof { index: 0, hashes: Vec::new(), checkpoint: note.clone(), extra: None };
    let policy = format!("log {verifier}\nwitness w {verifier}\nquorum w\n");
    let key = SigningKey::generate_p256().unwrap();
    let jwks = Jwks::of([key.public()]).unwrap();
    let token = jws_sign(&key, "at+jwt", &serde_json::json!({"sub": "x", "exp": 1})).unwrap();
    let random = SeededRandom::new(5);
    let ring = KeyRing::generate(&random);
    let sealed = ring.seal(&[b"a".as_slice()], b"a value", &random).unwrap();
    let identity = Identity::generate(&random).unwrap();
    let recipient = identity.recipient().unwrap();
    let file = encrypt(std::slice::from_ref(&recipient), b"an archive", &random).unwrap();
    let (of_note, of_proof) = (verifier.clone(), verifier.clone());
    suffer(&[
        Specimen::new("note", note, move |bytes| {
            let text = text(bytes);
            drop(Checkpoint::open(&text, &of_note));
            if let Ok(note) = Note::parse(&text) {
                drop(note.verify(std::slice::from_ref(&of_note)));
            }
        }),
        Specimen::new("checkpoint", checkpoint.text(), |bytes| drop(Checkpoint::parse(&text(bytes)))),
        Specimen::new("tlog-proof", proof.to_text(), move |bytes| {
            if let Ok(proof) = TlogProof::parse(&text(bytes)) {
                drop(proof.verify(b"entry", &of_proof));
            }
        }),
        Specimen::new("verifier key", verifier.to_string(), |bytes| drop(text(bytes).parse::<VerifierKey>())),
        Specimen::new("policy", policy, |bytes| drop(Policy::parse(&text(bytes)))),
        Specimen::new("token", token, move |bytes| {
            drop(jws_verify::<serde_json::Value>(&text(bytes), &jwks, "at+jwt"));
        }),
        Specimen::new("store key", ring.to_text(), |bytes| drop(KeyRing::from_text(&text(bytes)))),
        Specimen::new("sealed value", sealed, move |bytes| drop(ring.open(&[b"a".as_slice()], bytes))),
        Specimen::new("recipient", recipient.to_string(), |bytes| drop(Recipient::parse(&text(bytes)))),
        Specimen::new("identity", identity.to_text(), |bytes| drop(Identity::parse(&text(bytes)))),
        Specimen::new("encrypted archive", file, move |bytes| drop(decrypt(&identity, bytes))),
    ]);
}

/// Nested as deep as a megabyte allows: a reader that descends by recursion would overflow its stack and end the process.
#[test]
fn what_is_nested_without_end_is_refused() {
    let mut der = Vec::new();
    for level in 0..200_000_usize {
        let inside = u32::try_from((200_000 - level) * 6).unwrap();
        der.extend_from_slice(&[0x30, 0x84]);
        der.extend_from_slice(&inside.to_be_bytes());
    }
    let indefinite = [0x30, 0x80].repeat(200_000);
    for bytes in [&der, &indefinite] {
        assert!(Certificate::from_der(bytes).is_err() && CertificateRequest::from_der(bytes).is_err());
        assert!(OcspResponse::from_der(bytes).is_err() && OcspRequest::from_der(bytes).is_err());
        assert!(TimestampToken::from_der(bytes).is_err() && token_of_response(bytes).is_err());
        assert!(PublicKey::from_spki_der(bytes).is_err() && TimestampRequest::from_der(bytes).is_err());
    }
    let xml = "<a>".repeat(300_000);
    let entities = format!("<!DOCTYPE a [{}]><a>&x9;</a>", "<!ENTITY x0 \"&x1;&x1;\">".repeat(10));
    for text in [xml.as_str(), &entities] {
        assert!(Document::parse(text.as_bytes(), &Limits::SMALL).is_err());
        assert!(Signature::parse(text.as_bytes()).is_err() && read_shared(text.as_bytes()).is_err());
        assert!(ManagementRequest::from_soap(text.as_bytes()).is_err());
        assert!(read_anchor(text.as_bytes()).is_err());
    }
    let json = format!("{}.e30.e30", "W1tb".repeat(100_000));
    let key = SigningKey::generate_p256().unwrap();
    assert!(jws_verify::<serde_json::Value>(&json, &Jwks::of([key.public()]).unwrap(), "JWT").is_err());
    let note = format!("ledger.example/state\n1\nAAAA\n\n{}", "— a AAAAAAAA\n".repeat(100_000));
    assert!(Note::parse(&note).is_err());
}
