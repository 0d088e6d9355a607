//! What tools that were written for X-Road's Security Server read from the management API before they do anything.

use bridge::testing::{ECHO, two_nodes_with};
use serde_json::{Value as Json, json};

use crate::api::{ADMINISTRATORS, Api, bank, owner, unlimited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_of_x_road_finds_what_it_reads_before_it_does_anything() {
    let nodes = two_nodes_with(414, unlimited).await;
    let api = Api::of(&nodes).await;
    let user = api.call("GET", "/user", Json::Null, 200).await;
    assert!(user["username"].as_str().unwrap().starts_with("api-key-"));
    assert_eq!(user["roles"].as_array().unwrap().len(), ADMINISTRATORS.len());
    assert!(user["roles"].as_array().unwrap().contains(&json!("ROLE_XROAD_SECURITY_OFFICER")));
    // As Python writes them.
    api.call("GET", "/clients?internal_search=True&show_members=False", Json::Null, 200).await;
    api.call("GET", "/clients?internal_search=yes", Json::Null, 400).await;
    let stamps = ("/diagnostics/timestamping-services", "/0/status_code");
    for ((target, code), said) in [
        (("/diagnostics/globalconf", "/status_code"), "SUCCESS"),
        (("/diagnostics/ocsp-responders", "/0/ocsp_responders/0/status_code"), "SUCCESS"),
        (stamps, "ERROR_CODE_TIMESTAMP_UNINITIALIZED"),
    ] {
        assert_eq!(api.call("GET", target, Json::Null, 200).await.pointer(code).unwrap(), said, "{target}");
    }
    nodes.get(ECHO).await;
    nodes.provider.stamp_now().await.unwrap();
    assert_eq!(
        api.call("GET", stamps.0, Json::Null, 200).await.pointer(stamps.1).unwrap(),
        "SUCCESS",
        "once one was asked"
    );
    let group = json!({ "code": "friends", "description": "" });
    let group = api.call("POST", &format!("/clients/{}/local-groups", owner()), group, 201).await;
    let group = format!("/local-groups/{}", group["id"].as_str().unwrap());
    api.call("POST", &format!("{group}/members"), json!({ "items": [bank()] }), 201).await;
    let member = api.call("GET", &group, Json::Null, 200).await["members"][0].clone();
    assert_eq!((&member["name"], &member["member_name"]), (&json!("Banque du Fleuve"), &json!("Banque du Fleuve")));
    // The anchor and the time stamps are there already, and the node says so.
    let known = api.call("GET", "/timestamping-services", Json::Null, 200).await[0].clone();
    let refused = api.call("POST", "/system/timestamping-services", known.clone(), 409).await;
    assert_eq!(refused["error"]["code"], "timestamping_service_already_configured");
    api.call("POST", "/system/timestamping-services/delete", known, 409).await;
    let unknown = json!({ "name": "x", "url": "http://tsa.example/" });
    api.call("POST", "/system/timestamping-services", unknown, 404).await;
    let refused = api.upload("POST", "/system/anchor", b"<anchor/>".to_vec(), 409).await;
    assert_eq!(refused["error"]["code"], "anchor_already_exists");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_shown_as_x_road_shows_them_and_what_the_node_needs_is_not_taken_from_it() {
    let nodes = two_nodes_with(415, unlimited).await;
    let api = Api::of(&nodes).await;
    let token = api.call("GET", "/tokens/0", Json::Null, 200).await;
    for key in token["keys"].as_array().unwrap() {
        let certificate = &key["certificates"][0];
        let details = &certificate["certificate_details"];
        assert_eq!(details["public_key_algorithm"], key["key_algorithm"]);
        assert_eq!(details["signature_algorithm"], "SHA256withECDSA");
        assert!(details["signature"].as_str().unwrap().len() > 100);
        assert_eq!((&details["rsa_public_key_modulus"], &details["rsa_public_key_exponent"]), (&json!("0"), &json!(0)));
        assert!(details["ec_public_key_point"].as_str().unwrap().starts_with("04"));
        assert!(details["ec_public_parameters"].as_str().unwrap().starts_with("secp256r1"));
        assert_eq!(details["subject_alternative_names"], "");
        let authenticates = key["usage"] == "AUTHENTICATION";
        let actions = if authenticates { json!(["DISABLE", "UNREGISTER"]) } else { json!(["DISABLE"]) };
        assert_eq!(certificate["possible_actions"], actions, "registered, and in use");
        let target = format!("/token-certificates/{}", details["hash"].as_str().unwrap());
        let refused = api.call("PUT", &format!("{target}/disable"), Json::Null, 409).await;
        assert_eq!(refused["error"]["code"], "certificate_in_use");
        if authenticates {
            let refused = api.call("PUT", &format!("{target}/unregister"), Json::Null, 409).await;
            assert_eq!(refused["error"]["code"], "certificate_in_use");
        }
        api.call("DELETE", &target, Json::Null, 409).await;
    }
    assert_eq!(nodes.get(ECHO).await.status, 200);
    // The certificate of HTTPS with information systems.
    let shown = api.call("GET", "/system/certificate", Json::Null, 200).await;
    let pem = std::fs::read(nodes.folder().join("1002/keys/internal.cert.pem")).unwrap();
    let reply = nodes.api(&nodes.provider, "GET", "/system/certificate/export", Some(&api.key), "").await;
    let (mut archive, mut packed) = (Vec::new(), flate2::read::GzDecoder::new(&reply.body[..]));
    std::io::Read::read_to_end(&mut packed, &mut archive).unwrap();
    assert_eq!(&archive[..10], b"./cert.pem");
    assert_eq!(&archive[512..512 + pem.len()], pem);
    assert_eq!(archive.len() % 512, 0);
    let octal = |range: std::ops::Range<usize>| u32::from_str_radix(std::str::from_utf8(&archive[range]).unwrap(), 8);
    let counted: u32 = (0..512).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(archive[at]) }).sum();
    assert_eq!(octal(148..154).unwrap(), counted, "the checksum of the header");
    assert_eq!(octal(124..135).unwrap() as usize, pem.len());
    assert!(shown["subject_common_name"].as_str().unwrap().contains("node"), "{shown}");
    nodes.stop().await;
}
