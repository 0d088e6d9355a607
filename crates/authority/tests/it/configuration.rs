use std::time::Duration;

use civic::{Clock, Timestamp};
use http::StatusCode;
use trust::globalconf::{
    Anchor, ConfigurationVersion, Directory, DirectoryError, PRIVATE_PARAMETERS, SHARED_PARAMETERS, SharedParams,
    TrustDir, read_anchor, read_private, read_shared,
};

use crate::{World, fisc, member, server, worlds};

impl World {
    pub(crate) fn anchor(&self) -> Anchor {
        read_anchor(self.authority.anchor().as_bytes()).unwrap()
    }

    pub(crate) async fn directory(&self, path: &str) -> Result<Directory, DirectoryError> {
        let (status, bytes) = self.get(path).await;
        assert_eq!(status, StatusCode::OK);
        let anchor = self.anchor();
        Directory::verify(&bytes, &anchor.sources.first().unwrap().certs, self.clock.now())
    }

    /// What a node does: the signed directory, then its parts, each compared with its digest.
    pub(crate) async fn file(&self, directory: &Directory, identifier: &str) -> Vec<u8> {
        let part = directory.part(identifier, "BB").unwrap();
        let (status, bytes) = self.get(&part.location).await;
        assert_eq!(status, StatusCode::OK, "{}", part.location);
        part.check(&bytes).unwrap();
        bytes
    }

    pub(crate) async fn shared(&self) -> SharedParams {
        let directory = self.directory("/internalconf?version=5").await.unwrap();
        read_shared(&self.file(&directory, SHARED_PARAMETERS).await).unwrap()
    }
}

#[tokio::test]
async fn what_is_registered_stands_in_the_signed_configuration() {
    for world in worlds().await {
        let (_, auth) = world.enrol().await;
        let anchor = world.anchor();
        assert_eq!(anchor.sources.first().unwrap().download_url, "http://127.0.0.1:8604/internalconf");
        let directory = world.directory("/internalconf?version=5").await.unwrap();
        assert_eq!(directory.version, Some(5));
        assert_eq!(directory.expires, world.clock.now().plus(Duration::from_mins(10)));
        let shared = world.shared().await;
        assert_eq!(shared.instance, "BB");
        let registered = shared.members.first().unwrap();
        assert_eq!((&registered.id, registered.name.as_str()), (&member(), "Impôts"));
        assert_eq!(registered.subsystems.first().unwrap().code, "fisc");
        let node = shared.servers.first().unwrap();
        assert_eq!((&node.id, node.address.as_deref()), (&server(), Some("127.0.0.1:8631")));
        assert_eq!(node.clients, [fisc()]);
        assert_eq!(node.auth_cert_hashes, [auth.sha256().to_vec()]);
        assert_eq!(shared.approved_tsas.first().unwrap().url, "http://127.0.0.1:8604/tsa");
        let private = read_private(&world.file(&directory, PRIVATE_PARAMETERS).await).unwrap();
        assert_eq!(private.time_stamping_interval_s, 60);
    }
}

#[tokio::test]
async fn every_version_is_served_and_the_oldest_to_those_who_name_none() {
    for world in worlds().await {
        let (_, auth) = world.enrol().await;
        for version in ConfigurationVersion::ALL {
            let number = version.number();
            let directory = world.directory(&format!("/internalconf?version={number}")).await.unwrap();
            assert_eq!(directory.version, Some(number));
            let part = directory.part(SHARED_PARAMETERS, "BB").unwrap();
            assert!(part.location.starts_with(&format!("/V{number}/")), "{}", part.location);
            let shared = read_shared(&world.file(&directory, SHARED_PARAMETERS).await).unwrap();
            let node = shared.servers.first().unwrap();
            let hash = if number == 2 { auth.sha1().to_vec() } else { auth.sha256().to_vec() };
            assert_eq!(node.auth_cert_hashes, [hash], "version {number}");
            assert_eq!(shared.sources.is_empty(), number == 2);
            let named = shared.members.first().unwrap().subsystems.first().unwrap().name.is_some();
            assert_eq!(named, number >= 5, "names of subsystems in version {number}");
            assert_eq!(shared.approved_tsas.first().unwrap().cost.is_some(), number == 6);
            read_private(&world.file(&directory, PRIVATE_PARAMETERS).await).unwrap();
        }
        let oldest = world.directory("/internalconf").await.unwrap();
        assert_eq!(oldest.version, Some(2));
    }
}

