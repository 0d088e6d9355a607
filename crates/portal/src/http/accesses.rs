//! "Qui a consulté mes données": the list, its files, one look with its proof.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use civic::Timestamp;
use serde_json::{Value, json};
use web::{Page, PageLinks, Paging, Params, Problem, Visit, form_text};

use crate::LedgerNotice;
use crate::access::{Access, Filter, Period, csv};
use crate::http::{At, Citizen, Portal, Section, download, field_words};
use crate::sources::{Gathered, USES_MAX};

/// Rows on one page: keeps it below 14 kB.
const ROWS: usize = 10;

#[derive(Template)]
#[template(path = "accesses.html")]
struct List<'a> {
    v: &'a Visit,
    rows: Vec<Row>,
    silent: Vec<String>,
    cut: Vec<String>,
    total: usize,
    own_hidden: usize,
    own_href: String,
    periods: Vec<(&'static str, String, bool)>,
    organisations: Vec<(String, String, bool)>,
    filter: &'a Filter,
    filtered: bool,
    csv_href: String,
    json_href: String,
    pages: PageLinks,
}

#[derive(Template)]
#[template(path = "access.html")]
struct One<'a> {
    v: &'a Visit,
    row: Row,
    service: String,
    message_id: &'a str,
    query: String,
    proof: ProofView,
}

/// One look in the reader's words.
struct Row {
    at: Timestamp,
    organisation: String,
    source: String,
    purpose: String,
    fields: Vec<String>,
    basis: String,
    grant: Option<String>,
    refused: bool,
    own: bool,
    href: String,
}

/// What the portal found out about the proof.
enum ProofView {
    /// The ledger does not have it yet.
    Pending,
    /// The leaf is the commitment of the record; this portal knows no key of the ledger to judge more.
    Fits { index: u64 },
    /// And the leaf stands in the ledger that its key signed, at this size.
    Proven { index: u64, size: u64 },
    /// The leaf is of another record, or the ledger does not hold it: an alarm.
    Wrong,
}

impl ProofView {
    const fn pending(&self) -> bool {
        matches!(self, Self::Pending)
    }
}

/// `/consultations`
pub(crate) async fn list(State(portal): At, citizen: Citizen, params: Params) -> Result<Page, Problem> {
    let filter = filter_of(&params);
    let gathered = gather(&portal, &citizen, filter.period).await?;
    let v = &citizen.visit;
    let shown: Vec<&Access> =
        gathered.accesses.iter().filter(|access| filter.shows(access, &portal.config.client)).collect();
    let paging = Paging::new(params.number("offset").unwrap_or(0), ROWS);
    let slice: Vec<Row> = shown.iter().skip(paging.offset).take(ROWS).map(|access| row(&portal, v, access)).collect();
    let own = gathered.accesses.iter().filter(|access| access.asked_by(&portal.config.client)).count();
    let body = List {
        v,
        silent: gathered.silent.iter().map(|name| v.say(name).to_owned()).collect(),
        cut: gathered.cut.iter().map(|name| v.say(name).to_owned()).collect(),
        total: shown.len(),
        own_hidden: if filter.own { 0 } else { own },
        own_href: Filter { own: true, ..filter.clone() }.address("/consultations"),
        periods: Period::ALL
            .into_iter()
            .map(|period| (period.code(), v.t(&format!("portal-period-{}", period.code())), period == filter.period))
            .collect(),
        organisations: organisations(&portal, v, &gathered, &filter),
        filtered: filter != Filter::default(),
        csv_href: filter.address("/consultations.csv"),
        json_href: filter.address("/consultations.json"),
        pages: paging.links(v, &filter.address("/consultations"), slice.len(), shown.len()),
        rows: slice,
        filter: &filter,
    };
    citizen.page(Section::Accesses, &v.t("portal-accesses-title"), &body)
}

