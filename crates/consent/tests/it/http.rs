use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use civic::Clock as _;
use civic::testing::TestClock;
use consent::testing::{TestIssuer, grants, new_grant};
use consent::{GRANT_USE_TYP, GrantUseClaims, Grants, USE_REQUEST_TYP, UseRequestClaims};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use store::Store;
use tower::ServiceExt as _;
use trust::jose::{Jwks, jws_sign, jws_verify};
use trust::keys::SigningKey;

use crate::{AWA, BANK, FISC, INCOME, clock, number, person, random, shared};

struct Served {
    router: Router,
    grants: Grants,
    issuer: TestIssuer,
    node: SigningKey,
    clock: Arc<TestClock>,
    grant_id: String,
}

async fn served(store: Store) -> Served {
    let (issuer, clock) = (TestIssuer::new().unwrap(), clock());
    let node = SigningKey::generate_p256().unwrap();
    let grants = grants(store, &issuer, &[(FISC, &node)], shared(&clock), random(4)).await.unwrap();
    let grant = grants.create(new_grant(&person(), AWA, clock.now()).unwrap()).await.unwrap();
    Served { router: consent::http::router(grants.clone()), grants, issuer, node, clock, grant_id: grant.id }
}

impl Served {
    fn claims(&self, message: &str) -> UseRequestClaims {
        UseRequestClaims {
            iss: FISC.parse().unwrap(),
            aud: self.issuer.issuer.clone(),
            iat: self.clock.now().seconds(),
            exp: self.clock.now().seconds() + 60,
            jti: message.to_owned(),
            grant_id: self.grant_id.clone(),
            client: BANK.parse().unwrap(),
            service: INCOME.parse().unwrap(),
            method: "GET".to_owned(),
            path: "/2025".to_owned(),
        }
    }

    async fn post(&self, authorization: Option<String>) -> (StatusCode, Value) {
        let mut request = Request::post(format!("/consent/v1/grants/{}/use", self.grant_id));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = self.router.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn ask(&self, claims: &UseRequestClaims, key: &SigningKey, typ: &str) -> (StatusCode, Value) {
        self.post(Some(format!("Bearer {}", jws_sign(key, typ, claims).unwrap()))).await
    }
}

#[tokio::test]
async fn the_providers_node_gets_a_proof_for_its_message() {
    for store in store::testing::engines().await {
        let served = served(store).await;
        for _ in 0..2 {
            let (status, body) = served.ask(&served.claims("m-1"), &served.node, USE_REQUEST_TYP).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            let keys = Jwks::of([served.issuer.key.public()]).unwrap();
            let proof = body.get("grant_use").and_then(Value::as_str).unwrap();
            let (_, claims) = jws_verify::<GrantUseClaims>(proof, &keys, GRANT_USE_TYP).unwrap();
            assert_eq!(claims.sub, number(AWA));
        }
        assert_eq!(served.grants.get(&served.grant_id, &number(AWA)).await.unwrap().uses, 1, "one message, one use");
    }
}

#[tokio::test]
async fn a_refusal_is_a_problem_whose_type_says_why() {
    for store in store::testing::engines().await {
        let served = served(store).await;
        let kind = |body: &Value| body.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let outside = UseRequestClaims { path: "/2023".to_owned(), ..served.claims("m-1") };
        let (status, body) = served.ask(&outside, &served.node, USE_REQUEST_TYP).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(kind(&body).ends_with("consent_out_of_scope"), "{body}");
        served.grants.revoke(&served.grant_id, &number(AWA)).await.unwrap();
        let (status, body) = served.ask(&served.claims("m-2"), &served.node, USE_REQUEST_TYP).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(kind(&body).ends_with("consent_revoked"), "{body}");
        assert!(body.get("grant_use").is_none());
    }
}

#[tokio::test]
async fn nobody_but_a_registered_node_is_heard() {
    let served = served(store::testing::sqlite().await).await;
    let stranger = SigningKey::generate_p256().unwrap();
    let good = served.claims("m-1");
    let now = served.clock.now().seconds();
    let cases = [
        (UseRequestClaims { iss: BANK.parse().unwrap(), ..good.clone() }, &served.node, USE_REQUEST_TYP),
        (UseRequestClaims { aud: "http://elsewhere".to_owned(), ..good.clone() }, &served.node, USE_REQUEST_TYP),
        (UseRequestClaims { iat: now - 200, exp: now - 100, ..good.clone() }, &served.node, USE_REQUEST_TYP),
        (UseRequestClaims { exp: now + 3_600, ..good.clone() }, &served.node, USE_REQUEST_TYP),
        (UseRequestClaims { iat: now + 120, exp: now + 180, ..good.clone() }, &served.node, USE_REQUEST_TYP),
        (good.clone(), &stranger, USE_REQUEST_TYP),
        (good.clone(), &served.node, "at+jwt"),
    ];
    for (claims, key, typ) in cases {
        let (status, body) = served.ask(&claims, key, typ).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
    }
    for authorization in [None, Some("Basic eA==".to_owned()), Some("Bearer x.y.z".to_owned())] {
        assert_eq!(served.post(authorization).await.0, StatusCode::UNAUTHORIZED);
    }
    let other = UseRequestClaims { grant_id: "another".to_owned(), ..good };
    assert_eq!(served.ask(&other, &served.node, USE_REQUEST_TYP).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(served.grants.get(&served.grant_id, &number(AWA)).await.unwrap().uses, 0);
    served.clock.advance(Duration::from_secs(1));
}
