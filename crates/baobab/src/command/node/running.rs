//! `baobab node run`: start, reload, drain.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bridge::config::NodeConfig;
use bridge::{InternalKeys, KeyPlaces, KeysError, Listeners, Node, NodeKeys, NodeParts, TokenKeys};
use ledger::monitor::Monitor;
use ledger::{LedgerClient, Submitter};
use store::Store;
use trust::note::VerifierKey;
use trust::note::policy::Policy;

use super::joining::fetch_certificates;
use crate::cli::print_line;
use crate::command::process::{Signals, Wish, block_on, clock, open_store, random, reload_logs, start_logs};
use crate::settings::{Loaded, NodeSettings};
use crate::telemetry::LogOptions;

/// How long a node waits between two looks for its approval.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Runs the node until it is told to stop.
pub(in crate::command) fn run(config: &Path, log: &LogOptions) -> anyhow::Result<ExitCode> {
    block_on(async {
        let mut signals = Signals::listen()?;
        let mut loaded = Loaded::<NodeSettings>::read(config)?;
        let filter = start_logs(log, &loaded.settings.log)?;
        let token = loaded.token()?;
        let node = tokio::select! {
            node = start(&loaded, token.as_ref()) => node?,
            () = signals.stop() => return Ok(ExitCode::SUCCESS),
        };
        let addresses = node.addresses();
        print_line(&format!(
            "The node {} listens: applications on {}, nodes on {}, its operator on {}.",
            loaded.settings.server, addresses.consumer, addresses.transport, addresses.admin
        ));
        while signals.next().await == Wish::Reload {
            match reload(&node, &loaded, token.as_ref()).await {
                Ok(fresh) => {
                    reload_logs(&filter, log, &fresh.settings.log).unwrap_or_else(|error| tracing::error!("{error:#}"));
                    loaded = fresh;
                    tracing::info!("configuration, keys and certificates were read again");
                }
                Err(error) => tracing::error!("everything stays as it was: {error:#}"),
            }
        }
        tracing::info!("stopping: exchanges under way end first");
        node.stop().await;
        node.message_log().store().close().await;
        Ok(ExitCode::SUCCESS)
    })
}

async fn start(loaded: &Loaded<NodeSettings>, token: Option<&TokenKeys>) -> anyhow::Result<Node> {
    let config = loaded.config()?;
    let addresses = loaded.addresses()?;
    // Sockets first: a port that is taken is known before the approval is.
    let listeners = Listeners::bind(&addresses).await?;
    let places = KeyPlaces::new(&loaded.path_of(&loaded.settings.keys), token.cloned());
    let keys = keys(loaded, &places).await?;
    let config = NodeConfig { internal: Some(internal(loaded)?), token: token.cloned(), ..config };
    if let Some(Err(reason)) = token.map(|keys| keys.token.check()) {
        tracing::warn!("the token does not serve now: {reason}");
    }
    let store = open_store(loaded, &loaded.settings.store, &loaded.settings.store_key, false).await?;
    let ledger = ledger(loaded, &keys)?;
    let monitor = Some(monitor(loaded, &store).await?);
    let witness = super::witnessing::parts(loaded, &store).await?;
    let parts = NodeParts { keys, store, ledger, monitor, witness, clock: clock(), random: random() };
    let node = Node::start(config, listeners, parts).await?;
    if let Err(reason) = node.ready().await {
        tracing::warn!("the node is not in traffic yet ({reason}); it goes on by itself");
    }
    Ok(node)
}

