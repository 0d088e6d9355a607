//! The relying-party side: what the citizen portal, a bank and any organisation in Rust need to let people log in here.
//!
//! ```no_run
//! # async fn example(party: identity::rp::RelyingParty, ask: identity::rp::Ask, callback: identity::rp::Callback) -> Result<(), identity::rp::RpError> {
//! let begun = party.begin(&ask).await?;          // keep begun.pending in the session, send the browser to begun.redirect
//! match party.finish(&begun.pending, &callback).await? {
//!     identity::rp::Outcome::LoggedIn(login) => println!("{} with level {}", login.subject, login.acr),
//!     identity::rp::Outcome::Refused => println!("the citizen refused, and that is a normal outcome"),
//! }
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use civic::{Locale, NationalNumber, PersonId, SharedClock, SharedRandom, Timestamp, random_array};
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;
use trust::digest::{constant_time_eq, sha256};
use trust::jose::{JoseError, Jwks, jws_sign, jws_verify};
use trust::keys::SigningKey;
use web::{HttpClient, HttpError, form_text};

use crate::assurance::{Acr, Amr};
use crate::client::Scope;
use crate::details::BridgeService;
use crate::pkce;
use crate::token::{CLOCK_SKEW, ID_TOKEN_TYPE, IdToken, NewAssertion};

/// How long a login may take from [`RelyingParty::begin`] to [`RelyingParty::finish`].
pub const PENDING_LIFETIME: Duration = Duration::from_hours(1);
const ASSERTION_LIFETIME: Duration = Duration::from_mins(1);

/// Who the relying party is and whom it trusts.
#[derive(Clone)]
pub struct RpConfig {
    /// The issuer URL of the identity provider.
    pub issuer: String,
    /// The registered client id.
    pub client_id: String,
    /// The registered redirect URI.
    pub redirect_uri: String,
    /// The key that signs the client assertions (P-256 or Ed25519); its public part is registered.
    pub key: SigningKey,
}

/// What the relying party asks for.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Scopes besides `openid`.
    pub scopes: Vec<Scope>,
    /// A service of the bridge to be allowed by the citizen.
    pub details: Option<BridgeService>,
    /// The level that the login should reach; compare [`Login::acr`] afterwards.
    pub acr: Option<Acr>,
    /// The oldest acceptable login, in seconds.
    pub max_age_seconds: Option<u32>,
    /// The language of the page that the citizen comes from.
    pub locale: Locale,
}

/// A login that was begun: keep it in the browser's session, on the server side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    details: Option<BridgeService>,
    began_at: Timestamp,
}

/// Where to send the browser, and what to keep.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The address at the identity provider; answer 303 to it.
    pub redirect: String,
    /// To be given to [`RelyingParty::finish`].
    pub pending: Pending,
}

/// The query of the redirect URI when the browser comes back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Callback {
    /// The authorization code.
    pub code: Option<String>,
    /// The state of the request.
    pub state: Option<String>,
    /// Who answers (RFC 9207).
    pub iss: Option<String>,
    /// The error code.
    pub error: Option<String>,
    /// The error in words, for developers.
    pub error_description: Option<String>,
}

/// How a login ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The citizen is known and agreed to what was asked.
    LoggedIn(Box<Login>),
    /// The citizen refused. Go on without the data.
    Refused,
}

/// A citizen who logged in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    /// The citizen, as this client alone knows them.
    pub subject: String,
    /// How sure the login was.
    pub acr: Acr,
    /// By which methods.
    pub amr: Vec<Amr>,
    /// When.
    pub auth_time: Timestamp,
    /// Scope `profile`.
    pub name: Option<String>,
    /// Scope `person`.
    pub person: Option<PersonId>,
    /// Scope `person`.
    pub national_number: Option<NationalNumber>,
    /// The token for the bridge (or for userinfo where no service was asked for).
    pub access_token: String,
    /// When that token ends.
    pub access_token_until: Timestamp,
    /// What the citizen agreed to, with its grant id.
    pub granted: Option<BridgeService>,
    /// The id_token as it came, for logout.
    pub id_token: String,
}

