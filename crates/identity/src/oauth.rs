//! What programs ask: push a request, exchange a code, read userinfo. No HTTP here: values in, values out.

use std::time::Duration;

use civic::{Timestamp, random_hex};
use serde::Serialize;
use serde_json::{Value, json};
use trust::digest::sha256;
use trust::jose::jws_sign_with;

use crate::account::Account;
use crate::assurance::{Acr, Authentication};
use crate::client::{Client, Scope};
use crate::error::{IdentityError, ProtocolError};
use crate::identity::{Identity, secret_hash};
use crate::request::{AuthorizationRequest, Parameters};
use crate::rp::at_hash;
use crate::store::{NewCode, Redeemed, RedeemedCode};
use crate::token::{ACCESS_TOKEN_TYPE, AccessToken, ID_TOKEN_TYPE, IdToken, check_assertion};

/// How long a `request_uri` may wait for its browser (below the 600 s of FAPI 2.0 SP §5.3.2.2).
pub(crate) const REQUEST_URI_LIFETIME: Duration = Duration::from_mins(5);
/// How long a code holds (FAPI 2.0 SP §5.3.2.1: at most 60 s).
const CODE_LIFETIME: Duration = Duration::from_mins(1);
const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_hours(1);
const ID_TOKEN_LIFETIME: Duration = Duration::from_mins(5);
const REQUEST_URI_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The answer of the token endpoint.
#[derive(Debug, Serialize)]
pub(crate) struct TokenAnswer {
    pub(crate) access_token: String,
    pub(crate) token_type: &'static str,
    pub(crate) expires_in: i64,
    /// Only where a citizen logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<String>,
    pub(crate) scope: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) authorization_details: Vec<crate::details::BridgeService>,
}

