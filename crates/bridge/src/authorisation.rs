//! Token and grant: may this organisation have these data of this citizen now? Asked of the consent service for each exchange
//! (docs/decisions/0004). Nothing is disclosed where it does not answer.

use std::time::Duration;

use bytes::Bytes;
use civic::{NationalNumber, Purpose, Timestamp};
use consent::{GRANT_USE_TYP, GrantUseClaims, USE_REQUEST_TYP, UseRequestClaims};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::Full;
use identity::token::{AccessTokenVerifier, TokenError};
use serde::Deserialize;
use trust::jose::{JoseError, Jwk, jws_sign, jws_verify};
use trust::keys::SigningKey;

use crate::access::ServicePath;
use crate::config::ConsentTrust;
use crate::fault::{Fault, Reason, Side};
use crate::message::AnyRequest;
use crate::outbound::Outbound;

const LIMIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks the consent service for this node.
pub(crate) struct Authoriser {
    trust: ConsentTrust,
    tokens: AccessTokenVerifier,
}

/// What the consent service allowed, once.
#[derive(Clone, Debug)]
pub(crate) struct Authorised {
    /// Its signed word, for the information system.
    pub(crate) grant_use: String,
    pub(crate) grant_id: String,
    pub(crate) subject: NationalNumber,
    pub(crate) fields: Vec<String>,
    pub(crate) purpose: Purpose,
}

#[derive(Debug, Deserialize)]
struct UseAnswer {
    grant_use: String,
}

#[derive(Debug, Default, Deserialize)]
struct UseProblem {
    #[serde(default, rename = "type")]
    kind: String,
}

impl Authoriser {
    pub(crate) fn new(trust: ConsentTrust) -> Self {
        let tokens = AccessTokenVerifier::new(trust.issuer.clone(), trust.jwks.clone());
        Self { trust, tokens }
    }

    /// Checks the access token, then uses the grant; `key` is the one that the node signs with now.
    pub(crate) async fn authorise(
        &self,
        key: &SigningKey,
        outbound: &Outbound,
        request: &AnyRequest,
        path: &ServicePath,
        now: Timestamp,
    ) -> Result<Authorised, Fault> {
        let grant_id = self.grant_of(request, path, now)?;
        let grant_use = self.use_grant(key, outbound, request, &grant_id, now).await?;
        self.read_use(request, &grant_id, grant_use, now)
    }

    /// The grant that the token names for this service and path.
    fn grant_of(&self, request: &AnyRequest, path: &ServicePath, now: Timestamp) -> Result<String, Fault> {
        let Some(token) = request.token() else {
            return Err(refuse(
                Reason::TokenMissing,
                "this service rests on consent. Send Authorization: Bearer (SOAP: securityToken) with the access token",
            ));
        };
        let claims = self.tokens.verify(token, request.service().client(), now).map_err(|error| {
            let reason =
                if matches!(error, TokenError::Expired(_)) { Reason::TokenExpired } else { Reason::TokenInvalid };
            refuse(reason, format!("{error}"))
        })?;
        if &claims.client_member != request.client() {
            let message = format!(
                "the access token belongs to another client than {}. Ask for one of your own",
                request.client()
            );
            return Err(refuse(Reason::TokenWrongClient, message));
        }
        // A path with two readings could be in scope in one of them only.
        let covering = path.segment(0).and_then(|first| claims.covering(request.service(), first));
        let grant_id = covering.and_then(|details| details.grant_id.clone());
        grant_id.ok_or_else(|| {
            let message =
                "the citizen's consent does not cover this service and path. Ask the citizen again for what you need";
            refuse(Reason::ConsentOutOfScope, message)
        })
    }

