//! The only file of the room with axum: the information system behind the node of the tax office.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use civic::{Actor, ClientId, ServiceId};
use consent::{AccessRequest, Basis, Consent, GrantUseClaims, Refusal};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use store::Store;
use trust::jose::jws_unverified;
use web::Problem;

use crate::error::FiscError;
use crate::statement::YEARS;
use crate::store as rows;

/// Description of the service `income-statement` (OpenAPI 3.0, JSON).
pub const OPENAPI: &str = include_str!("../openapi/income-statement.json");
/// The proof of a use that the citizen granted, set by the node.
const GRANT_USE: &str = "baobab-grant-use";

/// What the service stands on.
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) consent: Consent,
    pub(crate) service: ServiceId,
}

/// The routes of the service.
pub(crate) fn router(desk: Desk) -> Router {
    Router::new()
        .route("/income-statement/{year}", get(statement))
        .route("/openapi/income-statement.json", get(described))
        .with_state(Arc::new(desk))
}

async fn statement(
    State(desk): State<Arc<Desk>>,
    Path(year): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let client: ClientId = header(&headers, "x-road-client")?
        .parse()
        .map_err(|_| FiscError::NotThroughTheBridge { header: "X-Road-Client" })?;
    let message_id = header(&headers, "x-road-id")?.to_owned();
    let proof = headers.get(GRANT_USE).and_then(|value| value.to_str().ok()).ok_or(FiscError::GrantUseMissing)?;
    let year = year.parse().ok().filter(|year| YEARS.contains(year)).ok_or(FiscError::UnknownYear)?;
    let claims = claimed(proof)?;
    let path = claims.path.split('?').next().unwrap_or_default();
    if path.trim_matches('/') != year.to_string() {
        return Err(FiscError::OtherYear { year }.into());
    }
    let request = AccessRequest {
        actor: Actor::Organisation(client),
        subject: claims.sub,
        service: desk.service.clone(),
        fields: claims.fields,
        purpose: claims.purpose,
        basis: Basis::Grant(proof.to_owned()),
        message_id: Some(message_id),
    };
    let permit = desk.consent.decide(request).await.map_err(FiscError::from)?;
    if !permit.allows_year(year) {
        return Err(FiscError::OtherYear { year }.into());
    }
    let statement = rows::statement(&desk.store, &permit, year).await?.ok_or(FiscError::NoStatement { year })?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(statement.disclose(permit.fields()))).into_response())
}

async fn described() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

/// What the proof says, not yet believed: `decide` verifies the signature and that the request fits these very claims.
fn claimed(proof: &str) -> Result<GrantUseClaims, FiscError> {
    let (_, claims) = jws_unverified(proof).map_err(|error| Refusal::Proof(error.to_string()))?;
    Ok(claims)
}

/// A header that the node always sets.
fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, FiscError> {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
    value.ok_or(FiscError::NotThroughTheBridge { header: name })
}

impl From<FiscError> for Problem {
    fn from(error: FiscError) -> Self {
        let detail = error.to_string();
        let problem = |status, code: &str, title: &str| Self::new(status, code, title).detail(detail.clone());
        match error {
            FiscError::NotThroughTheBridge { .. } => {
                problem(StatusCode::BAD_REQUEST, "not_through_the_bridge", "The call did not come through a node")
            }
            FiscError::GrantUseMissing => {
                problem(StatusCode::UNAUTHORIZED, "grant_use_missing", "The proof of consent is missing")
            }
            FiscError::OtherYear { .. } => {
                problem(StatusCode::FORBIDDEN, "consent_out_of_scope", "The citizen allowed another year")
            }
            FiscError::UnknownYear => problem(StatusCode::NOT_FOUND, "unknown_year", "No statements for this year"),
            FiscError::NoStatement { .. } => problem(StatusCode::NOT_FOUND, "no_statement", "No income statement"),
            FiscError::Store(error) => logged(Self::unavailable(error)),
            FiscError::Refused(refusal) => match *refusal {
                Refusal::Journal(error) => logged(Self::unavailable(error)),
                refusal => problem(StatusCode::FORBIDDEN, refusal.code(), "Access refused"),
            },
            FiscError::Record { .. } => logged(Self::internal(detail)),
        }
    }
}

/// Failures of ours are logged here, once; the caller gets no cause.
fn logged(problem: Problem) -> Problem {
    tracing::error!(cause = problem.inner_cause(), code = problem.code(), "the tax office's service failed");
    problem
}
