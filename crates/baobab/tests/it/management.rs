//! Nodes that ask the authority by themselves: over their management API, as processes of their own, with an operator who decides.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Value as Json, json};
use web::{ClientLimits, HttpClient, Reply};

use crate::federation::{BANK, ECHO, Federation, Process, header, offer, run};

/// A federation whose agency offers the management services, with the bank's and the tax office's nodes in traffic.
pub(crate) struct House {
    pub(crate) federation: Federation,
    http: HttpClient,
    pub(crate) key: String,
    processes: Vec<Process>,
    /// The address of the service behind the tax office's node.
    service: String,
    _service: tokio_util::sync::DropGuard,
}

const ROLES: [&str; 4] = [
    "XROAD_SECURITY_OFFICER",
    "XROAD_REGISTRATION_OFFICER",
    "XROAD_SERVICE_ADMINISTRATOR",
    "XROAD_SYSTEM_ADMINISTRATOR",
];

impl House {
    pub(crate) async fn start() -> Self {
        Self::start_in(Federation::found()).await
    }

    pub(crate) async fn start_in(federation: Federation) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = tokio_util::sync::CancellationToken::new();
        let service = axum::Router::new().fallback(|| async { "a good answer" });
        tokio::spawn(web::serve(listener, service, stop.clone()));

