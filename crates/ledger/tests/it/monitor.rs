//! A monitor of logs served over real sockets.

use ledger::Submitters;
use ledger::monitor::{Monitor, Sighting};
use store::testing::engines;
use trust::merkle::Tile;
use trust::note::policy::Policy;
use trust::note::{Checkpoint, Note};

use crate::log::{clock, fill, key, open};

async fn serve(ledger: ledger::Ledger) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = ledger::http::router(ledger, Submitters::new());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn look(monitor: &Monitor) -> Sighting {
    monitor.round().await.unwrap().pop().unwrap().1
}

#[tokio::test]
async fn each_new_checkpoint_is_verified_to_continue_the_last() {
    for store in engines().await {
        let ledger = open(&store::testing::sqlite().await, &key()).await.unwrap();
        let url = serve(ledger.clone()).await;
        let mut size = 0;
        for next in [0, 1, 3, 256, 257, 700, 66_000] {
            fill(&ledger, size, next).await;
            size = next;
            // A monitor that was started anew goes on from what it kept.
            let mut monitor = Monitor::open(store.clone(), clock()).await.unwrap();
            monitor.follow(&url, Policy::log_only(ledger.verifier())).unwrap();
            for _ in 0..2 {
                let Sighting::Continued(verdict) = look(&monitor).await else { panic!("at {size}") };
                assert_eq!((verdict.checkpoint.size, verdict.quorum), (size, true));
            }
            assert_eq!(monitor.conflicts().await.unwrap(), []);
        }
    }
}

#[tokio::test]
async fn a_log_that_shows_two_histories_raises_an_alarm_with_both_checkpoints() {
    for (first_size, second_size) in [(5, 5), (5, 300), (300, 5), (300, 700)] {
        for store in engines().await {
            let pem = key();
            let (one, two) = (
                open(&store::testing::sqlite().await, &pem).await.unwrap(),
                open(&store::testing::sqlite().await, &pem).await.unwrap(),
            );
            fill(&one, 0, first_size).await;
            two.append(vec![b"another beginning".to_vec()]).await.unwrap();
            while two.size() < second_size {
                two.append(vec![two.size().to_be_bytes().to_vec()]).await.unwrap();
            }
            let policy = Policy::log_only(one.verifier());
            let mut before = Monitor::open(store.clone(), clock()).await.unwrap();
            before.follow(&serve(one.clone()).await, policy.clone()).unwrap();
            assert!(matches!(look(&before).await, Sighting::Continued(_)));
            let mut after = Monitor::open(store.clone(), clock()).await.unwrap();
            after.follow(&serve(two.clone()).await, policy).unwrap();
            let seen = look(&after).await;
            if (first_size, second_size) == (300, 5) {
                // The tiles of the larger tree are not served any more: nothing can be proved, and nothing is believed.
                assert!(matches!(&seen, Sighting::Unclear(_)), "{seen:?}");
                continue;
            }
            let Sighting::Conflict(conflict) = seen else { panic!("{first_size} {second_size} {seen:?}") };
            for (note, size) in [(&conflict.first, first_size), (&conflict.second, second_size)] {
                assert_eq!(Checkpoint::open(note, &one.verifier()).unwrap().size, size);
            }
            assert!(matches!(look(&after).await, Sighting::Conflict(_)), "the alarm does not fall silent");
            let kept = after.conflicts().await.unwrap();
            assert_eq!((kept.len(), kept[0].found_by.as_str()), (1, "monitor"));
            Note::parse(&kept[0].second).unwrap().verify(&[one.verifier()]).unwrap();
        }
    }
}

#[tokio::test]
async fn a_log_that_is_away_or_serves_rubbish_is_unclear_and_no_conflict() {
    let store = store::testing::sqlite().await;
    let ledger = open(&store::testing::sqlite().await, &key()).await.unwrap();
    let stranger = open(&store::testing::sqlite().await, &key()).await.unwrap();
    let mut monitor = Monitor::open(store, clock()).await.unwrap();
    monitor.follow("http://127.0.0.1:9", Policy::log_only(ledger.verifier())).unwrap();
    monitor.follow(&serve(stranger).await, Policy::log_only(ledger.verifier())).unwrap();
    assert!(monitor.follow("ftp://log.test", Policy::log_only(ledger.verifier())).is_err());
    for (_, sighting) in monitor.round().await.unwrap() {
        assert!(matches!(sighting, Sighting::Unclear(_)), "{sighting:?}");
    }
    assert_eq!(monitor.conflicts().await.unwrap(), []);
    assert!(ledger.tile(Tile { level: 0, index: 0, width: 1 }).await.unwrap().is_none());
}
