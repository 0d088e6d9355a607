use std::time::Duration;

use civic::{Actor, Clock as _, LegalBasis, PersonId};
use consent::testing::{TestIssuer, by_grant, by_law};
use consent::{AccessRequest, Basis, Consent, LawfulService, Outcome, Paging, Refusal};
use store::{Store, StoreError, params};

use crate::{AWA, BANK, FISC, INCOME, MOUSSA, clock, number, person, random, shared};

const PERSON: &str = "BB/GOV/1001/etat-civil/person";
const LAW: &str = "Loi 2008-12, art. 20";

fn law(clients: Option<&[&str]>) -> LawfulService {
    LawfulService {
        service: PERSON.parse().unwrap(),
        reference: LAW.to_owned(),
        fields: vec!["names".to_owned(), "birth".to_owned()],
        clients: clients.map(|clients| clients.iter().map(|client| client.parse().unwrap()).collect()),
    }
}

async fn civil(store: Store, clients: Option<&[&str]>) -> Consent {
    let config = TestIssuer::new().unwrap().config("BB/GOV/1001/etat-civil", vec![law(clients)]).unwrap();
    Consent::open(store, config, shared(&clock()), random(1)).await.unwrap()
}

async fn outcomes(consent: &Consent, who: &str) -> Vec<Outcome> {
    let page = consent.journal(&number(who), Paging::first(100)).await.unwrap();
    page.entries.into_iter().map(|entry| entry.outcome).collect()
}

fn refused(code: &str) -> Outcome {
    Outcome::Refused(code.to_owned())
}

#[tokio::test]
async fn a_law_opens_its_fields_to_its_clients_and_the_journal_says_so() {
    for store in store::testing::engines().await {
        let consent = civil(store, Some(&[FISC])).await;
        let permit = consent.decide(by_law(FISC, PERSON, &number(AWA), &["names"], LAW).unwrap()).await.unwrap();
        assert_eq!(permit.subject(), &number(AWA));
        assert_eq!(permit.fields(), ["names"]);
        assert!(permit.allows_year(1999), "a law does not limit years");
        assert!(!permit.allows_field("birth"));
        assert_eq!(permit.basis(), &LegalBasis::Law(LAW.to_owned()));

        let page = consent.journal(&number(AWA), Paging::first(10)).await.unwrap();
        let entry = page.entries.first().unwrap();
        assert_eq!((page.total, entry.id.as_str()), (1, permit.journal_id()));
        assert_eq!(entry.organisation().unwrap().to_string(), FISC);
        assert_eq!(entry.outcome, Outcome::Granted);
        assert_eq!(entry.message_id.as_deref(), Some("BB-1"));
        assert_eq!(outcomes(&consent, MOUSSA).await, [], "nobody looked at Moussa");
    }
}

#[tokio::test]
async fn what_no_law_allows_is_refused_and_written_down() {
    for store in store::testing::engines().await {
        let consent = civil(store, Some(&[FISC])).await;
        let ask = |client, fields: &[&str], reference| by_law(client, PERSON, &number(AWA), fields, reference).unwrap();
        let refusal = consent.decide(ask(BANK, &["names"], LAW)).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Actor(_)), "{refusal}");
        let refusal = consent.decide(ask(FISC, &["names", "filiation"], LAW)).await.unwrap_err();
        assert_eq!(refusal, Refusal::Field("filiation".to_owned()));
        let refusal = consent.decide(ask(FISC, &["names"], "Loi inconnue")).await.unwrap_err();
        assert!(matches!(refusal, Refusal::NotLawful { .. }), "{refusal}");
        let refusal = consent.decide(ask(FISC, &[], LAW)).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal}");
        let foreign = by_law(FISC, INCOME, &number(AWA), &["names"], LAW).unwrap();
        assert!(matches!(consent.decide(foreign).await, Err(Refusal::ForeignService(_))));
        assert_eq!(outcomes(&consent, AWA).await.len(), 5);
        assert!(outcomes(&consent, AWA).await.iter().all(|outcome| *outcome != Outcome::Granted));
        assert!(outcomes(&consent, AWA).await.contains(&refused("consent_field_not_covered")));
    }
}

#[tokio::test]
async fn self_access_is_for_citizens() {
    for store in store::testing::engines().await {
        let consent = civil(store, None).await;
        let own = |actor| AccessRequest {
            actor,
            basis: Basis::SelfAccess,
            ..by_law(FISC, PERSON, &number(AWA), &["names"], LAW).unwrap()
        };
        let citizen = Actor::Citizen(person().parse::<PersonId>().unwrap());
        assert!(consent.decide(own(citizen.clone())).await.is_ok());
        let official = consent.decide(own(Actor::Official("agent-7".to_owned()))).await;
        assert!(matches!(official, Err(Refusal::Actor(_))));
        let under_law =
            AccessRequest { actor: citizen, ..by_law(FISC, PERSON, &number(AWA), &["names"], LAW).unwrap() };
        assert!(matches!(consent.decide(under_law).await, Err(Refusal::Actor(_))));
    }
}