        let management = format!(
            "[management]\nclient = \"BB/GOV/1000/management\"\nurl = \"http://{}/managementservice\"\n",
            federation.at(2, 8606)
        );
        federation.join("agency", 5, "BB/GOV/1000/node-1", "management", &management).await;
        federation.join("bank", 3, "BB/COM/2001/node-1", "credit", "").await;
        let right = |client: &str| format!("[[right]]\nclient = \"{client}\"\nservice = \"{ECHO}\"\n");
        let rights = offer(&url) + &right("BB/COM/2001/cards") + &right("BB/COM/2002/loans");
        federation.join("tax", 4, "BB/GOV/1002/node-1", "fisc", &rights).await;
        let mut processes = Vec::new();
        for (name, host) in [("agency", 5), ("bank", 3), ("tax", 4)] {
            processes.push(federation.run_node(name, host).await);
        }
        let roles: Vec<&str> = ROLES.iter().flat_map(|role| ["--role", role]).collect();
        let (well, key) = run(&federation.home("bank"), &[&["node", "api-key"], roles.as_slice()].concat());
        assert!(well, "{key}");
        let key = key.lines().last().unwrap().trim().to_owned();
        let http = HttpClient::new(ClientLimits { timeout: Duration::from_mins(1), ..ClientLimits::default() }, None);
        Self { federation, http, key, processes, service: url, _service: stop.drop_guard() }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, kind: &'static str, body: Bytes) -> Reply {
        let url = format!("http://{}/api/v1{path}", self.federation.at(3, 8090));
        let key = HeaderValue::from_str(&format!("X-Road-ApiKey token={}", self.key)).unwrap();
        let headers = [(AUTHORIZATION, key), (CONTENT_TYPE, HeaderValue::from_static(kind))];
        self.http.send(method, &url, &headers, body).await.unwrap()
    }

    /// A call of the bank's management API that must end in this status.
    async fn api(&self, method: Method, path: &str, body: Json, status: u16) -> Json {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let reply = self.send(method.clone(), path, "application/json", body).await;
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status.as_u16(), status, "{method} {path}: {said}");
        serde_json::from_str(&said).unwrap_or_default()
    }

    async fn put(&self, path: &str, body: Json, status: u16) -> Json {
        self.api(Method::PUT, path, body, status).await
    }

    pub(crate) async fn get(&self, path: &str) -> Json {
        self.api(Method::GET, path, Json::Null, 200).await
    }

    /// A key for signing that is made here, with the authority's certificate for this member.
    async fn import_signing_certificate(&self, member: &str) {
        let wanted = json!({
            "key_label": member,
            "csr_generate_request": {
                "key_usage_type": "SIGNING", "csr_format": "PEM", "ca_name": "x", "member_id": member, "subject_field_values": { "C": "BB" },
            },
        });
        let made = self.api(Method::POST, "/tokens/0/keys-with-csrs", wanted, 201).await;
        let (key, csr) = (made["key"]["id"].as_str().unwrap(), made["csr_id"].as_str().unwrap());
        let path = format!("/keys/{key}/csrs/{csr}?csr_format=PEM");
        let request = self.send(Method::GET, &path, "application/json", Bytes::new()).await;
        std::fs::write(self.federation.home("authority").join("member.pem"), &request.body).unwrap();
        let (named, node) = (member.replace(':', "/"), "BB/COM/2001/node-1");
        let answer = self.authority(&["sign", "--profile", "sign", "--server", node, "--member", &named, "member.pem"]);
        let reply = self.send(Method::POST, "/token-certificates", "application/octet-stream", answer.into()).await;
        let imported: Json = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status.as_u16(), &imported["active"]), (201, &json!(true)), "{imported}");
        assert_eq!(imported["owner_id"], member);
    }

    /// A service of a client, over the API, which the bank may use.
    async fn offer_rates(&self, client: &str) {
        let described =
            json!({ "url": self.service, "rest_service_code": "rates", "type": "REST", "ignore_warnings": false });
        let made = self.api(Method::POST, &format!("{client}/service-descriptions"), described, 201).await;
        let description = made["id"].as_str().unwrap();
        self.put(&format!("/service-descriptions/{description}/enable"), Json::Null, 204).await;
        let items = json!({ "items": [{ "id": BANK.replace('/', ":"), "service_client_type": "SUBSYSTEM" }] });
        self.api(Method::POST, "/services/BB:COM:2002:loans:rates/service-clients", items, 201).await;
    }

    /// Waits until a field of an answer has a value.
    pub(crate) async fn until(&self, path: &str, field: &str, wanted: &str) {
        let started = Instant::now();
        loop {
            let found = self.get(path).await;
            if found[field] == wanted {
                return;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "{path} has {field} {}, not {wanted}", found[field]);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The authority's command line, which must do well.
    pub(crate) fn authority(&self, arguments: &[&str]) -> String {
        let (well, said) = run(&self.federation.home("authority"), &[&["authority"], arguments].concat());
        assert!(well, "{said}");
        said
    }

    /// The number of the request of this kind that waits.
    pub(crate) fn waiting(&self, kind: &str) -> String {
        let said = self.authority(&["list"]);
        let line = said.lines().find(|line| line.contains(&format!("  {kind}  "))).unwrap_or_else(|| panic!("{said}"));
        line.split_whitespace().next().unwrap().to_owned()
    }

    /// A call through the bank's node as one of its subsystems: its status.
    async fn call_as(&self, client: &str, id: &str) -> u16 {
        let headers = [header("x-road-client", client), header("x-road-id", id)];
        let url = format!("http://{}/r1/{ECHO}", self.federation.at(3, 8080));
        self.http.get(&url, &headers).await.unwrap().status.as_u16()
    }

    pub(crate) async fn call_until_well(&self, client: &str) {
        let started = Instant::now();
        for turn in 0_u32.. {
            if self.call_as(client, &format!("{client}-{turn}-{started:?}")).await == 200 {
                return;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "{client} does not get through");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn stop(self) {
        for process in self.processes {
            assert_eq!(process.terminate().0.code(), Some(0));
        }
    }
}

const CARDS: &str = "/clients/BB:COM:2001:cards";

#[tokio::test(flavor = "multi_thread")]
async fn a_subsystem_is_asked_for_refused_asked_for_again_approved_used_and_given_back() {
    let house = House::start().await;
    house.call_until_well(BANK).await;
    let client = json!({ "client": { "member_class": "COM", "member_code": "2001", "subsystem_code": "cards", "connection_type": "HTTP" } });
    assert_eq!(house.api(Method::POST, "/clients", client, 201).await["status"], "SAVED");
    house.put(&format!("{CARDS}/rename"), json!({ "client_name": "Cartes" }), 204).await;
    assert_ne!(house.call_as("BB/COM/2001/cards", "early").await, 200);

    house.put(&format!("{CARDS}/register"), Json::Null, 204).await;
    assert_eq!(house.get(CARDS).await["status"], "REGISTRATION_IN_PROGRESS");
    let again = house.put(&format!("{CARDS}/register"), Json::Null, 409).await;
    assert_eq!(again["error"]["code"], "management_request_exists", "{again}");
    house.api(Method::DELETE, CARDS, Json::Null, 409).await;
    let number = house.waiting("clientReg");
    house.authority(&["refuse", &number, "--reason", "no such department"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_ne!(house.call_as("BB/COM/2001/cards", "refused").await, 200);

    house.put(&format!("{CARDS}/register"), Json::Null, 204).await;
    house.authority(&["approve", &house.waiting("clientReg")]);
    house.until(CARDS, "status", "REGISTERED").await;
    house.call_until_well("BB/COM/2001/cards").await;

    house.put(&format!("{CARDS}/rename"), json!({ "client_name": "Cartes bancaires" }), 204).await;
    house.put(&format!("{CARDS}/disable"), Json::Null, 204).await;
    assert_ne!(house.call_as("BB/COM/2001/cards", "stopped").await, 200, "it stops at once");
    house.until(CARDS, "status", "DISABLED").await;
    house.put(&format!("{CARDS}/enable"), Json::Null, 204).await;
    house.until(CARDS, "status", "REGISTERED").await;
    house.call_until_well("BB/COM/2001/cards").await;

    house.put(&format!("{CARDS}/unregister"), Json::Null, 204).await;
    assert_eq!(house.get(CARDS).await["status"], "DELETION_IN_PROGRESS");
    assert_ne!(house.call_as("BB/COM/2001/cards", "gone").await, 200);
    let started = Instant::now();
    while house.send(Method::DELETE, CARDS, "application/json", Bytes::new()).await.status != 204 {
        assert!(started.elapsed() < Duration::from_mins(1), "the configuration still names it");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    house.call_until_well(BANK).await;
    let audit = house.get("/audit?limit=1000").await.to_string();
    for action in ["ask_clientReg", "ask_clientRename", "ask_clientDisable", "ask_clientEnable", "ask_clientDeletion"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
    assert!(audit.contains(r#""stage":"begun""#) && audit.contains(r#""request":"#), "{audit}");
    assert!(audit.contains("has not decided yet"), "what failed is written down too: {audit}");
    house.stop();
}

/// A self-signed certificate with its key, `NAME.pem` and `NAME.key`.
fn certificate_for(home: &Path, name: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
        .args(["-subj", &format!("/CN={name}"), "-out", &format!("{name}.pem"), "-keyout", &format!("{name}.key")])
        .current_dir(home)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What takes TLS off in front of the authority, with this certificate.
async fn front(federation: &Federation, name: &str) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls_front.py");
    let (here, behind) = (federation.at(2, 4001), federation.at(2, 8604));
    let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
    let arguments = [script.to_str().unwrap(), &here, &certificate, &key, &behind];
    let process = Process::of("python3", &federation.home("authority"), &arguments);
    while tokio::net::TcpStream::connect(&here).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_authentication_certificate_is_registered_activated_and_the_old_one_given_back_without_a_restart() {
    let federation = Federation::found_with(|home, net| {
        certificate_for(home, "front");
        certificate_for(home, "stranger");
        format!("auth_cert_reg_url = \"https://{net}.2:4001/authcertreg\"\nauth_cert_reg_certificate = \"front.pem\"\n")
    });
    let stranger = front(&federation, "stranger").await;
    let house = House::start_in(federation).await;
    house.call_until_well(BANK).await;
    let wanted = json!({
        "key_label": "next",
        "csr_generate_request": {
            "key_usage_type": "AUTHENTICATION", "csr_format": "PEM", "ca_name": "x",
            "subject_field_values": { "C": "BB", "O": "Banque" },
        },
    });
    let made = house.api(Method::POST, "/tokens/0/keys-with-csrs", wanted, 201).await;
    let (key, csr) = (made["key"]["id"].as_str().unwrap(), made["csr_id"].as_str().unwrap());
    let path = format!("/keys/{key}/csrs/{csr}?csr_format=PEM");
    let request = house.send(Method::GET, &path, "application/json", Bytes::new()).await;
    std::fs::write(house.federation.home("authority").join("next.pem"), &request.body).unwrap();
    let answer = house.authority(&["sign", "--profile", "auth", "--server", "BB/COM/2001/node-1", "next.pem"]);
    let reply = house.send(Method::POST, "/token-certificates", "application/octet-stream", answer.into()).await;
    let imported: Json = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status.as_u16(), &imported["status"]), (201, &json!("SAVED")), "{imported}");
    let next = format!("/token-certificates/{}", imported["certificate_details"]["hash"].as_str().unwrap());

    let early = house.put(&format!("{next}/activate"), Json::Null, 409).await;
    assert!(early.to_string().contains("register it first"), "{early}");
    let wrong = house.put(&format!("{next}/register"), json!({ "address": "not an address" }), 400).await;
    assert!(wrong.to_string().contains("HOST:PORT"), "{wrong}");
    // Whoever stands between shows another certificate than the signed configuration names: nothing is told to him.
    let tapped = house.put(&format!("{next}/register"), Json::Null, 503).await;
    assert!(tapped.to_string().contains("could not be reached"), "{tapped}");
    assert_eq!(house.get(&next).await["status"], "SAVED");
    drop(stranger);
    let _front = front(&house.federation, "front").await;
    house.put(&format!("{next}/register"), Json::Null, 204).await;
    house.until(&next, "status", "REGISTRATION_IN_PROGRESS").await;
    house.put(&format!("{next}/register"), Json::Null, 409).await;
    house.authority(&["approve", &house.waiting("authCertReg")]);
    house.until(&next, "status", "REGISTERED").await;
    // The peers learn it within the second of their rhythm.
    tokio::time::sleep(Duration::from_secs(3)).await;
    house.put(&format!("{next}/activate"), Json::Null, 204).await;
    house.call_until_well(BANK).await;

    let keys = house.get("/tokens/0").await;
    let old = keys["keys"].as_array().unwrap().iter().find(|key| key["label"] == "authentication").unwrap();
    let certificate = &old["certificates"][0];
    assert_eq!(certificate["active"], false);
    let old = format!("/token-certificates/{}", certificate["certificate_details"]["hash"].as_str().unwrap());
    house.put(&format!("{next}/unregister"), Json::Null, 409).await;
    house.put(&format!("{old}/unregister"), Json::Null, 204).await;
    house.until(&old, "status", "SAVED").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    house.call_until_well(BANK).await;
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_signs_for_the_member_of_a_client_and_goes_over_to_it() {
    let mut house = House::start().await;
    house.call_until_well(BANK).await;
    house.authority(&["add-member", "BB/COM/2002", "Microfinance du Lac"]);
    // The node learns it within the second of its rhythm.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let loans =
        json!({ "member_class": "COM", "member_code": "2002", "subsystem_code": "loans", "connection_type": "HTTP" });
    house.api(Method::POST, "/clients", json!({ "client": loans }), 201).await;
    let path = "/clients/BB:COM:2002:loans";
    let unsigned = house.put(&format!("{path}/register"), Json::Null, 409).await;
    assert_eq!(unsigned["error"]["code"], "certificate_not_found", "{unsigned}");
    house.import_signing_certificate("BB:COM:2002").await;
    assert_eq!(house.get(path).await["has_valid_local_sign_cert"], true);
    house.put(&format!("{path}/register"), Json::Null, 204).await;
    house.authority(&["approve", &house.waiting("clientReg")]);
    house.until(path, "status", "REGISTERED").await;
    house.call_until_well("BB/COM/2002/loans").await;
    house.offer_rates(path).await;
    let rates = "BB/COM/2002/loans/rates";
    house.federation.call_until_well(&house.federation.at(3, 8080), rates).await;

    let member = json!({ "member_class": "COM", "member_code": "2002", "connection_type": "HTTP" });
    house.api(Method::POST, "/clients", json!({ "client": member }), 201).await;
    house.put("/clients/BB:COM:2002/register", Json::Null, 204).await;
    house.authority(&["approve", &house.waiting("clientReg")]);
    house.until("/clients/BB:COM:2002", "status", "REGISTERED").await;
    house.put("/clients/BB:COM:2002/make-owner", Json::Null, 204).await;
    house.authority(&["approve", &house.waiting("ownerChange")]);

    // The operator writes the new id into the file; the key that signed until now signs for the member who was the owner.
    assert_eq!(house.processes.remove(1).terminate().0.code(), Some(0));
    let file = house.federation.home("bank").join("node.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("BB/COM/2001/node-1", "BB/COM/2002/node-1", 1)).unwrap();
    house.processes.push(house.federation.run_node("bank", 3).await);
    house.call_until_well("BB/COM/2002/loans").await;
    house.call_until_well(BANK).await;
    house.federation.call_until_well(&house.federation.at(3, 8080), rates).await;
    let owner = house.get("/clients/BB:COM:2002").await;
    assert_eq!((&owner["owner"], &owner["has_valid_local_sign_cert"]), (&json!(true), &json!(true)), "{owner}");
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn address_and_maintenance_are_asked_for_and_seen_once_the_configuration_says_so() {
    let house = House::start().await;
    house.call_until_well(BANK).await;
    let (before, after) = (house.federation.at(3, 5500), format!("localhost:{}", 5500));
    assert_eq!(house.get("/system/server-address").await, json!({ "current_address": { "address": before } }));
    house.put("/system/server-address", json!({ "address": before }), 409).await;
    house.put("/system/server-address", json!({ "address": "http://x/" }), 400).await;
    house.put("/system/server-address", json!({ "address": after }), 202).await;
    let started = Instant::now();
    while house.get("/system/server-address").await != json!({ "current_address": { "address": after } }) {
        assert!(started.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    house.put("/system/maintenance-mode/enable", json!({ "message": "until noon" }), 204).await;
    house.until("/system/maintenance-mode", "status", "ENABLED_MAINTENANCE_MODE").await;
    assert_eq!(house.get("/system/maintenance-mode").await["message"], "until noon");
    house.put("/system/maintenance-mode/disable", Json::Null, 204).await;
    house.until("/system/maintenance-mode", "status", "DISABLED_MAINTENANCE_MODE").await;

    // Without the agency's node the authority is not reached, and nothing changes.
    let mut house = house;
    assert_eq!(house.processes.remove(0).terminate().0.code(), Some(0));
    let unreachable = house.put("/system/maintenance-mode/enable", Json::Null, 503).await;
    assert!(unreachable.to_string().contains("could not be reached"), "{unreachable}");
    assert_eq!(house.get("/system/maintenance-mode").await["status"], "DISABLED_MAINTENANCE_MODE");
    house.stop();
}
