//! Nodes whose keys lie in a PKCS#11 token. Each test runs in a process of its own: see `trust::pkcs11::testing`.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bridge::api::Role;
use bridge::config::{ApiLimits, LegacyTls};
use bridge::testing::{ECHO, Reply, TwoNodes, two_nodes_with, two_nodes_with_keys};
use bridge::{Node, TokenKeys, off_the_runtime};
use civic::testing::SeededRandom;
use serde_json::{Value as Json, json};
use trust::keys::{KeyKind, SigningKey};
use trust::pkcs11::Token;
use trust::pkcs11::testing::{LABEL, PIN, SoftHsm, alone};

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

fn keys_of(token: &Token) -> TokenKeys {
    TokenKeys { token: token.clone(), sign: None, auth: None, kind: KeyKind::P256 }
}

fn make(token: &Token, kind: KeyKind, number: u64) -> SigningKey {
    token.key(&token.generate(kind, &format!("key {number}"), &SeededRandom::new(number)).unwrap())
}

/// Calls until the answer is as wanted.
async fn until(nodes: &TwoNodes, wanted: impl Fn(&Reply) -> bool) -> Reply {
    let start = Instant::now();
    loop {
        let reply = nodes.get(ECHO).await;
        if wanted(&reply) {
            return reply;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", reply.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn exchange(hsm: &SoftHsm, kinds: (KeyKind, KeyKind)) {
    let token = hsm.logged_in().stepping_aside(off_the_runtime);
    let count = Cell::new(0);
    let next = |kind| {
        count.set(count.get() + 1);
        make(&token, kind, count.get())
    };
    let both = || (next(kinds.0), next(kinds.1));
    let nodes = two_nodes_with_keys(501, &both, |consumer, provider| {
        consumer.token = Some(keys_of(&token));
        provider.token = Some(keys_of(&token));
    })
    .await;
    assert!(nodes.provider_keys.sign.is_in_token() && nodes.provider_keys.auth.is_in_token());
    let calls = (0..16).map(|number| {
        let nodes = &nodes;
        async move { nodes.call("POST", &format!("{ECHO}/{number}"), &[], format!("Bonjour {number}")).await }
    });
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(reply.status, 200, "{:?}", reply.body);
    }
    let health = |nodes: &TwoNodes| format!("http://{}/health", nodes.consumer.addresses().admin);
    let get = |url: String| http::Request::get(url).body(http_body_util::Full::default()).unwrap();
    assert_eq!(nodes.fetch(get(health(&nodes))).await.status, 200);

    hsm.pull_out();
    let refused = until(&nodes, |reply| reply.status != 200).await;
    assert_eq!(refused.error_type(), "server.clientproxy.cannot_create_signature");
    let said = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(said.contains("token") && said.contains(LABEL) && !said.contains(PIN), "{said}");
    let unwell = nodes.fetch(get(health(&nodes))).await;
    assert_eq!(unwell.status, 503, "{:?}", unwell.body);

    hsm.plug_in();
    until(&nodes, |reply| reply.status == 200).await;
    assert_eq!(nodes.fetch(get(health(&nodes))).await.status, 200);
    nodes.stop().await;
}

#[test]
fn nodes_exchange_with_all_their_keys_in_a_token_and_go_on_when_it_comes_back() {
    alone("token::nodes_exchange_with_all_their_keys_in_a_token_and_go_on_when_it_comes_back", |hsm| {
        on_runtime(exchange(hsm, (KeyKind::P256, KeyKind::P384)));
    });
}

#[test]
fn nodes_exchange_with_rsa_keys_in_a_token() {
    alone("token::nodes_exchange_with_rsa_keys_in_a_token", |hsm| {
        on_runtime(exchange(hsm, (KeyKind::Rsa { bits: 2_048 }, KeyKind::Rsa { bits: 2_048 })));
    });
}

#[test]
fn an_authentication_key_in_a_token_does_not_go_with_legacy_tls_and_the_node_says_so() {
    alone("token::an_authentication_key_in_a_token_does_not_go_with_legacy_tls_and_the_node_says_so", |hsm| {
        on_runtime(async {
            let token = hsm.logged_in().stepping_aside(off_the_runtime);
            let count = Cell::new(0);
            let both = || {
                count.set(count.get() + 1);
                (SigningKey::generate_p256().unwrap(), make(&token, KeyKind::P256, count.get()))
            };
            let nodes = two_nodes_with_keys(502, &both, |_, _| {}).await;
            let store = store::testing::sqlite().await;
            let started = nodes.try_replica_of_provider(store, |config| config.legacy_tls = Some(LegacyTls::default()));
            let error = started.await.err().unwrap().to_string();
            assert!(error.contains("legacy_tls off"), "{error}");
            nodes.stop().await;
        });
    });
}

struct Api<'n> {
    nodes: &'n TwoNodes,
    key: String,
}

