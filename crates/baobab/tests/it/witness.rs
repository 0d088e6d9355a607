//! Nodes as processes of their own that follow a log and witness it, as their authority says.

use std::time::{Duration, Instant};

use ledger::{Ledger, LedgerConfig, LedgerError};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::keys::SigningKey;
use trust::note::policy::Policy;
use trust::note::{Note, NoteSigner, VerifierKey};
use web::{ClientLimits, HttpClient};

use crate::federation::{Federation, Process, run};

const ORIGIN: &str = "log.example/state";

/// A log that is served to the end of the test.
struct Log {
    key: SigningKey,
    verifier: VerifierKey,
    url: String,
    listener: Option<tokio::net::TcpListener>,
    _stop: DropGuard,
    stop: CancellationToken,
}

impl Log {
    async fn plan() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = SigningKey::generate_ed25519().unwrap();
        let verifier = NoteSigner::new(ORIGIN, key.clone()).unwrap().verifier();
        let stop = CancellationToken::new();
        Self { key, verifier, url, listener: Some(listener), _stop: stop.clone().drop_guard(), stop }
    }

    /// Opens the log: it signs nothing before the witnesses of this policy have answered.
    async fn open(&mut self, policy: &Policy) -> Ledger {
        let clock = std::sync::Arc::new(baobab::SystemClock);
        let store = store::testing::sqlite().await;
        let config = LedgerConfig::new(store, self.key.clone(), ORIGIN, clock).witnesses(policy.clone());
        let ledger = Ledger::open_with(config).await.unwrap();
        let router = ledger::http::router(ledger.clone(), ledger::Submitters::new());
        tokio::spawn(web::serve(self.listener.take().unwrap(), router, self.stop.clone()));
        ledger
    }
}

