//! What clients must not do: the rules of FAPI 2.0 SP, RFC 9126, 7636, 7523, 9396, one by one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use civic::Clock;
use serde_json::{Value, json};
use trust::keys::SigningKey;
use web::testing::Answer;

use crate::bed::{ASSERTION, Bed, beds, json_of};

fn error(answer: &Answer) -> String {
    json_of(answer)["error"].as_str().unwrap_or("none").to_owned()
}

async fn push_with_assertion(bed: &Bed, assertion: &str) -> Answer {
    bed.push(&[("client_assertion", assertion)]).await
}

#[tokio::test]
async fn discovery_names_what_is_served() {
    for bed in beds().await {
        let mut program = web::testing::Browser::new(bed.router.clone());
        for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
            let document = json_of(&program.get(path).await);
            assert_eq!(document["issuer"], bed.issuer);
            assert_eq!(document["require_pushed_authorization_requests"], true);
            assert_eq!(document["authorization_response_iss_parameter_supported"], true);
            assert_eq!(document["token_endpoint_auth_methods_supported"], json!(["private_key_jwt"]));
            assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
            assert_eq!(document["authorization_details_types_supported"], json!(["bridge-service"]));
        }
        let keys = json_of(&program.get("/jwks").await);
        assert_eq!(keys["keys"][0]["crv"], "P-256");
        assert!(keys["keys"][0]["d"].is_null());
    }
}

