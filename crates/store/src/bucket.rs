//! Objects in a bucket of an S3 server, for what is derived and may be read by everyone: the tiles of a log.
//!
//! One [`Bucket`] hides the client. An `Ok` from [`Bucket::put`] means that the server answered for the object. A server
//! that is away is asked again, by one request at a time, until [`BucketConfig::away_max`] has passed; then the caller
//! hears of it. That is right here and wrong for a disk: a `PUT` that failed may be repeated, a sync that failed may not.
//!
//! # Whom we trust
//! Nobody: whoever holds the bucket can alter what is in it, so whoever reads from it verifies. The secret key never
//! travels (requests are signed, AWS Signature Version 4), and appears in no error and no log line. The link may be plain
//! HTTP: nothing in such a bucket is a secret. Over https ([`Bucket::over`]) it is the caller's connector that judges
//! the server, and this module knows no TLS.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector as Tcp};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, RetryConfig};
use tokio::sync::Mutex;

/// One request takes at most this long.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// A connection is made within this time, or not.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// The first pause before a server that is away is asked again; each later one is twice as long,
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// up to this long.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Who reads waits at most about so long for a server that is away.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
/// An object is at most this long, in bytes.
const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A folder has at most this many objects.
const NAMES_MAX: usize = 10_000;

/// Where a bucket is, and who asks.
#[derive(Clone)]
pub struct BucketConfig {
    /// The address of the server: `http://10.1.2.3:9000`, or https.
    pub endpoint: String,
    /// The bucket, which exists.
    pub bucket: String,
    /// The region that the server wants to be named; most take any.
    pub region: String,
    /// What stands before each name, without a slash at its ends; may be empty.
    pub prefix: String,
    /// The access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// How long a server that is away is asked again before a writer hears of it; a reader hears of it after 5 s.
    pub away_max: Duration,
}

impl fmt::Debug for BucketConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.endpoint, self.bucket, self.prefix)
    }
}

/// Why a bucket does not do what is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// The configuration names no bucket that could be asked.
    #[error("the bucket is refused ({reason}): write its address, its name and both keys")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// The server did not answer, or not with success, for as long as it may be away.
    #[error("the object store {place} did not take or give `{object}` ({reason}): bring it back, then start again")]
    Away {
        /// Which bucket.
        place: String,
        /// Which object.
        object: String,
        /// What the last answer was.
        reason: String,
    },
    /// The server refuses these keys, or has no such bucket: asking again is of no use.
    #[error(
        "the object store {place} refuses `{object}` ({reason}): check the bucket's name, its keys and their rights"
    )]
    Refused {
        /// Which bucket.
        place: String,
        /// Which object.
        object: String,
        /// What it answered.
        reason: String,
    },
}

/// A handle on a bucket. Clones share its connections.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {
    client: AmazonS3,
    config: BucketConfig,
    /// Held by the one request that asks whether the server is back; when such a one last had an answer.
    away: Mutex<Option<Instant>>,
}

