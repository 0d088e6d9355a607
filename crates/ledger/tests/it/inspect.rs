//! Any byte of the database file is altered: the inspection names it, or it was not a byte of the log.

use std::fs;
use std::path::Path;

use civic::random_array;
use civic::testing::SeededRandom;
use ledger::LedgerError;
use ledger::inspect::inspect;
use store::{Location, Store, StoreError, Value};
use trust::note::VerifierKey;

use crate::log::{fill, key, open};

const FLIPS: u64 = 400;

async fn open_to_read(path: &Path) -> Result<Store, StoreError> {
    let location = Location::Sqlite(path.to_owned());
    Store::open_to_read(&location, store::testing::keys(), store::testing::random()).await
}

/// All that the rows of the log say.
async fn content(store: &Store) -> Result<Vec<Vec<Value>>, StoreError> {
    store
        .read("test.content", |tx| {
            let mut found = Vec::new();
            for row in tx.query("SELECT first, entries, bundle FROM ledger_batch ORDER BY first", &[])? {
                found.push(vec![
                    Value::Int(row.get("first")?),
                    Value::Int(row.get("entries")?),
                    Value::Bytes(row.get("bundle")?),
                ]);
            }
            for row in tx.query("SELECT level, tile_index, hashes FROM ledger_tile ORDER BY level, tile_index", &[])? {
                found.push(vec![
                    Value::Int(row.get("level")?),
                    Value::Int(row.get("tile_index")?),
                    Value::Bytes(row.get("hashes")?),
                ]);
            }
            for row in tx.query("SELECT origin, size, note FROM ledger_checkpoint", &[])? {
                found.push(vec![
                    Value::Text(row.get("origin")?),
                    Value::Int(row.get("size")?),
                    Value::Text(row.get("note")?),
                ]);
            }
            Ok(found)
        })
        .await
}

/// How many places are damaged; one where the file cannot be read at all.
async fn damaged(path: &Path, vkey: &VerifierKey) -> u64 {
    let Ok(store) = open_to_read(path).await else { return 1 };
    match inspect(&store, std::slice::from_ref(vkey), None, |_, _| {}).await {
        Ok(inspection) => inspection.damaged,
        Err(LedgerError::Store(_)) => 1,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn any_flipped_bit_of_a_database_file_is_named_or_is_not_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::testing::sqlite_in(folder.path()).await;
    let ledger = open(&store, &key()).await.unwrap();
    // Enough rows that most of the file, whose pages have 8 KiB, is the log.
    fill(&ledger, 0, 8_000).await;
    let vkey = ledger.verifier();
    drop(ledger);
    store.close().await;
    let path = folder.path().join("test.db");
    let good = fs::read(&path).unwrap();
    let before = content(&open_to_read(&path).await.unwrap()).await.unwrap();
    assert_eq!(damaged(&path, &vkey).await, 0);
    assert_eq!(fs::read(&path).unwrap(), good, "an inspection changes nothing");

    let draw = SeededRandom::new(11);
    let mut named = 0;
    for _ in 0..FLIPS {
        let place = (u64::from_be_bytes(random_array(&draw)) % good.len() as u64) as usize;
        let [bit] = random_array::<1>(&draw);
        let mut bad = good.clone();
        bad[place] ^= 1 << (bit % 8);
        // A name of its own, so that no write-ahead log of the one before is in the way.
        let copy = folder.path().join(format!("copy-{place}.db"));
        fs::write(&copy, &bad).unwrap();
        if damaged(&copy, &vkey).await > 0 {
            named += 1;
        } else {
            let after = content(&open_to_read(&copy).await.unwrap()).await;
            assert_eq!(after.as_ref(), Ok(&before), "byte {place} was altered and nobody said so");
        }
        fs::remove_file(&copy).unwrap();
    }
    eprintln!("{named} of {FLIPS} flipped bits named; the others are in no row of the log");
    assert!(named > FLIPS / 2, "{named} of {FLIPS}");
}

#[tokio::test]
async fn a_store_opened_to_read_refuses_every_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::testing::sqlite_in(folder.path()).await;
    drop(open(&store, &key()).await.unwrap());
    let reader = open_to_read(&folder.path().join("test.db")).await.unwrap();
    let refused: Result<u64, StoreError> =
        reader.tx("test.write", |tx| tx.execute("DELETE FROM ledger_checkpoint", &[])).await;
    assert_eq!(refused, Err(StoreError::Closed));
    let refused: Result<u64, StoreError> =
        reader.read("test.write", |tx| tx.execute("DELETE FROM ledger_checkpoint", &[])).await;
    assert!(refused.is_err());
    assert!(open_to_read(&folder.path().join("none.db")).await.is_err());
    assert!(!folder.path().join("none.db").exists());
}
