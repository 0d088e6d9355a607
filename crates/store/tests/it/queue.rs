//! Durable jobs, on every engine.

use std::time::Duration;

use civic::Timestamp;
use store::queue::{self, Claim, Retry};
use store::testing::engines;
use store::{Store, StoreError};

const LEASE: Duration = Duration::from_secs(30);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

async fn enqueue(store: &Store, key: &'static str, not_before: Timestamp) -> bool {
    store.tx("demo.enqueue", move |tx| queue::enqueue(tx, "sms", key, b"payload", not_before)).await.unwrap()
}

async fn claim(store: &Store, now: Timestamp) -> Vec<Claim> {
    store.tx("demo.claim", move |tx| queue::claim(tx, "sms", now, LEASE, 10)).await.unwrap()
}

async fn retry(store: &Store, claim: &Claim, now: Timestamp) -> Retry {
    let claim = claim.clone();
    store.tx("demo.retry", move |tx| queue::retry(tx, &claim, now, 2, "no network")).await.unwrap()
}

async fn complete(store: &Store, claim: &Claim) -> bool {
    let claim = claim.clone();
    store.tx("demo.complete", move |tx| queue::complete(tx, &claim)).await.unwrap()
}

#[tokio::test]
async fn a_job_is_done_once_and_in_order() {
    for store in engines().await {
        assert!(enqueue(&store, "second", at(20)).await);
        assert!(enqueue(&store, "first", at(10)).await);
        assert!(!enqueue(&store, "first", at(5)).await, "the same key is the same job");
        assert!(claim(&store, at(9)).await.is_empty(), "nothing is due");
        let claims = claim(&store, at(20)).await;
        assert_eq!(claims.iter().map(|claim| claim.key.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert!(claim(&store, at(21)).await.is_empty(), "all are held");
        for claim in &claims {
            assert!(complete(&store, claim).await);
            assert!(!complete(&store, claim).await);
        }
        let depth = store.read("demo.depth", |tx| queue::depth(tx, "sms")).await.unwrap();
        assert_eq!((depth.waiting, depth.dead, depth.oldest), (0, 0, None));
    }
}

#[tokio::test]
async fn a_job_of_a_dead_worker_goes_to_another_and_the_first_cannot_complete_it() {
    for store in engines().await {
        enqueue(&store, "job", at(0)).await;
        let first = claim(&store, at(0)).await;
        let second = claim(&store, at(31)).await;
        assert_eq!(second.first().map(|claim| claim.attempts), Some(2));
        let (Some(first), Some(second)) = (first.first(), second.first()) else { panic!("no claim") };
        assert!(!complete(&store, first).await);
        assert_eq!(retry(&store, first, at(31)).await, Retry::NotOurs);
        assert!(complete(&store, second).await);
    }
}

#[tokio::test]
async fn a_failing_job_is_put_off_and_at_last_left_to_a_person() {
    for store in engines().await {
        enqueue(&store, "job", at(0)).await;
        let claims = claim(&store, at(0)).await;
        let Some(first) = claims.first() else { panic!("no claim") };
        assert_eq!(retry(&store, first, at(0)).await, Retry::At(at(1)));
        assert!(claim(&store, Timestamp::from_millis(500)).await.is_empty());
        let claims = claim(&store, at(1)).await;
        let Some(second) = claims.first() else { panic!("no claim") };
        assert_eq!(retry(&store, second, at(1)).await, Retry::Dead);
        assert!(claim(&store, at(1_000)).await.is_empty());
        let depth = store.read("demo.depth", |tx| queue::depth(tx, "sms")).await.unwrap();
        assert_eq!((depth.waiting, depth.dead), (0, 1));
    }
}

#[tokio::test]
async fn workers_side_by_side_never_hold_the_same_job() {
    for store in engines().await {
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            enqueue(&store, key, at(0)).await;
        }
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let claims: Result<Vec<Claim>, StoreError> =
                        store.tx("demo.claim", |tx| queue::claim(tx, "sms", at(1), LEASE, 2)).await;
                    claims
                })
            })
            .collect();
        let mut keys = Vec::new();
        for worker in workers {
            keys.extend(worker.await.unwrap().unwrap().into_iter().map(|claim| claim.key));
        }
        keys.sort();
        assert_eq!(keys, ["a", "b", "c", "d", "e", "f", "g", "h"], "{store:?}");
    }
}
