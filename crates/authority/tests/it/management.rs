use std::net::SocketAddr;
use std::time::Duration;

use authority::{AuthorityError, Origin, Profile, Request, RequestState};
use axum::body::Body;
use axum::extract::ConnectInfo;
use civic::testing::SeededRandom;
use civic::{ClientId, Clock, MemberId, ServerId};
use http::StatusCode;
use trust::cert::{Certificate, CertificateRequest, DistinguishedName, NameAttribute};
use trust::globalconf::SharedParams;
use trust::keys::SigningKey;
use trust::mserv::{Command, Envelope, ManagementRequest, MservError, read_response};
use trust::ocsp::{CertId, OcspRequest};

use crate::{World, answer, fisc, member, server, worlds};

/// A node with its keys and the certificates that the authority issued, not registered yet.
pub(crate) struct Node {
    pub(crate) server: ServerId,
    pub(crate) auth_key: SigningKey,
    pub(crate) auth_cert: Certificate,
    pub(crate) sign_key: SigningKey,
    pub(crate) sign_cert: Certificate,
}

fn csr(key: &SigningKey) -> CertificateRequest {
    let subject = DistinguishedName::new(&[(NameAttribute::CommonName, "node")]).unwrap();
    CertificateRequest::create(key, &subject).unwrap()
}

fn asking(id: &str, sender: &MemberId, command: Command) -> ManagementRequest {
    let sender = ClientId::of_member(sender.clone());
    let provider = "BB/GOV/1000".parse().unwrap();
    ManagementRequest { id: id.to_owned(), sender, provider, user: None, issue: None, command }
}

fn registration(id: &str, node: &Node) -> ManagementRequest {
    let command = Command::AuthCertReg {
        server: node.server.clone(),
        address: Some("node.example:5500".to_owned()),
        auth_cert: node.auth_cert.der().to_vec(),
        dry_run: false,
    };
    asking(id, node.server.owner(), command)
}

impl World {
    pub(crate) async fn node(&self, server: &str, name: &str) -> Node {
        let server: ServerId = server.parse().unwrap();
        self.authority.register_member(server.owner(), name).await.unwrap();
        let (auth_key, sign_key) = (SigningKey::generate_p256().unwrap(), SigningKey::generate_p256().unwrap());
        let sign = |profile, key| {
            let (authority, server, request) = (self.authority.clone(), server.clone(), csr(key));
            async move { authority.sign_csr(profile, &server, server.owner(), &request).await.unwrap() }
        };
        let auth_cert = sign(Profile::Auth, &auth_key).await;
        let sign_cert = sign(Profile::Sign, &sign_key).await;
        Node { server, auth_key, auth_cert, sign_key, sign_cert }
    }

    async fn good(&self, certificate: &Certificate) -> Vec<u8> {
        let ids = vec![CertId::of(certificate, &self.authority.certificate())];
        let question = OcspRequest { ids, nonce: None }.to_der().unwrap();
        self.authority.answer_ocsp(&question).await.unwrap()
    }

    async fn register(&self, id: &str, node: &Node) -> Result<u64, MservError> {
        let request = registration(id, node);
        let ocsp = self.good(&node.sign_cert).await;
        let envelope =
            Envelope::auth_cert_reg(&request, &node.auth_key, &node.sign_key, &node.sign_cert, &ocsp).unwrap();
        self.send("/authcertreg", &request, &envelope).await
    }

    /// Through the node of the management service, signed by `signer`.
    async fn manage(&self, id: &str, node: &Node, signer: &Node, command: Command) -> Result<u64, MservError> {
        let request = asking(id, node.server.owner(), command);
        let ocsp = self.good(&signer.sign_cert).await;
        let envelope = Envelope::signed(&request, &signer.sign_key, &signer.sign_cert, &ocsp).unwrap();
        self.send("/managementservice", &request, &envelope).await
    }

    async fn send(&self, path: &str, request: &ManagementRequest, envelope: &Envelope) -> Result<u64, MservError> {
        let (content_type, body) = envelope.to_http(&SeededRandom::new(1));
        let post = http::Request::post(path).header("content-type", content_type).body(Body::from(body)).unwrap();
        let router = self.authority.router().merge(self.authority.management_router());
        let (status, body) = answer(router, post).await;
        let outcome = read_response(request, &body);
        assert_eq!(status == StatusCode::OK, outcome.is_ok(), "{status} {outcome:?}");
        outcome
    }

