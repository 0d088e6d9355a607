//! Connections to the nodes of providers: mutual TLS, kept alive, trusted anew before each use.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use web::with_causes;

use super::send::Load;
use crate::core::Core;
use crate::fault::{Fault, Reason, Side};
use crate::globalconf::Target;
use crate::spool::Flow;
use crate::tls::{Peer, Transport};
use crate::transport;

/// A connection that idled longer than this is not used again: the peer may be closing it.
const IDLE: Duration = Duration::from_secs(15);
/// A connection that idled no longer than this is as good as a new one.
const FRESH: Duration = Duration::from_secs(1);
/// After a failed connect a node is passed over for this long, where there is another; twice as long after each further failure.
const AVOIDED: Duration = Duration::from_secs(5);
/// But no longer than this.
const AVOIDED_MAX: Duration = Duration::from_mins(5);
/// Idle connections to all nodes together.
const IDLE_ALL_MAX: usize = 1_024;

/// The pool of one node.
pub(crate) struct Pool {
    transport: Transport,
    idle_max: usize,
    connect_timeout: Duration,
    idle: Mutex<HashMap<Target, Vec<Idle>>>,
    failed: Mutex<HashMap<Target, Failures>>,
    /// Nodes that said that they take messages digested as [`transport::ACCEPTED_HASH`].
    accepting: RwLock<HashSet<Target>>,
    /// Raised when the node gets another certificate.
    generation: AtomicU64,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// Connects that failed one after the other.
#[derive(Clone, Copy)]
struct Failures {
    last: Instant,
    count: u32,
}

/// One connection to one peer.
struct Link {
    sender: SendRequest<Flow>,
    peer: Arc<Peer>,
    target: Target,
    used: bool,
    generation: u64,
}

/// An answer that is being received; the connection goes back to the pool once it is read.
pub(crate) struct PeerResponse {
    response: Response<Incoming>,
    link: Link,
    pool: Arc<Pool>,
}

impl Pool {
    pub(crate) fn new(transport: Transport, connect_timeout: Duration, idle_max: usize) -> Arc<Self> {
        Arc::new(Self {
            transport,
            idle_max,
            connect_timeout,
            idle: Mutex::default(),
            failed: Mutex::default(),
            accepting: RwLock::default(),
            generation: AtomicU64::new(0),
        })
    }

    /// Sends a message to the first of the targets that answers.
    pub(crate) async fn send(
        self: &Arc<Self>,
        core: &Core,
        targets: &[Target],
        headers: HeaderMap,
        mut load: Load,
    ) -> Result<PeerResponse, Unanswered> {
        loop {
            let mut link = match self.kept(core, targets, load.idle_max()) {
                Some(link) => link,
                None => self.connect(core, targets).await?,
            };
            if let Err(error) = link.sender.ready().await {
                if link.used {
                    continue;
                }
                return Err(broken(&link.target, &with_causes(&error)).into());
            }
            let mut request = Request::post("/").body(load.flow()).map_err(internal)?;
            request.headers_mut().clone_from(&headers);
            if let Ok(host) = link.target.authority().parse() {
                request.headers_mut().insert(http::header::HOST, host);
            }
            let mut failed = match link.sender.try_send_request(request).await {
                Ok(response) => {
                    let answer = PeerResponse { response, link, pool: Arc::clone(self) };
                    self.note_accepted(&answer);
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            let unsent = failed.take_message().map(Request::into_body);
            let error = failed.into_error();
            // The peer closed a kept connection while we took it: try the next. What was sent goes to nobody else, unless it changes
            // nothing: the peer may have carried it out, and another node of the provider, or one of X-Road, knows nothing of that.
            let again = link.used && !error.is_parse() && !error.is_user();
            match load.take_back(unsent) {
                Back::Unsent | Back::Harmless if again => {}
                Back::Unsent | Back::Harmless => return Err(broken(&link.target, &with_causes(&error)).into()),
                Back::Gone => return Err(Unanswered::Cut(cut(&link.target, &with_causes(&error)))),
            }
        }
    }

    /// Whether all of these nodes said that they take messages digested as [`transport::ACCEPTED_HASH`].
    pub(crate) fn accept_our_hash(&self, targets: &[Target]) -> bool {
        let accepting = self.accepting.read().unwrap_or_else(PoisonError::into_inner);
        targets.iter().all(|target| accepting.contains(target))
    }

    /// What a node takes is heard anew with each of its answers: another program may stand there since.
    fn note_accepted(&self, answer: &PeerResponse) {
        let target = &answer.link.target;
        let accepts = transport::accepts_our_hash(answer.header(transport::ACCEPTED_HASH_ALGORITHM));
        if accepts == self.accepting.read().unwrap_or_else(PoisonError::into_inner).contains(target) {
            return;
        }
        let mut accepting = self.accepting.write().unwrap_or_else(PoisonError::into_inner);
        if accepts {
            accepting.insert(target.clone());
        } else {
            accepting.remove(target);
        }
    }

    /// Lets no connection of before be used again: they speak with a certificate that was replaced.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn kept(&self, core: &Core, targets: &[Target], idle_max: Duration) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        for target in targets {
            let Some(links) = idle.get_mut(target) else { continue };
            while let Some(Idle { link, since }) = links.pop() {
                if since.elapsed() < idle_max && !link.sender.is_closed() && core.trusts(&link.peer) {
                    return Some(link);
                }
            }
        }
        None
    }

