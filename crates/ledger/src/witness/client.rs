//! A witness seen by a log.

use ::http::{Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trust::merkle::Hash;
use trust::note::{NoteSignature, VerifierKey};

use super::origin_hash;
use crate::wire::{Wire, WireError};

/// One witness: where it is and the keys of it that count.
pub(crate) struct WitnessClient {
    wire: Wire,
    keys: Vec<VerifierKey>,
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WitnessError {
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
    #[error("it cosigned the tree of {0} entries last")]
    Conflict(u64),
    #[error("it refuses ({status}): {detail}")]
    Refused { status: u16, detail: String },
    #[error("it answers what it must not: {0}")]
    Protocol(&'static str),
}

impl From<WireError> for WitnessError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Address => Self::Unreachable("its address is no http:// URL".to_owned()),
            WireError::Unreachable(reason) => Self::Unreachable(reason),
        }
    }
}

impl WitnessClient {
    pub(crate) fn new(url: &str, keys: Vec<VerifierKey>) -> Result<Self, WitnessError> {
        Ok(Self { wire: Wire::to(url)?, keys })
    }

    pub(crate) fn url(&self) -> &str {
        self.wire.url()
    }

    /// Asks for cosignatures of a checkpoint; those of the keys that count, verified.
    pub(crate) async fn cosign(
        &self,
        note: &str,
        text: &str,
        old: u64,
        proof: &[Hash],
    ) -> Result<Vec<NoteSignature>, WitnessError> {
        let lines: Vec<String> = proof.iter().map(|hash| format!("{}\n", STANDARD.encode(hash))).collect();
        let body = format!("old {old}\n{}\n{note}", lines.concat());
        let request = Request::builder().method(Method::POST);
        let (status, answer) = self.wire.send(request, "/add-checkpoint", body.into_bytes()).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        match status {
            StatusCode::OK => self.signatures(text, &answer),
            StatusCode::CONFLICT => {
                let size = answer.trim_end().parse().map_err(|_| WitnessError::Protocol("409 without a size"))?;
                Err(WitnessError::Conflict(size))
            }
            status => Err(refused(status, &answer)),
        }
    }

    /// The last checkpoint of this log that the witness cosigned.
    pub(crate) async fn latest(&self, origin: &str) -> Result<Option<String>, WitnessError> {
        let (status, answer) = self.wire.get(&format!("/{}/checkpoint", origin_hash(origin))).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        match status {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(refused(status, &answer)),
        }
    }

    fn signatures(&self, text: &str, answer: &str) -> Result<Vec<NoteSignature>, WitnessError> {
        let mut found = Vec::new();
        for line in answer.lines().take(trust::note::SIGNATURES_MAX) {
            let signature = NoteSignature::parse(line).map_err(|_| WitnessError::Protocol("no signature line"))?;
            let Some(key) = self.keys.iter().find(|key| key.is_of(&signature)) else { continue };
            let time = key.verify(text, &signature.bytes);
            if !matches!(time, Ok(Some(1..))) {
                return Err(WitnessError::Protocol("its cosignature is not over this checkpoint"));
            }
            found.push(signature);
        }
        Ok(found)
    }
}

fn refused(status: StatusCode, answer: &str) -> WitnessError {
    WitnessError::Refused { status: status.as_u16(), detail: answer.trim_end().chars().take(200).collect() }
}
