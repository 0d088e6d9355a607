//! A management request with the proofs beside it (PR-MSERV §2.1, §2.3): `multipart/related`, the SOAP message first.

use std::time::Duration;

use civic::{ClientId, Random, Timestamp, random_hex};

use super::{Command, ManagementRequest, MservError, REQUEST_BYTES_MAX};
use crate::cert::Certificate;
use crate::globalconf::FederatedInstance;
use crate::keys::{KeyKind, SignatureAlgorithm, SigningKey};
use crate::mime;
use crate::ocsp::{OcspResponse, OcspStatus};

const AUTH_PARTS: &str = "proof of the authentication key, signature of the owner, authentication certificate, signing \
                          certificate, OCSP answer";
const SIGNED_PARTS: &str = "signature, signing certificate, OCSP answer";

/// The names that X-Road gives signature algorithms in `signature-algorithm-id`.
const ALGORITHMS: [(&str, SignatureAlgorithm); 9] = [
    ("SHA256withECDSA", SignatureAlgorithm::EcdsaSha256Der),
    ("SHA384withECDSA", SignatureAlgorithm::EcdsaSha384Der),
    ("SHA512withECDSA", SignatureAlgorithm::EcdsaSha512Der),
    ("SHA256withRSA", SignatureAlgorithm::RsaPkcs1Sha256),
    ("SHA384withRSA", SignatureAlgorithm::RsaPkcs1Sha384),
    ("SHA512withRSA", SignatureAlgorithm::RsaPkcs1Sha512),
    ("SHA256withRSAandMGF1", SignatureAlgorithm::RsaPssSha256),
    ("SHA384withRSAandMGF1", SignatureAlgorithm::RsaPssSha384),
    ("SHA512withRSAandMGF1", SignatureAlgorithm::RsaPssSha512),
];

/// MIME headers of a part.
pub type PartHeaders = Vec<(&'static str, &'static str)>;

/// A signature over the SOAP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSignature {
    /// How it was made; ECDSA in DER.
    pub algorithm: SignatureAlgorithm,
    /// The signature.
    pub bytes: Vec<u8>,
}

/// What is posted to the authority or sent through the management service's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The SOAP message, byte for byte what is signed.
    pub soap: Vec<u8>,
    /// `authCertReg` only: the signature of the authentication key, and its certificate (DER).
    pub proof: Option<(PartSignature, Vec<u8>)>,
    /// The signature of the member, its signing certificate (DER), and an OCSP answer (DER) that says it is good.
    pub signer: Option<(PartSignature, Vec<u8>, Vec<u8>)>,
}

impl Envelope {
    /// A registration of an authentication certificate: signed by its key, which proves possession, and by the owner of
    /// the node. `ocsp` is the answer (DER) for the signing certificate.
    pub fn auth_cert_reg(
        request: &ManagementRequest,
        auth_key: &SigningKey,
        sign_key: &SigningKey,
        sign_cert: &Certificate,
        ocsp: &[u8],
    ) -> Result<Self, MservError> {
        let Command::AuthCertReg { auth_cert, .. } = &request.command else {
            return Err(MservError::Malformed("it is no authCertReg"));
        };
        let soap = request.to_soap();
        Ok(Self {
            proof: Some((sign(auth_key, &soap)?, auth_cert.clone())),
            signer: Some((sign(sign_key, &soap)?, sign_cert.der().to_vec(), ocsp.to_vec())),
            soap,
        })
    }

    /// Another request, signed by the member that [`Command::signer`] names; without signature where it names none.
    pub fn signed(
        request: &ManagementRequest,
        sign_key: &SigningKey,
        sign_cert: &Certificate,
        ocsp: &[u8],
    ) -> Result<Self, MservError> {
        let soap = request.to_soap();
        let signer = match request.command.signer() {
            Some(_) => Some((sign(sign_key, &soap)?, sign_cert.der().to_vec(), ocsp.to_vec())),
            None => None,
        };
        Ok(Self { soap, proof: None, signer })
    }

