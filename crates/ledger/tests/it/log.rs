//! Appending, proving and reopening, on every engine.

use std::sync::Arc;

use civic::SharedClock;
use civic::testing::TestClock;
use ledger::{ENTRIES_MAX, ENTRY_BYTES_MAX, Ledger, LedgerConfig, LedgerError};
use store::testing::engines;
use store::{AppendTable, ColumnKind, Store, StoreError};
use trust::keys::SigningKey;
use trust::merkle::{Hash, leaf_hash, root_of, verify_consistency};
use trust::mldsa::MlDsaKey;
use trust::note::{Checkpoint, Note, TlogProof};

pub(crate) const ORIGIN: &str = "ledger.test/state";

pub(crate) fn clock() -> SharedClock {
    Arc::new(TestClock::at("2026-11-21T22:40:00Z"))
}

pub(crate) fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

pub(crate) async fn open(store: &Store, pem: &str) -> Result<Ledger, LedgerError> {
    Ledger::open(store.clone(), SigningKey::from_pkcs8_pem(pem).unwrap(), ORIGIN, clock()).await
}

pub(crate) fn key() -> String {
    SigningKey::generate_ed25519().unwrap().to_pkcs8_pem().unwrap()
}

pub(crate) async fn fill(ledger: &Ledger, from: u64, to: u64) {
    let numbers: Vec<u64> = (from..to).collect();
    for chunk in numbers.chunks(ENTRIES_MAX) {
        let indexes = ledger.append(chunk.iter().map(|number| entry(*number)).collect()).await.unwrap();
        assert_eq!(indexes, chunk);
    }
}

async fn verify(ledger: &Ledger, index: u64) {
    let proof = TlogProof::parse(&ledger.tlog_proof(index).await.unwrap()).unwrap();
    let checkpoint = proof.verify(&entry(index), &ledger.verifier()).unwrap();
    assert_eq!(checkpoint.size, ledger.size());
    assert!(proof.verify(&entry(index + 1), &ledger.verifier()).is_err());
}

#[tokio::test]
async fn an_empty_log_has_a_signed_checkpoint() {
    for store in engines().await {
        let ledger = open(&store, &key()).await.unwrap();
        let checkpoint = Checkpoint::open(&ledger.checkpoint(), &ledger.vkey().parse().unwrap()).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (0, root_of(&[])));
        assert_eq!(ledger.append(vec![]).await, Ok(vec![]));
        assert!(matches!(ledger.tlog_proof(0).await, Err(LedgerError::OutOfRange { asked: 0, size: 0 })));
    }
}

#[tokio::test]
async fn every_entry_has_a_proof_at_every_kind_of_size() {
    for store in engines().await {
        let ledger = open(&store, &key()).await.unwrap();
        let mut size = 0;
        for next in [1, 2, 3, 255, 256, 257, 600] {
            fill(&ledger, size, next).await;
            size = next;
            let leaves: Vec<Hash> = (0..size).map(|number| leaf_hash(&entry(number))).collect();
            assert_eq!(ledger.root(), root_of(&leaves), "{size} entries on {store:?}");
            for index in [0, size / 3, size / 2, size - 1] {
                verify(&ledger, index).await;
            }
        }
    }
}

#[tokio::test]
async fn a_large_log_grows_a_second_level_and_goes_on_after_a_restart() {
    for store in engines().await {
        let pem = key();
        let ledger = open(&store, &pem).await.unwrap();
        fill(&ledger, 0, 66_000).await;
        verify(&ledger, 65_535).await;
        let before = ledger.checkpoint();
        drop(ledger);
        let again = open(&store, &pem).await.unwrap();
        assert_eq!(again.checkpoint(), before);
        fill(&again, 66_000, 66_100).await;
        for index in [0, 255, 256, 65_535, 65_536, 66_099] {
            verify(&again, index).await;
        }
        let report = again.check().await.unwrap();
        assert_eq!((report.entries, report.tiles), (66_100, 258 + 1));
    }
}

