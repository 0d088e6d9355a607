//! The transparency logs of the federation: which witnesses must have cosigned a checkpoint before it counts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use trust::globalconf::FederationLog;
use trust::note::policy::Policy;

use super::desk::{ACTOR, with_house};
use crate::cli::print_line;
use crate::telemetry::LogOptions;

/// Options of `baobab authority set-logs`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SetLogsArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "authority.toml")]
    config: PathBuf,
    /// The policy (C2SP tlog-policy): the logs with their addresses, the witnesses, the quorum.
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
}

/// Options of `baobab authority remove-log`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RemoveLogArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "authority.toml")]
    config: PathBuf,
    /// The name of the log, as `logs` shows it.
    #[arg(value_name = "ORIGIN")]
    origin: String,
}

/// Shows each log with its witnesses and its quorum, as a policy.
pub(in crate::command) fn logs(config: &Path, log: &LogOptions) -> anyhow::Result<ExitCode> {
    with_house(config, log, async |house| {
        let logs = house.authority.desk(ACTOR).logs().await?;
        print_line(&format!("# Logs: {}", logs.len()));
        for log in &logs {
            show(log);
        }
        Ok(())
    })
}

/// Names the logs of a policy, or gives those that are named already other witnesses and another quorum.
pub(in crate::command) fn set_logs(arguments: &SetLogsArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    let path = &arguments.policy;
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let policy: Policy = text.parse().with_context(|| format!("{} is no policy", path.display()))?;
    with_house(&arguments.config, log, async |house| {
        for log in house.authority.desk(ACTOR).put_logs(&policy).await? {
            show(&log);
        }
        print_line(
            "# Next: nothing; every node follows the log with this quorum from the next global configuration on.",
        );
        Ok(())
    })
}

/// The federation relies on a log no more.
pub(in crate::command) fn remove_log(arguments: &RemoveLogArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    with_house(&arguments.config, log, async |house| {
        house.authority.desk(ACTOR).delete_log(&arguments.origin).await?;
        print_line(&format!("The federation relies on {} no more.", arguments.origin));
        Ok(())
    })
}

fn show(log: &FederationLog) {
    print_line(&format!("# {} at {}\n{}", log.origin(), log.url(), log.policy().to_string().trim_end()));
}
