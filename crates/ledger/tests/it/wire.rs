//! The log over real sockets.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger::testing::{ServedLedger, served};
use ledger::{ClientError, Commitment, LedgerClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trust::merkle::{Edge, Tile, leaf_hash};
use trust::note::{Checkpoint, TlogProof};

/// One request over a socket of its own: status, header lines, body.
async fn get(served: &ServedLedger, path: &str) -> (u16, String, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: ledger.test\r\nconnection: close\r\n\r\n");
    send(served, request.as_bytes()).await
}

async fn send(served: &ServedLedger, request: &[u8]) -> (u16, String, Vec<u8>) {
    let mut socket = tokio::net::TcpStream::connect(served.url.strip_prefix("http://").unwrap()).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, body)
}

#[tokio::test]
async fn a_submitter_appends_and_keeps_a_proof_that_anyone_verifies() {
    let served = served(&["BB/COM/2001"]).await;
    let client = served.client("BB/COM/2001");
    let commitment = Commitment::with_salt([9; 32], b"the bank read a statement");
    let indexes = client.append(&[vec![1; 32], commitment.leaf.to_vec()]).await.unwrap();
    assert_eq!(indexes, [0, 1]);
    let kept = client.proof(1, &commitment.leaf).await.unwrap();
    let checkpoint = TlogProof::parse(&kept).unwrap().verify(&commitment.leaf, &served.ledger.verifier()).unwrap();
    assert_eq!(checkpoint.size, 2);
    assert!(client.proof(0, &commitment.leaf).await.is_err(), "the entry stands elsewhere");
    assert!(matches!(client.proof(2, &commitment.leaf).await, Err(ClientError::Refused { status: 404, .. })));
    assert_eq!(client.append(&[commitment.leaf.to_vec()]).await.unwrap(), [1], "asked again, the same index");
}

#[tokio::test]
async fn strangers_are_refused_and_told_why() {
    let served = served(&["BB/COM/2001"]).await;
    let stranger = served.client("BB/COM/6666").append(&[vec![1; 32]]).await.unwrap_err();
    let ClientError::Refused { status: 401, detail } = &stranger else { panic!("{stranger}") };
    assert!(detail.contains("`BB/COM/6666` is not registered"), "{detail}");
    let reader = LedgerClient::new(&served.url, served.ledger.verifier(), None, crate::log::clock()).unwrap();
    assert!(matches!(reader.append(&[vec![1; 32]]).await, Err(ClientError::ReadOnly)));
    let bare = b"POST /append HTTP/1.1\r\nhost: l\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    let (status, head, body) = send(&served, bare).await;
    assert_eq!(status, 401);
    assert!(head.contains("application/problem+json"));
    assert!(String::from_utf8(body).unwrap().contains("Authorization: Bearer"));
    assert_eq!(served.ledger.size(), 0);
}

#[tokio::test]
async fn the_checkpoint_and_the_tiles_re_derive_the_log_from_outside() {
    let served = served(&[]).await;
    crate::log::fill(&served.ledger, 0, 600).await;
    let (status, head, body) = get(&served, "/checkpoint").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    let checkpoint = Checkpoint::open(std::str::from_utf8(&body).unwrap(), &served.ledger.verifier()).unwrap();
    let mut edge = Edge::default();
    let mut tiles = Vec::new();
    for index in 0..3 {
        let tile = Tile { level: 0, index, width: Tile::width_in(0, index, checkpoint.size) };
        let (status, head, bundle) = get(&served, &format!("/{}", tile.entries_path())).await;
        assert_eq!((status, head.contains("immutable")), (200, true), "{head}");
        let mut rest = bundle.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            edge.push(leaf_hash(entry), |tile, hashes| tiles.push((tile, hashes.concat())));
            rest = after;
        }
    }
    assert_eq!((edge.size(), edge.root()), (600, checkpoint.root));
    let partial: Vec<_> = edge.partial_tiles().map(|(tile, hashes)| (tile, hashes.concat())).collect();
    assert_eq!((tiles.len(), partial.len()), (2, 2));
    for (tile, hashes) in tiles.into_iter().chain(partial) {
        let (status, head, body) = get(&served, &format!("/{}", tile.path())).await;
        assert_eq!((status, &body), (200, &hashes), "{}", tile.path());
        assert!(head.contains("content-type: application/octet-stream"), "{head}");
    }
}

