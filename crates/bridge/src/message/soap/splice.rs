//! Changes of a SOAP part that leave every other byte as it was.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use trust::xml::{Document, Element};

use super::{ContentType, LIMITS, SOAP_NAMESPACE, SoapError, SoapMessage, XROAD_NAMESPACE, encoding};

/// The digest that X-Road names by default.
const SHA512: &str = "http://www.w3.org/2001/04/xmlenc#sha512";

/// The answer with requestHash behind the id, where X-Road puts it.
pub(super) fn request_hash(message: &SoapMessage, hash: &[u8; 64]) -> Result<(ContentType, Vec<u8>), SoapError> {
    change(message, |document, text| {
        let header = document.root().child(SOAP_NAMESPACE, "Header").ok_or(SoapError::MissingHeader)?;
        let id = header.child(XROAD_NAMESPACE, "id").ok_or(SoapError::MissingField("id"))?;
        let mut cuts: Vec<(Range<usize>, String)> = header
            .elements()
            .filter(|element| element.is(XROAD_NAMESPACE, "requestHash"))
            .map(|element| (with_space_before(text, element.span()), String::new()))
            .collect();
        let end = id.span().end;
        let space = with_space_before(text, id.span());
        let indent = text.get(space.start..id.span().start).unwrap_or_default();
        cuts.push((end..end, format!("{}{}", String::from_utf8_lossy(indent), hash_element(id, hash))));
        Ok(cuts)
    })
}

/// The message with another body.
pub(super) fn body(message: &SoapMessage, content: &str) -> Result<(ContentType, Vec<u8>), SoapError> {
    change(message, |document, _| {
        let body = document.root().child(SOAP_NAMESPACE, "Body").ok_or(SoapError::MissingBody)?;
        let (name, declaration) = (name(body, "Body"), declaration(body));
        Ok(vec![(body.span(), format!("<{name}{declaration}>{content}</{name}>"))])
    })
}

fn hash_element(id: Element<'_, '_>, hash: &[u8; 64]) -> String {
    let (name, declaration) = (name(id, "requestHash"), declaration(id));
    format!("<{name}{declaration} algorithmId=\"{SHA512}\">{}</{name}>", BASE64.encode(hash))
}

/// A name with the prefix of its neighbour.
fn name(neighbour: Element<'_, '_>, local: &str) -> String {
    match neighbour.prefix() {
        "" => local.to_owned(),
        prefix => format!("{prefix}:{local}"),
    }
}

/// The declaration of the prefix, where the neighbour itself makes it.
fn declaration(neighbour: Element<'_, '_>) -> String {
    let prefix = neighbour.prefix();
    let own = neighbour.declarations().any(|(declared, _)| declared == prefix);
    match (own, prefix) {
        (false, _) => String::new(),
        (true, "") => format!(" xmlns=\"{}\"", neighbour.namespace()),
        (true, prefix) => format!(" xmlns:{prefix}=\"{}\"", neighbour.namespace()),
    }
}

fn with_space_before(text: &[u8], span: Range<usize>) -> Range<usize> {
    let before = text.get(..span.start).unwrap_or_default();
    let space = before.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    span.start - space..span.end
}

fn change(
    message: &SoapMessage,
    cuts: impl Fn(&Document<'_>, &[u8]) -> Result<Vec<(Range<usize>, String)>, SoapError>,
) -> Result<(ContentType, Vec<u8>), SoapError> {
    let kind = message.content_type();
    let text = encoding::utf8(kind.parameter("charset"), message.bytes())?;
    let mut cuts = cuts(&Document::parse(&text, &LIMITS)?, &text)?;
    // An insertion goes before the cut that begins at the same place.
    cuts.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = Vec::with_capacity(text.len() + 256);
    let mut from = 0;
    for (range, replacement) in cuts {
        out.extend_from_slice(text.get(from..range.start).unwrap_or_default());
        out.extend_from_slice(replacement.as_bytes());
        from = range.end;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    // What was read as UTF-8, every byte of it, stays; anything else is UTF-8 from here on.
    let same = matches!(&text, Cow::Borrowed(text) if text.len() == message.bytes().len());
    Ok((if same { kind.clone() } else { kind.with_parameter("charset", "UTF-8") }, out))
}
