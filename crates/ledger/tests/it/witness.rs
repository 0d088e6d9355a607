//! Witnesses over real sockets: what they cosign, what they refuse, and what a log does without them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use civic::SharedClock;
use ledger::witness::Witness;
use ledger::{Ledger, LedgerConfig, LedgerError};
use store::Store;
use store::testing::engines;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trust::keys::SigningKey;
use trust::mldsa::MlDsaKey;
use trust::note::policy::Policy;
use trust::note::{Cosigner, Note, TlogProof, VerifierKey};

use crate::log::{ORIGIN, clock, entry, fill, key};

/// A witness with both kinds of keys, and where it is served.
struct Served {
    witness: Witness,
    url: String,
}

async fn served(name: &str, store: Store, log: Vec<VerifierKey>) -> Served {
    let cosigners = vec![
        Cosigner::ed25519(name, SigningKey::generate_ed25519().unwrap()).unwrap(),
        Cosigner::ml_dsa(name, MlDsaKey::generate().unwrap()).unwrap(),
    ];
    let witness = Witness::open(store, cosigners, clock()).await.unwrap();
    witness.follow(log).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = witness.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Served { witness, url }
}

/// A policy that wants so many of these witnesses; of each, its Ed25519 key.
fn policy(log: &VerifierKey, witnesses: &[&Served], needed: usize) -> Policy {
    let mut text = format!("log {log}\n");
    let mut names = Vec::new();
    for (number, served) in witnesses.iter().enumerate() {
        writeln!(text, "witness w{number} {} {}", served.witness.verifiers()[0], served.url).unwrap();
        names.push(format!("w{number}"));
    }
    writeln!(text, "group all-of-them {needed} {}\nquorum all-of-them", names.join(" ")).unwrap();
    Policy::parse(&text).unwrap()
}

