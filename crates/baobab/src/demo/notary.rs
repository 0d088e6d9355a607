//! The agency's notary, and the bank as its example client.

use std::sync::Arc;

use anyhow::Context as _;
use identity::AccessTokenVerifier;
use notary::{Notary, NotaryConfig};
use serde::Serialize;
use store::Store;
use trust::keys::PublicKey;
use web::{Card, Text};

use super::agency::Means;
use super::logs::Log;
use super::organisation::House;
use super::ports::{Organisation, public_url};
use crate::files::write_secret;

/// The name under which the State's log knows the notary.
pub(super) const SUBMITTER: &str = "BB/GOV/1000/notary";

/// The notary as `demo.json` describes it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NotaryDescription {
    pub(super) url: String,
    /// The key of an example client, the bank.
    pub(super) api_key: String,
}

/// The scope that opens it to clients of the identity provider.
pub(super) const SCOPE: &str = "notary";

/// A notary that runs.
pub(super) struct Office {
    pub(super) card: Card,
    pub(super) store: Store,
    pub(super) description: NotaryDescription,
}

/// The key with which the notary appends to the log.
pub(super) fn submitter_key(agency: &House) -> anyhow::Result<PublicKey> {
    Ok(agency.p256("notary-submitter")?.public().clone())
}

/// Opens the notary of the agency over the State's log and serves it.
pub(super) async fn open(
    agency: &House,
    bank: &House,
    log: &Log,
    tokens: AccessTokenVerifier,
    means: &Means<'_>,
) -> anyhow::Result<Office> {
    let store = agency.store("notary").await?;
    let client = log.client(SUBMITTER, agency.p256("notary-submitter")?, means)?;
    let url = public_url(means.ports.notary());
    let config = NotaryConfig {
        organisation: Text::name(Organisation::Agency.title()),
        public_url: url.clone(),
        key: agency.p256("notary")?,
        policy: log.policy().clone(),
        tokens: Some((tokens, SUBMITTER.parse()?)),
    };
    let (clock, random) = (Arc::clone(means.clock), Arc::clone(means.random));
    let notary = Notary::open(store.clone(), client, config, clock, random).await?;
    let api_key = example_key(bank, &notary).await?;
    means.runner.run_room(means.ports.notary(), notary.room()?).await?;
    Ok(Office { card: notary.card(), store, description: NotaryDescription { url, api_key } })
}

/// The bank's key: made at the first start, and kept by the bank.
async fn example_key(bank: &House, notary: &Notary) -> anyhow::Result<String> {
    let path = bank.folder().join("notary-api.key");
    if path.exists() {
        return std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()));
    }
    let key = notary.add_key(Organisation::Bank.title()).await?.key;
    write_secret(&path, key.as_bytes())?;
    Ok(key)
}
