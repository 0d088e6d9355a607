//! The only module of the authority with SQL: members, nodes and certificates here, the rest in the files beside.

mod directory;
mod logs;
mod operators;
mod requests;

use std::collections::BTreeMap;

use civic::{ClientId, MemberId, ServerId, Timestamp};
use store::{Migration, Row, Tx, params};
use trust::cert::Certificate;
use trust::digest::{sha1, sha256};
use trust::globalconf::{FederationLog, GlobalGroup, Member, MemberClass, SecurityServer, Subsystem};
use trust::ocsp::OcspStatus;

use crate::AuthorityError;
use crate::approved::Approval;

pub(crate) use directory::*;
pub(crate) use logs::*;
pub(crate) use operators::*;
pub(crate) use requests::*;

/// The tables of the authority.
pub(crate) const MIGRATIONS: [Migration; 4] = [
    Migration {
        room: "authority",
        number: 1,
        name: "registry",
        sql: include_str!("../../migrations/0001_registry.sql"),
    },
    Migration {
        room: "authority",
        number: 2,
        name: "workflow",
        sql: include_str!("../../migrations/0002_workflow.sql"),
    },
    Migration { room: "authority", number: 3, name: "logs", sql: include_str!("../../migrations/0003_logs.sql") },
    Migration {
        room: "authority",
        number: 4,
        name: "enrolments",
        sql: include_str!("../../migrations/0004_enrolments.sql"),
    },
];

/// Certificates, nodes and members that one federation may have before the configuration must be split.
pub(crate) const ROWS_MAX: usize = 100_000;

/// A certificate to be remembered.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) certificate: Certificate,
    pub(crate) profile: &'static str,
    pub(crate) server: Option<ServerId>,
    pub(crate) member: Option<MemberId>,
}

/// What the registry holds, as the configuration tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    pub(crate) members: Vec<Member>,
    pub(crate) servers: Vec<SecurityServer>,
    pub(crate) groups: Vec<GlobalGroup>,
    pub(crate) classes: Vec<MemberClass>,
    pub(crate) approvals: Vec<Approval>,
    /// Anchors of federated instances, XML.
    pub(crate) federation: Vec<String>,
    /// The transparency logs that the federation relies on.
    pub(crate) logs: Vec<FederationLog>,
}

pub(crate) fn put_member(tx: &mut Tx<'_>, id: &MemberId, name: &str, now: Timestamp) -> Result<(), AuthorityError> {
    tx.execute(
        "INSERT INTO authority_member (id, name, registered_at) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        &params![id.to_string(), name, now],
    )?;
    Ok(())
}

/// A subsystem of a registered member, or its new name. Without a name it keeps the one that it has.
pub(crate) fn put_subsystem(
    tx: &mut Tx<'_>,
    id: &ClientId,
    name: Option<&str>,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    member_name(tx, id.member())?;
    tx.execute(
        "INSERT INTO authority_subsystem (id, member, name, registered_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET name = COALESCE(excluded.name, authority_subsystem.name)",
        &params![id.to_string(), id.member().to_string(), name.map(str::to_owned), now],
    )?;
    Ok(())
}

/// The official name; an error where the member is not registered.
pub(crate) fn member_name(tx: &mut Tx<'_>, id: &MemberId) -> Result<String, AuthorityError> {
    let row = tx.query_one("SELECT name FROM authority_member WHERE id = $1", &params![id.to_string()])?;
    Ok(row.ok_or_else(|| AuthorityError::UnknownMember(id.clone()))?.get("name")?)
}

/// The node with its address; a new one belongs to a registered member.
pub(crate) fn put_server(tx: &mut Tx<'_>, id: &ServerId, address: &str, now: Timestamp) -> Result<(), AuthorityError> {
    member_name(tx, id.owner())?;
    tx.execute(
        "INSERT INTO authority_server (id, owner, address, registered_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET address = excluded.address",
        &params![id.to_string(), id.owner().to_string(), address, now],
    )?;
    Ok(())
}

/// An error where the node is not registered.
pub(crate) fn require_server(tx: &mut Tx<'_>, id: &ServerId) -> Result<(), AuthorityError> {
    let row = tx.query_one("SELECT id FROM authority_server WHERE id = $1", &params![id.to_string()])?;
    row.map(drop).ok_or_else(|| AuthorityError::UnknownServer(id.clone()))
}

