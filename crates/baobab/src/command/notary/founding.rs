//! `baobab notary init`: from an empty folder to a notary that can run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::keys::NotaryKeys;
use crate::cli::print_line;
use crate::command::process::{block_on, open_store, start_quiet_logs};
use crate::files::{make_private, write_durably};
use crate::settings::{Loaded, NotarySettings};
use crate::telemetry::LogOptions;

/// Options of `baobab notary init`. Those about the notary are needed once: they go into the configuration file.
#[derive(Clone, Debug, Args)]
pub(crate) struct InitArguments {
    /// The configuration file; made where it is missing.
    #[arg(long, value_name = "FILE", default_value = "notary.toml")]
    config: PathBuf,
    /// The name of the organisation that answers for the notary.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// Where people and programs reach it: <http://HOST:PORT>.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The name of its log, as in a schema-less URL: log.example/notary.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Where everybody reads its log: <http://HOST:PORT>.
    #[arg(long, value_name = "URL")]
    log_url: Option<String>,
}

/// Makes what is missing, and says what comes next.
pub(in crate::command) fn init(arguments: &InitArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    start_quiet_logs(log)?;
    if !arguments.config.exists() {
        write_settings(arguments)?;
    }
    let loaded = Loaded::<NotarySettings>::read(&arguments.config)?;
    loaded.plan()?;
    make_private(&loaded.path_of(&loaded.settings.keys))?;
    block_on(async {
        let settings = &loaded.settings;
        let keys = NotaryKeys::open(&loaded, true)?;
        keys.log_post_quantum()?;
        for store in [&settings.store, &settings.book.store] {
            open_store(&loaded, store, &settings.store_key, true).await?.close().await;
        }
        let book = &settings.book;
        let path = loaded.path.display();
        print_line(&format!(
            "The notary of {} is ready.\n  Configuration  {path}\n  Keys           {} and {}  (back them up together)\n\nIts log is named in policies by:\nlog {} {}\n\nNext: baobab notary add-key --config {path} CLIENT\n      baobab notary run --config {path}\nThen ask other organisations to witness the log: their lines and a quorum go into the file of `book.policy`, and to the\nauthority (baobab authority set-logs FILE).",
            settings.organisation,
            loaded.path_of(&settings.keys).display(),
            loaded.path_of(&settings.store_key).display(),
            keys.verifier(&book.origin)?,
            book.url,
        ));
        Ok(ExitCode::SUCCESS)
    })
}

fn write_settings(arguments: &InitArguments) -> anyhow::Result<()> {
    let file = arguments.config.display();
    let missing = |option: &str| format!("{file} does not exist yet: say {option} so that it can be made");
    let organisation = arguments.organisation.as_deref().with_context(|| missing("--organisation NAME"))?;
    let url = arguments.public_url.as_deref().with_context(|| missing("--public-url http://HOST:8610"))?;
    let origin = arguments.origin.as_deref().with_context(|| missing("--origin log.example/notary"))?;
    let log_url = arguments.log_url.as_deref().with_context(|| missing("--log-url http://HOST:8612"))?;
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let text = format!(
        "# A notary. Every key: baobab config reference\norganisation = {}\npublic_url = {}\nlisten = \"0.0.0.0:{}\"\n\n[book]\norigin = {}\nurl = {}\nlisten = \"0.0.0.0:{}\"\n",
        quoted(organisation),
        quoted(url.trim_end_matches('/')),
        port(url, 8_610),
        quoted(origin),
        quoted(log_url.trim_end_matches('/')),
        port(log_url, 8_612),
    );
    if let Some(folder) = arguments.config.parent().filter(|folder: &&Path| !folder.as_os_str().is_empty()) {
        make_private(folder)?;
    }
    write_durably(&arguments.config, text.as_bytes())
}

/// The port of an address, where it names one.
fn port(url: &str, usual: u16) -> u16 {
    url.trim_end_matches('/').rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(usual)
}
