//! Sealed values: authenticated encryption bound to a place, and blind indexes to find sealed values again.
//!
//! A value is sealed with AES-256-GCM under a key that is derived for it alone, and bound to a *context* (for instance
//! table, column and row): opened anywhere else it fails. The context is a list of byte strings, each preceded by its
//! length, so that `["ab", "c"]` and `["a", "bc"]` are different places.
//!
//! Sealed form: `key id (1 byte) || random (24 bytes) || ciphertext || tag (16 bytes)`. The first twelve random bytes
//! derive the message key (HMAC-SHA-256 of the master key, as C2SP XAES-256-GCM does with CMAC), the last twelve are
//! the nonce; so one master key may seal more values than a State will ever keep.
//!
//! A [`KeyRing`] holds the current key, the older ones that still open old values, and one index key. Its text form is
//! a small file that the operator guards (0600, or a systemd credential):
//!
//! ```text
//! index 64-hex-digits
//! key 1 64-hex-digits
//! key 2 64-hex-digits        the last key is the current one
//! ```
//!
//! Whoever holds the file can read and forge every sealed value; whoever can only write the database can neither read,
//! forge nor move one (they can delete it or put an older value of the same place back).

mod pieces;

pub use pieces::{PIECE_TAG_BYTES, PieceKey};

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use civic::{Random, random_array};

/// The most bytes that one sealed value may hold (1 GiB).
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 30;

const RANDOM_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const KEYS_MAX: usize = 250;

