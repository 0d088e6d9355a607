//! A small federation in one process, for tests: an authority, a consumer's node, a provider's node, an information system.
//! Real keys, sockets, signatures and storage; the clock is the test's.

mod federation;
mod service;
mod soap;
pub mod stream;
pub mod wire;

pub use federation::{Federation, Outage, Poison};
pub use service::{Recorded, Service};
pub use soap::{SERVICE_FAULT, SOAP_SERVICES, SoapService, WSDL, offer_soap};

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use civic::testing::{SeededRandom, TestClock};
use civic::{ClientId, Clock as _, ServerId, ServiceId, SharedClock, SharedRandom};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use ledger::monitor::Monitor;
use ledger::testing::ServedLedger;
use store::Store;
use tempfile::TempDir;
use trust::cert::CertificateProfile;
use trust::keys::{KeyKind, SigningKey};

use crate::access::AccessRight;
use crate::config::{Addresses, NodeConfig, NodeLimits, Rhythm, ServiceBasis, ServiceConfig, SubjectRule};
use crate::operations::OperationsSettings;
use crate::outbound::Outbound;
use crate::{InternalKeys, Listeners, Node, NodeKeys, NodeParts};

/// The client of the test federation.
pub const CLIENT: &str = "BB/COM/2001/credit";
/// The provider's subsystem.
pub const PROVIDER: &str = "BB/GOV/1002/fisc";
/// A public service of the provider that echoes.
pub const ECHO: &str = "BB/GOV/1002/fisc/echo";
/// A service on a legal basis; the first path segment is the national number.
pub const PERSON: &str = "BB/GOV/1002/fisc/person";
/// A service on the basis of consent.
pub const INCOME: &str = "BB/GOV/1002/fisc/income-statement";

/// The name by which the nodes append to the ledger.
pub const SUBMITTER: &str = "node";

/// Two nodes that can talk.
pub struct TwoNodes {
    /// The authority.
    pub federation: Arc<Federation>,
    /// The node of [`CLIENT`].
    pub consumer: Node,
    /// The node of [`PROVIDER`].
    pub provider: Node,
    /// The information system behind the provider.
    pub service: Service,
    /// The keys of the consumer's node: a test may speak as it.
    pub consumer_keys: NodeKeys,
    /// The keys of the provider's node.
    pub provider_keys: NodeKeys,
    /// The ledger of both nodes.
    pub ledger: ServedLedger,
    /// The clock of all.
    pub clock: Arc<TestClock>,
    folders: TempDir,
    http: Outbound,
}

/// An answer of a node to an information system.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A federation with two nodes on SQLite, in the usual configuration.
pub async fn two_nodes(seed: u64) -> TwoNodes {
    two_nodes_with(seed, |_, _| {}).await
}

/// The same, with changes to the configurations of the consumer's and the provider's node.
pub async fn two_nodes_with(seed: u64, change: impl FnOnce(&mut NodeConfig, &mut NodeConfig)) -> TwoNodes {
    let stores = (store::testing::sqlite().await, store::testing::sqlite().await);
    two_nodes_on(seed, stores, change).await
}

/// Makes the keys of a node: for signing, for TLS.
pub type MakeKeys<'a> = &'a dyn Fn() -> (SigningKey, SigningKey);

/// Two nodes with keys of another kind, and changes to their configurations.
pub async fn two_nodes_with_keys(
    seed: u64,
    make: MakeKeys<'_>,
    change: impl FnOnce(&mut NodeConfig, &mut NodeConfig),
) -> TwoNodes {
    let stores = (store::testing::sqlite().await, store::testing::sqlite().await);
    start(seed, stores, Some(make), change).await
}

/// The same, on these stores of the consumer's and the provider's node.
pub async fn two_nodes_on(
    seed: u64,
    stores: (Store, Store),
    change: impl FnOnce(&mut NodeConfig, &mut NodeConfig),
) -> TwoNodes {
    start(seed, stores, None, change).await
}

