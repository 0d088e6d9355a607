//! Access tokens of the identity provider: which open the notary, and which do not.

use civic::Timestamp;
use http::StatusCode;
use ledger::testing::NOW;
use serde_json::{Value, json};
use store::testing::engines;
use trust::jose::jws_sign;
use trust::keys::SigningKey;

use crate::{Office, digest};

pub(crate) const ISSUER: &str = "https://identity.test";
pub(crate) const AUDIENCE: &str = "BB/GOV/1000/notary";

impl Office {
    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        token_of(&self.issuer, "at+jwt", change)
    }

    async fn register_with(&self, token: &str) -> StatusCode {
        let body = json!({"sha256": digest("a contract")}).to_string();
        self.ask("POST", "/notary", token, &body).await.0
    }
}

fn token_of(key: &SigningKey, typ: &str, change: impl FnOnce(&mut Value)) -> String {
    let now = Timestamp::parse_rfc3339(NOW).unwrap().seconds();
    let mut claims = json!({
        "iss": ISSUER, "sub": "bank", "aud": AUDIENCE, "client_id": "bank", "client_member": "BB/COM/2001/credit",
        "scope": "notary", "jti": "1", "iat": now, "exp": now + 600,
    });
    change(&mut claims);
    jws_sign(key, typ, &claims).unwrap()
}

#[tokio::test]
async fn a_token_of_the_provider_with_the_scope_registers_for_its_client_alone() {
    for store in engines().await {
        let office = Office::open(&store).await;
        let token = office.token(|_| {});
        assert_eq!(office.register_with(&token).await, StatusCode::CREATED);
        let (_, own) = office.json("GET", "/notary", &token, "").await;
        assert_eq!(own["total"], 1);
        let (_, others) = office.json("GET", "/notary", &office.awa, "").await;
        assert_eq!(others["total"], 0, "what one client registers is no other's");
        let several = office.token(|claims| claims["scope"] = json!("archive notary"));
        assert_eq!(office.register_with(&several).await, StatusCode::OK, "the same client, the same digest");
    }
}

#[tokio::test]
async fn every_other_token_is_a_strangers() {
    for store in engines().await {
        let office = Office::open(&store).await;
        let now = Timestamp::parse_rfc3339(NOW).unwrap().seconds();
        let changes: [(&str, Value); 9] = [
            ("aud", json!("BB/GOV/1002/fisc")),
            ("aud", json!(ISSUER)),
            ("iss", json!("https://other.test")),
            ("exp", json!(now)),
            ("iat", json!(now + 60)),
            ("scope", json!("")),
            ("scope", json!("profile")),
            ("scope", json!("notary-batch")),
            ("client_id", Value::Null),
        ];
        for (claim, value) in changes {
            let token = office.token(|claims| claims[claim] = value.clone());
            assert_eq!(office.register_with(&token).await, StatusCode::UNAUTHORIZED, "{claim} {value}");
        }
        let stranger = token_of(&SigningKey::generate_p256().unwrap(), "at+jwt", |_| {});
        let login = token_of(&office.issuer, "JWT", |_| {});
        for token in [stranger, login, String::new(), "rubbish".to_owned()] {
            assert_eq!(office.register_with(&token).await, StatusCode::UNAUTHORIZED, "{token}");
        }
    }
}
