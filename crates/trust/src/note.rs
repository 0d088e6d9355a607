//! Signed notes (C2SP signed-note), checkpoints of transparency logs (C2SP tlog-checkpoint) and proofs that a person
//! can keep (C2SP tlog-proof).
//!
//! A log signs with Ed25519 (type 0x01) and, beside it, with ML-DSA-44 (type 0x06); witnesses add cosignatures (C2SP
//! tlog-cosignature: Ed25519 type 0x04, ML-DSA-44 type 0x06), see [`Cosigner`] and [`policy`]. Signatures of keys that
//! are not known are kept and passed over, as the specification asks.
//!
//! ```
//! use trust::keys::SigningKey;
//! use trust::merkle::{leaf_hash, root_of};
//! use trust::note::{Checkpoint, NoteSigner, TlogProof};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let signer = NoteSigner::new("log.example/state", SigningKey::generate_ed25519()?)?;
//! let leaf = b"commitment".as_slice();
//! let checkpoint = Checkpoint::new("log.example/state", 1, leaf_hash(leaf))?.sign(&signer)?;
//! let proof = TlogProof { extra: None, index: 0, hashes: vec![], checkpoint };
//! let kept = TlogProof::parse(&proof.to_text())?;
//! assert_eq!(kept.verify(leaf, &signer.verifier())?.size, 1);
//! # Ok(()) }
//! ```

mod checkpoint;
mod cosignature;
mod key;
mod opening;
pub mod policy;
mod proof;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::keys::{KeyError, SignatureAlgorithm, SigningKey};
use crate::merkle::ProofError;

pub use checkpoint::Checkpoint;
pub use cosignature::Cosigner;
pub use key::{NoteAlgorithm, VerifierKey};
pub use opening::{Opened, Opening, RECORD_BYTES_MAX};
pub use proof::TlogProof;

/// No note that we read is longer, in bytes.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;
/// No note that we read has more signatures (the specification asks for at least 16).
pub const SIGNATURES_MAX: usize = 64;

const SIGNATURE_MARK: &str = "\u{2014} ";

/// Why a note, a key or a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The name of a key or the origin of a log is empty, or has a space, a plus sign or a control character.
    #[error("`{0}` cannot name a key: no spaces, no plus sign, at most 255 bytes, not empty")]
    Name(String),
    /// A verifier key has another form than `name+hash+key`, or its hash is that of another key.
    #[error("this is no verifier key of the form name+hash+key with an Ed25519 or ML-DSA-44 key: {0}")]
    VerifierKey(&'static str),
    /// The text is no note, no checkpoint or no proof.
    #[error("this is no {what}: {reason}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A key that we know signed this name, but not this text.
    #[error("the signature of {0} does not belong to this text: it was altered")]
    BadSignature(String),
    /// A trust policy (C2SP tlog-policy) is refused.
    #[error("line {line} of the trust policy: {reason}")]
    Policy {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// None of the signatures is of a key that we know.
    #[error("no key that is trusted here signed this; expected {0}")]
    Unsigned(String),
    /// The checkpoint is of another log.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    Origin {
        /// The log whose key was given.
        expected: String,
        /// The log that the checkpoint names.
        found: String,
    },
    /// The proof does not lead to the checkpoint.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The key cannot sign or be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A key that signs notes: a name and an Ed25519 key.
pub struct NoteSigner {
    verifier: VerifierKey,
    key: SigningKey,
}

impl NoteSigner {
    /// A signer by this name, which should be the origin of the log. The key must be Ed25519.
    pub fn new(name: impl Into<String>, key: SigningKey) -> Result<Self, NoteError> {
        let verifier = VerifierKey::new(name, key.public())?;
        Ok(Self { verifier, key })
    }

    /// What others need to verify: `to_string()` gives the verifier key text.
    pub fn verifier(&self) -> VerifierKey {
        self.verifier.clone()
    }

    /// The note of this text, signed.
    pub fn sign(&self, text: &str) -> Result<Note, NoteError> {
        let mut note = Note::of(text)?;
        self.add_to(&mut note)?;
        Ok(note)
    }

    /// Adds this key's signature to a note.
    pub fn add_to(&self, note: &mut Note) -> Result<(), NoteError> {
        let bytes = self.key.sign(SignatureAlgorithm::Ed25519, note.text.as_bytes())?;
        note.signatures.push(self.verifier.signature(bytes));
        Ok(())
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NoteSigner({})", self.verifier)
    }
}

/// A text with signatures; nothing of it is to be believed before [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A signature under a note, of whatever key and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Who says to have signed.
    pub name: String,
    /// Which of its keys.
    pub key_id: u32,
    /// The signature, as the type of the key makes it.
    pub bytes: Vec<u8>,
}

