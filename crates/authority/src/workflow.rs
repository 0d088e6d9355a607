//! The rules of requests: who may ask for what, when both sides agree, and what an approval changes.
//!
//! As X-Road has it: a registration of a certificate or a client waits for an operator; where the other side has asked
//! for the same, the two complement each other, and a node's request that meets the authority's own needs no further
//! approval. A change of owner waits always. Deletions, addresses, names, stops and maintenance take effect at once,
//! because they concern only the one who asks.

use ::store::Tx;
use civic::{ClientId, ServerId, Timestamp};

use crate::requests::{Origin, Request, RequestKind, RequestState};
use crate::store::{self, List};
use crate::{AuthorityError, AutoApproval};

/// The group that holds every owner of a node; X-Road's nodes know it by this name.
const OWNERS: &str = "security-server-owners";

/// What the rules need to know of the federation.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) management_service: ClientId,
    pub(crate) auto_approval: AutoApproval,
}

/// Takes a request. `message` is the digest of the message that it came in: the same message is the same request.
pub(crate) fn file(
    tx: &mut Tx<'_>,
    rules: &Rules,
    wish: &Request,
    message: Option<&str>,
    now: Timestamp,
) -> Result<Request, AuthorityError> {
    if let Some(message) = message
        && let Some(known) = store::request_of_message(tx, message)?
    {
        return Ok(known);
    }
    let filed = match wish.kind {
        RequestKind::AuthCertReg | RequestKind::ClientReg => register(tx, rules, wish, message, now)?,
        RequestKind::OwnerChange => {
            check_owner_change(tx, wish)?;
            let pending = store::pending(tx, wish.kind, &wish.server, None, None)?;
            if let Some(other) = pending.first() {
                return Err(AuthorityError::RequestExists(other.id));
            }
            let filed = store::put_request(tx, wish, message)?;
            if rules.auto_approval.owner_change {
                return approve(tx, &filed, "automatic", now);
            }
            filed
        }
        _ => {
            apply_at_once(tx, rules, wish, now)?;
            let by = Some(wish.created_by.clone());
            let done = Request { state: RequestState::Approved, decided_at: Some(now), decided_by: by, ..wish.clone() };
            store::put_request(tx, &done, message)?
        }
    };
    Ok(filed)
}

/// An operator, or the agreement of both sides, says yes.
pub(crate) fn approve(tx: &mut Tx<'_>, request: &Request, by: &str, now: Timestamp) -> Result<Request, AuthorityError> {
    require_pending(request)?;
    match request.kind {
        RequestKind::AuthCertReg => {
            let certificate = request.auth_certificate().ok_or(AuthorityError::NoCertificate)?;
            let address = request.detail.address.as_deref().ok_or(AuthorityError::NoAddress)?;
            store::put_server(tx, &request.server, address, now)?;
            store::put_node_certificate(tx, &request.server, &certificate, now)?;
            join_owners(tx, &request.server)?;
        }
        RequestKind::ClientReg => {
            let client = needed_client(request)?;
            store::require_server(tx, &request.server)?;
            store::member_name(tx, client.member())?;
            if client.subsystem().is_some() {
                store::put_subsystem(tx, client, request.detail.subsystem_name.as_deref(), now)?;
            }
            store::put_client(tx, &request.server, client)?;
        }
        RequestKind::OwnerChange => change_owner(tx, request)?,
        _ => return Err(AuthorityError::NotPending { id: request.id, state: request.state.name() }),
    }
    store::decide(tx, request, RequestState::Approved, by, None, now)?;
    store::request(tx, request.id)
}

/// An error where the request was decided before.
pub(crate) fn require_pending(request: &Request) -> Result<(), AuthorityError> {
    if request.state.is_pending() {
        return Ok(());
    }
    Err(AuthorityError::NotPending { id: request.id, state: request.state.name() })
}

/// The owner joins the group of owners.
pub(crate) fn join_owners(tx: &mut Tx<'_>, server: &ServerId) -> Result<(), AuthorityError> {
    store::put_code(tx, List::Groups, OWNERS, "Owners of nodes")?;
    store::put_group_member(tx, OWNERS, &ClientId::of_member(server.owner().clone()))
}