/// Appends; a log answers nobody before its witnesses have answered it once.
async fn append(ledger: &Ledger, entry: &str) {
    let started = Instant::now();
    while let Err(error) = ledger.append_witnessed(vec![entry.as_bytes().to_vec()]).await {
        assert!(error.is_temporary() && started.elapsed() < Duration::from_mins(1), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The lines by which policies name the witness of a node, as `baobab node init` shows them.
fn witness_lines(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("witness ")).collect()
}

/// Waits until the health of a node says something of its logs or its witness.
async fn health_says(federation: &Federation, host: u8, check: &str, wanted: &str) {
    let http = HttpClient::new(ClientLimits::default(), None);
    let url = format!("http://{}/health", federation.at(host, 8090));
    let started = Instant::now();
    loop {
        let health: Value = http.get(&url, &[]).await.unwrap().json().unwrap();
        let said = health["checks"][check].as_str().unwrap_or_default();
        if said.contains(wanted) {
            return;
        }
        assert!(started.elapsed() < Duration::from_mins(2), "`{wanted}` is wanted: {health}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How many checkpoints a node has seen to continue the log.
async fn sightings(federation: &Federation, host: u8) -> u64 {
    let http = HttpClient::new(ClientLimits::default(), None);
    let metrics = http.get(&format!("http://{}/metrics", federation.at(host, 8090)), &[]).await.unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let line = metrics.lines().find_map(|line| line.strip_prefix("baobab_ledger_monitor_checkpoints_total "));
    line.unwrap().parse().unwrap()
}

async fn seen(federation: &Federation, host: u8) {
    let started = Instant::now();
    while sightings(federation, host).await == 0 {
        assert!(started.elapsed() < Duration::from_mins(1), "the node at {host} sees no checkpoint");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_witnesses_the_log_that_its_authority_names_and_another_sees_the_quorum() {
    let federation = Federation::found();
    let mut log = Log::plan().await;
    let witness = format!("[witness]\nlisten = \"{}\"", federation.at(3, 5588));
    federation.join("bank", 3, "BB/COM/2001/node-1", "credit", &witness).await;
    federation.join("tax", 4, "BB/GOV/1002/node-1", "fisc", "").await;

    // What the bank's operator reads out, the authority's operator types.
    let (well, said) = run(&federation.home("bank"), &["node", "init"]);
    let lines = witness_lines(&said);
    assert!(well && lines.len() == 2 && lines[0].contains(&format!("http://{}", federation.at(3, 5588))), "{said}");
    let (well, said_again) = run(&federation.home("bank"), &["node", "init"]);
    assert!(well && witness_lines(&said_again) == lines, "the keys are made once: {said_again}");
    let (well, checked) = run(&federation.home("bank"), &["config", "check", "node.toml"]);
    assert!(well, "{checked}");
    let authority = federation.home("authority");
    let text = format!("log {} {}\n{}\nquorum BB/COM/2001/node-1\n", log.verifier, log.url, lines.join("\n"));
    std::fs::write(authority.join("logs.policy"), &text).unwrap();
    let (well, said) = run(&authority, &["authority", "set-logs", "logs.policy"]);
    assert!(well && said.contains(ORIGIN) && said.contains("next global configuration"), "{said}");
    let (well, said) = run(&authority, &["authority", "logs"]);
    assert!(well && said.contains("quorum BB/COM/2001/node-1"), "{said}");

    let bank = federation.run_node("bank", 3).await;
    let tax = federation.run_node("tax", 4).await;
    let policy: Policy = text.parse().unwrap();
    let ledger = log.open(&policy).await;
    // An append with a quorum is answered once the bank's node has cosigned.
    append(&ledger, "first").await;
    let verdict = policy.judge(&Note::parse(&ledger.witnessed_checkpoint().unwrap()).unwrap()).unwrap();
    assert_eq!((verdict.quorum, verdict.cosigned.len(), verdict.checkpoint.size), (true, 2, 1), "{verdict:?}");
    for host in [3, 4] {
        seen(&federation, host).await;
        health_says(&federation, host, "logs", "ok").await;
    }
    health_says(&federation, 3, "witness", ORIGIN).await;

    // The witness is killed as by a power cut, and comes back: what it cosigned is there, and it goes on from it.
    bank.kill();
    let bank = federation.run_node("bank", 3).await;
    append(&ledger, "second").await;

    // It leaves for good: the other node says within about a minute that the quorum is not reached.
    assert_eq!(bank.terminate().0.code(), Some(0));
    let waiting = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.append_witnessed(vec![b"third".to_vec()]).await }
    });
    health_says(&federation, 4, "logs", "quorum not reached").await;
    let refused = waiting.await.unwrap();
    assert!(matches!(refused, Err(LedgerError::NoQuorum)), "no quorum is claimed: {refused:?}");

    // The authority takes the log out: nobody follows it any more.
    let (well, said) = run(&authority, &["authority", "remove-log", ORIGIN]);
    assert!(well, "{said}");
    health_says_exactly_ok(&federation, 4).await;
    for process in [tax, federation.authority] {
        assert_eq!(process.terminate().0.code(), Some(0));
    }
}

async fn health_says_exactly_ok(federation: &Federation, host: u8) {
    let http = HttpClient::new(ClientLimits::default(), None);
    let started = Instant::now();
    loop {
        let health: Value =
            http.get(&format!("http://{}/health", federation.at(host, 8090)), &[]).await.unwrap().json().unwrap();
        if health["checks"]["logs"] == "ok" {
            return;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "{health}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_follows_the_log_of_a_file_and_what_the_file_says_is_checked_first() {
    let federation = Federation::found();
    let mut log = Log::plan().await;
    federation.join("bank", 3, "BB/COM/2001/node-1", "credit", "").await;
    let home = federation.home("bank");
    let file = home.join("node.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("follow = [\"state.policy\"]\n{settings}")).unwrap();
    let (well, said) = run(&home, &["config", "check", "node.toml"]);
    assert!(!well && said.contains("`follow`") && said.contains("state.policy"), "{said}");
    let text = format!("log {} {}\nquorum none\n", log.verifier, log.url);
    std::fs::write(home.join("state.policy"), text.replace(&log.url, "")).unwrap();
    let (well, said) = run(&home, &["config", "check", "node.toml"]);
    assert!(!well && said.contains("no address"), "{said}");
    std::fs::write(home.join("state.policy"), &text).unwrap();
    let (well, said) = run(&home, &["config", "check", "node.toml"]);
    assert!(well, "{said}");
    let bank: Process = federation.run_node("bank", 3).await;
    health_says(&federation, 3, "logs", "is not seen").await;
    let ledger = log.open(&text.parse().unwrap()).await;
    ledger.append(vec![b"first".to_vec()]).await.unwrap();
    seen(&federation, 3).await;
    health_says_exactly_ok(&federation, 3).await;
    assert_eq!(bank.terminate().0.code(), Some(0));
}
