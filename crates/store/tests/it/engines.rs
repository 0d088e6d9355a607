//! Every case runs on every engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use store::testing::{engines, open};
use store::{AppendTable, ColumnKind, Migration, Store, StoreError, Tx, Value, params};

pub(crate) const TABLES: &[Migration] = &[Migration {
    room: "demo",
    number: 1,
    name: "tables",
    sql: "-- what the tests write\n\
          CREATE TABLE demo_account (\n  id TEXT PRIMARY KEY,\n  cents {int} NOT NULL CHECK (cents >= 0),\n  note TEXT\n);\n\
          CREATE TABLE demo_log (\n  id {int} PRIMARY KEY,\n  name TEXT,\n  record {bytes} NOT NULL\n);\n",
}];

pub(crate) static LOG: AppendTable = AppendTable {
    name: "demo_log",
    columns: &[("id", ColumnKind::Int), ("name", ColumnKind::Text), ("record", ColumnKind::Bytes)],
};

pub(crate) async fn prepared() -> Vec<Store> {
    let stores = engines().await;
    for store in &stores {
        store.migrate(TABLES).await.unwrap();
    }
    stores
}

pub(crate) fn log_row(id: i64) -> Vec<Value> {
    params![id, format!("row {id}"), vec![1_u8, 2, 3]]
}

pub(crate) async fn count(store: &Store, sql: &'static str) -> i64 {
    store.read("demo.count", move |tx| count_in(tx, sql)).await.unwrap()
}

fn count_in(tx: &mut Tx<'_>, sql: &str) -> Result<i64, StoreError> {
    tx.query_one(sql, &[])?.map_or(Ok(-1), |row| row.get("n"))
}

async fn pay_in(store: &Store, id: &'static str, cents: i64) -> Result<u64, StoreError> {
    store
        .tx("demo.pay_in", move |tx| {
            tx.execute("INSERT INTO demo_account (id, cents) VALUES ($1, $2)", &params![id, cents])
        })
        .await
}

#[tokio::test]
async fn what_was_written_is_read_back_in_all_kinds() {
    for store in prepared().await {
        store
            .tx("demo.write", |tx| {
                tx.execute(
                    "INSERT INTO demo_log (record, name, id) VALUES ($3, $2, $1)",
                    &params![i64::MIN, Option::<&str>::None, vec![0_u8, 255]],
                )
            })
            .await
            .unwrap();
        let row = store
            .read("demo.read", |tx| {
                tx.query_one("SELECT id, name, record FROM demo_log WHERE id = $1", &params![i64::MIN])
            })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.get::<i64>("id"), Ok(i64::MIN));
        assert_eq!(row.get::<Option<String>>("name"), Ok(None));
        assert_eq!(row.get::<Vec<u8>>("record"), Ok(vec![0, 255]));
        assert!(row.get::<String>("record").is_err());
    }
}

#[tokio::test]
async fn sums_counts_and_truth_values_are_integers() {
    for store in prepared().await {
        pay_in(&store, "a", 40).await.unwrap();
        pay_in(&store, "b", 2).await.unwrap();
        let row = store
            .read("demo.sums", |tx| {
                tx.query_one(
                    "SELECT SUM(cents) AS total, COUNT(*) AS n, SUM(cents) > 41 AS rich, CAST($1 AS BIGINT) AS given,
                            MAX(note) AS note FROM demo_account WHERE cents > $2 LIMIT $3",
                    &params![7, 1, 10],
                )
            })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.get::<i64>("total"), Ok(42));
        assert_eq!(row.get::<u32>("n"), Ok(2));
        assert_eq!(row.get::<bool>("rich"), Ok(true));
        assert_eq!(row.get::<i64>("given"), Ok(7));
        assert_eq!(row.get::<Option<String>>("note"), Ok(None));
    }
}

#[tokio::test]
async fn an_error_of_the_closure_rolls_back() {
    for store in prepared().await {
        let outcome: Result<(), StoreError> = store
            .tx("demo.refused", |tx| {
                tx.execute("INSERT INTO demo_account (id, cents) VALUES ($1, $2)", &params!["x", 1])?;
                Err(StoreError::Closed)
            })
            .await;
        assert_eq!(outcome, Err(StoreError::Closed));
        assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM demo_account").await, 0);
    }
}

