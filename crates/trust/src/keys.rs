//! Signing keys and public keys.
//!
//! One type for each, whatever the curve or modulus: the algorithm is an argument of every call and must suit the key.
//! RSA keys shorter than 2,048 bits and signatures over SHA-1 are refused.

mod algorithm;
mod ecdsa;
mod parts;
mod token;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self as aws, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey, RsaKeyPair, UnparsedPublicKey,
};
use const_oid::ObjectIdentifier;
use der::Decode;
use spki::SubjectPublicKeyInfoRef;

pub use algorithm::SignatureAlgorithm;
pub use token::{TokenInput, TokenOperation};

use crate::digest::DigestAlgorithm;
use crate::pem;
use crate::pkcs11::TokenError;

/// No key or signature that we take is longer (RSA-8192 in PKCS#8 has about 4,700 bytes).
const KEY_LEN_MAX: usize = 8_192;
const RSA_BITS_MIN: usize = 2_048;
const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const OID_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `SubjectPublicKeyInfo` of an uncompressed P-256 point, before the point (RFC 5480).
const SPKI_P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// `SubjectPublicKeyInfo` of an Ed25519 key, before the key (RFC 8410 §4).
const SPKI_ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key or a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The primitive library could not make a key or a signature.
    #[error("the cryptographic library refused to make the {0}; retry, then check the machine's entropy and memory")]
    Primitive(&'static str),
    /// The bytes are no key that we take.
    #[error("this is no {form} key of P-256, P-384, Ed25519 or RSA ({min} bits or more)", min = RSA_BITS_MIN)]
    Unreadable {
        /// The form that was expected.
        form: &'static str,
    },
    /// The algorithm is for another kind of key.
    #[error("a key of kind {kind} cannot be used with {algorithm:?}; choose an algorithm of the same family")]
    Mismatch {
        /// What the key is.
        kind: KeyKind,
        /// What was asked.
        algorithm: SignatureAlgorithm,
    },
    /// RSA keys have one of three lengths.
    #[error("an RSA key has 2048, 3072 or 4096 bits, not {0}")]
    RsaLength(u16),
    /// The token that holds the key failed.
    #[error("the token that holds the key did not sign: {0}")]
    Token(#[from] TokenError),
    /// The key never leaves its token.
    #[error("the key is in a token, which does not give it out; back up the token itself")]
    InToken,
    /// The signature was not made over this message by this key.
    #[error("the signature does not belong to this message and key")]
    BadSignature,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// An elliptic-curve key on secp256r1.
    P256,
    /// An elliptic-curve key on secp384r1.
    P384,
    /// An Ed25519 key.
    Ed25519,
    /// An RSA key.
    Rsa {
        /// The length of the modulus in bits, rounded up to whole bytes.
        bits: u16,
    },
}

impl KeyKind {
    /// The length in bytes of r and of s; `None` for keys that make no ECDSA signature.
    const fn scalar_len(self) -> Option<usize> {
        match self {
            Self::P256 => Some(32),
            Self::P384 => Some(48),
            Self::Ed25519 | Self::Rsa { .. } => None,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => formatter.write_str("P-256"),
            Self::P384 => formatter.write_str("P-384"),
            Self::Ed25519 => formatter.write_str("Ed25519"),
            Self::Rsa { bits } => write!(formatter, "RSA-{bits}"),
        }
    }
}

/// A private key. Cloning shares it; `Debug` shows only what kind it is.
#[derive(Clone)]
pub struct SigningKey(Arc<Inner>, Padding);

/// How RSA signatures of messages are padded where the caller names no algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    Pkcs1,
    Pss,
}

struct Inner {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    /// P-256 or P-384; the curve is in the public key.
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    /// The key is elsewhere and only its use is ours.
    Token(Box<TokenOperation>),
}