async fn post(url: &str, body: &str) -> (u16, String, String) {
    let mut socket = tokio::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

async fn request(ledger: &Ledger, old: u64) -> String {
    let proof = ledger.consistency(old, ledger.size()).await.unwrap();
    let lines: Vec<String> = proof.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
    format!("old {old}\n{}\n{}", lines.concat(), ledger.checkpoint())
}

/// Every status that C2SP tlog-witness names, on both engines.
#[tokio::test]
async fn a_witness_answers_as_the_specification_says() {
    for store in engines().await {
        let pem = key();
        let ledger = crate::log::open(&store::testing::sqlite().await, &pem).await.unwrap();
        let served = served("witness.test/w", store, vec![ledger.verifier()]).await;
        fill(&ledger, 0, 5).await;
        let (status, _, lines) = post(&served.url, &request(&ledger, 0).await).await;
        assert_eq!((status, lines.lines().count()), (200, 2), "{lines}");
        let cosigned = Note::parse(&(ledger.checkpoint() + &lines)).unwrap();
        assert_eq!(cosigned.verify(&served.witness.verifiers()).unwrap().len(), 2);
        assert_eq!(post(&served.url, &request(&ledger, 5).await).await.0, 200, "the same once more");
        let first = request(&ledger, 0).await;
        fill(&ledger, 5, 9).await;
        let (status, head, body) = post(&served.url, &request(&ledger, 0).await).await;
        assert_eq!((status, body.as_str()), (409, "5\n"));
        assert!(head.contains("content-type: text/x.tlog.size"), "{head}");
        let good = request(&ledger, 5).await;
        for (wrong, expected) in [
            (good.replacen("old 5", "old 12", 1), 400),
            (good.replacen("old 5", "old 05", 1), 400),
            (good.replacen("old 5", "older", 1), 400),
            (format!("old 5\n{}\n{}", "AAAA\n".repeat(2), ledger.checkpoint()), 400),
            ("old 5\n\nrubbish".to_owned(), 400),
            (good.replacen(ORIGIN, "ledger.test/unknown", 2), 404),
            (good.replacen("\n9\n", "\n8\n", 1), 403),
            (format!("old 5\n\n{}", ledger.checkpoint()), 422),
            (first, 409),
        ] {
            assert_eq!(post(&served.url, &wrong).await.0, expected, "{wrong}");
        }
        let stranger = crate::log::open(&store::testing::sqlite().await, &key()).await.unwrap();
        stranger.append(vec![entry(0)]).await.unwrap();
        assert_eq!(post(&served.url, &request(&stranger, 0).await).await.0, 403, "another key of the same name");
        assert_eq!(post(&served.url, &good).await.0, 200);
        let latest = served.witness.latest(&hex(ORIGIN)).await.unwrap().unwrap();
        let latest = Note::parse(&latest).unwrap();
        assert_eq!(latest.text(), Note::parse(&ledger.checkpoint()).unwrap().text());
        assert_eq!(latest.signatures().len(), 3, "the log's and both of ours");
        assert_eq!(served.witness.latest("00").await.unwrap(), None);
    }
}

fn hex(text: &str) -> String {
    trust::digest::sha256(text.as_bytes()).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[tokio::test]
async fn two_histories_never_get_a_cosignature_of_one_witness_and_leave_evidence() {
    for store in engines().await {
        let pem = key();
        let mut histories = Vec::new();
        for word in ["shown to one", "shown to another"] {
            let ledger = crate::log::open(&store::testing::sqlite().await, &pem).await.unwrap();
            ledger.append(vec![word.as_bytes().to_vec()]).await.unwrap();
            histories.push(ledger);
        }
        let served = served("witness.test/w", store, vec![histories[0].verifier()]).await;
        // Both at the same moment, many times over: one history wins, the other is never cosigned.
        let bodies = [request(&histories[0], 0).await, request(&histories[1], 0).await];
        let mut callers = Vec::new();
        for number in 0..20 {
            let (witness, body) = (served.witness.clone(), bodies[number % 2].clone());
            callers.push(tokio::spawn(async move { (number % 2, witness.add_checkpoint(&body).await.is_ok()) }));
        }
        let mut cosigned = [0, 0];
        for caller in callers {
            let (history, accepted) = caller.await.unwrap();
            cosigned[history] += i32::from(accepted);
        }
        assert_eq!(cosigned.iter().filter(|count| **count > 0).count(), 1, "{cosigned:?}");
        let conflicts = served.witness.conflicts().await.unwrap();
        assert_eq!(conflicts.len(), 1);
        for note in [&conflicts[0].first, &conflicts[0].second] {
            Note::parse(note).unwrap().verify(&[histories[0].verifier()]).unwrap();
        }
    }
}

async fn open(store: &Store, pem: &str, policy: Policy) -> Result<Ledger, LedgerError> {
    let config = LedgerConfig::new(store.clone(), SigningKey::from_pkcs8_pem(pem).unwrap(), ORIGIN, clock());
    Ledger::open_with(config.witnesses(policy)).await
}

/// Appends as soon as the witnesses let the log sign.
async fn append(ledger: &Ledger, number: u64) -> Result<Vec<u64>, LedgerError> {
    for _ in 0..100 {
        match ledger.append_witnessed(vec![entry(number)]).await {
            Err(LedgerError::Unconfirmed) => tokio::time::sleep(Duration::from_millis(50)).await,
            outcome => return outcome,
        }
    }
    Err(LedgerError::Unconfirmed)
}

fn verifier(pem: &str) -> VerifierKey {
    VerifierKey::new(ORIGIN, SigningKey::from_pkcs8_pem(pem).unwrap().public()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_witnesses_make_the_quorum_that_every_proof_carries() {
    for store in engines().await {
        let pem = key();
        let log = verifier(&pem);
        let mut witnesses = Vec::new();
        for number in 0..2 {
            let name = format!("witness.test/w{number}");
            witnesses.push(served(&name, store::testing::sqlite().await, vec![log.clone()]).await);
        }
        // The third is away.
        let mut away = served("witness.test/w2", store::testing::sqlite().await, vec![log.clone()]).await;
        away.url = "http://127.0.0.1:9".to_owned();
        let policy = policy(&log, &[&witnesses[0], &witnesses[1], &away], 2);
        let ledger = open(&store, &pem, policy.clone()).await.unwrap();
        for number in 0..5 {
            assert_eq!(append(&ledger, number).await, Ok(vec![number]));
        }
        assert_eq!(ledger.has_quorum(), Some(true));
        let proof = TlogProof::parse(&ledger.tlog_proof(4).await.unwrap()).unwrap();
        let verdict = policy.judge(&Note::parse(&proof.checkpoint).unwrap()).unwrap();
        assert_eq!((verdict.quorum, verdict.cosigned.len(), verdict.checkpoint.size), (true, 2, 5));
        proof.verify(&entry(4), &log).unwrap();
        assert_eq!(ledger.witnessed_checkpoint().unwrap(), ledger.checkpoint());
        // A restart goes on from where the witnesses are.
        drop(ledger);
        let again = open(&store, &pem, policy).await.unwrap();
        assert_eq!(append(&again, 5).await, Ok(vec![5]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_quorum_a_log_signs_nothing_and_a_checkpoint_is_shown_as_such() {
    let pem = key();
    let log = verifier(&pem);
    let store = store::testing::sqlite().await;
    let mut witness = served("witness.test/w", store::testing::sqlite().await, vec![log.clone()]).await;
    let url = std::mem::replace(&mut witness.url, "http://127.0.0.1:9".to_owned());
    let ledger = open(&store, &pem, policy(&log, &[&witness], 1)).await.unwrap();
    let refused = ledger.append(vec![entry(0)]).await.unwrap_err();
    assert_eq!(refused, LedgerError::Unconfirmed);
    assert!(refused.is_temporary());
    drop(ledger);
    // Signed without witnesses, then shown to a policy that wants one.
    fill(&crate::log::open(&store, &pem).await.unwrap(), 0, 3).await;
    witness.url = url;
    let policy = policy(&log, &[&witness], 1);
    let alone = crate::log::open(&store, &pem).await.unwrap();
    assert!(!policy.judge(&Note::parse(&alone.checkpoint()).unwrap()).unwrap().quorum);
    let ledger = open(&store, &pem, policy.clone()).await.unwrap();
    assert_eq!(append(&ledger, 3).await, Ok(vec![3]));
    assert!(policy.judge(&Note::parse(&ledger.checkpoint()).unwrap()).unwrap().quorum);
    let nobody =
        Policy::parse(&format!("log {log}\nwitness w {}\nquorum w\n", witness.witness.verifiers()[0])).unwrap();
    assert!(matches!(open(&store, &pem, nobody).await, Err(LedgerError::Witness { .. })), "no address, no quorum");
}

/// Yesterday's data directory: whole, well signed, and older than what the witness saw.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_yesterday_signs_no_second_history() {
    let pem = key();
    let log = verifier(&pem);
    let (today, yesterday) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let witness = served("witness.test/w", store::testing::sqlite().await, vec![log.clone()]).await;
    let policy = policy(&log, &[&witness], 1);
    let store = store::testing::sqlite_in(today.path()).await;
    let ledger = open(&store, &pem, policy.clone()).await.unwrap();
    append(&ledger, 0).await.unwrap();
    drop(ledger);
    store.close().await;
    crate::folder::copy(today.path(), yesterday.path());
    let store = store::testing::sqlite_in(today.path()).await;
    append(&open(&store, &pem, policy.clone()).await.unwrap(), 1).await.unwrap();

    let restored = store::testing::sqlite_in(yesterday.path()).await;
    let ledger = open(&restored, &pem, policy.clone()).await.unwrap();
    let reason = ledger.stopped().await;
    assert!(reason.contains("saw 2 entries of this log, the store holds 1"), "{reason}");
    let refused = ledger.append(vec![b"another second entry".to_vec()]).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Stopped { .. }), "{refused}");
    assert_eq!(ledger.size(), 1);
    // A store that went another way is found out the same.
    let forked = crate::log::open(&store::testing::sqlite().await, &pem).await.unwrap();
    fill(&forked, 10, 10).await;
    let other = store::testing::sqlite().await;
    let plain = crate::log::open(&other, &pem).await.unwrap();
    for number in 7..10 {
        plain.append(vec![entry(number)]).await.unwrap();
    }
    drop(plain);
    let reason = open(&other, &pem, policy).await.unwrap().stopped().await;
    assert!(reason.contains("cosigned another history"), "{reason}");
}

/// The clock of the witness is an argument too.
#[tokio::test]
async fn the_moment_of_a_cosignature_is_that_of_the_clock() {
    let ledger = crate::log::open(&store::testing::sqlite().await, &key()).await.unwrap();
    fill(&ledger, 0, 1).await;
    let cosigner = Cosigner::ed25519("witness.test/w", SigningKey::generate_ed25519().unwrap()).unwrap();
    let verifier = cosigner.verifier();
    let clock: SharedClock = Arc::new(civic::testing::TestClock::at("2026-11-22T00:00:00Z"));
    let witness = Witness::open(store::testing::sqlite().await, vec![cosigner], Arc::clone(&clock)).await.unwrap();
    witness.follow(vec![ledger.verifier()]).unwrap();
    let line = witness.add_checkpoint(&request(&ledger, 0).await).await.unwrap();
    let note = Note::parse(&(ledger.checkpoint() + &line)).unwrap();
    let signature = note.signatures().last().unwrap();
    let time = verifier.verify(note.text(), &signature.bytes).unwrap();
    assert_eq!(time, u64::try_from(clock.now().seconds()).ok());
}
