//! Containers: those of X-Road with their verdicts, and our own.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use trust::asic::{
    AsicError, ChainFiles, Container, Direction, LoggedRecord, Rules, StampFiles, Verdict, verify, verify_with,
};
use trust::digest::{Digest, DigestAlgorithm, sha512};
use trust::globalconf::TrustDir;
use trust::hashchain::{self, Data, Files, HashChainError};
use trust::keys::SigningKey;
use trust::merkle::{leaf_hash, node_hash};
use trust::note::policy::Policy;
use trust::note::{Checkpoint, NoteError, NoteSigner, Opening, TlogProof};
use trust::tsp::TspError;
use trust::xades::{HASH_CHAIN_RESULT, MESSAGE, Signature, SignatureError, Verifier, with_time_stamp};

use crate::nation::{Nation, at, minutes};
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
    assert!(read("batch-sig.xml").unwrap().is_batch());
    let missing = read("sign-0-no-signing-cert.xml").unwrap_err();
    assert_eq!(missing.code(), "malformed_signature", "{missing}");
    assert!(matches!(read("sign-0-malformed-xml.xml"), Err(SignatureError::Xml(_))));
}

const ANSWER: &[u8] = b"200\r\nOK\r\nx-road-id:BB-1\r\nx-road-client:BB/COM/2001/credit\r\nx-road-service:BB/GOV/1002/fisc/income-statement\r\n";

/// An answer with a body: signed directly or through a hash chain, stamped through a hash chain.
fn our_container(nation: &Nation, batch: bool) -> Container {
    if batch {
        let [first, _] = our_batch(nation);
        return first;
    }
    let tax = nation.organisation("BB/GOV/1002", &[0x31]);
    let body = b"{\"gross_income\":1}".to_vec();
    let signature = tax.sign(nation, &[(MESSAGE, ANSWER), ("/attachment1", &body)]);
    stamped(nation, body, signature, None)
}

/// Two answers with other bodies under one signature.
fn our_batch(nation: &Nation) -> [Container; 2] {
    let tax = nation.organisation("BB/GOV/1002", &[0x31]);
    let bodies = [b"{\"gross_income\":1}".to_vec(), b"{\"gross_income\":2}".to_vec()];
    let digests = bodies.clone().map(|body| vec![sha512(ANSWER).to_vec(), sha512(&body).to_vec()]);
    let batch = hashchain::build(DigestAlgorithm::Sha512, Files::SIGNATURE, &digests).unwrap();
    let signature = tax.sign(nation, &[(HASH_CHAIN_RESULT, batch.result.as_bytes())]);
    let chain =
        |place: usize| ChainFiles { result: batch.result.clone().into(), chain: batch.chains[place].clone().into() };
    let [first, second] = bodies;
    [
        stamped(nation, first, signature.clone(), Some(chain(0))),
        stamped(nation, second, signature.clone(), Some(chain(1))),
    ]
}

fn stamped(nation: &Nation, body: Vec<u8>, signature: Vec<u8>, signature_chain: Option<ChainFiles>) -> Container {
    let stamped = vec![vec![sha512(b"another signature").to_vec()], vec![sha512(&signature).to_vec()]];
    let stamps = hashchain::build(DigestAlgorithm::Sha512, Files::TIME_STAMP, &stamped).unwrap();
    Container {
        message: ANSWER.to_vec(),
        attachments: BTreeMap::from([(1, body)]),
        signature,
        signature_chain,
        time_stamp: Some(StampFiles {
            token: nation.stamp(stamps.result.as_bytes()),
            chain: ChainFiles { result: stamps.result.into(), chain: stamps.chains[1].clone().into() },
        }),
        ledger_proof: None,
    }
}

/// A log.
pub(crate) fn log() -> NoteSigner {
    NoteSigner::new("log.test/state", SigningKey::generate_ed25519().unwrap()).unwrap()
}

/// A proof that a log holds the record of the message with this signature of its own.
pub(crate) fn proof_of(signature: &[u8], log: &NoteSigner) -> String {
    proof_of_record(
        &LoggedRecord { at: at(), content: [7; 32], signature: Some(Digest::sha512(signature)), chain: None },
        log,
    )
}

/// A proof that a log holds the record of a message that was signed in a batch.
fn proof_of_batched(container: &Container, log: &NoteSigner) -> String {
    let chain = container.signature_chain.as_ref().map(|files| Digest::sha256(&files.chain));
    let signature = Some(Digest::sha256(&container.signature));
    proof_of_record(&LoggedRecord { at: at(), content: [7; 32], signature, chain }, log)
}