#[tokio::test]
async fn older_partial_tiles_stay_and_what_is_not_there_is_not_found() {
    let served = served(&[]).await;
    crate::log::fill(&served.ledger, 0, 300).await;
    let (_, _, full) = get(&served, "/tile/0/000").await;
    let (status, _, partial) = get(&served, "/tile/0/000.p/7").await;
    assert_eq!((status, partial.as_slice()), (200, &full[..7 * 32]));
    for missing in [
        "/tile/0/001",
        "/tile/0/001.p/45",
        "/tile/0/002.p/1",
        "/tile/1/000",
        "/tile/1/000.p/2",
        "/tile/2/000.p/1",
        "/tile/00/000",
        "/tile/64/000",
        "/tile/0/0",
        "/tile/0/000.p/0",
        "/tile/entries/001",
        "/tile/entries",
        "/tile/x",
        "/proof/300",
        "/consistency/2/301",
        "/",
    ] {
        assert_eq!(get(&served, missing).await.0, 404, "{missing}");
    }
    assert_eq!(get(&served, "/proof/minus").await.0, 400);
}

#[tokio::test]
async fn a_follower_sees_each_checkpoint_continue_the_last() {
    let served = served(&[]).await;
    let follower = served.client("reader");
    assert_eq!(follower.checkpoint().await.unwrap().size, 0);
    let mut size = 0;
    for next in [3, 4, 256, 258, 900] {
        crate::log::fill(&served.ledger, size, next).await;
        size = next;
        assert_eq!(follower.checkpoint().await.unwrap().size, next);
        assert_eq!(follower.checkpoint().await.unwrap().size, next);
    }
}

#[tokio::test]
async fn a_log_that_shows_two_histories_is_caught_with_both_checkpoints_as_evidence() {
    // One key, two logs: what an operator who cheats would serve to different people.
    let pem = crate::log::key();
    let mut histories = Vec::new();
    for word in ["shown to one", "shown to another"] {
        let ledger = crate::log::open(&store::testing::sqlite().await, &pem).await.unwrap();
        ledger.append(vec![word.as_bytes().to_vec()]).await.unwrap();
        histories.push(ledger);
    }
    let (Some(first), Some(second)) = (histories.first().cloned(), histories.get(1).cloned()) else { return };
    second.append(vec![b"more".to_vec()]).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve_once_then(listener, first.clone(), second));
    let client = LedgerClient::new(&format!("http://{address}"), first.verifier(), None, crate::log::clock()).unwrap();
    assert_eq!(client.checkpoint().await.unwrap().size, 1);
    let caught = client.checkpoint().await.unwrap_err();
    let ClientError::Fork { first: before, second: after } = caught else { panic!("{caught}") };
    assert_ne!(before, after);
    assert!(
        Checkpoint::open(&before, &first.verifier()).is_ok() && Checkpoint::open(&after, &first.verifier()).is_ok()
    );
    serving.abort();
}

/// Answers the first connection from one log, all later ones from the other.
async fn serve_once_then(listener: tokio::net::TcpListener, first: ledger::Ledger, second: ledger::Ledger) {
    let mut answered = 0;
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4_096];
        let length = socket.read(&mut request).await.unwrap();
        request.truncate(length);
        let line = String::from_utf8_lossy(&request).into_owned();
        let ledger = if answered == 0 { &first } else { &second };
        answered += 1;
        let body = if line.starts_with("GET /consistency/1/2 ") {
            let hashes = ledger.consistency(1, 2).await.unwrap();
            hashes.iter().map(|hash| STANDARD.encode(hash) + "\n").collect::<Vec<_>>().concat()
        } else {
            ledger.checkpoint()
        };
        let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_that_is_away_is_a_temporary_error() {
    let client =
        LedgerClient::new("http://127.0.0.1:9", served(&[]).await.ledger.verifier(), None, crate::log::clock())
            .unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(10), client.checkpoint()).await.unwrap().unwrap_err();
    assert!(refused.is_temporary(), "{refused}");
    let verifier = client.verifier().clone();
    assert!(LedgerClient::new("ftp://ledger.test", verifier, None, crate::log::clock()).is_err());
}
