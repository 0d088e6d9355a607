//! The authority gets new keys for its configuration: nodes that were there, or came back in between, need no new anchor.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use authority::{Authority, AuthorityConfig, KeyUse, Profile};
use bridge::config::{Addresses, NodeConfig, Rhythm};
use bridge::{Listeners, Node, NodeKeys, NodeParts};
use civic::testing::{SeededRandom, TestClock};
use civic::{ServerId, SharedClock, SharedRandom};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than a configuration holds.
const LONG: Duration = Duration::from_hours(3);

struct Bed {
    authority: Authority,
    clock: Arc<TestClock>,
    anchor: Vec<u8>,
    folder: tempfile::TempDir,
    keys: NodeKeys,
    _stop: DropGuard,
}

impl Bed {
    async fn new() -> Self {
        let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
        let random: SharedRandom = Arc::new(SeededRandom::new(1_100));
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = AuthorityConfig::new("BB", "Agence", &url, "BB/GOV/1000/management".parse().unwrap());
        let store = store::testing::sqlite().await;
        let shared: SharedClock = Arc::clone(&clock) as SharedClock;
        let authority = Authority::open(store, &folder.path().join("authority"), config, shared, random).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, authority.router(), stop.clone()));
        let server = server();
        authority.register_member(server.owner(), "Impôts").await.unwrap();
        let client = server.owner().subsystem("fisc").unwrap();
        authority.register_subsystem(&client, None).await.unwrap();
        let requests = NodeKeys::init(&folder.path().join("keys"), &server, "BB", "Impôts").unwrap();
        let sign = authority.sign_csr(Profile::Sign, &server, server.owner(), &requests.sign).await.unwrap();
        let auth = authority.sign_csr(Profile::Auth, &server, server.owner(), &requests.auth).await.unwrap();
        let keys = NodeKeys::install(&folder.path().join("keys"), &sign, &auth).unwrap();
        authority.register_server(&server, "127.0.0.1:5500", &auth, &[client]).await.unwrap();
        let anchor = authority.anchor().into_bytes();
        Self { authority, clock, anchor, folder, keys, _stop: stop.drop_guard() }
    }

    /// The node with its state in this folder, and the anchor of the first day.
    async fn node(&self, state: &Path) -> Node {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let addresses = Addresses { consumer: any, consumer_https: None, transport: any, ocsp: any, admin: any };
        let never = Duration::from_hours(1);
        let rhythm = Rhythm { configuration: never, ocsp: never, stamping: never, commitment: never, archiving: never };
        let config = NodeConfig { rhythm, ..NodeConfig::new(server(), state.to_owned(), self.anchor.clone()) };
        let parts = NodeParts {
            keys: self.keys.clone(),
            store: store::testing::sqlite().await,
            ledger: None,
            monitor: None,
            witness: None,
            clock: Arc::clone(&self.clock) as SharedClock,
            random: Arc::new(SeededRandom::new(1_101)),
        };
        Node::start(config, Listeners::bind(&addresses).await.unwrap(), parts).await.unwrap()
    }

    /// A new signing key is announced, takes over once everybody heard of it, and the old one is retired; the node looks at each step.
    async fn rotate(&self, node: &Node, old: u32) {
        let desk = self.authority.desk("operator");
        desk.add_key(KeyUse::Configuration).await.unwrap();
        node.ready().await.unwrap();
        self.clock.advance(Duration::from_mins(20));
        self.authority.publish().await.unwrap();
        node.ready().await.unwrap();
        desk.activate_signing_key(old + 1).await.unwrap();
        node.ready().await.unwrap();
        desk.retire_signing_key(old).await.unwrap();
        node.ready().await.unwrap();
    }
}

fn server() -> ServerId {
    "BB/GOV/1002/node-1".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_outlives_two_rotations_and_a_long_rest_in_between_and_one_with_the_first_anchor_alone_is_lost() {
    let bed = Bed::new().await;
    let first = bed.authority.desk("operator").signing_keys()[0].number;
    let state = bed.folder.path().join("state");
    let mut node = bed.node(&state).await;
    node.ready().await.unwrap();
    for turn in 0..2 {
        bed.rotate(&node, first + turn).await;
        node.stop().await;
        // Long after what the node kept has expired.
        bed.clock.advance(LONG);
        bed.authority.publish().await.unwrap();
        node = bed.node(&state).await;
        node.ready().await.unwrap();
    }
    node.stop().await;

    let lost = bed.node(&bed.folder.path().join("fresh")).await;
    let reason = lost.ready().await.unwrap_err();
    assert!(reason.contains("refused"), "{reason}");
    lost.stop().await;
    // A corrected anchor is believed for the anchor that it corrects only.
    let other = bed.folder.path().join("state/globalconf/BB/corrected-anchor.of");
    std::fs::write(&other, "another anchor").unwrap();
    std::fs::remove_file(bed.folder.path().join("state/globalconf/BB/directory")).unwrap();
    let lost = bed.node(&state).await;
    assert!(lost.ready().await.is_err());
    lost.stop().await;
}
