//! What a node answers when it, and not the service behind it, refuses or fails.

use std::fmt;
use std::sync::Arc;

use crate::message::soap::SoapFault;
use crate::transport;

/// A fault with details of its own may have this many bytes; of a longer one the three texts are passed on.
const RAW_BYTES_MAX: usize = 60 * 1024;

/// Which part of the exchange speaks. It is the prefix of the error type (PR-REST §4.6, error codes of X-Road 7.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The calling information system did something wrong.
    Client,
    /// The node of the caller.
    ClientProxy,
    /// The node of the service.
    ServerProxy,
}

impl Side {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::ClientProxy => "server.clientproxy",
            Self::ServerProxy => "server.serverproxy",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $code:literal,)+) => {
        /// Why an exchange failed: the end of the error type. Codes that X-Road knows are spelt as in its release 7.8; ours come last.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as X-Road 7.8 writes it.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

reasons! {
    /// The request cannot be understood.
    BadRequest => "bad_request",
    /// There is no such thing.
    NotFound => "not_found",
    /// Reading or writing failed.
    IoError => "io_error",
    /// The request lacks what HTTP or the metaservice demands.
    InvalidRequest => "invalid_request",
    /// A server answered with a status that is none of the protocol.
    HttpError => "http_error",
    /// The peer could not be reached or went away.
    NetworkError => "network_error",
    /// The node is broken; its log says how.
    InternalError => "internal_error",
    /// The service behind the node did not answer as HTTP demands.
    ServiceFailed => "service_failed",
    /// The service has no address.
    ServiceMissingUrl => "service_missing_url",
    /// The caller may not use the service.
    AccessDenied => "access_denied",
    /// The operator has switched the service off.
    ServiceDisabled => "service_disabled",
    /// A REST service is asked by SOAP, or the other way round.
    InvalidServiceType => "service_type",
    /// The service does not exist.
    UnknownService => "unknown_service",
    /// The member, subsystem or node does not exist.
    UnknownMember => "unknown_member",
    /// The nodes of the provider are in maintenance.
    MaintenanceMode => "maintenance_mode",
    /// The named node does not serve this provider.
    InvalidSecurityServer => "invalid_security_server",
    /// The mutual TLS peer is not who it must be.
    SslAuthenticationFailed => "ssl_authentication_failed",
    /// The signature is absent.
    MissingSignature => "missing_signature",
    /// The REST part is absent.
    MissingRest => "missing_rest",
    /// The SOAP part is absent.
    MissingSoap => "missing_soap",
    /// The SOAP part is no SOAP 1.1.
    InvalidSoap => "invalid_soap",
    /// An identifier in the header is malformed.
    InvalidXml => "invalid_xml",
    /// The SOAP header is absent.
    MissingHeader => "missing_header",
    /// A mandatory header field is absent.
    MissingHeaderField => "missing_header_field",
    /// A header field stands twice.
    DuplicateHeaderField => "duplicate_header_field",
    /// The SOAP body is absent.
    MissingBody => "missing_body",
    /// The SOAP body has not exactly one element.
    InvalidBody => "invalid_body",
    /// Header and body name different services.
    InconsistentHeaders => "inconsistent_headers",
    /// Another version of the message protocol.
    InvalidProtocolVersion => "invalid_protocol_version",
    /// SOAPAction is malformed.
    InvalidSoapAction => "invalid_soap_action",
    /// The message is malformed.
    InvalidMessage => "invalid_message",
    /// The multipart structure is malformed.
    MimeParsingFailed => "mime_parsing_failed",
    /// A part has a type that may not stand there.
    InvalidContentType => "invalid_content_type",
    /// Only POST exists between nodes.
    InvalidHttpMethod => "invalid_http_method",
    /// The signature does not verify.
    InvalidSignatureValue => "signature_verification.invalid_signature_value",
    /// The signing certificate or its validation data are not good.
    CertValidation => "signature_verification.cert_validation",
    /// The signature is no signature of this profile.
    MalformedSignature => "signature_verification.malformed_signature",
    /// What was signed is not what came.
    InvalidReference => "signature_verification.invalid_reference",
    /// The hash chain does not lead to the message.
    InvalidHashChain => "signature_verification.invalid_hash_chain",
    /// The node could not sign.
    CannotCreateSignature => "cannot_create_signature",
    /// The answer does not belong to the request.
    InconsistentResponse => "inconsistent_response",
    /// The message could not be written to the log; nothing was answered.
    LoggingFailed => "logging_failed",
    /// No valid global configuration.
    GlobalConfOutdated => "global_conf_outdated",
    /// The evidence could not be stamped.
    TimestampingFailed => "timestamping_failed",
    /// No time stamp could be had for longer than the node may go on without.
    TimestamperFailed => "timestamper_failed",
    /// The same message came before.
    DuplicateMessage => "duplicate_message",
    /// The body is larger than the node allows.
    BodyTooLarge => "body_too_large",
    /// The calling node is older than this node accepts.
    PeerVersion => "client_proxy_version_not_supported",
    /// The peer or the service was too slow.
    Timeout => "timeout",
    /// The access token is absent.
    TokenMissing => "token_missing",
    /// The access token is not valid here.
    TokenInvalid => "token_invalid",
    /// The access token has expired.
    TokenExpired => "token_expired",
    /// The access token belongs to another client.
    TokenWrongClient => "token_wrong_client",
    /// The access token or the grant does not cover this service, path or year.
    ConsentOutOfScope => "consent_out_of_scope",
    /// The citizen withdrew the consent.
    ConsentRevoked => "consent_revoked",
    /// The consent has expired.
    ConsentExpired => "consent_expired",
    /// All uses that the citizen allowed are spent.
    ConsentExhausted => "consent_exhausted",
    /// The consent is not known.
    ConsentUnknown => "consent_unknown",
    /// The consent service did not answer; without it nothing is disclosed.
    ConsentUnavailable => "consent_unavailable",
}

/// How error types are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorStyle {
    /// Lower case with underscores, as X-Road 7.8 and later.
    #[default]
    Lower,
    /// Camel case, as X-Road up to 7.7.
    Camel,
}

