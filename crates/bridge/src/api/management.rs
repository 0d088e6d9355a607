//! What is asked of the authority over the API: the node's address, its maintenance, its owner; and how what was asked for is seen.

use civic::{ClientId, MemberId};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use trust::cert::Certificate;
use trust::mserv::Command;

use super::call::{Call, Reply, Result, shorten};
use super::error::ApiError;
use super::keys;
use super::store::{self, KeptCertificate};
use crate::core::Core;
use crate::globalconf::Snapshot;
use crate::management::{ManagementError, RequestSigner, ask, register_certificate};

/// The address that was asked for; gone once the global configuration says it.
const ADDRESS: &str = "requested_address";
/// Whether a maintenance was asked for (`true`) or its end; gone once the global configuration says so.
const MAINTENANCE: &str = "requested_maintenance";
/// As X-Road has it.
const MESSAGE_CHARS_MAX: usize = 255;

#[derive(Deserialize)]
struct ServerAddress {
    address: String,
}

#[derive(Default, Deserialize)]
struct MaintenanceMessage {
    #[serde(default)]
    message: Option<String>,
}

/// Asks the authority for what the owner of the node signs.
pub(super) async fn ask_as_owner(call: &Call, command: Command) -> Result<u64> {
    let signer = RequestSigner::owner(&call.core)?;
    Ok(ask(&call.core, &call.author(), command, signer).await?)
}

/// Asks the authority for something about a client, signed by its member.
pub(super) async fn ask_for_client(call: &Call, member: &MemberId, command: Command) -> Result<u64> {
    if member == call.core.config.server.owner() {
        return ask_as_owner(call, command).await;
    }
    let signer = keys::signer_of(call, member).await?;
    Ok(ask(&call.core, &call.author(), command, signer).await?)
}

/// Asks the authority to register an authentication certificate of this node.
pub(super) async fn ask_for_certificate(
    call: &Call,
    key: &str,
    certificate: &Certificate,
    address: &str,
) -> Result<u64> {
    let key = keys::secret_of(call, key).await?;
    Ok(register_certificate(&call.core, &call.author(), certificate, &key, address).await?)
}

/// Whether there is a management service that could be asked.
pub(super) fn can_ask(call: &Call) -> bool {
    call.core.conf.current().is_some_and(|snapshot| snapshot.management().is_some())
}

/// The node goes to its client, once the authority approves; then `server` changes in the configuration of the node.
pub(super) async fn make_owner(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let server = call.core.config.server.clone();
    if client.subsystem().is_some() || client.member() == server.owner() {
        let what = "only another member who is a client of this node already can become its owner";
        return Err(ApiError::conflict("member_already_owner", what));
    }
    let member = client.member().clone();
    ask_for_client(&call, &member, Command::OwnerChange { server, client }).await?;
    Ok(Reply::done())
}

pub(super) async fn address(call: Call) -> Result {
    let present = call.snapshot()?.address_of(&call.core.config.server);
    let wanted = setting(&call.core, ADDRESS).await?.filter(|wanted| wanted.as_str() != present.as_deref());
    let mut shown = json!({});
    let fields = [("current_address", present.map(Json::from)), ("requested_change", wanted)];
    if let Some(shown) = shown.as_object_mut() {
        let known = fields.into_iter().filter_map(|(name, address)| Some((name, address?)));
        shown.extend(known.map(|(name, address)| (name.to_owned(), json!({ "address": address }))));
    }
    Ok(Reply::json(shown))
}

pub(super) async fn change_address(call: Call) -> Result {
    let ServerAddress { address } = call.json()?;
    let address = checked_address(&address)?.to_owned();
    let server = call.core.config.server.clone();
    if call.snapshot()?.address_of(&server).as_deref() == Some(address.as_str()) {
        return Err(ApiError::conflict("same_address_change_request", "this is the address of the node already"));
    }
    ask_as_owner(&call, Command::AddressChange { server, address: address.clone() }).await?;
    put_setting(&call.core, ADDRESS, &json!(address)).await?;
    Ok(Reply::Empty(StatusCode::ACCEPTED))
}

pub(super) async fn maintenance(call: Call) -> Result {
    let snapshot = call.snapshot()?;
    let server = &call.core.config.server;
    let words = snapshot.maintenance_of(server);
    let wanted = setting(&call.core, MAINTENANCE).await?.and_then(|wanted| wanted.as_bool());
    let status = match (wanted, words.is_some()) {
        (Some(true), false) => "PENDING_ENABLE_MAINTENANCE_MODE",
        (Some(false), true) => "PENDING_DISABLE_MAINTENANCE_MODE",
        (_, true) => "ENABLED_MAINTENANCE_MODE",
        (_, false) => "DISABLED_MAINTENANCE_MODE",
    };
    let provides = snapshot.management().is_some_and(|service| snapshot.serves(server, &service.provider));
    let mut shown = json!({ "status": status, "is_management_services_provider": provides });
    if let (Some(shown), Some(words)) = (shown.as_object_mut(), words.filter(|words| !words.is_empty())) {
        shown.insert("message".to_owned(), json!(words));
    }
    Ok(Reply::json(shown))
}

