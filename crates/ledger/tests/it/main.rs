//! The log as its users see it: over real sockets, on both engines, with every proof verified.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod crash;
mod damage;
mod folder;
mod judges;
mod log;
mod monitor;
mod wire;
mod witness;
