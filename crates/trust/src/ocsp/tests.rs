use super::*;
use crate::cert::{CertificateProfile, CertificateSpec, DistinguishedName, NameAttribute};

struct World {
    ca_key: SigningKey,
    ca: Certificate,
    responder_key: SigningKey,
    responder: Certificate,
    leaf: Certificate,
}

fn at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T22:40:00Z").unwrap()
}

fn hour() -> Duration {
    Duration::from_hours(1)
}

fn world() -> World {
    let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate_p256().unwrap()).collect();
    let spec = |profile, name: &str, serial: &'static [u8], key: usize| CertificateSpec {
        profile,
        serial,
        subject: DistinguishedName::new(&[(NameAttribute::CommonName, name)]).unwrap(),
        public_key: keys[key].public(),
        not_before: at().minus(hour()),
        not_after: at().plus(hour()),
        ocsp_url: None,
    };
    let ca = Certificate::self_signed(&keys[0], &spec(CertificateProfile::Authority, "CA", &[1], 0)).unwrap();
    let issue = |spec| Certificate::issue(&ca, &keys[0], &spec).unwrap();
    let responder = issue(spec(CertificateProfile::OcspResponder, "OCSP", &[2], 1));
    let leaf = issue(spec(CertificateProfile::Sign, "Leaf", &[0x90, 3], 2));
    World { ca_key: keys[0].clone(), ca, responder_key: keys[1].clone(), responder, leaf }
}

fn answer(world: &World, status: OcspStatus) -> OcspAnswer {
    OcspAnswer {
        id: CertId::of(&world.leaf, &world.ca),
        status,
        this_update: at(),
        next_update: Some(at().plus(Duration::from_mins(10))),
    }
}

fn signed(world: &World, status: OcspStatus) -> OcspResponse {
    OcspResponse::sign(&world.responder, &world.responder_key, &[answer(world, status)], Some(b"nonce"), at()).unwrap()
}

#[test]
fn a_request_survives_its_bytes() {
    let world = world();
    let request = OcspRequest { ids: vec![CertId::of(&world.leaf, &world.ca)], nonce: Some(vec![7; 32]) };
    let again = OcspRequest::from_der(&request.to_der().unwrap()).unwrap();
    assert_eq!(again, request);
    assert!(again.ids[0].matches(&world.ca, world.leaf.serial()) && again.ids[0].is_of_issuer(&world.ca));
    let long = OcspRequest { nonce: Some(vec![7; 33]), ..request };
    assert!(matches!(OcspRequest::from_der(&long.to_der().unwrap()), Err(OcspError::Malformed { .. })));
}

#[test]
fn an_answer_is_believed_from_an_appointed_responder() {
    let world = world();
    for status in [OcspStatus::Good, OcspStatus::Unknown, OcspStatus::Revoked { at: at().minus(hour()) }] {
        let response = OcspResponse::from_der(signed(&world, status).der()).unwrap();
        assert_eq!(response.verify(&world.leaf, &world.ca, at(), hour(), &[]), Ok(status));
        assert!(response.repeats(b"nonce") && !response.repeats(b"other"));
    }
}

#[test]
fn an_answer_is_believed_from_the_issuer_and_from_a_configured_responder() {
    let world = world();
    let good = [answer(&world, OcspStatus::Good)];
    let response = OcspResponse::sign(&world.ca, &world.ca_key, &good, None, at()).unwrap();
    assert_eq!(response.verify(&world.leaf, &world.ca, at(), hour(), &[]), Ok(OcspStatus::Good));
    let stranger = self::world();
    let response = OcspResponse::sign(&stranger.responder, &stranger.responder_key, &good, None, at()).unwrap();
    assert!(response.verify(&world.leaf, &world.ca, at(), hour(), &[]).is_err());
    let configured = [stranger.responder.clone()];
    assert_eq!(response.verify(&world.leaf, &world.ca, at(), hour(), &configured), Ok(OcspStatus::Good));
}

#[test]
fn a_member_cannot_answer_for_its_issuer() {
    let world = world();
    let key = SigningKey::generate_p256().unwrap();
    let spec = CertificateSpec {
        profile: CertificateProfile::Auth,
        serial: &[9],
        subject: DistinguishedName::new(&[(NameAttribute::CommonName, "node")]).unwrap(),
        public_key: key.public(),
        not_before: at().minus(hour()),
        not_after: at().plus(hour()),
        ocsp_url: None,
    };
    let node = Certificate::issue(&world.ca, &world.ca_key, &spec).unwrap();
    let response = OcspResponse::sign(&node, &key, &[answer(&world, OcspStatus::Good)], None, at()).unwrap();
    let verdict = response.verify(&world.leaf, &world.ca, at(), hour(), &[]);
    assert!(matches!(verdict, Err(OcspError::UnknownResponder { .. })), "{verdict:?}");
}

#[test]
fn old_future_and_foreign_answers_are_refused() {
    let world = world();
    let response = signed(&world, OcspStatus::Good);
    let verdict = |moment, freshness| response.status(&world.leaf, &world.ca, moment, freshness);
    assert!(matches!(
        verdict(at().plus(Duration::from_secs(301)), Duration::from_mins(5)),
        Err(OcspError::Stale { .. })
    ));
    assert!(matches!(verdict(at().plus(Duration::from_secs(661)), hour()), Err(OcspError::Stale { .. })));
    assert!(matches!(verdict(at().minus(Duration::from_secs(61)), hour()), Err(OcspError::FromTheFuture { .. })));
    assert_eq!(verdict(at().minus(Duration::from_mins(1)), hour()), Ok(OcspStatus::Good));
    let foreign = response.status(&world.responder, &world.ca, at(), hour());
    assert!(matches!(foreign, Err(OcspError::OtherCertificate { .. })));
}

#[test]
fn an_expired_responder_is_refused() {
    let world = world();
    let response = signed(&world, OcspStatus::Good);
    let late = at().plus(hour()).plus(hour());
    assert!(matches!(response.verify_responder(&world.ca, &[], late), Err(OcspError::Responder(_))));
    assert!(matches!(response.verify_responder(&world.ca, &[world.responder], late), Err(OcspError::Responder(_))));
}

#[test]
fn one_flipped_bit_anywhere_never_makes_a_revoked_certificate_good() {
    let world = world();
    let der = signed(&world, OcspStatus::Revoked { at: at().minus(hour()) }).der().to_vec();
    for position in 0..der.len() {
        let mut altered = der.clone();
        altered[position] ^= 1;
        let verdict = OcspResponse::from_der(&altered)
            .and_then(|response| response.verify(&world.leaf, &world.ca, at(), hour(), &[]));
        assert_ne!(verdict, Ok(OcspStatus::Good), "byte {position}");
    }
}

#[test]
fn refusals_survive_their_bytes() {
    for (refusal, _) in OcspRefusal::ALL {
        assert_eq!(OcspResponse::from_der(&refusal.to_der()), Err(OcspError::Refused(refusal)));
    }
}
