//! The only file of the room with axum: the information system behind the node of the civil-status office.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use civic::{Actor, ClientId, NationalNumber};
use consent::{AccessRequest, Basis, Consent, Refusal};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use store::Store;
use web::Problem;

use crate::commune::Commune;
use crate::error::CivilError;
use crate::person::FIELDS;
use crate::{PersonAccess, store as rows};

/// Description of the service `communes` (OpenAPI 3.0, JSON).
pub const COMMUNES_OPENAPI: &str = include_str!("../openapi/communes.json");
/// Description of the service `person` (OpenAPI 3.0, JSON).
pub const PERSON_OPENAPI: &str = include_str!("../openapi/person.json");

/// The routes of the public service alone: it needs neither storage nor law.
pub fn communes() -> Router {
    Router::new()
        .route("/communes", get(list))
        .route("/communes/", get(list))
        .route("/communes/{code}", get(commune))
        .route("/openapi/communes.json", get(|| async { described(COMMUNES_OPENAPI) }))
        .with_state(Arc::new(Answers::new()))
}

/// The routes of the service that a law opens.
pub(crate) fn person(desk: Desk) -> Router {
    Router::new()
        .route("/person/{national_number}", get(show_person))
        .route("/openapi/person.json", get(|| async { described(PERSON_OPENAPI) }))
        .with_state(Arc::new(desk))
}

/// What the service `person` stands on.
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) consent: Consent,
    pub(crate) access: PersonAccess,
}

async fn show_person(
    State(desk): State<Arc<Desk>>,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let client: ClientId = header(&headers, "x-road-client")?
        .parse()
        .map_err(|_| CivilError::NotThroughTheBridge { header: "X-Road-Client" })?;
    let message_id = header(&headers, "x-road-id")?.to_owned();
    let subject: NationalNumber = number.parse().map_err(CivilError::from)?;
    let request = AccessRequest {
        actor: Actor::Organisation(client),
        subject,
        service: desk.access.service.clone(),
        fields: FIELDS.map(str::to_owned).to_vec(),
        purpose: desk.access.purpose.clone(),
        basis: Basis::Law { reference: desk.access.law.clone() },
        message_id: Some(message_id),
    };
    let permit = desk.consent.decide(request).await.map_err(CivilError::from)?;
    let person = rows::person(&desk.store, &permit).await?.ok_or(CivilError::UnknownPerson)?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(person.disclose(permit.fields()))).into_response())
}

/// A header that the node always sets.
fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, CivilError> {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
    value.ok_or(CivilError::NotThroughTheBridge { header: name })
}

/// The answers of the public service, written once: they never change while the process runs.
struct Answers {
    list: Bytes,
    by_code: HashMap<&'static str, Bytes>,
}

impl Answers {
    fn new() -> Self {
        let list: Vec<Value> =
            Commune::all().iter().map(|commune| json!({ "code": commune.code, "name": commune.name })).collect();
        let by_code = Commune::all().iter().map(|commune| (commune.code, commune.json().to_string().into())).collect();
        Self { list: Value::from(list).to_string().into(), by_code }
    }
}

async fn list(State(answers): State<Arc<Answers>>) -> Response {
    reference_data(answers.list.clone())
}

async fn commune(State(answers): State<Arc<Answers>>, Path(code): Path<String>) -> Result<Response, Problem> {
    let body = answers.by_code.get(code.as_str()).ok_or(CivilError::UnknownCommune)?;
    Ok(reference_data(body.clone()))
}

fn reference_data(body: Bytes) -> Response {
    const DAY: HeaderValue = HeaderValue::from_static("public, max-age=86400");
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json")), (CACHE_CONTROL, DAY)], body).into_response()
}

fn described(openapi: &'static str) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], openapi).into_response()
}

impl From<CivilError> for Problem {
    fn from(error: CivilError) -> Self {
        let detail = error.to_string();
        let problem = |status, code: &str, title: &str| Self::new(status, code, title).detail(detail.clone());
        match error {
            CivilError::NotThroughTheBridge { .. } => {
                problem(StatusCode::BAD_REQUEST, "not_through_the_bridge", "The call did not come through a node")
            }
            CivilError::Number(_) => {
                problem(StatusCode::BAD_REQUEST, "bad_national_number", "This is no national number")
            }
            CivilError::UnknownCommune => problem(StatusCode::NOT_FOUND, "unknown_commune", "Unknown commune"),
            CivilError::UnknownPerson => problem(StatusCode::NOT_FOUND, "unknown_person", "Unknown person"),
            CivilError::Store(error) => logged(Self::unavailable(error)),
            CivilError::Refused(refusal) => match *refusal {
                Refusal::Journal(error) => logged(Self::unavailable(error)),
                refusal => problem(StatusCode::FORBIDDEN, refusal.code(), "Access refused"),
            },
            CivilError::Record { .. } => logged(Self::internal(detail)),
        }
    }
}

/// Failures of ours are logged here, once; the caller gets no cause.
fn logged(problem: Problem) -> Problem {
    tracing::error!(cause = problem.inner_cause(), code = problem.code(), "the civil-status service failed");
    problem
}
