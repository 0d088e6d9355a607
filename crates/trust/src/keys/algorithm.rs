//! Signature algorithms and their names in XML and in X.509.

use const_oid::ObjectIdentifier;
use der::Sequence;
use der::asn1::Any;
use spki::AlgorithmIdentifierOwned;

use crate::digest::DigestAlgorithm;

const OID_RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const OID_MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// How a signature is made. The curve of an ECDSA signature is that of the key, as in X.509 and XML signatures: where a
/// protocol ties the curve too (JOSE's ES256 means P-256), compare [`super::PublicKey::kind`] as well.
///
/// ECDSA comes in two forms: `Fixed` (r || s, each as long as the curve's order: XML signatures, JOSE) and `Der`
/// (`Ecdsa-Sig-Value`: X.509, OCSP, CMS, the signed directory of the global configuration).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256, r || s.
    EcdsaSha256Fixed,
    /// ECDSA with SHA-384, r || s.
    EcdsaSha384Fixed,
    /// ECDSA with SHA-512, r || s: X-Road's default for elliptic-curve keys, also on P-256.
    EcdsaSha512Fixed,
    /// ECDSA with SHA-256, DER.
    EcdsaSha256Der,
    /// ECDSA with SHA-384, DER.
    EcdsaSha384Der,
    /// ECDSA with SHA-512, DER.
    EcdsaSha512Der,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512: X-Road's default for RSA keys.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256, MGF1 with the same digest, salt as long as the digest.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512.
    RsaPssSha512,
}

/// What is left of an algorithm without its digest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    EcdsaFixed,
    EcdsaDer,
    Ed25519,
    RsaPkcs1,
    RsaPss,
}

impl SignatureAlgorithm {
    /// Every algorithm. For a name shared by both ECDSA forms the `Fixed` one stands first.
    pub const ALL: [Self; 13] = [
        Self::EcdsaSha256Fixed,
        Self::EcdsaSha384Fixed,
        Self::EcdsaSha512Fixed,
        Self::EcdsaSha256Der,
        Self::EcdsaSha384Der,
        Self::EcdsaSha512Der,
        Self::Ed25519,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
    ];

    /// The digest of the message; SHA-512 for Ed25519, which digests inside.
    pub const fn digest(self) -> DigestAlgorithm {
        match self {
            Self::EcdsaSha256Fixed | Self::EcdsaSha256Der | Self::RsaPkcs1Sha256 | Self::RsaPssSha256 => {
                DigestAlgorithm::Sha256
            }
            Self::EcdsaSha384Fixed | Self::EcdsaSha384Der | Self::RsaPkcs1Sha384 | Self::RsaPssSha384 => {
                DigestAlgorithm::Sha384
            }
            Self::EcdsaSha512Fixed
            | Self::EcdsaSha512Der
            | Self::RsaPkcs1Sha512
            | Self::RsaPssSha512
            | Self::Ed25519 => DigestAlgorithm::Sha512,
        }
    }

    /// The same kind of signature over another digest; unchanged where there is none.
    #[must_use]
    pub fn over(self, digest: DigestAlgorithm) -> Self {
        Self::ALL.into_iter().find(|other| other.scheme() == self.scheme() && other.digest() == digest).unwrap_or(self)
    }

    const fn scheme(self) -> Scheme {
        match self {
            Self::EcdsaSha256Fixed | Self::EcdsaSha384Fixed | Self::EcdsaSha512Fixed => Scheme::EcdsaFixed,
            Self::EcdsaSha256Der | Self::EcdsaSha384Der | Self::EcdsaSha512Der => Scheme::EcdsaDer,
            Self::Ed25519 => Scheme::Ed25519,
            Self::RsaPkcs1Sha256 | Self::RsaPkcs1Sha384 | Self::RsaPkcs1Sha512 => Scheme::RsaPkcs1,
            Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512 => Scheme::RsaPss,
        }
    }

