use civic::{ClientId, NationalNumber, Purpose, ServiceId};
use serde::{Deserialize, Serialize};

/// The `typ` of a proof of grant use.
pub const GRANT_USE_TYP: &str = "grant-use+jwt";
/// The `typ` of a provider node's request to use a grant.
pub const USE_REQUEST_TYP: &str = "grant-use-request+jwt";

/// What the consent service signs when a grant is used: the whole answer to "may this be read now", for one message.
/// The provider's node checks it and hands it to the information system (`Baobab-Grant-Use`), which checks it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantUseClaims {
    /// The consent service.
    pub iss: String,
    /// The provider, a client of the bridge.
    pub aud: ClientId,
    /// When it was signed, seconds.
    pub iat: i64,
    /// Until when it opens, seconds.
    pub exp: i64,
    /// The message of the bridge that it is for.
    pub jti: String,
    /// The grant.
    pub grant_id: String,
    /// About whom.
    pub sub: NationalNumber,
    /// Who may read.
    pub client: ClientId,
    /// Through which service.
    pub service: ServiceId,
    /// The method of the request.
    pub method: String,
    /// The path of the request after the service code.
    pub path: String,
    /// Which fields.
    pub fields: Vec<String>,
    /// Which years.
    pub years: Vec<u16>,
    /// Why, as the citizen read it.
    pub purpose: Purpose,
}

/// What a provider's node signs to use a grant (`Authorization: Bearer` of `POST /consent/v1/grants/{id}/use`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseRequestClaims {
    /// The provider, a client of the bridge: whose key signs.
    pub iss: ClientId,
    /// The consent service, exactly as its issuer is written.
    pub aud: String,
    /// When it was signed, seconds.
    pub iat: i64,
    /// Until when it holds, seconds; at most two minutes after `iat`.
    pub exp: i64,
    /// The message of the bridge that asks.
    pub jti: String,
    /// The grant.
    pub grant_id: String,
    /// Who asks: the client that signed the message.
    pub client: ClientId,
    /// Which service.
    pub service: ServiceId,
    /// The method of the request.
    pub method: String,
    /// The path of the request after the service code.
    pub path: String,
}
