//! What changes an account stands in a log; its owner proves it, and may have it forgotten.

use civic::PersonId;
use civic::testing::SeededRandom;
use identity::{AccountActs, ActError};
use ledger::Outbox;
use ledger::outbox::OutboxError;
use ledger::testing::served_on;
use serde_json::Value;
use trust::note::Opening;
use trust::note::policy::Policy;

use crate::bed::beds;
use crate::passkeys::enrolled;

#[tokio::test]
async fn every_change_of_an_account_is_committed_with_it_and_its_owner_proves_it_to_anybody() {
    for bed in beds().await {
        let log = served_on(store::testing::sqlite().await, bed.clock.clone(), &["identity"]).await;
        let outbox = Outbox::open(bed.store.clone(), log.client("identity")).await.unwrap();
        let acts = AccountActs::open(bed.store.clone(), outbox.clone()).await.unwrap();
        let awa = bed.awa.person.clone();
        assert!(acts.of(&awa).await.unwrap().is_empty());
        // By the letter, then a passkey; the login itself is no act.
        enrolled(&bed).await;
        let done = acts.of(&awa).await.unwrap();
        let mut kinds: Vec<&str> = done.iter().map(|act| act.act.as_str()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["activated", "passkey_added"]);
        assert!(done.iter().all(|act| act.index.is_none()));
        let waiting = acts.proof(&awa, &done[0].id).await.unwrap_err();
        assert!(matches!(waiting, ActError::Outbox(OutboxError::Waiting)), "{waiting}");

        assert_eq!(outbox.send().await.unwrap(), 2);
        let policy = Policy::log_only(log.ledger.verifier());
        for act in acts.of(&awa).await.unwrap() {
            let opened = Opening::verify(&acts.proof(&awa, &act.id).await.unwrap(), &policy).unwrap();
            let record: Value = serde_json::from_str(&opened.record).unwrap();
            assert_eq!((record["act"].as_str(), record["by"].as_str()), (Some(act.act.as_str()), Some(awa.as_str())));
            assert_eq!((record["key_id"].as_str(), Some(opened.index)), (act.key_id.as_deref(), act.index));
            assert_eq!(act.key_id.is_some(), act.act == "passkey_added");
        }
        let stranger = PersonId::draw(&SeededRandom::new(77));
        assert!(acts.of(&stranger).await.unwrap().is_empty());
        assert!(matches!(acts.proof(&stranger, &done[0].id).await, Err(ActError::Unknown)));

        acts.forget(&stranger).await.unwrap();
        assert!(acts.proof(&awa, &done[0].id).await.is_ok(), "nobody else's salts are erased");
        acts.forget(&awa).await.unwrap();
        let erased = acts.proof(&awa, &done[0].id).await.unwrap_err();
        assert!(matches!(erased, ActError::Outbox(OutboxError::Erased)), "{erased}");
        assert_eq!(log.ledger.size(), 2, "the entries stay and stand for nothing");
    }
}
