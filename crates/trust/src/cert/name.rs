//! Distinguished names, and how a federation writes its members into them.

use std::fmt;

use civic::MemberId;
use const_oid::ObjectIdentifier;
use der::asn1::{Any, Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use der::{Decode, Encode, Tag, Tagged};
use serde::{Deserialize, Serialize};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

use super::CertError;

/// RFC 5280 appendix A gives most attributes 64 characters; X-Road's member names are longer.
const VALUE_CHARS_MAX: usize = 255;

/// The attributes of a name that federations use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameAttribute {
    /// `C`, two letters.
    Country,
    /// `O`.
    Organization,
    /// `OU`.
    OrganizationalUnit,
    /// `CN`.
    CommonName,
    /// `serialNumber` (of the subject, not of the certificate).
    SerialNumber,
    /// `businessCategory`.
    BusinessCategory,
}

impl NameAttribute {
    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Country => ObjectIdentifier::new_unwrap("2.5.4.6"),
            Self::Organization => ObjectIdentifier::new_unwrap("2.5.4.10"),
            Self::OrganizationalUnit => ObjectIdentifier::new_unwrap("2.5.4.11"),
            Self::CommonName => ObjectIdentifier::new_unwrap("2.5.4.3"),
            Self::SerialNumber => ObjectIdentifier::new_unwrap("2.5.4.5"),
            Self::BusinessCategory => ObjectIdentifier::new_unwrap("2.5.4.15"),
        }
    }
}

/// The name of a subject or an issuer (RFC 5280 §4.1.2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName {
    name: Name,
    der: Vec<u8>,
}

impl DistinguishedName {
    /// A name with these attributes, in this order, one to a level.
    pub fn new(attributes: &[(NameAttribute, &str)]) -> Result<Self, CertError> {
        let mut sequence = RdnSequence::default();
        for (attribute, value) in attributes {
            let mut level = RelativeDistinguishedName::default();
            level.insert(AttributeTypeAndValue { oid: attribute.oid(), value: encoded(*attribute, value)? })?;
            sequence.push(level);
        }
        let der = sequence.to_der()?;
        Ok(Self { name: Name::from_der(&der)?, der })
    }

    /// The first value of the attribute; `None` where it is absent or not text.
    pub fn get(&self, attribute: NameAttribute) -> Option<String> {
        let oid = attribute.oid();
        self.name.iter().find(|candidate| candidate.oid == oid).and_then(|found| text_of(&found.value))
    }

    /// The name as DER: two names are the same where these bytes are.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) const fn inner(&self) -> &Name {
        &self.name
    }

    pub(crate) fn from_inner(name: Name) -> Result<Self, CertError> {
        let der = name.to_der()?;
        Ok(Self { name, der })
    }
}

impl fmt::Display for DistinguishedName {
    /// RFC 4514, most specific attribute first: `CN=Test CA,O=Test`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(formatter)
    }
}

/// Where a part of a member's identifier stands in the subject of its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NamePart {
    /// The whole value of an attribute.
    Attribute(NameAttribute),
    /// One piece of an attribute that is split at slashes.
    Piece {
        /// The attribute.
        attribute: NameAttribute,
        /// Which piece, from 0.
        index: usize,
        /// How many pieces there must be.
        of: usize,
    },
    /// Not in the certificate: it is the instance whose configuration approves the issuer.
    OfConfiguration,
}

/// How a federation writes a member into the subject of its signing certificate. Data, not code: a new national profile
/// needs no new program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberNameProfile {
    /// The name under which a global configuration asks for it (`certificateProfileInfo`, a Java class name).
    pub class_name: String,
    /// Where the instance stands.
    pub instance: NamePart,
    /// Where the member class stands.
    pub class: NamePart,
    /// Where the member code stands.
    pub code: NamePart,
}

impl MemberNameProfile {
    /// Ours, that of Finland: `C`, `O` = member name, `CN` = member code, `serialNumber` = instance/server/class.
    pub fn fi_vrk() -> Self {
        let piece = |index| NamePart::Piece { attribute: NameAttribute::SerialNumber, index, of: 3 };
        Self {
            class_name: "ee.ria.xroad.common.certificateprofile.impl.FiVRKCertificateProfileInfoProvider".to_owned(),
            instance: piece(0),
            class: piece(2),
            code: NamePart::Attribute(NameAttribute::CommonName),
        }
    }

    /// X-Road's basic profile: `businessCategory` = member class, `serialNumber` = member code.
    pub fn basic() -> Self {
        Self {
            class_name: "ee.ria.xroad.common.certificateprofile.impl.BasicCertificateProfileInfoProvider".to_owned(),
            instance: NamePart::OfConfiguration,
            class: NamePart::Attribute(NameAttribute::BusinessCategory),
            code: NamePart::Attribute(NameAttribute::SerialNumber),
        }
    }

    /// X-Road's EJBCA profile: `C` = instance, `O` = member class, `CN` = member code.
    pub fn ejbca() -> Self {
        Self {
            class_name: "ee.ria.xroad.common.certificateprofile.impl.EjbcaCertificateProfileInfoProvider".to_owned(),
            instance: NamePart::Attribute(NameAttribute::Country),
            class: NamePart::Attribute(NameAttribute::Organization),
            code: NamePart::Attribute(NameAttribute::CommonName),
        }
    }

    /// The profile that a global configuration names; `None` where we know none of that name.
    pub fn of_class_name(class_name: &str) -> Option<Self> {
        [Self::fi_vrk(), Self::basic(), Self::ejbca()]
            .into_iter()
            .find(|profile| profile.class_name == class_name.trim())
    }