    async fn use_grant(
        &self,
        key: &SigningKey,
        outbound: &Outbound,
        request: &AnyRequest,
        grant_id: &str,
        now: Timestamp,
    ) -> Result<String, Fault> {
        let claims = UseRequestClaims {
            iss: request.service().client().clone(),
            aud: self.trust.issuer.clone(),
            iat: now.seconds(),
            exp: now.seconds() + 60,
            jti: request.message_id().to_owned(),
            grant_id: grant_id.to_owned(),
            client: request.client().clone(),
            service: request.service().clone(),
            method: request.consent_verb().as_str().to_owned(),
            path: request.consent_path(),
        };
        let assertion = jws_sign(key, USE_REQUEST_TYP, &claims).map_err(internal)?;
        let url = format!("{}/consent/v1/grants/{grant_id}/use", self.trust.base_url.trim_end_matches('/'));
        let bearer = HeaderValue::from_str(&format!("Bearer {assertion}")).map_err(internal)?;
        let outgoing = Request::post(url)
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from_static(b"{}")))
            .map_err(internal)?;
        let answer = outbound.send(outgoing, LIMIT, ANSWER_BYTES_MAX).await.map_err(|error| {
            tracing::warn!(%error, "the consent service cannot be asked");
            unavailable()
        })?;
        match answer.status() {
            StatusCode::OK => {
                let answer: UseAnswer = serde_json::from_slice(answer.body()).map_err(|_| unavailable())?;
                Ok(answer.grant_use)
            }
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                let problem: UseProblem = serde_json::from_slice(answer.body()).unwrap_or_default();
                Err(refused_use(&problem.kind))
            }
            StatusCode::UNAUTHORIZED => {
                let kid = Jwk::of(key.public()).map(|key| key.kid().to_owned()).unwrap_or_default();
                tracing::warn!(
                    kid,
                    "the consent service does not know the signing key of this node: its operator must register it"
                );
                Err(unavailable())
            }
            status => {
                tracing::warn!(%status, "the consent service does not answer as agreed");
                Err(unavailable())
            }
        }
    }

    /// Reads the word of the consent service; it must be about exactly this exchange.
    fn read_use(
        &self,
        request: &AnyRequest,
        grant_id: &str,
        grant_use: String,
        now: Timestamp,
    ) -> Result<Authorised, Fault> {
        let read: Result<(_, GrantUseClaims), JoseError> = jws_verify(&grant_use, &self.trust.jwks, GRANT_USE_TYP);
        let (_, claims) = read.map_err(|error| {
            tracing::warn!(%error, "the consent service signed something else");
            unavailable()
        })?;
        let fits = claims.iss == self.trust.issuer
            && &claims.aud == request.service().client()
            && claims.jti == request.message_id()
            && claims.grant_id == grant_id
            && &claims.client == request.client()
            && &claims.service == request.service()
            && claims.method == request.consent_verb().as_str()
            && claims.path == request.consent_path()
            && now < Timestamp::from_seconds(claims.exp);
        if !fits {
            tracing::warn!("the consent service answered for another exchange");
            return Err(unavailable());
        }
        Ok(Authorised {
            grant_use,
            grant_id: claims.grant_id,
            subject: claims.sub,
            fields: claims.fields,
            purpose: claims.purpose,
        })
    }
}

/// The refusal of the consent service, by the suffix of its problem type.
fn refused_use(kind: &str) -> Fault {
    let (reason, message) = match kind.rsplit(['/', ':', '#']).next().unwrap_or_default() {
        "consent_revoked" => (Reason::ConsentRevoked, "the citizen withdrew the consent. Ask the citizen again"),
        "consent_expired" => (Reason::ConsentExpired, "the consent has expired. Ask the citizen again"),
        "consent_exhausted" => (Reason::ConsentExhausted, "all uses of the consent are spent. Ask the citizen again"),
        "consent_out_of_scope" => {
            (Reason::ConsentOutOfScope, "the consent does not cover this request. Ask the citizen for what you need")
        }
        _ => (Reason::ConsentUnknown, "the consent is not known. Ask the citizen again"),
    };
    refuse(reason, message)
}

fn refuse(reason: Reason, message: impl Into<String>) -> Fault {
    Fault::new(Side::ServerProxy, reason, message)
}

fn unavailable() -> Fault {
    refuse(
        Reason::ConsentUnavailable,
        "the consent service did not answer; without it nothing is disclosed. Try again later",
    )
}

fn internal(error: impl std::fmt::Display) -> Fault {
    refuse(Reason::InternalError, format!("{error}. Look into the log of the provider's node"))
}
