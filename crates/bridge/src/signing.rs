//! Signatures of messages: made with the key of the organisation, verified against the global configuration.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use civic::{ClientId, MemberId};
use tokio::sync::oneshot;
use trust::cert::Certificate;
use trust::digest::{self, Digest, DigestAlgorithm};
use trust::hashchain;
use trust::xades::{self, DataRef, HashChain, Part, Signature, SignatureError};

use crate::core::Core;
use crate::fault::{Fault, Reason, Side};
use crate::globalconf::Snapshot;
use crate::transport::{BatchParts, Envelope};

/// The name of an attachment in a signature; the first has number 1.
fn attachment_name(number: usize) -> String {
    format!("/attachment{number}")
}

/// A signature and what stands beside it.
pub(crate) struct Signed {
    pub(crate) signature: Bytes,
    pub(crate) batch: Option<BatchParts>,
}

/// Signs a message for a member whom the node serves, by the digests of its parts, which are all of one algorithm. Where batch signatures are on, one
/// signature serves all messages of that member that wait at this moment.
pub(crate) async fn sign(
    core: &Core,
    side: Side,
    member: &MemberId,
    message: &Digest,
    attachments: &[Digest],
) -> Result<Signed, Fault> {
    let failed = |error: String| {
        let message = format!("{error}. The signing key and certificate of the node are to be looked at");
        Fault::new(side, Reason::CannotCreateSignature, message)
    };
    if core.config.batch_signatures {
        return core.signatures.sign(core, member, message, attachments).await.map_err(failed);
    }
    let names: Vec<String> = (1..=attachments.len()).map(attachment_name).collect();
    let mut files = vec![DataRef { name: xades::MESSAGE, digest: *message }];
    files.extend(names.iter().zip(attachments).map(|(name, digest)| DataRef { name, digest: *digest }));
    Ok(Signed { signature: sign_files(core, member, &files).map_err(failed)?, batch: None })
}

