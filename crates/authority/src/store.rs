//! The only file of the authority with SQL.

use std::collections::BTreeMap;

use civic::{ClientId, MemberId, ServerId, Timestamp};
use store::{Migration, Row, Tx, params};
use trust::cert::Certificate;
use trust::digest::{sha1, sha256};
use trust::globalconf::{Member, SecurityServer, Subsystem};
use trust::ocsp::OcspStatus;

use crate::AuthorityError;

/// The tables of the authority.
pub(crate) const MIGRATIONS: [Migration; 1] = [Migration {
    room: "authority",
    number: 1,
    name: "registry",
    sql: include_str!("../migrations/0001_registry.sql"),
}];

/// Certificates, nodes and members that one federation may have before the configuration must be split.
const ROWS_MAX: usize = 100_000;

/// A certificate to be remembered.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) certificate: Certificate,
    pub(crate) profile: &'static str,
    pub(crate) server: Option<ServerId>,
    pub(crate) member: Option<MemberId>,
}

/// Members and nodes, as the configuration tells them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    pub(crate) members: Vec<Member>,
    pub(crate) servers: Vec<SecurityServer>,
}

pub(crate) fn put_member(tx: &mut Tx<'_>, id: &MemberId, name: &str, now: Timestamp) -> Result<(), AuthorityError> {
    tx.execute(
        "INSERT INTO authority_member (id, name, registered_at) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        &params![id.to_string(), name, now],
    )?;
    Ok(())
}

pub(crate) fn put_subsystem(
    tx: &mut Tx<'_>,
    id: &ClientId,
    name: Option<&str>,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    member_name(tx, id.member())?;
    tx.execute(
        "INSERT INTO authority_subsystem (id, member, name, registered_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        &params![id.to_string(), id.member().to_string(), name.map(str::to_owned), now],
    )?;
    Ok(())
}

/// The official name; an error where the member is not registered.
pub(crate) fn member_name(tx: &mut Tx<'_>, id: &MemberId) -> Result<String, AuthorityError> {
    let row = tx.query_one("SELECT name FROM authority_member WHERE id = $1", &params![id.to_string()])?;
    Ok(row.ok_or_else(|| AuthorityError::UnknownMember(id.clone()))?.get("name")?)
}

/// Registers the node, or brings its address and clients up to date; adds the authentication certificate.
pub(crate) fn put_server(
    tx: &mut Tx<'_>,
    id: &ServerId,
    address: &str,
    auth_sha256: &str,
    clients: &[ClientId],
    now: Timestamp,
) -> Result<(), AuthorityError> {
    member_name(tx, id.owner())?;
    let serial = auth_serial(tx, id, auth_sha256, now)?;
    let server = id.to_string();
    tx.execute(
        "INSERT INTO authority_server (id, owner, address, registered_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET address = excluded.address",
        &params![server.as_str(), id.owner().to_string(), address, now],
    )?;
    tx.execute(
        "INSERT INTO authority_server_auth (server, serial) VALUES ($1, $2) ON CONFLICT (server, serial) DO NOTHING",
        &params![server.as_str(), serial],
    )?;
    tx.execute("DELETE FROM authority_server_client WHERE server = $1", &params![server.as_str()])?;
    for client in clients {
        require_client(tx, client)?;
        tx.execute(
            "INSERT INTO authority_server_client (server, client) VALUES ($1, $2)
             ON CONFLICT (server, client) DO NOTHING",
            &params![server.as_str(), client.to_string()],
        )?;
    }
    Ok(())
}

/// Remembers a certificate. The same one again is no change.
pub(crate) fn put_certificate(tx: &mut Tx<'_>, issued: &Issued, now: Timestamp) -> Result<(), AuthorityError> {
    let certificate = &issued.certificate;
    let sha256 = hex::encode(certificate.sha256());
    let known =
        tx.query_one("SELECT serial FROM authority_certificate WHERE sha256 = $1", &params![sha256.as_str()])?;
    if known.is_some() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO authority_certificate (serial, profile, server, member, sha256, der, issued_at, not_after, revoked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)",
        &params![
            hex::encode(certificate.serial()),
            issued.profile,
            issued.server.as_ref().map(ToString::to_string),
            issued.member.as_ref().map(ToString::to_string),
            sha256,
            certificate.der(),
            now,
            certificate.not_after(),
        ],
    )?;
    Ok(())
}

