//! Requests that are refused: each gets the r1 error that says what to do, and the service sees none of them.

use std::time::Duration;

use bridge::access::{AccessRight, Endpoint};
use bridge::fault::ErrorStyle;
use bridge::message::Verb;
use bridge::testing::{CLIENT, ECHO, Outage, PROVIDER, Reply, TwoNodes, two_nodes, two_nodes_with, wire};
use bridge::transport::{Message, Received};
use bytes::Bytes;
use trust::cert::CertificateProfile;
use trust::keys::SigningKey;

/// The r1 error: type, message that says something, detail id, header, status.
fn assert_refused(reply: &Reply, error_type: &str) {
    let json = reply.json();
    assert_eq!(reply.error_type(), error_type, "{json}");
    assert!(json["message"].as_str().unwrap().len() > 20, "{json}");
    assert_eq!(json["detail"].as_str().unwrap().len(), 36, "{json}");
    assert_eq!(reply.header("x-road-error"), error_type);
    assert_eq!(reply.status.as_u16(), if error_type.starts_with("server.") { 500 } else { 400 });
}

async fn nothing_reached_the_service(nodes: TwoNodes) {
    assert!(nodes.service.seen().is_empty());
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_or_missing_header_is_a_bad_request() {
    let nodes = two_nodes(100).await;
    let target = format!("/r1/{ECHO}");
    for headers in [
        &[][..],
        &[("X-Road-Client", "BB/COM")],
        &[("X-Road-Client", "BB/COM/2001/credit/too/long")],
        &[("X-Road-Client", "BB/COM/20%3A01/credit")],
        &[("X-Road-Client", CLIENT), ("X-Road-Security-Server", "BB/GOV/1002")],
        &[("X-Road-Client", CLIENT), ("X-Road-Represented-Party", "a/b/c")],
        &[("X-Road-Client", CLIENT), ("X-Road-Id", "")],
    ] {
        assert_refused(&nodes.send("GET", &target, headers, "").await, "client.bad_request");
    }
    for target in ["/r2/BB/GOV/1002/fisc/echo", "/r1/BB/GOV/1002/echo", "/r1/BB/GOV/10%2F02/fisc/echo", "/"] {
        assert_refused(&nodes.send("GET", target, &[("X-Road-Client", CLIENT)], "").await, "client.bad_request");
    }
    assert_refused(&nodes.send("BREW", &target, &[("X-Road-Client", CLIENT)], "").await, "client.bad_request");
    nothing_reached_the_service(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_xml_or_camel_case_where_that_is_wanted() {
    let nodes = two_nodes_with(101, |consumer, _| consumer.error_style = ErrorStyle::Camel).await;
    let reply = nodes.call("GET", "BB/GOV/1002/fisc/none", &[("Accept", "application/xml")], "").await;
    assert_eq!(reply.status, 500);
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(text.starts_with("<error><type>Server.ServerProxy.UnknownService</type><message>"), "{text}");
    nothing_reached_the_service(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_member_subsystem_or_node_is_named() {
    let nodes = two_nodes(102).await;
    let client = nodes.send("GET", &format!("/r1/{ECHO}"), &[("X-Road-Client", "BB/COM/9/none")], "").await;
    assert_refused(&client, "server.clientproxy.unknown_member");
    let other = nodes.send("GET", &format!("/r1/{ECHO}"), &[("X-Road-Client", PROVIDER)], "").await;
    assert_refused(&other, "server.clientproxy.unknown_member");
    assert_refused(&nodes.get("BB/GOV/9999/fisc/echo").await, "server.clientproxy.unknown_member");
    assert_refused(&nodes.get("XX/GOV/1002/fisc/echo").await, "server.clientproxy.unknown_member");
    let pinned = nodes.call("GET", ECHO, &[("X-Road-Security-Server", "BB/COM/2001/node-1")], "").await;
    assert_refused(&pinned, "server.clientproxy.invalid_security_server");
    nothing_reached_the_service(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_right_is_refused_and_the_refusal_is_logged() {
    let nodes = two_nodes_with(103, |_, provider| provider.rights.clear()).await;
    let reply = nodes.call("GET", ECHO, &[("X-Road-Id", "no-right")], "").await;
    assert_refused(&reply, "server.serverproxy.access_denied");
    for node in [&nodes.consumer, &nodes.provider] {
        let records = node.message_log().find("no-right").await.unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].outcome, "server.serverproxy.access_denied");
    }
    assert_refused(&nodes.get(&format!("{PROVIDER}/no-such-service")).await, "server.serverproxy.unknown_service");
    nothing_reached_the_service(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_to_an_endpoint_cannot_be_stretched_by_spelling() {
    let nodes = two_nodes_with(104, |_, provider| {
        let endpoint = Some(Endpoint { verb: Some(Verb::Get), path: "/public/*".to_owned() });
        provider.rights =
            vec![AccessRight { client: CLIENT.parse().unwrap(), service: ECHO.parse().unwrap(), endpoint }];
    })
    .await;
    assert_eq!(nodes.get(&format!("{ECHO}/public/1")).await.status, 200);
    for path in ["/secret/1", "/public/1/2", "/public//1", "/public/1;x=2", "/public%2F1", "//public/1"] {
        assert_refused(&nodes.get(&format!("{ECHO}{path}")).await, "server.serverproxy.access_denied");
    }
    for path in ["/public/%2e%2e/secret", "/public/..%2fsecret", "/public/%252e%252e/secret"] {
        assert_refused(&nodes.get(&format!("{ECHO}{path}")).await, "server.serverproxy.bad_request");
    }
    let post = nodes.call("POST", &format!("{ECHO}/public/1"), &[], "x").await;
    assert_refused(&post, "server.serverproxy.access_denied");
    assert_eq!(nodes.service.seen().len(), 1);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_ends_the_exchange() {
    let nodes = two_nodes(105).await;
    nodes.federation.set_validity(Duration::from_hours(9600));
    assert_eq!(nodes.get(ECHO).await.status, 200);
    // The certificates of the test federation hold for a year.
    nodes.clock.advance(Duration::from_hours(8784));
    nodes.consumer.ready().await.unwrap();
    nodes.provider.ready().await.unwrap();
    let reply = nodes.get(ECHO).await;
    assert_refused(&reply, "server.clientproxy.ssl_authentication_failed");
    assert!(reply.json()["message"].as_str().unwrap().contains("Nothing was sent"));
    assert_eq!(nodes.service.seen().len(), 1);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_signing_certificate_is_refused_by_the_provider() {
    let nodes = two_nodes(106).await;
    let request = wire::request(ECHO, &[], "r-1");
    nodes.federation.revoke(&nodes.consumer_keys.sign_certificate);
    let envelope = wire::sign(&nodes.federation, &nodes.consumer_keys, request.bytes().clone(), None, false);
    let answer = nodes.post(&nodes.consumer_keys, &envelope).await.unwrap();
    assert_fault(&answer, "server.serverproxy.signature_verification.cert_validation");
    // The node itself notices too: it has no good response to sign with any more.
    assert!(nodes.consumer.ready().await.unwrap_err().contains("revoked"));
    nothing_reached_the_service(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_certificate_signs_nothing_and_opens_no_connection() {
    let nodes = two_nodes(107).await;
    let elsewhere = two_nodes(108).await;
    // A connection with the certificate of another federation.
    let request = wire::request(ECHO, &[], "r-1");
    let theirs = wire::sign(&elsewhere.federation, &elsewhere.consumer_keys, request.bytes().clone(), None, false);
    assert!(nodes.post(&elsewhere.consumer_keys, &theirs).await.is_err());
    // The right connection, but a signature from elsewhere.
    let mut mixed = theirs.clone();
    mixed.ocsp = wire::sign(&nodes.federation, &nodes.consumer_keys, request.bytes().clone(), None, false).ocsp;
    let answer = nodes.post(&nodes.consumer_keys, &mixed).await.unwrap();
    assert_fault(&answer, "server.serverproxy.signature_verification.cert_validation");
    elsewhere.stop().await;
    nothing_reached_the_service(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_member_or_use_does_not_sign_for_the_client() {
    let nodes = two_nodes(109).await;
    let request = wire::request(ECHO, &[], "r-1");
    // The provider's own signing key speaks for the bank.
    let mut keys = nodes.consumer_keys.clone();
    keys.sign = nodes.provider_keys.sign.clone();
    keys.sign_certificate = nodes.provider_keys.sign_certificate.clone();
    let envelope = wire::sign(&nodes.federation, &keys, request.bytes().clone(), None, false);
    let answer = nodes.post(&nodes.consumer_keys, &envelope).await.unwrap();
    assert_fault(&answer, "server.serverproxy.signature_verification.cert_validation");
    // A TLS certificate signs a message.
    keys.sign = nodes.consumer_keys.auth.clone();
    keys.sign_certificate = nodes.consumer_keys.auth_certificate.clone();
    let envelope = wire::sign(&nodes.federation, &keys, request.bytes().clone(), None, false);
    let answer = nodes.post(&nodes.consumer_keys, &envelope).await.unwrap();
    assert_fault(&answer, "server.serverproxy.signature_verification.cert_validation");
    // A certificate of the right authority that is registered for no node.
    keys.auth = SigningKey::generate_p256().unwrap();
    let subject = nodes.consumer_keys.auth_certificate.subject().clone();
    let day = Duration::from_hours(24);
    keys.auth_certificate = nodes.federation.issue(CertificateProfile::Auth, subject, keys.auth.public(), day);
    assert!(nodes.post(&keys, &envelope).await.is_err());
    nothing_reached_the_service(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_speaks_for_its_own_clients_only() {
    let nodes = two_nodes(110).await;
    nodes.federation.change(|params| {
        for server in params.servers.iter_mut().filter(|server| server.id.owner().code() == "2001") {
            server.clients.clear();
        }
    });
    nodes.provider.ready().await.unwrap();
    let request = wire::request(ECHO, &[], "r-1");
    let envelope = wire::sign(&nodes.federation, &nodes.consumer_keys, request.bytes().clone(), None, false);
    let answer = nodes.post(&nodes.consumer_keys, &envelope).await.unwrap();
    assert_fault(&answer, "server.serverproxy.ssl_authentication_failed");
    nothing_reached_the_service(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_configuration_stops_traffic_and_a_new_one_lets_it_flow_again() {
    let nodes = two_nodes(111).await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.federation.set_outage(Outage::Configuration, true);
    nodes.clock.advance(Duration::from_hours(3));
    assert_refused(&nodes.get(ECHO).await, "server.clientproxy.global_conf_outdated");
    assert!(nodes.consumer.ready().await.is_err());
    assert_refused(&nodes.get(ECHO).await, "server.clientproxy.global_conf_outdated");
    nodes.federation.set_outage(Outage::Configuration, false);
    nodes.consumer.ready().await.unwrap();
    assert_refused(&nodes.get(ECHO).await, "server.clientproxy.ssl_authentication_failed");
    nodes.provider.ready().await.unwrap();
    assert_eq!(nodes.get(ECHO).await.status, 200, "no restart was needed");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_was_played_back_is_refused() {
    let nodes = two_nodes(112).await;
    nodes.federation.set_validity(Duration::from_mins(1));
    let error = nodes.consumer.ready().await.unwrap_err();
    assert!(error.contains("played back"), "{error}");
    assert_eq!(nodes.get(ECHO).await.status, 200, "the present one stays");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused_where_it_is_seen_first() {
    let nodes = two_nodes_with(113, |consumer, provider| {
        consumer.limits.body_bytes_max = 100_000;
        provider.limits.body_bytes_max = 50_000;
    })
    .await;
    let big = nodes.call("POST", ECHO, &[], vec![0_u8; 100_001]).await;
    assert_refused(&big, "client.body_too_large");
    let middle = nodes.call("POST", ECHO, &[], vec![0_u8; 50_001]).await;
    assert_refused(&middle, "server.serverproxy.body_too_large");
    assert!(nodes.service.seen().is_empty());
    let answer = nodes.get(&format!("{ECHO}/bytes/50001")).await;
    assert_refused(&answer, "server.serverproxy.body_too_large");
    assert_eq!(nodes.call("POST", ECHO, &[], vec![0_u8; 50_000]).await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_no_message_is_refused_between_nodes() {
    let nodes = two_nodes(114).await;
    let keys = &nodes.consumer_keys;
    for (kind, bytes, code) in [
        ("text/plain", &b"hello"[..], "invalid_content_type"),
        ("multipart/mixed; boundary=x", b"hello", "mime_parsing_failed"),
        (
            "multipart/mixed; boundary=x",
            b"--x\r\ncontent-type: text/plain\r\n\r\nx\r\n--x--\r\n",
            "invalid_content_type",
        ),
        (
            "multipart/mixed; boundary=x",
            b"--x\r\ncontent-type: application/x-road-rest-request\r\n\r\nGET",
            "missing_signature",
        ),
    ] {
        let answer = nodes.post_bytes(keys, kind, bytes.to_vec()).await.unwrap();
        assert_fault(&answer, &format!("server.serverproxy.{code}"));
    }
    let request = wire::request(ECHO, &[], "r-1");
    let mut envelope = wire::sign(&nodes.federation, keys, request.bytes().clone(), None, false);
    envelope.ocsp.clear();
    assert_fault(&nodes.post(keys, &envelope).await.unwrap(), "server.serverproxy.ssl_authentication_failed");
    envelope.message = Message::Rest(Bytes::from_static(b"GET\r\nnonsense\r\n"));
    assert_fault(&nodes.post(keys, &envelope).await.unwrap(), "server.serverproxy.invalid_message");
    nothing_reached_the_service(nodes).await;
}

fn assert_fault(answer: &Received, code: &str) {
    match answer {
        Received::Fault(fault) => {
            assert_eq!(fault.code(), code, "{}", fault.message());
            assert!(!fault.detail().is_empty());
        }
        Received::Message(_) => assert_eq!("an answer", code),
    }
}
