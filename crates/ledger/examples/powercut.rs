//! A log whose power is cut: the two ends of `cargo xtask powercut`. Nothing of it is for use elsewhere.
//!
//! `powercut guest sqlite:PATH|postgres://… FOLDER|rows CALLERS ROUND`: runs inside the machine. It says every entry
//! that the log holds, then appends and says each acknowledgement and checkpoint.
//!
//! `powercut keeper ROUNDS SEED MILLISECONDS COMMAND…`: runs outside. It starts the machine (`{round}` in the command is
//! the number of the start), notes what it hears, kills it at a moment of its choosing, and compares what the next start
//! says with what was acknowledged. It ends with 0 where nothing was lost, with 3 where something was.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to the keeper, and to who runs it")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a round that fails must end")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use civic::testing::{SeededRandom, TestClock};
use ledger::{Ledger, LedgerConfig};
use store::Location;
use trust::keys::SigningKey;
use trust::merkle::{Edge, Hash, Tile, leaf_hash};
use trust::note::Checkpoint;

const ORIGIN: &str = "ledger.powercut/log";
/// A machine without its own processor takes this long to start, and longer beside other work.
const START_TIME_MAX: Duration = Duration::from_mins(4);
/// A machine that ends by itself is started so often.
const STARTS_MAX: u32 = 3;
const ENDED: &str = "the machine ended";
/// Ends every line; a line that was cut short does not have it.
const END: &str = " .";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["guest", location, folder, callers, round] => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(guest(location, folder, callers.parse().unwrap(), round.parse().unwrap()));
            ExitCode::SUCCESS
        }
        ["keeper", rounds, seed, milliseconds, command @ ..] => {
            let draw = SeededRandom::new(seed.parse().unwrap());
            let mut keeper = Keeper::new(milliseconds.parse().unwrap(), command);
            keeper.run(rounds.parse().unwrap(), &draw)
        }
        _ => {
            eprintln!("usage: see the head of examples/powercut.rs");
            ExitCode::FAILURE
        }
    }
}

fn key() -> SigningKey {
    // PKCS #8 of an Ed25519 seed (RFC 8410 §7): always the same, so that each start knows the log.
    let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    SigningKey::from_pkcs8_der(&[head.as_slice(), &[9; 32]].concat()).unwrap()
}

/// One line, whole, to the keeper.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}{END}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn entry(round: u64, number: u64) -> Vec<u8> {
    [round.to_be_bytes(), number.to_be_bytes()].concat()
}

