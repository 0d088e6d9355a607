//! The exchange node: information systems of organisations ask each other through nodes that sign, authorise, log and prove.
//!
//! It speaks X-Road's REST protocol r1 on the side of the applications, X-Road's message transport between nodes (mutual TLS, XAdES
//! signatures, OCSP), and exports X-Road's evidence (ASiC-E). What X-Road has not: services that rest on a citizen's consent, asked for
//! each exchange; a list of uses that the register behind the node cannot keep silent about; commitments in a transparency ledger.
//!
//! # Invariants
//! - Nothing is answered that is not durably logged on both sides (`docs/decisions/0005` says when logging may overlap).
//! - What a node decides upon is what was signed: fields are read from the signed bytes.
//! - Nobody sees a byte of a message before all of it is verified; bodies of any size wait in a sealed spool (`docs/decisions/0012`).
//! - Everything that came from outside has a limit: bytes, headers, parts, connections, time.
//! - A refusal before the signature is verified leaves no record; every later one does. Each is logged once, with the id that the
//!   caller gets.
//! - Operational data and metrics name no person (`operations`).
//! - An exchange that was begun is ended and logged also when the caller goes away.
//!
//! # Whom we trust
//! The governing authority (by the anchor), the owner of the node's directory and database, and for consent the configured issuer.
//! Not: the caller's application, the peer's node, the network, the service behind the node (it may not speak for the exchange).
//!
//! # A node
//! ```no_run
//! # async fn example(config: bridge::config::NodeConfig, keys: bridge::NodeKeys, store: store::Store,
//! #     clock: civic::SharedClock, random: civic::SharedRandom, addresses: bridge::config::Addresses) -> Result<(), bridge::StartError> {
//! use bridge::{Listeners, Node, NodeParts};
//! let listeners = Listeners::bind(&addresses).await?;
//! let parts = NodeParts { keys, store, ledger: None, monitor: None, witness: None, clock, random };
//! let node = Node::start(config, listeners, parts).await?;
//! node.stop().await;
//! # Ok(())
//! # }
//! ```
//! The walk of an exchange: `consumer` → `transport` → `tls` → `provider` (`signing`, `access`, `authorisation`, `messagelog`) → service, and
//! back the same way.

pub mod access;
pub mod api;
mod attempts;
mod authorisation;
pub mod config;
pub mod console;
mod consumer;
mod core;
mod detached;
mod evidence;
pub mod fault;
mod globalconf;
mod internal_tls;
mod keys;
mod listener;
mod management;
pub mod message;
pub mod messagelog;
pub mod metaservices;
pub mod metrics;
mod node;
mod ocsp;
pub mod operations;
mod outbound;
mod pace;
mod provider;
pub mod registry;
mod reload;
mod signing;
mod soap_io;
mod soap_services;
pub mod spool;
mod steady;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod tls_verifier;
pub mod transport;
pub mod usage;
mod watch;
mod witness;
mod wsdl;

pub use globalconf::ConfigurationError;
pub use internal_tls::InternalKeys;
pub use keys::{KeyPlaces, KeysError, NodeKeys, NodeRequests, TokenKeys, off_the_runtime};
pub use node::{Listeners, Node, NodeParts, StartError};
pub use outbound::OutboundError;
pub use provider::DATA_TRACKER;
pub use witness::{WitnessParts, Witnessed};

/// Whether this program was built with the feature `xroad-legacy-tls`.
pub const LEGACY_TLS: bool = cfg!(feature = "xroad-legacy-tls");

/// The version of the message transport that this node names to its peers (`x-proxy-version`).
pub const PROTOCOL_VERSION: &str = "7.8.0";