fn sign_files(core: &Core, member: &MemberId, files: &[DataRef<'_>]) -> Result<Bytes, String> {
    let (signer, ocsp) = core.own_ocsp.signer(member).map_err(|error| error.to_string())?;
    let signature = signer.sign(files, core.clock.now(), &[&ocsp]).map_err(|error| error.to_string())?;
    Ok(Bytes::from(signature))
}

/// Verifies that the organisation of a client signed exactly this message, with a certificate that is good now. Answers with what tells
/// this act of signing from others; messages of a batch share it.
pub(crate) fn verify(core: &Core, side: Side, sender: &ClientId, envelope: &Envelope) -> Result<[u8; 32], Fault> {
    // The messages of a batch share their signature: its value is verified once.
    let shared = envelope.batch.as_ref().map(|_| digest::sha256(&envelope.signature));
    let known = shared.and_then(|digest| core.signatures.verified(&digest));
    let is_known = known.is_some();
    let signature = match known {
        Some(signature) => signature,
        None => Arc::new(core.log.read_signature(&envelope.signature).map_err(|error| refused(side, &error))?),
    };
    let names: Vec<String> = (1..=envelope.attachments.len()).map(attachment_name).collect();
    let mut parts = vec![Part::bytes(xades::MESSAGE, envelope.message.bytes())];
    let attachments = names.iter().zip(&envelope.attachments);
    parts.extend(attachments.map(|(name, attachment)| Part::digest(name, attachment.body.digest())));
    let chain = envelope.batch.as_ref().map(|batch| HashChain { result: &batch.result, chain: &batch.chain });
    signature.check_files(&parts, chain).map_err(|error| refused(side, &error))?;
    let snapshot = core.configuration(side)?;
    let cert = |reason: String| {
        let message = format!("{reason}. The certificate of the sender is to be looked at");
        Fault::new(side, Reason::CertValidation, message)
    };
    let certificate = core.trusted.signing_certificate(&signature, &snapshot).map_err(cert)?;
    if certificate.member != *sender.member() {
        let message = format!("{} signed for {}", certificate.member, sender.member());
        return Err(cert(message));
    }
    if !is_known {
        signature.check_value(certificate.certificate.public_key()).map_err(|error| refused(side, &error))?;
        if let Some(digest) = shared {
            core.signatures.remember(digest, &signature);
        }
    }
    let ocsp = signature.ocsp();
    let mut last = "the signature holds no OCSP response".to_owned();
    for response in ocsp {
        match core.trusted.accept_ocsp(&certificate.certificate, response, &snapshot) {
            Ok(()) => return Ok(signature.act()),
            Err(reason) => last = reason,
        }
    }
    Err(cert(last))
}

/// How many messages one signature serves at most.
const BATCH_MAX: usize = 256;
/// How often a message that waits for company gives the others their turn.
const TURNS_MAX: usize = 16;
/// How many signatures of batches are remembered as verified.
const VERIFIED_MAX: usize = 256;

/// Messages that wait for a signature of their member, and signatures of batches that were verified.
#[derive(Default)]
pub(crate) struct Signatures {
    waiting: Mutex<HashMap<MemberId, Vec<Waiting>>>,
    verified: Mutex<Verified>,
}

struct Waiting {
    digests: Vec<Digest>,
    done: oneshot::Sender<Result<Signed, String>>,
}

impl Waiting {
    fn algorithm(&self) -> Option<DigestAlgorithm> {
        self.digests.first().map(Digest::algorithm)
    }
}

#[derive(Default)]
struct Verified {
    signatures: HashMap<[u8; 32], Arc<Signature>>,
    order: VecDeque<[u8; 32]>,
}

impl Signatures {
    /// Signs together with whatever else of the member waits. Each gives the others their turn for as long as more come; whoever finds first that none
    /// came signs for all: nobody waits for a clock, and a task that is given up leaves nobody waiting.
    async fn sign(
        &self,
        core: &Core,
        member: &MemberId,
        message: &Digest,
        attachments: &[Digest],
    ) -> Result<Signed, String> {
        let digests = std::iter::once(message).chain(attachments).copied().collect();
        let (done, signed) = oneshot::channel();
        let mut waiting = self.enter(member, Waiting { digests, done });
        for _ in 0..TURNS_MAX {
            tokio::task::yield_now().await;
            let now = self.lock().get(member).map_or(0, Vec::len);
            if now <= waiting {
                break;
            }
            waiting = now;
        }
        let all = self.lock().remove(member).unwrap_or_default();
        let all = all.into_iter().filter(|waiting| !waiting.done.is_closed());
        // All files of a hash chain are digested alike.
        let (alike, others): (Vec<_>, Vec<_>) =
            all.partition(|waiting| waiting.algorithm() == Some(message.algorithm()));
        for mut all in [alike, others] {
            while !all.is_empty() {
                let rest = all.split_off(all.len().min(BATCH_MAX));
                sign_batch(core, member, all);
                all = rest;
            }
        }
        signed.await.unwrap_or_else(|_| Err("the batch of this message was given up".to_owned()))
    }

    /// How many of the member wait now.
    fn enter(&self, member: &MemberId, message: Waiting) -> usize {
        let mut waiting = self.lock();
        // Looked up first: the name is copied for the first of a batch only.
        if let Some(of_member) = waiting.get_mut(member) {
            of_member.push(message);
            return of_member.len();
        }
        waiting.insert(member.clone(), vec![message]);
        1
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MemberId, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verified(&self, digest: &[u8; 32]) -> Option<Arc<Signature>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).signatures.get(digest).cloned()
    }

    fn remember(&self, digest: [u8; 32], signature: &Arc<Signature>) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.signatures.insert(digest, Arc::clone(signature)).is_none() {
            verified.order.push_back(digest);
        }
        if verified.order.len() > VERIFIED_MAX
            && let Some(oldest) = verified.order.pop_front()
        {
            verified.signatures.remove(&oldest);
        }
    }
}

