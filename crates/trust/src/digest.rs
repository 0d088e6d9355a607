//! Digests, message authentication codes and comparison in constant time.

use std::fmt;

use aws_lc_rs::{constant_time, digest as aws, hmac};
use const_oid::ObjectIdentifier;

/// SHA-1 (FIPS 180-4). Only for OCSP `CertID` and the certificate query of port 5577, where peers expect it; never
/// for a signature.
pub fn sha1(bytes: &[u8]) -> [u8; 20] {
    sized(&aws::digest(&aws::SHA1_FOR_LEGACY_USE_ONLY, bytes))
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    sized(&aws::digest(&aws::SHA256, bytes))
}

/// SHA-384 (FIPS 180-4).
pub fn sha384(bytes: &[u8]) -> [u8; 48] {
    sized(&aws::digest(&aws::SHA384, bytes))
}

/// SHA-512 (FIPS 180-4), the digest of X-Road.
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    sized(&aws::digest(&aws::SHA512, bytes))
}

/// HMAC-SHA-256 (RFC 2104) of the message under the key. The key may have any length.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut bytes = [0_u8; 32];
    for (byte, computed) in bytes.iter_mut().zip(tag.as_ref()) {
        *byte = *computed;
    }
    bytes
}

/// Whether two byte strings are equal; the time taken depends on their lengths only.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// The digest functions that X-Road peers name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// SHA-1: OCSP `CertID` only.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// Every algorithm, weakest first.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The digest of the bytes.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        aws::digest(self.primitive(), bytes).as_ref().to_vec()
    }

    /// The length of the digest in bytes.
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The identifier in XML (XML Encryption §5.8, RFC 6931 §2.1).
    pub const fn xml_uri(self) -> &'static str {
        match self {
            Self::Sha1 => "http://www.w3.org/2000/09/xmldsig#sha1",
            Self::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
            Self::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
            Self::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
        }
    }

    /// The algorithm that a header of X-Road names (`x-hash-algorithm: SHA-512`); `None` where we know none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The name as X-Road writes it in headers: `SHA-512`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The algorithm with this XML identifier; `None` where we know none.
    pub fn from_xml_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.xml_uri() == uri)
    }

    /// The object identifier (RFC 5754 §2).
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => ObjectIdentifier::new_unwrap("1.3.14.3.2.26"),
            Self::Sha256 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
            Self::Sha384 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
            Self::Sha512 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        }
    }

    /// The algorithm with this object identifier; `None` where we know none.
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.oid() == *oid)
    }

    pub(crate) fn primitive(self) -> &'static aws::Algorithm {
        match self {
            Self::Sha1 => &aws::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &aws::SHA256,
            Self::Sha384 => &aws::SHA384,
            Self::Sha512 => &aws::SHA512,
        }
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A digest and the function that made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: DigestAlgorithm,
    /// The digest, then zeros.
    bytes: [u8; 64],
}

impl Digest {
    /// The digest of the bytes.
    pub fn of(algorithm: DigestAlgorithm, bytes: &[u8]) -> Self {
        Self { algorithm, bytes: sized(&aws::digest(algorithm.primitive(), bytes)) }
    }

    /// The SHA-256 of the bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(DigestAlgorithm::Sha256, bytes)
    }

    /// The SHA-512 of the bytes.
    pub fn sha512(bytes: &[u8]) -> Self {
        Self::of(DigestAlgorithm::Sha512, bytes)
    }

    /// A SHA-512 that was made elsewhere.
    pub const fn made_sha512(bytes: [u8; 64]) -> Self {
        Self { algorithm: DigestAlgorithm::Sha512, bytes }
    }

    /// A digest that was made elsewhere; `None` where it has not the length of its algorithm.
    pub fn made(algorithm: DigestAlgorithm, digest: &[u8]) -> Option<Self> {
        let mut bytes = [0_u8; 64];
        (digest.len() == algorithm.output_len()).then(|| {
            bytes.iter_mut().zip(digest).for_each(|(byte, made)| *byte = *made);
            Self { algorithm, bytes }
        })
    }

    /// A SHA-256 or SHA-512 that was kept without its name; `None` where the length is that of neither.
    pub fn kept(digest: &[u8]) -> Option<Self> {
        [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512]
            .into_iter()
            .find_map(|algorithm| Self::made(algorithm, digest))
    }

    /// Whether it is the digest of these bytes.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        constant_time_eq(self.bytes(), &self.algorithm.digest(bytes))
    }

    /// The function that made it.
    pub const fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// Its bytes, as many as its algorithm makes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.output_len()).unwrap_or_default()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.algorithm)?;
        self.bytes().iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A [`Digest`] of a stream.
