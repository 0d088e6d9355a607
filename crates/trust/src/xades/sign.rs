//! Making signatures.

use std::fmt::Write as _;

use civic::Timestamp;

use super::{HASH_CHAIN_RESULT, MESSAGE, REFERENCES_MAX, SIGNED_PROPERTIES_TYPE, SignatureError};
use crate::cert::Certificate;
use crate::digest::{Digest, DigestAlgorithm};
use crate::keys::{KeyKind, SignatureAlgorithm, SigningKey};
use crate::xml::escape_text;
use crate::xmldsig::push_base64;

/// A file to be signed: its name and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRef<'a> {
    /// The name as the signature has it: `/message.xml`, `/attachment1` …, `/sig-hashchainresult.xml`.
    pub name: &'a str,
    /// The digest of its bytes; all files of a signature have theirs by one algorithm.
    pub digest: Digest,
}

/// A key with its certificate, ready to sign; everything that stays the same between messages is already written.
#[derive(Clone, Debug)]
pub struct Signer {
    key: SigningKey,
    algorithm: SignatureAlgorithm,
    /// From `</ds:SignedInfo><ds:SignatureValue …>` to the certificate's end, the value itself left out.
    key_info: String,
    /// Between the signing time and the data object formats.
    certificate_and_policy: String,
    /// References to and values of the extra certificates; empty where there are none.
    extra_certificates: String,
}

/// Namespaces of the root, as canonicalisation writes them: sorted by prefix.
const NAMESPACES: &str = " xmlns:asic=\"http://uri.etsi.org/02918/v1.2.1#\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" \
     xmlns:xades=\"http://uri.etsi.org/01903/v1.3.2#\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";

/// The policy that X-Road names in every signature (protocol facts §1.5).
const POLICY: &str = "<xades:SignaturePolicyIdentifier><xades:SignaturePolicyId><xades:SigPolicyId>\
    <xades:Identifier Qualifier=\"OIDAsURN\">urn:oid:1.3.6.1.4.1.3516.16.2</xades:Identifier>\
    <xades:Description>Profile for High Performance Digital Signatures (version 1.2)</xades:Description></xades:SigPolicyId>\
    <xades:SigPolicyHash><ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha512\"></ds:DigestMethod>\
    <ds:DigestValue>BuO0EDNfkxSVlUbxCzmQPzX1AUF1/xx9ytWHk3/6SAOePxQiniEfDYk+90QeYb3lWpV3Izhuz9fKaYyE+lTcXw==</ds:DigestValue>\
    </xades:SigPolicyHash><xades:SigPolicyQualifiers><xades:SigPolicyQualifier>\
    <xades:SPURI>https://repo.cyber.ee/dsig-profile-1.2.pdf</xades:SPURI></xades:SigPolicyQualifier></xades:SigPolicyQualifiers>\
    </xades:SignaturePolicyId></xades:SignaturePolicyIdentifier></xades:SignedSignatureProperties>";

const CANONICALIZATION: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";

impl Signer {
    /// A signer with the key's usual algorithm. `extra_certificates` are intermediate certificates that a verifier may
    /// need; they go into every signature. The certificate must be that of the key.
    pub fn new(
        key: SigningKey,
        certificate: &Certificate,
        extra_certificates: &[Certificate],
    ) -> Result<Self, SignatureError> {
        let algorithm = key.default_xml_algorithm();
        Self::with_algorithm(key, algorithm, certificate, extra_certificates)
    }

    /// A signer with an algorithm of choice (RSA-PSS, another digest).
    pub fn with_algorithm(
        key: SigningKey,
        algorithm: SignatureAlgorithm,
        certificate: &Certificate,
        extra_certificates: &[Certificate],
    ) -> Result<Self, SignatureError> {
        if key.public().spki_der() != certificate.public_key().spki_der() {
            return Err(SignatureError::SigningCertificate);
        }
        let mut key_info = String::with_capacity(2048);
        key_info.push_str("</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>");
        push_base64(certificate.der(), &mut key_info);
        key_info.push_str(
            "</ds:X509Certificate></ds:X509Data></ds:KeyInfo><ds:Object><xades:QualifyingProperties Target=\"#signature\">",
        );
        let mut certificate_and_policy = String::with_capacity(2048);
        certificate_and_policy.push_str("</xades:SigningTime><xades:SigningCertificate><xades:Cert>");
        push_certificate_reference(certificate, &mut certificate_and_policy);
        certificate_and_policy.push_str("</xades:Cert></xades:SigningCertificate>");
        certificate_and_policy.push_str(POLICY);
        let extra_certificates = extra(extra_certificates);
        Ok(Self { key, algorithm, key_info, certificate_and_policy, extra_certificates })
    }