#[tokio::test]
async fn a_proof_of_grant_use_opens_once() {
    for store in store::testing::engines().await {
        let (issuer, clock) = (TestIssuer::new().unwrap(), clock());
        let config = issuer.config(FISC, Vec::new()).unwrap();
        let consent = Consent::open(store, config, shared(&clock), random(1)).await.unwrap();
        let (awa, fields) = (number(AWA), ["gross_income", "employer"]);
        let proof = issuer.proof(BANK, INCOME, &awa, &fields, 2025, "BB-7", clock.now()).unwrap();
        let ask = || by_grant(BANK, INCOME, &awa, &["gross_income"], "BB-7", proof.clone()).unwrap();
        let permit = consent.decide(ask()).await.unwrap();
        assert_eq!(permit.basis(), &LegalBasis::Consent("grant-1".to_owned()));
        assert!(permit.allows_year(2025) && !permit.allows_year(2024));
        assert_eq!(consent.decide(ask()).await.unwrap_err(), Refusal::Spent);
        assert_eq!(outcomes(&consent, AWA).await.len(), 2);
        assert!(outcomes(&consent, AWA).await.contains(&refused("consent_proof_spent")));
    }
}

#[tokio::test]
async fn a_proof_is_good_for_its_own_request_only() {
    for store in store::testing::engines().await {
        let (issuer, clock) = (TestIssuer::new().unwrap(), clock());
        let config = issuer.config(FISC, Vec::new()).unwrap();
        let consent = Consent::open(store, config, shared(&clock), random(1)).await.unwrap();
        let (awa, moussa) = (number(AWA), number(MOUSSA));
        let prove = |message| issuer.proof(BANK, INCOME, &awa, &["employer"], 2025, message, clock.now()).unwrap();
        let cases = [
            (by_grant(BANK, INCOME, &moussa, &["employer"], "BB-1", prove("BB-1")), Refusal::OtherRequest("person")),
            (
                by_grant("BB/COM/2002/credit", INCOME, &awa, &["employer"], "BB-2", prove("BB-2")),
                Refusal::OtherRequest("client"),
            ),
            (
                by_grant(BANK, "BB/GOV/1002/fisc/debts", &awa, &["employer"], "BB-3", prove("BB-3")),
                Refusal::OtherRequest("service"),
            ),
            (by_grant(BANK, INCOME, &awa, &["employer"], "BB-other", prove("BB-4")), Refusal::OtherRequest("message")),
            (
                by_grant(BANK, INCOME, &awa, &["gross_income"], "BB-5", prove("BB-5")),
                Refusal::Field("gross_income".to_owned()),
            ),
        ];
        for (request, expected) in cases {
            assert_eq!(consent.decide(request.unwrap()).await.unwrap_err(), expected);
        }
        let stranger = TestIssuer::new().unwrap();
        let forged = stranger.proof(BANK, INCOME, &awa, &["employer"], 2025, "BB-6", clock.now()).unwrap();
        let request = by_grant(BANK, INCOME, &awa, &["employer"], "BB-6", forged).unwrap();
        assert!(matches!(consent.decide(request).await, Err(Refusal::Proof(_))));
        let late = by_grant(BANK, INCOME, &awa, &["employer"], "BB-7", prove("BB-7")).unwrap();
        clock.advance(Duration::from_secs(151));
        assert!(matches!(consent.decide(late).await, Err(Refusal::Proof(_))));
    }
}

#[tokio::test]
async fn without_a_journal_nothing_is_read() {
    let store = store::testing::sqlite().await;
    let consent = civil(store.clone(), None).await;
    store.close().await;
    let refusal = consent.decide(by_law(FISC, PERSON, &number(AWA), &["names"], LAW).unwrap()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Journal(_)), "{refusal}");
}

#[tokio::test]
async fn a_journal_entry_moved_to_another_person_is_noticed() {
    for store in store::testing::engines().await {
        let consent = civil(store.clone(), None).await;
        for who in [AWA, MOUSSA] {
            consent.decide(by_law(FISC, PERSON, &number(who), &["names"], LAW).unwrap()).await.unwrap();
        }
        let text_is_sealed = store
            .read("test.look", |tx| {
                let rows = tx.query("SELECT subject, actor FROM consent_journal", &params![])?;
                let bytes: Vec<Vec<u8>> = rows
                    .iter()
                    .flat_map(|row| [row.get("subject"), row.get("actor")])
                    .collect::<Result<_, StoreError>>()?;
                Ok::<_, StoreError>(bytes.iter().all(|bytes| !String::from_utf8_lossy(bytes).contains("2K05")))
            })
            .await
            .unwrap();
        assert!(text_is_sealed);
        store
            .tx("test.move", |tx| {
                let rows = tx.query("SELECT id, subject FROM consent_journal ORDER BY id", &params![])?;
                let ids: Vec<String> = rows.iter().map(|row| row.get("id")).collect::<Result<_, _>>()?;
                let subject: Vec<u8> = rows.first().unwrap().get("subject")?;
                tx.execute("UPDATE consent_journal SET subject = $2 WHERE id = $1", &params![&ids[1], subject])
            })
            .await
            .map_err(|error: StoreError| error)
            .unwrap();
        let mut failed = 0;
        for who in [AWA, MOUSSA] {
            if matches!(consent.journal(&number(who), Paging::first(10)).await, Err(StoreError::Sealed { .. })) {
                failed += 1;
            }
        }
        assert_eq!(failed, 1);
    }
}