    fn keep(&self, mut link: Link) {
        if link.generation != self.generation.load(Ordering::SeqCst) {
            return;
        }
        link.used = true;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |kept: &Idle| !kept.link.sender.is_closed() && kept.since.elapsed() < IDLE;
        let all: usize = idle.values().map(Vec::len).sum();
        if all >= IDLE_ALL_MAX {
            idle.retain(|_, links| {
                links.retain(is_good);
                !links.is_empty()
            });
        }
        let links = idle.entry(link.target.clone()).or_default();
        links.retain(is_good);
        if links.len() < self.idle_max && all < IDLE_ALL_MAX {
            links.push(Idle { link, since: Instant::now() });
        }
    }

    /// Connects to all targets at once and keeps the fastest (PR-MESSTRANSP §2); to those that failed of late where all others fail.
    async fn connect(&self, core: &Core, targets: &[Target]) -> Result<Link, Fault> {
        let (avoided, alive): (Vec<&Target>, Vec<&Target>) = targets.iter().partition(|target| self.is_avoided(target));
        let mut last = None;
        for chosen in [alive, avoided] {
            let mut attempts: FuturesUnordered<_> = chosen.into_iter().map(|target| self.open(core, target)).collect();
            while let Some(outcome) = attempts.next().await {
                match outcome {
                    Ok(link) => return Ok(link),
                    Err(fault) => last = Some(fault),
                }
            }
        }
        Err(last.unwrap_or_else(|| Fault::new(Side::ClientProxy, Reason::UnknownMember, "the provider has no node")))
    }

    async fn open(&self, core: &Core, target: &Target) -> Result<Link, Fault> {
        let opened = tokio::time::timeout(self.connect_timeout, self.open_unlimited(core, target)).await;
        let outcome = opened.unwrap_or_else(|_| Err(broken(target, "it did not answer in time")));
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(link) => {
                failed.remove(target);
                Ok(link)
            }
            Err(fault) => {
                let count = failed.get(target).map_or(0, |failures| failures.count).saturating_add(1);
                failed.insert(target.clone(), Failures { last: Instant::now(), count });
                Err(fault)
            }
        }
    }

