//! Issuing certificates, and the requests they answer.

use civic::Timestamp;
use const_oid::ObjectIdentifier;
use der::asn1::{Any, Ia5String, Null, OctetString, SetOfVec};
use der::flagset::FlagSet;
use der::{Decode, Encode, Sequence};
use x509_cert::attr::Attribute;
use x509_cert::certificate::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage,
    KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::request::{CertReqInfo, Version as RequestVersion};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Validity;

use super::{CertError, Certificate, DistinguishedName, oid};
use crate::asn1::{SealError, Signed, x509_time};
use crate::digest::sha1;
use crate::keys::{PublicKey, SigningKey};
use crate::pem;

const PEM_REQUEST: &str = "CERTIFICATE REQUEST";
const REQUEST_LEN_MAX: usize = 32 * 1024;

/// What a certificate is for; decides its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateProfile {
    /// A certification authority that issues end certificates only (path length 0).
    Authority,
    /// Answers OCSP for its issuer (RFC 6960 §4.2.2.2): extended usage OCSPSigning, `id-pkix-ocsp-nocheck`.
    OcspResponder,
    /// Stamps time (RFC 3161 §2.3): extended usage timeStamping, critical and alone.
    TimeStamping,
    /// Signs messages of a member: nonRepudiation.
    Sign,
    /// Authenticates a node to other nodes: digitalSignature, keyEncipherment, clientAuth and serverAuth.
    Auth,
    /// Signs the directory of the global configuration: digitalSignature.
    ConfigurationSigning,
}

/// What goes into a certificate, beside what the profile and the issuer decide.
#[derive(Clone, Debug)]
pub struct CertificateSpec<'a> {
    /// What it is for.
    pub profile: CertificateProfile,
    /// The serial number, big endian and positive, 1 to 20 bytes; unique under the issuer (RFC 5280 §4.1.2.2).
    pub serial: &'a [u8],
    /// Whom it names.
    pub subject: DistinguishedName,
    /// The key it binds to that name.
    pub public_key: &'a PublicKey,
    /// From when it is valid, to the second.
    pub not_before: Timestamp,
    /// Until when it is valid, to the second.
    pub not_after: Timestamp,
    /// Where its revocation is asked, for the authority information access.
    pub ocsp_url: Option<&'a str>,
}

#[derive(Sequence)]
struct Tbs {
    #[asn1(context_specific = "0")]
    version: Version,
    serial: SerialNumber,
    algorithm: spki::AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    public_key: Any,
    #[asn1(context_specific = "3")]
    extensions: Vec<Extension>,
}

impl Certificate {
    /// Issues a certificate under an authority.
    pub fn issue(authority: &Self, key: &SigningKey, spec: &CertificateSpec<'_>) -> Result<Self, CertError> {
        if authority.public_key() != key.public() {
            return Err(CertError::WrongKey { subject: authority.subject().to_string() });
        }
        let issuer_key_id =
            authority.subject_key_id().map_or_else(|| sha1(authority.public_key().raw()).to_vec(), <[u8]>::to_vec);
        build(authority.subject(), &issuer_key_id, key, spec)
    }

    /// Issues a certificate to the key that signs it: a root authority, or a configuration-signing certificate. The key
    /// of the specification must be the signer's.
    pub fn self_signed(key: &SigningKey, spec: &CertificateSpec<'_>) -> Result<Self, CertError> {
        if spec.public_key != key.public() {
            return Err(CertError::WrongKey { subject: spec.subject.to_string() });
        }
        build(&spec.subject, &sha1(key.public().raw()), key, spec)
    }
}

/// A request for a certificate (PKCS#10, RFC 2986) whose own signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Vec<u8>,
    subject: DistinguishedName,
    public_key: PublicKey,
}

impl CertificateRequest {
    /// Asks for a certificate on this key under this name.
    pub fn create(key: &SigningKey, subject: &DistinguishedName) -> Result<Self, CertError> {
        let info = CertReqInfo {
            version: RequestVersion::V1,
            subject: subject.inner().clone(),
            public_key: spki::SubjectPublicKeyInfoOwned::from_der(key.public().spki_der())?,
            attributes: SetOfVec::<Attribute>::new(),
        };
        let der = Signed::seal(key, key.default_x509_algorithm(), &info.to_der()?)?;
        Ok(Self { der, subject: subject.clone(), public_key: key.public().clone() })
    }

