//! Several nodes of one provider: which of them a request goes to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bridge::testing::{ECHO, TwoNodes, two_nodes, two_nodes_with};
use tokio::net::{TcpListener, TcpStream};

/// The provider has another node at this address beside its own; it comes first.
async fn add_node(nodes: &TwoNodes, address: &str) {
    nodes.federation.change(|params| {
        let mut other = params.servers.iter().find(|server| server.id.owner().code() == "1002").unwrap().clone();
        other.id = "BB/GOV/1002/node-2".parse().unwrap();
        other.address = Some(address.to_owned());
        other.auth_cert_hashes.clear();
        params.servers.insert(0, other);
    });
    nodes.consumer.ready().await.unwrap();
}

/// The way to the provider's node, which a test cuts and mends.
async fn way(to: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, is_open) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(true)));
    let open = Arc::clone(&is_open);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            if open.load(Ordering::SeqCst) {
                tokio::spawn(async move {
                    let mut node = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut node).await;
                });
            }
        }
    });
    (address, is_open)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_the_first_to_answer_is_used() {
    let nodes = two_nodes_with(320, |consumer, _| consumer.limits.connect_timeout = Duration::from_hours(1)).await;
    // It takes connections, and takes its time with the handshake.
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    add_node(&nodes, &slow.local_addr().unwrap().to_string()).await;
    // The slow one would be waited for without end.
    assert_eq!(nodes.get(ECHO).await.status, 200);
    tokio::time::timeout(Duration::from_secs(5), slow.accept()).await.unwrap().unwrap();
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_died_is_avoided_and_is_the_last_resort_where_all_others_fail() {
    let nodes = two_nodes(321).await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    let (address, is_open) = way(nodes.provider.addresses().transport).await;
    nodes.federation.change(|params| {
        for server in params.servers.iter_mut().filter(|server| server.id.owner().code() == "1002") {
            server.address = Some(address.to_string());
        }
    });
    nodes.consumer.ready().await.unwrap();
    is_open.store(false, Ordering::SeqCst);
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.clientproxy.ssl_authentication_failed");
    // It lives again, but is avoided; the other one, which nothing is known of yet, is dead.
    is_open.store(true, Ordering::SeqCst);
    add_node(&nodes, "127.0.0.1:9").await;
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.stop().await;
}
