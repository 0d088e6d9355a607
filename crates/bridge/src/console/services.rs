//! Services and who may call them.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use civic::ClientId;
use serde::Deserialize;
use web::{ErrorSummary, Field, Form, FormErrors, Page, Problem, Visit};

use super::{At, Console, Notice, NoticeView, Operator, Section, Undo};
use crate::access::Endpoint;
use crate::config::ServiceBasis;
use crate::registry::{Change, GlobalGroupId, Offer, Right, Service, ServiceKind, Subject};

#[derive(Template)]
#[template(path = "console/services.html")]
struct List<'a> {
    v: &'a Visit,
    notice: Option<NoticeView>,
    rows: Vec<Row>,
}

struct Row {
    service: Arc<Service>,
    rights: usize,
}

#[derive(Template)]
#[template(path = "console/service.html")]
struct One<'a> {
    v: &'a Visit,
    notice: Option<NoticeView>,
    errors: ErrorSummary,
    service: &'a Service,
    rights: Vec<RightView>,
    who: Field,
    /// Known clients and groups, offered while typing.
    known: Vec<(String, String)>,
    csrf: String,
}

/// A right in the reader's words, with the fields of the form that takes it.
struct RightView {
    who: String,
    name: String,
    endpoint: Option<String>,
    given: civic::Timestamp,
    declared: bool,
}

/// The form that gives or takes a right.
#[derive(Deserialize)]
pub(super) struct RightForm {
    csrf: String,
    /// A client (`BB/COM/2001/credit`), `local:CODE` or `global:INSTANCE/CODE`.
    who: String,
    /// The endpoint as `GET /path`; empty for the whole service.
    #[serde(default)]
    endpoint: String,
}

/// The form that switches the services of a description on or off.
#[derive(Deserialize)]
pub(super) struct SwitchForm {
    csrf: String,
    enabled: bool,
}

/// `/console/services`
pub(super) async fn list(State(console): At, mut operator: Operator) -> Result<Page, Problem> {
    let notice = operator.notice().await?;
    let offer = console.core.registry.current();
    let rows = offer
        .services()
        .map(|service| Row { service: Arc::clone(service), rights: offer.rights_to(&service.id).len() })
        .collect();
    let v = &operator.visit;
    operator.page(Section::Services, &v.t("console-services-title"), &List { v, notice, rows })
}

/// `/console/services/{number}`
pub(super) async fn one(State(_): At, mut operator: Operator, Path(number): Path<i64>) -> Result<Page, Problem> {
    let notice = operator.notice().await?;
    page(&operator, number, notice, "", &FormErrors::none())
}

/// `POST /console/services/{number}/give`
pub(super) async fn give(
    State(console): At,
    operator: Operator,
    Path(number): Path<i64>,
    Form(form): Form<RightForm>,
) -> Result<Response, axum::response::ErrorResponse> {
    operator.session.verify_csrf(&form.csrf)?;
    let offer = console.core.registry.current();
    let service = find(&offer, number)?;
    let subject = match read_subject(&console, &offer, service, form.who.trim()) {
        Ok(subject) => subject,
        Err(key) => {
            let errors = FormErrors::one("who", operator.t(key));
            return Err(page(&operator, number, None, &form.who, &errors)?.into());
        }
    };
    let endpoint = endpoint_of(service, &form.endpoint)?;
    let notice = notice("console-right-given", number, "take", &form);
    let change = Change::GiveRight { subject, service: service.id.clone(), endpoint };
    Ok(operator.change(change, notice, &address(number)).await?)
}

/// `POST /console/services/{number}/take`
pub(super) async fn take(
    State(console): At,
    operator: Operator,
    Path(number): Path<i64>,
    Form(form): Form<RightForm>,
) -> Result<Response, Problem> {
    operator.session.verify_csrf(&form.csrf)?;
    let offer = console.core.registry.current();
    let service = find(&offer, number)?;
    let subject = read_subject(&console, &offer, service, form.who.trim()).map_err(|_| Problem::not_found())?;
    let endpoint = endpoint_of(service, &form.endpoint)?;
    let notice = notice("console-right-taken", number, "give", &form);
    let change = Change::TakeRight { subject, service: service.id.clone(), endpoint };
    operator.change(change, notice, &address(number)).await
}

/// `POST /console/services/{number}/switch`
pub(super) async fn switch(
    State(console): At,
    operator: Operator,
    Path(number): Path<i64>,
    Form(form): Form<SwitchForm>,
) -> Result<Response, Problem> {
    operator.session.verify_csrf(&form.csrf)?;
    let offer = console.core.registry.current();
    let service = find(&offer, number)?;
    let key = if form.enabled { "console-service-on" } else { "console-service-off" };
    let undo = Undo {
        action: format!("{}/switch", address(number)),
        fields: vec![("enabled".to_owned(), (!form.enabled).to_string())],
    };
    let notice = Notice { key: key.to_owned(), what: service.id.to_string(), undo: Some(undo) };
    let change = Change::EnableDescription { number: service.description_number, enabled: form.enabled, notice: None };
    operator.change(change, notice, &address(number)).await
}