impl Identity {
    /// The discovery document (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
    pub(crate) fn discovery(&self) -> Value {
        let issuer = &self.inner.config.issuer;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "pushed_authorization_request_endpoint": format!("{issuer}/par"),
            "require_pushed_authorization_requests": true,
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "end_session_endpoint": format!("{issuer}/logout"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": self.grant_types(),
            "scopes_supported": self.scopes(),
            "subject_types_supported": ["pairwise"],
            "acr_values_supported": Acr::OFFERED.map(Acr::as_str),
            "claims_supported": ["sub", "acr", "amr", "auth_time", "name", "person", "national_number"],
            "authorization_details_types_supported": [crate::details::BRIDGE_SERVICE],
            "id_token_signing_alg_values_supported": [self.inner.jwk.alg()],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA"],
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": ["none", "login", "consent"],
            "ui_locales_supported": ["fr", "en"],
            "authorization_response_iss_parameter_supported": true,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "claims_parameter_supported": false,
        })
    }

    fn grant_types(&self) -> &'static [&'static str] {
        let code_only = self.inner.config.resources.is_empty();
        if code_only { &["authorization_code"] } else { &["authorization_code", "client_credentials"] }
    }

    fn scopes(&self) -> Vec<&str> {
        let of_services = self.inner.config.resources.iter().map(|resource| resource.scope.as_str());
        Scope::ALL.iter().map(|scope| scope.as_str()).chain(of_services).collect()
    }

    /// Authenticates the client of a PAR or token request (private_key_jwt only; an assertion works once).
    pub(crate) async fn authenticate(&self, parameters: &Parameters) -> Result<&Client, ProtocolError> {
        if parameters.get("client_secret").is_some() {
            return Err(ProtocolError::Client("only private_key_jwt is served"));
        }
        if parameters.require("client_assertion_type")? != ASSERTION_TYPE {
            return Err(ProtocolError::Client("client_assertion_type must be jwt-bearer (RFC 7523)"));
        }
        let now = self.inner.clock.now();
        let assertion = check_assertion(parameters.require("client_assertion")?, &self.inner.config, now)?;
        if parameters.get("client_id").is_some_and(|id| id != assertion.client.id) {
            return Err(ProtocolError::Client("client_id is not the client of the assertion"));
        }
        let jti = sha256(assertion.jti.as_bytes());
        let fresh = self.inner.tables.remember_assertion(&assertion.client.id, jti, assertion.expires_at).await;
        if !fresh.map_err(ours)? {
            return Err(ProtocolError::Client("this assertion was used before: sign a new one"));
        }
        Ok(assertion.client)
    }

    /// Stores a pushed request and answers its URI and lifetime (RFC 9126 §2.2).
    pub(crate) async fn push(&self, parameters: &Parameters) -> Result<(String, u64), ProtocolError> {
        let client = self.authenticate(parameters).await?;
        let request = AuthorizationRequest::read(parameters, client, &self.inner.config)?;
        if request.details.is_some() && self.grants.is_none() {
            return Err(ProtocolError::Details("this provider has no consent service connected".to_owned()));
        }
        let (secret, _) = self.secret();
        let uri = format!("{REQUEST_URI_PREFIX}{secret}");
        let expires_at = self.inner.clock.now().plus(REQUEST_URI_LIFETIME);
        self.inner.tables.put_request(secret_hash(&uri), request, expires_at).await.map_err(ours)?;
        Ok((uri, REQUEST_URI_LIFETIME.as_secs()))
    }

    /// The stored request of `/authorize?client_id&request_uri`, if a browser may begin to answer it.
    pub(crate) async fn pushed_request(
        &self,
        parameters: &Parameters,
    ) -> Result<(Vec<u8>, AuthorizationRequest), ProtocolError> {
        let client_id = parameters.require("client_id")?;
        let uri_hash = secret_hash(parameters.require("request_uri")?);
        let stored = self.inner.tables.request(uri_hash.clone()).await.map_err(ours)?;
        match stored {
            Some(stored)
                if !stored.is_spent
                    && stored.request.client_id == client_id
                    && stored.expires_at > self.inner.clock.now() =>
            {
                Ok((uri_hash, stored.request))
            }
            _ => Err(ProtocolError::RequestUri),
        }
    }

    /// Makes a code for an answered request.
    pub(crate) async fn issue_code(
        &self,
        request: &AuthorizationRequest,
        authentication: Authentication,
        grant: Option<(String, Timestamp)>,
    ) -> Result<String, IdentityError> {
        let now = self.inner.clock.now();
        let (code, hash) = self.secret();
        let code_row = NewCode {
            hash,
            request: request.clone(),
            authentication,
            grant,
            expires_at: now.plus(CODE_LIFETIME),
            keep_until: now.plus(CODE_LIFETIME).plus(ACCESS_TOKEN_LIFETIME),
        };
        self.inner.tables.put_code(code_row).await?;
        Ok(code)
    }

    /// Answers the token endpoint by the kind of grant.
    pub(crate) async fn exchange(&self, parameters: &Parameters) -> Result<TokenAnswer, ProtocolError> {
        if parameters.get("grant_type") == Some("client_credentials") && !self.inner.config.resources.is_empty() {
            return self.own_token(parameters).await;
        }
        let client = self.authenticate(parameters).await?;
        if parameters.require("grant_type")? != "authorization_code" {
            return Err(ProtocolError::GrantType);
        }
        self.redeem(client, parameters).await
    }

    /// Exchanges a code for tokens (RFC 6749 §4.1.3).
    async fn redeem(&self, client: &Client, parameters: &Parameters) -> Result<TokenAnswer, ProtocolError> {
        let code_hash = secret_hash(parameters.require("code")?);
        let redirect_uri = parameters.require("redirect_uri")?;
        let verifier = parameters.require("code_verifier")?;
        let token_id = random_hex::<16>(self.inner.random.as_ref());
        let now = self.inner.clock.now();
        let redeemed = self
            .inner
            .tables
            .redeem(code_hash, &client.id, redirect_uri, verifier, &token_id, now)
            .await
            .map_err(ours)?;
        match redeemed {
            Redeemed::Tokens(code) => self.tokens(client, *code, token_id, now).await,
            Redeemed::Unknown => Err(ProtocolError::Grant("it is unknown")),
            Redeemed::Expired => Err(ProtocolError::Grant("it is older than 60 seconds")),
            Redeemed::WrongRedirect => Err(ProtocolError::Grant("redirect_uri is not that of the request")),
            Redeemed::WrongVerifier => Err(ProtocolError::Grant("code_verifier does not fit the challenge")),
            Redeemed::Reused { person, grant_id } => {
                tracing::warn!(client = client.id, %person, "a code was used twice; its token and grant are revoked");
                let event = self.event(&person, "code_reused", Some(&client.id), None);
                self.inner.tables.record(event, now).await.map_err(ours)?;
                if let Some(grant_id) = grant_id {
                    self.revoke_after_reuse(&grant_id).await.map_err(ours)?;
                }
                Err(ProtocolError::Grant("it was used before: what was made from it is revoked"))
            }
        }
    }

    /// The claims of userinfo (OpenID Connect Core §5.3): for tokens made for this provider, that is, without a bridge service.
    pub(crate) async fn userinfo(&self, token: &str) -> Result<Value, ProtocolError> {
        let now = self.inner.clock.now();
        let claims = self
            .access_token_verifier()
            .verify_for(token, &self.inner.config.issuer, now)
            .map_err(|_| ProtocolError::Token("it is not a valid token for userinfo"))?;
        if self.inner.tables.is_token_revoked(&claims.jti).await.map_err(ours)? {
            return Err(ProtocolError::Token("it was revoked"));
        }
        let person = self.inner.tables.token_owner(&claims.jti).await.map_err(ours)?;
        let person = person.ok_or(ProtocolError::Token("it is unknown"))?;
        let scopes: Vec<Scope> = claims.scope.split(' ').filter_map(Scope::from_word).collect();
        let account = self.inner.tables.account(&person).await.map_err(ours)?;
        let personal = Personal::of(account.as_ref(), &scopes);
        let mut answer = serde_json::to_value(personal).unwrap_or_default();
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("sub".to_owned(), claims.sub.into());
        }
        Ok(answer)
    }

    /// The subject of a citizen for one client: different for every organisation, the same for ever (OpenID Connect Core §8.1).
    /// The sector is the subsystem of the client, so that moving its web site does not change the subjects.
    pub(crate) fn subject(&self, authentication: &Authentication, client: &Client) -> String {
        let input = format!("{}\0{}", client.member, authentication.person);
        crate::encode(&self.inner.tables.mac("pairwise", input.as_bytes()))
    }

    async fn tokens(
        &self,
        client: &Client,
        code: RedeemedCode,
        token_id: String,
        now: Timestamp,
    ) -> Result<TokenAnswer, ProtocolError> {
        let RedeemedCode { request, authentication, grant } = code;
        let account = self.inner.tables.account(&authentication.person).await.map_err(ours)?;
        let scope = request.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
        let mut until = now.plus(ACCESS_TOKEN_LIFETIME);
        let mut details = request.details.clone();
        if let (Some(details), Some((grant_id, grant_until))) = (&mut details, &grant) {
            details.grant_id = Some(grant_id.clone());
            until = until.min(*grant_until);
        }
        let audience =
            details.as_ref().map_or_else(|| self.inner.config.issuer.clone(), |one| one.service.client().to_string());
        let access = AccessToken {
            iss: self.inner.config.issuer.clone(),
            sub: self.subject(&authentication, client),
            aud: audience,
            client_id: client.id.clone(),
            client_member: client.member.clone(),
            scope: scope.clone(),
            authorization_details: details.into_iter().collect(),
            jti: token_id,
            iat: now.seconds(),
            exp: until.seconds(),
            auth_time: Some(authentication.at.seconds()),
            acr: Some(authentication.acr),
        };
        let access_token = self.sign(ACCESS_TOKEN_TYPE, &access)?;
        let personal = Personal::of(account.as_ref(), &request.scopes);
        let id = IdToken {
            iss: access.iss,
            sub: access.sub,
            aud: client.id.clone(),
            iat: now.seconds(),
            exp: now.plus(ID_TOKEN_LIFETIME).seconds(),
            auth_time: authentication.at.seconds(),
            acr: authentication.acr,
            amr: authentication.amr,
            nonce: request.nonce,
            at_hash: at_hash(&access_token),
            name: personal.name,
            person: personal.person,
            national_number: personal.national_number,
        };
        Ok(TokenAnswer {
            id_token: Some(self.sign(ID_TOKEN_TYPE, &id)?),
            access_token,
            token_type: "Bearer",
            expires_in: access.exp - access.iat,
            scope,
            authorization_details: access.authorization_details,
        })
    }

    pub(crate) fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, ProtocolError> {
        jws_sign_with(&self.inner.key, &self.inner.jwk, typ, claims)
            .map_err(|error| ours(IdentityError::Sign(error.to_string())))
    }
}

/// The personal claims that a set of scopes opens.
#[derive(Serialize)]
struct Personal {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<civic::PersonId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    national_number: Option<civic::NationalNumber>,
}

impl Personal {
    fn of(account: Option<&Account>, scopes: &[Scope]) -> Self {
        let profile = account.filter(|_| scopes.contains(&Scope::Profile));
        let person = account.filter(|_| scopes.contains(&Scope::Person));
        Self {
            name: profile.map(|account| account.display_name.clone()),
            person: person.map(|account| account.person.clone()),
            national_number: person.map(|account| account.national_number.clone()),
        }
    }
}

/// A failure of ours behind a protocol answer: logged once here, told as `temporarily_unavailable` there.
pub(crate) fn ours(error: IdentityError) -> ProtocolError {
    tracing::error!(%error, "the identity provider could not answer a client");
    ProtocolError::Unavailable
}
