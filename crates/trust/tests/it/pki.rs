//! The unmodified `openssl` command judges our certificates, OCSP answers and time stamps, and we judge its.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use civic::Timestamp;
use trust::cert::{
    Certificate, CertificateProfile, CertificateRequest, CertificateSpec, DistinguishedName, MemberNameProfile,
    NameAttribute, verify_chain,
};
use trust::keys::SigningKey;
use trust::ocsp::{CertId, OcspAnswer, OcspRequest, OcspResponse, OcspStatus};
use trust::tsp::{TimestampAuthority, TimestampRequest, TimestampToken, token_of_response};

use crate::samples;

/// Fixed moments; `openssl` compares with the machine's clock, so certificates are valid for long around it.
const AT: &str = "2026-11-21T22:40:00Z";
/// Accepts an OCSP answer of any age: a hundred years in seconds.
const ANY_AGE: &str = "3153600000";

struct World {
    folder: tempfile::TempDir,
    keys: Vec<SigningKey>,
    ca: Certificate,
    responder: Certificate,
    tsa: Certificate,
    sign: Certificate,
}

fn at() -> Timestamp {
    Timestamp::parse_rfc3339(AT).unwrap()
}

fn hour() -> Duration {
    Duration::from_hours(1)
}

/// An authority whose keys are of every kind that nodes use.
fn worlds() -> Vec<World> {
    vec![world(&SigningKey::generate_p256), world(&SigningKey::generate_p384), world(&SigningKey::generate_rsa2048)]
}

fn world(generate: &dyn Fn() -> Result<SigningKey, trust::keys::KeyError>) -> World {
    let keys: Vec<SigningKey> = (0..4).map(|_| generate().unwrap()).collect();
    let member = "BB/GOV/1002".parse().unwrap();
    let name =
        |name| DistinguishedName::new(&[(NameAttribute::Organization, "Test"), (NameAttribute::CommonName, name)]);
    let spec = |profile, subject, serial: &'static [u8], key: usize| CertificateSpec {
        profile,
        serial,
        subject,
        public_key: keys.get(key).unwrap().public(),
        not_before: Timestamp::parse_rfc3339("2020-01-01T00:00:00Z").unwrap(),
        not_after: Timestamp::parse_rfc3339("2060-01-01T00:00:00Z").unwrap(),
        ocsp_url: Some("http://127.0.0.1:8604/ocsp"),
    };
    let ca_key = keys.first().unwrap();
    let ca =
        Certificate::self_signed(ca_key, &spec(CertificateProfile::Authority, name("CA").unwrap(), &[1], 0)).unwrap();
    let issue = |spec| Certificate::issue(&ca, ca_key, &spec).unwrap();
    let responder = issue(spec(CertificateProfile::OcspResponder, name("OCSP").unwrap(), &[2], 1));
    let tsa = issue(spec(CertificateProfile::TimeStamping, name("TSA").unwrap(), &[3], 2));
    let subject = MemberNameProfile::subject("BB", &member, "Impôts", "node-1").unwrap();
    let sign = issue(spec(CertificateProfile::Sign, subject, &[0xab, 0xcd], 3));
    let world = World { folder: tempfile::tempdir().unwrap(), keys, ca, responder, tsa, sign };
    for (file, certificate) in
        [("ca.pem", &world.ca), ("ocsp.pem", &world.responder), ("tsa.pem", &world.tsa), ("sign.pem", &world.sign)]
    {
        world.write(file, certificate.to_pem());
    }
    for (file, key) in ["ca.key", "ocsp.key", "tsa.key", "sign.key"].iter().zip(&world.keys) {
        world.write(file, key.to_pkcs8_pem().unwrap());
    }
    world
}

