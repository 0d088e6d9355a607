//! The operator console of a node: pages on the admin listener, without scripts, in French and English.
//!
//! What is healthy, what expires soon, who may call what, what was exchanged; a right is given or taken in three clicks and
//! given back with one. Every change goes through the registry, which checks, audits and puts it in force. An operator signs in
//! with an API key of the node (there are no passwords); what a key may do is what its roles say.
//!
//! Trusted: whoever holds an API key of the node with the role for it. Not: anyone who only reaches the admin listener.

mod clients;
mod confirm;
mod exchanges;
mod keys;
mod logs;
mod overview;
mod services;
mod sign_in;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use civic::Locale;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use web::{
    HealthCheck, I18nError, Link, Messages, Page, Problem, Session, SessionConfig, Sessions, SignedIn, Site, Text,
    Visit,
};

use crate::api::{self, Done, Refusal, Wish};
use crate::core::Core;
use crate::registry::{Change, RegistryError};

use sign_in::SignIn;

/// Puts the console together. `public_url` is the address that operators type.
pub(crate) fn mount(core: &Arc<Core>, health: Vec<HealthCheck>, public_url: &str) -> Result<Router, I18nError> {
    let mut site = Site::new(
        Text::name(core.config.server.to_string()),
        Text::new("Console du nœud", "Node console"),
        public_url,
        Arc::new(messages()?),
        Arc::clone(&core.random),
    );
    CONSOLE.clone_into(&mut site.home);
    let sessions = sessions(core, site.secure());
    let console = Console { core: Arc::clone(core), sessions, health: Arc::new(health) };
    Ok(site.wrap(router(console)))
}

/// Takes out sessions that ended.
pub(crate) async fn purge(core: &Core) -> Result<(), String> {
    sessions(core, false).purge().await.map(drop).map_err(|error| error.to_string())
}

fn sessions(core: &Core, secure: bool) -> Sessions<Memory> {
    let settings = SessionConfig::new("console", secure);
    Sessions::new(core.log.store().clone(), settings, Arc::clone(&core.clock), Arc::clone(&core.random))
}

/// The words of the console.
pub(crate) fn messages() -> Result<Messages, I18nError> {
    Messages::load(&[
        (Locale::Fr, include_str!("../../../../translations/fr/console.ftl")),
        (Locale::En, include_str!("../../../../translations/en/console.ftl")),
    ])
}

const CONSOLE: &str = "/console";

/// Every page and form of the console, for the test that walks them as a stranger; `true` where nobody need be signed in.
pub const ROUTES: &[(&str, &str, bool)] = &[
    ("GET", "/console", false),
    ("GET", "/console/sign-in", true),
    ("POST", "/console/sign-in", true),
    ("POST", "/console/sign-out", false),
    ("GET", "/console/services", false),
    ("GET", "/console/services/{number}", false),
    ("POST", "/console/services/{number}/give", false),
    ("POST", "/console/services/{number}/take", false),
    ("POST", "/console/services/{number}/switch", false),
    ("GET", "/console/clients", false),
    ("POST", "/console/clients", false),
    ("POST", "/console/clients/add", false),
    ("GET", "/console/clients/{id}/{action}", false),
    ("POST", "/console/clients/{id}/{action}", false),
    ("GET", "/console/keys", false),
    ("GET", "/console/keys/new", false),
    ("POST", "/console/keys/new", false),
    ("GET", "/console/keys/certificate", false),
    ("POST", "/console/keys/certificate", false),
    ("GET", "/console/keys/certificates/{hash}/{action}", false),
    ("POST", "/console/keys/certificates/{hash}/{action}", false),
    ("GET", "/console/keys/requests/{key}/{csr}", false),
    ("POST", "/console/keys/requests/{key}/{csr}", false),
    ("GET", "/console/exchanges", false),
    ("GET", "/console/exchanges/{id}", false),
    ("GET", "/console/exchanges/{id}/evidence.asice", false),
    ("GET", "/console/logs", false),
    ("GET", "/console/changes", false),
    ("GET", "/console/changes/{id}/proof.tlog-proof", false),
];

