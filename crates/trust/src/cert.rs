//! X.509 certificates: reading, issuing, chains.
//!
//! A [`Certificate`] is parsed once: its key is ready to verify, cloning shares it. What it means inside a federation
//! (which member it names) is data: [`MemberNameProfile`].

mod issue;
mod name;
mod oid;

use std::fmt;
use std::sync::Arc;

use civic::Timestamp;
use const_oid::ObjectIdentifier;
use der::flagset::FlagSet;
use der::{Decode, Encode};
use x509_cert::TbsCertificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};

pub use issue::{CertificateProfile, CertificateRequest, CertificateSpec};
pub use name::{DistinguishedName, MemberNameProfile, NameAttribute, NamePart};

use crate::asn1::{Signed, moment_of_time};
use crate::digest::{sha1, sha256, sha512};
use crate::keys::{KeyError, PublicKey, SignatureAlgorithm};
use crate::pem;

const PEM_CERTIFICATE: &str = "CERTIFICATE";
/// Far above any certificate of a node.
const CERTIFICATE_LEN_MAX: usize = 64 * 1024;
/// Leaf, three intermediates, root.
const CHAIN_LEN_MAX: usize = 5;

/// Why a certificate, a request or a chain is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// Longer than the limit.
    #[error("{len} bytes are more than the {max} that a certificate or request may have")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// Not DER of RFC 5280 or RFC 2986.
    #[error("this is no certificate or request in DER: {reason}")]
    Der {
        /// What the decoder says.
        reason: String,
    },
    /// No PEM block of the right label.
    #[error("no complete PEM block `CERTIFICATE` or `CERTIFICATE REQUEST` was found")]
    Pem,
    /// The key inside, or a signature, is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature algorithm is unknown or too weak.
    #[error("the signature algorithm is unknown or too weak; use ECDSA, Ed25519 or RSA with SHA-256 or better")]
    Algorithm,
    /// An extension that must be understood is not.
    #[error("the certificate of `{subject}` has a critical extension that is not understood")]
    CriticalExtension {
        /// Whom it names.
        subject: String,
    },
    /// Outside its validity.
    #[error("the certificate of `{subject}` is valid from {not_before} to {not_after}, not at {at}")]
    NotValidAt {
        /// Whom it names.
        subject: String,
        /// From when.
        not_before: Timestamp,
        /// Until when.
        not_after: Timestamp,
        /// The moment asked for.
        at: Timestamp,
    },
    /// An issuer that is no authority.
    #[error(
        "`{subject}` issued a certificate but is no certification authority for that (basic constraints, key usage)"
    )]
    NotAuthority {
        /// Whom it names.
        subject: String,
    },
    /// No way from the certificate to an anchor.
    #[error("no approved authority issued the certificate of `{subject}` (its issuer is `{issuer}`)")]
    NoAnchor {
        /// Whom the last certificate names.
        subject: String,
        /// Its issuer.
        issuer: String,
    },
    /// The signature of the issuer does not fit.
    #[error("the certificate of `{subject}` was not signed by the key of `{issuer}`, or was altered")]
    NotSignedBy {
        /// Whom it names.
        subject: String,
        /// Its issuer.
        issuer: String,
    },
    /// The subject names no member in this profile.
    #[error("the subject `{subject}` holds no {what} in this certificate profile")]
    NoMember {
        /// The subject.
        subject: String,
        /// What is missing.
        what: &'static str,
    },
    /// A value does not fit a name.
    #[error("`{value}` does not fit a name: 1 to 255 characters, two letters for a country")]
    NameValue {
        /// The value, cut.
        value: String,
    },
    /// A serial number that RFC 5280 §4.1.2.2 refuses.
    #[error("a serial number is positive and has 1 to 20 bytes")]
    Serial,
    /// The end of validity is not after its start.
    #[error("a certificate must end after it starts")]
    EmptyValidity,
    /// The key given is not that of the authority, or of the self-signed subject.
    #[error("the signing key is not the key of `{subject}`")]
    WrongKey {
        /// Whom the key should belong to.
        subject: String,
    },
}

impl From<der::Error> for CertError {
    fn from(error: der::Error) -> Self {
        Self::Der { reason: error.to_string() }
    }
}

/// What a key may be used for (RFC 5280 §4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Signatures other than on certificates.
    DigitalSignature,
    /// Signatures that the signer cannot deny.
    NonRepudiation,
    /// Transport of keys.
    KeyEncipherment,
    /// Signatures on certificates.
    CertificateSigning,
}

