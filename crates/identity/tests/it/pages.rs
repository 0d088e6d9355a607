//! What people see: complete without a script, labelled, light, in both languages.

use identity::rp::Ask;
use identity::testing::PIN;
use web::testing::{Answer, Browser, faults};

use crate::bed::beds;

fn check(name: &str, page: &Answer) {
    assert_eq!(faults(&page.body), Vec::<String>::new(), "{name}");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{name}: {policy}");
    assert_eq!(page.headers["cache-control"], "no-store", "{name}");
}

#[tokio::test]
async fn every_page_of_the_login_is_sound_in_both_languages() {
    let bed = beds().await.remove(0);
    for language in ["fr", "en"] {
        let begun = bed
            .portal
            .begin(&Ask {
                locale: if language == "fr" { civic::Locale::Fr } else { civic::Locale::En },
                ..Ask::default()
            })
            .await
            .unwrap();
        let mut walker = bed.browser();
        let login = walker.open(&begun.redirect).await;
        check("login", &login.answer);
        assert!(login.answer.body.contains(&format!("<html lang=\"{language}\">")));
        check("first use", &walker.open(&login.url.replace("/login", "/first-use")).await.answer);
        let number = bed.awa.national_number.as_str();
        let wrong = walker.submit("/login", &login.answer, &[("number", number), ("pin", "111222")]).await;
        check("login again", &wrong.answer);
        assert!(wrong.answer.body.contains(number), "what was typed is still there");
        assert!(!wrong.answer.body.contains("111222"), "but never the PIN");
        let next = walker.submit("/login", &login.answer, &[("number", number), ("pin", PIN)]).await;
        check("letter or SMS", &next.answer);
        let secure = bed.log_in(&mut walker, login.answer, &bed.awa).await;
        check("secure", &secure.answer);
        check("home", &walker.open("/").await.answer);
        check("logout", &walker.open("/logout").await.answer);
        assert!(walker.submit("/secure/later", &secure.answer, &[]).await.callback().code.is_some());
    }
}

#[tokio::test]
async fn the_handset_shows_the_latest_message_first_and_filters_by_number() {
    for bed in beds().await {
        let mut page = Browser::new(bed.phone.room("http://localhost:8603").router);
        let empty = page.get("/").await;
        check("empty handset", &empty);
        assert!(empty.body.contains("Aucun message"));
        let _ = bed.portal_login(&mut bed.browser()).await;
        let full = page.get("/?lang=en").await;
        check("handset", &full);
        assert_eq!(full.headers["refresh"], "3");
        assert!(full.body.contains(&bed.sms_code().await));
        assert!(!page.get("/?number=000000000000").await.body.contains("valable"));
    }
}

#[tokio::test]
async fn a_flow_that_is_over_says_what_to_do() {
    let bed = beds().await.remove(0);
    let page = bed.browser().open("/login?flow=unknown").await;
    assert_eq!(page.answer.status, http::StatusCode::BAD_REQUEST);
    assert!(page.answer.body.contains("recommencez"));
}
