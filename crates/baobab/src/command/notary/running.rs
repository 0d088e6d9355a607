//! The notary as a process of its own: its log, its pages, its orderly end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use ledger::{Ledger, LedgerClient, LedgerConfig, Submitter, Submitters};
use notary::{Notary, NotaryConfig};
use prometheus_client::registry::Registry;
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trust::keys::PublicKey;
use trust::note::policy::Policy;
use web::{Failure, HealthCheck, Text};

use super::keys::NotaryKeys;
use crate::cli::print_line;
use crate::command::process::{Signals, Wish, block_on, clock, open_store, random, reload_logs, start_logs};
use crate::settings::{BookSettings, Loaded, NotaryPlan, NotarySettings};
use crate::telemetry::LogOptions;

/// The name by which the notary appends to its own log.
const SUBMITTER: &str = "notary";

/// What runs.
struct Office {
    ledger: Ledger,
    submitters: Submitters,
    /// The notary's own key at its log.
    own: PublicKey,
    stores: [Store; 2],
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

/// The sockets, bound before anything is opened.
struct Sockets {
    pages: TcpListener,
    admin: TcpListener,
    book: TcpListener,
}

/// Runs the notary until it is told to stop, or its log can acknowledge nothing more.
pub(in crate::command) fn run(config: &Path, log: &LogOptions) -> anyhow::Result<ExitCode> {
    block_on(async {
        let mut signals = Signals::listen()?;
        let loaded = Loaded::<NotarySettings>::read(config)?;
        let filter = start_logs(log, &loaded.settings.log)?;
        let office = tokio::select! {
            office = Office::open(&loaded) => office?,
            () = signals.stop() => return Ok(ExitCode::SUCCESS),
        };
        let failed = loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Stop => break None,
                    Wish::Reload => reload(&loaded, |fresh, plan| {
                        office.submitters.replace(&allowed(&office.own, plan)?);
                        reload_logs(&filter, log, &fresh.settings.log)
                    }),
                },
                // After a failed write nothing more is acknowledged, so nothing is gained by going on.
                reason = office.ledger.stopped() => break Some(reason),
            }
        };
        tracing::info!("stopping: requests under way end first");
        office.close().await;
        match failed {
            None => Ok(ExitCode::SUCCESS),
            Some(reason) => {
                Err(anyhow::anyhow!("the log of the notary stopped: {reason}. Mend the disk, then start again"))
            }
        }
    })
}

/// Log lines and who may append to the book change while it runs; everything else takes a restart.
fn reload(
    before: &Loaded<NotarySettings>,
    take_over: impl FnOnce(&Loaded<NotarySettings>, &NotaryPlan) -> anyhow::Result<()>,
) {
    let outcome = Loaded::<NotarySettings>::read(&before.path).and_then(|fresh| {
        let plan = fresh.plan()?;
        let (old, new) = (&before.settings, fresh.settings.clone());
        let book = BookSettings { submitter: old.book.submitter.clone(), ..new.book };
        let same = NotarySettings { log: old.log.clone(), book, ..new } == *old;
        if !same {
            tracing::warn!("changed keys other than those of [log] and [[book.submitter]] take a restart");
        }
        take_over(&fresh, &plan)
    });
    outcome.unwrap_or_else(|error| tracing::error!("everything stays as it was: {error:#}"));
}

impl Sockets {
    async fn bind(plan: &NotaryPlan) -> anyhow::Result<Self> {
        let bind = async |key: &str, address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| {
                format!(
                    "{address} cannot be listened on. Choose another port for `{key}`, or end the program that has it"
                )
            })
        };
        Ok(Self {
            pages: bind("listen", plan.listen).await?,
            admin: bind("admin", plan.admin).await?,
            book: bind("book.listen", plan.book).await?,
        })
    }
}

