//! What a newcomer does first: start the demo, look around, stop it, start it again.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use civic::Timestamp;
use http::header::{HeaderName, HeaderValue};
use serde_json::Value;
use trust::asic::Container;
use web::{ClientLimits, HttpClient};

use crate::nation::{DemoProcess, baobab};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_answers_stops_in_good_order_and_goes_on_where_it_was() {
    let data = tempfile::tempdir().unwrap();
    let nation = DemoProcess::start(data.path());
    let ports = nation.port_base();
    let before = nation.description();
    assert_eq!(before["instance"], "BB");
    assert_eq!(before["citizens"].as_array().unwrap().len(), 10);
    assert_eq!(before["members"].as_array().unwrap().len(), 4);
    for path in ["anchor", "trust"] {
        assert!(Path::new(before[path].as_str().unwrap()).exists(), "{path}");
    }
    let communes = ask(&nation, "communes", "before-restart").await;
    let code = communes[0]["code"].as_str().unwrap();
    assert_eq!(ask(&nation, &format!("communes/{code}"), "one").await["code"], code);
    let (status, printed) = nation.terminate();
    assert!(status.success(), "{status}");
    for word in ["Agence du numérique", "Banque du Fleuve", "Log in as", "Try:"] {
        assert!(printed.contains(word), "{word} is missing in:\n{printed}");
    }

    let nation = DemoProcess::start_on(data.path(), ports);
    assert_eq!(nation.description()["citizens"], before["citizens"]);
    let evidence = format!(
        "{}/asic?queryId=before-restart&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit&requestOnly&unique&force",
        nation.consumer_url("BB/COM/2001/credit")
    );
    let container = client().get(&evidence, &[]).await.unwrap().success().unwrap().body;
    let file = data.path().join("request.asice");
    std::fs::write(&file, &container).unwrap();
    let trust = before["trust"].as_str().unwrap();
    let (valid, said) = baobab(&["verify", file.to_str().unwrap(), "--trust", trust, "--json"]);
    assert!(valid, "{said}");
    let verdict: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(verdict["signer"], "BB/COM/2001");
    assert_eq!(verdict["messageId"], "before-restart");
    the_ledger_is_judged_too(&nation, &evidence, data.path()).await;
}

