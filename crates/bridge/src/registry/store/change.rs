use std::time::Duration;

use civic::{ClientId, ServiceId, Timestamp};
use store::{Tx, Value, params};

use super::super::change::{Change, NewService, RegistryError, ServicePatch};
use super::super::model::{ClientStatus, ConnectionType, LogMode, ServiceKind, TIMEOUT_MAX};
use super::read::{endpoint, parsed};
use super::rights::{
    Given, add_endpoint, check_service, check_subject, ensure_endpoint, give, insert_endpoint, remove_endpoint,
    set_endpoint, take,
};
use super::{audit, next_number, raise_version};
use crate::config::{ServiceBasis, SubjectRule};

/// How a row came to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    Declared,
    ByHand,
}

/// Names are kept up to this length, characters.
const NAME_CHARS_MAX: usize = 255;
/// Descriptions and notices are kept up to this length, characters.
const TEXT_CHARS_MAX: usize = 4_096;
/// The text of a service description, bytes.
const DESCRIPTION_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Applies changes and writes the audit; a salt for each.
pub(in crate::registry) fn apply(
    tx: &mut Tx<'_>,
    author: &str,
    changes: &[Change],
    salts: &[[u8; 32]],
    now: Timestamp,
) -> Result<Vec<Option<i64>>, RegistryError> {
    let mut numbers = Vec::with_capacity(changes.len());
    for (change, salt) in changes.iter().zip(salts) {
        numbers.push(one(tx, change, now)?);
        let detail = serde_json::to_value(change).map_err(|error| RegistryError::Invalid(error.to_string()))?;
        let action = detail.get("action").and_then(serde_json::Value::as_str).unwrap_or("change").to_owned();
        audit(tx, author, &action, &change.object(), &detail.to_string(), *salt, now)?;
    }
    raise_version(tx)?;
    Ok(numbers)
}

fn one(tx: &mut Tx<'_>, change: &Change, now: Timestamp) -> Result<Option<i64>, RegistryError> {
    match change {
        Change::AddClient { .. }
        | Change::SetConnection { .. }
        | Change::SetLogMode { .. }
        | Change::SetClientName { .. }
        | Change::SetClientStatus { .. }
        | Change::RemoveClient { .. }
        | Change::AddCertificate { .. }
        | Change::RemoveCertificate { .. } => of_client(tx, change).map(|()| None),
        Change::AddDescription { .. }
        | Change::ReplaceDescription { .. }
        | Change::EnableDescription { .. }
        | Change::RemoveDescription { .. }
        | Change::SetService { .. } => of_description(tx, change, now),
        Change::AddEndpoint { service, endpoint } => add_endpoint(tx, service, endpoint).map(Some),
        Change::SetEndpoint { number, endpoint } => set_endpoint(tx, *number, endpoint).map(|()| Some(*number)),
        Change::RemoveEndpoint { number } => remove_endpoint(tx, *number).map(|()| None),
        Change::GiveRight { subject, service, endpoint } => {
            check_subject(tx, subject, service)?;
            check_service(tx, service)?;
            if let Some(endpoint) = endpoint {
                ensure_endpoint(tx, service, endpoint)?;
            }
            give(tx, subject, service, endpoint.as_ref(), Given { at: now, declared: false }).map(|()| None)
        }
        Change::TakeRight { subject, service, endpoint } => {
            take(tx, subject, service, endpoint.as_ref()).map(|()| None)
        }
        Change::AddGroup { .. }
        | Change::DescribeGroup { .. }
        | Change::RemoveGroup { .. }
        | Change::AddMembers { .. }
        | Change::RemoveMembers { .. } => of_group(tx, change, now),
    }
}

