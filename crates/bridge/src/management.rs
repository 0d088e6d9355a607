//! Management requests of this node (PR-MSERV): how it tells the authority of its federation what changed at it, and how it sees that
//! the authority did it.
//!
//! `authCertReg` goes to the address that the global configuration names, because a node without a registered certificate cannot send
//! messages; all others go as X-Road messages of the node's owner to the management service. What was asked for stands in the node's
//! tables as a status "in progress"; the global configuration alone decides, and [`settle`] writes down what it decided.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use civic::ClientId;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use serde_json::json;
use trust::cert::Certificate;
use trust::keys::SigningKey;
use trust::mserv::{Command, Envelope, ManagementRequest, MservError, REQUEST_BYTES_MAX, read_response};

use crate::consumer;
use crate::core::Core;
use crate::fault::Side;
use crate::outbound::{Outbound, OutboundError};
use crate::registry::{Author, Change, ClientStatus, RegistryError};

const SEND_LIMIT: Duration = Duration::from_secs(30);
/// Fault codes of nodes begin with one of these; others are the authority's.
const CODES_OF_NODES: [&str; 2] = ["server.", "client."];

/// Why the authority was not asked, or what it answered. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManagementError {
    /// Nobody to ask.
    #[error(
        "the global configuration names no management service, so the authority cannot be asked by the node: ask its operator to register \
         it by hand"
    )]
    NoService,
    /// The node itself is not ready.
    #[error("{0}")]
    NotReady(String),
    /// The request did not get there.
    #[error(
        "the authority could not be reached: {0}. Nothing was changed; try again, and tell the operator of the authority if it goes on"
    )]
    Unreachable(String),
    /// The request got there and was refused.
    #[error(
        "the authority refused: {text} ({code}). Correct that and ask again, or talk to the operator of the authority"
    )]
    Refused {
        /// The fault code.
        code: String,
        /// What the authority says.
        text: String,
    },
    /// The same was asked for before.
    #[error(
        "the authority was asked for this already and has not decided yet: {0}. Wait for its operator, or take the request back by \
         unregistering"
    )]
    AlreadyAsked(String),
    /// The answer cannot be used.
    #[error("the answer of the authority cannot be used: {0}. Tell the operator of the authority")]
    Answer(MservError),
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(MservError),
    /// The audit cannot be written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// The key and certificate that sign a request.
pub(crate) struct RequestSigner {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
    /// An OCSP response that the certificate is good.
    pub(crate) ocsp: Bytes,
}

impl RequestSigner {
    /// The node's owner.
    pub(crate) fn owner(core: &Core) -> Result<Self, ManagementError> {
        let ocsp = core.own_ocsp.signing().map_err(|error| {
            ManagementError::NotReady(format!("{error}. The node renews it by itself; look at the OCSP responder"))
        })?;
        let keys = core.keys();
        Ok(Self { key: keys.sign, certificate: keys.sign_certificate, ocsp })
    }
}

/// Asks the authority, in the name of whoever wants it. Answers the number that the authority gave the request. The audit says before that it
/// is asked, and after what it answered.
pub(crate) async fn ask(
    core: &Arc<Core>,
    author: &Author,
    command: Command,
    signer: RequestSigner,
) -> Result<u64, ManagementError> {
    let (service, named) = (command.service(), command.to_string());
    written(core, author, service, &named, send(core, author, command, signer, None)).await
}

/// The same for the registration of an authentication certificate, whose key proves that the node has it.
pub(crate) async fn register_certificate(
    core: &Arc<Core>,
    author: &Author,
    certificate: &Certificate,
    key: &SigningKey,
    address: &str,
) -> Result<u64, ManagementError> {
    let command = Command::AuthCertReg {
        server: core.config.server.clone(),
        address: Some(address.to_owned()),
        auth_cert: certificate.der().to_vec(),
        dry_run: false,
    };
    let (service, named) = (command.service(), command.to_string());
    let asking = async { send(core, author, command, RequestSigner::owner(core)?, Some(key)).await };
    written(core, author, service, &named, asking).await
}

/// Asks between two lines of the audit: the authority is asked for nothing that nobody wrote down, and what died in between is seen.
async fn written(
    core: &Core,
    author: &Author,
    service: &str,
    named: &str,
    asking: impl Future<Output = Result<u64, ManagementError>>,
) -> Result<u64, ManagementError> {
    let action = format!("ask_{service}");
    core.registry.audit_with(author, &action, named, &json!({ "stage": "begun" })).await?;
    let outcome = asking.await;
    match &outcome {
        Ok(number) => tracing::info!(node = %core.config.server, service, number, "the authority was asked"),
        Err(error) => tracing::warn!(node = %core.config.server, service, %error, "the authority was not asked"),
    }
    let ended = match &outcome {
        Ok(number) => json!({ "stage": "done", "request": number }),
        Err(error) => json!({ "stage": "failed", "reason": error.to_string() }),
    };
    let ended = core.registry.audit_with(author, &action, named, &ended).await;
    let number = outcome?;
    ended?;
    Ok(number)
}

