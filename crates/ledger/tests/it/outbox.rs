//! Commitments on their way to a log.

use std::sync::Arc;

use civic::SharedClock;
use civic::testing::SeededRandom;
use ledger::outbox::{self, OutboxError};
use ledger::testing::served_on;
use ledger::{Commitment, LedgerClient, Outbox};
use store::Store;
use store::testing::engines;
use trust::note::Opening;
use trust::note::policy::Policy;

use crate::log::clock;

async fn add(store: &Store, key: &str, record: &str, seed: u64) {
    let commitment = Commitment::new(record.as_bytes(), &SeededRandom::new(seed));
    let (key, now) = (key.to_owned(), clock().now());
    store.tx("test.act", move |tx| outbox::add(tx, "test.act", &key, &commitment, now)).await.unwrap();
}

#[tokio::test]
async fn what_an_act_commits_to_is_proved_by_one_file_and_forgotten_with_its_salt() {
    for store in engines().await {
        let log = served_on(store::testing::sqlite().await, clock(), &["office"]).await;
        let policy = Policy::log_only(log.ledger.verifier());
        let outbox = Outbox::open(store.clone(), log.client("office")).await.unwrap();
        for (number, record) in ["one", "two", "three"].into_iter().enumerate() {
            add(&store, record, record, number as u64).await;
        }
        add(&store, "two", "two", 99).await;
        assert_eq!(outbox.waiting().await.unwrap().count, 3, "the same key again adds nothing");
        assert!(matches!(outbox.proof("test.act", "two", "two").await, Err(OutboxError::Waiting)));
        assert_eq!(outbox.send().await.unwrap(), 3);
        assert_eq!((outbox.send().await.unwrap(), outbox.waiting().await.unwrap().count), (0, 0));

        let proof = outbox.proof("test.act", "two", "two").await.unwrap();
        assert_eq!(Opening::verify(&proof, &policy).unwrap().record, "two");
        assert!(matches!(outbox.proof("test.act", "two", "zwei").await, Err(OutboxError::Altered)));
        assert!(matches!(outbox.proof("test.act", "four", "four").await, Err(OutboxError::Unknown)));

        store.tx("test.erase", |tx| outbox::erase(tx, "test.act", "two")).await.unwrap();
        assert!(matches!(outbox.proof("test.act", "two", "two").await, Err(OutboxError::Erased)));
        assert_eq!(log.ledger.size(), 3, "the log stays whole");
        assert!(Opening::verify(&proof, &policy).is_ok(), "whoever kept the salt can still prove it");
    }
}

#[tokio::test]
async fn an_act_that_fails_commits_to_nothing_and_a_silent_log_loses_nothing() {
    for store in engines().await {
        let log = served_on(store::testing::sqlite().await, clock(), &["office"]).await;
        let key = log.ledger.verifier();
        let nowhere = LedgerClient::new("http://127.0.0.1:9", key, None, Arc::clone(&clock()) as SharedClock).unwrap();
        let silent = Outbox::open(store.clone(), nowhere).await.unwrap();
        let commitment = Commitment::new(b"undone", &SeededRandom::new(1));
        let undone = store
            .tx("test.undone", move |tx| {
                outbox::add(tx, "test.act", "undone", &commitment, clock().now())?;
                tx.execute("INSERT INTO there_is_no_such_table (id) VALUES (1)", &[])
            })
            .await;
        assert!(undone.is_err());
        assert_eq!(silent.waiting().await.unwrap().count, 0);
        for number in 0..3 {
            add(&store, &format!("act-{number}"), "an act", number).await;
        }
        assert!(matches!(silent.send().await, Err(OutboxError::Log(_))));
        assert_eq!(silent.waiting().await.unwrap().count, 3);
        let heard = Outbox::open(store.clone(), log.client("office")).await.unwrap();
        assert_eq!(heard.send().await.unwrap(), 3);
    }
}
