//! Every reader of the bridge, fed with messages that were right before somebody altered them: it refuses or reads, it never panics, and
//! what it reads has the limits that it promises.

use bridge::message::soap::{ContentType, Related, SOAP_PART_BYTES_MAX, Soap, SoapMessage, soap_action};
use bridge::message::{HEADERS_MAX, RestRequest, RestResponse};
use bridge::spool::Body;
use bridge::transport::{self, Attachment, Envelope, EnvelopeReader, Kind, Limits, Message, Received};
use bytes::Bytes;
use proptest::prelude::*;
use trust::testing::{harmed, harms};

use crate::soap_exchange::request;

/// What readers of messages stumble over.
const STUMBLES: &[&[u8]] = &[b"\r\n--b", b"--b--", b"Content-Type: ", b"; boundary=b", b"charset=utf-16"];

fn related() -> Vec<u8> {
    let soap = request("getState", "v1", "m-1", "<x:issue>case 7</x:issue>", "<p:a>é</p:a>");
    format!(
        "--b\r\nContent-Type: text/xml; charset=utf-8\r\nContent-ID: <root>\r\n\r\n{soap}\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
         --c\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--c--\r\n--b\r\nContent-Type: image/png\r\n\r\n\0\r\n--b--\r\n"
    )
    .into_bytes()
}

const REQUEST: &[u8] = b"GET\r\n/r1/BB/GOV/1002/fisc/income/2025?x=%20y\r\nX-Road-Client:BB/COM/2001/credit\r\nAccept:application/json\r\n\
    X-Road-Security-Server:BB/GOV/1002/node-1\r\nX-Road-Represented-Party:COM/7\r\nx-road-request-id:r-1\r\nx-road-id:BB-1\r\n";
const RESPONSE: &[u8] =
    b"200\r\nOK\r\ncontent-type:application/json\r\nx-road-id:BB-1\r\nx-road-client:BB/COM/2001/credit\r\n\
    x-road-service:BB/GOV/1002/fisc/income\r\nx-road-request-id:r-1\r\nx-road-request-hash:AAAA\r\n";

fn envelope(soap: bool) -> Vec<u8> {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let bytes = Bytes::from(request("getState", "v1", "m-1", "", ""));
    let attachment =
        |headers| Attachment { headers, body: Body::from(Bytes::from_static(b"\r\n--xatt\r\n--xtop--\r\n")) };
    let (message, attachments) = if soap {
        let message =
            Message::Soap { content_type: "text/xml".to_owned(), headers: vec![header("Content-ID", "<r>")], bytes };
        (
            message,
            vec![
                attachment(vec![header("content-type", "text/plain")]),
                attachment(vec![header("content-type", "image/png")]),
            ],
        )
    } else {
        (Message::Rest(Bytes::from_static(REQUEST)), vec![Attachment::rest(Body::from(Bytes::from_static(b"a body")))])
    };
    let ocsp = vec![Bytes::from_static(b"\x30\x03\x0a\x01\x00"), Bytes::from_static(b"\x30\x00")];
    transport::write(
        Kind::Request,
        "xtopB",
        &Envelope { ocsp, message, attachments, batch: None, signature: Bytes::from_static(b"<s/>") },
    )
}

const BODY_BYTES_MAX: u64 = 4_000;

