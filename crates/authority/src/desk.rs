//! The desk: everything that somebody may do for the authority, with who did it in the audit.

mod joining;
mod logs;
mod rotation;

use std::sync::Arc;

use ::store::Tx;
use civic::{ClientId, MemberId, ServerId, Timestamp, random_hex};
use trust::cert::{Certificate, CertificateRequest};
use trust::digest::sha256;
use trust::globalconf::read_anchor;
use trust::mserv::Command;

use crate::operators::{ApiKey, AuditEntry, Role};
use crate::requests::{Origin, Request, RequestState};
use crate::store::{self, List, Registry};
use crate::texts::{check_approval, check_command, checked, checked_address};
use crate::{Approval, Authority, AuthorityError, Profile, TEXT_CHARS_MAX, workflow};

pub use joining::Newcomer;
pub use rotation::SigningKeyState;

/// Codes of groups, classes and categories.
const CODE_CHARS_MAX: usize = 64;

/// The desk of an operator. Clones are the same operator's.
#[derive(Clone, Debug)]
pub struct Desk {
    authority: Authority,
    actor: Arc<str>,
}

/// How the authority stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The instance.
    pub instance: String,
    /// Until when the signed directories hold.
    pub expires: Timestamp,
    /// How many members are registered.
    pub members: usize,
    /// How many nodes are registered.
    pub servers: usize,
    /// How many requests wait for a decision.
    pub pending: usize,
}

impl Desk {
    pub(crate) fn new(authority: Authority, actor: &str) -> Self {
        Self { authority, actor: actor.into() }
    }

    /// Who sits at it.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// Registers a member, or corrects its name.
    pub async fn register_member(&self, id: &MemberId, name: &str) -> Result<(), AuthorityError> {
        self.authority.check_instance(id)?;
        checked(name, "name", "")?;
        let (id, name) = (id.clone(), name.to_owned());
        self.change("member.put", id.to_string(), name.clone(), move |tx, now| {
            require_class(tx, &id)?;
            store::put_member(tx, &id, &name, now)
        })
        .await
    }

    /// Removes a member that owns no node and works through none, with its subsystems.
    pub async fn delete_member(&self, id: &MemberId) -> Result<(), AuthorityError> {
        let id = id.clone();
        self.change("member.delete", id.to_string(), String::new(), move |tx, _| {
            if store::servers_of(tx, &id)? > 0 {
                return Err(AuthorityError::InUse { what: format!("the member {id}"), by: "its own node".to_owned() });
            }
            let mut clients = store::subsystems_of(tx, &id)?;
            clients.push(ClientId::of_member(id.clone()));
            for client in &clients {
                require_unused(tx, client)?;
            }
            for subsystem in clients.iter().filter(|client| client.subsystem().is_some()) {
                store::delete_subsystem(tx, subsystem)?;
            }
            found(store::delete_member(tx, &id)?, "member", &id)
        })
        .await
    }

    /// Registers a subsystem of a member, or corrects its name for people; without a name it keeps the one that it has.
    pub async fn register_subsystem(&self, id: &ClientId, name: Option<&str>) -> Result<(), AuthorityError> {
        self.authority.check_instance(id.member())?;
        if id.subsystem().is_none() {
            return Err(AuthorityError::UnknownClient(id.clone()));
        }
        name.map_or(Ok(()), |name| checked(name, "name", ""))?;
        let (id, name) = (id.clone(), name.map(str::to_owned));
        self.change("subsystem.put", id.to_string(), name.clone().unwrap_or_default(), move |tx, now| {
            store::put_subsystem(tx, &id, name.as_deref(), now)
        })
        .await
    }

    /// Removes a subsystem that works through no node.
    pub async fn delete_subsystem(&self, id: &ClientId) -> Result<(), AuthorityError> {
        let id = id.clone();
        self.change("subsystem.delete", id.to_string(), String::new(), move |tx, _| {
            require_unused(tx, &id)?;
            found(store::delete_subsystem(tx, &id)?, "subsystem", &id)
        })
        .await
    }

