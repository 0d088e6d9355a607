//! A process of its own that is killed: at random moments under many callers, and at every flush, write and rename of one
//! publication. The test is the keeper outside: it notes every acknowledgement and every checkpoint, and compares.
//!
//! `BAOBAB_LEDGER_KILLS` sets the rounds of random kills (30 where it is not set); `BAOBAB_LEDGER_EVERY_WRITE=1` injects
//! at each rename and write, not only at some of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger::{Ledger, LedgerConfig};
use trust::keys::SigningKey;
use trust::merkle::{Tile, leaf_hash, verify_consistency};
use trust::note::Checkpoint;

use crate::log::{ORIGIN, clock, entry, key};

/// Names the data directory of a child.
const CHILD: &str = "BAOBAB_LEDGER_CHILD";
/// What the child does: `serve` what it reads, or `cycle` through one publication.
const TASK: &str = "BAOBAB_LEDGER_TASK";
/// How the child ends where it can acknowledge nothing more.
const STOPPED: i32 = 3;
/// How it ends where nothing goes on any more: a fault may hit a call that no disk serves, as the one that wakes a thread.
const STALLED: i32 = 4;
const CYCLE_TIME_MAX: Duration = Duration::from_secs(20);
const CALLERS: u64 = 64;

#[expect(
    clippy::disallowed_methods,
    reason = "how the parent tells the child what to do, and how longer runs are asked for"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn open(folder: &Path) -> Ledger {
    let pem = std::fs::read_to_string(folder.join("key.pem")).unwrap();
    let store = store::testing::sqlite_in(folder).await;
    let config = LedgerConfig::new(store, SigningKey::from_pkcs8_pem(&pem).unwrap(), ORIGIN, clock());
    Ledger::open_with(config.folder(folder.join("tiles"))).await.unwrap()
}

/// Not a test of its own: what the other tests start as a process.
#[test]
fn child() {
    let Some(folder) = variable(CHILD) else { return };
    if variable(TASK).as_deref() == Some("cycle") {
        std::thread::spawn(|| {
            std::thread::sleep(CYCLE_TIME_MAX);
            std::process::exit(STALLED);
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let ledger = open(Path::new(&folder)).await;
        say(&format!("ready {}", ledger.size()));
        let watched = ledger.clone();
        tokio::spawn(async move {
            watched.stopped().await;
            std::process::exit(STOPPED);
        });
        match variable(TASK).as_deref() {
            Some("cycle") => cycle(&ledger).await,
            _ => serve(&ledger).await,
        }
        std::process::exit(0);
    });
}

/// One line, whole, to the parent.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn serve(ledger: &Ledger) {
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    while let Some(line) = lines.recv().await {
        let Ok(number) = line.parse::<u64>() else { continue };
        let ledger = ledger.clone();
        tokio::spawn(async move {
            match ledger.append(vec![entry(number)]).await {
                Ok(indexes) => {
                    say(&format!("ack {number} {}", indexes[0]));
                    if number % 16 == 0 {
                        say(&format!("checkpoint {}", STANDARD.encode(ledger.checkpoint())));
                    }
                }
                Err(_) => std::process::exit(STOPPED),
            }
        });
    }
}

/// Publications that fill tiles, a sync of the folder, and one more.
async fn cycle(ledger: &Ledger) {
    let start = ledger.size();
    for (from, to) in [(0, 200), (200, 500), (500, 501), (501, 520)] {
        let entries = (start + from..start + to).map(entry).collect();
        let Ok(indexes) = ledger.append(entries).await else { std::process::exit(STOPPED) };
        let lines: Vec<String> =
            (start + from..).zip(indexes).map(|(number, index)| format!("ack {number} {index}")).collect();
        say(&lines.join("\n"));
        say(&format!("checkpoint {}", STANDARD.encode(ledger.checkpoint())));
        if to == 500 && ledger.settle().await.is_err() {
            std::process::exit(STOPPED);
        }
    }
}

/// What is known outside of the process.
#[derive(Clone, Default)]
struct Keeper {
    acknowledged: BTreeMap<u64, u64>,
    checkpoints: Vec<String>,
}

