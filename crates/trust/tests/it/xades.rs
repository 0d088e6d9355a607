//! Signatures of our own: judged by us, by the schemas and by `xmlsec1`.

use civic::Timestamp;
use trust::c14n::{self, Method};
use trust::cert::{CertError, CertificateProfile};
use trust::digest::{Digest, DigestAlgorithm, sha512};
use trust::hashchain::{self, Files};
use trust::keys::{SignatureAlgorithm, SigningKey};
use trust::ocsp::{OcspError, OcspStatus};
use trust::xades::{
    DataRef, HASH_CHAIN_RESULT, MESSAGE, Part, SignatureError, Signer, Usage, VerifiedSigner, Verifier,
};
use trust::xml::{Document, Limits};

use crate::nation::{Nation, Organisation, at, client, minutes};
use crate::samples;

const REQUEST: &[u8] = b"GET\r\n/r1/BB/GOV/1002/fisc/income-statement/2025\r\nx-road-client:BB/COM/2001/credit\r\n";
const BODY: &[u8] = b"{\"year\":2025}";
const FILES: [(&str, &[u8]); 2] = [(MESSAGE, REQUEST), ("/attachment1", BODY)];

fn judge_at(nation: &Nation, signature: &[u8], moment: Timestamp) -> Result<VerifiedSigner, SignatureError> {
    let parts = [Part::bytes(MESSAGE, REQUEST), Part::bytes("/attachment1", BODY)];
    Verifier::new(&nation.trust).verify_message(signature, &parts, None, &client("BB/COM/2001/credit"), moment)
}

fn judge(nation: &Nation, signature: &[u8]) -> Result<VerifiedSigner, SignatureError> {
    judge_at(nation, signature, at())
}

fn bank(nation: &Nation) -> Organisation {
    nation.organisation("BB/COM/2001", &[0x21])
}

#[test]
fn a_signed_message_names_its_signer() {
    let nation = Nation::new();
    let bank = bank(&nation);
    let signature = bank.sign(&nation, &FILES);
    let verdict = judge(&nation, &signature).unwrap();
    assert_eq!(verdict.member.to_string(), "BB/COM/2001");
    assert_eq!(verdict.certificate, bank.certificate);
    assert_eq!((verdict.files.len(), verdict.signing_time), (2, Some(at())));
    // Known bytes are judged again without their signatures being checked anew, and by digest alone.
    let verifier = Verifier::new(&nation.trust);
    for _ in 0..3 {
        let digests = (Digest::sha512(REQUEST), Digest::sha512(BODY));
        let parts = [Part::digest(MESSAGE, &digests.0), Part::digest("/attachment1", &digests.1)];
        verifier.verify_message(&signature, &parts, None, &client("BB/COM/2001"), at()).unwrap();
        let altered = [Part::digest(MESSAGE, &digests.1), Part::digest("/attachment1", &digests.1)];
        let refused = verifier.verify_message(&signature, &altered, None, &client("BB/COM/2001"), at()).unwrap_err();
        assert_eq!(refused, SignatureError::Digest(MESSAGE.to_owned()));
    }
}

#[test]
fn another_member_may_not_speak() {
    let nation = Nation::new();
    let signature = nation.organisation("BB/GOV/1002", &[0x22]).sign(&nation, &FILES);
    let refused = judge(&nation, &signature).unwrap_err();
    assert!(matches!(refused, SignatureError::Signer { .. }), "{refused}");
    assert_eq!(refused.code(), "incorrect_certificate");
    let parts = [Part::bytes(MESSAGE, REQUEST), Part::bytes("/attachment1", BODY)];
    let foreign = Verifier::new(&nation.trust).verify_message(&signature, &parts, None, &client("XX/GOV/1002"), at());
    assert_eq!(foreign.unwrap_err(), SignatureError::UnknownInstance("XX".to_owned()));
}

