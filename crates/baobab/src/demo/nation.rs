//! A whole nation, started and stopped.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use authority::{Authority, AuthorityConfig, AutoApproval};
use bridge::Node;
use bridge::config::ConsentTrust;
use civic::{SharedClock, SharedRandom};
use civil::population::{self, Population};
use identity::rp::{RelyingParty, RpConfig};
use store::Store;
use trust::keys::SigningKey;
use web::{ClientLimits, HttpClient, Text};

use super::Settings;
use super::agency::{self, Agency, Means};
use super::bank::{BankConfig, bank};
use super::description::Description;
use super::folder::{Folder, Founding};
use super::known_keys::KnownKeys;
use super::letters;
use super::node::{CONFIGURATION, Prepared, Surroundings};
use super::notary;
use super::organisation::House;
use super::ports::{Organisation, Ports, public_url, socket_url};
use super::registers::{self, income_service};
use super::runner::Runner;
use crate::files::write_durably;
use crate::{SystemClock, SystemRandom};

/// A running demo nation.
pub struct Nation {
    runner: Runner,
    nodes: Vec<Node>,
    stores: Vec<Store>,
    description: Description,
    folder: Folder,
}

/// The houses of the organisations.
struct Houses {
    agency: House,
    civil: House,
    fisc: House,
    bank: House,
}

impl Nation {
    /// Starts it, founding it first where the data folder is new. When this returns, everything answers.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let wanted = Founding { seed: settings.seed, population: settings.population };
        let folder = Folder::open(&settings.data, wanted, settings.reset)?;
        let ports = Ports::from(settings.port_base);
        ports.check_free().await?;
        let clock: SharedClock = Arc::new(SystemClock);
        let random: SharedRandom = Arc::new(SystemRandom);
        let runner = Runner::default();
        let means = Means { runner: &runner, ports, clock: &clock, random: &random };
        let houses = Houses::open(&folder, &random)?;
        let Founding { seed, population } = folder.founding();
        // People are made while the authority makes its keys.
        let people = tokio::task::spawn_blocking(move || population::generate(seed, population as usize));

        let authority_store = houses.agency.store("authority").await?;
        let authority = start_authority(&houses.agency, authority_store.clone(), &means).await?;
        let nodes = register_nodes(&houses, &authority, ports).await?;
        let anchor = authority.anchor().into_bytes();
        publish_trust(&folder, &authority, &anchor)?;
        let bank_key = houses.bank.p256("client")?;
        let logs = Arc::new(agency::open_logs(&houses.agency, &houses.bank, &means).await?);
        let (agency, mut stores) = Agency::start(&houses.agency, bank_key.public(), &logs, &means).await?;
        stores.extend(logs.stores());
        let known = KnownKeys::new(&authority, &logs, agency.grants());
        known.learn().await?;
        runner.run_jobs(vec![known.job()]);
        logs.publish(&authority).await?;
        agency::commit_acts(&houses.agency, &authority, &logs, &means).await?;
        let (civil, fisc) = tokio::join!(houses.civil.store("system"), houses.fisc.store("system"));
        let (civil, fisc) = (civil?, fisc?);
        stores.extend([authority_store, civil.clone(), fisc.clone()]);
        let citizens = found(seed, people.await?, &agency, &civil, &fisc, &clock).await?;
        let room = registers::civil(civil, &clock, &random).await?;
        runner.run_room(ports.service(Organisation::Civil), room).await?;
        let room = registers::fisc(fisc, agency.issuer(), &clock, &random).await?;
        runner.run_room(ports.service(Organisation::Fisc), room).await?;

        let around = Surroundings { means: &means, anchor: &anchor, logs: &logs };
        let nodes = start_nodes(nodes, &houses, &agency, &around).await?;
        let notary = notary::open(&houses.agency, &houses.bank, &logs.state, agency.tokens(), &means).await?;
        stores.push(notary.store);
        let portal = agency.portal(&logs, vec![notary.card], &means).await?;
        runner.run_room(ports.portal(), portal).await?;
        let bank_store = houses.bank.store("system").await?;
        runner.run_room(ports.bank(), bank(bank_config(bank_key, bank_store.clone(), &means)?).await?).await?;
        stores.push(bank_store);

        let (anchor, trust) = (folder.join("anchor.xml"), folder.join("trust"));
        let keys = Organisation::ALL.map(|organisation| houses.of(organisation).console_key());
        let members = Description::members(ports, keys.into_iter().collect::<Result<Vec<_>, _>>()?);
        let description =
            Description::new(ports, members, anchor, trust, logs.describe(), notary.description, citizens);
        description.write(&folder.join("demo.json"))?;
        Ok(Self { runner, nodes, stores, description, folder })
    }

    /// What the terminal shows.
    pub fn table(&self) -> anyhow::Result<String> {
        Ok(self.description.table(&self.folder.join(""))?)
    }

    /// Stops in good order: requests under way end, then nodes, then storage.
    pub async fn stop(self) {
        for node in &self.nodes {
            node.stop().await;
        }
        self.runner.stop().await;
        for store in &self.stores {
            store.close().await;
        }
    }
}