async fn guest(location: &str, folder: &str, callers: u64, round: u64) {
    let begun = Instant::now();
    let store = store::testing::open(&location.parse::<Location>().unwrap()).await;
    let clock = Arc::new(TestClock::at("2026-11-27T00:00:00Z"));
    let config = LedgerConfig::new(store, key(), ORIGIN, clock);
    let config = if folder == "rows" { config } else { config.folder(folder) };
    let ledger = Ledger::open_with(config).await.unwrap_or_else(|error| {
        say(&format!("refused {error}"));
        std::process::exit(1);
    });
    say(&format!("open {}", begun.elapsed().as_millis()));
    ledger.check().await.unwrap();
    for index in 0..ledger.size().div_ceil(256) {
        let tile = Tile { level: 0, index, width: Tile::width_in(0, index, ledger.size()) };
        say(&format!("bundle {}", STANDARD.encode(ledger.entries(tile).await.unwrap().unwrap())));
    }
    say(&format!("whole {}", ledger.size()));
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for number in (caller..).step_by(usize::try_from(callers).unwrap()) {
                    let index = ledger.append(vec![entry(round, number)]).await.unwrap()[0];
                    say(&format!("ack {round} {number} {index}"));
                    if number % 64 == 0 {
                        say(&format!("checkpoint {}", STANDARD.encode(ledger.checkpoint())));
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// What is known outside of the machine.
struct Keeper {
    command: Vec<String>,
    milliseconds_max: u64,
    acknowledged: BTreeMap<(u64, u64), u64>,
    checkpoints: Vec<Checkpoint>,
    /// The leaves that the present start says.
    leaves: Vec<Hash>,
    compared: (u64, u64),
    lost: u64,
}

/// How a start went.
enum Heard {
    /// It said all its entries, and its power was cut while it appended.
    Whole,
    /// It said nothing of use: it does not start, or the log does not open.
    Nothing(String),
}

impl Keeper {
    fn new(milliseconds_max: u64, command: &[&str]) -> Self {
        Self {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            milliseconds_max,
            acknowledged: BTreeMap::new(),
            checkpoints: Vec::new(),
            leaves: Vec::new(),
            compared: (0, 0),
            lost: 0,
        }
    }

    fn run(&mut self, rounds: u64, draw: &SeededRandom) -> ExitCode {
        for round in 0..=rounds {
            let [low, high] = civic::random_array::<2>(draw);
            let wait = u64::from(u16::from_be_bytes([low, high])) * self.milliseconds_max / 65_536;
            // The last start is only there to be compared.
            let wait = if round == rounds { 0 } else { wait };
            let (entries, checkpoints) = (self.acknowledged.len(), self.checkpoints.len());
            let mut heard = self.start(round, Duration::from_millis(wait));
            // A kernel without hardware help sometimes gives up before it looks at a disk.
            for _ in 1..STARTS_MAX {
                if matches!(&heard, Heard::Nothing(reason) if reason == ENDED) {
                    eprintln!("start {round}: the machine ended before the log opened; once more");
                    heard = self.start(round, Duration::from_millis(wait));
                }
            }
            if let Heard::Nothing(reason) = heard {
                println!("start {round}: the log does not open: {reason}");
                println!("lost: {entries} acknowledged entries and {checkpoints} checkpoints cannot be read");
                return ExitCode::from(3);
            }
            let more = self.acknowledged.len() - entries;
            println!("start {round}: {} entries there, {more} acknowledged in {wait} ms, then cut", self.leaves.len());
        }
        let (entries, checkpoints) = self.compared;
        println!(
            "{rounds} cuts, {} acknowledged entries, {} checkpoints; compared {entries} and {checkpoints} times; lost: {}",
            self.acknowledged.len(),
            self.checkpoints.len(),
            self.lost
        );
        if self.lost == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) }
    }

    fn start(&mut self, round: u64, wait: Duration) -> Heard {
        let (mut machine, lines) = self.boot(round);
        self.leaves.clear();
        let mut deadline = Instant::now() + START_TIME_MAX;
        let mut whole = false;
        let mut refused = None;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let Some(line) = line.strip_suffix(END) else { continue };
                    if let Some(size) = line.strip_prefix("whole ") {
                        assert_eq!(size.parse(), Ok(self.leaves.len()));
                        self.compare();
                        whole = true;
                        deadline = Instant::now() + wait;
                    } else if let Some(reason) = line.strip_prefix("refused ") {
                        refused = Some(reason.to_owned());
                        break;
                    } else {
                        self.hear(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    refused = Some(ENDED.to_owned());
                    break;
                }
            }
        }
        machine.kill().unwrap();
        machine.wait().unwrap();
        // What was said before the cut was said.
        for line in &lines {
            line.strip_suffix(END).into_iter().for_each(|line| self.hear(line));
        }
        match (whole, refused) {
            (_, Some(reason)) => Heard::Nothing(reason),
            (false, None) => Heard::Nothing(format!("nothing heard for {} s", START_TIME_MAX.as_secs())),
            (true, None) => Heard::Whole,
        }
    }

    fn boot(&self, round: u64) -> (Child, Receiver<String>) {
        let words: Vec<String> = self.command.iter().map(|word| word.replace("{round}", &round.to_string())).collect();
        let mut machine =
            Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = machine.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line.trim_end_matches('\r').to_owned()).is_err() {
                    return;
                }
            }
        });
        (machine, lines)
    }

    fn hear(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["bundle", bundle] => {
                let bundle = STANDARD.decode(bundle).unwrap();
                let mut rest = bundle.as_slice();
                while let Some((length, after)) = rest.split_first_chunk::<2>() {
                    let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
                    self.leaves.push(leaf_hash(entry));
                    rest = after;
                }
            }
            ["ack", round, number, index] => {
                let place = (round.parse().unwrap(), number.parse().unwrap());
                self.acknowledged.insert(place, index.parse().unwrap());
            }
            ["checkpoint", note] => {
                let note = String::from_utf8(STANDARD.decode(note).unwrap()).unwrap();
                let verifier = trust::note::VerifierKey::new(ORIGIN, key().public()).unwrap();
                self.checkpoints.push(Checkpoint::open(&note, &verifier).unwrap());
            }
            _ => {}
        }
    }

    /// Each acknowledged entry is at its index, and the entries make the root of every checkpoint that was heard.
    fn compare(&mut self) {
        for ((round, number), index) in &self.acknowledged {
            let there = usize::try_from(*index).ok().and_then(|index| self.leaves.get(index));
            self.compared.0 += 1;
            self.lost += u64::from(there != Some(&leaf_hash(&entry(*round, *number))));
        }
        self.checkpoints.sort_by_key(|checkpoint| checkpoint.size);
        let mut edge = Edge::default();
        let mut leaves = self.leaves.iter();
        for checkpoint in &self.checkpoints {
            while edge.size() < checkpoint.size
                && let Some(leaf) = leaves.next()
            {
                edge.push(*leaf, |_, _| {});
            }
            self.compared.1 += 1;
            self.lost += u64::from((edge.size(), edge.root()) != (checkpoint.size, checkpoint.root));
        }
    }
}