#[derive(Clone)]
pub struct Digesting {
    algorithm: DigestAlgorithm,
    context: aws::Context,
}

impl Digesting {
    /// A digest of nothing yet.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        Self { algorithm, context: aws::Context::new(algorithm.primitive()) }
    }

    /// Adds the bytes to what is digested.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        Digest { algorithm: self.algorithm, bytes: sized(&self.context.finish()) }
    }
}

impl fmt::Debug for Digesting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digesting({})", self.algorithm)
    }
}

macro_rules! streaming {
    ($(#[$doc:meta])* $name:ident, $algorithm:expr, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(aws::Context);

        impl $name {
            /// A digest of nothing yet.
            pub fn new() -> Self {
                Self(aws::Context::new($algorithm))
            }

            /// Adds the bytes to what is digested.
            pub fn update(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }

            /// The digest of everything added.
            pub fn finish(self) -> [u8; $length] {
                sized(&self.0.finish())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(stringify!($name))
            }
        }
    };
}

streaming!(
    /// SHA-256 of a stream.
    Sha256, &aws::SHA256, 32
);
streaming!(
    /// SHA-512 of a stream.
    Sha512, &aws::SHA512, 64
);

/// The output of the primitive, which is never longer than `N` bytes: the callers pair each algorithm with its length; zeros after it.
fn sized<const N: usize>(digest: &aws::Digest) -> [u8; N] {
    let mut bytes = [0_u8; N];
    for (byte, computed) in bytes.iter_mut().zip(digest.as_ref()) {
        *byte = *computed;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_agree_with_the_published_vectors() {
        assert_eq!(hex::encode(sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex::encode(sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(hex::encode(sha384(b"abc")).starts_with("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"));
        assert!(hex::encode(sha512(b"abc")).starts_with("ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn a_stream_has_the_digest_of_its_whole() {
        let mut stream = Sha512::new();
        stream.update(b"a");
        stream.update(b"bc");
        assert_eq!(stream.finish(), sha512(b"abc"));
        let mut stream = Sha256::default();
        stream.update(b"abc");
        assert_eq!(stream.finish(), sha256(b"abc"));
    }

    #[test]
    fn the_code_of_rfc_4231_case_2_comes_out() {
        let tag = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex::encode(tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn names_lead_back_to_the_algorithm() {
        for algorithm in DigestAlgorithm::ALL {
            assert_eq!(DigestAlgorithm::from_xml_uri(algorithm.xml_uri()), Some(algorithm));
            assert_eq!(DigestAlgorithm::from_oid(&algorithm.oid()), Some(algorithm));
            assert_eq!(DigestAlgorithm::from_name(algorithm.name()), Some(algorithm));
            let mut stream = Digesting::new(algorithm);
            stream.update(b"x");
            let digest = Digest::of(algorithm, b"x");
            assert_eq!((stream.finish(), digest.bytes()), (digest, algorithm.digest(b"x").as_slice()));
            assert_eq!(Digest::made(algorithm, digest.bytes()), Some(digest));
            assert_eq!(Digest::made(algorithm, b"short"), None);
            let plain = matches!(algorithm, DigestAlgorithm::Sha256 | DigestAlgorithm::Sha512);
            assert_eq!(Digest::kept(digest.bytes()), plain.then_some(digest));
            assert_eq!(algorithm.digest(b"x").len(), algorithm.output_len());
        }
        assert_eq!(DigestAlgorithm::from_xml_uri("http://www.w3.org/2001/04/xmldsig-more#md5"), None);
    }

    #[test]
    fn comparison_sees_a_difference() {
        assert!(constant_time_eq(b"same", b"same"));
        assert!(!constant_time_eq(b"same", b"samE"));
        assert!(!constant_time_eq(b"same", b"sam"));
    }
}
