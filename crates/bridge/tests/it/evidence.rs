//! `GET /asic` as X-Road answers it.

use std::collections::BTreeMap;

use bridge::messagelog::{Content, Kept, LogMode, MessageForm, NewRecord, RecordKind, Role};
use bridge::registry::{Author, Change};
use bridge::testing::{CLIENT, ECHO, TwoNodes, two_nodes, two_nodes_on, two_nodes_with};
use trust::asic::{self, AsicError, Container, Rules};
use trust::globalconf::TrustDir;
use trust::note::policy::Policy;
use trust::note::{NoteError, TlogProof};
use trust::xades::SignatureError;

const OWN: &str = "xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_question_gets_the_status_of_x_road() {
    let nodes = two_nodes(400).await;
    assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", "e-1")], "").await.status, 200);
    let other = "xRoadInstance=BB&memberClass=GOV&memberCode=1002&subsystemCode=fisc";
    for (query, status) in [
        // Whose log comes first, then whether they may, then what.
        (format!("queryId=e-1&{}", OWN.replace("xRoadInstance=BB&", "")), 400),
        (format!("queryId=e-1&{}", OWN.replace("memberClass=COM&", "")), 400),
        (format!("queryId=e-1&{}", OWN.replace("memberCode=2001&", "")), 400),
        (format!("queryId=e-1&{other}"), 401),
        (other.to_owned(), 401),
        ("queryId=e-1&xRoadInstance=BB&memberClass=COM&memberCode=2001".to_owned(), 401),
        (OWN.to_owned(), 400),
        (format!("queryId=e-1&{OWN}&requestOnly&responseOnly"), 400),
        (format!("queryId=e-1&queryId=e-2&{OWN}"), 400),
        (format!("queryId=none&{OWN}"), 404),
        (format!("queryId=none&{OWN}&unique"), 404),
        // Not stamped yet, and not asked to be.
        (format!("queryId=e-1&{OWN}"), 500),
        (format!("queryId=e-1&{OWN}&unique&requestOnly"), 500),
        (format!("queryId=e-1&{OWN}&unique&force"), 400),
        (format!("queryId=e-1&{OWN}"), 200),
    ] {
        let reply = nodes.send("GET", &format!("/asic?{query}"), &[], "").await;
        assert_eq!(reply.status.as_u16(), status, "{query}: {:?}", reply.body);
        assert_eq!(reply.error_type().is_empty(), status == 200, "{query}");
    }
    assert_eq!(nodes.send("POST", &format!("/asic?queryId=e-1&{OWN}"), &[], "").await.status, 400);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_sent_under_the_same_id_hides_nothing_and_what_is_too_much_for_one_answer_is_told() {
    let (consumers, providers) = (store::testing::engines().await, store::testing::engines().await);
    for stores in consumers.into_iter().zip(providers) {
        let nodes = two_nodes_on(413, stores, |_, _| {}).await;
        let log = nodes.consumer.message_log();
        // As if the consumer's node served somebody too: a thousand requests under one id, all older than the own one.
        log.append((0..1_001).map(|_| kept("same", Role::Provider, 10)).collect(), Vec::new()).await.unwrap();
        assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", "same")], "").await.status, 200);
        nodes.consumer.stamp_now().await.unwrap();
        let reply = nodes.send("GET", &format!("/asic?queryId=same&{OWN}"), &[], "").await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        let names = zip::ZipArchive::new(std::io::Cursor::new(&reply.body[..])).unwrap().len();
        assert_eq!(names, 2, "the request and its answer");
        for _ in 0..3 {
            log.append(vec![kept("large", Role::Consumer, 24 * 1024 * 1024)], Vec::new()).await.unwrap();
        }
        let reply = nodes.send("GET", &format!("/asic?queryId=large&{OWN}"), &[], "").await;
        assert_eq!(reply.status, 400);
        assert!(reply.json()["message"].as_str().unwrap().contains("requestOnly"), "{:?}", reply.body);
        let narrowed = nodes.send("GET", &format!("/asic?queryId=large&{OWN}&responseOnly"), &[], "").await;
        assert_eq!(narrowed.status, 404, "there are requests only");
        nodes.stop().await;
    }
}

