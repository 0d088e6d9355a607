//! A notary as a process of its own: from an empty folder to a proof that `baobab verify` finds valid.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use ledger::{LedgerClient, Submitter};
use serde_json::{Value, json};
use trust::cert::{Certificate, CertificateProfile, CertificateSpec, DistinguishedName, NameAttribute};
use trust::digest::sha256;
use trust::keys::SigningKey;
use trust::note::NoteSigner;
use trust::note::policy::Policy;
use web::{ClientLimits, HttpClient};

use crate::federation::{Process, run};
use crate::ledger::{until_refused, until_taken};

const ORIGIN: &str = "log.example/notary";

/// A port that nobody has now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Makes the notary in a folder: where its pages, its log and its operator's door are.
fn found(home: &Path) -> [String; 3] {
    let ports: [u16; 3] = [port(), port(), port()];
    let [pages, book, admin] = ports.map(|port| format!("http://127.0.0.1:{port}"));
    let options = ["--organisation", "Mairie de Thiès", "--public-url", &pages, "--origin", ORIGIN, "--log-url", &book];
    let (well, said) = run(home, &[&["notary", "init"][..], &options].concat());
    assert!(well && said.contains(&format!("log {ORIGIN}+")) && said.contains("Next: baobab notary add-key"), "{said}");
    let file = home.join("notary.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let admin_line = format!("admin = \"127.0.0.1:{}\"\n", ports[2]);
    std::fs::write(&file, text.replacen("\n[book]", &format!("{admin_line}\n[book]"), 1)).unwrap();
    [pages, book, admin]
}

fn http() -> HttpClient {
    HttpClient::new(ClientLimits::default(), None)
}

