//! Certificates: issued to nodes, revoked, and what is said of them; time stamps.

use ::store::StoreError;
use civic::{MemberId, ServerId};
use trust::cert::{Certificate, CertificateProfile, CertificateRequest, CertificateSpec, MemberNameProfile};
use trust::ocsp::{OcspAnswer, OcspRefusal, OcspRequest, OcspResponse};
use trust::tsp::{TimestampAuthority, TimestampRequest, TspError};

use crate::keys::{self, BACKDATED};
use crate::store::{self, Issued};
use crate::{Authority, AuthorityError, Profile};

const SERIAL_TRIES_MAX: u32 = 4;

impl Authority {
    /// The certificate of the certification authority; of several generations the newest.
    pub fn certificate(&self) -> Certificate {
        self.keys().issuers.newest().authority.certificate.clone()
    }

    /// The certificate of the OCSP responder of the newest authority.
    pub fn ocsp_certificate(&self) -> Certificate {
        self.keys().issuers.newest().ocsp.certificate.clone()
    }

    /// The certificate of the time-stamping authority; of several generations the newest.
    pub fn tsa_certificate(&self) -> Certificate {
        self.keys().tsas.newest().certificate.clone()
    }

    /// Issues a certificate to a node of a member. The subject comes from the registry, not from the request: of the
    /// request only the key counts, whose possession it proves. The node itself need not be registered yet.
    pub async fn sign_csr(
        &self,
        profile: Profile,
        server: &ServerId,
        member: &MemberId,
        request: &CertificateRequest,
    ) -> Result<Certificate, AuthorityError> {
        self.desk("process").sign_csr(profile, server, member, request).await
    }

    pub(crate) async fn issue(
        &self,
        profile: Profile,
        server: &ServerId,
        member: &MemberId,
        request: &CertificateRequest,
        actor: &str,
    ) -> Result<Certificate, AuthorityError> {
        self.check_instance(server.owner())?;
        self.check_instance(member)?;
        if profile == Profile::Auth && member != server.owner() {
            return Err(AuthorityError::NotOwner { server: server.to_string(), member: member.to_string() });
        }
        let wanted = member.clone();
        let name = self.0.store.read("authority.member_name", move |tx| store::member_name(tx, &wanted)).await?;
        let now = self.now();
        let mut tries = 0;
        loop {
            tries += 1;
            let issued = self.certify(profile, server, member, &name, request)?;
            let certificate = issued.certificate.clone();
            let (actor, subject) = (actor.to_owned(), format!("{server} {member}"));
            let put = move |tx: &mut ::store::Tx<'_>| {
                store::put_certificate(tx, &issued, now)?;
                let detail = format!("{} {}", issued.profile, hex::encode(issued.certificate.serial()));
                store::audit(tx, &actor, "certificate.issue", &subject, &detail, now)
            };
            match self.0.store.tx("authority.issue", put).await {
                Ok(()) => return Ok(certificate),
                // The serial number was used before: a new one is drawn.
                Err(AuthorityError::Store(StoreError::Unique { .. })) if tries < SERIAL_TRIES_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a certificate; whoever calls says in the store that it was issued.
    pub(crate) fn certify(
        &self,
        profile: Profile,
        server: &ServerId,
        member: &MemberId,
        name: &str,
        request: &CertificateRequest,
    ) -> Result<Issued, AuthorityError> {
        let (profile, stored_as) = match profile {
            Profile::Sign => (CertificateProfile::Sign, "sign"),
            Profile::Auth => (CertificateProfile::Auth, "auth"),
        };
        let (now, ocsp_url, keys) = (self.now(), self.0.config.url("/ocsp"), self.keys());
        let issuer = &keys.issuers.newest().authority;
        let spec = CertificateSpec {
            profile,
            serial: &keys::serial(self.0.random.as_ref()),
            subject: MemberNameProfile::subject(&self.0.config.country, member, name, server.code())?,
            public_key: request.public_key(),
            not_before: now.minus(BACKDATED),
            not_after: now.plus(self.0.config.certificate_validity),
            ocsp_url: Some(&ocsp_url),
        };
        let certificate = Certificate::issue(&issuer.certificate, &issuer.key, &spec)?;
        let (server, member) = (Some(server.clone()), Some(member.clone()));
        Ok(Issued { certificate, profile: stored_as, server, member })
    }

    /// Revokes a certificate for good. OCSP answers say so at once; an authentication certificate also leaves the
    /// configuration.
    pub async fn revoke(&self, certificate: &Certificate) -> Result<(), AuthorityError> {
        self.desk("process").revoke(certificate.serial()).await
    }

    /// The signing certificates of a member that are in force, the newest first. Whoever runs a log or a consent service beside the authority
    /// knows from here whose keys to believe.
    pub async fn signing_certificates(&self, member: &MemberId) -> Result<Vec<Certificate>, AuthorityError> {
        let (member, now) = (member.clone(), self.now());
        self.0
            .store
            .read("authority.signing_certificates", move |tx| store::signing_certificates(tx, &member, now))
            .await
    }

    /// Answers an OCSP request (DER to DER). Requests that it cannot answer get the refusals of RFC 6960 §4.2.1; only a
    /// failing store is an error.
    pub async fn answer_ocsp(&self, request: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        let Ok(request) = OcspRequest::from_der(request) else {
            return Ok(OcspRefusal::MalformedRequest.to_der());
        };
        let keys = self.keys();
        let of_issuer =
            |issuer: &&keys::Issuer| request.ids.iter().all(|id| id.is_of_issuer(&issuer.authority.certificate));
        let Some(issuer) = keys.issuers.all().find(of_issuer) else {
            return Ok(OcspRefusal::Unauthorized.to_der());
        };
        let ids = request.ids.clone();
        let known = self.0.store.read("authority.status", move |tx| {
            ids.iter().map(|id| store::status(tx, id.serial())).collect::<Result<Vec<_>, AuthorityError>>()
        });
        let now = self.now();
        let answers = request.ids.iter().zip(known.await?).map(|(id, status)| OcspAnswer {
            id: id.clone(),
            status,
            this_update: now,
            next_update: Some(now.plus(self.0.config.ocsp_freshness)),
        });
        let answers: Vec<OcspAnswer> = answers.collect();
        let nonce = request.nonce.as_deref();
        let response = OcspResponse::sign(&issuer.ocsp.certificate, &issuer.ocsp.key, &answers, nonce, now)?;
        Ok(response.der().to_vec())
    }

    /// Answers a time-stamp request (DER to DER); refusals are answers too (RFC 3161 §2.4.2).
    pub fn answer_tsa(&self, request: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        let now = self.now();
        // 56 bits of the moment and 70 random bits: never twice, without a write on the hot path.
        let mut serial = keys::serial(self.0.random.as_ref());
        for (byte, of_moment) in serial.iter_mut().skip(1).zip(now.micros().to_be_bytes().into_iter().skip(1)) {
            *byte = of_moment;
        }
        let keys = self.keys();
        let tsa = keys.tsas.newest();
        let tsa = TimestampAuthority::new(tsa.certificate.clone(), tsa.key.clone(), &self.0.config.tsa_policy)?;
        let stamped = TimestampRequest::from_der(request).and_then(|request| tsa.stamp(&request, &serial, now));
        Ok(match stamped.and_then(|token| token.response()) {
            Ok(response) => response,
            Err(error) => {
                if matches!(error, TspError::Authority(_) | TspError::Unbuildable(_)) {
                    tracing::error!(%error, "no time stamp could be made");
                }
                error.failure().response(&error.to_string())?
            }
        })
    }
}