/// A request of so many bytes, kept whole.
fn kept(message_id: &str, role: Role, bytes: usize) -> NewRecord {
    NewRecord {
        role,
        kind: RecordKind::Request,
        client: CLIENT.parse().unwrap(),
        service: ECHO.parse().unwrap(),
        message_id: message_id.to_owned(),
        request_id: "r-1".to_owned(),
        outcome: "received".to_owned(),
        replay: None,
        content: Content {
            form: MessageForm::Rest,
            message: Kept::Whole(vec![b'x'; bytes].into()),
            attachments: Vec::new(),
            signature: Kept::Whole("<signature/>".into()),
            batch: None,
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_container_or_a_zip_of_all_comes_under_the_names_of_x_road() {
    let nodes = two_nodes(401).await;
    let id = "a b/é";
    assert_eq!(nodes.call("POST", ECHO, &[("X-Road-Id", "plain-1")], "x").await.status, 200);
    nodes.consumer.stamp_now().await.unwrap();
    let ask = async |query: &str| nodes.send("GET", &format!("/asic?{query}&{OWN}"), &[], "").await;
    for (only, count) in [("", 2), ("&requestOnly", 1), ("&responseOnly", 1)] {
        let reply = ask(&format!("queryId=plain-1{only}")).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/zip"));
        let suffix = match only {
            "" => "",
            "&requestOnly" => "-request",
            _ => "-response",
        };
        assert_eq!(reply.header("content-disposition"), format!("attachment; filename=\"plain-1{suffix}.zip\""));
        assert_eq!(zip::ZipArchive::new(std::io::Cursor::new(&reply.body[..])).unwrap().len(), count);
    }
    let single = ask("queryId=plain-1&requestOnly&unique").await;
    assert_eq!((single.status.as_u16(), single.header("content-type")), (200, asic::MIMETYPE));
    assert!(single.header("content-disposition").starts_with("attachment; filename=\"plain-1-request-"));
    let container = Container::read(&single.body).unwrap();
    assert_eq!(container.attachments.get(&1).map(Vec::as_slice), Some(&b"x"[..]));
    assert_eq!(ask(&format!("queryId={}", id.replace(' ', "+").replace('é', "%C3%A9"))).await.status, 404);
    nodes.stop().await;
}

/// What the nodes tell verifiers to trust.
pub(crate) async fn trust(nodes: &TwoNodes) -> TrustDir {
    let configuration = nodes.send("GET", "/verificationconf", &[], "").await;
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(configuration.body.to_vec())).unwrap();
    let mut files = BTreeMap::new();
    for place in 0..zip.len() {
        let mut file = zip.by_index(place).unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut content).unwrap();
        files.insert(file.name().to_owned(), content);
    }
    TrustDir::load(&files).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ledger_holds_comes_with_its_proof_and_what_it_does_not_hold_yet_comes_without() {
    let (consumers, providers) = (store::testing::engines().await, store::testing::engines().await);
    for stores in consumers.into_iter().zip(providers) {
        let nodes = two_nodes_on(404, stores, |_, _| {}).await;
        assert_eq!(nodes.call("POST", ECHO, &[("X-Road-Id", "l-1")], "body").await.status, 200);
        let ask = async |only: &str| {
            let reply = nodes.send("GET", &format!("/asic?queryId=l-1&{OWN}&{only}&unique&force"), &[], "").await;
            assert_eq!(reply.status, 200, "{:?}", reply.body);
            Container::read(&reply.body).unwrap()
        };
        assert_eq!(ask("requestOnly").await.ledger_proof, None, "it is on its way");
        assert_eq!(nodes.consumer.commit_now().await, Ok(2));
        let (request, response) = (ask("requestOnly").await, ask("responseOnly").await);
        let (trust, policy) = (trust(&nodes).await, Policy::log_only(nodes.ledger.ledger.verifier()));
        for (container, kind) in [(&request, RecordKind::Request), (&response, RecordKind::Response)] {
            let verdict = asic::verify(container, &trust, &Rules::default()).unwrap();
            let proof = verdict.ledger.unwrap();
            let opened = proof.judge(&policy).unwrap();
            assert!(opened.verdict.checkpoint.size > opened.index && opened.index == proof.index);
            let record = nodes.consumer.message_log().find("l-1").await.unwrap();
            let record = record.into_iter().find(|record| record.kind == kind).unwrap();
            assert_eq!((proof.record.at, record.entry.unwrap().index), (record.at, proof.index));
        }
        // The proof of one record says nothing of another.
        let swapped = Container { ledger_proof: response.ledger_proof.clone(), ..request.clone() };
        assert_eq!(asic::verify(&swapped, &trust, &Rules::default()).unwrap_err(), AsicError::OtherRecord);
        // Nor does it hold elsewhere, or under the checkpoint of a log that nobody trusts.
        let proof = TlogProof::parse(request.ledger_proof.as_deref().unwrap()).unwrap();
        let moved = TlogProof { index: proof.index ^ 1, ..proof };
        let moved = Container { ledger_proof: Some(moved.to_text()), ..request.clone() };
        let refused = asic::verify(&moved, &trust, &Rules::default()).unwrap_err();
        assert!(matches!(refused, AsicError::LedgerProof(NoteError::Proof(_))), "{refused}");
        let foreign = ledger::testing::served(&[]).await.ledger.verifier();
        let verdict = asic::verify(&request, &trust, &Rules::default()).unwrap();
        assert!(matches!(verdict.ledger.unwrap().judge(&Policy::log_only(foreign)), Err(NoteError::Unsigned(_))));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_in_the_evidence_of_a_batch_is_that_of_its_message_only() {
    let (consumers, providers) = (store::testing::engines().await, store::testing::engines().await);
    for stores in consumers.into_iter().zip(providers) {
        let nodes = two_nodes_on(405, stores, |consumer, _| consumer.batch_signatures = true).await;
        let (one, another) = two_under_one_signature(&nodes).await;
        nodes.consumer.commit_now().await.unwrap();
        let ask = async |id: &str| {
            let reply = nodes.send("GET", &format!("/asic?queryId={id}&{OWN}&requestOnly&unique&force"), &[], "").await;
            assert_eq!(reply.status, 200, "{:?}", reply.body);
            Container::read(&reply.body).unwrap()
        };
        let (one, another) = (ask(&one).await, ask(&another).await);
        assert!(one.signature == another.signature && one.message != another.message);
        let (trust, policy) = (trust(&nodes).await, Policy::log_only(nodes.ledger.ledger.verifier()));
        for container in [&one, &another] {
            let proof = asic::verify(container, &trust, &Rules::default()).unwrap().ledger.unwrap();
            assert!(proof.judge(&policy).is_ok() && proof.record.chain.is_some());
        }
        for (container, other) in [(&one, &another), (&another, &one)] {
            let swapped = Container { ledger_proof: other.ledger_proof.clone(), ..container.clone() };
            assert_eq!(asic::verify(&swapped, &trust, &Rules::default()).unwrap_err(), AsicError::OtherRecord);
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_logged_before_records_named_hash_chains_keeps_its_proof_and_a_batch_of_then_has_none() {
    let (consumers, providers) = (store::testing::engines().await, store::testing::engines().await);
    for stores in consumers.into_iter().zip(providers) {
        let nodes = two_nodes_on(406, stores, |consumer, _| consumer.batch_signatures = true).await;
        // A request with a body is signed through a hash chain, the answer of the provider is not.
        assert_eq!(nodes.call("POST", ECHO, &[("X-Road-Id", "old")], "body").await.status, 200);
        let forget = |tx: &mut store::Tx<'_>| tx.execute("UPDATE bridge_message SET chain_digest = NULL", &[]);
        let changed: Result<u64, store::StoreError> =
            nodes.consumer.message_log().store().tx("test.older", forget).await;
        assert_eq!(changed.unwrap(), 2);
        assert_eq!(nodes.consumer.commit_now().await, Ok(2));
        let trust = trust(&nodes).await;
        for (only, has_proof) in [("requestOnly", false), ("responseOnly", true)] {
            let reply = nodes.send("GET", &format!("/asic?queryId=old&{OWN}&{only}&unique&force"), &[], "").await;
            let container = Container::read(&reply.body).unwrap();
            assert_eq!(container.signature_chain.is_some(), !has_proof, "{only}");
            let verdict = asic::verify(&container, &trust, &Rules::default()).unwrap();
            assert_eq!(verdict.ledger.is_some(), has_proof, "{only}");
        }
        nodes.stop().await;
    }
}

/// The ids of two requests that the consumer's node signed together: callers come at once until two meet.
async fn two_under_one_signature(nodes: &TwoNodes) -> (String, String) {
    for round in 0..50 {
        let ids: Vec<String> = (0..8).map(|caller| format!("b-{round}-{caller}")).collect();
        let calls =
            ids.iter().map(|id| async move { nodes.call("POST", ECHO, &[("X-Road-Id", id)], id.clone()).await });
        for reply in futures_util::future::join_all(calls).await {
            assert_eq!(reply.status, 200, "{:?}", reply.body);
        }
        let mut seen = BTreeMap::new();
        for id in ids {
            let records = nodes.consumer.message_log().find(&id).await.unwrap();
            let request = records.into_iter().find(|record| record.kind == RecordKind::Request).unwrap();
            if let Some(other) = seen.insert(request.content.signature.whole().unwrap().clone(), id.clone()) {
                return (other, id);
            }
        }
    }
    unreachable!("no two requests of 400 were signed together")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_was_too_large_to_be_kept_is_named_by_the_signature_and_not_in_the_container() {
    let nodes = two_nodes_with(402, |consumer, _| consumer.limits.logged_body_bytes_max = 10).await;
    let body = "x".repeat(11);
    assert_eq!(nodes.call("POST", ECHO, &[("X-Road-Id", "big")], body.clone()).await.status, 200);
    let target = format!("/asic?queryId=big&{OWN}&requestOnly&unique&force");
    let reply = nodes.send("GET", &target, &[], "").await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    let mut container = Container::read(&reply.body).unwrap();
    assert!(container.attachments.is_empty());
    let trust = trust(&nodes).await;
    let strict = asic::verify(&container, &trust, &Rules::default()).unwrap_err();
    assert_eq!(strict, AsicError::Signature(SignatureError::Missing("/attachment1".to_owned())));
    let detached = Rules { detached_attachments: true, ..Rules::default() };
    let verdict = asic::verify(&container, &trust, &detached).unwrap();
    assert!(verdict.files.iter().any(|file| file.detached));
    // Whoever kept the body puts it back, and the strict verdict is good.
    container.attachments.insert(1, body.into_bytes());
    asic::verify(&container, &trust, &Rules::default()).unwrap();
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mode_of_a_subsystem_changes_while_the_node_runs() {
    let nodes = two_nodes(403).await;
    let log = nodes.consumer.message_log();
    for (turn, mode) in [LogMode::Full, LogMode::Metadata, LogMode::None, LogMode::Full].into_iter().enumerate() {
        let change = Change::SetLogMode { client: CLIENT.parse().unwrap(), mode };
        nodes.consumer.registry().apply(&Author::CommandLine, change).await.unwrap();
        let id = format!("mode-{turn}");
        assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", &id)], "").await.status, 200);
        let kept: Vec<LogMode> = log.find(&id).await.unwrap().into_iter().map(|record| record.mode).collect();
        assert_eq!(kept, if mode == LogMode::None { vec![] } else { vec![mode; 2] });
        let target = format!("/asic?queryId={id}&{OWN}&force");
        let status = if mode == LogMode::Full { 200 } else { 404 };
        assert_eq!(nodes.send("GET", &target, &[], "").await.status.as_u16(), status, "{mode:?}");
    }
    nodes.stop().await;
}
