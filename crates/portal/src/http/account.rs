//! "Mon compte": what was changed at the citizen's account, each with a proof that needs nothing beside it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use civic::Timestamp;
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use identity::{ACTS_FIELD, ActError};
use ledger::outbox::OutboxError;
use web::{Page, Problem, Visit};

use crate::http::{At, Citizen, Section, download};

#[derive(Template)]
#[template(path = "account.html")]
struct Account<'a> {
    v: &'a Visit,
    acts: Vec<ActView>,
}

struct ActView {
    at: Timestamp,
    words: String,
    /// The first digits of the key's fingerprint.
    key: Option<String>,
    index: Option<u64>,
    erased: bool,
    href: String,
}

#[derive(Template)]
#[template(path = "erased.html")]
struct Erased<'a> {
    v: &'a Visit,
}

/// `/mon-compte`
pub(crate) async fn account(State(portal): At, citizen: Citizen) -> Result<Page, Problem> {
    // The citizen's own acts: the answer stands in the journal as every other.
    let permit = portal.permit(&citizen.known, "account", &[ACTS_FIELD]).await?;
    let acts = portal.acts.of(&permit).await.map_err(Problem::unavailable)?;
    let v = &citizen.visit;
    let views = acts.into_iter().map(|act| ActView {
        at: act.at,
        words: v.t_or(&format!("portal-act-{}", act.act.replace('_', "-")), &act.act),
        key: act.key_id.map(|key| key.chars().take(16).collect()),
        index: act.index,
        erased: act.erased,
        href: format!("/mon-compte/{}/preuve.tlog-proof", act.id),
    });
    let body = Account { v, acts: views.collect() };
    citizen.page(Section::Account, &v.t("portal-account-title"), &body)
}

/// `/mon-compte/{id}/preuve.tlog-proof`: carries record and salt.
pub(crate) async fn proof(State(portal): At, citizen: Citizen, Path(id): Path<String>) -> Result<Response, Problem> {
    let permit = portal.permit(&citizen.known, "account", &[ACTS_FIELD]).await?;
    match portal.acts.proof(&permit, &id).await {
        Ok(proof) => Ok(download("preuve.tlog-proof", "text/plain; charset=utf-8", proof)),
        // Another citizen's act and no act at all look alike.
        Err(ActError::Unknown | ActError::Outbox(OutboxError::Unknown)) => Err(Problem::not_found()),
        Err(ActError::Outbox(OutboxError::Erased)) => {
            let v = &citizen.visit;
            let page = citizen.page(Section::Account, &v.t("portal-erased-title"), &Erased { v })?;
            Ok(page.status(StatusCode::GONE).into_response())
        }
        Err(error @ ActError::Outbox(OutboxError::Waiting)) => {
            Err(Problem::unavailable(error).header(RETRY_AFTER, HeaderValue::from_static("2")))
        }
        Err(error) => Err(Problem::unavailable(error)),
    }
}
