//! "Mes autorisations": what the citizen allowed, its history, the receipt, and taking it back.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use civic::Timestamp;
use consent::Grant;
use serde::Deserialize;
use serde_json::json;
use web::{Form, Page, PageLinks, Paging, Params, Problem, Visit};

use crate::http::{At, Citizen, Portal, Section, download, field_words};

const ROWS: usize = 15;
const EVENTS: usize = 30;

#[derive(Template)]
#[template(path = "grants.html")]
struct List<'a> {
    v: &'a Visit,
    notice: Option<String>,
    grants: Vec<GrantView>,
    pages: PageLinks,
}

#[derive(Template)]
#[template(path = "grant.html")]
struct One<'a> {
    v: &'a Visit,
    notice: Option<String>,
    grant: GrantView,
    events: Vec<EventView>,
    more_events: usize,
}

#[derive(Template)]
#[template(path = "revoke.html")]
struct Revoke<'a> {
    v: &'a Visit,
    grant: GrantView,
    csrf: String,
}

/// A grant in the reader's words.
struct GrantView {
    id: String,
    client: String,
    service: String,
    fields: Vec<String>,
    years: Vec<String>,
    purpose: String,
    from: Timestamp,
    until: Timestamp,
    uses: u32,
    uses_max: u32,
    state: Standing,
}

struct EventView {
    at: Timestamp,
    words: String,
    index: Option<u64>,
}

/// How a grant stands now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Active,
    Revoked,
    Expired,
    Exhausted,
}

impl Standing {
    const fn class(self) -> &'static str {
        match self {
            Self::Active => "",
            Self::Revoked => "bad",
            Self::Expired | Self::Exhausted => "off",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Active => "portal-state-active",
            Self::Revoked => "portal-state-revoked",
            Self::Expired => "portal-state-expired",
            Self::Exhausted => "portal-state-exhausted",
        }
    }

    /// Whether taking it back still changes something.
    const fn alive(self) -> bool {
        matches!(self, Self::Active | Self::Exhausted)
    }
}

#[derive(Deserialize)]
pub(crate) struct Confirm {
    csrf: String,
}

/// `/autorisations`
pub(crate) async fn list(State(portal): At, citizen: Citizen, params: Params) -> Result<Page, Problem> {
    let mut grants = all(&portal, &citizen).await?;
    grants.sort_by_key(|grant| std::cmp::Reverse(grant.valid_from));
    let v = &citizen.visit;
    let paging = Paging::new(params.number("offset").unwrap_or(0), ROWS);
    let shown: Vec<GrantView> =
        grants.iter().skip(paging.offset).take(ROWS).map(|grant| view(&portal, v, grant)).collect();
    let pages = paging.links(v, "/autorisations", shown.len(), grants.len());
    citizen.page(Section::Grants, &v.t("portal-grants-title"), &List { v, notice: None, grants: shown, pages })
}

/// `/autorisations/{id}`
pub(crate) async fn one(
    State(portal): At,
    citizen: Citizen,
    params: Params,
    Path(id): Path<String>,
) -> Result<Page, Problem> {
    let grant = find(&portal, &citizen, &id).await?;
    let v = &citizen.visit;
    let mut events: Vec<EventView> = grant
        .events
        .iter()
        .map(|event| EventView { at: event.at, words: v.t_or(&format!("portal-event-{}", event.kind), &event.kind), index: event.index })
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    let more_events = events.len().saturating_sub(EVENTS);
    events.truncate(EVENTS);
    let notice = (params.get("done") == Some("1")).then(|| v.t("portal-notice-revoked"));
    let body = One { v, notice, grant: view(&portal, v, &grant), events, more_events };
    let title = v.t1("portal-grant-title", "client", &body.grant.client);
    Ok(citizen.page(Section::Grants, &title, &body)?.back("/autorisations"))
}

/// `/autorisations/{id}/retirer`: what taking it back means.
pub(crate) async fn ask_revoke(State(portal): At, citizen: Citizen, Path(id): Path<String>) -> Result<Response, Problem> {
    let grant = find(&portal, &citizen, &id).await?;
    let v = &citizen.visit;
    let body = Revoke { v, grant: view(&portal, v, &grant), csrf: citizen.session.csrf() };
    if !body.grant.state.alive() {
        return Ok(Redirect::to(&address(&id)).into_response());
    }
    Ok(citizen.page(Section::Grants, &v.t("portal-revoke-title"), &body)?.back(address(&id)).into_response())
}

/// `/autorisations/{id}/retirer`, confirmed. Doing it twice changes nothing.
pub(crate) async fn revoke(
    State(portal): At,
    citizen: Citizen,
    Path(id): Path<String>,
    Form(form): Form<Confirm>,
) -> Result<Redirect, Problem> {
    citizen.session.verify_csrf(&form.csrf)?;
    let grant = find(&portal, &citizen, &id).await?;
    portal.grants.revoke(&grant.id, &citizen.known.number).await.map_err(Problem::unavailable)?;
    Ok(Redirect::to(&format!("{}?done=1", address(&id))))
}

/// `/autorisations/{id}/recu.json`: the record of the consent, for the citizen to keep (after ISO/IEC TS 27560).
pub(crate) async fn receipt(State(portal): At, citizen: Citizen, Path(id): Path<String>) -> Result<Response, Problem> {
    let grant = find(&portal, &citizen, &id).await?;
    let withdrawal = format!("{}{}/retirer", portal.config.public_url, address(&id));
    let file = json!({
        "receipt": "urn:baobab:consent-receipt:1",
        "made_at": portal.clock.now().rfc3339(),
        "grant": grant,
        "withdrawal": withdrawal,
    });
    Ok(download(&format!("autorisation-{id}.json"), "application/json", format!("{file:#}\n")))
}

async fn all(portal: &Portal, citizen: &Citizen) -> Result<Vec<Grant>, Problem> {
    portal.grants.of(&citizen.known.number).await.map_err(Problem::unavailable)
}

async fn find(portal: &Portal, citizen: &Citizen, id: &str) -> Result<Grant, Problem> {
    all(portal, citizen).await?.into_iter().find(|grant| grant.id == id).ok_or_else(Problem::not_found)
}

fn view(portal: &Portal, v: &Visit, grant: &Grant) -> GrantView {
    GrantView {
        id: grant.id.clone(),
        client: portal.name_of(&grant.client.to_string(), v.locale),
        service: portal.name_of(&grant.service.to_string(), v.locale),
        fields: grant.fields.iter().map(|field| field_words(v, field)).collect(),
        years: grant.years.iter().map(ToString::to_string).collect(),
        purpose: v.t_or(&format!("portal-purpose-{}", grant.purpose.code), &grant.purpose.text),
        from: grant.valid_from,
        until: grant.valid_until,
        uses: grant.uses,
        uses_max: grant.uses_max,
        state: Standing::Active,
    }
}

fn address(id: &str) -> String {
    format!("/autorisations/{}", web::form_text(&[("", id)]).trim_start_matches('='))
}