impl Keeper {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["ack", number, index] => {
                // A line that the kill cut short says nothing.
                if let (Ok(number), Ok(index)) = (number.parse(), index.parse()) {
                    let before = self.acknowledged.insert(number, index);
                    assert!(before.is_none_or(|before| before == index), "{number} was at {before:?}, now at {index}");
                }
            }
            ["checkpoint", note] => {
                let note = STANDARD.decode(note).ok().and_then(|note| String::from_utf8(note).ok());
                self.checkpoints.extend(note);
            }
            _ => {}
        }
    }

    /// Each acknowledged entry is at its index, and every checkpoint that was seen is continued.
    async fn compare(&self, folder: &Path) {
        let ledger = open(folder).await;
        ledger.check().await.unwrap();
        let mut bundles: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (number, index) in &self.acknowledged {
            assert!(*index < ledger.size(), "entry {number} was acknowledged at {index} and is lost");
            let width = Tile::width_in(0, index / 256, ledger.size());
            if let Entry::Vacant(missing) = bundles.entry(index / 256) {
                let tile = Tile { level: 0, index: index / 256, width };
                missing.insert(ledger.tile(tile).await.unwrap().unwrap());
            }
            let place = (index % 256) as usize * 32;
            let leaf = &bundles[&(index / 256)][place..place + 32];
            assert_eq!(leaf, leaf_hash(&entry(*number)), "entry {number} at {index}");
        }
        for note in &self.checkpoints {
            let seen = Checkpoint::open(note, &ledger.verifier()).unwrap();
            let proof = ledger.consistency(seen.size, ledger.size()).await.unwrap();
            verify_consistency(seen.size, &seen.root, ledger.size(), &ledger.root(), &proof).unwrap();
        }
    }
}

/// A child and what it says.
struct Process {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

fn start(mut command: Command, folder: &Path, task: &str) -> Process {
    let mut child = command
        .args(["--exact", "crash::child", "--nocapture", "--test-threads", "1"])
        .env(CHILD, folder)
        .env(TASK, task)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (sender, lines) = channel();
    let output = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let input = child.stdin.take().unwrap();
    Process { child, input, lines }
}

fn own_program() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

/// A log with some history, and what is known of it outside.
struct Grown {
    folder: tempfile::TempDir,
    keeper: Keeper,
}

impl Grown {
    fn new() -> Self {
        let folder = fresh();
        let mut keeper = Keeper::default();
        let process = start(Command::new(own_program()), folder.path(), "cycle");
        process.lines.iter().for_each(|line| keeper.hear(&line));
        assert_eq!(keeper.acknowledged.len(), 520);
        Self { folder, keeper }
    }

    /// Another like it: each injection meets the same writes, so that a run at every one of them has an end.
    fn again(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        crate::folder::copy(self.folder.path(), folder.path());
        Self { folder, keeper: self.keeper.clone() }
    }
}

fn fresh() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.pem"), key()).unwrap();
    folder
}

#[test]
fn random_kills_under_many_callers_lose_no_acknowledged_entry() {
    let rounds: u64 = variable("BAOBAB_LEDGER_KILLS").and_then(|kills| kills.parse().ok()).unwrap_or(30);
    let folder = fresh();
    let mut keeper = Keeper::default();
    let mut next = 0;
    for round in 0..rounds {
        let mut process = start(Command::new(own_program()), folder.path(), "serve");
        let mut deadline = None;
        loop {
            let patience = deadline.map_or(Duration::from_secs(20), |end: Instant| end - Instant::now().min(end));
            match process.lines.recv_timeout(patience) {
                Ok(line) => {
                    keeper.hear(&line);
                    if line.starts_with("ready ") {
                        // Anything from the first instants to several publications.
                        deadline = Some(Instant::now() + Duration::from_micros(500 + (round * 7_919) % 60_000));
                        for _ in 0..CALLERS {
                            let _ = writeln!(process.input, "{next}");
                            next += 1;
                        }
                    } else if line.starts_with("ack ") {
                        let _ = writeln!(process.input, "{next}");
                        next += 1;
                    }
                }
                Err(RecvTimeoutError::Timeout) if deadline.is_some() => break,
                Err(error) => panic!("the ledger did not open again in round {round}: {error}"),
            }
        }
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        // What was written before the kill was said.
        for line in &process.lines {
            keeper.hear(&line);
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(keeper.compare(folder.path()));
    let (acknowledged, checkpoints) = (keeper.acknowledged.len(), keeper.checkpoints.len());
    eprintln!("{rounds} kills, {acknowledged} acknowledged entries and {checkpoints} checkpoints compared, none lost");
    assert!(acknowledged as u64 > rounds, "{acknowledged} entries in {rounds} rounds");
}

/// One run of a cycle with an injected fault; how it ended, and the calls that strace wrote down.
fn inject(folder: &Path, keeper: &mut Keeper, call: &str, fault: &str, when: u32) -> (Option<i32>, String) {
    let log = folder.join("strace.log");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-y", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace=fsync,fdatasync,syncfs,{call}")])
        .args(["-e", &format!("inject={call}:{fault}:when={when}")])
        .arg(own_program());
    let mut process = start(strace, folder, "cycle");
    for line in &process.lines {
        keeper.hear(&line);
    }
    let ended = process.child.wait().unwrap();
    (ended.code(), std::fs::read_to_string(log).unwrap_or_default())
}