#[tokio::test]
async fn a_failed_statement_ends_the_transaction_even_when_it_is_ignored() {
    for store in prepared().await {
        pay_in(&store, "a", 1).await.unwrap();
        let outcome: Result<(), StoreError> = store
            .tx("demo.ignores", |tx| {
                tx.execute("INSERT INTO demo_account (id, cents) VALUES ($1, $2)", &params!["b", 1])?;
                let _ = tx.execute("INSERT INTO demo_account (id, cents) VALUES ($1, $2)", &params!["a", 1]);
                let _ = tx.execute("INSERT INTO demo_account (id, cents) VALUES ($1, $2)", &params!["c", 1]);
                Ok(())
            })
            .await;
        assert!(matches!(outcome, Err(StoreError::FailedBefore { .. })), "{outcome:?}");
        assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM demo_account").await, 1);
    }
}

#[tokio::test]
async fn keys_and_rules_of_a_table_are_told_apart_and_show_no_value() {
    for store in prepared().await {
        pay_in(&store, "awa", 1).await.unwrap();
        let twice = pay_in(&store, "awa", 1).await.unwrap_err();
        assert!(matches!(twice, StoreError::Unique { .. }), "{twice}");
        assert!(!twice.to_string().contains("awa"), "{twice}");
        let negative = pay_in(&store, "b", -1).await.unwrap_err();
        assert!(matches!(negative, StoreError::Constraint { .. }), "{negative}");
    }
}

