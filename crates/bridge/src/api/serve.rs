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

use super::BASE;
use super::auth;
use super::call::{Call, Reply, Result};
use super::error::ApiError;
use super::openapi;
use super::table::{BodyKind, Operation, operations};
use crate::core::Core;

/// The API as a router for the admin listener.
pub(crate) fn router(core: &Arc<Core>) -> Router {
    let description: Bytes = openapi::description(&operations()).to_string().into();
    let described = get(move || async move { ([(CONTENT_TYPE, "application/json")], description) });
    let mut router = Router::new().route(&format!("{BASE}/openapi.json"), described);
    for operation in operations() {
        let path = format!("{BASE}{}", operation.path);
        let Some(filter) = filter(&operation.method) else { continue };
        let operation = Arc::new(operation);
        let handler =
            move |state: State<Arc<Core>>,
                  peer: ConnectInfo<SocketAddr>,
                  params: Path<Vec<(String, String)>>,
                  request: Request| { answer(Arc::clone(&operation), state.0, peer.0, params.0, request) };
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
    operation: Arc<Operation>,
    core: Arc<Core>,
    peer: SocketAddr,
    params: Vec<(String, String)>,
    request: Request,
) -> Response {
    match run(&operation, core, peer, params, request).await {
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
    if !holder.roles.iter().any(|role| operation.roles.contains(role)) {
        let names: Vec<&str> = operation.roles.iter().map(|role| role.word()).collect();
        let what = format!("the key has none of the roles {}", names.join(", "));
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", what));
    }
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
    let call = Call { core, holder, peer, params, query, body };
    (operation.run)(call).await
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
