//! A stranger at every door of the running nation: what is closed stays closed, and no answer tells anything about a person.

use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use web::{ClientLimits, HttpClient};

use crate::nation::DemoProcess;

/// Doors that a stranger may open, with the reason; every other door must answer one of the refusals below.
const OPEN: &[(&str, &str)] = &[
    ("identity /.well-known/openid-configuration", "discovery is public (OpenID Connect Discovery §4)"),
    ("identity /jwks", "public keys"),
    ("ledger /checkpoint", "a log that nobody may read proves nothing"),
    ("bank-log /checkpoint", "a log that nobody may read proves nothing"),
    ("notary /policy", "whom a verifier must trust"),
    ("authority /tsa", "what is no request gets a rejection inside an answer (RFC 3161 §2.4.2)"),
    ("authority /ocsp", "what is no request gets malformedRequest inside an answer (RFC 6960 §2.3)"),
    ("authority /anchor.xml", "the anchor is how a node joins"),
    ("authority /internalconf?version=5", "signed, and read by every node"),
    ("agency-node /verificationconf", "trust data for offline verifiers"),
    ("civil-service /communes", "public reference data"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_walks_every_door_of_the_nation() {
    let data = tempfile::tempdir().unwrap();
    let nation = DemoProcess::start(data.path());
    let base = nation.port_base();
    let at = |offset: u16| format!("http://127.0.0.1:{}", base + offset);
    let awa = nation.description()["citizens"][0].clone();
    let number = awa["national_id"].as_str().unwrap();
    let citizen = format!("/person/{number}");
    let own = format!("/r1/BB/GOV/1001/etat-civil/person/{number}");
    let uses = format!("/r1/BB/GOV/1002/fisc/data-tracker/v2/findUsage?userCode={number}");
    let asic = "/asic?queryId=x&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit";
    let doors: Vec<(&str, String, Method, &str)> = vec![
        ("identity", at(1), Method::GET, "/.well-known/openid-configuration"),
        ("identity", at(1), Method::GET, "/jwks"),
        ("identity", at(1), Method::POST, "/par"),
        ("identity", at(1), Method::POST, "/token"),
        ("identity", at(1), Method::GET, "/userinfo"),
        ("identity", at(1), Method::GET, "/authorize"),
        ("identity", at(1), Method::GET, "/consent"),
        ("identity", at(1), Method::POST, "/consent"),
        ("identity", at(1), Method::POST, "/consent/v1/grants/x/use"),
        ("portal", at(0), Method::GET, "/mes-donnees"),
        ("portal", at(0), Method::GET, "/consultations.json"),
        ("portal", at(0), Method::GET, "/autorisations"),
        ("portal", at(0), Method::GET, "/mon-compte"),
        ("portal", at(0), Method::GET, "/mon-compte/x/preuve.tlog-proof"),
        ("bank", at(2), Method::GET, "/applications/x"),
        ("bank", at(2), Method::GET, "/calls/x/proof/response"),
        ("authority", at(4), Method::GET, "/anchor.xml"),
        ("authority", at(4), Method::GET, "/internalconf?version=5"),
        ("authority", at(4), Method::POST, "/tsa"),
        ("authority", at(4), Method::POST, "/ocsp"),
        ("ledger", at(5), Method::GET, "/checkpoint"),
        ("ledger", at(5), Method::POST, "/append"),
        ("witness", at(6), Method::POST, "/add-checkpoint"),
        ("bank-log", at(7), Method::GET, "/checkpoint"),
        ("bank-log", at(7), Method::POST, "/append"),
        ("bank-witness", at(8), Method::POST, "/add-checkpoint"),
        ("notary", at(9), Method::GET, "/policy"),
        ("notary", at(9), Method::POST, "/notary"),
        ("notary", at(9), Method::GET, "/notary.csv"),
        ("management", at(15), Method::POST, "/managementservice"),
        ("management", at(15), Method::POST, "/authcertreg"),
        ("agency-node", at(10), Method::GET, "/verificationconf"),
        ("agency-node", at(13), Method::GET, "/api/v1/clients"),
        ("agency-node", at(13), Method::GET, "/console"),
        ("agency-node", at(10), Method::GET, &own),
        ("agency-node", at(10), Method::GET, &uses),
        ("bank-node", at(40), Method::GET, asic),
        ("civil-service", at(25), Method::GET, "/communes"),
        ("civil-service", at(25), Method::GET, &citizen),
        ("fisc-service", at(35), Method::GET, "/income-statement/2025"),
    ];
    let http = HttpClient::new(ClientLimits::default(), None);
    for (place, url, method, path) in doors {
        let door = format!("{place} {path}");
        let answer = http.send(method.clone(), &format!("{url}{path}"), &[], "{}".into()).await.unwrap();
        let open = OPEN.iter().any(|(known, _)| *known == door);
        // SOAP refuses by a fault with status 500 (SOAP 1.1 §6.2).
        let fault = place == "management" && String::from_utf8_lossy(&answer.body).contains("Fault>");
        let refused = answer.status.is_client_error() || answer.status.is_redirection() || fault;
        assert_eq!(answer.status == StatusCode::OK, open, "{method} {door}: {}", answer.status);
        assert!(open || refused, "{method} {door}: {}", answer.status);
        let said = String::from_utf8_lossy(&answer.body);
        assert!(!said.contains("Ndiaye") && !said.contains(number), "{method} {door} tells about a person: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bank_reads_neither_the_register_nor_a_list_of_uses_and_no_income_without_a_token() {
    let data = tempfile::tempdir().unwrap();
    let nation = DemoProcess::start(data.path());
    let consumer = nation.consumer_url("BB/COM/2001/credit");
    let number = nation.description()["citizens"][0]["national_id"].as_str().unwrap().to_owned();
    let http = HttpClient::new(ClientLimits::default(), None);
    let client = (HeaderName::from_static("x-road-client"), HeaderValue::from_static("BB/COM/2001/credit"));
    for (path, wanted) in [
        (format!("/r1/BB/GOV/1001/etat-civil/person/{number}"), "access_denied"),
        (format!("/r1/BB/GOV/1002/fisc/data-tracker/v2/findUsage?userCode={number}"), "access_denied"),
        ("/r1/BB/GOV/1002/fisc/income-statement/2025".to_owned(), "token"),
        ("/r1/BB/GOV/9999/nobody/service".to_owned(), "unknown"),
    ] {
        let answer = http.get(&format!("{consumer}{path}"), std::slice::from_ref(&client)).await.unwrap();
        let said: serde_json::Value = answer.json().unwrap();
        assert!(!answer.status.is_success(), "{path}");
        assert_eq!(answer.headers["x-road-error"].to_str().unwrap(), said["type"].as_str().unwrap());
        assert!(said["type"].as_str().unwrap().contains(wanted), "{path}: {said}");
        assert!(!said["message"].as_str().unwrap().is_empty() && said["detail"].is_string(), "{said}");
    }
}
