use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::decimal;
use super::{Checkpoint, NOTE_BYTES_MAX, NoteError, VerifierKey};
use crate::merkle::{Hash, PROOF_HASHES_MAX, leaf_hash, verify_inclusion};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A proof that an entry stands in a log, which a person can keep and anyone can verify offline (C2SP tlog-proof,
/// file extension `.tlog-proof`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Bytes of the application that nothing vouches for.
    pub extra: Option<Vec<u8>>,
    /// The place of the entry in the log, from 0.
    pub index: u64,
    /// The inclusion proof, from the sibling of the leaf up.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, with whatever witnesses added.
    pub checkpoint: String,
}

impl TlogProof {
    /// The text of the proof.
    pub fn to_text(&self) -> String {
        let mut lines = vec![FIRST_LINE.to_owned()];
        lines.extend(self.extra.as_ref().map(|extra| format!("extra {}", STANDARD.encode(extra))));
        lines.push(format!("index {}", self.index));
        lines.extend(self.hashes.iter().map(|hash| STANDARD.encode(hash)));
        format!("{}\n\n{}", lines.join("\n"), self.checkpoint)
    }

    /// Reads a proof. Limits: 256 KiB, 63 hashes.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let refused = |reason| NoteError::Malformed { what: "tlog-proof", reason };
        if text.len() > NOTE_BYTES_MAX {
            return Err(refused("it is longer than 256 KiB"));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(refused("it has no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(refused("the first line is not c2sp.org/tlog-proof@v1"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(encoded) => {
                let extra = STANDARD.decode(encoded).map_err(|_| refused("the extra data are not base64"))?;
                lines.next();
                Some(extra)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(refused("no line `index NUMBER`"))?;
        let mut hashes = Vec::new();
        for line in lines {
            let hash = STANDARD.decode(line).ok().and_then(|hash| Hash::try_from(hash).ok());
            hashes.push(hash.ok_or(refused("a hash is not 32 bytes in base64"))?);
            if hashes.len() > PROOF_HASHES_MAX {
                return Err(refused("it has more than 63 hashes"));
            }
        }
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Verifies that this entry stands at [`TlogProof::index`] of the log whose key this is; the checkpoint says so.
    pub fn verify(&self, entry: &[u8], log: &VerifierKey) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, log)?;
        verify_inclusion(&leaf_hash(entry), self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::SigningKey;
    use crate::merkle::{ProofError, node_hash};
    use crate::note::NoteSigner;

    fn proof() -> (TlogProof, VerifierKey) {
        let signer = NoteSigner::new("log.example/state", SigningKey::generate_ed25519().unwrap()).unwrap();
        let sibling = leaf_hash(b"first");
        let root = node_hash(&sibling, &leaf_hash(b"second"));
        let checkpoint = Checkpoint::new("log.example/state", 2, root).unwrap().sign(&signer).unwrap();
        (TlogProof { extra: None, index: 1, hashes: vec![sibling], checkpoint }, signer.verifier())
    }

    #[test]
    fn a_kept_proof_is_verified_offline() {
        let (proof, key) = proof();
        let kept = TlogProof::parse(&proof.to_text()).unwrap();
        assert_eq!(kept, proof);
        assert_eq!(kept.verify(b"second", &key).unwrap().size, 2);
        assert_eq!(kept.verify(b"third", &key), Err(NoteError::Proof(ProofError::Root)));
    }

    #[test]
    fn extra_data_come_and_go_with_the_proof() {
        let (mut proof, key) = proof();
        proof.extra = Some(b"file.pdf".to_vec());
        assert!(proof.to_text().starts_with("c2sp.org/tlog-proof@v1\nextra ZmlsZS5wZGY=\nindex 1\n"));
        assert_eq!(TlogProof::parse(&proof.to_text()).unwrap(), proof);
        assert!(proof.verify(b"second", &key).is_ok());
    }

    proptest! {
        #[test]
        fn an_altered_proof_is_refused_or_says_the_same(place in any::<prop::sample::Index>(), bit in 0..7_u8) {
            let (proof, key) = proof();
            let mut bytes = proof.to_text().into_bytes();
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            if let Ok(text) = String::from_utf8(bytes)
                && let Ok(altered) = TlogProof::parse(&text)
                && let Ok(checkpoint) = altered.verify(b"second", &key)
            {
                // Only what nothing vouches for may differ: a signature of a key that is not known here.
                prop_assert_eq!((altered.index, checkpoint.size), (1, 2));
                prop_assert_eq!(altered.hashes, proof.hashes);
            }
        }

        #[test]
        fn any_text_is_read_without_harm(text in "(\\PC|\n){0,200}") {
            let _ = TlogProof::parse(&text);
            let _ = TlogProof::parse(&format!("c2sp.org/tlog-proof@v1\nindex 1\n{text}\n\n{text}"));
        }
    }
}
