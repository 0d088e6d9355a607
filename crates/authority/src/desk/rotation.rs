//! New generations of keys without new anchors (X-Road 7.4): a signing key of the configuration is announced in the
//! `source` elements, signed by the old one; nodes that read them then believe the new one too; it takes over; the old
//! one is retired. Version 2 has no `source`: nodes that read nothing newer need the new anchor.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use crate::keys::{BACKDATED, KeyUse, Keys};
use crate::{AuthorityError, Desk, own_certificates, store};

/// A signing key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyState {
    /// Its generation.
    pub number: u32,
    /// Whether it signs.
    pub active: bool,
    /// SHA-256 of its certificate, hexadecimal.
    pub sha256: String,
}

impl Desk {
    /// The signing keys of the configuration, the one that signs first.
    pub fn signing_keys(&self) -> Vec<SigningKeyState> {
        let keys = self.authority.keys();
        let all = std::iter::once((&keys.signer, true)).chain(keys.announced.iter().map(|signer| (signer, false)));
        all.map(|(signer, active)| SigningKeyState {
            number: signer.number,
            active,
            sha256: hex::encode(signer.holder.certificate.sha256()),
        })
        .collect()
    }

    /// Makes the next generation of a key. A certification or time-stamping authority takes over at once, and the
    /// certificates and stamps of its predecessor stay believed; a signing key is only announced.
    pub async fn add_key(&self, used_for: KeyUse) -> Result<(), AuthorityError> {
        let authority = &self.authority;
        let (config, now, random) = (authority.0.config.clone(), authority.now(), Arc::clone(&authority.0.random));
        let add = move |folder: &Path| Keys::add(folder, used_for, &config, now, random.as_ref());
        self.rotate("keys.add", format!("{used_for:?}"), add).await
    }

    /// Lets an announced signing key sign. It must have been announced for as long as a directory holds: by then every
    /// node that is in touch believes it.
    pub async fn activate_signing_key(&self, number: u32) -> Result<(), AuthorityError> {
        let refused = |reason| AuthorityError::Rotation { key: number, wish: "activated", reason };
        let authority = &self.authority;
        let keys = authority.keys();
        if keys.signer.number == number {
            return Err(refused("it signs already"));
        }
        if authority.published().held_back.is_some() {
            return Err(refused("the registry cannot be published, so nodes hear of no key; see /health"));
        }
        let signer = keys.announced.iter().find(|signer| signer.number == number);
        let made = signer.ok_or_else(|| refused("there is no such key"))?.holder.certificate.not_before();
        if authority.now() < made.plus(BACKDATED).plus(authority.0.config.expires) {
            return Err(refused("not every node has heard of it yet; wait as long as a directory holds"));
        }
        self.change_signer("keys.activate", number, Keys::activate).await
    }

    /// Destroys a signing key that does not sign: nodes believe it no more.
    pub async fn retire_signing_key(&self, number: u32) -> Result<(), AuthorityError> {
        let refused = |reason| AuthorityError::Rotation { key: number, wish: "retired", reason };
        let keys = self.authority.keys();
        if keys.signer.number == number {
            return Err(refused("it signs; activate another one first"));
        }
        if !keys.announced.iter().any(|signer| signer.number == number) {
            return Err(refused("there is no such key"));
        }
        self.change_signer("keys.retire", number, Keys::retire).await
    }

    async fn change_signer(
        &self,
        action: &'static str,
        number: u32,
        act: fn(&Path, u32) -> Result<(), AuthorityError>,
    ) -> Result<(), AuthorityError> {
        let authority = &self.authority;
        let (config, now, random) = (authority.0.config.clone(), authority.now(), Arc::clone(&authority.0.random));
        let change = move |folder: &Path| {
            act(folder, number)?;
            Keys::open(folder, &config, now, random.as_ref())
        };
        self.rotate(action, format!("configuration {number}"), change).await
    }

    /// Changes files of keys, to the end, also where whoever asked does not wait for it: what the files say is in force.
    async fn rotate(
        &self,
        action: &'static str,
        subject: String,
        act: impl FnOnce(&Path) -> Result<Keys, AuthorityError> + Send + 'static,
    ) -> Result<(), AuthorityError> {
        let desk = self.clone();
        let rotation = tokio::spawn(async move { desk.rotate_to_its_end(action, subject, act).await });
        rotation.await.unwrap_or(Err(AuthorityError::Stopped))
    }

    /// Files are no rows of a table, so the audit says twice what happens: that it begins, and how it ended. What cannot be written there
    /// is not begun.
    async fn rotate_to_its_end(
        &self,
        action: &'static str,
        subject: String,
        act: impl FnOnce(&Path) -> Result<Keys, AuthorityError> + Send + 'static,
    ) -> Result<(), AuthorityError> {
        self.note(action, &subject, "begins").await?;
        let folder = self.authority.0.key_folder.clone();
        let acted = tokio::task::spawn_blocking(move || act(&folder)).await;
        let keys = match acted.unwrap_or(Err(AuthorityError::Stopped)) {
            Ok(keys) => keys,
            Err(error) => {
                self.note(action, &subject, &format!("failed: {error}")).await?;
                return Err(error);
            }
        };
        let own = own_certificates(&keys);
        self.swap_keys(keys);
        self.change(action, subject, "done".to_owned(), move |tx, now| {
            own.iter().try_for_each(|issued| store::put_certificate(tx, issued, now))
        })
        .await
    }

    fn swap_keys(&self, keys: Keys) {
        *self.authority.0.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }
}
