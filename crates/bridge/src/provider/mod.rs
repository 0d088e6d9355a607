//! The side of the provider: verifies who asks and whether they may, asks the service, logs, signs the answer.
//!
//! The order of the checks is that of the contract: certificate and OCSP of the peer, signature, right of the organisation, replay,
//! then token and grant, and only then the service is asked. A refusal before the signature is verified leaves no record: anybody
//! could fill the log. Every refusal after it does.

mod answer;
mod data_tracker;
mod forward;
mod receive;
mod soap;

use std::sync::Arc;

use answer::{Ending, ServiceAnswer, ServiceBody};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use civic::NationalNumber;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use trust::digest::{self, Digest, DigestAlgorithm};

use crate::access::ServicePath;
use crate::authorisation::Authorised;
use crate::config::{ServiceBasis, SubjectRule};
use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::globalconf::Snapshot;
use crate::listener::{Reply, lingering};
use crate::message::{AnyRequest, RestRequest, Verb};
use crate::messagelog::{Content, LogError, NewRecord, RecordKind, Role, replay_key};
use crate::metaservices;
use crate::operations::{Observed, ServerType};
use crate::registry::{Offer, Service, ServiceKind};
use crate::signing;
use crate::soap_services;
use crate::spool::{Body, Flow};
use crate::tls::Peer;
use crate::transport::{self, Envelope, Message};
use crate::usage::{NewUsage, UsageRecord, UseBasis, UsePurpose, hex_text};

/// The service code under which the node itself tells citizens who used their data.
pub const DATA_TRACKER: &str = "data-tracker";

/// Answers a message of another node.
pub(crate) async fn handle(core: Arc<Core>, peer: Arc<Peer>, request: Request<Incoming>) -> Reply {
    let observed = Observed::begin(&core, ServerType::Producer);
    let (head, mut body) = request.into_parts();
    let outcome = exchange(&core, &peer, &head, &mut body, &observed).await;
    let mut answer = match outcome {
        Ok(answer) => answer,
        Err(fault) => {
            observed.failed(&fault);
            let fault = core.logged(Role::Provider, fault);
            let mut answer = Response::new(Flow::from(Bytes::from(transport::write_fault(&fault))));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=UTF-8"));
            lingering(answer, body)
        }
    };
    if core.config.log.hash == transport::ACCEPTED_HASH {
        let accepted = HeaderValue::from_static(transport::ACCEPTED_HASH.name());
        answer.headers_mut().insert(transport::ACCEPTED_HASH_ALGORITHM, accepted);
    }
    answer
}

/// A request whose peer, sender and signature are verified.
struct Verified {
    request: AnyRequest,
    envelope: Envelope,
    /// What tells its signature from every other act of signing.
    act: [u8; 32],
    snapshot: Arc<Snapshot>,
    path: ServicePath,
    offer: Arc<Offer>,
    service: Option<Arc<Service>>,
}

/// What a permitted request goes to.
enum Route {
    Service(Arc<Service>, Option<Authorised>),
    DataTracker,
    /// `listMethods`, `allowedMethods` and `getOpenAPI`.
    Metaservice,
    /// A metaservice, asked by SOAP.
    OwnSoap,
}

async fn exchange(
    core: &Arc<Core>,
    peer: &Peer,
    head: &Parts,
    body: &mut Incoming,
    observed: &Arc<Observed>,
) -> Result<Reply, Fault> {
    let envelope = receive::receive(core, head, body).await?;
    let verified = authenticate(core, peer, head, envelope)?;
    let request = &verified.request;
    observe(core, peer, &verified, observed);
    let replay = replay_of(&verified);
    let route = match admit(core, &verified, replay).await {
        Ok(route) => route,
        Err(fault) => {
            // A replay keeps no second record: the first one is the evidence.
            if !fault.is(Reason::DuplicateMessage) {
                let record = request_record(core, &verified, fault.code(), Some(replay)).await?;
                log(core, vec![record], Vec::new()).await?;
            }
            return Err(fault);
        }
    };
    let mut records = vec![request_record(core, &verified, "received", Some(replay)).await?];
    if !request.is_safe() || matches!(route, Route::Service(_, Some(_))) {
        // What changes something, or spends a use, is on disk before it happens.
        log(core, std::mem::take(&mut records), Vec::new()).await?;
    }
    if matches!(route, Route::DataTracker | Route::Metaservice | Route::OwnSoap) {
        observed.answered_here();
    }
    observed.sent();
    let outcome = ask(core, &verified, &route).await;
    observed.received();
    let hash = hash_for(core, head, &verified.request);
    let ending = Ending { core: Arc::clone(core), verified, route, records, hash, observed: Arc::clone(observed) };
    match outcome {
        Ok(answer) => answer::give(ending, answer).await,
        Err(fault) => Err(ending.failed(fault, false).await),
    }
}

