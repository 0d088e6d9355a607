use super::*;

fn body(bytes: Option<&[u8]>) -> Vec<Attachment> {
    bytes.into_iter().map(|bytes| Attachment::rest(Body::from(Bytes::copy_from_slice(bytes)))).collect()
}

/// A SOAP message with two attachments, the second with content that looks like boundaries.
fn soap() -> Envelope {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let attachment = |headers: Vec<(String, String)>, bytes: &'static [u8]| Attachment {
        headers,
        body: Body::from(Bytes::from_static(bytes)),
    };
    Envelope {
        ocsp: vec![Bytes::from_static(b"one")],
        message: Message::Soap {
            content_type: "text/xml; charset=UTF-8".to_owned(),
            headers: vec![header("Content-ID", "<root>")],
            bytes: Bytes::from_static(b"<Envelope/>"),
        },
        attachments: vec![
            attachment(vec![header("content-type", "text/plain"), header("Content-ID", "<a>")], b""),
            attachment(vec![header("content-type", "image/png")], b"\r\n--xatt\r\n--xtop--\r\n--xattb"),
        ],
        batch: None,
        signature: Bytes::from_static(b"<s/>"),
    }
}

fn envelope() -> Envelope {
    Envelope {
        ocsp: vec![Bytes::from_static(b"\x30\r\n--xtop\x00"), Bytes::from_static(b"two")],
        message: Message::Rest(Bytes::from_static(b"GET\r\n/r1/a\r\n")),
        attachments: body(Some(b"\r\n--xtop\r\n--xtopb-\r")),
        batch: Some(BatchParts { result: Bytes::from_static(b"<r/>"), chain: Bytes::from_static(b"<c/>") }),
        signature: Bytes::from_static(b"<s/>"),
    }
}

fn read(bytes: &[u8], slice: usize, limits: Limits) -> Result<Received, TransportError> {
    let mut reader = EnvelopeReader::new(Kind::Request, &content_type("xtopB"), limits)?;
    for chunk in bytes.chunks(slice.max(1)) {
        reader.push(Bytes::copy_from_slice(chunk))?;
    }
    reader.finish()
}

const LIMITS: Limits = Limits::with_body(1_000);

#[test]
fn a_message_survives_the_wire_in_slices_of_any_size() {
    let bytes = write(Kind::Request, "xtopB", &envelope());
    for slice in 1..bytes.len() {
        assert_eq!(read(&bytes, slice, LIMITS), Ok(Received::Message(Box::new(envelope()))), "slices of {slice}");
    }
}

