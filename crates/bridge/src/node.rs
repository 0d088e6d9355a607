//! A node from start to stop: listeners and jobs.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use civic::{ClientId, SharedClock, SharedRandom};
use ledger::monitor::Monitor;
use ledger::{LedgerClient, LedgerError, Outbox};
use prometheus_client::registry::Registry as MetricRegistry;
use store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trust::archive::After;
use trust::keys::SigningKey;
use trust::xml::{self, Document};
use web::{Failure, HealthCheck};

use crate::api::{self, RateLimiter};
use crate::authorisation::Authoriser;
use crate::config::{Addresses, NodeConfig};
use crate::consumer::{self, Pool};
use crate::core::{Core, token_key};
use crate::detached::detached;
use crate::fault::{Fault, Reason, Side, fault};
use crate::globalconf::{ConfigurationError, GlobalConf};
use crate::keys::NodeKeys;
use crate::listener::{plain, serve};
use crate::messagelog::{
    self, ArchiveFailure, ArchiveRun, Archiver, Committer, LogError, MessageLog, Restored, Stamper,
};
use crate::metrics::{self, Metrics};
use crate::ocsp::{OwnOcsp, Trusted};
use crate::operations::{self, Caller, MonitoringAnswer, MonitoringRequest, Operations, ServiceHealth};
use crate::outbound::Outbound;
use crate::registry::{self, Registry, RegistryError};
use crate::signing::Signatures;
use crate::spool::{Spool, SpoolError};
use crate::tls::{Peer, Stream, TlsIdentity, Transport};
use crate::watch::{self, Watch};
use crate::witness::{self, WitnessParts, Witnessing};
use crate::{console, management, ocsp, provider, reload};

/// How often sessions of the console that ended are taken out.
const SESSIONS: Duration = Duration::from_hours(1);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{address} cannot be listened on: {error}. Choose another port, or end the program that has it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The anchor or the folder of the configuration cannot be used.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The message log cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The registry cannot be opened, or the configuration declares what cannot be.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The folder for bodies on their way cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// What is seen of the logs cannot be kept.
    #[error(transparent)]
    Logs(#[from] LedgerError),
    /// The keys do not serve.
    #[error("the keys of the node cannot be used: {0}")]
    Keys(String),
}

/// The sockets of a node, bound before it starts: a federation can name their ports before anyone speaks.
pub struct Listeners {
    consumer: TcpListener,
    consumer_https: Option<TcpListener>,
    transport: TcpListener,
    ocsp: TcpListener,
    admin: TcpListener,
}

/// What a node is given.
pub struct NodeParts {
    /// Its keys and certificates.
    pub keys: NodeKeys,
    /// Where it keeps its message log.
    pub store: Store,
    /// The ledger that its commitments go to, where there is one. The node appends with the signing key that it works with.
    pub ledger: Option<LedgerClient>,
    /// The monitor of the logs that the node follows whatever the global configuration names, best kept in the node's own store;
    /// without it the node follows those of the configuration alone.
    pub monitor: Option<Monitor>,
    /// What it needs to witness the logs of others, where it does.
    pub witness: Option<WitnessParts>,
    /// The present.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
}

/// A running node. It stops when it is told to; dropping it stops it too, without waiting.
pub struct Node {
    pub(crate) core: Arc<Core>,
    addresses: Addresses,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Listeners {
    /// Binds the four sockets. Port 0 lets the system choose.
    pub async fn bind(addresses: &Addresses) -> Result<Self, StartError> {
        Ok(Self {
            consumer: bind(addresses.consumer).await?,
            consumer_https: match addresses.consumer_https {
                Some(address) => Some(bind(address).await?),
                None => None,
            },
            transport: bind(addresses.transport).await?,
            ocsp: bind(addresses.ocsp).await?,
            admin: bind(addresses.admin).await?,
        })
    }

    /// The addresses that were bound.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            consumer: self.consumer.local_addr()?,
            consumer_https: self.consumer_https.as_ref().map(TcpListener::local_addr).transpose()?,
            transport: self.transport.local_addr()?,
            ocsp: self.ocsp.local_addr()?,
            admin: self.admin.local_addr()?,
        })
    }
}

