//! The bank's pages against a stand-in for its node and for the identity provider; the real ones are walked through by
//! the whole-house tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderMap, StatusCode, Uri};
use ::store::Store;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use civic::Clock;
use civic::testing::{SeededRandom, TestClock};
use identity::rp::{RelyingParty, RpConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use trust::keys::SigningKey;
use web::testing::{Answer, Browser, faults};
use web::{HttpClient, Text};

use super::application::{Access, Call, Income, Outcome, State};
use super::{BankConfig, bank, store};

const INCOME: &str =
    r#"{"year":2025,"currency":"XOF","gross_income":4200000,"taxable_income":3064000,"employer":"Huilerie du Saloum"}"#;

/// What the neighbours of the bank saw, and what the node is to answer.
#[derive(Default)]
struct Seen {
    pushed: Vec<(String, String)>,
    calls: Vec<(Uri, HeaderMap)>,
    answer: Option<(u16, String)>,
}

type Watch = Arc<Mutex<Seen>>;

struct Setting {
    store: Store,
    seen: Watch,
    clock: Arc<TestClock>,
    issuer: String,
    router: Router,
    browser: Browser,
}

impl Setting {
    async fn on(store: Store) -> Self {
        let seen = Watch::default();
        let issuer = listen(provider(Arc::clone(&seen))).await;
        let consumer_url = listen(node(Arc::clone(&seen))).await;
        let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
        let random = Arc::new(SeededRandom::new(7));
        let party = RpConfig {
            issuer: issuer.clone(),
            client_id: "bank".into(),
            redirect_uri: "http://localhost:8602/callback".into(),
            key: SigningKey::generate_p256().unwrap(),
        };
        let room = bank(BankConfig {
            name: Text::name("Banque du Fleuve"),
            public_url: "http://localhost:8602".into(),
            issuer: issuer.clone(),
            relying_party: RelyingParty::new(party, HttpClient::default(), clock.clone(), random.clone()),
            consumer_url,
            client: "BB/COM/2001/credit".parse().unwrap(),
            income_service: "BB/GOV/1002/fisc/income-statement".parse().unwrap(),
            year: 2025,
            http: HttpClient::default(),
            store: store.clone(),
            clock: clock.clone(),
            random,
        });
        let router = room.await.unwrap().router;
        let browser = Browser::new(router.clone());
        Self { store, seen, clock, issuer, router, browser }
    }

    async fn embedded() -> Self {
        Self::on(::store::testing::sqlite().await).await
    }

    /// Fills the form; the browser then stands before the identity provider.
    async fn ask_for_loan(&mut self) -> Answer {
        let csrf = self.browser.get("/loan").await.csrf();
        let fields = [("amount", "1 200 000"), ("months", "24"), ("project", "trade"), ("csrf", csrf.as_str())];
        self.browser.post("/loan", &fields).await
    }

    async fn request_id(&self) -> String {
        let found = self.store.read("test.request", |tx| {
            tx.query_one("SELECT id FROM bank_application ORDER BY created_at DESC LIMIT 1", &[])?
                .map_or(Ok(String::new()), |row| row.get("id"))
        });
        found.await.map_err(|error: ::store::StoreError| error).unwrap()
    }

    /// A request to which the citizen has agreed, and its page.
    async fn agreed(&mut self) -> String {
        self.ask_for_loan().await;
        let id = self.request_id().await;
        let access = Access {
            token: "token-of-awa".into(),
            until: self.clock.now().plus(Duration::from_hours(1)),
            subject: "pairwise-1".into(),
            grant: Some("grant-1".into()),
        };
        store::set_state(&self.store, &id, &State::Agreed(Box::new(access)), self.clock.now()).await.unwrap();
        format!("/applications/{id}")
    }

    fn node_answers(&self, status: u16, body: &str) {
        self.seen.lock().unwrap().answer = Some((status, body.to_owned()));
    }

    async fn again(&mut self, page: &str) -> Answer {
        let csrf = self.browser.get(page).await.csrf();
        let answer = self.browser.post(&format!("{page}/again"), &[("csrf", csrf.as_str())]).await;
        assert_eq!((answer.status, answer.location().as_str()), (StatusCode::SEE_OTHER, page));
        self.browser.get(page).await
    }

    fn state_sent(&self) -> String {
        let seen = self.seen.lock().unwrap();
        seen.pushed.iter().find(|(name, _)| name == "state").map(|(_, state)| state.clone()).unwrap()
    }
}

async fn listen(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Discovery, keys and pushed requests; it keeps what was pushed.
fn provider(seen: Watch) -> Router {
    async fn discovery(headers: HeaderMap) -> Json<Value> {
        let issuer = format!("http://{}", headers["host"].to_str().unwrap());
        Json(json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "pushed_authorization_request_endpoint": format!("{issuer}/par"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "end_session_endpoint": format!("{issuer}/logout"),
        }))
    }
    async fn par(Shared(seen): Shared<Watch>, axum::Form(fields): axum::Form<Vec<(String, String)>>) -> Response {
        seen.lock().unwrap().pushed = fields;
        (StatusCode::CREATED, Json(json!({ "request_uri": "urn:request:1", "expires_in": 60 }))).into_response()
    }
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(|| async { Json(json!({ "keys": [] })) }))
        .route("/par", post(par))
        .with_state(seen)
}

