//! The little of MIME (RFC 2046) that signed directories and management requests use: headers, parameters, parts between boundaries.
//! Lines end with CRLF or LF. Nothing is copied; a part's body is a slice of the input, since it may be what is signed.

use std::fmt;

const HEADERS_MAX: usize = 32;
const PARTS_MAX: usize = 1024;

/// Headers of one part, names in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

/// What is wrong with a multipart text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MimeError(pub(crate) &'static str);

impl fmt::Display for MimeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl Headers {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value before the first semicolon, and the parameter of that name, without quotes.
    pub(crate) fn with_parameter(&self, name: &str, parameter: &str) -> Option<(&str, Option<&str>)> {
        let mut pieces = self.get(name)?.split(';').map(str::trim);
        let value = pieces.next().unwrap_or_default();
        let found = pieces.find_map(|piece| {
            let (key, text) = piece.split_once('=')?;
            key.trim().eq_ignore_ascii_case(parameter).then(|| text.trim().trim_matches(['"', '\'']))
        });
        Some((value, found))
    }
}

/// Reads headers up to an empty line or the end; answers them and what follows.
pub(crate) fn headers(mut bytes: &[u8]) -> Result<(Headers, &[u8]), MimeError> {
    let mut headers = Headers::default();
    while !bytes.is_empty() {
        let (line, rest) = line(bytes);
        bytes = rest;
        if line.is_empty() {
            return Ok((headers, bytes));
        }
        let text = std::str::from_utf8(line).map_err(|_| MimeError("a header is not UTF-8"))?;
        let (name, value) = text.split_once(':').ok_or(MimeError("a header line has no colon"))?;
        let name = name.trim().to_ascii_lowercase();
        if headers.get(&name).is_some() {
            return Err(MimeError("a header stands twice"));
        }
        if headers.0.len() >= HEADERS_MAX {
            return Err(MimeError("there are too many headers"));
        }
        headers.0.push((name, value.trim().to_owned()));
    }
    Ok((headers, bytes))
}

/// The parts between the lines of this boundary. The line end before a boundary belongs to the boundary.
/// Whether the closing boundary is there is answered too.
pub(crate) fn parts<'b>(body: &'b [u8], boundary: &str) -> Result<(Vec<&'b [u8]>, bool), MimeError> {
    if boundary.is_empty() || boundary.len() > 128 {
        return Err(MimeError("the boundary is empty or too long"));
    }
    let mut parts = Vec::new();
    let mut open: Option<usize> = None;
    let mut at = 0;
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
        let (text, after) = line(rest);
        let next = body.len() - after.len();
        if let Some(closing) = delimiter(text, boundary) {
            if let Some(start) = open {
                parts.push(without_line_end(body.get(start..at).unwrap_or_default()));
            }
            if closing {
                return Ok((parts, true));
            }
            if parts.len() >= PARTS_MAX {
                return Err(MimeError("there are too many parts"));
            }
            open = Some(next);
        }
        at = next;
    }
    match open {
        Some(start) => parts.push(body.get(start..).unwrap_or_default()),
        None => return Err(MimeError("the boundary never comes")),
    }
    Ok((parts, false))
}

/// `Some(false)` for a boundary line, `Some(true)` for the closing one.
fn delimiter(line: &[u8], boundary: &str) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    match rest.trim_ascii_end() {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_between_boundary_lines_only() {
        let body = b"--ab\r\none\r\n--abc\r\n--ab\ntwo\n\n--ab--\r\ntail";
        let (found, closed) = parts(body, "ab").unwrap();
        assert!(closed);
        assert_eq!(found, [b"one\r\n--abc".as_slice(), b"two\n"]);
        assert_eq!(parts(b"nothing", "ab"), Err(MimeError("the boundary never comes")));
    }

    #[test]
    fn headers_end_at_an_empty_line() {
        let (found, rest) =
            headers(b"Content-Type: multipart/mixed; charset=UTF-8;boundary=\"x y\"\r\n\r\nbody").unwrap();
        assert_eq!(found.with_parameter("content-type", "Boundary"), Some(("multipart/mixed", Some("x y"))));
        assert_eq!(rest, b"body");
        assert!(headers(b"a: 1\nA: 2\n").is_err());
        assert!(headers(b"no colon\n").is_err());
    }
}
