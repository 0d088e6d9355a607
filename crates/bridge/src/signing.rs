//! Signatures of messages: made with the key of the organisation, verified against the global configuration.

use bytes::Bytes;
use civic::{ClientId, MemberId};
use trust::cert::Certificate;
use trust::digest::{self, DigestAlgorithm};
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

/// Signs a message for the organisation: `message` and `attachments` are the SHA-512 of its parts.
pub(crate) fn sign(core: &Core, side: Side, message: &[u8; 64], attachments: &[[u8; 64]]) -> Result<Signed, Fault> {
    let failed = |error: String| {
        let message = format!("{error}. The signing key and certificate of the node are to be looked at");
        Fault::new(side, Reason::CannotCreateSignature, message)
    };
    let ocsp = core.own_ocsp.signing().map_err(|error| failed(error.to_string()))?;
    let now = core.clock.now();
    // A hash chain needs two files at least: a message without attachments is always signed directly (as X-Road does).
    if core.config.batch_signatures && !attachments.is_empty() {
        let files = vec![std::iter::once(message).chain(attachments).map(|digest| digest.to_vec()).collect()];
        let built = hashchain::build(DigestAlgorithm::Sha512, hashchain::Files::SIGNATURE, &files)
            .map_err(|error| failed(error.to_string()))?;
        let chain = built.chains.into_iter().next().ok_or_else(|| failed("the hash chain is empty".to_owned()))?;
        let file = DataRef { name: xades::HASH_CHAIN_RESULT, sha512: digest::sha512(built.result.as_bytes()) };
        let signature = core.signer.sign(&[file], now, &[&ocsp]).map_err(|error| failed(error.to_string()))?;
        let batch = Some(BatchParts { result: Bytes::from(built.result), chain: Bytes::from(chain) });
        return Ok(Signed { signature: Bytes::from(signature), batch });
    }
    let names: Vec<String> = (1..=attachments.len()).map(attachment_name).collect();
    let mut files = vec![DataRef { name: xades::MESSAGE, sha512: *message }];
    files.extend(names.iter().zip(attachments).map(|(name, sha512)| DataRef { name, sha512: *sha512 }));
    let signature = core.signer.sign(&files, now, &[&ocsp]).map_err(|error| failed(error.to_string()))?;
    Ok(Signed { signature: Bytes::from(signature), batch: None })
}

/// Verifies that the organisation of a client signed exactly this message, with a certificate that is good now.
pub(crate) fn verify(core: &Core, side: Side, sender: &ClientId, envelope: &Envelope) -> Result<(), Fault> {
    let signature = Signature::parse(&envelope.signature).map_err(|error| refused(side, &error))?;
    let message = digest::sha512(envelope.message.bytes());
    let names: Vec<String> = (1..=envelope.attachments.len()).map(attachment_name).collect();
    let mut parts = vec![Part::sha512(xades::MESSAGE, &message)];
    let attachments = names.iter().zip(&envelope.attachments);
    parts.extend(attachments.map(|(name, attachment)| Part::sha512(name, attachment.body.sha512())));
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
    signature.check_value(certificate.certificate.public_key()).map_err(|error| refused(side, &error))?;
    let ocsp = signature.ocsp();
    let mut last = "the signature holds no OCSP response".to_owned();
    for response in ocsp {
        match core.trusted.accept_ocsp(&certificate.certificate, response, &snapshot) {
            Ok(()) => return Ok(()),
            Err(reason) => last = reason,
        }
    }
    Err(cert(last))
}

/// A signing certificate that leads to an approved authority.
#[derive(Clone)]
pub(crate) struct SigningCertificate {
    pub(crate) certificate: Certificate,
    pub(crate) member: MemberId,
}

/// Checks the signing certificate of a signature: chain, use, and whom it names. Revocation is asked apart.
pub(crate) fn check_certificate(signature: &Signature, snapshot: &Snapshot) -> Result<SigningCertificate, String> {
    let own = snapshot.own().ok_or("the global configuration has no own instance")?;
    let certificate = Certificate::from_der(signature.certificate()).map_err(|error| error.to_string())?;
    let mut extra = Vec::new();
    for der in signature.extra_certificates() {
        extra.push(Certificate::from_der(der).map_err(|error| error.to_string())?);
    }
    let member = own.check_sign_cert(&certificate, &extra, snapshot.now()).map_err(|error| error.to_string())?;
    Ok(SigningCertificate { certificate, member })
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