fn of_client(tx: &mut Tx<'_>, change: &Change) -> Result<(), RegistryError> {
    match change {
        Change::AddClient { client, connection } => {
            if is_client(tx, client)? {
                return Err(RegistryError::Exists(client.to_string()));
            }
            add_client(tx, client, *connection, Added::ByHand)
        }
        Change::SetConnection { client, connection } => set_client(tx, client, "connection", connection.word().into()),
        Change::SetLogMode { client, mode } => set_client(tx, client, "log_mode", mode.word().into()),
        Change::SetClientName { client, name } => {
            set_client(tx, client, "name", limited(name, NAME_CHARS_MAX, "a name")?.into())
        }
        Change::SetClientStatus { client, status } => set_client(tx, client, "status", status.word().into()),
        Change::RemoveClient { client } => {
            if is_declared_client(tx, client)? {
                return Err(RegistryError::Declared(client.to_string()));
            }
            remove_client(tx, client)
        }
        Change::AddCertificate { client, certificate, fingerprint } => {
            require_client(tx, client)?;
            let inserted = tx.execute(
                "INSERT INTO bridge_client_certificate (client, fingerprint, certificate) VALUES ($1, $2, $3) \
                 ON CONFLICT (client, fingerprint) DO NOTHING",
                &params![client.to_string(), fingerprint_bytes(fingerprint)?, certificate],
            )?;
            if inserted == 0 { Err(RegistryError::Exists(format!("certificate {fingerprint}"))) } else { Ok(()) }
        }
        Change::RemoveCertificate { client, fingerprint } => {
            let removed = tx.execute(
                "DELETE FROM bridge_client_certificate WHERE client = $1 AND fingerprint = $2",
                &params![client.to_string(), fingerprint_bytes(fingerprint)?],
            )?;
            existed(removed, || format!("certificate {fingerprint} of {client}"))
        }
        _ => Ok(()),
    }
}

fn of_description(tx: &mut Tx<'_>, change: &Change, now: Timestamp) -> Result<Option<i64>, RegistryError> {
    match change {
        Change::AddDescription { client, description_kind, url, text, services } => {
            require_client(tx, client)?;
            let by_hand = (Added::ByHand, now);
            let number = insert_description(tx, client, *description_kind, url, text.as_deref(), by_hand)?;
            for service in services {
                insert_service(tx, number, service)?;
            }
            Ok(Some(number))
        }
        Change::ReplaceDescription { number, url, text, services } => {
            require_undeclared(tx, *number)?;
            check_url(url)?;
            tx.execute(
                "UPDATE bridge_service_description SET url = $2, description = $3, refreshed = $4 WHERE id = $1",
                &params![*number, url, text.clone(), now],
            )?;
            replace_services(tx, *number, services)?;
            Ok(Some(*number))
        }
        Change::EnableDescription { number, enabled, notice } => {
            let notice = notice.as_deref().map(|text| limited(text, TEXT_CHARS_MAX, "a notice")).transpose()?;
            require_undeclared(tx, *number)?;
            tx.execute(
                "UPDATE bridge_service_description SET enabled = $2, disabled_notice = $3 WHERE id = $1",
                &params![*number, *enabled, notice],
            )?;
            Ok(Some(*number))
        }
        Change::RemoveDescription { number } => {
            require_undeclared(tx, *number)?;
            remove_description(tx, *number).map(|()| None)
        }
        Change::SetService { number, patch, url_all, timeout_all, tls_verify_all } => {
            let sql = "SELECT description FROM bridge_service WHERE id = $1";
            let row = tx.query_one(sql, &params![*number])?;
            let row = row.ok_or_else(|| RegistryError::NotFound(format!("service {number}")))?;
            let description: i64 = row.get("description")?;
            require_undeclared(tx, description)?;
            if patch.timeout.is_some_and(|timeout| timeout < Duration::from_secs(1) || timeout > TIMEOUT_MAX) {
                let message = format!("a time limit is between 1 and {} s", TIMEOUT_MAX.as_secs());
                return Err(RegistryError::Invalid(message));
            }
            patch_service(tx, *number, patch)?;
            let siblings = ServicePatch {
                url: patch.url.clone().filter(|_| *url_all),
                timeout: patch.timeout.filter(|_| *timeout_all),
                tls_verify: patch.tls_verify.filter(|_| *tls_verify_all),
                ..ServicePatch::default()
            };
            for row in tx.query("SELECT id FROM bridge_service WHERE description = $1", &params![description])? {
                patch_service(tx, row.get("id")?, &siblings)?;
            }
            Ok(Some(*number))
        }
        _ => Ok(None),
    }
}

