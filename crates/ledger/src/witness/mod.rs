//! A witness (C2SP tlog-witness): it cosigns a checkpoint of a log it knows when that continues the last one it
//! cosigned, and never anything else. Who wants quorum's trust asks several witnesses of different organisations.
//!
//! # What holds
//! - The check against the last cosigned tree and its replacement are one transaction, durable before the answer: two
//!   histories of one log never get a cosignature of the same witness.
//! - Two checkpoints that contradict each other, both signed by the log, are kept as evidence ([`Witness::conflicts`]).
//!
//! # Whom we trust
//! Whoever holds the keys of the witness, or can put an older state of its store in place, can have two histories
//! cosigned by it. That is what the quorum is for.
//!
//! | request | answer |
//! |---|---|
//! | `POST /add-checkpoint` | our cosignature lines; 409 with the size we cosigned last; 403, 404, 422, 400 |
//! | `GET /<hex SHA-256 of the origin>/checkpoint` | the last checkpoint that we cosigned |

pub(crate) mod client;
mod http;
mod rows;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use civic::SharedClock;
use store::Store;
use trust::digest::sha256;
use trust::merkle::{Hash, PROOF_HASHES_MAX, ProofError, empty_root, verify_consistency};
use trust::note::{Checkpoint, Cosigner, Note, NoteError, NoteSignature, VerifierKey};

use crate::LedgerError;

pub(crate) use rows::{add_conflict, conflicts};

/// The body of an add-checkpoint request is at most this long, in bytes.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// A witness follows at most this many logs.
const LOGS_MAX: usize = 1_000;

/// A witness of the logs of others. Clones share it.
#[derive(Clone)]
pub struct Witness {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    cosigners: Vec<Cosigner>,
    clock: SharedClock,
    logs: RwLock<BTreeMap<String, Vec<VerifierKey>>>,
}

/// Why a witness does not cosign. Each is one status code of C2SP tlog-witness.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 400: the request is not what the specification says.
    #[error("the request is refused: {0}")]
    Malformed(&'static str),
    /// 404: this witness does not know the log.
    #[error("this witness does not know the log `{0}`")]
    UnknownLog(String),
    /// 403: no key that is trusted for the log signed, or one did and the signature is not over this text.
    #[error(transparent)]
    Unsigned(NoteError),
    /// 409: the request starts from another size than the one that was cosigned last.
    #[error("the last tree that was cosigned has {0} entries: send a proof from there")]
    Conflict(u64),
    /// 422: the checkpoint does not continue what was cosigned.
    #[error("the checkpoint does not continue the one of size {size} that was cosigned: {reason}")]
    Inconsistent {
        /// The size that was cosigned last.
        size: u64,
        /// What does not hold.
        reason: ProofError,
    },
    /// 500 or 503: the witness cannot keep what it cosigns, so it does not cosign.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Two checkpoints of one log that contradict each other, both signed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The log.
    pub origin: String,
    /// The signed checkpoint that was seen before.
    pub first: String,
    /// The signed checkpoint that contradicts it.
    pub second: String,
    /// `witness` or `monitor`.
    pub found_by: String,
}

impl Witness {
    /// A witness that keeps what it cosigned in this store. Its keys should be an Ed25519 and an ML-DSA-44 cosigner.
    pub async fn open(store: Store, cosigners: Vec<Cosigner>, clock: SharedClock) -> Result<Self, LedgerError> {
        store.migrate(crate::rows::MIGRATIONS).await?;
        Ok(Self { inner: Arc::new(Inner { store, cosigners, clock, logs: RwLock::default() }) })
    }

    /// Witnesses this log from now on, trusting these keys of it in place of those it had. All keys must bear the name
    /// of the log, and at most 1,000 logs are followed.
    pub fn follow(&self, keys: Vec<VerifierKey>) -> Result<(), NoteError> {
        let Some(origin) = keys.first().map(|key| key.name().to_owned()) else { return Ok(()) };
        if let Some(other) = keys.iter().find(|key| key.name() != origin) {
            return Err(NoteError::Origin { expected: origin, found: other.name().to_owned() });
        }
        let mut logs = self.inner.logs.write().unwrap_or_else(PoisonError::into_inner);
        if logs.len() >= LOGS_MAX && !logs.contains_key(&origin) {
            return Err(NoteError::Malformed { what: "witness", reason: "it follows 1,000 logs already" });
        }
        logs.insert(origin, keys);
        Ok(())
    }

    /// Witnesses these logs and no others from now on, by their keys, those of one log together. What it cosigned of a log that is not
    /// among them stays kept: should the log come back, it must continue that.
    pub fn follow_only(&self, logs: Vec<Vec<VerifierKey>>) -> Result<(), NoteError> {
        let origin = |keys: &Vec<VerifierKey>| keys.first().map(|key| key.name().to_owned());
        let wanted: Vec<String> = logs.iter().filter_map(origin).collect();
        {
            let mut followed = self.inner.logs.write().unwrap_or_else(PoisonError::into_inner);
            followed.retain(|origin, _| wanted.contains(origin));
        }
        logs.into_iter().try_for_each(|keys| self.follow(keys))
    }

