//! The logs that this node follows, those of its files and those that the global configuration names: each new checkpoint must continue all that was seen before. Where one does not, the two
//! signed checkpoints are kept as evidence, and health and console raise the alarm until a person has dealt with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use civic::Timestamp;
use ledger::LedgerError;
use ledger::monitor::{Monitor, Sighting};
use ledger::witness::Conflict;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use trust::globalconf::FederationLog;
use trust::note::policy::Policy;
use web::{Failure, HealthCheck};

use crate::core::Core;

/// The pause between two looks at the logs.
const RHYTHM: Duration = Duration::from_secs(5);
/// A checkpoint is young for this long: its witnesses may still be signing.
const QUORUM_TIME_MAX: Duration = Duration::from_mins(1);

/// The monitor of a node, with what it saw last.
pub(crate) struct Watch {
    monitor: Monitor,
    named: Mutex<Named>,
    seen: Mutex<BTreeMap<String, LogSeen>>,
    /// The configuration names other logs, or another quorum.
    news: Notify,
}

/// What the global configuration named last.
#[derive(Default)]
struct Named {
    logs: Vec<FederationLog>,
    /// Why some of them cannot be followed.
    refused: Vec<String>,
}

/// What was last seen of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSeen {
    /// How many entries the last checkpoint that continues the others covers.
    pub(crate) size: Option<u64>,
    /// When that checkpoint was seen.
    pub(crate) at: Option<Timestamp>,
    /// Whether it had its quorum.
    pub(crate) quorum: bool,
    /// The witnesses that cosigned it, by the names of the policy.
    pub(crate) cosigned: Vec<String>,
    /// Since when every checkpoint seen lacked its quorum.
    lonely_since: Option<Timestamp>,
    /// Why nothing can be said of the log now.
    pub(crate) unclear: Option<String>,
}

impl Watch {
    /// The logs of this monitor stay followed; the configuration may name others.
    pub(crate) fn new(monitor: Monitor) -> Self {
        Self { monitor, named: Mutex::default(), seen: Mutex::default(), news: Notify::new() }
    }

    /// Looks at every log once: those of the monitor, and those that the configuration names now.
    pub(crate) async fn round(&self, named: &[FederationLog], now: Timestamp) -> Result<(), String> {
        self.take_over(named);
        let sightings = self.monitor.round().await.map_err(|error| error.to_string())?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|origin, _| sightings.iter().any(|(followed, _)| followed == origin));
        for (origin, sighting) in sightings {
            seen.entry(origin).or_default().take(sighting, now);
        }
        Ok(())
    }

    /// Wakes the job up where the configuration names other logs, or another quorum, than those that are followed.
    pub(crate) fn hear(&self, logs: &[FederationLog]) {
        if self.named.lock().unwrap_or_else(PoisonError::into_inner).logs != logs {
            self.news.notify_one();
        }
    }

    /// The pause between two looks; news end it.
    pub(crate) async fn pause(&self) {
        drop(tokio::time::timeout(RHYTHM, self.news.notified()).await);
    }

    fn take_over(&self, logs: &[FederationLog]) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.logs == logs {
            return;
        }
        let all: Vec<(&str, &Policy)> = logs.iter().map(|log| (log.url(), log.policy())).collect();
        *named = Named { refused: self.monitor.follow_named(&all), logs: logs.to_vec() };
        tracing::info!(logs = logs.len(), "the logs that the global configuration names are followed");
    }

    /// Why some of the logs that the configuration names cannot be followed.
    fn refused(&self) -> Vec<String> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// What was last seen of each log, by its origin.
    pub(crate) fn seen(&self) -> BTreeMap<String, LogSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The logs that showed two histories, with the evidence.
    pub(crate) async fn conflicts(&self) -> Result<Vec<Conflict>, LedgerError> {
        self.monitor.conflicts().await
    }

    /// What an operator should know of the logs, short of an alarm.
    fn notes(&self, core: &Core) -> Vec<String> {
        let now = core.clock.now();
        let refused = core.conf.current().and_then(|snapshot| snapshot.logs_refused().map(str::to_owned));
        let mut notes: Vec<String> = refused
            .map(|reason| {
                format!("the list of logs of the global configuration is refused, the last good one stays: {reason}")
            })
            .into_iter()
            .chain(self.refused())
            .collect();
        notes.extend(self.seen().iter().filter_map(|(origin, seen)| match &seen.unclear {
            Some(reason) => Some(format!("{origin} is not seen: {reason}")),
            None => seen.lonely(now).then(|| format!("{origin}: quorum not reached ({})", seen.cosigners())),
        }));
        notes
    }

    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        self.monitor.register_metrics(registry);
    }
}

impl LogSeen {
    fn take(&mut self, sighting: Sighting, now: Timestamp) {
        match sighting {
            Sighting::Continued(verdict) => {
                (self.size, self.at, self.unclear) = (Some(verdict.checkpoint.size), Some(now), None);
                // An empty log has nothing that a witness could vouch for.
                self.cosigned = verdict.cosigned.into_iter().map(|(name, _)| name).collect();
                self.quorum = verdict.quorum || verdict.checkpoint.size == 0;
                self.lonely_since = if self.quorum { None } else { self.lonely_since.or(Some(now)) };
            }
            // The evidence is in the store; health asks there.
            Sighting::Conflict(_) => {}
            Sighting::Unclear(reason) => self.unclear = Some(reason),
        }
    }

    /// Who cosigned the last checkpoint, for people.
    fn cosigners(&self) -> String {
        if self.cosigned.is_empty() {
            "no witness of its policy cosigned its last checkpoint".to_owned()
        } else {
            format!("only {} cosigned its last checkpoint", self.cosigned.join(", "))
        }
    }

    /// Whether the witnesses have been silent for longer than they may be.
    pub(crate) fn lonely(&self, now: Timestamp) -> bool {
        self.lonely_since.is_some_and(|since| since.plus(QUORUM_TIME_MAX) < now)
    }
}

/// Fails where a log showed two histories; notes logs that do not answer or lack their quorum.
pub(crate) fn health(core: Arc<Core>) -> HealthCheck {
    HealthCheck::noting("logs", move || {
        let core = Arc::clone(&core);
        async move {
            if let Some(conflict) = core.watch.conflicts().await?.first() {
                let origin = &conflict.origin;
                return Err(Failure(format!(
                    "ALARM: the log {origin} showed two histories. Stop relying on it, and hand the two signed checkpoints \
                     of the console's page of logs to those who do"
                )));
            }
            let notes = core.watch.notes(&core);
            Ok((!notes.is_empty()).then(|| notes.join("; ")))
        }
    })
}
