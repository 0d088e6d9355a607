//! The Estonian `findUsage` contract, answered by the node itself: the register behind it cannot stay silent.

use std::time::Duration;

use bytes::Bytes;
use civic::{NationalNumber, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, timeout_at};

use super::{ServiceAnswer, ServiceBody};
use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::message::{AnyResponse, RestRequest, RestResponse, Verb};
use crate::usage::{self, PAGE_MAX, Usage, UsagePage, UsageProof, UsageQuery, hex_text};

/// A ledger that gave no proof so often in a row is asked for no more of this page.
const FAILED_MAX: u32 = 3;
/// The proofs of a page may take so long together: a caller of this house waits for 90 s.
const PROOFS_LIMIT: Duration = Duration::from_secs(30);

/// Answers `/v2/findUsage`, `/v2/usagePeriod` and `/v2/heartbeat` (also without `/v2`).
pub(super) async fn answer(
    core: &Core,
    request: &RestRequest,
    request_hash: &[u8; 64],
) -> Result<ServiceAnswer, Fault> {
    let path = request.service_path();
    let path = path.strip_prefix("/v2").unwrap_or(path);
    let (status, body) = match path {
        _ if request.verb() != Verb::Get => (405, problem("only GET is answered here")),
        "/findUsage" => match query_of(core, request) {
            Ok(query) => (200, find(core, query).await?),
            Err(reason) => (400, problem(reason)),
        },
        "/usagePeriod" => (200, period(core).await?),
        "/heartbeat" => (200, json!({ "status": "OK" })),
        _ => (404, problem("there are /v2/findUsage, /v2/usagePeriod and /v2/heartbeat")),
    };
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        _ => "Method Not Allowed",
    };
    let headers = [("content-type", &b"application/json"[..]), ("cache-control", b"no-store")];
    let response = RestResponse::from_http(request, request_hash, status, reason, headers.into_iter())
        .map_err(fault(Side::ServerProxy, Reason::InternalError, "Look into the log of the node"))?;
    let response = AnyResponse::Rest(Box::new(response));
    Ok(ServiceAnswer { response, body: ServiceBody::Whole(Some(Bytes::from(body.to_string()))) })
}

fn query_of(core: &Core, request: &RestRequest) -> Result<UsageQuery, &'static str> {
    let mut query = UsageQuery {
        subject: parameter(request, "userCode")
            .and_then(|text| text.parse::<NationalNumber>().ok())
            .ok_or("userCode must be a national number")?,
        provider: request.service().client().clone(),
        from: Timestamp::from_micros(0),
        until: core.clock.now().plus(Duration::from_secs(1)),
        offset: 0,
        limit: PAGE_MAX,
    };
    let moment = |text: String| Timestamp::parse_rfc3339(&text).map_err(|_| "a period is written as in RFC 3339");
    if let Some(text) = parameter(request, "periodStart") {
        query.from = moment(text)?;
    }
    if let Some(text) = parameter(request, "periodEnd") {
        query.until = moment(text)?;
    }
    if let Some(text) = parameter(request, "offset") {
        query.offset = text.parse().map_err(|_| "offset must be a number")?;
    }
    if let Some(text) = parameter(request, "limit") {
        query.limit =
            text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or("limit must be 1 to 1000")?;
    }
    Ok(query)
}

fn parameter(request: &RestRequest, name: &str) -> Option<String> {
    let pairs = request.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value.replace('+', "%20"));
    let value = values.next()?;
    // A plus stands in zones of moments as often as for a space; here nothing has spaces.
    let value = if name.starts_with("period") { value.replace("%20", "+") } else { value };
    percent_decode_str(&value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

async fn find(core: &Core, query: UsageQuery) -> Result<Json, Fault> {
    let failed = fault(Side::ServerProxy, Reason::InternalError, "Look into the log of the node");
    let (total_usages, kept) = usage::find(core.log.store(), query).await.map_err(&failed)?;
    let mut usages = Vec::with_capacity(kept.len());
    let mut proofs = Proofs::new();
    for kept in kept {
        let proof = match kept.index {
            None => None,
            Some(index) => proofs.one(core.leaf_proof(index, &kept.leaf)).await.map(|tlog_proof| UsageProof {
                salt: hex_text(&kept.salt),
                leaf: hex_text(&kept.leaf),
                index,
                tlog_proof,
            }),
        };
        usages.push(Usage { record: kept.record, proof });
    }
    serde_json::to_value(UsagePage { total_usages, usages }).map_err(fault(
        Side::ServerProxy,
        Reason::InternalError,
        "Look into the log of the node",
    ))
}

/// The proofs of one page. A citizen sees the uses without proofs rather than nothing: whoever asked waits for the page, and not for ever.
struct Proofs {
    failed: u32,
    until: Instant,
}

impl Proofs {
    fn new() -> Self {
        Self { failed: 0, until: Instant::now() + PROOFS_LIMIT }
    }

    async fn one(&mut self, proof: impl Future<Output = Option<String>>) -> Option<String> {
        if self.failed >= FAILED_MAX {
            return None;
        }
        let proof = timeout_at(self.until, proof).await.ok().flatten();
        self.failed = if proof.is_some() { 0 } else { self.failed + 1 };
        proof
    }
}

async fn period(core: &Core) -> Result<Json, Fault> {
    let failed = fault(Side::ServerProxy, Reason::InternalError, "Look into the log of the node");
    let period = usage::period(core.log.store()).await.map_err(failed)?;
    Ok(match period {
        Some((from, until)) => json!({ "periodStart": from.rfc3339(), "periodEnd": until.rfc3339() }),
        None => json!({ "periodStart": null, "periodEnd": null }),
    })
}

fn problem(detail: &str) -> Json {
    json!({ "title": "The request cannot be answered", "detail": detail })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_ledger_that_gives_no_proof_is_not_asked_for_every_use_of_a_page() {
        let asked = Cell::new(0);
        let ask = |answer: Option<&str>| {
            let (asked, answer) = (&asked, answer.map(str::to_owned));
            async move {
                asked.set(asked.get() + 1);
                answer
            }
        };
        let mut proofs = Proofs::new();
        for answer in [None, None, Some("a proof"), None, None, None, Some("too late"), None] {
            let expected = answer.filter(|answer| *answer != "too late");
            assert_eq!(proofs.one(ask(answer)).await.as_deref(), expected);
        }
        assert_eq!(asked.get(), 6, "three failures in a row end it");
    }

    #[tokio::test]
    async fn a_page_whose_proofs_take_too_long_goes_without_the_rest() {
        let mut proofs = Proofs { failed: 0, until: Instant::now() + Duration::from_millis(20) };
        assert_eq!(proofs.one(std::future::pending()).await, None);
        assert_eq!(proofs.one(std::future::pending()).await, None);
    }
}
