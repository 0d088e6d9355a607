//! Development commands of the house: `cargo xtask test`, `ci`, `bench`, `fuzz`, `powercut`, `gen`, `tidy`, `pg`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to the terminal")]

mod bench;
mod fuzz;
mod generate;
mod packages;
mod postgres;
mod powercut;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};

/// Development commands of Baobab.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need (Debian packages) and run every test on both engines, the browser journey included.
    Test {
        /// Passed on to the test programs (`cargo xtask test -- NAME` runs the tests whose name holds NAME).
        #[arg(last = true)]
        rest: Vec<String>,
        /// Only this crate.
        #[arg(short, long)]
        package: Option<String>,
    },
    /// All that a change must pass: format, lints, tidy rules, documentation, generated files, tests.
    Ci,
    /// Measure; nothing is asserted.
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Feed the parsers that meet strangers' bytes (docs/fuzzing.md); needs a C++ compiler.
    Fuzz {
        /// The fuzzers to run; all where none is named.
        names: Vec<String>,
        /// How long each runs.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Write docs/generated anew.
    Gen {
        /// Fail where a file would change.
        #[arg(long)]
        check: bool,
    },
    /// Check the rules of the house that no compiler knows.
    Tidy,
    /// Cut the power of a machine (QEMU) in which a log runs, again and again, and compare with what a keeper outside
    /// knows; then the same with flushes that do nothing, which must lose data.
    Powercut {
        /// Cuts on each engine.
        #[arg(long, default_value_t = 10)]
        rounds: u32,
        /// Cuts of the control on each engine, each on a fresh disk.
        #[arg(long, default_value_t = 3)]
        control: u32,
        /// Another seed cuts at other moments.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Which engines.
        #[arg(long, value_delimiter = ',', default_values_t = ["sqlite".to_owned(), "postgres".to_owned()])]
        engines: Vec<String>,
    },
    /// Start a temporary PostgreSQL, print its URL and run a command with it.
    Pg {
        /// The command; a shell that waits for Ctrl-D where there is none.
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Test { rest, package } => test(package.as_deref(), &rest),
        Task::Ci => ci(),
        Task::Bench { what } => bench::run(&what),
        Task::Fuzz { names, seconds } => fuzz::run(&names, seconds),
        Task::Gen { check } => generate::run(check),
        Task::Tidy => tidy::run(),
        Task::Powercut { rounds, control, seed, engines } => powercut::run(rounds, control, seed, &engines),
        Task::Pg { command } => postgres::with_command(&command),
    }
}

fn test(package: Option<&str>, rest: &[String]) -> anyhow::Result<()> {
    packages::ensure(packages::FOR_TESTS)?;
    let judges = packages::judges(&target());
    let database = postgres::Temporary::start()?;
    step("tests on SQLite and PostgreSQL");
    let mut command = cargo(&["test"]);
    match package {
        Some(package) => command.args(["--package", package]),
        None => command.arg("--workspace"),
    };
    if let Some(python) = judges {
        command.env("BAOBAB_JUDGES", python);
    }
    command.arg("--").args(rest).env("BAOBAB_TEST_POSTGRES", database.url());
    check(&mut command)
}

fn ci() -> anyhow::Result<()> {
    step("format");
    check(&mut cargo(&["fmt", "--all", "--check"]))?;
    step("tidy");
    tidy::run()?;
    // The lints compile what the tests compile: the bridge with OpenSSL.
    packages::ensure(packages::FOR_TESTS)?;
    step("lints");
    check(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    test(None, &[])?;
    step("generated files");
    generate::run(true)?;
    step("documentation");
    check(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// A cargo command in the root of the repository.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    command.current_dir(root()).args(arguments);
    command
}

/// Runs a command that must succeed.
fn check(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        bail!("{} {} failed ({status})", command.get_program().display(), words.join(" "));
    }
    Ok(())
}

/// The standard output of a command that must succeed.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let result = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !result.status.success() {
        bail!("{} failed: {}", command.get_program().display(), String::from_utf8_lossy(&result.stderr).trim());
    }
    Ok(String::from_utf8(result.stdout)?)
}

/// The root of the repository.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Where Cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn step(name: &str) {
    println!("── {name}");
}
