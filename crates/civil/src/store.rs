//! The only file of the room with SQL.

use std::sync::Arc;

use civic::{PersonId, Timestamp};
use consent::Permit;
use store::{Migration, Row, Sealer, Store, Tx, Value, params};

use crate::error::CivilError;
use crate::person::Person;

/// The tables of the register.
pub(crate) const MIGRATIONS: [Migration; 1] =
    [Migration { room: "civil", number: 1, name: "people", sql: include_str!("../migrations/0001_people.sql") }];

const TABLE: &str = "civil_person";
/// Rows of one INSERT: four parameters each, far below the limit of both engines.
const ROWS_PER_INSERT: usize = 200;

/// Finds the person whom the permit is about.
pub(crate) async fn person(store: &Store, permit: &Permit) -> Result<Option<Person>, CivilError> {
    let index = national_index(store.sealer(), permit.subject().as_str());
    store
        .read("civil.person", move |tx| {
            tx.query_one("SELECT id, record FROM civil_person WHERE national_index = $1", &params![&index])?
                .map(|row| person_of(&row, tx.sealer()))
                .transpose()
        })
        .await
}

/// How many records the register holds.
pub async fn count(store: &Store) -> Result<u64, CivilError> {
    store.read("civil.count", counted).await
}

/// Writes a whole population in one transaction, where the register is empty; how many records were written.
pub async fn seed(store: &Store, people: Arc<[Person]>, now: Timestamp) -> Result<u64, CivilError> {
    store.migrate(&MIGRATIONS).await?;
    store
        .tx("civil.seed", move |tx| {
            if counted(tx)? > 0 {
                return Ok(0);
            }
            let mut written = 0;
            for people in people.chunks(ROWS_PER_INSERT) {
                let mut values = Vec::with_capacity(people.len() * 4);
                for person in people {
                    values.extend(row_of(person, tx.sealer(), now)?);
                }
                written += tx.execute(&insert(people.len()), &values)?;
            }
            Ok(written)
        })
        .await
}

fn counted(tx: &mut Tx<'_>) -> Result<u64, CivilError> {
    let row = tx.query_one("SELECT COUNT(*) AS people FROM civil_person", &[])?;
    Ok(row.map_or(Ok(0), |row| row.get("people"))?)
}

fn insert(rows: usize) -> String {
    let places: Vec<String> = (0..rows)
        .map(|row| format!("(${}, ${}, ${}, ${})", row * 4 + 1, row * 4 + 2, row * 4 + 3, row * 4 + 4))
        .collect();
    format!("INSERT INTO civil_person (id, national_index, record, written_at) VALUES {}", places.join(", "))
}

fn row_of(person: &Person, sealer: &Sealer, now: Timestamp) -> Result<[Value; 4], CivilError> {
    let id = person.id.as_str();
    let record = serde_json::to_vec(person).map_err(|error| unreadable(id, &error.to_string()))?;
    Ok([
        Value::from(id),
        Value::from(national_index(sealer, person.national_number.as_str())),
        Value::from(sealer.seal(TABLE, "record", id, &record)?),
        Value::from(now),
    ])
}

fn person_of(row: &Row, sealer: &Sealer) -> Result<Person, CivilError> {
    let id: String = row.get("id")?;
    let sealed: Vec<u8> = row.get("record")?;
    let record = sealer.open(TABLE, "record", &id, &sealed)?;
    let person: Person = serde_json::from_slice(&record).map_err(|error| unreadable(&id, &error.to_string()))?;
    // A record moved to another row does not open; one whose id differs was written wrongly.
    if person.id.as_str() == id && id.parse::<PersonId>().is_ok() {
        Ok(person)
    } else {
        Err(unreadable(&id, "it holds another person"))
    }
}

fn national_index(sealer: &Sealer, number: &str) -> Vec<u8> {
    sealer.blind_index(TABLE, "national_index", number.as_bytes())
}

fn unreadable(id: &str, reason: &str) -> CivilError {
    CivilError::Record { id: id.to_owned(), reason: reason.to_owned() }
}