/// Where other nodes reach it.
pub(crate) fn set_address(tx: &mut Tx<'_>, id: &ServerId, address: &str) -> Result<(), AuthorityError> {
    require_server(tx, id)?;
    tx.execute("UPDATE authority_server SET address = $2 WHERE id = $1", &params![id.to_string(), address])?;
    Ok(())
}

/// The message for callers while it is under maintenance; `None` when it serves again.
pub(crate) fn set_maintenance(tx: &mut Tx<'_>, id: &ServerId, message: Option<&str>) -> Result<(), AuthorityError> {
    require_server(tx, id)?;
    let message = message.map(str::to_owned);
    tx.execute("UPDATE authority_server SET maintenance = $2 WHERE id = $1", &params![id.to_string(), message])?;
    Ok(())
}

/// Registers an authentication certificate for the node. The same one again is no change; at another node it is refused.
pub(crate) fn put_node_certificate(
    tx: &mut Tx<'_>,
    id: &ServerId,
    certificate: &Certificate,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    match node_of_certificate(tx, &hex::encode(certificate.sha256()))? {
        Some(known) if known == *id => return Ok(()),
        Some(known) => return Err(AuthorityError::CertificateOfOther(known)),
        None => {}
    }
    tx.execute(
        "INSERT INTO authority_node_certificate (sha256, server, der, not_after, registered_at)
         VALUES ($1, $2, $3, $4, $5)",
        &params![hex::encode(certificate.sha256()), id.to_string(), certificate.der(), certificate.not_after(), now],
    )?;
    Ok(())
}

/// The node that a certificate is registered for.
pub(crate) fn node_of_certificate(tx: &mut Tx<'_>, sha256: &str) -> Result<Option<ServerId>, AuthorityError> {
    let row = tx.query_one("SELECT server FROM authority_node_certificate WHERE sha256 = $1", &params![sha256])?;
    row.map(|row| Ok(row.get::<String>("server")?.parse()?)).transpose()
}

/// Whether it was registered for that node.
pub(crate) fn delete_node_certificate(tx: &mut Tx<'_>, id: &ServerId, sha256: &str) -> Result<bool, AuthorityError> {
    let deleted = tx.execute(
        "DELETE FROM authority_node_certificate WHERE sha256 = $1 AND server = $2",
        &params![sha256, id.to_string()],
    )?;
    Ok(deleted > 0)
}

/// The node's clients, in the place of those before. Whoever stays is stopped or not as before.
pub(crate) fn set_clients(tx: &mut Tx<'_>, id: &ServerId, clients: &[ClientId]) -> Result<(), AuthorityError> {
    let known = tx.query("SELECT client FROM authority_server_client WHERE server = $1", &params![id.to_string()])?;
    for row in known {
        let client: ClientId = row.get::<String>("client")?.parse()?;
        if !clients.contains(&client) {
            delete_client(tx, id, &client)?;
        }
    }
    clients.iter().try_for_each(|client| put_client(tx, id, client))
}

/// A client of the node; the same again is no change, and goes on no sooner than before.
pub(crate) fn put_client(tx: &mut Tx<'_>, id: &ServerId, client: &ClientId) -> Result<(), AuthorityError> {
    require_server(tx, id)?;
    require_client(tx, client)?;
    tx.execute(
        "INSERT INTO authority_server_client (server, client, enabled) VALUES ($1, $2, 1)
         ON CONFLICT (server, client) DO NOTHING",
        &params![id.to_string(), client.to_string()],
    )?;
    Ok(())
}

/// Whether it is a client of the node; the owner is not listed.
pub(crate) fn is_client(tx: &mut Tx<'_>, id: &ServerId, client: &ClientId) -> Result<bool, AuthorityError> {
    let row = tx.query_one(
        "SELECT client FROM authority_server_client WHERE server = $1 AND client = $2",
        &params![id.to_string(), client.to_string()],
    )?;
    Ok(row.is_some())
}

/// Whether it was a client.
pub(crate) fn delete_client(tx: &mut Tx<'_>, id: &ServerId, client: &ClientId) -> Result<bool, AuthorityError> {
    let deleted = tx.execute(
        "DELETE FROM authority_server_client WHERE server = $1 AND client = $2",
        &params![id.to_string(), client.to_string()],
    )?;
    Ok(deleted > 0)
}

