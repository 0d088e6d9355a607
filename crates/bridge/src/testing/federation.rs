use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
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
    Member, OcspInfo, SHARED_PARAMETERS, SecurityServer, SharedParams, Subsystem, write_anchor, write_shared,
};
use trust::keys::{PublicKey, SigningKey};
use trust::ocsp::{CertId, OcspAnswer, OcspRequest, OcspResponse, OcspStatus};
use trust::tsp::{TimestampAuthority, TimestampRequest};

use super::need;
use crate::NodeRequests;

const DAY: Duration = Duration::from_hours(24);
const LOCATION: &str = "/V5/1/shared-params.xml";

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

/// The authority of the tests: CA, OCSP responder, TSA and global configuration behind one socket.
pub struct Federation {
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
}

impl Federation {
    /// Starts the authority of the instance `BB` on the loopback.
    pub async fn start(clock: Arc<TestClock>, random: SharedRandom) -> Arc<Self> {
        let listener = need(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await);
        let address = need(listener.local_addr());
        let ca = root(&clock, &random, "Test CA", CertificateProfile::Authority);
        let source = root(&clock, &random, "Test configuration", CertificateProfile::ConfigurationSigning);
        let ocsp = below(&clock, &random, &ca, "Test OCSP", CertificateProfile::OcspResponder);
        let tsa = below(&clock, &random, &ca, "Test TSA", CertificateProfile::TimeStamping);
        let params = parameters(address, &ca.certificate, &ocsp.certificate, &tsa.certificate);
        let federation = Arc::new(Self {
            tsa: need(TimestampAuthority::new(tsa.certificate, tsa.key, "1.2.3.4")),
            state: Mutex::new(Settings {
                params,
                revoked: Vec::new(),
                broken: Vec::new(),
                valid_for: Duration::from_mins(10),
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
            .route("/internalconf", get(directory))
            .route(LOCATION, get(shared))
            .route("/ocsp", post(ocsp_answer))
            .route("/tsa", post(stamp))
            .with_state(Arc::downgrade(&federation));
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, router, stop.clone()));
        *federation.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop.drop_guard());
        federation
    }

    /// The configuration anchor.
    pub fn anchor(&self) -> Vec<u8> {
        let source = AnchorSource {
            download_url: format!("http://{}/internalconf", self.address),
            certs: vec![self.source.certificate.der().to_vec()],
        };
        let anchor = Anchor { generated_at: Some(self.clock.now()), instance: "BB".to_owned(), sources: vec![source] };
        write_anchor(&anchor).into_bytes()
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

async fn directory(State(federation): Shared) -> Response {
    let Some(federation) = federation.upgrade().filter(|f| !f.is_broken(Outage::Configuration)) else { return gone() };
    let (shared, valid_for) = {
        let state = federation.state();
        (write_shared(&state.params, ConfigurationVersion::V5), state.valid_for)
    };
    let part = DirectoryPart::of(SHARED_PARAMETERS, "BB", LOCATION, shared.as_bytes());
    let directory = Directory { expires: federation.clock.now().plus(valid_for), version: Some(5), parts: vec![part] };
    let signed = directory.sign(&federation.source.key, federation.source.certificate.der(), &*federation.random);
    need(signed).into_response()
}

async fn shared(State(federation): Shared) -> Response {
    let Some(federation) = federation.upgrade().filter(|f| !f.is_broken(Outage::Configuration)) else { return gone() };
    let shared = write_shared(&federation.state().params, ConfigurationVersion::V5);
    shared.into_response()
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

fn parameters(address: SocketAddr, ca: &Certificate, ocsp: &Certificate, tsa: &Certificate) -> SharedParams {
    let responder = OcspInfo { url: format!("http://{address}/ocsp"), cert: Some(ocsp.der().to_vec()), cost: None };
    let mut params = SharedParams::empty("BB");
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