    /// Registers a node with its authentication certificate, which [`Self::sign_csr`] issued, or brings its address and
    /// clients up to date; certificates registered earlier stay until they are revoked or expire, and a client that was
    /// stopped stays stopped.
    pub async fn register_server(
        &self,
        id: &ServerId,
        address: &str,
        auth: &Certificate,
        clients: &[ClientId],
    ) -> Result<(), AuthorityError> {
        self.authority.check_instance(id.owner())?;
        checked_address(address)?;
        let (id, address, auth, clients) = (id.clone(), address.to_owned(), auth.clone(), clients.to_vec());
        self.change("server.put", id.to_string(), address.clone(), move |tx, now| {
            store::member_name(tx, id.owner())?;
            store::require_auth_of(tx, &id, &hex::encode(auth.sha256()), now)?;
            store::put_server(tx, &id, &address, now)?;
            store::put_node_certificate(tx, &id, &auth, now)?;
            store::set_clients(tx, &id, &clients)?;
            workflow::join_owners(tx, &id)
        })
        .await
    }

    /// Removes a node with its clients and certificates; requests about it are revoked.
    pub async fn delete_server(&self, id: &ServerId) -> Result<(), AuthorityError> {
        let id = id.clone();
        self.change("server.delete", id.to_string(), String::new(), move |tx, _| {
            store::delete_server(tx, &id)?;
            workflow::leave_owners(tx, &id)
        })
        .await
    }

    /// The security categories whose rules a node keeps, in the place of those before.
    pub async fn set_categories(&self, id: &ServerId, categories: &[String]) -> Result<(), AuthorityError> {
        let (id, categories) = (id.clone(), categories.to_vec());
        self.change("server.categories", id.to_string(), categories.join(" "), move |tx, _| {
            store::set_categories(tx, &id, &categories)
        })
        .await
    }

    /// A member class, or a correction of its description.
    pub async fn put_class(&self, code: &str, description: &str) -> Result<(), AuthorityError> {
        self.put_code("class.put", List::Classes, code, description).await
    }

    /// Removes a class that no member is in.
    pub async fn delete_class(&self, code: &str) -> Result<(), AuthorityError> {
        let code = code.to_owned();
        self.change("class.delete", code.clone(), String::new(), move |tx, _| {
            found(store::delete_class(tx, &code)?, "member class", &code)
        })
        .await
    }

    /// A security category, or a correction of its description. No version of the configuration has an element for
    /// categories: they are the registry's own knowledge of nodes.
    pub async fn put_category(&self, code: &str, description: &str) -> Result<(), AuthorityError> {
        self.put_code("category.put", List::Categories, code, description).await
    }

    /// Removes a category.
    pub async fn delete_category(&self, code: &str) -> Result<(), AuthorityError> {
        let code = code.to_owned();
        self.change("category.delete", code.clone(), String::new(), move |tx, _| {
            found(store::delete_category(tx, &code)?, "security category", &code)
        })
        .await
    }

    /// A group that access rights may name, or a correction of its description.
    pub async fn put_group(&self, code: &str, description: &str) -> Result<(), AuthorityError> {
        self.put_code("group.put", List::Groups, code, description).await
    }

    /// Removes a group.
    pub async fn delete_group(&self, code: &str) -> Result<(), AuthorityError> {
        let code = code.to_owned();
        self.change("group.delete", code.clone(), String::new(), move |tx, _| {
            found(store::delete_group(tx, &code)?, "group", &code)
        })
        .await
    }

    /// A registered client joins a group.
    pub async fn join_group(&self, code: &str, client: &ClientId) -> Result<(), AuthorityError> {
        let (code, client) = (code.to_owned(), client.clone());
        self.change("group.join", code.clone(), client.to_string(), move |tx, _| {
            store::put_group_member(tx, &code, &client)
        })
        .await
    }

    /// A client leaves a group.
    pub async fn leave_group(&self, code: &str, client: &ClientId) -> Result<(), AuthorityError> {
        let (code, client) = (code.to_owned(), client.clone());
        self.change("group.leave", code.clone(), client.to_string(), move |tx, _| {
            found(store::delete_group_member(tx, &code, &client)?, "member of the group", &client)
        })
        .await
    }