impl Node {
    /// Starts a node. It serves at once; until it has a global configuration and fresh OCSP responses it refuses exchanges and
    /// says so. [`Node::ready`] waits for them.
    pub async fn start(config: NodeConfig, listeners: Listeners, parts: NodeParts) -> Result<Self, StartError> {
        let addresses = listeners
            .addresses()
            .map_err(|error| StartError::Listen { address: SocketAddr::from(([0, 0, 0, 0], 0)), error })?;
        let mut parts = parts;
        let witness = parts.witness.take();
        let (core, transport) = build(config, parts, witness.as_ref(), addresses.transport.ip()).await?;
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let node = Self { core, addresses, shutdown, tasks };
        node.serve(listeners, transport)?;
        node.start_jobs();
        if let Some(WitnessParts { witness, listener, .. }) = witness {
            node.serve_router("witness", listener, witness.router());
        }
        Ok(node)
    }

    /// Where the node listens.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The message log, for questions about what was exchanged.
    pub fn message_log(&self) -> &MessageLog {
        &self.core.log
    }

    /// Bytes of bodies on their way that wait on the disk now.
    pub fn spooled_bytes(&self) -> u64 {
        self.core.spool.used_bytes()
    }

    /// What the node offers and to whom.
    pub fn registry(&self) -> &Registry {
        &self.core.registry
    }

    /// Fetches configuration and OCSP responses now, and tells why that fails.
    pub async fn ready(&self) -> Result<(), String> {
        self.core.conf.refresh().await.map_err(|error| error.to_string())?;
        let snapshot = self.core.conf.current().ok_or("there is no global configuration")?;
        reload::renew_responses(&self.core, &snapshot).await
    }

    /// Stamps what waits for a time stamp; answers how many records were stamped.
    pub async fn stamp_now(&self) -> Result<u64, String> {
        messagelog::stamp(&self.core).await.map_err(|error| error.to_string())
    }

    /// Archives what is stamped, and deletes what is archived and older than the retention time.
    pub async fn archive_now(&self) -> Result<ArchiveRun, ArchiveFailure> {
        messagelog::archive(&self.core).await
    }

    /// Brings the records of an archive of this node back into its log; see [`MessageLog::restore`].
    pub async fn restore_archive(&self, name: &str, zip: &[u8], after: After<'_>) -> Result<Restored, ArchiveFailure> {
        let offer = self.core.registry.current();
        self.core.log.restore(name, zip, after, |client| offer.clients.contains_key(client)).await
    }

    /// Looks at each log that it follows now: those that it was given, and those of the present global configuration.
    pub async fn look_at_logs(&self) -> Result<(), String> {
        self.core.look_at_logs().await
    }

    /// Commits what waits to the ledger; answers how many leaves were added.
    pub async fn commit_now(&self) -> Result<u64, String> {
        let Some(ledger) = &self.core.ledger else { return Ok(0) };
        let added = messagelog::commit(&self.core, ledger).await.map_err(|error| error.to_string())?;
        self.core.metrics.leaves.inc_by(added);
        Ok(added)
    }

    /// Brings the commitments of administrative acts to the ledger; answers how many it took.
    pub async fn commit_acts_now(&self) -> Result<u64, String> {
        send_acts(&self.core).await
    }

    /// Writes the operational data that wait in memory; answers how many records were written.
    pub async fn write_operational_data(&self) -> Result<u64, String> {
        operations::write(&self.core).await.map_err(|error| error.to_string())
    }

    /// The health of the services behind this node, as operational monitoring tells it.
    pub fn service_health(&self) -> Vec<ServiceHealth> {
        self.core.operations.health(self.core.clock.now())
    }

    /// Answers a monitoring service (`getSecurityServerOperationalData`, `…HealthData`, `…Metrics`) as this client would get it; `body`
    /// is the element of the SOAP body.
    pub async fn monitoring(&self, client: &ClientId, body: &str) -> Result<MonitoringAnswer, Fault> {
        let malformed = fault(Side::Client, Reason::InvalidRequest, "Send the body as op-monitoring.xsd says");
        let document = Document::parse(body.as_bytes(), &xml::Limits::SMALL).map_err(malformed)?;
        let request = MonitoringRequest::read(document.root())?;
        let caller = Caller { client: client.clone(), server: Some(self.core.config.server.clone()) };
        request.answer(&self.core, &caller).await
    }

