use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cosignature::{cosigned_message, cosigned_text, split_timestamp};
use super::{NoteError, NoteSignature, check_name};
use crate::digest::sha256;
use crate::keys::{KeyKind, PublicKey, SignatureAlgorithm};
use crate::mldsa::MlDsaPublicKey;

/// How a key signs notes (C2SP signed-note, "signature types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NoteAlgorithm {
    /// Ed25519 over the text: what a log signs with.
    Ed25519 = 0x01,
    /// Ed25519 over a time and the text: a cosignature/v1 of a witness.
    Ed25519Cosignature = 0x04,
    /// ML-DSA-44 over a time, the cosigner's name and the tree: a witness, or the log itself beside its Ed25519 key.
    MlDsa44Cosignature = 0x06,
}

/// The public side of a note key. Its text form is `name+hex(key id)+base64(type || key)`.
#[derive(Clone, Debug)]
pub struct VerifierKey {
    name: String,
    key_id: u32,
    algorithm: NoteAlgorithm,
    key: Key,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Ed25519(PublicKey),
    MlDsa(MlDsaPublicKey),
}

impl VerifierKey {
    /// The key with which a log of this name signs. It must be Ed25519.
    pub fn new(name: impl Into<String>, key: &PublicKey) -> Result<Self, NoteError> {
        Self::of(name.into(), NoteAlgorithm::Ed25519, Key::Ed25519(key.clone()))
    }

    /// The key of a witness of this name that makes Ed25519 cosignatures.
    pub fn ed25519_cosigner(name: impl Into<String>, key: &PublicKey) -> Result<Self, NoteError> {
        Self::of(name.into(), NoteAlgorithm::Ed25519Cosignature, Key::Ed25519(key.clone()))
    }

    /// The key of a witness, or of a log, of this name that makes ML-DSA-44 cosignatures.
    pub fn ml_dsa(name: impl Into<String>, key: &MlDsaPublicKey) -> Result<Self, NoteError> {
        Self::of(name.into(), NoteAlgorithm::MlDsa44Cosignature, Key::MlDsa(key.clone()))
    }

    /// The name, which is the origin where the key is that of a log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256(name || 0x0A || type || key).
    pub const fn key_id(&self) -> u32 {
        self.key_id
    }

    /// How it signs.
    pub const fn algorithm(&self) -> NoteAlgorithm {
        self.algorithm
    }

    /// Whether both wrap the same key, under whatever name (C2SP tlog-policy calls them duplicates).
    pub fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Checks that this key made this signature under this text. The moment that a cosignature carries, in seconds
    /// since the Unix epoch; `None` for a plain signature.
    pub fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, NoteError> {
        let bad = || NoteError::BadSignature(self.name.clone());
        match (&self.key, self.algorithm) {
            (Key::Ed25519(key), NoteAlgorithm::Ed25519Cosignature) => {
                let (time, bytes) = split_timestamp(signature).ok_or_else(bad)?;
                let message = cosigned_text(time, text);
                key.verify(SignatureAlgorithm::Ed25519, message.as_bytes(), bytes).map_err(|_| bad())?;
                Ok(Some(time))
            }
            (Key::Ed25519(key), _) => {
                key.verify(SignatureAlgorithm::Ed25519, text.as_bytes(), signature).map_err(|_| bad())?;
                Ok(None)
            }
            (Key::MlDsa(key), _) => {
                let (time, bytes) = split_timestamp(signature).ok_or_else(bad)?;
                let message = cosigned_message(&self.name, time, text)?;
                key.verify(&message, bytes).map_err(|_| bad())?;
                Ok(Some(time))
            }
        }
    }

    /// Whether the signature says to be of this key.
    pub fn is_of(&self, signature: &NoteSignature) -> bool {
        self.key_id == signature.key_id && self.name == signature.name
    }

    pub(super) fn signature(&self, bytes: Vec<u8>) -> NoteSignature {
        NoteSignature { name: self.name.clone(), key_id: self.key_id, bytes }
    }

    fn of(name: String, algorithm: NoteAlgorithm, key: Key) -> Result<Self, NoteError> {
        check_name(&name)?;
        if matches!(&key, Key::Ed25519(key) if key.kind() != KeyKind::Ed25519) {
            return Err(NoteError::VerifierKey("the key is not Ed25519"));
        }
        let key_id = key_id(&name, algorithm, key.raw());
        Ok(Self { name, key_id, algorithm, key })
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.algorithm == other.algorithm && self.key == other.key
    }
}

impl Eq for VerifierKey {}

impl Key {
    fn raw(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key.raw(),
            Self::MlDsa(key) => key.raw(),
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.algorithm as u8], self.key.raw()].concat();
        write!(formatter, "{}+{:08x}+{}", self.name, self.key_id, STANDARD.encode(typed))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::VerifierKey("it has not three parts"));
        };
        let typed = STANDARD.decode(key).map_err(|_| NoteError::VerifierKey("the key is not base64"))?;
        let verifier = match typed.split_first() {
            Some((0x01, raw)) => Self::new(name, &PublicKey::from_ed25519_bytes(raw)?)?,
            Some((0x04, raw)) => Self::ed25519_cosigner(name, &PublicKey::from_ed25519_bytes(raw)?)?,
            Some((0x06, raw)) => Self::ml_dsa(name, &MlDsaPublicKey::from_bytes(raw)?)?,
            _ => return Err(NoteError::VerifierKey("the key is not of type 0x01, 0x04 or 0x06")),
        };
        if id != format!("{:08x}", verifier.key_id) {
            return Err(NoteError::VerifierKey("the hash is that of another key or name"));
        }
        Ok(verifier)
    }
}

fn key_id(name: &str, algorithm: NoteAlgorithm, key: &[u8]) -> u32 {
    let mut input = name.as_bytes().to_vec();
    input.extend_from_slice(&[b'\n', algorithm as u8]);
    input.extend_from_slice(key);
    let [first, second, third, fourth, ..] = sha256(&input);
    u32::from_be_bytes([first, second, third, fourth])
}
