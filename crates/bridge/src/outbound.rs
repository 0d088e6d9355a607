//! Plain HTTP requests of the node to its own side: the information system, the time-stamping authority, OCSP, the configuration source,
//! the consent service. Pooled keep-alive connections, a limit on the answer, a time limit on the whole.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::client::Resumption;
use web::{Connector, with_causes};

use crate::internal_tls::{self, Pins};
use crate::registry::Offer;
use crate::spool::Flow;
use crate::tls::TlsIdentity;

/// Why a request of the node failed.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address is no HTTP address.
    #[error("`{0}` is no http:// or https:// address")]
    Address(String),
    /// Nobody answered at the address.
    #[error("{address} cannot be reached: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("{address} broke the exchange off: {reason}")]
    Broken {
        /// Host and port.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The time limit passed.
    #[error("{address} did not answer within {seconds} s")]
    Timeout {
        /// Host and port.
        address: String,
        /// The limit.
        seconds: u64,
    },
    /// The answer is larger than the limit.
    #[error("the answer of {address} has more than {bytes_max} bytes")]
    TooLarge {
        /// Host and port.
        address: String,
        /// The limit.
        bytes_max: usize,
    },
    /// The answer has an unexpected status.
    #[error("{address} answered with status {status}")]
    Status {
        /// Host and port.
        address: String,
        /// The status.
        status: u16,
    },
}

/// A pooled HTTP client.
#[derive(Clone)]
pub(crate) struct Outbound {
    verified: Arc<Verified>,
    /// For services whose operator wants no verification.
    credulous: Client<Connector, Flow>,
    pins: Arc<Pins>,
}

/// The client that verifies services, and what another one is made of.
struct Verified {
    client: RwLock<Client<Connector, Flow>>,
    connect_timeout: Duration,
    tls: Arc<ClientConfig>,
}

/// The mark of a request to a service that its operator does not want verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unverified;

/// A body could not be collected.
#[derive(Debug)]
pub(crate) enum CollectError {
    TooLarge,
    Broken(String),
}

impl Verified {
    fn client(&self) -> Client<Connector, Flow> {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn client(connect_timeout: Duration, tls: Arc<ClientConfig>) -> Client<Connector, Flow> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(128)
        .http1_max_headers(crate::message::HEADERS_MAX)
        .build(Connector::new(connect_timeout, Some(tls)))
}

impl Outbound {
    /// `identity`: the certificate that services are shown.
    pub(crate) fn new(connect_timeout: Duration, identity: Option<&Arc<TlsIdentity>>) -> Result<Self, rustls::Error> {
        let pins = Arc::new(Pins::default());
        let verified = Arc::new(internal_tls::client(identity, Some(Arc::clone(&pins)))?);
        let credulous = Arc::new(internal_tls::client(identity, None)?);
        let credulous = client(connect_timeout, credulous);
        let first = RwLock::new(client(connect_timeout, Arc::clone(&verified)));
        let verified = Arc::new(Verified { client: first, connect_timeout, tls: verified });
        Ok(Self { verified, credulous, pins })
    }

    /// The certificates of services that are believed without an authority.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Believes the services that the lists of this offer name, from the next connection on, and none that lists before named.
    pub(crate) fn believe_lists_of(&self, offer: &Offer) {
        if !self.pins.set(offer) {
            return;
        }
        // Idle connections and kept TLS sessions of a service that is believed no more would go on without another look at its certificate.
        let Verified { client: present, connect_timeout, tls } = &*self.verified;
        let mut fresh = ClientConfig::clone(tls);
        fresh.resumption = Resumption::default();
        *present.write().unwrap_or_else(PoisonError::into_inner) = client(*connect_timeout, Arc::new(fresh));
    }

    /// Sends a request and collects the whole answer. Redirects are not followed.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
        bytes_max: usize,
    ) -> Result<Response<Bytes>, OutboundError> {
        let address = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let whole = async {
            let (head, body) = self.open(request.map(Flow::from)).await?.into_parts();
            let body = collect(body, bytes_max).await.map_err(|error| match error {
                CollectError::TooLarge => OutboundError::TooLarge { address: address.clone(), bytes_max },
                CollectError::Broken(reason) => OutboundError::Broken { address: address.clone(), reason },
            })?;
            Ok(Response::from_parts(head, body))
        };
        match tokio::time::timeout(limit, whole).await {
            Ok(outcome) => outcome,
            Err(_) => Err(OutboundError::Timeout { address, seconds: limit.as_secs() }),
        }
    }

    /// Sends a request and answers as soon as the head of the answer is there. Without a time limit: the caller has one.
    pub(crate) async fn open(&self, request: Request<Flow>) -> Result<Response<Incoming>, OutboundError> {
        let address = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        if !matches!(request.uri().scheme_str(), Some("http" | "https")) || address.is_empty() {
            return Err(OutboundError::Address(request.uri().to_string().chars().take(128).collect()));
        }
        let credulous = request.extensions().get::<Unverified>().is_some();
        let client = if credulous { self.credulous.clone() } else { self.verified.client() };
        client.request(request).await.map_err(|error| {
            let reason = with_causes(&error);
            if error.is_connect() {
                OutboundError::Connect { address, reason }
            } else {
                OutboundError::Broken { address, reason }
            }
        })
    }

    /// `GET`; an answer other than 200 is an error.
    pub(crate) async fn get(
        &self,
        url: &str,
        limit: Duration,
        bytes_max: usize,
    ) -> Result<(HeaderMap, Bytes), OutboundError> {
        let request = Request::get(url).body(Full::default()).map_err(|_| OutboundError::Address(url.to_owned()))?;
        self.ok(request, limit, bytes_max).await
    }

    /// `POST` of bytes with a media type; an answer other than 200 is an error.
    pub(crate) async fn post(
        &self,
        url: &str,
        content_type: &str,
        body: Bytes,
        limit: Duration,
        bytes_max: usize,
    ) -> Result<(HeaderMap, Bytes), OutboundError> {
        let request = Request::post(url)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .map_err(|_| OutboundError::Address(url.to_owned()))?;
        self.ok(request, limit, bytes_max).await
    }

    async fn ok(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
        bytes_max: usize,
    ) -> Result<(HeaderMap, Bytes), OutboundError> {
        let address = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let (head, body) = self.send(request, limit, bytes_max).await?.into_parts();
        if head.status != StatusCode::OK {
            return Err(OutboundError::Status { address, status: head.status.as_u16() });
        }
        Ok((head.headers, body))
    }
}

/// Collects a body of at most so many bytes. A body that announces more is refused before it is read.
pub(crate) async fn collect<B>(body: B, bytes_max: usize) -> Result<Bytes, CollectError>
where
    B: Body<Data = Bytes>,
    B::Error: std::error::Error,
{
    let announced = body.size_hint();
    if announced.lower() > bytes_max as u64 {
        return Err(CollectError::TooLarge);
    }
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| CollectError::Broken(with_causes(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Err(CollectError::TooLarge);
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(first.len() + data.len());
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