/// Why a value cannot be sealed or opened, or a key file not read. Nothing in the messages is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The value is not a sealed value: too short.
    #[error("this is no sealed value: it is shorter than {} bytes", 1 + RANDOM_BYTES + TAG_BYTES)]
    Short,
    /// The plaintext is over the limit.
    #[error("a sealed value holds at most {PLAINTEXT_BYTES_MAX} bytes; keep larger ones in a file of their own")]
    Long,
    /// The key ring lacks the key that sealed it.
    #[error("the value was sealed with key {0}, which is not in the key file: restore the key file that holds it")]
    UnknownKey(u8),
    /// The value was changed, moved to another place, or sealed with another key of the same number.
    #[error(
        "the sealed value does not open here: it was altered, moved from another place, or the key file is another one"
    )]
    Refused,
    /// A line of the key file is not understood.
    #[error("line {line} of the key file is not `index HEX64` or `key NUMBER HEX64`: {reason}")]
    KeyFile {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The key file misses a part.
    #[error("the key file has no {0} line")]
    KeyFileLacks(&'static str),
    /// The cryptographic library failed.
    #[error("the cryptographic library refused an operation of {0}")]
    Library(&'static str),
}

/// One key of 256 bits with its number. Derived keys are kept ready; the master bytes only for [`KeyRing::to_text`].
#[derive(Clone)]
pub struct SealingKey {
    id: u8,
    master: [u8; 32],
    derive: hmac::Key,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SealingKey({}, …)", self.id)
    }
}

impl SealingKey {
    /// A key from its number and 32 secret bytes.
    pub fn new(id: u8, master: [u8; 32]) -> Self {
        Self { id, master, derive: hmac::Key::new(hmac::HMAC_SHA256, &master) }
    }

    /// The number that every value sealed with this key carries.
    pub const fn id(&self) -> u8 {
        self.id
    }

    /// Seals `plaintext` for the place `context`.
    pub fn seal(&self, context: &[&[u8]], plaintext: &[u8], random: &dyn Random) -> Result<Vec<u8>, SealError> {
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(SealError::Long);
        }
        let drawn = random_array::<RANDOM_BYTES>(random);
        let (key, nonce) = self.message_key(&drawn)?;
        let mut sealed = Vec::with_capacity(1 + RANDOM_BYTES + plaintext.len() + TAG_BYTES);
        sealed.push(self.id);
        sealed.extend_from_slice(&drawn);
        sealed.extend_from_slice(plaintext);
        let body = sealed.get_mut(1 + RANDOM_BYTES..).unwrap_or_default();
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(place(self.id, context)), body)
            .map_err(|_| SealError::Library("AES-256-GCM sealing"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens a value that this key sealed for the same place.
    pub fn open(&self, context: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (id, rest) = sealed.split_first().ok_or(SealError::Short)?;
        let (drawn, body) = rest.split_first_chunk::<RANDOM_BYTES>().ok_or(SealError::Short)?;
        if body.len() < TAG_BYTES {
            return Err(SealError::Short);
        }
        if *id != self.id {
            return Err(SealError::UnknownKey(*id));
        }
        let (key, nonce) = self.message_key(drawn)?;
        let mut body = body.to_vec();
        let length = key
            .open_in_place(nonce, Aad::from(place(self.id, context)), &mut body)
            .map_err(|_| SealError::Refused)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    fn message_key(&self, drawn: &[u8; RANDOM_BYTES]) -> Result<(LessSafeKey, Nonce), SealError> {
        let (salt, nonce) = drawn.split_at(12);
        let mut context = hmac::Context::with_key(&self.derive);
        context.update(b"baobab seal v1 message key");
        context.update(salt);
        let key = UnboundKey::new(&AES_256_GCM, context.sign().as_ref())
            .map_err(|_| SealError::Library("AES-256-GCM key set-up"))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Library("AES-256-GCM nonce"))?;
        Ok((LessSafeKey::new(key), nonce))
    }
}

/// The keys of one organisation: the current one seals, all of them open, one more makes blind indexes.
/// Cheap to clone.
#[derive(Clone)]
pub struct KeyRing(Arc<Ring>);

struct Ring {
    keys: Vec<SealingKey>,
    index_bytes: [u8; 32],
    index: hmac::Key,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("KeyRing").field(&self.0.keys).finish()
    }
}

impl KeyRing {
    /// A new ring with one key, numbered 1.
    pub fn generate(random: &dyn Random) -> Self {
        let index = random_array::<32>(random);
        Self::of(vec![SealingKey::new(1, random_array::<32>(random))], index)
    }

    /// A new ring with one key more, which becomes the current one. Old values still open; seal them again in time and
    /// then remove the old key's line. The index key stays, because indexes cannot be recomputed without the values.
    pub fn rotated(&self, random: &dyn Random) -> Result<Self, SealError> {
        let mut keys = self.0.keys.clone();
        let last = keys.last().map_or(0, SealingKey::id);
        let free = (1..=u8::MAX)
            .map(|step| last.wrapping_add(step))
            .find(|id| *id != 0 && !keys.iter().any(|key| key.id == *id))
            .ok_or(SealError::Library("key numbering: remove keys that no value needs any more"))?;
        keys.push(SealingKey::new(free, random_array::<32>(random)));
        Ok(Self::of(keys, self.0.index_bytes))
    }

    /// Reads the text form. Empty lines and lines that start with `#` are passed over.
    pub fn from_text(text: &str) -> Result<Self, SealError> {
        let mut keys: Vec<SealingKey> = Vec::new();
        let mut index = None;
        for (number, line) in text.lines().enumerate() {
            let wrong = |reason| SealError::KeyFile { line: number + 1, reason };
            let words: Vec<&str> = line.split_whitespace().take(4).collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["index", secret] if index.is_none() => index = Some(secret_bytes(secret).ok_or(wrong(NOT_HEX))?),
                ["index", _] => return Err(wrong("there is a second index line")),
                ["key", id, secret] => {
                    let id: u8 = id.parse().map_err(|_| wrong("the key number is not between 1 and 255"))?;
                    if id == 0 || keys.iter().any(|key| key.id == id) {
                        return Err(wrong("the key number is 0 or was given before"));
                    }
                    if keys.len() >= KEYS_MAX {
                        return Err(wrong("there are too many keys: remove those that no value needs any more"));
                    }
                    keys.push(SealingKey::new(id, secret_bytes(secret).ok_or(wrong(NOT_HEX))?));
                }
                _ => return Err(wrong("unknown words")),
            }
        }
        if keys.is_empty() {
            return Err(SealError::KeyFileLacks("key"));
        }
        Ok(Self::of(keys, index.ok_or(SealError::KeyFileLacks("index"))?))
    }

    /// The text form: secret, to be written with mode 0600.
    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# Sealing keys. Whoever reads this file reads every sealed value; without it they are lost.\n",
        );
        // Writing to a String cannot fail; the results are dropped for that reason only.
        let _ = writeln!(text, "index {}", hex::encode(self.0.index_bytes));
        for key in &self.0.keys {
            let _ = writeln!(text, "key {} {}", key.id, hex::encode(key.master));
        }
        text
    }

    /// The key that seals new values.
    pub fn current(&self) -> Option<&SealingKey> {
        self.0.keys.last()
    }

    /// Seals `plaintext` for the place `context` with the current key.
    pub fn seal(&self, context: &[&[u8]], plaintext: &[u8], random: &dyn Random) -> Result<Vec<u8>, SealError> {
        self.current().ok_or(SealError::KeyFileLacks("key"))?.seal(context, plaintext, random)
    }

    /// Opens a value with whichever key of the ring sealed it.
    pub fn open(&self, context: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let id = *sealed.first().ok_or(SealError::Short)?;
        let key = self.0.keys.iter().find(|key| key.id == id).ok_or(SealError::UnknownKey(id))?;
        key.open(context, sealed)
    }

    /// A keyed fingerprint of a value, equal for equal values in the same context: finds a sealed value without opening
    /// any. It shows which rows hold the same value, and nothing else without the key.
    pub fn blind_index(&self, context: &[&[u8]], value: &[u8]) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.0.index);
        mac.update(b"baobab seal v1 blind index");
        mac.update(&place(0, context));
        mac.update(value);
        let tag = mac.sign();
        let mut index = [0_u8; 32];
        for (to, from) in index.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        index
    }

    fn of(keys: Vec<SealingKey>, index_bytes: [u8; 32]) -> Self {
        let index = hmac::Key::new(hmac::HMAC_SHA256, &index_bytes);
        Self(Arc::new(Ring { keys, index_bytes, index }))
    }
}

