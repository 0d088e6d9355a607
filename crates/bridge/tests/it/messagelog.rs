//! The message log: what is kept, found, stamped and shared between replicas. On both engines.

use std::sync::Arc;
use std::time::Duration;

use bridge::config::NodeConfig;
use bridge::messagelog::{
    Content, Kept, LogError, LogMode, MessageForm, MessageLog, NewRecord, RecordKind, Role, SearchQuery,
    StampingPolicy, migrations,
};
use bridge::testing::{CLIENT, ECHO, Outage, PERSON, TwoNodes, two_nodes_on};
use bytes::Bytes;
use civic::Clock as _;
use store::{Store, StoreError, params};
use trust::digest::DigestAlgorithm;
use trust::hashchain::{self, Data};

const NUMBER: &str = "1751198700421";

async fn on_both_engines(seed: u64, change: fn(&mut NodeConfig, &mut NodeConfig)) -> Vec<TwoNodes> {
    let (consumers, providers) = (store::testing::engines().await, store::testing::engines().await);
    let mut all = Vec::new();
    for stores in consumers.into_iter().zip(providers) {
        all.push(two_nodes_on(seed, stores, change).await);
    }
    all
}

async fn number(store: &Store, sql: &'static str) -> i64 {
    let read = move |tx: &mut store::Tx<'_>| tx.query_one(sql, &[])?.map_or(Ok(0), |row| row.get("number"));
    store.read("test.number", read).await.unwrap_or_else(|error: StoreError| unreachable!("{error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_found_by_everything_that_people_know_of_them() {
    for nodes in on_both_engines(410, |_, _| {}).await {
        for turn in 0..3 {
            nodes.clock.advance(Duration::from_mins(1));
            nodes.call("GET", ECHO, &[("X-Road-Id", &format!("s-{turn}"))], "").await;
        }
        nodes.call("POST", &format!("{PERSON}/{NUMBER}"), &[("X-Road-Id", "p-1")], "x").await;
        nodes.call("GET", &format!("{PERSON}/{NUMBER}"), &[("X-Road-Id", "p-2")], "").await;
        nodes.call("GET", "BB/GOV/1002/fisc/none", &[("X-Road-Id", "n-1")], "").await;
        let log = nodes.provider.message_log();
        let found = async |query: SearchQuery| {
            let ids: Vec<String> =
                log.search(query).await.unwrap().records.into_iter().map(|record| record.message_id).collect();
            ids
        };
        let any = SearchQuery::default;
        assert_eq!(found(any()).await.len(), 11);
        assert_eq!(found(SearchQuery { message_id: Some("s-1".to_owned()), ..any() }).await, ["s-1", "s-1"]);
        let person = SearchQuery { subject: Some(NUMBER.parse().unwrap()), ..any() };
        assert_eq!(found(person).await, ["p-2", "p-2", "p-1", "p-1"]);
        let stranger = SearchQuery { subject: Some("2751198700422".parse().unwrap()), ..any() };
        assert!(found(stranger).await.is_empty());
        let failed = SearchQuery { outcome: Some("server.serverproxy.unknown_service".to_owned()), ..any() };
        assert_eq!(found(failed).await, ["n-1"]);
        let service = SearchQuery { service: Some(PERSON.parse().unwrap()), ..any() };
        assert_eq!(found(service).await.len(), 4);
        assert_eq!(found(SearchQuery { client: Some(CLIENT.parse().unwrap()), ..any() }).await.len(), 11);
        assert_eq!(found(SearchQuery { peer: Some("BB/COM/2001".parse().unwrap()), ..any() }).await.len(), 11);
        assert!(found(SearchQuery { peer: Some("BB/GOV/1002".parse().unwrap()), ..any() }).await.is_empty());
        let page = log.search(SearchQuery { limit: 4, ..any() }).await.unwrap();
        let (mut seen, mut next) = (page.records, page.next);
        while let Some(cursor) = next {
            let after = Some(cursor.to_string().parse().unwrap());
            let page = log.search(SearchQuery { limit: 4, after, ..any() }).await.unwrap();
            seen.extend(page.records);
            next = page.next;
        }
        assert_eq!(seen.len(), 11);
        assert!(seen.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first, none twice");
        let one = &seen[0];
        let by_request = found(SearchQuery { request_id: Some(one.request_id.clone()), ..any() }).await;
        assert!(!by_request.is_empty() && by_request.iter().all(|id| *id == one.message_id));
        let (from, to) = (seen[3].at, seen[0].at);
        assert_eq!(found(SearchQuery { from: Some(from), to: Some(to), ..any() }).await.len(), 3);
        // The number stands nowhere in clear.
        let clear = "SELECT COUNT(*) AS number FROM bridge_message WHERE message_id LIKE '%1751198700421%' \
                     OR outcome LIKE '%1751198700421%' OR service LIKE '%1751198700421%' OR peer LIKE '%1751198700421%'";
        assert_eq!(number(log.store(), clear).await, 0);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_decided_by_the_mode() {
    let change = |consumer: &mut NodeConfig, provider: &mut NodeConfig| {
        consumer.log.mode = LogMode::Metadata;
        provider.log.mode = LogMode::None;
    };
    for nodes in on_both_engines(411, change).await {
        let reply = nodes.call("POST", &format!("{PERSON}/{NUMBER}"), &[("X-Road-Id", "k-1")], "secret").await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        // Metadata: ids and digests, stamped, but no evidence to export.
        let log = nodes.consumer.message_log();
        let records = log.find("k-1").await.unwrap();
        assert_eq!(records.len(), 2);
        assert!(records.iter().all(|record| record.mode == LogMode::Metadata));
        assert!(records.iter().all(|record| record.content.message.whole().is_none()));
        assert!(matches!(records[0].content.attachments[0].body, Kept::Digest { bytes: 6, .. }));
        assert_eq!(nodes.consumer.stamp_now().await, Ok(2));
        let asic = "/asic?queryId=k-1&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit&force";
        assert_eq!(nodes.send("GET", asic, &[], "").await.status, 404);
        // None: only the commitment, and the use that the citizen sees.
        let log = nodes.provider.message_log();
        assert!(log.find("k-1").await.unwrap().is_empty());
        assert!(log.search(SearchQuery::default()).await.unwrap().records.is_empty());
        assert_eq!(nodes.provider.stamp_now().await, Ok(0));
        assert_eq!(number(log.store(), "SELECT COUNT(*) AS number FROM bridge_use").await, 1);
        assert_eq!(nodes.provider.commit_now().await, Ok(3));
        let empty = "SELECT COUNT(*) AS number FROM bridge_message WHERE mode = 2 AND message_id = '' AND request_id = '' \
                     AND client = '' AND service = '' AND outcome = '' AND peer = '' AND subject IS NULL";
        assert_eq!(number(log.store(), empty).await, 2);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_id_that_two_clients_chose_brings_nobody_into_the_records_of_the_other() {
    for nodes in on_both_engines(418, |_, _| {}).await {
        let log = nodes.provider.message_log();
        nodes.call("POST", ECHO, &[("X-Road-Id", "1")], "x").await;
        let others = "UPDATE bridge_message SET client = 'BB/COM/9/other', outcome = 'received' WHERE message_id = '1'";
        log.store().tx("test.other_client", move |tx| tx.execute(others, &[])).await.unwrap();
        nodes.call("POST", &format!("{PERSON}/{NUMBER}"), &[("X-Road-Id", "1")], "x").await;
        let about = SearchQuery { subject: Some(NUMBER.parse().unwrap()), ..SearchQuery::default() };
        let found = log.search(about).await.unwrap().records;
        assert_eq!(found.len(), 2, "request and answer of the second");
        assert!(found.iter().all(|record| record.client.to_string() == CLIENT));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_a_request_ended_that_was_logged_before_it_was_answered_is_noted_on_both_sides() {
    let change = |_: &mut NodeConfig, provider: &mut NodeConfig| {
        let echo = provider.services.iter_mut().find(|service| service.id.to_string() == ECHO).unwrap();
        "http://127.0.0.1:1".clone_into(&mut echo.base_url);
        provider.rights.retain(|right| right.service.to_string() != PERSON);
    };
    for nodes in on_both_engines(418, change).await {
        let refused = nodes.call("POST", &format!("{PERSON}/{NUMBER}"), &[("X-Road-Id", "r-1")], "x").await;
        assert_eq!(refused.error_type(), "server.serverproxy.access_denied");
        let failed = nodes.call("POST", ECHO, &[("X-Road-Id", "r-2")], "x").await;
        assert!(failed.error_type().starts_with("server.serverproxy."), "{}", failed.error_type());
        for node in [&nodes.consumer, &nodes.provider] {
            for (id, reply) in [("r-1", &refused), ("r-2", &failed)] {
                let records = node.message_log().find(id).await.unwrap();
                assert_eq!(records.len(), 1, "{id}");
                assert_eq!(records[0].outcome, reply.error_type(), "{id}");
                let query = SearchQuery { outcome: Some(reply.error_type()), ..SearchQuery::default() };
                assert_eq!(node.message_log().search(query).await.unwrap().records.len(), 1, "{id} is found by it");
            }
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_signatures_have_in_common_is_kept_once_and_they_come_back_byte_by_byte() {
    const IN_MOULDS: &str = "SELECT COUNT(*) AS number FROM bridge_message WHERE mould IS NOT NULL";
    const MOULDS: &str = "SELECT COUNT(*) AS number FROM bridge_mould";
    for nodes in on_both_engines(419, |_, _| {}).await {
        nodes.federation.set_validity(Duration::from_hours(24 * 60));
        let logs = [nodes.consumer.message_log(), nodes.provider.message_log()];
        for turn in 0..6 {
            nodes.clock.advance(Duration::from_millis(123));
            let id = format!("m-{turn}");
            let body = if turn % 2 == 0 { "x" } else { "" };
            assert_eq!(nodes.call("POST", ECHO, &[("X-Road-Id", &id)], body).await.status, 200);
            // The two sides kept the same bytes, whichever way.
            let [asked, answered] = logs.map(|log| log.find(&id));
            let (asked, answered) = (asked.await.unwrap(), answered.await.unwrap());
            let contents = |records: &[bridge::messagelog::StoredRecord]| {
                records.iter().map(|record| record.content.clone()).collect::<Vec<_>>()
            };
            assert_eq!((asked.len(), contents(&asked)), (2, contents(&answered)));
        }
        for log in logs {
            assert!(number(log.store(), IN_MOULDS).await >= 6, "most signatures are kept as their values");
            assert!((1..=4).contains(&number(log.store(), MOULDS).await));
        }
        // A mould that was altered is named, and no other signature is shown in place of the one that was logged.
        let store = nodes.provider.message_log().store();
        let swap = |tx: &mut store::Tx<'_>| {
            let rows = tx.query("SELECT digest, common FROM bridge_mould", &[])?;
            for row in rows {
                let (digest, mut common) = (row.get::<Vec<u8>>("digest")?, row.get::<Vec<u8>>("common")?);
                if let Some(byte) = common.last_mut() {
                    *byte ^= 1;
                }
                tx.execute("UPDATE bridge_mould SET common = $2 WHERE digest = $1", &params![digest, common])?;
            }
            Ok::<_, StoreError>(())
        };
        store.tx("test.alter", swap).await.unwrap();
        let refused = nodes.provider.message_log().find("m-5").await.unwrap_err();
        assert!(matches!(refused, LogError::Damaged { .. }), "{refused}");
        // Moulds go with the last record that needs them.
        let consumer = &nodes.consumer;
        consumer.stamp_now().await.unwrap();
        consumer.commit_now().await.unwrap();
        consumer.archive_now().await.unwrap();
        let before = number(consumer.message_log().store(), MOULDS).await;
        nodes.clock.advance(Duration::from_hours(24 * 31));
        consumer.ready().await.unwrap();
        nodes.provider.ready().await.unwrap();
        for turn in 6..9 {
            let reply = nodes.call("POST", ECHO, &[("X-Road-Id", &format!("m-{turn}"))], "x").await;
            assert_eq!(reply.status, 200, "{:?}", reply.body);
        }
        let with_new = number(consumer.message_log().store(), MOULDS).await;
        assert_eq!(consumer.archive_now().await.unwrap().deleted, 12);
        assert_eq!(number(consumer.message_log().store(), MOULDS).await, with_new - before);
        assert_eq!(consumer.message_log().find("m-8").await.unwrap().len(), 2);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_without_time_stamps_stop_nobody_and_then_all_is_stamped_in_order() {
    for nodes in on_both_engines(412, |_, _| {}).await {
        nodes.federation.set_validity(Duration::from_hours(48));
        nodes.federation.set_outage(Outage::TimeStamps, true);
        for hour in 0..8 {
            nodes.consumer.ready().await.unwrap();
            nodes.provider.ready().await.unwrap();
            let reply = nodes.call("GET", ECHO, &[("X-Road-Id", &format!("h-{hour}"))], "").await;
            assert_eq!(reply.status, 200, "hour {hour}: {:?}", reply.body);
            assert!(nodes.consumer.stamp_now().await.is_err());
            nodes.clock.advance(Duration::from_hours(1));
        }
        nodes.clock.advance(Duration::from_secs(1));
        let log = nodes.consumer.message_log();
        let state = log.stamping_state().await.unwrap();
        assert_eq!((state.waiting, state.stops_at), (16, None));
        let note = state.note(nodes.clock.now()).unwrap();
        assert!(note.starts_with("16 records wait for a time stamp, the oldest for 480 min"), "{note}");
        assert!(note.ends_with("exchanges go on"), "{note}");
        nodes.consumer.ready().await.unwrap();
        let health = health(&nodes).await;
        assert!(health.contains("\"status\":\"ok\"") && health.contains("16 records wait"), "{health}");
        nodes.federation.set_outage(Outage::TimeStamps, false);
        nodes.consumer.ready().await.unwrap();
        assert_eq!(nodes.consumer.stamp_now().await, Ok(16));
        let state = log.stamping_state().await.unwrap();
        assert_eq!((state.waiting, state.note(nodes.clock.now())), (0, None));
        let sql = "SELECT COUNT(*) AS number FROM bridge_stamped s JOIN bridge_stamp t ON t.id = s.stamp WHERE t.id > s.record";
        assert_eq!(number(log.store(), sql).await, 16);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_records_than_a_stamp_may_cover_get_several() {
    for nodes in on_both_engines(416, |_, _| {}).await {
        let log = nodes.provider.message_log();
        for part in 0..5 {
            let count = if part < 4 { 1_000 } else { 1 };
            let records = (0..count).map(|turn| record(&format!("m-{part}-{turn}"))).collect();
            log.append(records, Vec::new()).await.unwrap();
        }
        assert_eq!(nodes.provider.stamp_now().await, Ok(4_001));
        assert_eq!(number(log.store(), "SELECT COUNT(*) AS number FROM bridge_stamp").await, 2);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_the_stop_gets_it_with_a_countdown_and_goes_on_after_the_recovery() {
    let change = |consumer: &mut NodeConfig, _: &mut NodeConfig| {
        consumer.log.stamping = StampingPolicy::StopAfter(Duration::from_hours(4));
    };
    for nodes in on_both_engines(413, change).await {
        nodes.federation.set_validity(Duration::from_hours(48));
        nodes.federation.set_outage(Outage::TimeStamps, true);
        let log = nodes.consumer.message_log();
        let mut left = Vec::new();
        for _ in 0..4 {
            nodes.consumer.ready().await.unwrap();
            nodes.provider.ready().await.unwrap();
            assert_eq!(nodes.get(ECHO).await.status, 200);
            assert!(nodes.consumer.stamp_now().await.is_err());
            let state = log.stamping_state().await.unwrap();
            left.push(state.stops_in(nodes.clock.now()).unwrap().as_secs().div_ceil(3_600));
            nodes.clock.advance(Duration::from_hours(1));
        }
        assert_eq!(left, [4, 3, 2, 1]);
        nodes.clock.advance(Duration::from_secs(1));
        nodes.consumer.ready().await.unwrap();
        nodes.provider.ready().await.unwrap();
        let before = nodes.service.seen().len();
        let reply = nodes.get(ECHO).await;
        assert_eq!(reply.error_type(), "server.clientproxy.timestamper_failed", "{:?}", reply.body);
        assert_eq!(nodes.service.seen().len(), before, "the service was not asked");
        assert!(health(&nodes).await.contains("\"status\":\"failing\""));
        nodes.federation.set_outage(Outage::TimeStamps, false);
        assert_eq!(nodes.consumer.stamp_now().await, Ok(8));
        assert_eq!(nodes.get(ECHO).await.status, 200);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_on_one_log_lose_nothing_and_do_nothing_twice() {
    let change = |_: &mut NodeConfig, provider: &mut NodeConfig| provider.log.replica = Some([1; 16]);
    for nodes in on_both_engines(414, change).await {
        let store = nodes.provider.message_log().store().clone();
        // And it digests otherwise: each stamp covers records of one algorithm.
        let change = |config: &mut NodeConfig| {
            config.log.replica = Some([2; 16]);
            config.log.hash = DigestAlgorithm::Sha512;
        };
        let other = nodes.replica_of_provider_with(store.clone(), change).await;
        other.ready().await.unwrap();
        let other = Arc::new(other);
        // Both write at the same frozen microsecond: ids collide and are drawn anew.
        let mut writers = Vec::new();
        for writer in 0..8 {
            let log = Arc::clone(&other);
            writers.push(tokio::spawn(async move {
                for turn in 0..10 {
                    log.message_log().append(vec![record(&format!("r-{writer}-{turn}"))], Vec::new()).await.unwrap();
                }
            }));
        }
        for turn in 0..20 {
            nodes.provider.message_log().append(vec![record(&format!("o-{turn}"))], Vec::new()).await.unwrap();
        }
        for writer in writers {
            writer.await.unwrap();
        }
        nodes.clock.advance(Duration::from_secs(1));
        // Each job passes only what the other has promised not to write below.
        for log in [nodes.provider.message_log(), other.message_log()] {
            log.beat().await.unwrap();
        }
        let (one, two) = tokio::join!(nodes.provider.stamp_now(), other.stamp_now());
        let mut stamped = one.unwrap() + two.unwrap();
        for node in [&nodes.provider, &*other] {
            node.message_log().beat().await.unwrap();
            stamped += node.stamp_now().await.unwrap();
        }
        assert_eq!(stamped, 100);
        assert_eq!(number(&store, "SELECT COUNT(*) AS number FROM bridge_stamped").await, 100);
        for (id, algorithm) in [("o-0", DigestAlgorithm::Sha256), ("r-0-0", DigestAlgorithm::Sha512)] {
            let record = other.message_log().find(id).await.unwrap().remove(0);
            let (stamp, signature) = (record.stamp.unwrap(), record.content.signature.whole().unwrap().clone());
            let file = |name: &str| if name.starts_with("/META-INF") { Data::Bytes(&signature) } else { Data::Unknown };
            let found = hashchain::verify(&stamp.chain_result, "/ts-hashchain.xml", &stamp.chain, file).unwrap();
            assert_eq!(found[0].algorithm, algorithm, "{id}");
        }
        let (one, two) = tokio::join!(nodes.provider.commit_now(), other.commit_now());
        let committed = one.unwrap() + two.unwrap() + nodes.provider.commit_now().await.unwrap();
        assert_eq!(committed, 100);
        assert_eq!(number(&store, "SELECT COUNT(*) AS number FROM bridge_leaf").await, 100);
        other.stop().await;
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_silent_holds_nobody_back_for_longer_than_a_minute() {
    let change = |_: &mut NodeConfig, provider: &mut NodeConfig| provider.log.replica = Some([1; 16]);
    for nodes in on_both_engines(415, change).await {
        let store = nodes.provider.message_log().store().clone();
        let dead = MessageLog::open_with(store, nodes.clock.clone(), store::testing::random(), {
            bridge::messagelog::LogSettings { replica: Some([9; 16]), ..Default::default() }
        });
        let dead = dead.await.unwrap();
        nodes.provider.message_log().append(vec![record("a-1")], Vec::new()).await.unwrap();
        assert_eq!(nodes.provider.stamp_now().await, Ok(0), "the other may still write a lower id");
        nodes.clock.advance(Duration::from_secs(61));
        assert_eq!(nodes.provider.stamp_now().await, Ok(1));
        // It was only slow: it comes back above everything that was passed meanwhile.
        dead.append(vec![record("late")], Vec::new()).await.unwrap();
        dead.beat().await.unwrap();
        assert_eq!(nodes.provider.stamp_now().await, Ok(1));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_the_first_release_is_read_searched_and_stamped() {
    for store in store::testing::engines().await {
        store.migrate(&migrations()[..1]).await.unwrap();
        let id = 1_795_300_800_000_000_i64;
        let part = |bytes: &[u8]| [(bytes.len() as u64).to_be_bytes().as_slice(), bytes].concat();
        let none = u64::MAX.to_be_bytes().to_vec();
        let content = [vec![1], part(b"GET\r\n/r1/x\r\n"), part(b"{}"), part(b"<s/>"), none.clone(), none].concat();
        let sealed = store.sealer().seal("bridge_message", "content", id.to_string(), &content).unwrap();
        let row = params![
            id,
            "old-1",
            "r-1",
            0,
            0,
            CLIENT,
            ECHO,
            "sent",
            trust::digest::sha256(&content),
            [7_u8; 32],
            trust::digest::sha512(b"<s/>"),
            sealed
        ];
        let insert = "INSERT INTO bridge_message (id, message_id, request_id, role, kind, client, service, outcome, digest, salt, \
                      signature_digest, content) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        store
            .tx("test.old", move |tx| tx.execute(insert, &row))
            .await
            .unwrap_or_else(|e: StoreError| unreachable!("{e}"));
        let clock = Arc::new(civic::testing::TestClock::at("2026-11-21T22:40:00Z"));
        let log = MessageLog::open(store, clock, store::testing::random()).await.unwrap();
        let found = log.find("old-1").await.unwrap();
        assert_eq!(found[0].content.message.whole().unwrap().as_ref(), b"GET\r\n/r1/x\r\n");
        assert_eq!(found[0].content.attachments[0].body.whole().unwrap().as_ref(), b"{}");
        assert_eq!((found[0].mode, &found[0].content.form), (LogMode::Full, &MessageForm::Rest));
        let query = SearchQuery { peer: Some("BB/GOV/1002".parse().unwrap()), ..SearchQuery::default() };
        assert_eq!(log.search(query).await.unwrap().records.len(), 1);
        assert_eq!(log.stamping_state().await.unwrap().waiting, 1);
        log.store().close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_logged_once_also_where_replicas_see_it_at_the_same_time() {
    for store in store::testing::engines().await {
        let clock = Arc::new(civic::testing::TestClock::at("2026-11-21T22:40:00Z"));
        let log = async |name: u8| {
            let settings = bridge::messagelog::LogSettings { replica: Some([name; 16]), ..Default::default() };
            MessageLog::open_with(store.clone(), clock.clone(), store::testing::random(), settings).await.unwrap()
        };
        let (one, two) = (log(1).await, log(2).await);
        let same = || NewRecord { replay: Some([5; 32]), ..record("twice") };
        let (a, b) = tokio::join!(one.append(vec![same()], Vec::new()), two.append(vec![same()], Vec::new()));
        assert!(a.is_ok() != b.is_ok());
        assert!(matches!(a.and(b), Err(LogError::Duplicate)));
        store.close().await;
    }
}

/// An answer of the provider's node, for tests in which no container is made of it.
fn record(message_id: &str) -> NewRecord {
    NewRecord {
        role: Role::Provider,
        kind: RecordKind::Response,
        client: CLIENT.parse().unwrap(),
        service: ECHO.parse().unwrap(),
        message_id: message_id.to_owned(),
        request_id: "r-1".to_owned(),
        outcome: "answered".to_owned(),
        replay: None,
        content: Content {
            form: MessageForm::Rest,
            message: Kept::Whole(Bytes::from_static(b"200\r\nOK\r\n")),
            attachments: Vec::new(),
            signature: Kept::Whole(Bytes::from(format!("<signature of=\"{message_id}\"/>"))),
            batch: None,
        },
    }
}

async fn health(nodes: &TwoNodes) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(nodes.consumer.addresses().admin).await.unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}
