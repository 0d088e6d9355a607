//! Whose word the logs and the consent service of the nation take: nodes sign with keys that the State's authority certified. A node that
//! changes to another key needs nobody's hand.

use std::sync::Arc;
use std::time::Duration;

use authority::Authority;
use consent::Grants;
use trust::jose::{Jwk, Jwks};
use web::{Failure, Job};

use super::logs::Logs;
use super::ports::Organisation;
use super::registers::client;

/// A key is known before whoever had it certified can have put it in use.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Tells logs and consent service which keys the authority certified and did not revoke.
#[derive(Clone)]
pub(super) struct KnownKeys {
    authority: Authority,
    logs: Arc<Logs>,
    grants: Grants,
}

impl KnownKeys {
    pub(super) fn new(authority: &Authority, logs: &Arc<Logs>, grants: &Grants) -> Self {
        Self { authority: authority.clone(), logs: Arc::clone(logs), grants: grants.clone() }
    }

    /// Looks once.
    pub(super) async fn learn(&self) -> anyhow::Result<()> {
        let mut providers = Vec::new();
        for organisation in Organisation::ALL {
            let client = client(organisation)?;
            let certificates = self.authority.signing_certificates(client.member()).await?;
            let mut keys = Jwks::default();
            // Keys of kinds that sign no tokens are for messages only.
            certificates.iter().filter_map(|one| Jwk::of(one.public_key()).ok()).for_each(|key| keys.push(key));
            self.logs.know(&client, &keys);
            providers.push((client, keys));
        }
        self.grants.know(providers);
        Ok(())
    }

    /// Looks again and again.
    pub(super) fn job(self) -> Job {
        Job::new("demo.known_keys", LOOK_AGAIN, move || {
            let known = self.clone();
            async move { known.learn().await.map_err(|error| Failure(format!("{error:#}"))) }
        })
    }
}
