//! Keys of a role in files that its store key seals: whoever copies the folder without that key has nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use trust::keys::{KeyError, SigningKey};
use trust::mldsa::MlDsaKey;
use trust::seal::KeyRing;

use super::process::random;
use crate::files::write_secret;

/// The folder of the keys, and what seals them.
pub(super) struct SealedKeys {
    folder: PathBuf,
    ring: KeyRing,
    /// Whether a key that is missing is made.
    create: bool,
}

impl SealedKeys {
    /// `create`: make keys that are missing (`init`); otherwise they are an error.
    pub(super) fn new(folder: PathBuf, ring: KeyRing, create: bool) -> Self {
        Self { folder, ring, create }
    }

    /// An Ed25519 key.
    pub(super) fn ed25519(&self, name: &str) -> anyhow::Result<SigningKey> {
        self.signing(name, SigningKey::generate_ed25519)
    }

    /// A P-256 key.
    pub(super) fn p256(&self, name: &str) -> anyhow::Result<SigningKey> {
        self.signing(name, SigningKey::generate_p256)
    }

    /// An ML-DSA-44 key.
    pub(super) fn ml_dsa(&self, name: &str) -> anyhow::Result<MlDsaKey> {
        let pem = self.pem(name, || Ok(MlDsaKey::generate()?.to_pkcs8_pem()?))?;
        MlDsaKey::from_pkcs8_pem(&pem).with_context(|| format!("{} is damaged", self.path(name).display()))
    }

    fn signing(&self, name: &str, generate: fn() -> Result<SigningKey, KeyError>) -> anyhow::Result<SigningKey> {
        let pem = self.pem(name, || Ok(generate()?.to_pkcs8_pem()?))?;
        SigningKey::from_pkcs8_pem(&pem).with_context(|| format!("{} is damaged", self.path(name).display()))
    }

    fn pem(&self, name: &str, generate: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
        let path = self.path(name);
        // A key that was sealed for another name does not open.
        let place: [&[u8]; 2] = [b"key file", name.as_bytes()];
        if path.exists() {
            return self.open(&path, &place).with_context(|| {
                format!("{} cannot be opened: is the store key the one that it was sealed with?", path.display())
            });
        }
        if !self.create {
            bail!("{} is missing. Run `init` once, or bring the file back from your backup", path.display());
        }
        let pem = generate()?;
        let sealed = self.ring.seal(&place, pem.as_bytes(), random().as_ref())?;
        write_secret(&path, hex::encode(sealed).as_bytes())?;
        Ok(pem)
    }

    fn open(&self, path: &Path, place: &[&[u8]]) -> anyhow::Result<String> {
        let text = std::fs::read_to_string(path)?;
        let sealed = hex::decode(text.trim()).context("it is no sealed key")?;
        Ok(String::from_utf8(self.ring.open(place, &sealed)?)?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key.sealed"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_opens_with_its_ring_under_its_name_only() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::generate(random().as_ref());
        let keys = |ring: &KeyRing, create| SealedKeys::new(folder.path().to_owned(), ring.clone(), create);
        assert!(keys(&ring, false).ed25519("witness").unwrap_err().to_string().contains("`init`"));
        let made = keys(&ring, true).ed25519("witness").unwrap();
        let again = keys(&ring, false).ed25519("witness").unwrap();
        assert_eq!(made.public().spki_der(), again.public().spki_der());
        let path = folder.path().join("witness.key.sealed");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!std::fs::read_to_string(&path).unwrap().contains("PRIVATE"));
        std::fs::copy(&path, folder.path().join("log.key.sealed")).unwrap();
        assert!(keys(&ring, false).ed25519("log").is_err(), "sealed for another name");
        let other = KeyRing::generate(random().as_ref());
        let refused = keys(&other, true).ed25519("witness").unwrap_err();
        assert!(format!("{refused:#}").contains("store key"), "{refused:#}");
    }
}
