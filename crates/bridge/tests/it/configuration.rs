//! The global configuration under outages, attacks and wrong clocks. Time is the test's; nothing is restarted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::testing::{ECHO, Federation, Outage, Poison, TwoNodes, two_nodes, two_nodes_with};
use civic::Clock as _;
use civic::testing::SeededRandom;
use tokio::io::AsyncWriteExt as _;
use trust::globalconf::{Anchor, AnchorSource, ConfigurationVersion, read_anchor, write_anchor};

/// Waits until an exchange succeeds by itself.
async fn flows_again(nodes: &TwoNodes) {
    let started = Instant::now();
    loop {
        let reply = nodes.get(ECHO).await;
        if reply.status == 200 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", reply.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn both_ready(nodes: &TwoNodes) {
    nodes.consumer.ready().await.unwrap();
    nodes.provider.ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cut_of_hours_traffic_flows_again_without_a_restart() {
    let nodes = two_nodes_with(401, |consumer, provider| {
        for config in [consumer, provider] {
            config.rhythm.configuration = Duration::from_millis(50);
            config.rhythm.ocsp = Duration::from_millis(50);
        }
    })
    .await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    for outages in [vec![Outage::Configuration, Outage::Ocsp], vec![Outage::Configuration]] {
        for outage in &outages {
            nodes.federation.set_outage(*outage, true);
        }
        nodes.clock.advance(Duration::from_hours(5));
        tokio::time::sleep(Duration::from_millis(300)).await;
        let refused = nodes.get(ECHO).await;
        assert_eq!(refused.error_type(), "server.clientproxy.global_conf_outdated");
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("expired at") && message.contains("goes on by itself"), "{message}");
        for outage in &outages {
            nodes.federation.set_outage(*outage, false);
        }
        flows_again(&nodes).await;
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_configuration_is_refused_and_the_good_one_stays() {
    let nodes = two_nodes(402).await;
    for (poison, reason) in [
        (Poison::ForeignSignature, "anchor"),
        (Poison::Altered, "signature"),
        (Poison::Truncated, "malformed"),
        (Poison::OtherFile, "digest"),
        (Poison::OtherInstance, "instance ZZ"),
        (Poison::Empty, "no shared parameters"),
    ] {
        // Something new to fetch: a file that is the same is not fetched again.
        nodes.federation.change(|params| params.ocsp_freshness_s += 1);
        nodes.federation.poison(Some(poison));
        let error = nodes.consumer.ready().await.unwrap_err();
        assert!(error.contains(reason), "{poison:?}: {error}");
        assert_eq!(nodes.get(ECHO).await.status, 200, "{poison:?}: the good one stays");
        nodes.federation.poison(None);
        both_ready(&nodes).await;
        assert_eq!(nodes.get(ECHO).await.status, 200);
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_configuration_is_refused_while_a_newer_one_holds_and_after() {
    let nodes = two_nodes(403).await;
    let old = nodes.federation.record();
    nodes.clock.advance(Duration::from_mins(5));
    both_ready(&nodes).await;
    nodes.federation.play_back(Some(old));
    let error = nodes.consumer.ready().await.unwrap_err();
    assert!(error.contains("played back"), "{error}");
    assert_eq!(nodes.get(ECHO).await.status, 200, "the good one stays");
    nodes.clock.advance(Duration::from_mins(20));
    let error = nodes.consumer.ready().await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.clientproxy.global_conf_outdated");
    nodes.federation.play_back(None);
    both_ready(&nodes).await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_whose_clock_was_ahead_is_believed_again_once_it_proves_to_be_alive() {
    let nodes = two_nodes(404).await;
    nodes.federation.set_validity(Duration::from_hours(24));
    both_ready(&nodes).await;
    nodes.federation.set_validity(Duration::from_mins(10));
    let mut refused = 0;
    for _ in 0..20 {
        nodes.clock.advance(Duration::from_mins(5));
        match nodes.consumer.ready().await {
            Ok(()) => break,
            Err(error) => {
                assert!(error.contains("the clock of the source was ahead"), "{error}");
                refused += 1;
            }
        }
    }
    assert!((12..=14).contains(&refused), "it was refused {refused} times: an hour of doubt is right");
    nodes.consumer.ready().await.unwrap();
    // The other direction: what ended an hour of doubt opens no door to what is old.
    let old = nodes.federation.record();
    nodes.clock.advance(Duration::from_mins(1));
    nodes.consumer.ready().await.unwrap();
    nodes.federation.play_back(Some(old));
    assert!(nodes.consumer.ready().await.is_err());
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_stops_traffic_and_one_that_comes_back_lets_it_flow() {
    let nodes = two_nodes(405).await;
    let before = nodes.clock.now();
    nodes.federation.set_outage(Outage::Configuration, true);
    nodes.clock.advance(Duration::from_hours(48));
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.clientproxy.global_conf_outdated");
    nodes.clock.set(before);
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_of_a_source_is_found_from_above_and_remembered() {
    let nodes = two_nodes(406).await;
    for (version, queries) in [
        (ConfigurationVersion::V6, vec!["version=6"]),
        (ConfigurationVersion::V5, vec!["version=6", "version=5"]),
        (ConfigurationVersion::V4, vec!["version=5", "version=4"]),
        (ConfigurationVersion::V3, vec!["version=4", "version=3"]),
    ] {
        nodes.federation.serve_up_to(version);
        if version == ConfigurationVersion::V6 {
            // A higher version is looked for once an hour.
            nodes.clock.advance(Duration::from_mins(61));
        }
        nodes.federation.asked();
        nodes.consumer.ready().await.unwrap();
        assert_eq!(nodes.federation.asked(), queries, "{version:?}");
        nodes.consumer.ready().await.unwrap();
        assert_eq!(nodes.federation.asked().len(), 1, "{version:?}: remembered");
        nodes.provider.ready().await.unwrap();
        assert_eq!(nodes.get(ECHO).await.status, 200, "{version:?}");
    }
    nodes.federation.serve_up_to(ConfigurationVersion::V2);
    nodes.consumer.ready().await.unwrap();
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_source_and_a_key_of_nobody_in_the_anchor_are_passed_over() {
    let nodes = two_nodes_with(407, |consumer, _| {
        let mut anchor = read_anchor(&consumer.anchor).unwrap();
        let certs = anchor.sources[0].certs.clone();
        anchor.sources.insert(0, AnchorSource { download_url: "http://127.0.0.1:9/internalconf".to_owned(), certs });
        anchor.sources[1].certs.insert(0, b"of nobody".to_vec());
        consumer.anchor = write_anchor(&anchor).into_bytes();
    })
    .await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.stop().await;
}

/// An instance whose many sources take connections and never end an answer: they send nothing, or a byte from time to time.
async fn stuck(instance: &str, template: &Anchor, drips: bool) -> Anchor {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
                while !drips || socket.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        }
    });
    let source = |number| AnchorSource {
        download_url: format!("http://{address}/{number}"),
        certs: template.sources[0].certs.clone(),
    };
    Anchor { instance: instance.to_owned(), sources: (0..16).map(source).collect(), ..template.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_that_drip_or_never_answer_stop_neither_the_own_configuration_nor_that_of_others() {
    let nodes = two_nodes_with(409, |consumer, provider| {
        for config in [consumer, provider] {
            config.rhythm.configuration = Duration::from_millis(50);
            config.rhythm.ocsp = Duration::from_millis(50);
        }
    })
    .await;
    let other = Federation::start_instance("EE", Arc::clone(&nodes.clock), Arc::new(SeededRandom::new(10))).await;
    let good = other.anchor_of("/externalconf");
    let mut anchors = Vec::new();
    for (instance, drips) in [("AA", false), ("CC", true)] {
        anchors.push(stuck(instance, &good, drips).await);
    }
    anchors.push(good);
    nodes.federation.federate(anchors);
    let started = Instant::now();
    let kept = nodes.folder().join("2001/state/globalconf/EE/directory");
    while !kept.is_file() {
        assert!(started.elapsed() < Duration::from_mins(2), "one waits for the other");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // An hour in which the stuck ones answer nothing: the own configuration holds for ten minutes and is renewed all the same.
    for _ in 0..12 {
        nodes.clock.advance(Duration::from_mins(5));
        flows_again(&nodes).await;
    }
    assert!(started.elapsed() < Duration::from_mins(4), "nothing waited for a stuck source");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_cannot_be_kept_on_disk_is_in_force_all_the_same() {
    let nodes = two_nodes(410).await;
    let other = Federation::start_instance("EE", Arc::clone(&nodes.clock), Arc::new(SeededRandom::new(11))).await;
    let folder = nodes.folder().join("2001/state/globalconf");
    std::fs::remove_dir_all(folder.join("BB")).unwrap();
    for instance in ["BB", "EE"] {
        std::fs::write(folder.join(instance), "in the way").unwrap();
    }
    nodes.federation.federate(vec![other.anchor_of("/externalconf")]);
    nodes.clock.advance(Duration::from_mins(9));
    both_ready(&nodes).await;
    nodes.clock.advance(Duration::from_mins(5));
    both_ready(&nodes).await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    let zip = nodes.send("GET", "/verificationconf", &[], "").await.body;
    assert!(String::from_utf8_lossy(&zip).contains("verificationconf/EE/shared-params.xml"));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_federated_instance_is_fetched_and_its_outage_concerns_nobody_else() {
    let nodes = two_nodes(408).await;
    let other = Federation::start_instance("EE", Arc::clone(&nodes.clock), Arc::new(SeededRandom::new(9))).await;
    let names = async |nodes: &TwoNodes| {
        let zip = nodes.send("GET", "/verificationconf", &[], "").await.body;
        String::from_utf8_lossy(&zip).into_owned()
    };
    assert!(!names(&nodes).await.contains("verificationconf/EE/shared-params.xml"));
    nodes.federation.federate(vec![other.anchor_of("/externalconf")]);
    nodes.consumer.ready().await.unwrap();
    assert!(names(&nodes).await.contains("verificationconf/EE/shared-params.xml"));
    assert!(nodes.folder().join("2001/state/globalconf/EE/directory").is_file());
    other.set_outage(Outage::Configuration, true);
    nodes.consumer.ready().await.unwrap();
    assert!(names(&nodes).await.contains("verificationconf/EE/shared-params.xml"), "the last good one stays");
    assert_eq!(nodes.get(ECHO).await.status, 200);
    other.set_outage(Outage::Configuration, false);
    other.poison(Some(Poison::OtherInstance));
    other.change(|params| params.ocsp_freshness_s += 1);
    nodes.consumer.ready().await.unwrap();
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.stop().await;
}