    /// Adds the metrics of the node and of its store to a registry; the admin listener serves its own.
    pub fn register_metrics(&self, registry: &mut MetricRegistry) {
        self.core.metrics.register(registry);
        self.core.watch.register_metrics(registry);
        self.core.log.store().register_metrics(registry);
        registry.register(metrics::SPOOL.name, metrics::SPOOL.help, self.core.spool.gauge());
    }

    /// Stops: no new connection, open exchanges end, jobs end.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.core.log.leave().await {
            tracing::warn!(%error, "the other replicas will notice within a minute that this one is gone");
        }
        if let Err(error) = operations::write(&self.core).await {
            tracing::warn!(node = %self.core.config.server, %error, "the last operational data are lost");
        }
    }

    fn serve(&self, listeners: Listeners, transport: Transport) -> Result<(), StartError> {
        let limits = self.core.config.limits;
        let core = Arc::clone(&self.core);
        let handle = move |(): (), request| detached(consumer::handle(Arc::clone(&core), request));
        self.tasks.spawn(serve(listeners.consumer, limits, self.shutdown.clone(), plain, handle));
        self.serve_https(listeners.consumer_https)?;

        let core = Arc::clone(&self.core);
        let connect = move |socket| accept(Arc::clone(&core), transport.clone(), socket);
        let core = Arc::clone(&self.core);
        let handle = move |peer: Arc<Peer>, request| detached(provider::handle(Arc::clone(&core), peer, request));
        self.tasks.spawn(serve(listeners.transport, limits, self.shutdown.clone(), connect, handle));

        let core = Arc::clone(&self.core);
        let handle = move |(): (), request| std::future::ready(ocsp::handle(&core, &request));
        self.tasks.spawn(serve(listeners.ocsp, limits, self.shutdown.clone(), plain, handle));

        let mut registry = MetricRegistry::default();
        self.register_metrics(&mut registry);
        let router = web::health::router(self.health(), Arc::new(Mutex::new(registry)));
        let router = router.merge(api::router(&self.core));
        let router = match console::mount(&self.core, self.health(), &format!("http://{}", self.addresses.admin)) {
            Ok(pages) => router.merge(pages),
            Err(error) => {
                tracing::error!(%error, "the console is left out");
                router
            }
        };
        self.serve_router("admin", listeners.admin, router);
        Ok(())
    }

    fn serve_router(&self, name: &'static str, listener: TcpListener, router: axum::Router) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            if let Err(error) = web::serve(listener, router, shutdown).await {
                tracing::error!(listener = name, %error, "a listener ended");
            }
        });
    }

    fn health(&self) -> Vec<HealthCheck> {
        let conf = Arc::clone(&self.core);
        let keys = Arc::clone(&self.core);
        let log = Arc::clone(&self.core);
        let mut checks = vec![
            HealthCheck::new("global configuration", move || {
                let core = Arc::clone(&conf);
                async move {
                    let valid = core.configuration(crate::fault::Side::ClientProxy);
                    valid.map(|_| ()).map_err(|fault| Failure(fault.message().to_owned()))
                }
            }),
            HealthCheck::new("OCSP responses", move || {
                let core = Arc::clone(&keys);
                async move {
                    let fresh = core.own_ocsp.signing().and_then(|_| core.own_ocsp.authentication());
                    fresh.map(|_| ()).map_err(|error| Failure(error.to_string()))
                }
            }),
            HealthCheck::new("message log", move || {
                let core = Arc::clone(&log);
                async move { core.log.store().health().await.map_err(|error| Failure(error.to_string())) }
            }),
            messagelog::stamping_health(Arc::clone(&self.core)),
            watch::health(Arc::clone(&self.core)),
        ];
        checks.extend(witness::health(Arc::clone(&self.core)));
        if let Some(keys) = self.core.config.token.clone() {
            checks.push(HealthCheck::new("token", move || {
                let token = keys.token.clone();
                async move { token.check().map_err(|error| Failure(error.to_string())) }
            }));
        }
        checks
    }

    fn start_jobs(&self) {
        let rhythm = self.core.config.rhythm;
        self.job("global configuration", rhythm.configuration, |core| async move {
            let outcome = core.conf.refresh_own().await.map_err(|error| error.to_string());
            if let Some(snapshot) = core.conf.current() {
                let (now, end) = (core.clock.now().micros(), snapshot.expires().micros());
                core.metrics.configuration_seconds.set((end - now) / 1_000_000);
                // A witness signs from the kept configuration on, also while no OCSP responder answers.
                let heard = core.hear_of_logs(&snapshot);
                // The first configuration brings the first OCSP responses; a later one mends what an outage left stale.
                if core.own_ocsp.signing().is_err() {
                    reload::renew_responses(&core, &snapshot).await?;
                }
                heard?;
                management::settle(&core).await?;
            }
            outcome
        });
        self.job("federated configurations", Duration::ZERO, |core| async move {
            core.conf.own_renewed().await;
            core.conf.refresh_federated().await;
            Ok(())
        });
        self.job("OCSP responses", rhythm.ocsp, |core| async move {
            // Without a configuration the job above says so, and fetches the responses once it has one.
            let Some(snapshot) = core.conf.current() else { return Ok(()) };
            reload::renew_responses(&core, &snapshot).await
        });
        self.job("registry", registry::RHYTHM, |core| async move {
            if core.registry.refresh().await.map_err(|error| error.to_string())? {
                // Another replica may have activated a certificate.
                reload::take_over(&core).await?;
            }
            Ok(())
        });
        self.job("sessions of the console", SESSIONS, |core| async move { console::purge(&core).await });
        self.job("time stamps", rhythm.stamping, |core| async move {
            messagelog::stamp(&core).await.map(|_| ()).map_err(|error| error.to_string())
        });
        self.job("archives", rhythm.archiving, |core| async move {
            messagelog::archive(&core).await.map(|_| ()).map_err(|error| error.to_string())
        });
        self.job("replica", messagelog::BEAT, |core| async move {
            core.log.beat().await.map_err(|error| error.to_string())
        });
        let settings = self.core.operations.settings().clone();
        self.job("operational data", settings.write_every, |core| async move {
            operations::write(&core).await.map(|_| ()).map_err(|error| error.to_string())
        });
        self.job("state of the machine", settings.measure_every, |core| async move {
            core.operations.measure(core.clock.now());
            operations::refresh_gauges(&core);
            operations::delete_old(&core).await.map(|_| ()).map_err(|error| error.to_string())
        });
        self.job("logs", Duration::ZERO, |core| async move {
            let outcome = core.look_at_logs().await;
            core.watch.pause().await;
            outcome
        });
        if self.core.ledger.is_some() {
            self.job("ledger commitments", rhythm.commitment, |core| async move {
                let Some(ledger) = &core.ledger else { return Ok(()) };
                let added = messagelog::commit(&core, ledger).await.map_err(|error| error.to_string())?;
                core.metrics.leaves.inc_by(added);
                send_acts(&core).await.map(drop)
            });
        }
    }

    /// Runs a job in its rhythm, after a failure sooner. The first failure in a row is told, and the recovery.
    fn job<F, R>(&self, name: &'static str, every: Duration, run: F)
    where
        F: Fn(Arc<Core>) -> R + Send + 'static,
        R: Future<Output = Result<(), String>> + Send,
    {
        let (core, shutdown) = (Arc::clone(&self.core), self.shutdown.clone());
        self.tasks.spawn(async move {
            let mut failing = false;
            loop {
                let outcome = tokio::select! {
                    () = shutdown.cancelled() => return,
                    outcome = run(Arc::clone(&core)) => outcome,
                };
                let pause = match outcome {
                    Ok(()) => {
                        if failing {
                            tracing::info!(node = %core.config.server, job = name, "it works again");
                        }
                        failing = false;
                        every
                    }
                    Err(reason) => {
                        if !failing {
                            tracing::warn!(node = %core.config.server, job = name, reason, "it failed; it is tried again");
                        }
                        failing = true;
                        pause_after_failure(every)
                    }
                };
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }
}

/// How long a job that runs in this rhythm waits after a failure.
pub(crate) fn pause_after_failure(every: Duration) -> Duration {
    every.min(Duration::from_secs(5))
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn build(
    config: NodeConfig,
    parts: NodeParts,
    witness: Option<&WitnessParts>,
    address: IpAddr,
) -> Result<(Arc<Core>, Transport), StartError> {
    let NodeParts { keys, store, ledger, monitor, witness: _, clock, random } = parts;
    let internal = config.internal.as_ref().map(|keys| TlsIdentity::of(&keys.key, &keys.certificate)).transpose();
    let internal = internal.map_err(|error| StartError::Keys(error.to_string()))?.map(Arc::new);
    let outbound = Outbound::new(config.limits.connect_timeout, internal.as_ref());
    let outbound = outbound.map_err(|error| StartError::Keys(error.to_string()))?;
    let folder = config.state_dir.join("globalconf");
    let conf = GlobalConf::open(&config.anchor, folder, Arc::clone(&clock), outbound.clone())?;
    let conf = Arc::new(conf);
    let unusable = |error: String| StartError::Keys(error);
    let log = MessageLog::open_with(store, Arc::clone(&clock), Arc::clone(&random), config.log.clone()).await?;
    let watch = Watch::new(match monitor {
        Some(monitor) => monitor,
        None => Monitor::open(log.store().clone(), Arc::clone(&clock)).await?,
    });
    let files = keys;
    let owner = config.server.owner();
    let keys = api::keys_in_force(log.store(), files.clone(), config.token.as_ref(), owner).await;
    let keys = keys.map_err(unusable)?.own;
    let tls = Arc::new(TlsIdentity::new(&keys).map_err(|error| unusable(error.to_string()))?);
    let transport = Transport::new(&tls, &conf, &clock, &config).map_err(|error| unusable(error.to_string()))?;
    let authoriser = config.consent.clone().map(Authoriser::new);
    if let Some(ledger) = &ledger {
        append_with(ledger, token_key(&keys, &files));
    }
    let acts = acts_to(ledger.as_ref(), &log).await?;
    let core = Core {
        registry: Registry::open(log.store().clone(), Arc::clone(&clock), Arc::clone(&random), &config).await?,
        own_ocsp: OwnOcsp::new(config.server.owner(), &keys, Arc::clone(&clock)).map_err(unusable)?,
        taking_over: tokio::sync::Mutex::default(),
        tls,
        keys: RwLock::new(keys.clone()),
        files: RwLock::new(files),
        declared: RwLock::new(Arc::new(config.clone())),
        api_calls: RateLimiter::default(),
        internal,
        trusted: Trusted::default(),
        stamper: Stamper::new(clock.now()),
        committer: Committer::default(),
        archiver: Archiver::new(&config),
        pool: Pool::new(transport.clone(), config.limits.connect_timeout, config.limits.idle_connections_max),
        spool: Spool::open(&config.state_dir.join("spool"), config.limits.spool_bytes_max, Arc::clone(&random))?,
        signatures: Signatures::default(),
        metrics: Metrics::new(),
        operations: Operations::new(config.operations.clone(), clock.now(), address),
        config,
        clock,
        random,
        conf,
        log,
        outbound,
        authoriser,
        ledger,
        acts,
        watch,
        witness: witness.map(Witnessing::of),
    };
    let core = Arc::new(core);
    let weak = Arc::downgrade(&core);
    core.log.decide_modes(move |client| Some(weak.upgrade()?.registry.current().clients.get(client)?.log_mode));
    crate::reload::connect(&core.registry, &core.config).await?;
    let outbound = core.outbound.clone();
    core.registry.follow(move |offer| outbound.believe_lists_of(offer));
    Ok((core, transport))
}

/// The outbox of administrative acts, where there is a ledger.
async fn acts_to(ledger: Option<&LedgerClient>, log: &MessageLog) -> Result<Option<Outbox>, LogError> {
    let Some(ledger) = ledger else { return Ok(None) };
    Ok(Some(Outbox::open(log.store().clone(), ledger.clone()).await?))
}

/// The commitments are signed with this key from now on. A kind of key that the ledger does not take leaves the one before in use.
pub(crate) fn append_with(ledger: &LedgerClient, key: SigningKey) {
    if let Err(error) = ledger.sign_with(key) {
        tracing::warn!(%error, "commitments to the ledger are signed with the key before");
    }
}

async fn send_acts(core: &Core) -> Result<u64, String> {
    let Some(acts) = &core.acts else { return Ok(0) };
    acts.send().await.map_err(|error| error.to_string())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen { address, error })
}

/// The handshake of a calling node.
async fn accept(core: Arc<Core>, transport: Transport, socket: TcpStream) -> io::Result<(Stream, Arc<Peer>)> {
    let (stream, shown) = transport.accept(socket).await.map_err(io::Error::other)?;
    let peer = core.peer_of(&shown).map_err(io::Error::other)?;
    Ok((stream, Arc::new(peer)))
}
