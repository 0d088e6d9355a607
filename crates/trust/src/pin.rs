//! PINs: Argon2id (RFC 9106) with a salt for each and a pepper for all.
//!
//! A PIN has few digits, so a stolen table of plain hashes would be searched in minutes. The *pepper* (a secret that is
//! not in the database, for instance a blind index of the organisation's key ring) makes the table useless alone. The
//! caller limits the number of attempts. The stored form is the PHC string, which carries its own cost parameters: the
//! cost can be raised later and old hashes still verify.

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use civic::{Random, random_array};

/// The fewest characters of a PIN.
pub const PIN_CHARACTERS_MIN: usize = 4;
/// The most bytes of a PIN.
pub const PIN_BYTES_MAX: usize = 64;

/// Why a PIN cannot be hashed or checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The PIN is too short or too long.
    #[error("a PIN has {PIN_CHARACTERS_MIN} characters or more and at most {PIN_BYTES_MAX} bytes")]
    Length,
    /// The stored text is no PHC string of Argon2id, or asks for more work than is allowed.
    #[error("the stored PIN hash is not usable ({0}): set a new PIN")]
    Stored(String),
    /// The hash function failed.
    #[error("the PIN could not be hashed: {0}")]
    Hash(String),
}

/// How much work one check costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
}

impl PinCost {
    /// 19 MiB and two passes: about 20 ms on a small server.
    pub const DEFAULT: Self = Self { memory_kib: 19 * 1024, passes: 2 };

    const MEMORY_KIB_MAX: u32 = 256 * 1024;
    const PASSES_MAX: u32 = 16;
}

/// Hashes a PIN at the default cost; the answer is a PHC string for the database.
pub fn hash(pin: &str, pepper: &[u8], random: &dyn Random) -> Result<String, PinError> {
    hash_at_cost(pin, pepper, PinCost::DEFAULT, random)
}

/// Hashes a PIN at a chosen cost (a small one for bulk test data).
pub fn hash_at_cost(pin: &str, pepper: &[u8], cost: PinCost, random: &dyn Random) -> Result<String, PinError> {
    if pin.chars().count() < PIN_CHARACTERS_MIN || pin.len() > PIN_BYTES_MAX {
        return Err(PinError::Length);
    }
    let params =
        Params::new(cost.memory_kib, cost.passes, 1, None).map_err(|error| PinError::Hash(error.to_string()))?;
    let salt = random_array::<16>(random);
    let hash = function(pepper, params)?
        .hash_password_with_salt(pin.as_bytes(), &salt)
        .map_err(|error| PinError::Hash(error.to_string()))?;
    Ok(hash.to_string())
}

/// Whether this is the PIN that was hashed. A wrong PIN is `Ok(false)`; an unusable stored text is an error.
pub fn verify(pin: &str, pepper: &[u8], stored: &str) -> Result<bool, PinError> {
    let unusable = |reason: &str| PinError::Stored(reason.to_owned());
    if pin.len() > PIN_BYTES_MAX {
        return Ok(false);
    }
    if stored.len() > 256 {
        return Err(unusable("it is too long"));
    }
    let parsed = PasswordHash::new(stored).map_err(|error| PinError::Stored(error.to_string()))?;
    if parsed.algorithm.as_str() != "argon2id" {
        return Err(unusable("it is not of Argon2id"));
    }
    let params = Params::try_from(&parsed).map_err(|error| PinError::Stored(error.to_string()))?;
    if params.m_cost() > PinCost::MEMORY_KIB_MAX || params.t_cost() > PinCost::PASSES_MAX || params.p_cost() > 4 {
        return Err(unusable("it asks for too much work"));
    }
    match function(pepper, params)?.verify_password(pin.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(PinError::Stored(error.to_string())),
    }
}

fn function(pepper: &[u8], params: Params) -> Result<Argon2<'_>, PinError> {
    Argon2::new_with_secret(pepper, Algorithm::Argon2id, Version::V0x13, params)
        .map_err(|error| PinError::Hash(error.to_string()))
}

#[cfg(test)]
mod tests {
    use civic::testing::SeededRandom;

    use super::*;

    const CHEAP: PinCost = PinCost { memory_kib: 64, passes: 1 };

    #[test]
    fn only_the_right_pin_with_the_right_pepper_is_accepted() {
        let random = SeededRandom::new(1);
        let stored = hash_at_cost("482915", b"pepper", CHEAP, &random).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        assert_eq!(verify("482915", b"pepper", &stored), Ok(true));
        assert_eq!(verify("482916", b"pepper", &stored), Ok(false));
        assert_eq!(verify("482915", b"other", &stored), Ok(false));
        assert_ne!(hash_at_cost("482915", b"pepper", CHEAP, &random).unwrap(), stored);
    }

    #[test]
    fn the_default_cost_is_written_into_the_hash() {
        let random = SeededRandom::new(2);
        let stored = hash("482915", b"pepper", &random).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(verify("482915", b"pepper", &stored), Ok(true));
    }

    #[test]
    fn short_pins_and_unusable_stored_texts_are_refused() {
        let random = SeededRandom::new(3);
        assert_eq!(hash("123", b"", &random), Err(PinError::Length));
        assert!(matches!(verify("1234", b"", "plain"), Err(PinError::Stored(_))));
        let greedy =
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        assert!(matches!(verify("1234", b"", greedy), Err(PinError::Stored(_))));
    }
}