    pub(crate) async fn newest(&self) -> SharedParams {
        self.shared().await
    }

    async fn registered(&self, node: &Node) -> bool {
        self.newest().await.servers.iter().any(|server| {
            server.id == node.server && server.auth_cert_hashes.contains(&node.auth_cert.sha256().to_vec())
        })
    }

    /// The tax office's node, registered as X-Road's nodes do it.
    async fn joined(&self) -> Node {
        let node = self.node("BB/GOV/1002/node-1", "Impôts").await;
        let id = self.register("join", &node).await.unwrap();
        self.authority.desk("Awa").approve(i64::try_from(id).unwrap()).await.unwrap();
        node
    }
}

fn code_of(error: MservError) -> String {
    match error {
        MservError::Fault { code, .. } => code,
        other => unreachable!("{other}"),
    }
}

#[tokio::test]
async fn a_registration_waits_for_an_operator_and_the_same_message_is_the_same_request() {
    for world in worlds().await {
        let node = world.node("BB/GOV/1002/node-1", "Impôts").await;
        let id = world.register("m-1", &node).await.unwrap();
        assert_eq!(world.register("m-1", &node).await, Ok(id));
        assert_eq!(code_of(world.register("m-2", &node).await.unwrap_err()), "management_request_exists");
        assert!(!world.registered(&node).await);

        let desk = world.authority.desk("Awa");
        let waiting = desk.requests(Some(RequestState::Waiting), None).await.unwrap();
        assert_eq!(waiting.len(), 1);
        let approved = desk.approve(waiting.first().unwrap().id).await.unwrap();
        assert_eq!((approved.state, approved.decided_by.as_deref()), (RequestState::Approved, Some("Awa")));
        assert!(world.registered(&node).await);
        let shared = world.newest().await;
        assert_eq!(shared.servers.first().unwrap().address.as_deref(), Some("node.example:5500"));
        let owners = shared.groups.iter().find(|group| group.code == "security-server-owners").unwrap();
        assert_eq!(owners.members, ["BB/GOV/1002".parse().unwrap()]);

        assert_eq!(world.register("m-1", &node).await, Ok(id), "the same message after the decision too");
        assert!(world.register("m-3", &node).await.is_err(), "the certificate is registered");
        assert!(matches!(desk.approve(approved.id).await, Err(AuthorityError::NotPending { .. })));
    }
}

#[tokio::test]
async fn a_declined_registration_changes_nothing_and_may_be_asked_for_again() {
    for world in worlds().await {
        let node = world.node("BB/GOV/1002/node-1", "Impôts").await;
        let id = i64::try_from(world.register("m-1", &node).await.unwrap()).unwrap();
        let declined = world.authority.desk("Awa").decline(id, "unknown address").await.unwrap();
        assert_eq!(declined.reason.as_deref(), Some("unknown address"));
        assert!(!world.registered(&node).await);
        assert!(world.register("m-2", &node).await.is_ok());
    }
}

#[tokio::test]
async fn where_both_sides_ask_they_agree_whoever_was_first() {
    for world in worlds().await {
        let desk = world.authority.desk("Awa");
        let first = world.node("BB/GOV/1002/node-1", "Impôts").await;
        let ours = |node: &Node| Command::AuthCertReg {
            server: node.server.clone(),
            address: None,
            auth_cert: node.auth_cert.der().to_vec(),
            dry_run: false,
        };
        let asked: Request = desk.file(&ours(&first)).await.unwrap();
        assert_eq!((asked.origin, asked.state), (Origin::Authority, RequestState::Waiting));
        assert!(matches!(desk.file(&ours(&first)).await, Err(AuthorityError::RequestExists(_))));
        world.register("m-1", &first).await.unwrap();
        assert!(world.registered(&first).await, "the node's request meets ours: no operator is needed");
        assert_eq!(desk.request(asked.id).await.unwrap().state, RequestState::Approved);

        let second = world.node("BB/COM/2001/node-1", "Banque").await;
        let id = i64::try_from(world.register("m-2", &second).await.unwrap()).unwrap();
        let complement = desk.file(&ours(&second)).await.unwrap();
        assert_eq!((complement.state, complement.complements), (RequestState::Submitted, Some(id)));
        assert!(!world.registered(&second).await, "the operator still says yes");
        desk.approve(complement.id).await.unwrap();
        assert!(world.registered(&second).await);
        assert_eq!(desk.request(id).await.unwrap().state, RequestState::Approved);
    }
}

