//! "Mes autorisations": what the citizen allowed, its history, the receipt, and taking it back.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use civic::Timestamp;
use consent::{Grant, GrantError, GrantEvent, GrantState, Permit};
use serde::Deserialize;
use serde_json::json;
use web::{Form, Page, PageLinks, Paging, Params, Problem, Visit};

use crate::http::{At, Citizen, Portal, Section, download, field_words};

const ROWS: usize = 15;
const EVENTS: usize = 30;
const RECEIPT_EVENTS: usize = 200;

#[derive(Template)]
#[template(path = "grants.html")]
struct List<'a> {
    v: &'a Visit,
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
    state: GrantState,
}

struct EventView {
    id: String,
    at: Timestamp,
    words: String,
    index: Option<u64>,
}

impl GrantView {
    /// The class of its tag.
    const fn class(&self) -> &'static str {
        match self.state {
            GrantState::Active => "",
            GrantState::Revoked => "bad",
            GrantState::Expired | GrantState::Exhausted => "off",
        }
    }

    /// The word for its state.
    const fn state_key(&self) -> &'static str {
        match self.state {
            GrantState::Active => "portal-state-active",
            GrantState::Revoked => "portal-state-revoked",
            GrantState::Expired => "portal-state-expired",
            GrantState::Exhausted => "portal-state-exhausted",
        }
    }

    /// Whether taking it back still changes something.
    const fn alive(&self) -> bool {
        matches!(self.state, GrantState::Active | GrantState::Exhausted)
    }
}

/// The form that confirms.
#[derive(Deserialize)]
pub(crate) struct Confirm {
    csrf: String,
}

/// `/autorisations`
pub(crate) async fn list(State(portal): At, citizen: Citizen, params: Params) -> Result<Page, Problem> {
    let permit = portal.permit(&citizen.known, "grants", &["grants"]).await?;
    let grants = portal.grants.of(permit.subject()).await.map_err(problem)?;
    let v = &citizen.visit;
    let paging = Paging::new(params.number("offset").unwrap_or(0), ROWS);
    let shown: Vec<GrantView> =
        grants.iter().skip(paging.offset).take(ROWS).map(|grant| view(&portal, v, grant)).collect();
    let pages = paging.links(v, "/autorisations", shown.len(), grants.len());
    citizen.page(Section::Grants, &v.t("portal-grants-title"), &List { v, grants: shown, pages })
}

/// `/autorisations/{id}`
pub(crate) async fn one(
    State(portal): At,
    citizen: Citizen,
    params: Params,
    Path(id): Path<String>,
) -> Result<Page, Problem> {
    let (grant, permit) = find(&portal, &citizen, &id).await?;
    let history = portal.grants.events(&grant.id, permit.subject()).await.map_err(problem)?;
    let v = &citizen.visit;
    let events: Vec<EventView> = history.iter().take(EVENTS).map(|event| event_view(v, event)).collect();
    let more_events = history.len().saturating_sub(events.len());
    let notice = (params.get("done") == Some("1")).then(|| v.t("portal-notice-revoked"));
    let body = One { v, notice, grant: view(&portal, v, &grant), events, more_events };
    let title = v.t1("portal-grant-title", "client", &body.grant.client);
    Ok(citizen.page(Section::Grants, &title, &body)?.back("/autorisations"))
}

