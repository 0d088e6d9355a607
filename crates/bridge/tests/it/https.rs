//! HTTPS between nodes and the information systems of their organisations, on both sides.

use std::sync::{Arc, Mutex};

use bridge::InternalKeys;
use bridge::api::Role;
use bridge::registry::{Author, Connection, ServicePatch};
use bridge::testing::{CLIENT, ECHO, PROVIDER, SoapService, TwoNodes, offer_soap, two_nodes_with, wire};
use civic::Timestamp;
use civic::testing::SeededRandom;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use web::{ClientLimits, HttpClient, Reply};

use crate::soap_consent::set;
use crate::soap_exchange::{XML, assert_fault, request, text};

/// A key with a certificate of an information system.
fn system(seed: u64) -> InternalKeys {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::parse_rfc3339("2026-11-21T22:40:00Z").unwrap();
    InternalKeys::open(folder.path(), "information system", now, &SeededRandom::new(seed)).unwrap()
}

fn der(keys: &InternalKeys) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = vec![CertificateDer::from(keys.certificate.der().to_vec())];
    (chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(keys.key.to_pkcs8_der().unwrap())))
}

fn client(keys: Option<&InternalKeys>) -> HttpClient {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(wire::any_server());
    let config = match keys.map(der) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    HttpClient::new(ClientLimits::default(), Some(Arc::new(config)))
}

/// Calls the echo service over HTTPS.
async fn call(nodes: &TwoNodes, http: &HttpClient) -> Reply {
    let url = format!("https://{}/r1/{ECHO}", nodes.consumer.addresses().consumer_https.unwrap());
    http.get(&url, &[(HeaderName::from_static("x-road-client"), HeaderValue::from_static(CLIENT))]).await.unwrap()
}

