//! Backups of what operators set: signed by the node's key, then sealed for this node's key ring. Files in the folder of the node. They
//! hold neither messages nor keys of this API: what was revoked stays revoked.

use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use civic::{MemberId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use trust::cert::Certificate;
use trust::keys::{KeyError, KeyKind, SignatureAlgorithm};

use super::call::{Call, Reply, Result, shorten};
use super::error::ApiError;
use super::tokens::refused;
use super::{dump, keys};
use crate::globalconf::Snapshot;

const ENDING: &str = ".baobab-backup";
/// Backups that are kept.
const KEPT_MAX: usize = 1_000;

/// What is sealed. The signature is over node and tables.
#[derive(Serialize, Deserialize)]
struct Backup {
    node: String,
    tables: String,
    signature: String,
}

pub(super) async fn list(call: Call) -> Result {
    let folder = folder(&call);
    let names = blocking(move || names(&folder)).await?;
    Ok(Reply::json(json!(names.iter().map(|(name, at)| shown(name, *at)).collect::<Vec<_>>())))
}

pub(super) async fn add(call: Call) -> Result {
    let tables = call.store().read("bridge.read_backup", dump::read).await?.to_string();
    let node = call.core.config.server.to_string();
    let key = call.core.keys().sign;
    let signature = key.sign(key.default_xml_algorithm(), &signed(&node, &tables)).map_err(|error| match error {
        KeyError::Token(error) => refused(error),
        other => ApiError::internal(other),
    })?;
    let backup = Backup { node, tables, signature: BASE64.encode(signature) };
    let plain = serde_json::to_vec(&backup).map_err(ApiError::internal)?;
    let sealed = call.store().sealer().seal("bridge_backup", "file", backup.node.as_bytes(), &plain)?;
    let now = call.core.clock.now();
    let moment: String = now.rfc3339().chars().filter(char::is_ascii_alphanumeric).collect();
    let name = format!("conf_backup_{moment}_{}{ENDING}", civic::random_hex::<3>(&*call.core.random));
    call.act_outside("add_backup", &name, keep(&call, &name, sealed)).await?;
    Ok(Reply::created(shown(&name, now)))
}

/// Takes a file that this node made earlier.
pub(super) async fn upload(call: Call) -> Result {
    let default = format!("uploaded_{}{ENDING}", civic::random_hex::<3>(&*call.core.random));
    let name = call.query("filename").unwrap_or(&default).to_owned();
    check_name(&name)?;
    open(&call, &call.body).await?;
    if folder(&call).join(&name).exists() {
        return Err(ApiError::conflict("backup_already_exists", format!("there is a backup `{name}` already")));
    }
    call.act_outside("upload_backup", &name, keep(&call, &name, call.body.to_vec())).await?;
    Ok(Reply::created(shown(&name, call.core.clock.now())))
}

pub(super) async fn download(call: Call) -> Result {
    let name = call.param("filename").to_owned();
    let bytes = read(&call, &name).await?;
    call.audit("download_backup", &name).await?;
    Ok(Reply::File { bytes: bytes.into(), content_type: "application/octet-stream", name })
}

/// Puts the tables back, then what the configuration declares on top, and works with the keys that are active in them. Where the node
/// cannot work with those, all is as it was. It goes to its end, also where whoever asked does not wait for it.
pub(super) async fn restore(call: Call) -> Result {
    tokio::spawn(restore_to_its_end(call)).await.map_err(ApiError::internal)?
}

async fn restore_to_its_end(call: Call) -> Result {
    let name = call.param("filename").to_owned();
    let tables = open(&call, &Bytes::from(read(&call, &name).await?)).await?;
    let snapshot = call.core.conf.current();
    let tables = dump::bring_up_to_date(tables, |certificate| signs_for(snapshot.as_deref()?, certificate))?;
    let before = call.store().read("bridge.read_backup", dump::read).await?;
    put_back(&call, "restore_backup", &name, tables).await?;
    if let Err(reason) = crate::reload::take_over(&call.core).await {
        put_back(&call, "take_back_restore_backup", &name, before).await?;
        let what = format!("the node cannot work with the keys of this backup now: {reason}. All is as it was before");
        return Err(ApiError::conflict("action_not_possible", what));
    }
    Ok(Reply::json(json!({ "hsm_tokens_logged_out": false })))
}

async fn put_back(call: &Call, action: &'static str, name: &str, tables: Json) -> Result<()> {
    call.act("bridge.restore_backup", action, name, move |tx| dump::write(tx, &tables)).await?;
    Ok(crate::reload::declare(&call.core.registry, &call.core.declared()).await?)
}

/// The member whom a signing certificate names, also one that has run out.
fn signs_for(snapshot: &Snapshot, certificate: &[u8]) -> Option<MemberId> {
    let certificate = Certificate::from_der(certificate).ok()?;
    snapshot.own()?.check_sign_cert(&certificate, &[], certificate.not_before()).ok()
}

pub(super) async fn delete(call: Call) -> Result {
    let name = call.param("filename").to_owned();
    read(&call, &name).await?;
    let path = folder(&call).join(&name);
    call.act_outside("delete_backup", &name, blocking(move || std::fs::remove_file(path))).await?;
    Ok(Reply::done())
}

/// The tables of a backup, once it is known that this node made it.
async fn open(call: &Call, sealed: &Bytes) -> Result<Json> {
    let foreign = || ApiError::bad("this node made no such backup: it was altered, or is of another node or key ring");
    let node = call.core.config.server.to_string();
    let plain = call.store().sealer().open("bridge_backup", "file", node.as_bytes(), sealed).map_err(|_| foreign())?;
    let backup: Backup = serde_json::from_slice(&plain).map_err(|_| foreign())?;
    let signature = BASE64.decode(&backup.signature).map_err(|_| foreign())?;
    let signed = signed(&backup.node, &backup.tables);
    let of_ours = keys::rows(call).await?.iter().any(|row| {
        let algorithm = match row.public.kind() {
            KeyKind::P256 | KeyKind::P384 => SignatureAlgorithm::EcdsaSha512Fixed,
            KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
            KeyKind::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha512,
        };
        row.usage == "SIGNING" && row.public.verify(algorithm, &signed, &signature).is_ok()
    });
    if backup.node != node || !of_ours {
        return Err(foreign());
    }
    serde_json::from_str(&backup.tables).map_err(|_| foreign())
}

fn signed(node: &str, tables: &str) -> Vec<u8> {
    format!("baobab node backup 1\n{node}\n{tables}").into_bytes()
}

fn folder(call: &Call) -> PathBuf {
    call.core.config.state_dir.join("backups")
}

async fn keep(call: &Call, name: &str, content: Vec<u8>) -> Result<()> {
    let (folder, name) = (folder(call), name.to_owned());
    let kept = blocking(move || {
        std::fs::create_dir_all(&folder)?;
        if names(&folder)?.len() >= KEPT_MAX {
            return Ok(false);
        }
        let partial = folder.join(format!("{name}.partial"));
        std::fs::write(&partial, content)?;
        std::fs::File::open(&partial)?.sync_all()?;
        std::fs::rename(partial, folder.join(name))?;
        Ok(true)
    });
    if kept.await? {
        return Ok(());
    }
    Err(ApiError::conflict("too_many_backups", format!("{KEPT_MAX} backups are kept: delete some")))
}

async fn read(call: &Call, name: &str) -> Result<Vec<u8>> {
    let missing = || ApiError::not_found("backup_file_not_found", format!("there is no backup `{}`", shorten(name)));
    check_name(name).map_err(|_| missing())?;
    let path = folder(call).join(name);
    let read = blocking(move || match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    });
    read.await?.ok_or_else(missing)
}

fn names(folder: &std::path::Path) -> io::Result<Vec<(String, Timestamp)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if check_name(&name).is_ok() {
            let modified = entry.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            found.push((name, Timestamp::from_micros(i64::try_from(modified.as_micros()).unwrap_or(0))));
        }
    }
    found.sort();
    Ok(found)
}

/// A name is one file in the folder and nothing else.
fn check_name(name: &str) -> Result<()> {
    let plain = name.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '.'));
    if plain && name.len() <= 128 && name.ends_with(ENDING) && !name.starts_with('.') {
        return Ok(());
    }
    Err(ApiError::bad(format!("the name of a backup has letters, digits, `_`, `-`, `.` and ends in {ENDING}")))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
    joined.map_err(ApiError::internal)
}

fn shown(name: &str, at: Timestamp) -> Json {
    json!({ "filename": name, "created_at": at.rfc3339() })
}
