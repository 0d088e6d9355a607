//! SOAP services that rest on consent or on a law: the token stands in the header securityToken (PR-SECTOKEN), the year and the person in
//! the body.

use bridge::config::{ServiceBasis, SubjectRule};
use bridge::registry::{Author, Change, ServicePatch};
use bridge::testing::{PROVIDER, Reply, SoapService, TwoNodes, two_nodes};
use serde_json::json;

use crate::consent::{SUBJECT, World, uses, world};
use crate::soap_exchange::{XML, assert_fault, request, text};

const STATE: &str = "BB/GOV/1002/fisc/getState";

/// Sets basis and subject of `getState`, as an operator does.
async fn rest_on(nodes: &TwoNodes, basis: ServiceBasis, subject: Option<SubjectRule>) {
    let id = STATE.parse().unwrap();
    let number = nodes.provider.registry().current().service(&id, Some("v1")).unwrap().number;
    let fields = Some(vec!["state".to_owned()]);
    let patch = ServicePatch { basis: Some(basis), subject, fields, ..ServicePatch::default() };
    nodes.provider.registry().apply(&Author::CommandLine, set(number, patch)).await.unwrap();
}

pub(crate) fn set(number: i64, patch: ServicePatch) -> Change {
    Change::SetService { number, patch, url_all: false, timeout_all: false, tls_verify_all: false }
}

async fn ask(nodes: &TwoNodes, id: &str, token: Option<&str>, inside: &str) -> Reply {
    let header = token.map_or_else(String::new, |token| {
        format!(
            "<t:securityToken xmlns:t=\"http://x-road.eu/xsd/security-token.xsd\" tokenType=\"urn:ietf:params:oauth:token-type:jwt\">\
             {token}</t:securityToken>"
        )
    });
    nodes.send("POST", "/", &[XML], request("getState", "v1", id, &header, inside)).await
}

