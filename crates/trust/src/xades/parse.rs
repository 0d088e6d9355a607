//! Reading a signature: structure, references, digests and the signature value. No question of trust is asked here.

use std::sync::Arc;

use civic::Timestamp;

use super::{
    ASIC_NAMESPACE, ASIC_NAMESPACE_V1_1, HASH_CHAIN, HASH_CHAIN_RESULT, MESSAGE, REFERENCES_MAX,
    SIGNED_PROPERTIES_TYPE, SignatureError, VALUES_MAX, XADES_NAMESPACE,
};
use crate::c14n;
use crate::digest::{Digest, DigestAlgorithm, constant_time_eq, sha256};
use crate::hashchain::{self, Data};
use crate::keys::{PublicKey, SignatureAlgorithm};
use crate::xml::{Document, Element, Limits};
use crate::xmldsig::{XMLDSIG, base64, digest_algorithm};

/// The namespace of the PrefixList of exclusive canonicalisation.
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

/// A signature as read: well formed, in the shape of the profile, its signed properties unaltered. Whether its files,
/// its value and its certificate are good is asked with the methods here.
#[derive(Clone, Debug)]
pub struct Signature {
    algorithm: SignatureAlgorithm,
    pub(super) signed_info: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) files: Vec<Reference>,
    pub(super) signing_time: Option<Timestamp>,
    enclosed: Arc<Enclosed>,
}

/// What signatures of one signer share, for as long as the OCSP answer is the same.
#[derive(Debug)]
struct Enclosed {
    certificate: Vec<u8>,
    extra_certificates: Vec<Vec<u8>>,
    ocsp: Vec<Vec<u8>>,
    time_stamps: Vec<Vec<u8>>,
}

/// A file as it came with a signature.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The name as signatures have it: `/message.xml`, `/attachment1` …
    pub name: &'a str,
    /// What is known of it.
    pub content: PartContent<'a>,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
pub enum PartContent<'a> {
    /// All its bytes.
    Bytes(&'a [u8]),
    /// Only its digest: enough where the signer used the same algorithm.
    Digest(&'a Digest),
    /// It is elsewhere: its digest is taken from the signature, and the file is reported as detached.
    Detached,
}

/// The two files of a batch signature.
#[derive(Clone, Copy, Debug)]
pub struct HashChain<'a> {
    /// `sig-hashchainresult.xml`: what is signed.
    pub result: &'a [u8],
    /// `sig-hashchain.xml`: the way from the files to the result.
    pub chain: &'a [u8],
}

/// A file that a signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedFile {
    /// Its name.
    pub name: String,
    /// The digest algorithm.
    pub algorithm: DigestAlgorithm,
    /// The digest that was signed.
    pub digest: Vec<u8>,
    /// Whether the file itself was not there to compare with.
    pub detached: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Reference {
    name: String,
    algorithm: DigestAlgorithm,
    pub(super) digest: Vec<u8>,
}

impl<'a> Part<'a> {
    /// A file with all its bytes.
    pub const fn bytes(name: &'a str, bytes: &'a [u8]) -> Self {
        Self { name, content: PartContent::Bytes(bytes) }
    }

    /// A file of which the digest was computed while it passed.
    pub const fn digest(name: &'a str, digest: &'a Digest) -> Self {
        Self { name, content: PartContent::Digest(digest) }
    }
}

