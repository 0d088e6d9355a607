//! What was done at the authority, in a log of somebody else.

use std::sync::Arc;

use authority::Role;
use civic::SharedClock;
use http::StatusCode;
use ledger::testing::served_on;
use serde_json::Value;
use trust::note::Opening;
use trust::note::policy::Policy;

use crate::worlds;

#[tokio::test]
async fn every_act_is_committed_to_and_an_operator_proves_it_to_anybody() {
    for world in worlds().await {
        let clock = Arc::clone(&world.clock) as SharedClock;
        let log = served_on(store::testing::sqlite().await, clock, &["authority"]).await;
        let key = world.key(&[Role::Observer]).await;
        assert_eq!(world.proof(&key, 1).await.0, StatusCode::NOT_FOUND, "no log yet");
        world.enrol().await;
        world.authority.commit_to(log.client("authority")).await.unwrap();
        let acts = world.authority.acts().unwrap();
        let done = world.authority.desk("operator").audit(None).await.unwrap();
        assert_eq!(acts.commit().await.unwrap(), done.len() as u64);
        assert_eq!((acts.commit().await.unwrap(), log.ledger.size()), (0, done.len() as u64), "each act once");
        let policy = Policy::log_only(log.ledger.verifier());
        for act in &done {
            let (status, proof) = world.proof(&key, act.id).await;
            assert_eq!(status, StatusCode::OK, "{proof}");
            let record: Value = serde_json::from_str(&Opening::verify(&proof, &policy).unwrap().record).unwrap();
            assert_eq!(
                (record.get("action"), record.get("actor")),
                (Some(&act.action.as_str().into()), Some(&act.actor.as_str().into()))
            );
        }
        assert_eq!(world.proof(&key, 9_999).await.0, StatusCode::NOT_FOUND);
        assert_eq!(world.proof("rubbish", 1).await.0, StatusCode::UNAUTHORIZED);

        let next = done.first().unwrap().id + 1;
        world.authority.desk("operator").create_api_key("Modou", &[Role::Observer]).await.unwrap();
        assert!(acts.proof(next).await.is_err(), "it is on its way");
        assert_eq!(acts.commit().await.unwrap(), 1);
        assert!(acts.proof(next).await.is_ok());
    }
}
