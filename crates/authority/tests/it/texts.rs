//! Texts that operators and nodes write into the configuration, which every node must be able to read.

use std::time::Duration;

use authority::{Approval, Authority, AuthorityError, KeyUse, Role};
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::{ClientId, MemberId};
use http::{Request, StatusCode};
use serde_json::json;
use store::StoreError;
use trust::mserv::Command;

use crate::{World, answer, fisc, member, open, server, worlds};

/// Characters that no XML document may hold, or that people do not see.
const WRONG: [char; 4] = ['\u{B}', '\u{0}', '\u{FFFE}', '\u{85}'];

fn refuses<T: std::fmt::Debug>(verdict: Result<T, AuthorityError>, field: &str, character: char) {
    let said = verdict.unwrap_err().to_string();
    let code = format!("U+{:04X}", u32::from(character));
    assert!(said.contains(field) && said.contains(&code), "{said}: it should name the {field} and {code}");
}

impl World {
    /// As whoever changes the tables past the authority.
    async fn rename_by_other_hands(&self, name: &'static str) {
        let rename = move |tx: &mut store::Tx<'_>| {
            tx.execute("UPDATE authority_member SET name = $1", &store::params![name])?;
            Ok::<_, StoreError>(())
        };
        self.store.tx("authority.test", rename).await.unwrap();
    }

    fn metrics(&self) -> String {
        let (mut registry, mut page) = (prometheus_client::registry::Registry::default(), String::new());
        self.authority.register_metrics(&mut registry);
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        page
    }

    fn approval(&self, name: &str, url: &str) -> Approval {
        let certificate = STANDARD.encode(self.authority.tsa_certificate().der());
        Approval::Tsa { name: name.to_owned(), certificate, url: url.to_owned(), cost: None }
    }
}

#[tokio::test]
async fn no_request_brings_a_character_into_the_configuration_that_nodes_cannot_read() {
    for world in worlds().await {
        world.enrol().await;
        let desk = world.authority.desk("Awa");
        let client: ClientId = "BB/GOV/1002/customs".parse().unwrap();
        for wrong in WRONG {
            let text = format!("Retour{wrong}demain");
            let rest = Command::MaintenanceModeEnable { server: server(), message: Some(text.clone()) };
            refuses(desk.file(&rest).await, "message", wrong);
            let name = Some(text.clone());
            let join = Command::ClientReg { server: server(), client: client.clone(), subsystem_name: name };
            refuses(desk.file(&join).await, "name of the subsystem", wrong);
            let rename = Command::ClientRename { server: server(), client: fisc(), subsystem_name: text.clone() };
            refuses(desk.file(&rename).await, "name of the subsystem", wrong);
            let moved = Command::AddressChange { server: server(), address: format!("node{wrong}.example") };
            refuses(desk.file(&moved).await, "address", wrong);
        }
        world.authority.publish().await.unwrap();
        assert_eq!(world.newest().await.servers.first().unwrap().maintenance, None);
    }
}

#[tokio::test]
async fn no_command_of_an_operator_does_either() {
    for world in worlds().await {
        let desk = world.authority.desk("Awa");
        let id: MemberId = "BB/GOV/1003".parse().unwrap();
        for wrong in WRONG {
            let text = format!("Retour{wrong}demain");
            refuses(desk.register_member(&id, &text).await, "name", wrong);
            refuses(desk.put_group("banks", &text).await, "description", wrong);
            refuses(desk.approve_authority(&world.approval(&text, "http://tsa")).await, "name", wrong);
            refuses(desk.approve_authority(&world.approval("TSA", &text)).await, "address", wrong);
        }
        let key = world.key(&[Role::RegistrationOfficer]).await;
        let wish = json!({"kind": "maintenanceModeEnable", "server": server(), "message": "\u{B}"});
        let (status, answer) = world.operate(&key, "post", "/requests", &wish).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains("U+000B"), "{answer}");
    }
}

#[tokio::test]
async fn what_no_node_could_read_is_not_signed_and_nodes_go_on_with_the_last_good_configuration() {
    for world in worlds().await {
        world.enrol().await;
        let good = world.newest().await;
        let [health] = world.authority.health().try_into().unwrap();
        world.rename_by_other_hands("Imp\u{B}ts").await;
        for _ in 0..4 {
            world.clock.advance(Duration::from_mins(5));
            let error = world.authority.publish().await.unwrap_err();
            assert!(error.to_string().contains("shared-params.xml of version 2"), "{error}");
            assert!(health.ask().await.unwrap_err().0.contains("cannot be read back"));
            assert!(world.metrics().contains("configuration_held_back 1"));
            assert_eq!(world.newest().await, good);
        }
        let desk = world.authority.desk("Awa");
        desk.add_key(KeyUse::Configuration).await.unwrap_err();
        world.clock.advance(Duration::from_mins(10));
        let unheard = desk.activate_signing_key(2).await;
        assert!(matches!(unheard, Err(AuthorityError::Rotation { .. })), "{unheard:?}");

        desk.register_member(&member(), "Trésor").await.unwrap();
        assert_eq!(world.newest().await.members.first().unwrap().name, "Trésor");
        assert_eq!(health.ask().await, Ok(()));
        assert!(world.metrics().contains("configuration_held_back 0"));
    }
}

#[tokio::test]
async fn an_authority_that_has_no_good_configuration_signs_nothing_until_its_desk_put_it_right() {
    for world in worlds().await {
        world.enrol().await;
        world.rename_by_other_hands("Imp\u{B}ts").await;
        let again = open(world.store.clone(), &world.keys, &world.clock).await.unwrap();
        let [health] = again.health().try_into().unwrap();
        assert!(health.ask().await.unwrap_err().0.contains("cannot be read back"));
        assert!(matches!(again.publish().await, Err(AuthorityError::Unreadable { .. })));
        assert_eq!(directory(&again).await, StatusCode::SERVICE_UNAVAILABLE);

        again.desk("Awa").register_member(&member(), "Trésor").await.unwrap();
        assert_eq!(health.ask().await, Ok(()));
        assert_eq!(directory(&again).await, StatusCode::OK);
    }
}

/// How the authority answers to who asks for the configuration.
async fn directory(authority: &Authority) -> StatusCode {
    let request = Request::get("/internalconf?version=6").body(Body::empty()).unwrap();
    answer(authority.router(), request).await.0
}