impl Note {
    /// A note that nobody has signed yet. The text must end in a newline.
    pub fn of(text: &str) -> Result<Self, NoteError> {
        if !text.ends_with('\n') || text.chars().any(is_control) || text.len() > NOTE_BYTES_MAX {
            return Err(malformed("the text must end in a newline and hold no other control character"));
        }
        Ok(Self { text: text.to_owned(), signatures: Vec::new() })
    }

    /// Reads a note. Limits: 256 KiB, 64 signatures.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(malformed("it is longer than 256 KiB"));
        }
        if note.chars().any(is_control) {
            return Err(malformed("it holds a control character"));
        }
        let end = note.rfind("\n\n").ok_or(malformed("no empty line stands before the signatures"))?;
        let (text, block) = note.split_at(end + 1);
        let lines = block.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(malformed("it does not end in a newline"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(malformed("it has more than 64 signatures"));
            }
            signatures.push(NoteSignature::parse(line)?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, verified or not.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature made elsewhere, for instance by a witness.
    pub fn push(&mut self, signature: NoteSignature) {
        self.signatures.push(signature);
    }

    /// Which of these keys signed. Signatures of other keys are passed over; one of these keys whose signature fails
    /// makes the note void ([`NoteError::BadSignature`]), and so does the lack of any ([`NoteError::Unsigned`]).
    pub fn verify<'k>(&self, known: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for signature in &self.signatures {
            let Some(owner) = known.iter().find(|key| key.is_of(signature)) else { continue };
            owner.verify(&self.text, &signature.bytes)?;
            if !signers.iter().any(|signer| std::ptr::eq(*signer, owner)) {
                signers.push(owner);
            }
        }
        if signers.is_empty() {
            let names: Vec<String> = known.iter().map(|key| format!("{}+{:08x}", key.name(), key.key_id())).collect();
            return Err(NoteError::Unsigned(names.join(", ")));
        }
        Ok(signers)
    }
}

impl fmt::Display for Note {
    /// The note as it is sent and kept.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(formatter, "{signature}"))
    }
}

impl NoteSignature {
    /// Reads a signature line, without its newline.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let refused = malformed("a signature line is not `— NAME BASE64`");
        let rest = line.strip_prefix(SIGNATURE_MARK).ok_or(refused.clone())?;
        let (name, encoded) = rest.split_once(' ').ok_or(refused.clone())?;
        check_name(name)?;
        let blob = STANDARD.decode(encoded).map_err(|_| refused.clone())?;
        let (key_id, bytes) = blob.split_first_chunk::<4>().ok_or(refused.clone())?;
        if bytes.is_empty() {
            return Err(refused);
        }
        Ok(Self { name: name.to_owned(), key_id: u32::from_be_bytes(*key_id), bytes: bytes.to_vec() })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = self.key_id.to_be_bytes().to_vec();
        blob.extend_from_slice(&self.bytes);
        write!(formatter, "{SIGNATURE_MARK}{} {}", self.name, STANDARD.encode(blob))
    }
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let wrong = |character: char| character.is_whitespace() || character.is_control() || character == '+';
    if name.is_empty() || name.len() > 255 || name.chars().any(wrong) {
        return Err(NoteError::Name(name.chars().take(80).collect()));
    }
    Ok(())
}

fn is_control(character: char) -> bool {
    character < ' ' && character != '\n'
}