fn page(
    operator: &Operator,
    number: i64,
    notice: Option<NoticeView>,
    typed: &str,
    errors: &FormErrors,
) -> Result<Page, Problem> {
    let console = &operator.console;
    let offer = console.core.registry.current();
    let service = find(&offer, number)?;
    let v = &operator.visit;
    let who = Field::new("who", v.t("console-right-who"))
        .hint(v.t("console-right-who-hint"))
        .value(typed)
        .error(errors.of("who"));
    let rights = offer.rights_to(&service.id).iter().map(|right| view(console, &offer, right)).collect();
    let body = One {
        v,
        notice,
        errors: errors.summary(v),
        service,
        rights,
        who,
        known: known(console, &offer, service),
        csrf: operator.session.csrf(),
    };
    Ok(operator.page(Section::Services, &service.id.to_string(), &body)?.back("/console/services"))
}

fn find(offer: &Offer, number: i64) -> Result<&Service, Problem> {
    offer.services().find(|service| service.number == number).map(AsRef::as_ref).ok_or_else(Problem::not_found)
}

fn address(number: i64) -> String {
    format!("/console/services/{number}")
}

fn notice(key: &str, number: i64, undo: &str, form: &RightForm) -> Notice {
    let fields = [("who", &form.who), ("endpoint", &form.endpoint)];
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    let undo = Some(Undo { action: format!("{}/{undo}", address(number)), fields });
    Notice { key: key.to_owned(), what: form.who.clone(), undo }
}

/// The text of a subject, as forms carry it.
fn written(offer: &Offer, subject: &Subject) -> String {
    match subject {
        Subject::Client(client) => client.to_string(),
        Subject::GlobalGroup(group) => format!("global:{group}"),
        Subject::LocalGroup(number) => {
            offer.groups.get(number).map_or_else(|| format!("local:{number}"), |group| format!("local:{}", group.code))
        }
    }
}

/// Reads it back; the error is a key of the translations.
fn read_subject(console: &Console, offer: &Offer, service: &Service, text: &str) -> Result<Subject, &'static str> {
    if let Some(code) = text.strip_prefix("local:") {
        let group = offer.group(service.id.client(), code).ok_or("console-right-no-group")?;
        return Ok(Subject::LocalGroup(group.number));
    }
    if let Some(group) = text.strip_prefix("global:") {
        return group.parse::<GlobalGroupId>().map(Subject::GlobalGroup).map_err(|_| "console-right-no-group");
    }
    let client: ClientId = text.parse().map_err(|_| "console-right-no-client")?;
    // A right for somebody who is not registered would surprise once somebody takes the name.
    let registered = console.core.conf.current().is_some_and(|snapshot| snapshot.knows_client(&client));
    let has_it = offer.rights_to(&service.id).iter().any(|right| right.subject == Subject::Client(client.clone()));
    if registered || has_it { Ok(Subject::Client(client)) } else { Err("console-right-unknown-client") }
}

fn endpoint_of(service: &Service, text: &str) -> Result<Option<Endpoint>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let found = service.endpoints.iter().find(|known| known.endpoint.to_string() == text);
    let gone = || Problem::bad_request("The service has no such endpoint any more. Load the page again.");
    Ok(Some(found.ok_or_else(gone)?.endpoint.clone()))
}

fn view(console: &Console, offer: &Offer, right: &Right) -> RightView {
    let name = match &right.subject {
        Subject::Client(client) => {
            console.core.conf.current().map_or_else(String::new, |snapshot| snapshot.member_name(client.member()))
        }
        Subject::LocalGroup(number) => {
            offer.groups.get(number).map_or_else(String::new, |group| group.description.clone())
        }
        Subject::GlobalGroup(_) => String::new(),
    };
    RightView {
        who: written(offer, &right.subject),
        name,
        endpoint: right.endpoint.as_ref().map(ToString::to_string),
        given: right.given,
        declared: right.declared,
    }
}

/// Clients and groups that could be given the right, with their names.
fn known(console: &Console, offer: &Offer, service: &Service) -> Vec<(String, String)> {
    let mut known = Vec::new();
    if let Some(snapshot) = console.core.conf.current() {
        known.extend(snapshot.subsystems().take(2_000).map(|client| {
            let name = snapshot.member_name(client.member());
            (client.to_string(), name)
        }));
    }
    let own = offer.groups.values().filter(|group| &group.client == service.id.client());
    known.extend(own.map(|group| (format!("local:{}", group.code), group.description.clone())));
    known
}