#[tokio::test]
async fn a_client_is_registered_stopped_renamed_and_deleted() {
    for world in worlds().await {
        let node = world.joined().await;
        let (server, client) = (server(), fisc());
        let name = Some("Déclarations".to_owned());
        let wish = Command::ClientReg { server: server.clone(), client: client.clone(), subsystem_name: name };
        let id = world.manage("c-1", &node, &node, wish.clone()).await.unwrap();
        assert!(world.newest().await.servers.first().unwrap().clients.is_empty());
        world.authority.desk("Awa").approve(i64::try_from(id).unwrap()).await.unwrap();
        let clients = async || world.newest().await.servers.first().unwrap().clients.clone();
        let subsystem = async || world.newest().await.members.first().unwrap().subsystems.first().unwrap().clone();
        assert_eq!(clients().await, [fisc()]);
        assert_eq!(subsystem().await.name.as_deref(), Some("Déclarations"));
        let again = world.manage("c-2", &node, &node, wish.clone()).await.unwrap_err();
        assert_eq!(code_of(again), "management_request_client_already_registered");

        let disable = Command::ClientDisable { server: server.clone(), client: client.clone() };
        world.manage("c-3", &node, &node, disable).await.unwrap();
        assert!(clients().await.is_empty());
        let enable = Command::ClientEnable { server: server.clone(), client: client.clone() };
        world.manage("c-4", &node, &node, enable).await.unwrap();
        assert_eq!(clients().await, [fisc()]);
        let rename = Command::ClientRename {
            server: server.clone(),
            client: client.clone(),
            subsystem_name: "Taxes".to_owned(),
        };
        world.manage("c-5", &node, &node, rename).await.unwrap();
        assert_eq!(subsystem().await.name.as_deref(), Some("Taxes"));
        let delete = Command::ClientDeletion { server: server.clone(), client: client.clone() };
        world.manage("c-6", &node, &node, delete.clone()).await.unwrap();
        assert!(clients().await.is_empty());
        assert!(world.manage("c-7", &node, &node, delete.clone()).await.is_err());

        let id = world.manage("c-8", &node, &node, wish).await.unwrap();
        world.manage("c-9", &node, &node, delete).await.unwrap();
        let revoked = world.authority.desk("Awa").request(i64::try_from(id).unwrap()).await.unwrap();
        assert_eq!(revoked.state, RequestState::Revoked, "a deletion takes a waiting registration back");
    }
}

#[tokio::test]
async fn a_node_that_is_registered_again_finds_what_was_stopped_still_stopped_and_names_as_they_were() {
    for world in worlds().await {
        let (_, auth) = world.enrol().await;
        let desk = world.authority.desk("Awa");
        let (server, client) = (server(), fisc());
        let other: ClientId = "BB/GOV/1002/customs".parse().unwrap();
        desk.register_subsystem(&other, None).await.unwrap();
        desk.file(&Command::ClientDisable { server: server.clone(), client: client.clone() }).await.unwrap();
        let clients = async || world.newest().await.servers.first().unwrap().clients.clone();
        assert!(clients().await.is_empty());

        desk.register_subsystem(&client, None).await.unwrap();
        let wanted = [client.clone(), other.clone()];
        desk.register_server(&server, "127.0.0.1:8631", &auth, &wanted).await.unwrap();
        assert_eq!(clients().await, std::slice::from_ref(&other), "nobody let the other one go on");
        let subsystem = world.newest().await.members.first().unwrap().subsystems.last().unwrap().clone();
        assert_eq!((subsystem.code.as_str(), subsystem.name.as_deref()), ("fisc", Some("Déclarations")));

        desk.file(&Command::ClientEnable { server: server.clone(), client: client.clone() }).await.unwrap();
        assert_eq!(clients().await, wanted.iter().rev().cloned().collect::<Vec<_>>());
        desk.register_server(&server, "127.0.0.1:8631", &auth, std::slice::from_ref(&client)).await.unwrap();
        assert_eq!(clients().await, [client], "whoever is not named any more is no client any more");
    }
}

