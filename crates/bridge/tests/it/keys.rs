//! Exchanges with each kind of key: what peers older than X-Road 7.6 need, and keys that another holder uses for us.

use bridge::testing::{ECHO, two_nodes, two_nodes_with_keys};
use bridge::{KeysError, NodeKeys};
use trust::keys::{KeyKind, SigningKey};

async fn exchange(seed: u64, kind: KeyKind, make: fn() -> (SigningKey, SigningKey)) {
    let nodes = two_nodes_with_keys(seed, &make, |_, _| {}).await;
    assert_eq!(nodes.provider_keys.sign.kind(), kind);
    let reply = nodes.call("POST", &format!("{ECHO}/x"), &[("X-Road-Id", "m-1")], "Bonjour").await;
    assert_eq!(reply.status, 200, "{kind}: {:?}", reply.body);
    assert_eq!(reply.body, "Bonjour");
    for node in [&nodes.consumer, &nodes.provider] {
        assert_eq!(node.message_log().count("m-1").await.unwrap().len(), 2, "{kind}: logged on both sides");
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_exchange_with_elliptic_keys_of_384_bits() {
    let make = || (SigningKey::generate_p384().unwrap(), SigningKey::generate_p384().unwrap());
    exchange(81, KeyKind::P384, make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_exchange_with_rsa_keys_and_the_old_padding() {
    let make = || (SigningKey::generate_rsa(2_048).unwrap(), SigningKey::generate_rsa(2_048).unwrap());
    exchange(82, KeyKind::Rsa { bits: 2_048 }, make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_exchange_with_rsa_keys_and_pss() {
    let make = || {
        let sign = SigningKey::generate_rsa(3_072).unwrap().preferring_pss();
        (sign, SigningKey::generate_rsa(3_072).unwrap())
    };
    exchange(83, KeyKind::Rsa { bits: 3_072 }, make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_another_node_leave_the_good_ones_where_they_are() {
    let nodes = two_nodes(84).await;
    let folder = tempfile::tempdir().unwrap();
    let requests = NodeKeys::init(folder.path(), &"BB/GOV/1002/node-2".parse().unwrap(), "BB", "Impôts").unwrap();
    assert!(NodeKeys::installed(folder.path()).unwrap().is_none());
    let (sign, auth) = nodes.federation.certify(&requests);
    NodeKeys::install(folder.path(), &sign, &auth).unwrap();
    let good = || NodeKeys::installed(folder.path()).unwrap().unwrap();

    let other = &nodes.consumer_keys;
    for (wrong_sign, wrong_auth) in
        [(&other.sign_certificate, &other.auth_certificate), (&sign, &other.auth_certificate), (&auth, &sign)]
    {
        let refused = NodeKeys::install(folder.path(), wrong_sign, wrong_auth);
        assert!(matches!(refused, Err(KeysError::Mismatch(_))), "{refused:?}");
        assert_eq!(good().sign_certificate.der(), sign.der());
        assert_eq!(good().auth_certificate.der(), auth.der());
    }

    // What another hand spoilt is no reason to say that all is well.
    std::fs::write(folder.path().join("auth.cert.pem"), sign.to_pem()).unwrap();
    assert!(matches!(NodeKeys::installed(folder.path()), Err(KeysError::Mismatch("auth.cert.pem"))));
    nodes.stop().await;
}