#[tokio::test]
async fn a_good_request_gets_a_request_uri_for_less_than_ten_minutes() {
    for bed in beds().await {
        let nonce = "n".repeat(64);
        let answer = bed.push(&[("nonce", &nonce), ("state", "")]).await;
        assert_eq!(answer.status, http::StatusCode::CREATED);
        let body = json_of(&answer);
        assert!(body["request_uri"].as_str().unwrap().starts_with("urn:ietf:params:oauth:request_uri:"));
        assert!((5..600).contains(&body["expires_in"].as_u64().unwrap()));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn par_only_accepts_post() {
    for bed in beds().await {
        let answer = web::testing::Browser::new(bed.router.clone()).get("/par").await;
        assert_eq!(answer.status, http::StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn the_audience_of_an_assertion_is_the_issuer_as_a_string_and_nothing_else() {
    for bed in beds().await {
        let issuer = bed.issuer.clone();
        let wrong = [
            json!(format!("{issuer}/par")),
            json!(format!("{issuer}/token")),
            json!([issuer.clone()]),
            json!(format!("{issuer}/")),
            json!("http://elsewhere.example"),
            Value::Null,
        ];
        for audience in wrong {
            let answer = push_with_assertion(&bed, &bed.assertion(|claims| claims["aud"] = audience.clone())).await;
            assert_eq!((answer.status.as_u16(), error(&answer).as_str()), (401, "invalid_client"), "{audience}");
        }
    }
}

#[tokio::test]
async fn an_assertion_of_the_near_future_is_accepted_and_of_the_far_future_refused() {
    for bed in beds().await {
        let now = bed.clock.now().seconds();
        for (claim, ahead, good) in [("iat", 8, true), ("nbf", 8, true), ("iat", 61, false), ("nbf", 61, false)] {
            let assertion = bed.assertion(|claims| claims[claim] = json!(now + ahead));
            let answer = push_with_assertion(&bed, &assertion).await;
            assert_eq!(answer.status.is_success(), good, "{claim} {ahead}");
        }
    }
}

#[tokio::test]
async fn an_assertion_that_is_over_too_long_or_nameless_is_refused() {
    for bed in beds().await {
        let now = bed.clock.now().seconds();
        let changes: [fn(&mut Value, i64); 6] = [
            |claims, now| claims["exp"] = json!(now),
            |claims, now| claims["exp"] = json!(now + 3_600),
            |claims, _| claims["jti"] = json!(""),
            |claims, _| claims["jti"] = Value::Null,
            |claims, _| claims["sub"] = json!("portal"),
            |claims, _| claims["iss"] = json!("nobody"),
        ];
        for change in changes {
            let assertion = bed.assertion(|claims| change(claims, now));
            assert_eq!(error(&push_with_assertion(&bed, &assertion).await), "invalid_client");
        }
    }
}

#[tokio::test]
async fn an_assertion_works_once() {
    for bed in beds().await {
        let assertion = bed.assertion(|_| {});
        assert!(push_with_assertion(&bed, &assertion).await.status.is_success());
        assert_eq!(error(&push_with_assertion(&bed, &assertion).await), "invalid_client");
    }
}

#[tokio::test]
async fn a_foreign_key_another_typ_no_signature_and_no_assertion_are_refused() {
    for bed in beds().await {
        let stranger = SigningKey::generate_ed25519().unwrap();
        let foreign = bed.assertion_of(&stranger, "JWT", |_| {});
        assert_eq!(error(&push_with_assertion(&bed, &foreign).await), "invalid_client");
        let typed = bed.assertion_of(&bed.bank_key, "at+jwt", |_| {});
        assert_eq!(error(&push_with_assertion(&bed, &typed).await), "invalid_client");
        let good = bed.assertion(|_| {});
        let claims = good.split('.').nth(1).unwrap();
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        assert_eq!(error(&push_with_assertion(&bed, &format!("{header}.{claims}.")).await), "invalid_client");
        assert_eq!(error(&bed.push(&[("client_assertion", "")]).await), "invalid_request");
        assert_eq!(error(&bed.push(&[("client_secret", "x")]).await), "invalid_client");
        assert_eq!(error(&bed.push(&[("client_assertion_type", "x")]).await), "invalid_client");
        assert_eq!(error(&bed.push(&[("client_id", "portal")]).await), "invalid_client");
    }
}

#[tokio::test]
async fn each_bad_parameter_of_a_pushed_request_has_its_error() {
    for bed in beds().await {
        let cases = [
            ("request_uri", "urn:ietf:params:oauth:request_uri:x", "invalid_request"),
            ("request", "e30.e30.", "request_not_supported"),
            ("response_type", "token", "unsupported_response_type"),
            ("response_type", "code id_token", "unsupported_response_type"),
            ("response_type", "", "invalid_request"),
            ("response_mode", "fragment", "invalid_request"),
            ("redirect_uri", "", "invalid_request"),
            ("redirect_uri", "http://localhost:8602/callback/", "invalid_request"),
            ("redirect_uri", "http://localhost:8602/callback?x=1", "invalid_request"),
            ("redirect_uri", "http://evil.example/callback", "invalid_request"),
            ("scope", "", "invalid_request"),
            ("scope", "profile", "invalid_scope"),
            ("scope", "openid email", "invalid_scope"),
            ("scope", "openid person", "invalid_scope"),
            ("code_challenge", "", "invalid_request"),
            ("code_challenge", "short", "invalid_request"),
            ("code_challenge_method", "plain", "invalid_request"),
            ("code_challenge_method", "", "invalid_request"),
            ("max_age", "-1", "invalid_request"),
            ("prompt", "none login", "invalid_request"),
            ("authorization_details", "[]", "invalid_authorization_details"),
            ("authorization_details", "{", "invalid_authorization_details"),
            ("authorization_details", "[{\"type\":\"payment\"}]", "invalid_authorization_details"),
        ];
        for (name, value, expected) in cases {
            let answer = bed.push(&[(name, value)]).await;
            assert_eq!(error(&answer), expected, "{name}={value}");
            assert_eq!(answer.status.as_u16(), 400);
        }
        let state = "s".repeat(513);
        assert_eq!(error(&bed.push(&[("state", &state)]).await), "invalid_request");
    }
}

#[tokio::test]
async fn a_parameter_given_twice_is_refused_and_the_order_of_scopes_is_free() {
    for bed in beds().await {
        let assertion = bed.assertion(|_| {});
        let fields = [
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion.as_str()),
            ("scope", "openid"),
            ("scope", "openid"),
        ];
        assert_eq!(error(&bed.post("/par", &fields).await), "invalid_request");
        assert!(bed.push(&[("scope", "profile openid")]).await.status.is_success());
    }
}

#[tokio::test]
async fn authorize_needs_the_request_uri_of_this_client_and_takes_it_again_until_it_is_answered() {
    for bed in beds().await {
        let uri = json_of(&bed.push(&[]).await)["request_uri"].clone();
        let mut walker = bed.browser();
        for url in [
            "/authorize?client_id=bank&response_type=code&redirect_uri=http://localhost:8602/callback",
            "/authorize?client_id=bank&request_uri=urn:ietf:params:oauth:request_uri:unknown",
            &format!("/authorize?client_id=portal&request_uri={}", uri.as_str().unwrap()),
        ] {
            let stop = walker.open(url).await;
            assert_eq!(stop.answer.status, http::StatusCode::BAD_REQUEST, "{url}");
        }
        assert!(bed.authorize(&mut walker, &uri).await.is_at("/login"));
        let second = bed.authorize(&mut walker, &uri).await;
        assert!(second.is_at("/login"));
        let stop = bed.log_in(&mut walker, second.answer, &bed.awa).await;
        let stop = walker.submit("/secure/later", &stop.answer, &[]).await;
        assert!(stop.callback().code.is_some());
        assert_eq!(bed.authorize(&mut walker, &uri).await.answer.status, http::StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_request_uri_does_not_wait_for_ever() {
    for bed in beds().await {
        let pushed = json_of(&bed.push(&[]).await);
        bed.clock.advance(Duration::from_secs(pushed["expires_in"].as_u64().unwrap()));
        let stop = bed.authorize(&mut bed.browser(), &pushed["request_uri"]).await;
        assert_eq!(stop.answer.status, http::StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_code_becomes_tokens_once_and_the_second_use_revokes_them() {
    for bed in beds().await {
        let code = bed.code().await;
        let tokens = bed.exchange(&code, &[]).await;
        assert_eq!(tokens.headers["cache-control"], "no-store");
        let tokens = json_of(&tokens);
        assert_eq!((tokens["token_type"].as_str(), tokens["expires_in"].as_i64()), (Some("Bearer"), Some(3_600)));
        let mut program = web::testing::Browser::new(bed.router.clone());
        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        let headers = [("authorization", bearer.as_str())];
        let answer = program.send(http::Method::GET, "/userinfo", String::new(), &headers).await;
        assert!(answer.status.is_success());
        bed.clock.advance(Duration::from_secs(1));
        assert_eq!(error(&bed.exchange(&code, &[]).await), "invalid_grant");
        let answer = program.send(http::Method::GET, "/userinfo", String::new(), &headers).await;
        assert_eq!((answer.status.as_u16(), error(&answer).as_str()), (401, "invalid_token"));
    }
}

#[tokio::test]
async fn a_code_lives_sixty_seconds() {
    for bed in beds().await {
        let code = bed.code().await;
        bed.clock.advance(Duration::from_mins(1));
        assert_eq!(error(&bed.exchange(&code, &[]).await), "invalid_grant");
    }
}

#[tokio::test]
async fn a_code_needs_its_verifier_its_redirect_uri_and_its_client() {
    for bed in beds().await {
        let code = bed.code().await;
        let other = "x".repeat(43);
        assert_eq!(error(&bed.exchange(&code, &[("code_verifier", &other)]).await), "invalid_grant");
        assert_eq!(error(&bed.exchange(&code, &[("code_verifier", "")]).await), "invalid_request");
        assert_eq!(error(&bed.exchange(&code, &[("redirect_uri", "http://localhost:8602/x")]).await), "invalid_grant");
        assert_eq!(error(&bed.exchange(&code, &[("grant_type", "password")]).await), "unsupported_grant_type");
        assert_eq!(error(&bed.exchange("unknown", &[]).await), "invalid_grant");
        assert!(bed.exchange(&code, &[]).await.status.is_success(), "the failed attempts did not spend it");
    }
}

#[tokio::test]
async fn the_relying_party_refuses_an_answer_that_is_not_its_own() {
    for bed in beds().await {
        let begun = bed.bank.begin(&identity::rp::Ask::default()).await.unwrap();
        let mut walker = bed.browser();
        let page = walker.open(&begun.redirect).await;
        let stop = bed.log_in(&mut walker, page.answer, &bed.awa).await;
        let stop = walker.submit("/secure/later", &stop.answer, &[]).await;
        let good = stop.callback();
        let mut other_state = good.clone();
        other_state.state = Some("x".to_owned());
        assert!(bed.bank.finish(&begun.pending, &other_state).await.is_err());
        let mut other_issuer = good.clone();
        other_issuer.iss = Some("http://evil.example".to_owned());
        assert!(bed.bank.finish(&begun.pending, &other_issuer).await.is_err());
        let stranger = bed.bank.begin(&identity::rp::Ask::default()).await.unwrap();
        assert!(bed.bank.finish(&stranger.pending, &good).await.is_err(), "another login of the same client");
        assert!(bed.bank.finish(&begun.pending, &good).await.is_ok());
    }
}

#[tokio::test]
async fn the_access_token_verifier_refuses_other_audiences_issuers_types_and_times() {
    for bed in beds().await {
        let code = bed.code().await;
        let tokens = json_of(&bed.exchange(&code, &[]).await);
        let token = tokens["access_token"].as_str().unwrap();
        let verifier = bed.identity.access_token_verifier();
        let fisc = "BB/GOV/1002/fisc".parse().unwrap();
        let now = bed.clock.now();
        assert!(verifier.verify(token, &fisc, now).is_err(), "it is for userinfo");
        assert!(verifier.verify(tokens["id_token"].as_str().unwrap(), &fisc, now).is_err());
    }
}
