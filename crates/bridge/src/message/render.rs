use serde_json::json;

use crate::fault::{ErrorStyle, Fault};

/// The two forms of an error body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    /// `{"type", "message", "detail"}`.
    Json,
    /// `<error><type/><message/><detail/></error>` as `application/xml`.
    Xml,
    /// The same as `text/xml`.
    TextXml,
}

impl ErrorForm {
    /// XML where one of the accepted types is `text/xml`, `application/xml` or `text/*`, in the first of these that is named; JSON
    /// otherwise. X-Road's rule (CODE): the order of JSON and XML does not count, neither do weights.
    pub fn negotiate<'a>(accept: impl IntoIterator<Item = &'a str>) -> Self {
        for range in accept.into_iter().flat_map(|header| header.split(',')) {
            let wanted = range.split(';').next().unwrap_or_default().trim();
            if wanted.eq_ignore_ascii_case("application/xml") {
                return Self::Xml;
            }
            if wanted.eq_ignore_ascii_case("text/xml") || wanted == "text/*" {
                return Self::TextXml;
            }
        }
        Self::Json
    }
}

/// An error as the calling information system gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedError {
    /// 400 or 500.
    pub status: u16,
    /// The media type with its charset.
    pub content_type: &'static str,
    /// The value of the header X-Road-Error: the error type.
    pub error_header: String,
    /// The body.
    pub body: String,
}

/// Writes a fault in the form of PR-REST §4.6.
pub fn render_error(fault: &Fault, form: ErrorForm, style: ErrorStyle) -> RenderedError {
    let kind = fault.code_in(style);
    let (content_type, body) = match form {
        ErrorForm::Json => (
            "application/json;charset=utf-8",
            json!({ "type": kind, "message": fault.message(), "detail": fault.detail() }).to_string(),
        ),
        ErrorForm::Xml | ErrorForm::TextXml => (
            if form == ErrorForm::Xml { "application/xml;charset=utf-8" } else { "text/xml;charset=utf-8" },
            format!(
                "<error><type>{}</type><message>{}</message><detail>{}</detail></error>",
                escape_xml(&kind),
                escape_xml(fault.message()),
                escape_xml(fault.detail())
            ),
        ),
    };
    RenderedError { status: fault.status(), content_type, error_header: kind, body }
}

/// Text as character data of XML 1.0; characters that XML cannot hold become U+FFFD.
pub(crate) fn escape_xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(character),
            '\r' => out.push_str("&#13;"),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Reason, Side};

    #[test]
    fn an_error_is_json_unless_xml_is_asked_for() {
        let fault = Fault::new(Side::Client, Reason::BadRequest, "a < b").with_detail("id-1".to_owned());
        let json = render_error(&fault, ErrorForm::negotiate([]), ErrorStyle::Lower);
        assert_eq!(json.body, r#"{"type":"client.bad_request","message":"a < b","detail":"id-1"}"#);
        assert_eq!(json.status, 400);
        let xml = render_error(
            &fault,
            ErrorForm::negotiate(["*/*", "application/json, Application/XML;q=0.1"]),
            ErrorStyle::Camel,
        );
        assert_eq!(
            xml.body,
            "<error><type>Client.BadRequest</type><message>a &lt; b</message><detail>id-1</detail></error>"
        );
        assert_eq!(ErrorForm::negotiate(["application/json, text/*"]), ErrorForm::TextXml);
        for json in ["text/html", "*/*", "application/soap+xml", "application/problem+xml", ""] {
            assert_eq!(ErrorForm::negotiate([json]), ErrorForm::Json, "{json}");
        }
    }
}
