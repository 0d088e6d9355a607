//! `baobab account forget`: what the log holds of a person stands for nobody any more.

use civic::testing::SeededRandom;
use civic::{PersonId, Timestamp};
use ledger::outbox;
use store::{Location, Store, StoreError};
use trust::seal::KeyRing;

use crate::federation::run;

const AWA: &str = "2751198700421";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_erases_the_salts_of_a_person_and_of_nobody_else() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let keys = KeyRing::generate(&baobab::SystemRandom).to_text();
    std::fs::write(folder.join("store.key"), &keys).unwrap();
    let location: Location = format!("sqlite:{}", folder.join("system.db").display()).parse().unwrap();
    let random = std::sync::Arc::new(baobab::SystemRandom);
    let store = Store::open(&location, KeyRing::from_text(&keys).unwrap(), random).await.unwrap();
    store.migrate(ledger::outbox::MIGRATIONS).await.unwrap();
    let now = Timestamp::from_seconds(1_795_300_800);
    let erased = identity::forget_acts(store.clone(), &AWA.parse().unwrap(), now, &SeededRandom::new(3)).await;
    assert_eq!(erased.unwrap(), None, "no account yet");
    let mut acts = Vec::new();
    for (seed, number) in [(1, AWA), (2, "1751199000022")] {
        let now = Timestamp::from_seconds(1_795_300_800 + i64::try_from(seed).unwrap());
        let (person, number) = (PersonId::draw(&SeededRandom::new(seed)), number.parse().unwrap());
        let made = identity::testing::chose_pin(store.clone(), &person, &number, now).await;
        acts.push(made.unwrap());
    }
    let salt = async |id: &str| {
        let id = id.to_owned();
        let find = move |tx: &mut store::Tx<'_>| outbox::find(tx, "identity.act", &id);
        store.read::<_, StoreError, _>("test.find", find).await.unwrap().unwrap().salt
    };
    assert!(salt(&acts[0]).await.is_some());

    let forget = |number: &str| {
        run(folder, &["account", "forget", "--store", "sqlite:system.db", "--store-key", "store.key", number])
    };
    let (done, said) = forget(AWA);
    assert!(done && said.starts_with("1 salts were erased"), "{said}");
    assert!(salt(&acts[0]).await.is_none() && salt(&acts[1]).await.is_some());
    let events = "SELECT person FROM identity_events WHERE kind = 'acts_forgotten'";
    let events = store.read("test.events", move |tx| tx.query(events, &[])).await.unwrap();
    assert_eq!(events.len(), 1, "what an operator does is written down");
    assert_eq!(events[0].get::<String>("person").unwrap(), PersonId::draw(&SeededRandom::new(1)).as_str());
    let (done, said) = forget("2751198700438");
    assert!(!done && said.contains("no account has this national number") && !said.contains("2751198700438"), "{said}");
}
