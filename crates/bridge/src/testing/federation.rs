use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use civic::testing::TestClock;
use civic::{ClientId, Clock as _, ServerId, SharedRandom, Timestamp, random_array};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::cert::{
    Certificate, CertificateProfile, CertificateSpec, DistinguishedName, MemberNameProfile, NameAttribute,
};
use trust::globalconf::{
    Anchor, AnchorSource, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationVersion, Directory, DirectoryPart, GlobalGroup,
    ManagementService, Member, OcspInfo, PRIVATE_PARAMETERS, PrivateParams, SHARED_PARAMETERS, SecurityServer,
    SharedParams, Subsystem, TRANSPARENCY_LOGS, write_anchor, write_private, write_shared,
};
use trust::keys::{PublicKey, SigningKey};
use trust::ocsp::{CertId, OcspAnswer, OcspRequest, OcspResponse, OcspStatus};
use trust::tsp::{TimestampAuthority, TimestampRequest};

use super::need;
use crate::NodeRequests;

const DAY: Duration = Duration::from_hours(24);
const SHARED_LOCATION: &str = "/V5/1/shared-params.xml";
const PRIVATE_LOCATION: &str = "/V5/1/private-params.xml";
const LOGS_LOCATION: &str = "/V5/1/transparency-logs.json";

/// What a test can break off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outage {
    /// The global configuration.
    Configuration,
    /// The OCSP responder.
    Ocsp,
    /// The time-stamping authority.
    TimeStamps,
}

/// How a configuration can be bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Poison {
    /// Signed by somebody else.
    ForeignSignature,
    /// Changed after it was signed.
    Altered,
    /// Its end is missing.
    Truncated,
    /// The shared parameters are not those that were signed.
    OtherFile,
    /// The shared parameters are those of another instance, signed as ours.
    OtherInstance,
    /// It has no shared parameters.
    Empty,
}

/// The authority of the tests: CA, OCSP responder, TSA and global configuration behind one socket.
pub struct Federation {
    instance: String,
    clock: Arc<TestClock>,
    random: SharedRandom,
    address: SocketAddr,
    ca: Authority,
    ocsp: Authority,
    tsa: TimestampAuthority,
    source: Authority,
    state: Mutex<Settings>,
    stop: Mutex<Option<DropGuard>>,
}

struct Authority {
    key: SigningKey,
    certificate: Certificate,
}

struct Settings {
    params: SharedParams,
    revoked: Vec<Vec<u8>>,
    broken: Vec<Outage>,
    valid_for: Duration,
    version: ConfigurationVersion,
    private: Option<PrivateParams>,
    poison: Option<Poison>,
    played_back: Option<Vec<u8>>,
    /// The list of transparency logs as it is signed, and as it is served.
    logs: Option<(Vec<u8>, Vec<u8>)>,
    asked: Vec<String>,
}

impl Federation {
    /// Starts the authority of the instance `BB` on the loopback.
    pub async fn start(clock: Arc<TestClock>, random: SharedRandom) -> Arc<Self> {
        Self::start_instance("BB", clock, random).await
    }

