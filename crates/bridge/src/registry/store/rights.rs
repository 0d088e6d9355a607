//! Endpoints and the rights to services and endpoints.

use civic::{ClientId, ServiceId, Timestamp};
use store::{Tx, params};

use super::super::change::RegistryError;
use super::super::model::Subject;
use super::change::is_client;
use super::next_number;
use super::read::{endpoint, parsed};
use crate::access::Endpoint;

/// When and how a right was given.
#[derive(Clone, Copy)]
pub(super) struct Given {
    pub(super) at: Timestamp,
    pub(super) declared: bool,
}

const WHOLE: (&str, &str) = ("*", "**");

pub(super) fn add_endpoint(tx: &mut Tx<'_>, service: &ServiceId, endpoint: &Endpoint) -> Result<i64, RegistryError> {
    check_service(tx, service)?;
    insert_endpoint(tx, service, endpoint, false)?
        .ok_or_else(|| RegistryError::Exists(format!("the endpoint {endpoint} of {service}")))
}

pub(super) fn ensure_endpoint(tx: &mut Tx<'_>, service: &ServiceId, endpoint: &Endpoint) -> Result<(), RegistryError> {
    insert_endpoint(tx, service, endpoint, false).map(drop)
}

pub(super) fn insert_endpoint(
    tx: &mut Tx<'_>,
    service: &ServiceId,
    endpoint: &Endpoint,
    generated: bool,
) -> Result<Option<i64>, RegistryError> {
    endpoint.check().map_err(RegistryError::Invalid)?;
    let number = next_number(tx)?;
    let inserted = tx.execute(
        "INSERT INTO bridge_endpoint (id, service, method, path, generated) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (service, method, path) DO NOTHING",
        &params![number, service.to_string(), endpoint.method(), endpoint.path.as_str(), generated],
    )?;
    Ok(Some(number).filter(|_| inserted > 0))
}

pub(super) fn set_endpoint(tx: &mut Tx<'_>, number: i64, new: &Endpoint) -> Result<(), RegistryError> {
    new.check().map_err(RegistryError::Invalid)?;
    let sql = "SELECT service, method, path, generated FROM bridge_endpoint WHERE id = $1";
    let row = tx.query_one(sql, &params![number])?;
    let row = row.ok_or_else(|| RegistryError::NotFound(format!("endpoint {number}")))?;
    if row.get::<bool>("generated")? {
        return Err(RegistryError::Invalid(
            "the endpoint comes from the service description: change it there".to_owned(),
        ));
    }
    let (service, old): (String, Endpoint) = (row.get("service")?, endpoint(&row)?);
    let taken = "SELECT id FROM bridge_endpoint WHERE service = $1 AND method = $2 AND path = $3 AND id <> $4";
    if tx.query_one(taken, &params![service.as_str(), new.method(), new.path.as_str(), number])?.is_some() {
        return Err(RegistryError::Exists(format!("the endpoint {new}")));
    }
    tx.execute(
        "UPDATE bridge_endpoint SET method = $2, path = $3 WHERE id = $1",
        &params![number, new.method(), new.path.as_str()],
    )?;
    tx.execute(
        "UPDATE bridge_right SET method = $4, path = $5 WHERE service = $1 AND method = $2 AND path = $3",
        &params![service, old.method(), old.path, new.method(), new.path.as_str()],
    )?;
    Ok(())
}

pub(super) fn remove_endpoint(tx: &mut Tx<'_>, number: i64) -> Result<(), RegistryError> {
    let row = tx.query_one("SELECT service, method, path FROM bridge_endpoint WHERE id = $1", &params![number])?;
    let row = row.ok_or_else(|| RegistryError::NotFound(format!("endpoint {number}")))?;
    let (service, method, path): (String, String, String) = (row.get("service")?, row.get("method")?, row.get("path")?);
    let of_it = params![service, method, path];
    let sql = "SELECT subject FROM bridge_right WHERE service = $1 AND method = $2 AND path = $3 AND declared = 1";
    if tx.query_one(sql, &of_it)?.is_some() {
        return Err(RegistryError::Declared(format!("a right to endpoint {number}")));
    }
    tx.execute("DELETE FROM bridge_right WHERE service = $1 AND method = $2 AND path = $3", &of_it)?;
    tx.execute("DELETE FROM bridge_endpoint WHERE id = $1", &params![number])?;
    Ok(())
}

