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
const ROWS: &[(&str, &str, u32)] =
    &[("sqlite", "rows", 0), ("sqlite", "folder", 0), ("sqlite", "folder", 3), ("postgres", "folder", 0)];

/// Runs each row, with a run of its own under strace that counts flushes; then proofs, then a start.
pub(super) fn run(seconds: u32, callers: &[u32], entries: u64) -> anyhow::Result<()> {
    packages::ensure(packages::FOR_BENCHES)?;
    step("building the release example");
    check(&mut cargo(&["build", "--release", "--package", "ledger", "--example", "bench"]))?;
    let folder =
        PathBuf::from(output(Command::new("mktemp").args(["--directory", "/tmp/baobab-bench-XXXXXX"]))?.trim());
    let database = Temporary::start()?;
    step(&format!("{} ({seconds} s a run)", machine()?));
    let mut table = String::from(
        "| engine | tiles | witnesses | callers | entries/s | p50 | p99 | entries | commits per entry | flushes per entry |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (number, (engine, tiles, witnesses)) in ROWS.iter().enumerate() {
        for &count in callers {
            let place = |run: &str| folder.join(format!("{number}-{count}-{run}"));
            let figures =
                output(&mut bench(&place("timed"), engine, tiles, &database.url(), count, seconds, *witnesses)?)?;
            let flushes = flushes(&mut bench(&place("traced"), engine, tiles, &database.url(), count, 3, *witnesses)?)?;
            writeln!(table, "| {engine} | {tiles} | {witnesses} | {count} | {} | {flushes} |", figures.trim())?;
        }
    }
    println!("{table}");
    let place = folder.join("proofs");
    fs::create_dir_all(&place)?;
    let location = format!("sqlite:{}", place.join("ledger.db").display());
    let tiles = place.join("tiles").display().to_string();
    println!("{}", output(example().args(["proofs", &location, &tiles, "1000000", &seconds.to_string()]))?.trim());
    let place = folder.join("start");
    fs::create_dir_all(&place)?;
    let location = format!("sqlite:{}", place.join("ledger.db").display());
    let tiles = place.join("tiles").display().to_string();
    println!("{}", output(example().args(["start", &location, &tiles, &entries.to_string()]))?.trim());
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn example() -> Command {
    Command::new(target().join("release/examples/bench"))
}

fn bench(
    place: &Path,
    engine: &str,
    tiles: &str,
    postgres: &str,
    callers: u32,
    seconds: u32,
    witnesses: u32,
) -> anyhow::Result<Command> {
    fs::create_dir_all(place)?;
    let schema = place.file_name().context("a folder has a name")?.to_string_lossy().replace('-', "_");
    let location = match engine {
        "sqlite" => format!("sqlite:{}", place.join("ledger.db").display()),
        _ => format!("{postgres}{}schema=b{schema}", if postgres.contains('?') { '&' } else { '?' }),
    };
    let tiles = if tiles == "rows" { tiles.to_owned() } else { place.join("tiles").display().to_string() };
    let mut command = example();
    command.args(["append", &location, &tiles]);
    command.args([callers.to_string(), seconds.to_string(), witnesses.to_string()]);
    Ok(command)
}

/// Flushes of the process itself, by strace; those of PostgreSQL are its server's and not counted.
fn flushes(command: &mut Command) -> anyhow::Result<String> {
    let strace = find("strace").context("strace is missing")?;
    let traced = Command::new(strace)
        .args(["-f", "-c", "-e", "trace=fsync,fdatasync,syncfs"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()?;
    let entries = String::from_utf8_lossy(&traced.stdout);
    let entries: f64 = entries.split('|').nth(3).context("the traced run printed nothing")?.trim().parse()?;
    let calls: f64 = String::from_utf8_lossy(&traced.stderr)
        .lines()
        .filter(|line| line.ends_with("sync") || line.ends_with("syncfs"))
        .filter_map(|line| line.split_whitespace().nth(3)?.parse::<f64>().ok())
        .sum();
    Ok(format!("{:.5}", calls / entries.max(1.0)))
}
