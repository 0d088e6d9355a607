use std::sync::Arc;
use std::time::Duration;

use civic::testing::TestClock;
use civic::{ClientId, Clock as _, SharedRandom};
use consent::testing::{TestIssuer, grants, new_grant};
use consent::{
    EventKind, GRANT_USE_TYP, Grant, GrantError, GrantRefusal, GrantState, GrantUseClaims, GrantUseRequest, Grants,
    NewGrant, UseError,
};
use store::Store;
use trust::jose::{Jwks, jws_verify};

use crate::{AWA, BANK, FISC, INCOME, MOUSSA, clock, number, person, random, shared};

struct Agency {
    grants: Grants,
    issuer: TestIssuer,
    clock: Arc<TestClock>,
}

async fn agency(store: Store) -> Agency {
    let (issuer, clock, random): (_, _, SharedRandom) = (TestIssuer::new().unwrap(), clock(), random(3));
    let grants = grants(store, &issuer, &[], shared(&clock), random).await.unwrap();
    Agency { grants, issuer, clock }
}

impl Agency {
    fn new_grant(&self) -> NewGrant {
        new_grant(&person(), AWA, self.clock.now()).unwrap()
    }

    async fn given(&self) -> Grant {
        self.grants.create(self.new_grant()).await.unwrap()
    }

    async fn kinds(&self, grant: &Grant) -> Vec<EventKind> {
        let events = self.grants.events(&grant.id, &number(AWA)).await.unwrap();
        let mut kinds: Vec<EventKind> = events.iter().map(|event| event.record.event).collect();
        kinds.reverse();
        kinds
    }
}

fn use_of(grant: &Grant, message: &str) -> GrantUseRequest {
    GrantUseRequest {
        grant_id: grant.id.clone(),
        provider: FISC.parse().unwrap(),
        client: BANK.parse().unwrap(),
        service: INCOME.parse().unwrap(),
        method: "GET".to_owned(),
        path: "/2025".to_owned(),
        message_id: message.to_owned(),
    }
}

fn refusal(outcome: Result<consent::GrantUse, UseError>) -> GrantRefusal {
    match outcome {
        Err(UseError::Refused(refusal)) => refusal,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_grant_is_used_as_often_as_the_citizen_said() {
    for store in store::testing::engines().await {
        let agency = agency(store).await;
        let grant = agency.given().await;
        assert_eq!(grant.valid_until, agency.clock.now().plus(Duration::from_hours(30 * 24)));
        for message in ["m-1", "m-2", "m-3"] {
            let used = agency.grants.use_once(use_of(&grant, message)).await.unwrap();
            let keys = Jwks::of([agency.issuer.key.public()]).unwrap();
            let (_, claims) = jws_verify::<GrantUseClaims>(&used.jws, &keys, GRANT_USE_TYP).unwrap();
            assert_eq!((claims.jti.as_str(), &claims.grant_id), (message, &grant.id));
            assert_eq!(claims.aud, FISC.parse::<ClientId>().unwrap());
            assert_eq!((claims.sub, claims.years), (number(AWA), vec![2025]));
            assert_eq!(claims.fields, grant.fields);
        }
        assert_eq!(refusal(agency.grants.use_once(use_of(&grant, "m-4")).await), GrantRefusal::Exhausted);
        let again = agency.grants.use_once(use_of(&grant, "m-2")).await.unwrap();
        assert_eq!(again.subject, number(AWA), "the same message gets the same answer");
        let other = GrantUseRequest { path: "/2025/details".to_owned(), ..use_of(&grant, "m-2") };
        assert!(matches!(refusal(agency.grants.use_once(other).await), GrantRefusal::OutOfScope(_)));

        let seen = agency.grants.get(&grant.id, &number(AWA)).await.unwrap();
        assert_eq!((seen.uses, seen.uses_left()), (3, 0));
        assert_eq!(seen.state(agency.clock.now()), GrantState::Exhausted);
        let kinds = agency.kinds(&grant).await;
        assert_eq!(kinds.first(), Some(&EventKind::Given));
        let count = |kind| kinds.iter().filter(|found| **found == kind).count();
        assert_eq!((count(EventKind::Used), count(EventKind::Refused)), (3, 2));
    }
}

#[tokio::test]
async fn many_at_once_do_not_use_more_than_was_granted() {
    for store in store::testing::engines().await {
        let agency = agency(store).await;
        let grant = agency.given().await;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..24 {
            let (grants, request) = (agency.grants.clone(), use_of(&grant, &format!("m-{number}")));
            tasks.spawn(async move { grants.use_once(request).await.is_ok() });
        }
        let granted = tasks.join_all().await.into_iter().filter(|granted| *granted).count();
        assert_eq!(granted, 3);
    }
}

#[tokio::test]
async fn a_withdrawn_grant_opens_nothing_any_more() {
    for store in store::testing::engines().await {
        let agency = agency(store).await;
        let grant = agency.given().await;
        agency.grants.use_once(use_of(&grant, "m-1")).await.unwrap();
        let revoked = agency.grants.revoke(&grant.id, &number(AWA)).await.unwrap();
        assert_eq!(revoked.state(agency.clock.now()), GrantState::Revoked);
        for message in ["m-1", "m-2"] {
            assert_eq!(refusal(agency.grants.use_once(use_of(&grant, message)).await), GrantRefusal::Revoked);
        }
        assert!(matches!(agency.grants.revoke(&grant.id, &number(AWA)).await, Err(GrantError::Ended)));
        let kinds = agency.kinds(&grant).await;
        assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Revoked).count(), 1);
    }
}

