//! What the machine says of itself and of a process.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::output;

/// Model, processors and date: what stands beside every figure.
pub(super) fn machine() -> anyhow::Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let date = output(Command::new("date").args(["-u", "+%F"]))?;
    Ok(format!(
        "{}, {cores} processors, load generator included, {}, load average at the start {}",
        model.trim_start_matches([' ', '\t', ':']),
        date.trim(),
        load_average()?
    ))
}

/// How many processes wanted to run in the last minute, on average: says whether the machine was shared.
pub(super) fn load_average() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

/// A fresh folder for what a bench writes.
pub(super) fn fresh_folder() -> anyhow::Result<PathBuf> {
    let folder = output(Command::new("mktemp").args(["--directory", "/tmp/baobab-bench-XXXXXX"]))?;
    // nginx's workers, other users, must reach what is below.
    crate::check(Command::new("chmod").args(["755", folder.trim()]))?;
    Ok(PathBuf::from(folder.trim()))
}

/// Processor time that a process took so far, user and system together, in milliseconds.
pub(super) fn cpu_ms(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may hold spaces: count from its end.
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let ticks = |field: usize| -> anyhow::Result<f64> {
        Ok(fields.split_whitespace().nth(field).context("a short /proc/PID/stat")?.parse()?)
    };
    // utime and stime are fields 14 and 15 of proc(5); 100 ticks a second on every Linux that we run on.
    Ok((ticks(11)? + ticks(12)?) * 10.0)
}

/// From here on, [`peak_mib`] knows only what comes now.
pub(super) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The most resident memory since the start or [`forget_peak`], mapped files of the program included, MiB.
pub(super) fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmHWM:")
}

/// Resident memory that is no file, now, MiB.
pub(super) fn anonymous_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "RssAnon:")
}

fn status_mib(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
    Ok(line.split_whitespace().nth(1).unwrap_or_default().parse::<f64>()? / 1024.0)
}