    /// The signature of these files as a UTF-8 XML document. Sign either the message and its attachments, in order, or the
    /// result of a hash chain alone. What the signature itself digests it digests as the files are. `ocsp` are DER OCSP responses:
    /// the one for the signing certificate and those for the extra certificates.
    pub fn sign(
        &self,
        files: &[DataRef<'_>],
        signing_time: Timestamp,
        ocsp: &[&[u8]],
    ) -> Result<Vec<u8>, SignatureError> {
        let Some(hash) = files.first().map(|file| file.digest.algorithm()).filter(|_| files.len() <= REFERENCES_MAX)
        else {
            return Err(SignatureError::Count);
        };
        if let Some(other) = files.iter().find(|file| file.digest.algorithm() != hash) {
            return Err(SignatureError::Algorithm(format!("{} beside {hash}", other.digest.algorithm())));
        }
        let algorithm = self.algorithm_over(hash);
        let properties = self.signed_properties(files, signing_time);
        let properties_digest = Digest::of(hash, &canonical("xades:SignedProperties", &properties));
        let signed_info = signed_info(algorithm, files, &properties_digest);
        let value = self.key.sign(algorithm, &canonical("ds:SignedInfo", &signed_info))?;

        let ocsp_length: usize = ocsp.iter().map(|response| response.len() * 4 / 3 + 100).sum();
        let mut xml = String::with_capacity(
            2048 + properties.len()
                + signed_info.len()
                + self.key_info.len()
                + self.extra_certificates.len()
                + ocsp_length,
        );
        xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?><asic:XAdESSignatures");
        xml.push_str(NAMESPACES);
        xml.push_str("><ds:Signature Id=\"signature\"><ds:SignedInfo");
        xml.push_str(&signed_info);
        xml.push_str("<ds:SignatureValue Id=\"signature-value\">");
        push_base64(&value, &mut xml);
        xml.push_str(&self.key_info);
        xml.push_str("<xades:SignedProperties");
        xml.push_str(&properties);
        xml.push_str("<xades:UnsignedProperties><xades:UnsignedSignatureProperties>");
        xml.push_str(&self.extra_certificates);
        xml.push_str("<xades:RevocationValues><xades:OCSPValues>");
        for (number, response) in ocsp.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(xml, "<xades:EncapsulatedOCSPValue Id=\"ocsp-response-{}\">", number + 1);
            push_base64(response, &mut xml);
            xml.push_str("</xades:EncapsulatedOCSPValue>");
        }
        xml.push_str(
            "</xades:OCSPValues></xades:RevocationValues></xades:UnsignedSignatureProperties></xades:UnsignedProperties>\
             </xades:QualifyingProperties></ds:Object></ds:Signature></asic:XAdESSignatures>",
        );
        Ok(xml.into_bytes())
    }

    /// The algorithm of choice, or its like over the digest of the files where that is another than X-Road's default. A key that is
    /// stronger than that digest keeps its own.
    fn algorithm_over(&self, hash: DigestAlgorithm) -> SignatureAlgorithm {
        match (hash, self.key.public().kind()) {
            (DigestAlgorithm::Sha512, _) | (_, KeyKind::P384) => self.algorithm,
            _ => self.algorithm.over(hash),
        }
    }