const NOT_HEX: &str = "the secret is not 64 hexadecimal digits";

fn secret_bytes(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// Every part behind its length, so that no two places share their bytes.
fn place(key_id: u8, context: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + context.iter().map(|part| part.len() + 8).sum::<usize>());
    bytes.push(key_id);
    bytes.extend_from_slice(&(context.len() as u64).to_be_bytes());
    for part in context {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use civic::testing::SeededRandom;
    use proptest::prelude::*;

    use super::*;

    const HERE: [&[u8]; 3] = [b"identity_account", b"national_number", b"42"];

    #[test]
    fn a_value_opens_where_it_was_sealed_and_nowhere_else() {
        let random = SeededRandom::new(7);
        let ring = KeyRing::generate(&random);
        let sealed = ring.seal(&HERE, b"2K05201200108", &random).unwrap();
        assert_eq!(ring.open(&HERE, &sealed).unwrap(), b"2K05201200108");
        for elsewhere in [
            vec![b"identity_account".as_slice(), b"national_number", b"43"],
            vec![b"identity_accountnational_number".as_slice(), b"", b"42"],
            vec![b"identity_account".as_slice(), b"national_number42"],
        ] {
            assert_eq!(ring.open(&elsewhere, &sealed), Err(SealError::Refused));
        }
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let random = SeededRandom::new(8);
        let ring = KeyRing::generate(&random);
        let sealed = ring.seal(&HERE, b"gross_income", &random).unwrap();
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert!(ring.open(&HERE, &altered).is_err(), "byte {position}");
        }
        for length in 0..sealed.len() {
            assert!(ring.open(&HERE, &sealed[..length]).is_err());
        }
    }

    #[test]
    fn old_values_open_after_a_rotation_and_the_index_stays() {
        let random = SeededRandom::new(9);
        let first = KeyRing::generate(&random);
        let old = first.seal(&HERE, b"before", &random).unwrap();
        let second = KeyRing::from_text(&first.rotated(&random).unwrap().to_text()).unwrap();
        let new = second.seal(&HERE, b"after", &random).unwrap();
        assert_eq!((old[0], new[0]), (1, 2));
        assert_eq!(second.open(&HERE, &old).unwrap(), b"before");
        assert_eq!(first.open(&HERE, &new), Err(SealError::UnknownKey(2)));
        assert_eq!(first.blind_index(&HERE, b"x"), second.blind_index(&HERE, b"x"));
        assert_ne!(first.blind_index(&HERE, b"x"), first.blind_index(&HERE[..2], b"x"));
    }

    #[test]
    fn the_same_value_never_looks_the_same_twice() {
        let random = SeededRandom::new(10);
        let ring = KeyRing::generate(&random);
        assert_ne!(ring.seal(&HERE, b"x", &random).unwrap(), ring.seal(&HERE, b"x", &random).unwrap());
    }

    #[test]
    fn a_wrong_key_file_says_which_line() {
        let random = SeededRandom::new(11);
        let good = KeyRing::generate(&random).to_text();
        assert!(KeyRing::from_text(&good).is_ok());
        assert_eq!(
            KeyRing::from_text(&good.replace("key 1 ", "key 300 ")).unwrap_err(),
            SealError::KeyFile { line: 3, reason: "the key number is not between 1 and 255" }
        );
        assert_eq!(KeyRing::from_text("").unwrap_err(), SealError::KeyFileLacks("key"));
        assert!(matches!(KeyRing::from_text("index 00").unwrap_err(), SealError::KeyFile { line: 1, .. }));
        assert!(!format!("{:?}", KeyRing::from_text(&good).unwrap()).contains(good.split_whitespace().last().unwrap()));
    }

    proptest! {
        #[test]
        fn any_value_survives_and_arbitrary_bytes_are_refused(value in prop::collection::vec(any::<u8>(), 0..300), noise in prop::collection::vec(any::<u8>(), 0..100)) {
            let random = SeededRandom::new(12);
            let ring = KeyRing::generate(&random);
            let sealed = ring.seal(&HERE, &value, &random).unwrap();
            prop_assert_eq!(ring.open(&HERE, &sealed).unwrap(), value);
            prop_assert!(ring.open(&HERE, &noise).is_err());
        }
    }
}