impl Office {
    async fn open(loaded: &Loaded<NotarySettings>) -> anyhow::Result<Self> {
        let (plan, settings) = (loaded.plan()?, &loaded.settings);
        let sockets = Sockets::bind(&plan).await?;
        let keys = NotaryKeys::open(loaded, false)?;
        let store = open_store(loaded, &settings.store, &settings.store_key, false).await?;
        let book = open_store(loaded, &settings.book.store, &settings.store_key, false).await?;
        let ledger = open_book(loaded, &keys, book.clone(), plan.policy.as_ref()).await?;
        let submitters = allowed(keys.submitter.public(), &plan)?;
        let url = reached_from_here(sockets.book.local_addr()?);
        let own = Submitter::new(SUBMITTER, keys.submitter.clone())?;
        let client = LedgerClient::new(&url, ledger.verifier(), Some(own), clock())?;
        let config = NotaryConfig {
            organisation: Text::name(&settings.organisation),
            public_url: settings.public_url.trim_end_matches('/').to_owned(),
            key: keys.promises.clone(),
            policy: plan.policy.unwrap_or_else(|| Policy::log_only(ledger.verifier())),
            tokens: plan.tokens,
        };
        let notary = Notary::open(store.clone(), client, config, clock(), random()).await?;
        let own = keys.submitter.public().clone();
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let office = Self { ledger, submitters, own, stores: [store, book], shutdown, tasks };
        office.serve(sockets, notary)?;
        print_line(&format!(
            "The notary of {} listens on {}, its log {} on {}, its operator on {}.",
            settings.organisation, plan.listen, settings.book.origin, plan.book, plan.admin
        ));
        Ok(office)
    }

    fn serve(&self, sockets: Sockets, notary: Notary) -> anyhow::Result<()> {
        let room = notary.room()?;
        for job in room.jobs {
            self.tasks.spawn(job.run_until(self.shutdown.clone()));
        }
        let mut health = room.health;
        health.push(self.book_health());
        let mut registry = Registry::default();
        self.ledger.register_metrics(&mut registry);
        let [store, _] = &self.stores;
        store.register_metrics(&mut registry);
        let admin = web::health::router(health, Arc::new(std::sync::Mutex::new(registry)));
        self.listen(sockets.book, ledger::http::router(self.ledger.clone(), self.submitters.clone()));
        self.listen(sockets.pages, room.router);
        self.listen(sockets.admin, admin);
        Ok(())
    }

    /// Notes a log whose last checkpoint lacks its quorum.
    fn book_health(&self) -> HealthCheck {
        let (ledger, stores) = (self.ledger.clone(), self.stores.clone());
        HealthCheck::noting("log", move || {
            let (ledger, stores) = (ledger.clone(), stores.clone());
            async move {
                for store in &stores {
                    store.health().await.map_err(Failure::from)?;
                }
                Ok((ledger.has_quorum() == Some(false))
                    .then(|| "quorum not reached for the last checkpoint".to_owned()))
            }
        })
    }

    fn listen(&self, listener: TcpListener, router: Router) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            if let Err(error) = web::serve(listener, router, shutdown).await {
                tracing::error!(%error, "a listener ended");
            }
        });
    }

    async fn close(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        for store in &self.stores {
            store.close().await;
        }
    }
}

/// Who may append to the book: the notary with this key, and those that the file names.
fn allowed(own: &PublicKey, plan: &NotaryPlan) -> anyhow::Result<Submitters> {
    let submitters = Submitters::new();
    submitters.allow(SUBMITTER, own)?;
    for (name, key) in &plan.submitters {
        submitters.allow(name, key)?;
    }
    Ok(submitters)
}

async fn open_book(
    loaded: &Loaded<NotarySettings>,
    keys: &NotaryKeys,
    store: Store,
    policy: Option<&Policy>,
) -> anyhow::Result<Ledger> {
    let book = &loaded.settings.book;
    let mut config = LedgerConfig::new(store, keys.log.clone(), book.origin.as_str(), clock())
        .post_quantum(keys.log_post_quantum()?);
    if let Some(folder) = &book.folder {
        config = config.folder(loaded.path_of(folder));
    }
    if let Some(policy) = policy {
        let own = keys.verifier(&book.origin)?;
        if !policy.logs().iter().any(|log| log.key.same_key(&own)) {
            let reason = format!("its log line must have the key of this log: {own}");
            return Err(loaded.refused("book.policy", &reason).into());
        }
        config = config.witnesses(policy.clone());
    }
    Ok(Ledger::open_with(config).await?)
}

/// The address of a listener for this very process.
fn reached_from_here(address: SocketAddr) -> String {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}