    /// Starts the authority of an instance.
    pub async fn start_instance(instance: &str, clock: Arc<TestClock>, random: SharedRandom) -> Arc<Self> {
        let listener = need(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await);
        let address = need(listener.local_addr());
        let ca = root(&clock, &random, "Test CA", CertificateProfile::Authority);
        let source = root(&clock, &random, "Test configuration", CertificateProfile::ConfigurationSigning);
        let ocsp = below(&clock, &random, &ca, "Test OCSP", CertificateProfile::OcspResponder);
        let tsa = below(&clock, &random, &ca, "Test TSA", CertificateProfile::TimeStamping);
        let params = parameters(instance, address, &ca.certificate, &ocsp.certificate, &tsa.certificate);
        let federation = Arc::new(Self {
            instance: instance.to_owned(),
            tsa: need(TimestampAuthority::new(tsa.certificate, tsa.key, "1.2.3.4")),
            state: Mutex::new(Settings {
                params,
                revoked: Vec::new(),
                broken: Vec::new(),
                valid_for: Duration::from_mins(10),
                version: ConfigurationVersion::V5,
                private: None,
                poison: None,
                played_back: None,
                logs: None,
                asked: Vec::new(),
            }),
            stop: Mutex::new(None),
            clock,
            random,
            address,
            ca,
            ocsp,
            source,
        });
        let router = Router::new()
            .route("/internalconf", get(internal))
            .route("/externalconf", get(external))
            .route(SHARED_LOCATION, get(shared))
            .route(PRIVATE_LOCATION, get(private))
            .route(LOGS_LOCATION, get(logs))
            .route("/ocsp", post(ocsp_answer))
            .route("/tsa", post(stamp))
            .with_state(Arc::downgrade(&federation));
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, router, stop.clone()));
        *federation.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop.drop_guard());
        federation
    }

    /// The configuration anchor of its own nodes, as a file.
    pub fn anchor(&self) -> Vec<u8> {
        write_anchor(&self.anchor_of("/internalconf")).into_bytes()
    }

    /// The anchor with this path of its source: `/internalconf` or `/externalconf`.
    pub fn anchor_of(&self, path: &str) -> Anchor {
        let source = AnchorSource {
            download_url: format!("http://{}{path}", self.address),
            certs: vec![self.source.certificate.der().to_vec()],
        };
        Anchor { generated_at: Some(self.clock.now()), instance: self.instance.clone(), sources: vec![source] }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The highest version that it serves; those that are asked for and not served are answered with 404.
    pub fn serve_up_to(&self, version: ConfigurationVersion) {
        self.state().version = version;
    }

    /// Federates: the private parameters name these anchors.
    pub fn federate(&self, anchors: Vec<Anchor>) {
        self.name_private(anchors, format!("http://{}", self.address));
    }

    /// Names another address at which authentication certificates are registered.
    pub fn register_at(&self, url: &str) {
        self.name_private(Vec::new(), url.to_owned());
    }

    fn name_private(&self, anchors: Vec<Anchor>, auth_cert_reg_address: String) {
        let management = ManagementService {
            auth_cert_reg_address,
            auth_cert_reg_cert: None,
            provider: need(format!("{}/GOV/1000/management", self.instance).parse()),
        };
        let instance = self.instance.clone();
        self.state().private = Some(PrivateParams { instance, anchors, management, time_stamping_interval_s: 60 });
    }

    /// Names transparency logs: the file that is signed, and the one that is served in its place.
    pub fn name_logs(&self, signed: &[u8], served: &[u8]) {
        self.state().logs = Some((signed.to_vec(), served.to_vec()));
    }

    /// Withdraws all of them.
    pub fn name_no_logs(&self) {
        self.state().logs = None;
    }

    /// Serves bad configurations, or good ones again.
    pub fn poison(&self, poison: Option<Poison>) {
        self.state().poison = poison;
    }

    /// Signs a configuration now that can be played back later.
    pub fn record(&self) -> Vec<u8> {
        self.directory(true)
    }

    /// Serves this directory instead of fresh ones, or fresh ones again.
    pub fn play_back(&self, directory: Option<Vec<u8>>) {
        self.state().played_back = directory;
    }

    /// The queries with which directories were asked for, and forgets them.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    /// A directory of this moment, good or as the test wants it.
    fn directory(&self, internal: bool) -> Vec<u8> {
        let state = self.state();
        if let Some(recorded) = &state.played_back {
            return recorded.clone();
        }
        let shared = write_shared(&state.params, state.version);
        let mut parts = vec![DirectoryPart::of(SHARED_PARAMETERS, &self.instance, SHARED_LOCATION, shared.as_bytes())];
        match state.poison {
            Some(Poison::Empty) => parts.clear(),
            Some(Poison::OtherInstance) => {
                let shared = other_instance(&state.params, state.version);
                parts = vec![DirectoryPart::of(SHARED_PARAMETERS, &self.instance, SHARED_LOCATION, shared.as_bytes())];
            }
            _ => {}
        }
        if let Some(private) = state.private.as_ref().filter(|_| internal) {
            let private = write_private(private);
            parts.push(DirectoryPart::of(PRIVATE_PARAMETERS, &self.instance, PRIVATE_LOCATION, private.as_bytes()));
        }
        if let Some((signed, _)) = state.logs.as_ref().filter(|_| internal) {
            parts.push(DirectoryPart::of(TRANSPARENCY_LOGS, &self.instance, LOGS_LOCATION, signed));
        }
        let expires = self.clock.now().plus(state.valid_for);
        let directory = Directory { expires, version: Some(state.version.number()), parts };
        let foreign = root(&self.clock, &self.random, "Another", CertificateProfile::ConfigurationSigning);
        let signer = if state.poison == Some(Poison::ForeignSignature) { &foreign } else { &self.source };
        let mut signed = need(directory.sign(&signer.key, signer.certificate.der(), &*self.random));
        match state.poison {
            Some(Poison::Truncated) => signed.truncate(signed.len() / 2),
            Some(Poison::Altered) => {
                let text = String::from_utf8_lossy(&signed).replace("Expire-date: 2", "Expire-date: 3");
                signed = text.into_bytes();
            }
            _ => {}
        }
        signed
    }

    /// Certificates for the keys of a node: signing, authentication.
    pub fn certify(&self, requests: &NodeRequests) -> (Certificate, Certificate) {
        let issue = |profile, request: &trust::cert::CertificateRequest| {
            self.issue(profile, request.subject().clone(), request.public_key(), Duration::from_hours(8760))
        };
        (issue(CertificateProfile::Sign, &requests.sign), issue(CertificateProfile::Auth, &requests.auth))
    }

    /// A certificate of any kind for any key, valid so long.
    pub fn issue(
        &self,
        profile: CertificateProfile,
        subject: DistinguishedName,
        key: &PublicKey,
        valid_for: Duration,
    ) -> Certificate {
        let spec = CertificateSpec {
            profile,
            serial: &serial(&self.random),
            subject,
            public_key: key,
            not_before: self.clock.now().minus(DAY),
            not_after: self.clock.now().plus(valid_for),
            ocsp_url: Some(&format!("http://{}/ocsp", self.address)),
        };
        need(Certificate::issue(&self.ca.certificate, &self.ca.key, &spec))
    }

    /// Registers a node, its member and one subsystem of it.
    pub fn register(&self, server: &ServerId, name: &str, address: &str, client: &ClientId, auth: &Certificate) {
        let mut state = self.state();
        let member = Member {
            id: server.owner().clone(),
            name: name.to_owned(),
            subsystems: client
                .subsystem()
                .map(|code| Subsystem { code: code.to_owned(), name: None })
                .into_iter()
                .collect(),
        };
        state.params.members.push(member);
        state.params.servers.push(SecurityServer {
            id: server.clone(),
            address: Some(address.to_owned()),
            auth_cert_hashes: vec![auth.sha256().to_vec()],
            clients: vec![client.clone()],
            maintenance: None,
        });
    }

    /// Says who is in a global group.
    pub fn group(&self, code: &str, members: &[ClientId]) {
        self.change(|params| {
            params.groups.retain(|group| group.code != code);
            let group = GlobalGroup { code: code.to_owned(), description: code.to_owned(), members: members.to_vec() };
            params.groups.push(group);
        });
    }

    /// Changes the shared parameters.
    pub fn change(&self, change: impl FnOnce(&mut SharedParams)) {
        change(&mut self.state().params);
    }

    /// Revokes a certificate.
    pub fn revoke(&self, certificate: &Certificate) {
        self.state().revoked.push(certificate.serial().to_vec());
    }

    /// Lets a part of the authority fail, or work again.
    pub fn set_outage(&self, outage: Outage, broken: bool) {
        let mut state = self.state();
        state.broken.retain(|present| *present != outage);
        if broken {
            state.broken.push(outage);
        }
    }

    /// How long a configuration holds from now on.
    pub fn set_validity(&self, valid_for: Duration) {
        self.state().valid_for = valid_for;
    }

    /// The present, by the clock of the test.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the OCSP responder says about a certificate now.
    pub fn ocsp_response(&self, certificate: &Certificate) -> Vec<u8> {
        self.answer_ocsp(&[CertId::of(certificate, &self.ca.certificate)])
    }

    fn answer_ocsp(&self, ids: &[CertId]) -> Vec<u8> {
        let now = self.clock.now();
        let revoked = self.state().revoked.clone();
        let status = |id: &CertId| {
            if revoked.iter().any(|serial| serial == id.serial()) {
                OcspStatus::Revoked { at: now }
            } else {
                OcspStatus::Good
            }
        };
        let answers: Vec<OcspAnswer> = ids
            .iter()
            .map(|id| OcspAnswer { id: id.clone(), status: status(id), this_update: now, next_update: None })
            .collect();
        need(OcspResponse::sign(&self.ocsp.certificate, &self.ocsp.key, &answers, None, now)).der().to_vec()
    }

    fn state(&self) -> MutexGuard<'_, Settings> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_broken(&self, outage: Outage) -> bool {
        self.state().broken.contains(&outage)
    }
}