/// A world in which `getState` rests on consent, and the citizen allowed the year 2025 three times.
async fn consented(seed: u64) -> (World, SoapService, String, String) {
    let world = world(seed).await;
    let service = SoapService::start().await;
    service.offer(&world.nodes).await;
    rest_on(&world.nodes, ServiceBasis::Consent, None).await;
    let grant = world.grant_for(STATE).await;
    let mut claims = world.claims(&grant);
    claims["authorization_details"][0]["service"] = json!(STATE);
    let token = world.token(&claims);
    (world, service, grant, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soap_service_that_needs_consent_answers_with_a_grant_and_the_citizen_sees_it() {
    let (world, service, grant, token) = consented(960).await;
    let reply = ask(&world.nodes, "sc-1", Some(&token), "<p:year>2025</p:year>").await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
    assert!(text(&reply).contains("fine é"));
    let proof = service.seen()[0].headers.get("baobab-grant-use").unwrap().to_str().unwrap().to_owned();
    assert_eq!(proof.split('.').count(), 3, "the information system gets the word of the consent service");

    let page = world.uses().await;
    assert_eq!(page.total_usages, 1);
    let record = &page.usages[0].record;
    assert_eq!((record.service.as_str(), record.message_id.as_str()), (STATE, "sc-1"));
    assert_eq!((record.legal_basis.code.as_str(), record.grant_id.as_deref()), ("consent", Some(grant.as_str())));
    assert_eq!(record.outcome, "answered");

    // One message is one use, and the citizen's word ends it.
    assert_fault(
        &ask(&world.nodes, "sc-1", Some(&token), "<p:year>2025</p:year>").await,
        "server.serverproxy.duplicate_message",
    );
    world.grants.revoke(&grant, &SUBJECT.parse().unwrap()).await.unwrap();
    let reply = ask(&world.nodes, "sc-2", Some(&token), "<p:year>2025</p:year>").await;
    assert_fault(&reply, "server.serverproxy.consent_revoked");
    assert_eq!(service.seen().len(), 1);
    let record = &world.nodes.provider.message_log().find("sc-2").await.unwrap()[0];
    assert_eq!(record.outcome, "server.serverproxy.consent_revoked", "the refusal is logged");
    // What may change something is logged before it is sent; how it ended is noted when it is known.
    let record = &world.nodes.consumer.message_log().find("sc-2").await.unwrap()[0];
    assert_eq!(record.outcome, "server.serverproxy.consent_revoked");
    world.nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grant_for_what_the_body_plainly_asks_a_soap_service_gives_nothing() {
    let (world, service, _, token) = consented(961).await;
    for (number, (token, inside, code)) in [
        (None, "<p:year>2025</p:year>", "token_missing"),
        (Some("not.a.token"), "<p:year>2025</p:year>", "token_invalid"),
        (Some(token.as_str()), "<p:year>2024</p:year>", "consent_out_of_scope"),
        (Some(&token), "", "consent_out_of_scope"),
        (Some(&token), "<p:year>2025</p:year><p:year>2024</p:year>", "consent_out_of_scope"),
        (Some(&token), "<p:year>2025</p:year><p:more><year>2024</year></p:more>", "consent_out_of_scope"),
        (Some(&token), "<p:more><p:year>2025</p:year></p:more>", "consent_out_of_scope"),
        (Some(&token), "<p:year>20<!-- -->25</p:year>", "consent_out_of_scope"),
        (Some(&token), "<p:year>2025<p:x>2024</p:x></p:year>", "consent_out_of_scope"),
        (Some(&token), "<p:year>../2025</p:year>", "consent_out_of_scope"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("no-{number}");
        let reply = ask(&world.nodes, &id, token, inside).await;
        assert_fault(&reply, &format!("server.serverproxy.{code}"));
    }
    assert!(service.seen().is_empty());
    assert_eq!(world.uses().await.total_usages, 0);
    world.nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soap_service_on_a_legal_basis_shows_the_citizen_whom_the_body_names() {
    let nodes = two_nodes(962).await;
    let service = SoapService::start().await;
    service.offer(&nodes).await;
    let law = ServiceBasis::Law {
        reference: "Loi 2008-12, art. 33".to_owned(),
        purpose_code: "identity-check".to_owned(),
        purpose_text: "Vérifier une identité".to_owned(),
    };
    rest_on(&nodes, law, Some(SubjectRule::BodyElement("person".to_owned()))).await;
    let person = format!("<p:person> {SUBJECT} </p:person>");
    let reply = ask(&nodes, "sl-1", None, &person).await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
    let page = uses(&nodes).await;
    assert_eq!(page.total_usages, 1);
    let record = &page.usages[0].record;
    assert_eq!(record.legal_basis.reference, "Loi 2008-12, art. 33");
    assert_eq!(record.fields, ["state"]);
    // Nobody hides whom they ask about.
    let other = format!("<p:person>{SUBJECT}</p:person><q:person xmlns:q=\"urn:q\">2751198700421</q:person>");
    for (number, inside) in
        ["", "<p:person>abc</p:person>", &other, "<p:x><p:person>1751198700421</p:person></p:x>"].iter().enumerate()
    {
        let reply = ask(&nodes, &format!("sl-no-{number}"), None, inside).await;
        assert_fault(&reply, "server.serverproxy.bad_request");
    }
    assert_eq!(service.seen().len(), 1);
    assert_eq!(uses(&nodes).await.total_usages, 1);
    // A rule that no body can follow is refused, and a rule for paths lets no SOAP request through.
    let number = nodes.provider.registry().current().service(&STATE.parse().unwrap(), Some("v1")).unwrap().number;
    for name in ["", "a b", "p:person", "1a"] {
        let patch =
            ServicePatch { subject: Some(SubjectRule::BodyElement(name.to_owned())), ..ServicePatch::default() };
        let change = set(number, patch);
        assert!(nodes.provider.registry().apply(&Author::CommandLine, change).await.is_err(), "{name}");
    }
    let patch = ServicePatch { subject: Some(SubjectRule::PathSegment(0)), ..ServicePatch::default() };
    nodes.provider.registry().apply(&Author::CommandLine, set(number, patch)).await.unwrap();
    assert_fault(&ask(&nodes, "sl-2", None, &person).await, "server.serverproxy.bad_request");
    assert!(STATE.starts_with(PROVIDER));
    nodes.stop().await;
}