fn router(console: Console) -> Router {
    Router::new()
        .route(CONSOLE, get(overview::overview))
        .route("/console/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/console/sign-out", post(sign_in::sign_out))
        .route("/console/services", get(services::list))
        .route("/console/services/{number}", get(services::one))
        .route("/console/services/{number}/give", post(services::give))
        .route("/console/services/{number}/take", post(services::take))
        .route("/console/services/{number}/switch", post(services::switch))
        .route("/console/clients", get(clients::list).post(clients::change))
        .route("/console/clients/add", post(clients::add))
        .route("/console/clients/{id}/{action}", get(clients::confirm).post(clients::act))
        .route("/console/keys", get(keys::list))
        .route("/console/keys/new", get(keys::new).post(keys::make))
        .route("/console/keys/certificate", get(keys::upload).post(keys::import))
        .route("/console/keys/certificates/{hash}/{action}", get(keys::confirm).post(keys::act))
        .route("/console/keys/requests/{key}/{csr}", get(keys::request).post(keys::forget))
        .route("/console/exchanges", get(exchanges::search))
        .route("/console/exchanges/{id}", get(exchanges::one))
        .route("/console/exchanges/{id}/evidence.asice", get(exchanges::evidence))
        .route("/console/logs", get(logs::logs))
        .route("/console/changes", get(overview::changes))
        .route("/console/changes/{id}/proof.tlog-proof", get(overview::proof))
        .route("/", get(|| async { Redirect::to(CONSOLE) }))
        .with_state(console)
}

/// What the pages share.
#[derive(Clone)]
pub(crate) struct Console {
    core: Arc<Core>,
    sessions: Sessions<Memory>,
    health: Arc<Vec<HealthCheck>>,
}

/// The state extractor in its short form.
type At = State<Console>;

/// What a session remembers.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Memory {
    operator: Option<SignIn>,
    /// Said once on the next page.
    notice: Option<Notice>,
    /// What went wrong, said once on the next page.
    #[serde(default)]
    trouble: Option<Trouble>,
}

/// What was refused and why.
#[derive(Clone, Serialize, Deserialize)]
struct Trouble {
    /// The word of the operation's error; its translation says what to do.
    code: String,
    /// The particulars, in English.
    text: String,
}

/// What was done, and how to undo it.
#[derive(Clone, Serialize, Deserialize)]
struct Notice {
    /// A key of the translations, with `{ $what }`.
    key: String,
    what: String,
    undo: Option<Undo>,
}

/// A form of one button that takes a change back.
#[derive(Clone, Serialize, Deserialize)]
struct Undo {
    action: String,
    fields: Vec<(String, String)>,
}

/// A request of an operator who is signed in. As an extractor it answers strangers with the sign-in page.
struct Operator {
    console: Console,
    known: SignIn,
    session: Session<Memory>,
    visit: Visit,
}

impl FromRequestParts<Console> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let visit = Visit::from_request_parts(parts, console).await.map_err(IntoResponse::into_response)?;
        let session =
            console.sessions.load(&parts.headers).await.map_err(|error| Problem::from(error).into_response())?;
        let signed_in = session.and_then(|session| session.data.operator.clone().map(|known| (session, known)));
        let Some((session, known)) = signed_in else { return Err(sign_in::asked(&visit)) };
        // A key that was withdrawn or narrowed ends what its sessions may do.
        match known.renewed(&console.core).await {
            Ok(Some(known)) => Ok(Self { console: console.clone(), known, session, visit }),
            Ok(None) => Err(sign_in::asked(&visit)),
            Err(problem) => Err(problem.into_response()),
        }
    }
}

impl Operator {
    fn t(&self, key: &str) -> String {
        self.visit.t(key)
    }

    /// A page of the console: sections, who is signed in.
    fn page(&self, section: Section, title: &str, body: &impl Template) -> Result<Page, Problem> {
        let links = Section::ALL
            .into_iter()
            .map(|known| Link::new(known.path(), self.t(known.key())).current(known == section))
            .collect();
        Ok(self.visit.page(title, body)?.navigation(links).signed_in(SignedIn {
            name: self.known.name(&self.visit),
            logout: "/console/sign-out".to_owned(),
            csrf: self.session.csrf(),
        }))
    }

    /// What the last change left to say.
    async fn notice(&mut self) -> Result<Option<NoticeView>, Problem> {
        let memory = &mut self.session.data;
        let (notice, trouble) = (memory.notice.take(), memory.trouble.take());
        if notice.is_none() && trouble.is_none() {
            return Ok(None);
        }
        self.console.sessions.save(&self.session).await?;
        let (csrf, button) = (self.session.csrf(), self.t("console-undo"));
        if let Some(trouble) = trouble {
            let key = format!("console-refused-{}", trouble.code.replace('_', "-"));
            let text = self.visit.t_or(&key, &self.t("console-refused"));
            let detail = Some(trouble.text).filter(|text| !text.is_empty());
            return Ok(Some(NoticeView { text, detail, bad: true, undo: None, csrf, button }));
        }
        Ok(notice.map(|notice| {
            let text = self.visit.t1(&notice.key, "what", notice.what.as_str());
            NoticeView { text, detail: None, bad: false, undo: notice.undo, csrf, button }
        }))
    }

