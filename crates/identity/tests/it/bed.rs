//! A provider on a real socket, two relying parties, browsers, a clock that stands still.

use std::sync::Arc;

use axum::Router;
use civic::testing::{SeededRandom, TestClock};
use civic::{Clock, Locale};
use consent::Grants;
use consent::testing::TestIssuer;
use identity::rp::{Ask, Callback, Outcome, RelyingParty, RpConfig};
use identity::testing::{PIN, citizen, client, config, income_notice};
use identity::{Acr, BridgeService, Identity, NewCitizen, Phone, Resource, Scope};
use serde_json::{Value, json};
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::jose::jws_sign;
use trust::keys::SigningKey;
use web::testing::{Answer, Browser};
use web::{HttpClient, form_text};

pub(crate) const PORTAL_URL: &str = "http://localhost:8600";
/// The audience of the tokens that open the notary.
pub(crate) const NOTARY: &str = "BB/GOV/1000/notary";
pub(crate) const BANK_URL: &str = "http://localhost:8602";
pub(crate) const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) struct Bed {
    pub(crate) identity: Identity,
    pub(crate) grants: Grants,
    pub(crate) phone: Phone,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) router: Router,
    pub(crate) issuer: String,
    pub(crate) portal: RelyingParty,
    pub(crate) bank: RelyingParty,
    pub(crate) bank_key: SigningKey,
    pub(crate) portal_key: SigningKey,
    pub(crate) awa: NewCitizen,
    pub(crate) store: Store,
    _stop: DropGuard,
}

/// One bed an engine.
pub(crate) async fn beds() -> Vec<Bed> {
    let mut beds = Vec::new();
    for store in store::testing::engines().await {
        beds.push(Bed::on(store).await);
    }
    beds
}

