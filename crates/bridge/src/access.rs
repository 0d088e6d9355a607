//! Who may use what: rights of clients to services and to endpoints of services (facts §1.1).
//!
//! A right to an endpoint is matched against the decoded path. Where a path could be read in two ways (`;`, `//`, `%2F`, `\`), a right to
//! an endpoint does not match at all: the service behind the node might read it the other way. Steps upwards (`..`, however
//! encoded) never pass, whatever the right: they would leave the address of the service.

use civic::{ClientId, ServiceId};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::message::Verb;

/// Leave to use a service, given to one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRight {
    /// Who may.
    pub client: ClientId,
    /// Which service.
    pub service: ServiceId,
    /// Which endpoints; `None` for the whole service.
    pub endpoint: Option<Endpoint>,
}

/// A method and a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "String")]
pub struct Endpoint {
    /// The method; `None` for all.
    pub verb: Option<Verb>,
    /// The pattern: segments, where `*` stands for one and `**` for any number.
    pub path: String,
}

/// The path after the service code, as the access rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePath {
    segments: Vec<String>,
    ambiguous: bool,
}

/// Why a path goes to no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path climbs out of the service.
    #[error("the path holds a step upwards (`..`, also encoded); send the plain path")]
    Traversal,
    /// The path is not UTF-8 after decoding, or holds a control character, or a `%` that begins no escape.
    #[error(
        "the path holds a `%` without two hexadecimal digits, or is not UTF-8 or holds a control character after percent-decoding"
    )]
    Encoding,
}

impl ServicePath {
    /// Reads the path after the service code, without the query.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        let decoded = decode(raw)?;
        // A service may decode once more than it should, and what is no escape; nothing may appear then either.
        let mut deeper = decoded.clone();
        for _ in 0..4 {
            refuse_traversal(&deeper)?;
            let next = decode_loosely(&deeper);
            if next == deeper {
                break;
            }
            deeper = next;
        }
        let lower = raw.to_ascii_lowercase();
        let inner = raw.strip_prefix('/').unwrap_or(raw);
        let ambiguous = lower.contains(['\\', ';'])
            || ["%2f", "%5c", "%3b", "%25", "%3f", "%23"].iter().any(|escape| lower.contains(escape))
            || inner.split('/').rev().skip(1).any(str::is_empty) && inner.contains('/')
            || inner.starts_with('/');
        let segments = decoded.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        Ok(Self { segments, ambiguous })
    }

    /// The decoded segment at a position, unless the path could be read in two ways.
    pub fn segment(&self, position: usize) -> Option<&str> {
        if self.ambiguous { None } else { self.segments.get(position).map(String::as_str) }
    }

    /// Whether the path fits a pattern.
    pub fn fits(&self, pattern: &str) -> bool {
        if self.ambiguous {
            return false;
        }
        let pattern: Vec<&str> = pattern.split('/').filter(|segment| !segment.is_empty()).collect();
        let path: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        fits(&pattern, &path)
    }
}

impl Endpoint {
    /// The method as it is kept: `*` for all.
    pub const fn method(&self) -> &'static str {
        match self.verb {
            Some(verb) => verb.as_str(),
            None => "*",
        }
    }

    /// Whether it is the whole service: `* **`.
    pub fn is_whole_service(&self) -> bool {
        self.verb.is_none() && self.path == "**"
    }

    /// Whether it covers a request.
    pub fn covers(&self, verb: Verb, path: &ServicePath) -> bool {
        self.is_whole_service() || self.verb.is_none_or(|allowed| allowed == verb) && path.fits(&self.path)
    }

    /// Whether the pattern is one that a path can fit; the reason where not.
    pub fn check(&self) -> Result<(), String> {
        let path = self.path.as_str();
        let plain = ServicePath::parse(path).is_ok_and(|path| !path.ambiguous);
        if path.len() > 1_024 || path.contains(['?', '#', '%']) || !plain {
            let shown: String = path.chars().take(128).collect();
            return Err(format!("`{shown}` is no path pattern: no query, no escapes, no `;`, no `//`, no `..`"));
        }
        if path == "**" || path.starts_with('/') {
            return Ok(());
        }
        Err("a path pattern starts with `/`, or is `**`".to_owned())
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method(), self.path)
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

/// Matching of segments by dynamic programming: `**` cannot make it exponential.
fn fits(pattern: &[&str], path: &[&str]) -> bool {
    let mut reachable = vec![false; path.len() + 1];
    if let Some(first) = reachable.first_mut() {
        *first = true;
    }
    for step in pattern {
        let mut next = vec![false; path.len() + 1];
        let mut any_before = false;
        for (position, slot) in next.iter_mut().enumerate() {
            let here = reachable.get(position).copied().unwrap_or(false);
            if *step == "**" {
                any_before |= here;
                *slot = any_before;
            } else if position > 0 {
                let before = reachable.get(position - 1).copied().unwrap_or(false);
                *slot = before && path.get(position - 1).is_some_and(|segment| *step == "*" || segment == step);
            }
        }
        reachable = next;
    }
    reachable.last().copied().unwrap_or(false)
}

