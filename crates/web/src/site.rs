//! A site: one organisation's service on one address, its words and its guard around every request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::middleware;
use civic::{Locale, SharedRandom, Timestamp};
use http::HeaderValue;
use http::request::Parts;
use tower_http::compression::CompressionLayer;

use crate::assets::Asset;
use crate::guard::{self, WebMetrics};
use crate::{Arg, Messages, Page, Problem, Text, assets};

/// Where the forms of a page may lead (CSP `form-action`).
///
/// Chrome applies the rule also to the redirect that answers a form, so a form whose answer leads to another site
/// must name that site, or the rule must be dropped for that page.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum FormAction {
    /// To this site only.
    #[default]
    Own,
    /// To this site and these origins (`https://id.example`).
    And(Vec<String>),
    /// Anywhere: for the page after which an authorization server redirects to any registered client.
    Anywhere,
}

impl FormAction {
    /// The whole content security policy with this rule.
    pub(crate) fn policy(&self) -> HeaderValue {
        let rule = match self {
            Self::Own => "; form-action 'self'".to_owned(),
            Self::And(origins) => {
                let clean = origins.iter().filter(|origin| !origin.contains([';', ',', ' ', '\'', '"']));
                clean.fold("; form-action 'self'".to_owned(), |rule, origin| format!("{rule} {origin}"))
            }
            Self::Anywhere => String::new(),
        };
        HeaderValue::from_str(&format!("{POLICY}{rule}")).unwrap_or(HeaderValue::from_static(POLICY))
    }
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// What a site says about itself and how it is guarded. Shared by all its requests.
#[derive(Clone)]
pub struct Site {
    /// The organisation that answers for the service.
    pub organisation: Text,
    /// The name of the service.
    pub service: Text,
    /// The path of the home page.
    pub home: String,
    /// The origin that people see, without a slash at the end: `http://localhost:8600`. Decides `Secure` and HSTS.
    pub public_url: String,
    /// The translations of the crate.
    pub messages: Arc<Messages>,
    /// Where forms may lead.
    pub form_action: FormAction,
    /// Paths under which programs post without a browser, exempt from the same-origin check (`/token`).
    pub machine_paths: Vec<String>,
    /// Static files served under `/assets/` beside the style sheet.
    pub assets: Vec<Asset>,
    /// How far the local time of the country is from UTC: 0 in Dakar, 60 in Brazzaville.
    pub utc_offset_minutes: i16,
    /// A request body may have this many bytes.
    pub body_bytes_max: usize,
    /// A handler may take this long.
    pub timeout: Duration,
    /// Where request counts go.
    pub metrics: Option<WebMetrics>,
    /// For request ids.
    pub random: SharedRandom,
}

impl fmt::Debug for Site {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Site").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl Site {
    /// A site with the usual limits: 1 MiB bodies, 30 s, own forms only, UTC.
    pub fn new(
        organisation: Text,
        service: Text,
        public_url: impl Into<String>,
        messages: Arc<Messages>,
        random: SharedRandom,
    ) -> Self {
        Self {
            organisation,
            service,
            home: "/".to_owned(),
            public_url: public_url.into().trim_end_matches('/').to_owned(),
            messages,
            form_action: FormAction::Own,
            machine_paths: Vec::new(),
            assets: Vec::new(),
            utc_offset_minutes: 0,
            body_bytes_max: 1024 * 1024,
            timeout: Duration::from_secs(30),
            metrics: None,
            random,
        }
    }

    /// Whether people reach the site over https.
    pub fn secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// Puts the guard around a finished router: request id, language, same-origin check, limits, security headers,
    /// errors as pages or problems, one log line a failure, gzip, and the assets.
    pub fn wrap(self, router: Router) -> Router {
        let site = Arc::new(self);
        router
            .merge(assets::router(&site.assets))
            .fallback(|| async { Problem::not_found() })
            .method_not_allowed_fallback(|| async { guard::wrong_method() })
            .layer(axum::extract::DefaultBodyLimit::max(site.body_bytes_max))
            .layer(middleware::from_fn_with_state(Arc::clone(&site), guard::guard))
            .layer(CompressionLayer::new().gzip(true))
    }

    /// A visit made by hand, for snapshot tests of pages.
    pub fn visit(self: &Arc<Self>, locale: Locale, path: &str) -> Visit {
        Visit { site: Arc::clone(self), locale, path: Arc::from(path), request_id: Arc::from("0000000000000000") }
    }
}

/// One request as a page needs it: language, words, address. An extractor inside [`Site::wrap`].
#[derive(Clone, Debug)]
pub struct Visit {
    site: Arc<Site>,
    /// The language to answer in.
    pub locale: Locale,
    path: Arc<str>,
    request_id: Arc<str>,
}

impl Visit {
    pub(crate) fn new(site: Arc<Site>, locale: Locale, path: &str, request_id: &str) -> Self {
        Self { site, locale, path: Arc::from(path), request_id: Arc::from(request_id) }
    }

