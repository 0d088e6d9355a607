//! The log seen from outside: appends and fetches over HTTP, and believes only what it verified.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ::http::{Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use civic::SharedClock;
use trust::keys::SigningKey;
use trust::merkle::{Hash, PROOF_HASHES_MAX, ProofError, empty_root, verify_consistency};
use trust::note::{Checkpoint, NoteError, TlogProof, VerifierKey};

use crate::http::{AppendAnswer, AppendRequest};
use crate::submitters::{Submitter, SubmitterError};
use crate::wire::{Wire, WireError};

/// Why the log's answer is not accepted, or there is none.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is no `http://` URL.
    #[error("`{0}` is no http:// address of a log")]
    Address(String),
    /// The log did not answer in time or the connection failed. Nothing is known of the request: repeat it.
    #[error("the ledger at {url} cannot be reached ({reason}): try again")]
    Unreachable {
        /// Where.
        url: String,
        /// What failed.
        reason: String,
    },
    /// The log refused.
    #[error("the ledger refuses ({status}): {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said, shortened.
        detail: String,
    },
    /// The answer is not what the protocol says.
    #[error("the ledger answers what it must not: {0}")]
    Protocol(&'static str),
    /// A checkpoint or proof does not verify.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The log shows two histories: the two signed checkpoints are the evidence. Raise an alarm.
    #[error("the ledger shows two histories; keep these as evidence:\n{first}\n{second}")]
    Fork {
        /// The one that was seen before.
        first: String,
        /// The one that contradicts it.
        second: String,
    },
    /// This client may not append: it has no submitter key.
    #[error("this client has no submitter key: it only reads")]
    ReadOnly,
    /// The submitter key does not sign.
    #[error(transparent)]
    Submitter(#[from] SubmitterError),
}

impl ClientError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// A client of one log, whose key it knows. Clones share connections and what was seen of the log.
#[derive(Clone)]
pub struct LedgerClient {
    wire: Wire,
    log: VerifierKey,
    submitter: Option<Arc<Submitter>>,
    clock: SharedClock,
    seen: Arc<Mutex<Option<Seen>>>,
}

/// The last checkpoint that continues all that were seen before.
#[derive(Clone)]
struct Seen {
    note: String,
    size: u64,
    root: Hash,
}

impl LedgerClient {
    /// A client of the log at this `http://` address, with its verifier key; with a submitter it may append.
    pub fn new(
        url: &str,
        log: VerifierKey,
        submitter: Option<Submitter>,
        clock: SharedClock,
    ) -> Result<Self, ClientError> {
        let wire = Wire::to(url).map_err(|_| ClientError::Address(url.to_owned()))?;
        let submitter = submitter.map(Arc::new);
        Ok(Self { wire, log, submitter, clock, seen: Arc::default() })
    }

    /// The key of the log.
    pub fn verifier(&self) -> &VerifierKey {
        &self.log
    }

    /// Appends with another key from now on, clones included. The log must know it by the same name.
    pub fn sign_with(&self, key: SigningKey) -> Result<(), ClientError> {
        let submitter = self.submitter.as_ref().ok_or(ClientError::ReadOnly)?;
        Ok(submitter.sign_with(key)?)
    }

    /// Appends entries, at most 1,000; their indexes, in order. When it returns, they are durable and covered by a
    /// checkpoint whose signature was verified here. After [`ClientError::Unreachable`] repeat the call: the same entry
    /// keeps its index.
    pub async fn append(&self, entries: &[Vec<u8>]) -> Result<Vec<u64>, ClientError> {
        let submitter = self.submitter.as_ref().ok_or(ClientError::ReadOnly)?;
        let request = AppendRequest { leaves: entries.iter().map(|entry| STANDARD.encode(entry)).collect() };
        let body = serde_json::to_vec(&request).map_err(|_| ClientError::Protocol("the request is no JSON"))?;
        let token = submitter.token(self.log.name(), &body, self.clock.now())?;
        let request = Request::builder()
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {token}"));
        let answer = self.send(request, "/append", body).await?;
        let answer: AppendAnswer =
            serde_json::from_slice(&answer).map_err(|_| ClientError::Protocol("the answer to an append is no JSON"))?;
        let checkpoint = self.open(&answer.checkpoint)?;
        if answer.indexes.len() != entries.len() {
            return Err(ClientError::Protocol("it gives another number of indexes than entries were sent"));
        }
        if answer.indexes.iter().any(|index| *index >= checkpoint.size) {
            return Err(ClientError::Protocol("its checkpoint does not cover the entries"));
        }
        Ok(answer.indexes)
    }

    /// The proof (C2SP tlog-proof) that this entry stands at this index, verified.
    pub async fn proof(&self, index: u64, entry: &[u8]) -> Result<String, ClientError> {
        let text = self.get_text(&format!("/proof/{index}")).await?;
        let proof = TlogProof::parse(&text)?;
        if proof.index != index {
            return Err(ClientError::Protocol("the proof is of another entry"));
        }
        let checkpoint = proof.verify(entry, &self.log)?;
        self.compare(&checkpoint, &proof.checkpoint)?;
        Ok(text)
    }

    /// The last checkpoint, verified to continue all that this client saw here before.
    pub async fn checkpoint(&self) -> Result<Checkpoint, ClientError> {
        let note = self.get_text("/checkpoint").await?;
        let checkpoint = self.open(&note)?;
        let before = self.seen();
        let old = before.clone().unwrap_or(Seen { note: String::new(), size: 0, root: empty_root() });
        if checkpoint.size < old.size {
            // Answers may overtake each other; what was seen later stays what counts.
            return self.verify_continues(checkpoint.size, checkpoint.root, &note, &old).await.map(|()| checkpoint);
        }
        let new = Seen { note: note.clone(), size: checkpoint.size, root: checkpoint.root };
        self.verify_continues(old.size, old.root, &old.note, &new).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref().is_none_or(|seen| seen.size <= new.size) {
            *seen = Some(new);
        }
        Ok(checkpoint)
    }

    async fn verify_continues(&self, old: u64, root: Hash, note: &str, new: &Seen) -> Result<(), ClientError> {
        let proof = if old == 0 || old == new.size { Vec::new() } else { self.consistency(old, new.size).await? };
        match verify_consistency(old, &root, new.size, &new.root, &proof) {
            Ok(()) => Ok(()),
            Err(ProofError::Root) => Err(ClientError::Fork { first: note.to_owned(), second: new.note.clone() }),
            Err(error) => Err(NoteError::Proof(error).into()),
        }
    }

    async fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ClientError> {
        let text = self.get_text(&format!("/consistency/{old}/{new}")).await?;
        let wrong = ClientError::Protocol("a consistency proof is not base64 hashes, one a line");
        let hashes: Option<Vec<Hash>> = text
            .lines()
            .take(2 * PROOF_HASHES_MAX)
            .map(|line| STANDARD.decode(line).ok().and_then(|hash| Hash::try_from(hash).ok()))
            .collect();
        hashes.ok_or(wrong)
    }

    /// Verifies a checkpoint, and that it does not contradict the one seen last at the same size.
    fn open(&self, note: &str) -> Result<Checkpoint, ClientError> {
        let checkpoint = Checkpoint::open(note, &self.log)?;
        self.compare(&checkpoint, note)?;
        Ok(checkpoint)
    }

    /// Whether a verified checkpoint contradicts the one seen last at the same size.
    fn compare(&self, checkpoint: &Checkpoint, note: &str) -> Result<(), ClientError> {
        match self.seen() {
            Some(seen) if seen.size == checkpoint.size && seen.root != checkpoint.root => {
                Err(ClientError::Fork { first: seen.note, second: note.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let bytes = self.send(Request::builder(), path, Vec::new()).await?;
        String::from_utf8(bytes.into()).map_err(|_| ClientError::Protocol("an answer is not UTF-8"))
    }

    async fn send(&self, request: ::http::request::Builder, path: &str, body: Vec<u8>) -> Result<Bytes, ClientError> {
        let (status, body) = self.wire.send(request, path, body).await.map_err(|error| match error {
            WireError::Address => ClientError::Address(self.wire.url().to_owned()),
            WireError::Unreachable(reason) => ClientError::Unreachable { url: self.wire.url().to_owned(), reason },
        })?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(ClientError::Refused { status: status.as_u16(), detail: detail_of(&body) })
    }
}

impl fmt::Debug for LedgerClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LedgerClient({} at {})", self.log.name(), self.wire.url())
    }
}

/// The `detail` of a problem, or the beginning of whatever came.
fn detail_of(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.and_then(|problem| problem.get("detail")?.as_str().map(str::to_owned));
    detail.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()).chars().take(300).collect()
}
