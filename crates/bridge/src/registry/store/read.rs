use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use civic::{ClientId, ServiceId};
use store::{Row, Tx, params};

use super::super::change::RegistryError;
use super::super::model::{
    ClientSettings, Connection, ConnectionType, Description, LocalGroup, NumberedEndpoint, Right, Service, Subject,
};
use super::super::offer::Rows;
use crate::access::Endpoint;
use crate::config::{ServiceBasis, SubjectRule};

/// Reads the whole registry, unless it is at this version.
pub(in crate::registry) fn read_if_newer(tx: &mut Tx<'_>, known: i64) -> Result<Option<Rows>, RegistryError> {
    let row = tx.query_one("SELECT version FROM bridge_registry_version WHERE id = 1", &[])?;
    let version = match row {
        Some(row) => row.get("version")?,
        None => return Err(RegistryError::Damaged("its version row is missing".to_owned())),
    };
    if version == known {
        return Ok(None);
    }
    let descriptions = descriptions(tx)?;
    let certificates = certificates(tx)?;
    Ok(Some(Rows {
        version,
        clients: clients(tx, &certificates)?,
        certificates,
        services: services(tx, &descriptions)?,
        rights: rights(tx)?,
        groups: groups(tx)?,
        descriptions,
    }))
}

/// A kept text as a value.
pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row, column: &str) -> Result<T, RegistryError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| RegistryError::Damaged(format!("column {column}: {error}")))
}

fn certificates(tx: &mut Tx<'_>) -> Result<HashMap<ClientId, Vec<Vec<u8>>>, RegistryError> {
    let mut certificates: HashMap<ClientId, Vec<Vec<u8>>> = HashMap::new();
    let sql = "SELECT client, certificate FROM bridge_client_certificate ORDER BY client, fingerprint";
    for row in tx.query(sql, &[])? {
        certificates.entry(parsed(&row, "client")?).or_default().push(row.get("certificate")?);
    }
    Ok(certificates)
}

fn clients(
    tx: &mut Tx<'_>,
    certificates: &HashMap<ClientId, Vec<Vec<u8>>>,
) -> Result<Vec<ClientSettings>, RegistryError> {
    let rows = tx.query("SELECT id, connection, log_mode, status, name, declared FROM bridge_client", &[])?;
    let read = |row: &Row| {
        let id: ClientId = parsed(row, "id")?;
        let connection = match parsed::<ConnectionType>(row, "connection")? {
            ConnectionType::Http => Connection::Http,
            ConnectionType::HttpsNoAuth => Connection::HttpsNoAuth,
            ConnectionType::Https => {
                Connection::HttpsAuth { certificates: certificates.get(&id).cloned().unwrap_or_default().into() }
            }
        };
        Ok(ClientSettings {
            id,
            connection,
            log_mode: parsed(row, "log_mode")?,
            status: parsed(row, "status")?,
            name: row.get("name")?,
            declared: row.get("declared")?,
        })
    };
    rows.iter().map(read).collect()
}

fn descriptions(tx: &mut Tx<'_>) -> Result<Vec<Description>, RegistryError> {
    let rows = tx.query(
        "SELECT id, client, kind, url, description, enabled, disabled_notice, refreshed, declared \
         FROM bridge_service_description ORDER BY id",
        &[],
    )?;
    let read = |row: &Row| {
        Ok(Description {
            number: row.get("id")?,
            client: parsed(row, "client")?,
            kind: parsed(row, "kind")?,
            url: row.get("url")?,
            text: row.get::<Option<String>>("description")?.map(Arc::from),
            enabled: row.get("enabled")?,
            disabled_notice: row.get("disabled_notice")?,
            refreshed: row.get("refreshed")?,
            declared: row.get("declared")?,
        })
    };
    rows.iter().map(read).collect()
}

