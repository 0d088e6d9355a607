//! Tests of the whole house.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod arrows;
mod browser;
mod crash;
mod demo;
mod journey;
mod nation;
mod strangers;
