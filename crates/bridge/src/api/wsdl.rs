//! The services of a WSDL 1.1 file: the operations of its bindings, with X-Road's version (PR-MESS annex C) and the address of the port.

use trust::xml::{Document, Limits};

const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";
const SOAP: &str = "http://schemas.xmlsoap.org/wsdl/soap/";
const XROAD: &str = "http://x-road.eu/xsd/xroad.xsd";
/// Operations that one file may bring.
const OPERATIONS_MAX: usize = 2_000;

/// An operation of a WSDL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) title: Option<String>,
    pub(super) address: String,
}

/// Reads the operations; says why it cannot.
pub(super) fn operations(text: &str) -> Result<Vec<Operation>, String> {
    let document = Document::parse(text.as_bytes(), &Limits::LARGE).map_err(|error| error.to_string())?;
    let root = document.root();
    if !root.is(WSDL, "definitions") {
        return Err("it is no WSDL 1.1: the root is not `definitions`".to_owned());
    }
    let mut found: Vec<Operation> = Vec::new();
    for port in root.elements().filter(|one| one.is(WSDL, "service")).flat_map(|one| one.elements()) {
        let address = port.child(SOAP, "address").and_then(|address| address.attribute("location"));
        let binding = port.attribute("binding").map(local);
        let (Some(address), Some(binding)) = (address, binding) else { continue };
        let bindings = root.elements().filter(|one| one.is(WSDL, "binding") && one.attribute("name") == Some(binding));
        for operation in bindings.flat_map(|one| one.elements()).filter(|one| one.is(WSDL, "operation")) {
            let Some(name) = operation.attribute("name") else { continue };
            let version = operation.child(XROAD, "version").map(|version| version.text().trim().to_owned());
            let title = root
                .descendants()
                .filter(|one| one.is(WSDL, "portType"))
                .flat_map(|one| one.elements())
                .find(|one| one.is(WSDL, "operation") && one.attribute("name") == Some(name))
                .and_then(|one| one.child(WSDL, "documentation")?.child(XROAD, "title"))
                .map(|title| title.text().trim().chars().take(255).collect());
            let one = Operation {
                name: name.to_owned(),
                version: version.filter(|version| !version.is_empty()),
                title,
                address: address.to_owned(),
            };
            if found.iter().any(|known| known.name == one.name && known.version == one.version) {
                continue;
            }
            found.push(one);
            if found.len() > OPERATIONS_MAX {
                return Err(format!("it has more than {OPERATIONS_MAX} operations"));
            }
        }
    }
    if found.is_empty() { Err("it has no SOAP operation with an address".to_owned()) } else { Ok(found) }
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_with_version_title_and_address() {
        let text = r#"<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"
            xmlns:x="http://x-road.eu/xsd/xroad.xsd" xmlns:t="urn:t">
          <w:portType name="p"><w:operation name="getPerson"><w:documentation><x:title>A person</x:title></w:documentation>
          </w:operation></w:portType>
          <w:binding name="b" type="t:p"><w:operation name="getPerson"><x:version>v1</x:version></w:operation>
          <w:operation name="list"/></w:binding>
          <w:service name="s"><w:port name="p" binding="t:b"><s:address location="http://is.example/soap"/></w:port></w:service>
        </w:definitions>"#;
        let found = operations(text).unwrap();
        let address = "http://is.example/soap".to_owned();
        assert_eq!(
            found,
            [
                Operation {
                    name: "getPerson".into(),
                    version: Some("v1".into()),
                    title: Some("A person".into()),
                    address: address.clone()
                },
                Operation { name: "list".into(), version: None, title: None, address },
            ]
        );
        assert!(operations("<a/>").is_err() && operations("no xml").is_err());
    }
}