fn has_strace() -> bool {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        eprintln!("LEFT OUT: strace is not installed");
    }
    there
}

#[test]
fn a_kill_at_any_flush_write_or_rename_of_a_publication_loses_nothing() {
    if !has_strace() {
        return;
    }
    let every = variable("BAOBAB_LEDGER_EVERY_WRITE").is_some();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let grown = Grown::new();
    let mut kills = Vec::new();
    // SQLite writes by pwrite64, the folder of tiles by write.
    for (call, stride) in [
        ("fsync", 1),
        ("syncfs", 1),
        ("ftruncate", 1),
        ("mkdir", 3),
        ("rename", 5),
        ("renameat2", 2),
        ("write", 29),
        ("pwrite64", 31),
    ] {
        let mut killed = 0;
        let mut compared = 0;
        let stride = if every { 1 } else { stride };
        // Until a run ends before the injection.
        for when in (1..).step_by(stride) {
            let mut log = grown.again();
            let (code, _) = inject(log.folder.path(), &mut log.keeper, call, "signal=SIGKILL", when);
            runtime.block_on(log.keeper.compare(log.folder.path()));
            compared += log.keeper.acknowledged.len();
            if code == Some(0) {
                break;
            }
            assert!(code.is_none_or(|code| code > 128), "{call} {when}: {code:?}");
            killed += 1;
        }
        kills.push((call, killed, compared));
    }
    eprintln!("kills (call, times, acknowledged entries compared): {kills:?}");
    assert!(kills.iter().all(|(_, killed, _)| *killed > 0), "{kills:?}");
}

#[test]
fn a_disk_that_fails_or_is_full_ends_the_process_and_no_failed_flush_is_tried_again() {
    if !has_strace() {
        return;
    }
    let every = variable("BAOBAB_LEDGER_EVERY_WRITE").is_some();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let grown = Grown::new();
    for (call, error, stride) in [
        ("fsync", "EIO", 1),
        ("fsync", "ENOSPC", 5),
        ("syncfs", "EIO", 1),
        ("rename", "ENOSPC", 5),
        ("rename", "EIO", 17),
        ("write", "ENOSPC", 9),
        ("write", "EIO", 19),
        ("pwrite64", "ENOSPC", 13),
        ("pwrite64", "EIO", 17),
    ] {
        let (mut stopped, mut went_on, mut elsewhere, mut overlooked, mut compared) = (0, 0, 0, 0, 0);
        let stride = if every { 1 } else { stride };
        for when in (1..).step_by(stride) {
            let Grown { folder, mut keeper } = grown.again();
            let (code, log) = inject(folder.path(), &mut keeper, call, &format!("error={error}"), when);
            let Some((_, after)) = log.split_once("(INJECTED)") else {
                assert_eq!(code, Some(0), "{call} {when}: it ended by itself");
                break;
            };
            // What is not of the log may fail as it likes; a name that is tried anew may too.
            let injected = log.lines().find(|line| line.contains("(INJECTED)")).unwrap_or_default();
            if !injected.contains(&folder.path().display().to_string()) {
                elsewhere += 1;
            } else if code == Some(0) {
                went_on += 1;
            } else {
                assert_ne!(code, Some(STALLED), "{call} {when}: {injected}");
                stopped += 1;
            }
            let flush = call.ends_with("sync") || call == "syncfs";
            let again = flush && code == Some(STOPPED) && after.contains("sync(");
            assert!(!again, "a flush was tried after one had failed: {after}");
            if flush && code == Some(0) {
                // SQLite overlooks one error, when it syncs the name of its new log; the store syncs the folder itself right after, which
                // must have gone well.
                let names = format!("<{}>)", folder.path().display());
                let of_names = call == "fsync" && injected.contains(&names);
                let made_good = after.lines().any(|line| line.contains(&names) && line.trim_end().ends_with("= 0"));
                assert!(of_names && made_good, "{call} {when}: a flush failed, and the process went on: {log}");
                overlooked += 1;
            }
            runtime.block_on(keeper.compare(folder.path()));
            compared += keeper.acknowledged.len();
        }
        assert!(stopped > 0, "{call} {error}");
        assert!(overlooked <= 1, "{call} {error}: SQLite overlooks one failed sync, not {overlooked}");
        eprintln!(
            "{error} at {call}: the process ended {stopped} times and went on {went_on} times; {elsewhere} faults were not of the log; {compared} entries compared"
        );
    }
}