#[tokio::test]
async fn a_client_of_another_member_needs_that_members_signature() {
    for world in worlds().await {
        let node = world.joined().await;
        let bank = world.node("BB/COM/2001/node-1", "Banque").await;
        let client: ClientId = "BB/COM/2001/credit".parse().unwrap();
        let wish = Command::ClientReg { server: server(), client: client.clone(), subsystem_name: None };
        assert_eq!(code_of(world.manage("b-1", &node, &node, wish.clone()).await.unwrap_err()), "invalid_request");
        let id = world.manage("b-2", &node, &bank, wish).await.unwrap();
        world.authority.desk("Awa").approve(i64::try_from(id).unwrap()).await.unwrap();
        assert_eq!(world.newest().await.servers.first().unwrap().clients, [client]);
    }
}

#[tokio::test]
async fn a_node_moves_rests_and_gives_a_certificate_back() {
    for world in worlds().await {
        let node = world.joined().await;
        let first = async || world.newest().await.servers.first().unwrap().clone();
        let moved = Command::AddressChange { server: server(), address: "192.0.2.7".to_owned() };
        world.manage("a-1", &node, &node, moved).await.unwrap();
        assert_eq!(first().await.address.as_deref(), Some("192.0.2.7"));
        let crooked = Command::AddressChange { server: server(), address: "http://x/".to_owned() };
        assert!(world.manage("a-2", &node, &node, crooked).await.is_err());
        let rest = Command::MaintenanceModeEnable { server: server(), message: Some("Retour à 18 h".to_owned()) };
        world.manage("a-3", &node, &node, rest).await.unwrap();
        assert_eq!(first().await.maintenance.as_deref(), Some("Retour à 18 h"));
        world.manage("a-4", &node, &node, Command::MaintenanceModeDisable { server: server() }).await.unwrap();
        assert_eq!(first().await.maintenance, None);
        let back = Command::AuthCertDeletion { server: server(), auth_cert: node.auth_cert.der().to_vec() };
        world.manage("a-5", &node, &node, back).await.unwrap();
        assert!(first().await.auth_cert_hashes.is_empty());
    }
}

#[tokio::test]
async fn a_node_changes_its_owner_after_an_approval() {
    for world in worlds().await {
        let node = world.joined().await;
        let bank = world.node("BB/COM/2001/node-9", "Banque").await;
        let new_owner: ClientId = "BB/COM/2001".parse().unwrap();
        let change = Command::OwnerChange { server: server(), client: new_owner.clone() };
        assert!(world.manage("o-1", &node, &bank, change.clone()).await.is_err(), "it is no client yet");
        let join = Command::ClientReg { server: server(), client: new_owner.clone(), subsystem_name: None };
        let desk = world.authority.desk("Awa");
        let id = world.manage("o-2", &node, &bank, join).await.unwrap();
        desk.approve(i64::try_from(id).unwrap()).await.unwrap();
        let id = world.manage("o-3", &node, &bank, change).await.unwrap();
        assert_eq!(world.newest().await.servers.first().unwrap().id, server());
        desk.approve(i64::try_from(id).unwrap()).await.unwrap();
        let shared = world.newest().await;
        let moved = shared.servers.first().unwrap();
        assert_eq!(moved.id, "BB/COM/2001/node-1".parse().unwrap());
        assert_eq!(moved.clients, [ClientId::of_member(member())], "the owner before is a client");
        assert_eq!(moved.auth_cert_hashes, [node.auth_cert.sha256().to_vec()]);
        let owners = shared.groups.iter().find(|group| group.code == "security-server-owners").unwrap();
        assert_eq!(owners.members, [new_owner]);
    }
}

#[tokio::test]
async fn the_management_service_itself_cannot_be_stopped() {
    for world in worlds().await {
        let node = world.node("BB/GOV/1000/node-0", "Agence").await;
        let id = world.register("g-1", &node).await.unwrap();
        world.authority.desk("Awa").approve(i64::try_from(id).unwrap()).await.unwrap();
        let rest = Command::MaintenanceModeEnable { server: node.server.clone(), message: None };
        assert_eq!(code_of(world.manage("g-2", &node, &node, rest).await.unwrap_err()), "invalid_request");
        let stop = Command::ClientDisable { server: node.server.clone(), client: "BB/GOV/1000".parse().unwrap() };
        assert!(world.manage("g-3", &node, &node, stop).await.is_err());
    }
}