/// One signature of the member for these messages, told to each.
fn sign_batch(core: &Core, member: &MemberId, batch: Vec<Waiting>) {
    let (digests, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.digests, one.done)).unzip();
    core.metrics.signed_together(digests.len());
    match signed_batch(core, member, &digests) {
        Ok(signed) => {
            for (done, signed) in waiting.into_iter().zip(signed) {
                let _ = done.send(Ok(signed));
            }
        }
        Err(error) => {
            for done in waiting {
                let _ = done.send(Err(error.clone()));
            }
        }
    }
}

fn signed_batch(core: &Core, member: &MemberId, messages: &[Vec<Digest>]) -> Result<Vec<Signed>, String> {
    // A hash chain needs two files at least: a message alone in all respects is signed directly (as X-Road does).
    if let [message] = messages
        && let [digest] = message.as_slice()
    {
        let file = DataRef { name: xades::MESSAGE, digest: *digest };
        let signature = sign_files(core, member, &[file])?;
        return Ok(vec![Signed { signature, batch: None }]);
    }
    let algorithm =
        messages.first().and_then(|message| message.first()).map_or(DigestAlgorithm::Sha512, Digest::algorithm);
    let digests: Vec<Vec<Vec<u8>>> =
        messages.iter().map(|message| message.iter().map(|digest| digest.bytes().to_vec()).collect()).collect();
    let built =
        hashchain::build(algorithm, hashchain::Files::SIGNATURE, &digests).map_err(|error| error.to_string())?;
    let file = DataRef { name: xades::HASH_CHAIN_RESULT, digest: Digest::of(algorithm, built.result.as_bytes()) };
    let (signature, result) = (sign_files(core, member, &[file])?, Bytes::from(built.result));
    let one = |chain: String| Signed {
        signature: signature.clone(),
        batch: Some(BatchParts { result: result.clone(), chain: Bytes::from(chain) }),
    };
    Ok(built.chains.into_iter().map(one).collect())
}

/// A signing certificate that leads to an approved authority.
#[derive(Clone)]
pub(crate) struct SigningCertificate {
    pub(crate) certificate: Certificate,
    pub(crate) member: MemberId,
}

/// Checks the signing certificate of a signature: chain, use, and whom it names. An authority speaks for members of the instance
/// that approved it only. Revocation is asked apart.
pub(crate) fn check_certificate(signature: &Signature, snapshot: &Snapshot) -> Result<SigningCertificate, String> {
    let certificate = Certificate::from_der(signature.certificate()).map_err(|error| error.to_string())?;
    let mut extra = Vec::new();
    for der in signature.extra_certificates() {
        extra.push(Certificate::from_der(der).map_err(|error| error.to_string())?);
    }
    let mut first = None;
    for instance in snapshot.in_force() {
        match instance.check_sign_cert(&certificate, &extra, snapshot.now()) {
            Ok(member) => return Ok(SigningCertificate { certificate, member }),
            Err(error) => first = first.or(Some(error.to_string())),
        }
    }
    Err(first.unwrap_or_else(|| "the global configuration has expired".to_owned()))
}

fn refused(side: Side, error: &SignatureError) -> Fault {
    let reason = match error {
        SignatureError::HashChain(_) | SignatureError::HashChainMisplaced(_) => Reason::InvalidHashChain,
        SignatureError::NotSigned(_) | SignatureError::Missing(_) | SignatureError::Digest(_) => {
            Reason::InvalidReference
        }
        SignatureError::Value | SignatureError::SignedProperties => Reason::InvalidSignatureValue,
        SignatureError::SigningCertificate => Reason::CertValidation,
        _ => Reason::MalformedSignature,
    };
    Fault::new(side, reason, format!("{error}. The message was altered on its way, or its sender is to be looked at"))
}
