//! Archives: every stamped record in exactly one, whatever dies in between; retention; the way back. On both engines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bridge::config::NodeConfig;
use bridge::messagelog::{ArchiveEncryption, ArchiveFailure, ArchiveRun, Grouping, MessageLog, SearchQuery};
use bridge::testing::{ECHO, Outage, TwoNodes, two_nodes_on};
use civic::testing::SeededRandom;
use store::{Store, StoreError};
use trust::age::{self, Identity};
use trust::archive::{After, Archive, verify_archive};
use trust::asic::{Container, Rules, verify_with};
use trust::note::TlogProof;
use trust::note::policy::Policy;
use trust::xades::Verifier;

use crate::evidence::trust;
use crate::logging::Lines;

const ASIC: &str = "/asic?xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit";

async fn on_both_engines(seed: u64, change: impl Fn(&mut NodeConfig, &mut NodeConfig)) -> Vec<TwoNodes> {
    let (consumers, providers) = (store::testing::engines().await, store::testing::engines().await);
    let mut all = Vec::new();
    for stores in consumers.into_iter().zip(providers) {
        all.push(two_nodes_on(seed, stores, &change).await);
    }
    all
}

fn folder(nodes: &TwoNodes) -> PathBuf {
    nodes.folder().join("2001/state/archive")
}

/// The archives of the consumer in the order of their chain, each with its file name.
fn archives(folder: &Path) -> Vec<(String, Archive)> {
    let mut by_previous = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let archive = verify_archive(&std::fs::read(entry.path()).unwrap(), After::Any).unwrap();
        let previous = archive.previous.as_ref().map(|previous| previous.digest.clone()).unwrap_or_default();
        assert!(by_previous.insert(previous, (name, archive)).is_none(), "two archives follow the same one");
    }
    let mut chain: Vec<(String, Archive)> = Vec::new();
    while let Some(next) = by_previous.remove(chain.last().map_or("", |(_, archive)| archive.digest.as_str())) {
        if let (Some((file, _)), Some(previous)) = (chain.last(), &next.1.previous) {
            assert_eq!(&previous.file, file);
        }
        chain.push(next);
    }
    assert!(by_previous.is_empty(), "an archive follows one that is not there");
    chain
}

fn containers(archives: &[(String, Archive)]) -> Vec<String> {
    archives.iter().flat_map(|(_, archive)| archive.containers.iter().map(|file| file.name.clone())).collect()
}

/// Exchanges whose records are stamped and in the ledger at the consumer.
async fn call(nodes: &TwoNodes, ids: std::ops::Range<u32>) {
    call_only(nodes, ids).await;
    nodes.consumer.commit_now().await.unwrap();
}

/// Exchanges whose records are stamped at the consumer, but not in the ledger.
async fn call_only(nodes: &TwoNodes, ids: std::ops::Range<u32>) {
    for id in ids {
        let reply = nodes.call("POST", ECHO, &[("X-Road-Id", &format!("a-{id}"))], format!("body {id}")).await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
    }
    nodes.consumer.stamp_now().await.unwrap();
}

/// The message ids in all archives of the consumer, and whether their containers carry a proof that a log of theirs holds the record.
async fn proven(nodes: &TwoNodes) -> BTreeMap<String, bool> {
    let trust = trust(nodes).await;
    let (verifier, policy) = (Verifier::new(&trust), Policy::log_only(nodes.ledger.ledger.verifier()));
    let mut all = BTreeMap::new();
    for (_, archive) in archives(&folder(nodes)) {
        for file in &archive.containers {
            let container = Container::read(&file.bytes).unwrap();
            let verdict = verify_with(&container, &verifier, &Rules::default()).unwrap();
            let has_proof = verdict.ledger.is_some_and(|proof| proof.judge(&policy).is_ok());
            let id = verdict.message.id.unwrap();
            assert_eq!(*all.entry(id.clone()).or_insert(has_proof), has_proof, "request and answer of {id} are alike");
        }
    }
    all
}

fn of_ids(ids: std::ops::Range<u32>, has_proof: bool) -> BTreeMap<String, bool> {
    ids.map(|id| (format!("a-{id}"), has_proof)).collect()
}

