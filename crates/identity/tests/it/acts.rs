//! What changes an account stands in a log; its owner proves it, and may have it forgotten.

use std::sync::Arc;

use civic::Clock as _;
use civic::testing::SeededRandom;
use consent::testing::TestIssuer;
use consent::{Consent, Permit};
use identity::testing::citizen;
use identity::{ACTS_FIELD, AccountActs, ActError, NewCitizen, forget_acts};
use ledger::Outbox;
use ledger::outbox::OutboxError;
use ledger::testing::served_on;
use serde_json::Value;
use trust::note::Opening;
use trust::note::policy::Policy;

use crate::bed::{Bed, beds};
use crate::passkeys::enrolled;

#[tokio::test]
async fn every_change_of_an_account_is_committed_with_it_and_its_owner_proves_it_to_anybody() {
    for bed in beds().await {
        let log = served_on(store::testing::sqlite().await, bed.clock.clone(), &["identity"]).await;
        let outbox = Outbox::open(bed.store.clone(), log.client("identity")).await.unwrap();
        let acts = AccountActs::open(bed.store.clone(), outbox.clone()).await.unwrap();
        let office = office(&bed).await;
        let awa = permit(&office, &bed.awa, ACTS_FIELD).await;
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
            assert_eq!(
                (record["act"].as_str(), record["by"].as_str()),
                (Some(act.act.as_str()), Some(bed.awa.person.as_str()))
            );
            assert_eq!((record["key_id"].as_str(), Some(opened.index)), (act.key_id.as_deref(), act.index));
            assert_eq!(act.key_id.is_some(), act.act == "passkey_added");
        }
        assert!(acts.of(&awa).await.unwrap().iter().all(|act| !act.erased));
        let nobody = citizen("Nobody Enrolled").unwrap();
        for other in [&citizen("Modou Sarr").unwrap(), &nobody] {
            let stranger = permit(&office, other, ACTS_FIELD).await;
            assert!(acts.of(&stranger).await.unwrap().is_empty());
            assert!(matches!(acts.proof(&stranger, &done[0].id).await, Err(ActError::Unknown)));
        }
        // Whoever may read something else of her may not read this.
        let names = permit(&office, &bed.awa, "names").await;
        assert!(matches!(acts.of(&names).await, Err(ActError::NotPermitted)));
        assert!(matches!(acts.proof(&names, &done[0].id).await, Err(ActError::NotPermitted)));

        let forget = async |of: &NewCitizen, seed| {
            let now = bed.clock.now();
            forget_acts(bed.store.clone(), &of.national_number, now, &SeededRandom::new(seed)).await.unwrap()
        };
        assert_eq!(forget(&nobody, 1).await, None);
        assert!(forgotten(&bed).await.is_empty());
        assert!(acts.proof(&awa, &done[0].id).await.is_ok(), "nobody else's salts are erased");
        assert_eq!(forget(&bed.awa, 2).await, Some(2));
        assert_eq!(forget(&bed.awa, 3).await, Some(0), "they are gone");
        assert_eq!(forgotten(&bed).await, [bed.awa.person.as_str(); 2], "it was done twice");
        assert!(acts.of(&awa).await.unwrap().iter().all(|act| act.erased && act.index.is_some()));
        let erased = acts.proof(&awa, &done[0].id).await.unwrap_err();
        assert!(matches!(erased, ActError::Outbox(OutboxError::Erased)), "{erased}");
        assert_eq!(log.ledger.size(), 2, "the entries stay and stand for nothing");
    }
}

/// At whose accounts it is written down that their acts were forgotten.
async fn forgotten(bed: &Bed) -> Vec<String> {
    let events = "SELECT person FROM identity_events WHERE kind = 'acts_forgotten'";
    let rows = bed.store.read("test.events", move |tx| tx.query(events, &[])).await.unwrap();
    rows.iter().map(|row| row.get("person").unwrap()).collect()
}

/// The office that decides about access, with its journal.
async fn office(bed: &Bed) -> Consent {
    let config = TestIssuer::new().unwrap().config("BB/GOV/1000/portal", Vec::new()).unwrap();
    Consent::open(bed.store.clone(), config, bed.clock.clone(), Arc::new(SeededRandom::new(77))).await.unwrap()
}

/// What a citizen gets who asks for one field of their own data.
async fn permit(office: &Consent, citizen: &NewCitizen, field: &str) -> Permit {
    let service = "BB/GOV/1000/portal/account";
    let asked = consent::testing::by_self(&citizen.person, service, &citizen.national_number, &[field]).unwrap();
    office.decide(asked).await.unwrap()
}
