//! The authorization request as a value: read from the pushed parameters, checked against the register.

use civic::Locale;
use serde::{Deserialize, Serialize};

use crate::assurance::Acr;
use crate::client::{Client, IdentityConfig, Scope};
use crate::details::BridgeService;
use crate::error::ProtocolError;
use crate::pkce;

/// Most parameters that one request may carry.
pub(crate) const PARAMETERS_MAX: usize = 40;

/// Form parameters as they came, each name at most once.
#[derive(Clone, Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Takes the pairs of a form or query; refuses repeated names (RFC 6749 §3.1) and too many of them.
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Result<Self, ProtocolError> {
        if pairs.len() > PARAMETERS_MAX {
            return Err(ProtocolError::Parameter { name: "(all)", reason: "at most 40 parameters are read" });
        }
        for (position, (name, _)) in pairs.iter().enumerate() {
            if pairs.iter().skip(position + 1).any(|(other, _)| other == name) {
                return Err(ProtocolError::Repeated(name.chars().take(64).collect()));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter; an empty value counts as absent (RFC 6749 §3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        if value.is_empty() { None } else { Some(value) }
    }

    /// The value of a parameter that must be there.
    pub(crate) fn require(&self, name: &'static str) -> Result<&str, ProtocolError> {
        self.get(name).ok_or(ProtocolError::Missing(name))
    }
}

/// What the client wants the citizen to be asked (`prompt`, OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Prompt {
    /// Whatever is needed.
    #[default]
    Ordinary,
    /// Nothing: answer with an error where a page would be needed.
    None,
    /// Log in again.
    Login,
}

/// A checked authorization request, as it is stored under its `request_uri`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorizationRequest {
    /// The client that pushed it.
    pub(crate) client_id: String,
    /// Where the answer goes: one of the registered ones.
    pub(crate) redirect_uri: String,
    /// The scopes, `openid` among them.
    pub(crate) scopes: Vec<Scope>,
    /// Given back unchanged.
    pub(crate) state: Option<String>,
    /// Given back in the id_token.
    pub(crate) nonce: Option<String>,
    /// The S256 challenge.
    pub(crate) code_challenge: String,
    /// What the client asks to read over the bridge.
    pub(crate) details: Option<BridgeService>,
    /// The lowest level that the client asked for. Voluntary (OpenID Connect Core §5.5.1.1): the client checks `acr`.
    pub(crate) acr: Option<Acr>,
    /// The oldest acceptable login, in seconds.
    pub(crate) max_age_seconds: Option<u64>,
    /// What the citizen is to be asked.
    pub(crate) prompt: Prompt,
    /// The language that the client already speaks with the citizen.
    pub(crate) locale: Option<Locale>,
}

impl AuthorizationRequest {
    /// Reads pushed parameters of an authenticated client.
    pub(crate) fn read(
        parameters: &Parameters,
        client: &Client,
        config: &IdentityConfig,
    ) -> Result<Self, ProtocolError> {
        if parameters.get("request_uri").is_some() {
            return Err(ProtocolError::Parameter {
                name: "request_uri",
                reason: "it cannot be pushed (RFC 9126 §2.1)",
            });
        }
        if parameters.get("request").is_some() {
            return Err(ProtocolError::RequestObject);
        }
        if parameters.require("response_type")? != "code" {
            return Err(ProtocolError::ResponseType);
        }
        if parameters.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(ProtocolError::Parameter { name: "response_mode", reason: "only `query` is served" });
        }
        Ok(Self {
            client_id: client.id.clone(),
            redirect_uri: redirect_uri(parameters, client)?,
            scopes: scopes(parameters, client)?,
            state: opaque(parameters, "state", 512)?,
            nonce: opaque(parameters, "nonce", 256)?,
            code_challenge: code_challenge(parameters)?,
            details: details(parameters, client, config)?,
            acr: acr(parameters),
            max_age_seconds: max_age(parameters)?,
            prompt: prompt(parameters)?,
            locale: parameters.get("ui_locales").and_then(|tags| tags.split(' ').find_map(Locale::from_tag)),
        })
    }
}

