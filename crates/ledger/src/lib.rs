//! The transparency log: what was recorded can neither be changed nor hidden, not even by the one who runs it.
//!
//! A C2SP log (tlog-tiles, tlog-checkpoint, signed-note, tlog-proof) over a [`store::Store`]. Organisations append
//! salted commitments ([`Commitment`]); the log orders them, signs a checkpoint over all of them, and gives out proofs
//! that anyone verifies offline with [`trust::note`].
//!
//! # What holds
//! - [`Ledger::append`] answers when the entry is durable *and* covered by a signed checkpoint: entries, tiles and
//!   checkpoint are one transaction. Many callers share one commit and one signature.
//! - The checkpoint row is changed by compare-and-swap on its size, so two processes never sign two histories.
//! - Entries are the truth. Tiles are derived from them; opening checks that the last ones lead to the signed root,
//!   [`Ledger::check`] checks all. A proof or bundle that does not fit the signed root is an error, never an answer.
//! - The same entry twice is the same index: a caller that lost the answer asks again.
//! - No personal datum enters: erasing the salt of a commitment erases the person, and the log stays whole.
//!
//! # Whom we trust
//! Whoever holds the key can sign a second history; witnesses will see it (C2SP tlog-witness, a later issue). Whoever
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

mod check;
pub mod client;
mod commitment;
mod error;
pub mod http;
mod log;
mod metrics;
mod publish;
mod read;
mod rows;
mod sequence;
pub mod submitters;
#[cfg(feature = "testing")]
pub mod testing;

pub use check::CheckReport;
pub use client::{ClientError, LedgerClient};
pub use commitment::Commitment;
pub use error::LedgerError;
pub use log::{ENTRIES_MAX, ENTRY_BYTES_MAX, Ledger};
pub use submitters::{Submitter, Submitters};
