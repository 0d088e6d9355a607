use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use trust::cert::{Certificate, CertificateRequest, DistinguishedName, NameAttribute};
use trust::keys::SigningKey;

use crate::{World, worlds};

fn wish(server: &str) -> Value {
    let request = || {
        let subject = DistinguishedName::new(&[(NameAttribute::CommonName, "new")]).unwrap();
        CertificateRequest::create(&SigningKey::generate_p256().unwrap(), &subject).unwrap().to_pem()
    };
    json!({
        "server": server, "member_name": "Banque du Fleuve", "address": "node.bank.example:5500",
        "client": "BB/COM/2001/credit", "subsystem_name": "Crédit", "sign_request": request(),
        "auth_request": request(),
    })
}

impl World {
    async fn enrol_by_post(&self, wish: &Value) -> (StatusCode, Value) {
        let (status, body) = self.post("/enrolments", wish.to_string().into_bytes()).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn enrolment(&self, token: &str) -> (StatusCode, Value) {
        let (status, body) = self.ask(Request::get(format!("/enrolments/{token}")).body(Body::empty()).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

#[tokio::test]
async fn a_newcomer_is_in_the_configuration_after_one_approval() {
    for world in worlds().await {
        let wish = wish("BB/COM/2001/node-1");
        let (status, answer) = world.enrol_by_post(&wish).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let token = answer["token"].as_str().unwrap().to_owned();
        assert_eq!(world.enrol_by_post(&wish).await.1["token"], json!(token), "the same keys are the same enrolment");
        assert_eq!(world.enrolment(&token).await.1["state"], "waiting");
        assert!(world.newest().await.members.is_empty());

        world.authority.desk("Awa").approve(answer["id"].as_i64().unwrap()).await.unwrap();
        let (_, answer) = world.enrolment(&token).await;
        assert_eq!(answer["state"], "approved");
        let certificate = |name: &str| Certificate::from_pem(answer[name].as_str().unwrap()).unwrap();
        assert!(certificate("sign_certificate").is_sign_certificate());
        let shared = world.newest().await;
        let node = shared.servers.first().unwrap();
        assert_eq!(node.auth_cert_hashes, [certificate("auth_certificate").sha256().to_vec()]);
        assert_eq!(node.clients, ["BB/COM/2001/credit".parse().unwrap()]);
        assert_eq!(shared.members.first().unwrap().name, "Banque du Fleuve");
    }
}

#[tokio::test]
async fn an_enrolment_is_found_by_its_token_only_and_refused_where_it_does_not_fit() {
    for world in worlds().await {
        let (_, answer) = world.enrol_by_post(&wish("BB/COM/2001/node-1")).await;
        let id = answer["id"].as_i64().unwrap();
        for wrong in [format!("{id}"), format!("{id}-0"), format!("7-{}", answer["token"]), "x-y".to_owned()] {
            assert_eq!(world.enrolment(&wrong.replace('"', "")).await.0, StatusCode::NOT_FOUND, "{wrong}");
        }
        let (status, problem) = world.enrol_by_post(&wish("BB/COM/2001/node-1")).await;
        assert_eq!(status, StatusCode::CONFLICT, "{problem}");
        assert_eq!(world.enrol_by_post(&wish("FI/COM/2001/node-2")).await.0, StatusCode::BAD_REQUEST);
        let mut foreign = wish("BB/COM/2001/node-3");
        foreign["client"] = json!("BB/GOV/1002/fisc");
        assert_eq!(world.enrol_by_post(&foreign).await.0, StatusCode::BAD_REQUEST);
        let mut broken = wish("BB/COM/2001/node-4");
        broken["auth_request"] = json!("rubbish");
        assert_eq!(world.enrol_by_post(&broken).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(world.enrol_by_post(&json!({"server": "BB/COM/2001/node-5"})).await.0, StatusCode::BAD_REQUEST);
        world.authority.desk("Awa").decline(id, "Nobody knows them").await.unwrap();
        let (_, answer) = world.enrolment(answer["token"].as_str().unwrap()).await;
        assert_eq!((&answer["state"], &answer["reason"]), (&json!("declined"), &json!("Nobody knows them")));
    }
}
