//! `baobab notary …`: a notary as a process of its own, and the API keys of its clients.

mod founding;
mod keys;
mod running;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use store::{Location, Store};

use super::process::{block_on, clock, key_ring, random, start_quiet_logs};
use super::{ConfigFile, NotaryFile};
use crate::cli::print_line;
use crate::settings::{Loaded, NotarySettings};
use crate::telemetry::LogOptions;

/// `baobab notary …`
#[derive(Debug, Subcommand)]
pub(crate) enum NotaryCommand {
    /// Make keys, stores and a configuration file, and show the line by which policies name its log.
    Init(founding::InitArguments),
    /// Run the notary until SIGTERM; SIGHUP reads the filter of log lines and `[[book.submitter]]` again.
    Run(ConfigFile<NotaryFile>),
    /// Make an API key for a client, and show it once. The notary may run or not.
    AddKey {
        #[command(flatten)]
        place: NotaryPlace,
        /// Who comes with the key; the name stands in the records that prove its registrations.
        #[arg(value_name = "CLIENT")]
        client: String,
    },
    /// List the API keys, revoked ones included.
    Keys {
        #[command(flatten)]
        place: NotaryPlace,
    },
    /// Revoke an API key: it opens nothing from now on.
    RevokeKey {
        #[command(flatten)]
        place: NotaryPlace,
        /// The number of the key.
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Where a notary keeps its data.
#[derive(Clone, Debug, Args)]
pub(crate) struct NotaryPlace {
    /// The configuration file of the notary.
    #[arg(long, value_name = "FILE", default_value = "notary.toml", conflicts_with = "store")]
    config: PathBuf,
    /// For a notary without such a file: its store, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
    #[arg(long, value_name = "STORE", requires = "store_key")]
    store: Option<Location>,
    /// The file with the key that seals that store.
    #[arg(long, value_name = "FILE", requires = "store")]
    store_key: Option<PathBuf>,
}

impl NotaryPlace {
    async fn open(&self) -> anyhow::Result<Store> {
        let (location, key) = if let (Some(store), Some(key)) = (&self.store, &self.store_key) {
            (store.clone(), key.clone())
        } else {
            let loaded = Loaded::<NotarySettings>::read(&self.config)?;
            (loaded.location(&loaded.settings.store)?, loaded.path_of(&loaded.settings.store_key))
        };
        if let Location::Sqlite(path) = &location {
            anyhow::ensure!(path.exists(), "there is no store at {}", path.display());
        }
        let opened = Store::open(&location, key_ring(&key, false)?, random()).await;
        opened.with_context(|| format!("the store {location} cannot be opened"))
    }
}

pub(crate) fn notary(command: &NotaryCommand, log: &LogOptions) -> anyhow::Result<ExitCode> {
    match command {
        NotaryCommand::Init(arguments) => founding::init(arguments, log),
        NotaryCommand::Run(file) => running::run(&file.config, log),
        NotaryCommand::AddKey { .. } | NotaryCommand::Keys { .. } | NotaryCommand::RevokeKey { .. } => {
            start_quiet_logs(log)?;
            api_keys(command)
        }
    }
}

fn api_keys(command: &NotaryCommand) -> anyhow::Result<ExitCode> {
    block_on(async {
        match command {
            NotaryCommand::Init(_) | NotaryCommand::Run(_) => {}
            NotaryCommand::AddKey { place, client } => {
                let store = place.open().await?;
                let made = notary::add_key(&store, client, &clock(), &random()).await?;
                store.close().await;
                print_line(&made.key);
            }
            NotaryCommand::Keys { place } => {
                let store = place.open().await?;
                for key in notary::keys(&store).await? {
                    let state = key.revoked_at.map_or("in force".to_owned(), |at| format!("revoked {}", at.rfc3339()));
                    print_line(&format!("{}  made {}  {state}  {}", key.id, key.created_at.rfc3339(), key.client));
                }
                store.close().await;
            }
            NotaryCommand::RevokeKey { place, id } => {
                let store = place.open().await?;
                notary::revoke_key(&store, id, &clock()).await?;
                store.close().await;
                print_line(&format!("The key {id} opens nothing any more."));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
