//! Bodies that nobody holds: made while they are sent, digested while they come.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request as AxumRequest, State};
use axum::response::{IntoResponse, Response as AxumResponse};
use axum::routing::{any, get};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::digest::Sha512;

use super::{CLIENT, TwoNodes, need};
use crate::spool::{Flow, FlowError};

/// The bytes of one slice that is made.
const SLICE_BYTES: u64 = 64 * 1024;

/// An information system for large bodies: `…/made/N` answers with N bytes as they are made, `…/known/N` with their Content-Length,
/// `…/cut/N` breaks off after N, `…/digest` answers with length and digest of what came.
pub struct StreamService {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    _stop: DropGuard,
}

/// What came of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digested {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// Bytes that came.
    pub length: u64,
    /// Their SHA-512.
    pub sha512: [u8; 64],
    /// The first thousand of them.
    pub start: Bytes,
}

impl StreamService {
    /// Starts it on the loopback.
    pub async fn start() -> Self {
        let listener = need(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await);
        let address = need(listener.local_addr());
        let requests: Arc<AtomicU64> = Arc::default();
        let router = Router::new()
            .route("/made/{count}", get(|Path(count): Path<u64>| async move { made(count, false) }))
            .route("/known/{count}", get(known))
            .route("/cut/{count}", get(|Path(count): Path<u64>| async move { made(count, true) }))
            .route("/digest", any(digest))
            .with_state(Arc::clone(&requests));
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, router, stop.clone()));
        Self { address, requests, _stop: stop.drop_guard() }
    }

    /// Its base address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many bodies came whole to `…/digest`.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// A part of the made bytes, which every one of them shares: the byte at place n is n mod 251.
pub fn made_bytes(from: u64, length: u64) -> Bytes {
    let start = (from % 251) as u8;
    let mut next = start;
    let bytes = std::iter::repeat_with(|| {
        let byte = next;
        next = if next == 250 { 0 } else { next + 1 };
        byte
    });
    bytes.take(length as usize).collect::<Vec<u8>>().into()
}

/// The SHA-512 of so many made bytes.
pub fn made_sha512(length: u64) -> [u8; 64] {
    let mut hash = Sha512::new();
    for slice in slices(length) {
        hash.update(&slice);
    }
    hash.finish()
}

fn slices(length: u64) -> impl Iterator<Item = Bytes> {
    // 251 slices make whole turns of the pattern: the same memory serves again and again.
    let turn: Vec<Bytes> =
        (0..251.min(length.div_ceil(SLICE_BYTES))).map(|n| made_bytes(n * SLICE_BYTES, SLICE_BYTES)).collect();
    (0..length.div_ceil(SLICE_BYTES)).filter_map(move |n| {
        let left = (length - n * SLICE_BYTES).min(SLICE_BYTES);
        turn.get((n % 251) as usize).map(|slice| slice.slice(..left as usize))
    })
}

fn made(count: u64, cut: bool) -> AxumResponse {
    let end = cut.then(|| Err(std::io::Error::other("the service broke off")));
    Body::from_stream(stream::iter(slices(count).map(Ok).chain(end))).into_response()
}

async fn known(Path(count): Path<u64>) -> AxumResponse {
    ([("content-length", count.to_string())], made(count, false)).into_response()
}

async fn digest(State(requests): State<Arc<AtomicU64>>, request: AxumRequest) -> AxumResponse {
    let announced = request.headers().get("content-length").and_then(|value| value.to_str().ok()).unwrap_or("none");
    let announced = announced.to_owned();
    let (mut hash, mut length, mut body) = (Sha512::new(), 0_u64, request.into_body());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return StatusCode::BAD_REQUEST.into_response() };
        if let Ok(data) = frame.into_data() {
            length += data.len() as u64;
            hash.update(&data);
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    format!("{length} {announced} {}", digest_text(&hash.finish())).into_response()
}

/// A digest as the service writes it.
pub fn digest_text(digest: &[u8; 64]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(digest)
}

impl TwoNodes {
    /// Sends so many made bytes to the consumer's node as [`CLIENT`]; `path` follows `/r1/`. With `breaks_off` the connection ends
    /// instead of the body.
    pub async fn upload(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        length: u64,
        breaks_off: bool,
    ) -> Option<Digested> {
        let (sender, flow) = Flow::made();
        let sending = tokio::spawn(async move {
            for slice in slices(length) {
                if sender.send(Ok(slice)).await.is_err() {
                    return;
                }
            }
            if breaks_off {
                let _ = sender.send(Err(FlowError::GivenUp("the application died".to_owned()))).await;
            }
        });
        let answer = self.ask("POST", path, headers, flow).await;
        sending.abort();
        answer
    }

    /// Gets a body from the consumer's node as [`CLIENT`]; `path` follows `/r1/`.
    pub async fn download(&self, path: &str) -> Option<Digested> {
        self.ask("GET", path, &[], Flow::from(Bytes::new())).await
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Flow) -> Option<Digested> {
        let url = format!("http://{}/r1/{path}", self.consumer.addresses().consumer);
        let mut request = Request::builder().method(method).uri(url).header("X-Road-Client", CLIENT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let whole = async {
            let answer = self.http.open(need(request.body(body))).await.ok()?;
            let (head, mut body) = answer.into_parts();
            let (mut hash, mut length, mut start) = (Sha512::new(), 0_u64, Vec::new());
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.ok()?.into_data() {
                    length += data.len() as u64;
                    hash.update(&data);
                    start.extend(data.iter().take(1_000_usize.saturating_sub(start.len())));
                }
            }
            let (status, headers) = (head.status, head.headers);
            Some(Digested { status, headers, length, sha512: hash.finish(), start: start.into() })
        };
        tokio::time::timeout(Duration::from_mins(5), whole).await.ok().flatten()
    }
}

impl Digested {
    /// What came, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.start).into_owned()
    }
}
