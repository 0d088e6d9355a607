//! The REST protocol r1 line by line (PR-REST; facts §1.1): what passes, what is dropped, what the nodes set, what errors look like.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bridge::access::AccessRight;
use bridge::fault::ErrorStyle;
use bridge::message::request_hash;
use bridge::messagelog::RecordKind;
use bridge::testing::wire::FakeNode;
use bridge::testing::{CLIENT, ECHO, PROVIDER, Reply, TwoNodes, two_nodes, two_nodes_with};
use civic::{ClientId, ServiceId};
use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trust::digest::{Digest, sha512};

/// The headers that an information system got, without those of HTTP's own.
fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// The headers that the test service is to answer with.
fn answering<'a>(headers: &'a [(&'a str, &'a str)]) -> Vec<(String, &'a str)> {
    headers.iter().map(|(name, value)| (format!("answer-{name}"), *value)).collect()
}

async fn answer_of(nodes: &TwoNodes, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    let headers = answering(headers);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    nodes.call("POST", &format!("{ECHO}/headers"), &headers, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_whose_caller_went_away_is_ended_and_logged_on_both_sides() {
    let nodes = two_nodes(409).await;
    for method in ["GET", "POST"] {
        let id = format!("gone-{method}");
        let mut socket = TcpStream::connect(nodes.consumer.addresses().consumer).await.unwrap();
        let request = format!(
            "{method} /r1/{ECHO}/wait/400 HTTP/1.1\r\nhost: x\r\nx-road-client: {CLIENT}\r\nx-road-id: {id}\r\ncontent-length: 0\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        while nodes.service.seen().last().is_none_or(|seen| seen.headers["x-road-id"] != id.as_str()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(nodes.consumer.message_log().find(&id).await.unwrap().iter().all(|one| one.outcome != "answered"));
        // Not closed in good order but reset, as a phone does that lost its network.
        socket.set_zero_linger().unwrap();
        drop(socket);
        for log in [nodes.consumer.message_log(), nodes.provider.message_log()] {
            let mut tries = 0;
            while log.find(&id).await.unwrap().iter().filter(|one| one.kind == RecordKind::Response).count() == 0 {
                tries += 1;
                assert!(tries < 400, "{method}: the answer was not logged");
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            let records = log.find(&id).await.unwrap();
            assert_eq!(records.iter().map(|one| one.outcome.as_str()).last(), Some("answered"), "{method}");
        }
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_carries_path_query_and_body_unmodified() {
    let nodes = two_nodes(400).await;
    let rest = "/a%2Fb/%7e/caf%C3%A9;v=1/x%20y/?q=%26a=1&&b=/c?d&%C3%A9";
    for verb in ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"] {
        let body = if matches!(verb, "GET" | "HEAD" | "TRACE") { "" } else { "corps é" };
        let reply = nodes.call(verb, &format!("{ECHO}{rest}"), &[], body).await;
        assert_eq!(reply.status, 200, "{verb}: {:?}", reply.body);
        let seen = nodes.service.seen();
        let seen = seen.last().unwrap();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (verb, rest));
        assert_eq!(seen.body, body);
        if verb == "HEAD" {
            assert!(reply.body.is_empty());
        } else if !body.is_empty() {
            assert_eq!(reply.body, body);
        }
    }
    for (path, target) in [("", "/"), ("/", "/"), ("?a=1", "/?a=1"), ("/?a=1", "/?a=1"), ("/v1/", "/v1/")] {
        assert_eq!(nodes.get(&format!("{ECHO}{path}")).await.status, 200);
        assert_eq!(nodes.service.seen().last().unwrap().target, target, "{path}");
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_an_identifier_is_percent_encoded_by_itself() {
    let client: ClientId = "BB/COM/2001/cr%C3%A9dit%20(1)".parse().unwrap();
    let service: ServiceId = "BB/GOV/1002/fisc/re%C3%A7u+de=loyer?".replace('?', "%3F").parse().unwrap();
    let nodes = {
        let (client, service) = (client.clone(), service.clone());
        two_nodes_with(401, move |consumer, provider| {
            consumer.clients.push(client.clone());
            let mut offered = provider.services[0].clone();
            offered.id = service.clone();
            provider.services.push(offered);
            provider.rights.push(AccessRight { client, service, endpoint: None });
        })
        .await
    };
    nodes.federation.change(|params| {
        let member = params.members.iter_mut().find(|member| member.id.code() == "2001").unwrap();
        member.subsystems.push(trust::globalconf::Subsystem { code: "crédit (1)".to_owned(), name: None });
        let server = params.servers.iter_mut().find(|server| server.id.owner().code() == "2001").unwrap();
        server.clients.push(client.clone());
    });
    nodes.consumer.ready().await.unwrap();
    nodes.provider.ready().await.unwrap();
    for (client, service) in [
        ("BB/COM/2001/cr%C3%A9dit%20(1)", "BB/GOV/1002/fisc/re%C3%A7u+de=loyer%3F"),
        ("BB/COM/2001/cr%c3%a9dit%20%281%29", "%42B/GOV/1002/fisc/re%c3%a7u%2Bde%3Dloyer%3f"),
    ] {
        let reply = nodes.send("GET", &format!("/r1/{service}/x"), &[("X-Road-Client", client)], "").await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        let service: ServiceId = reply.header("x-road-service").parse().unwrap();
        assert_eq!(service.code(), "reçu+de=loyer?");
        let client: ClientId = reply.header("x-road-client").parse().unwrap();
        assert_eq!(client.subsystem(), Some("crédit (1)"));
    }
    // The separator may not be hidden, and five parts are needed (CODE; the text of PR-REST lets the subsystem go).
    for wrong in ["BB%2FGOV%2F1002%2Ffisc%2Fecho", "BB/GOV/1002/echo", "BB/GOV/1002//echo", "BB/GOV/1002/fi%00sc/echo"]
    {
        assert_eq!(nodes.get(wrong).await.error_type(), "client.bad_request", "{wrong}");
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_the_connection_and_of_the_host_stay_behind_and_all_others_pass() {
    let nodes = two_nodes(402).await;
    let sent = [
        ("User-Agent", "secret-host/1"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic x"),
        ("Proxy-Authenticate", "Basic"),
        ("Upgrade", "h2c"),
        ("Server", "internal"),
        ("Expect", "100-continue"),
        ("X-Road-Request-Id", "forged"),
        ("X-Road-Request-Hash", "forged"),
        ("Accept", "application/vnd.a+json;q=0.5, */*"),
        ("Authorization", "Bearer a.b.c"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Encoding", "br"),
        ("Cache-Control", "no-cache"),
        ("Pragma", "no-cache"),
        ("X-Pingback", "https://example.com/x"),
        ("X-Pingback", "second"),
        ("X-Road-UserId", "SN1234198012345"),
        ("X-Road-Issue", "MT324223MSD"),
        ("X-Road-Represented-Party", "COM/9"),
        ("X-Road-Id", "id-1"),
    ];
    assert_eq!(nodes.call("POST", ECHO, &sent, "x").await.status, 200);
    let seen = nodes.service.seen().remove(0).headers;
    for dropped in ["user-agent", "te", "trailer", "keep-alive", "proxy-authorization", "proxy-authenticate", "upgrade"]
    {
        assert!(!seen.contains_key(dropped), "{dropped}");
    }
    for dropped in ["server", "expect", "x-road-request-hash", "connection"] {
        assert!(!seen.contains_key(dropped), "{dropped}");
    }
    for (name, value) in sent.iter().skip(11).filter(|(name, _)| *name != "X-Pingback") {
        assert_eq!(values(&seen, name), [*value], "{name}");
    }
    assert_eq!(values(&seen, "x-pingback"), ["https://example.com/x", "second"]);
    assert_eq!(values(&seen, "x-road-client"), [CLIENT]);
    let ids = values(&seen, "x-road-request-id");
    assert!(ids.len() == 1 && ids[0].len() == 36, "{ids:?}");
    assert!(!values(&seen, "host")[0].contains(&nodes.consumer.addresses().consumer.port().to_string()));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_providers_node_speaks_for_the_exchange_and_the_rest_of_the_answer_passes_as_it_is() {
    let nodes = two_nodes(403).await;
    let gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let said = [
        ("content-encoding", "gzip"),
        ("content-type", "application/json"),
        ("cache-control", "public, max-age=60"),
        ("etag", "\"a\""),
        ("expires", "Thu, 01 Dec 2026 16:00:00 GMT"),
        ("date", "Thu, 01 Dec 1994 16:00:00 GMT"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("access-control-allow-origin", "*"),
        ("x-powered-by", "any"),
        ("server", "internal"),
        ("x-road-id", "forged"),
        ("x-road-client", "XX/A/B"),
        ("x-road-service", "XX/A/B/C/D"),
        ("x-road-request-id", "forged"),
        ("x-road-request-hash", "forged"),
        ("x-road-error", "forged"),
    ];
    let reply = answer_of(&nodes, &said, gzip.clone()).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(reply.body, gzip, "an encoded body is nobody's business");
    for (name, value) in said.iter().take(10).filter(|(name, _)| *name != "set-cookie") {
        assert_eq!(values(&reply.headers, name), [*value], "{name}");
    }
    assert_eq!(values(&reply.headers, "set-cookie"), ["a=1", "b=2"]);
    assert!(!reply.headers.contains_key("server") && !reply.headers.contains_key("x-road-error"));
    assert_eq!(values(&reply.headers, "x-road-client"), [CLIENT]);
    assert_eq!(values(&reply.headers, "x-road-service"), [ECHO]);
    let (id, request_id) = (reply.header("x-road-id").to_owned(), reply.header("x-road-request-id"));
    assert!(id.starts_with("BB-") && id.len() == 39, "{id}");
    assert_eq!(values(&nodes.service.seen()[0].headers, "x-road-request-id"), [request_id]);
    // The hash is that of the request that both logs hold.
    let records = nodes.consumer.message_log().find(&id).await.unwrap();
    let request = records.iter().find(|record| record.kind == RecordKind::Request).unwrap();
    let body = request.content.attachments.first().map(|body| Digest::sha512(body.body.whole().unwrap()));
    let hash = request_hash(&sha512(request.content.message.whole().unwrap()), body.as_ref());
    assert_eq!(values(&reply.headers, "x-road-request-hash"), [BASE64.encode(hash)]);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_and_errors_of_the_service_are_the_callers_to_see() {
    let nodes = two_nodes(404).await;
    for status in [201, 204, 301, 302, 303, 304, 307, 308, 400, 401, 404, 409, 418, 500, 503] {
        let reply = nodes.get(&format!("{ECHO}/status/{status}")).await;
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(reply.header("location"), "http://elsewhere.invalid/");
        assert!(!reply.headers.contains_key("x-road-error"), "{status} is the service's, not X-Road's");
        assert_eq!(reply.header("x-road-service"), ECHO);
    }
    assert_eq!(nodes.service.seen().len(), 15, "nothing was followed or tried twice");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_several_clients_asks() {
    let nodes = two_nodes(405).await;
    let (first, last) = (("X-Road-Client", "BB/COM/9/none"), ("x-road-client", CLIENT));
    let target = format!("/r1/{ECHO}");
    let ids = [("X-Road-Id", "d-1"), ("x-road-id", "d-2"), ("X-Other", "1"), ("X-Other", "2")];
    let headers = [&[first, last][..], &ids].concat();
    let reply = nodes.send("GET", &target, &headers, "").await;
    assert_eq!((reply.status.as_u16(), reply.header("x-road-id")), (200, "d-2"));
    let seen = nodes.service.seen().remove(0).headers;
    let values =
        |name: &str| seen.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(values("x-road-client"), [CLIENT], "the service is told nobody else");
    assert_eq!(values("x-road-id"), ["d-2"]);
    assert_eq!(values("x-other"), ["1", "2"]);
    let reply = nodes.send("GET", &target, &[last, first], "").await;
    assert_eq!(reply.error_type(), "server.clientproxy.unknown_member");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_to_the_node_that_it_names() {
    let nodes = two_nodes(406).await;
    let pinned = |server| [("X-Road-Security-Server", server)];
    assert_eq!(nodes.call("GET", ECHO, &pinned("BB/GOV/1002/node-1"), "").await.status, 200);
    assert_eq!(nodes.call("GET", ECHO, &pinned("BB/GOV/1002/node%2D1"), "").await.status, 200, "encoded");
    for (server, error) in [
        ("BB/GOV/1002/none", "server.clientproxy.invalid_security_server"),
        ("BB/COM/2001/node-1", "server.clientproxy.invalid_security_server"),
        ("BB/GOV/1002", "client.bad_request"),
        ("BB/GOV/1002/node-1/x", "client.bad_request"),
    ] {
        assert_eq!(nodes.call("GET", ECHO, &pinned(server), "").await.error_type(), error, "{server}");
    }
    for (party, status) in [("COM/9", 200), ("9", 200), ("COM/%C3%A9", 200), ("a/b/c", 400), ("", 400)] {
        let reply = nodes.call("GET", ECHO, &[("X-Road-Represented-Party", party)], "").await;
        assert_eq!(reply.status.as_u16(), status, "{party}");
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_in_maintenance_says_so_in_the_words_of_its_administrator() {
    let nodes = two_nodes(407).await;
    nodes.federation.change(|params| {
        let server = params.servers.iter_mut().find(|server| server.id.owner().code() == "1002").unwrap();
        server.maintenance = Some("jusqu'à midi".to_owned());
    });
    nodes.consumer.ready().await.unwrap();
    let reply = nodes.get(ECHO).await;
    assert_eq!(reply.error_type(), "server.clientproxy.maintenance_mode");
    assert!(reply.json()["message"].as_str().unwrap().contains("jusqu'à midi"));
    let pinned = nodes.call("GET", ECHO, &[("X-Road-Security-Server", "BB/GOV/1002/node-1")], "").await;
    assert_eq!(pinned.error_type(), "server.clientproxy.maintenance_mode");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_x_road_has_the_form_the_caller_accepts_and_the_style_of_the_setting() {
    for (style, client_error, server_error) in [
        (ErrorStyle::Lower, "client.bad_request", "server.serverproxy.unknown_service"),
        (ErrorStyle::Camel, "Client.BadRequest", "Server.ServerProxy.UnknownService"),
    ] {
        let nodes = two_nodes_with(408, |consumer, _| consumer.error_style = style).await;
        for (accept, kind) in [
            (&[][..], "application/json;charset=utf-8"),
            (&["*/*"], "application/json;charset=utf-8"),
            (&["application/json"], "application/json;charset=utf-8"),
            (&["application/xml"], "application/xml;charset=utf-8"),
            (&["text/xml;q=0.9"], "text/xml;charset=utf-8"),
            (&["text/*"], "text/xml;charset=utf-8"),
            (&["application/json, application/xml;q=0.1"], "application/xml;charset=utf-8"),
            (&["application/json", "text/xml"], "text/xml;charset=utf-8"),
        ] {
            let headers: Vec<(&str, &str)> = accept.iter().map(|accept| ("Accept", *accept)).collect();
            for (path, error, status) in [("BB/GOV", client_error, 400), ("BB/GOV/1002/fisc/none", server_error, 500)] {
                let reply = nodes.call("GET", path, &headers, "").await;
                assert_eq!(reply.status.as_u16(), status, "{accept:?}");
                assert_eq!((reply.header("content-type"), reply.header("x-road-error")), (kind, error), "{accept:?}");
                let text = String::from_utf8(reply.body.to_vec()).unwrap();
                if kind.contains("xml") {
                    assert!(text.starts_with(&format!("<error><type>{error}</type><message>")), "{text}");
                    assert!(text.contains("</message><detail>") && text.ends_with("</detail></error>"), "{text}");
                } else {
                    let json = reply.json();
                    assert_eq!(json["type"], error);
                    assert_eq!(json["detail"].as_str().unwrap().len(), 36);
                    assert_eq!(json.as_object().unwrap().len(), 3);
                }
            }
        }
        let head = nodes.call("HEAD", "BB/GOV/1002/fisc/none", &[], "").await;
        assert_eq!((head.header("x-road-error"), head.body.len()), (server_error, 0));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_an_older_node_keeps_its_style_and_decides_the_status() {
    let nodes = two_nodes(409).await;
    for (code, status) in [("Server.ServerProxy.AccessDenied", 500), ("Client.BadRequest", 400)] {
        let fault = bridge::fault::Fault::remote(code, "no way", "id-7");
        let body = bridge::transport::write_fault(&fault);
        let _fake = FakeNode::replace(&nodes, std::sync::Arc::new(move |_| Some(body.clone().into()))).await;
        nodes.consumer.ready().await.unwrap();
        let reply = nodes.get(ECHO).await;
        assert_eq!(reply.status.as_u16(), status, "{:?}", reply.body);
        assert_eq!((reply.error_type().as_str(), reply.header("x-road-error")), (code, code));
        assert_eq!((reply.json()["message"].as_str(), reply.json()["detail"].as_str()), (Some("no way"), Some("id-7")));
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_waits_for_100_continue_is_told_to_go_on_here() {
    let nodes = two_nodes(410).await;
    let mut socket = TcpStream::connect(nodes.consumer.addresses().consumer).await.unwrap();
    let head = format!(
        "POST /r1/{ECHO} HTTP/1.1\r\nhost: x\r\nx-road-client: {CLIENT}\r\nexpect: 100-continue\r\n\
         content-length: 5\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0_u8; 21];
    tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut first)).await.unwrap().unwrap();
    assert!(first.starts_with(b"HTTP/1.1 100 Continue"));
    socket.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
    assert_eq!(nodes.service.seen()[0].body, "hello");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_r1_request_is_refused_before_anything_is_sent() {
    let nodes = two_nodes(411).await;
    let long = "x".repeat(300);
    for path in
        ["BB/GOV/1002/fisc", "", "/", &format!("BB/GOV/1002/{long}/echo"), "BB/GOV/1002/fisc/..", "BB/GOV/%zz/a/b"]
    {
        let reply = nodes.get(path).await;
        assert_eq!(reply.error_type(), "client.bad_request", "{path}: {:?}", reply.body);
    }
    let unsigned = nodes.send("GET", &format!("/r1/{ECHO}"), &[], "").await;
    assert_eq!(unsigned.error_type(), "client.bad_request", "the client is mandatory");
    assert_eq!(nodes.get(&format!("{PROVIDER}/echo/%2e%2e/x")).await.error_type(), "server.serverproxy.bad_request");
    assert!(nodes.service.seen().is_empty());
    nodes.stop().await;
}
