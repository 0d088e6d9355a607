use std::str::FromStr;

use bytes::Bytes;
use civic::{ClientId, ServerId, ServiceId};
use trust::digest::{self, Digest};

use super::headers::{self, Header, cut};
use super::{MessageError, request_hash};

/// The verbs of the protocol (PR-REST §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the verbs of RFC 9110 explain themselves")]
pub enum Verb {
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
}

impl Verb {
    /// The verb as HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
        }
    }

    /// Whether the verb changes nothing at the service (RFC 9110 §9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }
}

impl FromStr for Verb {
    type Err = MessageError;

    fn from_str(text: &str) -> Result<Self, MessageError> {
        [Self::Delete, Self::Get, Self::Head, Self::Options, Self::Patch, Self::Post, Self::Put, Self::Trace]
            .into_iter()
            .find(|verb| verb.as_str() == text)
            .ok_or(MessageError::Verb)
    }
}

/// The ids that a node gives to a request.
#[derive(Clone, Debug)]
pub struct RequestIds {
    /// The X-Road-Id that is used where the caller sends none.
    pub message_id: String,
    /// The x-road-request-id of this exchange.
    pub request_id: String,
}

/// A request, with the header part that was or will be signed.
#[derive(Clone, Debug)]
pub struct RestRequest {
    verb: Verb,
    target: String,
    service_path_at: usize,
    headers: Vec<Header>,
    client: ClientId,
    service: ServiceId,
    server: Option<ServerId>,
    message_id: String,
    request_id: String,
    sha512: [u8; 64],
    bytes: Bytes,
}

impl RestRequest {
    /// Builds the message from what an information system sent. `target` is path and query exactly as they came.
    pub fn from_http<'a>(
        verb: &str,
        target: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        ids: RequestIds,
    ) -> Result<Self, MessageError> {
        let mut headers = headers::collect(headers, &["x-road-request-id", "x-road-request-hash"])?;
        headers.push(Header { name: "x-road-request-id".to_owned(), value: ids.request_id });
        if !headers.iter().any(|header| header.is("x-road-id")) {
            headers.push(Header { name: "x-road-id".to_owned(), value: ids.message_id });
        }
        let bytes = headers::write(verb, target, &headers)?;
        Self::assemble(verb.parse()?, target, headers, bytes)
    }

    /// Reads the header part that a peer signed.
    pub fn parse(bytes: Bytes) -> Result<Self, MessageError> {
        let (verb, target, headers) = headers::read(&bytes)?;
        let (verb, target) = (verb.parse()?, target.to_owned());
        Self::assemble(verb, &target, headers, bytes)
    }

    /// The verb.
    pub const fn verb(&self) -> Verb {
        self.verb
    }

    /// Path and query as they came.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What follows the service code: empty, or a path that starts with a slash; without the query.
    pub fn service_path(&self) -> &str {
        let rest = self.target.get(self.service_path_at..).unwrap_or_default();
        rest.split_once('?').map_or(rest, |(path, _)| path)
    }

    /// What follows the service code, with the query: it is appended to the address of the service unchanged.
    pub fn service_path_and_query(&self) -> &str {
        self.target.get(self.service_path_at..).unwrap_or_default()
    }

    /// The query without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The headers of the message.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The value of a header; of the last one where it is repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        last(&self.headers, name)
    }

    /// Who asks.
    pub const fn client(&self) -> &ClientId {
        &self.client
    }

    /// What is asked for.
    pub const fn service(&self) -> &ServiceId {
        &self.service
    }

    /// The node that the caller wants, where it named one.
    pub const fn server(&self) -> Option<&ServerId> {
        self.server.as_ref()
    }

    /// X-Road-Id: one for all exchanges of one matter, chosen by the caller or its node.
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// x-road-request-id: one for each exchange, chosen by the node of the caller.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The header part.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The SHA-512 of the header part.
    pub const fn sha512(&self) -> &[u8; 64] {
        &self.sha512
    }

    /// The digest that the answer must name; `body` is the digest of the body that was signed.
    pub fn hash(&self, body: Option<&Digest>) -> [u8; 64] {
        request_hash(&self.sha512, body)
    }

    fn assemble(verb: Verb, target: &str, headers: Vec<Header>, bytes: Bytes) -> Result<Self, MessageError> {
        let (service, service_path_at) = service_of(target)?;
        let client = last(&headers, "x-road-client").ok_or(MessageError::MissingHeader("X-Road-Client"))?;
        let client = client.parse().map_err(|error| wrong("X-Road-Client", &error))?;
        let server = match last(&headers, "x-road-security-server") {
            None => None,
            Some(text) => Some(text.parse().map_err(|error| wrong("X-Road-Security-Server", &error))?),
        };
        if let Some(party) = last(&headers, "x-road-represented-party")
            && (party.is_empty() || party.split('/').count() > 2)
        {
            return Err(wrong("X-Road-Represented-Party", &"it must be [class/]code"));
        }
        let message_id = id(&headers, "x-road-id", "X-Road-Id")?;
        let request_id = id(&headers, "x-road-request-id", "x-road-request-id")?;
        Ok(Self {
            verb,
            target: target.to_owned(),
            service_path_at,
            headers,
            client,
            service,
            server,
            message_id,
            request_id,
            sha512: digest::sha512(&bytes),
            bytes,
        })
    }
}

pub(super) fn last<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().rev().find(|header| header.is(name)).map(|header| header.value.trim())
}

pub(super) fn wrong(name: &str, reason: &dyn std::fmt::Display) -> MessageError {
    MessageError::Header { name: name.to_owned(), reason: reason.to_string() }
}