    /// Content type and body. One without signatures is plain `text/xml`. The random bytes only make the boundary.
    pub fn to_http(&self, boundary: &dyn Random) -> (String, Vec<u8>) {
        if self.signer.is_none() {
            return ("text/xml; charset=UTF-8".to_owned(), self.soap.clone());
        }
        let boundary = random_hex::<12>(boundary);
        let mut body = Vec::with_capacity(self.soap.len() + 8 * 1024);
        let mut part = |headers: &[(&str, &str)], content: &[u8]| {
            body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            for (name, value) in headers {
                body.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            body.extend_from_slice(b"\r\n");
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        };
        part(&[("Content-Type", "text/xml; charset=UTF-8")], &self.soap);
        for (headers, content) in self.attachments() {
            part(&headers, content);
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        (format!("multipart/related; type=\"text/xml\"; charset=UTF-8; boundary={boundary}"), body)
    }

    /// What goes beside the SOAP message, in its order: MIME headers and content.
    pub fn attachments(&self) -> Vec<(PartHeaders, &[u8])> {
        let Some((signature, sign_cert, ocsp)) = &self.signer else { return Vec::new() };
        let binary = ("Content-Type", "application/octet-stream");
        let signed = |signature: &PartSignature| {
            let name = name_of(signature.algorithm).map(|name| ("signature-algorithm-id", name));
            std::iter::once(binary).chain(name).collect()
        };
        let mut parts: Vec<(PartHeaders, &[u8])> = Vec::with_capacity(5);
        if let Some((proof, _)) = &self.proof {
            parts.push((signed(proof), &proof.bytes));
        }
        parts.push((signed(signature), &signature.bytes));
        if let Some((_, auth_cert)) = &self.proof {
            parts.push((vec![binary], auth_cert));
        }
        parts.push((vec![binary], sign_cert));
        parts.push((vec![binary], ocsp));
        parts
    }

    /// Reads what [`Self::to_http`] or X-Road's nodes send, and the request inside. Nothing is verified yet.
    pub fn read(content_type: &str, body: &[u8]) -> Result<(Self, ManagementRequest), MservError> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(MservError::TooLarge { len: body.len() });
        }
        let head = format!("content-type: {content_type}\r\n\r\n");
        let (head, _) = mime::headers(head.as_bytes()).map_err(|error| MservError::Malformed(error.0))?;
        let (kind, boundary) =
            head.with_parameter("content-type", "boundary").ok_or(MservError::Malformed("it has no content type"))?;
        let (soap, parts) = match boundary {
            Some(boundary) if kind.eq_ignore_ascii_case("multipart/related") => split(body, boundary)?,
            None if kind.eq_ignore_ascii_case("text/xml") => (body.to_vec(), Vec::new()),
            _ => return Err(MservError::Malformed("it is neither text/xml nor multipart/related")),
        };
        let request = ManagementRequest::from_soap(&soap)?;
        let envelope = match (&request.command, parts.as_slice()) {
            (Command::AuthCertReg { .. }, [proof, owner, auth_cert, sign_cert, ocsp]) => Self {
                proof: Some((proof.signature()?, auth_cert.content.clone())),
                signer: Some((owner.signature()?, sign_cert.content.clone(), ocsp.content.clone())),
                soap,
            },
            (Command::AuthCertReg { .. }, other) => {
                return Err(MservError::Parts { expected: 5, found: other.len(), what: AUTH_PARTS });
            }
            (command, _) if command.signer().is_none() => Self { soap, proof: None, signer: None },
            (_, [signature, sign_cert, ocsp]) => Self {
                signer: Some((signature.signature()?, sign_cert.content.clone(), ocsp.content.clone())),
                soap,
                proof: None,
            },
            (_, other) => return Err(MservError::Parts { expected: 3, found: other.len(), what: SIGNED_PARTS }),
        };
        Ok((envelope, request))
    }

