//! The logs that this node follows: each new checkpoint must continue all that was seen before. Where one does not, the two
//! signed checkpoints are kept as evidence, and health and console raise the alarm until a person has dealt with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use civic::Timestamp;
use ledger::LedgerError;
use ledger::monitor::{Monitor, Sighting};
use ledger::witness::Conflict;
use prometheus_client::registry::Registry;
use web::{Failure, HealthCheck};

use crate::core::Core;

/// The pause between two looks at the logs.
pub(crate) const RHYTHM: Duration = Duration::from_secs(5);
/// A checkpoint is young for this long: its witnesses may still be signing.
const QUORUM_TIME_MAX: Duration = Duration::from_mins(1);

/// The monitor of a node, with what it saw last.
pub(crate) struct Watch {
    monitor: Option<Monitor>,
    seen: Mutex<BTreeMap<String, LogSeen>>,
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
    /// Since when every checkpoint seen lacked its quorum.
    lonely_since: Option<Timestamp>,
    /// Why nothing can be said of the log now.
    pub(crate) unclear: Option<String>,
}

impl Watch {
    pub(crate) fn new(monitor: Option<Monitor>) -> Self {
        Self { monitor, seen: Mutex::default() }
    }

    /// Looks at every log once.
    pub(crate) async fn round(&self, now: Timestamp) -> Result<(), String> {
        let Some(monitor) = &self.monitor else { return Ok(()) };
        let sightings = monitor.round().await.map_err(|error| error.to_string())?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (origin, sighting) in sightings {
            seen.entry(origin).or_default().take(sighting, now);
        }
        Ok(())
    }

    /// What was last seen of each log, by its origin.
    pub(crate) fn seen(&self) -> BTreeMap<String, LogSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The logs that showed two histories, with the evidence.
    pub(crate) async fn conflicts(&self) -> Result<Vec<Conflict>, LedgerError> {
        match &self.monitor {
            Some(monitor) => monitor.conflicts().await,
            None => Ok(Vec::new()),
        }
    }

    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        if let Some(monitor) = &self.monitor {
            monitor.register_metrics(registry);
        }
    }
}

impl LogSeen {
    fn take(&mut self, sighting: Sighting, now: Timestamp) {
        match sighting {
            Sighting::Continued(verdict) => {
                (self.size, self.at, self.unclear) = (Some(verdict.checkpoint.size), Some(now), None);
                // An empty log has nothing that a witness could vouch for.
                self.quorum = verdict.quorum || verdict.checkpoint.size == 0;
                self.lonely_since = if self.quorum { None } else { self.lonely_since.or(Some(now)) };
            }
            // The evidence is in the store; health asks there.
            Sighting::Conflict(_) => {}
            Sighting::Unclear(reason) => self.unclear = Some(reason),
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
            let now = core.clock.now();
            let notes: Vec<String> = core
                .watch
                .seen()
                .iter()
                .filter_map(|(origin, seen)| match &seen.unclear {
                    Some(reason) => Some(format!("{origin} is not seen: {reason}")),
                    None => seen.lonely(now).then(|| format!("{origin} lacks the quorum of its witnesses")),
                })
                .collect();
            Ok((!notes.is_empty()).then(|| notes.join("; ")))
        }
    })
}