#[tokio::test]
async fn each_door_takes_its_own_requests_and_refusals_have_their_codes() {
    for world in worlds().await {
        let node = world.joined().await;
        let request = registration("d-1", &node);
        let ocsp = world.good(&node.sign_cert).await;
        let envelope =
            Envelope::auth_cert_reg(&request, &node.auth_key, &node.sign_key, &node.sign_cert, &ocsp).unwrap();
        assert!(world.send("/managementservice", &request, &envelope).await.is_err());
        let delete = asking(
            "d-2",
            node.server.owner(),
            Command::AuthCertDeletion { server: server(), auth_cert: node.auth_cert.der().to_vec() },
        );
        let bare = Envelope { soap: delete.to_soap(), proof: None, signer: None };
        assert!(world.send("/authcertreg", &delete, &bare).await.is_err(), "nobody vouches for the sender here");
        assert!(world.registered(&node).await);

        let other = world.node("BB/COM/2001/node-1", "Banque").await;
        let stolen = Envelope::auth_cert_reg(
            &registration("d-3", &other),
            &node.auth_key,
            &other.sign_key,
            &other.sign_cert,
            &world.good(&other.sign_cert).await,
        );
        let refused = world.send("/authcertreg", &registration("d-3", &other), &stolen.unwrap()).await;
        assert_eq!(code_of(refused.unwrap_err()), "invalid_signature_value");
        world.authority.revoke(&other.sign_cert).await.unwrap();
        assert_eq!(code_of(world.register("d-4", &other).await.unwrap_err()), "cert_validation");
        let unknown: ServerId = "BB/GOV/1002/node-7".parse().unwrap();
        let moved = Command::AddressChange { server: unknown, address: "host".to_owned() };
        let refused = world.manage("d-5", &node, &node, moved).await.unwrap_err();
        assert_eq!(code_of(refused), "management_request_server_not_found");

        let dry = Command::AuthCertReg {
            server: "BB/GOV/1002/node-2".parse().unwrap(),
            address: Some("host".to_owned()),
            auth_cert: node.auth_cert.der().to_vec(),
            dry_run: true,
        };
        let dry = asking("d-6", node.server.owner(), dry);
        let ocsp = world.good(&node.sign_cert).await;
        let envelope = Envelope::auth_cert_reg(&dry, &node.auth_key, &node.sign_key, &node.sign_cert, &ocsp).unwrap();
        assert_eq!(world.send("/authcertreg", &dry, &envelope).await, Ok(0), "checked only");
    }
}

#[tokio::test]
async fn what_members_ask_for_is_taken_while_strangers_shout() {
    for world in worlds().await {
        let node = world.joined().await;
        for _ in 0..70 {
            let rubbish = http::Request::post("/authcertreg").header("content-type", "text/xml");
            answer(world.authority.router(), rubbish.body(Body::from("<rubbish")).unwrap()).await;
        }
        let moved = Command::AddressChange { server: server(), address: "192.0.2.7".to_owned() };
        world.manage("s-1", &node, &node, moved).await.unwrap();
    }
}

#[tokio::test]
async fn strangers_are_limited_in_size_and_number() {
    let elsewhere: SocketAddr = "192.0.2.9:40000".parse().unwrap();
    for world in worlds().await {
        let post = |body: Vec<u8>| {
            let request = http::Request::post("/authcertreg").header("content-type", "text/xml");
            answer(world.authority.router(), request.body(Body::from(body)).unwrap())
        };
        assert_eq!(post(vec![b'x'; 120_000]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
        let mut statuses = Vec::new();
        for _ in 0..70 {
            statuses.push(post(b"<rubbish".to_vec()).await.0);
        }
        assert_eq!(statuses.first(), Some(&StatusCode::INTERNAL_SERVER_ERROR));
        assert_eq!(statuses.last(), Some(&StatusCode::TOO_MANY_REQUESTS));
        let from_elsewhere = http::Request::post("/authcertreg").extension(ConnectInfo(elsewhere));
        let (status, _) = answer(world.authority.router(), from_elsewhere.body(Body::from("<rubbish")).unwrap()).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "others are not kept waiting");
        world.clock.advance(Duration::from_mins(5));
        assert_eq!(post(b"<rubbish".to_vec()).await.0, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(world.clock.now().seconds() > 0);
    }
}
