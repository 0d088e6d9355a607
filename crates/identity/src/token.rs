//! The tokens: what they claim, and how those who receive them check them.

use std::time::Duration;

use civic::{ClientId, NationalNumber, PersonId, ServiceId, Timestamp};
use serde::{Deserialize, Serialize};
use trust::jose::{JoseError, Jwks, jws_unverified, jws_verify};

use crate::assurance::{Acr, Amr};
use crate::client::{Client, IdentityConfig};
use crate::details::BridgeService;
use crate::error::ProtocolError;

/// `typ` of an access token (RFC 9068 §2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";
/// `typ` of an id_token.
pub const ID_TOKEN_TYPE: &str = "JWT";
/// How far the clocks of two systems may differ.
pub const CLOCK_SKEW: Duration = Duration::from_secs(10);
/// How long a client assertion may hold.
const ASSERTION_LIFETIME_MAX: Duration = Duration::from_mins(10);

/// The claims of an access token (RFC 9068 §2.2, RFC 9396 §9.1).
///
/// The token is a bearer token that only the organisation named in `client_member` can use on the bridge, because a node
/// compares that name with the organisation that signed the message. Binding to a key by DPoP is left to a later issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// The identity provider.
    pub iss: String,
    /// The citizen, as this client knows them; the client itself where it came by itself.
    pub sub: String,
    /// The provider subsystem whose service is opened (`BB/GOV/1002/fisc`), or the issuer itself for its userinfo.
    pub aud: String,
    /// The client.
    pub client_id: String,
    /// The subsystem that calls the bridge for the client.
    pub client_member: ClientId,
    /// The scopes, separated by spaces.
    pub scope: String,
    /// What the citizen agreed to, with the id of the grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details: Vec<BridgeService>,
    /// The id of the token.
    pub jti: String,
    /// When it was made, in seconds.
    pub iat: i64,
    /// When it ends, in seconds: one hour later, or with the grant.
    pub exp: i64,
    /// When the citizen logged in, in seconds; nobody did where the client came by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// How sure that login was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<Acr>,
}

impl AccessToken {
    /// The details that cover a call of this service and path, if there are any. Their `grant_id` is then to be used.
    pub fn covering(&self, service: &ServiceId, path: &str) -> Option<&BridgeService> {
        self.authorization_details.iter().find(|details| details.covers(service, path))
    }
}

/// The claims of an id_token (OpenID Connect Core §2). Personal claims stand in it only where the scope was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdToken {
    /// The identity provider.
    pub iss: String,
    /// The citizen, as this client knows them.
    pub sub: String,
    /// The client.
    pub aud: String,
    /// When it was made, in seconds.
    pub iat: i64,
    /// When it ends, in seconds.
    pub exp: i64,
    /// When the citizen logged in, in seconds.
    pub auth_time: i64,
    /// How sure the login was.
    pub acr: Acr,
    /// By which methods.
    pub amr: Vec<Amr>,
    /// The nonce of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The left half of the SHA-256 of the access token, base64url (OpenID Connect Core §3.1.3.6).
    pub at_hash: String,
    /// Scope `profile`: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Scope `person`: the internal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// Scope `person`: the national number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub national_number: Option<NationalNumber>,
}

/// Why an access token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is no token of this issuer: form, type, key or signature.
    #[error("the access token is not valid: {0}")]
    Jose(#[from] JoseError),
    /// Another issuer made it.
    #[error("the access token was made by `{0}`, not by the issuer that is trusted here")]
    Issuer(String),
    /// It is meant for another service provider.
    #[error("the access token is for `{0}`: ask for a token for this provider")]
    Audience(String),
    /// It is over.
    #[error("the access token ended at {0}: ask for a new one")]
    Expired(Timestamp),
    /// It comes from the future.
    #[error("the access token was made in the future ({0}): check the clocks")]
    Future(Timestamp),
}

/// Checks access tokens offline: what a node does before it serves a call.
#[derive(Clone, Debug)]
pub struct AccessTokenVerifier {
    issuer: String,
    keys: Jwks,
}

