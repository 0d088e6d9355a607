//! Messages of the SOAP protocol: X-Road's samples with the verdicts of its own tests, and what a part of a message may be.

use bridge::message::soap::{MimeHeaders, Related, Soap, SoapError, SoapMessage};
use bytes::Bytes;

/// The verdict on a sample: how many attachments an accepted message has, the code of a fault, or the end of the error type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Message(usize),
    Fault(&'static str),
    Refused(&'static str),
}

use Verdict::{Fault, Message, Refused};

/// What X-Road's own tests say of each message (its proxy's test suite and its tests of SoapMessage).
const VERDICTS: [(&str, Verdict); 80] = [
    ("allowedMethods.query", Message(0)),
    ("attach-error-withsoap.query", Refused("inconsistent_headers")),
    ("attachm-error.query", Refused("invalid_content_type")),
    ("attachm-faulty-soap.query", Refused("missing_header_field")),
    ("attachm-mtom.answer", Message(1)),
    ("attachm-mtom.query", Message(1)),
    ("attachm-no-soap.query", Refused("invalid_content_type")),
    ("attachm.answer", Message(0)),
    ("attachm.query", Message(1)),
    ("attachm2-utf8bom-inside.answer", Message(1)),
    ("attachm2-utf8bom-inside.query", Message(1)),
    ("attachm2.answer", Message(1)),
    ("attachm2.query", Message(1)),
    ("attachment-small-mantis.answer", Message(0)),
    ("attachments.answer", Message(3)),
    ("attachments.query", Message(3)),
    ("bigAttachment.answer", Message(0)),
    ("bigAttachment.query", Message(0)),
    ("cdata.answer", Message(0)),
    ("cdata.query", Message(0)),
    ("customfault.answer", Fault("foo:FOOCODE")),
    ("customsoapenv.answer", Fault("soapenv:Server.CODE")),
    ("dummy.query", Message(0)),
    ("empty.query", Refused("invalid_soap")),
    ("fault.query", Fault("CODE")),
    ("faulty-fault.answer", Fault("soap:Server")),
    ("faulty-header.query", Refused("missing_header_field")),
    ("faulty-header2.query", Refused("duplicate_header_field")),
    ("faulty-multipart.query", Refused("missing_soap")),
    ("getWsdl.query", Message(0)),
    ("getstate-defaultnamespace.query", Message(0)),
    ("getstate-iso88591.answer", Message(0)),
    ("getstate-subsystem.answer", Message(0)),
    ("getstate-subsystem.query", Message(0)),
    ("getstate.answer", Message(0)),
    ("getstate.query", Message(0)),
    ("inconsistent-headers.query", Refused("inconsistent_headers")),
    ("invalid-service-address.query", Message(0)),
    ("listMethods.query", Message(0)),
    ("malformed-body1.query", Refused("invalid_body")),
    ("malformed-body2.query", Refused("invalid_body")),
    ("malformed-body3.query", Refused("inconsistent_headers")),
    ("malformed-protocolVersion.query", Refused("invalid_protocol_version")),
    ("mimesoap.answer", Message(0)),
    ("mimesoap.query", Message(0)),
    ("missing-body.query", Refused("missing_body")),
    ("missing-org.query", Message(0)),
    ("missing-protocolVersion.query", Refused("missing_header_field")),
    ("missing-userId.answer", Message(0)),
    ("missing-userId.query", Message(0)),
    ("missingobjecttype.query", Refused("invalid_xml")),
    ("no-header.query", Refused("missing_header")),
    // The message lacks nothing but the signature, which nodes add.
    ("no-signature.query", Message(0)),
    ("no-soap.query", Refused("invalid_soap")),
    ("notAllowed.query", Message(0)),
    ("nowhitespace.answer", Message(0)),
    ("nowhitespace.query", Message(0)),
    ("proxyemulator.query", Message(0)),
    ("request-suffix.query", Message(0)),
    ("requesthash.answer", Message(0)),
    ("response-with-requestId.answer", Message(0)),
    ("signing-error-request.query", Message(0)),
    ("signing-error-response.query", Message(0)),
    ("simple-comment.answer", Message(0)),
    ("simple-representedparty.query", Message(0)),
    ("simple-rpc.query", Message(0)),
    ("simple.answer", Message(0)),
    ("simple.query", Message(0)),
    ("simplesoap.xml", Message(0)),
    ("smallAttachment.answer", Message(0)),
    ("smallAttachment.query", Message(1)),
    ("soapfault-mtom.answer", Fault("soap:Server")),
    ("soapfault-mtom.query", Message(1)),
    ("soapfaulterror.query", Fault("SOAP-ENV:Clientrwerete")),
    ("split-header.answer", Message(0)),
    ("split-header.query", Message(0)),
    ("wrong-protocolVersion.query", Refused("invalid_protocol_version")),
    ("wrong-version.query", Refused("invalid_protocol_version")),
    ("xml.query", Message(0)),
    ("xop.answer", Message(1)),
];

#[test]
fn x_roads_own_messages_get_the_verdicts_of_its_own_tests() {
    let Some(folder) = super::samples::folder("the messages of X-Road's tests") else { return };
    let mut judged = 0;
    for entry in std::fs::read_dir(folder.join("messages")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some((_, expected)) = VERDICTS.iter().find(|(known, _)| *known == name) else { continue };
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(judge(&content_type(&name, &bytes), &bytes), *expected, "{name}");
        judged += 1;
    }
    assert!(judged >= 45, "only {judged} messages were found");
}

/// The Content-Type that the message was sent with in X-Road's tests.
fn content_type(name: &str, bytes: &[u8]) -> String {
    if name == "faulty-multipart.query" {
        return "multipart/related; charset=UTF-8; boundary=jetty771207119h3h10dty".to_owned();
    }
    if name == "getstate-iso88591.answer" {
        return "text/xml; charset=ISO-8859-1".to_owned();
    }
    match bytes.strip_prefix(b"--").and_then(|rest| rest.split(|byte| *byte == b'\n').next()) {
        Some(boundary) => {
            let boundary = String::from_utf8_lossy(boundary);
            format!("multipart/related; charset=UTF-8; boundary=\"{}\"", boundary.trim_end())
        }
        None => "text/xml; charset=UTF-8".to_owned(),
    }
}

fn judge(content_type: &str, bytes: &[u8]) -> Verdict {
    match Related::read(Some(content_type), bytes) {
        Ok((Soap::Message(message), attachments)) => {
            let at = bytes.windows(message.bytes().len()).position(|window| window == message.bytes().as_ref());
            assert!(at.is_some(), "the SOAP part is kept byte for byte");
            Message(attachments.len())
        }
        Ok((Soap::Fault(fault), _)) => Fault(fault.code.leak()),
        Err(error) => Refused(error.reason().code()),
    }
}

const REQUEST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:x="http://x-road.eu/xsd/xroad.xsd" xmlns:i="http://x-road.eu/xsd/identifiers">
  <e:Header>
    <x:client i:objectType="SUBSYSTEM"><i:xRoadInstance>BB</i:xRoadInstance><i:memberClass>COM</i:memberClass><i:memberCode>2001</i:memberCode><i:subsystemCode>credit</i:subsystemCode></x:client>
    <x:service i:objectType="SERVICE"><i:xRoadInstance>BB</i:xRoadInstance><i:memberClass>GOV</i:memberClass><i:memberCode>1002</i:memberCode><i:subsystemCode>fisc</i:subsystemCode><i:serviceCode>getState</i:serviceCode><i:serviceVersion>v1</i:serviceVersion></x:service>
    <x:userId>BB1</x:userId>
    <x:id>m-1</x:id>
    <x:issue/>
    <x:protocolVersion>4.0</x:protocolVersion>
    <r:representedParty xmlns:r="http://x-road.eu/xsd/representation.xsd"><r:partyClass>COM</r:partyClass><r:partyCode>9</r:partyCode></r:representedParty>
    <x:securityServer i:objectType="SERVER"><i:xRoadInstance>BB</i:xRoadInstance><i:memberClass>GOV</i:memberClass><i:memberCode>1002</i:memberCode><i:serverCode>node</i:serverCode></x:securityServer>
    <t:securityToken xmlns:t="http://x-road.eu/xsd/security-token.xsd" tokenType="urn:ietf:params:oauth:token-type:jwt">a.b.c</t:securityToken>
  </e:Header>
  <e:Body><p:getState xmlns:p="urn:p">é &amp; <![CDATA[<]]></p:getState></e:Body>
</e:Envelope>"#;

fn parse(text: &str) -> Result<SoapMessage, SoapError> {
    match SoapMessage::parse("text/xml", Bytes::copy_from_slice(text.as_bytes()))? {
        Soap::Message(message) => Ok(*message),
        Soap::Fault(_) => Err(SoapError::Body),
    }
}

fn answer() -> String {
    REQUEST.replace("p:getState", "p:getStateResponse")
}

#[test]
fn every_field_of_the_header_is_read_with_its_three_extensions() {
    let message = parse(REQUEST).unwrap();
    let header = message.header();
    assert_eq!(header.client.to_string(), "BB/COM/2001/credit");
    assert_eq!(header.service.to_string(), "BB/GOV/1002/fisc/getState");
    assert_eq!(header.service_version.as_deref(), Some("v1"));
    assert_eq!(
        (header.id.as_str(), header.user_id.as_deref(), header.issue.as_deref()),
        ("m-1", Some("BB1"), Some(""))
    );
    assert_eq!(header.server.as_ref().unwrap().to_string(), "BB/GOV/1002/node");
    assert_eq!(header.represented_party.as_ref().unwrap().code.as_deref(), Some("9"));
    assert_eq!(header.token.as_ref().unwrap().value, "a.b.c");
    assert_eq!(message.body_name(), "getState");
}

#[test]
fn a_header_that_two_readers_could_understand_differently_is_refused() {
    for (from, to, code) in [
        ("<x:id>m-1</x:id>", "<x:id>m-1</x:id><x:id>m-1</x:id>", "duplicate_header_field"),
        ("<x:id>m-1</x:id>", "<x:id>m\n1</x:id>", "bad_request"),
        ("<x:id>m-1</x:id>", "", "missing_header_field"),
        ("<x:id>m-1</x:id>", "<i:id>m-1</i:id>", "missing_header_field"),
        ("</e:Header>", "</e:Header><e:Header/>", "duplicate_header_field"),
        ("</e:Body>", "</e:Body><e:Body/>", "duplicate_header_field"),
        ("\"SUBSYSTEM\"", "\"MEMBER\"", "invalid_xml"),
        ("\"SUBSYSTEM\"", "\"SERVICE\"", "invalid_xml"),
        ("\"SERVER\"", "\"SERVICE\"", "invalid_xml"),
        ("i:objectType=\"SERVICE\"", "objectType=\"SERVICE\"", "invalid_xml"),
        ("<i:memberClass>COM</i:memberClass>", "", "invalid_xml"),
        ("<i:memberCode>2001</i:memberCode>", "<i:memberCode>20/01</i:memberCode>", "invalid_xml"),
        (
            "<i:serviceCode>getState</i:serviceCode>",
            "<i:serviceCode>a</i:serviceCode><i:serviceCode>getState</i:serviceCode>",
            "duplicate_header_field",
        ),
        (">v1<", ">v/1<", "invalid_xml"),
        (">4.0<", ">5.0<", "invalid_protocol_version"),
        ("<p:getState ", "<p:Other/><p:getState ", "invalid_soap"),
        ("schemas.xmlsoap.org/soap/envelope/", "www.w3.org/2003/05/soap-envelope", "invalid_soap"),
        ("<e:Body>", "<!DOCTYPE a><e:Body>", "invalid_soap"),
        ("encoding=\"utf-8\"", "encoding=\"EBCDIC-US\"", "invalid_soap"),
    ] {
        let text = REQUEST.replacen(from, to, 1);
        assert_ne!(text, REQUEST, "{from}");
        assert_eq!(parse(&text).unwrap_err().reason().code(), code, "{from} → {to}");
    }
}

#[test]
fn the_hash_of_the_request_stands_behind_the_id_and_all_other_bytes_stay() {
    let request = parse(REQUEST).unwrap();
    let answered = parse(&answer()).unwrap();
    assert!(!answered.names_hash_of(&request));
    let hashed = answered.with_request_hash(&request.hash()).unwrap();
    assert!(hashed.names_hash_of(&request));
    let text = String::from_utf8(hashed.bytes().to_vec()).unwrap();
    let (before, rest) =
        text.split_once("\n    <x:requestHash algorithmId=\"http://www.w3.org/2001/04/xmlenc#sha512\">").unwrap();
    let (_, after) = rest.split_once("</x:requestHash>").unwrap();
    assert_eq!(format!("{before}{after}"), answer());
    assert!(before.ends_with("<x:id>m-1</x:id>"));
    // What the service wrote itself gives way.
    let forged = answer().replace("<x:issue/>", "<x:issue/>\n    <x:requestHash>foo</x:requestHash>");
    let again = parse(&forged).unwrap().with_request_hash(&request.hash()).unwrap();
    assert_eq!(again.bytes(), hashed.bytes());
}

#[test]
fn the_hash_takes_the_prefix_of_the_id_wherever_it_is_declared() {
    let request = parse(REQUEST).unwrap();
    for id in [
        "<id xmlns=\"http://x-road.eu/xsd/xroad.xsd\">m-1</id>",
        "<q:id xmlns:q='http://x-road.eu/xsd/xroad.xsd'>m-1</q:id>",
    ] {
        let answered = parse(&answer().replace("<x:id>m-1</x:id>", id)).unwrap();
        assert!(answered.with_request_hash(&request.hash()).unwrap().names_hash_of(&request), "{id}");
    }
}

#[test]
fn an_answer_in_latin1_becomes_utf8_with_its_hash() {
    let request = parse(REQUEST).unwrap();
    let text = answer().replace("encoding=\"utf-8\"", "encoding=\"ISO-8859-1\"");
    let bytes: Vec<u8> = text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect();
    let Ok(Soap::Message(message)) = SoapMessage::parse("text/xml; charset=ISO-8859-1", Bytes::from(bytes)) else {
        unreachable!("it is a message")
    };
    let hashed = message.with_request_hash(&request.hash()).unwrap();
    assert_eq!(hashed.content_type().to_string(), "text/xml; charset=UTF-8");
    assert!(std::str::from_utf8(hashed.bytes()).unwrap().contains(">é &amp; "));
}

#[test]
fn an_answer_repeats_the_header_of_its_request() {
    let request = parse(REQUEST).unwrap();
    assert_eq!(parse(&answer()).unwrap().mismatch(&request), None);
    for (from, to, field) in [
        (">credit<", ">debit<", "client"),
        (">v1<", ">v2<", "service"),
        (">fisc<", ">tax<", "service"),
        (">BB1<", ">BB2<", "userId"),
        (">m-1<", ">m-2<", "id"),
        ("<x:issue/>", "", "issue"),
        (">9<", ">8<", "representedParty"),
    ] {
        assert_eq!(parse(&answer().replace(from, to)).unwrap().mismatch(&request), Some(field), "{from}");
    }
}

#[test]
fn the_node_answers_with_the_header_of_the_request_and_a_body_of_its_own() {
    let request = parse(REQUEST).unwrap();
    let answer = request.answer("<x:getStateResponse xmlns:x=\"http://x-road.eu/xsd/xroad.xsd\"/>").unwrap();
    assert_eq!((answer.body_name(), answer.mismatch(&request)), ("getStateResponse", None));
    assert_eq!(request.argument("none").unwrap(), None);
    let asked = parse(&REQUEST.replace("é &amp; ", "<p:serviceCode>c</p:serviceCode>")).unwrap();
    assert_eq!(asked.argument("serviceCode").unwrap().as_deref(), Some("c"));
}

#[test]
fn a_content_type_that_is_none_of_the_protocol_is_refused() {
    let read = |kind: Option<&str>| Related::read(kind, REQUEST.as_bytes()).unwrap_err().reason().code();
    assert_eq!(read(None), "invalid_request");
    for kind in ["", "blah", "text/html", "application/soap+xml", "multipart/mixed; boundary=x", "application/json"] {
        assert_eq!(read(Some(kind)), "invalid_content_type", "{kind}");
    }
    assert_eq!(read(Some("multipart/related")), "mime_parsing_failed");
    assert!(matches!(Related::read(Some("TEXT/XML;charset=\"utf-8\""), REQUEST.as_bytes()), Ok((Soap::Message(_), _))));
}

#[test]
fn parts_nested_too_deep_or_too_many_are_refused() {
    let part = |level| format!("--b{level}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n", level + 1);
    let deep: String = (0..6).map(part).collect();
    assert_eq!(code_of("b0", deep.as_bytes()), "mime_parsing_failed");
    let many = "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n".repeat(65);
    let message = format!("--b\r\nContent-Type: text/xml\r\n\r\n{REQUEST}\r\n{many}--b--");
    assert_eq!(code_of("b", message.as_bytes()), "body_too_large");
}

fn code_of(boundary: &str, bytes: &[u8]) -> &'static str {
    let kind = format!("multipart/related; boundary={boundary}");
    Related::read(Some(&kind), bytes).unwrap_err().reason().code()
}

