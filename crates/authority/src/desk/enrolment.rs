//! Newcomers: everything that a new node needs, after one approval (ours; X-Road has a step for each).

use std::sync::Arc;

use civic::{ClientId, ServerId, random_hex};
use trust::cert::CertificateRequest;
use trust::digest::sha256;

use super::Desk;
use crate::requests::{Enrolment, Origin, Request, RequestDetail, RequestKind, RequestState};
use crate::texts::{checked, checked_address};
use crate::{AuthorityError, Profile, store, workflow};

const PEM_BYTES_MAX: usize = 16 * 1024;

/// What a newcomer asks for: see [`Desk::enrol`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEnrolment {
    /// The node; its owner is the member.
    pub server: ServerId,
    /// The official name of the member.
    pub member_name: String,
    /// Where other nodes reach it: host, or host and port.
    pub address: String,
    /// A subsystem of the member that works through the node, with its name for people.
    pub client: Option<(ClientId, Option<String>)>,
    /// The certificate request of the signing key, PEM.
    pub sign_request: String,
    /// The certificate request of the authentication key, PEM.
    pub auth_request: String,
}

impl Desk {
    /// Takes what a newcomer asks for: it waits for one approval, which registers the member, issues both certificates
    /// and registers the node with its client. The token in the answer finds it again.
    pub async fn enrol(&self, wish: NewEnrolment) -> Result<Request, AuthorityError> {
        self.authority.check_instance(wish.server.owner())?;
        checked(&wish.member_name, "name", "")?;
        checked_address(&wish.address)?;
        let (client, subsystem_name) = wish.client.map_or((None, None), |(client, name)| (Some(client), name));
        if let Some(client) = client.as_ref().filter(|client| client.member() != wish.server.owner()) {
            return Err(AuthorityError::UnknownClient(client.clone()));
        }
        subsystem_name.as_deref().map_or(Ok(()), |name| checked(name, "name", ""))?;
        let mut digest = Vec::new();
        for pem in [&wish.sign_request, &wish.auth_request] {
            if pem.len() > PEM_BYTES_MAX {
                return Err(AuthorityError::Settings("a certificate request is too large".to_owned()));
            }
            digest.extend_from_slice(&sha256(CertificateRequest::from_pem(pem)?.der()));
        }
        let enrolment = Enrolment {
            token: random_hex::<24>(self.authority.0.random.as_ref()),
            member_name: wish.member_name,
            sign_request: wish.sign_request,
            auth_request: wish.auth_request,
            sign_certificate: None,
            auth_certificate: None,
        };
        let now = self.authority.now();
        let request = Request {
            id: 0,
            kind: RequestKind::Enrolment,
            origin: Origin::Node,
            state: RequestState::Waiting,
            client,
            detail: RequestDetail {
                address: Some(wish.address),
                subsystem_name,
                enrolment: Some(enrolment),
                ..RequestDetail::default()
            },
            certificate: None,
            complements: None,
            created_at: now,
            created_by: wish.server.to_string(),
            decided_at: None,
            decided_by: None,
            reason: None,
            server: wish.server,
        };
        let message = hex::encode(sha256(&digest));
        self.authority.file_request(request, Some(message), now).await
    }

    /// The enrolment with this token.
    pub async fn enrolment(&self, token: &str) -> Result<Request, AuthorityError> {
        let unknown = AuthorityError::Unknown { what: "enrolment", id: token.chars().take(16).collect() };
        let (id, token) = token.split_once('-').ok_or(unknown.clone())?;
        let request = self.request(id.parse().map_err(|_| unknown.clone())?).await.map_err(|_| unknown.clone())?;
        let known = request.detail.enrolment.as_ref().map(|enrolment| sha256(enrolment.token.as_bytes()));
        // Digests are compared, so that time tells nothing of the token.
        if known == Some(sha256(token.as_bytes())) { Ok(request) } else { Err(unknown) }
    }

    /// Each step may be repeated: an approval that failed half-way is approved again.
    pub(super) async fn approve_enrolment(&self, request: Request) -> Result<Request, AuthorityError> {
        workflow::require_pending(&request)?;
        let (server, owner) = (request.server.clone(), request.server.owner().clone());
        let mut enrolment = request.detail.enrolment.clone().ok_or(AuthorityError::NoCertificate)?;
        let address = request.detail.address.clone().ok_or(AuthorityError::NoAddress)?;
        self.register_member(&owner, &enrolment.member_name).await?;
        if let Some(client) = request.client.as_ref().filter(|client| client.subsystem().is_some()) {
            self.register_subsystem(client, request.detail.subsystem_name.as_deref()).await?;
        }
        let sign_request = CertificateRequest::from_pem(&enrolment.sign_request)?;
        let auth_request = CertificateRequest::from_pem(&enrolment.auth_request)?;
        let sign = self.sign_csr(Profile::Sign, &server, &owner, &sign_request).await?;
        let auth = self.sign_csr(Profile::Auth, &server, &owner, &auth_request).await?;
        let clients: Vec<ClientId> =
            request.client.iter().filter(|client| client.subsystem().is_some()).cloned().collect();
        self.register_server(&server, &address, &auth, &clients).await?;
        (enrolment.sign_certificate, enrolment.auth_certificate) = (Some(sign.to_pem()), Some(auth.to_pem()));
        let mut decided = request.clone();
        decided.detail.enrolment = Some(enrolment);
        let actor = Arc::clone(&self.actor);
        self.change("request.approve", request.id.to_string(), "enrolment".to_owned(), move |tx, now| {
            store::set_detail(tx, &decided)?;
            store::decide(tx, &decided, RequestState::Approved, &actor, None, now)?;
            store::request(tx, decided.id)
        })
        .await
    }
}