/// What operational monitoring keeps of a verified request.
fn observe(core: &Core, peer: &Peer, verified: &Verified, observed: &Observed) {
    observed.asked(&verified.request, verified.service.as_ref().map(|service| (service.kind, &service.subject)));
    observed.request(&verified.envelope);
    observed.edit(|data| {
        data.client_server_address = verified.snapshot.address_of(&peer.server);
        data.service_server_address = verified.snapshot.address_of(&core.config.server);
    });
}

/// Who asks: the peer's certificate and its OCSP response, the client at that peer, the signature of the client's organisation.
fn authenticate(core: &Core, peer: &Peer, head: &Parts, envelope: Envelope) -> Result<Verified, Fault> {
    let side = Side::ServerProxy;
    let request = read_request(core, head, &envelope.message)?;
    let snapshot = core.configuration(side)?;
    core.admits(side)?;
    let provider = request.service().client();
    let offer = core.registry.current();
    // The owner itself is a client of its node, for metaservices.
    let is_owner = provider.subsystem().is_none() && provider.member() == core.config.server.owner();
    let open = is_owner || offer.open_client(provider).is_some();
    if !open || !snapshot.serves(&core.config.server, provider) {
        let message =
            format!("{provider} is not served by this node. Check the service id and the global configuration");
        return Err(Fault::new(side, Reason::UnknownMember, message));
    }
    if request.server().is_some_and(|server| server != &core.config.server) {
        let message = format!("this node is {}. Check X-Road-Security-Server", core.config.server);
        return Err(Fault::new(side, Reason::InvalidSecurityServer, message));
    }
    let tls = |reason: String| {
        let message =
            format!("the calling node is not trusted ({reason}). Its certificate and registration are to be looked at");
        Fault::new(side, Reason::SslAuthenticationFailed, message)
    };
    if !core.is_registered(peer) {
        return Err(tls("its certificate is no longer registered or has expired".to_owned()));
    }
    let ocsp =
        envelope.ocsp.first().ok_or_else(|| tls("the OCSP response of its certificate is missing".to_owned()))?;
    core.accept_ocsp(peer, ocsp).map_err(tls)?;
    if !snapshot.serves(&peer.server, request.client()) {
        return Err(tls(format!("{} is not registered at the node {}", request.client(), peer.server)));
    }
    let act = signing::verify(core, side, request.client(), &envelope)?;
    let path =
        ServicePath::parse(&request.consent_path()).map_err(fault(side, Reason::BadRequest, "Correct the path"))?;
    let service = offer.service(request.service(), request.version()).map(Arc::clone);
    Ok(Verified { request, envelope, act, snapshot, path, offer, service })
}

fn read_request(core: &Core, head: &Parts, message: &Message) -> Result<AnyRequest, Fault> {
    match message {
        Message::Rest(bytes) => RestRequest::parse(bytes.clone())
            .map(|request| AnyRequest::Rest(Box::new(request)))
            .map_err(fault(Side::ServerProxy, Reason::InvalidMessage, "The caller's node is to be looked at")),
        Message::Soap { .. } => soap::read_request(core, head, message),
    }
}

