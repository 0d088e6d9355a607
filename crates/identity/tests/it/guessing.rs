//! What somebody who guesses must not gain.

use std::time::Duration;

use identity::rp::Ask;
use identity::testing::{ACTIVATION_CODE, PIN, citizen};
use web::testing::Answer;

use crate::bed::{Bed, Walker, beds, hidden};

async fn login_page(bed: &Bed) -> (Walker, Answer) {
    let begun = bed.portal.begin(&Ask::default()).await.unwrap();
    let mut walker = bed.browser();
    let page = walker.open(&begun.redirect).await;
    (walker, page.answer)
}

/// The page without what differs from page to page: flow, form token and the number that was typed.
fn essence(answer: &Answer, number: &str) -> String {
    let (flow, csrf) = (hidden(answer, "flow"), hidden(answer, "csrf"));
    answer.body.replace(number, "NUMBER").replace(&flow, "FLOW").replace(&csrf, "CSRF")
}

#[tokio::test]
async fn an_unknown_number_a_wrong_pin_and_an_account_without_pin_look_alike() {
    for bed in beds().await {
        let mut fatou = citizen("Fatou Sarr").unwrap();
        fatou.pin = None;
        bed.identity.enrol(vec![fatou.clone()]).await.unwrap();
        let mut answers = Vec::new();
        for number in [bed.awa.national_number.as_str(), fatou.national_number.as_str(), "1K05199012345"] {
            let (mut walker, page) = login_page(&bed).await;
            let stop = walker.submit("/login", &page, &[("number", number), ("pin", "111222")]).await;
            assert_eq!(stop.answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
            answers.push(essence(&stop.answer, number));
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    }
}

#[tokio::test]
async fn an_unknown_number_a_wrong_letter_and_a_used_letter_look_alike() {
    for bed in beds().await {
        let _ = bed.portal_login(&mut bed.browser()).await;
        let fatou = citizen("Fatou Sarr").unwrap();
        bed.identity.enrol(vec![fatou.clone()]).await.unwrap();
        let used = (bed.awa.national_number.as_str(), ACTIVATION_CODE);
        let wrong = (fatou.national_number.as_str(), "AAAA-BBBB");
        let mut answers = Vec::new();
        for (number, code) in [used, wrong, ("1K05199012345", ACTIVATION_CODE)] {
            let (mut walker, page) = login_page(&bed).await;
            let stop = walker.submit("/first-use", &page, &[("number", number), ("code", code)]).await;
            assert_eq!(stop.answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
            answers.push(essence(&stop.answer, number));
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    }
}

#[tokio::test]
async fn guessing_a_pin_is_slowed_down_even_with_the_right_one_and_for_unknown_numbers_too() {
    for bed in beds().await {
        for number in [bed.awa.national_number.as_str(), "1K05199012345"] {
            let (mut walker, page) = login_page(&bed).await;
            for _ in 0..5 {
                let stop = walker.submit("/login", &page, &[("number", number), ("pin", "111222")]).await;
                assert_eq!(stop.answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
            }
            let stop = walker.submit("/login", &page, &[("number", number), ("pin", PIN)]).await;
            assert_eq!(stop.answer.status, http::StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(stop.answer.headers["retry-after"], "30");
            assert!(stop.answer.body.contains("Attendez une minute"));
        }
        bed.clock.advance(Duration::from_secs(30));
        let (mut walker, page) = login_page(&bed).await;
        let number = bed.awa.national_number.as_str();
        let stop = walker.submit("/login", &page, &[("number", number), ("pin", "111222")]).await;
        assert_eq!(stop.answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
        let stop = walker.submit("/login", &page, &[("number", number), ("pin", PIN)]).await;
        assert_eq!(stop.answer.headers["retry-after"], "60", "the delay doubles");
        bed.clock.advance(Duration::from_mins(1));
        let stop = walker.submit("/login", &page, &[("number", number), ("pin", PIN)]).await;
        assert!(stop.is_at("/login/letter"), "{}", stop.url);
    }
}

#[tokio::test]
async fn parallel_guesses_do_not_slip_past_the_counter() {
    for bed in beds().await {
        let (walker, page) = login_page(&bed).await;
        let number = bed.awa.national_number.as_str().to_owned();
        let guesses = (0..12).map(|guess| {
            let mut walker = Walker { browser: walker.browser.clone(), issuer: walker.issuer.clone() };
            let (page, number) = (page.clone(), number.clone());
            tokio::spawn(async move {
                let pin = format!("11122{guess}");
                walker.submit("/login", &page, &[("number", &number), ("pin", &pin)]).await.answer.status.as_u16()
            })
        });
        let mut checked = 0;
        for guess in guesses.collect::<Vec<_>>() {
            checked += usize::from(guess.await.unwrap() == 422);
        }
        assert_eq!(checked, 5);
    }
}

#[tokio::test]
async fn an_sms_code_dies_after_five_attempts_or_five_minutes_and_works_once() {
    for bed in beds().await {
        let _ = bed.portal_login(&mut bed.browser()).await;
        let number = bed.awa.national_number.as_str();
        let (mut walker, page) = login_page(&bed).await;
        let sms = walker.submit("/login", &page, &[("number", number), ("pin", PIN)]).await;
        assert!(sms.is_at("/login/sms"));
        assert!(!sms.answer.body.contains(bed.awa.phone.as_deref().unwrap()), "the page hides the phone");
        let code = bed.sms_code().await;
        bed.clock.advance(Duration::from_mins(5));
        let over = walker.submit("/login/sms", &sms.answer, &[("code", &code)]).await;
        assert!(over.answer.body.contains("plus valable"));
        let again = walker.submit("/login/sms/again", &sms.answer, &[]).await;
        assert!(again.is_at("/login/sms"));
        let code = bed.sms_code().await;
        let wrong = if code == "000000" { "000001" } else { "000000" };
        for _ in 0..3 {
            let stop = walker.submit("/login/sms", &sms.answer, &[("code", wrong)]).await;
            assert_eq!(stop.answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
        }
        let stop = walker.submit("/login/sms", &sms.answer, &[("code", &code)]).await;
        assert_eq!(stop.answer.status, http::StatusCode::TOO_MANY_REQUESTS, "the account waits as well");
        bed.clock.advance(Duration::from_secs(30));
        let spaced = format!("{} {}", &code[..3], &code[3..]);
        let stop = walker.submit("/login/sms", &sms.answer, &[("code", &spaced)]).await;
        assert!(stop.is_at("/secure"), "{}", stop.url);
        let stop = walker.submit("/login/sms", &sms.answer, &[("code", &code)]).await;
        assert_eq!(stop.answer.status, http::StatusCode::FORBIDDEN, "the form died with the session before the login");
    }
}

#[tokio::test]
async fn a_code_belongs_to_its_login_and_messages_are_rationed() {
    for bed in beds().await {
        let _ = bed.portal_login(&mut bed.browser()).await;
        let number = bed.awa.national_number.as_str();
        let (mut first, page) = login_page(&bed).await;
        let first_sms = first.submit("/login", &page, &[("number", number), ("pin", PIN)]).await;
        let first_code = bed.sms_code().await;
        bed.clock.advance(Duration::from_secs(1));
        let (mut second, page) = login_page(&bed).await;
        let second_sms = second.submit("/login", &page, &[("number", number), ("pin", PIN)]).await;
        let stop = second.submit("/login/sms", &second_sms.answer, &[("code", &first_code)]).await;
        assert_eq!(stop.answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
        let stop = first.submit("/login/sms/again", &first_sms.answer, &[]).await;
        assert_eq!(stop.answer.status, http::StatusCode::TOO_MANY_REQUESTS, "thirty seconds between two messages");
        for _ in 0..2 {
            bed.clock.advance(Duration::from_secs(30));
            assert!(first.submit("/login/sms/again", &first_sms.answer, &[]).await.is_at("/login/sms"));
        }
        bed.clock.advance(Duration::from_mins(50));
        let stop = first.submit("/login/sms/again", &first_sms.answer, &[]).await;
        assert!(!stop.answer.status.is_success(), "three messages a login");
    }
}

#[tokio::test]
async fn another_browser_cannot_go_on_with_a_login_and_a_form_needs_its_token() {
    for bed in beds().await {
        let number = bed.awa.national_number.as_str();
        let (mut walker, page) = login_page(&bed).await;
        let (mut thief, _) = login_page(&bed).await;
        let answer = thief.post("/login", &page, &[("number", number), ("pin", PIN)]).await;
        assert_eq!(answer.status, http::StatusCode::BAD_REQUEST);
        let answer = walker.post("/login", &page, &[("number", number), ("pin", PIN), ("csrf", "x")]).await;
        assert_eq!(answer.status, http::StatusCode::FORBIDDEN);
        let answer = walker.browser.post_from_elsewhere("/login", &[("number", number), ("pin", PIN)]).await;
        assert_eq!(answer.status, http::StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn the_cookie_changes_at_login_and_a_flow_ends_after_half_an_hour() {
    for bed in beds().await {
        let (mut walker, page) = login_page(&bed).await;
        let mut before = walker.browser.clone();
        let stop = bed.log_in(&mut walker, page, &bed.awa).await;
        assert!(stop.is_at("/secure"));
        let path = stop.url.clone();
        assert_eq!(before.get(&path).await.status, http::StatusCode::BAD_REQUEST, "the old cookie opens nothing");
        bed.clock.advance(Duration::from_mins(30));
        assert_eq!(walker.browser.get(&path).await.status, http::StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_code_sent_to_ones_own_phone_opens_nobody_elses_account() {
    for bed in beds().await {
        let thief = citizen("Ibou Fall").unwrap();
        bed.identity.enrol(vec![thief.clone()]).await.unwrap();
        let _ = bed.portal_login(&mut bed.browser()).await;
        let (mut walker, page) = login_page(&bed).await;
        let letter = [("number", thief.national_number.as_str()), ("code", ACTIVATION_CODE)];
        assert!(walker.submit("/first-use", &page, &letter).await.is_at("/login/sms"));
        let own_code = bed.sms_code().await;
        let number = bed.awa.national_number.as_str();
        let stop = walker.submit("/login", &page, &[("number", number), ("pin", PIN)]).await;
        assert_eq!(stop.answer.status, http::StatusCode::TOO_MANY_REQUESTS, "no second message in this login yet");
        bed.clock.advance(Duration::from_secs(30));
        let stop = walker.submit("/login", &page, &[("number", number), ("pin", PIN)]).await;
        assert!(stop.is_at("/login/sms"));
        let stop = walker.submit("/login/sms", &stop.answer, &[("code", &own_code)]).await;
        assert_eq!(stop.answer.status, http::StatusCode::UNPROCESSABLE_ENTITY);
    }
}
