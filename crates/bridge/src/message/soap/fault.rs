use bytes::Bytes;
use trust::xml::Element;

use super::SOAP_NAMESPACE;
use crate::message::escape_xml;

/// A SOAP fault (SOAP 1.1 §4.4) as X-Road reads and writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoapFault {
    /// faultcode.
    pub code: String,
    /// faultstring.
    pub string: String,
    /// faultactor.
    pub actor: Option<String>,
    /// detail/faultDetail, else the text of detail.
    pub detail: Option<String>,
    /// The whole part as it came, in UTF-8: a service's own fault is passed on unchanged.
    pub bytes: Option<Bytes>,
}

impl SoapFault {
    /// Reads a Fault element; what is absent is empty.
    pub(super) fn of(fault: Element<'_, '_>) -> Self {
        let text = |name: &str| fault.named(name).last().map(|element| element.text().into_owned());
        let detail = fault.named("detail").last().and_then(|detail| {
            let inner = detail.named("faultDetail").last().map(|inner| inner.text().into_owned());
            let own = || Some(detail.text().trim().to_owned()).filter(|text| !text.is_empty());
            inner.filter(|text| !text.is_empty()).or_else(own)
        });
        Self {
            code: text("faultcode").unwrap_or_default(),
            string: text("faultstring").unwrap_or_default(),
            actor: text("faultactor"),
            detail,
            bytes: None,
        }
    }

    /// Writes the fault; one that came from elsewhere stays as it came.
    pub fn to_xml(&self) -> Bytes {
        if let Some(bytes) = &self.bytes {
            return bytes.clone();
        }
        let actor = self.actor.as_deref().map(|actor| format!("<faultactor>{}</faultactor>", escape_xml(actor)));
        let detail = self
            .detail
            .as_deref()
            .map(|detail| format!("<detail><faultDetail xmlns=\"\">{}</faultDetail></detail>", escape_xml(detail)));
        Bytes::from(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><SOAP-ENV:Envelope xmlns:SOAP-ENV=\"{SOAP_NAMESPACE}\"><SOAP-ENV:Body>\
             <SOAP-ENV:Fault><faultcode>{}</faultcode><faultstring>{}</faultstring>{}{}</SOAP-ENV:Fault></SOAP-ENV:Body>\
             </SOAP-ENV:Envelope>",
            escape_xml(&self.code),
            escape_xml(&self.string),
            actor.unwrap_or_default(),
            detail.unwrap_or_default(),
        ))
    }
}
