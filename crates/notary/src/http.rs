//! The only file of the room with axum: the API, the page that checks a file, and what they need to be believed.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use civic::Locale;
use http::header::{
    AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use trust::digest::sha256;
use trust::note::policy::Policy;
use web::{Asset, Messages, Page, Params, Problem, Site, Text, Visit};

use crate::registration::{BATCH_MAX, Registration};
use crate::store;
use crate::{Notary, NotaryError};

/// A page of the list or of the export has at most this many rows.
const PAGE_MAX: usize = 500;
/// The page that checks a file may load its own files and send nothing.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
connect-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const SCRIPT: Asset = Asset {
    name: "verify.js",
    media_type: "text/javascript; charset=utf-8",
    bytes: include_bytes!("../assets/verify.js"),
};
const OPENAPI: &str = include_str!("../assets/openapi.json");

/// Who may open a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody.
    Public,
    /// Clients, for what is theirs.
    Client,
}

/// Every route, for the test that walks them as a stranger and as another client.
pub const ROUTES: &[(&str, &str, Reach)] = &[
    ("GET", "/", Reach::Public),
    ("GET", "/policy", Reach::Public),
    ("GET", "/jwks", Reach::Public),
    ("GET", "/openapi.json", Reach::Public),
    ("POST", "/notary", Reach::Client),
    ("GET", "/notary", Reach::Client),
    ("GET", "/notary.csv", Reach::Client),
    ("GET", "/notary/{id}", Reach::Client),
    ("DELETE", "/notary/{id}", Reach::Client),
    ("GET", "/notary/{id}/proof", Reach::Client),
];

pub(crate) fn router(notary: &Notary) -> Result<Router, NotaryError> {
    let messages = Messages::load(&[
        (Locale::Fr, include_str!("../../../translations/fr/notary.ftl")),
        (Locale::En, include_str!("../../../translations/en/notary.ftl")),
    ])?;
    let (config, random) = (&notary.inner.config, Arc::clone(&notary.inner.random));
    let service = Text::new("Notaire numérique", "Digital notary");
    let mut site =
        Site::new(config.organisation.clone(), service, config.public_url.clone(), Arc::new(messages), random);
    site.machine_paths = vec!["/notary".to_owned()];
    site.assets = vec![SCRIPT];
    let routes = Router::new()
        .route("/", get(check))
        .route("/policy", get(policy))
        .route("/jwks", get(jwks))
        .route("/openapi.json", get(described))
        .route("/notary", get(list).post(register))
        .route("/notary.csv", get(export))
        .route("/notary/{id}", get(one).delete(erase))
        .route("/notary/{id}/proof", get(proof))
        .with_state(notary.clone());
    Ok(site.wrap(routes))
}

#[derive(Template)]
#[template(path = "check.html")]
struct Check<'a> {
    v: &'a Visit,
    policy: &'a Policy,
}

async fn check(State(notary): State<Notary>, visit: Visit) -> Result<Page, Problem> {
    let body = Check { v: &visit, policy: &notary.inner.config.policy };
    let page = visit.page(visit.t("notary-title"), &body)?;
    Ok(page.module(SCRIPT.href()).header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY)))
}

async fn policy(State(notary): State<Notary>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], notary.inner.config.policy.to_string()).into_response()
}

async fn jwks(State(notary): State<Notary>) -> Response {
    Json(notary.jwks()).into_response()
}

async fn described() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    sha256: Option<String>,
    digests: Option<Vec<String>>,
}

async fn register(State(notary): State<Notary>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let client = client(&notary, &headers).await?;
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| refused(error.to_string()))?;
    let (texts, batch) = match (asked.sha256, asked.digests) {
        (Some(one), None) => (vec![one], false),
        (None, Some(many)) if (1..=BATCH_MAX).contains(&many.len()) => (many, true),
        (None, Some(many)) => return Err(refused(format!("there are {} digests", many.len())).into()),
        _ => return Err(refused("give one of the two members".to_owned()).into()),
    };
    let digests: Option<Vec<[u8; 32]>> =
        texts.iter().map(|text| hex::decode(text).ok().and_then(|digest| digest.try_into().ok())).collect();
    let digests = digests.ok_or_else(|| refused("a digest is not 64 hexadecimal digits".to_owned()))?;
    let made = notary.register(&client, &digests).await?;
    let status = if made.iter().any(|registration| registration.new) { StatusCode::CREATED } else { StatusCode::OK };
    let shown: Vec<Value> = made.iter().map(|registration| shown(&notary, registration)).collect();
    let answer = match shown.first() {
        Some(one) if !batch => one.clone(),
        _ => json!({ "registrations": shown }),
    };
    Ok((status, Json(answer)).into_response())
}

async fn list(State(notary): State<Notary>, headers: HeaderMap, params: Params) -> Result<Response, Problem> {
    let (slice, total) = slice(&notary, &headers, &params).await?;
    let shown: Vec<Value> = slice.iter().map(|registration| shown(&notary, registration)).collect();
    Ok(Json(json!({ "total": total, "registrations": shown })).into_response())
}

