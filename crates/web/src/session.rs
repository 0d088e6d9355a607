//! Sessions of people: an opaque random id in a cookie, the rest sealed in the site's own store.
//!
//! Trusted: whoever can write `web_session` can end sessions and move them back in time, but cannot read what they
//! hold nor make one, because the id in the cookie is stored only as a hash and the data are sealed to their row.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use civic::{SharedClock, SharedRandom, Timestamp, random_hex};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Migration, Store, StoreError, params};
use trust::digest;

use crate::guard::cookie;
use crate::{Job, Problem};

/// How long sessions live and what their cookie is called.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The site: names the cookie (sites of one host differ) and keeps its rows apart.
    pub site: &'static str,
    /// Whether the public address is https: then the cookie is `__Host-` and `Secure`.
    pub secure: bool,
    /// A session unused for this long has ended.
    pub idle: Duration,
    /// A session this old has ended, used or not.
    pub absolute: Duration,
}

impl SessionConfig {
    /// Half an hour unused, twelve hours in all.
    pub const fn new(site: &'static str, secure: bool) -> Self {
        Self { site, secure, idle: Duration::from_mins(30), absolute: Duration::from_hours(12) }
    }
}

/// A session that could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The storage did not do it.
    #[error("the sessions cannot be reached: {0}")]
    Store(#[from] StoreError),
    /// The data of the session do not become JSON.
    #[error("what the session should remember cannot be written as JSON: {0}")]
    Data(#[from] serde_json::Error),
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        Self::unavailable(error)
    }
}

/// One session, loaded. `data` is what the site remembers; write changes back with [`Sessions::save`].
#[derive(Clone)]
pub struct Session<T> {
    token: String,
    /// What the site remembers.
    pub data: T,
    /// When it began.
    pub began: Timestamp,
}

impl<T> fmt::Debug for Session<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("began", &self.began).finish_non_exhaustive()
    }
}

impl<T> Session<T> {
    /// The token that every form of this session posts as the field `csrf`.
    pub fn csrf(&self) -> String {
        hex(&digest::hmac_sha256(self.token.as_bytes(), b"baobab form token"))
    }

    /// Refuses a form that was not made for this session.
    pub fn verify_csrf(&self, token: &str) -> Result<(), Problem> {
        if digest::constant_time_eq(self.csrf().as_bytes(), token.as_bytes()) {
            return Ok(());
        }
        Err(Problem::new(http::StatusCode::FORBIDDEN, "form_expired", "The form does not belong to this session")
            .detail("Load the page again and send the form once more."))
    }

    fn id(&self) -> Vec<u8> {
        id_of(&self.token)
    }
}

