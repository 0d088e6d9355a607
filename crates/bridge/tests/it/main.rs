//! Two nodes, a small authority and an information system, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod exchange;
