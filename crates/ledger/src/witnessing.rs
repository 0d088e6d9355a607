//! The log before its witnesses: it asks them to cosign each checkpoint, and signs nothing before a quorum of them has
//! said that they never saw more of this log than it has itself. A data directory of yesterday therefore never signs a
//! second history.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use trust::merkle::verify_consistency;
use trust::note::policy::Policy;
use trust::note::{Checkpoint, Note, NoteSignature, VerifierKey};

use crate::LedgerError;
use crate::log::Shared;
use crate::publish::Published;
use crate::witness::client::{WitnessClient, WitnessError};

/// How long a witness may take once the quorum is there.
const LATE_TIME_MAX: Duration = Duration::from_millis(100);
/// How long a round may take.
const ROUND_TIME_MAX: Duration = Duration::from_secs(5);
/// The pause before witnesses that did not answer are asked again.
const PAUSE: Duration = Duration::from_millis(300);
/// A witness is asked so often in one round: it may have cosigned another size than we remember.
const TRIES_MAX: u32 = 3;

/// The witnesses of a log, and what they cosigned.
pub(crate) struct Quorum {
    policy: Policy,
    witnesses: Vec<Arc<Asked>>,
    confirmed: AtomicBool,
    latest: watch::Sender<Option<Arc<Witnessed>>>,
}

/// A checkpoint with its quorum.
pub(crate) struct Witnessed {
    pub(crate) published: Arc<Published>,
    pub(crate) note: String,
}

struct Asked {
    client: WitnessClient,
    names: Vec<String>,
    /// The size that it cosigned last, as far as we know.
    size: Mutex<u64>,
}

impl Quorum {
    /// The witnesses of a policy that have an address; those that share one are one witness with several keys.
    pub(crate) fn new(policy: Policy) -> Result<Self, LedgerError> {
        let mut by_url: BTreeMap<String, (Vec<String>, Vec<VerifierKey>)> = BTreeMap::new();
        for witness in policy.witnesses() {
            let Some(url) = &witness.url else { continue };
            let (names, keys) = by_url.entry(url.clone()).or_default();
            names.push(witness.name.clone());
            keys.push(witness.key.clone());
        }
        let mut witnesses = Vec::new();
        for (url, (names, keys)) in by_url {
            let refused =
                |error: WitnessError| LedgerError::Witness { name: names.join(", "), reason: error.to_string() };
            let client = WitnessClient::new(&url, keys).map_err(refused)?;
            witnesses.push(Arc::new(Asked { client, names, size: Mutex::new(0) }));
        }
        let all = witnesses.iter().flat_map(|asked| asked.names.iter().map(String::as_str));
        if !policy.is_quorum(all) {
            let reason = "the witnesses with an address cannot make the quorum".to_owned();
            return Err(LedgerError::Witness { name: "the policy".to_owned(), reason });
        }
        let confirmed = AtomicBool::new(!policy.wants_witnesses());
        Ok(Self { policy, witnesses, confirmed, latest: watch::Sender::new(None) })
    }

    /// Whether a quorum has said that it saw nothing newer than what we have.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::SeqCst)
    }

    /// The last checkpoint that has its quorum.
    pub(crate) fn latest(&self) -> Option<Arc<Witnessed>> {
        self.latest.borrow().clone()
    }

    /// Waits for a quorum over a log of this size.
    pub(crate) async fn covers(&self, size: u64) -> Result<(), LedgerError> {
        let mut latest = self.latest.subscribe();
        let there = |witnessed: &Option<Arc<Witnessed>>| {
            witnessed.as_ref().is_some_and(|witnessed| witnessed.published.checkpoint.size >= size)
        };
        match latest.wait_for(there).await {
            Ok(_) => Ok(()),
            Err(_) => Err(LedgerError::Closed),
        }
    }
}

/// Serves until the log is gone.
pub(crate) async fn serve(weak: Weak<Shared>, quorum: Arc<Quorum>, mut shown: watch::Receiver<Arc<Published>>) {
    loop {
        let Some(shared) = weak.upgrade() else { return };
        if shared.stopped().is_some() {
            return;
        }
        let published = shown.borrow_and_update().clone();
        let done = if quorum.is_confirmed() {
            cosign(&shared, &quorum, &published).await
        } else {
            confirm(&shared, &quorum).await && published.checkpoint.size == 0
        };
        drop(shared);
        if !done {
            tokio::time::sleep(PAUSE).await;
        } else if shown.changed().await.is_err() {
            return;
        }
    }
}

/// Asks what the witnesses saw last; whether a quorum of them saw nothing that we have not.
async fn confirm(shared: &Arc<Shared>, quorum: &Quorum) -> bool {
    let mut agreed: Vec<&str> = Vec::new();
    for asked in &quorum.witnesses {
        match seen_by(shared, asked).await {
            Ok(()) => agreed.extend(asked.names.iter().map(String::as_str)),
            Err(LedgerError::Witness { name, reason }) => {
                tracing::warn!(witness = name, reason, "a witness does not say what it saw");
            }
            Err(error) => {
                shared.stop(&error);
                return false;
            }
        }
    }
    let confirmed = quorum.policy.is_quorum(agreed);
    quorum.confirmed.store(confirmed, Ordering::SeqCst);
    confirmed
}