impl Signature {
    /// Reads a signature: `asic:XAdESSignatures` with one `ds:Signature`, or (X-Road 8) `ds:Signature` alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let document = Document::parse(bytes, &Limits::SMALL)?;
        Anatomy::of(&document)?.read()
    }

    /// The same signature over another signed information.
    pub(super) fn over(&self, signed_info: Vec<u8>) -> Self {
        Self {
            algorithm: self.algorithm,
            signed_info,
            value: Vec::new(),
            files: self.files.clone(),
            signing_time: self.signing_time,
            enclosed: Arc::clone(&self.enclosed),
        }
    }

    /// The signing certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.enclosed.certificate
    }

    /// Other certificates that came with the signature, DER: help to find the way to a trusted one, never trusted.
    pub fn extra_certificates(&self) -> &[Vec<u8>] {
        &self.enclosed.extra_certificates
    }

    /// The OCSP responses that came with the signature, DER.
    pub fn ocsp(&self) -> &[Vec<u8>] {
        &self.enclosed.ocsp
    }

    /// The time stamp tokens over the signature value, DER.
    pub fn time_stamps(&self) -> &[Vec<u8>] {
        &self.enclosed.time_stamps
    }

    /// What time stamps are over: the bytes of the signature value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The canonical bytes that the signature value is over.
    pub fn signed_info_bytes(&self) -> &[u8] {
        &self.signed_info
    }

    /// What tells this act of signing from every other one, and that nobody without the key can change: the signed information, and of the
    /// value what is no choice of whoever passes it on (a value `r || s` of ECDSA is as good with `n - s`, so `r` alone counts).
    pub fn act(&self) -> [u8; 32] {
        use SignatureAlgorithm::{EcdsaSha256Fixed, EcdsaSha384Fixed, EcdsaSha512Fixed};
        let is_ecdsa = matches!(self.algorithm, EcdsaSha256Fixed | EcdsaSha384Fixed | EcdsaSha512Fixed);
        let kept = if is_ecdsa { self.value.len() / 2 } else { self.value.len() };
        let value = self.value.get(..kept).unwrap_or_default();
        sha256(&[&sha256(&self.signed_info), value].concat())
    }

    /// The algorithm of the signature value.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// When the signer says to have signed; nobody else vouches for it.
    pub fn signing_time(&self) -> Option<Timestamp> {
        self.signing_time
    }

    /// Whether the result of a hash chain is signed instead of the files.
    pub fn is_batch(&self) -> bool {
        self.files.iter().any(|file| file.name == HASH_CHAIN_RESULT)
    }

    /// Whether the signature value belongs to the signed information and this key.
    pub fn check_value(&self, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify(self.algorithm, &self.signed_info, &self.value).map_err(|_| SignatureError::Value)
    }

    /// Whether exactly these files are signed, unaltered, and returns them. The hash chain must be given if and only if
    /// the signature refers to its result.
    pub fn check_files(
        &self,
        parts: &[Part<'_>],
        hash_chain: Option<HashChain<'_>>,
    ) -> Result<Vec<SignedFile>, SignatureError> {
        for (place, part) in parts.iter().enumerate() {
            if parts.iter().skip(place + 1).any(|other| other.name == part.name) {
                return Err(SignatureError::Malformed(format!("the file `{}` came twice", part.name)));
            }
        }
        let signed = match (self.is_batch(), hash_chain) {
            (true, Some(chain)) => self.files_of_chain(parts, chain)?,
            (false, None) => self.files.iter().map(|file| file.check(parts)).collect::<Result<_, _>>()?,
            (true, None) => {
                return Err(SignatureError::HashChainMisplaced(
                    "it refers to a hash chain, which did not come with it",
                ));
            }
            (false, Some(_)) => {
                return Err(SignatureError::HashChainMisplaced(
                    "a hash chain came with it, to which it does not refer",
                ));
            }
        };
        if !signed.iter().any(|file| file.name == MESSAGE) {
            return Err(SignatureError::NotSigned(MESSAGE.to_owned()));
        }
        match parts.iter().find(|part| !signed.iter().any(|file| file.name == part.name)) {
            Some(left) => Err(SignatureError::NotSigned(left.name.to_owned())),
            None => Ok(signed),
        }
    }

    fn files_of_chain(&self, parts: &[Part<'_>], chain: HashChain<'_>) -> Result<Vec<SignedFile>, SignatureError> {
        let [reference] = self.files.as_slice() else {
            return Err(malformed("a batch signature refers to the hash chain result and to no other file"));
        };
        reference.check(&[Part::bytes(HASH_CHAIN_RESULT, chain.result)])?;
        let found = hashchain::verify(chain.result, HASH_CHAIN, chain.chain, |name| {
            match parts.iter().find(|part| part.name == name).map(|part| part.content) {
                Some(PartContent::Bytes(bytes)) => Data::Bytes(bytes),
                Some(PartContent::Digest(digest)) => Data::Digest(digest.algorithm(), digest.bytes().to_vec()),
                Some(PartContent::Detached) => Data::Detached,
                None => Data::Unknown,
            }
        })
        .map_err(|error| match error {
            hashchain::HashChainError::Unresolved(name) if !name.contains('#') => SignatureError::Missing(name),
            other => SignatureError::HashChain(other),
        })?;
        Ok(found
            .into_iter()
            .map(|file| SignedFile {
                name: file.name,
                algorithm: file.algorithm,
                digest: file.digest,
                detached: file.detached,
            })
            .collect())
    }

    /// The names of the files that are signed directly.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }
}

/// Where the pieces of a signature are.
#[derive(Clone, Copy)]
pub(super) struct Anatomy<'d, 'a> {
    pub(super) signed_info: Element<'d, 'a>,
    pub(super) value: Element<'d, 'a>,
    key_info: Element<'d, 'a>,
    properties: QualifyingProperties<'d, 'a>,
}

impl<'d, 'a> Anatomy<'d, 'a> {
    /// Finds them; refuses any other structure than that of the profile.
    pub(super) fn of(document: &'d Document<'a>) -> Result<Self, SignatureError> {
        let root = document.root();
        let container = [ASIC_NAMESPACE, ASIC_NAMESPACE_V1_1];
        let signature = if container.iter().any(|namespace| root.is(namespace, "XAdESSignatures")) {
            let [signature] = children(root, ASIC_NAMESPACE)?;
            signature
        } else {
            root
        };
        if !signature.is(XMLDSIG, "Signature") {
            return Err(malformed("the root is neither asic:XAdESSignatures nor ds:Signature"));
        }
        check_ids(root)?;
        let [signed_info, value, key_info, object] = children(signature, XMLDSIG)?;
        expect(signed_info, "SignedInfo")?;
        expect(value, "SignatureValue")?;
        expect(key_info, "KeyInfo")?;
        expect(object, "Object")?;
        let properties = QualifyingProperties::read(object, signature)?;
        Ok(Self { signed_info, value, key_info, properties })
    }

    /// Reads them.
    pub(super) fn read(&self) -> Result<Signature, SignatureError> {
        let properties = &self.properties;
        let (algorithm, signed_info, files) = read_signed_info(self.signed_info, properties.signed)?;
        let certificate = read_certificate(self.key_info)?;
        properties.check_certificate(&certificate)?;
        Ok(Signature {
            algorithm,
            signed_info,
            value: decoded(self.value)?,
            files,
            signing_time: properties.signing_time(),
            enclosed: Arc::new(Enclosed {
                certificate,
                extra_certificates: properties.values(&["CertificateValues", "EncapsulatedX509Certificate"])?,
                ocsp: properties.values(&["RevocationValues", "OCSPValues", "EncapsulatedOCSPValue"])?,
                time_stamps: properties.values(&["SignatureTimeStamp", "EncapsulatedTimeStamp"])?,
            }),
        })
    }

    pub(super) const fn signed_signature(&self) -> Element<'d, 'a> {
        self.properties.signed_signature
    }

    /// The canonical form of the signed properties and the algorithm of the digest that is signed of it.
    pub(super) fn canonical_properties(&self) -> Result<(DigestAlgorithm, Vec<u8>), SignatureError> {
        let is_to_properties =
            |reference: &Element<'_, '_>| reference.attribute("URI").and_then(into_signature).is_some();
        let reference = self.signed_info.named("Reference").find(is_to_properties);
        let reference = reference.ok_or_else(|| malformed("no ds:Reference leads to the signed properties"))?;
        Ok((read_digest(reference)?.0, canonical_properties(reference, self.properties.signed)?))
    }
}

impl Reference {
    fn check(&self, parts: &[Part<'_>]) -> Result<SignedFile, SignatureError> {
        let part = parts
            .iter()
            .find(|part| part.name == self.name)
            .ok_or_else(|| SignatureError::Missing(self.name.clone()))?;
        let good = match part.content {
            PartContent::Bytes(bytes) => constant_time_eq(&self.algorithm.digest(bytes), &self.digest),
            PartContent::Digest(digest) if self.algorithm == digest.algorithm() => {
                constant_time_eq(digest.bytes(), &self.digest)
            }
            PartContent::Digest(digest) => {
                return Err(SignatureError::Algorithm(format!(
                    "{} for the file {}, of which only {} is known",
                    self.algorithm,
                    self.name,
                    digest.algorithm()
                )));
            }
            PartContent::Detached => true,
        };
        if !good {
            return Err(SignatureError::Digest(self.name.clone()));
        }
        Ok(SignedFile {
            name: self.name.clone(),
            algorithm: self.algorithm,
            digest: self.digest.clone(),
            detached: matches!(part.content, PartContent::Detached),
        })
    }
}

/// `QualifyingProperties` of this signature.
#[derive(Clone, Copy)]
struct QualifyingProperties<'d, 'a> {
    signed: Element<'d, 'a>,
    signed_signature: Element<'d, 'a>,
    unsigned_signature: Option<Element<'d, 'a>>,
}

impl<'d, 'a> QualifyingProperties<'d, 'a> {
    fn read(object: Element<'d, 'a>, signature: Element<'d, 'a>) -> Result<Self, SignatureError> {
        let [properties] = children(object, XMLDSIG)?;
        if !properties.is(XADES_NAMESPACE, "QualifyingProperties") {
            return Err(malformed("ds:Object holds something else than xades:QualifyingProperties"));
        }
        let target = properties.attribute("Target").and_then(|target| target.strip_prefix('#'));
        if target.is_none() || target != signature.attribute("Id") {
            return Err(malformed("the Target of xades:QualifyingProperties is not this signature"));
        }
        let mut inside = properties.elements();
        let signed = inside
            .next()
            .filter(|first| first.is(XADES_NAMESPACE, "SignedProperties"))
            .ok_or_else(|| malformed("xades:SignedProperties is missing"))?;
        let unsigned = inside.next();
        if inside.next().is_some() || unsigned.is_some_and(|second| !second.is(XADES_NAMESPACE, "UnsignedProperties")) {
            return Err(malformed("xades:QualifyingProperties holds more than signed and unsigned properties"));
        }
        let signed_signature = signed
            .elements()
            .next()
            .filter(|first| first.is(XADES_NAMESPACE, "SignedSignatureProperties"))
            .ok_or_else(|| malformed("xades:SignedSignatureProperties is missing"))?;
        let unsigned_signature =
            unsigned.and_then(|unsigned| unsigned.child(XADES_NAMESPACE, "UnsignedSignatureProperties"));
        Ok(Self { signed, signed_signature, unsigned_signature })
    }

    fn signing_time(&self) -> Option<Timestamp> {
        let time = self.signed_signature.child(XADES_NAMESPACE, "SigningTime")?;
        Timestamp::parse_rfc3339(&time.text()).ok()
    }

    /// The first certificate that the signed properties name must be the one in `KeyInfo` (TS 101 903 §7.2.2).
    fn check_certificate(&self, certificate: &[u8]) -> Result<(), SignatureError> {
        let mut named = self
            .signed_signature
            .elements()
            .filter(|property| matches!(property.local(), "SigningCertificate" | "SigningCertificateV2"));
        let list = named.next().ok_or_else(|| malformed("xades:SigningCertificate is missing"))?;
        if named.next().is_some() {
            return Err(malformed("xades:SigningCertificate stands twice"));
        }
        let digest = list
            .child(XADES_NAMESPACE, "Cert")
            .and_then(|first| first.child(XADES_NAMESPACE, "CertDigest"))
            .ok_or_else(|| malformed("xades:SigningCertificate names no certificate"))?;
        let (algorithm, expected) = read_digest(digest)?;
        if constant_time_eq(&algorithm.digest(certificate), &expected) {
            Ok(())
        } else {
            Err(SignatureError::SigningCertificate)
        }
    }

    /// The base64 contents of all unsigned properties at the end of this path.
    fn values(&self, path: &[&str]) -> Result<Vec<Vec<u8>>, SignatureError> {
        let mut level: Vec<Element<'d, 'a>> = self.unsigned_signature.into_iter().collect();
        for name in path {
            level = level.iter().flat_map(Element::elements).filter(|found| found.is(XADES_NAMESPACE, name)).collect();
        }
        if level.len() > VALUES_MAX {
            return Err(SignatureError::Malformed(format!("there are more than {VALUES_MAX} {}", path.join("/"))));
        }
        level.into_iter().map(decoded).collect()
    }
}

/// Every `Id` of the document stands once (also `ID` and `id`, which other readers take for one).
fn check_ids(root: Element<'_, '_>) -> Result<(), SignatureError> {
    let mut ids: Vec<&str> = root
        .descendants()
        .flat_map(|element| element.attributes())
        .filter(|attribute| attribute.local.eq_ignore_ascii_case("id"))
        .map(|attribute| attribute.value)
        .collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(SignatureError::DuplicateId(pair.concat().chars().take(64).collect())),
        None => Ok(()),
    }
}

type SignedInfo = (SignatureAlgorithm, Vec<u8>, Vec<Reference>);

/// Algorithm, canonical bytes and file references; the reference to the signed properties is checked on the way.
fn read_signed_info(signed_info: Element<'_, '_>, properties: Element<'_, '_>) -> Result<SignedInfo, SignatureError> {
    let mut inside = signed_info.elements();
    let canonicalization = inside.next().ok_or_else(|| malformed("ds:CanonicalizationMethod is missing"))?;
    expect(canonicalization, "CanonicalizationMethod")?;
    let method = inside.next().ok_or_else(|| malformed("ds:SignatureMethod is missing"))?;
    expect(method, "SignatureMethod")?;
    let uri = method.attribute("Algorithm").unwrap_or("");
    let algorithm = SignatureAlgorithm::from_xml_uri(uri)
        .filter(|_| method.elements().next().is_none())
        .ok_or_else(|| SignatureError::Algorithm(cut(uri)))?;
    let mut files: Vec<Reference> = Vec::new();
    let mut properties_seen = false;
    for reference in inside {
        expect(reference, "Reference")?;
        let uri = reference.attribute("URI").ok_or_else(|| malformed("a ds:Reference has no URI"))?;
        if let Some(id) = into_signature(uri) {
            if properties_seen || reference.attribute("Type") != Some(SIGNED_PROPERTIES_TYPE) {
                return Err(malformed("a ds:Reference into the signature is not the one to the signed properties"));
            }
            if properties.attribute("Id") != Some(id) {
                return Err(malformed("the reference to the signed properties leads elsewhere"));
            }
            check_properties(reference, properties)?;
            properties_seen = true;
        } else {
            if files.iter().any(|file| file.name == uri) || files.len() >= REFERENCES_MAX {
                return Err(SignatureError::Malformed(format!("too many references, or `{}` twice", cut(uri))));
            }
            if !uri.starts_with('/') || reference.named("Transforms").next().is_some() {
                return Err(malformed("a file is referred to by a name that begins with `/`, without transforms"));
            }
            let (algorithm, digest) = read_digest(reference)?;
            files.push(Reference { name: uri.to_owned(), algorithm, digest });
        }
    }
    if !properties_seen || files.is_empty() {
        return Err(malformed("the signature must refer to its signed properties and to a file"));
    }
    let (method, prefixes) = canonical_method(canonicalization)?;
    Ok((algorithm, c14n::element(signed_info, method, &prefixes), files))
}

/// The `Id` to which a reference inside the signature leads; `None` for the name of a file.
pub(super) fn into_signature(uri: &str) -> Option<&str> {
    uri.strip_prefix('#')
}

/// A reference without transforms selects the canonical form of XML 1.0 without comments (XML Signature §4.4.3.2).
fn check_properties(reference: Element<'_, '_>, properties: Element<'_, '_>) -> Result<(), SignatureError> {
    let (algorithm, expected) = read_digest(reference)?;
    let bytes = canonical_properties(reference, properties)?;
    if constant_time_eq(&algorithm.digest(&bytes), &expected) { Ok(()) } else { Err(SignatureError::SignedProperties) }
}

/// What a reference selects of the signed properties.
fn canonical_properties(reference: Element<'_, '_>, properties: Element<'_, '_>) -> Result<Vec<u8>, SignatureError> {
    let (method, prefixes) = match reference.child(XMLDSIG, "Transforms") {
        Some(transforms) => {
            let [transform] = children(transforms, XMLDSIG)?;
            expect(transform, "Transform")?;
            canonical_method(transform)?
        }
        None => (c14n::Method::Inclusive, Vec::new()),
    };
    Ok(c14n::element(properties, method.without_comments(), &prefixes))
}

fn canonical_method<'d>(element: Element<'d, '_>) -> Result<(c14n::Method, Vec<&'d str>), SignatureError> {
    let uri = element.attribute("Algorithm").unwrap_or("");
    let method = c14n::Method::from_uri(uri).ok_or_else(|| SignatureError::Algorithm(cut(uri)))?;
    let mut prefixes = Vec::new();
    for inside in element.elements() {
        if !method.is_exclusive() || !inside.is(EXCLUSIVE, "InclusiveNamespaces") {
            return Err(SignatureError::Algorithm(cut(uri)));
        }
        prefixes.extend(inside.attribute("PrefixList").unwrap_or("").split_ascii_whitespace());
    }
    Ok((method, prefixes))
}

