//! The pages of the portal. The only module that knows axum.

mod accesses;
mod account;
mod data;
mod grants;
mod home;
mod login;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use civic::{Actor, Locale, NationalNumber, PersonId, Purpose};
use consent::{AccessRequest, Basis, Consent, Grants, Permit, Refusal};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use http::request::Parts as RequestParts;
use identity::AccountActs;
use identity::rp::{Pending, RelyingParty};
use serde::{Deserialize, Serialize};
use web::{
    FormAction, HealthCheck, Link, Messages, Page, Problem, Room, Session, SessionConfig, Sessions, SignedIn, Site,
    Visit, session,
};

use crate::sources::Sources;
use crate::{Parts, PortalConfig};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody.
    Public,
    /// A citizen who is logged in, for their own data.
    Citizen,
}

/// A route of the portal, for the test that walks them all as a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, with `{id}` where a value stands.
    pub path: &'static str,
    /// Who may use it.
    pub reach: Reach,
}

/// Every route beside the static files.
pub const ROUTES: &[Route] = &[
    Route { method: "GET", path: "/", reach: Reach::Public },
    Route { method: "GET", path: "/login", reach: Reach::Public },
    Route { method: "GET", path: "/callback", reach: Reach::Public },
    Route { method: "GET", path: "/verifier", reach: Reach::Public },
    Route { method: "POST", path: "/logout", reach: Reach::Citizen },
    Route { method: "GET", path: "/mes-donnees", reach: Reach::Citizen },
    Route { method: "GET", path: "/consultations", reach: Reach::Citizen },
    Route { method: "GET", path: "/consultations.csv", reach: Reach::Citizen },
    Route { method: "GET", path: "/consultations.json", reach: Reach::Citizen },
    Route { method: "GET", path: "/consultation", reach: Reach::Citizen },
    Route { method: "GET", path: "/consultation.json", reach: Reach::Citizen },
    Route { method: "GET", path: "/consultation.tlog-proof", reach: Reach::Citizen },
    Route { method: "GET", path: "/mon-compte", reach: Reach::Citizen },
    Route { method: "GET", path: "/mon-compte/{id}/preuve.tlog-proof", reach: Reach::Citizen },
    Route { method: "GET", path: "/autorisations", reach: Reach::Citizen },
    Route { method: "GET", path: "/autorisations/{id}", reach: Reach::Citizen },
    Route { method: "GET", path: "/autorisations/{id}/retirer", reach: Reach::Citizen },
    Route { method: "POST", path: "/autorisations/{id}/retirer", reach: Reach::Citizen },
    Route { method: "GET", path: "/autorisations/{id}/recu.json", reach: Reach::Citizen },
    Route { method: "GET", path: "/autorisations/{id}/preuve.tlog-proof", reach: Reach::Citizen },
];

pub(crate) fn room(config: PortalConfig, parts: Parts, messages: Arc<Messages>) -> Room {
    let mut site = Site::new(
        config.organisation.clone(),
        web::Text::new("Mon espace citoyen", "My citizen space"),
        config.public_url.clone(),
        messages,
        Arc::clone(&parts.random),
    );
    // The logout form is answered by a redirect to the identity provider.
    site.form_action = FormAction::And(vec![config.issuer.clone()]);
    site.utc_offset_minutes = config.utc_offset_minutes;
    site.metrics = parts.metrics;
    let settings = SessionConfig::new("portal", site.secure());
    let sessions = Sessions::new(parts.store.clone(), settings, Arc::clone(&parts.clock), Arc::clone(&parts.random));
    let sources = Sources::new(
        &config.consumer_url,
        config.client.clone(),
        config.sources.clone(),
        config.person_service.clone(),
    );
    let portal = Portal {
        sources,
        sessions: sessions.clone(),
        consent: parts.consent,
        grants: parts.grants,
        acts: parts.acts,
        party: parts.party,
        clock: parts.clock,
        config: Arc::new(config),
    };
    let store = parts.store;
    Room {
        name: "portal",
        router: site.wrap(router(portal)),
        migrations: vec![session::migration()],
        jobs: vec![sessions.job()],
        cards: Vec::new(),
        health: vec![HealthCheck::new("portal_store", move || {
            let store = store.clone();
            async move { Ok(store.health().await?) }
        })],
    }
}

fn router(portal: Portal) -> Router {
    Router::new()
        .route("/", get(home::home))
        .route("/login", get(login::begin))
        .route("/callback", get(login::callback))
        .route("/logout", post(login::logout))
        .route("/verifier", get(home::verify))
        .route("/mes-donnees", get(data::data))
        .route("/consultations", get(accesses::list))
        .route("/consultations.csv", get(accesses::csv_file))
        .route("/consultations.json", get(accesses::json_file))
        .route("/consultation", get(accesses::one))
        .route("/consultation.json", get(accesses::one_record))
        .route("/consultation.tlog-proof", get(accesses::one_proof))
        .route("/mon-compte", get(account::account))
        .route("/mon-compte/{id}/preuve.tlog-proof", get(account::proof))
        .route("/autorisations", get(grants::list))
        .route("/autorisations/{id}", get(grants::one))
        .route("/autorisations/{id}/retirer", get(grants::ask_revoke).post(grants::revoke))
        .route("/autorisations/{id}/recu.json", get(grants::receipt))
        .route("/autorisations/{id}/preuve.tlog-proof", get(grants::event_proof))
        .with_state(portal)
}

