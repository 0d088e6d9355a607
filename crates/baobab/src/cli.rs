//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::command::{
    self, AccountCommand, AuthorityCommand, ConfigCommand, LedgerCommand, NodeCommand, NotaryCommand,
};
use crate::settings::Refused;
use crate::telemetry::{self, LogFormat, LogOptions};
use crate::{demo, verify};

/// Sovereign digital government in one binary.
#[derive(Debug, Parser)]
#[command(name = "baobab", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How log lines look (they go to stderr). Default: human, or what the configuration file says.
    #[arg(long, global = true, value_enum, env = "BAOBAB_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// Which log lines are written: a level, or a list such as `bridge=debug,warn`. Default: warn, or what the configuration
    /// file says.
    #[arg(long, global = true, env = "BAOBAB_LOG")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a demo nation: an agency, two registers, a bank and their bridge, on embedded storage.
    Demo(DemoArguments),
    /// Judge an ASiC-E container, or a proof of a transparency log, offline: valid, or the precise reason why not.
    Verify(VerifyArguments),
    /// A node of the bridge, on a machine of its own.
    #[command(subcommand)]
    Node(NodeCommand),
    /// The governing authority of a federation, on a machine of its own.
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// A notary with a transparency log of its own, and the API keys of its clients.
    #[command(subcommand)]
    Notary(NotaryCommand),
    /// A transparency log on a machine of its own: run it, check it offline.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Accounts of an identity provider: erase what links a person to the log.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Configuration files: check one, or show every key.
    #[command(subcommand)]
    Config(ConfigCommand),
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
    /// The container, for instance from `GET /asic` of a node, or the proof (`.tlog-proof`), for instance of the notary.
    #[arg(value_name = "FILE")]
    pub container: PathBuf,
    /// For a container: trust data, a folder with `INSTANCE/shared-params.xml`, as `GET /verificationconf` of a node gives it.
    #[arg(long, value_name = "DIR", required_unless_present = "policy")]
    pub trust: Option<PathBuf>,
    /// The keys of the logs that are trusted and the quorum of their witnesses (C2SP tlog-policy). For a proof; and for a container whose
    /// proof of the ledger is to be judged too: one without is then refused.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// For a proof of the notary or of a use: the document whose digest it must show.
    #[arg(long, value_name = "FILE", requires = "policy", conflicts_with = "trust")]
    pub document: Option<PathBuf>,
    /// Print the verdict as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The configuration file is refused: starting again without correcting it is of no use.
const EXIT_CONFIGURATION: u8 = 3;

/// Reads the command line and does what it says. Exit status: 0 done or valid, 1 failed or not valid, 2 wrong use, 3 the
/// configuration file is refused.
pub fn main() -> ExitCode {
    let Arguments { command, log_format, log } = Arguments::parse();
    let options = LogOptions { format: log_format, filter: log };
    let started =
        || telemetry::start(options.format.unwrap_or_default(), options.filter.as_deref().unwrap_or("warn")).map(drop);
    let result = match &command {
        Command::Demo(arguments) => started().and_then(|()| demo::run(arguments)),
        Command::Verify(arguments) => started().and_then(|()| verify::run(arguments)),
        Command::Node(chosen) => command::node(chosen, &options),
        Command::Authority(chosen) => command::authority(chosen, &options),
        Command::Notary(chosen) => command::notary(chosen, &options),
        Command::Ledger(chosen) => command::ledger(chosen, &options),
        Command::Account(chosen) => command::account(chosen, &options),
        Command::Config(chosen) => started().and_then(|()| command::config(chosen)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprint_line(&format!("baobab: {error:#}"));
            let refused = error.chain().any(|cause| cause.downcast_ref::<Refused>().is_some());
            if refused { ExitCode::from(EXIT_CONFIGURATION) } else { ExitCode::FAILURE }
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command line speaks to the terminal")]
pub(crate) fn eprint_line(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "the command line speaks to the terminal")]
pub(crate) fn print_line(text: &str) {
    println!("{text}");
}
