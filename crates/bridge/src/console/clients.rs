//! The subsystems that the node serves: how they connect, what the message log keeps of them.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use civic::ClientId;
use serde::Deserialize;
use serde_json::json;
use web::{Field, Form, Page, Problem, Visit};

use super::confirm::Confirm;
use super::{At, Notice, NoticeView, Operator, Section, Undo};
use crate::registry::{Change, ClientSettings, ConnectionType, LogMode};

#[derive(Template)]
#[template(path = "console/clients.html")]
struct List<'a> {
    v: &'a Visit,
    notice: Option<NoticeView>,
    clients: Vec<Row>,
    /// The code of a new subsystem.
    code: Field,
    connections: &'static [(&'static str, ConnectionType)],
    modes: &'static [(&'static str, LogMode)],
    csrf: String,
}

/// A client with how it stands at the authority.
struct Row {
    client: ClientSettings,
    status: String,
    /// As the management API writes its id.
    id: String,
    acts: Vec<Act>,
}

/// A step in the life of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Register,
    Enable,
    Disable,
    Unregister,
    Delete,
}

impl Act {
    const ALL: [Self; 5] = [Self::Register, Self::Enable, Self::Disable, Self::Unregister, Self::Delete];

    /// As it stands in addresses and keys of translations.
    const fn word(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Unregister => "unregister",
            Self::Delete => "delete",
        }
    }

    const fn operation(self) -> &'static str {
        match self {
            Self::Register => "registerClient",
            Self::Enable => "enableClient",
            Self::Disable => "disableClient",
            Self::Unregister => "unregisterClient",
            Self::Delete => "deleteClient",
        }
    }

    const fn step(self) -> (&'static str, &'static str) {
        (self.word(), self.operation())
    }

    fn of(word: &str) -> Result<Self, Problem> {
        Self::ALL.into_iter().find(|act| act.word() == word).ok_or_else(Problem::not_found)
    }

    /// The steps that can be taken in this status; what the configuration declares cannot be deleted here.
    fn in_status(status: &str, declared: bool) -> Vec<Self> {
        let mut acts = match status {
            "SAVED" | "GLOBAL_ERROR" => vec![Self::Register, Self::Delete],
            "REGISTRATION_IN_PROGRESS" => vec![Self::Unregister],
            "REGISTERED" => vec![Self::Disable, Self::Unregister],
            "DISABLED" => vec![Self::Enable],
            "DELETION_IN_PROGRESS" => vec![Self::Delete],
            _ => Vec::new(),
        };
        acts.retain(|act| !declared || *act != Self::Delete);
        acts
    }
}

/// The steps as doors know them.
pub(super) const STEPS: &[(&str, &str)] =
    &[Act::Register.step(), Act::Enable.step(), Act::Disable.step(), Act::Unregister.step(), Act::Delete.step()];

const CONNECTIONS: &[(&str, ConnectionType)] =
    &[("HTTP", ConnectionType::Http), ("HTTPS_NO_AUTH", ConnectionType::HttpsNoAuth), ("HTTPS", ConnectionType::Https)];

const MODES: &[(&str, LogMode)] = &[("full", LogMode::Full), ("metadata", LogMode::Metadata), ("none", LogMode::None)];

/// The form that changes one setting of a client.
#[derive(Deserialize)]
pub(super) struct ChangeForm {
    csrf: String,
    client: String,
    #[serde(default)]
    connection: Option<ConnectionType>,
    #[serde(default)]
    log_mode: Option<LogMode>,
}

/// The form that adds a subsystem.
#[derive(Deserialize)]
pub(super) struct AddForm {
    csrf: String,
    code: String,
}

/// The form of a step.
#[derive(Deserialize)]
pub(super) struct ActForm {
    csrf: String,
}

/// `/console/clients`
pub(super) async fn list(State(_): At, mut operator: Operator) -> Result<Page, Problem> {
    let notice = operator.notice().await?;
    page(&operator, notice, "", None)
}

fn page(operator: &Operator, notice: Option<NoticeView>, typed: &str, error: Option<String>) -> Result<Page, Problem> {
    let core = &operator.console.core;
    let snapshot = core.conf.current();
    let named = |client: &ClientId| snapshot.as_ref().is_some_and(|found| found.serves(&core.config.server, client));
    let row = |client: &ClientSettings| {
        let status = client.status.seen(named(&client.id));
        Row {
            client: client.clone(),
            status: status.to_lowercase().replace('_', "-"),
            id: client.id.to_string().replace('/', ":"),
            acts: Act::in_status(status, client.declared),
        }
    };
    let mut clients: Vec<Row> = core.registry.current().clients.values().map(row).collect();
    clients.sort_by_key(|row| row.id.clone());
    let v = &operator.visit;
    let code = Field::new("code", v.t("console-client-code"))
        .hint(v.t1("console-client-code-hint", "member", core.config.server.owner().to_string()))
        .value(typed)
        .longest(64)
        .error(error);
    let csrf = operator.session.csrf();
    let body = List { v, notice, clients, code, connections: CONNECTIONS, modes: MODES, csrf };
    operator.page(Section::Clients, &v.t("console-clients-title"), &body)
}

