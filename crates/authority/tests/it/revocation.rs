use std::time::Duration;

use authority::AuthorityError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::Clock;
use http::StatusCode;
use trust::cert::{Certificate, CertificateProfile, CertificateSpec, DistinguishedName, NameAttribute};
use trust::keys::SigningKey;
use trust::ocsp::{CertId, OcspError, OcspRefusal, OcspRequest, OcspResponse, OcspStatus};

use crate::{World, worlds};

fn question(certificate: &Certificate, issuer: &Certificate) -> OcspRequest {
    let ids = vec![CertId::of(certificate, issuer)];
    OcspRequest { ids, nonce: Some(b"0123456789abcdef".to_vec()) }
}

impl World {
    async fn status(&self, certificate: &Certificate) -> OcspStatus {
        self.status_by(certificate, &self.authority.certificate()).await
    }

    pub(crate) async fn status_by(&self, certificate: &Certificate, issuer: &Certificate) -> OcspStatus {
        let question = question(certificate, issuer).to_der().unwrap();
        let (status, posted) = self.post("/ocsp", question.clone()).await;
        assert_eq!(status, StatusCode::OK);
        let encoded = STANDARD.encode(&question).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let (status, got) = self.get(&format!("/ocsp/{encoded}")).await;
        assert_eq!(status, StatusCode::OK);
        let [posted, got] = [posted, got].map(|der| {
            let response = OcspResponse::from_der(&der).unwrap();
            assert!(response.repeats(b"0123456789abcdef"));
            response.verify(certificate, issuer, self.clock.now(), Duration::from_hours(1), &[]).unwrap()
        });
        assert_eq!(posted, got);
        posted
    }
}

#[tokio::test]
async fn a_certificate_is_good_until_it_is_revoked_and_then_for_ever_revoked() {
    for world in worlds().await {
        let (sign, auth) = world.enrol().await;
        assert_eq!(world.status(&sign).await, OcspStatus::Good);
        let at = world.clock.now();
        world.authority.revoke(&sign).await.unwrap();
        world.clock.advance(Duration::from_mins(5));
        world.authority.revoke(&sign).await.unwrap();
        assert_eq!(world.status(&sign).await, OcspStatus::Revoked { at });
        assert_eq!(world.status(&auth).await, OcspStatus::Good);
        assert_eq!(world.status(&world.authority.tsa_certificate()).await, OcspStatus::Good);
    }
}

#[tokio::test]
async fn certificates_that_were_never_issued_are_unknown_and_cannot_be_revoked() {
    for world in worlds().await {
        let key = SigningKey::generate_p256().unwrap();
        let now = world.clock.now();
        let spec = CertificateSpec {
            profile: CertificateProfile::Authority,
            serial: &[0x12, 0x34],
            subject: DistinguishedName::new(&[(NameAttribute::CommonName, "stranger")]).unwrap(),
            public_key: key.public(),
            not_before: now,
            not_after: now.plus(Duration::from_hours(1)),
            ocsp_url: None,
        };
        let stranger = Certificate::self_signed(&key, &spec).unwrap();
        assert_eq!(world.status(&stranger).await, OcspStatus::Unknown);
        let verdict = world.authority.revoke(&stranger).await;
        assert_eq!(verdict, Err(AuthorityError::UnknownSerial("1234".to_owned())));

        let of_stranger = OcspRequest { ids: vec![CertId::of(&stranger, &stranger)], nonce: None };
        let (_, refused) = world.post("/ocsp", of_stranger.to_der().unwrap()).await;
        assert_eq!(OcspResponse::from_der(&refused), Err(OcspError::Refused(OcspRefusal::Unauthorized)));
    }
}

#[tokio::test]
async fn rubbish_gets_the_refusal_that_the_protocol_has_for_it() {
    for world in worlds().await {
        let (status, refused) = world.post("/ocsp", b"rubbish".to_vec()).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(OcspResponse::from_der(&refused), Err(OcspError::Refused(OcspRefusal::MalformedRequest)));
        assert_eq!(world.get("/ocsp/***").await.0, StatusCode::BAD_REQUEST);
    }
}
