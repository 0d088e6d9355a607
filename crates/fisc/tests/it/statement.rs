use std::sync::Arc;
use std::time::Duration;

use civic::testing::{SeededRandom, TestClock};
use civic::{Clock, NationalNumber};
use consent::testing::TestIssuer;
use consent::{Consent, Outcome, Paging};
use fisc::{Taxpayer, accounts};
use serde_json::Value;
use store::Store;
use tokio::net::TcpListener;
use web::{HttpClient, Reply};

use crate::NOW;

const SERVICE: &str = "BB/GOV/1002/fisc/income-statement";
const BANK: &str = "BB/COM/2001/credit";

/// The tax office at work, trusting a consent service of tests.
struct Office {
    url: String,
    client: HttpClient,
    issuer: TestIssuer,
    consent: Consent,
    clock: Arc<TestClock>,
    awa: NationalNumber,
}

impl Office {
    async fn on(store: Store) -> Self {
        let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
        let issuer = TestIssuer::new().unwrap();
        let config = issuer.config("BB/GOV/1002/fisc", Vec::new()).unwrap();
        let consent =
            Consent::open(store.clone(), config, clock.clone(), Arc::new(SeededRandom::new(1))).await.unwrap();
        let awa: NationalNumber = "2V02199100421".parse().unwrap();
        let taxpayer = Taxpayer { national_number: awa.clone(), birth_year: 1991, earner: true };
        fisc::seed(&store, accounts(2026, &[taxpayer]).into(), NOW).await.unwrap();
        let room = fisc::room(store, consent.clone(), SERVICE.parse().unwrap()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, room.router).await });
        Self { url, client: HttpClient::default(), issuer, consent, clock, awa }
    }

    async fn embedded() -> Self {
        Self::on(store::testing::sqlite().await).await
    }

    fn proof(&self, fields: &[&str], year: u16, message: &str) -> String {
        self.issuer.proof(BANK, SERVICE, &self.awa, fields, year, message, self.clock.now()).unwrap()
    }

    async fn get(&self, year: &str, headers: &[(&'static str, &str)]) -> Reply {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
        self.client.get(&format!("{}/income-statement/{year}", self.url), &headers).await.unwrap()
    }

    async fn as_bank(&self, year: &str, message: &str, proof: &str) -> Reply {
        self.get(year, &[("x-road-client", BANK), ("x-road-id", message), ("baobab-grant-use", proof)]).await
    }
}

fn kind(reply: &Reply) -> String {
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    let problem: Value = reply.json().unwrap();
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    problem["type"].as_str().unwrap().trim_start_matches("urn:baobab:problem:").to_owned()
}

#[tokio::test]
async fn only_the_granted_fields_are_answered_and_the_look_is_journaled_on_every_engine() {
    for store in store::testing::engines().await {
        let office = Office::on(store).await;
        let proof = office.proof(&["gross_income", "employer"], 2025, "BB-1");
        let reply = office.as_bank("2025", "BB-1", &proof).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["cache-control"], "no-store");
        insta::assert_json_snapshot!("statement", reply.json::<Value>().unwrap());
        let journal = office.consent.journal(&office.awa, Paging::first(10)).await.unwrap().entries;
        assert_eq!(journal.len(), 1);
        assert_eq!(journal[0].fields, ["gross_income", "employer"]);
        assert_eq!(journal[0].outcome, Outcome::Granted);
    }
}

#[tokio::test]
async fn a_proof_serves_once() {
    let office = Office::embedded().await;
    let proof = office.proof(&["gross_income"], 2025, "BB-1");
    assert_eq!(office.as_bank("2025", "BB-1", &proof).await.status, 200);
    let again = office.as_bank("2025", "BB-1", &proof).await;
    assert_eq!((again.status.as_u16(), kind(&again).as_str()), (403, "consent_proof_spent"));
}

