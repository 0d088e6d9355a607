//! The notary of the nation: an application registers a file, anyone checks it, on the command line and in a browser.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use trust::digest::sha256;
use trust::keys::SigningKey;
use trust::merkle::leaf_hash;
use trust::note::{Checkpoint, NoteSigner, Opening, TlogProof};
use web::{ClientLimits, HttpClient};

use crate::browser::{Browser, Scripts};
use crate::nation::{DemoProcess, baobab};

/// A file, its proof, and proofs that must not hold.
struct Files {
    document: PathBuf,
    altered: PathBuf,
    proof: PathBuf,
    foreign: PathBuf,
    alone: PathBuf,
    salted: PathBuf,
    policy: PathBuf,
}

#[tokio::test(flavor = "multi_thread")]
async fn anyone_checks_a_file_and_its_proof_in_the_browser_which_sends_nothing() {
    let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let nation = DemoProcess::start(data.path());
    let url = nation.description()["notary"]["url"].as_str().unwrap().to_owned();
    let files = files(&nation, work.path()).await;
    for (language, width, words) in [
        ("en", 1_000, ["Proven", "Rule “digest”", "Rule “log”", "Rule “quorum”", "Rule “path”", "Rule “form”"]),
        (
            "fr",
            360,
            [
                "Prouvé",
                "Règle « empreinte »",
                "Règle « registre »",
                "Règle « quorum »",
                "Règle « chemin »",
                "Règle « forme »",
            ],
        ),
    ] {
        let browser = Browser::open(width, Scripts::On, language).await;
        browser.go(&url).await;
        let before = browser.requests().await;
        for ((document, proof), word) in [
            (&files.document, &files.proof),
            (&files.altered, &files.proof),
            (&files.document, &files.foreign),
            (&files.document, &files.alone),
            (&files.document, &files.salted),
            (&files.document, &files.policy),
        ]
        .into_iter()
        .zip(words)
        {
            browser.choose("document", document).await;
            browser.choose("proof", proof).await;
            browser.press("#go").await;
            let mut verdict = String::new();
            for _ in 0..100 {
                verdict = browser.text("#verdict").await;
                if verdict.contains(word) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(verdict.contains(word), "{word}: {verdict}");
            let name = proof.file_stem().unwrap().to_string_lossy();
            browser.picture(&format!("notary-{name}-{language}")).await;
        }
        assert!(!browser.scrolls_sideways().await, "at {width} pixels");
        assert_eq!(browser.requests().await, before, "the browser asked for nothing while it checked");
        browser.close().await;
    }
    let careful = Browser::open(360, Scripts::Off, "fr").await;
    careful.go(&url).await;
    assert!(careful.text("main").await.contains("baobab verify"), "without scripts the page says how to go on");
    careful.picture("notary-no-script-fr").await;
    careful.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_judged_offline_on_the_command_line() {
    let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let nation = DemoProcess::start(data.path());
    let files = files(&nation, work.path()).await;
    nation.kill();
    keys_are_made_and_revoked(data.path());
    let verify = |proof: &Path, document: &Path| {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        baobab(&["verify", &text(proof), "--policy", &text(&files.policy), "--document", &text(document), "--json"])
    };
    let (valid, said) = verify(&files.proof, &files.document);
    assert!(valid, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["witnesses"].as_array().unwrap().len(), 2, "both keys of the bank's witness: {said}");
    for (proof, document, word) in [
        (&files.proof, &files.altered, "is not the one that was registered"),
        (&files.foreign, &files.document, "no key that is trusted here"),
        (&files.alone, &files.document, "quorum of witnesses is missing"),
        (&files.salted, &files.document, "proof"),
    ] {
        let (valid, said) = verify(proof, document);
        assert!(!valid && said.contains(word), "{}: {said}", proof.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_the_bank_registers_with_a_token_of_the_identity_provider() {
    let data = tempfile::tempdir().unwrap();
    let nation = DemoProcess::start(data.path());
    let issuer = nation.description()["identity"].as_str().unwrap().to_owned();
    let key = std::fs::read_to_string(data.path().join("banque/client.key.pem")).unwrap();
    let key = SigningKey::from_pkcs8_pem(&key).unwrap();
    let http = HttpClient::new(ClientLimits::default(), None);
    let ask = async |scope: &str, jti: &str| {
        let now = civic::Clock::now(&baobab::SystemClock).seconds();
        let name = "banque-du-fleuve";
        let claims = json!({"iss": name, "sub": name, "aud": issuer, "iat": now, "exp": now + 60, "jti": jti});
        let assertion = trust::jose::jws_sign(&key, "JWT", &claims).unwrap();
        let form = web::form_text(&[
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ]);
        let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))];
        let url = format!("{}/token", issuer.replace("localhost", "127.0.0.1"));
        http.send(Method::POST, &url, &kind, form.into()).await.unwrap()
    };
    assert_eq!(ask("profile", "one").await.status, StatusCode::BAD_REQUEST, "a scope of citizens");
    let answer: Value = ask("notary", "two").await.success().unwrap().json().unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let url = nation.description()["notary"]["url"].as_str().unwrap().replace("localhost", "127.0.0.1");
    let bearer = [(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap())];
    let body = json!({ "sha256": hex::encode(sha256(b"a contract of the bank")) }).to_string();
    let made = http.send(Method::POST, &format!("{url}/notary"), &bearer, body.into()).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&made.body));
}

