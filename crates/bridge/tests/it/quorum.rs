//! The logs that the global configuration names: a node follows them with the quorum that its authority wants, and with no other.

use std::sync::Arc;
use std::time::Duration;

use bridge::Node;
use bridge::api::Role;
use bridge::testing::{ECHO, Outage, TwoNodes, two_nodes};
use civic::SharedClock;
use ledger::witness::Witness;
use ledger::{Ledger, LedgerConfig};
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::globalconf::{FederationLog, TransparencyLogs};
use trust::keys::SigningKey;
use trust::note::policy::Policy;
use trust::note::{Cosigner, NoteSigner, VerifierKey};

use crate::console::{Operator, text};

const ORIGIN: &str = "log.test/state";

/// A witness of the log that is served until it is told to leave.
struct Served {
    name: &'static str,
    key: VerifierKey,
    url: String,
    leave: DropGuard,
}

/// A log, its witnesses, and where it is.
struct Log {
    ledger: Ledger,
    url: String,
    witnesses: Vec<Served>,
}

async fn serve(router: axum::Router) -> (String, DropGuard) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(web::serve(listener, router, stop.clone()));
    (url, stop.drop_guard())
}

async fn witness(name: &'static str, log: &VerifierKey, clock: &SharedClock) -> Served {
    let key = SigningKey::generate_ed25519().unwrap();
    let cosigner = Cosigner::ed25519(format!("{name}.test/witness"), key).unwrap();
    let (store, clock) = (store::testing::sqlite().await, Arc::clone(clock));
    let witness = Witness::open(store, vec![cosigner], clock).await.unwrap();
    witness.follow(vec![log.clone()]).unwrap();
    let (url, leave) = serve(witness.router()).await;
    Served { name, key: witness.verifiers().remove(0), url, leave }
}

impl Log {
    /// A log whose checkpoints two of three witnesses cosign.
    async fn with_three_witnesses(clock: SharedClock) -> Self {
        let key = SigningKey::generate_ed25519().unwrap();
        let verifier = NoteSigner::new(ORIGIN, key.clone()).unwrap().verifier();
        let mut witnesses = Vec::new();
        for name in ["bank", "court", "university"] {
            witnesses.push(witness(name, &verifier, &clock).await);
        }
        let policy = policy(&verifier, "http://log.test", &witnesses, 2);
        let config = LedgerConfig::new(store::testing::sqlite().await, key, ORIGIN, clock);
        let ledger = Ledger::open_with(config.witnesses(policy)).await.unwrap();
        let (url, stop) = serve(ledger::http::router(ledger.clone(), ledger::Submitters::new())).await;
        // The log is served to the end of the test.
        std::mem::forget(stop);
        Self { ledger, url, witnesses }
    }

    /// The part of the configuration that wants so many of the witnesses.
    fn part(&self, needed: usize) -> Vec<u8> {
        let policy = policy(&self.ledger.verifier(), &self.url, &self.witnesses, needed);
        let logs = FederationLog::of_policy(&policy).unwrap();
        TransparencyLogs { instance: "BB".to_owned(), logs }.write().unwrap()
    }

