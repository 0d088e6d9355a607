//! What of a message goes to the message log: bodies whole up to a limit, of longer ones the digest, which is what was signed.

use crate::messagelog::Content;
use crate::spool::SpoolError;
use crate::transport::Envelope;

/// The content of a message for the log; `bytes_max` is how long a body may be to be kept whole.
pub(crate) async fn content(envelope: &Envelope, bytes_max: u64) -> Result<Content, SpoolError> {
    let body = match envelope.rest_body() {
        Some(body) if body.len() <= bytes_max && body.is_kept() => Some(body.bytes(bytes_max).await?),
        _ => None,
    };
    Ok(Content {
        head: envelope.message.bytes().clone(),
        body,
        signature: envelope.signature.clone(),
        batch: envelope.batch.clone(),
    })
}
