//! What is remembered of the browser at the other end, in its session.

use std::time::Duration;

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use web::session::{Session as WebSession, SessionConfig, SessionError};

use crate::assurance::{Acr, Authentication};
use crate::client::IdentityConfig;
use crate::identity::{Identity, secret_hash};
use crate::login::Completed;

/// A browser with its cookie.
pub(crate) type Session = WebSession<Browser>;

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

impl Browser {
    /// A browser never seen before, with a secret of its own.
    pub(crate) const fn new(secret: String) -> Self {
        Self { secret, login: None, bind: None, offer_skipped: false }
    }

    /// The digest that flows of this browser carry.
    pub(crate) fn hash(&self) -> Vec<u8> {
        secret_hash(&self.secret)
    }
}

/// Sessions end after a quarter of an hour unused and one hour in all: phones and computers are shared here.
pub(crate) fn session_config(config: &IdentityConfig) -> SessionConfig {
    SessionConfig {
        site: "identity",
        secure: config.is_secure(),
        idle: Duration::from_mins(15),
        absolute: Duration::from_hours(1),
    }
}

impl Identity {
    /// The session after a login, under a new cookie (session fixation, RFC 9700 §4.7).
    pub(crate) async fn log_in(&self, session: &Session, completed: Completed) -> Result<HeaderValue, SessionError> {
        let Completed { authentication, bind } = completed;
        let browser = Browser { login: Some(authentication), bind, ..session.data.clone() };
        let (_, cookie) = self.inner.sessions.renew(session, browser).await?;
        Ok(cookie)
    }
}