/// A parsed certificate. Cloning shares it; two are equal where their bytes are.
#[derive(Clone)]
pub struct Certificate(Arc<Parsed>);

struct Parsed {
    der: Vec<u8>,
    signed: Signed,
    serial: Vec<u8>,
    subject: DistinguishedName,
    issuer: DistinguishedName,
    not_before: Timestamp,
    not_after: Timestamp,
    public_key: PublicKey,
    extensions: Extensions,
    sha256: [u8; 32],
}

#[derive(Default)]
struct Extensions {
    constraints: Option<BasicConstraints>,
    usages: Option<FlagSet<KeyUsages>>,
    extended: Vec<ObjectIdentifier>,
    extended_critical: bool,
    subject_key_id: Option<Vec<u8>>,
    ocsp_url: Option<String>,
    ocsp_no_check: bool,
    unknown_critical: bool,
}

impl Certificate {
    /// Reads a certificate. Its signature is checked by [`verify_chain`], not here.
    pub fn from_der(der: &[u8]) -> Result<Self, CertError> {
        if der.len() > CERTIFICATE_LEN_MAX {
            return Err(CertError::TooLong { len: der.len(), max: CERTIFICATE_LEN_MAX });
        }
        let signed = Signed::from_der(der)?;
        let tbs = TbsCertificate::from_der(&signed.content)?;
        if tbs.signature() != &signed.algorithm {
            return Err(CertError::Der { reason: "the two signature algorithms differ".to_owned() });
        }
        Ok(Self(Arc::new(Parsed {
            der: der.to_vec(),
            serial: significant(tbs.serial_number().as_bytes()).to_vec(),
            subject: DistinguishedName::from_inner(tbs.subject().clone())?,
            issuer: DistinguishedName::from_inner(tbs.issuer().clone())?,
            not_before: moment_of_time(tbs.validity().not_before),
            not_after: moment_of_time(tbs.validity().not_after),
            public_key: PublicKey::from_spki_der(&tbs.subject_public_key_info().to_der()?)?,
            extensions: Extensions::read(&tbs)?,
            sha256: sha256(der),
            signed,
        })))
    }

