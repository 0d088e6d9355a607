//! Metaservices by REST: listClients, listMethods, allowedMethods, getOpenAPI, verificationconf, in the shapes of X-Road.

use std::io::Read as _;

use bridge::access::{AccessRight, Endpoint};
use bridge::message::Verb;
use bridge::messagelog::{RecordKind, Role};
use bridge::metaservices::RESERVED;
use bridge::registry::{Author, Change, NewService, ServiceKind};
use bridge::testing::{CLIENT, ECHO, PERSON, PROVIDER, TwoNodes, two_nodes, two_nodes_on, two_nodes_with};
use civic::ClientId;
use serde_json::{Value as Json, json};
use trust::globalconf::TrustDir;

const OPENAPI: &str = r#"{"openapi":"3.0.3","info":{"title":"Pets","version":"1"},
    "servers":[{"url":"https://10.9.8.7:8443/v1"}],"paths":{"/pets":{"get":{"responses":{}}}}}"#;

fn endpoint(verb: Option<Verb>, path: &str) -> Endpoint {
    Endpoint { verb, path: path.to_owned() }
}

/// The provider offers an OpenAPI service `pets` with three endpoints, of which the client may use one.
async fn with_pets(nodes: &TwoNodes) {
    let provider: ClientId = PROVIDER.parse().unwrap();
    let service = provider.service("pets").unwrap();
    let add = Change::AddDescription {
        client: provider,
        description_kind: ServiceKind::OpenApi,
        url: "http://pets.invalid/openapi.json".to_owned(),
        text: Some(OPENAPI.to_owned()),
        services: vec![NewService {
            id: service.clone(),
            version: None,
            title: Some("Pets".to_owned()),
            url: nodes.service.url(),
            endpoints: vec![
                endpoint(Some(Verb::Get), "/pets"),
                endpoint(Some(Verb::Get), "/pets/*"),
                endpoint(None, "/pets/**"),
            ],
        }],
    };
    let give = Change::GiveRight {
        subject: bridge::registry::Subject::Client(CLIENT.parse().unwrap()),
        service,
        endpoint: Some(endpoint(Some(Verb::Get), "/pets/*")),
    };
    nodes.provider.registry().apply_all(&Author::CommandLine, vec![add, give]).await.unwrap();
}

fn codes(json: &Json) -> Vec<&str> {
    json["service"].as_array().unwrap().iter().map(|service| service["service_code"].as_str().unwrap()).collect()
}