/// An id of a message: it is a key in logs and file names of evidence, so its length and characters have limits.
pub(super) fn id(headers: &[Header], name: &str, shown: &'static str) -> Result<String, MessageError> {
    let value = last(headers, name).ok_or(MessageError::MissingHeader(shown))?;
    if value.is_empty() || value.len() > 255 || value.chars().any(char::is_control) {
        return Err(wrong(shown, &"it must have 1 to 255 bytes and no control character"));
    }
    Ok(value.to_owned())
}

/// The service that a URL names and where its own path begins.
fn service_of(target: &str) -> Result<(ServiceId, usize), MessageError> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let rest = path.strip_prefix("/r1/").ok_or_else(|| MessageError::Path("it must start with /r1/".to_owned()))?;
    if !path.is_ascii() || path.contains('#') {
        return Err(MessageError::Path("it must be percent-encoded".to_owned()));
    }
    let end = rest.match_indices('/').nth(4).map_or(rest.len(), |(at, _)| at);
    let (id, _) = rest.split_at(end);
    let service = id.parse::<ServiceId>().map_err(|error| MessageError::Path(cut(&error.to_string())))?;
    if service.client().subsystem().is_none() {
        return Err(MessageError::Path("REST services belong to subsystems".to_owned()));
    }
    Ok((service, "/r1/".len() + end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> RequestIds {
        RequestIds { message_id: "BB-1".to_owned(), request_id: "r-1".to_owned() }
    }

    fn get(target: &str, headers: &[(&str, &str)]) -> Result<RestRequest, MessageError> {
        RestRequest::from_http("GET", target, headers.iter().map(|(name, value)| (*name, value.as_bytes())), ids())
    }

    const CLIENT: (&str, &str) = ("X-Road-Client", "BB/COM/2001/credit");

    #[test]
    fn the_header_part_has_the_bytes_of_the_protocol() {
        let request = get(
            "/r1/BB/GOV/1002/fisc/income-statement/2025?x=%20y",
            &[("Host", "localhost"), CLIENT, ("Accept", "application/json"), ("x-road-request-id", "forged")],
        )
        .unwrap();
        assert_eq!(
            request.bytes().as_ref(),
            b"GET\r\n/r1/BB/GOV/1002/fisc/income-statement/2025?x=%20y\r\nX-Road-Client:BB/COM/2001/credit\r\n\
              Accept:application/json\r\nx-road-request-id:r-1\r\nx-road-id:BB-1\r\n"
        );
        assert_eq!(request.service_path(), "/2025");
        assert_eq!(request.service_path_and_query(), "/2025?x=%20y");
        assert_eq!(request.query(), Some("x=%20y"));
        let read = RestRequest::parse(request.bytes().clone()).unwrap();
        assert_eq!(read.service().to_string(), "BB/GOV/1002/fisc/income-statement");
        assert_eq!((read.message_id(), read.request_id()), ("BB-1", "r-1"));
    }

    #[test]
    fn a_service_without_path_or_with_a_bare_slash_is_kept_as_it_came() {
        assert_eq!(get("/r1/BB/GOV/1002/fisc/s", &[CLIENT]).unwrap().service_path_and_query(), "");
        assert_eq!(get("/r1/BB/GOV/1002/fisc/s?a=/b", &[CLIENT]).unwrap().service_path_and_query(), "?a=/b");
        assert_eq!(get("/r1/BB/GOV/1002/fisc/s/", &[CLIENT]).unwrap().service_path(), "/");
    }

    #[test]
    fn four_identifiers_or_another_version_are_refused() {
        for target in ["/r1/BB/GOV/1002/s", "/r2/BB/GOV/1002/fisc/s", "/r1/BB/GOV/10%2F02/fisc/s", "/x", "*", ""] {
            assert!(matches!(get(target, &[CLIENT]), Err(MessageError::Path(_))), "{target}");
        }
    }

    #[test]
    fn the_client_header_is_mandatory_and_the_last_one_wins() {
        let target = "/r1/BB/GOV/1002/fisc/s";
        assert_eq!(get(target, &[]).unwrap_err(), MessageError::MissingHeader("X-Road-Client"));
        let request = get(target, &[("x-road-client", "BB/COM/1/a"), CLIENT]).unwrap();
        assert_eq!(request.client().to_string(), "BB/COM/2001/credit");
        assert!(matches!(get(target, &[("x-road-client", "BB/COM")]), Err(MessageError::Header { .. })));
        assert!(matches!(
            get(target, &[CLIENT, ("X-Road-Security-Server", "BB/GOV/1")]),
            Err(MessageError::Header { .. })
        ));
    }

    #[test]
    fn a_header_part_with_a_dropped_header_or_loose_lines_is_refused() {
        for bytes in [
            &b"GET\r\n/r1/a/b/c/d/e\r\nx-road-client:a/b/c\r\nhost:x\r\n"[..],
            b"GET\n/r1/a/b/c/d/e\r\n",
            b"GET\r\n/r1/a/b/c/d/e\r\nx-road-client:a/b/c\nx:y\r\n",
            b"GET\r\n/r1/a/b/c/d/e\r\nx-road-client:a/b/c",
            b"BREW\r\n/r1/a/b/c/d/e\r\nx-road-client:a/b/c\r\nx-road-id:1\r\nx-road-request-id:2\r\n",
            b"",
        ] {
            assert!(RestRequest::parse(Bytes::from_static(bytes)).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_part_breaks_the_reader(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let _ = RestRequest::parse(Bytes::from(bytes.clone()));
            let mut shaped = b"GET\r\n/r1/a/b/c/d/e\r\n".to_vec();
            shaped.extend(bytes);
            let _ = RestRequest::parse(Bytes::from(shaped));
        }
    }
}
