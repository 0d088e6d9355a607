//! Search in the message log, and the audit.

use std::str::FromStr;

use civic::Timestamp;
use serde_json::{Value as Json, json};

use super::call::{Call, Reply, Result, client_id, parse_client, shorten};
use super::error::ApiError;
use crate::messagelog::{FoundRecord, LogError, PAGE_MAX, RecordKind, Role, SearchQuery};

/// How the audit names a search in the message log.
pub(crate) const SEARCH: &str = "search_message_log";

/// Finds records. What was asked is audited, without the number of a citizen: a log of messages is personal data.
pub(super) async fn search(call: Call) -> Result {
    let page = call.core.log.search(query_of(&call)?).await.map_err(failed)?;
    let pairs = call.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    call.audit(SEARCH, &asked(pairs)).await?;
    let shown: Vec<Json> = page.records.iter().map(shown).collect();
    Ok(Reply::json(json!({ "records": shown, "next": page.next.map(|next| next.to_string()) })))
}

/// What the audit says of the fields of a search.
pub(crate) fn asked<'q>(fields: impl Iterator<Item = (&'q str, &'q str)>) -> String {
    let asked: Vec<String> = fields
        .map(|(name, value)| {
            // Whoever looks for a person leaves a trace; the number itself is not written down.
            if name == "subject" { name.to_owned() } else { format!("{name}={}", shorten(value)) }
        })
        .collect();
    shorten(&asked.join(" "))
}

fn shown(record: &FoundRecord) -> Json {
    json!({
        "id": record.id.to_string(),
        "message_id": record.message_id,
        "request_id": record.request_id,
        "client": client_id(&record.client),
        "service": record.service.to_string(),
        "role": if record.role == Role::Consumer { "CONSUMER" } else { "PROVIDER" },
        "kind": if record.kind == RecordKind::Request { "REQUEST" } else { "RESPONSE" },
        "outcome": record.outcome,
        "at": record.at.rfc3339(),
        "log_mode": record.mode,
        "stamped": record.stamped,
        "archive": record.archive,
        "ledger_index": record.leaf,
    })
}

fn query_of(call: &Call) -> Result<SearchQuery> {
    let limit = read(call, "limit")?.unwrap_or(100);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiError::bad(format!("limit is 1 to {PAGE_MAX}")));
    }
    let moment = |name: &str| {
        let parse = |text: &str| Timestamp::parse_rfc3339(text);
        call.query(name).map(parse).transpose().map_err(|_| ApiError::bad(format!("{name} is written as in RFC 3339")))
    };
    let peer = call.query("peer").map(parse_client).transpose()?.map(|client| client.member().clone());
    Ok(SearchQuery {
        from: moment("from")?,
        to: moment("to")?,
        client: call.query("client").map(parse_client).transpose()?,
        service: read(call, "service")?,
        peer,
        message_id: call.query("message_id").map(str::to_owned),
        request_id: call.query("request_id").map(str::to_owned),
        outcome: call.query("outcome").map(str::to_owned),
        subject: read(call, "subject")?,
        after: read(call, "after")?,
        limit,
    })
}

/// A parameter as a value; the value itself never stands in the error.
fn read<T: FromStr>(call: &Call, name: &str) -> Result<Option<T>> {
    let parsed = call.query(name).map(str::parse).transpose();
    parsed.map_err(|_| ApiError::bad(format!("{name} cannot be read: see the description")))
}

fn failed(error: LogError) -> ApiError {
    match error {
        LogError::Store(_) | LogError::Damaged { .. } => ApiError::internal(error),
        other => ApiError::bad(other.to_string()),
    }
}

pub(super) async fn audit(call: Call) -> Result {
    let limit = match call.query("limit") {
        None => 100,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=1_000).contains(limit));
            limit.ok_or_else(|| ApiError::bad("limit is 1 to 1000"))?
        }
    };
    let shown: Vec<Json> = call
        .core
        .registry
        .audit_entries(limit)
        .await?
        .into_iter()
        .map(|entry| {
            json!({ "at": entry.at.rfc3339(), "author": entry.author, "action": entry.action, "object": entry.object, "detail": entry.detail })
        })
        .collect();
    Ok(Reply::json(json!(shown)))
}
