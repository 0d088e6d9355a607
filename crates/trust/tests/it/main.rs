//! Trust, judged from outside: X-Road's sample data, the schemas, and unmodified tools.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod archive;
mod asic;
mod globalconf;
mod moulds;
mod mserv;
mod mutated;
mod nation;
mod pkcs11;
mod pki;
mod samples;
mod xades;
