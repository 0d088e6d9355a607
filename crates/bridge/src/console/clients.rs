//! The subsystems that the node serves: how they connect, what the message log keeps of them.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use civic::ClientId;
use serde::Deserialize;
use web::{Form, Page, Problem, Visit};

use super::{At, Notice, NoticeView, Operator, Section, Undo};
use crate::registry::{Change, ClientSettings, ConnectionType, LogMode};

#[derive(Template)]
#[template(path = "console/clients.html")]
struct List<'a> {
    v: &'a Visit,
    notice: Option<NoticeView>,
    clients: Vec<ClientSettings>,
    connections: &'static [(&'static str, ConnectionType)],
    modes: &'static [(&'static str, LogMode)],
    csrf: String,
}

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

/// `/console/clients`
pub(super) async fn list(State(console): At, mut operator: Operator) -> Result<Page, Problem> {
    let notice = operator.notice().await?;
    let mut clients: Vec<ClientSettings> = console.core.registry.current().clients.values().cloned().collect();
    clients.sort_by_key(|client| client.id.to_string());
    let v = &operator.visit;
    let csrf = operator.session.csrf();
    let body = List { v, notice, clients, connections: CONNECTIONS, modes: MODES, csrf };
    operator.page(Section::Clients, &v.t("console-clients-title"), &body)
}

/// `POST /console/clients`
pub(super) async fn change(
    State(console): At,
    operator: Operator,
    Form(form): Form<ChangeForm>,
) -> Result<Response, Problem> {
    operator.may_change(&form.csrf)?;
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
