//! The keys of the management API: what a key may be asked for, how often, and from where keys are managed.

use std::net::IpAddr;

use bridge::api::Role;
use bridge::testing::{TwoNodes, two_nodes, two_nodes_on, two_nodes_with};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value as Json, json};

use crate::api::{ADMINISTRATORS, Api, unlimited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_for_each_key_and_bodies_have_a_limit() {
    let nodes = two_nodes(407).await;
    let key = nodes.api_key(&nodes.provider, ADMINISTRATORS).await;
    let other = nodes.api_key(&nodes.provider, &[Role::XroadSecurityserverObserver]).await;
    let get = |key: &str| {
        let key = key.to_owned();
        let nodes = &nodes;
        async move { nodes.api(&nodes.provider, "GET", "/system/version", Some(&key), "").await.status.as_u16() }
    };
    for _ in 0..20 {
        assert_eq!(get(&key).await, 200);
    }
    assert_eq!(get(&key).await, 429);
    assert_eq!(get(&other).await, 200, "another key has its own count");
    nodes.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(get(&key).await, 200);
    nodes.clock.advance(std::time::Duration::from_secs(1));
    let long = format!("[\"{}\"]", "x".repeat(60 * 1024));
    let reply = nodes.api(&nodes.provider, "POST", "/api-keys", Some(&key), long).await;
    assert_eq!(reply.status, 413);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_shown_once_changed_and_revoked_and_everything_is_audited_and_survives_a_restart() {
    let provider = store::testing::sqlite().await;
    let nodes = two_nodes_on(408, (store::testing::sqlite().await, provider.clone()), unlimited).await;
    let api = Api::of(&nodes).await;
    let made = api.call("POST", "/api-keys", json!(["XROAD_SECURITYSERVER_OBSERVER"]), 200).await;
    let (id, key) = (made["id"].as_i64().unwrap(), made["key"].as_str().unwrap().to_owned());
    assert_eq!(key.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "X-Road's tools take no other key");
    let listed = api.call("GET", "/api-keys", Json::Null, 200).await;
    assert!(!listed.to_string().contains(&key));
    let target = "/clients";
    assert_eq!(nodes.api(&nodes.provider, "GET", target, Some(&key), "").await.status, 200);
    api.call("PUT", &format!("/api-keys/{id}"), json!(["XROAD_SYSTEM_ADMINISTRATOR"]), 200).await;
    assert_eq!(nodes.api(&nodes.provider, "GET", target, Some(&key), "").await.status, 403);
    api.call("POST", "/api-keys", json!(["ROOT"]), 400).await;
    api.call("POST", "/api-keys", json!([]), 400).await;
    api.call("DELETE", &format!("/api-keys/{id}"), Json::Null, 200).await;
    assert_eq!(nodes.api(&nodes.provider, "GET", target, Some(&key), "").await.status, 401);
    nodes.provider.stop().await;
    let again = nodes.replica_of_provider(provider).await;
    assert_eq!(nodes.api(&again, "GET", target, Some(&key), "").await.status, 401, "revoked stays revoked");
    let audit = nodes.api(&again, "GET", "/audit?limit=3", Some(&api.key), "").await.json();
    let actions: Vec<&str> = audit.as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["remove_api_key", "set_api_key", "add_api_key"]);
    assert!(audit[0]["author"].as_str().unwrap().starts_with("api-key "));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_the_api_are_managed_from_the_machine_itself_unless_the_configuration_says_otherwise() {
    // A machine with no address but the loopback cannot call from elsewhere; the rule itself is tested beside it too.
    let Some(elsewhere) = other_address() else { return };
    for (anywhere, status) in [(false, 403), (true, 200)] {
        let nodes = two_nodes_with(417, |_, provider| provider.limits.api.keys_from_anywhere = anywhere).await;
        let key = nodes.api_key(&nodes.provider, &[Role::XroadSystemAdministrator]).await;
        let listed = nodes.api(&nodes.provider, "GET", "/api-keys", Some(&key), "").await;
        let own = listed.json()[0]["id"].as_i64().unwrap();
        let all = json!(Role::ALL.map(Role::word)).to_string();
        for (method, target, body) in [
            ("GET", "/api-keys".to_owned(), ""),
            ("GET", format!("/api-keys/{own}"), ""),
            ("POST", "/api-keys".to_owned(), &all),
            ("PUT", format!("/api-keys/{own}"), &all),
            ("DELETE", format!("/api-keys/{own}"), ""),
        ] {
            assert_eq!(call_from(elsewhere, &nodes, method, &target, &key, body).await, status, "{method} {target}");
        }
        nodes.stop().await;
    }
}

/// An address of this machine that is not the loopback. Nothing is sent to the one that is named.
fn other_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

/// The status of a call that comes from this address.
async fn call_from(from: IpAddr, nodes: &TwoNodes, method: &str, target: &str, key: &str, body: &str) -> u16 {
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(from));
    let url = format!("http://{}{}{target}", nodes.provider.addresses().admin, bridge::api::BASE);
    let request = http::Request::builder()
        .method(method)
        .uri(url)
        .header("authorization", format!("X-Road-ApiKey token={key}"))
        .header("content-type", "application/json")
        .body(Full::<bytes::Bytes>::from(body.to_owned()))
        .unwrap();
    Client::builder(TokioExecutor::new()).build(connector).request(request).await.unwrap().status().as_u16()
}