#[tokio::test]
async fn each_size_continues_each_earlier_one() {
    for store in engines().await {
        let ledger = open(&store, &key()).await.unwrap();
        let mut seen: Vec<(u64, Hash)> = vec![(0, ledger.root())];
        for next in [1, 2, 5, 256, 300, 513] {
            fill(&ledger, seen.last().unwrap().0, next).await;
            seen.push((next, ledger.root()));
        }
        for (old, old_root) in &seen {
            for (new, new_root) in seen.iter().filter(|(new, _)| new >= old) {
                let proof = ledger.consistency(*old, *new).await.unwrap();
                assert_eq!(verify_consistency(*old, old_root, *new, new_root, &proof), Ok(()), "{old} to {new}");
            }
        }
        assert!(ledger.consistency(2, 1).await.is_err());
        assert!(ledger.consistency(1, 514).await.is_err());
    }
}

#[tokio::test]
async fn the_same_entry_keeps_its_index() {
    for store in engines().await {
        let ledger = open(&store, &key()).await.unwrap();
        assert_eq!(ledger.append(vec![entry(0), entry(1), entry(0)]).await, Ok(vec![0, 1, 0]));
        assert_eq!(ledger.append(vec![entry(1), entry(2)]).await, Ok(vec![1, 2]));
        let before = ledger.checkpoint();
        assert_eq!(ledger.append(vec![entry(2)]).await, Ok(vec![2]));
        assert_eq!(ledger.checkpoint(), before);
        assert_eq!(ledger.recent_index_of(&entry(2)), Some(2));
        assert_eq!(ledger.recent_index_of(&entry(3)), None);
    }
}

#[tokio::test]
async fn an_entry_that_came_long_ago_is_added_once_more_and_a_restart_remembers_the_recent_ones() {
    for store in engines().await {
        let pem = key();
        let config = || {
            let key = SigningKey::from_pkcs8_pem(&pem).unwrap();
            LedgerConfig::new(store.clone(), key, ORIGIN, clock()).recent_entries_max(300)
        };
        let ledger = Ledger::open_with(config()).await.unwrap();
        fill(&ledger, 0, 600).await;
        drop(ledger);
        let again = Ledger::open_with(config()).await.unwrap();
        assert_eq!(again.append(vec![entry(599), entry(300), entry(600)]).await, Ok(vec![599, 300, 600]));
        assert_eq!(again.append(vec![entry(3)]).await, Ok(vec![601]));
        again.check().await.unwrap();
    }
}

#[tokio::test]
async fn a_log_of_the_first_format_is_read_and_goes_on() {
    for store in engines().await {
        let pem = key();
        let ledger = open(&store, &pem).await.unwrap();
        fill(&ledger, 0, 2_500).await;
        let before = ledger.checkpoint();
        drop(ledger);
        // Rows as step 0001 wrote them, one for each entry.
        let rows: Vec<Vec<store::Value>> = (0..2_500_u64)
            .map(|number| store::params![number as i64, leaf_hash(&entry(number)), entry(number)])
            .collect();
        let downgraded: Result<(), StoreError> = store
            .tx("test.downgrade", move |tx| {
                tx.append(&FIRST_FORMAT, &rows)?;
                tx.execute("DELETE FROM ledger_batch WHERE first >= 0", &[]).map(drop)
            })
            .await;
        downgraded.unwrap();
        let again = open(&store, &pem).await.unwrap();
        assert_eq!(again.checkpoint(), before);
        fill(&again, 2_500, 2_600).await;
        assert_eq!(again.check().await.unwrap().entries, 2_600);
        verify(&again, 17).await;
    }
}

static FIRST_FORMAT: AppendTable = AppendTable {
    name: "ledger_entry",
    columns: &[("position", ColumnKind::Int), ("leaf_hash", ColumnKind::Bytes), ("entry", ColumnKind::Bytes)],
};

