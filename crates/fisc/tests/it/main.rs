//! The tax office as its node sees it: over HTTP, on every storage engine.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod seeding;