/// Whether it is a client; a stopped one is not in the configuration.
pub(crate) fn set_enabled(
    tx: &mut Tx<'_>,
    id: &ServerId,
    client: &ClientId,
    enabled: bool,
) -> Result<bool, AuthorityError> {
    let changed = tx.execute(
        "UPDATE authority_server_client SET enabled = $3 WHERE server = $1 AND client = $2",
        &params![id.to_string(), client.to_string(), enabled],
    )?;
    Ok(changed > 0)
}

/// Gives the node to another member: its identifier changes with the owner.
pub(crate) fn move_server(tx: &mut Tx<'_>, from: &ServerId, to: &ServerId) -> Result<(), AuthorityError> {
    let (old, new) = (from.to_string(), to.to_string());
    tx.execute(
        "INSERT INTO authority_server (id, owner, address, registered_at, maintenance)
         SELECT $2, $3, address, registered_at, maintenance FROM authority_server WHERE id = $1",
        &params![old.as_str(), new.as_str(), to.owner().to_string()],
    )?;
    for statement in [
        "UPDATE authority_server_client SET server = $2 WHERE server = $1",
        "UPDATE authority_node_certificate SET server = $2 WHERE server = $1",
        "UPDATE authority_server_category SET server = $2 WHERE server = $1",
        "UPDATE authority_certificate SET server = $2 WHERE server = $1 AND profile = 'auth'",
    ] {
        tx.execute(statement, &params![old.as_str(), new.as_str()])?;
    }
    tx.execute("DELETE FROM authority_server WHERE id = $1", &params![old])?;
    Ok(())
}

/// Takes the node with its clients and certificates out of the registry.
pub(crate) fn delete_server(tx: &mut Tx<'_>, id: &ServerId) -> Result<(), AuthorityError> {
    require_server(tx, id)?;
    for statement in [
        "DELETE FROM authority_server_client WHERE server = $1",
        "DELETE FROM authority_node_certificate WHERE server = $1",
        "DELETE FROM authority_server_category WHERE server = $1",
        "UPDATE authority_request SET state = 'revoked' WHERE server = $1 AND state IN ('waiting', 'submitted')",
        "DELETE FROM authority_server WHERE id = $1",
    ] {
        tx.execute(statement, &params![id.to_string()])?;
    }
    Ok(())
}

/// How many nodes a member owns.
pub(crate) fn servers_of(tx: &mut Tx<'_>, owner: &MemberId) -> Result<usize, AuthorityError> {
    Ok(tx.query("SELECT id FROM authority_server WHERE owner = $1", &params![owner.to_string()])?.len())
}

/// A node through which this client, or a subsystem of this member, works.
pub(crate) fn node_of_client(tx: &mut Tx<'_>, client: &ClientId) -> Result<Option<String>, AuthorityError> {
    let row = tx.query_one(
        "SELECT server FROM authority_server_client WHERE client = $1 ORDER BY server LIMIT 1",
        &params![client.to_string()],
    )?;
    Ok(row.map(|row| row.get("server")).transpose()?)
}

/// The subsystems of a member.
pub(crate) fn subsystems_of(tx: &mut Tx<'_>, member: &MemberId) -> Result<Vec<ClientId>, AuthorityError> {
    let rows =
        tx.query("SELECT id FROM authority_subsystem WHERE member = $1 ORDER BY id", &params![member.to_string()])?;
    rows.iter().map(|row| Ok(row.get::<String>("id")?.parse()?)).collect()
}

/// Whether there was such a subsystem; it leaves its groups too.
pub(crate) fn delete_subsystem(tx: &mut Tx<'_>, id: &ClientId) -> Result<bool, AuthorityError> {
    tx.execute("DELETE FROM authority_group_member WHERE client = $1", &params![id.to_string()])?;
    Ok(tx.execute("DELETE FROM authority_subsystem WHERE id = $1", &params![id.to_string()])? > 0)
}