/// What the consumer's `/metrics` says.
async fn metrics(nodes: &TwoNodes) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(nodes.consumer.addresses().admin).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn sql(store: &Store, statement: &'static str) {
    let run = move |tx: &mut store::Tx<'_>| tx.execute(statement, &[]).map(drop);
    store.tx("test.sql", run).await.unwrap_or_else(|error: StoreError| unreachable!("{error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_hold_what_is_stamped_once_and_their_evidence_is_valid() {
    for nodes in on_both_engines(420, |_, _| {}).await {
        call(&nodes, 0..3).await;
        let first = nodes.consumer.archive_now().await.unwrap();
        assert_eq!((first.records, first.archives.len(), first.deleted), (6, 1, 0));
        call(&nodes, 3..5).await;
        // Not stamped yet: it waits for the next time.
        assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", "later")], "").await.status, 200);
        nodes.consumer.commit_now().await.unwrap();
        assert_eq!(nodes.consumer.archive_now().await.unwrap().records, 4);
        assert_eq!(nodes.consumer.archive_now().await.unwrap(), ArchiveRun::default());
        let archives = archives(&folder(&nodes));
        assert_eq!(archives.len(), 2);
        assert_eq!(archives[0].0, first.archives[0]);
        let names = containers(&archives);
        assert_eq!((names.len(), names.iter().collect::<BTreeSet<_>>().len()), (10, 10));
        let trust = trust(&nodes).await;
        let verifier = Verifier::new(&trust);
        for (_, archive) in &archives {
            for file in &archive.containers {
                let verdict =
                    verify_with(&Container::read(&file.bytes).unwrap(), &verifier, &Rules::default()).unwrap();
                let id = verdict.message.id.unwrap();
                assert!(file.name.starts_with(&format!("{id}-")) && verdict.time_stamp.is_some(), "{}", file.name);
            }
        }
        let query = SearchQuery { message_id: Some("a-4".to_owned()), ..SearchQuery::default() };
        let found = nodes.consumer.message_log().search(query).await.unwrap().records;
        assert!(found.iter().all(|record| record.archive.as_ref() == Some(&archives[1].0)));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_archived_with_its_proof_once_the_ledger_has_it_and_without_after_a_day() {
    for nodes in on_both_engines(428, |_, _| {}).await {
        nodes.federation.set_validity(Duration::from_hours(24 * 60));
        call(&nodes, 0..2).await;
        call_only(&nodes, 2..4).await;
        let run = nodes.consumer.archive_now().await.unwrap();
        assert_eq!((run.records, run.unproven), (4, 0), "what the ledger does not hold yet is passed over");
        nodes.clock.advance(Duration::from_hours(23));
        assert_eq!(nodes.consumer.archive_now().await.unwrap(), ArchiveRun::default());
        nodes.consumer.commit_now().await.unwrap();
        assert_eq!(nodes.consumer.archive_now().await.unwrap().records, 4);
        // The configuration of yesterday has expired; the one of today holds for long.
        nodes.consumer.ready().await.unwrap();
        nodes.provider.ready().await.unwrap();
        assert_eq!(proven(&nodes).await, of_ids(0..4, true));

        // A ledger that is gone holds no archive up for longer than that.
        call_only(&nodes, 4..6).await;
        nodes.ledger.set_away(true);
        assert!(nodes.consumer.commit_now().await.is_err());
        nodes.clock.advance(Duration::from_hours(24));
        assert_eq!(nodes.consumer.archive_now().await.unwrap(), ArchiveRun::default());
        nodes.clock.advance(Duration::from_hours(1));
        let run = nodes.consumer.archive_now().await.unwrap();
        assert_eq!((run.records, run.unproven), (4, 4));
        assert!(metrics(&nodes).await.contains("baobab_bridge_archived_unproven_records_total 4"));
        let mut expected = of_ids(0..4, true);
        expected.extend(of_ids(4..6, false));
        assert_eq!(proven(&nodes).await, expected);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_cannot_be_had_keeps_no_other_record_waiting() {
    for nodes in on_both_engines(429, |_, _| {}).await {
        nodes.federation.set_validity(Duration::from_hours(24 * 60));
        call(&nodes, 0..6).await;
        let store = nodes.consumer.message_log().store().clone();
        // The first request is noted at a place of another entry: the ledger's proof does not fit.
        let oldest = "UPDATE bridge_leaf SET leaf = leaf + 1 WHERE record = (SELECT MIN(id) FROM bridge_message)";
        sql(&store, oldest).await;
        let run = nodes.consumer.archive_now().await.unwrap();
        assert_eq!((run.records, run.unproven), (11, 0), "one waits, all after it have their proof");
        nodes.clock.advance(Duration::from_hours(25));
        let run = nodes.consumer.archive_now().await.unwrap();
        assert_eq!((run.records, run.unproven), (1, 1));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_wait_for_a_ledger_that_is_away_and_lose_no_proof_by_it() {
    for nodes in on_both_engines(430, |_, _| {}).await {
        call(&nodes, 0..5).await;
        nodes.ledger.set_away(true);
        assert_eq!(nodes.consumer.archive_now().await.unwrap(), ArchiveRun::default());
        nodes.ledger.set_away(false);
        let run = nodes.consumer.archive_now().await.unwrap();
        assert_eq!((run.records, run.unproven), (10, 0));
        assert_eq!(proven(&nodes).await, of_ids(0..5, true));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_wants_no_proofs_in_its_archives_waits_for_none() {
    for nodes in on_both_engines(431, |consumer, _| consumer.log.archives.proofs = false).await {
        call_only(&nodes, 0..2).await;
        let run = nodes.consumer.archive_now().await.unwrap();
        assert_eq!((run.records, run.unproven), (4, 0));
        assert_eq!(proven(&nodes).await, of_ids(0..2, false));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_are_closed_before_they_are_too_large_and_follow_each_other() {
    for nodes in on_both_engines(421, |consumer, _| consumer.log.archives.bytes_max = 20_000).await {
        call(&nodes, 0..6).await;
        let run = nodes.consumer.archive_now().await.unwrap();
        assert_eq!(run.records, 12);
        let archives = archives(&folder(&nodes));
        assert!(archives.len() > 2 && archives.len() == run.archives.len());
        for (name, archive) in &archives {
            let bytes: usize = archive.containers.iter().map(|file| file.bytes.len()).sum();
            assert!(bytes <= 20_000, "{name}: {bytes}");
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_fails_midway_has_counted_and_told_what_it_archived_before() {
    for nodes in on_both_engines(432, |consumer, _| consumer.log.archives.bytes_max = 20_000).await {
        nodes.federation.set_validity(Duration::from_hours(24 * 60));
        call_only(&nodes, 0..6).await;
        nodes.ledger.set_away(true);
        nodes.clock.advance(Duration::from_hours(25));
        // The last record cannot be read any more.
        let harm = "UPDATE bridge_message SET content = (SELECT content FROM bridge_message ORDER BY id LIMIT 1) \
                    WHERE id = (SELECT MAX(id) FROM bridge_message)";
        sql(nodes.consumer.message_log().store(), harm).await;
        let (lines, listening) = Lines::of_this_thread();
        assert!(nodes.consumer.archive_now().await.is_err());
        drop(listening);
        let archived = containers(&archives(&folder(&nodes))).len();
        assert!((1..12).contains(&archived), "{archived}");
        let said = metrics(&nodes).await;
        for name in ["baobab_bridge_archived_records_total", "baobab_bridge_archived_unproven_records_total"] {
            assert!(said.contains(&format!("{name} {archived}\n")), "{name} is not {archived}");
        }
        let told = lines.with("records were archived without a proof of the ledger");
        assert!(told.len() == 1 && told[0].contains(&format!(" records={archived}")), "{told:?}");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_are_grouped_and_encrypted_as_the_operator_wants() {
    let identity = Identity::generate(&SeededRandom::new(5)).unwrap();
    let recipient = identity.recipient().unwrap();
    let change = move |consumer: &mut NodeConfig, provider: &mut NodeConfig| {
        consumer.log.archives.grouping = Grouping::Subsystem;
        provider.log.archives.grouping = Grouping::Member;
        consumer.log.archives.encryption =
            ArchiveEncryption::On { recipients: vec![recipient], of_group: BTreeMap::new() };
        provider.log.archives.encryption = ArchiveEncryption::On { recipients: Vec::new(), of_group: BTreeMap::new() };
    };
    for nodes in on_both_engines(422, change).await {
        call(&nodes, 0..2).await;
        let run = nodes.consumer.archive_now().await.unwrap();
        let name = &run.archives[0];
        assert!(name.starts_with("mlog-BB_COM_2001_credit-20261121") && name.ends_with(".zip.age"), "{name}");
        let file = std::fs::read(folder(&nodes).join(name)).unwrap();
        assert!(verify_archive(&file, After::Any).is_err());
        let zip = age::decrypt(&identity, &file).unwrap();
        assert_eq!(verify_archive(&zip, After::Nothing).unwrap().containers.len(), 4);
        // Encryption without a key archives nothing, and says so.
        nodes.provider.stamp_now().await.unwrap();
        nodes.provider.commit_now().await.unwrap();
        let refused = nodes.provider.archive_now().await.unwrap_err();
        assert!(refused.to_string().starts_with("archives of `BB/GOV/1002` cannot be encrypted"), "{refused}");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_leaves_no_gap_and_no_double() {
    for nodes in on_both_engines(423, |_, _| {}).await {
        let (folder, store) = (folder(&nodes), nodes.consumer.message_log().store().clone());
        let mut expected = 0;
        // What the disk and the database look like after a death at each of the four points.
        for (point, at) in
            ["before it was noted", "noted, not in place", "in place, not noted", "file lost"].iter().zip(0..)
        {
            call(&nodes, at * 2..at * 2 + 2).await;
            expected += 4;
            let run = nodes.consumer.archive_now().await.unwrap();
            let (path, aside) = (folder.join(&run.archives[0]), folder.join(format!(".{}.part", run.archives[0])));
            match at {
                0 => {
                    sql(&store, "DELETE FROM bridge_archived WHERE archive = (SELECT MAX(id) FROM bridge_archive)")
                        .await;
                    sql(&store, "DELETE FROM bridge_archive WHERE id = (SELECT MAX(id) FROM bridge_archive)").await;
                    std::fs::rename(&path, &aside).unwrap();
                }
                1 => std::fs::rename(&path, &aside).unwrap(),
                2 => {}
                _ => std::fs::remove_file(&path).unwrap(),
            }
            if at > 0 {
                let undone = "UPDATE bridge_archive SET state = 0 WHERE id = (SELECT MAX(id) FROM bridge_archive)";
                sql(&store, undone).await;
            }
            nodes.consumer.archive_now().await.unwrap();
            let names = containers(&archives(&folder));
            assert_eq!((names.len(), names.iter().collect::<BTreeSet<_>>().len()), (expected, expected), "{point}");
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_write_of_file_or_database_archives_nothing_and_is_made_good() {
    for nodes in on_both_engines(424, |_, _| {}).await {
        let folder = folder(&nodes);
        call(&nodes, 0..2).await;
        // The folder cannot be made.
        let _ = std::fs::remove_dir(&folder);
        std::fs::write(&folder, "in the way").unwrap();
        let refused = nodes.consumer.archive_now().await.unwrap_err();
        assert!(matches!(refused, ArchiveFailure::File { .. }), "{refused}");
        std::fs::remove_file(&folder).unwrap();
        // The archive cannot be noted: the file under its passing name goes away with the next run.
        let store = nodes.consumer.message_log().store().clone();
        sql(&store, "ALTER TABLE bridge_archived RENAME TO elsewhere").await;
        assert!(nodes.consumer.archive_now().await.is_err());
        sql(&store, "ALTER TABLE elsewhere RENAME TO bridge_archived").await;
        assert_eq!(nodes.consumer.archive_now().await.unwrap().records, 4);
        assert_eq!(containers(&archives(&folder)).len(), 4);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_archived_is_deleted_after_its_time_and_nothing_else() {
    for nodes in on_both_engines(425, |_, _| {}).await {
        nodes.federation.set_validity(Duration::from_hours(24 * 60));
        call(&nodes, 0..2).await;
        nodes.consumer.archive_now().await.unwrap();
        nodes.federation.set_outage(Outage::TimeStamps, true);
        assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", "unstamped")], "").await.status, 200);
        nodes.consumer.commit_now().await.unwrap();
        nodes.clock.advance(Duration::from_hours(24 * 29));
        assert_eq!(nodes.consumer.archive_now().await.unwrap().deleted, 0);
        nodes.clock.advance(Duration::from_hours(24 * 2));
        assert_eq!(nodes.consumer.archive_now().await.unwrap().deleted, 4);
        let log = nodes.consumer.message_log();
        assert!(log.find("a-0").await.unwrap().is_empty());
        assert_eq!(log.find("unstamped").await.unwrap().len(), 2, "what is nowhere else stays");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_archive_is_searched_and_exported_as_before() {
    for nodes in on_both_engines(426, |_, _| {}).await {
        nodes.federation.set_validity(Duration::from_hours(24 * 60));
        call(&nodes, 0..2).await;
        nodes.consumer.archive_now().await.unwrap();
        let asic = format!("{ASIC}&queryId=a-1&responseOnly&unique");
        let before = nodes.send("GET", &asic, &[], "").await;
        assert_eq!(before.status, 200);
        let (name, archive) = archives(&folder(&nodes)).remove(0);
        let bytes = std::fs::read(folder(&nodes).join(&name)).unwrap();
        let own = |client: &civic::ClientId| client.to_string() == bridge::testing::CLIENT;
        let trust = trust(&nodes).await;

        // Into the log from which it was deleted.
        nodes.clock.advance(Duration::from_hours(24 * 31));
        assert_eq!(nodes.consumer.archive_now().await.unwrap().deleted, 4);
        assert_eq!(nodes.send("GET", &asic, &[], "").await.status, 404);
        let log = nodes.consumer.message_log();
        let restored = log.restore(&name, &bytes, After::Nothing, own).await.unwrap();
        assert_eq!((restored.records, restored.present, &restored.digest), (4, 0, &archive.digest));
        let after = nodes.send("GET", &asic, &[], "").await;
        assert!(after.status == 200 && after.body == before.body, "the same evidence, byte by byte");
        assert!(Container::read(&after.body).unwrap().ledger_proof.is_some(), "its salt is gone, its proof is not");
        assert_eq!(log.restore(&name, &bytes, After::Any, own).await.unwrap().present, 4);
        // It stays, is not archived again, and the chain goes on behind the last archive.
        assert_eq!(nodes.consumer.archive_now().await.unwrap(), ArchiveRun::default());

        // Into a fresh one.
        let fresh = MessageLog::open(store::testing::sqlite().await, nodes.clock.clone(), store::testing::random());
        let fresh = fresh.await.unwrap();
        assert!(fresh.restore(&name, &bytes, After::Digest(&"0".repeat(128)), own).await.is_err());
        assert!(matches!(fresh.restore(&name, &bytes, After::Any, |_| false).await, Err(ArchiveFailure::Foreign(_))));
        fresh.restore(&name, &bytes, After::Any, own).await.unwrap();
        let query = SearchQuery { peer: Some("BB/GOV/1002".parse().unwrap()), ..SearchQuery::default() };
        let found = fresh.search(query).await.unwrap().records;
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|record| record.stamped && record.archive.as_ref() == Some(&name)));
        assert!(found.iter().all(|record| record.outcome == "restored" && !record.request_id.is_empty()));
        let record = fresh.get(found[0].id).await.unwrap().unwrap();
        let container = record.content.container(record.stamp.as_ref()).unwrap();
        verify_with(&container, &Verifier::new(&trust), &Rules::default()).unwrap();
        assert_eq!(fresh.stamping_state().await.unwrap().waiting, 0);

        // What was restored goes again, although it is not committed a second time.
        nodes.clock.advance(Duration::from_hours(24 * 31));
        assert_eq!(nodes.consumer.archive_now().await.unwrap().deleted, 4);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_node_answers_for_the_archives_that_were_restored_into_it() {
    let nodes = two_nodes_on(427, (store::testing::sqlite().await, store::testing::sqlite().await), |_, _| {}).await;
    call(&nodes, 0..2).await;
    nodes.provider.stamp_now().await.unwrap();
    nodes.provider.commit_now().await.unwrap();
    let run = nodes.provider.archive_now().await.unwrap();
    let bytes = std::fs::read(nodes.folder().join("1002/state/archive").join(&run.archives[0])).unwrap();
    let fresh = nodes.replica_of_provider(store::testing::sqlite().await).await;
    let restored = fresh.restore_archive(&run.archives[0], &bytes, After::Nothing).await.unwrap();
    assert_eq!(restored.records, 4);
    let target =
        "/asic?queryId=a-1&xRoadInstance=BB&memberClass=GOV&memberCode=1002&subsystemCode=fisc&requestOnly&unique";
    let answers = [&nodes.provider, &fresh].map(|node| node.addresses().consumer);
    let mut evidence = Vec::new();
    for address in answers {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        evidence.push(Container::read(&answer[body..]).unwrap());
    }
    // The log may have grown since: each proof leads to a checkpoint of its own.
    let index = |container: &mut Container| TlogProof::parse(&container.ledger_proof.take().unwrap()).unwrap().index;
    let proofs: Vec<u64> = evidence.iter_mut().map(index).collect();
    assert_eq!((proofs[0], &evidence[0]), (proofs[1], &evidence[1]));
    fresh.stop().await;
    nodes.stop().await;
}
