use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::Timestamp;
use civic::testing::SeededRandom;
use proptest::prelude::*;
use trust::cert::{
    Certificate, CertificateProfile, CertificateSpec, DistinguishedName, MemberNameProfile, NameAttribute,
};
use trust::digest::DigestAlgorithm;
use trust::globalconf::{
    AcmeServer, Anchor, AnchorSource, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationSource,
    ConfigurationVersion::{self, V2, V3, V4, V5, V6},
    CostType, CsrFormat, Directory, DirectoryError, DirectoryPart, GlobalGroup, ManagementService, Member, MemberClass,
    OcspInfo, PRIVATE_PARAMETERS, PrivateParams, SHARED_PARAMETERS, SecurityServer, SharedParams, Subsystem, TrustDir,
    TrustDirError, read_anchor, read_private, read_shared, write_anchor, write_private, write_shared,
};
use trust::keys::SigningKey;

use crate::samples;

fn nation() -> SharedParams {
    let subsystem = |code: &str, name: &str| Subsystem { code: code.to_owned(), name: Some(name.to_owned()) };
    let server = |id: &str, port: u16, hash: u8, clients: &[&str]| SecurityServer {
        id: id.parse().unwrap(),
        address: Some(format!("127.0.0.1:{port}")),
        auth_cert_hashes: vec![vec![hash; 32], vec![hash; 20]],
        clients: clients.iter().map(|client| client.parse().unwrap()).collect(),
        maintenance: None,
    };
    SharedParams {
        sources: vec![ConfigurationSource {
            address: "127.0.0.1:8604".to_owned(),
            internal_certs: vec![b"internal".to_vec()],
            external_certs: vec![b"external".to_vec(), b"next".to_vec()],
        }],
        approved_cas: vec![approved_ca()],
        approved_tsas: vec![ApprovedTsa {
            name: "TSA".to_owned(),
            url: "http://127.0.0.1:8604/tsa".to_owned(),
            cert: b"tsa".to_vec(),
            cost: Some(CostType::Paid),
        }],
        members: vec![
            Member {
                id: "BB/GOV/1002".parse().unwrap(),
                name: "Impôts".to_owned(),
                subsystems: vec![subsystem("fisc", "Comptes fiscaux")],
            },
            Member {
                id: "BB/COM/2001".parse().unwrap(),
                name: "Banque du Fleuve".to_owned(),
                subsystems: vec![Subsystem { code: "credit".to_owned(), name: None }],
            },
        ],
        servers: vec![
            server("BB/GOV/1002/node-1", 8631, 1, &["BB/GOV/1002/fisc"]),
            SecurityServer {
                maintenance: Some("Retour à 18 h".to_owned()),
                ..server("BB/COM/2001/node-1", 8641, 2, &["BB/COM/2001/credit"])
            },
        ],
        groups: vec![GlobalGroup {
            code: "banks".to_owned(),
            description: "Banques".to_owned(),
            members: vec!["BB/COM/2001".parse().unwrap(), "BB/COM/2001/credit".parse().unwrap()],
        }],
        member_classes: vec![
            MemberClass { code: "GOV".to_owned(), description: "Administration".to_owned() },
            MemberClass { code: "COM".to_owned(), description: "Entreprise".to_owned() },
        ],
        ..SharedParams::empty("BB")
    }
}

fn approved_ca() -> ApprovedCa {
    ApprovedCa {
        name: "CA & <demo>".to_owned(),
        authentication_only: false,
        top: CaInfo {
            cert: b"root".to_vec(),
            ocsp: vec![OcspInfo {
                url: "http://127.0.0.1:8604/ocsp".to_owned(),
                cert: Some(b"ocsp".to_vec()),
                cost: Some(CostType::Free),
            }],
        },
        intermediates: vec![CaInfo { cert: b"sub".to_vec(), ocsp: Vec::new() }],
        certificate_profile: "ee.ria.xroad.common.certificateprofile.impl.FiVRKCertificateProfileInfoProvider"
            .to_owned(),
        csr_format: Some(CsrFormat::Pem),
        acme: Some(AcmeServer {
            directory_url: "https://ca/acme".to_owned(),
            ip_address: Some("192.0.2.1".to_owned()),
            authentication_profile_id: Some("auth".to_owned()),
            signing_profile_id: Some("sign".to_owned()),
        }),
    }
}