    /// The member that the subject names. `instance` is that of the configuration which approves the issuer.
    pub fn member(&self, subject: &DistinguishedName, instance: &str) -> Result<MemberId, CertError> {
        let part = |part: &NamePart, what| {
            part.read(subject, instance).ok_or_else(|| CertError::NoMember { subject: subject.to_string(), what })
        };
        let (instance, class, code) =
            (part(&self.instance, "instance")?, part(&self.class, "member class")?, part(&self.code, "member code")?);
        MemberId::new(&instance, &class, &code)
            .map_err(|_| CertError::NoMember { subject: subject.to_string(), what: "valid identifier" })
    }

    /// The country of an instance where nobody said one: its first two letters, as in `SN`, `SN-TEST`. `XX` (ISO 3166: nobody's) where it
    /// has none.
    pub fn country_of(instance: &str) -> String {
        let letters = instance.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase());
        letters.chain("XX".chars()).take(2).collect()
    }

    /// The subject of a certificate in our own profile ([`Self::fi_vrk`]) for a member's node. `country` is two letters.
    pub fn subject(
        country: &str,
        member: &MemberId,
        member_name: &str,
        server_code: &str,
    ) -> Result<DistinguishedName, CertError> {
        let serial_number = format!("{}/{server_code}/{}", member.instance(), member.class());
        DistinguishedName::new(&[
            (NameAttribute::Country, country),
            (NameAttribute::Organization, member_name),
            (NameAttribute::CommonName, member.code()),
            (NameAttribute::SerialNumber, &serial_number),
        ])
    }
}

impl NamePart {
    fn read(&self, subject: &DistinguishedName, instance: &str) -> Option<String> {
        match self {
            Self::Attribute(attribute) => subject.get(*attribute),
            Self::Piece { attribute, index, of } => {
                let value = subject.get(*attribute)?;
                let pieces: Vec<&str> = value.split('/').collect();
                (pieces.len() == *of).then(|| pieces.get(*index).map(|piece| (*piece).to_owned()))?
            }
            Self::OfConfiguration => Some(instance.to_owned()),
        }
    }
}

fn encoded(attribute: NameAttribute, value: &str) -> Result<Any, CertError> {
    let too_long = value.is_empty() || value.chars().count() > VALUE_CHARS_MAX;
    if too_long || (attribute == NameAttribute::Country && value.len() != 2) {
        return Err(CertError::NameValue { value: value.chars().take(64).collect() });
    }
    let printable = matches!(attribute, NameAttribute::Country | NameAttribute::SerialNumber);
    Ok(match PrintableStringRef::new(value) {
        Ok(text) if printable => Any::encode_from(&text)?,
        _ => Any::encode_from(&Utf8StringRef::new(value)?)?,
    })
}

fn text_of(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> MemberId {
        "BB/GOV/1002".parse().unwrap()
    }

    #[test]
    fn our_subject_leads_back_to_the_member() {
        let subject = MemberNameProfile::subject("BB", &member(), "Direction générale des impôts", "node-1").unwrap();
        assert_eq!(subject.to_string(), "SERIALNUMBER=BB/node-1/GOV,CN=1002,O=Direction générale des impôts,C=BB");
        assert_eq!(MemberNameProfile::fi_vrk().member(&subject, "other").unwrap(), member());
    }

    #[test]
    fn the_other_profiles_read_their_own_subjects() {
        let basic = DistinguishedName::new(&[
            (NameAttribute::CommonName, "Impôts"),
            (NameAttribute::BusinessCategory, "GOV"),
            (NameAttribute::SerialNumber, "1002"),
        ]);
        assert_eq!(MemberNameProfile::basic().member(&basic.unwrap(), "BB").unwrap(), member());
        let ejbca = DistinguishedName::new(&[
            (NameAttribute::Country, "BB"),
            (NameAttribute::Organization, "GOV"),
            (NameAttribute::CommonName, "1002"),
        ]);
        assert_eq!(MemberNameProfile::ejbca().member(&ejbca.unwrap(), "x").unwrap(), member());
    }

    #[test]
    fn a_subject_without_member_says_what_is_missing() {
        let subject = DistinguishedName::new(&[(NameAttribute::CommonName, "1002")]).unwrap();
        let error = MemberNameProfile::fi_vrk().member(&subject, "BB").unwrap_err();
        assert!(matches!(error, CertError::NoMember { what: "instance", .. }), "{error}");
        let two_pieces = [(NameAttribute::CommonName, "1002"), (NameAttribute::SerialNumber, "BB/GOV")];
        let subject = DistinguishedName::new(&two_pieces).unwrap();
        assert!(MemberNameProfile::fi_vrk().member(&subject, "BB").is_err());
    }

    #[test]
    fn an_overlong_or_empty_value_is_refused() {
        assert!(DistinguishedName::new(&[(NameAttribute::CommonName, "")]).is_err());
        assert!(DistinguishedName::new(&[(NameAttribute::CommonName, &"x".repeat(256))]).is_err());
        assert!(DistinguishedName::new(&[(NameAttribute::Country, "BBB")]).is_err());
    }

    #[test]
    fn profiles_are_found_by_their_java_names() {
        for profile in [MemberNameProfile::fi_vrk(), MemberNameProfile::basic(), MemberNameProfile::ejbca()] {
            assert_eq!(MemberNameProfile::of_class_name(&profile.class_name), Some(profile));
        }
        assert_eq!(MemberNameProfile::of_class_name("java.lang.Object"), None);
    }
}
