//! Tokens as X-Road's API knows them: the keys in software, and the PKCS#11 token where the node has one.

use serde::Deserialize;
use serde_json::{Value as Json, json};
use trust::pkcs11::{PinState, Token, TokenError, TokenStatus};

use super::call::{Call, Reply, Result, shorten};
use super::error::ApiError;
use super::keys::{rows, shown};

/// Keys in software.
const SOFTWARE: &str = "0";
/// The PKCS#11 token, where the node has one.
pub(super) const HARDWARE: &str = "1";
#[derive(Deserialize)]
struct Password {
    #[serde(default)]
    password: String,
}

pub(super) async fn tokens(call: Call) -> Result {
    let mut all = vec![shown_token(&call, SOFTWARE).await?];
    if call.core.config.token.is_some() {
        all.push(shown_token(&call, HARDWARE).await?);
    }
    Ok(Reply::json(json!(all)))
}

pub(super) async fn token(call: Call) -> Result {
    let id = token_id(&call)?;
    Ok(Reply::json(shown_token(&call, id).await?))
}

/// Keys in software are open as long as the node runs; there is no PIN to be right or wrong.
pub(super) async fn login(call: Call) -> Result {
    let id = token_id(&call)?;
    if id == HARDWARE {
        let Password { password } = call.json()?;
        let token = hardware(&call)?;
        call.act_outside("login_token", id, async { token.login(&password).map_err(refused) }).await?;
    }
    Ok(Reply::json(shown_token(&call, id).await?))
}

pub(super) async fn logout(call: Call) -> Result {
    let id = token_id(&call)?;
    if id == SOFTWARE {
        let what = "keys in software are open as long as the node runs: stop the node instead";
        return Err(ApiError::conflict("action_not_possible", what));
    }
    let token = hardware(&call)?;
    let log_out = async {
        match token.logout() {
            // The PIN is forgotten also where the token is gone.
            Ok(()) | Err(TokenError::Absent(_)) => Ok(()),
            Err(error) => Err(refused(error)),
        }
    };
    call.act_outside("logout_token", id, log_out).await?;
    Ok(Reply::json(shown_token(&call, id).await?))
}

/// The token that the path names, where it is one of ours.
pub(super) fn token_id(call: &Call) -> Result<&'static str> {
    match call.param("id") {
        SOFTWARE => Ok(SOFTWARE),
        HARDWARE if call.core.config.token.is_some() => Ok(HARDWARE),
        other => Err(no_token(other)),
    }
}

pub(super) fn no_token(id: &str) -> ApiError {
    ApiError::not_found("token_not_found", format!("the node has no token `{}`", shorten(id)))
}

pub(super) fn hardware(call: &Call) -> Result<&Token> {
    call.core.config.token.as_ref().map(|keys| &keys.token).ok_or_else(|| no_token(HARDWARE))
}

pub(super) fn refused(error: TokenError) -> ApiError {
    let code = match &error {
        TokenError::PinRefused | TokenError::PinLength => {
            return ApiError::new(http::StatusCode::BAD_REQUEST, "pin_incorrect", error.to_string());
        }
        TokenError::PinLocked => "pin_locked",
        TokenError::LoggedOut => "token_not_active",
        TokenError::Absent(_) => "token_not_available",
        _ => "token_failed",
    };
    ApiError::conflict(code, error.to_string())
}

async fn shown_token(call: &Call, id: &'static str) -> Result<Json> {
    let in_token = id == HARDWARE;
    let mut keys = rows(call).await?;
    keys.retain(|row| row.in_token == in_token);
    // Tools take the first certificate that is registered for the one that counts: what the node works with stands first.
    keys.sort_by_key(|row| !row.certificates.iter().any(|one| one.active));
    let keys = keys.iter().map(|row| shown(call, row));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    if in_token {
        return Ok(shown_hardware(hardware(call)?, keys));
    }
    Ok(json!({
        "id": id,
        "name": "softToken-0",
        "type": "SOFTWARE",
        "keys": keys,
        "status": "OK",
        "logged_in": true,
        "available": true,
        "saved_to_configuration": true,
        "read_only": false,
        "possible_actions": ["GENERATE_KEY"],
    }))
}

fn shown_hardware(token: &Token, keys: Vec<Json>) -> Json {
    let status = token.status();
    let logged_in = status.is_ok() && token.check().is_ok();
    let word = match status.as_ref().map(|status| status.pin) {
        Ok(PinState::Good) | Err(_) => "OK",
        Ok(PinState::Low) => "USER_PIN_COUNT_LOW",
        Ok(PinState::FinalTry) => "USER_PIN_FINAL_TRY",
        Ok(PinState::Locked) => "USER_PIN_LOCKED",
        Ok(PinState::Missing) => "NOT_INITIALIZED",
    };
    let text = |get: fn(&TokenStatus) -> &String| status.as_ref().map_or("", |status| get(status));
    json!({
        "id": HARDWARE,
        "name": status.as_ref().map_or_else(|_| token.name().to_string(), |status| status.label.clone()),
        "type": "HARDWARE",
        "keys": keys,
        "status": word,
        "logged_in": logged_in,
        "available": status.is_ok(),
        "saved_to_configuration": true,
        "read_only": status.as_ref().is_ok_and(|status| status.write_protected),
        "serial_number": text(|status| &status.serial),
        "token_infos": [
            { "key": "Manufacturer", "value": text(|status| &status.manufacturer) },
            { "key": "Model", "value": text(|status| &status.model) },
        ],
        "possible_actions": if logged_in { ["LOGOUT", "GENERATE_KEY"].as_slice() } else { &["LOGIN"] },
    })
}
