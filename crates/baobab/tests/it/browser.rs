//! A real browser for the tests: Debian's Chromium, driven by its own driver over WebDriver.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

/// What the pages may use in this browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scripts {
    /// JavaScript runs.
    On,
    /// JavaScript is switched off, as on an old or careful phone.
    Off,
}

/// A browser with an empty profile; it goes with its driver when closed or dropped.
pub(crate) struct Browser {
    client: Client,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens a browser whose pages are `width` CSS pixels wide.
    pub(crate) async fn open(width: u32, scripts: Scripts, language: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = Command::new("chromedriver")
            .args([&format!("--port={port}"), "--log-level=OFF"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: run `cargo xtask test`, which installs it");
        let profile = tempfile::tempdir().unwrap();
        let client = connect(port, capabilities(&profile, width, scripts, language)).await;
        let browser = Self { client, driver, _profile: profile };
        // A headless window is not made narrower than 500 pixels; the emulation of a device is.
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        browser
    }

    /// Gives the browser a passkey authenticator that verifies its user, as a phone's screen lock does.
    pub(crate) async fn add_virtual_authenticator(&self) {
        let options = json!({"protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true, "isUserConsenting": true});
        self.client.issue_cmd(Post { path: "webauthn/authenticator", body: options }).await.unwrap();
    }

    /// Goes to an address.
    pub(crate) async fn go(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// The address that is shown.
    pub(crate) async fn address(&self) -> String {
        self.client.current_url().await.unwrap().to_string()
    }

    /// Types into the field with that name, replacing what stands there.
    pub(crate) async fn fill(&self, name: &str, text: &str) {
        let field = self.find(&format!("[name='{name}']")).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Chooses a file in the file field with that id.
    pub(crate) async fn choose(&self, id: &str, path: &std::path::Path) {
        self.find(&format!("#{id}")).await.send_keys(path.to_str().unwrap()).await.unwrap();
    }

    /// The text that a link of this page leads to, fetched as the page itself would.
    pub(crate) async fn download(&self, href: &str) -> String {
        let script = format!("fetch({}).then((answer) => answer.text())", Value::from(href));
        let answer = self.devtools("Runtime.evaluate", json!({"expression": script, "awaitPromise": true})).await;
        answer["result"]["value"].as_str().unwrap().to_owned()
    }

    /// The addresses that this page has fetched, once it fetches no more: an icon may come late.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let script = "JSON.stringify([...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]\
                          .map((entry) => entry.name))";
            let answer = self.devtools("Runtime.evaluate", json!({"expression": script})).await;
            let now: Vec<String> = serde_json::from_str(answer["result"]["value"].as_str().unwrap()).unwrap();
            if now == before {
                return now;
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Clicks what the CSS selector names and waits until the page has made way for the one that follows.
    pub(crate) async fn click(&self, selector: &str) {
        let left = self.find("html").await;
        self.press(selector).await;
        for _ in 0..200 {
            if left.tag_name().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("a click on {selector} led nowhere: {}\n{}", self.address().await, self.text("body").await);
    }

    /// Clicks what the CSS selector names, and the page stays.
    pub(crate) async fn press(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    /// Whether something fits the selector now.
    pub(crate) async fn has(&self, selector: &str) -> bool {
        !self.client.find_all(Locator::Css(selector)).await.unwrap().is_empty()
    }

    /// The text of what the selector names, as a person sees it.
    pub(crate) async fn text(&self, selector: &str) -> String {
        loop {
            match self.find(selector).await.text().await {
                Err(error) if error.is_stale_element_reference() => {}
                text => return text.unwrap(),
            }
        }
    }

    /// An attribute of what the selector names.
    pub(crate) async fn attribute(&self, selector: &str, name: &str) -> String {
        loop {
            match self.find(selector).await.attr(name).await {
                Err(error) if error.is_stale_element_reference() => {}
                value => return value.unwrap().unwrap_or_default(),
            }
        }
    }

    /// Waits until the page shows this text.
    pub(crate) async fn wait_for_text(&self, text: &str) {
        for _ in 0..100 {
            if self.client.source().await.is_ok_and(|source| source.contains(text)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let page = self.text("body").await;
        panic!("the page {} never showed `{text}`; it shows:\n{page}", self.address().await);
    }

    /// Keeps a picture of the whole page, where `BAOBAB_SCREENSHOTS` names a folder.
    pub(crate) async fn picture(&self, name: &str) {
        #[expect(clippy::disallowed_methods, reason = "a person who runs the tests says where pictures go")]
        let Ok(folder) = std::env::var("BAOBAB_SCREENSHOTS") else { return };
        let shot = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        let bytes = decode_base64(shot["data"].as_str().unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// Whether the page is wider than the window, so that a person must scroll sideways.
    pub(crate) async fn scrolls_sideways(&self) -> bool {
        let metrics = self.devtools("Page.getLayoutMetrics", json!({})).await;
        metrics["cssContentSize"]["width"].as_f64() > metrics["cssLayoutViewport"]["clientWidth"].as_f64()
    }

    /// Closes the browser in good order.
    pub(crate) async fn close(mut self) {
        drop(self.client.clone().close().await);
        drop(self.driver.kill());
        drop(self.driver.wait());
    }

    async fn find(&self, selector: &str) -> fantoccini::elements::Element {
        match self.client.wait().at_most(Duration::from_secs(10)).for_element(Locator::Css(selector)).await {
            Ok(element) => element,
            Err(error) => {
                let page = self.client.source().await.unwrap_or_default();
                panic!("{selector} is not on {}: {error}\n{page}", self.address().await)
            }
        }
    }

    /// A command of the DevTools protocol.
    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.client.issue_cmd(Post { path: "goog/cdp/execute", body }).await.unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

async fn connect(port: u16, capabilities: Capabilities) -> Client {
    let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
    builder.capabilities(capabilities);
    let address = format!("http://127.0.0.1:{port}");
    for _ in 0..100 {
        if let Ok(client) = builder.connect(&address).await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    builder.connect(&address).await.expect("chromedriver starts a browser")
}

fn capabilities(profile: &tempfile::TempDir, width: u32, scripts: Scripts, language: &str) -> Capabilities {
    let arguments = [
        "--headless=new".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-quic".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        format!("--lang={language}"),
        format!("--window-size={width},900"),
        format!("--user-data-dir={}", profile.path().display()),
    ];
    let javascript = if scripts == Scripts::Off { 2 } else { 1 };
    let preferences = json!({"intl.accept_languages": language,
        "profile.managed_default_content_settings.javascript": javascript});
    let mut capabilities = Capabilities::new();
    capabilities.insert("goog:chromeOptions".into(), json!({"args": arguments, "prefs": preferences}));
    capabilities.insert("webauthn:virtualAuthenticators".into(), json!(true));
    capabilities
}

/// A WebDriver command that the client library does not know.
#[derive(Debug)]
struct Post {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Post {
    fn endpoint(&self, base_url: &url::Url, session_id: Option<&str>) -> Result<url::Url, url::ParseError> {
        base_url.join(&format!("session/{}/{}", session_id.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _request_url: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