#[tokio::test]
async fn a_checkpoint_carries_both_signatures_of_a_log_with_an_ml_dsa_key() {
    for store in engines().await {
        let (pem, second) = (key(), MlDsaKey::generate().unwrap());
        let open = |second: Option<MlDsaKey>| {
            let key = SigningKey::from_pkcs8_pem(&pem).unwrap();
            let config = LedgerConfig::new(store.clone(), key, ORIGIN, clock());
            Ledger::open_with(match second {
                Some(key) => config.post_quantum(key),
                None => config,
            })
        };
        // A log that gets its second key later goes on, and signs with both from then on.
        open(None).await.unwrap().append(vec![entry(0)]).await.unwrap();
        let ledger = open(Some(second.clone())).await.unwrap();
        ledger.append(vec![entry(1)]).await.unwrap();
        let note = Note::parse(&ledger.checkpoint()).unwrap();
        assert_eq!(note.verify(&ledger.verifiers()).unwrap().len(), 2);
        let proof = TlogProof::parse(&ledger.tlog_proof(1).await.unwrap()).unwrap();
        assert_eq!(proof.verify(&entry(1), &ledger.verifier()).unwrap().size, 2);
        drop(ledger);
        open(Some(second)).await.unwrap();
        assert!(open(Some(MlDsaKey::generate().unwrap())).await.is_ok(), "another key signs from now on");
    }
}

#[tokio::test]
async fn many_callers_share_few_commits_and_each_gets_its_own_index() {
    for store in engines().await {
        let ledger = open(&store, &key()).await.unwrap();
        let before = store.stats().commits;
        let callers: Vec<_> = (0..500)
            .map(|number| {
                let ledger = ledger.clone();
                tokio::spawn(async move { (number, ledger.append(vec![entry(number)]).await.unwrap()) })
            })
            .collect();
        let mut taken = Vec::new();
        for caller in callers {
            let (number, indexes) = caller.await.unwrap();
            let index = *indexes.first().unwrap();
            let proof = TlogProof::parse(&ledger.tlog_proof(index).await.unwrap()).unwrap();
            proof.verify(&entry(number), &ledger.verifier()).unwrap();
            taken.push(index);
        }
        taken.sort_unstable();
        assert_eq!(taken, (0..500).collect::<Vec<u64>>());
        let commits = store.stats().commits - before;
        assert!(commits < 50, "{commits} commits for 500 appends on {store:?}");
        ledger.check().await.unwrap();
    }
}

#[tokio::test]
async fn two_sequencers_on_one_store_never_sign_two_histories() {
    for store in engines().await {
        let pem = key();
        let (one, two) = (open(&store, &pem).await.unwrap(), open(&store, &pem).await.unwrap());
        for number in 0..20 {
            let ledger = if number % 2 == 0 { &one } else { &two };
            assert_eq!(ledger.append(vec![entry(number)]).await, Ok(vec![number]));
        }
        one.append(vec![entry(0)]).await.unwrap();
        let again = open(&store, &pem).await.unwrap();
        assert_eq!(again.size(), 20);
        assert_eq!(again.checkpoint(), two.checkpoint());
        again.check().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_rest_goes_on() {
    let store = store::testing::sqlite().await;
    let ledger = open(&store, &key()).await.unwrap();
    let long = vec![vec![0; ENTRY_BYTES_MAX + 1]];
    assert!(matches!(ledger.append(long).await, Err(LedgerError::EntryTooLong { .. })));
    let many = vec![vec![0]; ENTRIES_MAX + 1];
    assert!(matches!(ledger.append(many).await, Err(LedgerError::TooMany { .. })));
    assert_eq!(ledger.append(vec![vec![7; ENTRY_BYTES_MAX], vec![]]).await, Ok(vec![0, 1]));
    let width = ledger.entries(trust::merkle::Tile { level: 0, index: 0, width: 2 }).await.unwrap().unwrap().len();
    assert_eq!(width, 2 + ENTRY_BYTES_MAX + 2);
}

#[tokio::test]
async fn another_key_or_another_name_does_not_open_a_log() {
    let store = store::testing::sqlite().await;
    let pem = key();
    open(&store, &pem).await.unwrap().append(vec![entry(0)]).await.unwrap();
    assert!(matches!(open(&store, &key()).await, Err(LedgerError::Note(_))));
    let other = Ledger::open(store.clone(), SigningKey::from_pkcs8_pem(&pem).unwrap(), "ledger.test/other", clock());
    assert!(matches!(other.await, Err(LedgerError::OtherLog { .. })));
}
