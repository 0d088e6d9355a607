//! `baobab ledger …`: what the keeper of a transparency log does beside running it.

mod running;

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use ledger::Tiles;
use ledger::inspect::{Inspection, inspect};
use serde_json::json;
use store::{Location, Store};
use trust::note::VerifierKey;
use trust::seal::KeyRing;

use super::process::{block_on, random, start_quiet_logs};
use super::{ConfigFile, LogFile};
use crate::cli::{eprint_line, print_line};
use crate::settings::{KeptLogSettings, Loaded};
use crate::telemetry::LogOptions;

/// A shorter log says nothing on its way.
const PROGRESS_ENTRIES_MIN: u64 = 100_000;
/// Progress is told each so many hundredths.
const PROGRESS_STEP: u64 = 5;

/// `baobab ledger …`
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Run a log until SIGTERM. It ends with an error where it can acknowledge nothing more.
    Run(ConfigFile<LogFile>),
    /// Check a transparency log offline: every entry, tile and checkpoint, and what waits to be written. Changes nothing.
    ///
    /// Stop the log first, or check a copy. Names all that is damaged and what helps. Exit status: 0 whole, 1 damaged.
    Check(CheckArguments),
}

/// Options of `baobab ledger check`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArguments {
    /// The store of the log: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
    #[arg(long, value_name = "STORE")]
    store: Location,
    /// A key of the log as text (C2SP signed-note, `name+hash+key`): first the Ed25519 one, then others. Take it from those
    /// who follow the log, not from the machine that you check.
    #[arg(long = "vkey", value_name = "VKEY", required = true)]
    keys: Vec<VerifierKey>,
    /// The folder of tiles, where the log has one.
    #[arg(long, value_name = "DIR")]
    tiles: Option<PathBuf>,
    /// The configuration file of the log, where its tiles are in a bucket: the keys of `[bucket]` are taken from it.
    #[arg(long, value_name = "FILE", conflicts_with = "tiles")]
    bucket: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn ledger(command: &LedgerCommand, log: &LogOptions) -> anyhow::Result<ExitCode> {
    match command {
        LedgerCommand::Run(file) => running::run(&file.config, log),
        LedgerCommand::Check(arguments) => {
            start_quiet_logs(log)?;
            block_on(check(arguments))
        }
    }
}

async fn check(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    if let Location::Sqlite(path) = &arguments.store {
        anyhow::ensure!(path.exists(), "there is no store at {}", path.display());
    }
    let tiles = match (&arguments.tiles, &arguments.bucket) {
        (Some(path), _) => {
            anyhow::ensure!(path.is_dir(), "there is no folder of tiles at {}", path.display());
            Some(Tiles::Folder(path.clone()))
        }
        (None, Some(file)) => Loaded::<KeptLogSettings>::read(file)?.tiles()?,
        (None, None) => None,
    };
    // A log seals nothing: any key opens its store.
    let opened = Store::open_to_read(&arguments.store, KeyRing::generate(&*random()), random()).await;
    let store = opened.with_context(|| format!("the store {} cannot be opened", arguments.store))?;
    let told = Cell::new(0);
    let progress = |read: u64, size: u64| {
        let hundredths = read.saturating_mul(100) / size.max(1);
        if size >= PROGRESS_ENTRIES_MIN && hundredths >= told.get() + PROGRESS_STEP {
            told.set(hundredths);
            eprint_line(&format!("{hundredths} %: {read} of {size} entries"));
        }
    };
    let inspection = inspect(&store, &arguments.keys, tiles.as_ref(), progress).await?;
    store.close().await;
    print_line(&if arguments.json { as_json(&inspection) } else { as_text(&inspection)? });
    Ok(if inspection.damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_text(inspection: &Inspection) -> Result<String, std::fmt::Error> {
    let Inspection { size, tiles, leads_to_root, damage, damaged } = inspection;
    let mut text = String::new();
    if *damaged == 0 {
        write!(text, "WHOLE: {size} entries and {tiles} full tiles lead to the signed root")?;
        return Ok(text);
    }
    writeln!(text, "DAMAGED in {damaged} places; the log has {size} entries")?;
    for found in damage {
        writeln!(text, "  {}: {}\n    {}", found.place, found.reason, found.remedy)?;
    }
    if *damaged > damage.len() as u64 {
        writeln!(text, "  … and {} more", *damaged - damage.len() as u64)?;
    }
    text.push_str(if *leads_to_root {
        "Every entry, or its hash, leads to the signed root: the history is known in full."
    } else {
        "What is there does not lead to the signed root: do not start the log before it is restored."
    });
    Ok(text)
}

fn as_json(inspection: &Inspection) -> String {
    let damage = inspection.damage.iter();
    let value = json!({
        "whole": inspection.damaged == 0,
        "size": inspection.size,
        "tiles": inspection.tiles,
        "leadsToRoot": inspection.leads_to_root,
        "damaged": inspection.damaged,
        "damage": damage
            .map(|found| json!({ "place": found.place, "reason": found.reason, "remedy": found.remedy.to_string() }))
            .collect::<Vec<_>>(),
    });
    format!("{value:#}")
}
