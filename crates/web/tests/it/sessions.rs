use std::sync::Arc;
use std::time::Duration;

use civic::SharedClock;
use civic::testing::TestClock;
use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};
use web::{SessionConfig, Sessions, session};

use crate::random;

type Names = Sessions<Vec<String>>;

fn headers(set_cookie: &HeaderValue) -> HeaderMap {
    let pair = set_cookie.to_str().unwrap().split(';').next().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_str(&format!("other=1; {pair}")).unwrap());
    headers
}

async fn everywhere() -> Vec<(Names, store::Store, Arc<TestClock>)> {
    let mut all = Vec::new();
    for store in store::testing::engines().await {
        store.migrate(&[session::migration()]).await.unwrap();
        let clock = Arc::new(TestClock::at("2026-11-21T22:00:00Z"));
        let shared: SharedClock = Arc::clone(&clock) as SharedClock;
        all.push((Names::new(store.clone(), SessionConfig::new("test", false), shared, random()), store, clock));
    }
    all
}

#[tokio::test]
async fn a_session_remembers_until_it_is_ended() {
    for (sessions, _, _) in everywhere().await {
        let (mut session, cookie) = sessions.start(vec!["Awa".into()]).await.unwrap();
        let text = cookie.to_str().unwrap();
        assert!(text.starts_with("baobab_test=") && text.contains("HttpOnly; SameSite=Lax"), "{text}");
        session.data.push("Modou".into());
        sessions.save(&session).await.unwrap();
        let again = sessions.load(&headers(&cookie)).await.unwrap().unwrap();
        assert_eq!(again.data, ["Awa", "Modou"]);
        let gone = sessions.end(&again).await.unwrap();
        assert!(gone.to_str().unwrap().contains("Max-Age=0"));
        assert!(sessions.load(&headers(&cookie)).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_session_ends_when_unused_and_at_the_latest_after_its_whole_life() {
    for (sessions, _, clock) in everywhere().await {
        let (_, idle) = sessions.start(Vec::new()).await.unwrap();
        clock.advance(Duration::from_mins(29));
        assert!(sessions.load(&headers(&idle)).await.unwrap().is_some(), "use keeps it alive");
        clock.advance(Duration::from_mins(29));
        assert!(sessions.load(&headers(&idle)).await.unwrap().is_some());
        clock.advance(Duration::from_mins(31));
        assert!(sessions.load(&headers(&idle)).await.unwrap().is_none());

        let (_, busy) = sessions.start(Vec::new()).await.unwrap();
        for _ in 0..24 {
            clock.advance(Duration::from_mins(29));
            sessions.load(&headers(&busy)).await.unwrap().unwrap();
        }
        clock.advance(Duration::from_mins(29));
        assert!(sessions.load(&headers(&busy)).await.unwrap().is_none(), "twelve hours in all");
        assert_eq!(sessions.purge().await.unwrap(), 2);
    }
}

#[tokio::test]
async fn a_login_gets_a_new_id_and_the_old_one_opens_nothing() {
    for (sessions, _, _) in everywhere().await {
        let (before, old) = sessions.start(Vec::new()).await.unwrap();
        let (after, new) = sessions.renew(&before, vec!["Awa".into()]).await.unwrap();
        assert!(sessions.load(&headers(&old)).await.unwrap().is_none());
        assert_eq!(sessions.load(&headers(&new)).await.unwrap().unwrap().data, ["Awa"]);
        assert!(after.verify_csrf(&after.csrf()).is_ok());
        assert!(after.verify_csrf(&before.csrf()).is_err(), "a form of the old session is refused");
        assert!(after.verify_csrf("").is_err());
    }
}

#[tokio::test]
async fn a_cookie_of_another_site_or_of_nobody_opens_nothing() {
    for (sessions, store, clock) in everywhere().await {
        let (_, cookie) = sessions.start(Vec::new()).await.unwrap();
        let other = Names::new(store, SessionConfig::new("bank", false), clock, random());
        let renamed = cookie.to_str().unwrap().replace("baobab_test", "baobab_bank");
        assert!(other.load(&headers(&HeaderValue::from_str(&renamed).unwrap())).await.unwrap().is_none());
        let forged = format!("baobab_test={}", "0".repeat(64));
        assert!(sessions.load(&headers(&HeaderValue::from_str(&forged).unwrap())).await.unwrap().is_none());
        assert!(sessions.load(&HeaderMap::new()).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn over_https_the_cookie_is_bound_to_its_host() {
    let store = store::testing::sqlite().await;
    store.migrate(&[session::migration()]).await.unwrap();
    let clock: SharedClock = Arc::new(TestClock::at("2026-11-21T22:00:00Z"));
    let sessions = Names::new(store, SessionConfig::new("portal", true), clock, random());
    let (_, cookie) = sessions.start(Vec::new()).await.unwrap();
    let text = cookie.to_str().unwrap();
    assert!(
        text.starts_with("__Host-baobab_portal=") && text.ends_with("; Secure") && text.contains("Path=/;"),
        "{text}"
    );
    assert!(sessions.load(&headers(&cookie)).await.unwrap().is_some());
}
