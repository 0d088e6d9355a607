//! X-Road's own sample data, which are never copied into the repository.

use std::path::{Path, PathBuf};

/// The folder of samples: `$XROAD_SAMPLES`, else `../shared/xroad` beside the repository. `None` (said on stderr) where it does not
/// exist.
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
