//! Clients that come by themselves, in nobody's name (client credentials, RFC 6749 §4.4): what opens the notary to a company's program.
//!
//! Such a token says nothing of any citizen: its subject is the client, it carries no authorization details, so no node serves a citizen's
//! data for it, and its audience is the service, so userinfo refuses it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use civic::{Timestamp, random_hex};

use crate::client::{Client, Resource};
use crate::error::ProtocolError;
use crate::identity::Identity;
use crate::oauth::TokenAnswer;
use crate::request::Parameters;
use crate::token::{ACCESS_TOKEN_TYPE, AccessToken};

/// How long such a token holds. It cannot be taken back, and a new one costs one request.
const LIFETIME: Duration = Duration::from_mins(10);
/// Tokens of one client in a minute.
const TOKENS_PER_MINUTE: u32 = 30;

/// Counts of tokens by client, for the present minute. Only registered clients are counted, so they are few.
#[derive(Default)]
pub(crate) struct Pace(Mutex<(i64, BTreeMap<String, u32>)>);

impl Pace {
    fn take(&self, client: &str, now: Timestamp) -> Result<(), ProtocolError> {
        let minute = now.seconds().div_euclid(60);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 != minute {
            *counts = (minute, BTreeMap::new());
        }
        let taken = counts.1.entry(client.to_owned()).or_default();
        if *taken >= TOKENS_PER_MINUTE {
            return Err(ProtocolError::TooMany(u64::try_from(60 - now.seconds().rem_euclid(60)).unwrap_or(60)));
        }
        *taken += 1;
        Ok(())
    }
}

impl Identity {
    /// A token for the client itself: it authenticates as everywhere, and names the scopes of one service that it is registered for.
    pub(crate) async fn own_token(&self, parameters: &Parameters) -> Result<TokenAnswer, ProtocolError> {
        if parameters.get("client_assertion").is_none() {
            return Err(ProtocolError::Client("only private_key_jwt is served, and no public client"));
        }
        let client = self.authenticate(parameters).await?;
        if client.own_scopes.is_empty() {
            return Err(ProtocolError::Unauthorized);
        }
        for citizens in ["authorization_details", "code", "redirect_uri"] {
            if parameters.get(citizens).is_some() {
                return Err(ProtocolError::Details("a client that comes by itself acts for no citizen".to_owned()));
            }
        }
        let (scope, resource) = self.wanted(client, parameters.require("scope")?)?;
        let now = self.inner.clock.now();
        self.inner.pace.take(&client.id, now)?;
        let access = AccessToken {
            iss: self.inner.config.issuer.clone(),
            sub: client.id.clone(),
            aud: resource.audience.to_string(),
            client_id: client.id.clone(),
            client_member: client.member.clone(),
            scope: scope.clone(),
            authorization_details: Vec::new(),
            jti: random_hex::<16>(self.inner.random.as_ref()),
            iat: now.seconds(),
            exp: now.plus(LIFETIME).seconds(),
            auth_time: None,
            acr: None,
        };
        Ok(TokenAnswer {
            access_token: self.sign(ACCESS_TOKEN_TYPE, &access)?,
            token_type: "Bearer",
            expires_in: access.exp - access.iat,
            id_token: None,
            scope,
            authorization_details: Vec::new(),
        })
    }

    /// The scopes that were asked, all of one service.
    fn wanted(&self, client: &Client, asked: &str) -> Result<(String, &Resource), ProtocolError> {
        let mut service: Option<&Resource> = None;
        for word in asked.split(' ') {
            let allowed = client.own_scopes.iter().any(|own| own == word);
            let resource = self.inner.config.resource(word).filter(|_| allowed);
            let resource = resource.ok_or(ProtocolError::Scope("this client may not use it by itself"))?;
            if service.is_some_and(|service| service.audience != resource.audience) {
                return Err(ProtocolError::Scope("ask for the scopes of one service at a time"));
            }
            service = Some(resource);
        }
        let service = service.ok_or(ProtocolError::Scope("name one"))?;
        Ok((asked.to_owned(), service))
    }
}