async fn start(
    seed: u64,
    stores: (Store, Store),
    make: Option<MakeKeys<'_>>,
    change: impl FnOnce(&mut NodeConfig, &mut NodeConfig),
) -> TwoNodes {
    let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
    let random: SharedRandom = Arc::new(SeededRandom::new(seed));
    let federation = Federation::start(Arc::clone(&clock), Arc::clone(&random)).await;
    let folders = need(tempfile::tempdir());
    let service = Service::start().await;
    let consumer_server: ServerId = need("BB/COM/2001/node-1".parse());
    let provider_server: ServerId = need("BB/GOV/1002/node-1".parse());
    let consumer_keys = keys(&federation, &folders, &consumer_server, "Banque du Fleuve", make);
    let provider_keys = keys(&federation, &folders, &provider_server, "Impôts", make);
    let (consumer_sockets, provider_sockets) = (listeners().await, listeners().await);
    for (server, name, client, sockets, keys) in [
        (&consumer_server, "Banque du Fleuve", CLIENT, &consumer_sockets, &consumer_keys),
        (&provider_server, "Impôts", PROVIDER, &provider_sockets, &provider_keys),
    ] {
        let address = need(sockets.addresses()).transport.to_string();
        federation.register(server, name, &address, &need(client.parse()), &keys.auth_certificate);
    }
    let mut consumer_config = config(&federation, &folders, &consumer_server);
    consumer_config.clients = vec![need(CLIENT.parse())];
    let mut provider_config = config(&federation, &folders, &provider_server);
    provider_config.services = services(&service);
    provider_config.rights = rights();
    change(&mut consumer_config, &mut provider_config);
    let shared: SharedClock = Arc::clone(&clock) as SharedClock;
    let served = ledger::testing::served_on(store::testing::sqlite().await, Arc::clone(&shared), &[SUBMITTER]).await;
    for key in [&consumer_keys.sign, &provider_keys.sign] {
        // Nodes with keys of other kinds append with the key that the test gave their client.
        if key.public().kind() == KeyKind::P256 {
            served.allow(SUBMITTER, key.public());
        }
    }
    let parts = |keys: &NodeKeys, store: Store| NodeParts {
        keys: keys.clone(),
        store,
        ledger: Some(served.client(SUBMITTER)),
        monitor: None,
        witness: None,
        clock: Arc::clone(&shared),
        random: Arc::clone(&random),
    };
    let consumer = Node::start(consumer_config, consumer_sockets, parts(&consumer_keys, stores.0)).await;
    let provider = Node::start(provider_config, provider_sockets, parts(&provider_keys, stores.1)).await;
    let (consumer, provider) = (need(consumer), need(provider));
    need(consumer.ready().await);
    need(provider.ready().await);
    let http = need(Outbound::new(Duration::from_secs(5), None));
    TwoNodes {
        federation,
        consumer,
        provider,
        service,
        consumer_keys,
        provider_keys,
        ledger: served,
        clock,
        folders,
        http,
    }
}

impl TwoNodes {
    /// The folder of all that this federation keeps outside of its stores.
    pub fn folder(&self) -> &std::path::Path {
        self.folders.path()
    }

