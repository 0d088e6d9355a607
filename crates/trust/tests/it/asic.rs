//! Containers: those of X-Road with their verdicts, and our own, judged by their schemas, by `xmlsec1` and by ourselves.

use std::path::Path;

use trust::asic::{AsicError, Container, Rules, Verdict, verify};
use trust::globalconf::TrustDir;
use trust::hashchain::{self, Data, HashChainError};
use trust::xades::{Signature, SignatureError};

use crate::samples;

fn trust_of_samples(root: &Path) -> TrustDir {
    TrustDir::load(&samples::files(&root.join("globalconf/globalconf_good2_v3"))).unwrap()
}

fn judged(root: &Path, name: &str, rules: &Rules) -> Result<Verdict, AsicError> {
    let bytes = std::fs::read(root.join(format!("asic/{name}.asice"))).unwrap();
    Container::read(&bytes).and_then(|container| verify(&container, &trust_of_samples(root), rules))
}

#[test]
fn the_valid_sample_containers_are_valid() {
    let Some(root) = samples::folder("valid containers of X-Road") else { return };
    for (name, member, files) in [
        ("valid-non-batch-rest", "DEV/COM/1234", 2),
        ("valid-signed-message", "DEV/COM/4321", 1),
        ("valid-batch-ts", "DEV/COM/4321", 1),
    ] {
        let verdict = judged(&root, name, &Rules::default()).unwrap();
        assert_eq!((verdict.member.to_string().as_str(), verdict.files.len()), (member, files), "{name}");
        assert!(verdict.time_stamp.is_some() && verdict.files.iter().all(|file| !file.detached), "{name}");
    }
    // Its attachment is signed but not inside: X-Road passes over that, we say so or refuse.
    let name = "valid-signed-hashchain";
    let missing = SignatureError::Missing("/attachment1".to_owned());
    assert_eq!(judged(&root, name, &Rules::default()).unwrap_err(), AsicError::Signature(missing));
    let verdict = judged(&root, name, &Rules { detached_attachments: true, ..Rules::default() }).unwrap();
    let detached: Vec<_> = verdict.files.iter().filter(|file| file.detached).map(|file| file.name.as_str()).collect();
    assert_eq!(detached, ["/attachment1"]);
}

#[test]
fn the_other_sample_containers_are_refused_for_the_reason_they_were_made() {
    let Some(root) = samples::folder("broken containers of X-Road") else { return };
    let refused =
        |name: &str| judged(&root, name, &Rules { detached_attachments: true, ..Rules::default() }).unwrap_err();
    let wrong = refused("wrong-message");
    assert!(wrong.to_string().starts_with("invalid signature value"), "{wrong}");
    assert!(matches!(wrong, AsicError::Signature(SignatureError::Digest(file)) if file == "/message.xml"));
    let chain = refused("invalid-signed-hashchain");
    assert!(chain.to_string().starts_with("malformed signature: invalid hash chain reference"), "{chain}");
    let stamp = refused("invalid-ts-hashchainresult");
    assert!(stamp.to_string().starts_with("malformed"), "{stamp}");
    for name in ["no-signature", "no-mimetype", "not-asic"] {
        assert!(matches!(refused(name), AsicError::NotContainer(_)), "{name}");
    }
}

#[test]
fn the_sample_hash_chains_get_the_verdicts_of_x_road() {
    let Some(root) = samples::folder("hash chains of X-Road") else { return };
    let read = |name: &str| std::fs::read(root.join("hashchain").join(name)).unwrap();
    let judge = |result: &str, name: &str, chain: &str, message: &str| {
        let message = read(message);
        hashchain::verify(&read(result), name, &read(chain), |file| match file {
            "/message.xml" => Data::Bytes(&message),
            "/attachment1" => Data::Detached,
            _ => Data::Unknown,
        })
        .map(|files| files.len())
    };
    let plain = "/hashchain.xml";
    let one =
        judge("hc-verifier1-hashchainresult.xml", plain, "hc-verifier1-hashchain.xml", "hc-verifier1-message.xml");
    assert_eq!(one, Ok(1));
    // The message is canonicalised before its digest.
    let three = "hc-verifier3-hashchainresult.xml";
    assert_eq!(judge(three, plain, "hc-verifier3-hashchain.xml", "hc-verifier3-message.xml"), Ok(1));
    let invalid = judge(three, plain, "hc-verifier3-hashchain-invalid.xml", "hc-verifier3-message.xml");
    assert_eq!(invalid, Err(HashChainError::Reference("/message.xml".to_owned())));
    let batch = judge("hash-chain-result.xml", "/sig-hashchain.xml", "hash-chain-1.xml", "message-1.xml");
    assert_eq!(batch, Ok(2));
}

#[test]
fn the_sample_signatures_that_are_broken_are_refused() {
    let Some(root) = samples::folder("signatures of X-Road") else { return };
    let read = |name: &str| Signature::parse(&std::fs::read(root.join("hashchain").join(name)).unwrap());
    assert!(read("batch-sig.xml").is_ok_and(|signature| signature.is_batch()));
    let missing = read("sign-0-no-signing-cert.xml").unwrap_err();
    assert_eq!(missing.code(), "malformed_signature", "{missing}");
    assert!(matches!(read("sign-0-malformed-xml.xml"), Err(SignatureError::Xml(_))));
}