/// `/consultations.csv`
pub(crate) async fn csv_file(State(portal): At, citizen: Citizen, params: Params) -> Result<Response, Problem> {
    let filter = filter_of(&params);
    let gathered = gather(&portal, &citizen, filter.period).await?;
    let v = &citizen.visit;
    let header: Vec<String> =
        ["when", "who", "register", "why", "fields", "basis", "outcome", "message", "ledger-index"]
            .into_iter()
            .map(|column| v.t(&format!("portal-column-{column}")))
            .collect();
    let rows: Vec<Vec<String>> = gathered
        .accesses
        .iter()
        .filter(|access| filter.shows(access, &portal.config.client))
        .map(|access| {
            let words = row(&portal, v, access);
            vec![
                access.at.rfc3339(),
                words.organisation,
                words.source,
                words.purpose,
                words.fields.join("; "),
                words.basis,
                v.t(if words.refused { "portal-outcome-refused" } else { "portal-outcome-answered" }),
                access.usage.message_id.clone(),
                access.usage.proof.as_ref().map(|proof| proof.index.to_string()).unwrap_or_default(),
            ]
        })
        .collect();
    Ok(download("consultations.csv", "text/csv; charset=utf-8", csv(&header, &rows)))
}

/// `/consultations.json`
pub(crate) async fn json_file(State(portal): At, citizen: Citizen, params: Params) -> Result<Response, Problem> {
    let filter = filter_of(&params);
    let gathered = gather(&portal, &citizen, filter.period).await?;
    let usages: Vec<Value> = gathered
        .accesses
        .iter()
        .filter(|access| filter.shows(access, &portal.config.client))
        .map(|access| json!({"register": access.source.to_string(), "usage": access.raw()}))
        .collect();
    let silent: Vec<&str> = gathered.silent.iter().map(|name| citizen.visit.say(name)).collect();
    let file = json!({"made_at": portal.clock.now().rfc3339(), "registers_without_answer": silent, "usages": usages});
    Ok(download("consultations.json", "application/json", format!("{file:#}\n")))
}

/// `/consultation?register=…&message=…&at=…`
pub(crate) async fn one(State(portal): At, citizen: Citizen, params: Params) -> Result<Page, Problem> {
    let access = find(&portal, &citizen, &params).await?;
    let v = &citizen.visit;
    let proof = judge(&access, portal.config.ledger.as_ref());
    let service = &access.usage.service;
    let body = One {
        v,
        row: row(&portal, v, &access),
        service: if service.is_empty() { String::new() } else { portal.name_of(service, v.locale) },
        message_id: &access.usage.message_id,
        query: address(&access),
        proof,
    };
    Ok(citizen.page(Section::Accesses, &v.t("portal-access-title"), &body)?.back("/consultations"))
}

/// `/consultation.json`: the record with its salt and proof.
pub(crate) async fn one_record(State(portal): At, citizen: Citizen, params: Params) -> Result<Response, Problem> {
    let access = find(&portal, &citizen, &params).await?;
    let name = format!("consultation-{}.json", access.at.seconds());
    Ok(download(&name, "application/json", format!("{:#}\n", access.raw())))
}

/// `/consultation.tlog-proof`: the proof with record and salt in it, for `baobab verify`.
pub(crate) async fn one_proof(State(portal): At, citizen: Citizen, params: Params) -> Result<Response, Problem> {
    let access = find(&portal, &citizen, &params).await?;
    let Some(proof) = &access.usage.proof else {
        let v = &citizen.visit;
        return Err(Problem::not_found().for_people(v.t("portal-proof-pending-title"), v.t("portal-proof-pending")));
    };
    let name = format!("consultation-{}.tlog-proof", access.at.seconds());
    let opened = access.opened_proof().unwrap_or_else(|| proof.tlog_proof.clone());
    Ok(download(&name, "text/plain; charset=utf-8", opened))
}

fn judge(access: &Access, ledger: Option<&LedgerNotice>) -> ProofView {
    let Some(proof) = &access.usage.proof else { return ProofView::Pending };
    if !access.fits_its_proof() {
        return ProofView::Wrong;
    }
    let Some(ledger) = ledger else { return ProofView::Fits { index: proof.index } };
    match access.proven_by(&ledger.vkey) {
        Some(size) => ProofView::Proven { index: proof.index, size },
        None => ProofView::Wrong,
    }
}