/// What is known of a certificate by its serial number.
pub(crate) fn status(tx: &mut Tx<'_>, serial: &[u8]) -> Result<OcspStatus, AuthorityError> {
    let row =
        tx.query_one("SELECT revoked_at FROM authority_certificate WHERE serial = $1", &params![hex::encode(serial)])?;
    let Some(row) = row else { return Ok(OcspStatus::Unknown) };
    Ok(row.get::<Option<Timestamp>>("revoked_at")?.map_or(OcspStatus::Good, |at| OcspStatus::Revoked { at }))
}

/// Revokes for good: the first moment stands.
pub(crate) fn revoke(tx: &mut Tx<'_>, serial: &[u8], now: Timestamp) -> Result<(), AuthorityError> {
    let changed = tx.execute(
        "UPDATE authority_certificate SET revoked_at = COALESCE(revoked_at, $2) WHERE serial = $1",
        &params![hex::encode(serial), now],
    )?;
    if changed == 0 {
        return Err(AuthorityError::UnknownSerial(hex::encode(serial)));
    }
    Ok(())
}

/// Everything that the configuration tells; revoked and expired authentication certificates are left out.
pub(crate) fn registry(tx: &mut Tx<'_>, now: Timestamp) -> Result<Registry, AuthorityError> {
    let mut subsystems =
        grouped(tx, "SELECT member AS owner, id, name FROM authority_subsystem ORDER BY id", &[], |row| {
            let id: ClientId = row.get::<String>("id")?.parse()?;
            Ok(Subsystem { code: id.subsystem().unwrap_or_default().to_owned(), name: row.get("name")? })
        })?;
    let mut clients =
        grouped(tx, "SELECT server AS owner, client FROM authority_server_client ORDER BY client", &[], |row| {
            Ok(row.get::<String>("client")?.parse::<ClientId>()?)
        })?;
    let hashes = "SELECT a.server AS owner, c.der FROM authority_server_auth a
        JOIN authority_certificate c ON c.serial = a.serial
        WHERE c.revoked_at IS NULL AND c.not_after >= $1 ORDER BY c.issued_at, c.serial";
    let mut hashes = grouped(tx, hashes, &params![now], |row| {
        let der: Vec<u8> = row.get("der")?;
        // Version 2 of the configuration names certificates by SHA-1, later ones by SHA-256.
        Ok([sha256(&der).to_vec(), sha1(&der).to_vec()])
    })?;
    let mut registry = Registry::default();
    for row in tx.query("SELECT id, name FROM authority_member ORDER BY id", &[])?.iter().take(ROWS_MAX) {
        let id: String = row.get("id")?;
        let subsystems = subsystems.remove(&id).unwrap_or_default();
        registry.members.push(Member { id: id.parse()?, name: row.get("name")?, subsystems });
    }
    for row in tx.query("SELECT id, address FROM authority_server ORDER BY id", &[])?.iter().take(ROWS_MAX) {
        let id: String = row.get("id")?;
        registry.servers.push(SecurityServer {
            address: Some(row.get("address")?),
            auth_cert_hashes: hashes.remove(&id).unwrap_or_default().concat(),
            clients: clients.remove(&id).unwrap_or_default(),
            maintenance: None,
            id: id.parse()?,
        });
    }
    Ok(registry)
}

/// Rows by their column `owner`.
fn grouped<T>(
    tx: &mut Tx<'_>,
    sql: &str,
    parameters: &[store::Value],
    read: impl Fn(&Row) -> Result<T, AuthorityError>,
) -> Result<BTreeMap<String, Vec<T>>, AuthorityError> {
    let mut groups: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for row in tx.query(sql, parameters)?.iter().take(ROWS_MAX) {
        groups.entry(row.get("owner")?).or_default().push(read(row)?);
    }
    Ok(groups)
}

fn require_client(tx: &mut Tx<'_>, client: &ClientId) -> Result<(), AuthorityError> {
    let (table, id) = match client.subsystem() {
        Some(_) => ("SELECT id FROM authority_subsystem WHERE id = $1", client.to_string()),
        None => ("SELECT id FROM authority_member WHERE id = $1", client.member().to_string()),
    };
    let known = tx.query_one(table, &params![id])?;
    known.map(drop).ok_or_else(|| AuthorityError::UnknownClient(client.clone()))
}

/// The serial number of the node's authentication certificate, where it is ours and in force.
fn auth_serial(tx: &mut Tx<'_>, id: &ServerId, sha256: &str, now: Timestamp) -> Result<String, AuthorityError> {
    let row = tx.query_one(
        "SELECT serial FROM authority_certificate
         WHERE sha256 = $1 AND server = $2 AND profile = 'auth' AND revoked_at IS NULL AND not_after >= $3",
        &params![sha256, id.to_string(), now],
    )?;
    Ok(row.ok_or_else(|| AuthorityError::NotAuthOf(id.clone()))?.get("serial")?)
}