impl Api<'_> {
    async fn call(&self, method: &str, target: &str, body: impl Into<bytes::Bytes>, status: u16) -> Json {
        let reply = self.nodes.api(&self.nodes.provider, method, target, Some(&self.key), body).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {target}: {}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    async fn login(&self, pin: &str, status: u16) -> Json {
        self.call("PUT", "/tokens/1/login", json!({ "password": pin }).to_string(), status).await
    }
}

#[test]
fn an_operator_logs_in_makes_a_key_in_the_token_and_logs_out() {
    alone("token::an_operator_logs_in_makes_a_key_in_the_token_and_logs_out", |hsm| on_runtime(operator(hsm)));
}

async fn operator(hsm: &SoftHsm) {
    let token = hsm.token().stepping_aside(off_the_runtime);
    let nodes = two_nodes_with(503, |_, provider| {
        provider.token = Some(keys_of(&token));
        provider.limits.api =
            ApiLimits { calls_per_second_max: 1_000, calls_per_minute_max: 10_000, ..ApiLimits::default() };
    })
    .await;
    let roles = [Role::XroadSecurityOfficer, Role::XroadSystemAdministrator];
    let api = Api { nodes: &nodes, key: nodes.api_key(&nodes.provider, &roles).await };
    let tokens = api.call("GET", "/tokens", "", 200).await;
    assert_eq!((&tokens[0]["type"], &tokens[1]["type"]), (&json!("SOFTWARE"), &json!("HARDWARE")));
    assert_eq!((&tokens[1]["logged_in"], &tokens[1]["name"]), (&json!(false), &json!(LABEL)));
    assert_eq!(tokens[1]["possible_actions"], json!(["LOGIN"]));
    assert_eq!(tokens[0]["keys"].as_array().unwrap().len(), 2);
    api.call("GET", "/tokens/2", "", 404).await;
    api.call("PUT", "/tokens/0/logout", "", 409).await;

    let wanted = json!({
        "key_label": "in the token",
        "csr_generate_request": {
            "key_usage_type": "SIGNING", "csr_format": "DER", "ca_name": "Test CA", "member_id": "BB:GOV:1002",
            "subject_field_values": { "C": "SN", "O": "Impôts" },
        },
    });
    let early = api.call("POST", "/tokens/1/keys-with-csrs", wanted.to_string(), 409).await;
    assert_eq!(early["error"]["code"], "token_not_active");
    assert_eq!(api.login("wrong", 400).await["error"]["code"], "pin_incorrect");
    let shown = api.login(PIN, 200).await;
    assert_eq!((&shown["logged_in"], &shown["status"]), (&json!(true), &json!("OK")));
    assert!(!shown["serial_number"].as_str().unwrap().is_empty());

    // No key is made in the token that the audit cannot say.
    let store = nodes.provider.message_log().store().clone();
    rename(&store, "ALTER TABLE bridge_audit RENAME TO elsewhere").await;
    api.call("POST", "/tokens/1/keys-with-csrs", wanted.to_string(), 500).await;
    assert_eq!(token.find("in the token"), Ok(None), "nothing is made that nobody wrote down");
    rename(&store, "ALTER TABLE elsewhere RENAME TO bridge_audit").await;

    let made = api.call("POST", "/tokens/1/keys-with-csrs", wanted.to_string(), 201).await;
    assert_eq!(stages(&nodes.provider, "add_key").await, ["begun", "failed", "begun", "", "done"]);
    let (key, csr) = (made["key"]["id"].as_str().unwrap(), made["csr_id"].as_str().unwrap());
    let target = format!("/keys/{key}/csrs/{csr}?csr_format=DER");
    let file = nodes.api(&nodes.provider, "GET", &target, Some(&api.key), "").await;
    let request = trust::cert::CertificateRequest::from_der(&file.body).unwrap();
    assert_eq!(token.find("in the token").unwrap().as_ref(), Some(request.public_key()));
    let both = bridge::NodeRequests { sign: request.clone(), auth: request };
    let (certificate, _) = nodes.federation.certify(&both);
    let imported = api.call("POST", "/token-certificates", certificate.der().to_vec(), 201).await;
    let hash = imported["certificate_details"]["hash"].as_str().unwrap();
    api.call("PUT", &format!("/token-certificates/{hash}/activate"), "", 204).await;
    let tokens = api.call("GET", "/tokens", "", 200).await;
    assert_eq!(tokens[1]["keys"][0]["id"], key);

    // The next start takes the key over; a start without the token says what is missing.
    nodes.provider.stop().await;
    let without = nodes.try_replica_of_provider(store.clone(), |_| {}).await.err().unwrap().to_string();
    assert!(without.contains("[token]"), "{without}");
    let again = nodes.replica_of_provider_with(store, |config| config.token = Some(keys_of(&token))).await;
    again.ready().await.unwrap();
    disabled_and_deleted(&api, &again, &token, key, hash).await;
    again.stop().await;
}

