//! Backups of what operators set: who takes them, and what is in force once one is put back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bridge::testing::{ECHO, TwoNodes, two_nodes_on, two_nodes_with};
use serde_json::{Value as Json, json};
use trust::cert::Certificate;

use crate::api::{Api, active_certificates, imported_certificate, imported_certificate_of, rest_service, unlimited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_brings_back_what_was_set_and_only_one_that_this_node_made_is_taken() {
    let nodes = two_nodes_with(406, unlimited).await;
    let api = Api::of(&nodes).await;
    let (service, description) = rest_service(&api, "pets").await;
    let made = api.call("POST", "/backups", Json::Null, 201).await;
    let name = made["filename"].as_str().unwrap().to_owned();
    api.call("DELETE", &format!("/service-descriptions/{description}"), Json::Null, 204).await;
    api.call("GET", &format!("/services/{service}"), Json::Null, 404).await;
    api.call("PUT", &format!("/backups/{name}/restore"), Json::Null, 200).await;
    api.call("GET", &format!("/services/{service}"), Json::Null, 200).await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    let file = nodes.api(&nodes.provider, "GET", &format!("/backups/{name}/download"), Some(&api.key), "").await;
    let mut bytes = file.body.to_vec();
    assert!(!bytes.windows(4).any(|window| window == b"pets"), "it is sealed");
    api.upload("POST", "/backups/upload?filename=copy.baobab-backup", bytes.clone(), 201).await;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    api.upload("POST", "/backups/upload?filename=bad.baobab-backup", bytes.clone(), 400).await;
    api.upload("POST", "/backups/upload?filename=..%2Fx.baobab-backup", bytes, 400).await;
    assert_eq!(api.call("GET", "/backups", Json::Null, 200).await.as_array().unwrap().len(), 2);
    api.call("DELETE", &format!("/backups/{name}"), Json::Null, 204).await;
    api.call("DELETE", &format!("/backups/{name}"), Json::Null, 404).await;
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_the_member_of_a_client_stays_its_own_after_a_restore() {
    for provider in store::testing::engines().await {
        let nodes = two_nodes_on(412, (store::testing::sqlite().await, provider.clone()), unlimited).await;
        let api = Api::of(&nodes).await;
        let client = json!({ "member_class": "COM", "member_code": "2001", "subsystem_code": "loans", "connection_type": "HTTP" });
        api.call("POST", "/clients", json!({ "client": client }), 201).await;
        let of_client = format!("/token-certificates/{}", imported_certificate_of("BB:COM:2001", &api, "theirs").await);
        let of_owner = format!("/token-certificates/{}", imported_certificate(&api, "ours").await);
        let backup = api.call("POST", "/backups", Json::Null, 201).await["filename"].as_str().unwrap().to_owned();
        let target = format!("/backups/{backup}/download");
        let file = nodes.api(&nodes.provider, "GET", &target, Some(&api.key), "").await.body;
        let earlier = backup_from_before_members(&nodes, &provider, &file);
        api.upload("POST", "/backups/upload?filename=earlier.baobab-backup", earlier, 201).await;
        for name in [backup.as_str(), "earlier.baobab-backup"] {
            api.call("PUT", &format!("/backups/{name}/restore"), Json::Null, 200).await;
            assert_eq!(api.call("GET", &of_client, Json::Null, 200).await["owner_id"], "BB:COM:2001", "{name}");
            assert_eq!(api.call("GET", &of_owner, Json::Null, 200).await["owner_id"], "BB:GOV:1002", "{name}");
        }
        nodes.stop().await;
    }
}

/// What this node would have written when certificates had no member yet.
fn backup_from_before_members(nodes: &TwoNodes, store: &store::Store, backup: &[u8]) -> Vec<u8> {
    let node = "BB/GOV/1002/node-1";
    let opened = store.sealer().open("bridge_backup", "file", node.as_bytes(), backup).unwrap();
    let mut backup: Json = serde_json::from_slice(&opened).unwrap();
    let mut tables: Json = serde_json::from_str(backup["tables"].as_str().unwrap()).unwrap();
    for row in tables["bridge_key_certificate"].as_array_mut().unwrap() {
        assert_eq!(row.as_array_mut().unwrap().split_off(6).len(), 1);
    }
    let tables = tables.to_string();
    let key = &nodes.provider_keys.sign;
    let signed = format!("baobab node backup 1\n{node}\n{tables}");
    let signature = key.sign(key.default_xml_algorithm(), signed.as_bytes()).unwrap();
    backup["signature"] = json!(BASE64.encode(signature));
    backup["tables"] = json!(tables);
    store.sealer().seal("bridge_backup", "file", node.as_bytes(), backup.to_string().as_bytes()).unwrap()
}

/// Makes a backup; its name.
async fn backup(api: &Api<'_>) -> String {
    api.call("POST", "/backups", Json::Null, 201).await["filename"].as_str().unwrap().to_owned()
}

/// The certificate that paths name so.
async fn certificate(nodes: &TwoNodes, hash: &str) -> Certificate {
    let hash = hash.to_owned();
    let select = "SELECT certificate FROM bridge_key_certificate WHERE id = $1";
    let read = move |tx: &mut store::Tx<'_>| tx.query(select, &[hash.as_str().into()]);
    let rows = nodes.provider.message_log().store().read("test.certificate", read).await.unwrap();
    Certificate::from_der(&rows[0].get::<Vec<u8>>("certificate").unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_works_at_once_with_the_keys_of_a_backup_that_is_put_back() {
    for provider in store::testing::engines().await {
        let nodes = two_nodes_on(414, (store::testing::sqlite().await, provider), unlimited).await;
        let api = Api::of(&nodes).await;
        let hash = imported_certificate(&api, "second").await;
        api.call("PUT", &format!("/token-certificates/{hash}/activate"), Json::Null, 204).await;
        let (name, active) = (backup(&api).await, active_certificates(&api).await);
        api.call("PUT", &format!("/token-certificates/{hash}/disable"), Json::Null, 204).await;
        assert_ne!(active_certificates(&api).await, active);

        api.call("PUT", &format!("/backups/{name}/restore"), Json::Null, 200).await;
        assert_eq!(active_certificates(&api).await, active, "the certificate of the files rests again");
        assert_eq!(nodes.get(ECHO).await.status, 200);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_with_a_key_that_the_node_cannot_work_with_changes_nothing() {
    for provider in store::testing::engines().await {
        let nodes = two_nodes_on(415, (store::testing::sqlite().await, provider), unlimited).await;
        let api = Api::of(&nodes).await;
        let hash = imported_certificate(&api, "second").await;
        let path = format!("/token-certificates/{hash}");
        api.call("PUT", &format!("{path}/activate"), Json::Null, 204).await;
        let name = backup(&api).await;
        api.call("PUT", &format!("{path}/disable"), Json::Null, 204).await;
        let (service, _) = rest_service(&api, "pets").await;
        let active = active_certificates(&api).await;
        nodes.federation.revoke(&certificate(&nodes, &hash).await);

        let refused = api.call("PUT", &format!("/backups/{name}/restore"), Json::Null, 409).await;
        assert_eq!(refused["error"]["code"], "action_not_possible", "{refused}");
        assert_eq!(active_certificates(&api).await, active);
        assert_eq!(api.call("GET", &path, Json::Null, 200).await["active"], false);
        api.call("GET", &format!("/services/{service}"), Json::Null, 200).await;
        assert_eq!(nodes.get(ECHO).await.status, 200);
        let said = api.call("GET", "/audit?limit=4", Json::Null, 200).await;
        let said = said.as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap());
        let restores: Vec<&str> = said.filter(|action| action.ends_with("restore_backup")).collect();
        assert_eq!(restores, ["take_back_restore_backup", "restore_backup"], "newest first");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_configuration_read_again_no_longer_declares_does_not_come_back_with_a_backup() {
    let mut declared = None;
    let nodes = two_nodes_with(416, |consumer, provider| {
        unlimited(consumer, provider);
        declared = Some(provider.clone());
    })
    .await;
    let api = Api::of(&nodes).await;
    let name = backup(&api).await;
    let mut declared = declared.unwrap();
    declared.rights.clear();
    nodes.provider.reload(&declared, nodes.provider_keys.clone()).await.unwrap();
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.serverproxy.access_denied");

    api.call("PUT", &format!("/backups/{name}/restore"), Json::Null, 200).await;
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.serverproxy.access_denied", "the right stays withdrawn");
    nodes.stop().await;
}
