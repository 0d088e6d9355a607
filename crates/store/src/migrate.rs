//! Migrations: applied once, in order, frozen by their digest.

use crate::{Store, StoreError, Tx, params};

/// One step of a room's tables. Once merged it is never edited: add the next number.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The room, whose name prefixes its tables.
    pub room: &'static str,
    /// From 1, ascending within a room. A number may be missing while the branch that brings it has not landed.
    pub number: u32,
    /// What it does, as in the name of its file.
    pub name: &'static str,
    /// Statements split by `;` at the end of a line. `{int}` and `{bytes}` become the types of the engine.
    pub sql: &'static str,
}

pub(crate) const OWN: &[Migration] =
    &[Migration { room: "store", number: 1, name: "queue", sql: include_str!("../migrations/0001_queue.sql") }];

const REGISTER: &str = "CREATE TABLE IF NOT EXISTS store_migrations (
    room TEXT NOT NULL,
    number {int} NOT NULL,
    name TEXT NOT NULL,
    digest {bytes} NOT NULL,
    PRIMARY KEY (room, number)
)";
/// Two processes that start at once may both create the register; the second then finds it.
const REGISTER_TRIES_MAX: u32 = 5;

pub(crate) async fn prepare(store: &Store) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let outcome = store.tx("store.migrations", |tx| define(tx, REGISTER)).await;
        match outcome {
            Err(StoreError::Unique { .. } | StoreError::Statement { .. }) if tries < REGISTER_TRIES_MAX => {}
            other => return other,
        }
    }
}

pub(crate) async fn apply(store: &Store, migrations: &[Migration]) -> Result<(), StoreError> {
    check_order(migrations)?;
    for migration in migrations {
        let migration = *migration;
        store.tx("store.migrate", move |tx| apply_one(tx, &migration)).await.map_err(|error| match error {
            error if error.is_temporary() || matches!(error, StoreError::Migration { .. }) => error,
            error => refuse(&migration, error.to_string()),
        })?;
    }
    Ok(())
}

fn check_order(migrations: &[Migration]) -> Result<(), StoreError> {
    for (index, migration) in migrations.iter().enumerate() {
        let earlier = migrations.iter().take(index).filter(|earlier| earlier.room == migration.room);
        match earlier.map(|earlier| earlier.number).max() {
            None if migration.number != 1 => {
                return Err(refuse(migration, "stands where number 0001 is expected".to_owned()));
            }
            Some(last) if migration.number <= last => {
                return Err(refuse(migration, format!("stands after number {last:04}")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn apply_one(tx: &mut Tx<'_>, migration: &Migration) -> Result<(), StoreError> {
    let digest = trust::digest::sha256(migration.sql.as_bytes());
    let known = tx.query_one(
        "SELECT digest FROM store_migrations WHERE room = $1 AND number = $2",
        &params![migration.room, migration.number],
    )?;
    if let Some(row) = known {
        return if row.get::<Vec<u8>>("digest")? == digest {
            Ok(())
        } else {
            Err(refuse(migration, "its text differs from the one applied here: restore it and add a new number".into()))
        };
    }
    // The row comes first: of two processes at once, one waits here and then finds the work done.
    tx.execute(
        "INSERT INTO store_migrations (room, number, name, digest) VALUES ($1, $2, $3, $4)",
        &params![migration.room, migration.number, migration.name, digest],
    )?;
    if !tx.is_sqlite() {
        // An index of a large table takes longer than any statement of a request may.
        tx.define("SET LOCAL statement_timeout = 0")?;
    }
    for statement in statements(migration.sql) {
        define(tx, &statement)?;
    }
    Ok(())
}

fn define(tx: &mut Tx<'_>, statement: &str) -> Result<(), StoreError> {
    let sqlite = tx.is_sqlite();
    let (int, bytes) = if sqlite { ("INTEGER", "BLOB") } else { ("BIGINT", "BYTEA") };
    let mut sql = statement.replace("{int}", int).replace("{bytes}", bytes);
    // PostgreSQL checks the kind of each value; STRICT makes SQLite do so too.
    if sqlite && sql.trim_start().to_ascii_uppercase().starts_with("CREATE TABLE") {
        sql.push_str(" STRICT");
    }
    tx.define(&sql)
}

/// The statements of a migration without their comments.
fn statements(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    for line in sql.lines() {
        let line = without_comment(line).trim_end();
        let (text, ends) = line.strip_suffix(';').map_or((line, false), |text| (text, true));
        current.push_str(text);
        current.push('\n');
        if ends {
            found.push(std::mem::take(&mut current));
        }
    }
    found.push(current);
    found.retain(|statement| !statement.trim().is_empty());
    found
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut previous = ' ';
    for (position, character) in line.char_indices() {
        match character {
            '\'' => quoted = !quoted,
            '-' if previous == '-' && !quoted => return line.get(..position - 1).unwrap_or(line),
            _ => {}
        }
        previous = character;
    }
    line
}

fn refuse(migration: &Migration, reason: String) -> StoreError {
    StoreError::Migration { room: migration.room.to_owned(), number: migration.number, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_the_end_of_a_line() {
        let sql =
            "CREATE TABLE a (\n  b TEXT -- what; it is;\n); -- done;\nINSERT INTO a VALUES ('x -- ;y');\n\n-- end\n";
        let found = statements(sql);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].contains("'x -- ;y'"));
    }

    #[test]
    fn numbers_begin_at_one_and_ascend() {
        let step = |number| Migration { room: "fisc", number, name: "x", sql: "" };
        assert!(check_order(&[step(1), step(2)]).is_ok());
        assert!(check_order(&[step(1), step(3)]).is_ok());
        assert!(check_order(&[step(1), step(1)]).is_err());
        assert!(check_order(&[step(1), step(3), step(2)]).is_err());
        assert!(check_order(&[step(2)]).is_err());
    }
}
