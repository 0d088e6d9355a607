//! The authority over HTTP, on every engine.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod acts;
mod configuration;
mod joining;
mod logs;
mod management;
mod operators;
mod revocation;
mod rotation;
mod stamps;
mod texts;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use authority::{Authority, AuthorityConfig, AuthorityError, Profile};
use axum::body::Body;
use civic::testing::{SeededRandom, TestClock};
use civic::{ClientId, MemberId, ServerId, SharedClock};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use store::Store;
use tower::ServiceExt;
use trust::cert::{Certificate, CertificateRequest, DistinguishedName, NameAttribute};
use trust::keys::SigningKey;

/// An authority with a clock that the test moves.
struct World {
    authority: Authority,
    store: Store,
    clock: Arc<TestClock>,
    keys: tempfile::TempDir,
}

async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for store in store::testing::engines().await {
        let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
        let folder = tempfile::tempdir().unwrap();
        let authority = open(store.clone(), &folder, &clock).await.unwrap();
        worlds.push(World { authority, store, clock, keys: folder });
    }
    worlds
}

async fn open(store: Store, folder: &tempfile::TempDir, clock: &Arc<TestClock>) -> Result<Authority, AuthorityError> {
    let management: ClientId = "BB/GOV/1000".parse().unwrap();
    let config = AuthorityConfig::new("BB", "Agence du numérique", "http://127.0.0.1:8604", management);
    let clock: SharedClock = Arc::clone(clock) as SharedClock;
    Authority::open(store, &folder.path().join("keys"), config, clock, Arc::new(SeededRandom::new(7))).await
}

fn member() -> MemberId {
    "BB/GOV/1002".parse().unwrap()
}

fn server() -> ServerId {
    "BB/GOV/1002/node-1".parse().unwrap()
}

fn fisc() -> ClientId {
    "BB/GOV/1002/fisc".parse().unwrap()
}

/// A request whose subject claims to be somebody else: the authority must not care.
fn request() -> CertificateRequest {
    let subject = DistinguishedName::new(&[(NameAttribute::CommonName, "somebody else")]).unwrap();
    CertificateRequest::create(&SigningKey::generate_p256().unwrap(), &subject).unwrap()
}

async fn answer(router: axum::Router, request: Request<Body>) -> (StatusCode, Vec<u8>) {
    let answer = router.oneshot(request).await.unwrap();
    let status = answer.status();
    (status, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
}

impl World {
    /// The tax office with its node; returns signing and authentication certificate.
    async fn enrol(&self) -> (Certificate, Certificate) {
        self.authority.register_member(&member(), "Impôts").await.unwrap();
        self.authority.register_subsystem(&fisc(), Some("Déclarations")).await.unwrap();
        let sign = self.authority.sign_csr(Profile::Sign, &server(), &member(), &request()).await.unwrap();
        let auth = self.authority.sign_csr(Profile::Auth, &server(), &member(), &request()).await.unwrap();
        self.authority.register_server(&server(), "127.0.0.1:8631", &auth, &[fisc()]).await.unwrap();
        (sign, auth)
    }

    async fn get(&self, path: &str) -> (StatusCode, Vec<u8>) {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        self.ask(Request::post(path).body(Body::from(body)).unwrap()).await
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        answer(self.authority.router(), request).await
    }
}

#[tokio::test]
async fn keys_are_made_once_and_kept_from_others() {
    for store in store::testing::engines().await {
        let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
        let folder = tempfile::tempdir().unwrap();
        let first = open(store.clone(), &folder, &clock).await.unwrap();
        let again = open(store.clone(), &folder, &clock).await.unwrap();
        assert_eq!(first.certificate(), again.certificate());
        assert_eq!(first.tsa_certificate(), again.tsa_certificate());
        assert_eq!(first.anchor(), again.anchor());

        let key = folder.path().join("keys/ca.key.pem");
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = open(store, &folder, &clock).await.unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_key_is_noticed_at_the_start() {
    let store = store::testing::sqlite().await;
    let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
    let folder = tempfile::tempdir().unwrap();
    drop(open(store.clone(), &folder, &clock).await.unwrap());
    let keys = folder.path().join("keys");
    std::fs::copy(keys.join("ocsp.cert.pem"), keys.join("tsa.cert.pem")).unwrap();
    assert!(matches!(open(store, &folder, &clock).await, Err(AuthorityError::KeyFile { .. })));
}

#[tokio::test]
async fn only_what_belongs_here_is_registered() {
    for world in worlds().await {
        let authority = &world.authority;
        let foreign: MemberId = "FI/GOV/1002".parse().unwrap();
        let verdict = authority.register_member(&foreign, "Verot").await;
        assert!(matches!(verdict, Err(AuthorityError::ForeignInstance { .. })), "{verdict:?}");
        let class: MemberId = "BB/XXX/1002".parse().unwrap();
        assert!(matches!(authority.register_member(&class, "x").await, Err(AuthorityError::UnknownClass { .. })));
        assert!(matches!(authority.register_member(&member(), "").await, Err(AuthorityError::Text { .. })));
        let early = authority.register_subsystem(&fisc(), None).await;
        assert_eq!(early, Err(AuthorityError::UnknownMember(member())));
        let early = authority.sign_csr(Profile::Sign, &server(), &member(), &request()).await;
        assert_eq!(early, Err(AuthorityError::UnknownMember(member())));

        let (sign, auth) = world.enrol().await;
        let not_auth = authority.register_server(&server(), "host", &sign, &[]).await;
        assert_eq!(not_auth, Err(AuthorityError::NotAuthOf(server())));
        let other: ServerId = "BB/GOV/1002/node-2".parse().unwrap();
        let not_its = authority.register_server(&other, "host", &auth, &[]).await;
        assert_eq!(not_its, Err(AuthorityError::NotAuthOf(other)));
        let unknown: ClientId = "BB/GOV/1002/other".parse().unwrap();
        let verdict = authority.register_server(&server(), "host", &auth, std::slice::from_ref(&unknown)).await;
        assert_eq!(verdict, Err(AuthorityError::UnknownClient(unknown)));
        let verdict = authority.register_server(&server(), "http://host/", &auth, &[]).await;
        assert!(matches!(verdict, Err(AuthorityError::Text { .. })));
    }
}

#[tokio::test]
async fn a_certificate_names_the_registered_member_and_not_the_request() {
    for world in worlds().await {
        let (sign, auth) = world.enrol().await;
        for certificate in [&sign, &auth] {
            let subject = certificate.subject().to_string();
            assert_eq!(subject, "SERIALNUMBER=BB/node-1/GOV,CN=1002,O=Impôts,C=BB");
            assert_eq!(certificate.ocsp_url(), Some("http://127.0.0.1:8604/ocsp"));
            certificate.verify_signed_by(&world.authority.certificate()).unwrap();
        }
        assert!(sign.is_sign_certificate() && auth.is_auth_certificate());
        let other: MemberId = "BB/COM/2001".parse().unwrap();
        world.authority.register_member(&other, "Banque du Fleuve").await.unwrap();
        let hosted = world.authority.sign_csr(Profile::Sign, &server(), &other, &request()).await;
        assert!(hosted.is_ok());
        let verdict = world.authority.sign_csr(Profile::Auth, &server(), &other, &request()).await;
        assert!(matches!(verdict, Err(AuthorityError::NotOwner { .. })));
    }
}

#[tokio::test]
async fn an_overlong_request_is_refused_before_it_is_read() {
    for world in worlds().await {
        for path in ["/ocsp", "/tsa"] {
            let (status, _) = world.post(path, vec![0x30; 9_000]).await;
            assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        }
    }
}
