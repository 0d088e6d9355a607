use trust::xml::{Document, Limits};

use super::TransportError;
use crate::fault::Fault;
use crate::message::escape_xml;

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// Writes a fault as nodes send it to each other, also for REST (PR-MESSTRANSP §3.5).
pub fn write_fault(fault: &Fault) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><SOAP-ENV:Envelope xmlns:SOAP-ENV=\"{SOAP}\"><SOAP-ENV:Body><SOAP-ENV:Fault>\
         <faultcode>{}</faultcode><faultstring>{}</faultstring><detail><faultDetail xmlns=\"\">{}</faultDetail></detail>\
         </SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>",
        escape_xml(fault.code()),
        escape_xml(fault.message()),
        escape_xml(fault.detail())
    )
}

/// Reads the fault of a peer.
pub fn read_fault(bytes: &[u8]) -> Result<Fault, TransportError> {
    let document = Document::parse(bytes, &Limits::SMALL).map_err(|error| TransportError::Fault(error.to_string()))?;
    let missing = |what: &str| TransportError::Fault(format!("it has no {what}"));
    let body = document.root().child(SOAP, "Body").ok_or_else(|| missing("SOAP body"))?;
    let fault = body.child(SOAP, "Fault").ok_or_else(|| missing("Fault element"))?;
    let text = |name: &str| fault.named(name).next().map(|element| element.text().into_owned());
    let code = text("faultcode").ok_or_else(|| missing("faultcode"))?;
    let detail = fault
        .named("detail")
        .next()
        .map(|detail| detail.descendants().map(|e| e.text().into_owned()).collect::<String>());
    Ok(Fault::remote(&code, &text("faultstring").unwrap_or_default(), &detail.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Reason, Side};

    #[test]
    fn a_fault_survives_the_wire() {
        let fault = Fault::new(Side::ServerProxy, Reason::AccessDenied, "a < b & \"c\"").with_detail("id-1".to_owned());
        assert_eq!(read_fault(write_fault(&fault).as_bytes()), Ok(fault));
    }

    #[test]
    fn what_is_no_fault_is_told_apart() {
        for text in ["", "<a/>", "<a xmlns='http://schemas.xmlsoap.org/soap/envelope/'><Body/></a>", "plain text"] {
            assert!(read_fault(text.as_bytes()).is_err(), "{text}");
        }
    }
}
