//! Measures a log: `cargo xtask bench ledger` runs it, once for each row of its table. Nothing is asserted.
//!
//! `bench append  sqlite:PATH|postgres://…  FOLDER|rows  CALLERS SECONDS WITNESSES`: one entry a call, in this process
//! `bench http    sqlite:PATH|postgres://…  FOLDER|rows  CALLERS SECONDS ENTRIES`: so many entries a request, over HTTP
//! `bench proofs  sqlite:PATH               FOLDER|rows  ENTRIES SECONDS`
//! `bench fill    sqlite:PATH               FOLDER|rows  ENTRIES`
//! `bench start   sqlite:PATH               FOLDER|rows`: of a log that was filled
//!
//! CPU is that of this process, all threads, callers and witnesses included; that of a PostgreSQL server is not in it.

#![expect(clippy::print_stdout, reason = "it prints one row of a table")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that fails has nothing to say")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use civic::SharedClock;
use civic::testing::TestClock;
use ledger::witness::Witness;
use ledger::{Ledger, LedgerClient, LedgerConfig, Submitter, Submitters};
use store::{Location, Store};
use tokio::task::JoinHandle;
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
        ["http", location, folder, callers, seconds, entries] => {
            http(location, folder, number(callers), number(seconds), number(entries)).await;
        }
        ["fill", location, folder, entries] => fill_up(location, folder, number(entries)).await,
        ["start", location, folder] => start(location, folder).await,
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

/// The keys of the log, always the same, and where its tiles are.
struct Means {
    key: SigningKey,
    second: MlDsaKey,
    folder: String,
}

impl Means {
    fn new(folder: &str) -> Self {
        // PKCS #8 of an Ed25519 seed (RFC 8410 §7).
        let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        let key = SigningKey::from_pkcs8_der(&[head.as_slice(), &[7; 32]].concat()).unwrap();
        let second = MlDsaKey::from_seed(&[7; 32]).unwrap();
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

/// One row of the table.
struct Row {
    waited: Vec<Duration>,
    seconds: f64,
    cpu_seconds: f64,
    entries: u64,
    commits: u64,
}

impl Row {
    fn print(mut self) {
        self.waited.sort_unstable();
        let at = |share: usize| {
            let place = (self.waited.len() * share / 1_000).min(self.waited.len() - 1);
            self.waited[place].as_secs_f64() * 1e3
        };
        let entries = self.entries as f64;
        println!(
            "{:.0} | {:.1} ms | {:.1} ms | {:.1} ms | {} | {:.5} | {:.1} µs",
            entries / self.seconds,
            at(500),
            at(990),
            at(1_000),
            self.entries,
            self.commits as f64 / entries,
            self.cpu_seconds / entries * 1e6
        );
    }
}

/// What is measured at a moment.
struct Mark {
    at: Instant,
    cpu_seconds: f64,
    commits: u64,
    size: u64,
}

impl Mark {
    fn now(ledger: &Ledger, store: &Store) -> Self {
        // The 14th and 15th field, in hundredths of a second; the second one is a name in brackets.
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        Self { at: Instant::now(), cpu_seconds: ticks / 100.0, commits: store.stats().commits, size: ledger.size() }
    }

    fn row(&self, waited: Vec<Duration>, ledger: &Ledger, store: &Store) -> Row {
        let end = Self::now(ledger, store);
        Row {
            waited,
            seconds: (end.at - self.at).as_secs_f64(),
            cpu_seconds: end.cpu_seconds - self.cpu_seconds,
            entries: end.size - self.size,
            commits: end.commits - self.commits,
        }
    }
}

/// An entry that no other caller makes.
fn entry(caller: u64, number: u64) -> Vec<u8> {
    let mut entry = vec![0; 32];
    entry[..8].copy_from_slice(&caller.to_be_bytes());
    entry[8..16].copy_from_slice(&number.to_be_bytes());
    entry
}

/// Lets the tasks run for so long, and gathers how long each of their calls waited.
async fn gather(stop: &AtomicBool, seconds: u64, tasks: Vec<JoinHandle<Vec<Duration>>>) -> Vec<Duration> {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut waited = Vec::new();
    for task in tasks {
        waited.extend(task.await.unwrap());
    }
    waited
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
    let begin = Mark::now(&ledger, &store);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (ledger, stop) = (ledger.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut waited = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let entries = vec![entry(caller, waited.len() as u64)];
                    let begun = Instant::now();
                    if witnessed {
                        ledger.append_witnessed(entries).await.unwrap();
                    } else {
                        ledger.append(entries).await.unwrap();
                    }
                    waited.push(begun.elapsed());
                }
                waited
            })
        })
        .collect();
    let waited = gather(&stop, seconds, tasks).await;
    begin.row(waited, &ledger, &store).print();
    ledger.check().await.unwrap();
}

