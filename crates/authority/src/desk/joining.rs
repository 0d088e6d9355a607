//! Nodes that join by one request and a code (decision 0013): everything that one approval brings about, in one transaction.

use ::store::Tx;
use civic::{ClientId, ServerId, Timestamp};
use trust::cert::{Certificate, CertificateRequest};

use super::{Desk, require_class};
use crate::store::Issued;
use crate::texts::{checked, checked_address};
use crate::{AuthorityError, Profile, store, workflow};

/// What a node asks for, as its operator was identified by the code.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// The code that people compared.
    pub code: String,
    /// The node; its owner is the member.
    pub server: ServerId,
    /// The official name of the owner.
    pub member_name: String,
    /// Where other nodes reach it: host, or host and port.
    pub address: String,
    /// The subsystems of the owner that send and serve through it.
    pub clients: Vec<ClientId>,
    /// The request of the signing key.
    pub sign_request: CertificateRequest,
    /// The request of the authentication key.
    pub auth_request: CertificateRequest,
}

impl Desk {
    /// Registers the node with its owner and subsystems, and issues both certificates: signing, authentication. A node that comes back with
    /// new keys keeps what was registered for it, and nobody is renamed. Doing it again adds nothing but fresh certificates.
    pub async fn admit(&self, newcomer: &Newcomer) -> Result<(Certificate, Certificate), AuthorityError> {
        let owner = newcomer.server.owner();
        self.authority.check_instance(owner)?;
        checked(&newcomer.member_name, "name", "")?;
        checked_address(&newcomer.address)?;
        let foreign = |client: &&ClientId| client.member() != owner || client.subsystem().is_none();
        if let Some(foreign) = newcomer.clients.iter().find(foreign) {
            return Err(AuthorityError::UnknownClient(foreign.clone()));
        }
        let (server, name) = (&newcomer.server, newcomer.member_name.as_str());
        let sign = self.authority.certify(Profile::Sign, server, owner, name, &newcomer.sign_request)?;
        let auth = self.authority.certify(Profile::Auth, server, owner, name, &newcomer.auth_request)?;
        let answer = (sign.certificate.clone(), auth.certificate.clone());
        let (subject, detail) = (server.to_string(), newcomer.said(&sign, &auth));
        let newcomer = newcomer.clone();
        self.change("join.approve", subject, detail, move |tx, now| register(tx, &newcomer, &sign, &auth, now)).await?;
        Ok(answer)
    }

    /// Says in the audit that a node was turned away; its request is no matter of the registry.
    pub async fn turn_away(&self, server: &ServerId, code: &str, reason: &str) -> Result<(), AuthorityError> {
        checked(reason, "reason", "")?;
        self.note("join.refuse", &server.to_string(), &format!("code {code}: {reason}")).await
    }
}

impl Newcomer {
    /// For the audit.
    fn said(&self, sign: &Issued, auth: &Issued) -> String {
        let serial = |issued: &Issued| hex::encode(issued.certificate.serial());
        let clients: Vec<&str> = self.clients.iter().filter_map(ClientId::subsystem).collect();
        let Self { code, member_name, address, .. } = self;
        format!(
            "code {code}: {member_name} at {address} with [{}]; sign {}, auth {}",
            clients.join(", "),
            serial(sign),
            serial(auth)
        )
    }
}

fn register(
    tx: &mut Tx<'_>,
    newcomer: &Newcomer,
    sign: &Issued,
    auth: &Issued,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    let Newcomer { server, member_name, address, clients, .. } = newcomer;
    match store::member_name(tx, server.owner()) {
        Ok(known) if known != *member_name => {
            let (member, asked) = (server.owner().clone(), member_name.clone());
            return Err(AuthorityError::OtherName { member, known, asked });
        }
        Ok(_) => {}
        Err(AuthorityError::UnknownMember(member)) => {
            require_class(tx, &member)?;
            store::put_member(tx, &member, member_name, now)?;
        }
        Err(error) => return Err(error),
    }
    store::put_server(tx, server, address, now)?;
    for issued in [sign, auth] {
        store::put_certificate(tx, issued, now)?;
    }
    store::put_node_certificate(tx, server, &auth.certificate, now)?;
    for client in clients {
        store::put_subsystem(tx, client, None, now)?;
        store::put_client(tx, server, client)?;
    }
    workflow::join_owners(tx, server)
}