    /// Runs an operation of the management API in the name of the operator.
    async fn perform(
        &self,
        operation: &str,
        params: &[(&str, &str)],
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Done, Refusal> {
        let (number, roles) = self.known.holder();
        api::perform(&self.console.core, Wish { number, roles, operation, params, query, body }).await
    }

    /// Says on the next page what was done, or why not.
    async fn said(
        mut self,
        outcome: Result<(), Refusal>,
        key: &str,
        what: &str,
        next: &str,
    ) -> Result<Response, Problem> {
        match outcome {
            Ok(()) => {
                self.session.data.notice = Some(Notice { key: key.to_owned(), what: what.to_owned(), undo: None });
            }
            Err(Refusal { code, text }) => {
                self.session.data.trouble = Some(Trouble { code: code.to_owned(), text });
            }
        }
        self.console.sessions.save(&self.session).await?;
        Ok(Redirect::to(next).into_response())
    }

    /// Applies a change in the name of the operator and says so on the next page.
    async fn change(mut self, change: Change, notice: Notice, next: &str) -> Result<Response, Problem> {
        self.console.core.registry.apply(&self.known.author(), change).await.map_err(refused)?;
        self.session.data.notice = Some(notice);
        self.console.sessions.save(&self.session).await?;
        Ok(Redirect::to(next).into_response())
    }

    /// Refuses a form of somebody else, and an operator whose key may only look.
    fn may_change(&self, csrf: &str) -> Result<(), Problem> {
        self.session.verify_csrf(csrf)?;
        if self.known.may_change_services() {
            return Ok(());
        }
        Err(Problem::forbidden(
            "This key may look but not change services and rights. Sign in with a key that has the role \
             XROAD_SERVICE_ADMINISTRATOR.",
        ))
    }
}

/// A notice as the templates show it.
#[derive(Template)]
#[template(path = "console/notice.html")]
struct NoticeView {
    text: String,
    /// The particulars of a refusal, in English.
    detail: Option<String>,
    bad: bool,
    undo: Option<Undo>,
    csrf: String,
    button: String,
}

impl askama::filters::HtmlSafe for NoticeView {}

/// The sections of the console.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Overview,
    Services,
    Clients,
    Keys,
    Exchanges,
    Logs,
    Changes,
}

impl Section {
    const ALL: [Self; 7] =
        [Self::Overview, Self::Services, Self::Clients, Self::Keys, Self::Exchanges, Self::Logs, Self::Changes];

    const fn path(self) -> &'static str {
        match self {
            Self::Overview => CONSOLE,
            Self::Services => "/console/services",
            Self::Clients => "/console/clients",
            Self::Keys => "/console/keys",
            Self::Exchanges => "/console/exchanges",
            Self::Logs => "/console/logs",
            Self::Changes => "/console/changes",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Overview => "console-nav-overview",
            Self::Services => "console-nav-services",
            Self::Clients => "console-nav-clients",
            Self::Keys => "console-nav-keys",
            Self::Exchanges => "console-nav-exchanges",
            Self::Logs => "console-nav-logs",
            Self::Changes => "console-nav-changes",
        }
    }
}

fn refused(error: RegistryError) -> Problem {
    match &error {
        RegistryError::NotFound(_) => Problem::not_found(),
        RegistryError::Store(_) | RegistryError::Damaged(_) => Problem::unavailable(error),
        RegistryError::Exists(_) | RegistryError::Declared(_) | RegistryError::Invalid(_) => {
            Problem::bad_request(error.to_string())
        }
    }
}

/// The key of the translations for an action of the audit.
pub(crate) fn action_key(action: &str) -> String {
    format!("console-action-{}", action.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ACTIONS;

    #[test]
    fn every_action_of_the_audit_has_words_in_every_language() {
        let messages = messages().unwrap();
        for action in ACTIONS {
            for locale in Locale::ALL {
                assert!(messages.has(locale, &action_key(action)), "{locale:?} lacks `{action}`");
            }
        }
    }
}
