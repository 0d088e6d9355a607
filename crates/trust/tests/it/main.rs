//! Trust, judged from outside: X-Road's sample data, the schemas, and unmodified tools.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod asic;
mod globalconf;
mod pki;
mod samples;