async fn send(
    core: &Arc<Core>,
    author: &Author,
    command: Command,
    signer: RequestSigner,
    auth_key: Option<&SigningKey>,
) -> Result<u64, ManagementError> {
    let snapshot = core.configuration(Side::ClientProxy);
    let snapshot = snapshot.map_err(|fault| ManagementError::NotReady(fault.message().to_owned()))?;
    let service = snapshot.management().ok_or(ManagementError::NoService)?;
    let owner = core.config.server.owner();
    let request = ManagementRequest {
        id: format!("{}-{}", owner.instance(), core.uuid()),
        sender: ClientId::of_member(owner.clone()),
        provider: service.provider.clone(),
        user: Some(author.to_string()),
        issue: None,
        command,
    };
    let RequestSigner { key, certificate, ocsp } = signer;
    let answer = if let Some(auth_key) = auth_key {
        let envelope = Envelope::auth_cert_reg(&request, auth_key, &key, &certificate, &ocsp);
        let envelope = envelope.map_err(ManagementError::Request)?;
        let pin = service.auth_cert_reg_cert.as_deref();
        post(core, &service.auth_cert_reg_address, pin, &envelope).await?
    } else {
        let envelope = Envelope::signed(&request, &key, &certificate, &ocsp).map_err(ManagementError::Request)?;
        consumer::management::send(core, &envelope).await.map_err(|fault| {
            if CODES_OF_NODES.iter().any(|prefix| fault.code().to_ascii_lowercase().starts_with(prefix)) {
                ManagementError::Unreachable(format!("{} ({})", fault.message(), fault.code()))
            } else {
                refused(fault.code(), fault.message())
            }
        })?
    };
    read_response(&request, &answer).map_err(|error| match error {
        MservError::Fault { code, text } => refused(&code, &text),
        error => ManagementError::Answer(error),
    })
}

fn refused(code: &str, text: &str) -> ManagementError {
    if code.ends_with("management_request_exists") {
        return ManagementError::AlreadyAsked(text.to_owned());
    }
    ManagementError::Refused { code: code.to_owned(), text: text.to_owned() }
}

/// Posts a registration to the authority itself. Where the global configuration names the TLS certificate of the address, that one is
/// believed.
async fn post(core: &Core, url: &str, pin: Option<&[u8]>, envelope: &Envelope) -> Result<Bytes, ManagementError> {
    let unreachable = |error: &dyn std::fmt::Display| ManagementError::Unreachable(error.to_string());
    let outbound = match pin {
        None => core.outbound.clone(),
        Some(pin) => {
            let outbound = Outbound::new(core.config.limits.connect_timeout, None);
            let outbound = outbound.map_err(|error| unreachable(&error))?;
            outbound.pins().believe(pin.to_vec());
            outbound
        }
    };
    let (content_type, body) = envelope.to_http(&*core.random);
    let request = Request::post(url).header(CONTENT_TYPE, content_type).body(Full::new(Bytes::from(body)));
    let request = request.map_err(|_| unreachable(&OutboundError::Address(url.to_owned())))?;
    let answer = outbound.send(request, SEND_LIMIT, REQUEST_BYTES_MAX).await.map_err(|error| unreachable(&error))?;
    let (head, body) = answer.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().contains("xml") {
        return Err(unreachable(&format!("{url} answered with status {}", head.status.as_u16())));
    }
    Ok(body)
}

/// Writes down what the global configuration decided about what was asked for.
pub(crate) async fn settle(core: &Core) -> Result<(), String> {
    let Some(snapshot) = core.conf.current() else { return Ok(()) };
    let server = &core.config.server;
    let offer = core.registry.current();
    let decided = offer.clients.values().filter_map(|client| {
        let status = match (client.status, snapshot.serves(server, &client.id)) {
            (ClientStatus::RegistrationInProgress | ClientStatus::EnablingInProgress, true) => ClientStatus::Registered,
            (ClientStatus::DisablingInProgress, false) => ClientStatus::Disabled,
            _ => return None,
        };
        Some(Change::SetClientStatus { client: client.id.clone(), status })
    });
    let decided: Vec<Change> = decided.collect();
    if !decided.is_empty() {
        core.registry.apply_all(&Author::GlobalConfiguration, decided).await.map_err(|error| error.to_string())?;
    }
    crate::api::settle(core, &snapshot).await
}
