//! How the node is: initialisation, version, anchor, configuration, OCSP, time stamps.

use serde_json::{Value as Json, json};
use trust::digest;
use trust::globalconf::read_anchor;

use super::call::{Call, Reply, Result};
use super::error::ApiError;
use crate::usage::hex_text;

pub(super) async fn initialization_status(_: Call) -> Result {
    Ok(Reply::json(initialized()))
}

fn initialized() -> Json {
    json!({
        "is_anchor_imported": true,
        "is_server_code_initialized": true,
        "is_server_owner_initialized": true,
        "software_token_init_status": "INITIALIZED",
        "enforce_token_pin_policy": false,
    })
}

/// A node that runs has its anchor, its code and its keys: there is nothing to initialise over the API.
pub(super) async fn initialize(_: Call) -> Result {
    let what = "this node is initialised by the command `baobab node init`, and is";
    Err(ApiError::conflict("server_already_fully_initialized", what))
}

pub(super) async fn version(_: Call) -> Result {
    Ok(Reply::json(json!({
        "info": format!("Baobab {} (X-Road {})", env!("CARGO_PKG_VERSION"), crate::PROTOCOL_VERSION),
        "global_configuration_version": 6,
    })))
}

pub(super) async fn node_type(_: Call) -> Result {
    Ok(Reply::json(json!({ "node_type": "STANDALONE" })))
}

pub(super) async fn anchor(call: Call) -> Result {
    let bytes = &call.core.config.anchor;
    let anchor = read_anchor(bytes).map_err(ApiError::internal)?;
    let hash = hex_text(&digest::sha256(bytes)).to_uppercase();
    let pairs: Vec<String> = hash.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect();
    Ok(Reply::json(
        json!({ "hash": pairs.join(":"), "created_at": anchor.generated_at.unwrap_or_else(|| call.core.clock.now()).rfc3339() }),
    ))
}

pub(super) async fn download_anchor(call: Call) -> Result {
    let bytes = call.core.config.anchor.clone().into();
    let name = format!("configuration_anchor_{}.xml", call.core.config.server.owner().instance());
    Ok(Reply::File { bytes, content_type: "application/xml", name })
}

pub(super) async fn globalconf(call: Call) -> Result {
    let now = call.core.clock.now();
    let next = now.plus(call.core.config.rhythm.configuration);
    let (class, error) = match call.core.conf.current() {
        None => ("WAITING", Some("no global configuration was fetched yet")),
        Some(snapshot) if snapshot.expires() <= now => ("FAIL", Some("the global configuration has expired")),
        Some(_) => ("OK", None),
    };
    let mut shown = json!({ "status_class": class, "prev_update_at": now.rfc3339(), "next_update_at": next.rfc3339() });
    put_error(&mut shown, "global_conf_outdated", error);
    Ok(Reply::json(shown))
}

pub(super) async fn ocsp(call: Call) -> Result {
    let snapshot = call.snapshot()?;
    let own = &call.core.own_ocsp;
    let failed = own.signing().and_then(|_| own.authentication()).err().map(|error| error.to_string());
    let keys = call.core.keys();
    let used: Vec<&str> = [&keys.sign_certificate, &keys.auth_certificate]
        .into_iter()
        .filter_map(|certificate| snapshot.issuer_of(certificate))
        .flat_map(|ca| ca.ocsp_urls.iter().map(String::as_str))
        .collect();
    let all = snapshot.own().map_or(&[][..], |own| own.cas()).iter().flat_map(|ca| &ca.ocsp_urls);
    let shown = all.map(|url| {
        let failed = failed.as_deref().filter(|_| used.contains(&url.as_str()));
        let class = if failed.is_some() { "FAIL" } else { "OK" };
        let mut one = json!({ "url": url, "status_class": class });
        put_error(&mut one, "ocsp_failed", failed);
        one
    });
    Ok(Reply::json(json!(shown.collect::<Vec<_>>())))
}

pub(super) async fn timestamping(call: Call) -> Result {
    let waiting = call.core.metrics.stamps_waiting.get();
    let now = call.core.clock.now().rfc3339();
    let shown: Vec<Json> = call
        .snapshot()?
        .tsas()
        .iter()
        .map(|tsa| {
            let class = if waiting > 0 { "WAITING" } else { "OK" };
            json!({ "url": tsa.url, "status_class": class, "prev_update_at": now })
        })
        .collect();
    Ok(Reply::json(json!(shown)))
}

fn put_error(shown: &mut Json, code: &str, error: Option<&str>) {
    if let (Some(fields), Some(error)) = (shown.as_object_mut(), error) {
        fields.insert("error".to_owned(), json!({ "code": code, "metadata": [error] }));
    }
}
