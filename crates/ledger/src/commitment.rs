use civic::{Random, random_array};
use trust::digest::{constant_time_eq, hmac_sha256};

/// A salted commitment to a record: the log holds the leaf, the one concerned keeps salt and record.
///
/// The leaf shows nothing of the record. With the salt, anyone can check that the leaf stands for this record and no
/// other. Erase the salt and the leaf is a random number for ever: that is how a person is erased from a log that
/// nobody can rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment {
    /// 32 unpredictable bytes, kept beside the record.
    pub salt: [u8; 32],
    /// HMAC-SHA-256(salt, record): the entry of the log.
    pub leaf: [u8; 32],
}

impl Commitment {
    /// A commitment with a fresh salt.
    pub fn new(record: &[u8], random: &dyn Random) -> Self {
        Self::with_salt(random_array(random), record)
    }

    /// The commitment that this salt makes of this record.
    pub fn with_salt(salt: [u8; 32], record: &[u8]) -> Self {
        Self { salt, leaf: hmac_sha256(&salt, record) }
    }

    /// Whether this record was committed to.
    pub fn opens(&self, record: &[u8]) -> bool {
        constant_time_eq(&self.leaf, &hmac_sha256(&self.salt, record))
    }
}

#[cfg(test)]
mod tests {
    use civic::testing::SeededRandom;

    use super::*;

    #[test]
    fn a_commitment_opens_for_its_record_only() {
        let random = SeededRandom::new(1);
        let commitment = Commitment::new(b"a record", &random);
        assert!(commitment.opens(b"a record"));
        assert!(!commitment.opens(b"another record"));
        assert_ne!(commitment.leaf, Commitment::new(b"a record", &random).leaf, "each salt makes another leaf");
    }
}
