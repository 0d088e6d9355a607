//! What every organisation of the demo has: a folder, keys in files that only it reads, storage.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use civic::SharedRandom;
use store::{Location, Store};
use trust::keys::SigningKey;
use trust::seal::KeyRing;

use super::folder::{Folder, sync_folder};
use super::ports::Organisation;

/// The folder of an organisation with its sealing keys.
#[derive(Clone)]
pub(super) struct House {
    folder: PathBuf,
    keys: KeyRing,
    random: SharedRandom,
}

impl House {
    /// Opens the house of an organisation, making its folder and keys the first time.
    pub(super) fn open(folder: &Folder, organisation: Organisation, random: &SharedRandom) -> anyhow::Result<Self> {
        let folder = folder.organisation(organisation.folder())?;
        let text = secret_file(&folder.join("seal.keys"), || Ok(KeyRing::generate(random.as_ref()).to_text()))?;
        let keys = KeyRing::from_text(&text)?;
        Ok(Self { folder, keys, random: random.clone() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A database of this organisation.
    pub(super) async fn store(&self, name: &str) -> anyhow::Result<Store> {
        let location = Location::Sqlite(self.folder.join(format!("{name}.db")));
        let opened = Store::open(&location, self.keys.clone(), self.random.clone()).await;
        opened.with_context(|| format!("cannot open {location}"))
    }

    /// A P-256 key of this organisation.
    pub(super) fn p256(&self, name: &str) -> anyhow::Result<SigningKey> {
        self.key(name, SigningKey::generate_p256)
    }

    /// An Ed25519 key of this organisation.
    pub(super) fn ed25519(&self, name: &str) -> anyhow::Result<SigningKey> {
        self.key(name, SigningKey::generate_ed25519)
    }

    fn key(
        &self,
        name: &str,
        generate: fn() -> Result<SigningKey, trust::keys::KeyError>,
    ) -> anyhow::Result<SigningKey> {
        let path = self.folder.join(format!("{name}.key.pem"));
        let pem = secret_file(&path, || Ok(generate()?.to_pkcs8_pem()?))?;
        SigningKey::from_pkcs8_pem(&pem).with_context(|| format!("{} is damaged", path.display()))
    }
}

/// Reads a file that only its owner may read; the first time it is made, whole or not at all.
fn secret_file(path: &Path, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
    if path.exists() {
        return fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let text = make()?;
    let scratch = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&scratch)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&scratch, path)?;
    sync_folder(path)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key.pem");
        assert_eq!(secret_file(&path, || Ok("first".to_owned())).unwrap(), "first");
        assert_eq!(secret_file(&path, || Ok("second".to_owned())).unwrap(), "first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
