use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::need;

/// A request as the information system got it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An information system that echoes and remembers: `…/status/N` answers with that status, `…/bytes/N` with so many bytes,
/// `…/slow` after a minute, `…/wait/N` after so many milliseconds, `…/headers` with the headers `answer-…` of the request, everything else with the body that came, or a JSON text of about 1 kB where none came.
pub struct Service {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Recorded>>>,
    _stop: DropGuard,
}

impl Service {
    /// Starts it on the loopback.
    pub async fn start() -> Self {
        let listener = need(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await);
        let address = need(listener.local_addr());
        let seen: Arc<Mutex<Vec<Recorded>>> = Arc::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, router, stop.clone()));
        Self { address, seen, _stop: stop.drop_guard() }
    }

    /// Its base address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests that came.
    pub fn seen(&self) -> Vec<Recorded> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(
    State(seen): State<Arc<Mutex<Vec<Recorded>>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let recorded = Recorded { method, target, headers: headers.clone(), body: body.clone() };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(recorded);
    let mut parts = uri.path().rsplit('/');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match (before, last) {
        ("status", code) => {
            let status = code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
            (status.unwrap_or(StatusCode::BAD_REQUEST), [("location", "http://elsewhere.invalid/")], "").into_response()
        }
        ("bytes", count) => vec![b'x'; count.parse().unwrap_or(0)].into_response(),
        (_, "headers") => {
            let mut response = body.into_response();
            response.headers_mut().clear();
            for (name, value) in &headers {
                if let Some(name) =
                    name.as_str().strip_prefix("answer-").and_then(|name| name.parse::<HeaderName>().ok())
                {
                    response.headers_mut().append(name, value.clone());
                }
            }
            response
        }
        ("wait", millis) => {
            tokio::time::sleep(Duration::from_millis(millis.parse().unwrap_or(0))).await;
            "waited".into_response()
        }
        (_, "slow") => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            "late".into_response()
        }
        _ if body.is_empty() => {
            let text = "a".repeat(950);
            ([("content-type", "application/json"), ("x-road-id", "forged")], format!("{{\"text\":\"{text}\"}}"))
                .into_response()
        }
        _ => ([("content-type", "application/octet-stream")], body).into_response(),
    }
}