/// Everything that the handlers share.
#[derive(Clone)]
pub(crate) struct Portal {
    pub(crate) config: Arc<PortalConfig>,
    pub(crate) sources: Sources,
    pub(crate) sessions: Sessions<Memory>,
    pub(crate) consent: Consent,
    pub(crate) grants: Grants,
    pub(crate) acts: AccountActs,
    pub(crate) party: RelyingParty,
    pub(crate) clock: civic::SharedClock,
}

/// What a session remembers.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// A login under way, and the page to go on with.
    pub(crate) pending: Option<(Pending, String)>,
    /// Who is logged in.
    pub(crate) citizen: Option<Known>,
    /// Something to say once on the next page: a key of the translations.
    pub(crate) notice: Option<String>,
}

/// A citizen who logged in.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) person: PersonId,
    pub(crate) number: NationalNumber,
    pub(crate) name: String,
    pub(crate) id_token: String,
}

/// A request of a citizen who is logged in. As an extractor it answers strangers with the login page (401).
pub(crate) struct Citizen {
    pub(crate) known: Known,
    pub(crate) session: Session<Memory>,
    pub(crate) visit: Visit,
}

impl FromRequestParts<Portal> for Citizen {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut RequestParts, portal: &Portal) -> Result<Self, Response> {
        let visit = Visit::from_request_parts(parts, portal).await.map_err(IntoResponse::into_response)?;
        let session =
            portal.sessions.load(&parts.headers).await.map_err(|error| Problem::from(error).into_response())?;
        match session.and_then(|session| session.data.citizen.clone().map(|known| (session, known))) {
            Some((session, known)) => Ok(Self { known, session, visit }),
            None => Err(home::sign_in(&visit, parts.method == http::Method::GET)),
        }
    }
}

impl Citizen {
    /// A page of this citizen: sections, name, logout button.
    pub(crate) fn page(&self, section: Section, title: &str, body: &impl Template) -> Result<Page, Problem> {
        let sections = [Section::Home, Section::Data, Section::Accesses, Section::Grants, Section::Account];
        let links = sections
            .into_iter()
            .map(|known| Link::new(known.path(), self.visit.t(known.key())).current(known == section))
            .collect();
        Ok(self.visit.page(title, body)?.navigation(links).signed_in(SignedIn {
            name: self.known.name.clone(),
            logout: "/logout".to_owned(),
            csrf: self.session.csrf(),
        }))
    }
}

/// The sections of the portal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Home,
    Data,
    Accesses,
    Grants,
    Account,
}

impl Section {
    const fn path(self) -> &'static str {
        match self {
            Self::Home => "/",
            Self::Data => "/mes-donnees",
            Self::Accesses => "/consultations",
            Self::Grants => "/autorisations",
            Self::Account => "/mon-compte",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Home => "portal-nav-home",
            Self::Data => "portal-nav-data",
            Self::Accesses => "portal-nav-accesses",
            Self::Grants => "portal-nav-grants",
            Self::Account => "portal-nav-account",
        }
    }
}

impl Portal {
    /// Asks whether the citizen may read their own data through a service of the portal; writes the journal.
    pub(crate) async fn permit(&self, citizen: &Known, service: &str, fields: &[&str]) -> Result<Permit, Problem> {
        let service = self.config.client.service(service).map_err(Problem::internal)?;
        let request = AccessRequest {
            actor: Actor::Citizen(citizen.person.clone()),
            subject: citizen.number.clone(),
            service,
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            purpose: Purpose {
                code: "self-access".to_owned(),
                text: "Consultation par la personne elle-même".to_owned(),
            },
            basis: Basis::SelfAccess,
            message_id: None,
        };
        self.consent.decide(request).await.map_err(refused)
    }

    /// What people call this subsystem or service; its id where nobody named it.
    pub(crate) fn name_of(&self, id: &str, locale: Locale) -> String {
        let found = self.config.names.iter().find(|(known, _)| known == id);
        found.map_or_else(|| id.to_owned(), |(_, text)| text.get(locale).to_owned())
    }
}

fn refused(refusal: Refusal) -> Problem {
    Problem::forbidden("The access was refused; the refusal is in the journal.").cause(refusal)
}

/// The words of a field code: `portal-field-…`, or the code with spaces.
pub(crate) fn field_words(visit: &Visit, code: &str) -> String {
    visit.t_or(&format!("portal-field-{}", code.replace('_', "-")), &code.replace('_', " "))
}

/// A file that the browser saves.
pub(crate) fn download(name: &str, media_type: &'static str, body: String) -> Response {
    let clean: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')).take(100).collect();
    let mut response = ([(CONTENT_TYPE, media_type)], body).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{clean}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// The state extractor in its short form.
pub(crate) type At = State<Portal>;
