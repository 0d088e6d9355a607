//! Durable entries a second, with the commits and flushes that each took.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::machine::machine;
use crate::packages::{self, find};
use crate::postgres::Temporary;
use crate::{cargo, check, output, step, target};

/// The rows of the table: engine, home of the tiles, witnesses.
const ROWS: &[(&str, &str, u32)] = &[
    ("sqlite", "rows", 0),
    ("sqlite", "folder", 0),
    ("sqlite", "folder", 3),
    ("postgres", "rows", 0),
    ("postgres", "folder", 0),
];
/// Over HTTP: callers, entries a request.
const REQUESTS: &[(u32, u32)] = &[(64, 1), (16, 100), (8, 1_000)];
const HEAD: &str = "entries/s | p50 | p99 | worst | entries | commits per entry | CPU per entry | flushes per entry |";

/// Runs each row, with a run of its own under strace that counts flushes; then proofs, then a start.
pub(super) fn run(seconds: u32, callers: &[u32], entries: u64) -> anyhow::Result<()> {
    packages::ensure(packages::FOR_TESTS)?;
    packages::ensure(packages::FOR_BENCHES)?;
    step("building the release example");
    check(&mut cargo(&["build", "--release", "--package", "ledger", "--example", "bench"]))?;
    let folder =
        PathBuf::from(output(Command::new("mktemp").args(["--directory", "/tmp/baobab-bench-XXXXXX"]))?.trim());
    let bench = Bench { folder, database: Temporary::start()?, seconds };
    step(&format!("{} ({seconds} s a run)", machine()?));
    println!("| engine | tiles | witnesses | callers | {HEAD}\n|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (engine, tiles, witnesses) in ROWS {
        for callers in callers {
            let figures = bench.row("append", engine, tiles, &[*callers, seconds, *witnesses])?;
            println!("| {engine} | {tiles} | {witnesses} | {callers} | {figures} |");
        }
    }
    println!("\n| over HTTP: callers | entries a request | {HEAD}\n|---|---|---|---|---|---|---|---|---|---|");
    for (callers, entries) in REQUESTS {
        let figures = bench.row("http", "sqlite", "folder", &[*callers, seconds, *entries])?;
        println!("| {callers} | {entries} | {figures} |");
    }
    bench.proofs()?;
    bench.start(entries)?;
    fs::remove_dir_all(&bench.folder)?;
    Ok(())
}

struct Bench {
    folder: PathBuf,
    database: Temporary,
    seconds: u32,
}

impl Bench {
    /// The figures of a run, and the flushes of another one.
    fn row(&self, what: &str, engine: &str, tiles: &str, numbers: &[u32]) -> anyhow::Result<String> {
        let figures = output(&mut self.command("timed", what, engine, tiles, numbers)?)?;
        let traced = self.command("traced", what, engine, tiles, numbers)?;
        let flushes = if engine == "sqlite" { flushes(&traced)? } else { self.server_flushes(traced)? };
        Ok(format!("{} | {flushes}", figures.trim()))
    }

    fn command(&self, run: &str, what: &str, engine: &str, tiles: &str, numbers: &[u32]) -> anyhow::Result<Command> {
        let mut name = format!("{run}_{what}_{engine}_{tiles}");
        for number in numbers {
            write!(name, "_{number}")?;
        }
        let place = self.folder.join(&name);
        // What an earlier row left waiting for the disk is not for this one to bring there.
        fs::create_dir_all(&place)?;
        check(&mut Command::new("sync"))?;
        let location = match engine {
            "sqlite" => format!("sqlite:{}", place.join("ledger.db").display()),
            _ => format!("{}?schema={name}", self.database.url()),
        };
        let mut command = example();
        command.args([what, &location, &tiles_at(tiles, &place)]).args(numbers.iter().map(u32::to_string));
        Ok(command)
    }

    /// Flushes of the write-ahead log, counted by the PostgreSQL server, and of the folder, an entry.
    fn server_flushes(&self, mut command: Command) -> anyhow::Result<String> {
        let before = self.server_syncs()?;
        let figures = output(&mut command)?;
        Ok(format!("{:.5}", (self.server_syncs()? - before) / entries_of(&figures)?))
    }

    fn server_syncs(&self) -> anyhow::Result<f64> {
        let psql = find("psql").context("psql is missing: install the Debian package postgresql")?;
        let query = "SELECT wal_sync FROM pg_stat_wal";
        Ok(output(Command::new(psql).args([&self.database.url(), "-tAc", query]))?.trim().parse()?)
    }

    fn proofs(&self) -> anyhow::Result<()> {
        let place = self.folder.join("proofs");
        fs::create_dir_all(&place)?;
        let location = format!("sqlite:{}", place.join("ledger.db").display());
        let seconds = self.seconds.to_string();
        let figures = output(example().args(["proofs", &location, &tiles_at("folder", &place), "1000000", &seconds]))?;
        println!(
            "\n| proofs over HTTP, each verified, of 1,000,000 entries | p50 | p99 | worst | proofs | | CPU per proof |\n|---|---|---|---|---|---|---|"
        );
        println!("| {} |", figures.trim());
        Ok(())
    }

    /// Fills a log of so many entries, and starts it, several times: as it was left, and from a cold disk.
    fn start(&self, entries: u64) -> anyhow::Result<()> {
        let place = self.folder.join("start");
        fs::create_dir_all(&place)?;
        let location = format!("sqlite:{}", place.join("ledger.db").display());
        let tiles = tiles_at("folder", &place);
        println!("\n{}", output(example().args(["fill", &location, &tiles, &entries.to_string()]))?.trim());
        for run in 0..4 {
            check(&mut Command::new("sync"))?;
            // Without the right to empty the kernel's caches every start is a warm one.
            let cold = run % 2 == 1 && fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
            let said = output(example().args(["start", &location, &tiles]))?;
            println!("{}: {}", if cold { "cold disk" } else { "warm" }, said.trim().replace('\n', ", "));
        }
        Ok(())
    }
}

fn tiles_at(tiles: &str, place: &Path) -> String {
    if tiles == "rows" { tiles.to_owned() } else { place.join("tiles").display().to_string() }
}

fn example() -> Command {
    Command::new(target().join("release/examples/bench"))
}

/// Flushes of the process by strace, which stops it at these calls only, an entry.
fn flushes(command: &Command) -> anyhow::Result<String> {
    let strace = find("strace").context("strace is missing")?;
    let traced = Command::new(strace)
        .args(["-f", "--seccomp-bpf", "-c", "-e", "trace=fsync,fdatasync,syncfs"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()?;
    let calls: f64 = String::from_utf8_lossy(&traced.stderr)
        .lines()
        .filter(|line| line.ends_with("sync") || line.ends_with("syncfs"))
        .filter_map(|line| line.split_whitespace().nth(3)?.parse::<f64>().ok())
        .sum();
    Ok(format!("{:.5}", calls / entries_of(&String::from_utf8_lossy(&traced.stdout))?))
}

fn entries_of(figures: &str) -> anyhow::Result<f64> {
    let entries: f64 = figures.split('|').nth(4).context("the traced run printed nothing")?.trim().parse()?;
    Ok(entries.max(1.0))
}
