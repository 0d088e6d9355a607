//! The only file of the room with SQL.

use std::sync::Arc;

use civic::Timestamp;
use consent::Permit;
use store::{Migration, Sealer, Store, Tx, Value, params};

use crate::accounts::Account;
use crate::error::FiscError;
use crate::statement::Statement;

/// The tables of the tax office.
pub(crate) const MIGRATIONS: [Migration; 1] =
    [Migration { room: "fisc", number: 1, name: "accounts", sql: include_str!("../migrations/0001_accounts.sql") }];

/// Rows of one INSERT: at most four parameters each, far below the limit of both engines.
const ROWS_PER_INSERT: usize = 200;

/// The statement of the citizen whom the permit is about.
pub(crate) async fn statement(store: &Store, permit: &Permit, year: u16) -> Result<Option<Statement>, FiscError> {
    let index = taxpayer_index(store.sealer(), permit.subject().as_str());
    store
        .read("fisc.statement", move |tx| {
            let row = tx.query_one(
                "SELECT s.account, s.record FROM fisc_statement s JOIN fisc_account a ON a.id = s.account \
                 WHERE a.taxpayer_index = $1 AND s.year = $2",
                &params![&index, year],
            )?;
            let Some(row) = row else { return Ok(None) };
            let (account, sealed): (String, Vec<u8>) = (row.get("account")?, row.get("record")?);
            let record = tx.sealer().open("fisc_statement", "record", place(&account, year), &sealed)?;
            serde_json::from_slice(&record).map(Some).map_err(|error| FiscError::Record {
                account,
                year,
                reason: error.to_string(),
            })
        })
        .await
}

/// How many accounts the office holds.
pub async fn count(store: &Store) -> Result<u64, FiscError> {
    store.read("fisc.count", counted).await
}

/// Writes all accounts in one transaction, where the office has none; how many accounts were written.
pub async fn seed(store: &Store, accounts: Arc<[Account]>, now: Timestamp) -> Result<u64, FiscError> {
    store.migrate(&MIGRATIONS).await?;
    store
        .tx("fisc.seed", move |tx| {
            if counted(tx)? > 0 {
                return Ok(0);
            }
            let mut written = 0;
            for accounts in accounts.chunks(ROWS_PER_INSERT) {
                let mut values = Vec::with_capacity(accounts.len() * 3);
                for account in accounts {
                    let index = taxpayer_index(tx.sealer(), account.national_number.as_str());
                    values.extend(params![&account.id, index, now]);
                }
                let head = "INSERT INTO fisc_account (id, taxpayer_index, written_at) VALUES";
                written += tx.execute(&insert(head, 3, accounts.len()), &values)?;
            }
            let statements: Vec<(&str, &Statement)> = accounts
                .iter()
                .flat_map(|account| account.statements.iter().map(|statement| (account.id.as_str(), statement)))
                .collect();
            for statements in statements.chunks(ROWS_PER_INSERT) {
                let mut values = Vec::with_capacity(statements.len() * 4);
                for (account, statement) in statements {
                    values.extend(row_of(account, statement, tx.sealer(), now)?);
                }
                let head = "INSERT INTO fisc_statement (account, year, record, written_at) VALUES";
                tx.execute(&insert(head, 4, statements.len()), &values)?;
            }
            Ok(written)
        })
        .await
}

fn counted(tx: &mut Tx<'_>) -> Result<u64, FiscError> {
    let row = tx.query_one("SELECT COUNT(*) AS accounts FROM fisc_account", &[])?;
    Ok(row.map_or(Ok(0), |row| row.get("accounts"))?)
}

fn insert(head: &str, columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    format!("{head} {}", (0..rows).map(row).collect::<Vec<_>>().join(", "))
}

fn row_of(account: &str, statement: &Statement, sealer: &Sealer, now: Timestamp) -> Result<[Value; 4], FiscError> {
    let record = serde_json::to_vec(statement).map_err(|error| FiscError::Record {
        account: account.to_owned(),
        year: statement.year,
        reason: error.to_string(),
    })?;
    let sealed = sealer.seal("fisc_statement", "record", place(account, statement.year), &record)?;
    Ok([Value::from(account), Value::from(statement.year), Value::from(sealed), Value::from(now)])
}

fn place(account: &str, year: u16) -> String {
    format!("{account}/{year}")
}

fn taxpayer_index(sealer: &Sealer, number: &str) -> Vec<u8> {
    sealer.blind_index("fisc_account", "taxpayer_index", number.as_bytes())
}
