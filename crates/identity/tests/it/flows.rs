//! What should work.

use std::time::Duration;

use civic::Clock;
use identity::rp::{Ask, Outcome};
use identity::testing::citizen;
use identity::{Acr, Amr, NewCitizen, Scope};

use crate::bed::{PORTAL_URL, beds, json_of};

#[tokio::test]
async fn a_citizen_logs_in_at_the_portal_by_pin_letter_and_sms_then_by_pin_and_sms() {
    for bed in beds().await {
        let mut walker = bed.browser();
        let first = bed.portal_login(&mut walker).await;
        assert_eq!(first.acr, Acr::Substantial);
        assert_eq!(first.amr, [Amr::Pin, Amr::Otp, Amr::Sms, Amr::Mfa]);
        assert_eq!(first.name.as_deref(), Some("Awa Ndiaye"));
        assert_eq!(first.person.as_ref(), Some(&bed.awa.person));
        assert_eq!(first.national_number.as_ref(), Some(&bed.awa.national_number));
        assert_eq!(first.auth_time, bed.clock.now());
        let again = bed.portal_login(&mut bed.browser()).await;
        assert_eq!(again.amr, [Amr::Pin, Amr::Sms, Amr::Mfa]);
        assert_eq!(again.subject, first.subject);
    }
}

#[tokio::test]
async fn a_foreign_client_gets_no_silent_login_and_learns_another_subject_and_no_name() {
    for bed in beds().await {
        let mut walker = bed.browser();
        let portal = bed.portal_login(&mut walker).await;
        let begun = bed.bank.begin(&Ask::default()).await.unwrap();
        let page = walker.open(&begun.redirect).await;
        assert!(page.is_at("/login"), "the session of the portal is not shown to a bank without a word");
        let stop = bed.log_in(&mut walker, page.answer, &bed.awa).await;
        let Outcome::LoggedIn(bank) = bed.bank.finish(&begun.pending, &stop.callback()).await.unwrap() else {
            panic!("refused")
        };
        assert_ne!(bank.subject, portal.subject);
        assert_eq!((bank.name, bank.person, bank.national_number), (None, None, None));
    }
}

#[tokio::test]
async fn userinfo_says_what_the_id_token_said() {
    for bed in beds().await {
        let login = bed.portal_login(&mut bed.browser()).await;
        let mut program = web::testing::Browser::new(bed.router.clone());
        let bearer = format!("bearer {}", login.access_token);
        let answer =
            program.send(http::Method::GET, "/userinfo", String::new(), &[("authorization", bearer.as_str())]).await;
        let claims = json_of(&answer);
        assert_eq!(claims["sub"], login.subject);
        assert_eq!(claims["name"], "Awa Ndiaye");
        assert_eq!(claims["national_number"], bed.awa.national_number.as_str());
        let none = program.send(http::Method::GET, "/userinfo", String::new(), &[]).await;
        assert_eq!(none.status, http::StatusCode::UNAUTHORIZED);
        assert_eq!(none.headers["www-authenticate"], "Bearer");
    }
}

#[tokio::test]
async fn cancelling_the_login_is_a_refusal_that_carries_state_and_issuer() {
    for bed in beds().await {
        let begun = bed.bank.begin(&Ask::default()).await.unwrap();
        let mut walker = bed.browser();
        let page = walker.open(&begun.redirect).await;
        let stop = walker.submit("/cancel", &page.answer, &[]).await;
        let callback = stop.callback();
        assert_eq!(callback.error.as_deref(), Some("access_denied"));
        assert_eq!(callback.iss.as_deref(), Some(bed.issuer.as_str()));
        assert!(matches!(bed.bank.finish(&begun.pending, &callback).await.unwrap(), Outcome::Refused));
        let again = walker.open(&begun.redirect).await;
        assert_eq!(again.answer.status, http::StatusCode::BAD_REQUEST, "the request is spent");
    }
}

#[tokio::test]
async fn a_citizen_without_a_phone_activates_by_pin_and_letter_at_level_low() {
    for bed in beds().await {
        let moussa = NewCitizen { phone: None, ..citizen("Moussa Diallo").unwrap() };
        bed.identity.enrol(vec![moussa.clone()]).await.unwrap();
        for amr in [vec![Amr::Pin, Amr::Otp, Amr::Mfa], vec![Amr::Pin]] {
            let begun = bed.portal.begin(&Ask::default()).await.unwrap();
            let mut walker = bed.browser();
            let page = walker.open(&begun.redirect).await;
            let mut stop = bed.log_in(&mut walker, page.answer, &moussa).await;
            if stop.is_at("/secure") {
                assert!(stop.answer.body.contains("Aucun téléphone"), "a plain notice tells the lower level");
                stop = walker.submit("/secure/later", &stop.answer, &[]).await;
            }
            let Outcome::LoggedIn(login) = bed.portal.finish(&begun.pending, &stop.callback()).await.unwrap() else {
                panic!("refused")
            };
            assert_eq!((login.acr, login.amr), (Acr::Low, amr));
        }
    }
}