    /// Checks everything that the request must prove at this moment: addressed to the management service; signed by the
    /// member that must; the signing certificate issued by an approved authority, for that member, in force, good by an
    /// OCSP answer no older than `ocsp_freshness`; for `authCertReg` also possession of the authentication key, whose
    /// certificate an approved authority issued for TLS. Who sent a request without own signature is the node's to say
    /// that brought it as an X-Road message.
    pub fn verify(
        &self,
        request: &ManagementRequest,
        provider: &ClientId,
        trust: &FederatedInstance,
        at: Timestamp,
        ocsp_freshness: Duration,
    ) -> Result<(), MservError> {
        if request.provider != *provider {
            let (found, expected) = (request.provider.to_string(), provider.to_string());
            return Err(MservError::OtherProvider { found, expected });
        }
        if let Command::AuthCertReg { auth_cert, .. } = &request.command {
            let missing = MservError::Parts { expected: 5, found: 0, what: AUTH_PARTS };
            let (proof, sent) = self.proof.as_ref().ok_or(missing)?;
            if sent != auth_cert {
                return Err(MservError::OtherCertificate);
            }
            let certificate = Certificate::from_der(auth_cert)?;
            trust.check_auth_cert(&certificate, &[], at)?;
            check(proof, &certificate, &self.soap, "authentication key's")?;
        }
        let Some(expected) = request.command.signer() else { return Ok(()) };
        let missing = MservError::Parts { expected: 3, found: 0, what: SIGNED_PARTS };
        let (signature, sign_cert, ocsp) = self.signer.as_ref().ok_or(missing)?;
        let certificate = Certificate::from_der(sign_cert)?;
        let found = trust.check_sign_cert(&certificate, &[], at)?;
        if found != *expected {
            return Err(MservError::OtherSigner { found: found.to_string(), expected: expected.to_string() });
        }
        check(signature, &certificate, &self.soap, "member's")?;
        check_ocsp(&certificate, ocsp, trust, at, ocsp_freshness)
    }
}

struct Part {
    algorithm: Option<String>,
    content: Vec<u8>,
}

impl Part {
    fn signature(&self) -> Result<PartSignature, MservError> {
        let name = self.algorithm.clone().ok_or(MservError::Malformed("a signature names no algorithm"))?;
        let known = ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm);
        let algorithm = known.ok_or_else(|| MservError::Algorithm(name.chars().take(64).collect()))?;
        Ok(PartSignature { algorithm, bytes: self.content.clone() })
    }
}

/// The first part, and the others.
fn split(body: &[u8], boundary: &str) -> Result<(Vec<u8>, Vec<Part>), MservError> {
    let malformed = |error: mime::MimeError| MservError::Malformed(error.0);
    let (parts, closed) = mime::parts(body, boundary).map_err(malformed)?;
    if !closed {
        return Err(MservError::Malformed("its end is missing"));
    }
    let mut read = Vec::with_capacity(parts.len());
    for part in parts {
        let (head, content) = mime::headers(part).map_err(malformed)?;
        let encoding = head.get("content-transfer-encoding").unwrap_or("binary");
        if !["binary", "8bit", "7bit"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain)) {
            return Err(MservError::Malformed("a part has a content transfer encoding; send the bytes as they are"));
        }
        let algorithm = head.get("signature-algorithm-id").map(str::to_owned);
        read.push(Part { algorithm, content: content.to_vec() });
    }
    let mut read = read.into_iter();
    let soap = read.next().ok_or(MservError::Malformed("it has no parts"))?;
    Ok((soap.content, read.collect()))
}

fn sign(key: &SigningKey, soap: &[u8]) -> Result<PartSignature, MservError> {
    let algorithm = match key.kind() {
        // No name in X-Road's list; no federation has such member keys.
        KeyKind::Ed25519 => return Err(MservError::Algorithm("Ed25519".to_owned())),
        _ => key.default_xml_algorithm().der_form(),
    };
    Ok(PartSignature { algorithm, bytes: key.sign(algorithm, soap)? })
}

fn name_of(algorithm: SignatureAlgorithm) -> Option<&'static str> {
    ALGORITHMS.iter().find(|(_, known)| *known == algorithm).map(|(name, _)| *name)
}

fn check(
    signature: &PartSignature,
    certificate: &Certificate,
    soap: &[u8],
    whose: &'static str,
) -> Result<(), MservError> {
    let verdict = certificate.public_key().verify(signature.algorithm, soap, &signature.bytes);
    verdict.map_err(|_| MservError::Signature { whose })
}

fn check_ocsp(
    certificate: &Certificate,
    ocsp: &[u8],
    trust: &FederatedInstance,
    at: Timestamp,
    freshness: Duration,
) -> Result<(), MservError> {
    let subject = || certificate.subject().to_string();
    let issuer = trust.issuer_of(certificate).ok_or_else(|| MservError::UnknownIssuer { subject: subject() })?;
    let response = OcspResponse::from_der(ocsp)?;
    match response.verify(certificate, &issuer.cert, at, freshness, &issuer.ocsp_responders)? {
        OcspStatus::Good => Ok(()),
        other => Err(MservError::NotGood { subject: subject(), status: format!("{other:?}") }),
    }
}
