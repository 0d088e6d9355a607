//! The main job in a real browser: a bank reads a citizen's income, the citizen sees it, proves it, and withdraws.

use serde_json::Value;

use crate::browser::{Browser, Scripts};
use crate::nation::{DemoProcess, baobab};

/// A visitor of the demo nation.
struct Citizen {
    nation: DemoProcess,
    browser: Browser,
    about: Value,
    language: &'static str,
    width: u32,
    _data: tempfile::TempDir,
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_passkey_a_citizen_lets_the_bank_read_and_sees_it_with_its_proof() {
    let citizen = Citizen::arrive(360, Scripts::On, "fr", 0).await;
    citizen.browser.add_virtual_authenticator().await;
    citizen.ask_for_a_loan().await;

    citizen.shows("identity-login").await;
    citizen.browser.click("a[href^='/first-use']").await;
    citizen.browser.fill("number", citizen.about("national_id")).await;
    citizen.browser.fill("code", citizen.about("activation_code")).await;
    citizen.shows("identity-first-use").await;
    citizen.browser.click("main form button").await;
    citizen.enter_code_from_phone().await;
    citizen.shows("identity-secure").await;
    citizen.browser.click("[data-passkey] button").await;
    citizen.agree().await;

    citizen.browser.wait_for_text("id=\"income\"").await;
    citizen.shows("bank-income").await;
    let message_id = citizen.browser.text("ol.line li .mono").await;
    citizen.evidence_is_judged_valid(&message_id).await;

    citizen.log_in_at_the_portal().await;
    citizen.sees_who_looked().await;

    // A new login by passkey, after a complete logout.
    citizen.browser.click("form[action='/logout'] button").await;
    citizen.finish_logout().await;
    citizen.browser.go(&citizen.url("portal", "/login")).await;
    citizen.browser.click("[data-passkey] button").await;
    citizen.browser.wait_for_text("/mes-donnees").await;
    citizen.shows("portal-home").await;
    citizen.walk_the_portal().await;
    citizen.proves_what_was_allowed().await;
    citizen.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_by_pin_and_sms_refusal_consent_and_withdrawal_all_work() {
    let citizen = Citizen::arrive(1280, Scripts::Off, "en", 1).await;
    citizen.ask_for_a_loan().await;
    citizen.browser.fill("number", citizen.about("national_id")).await;
    citizen.browser.fill("pin", citizen.about("pin")).await;
    citizen.shows("identity-login").await;
    citizen.browser.click("form[action='/login'] button").await;
    citizen.browser.fill("code", citizen.about("activation_code")).await;
    citizen.shows("identity-letter").await;
    citizen.browser.click("form[action='/login/letter'] button").await;
    citizen.enter_code_from_phone().await;
    citizen.pass_the_offer_of_a_passkey().await;

    // Refusal is a normal outcome.
    citizen.shows("consent").await;
    citizen.browser.click("button[value='refuse']").await;
    citizen.browser.wait_for_text("id=\"outcome\"").await;
    citizen.shows("bank-refused").await;
    assert!(!citizen.browser.has("#income").await);

    // A second thought.
    citizen.browser.click("form[action$='/consent'] button").await;
    citizen.agree().await;
    citizen.browser.wait_for_text("id=\"income\"").await;
    citizen.shows("bank-income").await;

    citizen.log_in_at_the_portal().await;
    citizen.sees_who_looked().await;
    citizen.withdraw().await;

    // The bank asks once more with the same grant, and is refused.
    citizen.browser.go(&citizen.url("bank", "/")).await;
    citizen.browser.click("ul.cards a").await;
    citizen.browser.click("form[action$='/again'] button").await;
    citizen.browser.wait_for_text("id=\"outcome\"").await;
    citizen.shows("bank-withdrawn").await;
    assert!(!citizen.browser.has("#income dd.new").await);

    // The refused attempt stands in the history of the withdrawn authorisation.
    citizen.browser.go(&citizen.url("portal", "/autorisations")).await;
    citizen.browser.click("table tbody a").await;
    citizen.shows("portal-grant-withdrawn").await;
    let history = citizen.browser.text("main").await;
    assert!(history.contains("refused"), "{history}");
    citizen.walk_the_portal().await;
    citizen.leave().await;
}

impl Citizen {
    async fn arrive(width: u32, scripts: Scripts, language: &'static str, sample: usize) -> Self {
        let data = tempfile::tempdir().unwrap();
        let nation = DemoProcess::start(data.path());
        let about = nation.description()["citizens"][sample].clone();
        let browser = Browser::open(width, scripts, language).await;
        Self { nation, browser, about, language, width, _data: data }
    }

    fn about(&self, key: &str) -> &str {
        self.about[key].as_str().unwrap()
    }

    fn url(&self, part: &str, path: &str) -> String {
        format!("{}{path}", self.nation.description()[part].as_str().unwrap())
    }

    /// Looks at the page as a person would: in the right language, not wider than the window; and keeps a picture.
    async fn shows(&self, name: &str) {
        assert_eq!(self.browser.attribute("html", "lang").await, self.language, "{name}");
        assert!(!self.browser.scrolls_sideways().await, "{name} is wider than {} pixels", self.width);
        self.browser.picture(&format!("{name}-{}-{}", self.language, self.width)).await;
    }

    async fn ask_for_a_loan(&self) {
        self.browser.go(&self.url("bank", "/")).await;
        self.shows("bank-home").await;
        self.browser.go(&self.url("bank", "/loan")).await;
        self.browser.fill("amount", "1500000").await;
        self.browser.press("input[name='months']").await;
        self.browser.press("input[name='project']").await;
        self.shows("bank-loan").await;
        self.browser.click("form[action='/loan'] button").await;
        if self.browser.has("form[action$='/consent'] button").await {
            self.browser.click("form[action$='/consent'] button").await;
        }
    }

    /// Reads the code on the simulated phone and types it.
    async fn enter_code_from_phone(&self) {
        self.browser.wait_for_text("/login/sms").await;
        let here = self.browser.address().await;
        self.shows("identity-sms").await;
        self.browser.go(&self.url("phone", "/")).await;
        self.browser.wait_for_text(self.about("phone")).await;
        self.shows("phone").await;
        let message = self.browser.text("ul.cards li p:last-child").await;
        let code: String = first_number(&message, 6);
        self.browser.go(&here).await;
        self.browser.fill("code", &code).await;
        self.browser.click("form[action='/login/sms'] button").await;
    }

    async fn pass_the_offer_of_a_passkey(&self) {
        if self.browser.has("form[action='/secure/later'] button").await {
            self.shows("identity-secure").await;
            self.browser.click("form[action='/secure/later'] button").await;
        }
    }

    async fn agree(&self) {
        self.browser.wait_for_text("value=\"allow\"").await;
        self.shows("consent").await;
        self.browser.click("button[value='allow']").await;
    }

    async fn log_in_at_the_portal(&self) {
        self.browser.go(&self.url("portal", "/")).await;
        self.shows("portal-welcome").await;
        self.browser.click("a.button[href='/login']").await;
        self.browser.wait_for_text("/mes-donnees").await;
        self.shows("portal-home").await;
    }

    /// The look of the bank is in the list at once, and its proof within seconds.
    async fn sees_who_looked(&self) {
        self.browser.go(&self.url("portal", "/consultations")).await;
        let list = self.browser.text("main").await;
        assert!(list.contains("Banque du Fleuve"), "{list}");
        self.shows("portal-accesses").await;
        for _ in 0..50 {
            self.browser.go(&self.url("portal", "/consultations")).await;
            self.browser.click("table tbody a").await;
            if self.browser.has("a[href^='/consultation.tlog-proof']").await {
                self.shows("portal-access").await;
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("no proof within five seconds: {}", self.browser.text("main").await);
    }

    async fn withdraw(&self) {
        self.browser.go(&self.url("portal", "/autorisations")).await;
        self.shows("portal-grants").await;
        self.browser.click("table tbody a").await;
        self.shows("portal-grant").await;
        self.browser.click("a[href$='/retirer']").await;
        self.shows("portal-revoke").await;
        self.browser.click("form[action$='/retirer'] button").await;
    }

    /// Downloads the proof of an event of the authorisation; it is judged offline with the policy of the log and nothing else.
    async fn proves_what_was_allowed(&self) {
        let link = "a[href*='/preuve.tlog-proof?event=']";
        self.browser.go(&self.url("portal", "/autorisations")).await;
        self.browser.click("table tbody a").await;
        self.browser.wait_for_text("preuve.tlog-proof").await;
        let proof = self.browser.download(&self.browser.attribute(link, "href").await).await;
        let folder = tempfile::tempdir().unwrap();
        let (path, policy) = (folder.path().join("event.tlog-proof"), folder.path().join("policy.txt"));
        std::fs::write(&path, &proof).unwrap();
        std::fs::write(&policy, self.nation.description()["logs"][0]["policy"].as_str().unwrap()).unwrap();
        let judge = ["verify", path.to_str().unwrap(), "--policy", policy.to_str().unwrap()];
        let (valid, said) = baobab(&judge);
        assert!(valid && said.contains("grant_id") && said.contains(self.about("national_id")), "{said}\n{proof}");
        std::fs::write(&path, proof.replacen("index ", "index 1", 1)).unwrap();
        assert!(!baobab(&judge).0, "another place in the log");
    }

    async fn finish_logout(&self) {
        if self.browser.has("form[action='/logout'] button").await {
            self.browser.click("form[action='/logout'] button").await;
        }
    }

    async fn walk_the_portal(&self) {
        for (name, path) in [
            ("portal-data", "/mes-donnees"),
            ("portal-account", "/mon-compte"),
            ("portal-verify", "/verifier"),
            ("portal-grants", "/autorisations"),
        ] {
            self.browser.go(&self.url("portal", path)).await;
            self.shows(name).await;
        }
        self.browser.go(&self.url("bank", "/back-office")).await;
        self.shows("bank-back-office").await;
    }

    /// `GET /asic` of both nodes, judged offline by the same binary; an altered copy is refused.
    async fn evidence_is_judged_valid(&self, message_id: &str) {
        let trust = self.nation.description()["trust"].as_str().unwrap().to_owned();
        for member in ["BB/COM/2001/credit", "BB/GOV/1002/fisc"] {
            let parts: Vec<&str> = member.split('/').collect();
            let url = format!(
                "{}/asic?queryId={message_id}&xRoadInstance={}&memberClass={}&memberCode={}&subsystemCode={}&responseOnly&unique&force",
                self.nation.consumer_url(member),
                parts[0],
                parts[1],
                parts[2],
                parts[3]
            );
            let http = web::HttpClient::new(web::ClientLimits::default(), None);
            let container = http.get(&url, &[]).await.unwrap().success().unwrap().body;
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("proof.asice");
            std::fs::write(&path, &container).unwrap();
            let (valid, said) = baobab(&["verify", path.to_str().unwrap(), "--trust", &trust]);
            assert!(valid, "{member}: {said}");
            assert!(said.contains("BB/GOV/1002"), "{said}");

            let mut altered = container.to_vec();
            let middle = altered.len() / 3;
            altered[middle] ^= 1;
            std::fs::write(&path, &altered).unwrap();
            let (valid, said) = baobab(&["verify", path.to_str().unwrap(), "--trust", &trust]);
            assert!(!valid && said.contains("NOT VALID"), "{said}");
        }
    }

    async fn leave(self) {
        self.browser.close().await;
        let (status, _) = self.nation.terminate();
        assert!(status.success(), "{status}");
    }
}

/// The first run of exactly so many digits, also where a space groups them.
fn first_number(text: &str, digits: usize) -> String {
    let mut run = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() {
            run.push(character);
        } else if !run.is_empty() && character != ' ' && character != '\u{a0}' && character != '\u{202f}' {
            if run.len() == digits {
                return run;
            }
            run.clear();
        }
    }
    assert_eq!(run.len(), digits, "no code of {digits} digits in `{text}`");
    run
}
