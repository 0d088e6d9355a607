//! `/health` and `/metrics`, for the people who run the house.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use crate::{HealthCheck, Problem};

/// A registry of metrics that several parts of one organisation fill.
pub type SharedRegistry = Arc<Mutex<Registry>>;

/// `GET /health` (200 or 503, one line a check) and `GET /metrics` (Prometheus text). Mount it on an operator's port.
pub fn router(checks: Vec<HealthCheck>, registry: SharedRegistry) -> Router {
    Router::new().route("/health", get(health)).with_state(Arc::new(checks)).merge(metrics_router(registry))
}

fn metrics_router(registry: SharedRegistry) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(registry)
}

async fn health(State(checks): State<Arc<Vec<HealthCheck>>>) -> Response {
    let mut report = Map::new();
    let mut well = true;
    for check in checks.iter() {
        let state = match check.told().await {
            Ok(None) => "ok".to_owned(),
            Ok(Some(note)) => format!("ok: {note}"),
            Err(failure) => {
                well = false;
                failure.0
            }
        };
        report.insert(check.name.to_owned(), Value::String(state));
    }
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"status": if well { "ok" } else { "failing" }, "checks": report}))).into_response()
}

async fn metrics(State(registry): State<SharedRegistry>) -> Result<Response, Problem> {
    let mut text = String::new();
    let outcome = encode(&mut text, &registry.lock().unwrap_or_else(PoisonError::into_inner));
    outcome.map_err(Problem::internal)?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}