impl Bucket {
    /// The bucket of this configuration at an http address. Nothing is asked yet.
    pub fn new(config: BucketConfig) -> Result<Self, BucketError> {
        let mut tcp = Tcp::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIME_MAX));
        Self::at("http://", config, tcp)
    }

    /// The bucket of this configuration at an https address. The connector speaks TLS, and refuses a server that is not who
    /// the address names.
    pub fn over<C>(config: BucketConfig, connector: C) -> Result<Self, BucketError>
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        Self::at("https://", config, connector)
    }

    fn at<C>(scheme: &str, config: BucketConfig, connector: C) -> Result<Self, BucketError>
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let refuse = |reason: &str| BucketError::Config { reason: reason.to_owned() };
        if !config.endpoint.starts_with(scheme) {
            return Err(refuse(&format!("its address does not begin with {scheme}")));
        }
        if config.bucket.is_empty() || config.access_key.is_empty() || config.secret_key.is_empty() {
            return Err(refuse("its name or one of its keys is empty"));
        }
        let client = AmazonS3Builder::new()
            .with_endpoint(&config.endpoint)
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.access_key)
            .with_secret_access_key(&config.secret_key)
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true)
            .with_http_connector(Connector(connector))
            // Asking again is done here, by one request at a time.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .map_err(|error| refuse(&error.to_string()))?;
        Ok(Self { inner: Arc::new(Inner { client, config, away: Mutex::new(None) }) })
    }

    /// Writes an object, or replaces it.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BucketError> {
        let request = |inner: Arc<Inner>, path: Path| {
            let bytes = bytes.clone();
            async move { inner.client.put(&path, bytes.into()).await.map(drop) }
        };
        self.ask(name, self.inner.config.away_max, request).await
    }

    /// The content of an object, where there is one.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, BucketError> {
        let request = |inner: Arc<Inner>, path: Path| async move {
            let found = match inner.client.get(&path).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                found => found?,
            };
            found.bytes().await.map(Some)
        };
        self.ask(name, self.reading(), request).await
    }

    /// The last parts of the names of the objects in a folder.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, BucketError> {
        let request = |inner: Arc<Inner>, path: Path| async move {
            let mut names = Vec::new();
            let mut found = inner.client.list(Some(&path));
            while let Some(object) = found.next().await {
                if let Some(name) = object?.location.filename().filter(|_| names.len() < NAMES_MAX) {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        };
        self.ask(folder, self.reading(), request).await
    }

    /// Takes away an object, where there is one.
    pub async fn delete(&self, name: &str) -> Result<(), BucketError> {
        let request = |inner: Arc<Inner>, path: Path| async move {
            match inner.client.delete(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                done => done,
            }
        };
        self.ask(name, self.inner.config.away_max, request).await
    }

    /// A reader is told sooner.
    fn reading(&self) -> Duration {
        self.inner.config.away_max.min(READ_TIME_MAX)
    }

    /// Asks until there is an answer. While the server is away, one request at a time asks whether it is back.
    async fn ask<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        name: &str,
        away_max: Duration,
        request: impl Fn(Arc<Inner>, Path) -> F,
    ) -> Result<T, BucketError> {
        let config = &self.inner.config;
        let path = Path::from(format!("{}/{name}", config.prefix));
        let mut reason = match self.once(name, request(Arc::clone(&self.inner), path.clone()).await) {
            Err(BucketError::Away { reason, .. }) => reason,
            outcome => return outcome,
        };
        tracing::warn!(bucket = ?config, object = name, reason, "the object store is away; asking again");
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let left = away_max.saturating_sub(begun.elapsed());
            let Ok(mut answered) = tokio::time::timeout(left, self.inner.away.lock()).await else {
                return Err(BucketError::Away { place: format!("{config:?}"), object: name.to_owned(), reason });
            };
            // Where another one had an answer meanwhile, the server is back and nobody pauses any more.
            if answered.is_none_or(|at| at < begun) {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            let outcome = self.once(name, request(Arc::clone(&self.inner), path.clone()).await);
            match outcome {
                Err(BucketError::Away { reason: last, .. }) if begun.elapsed() < away_max => {
                    *answered = None;
                    reason = last;
                }
                Err(BucketError::Away { .. }) => return outcome,
                outcome => {
                    *answered = Some(Instant::now());
                    return outcome;
                }
            }
        }
    }

    fn once<T>(&self, name: &str, outcome: object_store::Result<T>) -> Result<T, BucketError> {
        use object_store::Error;
        outcome.map_err(|error| {
            let (place, object) = (format!("{:?}", self.inner.config), name.to_owned());
            // The text of the client may hold the whole request; the secret key is in none.
            let reason: String = error.to_string().chars().take(400).collect();
            match error {
                Error::NotFound { .. }
                | Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. }
                | Error::InvalidPath { .. } => BucketError::Refused { place, object, reason },
                _ => BucketError::Away { place, object, reason },
            }
        })
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bucket({:?})", self.inner.config)
    }
}

/// Makes the connections of the S3 client from what the house has already.
struct Connector<C>(C);

impl<C> fmt::Debug for Connector<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

impl<C: Connect + Clone + Send + Sync + 'static> HttpConnector for Connector<C> {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(TokioTimer::new())
            .build(self.0.clone());
        Ok(HttpClient::new(Bounded { client }))
    }
}

/// HTTP/1.1 with a limit of time.
struct Bounded<C> {
    client: Client<C, HttpRequestBody>,
}

impl<C> fmt::Debug for Bounded<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Bounded")
    }
}

#[async_trait]
impl<C: Connect + Clone + Send + Sync + 'static> HttpService for Bounded<C> {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = async {
            let answer = self.client.request(request).await.map_err(|error| {
                let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
                // Why a server is not believed stands at the end of what caused what.
                HttpError::new(kind, std::io::Error::other(causes(&error)))
            })?;
            // Whole, so that the limit of time covers it; nothing here is long.
            let (head, body) = answer.into_parts();
            let body = http_body_util::Limited::new(body, OBJECT_BYTES_MAX as usize).collect().await;
            let body = body.map_err(|error| HttpError::new_boxed(HttpErrorKind::Interrupted, error))?;
            let body = http_body_util::Full::new(body.to_bytes()).map_err(|never| match never {});
            Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
        };
        match tokio::time::timeout(REQUEST_TIME_MAX, answer).await {
            Ok(answer) => answer,
            Err(late) => Err(HttpError::new(HttpErrorKind::Timeout, late)),
        }
    }
}

/// The error with all that caused it.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
