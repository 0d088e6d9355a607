//! The management API: what tools do with a node that an operator would do with files. Paths, names and JSON are those of the API of
//! X-Road's Security Server (its OpenAPI definition 2.1.0) where it has them, so that its tooling works; ours are `/audit`,
//! `/message-log` and the fields that X-Road has not.
//!
//! One table ([`operations_info`]) says method, path, roles, schemas and handler of every operation: the router, the description at
//! `/api/v1/openapi.json` and the test that walks every route as a stranger come from it.
//!
//! - Nothing is open to a stranger: every operation but the description needs `Authorization: X-Road-ApiKey token=…` of a key with one of
//!   its roles. Keys are random, shown once, kept as digest. They are made at the command line ([`first_key`]), and over HTTP
//!   made, shown, changed and revoked from the machine itself only, unless configured.
//! - Calls are counted for each key and address, bodies have limits, and every change is audited with the number of the key.
//!
//! Trusted: whoever holds a key, as far as its roles go; whoever can write the node's database.

mod api_keys;
mod auth;
mod backups;
mod call;
mod certificates;
mod clients;
mod describe;
mod diagnostics;
mod dump;
mod error;
mod federation;
mod groups;
mod internal;
mod keys;
mod management;
mod messages;
mod openapi;
mod rights;
mod schema;
mod serve;
mod services;
mod store;
mod table;
mod tokens;
mod validate;
mod wsdl;
mod yaml;

pub use api_keys::{ApiKeyError, NewKey, first_key};
pub use auth::Role;
pub(crate) use auth::{RateLimiter, holder, holder_of_key};
pub(crate) use keys::{InForce, in_force as keys_in_force};
pub(crate) use management::settle;
pub(crate) use messages::{SEARCH, asked};
pub(crate) use serve::{Done, Refusal, Wish, perform, router};
pub(crate) use table::roles_of;
pub use table::{OperationInfo, operations_info};

/// The OpenAPI 3 description of the API, as `/api/v1/openapi.json` answers it.
pub fn description() -> serde_json::Value {
    openapi::description(table::operations())
}

/// Where the API stands on the admin listener.
pub const BASE: &str = "/api/v1";
