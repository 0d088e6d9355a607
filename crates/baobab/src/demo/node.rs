//! An organisation's node: its keys, its certificates from the authority, its services and rights.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use authority::{Authority, Profile};
use bridge::config::{Addresses, ConsentTrust, ManagementHost, NodeConfig, Rhythm, ServiceConfig};
use bridge::{Listeners, Node, NodeKeys, NodeParts};
use civic::{ClientId, ServerId};

use super::agency::Means;
use super::logs::Logs;
use super::organisation::House;
use super::ports::{Organisation, Ports, local, socket_url};

/// How often a configuration is made, and looked for: whoever tries something out does not wait a minute for it.
pub(super) const CONFIGURATION: Duration = Duration::from_secs(5);

/// A node that is registered and has its certificates, and does not run yet.
pub(super) struct Prepared {
    organisation: Organisation,
    keys: NodeKeys,
    folder: PathBuf,
    server: ServerId,
    client: ClientId,
}

/// What a node is told about the world.
pub(super) struct Surroundings<'a> {
    pub(super) means: &'a Means<'a>,
    pub(super) anchor: &'a [u8],
    pub(super) logs: &'a Logs,
}

impl Prepared {
    /// Makes keys and requests the first time, has them certified, and registers the node under today's ports.
    pub(super) async fn register(
        house: &House,
        organisation: Organisation,
        authority: &Authority,
        ports: Ports,
    ) -> anyhow::Result<Self> {
        let client: ClientId = organisation.client().parse()?;
        let server = client.member().server("node-1")?;
        let folder = house.folder().join("node");
        authority.register_member(client.member(), organisation.title()).await?;
        authority.register_subsystem(&client, None).await?;
        let keys = if let Some(keys) = NodeKeys::installed(&folder)? {
            keys
        } else {
            let requests = NodeKeys::init(&folder, &server, "BB", organisation.title())?;
            let member = client.member();
            let sign = authority.sign_csr(Profile::Sign, &server, member, &requests.sign).await?;
            let auth = authority.sign_csr(Profile::Auth, &server, member, &requests.auth).await?;
            NodeKeys::install(&folder, &sign, &auth)?
        };
        let address = format!("127.0.0.1:{}", ports.transport(organisation));
        authority.register_server(&server, &address, &keys.auth_certificate, std::slice::from_ref(&client)).await?;
        Ok(Self { organisation, keys, folder, server, client })
    }

    /// Starts it with the services of its organisation and the rights to them.
    pub(super) async fn start(
        self,
        house: &House,
        around: &Surroundings<'_>,
        services: Vec<ServiceConfig>,
        rights: Vec<bridge::access::AccessRight>,
        consent: Option<ConsentTrust>,
    ) -> anyhow::Result<Node> {
        let means = around.means;
        let ports = means.ports;
        let listeners = Listeners::bind(&Addresses {
            consumer: local(ports.consumer(self.organisation)),
            consumer_https: None,
            transport: local(ports.transport(self.organisation)),
            ocsp: local(ports.ocsp(self.organisation)),
            admin: local(ports.admin(self.organisation)),
        })
        .await?;
        let management = (self.organisation == Organisation::Agency).then(|| ManagementHost {
            client: self.client.clone(),
            url: format!("{}/managementservice", socket_url(ports.service(Organisation::Agency))),
        });
        let config = NodeConfig {
            clients: vec![self.client.clone()],
            services,
            rights,
            management,
            consent,
            rhythm: Rhythm { configuration: CONFIGURATION, ..Rhythm::default() },
            ..NodeConfig::new(self.server, self.folder, around.anchor.to_vec())
        };
        let log = around.logs.of_node(self.organisation);
        let ledger = log.client(&self.client.to_string(), self.keys.sign.clone(), means)?;
        let store = house.store("node").await?;
        house.make_console_key(&store, means.clock).await?;
        let parts = NodeParts {
            ledger: Some(ledger),
            monitor: None,
            witness: None,
            keys: self.keys,
            store,
            clock: Arc::clone(means.clock),
            random: Arc::clone(means.random),
        };
        Ok(Node::start(config, listeners, parts).await?)
    }
}