    /// Trusts another certification or time-stamping authority, or corrects its settings. Returns its id.
    pub async fn approve_authority(&self, approval: &Approval) -> Result<String, AuthorityError> {
        approval.check()?;
        check_approval(approval)?;
        let (approval, id) = (approval.clone(), approval.id()?);
        let kind = approval.kind();
        self.change("approval.put", id.clone(), kind.to_owned(), move |tx, _| store::put_approval(tx, &approval))
            .await?;
        Ok(id)
    }

    /// Trusts it no more.
    pub async fn withdraw_approval(&self, id: &str) -> Result<(), AuthorityError> {
        let id = id.to_owned();
        self.change("approval.delete", id.clone(), String::new(), move |tx, _| {
            found(store::delete_approval(tx, &id)?, "approved authority", &id)
        })
        .await
    }

    /// Federates with the instance of this anchor (XML), or takes its new anchor. Returns the instance.
    pub async fn federate(&self, anchor: &str) -> Result<String, AuthorityError> {
        let instance = read_anchor(anchor.as_bytes())?.instance;
        if instance == self.authority.0.config.instance {
            return Err(AuthorityError::Settings("the anchor is our own".to_owned()));
        }
        let (anchor, name) = (anchor.to_owned(), instance.clone());
        self.change("federation.put", instance.clone(), String::new(), move |tx, _| {
            store::put_federation(tx, &name, &anchor)
        })
        .await?;
        Ok(instance)
    }

    /// Ends a federation.
    pub async fn end_federation(&self, instance: &str) -> Result<(), AuthorityError> {
        let instance = instance.to_owned();
        self.change("federation.delete", instance.clone(), String::new(), move |tx, _| {
            found(store::delete_federation(tx, &instance)?, "federated instance", &instance)
        })
        .await
    }

    /// Asks for something as the authority: where a node asked for the same, both sides agree.
    pub async fn file(&self, command: &Command) -> Result<Request, AuthorityError> {
        self.authority.file(command, Origin::Authority, &self.actor, None).await
    }

    /// Says yes to a request.
    pub async fn approve(&self, id: i64) -> Result<Request, AuthorityError> {
        let request = self.request(id).await?;
        let actor = Arc::clone(&self.actor);
        self.change("request.approve", id.to_string(), request.kind.name().to_owned(), move |tx, now| {
            let request = store::request(tx, id)?;
            workflow::approve(tx, &request, &actor, now)
        })
        .await
    }

    /// Says no to a request.
    pub async fn decline(&self, id: i64, reason: &str) -> Result<Request, AuthorityError> {
        checked(reason, "reason", "")?;
        let (actor, reason) = (Arc::clone(&self.actor), reason.to_owned());
        self.change("request.decline", id.to_string(), reason.clone(), move |tx, now| {
            let request = store::request(tx, id)?;
            workflow::require_pending(&request)?;
            store::decide(tx, &request, RequestState::Declined, &actor, Some(&reason), now)?;
            store::request(tx, id)
        })
        .await
    }

    /// A request.
    pub async fn request(&self, id: i64) -> Result<Request, AuthorityError> {
        self.authority.0.store.read("authority.request", move |tx| store::request(tx, id)).await
    }

    /// Requests, newest first, at most 500 before that number; only those in that state where one is given.
    pub async fn requests(
        &self,
        state: Option<RequestState>,
        before: Option<i64>,
    ) -> Result<Vec<Request>, AuthorityError> {
        self.authority.0.store.read("authority.requests", move |tx| store::requests(tx, state, before)).await
    }

    /// Issues a certificate to a node of a member; see [`Authority::sign_csr`].
    pub async fn sign_csr(
        &self,
        profile: Profile,
        server: &ServerId,
        member: &MemberId,
        request: &CertificateRequest,
    ) -> Result<Certificate, AuthorityError> {
        self.authority.issue(profile, server, member, request, &self.actor).await
    }

