//! Judging signatures with the certificates of the global configuration.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use civic::{ClientId, MemberId, Timestamp};

use super::{HashChain, Part, Signature, SignatureError, SignedFile};
use crate::cert::{CertError, Certificate, verify_chain};
use crate::globalconf::{FederatedInstance, TrustDir, TrustedCa};
use crate::keys::SignatureAlgorithm;
use crate::ocsp::{OcspError, OcspResponse, OcspStatus};

/// Certificates and OCSP answers that are remembered as good, each, for one instance.
const REMEMBERED_MAX: usize = 1_024;
/// For how long the signature of an OCSP answer is not checked again. Its age and status are looked at every time.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);
/// Certificates between a leaf and its anchor, both included.
const PATH_MAX: usize = 5;

/// Judges signatures and certificates with one global configuration. Make a new one for each new configuration.
///
/// A certificate that leads to an approved authority, and an OCSP answer whose signature is good, are remembered by their
/// bytes, so a node that hears from the same peers again checks one signature a message instead of three. What depends
/// on the moment (validity, age, status) is decided anew each time.
#[derive(Debug)]
pub struct Verifier {
    instances: BTreeMap<String, Instance>,
    time_stampers: Vec<Certificate>,
}

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Signing messages.
    Sign,
    /// Authenticating nodes to one another (TLS).
    Auth,
}

/// A certificate that was found good.
#[derive(Clone, Debug)]
pub struct GoodCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// The authority that issued it.
    pub issuer: Certificate,
    /// The member whom it names, where the profile of its authority says how; always for signing certificates.
    pub member: Option<MemberId>,
    /// The OCSP answer that says that it was good.
    pub ocsp: Arc<OcspResponse>,
}

/// Who signed, and what.
#[derive(Clone, Debug)]
pub struct VerifiedSigner {
    /// The member in the certificate: the member who speaks in the message.
    pub member: MemberId,
    /// The signing certificate.
    pub certificate: Certificate,
    /// The OCSP answer inside the signature.
    pub ocsp: Arc<OcspResponse>,
    /// How the signature was made.
    pub algorithm: SignatureAlgorithm,
    /// When the signer says to have signed.
    pub signing_time: Option<Timestamp>,
    /// The files that are signed.
    pub files: Vec<SignedFile>,
}

#[derive(Debug)]
struct Instance {
    name: String,
    cas: Vec<TrustedCa>,
    ocsp_freshness: Duration,
    /// By the bytes of the certificate.
    certificates: Mutex<HashMap<Vec<u8>, Arc<Known>>>,
    /// By the bytes of the response.
    answers: Mutex<HashMap<Vec<u8>, Answer>>,
}

/// A certificate with its way to an anchor; the signatures on the way are good.
#[derive(Debug)]
struct Known {
    certificate: Certificate,
    /// Indexes into the authorities, the issuer first, the anchor last.
    path: Vec<usize>,
    /// Whom the subject names; `None` where the profile of the issuer is unknown.
    member: Option<Result<MemberId, CertError>>,
    from: Timestamp,
    until: Timestamp,
}

#[derive(Clone, Debug)]
struct Answer {
    response: Arc<OcspResponse>,
    verified_at: Timestamp,
    /// SHA-256 of the certificate of the authority for which the signer may answer.
    issuer: [u8; 32],
}

impl Verifier {
    /// A verifier for this configuration.
    pub fn new(trust: &TrustDir) -> Self {
        let instances =
            trust.instances().map(Instance::new).map(|instance| (instance.name.clone(), instance)).collect();
        let time_stampers = trust.instances().flat_map(FederatedInstance::tsas).map(|tsa| tsa.cert.clone()).collect();
        Self { instances, time_stampers }
    }