    /// Sends a request to the consumer's node as [`CLIENT`]. `path` follows `/r1/`.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let mut all = vec![("X-Road-Client", CLIENT)];
        all.extend_from_slice(headers);
        self.send(method, &format!("/r1/{path}"), &all, body).await
    }

    /// `GET` of a service as [`CLIENT`].
    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], Bytes::new()).await
    }

    /// Sends any request to any address.
    pub async fn fetch(&self, request: Request<Full<Bytes>>) -> Reply {
        let answer = need(self.http.send(request, Duration::from_mins(1), 64 * 1024 * 1024).await);
        let (head, body) = answer.into_parts();
        Reply { status: head.status, headers: head.headers, body }
    }

    /// Sends any request to the consumer's node.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let url = format!("http://{}{target}", self.consumer.addresses().consumer);
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.fetch(need(request.body(Full::new(body.into())))).await
    }

    /// A call of a node's management API, below `/api/v1`. Text that begins like JSON is sent as such, all else as bytes.
    pub async fn api(
        &self,
        node: &Node,
        method: &str,
        target: &str,
        key: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Reply {
        let body = body.into();
        let url = format!("http://{}{}{target}", node.addresses().admin, crate::api::BASE);
        let json = body.first().is_none_or(|first| matches!(first, b'{' | b'['));
        let kind = if json { "application/json" } else { "application/octet-stream" };
        let mut request = Request::builder().method(method).uri(url).header("content-type", kind);
        if let Some(key) = key {
            request = request.header("authorization", format!("X-Road-ApiKey token={key}"));
        }
        let request = need(request.body(Full::new(body)));
        let answer = need(self.http.send(request, Duration::from_mins(1), 64 * 1024 * 1024).await);
        let (head, body) = answer.into_parts();
        Reply { status: head.status, headers: head.headers, body }
    }

    /// A key of a node's management API with these roles.
    pub async fn api_key(&self, node: &Node, roles: &[crate::api::Role]) -> String {
        let clock: SharedClock = Arc::clone(&self.clock) as SharedClock;
        let random: SharedRandom = Arc::new(SeededRandom::new(u64::try_from(self.clock.now().micros()).unwrap_or(1)));
        let salt: [u8; 8] = civic::random_array(&*random);
        let count = need(node.registry().audit_entries(1_000).await).len() as u64;
        let random: SharedRandom = Arc::new(SeededRandom::new(u64::from_be_bytes(salt) ^ count));
        need(crate::api::first_key(node.message_log().store(), &clock, &random, roles).await).key
    }

    /// Another process of the provider's node on this store: the same keys and configuration, other ports.
    pub async fn replica_of_provider(&self, store: Store) -> Node {
        self.replica_of_provider_with(store, |_| {}).await
    }

    /// The same, with changes to its configuration.
    pub async fn replica_of_provider_with(&self, store: Store, change: impl FnOnce(&mut NodeConfig)) -> Node {
        need(self.try_replica_of_provider(store, change).await)
    }

    /// The same, which may fail.
    pub async fn try_replica_of_provider(
        &self,
        store: Store,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Result<Node, crate::StartError> {
        self.replica(store, None, change).await
    }

    /// Another process of the provider's node that follows logs by this monitor.
    pub async fn replica_that_follows(&self, store: Store, monitor: Monitor) -> Node {
        need(self.replica(store, Some(monitor), |_| {}).await)
    }

    async fn replica(
        &self,
        store: Store,
        monitor: Option<Monitor>,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Result<Node, crate::StartError> {
        let mut config = config(&self.federation, &self.folders, &need("BB/GOV/1002/node-1".parse()));
        config.services = services(&self.service);
        config.rights = rights();
        change(&mut config);
        let parts = NodeParts {
            keys: self.provider_keys.clone(),
            store,
            ledger: Some(self.ledger.client(SUBMITTER)),
            monitor,
            witness: None,
            clock: Arc::clone(&self.clock) as SharedClock,
            random: Arc::new(SeededRandom::new(77)),
        };
        Node::start(config, listeners().await, parts).await
    }

    /// Stops both nodes and closes their stores.
    pub async fn stop(self) {
        self.consumer.stop().await;
        self.provider.stop().await;
        self.consumer.message_log().store().close().await;
        self.provider.message_log().store().close().await;
    }
}

impl Reply {
    /// A header as text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The error type; empty where the answer is no error of the bridge.
    pub fn error_type(&self) -> String {
        self.json().get("type").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    }
}

/// Sockets on the loopback; the OCSP port is 77 above the transport port, as addresses with a port demand.
pub async fn listeners() -> Listeners {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for _ in 0..200 {
        let probe = need(std::net::TcpListener::bind(any));
        let transport = need(probe.local_addr());
        let Some(port) = transport.port().checked_add(77) else { continue };
        drop(probe);
        let addresses = Addresses {
            consumer: any,
            consumer_https: Some(any),
            transport,
            ocsp: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            admin: any,
        };
        if let Ok(listeners) = Listeners::bind(&addresses).await {
            return listeners;
        }
    }
    stop("no two free ports are 77 apart")
}

fn keys(
    federation: &Federation,
    folders: &TempDir,
    server: &ServerId,
    name: &str,
    make: Option<MakeKeys<'_>>,
) -> NodeKeys {
    let folder = folders.path().join(server.owner().code()).join("keys");
    let requests = need(NodeKeys::init(&folder, server, "SN", name));
    let (sign, auth) = federation.certify(&requests);
    let usual = need(NodeKeys::install(&folder, &sign, &auth));
    let Some(make) = make else { return usual };
    let (sign, auth) = make();
    let issue = |profile, key: &SigningKey| {
        let subject = usual.sign_certificate.subject().clone();
        federation.issue(profile, subject, key.public(), Duration::from_hours(8_760))
    };
    let sign_certificate = issue(CertificateProfile::Sign, &sign);
    let auth_certificate = issue(CertificateProfile::Auth, &auth);
    need(NodeKeys::new(sign, sign_certificate, auth, auth_certificate))
}

/// A node as the tests want it: no job runs by itself except the configuration's.
pub fn config(federation: &Federation, folders: &TempDir, server: &ServerId) -> NodeConfig {
    let never = Duration::from_hours(1);
    let state_dir = folders.path().join(server.owner().code()).join("state");
    let keys = folders.path().join(server.owner().code()).join("keys");
    let internal = InternalKeys::open(&keys, server.code(), federation.now(), &SeededRandom::new(7));
    NodeConfig {
        internal: Some(need(internal)),
        limits: NodeLimits { body_bytes_max: 1024 * 1024, ..NodeLimits::default() },
        rhythm: Rhythm { configuration: never, ocsp: never, stamping: never, commitment: never, archiving: never },
        operations: OperationsSettings { write_every: never, measure_every: never, ..OperationsSettings::default() },
        ..NodeConfig::new(server.clone(), state_dir, federation.anchor())
    }
}

fn services(service: &Service) -> Vec<ServiceConfig> {
    let one = |id: &str, basis, subject| ServiceConfig {
        id: need(id.parse()),
        base_url: service.url(),
        basis,
        subject,
        fields: vec!["name".to_owned()],
        openapi: None,
    };
    let law = ServiceBasis::Law {
        reference: "Loi 2008-12, art. 33".to_owned(),
        purpose_code: "identity-check".to_owned(),
        purpose_text: "Vérifier une identité".to_owned(),
    };
    vec![
        one(ECHO, ServiceBasis::Public, SubjectRule::None),
        one(PERSON, law, SubjectRule::PathSegment(0)),
        one(INCOME, ServiceBasis::Consent, SubjectRule::Permit),
    ]
}

fn rights() -> Vec<AccessRight> {
    let tracker = format!("{PROVIDER}/{}", crate::DATA_TRACKER);
    let client: ClientId = need(CLIENT.parse());
    let right = |service: &str| AccessRight {
        client: client.clone(),
        service: need::<ServiceId, _>(service.parse()),
        endpoint: None,
    };
    [ECHO, PERSON, INCOME, tracker.as_str()].map(right).to_vec()
}

/// The value, or the end of the test.
pub(crate) fn need<T, E: std::fmt::Display>(value: Result<T, E>) -> T {
    match value {
        Ok(value) => value,
        Err(error) => stop(&error.to_string()),
    }
}

#[expect(clippy::panic, reason = "a test without its federation has nothing to say")]
fn stop(reason: &str) -> ! {
    panic!("the federation of this test does not start: {reason}")
}