fn decode(text: &str) -> Result<String, PathError> {
    // `%%32f` is nothing to one reader and `%2f` to the next.
    let begins_escape =
        |at: usize| text.get(at + 1..at + 3).is_some_and(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
    if text.match_indices('%').any(|(at, _)| !begins_escape(at)) {
        return Err(PathError::Encoding);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| PathError::Encoding)?;
    if decoded.chars().any(char::is_control) {
        return Err(PathError::Encoding);
    }
    Ok(decoded.into_owned())
}

/// Decodes as careless servers do: what is no escape stays, `%u002e` is a dot, and so is its overlong form in UTF-8.
fn decode_loosely(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split("%u");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let character = part.get(..4).and_then(|four| u32::from_str_radix(four, 16).ok()).and_then(char::from_u32);
        if let (Some(character), Some(rest)) = (character, part.get(4..)) {
            plain.push(character);
            plain.push_str(rest);
        } else {
            plain.push_str("%u");
            plain.push_str(part);
        }
    }
    let mut bytes = Vec::with_capacity(plain.len());
    for byte in percent_decode_str(&plain) {
        if let (Some(first @ 0xc0..=0xc1), 0x80..=0xbf) = (bytes.last().copied(), byte) {
            bytes.pop();
            bytes.push((first & 1) << 6 | byte & 0x3f);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refuse_traversal(path: &str) -> Result<(), PathError> {
    // `..;x` is `..` to servers that cut path parameters off.
    let climbs = |segment: &str| matches!(segment.split(';').next().unwrap_or_default().trim(), "." | "..");
    if path.split(['/', '\\']).any(climbs) { Err(PathError::Traversal) } else { Ok(()) }
}

#[cfg(test)]
mod bypass;

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> ServicePath {
        ServicePath::parse(raw).unwrap()
    }

    #[test]
    fn one_star_is_one_segment_and_two_are_many() {
        assert!(path("/pets/1").fits("/pets/*"));
        assert!(!path("/pets").fits("/pets/*"));
        assert!(!path("/pets/1/toys").fits("/pets/*"));
        assert!(path("/pets/1/toys").fits("/pets/**"));
        assert!(path("/pets").fits("/pets/**"));
        assert!(path("/a/b/c/d").fits("/**/c/*"));
        assert!(path("").fits("/**") && path("").fits("/") && !path("").fits("/*"));
        assert!(path("/caf%C3%A9").fits("/café"));
    }

    #[test]
    fn a_step_upwards_never_passes_however_it_is_written() {
        for raw in [
            "/..",
            "/a/../b",
            "/%2e%2e/x",
            "/.%2E/x",
            "/a/%252e%252e/x",
            "/a/..;v=1/b",
            "/a%2f..%2fb",
            "/a/..%5cb",
            "/./a",
            "/a\\..\\b",
            "/%25252e%25252e",
            "/a/%25u002e%25u002E/x",
            "/%25c0%25ae%25c0%25ae/x",
        ] {
            assert_eq!(ServicePath::parse(raw), Err(PathError::Traversal), "{raw}");
        }
        assert!(ServicePath::parse("/a..b/.hidden/...").is_ok());
        assert_eq!(ServicePath::parse("/%00"), Err(PathError::Encoding));
        for raw in ["/%ff", "/%", "/%2", "/%zz", "/%%32f..%%32f", "/%u002e%u002e/", "/%c0%ae%c0%ae/"] {
            assert_eq!(ServicePath::parse(raw), Err(PathError::Encoding), "{raw}");
        }
    }

    #[test]
    fn a_path_with_two_readings_matches_no_endpoint() {
        for raw in ["/pets/1;x", "//pets/1", "/pets//1", "/pets%2F1", "/pets\\1", "/pets/1%3Bx", "/pets/%2531"] {
            assert!(!path(raw).fits("/**"), "{raw}");
        }
        assert!(path("/pets/1/").fits("/pets/*"), "a slash at the end is no second reading");
    }

    #[test]
    fn an_endpoint_covers_its_method_and_path_and_its_pattern_must_be_plain() {
        let endpoint = Endpoint { verb: Some(Verb::Get), path: "/a/*".to_owned() };
        assert!(endpoint.covers(Verb::Get, &path("/a/1")));
        assert!(!endpoint.covers(Verb::Post, &path("/a/1")));
        assert!(!endpoint.covers(Verb::Get, &path("/b/1")));
        for pattern in ["/a/../b", "/a//b", "/a;x", "/%61", "a", "/a?x", "/a\\b", ""] {
            assert!(Endpoint { verb: None, path: pattern.to_owned() }.check().is_err(), "{pattern}");
        }
        for pattern in ["**", "/", "/**", "/a/*/b/", "/café"] {
            assert_eq!(Endpoint { verb: None, path: pattern.to_owned() }.check(), Ok(()), "{pattern}");
        }
    }

    proptest::proptest! {
        /// What an endpoint right lets through is, however a server decodes it, below the endpoint.
        #[test]
        fn no_spelling_slips_below_another_endpoint(raw in "(/|%2f|%2e|\\.|%5c|;|a|b|%61|%25|2e|2f|\\\\){0,12}") {
            if let Ok(path) = ServicePath::parse(&raw)
                && path.fits("/a/**")
            {
                let mut text = raw;
                for _ in 0..4 {
                    text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
                }
                let first = text.split(['/', '\\', ';']).find(|segment| !segment.is_empty());
                proptest::prop_assert_eq!(first, Some("a"));
                proptest::prop_assert!(!text.split(['/', '\\']).any(|segment| segment.starts_with("..")&& segment.len() == 2));
            }
        }
    }
}
