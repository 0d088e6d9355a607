//! The transparency logs that the node follows, and the evidence against those that showed two histories.

use askama::Template;
use axum::extract::State;
use civic::Timestamp;
use ledger::witness::Conflict;
use web::{Page, Problem, Visit};

use super::{At, Operator, Section};

#[derive(Template)]
#[template(path = "console/logs.html")]
struct Logs<'a> {
    v: &'a Visit,
    followed: Vec<Followed>,
    /// Why the list of the global configuration is an older one.
    refused: Option<String>,
    conflicts: Vec<Conflict>,
}

/// One log as the page shows it.
struct Followed {
    origin: String,
    size: i64,
    at: Option<Timestamp>,
    state: Standing,
    reason: String,
    cosigned: String,
}

/// How a log stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Forked,
    Unseen,
    NoQuorum,
    Good,
}

impl Standing {
    const fn key(self) -> &'static str {
        match self {
            Self::Forked => "console-log-forked",
            Self::Unseen => "console-log-unseen",
            Self::NoQuorum => "console-log-no-quorum",
            Self::Good => "console-log-good",
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Forked => "bad",
            Self::Unseen | Self::NoQuorum => "wait",
            Self::Good => "",
        }
    }
}

/// `/console/logs`
pub(super) async fn logs(State(console): At, operator: Operator) -> Result<Page, Problem> {
    let core = &console.core;
    let conflicts = core.watch.conflicts().await.map_err(Problem::unavailable)?;
    let followed = core.watch.seen().into_iter().map(|(origin, seen)| {
        let state = if conflicts.iter().any(|conflict| conflict.origin == origin) {
            Standing::Forked
        } else if seen.unclear.is_some() {
            Standing::Unseen
        } else if seen.quorum {
            Standing::Good
        } else {
            Standing::NoQuorum
        };
        let size = i64::try_from(seen.size.unwrap_or_default()).unwrap_or(i64::MAX);
        let (reason, cosigned) = (seen.unclear.unwrap_or_default(), seen.cosigned.join(", "));
        Followed { origin, size, at: seen.at, state, reason, cosigned }
    });
    let refused = core.conf.current().and_then(|snapshot| snapshot.logs_refused().map(str::to_owned));
    let v = &operator.visit;
    let body = Logs { v, followed: followed.collect(), refused, conflicts };
    operator.page(Section::Logs, &v.t("console-logs-title"), &body)
}
