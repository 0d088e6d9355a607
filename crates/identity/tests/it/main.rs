//! The provider over HTTP, on every engine: whole flows, every refusal by name, what must be constant, what must happen once.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod acts;
mod authenticator;
mod bed;
mod clients;
mod consents;
mod flows;
mod guessing;
mod machines;
mod pages;
mod passkeys;
