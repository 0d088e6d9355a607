//! An authentication key that its holder does not give out: rustls asks for a signature, the token makes it.

use std::sync::Arc;

use rustls::sign::{Signer, SigningKey as TlsKey};
use rustls::{Error, SignatureScheme};
use trust::keys::{KeyKind, SignatureAlgorithm, SigningKey};

/// How an elliptic key on P-256 signs a handshake.
const P256: &[(SignatureScheme, SignatureAlgorithm)] =
    &[(SignatureScheme::ECDSA_NISTP256_SHA256, SignatureAlgorithm::EcdsaSha256Der)];
/// On P-384.
const P384: &[(SignatureScheme, SignatureAlgorithm)] =
    &[(SignatureScheme::ECDSA_NISTP384_SHA384, SignatureAlgorithm::EcdsaSha384Der)];
/// An RSA key; TLS 1.3 has PSS only.
const RSA: &[(SignatureScheme, SignatureAlgorithm)] = &[
    (SignatureScheme::RSA_PSS_SHA256, SignatureAlgorithm::RsaPssSha256),
    (SignatureScheme::RSA_PSS_SHA384, SignatureAlgorithm::RsaPssSha384),
    (SignatureScheme::RSA_PSS_SHA512, SignatureAlgorithm::RsaPssSha512),
    (SignatureScheme::RSA_PKCS1_SHA256, SignatureAlgorithm::RsaPkcs1Sha256),
    (SignatureScheme::RSA_PKCS1_SHA384, SignatureAlgorithm::RsaPkcs1Sha384),
    (SignatureScheme::RSA_PKCS1_SHA512, SignatureAlgorithm::RsaPkcs1Sha512),
];

/// A key of any holder.
#[derive(Debug)]
pub(super) struct HeldKey(SigningKey);

#[derive(Debug)]
struct Chosen {
    key: SigningKey,
    scheme: SignatureScheme,
    algorithm: SignatureAlgorithm,
}

impl HeldKey {
    pub(super) fn of(key: &SigningKey) -> Arc<dyn TlsKey> {
        Arc::new(Self(key.clone()))
    }

    fn schemes(&self) -> &'static [(SignatureScheme, SignatureAlgorithm)] {
        match self.0.kind() {
            KeyKind::P256 => P256,
            KeyKind::P384 => P384,
            KeyKind::Rsa { .. } => RSA,
            KeyKind::Ed25519 => &[],
        }
    }
}

impl TlsKey for HeldKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let (scheme, algorithm) = *self.schemes().iter().find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(Chosen { key: self.0.clone(), scheme, algorithm }))
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        match self.0.kind() {
            KeyKind::P256 | KeyKind::P384 => rustls::SignatureAlgorithm::ECDSA,
            KeyKind::Rsa { .. } => rustls::SignatureAlgorithm::RSA,
            KeyKind::Ed25519 => rustls::SignatureAlgorithm::ED25519,
        }
    }
}

impl Signer for Chosen {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.key.sign(self.algorithm, message).map_err(|error| Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