#[test]
fn a_soap_message_and_its_attachments_survive_the_wire_in_slices_of_any_size() {
    for attachments in [soap().attachments, Vec::new()] {
        let envelope = Envelope { attachments, ..soap() };
        let bytes = write(Kind::Request, "xtopB", &envelope);
        for slice in 1..bytes.len() {
            assert_eq!(
                read(&bytes, slice, LIMITS),
                Ok(Received::Message(Box::new(envelope.clone()))),
                "slices of {slice}"
            );
        }
        for end in 0..bytes.len() - 2 {
            assert!(read(&bytes[..end], 11, LIMITS).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn the_parts_of_a_soap_message_stand_on_the_wire_as_x_road_writes_them() {
    let text = String::from_utf8(write(Kind::Request, "xtopB", &soap())).unwrap();
    let expected = "--xtopB\r\ncontent-type: application/ocsp-response\r\n\r\none\r\n\
        --xtopB\r\ncontent-type: text/xml; charset=UTF-8\r\nContent-ID: <root>\r\n\r\n<Envelope/>\r\n\
        --xtopB\r\ncontent-type: multipart/mixed; charset=UTF-8; boundary=xattB\r\n\r\n\r\n\
        --xattB\r\ncontent-type: text/plain\r\nContent-ID: <a>\r\n\r\n\r\n\
        --xattB\r\ncontent-type: image/png\r\n\r\n\r\n--xatt\r\n--xtop--\r\n--xattb\r\n--xattB--\r\n\r\n\
        --xtopB\r\ncontent-type: signature/bdoc-1.0/ts\r\n\r\n<s/>\r\n--xtopB--\r\n";
    assert_eq!(text, expected);
}

fn fault() -> crate::fault::Fault {
    crate::fault::Fault::remote("server.serverproxy.service_failed", "it broke off", "id")
}

fn read_answer(bytes: Bytes) -> Result<Received, TransportError> {
    let mut reader = EnvelopeReader::new(Kind::Response, &content_type("xtopB"), LIMITS)?;
    reader.push(bytes)?;
    reader.finish()
}

#[test]
fn a_fault_may_stand_for_the_whole_answer_or_cut_it_short_wherever_it_is() {
    let rest = Message::Rest(Bytes::from_static(b"200\r\nOK\r\n"));
    for (message, attachments) in [(rest, body(Some(b"half a bo"))), (soap().message, soap().attachments)] {
        for attachment_count in 0..=attachments.len() {
            let mut writer = EnvelopeWriter::new("xtopB", 0);
            writer.start(Kind::Response, &[], &message);
            for attachment in &attachments[..attachment_count] {
                writer.begin_attachment(attachment);
                writer.content(attachment.body.memory().unwrap());
            }
            writer.fault(&write_fault(&fault()));
            assert_eq!(read_answer(writer.take()), Ok(Received::Fault(fault())));
        }
    }
    let alone = Message::Soap {
        content_type: TEXT_XML.to_owned(),
        headers: Vec::new(),
        bytes: Bytes::from(write_fault(&fault())),
    };
    let envelope = Envelope { message: alone, attachments: Vec::new(), ..soap() };
    let bytes = write(Kind::Response, "xtopB", &Envelope { ocsp: Vec::new(), ..envelope });
    assert_eq!(read_answer(Bytes::from(bytes)), Ok(Received::Fault(fault())));
}

#[test]
fn too_many_or_too_large_attachments_are_refused() {
    let one = soap().attachments.swap_remove(1);
    let many = Envelope { attachments: vec![one; 65], ..soap() };
    assert!(matches!(
        read(&write(Kind::Request, "xtopB", &many), 512, Limits::with_body(1 << 20)),
        Err(TransportError::Multipart("there are too many attachments"))
    ));
    let total = Envelope { attachments: vec![soap().attachments.swap_remove(1); 40], ..soap() };
    assert!(matches!(
        read(&write(Kind::Request, "xtopB", &total), 512, LIMITS),
        Err(TransportError::TooLarge { part: "body", .. })
    ));
}

#[test]
fn an_empty_body_is_a_body_and_no_body_is_none() {
    for attachments in [body(None), body(Some(b""))] {
        let envelope = Envelope { attachments, batch: None, ocsp: Vec::new(), ..envelope() };
        let bytes = write(Kind::Request, "xtopB", &envelope);
        assert_eq!(read(&bytes, 7, LIMITS), Ok(Received::Message(Box::new(envelope))));
    }
}

#[test]
fn a_message_that_breaks_off_anywhere_is_refused() {
    let bytes = write(Kind::Request, "xtopB", &envelope());
    // The last CRLF belongs to the epilogue: without it the message is whole.
    for end in 0..bytes.len() - 2 {
        assert!(read(&bytes[..end], 11, LIMITS).is_err(), "cut at {end}");
    }
}

#[test]
fn parts_out_of_order_doubled_or_after_the_signature_are_refused() {
    let part = |kind: &str| format!("--xtopB\r\ncontent-type: {kind}\r\n\r\nx\r\n");
    for kinds in [
        &[REST_BODY, REST_REQUEST, SIGNATURE][..],
        &[REST_REQUEST, REST_REQUEST, SIGNATURE],
        &[REST_REQUEST, OCSP_RESPONSE, SIGNATURE],
        &[REST_REQUEST, SIGNATURE, SIGNATURE],
        &[REST_REQUEST, SIGNATURE, REST_BODY],
        &[REST_REQUEST, HASH_CHAIN, SIGNATURE],
        &[REST_REQUEST, HASH_CHAIN_RESULT, SIGNATURE],
        &[REST_RESPONSE, SIGNATURE],
        &[REST_REQUEST],
        &[TEXT_XML],
        &[TEXT_XML, REST_BODY, SIGNATURE],
        &[REST_REQUEST, TEXT_XML],
    ] {
        let bytes = kinds.iter().map(|kind| part(kind)).collect::<String>() + "--xtopB--\r\n";
        assert!(read(bytes.as_bytes(), 16, LIMITS).is_err(), "{kinds:?}");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_as_soon_as_it_is_seen() {
    let envelope = Envelope { attachments: body(Some(&[b'x'; 1_001])), ..envelope() };
    let bytes = write(Kind::Request, "xtopB", &envelope);
    assert_eq!(read(&bytes, 64, LIMITS), Err(TransportError::TooLarge { part: "body", bytes_max: 1_000 }));
}

#[test]
fn the_boundary_is_read_as_peers_write_it() {
    assert_eq!(boundary_of("multipart/mixed; charset=UTF-8; boundary=xtopABC"), Ok("xtopABC"));
    assert_eq!(boundary_of("Multipart/Related; type=\"a/b\"; Boundary=\"x y\""), Err(TransportError::ContentType));
    assert_eq!(boundary_of("multipart/mixed; boundary=\"xy\""), Ok("xy"));
    assert_eq!(boundary_of("text/xml"), Err(TransportError::ContentType));
    assert_eq!(boundary_of("multipart/mixed"), Err(TransportError::ContentType));
}

proptest::proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), slice in 1..40_usize) {
        let _ = read(&bytes, slice, LIMITS);
    }

    #[test]
    fn one_wrong_byte_never_yields_the_same_message(at in 0..300_usize, mask in 1..=255_u8, slice in 1..40_usize) {
        let mut bytes = write(Kind::Request, "xtopB", &envelope());
        let at = at % bytes.len();
        // Case and spaces of a part header, and the epilogue, are not content.
        let before = bytes.clone();
        bytes[at] ^= mask;
        if let Ok(Received::Message(read)) = read(&bytes, slice, LIMITS) {
            let again = write(Kind::Request, "xtopB", &read);
            proptest::prop_assert!(again != before || *read == envelope());
        }
    }

    #[test]
    fn any_body_comes_back_whole(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), slice in 1..40_usize) {
        let envelope = Envelope { attachments: body(Some(&content)), ..envelope() };
        let bytes = write(Kind::Request, "xtopB", &envelope);
        proptest::prop_assert_eq!(read(&bytes, slice, LIMITS), Ok(Received::Message(Box::new(envelope))));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]

    #[test]
    fn a_message_reads_the_same_in_memory_and_through_the_spool_in_slices_of_any_lengths(
        contents in proptest::collection::vec((0..700_000_usize, proptest::prelude::any::<u8>()), 1..4),
        cuts in proptest::collection::vec(1..400_000_usize, 1..12),
    ) {
        let soap = soap();
        let attachments = contents.iter().map(|(length, first)| Attachment {
            headers: vec![("content-type".to_owned(), "a/b".to_owned())],
            body: Body::from((0..*length).map(|n| first.wrapping_add((n % 251) as u8)).collect::<Bytes>()),
        });
        let envelope = Envelope { attachments: attachments.collect(), ..soap };
        let mut bytes = Bytes::from(write(Kind::Request, "xtopB", &envelope));
        let folder = tempfile::tempdir().unwrap();
        let random = std::sync::Arc::new(civic::testing::SeededRandom::new(1));
        let spool = crate::spool::Spool::open(folder.path(), 1 << 30, random).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let received = runtime.block_on(async {
            let limits = Limits::with_body(4 << 20);
            let mut reader = EnvelopeReader::new(Kind::Request, &content_type("xtopB"), limits)?.with_spool(&spool);
            for cut in cuts.iter().cycle() {
                reader.push(bytes.split_to((*cut).min(bytes.len())))?;
                reader.settle().await?;
                if bytes.is_empty() {
                    break;
                }
            }
            reader.close().await
        });
        let Ok(Received::Message(read)) = received else { return Err(proptest::test_runner::TestCaseError::fail("no message")) };
        let in_memory: usize = read.attachments.iter().filter_map(|one| one.body.memory()).map(Bytes::len).sum();
        proptest::prop_assert!(in_memory <= crate::spool::MEMORY_BYTES_MAX);
        for (one, sent) in read.attachments.iter().zip(&envelope.attachments) {
            let content = runtime.block_on(one.body.bytes(4 << 20)).unwrap();
            proptest::prop_assert!(Some(&content) == sent.body.memory());
        }
        proptest::prop_assert_eq!(*read, envelope);
    }
}

#[test]
fn headers_of_a_part_hold_nothing_that_another_reader_takes_for_the_end_of_them() {
    let written = write(Kind::Request, "xtopB", &soap());
    let at = memchr::memmem::find(&written, b"Content-ID: <root>").unwrap();
    let with = |header: &str| [&written[..at], header.as_bytes(), &written[at..]].concat();
    let good = read(&with("X-Kept: yes\r\n"), usize::MAX, LIMITS).unwrap();
    let Received::Message(good) = good else { panic!("a fault") };
    for header in
        ["X: a\n\n<Envelope>EVIL</Envelope>\r\n", "X: a\rb\r\n", "X: a\0b\r\n", "X Y: a\r\n", ": a\r\n", "no colon\r\n"]
    {
        assert!(matches!(read(&with(header), usize::MAX, LIMITS), Err(TransportError::Multipart(_))), "{header:?}");
    }
    // A folded line is one value.
    let folded = read(&with("X-Kept:\r\n yes\r\n"), usize::MAX, LIMITS).unwrap();
    assert_eq!(folded, Received::Message(good));
}
