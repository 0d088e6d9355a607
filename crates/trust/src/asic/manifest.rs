//! Reading `META-INF/ASiCManifest.xml`: it must not contradict what is stamped.

use super::AsicError;
use crate::digest::constant_time_eq;
use crate::xml::{Document, Limits};
use crate::xmldsig::{XMLDSIG, base64, digest_algorithm};

/// The manifest refers to the time stamp's hash chain result with its digest, and to nothing else.
pub(super) fn check(manifest: &[u8], result: &[u8]) -> Result<(), AsicError> {
    let wrong = || AsicError::Manifest;
    let document = Document::parse(manifest, &Limits::SMALL).map_err(|_| wrong())?;
    let mut references = document.root().named("DataObjectReference");
    let reference = references.next().ok_or_else(wrong)?;
    let algorithm = reference
        .child(XMLDSIG, "DigestMethod")
        .and_then(|method| digest_algorithm(method.attribute("Algorithm")?))
        .ok_or_else(wrong)?;
    let digest = reference.child(XMLDSIG, "DigestValue").and_then(|value| base64(&value.text())).ok_or_else(wrong)?;
    let named = reference.attribute("URI").is_some_and(|uri| uri.trim_start_matches('/') == "ts-hashchainresult.xml");
    if references.next().is_none() && named && constant_time_eq(&algorithm.digest(result), &digest) {
        Ok(())
    } else {
        Err(wrong())
    }
}
