use std::sync::Arc;

use civic::Clock as _;
use consent::testing::{TestIssuer, grants, new_grant};
use consent::{GrantError, Grants, GrantsConfig};
use ledger::Commitment;
use ledger::outbox;
use ledger::testing::served_on;
use store::params;
use trust::note::policy::Policy;
use trust::note::{Opening, TlogProof};

use crate::{AWA, clock, number, person, random, shared};

#[tokio::test]
async fn a_citizen_proves_each_event_from_the_ledger() {
    for store in store::testing::engines().await {
        let (issuer, clock) = (TestIssuer::new().unwrap(), clock());
        let log = served_on(store::testing::sqlite().await, shared(&clock), &["consent"]).await;
        let config = GrantsConfig {
            issuer: issuer.issuer.clone(),
            key: issuer.key.clone(),
            providers: Vec::new(),
            ledger: log.client("consent"),
        };
        let grants = Grants::open(store, config, shared(&clock), random(5)).await.unwrap();
        let awa = number(AWA);
        let grant = grants.create(new_grant(&person(), AWA, clock.now()).unwrap()).await.unwrap();
        grants.revoke(&grant.id, &awa).await.unwrap();

        let events = grants.events(&grant.id, &awa).await.unwrap();
        assert!(events.iter().all(|event| event.ledger_index.is_none()), "not committed yet");
        let waiting = grants.proof(&events.first().unwrap().id, &awa).await.unwrap();
        assert_eq!((waiting.index, waiting.tlog_proof), (None, None));

        assert_eq!(grants.commit_pending().await.unwrap(), 2);
        assert_eq!(grants.commit_pending().await.unwrap(), 0);
        for event in grants.events(&grant.id, &awa).await.unwrap() {
            let proof = grants.proof(&event.id, &awa).await.unwrap();
            let salt = hex::decode(&proof.salt).unwrap().try_into().unwrap();
            let commitment = Commitment::with_salt(salt, proof.record.as_bytes());
            assert_eq!(hex::encode(commitment.leaf), proof.leaf);
            let text = proof.tlog_proof.unwrap();
            let checkpoint =
                TlogProof::parse(&text).unwrap().verify(&commitment.leaf, &log.ledger.vkey().parse().unwrap()).unwrap();
            assert_eq!(checkpoint.size, 2);
            assert!(proof.record.contains(AWA));
        }
    }
}

#[tokio::test]
async fn a_silent_ledger_delays_the_commitments_and_loses_none() {
    for store in store::testing::engines().await {
        let (issuer, clock) = (TestIssuer::new().unwrap(), clock());
        let silent = grants(store.clone(), &issuer, &[], shared(&clock), random(6)).await.unwrap();
        let grant = silent.create(new_grant(&person(), AWA, clock.now()).unwrap()).await.unwrap();
        assert!(matches!(silent.commit_pending().await, Err(GrantError::Ledger(_))));

        let log = served_on(store::testing::sqlite().await, shared(&clock), &["consent"]).await;
        let config = GrantsConfig {
            issuer: issuer.issuer.clone(),
            key: issuer.key.clone(),
            providers: Vec::new(),
            ledger: log.client("consent"),
        };
        let again = Grants::open(store, config, Arc::<_>::clone(&shared(&clock)), random(7)).await.unwrap();
        assert_eq!(again.commit_pending().await.unwrap(), 1);
        let events = again.events(&grant.id, &number(AWA)).await.unwrap();
        assert_eq!(events.first().unwrap().ledger_index, Some(0));
    }
}

/// What a release before the outbox left: salt, leaf and index beside the event, and a queue.
#[tokio::test]
async fn commitments_of_older_releases_move_into_the_outbox_and_reach_the_ledger() {
    for store in store::testing::engines().await {
        let (issuer, clock) = (TestIssuer::new().unwrap(), clock());
        let before = grants(store.clone(), &issuer, &[], shared(&clock), random(8)).await.unwrap();
        let grant = before.create(new_grant(&person(), AWA, clock.now()).unwrap()).await.unwrap();
        before.revoke(&grant.id, &number(AWA)).await.unwrap();
        let events = before.events(&grant.id, &number(AWA)).await.unwrap();
        let ids: Vec<String> = events.into_iter().map(|event| event.id).collect();
        let moved = ids.clone();
        let as_before = move |tx: &mut store::Tx<'_>| {
            for id in &moved {
                let kept = outbox::find(tx, "consent.event", id)?.unwrap();
                let sealed = tx.sealer().seal("consent_event", "salt", id, &kept.salt.unwrap())?;
                let update = "UPDATE consent_event SET salt = $2, leaf = $3 WHERE id = $1";
                tx.execute(update, &params![id, sealed, kept.leaf])?;
                store::queue::enqueue(tx, "consent-ledger", id, &kept.leaf, civic::Timestamp::from_micros(1))?;
            }
            tx.execute("DELETE FROM outbox_commitment", &[]).map(drop)
        };
        store.tx("test.as_before", as_before).await.unwrap_or_else(|error: store::StoreError| unreachable!("{error}"));

        let log = served_on(store::testing::sqlite().await, shared(&clock), &["consent"]).await;
        let config = GrantsConfig {
            issuer: issuer.issuer.clone(),
            key: issuer.key.clone(),
            providers: Vec::new(),
            ledger: log.client("consent"),
        };
        let now = Grants::open(store.clone(), config, shared(&clock), random(9)).await.unwrap();
        assert_eq!(now.commit_pending().await.unwrap(), 2);
        let policy = Policy::log_only(log.ledger.verifier());
        for id in &ids {
            let proof = now.proof(id, &number(AWA)).await.unwrap();
            let record = Opening::verify(&proof.tlog_proof.unwrap(), &policy).unwrap().record;
            assert_eq!(record, proof.record);
        }
        let left = |tx: &mut store::Tx<'_>| {
            let sql = "SELECT COUNT(*) AS number FROM store_queue WHERE queue = 'consent-ledger'";
            tx.query_one(sql, &[])?.map_or(Ok(0_i64), |row| row.get("number"))
        };
        let left =
            store.read("test.left", left).await.unwrap_or_else(|error: store::StoreError| unreachable!("{error}"));
        assert_eq!(left, 0, "nothing is sent by the old way any more");
    }
}
