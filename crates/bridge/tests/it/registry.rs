//! What the node offers and to whom: changed while it runs, on both engines, seen by replicas, kept over a restart.

use std::sync::Arc;

use bridge::access::Endpoint;
use bridge::config::{NodeConfig, ServiceBasis, ServiceConfig, SubjectRule};
use bridge::message::Verb;
use bridge::registry::{
    Author, Change, ClientStatus, Connection, ConnectionType, GlobalGroupId, LogMode, NewService, RegistryError,
    ServiceKind, ServicePatch, Subject,
};
use bridge::testing::{CLIENT, ECHO, PROVIDER, TwoNodes, two_nodes_on, two_nodes_with};
use civic::{ClientId, ServiceId};

const EXTRA: &str = "BB/GOV/1002/fisc/extra";

fn client(text: &str) -> ClientId {
    text.parse().unwrap()
}

fn service(text: &str) -> ServiceId {
    text.parse().unwrap()
}

fn endpoint(verb: Option<Verb>, path: &str) -> Endpoint {
    Endpoint { verb, path: path.to_owned() }
}

async fn provider(nodes: &TwoNodes, change: Change) -> Result<Option<i64>, RegistryError> {
    nodes.provider.registry().apply(&Author::CommandLine, change).await
}

/// A second service behind the provider's node, made while it runs. The number of its description.
async fn extra(nodes: &TwoNodes) -> i64 {
    let new = NewService {
        id: service(EXTRA),
        version: None,
        title: None,
        url: nodes.service.url(),
        endpoints: vec![endpoint(Some(Verb::Get), "/pets/*")],
    };
    let change = Change::AddDescription {
        client: client(PROVIDER),
        description_kind: ServiceKind::Rest,
        url: nodes.service.url(),
        text: None,
        services: vec![new],
    };
    provider(nodes, change).await.unwrap().unwrap()
}

fn enable(number: i64, enabled: bool) -> Change {
    Change::EnableDescription { number, enabled, notice: Some("back on Monday".to_owned()) }
}

fn give(subject: Subject, endpoint: Option<Endpoint>) -> Change {
    Change::GiveRight { subject, service: service(EXTRA), endpoint }
}

fn take(subject: Subject, endpoint: Option<Endpoint>) -> Change {
    Change::TakeRight { subject, service: service(EXTRA), endpoint }
}

