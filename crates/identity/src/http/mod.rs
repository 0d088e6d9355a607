//! The pages and endpoints. The only files with axum.

mod consent;
mod login;
mod oauth;
mod secure;
mod session;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::consent::Grants;
use ::consent::http as consent_doors;
use askama::Template;
use askama::filters::HtmlSafe;
use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::header::{HeaderValue, RETRY_AFTER, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use web::{Asset, FormAction, HealthCheck, Job, Page, Problem, Room, Site, Text, Visit};

use crate::browser::Session;
use crate::client::Scope;
use crate::error::IdentityError;
use crate::finish::Ending;
use crate::identity::{Identity, secret_hash};
use crate::login::{LoginFault, Next};
use crate::store::{Flow, migrations};

/// The passkey module of the pages.
const PASSKEY_MODULE: Asset = Asset {
    name: "passkey.js",
    media_type: "text/javascript; charset=utf-8",
    bytes: include_bytes!("../../assets/passkey.js"),
};

impl Identity {
    /// The provider as a room: pages and endpoints behind the guard of the house, the clean-up jobs, the health check; with
    /// the door and the jobs of the consent service where there is one.
    pub fn room(&self) -> Room {
        let inner = &self.inner;
        let mut site = Site::new(
            inner.config.organisation.clone(),
            service_name(self, "identity-service"),
            inner.config.issuer.clone(),
            Arc::clone(&inner.messages),
            Arc::clone(&inner.random),
        );
        site.machine_paths = ["/par", "/token", "/userinfo", "/consent/v1"].map(str::to_owned).to_vec();
        site.assets = vec![PASSKEY_MODULE];
        site.body_bytes_max = 64 * 1024;
        let purging = self.clone();
        let checked = inner.store.clone();
        let mut jobs = vec![
            Job::new("identity.purge", Duration::from_mins(5), move || {
                let identity = purging.clone();
                async move { Ok(identity.purge().await?) }
            }),
            inner.sessions.job(),
        ];
        jobs.extend(self.grants.iter().flat_map(Grants::jobs));
        Room {
            name: "identity",
            router: site.wrap(router(self)),
            migrations: migrations().into_iter().chain([web::session::migration()]).collect(),
            jobs,
            cards: Vec::new(),
            health: vec![HealthCheck::new("identity.store", move || {
                let store = checked.clone();
                async move { Ok(store.health().await?) }
            })],
        }
    }
}

/// A word of the translations in every language.
pub(crate) fn service_name(identity: &Identity, key: &str) -> Text {
    let words = |locale| identity.inner.messages.t(locale, key, &[]);
    Text::new(words(civic::Locale::Fr), words(civic::Locale::En))
}

fn router(identity: &Identity) -> Router {
    let doors = identity.grants.clone().map(consent_doors::router).unwrap_or_default();
    Router::new()
        .route("/.well-known/openid-configuration", get(oauth::discovery))
        .route("/.well-known/oauth-authorization-server", get(oauth::discovery))
        .route("/jwks", get(oauth::jwks))
        .route("/par", post(oauth::push))
        .route("/token", post(oauth::token))
        .route("/userinfo", get(oauth::userinfo).post(oauth::userinfo))
        .route("/authorize", get(oauth::authorize))
        .route("/", get(session::home))
        .route("/continue", get(session::go_on))
        .route("/cancel", post(consent::cancel))
        .route("/login", get(login::login_page).post(login::login))
        .route("/login/letter", get(login::letter_page).post(login::letter))
        .route("/login/sms", get(login::sms_page).post(login::sms))
        .route("/login/sms/again", post(login::sms_again))
        .route("/first-use", get(login::first_use_page).post(login::first_use))
        .route("/login/passkey/start", post(login::passkey_start))
        .route("/login/passkey/finish", post(login::passkey_finish))
        .route("/secure", get(secure::page))
        .route("/secure/pin", post(secure::pin))
        .route("/secure/later", post(secure::later))
        .route("/secure/passkey/start", post(secure::passkey_start))
        .route("/secure/passkey/finish", post(secure::passkey_finish))
        .route("/stronger", get(session::stronger))
        .route("/consent", get(consent::page).post(consent::answer))
        .route("/logout", get(session::logout_page).post(session::logout))
        .with_state(identity.clone())
        .merge(doors)
}

/// The browser and the flow that a page belongs to.
struct Step {
    /// The flow as pages name it.
    id: String,
    flow: Flow,
    session: Session,
}

impl Step {
    /// Finds the flow and checks that it is this browser's, still valid and not answered.
    async fn find(identity: &Identity, visit: &Visit, headers: &HeaderMap, id: &str) -> Result<Self, Problem> {
        let over = || person_problem(visit, StatusCode::BAD_REQUEST, "flow_over", "identity-over");
        let session = identity.inner.sessions.load(headers).await?.ok_or_else(over)?;
        let flow = identity.inner.tables.flow(secret_hash(id)).await.map_err(ours)?.ok_or_else(over)?;
        if flow.browser != session.data.hash() || flow.expires_at <= identity.inner.clock.now() {
            return Err(over());
        }
        if flow.is_spent {
            return Err(answered(visit));
        }
        Ok(Self { id: id.to_owned(), flow, session })
    }

    /// As [`Step::find`] for a posted form, whose token must be of this session.
    async fn of_form(
        identity: &Identity,
        visit: &Visit,
        headers: &HeaderMap,
        form: &FlowForm,
    ) -> Result<Self, Problem> {
        let step = Self::find(identity, visit, headers, &form.flow).await?;
        own_form(visit, &step.session, &form.csrf)?;
        Ok(step)
    }

    /// The address of a page of this flow.
    fn path(&self, page: &str) -> String {
        format!("{page}?flow={}", self.id)
    }

    /// Forms of this flow may end at the client that waits for the answer, and nowhere else.
    fn form_action(&self) -> FormAction {
        let origin: String = self.flow.request.redirect_uri.split('/').take(3).collect::<Vec<_>>().join("/");
        FormAction::And(vec![origin])
    }

    /// "To continue to: Banque du Fleuve", and what it learns by the login alone.
    fn client_line(&self, identity: &Identity, visit: &Visit) -> Option<String> {
        let client = identity.inner.config.client(&self.flow.request.client_id)?;
        let line = visit.t1("identity-for", "client", visit.say(&client.name));
        let learns_name = self.flow.request.scopes.contains(&Scope::Profile) && !client.first_party;
        Some(if learns_name { format!("{line}. {}", visit.t("identity-for-name")) } else { line })
    }

    /// Finishes a page of this flow.
    fn page(&self, visit: &Visit, title: &str, body: &impl Template) -> Result<Page, Problem> {
        Ok(visit.page(title, body)?.form_action(self.form_action()))
    }
}

/// The two fields of every form.
#[derive(Clone, Debug, Default, Deserialize)]
struct FlowForm {
    #[serde(default)]
    flow: String,
    #[serde(default)]
    csrf: String,
}

/// Where a request comes from, as far as the throttle cares: an IPv4 address, or the /64 of an IPv6 one.
#[derive(Debug)]
struct Source(String);

impl<S: Send + Sync> FromRequestParts<S> for Source {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        Ok(Self(match peer {
            None => "unknown".to_owned(),
            Some(std::net::IpAddr::V4(address)) => address.to_string(),
            Some(std::net::IpAddr::V6(address)) => {
                let network = address.to_bits() >> 64;
                format!("{network:016x}::/64")
            }
        }))
    }
}

