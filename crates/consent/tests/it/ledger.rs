use std::sync::Arc;
use std::time::Duration;

use civic::Clock as _;
use consent::testing::{TestIssuer, grants, new_grant};
use consent::{GrantError, Grants, GrantsConfig};
use ledger::Commitment;
use ledger::testing::served_on;
use trust::note::TlogProof;

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
        assert_eq!(again.commit_pending().await.unwrap(), 0, "the first worker still holds them");
        clock.advance(Duration::from_secs(31));
        assert_eq!(again.commit_pending().await.unwrap(), 1);
        let events = again.events(&grant.id, &number(AWA)).await.unwrap();
        assert_eq!(events.first().unwrap().ledger_index, Some(0));
    }
}