fn of_group(tx: &mut Tx<'_>, change: &Change, now: Timestamp) -> Result<Option<i64>, RegistryError> {
    match change {
        Change::AddGroup { client, code, description } => {
            require_client(tx, client)?;
            // The rules of identifiers hold for codes of groups too.
            client.service(code).map_err(|error| RegistryError::Invalid(error.to_string()))?;
            let number = next_number(tx)?;
            let inserted = tx.execute(
                "INSERT INTO bridge_local_group (id, client, code, description, updated) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (client, code) DO NOTHING",
                &params![number, client.to_string(), code, limited(description, TEXT_CHARS_MAX, "a description")?, now],
            )?;
            if inserted == 0 { Err(RegistryError::Exists(format!("local group {code}"))) } else { Ok(Some(number)) }
        }
        Change::DescribeGroup { number, description } => {
            let description = limited(description, TEXT_CHARS_MAX, "a description")?;
            let changed = tx.execute(
                "UPDATE bridge_local_group SET description = $2, updated = $3 WHERE id = $1",
                &params![*number, description, now],
            )?;
            existed(changed, || format!("local group {number}")).map(|()| Some(*number))
        }
        Change::RemoveGroup { number } => {
            tx.execute("DELETE FROM bridge_local_group_member WHERE local_group = $1", &params![*number])?;
            let sql = "DELETE FROM bridge_right WHERE subject_kind = 'local_group' AND subject = $1";
            tx.execute(sql, &params![number.to_string()])?;
            let removed = tx.execute("DELETE FROM bridge_local_group WHERE id = $1", &params![*number])?;
            existed(removed, || format!("local group {number}")).map(|()| None)
        }
        Change::AddMembers { number, members } => {
            touch_group(tx, *number, now)?;
            for member in members {
                tx.execute(
                    "INSERT INTO bridge_local_group_member (local_group, member, added) VALUES ($1, $2, $3) \
                     ON CONFLICT (local_group, member) DO NOTHING",
                    &params![*number, member.to_string(), now],
                )?;
            }
            Ok(Some(*number))
        }
        Change::RemoveMembers { number, members } => {
            touch_group(tx, *number, now)?;
            for member in members {
                let sql = "DELETE FROM bridge_local_group_member WHERE local_group = $1 AND member = $2";
                let removed = tx.execute(sql, &params![*number, member.to_string()])?;
                existed(removed, || format!("{member} in the local group {number}"))?;
            }
            Ok(Some(*number))
        }
        _ => Ok(None),
    }
}

fn touch_group(tx: &mut Tx<'_>, number: i64, now: Timestamp) -> Result<(), RegistryError> {
    let changed = tx.execute("UPDATE bridge_local_group SET updated = $2 WHERE id = $1", &params![number, now])?;
    existed(changed, || format!("local group {number}"))
}

pub(super) fn add_client(
    tx: &mut Tx<'_>,
    client: &ClientId,
    connection: ConnectionType,
    added: Added,
) -> Result<(), RegistryError> {
    let status = if added == Added::Declared { ClientStatus::Registered } else { ClientStatus::Saved };
    let declared = added == Added::Declared;
    tx.execute(
        "INSERT INTO bridge_client (id, connection, log_mode, status, declared) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id) DO UPDATE SET declared = excluded.declared",
        &params![client.to_string(), connection.word(), LogMode::Full.word(), status.word(), declared],
    )?;
    Ok(())
}

