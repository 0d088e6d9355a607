//! Words of XML Signature (W3C xmldsig-core, RFC 6931) that signatures and hash chains share.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::DigestAlgorithm;

/// The namespace of XML signatures.
pub(crate) const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// The digest algorithm with this identifier, where signatures may use it: SHA-1 may not be used.
pub(crate) fn digest_algorithm(uri: &str) -> Option<DigestAlgorithm> {
    DigestAlgorithm::from_xml_uri(uri).filter(|algorithm| *algorithm != DigestAlgorithm::Sha1)
}

/// The text without white space: base64 is folded into lines by many writers.
pub(crate) fn without_space(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        Cow::Owned(text.chars().filter(|character| !character.is_ascii_whitespace()).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Decodes folded base64.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(without_space(text).as_bytes()).ok()
}

/// Appends base64 with padding.
pub(crate) fn push_base64(bytes: &[u8], text: &mut String) {
    STANDARD.encode_string(bytes, text);
}
