//! The transparency log: what was recorded can neither be changed nor hidden, not even by the one who runs it.
//!
//! A C2SP log (tlog-tiles, tlog-checkpoint, signed-note, tlog-proof) over a [`store::Store`]. Organisations append
//! salted commitments ([`Commitment`]); the log orders them, signs a checkpoint over all of them, and gives out proofs
//! that anyone verifies offline with [`trust::note`].
//!
//! # What holds
//! - [`Ledger::append`] answers when the entry is durable *and* covered by a signed checkpoint. Many callers share one
//!   commit and one signature. The order: entries staged and checkpoint swapped in one transaction, tiles, checkpoint
//!   beside them, answer.
//! - The checkpoint row is changed by compare-and-swap on its size, so two processes never sign two histories. It is all
//!   that is trusted: checkpoints carry an Ed25519 signature and, where the log has such a key, one of ML-DSA-44.
//! - Tiles are derived, and live in the store, in a folder that any web server can serve, or in a bucket (S3). Opening checks that the
//!   last ones lead to the signed root and writes anew what a crash may have taken; [`Ledger::check`] checks all. A
//!   tile, proof or bundle that does not lead to the signed root is an error, never an answer.
//! - The same entry twice is the same index while it is among the last million: a caller that lost the answer asks again.
//! - After a failed write or sync nothing more is acknowledged ([`Ledger::stopped`]).
//! - No personal datum enters: erasing the salt of a commitment erases the person, and the log stays whole.
//!
//! # Whom we trust
//! Whoever holds the key can sign a second history; its witnesses see it and cosign no such checkpoint (C2SP tlog-witness). Whoever
//! can write the database can destroy the log, but not alter it unnoticed.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = store::testing::sqlite().await;
//! # let clock = std::sync::Arc::new(civic::testing::TestClock::at("2026-11-21T22:40:00Z"));
//! use trust::{keys::SigningKey, note::TlogProof};
//! let ledger = ledger::Ledger::open(store, SigningKey::generate_ed25519()?, "ledger.example/state", clock).await?;
//! let commitment = ledger::Commitment::new(b"Awa gave her consent", &civic::testing::SeededRandom::new(1));
//! let indexes = ledger.append(vec![commitment.leaf.to_vec()]).await?;
//! let proof = TlogProof::parse(&ledger.tlog_proof(indexes[0]).await?)?;
//! assert_eq!(proof.verify(&commitment.leaf, &ledger.vkey().parse()?)?.size, 1);
//! # Ok(()) }
//! ```

mod bundle;
mod check;
pub mod client;
mod commitment;
mod config;
mod error;
mod folder;
pub mod http;
pub mod inspect;
mod log;
mod metrics;
pub mod monitor;
pub mod outbox;
mod plan;
mod publish;
mod recent;
mod rows;
mod sequence;
mod source;
pub mod submitters;
#[cfg(feature = "testing")]
pub mod testing;
mod wire;
pub mod witness;
mod witnessing;

pub use check::CheckReport;
pub use client::{ClientError, LedgerClient};
pub use commitment::Commitment;
pub use config::{LedgerConfig, Tiles};
pub use error::LedgerError;
pub use log::{ENTRIES_MAX, ENTRY_BYTES_MAX, Ledger};
pub use outbox::Outbox;
pub use submitters::{Submitter, Submitters};