/// The operator's commands, on the store of the nation's notary.
fn keys_are_made_and_revoked(data: &Path) {
    let store = format!("sqlite:{}", data.join("agency/notary.db").display());
    let seal = data.join("agency/seal.keys");
    let run = |words: &[&str]| {
        let place = ["--store", &store, "--store-key", seal.to_str().unwrap()];
        let (done, said) = baobab(&[&["notary"], words, &place].concat());
        (done, said)
    };
    assert!(run(&["keys"]).1.contains("Banque du Fleuve"));
    let (made, key) = run(&["add-key", "Mairie de Thiès"]);
    let id = key.trim().split('-').nth(1).unwrap().to_owned();
    assert!(made && key.starts_with("notary-"), "{key}");
    assert!(!run(&["keys"]).1.contains(key.trim()), "a key is shown once");
    assert!(run(&["revoke-key", &id]).0 && !run(&["revoke-key", &id]).0);
    let listed = run(&["keys"]).1;
    assert!(listed.lines().any(|line| line.starts_with(&id) && line.contains("revoked")), "{listed}");
}

async fn files(nation: &DemoProcess, folder: &Path) -> Files {
    let document = b"Convention du 27 novembre 2026, douze pages".as_slice();
    let proof = registered(nation, document).await;
    let parsed = TlogProof::parse(&proof).unwrap();
    let opening = Opening::from_extra(parsed.extra.as_deref().unwrap()).unwrap();
    let origin =
        Checkpoint::parse(parsed.checkpoint.split("\n\n").next().map(|text| format!("{text}\n")).unwrap().as_str())
            .unwrap()
            .origin;
    let stranger = NoteSigner::new(origin.as_str(), SigningKey::generate_ed25519().unwrap()).unwrap();
    let checkpoint = Checkpoint::new(origin.as_str(), 1, leaf_hash(&opening.leaf())).unwrap().sign(&stranger).unwrap();
    let foreign = TlogProof { extra: parsed.extra.clone(), index: 0, hashes: Vec::new(), checkpoint }.to_text();
    let alone: String = proof.split_inclusive('\n').filter(|line| !line.contains("/witness ")).collect();
    let salted = Opening { salt: [1; 32], ..opening }.put_into(&proof).unwrap();
    let altered = [document, b"."].concat();
    let policy = nation.description()["logs"][0]["policy"].as_str().unwrap().to_owned();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    Files {
        document: write("convention.txt", document),
        altered: write("altered.txt", &altered),
        proof: write("right.tlog-proof", proof.as_bytes()),
        foreign: write("foreign.tlog-proof", foreign.as_bytes()),
        alone: write("alone.tlog-proof", alone.as_bytes()),
        salted: write("salted.tlog-proof", salted.as_bytes()),
        policy: write("policy.txt", policy.as_bytes()),
    }
}

/// Registers a document as the bank does, and waits for its proof.
async fn registered(nation: &DemoProcess, document: &[u8]) -> String {
    let described = nation.description()["notary"].clone();
    let (url, key) = (described["url"].as_str().unwrap(), described["api_key"].as_str().unwrap());
    let url = url.replace("localhost", "127.0.0.1");
    let http = HttpClient::new(ClientLimits::default(), None);
    let bearer = [(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}")).unwrap())];
    let digest = hex::encode(sha256(document));
    let body = json!({ "sha256": digest }).to_string();
    let made = http.send(Method::POST, &format!("{url}/notary"), &bearer, body.into()).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&made.body));
    let id = made.json::<Value>().unwrap()["id"].as_str().unwrap().to_owned();
    for _ in 0..100 {
        let answer = http.get(&format!("{url}/notary/{id}/proof"), &bearer).await.unwrap();
        if answer.status == StatusCode::OK {
            return String::from_utf8(answer.body.to_vec()).unwrap();
        }
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no proof after ten seconds")
}
