//! A log whose tiles are files, on both engines.

use std::fs;
use std::path::Path;

use ledger::{Ledger, LedgerConfig, LedgerError};
use store::testing::engines;
use store::{Store, StoreError};
use trust::keys::SigningKey;
use trust::merkle::{Edge, Tile, leaf_hash};
use trust::note::{Checkpoint, TlogProof};

use crate::log::{ORIGIN, clock, entry, fill, key};

async fn open(store: &Store, pem: &str, folder: &Path) -> Result<Ledger, LedgerError> {
    let config = LedgerConfig::new(store.clone(), SigningKey::from_pkcs8_pem(pem).unwrap(), ORIGIN, clock());
    Ledger::open_with(config.folder(folder)).await
}

async fn staged(store: &Store) -> i64 {
    let count: Result<i64, StoreError> = store
        .read("test.staged", |tx| {
            let row = tx.query_one("SELECT COUNT(*) AS batches FROM ledger_batch", &[])?;
            row.map_or(Ok(0), |row| row.get("batches"))
        })
        .await;
    count.unwrap()
}

fn place_of(error: &LedgerError) -> String {
    match error {
        LedgerError::Damaged { place, .. } => place.clone(),
        other => other.to_string(),
    }
}

/// The entries and tiles of a folder as any web server would serve it, re-derived without a line of the ledger.
fn re_derive(folder: &Path, checkpoint: &Checkpoint) {
    let mut edge = Edge::default();
    for index in 0..checkpoint.size.div_ceil(256) {
        let tile = Tile { level: 0, index, width: Tile::width_in(0, index, checkpoint.size) };
        let bundle = fs::read(folder.join(tile.entries_path())).unwrap();
        let mut rest = bundle.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            edge.push(leaf_hash(entry), |tile, hashes| {
                assert_eq!(fs::read(folder.join(tile.path())).unwrap(), hashes.concat(), "{}", tile.path());
            });
            rest = after;
        }
    }
    assert_eq!((edge.size(), edge.root()), (checkpoint.size, checkpoint.root));
    for (tile, hashes) in edge.partial_tiles() {
        assert_eq!(fs::read(folder.join(tile.path())).unwrap(), hashes.concat(), "{}", tile.path());
    }
}

#[tokio::test]
async fn the_folder_can_be_served_by_any_web_server_at_every_size() {
    for store in engines().await {
        let folder = tempfile::tempdir().unwrap();
        let ledger = open(&store, &key(), folder.path()).await.unwrap();
        let mut size = 0;
        for next in [1, 2, 255, 256, 257, 512, 700, 1_300] {
            fill(&ledger, size, next).await;
            size = next;
            let note = fs::read_to_string(folder.path().join("checkpoint")).unwrap();
            assert_eq!(note, ledger.checkpoint());
            re_derive(folder.path(), &Checkpoint::open(&note, &ledger.verifier()).unwrap());
            for index in [0, size / 2, size - 1] {
                let proof = TlogProof::parse(&ledger.tlog_proof(index).await.unwrap()).unwrap();
                proof.verify(&entry(index), &ledger.verifier()).unwrap();
            }
        }
        assert!(!folder.path().join("tile/0/000.p").exists(), "partial tiles go when the full one is there");
        let report = ledger.check().await.unwrap();
        assert_eq!((report.entries, report.tiles), (1_300, 5));
    }
}

#[tokio::test]
async fn what_was_not_synced_is_written_anew_from_what_is_staged() {
    for store in engines().await {
        let (folder, pem) = (tempfile::tempdir().unwrap(), key());
        let ledger = open(&store, &pem, folder.path()).await.unwrap();
        for from in [0, 100, 300, 520] {
            fill(&ledger, from, from + 100).await;
            if from == 0 {
                fill(&ledger, 100, 300).await;
            }
            if from == 300 {
                fill(&ledger, 400, 520).await;
                ledger.settle().await.unwrap();
            }
        }
        let before = ledger.checkpoint();
        drop(ledger);
        // All but what was synced is gone or torn.
        for path in ["checkpoint", "tile/0/002.p", "tile/entries/002.p", "tile/1/000.p"] {
            let path = folder.path().join(path);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::write(path, b"torn").unwrap() }
        }
        let again = open(&store, &pem, folder.path()).await.unwrap();
        assert_eq!(again.checkpoint(), before);
        again.check().await.unwrap();
        fill(&again, again.size(), again.size() + 500).await;
        again.check().await.unwrap();
        again.settle().await.unwrap();
        assert!(staged(&store).await <= 1, "what is synced is staged no more");
        drop(again);
        open(&store, &pem, folder.path()).await.unwrap().check().await.unwrap();
    }
}

