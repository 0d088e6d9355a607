use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use civic::{Random, random_array};

use super::SealError;

/// How many bytes a sealed piece is longer than its content.
pub const PIECE_TAG_BYTES: usize = 16;

/// A key for the pieces of one file that lives no longer than the process: AES-256-GCM, the number of the piece is the nonce.
///
/// Each number may be sealed once only. A piece opens under its own number only, so pieces cannot change places; whoever keeps the key
/// knows how many pieces there are, so none can be cut off unseen.
pub struct PieceKey(LessSafeKey);

impl fmt::Debug for PieceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PieceKey(…)")
    }
}

impl PieceKey {
    /// A new key. It is kept nowhere: with it gone, what it sealed is gone.
    pub fn generate(random: &dyn Random) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, &random_array::<32>(random))
            .map_err(|_| SealError::Library("AES-256-GCM key set-up"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a piece in place; it grows by [`PIECE_TAG_BYTES`].
    pub fn seal(&self, number: u64, piece: &mut Vec<u8>) -> Result<(), SealError> {
        self.0
            .seal_in_place_append_tag(nonce(number), Aad::empty(), piece)
            .map_err(|_| SealError::Library("AES-256-GCM sealing"))
    }

    /// Opens a piece in place; it shrinks by [`PIECE_TAG_BYTES`].
    pub fn open(&self, number: u64, piece: &mut Vec<u8>) -> Result<(), SealError> {
        let opened = self.0.open_in_place(nonce(number), Aad::empty(), piece).map_err(|_| SealError::Refused)?.len();
        piece.truncate(opened);
        Ok(())
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0_u8; 12];
    let (_, end) = bytes.split_at_mut(4);
    end.copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use civic::testing::SeededRandom;

    use super::*;

    #[test]
    fn a_piece_opens_under_its_own_number_and_key_only() {
        let random = SeededRandom::new(1);
        let (key, other) = (PieceKey::generate(&random).unwrap(), PieceKey::generate(&random).unwrap());
        let mut sealed = b"a piece".to_vec();
        key.seal(3, &mut sealed).unwrap();
        assert_eq!(sealed.len(), 7 + PIECE_TAG_BYTES);
        assert!(!sealed.windows(7).any(|window| window == b"a piece"));
        assert_eq!(key.open(4, &mut sealed.clone()), Err(SealError::Refused));
        assert_eq!(other.open(3, &mut sealed.clone()), Err(SealError::Refused));
        let mut altered = sealed.clone();
        altered[0] ^= 1;
        assert_eq!(key.open(3, &mut altered), Err(SealError::Refused));
        key.open(3, &mut sealed).unwrap();
        assert_eq!(sealed, b"a piece");
    }
}