    /// `SignedProperties` after its tag name, to its end tag.
    fn signed_properties(&self, files: &[DataRef<'_>], signing_time: Timestamp) -> String {
        let mut text = String::with_capacity(self.certificate_and_policy.len() + 512 + files.len() * 160);
        text.push_str(" Id=\"signed-properties\"><xades:SignedSignatureProperties><xades:SigningTime>");
        // Always as long, so that all signatures of a signer fit one mould.
        text.push_str(&signing_time.rfc3339_millis());
        text.push_str(&self.certificate_and_policy);
        text.push_str("<xades:SignedDataObjectProperties>");
        for (number, file) in files.iter().enumerate() {
            let media_type = match file.name {
                HASH_CHAIN_RESULT => "application/hash-chain-result",
                MESSAGE => "text/xml",
                _ => "application/octet-stream",
            };
            let _ = write!(
                text,
                "<xades:DataObjectFormat ObjectReference=\"#signature-reference-{number}\">\
                 <xades:MimeType>{media_type}</xades:MimeType></xades:DataObjectFormat>"
            );
        }
        text.push_str("</xades:SignedDataObjectProperties></xades:SignedProperties>");
        text
    }
}

/// `SignedInfo` after its tag name, to its end tag.
fn signed_info(algorithm: SignatureAlgorithm, files: &[DataRef<'_>], properties_digest: &Digest) -> String {
    let mut text = String::with_capacity(1024 + files.len() * 320);
    let _ = write!(
        text,
        "><ds:CanonicalizationMethod Algorithm=\"{CANONICALIZATION}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{}\"></ds:SignatureMethod>",
        algorithm.xml_uri()
    );
    for (number, file) in files.iter().enumerate() {
        let name = crate::xml::escape_attribute(file.name);
        let _ = write!(text, "<ds:Reference Id=\"signature-reference-{number}\" URI=\"{name}\">");
        push_digest(&file.digest, &mut text);
        text.push_str("</ds:Reference>");
    }
    let _ = write!(
        text,
        "<ds:Reference Id=\"signature-reference-{}\" Type=\"{SIGNED_PROPERTIES_TYPE}\" URI=\"#signed-properties\">",
        files.len()
    );
    push_digest(properties_digest, &mut text);
    text.push_str("</ds:Reference></ds:SignedInfo>");
    text
}

/// Puts a time stamp token (DER) over the signature value into a signature that [`Signer`] made: the last thing before
/// the signature is kept for years. Signatures of other shapes are refused.
pub fn with_time_stamp(signature: &[u8], token: &[u8]) -> Result<Vec<u8>, SignatureError> {
    const PLACE: &str = "<xades:UnsignedSignatureProperties>";
    let text = std::str::from_utf8(signature).unwrap_or("");
    let (before, after) = text
        .split_once(PLACE)
        .filter(|(_, after)| !after.contains(PLACE) && !after.starts_with("<xades:SignatureTimeStamp>"))
        .ok_or_else(|| SignatureError::Malformed("there is no place for a time stamp".to_owned()))?;
    let mut stamped = String::with_capacity(text.len() + token.len() * 4 / 3 + 160);
    stamped.push_str(before);
    stamped.push_str(PLACE);
    stamped.push_str("<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>");
    push_base64(token, &mut stamped);
    stamped.push_str("</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>");
    stamped.push_str(after);
    Ok(stamped.into_bytes())
}

/// The canonical form of an element of the signature: its text, with the namespaces of the root in its first tag.
fn canonical(name: &str, text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + NAMESPACES.len() + text.len() + 1);
    bytes.push(b'<');
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(NAMESPACES.as_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn push_digest(digest: &Digest, text: &mut String) {
    text.push_str("<ds:DigestMethod Algorithm=\"");
    text.push_str(digest.algorithm().xml_uri());
    text.push_str("\"></ds:DigestMethod><ds:DigestValue>");
    push_base64(digest.bytes(), text);
    text.push_str("</ds:DigestValue>");
}

fn push_certificate_reference(certificate: &Certificate, text: &mut String) {
    text.push_str("<xades:CertDigest>");
    push_digest(&Digest::sha512(certificate.der()), text);
    text.push_str("</xades:CertDigest><xades:IssuerSerial><ds:X509IssuerName>");
    text.push_str(&escape_text(&certificate.issuer().to_string()));
    text.push_str("</ds:X509IssuerName><ds:X509SerialNumber>");
    text.push_str(&certificate.serial_decimal());
    text.push_str("</ds:X509SerialNumber></xades:IssuerSerial>");
}

fn extra(certificates: &[Certificate]) -> String {
    let mut text = String::new();
    if certificates.is_empty() {
        return text;
    }
    text.push_str("<xades:CompleteCertificateRefs Id=\"complete-certificate-refs\"><xades:CertRefs>");
    for (number, certificate) in certificates.iter().enumerate() {
        let _ = write!(text, "<xades:Cert URI=\"#encapsulated-cert-{}\">", number + 1);
        push_certificate_reference(certificate, &mut text);
        text.push_str("</xades:Cert>");
    }
    text.push_str("</xades:CertRefs></xades:CompleteCertificateRefs><xades:CertificateValues>");
    for (number, certificate) in certificates.iter().enumerate() {
        let _ = write!(text, "<xades:EncapsulatedX509Certificate Id=\"encapsulated-cert-{}\">", number + 1);
        push_base64(certificate.der(), &mut text);
        text.push_str("</xades:EncapsulatedX509Certificate>");
    }
    text.push_str("</xades:CertificateValues>");
    text
}

#[cfg(test)]
mod tests {
    use super::super::{ASIC_NAMESPACE, HashChain, Part, Signature, XADES_NAMESPACE};
    use super::*;
    use crate::cert::{CertificateProfile, CertificateSpec, DistinguishedName, NameAttribute};
    use crate::digest::sha512;
    use crate::hashchain::{self, Files};
    use crate::xml::{Document, Limits};
    use crate::xmldsig::XMLDSIG;

    fn signer(key: SigningKey) -> (Signer, Certificate) {
        let certificate = Certificate::self_signed(
            &key,
            &CertificateSpec {
                profile: CertificateProfile::Sign,
                serial: &[0x12, 0x34],
                subject: DistinguishedName::new(&[
                    (NameAttribute::Organization, "A & B <C>"),
                    (NameAttribute::CommonName, "1"),
                ])
                .unwrap(),
                public_key: key.public(),
                not_before: Timestamp::from_seconds(1_700_000_000),
                not_after: Timestamp::from_seconds(1_900_000_000),
                ocsp_url: None,
            },
        )
        .unwrap();
        (Signer::new(key, &certificate, std::slice::from_ref(&certificate)).unwrap(), certificate)
    }

    const BODY: (&[u8], &[u8]) = (b"GET\r\n/r1/x\r\n", b"{}");

    fn signed(signer: &Signer) -> Vec<u8> {
        let files = [
            DataRef { name: MESSAGE, digest: Digest::sha512(BODY.0) },
            DataRef { name: "/attachment1", digest: Digest::sha512(BODY.1) },
        ];
        signer.sign(&files, Timestamp::from_millis(1_795_300_800_123), &[b"ocsp one", b"ocsp two"]).unwrap()
    }

    #[test]
    fn whoever_passes_a_signature_on_cannot_make_another_act_of_it() {
        let (signer, _) = signer(SigningKey::generate_p256().unwrap());
        let sign = || {
            let file = DataRef { name: "/message.xml", digest: Digest::sha512(b"m") };
            String::from_utf8(signer.sign(&[file], Timestamp::from_seconds(1_750_000_000), &[]).unwrap()).unwrap()
        };
        let act = |text: &str| Signature::parse(text.as_bytes()).unwrap().act();
        let text = sign();
        let value = Signature::parse(text.as_bytes()).unwrap().value().to_vec();
        let at = text.find("<ds:SignatureValue").and_then(|at| Some(at + text.get(at..)?.find('>')? + 1)).unwrap();
        let end = text.find("</ds:SignatureValue>").unwrap();
        let with = |value: &[u8]| {
            let mut altered = text[..at].to_owned();
            push_base64(value, &mut altered);
            altered + &text[end..]
        };
        assert_eq!(act(&with(&value)), act(&text));
        assert_eq!(act(&format!("{}\n {}", &text[..at], &text[at..])), act(&text), "folded");
        let mut other_s = value.clone();
        *other_s.last_mut().unwrap() ^= 1;
        assert_eq!(act(&with(&other_s)), act(&text), "n - s is as good as s");
        let mut other_r = value;
        other_r[0] ^= 1;
        assert_ne!(act(&with(&other_r)), act(&text));
        assert_ne!(act(&sign()), act(&text), "signed again in the same second");
    }

    #[test]
    fn what_is_signed_is_read_and_verified_again_with_every_kind_of_key() {
        for key in [
            SigningKey::generate_p256().unwrap(),
            SigningKey::generate_p384().unwrap(),
            SigningKey::generate_rsa2048().unwrap(),
            SigningKey::generate_ed25519().unwrap(),
        ] {
            let (signer, certificate) = signer(key);
            let signature = Signature::parse(&signed(&signer)).unwrap();
            signature.check_value(certificate.public_key()).unwrap();
            let parts = [Part::bytes(MESSAGE, BODY.0), Part::bytes("/attachment1", BODY.1)];
            assert_eq!(signature.check_files(&parts, None).unwrap().len(), 2);
            assert_eq!(signature.certificate(), certificate.der());
            assert_eq!(signature.extra_certificates(), [certificate.der().to_vec()]);
            assert_eq!(signature.ocsp(), [b"ocsp one".to_vec(), b"ocsp two".to_vec()]);
            assert_eq!(signature.signing_time(), Some(Timestamp::from_millis(1_795_300_800_123)));
            assert!(signature.time_stamps().is_empty());
        }
    }

    #[test]
    fn the_templates_are_the_canonical_form_of_what_is_written() {
        let (signer, _) = signer(SigningKey::generate_p256().unwrap());
        let files = [
            DataRef { name: MESSAGE, digest: Digest::sha512(BODY.0) },
            DataRef { name: "/attachment1", digest: Digest::made(DigestAlgorithm::Sha512, &[7; 64]).unwrap() },
        ];
        let at = Timestamp::from_seconds(1_795_300_800);
        let xml = signer.sign(&files, at, &[]).unwrap();
        let document = Document::parse(&xml, &Limits::SMALL).unwrap();
        let find = |local: &str| document.root().descendants().find(|found| found.local() == local).unwrap();
        let canonical_of = |local| crate::c14n::element(find(local), crate::c14n::Method::Inclusive, &[]);
        let properties = signer.signed_properties(&files, at);
        assert_eq!(canonical_of("SignedProperties"), canonical("xades:SignedProperties", &properties));
        let digest = Digest::sha512(&canonical("xades:SignedProperties", &properties));
        let signed_info = canonical("ds:SignedInfo", &signed_info(signer.algorithm, &files, &digest));
        assert_eq!(String::from_utf8(canonical_of("SignedInfo")), String::from_utf8(signed_info));
        // The whole text is canonical too, but for the XML declaration.
        assert!(xml.ends_with(&crate::c14n::document(&document, crate::c14n::Method::Inclusive)));
    }

    #[test]
    fn a_hash_chain_is_signed_through_its_result() {
        let (signer, certificate) = signer(SigningKey::generate_p256().unwrap());
        let digests = vec![sha512(BODY.0).to_vec(), sha512(BODY.1).to_vec()];
        let other = vec![sha512(b"other message").to_vec()];
        let batch = hashchain::build(DigestAlgorithm::Sha512, Files::SIGNATURE, &[digests, other]).unwrap();
        let files = [DataRef { name: HASH_CHAIN_RESULT, digest: Digest::sha512(batch.result.as_bytes()) }];
        let signature = Signature::parse(&signer.sign(&files, Timestamp::from_seconds(0), &[]).unwrap()).unwrap();
        signature.check_value(certificate.public_key()).unwrap();
        let chain =
            |number: usize| Some(HashChain { result: batch.result.as_bytes(), chain: batch.chains[number].as_bytes() });
        let parts = [Part::bytes(MESSAGE, BODY.0), Part::bytes("/attachment1", BODY.1)];
        assert_eq!(signature.check_files(&parts, chain(0)).unwrap().len(), 2);
        assert_eq!(signature.check_files(&[Part::bytes(MESSAGE, b"other message")], chain(1)).unwrap().len(), 1);
        let refused = |parts: &[Part<'_>], chain| signature.check_files(parts, chain).unwrap_err();
        assert!(matches!(refused(&parts, None), SignatureError::HashChainMisplaced(_)));
        assert_eq!(refused(&parts[..1], chain(0)), SignatureError::Missing("/attachment1".to_owned()));
        assert_eq!(refused(&parts, chain(1)).code(), "malformed_signature");
        let more = [parts[0], parts[1], Part::bytes("/attachment2", b"")];
        assert_eq!(refused(&more, chain(0)), SignatureError::NotSigned("/attachment2".to_owned()));
    }

    #[test]
    fn files_that_are_altered_missing_or_left_over_are_refused() {
        let (signer, _) = signer(SigningKey::generate_p256().unwrap());
        let signature = Signature::parse(&signed(&signer)).unwrap();
        let refused = |parts: &[Part<'_>]| signature.check_files(parts, None).unwrap_err();
        let (message, body) = (Part::bytes(MESSAGE, BODY.0), Part::bytes("/attachment1", BODY.1));
        assert_eq!(refused(&[message]), SignatureError::Missing("/attachment1".to_owned()));
        assert_eq!(refused(&[body]), SignatureError::Missing(MESSAGE.to_owned()));
        assert_eq!(
            refused(&[message, Part::bytes("/attachment1", b"{ }")]),
            SignatureError::Digest("/attachment1".to_owned())
        );
        let left = [message, body, Part::bytes("/attachment2", b"")];
        assert_eq!(refused(&left), SignatureError::NotSigned("/attachment2".to_owned()));
        assert!(matches!(refused(&[message, body, body]), SignatureError::Malformed(_)));
        let chain = HashChain { result: b"", chain: b"" };
        let misplaced = signature.check_files(&[message, body], Some(chain)).unwrap_err();
        assert!(matches!(misplaced, SignatureError::HashChainMisplaced(_)));
    }

    #[test]
    fn a_flipped_bit_in_the_signed_half_is_refused_and_elsewhere_changes_nothing_signed() {
        let (signer, certificate) = signer(SigningKey::generate_p256().unwrap());
        let xml = signed(&signer);
        let good = Signature::parse(&xml).unwrap();
        let mut accepted = 0;
        for place in 0..xml.len() {
            let mut altered = xml.clone();
            altered[place] ^= 1 << (place % 7);
            let verdict = Signature::parse(&altered).and_then(|signature| {
                signature.check_value(certificate.public_key())?;
                let parts = [Part::bytes(MESSAGE, BODY.0), Part::bytes("/attachment1", BODY.1)];
                signature.check_files(&parts, None)?;
                Ok(signature)
            });
            if let Ok(signature) = verdict {
                accepted += 1;
                assert_eq!(signature.certificate(), good.certificate());
                assert_eq!(signature.signed_info_bytes(), good.signed_info_bytes());
            }
        }
        // What may change: OCSP values and extra certificates (judged later), their Ids, the XML declaration.
        assert!(accepted < xml.len() / 2, "{accepted} of {}", xml.len());
    }

    #[test]
    fn signed_parts_cannot_be_wrapped_or_doubled() {
        let (signer, _) = signer(SigningKey::generate_p256().unwrap());
        let xml = String::from_utf8(signed(&signer)).unwrap();
        let refused = |from: &str, to: &str| {
            assert!(xml.contains(from));
            Signature::parse(xml.replacen(from, to, 1).as_bytes()).unwrap_err()
        };
        let doubled = refused(
            "<xades:UnsignedSignatureProperties>",
            "<xades:UnsignedSignatureProperties Id=\"signed-properties\">",
        );
        assert!(matches!(doubled, SignatureError::DuplicateId(_)));
        let second = refused("</ds:Signature>", "</ds:Signature><ds:Signature></ds:Signature>");
        assert!(matches!(second, SignatureError::Malformed(_)));
        let moved = refused("URI=\"#signed-properties\"", "URI=\"#ocsp-response-1\"");
        assert!(matches!(moved, SignatureError::Malformed(_)));
        let object = refused("</ds:Object>", "</ds:Object><ds:Object></ds:Object>");
        assert!(matches!(object, SignatureError::Malformed(_)));
        let method = refused("REC-xml-c14n-20010315", "REC-xml-c14n-20010316");
        assert!(matches!(method, SignatureError::Algorithm(_)));
        let digest = refused("xmlenc#sha512", "xmldsig#sha1");
        assert!(matches!(digest, SignatureError::Algorithm(_)));
        let hmac = refused("xmldsig-more#ecdsa-sha512", "xmldsig-more#hmac-sha512");
        assert!(matches!(hmac, SignatureError::Algorithm(_)));
        let time = refused("<xades:SigningTime>2026", "<xades:SigningTime>2027");
        assert_eq!(time, SignatureError::SignedProperties);
    }

    #[test]
    fn a_time_stamp_is_put_in_once_and_read_again() {
        let (signer, certificate) = signer(SigningKey::generate_p256().unwrap());
        let stamped = with_time_stamp(&signed(&signer), b"token").unwrap();
        let signature = Signature::parse(&stamped).unwrap();
        assert_eq!(signature.time_stamps(), [b"token".to_vec()]);
        signature.check_value(certificate.public_key()).unwrap();
        assert!(with_time_stamp(&stamped, b"token").is_err());
        assert!(with_time_stamp(b"<a/>", b"token").is_err());
    }

    #[test]
    fn another_key_than_that_of_the_certificate_is_refused() {
        let (_, certificate) = signer(SigningKey::generate_p256().unwrap());
        let refused = Signer::new(SigningKey::generate_p256().unwrap(), &certificate, &[]).unwrap_err();
        assert_eq!(refused, SignatureError::SigningCertificate);
    }

    #[test]
    fn the_namespaces_of_the_templates_are_those_of_the_reader() {
        for namespace in [ASIC_NAMESPACE, XMLDSIG, XADES_NAMESPACE] {
            assert!(NAMESPACES.contains(&format!("=\"{namespace}\"")));
        }
    }
}
