use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use serde::Deserialize;
use web::testing::{Browser, faults};
use web::{Form, FormAction, Page, Problem, Visit};

use crate::site;

#[derive(askama::Template)]
#[template(source = "<h1>{{ title }}</h1>", ext = "html")]
struct Plain {
    title: String,
}

#[derive(Deserialize)]
struct Loan {
    amount: i64,
}

async fn home(visit: Visit) -> Result<Page, Problem> {
    visit.page(visit.t("test-title"), &Plain { title: visit.t("test-title") })
}

async fn loan(Form(loan): Form<Loan>) -> String {
    loan.amount.to_string()
}

#[expect(clippy::panic, reason = "this handler is there to panic")]
async fn panics() -> String {
    panic!("the secret of the house")
}

async fn sleeps() {
    tokio::time::sleep(Duration::from_mins(1)).await;
}

async fn fails() -> Problem {
    Problem::internal("the disk of room 7")
}

async fn away(visit: Visit) -> Result<impl IntoResponse, Problem> {
    Ok(visit.page("x", &Plain { title: "x".into() })?.form_action(FormAction::Anywhere))
}

fn browser() -> Browser {
    let router = Router::new()
        .route("/", get(home))
        .route("/loan", post(loan))
        .route("/api/loan", post(loan))
        .route("/panics", get(panics))
        .route("/sleeps", get(sleeps))
        .route("/fails", get(fails))
        .route("/away", get(away));
    let mut site = site();
    site.timeout = Duration::from_millis(50);
    site.machine_paths = vec!["/api".to_owned()];
    site.form_action = FormAction::And(vec!["http://localhost:8601".to_owned()]);
    Browser::new(site.wrap(router))
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let answer = browser().get("/").await;
    assert_eq!(answer.status, StatusCode::OK);
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(policy.ends_with("form-action 'self' http://localhost:8601"), "{policy}");
    assert!(!policy.contains("unsafe"));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["content-language"], "fr");
    assert_eq!(answer.headers["x-request-id"].len(), 16);
    assert!(!answer.headers.contains_key("strict-transport-security"), "HSTS is for https only");
    assert_eq!(faults(&answer.body), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_may_widen_where_its_forms_lead() {
    let answer = browser().get("/away").await;
    assert!(!answer.headers["content-security-policy"].to_str().unwrap().contains("form-action"));
}

#[tokio::test]
async fn https_brings_hsts() {
    let mut site = site();
    site.public_url = "https://portal.example".to_owned();
    let mut browser = Browser::new(site.wrap(Router::new().route("/", get(home))));
    assert!(browser.get("/").await.headers.contains_key("strict-transport-security"));
}

#[tokio::test]
async fn the_language_is_chosen_by_link_then_remembered_then_negotiated() {
    let mut browser = browser();
    assert!(browser.get("/").await.body.contains("lang=\"fr\""));
    assert!(browser.get("/?lang=en").await.body.contains("Ask for a loan"));
    assert!(browser.get("/").await.body.contains("Ask for a loan"), "the cookie remembers");
    assert!(self::browser().reads("en-GB").get("/").await.body.contains("Ask for a loan"));
}

#[tokio::test]
async fn a_form_from_another_site_is_refused_and_a_program_is_not() {
    let mut browser = browser();
    assert_eq!(browser.post("/loan", &[("amount", "5")]).await.body, "5");
    assert_eq!(browser.post_from_elsewhere("/loan", &[("amount", "5")]).await.status, StatusCode::FORBIDDEN);
    let foreign = [("origin", "http://evil.example")];
    assert_eq!(browser.send(Method::POST, "/loan", "amount=5".into(), &foreign).await.status, StatusCode::FORBIDDEN);
    let own = [("origin", "http://localhost:8600")];
    assert_eq!(browser.send(Method::POST, "/loan", "amount=5".into(), &own).await.status, StatusCode::OK);
    assert_eq!(browser.send(Method::POST, "/api/loan", "amount=5".into(), &foreign).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_form_too_large_or_of_another_kind_or_without_a_field_is_refused() {
    let mut browser = browser();
    let large = "9".repeat(web::FORM_BYTES_MAX + 1);
    assert_eq!(browser.post("/loan", &[("amount", &large)]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(browser.post("/loan", &[("other", "1")]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.post("/loan", &[("amount", "many")]).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing_of_the_inside() {
    let answer = browser().get("/panics").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.body.contains("secret"));
    assert_eq!(faults(&answer.body), Vec::<String>::new());
}

#[tokio::test]
async fn a_program_gets_a_problem_and_a_person_gets_a_page_in_their_language() {
    let mut browser = browser();
    let page = browser.get("/fails").await;
    assert!(page.body.contains("Une erreur est survenue chez nous"));
    assert!(!page.body.contains("room 7"));
    let json = browser.send(Method::GET, "/fails", String::new(), &[]).await;
    assert_eq!(json.status, StatusCode::INTERNAL_SERVER_ERROR);
    let router = site().wrap(Router::new().route("/fails", get(fails)));
    let request = http::Request::builder().uri("/fails").body(axum::body::Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = axum::body::to_bytes(response.into_body(), 9_999).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["type"], "urn:baobab:problem:internal");
    assert!(problem["instance"].as_str().unwrap().starts_with("urn:baobab:request:"));
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_cut_off() {
    assert_eq!(browser().get("/sleeps").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_method_are_pages_too() {
    let mut browser = browser();
    let nowhere = browser.get("/nowhere").await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    assert!(nowhere.body.contains("Page introuvable"));
    let wrong = browser.get("/loan").await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.headers["allow"], "POST");
}

#[tokio::test]
async fn the_style_sheet_is_cached_by_its_content() {
    let mut browser = browser();
    let href = web::assets::STYLE.href();
    let answer = browser.get(&href).await;
    assert_eq!(answer.headers["cache-control"], "public, max-age=31536000, immutable");
    let tag = answer.headers["etag"].to_str().unwrap().to_owned();
    let again = browser.send(Method::GET, &href, String::new(), &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(browser.get("/assets/baobab.css?v=old").await.headers["cache-control"], "public, max-age=300");
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let answer = browser().send(Method::GET, "/assets/baobab.css", String::new(), &[("accept-encoding", "gzip")]).await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
}