#[tokio::test]
async fn another_citizen_can_neither_see_nor_withdraw_a_grant() {
    for store in store::testing::engines().await {
        let agency = agency(store).await;
        let grant = agency.given().await;
        let moussa = number(MOUSSA);
        assert!(matches!(agency.grants.revoke(&grant.id, &moussa).await, Err(GrantError::NotYours)));
        assert!(matches!(agency.grants.get(&grant.id, &moussa).await, Err(GrantError::NotYours)));
        assert!(matches!(agency.grants.events(&grant.id, &moussa).await, Err(GrantError::NotYours)));
        assert_eq!(agency.grants.of(&moussa).await.unwrap(), []);
        assert_eq!(agency.grants.of(&number(AWA)).await.unwrap(), std::slice::from_ref(&grant));
        let events = agency.grants.events(&grant.id, &number(AWA)).await.unwrap();
        assert!(events.iter().any(|event| event.record.reason.as_deref() == Some("revoke_by_another_person")));
        for event in &events {
            assert!(matches!(agency.grants.proof(&event.id, &moussa).await, Err(GrantError::NotYours)));
        }
        assert!(agency.grants.use_once(use_of(&grant, "m-1")).await.is_ok(), "it still holds");
    }
}

#[tokio::test]
async fn a_grant_covers_its_service_client_year_and_reading_only() {
    for store in store::testing::engines().await {
        let agency = agency(store).await;
        let grant = agency.given().await;
        let good = use_of(&grant, "m-1");
        let cases = [
            GrantUseRequest { path: "/2024".to_owned(), ..good.clone() },
            GrantUseRequest { path: "/2025/../2024".to_owned(), ..good.clone() },
            GrantUseRequest { method: "POST".to_owned(), ..good.clone() },
            GrantUseRequest { client: "BB/COM/2001/marketing".parse().unwrap(), ..good.clone() },
            GrantUseRequest { service: "BB/GOV/1002/fisc/debts".parse().unwrap(), ..good.clone() },
            GrantUseRequest { provider: "BB/GOV/1001/etat-civil".parse().unwrap(), ..good.clone() },
            GrantUseRequest { message_id: String::new(), ..good.clone() },
            GrantUseRequest { path: "/2025".repeat(2_000), ..good.clone() },
        ];
        for request in cases {
            let refused = refusal(agency.grants.use_once(request).await);
            assert_eq!(refused.code(), "consent_out_of_scope");
        }
        let unknown = GrantUseRequest { grant_id: "nobody".to_owned(), ..good };
        assert_eq!(refusal(agency.grants.use_once(unknown).await), GrantRefusal::Unknown);
        assert_eq!(agency.grants.get(&grant.id, &number(AWA)).await.unwrap().uses, 0);
    }
}

#[tokio::test]
async fn a_grant_ends_by_itself() {
    for store in store::testing::engines().await {
        let agency = agency(store).await;
        let grant = agency.given().await;
        agency.clock.advance(Duration::from_hours(30 * 24));
        assert_eq!(refusal(agency.grants.use_once(use_of(&grant, "m-1")).await), GrantRefusal::Expired);
        assert_eq!(agency.grants.expire().await.unwrap(), 1);
        assert_eq!(agency.grants.expire().await.unwrap(), 0);
        assert!(agency.kinds(&grant).await.contains(&EventKind::Expired));
        assert!(matches!(agency.grants.revoke(&grant.id, &number(AWA)).await, Err(GrantError::Ended)));
    }
}

#[tokio::test]
async fn a_stolen_code_ends_the_grant() {
    for store in store::testing::engines().await {
        let agency = agency(store).await;
        let grant = agency.given().await;
        agency.grants.revoke_stolen(&grant.id).await.unwrap();
        assert_eq!(refusal(agency.grants.use_once(use_of(&grant, "m-1")).await), GrantRefusal::Revoked);
        let events = agency.grants.events(&grant.id, &number(AWA)).await.unwrap();
        assert!(events.iter().any(|event| event.record.reason.as_deref() == Some("authorization_code_reused")));
    }
}

#[tokio::test]
async fn what_is_outside_the_limits_cannot_be_granted() {
    let agency = agency(store::testing::sqlite().await).await;
    let changes: [fn(&mut NewGrant); 7] = [
        |grant| grant.fields.clear(),
        |grant| grant.fields = vec!["employer".to_owned(), "employer".to_owned()],
        |grant| grant.years.clear(),
        |grant| grant.valid_for_days = 366,
        |grant| grant.uses_max = 0,
        |grant| grant.purpose.text.clear(),
        |grant| grant.notice_hash = "short".to_owned(),
    ];
    for change in changes {
        let mut grant = agency.new_grant();
        change(&mut grant);
        assert!(matches!(agency.grants.create(grant).await, Err(GrantError::Invalid(_))));
    }
}
