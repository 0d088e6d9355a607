//! Rules of the house that no compiler knows: lengths, frozen migrations, no path of somebody's machine, no leftovers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::{output, root};

/// A source file longer than this is split by meaning.
const FILE_LINES_MAX: usize = 600;
/// A function longer than this is several functions.
const FUNCTION_LINES_MAX: usize = 70;
/// Where today's exceptions stand; the list may only become shorter.
const RATCHET: &str = "xtask/tidy-ratchet.txt";
/// Checksums of merged migrations: a change of one is refused, a new one is added by `cargo xtask gen`.
pub(crate) const MIGRATIONS: &str = "xtask/migrations.lock";

/// Binary files that may be kept.
const PICTURES: &[&str] = &["png", "ico"];

/// Words that mark unfinished work or a machine of ours. Assembled so that this file does not find itself.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of somebody's machine"),
    (concat!("/ro", "ot/"), "a path of somebody's machine"),
    (concat!("todo", "!("), "unfinished work"),
    (concat!("unimplemented", "!("), "unfinished work"),
    (concat!("#[ig", "nore"), "a test that does not run"),
];

/// What fuzzers begin with, made by the builders of the tests: bytes as they stand on the wire.
const SEEDS: &str = "fuzz/seeds/";

/// Runs every rule and reports all that is broken at once.
pub(crate) fn run() -> anyhow::Result<()> {
    let allowed = ratchet()?;
    let mut broken = String::new();
    let mut used = 0_usize;
    for path in tracked_files()? {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else {
            if !PICTURES.iter().any(|kind| has_extension(&path, kind)) && !path.starts_with(SEEDS) {
                writeln!(broken, "{path}: a binary file; only pictures and seeds of fuzzers are kept here")?;
            }
            continue;
        };
        for (word, why) in FORBIDDEN {
            if let Some(line) = text.lines().position(|line| line.contains(word)) {
                writeln!(broken, "{path}:{}: `{word}` ({why})", line + 1)?;
            }
        }
        if !has_extension(&path, "rs") {
            continue;
        }
        for (place, lines, most) in lengths(&path, &text) {
            match allowed.get(&place) {
                Some(limit) if lines <= *limit => used += 1,
                Some(limit) => writeln!(broken, "{place}: {lines} lines, the ratchet allows {limit}")?,
                None => writeln!(broken, "{place}: {lines} lines, {most} are the rule")?,
            }
        }
    }
    if used < allowed.len() {
        writeln!(broken, "{RATCHET}: {} entries are no longer needed; take them out", allowed.len() - used)?;
    }
    changed_migrations(&mut broken)?;
    if broken.is_empty() {
        return Ok(());
    }
    bail!("the house is not tidy:\n{broken}")
}

/// The migrations of every crate with the checksum of their text, one a line, sorted.
pub(crate) fn migration_checksums() -> anyhow::Result<String> {
    let mut lines = String::new();
    for path in tracked_files()? {
        if path.contains("/migrations/") && has_extension(&path, "sql") {
            let sum = output(Command::new("sha256sum").current_dir(root()).arg(&path))?;
            writeln!(lines, "{} {path}", sum.split_whitespace().next().unwrap_or_default())?;
        }
    }
    Ok(lines)
}

fn changed_migrations(broken: &mut String) -> anyhow::Result<()> {
    let now = migration_checksums()?;
    let frozen = std::fs::read_to_string(root().join(MIGRATIONS)).unwrap_or_default();
    for line in frozen.lines() {
        if !now.lines().any(|current| current == line) {
            let path = line.split_once(' ').map_or(line, |(_, path)| path);
            writeln!(broken, "{path}: a merged migration is frozen; write a new step instead")?;
        }
    }
    for line in now.lines().filter(|line| !frozen.contains(*line)) {
        let path = line.split_once(' ').map_or(line, |(_, path)| path);
        if !frozen.contains(path) {
            writeln!(broken, "{path}: a new migration; run `cargo xtask gen` to freeze it")?;
        }
    }
    Ok(())
}

/// Files and functions over their length: (place, lines, rule).
fn lengths(path: &str, text: &str) -> Vec<(String, usize, usize)> {
    let mut long = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > FILE_LINES_MAX {
        long.push((path.to_owned(), lines.len(), FILE_LINES_MAX));
    }
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        // rustfmt puts the closing brace of a function at the function's own indentation.
        let length = lines.iter().skip(start).position(|line| closes(line, indent)).map_or(0, |end| end + 1);
        if length > FUNCTION_LINES_MAX {
            long.push((format!("{path}:{name}"), length, FUNCTION_LINES_MAX));
        }
    }
    long
}

fn closes(line: &str, indent: usize) -> bool {
    line.len() == indent + 1 && line.ends_with('}')
}

/// The name of the function that a line begins, where it has a body on further lines.
fn function_name(line: &str) -> Option<&str> {
    let code = line.trim_start();
    if code.starts_with("//") || line.trim_end().ends_with(['}', ';']) {
        return None;
    }
    let start = code.find("fn ")?;
    let qualifiers = code.get(..start)?;
    let only_qualifiers = qualifiers
        .split_whitespace()
        .all(|word| word == "const" || word == "async" || word == "unsafe" || word.starts_with("pub"));
    if !only_qualifiers {
        return None;
    }
    code.get(start + 3..)?.split(['(', '<']).next()
}

fn ratchet() -> anyhow::Result<BTreeMap<String, usize>> {
    let text = std::fs::read_to_string(root().join(RATCHET)).unwrap_or_default();
    let mut allowed = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let Some((place, lines)) = line.rsplit_once(' ') else { bail!("{RATCHET}: `{line}` is not `PLACE LINES`") };
        allowed.insert(place.to_owned(), lines.parse()?);
    }
    Ok(allowed)
}

fn tracked_files() -> anyhow::Result<Vec<String>> {
    let listing = output(Command::new("git").current_dir(root()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    Ok(listing.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect())
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_named_and_a_short_one_is_not() {
        let body = "    let x = 1;\n".repeat(80);
        let text = format!("pub async fn long(\n    a: u8,\n) {{\n{body}}}\n\nfn short() {{\n    1;\n}}\n");
        let places: Vec<String> = lengths("a.rs", &text).into_iter().map(|(place, ..)| place).collect();
        assert_eq!(places, ["a.rs:long"]);
    }

    #[test]
    fn a_function_type_is_no_function() {
        assert_eq!(function_name("    let f: fn (u8) = x"), None);
        assert_eq!(function_name("    pub(crate) const fn area(&self) -> u8 {"), Some("area"));
    }
}
