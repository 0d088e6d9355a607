//! What is healthy, what expires soon, what waits; and who changed what.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use civic::Timestamp;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use ledger::outbox::OutboxError;
use web::{Page, Problem, Visit};

use super::{At, NoticeView, Operator, Section};
use crate::registry::{ActError, AuditEntry};

/// A certificate or configuration that ends sooner than this is shown as urgent, in seconds.
const SOON: i64 = 30 * 24 * 3_600;
const ROWS: u32 = 200;

#[derive(Template)]
#[template(path = "console/overview.html")]
struct Overview<'a> {
    v: &'a Visit,
    notice: Option<NoticeView>,
    checks: Vec<Check>,
    ends: Vec<End>,
    /// Certificates in use that somebody must renew soon.
    soon: Vec<String>,
    lead: String,
    version: &'static str,
}

/// One health check.
struct Check {
    name: String,
    /// What is wrong and what to do; `None` where it is well.
    failure: Option<String>,
}

/// Something that ends.
pub(super) struct End {
    name: String,
    what: String,
    pub(super) at: Timestamp,
    pub(super) left: Left,
}

/// How long something still holds.
pub(super) enum Left {
    Days(i64),
    Hours(i64),
    Over,
}

impl End {
    /// Whether somebody should do something about it now.
    pub(super) const fn is_soon(&self) -> bool {
        match self.left {
            Left::Over | Left::Hours(_) => true,
            Left::Days(days) => days * 24 * 3_600 < SOON,
        }
    }

    pub(super) const fn class(&self) -> &'static str {
        match self.left {
            Left::Over => "bad",
            Left::Hours(_) => "wait",
            Left::Days(days) if days * 24 * 3_600 < SOON => "wait",
            Left::Days(_) => "",
        }
    }
}

#[derive(Template)]
#[template(path = "console/changes.html")]
struct Changes<'a> {
    v: &'a Visit,
    entries: Vec<AuditEntry>,
}

/// `/console`
pub(super) async fn overview(State(console): At, mut operator: Operator) -> Result<Page, Problem> {
    let notice = operator.notice().await?;
    let v = &operator.visit;
    let mut checks = Vec::new();
    for check in console.health.iter() {
        let failure = check.ask().await.err().map(|failure| failure.0);
        let key = format!("console-check-{}", check.name.to_lowercase().replace(' ', "-"));
        checks.push(Check { name: v.t_or(&key, check.name), failure });
    }
    let offer = console.core.registry.current();
    let services = offer.services().filter(|service| service.enabled).count();
    let clients = offer.clients.len();
    let body = Overview {
        v,
        notice,
        checks,
        ends: ends(&console, v),
        soon: soon(&console, v),
        lead: v.t_with("console-overview-lead", &[("services", services.into()), ("clients", clients.into())]),
        version: env!("CARGO_PKG_VERSION"),
    };
    operator.page(Section::Overview, &v.t("console-overview-title"), &body)
}

/// `/console/changes`: the audit, newest first.
pub(super) async fn changes(State(console): At, operator: Operator) -> Result<Page, Problem> {
    let entries = console.core.registry.audit_entries(ROWS).await.map_err(super::refused)?;
    let v = &operator.visit;
    operator.page(Section::Changes, &v.t("console-changes-title"), &Changes { v, entries })
}

/// `/console/changes/{id}/proof.tlog-proof`: the proof of one line, which needs nothing beside it.
pub(super) async fn proof(State(console): At, _operator: Operator, Path(id): Path<i64>) -> Result<Response, Problem> {
    let Some(acts) = &console.core.acts else { return Err(Problem::not_found()) };
    let proof = console.core.registry.proof(acts, id).await.map_err(|error| match error {
        ActError::Outbox(OutboxError::Unknown) => Problem::not_found(),
        ActError::Outbox(OutboxError::Waiting) => {
            Problem::unavailable(error).header(RETRY_AFTER, HeaderValue::from_static("2"))
        }
        ActError::Outbox(error @ (OutboxError::Altered | OutboxError::Erased)) => Problem::conflict(error.to_string()),
        error => Problem::unavailable(error),
    })?;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"change-{id}.tlog-proof\"")),
    ];
    Ok((headers, proof).into_response())
}

/// What the node does not renew by itself and that ends soon.
fn soon(console: &super::Console, v: &Visit) -> Vec<String> {
    let now = console.core.clock.now();
    let mut soon = Vec::new();
    for (key, certificate, _) in console.core.own_ocsp.certificates() {
        let end = end(v.t(&format!("console-end-{key}")), String::new(), certificate.not_after(), now);
        if end.is_soon() {
            let left = match end.left {
                Left::Over => v.t("console-ends-over"),
                Left::Hours(hours) => v.t1("console-ends-hours", "hours", hours),
                Left::Days(days) => v.t1("console-ends-days", "days", days),
            };
            soon.push(v.t_with("console-soon", &[("what", end.name.as_str().into()), ("left", left.as_str().into())]));
        }
    }
    soon
}

fn ends(console: &super::Console, v: &Visit) -> Vec<End> {
    let core = &console.core;
    let now = core.clock.now();
    let mut ends = Vec::new();
    for (key, certificate, response_until) in core.own_ocsp.certificates() {
        let what = certificate.subject().to_string();
        ends.push(end(v.t(&format!("console-end-{key}")), what.clone(), certificate.not_after(), now));
        if let Some(until) = response_until {
            ends.push(end(v.t(&format!("console-end-{key}-ocsp")), what, until, now));
        }
    }
    if let Some(snapshot) = core.conf.current() {
        let instance = snapshot.own().map_or_else(String::new, |own| own.shared().instance.clone());
        ends.push(end(v.t("console-end-configuration"), instance, snapshot.expires(), now));
    }
    ends
}

pub(super) fn end(name: String, what: String, at: Timestamp, now: Timestamp) -> End {
    let seconds = (at.micros() - now.micros()) / 1_000_000;
    let left = match seconds {
        ..=0 => Left::Over,
        1..=172_799 => Left::Hours(seconds / 3_600),
        _ => Left::Days(seconds / 86_400),
    };
    End { name, what, at, left }
}
