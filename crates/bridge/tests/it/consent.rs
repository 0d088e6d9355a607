//! Services that rest on a law or on consent: token, grant, and what the citizen sees afterwards. The consent service is the real one.

use std::net::SocketAddr;
use std::time::Duration;

use bridge::Node;
use bridge::api::Role;
use bridge::config::ConsentTrust;
use bridge::testing::{
    CLIENT, INCOME, PERSON, PROVIDER, Reply, SUBMITTER, TwoNodes, two_nodes, two_nodes_on, two_nodes_with,
};
use bridge::usage::UsagePage;
use civic::{ClientId, Clock as _};
use consent::Grants;
use consent::testing::{TestIssuer, grants, new_grant};
use serde_json::{Value, json};
use store::Store;
use tokio::net::TcpListener;
use trust::cert::{Certificate, CertificateRequest};
use trust::jose::{Jwks, jws_sign};
use trust::keys::PublicKey;

pub(crate) const SUBJECT: &str = "1751198700421";

/// Two nodes and a consent service that both trust.
pub(crate) struct World {
    pub(crate) nodes: TwoNodes,
    issuer: TestIssuer,
    pub(crate) grants: Grants,
}

pub(crate) async fn world(seed: u64) -> World {
    world_on(seed, (store::testing::sqlite().await, store::testing::sqlite().await)).await
}

/// The same, on these stores of the consumer's and the provider's node.
async fn world_on(seed: u64, stores: (Store, Store)) -> World {
    let issuer = TestIssuer::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let trust = ConsentTrust {
        issuer: issuer.issuer.clone(),
        jwks: Jwks::of([issuer.key.public()]).unwrap(),
        base_url: format!("http://{address}"),
    };
    let nodes = two_nodes_on(seed, stores, |_, provider| provider.consent = Some(trust)).await;
    let providers = [(PROVIDER, &nodes.provider_keys.sign)];
    let (store, clock) = (store::testing::sqlite().await, nodes.clock.clone());
    let grants = grants(store, &issuer, &providers, clock, store::testing::random()).await.unwrap();
    tokio::spawn(web::serve(
        listener,
        consent::http::router(grants.clone()),
        tokio_util::sync::CancellationToken::new(),
    ));
    World { nodes, issuer, grants }
}

impl World {
    async fn grant(&self) -> String {
        self.grant_for(INCOME).await
    }

    /// A grant of the citizen for a service.
    pub(crate) async fn grant_for(&self, service: &str) -> String {
        let person = civic::PersonId::draw(&civic::testing::SeededRandom::new(9)).to_string();
        let mut new = new_grant(&person, SUBJECT, self.nodes.clock.now()).unwrap();
        new.service = service.parse().unwrap();
        self.grants.create(new).await.unwrap().id
    }

    /// The claims of a good token for a grant.
    pub(crate) fn claims(&self, grant_id: &str) -> Value {
        let now = self.nodes.clock.now().seconds();
        json!({
            "iss": self.issuer.issuer, "sub": "pairwise", "aud": PROVIDER, "client_id": "bank", "client_member": CLIENT,
            "scope": "openid", "jti": "t-1", "iat": now, "exp": now + 3_600, "auth_time": now, "acr": "substantial",
            "authorization_details": [{
                "type": "bridge-service", "service": INCOME, "fields": ["gross_income", "taxable_income", "employer"],
                "years": [2025], "purpose": {"code": "credit-application", "text": "Étudier votre demande de prêt"},
                "valid_for_days": 30, "uses": 3, "grant_id": grant_id
            }]
        })
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        jws_sign(&self.issuer.key, "at+jwt", claims).unwrap()
    }

    async fn ask(&self, path: &str, token: &str, id: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("X-Road-Id", id), ("Baobab-Grant-Use", "forged")];
        self.nodes.call("GET", &format!("{INCOME}{path}"), &headers, "").await
    }

    pub(crate) async fn uses(&self) -> UsagePage {
        uses(&self.nodes).await
    }
}