/// A node that uses a key of the token gives it up: only logged in, only where the audit can say it, and in the token too.
async fn disabled_and_deleted(api: &Api<'_>, again: &Node, token: &Token, key: &str, hash: &str) {
    let ask = async |method, target: &str| api.nodes.api(again, method, target, Some(&api.key), "").await;
    // A backup is signed with the key of the organisation.
    assert_eq!(ask("POST", "/backups").await.status, 201);
    assert_eq!(ask("DELETE", &format!("/keys/{key}")).await.status, 409, "the node uses it");
    assert_eq!(ask("PUT", "/tokens/1/logout").await.json()["logged_in"], false);
    let unsigned = ask("POST", "/backups").await;
    assert_eq!((unsigned.status.as_u16(), &unsigned.json()["error"]["code"]), (409, &json!("token_not_active")));
    let told = unsigned.json()["error"]["metadata"][0].as_str().unwrap().to_owned();
    assert!(told.contains("Log in"), "what to do is said: {told}");
    assert_eq!(ask("GET", "/backups").await.json().as_array().unwrap().len(), 1, "nothing half made is left");
    assert_eq!(token.login(PIN), Ok(()));
    assert_eq!(ask("PUT", &format!("/token-certificates/{hash}/disable")).await.status, 204);
    let store = again.message_log().store().clone();
    rename(&store, "ALTER TABLE bridge_audit RENAME TO elsewhere").await;
    assert_eq!(ask("DELETE", &format!("/keys/{key}")).await.status, 500);
    assert!(token.find("in the token").unwrap().is_some(), "nothing is deleted that nobody wrote down");
    rename(&store, "ALTER TABLE elsewhere RENAME TO bridge_audit").await;
    assert_eq!(ask("DELETE", &format!("/keys/{key}")).await.status, 204);
    assert_eq!(token.find("in the token"), Ok(None), "deleted in the token too");
    assert_eq!(stages(again, "delete_key").await, ["begun", "done"]);
}

async fn rename(store: &store::Store, statement: &'static str) {
    let rename = move |tx: &mut store::Tx<'_>| tx.execute(statement, &[]).map(drop);
    let renamed: Result<(), store::StoreError> = store.tx("test.rename", rename).await;
    renamed.unwrap();
}

/// What the audit says of this action, oldest first.
async fn stages(node: &Node, action: &str) -> Vec<String> {
    let entries = node.registry().audit_entries(1_000).await.unwrap();
    let of_action = entries.iter().rev().filter(|entry| entry.action == action);
    of_action.map(|entry| entry.detail["stage"].as_str().unwrap_or_default().to_owned()).collect()
}
