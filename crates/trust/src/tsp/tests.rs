use std::time::Duration;

use super::*;
use crate::cert::{CertificateProfile, CertificateSpec, DistinguishedName, NameAttribute};

fn at() -> Timestamp {
    Timestamp::from_micros(1_795_300_800_123_400)
}

fn authority_with(key: SigningKey, profile: CertificateProfile) -> Result<TimestampAuthority, TspError> {
    let spec = CertificateSpec {
        profile,
        serial: &[0x81, 7],
        subject: DistinguishedName::new(&[(NameAttribute::CommonName, "TSA")]).unwrap(),
        public_key: key.public(),
        not_before: at().minus(Duration::from_mins(1)),
        not_after: at().plus(Duration::from_hours(1)),
        ocsp_url: None,
    };
    let certificate = Certificate::self_signed(&key, &spec).unwrap();
    TimestampAuthority::new(certificate, key, "1.2.3.4.1")
}

fn authority() -> TimestampAuthority {
    authority_with(SigningKey::generate_p256().unwrap(), CertificateProfile::TimeStamping).unwrap()
}

#[test]
fn a_stamp_proves_data_and_moment() {
    for key in [
        SigningKey::generate_p256().unwrap(),
        SigningKey::generate_p384().unwrap(),
        SigningKey::generate_rsa2048().unwrap(),
    ] {
        let authority = authority_with(key, CertificateProfile::TimeStamping).unwrap();
        let request = TimestampRequest::for_data(b"data", &[0, 0x9a, 1]).unwrap();
        let received = TimestampRequest::from_der(&request.to_der().unwrap()).unwrap();
        assert_eq!(received, request);
        let response = authority.stamp(&received, &[0xff], at()).unwrap().response().unwrap();
        let token = request.token(&response).unwrap();
        let listed = [authority.certificate().clone()];
        assert_eq!(token.verify(b"data", &listed), Ok(at()));
        assert_eq!(token.verify(b"datA", &listed), Err(TspError::OtherData));
        assert_eq!(token.serial(), [0xff]);
        assert_eq!(token.certificates(), listed);
    }
}

#[test]
fn an_authority_that_is_not_listed_is_not_believed() {
    let (ours, other) = (authority(), authority());
    let request = TimestampRequest::for_data(b"data", &[1]).unwrap();
    let token = ours.stamp(&request, &[1], at()).unwrap();
    assert_eq!(token.verify(b"data", &[]), Err(TspError::UnknownAuthority));
    // The same name and serial number, another key: found by its name, refused by its digest.
    let verdict = token.verify(b"data", &[other.certificate().clone()]);
    assert_eq!(verdict, Err(TspError::BadSignature("signing certificate")));
}

#[test]
fn a_stamp_for_another_request_is_refused() {
    let authority = authority();
    let (asked, other) =
        (TimestampRequest::for_data(b"data", &[1]).unwrap(), TimestampRequest::for_data(b"data", &[2]).unwrap());
    let response = authority.stamp(&other, &[1], at()).unwrap().response().unwrap();
    assert_eq!(asked.token(&response), Err(TspError::OtherRequest));
    let foreign = TimestampRequest::for_data(b"other", &[1]).unwrap();
    let response = authority.stamp(&foreign, &[1], at()).unwrap().response().unwrap();
    assert_eq!(asked.token(&response), Err(TspError::OtherData));
}

#[test]
fn the_certificate_is_enclosed_only_where_it_is_wanted() {
    let authority = authority();
    let mut request = TimestampRequest::for_data(b"data", &[1]).unwrap();
    request.certificate_wanted = false;
    let token = authority.stamp(&request, &[1], at()).unwrap();
    assert!(token.certificates().is_empty());
    assert_eq!(token.verify(b"data", &[authority.certificate().clone()]), Ok(at()));
}

#[test]
fn refusals_say_why() {
    let authority = authority();
    let sha1 = TimestampRequest::for_digest(DigestAlgorithm::Sha1, &[0; 20], &[1]);
    assert_eq!(sha1.unwrap_err().failure(), TspFailure::BadAlgorithm);
    let mut request = TimestampRequest::for_data(b"data", &[1]).unwrap();
    request.policy = Some(ObjectIdentifier::new_unwrap("1.2.3"));
    let error = authority.stamp(&request, &[1], at()).unwrap_err();
    let response = error.failure().response(&error.to_string()).unwrap();
    let told = request.token(&response).unwrap_err();
    assert!(matches!(&told, TspError::Rejected { status: 2, text } if text.contains("1.2.3.4.1")), "{told}");
    assert_eq!(TimestampRequest::from_der(b"x").unwrap_err().failure(), TspFailure::BadDataFormat);
}

#[test]
fn a_certificate_for_other_uses_stamps_nothing() {
    let refused = authority_with(SigningKey::generate_p256().unwrap(), CertificateProfile::Sign);
    assert!(matches!(refused, Err(TspError::NotTimeStamping { .. })));
}

#[test]
fn an_expired_authority_stamps_nothing() {
    let request = TimestampRequest::for_data(b"data", &[1]).unwrap();
    let late = at().plus(Duration::from_hours(2));
    assert!(matches!(authority().stamp(&request, &[1], late), Err(TspError::Authority(_))));
}

#[test]
fn one_flipped_bit_anywhere_breaks_the_stamp_or_changes_nothing_signed() {
    let authority = authority();
    let request = TimestampRequest::for_data(b"data", &[1]).unwrap();
    let token = authority.stamp(&request, &[1], at()).unwrap();
    let listed = [authority.certificate().clone()];
    for position in 0..token.der().len() {
        let mut altered = token.der().to_vec();
        altered[position] ^= 1;
        let verdict = TimestampToken::from_der(&altered).and_then(|token| token.verify(b"data", &listed));
        // The enclosed copy of the certificate is a hint that the signature does not cover.
        assert!(verdict.is_err() || verdict == Ok(at()), "byte {position}: {verdict:?}");
    }
}

#[test]
fn moments_keep_their_fraction_without_trailing_zeros() {
    let text = |moment| String::from_utf8(asn1::write_time(moment).unwrap().value().to_vec()).unwrap();
    assert_eq!(text(at()), "20261121224000.1234Z");
    assert!(!text(Timestamp::from_seconds(at().seconds())).contains('.'));
    assert_eq!(asn1::read_time(&asn1::write_time(at()).unwrap()), Some(at()));
    for refused in ["20261122", "20261122000000", "20261122000000.Z", "20261322000000Z", "20261122000000+0100"] {
        let value = Any::new(der::Tag::GeneralizedTime, refused.as_bytes()).unwrap();
        assert_eq!(asn1::read_time(&value), None, "{refused}");
    }
}
