//! What of a message goes to the message log: bodies whole up to a limit, of longer ones the digest, which is what was signed.

use crate::messagelog::Content;
use crate::spool::SpoolError;
use crate::transport::Envelope;

/// The content of a message for the log; `bytes_max` is how long a body may be to be kept whole.
pub(crate) async fn content(envelope: &Envelope, bytes_max: u64) -> Result<Content, SpoolError> {
    Content::of(envelope, bytes_max).await
}