fn proof_of_record(record: &LoggedRecord, log: &NoteSigner) -> String {
    let opening = Opening { salt: [9; 32], record: record.to_text() };
    let sibling = leaf_hash(b"another entry");
    let root = node_hash(&sibling, &leaf_hash(&opening.leaf()));
    let checkpoint = Checkpoint::new("log.test/state", 2, root).unwrap().sign(log).unwrap();
    opening.put_into(&TlogProof { extra: None, index: 1, hashes: vec![sibling], checkpoint }.to_text()).unwrap()
}

#[test]
fn our_containers_are_valid_and_say_who_when_and_what() {
    let nation = Nation::new();
    for batch in [false, true] {
        let bytes = our_container(&nation, batch).write(at()).unwrap();
        let verdict = verify(&Container::read(&bytes).unwrap(), &nation.trust, &Rules::default()).unwrap();
        assert_eq!(verdict.member.to_string(), "BB/GOV/1002");
        assert_eq!(verdict.message.service, "income-statement");
        assert_eq!(verdict.message.direction, Direction::Response);
        assert_eq!(verdict.time_stamp, Some(at().plus(minutes(1))));
        assert_eq!(verdict.signing_time, Some(at()));
        assert_eq!(verdict.files.len(), 2);
    }
}

#[test]
fn a_proof_of_the_ledger_travels_with_the_container_and_is_judged_by_a_policy() {
    let (nation, log) = (Nation::new(), log());
    let without = our_container(&nation, false);
    let mut with = without.clone();
    with.ledger_proof = Some(proof_of(&with.signature, &log));
    let bytes = with.write(at()).unwrap();
    assert_eq!(Container::read(&bytes).unwrap(), with);
    let proof = verify(&with, &nation.trust, &Rules::default()).unwrap().ledger.unwrap();
    assert_eq!((proof.index, proof.origin.as_str(), proof.record.at), (1, "log.test/state", at()));
    let opened = proof.judge(&Policy::log_only(log.verifier())).unwrap();
    assert!(opened.verdict.quorum && opened.verdict.checkpoint.size == 2);
    // Another key signs by the same name.
    let foreign = proof.judge(&Policy::log_only(crate::asic::log().verifier())).unwrap_err();
    assert!(matches!(foreign, NoteError::Unsigned(_)), "{foreign}");
    assert!(verify(&without, &nation.trust, &Rules::default()).unwrap().ledger.is_none());
}

#[test]
fn a_proof_of_one_message_of_a_batch_proves_nothing_of_another_message_of_that_batch() {
    let (nation, log) = (Nation::new(), log());
    let [one, another] = our_batch(&nation);
    assert_eq!(one.signature, another.signature);
    let judge = |container: &Container, proof: String| {
        let container = Container { ledger_proof: Some(proof), ..container.clone() };
        verify(&container, &nation.trust, &Rules::default()).map(|verdict| verdict.ledger.unwrap())
    };
    for container in [&one, &another] {
        let proof = judge(container, proof_of_batched(container, &log)).unwrap();
        assert!(proof.judge(&Policy::log_only(log.verifier())).unwrap().verdict.quorum);
        // Records of earlier versions name the signature only, which is that of both.
        assert_eq!(judge(container, proof_of(&container.signature, &log)), Err(AsicError::BatchRecord));
    }
    assert_eq!(judge(&one, proof_of_batched(&another, &log)), Err(AsicError::OtherRecord));
    assert_eq!(judge(&another, proof_of_batched(&one, &log)), Err(AsicError::OtherRecord));
    // Nor does the message of one with the hash chain of the other.
    let moved = Container { signature_chain: another.signature_chain.clone(), ..one };
    let refused = judge(&moved, proof_of_batched(&moved, &log)).unwrap_err();
    assert!(matches!(refused, AsicError::Signature(_)), "{refused}");
}