impl Houses {
    fn open(folder: &Folder, random: &SharedRandom) -> anyhow::Result<Self> {
        Ok(Self {
            agency: House::open(folder, Organisation::Agency, random)?,
            civil: House::open(folder, Organisation::Civil, random)?,
            fisc: House::open(folder, Organisation::Fisc, random)?,
            bank: House::open(folder, Organisation::Bank, random)?,
        })
    }

    const fn of(&self, organisation: Organisation) -> &House {
        match organisation {
            Organisation::Agency => &self.agency,
            Organisation::Civil => &self.civil,
            Organisation::Fisc => &self.fisc,
            Organisation::Bank => &self.bank,
        }
    }
}

async fn start_authority(house: &House, store: Store, means: &Means<'_>) -> anyhow::Result<Authority> {
    let management = registers::client(Organisation::Agency)?;
    let url = socket_url(means.ports.authority());
    // Nobody sits at the authority of a demo: what a node asks for is granted where everybody whom it names is registered.
    let auto_approval = AutoApproval { auth_cert_reg: true, client_reg: true, owner_change: true };
    let config = AuthorityConfig {
        auto_approval,
        refresh: CONFIGURATION,
        ..AuthorityConfig::new("BB", Organisation::Agency.title(), &url, management)
    };
    let folder = house.folder().join("authority");
    let opened = Authority::open(store, &folder, config, Arc::clone(means.clock), Arc::clone(means.random)).await;
    let authority = opened?;
    means.runner.run_jobs(authority.jobs());
    means.runner.serve(means.ports.authority(), authority.router()).await?;
    means.runner.serve(means.ports.service(Organisation::Agency), authority.management_router()).await?;
    Ok(authority)
}

async fn register_nodes(houses: &Houses, authority: &Authority, ports: Ports) -> anyhow::Result<Vec<Prepared>> {
    let mut nodes = Vec::new();
    for organisation in Organisation::ALL {
        let registered = Prepared::register(houses.of(organisation), organisation, authority, ports).await;
        nodes.push(registered.with_context(|| format!("cannot register the node of {}", organisation.title()))?);
    }
    Ok(nodes)
}

/// Puts anchor and trust data where `baobab verify` and other programs find them.
fn publish_trust(folder: &Folder, authority: &Authority, anchor: &[u8]) -> anyhow::Result<()> {
    write_durably(&folder.join("anchor.xml"), anchor)?;
    for (name, content) in authority.trust_dir_files() {
        let path = folder.join("trust").join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        write_durably(&path, &content)?;
    }
    Ok(())
}

/// Fills registers and accounts the first time; answers the sample citizens.
async fn found(
    seed: u64,
    population: Population,
    agency: &Agency,
    civil: &Store,
    fisc: &Store,
    clock: &SharedClock,
) -> anyhow::Result<Vec<letters::SampleCitizen>> {
    let samples = population.samples().len();
    let citizens = population.samples().iter().map(|person| letters::sample(seed, person)).collect();
    let people: Arc<[civil::person::Person]> = population.people.into();
    let enrolled = people
        .iter()
        .enumerate()
        .map(|(position, person)| letters::citizen(seed, person, position < samples))
        .collect();
    let (accounts, registers) = tokio::join!(
        agency.identity.enrol(enrolled),
        registers::seed(seed, Arc::clone(&people), samples, civil, fisc, clock.now()),
    );
    accounts?;
    registers?;
    Ok(citizens)
}

async fn start_nodes(
    prepared: Vec<Prepared>,
    houses: &Houses,
    agency: &Agency,
    around: &Surroundings<'_>,
) -> anyhow::Result<Vec<Node>> {
    let ports = around.means.ports;
    let mut nodes = Vec::new();
    for (node, organisation) in prepared.into_iter().zip(Organisation::ALL) {
        let (services, rights) = match organisation {
            Organisation::Civil => registers::civil_services(ports)?,
            Organisation::Fisc => registers::fisc_services(ports)?,
            Organisation::Agency | Organisation::Bank => (Vec::new(), Vec::new()),
        };
        let (issuer, jwks) = agency.issuer();
        let consent = ConsentTrust { issuer, jwks, base_url: socket_url(ports.identity()) };
        nodes.push(node.start(houses.of(organisation), around, services, rights, Some(consent)).await?);
    }
    for node in &nodes {
        node.ready().await.map_err(|reason| anyhow::anyhow!("a node does not become ready: {reason}"))?;
    }
    Ok(nodes)
}

fn bank_config(key: SigningKey, store: Store, means: &Means<'_>) -> anyhow::Result<BankConfig> {
    let ports = means.ports;
    let party = RpConfig {
        issuer: public_url(ports.identity()),
        client_id: "banque-du-fleuve".to_owned(),
        redirect_uri: format!("{}/callback", public_url(ports.bank())),
        key,
    };
    let http = HttpClient::new(ClientLimits::default(), None);
    Ok(BankConfig {
        name: Text::name(Organisation::Bank.title()),
        public_url: public_url(ports.bank()),
        issuer: public_url(ports.identity()),
        relying_party: RelyingParty::new(party, http.clone(), Arc::clone(means.clock), Arc::clone(means.random)),
        consumer_url: socket_url(ports.consumer(Organisation::Bank)),
        client: registers::client(Organisation::Bank)?,
        income_service: income_service()?,
        year: *fisc::YEARS.end(),
        http,
        store,
        clock: Arc::clone(means.clock),
        random: Arc::clone(means.random),
    })
}
