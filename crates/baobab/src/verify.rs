//! `baobab verify`: judges evidence offline. It reads the evidence and what is trusted, and nothing else.

mod container;
mod proof;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use trust::globalconf::TrustDir;

use crate::cli::VerifyArguments;

/// Folders below the trust data are read this deep.
const DEPTH_MAX: usize = 4;
/// More than this is no trust data.
const TRUST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Prints the verdict; the exit status is 0 for valid, 1 for anything else.
pub(crate) fn run(arguments: &VerifyArguments) -> anyhow::Result<ExitCode> {
    match (&arguments.trust, &arguments.policy) {
        (None, Some(policy)) => proof::run(arguments, policy),
        (None, None) => bail!("name the trust data with --trust, or for a proof the trust policy with --policy"),
        (Some(trust), policy) => container::run(arguments, &load_trust(trust)?, policy.as_deref()),
    }
}

/// Reads `INSTANCE/shared-params.xml` and `instance-identifier`, directly in the folder or in `verificationconf` below it.
fn load_trust(folder: &Path) -> anyhow::Result<TrustDir> {
    let inner = folder.join("verificationconf");
    let folder = if inner.is_dir() { &inner } else { folder };
    let mut files = BTreeMap::new();
    let mut left = TRUST_BYTES_MAX;
    read_below(folder, "", DEPTH_MAX, &mut left, &mut files)
        .with_context(|| format!("cannot read the trust data in {}", folder.display()))?;
    TrustDir::load(&files).with_context(|| {
        format!("{} is no trust data: it needs instance-identifier and INSTANCE/shared-params.xml", folder.display())
    })
}

fn read_below(
    folder: &Path,
    prefix: &str,
    depth: usize,
    left: &mut u64,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                read_below(&entry.path(), &format!("{name}/"), depth - 1, left, files)?;
            }
            continue;
        }
        let size = entry.metadata()?.len();
        let Some(rest) = left.checked_sub(size) else { bail!("it holds more than {TRUST_BYTES_MAX} bytes") };
        *left = rest;
        files.insert(name, fs::read(entry.path())?);
    }
    Ok(())
}
