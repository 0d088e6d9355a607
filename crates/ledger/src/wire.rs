//! HTTP as the clients of this crate need it: one address, limits on time and length.

use std::time::Duration;

use ::http::{Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// An answer is at most this long, in bytes (a bundle of 256 entries of 65,535 bytes fits).
const ANSWER_BYTES_MAX: usize = 17 * 1024 * 1024;
/// How long a peer may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// Connections to one `http://` address.
#[derive(Clone)]
pub(crate) struct Wire {
    url: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The address is no `http://` URL.
    Address,
    /// The connection failed, or the answer did not come in time or whole.
    Unreachable(String),
}

impl Wire {
    pub(crate) fn to(url: &str) -> Result<Self, WireError> {
        let url = url.trim_end_matches('/').to_owned();
        let parsed: Option<Uri> = url.parse().ok();
        if parsed.is_none_or(|uri| uri.scheme_str() != Some("http") || uri.host().is_none()) {
            return Err(WireError::Address);
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(30)).build(connector);
        Ok(Self { url, http })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request to a path below the address.
    pub(crate) async fn send(
        &self,
        request: ::http::request::Builder,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), WireError> {
        let request = request.uri(format!("{}{path}", self.url));
        let request = request.body(Full::from(body)).map_err(|_| WireError::Address)?;
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|error| WireError::Unreachable(error.to_string()))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| WireError::Unreachable(error.to_string()))?.to_bytes();
            Ok((status, body))
        };
        let outcome = tokio::time::timeout(ANSWER_TIME_MAX, exchange).await;
        outcome.unwrap_or_else(|_| Err(WireError::Unreachable("no answer in time".to_owned())))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), WireError> {
        self.send(Request::builder(), path, Vec::new()).await
    }
}
