//! Large bodies: they pass with bounded memory, whole or not at all, and nobody sees what was not verified.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bridge::access::AccessRight;
use bridge::api;
use bridge::config::{NodeConfig, PeerVersion};
use bridge::message::RestResponse;
use bridge::messagelog::{RecordKind, Role};
use bridge::testing::stream::{StreamService, digest_text, made_bytes, made_sha512};
use bridge::testing::wire::{self, FakeNode};
use bridge::testing::{CLIENT, ECHO, TwoNodes, two_nodes, two_nodes_with};
use bridge::transport::{self, Envelope, Kind, Received};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const MIB: u64 = 1024 * 1024;

async fn nodes(seed: u64, service: &StreamService, change: impl FnOnce(&mut NodeConfig, &mut NodeConfig)) -> TwoNodes {
    two_nodes_with(seed, |consumer, provider| {
        for config in [&mut *consumer, &mut *provider] {
            config.limits.body_bytes_max = 8 * 1024 * MIB;
        }
        for declared in &mut provider.services {
            declared.base_url = service.url();
        }
        change(consumer, provider);
    })
    .await
}

/// Resident memory of this process: both nodes, the service and the caller.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Runs something and answers with its outcome and by how much the memory grew at most.
async fn growth<T>(run: impl Future<Output = T>) -> (T, u64) {
    let (before, peak, done) = (resident_bytes(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (seen, ended) = (Arc::clone(&peak), Arc::clone(&done));
    let watch = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            seen.fetch_max(resident_bytes(), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let outcome = run.await;
    done.store(true, Ordering::Relaxed);
    watch.join().unwrap();
    (outcome, peak.load(Ordering::Relaxed).saturating_sub(before))
}

/// Set for the process that measures.
const ALONE: &str = "BAOBAB_STREAM_ALONE";

#[test]
fn a_body_of_any_size_goes_there_and_back_in_bounded_memory() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.unwrap().block_on(measure());
    }
    // Memory is that of a process: the other tests may not share it, so this test runs itself once more.
    let myself = std::env::current_exe().unwrap();
    let measured = ["--exact", "streaming::a_body_of_any_size_goes_there_and_back_in_bounded_memory", "--nocapture"];
    let output = std::process::Command::new(myself).args(measured).env(ALONE, "1").output().unwrap();
    let told = [output.stderr, output.stdout].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[expect(clippy::print_stderr, reason = "the figures are for whoever runs it with a size of their own")]
async fn measure() {
    let mib: u64 = std::env::var_os("BAOBAB_STREAM_MIB").map_or(192, |text| text.to_str().unwrap().parse().unwrap());
    let length = mib * MIB + 7;
    let service = StreamService::start().await;
    let nodes = nodes(400, &service, |_, _| {}).await;
    let expected = made_sha512(length);
    // Warm: connections, the log, the allocator.
    nodes.upload(&format!("{ECHO}/digest"), &[], 8 * MIB, false).await.unwrap();
    nodes.download(&format!("{ECHO}/made/{}", 8 * MIB)).await.unwrap();
    let started = Instant::now();
    let (up, grown_up) = growth(nodes.upload(&format!("{ECHO}/digest"), &[("X-Road-Id", "up")], length, false)).await;
    let up = up.unwrap();
    assert_eq!(up.text(), format!("{length} {length} {}", digest_text(&expected)), "{:?}", up.status);
    let (down, grown_down) = growth(nodes.download(&format!("{ECHO}/made/{length}"))).await;
    let down = down.unwrap();
    assert_eq!((down.status.as_u16(), down.length), (200, length), "{}", down.text());
    assert!(down.sha512 == expected);
    assert_eq!(down.headers["content-length"], length.to_string(), "what is verified has a known length");
    eprintln!("{mib} MiB up and down in {:?}, memory grew by {grown_up} and {grown_down} bytes", started.elapsed());
    // The bound of the contract is 64 MiB for each node; here both nodes, the service and the caller share it.
    assert!(grown_up < 64 * MIB && grown_down < 64 * MIB, "memory grew by {grown_up} and {grown_down} bytes");
    for (node, role) in [(&nodes.consumer, Role::Consumer), (&nodes.provider, Role::Provider)] {
        let found = node.message_log().count("up").await.unwrap();
        assert_eq!(found, [(role, RecordKind::Request), (role, RecordKind::Response)]);
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_around_every_threshold_arrive_whole_with_direct_and_with_batch_signatures() {
    for batch in [false, true] {
        let service = StreamService::start().await;
        let nodes = nodes(401, &service, |consumer, provider| {
            for config in [consumer, provider] {
                config.batch_signatures = batch;
                config.limits.logged_body_bytes_max = MIB;
            }
        })
        .await;
        let memory = bridge::spool::MEMORY_BYTES_MAX as u64;
        for length in [0, 1, memory - 1, memory, memory + 1, MIB, MIB + 1, 3 * MIB + 7] {
            let expected = digest_text(&made_sha512(length));
            let up = nodes.upload(&format!("{ECHO}/digest"), &[], length, false).await.unwrap();
            assert_eq!(up.text().split(' ').next_back().unwrap(), expected, "{length}: {}", up.text());
            for kind in ["made", "known"] {
                let down = nodes.download(&format!("{ECHO}/{kind}/{length}")).await.unwrap();
                assert_eq!((down.status.as_u16(), down.length), (200, length), "{}", down.text());
                assert_eq!(digest_text(&down.sha512), expected);
            }
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_dies_in_mid_answer_is_a_fault_and_no_short_body() {
    let service = StreamService::start().await;
    let nodes = nodes(402, &service, |_, _| {}).await;
    let down = nodes.download(&format!("{ECHO}/cut/{}", 2 * MIB)).await.unwrap();
    assert_eq!(down.status, 500);
    assert!(down.text().contains("server.serverproxy.service_failed"), "{}", down.text());
    assert!(down.text().contains("did not come whole"), "{}", down.text());
    // The connection between the nodes lives on.
    assert_eq!(nodes.download(&format!("{ECHO}/made/{MIB}")).await.unwrap().length, MIB);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_dies_in_mid_request_leaves_no_trace_at_the_service() {
    let service = StreamService::start().await;
    let nodes = nodes(403, &service, |_, _| {}).await;
    for length in [1_000, 2 * MIB] {
        let id = format!("died-{length}");
        nodes.upload(&format!("{ECHO}/digest"), &[("X-Road-Id", &id)], length, true).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(service.requests(), 0);
        for node in [&nodes.consumer, &nodes.provider] {
            assert_eq!(
                node.message_log().count(&id).await.unwrap().len(),
                0,
                "nothing was signed, so nothing is logged"
            );
        }
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_connection_is_cut_in_mid_message_leaves_nothing_behind() {
    let service = StreamService::start().await;
    let nodes = nodes(415, &service, |_, _| {}).await;
    let request = wire::request(&format!("{ECHO}/digest"), &[], "cut");
    let body = Some(made_bytes(0, 2 * MIB));
    let envelope = wire::sign(&nodes.federation, &nodes.consumer_keys, request.bytes().clone(), body, false);
    let bytes = transport::write(Kind::Request, "xtopTEST", &envelope);
    let address = nodes.provider.addresses().transport;
    let mut stream = wire::connect(address, &nodes.consumer_keys).await.unwrap();
    let kind = transport::content_type("xtopTEST");
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", bytes.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&bytes[..bytes.len() - 200]).await.unwrap();
    stream.flush().await.unwrap();
    until(|| nodes.provider.spooled_bytes() > 0).await;
    drop(stream);
    until(|| nodes.provider.spooled_bytes() == 0).await;
    assert_eq!(service.requests(), 0);
    assert_eq!(nodes.provider.message_log().count("m-cut").await.unwrap().len(), 0);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_stalls_in_mid_body_is_told_so_and_the_service_sees_nothing() {
    let service = StreamService::start().await;
    let nodes = nodes(404, &service, |consumer, _| {
        consumer.limits.request_timeout = Duration::from_millis(300);
        consumer.limits.bytes_per_s_min = 10 * MIB;
    })
    .await;
    let mut socket = TcpStream::connect(nodes.consumer.addresses().consumer).await.unwrap();
    let head = format!(
        "POST /r1/{ECHO}/digest HTTP/1.1\r\nhost: x\r\nx-road-client: {CLIENT}\r\ncontent-length: {}\r\n\r\n",
        2 * MIB
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&made_bytes(0, MIB)).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("client.timeout"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(service.requests(), 0);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_dies_in_mid_message_or_signs_something_else_shows_nothing_to_the_application() {
    let nodes = Arc::new(two_nodes(405).await);
    for wrong in ["cut", "altered"] {
        let playing = Arc::clone(&nodes);
        let reaction = Arc::new(move |request: Envelope| {
            let request = bridge::message::RestRequest::parse(request.message.bytes().clone()).unwrap();
            let response =
                RestResponse::from_http(&request, &request.hash(None), 200, "OK", std::iter::empty()).unwrap();
            let body = Some(made_bytes(0, 900_000));
            let head = response.bytes().clone();
            let answer = wire::sign(&playing.federation, &playing.provider_keys, head, body, false);
            let mut bytes = transport::write(Kind::Response, "xtopTEST", &Envelope { ocsp: Vec::new(), ..answer });
            match wrong {
                "cut" => bytes.truncate(500_000),
                _ => bytes[500_000] ^= 1,
            }
            Some(bytes)
        });
        let _fake = FakeNode::replace(&nodes, reaction).await;
        nodes.consumer.ready().await.unwrap();
        let reply = nodes.get(ECHO).await;
        assert_eq!(reply.status, 500, "{wrong}");
        assert!(reply.error_type().starts_with("server.clientproxy."), "{}", reply.error_type());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_takes_nothing_in_mid_request_is_given_up() {
    let service = StreamService::start().await;
    let nodes = nodes(413, &service, |consumer, _| consumer.limits.exchange_timeout = Duration::from_secs(1)).await;
    let _fake = FakeNode::deaf(&nodes).await;
    nodes.consumer.ready().await.unwrap();
    let reply = nodes.upload(&format!("{ECHO}/digest"), &[], 64 * MIB, false).await.unwrap();
    assert!(reply.text().contains("server.clientproxy.timeout"), "{}", reply.text());
    assert!(reply.text().contains("took nothing"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_does_not_read_its_answer_holds_it_for_a_while_only() {
    // The same limit holds for the provider's node, which a busy machine may keep from answering for so long: then a longer one serves.
    let mut held = false;
    for seconds in [2, 8, 32] {
        let service = StreamService::start().await;
        let timeout = Duration::from_secs(seconds);
        let nodes = nodes(414, &service, |consumer, _| consumer.limits.exchange_timeout = timeout).await;
        let mut socket = TcpStream::connect(nodes.consumer.addresses().consumer).await.unwrap();
        let head = format!("GET /r1/{ECHO}/made/{} HTTP/1.1\r\nhost: x\r\nx-road-client: {CLIENT}\r\n\r\n", 32 * MIB);
        socket.write_all(head.as_bytes()).await.unwrap();
        held = comes_to_hold(&nodes, 32 * MIB, &socket).await;
        if held {
            until(|| nodes.consumer.spooled_bytes() == 0).await;
            assert_eq!(nodes.download(&format!("{ECHO}/made/{MIB}")).await.unwrap().length, MIB);
        }
        drop(socket);
        nodes.stop().await;
        if held {
            break;
        }
    }
    assert!(held, "no answer came within 32 s");
}

/// Waits until the consumer's node holds more than so many bytes; no where it tells its application instead that the provider's was too slow.
async fn comes_to_hold(nodes: &TwoNodes, bytes: u64, application: &TcpStream) -> bool {
    let mut first = [0];
    loop {
        let answered = tokio::time::timeout(Duration::from_millis(10), application.peek(&mut first)).await.is_ok();
        let holds = nodes.consumer.spooled_bytes() > bytes;
        if holds || answered {
            return holds;
        }
    }
}

async fn until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_mins(2), "it never came to be");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_is_a_clear_refusal_on_either_side_and_over_when_there_is_room() {
    for side in ["consumer", "provider"] {
        let service = StreamService::start().await;
        let nodes = nodes(406, &service, |consumer, provider| {
            let config = if side == "consumer" { consumer } else { provider };
            config.limits.spool_bytes_max = 2 * MIB;
            config.limits.logged_body_bytes_max = 0;
        })
        .await;
        let reply = if side == "consumer" {
            nodes.download(&format!("{ECHO}/made/{}", 4 * MIB)).await.unwrap()
        } else {
            nodes.upload(&format!("{ECHO}/digest"), &[], 4 * MIB, false).await.unwrap()
        };
        assert_eq!(reply.status, 500, "{side}");
        assert!(
            reply.text().contains("proxy.io_error") && reply.text().contains("spool_bytes_max"),
            "{}",
            reply.text()
        );
        assert_eq!(service.requests(), 0);
        for _ in 0..3 {
            assert_eq!(nodes.upload(&format!("{ECHO}/digest"), &[], MIB, false).await.unwrap().status, 200, "{side}");
            assert_eq!(nodes.download(&format!("{ECHO}/made/{MIB}")).await.unwrap().length, MIB, "{side}");
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_that_the_provider_refuses_ends_in_its_fault_and_not_in_a_broken_connection() {
    let service = StreamService::start().await;
    let nodes = nodes(407, &service, |_, provider| provider.limits.body_bytes_max = MIB).await;
    let reply = nodes.upload(&format!("{ECHO}/digest"), &[], 24 * MIB, false).await.unwrap();
    assert!(reply.text().contains("server.serverproxy.body_too_large"), "{}", reply.text());
    assert_eq!(nodes.upload(&format!("{ECHO}/digest"), &[], MIB, false).await.unwrap().status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_small_bodies_pass_beside_each_other() {
    let service = StreamService::start().await;
    let nodes = Arc::new(nodes(408, &service, |_, _| {}).await);
    let mut callers = Vec::new();
    for caller in 0..12_u64 {
        let nodes = Arc::clone(&nodes);
        callers.push(tokio::spawn(async move {
            let length = if caller % 3 == 0 { 3 * MIB + caller } else { 1_000 + caller };
            for _ in 0..2 {
                let expected = digest_text(&made_sha512(length));
                let up = nodes.upload(&format!("{ECHO}/digest"), &[], length, false).await.unwrap();
                assert_eq!(up.text().split(' ').next_back().unwrap(), expected, "{}", up.text());
                let down = nodes.download(&format!("{ECHO}/made/{length}")).await.unwrap();
                assert_eq!(digest_text(&down.sha512), expected);
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_wait_together_share_a_signature_and_each_is_good_evidence() {
    let nodes = Arc::new(
        two_nodes_with(409, |consumer, provider| {
            consumer.batch_signatures = true;
            provider.batch_signatures = true;
        })
        .await,
    );
    let mut signatures = std::collections::BTreeSet::new();
    let mut messages = 0;
    for round in 0..6 {
        let calls: Vec<_> = (0..24)
            .map(|call| {
                let nodes = Arc::clone(&nodes);
                tokio::spawn(async move {
                    let id = format!("b-{round}-{call}");
                    let body = if call % 2 == 0 { "" } else { "a body" };
                    let reply = nodes.call("POST", ECHO, &[("X-Road-Id", &id)], body).await;
                    assert_eq!(reply.status, 200, "{:?}", reply.body);
                    id
                })
            })
            .collect();
        for call in calls {
            let id = call.await.unwrap();
            for record in nodes.provider.message_log().find(&id).await.unwrap() {
                messages += 1;
                signatures.insert((record.kind == RecordKind::Request, signature_of(&record.content)));
            }
        }
    }
    assert!(signatures.len() < messages, "{} signatures for {messages} messages", signatures.len());
    let target = "/asic?queryId=b-0-0&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit&requestOnly&unique&force";
    assert_eq!(nodes.send("GET", target, &[], "").await.status, 200);
}

/// A member whose subsystem is a client of the bank's node.
const NEIGHBOUR: &str = "BB/COM/2002/loans";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_member_of_a_node_has_batches_of_its_own() {
    let nodes = Arc::new(
        two_nodes_with(419, |consumer, provider| {
            consumer.batch_signatures = true;
            consumer.clients.push(NEIGHBOUR.parse().unwrap());
            let service = ECHO.parse().unwrap();
            provider.rights.push(AccessRight { client: NEIGHBOUR.parse().unwrap(), service, endpoint: None });
        })
        .await,
    );
    take_in_the_neighbour(&nodes).await;
    let members = [CLIENT, NEIGHBOUR];
    let mut signatures = [(); 2].map(|()| std::collections::BTreeSet::new());
    let mut messages = 0;
    for round in 0..6 {
        let calls: Vec<_> = (0..24)
            .map(|call| {
                let (nodes, id) = (Arc::clone(&nodes), format!("m-{round}-{call}"));
                tokio::spawn(async move {
                    let headers = [("X-Road-Client", members[call % 2]), ("X-Road-Id", id.as_str())];
                    let reply = nodes.send("POST", &format!("/r1/{ECHO}"), &headers, "a body").await;
                    assert_eq!(reply.status, 200, "{:?}", reply.body);
                    (call % 2, id)
                })
            })
            .collect();
        for call in calls {
            let (member, id) = call.await.unwrap();
            let records = nodes.provider.message_log().find(&id).await.unwrap();
            let request = records.into_iter().find(|record| record.kind == RecordKind::Request).unwrap();
            signatures[member].insert(signature_of(&request.content));
            messages += 1;
        }
    }
    let [of_owner, of_neighbour] = &signatures;
    assert!(of_owner.is_disjoint(of_neighbour), "a signature speaks for one member");
    for own in &signatures {
        assert!(own.len() < messages / 2, "{} signatures for {} messages", own.len(), messages / 2);
    }
}

/// The neighbour is registered, and the bank's node gets a signing key that is certified for it.
async fn take_in_the_neighbour(nodes: &TwoNodes) {
    nodes.federation.change(|params| {
        let mut member = params.members.iter().find(|member| member.id.code() == "2001").unwrap().clone();
        member.id = "BB/COM/2002".parse().unwrap();
        member.subsystems.iter_mut().for_each(|subsystem| "loans".clone_into(&mut subsystem.code));
        params.members.push(member);
        let server = params.servers.iter_mut().find(|server| server.id.owner().code() == "2001").unwrap();
        server.clients.push(NEIGHBOUR.parse().unwrap());
    });
    nodes.consumer.ready().await.unwrap();
    nodes.provider.ready().await.unwrap();
    let key =
        nodes.api_key(&nodes.consumer, &[api::Role::XroadSecurityOfficer, api::Role::XroadRegistrationOfficer]).await;
    let wanted = serde_json::json!({
        "key_label": "neighbour",
        "csr_generate_request": {
            "key_usage_type": "SIGNING", "csr_format": "DER", "ca_name": "Test CA", "member_id": "BB:COM:2002",
            "subject_field_values": {},
        },
    });
    let ask =
        async |method, target: &str, body: Bytes| nodes.api(&nodes.consumer, method, target, Some(&key), body).await;
    let made = ask("POST", "/tokens/0/keys-with-csrs", wanted.to_string().into()).await.json();
    let (id, csr) = (made["key"]["id"].as_str().unwrap(), made["csr_id"].as_str().unwrap());
    let request = ask("GET", &format!("/keys/{id}/csrs/{csr}?csr_format=DER"), Bytes::new()).await.body;
    let request = trust::cert::CertificateRequest::from_der(&request).unwrap();
    let country = request.subject().get(trust::cert::NameAttribute::Country);
    assert_eq!(country.as_deref(), Some("SN"), "nobody said one: that of the node's certificate");
    let (certificate, _) = nodes.federation.certify(&bridge::NodeRequests { sign: request.clone(), auth: request });
    let imported = ask("POST", "/token-certificates", certificate.der().to_vec().into()).await;
    assert_eq!(imported.json()["active"], true, "{:?}", imported.body);
}

fn signature_of(content: &bridge::messagelog::Content) -> Bytes {
    content.signature.whole().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_of_a_provider_the_living_one_answers_and_a_pin_is_obeyed() {
    let nodes = two_nodes(410).await;
    let second = "BB/GOV/1002/node-2";
    nodes.federation.change(|params| {
        let mut dead = params.servers.iter().find(|server| server.id.owner().code() == "1002").unwrap().clone();
        dead.id = second.parse().unwrap();
        dead.address = Some("127.0.0.1:9".to_owned());
        dead.auth_cert_hashes.clear();
        params.servers.insert(0, dead);
    });
    nodes.consumer.ready().await.unwrap();
    let started = Instant::now();
    for _ in 0..10 {
        assert_eq!(nodes.get(ECHO).await.status, 200);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "the dead node holds nobody up");
    let pinned = nodes.call("GET", ECHO, &[("X-Road-Security-Server", second)], "").await;
    assert_eq!(pinned.error_type(), "server.clientproxy.network_error");
    let living = nodes.call("GET", ECHO, &[("X-Road-Security-Server", "BB/GOV/1002/node-1")], "").await;
    assert_eq!(living.status, 200);
    let unknown = nodes.call("GET", ECHO, &[("X-Road-Security-Server", "BB/GOV/1002/node-3")], "").await;
    assert_eq!(unknown.error_type(), "server.clientproxy.invalid_security_server");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_calling_node_that_is_too_old_is_refused_with_the_version_that_it_needs() {
    let nodes = two_nodes_with(411, |_, provider| provider.limits.peer_version_min = Some(PeerVersion(99, 0, 0))).await;
    let reply = nodes.get(ECHO).await;
    assert_eq!(reply.error_type(), "server.serverproxy.client_proxy_version_not_supported");
    assert!(reply.json()["message"].as_str().unwrap().contains("99.0.0"));
    nodes.stop().await;
    let nodes = two_nodes_with(412, |_, provider| provider.limits.peer_version_min = Some(PeerVersion(7, 4, 0))).await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    let request = wire::request(ECHO, &[], "old");
    let envelope = wire::sign(&nodes.federation, &nodes.consumer_keys, request.bytes().clone(), None, false);
    match nodes.post(&nodes.consumer_keys, &envelope).await.unwrap() {
        Received::Fault(fault) => assert!(fault.code().ends_with("client_proxy_version_not_supported"), "{fault}"),
        Received::Message(_) => assert_eq!("answered", "refused: the peer named no version"),
    }
    nodes.stop().await;
}