#[tokio::test]
async fn other_instances_get_the_shared_part_only_and_other_versions_nothing() {
    for world in worlds().await {
        let external = world.directory("/externalconf?version=5").await.unwrap();
        assert!(external.part(SHARED_PARAMETERS, "BB").is_some());
        assert!(external.part(PRIVATE_PARAMETERS, "BB").is_none());
        for path in [
            "/internalconf?version=1",
            "/externalconf?version=7",
            "/internalconf?version=x",
            "/V5/1/shared-params.xml",
            "/5/1/shared-params.xml",
        ] {
            assert_eq!(world.get(path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        let (status, anchor) = world.get("/external-anchor.xml").await;
        assert_eq!(status, StatusCode::OK);
        let source = read_anchor(&anchor).unwrap().sources.into_iter().next().unwrap();
        assert_eq!(source.download_url, "http://127.0.0.1:8604/externalconf");
        let (status, anchor) = world.get("/anchor.xml").await;
        assert_eq!((status, anchor), (StatusCode::OK, world.authority.anchor().into_bytes()));
    }
}

#[tokio::test]
async fn an_authority_that_stops_is_noticed_and_one_that_goes_on_is_trusted_again() {
    for world in worlds().await {
        world.clock.advance(Duration::from_mins(10));
        let stopped = world.directory("/internalconf").await;
        assert!(matches!(stopped, Err(DirectoryError::Expired { .. })), "{stopped:?}");
        let checks = world.authority.health();
        assert!(checks.first().unwrap().ask().await.is_err());
        for job in world.authority.jobs() {
            assert_eq!(job.every, Duration::from_mins(1));
            job.once().await.unwrap();
        }
        assert!(world.directory("/internalconf").await.is_ok());
        assert!(checks.first().unwrap().ask().await.is_ok());
    }
}

#[tokio::test]
async fn files_keep_their_address_while_they_do_not_change_and_live_as_long_as_a_directory_names_them() {
    for world in worlds().await {
        let before = world.directory("/internalconf").await.unwrap();
        world.clock.advance(Duration::from_mins(1));
        world.authority.publish().await.unwrap();
        let same = world.directory("/internalconf").await.unwrap();
        assert_eq!(before.parts, same.parts);
        assert!(same.expires > before.expires);

        world.authority.register_member(&member(), "Impôts").await.unwrap();
        let after = world.directory("/internalconf").await.unwrap();
        assert_ne!(before.parts, after.parts);
        let old = read_shared(&world.file(&same, SHARED_PARAMETERS).await).unwrap();
        assert!(old.members.is_empty());

        world.clock.advance(Duration::from_mins(10));
        world.authority.publish().await.unwrap();
        let gone = before.part(SHARED_PARAMETERS, "BB").unwrap();
        assert_eq!(world.get(&gone.location).await.0, StatusCode::NOT_FOUND);
        world.file(&after, SHARED_PARAMETERS).await;
    }
}

#[tokio::test]
async fn registering_again_corrects_and_does_not_double() {
    for world in worlds().await {
        let (_, auth) = world.enrol().await;
        world.authority.register_member(&member(), "Direction des impôts").await.unwrap();
        world.authority.register_server(&server(), "node.example", &auth, &[]).await.unwrap();
        let shared = world.shared().await;
        assert_eq!((shared.members.len(), shared.servers.len()), (1, 1));
        assert_eq!(shared.members.first().unwrap().name, "Direction des impôts");
        let node = shared.servers.first().unwrap();
        assert_eq!(
            (node.address.as_deref(), node.clients.len(), node.auth_cert_hashes.len()),
            (Some("node.example"), 0, 1)
        );
    }
}

#[tokio::test]
async fn a_revoked_or_expired_authentication_certificate_leaves_the_configuration() {
    for world in worlds().await {
        let (_, auth) = world.enrol().await;
        let renewed = world.authority.sign_csr(authority::Profile::Auth, &server(), &member(), &crate::request()).await;
        let renewed = renewed.unwrap();
        world.authority.register_server(&server(), "127.0.0.1:8631", &renewed, &[fisc()]).await.unwrap();
        assert_eq!(world.shared().await.servers.first().unwrap().auth_cert_hashes.len(), 2);
        world.authority.revoke(&auth).await.unwrap();
        let hashes = world.shared().await.servers.first().unwrap().auth_cert_hashes.clone();
        assert_eq!(hashes, [renewed.sha256().to_vec()]);
        world.clock.set(renewed.not_after().plus(Duration::from_secs(1)));
        world.authority.publish().await.unwrap();
        assert!(world.shared().await.servers.first().unwrap().auth_cert_hashes.is_empty());
    }
}

#[tokio::test]
async fn the_trust_folder_judges_the_certificates_of_members() {
    for world in worlds().await {
        let (sign, auth) = world.enrol().await;
        let trust = TrustDir::load(&world.authority.trust_dir_files()).unwrap();
        let now: Timestamp = world.clock.now();
        assert_eq!(trust.own_instance(), "BB");
        let own = trust.own().unwrap();
        assert_eq!(trust.server_of_auth_cert(&auth), Some(&server()));
        assert!(trust.is_client_of(&fisc(), &server()));
        assert_eq!(own.check_sign_cert(&sign, &[], now), Ok(member()));
        assert!(own.check_auth_cert(&auth, &[], now).is_ok());
        assert!(own.check_sign_cert(&auth, &[], now).is_err());
        assert!(trust.check_fresh("BB", now.plus(Duration::from_mins(11))).is_err());
        assert_eq!(own.unusable().count(), 0);
    }
}
