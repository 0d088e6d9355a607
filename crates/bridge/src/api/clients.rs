use civic::{ClientId, MemberId};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use trust::cert::Certificate;
use trust::mserv::Command;

use super::auth::Role;
use super::call::{Call, Reply, Result, client_id, parse_client, shorten};
use super::certificates::{details, hash_of, read_certificate};
use super::error::ApiError;
use super::management::{ask_as_owner, ask_for_client, can_ask, serves};
use crate::globalconf::Snapshot;
use crate::registry::{Change, ClientSettings, ClientStatus, ConnectionType, LogMode};

#[derive(Deserialize)]
struct ClientAdd {
    client: NewClient,
    #[serde(default)]
    ignore_warnings: bool,
}

#[derive(Deserialize)]
struct NewClient {
    member_class: String,
    member_code: String,
    #[serde(default)]
    subsystem_code: Option<String>,
    #[serde(default)]
    connection_type: Option<ConnectionType>,
}

#[derive(Deserialize)]
struct ClientUpdate {
    #[serde(default)]
    connection_type: Option<ConnectionType>,
    #[serde(default)]
    log_mode: Option<LogMode>,
}

#[derive(Deserialize)]
struct ClientName {
    client_name: String,
}

pub(super) async fn find(call: Call) -> Result {
    let offer = call.offer();
    let snapshot = call.core.conf.current();
    let mut found: Vec<Json> =
        offer.clients.values().map(|client| shown(&call, &client.id, Some(client), snapshot.as_deref())).collect();
    if !call.flag("internal_search", true)? {
        let shared = call.snapshot()?;
        let members = shared.own().map_or(&[][..], |own| &own.shared().members);
        let whole = call.flag("show_members", true)?;
        for member in members {
            let own = whole.then(|| ClientId::of_member(member.id.clone()));
            let subsystems = member.subsystems.iter().filter_map(|one| member.id.subsystem(&one.code).ok());
            let foreign = own.into_iter().chain(subsystems).filter(|client| !offer.clients.contains_key(client));
            found.extend(foreign.map(|client| shown(&call, &client, None, Some(&shared))));
        }
    }
    let has = |client: &Json, field: &str, wanted: Option<&str>| {
        let value = client.get(field).and_then(Json::as_str).unwrap_or_default();
        wanted.is_none_or(|wanted| value.to_lowercase().contains(&wanted.to_lowercase()))
    };
    found.retain(|client| {
        [
            ("member_name", "name"),
            ("instance_id", "instance"),
            ("member_class", "member_class"),
            ("member_code", "member_code"),
            ("subsystem_code", "subsystem_code"),
        ]
        .into_iter()
        .all(|(field, query)| has(client, field, call.query(query)))
    });
    found.sort_by_key(|client| client.get("id").map(ToString::to_string));
    Ok(Reply::json(json!(found)))
}

pub(super) async fn add(call: Call) -> Result {
    let wanted: ClientAdd = call.json()?;
    let instance = call.core.config.server.owner().instance().to_owned();
    let bad = |error: civic::IdError| ApiError::bad(error.to_string());
    let member = MemberId::new(&instance, &wanted.client.member_class, &wanted.client.member_code).map_err(bad)?;
    let client = match wanted.client.subsystem_code.as_deref().filter(|code| !code.is_empty()) {
        Some(code) => member.subsystem(code).map_err(bad)?,
        None => ClientId::of_member(member.clone()),
    };
    let known = call.core.conf.current().is_some_and(|snapshot| snapshot.knows_member(&member));
    if !known && !wanted.ignore_warnings {
        return Err(ApiError::warning("unregistered_member", client_id(&ClientId::of_member(member))));
    }
    let connection = wanted.client.connection_type.unwrap_or(ConnectionType::Https);
    call.change(Change::AddClient { client: client.clone(), connection }).await?;
    Ok(Reply::created(one(&call, &client)?))
}

pub(super) async fn get(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    Ok(Reply::json(one(&call, &client)?))
}

