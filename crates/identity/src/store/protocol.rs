use civic::{Locale, PersonId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Row, Tx, params};

use super::{Tables, json, to_json};
use crate::assurance::Authentication;
use crate::error::IdentityError;
use crate::pkce;
use crate::request::AuthorizationRequest;

/// A pushed request as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredRequest {
    pub(crate) request: AuthorizationRequest,
    pub(crate) expires_at: Timestamp,
    pub(crate) is_spent: bool,
}

/// How far the login in one flow came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "at")]
pub(crate) enum Step {
    /// Nobody is known yet.
    Identify,
    /// The PIN was right; the account still waits for the code of the letter.
    Letter {
        /// Who.
        person: PersonId,
    },
    /// A code was sent by SMS.
    Sms {
        /// Who.
        person: PersonId,
        /// Whether the PIN was right before.
        pin: bool,
        /// Whether the code of the letter was right before.
        letter: bool,
    },
    /// The login of this flow is complete.
    Done,
}

/// One browser's way through one request.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) hash: Vec<u8>,
    pub(crate) browser: Vec<u8>,
    pub(crate) uri_hash: Vec<u8>,
    pub(crate) step: Step,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) request: AuthorizationRequest,
    pub(crate) is_spent: bool,
}

/// A code to be issued.
#[derive(Clone, Debug)]
pub(crate) struct NewCode {
    pub(crate) hash: Vec<u8>,
    pub(crate) request: AuthorizationRequest,
    pub(crate) authentication: Authentication,
    pub(crate) grant: Option<(String, Timestamp)>,
    pub(crate) expires_at: Timestamp,
    pub(crate) keep_until: Timestamp,
}

/// What became of a code that a client presented.
#[derive(Clone, Debug)]
pub(crate) enum Redeemed {
    /// It holds and is spent now.
    Tokens(Box<RedeemedCode>),
    /// No such code for this client.
    Unknown,
    /// It is over.
    Expired,
    /// The redirect URI is not that of the request.
    WrongRedirect,
    /// The verifier does not fit the challenge.
    WrongVerifier,
    /// It was exchanged before; the token made then is revoked now.
    Reused {
        /// Who had logged in.
        person: PersonId,
        /// The grant that the code stood for.
        grant_id: Option<String>,
    },
}

/// What a code stood for.
#[derive(Clone, Debug)]
pub(crate) struct RedeemedCode {
    pub(crate) request: AuthorizationRequest,
    pub(crate) authentication: Authentication,
    pub(crate) grant: Option<(String, Timestamp)>,
}

impl Tables {
    /// Remembers the id of a client assertion. `false` where it was seen before.
    pub(crate) async fn remember_assertion(
        &self,
        client_id: &str,
        jti_hash: [u8; 32],
        expires_at: Timestamp,
    ) -> Result<bool, IdentityError> {
        let client_id = client_id.to_owned();
        self.store
            .tx("identity.remember_assertion", move |tx| {
                let added = tx.execute(
                    "INSERT INTO identity_assertions (client_id, jti_hash, expires_at) VALUES ($1, $2, $3) \
                     ON CONFLICT DO NOTHING",
                    &params![&client_id, jti_hash, expires_at],
                )?;
                Ok(added == 1)
            })
            .await
    }

