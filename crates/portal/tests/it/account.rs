use civic::Timestamp;
use civic::testing::SeededRandom;
use http::StatusCode;
use trust::note::Opening;
use trust::note::policy::Policy;

use crate::{AWA, World};

#[tokio::test]
async fn a_citizen_sees_what_was_changed_at_the_account_and_takes_the_proof_away() {
    for store in store::testing::engines().await {
        let world = World::on(store, "http://127.0.0.1:1").await;
        let mut awa = world.awa().await;
        assert!(awa.get("/mon-compte").await.body.contains("Rien n’a encore été changé"));
        let id = world.awa_chooses_pin().await;
        let page = awa.get("/mon-compte").await.body;
        assert!(page.contains("Code PIN choisi") && page.contains("en route vers le registre public"), "{page}");
        let path = format!("/mon-compte/{id}/preuve.tlog-proof");
        let early = awa.get(&path).await;
        assert_eq!(
            (early.status, &early.headers["retry-after"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"2".parse().unwrap())
        );

        world.outbox.send().await.unwrap();
        assert!(awa.get("/mon-compte").await.body.contains(&path));
        let proof = awa.get(&path).await;
        assert_eq!(proof.status, StatusCode::OK);
        let opened = Opening::verify(&proof.body, &Policy::log_only(world.served.ledger.verifier())).unwrap();
        assert!(opened.record.contains("pin_changed") && !opened.record.contains(AWA), "{}", opened.record);

        let (now, random) = (Timestamp::from_seconds(1_795_300_800), SeededRandom::new(1));
        let erased = identity::forget_acts(world.store.clone(), &AWA.parse().unwrap(), now, &random).await;
        assert_eq!(erased.unwrap(), Some(1));
        let page = awa.get("/mon-compte").await.body;
        assert!(page.contains("preuve effacée") && !page.contains(&path), "{page}");
        let gone = awa.get(&path).await;
        assert_eq!(gone.status, StatusCode::GONE);
        assert!(gone.body.contains("Cette preuve a été effacée"), "{}", gone.body);

        let mut modou = world.modou().await;
        assert_eq!(modou.get(&path).await.status, StatusCode::NOT_FOUND);
        assert!(!modou.get("/mon-compte").await.body.contains(&id));
        assert_eq!(world.stranger().get(&path).await.status, StatusCode::UNAUTHORIZED);
        assert!(world.journal(AWA).await >= 4, "each look stands in the journal");
    }
}
