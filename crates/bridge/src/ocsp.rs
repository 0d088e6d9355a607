//! OCSP on both sides: responses about the own certificates, renewed before they age and shown to peers (port 5577), and what
//! is known of the certificates of others, verified once and then compared by its bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use civic::{MemberId, SharedClock, Timestamp};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use trust::cert::Certificate;
use trust::digest;
use trust::keys::SigningKey;
use trust::ocsp::{CertId, OcspRequest, OcspResponse, OcspStatus};
use trust::xades::{Signature, Signer};

use crate::core::Core;
use crate::globalconf::{Snapshot, Target};
use crate::keys::NodeKeys;
use crate::listener::Answer;
use crate::outbound::Outbound;
use crate::signing::{SigningCertificate, check_certificate};
use crate::transport::{self, Event, MultipartReader, OCSP_RESPONSE};
use crate::usage::hex_text;

const FETCH_LIMIT: Duration = Duration::from_secs(10);
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// Certificates that are remembered; more than any federation has nodes.
const REMEMBERED_MAX: usize = 20_000;

/// Why the node cannot sign, or show its certificate, now.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NoOcsp {
    /// There is no good response about an own certificate.
    #[error("the node has no fresh OCSP response for its {0} certificate")]
    Stale(&'static str),
    /// It has clients of a member whose key it has not.
    #[error(
        "the node has no signing certificate of {0} in use: make a key and a request with its member_id, let the authority sign it and import \
         the certificate"
    )]
    NoCertificate(MemberId),
}

/// The own certificates with the keys that sign and the responses about them; exchanged whole when the node gets new ones.
pub(crate) struct OwnOcsp {
    owner: MemberId,
    own: RwLock<Arc<Own>>,
    /// What signs for the other members who are clients of the node.
    others: RwLock<HashMap<MemberId, Arc<Signing>>>,
    clock: SharedClock,
}

struct Own {
    sign: Signing,
    auth: Held,
}

/// What goes together: a signature shows the response about the certificate of its key.
struct Signing {
    signer: Arc<Signer>,
    held: Held,
}

struct Held {
    name: &'static str,
    certificate: Certificate,
    response: RwLock<Option<(Bytes, Timestamp)>>,
}

impl OwnOcsp {
    pub(crate) fn new(owner: &MemberId, keys: &NodeKeys, clock: SharedClock) -> Result<Self, String> {
        let own = RwLock::new(Arc::new(Own::new(keys)?));
        Ok(Self { owner: owner.clone(), own, others: RwLock::default(), clock })
    }

    /// The signing key of a member with the response about its certificate.
    pub(crate) fn signer(&self, member: &MemberId) -> Result<(Arc<Signer>, Bytes), NoOcsp> {
        let now = self.clock.now();
        if *member == self.owner {
            return self.own().sign.with_response(now);
        }
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let signing = others.get(member).ok_or_else(|| NoOcsp::NoCertificate(member.clone()))?;
        signing.with_response(now)
    }

