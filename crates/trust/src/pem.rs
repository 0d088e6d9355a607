//! RFC 7468 textual encoding: reading tolerates text between blocks, writing is strict (64 columns, `\n`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// More than any key, request or certificate list that we take.
const TEXT_LEN_MAX: usize = 1 << 20;

/// Writes one block.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 64);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The contents of every block with this label, in order. `None` where a block is cut or is not base64.
pub(crate) fn decode_all(label: &str, text: &str) -> Option<Vec<Vec<u8>>> {
    if text.len() > TEXT_LEN_MAX {
        return None;
    }
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, tail) = after.split_once(&end)?;
        let body: String = body.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        blocks.push(STANDARD.decode(body).ok()?);
        rest = tail;
    }
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_survives_its_text() {
        let der: Vec<u8> = (0..=255).collect();
        let text = format!("# comment\n{}between\r\n{}", encode("CERTIFICATE", &der), encode("CERTIFICATE", b"x"));
        assert_eq!(decode_all("CERTIFICATE", &text).unwrap(), vec![der, b"x".to_vec()]);
        assert!(decode_all("PRIVATE KEY", &text).unwrap().is_empty());
    }

    #[test]
    fn a_cut_block_is_refused() {
        assert_eq!(decode_all("CERTIFICATE", "-----BEGIN CERTIFICATE-----\nAAAA\n"), None);
        assert_eq!(decode_all("X", "-----BEGIN X-----\n*\n-----END X-----"), None);
    }
}