/// The keys with their certificates; without certificates the node waits for its approval.
async fn keys(loaded: &Loaded<NodeSettings>, places: &KeyPlaces) -> anyhow::Result<NodeKeys> {
    let mut told = false;
    loop {
        if let Some(keys) = usable(loaded, places.installed())? {
            return Ok(keys);
        }
        match fetch_certificates(loaded, places).await {
            Ok(true) => tracing::info!("the authority approved: the certificates are here"),
            Ok(false) => {
                if !told {
                    print_line("Waiting for the approval of the authority.");
                }
                told = true;
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(error) if told => {
                tracing::warn!("the authority cannot be asked now: {error:#}");
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn load(loaded: &Loaded<NodeSettings>, places: &KeyPlaces) -> anyhow::Result<NodeKeys> {
    usable(loaded, places.load())
}

/// Says of which folder the keys cannot be used.
pub(super) fn usable<T>(loaded: &Loaded<NodeSettings>, keys: Result<T, KeysError>) -> anyhow::Result<T> {
    let folder = loaded.path_of(&loaded.settings.keys);
    keys.with_context(|| format!("the keys in {} cannot be used", folder.display()))
}

/// The key and certificate of HTTPS with the organisation's own information systems.
fn internal(loaded: &Loaded<NodeSettings>) -> anyhow::Result<InternalKeys> {
    let folder = loaded.path_of(&loaded.settings.keys);
    let server = loaded.server()?;
    Ok(InternalKeys::open(&folder, server.code(), clock().now(), random().as_ref())?)
}

fn ledger(loaded: &Loaded<NodeSettings>, keys: &NodeKeys) -> anyhow::Result<Option<LedgerClient>> {
    let Some(settings) = &loaded.settings.ledger else { return Ok(None) };
    let key: VerifierKey = settings.key.parse().map_err(|error| loaded.refused("ledger.key", &error))?;
    let first = loaded.settings.client.first().map_or(&loaded.settings.server, |client| &client.id);
    let name = if settings.submitter.is_empty() { first } else { &settings.submitter };
    let submitter = Submitter::new(name.clone(), keys.sign.clone())?;
    let client = LedgerClient::new(&settings.url, key, Some(submitter), Arc::clone(&clock()))
        .map_err(|error| loaded.refused("ledger.url", &error))?;
    Ok(Some(client))
}

/// The monitor of the logs that the file of the node names, in the store of the node.
async fn monitor(loaded: &Loaded<NodeSettings>, store: &Store) -> anyhow::Result<Monitor> {
    let mut monitor = Monitor::open(store.clone(), clock()).await?;
    for (url, policy) in follow(loaded)? {
        monitor.follow(&url, policy).map_err(|error| loaded.refused("follow", &error))?;
    }
    Ok(monitor)
}

/// The logs that the file of the node names: where each is, and its policy.
pub(in crate::command) fn follow(loaded: &Loaded<NodeSettings>) -> anyhow::Result<Vec<(String, Policy)>> {
    let mut logs = Vec::new();
    for path in &loaded.settings.follow {
        let path = loaded.path_of(path);
        let refused =
            |reason: &dyn std::fmt::Display| loaded.refused("follow", &format!("{}: {reason}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| refused(&error))?;
        let policy: Policy = text.parse().map_err(|error| refused(&error))?;
        if policy.logs().is_empty() {
            return Err(refused(&"it names no log").into());
        }
        for (log, policy) in policy.by_log() {
            let url = log.url.as_deref().ok_or_else(|| refused(&"a log line has no address"))?;
            logs.push((url.to_owned(), policy));
        }
    }
    Ok(logs)
}

/// Reads everything again. What cannot change while the node runs is named; it takes a restart.
async fn reload(
    node: &Node,
    before: &Loaded<NodeSettings>,
    token: Option<&TokenKeys>,
) -> anyhow::Result<Loaded<NodeSettings>> {
    let loaded = Loaded::<NodeSettings>::read(&before.path)?;
    let config = loaded.config()?;
    if let Some(Err(reason)) = token.map(|keys| loaded.log_in_again(&keys.token)) {
        tracing::warn!("the token does not serve now: {reason:#}");
    }
    let places = KeyPlaces::new(&loaded.path_of(&loaded.settings.keys), token.cloned());
    let keys = load(&loaded, &places)?;
    let config = NodeConfig { internal: Some(internal(&loaded)?), ..config };
    node.reload(&config, keys).await?;
    let (old, new) = (&before.settings, &loaded.settings);
    for (key, changed) in [
        ("server", old.server != new.server),
        ("country", old.country != new.country),
        ("anchor", old.anchor != new.anchor),
        ("data", old.data != new.data),
        ("store", old.store != new.store),
        ("store_key", old.store_key != new.store_key),
        ("error_style", old.error_style != new.error_style),
        ("batch_signatures", old.batch_signatures != new.batch_signatures),
        ("hash_algorithm", old.hash_algorithm != new.hash_algorithm),
        ("legacy_tls", (old.legacy_tls, &old.legacy_tls_suites) != (new.legacy_tls, &new.legacy_tls_suites)),
        ("token", old.token != new.token),
        ("listen", old.listen != new.listen),
        ("consent", old.consent != new.consent),
        ("ledger", old.ledger != new.ledger),
        ("follow", old.follow != new.follow),
        ("witness", old.witness != new.witness),
        ("message_log", old.message_log != new.message_log),
        ("limits", old.limits != new.limits),
        ("rhythm", old.rhythm != new.rhythm),
    ] {
        if changed {
            tracing::warn!(key, "a changed key of the configuration takes a restart");
        }
    }
    Ok(loaded)
}
