//! The management API over HTTP: nothing for strangers, each role its own, and what it changes is in force at the next exchange.

use std::time::Duration;

use bridge::api::{Role, operations_info};
use bridge::config::{ApiLimits, NodeConfig};
use bridge::testing::{CLIENT, ECHO, Outage, PROVIDER, TwoNodes, two_nodes, two_nodes_on, two_nodes_with};
use serde_json::{Value as Json, json};

pub(crate) const ADMINISTRATORS: &[Role] = &[
    Role::XroadSecurityOfficer,
    Role::XroadRegistrationOfficer,
    Role::XroadServiceAdministrator,
    Role::XroadSystemAdministrator,
];

pub(crate) fn unlimited(_: &mut NodeConfig, provider: &mut NodeConfig) {
    provider.limits.api =
        ApiLimits { calls_per_second_max: 100_000, calls_per_minute_max: 100_000, ..ApiLimits::default() };
}

pub(crate) struct Api<'n> {
    pub(crate) nodes: &'n TwoNodes,
    pub(crate) key: String,
}

impl<'n> Api<'n> {
    pub(crate) async fn of(nodes: &'n TwoNodes) -> Self {
        Self { nodes, key: nodes.api_key(&nodes.provider, ADMINISTRATORS).await }
    }

    /// A call that must end in this status.
    pub(crate) async fn call(&self, method: &str, target: &str, body: Json, status: u16) -> Json {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.nodes.api(&self.nodes.provider, method, target, Some(&self.key), body).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {target}: {}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    pub(crate) async fn upload(&self, method: &str, target: &str, body: Vec<u8>, status: u16) -> Json {
        let reply = self.nodes.api(&self.nodes.provider, method, target, Some(&self.key), body).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {target}: {}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }
}

pub(crate) fn owner() -> String {
    PROVIDER.replace('/', ":")
}

pub(crate) fn bank() -> String {
    CLIENT.replace('/', ":")
}

/// A REST service over the API; its id and the id of its description.
pub(crate) async fn rest_service(api: &Api<'_>, code: &str) -> (String, String) {
    let url = format!("{}/{code}", api.nodes.service.url());
    let body = json!({ "url": url, "rest_service_code": code, "type": "REST", "ignore_warnings": false });
    let made = api.call("POST", &format!("/clients/{}/service-descriptions", owner()), body, 201).await;
    (format!("{}:{code}", owner()), made["id"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_refuses_a_stranger_and_every_role_that_is_not_its_own() {
    let nodes = two_nodes_with(400, unlimited).await;
    let mut keys = Vec::new();
    for role in Role::ALL {
        keys.push((role, nodes.api_key(&nodes.provider, &[role]).await));
    }
    let all = operations_info();
    assert!(all.len() > 90, "{} operations", all.len());
    for operation in &all {
        let target = filled(operation.path);
        for key in [None, Some("no-such-key"), Some("")] {
            let reply = nodes.api(&nodes.provider, operation.method.as_str(), &target, key, "").await;
            assert_eq!(reply.status, 401, "{} as a stranger", operation.id);
            assert_eq!(reply.json()["error"]["code"], "unauthorized");
        }
        for (role, key) in keys.iter().filter(|(role, _)| !operation.roles.contains(role)) {
            let reply = nodes.api(&nodes.provider, operation.method.as_str(), &target, Some(key), "").await;
            assert_eq!(reply.status, 403, "{} as {role:?}", operation.id);
            assert_eq!(reply.json()["status"], 403);
        }
        assert!(!operation.roles.is_empty());
    }
    nodes.stop().await;
}

fn filled(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').map(|one| if one.starts_with('{') { "x" } else { one }).collect();
    segments.join("/")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_names_exactly_the_operations_of_the_table_and_every_schema_it_refers_to() {
    let nodes = two_nodes(401).await;
    let described = nodes.api(&nodes.provider, "GET", "/openapi.json", None, "").await.json();
    assert_eq!(described["openapi"], "3.0.3");
    let mut named = Vec::new();
    for (path, operations) in described["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            named.push((method.to_uppercase(), path.clone(), operation["operationId"].as_str().unwrap().to_owned()));
        }
    }
    let mut expected: Vec<(String, String, String)> = operations_info()
        .into_iter()
        .map(|one| (one.method.to_string(), one.path.to_owned(), one.id.to_owned()))
        .collect();
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
    let schemas = described["components"]["schemas"].as_object().unwrap();
    let text = described.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(schemas.contains_key(reference), "{reference}");
    }
    assert_eq!(nodes.api(&nodes.provider, "GET", "/nothing", None, "").await.status, 404);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_given_over_the_api_works_at_the_next_call_and_a_revoked_one_stops_on_every_engine() {
    let consumers = store::testing::engines().await;
    let providers = store::testing::engines().await;
    for (consumer, provider) in consumers.into_iter().zip(providers) {
        let nodes = two_nodes_on(402, (consumer, provider.clone()), unlimited).await;
        let api = Api::of(&nodes).await;
        let (service, description) = rest_service(&api, "pets").await;
        let get = || async { nodes.get(&format!("{PROVIDER}/pets/1")).await.status.as_u16() };
        api.call("PUT", &format!("/service-descriptions/{description}/enable"), Json::Null, 204).await;
        assert_eq!(get().await, 500);
        let items = json!({ "items": [{ "id": bank(), "service_client_type": "SUBSYSTEM" }] });
        let clients = format!("/services/{service}/service-clients");
        let given = api.call("POST", &clients, items.clone(), 201).await;
        assert_eq!(given[0]["id"], bank());
        assert_eq!(get().await, 200);
        api.call("POST", &clients, items.clone(), 409).await;
        api.call("POST", &format!("{clients}/delete"), items.clone(), 204).await;
        assert_eq!(get().await, 500);
        // The other direction.
        let rights = format!("/clients/{}/service-clients/{}/access-rights", owner(), bank());
        let codes = json!({ "items": [{ "service_code": "pets" }] });
        api.call("POST", &rights, codes.clone(), 201).await;
        assert_eq!(get().await, 200);
        let replica = nodes.replica_of_provider(provider).await;
        let seen = nodes.api(&replica, "GET", &clients, Some(&api.key), "").await;
        assert_eq!(seen.json()[0]["id"], bank(), "a replica knows the key, the service and the right");
        api.call("POST", &format!("{rights}/delete"), codes, 204).await;
        assert_eq!(get().await, 500);
        replica.registry().refresh().await.unwrap();
        assert_eq!(nodes.api(&replica, "GET", &clients, Some(&api.key), "").await.json(), json!([]));
        replica.stop().await;
        // An endpoint, and a group.
        let body = json!({ "method": "GET", "path": "/1", "service_code": "pets" });
        let endpoint = api.call("POST", &format!("/services/{service}/endpoints"), body, 201).await;
        let endpoint = endpoint["id"].as_str().unwrap().to_owned();
        let body = json!({ "code": "banks", "description": "Banques" });
        let group = api.call("POST", &format!("/clients/{}/local-groups", owner()), body, 201).await;
        let group = group["id"].as_str().unwrap().to_owned();
        let member = json!({ "items": [bank()] });
        api.call("POST", &format!("/local-groups/{group}/members"), member.clone(), 201).await;
        let items = json!({ "items": [{ "id": group, "service_client_type": "LOCALGROUP" }] });
        api.call("POST", &format!("/endpoints/{endpoint}/service-clients"), items, 201).await;
        assert_eq!(get().await, 200);
        assert_eq!(nodes.get(&format!("{PROVIDER}/pets/2")).await.status, 500);
        api.call("PATCH", &format!("/endpoints/{endpoint}"), json!({ "method": "*", "path": "/2" }), 200).await;
        assert_eq!(get().await, 500);
        assert_eq!(nodes.get(&format!("{PROVIDER}/pets/2")).await.status, 200);
        api.call("POST", &format!("/local-groups/{group}/members/delete"), member, 204).await;
        assert_eq!(nodes.get(&format!("{PROVIDER}/pets/2")).await.status, 500);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_come_from_openapi_and_wsdl_by_text_or_by_address() {
    let nodes = two_nodes_with(403, unlimited).await;
    let api = Api::of(&nodes).await;
    let descriptions = format!("/clients/{}/service-descriptions", owner());
    let openapi = "openapi: 3.0.3\ninfo: {title: Pets}\nservers: [{url: 'http://127.0.0.1:9/base'}]\npaths:\n  /pets/{id}:\n    get: {}\n";
    let body = json!({ "url": "http://127.0.0.1:9/o.yaml", "type": "OPENAPI3", "rest_service_code": "zoo", "description": openapi });
    let made = api.call("POST", &descriptions, body, 201).await;
    assert_eq!(made["disabled"], true);
    let service = &made["services"][0];
    assert_eq!((&service["service_code"], &service["url"]), (&json!("zoo"), &json!("http://127.0.0.1:9/base")));
    assert_eq!(
        (&service["endpoints"][0]["path"], &service["endpoints"][0]["generated"]),
        (&json!("/pets/*"), &json!(true))
    );
    let wsdl = r#"<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:x="http://x-road.eu/xsd/xroad.xsd">
      <binding name="b"><operation name="getPerson"><x:version>v1</x:version></operation><operation name="list"/></binding>
      <service name="s"><port name="p" binding="b"><s:address location="http://127.0.0.1:9/soap"/></port></service></definitions>"#;
    let body = json!({ "url": "http://127.0.0.1:9/?wsdl", "type": "WSDL", "description": wsdl });
    let made = api.call("POST", &descriptions, body, 201).await;
    let codes: Vec<&str> =
        made["services"].as_array().unwrap().iter().map(|one| one["full_service_code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["getPerson.v1", "list"]);
    let update = json!({ "url": "http://127.0.0.1:9/other", "timeout": 30, "ssl_auth": false, "timeout_all": true });
    let changed = api.call("PATCH", &format!("/services/{}:getPerson.v1", owner()), update, 200).await;
    assert_eq!((&changed["timeout"], &changed["ssl_auth"]), (&json!(30), &json!(false)));
    assert_eq!(api.call("GET", &format!("/services/{}:list", owner()), Json::Null, 200).await["timeout"], 30);
    for body in [
        json!({ "url": "http://127.0.0.1:1/none", "type": "WSDL" }),
        json!({ "url": "http://127.0.0.1:9/x", "type": "OPENAPI3", "rest_service_code": "y", "description": "a: &b [1]\nc: *b" }),
        json!({ "url": "file:///etc/passwd", "type": "REST", "rest_service_code": "y" }),
        json!({ "url": "http://127.0.0.1:9/x", "type": "REST", "rest_service_code": "listMethods" }),
        json!({ "url": "http://127.0.0.1:9/x", "type": "REST", "rest_service_code": "a/b" }),
        json!({ "type": "REST" }),
    ] {
        api.call("POST", &descriptions, body, 400).await;
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_added_set_and_taken_out_and_certificates_with_them() {
    let nodes = two_nodes_with(404, unlimited).await;
    let api = Api::of(&nodes).await;
    let add = json!({ "client": { "member_class": "GOV", "member_code": "1002", "subsystem_code": "new", "connection_type": "HTTPS" } });
    let made = api.call("POST", "/clients", add.clone(), 201).await;
    assert_eq!((&made["id"], &made["status"]), (&json!("BB:GOV:1002:new"), &json!("SAVED")));
    api.call("POST", "/clients", add, 409).await;
    let path = "/clients/BB:GOV:1002:new";
    let refused = api.call("PUT", &format!("{path}/register"), Json::Null, 409).await;
    assert_eq!(refused["error"]["code"], "management_request_sending_failed");
    let patched =
        api.call("PATCH", path, json!({ "connection_type": "HTTPS_NO_AUTH", "log_mode": "metadata" }), 200).await;
    assert_eq!((&patched["connection_type"], &patched["log_mode"]), (&json!("HTTPS_NO_AUTH"), &json!("metadata")));
    let pem = nodes.consumer_keys.auth_certificate.to_pem();
    let hash = api.upload("POST", &format!("{path}/tls-certificates"), pem.into_bytes(), 201).await["hash"].clone();
    let one = format!("{path}/tls-certificates/{}", hash.as_str().unwrap());
    assert_eq!(api.call("GET", &one, Json::Null, 200).await["hash"], hash);
    api.call("DELETE", &one, Json::Null, 204).await;
    api.call("GET", &one, Json::Null, 404).await;
    api.upload("POST", &format!("{path}/tls-certificates"), b"nonsense".to_vec(), 400).await;
    api.call("DELETE", path, Json::Null, 204).await;
    api.call("GET", path, Json::Null, 404).await;
    api.call("DELETE", &format!("/clients/{}", owner()), Json::Null, 409).await;
    let found = api.call("GET", "/clients?internal_search=false&subsystem_code=credit", Json::Null, 200).await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["member_name"], "Banque du Fleuve");
    api.call("PUT", &format!("/clients/{}/disable", owner()), Json::Null, 204).await;
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.serverproxy.unknown_member");
    api.call("PUT", &format!("/clients/{}/enable", owner()), Json::Null, 204).await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_certified_activated_and_used_after_the_next_start() {
    let provider = store::testing::sqlite().await;
    let nodes = two_nodes_on(405, (store::testing::sqlite().await, provider.clone()), unlimited).await;
    let api = Api::of(&nodes).await;
    let body = json!({
        "key_label": "second",
        "csr_generate_request": {
            "key_usage_type": "SIGNING", "csr_format": "DER", "ca_name": "Test CA", "member_id": "BB:GOV:1002",
            "subject_field_values": { "C": "SN", "O": "Impôts" },
        },
    });
    let made = api.call("POST", "/tokens/0/keys-with-csrs", body, 201).await;
    let (key, csr) = (made["key"]["id"].as_str().unwrap(), made["csr_id"].as_str().unwrap());
    let file =
        nodes.api(&nodes.provider, "GET", &format!("/keys/{key}/csrs/{csr}?csr_format=DER"), Some(&api.key), "").await;
    assert_eq!(file.status, 200);
    let request = trust::cert::CertificateRequest::from_der(&file.body).unwrap();
    let both = bridge::NodeRequests { sign: request.clone(), auth: request };
    let (certificate, _) = nodes.federation.certify(&both);
    api.upload("POST", "/token-certificates", nodes.consumer_keys.sign_certificate.der().to_vec(), 409).await;
    let imported = api.upload("POST", "/token-certificates", certificate.der().to_vec(), 201).await;
    let hash = imported["certificate_details"]["hash"].as_str().unwrap().to_owned();
    assert_eq!(imported["active"], false);
    api.upload("POST", "/token-certificates", certificate.der().to_vec(), 409).await;
    api.call("PUT", &format!("/token-certificates/{hash}/activate"), Json::Null, 204).await;
    api.call("DELETE", &format!("/token-certificates/{hash}"), Json::Null, 409).await;
    let tokens = api.call("GET", "/tokens", Json::Null, 200).await;
    assert_eq!(tokens[0]["keys"].as_array().unwrap().len(), 3);
    nodes.provider.stop().await;
    let again = nodes.replica_of_provider(provider).await;
    let tokens = nodes.api(&again, "GET", "/tokens/0", Some(&api.key), "").await.json();
    let active: Vec<&Json> = tokens["keys"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|key| key["certificates"].as_array().unwrap())
        .filter(|one| one["active"] == true)
        .map(|one| &one["certificate_details"]["hash"])
        .collect();
    assert!(active.contains(&&json!(hash)) && active.len() == 2, "{active:?}");
    again.ready().await.unwrap();
    let own = nodes.api(&again, "DELETE", &format!("/keys/{key}"), Some(&api.key), "").await;
    assert_eq!(own.status, 409, "the node uses it");
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_activated_disabled_or_backed_up_that_the_audit_cannot_say() {
    for provider in store::testing::engines().await {
        let nodes = two_nodes_on(411, (store::testing::sqlite().await, provider.clone()), unlimited).await;
        let api = Api::of(&nodes).await;
        let [first, second] = [imported_certificate(&api, "first").await, imported_certificate(&api, "second").await];
        api.call("PUT", &format!("/token-certificates/{first}/activate"), Json::Null, 204).await;
        let backup = api.call("POST", "/backups", Json::Null, 201).await["filename"].as_str().unwrap().to_owned();
        let before = active_certificates(&api).await;
        rename_audit(&provider, "ALTER TABLE bridge_audit RENAME TO elsewhere").await;
        for target in [
            format!("/token-certificates/{second}/activate"),
            format!("/token-certificates/{first}/disable"),
            format!("/backups/{backup}/restore"),
        ] {
            api.call("PUT", &target, Json::Null, 500).await;
        }
        api.call("POST", "/backups", Json::Null, 500).await;
        api.call("DELETE", &format!("/backups/{backup}"), Json::Null, 500).await;
        rename_audit(&provider, "ALTER TABLE elsewhere RENAME TO bridge_audit").await;
        assert_eq!(active_certificates(&api).await, before);
        assert_eq!(api.call("GET", "/backups", Json::Null, 200).await.as_array().unwrap().len(), 1);

        api.call("PUT", &format!("/token-certificates/{first}/disable"), Json::Null, 204).await;
        api.call("DELETE", &format!("/backups/{backup}"), Json::Null, 204).await;
        let said = api.call("GET", "/audit?limit=3", Json::Null, 200).await;
        let said: Vec<(&str, &Json)> =
            said.as_array().unwrap().iter().map(|one| (one["action"].as_str().unwrap(), &one["detail"])).collect();
        let (begun, done) = (json!({ "stage": "begun" }), json!({ "stage": "done" }));
        assert_eq!(
            said,
            [("delete_backup", &done), ("delete_backup", &begun), ("disable_certificate", &json!({}))],
            "newest first"
        );
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stays_as_long_as_the_authority_knows_a_certificate_of_it() {
    for provider in store::testing::engines().await {
        let nodes = two_nodes_on(415, (store::testing::sqlite().await, provider), unlimited).await;
        let api = Api::of(&nodes).await;
        let request = json!({
            "key_usage_type": "AUTHENTICATION", "csr_format": "DER", "ca_name": "Test CA",
            "subject_field_values": { "C": "SN", "O": "Impôts" },
        });
        let hash = certified(&api, "next", request).await;
        let key = key_of(&api, &hash).await;
        let octet = |at| u8::from_str_radix(&hash[at..at + 2], 16).unwrap();
        let digest: Vec<u8> = (0..hash.len()).step_by(2).map(octet).collect();
        nodes.federation.change(|params| {
            let server = params.servers.iter_mut().find(|server| server.id.owner().code() == "1002").unwrap();
            server.auth_cert_hashes.push(digest.clone());
        });
        nodes.provider.ready().await.unwrap();

        let refused = api.call("DELETE", &format!("/keys/{key}"), Json::Null, 409).await;
        let told = refused["error"]["metadata"][0].as_str().unwrap().to_owned();
        assert!(told.contains("unregister it first"), "{told}");
        assert_eq!(key_of(&api, &hash).await, key, "key and certificate are still there");
        let shown = api.call("GET", &format!("/keys/{key}"), Json::Null, 200).await;
        assert!(!shown["possible_actions"].as_array().unwrap().contains(&json!("DELETE")), "{shown}");

        nodes.federation.change(|params| {
            params.servers.iter_mut().for_each(|server| server.auth_cert_hashes.retain(|one| *one != digest));
        });
        nodes.provider.ready().await.unwrap();
        api.call("DELETE", &format!("/keys/{key}"), Json::Null, 204).await;
        nodes.stop().await;
    }
}

/// The id of the key of a certificate.
async fn key_of(api: &Api<'_>, hash: &str) -> String {
    let tokens = api.call("GET", "/tokens", Json::Null, 200).await;
    let mut keys = tokens[0]["keys"].as_array().unwrap().iter();
    let has = |key: &&Json| {
        key["certificates"].as_array().unwrap().iter().any(|one| one["certificate_details"]["hash"] == hash)
    };
    keys.find(has).unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authority_is_asked_for_nothing_that_the_audit_cannot_say() {
    for provider in store::testing::engines().await {
        let nodes = two_nodes_on(413, (store::testing::sqlite().await, provider.clone()), unlimited).await;
        let authority = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        authority.set_nonblocking(true).unwrap();
        nodes.federation.register_at(&format!("http://{}", authority.local_addr().unwrap()));
        nodes.provider.ready().await.unwrap();
        let api = Api::of(&nodes).await;
        let request = json!({
            "key_usage_type": "AUTHENTICATION", "csr_format": "DER", "ca_name": "Test CA",
            "subject_field_values": { "C": "SN", "O": "Impôts" },
        });
        let register = format!("/token-certificates/{}/register", certified(&api, "next", request).await);
        let body = json!({ "address": "node.example" });

        rename_audit(&provider, "ALTER TABLE bridge_audit RENAME TO elsewhere").await;
        api.call("PUT", &register, body.clone(), 500).await;
        rename_audit(&provider, "ALTER TABLE elsewhere RENAME TO bridge_audit").await;
        assert!(authority.accept().is_err(), "nobody came");

        let hang_up = std::thread::spawn(move || {
            authority.set_nonblocking(false).unwrap();
            drop(authority.accept().unwrap());
        });
        api.call("PUT", &register, body, 503).await;
        hang_up.join().unwrap();
        let said = api.call("GET", "/audit?limit=2", Json::Null, 200).await;
        let said: Vec<(&str, &str)> = said
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["action"].as_str().unwrap(), one["detail"]["stage"].as_str().unwrap()))
            .collect();
        assert_eq!(said, [("ask_authCertReg", "failed"), ("ask_authCertReg", "begun")], "newest first");
        nodes.stop().await;
    }
}

/// A signing certificate of the owner that was imported for a key made over the API; how paths name it.
pub(crate) async fn imported_certificate(api: &Api<'_>, label: &str) -> String {
    imported_certificate_of("BB:GOV:1002", api, label).await
}

pub(crate) async fn imported_certificate_of(member: &str, api: &Api<'_>, label: &str) -> String {
    let request = json!({
        "key_usage_type": "SIGNING", "csr_format": "DER", "ca_name": "Test CA", "member_id": member,
        "subject_field_values": { "C": "SN", "O": "Impôts" },
    });
    certified(api, label, request).await
}

/// A certificate for this request and a new key, imported; how paths name it.
async fn certified(api: &Api<'_>, label: &str, request: Json) -> String {
    let signs = request["key_usage_type"] == "SIGNING";
    let body = json!({ "key_label": label, "csr_generate_request": request });
    let made = api.call("POST", "/tokens/0/keys-with-csrs", body, 201).await;
    let (key, csr) = (made["key"]["id"].as_str().unwrap(), made["csr_id"].as_str().unwrap());
    let target = format!("/keys/{key}/csrs/{csr}?csr_format=DER");
    let file = api.nodes.api(&api.nodes.provider, "GET", &target, Some(&api.key), "").await;
    let request = trust::cert::CertificateRequest::from_der(&file.body).unwrap();
    let both = bridge::NodeRequests { sign: request.clone(), auth: request };
    let (for_signing, for_tls) = api.nodes.federation.certify(&both);
    let certificate = if signs { for_signing } else { for_tls };
    let imported = api.upload("POST", "/token-certificates", certificate.der().to_vec(), 201).await;
    imported["certificate_details"]["hash"].as_str().unwrap().to_owned()
}

/// The certificates that the provider's node says it uses.
pub(crate) async fn active_certificates(api: &Api<'_>) -> Vec<String> {
    let tokens = api.call("GET", "/tokens", Json::Null, 200).await;
    let keys = tokens[0]["keys"].as_array().unwrap().iter();
    let all = keys.flat_map(|key| key["certificates"].as_array().unwrap());
    let mut active: Vec<String> = all
        .filter(|one| one["active"] == true)
        .map(|one| one["certificate_details"]["hash"].as_str().unwrap().to_owned())
        .collect();
    active.sort();
    active
}

async fn rename_audit(store: &store::Store, statement: &'static str) {
    let rename = move |tx: &mut store::Tx<'_>| tx.execute(statement, &[]).map(drop);
    let renamed: Result<(), store::StoreError> = store.tx("test.rename", rename).await;
    renamed.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_how_the_node_is_and_find_messages() {
    let nodes = two_nodes_with(409, unlimited).await;
    let api = Api::of(&nodes).await;
    assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", "m-9")], "").await.status, 200);
    let found = api.call("GET", "/message-log?message_id=m-9", Json::Null, 200).await;
    assert_eq!(found["records"].as_array().unwrap().len(), 2);
    assert_eq!(found["records"][0]["client"], bank());
    api.call("GET", "/message-log?from=yesterday", Json::Null, 400).await;
    let now = api.call("GET", "/diagnostics/globalconf", Json::Null, 200).await;
    assert_eq!(now["status_class"], "OK");
    let authorities = api.call("GET", "/diagnostics/ocsp-responders", Json::Null, 200).await;
    assert_eq!(authorities[0]["ocsp_responders"][0]["status_class"], "OK");
    assert!(authorities[0]["distinguished_name"].as_str().unwrap().contains("Test CA"));
    assert_eq!(
        api.call("GET", "/diagnostics/timestamping-services", Json::Null, 200).await.as_array().unwrap().len(),
        1
    );
    assert_eq!(api.call("GET", "/initialization/status", Json::Null, 200).await["is_anchor_imported"], true);
    assert_eq!(
        api.call("GET", "/security-servers?current_server=true", Json::Null, 200).await[0]["server_code"],
        "node-1"
    );
    assert_eq!(
        api.call("GET", "/member-names?member_class=COM&member_code=2001", Json::Null, 200).await["member_name"],
        "Banque du Fleuve"
    );
    assert_eq!(api.call("GET", "/certificate-authorities", Json::Null, 200).await[0]["name"], "Test CA");
    assert_eq!(api.call("GET", "/xroad-instances", Json::Null, 200).await, json!(["BB"]));
    api.call("POST", "/initialization", json!({}), 409).await;
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn diagnostics_say_when_the_authority_was_asked_last_and_that_it_did_not_answer() {
    for provider in store::testing::engines().await {
        let nodes = two_nodes_on(416, (store::testing::sqlite().await, provider), unlimited).await;
        let api = Api::of(&nodes).await;
        let configuration = || async { api.call("GET", "/diagnostics/globalconf", Json::Null, 200).await };
        let stamps =
            || async { api.call("GET", "/diagnostics/timestamping-services", Json::Null, 200).await[0].clone() };
        let pass = || nodes.clock.advance(Duration::from_mins(1));

        let asked = nodes.federation.now().rfc3339();
        nodes.provider.ready().await.unwrap();
        assert_eq!(stamps().await["status_class"], "WAITING", "nobody was asked for a stamp yet");
        assert_eq!(nodes.get(ECHO).await.status, 200);
        let stamped = nodes.federation.now().rfc3339();
        assert!(nodes.provider.stamp_now().await.unwrap() > 0);
        pass();
        assert_eq!(nodes.get(ECHO).await.status, 200, "a record waits");
        let good = configuration().await;
        assert_eq!((&good["status_class"], &good["prev_update_at"]), (&json!("OK"), &json!(asked)));
        let good = stamps().await;
        assert_eq!((&good["status_class"], &good["prev_update_at"]), (&json!("OK"), &json!(stamped)));

        pass();
        let died = nodes.federation.now().rfc3339();
        nodes.federation.set_outage(Outage::Configuration, true);
        nodes.federation.set_outage(Outage::TimeStamps, true);
        nodes.provider.ready().await.unwrap_err();
        nodes.provider.stamp_now().await.unwrap_err();
        pass();
        for shown in [configuration().await, stamps().await] {
            assert_eq!((&shown["status_class"], &shown["prev_update_at"]), (&json!("FAIL"), &json!(died)), "{shown}");
            let told = shown["error"]["metadata"][0].as_str().unwrap();
            assert!(told.contains(&nodes.federation.address().to_string()), "the source is named: {told}");
        }

        nodes.federation.set_outage(Outage::Configuration, false);
        nodes.federation.set_outage(Outage::TimeStamps, false);
        nodes.provider.ready().await.unwrap();
        nodes.provider.stamp_now().await.unwrap();
        for shown in [configuration().await, stamps().await] {
            assert_eq!((&shown["status_class"], &shown["error"]), (&json!("OK"), &Json::Null), "{shown}");
        }
        nodes.stop().await;
    }
}
