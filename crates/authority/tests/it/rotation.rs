use std::time::Duration;

use authority::{AuthorityError, KeyUse};
use civic::Clock;
use http::StatusCode;
use trust::globalconf::{
    Anchor, Directory, DirectoryError, PRIVATE_PARAMETERS, SHARED_PARAMETERS, read_private, read_shared,
};
use trust::ocsp::OcspStatus;
use trust::tsp::TimestampRequest;

use crate::{World, worlds};

impl World {
    /// What a node does that believes this anchor; it then believes whom the configuration names.
    async fn follow(&self, anchor: &Anchor) -> Result<Anchor, DirectoryError> {
        let (status, bytes) = self.get("/internalconf?version=6").await;
        assert_eq!(status, StatusCode::OK);
        let directory = Directory::verify(&bytes, &anchor.sources.first().unwrap().certs, self.clock.now())?;
        let shared = read_shared(&self.file(&directory, SHARED_PARAMETERS).await).unwrap();
        Ok(anchor.corrected_by(&shared, false))
    }

    pub(crate) async fn federated(&self) -> Vec<String> {
        let directory = self.directory("/internalconf?version=5").await.unwrap();
        let private = read_private(&self.file(&directory, PRIVATE_PARAMETERS).await).unwrap();
        private.anchors.into_iter().map(|anchor| anchor.instance).collect()
    }
}

#[tokio::test]
async fn a_node_with_the_old_anchor_follows_to_the_new_key_and_one_that_slept_does_not() {
    for world in worlds().await {
        let desk = world.authority.desk("Awa");
        let old = world.anchor();
        let follower = world.follow(&old).await.unwrap();
        desk.add_key(KeyUse::Configuration).await.unwrap();
        let early = desk.activate_signing_key(2).await;
        assert!(matches!(early, Err(AuthorityError::Rotation { .. })), "nobody has heard of it: {early:?}");
        let follower = world.follow(&follower).await.unwrap();
        assert_eq!(follower.sources.first().unwrap().certs.len(), 2);

        world.clock.advance(Duration::from_mins(10));
        desk.activate_signing_key(2).await.unwrap();
        let follower = world.follow(&follower).await.unwrap();
        assert!(matches!(desk.retire_signing_key(2).await, Err(AuthorityError::Rotation { .. })), "it signs");
        desk.retire_signing_key(1).await.unwrap();
        let follower = world.follow(&follower).await.unwrap();
        assert_eq!(follower.sources.first().unwrap().certs.len(), 1);
        assert_eq!(world.follow(&old).await, Err(DirectoryError::UnknownSigner), "it slept: it needs the new anchor");
        assert!(world.follow(&world.anchor()).await.is_ok());
        let keys = desk.signing_keys();
        assert_eq!(keys.iter().map(|key| (key.number, key.active)).collect::<Vec<_>>(), [(2, true)]);
    }
}

#[tokio::test]
async fn the_book_says_who_touches_a_key_before_it_is_touched_and_how_that_ended() {
    for world in worlds().await {
        let desk = world.authority.desk("Awa");
        desk.add_key(KeyUse::Configuration).await.unwrap();
        world.clock.advance(Duration::from_mins(10));
        desk.activate_signing_key(2).await.unwrap();
        // Half of the key is gone already, so retiring it fails on the way.
        std::fs::remove_file(world.keys.path().join("keys/configuration.cert.pem")).unwrap();
        assert!(desk.retire_signing_key(1).await.is_err());
        let book = desk.audit(None).await.unwrap();
        let lines: Vec<(&str, &str)> =
            book.iter().rev().map(|entry| (entry.action.as_str(), entry.detail.as_str())).collect();
        let expected = [
            ("keys.add", "begins"),
            ("keys.add", "done"),
            ("keys.activate", "begins"),
            ("keys.activate", "done"),
            ("keys.retire", "begins"),
        ];
        assert_eq!(lines.get(..5), Some(expected.as_slice()), "{lines:?}");
        assert!(lines.len() == 6 && lines.iter().all(|(action, _)| action.starts_with("keys.")), "{lines:?}");
        assert!(lines.last().is_some_and(|(_, detail)| detail.starts_with("failed: the key file")), "{lines:?}");
        assert!(book.iter().all(|entry| entry.actor == "Awa"));
    }
}

#[tokio::test]
async fn a_new_authority_issues_and_the_old_certificates_stay_good() {
    for world in worlds().await {
        let (old, _) = world.enrol().await;
        let first = world.authority.certificate();
        let desk = world.authority.desk("Awa");
        desk.add_key(KeyUse::Authority).await.unwrap();
        assert_ne!(world.authority.certificate(), first);
        let node = world.node("BB/COM/2001/node-1", "Banque").await;
        node.sign_cert.verify_signed_by(&world.authority.certificate()).unwrap();
        assert_eq!(world.status_by(&old, &first).await, OcspStatus::Good);
        assert_eq!(world.status_by(&node.sign_cert, &world.authority.certificate()).await, OcspStatus::Good);
        let shared = world.newest().await;
        assert_eq!(shared.approved_cas.len(), 2);
        let trust = trust::globalconf::TrustDir::load(&world.authority.trust_dir_files()).unwrap();
        for certificate in [&old, &node.sign_cert] {
            trust.own().unwrap().check_sign_cert(certificate, &[], world.clock.now()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_new_time_stamping_authority_stamps_and_both_are_listed() {
    for world in worlds().await {
        let first = world.authority.tsa_certificate();
        world.authority.desk("Awa").add_key(KeyUse::TimeStamping).await.unwrap();
        let request = TimestampRequest::for_data(b"data", &[1]).unwrap();
        let (_, response) = world.post("/tsa", request.to_der().unwrap()).await;
        let token = request.token(&response).unwrap();
        assert_eq!(token.verify(b"data", &[world.authority.tsa_certificate()]), Ok(world.clock.now()));
        assert!(token.verify(b"data", &[first]).is_err());
        assert_eq!(world.newest().await.approved_tsas.len(), 2);
    }
}
