//! Keys that never leave a token: the message is digested here, and the token is given what its mechanism takes.

use super::{KeyError, KeyKind, PublicKey, SignatureAlgorithm, ecdsa, ecdsa_digest};
use crate::digest::DigestAlgorithm;
use crate::pkcs11::TokenError;

/// What a token is asked to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenInput<'a> {
    /// ECDSA over these bytes, as long as the order of the curve (PKCS#11: CKM_ECDSA); the answer is r || s.
    Ecdsa(&'a [u8]),
    /// RSASSA-PKCS1-v1_5 over this `DigestInfo` (CKM_RSA_PKCS).
    RsaPkcs1(&'a [u8]),
    /// RSASSA-PSS over this digest, MGF1 with the same algorithm, a salt as long as the digest (CKM_RSA_PKCS_PSS).
    RsaPss {
        /// The digest of the message.
        digest: &'a [u8],
        /// How it was made.
        algorithm: DigestAlgorithm,
    },
}

/// Signs with the key in the token, or says why it could not.
pub type TokenOperation = dyn Fn(TokenInput<'_>) -> Result<Vec<u8>, TokenError> + Send + Sync;

/// `DigestInfo` before the digest (RFC 8017 §9.2, note 1).
const fn digest_info(algorithm: DigestAlgorithm) -> Option<&'static [u8]> {
    match algorithm {
        DigestAlgorithm::Sha1 => None,
        DigestAlgorithm::Sha256 => Some(&[
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
            0x20,
        ]),
        DigestAlgorithm::Sha384 => Some(&[
            0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04,
            0x30,
        ]),
        DigestAlgorithm::Sha512 => Some(&[
            0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04,
            0x40,
        ]),
    }
}

pub(super) fn sign(
    public: &PublicKey,
    operation: &TokenOperation,
    algorithm: SignatureAlgorithm,
    message: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let kind = public.kind();
    let mismatch = KeyError::Mismatch { kind, algorithm };
    let ask = |input: TokenInput<'_>| operation(input).map_err(KeyError::Token);
    if let (Some(len), true) = (kind.scalar_len(), algorithm.is_ecdsa()) {
        let digest = ecdsa_digest(kind, algorithm, message).ok_or(mismatch)?;
        let fixed = ask(TokenInput::Ecdsa(digest.as_ref()))?;
        let wrong = || TokenError::Wrong(format!("{} bytes instead of r and s", fixed.len()));
        let der = ecdsa::der_from_fixed(&fixed, len).ok_or_else(wrong)?;
        return Ok(if algorithm.is_fixed() { fixed } else { der });
    }
    let (KeyKind::Rsa { .. }, digest_algorithm) = (kind, algorithm.digest()) else { return Err(mismatch) };
    let digest = digest_algorithm.digest(message);
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPkcs1Sha512 => {
            let prefix = digest_info(digest_algorithm).ok_or(mismatch)?;
            ask(TokenInput::RsaPkcs1(&[prefix, &digest].concat()))
        }
        SignatureAlgorithm::RsaPssSha256 | SignatureAlgorithm::RsaPssSha384 | SignatureAlgorithm::RsaPssSha512 => {
            ask(TokenInput::RsaPss { digest: &digest, algorithm: digest_algorithm })
        }
        _ => Err(mismatch),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::Digest;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;
    use crate::keys::SigningKey;

    /// A token with a P-256 key: it sees 32 bytes and answers r || s.
    fn token() -> (SigningKey, PublicKey) {
        let document = SigningKey::generate_p256().unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document.to_pkcs8_der().unwrap());
        let pair = pair.unwrap();
        let public = PublicKey::from_p256_point(pair.public_key().as_ref()).unwrap();
        let operation = move |input: TokenInput<'_>| {
            let TokenInput::Ecdsa(bytes) = input else { return Err(TokenError::Unsupported("RSA".to_owned())) };
            let digest = Digest::import_less_safe(bytes, &aws_lc_rs::digest::SHA256).unwrap();
            Ok(pair.sign_digest(&digest).unwrap().as_ref().to_vec())
        };
        (SigningKey::in_token(public.clone(), Box::new(operation)), public)
    }

    #[test]
    fn a_key_in_a_token_signs_with_every_algorithm_of_its_family_and_stays_there() {
        let (key, public) = token();
        for algorithm in SignatureAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.is_ecdsa()) {
            let signature = key.sign(algorithm, b"message").unwrap();
            assert_eq!(public.verify(algorithm, b"message", &signature), Ok(()), "{algorithm:?}");
        }
        let other = key.sign(SignatureAlgorithm::RsaPssSha256, b"message");
        assert!(matches!(other, Err(KeyError::Mismatch { .. })), "{other:?}");
        assert_eq!(key.to_pkcs8_der(), Err(KeyError::InToken));
    }

    #[test]
    fn a_token_that_fails_or_signs_with_another_key_is_noticed() {
        let (_, public) = token();
        let signature = |operation: Box<TokenOperation>| {
            SigningKey::in_token(public.clone(), operation).sign(SignatureAlgorithm::EcdsaSha512Fixed, b"message")
        };
        let locked = signature(Box::new(|_| Err(TokenError::PinLocked)));
        assert_eq!(locked, Err(KeyError::Token(TokenError::PinLocked)));
        assert!(matches!(signature(Box::new(|_| Ok(vec![1; 64]))), Err(KeyError::Token(TokenError::Wrong(_)))));
        assert!(matches!(signature(Box::new(|_| Ok(Vec::new()))), Err(KeyError::Token(TokenError::Wrong(_)))));
    }

    #[test]
    fn an_rsa_token_is_given_digest_info_or_digest() {
        let rsa = SigningKey::generate_rsa2048().unwrap();
        let seen = |algorithm| {
            let operation: Box<TokenOperation> = Box::new(|input| Err(TokenError::Failed(format!("{input:?}"))));
            SigningKey::in_token(rsa.public().clone(), operation).sign(algorithm, b"message").unwrap_err().to_string()
        };
        let digest = DigestAlgorithm::Sha512.digest(b"message");
        let info = [digest_info(DigestAlgorithm::Sha512).unwrap(), &digest].concat();
        assert!(seen(SignatureAlgorithm::RsaPkcs1Sha512).contains(&format!("RsaPkcs1({info:?})")));
        assert!(seen(SignatureAlgorithm::RsaPssSha512).contains(&format!("digest: {digest:?}")));
    }
}
