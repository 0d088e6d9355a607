//! The tables of the registry as JSON, for backups, and back.

use ::store::{Row, StoreError, Tx, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json, json};

use super::error::ApiError;

#[derive(Clone, Copy)]
enum Kind {
    Int,
    Text,
    Bytes,
}

use Kind::{Bytes, Int, Text};

/// What a backup holds: everything that operators set, with sealed keys as they are. Not: messages, uses, the audit, keys of the API.
const TABLES: &[(&str, &[(&str, Kind)])] = &[
    (
        "bridge_client",
        &[("id", Text), ("connection", Text), ("log_mode", Text), ("status", Text), ("name", Text), ("declared", Int)],
    ),
    ("bridge_client_certificate", &[("client", Text), ("fingerprint", Bytes), ("certificate", Bytes)]),
    (
        "bridge_service_description",
        &[
            ("id", Int),
            ("client", Text),
            ("kind", Text),
            ("url", Text),
            ("description", Text),
            ("enabled", Int),
            ("disabled_notice", Text),
            ("refreshed", Int),
            ("declared", Int),
        ],
    ),
    (
        "bridge_service",
        &[
            ("id", Int),
            ("description", Int),
            ("service", Text),
            ("version", Text),
            ("title", Text),
            ("url", Text),
            ("timeout_ms", Int),
            ("tls_verify", Int),
            ("basis", Text),
            ("law_reference", Text),
            ("purpose_code", Text),
            ("purpose_text", Text),
            ("subject", Text),
            ("fields", Text),
        ],
    ),
    ("bridge_endpoint", &[("id", Int), ("service", Text), ("method", Text), ("path", Text), ("generated", Int)]),
    (
        "bridge_right",
        &[
            ("subject_kind", Text),
            ("subject", Text),
            ("service", Text),
            ("method", Text),
            ("path", Text),
            ("given", Int),
            ("declared", Int),
        ],
    ),
    ("bridge_local_group", &[("id", Int), ("client", Text), ("code", Text), ("description", Text), ("updated", Int)]),
    ("bridge_local_group_member", &[("local_group", Int), ("member", Text), ("added", Int)]),
    ("bridge_key", &[("id", Text), ("label", Text), ("usage", Text), ("secret", Bytes), ("created", Int)]),
    ("bridge_csr", &[("id", Text), ("key_id", Text), ("owner", Text), ("request", Bytes), ("created", Int)]),
    (
        "bridge_key_certificate",
        &[("id", Text), ("key_id", Text), ("certificate", Bytes), ("status", Text), ("active", Int), ("imported", Int)],
    ),
];

/// Reads all tables.
pub(super) fn read(tx: &mut Tx<'_>) -> Result<Json, StoreError> {
    let mut tables = Map::new();
    for (table, columns) in TABLES {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let rows = tx.query(&format!("SELECT {} FROM {table}", names.join(", ")), &[])?;
        let rows = rows.iter().map(|row| read_row(row, columns)).collect::<Result<Vec<_>, _>>()?;
        tables.insert((*table).to_owned(), json!(rows));
    }
    Ok(Json::Object(tables))
}

fn read_row(row: &Row, columns: &[(&str, Kind)]) -> Result<Json, StoreError> {
    let mut cells = Vec::with_capacity(columns.len());
    for (name, kind) in columns {
        cells.push(match kind {
            Int => json!(row.get::<Option<i64>>(name)?),
            Text => json!(row.get::<Option<String>>(name)?),
            Bytes => json!(row.get::<Option<Vec<u8>>>(name)?.map(|bytes| BASE64.encode(bytes))),
        });
    }
    Ok(Json::Array(cells))
}

/// Puts tables back in the place of what is there.
pub(super) fn write(tx: &mut Tx<'_>, dump: &Json) -> Result<(), ApiError> {
    let mut last = 0;
    for (table, columns) in TABLES {
        let rows = dump.get(table).and_then(Json::as_array).ok_or_else(damaged)?;
        tx.execute(&format!("DELETE FROM {table}"), &[])?;
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let places: Vec<String> = (1..=columns.len()).map(|at| format!("${at}")).collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
        for row in rows {
            let cells = row.as_array().filter(|cells| cells.len() == columns.len()).ok_or_else(damaged)?;
            let values = cells
                .iter()
                .zip(*columns)
                .map(|(cell, (_, kind))| value(cell, *kind))
                .collect::<Result<Vec<_>, _>>()?;
            if let Some((Value::Int(id), ("id", _))) = values.first().zip(columns.first()) {
                last = last.max(*id);
            }
            tx.execute(&sql, &values)?;
        }
    }
    // What is declared is declared anew.
    tx.execute("DELETE FROM bridge_setting WHERE name = 'declared'", &[])?;
    tx.execute(
        "UPDATE bridge_registry_version SET version = version + 1, last_id = CASE WHEN last_id > $1 THEN last_id ELSE $1 END \
         WHERE id = 1",
        &[last.into()],
    )?;
    Ok(())
}

fn value(cell: &Json, kind: Kind) -> Result<Value, ApiError> {
    if cell.is_null() {
        return Ok(Value::Null);
    }
    match kind {
        Int => cell.as_i64().map(Value::Int),
        Text => cell.as_str().map(|text| Value::Text(text.to_owned())),
        Bytes => cell.as_str().and_then(|text| BASE64.decode(text).ok()).map(Value::Bytes),
    }
    .ok_or_else(damaged)
}

fn damaged() -> ApiError {
    ApiError::bad("the backup is of another version, or damaged")
}
