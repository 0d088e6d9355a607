//! What the fuzzers feed, and the seeds that they start from. `cargo xtask fuzz` runs them; a test of `bridge` reads every seed with its
//! reader, so that neither rots.

pub mod readers;
