//! The logs that a node follows: quiet while they grow, loud when one shows two histories.

use std::sync::Arc;
use std::time::Duration;

use bridge::Node;
use bridge::api::Role;
use bridge::testing::{TwoNodes, two_nodes};
use civic::SharedClock;
use ledger::Ledger;
use ledger::monitor::{Monitor, Sighting};
use store::Store;
use trust::keys::SigningKey;
use trust::note::policy::Policy;

use crate::console::{Operator, text};

const ORIGIN: &str = "log.test/state";

/// A log with this key and entry, served: its policy and where it is.
async fn log(key: &SigningKey, entry: &str, clock: SharedClock) -> (Policy, String) {
    let ledger = Ledger::open(store::testing::sqlite().await, key.clone(), ORIGIN, clock).await.unwrap();
    ledger.append(vec![entry.as_bytes().to_vec()]).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = ledger::http::router(ledger.clone(), ledger::Submitters::new());
    tokio::spawn(web::serve(listener, router, tokio_util::sync::CancellationToken::new()));
    (Policy::log_only(ledger.verifier()), url)
}

async fn monitor(store: &Store, (policy, url): &(Policy, String), clock: SharedClock) -> Monitor {
    let mut monitor = Monitor::open(store.clone(), clock).await.unwrap();
    monitor.follow(url, policy.clone()).unwrap();
    monitor
}

/// What the health of the node says of the logs it follows, once it has looked.
async fn health(nodes: &TwoNodes, node: &Node) -> (u16, String) {
    node.ready().await.unwrap();
    for _ in 0..100 {
        let metrics = nodes.fetch(request(node, "/metrics")).await;
        if !text(&metrics).contains("monitor_checkpoints_total 0\n") || text(&metrics).contains("alarms_total 1") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let reply = nodes.fetch(request(node, "/health")).await;
    (reply.status.as_u16(), reply.json()["checks"]["logs"].as_str().unwrap().to_owned())
}

fn request(node: &Node, path: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let url = format!("http://{}{path}", node.addresses().admin);
    http::Request::builder().uri(url).body(http_body_util::Full::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_histories_of_a_log_raise_the_alarm_on_health_and_console_with_the_evidence() {
    let nodes = two_nodes(951).await;
    let key = SigningKey::generate_ed25519().unwrap();
    let clock = || Arc::clone(&nodes.clock) as SharedClock;
    let (one, two) = (log(&key, "one", clock()).await, log(&key, "another", clock()).await);
    for store in store::testing::engines().await {
        let before = monitor(&store, &one, clock()).await;
        assert!(matches!(before.round().await.unwrap()[0].1, Sighting::Continued(_)));

        let quiet = nodes.replica_that_follows(store.clone(), before).await;
        assert_eq!(health(&nodes, &quiet).await, (200, "ok".to_owned()));
        let mut operator = signed_in(&nodes, &quiet).await;
        let page = operator.page("/console/logs").await;
        assert!(page.contains(ORIGIN) && page.contains("quorum atteint"), "{page}");
        quiet.stop().await;

        let loud = nodes.replica_that_follows(store.clone(), monitor(&store, &two, clock()).await).await;
        let (status, said) = health(&nodes, &loud).await;
        assert!(status == 503 && said.contains("ALARM") && said.contains(ORIGIN), "{status} {said}");
        let mut operator = operator.moved_to(&loud);
        let page = operator.page("/console/logs").await;
        assert_eq!(page.matches(&format!("{ORIGIN}\n1\n")).count(), 2, "both signed checkpoints: {page}");
        assert!(page.contains("deux histoires"), "{page}");
        loud.stop().await;
    }
    nodes.stop().await;
}

async fn signed_in(nodes: &TwoNodes, node: &Node) -> Operator {
    let key = nodes.api_key(node, &[Role::XroadSecurityserverObserver]).await;
    let mut operator = Operator::at(node);
    let answer = operator.post("/console/sign-in", &[("key", &key)]).await;
    assert_eq!(answer.status, 303, "{}", text(&answer));
    operator
}
