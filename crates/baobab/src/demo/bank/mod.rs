//! Banque du Fleuve: the demo organisation that reads a citizen's income through the bridge, with the citizen's consent.
//!
//! A citizen asks for a loan, agrees (or not) at the identity provider, and the bank's system calls its own node. The
//! bank never learns the national number: it knows a pairwise subject and the fields that were granted.
//!
//! Trusted: whoever can write the bank's store can remove requests, not read tokens or incomes, which are sealed.

mod application;
mod http;
mod node;
mod pages;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ::store::Store;
use civic::{ClientId, Locale, ServiceId, SharedClock, SharedRandom};
use identity::rp::RelyingParty;
use web::{FormAction, HttpClient, Messages, Room, SessionConfig, Sessions, Site, Text};

use self::http::{Bank, Visitor};
use self::node::Node;

/// Who the bank is and what it stands on.
pub struct BankConfig {
    /// The name of the organisation.
    pub name: Text,
    /// The address that people see, without a slash at the end. Its `/callback` is the registered redirect URI.
    pub public_url: String,
    /// The issuer URL of the identity provider, to which forms may lead.
    pub issuer: String,
    /// The bank at the identity provider.
    pub relying_party: RelyingParty,
    /// The consumer address of the bank's own node, without a slash at the end.
    pub consumer_url: String,
    /// The subsystem in whose name the bank calls.
    pub client: ClientId,
    /// The service that certifies incomes.
    pub income_service: ServiceId,
    /// The year whose income is asked for.
    pub year: u16,
    /// For the calls to the node.
    pub http: HttpClient,
    /// The bank's own storage.
    pub store: Store,
    /// The present.
    pub clock: SharedClock,
    /// For ids and sessions.
    pub random: SharedRandom,
}

/// The bank's pages, their tables brought up to date.
pub async fn bank(config: BankConfig) -> anyhow::Result<Room> {
    config.store.migrate(&[web::session::migration()]).await?;
    config.store.migrate(&store::MIGRATIONS).await?;
    let messages = Messages::load(&[
        (Locale::Fr, include_str!("../../../../../translations/fr/bank.ftl")),
        (Locale::En, include_str!("../../../../../translations/en/bank.ftl")),
    ])?;
    let service = Text::new("Prêts en ligne", "Online loans");
    let mut site = Site::new(config.name, service, config.public_url, Arc::new(messages), Arc::clone(&config.random));
    // Chrome applies the rule to the redirect that answers the form.
    site.form_action = FormAction::And(vec![config.issuer]);
    let secure = site.public_url.starts_with("https://");
    let sessions = Sessions::<Visitor>::new(
        config.store.clone(),
        SessionConfig::new("bank", secure),
        Arc::clone(&config.clock),
        Arc::clone(&config.random),
    );
    let purge = sessions.job();
    let health = config.store.clone();
    let bank = Bank {
        store: config.store,
        sessions,
        relying_party: config.relying_party,
        node: Node {
            http: config.http,
            consumer_url: config.consumer_url,
            client: config.client,
            service: config.income_service,
        },
        year: config.year,
        clock: config.clock,
        random: config.random,
    };
    let mut room = Room::new("bank", site.wrap(http::router(bank)));
    room.jobs = vec![purge];
    room.health = vec![web::HealthCheck::new("bank-store", move || {
        let store = health.clone();
        async move { Ok(store.health().await?) }
    })];
    Ok(room)
}