/// Requests of so many entries each, signed by a submitter and answered with a checkpoint that the client verifies.
async fn http(location: &str, folder: &str, callers: u64, seconds: u64, entries: u64) {
    let store = store(location).await;
    let ledger = Ledger::open_with(Means::new(folder).config(store.clone())).await.unwrap();
    let key = SigningKey::generate_p256().unwrap();
    let allowed = Submitters::new();
    allowed.allow("bench", key.public()).unwrap();
    let url = serve(ledger::http::router(ledger.clone(), allowed)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let begin = Mark::now(&ledger, &store);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let submitter = Submitter::new("bench", key.clone()).unwrap();
            let client = LedgerClient::new(&url, ledger.verifier(), Some(submitter), clock()).unwrap();
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut waited = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let first = waited.len() as u64 * entries;
                    let batch: Vec<_> = (first..first + entries).map(|number| entry(caller, number)).collect();
                    let begun = Instant::now();
                    client.append(&batch).await.unwrap();
                    waited.push(begun.elapsed());
                }
                waited
            })
        })
        .collect();
    let waited = gather(&stop, seconds, tasks).await;
    begin.row(waited, &ledger, &store).print();
    ledger.check().await.unwrap();
}

async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Entries of one call of [`fill`].
const BATCH: u64 = 1_000;

/// The entry of this number that [`fill`] appends.
fn filled(number: u64) -> Vec<u8> {
    [number.to_be_bytes(); 4].concat()
}

/// Appends until the log has so many entries, many at a time; where each batch begins.
async fn fill(ledger: &Ledger, entries: u64) -> BTreeMap<u64, u64> {
    let next = Arc::new(AtomicU64::new(ledger.size()));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (ledger, next) = (ledger.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut places = Vec::new();
                loop {
                    let from = next.fetch_add(BATCH, Ordering::Relaxed);
                    if from >= entries {
                        return places;
                    }
                    let indexes = ledger.append((from..from + BATCH).map(filled).collect()).await.unwrap();
                    places.push((from, indexes[0]));
                }
            })
        })
        .collect();
    let mut places = BTreeMap::new();
    for task in tasks {
        places.extend(task.await.unwrap());
    }
    places
}

/// Makes a log of so many entries by appending them; its keys stay beside it.
async fn fill_up(location: &str, folder: &str, entries: u64) {
    let store = store(location).await;
    let means = Means::new(folder);
    let ledger = Ledger::open_with(means.config(store.clone())).await.unwrap();
    let begin = Mark::now(&ledger, &store);
    fill(&ledger, entries).await;
    let row = begin.row(Vec::new(), &ledger, &store);
    println!(
        "{} entries made in {:.0} s, {:.1} µs of CPU an entry",
        row.entries,
        row.seconds,
        row.cpu_seconds / entries as f64 * 1e6
    );
}

async fn start(location: &str, folder: &str) {
    let begun = Instant::now();
    let store = self::store(location).await;
    let ledger = Ledger::open_with(Means::new(folder).config(store)).await.unwrap();
    let took = begun.elapsed().as_secs_f64();
    println!("{} entries: started in {took:.3} s", ledger.size());
    let begun = Instant::now();
    let index = ledger.append(vec![begun.elapsed().as_nanos().to_be_bytes().to_vec()]).await.unwrap()[0];
    ledger.tlog_proof(index / 2).await.unwrap();
    println!("one entry and one proof {:.3} s later", begun.elapsed().as_secs_f64());
}

async fn proofs(location: &str, folder: &str, entries: u64, seconds: u64) {
    let store = store(location).await;
    let ledger = Ledger::open_with(Means::new(folder).config(store.clone())).await.unwrap();
    let places = Arc::new(fill(&ledger, entries).await);
    let url = serve(ledger::http::router(ledger.clone(), Submitters::new())).await;
    let stop = Arc::new(AtomicBool::new(false));
    let begin = Mark::now(&ledger, &store);
    let tasks: Vec<_> = (0..16_u64)
        .map(|caller| {
            let client = LedgerClient::new(&url, ledger.verifier(), None, clock()).unwrap();
            let (stop, places) = (Arc::clone(&stop), Arc::clone(&places));
            tokio::spawn(async move {
                let (mut waited, mut number) = (Vec::new(), caller * 7_919);
                while !stop.load(Ordering::Relaxed) {
                    number = (number + 104_729) % (places.len() as u64 * BATCH);
                    let index = places[&(number / BATCH * BATCH)] + number % BATCH;
                    let begun = Instant::now();
                    client.proof(index, &filled(number)).await.unwrap();
                    waited.push(begun.elapsed());
                }
                waited
            })
        })
        .collect();
    let waited = gather(&stop, seconds, tasks).await;
    let proofs = waited.len() as u64;
    Row { entries: proofs, ..begin.row(waited, &ledger, &store) }.print();
}
