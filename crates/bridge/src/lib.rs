//! The exchange node: X-Road's REST protocol between organisations, signed, authorised, logged and provable.

pub mod access;
mod authorisation;
pub mod config;
mod consumer;
mod core;
mod evidence;
pub mod fault;
mod globalconf;
mod keys;
mod listener;
pub mod message;
pub mod messagelog;
mod metrics;
mod node;
mod ocsp;
mod outbound;
mod provider;
mod signing;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
pub mod transport;
pub mod usage;

pub use globalconf::ConfigurationError;
pub use keys::{KeysError, NodeKeys, NodeRequests};
pub use node::{Listeners, Node, NodeParts, StartError};
pub use outbound::OutboundError;
pub use provider::DATA_TRACKER;

/// The version of the message transport that this node names to its peers (`x-proxy-version`).
pub const PROTOCOL_VERSION: &str = "7.8.0";
