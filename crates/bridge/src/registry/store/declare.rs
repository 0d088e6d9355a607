use std::collections::BTreeSet;
use std::fmt::Write as _;

use civic::{ClientId, ServiceId, Timestamp};
use store::{Tx, params};
use trust::digest;

use super::super::change::{Author, NewService, RegistryError, ServicePatch};
use super::super::model::{ConnectionType, GlobalGroupId, ServiceKind, Subject};
use super::change::{self, Added};
use super::rights::{self, Given};
use super::{audit, raise_version};
use crate::access::Endpoint;
use crate::config::{ManagementHost, NodeConfig, ServiceBasis, ServiceConfig, SubjectRule};

const DIGEST: &str = "declared";
/// The group of all owners of nodes; X-Road's central server keeps it by this name.
const OWNERS: &str = "security-server-owners";
/// The management services that travel as messages (PR-MSERV §2).
const MANAGEMENT: [&str; 10] = [
    "authCertDeletion",
    "clientReg",
    "clientDeletion",
    "ownerChange",
    "addressChange",
    "clientDisable",
    "clientEnable",
    "clientRename",
    "maintenanceModeEnable",
    "maintenanceModeDisable",
];

/// What the configuration of the node declares.
pub(in crate::registry) struct Declared {
    clients: BTreeSet<ClientId>,
    services: Vec<(ServiceConfig, ServiceKind)>,
    rights: Vec<(Subject, ServiceId, Option<Endpoint>)>,
    timeout: std::time::Duration,
    digest: String,
}

impl Declared {
    pub(in crate::registry) fn of(config: &NodeConfig) -> Result<Self, RegistryError> {
        let mut clients: BTreeSet<ClientId> = config.clients.iter().cloned().collect();
        clients.extend(config.services.iter().map(|service| service.id.client().clone()));
        clients.extend(config.rights.iter().map(|right| right.service.client().clone()));
        clients.extend(config.management.iter().map(|host| host.client.clone()));
        let mut services: Vec<(ServiceConfig, ServiceKind)> = Vec::with_capacity(config.services.len());
        services.extend(config.services.iter().map(|service| {
            let kind = if service.openapi.is_some() { ServiceKind::OpenApi } else { ServiceKind::Rest };
            (service.clone(), kind)
        }));
        let given = |right: &crate::access::AccessRight| {
            (Subject::Client(right.client.clone()), right.service.clone(), right.endpoint.clone())
        };
        let mut rights: Vec<(Subject, ServiceId, Option<Endpoint>)> = config.rights.iter().map(given).collect();
        if let Some(host) = &config.management {
            let owners =
                GlobalGroupId { instance: host.client.member().instance().to_owned(), code: OWNERS.to_owned() };
            for service in management(host)? {
                rights.push((Subject::GlobalGroup(owners.clone()), service.id.clone(), None));
                services.push((service, ServiceKind::Soap));
            }
        }
        let mut seen = BTreeSet::new();
        if let Some((twice, _)) = services.iter().find(|(service, _)| !seen.insert(&service.id)) {
            let message = format!("the configuration declares {} twice: leave one out", twice.id);
            return Err(RegistryError::Invalid(message));
        }
        let timeout = config.limits.service_timeout;
        let text = format!("{clients:?}{services:?}{rights:?}{timeout:?}");
        let digest = digest::sha256(text.as_bytes()).iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Self { clients, services, rights, timeout, digest })
    }
}

/// The management services as services of their client.
fn management(host: &ManagementHost) -> Result<Vec<ServiceConfig>, RegistryError> {
    let one = |code: &&str| {
        let id = host.client.service(code).map_err(|error| RegistryError::Invalid(error.to_string()))?;
        let (base_url, basis, subject) = (host.url.clone(), ServiceBasis::Public, SubjectRule::None);
        Ok(ServiceConfig { id, base_url, basis, subject, fields: Vec::new(), openapi: None })
    };
    MANAGEMENT.iter().map(one).collect()
}

