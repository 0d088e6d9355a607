//! Measurements against a peer in the same run. Figures are printed, never asserted.

mod bridge;
mod ledger;
mod load;
mod machine;
mod nation;
mod pair;
mod peer;
mod spread;

use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Exchanges through two nodes, processes of their own, against nginx → mutual TLS 1.3 → nginx.
    Bridge(bridge::Arguments),
    /// Durable entries of the ledger on both engines, with and without witnesses; proofs; the start of a long log.
    Ledger {
        /// Seconds of each measured run.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        /// Numbers of concurrent callers.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
        callers: Vec<u32>,
        /// How long the log is that is started anew.
        #[arg(long, default_value_t = 100_000_000)]
        entries: u64,
    },
}

/// Runs a bench.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Bridge(arguments) => bridge::run(arguments),
        Bench::Ledger { seconds, callers, entries } => ledger::run(*seconds, callers, *entries),
    }
}