/// The consumer side of a node: it keeps what it was asked and answers what the test says.
fn node(seen: Watch) -> Router {
    async fn any(Shared(seen): Shared<Watch>, uri: Uri, headers: HeaderMap) -> Response {
        let mut seen = seen.lock().unwrap();
        seen.calls.push((uri.clone(), headers));
        if uri.path() == "/asic" {
            return ([("content-type", "application/vnd.etsi.asic-e+zip")], "PK container").into_response();
        }
        let (status, body) = seen.answer.clone().unwrap_or((200, INCOME.to_owned()));
        let headers = [("content-type", "application/json"), ("x-road-request-id", "a6f0e1d2-node")];
        (StatusCode::from_u16(status).unwrap(), headers, body).into_response()
    }
    Router::new().fallback(any).with_state(seen)
}

fn main_of(html: &str) -> String {
    let start = html.find("<main").unwrap();
    html[start..html.find("</main>").unwrap()].to_owned()
}

#[tokio::test]
async fn a_citizen_asks_and_is_sent_to_the_identity_provider() {
    let mut setting = Setting::embedded().await;
    let answer = setting.ask_for_loan().await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.location().starts_with(&format!("{}/authorize?client_id=bank&request_uri=", setting.issuer)));
    let seen = setting.seen.lock().unwrap();
    let pushed = |name: &str| seen.pushed.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(pushed("code_challenge_method"), Some("S256"));
    let details: Value = serde_json::from_str(pushed("authorization_details").unwrap()).unwrap();
    insta::assert_json_snapshot!("authorization_details", details);
}

#[tokio::test]
async fn a_wrong_form_comes_back_with_what_was_typed_and_what_to_do() {
    let mut setting = Setting::embedded().await;
    let csrf = setting.browser.get("/loan").await.csrf();
    let fields = [("amount", "<b>lots</b>"), ("months", "7"), ("csrf", csrf.as_str())];
    let answer = setting.browser.post("/loan", &fields).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(faults(&answer.body), Vec::<String>::new());
    assert!(answer.body.contains("Choisissez une durée") && answer.body.contains("Choisissez à quoi servira le prêt"));
    assert!(answer.body.contains("Écrivez un montant entre"), "{}", answer.body);
    assert!(!answer.body.contains("<b>lots"), "what was typed is escaped");
    assert!(setting.request_id().await.is_empty(), "nothing was kept");
}

