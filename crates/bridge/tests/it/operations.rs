//! Operational monitoring: records of both sides, the three services, metrics, and that none of them names a person.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use bridge::operations::{FIELDS, MonitoringAnswer};
use bridge::testing::{CLIENT, ECHO, PERSON, PROVIDER, TwoNodes, two_nodes, two_nodes_on, two_nodes_with};
use bridge::{Node, metrics};
use civic::{ClientId, Clock as _};
use http::Request;
use serde_json::Value as Json;

const OWNER: &str = "BB/GOV/1002";
const NUMBER: &str = "1234198012345";

fn query(from: i64, to: i64, rest: &str) -> String {
    format!(
        "<om:getSecurityServerOperationalData xmlns:om=\"http://x-road.eu/xsd/op-monitoring.xsd\" \
         xmlns:id=\"http://x-road.eu/xsd/identifiers\"><om:searchCriteria><om:recordsFrom>{from}</om:recordsFrom>\
         <om:recordsTo>{to}</om:recordsTo>{rest}</om:getSecurityServerOperationalData>"
    )
}

/// All records up to now, as one client gets them: a minute passes first, for younger records are withheld.
async fn records(nodes: &TwoNodes, node: &Node, client: &str) -> Vec<Json> {
    node.write_operational_data().await.unwrap();
    nodes.clock.advance(Duration::from_secs(61));
    let to = nodes.clock.now().seconds();
    let answer = ask(node, client, &query(0, to, "</om:searchCriteria>")).await;
    payload(&answer)
}

async fn ask(node: &Node, client: &str, body: &str) -> MonitoringAnswer {
    let client: ClientId = client.parse().unwrap();
    node.monitoring(&client, body).await.unwrap()
}

async fn refusal(node: &Node, client: &str, body: &str) -> String {
    let client: ClientId = client.parse().unwrap();
    node.monitoring(&client, body).await.unwrap_err().code().to_owned()
}

