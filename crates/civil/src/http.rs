//! The only file of the room with axum: the information system behind the node of the civil-status office.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use web::Problem;

use crate::commune::Commune;
use crate::error::CivilError;

/// Description of the service `communes` (OpenAPI 3).
const COMMUNES_OPENAPI: &str = include_str!("../openapi/communes.json");
/// Description of the service `person` (OpenAPI 3).
const PERSON_OPENAPI: &str = include_str!("../openapi/person.json");

/// The routes of the public service.
pub(crate) fn communes() -> Router {
    Router::new()
        .route("/communes", get(list))
        .route("/communes/", get(list))
        .route("/communes/{code}", get(commune))
        .route("/openapi/communes.json", get(|| async { described(COMMUNES_OPENAPI) }))
        .route("/openapi/person.json", get(|| async { described(PERSON_OPENAPI) }))
        .with_state(Arc::new(Answers::new()))
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
        match error {
            CivilError::UnknownCommune => {
                Self::new(StatusCode::NOT_FOUND, "unknown_commune", "Unknown commune").detail(detail)
            }
            CivilError::Store(error) => logged(Self::unavailable(error)),
            CivilError::Record { .. } => logged(Self::internal(detail)),
        }
    }
}

/// Failures of ours are logged here, once; the caller gets no cause.
fn logged(problem: Problem) -> Problem {
    tracing::error!(cause = problem.inner_cause(), code = problem.code(), "the civil-status service failed");
    problem
}