    async fn open_unlimited(&self, core: &Core, target: &Target) -> Result<Link, Fault> {
        let generation = self.generation.load(Ordering::SeqCst);
        let socket = TcpStream::connect((target.host.as_str(), target.port))
            .await
            .map_err(|error| broken(target, &error.to_string()))?;
        let _ = socket.set_nodelay(true);
        let (stream, shown) = self.transport.connect(socket).await.map_err(|reason| untrusted(target, &reason))?;
        let peer = core.peer_of(&shown).map_err(|reason| untrusted(target, &reason))?;
        if peer.server != target.server {
            return Err(untrusted(target, &format!("it is the node {}", peer.server)));
        }
        core.ensure_ocsp(&peer, target).await.map_err(|reason| untrusted(target, &reason))?;
        let (sender, connection) = http1::Builder::new()
            .max_headers(crate::message::HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(target, &with_causes(&error)))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = with_causes(&error), "a connection to a node ended early");
            }
        });
        Ok(Link { sender, peer: Arc::new(peer), target: target.clone(), used: false, generation })
    }

    fn is_avoided(&self, target: &Target) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(target).is_some_and(|failures| failures.last.elapsed() < failures.pause())
    }
}

impl Failures {
    fn pause(&self) -> Duration {
        AVOIDED.saturating_mul(1 << self.count.saturating_sub(1).min(16)).min(AVOIDED_MAX)
    }
}

impl PeerResponse {
    pub(crate) fn content_type(&self) -> &str {
        let value = self.response.headers().get(http::header::CONTENT_TYPE);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The body, to be read to its end.
    pub(crate) fn body(&mut self) -> &mut Incoming {
        self.response.body_mut()
    }

    /// The body was read to its end: the connection may be used again.
    pub(crate) fn done(self) {
        self.pool.keep(self.link);
    }

    /// The fault of a connection that broke within the answer.
    pub(crate) fn cut(&self, reason: &str) -> Fault {
        cut(&self.link.target, reason)
    }
}

impl Load {
    /// How long a connection may have idled that is to carry this: what cannot be sent twice takes no chances.
    const fn idle_max(&self) -> Duration {
        match self {
            Self::Whole(_) => IDLE,
            Self::Once(_) => FRESH,
        }
    }

    fn flow(&mut self) -> Flow {
        match self {
            Self::Whole(bytes) => Flow::from(bytes.clone()),
            Self::Once(flow) => flow.take().unwrap_or_else(|| Flow::from(Bytes::new())),
        }
    }

    /// After a connection broke: whether this can be sent again. `unsent` is what the connection gave back.
    fn take_back(&mut self, unsent: Option<Flow>) -> Back {
        match self {
            Self::Whole(_) => Back::Harmless,
            Self::Once(flow) => {
                *flow = unsent;
                if flow.is_some() { Back::Unsent } else { Back::Gone }
            }
        }
    }
}

/// What is known of a message whose connection broke.
enum Back {
    /// Nothing of it was sent.
    Unsent,
    /// It may have arrived, and may arrive again.
    Harmless,
    /// It may have arrived, and must not arrive again.
    Gone,
}

fn broken(target: &Target, reason: &str) -> Fault {
    let message =
        format!("the node {} at {} cannot be reached ({reason}). Try again later", target.server, target.authority());
    Fault::new(Side::ClientProxy, Reason::NetworkError, message)
}

/// The connection broke after a request was given to it.
fn cut(target: &Target, reason: &str) -> Fault {
    let message = format!(
        "the node {} at {} closed the connection before it answered ({reason})",
        target.server,
        target.authority()
    );
    Fault::new(Side::ClientProxy, Reason::NetworkError, message)
}

/// Why no answer came.
pub(crate) enum Unanswered {
    /// The request was not sent, or may be sent again; the fault says what to do.
    Failed(Fault),
    /// The connection broke after the request was given to it. What to do depends on the request.
    Cut(Fault),
}

impl From<Fault> for Unanswered {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

fn untrusted(target: &Target, reason: &str) -> Fault {
    let message = format!(
        "the node {} at {} is not trusted ({reason}). Nothing was sent; its certificate and registration are to be looked at",
        target.server,
        target.authority()
    );
    Fault::new(Side::ClientProxy, Reason::SslAuthenticationFailed, message)
}

fn internal(error: impl std::fmt::Display) -> Fault {
    Fault::new(Side::ClientProxy, Reason::InternalError, format!("{error}. Look into the log of the node"))
}