#[tokio::test]
async fn a_wrong_statement_is_named_and_changes_nothing() {
    for store in prepared().await {
        for (sql, values) in [
            ("SELECT nothing FROM demo_account", params![]),
            ("SELECT id FROM demo_account WHERE id = $1", params![]),
            ("SELECT id FROM demo_account WHERE id = $1", params!["a", "b"]),
            ("INSERT INTO demo_account (id, cents) VALUES ($1, $2)", params!["a", "not a number"]),
        ] {
            let outcome = store.tx("demo.wrong", move |tx| tx.query(sql, &values)).await;
            assert!(
                matches!(outcome, Err(StoreError::Statement { .. } | StoreError::Constraint { .. })),
                "{sql}: {outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_reader_cannot_write() {
    for store in prepared().await {
        let outcome = store
            .read("demo.sly", |tx| tx.execute("INSERT INTO demo_account (id, cents) VALUES ($1, $2)", &params!["a", 1]))
            .await;
        assert!(outcome.is_err());
        assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM demo_account").await, 0);
    }
}

#[tokio::test]
async fn concurrent_increments_are_all_counted() {
    for store in prepared().await {
        pay_in(&store, "shared", 0).await.unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        let callers: Vec<_> = (0..40)
            .map(|_| {
                let (store, runs) = (store.clone(), Arc::clone(&runs));
                tokio::spawn(async move {
                    store
                        .tx("demo.increment", move |tx| {
                            runs.fetch_add(1, Ordering::SeqCst);
                            let row =
                                tx.query_one("SELECT cents FROM demo_account WHERE id = $1", &params!["shared"])?;
                            let cents: i64 = row.map_or(Ok(0), |row| row.get("cents"))?;
                            tx.execute(
                                "UPDATE demo_account SET cents = $2 WHERE id = $1",
                                &params!["shared", cents + 1],
                            )
                        })
                        .await
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap().unwrap();
        }
        assert_eq!(count(&store, "SELECT cents AS n FROM demo_account").await, 40, "{store:?}");
        assert!(runs.load(Ordering::SeqCst) >= 40);
    }
}

#[tokio::test]
async fn callers_who_wait_together_share_a_commit() {
    for store in prepared().await {
        let before = store.stats();
        let callers: Vec<_> = (0..640)
            .map(|id| {
                let store = store.clone();
                tokio::spawn(async move { store.append(&LOG, vec![log_row(id)]).await })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap().unwrap();
        }
        let after = store.stats();
        let commits = after.commits - before.commits;
        assert_eq!(after.rows_appended - before.rows_appended, 640);
        assert!(commits < 320, "{commits} commits for 640 appends on {store:?}");
        assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM demo_log").await, 640);
    }
}

#[tokio::test]
async fn one_refused_append_does_not_spoil_its_neighbours() {
    for store in prepared().await {
        let callers: Vec<_> = (0..64)
            .map(|id| {
                let store = store.clone();
                // Every eighth caller uses a key that another one has.
                let key = if id % 8 == 7 { id - 1 } else { id };
                tokio::spawn(async move { store.append(&LOG, vec![log_row(1_000 + key), log_row(5_000 + id)]).await })
            })
            .collect();
        let mut refused = 0_i64;
        for caller in callers {
            match caller.await.unwrap() {
                Ok(()) => {}
                Err(StoreError::Unique { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(refused, 8);
        assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM demo_log").await, 2 * (64 - refused));
    }
}

#[tokio::test]
async fn a_panic_in_a_closure_fails_that_caller_only() {
    for store in prepared().await {
        let outcome: Result<(), StoreError> = store.tx("demo.panics", |_| panic!("on purpose")).await;
        assert_eq!(outcome, Err(StoreError::Panicked { name: "demo.panics" }));
        pay_in(&store, "after", 1).await.unwrap();
    }
}

#[tokio::test]
async fn rows_of_another_shape_are_refused_before_the_engine_sees_them() {
    for store in prepared().await {
        assert!(store.append(&LOG, vec![params![1]]).await.is_err());
        assert!(store.append(&LOG, vec![params!["1", "x", vec![1_u8]]]).await.is_err());
        store.append(&LOG, vec![]).await.unwrap();
        assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM demo_log").await, 0);
    }
}

#[tokio::test]
async fn migrations_are_applied_once_and_frozen() {
    const SECOND: Migration =
        Migration { room: "demo", number: 2, name: "more", sql: "CREATE TABLE demo_more (id TEXT PRIMARY KEY);\n" };
    for store in prepared().await {
        let Some(first) = TABLES.first().copied() else { return };
        store.migrate(TABLES).await.unwrap();
        store.migrate(&[first, SECOND]).await.unwrap();
        store.migrate(&[first, SECOND]).await.unwrap();
        let edited = Migration { sql: "CREATE TABLE demo_more (id TEXT PRIMARY KEY, x TEXT);\n", ..SECOND };
        let refused = store.migrate(&[first, edited]).await.unwrap_err();
        assert!(refused.to_string().contains("differs from the one applied"), "{refused}");
        let broken =
            Migration { number: 3, sql: "CREATE TABLE demo_fine (id TEXT);\nCREATE TABLE demo_bad (;\n", ..SECOND };
        assert!(store.migrate(&[first, SECOND, broken]).await.is_err());
        let fine = store.tx("demo.look", |tx| tx.query("SELECT id FROM demo_fine", &[])).await;
        assert!(fine.is_err(), "half a migration stayed behind on {store:?}");
    }
}

#[tokio::test]
async fn a_closed_store_has_served_those_who_waited_and_refuses_the_rest() {
    for store in prepared().await {
        let waiting: Vec<_> = (0..50)
            .map(|id| {
                let store = store.clone();
                tokio::spawn(async move { store.append(&LOG, vec![log_row(id)]).await })
            })
            .collect();
        tokio::task::yield_now().await;
        store.close().await;
        let mut stored = 0;
        for caller in waiting {
            match caller.await.unwrap() {
                Ok(()) => stored += 1,
                Err(error) => assert_eq!(error, StoreError::Closed),
            }
        }
        let again = open(store.location()).await;
        assert_eq!(count(&again, "SELECT COUNT(*) AS n FROM demo_log").await, stored);
        assert_eq!(pay_in(&store, "late", 1).await, Err(StoreError::Closed));
        assert_eq!(store.health().await, Err(StoreError::Closed));
    }
}

#[tokio::test]
async fn the_store_shows_its_metrics_by_name() {
    for store in prepared().await {
        pay_in(&store, "a", 1).await.unwrap();
        let mut registry = prometheus_client::registry::Registry::default();
        store.register_metrics(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("baobab_store_tx_duration_seconds_count{name=\"demo.pay_in\"} 1"), "{text}");
        assert!(text.contains("baobab_store_commits_total"), "{text}");
    }
}