/// Whether there was such a member; it leaves its groups too.
pub(crate) fn delete_member(tx: &mut Tx<'_>, id: &MemberId) -> Result<bool, AuthorityError> {
    tx.execute("DELETE FROM authority_group_member WHERE client = $1", &params![id.to_string()])?;
    Ok(tx.execute("DELETE FROM authority_member WHERE id = $1", &params![id.to_string()])? > 0)
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

/// The signing certificates of a member that are in force, the newest first.
pub(crate) fn signing_certificates(
    tx: &mut Tx<'_>,
    member: &MemberId,
    now: Timestamp,
) -> Result<Vec<Certificate>, AuthorityError> {
    let rows = tx.query(
        "SELECT der FROM authority_certificate
         WHERE member = $1 AND profile = 'sign' AND revoked_at IS NULL AND not_after >= $2 ORDER BY issued_at DESC, serial",
        &params![member.to_string(), now],
    )?;
    rows.iter().map(|row| Ok(Certificate::from_der(&row.get::<Vec<u8>>("der")?)?)).collect()
}

/// Everything that the configuration tells; revoked and expired authentication certificates are left out.
pub(crate) fn registry(tx: &mut Tx<'_>, now: Timestamp) -> Result<Registry, AuthorityError> {
    let mut subsystems =
        grouped(tx, "SELECT member AS owner, id, name FROM authority_subsystem ORDER BY id", &[], |row| {
            let id: ClientId = row.get::<String>("id")?.parse()?;
            Ok(Subsystem { code: id.subsystem().unwrap_or_default().to_owned(), name: row.get("name")? })
        })?;
    let clients = "SELECT server AS owner, client FROM authority_server_client WHERE enabled = 1 ORDER BY client";
    let mut clients = grouped(tx, clients, &[], |row| Ok(row.get::<String>("client")?.parse::<ClientId>()?))?;
    let hashes = "SELECT n.server AS owner, n.der FROM authority_node_certificate n
        LEFT JOIN authority_certificate c ON c.sha256 = n.sha256
        WHERE c.revoked_at IS NULL AND n.not_after >= $1 ORDER BY n.registered_at, n.sha256";
    let mut hashes = grouped(tx, hashes, &params![now], |row| {
        let der: Vec<u8> = row.get("der")?;
        // Version 2 of the configuration names certificates by SHA-1, later ones by SHA-256.
        Ok([sha256(&der).to_vec(), sha1(&der).to_vec()])
    })?;
    let mut registry = Registry {
        groups: groups(tx)?,
        classes: member_classes(tx)?,
        approvals: approvals(tx)?,
        federation: federation(tx)?.into_iter().map(|(_, anchor)| anchor).collect(),
        logs: logs(tx)?,
        ..Registry::default()
    };
    for row in tx.query("SELECT id, name FROM authority_member ORDER BY id", &[])?.iter().take(ROWS_MAX) {
        let id: String = row.get("id")?;
        let subsystems = subsystems.remove(&id).unwrap_or_default();
        registry.members.push(Member { id: id.parse()?, name: row.get("name")?, subsystems });
    }
    for row in tx.query("SELECT id, address, maintenance FROM authority_server ORDER BY id", &[])?.iter().take(ROWS_MAX)
    {
        let id: String = row.get("id")?;
        registry.servers.push(SecurityServer {
            address: Some(row.get("address")?),
            auth_cert_hashes: hashes.remove(&id).unwrap_or_default().concat(),
            clients: clients.remove(&id).unwrap_or_default(),
            maintenance: row.get("maintenance")?,
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

/// An error where the member or subsystem is not registered.
pub(crate) fn require_client(tx: &mut Tx<'_>, client: &ClientId) -> Result<(), AuthorityError> {
    let (table, id) = match client.subsystem() {
        Some(_) => ("SELECT id FROM authority_subsystem WHERE id = $1", client.to_string()),
        None => ("SELECT id FROM authority_member WHERE id = $1", client.member().to_string()),
    };
    let known = tx.query_one(table, &params![id])?;
    known.map(drop).ok_or_else(|| AuthorityError::UnknownClient(client.clone()))
}

/// An error unless the certificate is ours, for TLS, of that node, and in force.
pub(crate) fn require_auth_of(
    tx: &mut Tx<'_>,
    id: &ServerId,
    sha256: &str,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    let row = tx.query_one(
        "SELECT serial FROM authority_certificate
         WHERE sha256 = $1 AND server = $2 AND profile = 'auth' AND revoked_at IS NULL AND not_after >= $3",
        &params![sha256, id.to_string(), now],
    )?;
    row.map(drop).ok_or_else(|| AuthorityError::NotAuthOf(id.clone()))
}
