//! The keys of a notary, sealed with its store key.

use trust::keys::SigningKey;
use trust::mldsa::MlDsaKey;
use trust::note::{NoteSigner, VerifierKey};

use crate::command::process::key_ring;
use crate::command::sealed_keys::SealedKeys;
use crate::settings::{Loaded, NotarySettings};

/// The keys of a notary.
pub(super) struct NotaryKeys {
    /// Signs promises.
    pub(super) promises: SigningKey,
    /// By which the notary appends to its log.
    pub(super) submitter: SigningKey,
    /// Signs the checkpoints of the log.
    pub(super) log: SigningKey,
    sealed: SealedKeys,
}

impl NotaryKeys {
    /// Opens the keys. `create`: make those that are missing.
    pub(super) fn open(loaded: &Loaded<NotarySettings>, create: bool) -> anyhow::Result<Self> {
        let ring = key_ring(&loaded.path_of(&loaded.settings.store_key), create)?;
        let sealed = SealedKeys::new(loaded.path_of(&loaded.settings.keys), ring, create);
        Ok(Self {
            promises: sealed.p256("promises")?,
            submitter: sealed.p256("submitter")?,
            log: sealed.ed25519("log")?,
            sealed,
        })
    }

    /// Signs the checkpoints beside the Ed25519 key.
    pub(super) fn log_post_quantum(&self) -> anyhow::Result<MlDsaKey> {
        self.sealed.ml_dsa("log-ml-dsa")
    }

    /// The key of the log of this name, as others verify it.
    pub(super) fn verifier(&self, origin: &str) -> anyhow::Result<VerifierKey> {
        Ok(NoteSigner::new(origin, self.log.clone())?.verifier())
    }
}