/// `DigestMethod` and `DigestValue` inside this element.
fn read_digest(element: Element<'_, '_>) -> Result<(DigestAlgorithm, Vec<u8>), SignatureError> {
    let method = element.child(XMLDSIG, "DigestMethod").ok_or_else(|| malformed("ds:DigestMethod is missing"))?;
    let uri = method.attribute("Algorithm").unwrap_or("");
    let algorithm = digest_algorithm(uri).ok_or_else(|| SignatureError::Algorithm(cut(uri)))?;
    let value = element.child(XMLDSIG, "DigestValue").ok_or_else(|| malformed("ds:DigestValue is missing"))?;
    Ok((algorithm, decoded(value)?))
}

fn read_certificate(key_info: Element<'_, '_>) -> Result<Vec<u8>, SignatureError> {
    let missing = || malformed("the signature does not contain exactly one signing certificate in ds:X509Data");
    let mut certificates = key_info
        .elements()
        .filter(|data| data.is(XMLDSIG, "X509Data"))
        .flat_map(|data| data.elements())
        .filter(|certificate| certificate.is(XMLDSIG, "X509Certificate"));
    let certificate = certificates.next().ok_or_else(missing)?;
    if certificates.next().is_some() {
        return Err(missing());
    }
    decoded(certificate)
}

/// The elements inside, as many as the profile has; where `parent_namespace` is only named in the refusal.
fn children<'d, 'a, const N: usize>(
    parent: Element<'d, 'a>,
    parent_namespace: &str,
) -> Result<[Element<'d, 'a>; N], SignatureError> {
    let found: Vec<_> = parent.elements().take(N + 1).collect();
    found.try_into().map_err(|_| {
        SignatureError::Malformed(format!("{{{parent_namespace}}}{} must hold {N} elements", cut(parent.local())))
    })
}

fn expect(element: Element<'_, '_>, local: &str) -> Result<(), SignatureError> {
    if element.is(XMLDSIG, local) {
        Ok(())
    } else {
        Err(SignatureError::Malformed(format!("`{}` stands where ds:{local} belongs", cut(element.local()))))
    }
}

fn decoded(element: Element<'_, '_>) -> Result<Vec<u8>, SignatureError> {
    base64(&element.text())
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| SignatureError::Malformed(format!("{} is not base64", cut(element.local()))))
}

fn malformed(reason: &str) -> SignatureError {
    SignatureError::Malformed(reason.to_owned())
}

fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}