impl World {
    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(file), bytes).unwrap();
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    /// Runs `openssl`; an argument that starts with `@` is a file of this world.
    fn openssl(&self, command: &str) -> Option<Output> {
        let arguments: Vec<String> = command
            .split(' ')
            .map(|argument| match argument.strip_prefix('@') {
                Some(file) => text(&self.path(file)),
                None => argument.to_owned(),
            })
            .collect();
        samples::tool("openssl", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn key(&self, index: usize) -> &SigningKey {
        self.keys.get(index).unwrap()
    }

    fn answer(&self, status: OcspStatus) -> OcspAnswer {
        let next_update = Some(at().plus(hour()));
        OcspAnswer { id: CertId::of(&self.sign, &self.ca), status, this_update: at(), next_update }
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[track_caller]
fn accepted(output: &Output, said: &str) {
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains(said), "{told}");
}

#[test]
fn openssl_verifies_our_chains_and_requests() {
    for world in worlds() {
        let Some(output) = world.openssl("verify -x509_strict -CAfile @ca.pem @sign.pem @ocsp.pem") else { return };
        accepted(&output, "sign.pem: OK");
        let output = world.openssl("verify -x509_strict -purpose timestampsign -CAfile @ca.pem @tsa.pem").unwrap();
        accepted(&output, "tsa.pem: OK");
        let request = CertificateRequest::create(world.key(3), world.sign.subject()).unwrap();
        world.write("node.csr", request.to_pem());
        accepted(&world.openssl("req -verify -noout -in @node.csr").unwrap(), "verify OK");
    }
}

#[test]
fn we_take_requests_keys_and_certificates_made_by_openssl() {
    let world = world(&SigningKey::generate_p256);
    let kinds = ["ec -pkeyopt ec_paramgen_curve:P-256", "rsa:2048", "ed25519"];
    for kind in kinds {
        let make = format!("req -new -newkey {kind} -nodes -subj /C=BB/O=Test/CN=node -keyout @n.key -out @n.csr");
        let Some(output) = world.openssl(&make) else { return };
        accepted(&output, "");
        let request = CertificateRequest::from_pem(&String::from_utf8(world.read("n.csr")).unwrap()).unwrap();
        let key = SigningKey::from_pkcs8_pem(&String::from_utf8(world.read("n.key")).unwrap()).unwrap();
        assert_eq!(
            (request.public_key(), request.subject().to_string().as_str()),
            (key.public(), "CN=node,O=Test,C=BB")
        );
        let sign = "x509 -req -in @n.csr -CA @ca.pem -CAkey @ca.key -set_serial 77 -days 3650 -out @n.pem";
        accepted(&world.openssl(sign).unwrap(), "");
        let issued = Certificate::from_pem(&String::from_utf8(world.read("n.pem")).unwrap()).unwrap();
        let valid = issued.not_before().plus(hour());
        assert_eq!(verify_chain(&issued, &[], std::slice::from_ref(&world.ca), valid), Ok(()));
    }
}

#[test]
fn openssl_verifies_our_ocsp_answers() {
    let said = [
        (OcspStatus::Good, "good"),
        (OcspStatus::Revoked { at: at().minus(hour()) }, "revoked"),
        (OcspStatus::Unknown, "unknown"),
    ];
    for world in worlds() {
        for (status, word) in said {
            let response =
                OcspResponse::sign(&world.responder, world.key(1), &[world.answer(status)], None, at()).unwrap();
            world.write("answer.der", response.der());
            for trust in ["-CAfile @ca.pem", "-CAfile @ca.pem -VAfile @ocsp.pem"] {
                let ask = "ocsp -respin @answer.der -issuer @ca.pem -cert @sign.pem -validity_period";
                let Some(output) = world.openssl(&format!("{ask} {ANY_AGE} {trust}")) else { return };
                accepted(&output, "Response verify OK");
                accepted(&output, &format!("sign.pem: {word}"));
            }
        }
    }
}

#[test]
fn openssl_asks_and_answers_in_our_tongue() {
    let world = world(&SigningKey::generate_p256);
    let Some(output) = world.openssl("ocsp -issuer @ca.pem -cert @sign.pem -reqout @ask.der") else { return };
    accepted(&output, "");
    let request = OcspRequest::from_der(&world.read("ask.der")).unwrap();
    assert_eq!(request.ids, [CertId::of(&world.sign, &world.ca)]);
    assert!(request.nonce.is_some());

    let ours = OcspRequest { ids: vec![CertId::of(&world.sign, &world.ca)], nonce: Some(b"0123456789abcdef".to_vec()) };
    world.write("ours.der", ours.to_der().unwrap());
    world.write("index.txt", "V\t600101000000Z\t\tABCD\tunknown\t/CN=1002\n");
    let answer = "ocsp -index @index.txt -CA @ca.pem -rsigner @ocsp.pem -rkey @ocsp.key -reqin @ours.der -ndays 1 -respout @theirs.der";
    accepted(&world.openssl(answer).unwrap(), "");
    let response = OcspResponse::from_der(&world.read("theirs.der")).unwrap();
    assert!(response.repeats(b"0123456789abcdef"));
    let verdict = response.verify(&world.sign, &world.ca, response.produced_at(), hour(), &[]);
    assert_eq!(verdict, Ok(OcspStatus::Good));
}

#[test]
fn openssl_verifies_our_time_stamps() {
    for world in worlds() {
        let authority = TimestampAuthority::new(world.tsa.clone(), world.key(2).clone(), "1.2.3.4.1").unwrap();
        world.write("data", b"the data");
        for option in ["-sha512", "-sha256 -cert"] {
            let Some(output) = world.openssl(&format!("ts -query -data @data {option} -out @q.tsq")) else { return };
            accepted(&output, "");
            let request = TimestampRequest::from_der(&world.read("q.tsq")).unwrap();
            let moment = at().plus(Duration::from_millis(120));
            let token = authority.stamp(&request, &[0x80, 1], moment).unwrap();
            world.write("r.tsr", token.response().unwrap());
            let verify = "ts -verify -in @r.tsr -CAfile @ca.pem -untrusted @tsa.pem";
            accepted(&world.openssl(&format!("{verify} -queryfile @q.tsq")).unwrap(), "Verification: OK");
            accepted(&world.openssl(&format!("{verify} -data @data")).unwrap(), "Verification: OK");
            accepted(&world.openssl("ts -reply -in @r.tsr -text").unwrap(), "Nov 21 22:40:00.12 2026 GMT");
        }
    }
}

#[test]
fn we_verify_time_stamps_made_by_openssl() {
    let world = world(&SigningKey::generate_p256);
    let configuration = format!(
        "[tsa]\ndefault_tsa = c\n[c]\nserial = {}\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\ndigests = sha512\n\
         ess_cert_id_chain = no\ness_cert_id_alg = sha256\n",
        text(&world.path("serial"))
    );
    world.write("tsa.cnf", configuration);
    let request = TimestampRequest::for_data(b"the data", &[9; 8]).unwrap();
    world.write("ours.tsq", request.to_der().unwrap());
    let reply =
        "ts -reply -config @tsa.cnf -section c -queryfile @ours.tsq -signer @tsa.pem -inkey @tsa.key -out @theirs.tsr";
    let Some(output) = world.openssl(reply) else { return };
    accepted(&output, "");
    let token = request.token(&world.read("theirs.tsr")).unwrap();
    let listed = std::slice::from_ref(&world.tsa);
    assert_eq!(token.verify(b"the data", listed), Ok(token.time()));
    assert!(token.verify(b"other data", listed).is_err());
}

#[test]
fn the_sample_time_stamp_of_x_road_is_read() {
    let Some(folder) = samples::folder("the sample RFC 3161 response") else { return };
    let response = std::fs::read(folder.join("tsp/tsp.response")).unwrap();
    let token = TimestampToken::from_der(&token_of_response(&response).unwrap().unwrap()).unwrap();
    assert_eq!(token.time().rfc3339(), "2014-05-06T08:28:49Z");
    assert_eq!(hex::encode(token.serial()), "6c134551e07fe8fa");
}
