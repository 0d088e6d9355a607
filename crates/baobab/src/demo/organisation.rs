//! What every organisation of the demo has: a folder, keys in files that only it reads, storage.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use civic::{SharedClock, SharedRandom};
use store::{Location, Store};
use trust::keys::SigningKey;
use trust::mldsa::MlDsaKey;
use trust::seal::KeyRing;

use super::folder::Folder;
use super::ports::Organisation;
use crate::files::{secret_file, write_secret};

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

    /// An ML-DSA-44 key of this organisation.
    pub(super) fn ml_dsa(&self, name: &str) -> anyhow::Result<MlDsaKey> {
        let path = self.folder.join(format!("{name}.key.pem"));
        let pem = secret_file(&path, || Ok(MlDsaKey::generate()?.to_pkcs8_pem()?))?;
        MlDsaKey::from_pkcs8_pem(&pem).with_context(|| format!("{} is damaged", path.display()))
    }

    /// The key of the console and the management API of its node, all roles: made at the first start.
    pub(super) async fn make_console_key(&self, node: &Store, clock: &SharedClock) -> anyhow::Result<()> {
        if self.console_key_file().exists() {
            return Ok(());
        }
        let key = bridge::api::first_key(node, clock, &self.random, &bridge::api::Role::ALL).await?.key;
        write_secret(&self.console_key_file(), key.as_bytes())
    }

    pub(super) fn console_key(&self) -> anyhow::Result<String> {
        let path = self.console_key_file();
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn console_key_file(&self) -> PathBuf {
        self.folder.join("console.key")
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
