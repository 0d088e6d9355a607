//! WSDL descriptions as the node gives them away: what they say stays, but where the information system listens is nobody's matter.

use std::borrow::Cow;

use trust::xml::{Document, Limits, XmlError};

/// The address that stands in every WSDL that leaves the node (CODE: X-Road's MetadataServiceHandlerImpl).
pub(crate) const ENDPOINT: &str = "http://example.org/xroad-endpoint";

/// The namespaces of the elements `address` that hold the address of a service.
const ADDRESSES: [&str; 3] = [
    "http://schemas.xmlsoap.org/wsdl/soap/",
    "http://schemas.xmlsoap.org/wsdl/soap12/",
    "http://schemas.xmlsoap.org/wsdl/http/",
];

/// The WSDL with [`ENDPOINT`] as the address of every port, all other bytes as they were.
pub(crate) fn anonymised(wsdl: &str) -> Result<String, XmlError> {
    let text = without_encoding(wsdl);
    let document = Document::parse(text.as_bytes(), &Limits::LARGE)?;
    let root = document.root();
    let addresses =
        root.descendants().filter(|element| element.local() == "address" && ADDRESSES.contains(&element.namespace()));
    let mut out = String::with_capacity(text.len() + 64);
    let mut from = 0;
    for span in addresses.filter_map(|address| address.attribute_span("location")) {
        out.push_str(text.get(from..span.start).unwrap_or_default());
        out.push_str(ENDPOINT);
        from = span.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Ok(out)
}

/// The registry keeps text: an XML declaration that names another encoding than UTF-8 is no longer true.
fn without_encoding(wsdl: &str) -> Cow<'_, str> {
    let text = wsdl.strip_prefix('\u{feff}').unwrap_or(wsdl);
    let declaration = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    match declaration {
        Some((_, rest)) => Cow::Owned(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{rest}")),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_port_gives_way_and_nothing_else() {
        let wsdl = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<w:definitions xmlns:w='http://schemas.xmlsoap.org/wsdl/' \
                    xmlns:s='http://schemas.xmlsoap.org/wsdl/soap/' xmlns:t='http://schemas.xmlsoap.org/wsdl/soap12/'><!-- kept -->\
                    <w:service><w:port><s:address location=\"http://10.0.0.1/x?a=1&amp;b\"/></w:port><w:port><t:address \
                    location='http://b'/></w:port><address location='kept'/></w:service></w:definitions>";
        let given = anonymised(wsdl).unwrap();
        assert!(given.contains("<s:address location=\"http://example.org/xroad-endpoint\"/>"), "{given}");
        assert!(given.contains("location='http://example.org/xroad-endpoint'/>"), "{given}");
        assert!(given.contains("<!-- kept --><w:service>") && given.contains("<address location='kept'/>"), "{given}");
        assert!(given.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<w:definitions"), "{given}");
        assert!(!given.contains("10.0.0.1"));
    }

    #[test]
    fn what_is_no_xml_is_not_given_away() {
        assert!(anonymised("not xml").is_err());
        assert!(anonymised("<!DOCTYPE a><a/>").is_err());
    }
}
