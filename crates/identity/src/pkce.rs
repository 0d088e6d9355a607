//! Proof key for code exchange (RFC 7636), method S256 only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use trust::digest::{constant_time_eq, sha256};

/// The challenge of a verifier: base64url of its SHA-256, without padding (RFC 7636 §4.2).
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()))
}

/// Whether a text can be an S256 challenge: 43 characters that decode to 32 bytes.
pub(crate) fn is_challenge(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// Whether the verifier has the shape of RFC 7636 §4.1 and fits the challenge.
pub(crate) fn fits(verifier: &str, expected: &str) -> bool {
    let shaped = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'));
    shaped && constant_time_eq(challenge(verifier).as_bytes(), expected.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_holds() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let expected = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_challenge(expected));
        assert!(fits(verifier, expected));
        assert!(!fits(&verifier.replace('d', "e"), expected));
    }

    #[test]
    fn a_verifier_sent_as_its_own_challenge_does_not_pass() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(!fits(verifier, verifier));
        assert!(!fits("short", &challenge("short")));
    }
}