#[tokio::test]
async fn without_the_proof_or_the_node_nothing_is_answered() {
    let office = Office::embedded().await;
    let proof = office.proof(&["gross_income"], 2025, "BB-1");
    let missing = office.get("2025", &[("x-road-client", BANK), ("x-road-id", "BB-1")]).await;
    assert_eq!((missing.status.as_u16(), kind(&missing).as_str()), (401, "grant_use_missing"));
    for headers in [
        &[("x-road-id", "BB-1"), ("baobab-grant-use", proof.as_str())][..],
        &[("x-road-client", BANK), ("baobab-grant-use", proof.as_str())],
        &[("x-road-client", "bank"), ("x-road-id", "BB-1"), ("baobab-grant-use", proof.as_str())],
    ] {
        let reply = office.get("2025", headers).await;
        assert_eq!((reply.status.as_u16(), kind(&reply).as_str()), (400, "not_through_the_bridge"));
    }
}

#[tokio::test]
async fn a_proof_for_another_request_is_refused() {
    let office = Office::embedded().await;
    let good = office.proof(&["gross_income"], 2025, "BB-1");
    let stranger = TestIssuer::new().unwrap();
    let forged =
        stranger.proof(BANK, SERVICE, &office.awa, &["gross_income"], 2025, "BB-1", office.clock.now()).unwrap();
    let other_service = "BB/GOV/1002/fisc/other";
    let elsewhere = office
        .issuer
        .proof(BANK, other_service, &office.awa, &["gross_income"], 2025, "BB-1", office.clock.now())
        .unwrap();
    for (proof, message, code) in [
        ("not.a.proof", "BB-1", "consent_proof_invalid"),
        ("", "BB-1", "consent_proof_invalid"),
        (forged.as_str(), "BB-1", "consent_proof_invalid"),
        (good.as_str(), "BB-2", "consent_proof_mismatch"),
        (elsewhere.as_str(), "BB-1", "consent_proof_mismatch"),
    ] {
        let reply = office.as_bank("2025", message, proof).await;
        assert_eq!((reply.status.as_u16(), kind(&reply).as_str()), (403, code), "{proof}");
    }
    let other_client =
        [("x-road-client", "BB/COM/2002/credit"), ("x-road-id", "BB-1"), ("baobab-grant-use", good.as_str())];
    assert_eq!(kind(&office.get("2025", &other_client).await), "consent_proof_mismatch");
    let other_year = office.as_bank("2024", "BB-1", &good).await;
    assert_eq!((other_year.status.as_u16(), kind(&other_year).as_str()), (403, "consent_out_of_scope"));
    office.clock.advance(Duration::from_mins(10));
    assert_eq!(kind(&office.as_bank("2025", "BB-1", &good).await), "consent_proof_invalid");
}

#[tokio::test]
async fn a_year_without_statements_is_told_apart_from_a_citizen_without_one() {
    let office = Office::embedded().await;
    let proof = office.proof(&["gross_income"], 2025, "BB-1");
    for year in ["2021", "2026", "20255", "-1", "abc", "2025.0", "%32"] {
        let reply = office.as_bank(year, "BB-1", &proof).await;
        assert_eq!((reply.status.as_u16(), kind(&reply).as_str()), (404, "unknown_year"), "{year}");
    }
    let nobody: NationalNumber = "1A01198500001".parse().unwrap();
    let proof =
        office.issuer.proof(BANK, SERVICE, &nobody, &["gross_income"], 2025, "BB-2", office.clock.now()).unwrap();
    let reply = office.as_bank("2025", "BB-2", &proof).await;
    assert_eq!((reply.status.as_u16(), kind(&reply).as_str()), (404, "no_statement"));
    assert!(!String::from_utf8_lossy(&reply.body).contains(nobody.as_str()));
}

#[tokio::test]
async fn the_description_names_every_field() {
    let office = Office::embedded().await;
    let reply = office.client.get(&format!("{}/openapi/income-statement.json", office.url), &[]).await.unwrap();
    let described: Value = reply.json().unwrap();
    let members = described["components"]["schemas"]["IncomeStatement"]["properties"].as_object().unwrap();
    let named: Vec<&str> =
        members.keys().map(String::as_str).filter(|name| !["year", "currency"].contains(name)).collect();
    assert_eq!(named, fisc::FIELDS);
}