fn payload(answer: &MonitoringAnswer) -> Vec<Json> {
    let (id, kind, bytes) = answer.attachment.as_ref().unwrap();
    assert_eq!((*id, *kind), ("operational-monitoring-data.json.gz", "application/gzip"));
    assert!(answer.body.contains("<om:records>cid:operational-monitoring-data.json.gz</om:records>"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    let json: Json = serde_json::from_str(&text).unwrap();
    let records = json["records"].as_array().unwrap().clone();
    assert!(answer.body.contains(&format!("<om:recordsCount>{}</om:recordsCount>", records.len())), "{}", answer.body);
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_makes_a_record_on_each_side_on_every_engine() {
    let stores = store::testing::engines().await.into_iter().zip(store::testing::engines().await);
    for stores in stores {
        let nodes = two_nodes_on(500, stores, |_, _| {}).await;
        let headers = [("X-Road-Id", "o-1"), ("X-Road-Issue", "MT-7"), ("X-Road-Represented-Party", "COM/9")];
        assert_eq!(nodes.call("POST", &format!("{ECHO}/pets/7?q=1"), &headers, "hello").await.status, 200);
        let consumer = records(&nodes, &nodes.consumer, "BB/COM/2001").await.remove(0);
        let provider = records(&nodes, &nodes.provider, OWNER).await.remove(0);
        for record in [&consumer, &provider] {
            for (field, value) in [
                ("clientXRoadInstance", "BB"),
                ("clientMemberClass", "COM"),
                ("clientMemberCode", "2001"),
                ("clientSubsystemCode", "credit"),
                ("serviceMemberCode", "1002"),
                ("serviceSubsystemCode", "fisc"),
                ("serviceCode", "echo"),
                ("messageId", "o-1"),
                ("messageIssue", "MT-7"),
                ("representedPartyClass", "COM"),
                ("representedPartyCode", "9"),
                ("messageProtocolVersion", "1"),
                ("restMethod", "POST"),
                ("serviceType", "REST"),
                ("xRoadVersion", bridge::PROTOCOL_VERSION),
                ("securityServerInternalIp", "127.0.0.1"),
            ] {
                assert_eq!(record[field], value, "{field} in {record}");
            }
            assert_eq!((&record["succeeded"], &record["statusCode"]), (&Json::Bool(true), &Json::from(200)));
            let moment = |name: &str| record[name].as_i64().unwrap();
            let moments = ["requestInTs", "requestOutTs", "responseInTs", "responseOutTs"].map(moment);
            assert!(moments.is_sorted() && moments[0] > 1_700_000_000_000, "{moments:?}: milliseconds");
            assert!(moment("monitoringDataTs") < 10_000_000_000, "seconds");
            assert!(moment("requestSize") > 100 && moment("responseSize") > 100);
            assert!(record["clientSecurityServerAddress"].as_str().unwrap().starts_with("127.0.0.1"));
            assert!(record["serviceSecurityServerAddress"].as_str().unwrap().starts_with("127.0.0.1"));
            let names: Vec<&String> = record.as_object().unwrap().keys().collect();
            assert!(names.iter().all(|name| FIELDS.contains(&name.as_str())), "{names:?}");
        }
        assert_eq!(
            (&consumer["securityServerType"], &provider["securityServerType"]),
            (&"Client".into(), &"Producer".into())
        );
        assert_eq!(consumer["xRequestId"], provider["xRequestId"]);
        assert_eq!(consumer["requestSize"], provider["requestSize"]);
        assert_eq!(provider["restPath"], "/pets/7", "without the query");
        assert!(consumer["restPath"].is_null(), "the path is the provider's matter");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_exchange_is_recorded_with_its_fault() {
    let nodes = two_nodes(501).await;
    nodes.get(&format!("{PROVIDER}/none/{NUMBER}")).await;
    nodes.get(&format!("{ECHO}/status/404")).await;
    nodes.get("BB/GOV").await;
    let consumer = records(&nodes, &nodes.consumer, "BB/COM/2001").await;
    let provider = records(&nodes, &nodes.provider, OWNER).await;
    let of = |records: &[Json], code: &str| records.iter().find(|record| record["faultCode"] == code).cloned().unwrap();
    for records in [&consumer, &provider] {
        let unknown = of(records, "server.serverproxy.unknown_service");
        assert_eq!(unknown["succeeded"], false);
        assert!(unknown["faultString"].as_str().unwrap().contains("does not exist"));
        let not_found = records.iter().find(|record| record["statusCode"] == 404).unwrap();
        assert_eq!(not_found["succeeded"], false, "an error of the service is no success (CODE)");
        assert!(not_found["faultCode"].is_null());
    }
    let malformed = of(&consumer, "client.bad_request");
    assert!(malformed["clientMemberCode"].is_null() && malformed["serviceCode"].is_null());
    assert_eq!((consumer.len(), provider.len()), (3, 2));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_person_is_named_in_records_and_metrics() {
    let nodes = two_nodes(502).await;
    let headers =
        [("X-Road-UserId", "SN1234198012345"), ("X-Road-Issue", NUMBER), ("X-Road-Represented-Party", NUMBER)];
    assert_eq!(nodes.call("GET", &format!("{PERSON}/{NUMBER}/name?id={NUMBER}"), &headers, "").await.status, 200);
    assert_eq!(nodes.call("GET", &format!("{ECHO}/by/{NUMBER}"), &headers, "").await.status, 200);
    nodes.get(&format!("{PERSON}/x-{NUMBER}")).await;
    nodes.get(&format!("{PROVIDER}/none/{NUMBER}")).await;
    let mut texts = Vec::new();
    for (node, owner) in [(&nodes.consumer, "BB/COM/2001"), (&nodes.provider, OWNER)] {
        texts.extend(records(&nodes, node, owner).await.into_iter().map(|record| record.to_string()));
        texts.push(page(&nodes, node).await);
    }
    assert_eq!(texts.len(), 10);
    for text in &texts {
        assert!(!text.contains("198012345"), "{text}");
    }
    let paths: Vec<&String> = texts.iter().filter(|text| text.contains("\"restPath\"")).collect();
    assert!(paths.iter().any(|text| text.contains("\"/***/name\"")), "{paths:?}");
    assert!(paths.iter().any(|text| text.contains("\"/by/***\"")), "{paths:?}");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_and_the_central_monitoring_see_all_and_others_their_own() {
    let central: ClientId = "BB/GOV/1000/monitoring".parse().unwrap();
    let nodes = two_nodes_with(503, |_, provider| {
        provider.operations.monitoring_client = Some("BB/GOV/1000/monitoring".parse().unwrap());
    })
    .await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    assert_eq!(records(&nodes, &nodes.provider, OWNER).await.len(), 1);
    let to = nodes.clock.now().seconds();
    let all = query(0, to, "</om:searchCriteria>");
    for (client, seen, internal) in [
        (OWNER, 1, true),
        (&*central.to_string(), 1, true),
        (CLIENT, 1, false),
        (PROVIDER, 1, false),
        ("BB/COM/2001", 0, false),
        ("BB/COM/9/other", 0, false),
    ] {
        let found = payload(&ask(&nodes.provider, client, &all).await);
        assert_eq!(found.len(), seen, "{client}");
        for record in found {
            assert_eq!(record.get("securityServerInternalIp").is_some(), internal, "{client}");
        }
    }
    let provider = |code: &str| {
        query(
            0,
            to,
            &format!(
                "<om:client id:objectType=\"SUBSYSTEM\"><id:xRoadInstance>BB</id:xRoadInstance><id:memberClass>GOV</id:memberClass>\
             <id:memberCode>1002</id:memberCode><id:subsystemCode>{code}</id:subsystemCode></om:client></om:searchCriteria>"
            ),
        )
    };
    assert_eq!(payload(&ask(&nodes.provider, OWNER, &provider("fisc")).await).len(), 1);
    assert_eq!(payload(&ask(&nodes.provider, OWNER, &provider("other")).await).len(), 0);
    let metrics = "<m:getSecurityServerMetrics xmlns:m=\"http://x-road.eu/xsd/monitoring\"/>";
    assert_eq!(refusal(&nodes.provider, CLIENT, metrics).await, "server.serverproxy.access_denied");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_are_chosen_and_impossible_queries_are_refused() {
    let nodes = two_nodes(504).await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    assert_eq!(records(&nodes, &nodes.provider, OWNER).await.len(), 1);
    let now = nodes.clock.now().seconds();
    let spec = |fields: &[&str]| {
        let fields: Vec<String> =
            fields.iter().map(|field| format!("<om:outputField>{field}</om:outputField>")).collect();
        let fields = fields.concat();
        query(0, now, &format!("</om:searchCriteria><om:outputSpec>{fields}</om:outputSpec>"))
    };
    let chosen = payload(&ask(&nodes.provider, OWNER, &spec(&["serviceCode", "succeeded"])).await);
    assert_eq!(chosen[0].to_string(), r#"{"serviceCode":"echo","succeeded":true}"#);
    assert!(payload(&ask(&nodes.provider, OWNER, &spec(&[])).await)[0].as_object().unwrap().len() > 20);
    let end = "</om:searchCriteria>";
    for body in [
        spec(&["noSuchField"]),
        query(-1, 5, end),
        query(5, 4, end),
        query(now, now + 5, end),
        "<a/>".to_owned(),
        "<a".to_owned(),
        query(0, 5, end).replace("<om:recordsTo>5</om:recordsTo>", ""),
        query(0, 5, end).replace(">5<", ">five<"),
    ] {
        assert_eq!(refusal(&nodes.provider, OWNER, &body).await, "client.invalid_request", "{body}");
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn young_records_are_withheld_and_a_long_answer_is_cut_between_two_seconds_on_every_engine() {
    for store in store::testing::engines().await {
        let other = store::testing::sqlite().await;
        let nodes = two_nodes_on(505, (other, store), |_, provider| provider.operations.answer_records_max = 3).await;
        let begin = nodes.clock.now().seconds();
        for second in 0..4 {
            for turn in 0..2 {
                let id = format!("s{second}-{turn}");
                assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", &id)], "").await.status, 200);
            }
            nodes.provider.write_operational_data().await.unwrap();
            nodes.clock.advance(Duration::from_secs(1));
        }
        // Now is begin + 4: what was written at begin + 1 or later is younger than 60 s at begin + 61.
        nodes.clock.advance(Duration::from_secs(57));
        let answer = ask(&nodes.provider, OWNER, &query(begin, begin + 99, "</om:searchCriteria>")).await;
        assert_eq!(payload(&answer).len(), 2, "only the first second is old enough");
        assert!(answer.body.contains(&format!("<om:nextRecordsFrom>{}</om:nextRecordsFrom>", begin + 1)));
        nodes.clock.advance(Duration::from_mins(1));
        // Three are asked for; the second second is given whole: four.
        let answer = ask(&nodes.provider, OWNER, &query(begin, begin + 3, "</om:searchCriteria>")).await;
        assert_eq!(payload(&answer).len(), 4);
        assert!(answer.body.contains(&format!("<om:nextRecordsFrom>{}</om:nextRecordsFrom>", begin + 2)));
        let answer = ask(&nodes.provider, OWNER, &query(begin + 2, begin + 3, "</om:searchCriteria>")).await;
        let ids: Vec<String> =
            payload(&answer).iter().map(|record| record["messageId"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), 4);
        assert!(!answer.body.contains("nextRecordsFrom"), "that was all: {}", answer.body);
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_records_go_after_the_retention_and_waiting_ones_are_written_when_the_node_stops() {
    let stores = (store::testing::sqlite().await, store::testing::sqlite().await);
    let kept = stores.1.clone();
    let nodes = two_nodes_on(506, stores, |_, provider| {
        provider.operations.measure_every = Duration::from_millis(20);
        provider.operations.retention = Duration::from_hours(1);
    })
    .await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.provider.write_operational_data().await.unwrap();
    nodes.clock.advance(Duration::from_mins(59));
    assert_eq!(count(&kept).await, 1);
    nodes.clock.advance(Duration::from_mins(2));
    for _ in 0..200 {
        if count(&kept).await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count(&kept).await, 0);
    nodes.consumer.ready().await.unwrap();
    nodes.provider.ready().await.unwrap();
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.provider.stop().await;
    assert_eq!(count(&kept).await, 1);
    nodes.stop().await;
}

async fn count(store: &store::Store) -> i64 {
    let row: Result<Option<store::Row>, store::StoreError> =
        store.read("test.count", |tx| tx.query_one("SELECT COUNT(*) AS n FROM bridge_operation", &[])).await;
    row.unwrap().unwrap().get("n").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics_have_the_shape_of_the_schemas() {
    let nodes = two_nodes(507).await;
    for path in ["/a", "/b", "/status/500"] {
        nodes.get(&format!("{ECHO}{path}")).await;
    }
    nodes.get(&format!("{PROVIDER}/none")).await;
    let body = "<om:getSecurityServerHealthData xmlns:om=\"http://x-road.eu/xsd/op-monitoring.xsd\"/>";
    let health = ask(&nodes.provider, CLIENT, body).await.body;
    for part in [
        "<om:statisticsPeriodSeconds>600</om:statisticsPeriodSeconds>",
        "<id:serviceCode>echo</id:serviceCode></om:service><om:lastSuccessfulRequestTimestamp>",
        "<om:serviceType>REST</om:serviceType><om:lastPeriodStatistics><om:successfulRequestCount>2<",
        "<om:unsuccessfulRequestCount>1<",
        "<om:requestMinDuration>",
        "<om:responseSizeStdDev>",
    ] {
        assert!(health.contains(part), "{part} in {health}");
    }
    assert!(!health.contains(">none<"), "a service that does not exist has no health");
    assert_eq!(nodes.provider.service_health().len(), 1);
    let other = body.replace(
        "/>",
        " xmlns:id=\"http://x-road.eu/xsd/identifiers\"><om:filterCriteria><om:client>\
        <id:xRoadInstance>BB</id:xRoadInstance><id:memberClass>GOV</id:memberClass><id:memberCode>7</id:memberCode>\
        </om:client></om:filterCriteria></om:getSecurityServerHealthData>",
    );
    assert!(!ask(&nodes.provider, CLIENT, &other).await.body.contains("serviceEvents>"));
    let body = "<m:getSecurityServerMetrics xmlns:m=\"http://x-road.eu/xsd/monitoring\"/>";
    let machine = ask(&nodes.provider, OWNER, body).await.body;
    for part in
        ["<m:name>SERVER:BB/GOV/1002/node-1</m:name>", "proxyVersion", "OperatingSystem", "<m:name>sha1Hash</m:name>"]
    {
        assert!(machine.contains(part), "{part} in {machine}");
    }
    assert_eq!(machine.matches("<m:name>certificateType</m:name>").count(), 2);
    let some = "<m:getSecurityServerMetrics xmlns:m=\"http://x-road.eu/xsd/monitoring\"><m:outputSpec>\
                <m:outputField>OperatingSystem</m:outputField></m:outputSpec></m:getSecurityServerMetrics>";
    let some = ask(&nodes.provider, OWNER, some).await.body;
    assert!(some.contains("OperatingSystem") && !some.contains("Certificates"), "{some}");
    validate(&health);
    nodes.provider.write_operational_data().await.unwrap();
    nodes.clock.advance(Duration::from_mins(2));
    let data = query(0, nodes.clock.now().seconds(), "</om:searchCriteria>");
    validate(&data);
    validate(&ask(&nodes.provider, OWNER, &data).await.body);
    nodes.stop().await;
}

/// Lets xmllint judge a text with a schema of X-Road, where both are there. The schema of swaRef (WS-I attachments profile) is no part of
/// the samples: its one type stands here.
#[expect(clippy::print_stderr, reason = "a test that leaves something out says so")]
fn validate(text: &str) {
    let samples = std::env::var_os("XROAD_SAMPLES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/xroad"), PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    for name in ["op-monitoring.xsd", "identifiers.xsd"] {
        if std::fs::copy(samples.join("schemas").join(name), folder.path().join(name)).is_err() {
            eprintln!("LEFT OUT: {name} is not in {}", samples.display());
            return;
        }
    }
    let reference = "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
                     targetNamespace=\"http://ws-i.org/profiles/basic/1.1/xsd\"><xs:simpleType name=\"swaRef\">\
                     <xs:restriction base=\"xs:anyURI\"/></xs:simpleType></xs:schema>";
    std::fs::write(folder.path().join("swaref.xsd"), reference).unwrap();
    let file = folder.path().join("body.xml");
    std::fs::write(&file, text).unwrap();
    let mut xmllint = std::process::Command::new("xmllint");
    xmllint.args(["--noout", "--nonet", "--schema"]).arg(folder.path().join("op-monitoring.xsd")).arg(&file);
    match xmllint.output() {
        Ok(judged) => assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr)),
        Err(_) => eprintln!("LEFT OUT: xmllint is not there"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_figures_stand_on_the_metrics_page_as_they_are_described() {
    let nodes = two_nodes_with(508, |_, provider| provider.operations.measure_every = Duration::from_millis(20)).await;
    nodes.get(ECHO).await;
    nodes.get(&format!("{PROVIDER}/none")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let text = page(&nodes, &nodes.provider).await;
    for line in [
        "baobab_bridge_exchanges_total{role=\"Provider\",outcome=\"Answered\"} 1",
        "baobab_bridge_faults_total{role=\"Provider\",reason=\"unknown_service\"} 1",
        "baobab_bridge_service_exchanges_total{service=\"BB/GOV/1002/fisc/echo\",outcome=\"Answered\"} 1",
        "baobab_bridge_certificate_valid_seconds{use=\"Auth\"} 3",
        "baobab_bridge_certificate_valid_seconds{use=\"Sign\"} 3",
        "baobab_bridge_operational_records_waiting_records 2",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    for metric in metrics::METRICS {
        assert!(text.contains(&format!("# TYPE {} {}", metric.name, metric.kind)), "{}", metric.name);
    }
    nodes.stop().await;
}

async fn page(nodes: &TwoNodes, node: &Node) -> String {
    let url = format!("http://{}/metrics", node.addresses().admin);
    let request = Request::get(url).body(http_body_util::Full::default()).unwrap();
    let answer = nodes.fetch(request).await;
    String::from_utf8(answer.body.to_vec()).unwrap()
}