/// `column` is one of ours, never a caller's.
fn set_client(tx: &mut Tx<'_>, client: &ClientId, column: &str, value: Value) -> Result<(), RegistryError> {
    let sql = format!("UPDATE bridge_client SET {column} = $2 WHERE id = $1");
    let changed = tx.execute(&sql, &[client.to_string().into(), value])?;
    existed(changed, || client.to_string())
}

pub(super) fn remove_client(tx: &mut Tx<'_>, client: &ClientId) -> Result<(), RegistryError> {
    let id = client.to_string();
    for row in tx.query("SELECT id FROM bridge_service_description WHERE client = $1", &params![id.as_str()])? {
        remove_description(tx, row.get("id")?)?;
    }
    for row in tx.query("SELECT id FROM bridge_local_group WHERE client = $1", &params![id.as_str()])? {
        let number = row.get("id")?;
        of_group(tx, &Change::RemoveGroup { number }, Timestamp::from_micros(0))?;
    }
    // Rights to what the node itself answers for the client have no service row.
    for row in tx.query("SELECT DISTINCT service FROM bridge_right", &[])? {
        let service: ServiceId = parsed(&row, "service")?;
        if service.client() == client {
            tx.execute("DELETE FROM bridge_right WHERE service = $1", &params![service.to_string()])?;
        }
    }
    tx.execute("DELETE FROM bridge_client_certificate WHERE client = $1", &params![id.as_str()])?;
    let removed = tx.execute("DELETE FROM bridge_client WHERE id = $1", &params![id.as_str()])?;
    existed(removed, || id)
}

pub(super) fn insert_description(
    tx: &mut Tx<'_>,
    client: &ClientId,
    kind: ServiceKind,
    url: &str,
    text: Option<&str>,
    (added, now): (Added, Timestamp),
) -> Result<i64, RegistryError> {
    if client.subsystem().is_none() {
        return Err(RegistryError::Invalid(format!("{client} is a member; services are offered by subsystems")));
    }
    if text.is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
        return Err(RegistryError::Invalid(format!("a description has at most {DESCRIPTION_BYTES_MAX} bytes")));
    }
    let declared = added == Added::Declared;
    if !declared {
        check_url(url)?;
        let sql = "SELECT id FROM bridge_service_description WHERE client = $1 AND url = $2 AND declared = 0";
        if tx.query_one(sql, &params![client.to_string(), url])?.is_some() {
            return Err(RegistryError::Exists(format!("a service description with the address {url}")));
        }
    }
    let number = next_number(tx)?;
    tx.execute(
        "INSERT INTO bridge_service_description (id, client, kind, url, description, enabled, refreshed, declared) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &params![number, client.to_string(), kind.word(), url, text.map(str::to_owned), declared, now, declared],
    )?;
    Ok(number)
}

pub(super) fn insert_service(tx: &mut Tx<'_>, description: i64, new: &NewService) -> Result<i64, RegistryError> {
    if crate::metaservices::RESERVED.contains(&new.id.code()) {
        let message = format!("`{}` is answered by every node itself: give the service another code", new.id.code());
        return Err(RegistryError::Invalid(message));
    }
    let number = next_number(tx)?;
    let inserted = tx.execute(
        "INSERT INTO bridge_service (id, description, service, version, title, url, timeout_ms, tls_verify, basis, subject, fields) \
         VALUES ($1, $2, $3, $4, $5, $6, 60000, 1, 'public', 'none', '[]') ON CONFLICT (service, version) DO NOTHING",
        &params![
            number,
            description,
            new.id.to_string(),
            new.version.clone().unwrap_or_default(),
            new.title.clone(),
            new.url.as_str()
        ],
    )?;
    if inserted == 0 {
        let version = new.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
        return Err(RegistryError::Exists(format!("the service {}{version}", new.id)));
    }
    for endpoint in &new.endpoints {
        insert_endpoint(tx, &new.id, endpoint, true)?;
    }
    Ok(number)
}