pub(super) fn give(
    tx: &mut Tx<'_>,
    subject: &Subject,
    service: &ServiceId,
    endpoint: Option<&Endpoint>,
    given: Given,
) -> Result<(), RegistryError> {
    let (kind, who) = subject_columns(subject);
    let (method, path) = endpoint.map_or(WHOLE, |endpoint| (endpoint.method(), endpoint.path.as_str()));
    let inserted = tx.execute(
        "INSERT INTO bridge_right (subject_kind, subject, service, method, path, given, declared) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (subject_kind, subject, service, method, path) DO NOTHING",
        &params![kind, who, service.to_string(), method, path, given.at, given.declared],
    )?;
    if inserted == 0 && given.declared {
        // Given by hand before; from now on the configuration says it.
        let (kind, who) = subject_columns(subject);
        tx.execute(
            "UPDATE bridge_right SET declared = 1 WHERE subject_kind = $1 AND subject = $2 AND service = $3 AND method = $4 \
             AND path = $5",
            &params![kind, who, service.to_string(), method, path],
        )?;
    } else if inserted == 0 {
        return Err(RegistryError::Exists("this right".to_owned()));
    }
    Ok(())
}

pub(super) fn take(
    tx: &mut Tx<'_>,
    subject: &Subject,
    service: &ServiceId,
    endpoint: Option<&Endpoint>,
) -> Result<(), RegistryError> {
    let (kind, who) = subject_columns(subject);
    let (method, path) = endpoint.map_or(WHOLE, |endpoint| (endpoint.method(), endpoint.path.as_str()));
    let one = params![kind, who, service.to_string(), method, path];
    let of_it = "subject_kind = $1 AND subject = $2 AND service = $3 AND method = $4 AND path = $5";
    let row = tx.query_one(&format!("SELECT declared FROM bridge_right WHERE {of_it}"), &one)?;
    let row = row.ok_or_else(|| RegistryError::NotFound("this right".to_owned()))?;
    if row.get::<bool>("declared")? {
        return Err(RegistryError::Declared("this right".to_owned()));
    }
    tx.execute(&format!("DELETE FROM bridge_right WHERE {of_it}"), &one)?;
    Ok(())
}

fn subject_columns(subject: &Subject) -> (&'static str, String) {
    match subject {
        Subject::Client(client) => ("client", client.to_string()),
        Subject::LocalGroup(number) => ("local_group", number.to_string()),
        Subject::GlobalGroup(group) => ("global_group", group.to_string()),
    }
}

pub(super) fn check_subject(tx: &mut Tx<'_>, subject: &Subject, service: &ServiceId) -> Result<(), RegistryError> {
    let Subject::LocalGroup(number) = subject else { return Ok(()) };
    let row = tx.query_one("SELECT client FROM bridge_local_group WHERE id = $1", &params![*number])?;
    let row = row.ok_or_else(|| RegistryError::NotFound(format!("local group {number}")))?;
    if parsed::<ClientId>(&row, "client")? == *service.client() {
        return Ok(());
    }
    Err(RegistryError::Invalid(format!("local group {number} belongs to another client than {service}")))
}

/// A service of the tables, or one that the node itself answers.
pub(super) fn check_service(tx: &mut Tx<'_>, service: &ServiceId) -> Result<(), RegistryError> {
    if service.code() == crate::DATA_TRACKER && is_client(tx, service.client())? {
        return Ok(());
    }
    match tx.query_one("SELECT id FROM bridge_service WHERE service = $1", &params![service.to_string()])? {
        Some(_) => Ok(()),
        None => Err(RegistryError::NotFound(service.to_string())),
    }
}
