//! TLS between nodes for peers with X-Road's default suites, through OpenSSL; and what the nodes offer without it. OpenSSL's own client
//! is the judge.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bridge::config::{LegacyTls, NodeConfig};
use bridge::testing::{ECHO, TwoNodes, two_nodes, two_nodes_with, two_nodes_with_keys};
use trust::cert::{Certificate, CertificateProfile};
use trust::keys::SigningKey;

/// X-Road's defaults, in the words of OpenSSL.
const ECDSA: &str = "ECDHE-ECDSA-AES256-SHA384";
const RSA: [&str; 2] = ["ECDHE-RSA-AES256-SHA384", "DHE-RSA-AES256-SHA256"];

fn rsa() -> (SigningKey, SigningKey) {
    (SigningKey::generate_p256().unwrap(), SigningKey::generate_rsa(2_048).unwrap())
}

fn only(suites: &str) -> LegacyTls {
    LegacyTls { suites: suites.to_owned() }
}

fn legacy_provider(_: &mut NodeConfig, provider: &mut NodeConfig) {
    provider.legacy_tls = Some(LegacyTls::default());
}

async fn exchange(nodes: &TwoNodes, what: &str) {
    let reply = nodes.call("POST", &format!("{ECHO}/x"), &[], "Bonjour").await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, &b"Bonjour"[..]), "{what}");
}

/// Key and certificate as files for OpenSSL.
fn files(folder: &Path, key: &SigningKey, certificate: &Certificate) -> [PathBuf; 2] {
    let files = [folder.join("client.key.pem"), folder.join("client.cert.pem")];
    std::fs::write(&files[0], key.to_pkcs8_pem().unwrap()).unwrap();
    std::fs::write(&files[1], certificate.to_pem()).unwrap();
    files
}