/// Once the ledger holds the record, its proof comes with the evidence; a policy has both judged, and an altered proof is refused.
async fn the_ledger_is_judged_too(nation: &DemoProcess, evidence: &str, folder: &Path) {
    let description = nation.description();
    let (file, policy) = (folder.join("proven.asice"), folder.join("policy.txt"));
    let paths = [&file, &policy].map(|path| path.to_str().unwrap().to_owned());
    let judge = |with_policy: bool| {
        let mut arguments = vec!["verify", &paths[0], "--trust", description["trust"].as_str().unwrap(), "--json"];
        if with_policy {
            arguments.extend(["--policy", &paths[1]]);
        }
        let (valid, said) = baobab(&arguments);
        (valid, serde_json::from_str::<Value>(&said).unwrap_or_else(|error| panic!("{error}: {said}")))
    };
    let mut tries = 0;
    let container = loop {
        let bytes = client().get(evidence, &[]).await.unwrap().success().unwrap().body;
        let container = Container::read(&bytes).unwrap();
        if container.ledger_proof.is_some() {
            std::fs::write(&file, &bytes).unwrap();
            break container;
        }
        tries += 1;
        assert!(tries < 100, "the ledger did not take the record");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let (valid, verdict) = judge(false);
    assert!(valid && verdict["ledger"]["state"] == "not-judged", "{verdict}");
    let origin = verdict["ledger"]["log"].as_str().unwrap();
    let log = description["logs"].as_array().unwrap().iter().find(|log| log["origin"] == origin).unwrap();
    std::fs::write(&policy, log["policy"].as_str().unwrap()).unwrap();
    let (valid, verdict) = judge(true);
    assert!(valid && verdict["ledger"]["state"] == "held", "{verdict}");
    assert_eq!(verdict["ledger"]["witnesses"][0]["name"], "banque", "the other organisation saw it: {verdict}");
    let other = description["logs"].as_array().unwrap().iter().find(|log| log["origin"] != origin).unwrap();
    std::fs::write(&policy, other["policy"].as_str().unwrap()).unwrap();
    let (valid, verdict) = judge(true);
    assert!(!valid && verdict["ledger"]["state"] == "refused", "a log that is not trusted: {verdict}");
    let stripped = Container { ledger_proof: None, ..container };
    std::fs::write(&file, stripped.write(Timestamp::from_seconds(0)).unwrap()).unwrap();
    let (valid, verdict) = judge(true);
    assert!(!valid && verdict["ledger"]["state"] == "absent", "whoever names a policy wants a proof: {verdict}");
    let (valid, verdict) = judge(false);
    assert!(valid && verdict["ledger"]["state"] == "absent", "without one it stays valid: {verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_tells_its_health_and_its_metrics() {
    let data = tempfile::tempdir().unwrap();
    let nation = DemoProcess::start(data.path());
    for member in nation.description()["members"].as_array().unwrap() {
        let admin = member["admin_url"].as_str().unwrap();
        let health = client().get(&format!("{admin}/health"), &[]).await.unwrap();
        assert!(health.status.is_success(), "{}", String::from_utf8_lossy(&health.body));
        let metrics = client().get(&format!("{admin}/metrics"), &[]).await.unwrap().success().unwrap();
        assert!(String::from_utf8_lossy(&metrics.body).contains("baobab_store_commits"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engineer_registers_a_subsystem_of_the_bank_with_the_key_of_the_description() {
    let data = tempfile::tempdir().unwrap();
    let nation = DemoProcess::start(data.path());
    let bank = nation.description()["members"][3].clone();
    let api = |path: &str| format!("{}/api/v1/clients{path}", bank["admin_url"].as_str().unwrap());
    let key = format!("X-Road-ApiKey token={}", bank["console_key"].as_str().unwrap());
    let headers = [
        (http::header::AUTHORIZATION, http::HeaderValue::from_str(&key).unwrap()),
        (http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json")),
    ];
    let cards = r#"{"client": {"member_class": "COM", "member_code": "2001", "subsystem_code": "cards", "connection_type": "HTTP"}}"#;
    let added = client().send(http::Method::POST, &api(""), &headers, cards.into()).await.unwrap();
    assert_eq!(added.status.as_u16(), 201, "{}", String::from_utf8_lossy(&added.body));
    let path = "/BB:COM:2001:cards";
    let asked = client().send(http::Method::PUT, &api(&format!("{path}/register")), &headers, "".into()).await.unwrap();
    assert_eq!(asked.status.as_u16(), 204, "{}", String::from_utf8_lossy(&asked.body));
    // The next configuration is a minute away at most.
    for _ in 0..900 {
        let found = client().get(&api(path), &headers).await.unwrap();
        if String::from_utf8_lossy(&found.body).contains("\"REGISTERED\"") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the subsystem is not registered");
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = tempfile::tempdir().unwrap();
    let (started, said) = baobab(&["demo", "--port-base", &port, "--data", data.path().to_str().unwrap()]);
    assert!(!started);
    assert!(said.contains(&format!("port {port} cannot be used")) && said.contains("--port-base"), "{said}");
}

#[test]
fn wrong_options_are_refused_with_a_reason() {
    assert!(baobab(&["demo", "--population", "3"]).1.contains("10..=1000000"));
    assert!(baobab(&["verify", "missing.asice", "--trust", "."]).1.contains("no trust data"));
}

#[test]
fn samples_of_the_field_get_their_verdicts() {
    let Some(samples) = samples() else {
        eprintln!("left out: no sample data (set XROAD_SAMPLES or put them at ../shared/xroad)");
        return;
    };
    let trust = samples.join("globalconf/globalconf_good2_v3");
    for (name, valid, word) in [
        ("valid-non-batch-rest", true, "VALID"),
        ("valid-signed-message", true, "VALID"),
        ("wrong-message", false, "signature"),
    ] {
        let file = samples.join(format!("asic/{name}.asice"));
        let (judged, said) = baobab(&["verify", file.to_str().unwrap(), "--trust", trust.to_str().unwrap()]);
        assert_eq!(judged, valid, "{name}: {said}");
        assert!(said.contains(word), "{name}: {said}");
    }
}

/// Asks a service of the register through the bank's node.
async fn ask(nation: &DemoProcess, path: &str, message_id: &str) -> Value {
    let url = format!("{}/r1/BB/GOV/1001/etat-civil/{path}", nation.consumer_url("BB/COM/2001/credit"));
    let header = |name, value: &str| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    let headers = [header("x-road-client", "BB/COM/2001/credit"), header("x-road-id", message_id)];
    client().get(&url, &headers).await.unwrap().success().unwrap().json().unwrap()
}

fn client() -> HttpClient {
    HttpClient::new(ClientLimits::default(), None)
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says where the samples are")]
fn samples() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/xroad");
    let folder = std::env::var("XROAD_SAMPLES").map_or(beside, PathBuf::from);
    folder.join("asic").is_dir().then_some(folder)
}
