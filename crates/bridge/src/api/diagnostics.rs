//! How the node is: initialisation, version, anchor, configuration, OCSP, time stamps.

use serde_json::{Value as Json, json};
use trust::digest;
use trust::globalconf::{TrustedCa, read_anchor};

use super::call::{Call, Reply, Result};
use super::error::ApiError;
use crate::attempts::Attempt;
use crate::globalconf::Refreshed;
use crate::node::pause_after_failure;
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

/// The anchor is given to `baobab node init`, and a running node has one.
pub(super) async fn upload_anchor(_: Call) -> Result {
    let what = "this node has its anchor: its operator replaces the file and restarts the node";
    Err(ApiError::conflict("anchor_already_exists", what))
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
    let (now, rhythm) = (call.core.clock.now(), call.core.config.rhythm.configuration);
    let expired = call.core.conf.current().is_some_and(|snapshot| snapshot.expires() <= now);
    let (class, at, pause, code, errors) = match call.core.conf.refreshed() {
        Refreshed::NotYet(since) => ("WAITING", since, rhythm, "", Vec::new()),
        Refreshed::Well(at) => ("OK", at, rhythm, "", Vec::new()),
        Refreshed::Failed(at, errors) => {
            ("FAIL", at, pause_after_failure(rhythm), "global_conf_download_failed", errors)
        }
    };
    let (class, code, errors) = if expired {
        let expired = "the global configuration has expired: the node exchanges nothing until it is renewed".to_owned();
        ("FAIL", "global_conf_outdated", errors.into_iter().chain([expired]).collect())
    } else {
        (class, code, errors)
    };
    let next = at.plus(pause).rfc3339();
    // X-Road's older tools read the code, its newer ones the error.
    let old_code = match class {
        "OK" => "SUCCESS",
        "WAITING" => "ERROR_CODE_UNINITIALIZED",
        _ if expired => "ERROR_CODE_EXPIRED_CONF",
        _ => "ERROR_CODE_CANNOT_DOWNLOAD_CONF",
    };
    let before = at.rfc3339();
    let mut shown =
        json!({ "status_class": class, "status_code": old_code, "prev_update_at": before, "next_update_at": next });
    put_errors(&mut shown, code, &errors);
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
    let next = call.core.clock.now().plus(call.core.config.rhythm.ocsp).rfc3339();
    let responder = |url: &String| {
        let failed = failed.clone().filter(|_| used.contains(&url.as_str()));
        let (class, code) = if failed.is_some() { ("FAIL", "ERROR_CODE_OCSP_FAILED") } else { ("OK", "SUCCESS") };
        let mut one = json!({ "url": url, "status_class": class, "status_code": code, "next_update_at": next });
        put_errors(&mut one, "ocsp_failed", failed.as_slice());
        one
    };
    let of_ca = |ca: &TrustedCa| {
        let responders: Vec<Json> = ca.ocsp_urls.iter().map(responder).collect();
        json!({ "distinguished_name": ca.cert.subject().to_string(), "ocsp_responders": responders })
    };
    let cas = snapshot.own().map_or(&[][..], |own| own.cas());
    Ok(Reply::json(json!(cas.iter().map(of_ca).collect::<Vec<_>>())))
}

/// Each authority as this process saw it last: the node asks the first of them, and the next where that one does not answer.
pub(super) async fn timestamping(call: Call) -> Result {
    let stamper = &call.core.stamper;
    let snapshot = call.snapshot()?;
    let shown = snapshot.tsas().iter().map(|tsa| {
        let (class, code, at, error) = match stamper.asked.of(&tsa.url) {
            None => ("WAITING", "ERROR_CODE_TIMESTAMP_UNINITIALIZED", stamper.since, None),
            Some(Attempt { at, error: None }) => ("OK", "SUCCESS", at, None),
            Some(Attempt { at, error: Some(error) }) => {
                ("FAIL", "ERROR_CODE_INTERNAL", at, Some(format!("{}: {error}", tsa.url)))
            }
        };
        let at = at.rfc3339();
        let mut one = json!({ "url": tsa.url, "status_class": class, "status_code": code, "prev_update_at": at });
        put_errors(&mut one, "timestamping_failed", error.as_slice());
        one
    });
    Ok(Reply::json(shown.collect()))
}

fn put_errors(shown: &mut Json, code: &str, errors: &[String]) {
    if let (Some(fields), false) = (shown.as_object_mut(), errors.is_empty()) {
        fields.insert("error".to_owned(), json!({ "code": code, "metadata": errors }));
    }
}