fn services(tx: &mut Tx<'_>, descriptions: &[Description]) -> Result<Vec<Service>, RegistryError> {
    let by_number: HashMap<i64, &Description> = descriptions.iter().map(|one| (one.number, one)).collect();
    let mut endpoints: HashMap<ServiceId, Vec<NumberedEndpoint>> = HashMap::new();
    for row in tx.query("SELECT id, service, method, path, generated FROM bridge_endpoint ORDER BY id", &[])? {
        let one =
            NumberedEndpoint { number: row.get("id")?, endpoint: endpoint(&row)?, generated: row.get("generated")? };
        endpoints.entry(parsed(&row, "service")?).or_default().push(one);
    }
    let rows = tx.query(
        "SELECT id, description, service, version, title, url, timeout_ms, tls_verify, basis, law_reference, purpose_code, \
         purpose_text, subject, fields FROM bridge_service ORDER BY id",
        &[],
    )?;
    let read = |row: &Row| {
        let number: i64 = row.get("id")?;
        let description = by_number
            .get(&row.get("description")?)
            .ok_or_else(|| RegistryError::Damaged(format!("service {number} has no description")))?;
        let id: ServiceId = parsed(row, "service")?;
        let fields: String = row.get("fields")?;
        Ok(Service {
            number,
            description_number: description.number,
            kind: description.kind,
            version: Some(row.get::<String>("version")?).filter(|version| !version.is_empty()),
            title: row.get("title")?,
            base_url: row.get("url")?,
            tls_verify: row.get("tls_verify")?,
            timeout: Duration::from_millis(row.get("timeout_ms")?),
            basis: basis(row)?,
            subject: subject_rule(row)?,
            fields: serde_json::from_str(&fields).map_err(|error| RegistryError::Damaged(error.to_string()))?,
            description: description.text.clone(),
            endpoints: endpoints.get(&id).cloned().unwrap_or_default(),
            enabled: description.enabled,
            disabled_notice: description.disabled_notice.clone(),
            id,
        })
    };
    rows.iter().map(read).collect()
}

fn basis(row: &Row) -> Result<ServiceBasis, RegistryError> {
    let word: String = row.get("basis")?;
    match word.as_str() {
        "public" => Ok(ServiceBasis::Public),
        "consent" => Ok(ServiceBasis::Consent),
        "law" => Ok(ServiceBasis::Law {
            reference: row.get("law_reference")?,
            purpose_code: row.get("purpose_code")?,
            purpose_text: row.get("purpose_text")?,
        }),
        other => Err(RegistryError::Damaged(format!("`{other}` is no basis"))),
    }
}

fn subject_rule(row: &Row) -> Result<SubjectRule, RegistryError> {
    let word: String = row.get("subject")?;
    match (word.as_str(), word.strip_prefix("path:").map(str::parse)) {
        ("none", _) => Ok(SubjectRule::None),
        ("permit", _) => Ok(SubjectRule::Permit),
        (_, Some(Ok(segment))) => Ok(SubjectRule::PathSegment(segment)),
        (word, _) if word.starts_with("body:") => {
            Ok(SubjectRule::BodyElement(word.trim_start_matches("body:").to_owned()))
        }
        _ => Err(RegistryError::Damaged(format!("`{word}` is no rule for a subject"))),
    }
}

pub(super) fn endpoint(row: &Row) -> Result<Endpoint, RegistryError> {
    let method: String = row.get("method")?;
    let verb = match method.as_str() {
        "*" => None,
        verb => Some(verb.parse().map_err(|_| RegistryError::Damaged(format!("`{method}` is no method")))?),
    };
    Ok(Endpoint { verb, path: row.get("path")? })
}

fn rights(tx: &mut Tx<'_>) -> Result<Vec<Right>, RegistryError> {
    let rows = tx.query(
        "SELECT subject_kind, subject, service, method, path, given, declared FROM bridge_right ORDER BY given, subject",
        &[],
    )?;
    let read = |row: &Row| {
        let kind: String = row.get("subject_kind")?;
        let subject = match kind.as_str() {
            "client" => Subject::Client(parsed(row, "subject")?),
            "local_group" => Subject::LocalGroup(parsed(row, "subject")?),
            "global_group" => Subject::GlobalGroup(parsed(row, "subject")?),
            other => return Err(RegistryError::Damaged(format!("`{other}` has no rights"))),
        };
        Ok(Right {
            subject,
            service: parsed(row, "service")?,
            endpoint: Some(endpoint(row)?).filter(|endpoint| !endpoint.is_whole_service()),
            given: row.get("given")?,
            declared: row.get("declared")?,
        })
    };
    rows.iter().map(read).collect()
}

fn groups(tx: &mut Tx<'_>) -> Result<Vec<LocalGroup>, RegistryError> {
    let mut groups = Vec::new();
    for row in tx.query("SELECT id, client, code, description, updated FROM bridge_local_group ORDER BY id", &[])? {
        let number: i64 = row.get("id")?;
        let members =
            tx.query("SELECT member FROM bridge_local_group_member WHERE local_group = $1", &params![number])?;
        groups.push(LocalGroup {
            number,
            client: parsed(&row, "client")?,
            code: row.get("code")?,
            description: row.get("description")?,
            updated: row.get("updated")?,
            members: members.iter().map(|member| parsed(member, "member")).collect::<Result<_, _>>()?,
        });
    }
    Ok(groups)
}