#[tokio::test]
async fn a_log_moves_from_rows_to_a_folder_and_is_not_opened_without_it_any_more() {
    for store in engines().await {
        let (folder, pem) = (tempfile::tempdir().unwrap(), key());
        let rows = crate::log::open(&store, &pem).await.unwrap();
        fill(&rows, 0, 3_000).await;
        let before = rows.checkpoint();
        drop(rows);
        let ledger = open(&store, &pem, folder.path()).await.unwrap();
        assert_eq!(ledger.checkpoint(), before);
        ledger.settle().await.unwrap();
        ledger.check().await.unwrap();
        fill(&ledger, 3_000, 3_100).await;
        drop(ledger);
        let refused = crate::log::open(&store, &pem).await.unwrap_err();
        assert_eq!(place_of(&refused), "the first entries");
        open(&store, &pem, folder.path()).await.unwrap().check().await.unwrap();
    }
}

#[tokio::test]
async fn altered_files_are_named_and_not_served() {
    for store in engines().await {
        let (folder, pem) = (tempfile::tempdir().unwrap(), key());
        let ledger = open(&store, &pem, folder.path()).await.unwrap();
        for from in (0..1_000).step_by(100) {
            fill(&ledger, from, from + 100).await;
        }
        ledger.settle().await.unwrap();
        drop(ledger);
        for (path, place) in [
            ("tile/0/001", "entry 256"),
            ("tile/entries/001", "entry 256"),
            ("tile/0/003.p/232", "tile/0/003.p/232"),
            ("tile/entries/003.p/232", "entry 768"),
            ("checkpoint", "checkpoint"),
        ] {
            let ledger = open(&store, &pem, folder.path()).await.unwrap();
            let good = fs::read(folder.path().join(path)).unwrap();
            let mut bad = good.clone();
            bad[5] ^= 1;
            fs::write(folder.path().join(path), &bad).unwrap();
            let named = place_of(&ledger.check().await.unwrap_err());
            assert!(named == place || (path.contains("entries/003") && named == "the entries"), "{path}: {named}");
            if path == "tile/0/001" {
                assert!(ledger.tlog_proof(300).await.is_err());
                assert!(ledger.tile(Tile { level: 0, index: 1, width: 256 }).await.is_err());
            }
            if path.contains("entries") {
                let index = if path.contains("001") { 1 } else { 3 };
                assert!(ledger.entries(Tile { level: 0, index, width: 200 }).await.is_err(), "{path}");
            }
            fs::write(folder.path().join(path), &good).unwrap();
            ledger.check().await.unwrap();
        }
        fs::remove_file(folder.path().join("tile/0/002")).unwrap();
        assert_eq!(place_of(&open(&store, &pem, folder.path()).await.unwrap_err()), "tile/0/002");
    }
}

#[tokio::test]
async fn a_folder_of_yesterday_under_the_store_of_today_is_refused() {
    let store = store::testing::sqlite().await;
    let (folder, yesterday, pem) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), key());
    let ledger = open(&store, &pem, folder.path()).await.unwrap();
    fill(&ledger, 0, 300).await;
    ledger.settle().await.unwrap();
    copy(folder.path(), yesterday.path());
    fill(&ledger, 300, 900).await;
    ledger.settle().await.unwrap();
    drop(ledger);
    assert_eq!(place_of(&open(&store, &pem, yesterday.path()).await.unwrap_err()), "tile/0/001");
    open(&store, &pem, folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_fails_under_the_folder_stops_the_acknowledgements_until_the_next_start() {
    let store = store::testing::sqlite().await;
    let (folder, pem) = (tempfile::tempdir().unwrap(), key());
    let ledger = open(&store, &pem, folder.path()).await.unwrap();
    fill(&ledger, 0, 10).await;
    // A file stands where a folder must be made: the write fails as it does on a broken disk.
    fs::remove_dir_all(folder.path().join("tile")).unwrap();
    fs::write(folder.path().join("tile"), b"in the way").unwrap();
    let refused = ledger.append(vec![entry(10)]).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Disk { .. }), "{refused}");
    fs::remove_file(folder.path().join("tile")).unwrap();
    assert!(matches!(ledger.append(vec![entry(11)]).await, Err(LedgerError::Stopped { .. })), "it does not try again");
    assert!(ledger.stopped().await.contains("the disk failed"));
    assert_eq!(ledger.size(), 10, "what was not acknowledged is not shown");
    drop(ledger);
    let again = open(&store, &pem, folder.path()).await.unwrap();
    assert_eq!(again.append(vec![entry(10), entry(11)]).await, Ok(vec![10, 11]), "the commit had taken place");
    again.check().await.unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}
