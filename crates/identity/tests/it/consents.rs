//! The consent screen: what it says, what a yes and a no do, and what nobody can do in the citizen's place.

use std::time::Duration;

use civic::{Clock, Locale};
use consent::GrantState;
use identity::rp::{Outcome, Pending};
use identity::testing::citizen;
use identity::{Acr, NewCitizen, TokenError};
use web::testing::faults;

use crate::bed::{Bed, Stop, Walker, ask_income, beds, hidden, income_request, json_of};

/// Walks to the consent screen as Awa.
async fn screen(bed: &Bed, locale: Locale) -> (Walker, Stop, Pending) {
    let begun = bed.bank.begin(&ask_income(locale)).await.unwrap();
    let mut walker = bed.browser();
    let page = walker.open(&begun.redirect).await;
    let mut stop = bed.log_in(&mut walker, page.answer, &bed.awa).await;
    if stop.is_at("/secure") {
        stop = walker.submit("/secure/later", &stop.answer, &[]).await;
    }
    assert!(stop.is_at("/consent"), "{}", stop.url);
    (walker, stop, begun.pending)
}

#[tokio::test]
async fn a_yes_makes_a_grant_and_a_token_for_the_provider_within_it() {
    for bed in beds().await {
        let (mut walker, page, pending) = screen(&bed, Locale::Fr).await;
        let notice_hash = hidden(&page.answer, "notice");
        let stop = walker.submit("/consent", &page.answer, &[("answer", "allow")]).await;
        let Outcome::LoggedIn(login) = bed.bank.finish(&pending, &stop.callback()).await.unwrap() else {
            panic!("refused")
        };
        let granted = login.granted.as_ref().unwrap();
        let grants = bed.grants.of(&bed.awa.national_number).await.unwrap();
        assert_eq!(grants.len(), 1);
        let grant = &grants[0];
        assert_eq!(granted.grant_id.as_deref(), Some(grant.id.as_str()));
        assert_eq!(grant.client.to_string(), "BB/COM/2001/credit");
        assert_eq!(grant.fields, ["gross_income", "employer"]);
        assert_eq!((grant.uses_max, grant.years.as_slice()), (3, &[2025][..]));
        assert_eq!((grant.notice_hash.as_str(), grant.locale), (notice_hash.as_str(), Locale::Fr));
        assert_eq!((grant.acr.as_str(), grant.auth_time), ("substantial", login.auth_time));

        let verifier = bed.identity.access_token_verifier();
        let (fisc, now) = ("BB/GOV/1002/fisc".parse().unwrap(), bed.clock.now());
        let token = verifier.verify(&login.access_token, &fisc, now).unwrap();
        assert_eq!(token.client_member.to_string(), "BB/COM/2001/credit");
        assert_eq!(token.sub, login.subject);
        assert_eq!(token.covering(&granted.service, "/2025"), Some(granted));
        assert_eq!(token.covering(&granted.service, "/2024"), None);
        let civil = "BB/GOV/1001/etat-civil".parse().unwrap();
        assert!(matches!(verifier.verify(&login.access_token, &civil, now), Err(TokenError::Audience(_))));
        let later = now.plus(Duration::from_hours(1));
        assert!(matches!(verifier.verify(&login.access_token, &fisc, later), Err(TokenError::Expired(_))));
        let earlier = now.minus(Duration::from_mins(1));
        assert!(matches!(verifier.verify(&login.access_token, &fisc, earlier), Err(TokenError::Future(_))));
        let (body, signature) = login.access_token.rsplit_once('.').unwrap();
        // Another first character than the one that is there.
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        let flipped = format!("{body}.{first}{}", &signature[1..]);
        assert!(matches!(verifier.verify(&flipped, &fisc, now), Err(TokenError::Jose(_))));
        let other = beds().await.remove(0).identity.access_token_verifier();
        assert!(other.verify(&login.access_token, &fisc, now).is_err(), "another provider's keys");
    }
}

