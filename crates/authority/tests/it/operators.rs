use authority::{Approval, AuthorityError, Role};
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::Clock;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use trust::cert::{Certificate, CertificateProfile, CertificateSpec, DistinguishedName, NameAttribute};
use trust::keys::SigningKey;

use crate::{World, answer, fisc, member, server, worlds};

impl World {
    pub(crate) async fn operate(&self, key: &str, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method.to_uppercase().as_str()).uri(format!("/api/v1{path}"));
        let request = request.header("authorization", format!("X-Road-ApiKey token={key}")).body(body).unwrap();
        let (status, body) = answer(self.authority.operator_router(), request).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The proof of an act, as an operator downloads it.
    pub(crate) async fn proof(&self, key: &str, act: i64) -> (StatusCode, String) {
        let request = Request::get(format!("/api/v1/audit/{act}/proof"));
        let request =
            request.header("authorization", format!("X-Road-ApiKey token={key}")).body(Body::empty()).unwrap();
        let (status, body) = answer(self.authority.operator_router(), request).await;
        (status, String::from_utf8(body).unwrap())
    }

    pub(crate) async fn key(&self, roles: &[Role]) -> String {
        self.authority.desk("process").create_api_key("Awa", roles).await.unwrap().1
    }
}

#[tokio::test]
async fn no_operation_is_open_to_a_stranger_or_to_another_role() {
    for world in worlds().await {
        let observer = world.key(&[Role::Observer]).await;
        let (_, description) = world.operate("", "get", "/openapi.json", &Value::Null).await;
        let mut walked = 0;
        for (path, item) in description["paths"].as_object().unwrap() {
            let concrete = path.replace("/api/v1", "").replace("{number}", "1");
            let concrete = if path.contains("/requests/") { concrete.replace("{id}", "1") } else { concrete };
            let concrete = concrete.replace("{id}", "BB:GOV:1").replace("{code}", "x").replace("{instance}", "FI");
            let concrete = concrete.replace("{serial}", "00").replace("{use}", "authority");
            for (method, operation) in item.as_object().unwrap() {
                walked += 1;
                for stranger in ["", "rubbish", "0123456789abcdef.0123456789abcdef"] {
                    let (status, _) = world.operate(stranger, method, &concrete, &json!({})).await;
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
                }
                let (status, _) = world.operate(&observer, method, &concrete, &json!({})).await;
                if operation["description"] == "Needs the role XROAD_OBSERVER." {
                    assert_ne!(status, StatusCode::FORBIDDEN, "{method} {path}");
                } else {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
                }
            }
        }
        assert_eq!(walked, 45, "a new operation is walked too: correct this number");
        let ours = description["components"]["schemas"].as_object().unwrap();
        let text = description.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(ours.contains_key(name), "{name} is described nowhere");
        }
    }
}

#[tokio::test]
async fn an_operator_keeps_the_registry_and_the_book_says_who_did_what() {
    for world in worlds().await {
        let key = world.key(&Role::ALL).await;
        let steps = [
            ("put", "/members/BB:GOV:1002", json!({"name": "Impôts"}), StatusCode::NO_CONTENT),
            ("put", "/members/BB:XXX:1002", json!({"name": "Impôts"}), StatusCode::BAD_REQUEST),
            ("put", "/member-classes/XXX", json!({"description": "Others"}), StatusCode::NO_CONTENT),
            ("put", "/members/BB:XXX:1002", json!({"name": "Others"}), StatusCode::NO_CONTENT),
            ("delete", "/member-classes/XXX", Value::Null, StatusCode::CONFLICT),
            ("put", "/subsystems/BB:GOV:1002:fisc", json!({"name": "Taxes"}), StatusCode::NO_CONTENT),
            ("put", "/groups/banks", json!({"description": "Banques"}), StatusCode::NO_CONTENT),
            ("put", "/groups/banks/members/BB:GOV:1002:fisc", Value::Null, StatusCode::NO_CONTENT),
            ("put", "/groups/banks/members/BB:GOV:9:x", Value::Null, StatusCode::BAD_REQUEST),
            ("put", "/groups/none/members/BB:GOV:1002", Value::Null, StatusCode::NOT_FOUND),
            ("put", "/groups/a b", json!({"description": "x"}), StatusCode::BAD_REQUEST),
            ("put", "/security-categories/K3", json!({"description": "High"}), StatusCode::NO_CONTENT),
            ("delete", "/members/BB:XXX:1002", Value::Null, StatusCode::NO_CONTENT),
            ("delete", "/members/BB:XXX:1002", Value::Null, StatusCode::NOT_FOUND),
            ("put", "/members/BB:GOV", json!({"name": "x"}), StatusCode::BAD_REQUEST),
            ("put", "/members/BB:GOV:1", json!({"nom": "x"}), StatusCode::BAD_REQUEST),
        ];
        for (method, path, body, expected) in steps {
            let (status, answer) = world.operate(&key, method, &path.replace(' ', "%20"), &body).await;
            assert_eq!(status, expected, "{method} {path}: {answer}");
        }
        let shared = world.newest().await;
        let banks = shared.groups.iter().find(|group| group.code == "banks").unwrap();
        assert_eq!(banks.members, [fisc()]);
        let (_, audit) = world.operate(&key, "get", "/audit", &Value::Null).await;
        let joined = audit.as_array().unwrap().iter().find(|entry| entry["action"] == "group.join").unwrap();
        assert!(joined["actor"].as_str().unwrap().starts_with("Awa ("), "{joined}");
        assert_eq!((&joined["subject"], &joined["detail"]), (&json!("banks"), &json!(fisc().to_string())));
        let (_, status) = world.operate(&key, "get", "/status", &Value::Null).await;
        assert_eq!((&status["instance"], &status["members"]), (&json!("BB"), &json!(1)));
    }
}