/// Compares the last checkpoint that a witness cosigned with the log.
async fn seen_by(shared: &Arc<Shared>, asked: &Asked) -> Result<(), LedgerError> {
    let name = asked.names.join(", ");
    let unclear = |reason: String| LedgerError::Witness { name: name.clone(), reason };
    let key = shared.parts.keys.verifier();
    let latest = asked.client.latest(key.name()).await.map_err(|error| unclear(error.to_string()))?;
    let Some(note) = latest else { return Ok(()) };
    // What we did not sign says nothing about us.
    let seen = Checkpoint::open(&note, &key).map_err(|error| unclear(error.to_string()))?;
    let ours = shared.published();
    if seen.size > ours.checkpoint.size {
        return Err(LedgerError::Behind { witness: name, seen: seen.size, size: ours.checkpoint.size });
    }
    let proof = shared.prefix_proof(&ours, seen.size).await?;
    match verify_consistency(seen.size, &seen.root, ours.checkpoint.size, &ours.checkpoint.root, &proof) {
        Ok(()) => {
            *asked.size.lock().unwrap_or_else(PoisonError::into_inner) = seen.size;
            Ok(())
        }
        Err(_) => Err(LedgerError::Forked { witness: name, seen: note, ours: ours.note.clone() }),
    }
}

/// Asks every witness to cosign; whether the quorum came together.
async fn cosign(shared: &Arc<Shared>, quorum: &Quorum, published: &Arc<Published>) -> bool {
    if published.checkpoint.size == 0 {
        return true;
    }
    let Ok(mut note) = Note::parse(&published.note) else { return true };
    let mut rounds = JoinSet::new();
    for asked in &quorum.witnesses {
        let (shared, asked, published) = (Arc::clone(shared), Arc::clone(asked), Arc::clone(published));
        rounds.spawn(async move { ask(&shared, &asked, &published).await });
    }
    let mut deadline = Instant::now() + ROUND_TIME_MAX;
    let mut reached = false;
    while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, rounds.join_next()).await {
        match answer {
            Ok(Ok(signatures)) => {
                for signature in signatures {
                    note.push(signature);
                }
            }
            Ok(Err(LedgerError::Witness { name, reason })) => {
                tracing::warn!(witness = name, reason, size = published.checkpoint.size, "a witness did not cosign");
            }
            Ok(Err(error @ (LedgerError::Behind { .. } | LedgerError::Forked { .. }))) => {
                shared.stop(&error);
                return false;
            }
            Ok(Err(error)) => tracing::warn!(%error, "no proof for a witness"),
            Err(error) => tracing::error!(%error, "asking a witness failed"),
        }
        let verdict = quorum.policy.judge(&note);
        if !reached && verdict.is_ok_and(|verdict| verdict.quorum) {
            reached = true;
            deadline = deadline.min(Instant::now() + LATE_TIME_MAX);
        }
    }
    if reached {
        let witnessed = Witnessed { published: Arc::clone(published), note: note.to_string() };
        quorum.latest.send_replace(Some(Arc::new(witnessed)));
    }
    reached
}

/// The cosignatures of one witness.
async fn ask(
    shared: &Arc<Shared>,
    asked: &Asked,
    published: &Arc<Published>,
) -> Result<Vec<NoteSignature>, LedgerError> {
    let name = asked.names.join(", ");
    let size = published.checkpoint.size;
    let text = published.checkpoint.text();
    let mut old = *asked.size.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..TRIES_MAX {
        let proof = if old == 0 { Vec::new() } else { shared.prefix_proof(published, old).await? };
        match asked.client.cosign(&published.note, &text, old, &proof).await {
            Ok(signatures) => {
                *asked.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
                return Ok(signatures);
            }
            Err(WitnessError::Conflict(seen)) if seen <= size => old = seen,
            // Another process may have moved this log on; if the store does not know of it, it is of yesterday.
            Err(WitnessError::Conflict(seen)) => {
                shared.reload().await?;
                let size = shared.published().checkpoint.size;
                if seen > size {
                    return Err(LedgerError::Behind { witness: name, seen, size });
                }
                return Ok(Vec::new());
            }
            Err(WitnessError::Refused { status: 422, detail }) => {
                seen_by(shared, asked).await?;
                return Err(LedgerError::Witness { name, reason: detail });
            }
            Err(error) => {
                let reason = format!("{} at {}", error, asked.client.url());
                return Err(LedgerError::Witness { name, reason });
            }
        }
    }
    Err(LedgerError::Witness { name, reason: "it names another size each time".to_owned() })
}