async fn export(State(notary): State<Notary>, headers: HeaderMap, params: Params) -> Result<Response, Problem> {
    let (slice, total) = slice(&notary, &headers, &params).await?;
    // Numbers, digests and moments hold neither commas nor quotes.
    let lines = slice.iter().map(|registration| {
        let index = registration.index.map(|index| index.to_string()).unwrap_or_default();
        let digest = registration.sha256().unwrap_or_default();
        format!("{},{digest},{},{index}\r\n", registration.id, registration.registered_at.rfc3339())
    });
    let text = format!("id,sha256,registered_at,index\r\n{}", lines.collect::<String>());
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, "attachment; filename=\"notary.csv\"".to_owned()),
        (http::HeaderName::from_static("notary-total"), total.to_string()),
    ];
    Ok((headers, text).into_response())
}

async fn slice(notary: &Notary, headers: &HeaderMap, params: &Params) -> Result<(Vec<Registration>, u64), NotaryError> {
    let client = client(notary, headers).await?;
    let number = |name, default: usize| params.number(name).unwrap_or(default);
    let offset = u32::try_from(number("offset", 0)).unwrap_or(u32::MAX);
    let limit = u32::try_from(number("limit", PAGE_MAX).clamp(1, PAGE_MAX)).unwrap_or(1);
    notary.list(&client, offset, limit).await
}

async fn one(State(notary): State<Notary>, headers: HeaderMap, Path(id): Path<String>) -> Result<Response, Problem> {
    let client = client(&notary, &headers).await?;
    let registration = notary.find(&client, &id).await?;
    let mut answer = Json(shown(&notary, &registration)).into_response();
    if registration.index.is_none() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(answer)
}

async fn erase(State(notary): State<Notary>, headers: HeaderMap, Path(id): Path<String>) -> Result<Response, Problem> {
    let client = client(&notary, &headers).await?;
    notary.erase(&client, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn proof(
    State(notary): State<Notary>,
    headers: HeaderMap,
    params: Params,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let client = client(&notary, &headers).await?;
    match notary.proof(&client, &id, params.get("without_quorum") == Some("true")).await {
        Ok(proof) => {
            let name = format!("attachment; filename=\"{id}.tlog-proof\"");
            let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, name)];
            Ok((headers, proof).into_response())
        }
        Err(NotaryError::Waiting) => {
            let said = json!({ "status": "waiting", "detail": NotaryError::Waiting.to_string() });
            Ok((StatusCode::ACCEPTED, [(RETRY_AFTER, "1")], Json(said)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// Who comes with this credential.
async fn client(notary: &Notary, headers: &HeaderMap) -> Result<String, NotaryError> {
    let credential = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credential = credential.and_then(|value| value.strip_prefix("Bearer ")).ok_or(NotaryError::Stranger)?;
    let inner = &notary.inner;
    if credential.starts_with("notary-") {
        let digest = sha256(credential.as_bytes());
        let found = inner.store.read("notary.client", move |tx| store::client_of(tx, &digest)).await?;
        return found.ok_or(NotaryError::Stranger);
    }
    let Some((verifier, audience)) = &inner.config.tokens else { return Err(NotaryError::Stranger) };
    let token = verifier.verify(credential, audience, inner.clock.now()).map_err(|_| NotaryError::Stranger)?;
    let allowed = token.scope.split(' ').any(|scope| scope == "notary");
    if allowed { Ok(token.client_id) } else { Err(NotaryError::Stranger) }
}

fn shown(notary: &Notary, registration: &Registration) -> Value {
    let id = &registration.id;
    json!({
        "id": id,
        "sha256": registration.sha256(),
        "status": match (&registration.record, registration.index) {
            (None, _) => "erased",
            (Some(_), None) => "promised",
            (Some(_), Some(_)) => "logged",
        },
        "registered_at": registration.registered_at.rfc3339(),
        "due_at": registration.due().rfc3339(),
        "promise": registration.promise,
        "index": registration.index,
        "proof": format!("{}/notary/{id}/proof", notary.inner.config.public_url),
    })
}

fn refused(reason: String) -> NotaryError {
    NotaryError::Body { max: BATCH_MAX, reason }
}

impl From<NotaryError> for Problem {
    fn from(error: NotaryError) -> Self {
        let detail = error.to_string();
        match error {
            NotaryError::Stranger => {
                Self::unauthorized(detail).header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            NotaryError::Body { .. } | NotaryError::ClientName => Self::bad_request(detail),
            NotaryError::TooFast { seconds } => Self::too_many(detail).header(RETRY_AFTER, HeaderValue::from(seconds)),
            NotaryError::Unknown => Self::not_found(),
            NotaryError::Erased => Self::new(StatusCode::GONE, "erased", "The registration was erased").detail(detail),
            NotaryError::Waiting | NotaryError::Outbox(_) | NotaryError::Proof(_) | NotaryError::Store(_) => {
                Self::unavailable(detail)
            }
            NotaryError::Promise(_) | NotaryError::Words(_) => Self::internal(detail),
        }
    }
}