    /// The origins of the logs that it witnesses.
    pub fn followed(&self) -> Vec<String> {
        self.inner.logs.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The keys with which this witness cosigns.
    pub fn verifiers(&self) -> Vec<VerifierKey> {
        self.inner.cosigners.iter().map(Cosigner::verifier).collect()
    }

    /// The routes of the witness, to be served at its submission and monitoring prefix.
    pub fn router(&self) -> Router {
        http::router(self.clone())
    }

    /// Cosigns a checkpoint (the body of `add-checkpoint`); our signature lines.
    pub async fn add_checkpoint(&self, body: &str) -> Result<String, Refusal> {
        let request = Request::parse(body)?;
        let checkpoint =
            Checkpoint::parse(request.note.text()).map_err(|_| Refusal::Malformed("the note is no checkpoint"))?;
        let unknown = || Refusal::UnknownLog(checkpoint.origin.chars().take(80).collect());
        let keys = self.keys_of(&checkpoint.origin).ok_or_else(unknown)?;
        request.note.verify(&keys).map_err(Refusal::Unsigned)?;
        if request.old > checkpoint.size {
            return Err(Refusal::Malformed("the old size is larger than the checkpoint's"));
        }
        let mut note = Note::of(request.note.text()).map_err(Refusal::Unsigned)?;
        let of_log = |signature: &&NoteSignature| keys.iter().any(|key| key.is_of(signature));
        request.note.signatures().iter().filter(of_log).for_each(|signature| note.push(signature.clone()));
        let step = Step { checkpoint, old: request.old, proof: request.proof, note };
        let inner = Arc::clone(&self.inner);
        let cosign = move |tx: &mut store::Tx<'_>| step.take(tx, &inner);
        self.inner.store.tx("ledger.witness", cosign).await?
    }

    /// The last checkpoint cosigned of the log whose origin has this hex SHA-256, with our cosignatures.
    pub async fn latest(&self, origin_hash: &str) -> Result<Option<String>, LedgerError> {
        let hash = origin_hash.to_owned();
        self.inner.store.read("ledger.witness_latest", move |tx| rows::note_by_hash(tx, &hash)).await
    }

    /// The contradictions that this store holds, the witness's and the monitor's.
    pub async fn conflicts(&self) -> Result<Vec<Conflict>, LedgerError> {
        self.inner.store.read("ledger.conflicts", conflicts).await
    }

    fn keys_of(&self, origin: &str) -> Option<Vec<VerifierKey>> {
        self.inner.logs.read().unwrap_or_else(PoisonError::into_inner).get(origin).cloned()
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.inner.cosigners).finish()
    }
}

/// The name under which a witness serves the checkpoints of a log.
pub(crate) fn origin_hash(origin: &str) -> String {
    use std::fmt::Write as _;
    sha256(origin.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The body of an add-checkpoint request.
struct Request {
    old: u64,
    proof: Vec<Hash>,
    note: Note,
}

impl Request {
    fn parse(body: &str) -> Result<Self, Refusal> {
        let refused = Refusal::Malformed;
        let (head, note) = body.split_once("\n\n").ok_or(refused("there is no empty line"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).unwrap_or_default();
        let size: u64 = old.parse().map_err(|_| refused("the first line is not `old SIZE`"))?;
        if size.to_string() != old {
            return Err(refused("the old size has a sign or a leading zero"));
        }
        let mut proof = Vec::new();
        for line in lines {
            let hash = STANDARD.decode(line).ok().and_then(|hash| Hash::try_from(hash).ok());
            proof.push(hash.ok_or(refused("a proof line is not 32 bytes in base64"))?);
            if proof.len() > PROOF_HASHES_MAX {
                return Err(refused("there are more than 63 proof lines"));
            }
        }
        let note = Note::parse(note).map_err(|_| refused("there is no signed note after the empty line"))?;
        Ok(Self { old: size, proof, note })
    }
}

/// A checkpoint whose signature was verified, to be compared with what was cosigned.
struct Step {
    checkpoint: Checkpoint,
    old: u64,
    proof: Vec<Hash>,
    note: Note,
}

impl Step {
    /// Compares, keeps and cosigns, in the transaction that is given. A refusal keeps the evidence there may be.
    fn take(&self, tx: &mut store::Tx<'_>, inner: &Inner) -> Result<Result<String, Refusal>, LedgerError> {
        let now = inner.clock.now();
        let last = rows::last(tx, &self.checkpoint.origin)?;
        let (size, root) = last.as_ref().map_or((0, empty_root()), |last| (last.size, last.root));
        if self.checkpoint.size == size && self.checkpoint.root != root {
            // Two roots of one size need no proof: the two signatures are the evidence.
            if let Some(last) = &last {
                let found = (last.note.as_str(), self.note.to_string());
                add_conflict(tx, &self.checkpoint.origin, found.0, &found.1, "witness", now)?;
            }
        }
        if self.old != size {
            return Ok(Err(Refusal::Conflict(size)));
        }
        let (new, new_root) = (self.checkpoint.size, &self.checkpoint.root);
        let empty_is_empty = new > 0 || *new_root == empty_root();
        let verdict = if empty_is_empty {
            verify_consistency(size, &root, new, new_root, &self.proof)
        } else {
            Err(ProofError::Root)
        };
        if let Err(reason) = verdict {
            return Ok(Err(Refusal::Inconsistent { size, reason }));
        }
        let seconds = u64::try_from(now.seconds()).unwrap_or_default();
        let mut note = self.note.clone();
        let mut lines = String::new();
        for cosigner in &inner.cosigners {
            let signature = cosigner.cosign(note.text(), seconds)?;
            lines.push_str(&signature.to_string());
            lines.push('\n');
            note.push(signature);
        }
        let kept = rows::Last { size: new, root: *new_root, note: note.to_string() };
        rows::keep(tx, &self.checkpoint.origin, &kept, now)?;
        Ok(Ok(lines))
    }
}