fn private() -> PrivateParams {
    PrivateParams {
        instance: "BB".to_owned(),
        anchors: vec![anchor()],
        management: ManagementService {
            auth_cert_reg_address: "http://127.0.0.1:8604".to_owned(),
            auth_cert_reg_cert: None,
            provider: "BB/GOV/1000/management".parse().unwrap(),
        },
        time_stamping_interval_s: 60,
    }
}

fn anchor() -> Anchor {
    Anchor {
        generated_at: Some(Timestamp::from_seconds(1_795_300_800)),
        instance: "BB".to_owned(),
        sources: vec![AnchorSource {
            download_url: "http://127.0.0.1:8604/internalconf".to_owned(),
            certs: vec![b"internal".to_vec()],
        }],
    }
}

/// What of the nation a version has words for.
fn nation_in(version: ConfigurationVersion) -> SharedParams {
    let mut params = nation();
    for server in &mut params.servers {
        server.auth_cert_hashes.retain(|hash| hash.len() == if version == V2 { 20 } else { 32 });
        server.maintenance = server.maintenance.take().filter(|_| version >= V5);
    }
    for subsystem in params.members.iter_mut().flat_map(|member| &mut member.subsystems) {
        subsystem.name = subsystem.name.take().filter(|_| version >= V5);
    }
    for ca in &mut params.approved_cas {
        ca.csr_format = ca.csr_format.filter(|_| version >= V6);
        ca.top.ocsp.iter_mut().for_each(|ocsp| ocsp.cost = ocsp.cost.filter(|_| version >= V6));
        ca.acme = ca.acme.take().filter(|_| version >= V3);
        if let Some(acme) = ca.acme.as_mut().filter(|_| version < V4) {
            (acme.authentication_profile_id, acme.signing_profile_id) = (None, None);
        }
    }
    params.approved_tsas.iter_mut().for_each(|tsa| tsa.cost = tsa.cost.filter(|_| version >= V6));
    params.sources.retain(|_| version >= V3);
    params
}

#[test]
fn what_is_written_reads_back_as_far_as_the_version_has_words_for_it() {
    for version in ConfigurationVersion::ALL {
        let read = read_shared(write_shared(&nation(), version).as_bytes()).unwrap();
        assert_eq!(read, nation_in(version), "{version:?}");
    }
    assert_eq!(read_private(write_private(&private()).as_bytes()).unwrap(), private());
    assert_eq!(read_anchor(write_anchor(&anchor()).as_bytes()).unwrap(), anchor());
}

