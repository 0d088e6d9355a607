//! A log whose tiles are in a bucket of an S3 server that somebody else wrote (PyPI `moto`). A relay between the two notes
//! every request, and can take the server away. The tests say LEFT OUT where there is no moto.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledger::inspect::inspect;
use ledger::{Ledger, LedgerConfig, LedgerError, Tiles};
use store::Store;
use store::bucket::{Bucket, BucketConfig, BucketError};
use store::testing::{Moto, engines};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use trust::keys::SigningKey;
use trust::merkle::{Edge, Tile, leaf_hash};
use trust::note::Checkpoint;

use crate::log::{ORIGIN, clock, entry, fill, key};

/// Passes requests on, notes the first line of each, and refuses all while the server is away.
#[derive(Clone)]
struct Relay {
    port: u16,
    away: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Self { port, away: Arc::default(), requests: Arc::default() };
        let shared = relay.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(shared.clone().pass(socket, server));
            }
        });
        relay
    }

    /// One connection: requests of a head and a body of known length, one after the other.
    async fn pass(self, mut client: TcpStream, server: u16) -> Option<()> {
        let mut upstream = TcpStream::connect(("127.0.0.1", server)).await.ok()?;
        let (mut to_server, mut seen) = (vec![0; 65_536], Vec::new());
        let mut to_client = vec![0; 65_536];
        loop {
            tokio::select! {
                read = client.read(&mut to_server) => {
                    let read = read.ok().filter(|read| *read > 0)?;
                    let bytes = to_server.get(..read)?;
                    seen.extend_from_slice(bytes);
                    self.note(&mut seen);
                    if self.away.load(Ordering::SeqCst) {
                        return None;
                    }
                    upstream.write_all(bytes).await.ok()?;
                }
                read = upstream.read(&mut to_client) => {
                    let read = read.ok().filter(|read| *read > 0)?;
                    client.write_all(to_client.get(..read)?).await.ok()?;
                }
            }
        }
    }

    /// Notes the requests whose head has come whole; leaves the rest.
    fn note(&self, seen: &mut Vec<u8>) {
        while let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let whole = end + 4 + length.unwrap_or(0_usize);
            if seen.len() < whole {
                return;
            }
            seen.drain(..whole);
            self.requests.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
        }
    }

    fn bucket(&self, prefix: &str, away_max: Duration) -> Bucket {
        Bucket::new(BucketConfig {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            bucket: "tiles".to_owned(),
            region: "us-east-1".to_owned(),
            prefix: prefix.to_owned(),
            access_key: "an access key".to_owned(),
            secret_key: "a secret that nobody sees".to_owned(),
            away_max,
        })
        .unwrap()
    }

    fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

async fn server() -> Option<(Moto, Relay)> {
    let moto = Moto::start()?;
    let relay = Relay::before(moto.port).await;
    Some((moto, relay))
}

async fn open(store: &Store, pem: &str, bucket: &Bucket) -> Result<Ledger, LedgerError> {
    let config = LedgerConfig::new(store.clone(), SigningKey::from_pkcs8_pem(pem).unwrap(), ORIGIN, clock());
    Ledger::open_with(config.bucket(bucket.clone())).await
}

async fn object(bucket: &Bucket, name: &str) -> Vec<u8> {
    bucket.get(name).await.unwrap().unwrap_or_else(|| panic!("{name} is not in the bucket")).into()
}

/// The entries and tiles of the bucket, re-derived without a line of the ledger.
async fn re_derive(bucket: &Bucket, ledger: &Ledger) {
    let note = String::from_utf8(object(bucket, "checkpoint").await).unwrap();
    let checkpoint = Checkpoint::open(&note, &ledger.verifier()).unwrap();
    assert_eq!(checkpoint.size, ledger.size());
    let mut edge = Edge::default();
    let mut tiles = Vec::new();
    for index in 0..checkpoint.size.div_ceil(256) {
        let tile = Tile { level: 0, index, width: Tile::width_in(0, index, checkpoint.size) };
        let bundle = object(bucket, &tile.entries_path()).await;
        let mut rest = bundle.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            edge.push(leaf_hash(entry), |tile, hashes| tiles.push((tile, hashes.concat())));
            rest = after;
        }
    }
    tiles.extend(edge.partial_tiles().map(|(tile, hashes)| (tile, hashes.concat())));
    assert_eq!((edge.size(), edge.root()), (checkpoint.size, checkpoint.root));
    for (tile, hashes) in tiles {
        assert_eq!(object(bucket, &tile.path()).await, hashes, "{}", tile.path());
    }
}

