//! Tests of the whole house.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise, and says what it left out"
)]

mod account;
mod acts;
mod arrows;
mod browser;
mod bucket_tls;
mod console;
mod crash;
mod demo;
mod federation;
mod guide;
mod journey;
mod ledger;
mod links;
mod logs;
mod machines;
mod management;
mod nation;
mod notary;
mod office;
mod processes;
mod replicas;
mod rotation;
mod strangers;
mod token;
mod witness;