fn malformed(reason: &'static str) -> NoteError {
    NoteError::Malformed { what: "signed note", reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const SPEC_NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer(name: &str) -> NoteSigner {
        NoteSigner::new(name, SigningKey::generate_ed25519().unwrap()).unwrap()
    }

    #[test]
    fn the_examples_of_the_specification_and_of_go_verify() {
        for (key, note) in [(SPEC_KEY, SPEC_NOTE), (GO_KEY, GO_NOTE)] {
            let key: VerifierKey = key.parse().unwrap();
            let parsed = Note::parse(note).unwrap();
            assert_eq!(parsed.verify(std::slice::from_ref(&key)).unwrap().len(), 1);
            assert_eq!(parsed.to_string(), note);
        }
        let key: VerifierKey = SPEC_KEY.parse().unwrap();
        assert_eq!((key.name(), key.key_id(), key.to_string()), ("example.com/foo", 0x530d_903a, SPEC_KEY.to_owned()));
    }

    #[test]
    fn a_mangled_verifier_key_is_refused() {
        for end in 0..GO_KEY.len() {
            assert!(GO_KEY[..end].parse::<VerifierKey>().is_err());
        }
        for place in 0..GO_KEY.len() {
            let mut mangled = GO_KEY.as_bytes().to_vec();
            mangled[place] += 1;
            assert!(String::from_utf8(mangled).unwrap().parse::<VerifierKey>().is_err(), "{place}");
        }
    }

    #[test]
    fn unknown_signers_are_passed_over_and_a_bad_known_one_voids_the_note() {
        let (log, witness, stranger) = (signer("log.example"), signer("witness.example"), signer("other.example"));
        let mut note = log.sign("log.example\n1\n").unwrap();
        witness.add_to(&mut note).unwrap();
        let read = Note::parse(&note.to_string()).unwrap();
        assert_eq!(read.verify(&[log.verifier()]).unwrap().len(), 1);
        assert_eq!(read.verify(&[witness.verifier(), log.verifier()]).unwrap().len(), 2);
        assert!(matches!(read.verify(&[stranger.verifier()]), Err(NoteError::Unsigned(_))));
        assert!(matches!(read.verify(&[]), Err(NoteError::Unsigned(_))));
        let altered = Note::parse(&note.to_string().replace("\n1\n", "\n2\n")).unwrap();
        assert!(matches!(altered.verify(&[log.verifier()]), Err(NoteError::BadSignature(_))));
    }

    #[test]
    fn texts_that_are_no_notes_are_refused() {
        for wrong in [
            "",
            "\n",
            "\n\n",
            "text\n",
            "text\n\n",
            "text\n\n— name\n",
            "text\n\n— name AAAA\n",
            "text\n\n— a+b AAAAAAA=\n",
            "text\n\n— name AAAAAAA=",
            "text\n\n- name AAAAAAA=\n",
            "te\txt\n\n— name AAAAAAA=\n",
        ] {
            assert!(Note::parse(wrong).is_err(), "{wrong:?}");
        }
        let many = format!("text\n\n{}", "— name AAAAAAA=\n".repeat(SIGNATURES_MAX + 1));
        assert!(Note::parse(&many).is_err());
        assert!(Note::parse(&many.replacen("— name AAAAAAA=\n", "", 1)).is_ok());
        assert!(NoteSigner::new("two words", SigningKey::generate_ed25519().unwrap()).is_err());
        assert!(NoteSigner::new("p256", SigningKey::generate_p256().unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn a_note_survives_its_text(text in "([^\\x00-\\x1f]{0,30}\n){1,5}") {
            let signer = signer("log.example");
            let note = signer.sign(&text).unwrap();
            let read = Note::parse(&note.to_string()).unwrap();
            prop_assert_eq!(&read, &note);
            prop_assert!(read.verify(&[signer.verifier()]).is_ok());
        }

        #[test]
        fn any_text_is_read_without_harm(text in "(\\PC|\n){0,200}") {
            let _ = Note::parse(&text);
            let _ = Note::parse(&format!("{text}\n\n— name {text}\n"));
        }
    }
}