async fn answers(url: &str) {
    let started = Instant::now();
    while !http().get(url, &[]).await.is_ok_and(|reply| reply.status.is_success()) {
        assert!(started.elapsed() < Duration::from_mins(1), "{url} does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Registers a document and waits for its proof.
async fn proof(pages: &str, bearer: &[(HeaderName, HeaderValue)], document: &[u8]) -> String {
    let body = json!({ "sha256": hex::encode(sha256(document)) }).to_string();
    let made = http().send(Method::POST, &format!("{pages}/notary"), bearer, body.into()).await.unwrap();
    assert!(made.status.is_success(), "{}", String::from_utf8_lossy(&made.body));
    let id = made.json::<Value>().unwrap()["id"].as_str().unwrap().to_owned();
    let started = Instant::now();
    loop {
        let answer = http().get(&format!("{pages}/notary/{id}/proof"), bearer).await.unwrap();
        if answer.status == StatusCode::OK {
            return String::from_utf8(answer.body.to_vec()).unwrap();
        }
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
        assert!(started.elapsed() < Duration::from_secs(30), "no proof after half a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_office_founds_a_notary_registers_a_digest_and_anybody_verifies_the_proof() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let (well, said) = run(home, &["notary", "init"]);
    assert!(!well && said.contains("--organisation"), "{said}");
    let [pages, book, admin] = found(home);
    let (well, said) = run(home, &["config", "check", "notary.toml"]);
    assert!(well, "{said}");
    let (well, key) = run(home, &["notary", "add-key", "Awa SARL"]);
    assert!(well && key.starts_with("notary-"), "{key}");
    let bearer = [(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", key.trim())).unwrap())];

    let process = Process::start(home, &["notary", "run"]);
    answers(&format!("{admin}/health")).await;
    let page = http().get(&format!("{pages}/"), &[]).await.unwrap().success().unwrap();
    assert!(String::from_utf8_lossy(&page.body).contains("Mairie de Thiès"));
    let document = b"Acte de vente, trois pages";
    let text = proof(&pages, &bearer, document).await;
    let policy = http().get(&format!("{pages}/policy"), &[]).await.unwrap().success().unwrap();
    for (name, bytes) in
        [("acte.txt", &document[..]), ("acte.tlog-proof", text.as_bytes()), ("log.policy", &policy.body[..])]
    {
        std::fs::write(home.join(name), bytes).unwrap();
    }
    let verify = ["verify", "acte.tlog-proof", "--policy", "log.policy", "--document", "acte.txt"];
    let (valid, said) = run(home, &verify);
    assert!(valid, "{said}");
    std::fs::write(home.join("acte.txt"), b"Acte de vente, quatre pages").unwrap();
    assert!(!run(home, &verify).0, "another document");

    // A revoked key opens nothing, and what was registered outlives a kill.
    let id = key.trim().split('-').nth(1).unwrap();
    assert!(run(home, &["notary", "revoke-key", id]).0);
    let refused = http().get(&format!("{pages}/notary"), &bearer).await.unwrap();
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let (_, key) = run(home, &["notary", "add-key", "Awa SARL"]);
    let bearer = [(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", key.trim())).unwrap())];
    process.kill();
    let process = Process::start(home, &["notary", "run"]);
    answers(&format!("{admin}/health")).await;
    let list: Value = http().get(&format!("{pages}/notary"), &bearer).await.unwrap().json().unwrap();
    assert_eq!((&list["total"], &list["registrations"][0]["status"]), (&json!(1), &json!("logged")), "{list}");
    answers(&format!("{book}/checkpoint")).await;
    assert_eq!(process.terminate().0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notary_whose_policy_is_of_another_key_does_not_start_and_keys_stay_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let _ = found(home);
    let other = NoteSigner::new(ORIGIN, SigningKey::generate_ed25519().unwrap()).unwrap().verifier();
    std::fs::write(home.join("log.policy"), format!("log {other}\nquorum none\n")).unwrap();
    let file = home.join("notary.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}policy = \"log.policy\"\n")).unwrap();
    let (well, said) = run(home, &["notary", "run"]);
    assert!(!well && said.contains("`book.policy`") && said.contains("the key of this log"), "{said}");
    std::fs::write(&file, &text).unwrap();
    for sealed in ["log", "log-ml-dsa", "promises", "submitter"] {
        let text = std::fs::read_to_string(home.join(format!("keys/{sealed}.key.sealed"))).unwrap();
        assert!(!text.contains("PRIVATE"), "{sealed}");
    }
    std::fs::rename(home.join("store.key"), home.join("away")).unwrap();
    let (well, said) = run(home, &["notary", "run"]);
    assert!(!well && said.contains("store key"), "{said}");
}

/// A certificate for this key, `NAME.pem`, as its owner hands it over, and the lines with which it may append to the log.
fn submitter(home: &Path, name: &str, key: &SigningKey) -> String {
    let now = civic::Clock::now(&baobab::SystemClock);
    let spec = CertificateSpec {
        profile: CertificateProfile::Sign,
        serial: &[1],
        subject: DistinguishedName::new(&[(NameAttribute::CommonName, name)]).unwrap(),
        public_key: key.public(),
        not_before: now,
        not_after: now.plus(Duration::from_hours(24)),
        ocsp_url: None,
    };
    let certificate = Certificate::self_signed(key, &spec).unwrap();
    std::fs::write(home.join(format!("{name}.pem")), certificate.to_pem()).unwrap();
    format!("[[book.submitter]]\nname = \"BB/COM/2001\"\ncertificate = \"{name}.pem\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_notary_takes_another_key_of_a_submitter_of_its_log_at_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let [pages, book, admin] = found(home);
    let (_, key) = run(home, &["notary", "add-key", "Awa SARL"]);
    let bearer = [(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", key.trim())).unwrap())];
    let file = home.join("notary.toml");
    let founded = std::fs::read_to_string(&file).unwrap();
    let [old, new] = [(); 2].map(|()| SigningKey::generate_p256().unwrap());
    let [of_old, of_new] = [("old", &old), ("new", &new)].map(|(name, key)| submitter(home, name, key));
    let write = |submitters: &[&str]| std::fs::write(&file, format!("{founded}\n{}", submitters.concat())).unwrap();
    write(&[&of_old]);
    let process = Process::start(home, &["notary", "run"]);
    answers(&format!("{admin}/health")).await;
    let policy = http().get(&format!("{pages}/policy"), &[]).await.unwrap().success().unwrap();
    let policy: Policy = std::str::from_utf8(&policy.body).unwrap().parse().unwrap();
    let log = || policy.logs()[0].key.clone();
    let client = |key: SigningKey| {
        let submitter = Submitter::new("BB/COM/2001", key).unwrap();
        LedgerClient::new(&book, log(), Some(submitter), std::sync::Arc::new(baobab::SystemClock)).unwrap()
    };
    let (with_old, with_new) = (client(old), client(new));
    with_old.append(&[b"first".to_vec()]).await.unwrap();
    assert!(with_new.append(&[b"early".to_vec()]).await.is_err());

    write(&[&of_old, &of_new]);
    process.signal("HUP");
    until_taken(&with_new, b"second").await;
    with_old.append(&[b"first".to_vec()]).await.unwrap();

    // A broken file changes nothing; without its entry the old key is out, and the notary itself is never.
    std::fs::write(&file, "organization = 1").unwrap();
    process.signal("HUP");
    tokio::time::sleep(Duration::from_millis(300)).await;
    with_new.append(&[b"second".to_vec()]).await.unwrap();
    write(&[&of_new]);
    process.signal("HUP");
    until_refused(&with_old, b"first").await;
    with_new.append(&[b"second".to_vec()]).await.unwrap();
    assert!(!proof(&pages, &bearer, b"Acte de vente").await.is_empty());
    assert_eq!(process.terminate().0.code(), Some(0));
}