fn replace_services(tx: &mut Tx<'_>, description: i64, wanted: &[NewService]) -> Result<(), RegistryError> {
    let sql = "SELECT id, service, version FROM bridge_service WHERE description = $1";
    let mut known = Vec::new();
    for row in tx.query(sql, &params![description])? {
        let (id, version): (ServiceId, String) = (parsed(&row, "service")?, row.get("version")?);
        known.push((row.get::<i64>("id")?, id, Some(version).filter(|version| !version.is_empty())));
    }
    for (number, id, version) in &known {
        if !wanted.iter().any(|new| &new.id == id && &new.version == version) {
            tx.execute("DELETE FROM bridge_service WHERE id = $1", &params![*number])?;
            forget_if_gone(tx, id)?;
        }
    }
    for new in wanted {
        let same = known.iter().find(|(_, id, version)| &new.id == id && &new.version == version);
        let Some((number, id, _)) = same else {
            insert_service(tx, description, new)?;
            continue;
        };
        tx.execute("UPDATE bridge_service SET title = $2 WHERE id = $1", &params![*number, new.title.clone()])?;
        let sql = "SELECT id, service, method, path FROM bridge_endpoint WHERE service = $1 AND generated = 1";
        for row in tx.query(sql, &params![id.to_string()])? {
            if !new.endpoints.contains(&endpoint(&row)?) {
                remove_endpoint(tx, row.get("id")?)?;
            }
        }
        for endpoint in &new.endpoints {
            insert_endpoint(tx, id, endpoint, true)?;
        }
    }
    Ok(())
}

pub(super) fn remove_description(tx: &mut Tx<'_>, number: i64) -> Result<(), RegistryError> {
    let services = tx.query("SELECT service FROM bridge_service WHERE description = $1", &params![number])?;
    tx.execute("DELETE FROM bridge_service WHERE description = $1", &params![number])?;
    for row in services {
        forget_if_gone(tx, &parsed(&row, "service")?)?;
    }
    let removed = tx.execute("DELETE FROM bridge_service_description WHERE id = $1", &params![number])?;
    existed(removed, || format!("service description {number}"))
}

/// Rights and endpoints go with the last version of a service: a later service of the same name starts with none.
fn forget_if_gone(tx: &mut Tx<'_>, service: &ServiceId) -> Result<(), RegistryError> {
    let id = service.to_string();
    if tx.query_one("SELECT id FROM bridge_service WHERE service = $1", &params![id.as_str()])?.is_none() {
        tx.execute("DELETE FROM bridge_right WHERE service = $1", &params![id.as_str()])?;
        tx.execute("DELETE FROM bridge_endpoint WHERE service = $1", &params![id.as_str()])?;
    }
    Ok(())
}