fn redirect_uri(parameters: &Parameters, client: &Client) -> Result<String, ProtocolError> {
    let uri = parameters.require("redirect_uri")?;
    if !client.redirect_uris.iter().any(|registered| registered == uri) {
        let reason = "it must equal a registered URI character by character";
        return Err(ProtocolError::Parameter { name: "redirect_uri", reason });
    }
    Ok(uri.to_owned())
}

fn scopes(parameters: &Parameters, client: &Client) -> Result<Vec<Scope>, ProtocolError> {
    let mut scopes = Vec::with_capacity(Scope::ALL.len());
    for word in parameters.require("scope")?.split(' ').filter(|word| !word.is_empty()) {
        let scope = Scope::from_word(word).ok_or(ProtocolError::Scope("the scopes are openid, profile and person"))?;
        if scope != Scope::Openid && !client.scopes.contains(&scope) {
            return Err(ProtocolError::Scope("this client may not ask that scope"));
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if !scopes.contains(&Scope::Openid) {
        return Err(ProtocolError::Scope("`openid` is needed"));
    }
    scopes.sort_unstable();
    Ok(scopes)
}

fn opaque(parameters: &Parameters, name: &'static str, chars_max: usize) -> Result<Option<String>, ProtocolError> {
    let Some(value) = parameters.get(name) else { return Ok(None) };
    if value.len() > chars_max || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(ProtocolError::Parameter { name, reason: "too long or not printable ASCII" });
    }
    Ok(Some(value.to_owned()))
}

fn code_challenge(parameters: &Parameters) -> Result<String, ProtocolError> {
    let challenge = parameters.require("code_challenge")?;
    if parameters.get("code_challenge_method") != Some("S256") {
        return Err(ProtocolError::Parameter { name: "code_challenge_method", reason: "it must be S256" });
    }
    if !pkce::is_challenge(challenge) {
        return Err(ProtocolError::Parameter {
            name: "code_challenge",
            reason: "it must be the base64url of a SHA-256",
        });
    }
    Ok(challenge.to_owned())
}

fn details(
    parameters: &Parameters,
    client: &Client,
    config: &IdentityConfig,
) -> Result<Option<BridgeService>, ProtocolError> {
    let Some(json) = parameters.get("authorization_details") else { return Ok(None) };
    if json.len() > 8_192 {
        return Err(ProtocolError::Details("it is longer than 8192 bytes".to_owned()));
    }
    let details = BridgeService::read_parameter(json)?;
    if !client.services.contains(&details.service) {
        return Err(ProtocolError::Details(format!("this client may not ask for {}", details.service)));
    }
    let notice = config
        .notice(&details.service)
        .ok_or_else(|| ProtocolError::Details(format!("{} is not in the catalogue", details.service)))?;
    if let Some(unknown) = details.fields.iter().find(|field| !notice.fields.iter().any(|(code, _)| code == *field)) {
        return Err(ProtocolError::Details(format!("the service has no field `{unknown}`")));
    }
    Ok(Some(details))
}

fn acr(parameters: &Parameters) -> Option<Acr> {
    let values = parameters.get("acr_values")?;
    let mut lowest = None;
    for value in values.split(' ').filter(|value| !value.is_empty()).take(8) {
        // Unknown levels are passed over: the parameter is voluntary.
        if let Ok(acr) = value.parse::<Acr>() {
            lowest = Some(lowest.map_or(acr, |other: Acr| other.min(acr)));
        }
    }
    lowest
}

fn max_age(parameters: &Parameters) -> Result<Option<u64>, ProtocolError> {
    let fault = ProtocolError::Parameter { name: "max_age", reason: "it must be a number of seconds" };
    parameters.get("max_age").map(|text| text.parse::<u32>().map(u64::from).map_err(|_| fault)).transpose()
}

fn prompt(parameters: &Parameters) -> Result<Prompt, ProtocolError> {
    let mut words = parameters.get("prompt").unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    match (words.next(), words.next()) {
        // `consent` and `select_account` ask for what happens anyway.
        (None | Some("consent" | "select_account"), None) => Ok(Prompt::Ordinary),
        (Some("none"), None) => Ok(Prompt::None),
        (Some("login"), None | Some("consent")) | (Some("consent"), Some("login")) => Ok(Prompt::Login),
        _ => Err(ProtocolError::Parameter { name: "prompt", reason: "it is none, login or consent" }),
    }
}
