//! What a running node takes over from a configuration that was read again, without dropping a connection.

use std::sync::PoisonError;

use crate::api;
use crate::config::NodeConfig;
use crate::keys::NodeKeys;
use crate::node::{Node, StartError};

impl Node {
    /// Takes keys and certificates over, once the authority says that they are good, and the clients, services and rights that the
    /// configuration declares. Exchanges under way end as they began. On an error the rest stays as it was.
    pub async fn reload(&self, config: &NodeConfig, keys: NodeKeys) -> Result<(), StartError> {
        let keys = api::keys_in_force(self.core.log.store(), keys).await.map_err(StartError::Keys)?;
        self.replace_keys(&keys).await.map_err(StartError::Keys)?;
        Ok(self.core.registry.declare(config).await?)
    }

    async fn replace_keys(&self, keys: &NodeKeys) -> Result<(), String> {
        let core = &self.core;
        if core.own_ocsp.uses(keys) {
            return Ok(());
        }
        core.conf.refresh().await.map_err(|error| error.to_string())?;
        let snapshot = core.conf.current().ok_or("there is no global configuration")?;
        if snapshot.server_of(&keys.auth_certificate.sha256()) != Some(&core.config.server) {
            return Err(format!(
                "the new authentication certificate is not registered for {} yet. Let the authority register it first",
                core.config.server
            ));
        }
        core.own_ocsp.replace(keys, &snapshot, &core.outbound).await?;
        core.tls.replace(keys).map_err(|error| error.to_string())?;
        *core.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.clone();
        core.pool.forget();
        Ok(())
    }
}