    /// Reads the first certificate of a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, CertError> {
        Self::all_from_pem(text)?.into_iter().next().ok_or(CertError::Pem)
    }

    /// Reads every certificate of a PEM text, in order.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, CertError> {
        let blocks = pem::decode_all(PEM_CERTIFICATE, text).ok_or(CertError::Pem)?;
        blocks.iter().map(|der| Self::from_der(der)).collect()
    }

    /// The certificate as PEM.
    pub fn to_pem(&self) -> String {
        pem::encode(PEM_CERTIFICATE, self.der())
    }

    /// The certificate as DER, byte for byte as it came.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// Whom it names.
    pub fn subject(&self) -> &DistinguishedName {
        &self.0.subject
    }

    /// Who issued it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.0.issuer
    }

    /// The serial number, big endian without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.0.serial
    }

    /// The serial number in decimal digits, as `X509SerialNumber` of XML signatures has it.
    pub fn serial_decimal(&self) -> String {
        decimal(&self.0.serial)
    }

    /// From when it is valid.
    pub fn not_before(&self) -> Timestamp {
        self.0.not_before
    }

    /// Until when it is valid.
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// Whether the moment lies in its validity, both ends included.
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        self.0.not_before <= at && at.seconds() <= self.0.not_after.seconds()
    }

    /// The key, ready to verify.
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// The `SubjectPublicKeyInfo` as DER.
    pub fn spki_der(&self) -> &[u8] {
        self.0.public_key.spki_der()
    }

    /// Whether it is that of an authority (basic constraints).
    pub fn is_ca(&self) -> bool {
        self.0.extensions.constraints.as_ref().is_some_and(|constraints| constraints.ca)
    }

    /// Whether the key may be used so; a certificate without key usage allows everything.
    pub fn allows(&self, usage: KeyUse) -> bool {
        let flag = match usage {
            KeyUse::DigitalSignature => KeyUsages::DigitalSignature,
            KeyUse::NonRepudiation => KeyUsages::NonRepudiation,
            KeyUse::KeyEncipherment => KeyUsages::KeyEncipherment,
            KeyUse::CertificateSigning => KeyUsages::KeyCertSign,
        };
        self.0.extensions.usages.is_none_or(|usages| usages.contains(flag))
    }

    /// Whether X-Road takes it as a signing certificate: a key usage with nonRepudiation.
    pub fn is_sign_certificate(&self) -> bool {
        self.0.extensions.usages.is_some_and(|usages| usages.contains(KeyUsages::NonRepudiation))
    }

    /// Whether X-Road takes it as a node's authentication certificate: clientAuth, or a key usage of signature or
    /// encipherment without nonRepudiation.
    pub fn is_auth_certificate(&self) -> bool {
        let usual = KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment;
        self.0.extensions.extended.contains(&oid::EKU_CLIENT_AUTH)
            || self
                .0
                .extensions
                .usages
                .is_some_and(|usages| !usages.is_disjoint(usual) && !usages.contains(KeyUsages::NonRepudiation))
    }

    /// Whether it may answer OCSP for its issuer (RFC 6960 §4.2.2.2).
    pub fn is_ocsp_responder(&self) -> bool {
        self.0.extensions.extended.contains(&oid::EKU_OCSP_SIGNING)
    }

    /// Whether its own revocation need not be asked (RFC 6960 §4.2.2.2.1).
    pub fn has_ocsp_no_check(&self) -> bool {
        self.0.extensions.ocsp_no_check
    }

    /// Whether it stamps time and does nothing else (RFC 3161 §2.3: the usage is critical and alone).
    pub fn is_time_stamping(&self) -> bool {
        self.0.extensions.extended_critical && self.0.extensions.extended == [oid::EKU_TIME_STAMPING]
    }

    /// The extended key usages.
    pub fn extended_key_usages(&self) -> &[ObjectIdentifier] {
        &self.0.extensions.extended
    }

    /// The subject key identifier, where there is one.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.0.extensions.subject_key_id.as_deref()
    }

    /// Where its revocation is asked, as it says itself.
    pub fn ocsp_url(&self) -> Option<&str> {
        self.0.extensions.ocsp_url.as_deref()
    }

    /// By what algorithm its issuer signed it; `None` where that is unknown here, or too weak.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        SignatureAlgorithm::from_identifier(&self.0.signed.algorithm)
    }

    /// The signature of its issuer.
    pub fn signature(&self) -> &[u8] {
        &self.0.signed.signature
    }

    /// The names of hosts, addresses of the web and of mail that it names beside the subject, each with its kind: `DNS:node.example`. They
    /// are read when they are asked for and decide nothing here; unreadable ones count as none.
    pub fn alternative_names(&self) -> Vec<String> {
        let Ok(tbs) = TbsCertificate::from_der(&self.0.signed.content) else { return Vec::new() };
        let extension = tbs.extensions().and_then(|list| list.iter().find(|one| one.extn_id == oid::SUBJECT_ALT_NAME));
        let names = extension.and_then(|one| SubjectAltName::from_der(one.extn_value.as_bytes()).ok());
        let shown = names.iter().flat_map(|names| &names.0).filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(format!("DNS:{}", name.as_str())),
            GeneralName::Rfc822Name(name) => Some(format!("email:{}", name.as_str())),
            GeneralName::UniformResourceIdentifier(name) => Some(format!("URI:{}", name.as_str())),
            _ => None,
        });
        shown.collect()
    }

    /// SHA-1 of the certificate: the `cert` query of port 5577 only.
    pub fn sha1(&self) -> [u8; 20] {
        sha1(self.der())
    }

    /// SHA-256 of the certificate; computed once.
    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    /// SHA-512 of the certificate.
    pub fn sha512(&self) -> [u8; 64] {
        sha512(self.der())
    }

    /// Checks that the holder of `issuer`'s key signed this certificate; nothing else.
    pub fn verify_signed_by(&self, issuer: &Self) -> Result<(), CertError> {
        self.0.signed.verify(issuer.public_key()).ok_or(CertError::Algorithm)?.map_err(|_| CertError::NotSignedBy {
            subject: self.subject().to_string(),
            issuer: issuer.subject().to_string(),
        })
    }

    fn check(&self, at: Timestamp) -> Result<(), CertError> {
        if self.0.extensions.unknown_critical {
            return Err(CertError::CriticalExtension { subject: self.subject().to_string() });
        }
        if !self.is_valid_at(at) {
            return Err(CertError::NotValidAt {
                subject: self.subject().to_string(),
                not_before: self.not_before(),
                not_after: self.not_after(),
                at,
            });
        }
        Ok(())
    }

    /// Whether it may issue a certificate under which `below` more authorities stand.
    fn may_issue(&self, below: usize) -> bool {
        let constraints = self.0.extensions.constraints.as_ref();
        let deep_enough = constraints
            .and_then(|constraints| constraints.path_len_constraint)
            .is_none_or(|limit| below <= usize::from(limit));
        self.is_ca() && deep_enough && self.allows(KeyUse::CertificateSigning)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Certificate({}, serial {})", self.subject(), self.serial_decimal())
    }
}