/// The sessions of one site. Cheap to clone. Put [`migration`] in the room's migrations.
pub struct Sessions<T> {
    store: Store,
    config: SessionConfig,
    clock: SharedClock,
    random: SharedRandom,
    data: PhantomData<fn() -> T>,
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            config: self.config.clone(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            data: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Sessions<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sessions").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The table of sessions; the same for every room of a store.
pub const fn migration() -> Migration {
    Migration { room: "web", number: 1, name: "sessions", sql: include_str!("../migrations/0001_sessions.sql") }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Sessions<T> {
    /// The sessions of a site in this store.
    pub fn new(store: Store, config: SessionConfig, clock: SharedClock, random: SharedRandom) -> Self {
        Self { store, config, clock, random, data: PhantomData }
    }

    /// The session of a request, if its cookie names one that is alive.
    pub async fn load(&self, headers: &HeaderMap) -> Result<Option<Session<T>>, SessionError> {
        let Some(token) = cookie(headers, &self.cookie_name()).filter(|token| token.len() == 64) else {
            return Ok(None);
        };
        let (id, site) = (id_of(token), self.config.site);
        let row = self
            .store
            .read("web.session_load", move |tx| {
                let found = tx.query_one(
                    "SELECT data, began_at, seen_at FROM web_session WHERE id = $1 AND site = $2",
                    &params![id.as_slice(), site],
                )?;
                let Some(row) = found else { return Ok(None) };
                let sealed: Vec<u8> = row.get("data")?;
                let plain = tx.sealer().open("web_session", "data", &id, &sealed)?;
                let times: (i64, i64) = (row.get("began_at")?, row.get("seen_at")?);
                Ok::<_, StoreError>(Some((plain, times)))
            })
            .await?;
        let Some((plain, (began, seen))) = row else { return Ok(None) };
        let (began, seen) = (Timestamp::from_micros(began), Timestamp::from_micros(seen));
        let now = self.clock.now();
        if now.since(began) >= self.config.absolute || now.since(seen) >= self.config.idle {
            return Ok(None);
        }
        let Ok(data) = serde_json::from_slice(&plain) else {
            // Written by another version of the site: the person logs in again.
            return Ok(None);
        };
        let session = Session { token: token.to_owned(), data, began };
        if now.since(seen) >= Duration::from_mins(1) {
            self.touch(&session, now).await?;
        }
        Ok(Some(session))
    }

    /// Begins a session; the header value goes out as `Set-Cookie`.
    pub async fn start(&self, data: T) -> Result<(Session<T>, HeaderValue), SessionError> {
        let session = Session { token: random_hex::<32>(self.random.as_ref()), data, began: self.clock.now() };
        self.insert(&session, None).await?;
        let cookie = self.set_cookie(&session.token, self.config.absolute.as_secs());
        Ok((session, cookie))
    }

    /// Begins a session in place of another: after a login, so that an id known from before opens nothing.
    pub async fn renew(&self, old: &Session<T>, data: T) -> Result<(Session<T>, HeaderValue), SessionError> {
        let session = Session { token: random_hex::<32>(self.random.as_ref()), data, began: self.clock.now() };
        self.insert(&session, Some(old.id())).await?;
        let cookie = self.set_cookie(&session.token, self.config.absolute.as_secs());
        Ok((session, cookie))
    }

    /// Writes back what the site remembers. A session that has ended meanwhile stays ended.
    pub async fn save(&self, session: &Session<T>) -> Result<(), SessionError> {
        let plain = serde_json::to_vec(&session.data)?;
        let (id, now) = (session.id(), self.clock.now().micros());
        self.store
            .tx("web.session_save", move |tx| {
                let sealed = tx.sealer().seal("web_session", "data", &id, &plain)?;
                tx.execute(
                    "UPDATE web_session SET data = $1, seen_at = $2 WHERE id = $3",
                    &params![sealed, now, id.as_slice()],
                )?;
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(())
    }

    /// Ends a session; the header value goes out as `Set-Cookie` and takes the cookie away.
    pub async fn end(&self, session: &Session<T>) -> Result<HeaderValue, SessionError> {
        let id = session.id();
        self.store
            .tx("web.session_end", move |tx| {
                tx.execute("DELETE FROM web_session WHERE id = $1", &params![id.as_slice()])?;
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(self.set_cookie("", 0))
    }

    /// Deletes what has ended; returns how many.
    pub async fn purge(&self) -> Result<u64, SessionError> {
        let now = self.clock.now();
        let (idle, absolute) = (now.minus(self.config.idle).micros(), now.minus(self.config.absolute).micros());
        let site = self.config.site;
        let gone = self
            .store
            .tx("web.session_purge", move |tx| {
                tx.execute(
                    "DELETE FROM web_session WHERE site = $1 AND (seen_at <= $2 OR began_at <= $3)",
                    &params![site, idle, absolute],
                )
            })
            .await?;
        Ok(gone)
    }

    /// The job that deletes ended sessions every ten minutes.
    pub fn job(&self) -> Job {
        let sessions = self.clone();
        Job::new("web.session_purge", Duration::from_mins(10), move || {
            let sessions = sessions.clone();
            async move { Ok(sessions.purge().await.map(|_| ())?) }
        })
    }

    async fn insert(&self, session: &Session<T>, replaces: Option<Vec<u8>>) -> Result<(), SessionError> {
        let plain = serde_json::to_vec(&session.data)?;
        let (id, site, began) = (session.id(), self.config.site, session.began.micros());
        self.store
            .tx("web.session_start", move |tx| {
                if let Some(old) = &replaces {
                    tx.execute("DELETE FROM web_session WHERE id = $1", &params![old.as_slice()])?;
                }
                let sealed = tx.sealer().seal("web_session", "data", &id, &plain)?;
                tx.execute(
                    "INSERT INTO web_session (id, site, data, began_at, seen_at) VALUES ($1, $2, $3, $4, $5)",
                    &params![id.as_slice(), site, sealed, began, began],
                )?;
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(())
    }

    async fn touch(&self, session: &Session<T>, now: Timestamp) -> Result<(), SessionError> {
        let (id, now) = (session.id(), now.micros());
        self.store
            .tx("web.session_touch", move |tx| {
                tx.execute("UPDATE web_session SET seen_at = $1 WHERE id = $2", &params![now, id.as_slice()])
            })
            .await?;
        Ok(())
    }

    fn cookie_name(&self) -> String {
        let prefix = if self.config.secure { "__Host-" } else { "" };
        format!("{prefix}baobab_{}", self.config.site)
    }

    fn set_cookie(&self, token: &str, seconds: u64) -> HeaderValue {
        let secure = if self.config.secure { "; Secure" } else { "" };
        let name = self.cookie_name();
        HeaderValue::from_str(&format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"))
            .unwrap_or(HeaderValue::from_static(""))
    }
}

fn id_of(token: &str) -> Vec<u8> {
    digest::sha256(token.as_bytes()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