/// A failed exchange: the three texts of the r1 error (PR-REST §4.6) and of the SOAP fault between nodes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    code: String,
    message: String,
    detail: Option<String>,
    /// The SOAP fault as its author wrote it, where that says more than the three texts.
    raw: Option<Arc<str>>,
    /// Whose words the texts are.
    author: Author,
}

/// Who wrote the texts of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Author {
    /// This node.
    Own,
    /// Whoever is behind the connection: a node, or a service through it.
    Other,
}

/// What of a fault may stand in the log of the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogWords<'f> {
    pub(crate) code: &'f str,
    pub(crate) detail: &'f str,
    pub(crate) message: &'f str,
}

impl Fault {
    /// A fault of this node. The message says what happened and what to do; it holds no personal data.
    pub fn new(side: Side, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            code: format!("{}.{}", side.prefix(), reason.code()),
            message: message.into(),
            detail: None,
            raw: None,
            author: Author::Own,
        }
    }

    /// A fault of this node about a message of somebody behind it, or of the peer: X-Road puts `service_failed` before the reason.
    pub fn behind(side: Side, reason: Reason, message: impl Into<String>) -> Self {
        let code = format!("{}.{}.{}", side.prefix(), Reason::ServiceFailed.code(), reason.code());
        Self { code, message: message.into(), detail: None, raw: None, author: Author::Own }
    }

    /// A fault that a service or a peer wrote in SOAP. It is passed on as it was written.
    pub fn of_soap(fault: &SoapFault) -> Self {
        let short = Self::remote(&fault.code, &fault.string, fault.detail.as_deref().unwrap_or_default());
        let raw = fault.bytes.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let raw = raw.filter(|raw| raw.len() <= RAW_BYTES_MAX && **raw != *transport::write_fault(&short));
        Self { raw: raw.map(Arc::from), ..short }
    }

    /// The SOAP fault as its author wrote it, where it is no fault of a node.
    pub fn raw(&self) -> Option<&str> {
        self.raw.as_deref()
    }

    /// A fault that a peer reported. The code is kept; texts are cut to lengths that a client can bear.
    pub fn remote(code: &str, message: &str, detail: &str) -> Self {
        let code: String = code.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
        let code = if code.is_empty() { "server.serverproxy.internal_error".to_owned() } else { code };
        let detail = Some(detail.trim()).filter(|detail| !detail.is_empty());
        Self {
            code,
            message: message.trim().chars().filter(|c| !c.is_control()).take(2_000).collect(),
            detail: detail.map(|text| text.chars().filter(|c| !c.is_control()).take(255).collect()),
            raw: None,
            author: Author::Other,
        }
    }

    /// The same fault with what to do.
    #[must_use]
    pub(crate) fn advised(mut self, what_to_do: &str) -> Self {
        self.message = format!("{}. {what_to_do}", self.message);
        self
    }

    /// The same fault with the id under which it stands in the log of the node.
    #[must_use]
    pub fn with_detail(mut self, id: String) -> Self {
        self.detail.get_or_insert(id);
        self
    }

    /// The error type, lower case as X-Road 7.8 writes it (or as the peer wrote it).
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The error type in the wanted style.
    pub fn code_in(&self, style: ErrorStyle) -> String {
        match style {
            ErrorStyle::Lower => self.code.clone(),
            ErrorStyle::Camel => self.code.split('.').map(camel).collect::<Vec<_>>().join("."),
        }
    }

    /// What may stand in the log of the program: nobody's personal data. Of the texts of others that is an error type as nodes write it
    /// and an id; the words themselves the caller gets, and operational monitoring keeps them masked.
    pub(crate) fn words_for_log(&self) -> LogWords<'_> {
        let (code, detail) = (self.code(), self.detail());
        if self.author == Author::Own {
            return LogWords { code, detail, message: self.message() };
        }
        let is_type = code.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_'));
        let is_id = detail.len() == 36 && detail.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        LogWords {
            code: if is_type { code } else { "of another form than nodes write" },
            detail: if is_id { detail } else { "" },
            message: "the other side says why, to the caller",
        }
    }

    /// What happened and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The id of the fault in the log; empty until it is given one.
    pub fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or_default()
    }

    /// 500 where a node failed or refused, 400 where the caller erred (X-Road's rule: by the prefix of the type).
    pub fn status(&self) -> u16 {
        if self.code.to_ascii_lowercase().starts_with("server.") { 500 } else { 400 }
    }

    /// Whether the error type ends in this reason, in either style.
    pub fn is(&self, reason: Reason) -> bool {
        let plain = |text: &str| text.to_ascii_lowercase().replace('_', "");
        let (code, reason) = (plain(&self.code), plain(reason.code()));
        code.strip_suffix(&reason).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }
}

