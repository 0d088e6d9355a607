use std::fmt;

use super::{Checkpoint, Note, NoteError, NoteSignature, VerifierKey};
use crate::keys::{SignatureAlgorithm, SigningKey};
use crate::mldsa::MlDsaKey;

/// A key that cosigns checkpoints (C2SP tlog-cosignature): it states that, at a moment, this was the largest tree of the
/// log that it saw, and that it continues all it saw before.
pub struct Cosigner {
    verifier: VerifierKey,
    key: Key,
}

enum Key {
    Ed25519(SigningKey),
    MlDsa(MlDsaKey),
}

impl Cosigner {
    /// A cosigner of this name with an Ed25519 key, which must serve no other name or purpose: the cosignature does not
    /// cover the name.
    pub fn ed25519(name: impl Into<String>, key: SigningKey) -> Result<Self, NoteError> {
        Ok(Self { verifier: VerifierKey::ed25519_cosigner(name, key.public())?, key: Key::Ed25519(key) })
    }

    /// A cosigner of this name with an ML-DSA-44 key.
    pub fn ml_dsa(name: impl Into<String>, key: MlDsaKey) -> Result<Self, NoteError> {
        Ok(Self { verifier: VerifierKey::ml_dsa(name, key.public())?, key: Key::MlDsa(key) })
    }

    /// What others need to verify.
    pub fn verifier(&self) -> VerifierKey {
        self.verifier.clone()
    }

    /// The cosignature of a checkpoint, given as the text of its note, at this moment (seconds since the Unix epoch).
    pub fn cosign(&self, text: &str, seconds: u64) -> Result<NoteSignature, NoteError> {
        let signature = match &self.key {
            Key::Ed25519(key) => key.sign(SignatureAlgorithm::Ed25519, cosigned_text(seconds, text).as_bytes())?,
            Key::MlDsa(key) => key.sign(&cosigned_message(self.verifier.name(), seconds, text)?)?,
        };
        let mut bytes = seconds.to_be_bytes().to_vec();
        bytes.extend_from_slice(&signature);
        Ok(self.verifier.signature(bytes))
    }

    /// Adds the cosignature to the note of a checkpoint.
    pub fn add_to(&self, note: &mut Note, seconds: u64) -> Result<(), NoteError> {
        note.push(self.cosign(note.text(), seconds)?);
        Ok(())
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cosigner({})", self.verifier.name())
    }
}

/// What an Ed25519 cosignature covers (C2SP tlog-cosignature, "Ed25519 signed message").
pub(super) fn cosigned_text(seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

/// What an ML-DSA-44 cosignature covers (C2SP tlog-cosignature, "ML-DSA-44 signed message"): the whole tree, without
/// the extension lines of the checkpoint.
pub(super) fn cosigned_message(cosigner: &str, seconds: u64, text: &str) -> Result<Vec<u8>, NoteError> {
    let checkpoint = Checkpoint::parse(text)?;
    let mut message = b"subtree/v1\n\0".to_vec();
    push_name(&mut message, cosigner)?;
    message.extend_from_slice(&seconds.to_be_bytes());
    push_name(&mut message, &checkpoint.origin)?;
    message.extend_from_slice(&0_u64.to_be_bytes());
    message.extend_from_slice(&checkpoint.size.to_be_bytes());
    message.extend_from_slice(&checkpoint.root);
    Ok(message)
}

/// The moment and the signature proper; `None` where the moment is beyond what the specification allows.
pub(super) fn split_timestamp(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signature) = bytes.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    i64::try_from(time).is_ok().then_some((time, signature))
}

fn push_name(message: &mut Vec<u8>, name: &str) -> Result<(), NoteError> {
    let length = u8::try_from(name.len()).ok().filter(|length| *length > 0);
    message.push(length.ok_or_else(|| NoteError::Name(name.chars().take(80).collect()))?);
    message.extend_from_slice(name.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::NoteSigner;

    const TEXT: &str = "log.example/state\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn cosigners() -> [Cosigner; 2] {
        [
            Cosigner::ed25519("witness.example/w1", SigningKey::generate_ed25519().unwrap()).unwrap(),
            Cosigner::ml_dsa("witness.example/w1", MlDsaKey::generate().unwrap()).unwrap(),
        ]
    }

    #[test]
    fn a_log_and_its_witnesses_of_both_kinds_sign_one_note() {
        let log = NoteSigner::new("log.example/state", SigningKey::generate_ed25519().unwrap()).unwrap();
        let mut note = log.sign(TEXT).unwrap();
        let cosigners = cosigners();
        for cosigner in &cosigners {
            cosigner.add_to(&mut note, 1_679_315_147).unwrap();
        }
        let read = Note::parse(&note.to_string()).unwrap();
        let known: Vec<VerifierKey> =
            [log.verifier()].into_iter().chain(cosigners.iter().map(Cosigner::verifier)).collect();
        assert_eq!(read.verify(&known).unwrap().len(), 3);
        for (key, signature) in known.iter().zip(read.signatures()) {
            let time = key.verify(read.text(), &signature.bytes).unwrap();
            assert_eq!(time, (key.name() != log.verifier().name()).then_some(1_679_315_147));
        }
        let altered = Note::parse(&note.to_string().replace("\n7\n", "\n8\n")).unwrap();
        for key in &known {
            assert!(matches!(altered.verify(std::slice::from_ref(key)), Err(NoteError::BadSignature(_))), "{key}");
        }
    }

    #[test]
    fn a_cosignature_holds_for_its_moment_and_its_name_only() {
        for cosigner in cosigners() {
            let mut signature = cosigner.cosign(TEXT, 10).unwrap();
            assert_eq!(cosigner.verifier().verify(TEXT, &signature.bytes).unwrap(), Some(10));
            signature.bytes[7] = 11;
            assert!(cosigner.verifier().verify(TEXT, &signature.bytes).is_err(), "{cosigner:?}");
            assert!(cosigner.verifier().verify(TEXT, &[0; 8]).is_err());
            assert!(cosigner.verifier().verify(TEXT, &[]).is_err());
        }
        let key = MlDsaKey::generate().unwrap();
        let one = Cosigner::ml_dsa("witness.example/w1", key.clone()).unwrap();
        let two = Cosigner::ml_dsa("witness.example/w2", key).unwrap();
        assert!(two.verifier().verify(TEXT, &one.cosign(TEXT, 1).unwrap().bytes).is_err());
        assert!(one.cosign("no checkpoint\n", 1).is_err(), "only checkpoints are cosigned with ML-DSA-44");
    }

    #[test]
    fn the_message_is_laid_out_as_the_specification_says() {
        let message = cosigned_message("w", 1, TEXT).unwrap();
        let root = Checkpoint::parse(TEXT).unwrap().root;
        let expected = [
            b"subtree/v1\n\0\x01w\0\0\0\0\0\0\0\x01\x11log.example/state\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07".as_slice(),
            &root,
        ];
        assert_eq!(message, expected.concat());
        assert_eq!(cosigned_text(1_679_315_147, TEXT), format!("cosignature/v1\ntime 1679315147\n{TEXT}"));
    }

    /// The example of C2SP tlog-witness signs with keys that it does not give; ours survive their text form.
    #[test]
    fn verifier_keys_of_every_type_survive_their_text() {
        for cosigner in cosigners() {
            let text = cosigner.verifier().to_string();
            assert_eq!(text.parse::<VerifierKey>().unwrap(), cosigner.verifier());
            assert!(text.replacen("w1", "w2", 1).parse::<VerifierKey>().is_err());
        }
    }
}
