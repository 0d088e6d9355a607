//! Two replicas of a node, as processes of their own behind one address, on one PostgreSQL store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use store::{Store, StoreError, params};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use trust::seal::KeyRing;

use crate::federation::{ECHO, Federation, offer};

/// One address in front of several: each connection goes to the next that answers.
async fn balance(address: String, behind: Vec<String>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let turn = AtomicUsize::new(0);
    loop {
        let Ok((mut outer, _)) = listener.accept().await else { continue };
        let start = turn.fetch_add(1, Ordering::SeqCst);
        let order: Vec<String> = (0..behind.len()).map(|step| behind[(start + step) % behind.len()].clone()).collect();
        tokio::spawn(async move {
            for target in order {
                if let Ok(mut inner) = TcpStream::connect(&target).await {
                    let _ = copy_bidirectional(&mut outer, &mut inner).await;
                    return;
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_serve_as_one_and_the_death_of_one_loses_nothing() {
    let Some(location) = store::testing::postgres_location() else {
        eprintln!("LEFT OUT: replicas share a PostgreSQL store, and there is none here");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(web::serve(listener, Router::new().fallback(async || "well"), CancellationToken::new()));

    let federation = Arc::new(Federation::found());
    federation.join("bank", 3, "BB/COM/2001/node-1", "credit", "").await;
    // The tax office's node is registered under address 4, where the balancer listens; its replicas listen on 5 and 6.
    let more = format!("store = \"{}\"\n{}", shown(&location), offer(&service));
    federation.join("tax", 4, "BB/GOV/1002/node-1", "fisc", &more).await;
    for (host, name) in [(5, "tax"), (6, "tax-2")] {
        let home = federation.home(name);
        if name != "tax" {
            copy(&federation.home("tax"), &home);
        }
        std::fs::write(home.join("node.toml"), federation.settings(host, 4, "BB/GOV/1002/node-1", "fisc", &more))
            .unwrap();
    }
    for port in [5500, 5577] {
        tokio::spawn(balance(federation.at(4, port), vec![federation.at(5, port), federation.at(6, port)]));
    }
    let bank = federation.run_node("bank", 3).await;
    let first = federation.run_node("tax", 5).await;
    let second = federation.run_node("tax-2", 6).await;
    federation.call_until_well(&federation.at(3, 8080), ECHO).await;

    let answered = traffic(&federation, first).await;
    let records = records(&federation, &location).await;
    let lost: Vec<&String> = answered.difference(&records).collect();
    assert!(lost.is_empty(), "{} answered exchanges are not in the log", lost.len());
    stamped(&federation, &location).await;
    assert_eq!(second.terminate().0.code(), Some(0));
    assert_eq!(bank.terminate().0.code(), Some(0));
}

/// Eight callers; one replica is killed in the middle. Answers the ids of all exchanges that were answered.
async fn traffic(federation: &Arc<Federation>, first: crate::federation::Process) -> BTreeSet<String> {
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for caller in 0..8 {
        let (federation, over) = (Arc::clone(federation), Arc::clone(&over));
        callers.push(tokio::spawn(async move {
            let mut answered = BTreeSet::new();
            for turn in 0_u32.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let id = format!("replica-{caller}-{turn}");
                let reply = federation.call(&federation.at(3, 8080), ECHO, &id).await;
                if reply.is_ok_and(|reply| reply.status.is_success()) {
                    answered.insert(id);
                }
            }
            answered
        }));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    first.kill();
    let killed = Instant::now();
    federation.call_until_well(&federation.at(3, 8080), ECHO).await;
    assert!(killed.elapsed() < Duration::from_secs(30), "the other replica goes on");
    tokio::time::sleep(Duration::from_secs(3)).await;
    over.store(true, Ordering::SeqCst);
    let mut answered = BTreeSet::new();
    for caller in callers {
        answered.extend(caller.await.unwrap());
    }
    assert!(answered.len() > 50, "only {} exchanges were answered", answered.len());
    answered
}

async fn open(federation: &Federation, location: &store::Location) -> Store {
    let keys = std::fs::read_to_string(federation.home("tax").join("store.key")).unwrap();
    let random = Arc::new(civic::testing::SeededRandom::new(1));
    Store::open(location, KeyRing::from_text(&keys).unwrap(), random).await.unwrap()
}

/// The message ids that the shared log holds with request and answer.
async fn records(federation: &Federation, location: &store::Location) -> BTreeSet<String> {
    let store = open(federation, location).await;
    let rows = store.read("test.logged", |tx| {
        tx.query(
            "SELECT message_id FROM bridge_message WHERE role = $1 GROUP BY message_id HAVING COUNT(DISTINCT kind) = 2",
            &params![1],
        )
    });
    let rows: Result<_, StoreError> = rows.await;
    let ids = rows.unwrap().iter().map(|row| row.get("message_id").unwrap()).collect();
    store.close().await;
    ids
}

/// Every record gets its stamp, and one only, though a replica died that may have held the duty.
async fn stamped(federation: &Federation, location: &store::Location) {
    let store = open(federation, location).await;
    let started = Instant::now();
    loop {
        let rows: Result<_, StoreError> = store
            .read("test.unstamped", |tx| {
                tx.query(
                    "SELECT COUNT(*) AS waiting FROM bridge_message m LEFT JOIN bridge_stamped s ON s.record = m.id \
                     WHERE s.record IS NULL",
                    &[],
                )
            })
            .await;
        let waiting: i64 = rows.unwrap()[0].get("waiting").unwrap();
        if waiting == 0 {
            break;
        }
        assert!(started.elapsed() < Duration::from_mins(3), "{waiting} records wait for their stamp");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    store.close().await;
}

/// A location as a configuration file says it.
fn shown(location: &store::Location) -> String {
    let store::Location::Postgres { url, schema } = location else { unreachable!("it is PostgreSQL") };
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}schema={}", schema.as_deref().unwrap())
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let arguments = ["-a", from.to_str().unwrap(), to.to_str().unwrap()];
    assert!(std::process::Command::new("cp").args(arguments).status().unwrap().success());
}
