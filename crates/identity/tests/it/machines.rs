//! Programs that come by themselves (client credentials, RFC 6749 §4.4): what they get, and every refusal by name.

use std::time::Duration;

use civic::{ClientId, Clock};
use identity::TokenError;
use serde_json::{Value, json};
use trust::keys::SigningKey;
use web::testing::{Answer, Browser};

use crate::bed::{ASSERTION, Bed, NOTARY, beds, json_of};

impl Bed {
    /// Asks for a token as the bank's program, with these parameters replaced, or left out where the value is empty.
    async fn own_token(&self, changes: &[(&str, &str)]) -> Answer {
        let assertion = self.assertion(|_| {});
        let mut fields = vec![
            ("client_assertion_type", ASSERTION),
            ("client_assertion", &assertion),
            ("grant_type", "client_credentials"),
            ("scope", "notary"),
        ];
        for change in changes {
            match fields.iter_mut().find(|(name, _)| *name == change.0) {
                Some(field) => *field = *change,
                None => fields.push(*change),
            }
        }
        self.post("/token", &fields).await
    }
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), json_of(answer)["error"].as_str().unwrap_or("none").to_owned())
}

fn refused(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

#[tokio::test]
async fn a_registered_program_gets_a_token_for_one_service_that_says_nothing_of_any_citizen() {
    for bed in beds().await {
        let answer = bed.own_token(&[("scope", "notary notary-batch")]).await;
        assert_eq!((answer.status.as_u16(), answer.headers["cache-control"].to_str().unwrap()), (200, "no-store"));
        let body = json_of(&answer);
        assert_eq!((&body["token_type"], &body["scope"]), (&json!("Bearer"), &json!("notary notary-batch")));
        assert!(body["id_token"].is_null() && body["authorization_details"].is_null(), "{body}");
        assert!(body["refresh_token"].is_null(), "{body}");
        let (token, verifier) = (body["access_token"].as_str().unwrap(), bed.identity.access_token_verifier());
        let notary: ClientId = NOTARY.parse().unwrap();
        let claims = verifier.verify(token, &notary, bed.clock.now()).unwrap();
        assert_eq!((claims.sub.as_str(), claims.client_id.as_str()), ("bank", "bank"));
        assert_eq!((claims.auth_time, claims.acr, claims.exp - claims.iat), (None, None, 600));
        assert_eq!(claims.client_member.to_string(), "BB/COM/2001/credit");

        let other: ClientId = "BB/GOV/1002/fisc".parse().unwrap();
        assert!(matches!(verifier.verify(token, &other, bed.clock.now()), Err(TokenError::Audience(_))));
        let bearer = format!("Bearer {token}");
        let mut program = Browser::new(bed.router.clone());
        let userinfo = program.send(http::Method::GET, "/userinfo", String::new(), &[("authorization", &bearer)]).await;
        assert_eq!(userinfo.status.as_u16(), 401, "it is nobody's token: {}", userinfo.body);
        bed.clock.advance(Duration::from_mins(10));
        assert!(matches!(verifier.verify(token, &notary, bed.clock.now()), Err(TokenError::Expired(_))));
    }
}

#[tokio::test]
async fn the_metadata_names_the_grant_and_the_scopes() {
    for bed in beds().await {
        let mut program = Browser::new(bed.router.clone());
        let document = json_of(&program.get("/.well-known/oauth-authorization-server").await);
        assert_eq!(document["grant_types_supported"], json!(["authorization_code", "client_credentials"]));
        let scopes = document["scopes_supported"].as_array().unwrap();
        assert!(scopes.contains(&json!("notary")) && scopes.contains(&json!("openid")), "{scopes:?}");
    }
}

#[tokio::test]
async fn who_does_not_authenticate_gets_nothing() {
    for bed in beds().await {
        let public =
            bed.post("/token", &[("grant_type", "client_credentials"), ("client_id", "bank"), ("scope", "notary")]);
        assert_eq!(refusal(&public.await), refused(401, "invalid_client"), "a public client");
        assert_eq!(refusal(&bed.own_token(&[("client_assertion", "")]).await), refused(401, "invalid_client"));
        assert_eq!(refusal(&bed.own_token(&[("client_secret", "x")]).await), refused(401, "invalid_client"));
        let foreign = bed.assertion_of(&SigningKey::generate_ed25519().unwrap(), "JWT", |_| {});
        assert_eq!(refusal(&bed.own_token(&[("client_assertion", &foreign)]).await), refused(401, "invalid_client"));
        let once = bed.assertion(|_| {});
        assert_eq!(bed.own_token(&[("client_assertion", &once)]).await.status.as_u16(), 200);
        assert_eq!(refusal(&bed.own_token(&[("client_assertion", &once)]).await), refused(401, "invalid_client"));
        let unknown = bed.assertion(|claims: &mut Value| {
            claims["iss"] = json!("nobody");
            claims["sub"] = json!("nobody");
        });
        assert_eq!(refusal(&bed.own_token(&[("client_assertion", &unknown)]).await), refused(401, "invalid_client"));
    }
}

#[tokio::test]
async fn a_scope_that_is_not_the_clients_own_opens_nothing() {
    for bed in beds().await {
        for scope in
            ["stamps", "profile", "openid", "notary openid", "notary archive", "notary  notary-batch", "everything"]
        {
            assert_eq!(refusal(&bed.own_token(&[("scope", scope)]).await), refused(400, "invalid_scope"), "{scope}");
        }
        assert_eq!(refusal(&bed.own_token(&[("scope", "")]).await), refused(400, "invalid_request"));
        let details = bed.own_token(&[("authorization_details", "[]")]).await;
        assert_eq!(refusal(&details), refused(400, "invalid_authorization_details"));
        let assertion = bed.assertion_of(&bed.portal_key, "JWT", |claims| {
            claims["iss"] = json!("portal");
            claims["sub"] = json!("portal");
        });
        let portal = bed.own_token(&[("client_assertion", &assertion)]).await;
        assert_eq!(refusal(&portal), refused(400, "unauthorized_client"), "it is registered for no service of its own");
        assert_eq!(
            refusal(&bed.own_token(&[("grant_type", "password")]).await),
            refused(400, "unsupported_grant_type")
        );
    }
}

#[tokio::test]
async fn a_program_that_asks_too_often_is_told_to_wait() {
    for bed in beds().await {
        for _ in 0..30 {
            assert_eq!(bed.own_token(&[]).await.status.as_u16(), 200);
        }
        assert_eq!(refusal(&bed.own_token(&[]).await), refused(429, "temporarily_unavailable"));
        bed.clock.advance(Duration::from_mins(1));
        assert_eq!(bed.own_token(&[]).await.status.as_u16(), 200);
    }
}
