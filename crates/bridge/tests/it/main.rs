//! Two nodes, a small authority and an information system, over real sockets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod altered;
mod api;
mod api_keys;
mod archive;
mod backups;
mod configuration;
mod consent;
mod console;
mod digests;
mod evidence;
mod exchange;
mod faults;
mod https;
mod judges;
mod keys;
mod legacy;
mod logging;
mod logs;
mod messagelog;
mod metaservices;
mod mutated;
mod operations;
mod pool;
mod quorum;
mod refusals;
mod registry;
mod rest;
mod samples;
mod soap;
mod soap_consent;
mod soap_exchange;
mod streaming;
mod token;
mod tools;
