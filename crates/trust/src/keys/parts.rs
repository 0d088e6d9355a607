//! Public keys from and to the parts in which tokens hold them.

use const_oid::ObjectIdentifier;
use der::asn1::{BitStringRef, UintRef};
use der::{Decode, Encode, Sequence};

use super::{KeyError, KeyKind, OID_EC, OID_P256, OID_P384, OID_RSA, PublicKey};

/// `SubjectPublicKeyInfo` with what is known of its parameters: a curve, or NULL.
#[derive(Sequence)]
struct Info<'a> {
    algorithm: AlgorithmOf<'a>,
    key: BitStringRef<'a>,
}

#[derive(Sequence)]
struct AlgorithmOf<'a> {
    oid: ObjectIdentifier,
    parameters: der::asn1::AnyRef<'a>,
}

/// `RSAPublicKey` (RFC 8017, appendix A.1.1).
#[derive(Sequence)]
struct RsaNumbers<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl KeyKind {
    /// The curve as tokens take it: the object identifier in DER.
    pub(crate) fn curve_der(self) -> Option<Vec<u8>> {
        let oid = match self {
            Self::P256 => OID_P256,
            Self::P384 => OID_P384,
            Self::Ed25519 | Self::Rsa { .. } => return None,
        };
        oid.to_der().ok()
    }
}

impl PublicKey {
    /// An elliptic key from the object identifier of its curve in DER, and its uncompressed point.
    pub(crate) fn from_point(curve_der: &[u8], point: &[u8]) -> Result<Self, KeyError> {
        Self::of_info(OID_EC, curve_der, point)
    }

    /// An RSA key from modulus and public exponent, big-endian.
    pub(crate) fn from_rsa_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let unreadable = |_| KeyError::Unreadable { form: "RSA numbers" };
        let numbers = || RsaNumbers { modulus: UintRef::new(modulus)?, exponent: UintRef::new(exponent)? }.to_der();
        Self::of_info(OID_RSA, &[5, 0], &numbers().map_err(unreadable)?)
    }

    /// Modulus and public exponent of an RSA key, big-endian.
    pub fn rsa_numbers(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let KeyKind::Rsa { .. } = self.kind() else { return None };
        let numbers = RsaNumbers::from_der(self.raw()).ok()?;
        Some((numbers.modulus.as_bytes().to_vec(), numbers.exponent.as_bytes().to_vec()))
    }

    fn of_info(oid: ObjectIdentifier, parameters: &[u8], key: &[u8]) -> Result<Self, KeyError> {
        let info = || {
            let algorithm = AlgorithmOf { oid, parameters: der::asn1::AnyRef::from_der(parameters)? };
            Info { algorithm, key: BitStringRef::from_bytes(key)? }.to_der()
        };
        let info = info().map_err(|_: der::Error| KeyError::Unreadable { form: "SubjectPublicKeyInfo" })?;
        Self::from_spki_der(&info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    #[test]
    fn a_key_is_the_same_from_its_parts() {
        for key in [SigningKey::generate_p256().unwrap(), SigningKey::generate_p384().unwrap()] {
            let curve = key.kind().curve_der().unwrap();
            let again = PublicKey::from_point(&curve, key.public().raw()).unwrap();
            assert_eq!(again.spki_der(), key.public().spki_der());
            assert_eq!(again.rsa_numbers(), None);
        }
        let rsa = SigningKey::generate_rsa2048().unwrap();
        let (modulus, exponent) = rsa.public().rsa_numbers().unwrap();
        assert_eq!((modulus.len(), exponent.as_slice()), (256, &[1, 0, 1][..]));
        assert_eq!(PublicKey::from_rsa_numbers(&modulus, &exponent).unwrap().spki_der(), rsa.public().spki_der());
        assert!(PublicKey::from_rsa_numbers(&[1], &[3]).is_err());
        assert!(PublicKey::from_point(&[5, 0], &[4; 65]).is_err());
    }
}