    /// Reads and judges the signature of a message. `signer` is who speaks in the message: the client of a request, the
    /// provider of a response. `at` is now for a live message, the moment of the time stamp for a kept one.
    pub fn verify_message(
        &self,
        signature: &[u8],
        parts: &[Part<'_>],
        hash_chain: Option<HashChain<'_>>,
        signer: &ClientId,
        at: Timestamp,
    ) -> Result<VerifiedSigner, SignatureError> {
        self.verify(&Signature::parse(signature)?, parts, hash_chain, signer, at)
    }

    /// Judges a signature that was read before.
    pub fn verify(
        &self,
        signature: &Signature,
        parts: &[Part<'_>],
        hash_chain: Option<HashChain<'_>>,
        signer: &ClientId,
        at: Timestamp,
    ) -> Result<VerifiedSigner, SignatureError> {
        let instance = self.instance(signer.member().instance())?;
        let files = signature.check_files(parts, hash_chain)?;
        let known = instance.known(signature.certificate(), at)?;
        signature.check_value(known.certificate.public_key())?;
        let ocsp: Vec<&[u8]> = signature.ocsp().iter().map(Vec::as_slice).collect();
        let good = instance.judge(&known, &ocsp, Usage::Sign, at)?;
        let member = good.member.ok_or_else(|| SignatureError::Profile(String::new()))?;
        if member != *signer.member() {
            return Err(SignatureError::Signer { certificate: Box::new(member), message: Box::new(signer.clone()) });
        }
        Ok(VerifiedSigner {
            member,
            certificate: good.certificate,
            ocsp: good.ocsp,
            algorithm: signature.algorithm(),
            signing_time: signature.signing_time(),
            files,
        })
    }

    /// Judges a certificate alone: it leads to an authority that this instance approves for the usage, is valid, and one
    /// of the OCSP responses (DER) says that it is good. For TLS between nodes and before signing with a certificate.
    pub fn certificate(
        &self,
        instance: &str,
        certificate: &[u8],
        ocsp: &[&[u8]],
        usage: Usage,
        at: Timestamp,
    ) -> Result<GoodCertificate, SignatureError> {
        let instance = self.instance(instance)?;
        let known = instance.known(certificate, at)?;
        instance.judge(&known, ocsp, usage, at)
    }

    /// The authority that issued this certificate, among those that the instance approves; `None` where there is none.
    pub fn issuer(&self, instance: &str, certificate: &Certificate) -> Option<&Certificate> {
        let instance = self.instances.get(instance)?;
        let place = instance.issuer_of(certificate).ok()?;
        instance.cas.get(place).map(|ca| &ca.cert)
    }

    /// The time-stamping authorities that are approved in any instance: a stamp counts wherever its authority is known.
    pub fn time_stampers(&self) -> &[Certificate] {
        &self.time_stampers
    }

    fn instance(&self, name: &str) -> Result<&Instance, SignatureError> {
        self.instances.get(name).ok_or_else(|| SignatureError::UnknownInstance(name.chars().take(64).collect()))
    }
}

impl Instance {
    fn new(instance: &FederatedInstance) -> Self {
        let shared = instance.shared();
        Self {
            name: shared.instance.clone(),
            cas: instance.cas().to_vec(),
            ocsp_freshness: Duration::from_secs(u64::from(shared.ocsp_freshness_s)),
            certificates: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// The certificate with its way to an anchor, valid at that moment.
    fn known(&self, der: &[u8], at: Timestamp) -> Result<Arc<Known>, SignatureError> {
        let remembered = locked(&self.certificates).get(der).cloned();
        if let Some(known) = remembered.filter(|known| known.from <= at && at <= known.until) {
            return Ok(known);
        }
        let certificate = Certificate::from_der(der)?;
        let path = self.path(&certificate)?;
        let on_path = || path.iter().filter_map(|place| self.cas.get(*place)).map(|ca| &ca.cert);
        let above: Vec<Certificate> = on_path().cloned().collect();
        verify_chain(&certificate, &above, above.last().map(std::slice::from_ref).unwrap_or_default(), at)?;
        let all = || on_path().chain([&certificate]);
        let profile = path.first().and_then(|place| self.cas.get(*place)?.profile.as_ref());
        let known = Arc::new(Known {
            member: profile.map(|profile| profile.member(certificate.subject(), &self.name)),
            from: all().map(Certificate::not_before).max().unwrap_or(at),
            until: all().map(Certificate::not_after).min().unwrap_or(at),
            certificate,
            path,
        });
        let mut certificates = locked(&self.certificates);
        if certificates.len() >= REMEMBERED_MAX {
            certificates.clear();
        }
        certificates.insert(der.to_vec(), Arc::clone(&known));
        Ok(known)
    }

    /// From the issuer of the certificate to an anchor, only over approved authorities.
    fn path(&self, certificate: &Certificate) -> Result<Vec<usize>, SignatureError> {
        let mut path = vec![self.issuer_of(certificate)?];
        while let Some(ca) = path.last().and_then(|place| self.cas.get(*place)).filter(|ca| !ca.is_anchor) {
            if path.len() >= PATH_MAX {
                return Err(no_anchor(&ca.cert).into());
            }
            path.push(self.issuer_of(&ca.cert)?);
        }
        Ok(path)
    }

    fn issuer_of(&self, certificate: &Certificate) -> Result<usize, SignatureError> {
        let mut refusal = None;
        for (place, ca) in self.cas.iter().enumerate() {
            if ca.cert.subject().der() == certificate.issuer().der() {
                match certificate.verify_signed_by(&ca.cert) {
                    Ok(()) => return Ok(place),
                    Err(error) => refusal = Some(error),
                }
            }
        }
        Err(refusal.unwrap_or_else(|| no_anchor(certificate)).into())
    }

    fn judge(
        &self,
        known: &Known,
        ocsp: &[&[u8]],
        usage: Usage,
        at: Timestamp,
    ) -> Result<GoodCertificate, SignatureError> {
        let certificate = &known.certificate;
        let suits = match usage {
            Usage::Sign => certificate.is_sign_certificate(),
            Usage::Auth => certificate.is_auth_certificate(),
        };
        let issuer = known
            .path
            .first()
            .and_then(|place| self.cas.get(*place))
            .ok_or_else(|| SignatureError::Certificate(no_anchor(certificate)))?;
        if !suits || usage == Usage::Sign && issuer.authentication_only {
            return Err(SignatureError::Usage { subject: certificate.subject().to_string(), usage });
        }
        // The leaf, then every intermediate authority, must have an answer (as X-Road's peers do).
        let answer = self.good(certificate, issuer, ocsp, at)?;
        for pair in known.path.windows(2) {
            if let [below, above] = pair
                && let (Some(below), Some(above)) = (self.cas.get(*below), self.cas.get(*above))
            {
                self.good(&below.cert, above, ocsp, at)?;
            }
        }
        let member = match (&known.member, usage) {
            (Some(Ok(member)), _) => Some(member.clone()),
            (Some(Err(error)), Usage::Sign) => return Err(error.clone().into()),
            (None, Usage::Sign) => return Err(SignatureError::Profile(issuer.name.clone())),
            (_, Usage::Auth) => None,
        };
        Ok(GoodCertificate { certificate: certificate.clone(), issuer: issuer.cert.clone(), member, ocsp: answer })
    }

    /// The OCSP answer that says that the certificate is good.
    fn good(
        &self,
        certificate: &Certificate,
        issuer: &TrustedCa,
        ocsp: &[&[u8]],
        at: Timestamp,
    ) -> Result<Arc<OcspResponse>, SignatureError> {
        let mut refusal = None;
        for der in ocsp {
            let response = match self.answer(der, issuer, at) {
                Ok(response) => response,
                Err(error) => {
                    refusal = Some(error.into());
                    continue;
                }
            };
            match response.status(certificate, &issuer.cert, at, self.ocsp_freshness) {
                Ok(OcspStatus::Good) => return Ok(response),
                Ok(status) => {
                    return Err(SignatureError::NotGood { subject: certificate.subject().to_string(), status });
                }
                Err(OcspError::OtherCertificate { .. }) => {}
                Err(error) => refusal = Some(error.into()),
            }
        }
        Err(refusal.unwrap_or_else(|| SignatureError::NoOcsp { subject: certificate.subject().to_string() }))
    }

    /// The response, signed by one who may answer for the issuer.
    fn answer(&self, der: &[u8], issuer: &TrustedCa, at: Timestamp) -> Result<Arc<OcspResponse>, OcspError> {
        let remembered = locked(&self.answers).get(der).cloned();
        if let Some(answer) = remembered
            && answer.issuer == issuer.cert.sha256()
            && answer.verified_at <= at
            && at.since(answer.verified_at) <= REMEMBERED_FOR
        {
            return Ok(answer.response);
        }
        let response = Arc::new(OcspResponse::from_der(der)?);
        if !response.answers().iter().any(|answer| answer.id.is_of_issuer(&issuer.cert)) {
            return Err(OcspError::OtherCertificate { subject: issuer.cert.subject().to_string() });
        }
        response.verify_responder(&issuer.cert, &issuer.ocsp_responders, at)?;
        let mut answers = locked(&self.answers);
        if answers.len() >= REMEMBERED_MAX {
            answers.clear();
        }
        let issuer = issuer.cert.sha256();
        answers.insert(der.to_vec(), Answer { response: Arc::clone(&response), verified_at: at, issuer });
        Ok(response)
    }
}

fn no_anchor(certificate: &Certificate) -> CertError {
    CertError::NoAnchor { subject: certificate.subject().to_string(), issuer: certificate.issuer().to_string() }
}

/// A panic elsewhere cannot leave these maps half written.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