pub(super) fn patch_service(tx: &mut Tx<'_>, number: i64, patch: &ServicePatch) -> Result<(), RegistryError> {
    if let Some(url) = &patch.url {
        check_url(url)?;
        tx.execute("UPDATE bridge_service SET url = $2 WHERE id = $1", &params![number, url])?;
    }
    if let Some(timeout) = patch.timeout {
        let millis = i64::try_from(timeout.as_millis()).unwrap_or(60_000);
        tx.execute("UPDATE bridge_service SET timeout_ms = $2 WHERE id = $1", &params![number, millis])?;
    }
    if let Some(verify) = patch.tls_verify {
        tx.execute("UPDATE bridge_service SET tls_verify = $2 WHERE id = $1", &params![number, verify])?;
    }
    if let Some(basis) = &patch.basis {
        let (word, law) = match basis {
            ServiceBasis::Public => ("public", [None, None, None]),
            ServiceBasis::Consent => ("consent", [None, None, None]),
            ServiceBasis::Law { reference, purpose_code, purpose_text } => {
                ("law", [Some(reference.clone()), Some(purpose_code.clone()), Some(purpose_text.clone())])
            }
        };
        let [reference, code, text] = law;
        tx.execute(
            "UPDATE bridge_service SET basis = $2, law_reference = $3, purpose_code = $4, purpose_text = $5 WHERE id = $1",
            &params![number, word, reference, code, text],
        )?;
    }
    if let Some(subject) = &patch.subject {
        let word = match subject {
            SubjectRule::None => "none".to_owned(),
            SubjectRule::Permit => "permit".to_owned(),
            SubjectRule::PathSegment(segment) => format!("path:{segment}"),
            SubjectRule::BodyElement(name) => format!("body:{}", check_element(name)?),
        };
        tx.execute("UPDATE bridge_service SET subject = $2 WHERE id = $1", &params![number, word])?;
    }
    if let Some(fields) = &patch.fields {
        let text = serde_json::to_string(fields).map_err(|error| RegistryError::Invalid(error.to_string()))?;
        tx.execute("UPDATE bridge_service SET fields = $2 WHERE id = $1", &params![number, text])?;
    }
    Ok(())
}

/// The local name of an element, as far as services need such names.
fn check_element(name: &str) -> Result<&str, RegistryError> {
    let known = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.');
    let starts = name.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
    if starts && name.len() <= 128 && name.chars().all(known) {
        return Ok(name);
    }
    Err(RegistryError::Invalid(
        "an element has a local name: a letter or _, then letters, digits, _, - or .".to_owned(),
    ))
}

pub(super) fn is_client(tx: &mut Tx<'_>, client: &ClientId) -> Result<bool, RegistryError> {
    Ok(tx.query_one("SELECT id FROM bridge_client WHERE id = $1", &params![client.to_string()])?.is_some())
}

fn require_client(tx: &mut Tx<'_>, client: &ClientId) -> Result<(), RegistryError> {
    if is_client(tx, client)? { Ok(()) } else { Err(RegistryError::NotFound(client.to_string())) }
}

fn is_declared_client(tx: &mut Tx<'_>, client: &ClientId) -> Result<bool, RegistryError> {
    let row = tx.query_one("SELECT declared FROM bridge_client WHERE id = $1", &params![client.to_string()])?;
    row.map_or(Ok(false), |row| Ok(row.get("declared")?))
}

fn require_undeclared(tx: &mut Tx<'_>, number: i64) -> Result<(), RegistryError> {
    let row = tx.query_one("SELECT declared FROM bridge_service_description WHERE id = $1", &params![number])?;
    let row = row.ok_or_else(|| RegistryError::NotFound(format!("service description {number}")))?;
    if row.get::<bool>("declared")? {
        return Err(RegistryError::Declared(format!("service description {number}")));
    }
    Ok(())
}

fn check_url(url: &str) -> Result<(), RegistryError> {
    let parsed = url.parse::<http::Uri>().ok().filter(|_| url.len() <= 2_048);
    let good = parsed.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if good { Ok(()) } else { Err(RegistryError::Invalid("an address starts with http:// or https://".to_owned())) }
}

fn limited<'t>(text: &'t str, chars_max: usize, what: &str) -> Result<&'t str, RegistryError> {
    if text.chars().count() <= chars_max && !text.contains('\0') {
        return Ok(text);
    }
    Err(RegistryError::Invalid(format!("{what} has at most {chars_max} characters")))
}

fn fingerprint_bytes(text: &str) -> Result<Vec<u8>, RegistryError> {
    let wrong = || RegistryError::NotFound(format!("certificate {}", text.chars().take(64).collect::<String>()));
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    (0..32).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2).unwrap_or(""), 16).map_err(|_| wrong())).collect()
}

fn existed(rows: u64, what: impl FnOnce() -> String) -> Result<(), RegistryError> {
    if rows == 0 { Err(RegistryError::NotFound(what())) } else { Ok(()) }
}
