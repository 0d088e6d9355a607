use super::SoapError;

/// Checks the value of SOAPAction as X-Road does: absent, empty, `""`, or a URI reference between double quotes (SOAP 1.1 §6.1.1).
pub fn soap_action(value: Option<&str>) -> Result<(), SoapError> {
    let Some(value) = value.filter(|value| !value.is_empty() && *value != "\"\"") else { return Ok(()) };
    let uri = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(SoapError::SoapAction)?;
    if is_uri_reference(uri) { Ok(()) } else { Err(SoapError::SoapAction) }
}

/// The characters of RFC 2396 and its escapes, one fragment, no empty scheme: what `java.net.URI` reads.
fn is_uri_reference(uri: &str) -> bool {
    let legal = |character: char| {
        character.is_ascii_alphanumeric()
            || "-_.!~*'();/?:@&=+$,#[]%".contains(character)
            || (!character.is_ascii() && !character.is_control() && !character.is_whitespace())
    };
    let escaped = uri
        .split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    !uri.is_empty() && !uri.starts_with(':') && uri.chars().all(legal) && escaped && uri.matches('#').count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_empty_or_a_uri_between_quotes() {
        for good in
            [None, Some(""), Some("\"\""), Some("\"http://example.org/test\""), Some("\"urn:foo\""), Some("\"é\"")]
        {
            assert_eq!(soap_action(good), Ok(()), "{good:?}");
        }
        for bad in [
            "http://quotes/missing",
            "\"http://extra/quote\"\"",
            "\"spaces \"",
            "\"",
            "x",
            "\"%2\"",
            "\":a\"",
            "\"a\r\nb\"",
        ] {
            assert_eq!(soap_action(Some(bad)), Err(SoapError::SoapAction), "{bad}");
        }
    }
}
