//! The log as its users see it: over real sockets, on both engines, with every proof verified.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]
#![expect(clippy::print_stderr, reason = "what was left out, and counts, must be said")]

mod bucket;
mod crash;
mod cross;
mod damage;
mod folder;
mod inspect;
mod judges;
mod log;
mod monitor;
mod outbox;
mod wire;
mod witness;