    /// Revokes the certificate with this serial number for good.
    pub async fn revoke(&self, serial: &[u8]) -> Result<(), AuthorityError> {
        let serial = serial.to_vec();
        self.change("certificate.revoke", hex::encode(&serial), String::new(), move |tx, now| {
            store::revoke(tx, &serial, now)
        })
        .await
    }

    /// A key for an operator. Answers the secret too, which nobody can read again.
    pub async fn create_api_key(&self, label: &str, roles: &[Role]) -> Result<(ApiKey, String), AuthorityError> {
        checked(label, "label", "")?;
        if roles.is_empty() {
            return Err(AuthorityError::Settings("a key needs one role at least".to_owned()));
        }
        let random = self.authority.0.random.as_ref();
        let (id, secret) = (random_hex::<8>(random), random_hex::<32>(random));
        let token = format!("{id}.{secret}");
        let created_at = self.authority.now();
        let key = ApiKey { id: id.clone(), label: label.to_owned(), roles: roles.to_vec(), created_at };
        let (stored, digest) = (key.clone(), hex::encode(sha256(token.as_bytes())));
        self.change("key.create", id, label.to_owned(), move |tx, _| store::put_api_key(tx, &stored, &digest)).await?;
        Ok((key, token))
    }

    /// A key opens no door any more.
    pub async fn revoke_api_key(&self, id: &str) -> Result<(), AuthorityError> {
        let id = id.to_owned();
        self.change("key.revoke", id.clone(), String::new(), move |tx, now| {
            found(store::revoke_api_key(tx, &id, now)?, "key", &id)
        })
        .await
    }

    /// The keys that open doors.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, AuthorityError> {
        self.authority.0.store.read("authority.api_keys", store::api_keys).await
    }

    /// What was done, newest first, at most 500 before that number.
    pub async fn audit(&self, before: Option<i64>) -> Result<Vec<AuditEntry>, AuthorityError> {
        self.authority.0.store.read("authority.audit", move |tx| store::audit_entries(tx, before)).await
    }

    /// How the authority stands.
    pub async fn status(&self) -> Result<Status, AuthorityError> {
        let registry = self.registry().await?;
        let pending = self.requests(None, None).await?.iter().filter(|request| request.state.is_pending()).count();
        Ok(Status {
            instance: self.authority.0.config.instance.clone(),
            expires: self.authority.published().expires,
            members: registry.members.len(),
            servers: registry.servers.len(),
            pending,
        })
    }

    pub(crate) async fn registry(&self) -> Result<Registry, AuthorityError> {
        let now = self.authority.now();
        self.authority.0.store.read("authority.registry", move |tx| store::registry(tx, now)).await
    }

    pub(crate) async fn codes(&self, list: List) -> Result<Vec<(String, String)>, AuthorityError> {
        self.authority.0.store.read("authority.codes", move |tx| store::codes(tx, list)).await
    }

    async fn put_code(
        &self,
        action: &'static str,
        list: List,
        code: &str,
        description: &str,
    ) -> Result<(), AuthorityError> {
        let fits = code.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        if code.is_empty() || code.len() > CODE_CHARS_MAX || !fits {
            return Err(AuthorityError::Settings(format!(
                "a code has 1 to {CODE_CHARS_MAX} letters, digits, hyphens, underscores or dots"
            )));
        }
        checked(description, "description", "")?;
        let (code, description) = (code.to_owned(), description.to_owned());
        self.change(action, code.clone(), description.clone(), move |tx, _| {
            store::put_code(tx, list, &code, &description)
        })
        .await
    }

    /// One change: done, written into the audit in the same transaction, and published.
    async fn change<T: Send + 'static>(
        &self,
        action: &'static str,
        subject: String,
        detail: String,
        mut body: impl FnMut(&mut Tx<'_>, Timestamp) -> Result<T, AuthorityError> + Send + 'static,
    ) -> Result<T, AuthorityError> {
        let (actor, now) = (Arc::clone(&self.actor), self.authority.now());
        let detail = cut(&detail);
        let outcome = self
            .authority
            .0
            .store
            .tx("authority.change", move |tx| {
                let outcome = body(tx, now)?;
                store::audit(tx, &actor, action, &subject, &detail, now)?;
                Ok::<_, AuthorityError>(outcome)
            })
            .await?;
        self.authority.publish().await?;
        Ok(outcome)
    }

    /// A line of the audit alone: for what happens outside of the registry, before it happens.
    async fn note(&self, action: &'static str, subject: &str, detail: &str) -> Result<(), AuthorityError> {
        let (actor, now) = (Arc::clone(&self.actor), self.authority.now());
        let (subject, detail) = (subject.to_owned(), cut(detail));
        let note = move |tx: &mut Tx<'_>| store::audit(tx, &actor, action, &subject, &detail, now);
        self.authority.0.store.tx("authority.note", note).await
    }
}