    /// The site visited.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Path and query of the request.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The id of the request, also in the log and in `X-Request-Id`.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// A message of the crate in the reader's language.
    pub fn t(&self, key: &str) -> String {
        self.site.messages.t(self.locale, key, &[])
    }

    /// A message with one value: `visit.t1("loan-amount", "amount", 5)`.
    pub fn t1(&self, key: &str, name: &str, value: impl Into<Arg>) -> String {
        self.site.messages.t(self.locale, key, &[(name, value.into())])
    }

    /// A message with values.
    pub fn t_with(&self, key: &str, args: &[(&str, Arg)]) -> String {
        self.site.messages.t(self.locale, key, args)
    }

    /// The message of a key made from data, or the fallback where there is none.
    pub fn t_or(&self, key: &str, fallback: &str) -> String {
        if self.site.messages.has(self.locale, key) { self.t(key) } else { fallback.to_owned() }
    }

    /// Words that came with data, in the reader's language.
    pub fn say<'a>(&self, text: &'a Text) -> &'a str {
        text.get(self.locale)
    }

    /// A page with this title around this body; the template has escaped what it was given.
    pub fn page(&self, title: impl Into<String>, body: &impl Template) -> Result<Page, Problem> {
        Ok(Page::new(self.clone(), title.into(), body.render()?))
    }

    /// A day as people write it: `21 novembre 2026`, `21 November 2026`, in the country's time.
    pub fn day(&self, moment: &Timestamp) -> String {
        let local = self.local(*moment);
        let month = month_name(self.locale, local.month());
        match (self.locale, local.day()) {
            (Locale::Fr, 1) => format!("1er {month} {}", local.year()),
            (_, day) => format!("{day} {month} {}", local.year()),
        }
    }

    /// A day and time: `21 novembre 2026 à 22:40`, `21 November 2026 at 22:40`, in the country's time.
    pub fn moment(&self, moment: &Timestamp) -> String {
        let local = self.local(*moment);
        let at = match self.locale {
            Locale::Fr => "à",
            Locale::En => "at",
        };
        format!("{} {at} {:02}:{:02}", self.day(moment), local.hour(), local.minute())
    }

    /// A number with its groups: `1 250 000`, `1,250,000`.
    pub fn number(&self, number: &i64) -> String {
        let digits = number.unsigned_abs().to_string();
        let separator = match self.locale {
            Locale::Fr => '\u{202f}',
            Locale::En => ',',
        };
        let mut text = String::with_capacity(digits.len() * 2);
        if *number < 0 {
            text.push('−');
        }
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                text.push(separator);
            }
            text.push(digit);
        }
        text
    }

    fn local(&self, moment: Timestamp) -> time::OffsetDateTime {
        let minutes = i64::from(self.site.utc_offset_minutes);
        Timestamp::from_micros(moment.micros().saturating_add(minutes * 60_000_000)).calendar()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::internal("a handler takes a Visit outside of Site::wrap"))
    }
}

/// The query of the request as sorted pairs, at most 64; later pairs of the same name win.
#[derive(Clone, Debug, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// The value of a parameter; empty text counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter as a number.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        Ok(Self(pairs.map(|query| query.0.into_iter().take(64).collect()).unwrap_or_default()))
    }
}

const fn month_name(locale: Locale, month: time::Month) -> &'static str {
    use time::Month;
    match (locale, month) {
        (Locale::Fr, Month::January) => "janvier",
        (Locale::Fr, Month::February) => "février",
        (Locale::Fr, Month::March) => "mars",
        (Locale::Fr, Month::April) => "avril",
        (Locale::Fr, Month::May) => "mai",
        (Locale::Fr, Month::June) => "juin",
        (Locale::Fr, Month::July) => "juillet",
        (Locale::Fr, Month::August) => "août",
        (Locale::Fr, Month::September) => "septembre",
        (Locale::Fr, Month::October) => "octobre",
        (Locale::Fr, Month::November) => "novembre",
        (Locale::Fr, Month::December) => "décembre",
        (Locale::En, Month::January) => "January",
        (Locale::En, Month::February) => "February",
        (Locale::En, Month::March) => "March",
        (Locale::En, Month::April) => "April",
        (Locale::En, Month::May) => "May",
        (Locale::En, Month::June) => "June",
        (Locale::En, Month::July) => "July",
        (Locale::En, Month::August) => "August",
        (Locale::En, Month::September) => "September",
        (Locale::En, Month::October) => "October",
        (Locale::En, Month::November) => "November",
        (Locale::En, Month::December) => "December",
    }
}
