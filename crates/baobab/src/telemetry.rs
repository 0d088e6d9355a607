//! Logs to stderr, for people or as JSON. What was read, who asked and which number they have never stands in a log.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people at a terminal.
    #[default]
    Human,
    /// One JSON object a line, for collectors.
    Json,
}

/// Starts logging; `filter` is a directive such as `info` or `bridge=debug,warn`.
pub(crate) fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("`{filter}` is no log filter (try `info` or `bridge=debug,warn`): {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Human => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