/// Whether they may: right, replay, token and grant.
async fn admit(core: &Core, verified: &Verified, replay: [u8; 32]) -> Result<Route, Fault> {
    let side = Side::ServerProxy;
    let request = &verified.request;
    if request.rest().is_some_and(metaservices::rest::is_metaservice) {
        // Every client of the federation may ask what there is.
        return if core.log.remember(replay) { Ok(Route::Metaservice) } else { Err(duplicate()) };
    }
    let service = verified.service.as_ref();
    let by_soap = matches!(request, AnyRequest::Soap(_));
    if by_soap && soap_services::is_own(core, request.service()) {
        // Anybody of the federation may ask; what is answered depends on who does.
        return if core.log.remember(replay) { Ok(Route::OwnSoap) } else { Err(duplicate()) };
    }
    let is_tracker = !by_soap && request.service().code() == DATA_TRACKER;
    if service.is_none() && !is_tracker {
        let message = format!("{} does not exist. Check the service code", request.service());
        return Err(Fault::new(side, Reason::UnknownService, message));
    }
    if let Some(service) = service.filter(|service| (service.kind == ServiceKind::Soap) != by_soap) {
        let message =
            format!("{} is not asked by {}", service.id, if by_soap { "SOAP. Use REST" } else { "REST. Use SOAP" });
        return Err(Fault::new(side, Reason::InvalidServiceType, message));
    }
    let verb = request.rest().map_or(Verb::Post, RestRequest::verb);
    let wanted = Some((verb, &verified.path));
    if !verified.offer.is_allowed(&verified.snapshot, request.client(), request.service(), wanted) {
        let message = format!("{} may not use {}. Ask its owner for the right", request.client(), request.service());
        return Err(Fault::new(side, Reason::AccessDenied, message));
    }
    if let Some(service) = service.filter(|service| !service.enabled) {
        let notice = service.disabled_notice.as_deref().unwrap_or("ask its owner when it comes back");
        let message = format!("{} is switched off: {notice}", request.service());
        return Err(Fault::new(side, Reason::ServiceDisabled, message));
    }
    if !core.log.remember(replay) {
        return Err(duplicate());
    }
    if let Some(service) = service
        && service.basis != ServiceBasis::Consent
    {
        names_its_subject(request, &verified.path, &service.subject)?;
    }
    match service {
        None => Ok(Route::DataTracker),
        Some(service) if service.basis == ServiceBasis::Consent => {
            let authorised = core.authorise(request, &verified.path).await?;
            Ok(Route::Service(Arc::clone(service), Some(authorised)))
        }
        Some(service) => Ok(Route::Service(Arc::clone(service), None)),
    }
}

async fn ask(core: &Core, verified: &Verified, route: &Route) -> Result<ServiceAnswer, Fault> {
    let grant_use = match route {
        Route::Service(_, authorised) => authorised.as_ref().map(|authorised| authorised.grant_use.as_str()),
        Route::DataTracker | Route::Metaservice | Route::OwnSoap => None,
    };
    let request = match &verified.request {
        AnyRequest::Rest(request) => request,
        AnyRequest::Soap(request) => return soap::ask(core, verified, route, request, grant_use).await,
    };
    let body = verified.envelope.rest_body();
    let request_hash = request.hash(body.map(Body::digest));
    match route {
        Route::DataTracker | Route::OwnSoap => data_tracker::answer(core, request, &request_hash).await,
        Route::Metaservice => {
            let described = metaservices::rest::answer(core, &verified.offer, &verified.snapshot, request).await?;
            answer::described(request, &request_hash, described)
        }
        Route::Service(service, _) => forward::ask(core, service, request, body, grant_use, &request_hash).await,
    }
}

/// By what the answer is digested: SHA-512 as everywhere, or by what the peer takes besides, where it says so.
fn hash_for(core: &Core, head: &Parts, request: &AnyRequest) -> DigestAlgorithm {
    let accepted = head.headers.get(transport::ACCEPTED_HASH_ALGORITHM).and_then(|value| value.to_str().ok());
    if request.rest().is_some() && transport::accepts_our_hash(accepted) {
        core.config.log.hash
    } else {
        DigestAlgorithm::Sha512
    }
}

/// What makes a request unique. Where consent is the basis the caller's own message id does: a use is counted once for each, so
/// the same id may not bring data twice.
fn replay_of(verified: &Verified) -> [u8; 32] {
    let request = &verified.request;
    let client = request.client().to_string();
    if let AnyRequest::Soap(_) = request
        && verified.service.as_ref().is_none_or(|service| service.basis != ServiceBasis::Consent)
    {
        // The request id of SOAP is not signed: what was sent again is known by the act of signing and the message. Markup, OCSP answer
        // and hash chain are not: whoever holds an old message can write them another way.
        let message = digest::sha256(verified.envelope.message.bytes());
        return replay_key(&[&client, request.message_id(), &BASE64.encode([verified.act, message].concat())]);
    }
    match &verified.service {
        Some(service) if service.basis == ServiceBasis::Consent => replay_key(&[&client, request.message_id()]),
        _ => replay_key(&[&client, request.message_id(), request.request_id()]),
    }
}

/// A request that names nobody plainly would be a use that nobody sees.
fn names_its_subject(request: &AnyRequest, path: &ServicePath, rule: &SubjectRule) -> Result<(), Fault> {
    let place = match rule {
        SubjectRule::None | SubjectRule::Permit => return Ok(()),
        _ if subject_in(request, path, rule).is_some() => return Ok(()),
        SubjectRule::PathSegment(at) => format!("segment {} of the path", at + 1),
        SubjectRule::BodyElement(name) => format!("the element {name}, once and directly in the element of the body,"),
    };
    let message = format!("{place} must be a national number, written plainly");
    Err(Fault::new(Side::ServerProxy, Reason::BadRequest, message))
}

