//! The tables of the registry as JSON, for backups, and back. A row is the array of its columns, in the order of [`TABLES`]: a column that a
//! later migration adds is written at the end, so that backups from before it are read still.

use ::store::{Row, StoreError, Tx, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use civic::MemberId;
use serde_json::{Map, Value as Json, json};

use super::error::ApiError;

#[derive(Clone, Copy)]
enum Kind {
    Int,
    Text,
    Bytes,
}

use Kind::{Bytes, Int, Text};

const CERTIFICATES: &str = "bridge_key_certificate";
/// Rows of certificates have so many columns in backups from before the member was one of them; the certificate is this one.
const COLUMNS_WITHOUT_MEMBER: usize = 6;
const CERTIFICATE_AT: usize = 2;

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
        CERTIFICATES,
        &[
            ("id", Text),
            ("key_id", Text),
            ("certificate", Bytes),
            ("status", Text),
            ("active", Int),
            ("imported", Int),
            ("member", Text),
        ],
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

/// Brings a backup of an earlier version to what this one writes: whom a certificate names is read from the certificate, and nobody stands
/// there (it counts as the owner's) where it names none.
pub(super) fn bring_up_to_date(mut dump: Json, named_in: impl Fn(&[u8]) -> Option<MemberId>) -> Result<Json, ApiError> {
    let rows = dump.get_mut(CERTIFICATES).and_then(Json::as_array_mut).ok_or_else(damaged)?;
    for row in rows.iter_mut().filter_map(Json::as_array_mut).filter(|row| row.len() == COLUMNS_WITHOUT_MEMBER) {
        let certificate = row.get(CERTIFICATE_AT).and_then(Json::as_str).and_then(|text| BASE64.decode(text).ok());
        let member = named_in(&certificate.ok_or_else(damaged)?);
        row.push(json!(member.map(|member| member.to_string())));
    }
    Ok(dump)
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ::store::{Location, Store};

    use super::*;

    /// What a backup leaves out on purpose. A new table of the bridge stands here or in [`TABLES`].
    const LEFT_OUT: &[&str] = &[
        // Messages, their archives, and what measures them.
        "bridge_message",
        "bridge_stamp",
        "bridge_stamped",
        "bridge_use",
        "bridge_leaf",
        "bridge_mark",
        "bridge_mould",
        "bridge_kept_proof",
        "bridge_archive",
        "bridge_archived",
        "bridge_operation",
        // Who works on the tables now, and their version.
        "bridge_lease",
        "bridge_replica",
        "bridge_registry_version",
        // What was revoked stays revoked, what was done stays written, and what is declared or asked for is so anew.
        "bridge_api_key",
        "bridge_audit",
        "bridge_setting",
    ];

    async fn migrated() -> Vec<Store> {
        let stores = ::store::testing::engines().await;
        for store in &stores {
            store.migrate(&crate::messagelog::migrations()).await.unwrap();
        }
        stores
    }

    /// The tables of the bridge as the engine has them.
    async fn schema(store: &Store) -> BTreeMap<String, BTreeSet<String>> {
        let sql = if matches!(store.location(), Location::Sqlite(_)) {
            "SELECT m.name AS of_table, c.name AS of_column FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name LIKE 'bridge_%'"
        } else {
            "SELECT table_name::text AS of_table, column_name::text AS of_column FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name LIKE 'bridge_%'"
        };
        let rows = store.read("test.schema", move |tx| tx.query(sql, &[])).await.unwrap();
        let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in rows {
            tables.entry(row.get("of_table").unwrap()).or_default().insert(row.get("of_column").unwrap());
        }
        tables
    }

    #[tokio::test]
    async fn every_column_of_every_table_is_in_a_backup_or_left_out_by_name() {
        let held: BTreeMap<String, BTreeSet<String>> = TABLES
            .iter()
            .map(|(table, columns)| {
                ((*table).to_owned(), columns.iter().map(|(column, _)| (*column).to_owned()).collect())
            })
            .collect();
        for store in migrated().await {
            let mut tables = schema(&store).await;
            for table in LEFT_OUT {
                assert!(tables.remove(*table).is_some(), "{table} is left out and does not exist");
            }
            assert_eq!(held, tables);
        }
    }

    #[tokio::test]
    async fn the_member_of_a_certificate_comes_back_as_it_was() {
        for store in migrated().await {
            let write = |dump: Json| {
                let store = &store;
                async move { store.tx("test.write", move |tx| write(tx, &dump)).await }
            };
            let row = json!(["aa", "key", "Zm91cg==", "registered", 1, 7, "BB/COM/2002"]);
            let mut dump = store.read("test.read", read).await.unwrap();
            dump[CERTIFICATES] = json!([row]);
            write(dump.clone()).await.unwrap();
            assert_eq!(store.read("test.read", read).await.unwrap(), dump);
            dump[CERTIFICATES] = json!([["aa", "key", "Zm91cg==", "registered", 1]]);
            assert!(write(dump).await.is_err(), "of no version");
        }
    }

    #[test]
    fn rows_from_before_the_member_get_the_one_that_their_certificate_names() {
        let row = |id: &str, certificate: &str| json!([id, "key", certificate, "registered", 1, 7]);
        let old = json!({ CERTIFICATES: [row("aa", "Zm91cg=="), row("bb", "Zml2ZQ==")] });
        let named_in = |certificate: &[u8]| (certificate == b"four").then(|| "BB/COM/2002".parse().unwrap());
        let new = bring_up_to_date(old, named_in).unwrap();
        assert_eq!(new[CERTIFICATES][0][6], "BB/COM/2002");
        assert_eq!(new[CERTIFICATES][1].as_array().unwrap().get(6), Some(&Json::Null), "the owner's, as before");
        assert_eq!(bring_up_to_date(new.clone(), |_| None).unwrap(), new, "what is there stays");
        assert!(bring_up_to_date(json!({ CERTIFICATES: [row("aa", "!")] }), |_| None).is_err());
        assert!(bring_up_to_date(json!({}), |_| None).is_err());
    }
}
