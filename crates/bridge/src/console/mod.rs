//! The operator console of a node: pages on the admin listener, without scripts, in French and English.
//!
//! What is healthy, what expires soon, who may call what, what was exchanged; a right is given or taken in three clicks and
//! given back with one. Every change goes through the registry, which checks, audits and puts it in force. An operator signs in
//! with an API key of the node (there are no passwords); what a key may see and do here is what its roles allow over the management API:
//! each page has a door that names its operation. Searches in the message log, views and downloads are audited.
//!
//! Trusted: whoever holds an API key of the node with the role for it. Not: anyone who only reaches the admin listener.

mod clients;
mod confirm;
mod door;
mod exchanges;
mod keys;
mod logs;
mod overview;
mod services;
mod sign_in;

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::handler::Handler;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use civic::Locale;
use http::Method;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use web::{
    HealthCheck, I18nError, Link, Messages, Page, Problem, Session, SessionConfig, Sessions, SignedIn, Site, Text,
    Visit,
};

use crate::api::{self, Done, Refusal, Wish};
use crate::core::Core;
use crate::registry::{Change, RegistryError};

use door::Door;
pub use door::Reach;
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

/// A page or form of the console.
struct Route {
    method: Method,
    path: &'static str,
    door: Door,
    handler: MethodRouter<Console>,
}

fn show<H: Handler<T, Console>, T: 'static>(path: &'static str, door: Door, handler: H) -> Route {
    Route { method: Method::GET, path, door, handler: get(handler) }
}

fn form<H: Handler<T, Console>, T: 'static>(path: &'static str, door: Door, handler: H) -> Route {
    Route { method: Method::POST, path, door, handler: post(handler) }
}

/// Every page and form of the console, each with the door that says who may come in.
fn routes() -> Vec<Route> {
    let mut all = routes_of_services();
    all.extend(routes_of_keys());
    all.extend(routes_of_the_node());
    all
}

fn routes_of_services() -> Vec<Route> {
    let (services, clients, steps) = (Section::Services.door(), Section::Clients.door(), Door::OfStep(clients::STEPS));
    vec![
        show("/console/services", services, services::list),
        show("/console/services/{number}", services, services::one),
        form("/console/services/{number}/give", Door::Of("addServiceServiceClients"), services::give),
        form("/console/services/{number}/take", Door::Of("deleteServiceServiceClients"), services::take),
        form("/console/services/{number}/switch", Door::Of("enableServiceDescription"), services::switch),
        show("/console/clients", clients, clients::list),
        form("/console/clients", Door::Of("updateClient"), clients::change),
        form("/console/clients/add", Door::Of("addClient"), clients::add),
        show("/console/clients/{id}/{action}", steps, clients::confirm),
        form("/console/clients/{id}/{action}", steps, clients::act),
    ]
}

fn routes_of_keys() -> Vec<Route> {
    let (make, import, steps) = (Door::Of("addKeyAndCsr"), Door::Of("importCertificate"), Door::OfStep(keys::STEPS));
    vec![
        show("/console/keys", Section::Keys.door(), keys::list),
        show("/console/keys/new", make, keys::new),
        form("/console/keys/new", make, keys::make),
        show("/console/keys/certificate", import, keys::upload),
        form("/console/keys/certificate", import, keys::import),
        show("/console/keys/certificates/{hash}/{action}", steps, keys::confirm),
        form("/console/keys/certificates/{hash}/{action}", steps, keys::act),
        show("/console/keys/requests/{key}/{csr}", Door::Of("downloadCsr"), keys::request),
        form("/console/keys/requests/{key}/{csr}", Door::Of("deleteCsr"), keys::forget),
    ]
}

fn routes_of_the_node() -> Vec<Route> {
    let (exchanges, changes) = (Section::Exchanges.door(), Section::Changes.door());
    vec![
        show(CONSOLE, Section::Overview.door(), overview::overview),
        show("/console/sign-in", Door::Open, sign_in::page),
        form("/console/sign-in", Door::Open, sign_in::sign_in),
        form("/console/sign-out", Door::SignedIn, sign_in::sign_out),
        show("/console/exchanges", exchanges, exchanges::search),
        show("/console/exchanges/{id}", exchanges, exchanges::one),
        show("/console/exchanges/{id}/evidence.asice", exchanges, exchanges::evidence),
        show("/console/logs", Section::Logs.door(), logs::logs),
        show("/console/changes", changes, overview::changes),
        show("/console/changes/{id}/proof.tlog-proof", changes, overview::proof),
    ]
}

/// Every page and form of the console with who reaches it, for the test that walks them all: method, path, reach.
pub fn reach() -> Vec<(Method, String, Reach)> {
    let spread = |route: Route| {
        let Route { method, path, door, .. } = route;
        door.reach(path).into_iter().map(move |(path, reach)| (method.clone(), path, reach))
    };
    routes().into_iter().flat_map(spread).collect()
}

fn router(console: Console) -> Router {
    let mount =
        |router: Router<Console>, route: Route| router.route(route.path, route.handler.layer(Extension(route.door)));
    let pages = routes().into_iter().fold(Router::new(), mount);
    pages.route("/", get(|| async { Redirect::to(CONSOLE) })).with_state(console)
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
        let known = match known.renewed(&console.core).await {
            Ok(Some(known)) => known,
            Ok(None) => return Err(sign_in::asked(&visit)),
            Err(problem) => return Err(problem.into_response()),
        };
        let operator = Self { console: console.clone(), known, session, visit };
        let doorless = || Problem::internal("a page of the console has no door").into_response();
        let door = parts.extensions.get::<Door>().copied().ok_or_else(doorless)?;
        let refusal = operator.refusal(door, parts.uri.path());
        refusal.map_or(Ok(operator), Err)
    }
}

impl Operator {
    fn t(&self, key: &str) -> String {
        self.visit.t(key)
    }

    /// A page of the console: sections, who is signed in.
    fn page(&self, section: Section, title: &str, body: &impl Template) -> Result<Page, Problem> {
        self.page_beside(Some(section), title, body)
    }

    /// The same, which may be of no section. Sections that the key may not open are not shown.
    fn page_beside(&self, section: Option<Section>, title: &str, body: &impl Template) -> Result<Page, Problem> {
        let (_, roles) = self.known.holder();
        let links = Section::ALL
            .into_iter()
            .filter(|known| known.door().admits(roles, known.path()))
            .map(|known| Link::new(known.path(), self.t(known.key())).current(Some(known) == section))
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

    /// Who may open it.
    const fn door(self) -> Door {
        match self {
            Self::Overview => Door::SignedIn,
            Self::Services => Door::Of("getClientServiceDescriptions"),
            Self::Clients => Door::Of("findClients"),
            Self::Keys => Door::Of("getTokens"),
            Self::Exchanges => Door::Of("searchMessageLog"),
            // X-Road knows no such logs: they are services of the federation as time-stamping is.
            Self::Logs => Door::Of("getApprovedTimestampingServices"),
            Self::Changes => Door::Of("getAudit"),
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
