//! ML-DSA-44 (FIPS 204): signatures that a quantum computer does not forge, beside Ed25519 and never instead of it.
//!
//! The primitive is aws-lc's; the tests have RustCrypto's `ml-dsa` verify what it signs, and the other way round.
//!
//! ```
//! # fn main() -> Result<(), trust::keys::KeyError> {
//! let key = trust::mldsa::MlDsaKey::generate()?;
//! let signature = key.sign(b"checkpoint")?;
//! assert!(key.public().verify(b"checkpoint", &signature).is_ok());
//! # Ok(()) }
//! ```

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, PqdsaKeyPair, UnparsedPublicKey};

use crate::digest::sha256;
use crate::keys::KeyError;
use crate::pem;

/// The length of a public key, in bytes.
pub const PUBLIC_KEY_LEN: usize = 1_312;
/// The length of a signature, in bytes.
pub const SIGNATURE_LEN: usize = 2_420;

/// A private ML-DSA-44 key. Cloning shares it; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct MlDsaKey(Arc<Inner>);

struct Inner {
    pair: PqdsaKeyPair,
    public: MlDsaPublicKey,
}

impl MlDsaKey {
    /// A new key. Randomness is aws-lc's own.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).map_err(|_| KeyError::Primitive("ML-DSA-44 key"))?;
        Self::of(pair)
    }

    /// The key that this seed stands for (FIPS 204 §3.6.3). The seed is the whole secret.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed);
        Self::of(pair.map_err(|_| KeyError::Primitive("ML-DSA-44 key"))?)
    }

    /// Reads the first `PRIVATE KEY` block of a PEM text: PKCS#8 with the seed (RFC 9881).
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, KeyError> {
        let unreadable = KeyError::Unreadable { form: "PKCS#8 PEM of ML-DSA-44, not" };
        let blocks = pem::decode_all("PRIVATE KEY", text).unwrap_or_default();
        let der = blocks.first().ok_or(unreadable.clone())?;
        Self::of(PqdsaKeyPair::from_pkcs8(&ML_DSA_44_SIGNING, der).map_err(|_| unreadable)?)
    }

    /// The key as unencrypted PKCS#8 PEM. Secret.
    pub fn to_pkcs8_pem(&self) -> Result<String, KeyError> {
        let document = self.0.pair.to_pkcs8v1().map_err(|_| KeyError::Primitive("PKCS#8 form of the key"))?;
        Ok(pem::encode("PRIVATE KEY", document.as_ref()))
    }

    /// The public half.
    pub fn public(&self) -> &MlDsaPublicKey {
        &self.0.public
    }

    /// Signs the message, with an empty context.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; SIGNATURE_LEN];
        match self.0.pair.sign(message, &mut signature) {
            Ok(SIGNATURE_LEN) => Ok(signature),
            _ => Err(KeyError::Primitive("ML-DSA-44 signature")),
        }
    }

    fn of(pair: PqdsaKeyPair) -> Result<Self, KeyError> {
        let public = MlDsaPublicKey::from_bytes(pair.public_key().as_ref())?;
        Ok(Self(Arc::new(Inner { pair, public })))
    }
}

impl fmt::Debug for MlDsaKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MlDsaKey")
    }
}

/// A public ML-DSA-44 key. Cloning shares it.
#[derive(Clone, PartialEq, Eq)]
pub struct MlDsaPublicKey(Arc<[u8]>);

impl MlDsaPublicKey {
    /// A key from its 1,312 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != PUBLIC_KEY_LEN {
            return Err(KeyError::Unreadable { form: "raw ML-DSA-44, not" });
        }
        Ok(Self(bytes.into()))
    }

    /// Its 1,312 bytes.
    pub fn raw(&self) -> &[u8] {
        &self.0
    }

    /// Checks that this key signed the message, with an empty context.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        UnparsedPublicKey::new(&ML_DSA_44, self.raw()).verify(message, signature).map_err(|_| KeyError::BadSignature)
    }
}

impl fmt::Debug for MlDsaPublicKey {
    /// The SHA-256 of the key: itself it is too long to read.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MlDsaPublicKey({})", hex::encode(sha256(&self.0)))
    }
}

#[cfg(test)]
mod tests {
    use ml_dsa::{Keypair as _, MlDsa44, SignatureEncoding as _, Signer as _, Verifier as _};

    use super::*;

    #[test]
    fn what_is_signed_is_verified_and_nothing_else() {
        let key = MlDsaKey::generate().unwrap();
        let signature = key.sign(b"message").unwrap();
        assert_eq!(signature.len(), SIGNATURE_LEN);
        assert_eq!(key.public().verify(b"message", &signature), Ok(()));
        assert_eq!(key.public().verify(b"messagE", &signature), Err(KeyError::BadSignature));
        for place in [0, 1_000, SIGNATURE_LEN - 1] {
            let mut altered = signature.clone();
            altered[place] ^= 1;
            assert_eq!(key.public().verify(b"message", &altered), Err(KeyError::BadSignature), "{place}");
        }
        assert!(key.public().verify(b"message", &[]).is_err());
        assert!(MlDsaPublicKey::from_bytes(&[0; 32]).is_err());
    }

    #[test]
    fn a_key_survives_pkcs8() {
        let key = MlDsaKey::generate().unwrap();
        let again = MlDsaKey::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(MlDsaKey::from_pkcs8_pem("").is_err());
        let other = crate::keys::SigningKey::generate_ed25519().unwrap().to_pkcs8_pem().unwrap();
        assert!(MlDsaKey::from_pkcs8_pem(&other).is_err());
    }

    /// Two implementations that share no line: each makes the same key of a seed and verifies what the other signs.
    #[test]
    fn the_two_implementations_verify_each_other() {
        for number in 0..8_u8 {
            let seed = [number; 32];
            let (ours, theirs) =
                (MlDsaKey::from_seed(&seed).unwrap(), ml_dsa::SigningKey::<MlDsa44>::from_seed(&seed.into()));
            assert_eq!(ours.public().raw(), theirs.verifying_key().encode().as_slice());
            let message = [number; 100];
            let signature = ml_dsa::Signature::<MlDsa44>::try_from(ours.sign(&message).unwrap().as_slice()).unwrap();
            assert!(theirs.verifying_key().verify(&message, &signature).is_ok());
            assert!(theirs.verifying_key().verify(b"other", &signature).is_err());
            let signature = theirs.sign(&message);
            assert_eq!(ours.public().verify(&message, &signature.to_vec()), Ok(()));
        }
    }
}
