//! Nodes that join by a code, and what the book says of it.

use authority::{AuthorityError, Newcomer};
use civic::ClientId;
use trust::mserv::Command;

use crate::{World, fisc, member, request, server, worlds};

fn newcomer() -> Newcomer {
    Newcomer {
        code: "3f1c-77b2-09ae-d514".to_owned(),
        server: server(),
        member_name: "Impôts".to_owned(),
        address: "node.example:5500".to_owned(),
        clients: vec![fisc()],
        sign_request: request(),
        auth_request: request(),
    }
}

fn customs() -> ClientId {
    "BB/GOV/1002/customs".parse().unwrap()
}

impl World {
    async fn clients(&self) -> Vec<ClientId> {
        self.newest().await.servers.first().unwrap().clients.clone()
    }

    /// The newest first: who, what, with which values.
    async fn book(&self) -> Vec<(String, String, String)> {
        let book = self.authority.desk("reader").audit(None).await.unwrap();
        book.into_iter().map(|entry| (entry.actor, entry.action, entry.detail)).collect()
    }
}

#[tokio::test]
async fn a_newcomer_is_in_the_configuration_after_one_approval_and_the_book_has_one_line_with_the_code() {
    for world in worlds().await {
        let (sign, auth) = world.authority.desk("Awa").admit(&newcomer()).await.unwrap();
        assert!(sign.is_sign_certificate() && auth.is_auth_certificate());
        let shared = world.newest().await;
        let node = shared.servers.first().unwrap();
        assert_eq!((node.address.as_deref(), &node.clients), (Some("node.example:5500"), &vec![fisc()]));
        assert_eq!(node.auth_cert_hashes, [auth.sha256().to_vec()]);
        assert_eq!(shared.members.first().unwrap().name, "Impôts");
        let book = world.book().await;
        let [(actor, action, detail)] = book.as_slice() else { unreachable!("{book:?}") };
        assert_eq!((actor.as_str(), action.as_str()), ("Awa", "join.approve"));
        assert!(detail.starts_with("code 3f1c-77b2-09ae-d514: Impôts at node.example:5500 with [fisc]"), "{detail}");
        assert!(detail.contains(&hex::encode(sign.serial())) && detail.contains(&hex::encode(auth.serial())));
    }
}

#[tokio::test]
async fn a_node_that_comes_back_keeps_what_was_registered_stopped_or_named_for_it() {
    for world in worlds().await {
        let desk = world.authority.desk("Awa");
        desk.admit(&Newcomer { clients: vec![fisc(), customs()], ..newcomer() }).await.unwrap();
        desk.file(&Command::ClientDisable { server: server(), client: fisc() }).await.unwrap();
        let name = "Déclarations".to_owned();
        desk.file(&Command::ClientRename { server: server(), client: fisc(), subsystem_name: name }).await.unwrap();

        let again = Newcomer { address: "192.0.2.7".to_owned(), sign_request: request(), ..newcomer() };
        let (_, auth) = desk.admit(&again).await.unwrap();
        assert_eq!(world.clients().await, [customs()], "what was stopped is stopped, what was not asked for stays");
        let shared = world.newest().await;
        let node = shared.servers.first().unwrap();
        assert_eq!(node.address.as_deref(), Some("192.0.2.7"));
        assert!(node.auth_cert_hashes.contains(&auth.sha256().to_vec()));
        let named: Vec<_> = shared.members.iter().flat_map(|member| &member.subsystems).map(|one| &one.name).collect();
        assert_eq!(named, [&None, &Some("Déclarations".to_owned())]);

        desk.file(&Command::ClientEnable { server: server(), client: fisc() }).await.unwrap();
        assert_eq!(world.clients().await, [customs(), fisc()]);
    }
}

#[tokio::test]
async fn whoever_joins_renames_nobody_and_brings_nobody_else() {
    for world in worlds().await {
        let desk = world.authority.desk("Awa");
        desk.register_member(&member(), "Trésor").await.unwrap();
        let before = world.book().await;
        let error = desk.admit(&newcomer()).await.unwrap_err();
        assert!(matches!(error, AuthorityError::OtherName { .. }), "{error}");
        assert!(error.to_string().contains("`Trésor`") && error.to_string().contains("`Impôts`"), "{error}");
        for foreign in ["BB/COM/2001/credit", "BB/GOV/1002"] {
            let wish = Newcomer { clients: vec![foreign.parse().unwrap()], ..newcomer() };
            assert!(matches!(desk.admit(&wish).await, Err(AuthorityError::UnknownClient(_))), "{foreign}");
        }
        let class = Newcomer { server: "BB/XXX/1/node-1".parse().unwrap(), clients: Vec::new(), ..newcomer() };
        assert!(matches!(desk.admit(&class).await, Err(AuthorityError::UnknownClass { .. })));
        assert!(world.newest().await.servers.is_empty());
        assert_eq!(world.book().await, before, "nothing was done, nothing is written");
    }
}

#[tokio::test]
async fn whoever_is_turned_away_stands_in_the_book_with_the_code_and_why() {
    for world in worlds().await {
        let desk = world.authority.desk("Awa");
        desk.turn_away(&server(), "3f1c-77b2-09ae-d514", "nobody knows them").await.unwrap();
        let line = ("Awa".into(), "join.refuse".into(), "code 3f1c-77b2-09ae-d514: nobody knows them".into());
        assert_eq!(world.book().await, [line]);
    }
}