#[tokio::test]
async fn a_key_that_was_taken_back_opens_no_door() {
    for world in worlds().await {
        let admin = world.key(&[Role::SystemAdministrator]).await;
        let wish = json!({"label": "Kofi", "roles": ["XROAD_REGISTRATION_OFFICER"]});
        let (_, made) = world.operate(&admin, "post", "/api-keys", &wish).await;
        let token = made["token"].as_str().unwrap();
        let name = json!({"name": "Impôts"});
        assert_eq!(world.operate(token, "put", "/members/BB:GOV:1002", &name).await.0, StatusCode::NO_CONTENT);
        let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
        assert_eq!(world.operate(token, "delete", &path, &Value::Null).await.0, StatusCode::FORBIDDEN);
        assert_eq!(world.operate(&admin, "delete", &path, &Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(world.operate(token, "get", "/members", &Value::Null).await.0, StatusCode::UNAUTHORIZED);
        let (_, keys) = world.operate(&admin, "get", "/api-keys", &Value::Null).await;
        assert!(!keys.to_string().contains(token.split_once('.').unwrap().1), "no secret is told again");
    }
}

#[tokio::test]
async fn who_works_through_a_node_cannot_be_removed_before_it() {
    for world in worlds().await {
        world.enrol().await;
        let desk = world.authority.desk("Awa");
        assert!(matches!(desk.delete_subsystem(&fisc()).await, Err(AuthorityError::InUse { .. })));
        assert!(matches!(desk.delete_member(&member()).await, Err(AuthorityError::InUse { .. })));
        desk.put_category("K3", "High").await.unwrap();
        desk.set_categories(&server(), &["K3".to_owned()]).await.unwrap();
        let key = world.key(&[Role::Observer]).await;
        let (_, servers) = world.operate(&key, "get", "/servers", &Value::Null).await;
        assert_eq!(servers[0]["security_categories"], json!(["K3"]));
        desk.delete_server(&server()).await.unwrap();
        desk.delete_member(&member()).await.unwrap();
        let shared = world.newest().await;
        assert!(shared.members.is_empty() && shared.servers.is_empty());
        assert!(shared.groups.iter().all(|group| group.members.is_empty()));
    }
}

#[tokio::test]
async fn another_authority_is_approved_with_its_profile_as_data() {
    for world in worlds().await {
        let now = world.clock.now();
        let key = SigningKey::generate_p256().unwrap();
        let name = |text| DistinguishedName::new(&[(NameAttribute::CommonName, text)]).unwrap();
        let spec = |profile, subject, key| CertificateSpec {
            profile,
            serial: &[9],
            subject,
            public_key: key,
            not_before: now,
            not_after: now.plus(std::time::Duration::from_hours(24)),
            ocsp_url: None,
        };
        let root = spec(CertificateProfile::Authority, name("National CA"), key.public());
        let root = Certificate::self_signed(&key, &root).unwrap();
        let settings = |profile: Value| {
            json!({
                "kind": "ca", "name": "National CA", "certificate": STANDARD.encode(root.der()),
                "certificate_profile": "gov.example.National", "profile": profile,
                "ocsp": [{"url": "http://ocsp.example", "cost": "PAID"}],
            })
        };
        let approval = |profile| serde_json::from_value::<Approval>(settings(profile)).unwrap();
        let desk = world.authority.desk("Awa");
        let unknown = desk.approve_authority(&approval(Value::Null)).await;
        assert!(matches!(unknown, Err(AuthorityError::Settings(_))), "{unknown:?}");
        let profile = json!({
            "class_name": "gov.example.National", "instance": "of_configuration",
            "class": {"attribute": "organizational_unit"}, "code": {"attribute": "serial_number"},
        });
        let id = desk.approve_authority(&approval(profile)).await.unwrap();
        let shared = world.newest().await;
        let listed = shared.approved_cas.iter().find(|ca| ca.name == "National CA").unwrap();
        assert_eq!(listed.certificate_profile, "gov.example.National");
        desk.withdraw_approval(&id).await.unwrap();
        assert_eq!(world.newest().await.approved_cas.len(), 1);
    }
}

#[tokio::test]
async fn federated_instances_stand_in_the_private_part_only() {
    for world in worlds().await {
        let key = world.key(&[Role::SecurityOfficer]).await;
        let anchor = world.authority.external_anchor().replace(">BB<", ">FI<");
        let request = Request::post("/api/v1/federation").header("authorization", format!("Bearer {key}"));
        let (status, _) = answer(world.authority.operator_router(), request.body(Body::from(anchor)).unwrap()).await;
        assert_eq!(status, StatusCode::OK);
        let own = world.authority.external_anchor();
        assert!(matches!(world.authority.desk("Awa").federate(&own).await, Err(AuthorityError::Settings(_))));
        assert_eq!(world.federated().await, ["FI"]);
        assert_eq!(world.operate(&key, "delete", "/federation/FI", &Value::Null).await.0, StatusCode::NO_CONTENT);
        assert!(world.federated().await.is_empty());
    }
}
