//! Messages that were altered or replayed between the nodes: nobody acts on one, nobody sees one.

use std::sync::Arc;

use bridge::message::{RestRequest, RestResponse};
use bridge::spool::Body;
use bridge::testing::wire::{self, FakeNode};
use bridge::testing::{ECHO, PERSON, SoapService, TwoNodes, two_nodes, two_nodes_on};
use bridge::transport::{self, Attachment, BatchParts, Envelope, Kind, Message, Received};
use bytes::Bytes;

use crate::soap_exchange;

/// Flips one bit at some places of some bytes.
fn flips(bytes: &Bytes) -> Vec<Bytes> {
    let places = [0, 1, bytes.len() / 3, bytes.len() / 2, bytes.len() - 2, bytes.len() - 1];
    places
        .into_iter()
        .map(|place| {
            let mut altered = bytes.to_vec();
            altered[place] ^= 1;
            Bytes::from(altered)
        })
        .collect()
}

/// These first bytes, then the rest of the others.
fn join(start: &[u8], whole: &[u8]) -> Bytes {
    Bytes::from([start, &whole[start.len()..]].concat())
}

/// Every envelope that differs from this one by one bit at a sampled place, with the name of the part.
fn altered(envelope: &Envelope) -> Vec<(&'static str, Envelope)> {
    let mut all = Vec::new();
    for head in flips(envelope.message.bytes()) {
        all.push(("header part", Envelope { message: Message::Rest(head), ..envelope.clone() }));
    }
    for body in envelope.rest_body().and_then(Body::memory).into_iter().flat_map(flips) {
        all.push(("body", Envelope { attachments: vec![Attachment::rest(Body::from(body))], ..envelope.clone() }));
    }
    for signature in flips(&envelope.signature) {
        all.push(("signature", Envelope { signature, ..envelope.clone() }));
    }
    // The last part of a response is the responder's certificate, which nobody uses: the node has its own copy.
    for ocsp in envelope
        .ocsp
        .iter()
        .flat_map(|ocsp| flips(&ocsp.slice(..ocsp.len() / 3)).into_iter().map(|start| join(&start, ocsp)))
    {
        all.push(("OCSP response", Envelope { ocsp: vec![ocsp], ..envelope.clone() }));
    }
    if let Some(batch) = &envelope.batch {
        for result in flips(&batch.result) {
            let batch = Some(BatchParts { result, chain: batch.chain.clone() });
            all.push(("hash chain result", Envelope { batch, ..envelope.clone() }));
        }
        for chain in flips(&batch.chain) {
            let batch = Some(BatchParts { result: batch.result.clone(), chain });
            all.push(("hash chain", Envelope { batch, ..envelope.clone() }));
        }
        all.push(("hash chain left out", Envelope { batch: None, ..envelope.clone() }));
    }
    all.push((
        "body added or left out",
        Envelope {
            attachments: if envelope.attachments.is_empty() {
                vec![Attachment::rest(Body::from(Bytes::from_static(b"x")))]
            } else {
                Vec::new()
            },
            ..envelope.clone()
        },
    ));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_one_flipped_bit_anywhere_is_refused() {
    let nodes = two_nodes(200).await;
    for (number, batch) in [false, true].into_iter().enumerate() {
        let request = wire::request(ECHO, &[], &format!("r-{number}"));
        let body = Some(Bytes::from_static(b"a body that was signed"));
        let good = wire::sign(&nodes.federation, &nodes.consumer_keys, request.bytes().clone(), body, batch);
        for (part, envelope) in altered(&good) {
            match nodes.post(&nodes.consumer_keys, &envelope).await.unwrap() {
                Received::Fault(fault) => assert!(fault.code().starts_with("server.serverproxy."), "{part}: {fault}"),
                Received::Message(_) => assert_eq!(part, "refused"),
            }
        }
        assert!(nodes.service.seen().len() == number, "an altered message reached the service");
        let answer = nodes.post(&nodes.consumer_keys, &good).await.unwrap();
        assert!(matches!(answer, Received::Message(_)), "the unaltered message is good: {answer:?}");
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_one_flipped_bit_anywhere_reaches_no_application() {
    let nodes = Arc::new(two_nodes(201).await);
    for batch in [false, true] {
        let template = answer_to(&nodes, &wire::request(ECHO, &[], "template"), batch);
        let count = altered(&template).len();
        for which in 0..count {
            let playing = Arc::clone(&nodes);
            let reaction = Arc::new(move |request: Envelope| {
                let request = RestRequest::parse(request.message.bytes().clone()).unwrap();
                let good = answer_to(&playing, &request, batch);
                let (_, wrong) = altered(&good).swap_remove(which);
                Some(transport::write(Kind::Response, "xtopTEST", &Envelope { ocsp: Vec::new(), ..wrong }))
            });
            let _fake = FakeNode::replace(&nodes, reaction).await;
            nodes.consumer.ready().await.unwrap();
            let reply = nodes.get(ECHO).await;
            if altered(&template)[which].0 == "OCSP response" {
                // An answer has no OCSP part of its own; nothing was altered.
                assert_eq!(reply.status, 200);
                continue;
            }
            assert_eq!(reply.status, 500, "{}: {:?}", altered(&template)[which].0, reply.body);
            assert!(reply.error_type().starts_with("server.clientproxy."), "{}", reply.error_type());
            assert!(!String::from_utf8_lossy(&reply.body).contains("an answer"), "the altered answer leaked");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_answer_to_another_request_is_inconsistent() {
    let nodes = Arc::new(two_nodes(202).await);
    let playing = Arc::clone(&nodes);
    let reaction = Arc::new(move |_| {
        let answer = answer_to(&playing, &wire::request(ECHO, &[], "another"), false);
        Some(transport::write(Kind::Response, "xtopTEST", &Envelope { ocsp: Vec::new(), ..answer }))
    });
    let _fake = FakeNode::replace(&nodes, reaction).await;
    nodes.consumer.ready().await.unwrap();
    let reply = nodes.get(ECHO).await;
    assert_eq!(reply.error_type(), "server.clientproxy.inconsistent_response");
    // The request is in the log, with the reason; the answer is not.
    let records = nodes.consumer.message_log().find(reply.header("x-road-id")).await.unwrap();
    assert!(records.is_empty(), "the error names no message id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_message_is_refused_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let provider_store = store::testing::sqlite_in(folder.path()).await;
    let nodes = two_nodes_on(203, (store::testing::sqlite().await, provider_store.clone()), |_, _| {}).await;
    let request = wire::request(&format!("{PERSON}/1751198700421"), &[], "r-1");
    let envelope = wire::sign(&nodes.federation, &nodes.consumer_keys, request.bytes().clone(), None, false);
    assert!(matches!(nodes.post(&nodes.consumer_keys, &envelope).await.unwrap(), Received::Message(_)));
    for _ in 0..2 {
        assert_duplicate(&nodes.post(&nodes.consumer_keys, &envelope).await.unwrap());
    }
    assert_eq!(nodes.service.seen().len(), 1);
    // Another process with the same log: only the table knows the message.
    let again = bridge::messagelog::MessageLog::open(provider_store, nodes.clock.clone(), store::testing::random())
        .await
        .unwrap();
    assert_eq!(again.count("m-r-1").await.unwrap().len(), 2, "the replays left no record");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soap_message_is_known_again_however_it_is_written() {
    for batch in [false, true] {
        let nodes = two_nodes(205).await;
        let service = SoapService::start().await;
        service.offer(&nodes).await;
        let bytes = Bytes::from(soap_exchange::request("getState", "v1", "r-2", "", ""));
        let signed = || {
            let file = Bytes::from_static(b"x");
            let one = wire::sign(&nodes.federation, &nodes.consumer_keys, bytes.clone(), Some(file.clone()), batch);
            let message = Message::Soap {
                content_type: "text/xml; charset=UTF-8".to_owned(),
                headers: Vec::new(),
                bytes: bytes.clone(),
            };
            let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
            let attachments = vec![Attachment { headers, body: Body::from(file) }];
            Envelope { message, attachments, ..one }
        };
        let envelope = signed();
        let first = nodes.post(&nodes.consumer_keys, &envelope).await.unwrap();
        assert!(matches!(first, Received::Message(_)), "{first:?}");
        assert_duplicate(&nodes.post(&nodes.consumer_keys, &envelope).await.unwrap());
        // What no signature covers is written another way: the line ends of base64, white space of the hash chain.
        let folded =
            |text: &Bytes, at: &str| Bytes::from(String::from_utf8_lossy(text).replacen(at, &format!("{at}\n"), 1));
        let value = String::from_utf8_lossy(&envelope.signature).into_owned();
        let value = value.split_once("<ds:SignatureValue").and_then(|(_, rest)| rest.split_once('>')).unwrap().1;
        let signature = folded(&envelope.signature, &value[..8]);
        assert_ne!(signature, envelope.signature);
        let chain =
            envelope.batch.clone().map(|parts| BatchParts { chain: folded(&parts.chain, "DigestValue>"), ..parts });
        for (signature, batch) in [(signature.clone(), envelope.batch.clone()), (signature, chain)] {
            let again = Envelope { signature, batch, ..envelope.clone() };
            assert_duplicate(&nodes.post(&nodes.consumer_keys, &again).await.unwrap());
        }
        assert_eq!(service.seen().len(), 1);
        // The organisation itself may send the same again.
        assert!(matches!(nodes.post(&nodes.consumer_keys, &signed()).await.unwrap(), Received::Message(_)));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_sent_twice_at_once_is_answered_once() {
    let nodes = Arc::new(two_nodes(204).await);
    let request = wire::request(ECHO, &[], "r-1");
    let envelope = wire::sign(
        &nodes.federation,
        &nodes.consumer_keys,
        request.bytes().clone(),
        Some(Bytes::from_static(b"x")),
        false,
    );
    let send = || {
        let (nodes, envelope) = (Arc::clone(&nodes), envelope.clone());
        tokio::spawn(async move { nodes.post(&nodes.consumer_keys, &envelope).await.unwrap() })
    };
    let (one, two) = (send(), send());
    let answers = [one.await.unwrap(), two.await.unwrap()];
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Received::Message(_))).count(), 1);
    assert_eq!(nodes.service.seen().len(), 1);
}

fn assert_duplicate(answer: &Received) {
    match answer {
        Received::Fault(fault) => assert_eq!(fault.code(), "server.serverproxy.duplicate_message"),
        Received::Message(_) => assert_eq!("an answer", "duplicate"),
    }
}

/// A good answer of the provider to a request of the consumer's node.
fn answer_to(nodes: &TwoNodes, request: &RestRequest, batch: bool) -> Envelope {
    let headers = [("content-type", &b"text/plain"[..])];
    let response = RestResponse::from_http(request, &request.hash(None), 200, "OK", headers.into_iter()).unwrap();
    let body = Some(Bytes::from_static(b"an answer"));
    wire::sign(&nodes.federation, &nodes.provider_keys, response.bytes().clone(), body, batch)
}
