//! `baobab notary …`: the API keys of the notary's clients.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use store::{Location, Store};

use super::process::{block_on, clock, key_ring, random};
use crate::cli::print_line;

/// `baobab notary …`
#[derive(Debug, Subcommand)]
pub(crate) enum NotaryCommand {
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
    /// The store of the notary: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
    #[arg(long, value_name = "STORE")]
    store: Location,
    /// The file with the key that seals the store.
    #[arg(long, value_name = "FILE")]
    store_key: PathBuf,
}

impl NotaryPlace {
    async fn open(&self) -> anyhow::Result<Store> {
        if let Location::Sqlite(path) = &self.store {
            anyhow::ensure!(path.exists(), "there is no store at {}", path.display());
        }
        let opened = Store::open(&self.store, key_ring(&self.store_key, false)?, random()).await;
        opened.with_context(|| format!("the store {} cannot be opened", self.store))
    }
}

pub(crate) fn notary(command: &NotaryCommand) -> anyhow::Result<ExitCode> {
    block_on(async {
        match command {
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