    /// The identifier in XML signatures (RFC 6931 §2.3; RFC 9231 §2.3.12 for Ed25519). Both ECDSA forms share it.
    pub const fn xml_uri(self) -> &'static str {
        match self {
            Self::EcdsaSha256Fixed | Self::EcdsaSha256Der => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
            Self::EcdsaSha384Fixed | Self::EcdsaSha384Der => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            Self::EcdsaSha512Fixed | Self::EcdsaSha512Der => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
            Self::Ed25519 => "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519",
            Self::RsaPkcs1Sha256 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            Self::RsaPkcs1Sha384 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
            Self::RsaPkcs1Sha512 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
            Self::RsaPssSha256 => "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
            Self::RsaPssSha384 => "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1",
            Self::RsaPssSha512 => "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1",
        }
    }

    /// The algorithm that an XML signature names; ECDSA in `Fixed` form, as XML has it.
    pub fn from_xml_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.xml_uri() == uri)
    }

    /// The same algorithm with ECDSA signatures in DER; others are unchanged.
    #[must_use]
    pub const fn der_form(self) -> Self {
        match self {
            Self::EcdsaSha256Fixed => Self::EcdsaSha256Der,
            Self::EcdsaSha384Fixed => Self::EcdsaSha384Der,
            Self::EcdsaSha512Fixed => Self::EcdsaSha512Der,
            other => other,
        }
    }

    /// The same algorithm with ECDSA signatures as r || s; others are unchanged.
    #[must_use]
    pub const fn fixed_form(self) -> Self {
        match self {
            Self::EcdsaSha256Der => Self::EcdsaSha256Fixed,
            Self::EcdsaSha384Der => Self::EcdsaSha384Fixed,
            Self::EcdsaSha512Der => Self::EcdsaSha512Fixed,
            other => other,
        }
    }

    /// The object identifier in X.509 and CMS (RFC 5758, RFC 8410, RFC 8017). Both ECDSA forms share it.
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::EcdsaSha256Fixed | Self::EcdsaSha256Der => ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
            Self::EcdsaSha384Fixed | Self::EcdsaSha384Der => ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
            Self::EcdsaSha512Fixed | Self::EcdsaSha512Der => ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"),
            Self::Ed25519 => OID_ED25519,
            Self::RsaPkcs1Sha256 => ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
            Self::RsaPkcs1Sha384 => ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"),
            Self::RsaPkcs1Sha512 => ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
            Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512 => OID_RSASSA_PSS,
        }
    }

    /// The X.509 `AlgorithmIdentifier`, with the parameters that RFC 4055 and RFC 5758 want.
    pub fn identifier(self) -> AlgorithmIdentifierOwned {
        let parameters = match self {
            Self::RsaPkcs1Sha256 | Self::RsaPkcs1Sha384 | Self::RsaPkcs1Sha512 => Some(Any::null()),
            Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512 => pss_parameters(self.digest()),
            _ => None,
        };
        AlgorithmIdentifierOwned { oid: self.oid(), parameters }
    }

    /// The algorithm that an X.509 or CMS structure names; ECDSA in `Der` form. `None` where it is unknown, too weak
    /// (SHA-1, MD5) or has parameters that we do not compute (PSS with another salt or mask).
    pub fn from_identifier(identifier: &AlgorithmIdentifierOwned) -> Option<Self> {
        if identifier.oid == OID_RSASSA_PSS {
            let parameters: PssParameters = identifier.parameters.as_ref()?.decode_as().ok()?;
            return match parameters.digest()? {
                DigestAlgorithm::Sha256 => Some(Self::RsaPssSha256),
                DigestAlgorithm::Sha384 => Some(Self::RsaPssSha384),
                DigestAlgorithm::Sha512 => Some(Self::RsaPssSha512),
                DigestAlgorithm::Sha1 => None,
            };
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.oid() == identifier.oid).map(Self::der_form)
    }

    /// Whether ECDSA signatures have the r || s form here.
    pub(super) const fn is_fixed(self) -> bool {
        matches!(self, Self::EcdsaSha256Fixed | Self::EcdsaSha384Fixed | Self::EcdsaSha512Fixed)
    }

    pub(super) const fn is_ecdsa(self) -> bool {
        matches!(self.der_form(), Self::EcdsaSha256Der | Self::EcdsaSha384Der | Self::EcdsaSha512Der)
    }
}

/// `RSASSA-PSS-params` (RFC 4055 §3.1).
#[derive(Sequence)]
struct PssParameters {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt_len: Option<u16>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<u8>,
}

impl PssParameters {
    /// The digest, where mask and salt follow it as everywhere in practice.
    fn digest(&self) -> Option<DigestAlgorithm> {
        let digest = DigestAlgorithm::from_oid(&self.hash.as_ref()?.oid)?;
        let mask = self.mask.as_ref()?;
        let mask_digest: AlgorithmIdentifierOwned = mask.parameters.as_ref()?.decode_as().ok()?;
        let follows = mask.oid == OID_MGF1
            && mask_digest.oid == digest.oid()
            && self.salt_len.map(usize::from) == Some(digest.output_len())
            && self.trailer.is_none_or(|trailer| trailer == 1);
        follows.then_some(digest)
    }
}

fn pss_parameters(digest: DigestAlgorithm) -> Option<Any> {
    let hash = AlgorithmIdentifierOwned { oid: digest.oid(), parameters: Some(Any::null()) };
    let mask = AlgorithmIdentifierOwned { oid: OID_MGF1, parameters: Some(Any::encode_from(&hash).ok()?) };
    let salt_len = u16::try_from(digest.output_len()).ok();
    Any::encode_from(&PssParameters { hash: Some(hash), mask: Some(mask), salt_len, trailer: None }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_the_algorithm() {
        for algorithm in SignatureAlgorithm::ALL {
            assert_eq!(SignatureAlgorithm::from_xml_uri(algorithm.xml_uri()), Some(algorithm.fixed_form()));
            assert_eq!(SignatureAlgorithm::from_identifier(&algorithm.identifier()), Some(algorithm.der_form()));
        }
    }

    #[test]
    fn weak_algorithms_have_no_name_here() {
        let sha1_with_rsa = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
        let identifier = AlgorithmIdentifierOwned { oid: sha1_with_rsa, parameters: Some(Any::null()) };
        assert_eq!(SignatureAlgorithm::from_identifier(&identifier), None);
        assert_eq!(SignatureAlgorithm::from_xml_uri("http://www.w3.org/2000/09/xmldsig#rsa-sha1"), None);
    }

    #[test]
    fn a_foreign_salt_length_is_refused() {
        let mut identifier = SignatureAlgorithm::RsaPssSha256.identifier();
        let mut parameters: PssParameters = identifier.parameters.unwrap().decode_as().unwrap();
        parameters.salt_len = Some(20);
        identifier.parameters = Some(Any::encode_from(&parameters).unwrap());
        assert_eq!(SignatureAlgorithm::from_identifier(&identifier), None);
    }
}
