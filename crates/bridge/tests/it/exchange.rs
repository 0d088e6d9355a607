//! Exchanges that succeed, and the evidence that they leave.

use std::collections::BTreeMap;
use std::io::Read as _;

use bridge::messagelog::{RecordKind, Role};
use bridge::testing::{ECHO, TwoNodes, two_nodes, two_nodes_on, two_nodes_with};
use trust::asic::{self, Container, Direction, Rules};
use trust::globalconf::TrustDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_signed_and_logged_on_both_sides_on_every_engine() {
    let consumers = store::testing::engines().await;
    let providers = store::testing::engines().await;
    for stores in consumers.into_iter().zip(providers) {
        let nodes = two_nodes_on(1, stores, |_, _| {}).await;
        let reply = nodes.call("GET", &format!("{ECHO}/communes/7?x=1"), &[("X-Road-Id", "m-1")], "").await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        assert_eq!(reply.header("x-road-id"), "m-1", "the service may not speak for the exchange");
        assert_eq!(reply.header("x-road-service"), ECHO);
        assert_eq!(nodes.service.seen().first().unwrap().target, "/communes/7?x=1");
        for (node, role) in [(&nodes.consumer, Role::Consumer), (&nodes.provider, Role::Provider)] {
            let found = node.message_log().count("m-1").await.unwrap();
            assert_eq!(found, [(role, RecordKind::Request), (role, RecordKind::Response)]);
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_goes_there_and_back_whole_with_direct_and_with_batch_signatures() {
    for batch in [false, true] {
        let nodes = two_nodes_with(2, |consumer, provider| {
            consumer.batch_signatures = batch;
            provider.batch_signatures = batch;
        })
        .await;
        let body: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let reply =
            nodes.call("POST", &format!("{ECHO}/x"), &[("content-type", "application/x-any")], body.clone()).await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        assert!(reply.body == body);
        let seen = nodes.service.seen();
        let seen = seen.first().unwrap();
        assert!(seen.body == body);
        assert_eq!(seen.headers.get("content-type").unwrap(), "application/x-any");
        assert!(seen.headers.contains_key("x-road-request-id"));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_and_redirects_of_the_service_pass_through_and_are_no_errors_of_the_bridge() {
    let nodes = two_nodes(3).await;
    for status in [302_u16, 404, 500] {
        let reply = nodes.get(&format!("{ECHO}/status/{status}")).await;
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(reply.header("location"), "http://elsewhere.invalid/");
        assert_eq!(reply.header("x-road-error"), "");
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_reaches_the_service() {
    let nodes = two_nodes(4).await;
    for verb in ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"] {
        let reply = nodes.call(verb, ECHO, &[], "").await;
        assert_eq!(reply.status, 200, "{verb}: {:?}", reply.body);
    }
    let seen: Vec<String> = nodes.service.seen().iter().map(|seen| seen.method.to_string()).collect();
    assert_eq!(seen, ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_connections_and_none_is_lost() {
    let nodes = std::sync::Arc::new(two_nodes(5).await);
    let mut callers = Vec::new();
    for caller in 0..16 {
        let nodes = std::sync::Arc::clone(&nodes);
        callers.push(tokio::spawn(async move {
            for turn in 0..5 {
                let id = format!("c{caller}-{turn}");
                let reply = nodes.call("GET", ECHO, &[("X-Road-Id", &id)], "").await;
                assert_eq!(reply.status, 200, "{:?}", reply.body);
                assert_eq!(nodes.consumer.message_log().count(&id).await.unwrap().len(), 2);
                assert_eq!(nodes.provider.message_log().count(&id).await.unwrap().len(), 2);
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exported_evidence_is_judged_valid_offline() {
    for batch in [false, true] {
        let nodes = two_nodes_with(6, |consumer, provider| {
            consumer.batch_signatures = batch;
            provider.batch_signatures = batch;
        })
        .await;
        assert_eq!(nodes.call("POST", ECHO, &[("X-Road-Id", "e-1")], "a body").await.status, 200);
        let trust = TrustDir::load(&verification_configuration(&nodes).await).unwrap();
        for (only, direction) in [("requestOnly", Direction::Request), ("responseOnly", Direction::Response)] {
            let target = format!(
                "/asic?queryId=e-1&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit&{only}&unique&force"
            );
            let reply = nodes.send("GET", &target, &[], "").await;
            assert_eq!(reply.status, 200, "{:?}", reply.body);
            assert_eq!(reply.header("content-type"), asic::MIMETYPE);
            let container = Container::read(&reply.body).unwrap();
            let verdict = asic::verify(&container, &trust, &Rules::default()).unwrap();
            assert_eq!(verdict.message.direction, direction);
            assert_eq!(verdict.message.id.as_deref(), Some("e-1"));
            assert!(verdict.time_stamp.is_some());
        }
        let target = "/asic?queryId=e-1&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit";
        let both = nodes.send("GET", target, &[], "").await;
        assert_eq!(unzip(&both.body).len(), 2);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_is_given_to_the_own_subsystems_only_and_errors_say_what_to_do() {
    let nodes = two_nodes(7).await;
    for (target, status) in [
        ("/asic?queryId=x&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit", 404),
        ("/asic?queryId=x&xRoadInstance=BB&memberClass=GOV&memberCode=1002&subsystemCode=fisc", 401),
        ("/asic?xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit", 400),
    ] {
        let reply = nodes.send("GET", target, &[], "").await;
        assert_eq!(reply.status.as_u16(), status, "{target}");
        assert!(!reply.error_type().is_empty());
    }
    nodes.stop().await;
}

async fn verification_configuration(nodes: &TwoNodes) -> BTreeMap<String, Vec<u8>> {
    let reply = nodes.send("GET", "/verificationconf", &[], "").await;
    assert_eq!(reply.status, 200);
    unzip(&reply.body)
}

fn unzip(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut files = BTreeMap::new();
    for at in 0..archive.len() {
        let mut file = archive.by_index(at).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        files.insert(file.name().to_owned(), content);
    }
    files
}
