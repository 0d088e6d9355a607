//! The node as a witness of the logs of others (C2SP tlog-witness): it cosigns a checkpoint that continues the last one it cosigned, on
//! a listener of its own. What it cosigned lies in the node's store: an older state of it put in place could have two histories cosigned,
//! which is why a quorum asks several organisations.

use std::sync::Arc;

use ledger::witness::Witness;
use tokio::net::TcpListener;
use trust::globalconf::FederationLog;
use trust::note::VerifierKey;
use web::HealthCheck;

use crate::core::Core;

/// What a node needs to witness logs.
#[derive(Debug)]
pub struct WitnessParts {
    /// The witness with its keys, best kept in the node's own store.
    pub witness: Witness,
    /// Where logs reach it.
    pub listener: TcpListener,
    /// Whose checkpoints it cosigns.
    pub logs: Witnessed,
}

/// Which logs a node witnesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witnessed {
    /// Those that the witness was told to follow.
    Given,
    /// Those that the global configuration names now.
    OfConfiguration,
}

/// The witness of a running node.
pub(crate) struct Witnessing {
    witness: Witness,
    logs: Witnessed,
}

impl Witnessing {
    pub(crate) fn of(parts: &WitnessParts) -> Self {
        Self { witness: parts.witness.clone(), logs: parts.logs }
    }

    /// Witnesses what the configuration names now, where it is to.
    pub(crate) fn take_over(&self, named: &[FederationLog]) -> Result<(), String> {
        if self.logs == Witnessed::Given {
            return Ok(());
        }
        let keys = |log: &FederationLog| -> Vec<VerifierKey> {
            log.policy().logs().iter().map(|log| log.key.clone()).collect()
        };
        self.witness.follow_only(named.iter().map(keys).collect()).map_err(|error| error.to_string())
    }
}

/// Tells what it witnesses. Where a log showed two histories to it, the check of the logs raises the alarm.
pub(crate) fn health(core: Arc<Core>) -> Option<HealthCheck> {
    core.witness.as_ref()?;
    Some(HealthCheck::noting("witness", move || {
        let logs = core.witness.as_ref().map(|witnessing| witnessing.witness.followed()).unwrap_or_default();
        async move {
            let nothing = "it witnesses no log: neither the global configuration nor the node's file names one";
            let told = if logs.is_empty() { nothing.to_owned() } else { format!("it witnesses {}", logs.join(", ")) };
            Ok(Some(told))
        }
    }))
}
