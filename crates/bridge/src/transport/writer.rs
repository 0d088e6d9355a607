use civic::Random;

use super::{
    Envelope, HASH_CHAIN, HASH_CHAIN_RESULT, Kind, OCSP_RESPONSE, REST_BODY, REST_REQUEST, REST_RESPONSE, SIGNATURE,
};

/// A boundary for one message: `xtop` and thirty random characters. That it does not occur in the content rests on its 120 random bits.
pub fn boundary(random: &dyn Random) -> String {
    format!("xtop{}", civic::random_hex::<15>(random))
}

/// The Content-Type of a message with this boundary, as X-Road writes it.
pub fn content_type(boundary: &str) -> String {
    format!("multipart/mixed; charset=UTF-8; boundary={boundary}")
}

/// Lays a message down, parts in the order of the protocol.
pub fn write(kind: Kind, boundary: &str, envelope: &Envelope) -> Vec<u8> {
    let mut parts: Vec<(&str, &[u8])> = Vec::with_capacity(8);
    parts.extend(envelope.ocsp.iter().map(|response| (OCSP_RESPONSE, response.as_ref())));
    parts.push((if kind == Kind::Request { REST_REQUEST } else { REST_RESPONSE }, &envelope.head));
    parts.extend(envelope.body.iter().map(|body| (REST_BODY, body.as_ref())));
    if let Some(batch) = &envelope.batch {
        parts.push((HASH_CHAIN_RESULT, &batch.result));
        parts.push((HASH_CHAIN, &batch.chain));
    }
    parts.push((SIGNATURE, &envelope.signature));
    write_parts(boundary, &parts)
}

/// Lays parts down, each with its media type.
pub(crate) fn write_parts(boundary: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
    let length: usize = parts.iter().map(|(kind, content)| kind.len() + content.len() + boundary.len() + 32).sum();
    let mut out = Vec::with_capacity(length + boundary.len() + 8);
    for (position, (kind, content)) in parts.iter().enumerate() {
        if position > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"--");
        out.extend_from_slice(boundary.as_bytes());
        out.extend_from_slice(b"\r\ncontent-type: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(content);
    }
    out.extend_from_slice(b"\r\n--");
    out.extend_from_slice(boundary.as_bytes());
    out.extend_from_slice(b"--\r\n");
    out
}
