//! What can befall a database server. Skipped where the tests have none (`cargo xtask test` starts one).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use store::testing::{open, postgres_location};
use store::{Location, Store, StoreError};

use crate::engines::{LOG, TABLES, count, log_row};

async fn prepared() -> Option<Store> {
    let store = open(&postgres_location()?).await;
    store.migrate(TABLES).await.unwrap();
    Some(store)
}

async fn kill_backends(store: &Store) -> i64 {
    let killed: Result<i64, StoreError> = store
        .tx("demo.kill", |tx| {
            tx.query_one(
                "SELECT COUNT(pg_terminate_backend(pid)) AS n FROM pg_stat_activity
                 WHERE pid <> pg_backend_pid() AND application_name = 'victim'",
                &[],
            )?
            .map_or(Ok(0), |row| row.get("n"))
        })
        .await;
    killed.unwrap()
}

#[tokio::test]
async fn killed_connections_are_opened_again_and_nothing_acknowledged_is_lost() {
    let Some(Location::Postgres { url, schema }) = postgres_location() else { return };
    // A name of its own, so that only the connections of this test are killed.
    let mark = if url.contains('?') { '&' } else { '?' };
    let store = open(&Location::Postgres { url: format!("{url}{mark}application_name=victim"), schema }).await;
    store.migrate(TABLES).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut stored = 0_i64;
            for id in 0..300 {
                match store.append(&LOG, vec![log_row(id)]).await {
                    Ok(()) => stored += 1,
                    Err(error) => assert!(
                        matches!(error, StoreError::OutcomeUnknown { .. } | StoreError::Unavailable { .. }),
                        "{error}"
                    ),
                }
            }
            stored
        })
    };
    for _ in 0..5 {
        kill_backends(&store).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stored = writer.await.unwrap();
    let rows = count(&store, "SELECT COUNT(*) AS n FROM demo_log").await;
    assert!(rows >= stored && stored > 200, "{stored} acknowledged, {rows} stored");
}

#[tokio::test]
async fn a_database_that_is_away_is_a_clear_error() {
    let away = Location::Postgres { url: "postgres://nobody@127.0.0.1:9/nothing".into(), schema: None };
    let refused = Store::open(&away, store::testing::keys(), store::testing::random()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
    assert!(refused.is_temporary());
}

#[tokio::test]
async fn a_database_that_goes_away_fails_its_callers_soon_and_serves_them_when_it_is_back() {
    let Some(Location::Postgres { url, schema }) = postgres_location() else { return };
    let Some(database) = address_of(&url) else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let link = tokio::spawn(forward(listener, database));
    let url = url.replacen(&database.to_string(), &address.to_string(), 1);
    let store = open(&Location::Postgres { url, schema }).await;
    store.migrate(TABLES).await.unwrap();
    store.append(&LOG, vec![log_row(1)]).await.unwrap();
    // The link and all its connections break.
    link.abort();
    let _ = link.await;
    let began = Instant::now();
    for id in 2..6 {
        let refused = store.append(&LOG, vec![log_row(id)]).await.unwrap_err();
        let known = matches!(refused, StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. });
        assert!(known, "{refused}");
        assert!(store.health().await.is_err());
    }
    assert!(began.elapsed() < Duration::from_secs(20), "callers waited {:?}", began.elapsed());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let link = tokio::spawn(forward(listener, database));
    store.append(&LOG, vec![log_row(10)]).await.unwrap();
    store.health().await.unwrap();
    assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM demo_log WHERE id IN (1, 10)").await, 2);
    link.abort();
}

/// Carries bytes between a port of the test and the database until it is aborted.
async fn forward(listener: tokio::net::TcpListener, database: SocketAddr) {
    let mut links = tokio::task::JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        links.spawn(async move {
            if let Ok(mut far) = tokio::net::TcpStream::connect(database).await {
                // Either side may hang up; the test looks at what the store makes of it.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

fn address_of(url: &str) -> Option<SocketAddr> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    authority.rsplit('@').next()?.parse().ok()
}

#[tokio::test]
async fn two_organisations_share_a_database_without_seeing_each_other() {
    let (Some(one), Some(two)) = (prepared().await, prepared().await) else { return };
    one.append(&LOG, vec![log_row(1)]).await.unwrap();
    assert_eq!(count(&one, "SELECT COUNT(*) AS n FROM demo_log").await, 1);
    assert_eq!(count(&two, "SELECT COUNT(*) AS n FROM demo_log").await, 0);
}

#[tokio::test]
async fn replicas_that_start_at_once_agree_on_the_migrations() {
    let Some(location) = postgres_location() else { return };
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let location = location.clone();
            tokio::spawn(async move {
                let store = Store::open(&location, store::testing::keys(), store::testing::random()).await?;
                store.migrate(TABLES).await
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
}