/// Puts what is declared into the tables, and takes out what was declared once and is no longer. Does nothing where nothing changed.
pub(in crate::registry) fn declare(
    tx: &mut Tx<'_>,
    wanted: &Declared,
    salt: [u8; 32],
    now: Timestamp,
) -> Result<(), RegistryError> {
    let known = tx.query_one("SELECT value FROM bridge_setting WHERE name = $1", &params![DIGEST])?;
    let known = known.map(|row| row.get::<String>("value")).transpose()?;
    let value = format!("\"{}\"", wanted.digest);
    if known.as_deref() == Some(value.as_str()) {
        return Ok(());
    }
    take_out(tx, wanted)?;
    for client in &wanted.clients {
        change::add_client(tx, client, ConnectionType::Http, Added::Declared)?;
    }
    for (service, kind) in &wanted.services {
        put_service(tx, service, *kind, wanted, now)?;
    }
    for (subject, service, endpoint) in &wanted.rights {
        if let Some(endpoint) = endpoint {
            rights::ensure_endpoint(tx, service, endpoint)?;
        }
        rights::give(tx, subject, service, endpoint.as_ref(), Given { at: now, declared: true })?;
    }
    tx.execute(
        "INSERT INTO bridge_setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &params![DIGEST, value],
    )?;
    raise_version(tx)?;
    audit(tx, &Author::Configuration.to_string(), "declare", "the configuration", "{}", salt, now)?;
    Ok(())
}

fn take_out(tx: &mut Tx<'_>, wanted: &Declared) -> Result<(), RegistryError> {
    tx.execute("DELETE FROM bridge_right WHERE declared = 1", &[])?;
    let sql = "SELECT s.description AS description, s.service AS service FROM bridge_service s \
               JOIN bridge_service_description d ON d.id = s.description WHERE d.declared = 1";
    for row in tx.query(sql, &[])? {
        let service: ServiceId = super::read::parsed(&row, "service")?;
        if !wanted.services.iter().any(|(wanted, _)| wanted.id == service) {
            change::remove_description(tx, row.get("description")?)?;
        }
    }
    for row in tx.query("SELECT id FROM bridge_client WHERE declared = 1", &[])? {
        let client: ClientId = super::read::parsed(&row, "id")?;
        if !wanted.clients.contains(&client) {
            change::remove_client(tx, &client)?;
        }
    }
    Ok(())
}

fn put_service(
    tx: &mut Tx<'_>,
    service: &ServiceConfig,
    kind: ServiceKind,
    wanted: &Declared,
    now: Timestamp,
) -> Result<(), RegistryError> {
    let sql = "SELECT s.id AS id, s.description AS description, d.declared AS declared FROM bridge_service s \
               JOIN bridge_service_description d ON d.id = s.description WHERE s.service = $1 AND s.version = ''";
    let mut known = tx.query_one(sql, &params![service.id.to_string()])?;
    if let Some(row) = known.take_if(|row| !matches!(row.get("declared"), Ok(true))) {
        // What was made another way makes room; its rights stay.
        tx.execute("DELETE FROM bridge_service WHERE id = $1", &params![row.get::<i64>("id")?])?;
    }
    let number = if let Some(row) = known {
        let description: i64 = row.get("description")?;
        tx.execute(
            "UPDATE bridge_service_description SET kind = $2, url = $3, description = $4, enabled = 1, disabled_notice = NULL, \
             declared = 1, refreshed = $5 WHERE id = $1",
            &params![description, kind.word(), service.base_url.as_str(), service.openapi.clone(), now],
        )?;
        row.get("id")?
    } else {
        let new = NewService {
            id: service.id.clone(),
            version: None,
            title: None,
            url: service.base_url.clone(),
            endpoints: Vec::new(),
        };
        let client = service.id.client();
        let text = service.openapi.as_deref();
        let description =
            change::insert_description(tx, client, kind, &service.base_url, text, (Added::Declared, now))?;
        change::insert_service(tx, description, &new)?
    };
    let patch = ServicePatch {
        url: Some(service.base_url.clone()),
        timeout: Some(wanted.timeout),
        tls_verify: Some(true),
        basis: Some(service.basis.clone()),
        subject: Some(service.subject.clone()),
        fields: Some(service.fields.clone()),
    };
    change::patch_service(tx, number, &patch)
}
