//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::telemetry::{self, LogFormat};
use crate::{demo, verify};

/// Sovereign digital government in one binary.
#[derive(Debug, Parser)]
#[command(name = "baobab", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How log lines look (they go to stderr).
    #[arg(long, global = true, value_enum, default_value_t, env = "BAOBAB_LOG_FORMAT")]
    log_format: LogFormat,
    /// Which log lines are written: a level, or a list such as `bridge=debug,warn`.
    #[arg(long, global = true, default_value = "warn", env = "BAOBAB_LOG")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a demo nation: an agency, two registers, a bank and their bridge, on embedded storage.
    Demo(DemoArguments),
    /// Judge an ASiC-E container offline: valid, or the precise reason why not.
    Verify(VerifyArguments),
}

/// Options of `baobab demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArguments {
    /// Where the nation keeps its data. Default: `baobab/demo` in your data directory.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How many synthetic people the register holds (used when the data are first made).
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub population: u32,
    /// Seed of the synthetic people: the same seed makes the same people (used when the data are first made).
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// First port; the nation uses ports from here to 130 above.
    #[arg(long, default_value_t = 8600, value_name = "N", value_parser = clap::value_parser!(u16).range(1024..=65_400))]
    pub port_base: u16,
    /// Throw away the data of an earlier demo first.
    #[arg(long)]
    pub reset: bool,
}

/// Options of `baobab verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArguments {
    /// The container, for instance from `GET /asic` of a node.
    #[arg(value_name = "FILE.asice")]
    pub container: PathBuf,
    /// Trust data: a folder with `INSTANCE/shared-params.xml`, as `GET /verificationconf` of a node gives it.
    #[arg(long, value_name = "DIR")]
    pub trust: PathBuf,
    /// Print the verdict as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Reads the command line and does what it says. Exit status: 0 done or valid, 1 failed or not valid, 2 wrong use.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = telemetry::start(arguments.log_format, &arguments.log).and_then(|()| match &arguments.command {
        Command::Demo(options) => demo::run(options),
        Command::Verify(options) => verify::run(options),
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            eprint_line(&format!("baobab: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command line speaks to the terminal")]
fn eprint_line(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "the command line speaks to the terminal")]
pub(crate) fn print_line(text: &str) {
    println!("{text}");
}
