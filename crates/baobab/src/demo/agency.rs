//! What the digital agency runs beside its node: ledger, identity provider with the consent service, citizen portal, phones.

use std::sync::Arc;

use civic::{SharedClock, SharedRandom};
use consent::{Consent, ConsentConfig, Grants, GrantsConfig};
use identity::rp::{RelyingParty, RpConfig};
use identity::{Client, Identity, IdentityConfig, Phone, Scope};
use ledger::{Ledger, LedgerClient, Submitter, Submitters};
use portal::{LedgerNotice, PortalConfig, Source};
use store::Store;
use trust::jose::Jwks;
use trust::keys::{PublicKey, SigningKey};
use web::{ClientLimits, HttpClient, Room, Text};

use super::node::Prepared;
use super::organisation::House;
use super::ports::{Organisation, Ports, public_url, socket_url};
use super::registers::{client, income_service, service};
use super::runner::Runner;
use super::words::income_notice;

const CONSENT_SUBMITTER: &str = "BB/GOV/1000/consent";

/// The parts of the agency that run before any node does.
pub(super) struct Agency {
    pub(super) ledger: Ledger,
    pub(super) identity: Identity,
    grants: Grants,
    store: Store,
    portal_key: SigningKey,
}

/// What every part takes.
pub(super) struct Means<'a> {
    pub(super) runner: &'a Runner,
    pub(super) ports: Ports,
    pub(super) clock: &'a SharedClock,
    pub(super) random: &'a SharedRandom,
}