#[test]
fn a_certificate_that_is_foreign_or_for_something_else_is_refused() {
    let (nation, other) = (Nation::new(), Nation::new());
    let foreign = bank(&other).sign(&other, &FILES);
    assert!(matches!(judge(&nation, &foreign), Err(SignatureError::Certificate(CertError::NotSignedBy { .. }))));
    let key = SigningKey::generate_p256().unwrap();
    let tls = nation.organisation_with(key, "BB/COM/2001", &[0x23], CertificateProfile::Auth);
    let refused = judge(&nation, &tls.sign(&nation, &FILES)).unwrap_err();
    assert!(matches!(refused, SignatureError::Usage { usage: Usage::Sign, .. }), "{refused}");
    let verifier = Verifier::new(&nation.trust);
    let ocsp = nation.good(&tls.certificate);
    let good = verifier.certificate("BB", tls.certificate.der(), &[&ocsp], Usage::Auth, at()).unwrap();
    assert_eq!(good.issuer, nation.ca);
    assert!(verifier.certificate("BB", tls.certificate.der(), &[], Usage::Auth, at()).is_err());
    assert_eq!(verifier.issuer("BB", &tls.certificate), Some(&nation.ca));
}

#[test]
fn validity_and_age_are_judged_at_the_moment_in_question_even_for_known_bytes() {
    let nation = Nation::new();
    let bank = bank(&nation);
    let signature = bank.sign(&nation, &FILES);
    let verifier = Verifier::new(&nation.trust);
    let parts = [Part::bytes(MESSAGE, REQUEST), Part::bytes("/attachment1", BODY)];
    let judge = |moment| verifier.verify_message(&signature, &parts, None, &client("BB/COM/2001"), moment);
    judge(at()).unwrap();
    let stale = judge(at().plus(minutes(56))).unwrap_err();
    assert!(matches!(stale, SignatureError::Ocsp(OcspError::Stale { .. })), "{stale}");
    let early = judge(at().minus(minutes(10))).unwrap_err();
    assert!(matches!(early, SignatureError::Ocsp(OcspError::FromTheFuture { .. })), "{early}");
    let expired = judge(at().plus(minutes(60 * 24 * 366))).unwrap_err();
    assert!(matches!(expired, SignatureError::Certificate(CertError::NotValidAt { .. })), "{expired}");
    judge(at()).unwrap();
}

#[test]
fn a_revoked_unknown_or_unasked_certificate_is_refused() {
    let nation = Nation::new();
    let (bank, other) = (bank(&nation), nation.organisation("BB/GOV/1002", &[0x24]));
    for status in [OcspStatus::Revoked { at: at().minus(minutes(20)) }, OcspStatus::Unknown] {
        let ocsp = nation.ocsp(&bank.certificate, status, at());
        let refused = judge(&nation, &bank.sign_with(&FILES, &ocsp)).unwrap_err();
        assert!(matches!(refused, SignatureError::NotGood { .. }), "{refused}");
    }
    let about_another = bank.sign_with(&FILES, &nation.good(&other.certificate));
    assert!(matches!(judge(&nation, &about_another), Err(SignatureError::NoOcsp { .. })));
    let files: Vec<DataRef<'_>> =
        FILES.iter().map(|(name, bytes)| DataRef { name, digest: Digest::sha512(bytes) }).collect();
    let without = bank.signer.sign(&files, at(), &[]).unwrap();
    assert!(matches!(judge(&nation, &without), Err(SignatureError::NoOcsp { .. })));
    let mut altered = nation.good(&bank.certificate);
    let middle = altered.len() / 3;
    altered[middle] ^= 1;
    assert!(judge(&nation, &bank.sign_with(&FILES, &altered)).is_err());
}

#[test]
fn no_altered_byte_of_a_signature_changes_what_it_proves() {
    let nation = Nation::new();
    let bank = bank(&nation);
    let xml = bank.sign(&nation, &FILES);
    let good = judge(&nation, &xml).unwrap();
    for place in (0..xml.len()).step_by(3) {
        let mut altered = xml.clone();
        altered[place] ^= 1 << (place % 7);
        if let Ok(verdict) = judge(&nation, &altered) {
            assert_eq!((verdict.certificate, verdict.files), (good.certificate.clone(), good.files.clone()), "{place}");
            assert_eq!(verdict.signing_time, good.signing_time);
        }
    }
}