/// A member who owns no node any more leaves the group of owners.
pub(crate) fn leave_owners(tx: &mut Tx<'_>, server: &ServerId) -> Result<(), AuthorityError> {
    if store::servers_of(tx, server.owner())? == 0 {
        store::delete_group_member(tx, OWNERS, &ClientId::of_member(server.owner().clone()))?;
    }
    Ok(())
}

fn register(
    tx: &mut Tx<'_>,
    rules: &Rules,
    wish: &Request,
    message: Option<&str>,
    now: Timestamp,
) -> Result<Request, AuthorityError> {
    check_not_registered(tx, wish)?;
    if wish.origin == Origin::Authority {
        store::member_name(tx, wish.server.owner())?;
        if let Some(client) = &wish.client {
            store::require_server(tx, &wish.server)?;
            store::member_name(tx, client.member())?;
        }
    }
    let certificate = wish.certificate.as_deref();
    let pending = store::pending(tx, wish.kind, &wish.server, wish.client.as_ref(), certificate)?;
    let mut wish = wish.clone();
    match pending.as_slice() {
        [] => {}
        [other] if other.origin != wish.origin && other.server == wish.server => {
            store::set_submitted(tx, other.id)?;
            (wish.state, wish.complements) = (RequestState::Submitted, Some(other.id));
            // The node knows its address; the authority's request need not name one.
            wish.detail.address = wish.detail.address.take().or_else(|| other.detail.address.clone());
        }
        [other, ..] => return Err(AuthorityError::RequestExists(other.id)),
    }
    let filed = store::put_request(tx, &wish, message)?;
    let automatic = match filed.kind {
        RequestKind::AuthCertReg => rules.auto_approval.auth_cert_reg,
        _ => rules.auto_approval.client_reg,
    };
    let agreed = automatic || filed.state == RequestState::Submitted;
    if !agreed || filed.origin != Origin::Node || !can_be_approved(tx, &filed)? {
        return Ok(filed);
    }
    approve(tx, &filed, if automatic { "automatic" } else { "both sides" }, now)
}

fn check_not_registered(tx: &mut Tx<'_>, wish: &Request) -> Result<(), AuthorityError> {
    if let Some(certificate) = &wish.certificate
        && let Some(known) = store::node_of_certificate(tx, certificate)?
    {
        return Err(AuthorityError::CertificateOfOther(known));
    }
    if let Some(client) = &wish.client {
        let owns = client.subsystem().is_none() && client.member() == wish.server.owner();
        if owns || store::is_client(tx, &wish.server, client)? {
            return Err(AuthorityError::AlreadyClient { client: client.to_string(), server: wish.server.to_string() });
        }
    }
    Ok(())
}

/// Whether everybody named is registered, so that no operator has to add somebody first.
fn can_be_approved(tx: &mut Tx<'_>, request: &Request) -> Result<bool, AuthorityError> {
    let registered = |outcome: Result<(), AuthorityError>| match outcome {
        Ok(()) => Ok(true),
        Err(AuthorityError::UnknownMember(_) | AuthorityError::UnknownServer(_)) => Ok(false),
        Err(error) => Err(error),
    };
    match &request.client {
        None => registered(store::member_name(tx, request.server.owner()).map(drop)),
        Some(client) => Ok(registered(store::require_server(tx, &request.server))?
            && registered(store::member_name(tx, client.member()).map(drop))?),
    }
}

