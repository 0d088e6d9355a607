//! What every role that runs for long has: logs as its file says, its store, the signals of its operator.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use civic::{SharedClock, SharedRandom};
use store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trust::seal::KeyRing;

use crate::files::{make_private, secret_file};
use crate::settings::{Loaded, LogForm, LogSettings};
use crate::telemetry::{self, LogFilter, LogFormat, LogOptions};
use crate::{SystemClock, SystemRandom};

/// What the operator wants of a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// End in good order.
    Stop,
    /// Read the configuration again.
    Reload,
}

/// The signals of the operator: SIGTERM and SIGINT stop, SIGHUP reloads.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// A reload was asked for while the process was starting.
    reload_is_due: bool,
}

impl Signals {
    /// From now on the signals are ours: the first thing that a process does, so that none is lost and none ends it in the middle of something.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reload_is_due: false,
        })
    }

    /// The next wish; a reload that was asked for during the start comes first.
    pub(super) async fn next(&mut self) -> Wish {
        if std::mem::take(&mut self.reload_is_due) {
            return Wish::Reload;
        }
        self.sent().await
    }

    /// Resolves when the process is to stop before everything runs. A reload is remembered until then: what the start has read already may
    /// be what the operator changed.
    pub(super) async fn stop(&mut self) {
        while self.sent().await != Wish::Stop {
            self.reload_is_due = true;
        }
    }

    async fn sent(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}

/// The clock of the machine.
pub(super) fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// The randomness of the machine.
pub(super) fn random() -> SharedRandom {
    Arc::new(SystemRandom)
}

/// Runs to its end on a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Starts logging as the command line says, else as the file says.
pub(super) fn start_logs(options: &LogOptions, settings: &LogSettings) -> anyhow::Result<LogFilter> {
    let of_file = match settings.format {
        LogForm::Human => LogFormat::Human,
        LogForm::Json => LogFormat::Json,
    };
    telemetry::start(options.format.unwrap_or(of_file), options.filter.as_deref().unwrap_or(&settings.filter))
}

/// Logs for a command that ends by itself: only what went wrong.
pub(super) fn start_quiet_logs(options: &LogOptions) -> anyhow::Result<()> {
    telemetry::start(options.format.unwrap_or_default(), options.filter.as_deref().unwrap_or("error")).map(drop)
}

/// A changed filter of the file comes into force, unless the command line said one.
pub(super) fn reload_logs(filter: &LogFilter, options: &LogOptions, settings: &LogSettings) -> anyhow::Result<()> {
    if options.filter.is_some() { Ok(()) } else { filter.change(&settings.filter) }
}

/// Opens the store of a role. `create`: make the folder and the sealing key where they are missing.
pub(super) async fn open_store<T>(
    loaded: &Loaded<T>,
    store: &str,
    store_key: &Path,
    create: bool,
) -> anyhow::Result<Store> {
    let location = loaded.location(store)?;
    if let store::Location::Sqlite(path) = &location
        && let Some(folder) = path.parent()
    {
        make_private(folder)?;
    }
    let keys = key_ring(&loaded.path_of(store_key), create)?;
    let opened = Store::open(&location, keys, random()).await;
    opened.with_context(|| format!("the store {location} cannot be opened"))
}

/// The key that seals the store: a credential of systemd where there is one of this name, else the file.
pub(super) fn key_ring(path: &Path, create: bool) -> anyhow::Result<KeyRing> {
    let path = credential(path).unwrap_or_else(|| path.to_owned());
    if !create && !path.exists() {
        anyhow::bail!(
            "the store key {} is missing. Bring it back from your backup; a new store gets one by `init`",
            path.display()
        );
    }
    let text = secret_file(&path, || Ok(KeyRing::generate(&SystemRandom).to_text()))?;
    KeyRing::from_text(&text).with_context(|| format!("{} is no store key", path.display()))
}

/// The credential of systemd with the name of this file, where there is one.
pub(crate) fn credential(file: &Path) -> Option<PathBuf> {
    let credential = credentials().zip(file.file_name()).map(|(folder, name)| folder.join(name));
    credential.filter(|path| path.is_file())
}

/// The folder of systemd's credentials (`LoadCredential=`).
#[expect(clippy::disallowed_methods, reason = "the roof reads the environment")]
fn credentials() -> Option<PathBuf> {
    std::env::var("CREDENTIALS_DIRECTORY").ok().filter(|folder| !folder.is_empty()).map(PathBuf::from)
}