#[tokio::test]
async fn first_use_with_the_letter_alone_ends_with_a_pin_of_ones_own() {
    for bed in beds().await {
        let fatou = NewCitizen { pin: None, ..citizen("Fatou Sarr").unwrap() };
        bed.identity.enrol(vec![fatou.clone()]).await.unwrap();
        let begun = bed.portal.begin(&Ask::default()).await.unwrap();
        let mut walker = bed.browser();
        let page = walker.open(&begun.redirect).await;
        let fields = [("number", fatou.national_number.as_str()), ("code", "k7px 2mqf")];
        let stop = walker.submit("/first-use", &page.answer, &fields).await;
        assert!(stop.is_at("/login/sms"));
        let code = bed.sms_code().await;
        let stop = walker.submit("/login/sms", &stop.answer, &[("code", &code)]).await;
        assert!(stop.is_at("/secure"));
        let later = walker.submit("/secure/later", &stop.answer, &[]).await;
        assert!(later.is_at("/secure"), "without PIN and passkey nobody could come back");
        let weak = walker.submit("/secure/pin", &stop.answer, &[("new_pin", "123456"), ("again", "123456")]).await;
        assert_eq!(weak.answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
        let other = walker.submit("/secure/pin", &stop.answer, &[("new_pin", "482915"), ("again", "482916")]).await;
        assert!(other.answer.body.contains("pas les mêmes"));
        let stop = walker.submit("/secure/pin", &stop.answer, &[("new_pin", "482915"), ("again", "482915")]).await;
        assert!(stop.callback().code.is_some());
        let begun = bed.portal.begin(&Ask::default()).await.unwrap();
        let mut walker = bed.browser();
        let page = walker.open(&begun.redirect).await;
        let stop = bed.log_in(&mut walker, page.answer, &fatou).await;
        assert!(stop.is_at("/secure"), "the PIN and the phone are enough now: {}", stop.url);
    }
}

#[tokio::test]
async fn an_old_login_or_prompt_login_asks_again_and_prompt_none_never_asks() {
    for bed in beds().await {
        let mut walker = bed.browser();
        let _ = bed.portal_login(&mut walker).await;
        bed.clock.advance(Duration::from_mins(2));
        let begun = bed.portal.begin(&Ask::default()).await.unwrap();
        assert!(walker.open(&begun.redirect).await.callback().code.is_some(), "the session is found");
        let begun = bed.portal.begin(&Ask { max_age_seconds: Some(60), ..Ask::default() }).await.unwrap();
        assert!(walker.open(&begun.redirect).await.is_at("/login"), "but it is too old");
        let pushed = bed.push(&[("prompt", "login")]).await;
        assert!(bed.authorize(&mut walker, &json_of(&pushed)["request_uri"]).await.is_at("/login"));
        let pushed = bed.push(&[("prompt", "none")]).await;
        let stop = bed.authorize(&mut bed.browser(), &json_of(&pushed)["request_uri"]).await;
        assert_eq!(stop.callback().error.as_deref(), Some("login_required"));
        assert_eq!(stop.callback().state.as_deref(), Some("s-1"));
    }
}

#[tokio::test]
async fn logout_with_the_id_token_ends_the_session_and_goes_back_only_to_a_registered_address() {
    for bed in beds().await {
        let mut walker = bed.browser();
        let login = bed.portal_login(&mut walker).await;
        let elsewhere = bed.portal.logout_url(&login.id_token, "http://evil.example/").await.unwrap();
        let stop = walker.open(&elsewhere).await;
        assert_eq!(stop.answer.status, http::StatusCode::BAD_REQUEST);
        let home = format!("{PORTAL_URL}/");
        let url = bed.portal.logout_url(&login.id_token, &home).await.unwrap();
        assert_eq!(walker.open(&url).await.url, home);
        let begun = bed.portal.begin(&Ask::default()).await.unwrap();
        assert!(walker.open(&begun.redirect).await.is_at("/login"));
    }
}

#[tokio::test]
async fn logout_without_a_hint_asks_first() {
    for bed in beds().await {
        let mut walker = bed.browser();
        let _ = bed.portal_login(&mut walker).await;
        let page = walker.open("/logout").await;
        assert!(page.answer.body.contains("Me déconnecter"));
        let foreign = walker.browser.post("/logout", &[("csrf", "x")]).await;
        assert_eq!(foreign.status, http::StatusCode::FORBIDDEN);
        let csrf = page.answer.csrf();
        let done = walker.browser.post("/logout", &[("csrf", &csrf)]).await;
        assert_eq!(done.status, http::StatusCode::OK);
        let begun = bed.portal.begin(&Ask { scopes: vec![Scope::Profile], ..Ask::default() }).await.unwrap();
        assert!(walker.open(&begun.redirect).await.is_at("/login"));
    }
}

#[tokio::test]
async fn ten_thousand_citizens_are_enrolled_and_stay_as_they_are_the_second_time() {
    let bed = beds().await.remove(0);
    let people: Vec<NewCitizen> = (0..10_000_u32)
        .map(|number| NewCitizen {
            person: civic::PersonId::draw(&civic::testing::SeededRandom::new(u64::from(number) * 7_919)),
            national_number: format!("1K051980{number:05}").parse().unwrap(),
            pin: None,
            ..citizen("Somebody").unwrap()
        })
        .collect();
    assert_eq!(bed.identity.enrol(people.clone()).await.unwrap(), 10_000);
    assert_eq!(bed.identity.enrol(people).await.unwrap(), 0);
}