/// The person whom a request names.
fn subject_in(request: &AnyRequest, path: &ServicePath, rule: &SubjectRule) -> Option<NationalNumber> {
    match (rule, request) {
        (SubjectRule::PathSegment(at), AnyRequest::Rest(_)) => path.segment(*at)?.parse().ok(),
        (SubjectRule::BodyElement(name), AnyRequest::Soap(request)) => {
            request.message.plain_argument(name)?.parse().ok()
        }
        _ => None,
    }
}

/// The use that the citizen will see, with the digest of the document that was given.
fn uses(verified: &Verified, route: &Route, answered: bool, document: Option<Digest>) -> Vec<NewUsage> {
    let Route::Service(service, authorised) = route else { return Vec::new() };
    let request = &verified.request;
    // The consent service knows better than any rule whose grant was used.
    let subject = match authorised {
        Some(authorised) => Some(authorised.subject.clone()),
        None => subject_in(request, &verified.path, &service.subject),
    };
    let Some(subject) = subject else { return Vec::new() };
    let (purpose, legal_basis, fields, grant_id) = match (&service.basis, authorised) {
        (_, Some(authorised)) => (
            UsePurpose { code: authorised.purpose.code.clone(), text: authorised.purpose.text.clone() },
            UseBasis { code: "consent".to_owned(), reference: authorised.grant_id.clone() },
            authorised.fields.clone(),
            Some(authorised.grant_id.clone()),
        ),
        (ServiceBasis::Law { reference, purpose_code, purpose_text }, None) => (
            UsePurpose { code: purpose_code.clone(), text: purpose_text.clone() },
            UseBasis { code: "law".to_owned(), reference: reference.clone() },
            service.fields.clone(),
            None,
        ),
        _ => return Vec::new(),
    };
    let client = request.client();
    let document_digest =
        |algorithm| document.filter(|digest| digest.algorithm() == algorithm).map(|digest| hex_text(digest.bytes()));
    let record = UsageRecord {
        logtime: verified.snapshot.now().rfc3339(),
        action: purpose.text.clone(),
        receiver_code: client.member().code().to_owned(),
        receiver_name: verified.snapshot.member_name(client.member()),
        receiver_system: client.to_string(),
        service: request.service().to_string(),
        purpose,
        legal_basis,
        fields,
        message_id: request.message_id().to_owned(),
        message_hash: BASE64.encode(request.sha512()),
        grant_id,
        outcome: if answered { "answered" } else { "refused" }.to_owned(),
        document_sha512: document_digest(DigestAlgorithm::Sha512),
        document_sha256: document_digest(DigestAlgorithm::Sha256),
    };
    vec![NewUsage { subject, service: request.service().clone(), record }]
}

async fn request_record(
    core: &Core,
    verified: &Verified,
    outcome: &str,
    replay: Option<[u8; 32]>,
) -> Result<NewRecord, Fault> {
    let record = record(core, verified, RecordKind::Request, outcome, &verified.envelope).await?;
    Ok(NewRecord { replay, ..record })
}

async fn record(
    core: &Core,
    verified: &Verified,
    kind: RecordKind,
    outcome: &str,
    envelope: &Envelope,
) -> Result<NewRecord, Fault> {
    let request = &verified.request;
    let content = Content::of(envelope, core.config.limits.logged_body_bytes_max).await.map_err(fault(
        Side::ServerProxy,
        Reason::LoggingFailed,
        "The provider's node is to be looked at",
    ))?;
    Ok(NewRecord {
        role: Role::Provider,
        kind,
        client: request.client().clone(),
        service: request.service().clone(),
        message_id: request.message_id().to_owned(),
        request_id: request.request_id().to_owned(),
        outcome: outcome.to_owned(),
        replay: None,
        content,
    })
}

async fn log(core: &Core, records: Vec<NewRecord>, uses: Vec<NewUsage>) -> Result<(), Fault> {
    core.log.append(records, uses).await.map_err(|error| match error {
        LogError::Duplicate => duplicate(),
        error => {
            let message =
                format!("{error}. Nothing is exchanged that cannot be logged; the provider's node is to be looked at");
            Fault::new(Side::ServerProxy, Reason::LoggingFailed, message)
        }
    })
}

fn duplicate() -> Fault {
    let message = "this message was received before. Send a new request with a new X-Road-Id";
    Fault::new(Side::ServerProxy, Reason::DuplicateMessage, message)
}
