use std::sync::Arc;

use crate::pg::{self, Again};
use crate::value::Row;
use crate::{AppendTable, Sealer, StoreError, Value, sqlite};

/// More rows than this in one answer are refused: ask page by page.
pub(crate) const ANSWER_ROWS_MAX: usize = 100_000;

/// A transaction under way, given to the closure of [`crate::Store::tx`].
///
/// After a failed statement nothing more is accepted and the transaction is rolled back, whatever the closure
/// returns: PostgreSQL works so, and both engines must behave alike. Where a row may exist, use `ON CONFLICT`.
pub struct Tx<'a> {
    handle: Handle<'a>,
    sealer: &'a Sealer,
    failure: Option<StoreError>,
    again: Option<Again>,
    appended: u64,
}

pub(crate) enum Handle<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(&'a mut pg::Session),
}

/// An engine's refusal of a statement: what to tell the caller, and whether another run may help.
pub(crate) struct Refusal {
    pub(crate) error: StoreError,
    pub(crate) again: Option<Again>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(handle: Handle<'a>, sealer: &'a Sealer) -> Self {
        Self { handle, sealer, failure: None, again: None, appended: 0 }
    }

    /// Runs a statement; how many rows it changed. Parameters are `$1`, `$2`, ...
    pub fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        self.guard(|handle| match handle {
            Handle::Sqlite(connection) => sqlite::execute(connection, sql, params),
            Handle::Postgres(session) => session.execute(sql, params),
        })
    }

    /// Runs a statement and returns its rows, at most 100,000.
    pub fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.guard(|handle| match handle {
            Handle::Sqlite(connection) => sqlite::query(connection, sql, params),
            Handle::Postgres(session) => session.query(sql, params),
        })
    }

    /// Runs a statement and returns its first row, if it has one.
    pub fn query_one(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// Adds rows to a table in the fastest way of the engine, as a part of this transaction.
    pub fn append(&mut self, table: &AppendTable, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        self.guard(|handle| {
            table.check(rows).map_err(|error| Refusal { error, again: None })?;
            match handle {
                Handle::Sqlite(connection) => sqlite::append_rows(connection, table, rows),
                Handle::Postgres(session) => session.append(table, rows),
            }
        })?;
        self.appended += rows.len() as u64;
        Ok(())
    }

    /// Seals and opens columns.
    pub fn sealer(&self) -> &Sealer {
        self.sealer
    }

    /// Runs statements that define tables.
    pub(crate) fn define(&mut self, sql: &str) -> Result<(), StoreError> {
        self.guard(|handle| match handle {
            Handle::Sqlite(connection) => sqlite::define(connection, sql),
            Handle::Postgres(session) => session.define(sql),
        })
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.handle, Handle::Sqlite(_))
    }

    /// The first statement that failed.
    pub(crate) fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    /// Whether the failure is one that another run may get past.
    pub(crate) fn again(&self) -> Option<Again> {
        self.again
    }

    /// Rows added by [`Tx::append`].
    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    fn guard<T>(&mut self, run: impl FnOnce(&mut Handle<'a>) -> Result<T, Refusal>) -> Result<T, StoreError> {
        if let Some(first) = &self.failure {
            return Err(StoreError::FailedBefore { first: first.to_string() });
        }
        run(&mut self.handle).map_err(|refusal| {
            self.failure = Some(refusal.error.clone());
            self.again = refusal.again;
            refusal.error
        })
    }
}

/// The names of the columns of an answer, shared by its rows.
pub(crate) fn names<'n>(names: impl Iterator<Item = &'n str>) -> Arc<[String]> {
    names.map(str::to_owned).collect()
}

/// The refusal of an answer that is too long.
pub(crate) fn too_many_rows(sql: &str) -> StoreError {
    StoreError::Statement {
        statement: crate::error::shorten(sql),
        reason: format!("more than {ANSWER_ROWS_MAX} rows: ask page by page"),
    }
}
