//! The browser at the other end: its cookie, what is known of it, the token that its forms carry.

use std::time::Duration;

use http::header::{COOKIE, HeaderValue};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use trust::digest::{constant_time_eq, sha256};

use crate::assurance::{Acr, Authentication};
use crate::error::IdentityError;
use crate::identity::{Identity, secret_hash};
use crate::login::Completed;

/// A session ends this long after it began, whatever happens: phones and computers are shared here.
const SESSION_LIFETIME: Duration = Duration::from_secs(3_600);

/// What is remembered of a browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Browser {
    /// Binds flows to this browser; it survives the change of the cookie at login.
    secret: String,
    /// Who is logged in.
    pub(crate) login: Option<Authentication>,
    /// The level under which a passkey may be made in this session.
    pub(crate) bind: Option<Acr>,
    /// The citizen said "later" to a passkey.
    pub(crate) offer_skipped: bool,
}

/// A browser with its cookie.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    token: String,
    pub(crate) browser: Browser,
}

impl Session {
    /// The hidden field of every form: made from the cookie, so nothing is stored for it.
    pub(crate) fn csrf(&self) -> String {
        crate::encode(&sha256(format!("csrf\0{}", self.token).as_bytes()))
    }

    /// Whether a form came from a page of this session.
    pub(crate) fn is_own_form(&self, csrf: &str) -> bool {
        constant_time_eq(csrf.as_bytes(), self.csrf().as_bytes())
    }

    /// The digest that flows of this browser carry.
    pub(crate) fn browser_hash(&self) -> Vec<u8> {
        secret_hash(&self.browser.secret)
    }
}

impl Identity {
    /// The session of a request; `None` for a browser that has none.
    pub(crate) async fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, IdentityError> {
        let Some(token) = self.cookie(headers) else { return Ok(None) };
        let browser = self.inner.tables.session(secret_hash(&token), self.inner.clock.now()).await?;
        Ok(browser.map(|browser| Session { token, browser }))
    }

    /// A session for a new browser.
    pub(crate) async fn new_session(&self) -> Result<Session, IdentityError> {
        let (secret, _) = self.secret();
        let (token, hash) = self.secret();
        let browser = Browser { secret, login: None, bind: None, offer_skipped: false };
        let until = self.inner.clock.now().plus(SESSION_LIFETIME);
        self.inner.tables.put_session(hash, browser.clone(), None, until).await?;
        Ok(Session { token, browser })
    }

    /// The session after a login, under a new cookie (session fixation, RFC 9700 §4.7; OWASP ASVS V3.2).
    pub(crate) async fn log_in(&self, session: Session, completed: Completed) -> Result<Session, IdentityError> {
        let (token, hash) = self.secret();
        let Completed { authentication, bind } = completed;
        let browser = Browser { login: Some(authentication), bind, ..session.browser };
        let until = self.inner.clock.now().plus(SESSION_LIFETIME);
        self.inner.tables.put_session(hash, browser.clone(), Some(secret_hash(&session.token)), until).await?;
        Ok(Session { token, browser })
    }

    /// Keeps a change of what is known of the browser.
    pub(crate) async fn keep(&self, session: &Session) -> Result<(), IdentityError> {
        let until = self.inner.clock.now().plus(SESSION_LIFETIME);
        self.inner.tables.put_session(secret_hash(&session.token), session.browser.clone(), None, until).await
    }

    pub(crate) async fn log_out(&self, session: &Session) -> Result<(), IdentityError> {
        self.inner.tables.end_session(secret_hash(&session.token)).await
    }

    /// `Set-Cookie` for a session.
    pub(crate) fn set_cookie(&self, session: &Session) -> HeaderValue {
        let secure = if self.inner.config.is_secure() { "; Secure" } else { "" };
        let text = format!("{}={}; Path=/; HttpOnly; SameSite=Lax{secure}", self.cookie_name(), session.token);
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    /// `Set-Cookie` that removes it.
    pub(crate) fn clear_cookie(&self) -> HeaderValue {
        let secure = if self.inner.config.is_secure() { "; Secure" } else { "" };
        let text = format!("{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}", self.cookie_name());
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    /// The demo shares the host `localhost` between sites, so the name says whose cookie it is.
    fn cookie_name(&self) -> &'static str {
        if self.inner.config.is_secure() { "__Host-baobab_identity" } else { "baobab_identity" }
    }

    fn cookie(&self, headers: &HeaderMap) -> Option<String> {
        let name = self.cookie_name();
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
        let mut values = pairs.filter_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
        let token = values.next()?;
        (token.len() == 43).then(|| token.to_owned())
    }
}