#[test]
fn a_proof_that_does_not_hold_for_this_message_is_refused() {
    let (nation, log) = (Nation::new(), log());
    let container = our_container(&nation, false);
    let judge = |proof: String| {
        let container = Container { ledger_proof: Some(proof), ..container.clone() };
        verify(&container, &nation.trust, &Rules::default()).map(|verdict| verdict.ledger.unwrap())
    };
    let other = our_container(&nation, true);
    assert_eq!(judge(proof_of(&other.signature, &log)), Err(AsicError::OtherRecord));
    // A record of a batch is of no message with a signature of its own, even where it names that signature.
    let mixed = Container { signature: container.signature.clone(), ..other };
    assert_eq!(judge(proof_of_batched(&mixed, &log)), Err(AsicError::OtherRecord));
    let good = proof_of(&container.signature, &log);
    let unopened = TlogProof { extra: None, ..TlogProof::parse(&good).unwrap() };
    assert!(matches!(judge(unopened.to_text()), Err(AsicError::LedgerProof(NoteError::Malformed { .. }))));
    let elsewhere = TlogProof { index: 0, ..TlogProof::parse(&good).unwrap() };
    assert!(matches!(judge(elsewhere.to_text()), Err(AsicError::LedgerProof(NoteError::Proof(_)))));
    let policy = Policy::log_only(log.verifier());
    for place in 0..good.len() {
        let mut altered = good.clone().into_bytes();
        altered[place] ^= 1 << (place % 7);
        let Ok(proof) = String::from_utf8(altered).map_err(drop).and_then(|text| judge(text).map_err(drop)) else {
            continue;
        };
        // What is left: the signature over the checkpoint, which only a policy judges, and what nothing says anything with.
        if let Ok(opened) = proof.judge(&policy) {
            assert_eq!(
                (proof.record.signature, opened.index),
                (Some(Digest::sha512(&container.signature)), 1),
                "byte {place}"
            );
        }
    }
}

#[test]
fn a_stamp_inside_the_signature_counts_too() {
    let nation = Nation::new();
    let mut container = our_container(&nation, false);
    let value = Signature::parse(&container.signature).unwrap().value().to_vec();
    container.signature = with_time_stamp(&container.signature, &nation.stamp(&value)).unwrap();
    container.time_stamp = None;
    assert!(verify(&container, &nation.trust, &Rules::default()).unwrap().time_stamp.is_some());
    let other = with_time_stamp(&our_container(&nation, false).signature, &nation.stamp(b"other")).unwrap();
    let refused = verify(&Container { signature: other, ..container }, &nation.trust, &Rules::default()).unwrap_err();
    assert!(matches!(refused, AsicError::TimeStamp(TspError::OtherData)), "{refused}");
}

#[test]
fn an_unstamped_container_needs_a_moment_from_outside() {
    let nation = Nation::new();
    let container = Container { time_stamp: None, ..our_container(&nation, true) };
    assert_eq!(verify(&container, &nation.trust, &Rules::default()).unwrap_err(), AsicError::NotStamped);
    let rules = Rules { unstamped_at: Some(at()), ..Rules::default() };
    assert_eq!(verify(&container, &nation.trust, &rules).unwrap().time_stamp, None);
}

#[test]
fn leftovers_are_refused_on_either_side() {
    let nation = Nation::new();
    let judge = |change: &dyn Fn(&mut Container)| {
        let mut container = our_container(&nation, false);
        change(&mut container);
        verify(&container, &nation.trust, &Rules::default()).unwrap_err()
    };
    let more = judge(&|container| drop(container.attachments.insert(2, b"x".to_vec())));
    assert_eq!(more, AsicError::Signature(SignatureError::NotSigned("/attachment2".to_owned())));
    let less = judge(&|container| container.attachments.clear());
    assert_eq!(less, AsicError::Signature(SignatureError::Missing("/attachment1".to_owned())));
    // X-Road accepts a hash chain to which nothing refers.
    let chain = our_container(&nation, true).signature_chain;
    let unsigned = judge(&|container| container.signature_chain.clone_from(&chain));
    assert!(matches!(unsigned, AsicError::Signature(SignatureError::HashChainMisplaced(_))), "{unsigned}");
    let foreign = our_container(&Nation::new(), false);
    assert!(verify(&foreign, &nation.trust, &Rules::default()).is_err());
}

#[test]
fn no_altered_byte_of_a_container_is_valid_with_other_content() {
    let nation = Nation::new();
    let container = our_container(&nation, true);
    let bytes = container.write(at()).unwrap();
    let verifier = Verifier::new(&nation.trust);
    let mut valid = 0;
    for place in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[place] ^= 1 << (place % 8);
        let Ok(read) = Container::read(&altered) else { continue };
        if verify_with(&read, &verifier, &Rules::default()).is_ok() {
            valid += 1;
            assert_eq!((read.message, read.attachments), (container.message.clone(), container.attachments.clone()));
        }
    }
    // Dates, attributes and the manifest in the zip file are not signed.
    assert!(valid < bytes.len() / 4, "{valid} of {}", bytes.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_files_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Container::read(&bytes).is_err());
        prop_assert!(Signature::parse(&bytes).is_err());
    }
}