#[tokio::test]
async fn a_no_goes_back_as_access_denied_and_leaves_no_grant() {
    for bed in beds().await {
        for answer in ["refuse", "", "yes"] {
            let (mut walker, page, pending) = screen(&bed, Locale::Fr).await;
            let stop = walker.submit("/consent", &page.answer, &[("answer", answer)]).await;
            let callback = stop.callback();
            assert_eq!(callback.error.as_deref(), Some("access_denied"));
            assert!(callback.state.is_some() && callback.iss.as_deref() == Some(bed.issuer.as_str()));
            assert!(matches!(bed.bank.finish(&pending, &callback).await.unwrap(), Outcome::Refused));
        }
        assert!(bed.grants.of(&bed.awa.national_number).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_screen_says_everything_in_the_language_of_choice_and_the_grant_keeps_it() {
    for bed in beds().await {
        let (mut walker, french, pending) = screen(&bed, Locale::Fr).await;
        assert_eq!(faults(&french.answer.body), Vec::<String>::new());
        for words in [
            "bank (BB/COM/2001/credit)",
            "Revenu brut de l’année",
            "Nom de l’employeur",
            "Impôts",
            "2025",
            "Étudier votre demande de prêt",
            "30 jours",
            "3 consultations",
            "Loi sur la protection des données",
            "sans ces informations",
            "http://localhost:8600/autorisations",
            "J’autorise",
            "Je refuse",
            "Awa Ndiaye",
        ] {
            assert!(french.answer.body.contains(words), "{words}");
        }
        let english = walker.open(&format!("{}&lang=en", french.url)).await;
        assert!(english.is_at("/consent"));
        for words in ["Gross income of the year", "30 days", "3 looks at most", "I allow it", "I refuse"] {
            assert!(english.answer.body.contains(words), "{words}");
        }
        assert_ne!(hidden(&english.answer, "notice"), hidden(&french.answer, "notice"));
        let stop = walker.submit("/consent", &english.answer, &[("answer", "allow")]).await;
        assert!(matches!(bed.bank.finish(&pending, &stop.callback()).await.unwrap(), Outcome::LoggedIn(_)));
        assert_eq!(bed.grants.of(&bed.awa.national_number).await.unwrap()[0].locale, Locale::En);
    }
}

#[tokio::test]
async fn a_yes_to_another_text_is_no_yes() {
    for bed in beds().await {
        let (mut walker, page, _) = screen(&bed, Locale::Fr).await;
        let other = [("answer", "allow"), ("notice", "0000")];
        let again = walker.submit("/consent", &page.answer, &other).await;
        assert!(again.is_at("/consent"));
        assert!(again.answer.body.contains("a changé"));
        assert!(bed.grants.of(&bed.awa.national_number).await.unwrap().is_empty());
        let foreign = [("answer", "allow"), ("csrf", "x")];
        let answer = walker.post("/consent", &page.answer, &foreign).await;
        assert_eq!(answer.status, http::StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn two_clicks_make_one_grant() {
    for bed in beds().await {
        let (mut walker, page, _) = screen(&bed, Locale::Fr).await;
        let first = walker.submit("/consent", &page.answer, &[("answer", "allow")]).await;
        assert!(first.callback().code.is_some());
        let second = walker.post("/consent", &page.answer, &[("answer", "allow")]).await;
        assert_eq!(second.status, http::StatusCode::CONFLICT);
        assert_eq!(bed.grants.of(&bed.awa.national_number).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_code_that_comes_twice_ends_its_grant() {
    for bed in beds().await {
        let details = serde_json::to_string(&[income_request()]).unwrap();
        let pushed = bed.push(&[("authorization_details", &details)]).await;
        assert_eq!(pushed.status, http::StatusCode::CREATED, "{}", pushed.body);
        let mut walker = bed.browser();
        let page = bed.authorize(&mut walker, &json_of(&pushed)["request_uri"]).await;
        let secure = bed.log_in(&mut walker, page.answer, &bed.awa).await;
        let page = walker.submit("/secure/later", &secure.answer, &[]).await;
        let stop = walker.submit("/consent", &page.answer, &[("answer", "allow")]).await;
        let code = stop.callback().code.unwrap();
        let tokens = json_of(&bed.exchange(&code, &[]).await);
        assert_eq!(tokens["authorization_details"][0]["years"][0], 2025);
        let state = |grants: Vec<consent::Grant>| grants[0].state(bed.clock.now());
        assert_eq!(state(bed.grants.of(&bed.awa.national_number).await.unwrap()), GrantState::Active);
        assert_eq!(json_of(&bed.exchange(&code, &[]).await)["error"], "invalid_grant");
        assert_eq!(state(bed.grants.of(&bed.awa.national_number).await.unwrap()), GrantState::Revoked);
        assert_eq!(json_of(&bed.exchange(&code, &[]).await)["error"], "invalid_grant");
    }
}

#[tokio::test]
async fn a_weak_login_is_told_what_to_do_and_may_go_back() {
    for bed in beds().await {
        let moussa = NewCitizen { phone: None, ..citizen("Moussa Diallo").unwrap() };
        bed.identity.enrol(vec![moussa.clone()]).await.unwrap();
        let begun = bed.bank.begin(&ask_income(Locale::Fr)).await.unwrap();
        let mut walker = bed.browser();
        let page = walker.open(&begun.redirect).await;
        let secure = bed.log_in(&mut walker, page.answer, &moussa).await;
        let stop = walker.submit("/secure/later", &secure.answer, &[]).await;
        assert!(stop.is_at("/stronger"), "{}", stop.url);
        assert_eq!(faults(&stop.answer.body), Vec::<String>::new());
        assert!(walker.open(&stop.url.replace("/stronger", "/consent")).await.is_at("/stronger"));
        let back = walker.submit("/cancel", &stop.answer, &[]).await;
        assert!(matches!(bed.bank.finish(&begun.pending, &back.callback()).await.unwrap(), Outcome::Refused));
    }
}

#[tokio::test]
async fn details_outside_the_register_are_refused_at_the_door() {
    for bed in beds().await {
        let good = serde_json::to_string(&[income_request()]).unwrap();
        for (from, to) in [
            ("income-statement", "debts"),
            ("gross_income", "religion"),
            ("\"uses\":3", "\"uses\":100000"),
            ("\"valid_for_days\":30", "\"valid_for_days\":3000"),
            ("bridge-service", "payment"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            let answer = bed.push(&[("authorization_details", &bad)]).await;
            assert_eq!(json_of(&answer)["error"], "invalid_authorization_details", "{to}");
        }
    }
}

#[tokio::test]
async fn prompt_none_never_consents() {
    for bed in beds().await {
        let mut walker = bed.browser();
        let login = bed.portal_login(&mut walker).await;
        assert_eq!(login.acr, Acr::Substantial);
        let details = serde_json::to_string(&[income_request()]).unwrap();
        let pushed = bed.push(&[("authorization_details", &details), ("prompt", "none")]).await;
        let stop = bed.authorize(&mut walker, &json_of(&pushed)["request_uri"]).await;
        assert_eq!(stop.callback().error.as_deref(), Some("consent_required"));
    }
}
