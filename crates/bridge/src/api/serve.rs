use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

use super::BASE;
use super::auth::{self, Role};
use super::call::{Call, Reply, Result};
use super::error::ApiError;
use super::table::{BodyKind, Operation, operation, operations};
use super::{api_keys, openapi, schema, validate};
use crate::core::Core;

/// The API as a router for the admin listener.
pub(crate) fn router(core: &Arc<Core>) -> Router {
    let description: Bytes = openapi::description(operations()).to_string().into();
    let described = get(move || async move { ([(CONTENT_TYPE, "application/json")], description) });
    let schemas = Arc::new(schema::components());
    let mut router = Router::new().route(&format!("{BASE}/openapi.json"), described);
    for operation in operations() {
        let path = format!("{BASE}{}", operation.path);
        let Some(filter) = filter(&operation.method) else { continue };
        let schemas = Arc::clone(&schemas);
        let handler = move |state: State<Arc<Core>>,
                            peer: ConnectInfo<SocketAddr>,
                            params: Path<Vec<(String, String)>>,
                            request: Request| {
            answer((operation, Arc::clone(&schemas)), state.0, peer.0, params.0, request)
        };
        let route: MethodRouter<Arc<Core>> = axum::routing::on(filter, handler);
        router = router.route(&path, route);
    }
    let unknown = || async { ApiError::not_found("not_found", "there is no such operation: see openapi.json") };
    router.route(&format!("{BASE}/{{*rest}}"), axum::routing::any(unknown)).with_state(Arc::clone(core))
}

fn filter(method: &Method) -> Option<MethodFilter> {
    MethodFilter::try_from(method.clone()).ok()
}

async fn answer(
    (operation, schemas): (&Operation, Arc<Json>),
    core: Arc<Core>,
    peer: SocketAddr,
    params: Vec<(String, String)>,
    request: Request,
) -> Response {
    match run(operation, &schemas, core, peer, params, request).await {
        Ok(reply) => render(reply),
        Err(error) => {
            if error.status == StatusCode::UNAUTHORIZED || error.status == StatusCode::FORBIDDEN {
                tracing::warn!(operation = operation.id, %peer, code = error.code, "a call of the management API was refused");
            }
            error.into_response()
        }
    }
}

async fn run(
    operation: &Operation,
    schemas: &Json,
    core: Arc<Core>,
    peer: SocketAddr,
    params: Vec<(String, String)>,
    request: Request,
) -> Result {
    let limits = core.config.limits.api;
    let (head, body) = request.into_parts();
    let holder = match auth::authenticate(&core, &head.headers).await {
        Ok(holder) => holder,
        Err(error) => {
            core.api_calls.admit((None, peer.ip()), &limits, core.clock.now())?;
            return Err(error);
        }
    };
    core.api_calls.admit((Some(holder.number), peer.ip()), &limits, core.clock.now())?;
    check_roles(operation, &holder.roles)?;
    api_keys::check_place(operation.path, peer.ip(), &limits)?;
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bytes_max = match operation.body {
        BodyKind::Bytes => limits.upload_bytes_max,
        BodyKind::None | BodyKind::Json(_) => limits.body_bytes_max,
    };
    let body = read(body, bytes_max).await?;
    if let (BodyKind::Json(_), false) = (&operation.body, body.is_empty())
        && !content_type.to_ascii_lowercase().starts_with("application/json")
    {
        let what = "send `Content-Type: application/json`";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", what));
    }
    let query = query_of(head.uri.query().unwrap_or_default())?;
    validate::query(operation, &query)?;
    let body = validate::body(operation, schemas, body)?;
    let call = Call { core, holder, params, query, body };
    (operation.run)(call).await
}

fn check_roles(operation: &Operation, roles: &[Role]) -> Result<()> {
    if roles.iter().any(|role| operation.roles.contains(role)) {
        return Ok(());
    }
    let names: Vec<&str> = operation.roles.iter().map(|role| role.word()).collect();
    let what = format!("the key has none of the roles {}", names.join(", "));
    Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", what))
}

/// What an operation did for an operator at the console.
pub(crate) enum Done {
    /// It answered with this.
    Json(Json),
    /// It answered with a file.
    File {
        /// Its content.
        bytes: Bytes,
        /// What it is called.
        name: String,
    },
    /// There is nothing to say.
    Nothing,
}

/// Why an operation did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A word for what is wrong.
    pub(crate) code: &'static str,
    /// What is wrong and what to do, in English.
    pub(crate) text: String,
}

/// An operation that an operator at the console wants, by the name in the table.
pub(crate) struct Wish<'w> {
    /// The number of the key that the operator signed in with.
    pub(crate) number: i64,
    /// Its roles.
    pub(crate) roles: &'w [Role],
    /// The operation.
    pub(crate) operation: &'w str,
    /// The parts of its path.
    pub(crate) params: &'w [(&'w str, &'w str)],
    /// Its query.
    pub(crate) query: &'w [(&'w str, &'w str)],
    /// Its body.
    pub(crate) body: Bytes,
}

/// Runs an operation for an operator at the console: the same roles, rules and audit as over the API.
pub(crate) async fn perform(core: &Arc<Core>, wish: Wish<'_>) -> std::result::Result<Done, Refusal> {
    let outcome = run_wish(core, wish).await;
    outcome.map_err(|error| {
        let warnings = error.warnings.into_iter().flat_map(|(_, texts)| texts);
        let text = error.metadata.into_iter().chain(warnings).collect::<Vec<_>>().join(". ");
        Refusal { code: error.code, text }
    })
}

async fn run_wish(core: &Arc<Core>, wish: Wish<'_>) -> Result<Done> {
    let operation = operation(wish.operation)
        .ok_or_else(|| ApiError::internal("the console wants an operation that there is not"))?;
    check_roles(operation, wish.roles)?;
    // The browser is somewhere else: what only the machine itself may do is not done here.
    let peer = SocketAddr::from(([0, 0, 0, 0], 0));
    api_keys::check_place(operation.path, peer.ip(), &core.config.limits.api)?;
    let owned =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(one, two)| ((*one).to_owned(), (*two).to_owned())).collect();
    let call = Call {
        core: Arc::clone(core),
        holder: auth::Holder { number: wish.number, roles: wish.roles.to_vec() },
        params: owned(wish.params),
        query: owned(wish.query),
        body: wish.body,
    };
    Ok(match (operation.run)(call).await? {
        Reply::Json(_, json) => Done::Json(json),
        Reply::File { bytes, name, .. } => Done::File { bytes, name },
        Reply::Empty(_) => Done::Nothing,
    })
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes> {
    let collected = http_body_util::Limited::new(body, bytes_max).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|_| {
        let what = format!("the body broke off, or has more than {bytes_max} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", what)
    })
}

fn query_of(query: &str) -> Result<Vec<(String, String)>> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned);
        decoded.ok().filter(|text| !text.contains('\0')).ok_or_else(|| ApiError::bad("the query is not UTF-8"))
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| Ok((decode(name)?, decode(value)?))).collect()
}

fn render(reply: Reply) -> Response {
    let mut response = match reply {
        Reply::Json(status, body) => (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response(),
        Reply::Empty(status) => status.into_response(),
        Reply::File { bytes, content_type, name } => {
            let mut response = ([(CONTENT_TYPE, content_type)], bytes).into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
                response.headers_mut().insert(CONTENT_DISPOSITION, value);
            }
            response
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