/// The part of a page that offers a passkey; hidden until the module shows it.
#[derive(Clone, Debug, Template)]
#[template(path = "passkey.html")]
struct PasskeyPart {
    kind: &'static str,
    start: &'static str,
    finish: &'static str,
    flow: String,
    csrf: String,
    title: String,
    text: String,
    button: String,
    failed: String,
}

impl HtmlSafe for PasskeyPart {}

/// The answer that sends a browser on, with the new cookie where there is one.
fn see_other(location: &str, cookie: Option<HeaderValue>) -> Response {
    let mut response = Redirect::to(location).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// After a right answer: log in where the login is complete, and send the browser to the next page.
async fn follow(identity: &Identity, step: Step, next: Next) -> Result<Response, Problem> {
    match next {
        Next::Letter => Ok(see_other(&step.path("/login/letter"), None)),
        Next::Sms => Ok(see_other(&step.path("/login/sms"), None)),
        Next::Complete(completed) => {
            let location = step.path("/continue");
            let cookie = identity.log_in(&step.session, completed).await?;
            Ok(see_other(&location, Some(cookie)))
        }
    }
}

/// The end of a flow as an answer.
fn ended(visit: &Visit, step: &Step, ending: Ending) -> Result<Response, Problem> {
    match ending {
        Ending::Redirect(url) => Ok(see_other(&url, None)),
        Ending::AlreadyAnswered => Err(answered(visit)),
        Ending::NoticeChanged => Ok(see_other(&format!("{}&changed=1", step.path("/consent")), None)),
    }
}

/// What a failed step tells the citizen; `Err` for what no form can mend.
fn told(visit: &Visit, fault: &LoginFault, not_recognised: &str) -> Result<String, Problem> {
    let key = match fault {
        LoginFault::NotRecognised => not_recognised,
        LoginFault::CodeOver => "identity-error-sms-over",
        LoginFault::NoMoreMessages => "identity-error-sms-most",
        LoginFault::WeakPin => "identity-error-pin-weak",
        LoginFault::PinsDiffer => "identity-error-pins-differ",
        LoginFault::OtherStep => "identity-error-step",
        LoginFault::Wait(pause) => {
            return Ok(visit.t1("identity-error-wait", "minutes", pause.as_secs().div_ceil(60)));
        }
        LoginFault::Ours(error) => return Err(Problem::unavailable(error)),
    };
    Ok(visit.t(key))
}

/// The status of a page that shows a form again.
fn fault_status(fault: &LoginFault) -> StatusCode {
    match fault {
        LoginFault::Wait(_) | LoginFault::NoMoreMessages => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// A page that shows a form again, with `Retry-After` where waiting is the remedy.
fn with_fault(page: Page, fault: &LoginFault) -> Page {
    let page = page.status(fault_status(fault));
    match fault {
        LoginFault::Wait(pause) => page.header(RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1))),
        _ => page,
    }
}

/// The problem of a JSON endpoint of the passkey module.
fn json_fault(fault: &LoginFault) -> Problem {
    match fault {
        LoginFault::Ours(error) => Problem::unavailable(error),
        LoginFault::Wait(pause) => Problem::too_many(format!("Wait {} seconds.", pause.as_secs())),
        _ => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "passkey_refused", "The passkey was not accepted"),
    }
}

/// A problem with words for people: `KEY-title` and `KEY-text`.
fn person_problem(visit: &Visit, status: StatusCode, code: &str, key: &str) -> Problem {
    let (title, text) = (visit.t(&format!("{key}-title")), visit.t(&format!("{key}-text")));
    Problem::new(status, code, "The step cannot be done").for_people(title, text)
}

/// Refuses a form that was not made for this session.
fn own_form(visit: &Visit, session: &Session, csrf: &str) -> Result<(), Problem> {
    let is_own = session.verify_csrf(csrf).is_ok();
    if is_own { Ok(()) } else { Err(person_problem(visit, StatusCode::FORBIDDEN, "form_over", "identity-form")) }
}

fn answered(visit: &Visit) -> Problem {
    person_problem(visit, StatusCode::CONFLICT, "already_answered", "identity-answered")
}

fn ours(error: IdentityError) -> Problem {
    Problem::unavailable(error)
}
