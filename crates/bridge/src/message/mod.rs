//! Messages of the REST protocol r1 (PR-REST): values and bytes, no I/O.
//!
//! The header part (`VERB CRLF path CRLF name:value CRLF …`) is what is signed, logged and sent. It is built once and kept; every
//! field below was read from it, so what a node decides upon is what was signed.

mod any;
mod headers;
mod render;
mod request;
mod response;
pub mod soap;

pub use any::{AnyRequest, AnyResponse, SoapRequest};
pub use headers::{Header, is_dropped};
pub(crate) use headers::{decided, is_name, is_value};
pub(crate) use render::escape_xml;
pub use render::{ErrorForm, RenderedError, render_error};
pub use request::{RequestIds, RestRequest, Verb};
pub use response::RestResponse;

use trust::digest::{self, Digest};

/// The header part of a message may hold this many bytes.
pub const HEADER_PART_BYTES_MAX: usize = 64 * 1024;
/// A message may carry this many headers.
pub const HEADERS_MAX: usize = 128;

/// Why bytes are no message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The URL has not the form `/r1/{instance}/{class}/{member}/{subsystem}/{service}[/path]`.
    #[error("the path must be /r1/{{instance}}/{{class}}/{{member}}/{{subsystem}}/{{service}}[/path]: {0}")]
    Path(String),
    /// A verb that the protocol does not know.
    #[error("the method must be one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE")]
    Verb,
    /// A mandatory header is absent.
    #[error("the header {0} is missing")]
    MissingHeader(&'static str),
    /// A header has a wrong value.
    #[error("the header {name} is wrong: {reason}")]
    Header {
        /// The name of the header.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The header part is malformed.
    #[error("the header part is malformed: {0}")]
    Malformed(&'static str),
    /// The header part is over its limits.
    #[error("the header part has more than {HEADERS_MAX} headers or {HEADER_PART_BYTES_MAX} bytes")]
    TooLarge,
}

/// The digest of X-Road-Request-Hash: SHA-512 of the header part, or of both digests one after the other where there is a body
/// (PR-REST §4.3; CODE: a body part that is present and empty counts as a body). `header_part` is its SHA-512, `body` the digest that was
/// signed (CODE: `ServerRestMessageProcessor`).
pub fn request_hash(header_part: &[u8; 64], body: Option<&Digest>) -> [u8; 64] {
    match body {
        None => *header_part,
        Some(body) => digest::sha512(&[header_part, body.bytes()].concat()),
    }
}
