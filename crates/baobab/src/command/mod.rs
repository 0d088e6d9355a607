//! The roles that run for long, and the commands of their operators.

mod account;
mod authority;
mod join;
mod ledger;
mod node;
mod notary;
mod process;
mod sealed_keys;

pub(crate) use process::credential;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::print_line;
use crate::settings::{self, AuthoritySettings, KeptLogSettings, Loaded, NodeSettings, NotarySettings};
use crate::telemetry::LogOptions;
pub(crate) use account::{AccountCommand, account};
pub(crate) use ledger::{LedgerCommand, ledger};
pub(crate) use notary::{NotaryCommand, notary};

/// `baobab node …`
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Make keys and a configuration file, and ask the authority to register the node. Run it again to go on.
    Init(Box<node::InitArguments>),
    /// Run the node until SIGTERM; SIGHUP reads configuration, keys and certificates again.
    Run(ConfigFile<NodeFile>),
    /// Make a key for the management API and the console, and show it once. The node may run or not.
    ApiKey(node::ApiKeyArguments),
}

/// `baobab authority …`
#[derive(Debug, Subcommand)]
pub(crate) enum AuthorityCommand {
    /// Make keys, register and a configuration file.
    Init(authority::InitArguments),
    /// Run the authority until SIGTERM; SIGHUP reads the configuration again.
    Run(ConfigFile<AuthorityFile>),
    /// Show who asks to join, what nodes ask for, and who is registered.
    List(ConfigFile<AuthorityFile>),
    /// Let a node join: register member, subsystems and node, and issue its certificates. Or approve what a node asked for.
    Approve(authority::ApproveArguments),
    /// Turn a request down.
    Refuse(authority::RefuseArguments),
    /// Register a member, or correct its name.
    AddMember(authority::AddMemberArguments),
    /// Issue a certificate for a request (CSR) that was handed over.
    Sign(authority::SignArguments),
    /// Register a node with a certificate that `sign` issued.
    Register(authority::RegisterArguments),
    /// Show the transparency logs of the federation, with the witnesses and the quorum that their checkpoints need.
    Logs(ConfigFile<AuthorityFile>),
    /// Name transparency logs, or change their witnesses and quorum: nodes follow them from the next configuration on.
    SetLogs(authority::SetLogsArguments),
    /// Take a transparency log out of the configuration.
    RemoveLog(authority::RemoveLogArguments),
    /// Make a key for the API of the authority, and show it once.
    ApiKey(authority::ApiKeyArguments),
    /// Write the anchor that nodes start from to standard output.
    Anchor(ConfigFile<AuthorityFile>),
}

/// `baobab config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether a configuration file is good, without starting anything.
    Check {
        /// The file; `authority`, `notary` or `ledger` in its name makes it that of an authority, a notary or a log.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print every key with its meaning and default, as Markdown.
    Reference,
    /// Print the description (OpenAPI 3) of a node's management API.
    Api,
    /// Print every metric of a node with its meaning, as Markdown.
    Metrics,
}

/// The option that names the configuration file.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigFile<F: Named> {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = F::NAME)]
    pub(crate) config: PathBuf,
    #[arg(skip)]
    kind: std::marker::PhantomData<F>,
}

/// The file of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogFile;

impl Named for LogFile {
    const NAME: &'static str = "ledger.toml";
}

/// The usual name of a configuration file.
pub(crate) trait Named: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The name.
    const NAME: &'static str;
}

/// The file of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeFile;

/// The file of an authority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuthorityFile;

/// The file of a notary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotaryFile;

impl Named for NodeFile {
    const NAME: &'static str = "node.toml";
}

impl Named for NotaryFile {
    const NAME: &'static str = "notary.toml";
}

impl Named for AuthorityFile {
    const NAME: &'static str = "authority.toml";
}

pub(crate) fn node(command: &NodeCommand, log: &LogOptions) -> anyhow::Result<ExitCode> {
    match command {
        NodeCommand::Init(arguments) => node::init(arguments, log),
        NodeCommand::Run(file) => node::run(&file.config, log),
        NodeCommand::ApiKey(arguments) => node::api_key(arguments),
    }
}

pub(crate) fn authority(command: &AuthorityCommand, log: &LogOptions) -> anyhow::Result<ExitCode> {
    match command {
        AuthorityCommand::Init(arguments) => authority::init(arguments, log),
        AuthorityCommand::Run(file) => authority::run(&file.config, log),
        AuthorityCommand::List(file) => authority::list(&file.config, log),
        AuthorityCommand::Approve(arguments) => authority::approve(arguments, log),
        AuthorityCommand::Refuse(arguments) => authority::refuse(arguments, log),
        AuthorityCommand::ApiKey(arguments) => authority::api_key(arguments, log),
        AuthorityCommand::AddMember(arguments) => authority::add_member(arguments, log),
        AuthorityCommand::Sign(arguments) => authority::sign(arguments, log),
        AuthorityCommand::Register(arguments) => authority::register(arguments, log),
        AuthorityCommand::Logs(file) => authority::logs(&file.config, log),
        AuthorityCommand::SetLogs(arguments) => authority::set_logs(arguments, log),
        AuthorityCommand::RemoveLog(arguments) => authority::remove_log(arguments, log),
        AuthorityCommand::Anchor(file) => authority::anchor(&file.config, log),
    }
}

pub(crate) fn config(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Reference => print_line(settings::reference_markdown().trim_end()),
        ConfigCommand::Api => print_line(&serde_json::to_string_pretty(&bridge::api::description())?),
        ConfigCommand::Metrics => print_line(settings::metrics_markdown()?.trim_end()),
        ConfigCommand::Check { file } => {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.contains("notary") {
                Loaded::<NotarySettings>::read(file)?.plan()?;
            } else if name.contains("authority") {
                let loaded = Loaded::<AuthoritySettings>::read(file)?;
                loaded.config()?;
                loaded.location(&loaded.settings.store)?;
            } else if name.contains("ledger") {
                let loaded = Loaded::<KeptLogSettings>::read(file)?;
                loaded.tiles()?;
                loaded.policy()?;
                loaded.submitters()?;
                loaded.location(&loaded.settings.store)?;
            } else {
                let loaded = Loaded::<NodeSettings>::read(file)?;
                loaded.config()?;
                loaded.addresses()?;
                loaded.witness()?;
                node::follow(&loaded)?;
                loaded.location(&loaded.settings.store)?;
            }
            print_line(&format!("{} is good.", file.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
