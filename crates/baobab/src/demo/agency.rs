//! What the digital agency runs beside its node: ledger, identity provider with the consent service, citizen portal, phones.

use std::sync::Arc;

use authority::Authority;
use civic::{SharedClock, SharedRandom};
use consent::{Consent, ConsentConfig, Grants, GrantsConfig};
use identity::rp::{RelyingParty, RpConfig};
use identity::{AccessTokenVerifier, AccountActs, Client, Identity, IdentityConfig, Phone, Resource, Scope};
use ledger::Submitters;
use portal::{LedgerNotice, PortalConfig, Source};
use store::Store;
use trust::jose::Jwks;
use trust::keys::{PublicKey, SigningKey};
use web::{Card, ClientLimits, HttpClient, Room, Text};

use super::logs::{self, Logs};
use super::notary;
use super::organisation::House;
use super::ports::{Organisation, Ports, public_url, socket_url};
use super::registers::{client, income_service, service};
use super::runner::Runner;
use super::words::income_notice;

const CONSENT_SUBMITTER: &str = "BB/GOV/1000/consent";
const CONSENT_KEY: &str = "consent-submitter";
const AUTHORITY_SUBMITTER: &str = "BB/GOV/1000/authority";
const AUTHORITY_KEY: &str = "authority-submitter";

/// The parts of the agency that run before any node does.
pub(super) struct Agency {
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
    /// Opens identity provider and consent service, and serves them.
    pub(super) async fn start(
        house: &House,
        bank: &PublicKey,
        logs: &Logs,
        means: &Means<'_>,
    ) -> anyhow::Result<(Self, Vec<Store>)> {
        let store = house.store("system").await?;
        let portal_key = house.p256("portal-client")?;
        let issuer_key = house.p256("issuer")?;
        let issuer = public_url(means.ports.identity());
        let committing = logs.state.client(CONSENT_SUBMITTER, house.p256(CONSENT_KEY)?, means)?;
        let config = GrantsConfig { issuer, key: issuer_key.clone(), providers: Vec::new(), ledger: committing };
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
        let stores = vec![store.clone()];
        Ok((Self { identity, grants, store, portal_key }, stores))
    }

    /// The consent service.
    pub(super) const fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Whom the others believe about grants: issuer and keys.
    pub(super) fn issuer(&self) -> (String, Jwks) {
        (self.identity.issuer().to_owned(), self.identity.keys().clone())
    }

    /// What checks the access tokens of the identity provider.
    pub(super) fn tokens(&self) -> AccessTokenVerifier {
        self.identity.access_token_verifier()
    }

    /// The citizen portal.
    pub(super) async fn portal(&self, logs: &Logs, cards: Vec<Card>, means: &Means<'_>) -> anyhow::Result<Room> {
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
            cards,
            ledger: Some(LedgerNotice {
                url: public_url(ports.log(Organisation::Agency)),
                vkey: logs.state.verifier(),
            }),
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
            acts: AccountActs::open(self.store.clone(), self.grants.outbox().clone()).await?,
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

/// Opens the logs of the nation to those whose acts go there. Nobody's acts go to a log of their own, the consent service's
/// excepted: the agency runs both, and the bank witnesses the log.
pub(super) async fn open_logs(agency: &House, bank: &House, means: &Means<'_>) -> anyhow::Result<Logs> {
    let [state, of_bank] = logs::plan(agency, bank, means).await?;
    let (to_state, to_bank) = (Submitters::new(), Submitters::new());
    to_state.allow(CONSENT_SUBMITTER, agency.p256(CONSENT_KEY)?.public())?;
    to_state.allow(notary::SUBMITTER, &notary::submitter_key(agency)?)?;
    to_bank.allow(AUTHORITY_SUBMITTER, agency.p256(AUTHORITY_KEY)?.public())?;
    Ok(Logs { state: state.open(to_state, means).await?, bank: of_bank.open(to_bank, means).await? })
}

/// The acts of the authority go to the bank's log: the agency runs the authority.
pub(super) async fn commit_acts(
    house: &House,
    authority: &Authority,
    logs: &Logs,
    means: &Means<'_>,
) -> anyhow::Result<()> {
    let log = logs.bank.client(AUTHORITY_SUBMITTER, house.p256(AUTHORITY_KEY)?, means)?;
    means.runner.run_jobs(vec![authority.commit_to(log).await?]);
    Ok(())
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
        own_scopes: Vec::new(),
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
        own_scopes: vec![notary::SCOPE.to_owned()],
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
        resources: vec![Resource { scope: notary::SCOPE.to_owned(), audience: notary::SUBMITTER.parse()? }],
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
