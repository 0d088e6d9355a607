//! Slow, half-closed and absent peers, full disks, dead authorities.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bridge::fault::Fault;
use bridge::testing::wire::FakeNode;
use bridge::testing::{CLIENT, ECHO, Outage, two_nodes, two_nodes_with};
use bridge::transport::write_fault;
use store::{Store, StoreError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::soap_exchange;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_closes_its_half_still_gets_its_answer() {
    let nodes = two_nodes(300).await;
    let mut socket = TcpStream::connect(nodes.consumer.addresses().consumer).await.unwrap();
    let request = format!("GET /r1/{ECHO} HTTP/1.1\r\nhost: x\r\nx-road-client: {CLIENT}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_dribbles_its_request_is_cut_off() {
    let nodes = two_nodes_with(301, |consumer, provider| {
        for limits in [&mut consumer.limits, &mut provider.limits] {
            limits.head_timeout = Duration::from_millis(300);
            limits.request_timeout = Duration::from_millis(300);
        }
    })
    .await;
    // A head that never ends.
    let mut socket = TcpStream::connect(nodes.consumer.addresses().consumer).await.unwrap();
    socket.write_all(b"GET /r1/").await.unwrap();
    let mut rest = Vec::new();
    let started = Instant::now();
    let _ = socket.read_to_end(&mut rest).await;
    assert!(started.elapsed() < Duration::from_secs(10));
    // A body that never ends.
    let mut socket = TcpStream::connect(nodes.consumer.addresses().consumer).await.unwrap();
    let head =
        format!("POST /r1/{ECHO} HTTP/1.1\r\nhost: x\r\nx-road-client: {CLIENT}\r\ncontent-length: 10\r\n\r\nabc");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("client.timeout"), "{}", String::from_utf8_lossy(&answer));
    // A peer that never ends its handshake.
    let mut socket = TcpStream::connect(nodes.provider.addresses().transport).await.unwrap();
    socket.write_all(&[0x16, 0x03]).await.unwrap();
    let started = Instant::now();
    let _ = socket.read_to_end(&mut rest).await;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(nodes.service.seen().is_empty());
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_service_and_a_silent_node_end_in_a_timeout() {
    let nodes = two_nodes_with(302, |consumer, provider| {
        provider.limits.service_timeout = Duration::from_millis(200);
        consumer.limits.exchange_timeout = Duration::from_secs(2);
    })
    .await;
    let reply = nodes.get(&format!("{ECHO}/slow")).await;
    assert_eq!(reply.error_type(), "server.serverproxy.timeout");
    assert!(
        !reply.json()["message"].as_str().unwrap().contains("127.0.0.1"),
        "addresses behind the node are nobody's matter"
    );
    let _fake = FakeNode::replace(&nodes, Arc::new(|_| None)).await;
    nodes.consumer.ready().await.unwrap();
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.clientproxy.timeout");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_or_service_that_is_away_is_a_network_error_and_its_return_is_noticed() {
    let nodes = two_nodes_with(303, |_, provider| {
        for service in &mut provider.services {
            service.base_url = "http://127.0.0.1:9".to_owned();
        }
    })
    .await;
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.serverproxy.network_error");
    nodes.federation.change(|params| {
        for server in params.servers.iter_mut().filter(|server| server.id.owner().code() == "1002") {
            server.address = Some("127.0.0.1:9".to_owned());
        }
    });
    nodes.consumer.ready().await.unwrap();
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.clientproxy.network_error");
    let address = nodes.provider.addresses().transport.to_string();
    nodes.federation.change(|params| {
        for server in params.servers.iter_mut().filter(|server| server.id.owner().code() == "1002") {
            server.address = Some(address.clone());
        }
    });
    nodes.consumer.ready().await.unwrap();
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.serverproxy.network_error");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_peer_closed_is_replaced_without_the_caller_noticing() {
    let nodes = two_nodes_with(304, |_, provider| provider.limits.head_timeout = Duration::from_millis(200)).await;
    for method in ["GET", "POST", "POST", "GET"] {
        assert_eq!(nodes.call(method, ECHO, &[], "").await.status, 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_carried_out_is_sent_to_nobody_again_unless_it_changes_nothing() {
    let nodes = two_nodes(309).await;
    let arrivals = Arc::new(AtomicUsize::new(0));
    let (count, fault) =
        (Arc::clone(&arrivals), write_fault(&Fault::remote("server.test", "this node is a test", "id")));
    let reaction = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(fault.clone().into())
    });
    let _fake = FakeNode::hanging_up(&nodes, reaction).await;
    nodes.consumer.ready().await.unwrap();
    let soap = soap_exchange::request("getState", "v1", "s-1", "", "");
    for (target, content_type) in [(format!("/r1/{ECHO}"), "text/plain"), ("/".to_owned(), "text/xml")] {
        arrivals.store(0, Ordering::SeqCst);
        let headers = [("x-road-client", CLIENT), ("content-type", content_type)];
        let mut sent = 0;
        // The first request makes the connection, the second one finds it. A machine that is busy may find it too old, once.
        let answer = loop {
            let answer = nodes.send("POST", &target, &headers, soap.clone()).await;
            sent += 1;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(arrivals.load(Ordering::SeqCst), sent, "each request arrives once: {text}");
            if !text.contains("this node is a test") || sent > 20 {
                break text;
            }
        };
        assert!(answer.contains("Whether the request was carried out is not known"), "{answer}");
        assert!(answer.to_lowercase().replace('_', "").contains("server.clientproxy.networkerror"), "{answer}");
    }
    arrivals.store(0, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(nodes.get(ECHO).await.error_type(), "server.test", "what changes nothing is asked again");
    }
    assert!((2..=3).contains(&arrivals.load(Ordering::SeqCst)));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_refused_while_it_is_being_logged_is_logged_with_its_refusal() {
    const BYTES: usize = 400_000;
    let nodes = two_nodes(310).await;
    let fault = write_fault(&Fault::remote("server.test", "this node refuses", "id"));
    let _fake = FakeNode::refusing(&nodes, fault, BYTES).await;
    nodes.consumer.ready().await.unwrap();
    // The disk takes its time: nothing is written before the refusal has come.
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let (store, wait) = (nodes.consumer.message_log().store().clone(), std::sync::Mutex::new(wait));
    let hold = move |tx: &mut store::Tx<'_>| {
        tx.execute("UPDATE bridge_mark SET id = id", &[])?;
        let _ = wait.lock().unwrap().recv();
        Ok::<_, StoreError>(())
    };
    let held = tokio::spawn(async move { store.tx("test.hold", hold).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let freed = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let_go.send(()).unwrap();
    };
    let (reply, ()) = tokio::join!(nodes.call("POST", ECHO, &[("X-Road-Id", "early")], vec![b'x'; BYTES]), freed);
    held.await.unwrap().unwrap();
    assert_eq!(reply.error_type(), "server.test", "{:?}", reply.body);
    let records = nodes.consumer.message_log().find("early").await.unwrap();
    let outcomes: Vec<&str> = records.iter().map(|record| record.outcome.as_str()).collect();
    assert_eq!(outcomes, ["server.test"]);
    assert_eq!(nodes.consumer.commit_now().await, Ok(1), "no job passed it by");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_is_answered_that_is_not_logged_and_space_lets_traffic_flow_again() {
    for side in ["consumer", "provider"] {
        let nodes = two_nodes(305).await;
        let node = if side == "consumer" { &nodes.consumer } else { &nodes.provider };
        let store = node.message_log().store().clone();
        limit_pages(&store, "PRAGMA max_page_count = 60").await;
        let mut refused = 0;
        let body = vec![b'x'; 50_000];
        for turn in 0..20 {
            let id = format!("full-{turn}");
            let reply = nodes.call("POST", ECHO, &[("X-Road-Id", &id)], body.clone()).await;
            let logged = node.message_log().count(&id).await.unwrap().len();
            if reply.status == 200 {
                assert_eq!(logged, 2, "an answered exchange is in the log");
            } else {
                assert!(reply.error_type().ends_with("proxy.logging_failed"), "{side}: {:?}", reply.body);
                refused += 1;
            }
        }
        assert!(refused > 0, "the disk of the {side} never filled");
        limit_pages(&store, "PRAGMA max_page_count = 100000").await;
        assert_eq!(nodes.call("POST", ECHO, &[], body).await.status, 200, "{side}");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_time_stamps_exchanges_go_on_and_the_stamps_are_made_later() {
    let nodes = two_nodes(306).await;
    nodes.federation.set_outage(Outage::TimeStamps, true);
    assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", "t-1")], "").await.status, 200);
    assert!(nodes.consumer.stamp_now().await.is_err());
    let target = "/asic?queryId=t-1&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit&requestOnly&unique&force";
    assert_eq!(nodes.send("GET", target, &[], "").await.error_type(), "server.clientproxy.timestamping_failed");
    nodes.federation.set_outage(Outage::TimeStamps, false);
    assert_eq!(nodes.consumer.stamp_now().await, Ok(2));
    assert_eq!(nodes.consumer.stamp_now().await, Ok(0));
    assert_eq!(nodes.send("GET", target, &[], "").await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_ocsp_responder_exchanges_go_on_until_what_is_known_is_too_old() {
    let nodes = two_nodes(307).await;
    nodes.federation.set_validity(Duration::from_hours(24));
    nodes.federation.set_outage(Outage::Ocsp, true);
    nodes.clock.advance(Duration::from_mins(50));
    assert!(nodes.consumer.ready().await.is_err());
    assert!(nodes.provider.ready().await.is_err());
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.clock.advance(Duration::from_secs(700));
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.clientproxy.cannot_create_signature");
    nodes.federation.set_outage(Outage::Ocsp, false);
    nodes.consumer.ready().await.unwrap();
    nodes.provider.ready().await.unwrap();
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_goes_on_with_the_configuration_that_it_kept() {
    let nodes = two_nodes(308).await;
    let kept = nodes.folder().join("2001/state/globalconf/BB");
    assert!(kept.join("directory").is_file() && kept.join("shared-params.xml").is_file());
    nodes.stop().await;
}

async fn limit_pages(store: &Store, pragma: &'static str) {
    store.tx("test.limit", move |tx| tx.query(pragma, &[]).map(|_| ())).await.unwrap_or_else(|error: StoreError| {
        assert_eq!(error.to_string(), "the limit is set");
    });
}