fn refused(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(text.contains("server.clientproxy.ssl_authentication_failed"), "{} {text}", reply.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subsystem_that_wants_https_is_not_served_over_plain_http() {
    let nodes = two_nodes_with(501, |consumer, _| {
        consumer.connections = vec![(CLIENT.parse().unwrap(), Connection::HttpsNoAuth)];
    })
    .await;
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.clientproxy.ssl_authentication_failed");
    let evidence = "/asic?queryId=x&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit";
    assert_eq!(nodes.send("GET", evidence, &[], "").await.status, 401, "evidence is no way around");
    assert_eq!(call(&nodes, &client(None)).await.status, 200);
    assert_eq!(call(&nodes, &client(Some(&system(1)))).await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subsystem_with_a_list_of_certificates_is_served_to_these_only() {
    let (known, stranger) = (system(2), system(3));
    let certificates: Arc<[Vec<u8>]> = vec![known.certificate.der().to_vec()].into();
    let nodes = two_nodes_with(502, |consumer, _| {
        consumer.connections = vec![(CLIENT.parse().unwrap(), Connection::HttpsAuth { certificates })];
    })
    .await;
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.clientproxy.ssl_authentication_failed");
    refused(&call(&nodes, &client(None)).await);
    refused(&call(&nodes, &client(Some(&stranger))).await);
    assert_eq!(call(&nodes, &client(Some(&known))).await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soap_and_the_old_route_to_wsdls_are_no_way_around_the_certificates_of_a_subsystem() {
    let (known, stranger) = (system(6), system(7));
    let certificates: Arc<[Vec<u8>]> = vec![known.certificate.der().to_vec()].into();
    let nodes = two_nodes_with(506, |consumer, _| {
        consumer.connections = vec![(CLIENT.parse().unwrap(), Connection::HttpsAuth { certificates })];
    })
    .await;
    let service = SoapService::start().await;
    service.offer(&nodes).await;
    let wsdl =
        "/wsdl?xRoadInstance=BB&memberClass=GOV&memberCode=1002&subsystemCode=fisc&serviceCode=getState&version=v1";
    let soap = || request("getState", "v1", "c-1", "", "");
    let address = nodes.consumer.addresses().consumer_https.unwrap();
    let over_https = async |http: HttpClient, soap: Option<String>| match soap {
        Some(soap) => {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(XML.1))];
            http.send(Method::POST, &format!("https://{address}/"), &headers, soap.into()).await.unwrap()
        }
        None => http.get(&format!("https://{address}{wsdl}"), &[]).await.unwrap(),
    };

    assert_fault(&nodes.send("POST", "/", &[XML], soap()).await, "server.clientproxy.ssl_authentication_failed");
    refused(&over_https(client(Some(&stranger)), Some(soap())).await);
    assert_ne!(nodes.send("GET", wsdl, &[], "").await.status, 200);
    assert_ne!(over_https(client(Some(&stranger)), None).await.status, 200);
    assert!(service.seen().is_empty(), "nothing was asked in the name of the subsystem");

    assert_eq!(over_https(client(Some(&known)), Some(soap())).await.status, 200);
    assert_eq!(over_https(client(Some(&known)), None).await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_subsystem_may_also_come_over_https() {
    let nodes = two_nodes_with(503, |_, _| {}).await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    assert_eq!(call(&nodes, &client(None)).await.status, 200);
    nodes.stop().await;
}

/// A service that speaks HTTPS and remembers who called.
async fn service(keys: &InternalKeys) -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (chain, key) = der(keys);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(wire::any_client())
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let callers = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            callers.lock().unwrap().push(shown);
            // It keeps connections open, as services do.
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    // What follows a head is a body, which nobody reads here.
                    if !request.starts_with(b"GET ") && !request.starts_with(b"POST ") {
                        continue;
                    }
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_over_https_is_believed_by_its_certificate_and_sees_that_of_the_node() {
    let keys = system(4);
    let (url, callers) = service(&keys).await;
    let other = system(5).certificate.der().to_vec();
    for (pinned, status) in [(other, 500), (keys.certificate.der().to_vec(), 200)] {
        let nodes = two_nodes_with(504, |_, provider| {
            for service in &mut provider.services {
                service.base_url.clone_from(&url);
            }
            let certificates: Arc<[Vec<u8>]> = vec![pinned].into();
            provider.connections = vec![(PROVIDER.parse().unwrap(), Connection::HttpsAuth { certificates })];
        })
        .await;
        let reply = nodes.get(ECHO).await;
        assert_eq!(reply.status.as_u16(), status, "{:?}", reply.body);
        if status == 200 {
            let pem = std::fs::read_to_string(nodes.folder().join("1002/keys/internal.cert.pem")).unwrap();
            let own = trust::cert::Certificate::from_pem(&pem).unwrap();
            assert_eq!(callers.lock().unwrap().last().unwrap(), own.der());
        } else {
            assert!(callers.lock().unwrap().is_empty(), "nothing was sent to whom nobody knows");
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soap_service_over_https_is_verified_unless_its_operator_says_otherwise() {
    let (url, callers) = service(&system(8)).await;
    let nodes = two_nodes_with(507, |_, _| {}).await;
    offer_soap(&nodes, &url, &[("getState", Some("v1"))], "<wsdl/>").await;
    let ask = async |id: &str| nodes.send("POST", "/", &[XML], request("getState", "v1", id, "", "")).await;
    assert_fault(&ask("h-1").await, "server.serverproxy.network_error");
    assert!(callers.lock().unwrap().is_empty(), "nothing was sent to whom nobody knows");

    let id = format!("{PROVIDER}/getState").parse().unwrap();
    let number = nodes.provider.registry().current().service(&id, Some("v1")).unwrap().number;
    let patch = ServicePatch { tls_verify: Some(false), ..ServicePatch::default() };
    nodes.provider.registry().apply(&Author::CommandLine, set(number, patch)).await.unwrap();
    // This service speaks no SOAP; that it was reached is what counts.
    let reached = ask("h-2").await;
    assert!(text(&reached).contains("server.serverproxy.service_failed.invalid_content_type"), "{}", text(&reached));
    assert_eq!(callers.lock().unwrap().len(), 1);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_the_api_takes_out_is_not_believed_at_the_next_call_and_one_that_it_adds_is() {
    let keys = system(6);
    let (url, callers) = service(&keys).await;
    let (known, other) = (keys.certificate.der().to_vec(), system(7).certificate.der().to_vec());
    let nodes = two_nodes_with(505, |_, provider| {
        for service in &mut provider.services {
            service.base_url.clone_from(&url);
        }
        let certificates: Arc<[Vec<u8>]> = vec![other].into();
        provider.connections = vec![(PROVIDER.parse().unwrap(), Connection::HttpsAuth { certificates })];
    })
    .await;
    let key = nodes.api_key(&nodes.provider, &[Role::XroadServiceAdministrator]).await;
    let certificates = format!("/clients/{}/tls-certificates", PROVIDER.replace('/', ":"));
    let api = async |method, target: String, body: Vec<u8>, status: u16| {
        let reply = nodes.api(&nodes.provider, method, &target, Some(&key), body).await;
        assert_eq!(reply.status.as_u16(), status, "{:?}", reply.body);
        reply.json()
    };
    assert_eq!(nodes.get(ECHO).await.status, 500, "nobody knows it yet");
    for round in 0..3 {
        let added = api("POST", certificates.clone(), known.clone(), 201).await;
        assert_eq!(nodes.get(ECHO).await.status, 200, "round {round}: it is believed at once");
        assert_eq!(nodes.get(ECHO).await.status, 200);
        let served = callers.lock().unwrap().len();
        api("DELETE", format!("{certificates}/{}", added["hash"].as_str().unwrap()), Vec::new(), 204).await;
        assert_eq!(nodes.get(ECHO).await.status, 500, "round {round}: nor by a connection or session of before");
        assert_eq!(callers.lock().unwrap().len(), served, "nothing was sent to whom nobody believes any more");
    }
    nodes.stop().await;
}
