use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use civic::{ClientId, ServiceId};

use super::headers::{self, Header};
use super::request::{id, last, wrong};
use super::{MessageError, RestRequest};

/// An answer, with the header part that was or will be signed.
#[derive(Clone, Debug)]
pub struct RestResponse {
    status: u16,
    reason: String,
    headers: Vec<Header>,
    client: ClientId,
    service: ServiceId,
    message_id: String,
    request_id: String,
    request_hash: Vec<u8>,
    bytes: Bytes,
}

/// The headers that the node of the provider sets; what the service says under these names is dropped.
const OURS: [&str; 6] =
    ["x-road-id", "x-road-client", "x-road-service", "x-road-request-id", "x-road-request-hash", "x-road-error"];

const NO_STATUS: MessageError = MessageError::Malformed("the first line is no HTTP status");

impl RestResponse {
    /// Builds the answer to a request from what the service said.
    pub fn from_http<'a>(
        request: &RestRequest,
        request_hash: &[u8; 64],
        status: u16,
        reason: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, MessageError> {
        let mut headers = headers::collect(headers, &OURS)?;
        let mut set = |name: &str, value: String| headers.push(Header { name: name.to_owned(), value });
        set("x-road-id", request.message_id().to_owned());
        set("x-road-client", request.client().to_string());
        set("x-road-service", request.service().to_string());
        set("x-road-request-id", request.request_id().to_owned());
        set("x-road-request-hash", BASE64.encode(request_hash));
        let bytes = headers::write(&status.to_string(), reason, &headers)?;
        if !(100..=599).contains(&status) || !headers::is_value(reason) {
            return Err(NO_STATUS);
        }
        Ok(Self {
            status,
            reason: reason.to_owned(),
            headers,
            client: request.client().clone(),
            service: request.service().clone(),
            message_id: request.message_id().to_owned(),
            request_id: request.request_id().to_owned(),
            request_hash: request_hash.to_vec(),
            bytes,
        })
    }

    /// Reads the header part that a peer signed.
    pub fn parse(bytes: Bytes) -> Result<Self, MessageError> {
        let (status, reason, headers) = headers::read(&bytes)?;
        let status = match status.parse() {
            Ok(status @ 100..=599) if bytes.get(3) == Some(&b'\r') => status,
            _ => return Err(NO_STATUS),
        };
        let reason = reason.to_owned();
        let client = required(&headers, "x-road-client")?.parse().map_err(|error| wrong("x-road-client", &error))?;
        let service = required(&headers, "x-road-service")?.parse().map_err(|error| wrong("x-road-service", &error))?;
        let request_hash = BASE64
            .decode(required(&headers, "x-road-request-hash")?)
            .map_err(|error| wrong("x-road-request-hash", &error))?;
        let message_id = id(&headers, "x-road-id", "x-road-id")?;
        let request_id = id(&headers, "x-road-request-id", "x-road-request-id")?;
        Ok(Self { status, reason, headers, client, service, message_id, request_id, request_hash, bytes })
    }

    /// The HTTP status of the service.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase of the service.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The headers of the message.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The value of a header; of the last one where it is repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        last(&self.headers, name)
    }

    /// The header part.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Which of the five things that tie an answer to its request does not fit; `None` where all do (PR-REST §4.3).
    pub fn mismatch(&self, request: &RestRequest, request_hash: &[u8; 64]) -> Option<&'static str> {
        if &self.client != request.client() {
            Some("x-road-client")
        } else if self.message_id != request.message_id() {
            Some("x-road-id")
        } else if &self.service != request.service() {
            Some("x-road-service")
        } else if self.request_id != request.request_id() {
            Some("x-road-request-id")
        } else if self.request_hash != request_hash {
            Some("x-road-request-hash")
        } else {
            None
        }
    }
}

fn required<'a>(headers: &'a [Header], name: &'static str) -> Result<&'a str, MessageError> {
    last(headers, name).ok_or(MessageError::MissingHeader(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{RequestIds, request_hash};

    fn request() -> RestRequest {
        let ids = RequestIds { message_id: "m".to_owned(), request_id: "r".to_owned() };
        let client = ("x-road-client", &b"BB/COM/2001/credit"[..]);
        RestRequest::from_http("POST", "/r1/BB/GOV/1002/fisc/s", [client].into_iter(), ids).unwrap()
    }

    #[test]
    fn the_node_and_not_the_service_speaks_for_the_exchange() {
        let request = request();
        let hash = request.hash(Some(&trust::digest::Digest::sha512(b"{}")));
        let service_says =
            [("content-type", &b"text/plain"[..]), ("x-road-id", b"other"), ("Server", b"x"), ("X-Road-Error", b"e")];
        let response = RestResponse::from_http(&request, &hash, 200, "OK", service_says.into_iter()).unwrap();
        assert!(response.bytes().starts_with(b"200\r\nOK\r\ncontent-type:text/plain\r\nx-road-id:m\r\n"));
        assert_eq!(response.mismatch(&request, &hash), None);
        assert_eq!(response.mismatch(&request, &request.hash(None)), Some("x-road-request-hash"));
        assert!(response.header("X-Road-Error").is_none());
    }

    #[test]
    fn the_request_hash_covers_an_empty_body_part_too() {
        let (head, empty) = (trust::digest::sha512(b"head"), trust::digest::Digest::sha512(b""));
        assert_ne!(request_hash(&head, None), request_hash(&head, Some(&empty)));
    }

    #[test]
    fn a_status_that_is_none_is_refused() {
        for first in ["20", "999", "0200", "abc", "-20", "+200"] {
            let bytes = format!("{first}\r\nOK\r\n");
            assert!(matches!(RestResponse::parse(Bytes::from(bytes)), Err(MessageError::Malformed(_))), "{first}");
        }
    }
}