type Shared = State<std::sync::Weak<Federation>>;

async fn internal(state: Shared, uri: Uri) -> Response {
    serve_directory(&state, &uri, true)
}

async fn external(state: Shared, uri: Uri) -> Response {
    serve_directory(&state, &uri, false)
}

fn serve_directory(State(federation): &Shared, uri: &Uri, internal: bool) -> Response {
    let Some(federation) = federation.upgrade().filter(|f| !f.is_broken(Outage::Configuration)) else { return gone() };
    let query = uri.query().unwrap_or_default().to_owned();
    let asked = query.strip_prefix("version=").and_then(|version| version.parse::<u32>().ok());
    let served = {
        let mut state = federation.state();
        state.asked.push(query);
        asked.is_none_or(|asked| asked <= state.version.number())
    };
    if served { federation.directory(internal).into_response() } else { StatusCode::NOT_FOUND.into_response() }
}

async fn shared(State(federation): Shared) -> Response {
    let Some(federation) = federation.upgrade().filter(|f| !f.is_broken(Outage::Configuration)) else { return gone() };
    let state = federation.state();
    match state.poison {
        Some(Poison::OtherFile) => {
            write_shared(&SharedParams::empty(&federation.instance), state.version).into_response()
        }
        Some(Poison::OtherInstance) => other_instance(&state.params, state.version).into_response(),
        _ => write_shared(&state.params, state.version).into_response(),
    }
}