impl SigningKey {
    /// A new P-256 key: what a node signs with by default. Randomness is aws-lc's own.
    pub fn generate_p256() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&aws::ECDSA_P256_SHA256_ASN1_SIGNING);
        Self::from_ecdsa(pair.map_err(|_| KeyError::Primitive("P-256 key"))?)
    }

    /// A new P-384 key. Randomness is aws-lc's own.
    pub fn generate_p384() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&aws::ECDSA_P384_SHA384_ASN1_SIGNING);
        Self::from_ecdsa(pair.map_err(|_| KeyError::Primitive("P-384 key"))?)
    }

    /// A new Ed25519 key: ledgers and notes. Randomness is aws-lc's own.
    pub fn generate_ed25519() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Primitive("Ed25519 key"))?;
        Self::from_ed25519(pair)
    }

    /// A new RSA key of 2,048 bits, for peers older than X-Road 7.6. Randomness is aws-lc's own.
    pub fn generate_rsa2048() -> Result<Self, KeyError> {
        Self::generate_rsa(2_048)
    }

    /// A new RSA key of 2,048, 3,072 or 4,096 bits. Randomness is aws-lc's own.
    pub fn generate_rsa(bits: u16) -> Result<Self, KeyError> {
        let size = match bits {
            2_048 => KeySize::Rsa2048,
            3_072 => KeySize::Rsa3072,
            4_096 => KeySize::Rsa4096,
            other => return Err(KeyError::RsaLength(other)),
        };
        Self::from_rsa(RsaKeyPair::generate(size).map_err(|_| KeyError::Primitive("RSA key"))?)
    }

    /// A key that a token holds (PKCS#11, a service): `operation` signs what was digested here, and whoever gives it does
    /// the input and output. Each signature is verified before it is used.
    pub fn in_token(public: PublicKey, operation: Box<TokenOperation>) -> Self {
        Self(Arc::new(Inner { pair: Pair::Token(operation), public }), Padding::Pkcs1)
    }

    /// The same key, whose messages are signed with RSASSA-PSS where it is an RSA key. Certificates keep
    /// RSASSA-PKCS1-v1_5, which every peer reads.
    #[must_use]
    pub fn preferring_pss(self) -> Self {
        Self(self.0, Padding::Pss)
    }

    /// Reads an unencrypted PKCS#8 key (RFC 5958).
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > KEY_LEN_MAX {
            return Err(KeyError::Unreadable { form: "PKCS#8" });
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&aws::ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            return Self::from_ecdsa(pair);
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&aws::ECDSA_P384_SHA384_ASN1_SIGNING, der) {
            return Self::from_ecdsa(pair);
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Self::from_ed25519(pair);
        }
        RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Unreadable { form: "PKCS#8" }).and_then(Self::from_rsa)
    }

    /// Reads the first `PRIVATE KEY` block of a PEM text (RFC 7468 §10).
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, KeyError> {
        let blocks = pem::decode_all("PRIVATE KEY", text).unwrap_or_default();
        let der = blocks.first().ok_or(KeyError::Unreadable { form: "PKCS#8 PEM" })?;
        Self::from_pkcs8_der(der)
    }

    /// The key as unencrypted PKCS#8 DER, version 1 (which OpenSSL and Java read). Secret: keep it out of logs and of
    /// files that others can read.
    pub fn to_pkcs8_der(&self) -> Result<Vec<u8>, KeyError> {
        let document = match &self.0.pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map(|document| document.as_ref().to_vec()),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map(|document| document.as_ref().to_vec()),
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair).map(|document| document.as_ref().to_vec()),
            Pair::Token(_) => return Err(KeyError::InToken),
        };
        document.map_err(|_| KeyError::Primitive("PKCS#8 form of the key"))
    }

    /// The key as unencrypted PKCS#8 PEM. Secret, as [`Self::to_pkcs8_der`].
    pub fn to_pkcs8_pem(&self) -> Result<String, KeyError> {
        Ok(pem::encode("PRIVATE KEY", &self.to_pkcs8_der()?))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.0.public
    }

    /// Whether a token holds it.
    pub fn is_in_token(&self) -> bool {
        matches!(self.0.pair, Pair::Token(_))
    }

    /// What the key is.
    pub fn kind(&self) -> KeyKind {
        self.0.public.kind()
    }

    /// What X-Road signs XML with for this key: SHA-512 with ECDSA (r || s) or RSASSA-PKCS1-v1_5, or with RSASSA-PSS
    /// for a key [`Self::preferring_pss`].
    pub fn default_xml_algorithm(&self) -> SignatureAlgorithm {
        match self.kind() {
            KeyKind::P256 | KeyKind::P384 => SignatureAlgorithm::EcdsaSha512Fixed,
            KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
            KeyKind::Rsa { .. } if self.1 == Padding::Pss => SignatureAlgorithm::RsaPssSha512,
            KeyKind::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha512,
        }
    }

    /// What certificates, OCSP answers and time stamps are signed with for this key (ECDSA in DER).
    pub fn default_x509_algorithm(&self) -> SignatureAlgorithm {
        match self.kind() {
            KeyKind::P256 => SignatureAlgorithm::EcdsaSha256Der,
            KeyKind::P384 => SignatureAlgorithm::EcdsaSha384Der,
            KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
            KeyKind::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha256,
        }
    }

    /// Signs the message (not its digest).
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mismatch = KeyError::Mismatch { kind: self.kind(), algorithm };
        match &self.0.pair {
            Pair::Ecdsa(pair) if algorithm.is_ecdsa() => {
                let digest = ecdsa_digest(self.kind(), algorithm, message).ok_or(mismatch.clone())?;
                let der = pair.sign_digest(&digest).map_err(|_| KeyError::Primitive("signature"))?;
                if !algorithm.is_fixed() {
                    return Ok(der.as_ref().to_vec());
                }
                let len = self.kind().scalar_len().ok_or(mismatch)?;
                ecdsa::fixed_from_der(der.as_ref(), len).ok_or(KeyError::Primitive("signature"))
            }
            Pair::Ed25519(pair) if algorithm == SignatureAlgorithm::Ed25519 => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let encoding = rsa_encoding(algorithm).ok_or(mismatch)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| KeyError::Primitive("signature"))?;
                Ok(signature)
            }
            Pair::Token(operation) => {
                let signature = token::sign(&self.0.public, operation, algorithm, message)?;
                let verdict = self.0.public.verify(algorithm, message, &signature);
                let wrong = || TokenError::Wrong("its signature belongs to another key".to_owned());
                verdict.map_err(|_| wrong())?;
                Ok(signature)
            }
            _ => Err(mismatch),
        }
    }

    fn from_ecdsa(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let spki = pair.public_key().as_der();
        Self::with_public(Pair::Ecdsa(pair), spki)
    }

    fn from_ed25519(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let spki = pair.public_key().as_der();
        Self::with_public(Pair::Ed25519(pair), spki)
    }

    fn from_rsa(pair: RsaKeyPair) -> Result<Self, KeyError> {
        let spki = pair.public_key().as_der();
        Self::with_public(Pair::Rsa(pair), spki)
    }

    fn with_public(
        pair: Pair,
        spki: Result<PublicKeyX509Der<'static>, aws_lc_rs::error::Unspecified>,
    ) -> Result<Self, KeyError> {
        let spki = spki.map_err(|_| KeyError::Primitive("public key"))?;
        let public = PublicKey::from_spki_der(spki.as_ref())?;
        Ok(Self(Arc::new(Inner { pair, public }), Padding::Pkcs1))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.kind())
    }
}