async fn gather(portal: &Portal, citizen: &Citizen, period: Period) -> Result<Gathered, Problem> {
    let permit = portal.permit(&citizen.known, "who-looked", &["usages"]).await?;
    Ok(portal.sources.usages(&permit, period.begins(portal.clock.now()), None).await)
}

async fn find(portal: &Portal, citizen: &Citizen, params: &Params) -> Result<Access, Problem> {
    let named = params.get("register").zip(params.get("message")).zip(params.get("at"));
    let Some(((register, message), at)) = named else { return Err(Problem::not_found()) };
    let Ok(at) = Timestamp::parse_rfc3339(at) else { return Err(Problem::not_found()) };
    let permit = portal.permit(&citizen.known, "who-looked", &["usages"]).await?;
    let found = portal.sources.usage(&permit, register, message, at).await.map_err(|error| {
        let v = &citizen.visit;
        Problem::unavailable(error).for_people(v.t("portal-register-silent-title"), v.t("portal-register-silent"))
    })?;
    found.ok_or_else(Problem::not_found)
}

fn filter_of(params: &Params) -> Filter {
    Filter {
        period: Period::from_code(params.get("period").unwrap_or_default()),
        who: params.get("who").map(str::to_owned),
        own: params.get("own") == Some("1"),
    }
}

fn organisations(portal: &Portal, v: &Visit, gathered: &Gathered, filter: &Filter) -> Vec<(String, String, bool)> {
    let mut known: Vec<(String, String, bool)> = Vec::new();
    let chosen = filter.who.as_deref().unwrap_or_default();
    for access in &gathered.accesses {
        let id = &access.usage.receiver_system;
        if known.len() < 30
            && !known.iter().any(|(known, _, _)| known == id)
            && (filter.own || !access.asked_by(&portal.config.client))
        {
            known.push((id.clone(), organisation(portal, v, access), id == chosen));
        }
    }
    if !chosen.is_empty() && !known.iter().any(|(id, _, _)| id == chosen) {
        known.push((chosen.to_owned(), portal.name_of(chosen, v.locale), true));
    }
    known.sort_by(|left, right| left.1.cmp(&right.1));
    known
}

fn organisation(portal: &Portal, v: &Visit, access: &Access) -> String {
    let usage = &access.usage;
    let named = portal.name_of(&usage.receiver_system, v.locale);
    if named == usage.receiver_system && !usage.receiver_name.is_empty() { short(&usage.receiver_name) } else { named }
}

fn row(portal: &Portal, v: &Visit, access: &Access) -> Row {
    let usage = &access.usage;
    let words = if usage.purpose.text.is_empty() { &usage.action } else { &usage.purpose.text };
    let (basis, grant) = match usage.legal_basis.code.as_str() {
        "consent" => (v.t("portal-basis-consent"), usage.grant_id.clone()),
        "law" => (v.t1("portal-basis-law", "law", short(&usage.legal_basis.reference)), None),
        "self_access" => (v.t("portal-basis-self"), None),
        _ => (v.t("portal-basis-untold"), None),
    };
    Row {
        at: access.at,
        organisation: organisation(portal, v, access),
        source: v.say(&access.source_name).to_owned(),
        purpose: v.t_or(&format!("portal-purpose-{}", usage.purpose.code), &short(words)),
        fields: usage.fields.iter().take(40).map(|field| field_words(v, field)).collect(),
        basis,
        grant,
        refused: usage.outcome == "refused",
        own: access.asked_by(&portal.config.client),
        href: format!("/consultation?{}", address(access)),
    }
}

fn address(access: &Access) -> String {
    let (register, at) = (access.source.to_string(), access.at.rfc3339());
    form_text(&[("register", &register), ("message", &access.usage.message_id), ("at", &at)])
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}
