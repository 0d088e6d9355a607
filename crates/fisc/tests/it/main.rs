//! The tax office as its node sees it: over HTTP, on every storage engine.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod seeding;
mod statement;

use civic::Timestamp;

/// 21 November 2026.
const NOW: Timestamp = Timestamp::from_seconds(1_795_300_800);