#[test]
fn what_is_written_validates_against_the_schemas() {
    let Some(samples) = samples::folder("schema validation of the global configuration") else { return };
    let folder = tempfile::tempdir().unwrap();
    let schemas = samples::schemas_of_configurations(&samples, folder.path());
    let empty = || SharedParams { sources: nation().sources, ..SharedParams::empty("BB") };
    let mut files = vec![
        ("private.xml".to_owned(), "v2/private-parameters.xsd".to_owned(), write_private(&private())),
        ("anchor.xml".to_owned(), "v2/private-parameters.xsd".to_owned(), write_anchor(&anchor())),
    ];
    for version in ConfigurationVersion::ALL {
        let number = version.number();
        let schema = format!("v{number}/shared-parameters.xsd");
        if !schemas.join(&schema).exists() {
            samples::left_out(&format!("the schema of version {number} is not among the samples"));
            continue;
        }
        files.push((format!("shared{number}.xml"), schema.clone(), write_shared(&nation(), version)));
        files.push((format!("empty{number}.xml"), schema, write_shared(&empty(), version)));
    }
    for (name, schema, xml) in files {
        let file = folder.path().join(name);
        std::fs::write(&file, xml).unwrap();
        let schema = schemas.join(schema);
        let arguments = ["--nonet", "--noout", "--schema", schema.to_str().unwrap(), file.to_str().unwrap()];
        let Some(output) = samples::tool("xmllint", &arguments) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_node_finds_what_it_needs() {
    let dir = TrustDir::of("BB", vec![(nation(), Some(private()), None)]).unwrap();
    let fisc = "BB/GOV/1002/fisc".parse().unwrap();
    let servers: Vec<_> = dir.servers_of_client(&fisc).collect();
    assert_eq!(servers.len(), 1);
    assert_eq!(servers.first().unwrap().transport_address(), Some(("127.0.0.1".to_owned(), 8631)));
    let node = "BB/GOV/1002/node-1".parse().unwrap();
    assert!(dir.is_client_of(&fisc, &node));
    assert!(dir.is_client_of(&"BB/GOV/1002".parse().unwrap(), &node), "the owner is always a client");
    assert!(!dir.is_client_of(&"BB/COM/2001/credit".parse().unwrap(), &node));
    assert_eq!(dir.server_of_auth_cert_hash(&[1; 32]), Some(&node));
    assert_eq!(dir.server_of_auth_cert_hash(&[9; 32]), None);
    assert_eq!(dir.member_name(fisc.member()), Some("Impôts"));
    assert!(dir.client_exists(&fisc));
    assert!(!dir.client_exists(&"BB/GOV/1002/other".parse().unwrap()));
    let own = dir.own().unwrap();
    assert_eq!(own.unusable().count(), 3, "the made-up certificates of two authorities and one stamper");
    assert_eq!(own.group("banks").unwrap().members.len(), 2);
}

#[test]
fn only_certificates_of_approved_authorities_speak_for_a_member() {
    let moment = |seconds: i64| Timestamp::from_seconds(1_795_300_800 + seconds);
    let name = |text: &str| DistinguishedName::new(&[(NameAttribute::CommonName, text)]).unwrap();
    let authority = |key: &SigningKey, text: &str| {
        Certificate::self_signed(
            key,
            &CertificateSpec {
                profile: CertificateProfile::Authority,
                serial: &[1],
                subject: name(text),
                public_key: key.public(),
                not_before: moment(0),
                not_after: moment(100_000),
                ocsp_url: None,
            },
        )
        .unwrap()
    };
    let (root_key, tls_key) = (SigningKey::generate_p256().unwrap(), SigningKey::generate_p256().unwrap());
    let (root, tls) = (authority(&root_key, "root"), authority(&tls_key, "tls"));
    let member_key = SigningKey::generate_p256().unwrap();
    let member = "BB/GOV/1002".parse().unwrap();
    let issue = |ca: &Certificate, key: &SigningKey, profile| {
        Certificate::issue(
            ca,
            key,
            &CertificateSpec {
                profile,
                serial: &[2],
                subject: MemberNameProfile::subject("BB", &member, "Impôts", "node-1").unwrap(),
                public_key: member_key.public(),
                not_before: moment(0),
                not_after: moment(1_000),
                ocsp_url: None,
            },
        )
        .unwrap()
    };
    let approved = |cert: &Certificate, authentication_only| ApprovedCa {
        authentication_only,
        top: CaInfo { cert: cert.der().to_vec(), ocsp: Vec::new() },
        intermediates: Vec::new(),
        ..nation().approved_cas.first().unwrap().clone()
    };
    let params = SharedParams { approved_cas: vec![approved(&root, false), approved(&tls, true)], ..nation() };
    let dir = TrustDir::of("BB", vec![(params, None, None)]).unwrap();
    let own = dir.own().unwrap();

    let sign = issue(&root, &root_key, CertificateProfile::Sign);
    let auth = issue(&tls, &tls_key, CertificateProfile::Auth);
    assert_eq!(own.check_sign_cert(&sign, &[], moment(10)).unwrap(), member);
    own.check_auth_cert(&auth, &[], moment(10)).unwrap();
    assert!(matches!(own.check_sign_cert(&auth, &[], moment(10)), Err(TrustDirError::Usage { .. })));
    assert!(matches!(own.check_auth_cert(&sign, &[], moment(10)), Err(TrustDirError::Usage { .. })));
    assert!(matches!(own.check_sign_cert(&sign, &[], moment(1_001)), Err(TrustDirError::Certificate(_))));
    let for_tls_only = issue(&tls, &tls_key, CertificateProfile::Sign);
    assert!(matches!(own.check_sign_cert(&for_tls_only, &[], moment(10)), Err(TrustDirError::Certificate(_))));
    let foreign_key = SigningKey::generate_p256().unwrap();
    let foreign = issue(&authority(&foreign_key, "root"), &foreign_key, CertificateProfile::Sign);
    assert!(matches!(own.check_sign_cert(&foreign, &[], moment(10)), Err(TrustDirError::Certificate(_))));
    assert_eq!(own.issuer_of(&sign).map(|ca| &ca.cert), Some(&root));
    assert_eq!(own.issuer_of(&foreign), None);
}

#[test]
fn a_national_profile_is_data_and_comes_before_ours() {
    let mut params = nation();
    let root_key = SigningKey::generate_p256().unwrap();
    let at = Timestamp::from_seconds(1_795_300_800);
    let spec = |profile, serial, subject, key| CertificateSpec {
        profile,
        serial,
        subject,
        public_key: key,
        not_before: at,
        not_after: Timestamp::from_seconds(1_795_400_000),
        ocsp_url: None,
    };
    let name = |attributes: &[(NameAttribute, &str)]| DistinguishedName::new(attributes).unwrap();
    let root_name = name(&[(NameAttribute::CommonName, "root")]);
    let root = spec(CertificateProfile::Authority, &[1], root_name, root_key.public());
    let root = Certificate::self_signed(&root_key, &root).unwrap();
    let ca = params.approved_cas.first_mut().unwrap();
    ca.top.cert = root.der().to_vec();
    ca.certificate_profile = "gov.example.NationalProfile".to_owned();
    let subject = name(&[
        (NameAttribute::Organization, "Impôts"),
        (NameAttribute::OrganizationalUnit, "GOV"),
        (NameAttribute::SerialNumber, "1002"),
    ]);
    let key = SigningKey::generate_p256().unwrap();
    let sign = spec(CertificateProfile::Sign, &[2], subject, key.public());
    let sign = Certificate::issue(&root, &root_key, &sign).unwrap();
    let dir = TrustDir::of("BB", vec![(params, None, None)]).unwrap();
    let unknown = dir.own().unwrap().check_sign_cert(&sign, &[], at);
    assert!(matches!(unknown, Err(TrustDirError::UnknownProfile { .. })), "{unknown:?}");
    let national: MemberNameProfile = serde_json::from_str(
        r#"{"class_name": "gov.example.NationalProfile", "instance": "of_configuration",
            "class": {"attribute": "organizational_unit"}, "code": {"attribute": "serial_number"}}"#,
    )
    .unwrap();
    let dir = dir.with_profiles(&[national]);
    assert_eq!(dir.own().unwrap().check_sign_cert(&sign, &[], at), Ok("BB/GOV/1002".parse().unwrap()));
}

#[test]
fn an_authentication_certificate_that_two_nodes_claim_speaks_for_neither() {
    let mut params = nation();
    let hashes = params.servers.first().unwrap().auth_cert_hashes.clone();
    params.servers.last_mut().unwrap().auth_cert_hashes = hashes;
    let dir = TrustDir::of("BB", vec![(params, None, None)]).unwrap();
    assert_eq!(dir.server_of_auth_cert_hash(&[1; 32]), None);
    let named = dir.own().unwrap().unusable().filter(|reason| reason.contains("more than one node")).count();
    assert_eq!(named, 1);
}

#[test]
fn an_expired_configuration_is_no_configuration() {
    let end = Timestamp::from_seconds(1_000);
    let files = TrustDir::files("BB", write_shared(&nation(), V6).as_bytes(), 5, end);
    let dir = TrustDir::load(&files).unwrap();
    assert!(dir.check_fresh("BB", Timestamp::from_seconds(999)).is_ok());
    assert!(matches!(dir.check_fresh("BB", end), Err(TrustDirError::Expired { .. })));
    assert!(matches!(dir.check_fresh("EE", end), Err(TrustDirError::UnknownInstance(_))));
}

#[test]
fn a_member_that_this_house_cannot_name_does_not_stop_the_others() {
    let xml = write_shared(&nation(), V6).replace(">2001<", ">20:01<");
    let params = read_shared(xml.as_bytes()).unwrap();
    assert_eq!(params.members.len(), 1);
    assert_eq!(params.servers.len(), 1);
    assert_eq!(params.ignored.len(), 4, "{:?}", params.ignored);
}

#[test]
fn the_sample_configurations_get_the_verdicts_of_x_road() {
    let Some(samples) = samples::folder("sample global configurations") else { return };
    let load = |name: &str| TrustDir::load(&samples::files(&samples.join("globalconf").join(name)));
    for (name, own, instances) in [
        ("globalconf_good_v2", "EE", 3),
        ("globalconf_good2_v3", "DEV", 1),
        ("globalconf_good_v5", "EE", 5),
        ("globalconf_good_v6", "EE", 6),
        ("download/test-conf-simple", "EE", 1),
    ] {
        let dir = load(name).unwrap_or_else(|error| unreachable!("{name}: {error}"));
        assert_eq!((dir.own_instance(), dir.instances().count()), (own, instances), "{name}");
        let ignored: Vec<_> = dir.instances().flat_map(|instance| &instance.shared().ignored).collect();
        assert!(ignored.is_empty(), "{name}: {ignored:?}");
    }
    assert!(matches!(load("globalconf_malformed"), Err(TrustDirError::File { .. })));
    assert_eq!(load("globalconf_missing_identifier").unwrap_err(), TrustDirError::NoIdentifier);

    let dev = load("globalconf_good2_v3").unwrap();
    let own = dev.own().unwrap();
    assert_eq!(own.shared().ocsp_freshness_s, 3600);
    assert_eq!(own.unusable().collect::<Vec<_>>(), Vec::<&str>::new());
    assert_eq!((own.cas().len(), own.tsas().len()), (1, 1));
    assert_eq!(own.cas().first().unwrap().ocsp_responders.len(), 1);
    assert!(own.cas().first().unwrap().profile.is_some());
    assert!(own.cas().first().unwrap().cert.der().starts_with(&[0x30, 0x82]), "PEM inside base64 becomes DER");
    assert_eq!(dev.servers_of_client(&"DEV/COM/4321/TestClient".parse().unwrap()).count(), 1);

    let sixth = load("globalconf_good_v6").unwrap();
    let foo = "EE/BUSINESS/foo".parse().unwrap();
    assert_eq!(sixth.member(&foo).unwrap().subsystems.first().unwrap().name.as_deref(), Some("FOO Subsystem"));
    let server = sixth.server(&"EE/BUSINESS/foo/FooBarServerCode".parse().unwrap()).unwrap();
    assert_eq!(server.maintenance.as_deref(), Some("Test maintenance mode"));
    assert_eq!(sixth.own().unwrap().private().unwrap().time_stamping_interval_s, 123);

    let anchor = std::fs::read(samples.join("globalconf/configuration-anchor1.xml")).unwrap();
    assert_eq!(read_anchor(&anchor).unwrap().sources.len(), 3);
}

#[test]
fn the_sample_directories_get_the_verdicts_of_x_road() {
    let Some(samples) = samples::folder("sample signed directories") else { return };
    let signature_file = std::fs::read_to_string(samples.join("hashchain/batch-sig.xml")).unwrap();
    // The certificate that signed the samples is found among those of a sample signature.
    let certificates: Vec<Vec<u8>> = signature_file
        .split(['<', '>'])
        .map(|text| text.split_whitespace().collect::<String>())
        .filter(|text| text.starts_with("MI") && text.len() > 400)
        .filter_map(|text| STANDARD.decode(text).ok())
        .collect();
    let read = |name: &str, at: &str| {
        let bytes = std::fs::read(samples.join("globalconf/download").join(name)).unwrap();
        Directory::verify(&bytes, &certificates, Timestamp::parse_rfc3339(at).unwrap())
    };
    let directory = read("test-conf-simple.txt", "2026-05-20T17:42:54Z").unwrap();
    assert_eq!(directory.parts.len(), 3);
    for (identifier, file) in [(PRIVATE_PARAMETERS, "private-params.xml"), (SHARED_PARAMETERS, "shared-params.xml")] {
        let content = std::fs::read(samples.join("globalconf/download/test-conf-simple/EE").join(file)).unwrap();
        let part = directory.part(identifier, "EE").unwrap();
        part.check(&content).unwrap();
        assert!(matches!(part.check(b"another"), Err(DirectoryError::Digest { .. })));
    }
    assert!(matches!(read("test-conf-simple.txt", "2026-05-20T17:42:55Z"), Err(DirectoryError::Expired { .. })));
    let early = "2014-01-01T00:00:00Z";
    assert!(matches!(read("test-conf-malformed.txt", early), Err(DirectoryError::Malformed(_))));
    assert_eq!(read("test-conf-invalid-signature.txt", early), Err(DirectoryError::Signature));
    assert!(matches!(
        read("test-conf-missing-date.txt", early),
        Err(DirectoryError::Header { header: "Expire-date" } | DirectoryError::Signature)
    ));
}

/// A self-signed certificate for the key, made by `openssl`.
fn certificate(key: &SigningKey, folder: &Path) -> Option<Vec<u8>> {
    let file = folder.join("key.pem");
    std::fs::write(&file, key.to_pkcs8_pem().unwrap()).unwrap();
    let der = folder.join("cert.der");
    let arguments = [
        "req",
        "-x509",
        "-new",
        "-key",
        file.to_str().unwrap(),
        "-subj",
        "/CN=conf",
        "-outform",
        "DER",
        "-out",
        der.to_str().unwrap(),
    ];
    let output = samples::tool("openssl", &arguments)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(std::fs::read(der).unwrap())
}

fn directory() -> Directory {
    Directory {
        expires: Timestamp::from_seconds(1_795_301_400),
        version: Some(5),
        parts: vec![
            DirectoryPart::of(SHARED_PARAMETERS, "BB", "/V5/20261121/shared-params.xml", b"shared"),
            DirectoryPart::of(PRIVATE_PARAMETERS, "BB", "/V5/20261121/private-params.xml", b"private"),
        ],
    }
}

const NOW: Timestamp = Timestamp::from_seconds(1_795_300_800);

#[test]
fn a_directory_is_believed_from_the_anchors_key_only() {
    let folder = tempfile::tempdir().unwrap();
    for key in [SigningKey::generate_p256().unwrap(), SigningKey::generate_rsa2048().unwrap()] {
        let Some(cert) = certificate(&key, folder.path()) else { return };
        let random = SeededRandom::new(1);
        let bytes = directory().sign(&key, &cert, &random).unwrap();
        assert_eq!(Directory::verify(&bytes, &[b"other".to_vec(), cert.clone()], NOW).unwrap(), directory());
        assert_eq!(Directory::verify(&bytes, &[b"other".to_vec()], NOW), Err(DirectoryError::UnknownSigner));
        let late = Timestamp::from_seconds(1_795_301_400);
        let expired = Directory::verify(&bytes, std::slice::from_ref(&cert), late);
        assert!(matches!(expired, Err(DirectoryError::Expired { .. })));
        let foreign = SigningKey::generate_p256().unwrap();
        assert_eq!(directory().sign(&foreign, &cert, &random), Err(DirectoryError::ForeignCertificate));
        judge_with_openssl(&bytes, &cert, folder.path());
    }
}

/// `openssl dgst -verify` over the body of the first part, cut out by hand.
fn judge_with_openssl(directory: &[u8], certificate: &[u8], folder: &Path) {
    let text = std::str::from_utf8(directory).unwrap();
    let outer = text.lines().next().unwrap().rsplit_once("boundary=").unwrap().1;
    let delimiter = format!("--{outer}\r\n");
    let mut parts = text.split(&delimiter).skip(1);
    let first = parts.next().unwrap();
    let signed = first.split_once("\r\n\r\n").unwrap().1.strip_suffix("\r\n").unwrap();
    let signature = parts.next().unwrap().split_once("\r\n\r\n").unwrap().1.split("\r\n").next().unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("signed"), signed).unwrap();
    std::fs::write(path("signature"), STANDARD.decode(signature).unwrap()).unwrap();
    std::fs::write(path("cert.der"), certificate).unwrap();
    let key = samples::tool("openssl", &["x509", "-inform", "DER", "-in", &path("cert.der"), "-pubkey", "-noout"]);
    std::fs::write(path("public.pem"), key.unwrap().stdout).unwrap();
    let arguments =
        ["dgst", "-sha512", "-verify", &path("public.pem"), "-signature", &path("signature"), &path("signed")];
    let output = samples::tool("openssl", &arguments).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_altered_byte_of_a_directory_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate_p256().unwrap();
    let Some(cert) = certificate(&key, folder.path()) else { return };
    let certificates = [cert];
    let bytes = directory().sign(&key, certificates.first().unwrap(), &SeededRandom::new(2)).unwrap();
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        *altered.get_mut(position).unwrap() ^= 0x02;
        // An altered byte may be in white space or in a header that says nothing; then the content must be the same.
        if let Ok(read) = Directory::verify(&altered, &certificates, NOW) {
            assert_eq!(read, directory(), "byte {position}");
        }
    }
}

#[test]
fn sha1_names_no_file() {
    let mut weak = directory();
    weak.parts.first_mut().unwrap().hash_algorithm = DigestAlgorithm::Sha1;
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate_p256().unwrap();
    let Some(cert) = certificate(&key, folder.path()) else { return };
    let bytes = weak.sign(&key, &cert, &SeededRandom::new(3)).unwrap();
    assert!(matches!(Directory::verify(&bytes, &[cert], NOW), Err(DirectoryError::Algorithm(_))));
}

proptest! {
    #[test]
    fn arbitrary_files_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[ -~\r\n]{0,200}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            prop_assert!(read_shared(bytes).is_err());
            prop_assert!(read_private(bytes).is_err());
            prop_assert!(read_anchor(bytes).is_err());
            prop_assert!(Directory::verify(bytes, &[], NOW).is_err());
            let files = BTreeMap::from([
                ("instance-identifier".to_owned(), b"BB".to_vec()),
                ("BB/shared-params.xml".to_owned(), bytes.to_vec()),
            ]);
            prop_assert!(TrustDir::load(&files).is_err());
        }
    }
}
