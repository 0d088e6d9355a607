use http::{Method, StatusCode};
use portal::{ROUTES, Reach};
use web::testing::faults;

use crate::node::{awa, bank_use};
use crate::{AWA, World};

async fn world_of_awa() -> (World, String) {
    let world = World::new().await;
    let grant = world.grant().await.id;
    let usage = bank_use("2026-11-20T09:30:00Z", &grant);
    world.node.set(|registers| {
        registers.person.insert(AWA.into(), awa());
        registers.fisc.insert(AWA.into(), vec![usage]);
    });
    (world, grant)
}

fn address(path: &str, grant: &str) -> String {
    let query = "register=BB%2FGOV%2F1002%2Ffisc&message=m-2026-11-20T09%3A30%3A00Z&at=2026-11-20T09%3A30%3A00Z";
    format!("{}?{query}", path.replace("{id}", grant))
}

#[tokio::test]
async fn a_stranger_sees_nothing_personal_on_any_route() {
    let (world, grant) = world_of_awa().await;
    for route in ROUTES.iter().filter(|route| route.reach == Reach::Citizen) {
        let method: Method = route.method.parse().unwrap();
        let same = [("sec-fetch-site", "same-origin")];
        let answer = world.stranger().send(method, &address(route.path, &grant), "csrf=0".into(), &same).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route:?}");
        assert_eq!(faults(&answer.body), Vec::<String>::new(), "{route:?}");
        for word in ["Awa", "Banque", AWA, "2751"] {
            assert!(!answer.body.contains(word), "{route:?} shows {word}");
        }
    }
    assert_eq!(world.node.set(|registers| registers.asked.len()), 0, "no register was asked");
    assert_eq!(world.journal(AWA).await, 0);
}

#[tokio::test]
async fn another_citizen_sees_nothing_of_awa_on_any_route() {
    let (world, grant) = world_of_awa().await;
    let browser = world.modou().await;
    let csrf = browser.clone().get("/").await.csrf();
    for route in ROUTES.iter().filter(|route| route.reach == Reach::Citizen && route.path != "/logout") {
        let method: Method = route.method.parse().unwrap();
        let same = [("sec-fetch-site", "same-origin")];
        let body = format!("csrf={csrf}");
        let answer = browser.clone().send(method, &address(route.path, &grant), body, &same).await;
        let about_one =
            route.path.contains("{id}") || route.path.starts_with("/consultation.") || route.path == "/consultation";
        let expected = if about_one { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(answer.status, expected, "{route:?}");
        for word in ["Awa", "Banque", AWA] {
            assert!(!answer.body.contains(word), "{route:?} shows {word}");
        }
    }
    let asked = world.node.set(|registers| registers.asked.iter().any(|(what, _)| what.contains(AWA)));
    assert!(!asked, "the registers were asked about Modou only");
    let state = world.grants.get(&grant, &AWA.parse().unwrap()).await.unwrap().status;
    assert_eq!(state, consent::GrantStatus::Given, "the grant stands");
}

#[tokio::test]
async fn a_form_without_its_token_or_from_another_site_changes_nothing() {
    let (world, grant) = world_of_awa().await;
    let mut browser = world.awa().await;
    let csrf = browser.get("/").await.csrf();
    for path in ["/logout".to_owned(), format!("/autorisations/{grant}/retirer")] {
        assert_eq!(browser.post(&path, &[("csrf", "0")]).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(browser.post(&path, &[]).await.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(
            browser.post_from_elsewhere(&path, &[("csrf", &csrf)]).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    assert_eq!(browser.get("/mes-donnees").await.status, StatusCode::OK, "still logged in");
    let state = world.grants.get(&grant, &AWA.parse().unwrap()).await.unwrap().status;
    assert_eq!(state, consent::GrantStatus::Given);
}

#[tokio::test]
async fn every_route_of_the_list_exists_and_public_ones_need_nobody() {
    let (world, grant) = world_of_awa().await;
    for route in ROUTES.iter().filter(|route| route.reach == Reach::Public) {
        let answer = world.stranger().get(route.path).await;
        assert!(![StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&answer.status), "{route:?}");
    }
    for route in ROUTES.iter().filter(|route| route.method == "GET" && !route.path.ends_with(".tlog-proof")) {
        let answer = world.awa().await.get(&address(route.path, &grant)).await;
        assert_ne!(answer.status, StatusCode::NOT_FOUND, "{route:?}");
    }
}
