//! The quorum policies of the federation's logs: set by a security officer, told by the signed configuration.

use authority::Role;
use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::Value;
use trust::globalconf::{
    ConfigurationVersion, PRIVATE_PARAMETERS, SHARED_PARAMETERS, TRANSPARENCY_LOGS, TransparencyLogs, read_private,
    read_shared,
};
use trust::keys::SigningKey;
use trust::note::{Cosigner, NoteSigner};

use crate::{World, answer, worlds};

/// A log that two of three witnesses must vouch for.
fn policy(origin: &str) -> String {
    let log = NoteSigner::new(origin, SigningKey::generate_ed25519().unwrap()).unwrap().verifier();
    let witnesses = ["bank", "court", "university"].map(|name| {
        let key = SigningKey::generate_ed25519().unwrap();
        let verifier = Cosigner::ed25519(format!("{name}.example/witness"), key).unwrap().verifier();
        format!("witness {name} {verifier} http://{name}.example\n")
    });
    format!("log {log} http://{origin}\n{}group two 2 bank court university\nquorum two\n", witnesses.concat())
}

impl World {
    async fn put_logs(&self, key: &str, policy: &str) -> (StatusCode, String) {
        let request = Request::post("/api/v1/logs").header("authorization", format!("Bearer {key}"));
        let request = request.body(Body::from(policy.to_owned())).unwrap();
        let (status, body) = answer(self.authority.operator_router(), request).await;
        (status, String::from_utf8(body).unwrap())
    }
}

#[tokio::test]
async fn a_quorum_that_a_security_officer_set_stands_in_every_version_of_the_configuration() {
    for world in worlds().await {
        let before = world.directory("/internalconf?version=6").await.unwrap();
        assert!(before.part(TRANSPARENCY_LOGS, "BB").is_none(), "a federation without logs has no such part");
        let (officer, reader) = (world.key(&[Role::SecurityOfficer]).await, world.key(&[Role::Observer]).await);
        let first = policy("log.example/state");
        assert_eq!(world.put_logs(&reader, &first).await.0, StatusCode::FORBIDDEN);
        assert_eq!(world.put_logs("rubbish", &first).await.0, StatusCode::UNAUTHORIZED);
        let (status, said) = world.put_logs(&officer, &first.replace("quorum two", "quorum three")).await;
        assert!(status == StatusCode::BAD_REQUEST && said.contains("not defined above"), "{said}");
        let (status, said) = world.put_logs(&officer, &first.replace(" http://log.example/state", "")).await;
        assert!(status == StatusCode::BAD_REQUEST && said.contains("no address"), "{said}");
        let (status, said) =
            world.put_logs(&officer, &first.replace("http://log.example", "https://log.example")).await;
        assert!(status == StatusCode::BAD_REQUEST && said.contains("http://HOST"), "{said}");
        let second = Cosigner::ed25519("bank.example/witness", SigningKey::generate_ed25519().unwrap()).unwrap();
        let twice = format!("witness bank2 {}\ngroup two 2 bank bank2 ", second.verifier());
        let (status, said) = world.put_logs(&officer, &first.replace("group two 2 bank ", &twice)).await;
        assert!(status == StatusCode::BAD_REQUEST && said.contains("count as two"), "{said}");
        assert_eq!(world.put_logs(&officer, &first).await.0, StatusCode::OK);
        for version in ConfigurationVersion::ALL {
            let directory = world.directory(&format!("/internalconf?version={}", version.number())).await.unwrap();
            let logs = TransparencyLogs::read(&world.file(&directory, TRANSPARENCY_LOGS).await, "BB").unwrap();
            assert_eq!(logs.logs[0].policy().to_string(), first, "version {}", version.number());
            // What X-Road's nodes read is where it was.
            read_shared(&world.file(&directory, SHARED_PARAMETERS).await).unwrap();
            read_private(&world.file(&directory, PRIVATE_PARAMETERS).await).unwrap();
        }
        let external = world.directory("/externalconf?version=6").await.unwrap();
        assert!(external.part(TRANSPARENCY_LOGS, "BB").is_none(), "other instances get the shared part only");
    }
}

#[tokio::test]
async fn a_quorum_is_changed_and_a_log_removed_and_the_audit_tells_by_whom() {
    for world in worlds().await {
        let key = world.key(&[Role::SecurityOfficer]).await;
        let (state, bank) = (policy("log.example/state"), policy("log.example/bank"));
        for text in [&state, &bank, &state.replace("group two 2", "group two 3")] {
            assert_eq!(world.put_logs(&key, text).await.0, StatusCode::OK);
        }
        let (_, logs) = world.operate(&key, "get", "/logs", &Value::Null).await;
        let told: Vec<&str> = logs.as_array().unwrap().iter().map(|log| log["origin"].as_str().unwrap()).collect();
        assert_eq!(told, ["log.example/bank", "log.example/state"]);
        assert!(logs[1]["policy"].as_str().unwrap().contains("group two 3 bank court university"));
        for (path, status) in
            [("/logs/log.example/bank", StatusCode::NO_CONTENT), ("/logs/log.example/bank", StatusCode::NOT_FOUND)]
        {
            assert_eq!(world.operate(&key, "delete", path, &Value::Null).await.0, status);
        }
        let directory = world.directory("/internalconf?version=5").await.unwrap();
        let logs = TransparencyLogs::read(&world.file(&directory, TRANSPARENCY_LOGS).await, "BB").unwrap();
        assert_eq!(logs.logs.len(), 1);
        let acts = world.authority.desk("operator").audit(None).await.unwrap();
        let act = acts.iter().find(|act| act.action == "log.put").unwrap();
        assert_eq!(act.detail, "quorum two; group two 3 bank court university; witnesses bank court university");
        assert!(acts.iter().any(|act| act.action == "log.delete" && act.subject == "log.example/bank"));
    }
}