pub(crate) async fn uses(nodes: &TwoNodes) -> UsagePage {
    let reply = nodes.get(&format!("{PROVIDER}/data-tracker/v2/findUsage?userCode={SUBJECT}")).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    serde_json::from_slice(&reply.body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consented_request_is_answered_and_the_citizen_sees_it_with_a_proof() {
    let world = world(400).await;
    let grant = world.grant().await;
    let reply = world.ask("/2025", &world.token(&world.claims(&grant)), "c-1").await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    let seen = world.nodes.service.seen();
    let proofs: Vec<_> = seen[0].headers.get_all("baobab-grant-use").iter().collect();
    assert_eq!(proofs.len(), 1, "what the caller forged is gone");
    assert!(proofs[0].to_str().unwrap().split('.').count() == 3);

    let page = world.uses().await;
    assert_eq!(page.total_usages, 1);
    let usage = &page.usages[0];
    assert_eq!(usage.record.receiver_name, "Banque du Fleuve");
    assert_eq!(usage.record.receiver_system, CLIENT);
    assert_eq!(usage.record.service, INCOME);
    assert_eq!(usage.record.purpose.code, "credit-application");
    assert_eq!(usage.record.legal_basis.code, "consent");
    assert_eq!(usage.record.fields, ["gross_income", "taxable_income", "employer"]);
    assert_eq!(usage.record.grant_id.as_deref(), Some(grant.as_str()));
    assert_eq!(usage.record.message_id, "c-1");
    assert_eq!(usage.record.outcome, "answered");
    let given = trust::digest::sha256(&reply.body).map(|byte| format!("{byte:02x}")).concat();
    assert_eq!(usage.record.document_sha256, Some(given), "the document that was given is committed to with the use");
    assert!(usage.proof.is_none(), "the ledger has not been told yet");

    assert!(world.nodes.provider.commit_now().await.unwrap() >= 3);
    let page = world.uses().await;
    let proof = page.usages[0].proof.as_ref().unwrap();
    assert!(page.usages[0].record.fits(proof));
    assert!(proof.tlog_proof.starts_with("c2sp.org/tlog-proof@v1"));
    world.nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_good_token_nothing_is_disclosed() {
    let world = world(401).await;
    let grant = world.grant().await;
    let good = world.claims(&grant);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        world.token(&claims)
    };
    let details = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims["authorization_details"][0][name] = value;
        world.token(&claims)
    };
    let now = world.nodes.clock.now().seconds();
    let other_issuer = jws_sign(&TestIssuer::new().unwrap().key, "at+jwt", &good).unwrap();
    let id_token = jws_sign(&world.issuer.key, "JWT", &good).unwrap();
    let altered = world.token(&good).replacen('.', ".x", 1);
    for (number, (path, token, code)) in [
        ("/2025", String::new(), "token_missing"),
        ("/2025", "not.a.token".to_owned(), "token_invalid"),
        ("/2025", altered, "token_invalid"),
        ("/2025", other_issuer, "token_invalid"),
        ("/2025", id_token, "token_invalid"),
        ("/2025", with("iss", json!("http://elsewhere.invalid")), "token_invalid"),
        ("/2025", with("aud", json!("BB/GOV/1001/etat-civil")), "token_invalid"),
        ("/2025", with("exp", json!(now)), "token_expired"),
        ("/2025", with("client_member", json!("BB/COM/2002/credit")), "token_wrong_client"),
        ("/2025", details("service", json!(PERSON)), "consent_out_of_scope"),
        ("/2024", world.token(&good), "consent_out_of_scope"),
        ("", world.token(&good), "consent_out_of_scope"),
        ("/%32025", details("grant_id", json!("no-such-grant")), "consent_unknown"),
        ("//2025", world.token(&good), "consent_out_of_scope"),
        ("/2025", details("grant_id", json!("no-such-grant")), "consent_unknown"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("bad-{number}");
        let reply = world.ask(path, &token, &id).await;
        assert_eq!(reply.error_type(), format!("server.serverproxy.{code}"), "{number}: {:?}", reply.body);
        for node in [&world.nodes.consumer, &world.nodes.provider] {
            assert_eq!(
                node.message_log().find(&id).await.unwrap()[0].outcome,
                reply.error_type(),
                "the refusal is logged"
            );
        }
    }
    let reply = world.nodes.get(&format!("{INCOME}/2025")).await;
    assert_eq!(reply.error_type(), "server.serverproxy.token_missing");
    assert!(world.nodes.service.seen().is_empty());
    assert_eq!(world.uses().await.total_usages, 0);
    world.nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_citizen_revokes_the_next_call_gets_nothing() {
    let world = world(402).await;
    let grant = world.grant().await;
    let token = world.token(&world.claims(&grant));
    assert_eq!(world.ask("/2025", &token, "v-1").await.status, 200);
    world.grants.revoke(&grant, &SUBJECT.parse().unwrap()).await.unwrap();
    let reply = world.ask("/2025", &token, "v-2").await;
    assert_eq!(reply.error_type(), "server.serverproxy.consent_revoked");
    assert_eq!(reply.status, 500);
    assert_eq!(world.nodes.service.seen().len(), 1);
    for node in [&world.nodes.consumer, &world.nodes.provider] {
        let records = node.message_log().find("v-2").await.unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].outcome, "server.serverproxy.consent_revoked");
    }
    world.nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_ends_with_its_uses_and_with_its_time_and_one_message_is_one_use() {
    let world = world(403).await;
    let grant = world.grant().await;
    let token = world.token(&world.claims(&grant));
    assert_eq!(world.ask("/2025", &token, "u-1").await.status, 200);
    assert_eq!(world.ask("/2025", &token, "u-1").await.error_type(), "server.serverproxy.duplicate_message");
    assert_eq!(world.ask("/2025", &token, "u-2").await.status, 200);
    assert_eq!(world.ask("/2025", &token, "u-3").await.status, 200);
    assert_eq!(world.ask("/2025", &token, "u-4").await.error_type(), "server.serverproxy.consent_exhausted");
    let second = world.grant().await;
    world.nodes.federation.set_validity(Duration::from_hours(1440));
    world.nodes.clock.advance(Duration::from_hours(744));
    world.nodes.consumer.ready().await.unwrap();
    world.nodes.provider.ready().await.unwrap();
    let late = world.token(&world.claims(&second));
    assert_eq!(world.ask("/2025", &late, "u-5").await.error_type(), "server.serverproxy.consent_expired");
    assert_eq!(world.nodes.service.seen().len(), 3);
    world.nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_consent_service_is_away_nothing_is_disclosed() {
    let issuer = TestIssuer::new().unwrap();
    let jwks = Jwks::of([issuer.key.public()]).unwrap();
    let trust = ConsentTrust { issuer: issuer.issuer.clone(), jwks, base_url: "http://127.0.0.1:9".to_owned() };
    let world = world(404).await;
    let nodes = two_nodes_with(405, |_, provider| provider.consent = Some(trust)).await;
    let lost = World { nodes, issuer, grants: world.grants.clone() };
    let reply = lost.ask("/2025", &lost.token(&lost.claims("g")), "a-1").await;
    assert_eq!(reply.error_type(), "server.serverproxy.consent_unavailable");
    assert!(lost.nodes.service.seen().is_empty());
    lost.nodes.stop().await;
    world.nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_on_a_legal_basis_is_shown_too_and_pages_are_newest_first() {
    let nodes = two_nodes(406).await;
    for number in 0..5 {
        let id = format!("l-{number}");
        let reply = nodes.call("GET", &format!("{PERSON}/{SUBJECT}"), &[("X-Road-Id", &id)], "").await;
        assert_eq!(reply.status, 200);
        nodes.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(nodes.get(&format!("{PERSON}/2751198700421")).await.status, 200);
    let page = uses(&nodes).await;
    assert_eq!(page.total_usages, 5, "only those of this person");
    let ids: Vec<&str> = page.usages.iter().map(|usage| usage.record.message_id.as_str()).collect();
    assert_eq!(ids, ["l-4", "l-3", "l-2", "l-1", "l-0"]);
    assert_eq!(page.usages[0].record.legal_basis.reference, "Loi 2008-12, art. 33");
    let tracker = format!("{PROVIDER}/data-tracker/v2");
    let part = nodes.get(&format!("{tracker}/findUsage?userCode={SUBJECT}&offset=1&limit=2")).await.json();
    assert_eq!(part["totalUsages"], 5);
    assert_eq!(part["usages"][0]["messageId"], "l-3");
    assert_eq!(part["usages"].as_array().unwrap().len(), 2);
    let since =
        nodes.get(&format!("{tracker}/findUsage?userCode={SUBJECT}&periodStart=2026-11-21T22:40:03Z")).await.json();
    assert_eq!(since["totalUsages"], 2);
    assert!(nodes.get(&format!("{tracker}/usagePeriod")).await.json()["periodStart"].is_string());
    assert_eq!(nodes.get(&format!("{tracker}/heartbeat")).await.json()["status"], "OK");
    for (path, status) in [("findUsage", 400), ("findUsage?userCode=1", 400), ("other", 404)] {
        assert_eq!(nodes.get(&format!("{tracker}/{path}")).await.status.as_u16(), status);
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hides_whom_they_ask_about_by_an_odd_spelling_of_the_path() {
    let nodes = two_nodes(407).await;
    for path in ["/1751198700421;x", "//1751198700421", "/1751198700421%2F", "/abc", "", "/?a=1"] {
        let reply = nodes.get(&format!("{PERSON}{path}")).await;
        assert_eq!(reply.error_type(), "server.serverproxy.bad_request", "{path}");
    }
    assert!(nodes.service.seen().is_empty());
    assert_eq!(nodes.get(&format!("{PERSON}/%31751198700421")).await.status, 200, "one reading, one person");
    assert_eq!(uses(&nodes).await.total_usages, 1);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_takes_another_signing_key_while_it_runs_uses_it_for_all_that_it_signs() {
    let (consumers, providers) = (store::testing::engines().await, store::testing::engines().await);
    for (number, (consumer, provider)) in consumers.into_iter().zip(providers).enumerate() {
        let world = world_on(430 + number as u64, (consumer, provider.clone())).await;
        let nodes = &world.nodes;
        let grant = world.grant().await;
        let token = world.token(&world.claims(&grant));
        assert_eq!(world.ask("/2025", &token, "before").await.status, 200);
        assert!(nodes.provider.commit_now().await.unwrap() >= 3);

        let key = activate_another_signing_key(nodes).await;
        // Consent service and ledger do not know the key yet: nothing is disclosed, and what is to be committed waits.
        assert_eq!(world.ask("/2025", &token, "early").await.error_type(), "server.serverproxy.consent_unavailable");
        nodes.provider.commit_now().await.unwrap_err();
        nodes.ledger.allow_only(SUBMITTER, &key);
        world.grants.know(vec![(PROVIDER.parse().unwrap(), Jwks::of([&key]).unwrap())]);

        assert_eq!(world.ask("/2025", &token, "after").await.status, 200);
        assert!(nodes.provider.commit_now().await.unwrap() >= 3);
        assert!(nodes.provider.commit_acts_now().await.unwrap() >= 3, "key, certificate and activation");
        let certificates = certificates_told(&nodes.provider).await;
        assert!(certificates.contains(&fingerprint(&nodes.provider_keys.auth_certificate)));
        assert!(!certificates.contains(&fingerprint(&nodes.provider_keys.sign_certificate)), "the old one rests");

        // A start with the key that was activated uses it from the first moment.
        let size = async || nodes.ledger.client(SUBMITTER).checkpoint().await.unwrap().size;
        let before = size().await;
        assert_eq!(world.ask("/2025", &token, "last").await.status, 200);
        nodes.provider.stop().await;
        nodes.clock.advance(Duration::from_secs(1));
        let again = nodes.replica_of_provider(provider).await;
        // Its job may have been faster: what counts is that all of it is in the ledger.
        again.commit_now().await.unwrap();
        assert!(size().await >= before + 3, "the exchange before the start: both messages and the use");
        assert_eq!(certificates_told(&again).await, certificates);
        again.stop().await;
    }
}

/// Makes a key at the provider's node, has it certified for its owner and activates it; the public key.
async fn activate_another_signing_key(nodes: &TwoNodes) -> PublicKey {
    let roles = [Role::XroadSecurityOfficer, Role::XroadSystemAdministrator];
    let api_key = nodes.api_key(&nodes.provider, &roles).await;
    let call = async |method, target: &str, body: Vec<u8>, status: u16| {
        let reply = nodes.api(&nodes.provider, method, target, Some(&api_key), body).await;
        assert_eq!(reply.status.as_u16(), status, "{target}: {:?}", reply.body);
        reply
    };
    let wanted = json!({
        "key_label": "second",
        "csr_generate_request": {
            "key_usage_type": "SIGNING", "csr_format": "DER", "ca_name": "Test CA", "member_id": "BB:GOV:1002",
            "subject_field_values": { "C": "SN", "O": "Impôts" },
        },
    });
    let made = call("POST", "/tokens/0/keys-with-csrs", wanted.to_string().into(), 201).await.json();
    let (key, csr) = (made["key"]["id"].as_str().unwrap(), made["csr_id"].as_str().unwrap());
    let file = call("GET", &format!("/keys/{key}/csrs/{csr}?csr_format=DER"), Vec::new(), 200).await;
    let request = CertificateRequest::from_der(&file.body).unwrap();
    let both = bridge::NodeRequests { sign: request.clone(), auth: request.clone() };
    let (certificate, _) = nodes.federation.certify(&both);
    let imported = call("POST", "/token-certificates", certificate.der().to_vec(), 201).await.json();
    let hash = imported["certificate_details"]["hash"].as_str().unwrap();
    call("PUT", &format!("/token-certificates/{hash}/activate"), Vec::new(), 204).await;
    request.public_key().clone()
}

/// The fingerprints of the certificates that operational monitoring tells of a node.
async fn certificates_told(node: &Node) -> Vec<String> {
    let body = "<m:getSecurityServerMetrics xmlns:m=\"http://x-road.eu/xsd/monitoring\"/>";
    let owner = ClientId::of_member("BB/GOV/1002/node-1".parse::<civic::ServerId>().unwrap().owner().clone());
    let answer = node.monitoring(&owner, body).await.unwrap().body;
    answer.split("<m:name>sha1Hash</m:name><m:value>").skip(1).map(|rest| rest[..59].to_owned()).collect()
}

/// SHA-1 of a certificate as X-Road's monitoring writes it.
fn fingerprint(certificate: &Certificate) -> String {
    certificate.sha1().map(|byte| format!("{byte:02X}")).join(":")
}