fn receive(bytes: &[u8], slice: usize) -> Option<Received> {
    let mut reader =
        EnvelopeReader::new(Kind::Request, &transport::content_type("xtopB"), Limits::with_body(BODY_BYTES_MAX))
            .unwrap();
    for chunk in bytes.chunks(slice) {
        reader.push(Bytes::copy_from_slice(chunk)).ok()?;
    }
    reader.finish().ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_harmed_soap_message_is_refused_or_read_and_an_accepted_one_is_accepted_again(harms in harms(STUMBLES)) {
        let bytes = harmed(request("getState", "v1", "m-1", "<x:issue>c</x:issue>", "<p:year>2025</p:year>").as_bytes(), &harms);
        for kind in ["text/xml", "text/xml; charset=ISO-8859-1", "text/xml; charset=utf-16", "application/xop+xml"] {
            if let Ok(Soap::Message(message)) = SoapMessage::parse(kind, Bytes::from(bytes.clone())) {
                prop_assert!(message.bytes().len() <= SOAP_PART_BYTES_MAX);
                let _ = (message.plain_argument("year"), message.argument("year"));
                prop_assert!(message.with_request_hash(&message.hash()).unwrap().names_hash_of(&message));
            }
        }
        let _ = transport::read_fault(&bytes);
    }

    #[test]
    fn a_harmed_multipart_message_is_refused_or_read(harms in harms(STUMBLES)) {
        let whole = related();
        let bytes = harmed(&whole, &harms);
        if let Ok((_, attachments)) = Related::read(Some("multipart/related; type=\"text/xml\"; boundary=b"), &bytes) {
            prop_assert!(attachments.iter().map(|one| one.1.len()).sum::<usize>() <= bytes.len());
        }
    }

    #[test]
    fn a_harmed_header_part_is_refused_or_read_and_written_again_the_same(harms in harms(STUMBLES)) {
        if let Ok(read) = RestRequest::parse(Bytes::from(harmed(REQUEST, &harms))) {
            prop_assert!(read.headers().len() <= HEADERS_MAX);
            let again = RestRequest::parse(read.bytes().clone()).unwrap();
            prop_assert_eq!(again.sha512(), read.sha512());
        }
        let _ = RestResponse::parse(Bytes::from(harmed(RESPONSE, &harms)));
    }

    #[test]
    fn a_harmed_message_between_nodes_is_refused_or_read_and_slices_do_not_matter(harms in harms(STUMBLES), slice in 1..300_usize, soap in any::<bool>()) {
        let bytes = harmed(&envelope(soap), &harms);
        let read = receive(&bytes, slice);
        prop_assert_eq!(&read, &receive(&bytes, bytes.len().max(1)));
        if let Some(Received::Message(envelope)) = read {
            let total: u64 = envelope.attachments.iter().map(|attachment| attachment.body.len()).sum();
            prop_assert!(total <= BODY_BYTES_MAX);
        }
    }

    #[test]
    fn harmed_content_types_and_actions_are_refused_or_read(harms in harms(STUMBLES)) {
        let text = |whole: &[u8]| String::from_utf8_lossy(&harmed(whole, &harms)).into_owned();
        let kind = text(b"multipart/related; type=\"text/xml\"; start=\"<a>\"; boundary=\"b\\\"c\"; charset=UTF-8");
        let _ = ContentType::parse(&kind).to_string();
        let _ = soap_action(Some(&text(b"\"urn:getState\"")));
        let _ = transport::boundary_of(&kind);
        let _ = text(b"BB/GOV/1002/fisc/income").parse::<civic::ServiceId>();
    }
}

/// The control: the messages are right before they are harmed.
#[test]
fn unharmed_messages_are_read() {
    assert!(matches!(Related::read(Some("multipart/related; boundary=b"), &related()), Ok((Soap::Message(_), _))));
    assert!(RestRequest::parse(Bytes::from_static(REQUEST)).is_ok());
    assert!(RestResponse::parse(Bytes::from_static(RESPONSE)).is_ok());
    for soap in [false, true] {
        assert!(matches!(receive(&envelope(soap), 7), Some(Received::Message(_))));
    }
}

#[path = "../../../../fuzz/src/readers.rs"]
#[expect(unreachable_pub, reason = "they are a crate of their own where they are fuzzed")]
mod readers;

/// Fuzzing takes hours and another compiler run; that its seeds are still read is asked here. Those that a fuzzer found are refused for ever,
/// or read: what counts is that nothing panics.
#[test]
fn every_seed_of_the_fuzzers_is_read() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (name, read) in readers::READERS {
        assert!(fuzz.join("fuzz_targets").join(name).with_extension("rs").is_file(), "{name} is not fuzzed");
        let mut right = 0;
        for file in std::fs::read_dir(fuzz.join("seeds").join(name)).unwrap() {
            let (bytes, file) = (std::fs::read(file.as_ref().unwrap().path()).unwrap(), file.unwrap().file_name());
            let file = file.to_str().unwrap();
            let was_read = read(&bytes);
            if !file.starts_with("found-") {
                assert_eq!(was_read, !file.starts_with("refused-"), "{name}/{file}");
                right += usize::from(was_read);
            }
        }
        assert!(right > 0, "{name} has no seed that is right");
    }
}
