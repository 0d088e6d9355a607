use store::StoreError;

/// Why a request of a client was not accepted: the errors that go back as OAuth JSON or, where the redirect URI is known to be
/// right, by redirect. The texts are for the developers of the client; no personal datum is in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A parameter is missing (RFC 6749 §4.1.2.1).
    #[error("the parameter `{0}` is missing")]
    Missing(&'static str),
    /// A parameter is given twice (RFC 6749 §3.1).
    #[error("the parameter `{0}` is given twice")]
    Repeated(String),
    /// A parameter has a value that is not allowed.
    #[error("the parameter `{name}` is not acceptable: {reason}")]
    Parameter {
        /// The name of the parameter.
        name: &'static str,
        /// What would be acceptable.
        reason: &'static str,
    },
    /// Only `code` is served (RFC 6749 §3.1.1).
    #[error("response_type must be `code`")]
    ResponseType,
    /// A scope that the client may not ask (RFC 6749 §3.3).
    #[error("scope: {0}")]
    Scope(&'static str),
    /// The authorization details break a rule (RFC 9396 §5).
    #[error("authorization_details: {0}")]
    Details(String),
    /// The client did not authenticate (RFC 7523 §3, FAPI 2.0 SP §5.3.2.1).
    #[error("client authentication failed: {0}")]
    Client(&'static str),
    /// Request objects are not served; PAR carries the parameters (RFC 9101 §6.1).
    #[error("request objects are not supported: push the parameters themselves")]
    RequestObject,
    /// The request URI is unknown, expired, spent, or of another client (RFC 9126 §2.2, §7.3).
    #[error("the request_uri is unknown, expired or already used: push the request again")]
    RequestUri,
    /// Only `authorization_code`, and `client_credentials` where any service takes it, are served.
    #[error("grant_type must be one of `grant_types_supported` of the metadata")]
    GrantType,
    /// The client may not use this grant (RFC 6749 §5.2).
    #[error("this client is registered for no service that it could use by itself")]
    Unauthorized,
    /// The code, its redirect URI or its verifier does not hold (RFC 6749 §5.2, RFC 7636 §4.6).
    #[error("the authorization code is not accepted: {0}")]
    Grant(&'static str),
    /// The access token does not hold (RFC 6750 §3.1).
    #[error("the access token is not accepted: {0}")]
    Token(&'static str),
    /// The request comes too often.
    #[error("too many requests: wait {0} seconds")]
    TooMany(u64),
    /// Something of ours failed; it is logged here, not there.
    #[error("the identity provider cannot answer now: try again in a moment")]
    Unavailable,
}

impl ProtocolError {
    /// The registered error code (IANA OAuth extensions error registry).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) | Self::Repeated(_) | Self::Parameter { .. } => "invalid_request",
            Self::ResponseType => "unsupported_response_type",
            Self::Scope(_) => "invalid_scope",
            Self::Details(_) => "invalid_authorization_details",
            Self::Client(_) => "invalid_client",
            Self::RequestObject => "request_not_supported",
            Self::RequestUri => "invalid_request_uri",
            Self::GrantType => "unsupported_grant_type",
            Self::Unauthorized => "unauthorized_client",
            Self::Grant(_) => "invalid_grant",
            Self::Token(_) => "invalid_token",
            Self::TooMany(_) | Self::Unavailable => "temporarily_unavailable",
        }
    }

    /// The HTTP status of the JSON answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Client(_) | Self::Token(_) => 401,
            Self::TooMany(_) => 429,
            Self::Unavailable => 503,
            _ => 400,
        }
    }
}

/// Why the identity provider itself could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The store failed.
    #[error("the identity store failed: {0}")]
    Store(#[from] StoreError),
    /// A row does not hold what this version writes: the database was changed by hand or by a newer version.
    #[error("a row of {table} cannot be read: {reason}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration breaks a rule.
    #[error("identity configuration: {0}")]
    Config(String),
    /// A token could not be signed.
    #[error("a token could not be signed: {0}")]
    Sign(String),
    /// The WebAuthn ceremony could not be prepared.
    #[error("passkeys: {0}")]
    Passkey(String),
    /// A citizen with this national number or internal number is enrolled already.
    #[error("enrolment: {0}")]
    Enrol(String),
    /// The consent service refused to record the grant.
    #[error("the grant could not be recorded: {0}")]
    Grant(String),
    /// The outgoing message could not be queued.
    #[error("the SMS could not be queued: {0}")]
    Sms(String),
    /// A page could not be rendered.
    #[error("a page could not be rendered: {0}")]
    Page(#[from] askama::Error),
}
