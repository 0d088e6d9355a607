//! Logs to stderr, for people or as JSON. What was read, who asked and which number they have never stands in a log.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people at a terminal.
    #[default]
    Human,
    /// One JSON object a line, for collectors.
    Json,
}

/// What the command line says about logs; where it says nothing, a configuration file may.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogOptions {
    /// How a line looks.
    pub(crate) format: Option<LogFormat>,
    /// Which lines are written.
    pub(crate) filter: Option<String>,
}

type Change = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The way to the filter of the logs of this process.
pub(crate) struct LogFilter(Change);

/// Starts logging; `filter` is a directive such as `info` or `bridge=debug,warn`.
pub(crate) fn start(format: LogFormat, filter: &str) -> anyhow::Result<LogFilter> {
    let builder = tracing_subscriber::fmt().with_env_filter(parse(filter)?).with_writer(std::io::stderr);
    let change: Change = match format {
        LogFormat::Human => {
            let builder = builder.with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
        LogFormat::Json => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
    };
    Ok(LogFilter(change))
}

impl LogFilter {
    /// Puts another filter in the place of the present one.
    pub(crate) fn change(&self, filter: &str) -> anyhow::Result<()> {
        (self.0)(parse(filter)?).map_err(|reason| anyhow::anyhow!("the log filter does not change: {reason}"))
    }
}

fn parse(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("`{filter}` is no log filter (try `info` or `bridge=debug,warn`): {error}"))
}