/// A public key, parsed once and ready to verify. Cloning shares it.
#[derive(Clone)]
pub struct PublicKey(Arc<PublicInner>);

struct PublicInner {
    kind: KeyKind,
    spki: Vec<u8>,
    raw: Vec<u8>,
    /// Elliptic-curve and Edwards keys, checked to lie on their curve; RSA keys are read at each use, because the
    /// library ties a parsed key to one padding.
    parsed: Option<ParsedPublicKey>,
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` (RFC 5280 §4.1) and checks that the key is valid.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let unreadable = KeyError::Unreadable { form: "SubjectPublicKeyInfo" };
        if der.len() > KEY_LEN_MAX {
            return Err(unreadable);
        }
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| unreadable.clone())?;
        let raw = spki.subject_public_key.as_bytes().ok_or(unreadable.clone())?.to_vec();
        let curve = spki.algorithm.parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
        let (kind, verifier): (_, Option<&'static dyn aws::VerificationAlgorithm>) = match (spki.algorithm.oid, curve) {
            (OID_EC, Some(OID_P256)) => (KeyKind::P256, Some(&aws::ECDSA_P256_SHA256_ASN1)),
            (OID_EC, Some(OID_P384)) => (KeyKind::P384, Some(&aws::ECDSA_P384_SHA384_ASN1)),
            (OID_ED25519, _) => (KeyKind::Ed25519, Some(&aws::ED25519)),
            (OID_RSA, _) => (rsa_kind(&raw).ok_or(unreadable.clone())?, None),
            _ => return Err(unreadable),
        };
        let parsed = verifier.map(|verifier| ParsedPublicKey::new(verifier, &raw)).transpose();
        let parsed = parsed.map_err(|_| unreadable)?;
        Ok(Self(Arc::new(PublicInner { kind, spki: der.to_vec(), raw, parsed })))
    }

    /// A P-256 key from its uncompressed point (65 bytes, the first is 4), as a JWK's x and y give it.
    pub fn from_p256_point(point: &[u8]) -> Result<Self, KeyError> {
        if point.len() != 65 || point.first() != Some(&4) {
            return Err(KeyError::Unreadable { form: "uncompressed point" });
        }
        Self::from_spki_der(&[SPKI_P256, point].concat())
    }

    /// An Ed25519 key from its 32 bytes.
    pub fn from_ed25519_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != 32 {
            return Err(KeyError::Unreadable { form: "raw Ed25519" });
        }
        Self::from_spki_der(&[SPKI_ED25519, bytes].concat())
    }

    /// The `SubjectPublicKeyInfo`, byte for byte as it came.
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    /// The bytes inside the `SubjectPublicKeyInfo`: an elliptic-curve point (uncompressed where we made it), 32 bytes of
    /// Ed25519, or an `RSAPublicKey`.
    pub fn raw(&self) -> &[u8] {
        &self.0.raw
    }

    /// What the key is.
    pub fn kind(&self) -> KeyKind {
        self.0.kind
    }

    /// Checks that the signature was made with that algorithm by this key over the message (not its digest).
    pub fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let kind = self.0.kind;
        let mismatch = KeyError::Mismatch { kind, algorithm };
        let verdict = match (&self.0.parsed, kind.scalar_len()) {
            (Some(parsed), Some(len)) if algorithm.is_ecdsa() => {
                let digest = ecdsa_digest(kind, algorithm, message).ok_or(mismatch)?;
                if algorithm.is_fixed() {
                    let der = ecdsa::der_from_fixed(signature, len).ok_or(KeyError::BadSignature)?;
                    parsed.verify_digest_sig(&digest, &der)
                } else {
                    parsed.verify_digest_sig(&digest, signature)
                }
            }
            (Some(parsed), None) if algorithm == SignatureAlgorithm::Ed25519 => parsed.verify_sig(message, signature),
            (None, _) => {
                let parameters = rsa_parameters(algorithm).ok_or(mismatch)?;
                UnparsedPublicKey::new(parameters, &self.0.raw).verify(message, signature)
            }
            _ => return Err(mismatch),
        };
        verdict.map_err(|_| KeyError::BadSignature)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.kind == other.0.kind && self.0.raw == other.0.raw
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({} {})", self.0.kind, hex::encode(&self.0.raw))
    }
}

/// The digest of the message in the length that the curve's own primitive takes. ECDSA (FIPS 186-5 §6.4.1) uses the
/// leftmost bits of a digest longer than the order and reads a shorter one as a number: so P-256 over SHA-512, which the
/// library does not offer for signing, is P-256 over the first 32 bytes of the SHA-512 digest.
fn ecdsa_digest(kind: KeyKind, algorithm: SignatureAlgorithm, message: &[u8]) -> Option<Digest> {
    let native = match kind {
        KeyKind::P256 => DigestAlgorithm::Sha256,
        KeyKind::P384 => DigestAlgorithm::Sha384,
        KeyKind::Ed25519 | KeyKind::Rsa { .. } => return None,
    };
    let digest = aws_lc_rs::digest::digest(algorithm.digest().primitive(), message);
    let bytes = digest.as_ref();
    let len = native.output_len();
    let fitted = match bytes.get(..len) {
        Some(leftmost) => leftmost.to_vec(),
        None => [&vec![0; len.saturating_sub(bytes.len())], bytes].concat(),
    };
    Digest::import_less_safe(&fitted, native.primitive()).ok()
}

fn rsa_encoding(algorithm: SignatureAlgorithm) -> Option<&'static aws::RsaSignatureEncoding> {
    Some(match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => &aws::RSA_PKCS1_SHA256,
        SignatureAlgorithm::RsaPkcs1Sha384 => &aws::RSA_PKCS1_SHA384,
        SignatureAlgorithm::RsaPkcs1Sha512 => &aws::RSA_PKCS1_SHA512,
        SignatureAlgorithm::RsaPssSha256 => &aws::RSA_PSS_SHA256,
        SignatureAlgorithm::RsaPssSha384 => &aws::RSA_PSS_SHA384,
        SignatureAlgorithm::RsaPssSha512 => &aws::RSA_PSS_SHA512,
        _ => return None,
    })
}

fn rsa_parameters(algorithm: SignatureAlgorithm) -> Option<&'static aws::RsaParameters> {
    Some(match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => &aws::RSA_PKCS1_2048_8192_SHA256,
        SignatureAlgorithm::RsaPkcs1Sha384 => &aws::RSA_PKCS1_2048_8192_SHA384,
        SignatureAlgorithm::RsaPkcs1Sha512 => &aws::RSA_PKCS1_2048_8192_SHA512,
        SignatureAlgorithm::RsaPssSha256 => &aws::RSA_PSS_2048_8192_SHA256,
        SignatureAlgorithm::RsaPssSha384 => &aws::RSA_PSS_2048_8192_SHA384,
        SignatureAlgorithm::RsaPssSha512 => &aws::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// Checks an `RSAPublicKey` and the length of its modulus.
fn rsa_kind(raw: &[u8]) -> Option<KeyKind> {
    let key = aws::RsaSubjectPublicKey::from_der(raw).ok()?;
    let bits = key.modulus_len().checked_mul(8)?;
    (bits >= RSA_BITS_MIN).then_some(KeyKind::Rsa { bits: u16::try_from(bits).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<SigningKey> {
        vec![
            SigningKey::generate_p256().unwrap(),
            SigningKey::generate_p384().unwrap(),
            SigningKey::generate_ed25519().unwrap(),
            SigningKey::generate_rsa2048().unwrap(),
        ]
    }

    #[test]
    fn every_key_verifies_what_it_signed_and_nothing_else() {
        for key in keys() {
            for algorithm in SignatureAlgorithm::ALL {
                let Ok(signature) = key.sign(algorithm, b"message") else { continue };
                assert_eq!(key.public().verify(algorithm, b"message", &signature), Ok(()), "{key:?} {algorithm:?}");
                assert_eq!(key.public().verify(algorithm, b"messagE", &signature), Err(KeyError::BadSignature));
                for position in [0, signature.len() / 2, signature.len() - 1] {
                    let mut altered = signature.clone();
                    altered[position] ^= 1;
                    assert_eq!(key.public().verify(algorithm, b"message", &altered), Err(KeyError::BadSignature));
                }
                assert_eq!(key.public().verify(algorithm, b"message", &[]), Err(KeyError::BadSignature));
            }
        }
    }

    #[test]
    fn rsa_keys_of_each_length_sign_with_either_padding_and_others_are_not_made() {
        for bits in [2_048, 3_072, 4_096] {
            let key = SigningKey::generate_rsa(bits).unwrap();
            assert_eq!(key.kind(), KeyKind::Rsa { bits });
            assert_eq!(key.default_xml_algorithm(), SignatureAlgorithm::RsaPkcs1Sha512);
            let pss = key.clone().preferring_pss();
            assert_eq!(pss.default_xml_algorithm(), SignatureAlgorithm::RsaPssSha512);
            assert_eq!(pss.default_x509_algorithm(), SignatureAlgorithm::RsaPkcs1Sha256);
            let signature = pss.sign(SignatureAlgorithm::RsaPssSha512, b"message").unwrap();
            assert_eq!(key.public().verify(SignatureAlgorithm::RsaPssSha512, b"message", &signature), Ok(()));
        }
        assert_eq!(SigningKey::generate_rsa(1_024).unwrap_err(), KeyError::RsaLength(1_024));
    }

    #[test]
    fn an_elliptic_key_offers_six_algorithms_and_an_rsa_key_six() {
        let offered = |key: &SigningKey| SignatureAlgorithm::ALL.iter().filter(|a| key.sign(**a, b"m").is_ok()).count();
        assert_eq!(keys().iter().map(offered).collect::<Vec<_>>(), [6, 6, 1, 6]);
    }

    #[test]
    fn an_algorithm_of_another_family_is_refused() {
        let key = SigningKey::generate_p256().unwrap();
        let error = key.sign(SignatureAlgorithm::RsaPssSha256, b"m").unwrap_err();
        assert_eq!(error, KeyError::Mismatch { kind: KeyKind::P256, algorithm: SignatureAlgorithm::RsaPssSha256 });
        assert!(key.public().verify(SignatureAlgorithm::Ed25519, b"m", &[0; 64]).is_err());
    }

    #[test]
    fn a_p256_signature_over_sha512_agrees_with_the_library() {
        let key = SigningKey::generate_p256().unwrap();
        let signature = key.sign(SignatureAlgorithm::EcdsaSha512Der, b"message").unwrap();
        let judge = UnparsedPublicKey::new(&aws::ECDSA_P256_SHA512_ASN1, key.public().raw());
        assert!(judge.verify(b"message", &signature).is_ok());
    }

    #[test]
    fn a_p384_signature_over_sha256_agrees_with_the_library() {
        let key = SigningKey::generate_p384().unwrap();
        let signature = key.sign(SignatureAlgorithm::EcdsaSha256Der, b"message").unwrap();
        let judge = UnparsedPublicKey::new(&aws::ECDSA_P384_SHA256_ASN1, key.public().raw());
        assert!(judge.verify(b"message", &signature).is_ok());
    }

    #[test]
    fn keys_survive_pkcs8_and_spki() {
        for key in keys() {
            let again = SigningKey::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap();
            assert_eq!(again.public(), key.public());
            assert_eq!(&PublicKey::from_spki_der(key.public().spki_der()).unwrap(), key.public());
        }
    }

    #[test]
    fn raw_points_lead_to_the_same_key() {
        let p256 = SigningKey::generate_p256().unwrap();
        assert_eq!(PublicKey::from_p256_point(p256.public().raw()).unwrap().spki_der(), p256.public().spki_der());
        let ed25519 = SigningKey::generate_ed25519().unwrap();
        let again = PublicKey::from_ed25519_bytes(ed25519.public().raw()).unwrap();
        assert_eq!(again.spki_der(), ed25519.public().spki_der());
        let mut off_curve = p256.public().raw().to_vec();
        off_curve[64] ^= 1;
        assert!(PublicKey::from_p256_point(&off_curve).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SigningKey::generate_p256().unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(P-256)");
    }

    #[test]
    fn rubbish_is_no_key() {
        assert!(SigningKey::from_pkcs8_der(b"rubbish").is_err());
        assert!(SigningKey::from_pkcs8_pem("").is_err());
        assert!(PublicKey::from_spki_der(&[0x30, 0x80]).is_err());
        assert!(PublicKey::from_spki_der(&vec![0; KEY_LEN_MAX + 1]).is_err());
    }
}