fn paths(json: &Json, code: &str) -> Vec<String> {
    let services = json["service"].as_array().unwrap();
    let service = services.iter().find(|service| service["service_code"] == code).unwrap();
    let endpoints = service["endpoint_list"].as_array().unwrap();
    endpoints
        .iter()
        .map(|end| format!("{} {}", end["method"].as_str().unwrap(), end["path"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_are_listed_in_the_json_of_x_road_signed_and_logged_on_every_engine() {
    for stores in store::testing::engines().await.into_iter().zip(store::testing::engines().await) {
        let nodes = two_nodes_on(600, stores, |_, provider| {
            let person = PERSON.parse().unwrap();
            provider.rights.retain(|right| right.service != person);
        })
        .await;
        with_pets(&nodes).await;
        let reply = nodes.call("GET", &format!("{PROVIDER}/listMethods"), &[("X-Road-Id", "meta-1")], "").await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (200, "application/json"),
            "{:?}",
            reply.body
        );
        assert_eq!(reply.header("x-road-service"), format!("{PROVIDER}/listMethods"));
        let all = reply.json();
        assert_eq!(codes(&all), ["echo", "person", "income-statement", "pets"]);
        assert_eq!(
            all["service"][3],
            json!({
                "member_class": "GOV",
                "member_code": "1002",
                "object_type": "SERVICE",
                "service_code": "pets",
                "service_type": "OPENAPI",
                "subsystem_code": "fisc",
                "xroad_instance": "BB",
                "endpoint_list": [
                    {"method": "GET", "path": "/pets"},
                    {"method": "GET", "path": "/pets/*"},
                    {"method": "*", "path": "/pets/**"},
                ],
            })
        );
        assert_eq!(
            (&all["service"][0]["service_type"], &all["service"][0]["endpoint_list"]),
            (&json!("REST"), &json!([]))
        );
        let allowed = nodes.get(&format!("{PROVIDER}/allowedMethods")).await.json();
        assert_eq!(codes(&allowed), ["echo", "income-statement", "pets"], "not the one without a right");
        assert_eq!(paths(&allowed, "pets"), ["GET /pets/*"], "a wider or another endpoint is not allowed");
        for (node, role) in [(&nodes.consumer, Role::Consumer), (&nodes.provider, Role::Provider)] {
            let found = node.message_log().count("meta-1").await.unwrap();
            assert_eq!(found, [(role, RecordKind::Request), (role, RecordKind::Response)]);
        }
        assert!(nodes.service.seen().is_empty(), "the node answers itself");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_may_ask_but_only_by_get() {
    let nodes = two_nodes_with(601, |_, provider| provider.rights.clear()).await;
    assert_eq!(nodes.get(&format!("{PROVIDER}/listMethods")).await.status, 200);
    assert_eq!(codes(&nodes.get(&format!("{PROVIDER}/allowedMethods")).await.json()), Vec::<&str>::new());
    let post = nodes.call("POST", &format!("{PROVIDER}/listMethods"), &[], "x").await;
    assert_eq!(post.error_type(), "server.serverproxy.unknown_service");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_is_given_without_the_address_of_the_information_system() {
    let nodes = two_nodes(602).await;
    with_pets(&nodes).await;
    let ask = |query: &str| format!("{PROVIDER}/getOpenAPI{query}");
    let reply = nodes.get(&ask("?serviceCode=pets")).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/json"));
    assert_eq!(reply.json()["servers"], json!([{"url": "/v1"}]));
    assert_eq!(reply.json()["info"]["title"], "Pets");
    assert_eq!(nodes.get(&ask("?x=1&SERVICECODE=%70ets")).await.status, 200, "the name in any case, decoded");
    for (query, error) in [
        ("", "invalid_request"),
        ("?serviceCode=", "invalid_request"),
        ("?serviceCode=a%2Fb", "invalid_request"),
        ("?serviceCode=none", "unknown_service"),
        ("?serviceCode=listMethods", "unknown_service"),
        ("?serviceCode=echo", "service_type"),
    ] {
        let reply = nodes.get(&ask(query)).await;
        assert_eq!(reply.error_type(), format!("server.serverproxy.{error}"), "{query}");
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_whose_text_is_not_kept_is_fetched_and_its_address_stays_secret() {
    let nodes = two_nodes(603).await;
    let provider: ClientId = PROVIDER.parse().unwrap();
    let describe = |code: &str, url: String| Change::AddDescription {
        client: provider.clone(),
        description_kind: ServiceKind::OpenApi,
        url,
        text: None,
        services: vec![NewService {
            id: provider.service(code).unwrap(),
            version: None,
            title: None,
            url: nodes.service.url(),
            endpoints: Vec::new(),
        }],
    };
    let (echo, nobody) = (format!("{}/openapi.json", nodes.service.url()), "http://127.0.0.1:9/secret".to_owned());
    let changes = vec![describe("fetched", echo), describe("away", nobody)];
    nodes.provider.registry().apply_all(&Author::CommandLine, changes).await.unwrap();
    let reply = nodes.get(&format!("{PROVIDER}/getOpenAPI?serviceCode=fetched")).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(nodes.service.seen()[0].target, "/openapi.json");
    let away = nodes.get(&format!("{PROVIDER}/getOpenAPI?serviceCode=away")).await;
    assert_eq!(away.error_type(), "server.serverproxy.internal_error");
    assert!(!away.json()["message"].as_str().unwrap().contains("127.0.0.1"), "{:?}", away.body);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reserved_code_is_no_service() {
    let nodes = two_nodes(604).await;
    let provider: ClientId = PROVIDER.parse().unwrap();
    for code in RESERVED {
        let add = Change::AddDescription {
            client: provider.clone(),
            description_kind: ServiceKind::Rest,
            url: "http://x.invalid/".to_owned(),
            text: None,
            services: vec![NewService {
                id: provider.service(code).unwrap(),
                version: None,
                title: None,
                url: "http://x.invalid/".to_owned(),
                endpoints: Vec::new(),
            }],
        };
        let refused = nodes.provider.registry().apply(&Author::CommandLine, add).await.unwrap_err();
        assert!(refused.to_string().contains("another code"), "{code}: {refused}");
    }
    let listed = nodes.get(&format!("{PROVIDER}/listMethods")).await.json();
    assert!(codes(&listed).iter().all(|code| !RESERVED.contains(code)));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_listed_as_xml_and_json_without_any_exchange() {
    let nodes = two_nodes(605).await;
    nodes.federation.change(|params| {
        let member = params.members.iter_mut().find(|member| member.id.code() == "1002").unwrap();
        member.name = "Impôts & Domaines".to_owned();
        member.subsystems[0].name = Some("Fiscalité <v5>".to_owned());
    });
    nodes.consumer.ready().await.unwrap();
    let reply = nodes.send("GET", "/listClients", &[("Accept", "text/html, application/json;q=0.1")], "").await;
    assert_eq!(reply.header("content-type"), "application/json; charset=utf-8");
    let member = |code: &str, object: &str| json!({"member_class": "GOV", "member_code": code, "object_type": object, "xroad_instance": "BB"});
    let mut subsystem = member("1002", "SUBSYSTEM");
    subsystem["subsystem_code"] = "fisc".into();
    let listed = reply.json()["member"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 4, "two members with a subsystem each");
    assert!(listed.contains(&json!({"id": member("1002", "MEMBER"), "name": "Impôts & Domaines"})), "{listed:?}");
    let named = json!({"id": subsystem, "name": "Impôts & Domaines", "subsystem_name": "Fiscalité <v5>"});
    assert!(listed.contains(&named), "{listed:?}");
    for target in ["/listClients", "/listClients?xRoadInstance=BB", "/listClients?xRoadInstance="] {
        let xml = nodes.send("GET", target, &[("Accept", "*/*")], "").await;
        assert_eq!((xml.status.as_u16(), xml.header("content-type")), (200, "text/xml; charset=UTF-8"), "{target}");
        let text = String::from_utf8(xml.body.to_vec()).unwrap();
        let entry = "<xroad:member><xroad:id id:objectType=\"SUBSYSTEM\"><id:xRoadInstance>BB</id:xRoadInstance>\
                     <id:memberClass>GOV</id:memberClass><id:memberCode>1002</id:memberCode>\
                     <id:subsystemCode>fisc</id:subsystemCode></xroad:id><xroad:name>Impôts &amp; Domaines</xroad:name>\
                     <xroad:subsystemName>Fiscalité &lt;v5&gt;</xroad:subsystemName></xroad:member>";
        assert!(text.contains(entry), "{text}");
        assert_eq!(text.matches("<xroad:member>").count(), 4);
        validates(&text);
    }
    let unknown = nodes.send("GET", "/listClients?xRoadInstance=XX", &[], "").await;
    assert_eq!(unknown.error_type(), "server.clientproxy.internal_error", "X-Road's own answer");
    assert_eq!(nodes.send("POST", "/listClients", &[], "x").await.error_type(), "client.bad_request");
    assert!(nodes.service.seen().is_empty());
    nodes.stop().await;
}

/// By X-Road's schema of metaservices, where it lies beside.
#[expect(clippy::disallowed_methods, reason = "only the environment can say that this is the complete run")]
fn validates(text: &str) {
    let Some(samples) = crate::samples::folder("the schema of metaservices") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.xml");
    std::fs::write(&file, text).unwrap();
    let schema = samples.join("schemas/service-metainfo.xsd");
    let mut command = std::process::Command::new("xmllint");
    match command.args(["--nonet", "--noout", "--schema"]).args([&schema, &file]).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => assert!(std::env::var("CI").is_err(), "xmllint is needed: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verification_configuration_is_complete() {
    let nodes = two_nodes(606).await;
    nodes.federation.change(|params| {
        let member = params.members.iter_mut().find(|member| member.id.code() == "1002").unwrap();
        member.subsystems[0].name = Some("Fiscalité".to_owned());
    });
    nodes.consumer.ready().await.unwrap();
    let reply = nodes.send("GET", "/verificationconf", &[], "").await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/zip"));
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(reply.body.as_ref())).unwrap();
    let mut files = std::collections::BTreeMap::new();
    for at in 0..archive.len() {
        let mut file = archive.by_index(at).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        files.insert(file.name().to_owned(), content);
    }
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "verificationconf/BB/shared-params.xml",
            "verificationconf/BB/shared-params.xml.metadata",
            "verificationconf/instance-identifier",
        ]
    );
    assert_eq!(files["verificationconf/instance-identifier"], b"BB");
    let metadata: Json = serde_json::from_slice(&files["verificationconf/BB/shared-params.xml.metadata"]).unwrap();
    assert_eq!(
        (&metadata["contentIdentifier"], &metadata["instanceIdentifier"]),
        (&json!("SHARED-PARAMETERS"), &json!("BB"))
    );
    assert!(metadata["expirationDate"].is_string() && metadata["configurationVersion"].is_string(), "{metadata}");
    let shared = String::from_utf8(files["verificationconf/BB/shared-params.xml"].clone()).unwrap();
    assert!(shared.contains("<subsystemName>Fiscalité</subsystemName>"), "{shared}");
    assert!(TrustDir::load(&files).is_ok());
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_to_a_pattern_covers_the_patterns_below_it() {
    let nodes = two_nodes_with(607, |_, provider| {
        provider.rights.clear();
        provider.rights.push(AccessRight {
            client: CLIENT.parse().unwrap(),
            service: ECHO.parse().unwrap(),
            endpoint: Some(endpoint(None, "/a/**")),
        });
    })
    .await;
    let service: civic::ServiceId = ECHO.parse().unwrap();
    let add = |verb, path: &str| Change::AddEndpoint { service: service.clone(), endpoint: endpoint(verb, path) };
    let changes = vec![
        add(Some(Verb::Get), "/a/*"),
        add(None, "/a/b/*"),
        add(Some(Verb::Get), "/b"),
        add(Some(Verb::Get), "/**"),
    ];
    nodes.provider.registry().apply_all(&Author::CommandLine, changes).await.unwrap();
    let allowed = nodes.get(&format!("{PROVIDER}/allowedMethods")).await.json();
    assert_eq!(codes(&allowed), ["echo"]);
    let found = paths(&allowed, "echo");
    assert!(found.contains(&"GET /a/*".to_owned()) && found.contains(&"* /a/b/*".to_owned()), "{found:?}");
    assert!(!found.contains(&"GET /b".to_owned()) && !found.contains(&"GET /**".to_owned()), "{found:?}");
    nodes.stop().await;
}
