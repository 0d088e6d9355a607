use serde::{Deserialize, Serialize};

use super::policy::{Policy, Verdict};
use super::{Note, NoteError, TlogProof};
use crate::digest::hmac_sha256;
use crate::merkle::{leaf_hash, verify_inclusion};

/// The record behind an entry of a log is at most this long, in bytes.
pub const RECORD_BYTES_MAX: usize = 128 * 1024;

/// What opens an entry of a log that is a salted commitment: with it and the proof, anyone sees offline what was recorded.
///
/// It travels as JSON in the `extra` line of a [`TlogProof`]: `{"v":1,"salt":"<64 hex digits>","record":"<text>"}`. Nothing vouches
/// for that line but the entry itself, which is HMAC-SHA-256(salt, record). Whoever erases the salt, here and where it was
/// kept, leaves a random number in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The salt of the commitment.
    pub salt: [u8; 32],
    /// What was committed to, byte for byte.
    pub record: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    v: u8,
    salt: String,
    record: String,
}

/// What a proof with its opening shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The record.
    pub record: String,
    /// The place of its entry in the log.
    pub index: u64,
    /// The checkpoint, who cosigned it, and whether they make the quorum of the policy.
    pub verdict: Verdict,
}

impl Opening {
    /// The entry of the log: HMAC-SHA-256(salt, record).
    pub fn leaf(&self) -> [u8; 32] {
        hmac_sha256(&self.salt, self.record.as_bytes())
    }

    /// The form that goes into the `extra` line of a proof.
    pub fn to_extra(&self) -> Vec<u8> {
        let written = Written { v: 1, salt: hex::encode(self.salt), record: self.record.clone() };
        // A number and two texts always have a JSON form.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads that form.
    pub fn from_extra(extra: &[u8]) -> Result<Self, NoteError> {
        let refused = |reason| NoteError::Malformed { what: "opening of a commitment", reason };
        let written: Written =
            serde_json::from_slice(extra).map_err(|_| refused("the extra line is no JSON with v, salt and record"))?;
        if written.v != 1 {
            return Err(refused("its version is not 1"));
        }
        if written.record.len() > RECORD_BYTES_MAX {
            return Err(refused("the record is longer than 128 KiB"));
        }
        let salt = hex::decode(&written.salt).ok().and_then(|salt| salt.try_into().ok());
        Ok(Self { salt: salt.ok_or(refused("the salt is not 64 hexadecimal digits"))?, record: written.record })
    }

    /// Puts the opening into a proof of the entry, which then needs nothing beside it.
    pub fn put_into(&self, proof: &str) -> Result<String, NoteError> {
        let proof = TlogProof { extra: Some(self.to_extra()), ..TlogProof::parse(proof)? };
        Ok(proof.to_text())
    }

    /// Verifies a proof that carries its opening: record, salt, entry, path, root, signature of the log. The verdict says whether
    /// the quorum of the policy is there; without it the checkpoint is the word of the log alone.
    pub fn verify(proof: &str, policy: &Policy) -> Result<Opened, NoteError> {
        let proof = TlogProof::parse(proof)?;
        let missing =
            NoteError::Malformed { what: "opened proof", reason: "it has no extra line with salt and record" };
        let opening = Self::from_extra(proof.extra.as_deref().ok_or(missing)?)?;
        let verdict = policy.judge(&Note::parse(&proof.checkpoint)?)?;
        let checkpoint = &verdict.checkpoint;
        let leaf = leaf_hash(&opening.leaf());
        verify_inclusion(&leaf, proof.index, checkpoint.size, &proof.hashes, &checkpoint.root)?;
        Ok(Opened { record: opening.record, index: proof.index, verdict })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::merkle::node_hash;
    use crate::note::{Checkpoint, NoteSigner};

    fn proof(opening: &Opening, log: &NoteSigner) -> String {
        let sibling = leaf_hash(b"another entry");
        let root = node_hash(&sibling, &leaf_hash(&opening.leaf()));
        let checkpoint = Checkpoint::new("log.example/state", 2, root).unwrap().sign(log).unwrap();
        TlogProof { extra: None, index: 1, hashes: vec![sibling], checkpoint }.to_text()
    }

    #[test]
    fn a_proof_with_its_opening_needs_nothing_beside_it() {
        let log = NoteSigner::new("log.example/state", SigningKey::generate_ed25519().unwrap()).unwrap();
        let policy = Policy::log_only(log.verifier());
        let opening = Opening { salt: [7; 32], record: "{\"sha256\":\"00\"}".to_owned() };
        let kept = opening.put_into(&proof(&opening, &log)).unwrap();
        let opened = Opening::verify(&kept, &policy).unwrap();
        assert_eq!((opened.record, opened.index, opened.verdict.checkpoint.size), (opening.record.clone(), 1, 2));
        let other = Opening { record: "{\"sha256\":\"01\"}".to_owned(), ..opening.clone() };
        let forged = other.put_into(&proof(&opening, &log)).unwrap();
        assert!(matches!(Opening::verify(&forged, &policy), Err(NoteError::Proof(_))), "another record");
        let salted = Opening { salt: [8; 32], ..opening.clone() };
        let forged = salted.put_into(&proof(&opening, &log)).unwrap();
        assert!(Opening::verify(&forged, &policy).is_err(), "another salt");
        assert!(Opening::verify(&proof(&opening, &log), &policy).is_err(), "the salt is erased");
    }

    #[test]
    fn what_is_no_opening_is_refused_with_a_reason() {
        for extra in ["", "{}", r#"{"v":2,"salt":"00","record":""}"#, r#"{"v":1,"salt":"00","record":""}"#] {
            assert!(matches!(Opening::from_extra(extra.as_bytes()), Err(NoteError::Malformed { .. })), "{extra}");
        }
    }
}
