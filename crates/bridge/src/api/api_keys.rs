use std::net::IpAddr;
use std::sync::Arc;

use ::store::{Store, StoreError};
use civic::{SharedClock, SharedRandom, Timestamp, random_array, random_uuid};
use http::StatusCode;
use serde_json::{Value as Json, json};
use trust::digest;

use super::auth::{Holder, Role};
use super::call::{Call, Reply, Result};
use super::error::ApiError;
use super::store;
use crate::config::ApiLimits;
use crate::registry::Author;

/// A key that was just made. It is shown now and never again.
#[derive(Clone)]
pub struct NewKey {
    /// Its number.
    pub number: i64,
    /// What the caller sends.
    pub key: String,
    /// Its roles.
    pub roles: Vec<Role>,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key without a role could do nothing.
    #[error("name at least one role")]
    NoRole,
}

/// Makes a key from the command line, for the first user of the API. The node may run or not.
pub async fn first_key(
    store: &Store,
    clock: &SharedClock,
    random: &SharedRandom,
    roles: &[Role],
) -> std::result::Result<NewKey, ApiKeyError> {
    store.migrate(&crate::messagelog::migrations()).await?;
    if roles.is_empty() {
        return Err(ApiKeyError::NoRole);
    }
    Ok(make(store, random, roles.to_vec(), Author::CommandLine.to_string(), clock.now()).await?)
}

async fn make(
    store: &Store,
    random: &SharedRandom,
    mut roles: Vec<Role>,
    author: String,
    now: Timestamp,
) -> std::result::Result<NewKey, StoreError> {
    roles.sort_by_key(|role| role.word());
    roles.dedup();
    // X-Road's tools take a key for one only where it looks like a UUID. 122 bits of it are random.
    let key = random_uuid(&**random);
    let (digest, kept, salt) = (digest::sha256(key.as_bytes()), roles.clone(), random_array(&**random));
    let add = move |tx: &mut ::store::Tx<'_>| store::add_key(tx, &digest, &kept, &author, salt, now);
    let number = store.tx("bridge.add_api_key", add).await?;
    Ok(NewKey { number, key, roles })
}

/// Where the keys are managed: below these paths all is refused to callers from other machines, as in X-Road, unless the configuration
/// says otherwise. Whoever steals the key of an administrator elsewhere makes no other key with it, and gives it no other role.
const PATH: &str = "/api-keys";

/// Refuses an operation on keys to whoever calls from another machine.
pub(super) fn check_place(path: &str, peer: IpAddr, limits: &ApiLimits) -> Result<()> {
    // A listener for both families sees the loopback of IPv4 as `::ffff:127.0.0.1`.
    if !path.starts_with(PATH) || limits.keys_from_anywhere || peer.to_canonical().is_loopback() {
        return Ok(());
    }
    let what = "keys of this API are managed from the machine of the node itself. Call from there, or set \
                `api_keys_from_anywhere` in the table [limits] of its configuration";
    Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", what))
}

pub(super) async fn list(call: Call) -> Result {
    let keys = call.store().read("bridge.list_api_keys", store::keys).await?;
    Ok(Reply::json(json!(keys.iter().map(shown).collect::<Vec<_>>())))
}

pub(super) async fn get(call: Call) -> Result {
    let number = call.number("id")?;
    Ok(Reply::json(shown(&find(&call, number).await?)))
}

pub(super) async fn add(call: Call) -> Result {
    let roles = roles_of(&call)?;
    let random = Arc::clone(&call.core.random);
    let made = make(call.store(), &random, roles, call.author().to_string(), call.core.clock.now()).await?;
    Ok(Reply::json(json!({ "id": made.number, "key": made.key, "roles": made.roles })))
}

pub(super) async fn update(call: Call) -> Result {
    let (number, roles) = (call.number("id")?, roles_of(&call)?);
    find(&call, number).await?;
    let (author, now, kept) = (call.author().to_string(), call.core.clock.now(), roles.clone());
    let salt = call.salt();
    call.store().tx("bridge.set_api_key", move |tx| store::set_key(tx, number, &kept, &author, salt, now)).await?;
    Ok(Reply::json(shown(&Holder { number, roles })))
}

pub(super) async fn delete(call: Call) -> Result {
    let number = call.number("id")?;
    find(&call, number).await?;
    let (author, salt, now) = (call.author().to_string(), call.salt(), call.core.clock.now());
    call.store().tx("bridge.remove_api_key", move |tx| store::remove_key(tx, number, &author, salt, now)).await?;
    Ok(Reply::json(json!({})))
}

async fn find(call: &Call, number: i64) -> std::result::Result<Holder, ApiError> {
    let keys = call.store().read("bridge.list_api_keys", store::keys).await?;
    let found = keys.into_iter().find(|key| key.number == number);
    found.ok_or_else(|| ApiError::not_found("api_key_not_found", format!("there is no key {number}")))
}

fn roles_of(call: &Call) -> std::result::Result<Vec<Role>, ApiError> {
    let mut roles: Vec<Role> = call.json()?;
    roles.sort_by_key(|role| role.word());
    roles.dedup();
    if roles.is_empty() { Err(ApiError::bad("name at least one role")) } else { Ok(roles) }
}

/// Who calls, in the words of X-Road: a tool looks here first for what it may do. Permissions are X-Road's inner names; roles decide here.
pub(super) async fn user(call: Call) -> Result {
    let roles: Vec<String> = call.holder.roles.iter().map(|role| format!("ROLE_{}", role.word())).collect();
    Ok(Reply::json(json!({ "username": format!("api-key-{}", call.holder.number), "roles": roles, "permissions": [] })))
}

fn shown(key: &Holder) -> Json {
    json!({ "id": key.number, "roles": key.roles })
}

#[cfg(test)]
mod tests {
    use super::super::table::operations;
    use super::*;

    #[test]
    fn every_operation_on_keys_is_for_callers_on_this_machine_and_no_other_is() {
        let (here, anywhere) = (ApiLimits::default(), ApiLimits { keys_from_anywhere: true, ..ApiLimits::default() });
        for operation in operations() {
            let of_keys = operation.id.ends_with("ApiKey") || operation.id.ends_with("ApiKeys");
            for near in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
                assert!(check_place(operation.path, near.parse().unwrap(), &here).is_ok(), "{}", operation.id);
            }
            for far in ["192.0.2.7", "10.0.0.1", "0.0.0.0", "2001:db8::1", "::ffff:192.0.2.7"] {
                let far = far.parse().unwrap();
                assert_eq!(check_place(operation.path, far, &here).is_err(), of_keys, "{}", operation.id);
                assert!(check_place(operation.path, far, &anywhere).is_ok());
            }
        }
    }
}
