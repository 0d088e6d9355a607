//! The governing authority as a process of its own, and the desk of its operator.
//!
//! The commands open register and keys beside the running process, as the same user on the same machine; what they change stands
//! in the signed configuration within `refresh_s`.

mod committing;
mod desk;
mod logs;
mod running;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use authority::Authority;
use clap::Args;
use store::Store;
use trust::digest;

pub(super) use desk::{
    AddMemberArguments, ApiKeyArguments, ApproveArguments, RefuseArguments, RegisterArguments, SignArguments,
    add_member, api_key, approve, list, refuse, register, sign,
};
pub(super) use logs::{RemoveLogArguments, SetLogsArguments, logs, remove_log, set_logs};
pub(super) use running::run;

use super::join::Desk;
use super::process::{block_on, clock, open_store, random, start_quiet_logs};
use crate::cli::print_line;
use crate::files::{make_private, write_durably};
use crate::settings::{AuthoritySettings, Loaded};
use crate::telemetry::LogOptions;

/// Options of `baobab authority init`.
#[derive(Clone, Debug, Args)]
pub(crate) struct InitArguments {
    /// The configuration file; made where it is missing.
    #[arg(long, value_name = "FILE", default_value = "authority.toml")]
    config: PathBuf,
    /// The instance that it governs: capital letters and digits, for instance BB.
    #[arg(long, value_name = "CODE")]
    instance: Option<String>,
    /// The name of the organisation that governs.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where nodes reach it: <http://HOST:PORT>.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

/// An authority that was opened.
pub(super) struct House {
    authority: Authority,
    store: Store,
    loaded: Loaded<AuthoritySettings>,
}

impl House {
    async fn open(loaded: Loaded<AuthoritySettings>, create: bool) -> anyhow::Result<Self> {
        let config = loaded.config()?;
        let folder = loaded.path_of(&loaded.settings.keys);
        if !create && !folder.join("ca.key.pem").exists() {
            bail!(
                "{} holds no keys. Run `baobab authority init --config {}` once, or bring the folder back from your backup",
                folder.display(),
                loaded.path.display()
            );
        }
        let store = open_store(&loaded, &loaded.settings.store, &loaded.settings.store_key, create).await?;
        let authority = Authority::open(store.clone(), &folder, config, clock(), random()).await?;
        Ok(Self { authority, store, loaded })
    }

    fn desk(&self) -> anyhow::Result<Desk> {
        Desk::open(&self.loaded.path_of(&self.loaded.settings.data), self.loaded.join_wait(), clock())
    }

    async fn close(self) {
        self.store.close().await;
    }
}

/// Makes what is missing, and says what comes next.
pub(super) fn init(arguments: &InitArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    start_quiet_logs(log)?;
    if !arguments.config.exists() {
        write_settings(arguments)?;
    }
    let loaded = Loaded::<AuthoritySettings>::read(&arguments.config)?;
    make_private(&loaded.path_of(&loaded.settings.data))?;
    block_on(async {
        let house = House::open(loaded, true).await?;
        house.desk()?;
        let anchor = house.authority.anchor();
        let path = house.loaded.path_of(Path::new("anchor.xml"));
        write_durably(&path, anchor.as_bytes())?;
        let settings = &house.loaded.settings;
        print_line(&format!(
            "The authority of {} is ready.\n  Configuration  {}\n  Keys           {}  (back them up; whoever has them is the federation)\n  Anchor         {}\n  Its SHA-256    {}\n\nNext: baobab authority run --config {}\nThen, on the machine of each member: baobab node init --authority {} …",
            settings.instance,
            house.loaded.path.display(),
            house.loaded.path_of(&settings.keys).display(),
            path.display(),
            hex::encode(digest::sha256(anchor.as_bytes())),
            house.loaded.path.display(),
            settings.public_url,
        ));
        committing::introduce(&house.loaded)?;
        house.close().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Writes the anchor to standard output.
pub(super) fn anchor(config: &Path, log: &LogOptions) -> anyhow::Result<ExitCode> {
    start_quiet_logs(log)?;
    let loaded = Loaded::<AuthoritySettings>::read(config)?;
    block_on(async {
        let house = House::open(loaded, false).await?;
        print_line(house.authority.anchor().trim_end());
        house.close().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn write_settings(arguments: &InitArguments) -> anyhow::Result<()> {
    let missing = |option: &str| {
        format!("{} does not exist yet: say {option} so that it can be made", arguments.config.display())
    };
    let instance = arguments.instance.as_deref().with_context(|| missing("--instance BB"))?;
    let name = arguments.name.as_deref().with_context(|| missing("--name \"Agence du numérique\""))?;
    let url = arguments.public_url.as_deref().with_context(|| missing("--public-url http://HOST:8604"))?;
    let port = url.trim_end_matches('/').rsplit_once(':').map_or("8604", |(_, port)| port);
    let port = if port.bytes().all(|byte| byte.is_ascii_digit()) { port } else { "8604" };
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let text = format!(
        "# The governing authority of {instance}. Every key: baobab config reference\n\
         instance = {}\nname = {}\npublic_url = {}\nlisten = {}\n",
        quoted(instance),
        quoted(name),
        quoted(url.trim_end_matches('/')),
        quoted(&format!("0.0.0.0:{port}")),
    );
    if let Some(folder) = arguments.config.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_private(folder)?;
    }
    write_durably(&arguments.config, text.as_bytes())
}