impl Agency {
    /// Opens ledger, identity provider and consent service, and serves them.
    pub(super) async fn start(
        house: &House,
        bank: &PublicKey,
        nodes: &[Prepared],
        means: &Means<'_>,
    ) -> anyhow::Result<(Self, Vec<Store>)> {
        let store = house.store("system").await?;
        let ledger_store = house.store("ledger").await?;
        let consent_key = house.p256("consent-submitter")?;
        let ledger = open_ledger(house, ledger_store.clone(), &consent_key, nodes, means).await?;
        let portal_key = house.p256("portal-client")?;
        let issuer_key = house.p256("issuer")?;
        let issuer = public_url(means.ports.identity());
        let providers = nodes
            .iter()
            .map(|node| Ok((node.client().clone(), Jwks::of([node.public_key()])?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let committing = ledger_client(means, &ledger, consent_key)?;
        let config = GrantsConfig { issuer, key: issuer_key.clone(), providers, ledger: committing };
        let grants = Grants::open(store.clone(), config, Arc::clone(means.clock), Arc::clone(means.random)).await?;
        let identity = Identity::open(
            store.clone(),
            issuer_key,
            identity_config(means.ports, portal_key.public(), bank)?,
            Arc::clone(means.clock),
            Arc::clone(means.random),
        )
        .await?
        .with_grants(grants.clone());
        means.runner.run_room(means.ports.identity(), identity.room()).await?;
        let phone = Phone::new(identity.clone());
        means.runner.run_room(means.ports.phone(), phone.room(&public_url(means.ports.phone()))).await?;
        let stores = vec![store.clone(), ledger_store];
        Ok((Self { ledger, identity, grants, store, portal_key }, stores))
    }

    /// Whom the others believe about grants: issuer and keys.
    pub(super) fn issuer(&self) -> (String, Jwks) {
        (self.identity.issuer().to_owned(), self.identity.keys().clone())
    }

    /// The citizen portal.
    pub(super) async fn portal(&self, means: &Means<'_>) -> anyhow::Result<Room> {
        let own = client(Organisation::Agency)?;
        let config = ConsentConfig { organisation: own.clone(), grant_issuer: None, laws: Vec::new() };
        let consent =
            Consent::open(self.store.clone(), config, Arc::clone(means.clock), Arc::clone(means.random)).await?;
        let ports = means.ports;
        let portal = PortalConfig {
            organisation: Text::name(Organisation::Agency.title()),
            public_url: public_url(ports.portal()),
            issuer: public_url(ports.identity()),
            client: own,
            consumer_url: socket_url(ports.consumer(Organisation::Agency)),
            person_service: service(Organisation::Civil, "person")?,
            sources: vec![source(Organisation::Civil)?, source(Organisation::Fisc)?],
            names: names()?,
            cards: Vec::new(),
            ledger: Some(LedgerNotice { url: public_url(ports.ledger()), vkey: self.ledger.verifier() }),
            utc_offset_minutes: 0,
        };
        let party = RpConfig {
            issuer: public_url(ports.identity()),
            client_id: "portal".to_owned(),
            redirect_uri: format!("{}/callback", public_url(ports.portal())),
            key: self.portal_key.clone(),
        };
        let http = HttpClient::new(ClientLimits::default(), None);
        let parts = portal::Parts {
            store: self.store.clone(),
            consent,
            grants: self.grants.clone(),
            party: RelyingParty::new(party, http, Arc::clone(means.clock), Arc::clone(means.random)),
            clock: Arc::clone(means.clock),
            random: Arc::clone(means.random),
            metrics: None,
        };
        let room = portal::portal(portal, parts)?;
        self.store.migrate(&room.migrations).await?;
        Ok(room)
    }
}

/// Opens the ledger to the nodes and the consent service, and serves it.
async fn open_ledger(
    house: &House,
    store: Store,
    consent_key: &SigningKey,
    nodes: &[Prepared],
    means: &Means<'_>,
) -> anyhow::Result<Ledger> {
    let origin = "baobab.example/demo";
    let ledger = Ledger::open(store, house.ed25519("ledger")?, origin, Arc::clone(means.clock)).await?;
    let mut submitters = Submitters::new();
    submitters.allow(CONSENT_SUBMITTER, consent_key.public())?;
    for node in nodes {
        submitters.allow(node.client().to_string(), node.public_key())?;
    }
    means.runner.serve(means.ports.ledger(), ledger::http::router(ledger.clone(), submitters)).await?;
    Ok(ledger)
}

fn ledger_client(means: &Means<'_>, ledger: &Ledger, key: SigningKey) -> anyhow::Result<LedgerClient> {
    let submitter = Submitter::new(CONSENT_SUBMITTER, key)?;
    let url = socket_url(means.ports.ledger());
    Ok(LedgerClient::new(&url, ledger.verifier(), Some(submitter), Arc::clone(means.clock))?)
}

fn identity_config(ports: Ports, portal: &PublicKey, bank: &PublicKey) -> anyhow::Result<IdentityConfig> {
    let portal = Client {
        id: "portal".to_owned(),
        name: Text::new("Portail des citoyens", "Citizen portal"),
        redirect_uris: vec![format!("{}/callback", public_url(ports.portal()))],
        post_logout_redirect_uris: vec![format!("{}/", public_url(ports.portal()))],
        keys: Jwks::of([portal])?,
        member: client(Organisation::Agency)?,
        services: Vec::new(),
        scopes: vec![Scope::Profile, Scope::Person],
        first_party: true,
    };
    let bank = Client {
        id: "banque-du-fleuve".to_owned(),
        name: Text::name(Organisation::Bank.title()),
        redirect_uris: vec![format!("{}/callback", public_url(ports.bank()))],
        post_logout_redirect_uris: Vec::new(),
        keys: Jwks::of([bank])?,
        member: client(Organisation::Bank)?,
        services: vec![income_service()?],
        scopes: Vec::new(),
        first_party: false,
    };
    Ok(IdentityConfig {
        issuer: public_url(ports.identity()),
        organisation: Text::name(Organisation::Agency.title()),
        rp_id: "localhost".to_owned(),
        portal_url: public_url(ports.portal()),
        withdraw_url: format!("{}/autorisations", public_url(ports.portal())),
        clients: vec![portal, bank],
        services: vec![income_notice(income_service()?)],
    })
}

fn source(organisation: Organisation) -> anyhow::Result<Source> {
    Ok(Source { provider: client(organisation)?, name: Text::name(organisation.title()) })
}

/// What people call the parts of the nation.
fn names() -> anyhow::Result<Vec<(String, Text)>> {
    let mut names: Vec<(String, Text)> = Organisation::ALL
        .iter()
        .map(|organisation| (organisation.client().to_owned(), Text::name(organisation.title())))
        .collect();
    names.push((income_service()?.to_string(), Text::new("Relevé de revenus", "Income statement")));
    names.push((
        service(Organisation::Civil, "person")?.to_string(),
        Text::new("Fiche d’état civil", "Civil-status record"),
    ));
    Ok(names)
}
