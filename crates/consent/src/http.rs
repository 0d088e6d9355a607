//! The one door of the consent service for nodes: `POST /consent/v1/grants/{id}/use`.
//!
//! The request is a JWS in `Authorization: Bearer` (type [`USE_REQUEST_TYP`], claims [`UseRequestClaims`]), signed by the
//! provider's node; the body says nothing. Answers: 200 `{"grant_use": JWS}`, 401 where the node is not believed, 403
//! with a problem whose type ends in `consent_revoked`, `consent_expired`, `consent_exhausted`, `consent_out_of_scope` or
//! `consent_unknown`, 503 where storage does not answer.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::post;
use axum::{Json, Router};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use trust::jose::{Audience, JoseError, Registered, jws_unverified, jws_verify};
use web::Problem;

use crate::access::Refusal;
use crate::grant::{GrantError, GrantRefusal, GrantUseRequest, UseError};
use crate::grants::Grants;
use crate::proof::{USE_REQUEST_TYP, UseRequestClaims};

const SKEW: Duration = Duration::from_mins(1);
const LIFETIME_MAX: Duration = Duration::from_mins(2);
const BODY_BYTES_MAX: usize = 8 * 1024;

/// The routes of the consent service, mounted at the identity provider's port.
pub fn router(grants: Grants) -> Router {
    Router::new()
        .route("/consent/v1/grants/{id}/use", post(use_grant))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(grants)
}

async fn use_grant(
    State(grants): State<Grants>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let claims = authenticated(&grants, &headers).map_err(Problem::unauthorized)?;
    if claims.grant_id != id {
        return Err(Problem::bad_request("the address and the claim grant_id name different grants"));
    }
    let request = GrantUseRequest {
        grant_id: claims.grant_id,
        provider: claims.iss,
        client: claims.client,
        service: claims.service,
        method: claims.method,
        path: claims.path,
        message_id: claims.jti,
    };
    let used = grants.use_once(request).await?;
    Ok(Json(json!({ "grant_use": used.jws })))
}

/// Which node asks, and what it signed; or why it is not believed.
fn authenticated(grants: &Grants, headers: &HeaderMap) -> Result<UseRequestClaims, String> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = token.ok_or("send Authorization: Bearer with the signed request")?;
    let refuse = |error: JoseError| error.to_string();
    let (_, unverified) = jws_unverified::<UseRequestClaims>(token).map_err(refuse)?;
    let keys = grants.keys_of(&unverified.iss).ok_or("this provider is not registered with the consent service")?;
    let (_, claims) = jws_verify::<UseRequestClaims>(token, &keys, USE_REQUEST_TYP).map_err(refuse)?;
    let issuer = claims.iss.to_string();
    let registered = Registered {
        iss: Some(issuer.clone()),
        aud: Some(Audience::One(claims.aud.clone())),
        iat: Some(claims.iat),
        exp: Some(claims.exp),
        ..Registered::default()
    };
    registered.check(&issuer, &grants.inner.config.issuer, grants.now(), SKEW, LIFETIME_MAX).map_err(refuse)?;
    Ok(claims)
}

impl From<GrantRefusal> for Problem {
    fn from(refusal: GrantRefusal) -> Self {
        Self::new(StatusCode::FORBIDDEN, refusal.code(), "The consent does not allow this").detail(refusal.to_string())
    }
}

impl From<UseError> for Problem {
    fn from(error: UseError) -> Self {
        match error {
            UseError::Refused(refusal) => refusal.into(),
            UseError::Failed(error) => error.into(),
        }
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Invalid(_) => Self::bad_request(error.to_string()),
            GrantError::NotYours => Self::not_found().detail(error.to_string()),
            GrantError::Ended => Self::conflict(error.to_string()),
            GrantError::Store(_) | GrantError::Ledger(_) => Self::unavailable(error),
            GrantError::Signing(_) => Self::internal(error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = |status| Self::new(status, refusal.code(), "These data may not be read");
        match &refusal {
            Refusal::Journal(error) => Self::unavailable(error),
            Refusal::Malformed(_) => problem(StatusCode::BAD_REQUEST).detail(refusal.to_string()),
            _ => problem(StatusCode::FORBIDDEN).detail(refusal.to_string()),
        }
    }
}
