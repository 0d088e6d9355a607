//! X-Road's own sample data, which are never copied into the repository, and the tools that judge our output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of samples: `$XROAD_SAMPLES`, else `../shared/xroad` beside the repository. `None` (said on stderr) where
/// it does not exist.
#[expect(clippy::disallowed_methods, reason = "only the environment can say where the samples lie")]
#[expect(clippy::print_stderr, reason = "a test that is left out must say so")]
pub(crate) fn folder(what: &str) -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = std::env::var("XROAD_SAMPLES").map_or_else(|_| repository.join("../shared/xroad"), PathBuf::from);
    if root.join("README.md").exists() {
        return Some(root);
    }
    eprintln!("LEFT OUT: {what} (no X-Road samples; set XROAD_SAMPLES to their folder)");
    None
}

/// Says on stderr what a test could not judge.
#[expect(clippy::print_stderr, reason = "a test that is left out must say so")]
pub(crate) fn left_out(what: &str) {
    eprintln!("LEFT OUT: {what}");
}

/// Every file below a folder, by its path with forward slashes.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// The schemas of configurations, copied so that they find the schema of identifiers two folders above them, where they
/// refer to it (as in X-Road's own tree, which the samples flatten by one folder).
pub(crate) fn schemas_of_configurations(samples: &Path, folder: &Path) -> PathBuf {
    let schemas = folder.join("schemas/configurations");
    for (path, content) in files(&samples.join("schemas")) {
        let to = if path.contains('/') { schemas.join(path) } else { folder.join("schemas").join(path) };
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, content).unwrap();
    }
    schemas
}

/// Runs a tool. `None` (said on stderr) where it is not installed, unless `CI` is set: there it must be.
#[expect(clippy::disallowed_methods, reason = "only the environment can say that this is the complete run")]
#[expect(clippy::print_stderr, reason = "a test that is left out must say so")]
pub(crate) fn tool(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var("CI").is_err(), "{program} is needed: {error}");
            eprintln!("LEFT OUT: the judgement of {program} (not installed)");
            None
        }
    }
}
