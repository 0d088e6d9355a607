//! The operator's console in a real browser without scripts, on a phone's width: a certificate renewed, a subsystem registered.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use http::Method;

use crate::browser::{Browser, Scripts};
use crate::federation::BANK;
use crate::management::House;

/// The words that the journey looks for.
struct Words {
    code: &'static str,
    registered: &'static str,
    in_use: &'static str,
    refused: &'static str,
}

const FRENCH: Words =
    Words { code: "fr", registered: "Enregistré", in_use: "est en service.", refused: "n’est pas un certificat" };
const ENGLISH: Words =
    Words { code: "en", registered: "Registered", in_use: "is in use.", refused: "is no certificate" };

impl Words {
    /// Keeps a picture of the page, which must fit a phone.
    async fn picture(&self, browser: &Browser, name: &str) {
        assert!(!browser.scrolls_sideways().await, "{name} is wider than a phone");
        browser.picture(&format!("console-{name}-{}", self.code)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_and_a_subsystem_registered_by_hand_in_both_languages() {
    let house = House::start().await;
    house.call_until_well(BANK).await;
    for (words, subsystem) in [(&FRENCH, "cartes"), (&ENGLISH, "cards")] {
        let browser = Browser::open(360, Scripts::Off, words.code).await;
        let console = format!("http://{}/console", house.federation.at(3, 8090));
        browser.go(&console).await;
        browser.fill("key", &house.key).await;
        browser.click("main form button").await;
        browser.go(&format!("{console}/keys")).await;
        words.picture(&browser, "keys").await;
        renew(&house, &browser, words).await;
        register(&house, &browser, words, &console, subsystem).await;
        browser.go(&format!("{console}/changes")).await;
        words.picture(&browser, "changes").await;
        browser.close().await;
    }
    house.stop();
}

/// A new authentication certificate, from the page of keys to the exchange that uses it.
async fn renew(house: &House, browser: &Browser, words: &Words) {
    browser.click("a[href='/console/keys/new?usage=AUTHENTICATION']").await;
    words.picture(browser, "renew").await;
    browser.click("main form .button").await;
    words.picture(browser, "request").await;
    let link = browser.attribute("a[download]", "href").await;
    let (key, csr) = link.trim_start_matches("/console/keys/requests/").split_once('/').unwrap();
    let path = format!("/keys/{key}/csrs/{csr}?csr_format=PEM");
    let request = house.send(Method::GET, &path, "application/json", Bytes::new()).await;
    std::fs::write(house.federation.home("authority").join("request.pem"), &request.body).unwrap();
    let answer = house.authority(&["sign", "--profile", "auth", "--server", "BB/COM/2001/node-1", "request.pem"]);

    browser.click("a[href='/console/keys/certificate']").await;
    browser.fill("text", "not a certificate").await;
    browser.click("main form .button").await;
    browser.wait_for_text(words.refused).await;
    words.picture(browser, "refused").await;
    browser.fill("text", answer.trim()).await;
    browser.click("main form .button").await;
    words.picture(browser, "imported").await;

    browser.click("a[href$='/register']").await;
    words.picture(browser, "register").await;
    browser.click("main form .button").await;
    words.picture(browser, "asked").await;
    house.authority(&["approve", &house.waiting("authCertReg")]);
    wait_for(browser, "a[href$='/activate']").await;
    // The peers learn the certificate within their rhythm.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let activate = browser.attribute("a[href$='/activate']", "href").await;
    browser.click("a[href$='/activate']").await;
    browser.click("main form .button").await;
    browser.wait_for_text(words.in_use).await;
    words.picture(browser, "activated").await;
    house.call_until_well(BANK).await;
    let hash = activate.split('/').rev().nth(1).unwrap();
    assert_eq!(house.get(&format!("/token-certificates/{hash}")).await["active"], true);
}

/// A new subsystem, from the page of subsystems to its first exchange; then it is given back.
async fn register(house: &House, browser: &Browser, words: &Words, console: &str, code: &str) {
    browser.go(&format!("{console}/clients")).await;
    browser.fill("code", code).await;
    browser.click("form[action='/console/clients/add'] .button").await;
    words.picture(browser, "clients-asked").await;
    house.authority(&["approve", &house.waiting("clientReg")]);
    house.until(&format!("/clients/BB:COM:2001:{code}"), "status", "REGISTERED").await;
    browser.go(&format!("{console}/clients")).await;
    browser.wait_for_text(words.registered).await;
    words.picture(browser, "clients").await;
    browser.click(&format!("a[href='/console/clients/BB:COM:2001:{code}/unregister']")).await;
    words.picture(browser, "clients-unregister").await;
    browser.click("main form .button").await;
    house.until(&format!("/clients/BB:COM:2001:{code}"), "status", "DELETION_IN_PROGRESS").await;
}

/// Loads the page again until it has this.
async fn wait_for(browser: &Browser, selector: &str) {
    let started = Instant::now();
    while !browser.has(selector).await {
        assert!(started.elapsed() < Duration::from_mins(1), "{selector} does not come: {}", browser.text("main").await);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let address = browser.address().await;
        browser.go(&address).await;
    }
}