fn apply_at_once(tx: &mut Tx<'_>, rules: &Rules, wish: &Request, now: Timestamp) -> Result<(), AuthorityError> {
    let server = &wish.server;
    match wish.kind {
        RequestKind::AuthCertDeletion => {
            let certificate = wish.certificate.as_deref().ok_or(AuthorityError::NoCertificate)?;
            if store::delete_node_certificate(tx, server, certificate)? {
                return Ok(());
            }
            take_back(tx, RequestKind::AuthCertReg, wish, Some(certificate), now)
        }
        RequestKind::ClientDeletion => {
            let client = needed_client(wish)?;
            not_management(rules, client)?;
            if store::delete_client(tx, server, client)? || store::was_declined(tx, server, client)? {
                return Ok(());
            }
            take_back(tx, RequestKind::ClientReg, wish, None, now)
        }
        RequestKind::AddressChange => {
            store::set_address(tx, server, wish.detail.address.as_deref().ok_or(AuthorityError::NoAddress)?)
        }
        RequestKind::ClientDisable | RequestKind::ClientEnable => {
            let (client, enabled) = (needed_client(wish)?, wish.kind == RequestKind::ClientEnable);
            if !enabled {
                not_management(rules, client)?;
            }
            if store::set_enabled(tx, server, client, enabled)? { Ok(()) } else { Err(not_client(wish, client)) }
        }
        RequestKind::ClientRename => {
            let client = needed_client(wish)?;
            if client.subsystem().is_none() || !store::is_client(tx, server, client)? {
                return Err(not_client(wish, client));
            }
            store::put_subsystem(tx, client, wish.detail.subsystem_name.as_deref(), now)
        }
        RequestKind::MaintenanceModeEnable => {
            let management = &rules.management_service;
            if management.member() == server.owner() || store::is_client(tx, server, management)? {
                return Err(AuthorityError::ManagementService(management.clone()));
            }
            store::set_maintenance(tx, server, Some(wish.detail.message.as_deref().unwrap_or_default()))
        }
        RequestKind::MaintenanceModeDisable => store::set_maintenance(tx, server, None),
        _ => Err(AuthorityError::NotPending { id: wish.id, state: wish.state.name() }),
    }
}

/// A registration that waits is revoked by the deletion of what it asked for.
fn take_back(
    tx: &mut Tx<'_>,
    kind: RequestKind,
    wish: &Request,
    certificate: Option<&str>,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    let pending = store::pending(tx, kind, &wish.server, wish.client.as_ref(), certificate)?;
    let own = pending.into_iter().find(|request| request.server == wish.server);
    let own = own.ok_or_else(|| AuthorityError::NotRegistered { server: wish.server.clone() })?;
    store::decide(tx, &own, RequestState::Revoked, &wish.created_by, None, now)
}

fn check_owner_change(tx: &mut Tx<'_>, wish: &Request) -> Result<(), AuthorityError> {
    let client = needed_client(wish)?;
    store::require_server(tx, &wish.server)?;
    if client.subsystem().is_some() {
        return Err(AuthorityError::NewOwner { client: client.clone(), reason: "only a member owns a node" });
    }
    if client.member() == wish.server.owner() {
        return Err(AuthorityError::NewOwner { client: client.clone(), reason: "it owns the node already" });
    }
    if !store::is_client(tx, &wish.server, client)? {
        let reason = "it must be a client of the node first";
        return Err(AuthorityError::NewOwner { client: client.clone(), reason });
    }
    if store::require_server(tx, &client.member().server(wish.server.code())?).is_ok() {
        let reason = "it has a node with this code already";
        return Err(AuthorityError::NewOwner { client: client.clone(), reason });
    }
    Ok(())
}

/// The node goes to its client; the owner before becomes a client.
fn change_owner(tx: &mut Tx<'_>, request: &Request) -> Result<(), AuthorityError> {
    check_owner_change(tx, request)?;
    let client = needed_client(request)?;
    let to = client.member().server(request.server.code())?;
    store::move_server(tx, &request.server, &to)?;
    store::delete_client(tx, &to, client)?;
    store::put_client(tx, &to, &ClientId::of_member(request.server.owner().clone()))?;
    leave_owners(tx, &request.server)?;
    join_owners(tx, &to)
}

fn not_management(rules: &Rules, client: &ClientId) -> Result<(), AuthorityError> {
    if *client == rules.management_service {
        return Err(AuthorityError::ManagementService(client.clone()));
    }
    Ok(())
}

fn needed_client(request: &Request) -> Result<&ClientId, AuthorityError> {
    request.client.as_ref().ok_or_else(|| AuthorityError::NotRegistered { server: request.server.clone() })
}

fn not_client(wish: &Request, client: &ClientId) -> AuthorityError {
    AuthorityError::NotClient { client: client.to_string(), server: wish.server.to_string() }
}