/// Maps a failure of any kind into a fault of one side; a helper of `map_err`.
pub(crate) fn fault<E: fmt::Display>(side: Side, reason: Reason, what_to_do: &'static str) -> impl Fn(E) -> Fault {
    move |error| Fault::new(side, reason, format!("{error}. {what_to_do}"))
}

fn camel(part: &str) -> String {
    match part {
        "serverproxy" => return "ServerProxy".to_owned(),
        "clientproxy" => return "ClientProxy".to_owned(),
        _ => {}
    }
    let mut out = String::with_capacity(part.len());
    let mut upper = true;
    for character in part.chars() {
        if character == '_' {
            upper = true;
        } else if upper {
            out.extend(character.to_uppercase());
            upper = false;
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_of_a_type_is_a_setting_and_the_status_follows_the_prefix() {
        let fault = Fault::new(Side::ServerProxy, Reason::AccessDenied, "no");
        assert_eq!(fault.code_in(ErrorStyle::Lower), "server.serverproxy.access_denied");
        assert_eq!(fault.code_in(ErrorStyle::Camel), "Server.ServerProxy.AccessDenied");
        assert_eq!(fault.status(), 500);
        assert_eq!(Fault::new(Side::Client, Reason::BadRequest, "no").status(), 400);
    }

    #[test]
    fn a_remote_fault_cannot_smuggle_lines() {
        let fault = Fault::remote("server.x\r\nSet-Cookie: a", "one\ntwo", "");
        assert_eq!(fault.code(), "server.xSet-Cookie:a");
        assert_eq!(fault.message(), "onetwo");
    }
}