pub(super) async fn update(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let wanted: ClientUpdate = call.json()?;
    let mut changes = Vec::new();
    if let Some(connection) = wanted.connection_type {
        changes.push(Change::SetConnection { client: client.clone(), connection });
    }
    if let Some(mode) = wanted.log_mode {
        changes.push(Change::SetLogMode { client: client.clone(), mode });
    }
    if changes.is_empty() {
        return Err(ApiError::bad("name connection_type or log_mode"));
    }
    call.change_all(changes).await?;
    Ok(Reply::json(one(&call, &client)?))
}

pub(super) async fn delete(call: Call) -> Result {
    let offer = call.offer();
    let client = call.client(&offer)?;
    let conflict = |what: &str| Err(ApiError::conflict("cannot_delete_client", what));
    if serves(&call, &client) {
        return conflict("the global configuration still names this client at this node: unregister it first");
    }
    if status_of(&call, &client) == Some(ClientStatus::RegistrationInProgress) {
        return conflict("the authority was asked to register this client: take that back by unregistering it first");
    }
    call.change(Change::RemoveClient { client }).await?;
    Ok(Reply::done())
}

/// Asks the authority; the client is in traffic once the global configuration names it.
pub(super) async fn register(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    if serves(&call, &client) {
        return set_status(&call, client, ClientStatus::Registered).await;
    }
    let subsystem_name = call.offer().clients.get(&client).and_then(|settings| settings.name.clone());
    let (server, member) = (call.core.config.server.clone(), client.member().clone());
    let command = Command::ClientReg { server, client: client.clone(), subsystem_name };
    ask_for_client(&call, &member, command).await?;
    set_status(&call, client, ClientStatus::RegistrationInProgress).await
}

/// Asks the authority to take the client out, or takes a request back that waits.
pub(super) async fn unregister(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let asked = status_of(&call, &client) == Some(ClientStatus::RegistrationInProgress);
    if serves(&call, &client) || asked {
        let server = call.core.config.server.clone();
        ask_as_owner(&call, Command::ClientDeletion { server, client: client.clone() }).await?;
        return set_status(&call, client, ClientStatus::DeletionInProgress).await;
    }
    let what = "the authority has not registered this client at this node, and was not asked to";
    Err(ApiError::conflict("action_not_possible", what))
}

/// The client goes on: here at once, for others once the global configuration names it again.
pub(super) async fn enable(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    if serves(&call, &client) {
        return set_status(&call, client, ClientStatus::Registered).await;
    }
    if !can_ask(&call) {
        return set_status(&call, client, ClientStatus::Saved).await;
    }
    let (server, member) = (call.core.config.server.clone(), client.member().clone());
    ask_for_client(&call, &member, Command::ClientEnable { server, client: client.clone() }).await?;
    set_status(&call, client, ClientStatus::EnablingInProgress).await
}

/// The client stops: here at once, whatever the authority says; the authority is told so that others see it.
pub(super) async fn disable(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let tell = serves(&call, &client) && can_ask(&call);
    set_status(&call, client.clone(), ClientStatus::Disabled).await?;
    if !tell {
        return Ok(Reply::done());
    }
    let (server, member) = (call.core.config.server.clone(), client.member().clone());
    let told = ask_for_client(&call, &member, Command::ClientDisable { server, client: client.clone() }).await;
    told.map_err(|mut error| {
        error
            .metadata
            .insert(0, "the client is switched off at this node; only the authority could not be told".to_owned());
        error
    })?;
    set_status(&call, client, ClientStatus::DisablingInProgress).await
}

/// A registered subsystem is renamed by the authority; the name here changes once it was asked.
pub(super) async fn rename(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let ClientName { client_name } = call.json()?;
    if client.subsystem().is_some() && serves(&call, &client) && can_ask(&call) {
        let (server, member) = (call.core.config.server.clone(), client.member().clone());
        let command = Command::ClientRename { server, client: client.clone(), subsystem_name: client_name.clone() };
        ask_for_client(&call, &member, command).await?;
    }
    call.change(Change::SetClientName { client, name: client_name }).await?;
    Ok(Reply::done())
}