async fn private(State(federation): Shared) -> Response {
    let Some(federation) = federation.upgrade().filter(|f| !f.is_broken(Outage::Configuration)) else { return gone() };
    let state = federation.state();
    state
        .private
        .as_ref()
        .map_or_else(|| StatusCode::NOT_FOUND.into_response(), |params| write_private(params).into_response())
}

async fn logs(State(federation): Shared) -> Response {
    let logs = federation.upgrade().and_then(|federation| Some(federation.state().logs.as_ref()?.1.clone()));
    logs.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

fn other_instance(params: &SharedParams, version: ConfigurationVersion) -> String {
    write_shared(
        &SharedParams { instance: "ZZ".to_owned(), members: Vec::new(), servers: Vec::new(), ..params.clone() },
        version,
    )
}

async fn ocsp_answer(State(federation): Shared, body: Bytes) -> Response {
    let Some(federation) = federation.upgrade().filter(|f| !f.is_broken(Outage::Ocsp)) else { return gone() };
    let request = need(OcspRequest::from_der(&body));
    let response = federation.answer_ocsp(&request.ids);
    ([("content-type", "application/ocsp-response")], response).into_response()
}

async fn stamp(State(federation): Shared, body: Bytes) -> Response {
    let Some(federation) = federation.upgrade().filter(|f| !f.is_broken(Outage::TimeStamps)) else { return gone() };
    let request = need(TimestampRequest::from_der(&body));
    let token = need(federation.tsa.stamp(&request, &serial(&federation.random), federation.clock.now()));
    ([("content-type", "application/timestamp-reply")], need(token.response())).into_response()
}

fn gone() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

fn parameters(
    instance: &str,
    address: SocketAddr,
    ca: &Certificate,
    ocsp: &Certificate,
    tsa: &Certificate,
) -> SharedParams {
    let responder = OcspInfo { url: format!("http://{address}/ocsp"), cert: Some(ocsp.der().to_vec()), cost: None };
    let mut params = SharedParams::empty(instance);
    params.approved_cas.push(ApprovedCa {
        name: "Test CA".to_owned(),
        authentication_only: false,
        top: CaInfo { cert: ca.der().to_vec(), ocsp: vec![responder] },
        intermediates: Vec::new(),
        certificate_profile: MemberNameProfile::fi_vrk().class_name,
        csr_format: None,
        acme: None,
    });
    params.approved_tsas.push(ApprovedTsa {
        name: "Test TSA".to_owned(),
        url: format!("http://{address}/tsa"),
        cert: tsa.der().to_vec(),
        cost: None,
    });
    params
}

fn root(clock: &TestClock, random: &SharedRandom, name: &str, profile: CertificateProfile) -> Authority {
    let key = need(SigningKey::generate_p256());
    let spec = CertificateSpec {
        profile,
        serial: &serial(random),
        subject: need(DistinguishedName::new(&[(NameAttribute::CommonName, name)])),
        public_key: key.public(),
        not_before: clock.now().minus(DAY),
        not_after: clock.now().plus(3_650 * DAY),
        ocsp_url: None,
    };
    let certificate = need(Certificate::self_signed(&key, &spec));
    Authority { key, certificate }
}

fn below(
    clock: &TestClock,
    random: &SharedRandom,
    ca: &Authority,
    name: &str,
    profile: CertificateProfile,
) -> Authority {
    let key = need(SigningKey::generate_p256());
    let spec = CertificateSpec {
        profile,
        serial: &serial(random),
        subject: need(DistinguishedName::new(&[(NameAttribute::CommonName, name)])),
        public_key: key.public(),
        not_before: clock.now().minus(DAY),
        not_after: clock.now().plus(3_650 * DAY),
        ocsp_url: None,
    };
    let certificate = need(Certificate::issue(&ca.certificate, &ca.key, &spec));
    Authority { key, certificate }
}

fn serial(random: &SharedRandom) -> [u8; 16] {
    let mut serial = random_array::<16>(&**random);
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    serial
}