/// OpenSSL's client shakes hands with a node; answers what it says of the connection, `New, TLSv1.2, Cipher is …`, or `refused` and why.
fn shake(address: SocketAddr, [key, certificate]: &[PathBuf; 2], options: &[&str]) -> String {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &address.to_string(), "-key"]).arg(key).arg("-cert").arg(certificate);
    let run = client.args(options).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    let line = said.lines().find(|line| line.starts_with("New, ")).unwrap_or_default();
    if run.status.success() { line.to_owned() } else { format!("refused: {said}") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_nodes_exchange_over_each_cbc_suite_of_xroad() {
    for (seed, restricted) in [(601, true), (602, false)] {
        let change = |consumer: &mut NodeConfig, provider: &mut NodeConfig| {
            consumer.legacy_tls = Some(if restricted { only(ECDSA) } else { only("") });
            provider.legacy_tls = Some(if restricted { only("") } else { only(ECDSA) });
        };
        let nodes = two_nodes_with(seed, change).await;
        exchange(&nodes, ECDSA).await;
        nodes.stop().await;
    }
    for (seed, suite) in (603..).zip(RSA) {
        let change = |consumer: &mut NodeConfig, provider: &mut NodeConfig| {
            consumer.legacy_tls = Some(only(""));
            provider.legacy_tls = Some(only(suite));
        };
        let nodes = two_nodes_with_keys(seed, &rsa, change).await;
        exchange(&nodes, suite).await;
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_nodes_speak_tls_1_3_with_each_other_and_with_nodes_of_today() {
    for (seed, both) in [(605, true), (606, false)] {
        let change = |consumer: &mut NodeConfig, provider: &mut NodeConfig| {
            consumer.legacy_tls = both.then(LegacyTls::default);
            provider.legacy_tls = Some(LegacyTls::default());
        };
        let nodes = two_nodes_with(seed, change).await;
        exchange(&nodes, "TLS 1.3").await;
        let folder = tempfile::tempdir().unwrap();
        let us = files(folder.path(), &nodes.consumer_keys.auth, &nodes.consumer_keys.auth_certificate);
        let address = nodes.provider.addresses().transport;
        assert_eq!(shake(address, &us, &[]), "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384");
        let said = shake(address, &us, &["-tls1_2"]);
        assert_eq!(said, "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES256-GCM-SHA384", "GCM before CBC");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_suites_are_what_openssl_shakes_hands_with_and_older_versions_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = two_nodes_with(607, legacy_provider).await;
    let us = files(folder.path(), &nodes.consumer_keys.auth, &nodes.consumer_keys.auth_certificate);
    let address = nodes.provider.addresses().transport;
    let said = shake(address, &us, &["-tls1_2", "-cipher", ECDSA]);
    assert_eq!(said, format!("New, TLSv1.2, Cipher is {ECDSA}"));
    for options in [
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1_2", "-cipher", "AES256-SHA256:AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA"],
    ] {
        let said = shake(address, &us, options);
        assert!(said.starts_with("refused"), "{options:?}: {said}");
    }
    nodes.stop().await;
    let nodes = two_nodes_with_keys(608, &rsa, legacy_provider).await;
    let us = files(folder.path(), &nodes.consumer_keys.auth, &nodes.consumer_keys.auth_certificate);
    for suite in RSA {
        let said = shake(nodes.provider.addresses().transport, &us, &["-tls1_2", "-cipher", suite]);
        assert_eq!(said, format!("New, TLSv1.2, Cipher is {suite}"));
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_nodes_believe_nobody_else_than_the_others_do() {
    let nodes = two_nodes_with(609, |consumer, provider| {
        consumer.legacy_tls = Some(only(ECDSA));
        provider.legacy_tls = Some(LegacyTls::default());
    })
    .await;
    exchange(&nodes, "before").await;
    let folder = tempfile::tempdir().unwrap();
    let address = nodes.provider.addresses().transport;
    let cbc = ["-tls1_2", "-cipher", ECDSA];
    // A certificate of our own authority, for authentication, that no node registered.
    let (key, subject) = (SigningKey::generate_p256().unwrap(), nodes.consumer_keys.auth_certificate.subject().clone());
    let hour = std::time::Duration::from_hours(1);
    let stranger = nodes.federation.issue(CertificateProfile::Auth, subject, key.public(), hour);
    let said = shake(address, &files(folder.path(), &key, &stranger), &cbc);
    assert!(said.starts_with("refused") && said.contains("alert"), "a stranger: {said}");
    // Nobody without a certificate; nobody with the certificate of another and not its key.
    let mut nameless = Command::new("openssl");
    nameless.args(["s_client", "-connect", &address.to_string()]).args(cbc).stdin(Stdio::null());
    assert!(!nameless.output().unwrap().status.success());
    // A provider that the federation forgets is sent nothing more, also on connections that are open.
    let provider = nodes.provider_keys.auth_certificate.sha256();
    nodes.federation.change(|params| {
        for server in &mut params.servers {
            server.auth_cert_hashes.retain(|hash| *hash != provider);
        }
    });
    nodes.consumer.ready().await.unwrap();
    let reply = nodes.get(ECHO).await;
    assert_eq!(reply.error_type(), "server.clientproxy.ssl_authentication_failed", "{:?}", reply.body);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_legacy_suites_a_node_offers_tls_1_3_and_the_gcm_suites_of_1_2() {
    let nodes = two_nodes(610).await;
    let folder = tempfile::tempdir().unwrap();
    let us = files(folder.path(), &nodes.consumer_keys.auth, &nodes.consumer_keys.auth_certificate);
    let address = nodes.provider.addresses().transport;
    assert_eq!(shake(address, &us, &[]), "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384");
    let said = shake(address, &us, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    assert_eq!(said, "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256");
    let said = shake(address, &us, &["-tls1_2", "-cipher", ECDSA]);
    assert!(said.starts_with("refused") && said.contains("alert handshake failure"), "{said}");
    nodes.stop().await;
}