#[test]
fn attachments_keep_their_headers_in_order_and_their_bytes() {
    let message = format!(
        "--b\r\nContent-Type: text/xml\r\n\r\n{REQUEST}\r\n--b\r\nContent-ID: <a@b>\r\nContent-Type: application/octet-stream; \
         name=x\r\nContent-Transfer-Encoding: binary\r\n\r\n\r\n--\x00\x01\r\n\r\n--b--\r\n"
    );
    let (_, attachments) = Related::read(Some("multipart/related; boundary=b"), message.as_bytes()).unwrap();
    let (headers, content): &(MimeHeaders, Bytes) = &attachments[0];
    let names: Vec<&str> = headers.iter().map(|header| header.0.as_str()).collect();
    assert_eq!(names, ["Content-ID", "Content-Type", "Content-Transfer-Encoding"]);
    assert_eq!(content.as_ref(), b"\r\n--\x00\x01\r\n");
}

proptest::proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
        for kind in ["text/xml", "text/xml; charset=utf-16", "multipart/related; boundary=b"] {
            let _ = Related::read(Some(kind), &bytes);
        }
    }

    #[test]
    fn one_changed_byte_of_a_message_never_breaks_the_reader(at in 0..2_400_usize, byte in proptest::prelude::any::<u8>()) {
        let mut bytes = REQUEST.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(Soap::Message(message)) = SoapMessage::parse("text/xml", Bytes::from(bytes.clone())) {
            proptest::prop_assert_eq!(message.bytes().as_ref(), bytes.as_slice());
            // Whatever is accepted can carry a hash, and is accepted again with it.
            let hashed = message.with_request_hash(&message.hash()).unwrap();
            proptest::prop_assert!(hashed.names_hash_of(&message));
        }
    }
}