fn cut(detail: &str) -> String {
    detail.chars().take(4 * TEXT_CHARS_MAX).collect()
}

impl Authority {
    /// [`Desk::register_member`] by the process itself.
    pub async fn register_member(&self, id: &MemberId, name: &str) -> Result<(), AuthorityError> {
        self.desk("process").register_member(id, name).await
    }

    /// [`Desk::register_subsystem`] by the process itself.
    pub async fn register_subsystem(&self, id: &ClientId, name: Option<&str>) -> Result<(), AuthorityError> {
        self.desk("process").register_subsystem(id, name).await
    }

    /// [`Desk::register_server`] by the process itself.
    pub async fn register_server(
        &self,
        id: &ServerId,
        address: &str,
        auth: &Certificate,
        clients: &[ClientId],
    ) -> Result<(), AuthorityError> {
        self.desk("process").register_server(id, address, auth, clients).await
    }

    /// Takes a request that was verified; `message` is the digest of the message that it came in.
    pub(crate) async fn file(
        &self,
        command: &Command,
        origin: Origin,
        by: &str,
        message: Option<String>,
    ) -> Result<Request, AuthorityError> {
        self.check_instance(command.server().owner())?;
        command.client().map_or(Ok(()), |client| self.check_instance(client.member()))?;
        check_command(command)?;
        if let Command::AuthCertReg { auth_cert, .. } = command {
            let trust = self.published();
            let own = trust.trust.own().ok_or(AuthorityError::Stopped)?;
            own.check_auth_cert(&Certificate::from_der(auth_cert)?, &[], self.now())?;
        }
        let now = self.now();
        self.file_request(Request::of_command(command, origin, by, now), message, now).await
    }

    async fn file_request(
        &self,
        request: Request,
        message: Option<String>,
        now: Timestamp,
    ) -> Result<Request, AuthorityError> {
        let rules = self.rules();
        let filed = self
            .0
            .store
            .tx("authority.file", move |tx| {
                let filed = workflow::file(tx, &rules, &request, message.as_deref(), now)?;
                let subject = filed.server.to_string();
                let detail = format!("request {}: {}", filed.id, filed.state.name());
                store::audit(tx, &request.created_by, filed.kind.name(), &subject, &detail, now)?;
                Ok::<_, AuthorityError>(filed)
            })
            .await?;
        if filed.state == RequestState::Approved {
            self.publish().await?;
        }
        Ok(filed)
    }
}

fn require_class(tx: &mut Tx<'_>, id: &MemberId) -> Result<(), AuthorityError> {
    let classes = store::codes(tx, List::Classes)?;
    if classes.iter().any(|(code, _)| code == id.class()) {
        return Ok(());
    }
    let known: Vec<&str> = classes.iter().map(|(code, _)| code.as_str()).collect();
    Err(AuthorityError::UnknownClass { class: id.class().to_owned(), known: known.join(", ") })
}

fn require_unused(tx: &mut Tx<'_>, client: &ClientId) -> Result<(), AuthorityError> {
    match store::node_of_client(tx, client)? {
        Some(server) => Err(AuthorityError::InUse { what: client.to_string(), by: format!("the node {server}") }),
        None => Ok(()),
    }
}

fn found(found: bool, what: &'static str, id: &impl ToString) -> Result<(), AuthorityError> {
    if found { Ok(()) } else { Err(AuthorityError::Unknown { what, id: id.to_string() }) }
}