    /// The own certificates by their use, with the end of the response about each.
    pub(crate) fn certificates(&self) -> [(&'static str, Certificate, Option<Timestamp>); 2] {
        let own = self.own();
        let shown = |key, held: &Held| {
            let response = held.response.read().unwrap_or_else(PoisonError::into_inner);
            (key, held.certificate.clone(), response.as_ref().map(|(_, until)| *until))
        };
        [shown("sign", &own.sign.held), shown("auth", &own.auth)]
    }

    /// The response about the signing certificate.
    pub(crate) fn signing(&self) -> Result<Bytes, NoOcsp> {
        self.own().sign.held.fresh(self.clock.now())
    }

    /// The response about the authentication certificate.
    pub(crate) fn authentication(&self) -> Result<Bytes, NoOcsp> {
        self.own().auth.fresh(self.clock.now())
    }

    /// Asks the responders of the authorities for new responses.
    pub(crate) async fn renew(&self, snapshot: &Snapshot, outbound: &Outbound) -> Result<(), String> {
        self.own().renew(snapshot, outbound).await
    }

    /// Puts other keys and certificates in the place of the present ones, once there are responses about them.
    pub(crate) async fn replace(
        &self,
        keys: &NodeKeys,
        snapshot: &Snapshot,
        outbound: &Outbound,
    ) -> Result<(), String> {
        let fresh = Own::new(keys)?;
        fresh.renew(snapshot, outbound).await?;
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    /// Signs for these members from now on, beside the owner: keys with their certificates, of which each names a member. What there is no
    /// response about is left out, and told.
    pub(crate) async fn sign_for(&self, keys: &[(SigningKey, Certificate)], snapshot: &Snapshot, outbound: &Outbound) {
        let mut others = HashMap::new();
        for (key, certificate) in keys {
            let named = snapshot.own().map(|own| own.check_sign_cert(certificate, &[], snapshot.now()));
            let Some(member) = named.and_then(Result::ok).filter(|member| *member != self.owner) else { continue };
            // Those of before know their responses: they serve while no new ones can be had.
            let signing =
                self.present(&member, certificate).map_or_else(|| Signing::new(key, certificate).map(Arc::new), Ok);
            let renewed = match &signing {
                Ok(signing) => signing.held.renew(snapshot, outbound).await,
                Err(reason) => Err(reason.clone()),
            };
            if let Err(reason) = renewed {
                tracing::warn!(%member, reason, "no OCSP response for the signing certificate of a client");
            }
            if let Ok(signing) = signing {
                others.insert(member, signing);
            }
        }
        *self.others.write().unwrap_or_else(PoisonError::into_inner) = others;
    }

    fn present(&self, member: &MemberId, certificate: &Certificate) -> Option<Arc<Signing>> {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        others.get(member).filter(|signing| signing.held.certificate.der() == certificate.der()).map(Arc::clone)
    }

    /// Whether these are the certificates in use.
    pub(crate) fn uses(&self, keys: &NodeKeys) -> bool {
        let own = self.own();
        own.sign.held.certificate.der() == keys.sign_certificate.der()
            && own.auth.certificate.der() == keys.auth_certificate.der()
    }

    fn own(&self) -> Arc<Own> {
        Arc::clone(&self.own.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn by_digest(&self, sha1: Option<&str>, sha256: Option<&str>) -> Option<Result<Bytes, NoOcsp>> {
        let own = self.own();
        let wanted = |held: &&Held| {
            sha256.is_some_and(|hex| hex.eq_ignore_ascii_case(&hex_text(&held.certificate.sha256())))
                || sha1.is_some_and(|hex| hex.eq_ignore_ascii_case(&hex_text(&held.certificate.sha1())))
        };
        [&own.sign.held, &own.auth].into_iter().find(wanted).map(|held| held.fresh(self.clock.now()))
    }
}

impl Own {
    fn new(keys: &NodeKeys) -> Result<Self, String> {
        let sign = Signing::new(&keys.sign, &keys.sign_certificate)?;
        Ok(Self { sign, auth: Held::new("authentication", &keys.auth_certificate) })
    }

    async fn renew(&self, snapshot: &Snapshot, outbound: &Outbound) -> Result<(), String> {
        for held in [&self.sign.held, &self.auth] {
            held.renew(snapshot, outbound).await.map_err(|reason| format!("{}: {reason}", held.name))?;
        }
        Ok(())
    }
}

impl Signing {
    fn new(key: &SigningKey, certificate: &Certificate) -> Result<Self, String> {
        let signer = Signer::new(key.clone(), certificate, &[]).map_err(|error| error.to_string())?;
        Ok(Self { signer: Arc::new(signer), held: Held::new("signing", certificate) })
    }

    fn with_response(&self, now: Timestamp) -> Result<(Arc<Signer>, Bytes), NoOcsp> {
        Ok((Arc::clone(&self.signer), self.held.fresh(now)?))
    }
}

impl Held {
    fn new(name: &'static str, certificate: &Certificate) -> Self {
        Self { name, certificate: certificate.clone(), response: RwLock::new(None) }
    }

    fn fresh(&self, now: Timestamp) -> Result<Bytes, NoOcsp> {
        let response = self.response.read().unwrap_or_else(PoisonError::into_inner);
        match response.as_ref() {
            Some((bytes, until)) if now < *until => Ok(bytes.clone()),
            _ => Err(NoOcsp::Stale(self.name)),
        }
    }

    async fn renew(&self, snapshot: &Snapshot, outbound: &Outbound) -> Result<(), String> {
        let issuer = snapshot.issuer_of(&self.certificate).ok_or("the issuer of the certificate is not approved")?;
        let ids = vec![CertId::of(&self.certificate, &issuer.cert)];
        let question = OcspRequest { ids, nonce: None }.to_der().map_err(|error| error.to_string())?;
        let mut last = "the authority has no OCSP responder".to_owned();
        let urls = self.certificate.ocsp_url().into_iter().chain(issuer.ocsp_urls.iter().map(String::as_str));
        for url in urls {
            let body = Bytes::from(question.clone());
            let answer = outbound.post(url, "application/ocsp-request", body, FETCH_LIMIT, RESPONSE_BYTES_MAX).await;
            let checked = match answer {
                Ok((_, bytes)) => good_until(&self.certificate, &bytes, snapshot).map(|until| (bytes, until)),
                Err(error) => Err(error.to_string()),
            };
            match checked {
                Ok(fresh) => {
                    *self.response.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
                    return Ok(());
                }
                Err(reason) => last = reason,
            }
        }
        Err(last)
    }
}

/// A SHA-256 digest.
type Fingerprint = [u8; 32];

/// What is known of the certificates of others.
#[derive(Default)]
pub(crate) struct Trusted {
    /// By certificate: the response that was verified, and until when it shows that the certificate is good.
    ocsp: Mutex<HashMap<Fingerprint, (Fingerprint, Timestamp)>>,
    /// By certificate: the configuration under which it was checked, and what it is.
    signing: Mutex<HashMap<Fingerprint, (Fingerprint, SigningCertificate)>>,
}

impl Trusted {
    /// The verified signing certificate of a signature. The way to the authority is checked once for each configuration.
    pub(crate) fn signing_certificate(
        &self,
        signature: &Signature,
        snapshot: &Snapshot,
    ) -> Result<SigningCertificate, String> {
        let fingerprint = digest::sha256(signature.certificate());
        let known = {
            let known = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
            known
                .get(&fingerprint)
                .filter(|(conf, _)| conf == snapshot.id())
                .map(|(_, certificate)| certificate.clone())
        };
        if let Some(known) = known.filter(|known| known.certificate.is_valid_at(snapshot.now())) {
            return Ok(known);
        }
        let checked = check_certificate(signature, snapshot)?;
        let mut known = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(fingerprint, (*snapshot.id(), checked.clone()));
        Ok(checked)
    }

    /// Whether a response shows now that a certificate is good. A response that was verified before is only compared.
    pub(crate) fn accept_ocsp(
        &self,
        certificate: &Certificate,
        response: &[u8],
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        let (fingerprint, shown) = (certificate.sha256(), digest::sha256(response));
        {
            let known = self.ocsp.lock().unwrap_or_else(PoisonError::into_inner);
            if known.get(&fingerprint).is_some_and(|(seen, until)| *seen == shown && snapshot.now() < *until) {
                return Ok(());
            }
        }
        let until = good_until(certificate, response, snapshot)?;
        let mut known = self.ocsp.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(fingerprint, (shown, until));
        Ok(())
    }

    /// Whether a certificate is known to be good now.
    pub(crate) fn is_good(&self, fingerprint: &[u8; 32], now: Timestamp) -> bool {
        let known = self.ocsp.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(fingerprint).is_some_and(|(_, until)| now < *until)
    }
}

/// Until when a response shows that a certificate is good; an error where it does not.
fn good_until(certificate: &Certificate, response: &[u8], snapshot: &Snapshot) -> Result<Timestamp, String> {
    let response = OcspResponse::from_der(response).map_err(|error| error.to_string())?;
    let issuer = snapshot.issuer_of(certificate).ok_or("the issuer of the certificate is not approved")?;
    let (now, freshness) = (snapshot.now(), snapshot.ocsp_freshness());
    let status = response
        .verify(certificate, &issuer.cert, now, freshness, &issuer.ocsp_responders)
        .map_err(|error| error.to_string())?;
    match status {
        OcspStatus::Good => {}
        OcspStatus::Revoked { at } => return Err(format!("the certificate was revoked at {at}")),
        OcspStatus::Unknown => return Err("the authority does not know the certificate".to_owned()),
    }
    let answer = response.answers().iter().find(|answer| answer.id.matches(&issuer.cert, certificate.serial()));
    let answer = answer.ok_or("the response is about another certificate")?;
    let fresh = answer.this_update.plus(freshness);
    Ok(answer.next_update.map_or(fresh, |next| next.min(fresh)))
}

/// Asks the responders of its authority about a certificate; answers a response that it is good.
pub(crate) async fn ask(certificate: &Certificate, snapshot: &Snapshot, outbound: &Outbound) -> Result<Bytes, String> {
    let held = Held::new("signing", certificate);
    held.renew(snapshot, outbound).await?;
    held.fresh(snapshot.now()).map_err(|error| error.to_string())
}

/// Fetches from a provider's node what it knows about its own certificate (facts §1.4, TCP 5577).
pub(crate) async fn fetch(
    outbound: &Outbound,
    target: &Target,
    certificate: &Certificate,
) -> Result<Vec<Bytes>, String> {
    let url = format!(
        "http://{}/?cert={}&cert_hash={}",
        target.ocsp_authority(),
        hex_text(&certificate.sha1()),
        hex_text(&certificate.sha256())
    );
    let (headers, body) =
        outbound.get(&url, FETCH_LIMIT, 4 * RESPONSE_BYTES_MAX).await.map_err(|error| error.to_string())?;
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = transport::boundary_of(kind).map_err(|error| error.to_string())?;
    let mut responses: Vec<Vec<u8>> = Vec::new();
    let mut reader = MultipartReader::new(boundary);
    reader
        .push(body, &mut |event| {
            match event {
                Event::Start { .. } => responses.push(Vec::new()),
                Event::Data(data) => {
                    if let Some(last) = responses.last_mut() {
                        last.extend_from_slice(&data);
                    }
                }
                Event::End => {}
            }
            Ok(())
        })
        .and_then(|()| reader.finish())
        .map_err(|error| error.to_string())?;
    Ok(responses.into_iter().map(Bytes::from).collect())
}

/// Answers `GET /?cert=<sha1>&cert_hash=<sha256>` and `HEAD` on the OCSP listener.
pub(crate) fn handle(core: &Core, request: &Request<Incoming>) -> Answer {
    let mut answer = Response::new(Full::default());
    match *request.method() {
        Method::HEAD => {}
        Method::GET => match own_responses(core, request.uri().query().unwrap_or_default()) {
            Ok(responses) => {
                let boundary = transport::boundary(&*core.random);
                let parts: Vec<(&str, &[u8])> =
                    responses.iter().map(|response| (OCSP_RESPONSE, response.as_ref())).collect();
                let kind = format!("multipart/related; type=\"{OCSP_RESPONSE}\"; charset=UTF-8; boundary={boundary}");
                *answer.body_mut() = Full::new(Bytes::from(transport::write_parts(&boundary, &parts)));
                if let Ok(value) = HeaderValue::from_str(&kind) {
                    answer.headers_mut().insert(CONTENT_TYPE, value);
                }
            }
            Err(reason) => {
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                *answer.body_mut() = Full::new(Bytes::from(reason));
            }
        },
        _ => *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED,
    }
    answer
}

fn own_responses(core: &Core, query: &str) -> Result<Vec<Bytes>, String> {
    let values = |name: &str| -> Vec<&str> {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value)
            .collect()
    };
    let (sha1, sha256) = (values("cert"), values("cert_hash"));
    let asked = sha1.len().max(sha256.len());
    if asked == 0 || asked > 8 {
        return Err("name 1 to 8 certificates: ?cert=<sha1>&cert_hash=<sha256>".to_owned());
    }
    (0..asked)
        .map(|at| match core.own_ocsp.by_digest(sha1.get(at).copied(), sha256.get(at).copied()) {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("this node does not have that certificate".to_owned()),
        })
        .collect()
}