fn place_of(error: &LedgerError) -> String {
    match error {
        LedgerError::Damaged { place, .. } => place.clone(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn a_bucket_holds_what_a_folder_holds_and_the_checkpoint_comes_last() {
    let Some((_moto, relay)) = server().await else { return };
    for (number, store) in engines().await.into_iter().enumerate() {
        let bucket = relay.bucket(&format!("logs/{number}"), Duration::from_secs(30));
        let pem = key();
        let ledger = open(&store, &pem, &bucket).await.unwrap();
        let mut size = 0;
        for next in [1, 2, 255, 257, 700, 1_300] {
            relay.take_requests();
            fill(&ledger, size, next).await;
            size = next;
            let requests = relay.take_requests();
            let puts: Vec<&str> = requests.iter().filter_map(|line| line.strip_prefix("PUT ")).collect();
            // What came after the last checkpoint of this step takes partial tiles away.
            let last = puts.iter().rposition(|name| name.contains("/checkpoint")).unwrap();
            assert_eq!(last, puts.len() - 1, "{puts:?}");
            assert!(puts.len() > 2, "{puts:?}");
            re_derive(&bucket, &ledger).await;
        }
        ledger.settle().await.unwrap();
        let before = ledger.checkpoint();
        drop(ledger);
        let again = open(&store, &pem, &bucket).await.unwrap();
        assert_eq!(again.checkpoint(), before);
        again.check().await.unwrap();
        fill(&again, 1_300, 1_900).await;
        re_derive(&bucket, &again).await;
        let found =
            inspect(&store, &[again.verifier()], Some(&Tiles::Bucket(bucket.clone())), |_, _| {}).await.unwrap();
        assert_eq!((found.damaged, found.size), (0, 1_900), "{found:?}");
    }
}

#[tokio::test]
async fn an_object_that_was_altered_or_lost_is_written_anew_or_named_and_never_served() {
    let Some((_moto, relay)) = server().await else { return };
    let store = store::testing::sqlite().await;
    let (bucket, pem) = (relay.bucket("log", Duration::from_secs(30)), key());
    let ledger = open(&store, &pem, &bucket).await.unwrap();
    fill(&ledger, 0, 512).await;
    fill(&ledger, 512, 700).await;
    // Staged still: the next start writes what is lost.
    drop(ledger);
    for name in ["tile/0/000", "tile/entries/001", "checkpoint"] {
        bucket.delete(name).await.unwrap();
    }
    bucket.put("tile/0/002.p/188", Bytes::from_static(b"altered")).await.unwrap();
    let ledger = open(&store, &pem, &bucket).await.unwrap();
    ledger.check().await.unwrap();
    re_derive(&bucket, &ledger).await;

    // Settled: what is lost or altered is named.
    ledger.settle().await.unwrap();
    drop(ledger);
    let ledger = open(&store, &pem, &bucket).await.unwrap();
    for (name, index) in [("tile/0/001", 300), ("tile/entries/001", 300)] {
        let good = object(&bucket, name).await;
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        bucket.put(name, bad.into()).await.unwrap();
        assert_eq!(place_of(&ledger.check().await.unwrap_err()), "entry 511");
        let full = Tile { level: 0, index: index / 256, width: 256 };
        if name == "tile/0/001" {
            assert!(ledger.tlog_proof(index).await.is_err());
            assert!(ledger.tile(full).await.is_err());
        } else {
            assert!(ledger.entries(full).await.is_err());
        }
        let found =
            inspect(&store, &[ledger.verifier()], Some(&Tiles::Bucket(bucket.clone())), |_, _| {}).await.unwrap();
        let wanted = if name == "tile/0/001" { "tile/0/001" } else { "entry 511" };
        assert_eq!(found.damage[0].place, wanted, "{found:?}");
        bucket.put(name, good.into()).await.unwrap();
    }
    ledger.check().await.unwrap();
    drop(ledger);
    bucket.delete("tile/0/001").await.unwrap();
    assert_eq!(place_of(&open(&store, &pem, &bucket).await.unwrap_err()), "tile/0/001");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_callers_wait_nothing_is_lost_and_few_requests_are_made() {
    let Some((_moto, relay)) = server().await else { return };
    let store = store::testing::sqlite().await;
    let (bucket, pem) = (relay.bucket("log", Duration::from_mins(2)), key());
    let ledger = open(&store, &pem, &bucket).await.unwrap();
    fill(&ledger, 0, 300).await;
    relay.away.store(true, Ordering::SeqCst);
    relay.take_requests();
    let begun = Instant::now();
    let waiting: Vec<_> = (300..364)
        .map(|number| {
            let ledger = ledger.clone();
            tokio::spawn(async move { (number, ledger.append(vec![entry(number)]).await) })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(waiting.iter().all(|caller| !caller.is_finished()), "nothing is acknowledged meanwhile");
    let asked = relay.take_requests().len();
    assert!((2..40).contains(&asked), "{asked} requests in 4 s");
    assert_eq!(ledger.size(), 300, "nor shown");
    relay.away.store(false, Ordering::SeqCst);
    let mut indexes = BTreeSet::new();
    for caller in waiting {
        let (_, answer) = caller.await.unwrap();
        indexes.extend(answer.unwrap());
    }
    eprintln!("{asked} requests in 4 s without the server; all answered {:?} after it went", begun.elapsed());
    assert_eq!(indexes, (300..364).collect());
    re_derive(&bucket, &ledger).await;

    // Away for longer than it may be: the log stops, and the next start goes on from what is staged.
    let short = relay.bucket("log", Duration::from_millis(500));
    drop(ledger);
    let ledger = open(&store, &pem, &short).await.unwrap();
    relay.away.store(true, Ordering::SeqCst);
    let refused = ledger.append(vec![entry(364)]).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Disk { .. }) && !refused.to_string().contains("nobody sees"), "{refused}");
    assert!(matches!(ledger.append(vec![entry(365)]).await, Err(LedgerError::Stopped { .. })));
    assert!(ledger.stopped().await.contains("bring it back"));
    drop(ledger);
    assert!(open(&store, &pem, &short).await.is_err(), "it does not open without its tiles");
    relay.away.store(false, Ordering::SeqCst);
    let ledger = open(&store, &pem, &bucket).await.unwrap();
    assert_eq!(ledger.append(vec![entry(364), entry(365)]).await, Ok(vec![364, 365]), "the commit had taken place");
    ledger.check().await.unwrap();
    re_derive(&bucket, &ledger).await;
}

#[tokio::test]
async fn a_bucket_that_is_not_there_and_bad_settings_are_refused_with_what_to_do() {
    let Some((_moto, relay)) = server().await else { return };
    let there = relay.bucket("log", Duration::from_secs(1));
    assert!(!format!("{there:?}").contains("secret"));
    let config = |endpoint: &str, bucket: &str| BucketConfig {
        endpoint: endpoint.to_owned(),
        bucket: bucket.to_owned(),
        region: "us-east-1".to_owned(),
        prefix: String::new(),
        access_key: "a".to_owned(),
        secret_key: "b".to_owned(),
        away_max: Duration::from_secs(1),
    };
    assert!(matches!(Bucket::new(config("https://s3.example", "tiles")), Err(BucketError::Config { .. })));
    assert!(matches!(Bucket::new(config("http://127.0.0.1:1", "")), Err(BucketError::Config { .. })));
    let missing = Bucket::new(config(&format!("http://127.0.0.1:{}", relay.port), "nowhere")).unwrap();
    let refused = missing.put("checkpoint", Bytes::from_static(b"x")).await.unwrap_err();
    assert!(
        matches!(refused, BucketError::Refused { .. }) && refused.to_string().contains("bucket's name"),
        "{refused}"
    );
    let nobody = Bucket::new(config("http://127.0.0.1:1", "tiles")).unwrap();
    let away = nobody.put("checkpoint", Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(away, BucketError::Away { .. }), "{away}");
}