/// Checks that an unbroken chain of valid, properly signed certificates leads from the leaf to one of the anchors at
/// that moment (RFC 5280 §6, without policies and name constraints: a critical one is refused). The anchors are
/// trusted as they are, except that they must be valid too. Revocation is asked separately: [`crate::ocsp`].
pub fn verify_chain(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &[Certificate],
    at: Timestamp,
) -> Result<(), CertError> {
    let mut current = leaf;
    for below in 0..CHAIN_LEN_MAX {
        current.check(at)?;
        if anchors.contains(current) {
            return Ok(());
        }
        let issued_current = |candidate: &&Certificate| candidate.subject().der() == current.issuer().der();
        let mut refusal = None;
        for anchor in anchors.iter().filter(issued_current) {
            match current.verify_signed_by(anchor).and_then(|()| anchor.check(at)) {
                Ok(()) => return Ok(()),
                Err(error) => refusal = Some(error),
            }
        }
        let mut next = None;
        for candidate in intermediates.iter().filter(issued_current) {
            match current.verify_signed_by(candidate) {
                Ok(()) if candidate.may_issue(below) => next = Some(candidate),
                Ok(()) => refusal = Some(CertError::NotAuthority { subject: candidate.subject().to_string() }),
                Err(error) => refusal = Some(error),
            }
        }
        match next {
            Some(candidate) => current = candidate,
            None => return Err(refusal.unwrap_or_else(|| no_anchor(current))),
        }
    }
    Err(no_anchor(current))
}

impl Extensions {
    fn read(tbs: &TbsCertificate) -> Result<Self, CertError> {
        let mut read = Self::default();
        let list = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
        for (index, extension) in list.iter().enumerate() {
            if list.iter().take(index).any(|earlier| earlier.extn_id == extension.extn_id) {
                return Err(CertError::Der { reason: format!("the extension {} stands twice", extension.extn_id) });
            }
            let value = extension.extn_value.as_bytes();
            match extension.extn_id {
                oid::BASIC_CONSTRAINTS => read.constraints = Some(BasicConstraints::from_der(value)?),
                oid::KEY_USAGE => read.usages = Some(KeyUsage::from_der(value)?.0),
                oid::EXTENDED_KEY_USAGE => {
                    read.extended = ExtendedKeyUsage::from_der(value)?.0;
                    read.extended_critical = extension.critical;
                }
                oid::SUBJECT_KEY_ID => {
                    read.subject_key_id = Some(SubjectKeyIdentifier::from_der(value)?.0.as_bytes().to_vec());
                }
                oid::OCSP_NO_CHECK => read.ocsp_no_check = true,
                oid::AUTHORITY_INFO_ACCESS => read.ocsp_url = ocsp_url(value),
                oid::AUTHORITY_KEY_ID | oid::CERTIFICATE_POLICIES | oid::SUBJECT_ALT_NAME => {}
                _ => read.unknown_critical |= extension.critical,
            }
        }
        Ok(read)
    }
}

/// The first OCSP address; an unreadable list counts as none, since it is a hint.
fn ocsp_url(value: &[u8]) -> Option<String> {
    let list = AuthorityInfoAccessSyntax::from_der(value).ok()?.0;
    list.into_iter().find(|access| access.access_method == oid::AD_OCSP).and_then(|access| {
        match access.access_location {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
            _ => None,
        }
    })
}

fn no_anchor(certificate: &Certificate) -> CertError {
    CertError::NoAnchor { subject: certificate.subject().to_string(), issuer: certificate.issuer().to_string() }
}

/// Without leading zeros.
pub(crate) fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn decimal(bytes: &[u8]) -> String {
    let mut digits = vec![0_u8];
    for byte in bytes {
        let mut carry = u16::from(*byte);
        for digit in &mut digits {
            let value = u16::from(*digit) * 256 + carry;
            *digit = (value % 10) as u8;
            carry = value / 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

#[cfg(test)]
mod tests;
