//! The only file of the bank with SQL.

use ::store::{Migration, Row, Sealer, Store, StoreError, Value, params};
use civic::{Locale, Timestamp};
use identity::rp::Pending;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::application::{Access, Application, Call, Income, Loan, Outcome, State};

/// The bank's tables.
pub(super) const MIGRATIONS: [Migration; 1] =
    [Migration { room: "bank", number: 1, name: "loans", sql: include_str!("migrations/0001_loans.sql") }];

const TABLE: &str = "bank_application";
const COLUMNS: &str = "id, locale, amount, months, project, state, pending, access, income, created_at";

/// Why the bank's storage does not give what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum BankError {
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row is none that this version writes.
    #[error("the request {id} cannot be read: {reason}")]
    Row {
        /// The id of the request.
        id: String,
        /// What is wrong.
        reason: String,
    },
}

/// Writes a new request.
pub(super) async fn add(store: &Store, visitor: &str, application: Application) -> Result<(), BankError> {
    let visitor = visitor.to_owned();
    store
        .tx("bank.add", move |tx| {
            let Application { id, locale, loan, created_at, .. } = &application;
            tx.execute(
                "INSERT INTO bank_application \
                 (id, visitor, locale, amount, months, project, state, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, 'asked', $7, $7)",
                &params![id, &visitor, locale.tag(), loan.amount, loan.months, &loan.project, *created_at],
            )?;
            Ok(())
        })
        .await
}

/// Notes how far a request is. Its income goes when the state is another than `agreed`.
pub(super) async fn set_state(store: &Store, id: &str, state: &State, now: Timestamp) -> Result<(), BankError> {
    let sealer = store.sealer();
    let (name, pending, access) = match state {
        State::Asked(pending) => ("asked", pending.as_ref().map(|pending| seal(sealer, "pending", id, pending)), None),
        State::Refused => ("refused", None, None),
        State::Agreed(access) => ("agreed", None, Some(seal(sealer, "access", id, access))),
    };
    let (pending, access) = (pending.transpose()?, access.transpose()?);
    let id = id.to_owned();
    store
        .tx("bank.set_state", move |tx| {
            tx.execute(
                "UPDATE bank_application SET state = $2, pending = $3, access = $4, income = NULL, updated_at = $5 \
                 WHERE id = $1",
                &params![&id, name, pending.clone(), access.clone(), now],
            )?;
            Ok(())
        })
        .await
}

/// Notes a call and what it brought: the income is kept where the tax office answered, erased where the citizen withdrew
/// the consent, left alone otherwise.
pub(super) async fn note_call(store: &Store, id: &str, call: Call, income: Option<Income>) -> Result<(), BankError> {
    let sealed = income.map(|income| seal(store.sealer(), "income", id, &income)).transpose()?;
    let id = id.to_owned();
    store
        .tx("bank.note_call", move |tx| {
            let Call { id: message, called_at, took_us, outcome, reference } = &call;
            tx.execute(
                "INSERT INTO bank_call (id, application, called_at, took_us, outcome, reference) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
                &params![message, &id, *called_at, *took_us, outcome.code(), reference.clone()],
            )?;
            if sealed.is_some() || *outcome == Outcome::ConsentRevoked {
                tx.execute(
                    "UPDATE bank_application SET income = $2, updated_at = $3 WHERE id = $1",
                    &params![&id, sealed.clone(), *called_at],
                )?;
            }
            Ok(())
        })
        .await
}

/// A request of this visitor.
pub(super) async fn application(store: &Store, visitor: &str, id: &str) -> Result<Option<Application>, BankError> {
    let (visitor, id) = (visitor.to_owned(), id.to_owned());
    store
        .read("bank.application", move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM bank_application WHERE id = $1 AND visitor = $2");
            tx.query_one(&sql, &params![&id, &visitor])?.map(|row| application_of(&row, tx.sealer())).transpose()
        })
        .await
}

/// The requests of this visitor, the newest first, at most fifty.
pub(super) async fn applications(store: &Store, visitor: &str) -> Result<Vec<Application>, BankError> {
    let visitor = visitor.to_owned();
    store
        .read("bank.applications", move |tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM bank_application WHERE visitor = $1 ORDER BY created_at DESC, id LIMIT 50"
            );
            let rows = tx.query(&sql, &params![&visitor])?;
            rows.iter().map(|row| application_of(row, tx.sealer())).collect()
        })
        .await
}

/// The calls made for the requests of this visitor, with the request of each, the newest first, at most fifty; those of
/// one request where it is named.
pub(super) async fn calls(store: &Store, visitor: &str, id: Option<&str>) -> Result<Vec<(String, Call)>, BankError> {
    let (visitor, id) = (visitor.to_owned(), id.map(str::to_owned));
    store
        .read("bank.calls", move |tx| {
            let filter = if id.is_some() { "AND a.id = $2" } else { "" };
            let sql = format!(
                "SELECT c.id, c.application, c.called_at, c.took_us, c.outcome, c.reference FROM bank_call c \
                 JOIN bank_application a ON a.id = c.application WHERE a.visitor = $1 {filter} \
                 ORDER BY c.called_at DESC, c.id LIMIT 50"
            );
            let mut values = params![&visitor];
            values.extend(id.clone().map(Value::from));
            tx.query(&sql, &values)?.iter().map(|row| Ok((row.get("application")?, call_of(row)?))).collect()
        })
        .await
}

fn application_of(row: &Row, sealer: &Sealer) -> Result<Application, BankError> {
    let id: String = row.get("id")?;
    let wrong = |reason: &str| BankError::Row { id: id.clone(), reason: reason.to_owned() };
    let name: String = row.get("state")?;
    let state = match name.as_str() {
        "asked" => State::Asked(open::<Pending>(row, sealer, "pending", &id)?.map(Box::new)),
        "refused" => State::Refused,
        "agreed" => {
            let access = open::<Access>(row, sealer, "access", &id)?;
            State::Agreed(Box::new(access.ok_or_else(|| wrong("it is agreed but holds no access"))?))
        }
        _ => return Err(wrong("its state is unknown")),
    };
    let locale: String = row.get("locale")?;
    Ok(Application {
        locale: Locale::from_tag(&locale).ok_or_else(|| wrong("its language is unknown"))?,
        loan: Loan { amount: row.get("amount")?, months: row.get("months")?, project: row.get("project")? },
        state,
        income: open(row, sealer, "income", &id)?,
        created_at: row.get("created_at")?,
        id,
    })
}

fn call_of(row: &Row) -> Result<Call, StoreError> {
    Ok(Call {
        id: row.get("id")?,
        called_at: row.get("called_at")?,
        took_us: row.get("took_us")?,
        outcome: Outcome::of_code(&row.get::<String>("outcome")?),
        reference: row.get("reference")?,
    })
}

fn seal(sealer: &Sealer, column: &str, id: &str, value: &impl Serialize) -> Result<Vec<u8>, BankError> {
    let plain =
        serde_json::to_vec(value).map_err(|error| BankError::Row { id: id.to_owned(), reason: error.to_string() })?;
    Ok(sealer.seal(TABLE, column, id, &plain)?)
}

fn open<T: DeserializeOwned>(row: &Row, sealer: &Sealer, column: &str, id: &str) -> Result<Option<T>, BankError> {
    let Some(sealed) = row.get::<Option<Vec<u8>>>(column)? else { return Ok(None) };
    let plain = sealer.open(TABLE, column, id, &sealed)?;
    serde_json::from_slice(&plain)
        .map(Some)
        .map_err(|error| BankError::Row { id: id.to_owned(), reason: error.to_string() })
}
