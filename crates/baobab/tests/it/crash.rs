//! A hundred kills under load: every exchange that a caller saw answered stands in both logs, request and answer.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use civic::testing::SeededRandom;
use http::header::{HeaderName, HeaderValue};
use store::{Location, Store, params};
use trust::seal::KeyRing;
use web::{ClientLimits, HttpClient};

use crate::nation::DemoProcess;

const KILLS: u64 = 100;
const CALLERS: u64 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_under_load_lose_no_answered_exchange() {
    let data = tempfile::tempdir().unwrap();
    let mut nation = DemoProcess::start(data.path());
    let ports = nation.port_base();
    let mut answered = BTreeSet::new();
    for round in 0..KILLS {
        answered.extend(answered_before_the_kill(nation, round).await);
        for (organisation, role) in [("banque", 0), ("etat-civil", 1)] {
            let logged = fully_logged(&data.path().join(organisation), role).await;
            let lost: Vec<&String> = answered.difference(&logged).collect();
            assert!(
                lost.is_empty(),
                "round {round}: {} answered exchanges are not in the log of {organisation}",
                lost.len()
            );
        }
        nation = DemoProcess::start_on(data.path(), ports);
    }
    assert!(
        answered.len() as u64 >= KILLS,
        "only {} exchanges were answered: the test proves too little",
        answered.len()
    );
}

/// Runs callers against the bank's node, kills the process at a moment that differs each round, and returns the message ids of
/// all exchanges that were answered in full.
async fn answered_before_the_kill(nation: DemoProcess, round: u64) -> Vec<String> {
    let url = format!("{}/r1/BB/GOV/1001/etat-civil/communes", nation.consumer_url("BB/COM/2001/credit"));
    let answered = Arc::new(Mutex::new(Vec::new()));
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let (url, answered, over) = (url.clone(), Arc::clone(&answered), Arc::clone(&over));
        callers.push(tokio::spawn(async move {
            let http = HttpClient::new(ClientLimits::default(), None);
            for call in 0_u32.. {
                let id = format!("crash-{round}-{caller}-{call}");
                let headers = [header("x-road-client", "BB/COM/2001/credit"), header("x-road-id", &id)];
                match http.get(&url, &headers).await {
                    Ok(reply) if reply.status.is_success() => answered.lock().unwrap().push(id),
                    Ok(reply) => assert!(over.load(Ordering::SeqCst), "refused before the kill: {}", reply.status),
                    Err(_) => return,
                }
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(60 + round * 7 % 180)).await;
    over.store(true, Ordering::SeqCst);
    nation.kill();
    for caller in callers {
        caller.await.unwrap();
    }
    Arc::try_unwrap(answered).unwrap().into_inner().unwrap()
}

/// The message ids whose request and answer both stand in the log of an organisation's node.
async fn fully_logged(folder: &Path, role: i64) -> BTreeSet<String> {
    let keys = KeyRing::from_text(&std::fs::read_to_string(folder.join("seal.keys")).unwrap()).unwrap();
    let location = Location::Sqlite(folder.join("node.db"));
    let store = Store::open(&location, keys, Arc::new(SeededRandom::new(1))).await.unwrap();
    let rows = store
        .read("test.logged", move |tx| {
            tx.query(
                "SELECT message_id FROM bridge_message WHERE role = $1 GROUP BY message_id HAVING COUNT(DISTINCT kind) = 2",
                &params![role],
            )
        })
        .await
        .map_err(|error: store::StoreError| error)
        .unwrap();
    store.close().await;
    rows.iter().map(|row| row.get("message_id").unwrap()).collect()
}

fn header(name: &'static str, value: &str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
}
