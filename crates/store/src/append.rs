use tokio::sync::oneshot;

use crate::job::{Job, Verdict};
use crate::{StoreError, Tx, Value};

/// A table that rows are only added to, on the hot path of the house: see [`crate::Store::append`].
///
/// ```
/// use store::{AppendTable, ColumnKind};
/// static LOG: AppendTable = AppendTable {
///     name: "bridge_log",
///     columns: &[("id", ColumnKind::Int), ("record", ColumnKind::Bytes)],
/// };
/// ```
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct AppendTable {
    /// The table; a plain lower-case name.
    pub name: &'static str,
    /// Its columns in the order of the values of each row, and their kinds.
    pub columns: &'static [(&'static str, ColumnKind)],
}

/// The kind of a column of an [`AppendTable`]: PostgreSQL wants one array per column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// `{int}`
    Int,
    /// `TEXT`
    Text,
    /// `{bytes}`
    Bytes,
}

impl AppendTable {
    pub(crate) fn row_insert(&self) -> String {
        let mut sql = String::with_capacity(512);
        sql.push_str("INSERT INTO ");
        sql.push_str(self.name);
        for (before, (column, _)) in std::iter::once(" (").chain(std::iter::repeat(", ")).zip(self.columns) {
            sql.push_str(before);
            sql.push_str(column);
        }
        sql.push_str(") VALUES (?");
        sql.extend(std::iter::repeat_n(", ?", self.columns.len().saturating_sub(1)));
        sql.push(')');
        sql
    }

    pub(crate) fn array_insert(&self) -> String {
        let arrays: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (_, kind))| {
                let kind = match kind {
                    ColumnKind::Int => "bigint",
                    ColumnKind::Text => "text",
                    ColumnKind::Bytes => "bytea",
                };
                format!("${}::{kind}[]", index + 1)
            })
            .collect();
        format!("INSERT INTO {} ({}) SELECT * FROM UNNEST({})", self.name, self.names(), arrays.join(", "))
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Refuses a row that has another shape than the table, before any engine sees it.
    pub(crate) fn check(&self, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        for row in rows {
            if row.len() != self.columns.len() {
                return Err(self.misfit(format!("{} values for {} columns", row.len(), self.columns.len())));
            }
            for (value, (column, kind)) in row.iter().zip(self.columns) {
                let fits = matches!(
                    (value, kind),
                    (Value::Null, _)
                        | (Value::Int(_), ColumnKind::Int)
                        | (Value::Text(_), ColumnKind::Text)
                        | (Value::Bytes(_), ColumnKind::Bytes)
                );
                if !fits {
                    return Err(self.misfit(format!("column {column} is {kind:?}, the value is {value:?}")));
                }
            }
        }
        Ok(())
    }

    fn misfit(&self, reason: String) -> StoreError {
        StoreError::Statement { statement: format!("append to {}", self.name), reason }
    }
}

/// A caller of [`crate::Store::append`] who waits.
pub(crate) struct AppendJob {
    pub(crate) table: &'static AppendTable,
    pub(crate) rows: Vec<Vec<Value>>,
    answer: oneshot::Sender<Result<(), StoreError>>,
    /// What the caller wants dropped when the rows are on disk, or will never be.
    held: Box<dyn Send>,
    failure: Option<StoreError>,
}

impl AppendJob {
    pub(crate) fn new(
        table: &'static AppendTable,
        rows: Vec<Vec<Value>>,
        held: Box<dyn Send>,
    ) -> (Self, oneshot::Receiver<Result<(), StoreError>>) {
        let (answer, receiver) = oneshot::channel();
        (Self { table, rows, answer, held, failure: None }, receiver)
    }

    pub(crate) fn refuse(self, error: StoreError) {
        self.answer(Err(error));
    }

    pub(crate) fn answer(self, outcome: Result<(), StoreError>) {
        drop(self.held);
        // A caller who went away does not want the answer.
        let _ = self.answer.send(outcome);
    }
}

impl Job for AppendJob {
    fn name(&self) -> &'static str {
        self.table.name
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict {
        match tx.append(self.table, &self.rows) {
            Ok(()) => {
                self.failure = None;
                Verdict::Commit
            }
            Err(error) => {
                self.failure = Some(error);
                Verdict::RollBack
            }
        }
    }

    fn is_append(&self) -> bool {
        true
    }

    fn finish(mut self: Box<Self>, outcome: Result<(), StoreError>) {
        let outcome = self.failure.take().map_or(outcome, Err);
        self.answer(outcome);
    }
}
