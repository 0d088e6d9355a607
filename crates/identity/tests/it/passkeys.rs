//! Passkeys, with an authenticator in software.

use identity::rp::{Ask, Outcome};
use identity::{Acr, Amr};
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::bed::{Bed, Walker, beds, hidden, json_of};

/// Logs Awa in by codes and makes a passkey; ends at the redirect to the client.
pub(crate) async fn enrolled(bed: &Bed) -> Authenticator {
    let begun = bed.portal.begin(&Ask::default()).await.unwrap();
    let mut walker = bed.browser();
    let page = walker.open(&begun.redirect).await;
    let secure = bed.log_in(&mut walker, page.answer, &bed.awa).await;
    assert!(secure.is_at("/secure"));
    let ids = json!({"flow": hidden(&secure.answer, "flow"), "csrf": hidden(&secure.answer, "csrf")});
    let options = json_of(&walker.json("/secure/passkey/start", &ids).await);
    let (passkey, credential) = Authenticator::create(&options, &bed.issuer);
    let answer = walker.json("/secure/passkey/finish", &with(&ids, &credential)).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    let stop = walker.open(json_of(&answer)["location"].as_str().unwrap()).await;
    assert!(stop.callback().code.is_some());
    let replay = walker.json("/secure/passkey/finish", &with(&ids, &credential)).await;
    assert!(!replay.status.is_success(), "a challenge is answered once");
    passkey
}

fn with(ids: &Value, credential: &Value) -> Value {
    json!({"flow": ids["flow"], "csrf": ids["csrf"], "credential": credential})
}

async fn login_page(bed: &Bed) -> (Walker, Value, identity::rp::Pending) {
    let begun = bed.portal.begin(&Ask::default()).await.unwrap();
    let mut walker = bed.browser();
    let page = walker.open(&begun.redirect).await.answer;
    let ids = json!({"flow": hidden(&page, "flow"), "csrf": hidden(&page, "csrf")});
    (walker, ids, begun.pending)
}

#[tokio::test]
async fn a_passkey_made_after_a_login_by_codes_logs_in_without_a_number() {
    for bed in beds().await {
        let mut passkey = enrolled(&bed).await;
        let (mut walker, ids, pending) = login_page(&bed).await;
        let options = json_of(&walker.json("/login/passkey/start", &ids).await);
        assert_eq!(options["publicKey"]["allowCredentials"], json!([]), "any passkey of this site");
        let answer = walker.json("/login/passkey/finish", &with(&ids, &passkey.get(&options))).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        let stop = walker.open(json_of(&answer)["location"].as_str().unwrap()).await;
        let Outcome::LoggedIn(login) = bed.portal.finish(&pending, &stop.callback()).await.unwrap() else {
            panic!("refused")
        };
        assert_eq!((login.acr, login.amr), (Acr::Substantial, vec![Amr::Hwk, Amr::User, Amr::Mfa]));
    }
}

#[tokio::test]
async fn a_passkey_without_user_verification_of_another_origin_or_for_another_challenge_is_refused() {
    for bed in beds().await {
        let mut passkey = enrolled(&bed).await;
        let (mut walker, ids, _) = login_page(&bed).await;
        let options = json_of(&walker.json("/login/passkey/start", &ids).await);
        passkey.verifies = false;
        let answer = walker.json("/login/passkey/finish", &with(&ids, &passkey.get(&options))).await;
        assert_eq!(answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
        passkey.verifies = true;
        let answer = walker.json("/login/passkey/finish", &with(&ids, &passkey.get(&options))).await;
        assert_eq!(answer.status, http::StatusCode::UNPROCESSABLE_ENTITY, "that challenge is spent");
        let options = json_of(&walker.json("/login/passkey/start", &ids).await);
        passkey.move_to("http://evil.example");
        let answer = walker.json("/login/passkey/finish", &with(&ids, &passkey.get(&options))).await;
        assert_eq!(answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
        passkey.move_to(&bed.issuer);
        let options = json_of(&walker.json("/login/passkey/start", &ids).await);
        let mut old = options.clone();
        old["publicKey"]["challenge"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let answer = walker.json("/login/passkey/finish", &with(&ids, &passkey.get(&old))).await;
        assert_eq!(answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn a_passkey_cannot_be_made_without_a_fresh_login() {
    for bed in beds().await {
        let (mut walker, ids, _) = login_page(&bed).await;
        let answer = walker.json("/secure/passkey/start", &ids).await;
        assert_eq!(answer.status, http::StatusCode::FORBIDDEN);
    }
}