#[test]
fn what_is_written_validates_against_the_schemas() {
    let Some(root) = samples::folder("schemas of signatures and hash chains") else { return };
    let nation = Nation::new();
    let bank = bank(&nation);
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], schema: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let schema = root.join("schemas").join(schema);
        let arguments = ["--noout", "--nonet", "--schema", schema.to_str().unwrap(), file.to_str().unwrap()];
        if let Some(output) = samples::tool("xmllint", &arguments) {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    };
    let with_chain = Signer::new(bank.key.clone(), &bank.certificate, std::slice::from_ref(&nation.ca)).unwrap();
    let batch = batch();
    let files = [DataRef { name: HASH_CHAIN_RESULT, digest: Digest::sha512(batch.result.as_bytes()) }];
    let extra = with_chain.sign(&files, at(), &[&nation.good(&bank.certificate)]).unwrap();
    let stamped = trust::xades::with_time_stamp(&extra, &nation.stamp(b"x")).unwrap();
    for (name, xml) in [("direct", bank.sign(&nation, &FILES)), ("batch", extra), ("stamped", stamped)] {
        // X-Road validates the ds:Signature inside the container element.
        let document = Document::parse(&xml, &Limits::SMALL).unwrap();
        let signature = document.root().elements().next().unwrap();
        check(&format!("{name}.xml"), &c14n::element(signature, Method::Inclusive, &[]), "xades-schema.xsd");
    }
    check("result.xml", batch.result.as_bytes(), "hashchain.xsd");
    for (number, chain) in batch.chains.iter().enumerate() {
        check(&format!("chain{number}.xml"), chain.as_bytes(), "hashchain.xsd");
    }
}

fn batch() -> hashchain::Batch {
    let messages: Vec<Vec<Vec<u8>>> = vec![
        vec![sha512(REQUEST).to_vec(), sha512(BODY).to_vec()],
        vec![sha512(b"second").to_vec()],
        vec![sha512(b"third").to_vec()],
    ];
    hashchain::build(DigestAlgorithm::Sha512, Files::SIGNATURE, &messages).unwrap()
}

#[test]
fn xmlsec1_verifies_what_we_sign_and_refuses_what_we_alter() {
    let nation = Nation::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("ca.pem"), nation.ca.to_pem()).unwrap();
    std::fs::write(path("message"), REQUEST).unwrap();
    std::fs::write(path("attachment"), BODY).unwrap();
    let keys = [
        (SigningKey::generate_p256().unwrap(), None),
        (SigningKey::generate_p384().unwrap(), None),
        (SigningKey::generate_rsa2048().unwrap(), None),
        (SigningKey::generate_rsa2048().unwrap(), Some(SignatureAlgorithm::RsaPkcs1Sha256)),
        (SigningKey::generate_p256().unwrap(), Some(SignatureAlgorithm::EcdsaSha256Fixed)),
    ];
    for (key, algorithm) in keys {
        let bank = nation.organisation_with(key.clone(), "BB/COM/2001", &[0x25], CertificateProfile::Sign);
        let algorithm = algorithm.unwrap_or_else(|| key.default_xml_algorithm());
        let signer = Signer::with_algorithm(key, algorithm, &bank.certificate, &[]).unwrap();
        let files: Vec<DataRef<'_>> =
            FILES.iter().map(|(name, bytes)| DataRef { name, digest: Digest::sha512(bytes) }).collect();
        let xml = signer.sign(&files, at(), &[&nation.good(&bank.certificate)]).unwrap();
        judge(&nation, &xml).unwrap();
        let verdict = |xml: &[u8]| {
            std::fs::write(path("signature.xml"), xml).unwrap();
            let (ca, message, attachment, signature) =
                (path("ca.pem"), path("message"), path("attachment"), path("signature.xml"));
            let arguments = [
                "--verify",
                "--id-attr:Id",
                "http://uri.etsi.org/01903/v1.3.2#:SignedProperties",
                "--trusted-pem",
                &ca,
                "--verification-gmt-time",
                "2026-11-21 22:40:00",
                "--url-map:/message.xml",
                &message,
                "--url-map:/attachment1",
                &attachment,
                &signature,
            ];
            samples::tool("xmlsec1", &arguments)
        };
        let Some(output) = verdict(&xml) else { return };
        assert!(output.status.success(), "{algorithm:?}: {}", String::from_utf8_lossy(&output.stderr));
        let altered = String::from_utf8(xml).unwrap().replacen("<xades:SigningTime>2026", "<xades:SigningTime>2027", 1);
        assert!(!verdict(altered.as_bytes()).unwrap().status.success());
    }
}
