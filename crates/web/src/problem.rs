//! What went wrong, as RFC 9457 tells machines and as a page tells people.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// An error at the door of the house (RFC 9457).
///
/// As a response it is `application/problem+json`; where the request came from a browser, the guard of
/// [`crate::Site`] turns it into a page in the reader's language. `cause` stays inside: it is logged once, never sent.
#[derive(Clone, Debug)]
pub struct Problem {
    // Boxed: a problem is rare, and every handler's `Result` carries room for one.
    inner: Box<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    code: String,
    title: String,
    detail: String,
    extra: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    people: Option<(String, String)>,
    cause: Option<String>,
}

impl Problem {
    /// A problem with its machine code (lower case, `_` between words: the end of `type`) and a short English title.
    pub fn new(status: StatusCode, code: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                status,
                code: code.into(),
                title: title.into(),
                detail: String::new(),
                extra: Map::new(),
                headers: Vec::new(),
                people: None,
                cause: None,
            }),
        }
    }

    /// 400: the request is not what the service understands; the detail says what to change.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "The request was not understood").detail(detail)
    }

    /// 401: nobody is logged in, or the credential is not valid.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Sign in first").detail(detail)
    }

    /// 403: known, but not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed").detail(detail)
    }

    /// 404: nothing there, or nothing that this reader may know of.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Nothing found at this address")
    }

    /// 409: the state of the thing does not allow it any more.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "The state has changed").detail(detail)
    }

    /// 413: over a size limit.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request is too large").detail(detail)
    }

    /// 429: too many attempts.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many attempts").detail(detail)
    }

    /// 500: our fault. The cause is for the log only.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side")
            .detail(
                "Nothing was changed that the answer does not say. Try again; give the request id if you ask for help.",
            )
            .cause(cause)
    }

    /// 503: something that this answer needs does not answer. The cause is for the log only.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable for the moment")
            .detail("A system that is needed does not answer. Try again in a few minutes.")
            .cause(cause)
    }

    /// What exactly is wrong and what to do, in English, for the caller.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.inner.detail = detail.into();
        self
    }

    /// An extension member of the JSON form.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.inner.extra.insert(member.to_owned(), value.into());
        self
    }

    /// A header of the answer, for instance `WWW-Authenticate`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.inner.headers.push((name, value));
        self
    }

    /// Title and text of the page, in the reader's language, instead of the general ones of the status.
    #[must_use]
    pub fn for_people(mut self, title: impl Into<String>, text: impl Into<String>) -> Self {
        self.inner.people = Some((title.into(), text.into()));
        self
    }

    /// The inner cause: logged once by the guard, never sent.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.inner.cause = Some(cause.to_string());
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// The machine code, the end of `type`.
    pub fn code(&self) -> &str {
        &self.inner.code
    }

    /// The inner cause, for the log.
    pub fn inner_cause(&self) -> Option<&str> {
        self.inner.cause.as_deref()
    }

    /// The words for people, where the room gave some.
    pub(crate) fn people(&self) -> Option<&(String, String)> {
        self.inner.people.as_ref()
    }

    /// The detail given to the caller.
    pub fn detail_text(&self) -> &str {
        &self.inner.detail
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.inner.headers
    }

    /// The JSON of RFC 9457. `instance` is the request id as a URN where it is known.
    pub fn to_json(&self, request_id: Option<&str>) -> Value {
        let mut json = Map::new();
        json.insert("type".into(), format!("urn:baobab:problem:{}", self.inner.code).into());
        json.insert("title".into(), self.inner.title.clone().into());
        json.insert("status".into(), self.inner.status.as_u16().into());
        if !self.inner.detail.is_empty() {
            json.insert("detail".into(), self.inner.detail.clone().into());
        }
        if let Some(id) = request_id {
            json.insert("instance".into(), format!("urn:baobab:request:{id}").into());
        }
        for (member, value) in &self.inner.extra {
            json.entry(member.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(json)
    }

    /// The answer for a machine.
    pub(crate) fn json_response(&self, request_id: Option<&str>) -> Response {
        let body = self.to_json(request_id).to_string();
        let mut response = (self.inner.status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        self.put_headers(&mut response);
        response
    }

    pub(crate) fn put_headers(&self, response: &mut Response) {
        for (name, value) in self.headers() {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.inner.status.as_u16(), self.inner.code, self.inner.title)?;
        if !self.inner.detail.is_empty() {
            write!(formatter, " ({})", self.inner.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

impl From<askama::Error> for Problem {
    fn from(error: askama::Error) -> Self {
        Self::internal(error)
    }
}

impl From<store::StoreError> for Problem {
    fn from(error: store::StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.json_response(None);
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_members_of_rfc_9457_and_hides_the_cause() {
        let problem = Problem::new(StatusCode::FORBIDDEN, "consent_revoked", "The grant was revoked")
            .detail("Ask the citizen again.")
            .with("grant_id", "g-1")
            .cause("row 7 of grants");
        let json = problem.to_json(Some("abc"));
        assert_eq!(json["type"], "urn:baobab:problem:consent_revoked");
        assert_eq!(json["status"], 403);
        assert_eq!(json["grant_id"], "g-1");
        assert_eq!(json["instance"], "urn:baobab:request:abc");
        assert!(!json.to_string().contains("row 7"));
    }

    #[test]
    fn an_extension_member_never_replaces_a_standard_one() {
        let json = Problem::not_found().with("status", 200).to_json(None);
        assert_eq!(json["status"], 404);
    }
}
