//! The demo nation: four organisations in one process. Each has its own data folder, keys, node and ports, and they talk over
//! sockets only, so that any of them could move to a machine of its own.

mod agency;
pub mod bank;
mod description;
mod folder;
mod known_keys;
mod letters;
mod logs;
mod nation;
mod node;
mod notary;
mod organisation;
mod ports;
mod registers;
mod runner;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{DemoArguments, print_line};
pub use nation::Nation;

/// Starts the nation, prints where its parts are, and runs until it is told to stop.
pub(crate) fn run(arguments: &DemoArguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let settings = Settings::of(arguments)?;
    runtime.block_on(async {
        // Before anything is made: an early Ctrl-C must end in good order too.
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let nation = tokio::select! {
            started = Nation::start(&settings) => started?,
            _ = interrupted.recv() => return Ok(ExitCode::from(130)),
            _ = terminated.recv() => return Ok(ExitCode::from(143)),
        };
        print_line(&nation.table()?);
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        print_line("Stopping: requests under way end first.");
        nation.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// What a demo nation is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// How many people, when the data are first made.
    pub population: u32,
    /// Seed of the people, when the data are first made.
    pub seed: u64,
    /// First port.
    pub port_base: u16,
    /// Whether earlier data are thrown away.
    pub reset: bool,
}

impl Settings {
    fn of(arguments: &DemoArguments) -> anyhow::Result<Self> {
        let data = arguments.data.clone().map_or_else(folder::default_path, Ok)?;
        Ok(Self {
            data,
            population: arguments.population,
            seed: arguments.seed,
            port_base: arguments.port_base,
            reset: arguments.reset,
        })
    }
}