impl AccessTokenVerifier {
    /// Trusts the tokens of this issuer, signed by one of these keys.
    pub const fn new(issuer: String, keys: Jwks) -> Self {
        Self { issuer, keys }
    }

    /// The claims of a valid token for this provider: type, signature, issuer, audience and times hold. The caller still compares
    /// `client_member` with the organisation that signed the message, and asks [`AccessToken::covering`].
    pub fn verify(&self, token: &str, provider: &ClientId, now: Timestamp) -> Result<AccessToken, TokenError> {
        self.verify_for(token, &provider.to_string(), now)
    }

    pub(crate) fn verify_for(&self, token: &str, audience: &str, now: Timestamp) -> Result<AccessToken, TokenError> {
        let (_, claims) = jws_verify::<AccessToken>(token, &self.keys, ACCESS_TOKEN_TYPE)?;
        if claims.iss != self.issuer {
            return Err(TokenError::Issuer(claims.iss.chars().take(200).collect()));
        }
        if claims.aud != audience {
            return Err(TokenError::Audience(claims.aud.chars().take(200).collect()));
        }
        let (made, over) = (Timestamp::from_seconds(claims.iat), Timestamp::from_seconds(claims.exp));
        if now >= over {
            return Err(TokenError::Expired(over));
        }
        if made > now.plus(CLOCK_SKEW) {
            return Err(TokenError::Future(made));
        }
        Ok(claims)
    }
}

#[derive(Debug, Deserialize)]
struct AssertionClaims {
    iss: String,
    sub: String,
    aud: serde_json::Value,
    exp: i64,
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    nbf: Option<i64>,
    jti: String,
}

/// A client assertion that holds, but whose id may have been seen before.
#[derive(Debug)]
pub(crate) struct Assertion<'c> {
    pub(crate) client: &'c Client,
    pub(crate) jti: String,
    pub(crate) expires_at: Timestamp,
}

/// Checks a client assertion (RFC 7523 §3 with the tightening of FAPI 2.0 SP §5.3.2.1: `aud` is the issuer alone, as a string).
pub(crate) fn check_assertion<'c>(
    assertion: &str,
    config: &'c IdentityConfig,
    now: Timestamp,
) -> Result<Assertion<'c>, ProtocolError> {
    let (header, unverified) = jws_unverified::<AssertionClaims>(assertion)
        .map_err(|_| ProtocolError::Client("the assertion is not a JWT with iss, sub, aud, exp and jti"))?;
    let typ = header.typ.as_deref().unwrap_or_default();
    if !["", "jwt", "client-authentication+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)) {
        return Err(ProtocolError::Client("typ must be JWT or client-authentication+jwt"));
    }
    let client = config.client(&unverified.iss).ok_or(ProtocolError::Client("iss is not a registered client"))?;
    let (_, claims) = jws_verify::<AssertionClaims>(assertion, &client.keys, typ)
        .map_err(|_| ProtocolError::Client("the signature must be ES256 or EdDSA by a registered key"))?;
    let times = [claims.iat, claims.nbf];
    let fault = if claims.sub != claims.iss {
        "sub must equal iss"
    } else if claims.aud.as_str() != Some(config.issuer.as_str()) {
        "aud must be the issuer, as a string"
    } else if claims.jti.is_empty() || claims.jti.len() > 256 {
        "jti must have 1 to 256 bytes"
    } else if Timestamp::from_seconds(claims.exp) <= now {
        "exp has passed"
    } else if Timestamp::from_seconds(claims.exp) > now.plus(ASSERTION_LIFETIME_MAX) {
        "exp lies more than 10 minutes ahead"
    } else if times.iter().flatten().any(|&time| Timestamp::from_seconds(time) > now.plus(CLOCK_SKEW)) {
        "iat or nbf lies in the future"
    } else {
        return Ok(Assertion { client, jti: claims.jti, expires_at: Timestamp::from_seconds(claims.exp) });
    };
    Err(ProtocolError::Client(fault))
}

/// What a client signs to authenticate.
#[derive(Debug, Serialize)]
pub(crate) struct NewAssertion<'a> {
    pub(crate) iss: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) aud: &'a str,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
}
