//! Files and folders that belong to this process alone, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;

/// Makes a folder that only its owner may enter; one that is there keeps its rights.
pub(crate) fn make_private(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Writes a file so that it is there whole or not at all, also after a power cut.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write(path, bytes, 0o644)
}

/// The same, readable by its owner only.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write(path, bytes, 0o600)
}

/// Reads a file that only its owner may read; the first time it is made, whole or not at all.
pub(crate) fn secret_file(path: &Path, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
    if path.exists() {
        return fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let text = make()?;
    write_secret(path, text.as_bytes())?;
    Ok(text)
}

/// Whether others than its owner may read a file.
pub(crate) fn others_may_read(path: &Path) -> std::io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let scratch = path.with_file_name(name);
    let attempt = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&scratch)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&scratch, path)?;
        sync_folder(path)
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a rename in the folder of this file outlive a power cut.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key.pem");
        assert_eq!(secret_file(&path, || Ok("first".to_owned())).unwrap(), "first");
        assert_eq!(secret_file(&path, || Ok("second".to_owned())).unwrap(), "first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_secret_that_others_may_read_is_told_from_one_of_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bucket.key");
        write_secret(&path, b"secret").unwrap();
        assert!(!others_may_read(&path).unwrap());
        for rights in [0o640, 0o604, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(rights)).unwrap();
            assert!(others_may_read(&path).unwrap(), "{rights:o}");
        }
        assert!(others_may_read(&folder.path().join("nothing")).is_err());
    }

    #[test]
    fn a_private_folder_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/deeper");
        make_private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