    /// Reads a request and checks that its sender holds the key (RFC 2986 §4.2).
    pub fn from_der(der: &[u8]) -> Result<Self, CertError> {
        if der.len() > REQUEST_LEN_MAX {
            return Err(CertError::TooLong { len: der.len(), max: REQUEST_LEN_MAX });
        }
        let signed = Signed::from_der(der)?;
        let info = CertReqInfo::from_der(&signed.content)?;
        let public_key = PublicKey::from_spki_der(&info.public_key.to_der()?)?;
        signed.verify(&public_key).ok_or(CertError::Algorithm)??;
        Ok(Self { der: der.to_vec(), subject: DistinguishedName::from_inner(info.subject)?, public_key })
    }

    /// Reads the first request of a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, CertError> {
        let blocks = pem::decode_all(PEM_REQUEST, text).ok_or(CertError::Pem)?;
        Self::from_der(blocks.first().ok_or(CertError::Pem)?)
    }

    /// The request as PEM.
    pub fn to_pem(&self) -> String {
        pem::encode(PEM_REQUEST, &self.der)
    }

    /// The request as DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The name asked for. The authority decides whether it is deserved.
    pub const fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The key, whose possession was proven.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

fn build(
    issuer: &DistinguishedName,
    issuer_key_id: &[u8],
    key: &SigningKey,
    spec: &CertificateSpec<'_>,
) -> Result<Certificate, CertError> {
    if spec.not_after <= spec.not_before {
        return Err(CertError::EmptyValidity);
    }
    let positive = spec.serial.iter().any(|byte| *byte != 0);
    let serial = SerialNumber::new(spec.serial).ok().filter(|_| positive).ok_or(CertError::Serial)?;
    let algorithm = key.default_x509_algorithm();
    let tbs = Tbs {
        version: Version::V3,
        serial,
        algorithm: algorithm.identifier(),
        issuer: issuer.inner().clone(),
        validity: Validity::new(x509_time(spec.not_before)?, x509_time(spec.not_after)?),
        subject: spec.subject.inner().clone(),
        public_key: Any::from_der(spec.public_key.spki_der())?,
        extensions: extensions(spec, issuer_key_id)?,
    };
    let der = Signed::seal(key, algorithm, &tbs.to_der()?)?;
    Certificate::from_der(&der)
}

fn extensions(spec: &CertificateSpec<'_>, issuer_key_id: &[u8]) -> Result<Vec<Extension>, CertError> {
    let (usages, extended, extended_critical): (FlagSet<KeyUsages>, Vec<ObjectIdentifier>, bool) = match spec.profile {
        CertificateProfile::Authority => (KeyUsages::KeyCertSign | KeyUsages::CRLSign, vec![], false),
        CertificateProfile::OcspResponder => (KeyUsages::DigitalSignature.into(), vec![oid::EKU_OCSP_SIGNING], false),
        CertificateProfile::TimeStamping => (KeyUsages::DigitalSignature.into(), vec![oid::EKU_TIME_STAMPING], true),
        CertificateProfile::Sign => (KeyUsages::NonRepudiation.into(), vec![], false),
        CertificateProfile::Auth => (
            KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment,
            vec![oid::EKU_SERVER_AUTH, oid::EKU_CLIENT_AUTH],
            false,
        ),
        CertificateProfile::ConfigurationSigning => (KeyUsages::DigitalSignature.into(), vec![], false),
    };
    let ca = spec.profile == CertificateProfile::Authority;
    let constraints = BasicConstraints { ca, path_len_constraint: ca.then_some(0) };
    let subject_key_id = SubjectKeyIdentifier(OctetString::new(sha1(spec.public_key.raw()))?);
    let authority_key_id = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(issuer_key_id)?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    let mut list = vec![
        extension(oid::BASIC_CONSTRAINTS, true, &constraints)?,
        extension(oid::KEY_USAGE, true, &KeyUsage(usages))?,
        extension(oid::SUBJECT_KEY_ID, false, &subject_key_id)?,
        extension(oid::AUTHORITY_KEY_ID, false, &authority_key_id)?,
    ];
    if !extended.is_empty() {
        list.push(extension(oid::EXTENDED_KEY_USAGE, extended_critical, &ExtendedKeyUsage(extended))?);
    }
    if spec.profile == CertificateProfile::OcspResponder {
        list.push(extension(oid::OCSP_NO_CHECK, false, &Null)?);
    }
    if let Some(url) = spec.ocsp_url {
        let location = GeneralName::UniformResourceIdentifier(Ia5String::new(url)?);
        let access = AccessDescription { access_method: oid::AD_OCSP, access_location: location };
        list.push(extension(oid::AUTHORITY_INFO_ACCESS, false, &AuthorityInfoAccessSyntax(vec![access]))?);
    }
    Ok(list)
}

fn extension(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> Result<Extension, CertError> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value.to_der()?)? })
}

impl From<SealError> for CertError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Key(error) => Self::Key(error),
            SealError::Der(error) => error.into(),
        }
    }
}
