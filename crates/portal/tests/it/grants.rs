use consent::GrantStatus;
use http::StatusCode;
use serde_json::Value;

use crate::{AWA, World};

#[tokio::test]
async fn a_permission_is_taken_back_in_two_steps_and_for_good() {
    for store in store::testing::engines().await {
        let world = World::on(store, "http://127.0.0.1:1").await;
        let id = world.grant().await.id;
        let mut awa = world.awa().await;
        let page = awa.get(&format!("/autorisations/{id}")).await;
        assert!(page.body.contains("Active") && page.body.contains(&format!("href=\"/autorisations/{id}/retirer\"")));
        let ask = awa.get(&format!("/autorisations/{id}/retirer")).await;
        assert!(ask.body.contains("Oui, retirer"));
        let done = awa.post(&format!("/autorisations/{id}/retirer"), &[("csrf", &ask.csrf())]).await;
        assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, format!("/autorisations/{id}?done=1")));
        let after = awa.get(&done.location()).await.body;
        assert!(after.contains("Retirée") && after.contains("L’autorisation est retirée."));
        assert!(after.contains("Vous avez retiré l’autorisation.") && !after.contains("/retirer\""));
        let status = world.grants.get(&id, &AWA.parse().unwrap()).await.unwrap().status;
        assert!(matches!(status, GrantStatus::Revoked(_)));

        let again = awa.post(&format!("/autorisations/{id}/retirer"), &[("csrf", &ask.csrf())]).await;
        assert_eq!(again.location(), format!("/autorisations/{id}"), "a second time changes nothing");
        let late = awa.get(&format!("/autorisations/{id}/retirer")).await;
        assert_eq!(late.location(), format!("/autorisations/{id}"), "nothing is left to confirm");
    }
}

#[tokio::test]
async fn the_receipt_says_what_was_allowed_and_opens_the_commitments() {
    let world = World::new().await;
    let id = world.grant().await.id;
    let file = world.awa().await.get(&format!("/autorisations/{id}/recu.json")).await;
    assert_eq!(file.headers["content-disposition"], format!("attachment; filename=\"autorisation-{id}.json\""));
    let receipt: Value = serde_json::from_str(&file.body).unwrap();
    assert_eq!(receipt["controller"]["id"], "BB/COM/2001/credit");
    assert_eq!(receipt["service"], "BB/GOV/1002/fisc/income-statement");
    assert_eq!(receipt["state"], "active");
    assert_eq!(receipt["withdrawal"], format!("http://localhost:8600/autorisations/{id}/retirer"));
    let event = &receipt["events"][0];
    assert_eq!(event["event"]["event"], "given");
    let record = event["commitment"]["record"].as_str().unwrap();
    let bytes = |name: &str| {
        let text = event["commitment"][name].as_str().unwrap().as_bytes();
        text.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect::<Vec<u8>>()
    };
    assert_eq!(trust::digest::hmac_sha256(&bytes("salt"), record.as_bytes()).to_vec(), bytes("leaf"));
}

#[tokio::test]
async fn a_permission_past_its_end_cannot_be_taken_back_any_more() {
    let world = World::new().await;
    let id = world.grant().await.id;
    world.clock.advance(std::time::Duration::from_hours(31 * 24));
    let mut awa = world.awa().await;
    let page = awa.get(&format!("/autorisations/{id}")).await.body;
    assert!(page.contains("Terminée") && !page.contains("/retirer\""));
}

#[tokio::test]
async fn reading_permissions_stands_in_the_journal() {
    let world = World::new().await;
    let mut awa = world.awa().await;
    awa.get("/autorisations").await;
    awa.get("/autorisations/unknown").await;
    assert_eq!(world.journal(AWA).await, 2);
}
