//! A client's day: register, wait, keep the proof, list, erase.

use std::sync::Arc;

use civic::testing::TestClock;
use http::StatusCode;
use ledger::testing::NOW;
use serde_json::{Value, json};
use store::testing::engines;
use trust::jose::jws_verify;
use trust::note::Opening;

use crate::{Office, digest};

#[tokio::test]
async fn a_digest_gets_a_promise_at_once_and_a_proof_that_anyone_verifies_offline() {
    for store in engines().await {
        let office = Office::open(&store).await;
        let body = json!({ "sha256": digest("contract") }).to_string();
        let (status, made) = office.json("POST", "/notary", &office.awa, &body).await;
        assert_eq!((status, &made["status"]), (StatusCode::CREATED, &json!("promised")));
        let promise = made["promise"].as_str().unwrap();
        let (_, claims) = jws_verify::<Value>(promise, &office.notary.jwks(), "notary-promise+jwt").unwrap();
        assert_eq!(
            (&claims["sha256"], &claims["log"]),
            (&json!(digest("contract")), &json!(office.log.ledger.origin()))
        );
        assert_eq!(claims["due"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);

        let proof_path = format!("/notary/{}/proof", made["id"].as_str().unwrap());
        let (status, headers, _) = office.ask("GET", &proof_path, &office.awa, "").await;
        assert_eq!((status, headers["retry-after"].to_str().unwrap()), (StatusCode::ACCEPTED, "1"));
        assert_eq!(office.notary.deliver().await.unwrap(), 1);
        let (status, _, proof) = office.ask("GET", &proof_path, &office.awa, "").await;
        assert_eq!(status, StatusCode::OK, "{proof}");
        let opened = Opening::verify(&proof, &office.policy).unwrap();
        let record: Value = serde_json::from_str(&opened.record).unwrap();
        assert_eq!((&record["sha256"], &record["client"]), (&json!(digest("contract")), &json!("Awa SARL")));

        let (status, again) = office.json("POST", "/notary", &office.awa, &body).await;
        assert_eq!((status, &again["id"], &again["promise"]), (StatusCode::OK, &made["id"], &made["promise"]));
        let (status, other) = office.json("POST", "/notary", &office.bank, &body).await;
        assert_eq!(status, StatusCode::CREATED);
        assert_ne!(other["id"], made["id"], "another client has a registration of its own");
        let entries = office.log.ledger.entries(trust::merkle::Tile { level: 0, index: 0, width: 1 }).await.unwrap();
        let held = entries.unwrap();
        assert!(!held.windows(32).any(|window| hex::encode(window) == digest("contract")), "the log holds no digest");
    }
}

#[tokio::test]
async fn many_digests_go_in_one_request_come_back_in_order_and_can_be_taken_away() {
    for store in engines().await {
        let office = Office::open(&store).await;
        let digests: Vec<String> = (0..500).map(|number| digest(&number.to_string())).collect();
        let (status, made) =
            office.json("POST", "/notary", &office.awa, &json!({ "digests": digests }).to_string()).await;
        assert_eq!(status, StatusCode::CREATED);
        let made = made["registrations"].as_array().unwrap();
        assert!(made.iter().zip(&digests).all(|(made, digest)| made["sha256"] == digest.as_str()));
        assert_eq!(office.notary.deliver().await.unwrap(), 500);

        let (_, list) = office.json("GET", "/notary?limit=2&offset=499", &office.awa, "").await;
        assert_eq!((&list["total"], list["registrations"].as_array().unwrap().len()), (&json!(500), 1));
        let (_, headers, csv) = office.ask("GET", "/notary.csv", &office.awa, "").await;
        assert_eq!((headers["notary-total"].to_str().unwrap(), csv.lines().count()), ("500", 501));
        assert!(digests.iter().all(|digest| csv.contains(digest)));

        let id = made[7]["id"].as_str().unwrap();
        let path = format!("/notary/{id}");
        let kept = office.ask("GET", &format!("{path}/proof"), &office.awa, "").await.2;
        assert_eq!(office.ask("DELETE", &path, &office.awa, "").await.0, StatusCode::NO_CONTENT);
        let (_, gone) = office.json("GET", &path, &office.awa, "").await;
        assert_eq!((&gone["status"], &gone["sha256"]), (&json!("erased"), &Value::Null));
        assert_eq!(office.ask("GET", &format!("{path}/proof"), &office.awa, "").await.0, StatusCode::GONE);
        assert!(Opening::verify(&kept, &office.policy).is_ok(), "who kept the proof can still show it");
        let (status, anew) =
            office.json("POST", "/notary", &office.awa, &json!({ "sha256": digests[7] }).to_string()).await;
        assert_eq!(status, StatusCode::CREATED);
        assert_ne!(anew["id"], id);
    }
}

#[tokio::test]
async fn what_is_too_much_or_no_digest_is_refused_with_a_reason() {
    let office = Office::open(&store::testing::sqlite().await).await;
    let many: Vec<String> = (0..501).map(|number| digest(&number.to_string())).collect();
    for (body, word) in [
        (String::new(), "the body must be"),
        ("{}".to_owned(), "one of the two"),
        (r#"{"sha256":"00"}"#.to_owned(), "64 hexadecimal"),
        (r#"{"sha256":"00","name":"file.pdf"}"#.to_owned(), "unknown field"),
        (r#"{"digests":[]}"#.to_owned(), "0 digests"),
        (json!({ "digests": many }).to_string(), "501 digests"),
    ] {
        let (status, said) = office.json("POST", "/notary", &office.awa, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(said["detail"].as_str().unwrap().contains(word), "{said}");
    }
    let many: Vec<[u8; 32]> = (0..500_u64).map(|number| trust::digest::sha256(&number.to_be_bytes())).collect();
    for _ in 0..120 {
        office.notary.register("Awa SARL", &many).await.unwrap();
    }
    let body = json!({ "sha256": digest("one more") }).to_string();
    let (status, headers, _) = office.ask("POST", "/notary", &office.awa, &body).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (StatusCode::TOO_MANY_REQUESTS, "60"));
    assert_eq!(
        office.ask("POST", "/notary", &office.bank, &body).await.0,
        StatusCode::CREATED,
        "others are not slowed"
    );
}

#[tokio::test]
async fn a_revoked_key_opens_nothing() {
    for store in engines().await {
        let office = Office::open(&store).await;
        let keys = notary::keys(&store).await.unwrap();
        assert_eq!(keys.len(), 2);
        let own = keys.iter().find(|key| key.client == "Awa SARL").unwrap();
        let clock: civic::SharedClock = Arc::new(TestClock::at(NOW));
        notary::revoke_key(&store, &own.id, &clock).await.unwrap();
        assert!(notary::revoke_key(&store, &own.id, &clock).await.is_err(), "once");
        assert_eq!(office.ask("GET", "/notary", &office.awa, "").await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(office.ask("GET", "/notary", &office.bank, "").await.0, StatusCode::OK);
    }
}
