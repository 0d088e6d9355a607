//! What was altered below the log is named, never served and never signed over.

use ledger::LedgerError;
use store::{Store, StoreError, params};
use trust::merkle::Tile;

use crate::log::{entry, fill, key, open};

async fn alter(store: &Store, sql: &'static str) {
    let changed: Result<u64, StoreError> = store.tx("test.alter", move |tx| tx.execute(sql, &params![])).await;
    assert_eq!(changed, Ok(1), "{sql}");
}

fn place_of(error: &LedgerError) -> String {
    match error {
        LedgerError::Damaged { place, .. } => place.clone(),
        LedgerError::Proof(_) => "proof".to_owned(),
        other => other.to_string(),
    }
}

/// Changes the last byte of an entry where it is stored.
async fn alter_entry(store: &Store, number: u64) {
    let altered: Result<(), StoreError> = store
        .tx("test.alter_entry", move |tx| {
            let rows = tx.query("SELECT first, bundle FROM ledger_batch ORDER BY first", &[])?;
            for row in rows {
                let (first, mut bundle): (i64, Vec<u8>) = (row.get("first")?, row.get("bundle")?);
                let text = entry(number);
                let Some(place) = bundle.windows(text.len()).position(|window| window == text) else { continue };
                bundle[place + text.len() - 1] ^= 1;
                tx.execute("UPDATE ledger_batch SET bundle = $2 WHERE first = $1", &params![first, bundle])?;
                return Ok(());
            }
            panic!("entry {number} is not there");
        })
        .await;
    altered.unwrap();
}

#[tokio::test]
async fn an_altered_entry_is_named_by_the_check_and_not_served() {
    for store in store::testing::engines().await {
        let ledger = open(&store, &key()).await.unwrap();
        fill(&ledger, 0, 700).await;
        ledger.check().await.unwrap();
        alter_entry(&store, 300).await;
        assert_eq!(place_of(&ledger.check().await.unwrap_err()), "entry 300");
        let bundle = ledger.entries(Tile { level: 0, index: 1, width: 256 }).await;
        assert_eq!(place_of(&bundle.unwrap_err()), "entry 300");
        assert!(ledger.entries(Tile { level: 0, index: 0, width: 256 }).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_altered_tile_is_named_by_the_check_and_neither_served_nor_used_in_a_proof() {
    for store in store::testing::engines().await {
        let ledger = open(&store, &key()).await.unwrap();
        fill(&ledger, 0, 700).await;
        let other = "UPDATE ledger_tile SET hashes = (SELECT hashes FROM ledger_tile WHERE tile_index = 0)
                     WHERE tile_index = 1";
        alter(&store, other).await;
        assert_eq!(place_of(&ledger.check().await.unwrap_err()), "tile/0/001");
        assert_eq!(place_of(&ledger.tlog_proof(300).await.unwrap_err()), "tile/0/001");
        let tile = ledger.tile(Tile { level: 0, index: 1, width: 256 }).await;
        assert_eq!(place_of(&tile.unwrap_err()), "tile/0/001");
    }
}

#[tokio::test]
async fn a_log_whose_end_was_altered_does_not_open() {
    for (sql, place) in [
        ("", "the last tiles"),
        ("DELETE FROM ledger_batch WHERE first = 0", "the last entries"),
        ("UPDATE ledger_batch SET entries = 301 WHERE first = 0", "the entries"),
        ("UPDATE ledger_batch SET entries = 299 WHERE first = 0", "the last entries"),
        ("DELETE FROM ledger_tile WHERE tile_index = 0", "tile/0/000"),
        ("UPDATE ledger_tile SET hashes = (SELECT bundle FROM ledger_batch WHERE first = 0)", "tile/0/000"),
        ("UPDATE ledger_checkpoint SET size = 299", "the checkpoint"),
        ("DELETE FROM ledger_checkpoint", "the checkpoint"),
        ("INSERT INTO ledger_batch (first, entries, bundle) SELECT 300, 300, bundle FROM ledger_batch", "the entries"),
    ] {
        for store in store::testing::engines().await {
            let pem = key();
            let ledger = open(&store, &pem).await.unwrap();
            fill(&ledger, 0, 300).await;
            drop(ledger);
            match sql {
                "" => alter_entry(&store, 299).await,
                sql => alter(&store, sql).await,
            }
            assert_eq!(place_of(&open(&store, &pem).await.unwrap_err()), place, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_log_that_went_back_below_a_running_ledger_is_not_signed_over() {
    let store = store::testing::sqlite().await;
    let pem = key();
    let ledger = open(&store, &pem).await.unwrap();
    fill(&ledger, 0, 3).await;
    let old = ledger.checkpoint();
    fill(&ledger, 3, 5).await;
    // Yesterday's rows come back under the running process.
    alter(&store, "DELETE FROM ledger_batch WHERE first = 3").await;
    let restored: Result<u64, StoreError> = store
        .tx("test.restore", move |tx| {
            tx.execute("UPDATE ledger_checkpoint SET size = 3, note = $1", &params![old.as_str()])
        })
        .await;
    assert_eq!(restored, Ok(1));
    let refused = ledger.append(vec![entry(9)]).await.unwrap_err();
    assert!(refused.to_string().contains("went back from 5 to 3"), "{refused}");
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_the_log_stays_whole() {
    let store = store::testing::sqlite().await;
    let pem = key();
    let ledger = open(&store, &pem).await.unwrap();
    fill(&ledger, 0, 10).await;
    limit(&store, "PRAGMA max_page_count = 80").await;
    let mut stored = 10;
    let refused = loop {
        let entries = (0..200).map(|number| [entry(stored + number), vec![7; 500]].concat()).collect();
        match ledger.append(entries).await {
            Ok(_) => stored += 200,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LedgerError::Store(StoreError::Full { .. })), "{refused}");
    assert_eq!(ledger.size(), stored);
    limit(&store, "PRAGMA max_page_count = 100000").await;
    assert_eq!(ledger.append(vec![b"after".to_vec()]).await, Ok(vec![stored]));
    ledger.check().await.unwrap();
}

async fn limit(store: &Store, pragma: &'static str) {
    let limited: Result<(), StoreError> = store.tx("test.limit", move |tx| tx.query(pragma, &[]).map(drop)).await;
    limited.unwrap();
}
