use http::StatusCode;
use web::testing::{Answer, Browser, faults};

use crate::World;
use crate::node::{awa, bank_use, own_use, proven};

const T1: &str = "2026-11-20T09:30:00.25Z";
const T2: &str = "2026-11-21T22:39:00Z";

/// A citizen with a record, a grant and three looks at their data.
async fn lived_in() -> (World, String) {
    let world = World::new().await;
    let grant = world.grant().await;
    let (first, second) = (proven(bank_use(T1, &grant.id), &world.log), bank_use(T2, &grant.id));
    world.node.set(|registers| {
        registers.person.insert(crate::AWA.into(), awa());
        registers.fisc.insert(crate::AWA.into(), vec![second, first]);
        registers.civil.insert(crate::AWA.into(), vec![own_use("2026-11-21T22:00:00Z")]);
    });
    (world, grant.id)
}

fn reviewed(world: &World, name: &str, language: &str, page: &Answer) {
    assert_eq!(faults(&page.body), Vec::<String>::new(), "{name} in {language}");
    assert_eq!(page.headers["cache-control"], "no-store", "{name}");
    assert_eq!(page.headers["content-language"], language);
    assert!(!page.body.contains("portal-"), "{name}: a key without translation");
    // What changes without a change of the page: the ledger's key and the versions of the static files.
    let mut body = page.body.replace(&world.log.verifier().to_string(), "VKEY");
    for asset in [web::assets::STYLE, web::assets::MARK] {
        body = body.replace(&asset.href(), &format!("/assets/{}", asset.name));
    }
    insta::assert_snapshot!(format!("{name}_{language}"), body);
}

async fn each_language(world: &World, browser: Browser, name: &str, path: &str, status: StatusCode) {
    for language in ["fr", "en"] {
        let page = browser.clone().reads(language).get(path).await;
        assert_eq!(page.status, status, "{name}: {}", page.body);
        reviewed(world, name, language, &page);
    }
}

fn of(message: &str, at: &str) -> String {
    format!("/consultation?{}", web::form_text(&[("register", "BB/GOV/1002/fisc"), ("message", message), ("at", at)]))
}

#[tokio::test]
async fn every_page_looks_as_reviewed_in_both_languages() {
    let (world, grant) = lived_in().await;
    let ok = StatusCode::OK;
    each_language(&world, world.stranger(), "welcome", "/", ok).await;
    each_language(&world, world.stranger(), "verify", "/verifier", ok).await;
    each_language(&world, world.stranger(), "sign_in", "/consultations?period=year", StatusCode::UNAUTHORIZED).await;
    let awa = world.awa().await;
    each_language(&world, awa.clone(), "home", "/", ok).await;
    each_language(&world, awa.clone(), "data", "/mes-donnees", ok).await;
    each_language(&world, awa.clone(), "accesses", "/consultations", ok).await;
    each_language(&world, awa.clone(), "access_pending", &of(&format!("m-{T2}"), T2), ok).await;
    each_language(&world, awa.clone(), "access_proven", &of(&format!("m-{T1}"), T1), ok).await;
    each_language(&world, awa.clone(), "grants", "/autorisations", ok).await;
    each_language(&world, awa.clone(), "grant", &format!("/autorisations/{grant}"), ok).await;
    each_language(&world, awa.clone(), "revoke", &format!("/autorisations/{grant}/retirer"), ok).await;
}

#[tokio::test]
async fn pages_of_somebody_without_anything_help() {
    let world = World::new().await;
    let modou = world.modou().await;
    each_language(&world, modou.clone(), "data_nobody", "/mes-donnees", StatusCode::OK).await;
    each_language(&world, modou.clone(), "accesses_none", "/consultations", StatusCode::OK).await;
    each_language(&world, modou.clone(), "grants_none", "/autorisations", StatusCode::OK).await;
}

#[tokio::test]
async fn a_register_that_is_down_is_named_and_takes_nothing_else_away() {
    let (world, _) = lived_in().await;
    world.node.set(|registers| registers.civil_is_down = true);
    let awa = world.awa().await;
    each_language(&world, awa.clone(), "data_silent", "/mes-donnees", StatusCode::OK).await;
    each_language(&world, awa.clone(), "accesses_silent", "/consultations", StatusCode::OK).await;
    let page = awa.clone().get("/consultations").await;
    assert!(page.body.contains("Banque du Fleuve"), "the other register is shown");
}

#[tokio::test]
async fn a_record_other_than_the_one_committed_raises_the_alarm() {
    let (world, grant) = lived_in().await;
    let mut altered = proven(bank_use(T1, &grant), &world.log);
    altered["receiverName"] = "Somebody else".into();
    world.node.set(|registers| registers.fisc.insert(crate::AWA.into(), vec![altered]));
    each_language(&world, world.awa().await, "access_wrong", &of(&format!("m-{T1}"), T1), StatusCode::OK).await;
}

#[tokio::test]
async fn a_full_page_of_accesses_stays_within_its_weight() {
    let world = World::new().await;
    let uses =
        (10..60).map(|minute| bank_use(&format!("2026-11-20T10:{minute}:00Z"), "4f0c9d3e-1111-4222-8333-444455556666"));
    world.node.set(|registers| registers.fisc.insert(crate::AWA.into(), uses.collect()));
    let page = world.awa().await.get("/consultations?offset=10").await;
    assert_eq!(faults(&page.body), Vec::<String>::new());
    assert!(page.body.contains("11 à 20 sur 50"));
}