/// `/autorisations/{id}/retirer`: what taking it back means.
pub(crate) async fn ask_revoke(
    State(portal): At,
    citizen: Citizen,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (grant, _) = find(&portal, &citizen, &id).await?;
    let v = &citizen.visit;
    let body = Revoke { v, grant: view(&portal, v, &grant), csrf: citizen.session.csrf() };
    if !body.grant.alive() {
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
    match portal.grants.revoke(&id, &citizen.known.number).await {
        Ok(_) => Ok(Redirect::to(&format!("{}?done=1", address(&id)))),
        // Taken back or at its end before: the page of the grant says so.
        Err(GrantError::Ended) => Ok(Redirect::to(&address(&id))),
        Err(error) => Err(problem(error)),
    }
}

/// `/autorisations/{id}/recu.json`: the record of the consent, for the citizen to keep (after ISO/IEC TS 27560).
pub(crate) async fn receipt(State(portal): At, citizen: Citizen, Path(id): Path<String>) -> Result<Response, Problem> {
    let (grant, permit) = find(&portal, &citizen, &id).await?;
    let history = portal.grants.events(&grant.id, permit.subject()).await.map_err(problem)?;
    let mut events = Vec::new();
    for event in history.iter().take(RECEIPT_EVENTS) {
        let proof = match portal.grants.proof(&event.id, permit.subject()).await {
            Ok(proof) => Some(proof),
            // A ledger that is away does not keep the citizen from the receipt; the proof can be fetched later.
            Err(GrantError::Ledger(reason)) => {
                tracing::warn!(reason, "a receipt goes out without a proof of the ledger");
                None
            }
            Err(error) => return Err(problem(error)),
        };
        events.push(json!({ "event": event.record, "commitment": proof }));
    }
    let file = json!({
        "receipt": "urn:baobab:consent-receipt:1",
        "made_at": portal.clock.now().rfc3339(),
        "grant_id": grant.id,
        "subject": grant.national_number,
        "controller": { "id": grant.client, "name": portal.name_of(&grant.client.to_string(), grant.locale) },
        "provider": grant.service.client(),
        "service": grant.service,
        "fields": grant.fields,
        "years": grant.years,
        "purpose": grant.purpose,
        "legal_basis": "consent",
        "valid_from": grant.valid_from.rfc3339(),
        "valid_until": grant.valid_until.rfc3339(),
        "uses": { "most": grant.uses_max, "made": grant.uses },
        "notice": { "language": grant.locale, "sha256": grant.notice_hash },
        "login": { "acr": grant.acr, "amr": grant.amr, "at": grant.auth_time.rfc3339() },
        "state": state_code(grant.state(portal.clock.now())),
        "withdrawal": format!("{}{}/retirer", portal.config.public_url, address(&id)),
        "events": events,
        "events_left_out": history.len().saturating_sub(RECEIPT_EVENTS),
    });
    Ok(download(&format!("autorisation-{id}.json"), "application/json", format!("{file:#}\n")))
}

/// `/autorisations/{id}/preuve.tlog-proof?event=…`: the proof of one event of the grant, the giving of it where none is named. It
/// carries record and salt and needs nothing beside it.
pub(crate) async fn event_proof(
    State(portal): At,
    citizen: Citizen,
    params: Params,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (grant, permit) = find(&portal, &citizen, &id).await?;
    let history = portal.grants.events(&grant.id, permit.subject()).await.map_err(problem)?;
    let wanted = params.get("event");
    let event =
        history.iter().rev().find(|event| wanted.is_none_or(|id| event.id == id)).ok_or_else(Problem::not_found)?;
    let proof = portal.grants.proof(&event.id, permit.subject()).await.map_err(problem)?;
    let Some(opened) = proof.tlog_proof else {
        return Err(Problem::unavailable("the proof is on its way to the log")
            .header(http::header::RETRY_AFTER, http::HeaderValue::from_static("2")));
    };
    Ok(download(&format!("autorisation-{}.tlog-proof", event.id), "text/plain; charset=utf-8", opened))
}

async fn find(portal: &Portal, citizen: &Citizen, id: &str) -> Result<(Grant, Permit), Problem> {
    let permit = portal.permit(&citizen.known, "grants", &["grants"]).await?;
    let grant = portal.grants.get(id, permit.subject()).await.map_err(problem)?;
    Ok((grant, permit))
}

fn problem(error: GrantError) -> Problem {
    match error {
        // Another citizen's grant and no grant at all look alike.
        GrantError::NotYours => Problem::not_found(),
        other => Problem::unavailable(other),
    }
}

fn event_view(v: &Visit, event: &GrantEvent) -> EventView {
    let general = v.t(&format!("portal-event-{}", event.record.event.as_str()));
    let words = match &event.record.reason {
        Some(reason) => v.t_or(&format!("portal-event-{}-{reason}", event.record.event.as_str()), &general),
        None => general,
    };
    EventView { id: event.id.clone(), at: event.at, words, index: event.ledger_index }
}

const fn state_code(state: GrantState) -> &'static str {
    match state {
        GrantState::Active => "active",
        GrantState::Revoked => "revoked",
        GrantState::Expired => "expired",
        GrantState::Exhausted => "exhausted",
    }
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
        state: grant.state(portal.clock.now()),
    }
}

fn address(id: &str) -> String {
    format!("/autorisations/{}", web::form_text(&[("", id)]).trim_start_matches('='))
}