pub(super) async fn enable_maintenance(call: Call) -> Result {
    let MaintenanceMessage { message } = call.optional_json()?;
    let message = message.filter(|message| !message.is_empty());
    let fits = |text: &String| text.chars().count() <= MESSAGE_CHARS_MAX && !text.chars().any(char::is_control);
    if message.as_ref().is_some_and(|message| !fits(message)) {
        return Err(ApiError::bad("a message has at most 255 characters, none of them a control character"));
    }
    let server = call.core.config.server.clone();
    ask_as_owner(&call, Command::MaintenanceModeEnable { server, message }).await?;
    put_setting(&call.core, MAINTENANCE, &json!(true)).await?;
    Ok(Reply::done())
}

pub(super) async fn disable_maintenance(call: Call) -> Result {
    let server = call.core.config.server.clone();
    ask_as_owner(&call, Command::MaintenanceModeDisable { server }).await?;
    put_setting(&call.core, MAINTENANCE, &json!(false)).await?;
    Ok(Reply::done())
}

/// The address, where it can be one: host, or host and port.
pub(super) fn checked_address(address: &str) -> Result<&str> {
    let address = address.trim();
    let plain = address.chars().all(|letter| letter.is_ascii_graphic() && !"/?#@\"'<>\\".contains(letter));
    if !address.is_empty() && address.len() <= 255 && plain {
        return Ok(address);
    }
    Err(ApiError::bad(format!("`{}` is no address: write HOST or HOST:PORT", shorten(address))))
}

/// What operators are told of a certificate, in X-Road's words. Signing certificates are registered nowhere.
pub(super) fn seen(core: &Core, usage: &str, kept: &KeptCertificate, certificate: &Certificate) -> &'static str {
    if usage == "SIGNING" {
        return "REGISTERED";
    }
    let snapshot = core.conf.current();
    let named = snapshot.is_some_and(|snapshot| is_registered(core, &snapshot, certificate));
    match (kept.status.as_str(), named) {
        ("deletion_in_progress", _) => "DELETION_IN_PROGRESS",
        (_, true) => "REGISTERED",
        ("registration_in_progress", false) => "REGISTRATION_IN_PROGRESS",
        ("registered", false) => "GLOBAL_ERROR",
        _ => "SAVED",
    }
}

/// Whether the global configuration names the authentication certificate for this node.
pub(super) fn is_registered(core: &Core, snapshot: &Snapshot, certificate: &Certificate) -> bool {
    snapshot.server_of(&certificate.sha256()) == Some(&core.config.server)
}

/// Whether the global configuration names the client at this node.
pub(super) fn serves(call: &Call, client: &ClientId) -> bool {
    call.core.conf.current().is_some_and(|snapshot| snapshot.serves(&call.core.config.server, client))
}

/// Writes down what the global configuration decided about certificates, address and maintenance.
pub(crate) async fn settle(core: &Core, snapshot: &Snapshot) -> std::result::Result<(), String> {
    let said = |error: ::store::StoreError| error.to_string();
    let read = |tx: &mut ::store::Tx<'_>| {
        Ok::<_, ::store::StoreError>((
            store::certificates(tx)?,
            store::setting(tx, ADDRESS)?,
            store::setting(tx, MAINTENANCE)?,
        ))
    };
    let (kept, address, maintenance) = core.log.store().read("bridge.read_requested", read).await.map_err(said)?;
    let now_registered = |kept: &&KeptCertificate| {
        kept.status == "registration_in_progress"
            && Certificate::from_der(&kept.certificate).is_ok_and(|one| is_registered(core, snapshot, &one))
    };
    let registered: Vec<String> = kept.iter().filter(now_registered).map(|kept| kept.id.clone()).collect();
    let server = &core.config.server;
    let mut done = Vec::new();
    if address.is_some_and(|wanted| wanted.as_str() == snapshot.address_of(server).as_deref()) {
        done.push(ADDRESS);
    }
    if maintenance.is_some_and(|wanted| wanted.as_bool() == Some(snapshot.maintenance_of(server).is_some())) {
        done.push(MAINTENANCE);
    }
    if registered.is_empty() && done.is_empty() {
        return Ok(());
    }
    let write = move |tx: &mut ::store::Tx<'_>| {
        for id in &registered {
            store::set_certificate(tx, id, "status", "registered".into())?;
        }
        done.iter().try_for_each(|name| store::remove_setting(tx, name))
    };
    core.log.store().tx("bridge.settle_requested", write).await.map_err(said)
}

async fn setting(core: &Core, name: &'static str) -> Result<Option<Json>> {
    Ok(core.log.store().read("bridge.read_setting", move |tx| store::setting(tx, name)).await?)
}

async fn put_setting(core: &Core, name: &'static str, value: &Json) -> Result<()> {
    let value = value.to_string();
    Ok(core.log.store().tx("bridge.put_setting", move |tx| store::put_setting(tx, name, &value)).await?)
}

impl From<ManagementError> for ApiError {
    fn from(error: ManagementError) -> Self {
        let text = error.to_string();
        match error {
            ManagementError::Registry(error) => error.into(),
            ManagementError::NotReady(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "global_conf_outdated", text),
            ManagementError::Unreachable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "management_request_sending_failed", text)
            }
            ManagementError::AlreadyAsked(_) => Self::conflict("management_request_exists", text),
            ManagementError::NoService
            | ManagementError::Refused { .. }
            | ManagementError::Answer(_)
            | ManagementError::Request(_) => Self::conflict("management_request_sending_failed", text),
        }
    }
}
