//! `baobab account …`: what the operator of an identity provider does to accounts.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use civic::NationalNumber;
use clap::Subcommand;
use store::{Location, Store};

use super::process::{block_on, clock, key_ring, random, start_quiet_logs};
use crate::cli::print_line;
use crate::telemetry::LogOptions;

/// `baobab account …`
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Erase the salts of everything that was done at the account of a person: what the log holds of it stands for nobody any more.
    /// Nothing brings them back; that it was done stands among the events of the account. The provider may run or not.
    Forget {
        /// The store of the provider, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
        #[arg(long, value_name = "STORE")]
        store: Location,
        /// The file with the key that seals that store.
        #[arg(long, value_name = "FILE")]
        store_key: PathBuf,
        /// The national number of the person.
        #[arg(value_name = "NUMBER")]
        number: NationalNumber,
    },
}

pub(crate) fn account(command: &AccountCommand, log: &LogOptions) -> anyhow::Result<ExitCode> {
    start_quiet_logs(log)?;
    let AccountCommand::Forget { store, store_key, number } = command;
    block_on(async {
        if let Location::Sqlite(path) = store {
            ensure!(path.exists(), "there is no store at {}", path.display());
        }
        let opened = Store::open(store, key_ring(store_key, false)?, random()).await;
        let opened = opened.with_context(|| format!("the store {store} cannot be opened"))?;
        let erased = identity::forget_acts(opened.clone(), number, clock().now(), &*random()).await?;
        opened.close().await;
        let Some(erased) = erased else { bail!("no account has this national number: nothing was erased") };
        print_line(&format!(
            "{erased} salts were erased. Nobody can prove those acts any more, who kept a proof excepted."
        ));
        Ok(ExitCode::SUCCESS)
    })
}
