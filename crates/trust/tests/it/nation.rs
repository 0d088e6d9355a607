//! A small federation in memory: an authority, a time-stamping authority, two members.

use std::time::Duration;

use civic::{ClientId, MemberId, Timestamp};
use trust::cert::{
    Certificate, CertificateProfile, CertificateSpec, DistinguishedName, MemberNameProfile, NameAttribute,
};
use trust::digest::Digest;
use trust::globalconf::{ApprovedCa, ApprovedTsa, CaInfo, OcspInfo, SharedParams, TrustDir};
use trust::keys::SigningKey;
use trust::ocsp::{CertId, OcspAnswer, OcspResponse, OcspStatus};
use trust::tsp::{TimestampAuthority, TimestampRequest};
use trust::xades::{DataRef, Signer};

pub(crate) struct Nation {
    pub(crate) ca_key: SigningKey,
    pub(crate) ca: Certificate,
    responder_key: SigningKey,
    pub(crate) responder: Certificate,
    tsa: TimestampAuthority,
    pub(crate) trust: TrustDir,
}

pub(crate) struct Organisation {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
    pub(crate) signer: Signer,
}

pub(crate) fn at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T22:40:00Z").unwrap()
}

pub(crate) fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

pub(crate) fn client(text: &str) -> ClientId {
    text.parse().unwrap()
}

fn named(text: &str) -> DistinguishedName {
    DistinguishedName::new(&[(NameAttribute::Organization, "Agence & <demo>"), (NameAttribute::CommonName, text)])
        .unwrap()
}

fn spec<'k>(
    profile: CertificateProfile,
    serial: &'k [u8],
    subject: DistinguishedName,
    key: &'k SigningKey,
) -> CertificateSpec<'k> {
    CertificateSpec {
        profile,
        serial,
        subject,
        public_key: key.public(),
        not_before: at().minus(minutes(60 * 24)),
        not_after: at().plus(minutes(60 * 24 * 365)),
        ocsp_url: Some("http://127.0.0.1:8604/ocsp"),
    }
}

impl Nation {
    pub(crate) fn new() -> Self {
        let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate_p256().unwrap()).collect();
        let root = spec(CertificateProfile::Authority, &[1], named("Root"), &keys[0]);
        let ca = Certificate::self_signed(&keys[0], &root).unwrap();
        let issue = |spec: &CertificateSpec<'_>| Certificate::issue(&ca, &keys[0], spec).unwrap();
        let responder = issue(&spec(CertificateProfile::OcspResponder, &[2], named("OCSP"), &keys[1]));
        let tsa = issue(&spec(CertificateProfile::TimeStamping, &[3], named("TSA"), &keys[2]));
        let ocsp = OcspInfo { url: "http://127.0.0.1:8604/ocsp".to_owned(), cert: None, cost: None };
        let shared = SharedParams {
            approved_cas: vec![ApprovedCa {
                name: "CA".to_owned(),
                top: CaInfo { cert: ca.der().to_vec(), ocsp: vec![ocsp] },
                certificate_profile: MemberNameProfile::fi_vrk().class_name,
                ..ApprovedCa::default()
            }],
            approved_tsas: vec![ApprovedTsa {
                name: "TSA".to_owned(),
                url: String::new(),
                cert: tsa.der().to_vec(),
                cost: None,
            }],
            ocsp_freshness_s: 3_600,
            ..SharedParams::empty("BB")
        };
        Self {
            ca_key: keys[0].clone(),
            responder_key: keys[1].clone(),
            responder,
            tsa: TimestampAuthority::new(tsa, keys[2].clone(), "1.3.6.1.4.1.99999.1").unwrap(),
            trust: TrustDir::of("BB", vec![(shared, None, None)]).unwrap(),
            ca,
        }
    }

    pub(crate) fn organisation(&self, member: &str, serial: &'static [u8]) -> Organisation {
        self.organisation_with(SigningKey::generate_p256().unwrap(), member, serial, CertificateProfile::Sign)
    }

    pub(crate) fn organisation_with(
        &self,
        key: SigningKey,
        member: &str,
        serial: &'static [u8],
        profile: CertificateProfile,
    ) -> Organisation {
        let member: MemberId = member.parse().unwrap();
        let subject = MemberNameProfile::subject("BB", &member, "Impôts & <Domaines>", "node-1").unwrap();
        let certificate = Certificate::issue(&self.ca, &self.ca_key, &spec(profile, serial, subject, &key)).unwrap();
        Organisation { signer: Signer::new(key.clone(), &certificate, &[]).unwrap(), certificate, key }
    }

    pub(crate) fn ocsp(&self, certificate: &Certificate, status: OcspStatus, this_update: Timestamp) -> Vec<u8> {
        let answer = OcspAnswer { id: CertId::of(certificate, &self.ca), status, this_update, next_update: None };
        let signed = OcspResponse::sign(&self.responder, &self.responder_key, &[answer], None, this_update);
        signed.unwrap().der().to_vec()
    }

    pub(crate) fn good(&self, certificate: &Certificate) -> Vec<u8> {
        self.ocsp(certificate, OcspStatus::Good, at().minus(minutes(5)))
    }

    pub(crate) fn stamp(&self, data: &[u8]) -> Vec<u8> {
        let request = TimestampRequest::for_data(data, &[]).unwrap();
        self.tsa.stamp(&request, &[7], at().plus(minutes(1))).unwrap().der().to_vec()
    }
}

impl Organisation {
    /// Signs files directly, with a good OCSP answer.
    pub(crate) fn sign(&self, nation: &Nation, files: &[(&str, &[u8])]) -> Vec<u8> {
        self.sign_with(files, &nation.good(&self.certificate))
    }

    pub(crate) fn sign_with(&self, files: &[(&str, &[u8])], ocsp: &[u8]) -> Vec<u8> {
        let files: Vec<DataRef<'_>> =
            files.iter().map(|(name, bytes)| DataRef { name, digest: Digest::sha512(bytes) }).collect();
        self.signer.sign(&files, at(), &[ocsp]).unwrap()
    }
}
