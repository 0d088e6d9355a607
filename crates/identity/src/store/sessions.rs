use civic::Timestamp;
use store::params;

use super::{Tables, json, to_json};
use crate::browser::Browser;
use crate::error::IdentityError;

const SESSIONS: &str = "identity_sessions";

impl Tables {
    pub(crate) async fn session(&self, hash: Vec<u8>, now: Timestamp) -> Result<Option<Browser>, IdentityError> {
        self.store
            .read("identity.session", move |tx| {
                let row = tx.query_one(
                    "SELECT browser FROM identity_sessions WHERE token_hash = $1 AND expires_at > $2",
                    &params![&hash, now],
                )?;
                row.map(|row| json(&row, SESSIONS, "browser")).transpose()
            })
            .await
    }

    /// Keeps a session under its token; `replaces` is the token that it had before a login, which dies.
    pub(crate) async fn put_session(
        &self,
        hash: Vec<u8>,
        browser: Browser,
        replaces: Option<Vec<u8>>,
        expires_at: Timestamp,
    ) -> Result<(), IdentityError> {
        self.store
            .tx("identity.put_session", move |tx| {
                if let Some(old) = &replaces {
                    tx.execute("DELETE FROM identity_sessions WHERE token_hash = $1", &params![old])?;
                }
                tx.execute(
                    "INSERT INTO identity_sessions (token_hash, browser, expires_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (token_hash) DO UPDATE SET browser = excluded.browser",
                    &params![&hash, to_json(SESSIONS, &browser)?, expires_at],
                )?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn end_session(&self, hash: Vec<u8>) -> Result<(), IdentityError> {
        self.store
            .tx("identity.end_session", move |tx| {
                tx.execute("DELETE FROM identity_sessions WHERE token_hash = $1", &params![&hash])?;
                Ok(())
            })
            .await
    }
}