async fn status(nodes: &TwoNodes, path: &str) -> (u16, String) {
    let reply = nodes.get(&format!("{EXTRA}{path}")).await;
    (reply.status.as_u16(), reply.error_type())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_and_rights_come_and_go_while_the_node_runs_on_every_engine() {
    let consumers = store::testing::engines().await;
    let providers = store::testing::engines().await;
    for stores in consumers.into_iter().zip(providers) {
        let nodes = two_nodes_on(300, stores, |_, _| {}).await;
        let bank = Subject::Client(client(CLIENT));
        assert_eq!(status(&nodes, "/pets/1").await.1, "server.serverproxy.unknown_service");
        let number = extra(&nodes).await;
        assert_eq!(status(&nodes, "/pets/1").await.1, "server.serverproxy.access_denied");
        provider(&nodes, give(bank.clone(), Some(endpoint(Some(Verb::Get), "/pets/*")))).await.unwrap();
        assert_eq!(status(&nodes, "/pets/1").await.1, "server.serverproxy.service_disabled");
        provider(&nodes, enable(number, true)).await.unwrap();
        assert_eq!(status(&nodes, "/pets/1").await.0, 200);
        assert_eq!(status(&nodes, "/people/1").await.1, "server.serverproxy.access_denied");
        assert_eq!(status(&nodes, "/pets//1").await.1, "server.serverproxy.access_denied");
        provider(&nodes, give(bank.clone(), None)).await.unwrap();
        assert_eq!(status(&nodes, "/people/1").await.0, 200);
        provider(&nodes, take(bank.clone(), None)).await.unwrap();
        assert_eq!(status(&nodes, "/people/1").await.0, 500);
        provider(&nodes, enable(number, false)).await.unwrap();
        let refused = nodes.get(&format!("{EXTRA}/pets/1")).await;
        assert!(String::from_utf8_lossy(&refused.body).contains("back on Monday"), "{:?}", refused.body);
        provider(&nodes, Change::RemoveDescription { number }).await.unwrap();
        assert_eq!(status(&nodes, "/pets/1").await.1, "server.serverproxy.unknown_service");
        // A later service of the same name does not inherit rights.
        let number = extra(&nodes).await;
        provider(&nodes, enable(number, true)).await.unwrap();
        assert_eq!(status(&nodes, "/pets/1").await.1, "server.serverproxy.access_denied");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_local_and_global_groups_have_the_rights_of_the_group_on_every_engine() {
    let consumers = store::testing::engines().await;
    let providers = store::testing::engines().await;
    for stores in consumers.into_iter().zip(providers) {
        let nodes = two_nodes_on(301, stores, |_, _| {}).await;
        let number = extra(&nodes).await;
        provider(&nodes, enable(number, true)).await.unwrap();
        let add = Change::AddGroup { client: client(PROVIDER), code: "banks".into(), description: "Banques".into() };
        let group = provider(&nodes, add).await.unwrap().unwrap();
        provider(&nodes, give(Subject::LocalGroup(group), None)).await.unwrap();
        assert_eq!(status(&nodes, "").await.0, 500, "the group is empty");
        let members = vec![client(CLIENT)];
        provider(&nodes, Change::AddMembers { number: group, members: members.clone() }).await.unwrap();
        assert_eq!(status(&nodes, "").await.0, 200);
        provider(&nodes, Change::RemoveMembers { number: group, members: members.clone() }).await.unwrap();
        assert_eq!(status(&nodes, "").await.0, 500);
        provider(&nodes, Change::AddMembers { number: group, members }).await.unwrap();
        provider(&nodes, Change::RemoveGroup { number: group }).await.unwrap();
        assert_eq!(status(&nodes, "").await.0, 500, "the right went with the group");

        let global = GlobalGroupId { instance: "BB".to_owned(), code: "lenders".to_owned() };
        provider(&nodes, give(Subject::GlobalGroup(global), None)).await.unwrap();
        assert_eq!(status(&nodes, "").await.0, 500, "no such group in the country");
        nodes.federation.group("lenders", &[client(CLIENT)]);
        nodes.provider.ready().await.unwrap();
        assert_eq!(status(&nodes, "").await.0, 200);
        nodes.federation.group("lenders", &[]);
        nodes.provider.ready().await.unwrap();
        assert_eq!(status(&nodes, "").await.0, 500);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_on_the_same_store_sees_a_change_and_a_restart_keeps_it_on_every_engine() {
    for store in store::testing::engines().await {
        let consumer = store::testing::sqlite().await;
        let nodes = two_nodes_on(302, (consumer, store.clone()), |_, _| {}).await;
        let replica = nodes.replica_of_provider(store.clone()).await;
        let number = extra(&nodes).await;
        assert!(replica.registry().refresh().await.unwrap() || replica.registry().current().version > 1);
        let seen = replica.registry().current();
        assert_eq!(seen.service(&service(EXTRA), None).unwrap().description_number, number);
        assert_eq!(seen.version, nodes.provider.registry().current().version);
        replica.stop().await;

        let settings = [
            Change::SetConnection { client: client(PROVIDER), connection: ConnectionType::Https },
            Change::SetLogMode { client: client(PROVIDER), mode: LogMode::Metadata },
        ];
        nodes.provider.registry().apply_all(&Author::CommandLine, settings.to_vec()).await.unwrap();
        nodes.provider.stop().await;
        let again = nodes.replica_of_provider(store).await;
        let offer = again.registry().current();
        assert!(offer.service(&service(EXTRA), None).is_some());
        assert!(offer.service(&service(ECHO), None).is_some());
        let kept = &offer.clients[&client(PROVIDER)];
        assert_eq!(kept.connection, Connection::HttpsAuth { certificates: Vec::new().into() });
        assert_eq!(kept.log_mode, LogMode::Metadata);
        again.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_configuration_declares_is_changed_there_only_and_goes_with_it_on_every_engine() {
    for store in store::testing::engines().await {
        let consumer = store::testing::sqlite().await;
        let nodes = two_nodes_on(303, (consumer, store.clone()), |_, _| {}).await;
        let offer = nodes.provider.registry().current();
        let echo = Arc::clone(offer.service(&service(ECHO), None).unwrap());
        let refused = [
            Change::TakeRight { subject: Subject::Client(client(CLIENT)), service: service(ECHO), endpoint: None },
            Change::RemoveDescription { number: echo.description_number },
            Change::SetService {
                number: echo.number,
                patch: ServicePatch { url: Some("http://elsewhere.invalid".into()), ..ServicePatch::default() },
                url_all: false,
                timeout_all: false,
                tls_verify_all: false,
            },
            Change::RemoveClient { client: client(PROVIDER) },
        ];
        for change in refused {
            let shown = format!("{change:?}");
            assert!(matches!(provider(&nodes, change).await, Err(RegistryError::Declared(_))), "{shown}");
        }
        assert_eq!(nodes.get(ECHO).await.status, 200);
        // A right given by hand to a declared service goes with the service, when it is no longer declared.
        let other = Subject::Client(client("BB/COM/2001/other"));
        let change = Change::GiveRight { subject: other, service: service(ECHO), endpoint: None };
        provider(&nodes, change).await.unwrap();
        nodes.provider.stop().await;
        let without = nodes.replica_of_provider_with(store, |config| {
            config.services.retain(|service| service.id.code() != "echo");
            config.rights.retain(|right| right.service.code() != "echo");
        });
        let without = without.await;
        let offer = without.registry().current();
        assert!(offer.service(&service(ECHO), None).is_none());
        assert!(offer.rights_to(&service(ECHO)).is_empty());
        without.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptions_are_read_again_with_care_for_settings_and_rights() {
    let nodes = two_nodes_with(304, |_, _| {}).await;
    let new = |code: &str, version: &str, paths: &[&str]| NewService {
        id: service(&format!("{PROVIDER}/{code}")),
        version: Some(version.to_owned()).filter(|version| !version.is_empty()),
        title: None,
        url: "http://127.0.0.1:9/".to_owned(),
        endpoints: paths.iter().map(|path| endpoint(Some(Verb::Post), path)).collect(),
    };
    let url = "http://127.0.0.1:9/?wsdl".to_owned();
    let change = Change::AddDescription {
        client: client(PROVIDER),
        description_kind: ServiceKind::Soap,
        url: url.clone(),
        text: Some("<definitions/>".to_owned()),
        services: vec![new("a", "v1", &["/x"]), new("a", "v2", &[]), new("b", "", &[])],
    };
    let number = provider(&nodes, change.clone()).await.unwrap().unwrap();
    assert!(matches!(provider(&nodes, change).await, Err(RegistryError::Exists(_))));
    let offer = nodes.provider.registry().current();
    let a = service(&format!("{PROVIDER}/a"));
    let b = service(&format!("{PROVIDER}/b"));
    assert_eq!(offer.versions(&a).len(), 2);
    let patch = ServicePatch { timeout: Some(std::time::Duration::from_secs(7)), ..ServicePatch::default() };
    let of = offer.service(&a, Some("v1")).unwrap().number;
    let set = Change::SetService { number: of, patch, url_all: false, timeout_all: true, tls_verify_all: false };
    provider(&nodes, set).await.unwrap();
    for id in [&a, &b] {
        let change =
            Change::GiveRight { subject: Subject::Client(client(CLIENT)), service: id.clone(), endpoint: None };
        provider(&nodes, change).await.unwrap();
    }
    let services = vec![new("a", "v2", &["/y"]), new("c", "", &[])];
    let replace = Change::ReplaceDescription { number, url, text: Some("<new/>".to_owned()), services };
    provider(&nodes, replace).await.unwrap();
    let offer = nodes.provider.registry().current();
    let left = offer.service(&a, Some("v2")).unwrap();
    assert_eq!(left.timeout.as_secs(), 7);
    assert_eq!(left.description.as_deref(), Some("<new/>"));
    assert!(offer.service(&a, Some("v1")).is_none() && offer.service(&b, None).is_none());
    assert_eq!(offer.rights_to(&a).len(), 1, "a version is left, so is the right");
    assert!(offer.rights_to(&b).is_empty());
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_switched_off_neither_calls_nor_answers() {
    let nodes = two_nodes_with(305, |_, _| {}).await;
    for (node, id) in [(&nodes.consumer, CLIENT), (&nodes.provider, PROVIDER)] {
        let set = |status| Change::SetClientStatus { client: client(id), status };
        node.registry().apply(&Author::CommandLine, set(ClientStatus::Disabled)).await.unwrap();
        assert_ne!(nodes.get(ECHO).await.status, 200);
        node.registry().apply(&Author::CommandLine, set(ClientStatus::Registered)).await.unwrap();
        assert_eq!(nodes.get(ECHO).await.status, 200);
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_and_changes_nothing_and_every_change_is_audited() {
    let nodes = two_nodes_with(306, |_, _| {}).await;
    let before = nodes.provider.registry().current().version;
    let bank = Subject::Client(client(CLIENT));
    let echo = service(ECHO);
    let nonsense = [
        Change::GiveRight { subject: bank.clone(), service: service("BB/GOV/1002/fisc/nothing"), endpoint: None },
        Change::GiveRight { subject: bank.clone(), service: echo.clone(), endpoint: None },
        Change::GiveRight { subject: Subject::LocalGroup(77), service: echo.clone(), endpoint: None },
        Change::AddEndpoint { service: echo.clone(), endpoint: endpoint(None, "/a/../b") },
        Change::AddGroup { client: client(PROVIDER), code: "a/b".into(), description: String::new() },
        Change::AddClient { client: client(PROVIDER), connection: ConnectionType::Http },
        Change::AddDescription {
            client: client(PROVIDER),
            description_kind: ServiceKind::Rest,
            url: "ftp://x".into(),
            text: None,
            services: Vec::new(),
        },
        Change::RemoveCertificate { client: client(PROVIDER), fingerprint: "é".repeat(32) },
    ];
    for change in nonsense {
        let shown = format!("{change:?}");
        assert!(provider(&nodes, change).await.is_err(), "{shown}");
    }
    assert_eq!(nodes.provider.registry().current().version, before);
    let change = Change::AddEndpoint { service: echo, endpoint: endpoint(Some(Verb::Get), "/a/*") };
    nodes.provider.registry().apply(&Author::ApiKey(7), change).await.unwrap();
    let audit = nodes.provider.registry().audit_entries(10).await.unwrap();
    let last = audit.first().unwrap();
    assert_eq!((last.author.as_str(), last.action.as_str(), last.object.as_str()), ("api-key 7", "add_endpoint", ECHO));
    assert_eq!(last.detail["endpoint"], "GET /a/*");
    assert_eq!(audit.len(), 2, "the declaration at the start and this change: {audit:?}");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_declared_twice_stops_the_start() {
    let declare = |config: &mut NodeConfig| {
        let one = ServiceConfig {
            id: service(ECHO),
            base_url: "http://127.0.0.1:9".to_owned(),
            basis: ServiceBasis::Public,
            subject: SubjectRule::None,
            fields: Vec::new(),
            openapi: None,
        };
        config.services = vec![one.clone(), one];
    };
    let nodes = two_nodes_with(307, |_, _| {}).await;
    let store = store::testing::sqlite().await;
    let error = nodes.try_replica_of_provider(store, declare).await.err().unwrap();
    assert!(error.to_string().contains("twice"), "{error}");
    nodes.stop().await;
}
