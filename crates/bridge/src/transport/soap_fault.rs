use bytes::Bytes;

use super::TransportError;
use crate::fault::Fault;
use crate::message::soap::{Soap, SoapFault, SoapMessage};

/// Writes a fault as nodes send it to each other, also for REST (PR-MESSTRANSP §3.5). A fault that a service wrote stays as it is.
pub fn write_fault(fault: &Fault) -> String {
    if let Some(raw) = fault.raw() {
        return raw.to_owned();
    }
    let soap = SoapFault {
        code: fault.code().to_owned(),
        string: fault.message().to_owned(),
        detail: Some(fault.detail().to_owned()),
        ..SoapFault::default()
    };
    String::from_utf8_lossy(&soap.to_xml()).into_owned()
}

/// Reads the fault of a peer.
pub fn read_fault(bytes: &[u8]) -> Result<Fault, TransportError> {
    match SoapMessage::parse("text/xml; charset=UTF-8", Bytes::copy_from_slice(bytes)) {
        Ok(Soap::Fault(fault)) => Ok(Fault::of_soap(&fault)),
        Ok(Soap::Message(_)) => Err(TransportError::Fault("it is a message and no fault".to_owned())),
        Err(error) => Err(TransportError::Fault(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Reason, Side};

    #[test]
    fn a_fault_survives_the_wire() {
        let fault = Fault::new(Side::ServerProxy, Reason::AccessDenied, "a < b & \"c\"").with_detail("id-1".to_owned());
        let read = Fault::remote(fault.code(), fault.message(), fault.detail());
        assert_eq!(read_fault(write_fault(&fault).as_bytes()), Ok(read));
    }

    #[test]
    fn a_fault_of_a_service_keeps_its_own_words_through_nodes() {
        let text = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><e:Fault><faultcode>e:Client</faultcode>\
                    <faultstring>no</faultstring><detail><p:parcel xmlns:p='urn:p'>7</p:parcel></detail></e:Fault></e:Body></e:Envelope>";
        let fault = read_fault(text.as_bytes()).unwrap();
        assert_eq!((fault.code(), fault.message(), fault.raw()), ("e:Client", "no", Some(text)));
        assert_eq!(write_fault(&fault.with_detail("id-2".to_owned())), text);
    }

    #[test]
    fn what_is_no_fault_is_told_apart() {
        for text in ["", "<a/>", "<a xmlns='http://schemas.xmlsoap.org/soap/envelope/'><Body/></a>", "plain text"] {
            assert!(read_fault(text.as_bytes()).is_err(), "{text}");
        }
    }
}
