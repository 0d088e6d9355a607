//! What the global configuration says, as the API of X-Road shows it.

use civic::ServerId;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use trust::globalconf::{FederatedInstance, SharedParams, TrustedTsa};

use super::call::{Call, Reply, Result, shorten};
use super::error::ApiError;

#[derive(Deserialize)]
struct Named {
    url: String,
}

pub(super) async fn instances(call: Call) -> Result {
    Ok(Reply::json(json!([call.snapshot()?.instance()])))
}

pub(super) async fn member_classes(call: Call) -> Result {
    with_shared(&call, |shared| json!(classes(shared)))
}

pub(super) async fn member_classes_of(call: Call) -> Result {
    let instance = call.param("id").to_owned();
    let snapshot = call.snapshot()?;
    if snapshot.instance() != instance {
        let what = format!("there is no instance `{}` here", shorten(&instance));
        return Err(ApiError::not_found("instance_not_found", what));
    }
    with_shared(&call, |shared| json!(classes(shared)))
}

pub(super) async fn member_name(call: Call) -> Result {
    let (class, code) = call
        .query("member_class")
        .zip(call.query("member_code"))
        .ok_or_else(|| ApiError::bad("name member_class and member_code"))?;
    let snapshot = call.snapshot()?;
    let shared = snapshot.own().map(FederatedInstance::shared);
    let found =
        shared.and_then(|shared| shared.members.iter().find(|one| one.id.class() == class && one.id.code() == code));
    let missing = || ApiError::not_found("member_name_not_found", "there is no such member");
    Ok(Reply::json(json!({ "member_name": found.ok_or_else(missing)?.name })))
}

pub(super) async fn servers(call: Call) -> Result {
    let own = call.flag("current_server", false)?;
    let of = call.core.config.server.clone();
    with_shared(&call, |shared| {
        let wanted = shared.servers.iter().filter(|server| !own || server.id == of);
        let mut shown: Vec<Json> = wanted.map(|server| shown_server(&server.id, server.address.as_deref())).collect();
        if own && shown.is_empty() {
            shown.push(shown_server(&of, None));
        }
        json!(shown)
    })
}

pub(super) async fn server(call: Call) -> Result {
    let id = call.param("id").to_owned();
    let snapshot = call.snapshot()?;
    let servers = snapshot.own().map_or(&[][..], |own| &own.shared().servers);
    let found = servers.iter().find(|server| server_id(&server.id) == id);
    let found =
        found.ok_or_else(|| ApiError::not_found("security_server_not_found", "the federation has no such node"))?;
    Ok(Reply::json(shown_server(&found.id, found.address.as_deref())))
}

pub(super) async fn authorities(call: Call) -> Result {
    let snapshot = call.snapshot()?;
    let signing = call.query("key_usage_type") == Some("SIGNING");
    let intermediates = call.flag("include_intermediate_cas", false)?;
    let all = snapshot.own().map_or(&[][..], |own| own.cas());
    let wanted = all.iter().filter(|ca| (intermediates || ca.is_anchor) && !(signing && ca.authentication_only));
    let shown = wanted.map(|ca| {
        json!({
            "name": ca.name,
            "subject_distinguished_name": ca.cert.subject().to_string(),
            "issuer_distinguished_name": ca.cert.issuer().to_string(),
            "ocsp_response": "NOT_AVAILABLE",
            "not_after": ca.cert.not_after().rfc3339(),
            "top_ca": ca.is_anchor,
            "path": ca.cert.subject().to_string(),
            "authentication_only": ca.authentication_only,
            "acme_capable": false,
        })
    });
    Ok(Reply::json(json!(shown.collect::<Vec<_>>())))
}

/// The node stamps at every authority of the country: approved and configured are the same.
pub(super) async fn timestamping_services(call: Call) -> Result {
    let snapshot = call.snapshot()?;
    let shown = |tsa: &TrustedTsa| json!({ "name": tsa.name, "url": tsa.url, "cost_type": "UNDEFINED" });
    Ok(Reply::json(json!(snapshot.tsas().iter().map(shown).collect::<Vec<_>>())))
}

/// Every approved one is configured already.
pub(super) async fn add_timestamping_service(call: Call) -> Result {
    approved(&call)?;
    let what = "the node stamps at every authority that the federation approves, this one too";
    Err(ApiError::conflict("timestamping_service_already_configured", what))
}

pub(super) async fn delete_timestamping_service(call: Call) -> Result {
    approved(&call)?;
    let what = "the node stamps at every authority that the federation approves: the authority of the federation takes one out";
    Err(ApiError::conflict("action_not_possible", what))
}

/// Whether the federation approves the time-stamping authority that the body names.
fn approved(call: &Call) -> Result<()> {
    let Named { url } = call.json()?;
    if call.snapshot()?.tsas().iter().any(|tsa| tsa.url == url) {
        return Ok(());
    }
    let what = format!("the federation approves no time-stamping authority at `{}`", shorten(&url));
    Err(ApiError::not_found("timestamping_service_not_found", what))
}

fn with_shared(call: &Call, show: impl FnOnce(&SharedParams) -> Json) -> Result {
    let snapshot = call.snapshot()?;
    Ok(Reply::json(snapshot.own().map_or_else(|| json!([]), |own| show(own.shared()))))
}

fn classes(shared: &SharedParams) -> Vec<&str> {
    let mut classes: Vec<&str> = shared.member_classes.iter().map(|class| class.code.as_str()).collect();
    classes.extend(shared.members.iter().map(|member| member.id.class()));
    classes.sort_unstable();
    classes.dedup();
    classes
}

fn server_id(id: &ServerId) -> String {
    format!("{}:{}", super::call::member_id(id.owner()), id.code())
}

fn shown_server(id: &ServerId, address: Option<&str>) -> Json {
    json!({
        "id": server_id(id),
        "instance_id": id.owner().instance(),
        "member_class": id.owner().class(),
        "member_code": id.owner().code(),
        "server_code": id.code(),
        "server_address": address.unwrap_or_default(),
    })
}
