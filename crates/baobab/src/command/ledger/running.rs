//! `baobab ledger run`: a log as a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use axum::Router;
use ledger::{Ledger, LedgerConfig, Submitters, Tiles};
use prometheus_client::registry::Registry;
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trust::keys::SigningKey;
use trust::mldsa::MlDsaKey;
use web::{Failure, HealthCheck};

use crate::cli::print_line;
use crate::command::process::{Signals, Wish, block_on, clock, open_store, reload_logs, start_logs};
use crate::files::{make_private, secret_file};
use crate::settings::{KeptLogSettings, Loaded};
use crate::telemetry::LogOptions;

/// Runs the log until it is told to stop, or until it can acknowledge nothing more.
pub(super) fn run(config: &Path, log: &LogOptions) -> anyhow::Result<ExitCode> {
    block_on(async {
        let mut signals = Signals::listen()?;
        let loaded = Loaded::<KeptLogSettings>::read(config)?;
        let filter = start_logs(log, &loaded.settings.log)?;
        let (store, ledger) = tokio::select! {
            opened = open(&loaded) => opened?,
            () = signals.stop() => return Ok(ExitCode::SUCCESS),
        };
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let listener = bind("listen", &loaded.settings.listen).await?;
        let admin = bind("admin", &loaded.settings.admin).await?;
        print_line(&format!("The log {} listens on {}.", ledger.origin(), listener.local_addr()?));
        ledger.verifiers().iter().for_each(|key| print_line(&format!("vkey {key}")));
        let submitters = loaded.submitters()?;
        let routes = ledger::http::router(ledger.clone(), submitters.clone());
        tasks.spawn(serve(listener, routes, shutdown.clone()));
        tasks.spawn(serve(admin, operator(&store, &ledger), shutdown.clone()));
        let stopped = loop {
            tokio::select! {
                reason = ledger.stopped() => break Some(reason),
                wish = signals.next() => match wish {
                    Wish::Stop => break None,
                    Wish::Reload => reload(&loaded, &submitters, |fresh| reload_logs(&filter, log, &fresh.settings.log)),
                },
            }
        };
        shutdown.cancel();
        tasks.close();
        tasks.wait().await;
        if let Some(reason) = stopped {
            bail!("the log stopped: {reason}");
        }
        ledger.settle().await?;
        store.close().await;
        Ok(ExitCode::SUCCESS)
    })
}

async fn open(loaded: &Loaded<KeptLogSettings>) -> anyhow::Result<(Store, Ledger)> {
    let settings = &loaded.settings;
    if settings.origin.is_empty() {
        return Err(loaded.refused("origin", &"it is required: a name as in log.example/2027").into());
    }
    let (tiles, policy) = (loaded.tiles()?, loaded.policy()?);
    loaded.submitters()?;
    let keys = loaded.path_of(&settings.keys);
    make_private(&keys)?;
    let pem = secret_file(&keys.join("ledger.key.pem"), || Ok(SigningKey::generate_ed25519()?.to_pkcs8_pem()?))?;
    let key = SigningKey::from_pkcs8_pem(&pem).context("ledger.key.pem is damaged")?;
    let pem = secret_file(&keys.join("ledger-ml-dsa.key.pem"), || Ok(MlDsaKey::generate()?.to_pkcs8_pem()?))?;
    let post_quantum = MlDsaKey::from_pkcs8_pem(&pem).context("ledger-ml-dsa.key.pem is damaged")?;
    let store = open_store(loaded, &settings.store, &settings.store_key, true).await?;
    let config = LedgerConfig::new(store.clone(), key, &settings.origin, clock()).post_quantum(post_quantum);
    let config = match tiles {
        None => config,
        Some(Tiles::Folder(path)) => config.folder(path),
        Some(Tiles::Bucket(bucket)) => config.bucket(bucket),
    };
    let config = if let Some(policy) = policy { config.witnesses(policy) } else { config };
    Ok((store, Ledger::open_with(config).await?))
}

/// What an operator sees.
fn operator(store: &Store, ledger: &Ledger) -> Router {
    let mut registry = Registry::default();
    store.register_metrics(&mut registry);
    ledger.register_metrics(&mut registry);
    let (asked, followed) = (store.clone(), ledger.clone());
    let checks = vec![
        HealthCheck::new("store", move || {
            let store = asked.clone();
            async move { store.health().await.map_err(|error| Failure(error.to_string())) }
        }),
        HealthCheck::noting("quorum", move || {
            let missing = followed.has_quorum() == Some(false);
            async move { Ok(missing.then(|| "the last checkpoint has no quorum of witnesses yet".to_owned())) }
        }),
    ];
    web::health::router(checks, Arc::new(Mutex::new(registry)))
}

/// Who may append and how much is logged change while a log runs.
fn reload(
    before: &Loaded<KeptLogSettings>,
    submitters: &Submitters,
    logs: impl FnOnce(&Loaded<KeptLogSettings>) -> anyhow::Result<()>,
) {
    let outcome = Loaded::<KeptLogSettings>::read(&before.path).and_then(|fresh| {
        let allowed = fresh.submitters()?;
        logs(&fresh)?;
        submitters.replace(&allowed);
        Ok(())
    });
    match outcome {
        Ok(()) => {
            tracing::info!("who may append and the filter of log lines were read again; other keys take a restart");
        }
        Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
    }
}

async fn bind(key: &str, address: &str) -> anyhow::Result<TcpListener> {
    let parsed: SocketAddr = address
        .parse()
        .map_err(|_| crate::settings::Refused(format!("the key `{key}` must be IP:PORT, and is `{address}`")))?;
    TcpListener::bind(parsed).await.with_context(|| format!("{address} cannot be listened on: choose another `{key}`"))
}

async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    if let Err(error) = web::serve(listener, router, shutdown).await {
        tracing::error!(%error, "a listener ended");
    }
}