/// Why a login could not be begun or finished.
#[derive(Debug, thiserror::Error)]
pub enum RpError {
    /// The identity provider did not answer, or not as specified.
    #[error("the identity provider did not answer: {0}")]
    Http(#[from] HttpError),
    /// The identity provider answered with an OAuth error.
    #[error("the identity provider answered {error}: {description}")]
    Provider {
        /// The error code.
        error: String,
        /// The error in words.
        description: String,
    },
    /// The browser came back with a state that was not sent, or too late (login CSRF, RFC 9700 §4.7).
    #[error("the answer does not belong to this login ({0}): start again")]
    Foreign(&'static str),
    /// The id_token does not hold (OpenID Connect Core §3.1.3.7).
    #[error("the id_token is not acceptable: {0}")]
    IdToken(&'static str),
    /// A token could not be made or verified.
    #[error("token: {0}")]
    Jose(#[from] JoseError),
    /// The provider describes itself otherwise than configured.
    #[error("the identity provider at {issuer} describes itself as `{found}`: check the issuer URL")]
    Discovery {
        /// As configured.
        issuer: String,
        /// As found.
        found: String,
    },
}

/// A registered client at work. Cheap to clone.
#[derive(Clone)]
pub struct RelyingParty {
    inner: Arc<Inner>,
}

struct Inner {
    config: RpConfig,
    http: HttpClient,
    clock: SharedClock,
    random: SharedRandom,
    provider: RwLock<Option<Arc<Provider>>>,
}

#[derive(Debug)]
struct Provider {
    metadata: Metadata,
    keys: Jwks,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    pushed_authorization_request_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    end_session_endpoint: String,
}

#[derive(Deserialize)]
struct Pushed {
    request_uri: String,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    expires_in: u32,
    id_token: String,
    #[serde(default)]
    authorization_details: Vec<BridgeService>,
}

#[derive(Deserialize)]
struct OAuthError {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl RelyingParty {
    /// A relying party; it asks the provider nothing until the first login.
    pub fn new(config: RpConfig, http: HttpClient, clock: SharedClock, random: SharedRandom) -> Self {
        Self { inner: Arc::new(Inner { config, http, clock, random, provider: RwLock::new(None) }) }
    }

    /// Pushes the request (RFC 9126) and answers where to send the browser.
    pub async fn begin(&self, ask: &Ask) -> Result<Begun, RpError> {
        let Inner { config, clock, .. } = &*self.inner;
        let provider = self.provider(false).await?;
        let pending = Pending {
            state: self.secret(),
            nonce: self.secret(),
            verifier: self.secret(),
            details: ask.details.clone(),
            began_at: clock.now(),
        };
        let mut scope = String::from(Scope::Openid.as_str());
        for word in ask.scopes.iter().filter(|scope| **scope != Scope::Openid) {
            scope.push(' ');
            scope.push_str(word.as_str());
        }
        let challenge = pkce::challenge(&pending.verifier);
        let details = ask.details.as_ref().and_then(|details| serde_json::to_string(&[details]).ok());
        let max_age = ask.max_age_seconds.map(|seconds| seconds.to_string());
        let mut fields = vec![
            ("response_type", "code"),
            ("redirect_uri", config.redirect_uri.as_str()),
            ("scope", scope.as_str()),
            ("state", pending.state.as_str()),
            ("nonce", pending.nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("ui_locales", ask.locale.tag()),
        ];
        fields.extend(details.as_deref().map(|details| ("authorization_details", details)));
        fields.extend(max_age.as_deref().map(|seconds| ("max_age", seconds)));
        fields.extend(ask.acr.map(|acr| ("acr_values", acr.as_str())));
        let endpoint = &provider.metadata.pushed_authorization_request_endpoint;
        let pushed: Pushed = self.post(endpoint, fields).await?;
        let query = form_text(&[("client_id", &config.client_id), ("request_uri", &pushed.request_uri)]);
        Ok(Begun { redirect: format!("{}?{query}", provider.metadata.authorization_endpoint), pending })
    }

    /// Checks what the browser brought back, exchanges the code and checks the id_token.
    pub async fn finish(&self, pending: &Pending, callback: &Callback) -> Result<Outcome, RpError> {
        let Inner { config, clock, .. } = &*self.inner;
        let state = callback.state.as_deref().unwrap_or_default();
        if !constant_time_eq(state.as_bytes(), pending.state.as_bytes()) {
            return Err(RpError::Foreign("state"));
        }
        if callback.iss.as_deref() != Some(config.issuer.as_str()) {
            return Err(RpError::Foreign("iss"));
        }
        if clock.now() > pending.began_at.plus(PENDING_LIFETIME) {
            return Err(RpError::Foreign("too late"));
        }
        if let Some(error) = &callback.error {
            if error == "access_denied" {
                return Ok(Outcome::Refused);
            }
            let description = callback.error_description.clone().unwrap_or_default();
            return Err(RpError::Provider { error: cut(error), description: cut(&description) });
        }
        let code = callback.code.as_deref().ok_or(RpError::Foreign("code"))?;
        let provider = self.provider(false).await?;
        let fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", config.redirect_uri.as_str()),
            ("code_verifier", pending.verifier.as_str()),
        ];
        let tokens: Tokens = self.post(&provider.metadata.token_endpoint, fields).await?;
        let claims = self.id_token(&tokens, pending).await?;
        Ok(Outcome::LoggedIn(Box::new(Login {
            subject: claims.sub,
            acr: claims.acr,
            amr: claims.amr,
            auth_time: Timestamp::from_seconds(claims.auth_time),
            name: claims.name,
            person: claims.person,
            national_number: claims.national_number,
            access_token_until: clock.now().plus(Duration::from_secs(u64::from(tokens.expires_in))),
            access_token: tokens.access_token,
            granted: tokens.authorization_details.into_iter().next(),
            id_token: tokens.id_token,
        })))
    }

    /// Where to send the browser to end the session at the provider too (OpenID Connect RP-Initiated Logout §2).
    pub async fn logout_url(&self, id_token: &str, post_logout_redirect_uri: &str) -> Result<String, RpError> {
        let provider = self.provider(false).await?;
        let query = form_text(&[
            ("id_token_hint", id_token),
            ("client_id", &self.inner.config.client_id),
            ("post_logout_redirect_uri", post_logout_redirect_uri),
        ]);
        Ok(format!("{}?{query}", provider.metadata.end_session_endpoint))
    }

    async fn id_token(&self, tokens: &Tokens, pending: &Pending) -> Result<IdToken, RpError> {
        let provider = self.provider(false).await?;
        let read = jws_verify::<IdToken>(&tokens.id_token, &provider.keys, ID_TOKEN_TYPE);
        let (_, claims) = match read {
            // The provider may have a new key: ask once.
            Err(JoseError::UnknownKey(_)) => {
                jws_verify::<IdToken>(&tokens.id_token, &self.provider(true).await?.keys, ID_TOKEN_TYPE)?
            }
            other => other?,
        };
        let Inner { config, clock, .. } = &*self.inner;
        let now = clock.now();
        let fault = if claims.iss != config.issuer {
            "iss"
        } else if claims.aud != config.client_id {
            "aud"
        } else if claims.nonce.as_deref() != Some(pending.nonce.as_str()) {
            "nonce"
        } else if now >= Timestamp::from_seconds(claims.exp).plus(CLOCK_SKEW) {
            "exp"
        } else if Timestamp::from_seconds(claims.iat) > now.plus(CLOCK_SKEW) {
            "iat"
        } else if claims.at_hash != at_hash(&tokens.access_token) {
            "at_hash"
        } else if pending.details.is_some() && tokens.authorization_details.is_empty() {
            "authorization_details"
        } else {
            return Ok(claims);
        };
        Err(RpError::IdToken(fault))
    }

    /// The provider's description of itself and its keys, read once and again when a key is unknown.
    async fn provider(&self, again: bool) -> Result<Arc<Provider>, RpError> {
        if !again && let Some(provider) = self.inner.provider.read().await.as_ref() {
            return Ok(Arc::clone(provider));
        }
        let mut kept = self.inner.provider.write().await;
        if !again && let Some(provider) = kept.as_ref() {
            return Ok(Arc::clone(provider));
        }
        let Inner { config, http, .. } = &*self.inner;
        let url = format!("{}/.well-known/openid-configuration", config.issuer);
        let metadata: Metadata = http.get_json(&url, &[]).await?;
        if metadata.issuer != config.issuer {
            return Err(RpError::Discovery { issuer: config.issuer.clone(), found: cut(&metadata.issuer) });
        }
        let keys: Jwks = http.get_json(&metadata.jwks_uri, &[]).await?;
        let provider = Arc::new(Provider { metadata, keys });
        *kept = Some(Arc::clone(&provider));
        drop(kept);
        Ok(provider)
    }

    /// Posts a form with a client assertion (private_key_jwt, RFC 7523) and reads the JSON answer.
    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        endpoint: &str,
        mut fields: Vec<(&str, &str)>,
    ) -> Result<T, RpError> {
        let Inner { config, http, clock, .. } = &*self.inner;
        let now = clock.now();
        let claims = NewAssertion {
            iss: &config.client_id,
            sub: &config.client_id,
            aud: &config.issuer,
            iat: now.seconds(),
            exp: now.plus(ASSERTION_LIFETIME).seconds(),
            jti: self.secret(),
        };
        let assertion = jws_sign(&config.key, "client-authentication+jwt", &claims)?;
        fields.push(("client_id", &config.client_id));
        fields.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
        fields.push(("client_assertion", &assertion));
        let reply = http.post_form(endpoint, &[], &fields).await?;
        if reply.status.is_success() {
            return Ok(reply.json()?);
        }
        match reply.json::<OAuthError>() {
            Ok(answer) => {
                Err(RpError::Provider { error: cut(&answer.error), description: cut(&answer.error_description) })
            }
            Err(_) => {
                Err(RpError::Http(reply.success().err().unwrap_or_else(|| HttpError::BadUrl(endpoint.to_owned()))))
            }
        }
    }

    /// 256 random bits as 43 characters: a state, nonce, verifier or token id.
    fn secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(random_array::<32>(self.inner.random.as_ref()))
    }
}

/// The left half of the SHA-256 of a token, base64url without padding.
pub(crate) fn at_hash(access_token: &str) -> String {
    let digest = sha256(access_token.as_bytes());
    let (left, _) = digest.split_at(16);
    URL_SAFE_NO_PAD.encode(left)
}

fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}
