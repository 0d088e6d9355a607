use std::borrow::Cow;

use super::{SoapError, cut};

/// The SOAP part as UTF-8. UTF-8 stays as it is, byte for byte. The encoding is found in the order of X-Road's reader: byte order mark,
/// XML declaration, then (where both are silent) the charset of the Content-Type; UTF-8 where nobody says.
pub(super) fn utf8<'a>(charset: Option<&str>, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, SoapError> {
    if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        return utf16(rest, u16::from_be_bytes);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        return utf16(rest, u16::from_le_bytes);
    }
    let declared = declaration(bytes).and_then(declared_encoding);
    let marked = bytes.starts_with(b"\xef\xbb\xbf");
    let label = declared.or(charset.filter(|_| !marked)).unwrap_or("utf-8").trim().to_ascii_lowercase();
    match label.as_str() {
        "" | "utf-8" => Ok(Cow::Borrowed(bytes)),
        _ if marked => Err(SoapError::Encoding(cut(&label))),
        "us-ascii" | "ascii" if bytes.is_ascii() => Ok(Cow::Borrowed(without_declaration(bytes))),
        "utf8" => Ok(Cow::Borrowed(without_declaration(bytes))),
        "iso-8859-1" | "latin1" => {
            let text: String = without_declaration(bytes).iter().map(|byte| char::from(*byte)).collect();
            Ok(Cow::Owned(text.into_bytes()))
        }
        _ => Err(SoapError::Encoding(cut(&label))),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, [u8]>, SoapError> {
    let wrong = || SoapError::Encoding("UTF-16 (broken)".to_owned());
    let pairs = bytes.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).map(unit));
    let units: Vec<u16> = pairs.collect::<Result<_, _>>().map_err(|_| wrong())?;
    let text = String::from_utf16(&units).map_err(|_| wrong())?;
    Ok(Cow::Owned(without_declaration(text.as_bytes()).to_vec()))
}

/// `<?xml … ?>` at the very start, where it is ASCII.
fn declaration(bytes: &[u8]) -> Option<&str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !bytes.starts_with(b"<?xml") {
        return None;
    }
    let end = bytes.iter().take(512).position(|byte| *byte == b'>')?;
    std::str::from_utf8(bytes.get(..=end)?).ok()
}

fn declared_encoding(declaration: &str) -> Option<&str> {
    let (_, after) = declaration.split_once("encoding")?;
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value.get(1..)?.split_once(quote).map(|(name, _)| name)
}

fn without_declaration(bytes: &[u8]) -> &[u8] {
    declaration(bytes).and_then(|declaration| bytes.get(declaration.len()..)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(charset: Option<&str>, bytes: &[u8]) -> Result<String, SoapError> {
        utf8(charset, bytes).map(|text| String::from_utf8(text.into_owned()).unwrap())
    }

    #[test]
    fn utf8_stays_byte_for_byte_whatever_the_content_type_says_of_a_declared_text() {
        for text in ["\u{feff}<a>é</a>", "<?xml version='1.0' encoding='utf-8'?><a>é</a>", "<a>é</a>"] {
            assert_eq!(read(None, text.as_bytes()).unwrap(), text);
        }
        let declared = "<?xml version='1.0' encoding=\"UTF-8\"?><a>é</a>";
        assert_eq!(read(Some("iso-8859-1"), declared.as_bytes()).unwrap(), declared);
    }

    #[test]
    fn latin1_and_utf16_are_read() {
        assert_eq!(read(None, b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>").unwrap(), "<a>é</a>");
        assert_eq!(read(Some("ISO-8859-1"), b"<?xml version='1.0'?><a>\xe9</a>").unwrap(), "<a>é</a>");
        assert_eq!(read(None, b"\xfe\xff\0<\0a\0/\0>").unwrap(), "<a/>");
        assert_eq!(read(None, b"\xff\xfe<\0a\0/\0>\0").unwrap(), "<a/>");
    }

    #[test]
    fn an_encoding_that_nobody_can_judge_is_refused() {
        for bytes in [
            &b"<?xml version='1.0' encoding='EBCDIC-US'?><a/>"[..],
            b"\xfe\xff\0",
            b"\xef\xbb\xbf<?xml version='1.0' encoding='latin1'?><a/>",
        ] {
            assert!(matches!(read(None, bytes), Err(SoapError::Encoding(_))));
        }
        assert!(matches!(read(Some("us-ascii"), "é".as_bytes()), Err(SoapError::Encoding(_))));
    }
}