    async fn grow(&self, entry: &str) {
        // A log answers nobody before its witnesses have answered it once.
        while let Err(error) = self.ledger.append_witnessed(vec![entry.as_bytes().to_vec()]).await {
            assert!(error.is_temporary(), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn policy(log: &VerifierKey, url: &str, witnesses: &[Served], needed: usize) -> Policy {
    let lines = witnesses.iter().map(|one| format!("witness {} {} {}\n", one.name, one.key, one.url));
    let lines: Vec<String> = lines.collect();
    let text = format!("log {log} {url}\n{}group g {needed} bank court university\nquorum g\n", lines.concat());
    Policy::parse(&text).unwrap()
}

/// What the node's health says of the logs, after it took the newest configuration and looked.
async fn health(nodes: &TwoNodes, node: &Node) -> String {
    node.ready().await.unwrap();
    said(nodes, node).await
}

/// The same without a new configuration.
async fn said(nodes: &TwoNodes, node: &Node) -> String {
    node.look_at_logs().await.unwrap();
    let url = format!("http://{}/health", node.addresses().admin);
    let request = http::Request::builder().uri(url).body(http_body_util::Full::default()).unwrap();
    nodes.fetch(request).await.json()["checks"]["logs"].as_str().unwrap().to_owned()
}

async fn operator(nodes: &TwoNodes, node: &Node) -> Operator {
    let key = nodes.api_key(node, &[Role::XroadSecurityserverObserver]).await;
    let mut operator = Operator::at(node);
    let answer = operator.post("/console/sign-in", &[("key", &key)]).await;
    assert_eq!(answer.status, 303, "{}", text(&answer));
    operator
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_of_the_configuration_is_met_then_not_reached_then_met_under_the_next_policy() {
    let nodes = two_nodes(961).await;
    let node = &nodes.consumer;
    assert_eq!(health(&nodes, node).await, "ok");
    let mut operator = operator(&nodes, node).await;
    assert!(operator.page("/console/logs").await.contains("ne suit aucun registre"));

    let mut log = Log::with_three_witnesses(Arc::clone(&nodes.clock) as SharedClock).await;
    let three = log.part(3);
    nodes.federation.name_logs(&three, &three);
    // The log itself waits for two of them, and only a moment for the third.
    let mut page = String::new();
    for turn in 0..20 {
        log.grow(&format!("entry {turn}")).await;
        health(&nodes, node).await;
        page = operator.page("/console/logs").await;
        if page.contains("quorum atteint") {
            break;
        }
    }
    assert!(page.contains(ORIGIN) && page.contains("quorum atteint"), "{page}");
    assert_eq!(health(&nodes, node).await, "ok");

    // One of the three leaves: the log goes on, and the node tells that its quorum is not that of the authority.
    drop(log.witnesses.pop().unwrap().leave);
    log.grow("without the university").await;
    health(&nodes, node).await;
    let page = operator.page("/console/logs").await;
    assert!(page.contains("quorum non atteint") && page.contains("bank, court"), "{page}");
    nodes.clock.advance(Duration::from_secs(61));
    let said = health(&nodes, node).await;
    assert!(said.contains("quorum not reached (only bank, court cosigned") && said.contains(ORIGIN), "{said}");

    // The authority lowers the quorum: the next configuration brings it into force, without a restart.
    let text = String::from_utf8(three).unwrap().replace("group g 3 ", "group g 2 ");
    nodes.federation.name_logs(text.as_bytes(), text.as_bytes());
    assert_eq!(health(&nodes, node).await, "ok");
    let page = operator.page("/console/logs").await;
    assert!(page.contains("quorum atteint") && page.contains("bank, court"), "{page}");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_list_is_refused_by_itself_and_the_last_good_one_stays() {
    let nodes = two_nodes(962).await;
    let node = &nodes.consumer;
    let log = Log::with_three_witnesses(Arc::clone(&nodes.clock) as SharedClock).await;
    log.grow("first").await;
    let good = log.part(2);
    nodes.federation.name_logs(&good, &good);
    assert_eq!(health(&nodes, node).await, "ok");
    let other = String::from_utf8(good.clone()).unwrap();
    let impossible = log.part(3);
    for (signed, served, reason) in [
        (b"rubbish".to_vec(), b"rubbish".to_vec(), "not readable"),
        (impossible.clone(), good.clone(), "digest"),
        (other.replace("\"BB\"", "\"ZZ\"").into_bytes(), other.replace("\"BB\"", "\"ZZ\"").into_bytes(), "instance ZZ"),
        (
            other.replace("quorum g", "quorum x").into_bytes(),
            other.replace("quorum g", "quorum x").into_bytes(),
            "not defined above",
        ),
    ] {
        nodes.federation.name_logs(&signed, &served);
        let said = health(&nodes, node).await;
        assert!(said.contains("the last good one stays") && said.contains(reason), "{reason}: {said}");
        assert_eq!(nodes.get(ECHO).await.status, 200, "an exchange needs no list of logs");
        let mut operator = operator(&nodes, node).await;
        let page = operator.page("/console/logs").await;
        assert!(page.contains("quorum atteint") && page.contains("est refusée"), "{page}");
    }
    nodes.federation.name_logs(&good, &good);
    assert_eq!(health(&nodes, node).await, "ok");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_anew_without_its_authority_keeps_the_last_good_list() {
    let nodes = two_nodes(963).await;
    let log = Log::with_three_witnesses(Arc::clone(&nodes.clock) as SharedClock).await;
    log.grow("first").await;
    let good = log.part(2);
    nodes.federation.name_logs(&good, &good);
    assert_eq!(health(&nodes, &nodes.provider).await, "ok");
    nodes.federation.name_logs(b"rubbish", b"rubbish");
    assert!(health(&nodes, &nodes.provider).await.contains("not readable"));
    nodes.federation.set_outage(Outage::Configuration, true);
    let again = nodes.replica_of_provider(store::testing::sqlite().await).await;
    let told = said(&nodes, &again).await;
    assert!(told.contains("the last good one stays") && told.contains("the newer one was refused"), "{told}");
    let page = operator(&nodes, &again).await.page("/console/logs").await;
    assert!(page.contains(ORIGIN) && page.contains("quorum atteint"), "{page}");
    again.stop().await;
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_withdrawn_does_not_come_back() {
    let nodes = two_nodes(964).await;
    let log = Log::with_three_witnesses(Arc::clone(&nodes.clock) as SharedClock).await;
    log.grow("first").await;
    let good = log.part(2);
    nodes.federation.name_logs(&good, &good);
    assert_eq!(health(&nodes, &nodes.provider).await, "ok");
    nodes.federation.name_no_logs();
    health(&nodes, &nodes.provider).await;
    // A later list is altered on its way: the node follows nothing, and a restart does not bring the old list back.
    nodes.federation.name_logs(&log.part(3), b"rubbish");
    health(&nodes, &nodes.provider).await;
    nodes.federation.set_outage(Outage::Configuration, true);
    let again = nodes.replica_of_provider(store::testing::sqlite().await).await;
    let page = operator(&nodes, &again).await.page("/console/logs").await;
    assert!(!page.contains(ORIGIN), "{page}");
    again.stop().await;
    nodes.stop().await;
}