impl Bed {
    async fn on(store: Store) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let clock = Arc::new(TestClock::at("2026-11-21T22:00:00Z"));
        let random = Arc::new(SeededRandom::new(11));
        let (portal_key, bank_key) = (SigningKey::generate_p256().unwrap(), SigningKey::generate_ed25519().unwrap());
        let mut portal = client("portal", "BB/GOV/1000/portal", PORTAL_URL, &portal_key).unwrap();
        portal.scopes = vec![Scope::Profile, Scope::Person];
        portal.first_party = true;
        let mut bank = client("bank", "BB/COM/2001/credit", BANK_URL, &bank_key).unwrap();
        let notice = income_notice(Acr::Substantial).unwrap();
        bank.services = vec![notice.service.clone()];
        bank.own_scopes = vec!["notary".to_owned(), "notary-batch".to_owned(), "archive".to_owned()];
        let mut config = config(&issuer, vec![portal, bank], vec![notice]);
        for (scope, audience) in
            [("notary", NOTARY), ("notary-batch", NOTARY), ("archive", "BB/GOV/1003/archive"), ("stamps", NOTARY)]
        {
            config.resources.push(Resource { scope: scope.to_owned(), audience: audience.parse().unwrap() });
        }
        let key = SigningKey::generate_p256().unwrap();
        let test_issuer = TestIssuer { issuer: issuer.clone(), key: key.clone() };
        let grants =
            consent::testing::grants(store.clone(), &test_issuer, &[], clock.clone(), random.clone()).await.unwrap();
        let identity = Identity::open(store.clone(), key, config, clock.clone(), random.clone()).await.unwrap();
        let identity = identity.with_grants(grants.clone());
        let awa = citizen("Awa Ndiaye").unwrap();
        identity.enrol(vec![awa.clone()]).await.unwrap();
        let router = identity.room().router;
        let token = CancellationToken::new();
        tokio::spawn(web::serve(listener, router.clone(), token.clone()));
        let party = |id: &str, url: &str, key: SigningKey| {
            let config = RpConfig {
                issuer: issuer.clone(),
                client_id: id.to_owned(),
                redirect_uri: format!("{url}/callback"),
                key,
            };
            RelyingParty::new(config, HttpClient::default(), clock.clone(), random.clone())
        };
        Self {
            phone: Phone::new(identity.clone()),
            portal: party("portal", PORTAL_URL, portal_key.clone()),
            portal_key,
            bank: party("bank", BANK_URL, bank_key.clone()),
            bank_key,
            identity,
            grants,
            clock,
            router,
            issuer,
            awa,
            store,
            _stop: token.drop_guard(),
        }
    }

    pub(crate) fn browser(&self) -> Walker {
        Walker { browser: Browser::new(self.router.clone()), issuer: self.issuer.clone() }
    }

    /// The code of the latest message.
    pub(crate) async fn sms_code(&self) -> String {
        let messages = self.phone.messages().await.unwrap();
        messages[0].1.chars().filter(char::is_ascii_digit).take(6).collect()
    }

    /// Logs in by the letter of a first use where that is needed, then PIN and SMS; ends where the flow goes next.
    pub(crate) async fn log_in(&self, walker: &mut Walker, page: Answer, who: &NewCitizen) -> Stop {
        // Messages are shown by time: each login has its own second.
        self.clock.advance(std::time::Duration::from_secs(1));
        let number = who.national_number.as_str().to_owned();
        let stop = walker.submit("/login", &page, &[("number", &number), ("pin", PIN)]).await;
        let stop = if stop.is_at("/login/letter") {
            walker.submit("/login/letter", &stop.answer, &[("code", &who.activation_code)]).await
        } else {
            stop
        };
        if !stop.is_at("/login/sms") {
            return stop;
        }
        let code = self.sms_code().await;
        walker.submit("/login/sms", &stop.answer, &[("code", &code)]).await
    }

    /// The whole login of the portal; answers the login.
    pub(crate) async fn portal_login(&self, walker: &mut Walker) -> identity::rp::Login {
        let ask = Ask { scopes: vec![Scope::Profile, Scope::Person], ..Ask::default() };
        let begun = self.portal.begin(&ask).await.unwrap();
        let mut stop = walker.open(&begun.redirect).await;
        if stop.is_at("/login") {
            stop = self.log_in(walker, stop.answer, &self.awa).await;
        }
        if stop.is_at("/secure") {
            stop = walker.submit("/secure/later", &stop.answer, &[]).await;
        }
        match self.portal.finish(&begun.pending, &stop.callback()).await.unwrap() {
            Outcome::LoggedIn(login) => *login,
            Outcome::Refused => panic!("refused"),
        }
    }

    /// A client assertion of the bank; the change is applied to its claims.
    pub(crate) fn assertion(&self, change: impl FnOnce(&mut Value)) -> String {
        self.assertion_of(&self.bank_key, "JWT", change)
    }

    pub(crate) fn assertion_of(&self, key: &SigningKey, typ: &str, change: impl FnOnce(&mut Value)) -> String {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let now = self.clock.now().seconds();
        let jti = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
        let mut claims =
            json!({"iss": "bank", "sub": "bank", "aud": self.issuer, "iat": now, "exp": now + 60, "jti": jti});
        change(&mut claims);
        jws_sign(key, typ, &claims).unwrap()
    }

    /// A good pushed request of the bank, with these parameters replaced (or left out where the value is empty).
    pub(crate) async fn push(&self, changes: &[(&str, &str)]) -> Answer {
        let assertion = self.assertion(|_| {});
        let mut fields = vec![
            ("client_assertion_type", ASSERTION),
            ("client_assertion", &assertion),
            ("response_type", "code"),
            ("redirect_uri", "http://localhost:8602/callback"),
            ("scope", "openid"),
            ("state", "s-1"),
            ("nonce", "n-1"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for change in changes {
            match fields.iter_mut().find(|(name, _)| *name == change.0) {
                Some(field) => *field = *change,
                None => fields.push(*change),
            }
        }
        self.post("/par", &fields).await
    }

    /// A code of the bank for Awa, made by the whole flow.
    pub(crate) async fn code(&self) -> String {
        let pushed = self.push(&[]).await;
        let mut walker = self.browser();
        let stop = self.authorize(&mut walker, &json_of(&pushed)["request_uri"]).await;
        let mut stop = self.log_in(&mut walker, stop.answer, &self.awa).await;
        if stop.is_at("/secure") {
            stop = walker.submit("/secure/later", &stop.answer, &[]).await;
        }
        stop.callback().code.unwrap()
    }

    pub(crate) async fn authorize(&self, walker: &mut Walker, request_uri: &Value) -> Stop {
        let query = form_text(&[("client_id", "bank"), ("request_uri", request_uri.as_str().unwrap_or_default())]);
        walker.open(&format!("{}/authorize?{query}", self.issuer)).await
    }

    /// Exchanges a code as the bank, with these parameters replaced.
    pub(crate) async fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> Answer {
        let assertion = self.assertion(|_| {});
        let mut fields = vec![
            ("client_assertion_type", ASSERTION),
            ("client_assertion", &assertion),
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", "http://localhost:8602/callback"),
            ("code_verifier", VERIFIER),
        ];
        for change in changes {
            match fields.iter_mut().find(|(name, _)| *name == change.0) {
                Some(field) => *field = *change,
                None => fields.push(*change),
            }
        }
        self.post("/token", &fields).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut program = Browser::new(self.router.clone());
        program.send(http::Method::POST, path, form_text(fields), &[]).await
    }
}

/// A browser that follows redirects on the provider's own site.
pub(crate) struct Walker {
    pub(crate) browser: Browser,
    pub(crate) issuer: String,
}

/// Where a walk ended: a page of the provider, or a redirect to somebody else.
pub(crate) struct Stop {
    pub(crate) url: String,
    pub(crate) answer: Answer,
}

impl Stop {
    pub(crate) fn is_at(&self, path: &str) -> bool {
        self.url.split('?').next() == Some(path)
    }

    /// What the client reads in its redirect URI.
    pub(crate) fn callback(&self) -> Callback {
        let (_, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let uri: http::Uri = format!("/?{query}").parse().unwrap();
        axum::extract::Query::<Callback>::try_from_uri(&uri).unwrap().0
    }
}

impl Walker {
    pub(crate) async fn open(&mut self, url: &str) -> Stop {
        let mut url = url.strip_prefix(&self.issuer).unwrap_or(url).to_owned();
        for _ in 0..10 {
            if !url.starts_with('/') {
                break;
            }
            let answer = self.browser.get(&url).await;
            if answer.status != http::StatusCode::SEE_OTHER {
                return Stop { url, answer };
            }
            url = answer.location();
        }
        Stop { url: url.clone(), answer: self.browser.get("/").await }
    }

    /// Sends a form of this page, with its hidden fields, and follows.
    pub(crate) async fn submit(&mut self, path: &str, page: &Answer, fields: &[(&str, &str)]) -> Stop {
        let answer = self.post(path, page, fields).await;
        if answer.status != http::StatusCode::SEE_OTHER {
            return Stop { url: path.to_owned(), answer };
        }
        self.open(&answer.location()).await
    }

    pub(crate) async fn post(&mut self, path: &str, page: &Answer, fields: &[(&str, &str)]) -> Answer {
        let (flow, csrf) = (hidden(page, "flow"), hidden(page, "csrf"));
        let (notice, locale) = (hidden(page, "notice"), hidden(page, "locale"));
        let mut all: Vec<(&str, &str)> = fields.to_vec();
        for (name, value) in [("flow", &flow), ("csrf", &csrf), ("notice", &notice), ("locale", &locale)] {
            if !all.iter().any(|(known, _)| *known == name) {
                all.push((name, value));
            }
        }
        self.browser.post(path, &all).await
    }

    /// What the passkey module does.
    pub(crate) async fn json(&mut self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("sec-fetch-site", "same-origin")];
        self.browser.send(http::Method::POST, path, body.to_string(), &headers).await
    }
}

/// The value of a hidden field.
pub(crate) fn hidden(page: &Answer, name: &str) -> String {
    let after = page.body.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_default();
    after.split('"').next().unwrap_or_default().to_owned()
}

pub(crate) fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// The request of the bank of the demo.
pub(crate) fn income_request() -> BridgeService {
    let purpose =
        civic::Purpose { code: "credit-application".to_owned(), text: "Étudier votre demande de prêt".to_owned() };
    let service = "BB/GOV/1002/fisc/income-statement".parse().unwrap();
    BridgeService::new(service, &["gross_income", "employer"], &[2025], purpose, 30, 3)
}

pub(crate) fn ask_income(locale: Locale) -> Ask {
    Ask { details: Some(income_request()), locale, ..Ask::default() }
}
