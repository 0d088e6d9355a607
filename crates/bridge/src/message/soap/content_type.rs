use std::fmt;

/// The value of a Content-Type header (RFC 2045 §5.1): media type and parameters. Reading never fails; what is no media type has an
/// essence that fits nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    essence: String,
    parameters: Vec<(String, String)>,
}

impl ContentType {
    /// Reads a header value. Names of parameters become lower case; values keep theirs.
    pub fn parse(text: &str) -> Self {
        let mut pieces = split(text).into_iter();
        let essence = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let parameters = pieces.filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
        });
        Self { essence, parameters: parameters.take(16).collect() }
    }

    /// The media type, lower case, without parameters.
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The first value of a parameter; its name in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The same type with another value of a parameter.
    #[must_use]
    pub fn with_parameter(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.parameters.retain(|(found, _)| found != name);
        changed.parameters.push((name.to_owned(), value.to_owned()));
        changed
    }

    /// Whether a SOAP part may have this type.
    pub fn is_soap(&self) -> bool {
        matches!(self.essence.as_str(), "text/xml" | "application/xop+xml")
    }

    /// Whether a message with attachments has this type.
    pub fn is_related(&self) -> bool {
        self.essence == "multipart/related"
    }

    /// Whether this is a multipart type of any kind.
    pub fn is_multipart(&self) -> bool {
        self.essence.starts_with("multipart/")
    }

    /// The boundary, where it is one (RFC 2046 §5.1.1, and what is written in practice: 1 to 200 printable ASCII characters).
    pub fn boundary(&self) -> Option<&str> {
        let boundary = self.parameter("boundary")?;
        let fits = (1..=200).contains(&boundary.len()) && boundary.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        (fits && !boundary.ends_with(' ')).then_some(boundary)
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.essence)?;
        for (name, value) in &self.parameters {
            if !value.is_empty() && value.bytes().all(is_token) {
                write!(formatter, "; {name}={value}")?;
            } else {
                write!(formatter, "; {name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?;
            }
        }
        Ok(())
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'{'..=b'~')
}

/// Cuts at the semicolons that stand outside of quotes.
fn split(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut from, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                pieces.push(text.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text.get(from..).unwrap_or_default());
    pieces
}

fn unquoted(value: &str) -> String {
    let Some(inside) = value.strip_prefix('"') else { return value.to_owned() };
    let mut out = String::with_capacity(inside.len());
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => out.extend(characters.next()),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_with_its_quotes_and_written_again() {
        let text =
            "Multipart/Related; type=\"application/xop+xml\"; start-info=\"a;b=\\\"c\\\"\"; Boundary=\"uuid:1=2\"";
        let read = ContentType::parse(text);
        assert_eq!((read.essence(), read.boundary()), ("multipart/related", Some("uuid:1=2")));
        assert_eq!(read.parameter("start-info"), Some("a;b=\"c\""));
        assert_eq!(ContentType::parse(&read.to_string()), read);
        let other = read.with_parameter("boundary", "xyz");
        assert!(other.to_string().ends_with("; boundary=xyz") && other.is_related() && !other.is_soap());
    }

    #[test]
    fn what_is_no_type_fits_nothing() {
        for text in ["", "blah", ";", "text/html; charset=utf-8", "text/xml2", "\"text/xml\""] {
            let read = ContentType::parse(text);
            assert!(!read.is_soap() && !read.is_related() && read.boundary().is_none(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_and_comes_back(text in ".{0,80}") {
            let read = ContentType::parse(&text);
            let again = ContentType::parse(&read.to_string());
            proptest::prop_assert_eq!(read.boundary(), again.boundary());
        }
    }
}
