//! By what messages are digested: SHA-512 for every node of X-Road, SHA-256 between nodes that both take it.

use bridge::messagelog::{RecordKind, StoredRecord};
use bridge::testing::wire;
use bridge::testing::{ECHO, TwoNodes, two_nodes, two_nodes_with};
use bridge::transport::{self, Kind, Received};
use trust::digest::DigestAlgorithm::{self, Sha256, Sha512};
use trust::xades::{HashChain, MESSAGE, Part, Signature};

/// By what the files of a logged message were digested: the message, and its body where it has one.
fn algorithms(record: &StoredRecord) -> Vec<DigestAlgorithm> {
    let content = &record.content;
    let mut parts = vec![Part::bytes(MESSAGE, content.message.whole().unwrap())];
    for attachment in &content.attachments {
        parts.push(Part::bytes("/attachment1", attachment.body.whole().unwrap()));
    }
    let chain = content.batch.as_ref().map(|batch| HashChain { result: &batch.result, chain: &batch.chain });
    let signature = Signature::parse(content.signature.whole().unwrap()).unwrap();
    let files = signature.check_files(&parts, chain).unwrap();
    assert_eq!(signature.algorithm().digest(), files[0].algorithm, "the signature is made over the same digest");
    files.iter().map(|file| file.algorithm).collect()
}

/// What the consumer's node logged of a message: of the request and of the answer.
async fn exchanged(nodes: &TwoNodes, verb: &str, id: &str, body: &'static str) -> [Vec<DigestAlgorithm>; 2] {
    let reply = nodes.call(verb, ECHO, &[("X-Road-Id", id)], body).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    let records = nodes.consumer.message_log().find(id).await.unwrap();
    let of = |kind| algorithms(records.iter().find(|record| record.kind == kind).unwrap());
    [of(RecordKind::Request), of(RecordKind::Response)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_each_other_digest_by_sha_256_but_for_requests_with_a_body() {
    for batch in [false, true] {
        let nodes = two_nodes_with(830, |consumer, provider| {
            consumer.batch_signatures = batch;
            provider.batch_signatures = batch;
        })
        .await;
        let [request, answer] = exchanged(&nodes, "GET", "d-1", "").await;
        assert_eq!(request, [Sha512], "nothing is known of the peer yet");
        assert!(answer.iter().all(|algorithm| *algorithm == Sha256), "{answer:?}");
        let [request, answer] = exchanged(&nodes, "GET", "d-2", "").await;
        assert_eq!(request, [Sha256]);
        assert!(answer.iter().all(|algorithm| *algorithm == Sha256), "{answer:?}");
        // X-Road-Request-Hash is made over the SHA-512 of a body.
        let [request, answer] = exchanged(&nodes, "POST", "d-3", "a body").await;
        assert_eq!(request, [Sha512, Sha512]);
        assert_eq!(answer, [Sha256, Sha256]);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_one_node_is_set_to_sha_512_so_are_both() {
    for (consumer_hash, provider_hash) in [(Sha512, Sha256), (Sha256, Sha512)] {
        let nodes = two_nodes_with(831, |consumer, provider| {
            consumer.log.hash = consumer_hash;
            provider.log.hash = provider_hash;
        })
        .await;
        for id in ["d-1", "d-2"] {
            let all = exchanged(&nodes, "GET", id, "").await.concat();
            assert!(all.iter().all(|algorithm| *algorithm == Sha512), "{all:?}");
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_is_verified_by_either_digest() {
    for hash in [Sha256, Sha512] {
        let nodes = two_nodes_with(832, |consumer, _| consumer.log.hash = hash).await;
        let body: Vec<u8> = (0..900_000_u32).map(|n| (n % 251) as u8).collect();
        let reply = nodes.call("POST", ECHO, &[("X-Road-Id", "d-1")], body.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, body.len()), "{:?}", reply.headers);
        let records = nodes.provider.message_log().find("d-1").await.unwrap();
        let answer = records.iter().find(|record| record.kind == RecordKind::Response).unwrap();
        assert_eq!(algorithms(answer), [hash, hash]);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_announced_digest_is_taken_at_its_word_and_a_weak_one_is_refused() {
    let nodes = two_nodes(833).await;
    let content_type = transport::content_type("xtopTEST");
    for (number, (announced, expected)) in [
        (None, None),
        (Some("SHA-512"), None),
        (Some("SHA-256"), Some("SHA-256")),
        (Some("SHA-1"), Some("SHA-1")),
        (Some("MD5"), Some("MD5")),
    ]
    .into_iter()
    .enumerate()
    {
        let request = wire::request(ECHO, &[], &format!("r-{number}"));
        let body = Some(bytes::Bytes::from_static(b"a body"));
        let envelope = wire::sign(&nodes.federation, &nodes.consumer_keys, request.bytes().clone(), body, false);
        let mut headers = vec![("content-type", content_type.as_str())];
        headers.extend(announced.map(|name| (transport::HASH_ALGORITHM, name)));
        let bytes = transport::write(Kind::Request, "xtopTEST", &envelope);
        let received = nodes.post_with(&nodes.consumer_keys, &headers, bytes).await.unwrap();
        match (received, expected) {
            (Received::Message(_), None) => {}
            (Received::Fault(fault), Some(named)) => assert!(fault.message().contains(named), "{}", fault.message()),
            (other, _) => panic!("{announced:?}: {other:?}"),
        }
    }
    nodes.stop().await;
}
