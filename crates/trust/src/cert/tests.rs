use super::*;
use crate::keys::SigningKey;

fn moment(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn spec<'a>(profile: CertificateProfile, name: &str, serial: &'a [u8], key: &'a SigningKey) -> CertificateSpec<'a> {
    CertificateSpec {
        profile,
        serial,
        subject: DistinguishedName::new(&[(NameAttribute::CommonName, name)]).unwrap(),
        public_key: key.public(),
        not_before: moment("2026-01-01T00:00:00Z"),
        not_after: moment("2056-01-01T00:00:00Z"),
        ocsp_url: Some("http://127.0.0.1/ocsp"),
    }
}

fn root(key: &SigningKey) -> Certificate {
    Certificate::self_signed(key, &spec(CertificateProfile::Authority, "Root", &[1], key)).unwrap()
}

#[test]
fn an_issued_certificate_says_what_it_is_for() {
    let (ca_key, key) = (SigningKey::generate_p256().unwrap(), SigningKey::generate_p256().unwrap());
    let ca = root(&ca_key);
    let issue = |profile| Certificate::issue(&ca, &ca_key, &spec(profile, "x", &[0x80, 1], &key)).unwrap();
    let sign = issue(CertificateProfile::Sign);
    assert!(sign.is_sign_certificate() && !sign.is_auth_certificate() && !sign.is_ca());
    assert_eq!(sign.ocsp_url(), Some("http://127.0.0.1/ocsp"));
    assert_eq!((sign.serial(), sign.serial_decimal().as_str()), (&[0x80, 1][..], "32769"));
    let auth = issue(CertificateProfile::Auth);
    assert!(auth.is_auth_certificate() && !auth.is_sign_certificate());
    let tsa = issue(CertificateProfile::TimeStamping);
    assert!(tsa.is_time_stamping() && !issue(CertificateProfile::Auth).is_time_stamping());
    let ocsp = issue(CertificateProfile::OcspResponder);
    assert!(ocsp.is_ocsp_responder() && ocsp.has_ocsp_no_check());
    assert!(ca.is_ca());
    assert_eq!(Certificate::from_pem(&sign.to_pem()).unwrap(), sign);
    assert_eq!(sign.not_after(), moment("2056-01-01T00:00:00Z"));
}

#[test]
fn a_chain_holds_through_an_intermediate_and_only_while_valid() {
    let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate_p256().unwrap()).collect();
    let mut top = spec(CertificateProfile::Authority, "Root", &[1], &keys[0]);
    let ca = Certificate::self_signed(&keys[0], &top).unwrap();
    top = spec(CertificateProfile::Authority, "Middle", &[2], &keys[1]);
    let middle = Certificate::issue(&ca, &keys[0], &top).unwrap();
    let leaf = spec(CertificateProfile::Sign, "Leaf", &[3], &keys[2]);
    let leaf = Certificate::issue(&middle, &keys[1], &leaf).unwrap();
    let at = moment("2026-06-01T00:00:00Z");
    assert_eq!(verify_chain(&leaf, std::slice::from_ref(&middle), std::slice::from_ref(&ca), at), Ok(()));
    assert_eq!(verify_chain(&leaf, &[], std::slice::from_ref(&middle), at), Ok(()));
    assert!(matches!(verify_chain(&leaf, &[], std::slice::from_ref(&ca), at), Err(CertError::NoAnchor { .. })));
    let late = moment("2056-01-01T00:00:01Z");
    assert!(matches!(
        verify_chain(&leaf, std::slice::from_ref(&middle), std::slice::from_ref(&ca), late),
        Err(CertError::NotValidAt { .. })
    ));
    let early = moment("2025-12-31T23:59:59Z");
    assert!(matches!(verify_chain(&leaf, &[middle], &[ca], early), Err(CertError::NotValidAt { .. })));
}

#[test]
fn a_leaf_issues_nothing() {
    let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate_p256().unwrap()).collect();
    let ca = root(&keys[0]);
    let leaf = Certificate::issue(&ca, &keys[0], &spec(CertificateProfile::Sign, "Leaf", &[2], &keys[1])).unwrap();
    let forged = spec(CertificateProfile::Sign, "Forged", &[3], &keys[2]);
    let forged = Certificate::issue(&leaf, &keys[1], &forged).unwrap();
    let verdict = verify_chain(&forged, &[leaf], &[ca], moment("2026-06-01T00:00:00Z"));
    assert!(matches!(verdict, Err(CertError::NotAuthority { .. })), "{verdict:?}");
}

#[test]
fn an_authority_of_the_same_name_with_another_key_is_refused() {
    let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate_p256().unwrap()).collect();
    let (ca, impostor) = (root(&keys[0]), root(&keys[1]));
    let leaf = spec(CertificateProfile::Sign, "Leaf", &[2], &keys[2]);
    let leaf = Certificate::issue(&impostor, &keys[1], &leaf).unwrap();
    let verdict = verify_chain(&leaf, &[], &[ca], moment("2026-06-01T00:00:00Z"));
    assert!(matches!(verdict, Err(CertError::NotSignedBy { .. })), "{verdict:?}");
}

#[test]
fn an_altered_certificate_breaks_the_chain_or_does_not_parse() {
    let (ca_key, key) = (SigningKey::generate_p256().unwrap(), SigningKey::generate_p256().unwrap());
    let ca = root(&ca_key);
    let leaf = Certificate::issue(&ca, &ca_key, &spec(CertificateProfile::Sign, "Leaf", &[2], &key)).unwrap();
    let at = moment("2026-06-01T00:00:00Z");
    for position in 0..leaf.der().len() {
        let mut altered = leaf.der().to_vec();
        altered[position] ^= 1;
        let verdict =
            Certificate::from_der(&altered).and_then(|c| verify_chain(&c, &[], std::slice::from_ref(&ca), at));
        assert!(verdict.is_err(), "byte {position} may be altered");
    }
}

#[test]
fn a_request_proves_its_key() {
    let key = SigningKey::generate_p256().unwrap();
    let subject = DistinguishedName::new(&[(NameAttribute::CommonName, "node")]).unwrap();
    let request = CertificateRequest::create(&key, &subject).unwrap();
    let again = CertificateRequest::from_pem(&request.to_pem()).unwrap();
    assert_eq!((again.subject(), again.public_key()), (&subject, key.public()));
    let mut altered = request.der().to_vec();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    assert!(CertificateRequest::from_der(&altered).is_err());
}

#[test]
fn serial_numbers_and_validity_are_checked_before_signing() {
    let key = SigningKey::generate_p256().unwrap();
    for serial in [&[][..], &[0][..], &[1; 21][..]] {
        let refused = Certificate::self_signed(&key, &spec(CertificateProfile::Authority, "Root", serial, &key));
        assert_eq!(refused.unwrap_err(), CertError::Serial, "{serial:?}");
    }
    let mut empty = spec(CertificateProfile::Authority, "Root", &[1], &key);
    empty.not_after = empty.not_before;
    assert_eq!(Certificate::self_signed(&key, &empty).unwrap_err(), CertError::EmptyValidity);
}

#[test]
fn big_serial_numbers_are_written_in_decimal() {
    assert_eq!(decimal(&[]), "0");
    assert_eq!(decimal(&[0xff; 8]), u64::MAX.to_string());
    assert_eq!(decimal(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), (u128::from(u64::MAX) + 1).to_string());
}
