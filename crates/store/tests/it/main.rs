//! One conformance suite for both engines, and what is particular to each.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod durability;
mod engines;
mod postgres;
mod queue;
mod sealing;
