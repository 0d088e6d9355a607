//! What a running node takes over from a configuration that was read again, without dropping a connection.

use std::sync::{Arc, PoisonError};

use tokio::net::TcpListener;

use crate::api::{self, InForce};
use crate::config::NodeConfig;
use crate::consumer;
use crate::core::Core;
use crate::detached::detached;
use crate::globalconf::Snapshot;
use crate::internal_tls::{self, Caller};
use crate::keys::NodeKeys;
use crate::listener::serve;
use crate::node::{Node, StartError, append_with};
use crate::registry::{Author, Change, Connection, Registry, RegistryError};
use crate::usage::hex_text;

impl Node {
    /// Takes keys and certificates over, once the authority says that they are good, and the clients, services and rights that the
    /// configuration declares. Exchanges under way end as they began. On an error the rest stays as it was.
    pub async fn reload(&self, config: &NodeConfig, keys: NodeKeys) -> Result<(), StartError> {
        let before = self.core.files();
        *self.core.files.write().unwrap_or_else(PoisonError::into_inner) = keys;
        if let Err(reason) = take_over(&self.core).await {
            *self.core.files.write().unwrap_or_else(PoisonError::into_inner) = before;
            return Err(StartError::Keys(reason));
        }
        if let (Some(identity), Some(internal)) = (&self.core.internal, &config.internal) {
            let replaced = identity.replace(&internal.key, &internal.certificate);
            replaced.map_err(|error| StartError::Keys(error.to_string()))?;
        }
        declare(&self.core.registry, config).await?;
        *self.core.declared.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.clone());
        Ok(())
    }

    /// The listener for information systems over HTTPS, where there is one.
    pub(crate) fn serve_https(&self, listener: Option<TcpListener>) -> Result<(), StartError> {
        let (Some(listener), Some(identity)) = (listener, &self.core.internal) else { return Ok(()) };
        let acceptor = internal_tls::acceptor(identity).map_err(|error| StartError::Keys(error.to_string()))?;
        let connect = move |socket| internal_tls::accept(acceptor.clone(), socket);
        let core = Arc::clone(&self.core);
        let handle = move |caller: Caller, mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(caller);
            detached(consumer::handle(Arc::clone(&core), request))
        };
        let limits = self.core.config.limits;
        self.tasks.spawn(serve(listener, limits, self.shutdown.clone(), connect, handle));
        Ok(())
    }
}

/// Works with the keys that are active now, from the next exchange on; on an error with those before. Exchanges under way end as they
/// began.
pub(crate) async fn take_over(core: &Core) -> Result<(), String> {
    let _one_at_a_time = core.taking_over.lock().await;
    let keys = in_force(core).await?;
    if !core.own_ocsp.uses(&keys.own) {
        take_over_own(core, keys.own).await?;
    }
    if let Some(snapshot) = core.conf.current() {
        core.own_ocsp.sign_for(&keys.others, &snapshot, &core.outbound).await;
    }
    Ok(())
}

/// Asks the authorities for fresh responses about all certificates that the node works with.
pub(crate) async fn renew_responses(core: &Core, snapshot: &Snapshot) -> Result<(), String> {
    let _one_at_a_time = core.taking_over.lock().await;
    // What the node itself needs does not wait for what its clients need.
    let own = core.own_ocsp.renew(snapshot, &core.outbound).await;
    core.own_ocsp.sign_for(&in_force(core).await?.others, snapshot, &core.outbound).await;
    own
}

async fn in_force(core: &Core) -> Result<InForce, String> {
    let (token, owner) = (core.config.token.as_ref(), core.config.server.owner());
    api::keys_in_force(core.log.store(), core.files(), token, owner).await
}

async fn take_over_own(core: &Core, keys: NodeKeys) -> Result<(), String> {
    core.conf.refresh_own().await.map_err(|error| error.to_string())?;
    let snapshot = core.conf.current().ok_or("there is no global configuration")?;
    if snapshot.server_of(&keys.auth_certificate.sha256()) != Some(&core.config.server) {
        return Err(format!(
            "the new authentication certificate is not registered for {} yet. Let the authority register it first",
            core.config.server
        ));
    }
    let owner = core.config.server.owner();
    let named = snapshot.own().map(|own| own.check_sign_cert(&keys.sign_certificate, &[], snapshot.now()));
    if !matches!(&named, Some(Ok(member)) if member == owner) {
        return Err(format!(
            "the signing certificate does not name {owner}, the owner of this node. Choose one that does"
        ));
    }
    core.own_ocsp.replace(&keys, &snapshot, &core.outbound).await?;
    core.tls.replace(&keys.auth, &keys.auth_certificate).map_err(|error| error.to_string())?;
    *core.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    if let Some(ledger) = &core.ledger {
        append_with(ledger, core.token_key());
    }
    core.pool.forget();
    Ok(())
}

/// Puts in force what the configuration declares, whatever the tables say.
pub(crate) async fn declare(registry: &Registry, config: &NodeConfig) -> Result<(), RegistryError> {
    registry.declare(config).await?;
    connect(registry, config).await
}

/// Puts the connections in force that the configuration says; clients of which it says none keep theirs.
pub(crate) async fn connect(registry: &Registry, config: &NodeConfig) -> Result<(), RegistryError> {
    let offer = registry.current();
    let mut changes = Vec::new();
    for (client, wanted) in &config.connections {
        let Some(present) = offer.clients.get(client).filter(|present| present.connection != *wanted) else { continue };
        changes.push(Change::SetConnection { client: client.clone(), connection: wanted.kind() });
        let (old, new) = (certificates(&present.connection), certificates(wanted));
        let of = |certificate: &Vec<u8>| hex_text(&trust::digest::sha256(certificate));
        for certificate in new.iter().filter(|certificate| !old.contains(certificate)) {
            let (client, fingerprint) = (client.clone(), of(certificate));
            changes.push(Change::AddCertificate { client, certificate: certificate.clone(), fingerprint });
        }
        for certificate in old.iter().filter(|certificate| !new.contains(certificate)) {
            changes.push(Change::RemoveCertificate { client: client.clone(), fingerprint: of(certificate) });
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    registry.apply_all(&Author::Configuration, changes).await.map(drop)
}

fn certificates(connection: &Connection) -> &[Vec<u8>] {
    match connection {
        Connection::HttpsAuth { certificates } => certificates,
        Connection::Http | Connection::HttpsNoAuth => &[],
    }
}