#[tokio::test]
async fn a_refusal_is_a_normal_outcome_and_nothing_is_read() {
    let mut setting = Setting::embedded().await;
    setting.ask_for_loan().await;
    let back =
        web::form_text(&[("error", "access_denied"), ("state", &setting.state_sent()), ("iss", &setting.issuer)]);
    let answer = setting.browser.get(&format!("/callback?{back}")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let page = setting.browser.get(&answer.location()).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Vous avez refusé, et c’est votre droit"));
    assert!(setting.seen.lock().unwrap().calls.is_empty());
    let twice = setting.browser.get(&format!("/callback?{back}")).await;
    assert_eq!(twice.status, StatusCode::CONFLICT, "an answer serves once");
    assert!(twice.body.contains("Cette réponse ne peut plus servir"));
}

#[tokio::test]
async fn an_answer_with_another_state_or_issuer_is_refused() {
    let mut setting = Setting::embedded().await;
    setting.ask_for_loan().await;
    let (state, issuer) = (setting.state_sent(), setting.issuer.clone());
    for (state, issuer) in [("other", issuer.as_str()), (state.as_str(), "http://evil.example"), ("", "")] {
        let back = web::form_text(&[("code", "c"), ("state", state), ("iss", issuer)]);
        assert_eq!(setting.browser.get(&format!("/callback?{back}")).await.status, StatusCode::CONFLICT);
    }
    assert!(setting.seen.lock().unwrap().calls.is_empty());
}

#[tokio::test]
async fn the_bank_calls_its_own_node_and_shows_the_verified_income() {
    let mut setting = Setting::embedded().await;
    let page = setting.agreed().await;
    let shown = setting.again(&page).await;
    assert!(shown.body.contains("Huilerie du Saloum") && shown.body.contains("4\u{202f}200\u{202f}000 FCFA"));
    let (uri, headers) = setting.seen.lock().unwrap().calls[0].clone();
    assert_eq!(uri.path(), "/r1/BB/GOV/1002/fisc/income-statement/2025");
    assert_eq!(headers["x-road-client"], "BB/COM/2001/credit");
    assert_eq!(headers["authorization"], "Bearer token-of-awa");
    assert!(headers["x-road-id"].to_str().unwrap().starts_with("BB-"));
    assert!(shown.body.contains(headers["x-road-id"].to_str().unwrap()), "the evidence is named");
}

#[tokio::test]
async fn after_revocation_the_refusal_is_explained_and_the_income_erased() {
    let mut setting = Setting::embedded().await;
    let page = setting.agreed().await;
    setting.again(&page).await;
    setting.clock.advance(Duration::from_secs(1));
    setting.node_answers(500, r#"{"type":"server.serverproxy.consent_revoked","message":"…","detail":"0b1c-detail"}"#);
    let shown = setting.again(&page).await;
    assert!(shown.body.contains("Vous avez retiré votre accord"));
    assert!(!shown.body.contains("Huilerie du Saloum") && !shown.body.contains("4\u{202f}200\u{202f}000"));
    assert_eq!(faults(&shown.body), Vec::<String>::new());
}

#[tokio::test]
async fn each_way_in_which_a_call_fails_is_told_in_plain_words() {
    let mut setting = Setting::embedded().await;
    let page = setting.agreed().await;
    for (status, kind, words) in [
        (500, "server.serverproxy.consent_expired", "Votre accord est arrivé à sa fin"),
        (500, "server.serverproxy.consent_exhausted", "Votre accord a déjà servi 3 fois"),
        (500, "server.serverproxy.consent_out_of_scope", "Votre accord ne couvre pas cette lecture"),
        (500, "server.serverproxy.access_denied", "La passerelle a refusé l’accès à la banque"),
        (404, "urn:baobab:problem:no_statement", "Les Impôts n’ont pas d’avis à votre nom"),
        (500, "server.clientproxy.network_error", "Les Impôts ne répondent pas pour le moment"),
        (500, "server.serverproxy.surprise", "La lecture n’a pas abouti"),
        (200, "no income at all", "La lecture n’a pas abouti"),
    ] {
        setting.clock.advance(Duration::from_secs(1));
        setting.node_answers(status, &json!({ "type": kind, "message": "…", "detail": "d-1" }).to_string());
        let shown = setting.again(&page).await;
        assert!(shown.body.contains(words), "{kind}: {}", main_of(&shown.body));
        assert_eq!(faults(&shown.body), Vec::<String>::new());
    }
}

#[tokio::test]
async fn with_the_token_ended_the_bank_does_not_call() {
    let mut setting = Setting::embedded().await;
    let page = setting.agreed().await;
    let csrf = setting.browser.get(&page).await.csrf();
    // Half an hour at a time, so that the session stays alive.
    for _ in 0..3 {
        setting.clock.advance(Duration::from_mins(25));
        setting.browser.get("/").await;
    }
    setting.browser.post(&format!("{page}/again"), &[("csrf", csrf.as_str())]).await;
    assert!(setting.seen.lock().unwrap().calls.is_empty());
    assert!(setting.browser.get(&page).await.body.contains("Votre passage à la banque est terminé"));
}

#[tokio::test]
async fn a_stranger_sees_no_request_and_starts_no_call() {
    let mut setting = Setting::embedded().await;
    let page = setting.agreed().await;
    let shown = setting.again(&page).await;
    let message = setting.seen.lock().unwrap().calls[0].1["x-road-id"].to_str().unwrap().to_owned();
    assert!(shown.body.contains(&message));
    // One with no session at all, one with a session of their own at the same bank.
    let mut strangers = [Browser::new(setting.router.clone()), Browser::new(setting.router.clone())];
    let own = strangers[1].get("/loan").await.csrf();
    assert_eq!(strangers[1].get(&page).await.status, StatusCode::NOT_FOUND);
    assert_eq!(strangers[1].get(&format!("/calls/{message}/proof/response")).await.status, StatusCode::NOT_FOUND);
    for act in ["again", "consent"] {
        let answer = strangers[1].post(&format!("{page}/{act}"), &[("csrf", own.as_str())]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{act}");
    }
    assert_eq!(strangers[0].get(&page).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(strangers[0].get("/callback?code=x").await.status, StatusCode::UNAUTHORIZED);
    assert!(!strangers[1].get("/back-office").await.body.contains(&message));
    assert!(!strangers[1].get("/").await.body.contains("/applications/"));
    assert_eq!(setting.seen.lock().unwrap().calls.len(), 1);
}

#[tokio::test]
async fn a_form_without_the_token_of_its_session_does_nothing() {
    let mut setting = Setting::embedded().await;
    let page = setting.agreed().await;
    for token in ["", "0000"] {
        for act in ["again", "consent"] {
            let answer = setting.browser.post(&format!("{page}/{act}"), &[("csrf", token)]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{act}");
        }
    }
    let csrf = setting.browser.get(&page).await.csrf();
    let answer = setting.browser.post_from_elsewhere(&format!("{page}/again"), &[("csrf", csrf.as_str())]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(setting.seen.lock().unwrap().calls.is_empty());
}

#[tokio::test]
async fn the_proof_is_fetched_from_the_node() {
    let mut setting = Setting::embedded().await;
    let page = setting.agreed().await;
    setting.again(&page).await;
    let message = setting.seen.lock().unwrap().calls[0].1["x-road-id"].to_str().unwrap().to_owned();
    let answer = setting.browser.get(&format!("/calls/{message}/proof/response")).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "PK container"));
    assert_eq!(answer.headers["content-disposition"], format!("attachment; filename=\"{message}-response.asice\""));
    let asked = setting.seen.lock().unwrap().calls[1].0.to_string();
    let expected = format!(
        "/asic?queryId={message}&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit&responseOnly&unique&force"
    );
    assert_eq!(asked, expected);
    assert_eq!(setting.browser.get(&format!("/calls/{message}/proof/else")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn with_the_identity_provider_down_the_request_is_kept() {
    let mut setting = Setting::embedded().await;
    let random = Arc::new(SeededRandom::new(9));
    let party = RpConfig {
        issuer: "http://127.0.0.1:9".into(),
        client_id: "bank".into(),
        redirect_uri: "http://localhost:8602/callback".into(),
        key: SigningKey::generate_p256().unwrap(),
    };
    let room = bank(BankConfig {
        name: Text::name("Banque du Fleuve"),
        public_url: "http://localhost:8602".into(),
        issuer: "http://127.0.0.1:9".into(),
        relying_party: RelyingParty::new(party, HttpClient::default(), setting.clock.clone(), random.clone()),
        consumer_url: "http://127.0.0.1:9".into(),
        client: "BB/COM/2001/credit".parse().unwrap(),
        income_service: "BB/GOV/1002/fisc/income-statement".parse().unwrap(),
        year: 2025,
        http: HttpClient::default(),
        store: setting.store.clone(),
        clock: setting.clock.clone(),
        random,
    });
    setting.browser = Browser::new(room.await.unwrap().router);
    let answer = setting.ask_for_loan().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("L’Agence du numérique ne répond pas"));
    assert!(setting.browser.get("/").await.body.contains("En attente de votre choix"));
    let page = setting.agreed().await;
    assert!(setting.again(&page).await.body.contains("Les Impôts ne répondent pas pour le moment"));
}

#[tokio::test]
async fn requests_and_calls_are_kept_on_every_engine() {
    for store in ::store::testing::engines().await {
        let mut setting = Setting::on(store).await;
        let page = setting.agreed().await;
        let shown = setting.again(&page).await;
        assert!(shown.body.contains("Revenu reçu"));
        let id = setting.request_id().await;
        let (token, sealed) = setting
            .store
            .read("test.sealed", move |tx| {
                let row =
                    tx.query_one("SELECT access, income FROM bank_application WHERE id = $1", &::store::params![&id])?;
                row.map_or(Ok((Vec::new(), Vec::new())), |row| Ok((row.get("access")?, row.get::<Vec<u8>>("income")?)))
            })
            .await
            .map_err(|error: ::store::StoreError| error)
            .unwrap();
        let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(&token, "token-of-awa") && !holds(&sealed, "Huilerie"), "tokens and incomes are sealed");
    }
}

#[tokio::test]
async fn the_pages_read_well_in_both_languages() {
    for language in ["fr", "en"] {
        let mut setting = Setting::embedded().await;
        setting.browser = setting.browser.reads(language);
        let empty = setting.browser.get("/").await;
        let form = setting.browser.get("/loan").await;
        let page = setting.agreed().await;
        note(&setting, &page, Outcome::Answered, "BB-11111111-2222-4333-8444-555555555555").await;
        let verified = setting.browser.get(&page).await;
        let list = setting.browser.get("/").await;
        let office = setting.browser.get("/back-office").await;
        setting.clock.advance(Duration::from_mins(1));
        note(&setting, &page, Outcome::ConsentRevoked, "BB-66666666-7777-4888-8999-aaaaaaaaaaaa").await;
        let revoked = setting.browser.get(&page).await;
        let pages = [
            ("home", &empty),
            ("loan", &form),
            ("verified", &verified),
            ("requests", &list),
            ("office", &office),
            ("revoked", &revoked),
        ];
        for (name, answer) in pages {
            assert_eq!(answer.status, StatusCode::OK, "{name}");
            assert_eq!(faults(&answer.body), Vec::<String>::new(), "{name} in {language}");
            assert!(!answer.body.contains("bank-"), "{name} shows a bare key: {}", main_of(&answer.body));
            let stable = main_of(&answer.body).replace(&setting.request_id().await, "REQUEST");
            let stable = stable.replace(&answer.csrf(), if answer.csrf().is_empty() { "" } else { "CSRF" });
            insta::assert_snapshot!(format!("{name}_{language}"), stable);
        }
    }
}

async fn note(setting: &Setting, page: &str, outcome: Outcome, message: &str) {
    let id = page.trim_start_matches("/applications/");
    let call = Call {
        id: message.to_owned(),
        called_at: setting.clock.now(),
        took_us: 42_000,
        outcome,
        reference: Some("a6f0e1d2-node".to_owned()),
    };
    let income = (outcome == Outcome::Answered).then(|| serde_json::from_str::<Income>(INCOME).unwrap());
    store::note_call(&setting.store, id, call, income).await.unwrap();
}
