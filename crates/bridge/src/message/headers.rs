use bytes::Bytes;

use super::{HEADER_PART_BYTES_MAX, HEADERS_MAX, MessageError};

/// Names that are never carried by a message, in either direction (X-Road's list of skipped headers, facts §1.1).
const DROPPED: [&str; 13] = [
    "transfer-encoding",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "connection",
    "user-agent",
    "host",
    "content-length",
    "server",
    "expect",
];

/// One header of a message, name and value as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name in the case in which it came.
    pub name: String,
    /// The value, UTF-8.
    pub value: String,
}

impl Header {
    /// Whether the header has this name, whatever the case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The headers as the other end of HTTP gets them: of those that are X-Road's the last of a name, by which the nodes decided. A reader
/// that takes the first of several would be told another client, or another id.
pub(crate) fn decided(headers: &[Header]) -> impl Iterator<Item = &Header> {
    headers
        .iter()
        .enumerate()
        .filter(|(place, header)| {
            let later = headers.get(place + 1..).unwrap_or_default();
            !is_x_road(&header.name) || !later.iter().any(|later| later.is(&header.name))
        })
        .map(|(_, header)| header)
}

fn is_x_road(name: &str) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("x-road-"))
}

/// Whether a header of this name stays outside of the message.
pub fn is_dropped(name: &str) -> bool {
    DROPPED.iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
}

/// Takes the headers of an HTTP message that belong into the message. Values that are not UTF-8 are read as Latin-1.
pub(super) fn collect<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    extra_dropped: &[&str],
) -> Result<Vec<Header>, MessageError> {
    let mut kept = Vec::with_capacity(16);
    for (name, value) in headers {
        if is_dropped(name) || extra_dropped.iter().any(|dropped| name.eq_ignore_ascii_case(dropped)) {
            continue;
        }
        if kept.len() >= HEADERS_MAX {
            return Err(MessageError::TooLarge);
        }
        let value = match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
        };
        if !is_value(&value) {
            return Err(MessageError::Header { name: cut(name), reason: "it holds a control character".to_owned() });
        }
        kept.push(Header { name: name.to_owned(), value });
    }
    Ok(kept)
}

/// Writes a header part: the two first lines, then the headers, each ended by CRLF.
pub(super) fn write(first: &str, second: &str, headers: &[Header]) -> Result<Bytes, MessageError> {
    let length =
        first.len() + second.len() + 4 + headers.iter().map(|h| h.name.len() + h.value.len() + 3).sum::<usize>();
    if length > HEADER_PART_BYTES_MAX || headers.len() > HEADERS_MAX {
        return Err(MessageError::TooLarge);
    }
    let mut out = Vec::with_capacity(length);
    for line in [first, second] {
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    for header in headers {
        out.extend_from_slice(header.name.as_bytes());
        out.push(b':');
        out.extend_from_slice(header.value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    Ok(Bytes::from(out))
}

/// Reads a header part strictly: UTF-8, CRLF after each line, no dropped header, limits held.
pub(super) fn read(bytes: &[u8]) -> Result<(&str, &str, Vec<Header>), MessageError> {
    if bytes.len() > HEADER_PART_BYTES_MAX {
        return Err(MessageError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| MessageError::Malformed("it is not UTF-8"))?;
    let text = text.strip_suffix("\r\n").ok_or(MessageError::Malformed("the last line does not end in CRLF"))?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let second = lines.next().ok_or(MessageError::Malformed("the second line is missing"))?;
    if !is_value(first) || !is_value(second) {
        return Err(MessageError::Malformed("a line holds a control character"));
    }
    let mut headers = Vec::with_capacity(16);
    for line in lines {
        if headers.len() >= HEADERS_MAX {
            return Err(MessageError::TooLarge);
        }
        let (name, value) = line.split_once(':').ok_or(MessageError::Malformed("a header has no colon"))?;
        if !is_name(name) {
            return Err(MessageError::Malformed("a header name is no token of RFC 9110"));
        }
        if is_dropped(name) {
            return Err(MessageError::Header { name: cut(name), reason: "it may not be part of a message".to_owned() });
        }
        if !is_value(value) {
            return Err(MessageError::Header { name: cut(name), reason: "it holds a control character".to_owned() });
        }
        headers.push(Header { name: name.to_owned(), value: value.to_owned() });
    }
    Ok((first, second, headers))
}

pub(super) fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A token of RFC 9110.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// No control character but the tab.
pub(crate) fn is_value(value: &str) -> bool {
    !value.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
}
