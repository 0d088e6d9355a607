//! The outbound HTTP client: pooled, bounded in time and size, no redirect followed, no proxy read from anywhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connector::{Connector, with_causes};

/// Why a call to another system gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is not an absolute http or https URL.
    #[error("`{0}` is not an absolute http(s) URL")]
    BadUrl(String),
    /// A header or the body could not be written as HTTP.
    #[error("the request could not be written: {0}")]
    BadRequest(String),
    /// No connection, or it broke before the answer was whole.
    #[error("{url} did not answer: {reason}")]
    Unreachable {
        /// Scheme, host and path; never the query.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The time limit passed.
    #[error("{url} did not answer within {limit:?}")]
    Slow {
        /// Scheme, host and path; never the query.
        url: String,
        /// The limit.
        limit: Duration,
    },
    /// The answer is over the size limit.
    #[error("the answer of {url} is larger than {limit} bytes")]
    TooLarge {
        /// Scheme, host and path; never the query.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// A status other than 2xx where one was required.
    #[error("{url} answered with status {status}")]
    Status {
        /// Scheme, host and path; never the query.
        url: String,
        /// The status.
        status: StatusCode,
        /// The body, for the caller that understands it.
        body: Bytes,
    },
    /// The body is not the JSON that was expected.
    #[error("the answer of {url} is not the JSON expected: {reason}")]
    NotJson {
        /// Scheme, host and path; never the query.
        url: String,
        /// What the parser said.
        reason: String,
    },
}

/// Limits of a client.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// From the start of the call to the last byte of the answer.
    pub timeout: Duration,
    /// The largest answer, in bytes.
    pub answer_bytes_max: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), answer_bytes_max: 4 * 1024 * 1024 }
    }
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    url: String,
}

impl Reply {
    /// The reply, or [`HttpError::Status`] where it is not 2xx.
    pub fn success(self) -> Result<Self, HttpError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(HttpError::Status { url: self.url, status: self.status, body: self.body })
    }

    /// The body read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| HttpError::NotJson { url: self.url.clone(), reason: error.to_string() })
    }
}

/// A pooled HTTP/1.1 client. Cheap to clone; clones share the pool.
#[derive(Clone, Debug)]
pub struct HttpClient {
    inner: Client<Connector, Full<Bytes>>,
    limits: ClientLimits,
}

impl HttpClient {
    /// A client for http URLs, and for https where `tls` says whom to trust.
    pub fn new(limits: ClientLimits, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        let connector = Connector::new(limits.timeout.min(Duration::from_secs(5)), tls);
        let inner = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(64)
            .build(connector);
        Self { inner, limits }
    }

    /// `GET`, any status.
    pub async fn get(&self, url: &str, headers: &[(HeaderName, HeaderValue)]) -> Result<Reply, HttpError> {
        self.send(Method::GET, url, headers, Bytes::new()).await
    }

    /// `GET` that must answer 2xx with JSON.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        url: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<T, HttpError> {
        let mut headers = headers.to_vec();
        headers.push((ACCEPT, HeaderValue::from_static("application/json")));
        self.get(url, &headers).await?.success()?.json()
    }

    /// `POST` of JSON, any status.
    pub async fn post_json(
        &self,
        url: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: &(impl Serialize + Sync),
    ) -> Result<Reply, HttpError> {
        let body = serde_json::to_vec(body).map_err(|error| HttpError::BadRequest(error.to_string()))?;
        let mut headers = headers.to_vec();
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        self.send(Method::POST, url, &headers, body.into()).await
    }

    /// `POST` of form fields, any status.
    pub async fn post_form(
        &self,
        url: &str,
        headers: &[(HeaderName, HeaderValue)],
        fields: &[(&str, &str)],
    ) -> Result<Reply, HttpError> {
        let mut headers = headers.to_vec();
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")));
        self.send(Method::POST, url, &headers, form_text(fields).into()).await
    }

    /// Any method with any body, any status.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Reply, HttpError> {
        let uri: Uri = url.parse().map_err(|_| HttpError::BadUrl(url.to_owned()))?;
        if uri.host().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(HttpError::BadUrl(url.to_owned()));
        }
        let shown = url.split('?').next().unwrap_or(url).to_owned();
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| HttpError::BadRequest(error.to_string()))?;
        let limit = self.limits.timeout;
        tokio::time::timeout(limit, self.exchange(request, &shown))
            .await
            .unwrap_or_else(|_| Err(HttpError::Slow { url: shown.clone(), limit }))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, url: &str) -> Result<Reply, HttpError> {
        let response = self
            .inner
            .request(request)
            .await
            .map_err(|error| HttpError::Unreachable { url: url.to_owned(), reason: with_causes(&error) })?;
        let (parts, body) = response.into_parts();
        let limit = self.limits.answer_bytes_max;
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                HttpError::TooLarge { url: url.to_owned(), limit }
            } else {
                HttpError::Unreachable { url: url.to_owned(), reason: error.to_string() }
            }
        })?;
        Ok(Reply { status: parts.status, headers: parts.headers, body: body.to_bytes(), url: url.to_owned() })
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new(ClientLimits::default(), None)
    }
}

/// Fields as `application/x-www-form-urlencoded`, also right for a query string.
pub fn form_text(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        let mut coded = String::with_capacity(text.len() + 8);
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                coded.push(char::from(byte));
            } else {
                coded.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    coded.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
        coded
    };
    fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}
