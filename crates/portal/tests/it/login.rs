use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use identity::{Acr, Amr, IdToken};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trust::jose::{Jwks, jws_sign};
use trust::keys::SigningKey;
use web::Form;
use web::testing::{Answer, Browser};

use crate::{AWA, World, person};

/// An identity provider that trusts everybody and says that everybody is Awa.
struct Provider {
    issuer: String,
    key: SigningKey,
    pushed: Mutex<BTreeMap<String, String>>,
}

async fn provider() -> Arc<Provider> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let provider = Arc::new(Provider { issuer, key: SigningKey::generate_p256().unwrap(), pushed: Mutex::default() });
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(describe))
        .route("/keys", get(keys))
        .route("/par", post(push))
        .route("/token", post(token))
        .with_state(Arc::clone(&provider));
    tokio::spawn(web::serve(listener, router, CancellationToken::new()));
    provider
}

async fn describe(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let at = |path: &str| format!("{}/{path}", provider.issuer);
    Json(json!({
        "issuer": provider.issuer, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"),
        "pushed_authorization_request_endpoint": at("par"), "jwks_uri": at("keys"), "end_session_endpoint": at("logout")
    }))
}

async fn keys(State(provider): State<Arc<Provider>>) -> Json<Jwks> {
    Json(Jwks::of([provider.key.public()]).unwrap())
}

async fn push(State(provider): State<Arc<Provider>>, Form(fields): Form<BTreeMap<String, String>>) -> Json<Value> {
    *provider.pushed.lock().unwrap() = fields;
    Json(json!({"request_uri": "urn:request:1", "expires_in": 60}))
}

async fn token(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let nonce = provider.pushed.lock().unwrap().get("nonce").cloned();
    let access_token = "opaque";
    let digest = trust::digest::sha256(access_token.as_bytes());
    let claims = IdToken {
        iss: provider.issuer.clone(),
        sub: "pairwise".into(),
        aud: "portal".into(),
        iat: 1_700_000_000,
        exp: 4_000_000_000,
        auth_time: 1_700_000_000,
        acr: Acr::Substantial,
        amr: Vec::<Amr>::new(),
        nonce,
        at_hash: URL_SAFE_NO_PAD.encode(&digest[..16]),
        name: Some("Awa Ndiaye".into()),
        person: Some(person(1)),
        national_number: Some(AWA.parse().unwrap()),
    };
    let id_token = jws_sign(&provider.key, "JWT", &claims).unwrap();
    Json(json!({"access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token}))
}

/// The browser comes back from the provider with this answer.
async fn come_back(provider: &Provider, browser: &mut Browser, with: &[(&str, &str)]) -> Answer {
    let state = provider.pushed.lock().unwrap()["state"].clone();
    let mut fields = vec![("state", state.as_str()), ("iss", provider.issuer.as_str())];
    fields.extend_from_slice(with);
    browser.get(&format!("/callback?{}", web::form_text(&fields))).await
}

#[tokio::test]
async fn a_citizen_logs_in_sees_the_page_they_wanted_and_logs_out() {
    let provider = provider().await;
    let world = World::on(store::testing::sqlite().await, &provider.issuer).await;
    let mut browser = world.stranger();
    let wall = browser.get("/autorisations").await;
    assert!(wall.body.contains("href=\"/login?next=%2Fautorisations\""));
    let leaving = browser.get("/login?next=%2Fautorisations").await;
    assert_eq!(leaving.status, StatusCode::SEE_OTHER);
    assert!(leaving.location().starts_with(&format!("{}/authorize?client_id=portal&request_uri=", provider.issuer)));
    assert_eq!(provider.pushed.lock().unwrap()["scope"], "openid profile person");

    let back = come_back(&provider, &mut browser, &[("code", "c-1")]).await;
    assert_eq!(back.location(), "/autorisations", "{}", back.body);
    let home = browser.get("/").await;
    assert!(home.body.contains("Bonjour Awa Ndiaye"));

    let bye = browser.post("/logout", &[("csrf", &home.csrf())]).await;
    assert!(bye.location().starts_with(&format!("{}/logout?id_token_hint=", provider.issuer)));
    assert_eq!(browser.get("/mes-donnees").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn refusing_to_log_in_is_a_normal_end() {
    let provider = provider().await;
    let world = World::on(store::testing::sqlite().await, &provider.issuer).await;
    let mut browser = world.stranger();
    browser.get("/login").await;
    let back = come_back(&provider, &mut browser, &[("error", "access_denied")]).await;
    assert_eq!(back.location(), "/");
    assert!(browser.get("/").await.body.contains("Vous avez choisi de ne pas vous connecter."));
    assert!(!browser.get("/").await.body.contains("Vous avez choisi"), "it is said once");
}

#[tokio::test]
async fn an_answer_that_this_browser_did_not_ask_for_logs_nobody_in() {
    let provider = provider().await;
    let world = World::on(store::testing::sqlite().await, &provider.issuer).await;
    world.stranger().get("/login").await;
    let mut victim = world.stranger();
    let without = come_back(&provider, &mut victim, &[("code", "c-1")]).await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST, "no login was begun here");
    victim.get("/login").await;
    let wrong = victim.get(&format!("/callback?state=guess&code=c-1&iss={}", provider.issuer)).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.body.contains("La connexion n’a pas abouti"));
    assert_eq!(victim.get("/mes-donnees").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_provider_that_is_away_is_told_kindly() {
    let world = World::new().await;
    let answer = world.stranger().get("/login").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("La connexion n’a pas abouti"));
}

#[tokio::test]
async fn an_unused_session_ends_and_says_so() {
    let world = World::new().await;
    let mut awa = world.awa().await;
    assert_eq!(awa.get("/").await.status, StatusCode::OK);
    world.clock.advance(Duration::from_mins(31));
    let page = awa.get("/consultations").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(page.body.contains("votre session est terminée"));
}
