//! Measures a log: `cargo xtask bench ledger` runs it, once for each row of its table. Nothing is asserted.
//!
//! `bench append  sqlite:PATH|postgres://…  FOLDER|rows  CALLERS SECONDS WITNESSES`
//! `bench start   sqlite:PATH               FOLDER|rows  ENTRIES`
//! `bench proofs  sqlite:PATH               FOLDER|rows  ENTRIES SECONDS`

#![expect(clippy::print_stdout, reason = "it prints one row of a table")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that fails has nothing to say")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use civic::SharedClock;
use civic::testing::TestClock;
use ledger::witness::Witness;
use ledger::{Ledger, LedgerClient, LedgerConfig, Submitters};
use store::{Location, Store};
use trust::keys::SigningKey;
use trust::mldsa::MlDsaKey;
use trust::note::policy::Policy;
use trust::note::{Cosigner, VerifierKey};

const ORIGIN: &str = "ledger.bench/log";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["append", location, folder, callers, seconds, witnesses] => {
            append(location, folder, number(callers), number(seconds), number(witnesses)).await;
        }
        ["start", location, folder, entries] => start(location, folder, number(entries)).await,
        ["proofs", location, folder, entries, seconds] => {
            proofs(location, folder, number(entries), number(seconds)).await;
        }
        _ => println!("usage: see the head of examples/bench.rs"),
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

fn clock() -> SharedClock {
    Arc::new(TestClock::at("2026-11-22T00:00:00Z"))
}

async fn store(location: &str) -> Store {
    store::testing::open(&location.parse::<Location>().unwrap()).await
}

/// The keys of the log and where its tiles are; the store must be new.
struct Means {
    key: SigningKey,
    second: MlDsaKey,
    folder: String,
}

impl Means {
    fn new(folder: &str) -> Self {
        let (key, second) = (SigningKey::generate_ed25519().unwrap(), MlDsaKey::generate().unwrap());
        Self { key, second, folder: folder.to_owned() }
    }

    fn config(&self, store: Store) -> LedgerConfig {
        let config = LedgerConfig::new(store, self.key.clone(), ORIGIN, clock()).post_quantum(self.second.clone());
        if self.folder == "rows" { config } else { config.folder(&self.folder) }
    }
}

/// A policy that wants every one of so many witnesses, each served on a socket of its own.
async fn witnesses(key: &SigningKey, count: u64) -> Option<Policy> {
    if count == 0 {
        return None;
    }
    let log = VerifierKey::new(ORIGIN, key.public()).unwrap();
    let mut text = format!("log {log}\n");
    let mut names = String::new();
    for number in 0..count {
        let cosigners = vec![
            Cosigner::ed25519(format!("w{number}"), SigningKey::generate_ed25519().unwrap()).unwrap(),
            Cosigner::ml_dsa(format!("w{number}"), MlDsaKey::generate().unwrap()).unwrap(),
        ];
        let witness = Witness::open(store::testing::sqlite().await, cosigners, clock()).await.unwrap();
        witness.follow(vec![log.clone()]).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = witness.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        for (kind, key) in ["e", "m"].iter().zip(witness.verifiers()) {
            writeln!(text, "witness {kind}{number} {key} {url}").unwrap();
        }
        writeln!(text, "group w{number} all e{number} m{number}").unwrap();
        write!(names, " w{number}").unwrap();
    }
    Some(Policy::parse(&format!("{text}group everyone all{names}\nquorum everyone\n")).unwrap())
}

async fn append(location: &str, folder: &str, callers: u64, seconds: u64, witness_count: u64) {
    let store = store(location).await;
    let means = Means::new(folder);
    let mut config = means.config(store.clone());
    let policy = witnesses(&means.key, witness_count).await;
    let witnessed = policy.is_some();
    if let Some(policy) = policy {
        config = config.witnesses(policy);
    }
    let ledger = Ledger::open_with(config).await.unwrap();
    while ledger.append(vec![b"first".to_vec()]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let first = ledger.size();
    let commits = store.stats().commits;
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (ledger, stop) = (ledger.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut waited = Vec::new();
                let mut round = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let mut entry = vec![0; 32];
                    entry[..8].copy_from_slice(&caller.to_be_bytes());
                    entry[8..16].copy_from_slice(&(first + round).to_be_bytes());
                    round += 1;
                    let begun = Instant::now();
                    let outcome = if witnessed {
                        ledger.append_witnessed(vec![entry]).await
                    } else {
                        ledger.append(vec![entry]).await
                    };
                    outcome.unwrap();
                    waited.push(begun.elapsed());
                }
                waited
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut waited = Vec::new();
    for task in tasks {
        waited.extend(task.await.unwrap());
    }
    let took = started.elapsed().as_secs_f64();
    let commits = store.stats().commits - commits;
    waited.sort_unstable();
    let entries = ledger.size() - first;
    let at = |share: usize| waited[(waited.len() * share / 1_000).min(waited.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "{:.0} | {:.1} ms | {:.1} ms | {entries} | {:.5}",
        entries as f64 / took,
        at(500),
        at(990),
        commits as f64 / entries as f64
    );
    ledger.check().await.unwrap();
}

/// Appends until the log has so many entries, many at a time.
async fn fill(ledger: &Ledger, entries: u64) {
    let next = Arc::new(AtomicU64::new(ledger.size()));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (ledger, next) = (ledger.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let from = next.fetch_add(1_000, Ordering::Relaxed);
                    if from >= entries {
                        return;
                    }
                    let batch = (from..from + 1_000).map(|number| [number.to_be_bytes(); 4].concat()).collect();
                    ledger.append(batch).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn start(location: &str, folder: &str, entries: u64) {
    let store = store(location).await;
    let means = Means::new(folder);
    let ledger = Ledger::open_with(means.config(store.clone())).await.unwrap();
    let begun = Instant::now();
    fill(&ledger, entries).await;
    let filled = begun.elapsed().as_secs_f64();
    drop(ledger);
    store.close().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let store = self::store(location).await;
    let ledger = Ledger::open_with(means.config(store)).await.unwrap();
    let took = begun.elapsed().as_secs_f64();
    println!("{} entries | started in {took:.3} s | filled in {filled:.0} s", ledger.size());
}

async fn proofs(location: &str, folder: &str, entries: u64, seconds: u64) {
    let ledger = Ledger::open_with(Means::new(folder).config(store(location).await)).await.unwrap();
    fill(&ledger, entries).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = ledger::http::router(ledger.clone(), Submitters::new());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let stop = Arc::new(AtomicBool::new(false));
    let (begun, size) = (Instant::now(), ledger.size());
    let tasks: Vec<_> = (0..16_u64)
        .map(|caller| {
            let client = LedgerClient::new(&url, ledger.verifier(), None, clock()).unwrap();
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let (mut done, mut index) = (0_u64, caller * 7_919);
                while !stop.load(Ordering::Relaxed) {
                    index = (index + 104_729) % (size / 1_000 * 1_000);
                    client.proof(index, &[index.to_be_bytes(); 4].concat()).await.unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    println!("{:.0} proofs/s over HTTP, each verified, of {size} entries", done as f64 / begun.elapsed().as_secs_f64());
}
