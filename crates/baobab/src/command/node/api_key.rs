//! `baobab node api-key`: the first key of the management API and the console.

use std::path::PathBuf;
use std::process::ExitCode;

use bridge::api::{Role, first_key};
use clap::Args;

use crate::cli::print_line;
use crate::command::process::{block_on, clock, open_store, random};
use crate::settings::{Loaded, NodeSettings};

/// Options of `baobab node api-key`.
#[derive(Debug, Args)]
pub(crate) struct ApiKeyArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
    /// What the key may do; may be repeated. XROAD_SECURITY_OFFICER: keys and certificates. XROAD_REGISTRATION_OFFICER:
    /// subsystems. XROAD_SERVICE_ADMINISTRATOR: services and rights. XROAD_SYSTEM_ADMINISTRATOR: the node, backups, API keys.
    /// XROAD_SECURITYSERVER_OBSERVER: look only.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Role>,
}

/// Makes the key and shows it: only its digest is kept.
pub(crate) fn api_key(arguments: &ApiKeyArguments) -> anyhow::Result<ExitCode> {
    let loaded = Loaded::<NodeSettings>::read(&arguments.config)?;
    block_on(async {
        let store = open_store(&loaded, &loaded.settings.store, &loaded.settings.store_key, false).await?;
        let made = first_key(&store, &clock(), &random(), &arguments.roles).await?;
        store.close().await;
        print_line(&made.key);
        Ok(ExitCode::SUCCESS)
    })
}
