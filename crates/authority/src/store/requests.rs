//! Requests on their way from waiting to approved or declined.

use civic::{ClientId, ServerId, Timestamp};
use store::{Row, Tx, params};

use crate::AuthorityError;
use crate::requests::{Origin, Request, RequestKind, RequestState};

const PAGE_MAX: i64 = 500;
const COLUMNS: &str = "id, kind, origin, state, server, client, detail, certificate, complements, created_at,
    created_by, decided_at, decided_by, reason";

/// Stores a new request and gives it its number; `message` is the digest of the message that it came in.
pub(crate) fn put_request(
    tx: &mut Tx<'_>,
    request: &Request,
    message: Option<&str>,
) -> Result<Request, AuthorityError> {
    let row = tx.query_one("SELECT COALESCE(MAX(id), 0) + 1 AS next FROM authority_request", &[])?;
    let id: i64 = row.map_or(Ok(1), |row| row.get("next"))?;
    let detail = serde_json::to_string(&request.detail).map_err(|error| AuthorityError::Settings(error.to_string()))?;
    tx.execute(
        "INSERT INTO authority_request (id, kind, origin, state, server, client, detail, certificate, message,
            complements, created_at, created_by, decided_at, decided_by, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, NULL)",
        &params![
            id,
            request.kind.name(),
            request.origin.name(),
            request.state.name(),
            request.server.to_string(),
            request.client.as_ref().map(ToString::to_string),
            detail,
            request.certificate.clone(),
            message.map(str::to_owned),
            request.complements,
            request.created_at,
            request.created_by.as_str(),
            request.decided_at,
            request.decided_by.clone(),
        ],
    )?;
    Ok(Request { id, ..request.clone() })
}

/// A request by its number.
pub(crate) fn request(tx: &mut Tx<'_>, id: i64) -> Result<Request, AuthorityError> {
    let row = tx.query_one(&format!("SELECT {COLUMNS} FROM authority_request WHERE id = $1"), &params![id])?;
    request_of(&row.ok_or_else(|| AuthorityError::Unknown { what: "request", id: id.to_string() })?)
}

/// The request that came in that message.
pub(crate) fn request_of_message(tx: &mut Tx<'_>, message: &str) -> Result<Option<Request>, AuthorityError> {
    let row =
        tx.query_one(&format!("SELECT {COLUMNS} FROM authority_request WHERE message = $1"), &params![message])?;
    row.as_ref().map(request_of).transpose()
}

/// Requests, newest first, before that number; only those in that state where one is given.
pub(crate) fn requests(
    tx: &mut Tx<'_>,
    state: Option<RequestState>,
    before: Option<i64>,
) -> Result<Vec<Request>, AuthorityError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM authority_request WHERE id < $1 AND ($2 = '' OR state = $2) ORDER BY id DESC LIMIT $3"
        ),
        &params![before.unwrap_or(i64::MAX), state.map_or("", RequestState::name), PAGE_MAX],
    )?;
    rows.iter().map(request_of).collect()
}

/// Requests of that kind that wait for a decision about the same certificate, or about the same node and client.
pub(crate) fn pending(
    tx: &mut Tx<'_>,
    kind: RequestKind,
    server: &ServerId,
    client: Option<&ClientId>,
    certificate: Option<&str>,
) -> Result<Vec<Request>, AuthorityError> {
    let rows = match certificate {
        Some(certificate) => tx.query(
            &format!(
                "SELECT {COLUMNS} FROM authority_request
                 WHERE kind = $1 AND certificate = $2 AND state IN ('waiting', 'submitted') ORDER BY id"
            ),
            &params![kind.name(), certificate],
        )?,
        None => tx.query(
            &format!(
                "SELECT {COLUMNS} FROM authority_request WHERE kind = $1 AND server = $2
                 AND ($3 = '' OR client = $3) AND state IN ('waiting', 'submitted') ORDER BY id"
            ),
            &params![kind.name(), server.to_string(), client.map(ToString::to_string).unwrap_or_default()],
        )?,
    };
    rows.iter().map(request_of).collect()
}

/// Whether a registration of this client at this node was declined.
pub(crate) fn was_declined(tx: &mut Tx<'_>, server: &ServerId, client: &ClientId) -> Result<bool, AuthorityError> {
    let row = tx.query_one(
        "SELECT id FROM authority_request
         WHERE kind = 'clientReg' AND server = $1 AND client = $2 AND state = 'declined' LIMIT 1",
        &params![server.to_string(), client.to_string()],
    )?;
    Ok(row.is_some())
}

/// Both sides asked.
pub(crate) fn set_submitted(tx: &mut Tx<'_>, id: i64) -> Result<(), AuthorityError> {
    tx.execute("UPDATE authority_request SET state = 'submitted' WHERE id = $1", &params![id])?;
    Ok(())
}

/// Decides a request and those that it complements or that complement it.
pub(crate) fn decide(
    tx: &mut Tx<'_>,
    request: &Request,
    state: RequestState,
    by: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    tx.execute(
        "UPDATE authority_request SET state = $2, decided_at = $3, decided_by = $4, reason = $5
         WHERE (id = $1 OR complements = $1 OR id = $6) AND state IN ('waiting', 'submitted')",
        &params![
            request.id,
            state.name(),
            now,
            by,
            reason.map(str::to_owned),
            request.complements.unwrap_or(request.id)
        ],
    )?;
    Ok(())
}

fn request_of(row: &Row) -> Result<Request, AuthorityError> {
    let word = |column: &'static str| row.get::<String>(column);
    let strange = |word: String| AuthorityError::Settings(format!("`{word}` in a request"));
    let (kind, origin, state) = (word("kind")?, word("origin")?, word("state")?);
    let detail: String = row.get("detail")?;
    Ok(Request {
        id: row.get("id")?,
        kind: RequestKind::of_name(&kind).ok_or_else(|| strange(kind))?,
        origin: Origin::of_name(&origin).ok_or_else(|| strange(origin))?,
        state: RequestState::of_name(&state).ok_or_else(|| strange(state))?,
        server: word("server")?.parse()?,
        client: row.get::<Option<String>>("client")?.map(|client| client.parse()).transpose()?,
        detail: serde_json::from_str(&detail).map_err(|error| AuthorityError::Settings(error.to_string()))?,
        certificate: row.get("certificate")?,
        complements: row.get("complements")?,
        created_at: row.get("created_at")?,
        created_by: row.get("created_by")?,
        decided_at: row.get("decided_at")?,
        decided_by: row.get("decided_by")?,
        reason: row.get("reason")?,
    })
}
