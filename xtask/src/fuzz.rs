//! `cargo xtask fuzz`: the fuzzers of `fuzz/`, by libFuzzer, with the stable compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{check, root, step, target};

/// The coverage that libFuzzer asks for; all of it is stable.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Named, so that build scripts and macros of the compiler are built without coverage.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Builds the fuzzers and runs the named ones, all where none is named, so many seconds each. What ends one is kept beside its seeds.
pub(crate) fn run(names: &[String], seconds: u64) -> anyhow::Result<()> {
    let folder = root().join("fuzz");
    let built = target().join("fuzz");
    let known = known(&folder)?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzzer `{unknown}`: {}", known.join(", "));
    }
    let wanted = || known.iter().filter(|name| names.is_empty() || names.contains(name));
    step("fuzzers");
    let mut build = crate::cargo(&["build", "--release", "--target", TRIPLE]);
    // By name: the program that writes the seeds has no fuzzer in it, and does not link with this coverage.
    build.args(wanted().flat_map(|name| ["--bin", name]));
    build.current_dir(&folder).env("RUSTFLAGS", COVERAGE.join(" ")).env("CARGO_TARGET_DIR", &built);
    check(&mut build)?;
    let mut failed = Vec::new();
    for name in wanted() {
        step(&format!("{name}, {seconds} s"));
        let program = built.join(TRIPLE).join("release").join(name);
        if !fuzz(&program, &folder, name, seconds)? {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("these ended early: {}. Mend what they found, and keep its file among the seeds", failed.join(", "))
}

/// The names of the fuzzers, in their order.
fn known(folder: &Path) -> anyhow::Result<Vec<String>> {
    let files = std::fs::read_dir(folder.join("fuzz_targets"))?;
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.ok()?.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Whether a fuzzer came to the end of its time.
fn fuzz(program: &Path, folder: &Path, name: &str, seconds: u64) -> anyhow::Result<bool> {
    let (seeds, corpus) = (folder.join("seeds").join(name), folder.join("corpus").join(name));
    std::fs::create_dir_all(&corpus)?;
    let found: PathBuf = seeds.join("found-");
    let status = Command::new(program)
        .arg(&corpus)
        .arg(&seeds)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}", found.display()))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"])
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(status.success())
}
