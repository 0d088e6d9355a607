//! Keys in a token: SoftHSM holds them, our verifier and OpenSSL judge what it signs. Each test runs in a process of its own.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use civic::testing::SeededRandom;
use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use trust::cert::{CertificateRequest, DistinguishedName, NameAttribute};
use trust::digest::DigestAlgorithm;
use trust::keys::{KeyError, KeyKind, PublicKey, SignatureAlgorithm, SigningKey};
use trust::pkcs11::testing::{LABEL, PIN, alone};
use trust::pkcs11::{Module, PinState, Token, TokenError, TokenName};

const KINDS: [KeyKind; 4] = [KeyKind::P256, KeyKind::P384, KeyKind::Rsa { bits: 2_048 }, KeyKind::Rsa { bits: 4_096 }];
const XML: SignatureAlgorithm = SignatureAlgorithm::EcdsaSha512Fixed;

fn made(token: &Token, kind: KeyKind, label: &str) -> SigningKey {
    let seed = label.bytes().fold(1_u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    token.key(&token.generate(kind, label, &SeededRandom::new(seed)).unwrap())
}

#[test]
fn each_kind_of_key_signs_in_the_token_and_our_verifier_and_openssl_agree() {
    alone("pkcs11::each_kind_of_key_signs_in_the_token_and_our_verifier_and_openssl_agree", |hsm| {
        let token = hsm.logged_in();
        let folder = tempfile::tempdir().unwrap();
        for kind in KINDS {
            let key = made(&token, kind, &kind.to_string());
            assert_eq!(key.kind(), kind);
            let mut signed = 0;
            for algorithm in SignatureAlgorithm::ALL {
                let signature = match key.sign(algorithm, b"message") {
                    Err(KeyError::Mismatch { .. }) => continue,
                    other => other.unwrap(),
                };
                assert_eq!(key.public().verify(algorithm, b"message", &signature), Ok(()), "{kind} {algorithm:?}");
                if algorithm == algorithm.der_form() {
                    openssl_agrees(folder.path(), key.public(), algorithm, &signature);
                }
                signed += 1;
            }
            assert_eq!(signed, 6, "{kind}");
        }
    });
}

fn openssl_agrees(folder: &Path, key: &PublicKey, algorithm: SignatureAlgorithm, signature: &[u8]) {
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let digest = match algorithm.digest() {
        DigestAlgorithm::Sha256 => "-sha256",
        DigestAlgorithm::Sha384 => "-sha384",
        _ => "-sha512",
    };
    let mut judge = Command::new("openssl");
    judge.args(["dgst", digest, "-keyform", "DER", "-verify"]).arg(file("key.der", key.spki_der()));
    if format!("{algorithm:?}").starts_with("RsaPss") {
        judge.args(["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]);
    }
    judge.arg("-signature").arg(file("signature", signature)).arg(file("message", b"message"));
    let verdict = judge.output().unwrap();
    assert!(verdict.status.success(), "{algorithm:?}: {}", String::from_utf8_lossy(&verdict.stderr));
}

#[test]
fn a_key_is_found_again_by_its_label_and_by_its_certificate() {
    alone("pkcs11::a_key_is_found_again_by_its_label_and_by_its_certificate", |hsm| {
        let token = hsm.logged_in();
        for kind in KINDS {
            let label = format!("node-1 {kind}");
            assert_eq!(token.find(&label), Ok(None));
            let public = made(&token, kind, &label).public().clone();
            assert_eq!(token.find(&label), Ok(Some(public.clone())));
            assert_eq!(token.holds(&public), Ok(true));
            let subject = DistinguishedName::new(&[(NameAttribute::CommonName, "node-1")]).unwrap();
            let request = CertificateRequest::create(&token.key(&public), &subject).unwrap();
            // Reading it back checks its signature.
            assert_eq!(CertificateRequest::from_der(request.der()).unwrap().public_key(), &public);
        }
        let stranger = SigningKey::generate_p256().unwrap();
        assert_eq!(token.holds(stranger.public()), Ok(false));
        let error = token.key(stranger.public()).sign(XML, b"message").unwrap_err();
        assert_eq!(error, KeyError::Token(TokenError::NoKey(KeyKind::P256)));
        token.generate(KeyKind::P256, "twice", &SeededRandom::new(8)).unwrap();
        token.generate(KeyKind::P256, "twice", &SeededRandom::new(9)).unwrap();
        assert_eq!(token.find("twice"), Err(TokenError::SeveralKeys("twice".to_owned())));
        assert!(matches!(
            token.generate(KeyKind::Ed25519, "x", &SeededRandom::new(2)),
            Err(TokenError::Unsupported(_))
        ));
        let key = made(&token, KeyKind::P256, "gone");
        key.sign(XML, b"message").unwrap();
        token.delete(key.public()).unwrap();
        assert_eq!(key.sign(XML, b"message"), Err(KeyError::Token(TokenError::NoKey(KeyKind::P256))));
        assert_eq!(token.find("gone"), Ok(None));
    });
}

#[test]
fn a_key_never_leaves_its_token() {
    alone("pkcs11::a_key_never_leaves_its_token", |hsm| {
        let token = hsm.logged_in();
        let key = made(&token, KeyKind::P256, "stays");
        assert_eq!(key.to_pkcs8_der(), Err(KeyError::InToken));
        let shown = format!("{key:?} {token:?}");
        assert!(!shown.contains(PIN) && shown.contains(LABEL), "{shown}");
        // Another program, which knows the PIN, asks for the key itself.
        let calls = Pkcs11::new(hsm.module()).unwrap();
        let slot = calls.get_slots_with_initialized_token().unwrap()[0];
        let session = calls.open_ro_session(slot).unwrap();
        let found = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap();
        assert_eq!(found.len(), 1);
        let kinds = [
            AttributeType::Sensitive,
            AttributeType::NeverExtractable,
            AttributeType::Extractable,
            AttributeType::Value,
        ];
        let told = session.get_attributes(found[0], &kinds).unwrap();
        let expected = [Attribute::Sensitive(true), Attribute::NeverExtractable(true), Attribute::Extractable(false)];
        assert_eq!(told, expected, "and no value");
    });
}

#[test]
fn a_wrong_pin_is_refused_and_not_tried_again() {
    alone("pkcs11::a_wrong_pin_is_refused_and_not_tried_again", |hsm| {
        let token = hsm.token();
        assert_eq!(token.check(), Err(TokenError::LoggedOut));
        assert_eq!(token.login(""), Err(TokenError::PinLength));
        assert_eq!(token.login("wrong"), Err(TokenError::PinRefused));
        let at_first = token.status().unwrap();
        assert!(matches!(at_first.pin, PinState::Good | PinState::Low), "{at_first:?}");
        for _ in 0..20 {
            assert_eq!(token.check(), Err(TokenError::PinRefused));
        }
        assert_eq!(token.status().unwrap(), at_first);
        token.login(PIN).unwrap();
        let key = made(&token, KeyKind::P256, "sign");
        key.sign(XML, b"message").unwrap();
        // Logged in, no PIN is looked at; logged out, nothing is signed.
        token.login("wrong").unwrap();
        token.logout().unwrap();
        assert_eq!(key.sign(XML, b"message"), Err(KeyError::Token(TokenError::LoggedOut)));
        token.login(PIN).unwrap();
        key.sign(XML, b"message").unwrap();
    });
}

#[test]
fn a_token_or_module_that_is_missing_is_named() {
    alone("pkcs11::a_token_or_module_that_is_missing_is_named", |hsm| {
        // Two tokens of one label: only the serial number tells them apart.
        hsm.init_token(LABEL);
        let module = Module::load(hsm.module()).unwrap();
        let absent = Token::new(module.clone(), TokenName::Label("other".to_owned()), 1);
        let error = absent.login(PIN).unwrap_err();
        assert!(matches!(&error, TokenError::Absent(_)) && error.to_string().contains("`other`"), "{error}");
        let several = Token::new(module.clone(), TokenName::Label(LABEL.to_owned()), 1);
        assert!(matches!(several.login(PIN), Err(TokenError::Ambiguous(_))));
        let present = module.tokens().unwrap();
        assert_eq!(present.len(), 2);
        for status in present {
            let by_serial = Token::new(module.clone(), TokenName::Serial(status.serial.clone()), 1);
            by_serial.login(PIN).unwrap();
            assert_eq!(by_serial.status().unwrap().serial, status.serial);
        }
        for path in ["/nowhere/module.so", "/etc/hostname"] {
            let error = Module::load(Path::new(path)).err().unwrap();
            assert!(matches!(&error, TokenError::Module { .. }) && error.to_string().contains(path), "{error}");
        }
    });
}

#[test]
fn many_threads_sign_with_few_sessions() {
    alone("pkcs11::many_threads_sign_with_few_sessions", |hsm| {
        let token = Token::new(Module::load(hsm.module()).unwrap(), TokenName::Label(LABEL.to_owned()), 3);
        token.login(PIN).unwrap();
        let key = made(&token, KeyKind::P256, "sign");
        thread::scope(|scope| {
            for number in 0..16 {
                let key = &key;
                scope.spawn(move || {
                    for round in 0..20 {
                        key.sign(XML, format!("{number} {round}").as_bytes()).unwrap();
                    }
                });
            }
        });
    });
}

#[test]
fn a_token_that_is_pulled_out_is_named_and_used_again_when_it_is_back() {
    alone("pkcs11::a_token_that_is_pulled_out_is_named_and_used_again_when_it_is_back", |hsm| {
        let token = hsm.logged_in();
        let key = made(&token, KeyKind::P256, "sign");
        key.sign(XML, b"message").unwrap();
        for _ in 0..2 {
            hsm.pull_out();
            let error = until(|| key.sign(XML, b"message").err());
            assert!(matches!(error, KeyError::Token(TokenError::Absent(_))), "{error}");
            assert!(error.to_string().contains("Plug it in"), "{error}");
            assert!(matches!(token.status(), Err(TokenError::Absent(_))));
            hsm.plug_in();
            until(|| key.sign(XML, b"message").ok());
        }
    });
}

/// Asks until there is an answer; a module is not started anew at each try.
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "nothing changed for half a minute");
        thread::sleep(Duration::from_millis(100));
    }
}