/// `POST /console/clients/add`: the subsystem is added here, and the authority asked for it.
pub(super) async fn add(
    State(console): At,
    operator: Operator,
    Form(form): Form<AddForm>,
) -> Result<Response, axum::response::ErrorResponse> {
    operator.session.verify_csrf(&form.csrf)?;
    let owner = console.core.config.server.owner();
    let code = form.code.trim();
    let Ok(client) = owner.subsystem(code) else {
        let error = operator.t("console-client-code-wrong");
        return Err(page(&operator, None, code, Some(error))?.into());
    };
    let new = json!({
        "client": { "member_class": owner.class(), "member_code": owner.code(), "subsystem_code": code, "connection_type": "HTTP" },
    });
    let id = client.to_string().replace('/', ":");
    let added = operator.perform("addClient", &[], &[], new.to_string().into()).await;
    let outcome = match added {
        Ok(_) => operator.perform("registerClient", &[("id", &id)], &[], Bytes::new()).await,
        Err(refusal) => Err(refusal),
    };
    Ok(operator
        .said(outcome.map(drop), "console-client-register-done", &client.to_string(), "/console/clients")
        .await?)
}

/// `/console/clients/{id}/{action}`: asks before a step is taken.
pub(super) async fn confirm(
    State(console): At,
    operator: Operator,
    Path((id, action)): Path<(String, String)>,
) -> Result<Page, Problem> {
    let act = Act::of(&action)?;
    let offer = console.core.registry.current();
    let known = offer.clients.keys().find(|client| client.to_string().replace('/', ":") == id);
    let client = known.ok_or_else(Problem::not_found)?;
    let v = &operator.visit;
    let services = offer.services_of(client).count();
    let page = Confirm {
        v,
        title: v.t(&format!("console-client-{}", act.word())),
        text: v.t(&format!("console-client-{}-text", act.word())),
        facts: vec![
            (v.t("console-client-id"), client.to_string()),
            (v.t("console-nav-services"), services.to_string()),
        ],
        action: format!("/console/clients/{id}/{}", act.word()),
        field: None,
        button: v.t(&format!("console-client-{}", act.word())),
        warn: matches!(act, Act::Disable | Act::Unregister | Act::Delete),
        back: "/console/clients",
        csrf: operator.session.csrf(),
    };
    page.page(&operator, Section::Clients)
}

/// `POST /console/clients/{id}/{action}`
pub(super) async fn act(
    State(_): At,
    operator: Operator,
    Path((id, action)): Path<(String, String)>,
    Form(form): Form<ActForm>,
) -> Result<Response, Problem> {
    operator.session.verify_csrf(&form.csrf)?;
    let act = Act::of(&action)?;
    let outcome = operator.perform(act.operation(), &[("id", &id)], &[], Bytes::new()).await;
    let (key, name) = (format!("console-client-{}-done", act.word()), id.replace(':', "/"));
    operator.said(outcome.map(drop), &key, &name, "/console/clients").await
}

/// `POST /console/clients`
pub(super) async fn change(
    State(console): At,
    operator: Operator,
    Form(form): Form<ChangeForm>,
) -> Result<Response, Problem> {
    operator.session.verify_csrf(&form.csrf)?;
    let client: ClientId = form.client.parse().map_err(|_| Problem::bad_request("The form names no client."))?;
    let offer = console.core.registry.current();
    let before = offer.clients.get(&client).ok_or_else(Problem::not_found)?;
    let (change, field, old) = match (form.connection, form.log_mode) {
        (Some(connection), None) => {
            let old = word(&before.connection.kind());
            (Change::SetConnection { client: client.clone(), connection }, "connection", old)
        }
        (None, Some(mode)) => (Change::SetLogMode { client: client.clone(), mode }, "log_mode", word(&before.log_mode)),
        _ => return Err(Problem::bad_request("Change one setting at a time.")),
    };
    let fields = vec![("client".to_owned(), client.to_string()), (field.to_owned(), old)];
    let undo = Some(Undo { action: "/console/clients".to_owned(), fields });
    let notice = Notice { key: "console-client-changed".to_owned(), what: client.to_string(), undo };
    operator.change(change, notice, "/console/clients").await
}

/// The word that forms carry for a setting.
fn word(setting: &impl serde::Serialize) -> String {
    match serde_json::to_value(setting) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
