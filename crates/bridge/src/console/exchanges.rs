//! The message log: search, one record, its evidence.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use civic::{NationalNumber, Timestamp};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use web::{ErrorSummary, Field, FormErrors, Page, Params, Problem, Visit};

use super::{At, Console, Operator, Section};
use crate::api;
use crate::evidence;
use crate::messagelog::{FoundRecord, RecordKind, Role, SearchQuery, StoredRecord};
use crate::registry::LogMode;

const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "console/exchanges.html")]
struct Search<'a> {
    v: &'a Visit,
    errors: ErrorSummary,
    fields: Vec<Field>,
    asked: bool,
    records: Vec<FoundRecord>,
    /// The address of the next page.
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "console/exchange.html")]
struct One<'a> {
    v: &'a Visit,
    record: StoredRecord,
    outcome: String,
    evidence: Option<String>,
}

/// The names of the search fields, in the order of the page.
const FIELDS: [&str; 8] = ["from", "to", "peer", "client", "service", "message", "outcome", "subject"];

/// `/console/exchanges?from=…&to=…&peer=…`: newest first. Each search is audited, before anything is shown.
pub(super) async fn search(State(console): At, operator: Operator, params: Params) -> Result<Page, Problem> {
    let v = &operator.visit;
    let asked = FIELDS.iter().any(|name| params.get(name).is_some());
    let (query, errors) = read_query(v, &params);
    let mut records = Vec::new();
    let mut next = None;
    if errors.is_empty() {
        let pairs = FIELDS.iter().chain(&["after"]).filter_map(|name| Some((*name, params.get(name)?)));
        audit(&operator, api::SEARCH, &api::asked(pairs)).await?;
        let found = console.core.log.search(query).await.map_err(Problem::unavailable)?;
        records = found.records;
        next = found.next.map(|cursor| next_page(&params, &cursor.to_string()));
    }
    let fields = FIELDS.iter().map(|name| field(v, name, &params, &errors)).collect();
    let body = Search { v, errors: errors.summary(v), fields, asked, records, next };
    operator.page(Section::Exchanges, &v.t("console-exchanges-title"), &body)
}

/// `/console/exchanges/{id}`
pub(super) async fn one(State(console): At, operator: Operator, Path(id): Path<i64>) -> Result<Page, Problem> {
    let record = find(&console, id).await?;
    audit(&operator, "view_message", &format!("message {}", record.message_id)).await?;
    let v = &operator.visit;
    let evidence = (record.mode == LogMode::Full).then(|| format!("/console/exchanges/{id}/evidence.asice"));
    let outcome = v.t_or(&format!("console-outcome-{}", record.outcome), &record.outcome);
    let body = One { v, record, outcome, evidence };
    Ok(operator.page(Section::Exchanges, &v.t("console-exchange-title"), &body)?.back("/console/exchanges"))
}

/// `/console/exchanges/{id}/evidence.asice`: the message as a container that anyone verifies offline.
pub(super) async fn evidence(State(console): At, operator: Operator, Path(id): Path<i64>) -> Result<Response, Problem> {
    let record = find(&console, id).await?;
    audit(&operator, "export_evidence", &format!("message {}", record.message_id)).await?;
    let (name, container) = evidence::of_record(&console.core, record)
        .await
        .map_err(|fault| Problem::conflict(fault.message().to_owned()))?;
    let headers = [
        (CONTENT_TYPE, trust::asic::MIMETYPE.to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, container).into_response())
}

/// Writes down who looks, so that nothing is shown that the audit cannot say.
async fn audit(operator: &Operator, action: &str, object: &str) -> Result<(), Problem> {
    let registry = &operator.console.core.registry;
    registry.audit(&operator.known.author(), action, object).await.map_err(super::refused)
}

async fn find(console: &Console, id: i64) -> Result<StoredRecord, Problem> {
    console.core.log.get(id).await.map_err(Problem::unavailable)?.ok_or_else(Problem::not_found)
}

fn field(v: &Visit, name: &str, params: &Params, errors: &FormErrors) -> Field {
    let field = Field::new(name, v.t(&format!("console-search-{name}")))
        .value(params.get(name).unwrap_or_default())
        .error(errors.of(name));
    match v.t_or(&format!("console-search-{name}-hint"), "") {
        hint if hint.is_empty() => field,
        hint => field.hint(hint),
    }
}

fn read_query(v: &Visit, params: &Params) -> (SearchQuery, FormErrors) {
    let mut errors = FormErrors::none();
    let mut wrong = |field: &str| errors.add(field, v.t(&format!("console-search-{field}-wrong")));
    let mut query = SearchQuery { limit: ROWS, ..SearchQuery::default() };
    if let Some(text) = params.get("from") {
        query.from = moment(text, false).ok_or_else(|| wrong("from")).ok();
    }
    if let Some(text) = params.get("to") {
        query.to = moment(text, true).ok_or_else(|| wrong("to")).ok();
    }
    if let Some(text) = params.get("peer") {
        query.peer = text.parse().map_err(|_| wrong("peer")).ok();
    }
    if let Some(text) = params.get("client") {
        query.client = text.parse().map_err(|_| wrong("client")).ok();
    }
    if let Some(text) = params.get("service") {
        query.service = text.parse().map_err(|_| wrong("service")).ok();
    }
    if let Some(text) = params.get("subject") {
        query.subject = text.parse::<NationalNumber>().map_err(|_| wrong("subject")).ok();
    }
    query.message_id = params.get("message").map(str::to_owned);
    query.outcome = params.get("outcome").map(str::to_owned);
    if let Some(text) = params.get("after") {
        query.after = text.parse().ok();
    }
    (query, errors)
}

/// `2026-11-22`, or with a time `2026-11-22T14:30`. A day alone ends with its last moment.
fn moment(text: &str, end: bool) -> Option<Timestamp> {
    let full = match text.len() {
        10 if end => format!("{text}T23:59:59Z"),
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => text.to_owned(),
    };
    Timestamp::parse_rfc3339(&full).ok()
}

fn next_page(params: &Params, cursor: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = FIELDS.iter().filter_map(|name| Some((*name, params.get(name)?))).collect();
    pairs.push(("after", cursor));
    format!("/console/exchanges?{}", web::form_text(&pairs))
}