async fn set_status(call: &Call, client: ClientId, status: ClientStatus) -> Result {
    call.change(Change::SetClientStatus { client, status }).await?;
    Ok(Reply::done())
}

fn status_of(call: &Call, client: &ClientId) -> Option<ClientStatus> {
    call.offer().clients.get(client).map(|settings| settings.status)
}

pub(super) async fn tls_certificates(call: Call) -> Result {
    let certificates = certificates_of(&call)?;
    Ok(Reply::json(json!(certificates.iter().map(details).collect::<Vec<_>>())))
}

pub(super) async fn tls_certificate(call: Call) -> Result {
    let hash = call.param("hash").to_ascii_lowercase();
    let found = certificates_of(&call)?.into_iter().find(|one| hash_of(one) == hash);
    let found = found.ok_or_else(|| {
        ApiError::not_found("certificate_not_found", format!("the client has no certificate `{}`", shorten(&hash)))
    })?;
    Ok(Reply::json(details(&found)))
}

pub(super) async fn add_tls_certificate(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let certificate = read_certificate(&call.body)?;
    let change =
        Change::AddCertificate { client, certificate: certificate.der().to_vec(), fingerprint: hash_of(&certificate) };
    call.change(change).await?;
    Ok(Reply::created(details(&certificate)))
}

pub(super) async fn delete_tls_certificate(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let fingerprint = call.param("hash").to_ascii_lowercase();
    call.change(Change::RemoveCertificate { client, fingerprint }).await?;
    Ok(Reply::done())
}

fn certificates_of(call: &Call) -> Result<Vec<Certificate>> {
    let offer = call.offer();
    let client = call.client(&offer)?;
    let kept = offer.certificates.get(&client).map_or(&[][..], Vec::as_slice);
    kept.iter().map(|der| Certificate::from_der(der).map_err(ApiError::internal)).collect()
}

fn one(call: &Call, client: &ClientId) -> Result<Json> {
    let offer = call.offer();
    let settings = offer.clients.get(client);
    if settings.is_none() {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "client_not_found", client_id(client)));
    }
    Ok(shown(call, client, settings, call.core.conf.current().as_deref()))
}

/// A client as X-Road's API shows it; `settings` of those that this node serves.
fn shown(call: &Call, client: &ClientId, settings: Option<&ClientSettings>, snapshot: Option<&Snapshot>) -> Json {
    let member = client.member();
    let mut shown = json!({
        "id": client_id(client),
        "instance_id": member.instance(),
        "member_name": snapshot.map_or_else(|| member.code().to_owned(), |snapshot| snapshot.member_name(member)),
        "member_class": member.class(),
        "member_code": member.code(),
        "owner": client.subsystem().is_none() && member == call.core.config.server.owner(),
        "has_valid_local_sign_cert": call.core.own_ocsp.signer(member).is_ok(),
    });
    let Some(fields) = shown.as_object_mut() else { return shown };
    if let Some(subsystem) = client.subsystem() {
        fields.insert("subsystem_code".to_owned(), json!(subsystem));
    }
    if let Some(settings) = settings {
        let status = settings.status.seen(serves(call, client));
        fields.insert("status".to_owned(), json!(status));
        fields.insert("declared".to_owned(), json!(settings.declared));
        if let Some(name) = &settings.name {
            fields.insert("subsystem_name".to_owned(), json!(name));
        }
        if call.has(&[
            Role::XroadServiceAdministrator,
            Role::XroadRegistrationOfficer,
            Role::XroadSecurityserverObserver,
        ]) {
            fields.insert("connection_type".to_owned(), json!(settings.connection.kind()));
            fields.insert("log_mode".to_owned(), json!(settings.log_mode));
        }
    }
    shown
}

/// An id of a client in a body.
pub(super) fn parse_all(texts: &[String]) -> Result<Vec<ClientId>> {
    texts.iter().map(|text| parse_client(text)).collect()
}