    pub(crate) async fn put_request(
        &self,
        uri_hash: Vec<u8>,
        request: AuthorizationRequest,
        expires_at: Timestamp,
    ) -> Result<(), IdentityError> {
        self.store
            .tx("identity.put_request", move |tx| {
                tx.execute(
                    "INSERT INTO identity_requests (uri_hash, client_id, request, expires_at) VALUES ($1, $2, $3, $4)",
                    &params![&uri_hash, &request.client_id, to_json("identity_requests", &request)?, expires_at],
                )?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn request(&self, uri_hash: Vec<u8>) -> Result<Option<StoredRequest>, IdentityError> {
        self.store
            .read("identity.request", move |tx| {
                let row = tx.query_one(
                    "SELECT request, expires_at, spent_at FROM identity_requests WHERE uri_hash = $1",
                    &params![&uri_hash],
                )?;
                row.map(|row| {
                    Ok(StoredRequest {
                        request: json(&row, "identity_requests", "request")?,
                        expires_at: row.get("expires_at")?,
                        is_spent: row.get::<Option<i64>>("spent_at")?.is_some(),
                    })
                })
                .transpose()
            })
            .await
    }

    /// Keeps the words of a consent screen under their digest.
    pub(crate) async fn put_notice(
        &self,
        hash: &str,
        locale: Locale,
        text: String,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let hash = hash.to_owned();
        self.store
            .tx("identity.put_notice", move |tx| {
                tx.execute(
                    "INSERT INTO identity_notices (notice_hash, locale, notice, first_at) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT DO NOTHING",
                    &params![&hash, locale.tag(), &text, now],
                )?;
                Ok(())
            })
            .await
    }

    /// Marks a request as answered. `false` where it was answered before, for instance by a second click.
    pub(crate) async fn spend_request(&self, uri_hash: Vec<u8>, now: Timestamp) -> Result<bool, IdentityError> {
        self.store
            .tx("identity.spend_request", move |tx| {
                let changed = tx.execute(
                    "UPDATE identity_requests SET spent_at = $1 WHERE uri_hash = $2 AND spent_at IS NULL",
                    &params![now, &uri_hash],
                )?;
                Ok(changed == 1)
            })
            .await
    }

    pub(crate) async fn put_flow(&self, flow: Flow) -> Result<(), IdentityError> {
        self.store
            .tx("identity.put_flow", move |tx| {
                tx.execute(
                    "INSERT INTO identity_flows (flow_hash, browser, uri_hash, step, created_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                    &params![
                        &flow.hash,
                        &flow.browser,
                        &flow.uri_hash,
                        to_json("identity_flows", &flow.step)?,
                        flow.created_at,
                        flow.expires_at
                    ],
                )?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn flow(&self, hash: Vec<u8>) -> Result<Option<Flow>, IdentityError> {
        self.store
            .read("identity.flow", move |tx| {
                let row = tx.query_one(
                    "SELECT f.flow_hash, f.browser, f.uri_hash, f.step, f.created_at, f.expires_at, r.request, r.spent_at \
                     FROM identity_flows f JOIN identity_requests r ON r.uri_hash = f.uri_hash WHERE f.flow_hash = $1",
                    &params![&hash],
                )?;
                row.as_ref().map(flow).transpose()
            })
            .await
    }

    /// Moves a flow on, if it still stands where the caller saw it. `false` where another request was faster.
    pub(crate) async fn move_flow(&self, hash: &[u8], from: &Step, to: Step) -> Result<bool, IdentityError> {
        let (hash, from) = (hash.to_vec(), to_json("identity_flows", from)?);
        self.store
            .tx("identity.move_flow", move |tx| {
                let changed = tx.execute(
                    "UPDATE identity_flows SET step = $1 WHERE flow_hash = $2 AND step = $3",
                    &params![to_json("identity_flows", &to)?, &hash, &from],
                )?;
                Ok(changed == 1)
            })
            .await
    }

    pub(crate) async fn put_ceremony(
        &self,
        flow_hash: &[u8],
        kind: &'static str,
        state: String,
        expires_at: Timestamp,
    ) -> Result<(), IdentityError> {
        let flow_hash = flow_hash.to_vec();
        self.store
            .tx("identity.put_ceremony", move |tx| {
                tx.execute(
                    "INSERT INTO identity_ceremonies (flow_hash, kind, state, expires_at) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (flow_hash, kind) DO UPDATE SET state = excluded.state, expires_at = excluded.expires_at",
                    &params![&flow_hash, kind, &state, expires_at],
                )?;
                Ok(())
            })
            .await
    }

    /// Takes a challenge out: it can be answered once.
    pub(crate) async fn take_ceremony(
        &self,
        flow_hash: &[u8],
        kind: &'static str,
        now: Timestamp,
    ) -> Result<Option<String>, IdentityError> {
        let flow_hash = flow_hash.to_vec();
        self.store
            .tx("identity.take_ceremony", move |tx| {
                let row = tx.query_one(
                    "DELETE FROM identity_ceremonies WHERE flow_hash = $1 AND kind = $2 RETURNING state, expires_at",
                    &params![&flow_hash, kind],
                )?;
                let Some(row) = row else { return Ok(None) };
                let is_live = row.get::<Timestamp>("expires_at")? > now;
                Ok(if is_live { Some(row.get("state")?) } else { None })
            })
            .await
    }

    pub(crate) async fn put_code(&self, code: NewCode) -> Result<(), IdentityError> {
        self.store
            .tx("identity.put_code", move |tx| {
                let (grant_id, grant_until) = code.grant.clone().unzip();
                tx.execute(
                    "INSERT INTO identity_codes (code_hash, client_id, request, authentication, grant_id, grant_until, \
                     expires_at, keep_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    &params![
                        &code.hash,
                        &code.request.client_id,
                        to_json("identity_codes", &code.request)?,
                        to_json("identity_codes", &code.authentication)?,
                        grant_id,
                        grant_until,
                        code.expires_at,
                        code.keep_until
                    ],
                )?;
                Ok(())
            })
            .await
    }

    /// Exchanges a code once. `token_id` is the id of the access token that will be made from it.
    pub(crate) async fn redeem(
        &self,
        code_hash: Vec<u8>,
        client_id: &str,
        redirect_uri: &str,
        verifier: &str,
        token_id: &str,
        now: Timestamp,
    ) -> Result<Redeemed, IdentityError> {
        let (client_id, redirect_uri) = (client_id.to_owned(), redirect_uri.to_owned());
        let (verifier, token_id) = (verifier.to_owned(), token_id.to_owned());
        self.store
            .tx("identity.redeem", move |tx| {
                redeem(tx, &code_hash, &client_id, &redirect_uri, &verifier, &token_id, now)
            })
            .await
    }

    pub(crate) async fn is_token_revoked(&self, token_id: &str) -> Result<bool, IdentityError> {
        let token_id = token_id.to_owned();
        self.store
            .read("identity.is_token_revoked", move |tx| {
                let row = tx.query_one(
                    "SELECT token_id FROM identity_tokens_revoked WHERE token_id = $1",
                    &params![&token_id],
                )?;
                Ok(row.is_some())
            })
            .await
    }

    /// Whose login an access token of ours was made from, while its code row is kept.
    pub(crate) async fn token_owner(&self, token_id: &str) -> Result<Option<PersonId>, IdentityError> {
        let token_id = token_id.to_owned();
        self.store
            .read("identity.token_owner", move |tx| {
                let row =
                    tx.query_one("SELECT authentication FROM identity_codes WHERE token_id = $1", &params![&token_id])?;
                let owner = row.map(|row| json::<Authentication>(&row, "identity_codes", "authentication"));
                Ok(owner.transpose()?.map(|authentication| authentication.person))
            })
            .await
    }

    /// Forgets what is over. Run it every few minutes.
    pub(crate) async fn purge(&self, now: Timestamp) -> Result<(), IdentityError> {
        const HOUR: std::time::Duration = std::time::Duration::from_hours(1);
        const DAY: std::time::Duration = std::time::Duration::from_hours(24);
        self.store
            .tx("identity.purge", move |tx| {
                let over = params![now];
                tx.execute("DELETE FROM identity_flows WHERE expires_at < $1", &over)?;
                tx.execute("DELETE FROM identity_ceremonies WHERE expires_at < $1", &over)?;
                tx.execute("DELETE FROM identity_assertions WHERE expires_at < $1", &over)?;
                tx.execute("DELETE FROM identity_tokens_revoked WHERE expires_at < $1", &over)?;
                tx.execute("DELETE FROM identity_codes WHERE keep_until < $1", &over)?;
                tx.execute("DELETE FROM identity_requests WHERE expires_at < $1", &params![now.minus(HOUR)])?;
                tx.execute("DELETE FROM identity_sms_codes WHERE expires_at < $1", &params![now.minus(HOUR)])?;
                tx.execute("DELETE FROM identity_handset WHERE received_at < $1", &params![now.minus(DAY)])?;
                tx.execute("DELETE FROM identity_throttles WHERE last_at < $1", &params![now.minus(DAY)])?;
                Ok(())
            })
            .await
    }
}

fn redeem(
    tx: &mut Tx<'_>,
    code_hash: &[u8],
    client_id: &str,
    redirect_uri: &str,
    verifier: &str,
    token_id: &str,
    now: Timestamp,
) -> Result<Redeemed, IdentityError> {
    let row = tx.query_one(
        "SELECT request, authentication, grant_id, grant_until, expires_at, spent_at, token_id, keep_until \
         FROM identity_codes WHERE code_hash = $1 AND client_id = $2",
        &params![code_hash, client_id],
    )?;
    let Some(row) = row else { return Ok(Redeemed::Unknown) };
    let request: AuthorizationRequest = json(&row, "identity_codes", "request")?;
    let authentication: Authentication = json(&row, "identity_codes", "authentication")?;
    let grant_id: Option<String> = row.get("grant_id")?;
    if row.get::<Option<i64>>("spent_at")?.is_some() {
        if let Some(token_id) = row.get::<Option<String>>("token_id")? {
            tx.execute(
                "INSERT INTO identity_tokens_revoked (token_id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &params![token_id, row.get::<Timestamp>("keep_until")?],
            )?;
        }
        return Ok(Redeemed::Reused { person: authentication.person, grant_id });
    }
    if row.get::<Timestamp>("expires_at")? <= now {
        return Ok(Redeemed::Expired);
    }
    if request.redirect_uri != redirect_uri {
        return Ok(Redeemed::WrongRedirect);
    }
    if !pkce::fits(verifier, &request.code_challenge) {
        return Ok(Redeemed::WrongVerifier);
    }
    tx.execute(
        "UPDATE identity_codes SET spent_at = $1, token_id = $2 WHERE code_hash = $3",
        &params![now, token_id, code_hash],
    )?;
    let grant = grant_id.zip(row.get::<Option<Timestamp>>("grant_until")?);
    Ok(Redeemed::Tokens(Box::new(RedeemedCode { request, authentication, grant })))
}

fn flow(row: &Row) -> Result<Flow, IdentityError> {
    Ok(Flow {
        hash: row.get("flow_hash")?,
        browser: row.get("browser")?,
        uri_hash: row.get("uri_hash")?,
        step: json(row, "identity_flows", "step")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        request: json(row, "identity_requests", "request")?,
        is_spent: row.get::<Option<i64>>("spent_at")?.is_some(),
    })
}
