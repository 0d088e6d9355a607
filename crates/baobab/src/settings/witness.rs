//! `[witness]` of `node.toml`: the logs of others that the node witnesses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use trust::note::VerifierKey;
use trust::note::policy::Policy;

use super::{Loaded, NodeSettings, Refused, settings};

settings! {
    /// The node witnesses the transparency logs of others (C2SP tlog-witness). `baobab node init` makes its keys, sealed, and shows the
    /// lines that policies need.
    WitnessSettings {
        /// Where logs reach it: `IP:PORT`. Plain HTTP: what it says is signed.
        listen: String = "0.0.0.0:5588".to_owned();
        /// Under which address logs reach it, `http://…`. Empty: the host of `address`, and the port of `listen`.
        url: String = String::new();
        /// The name of its keys, as in a schema-less URL, without spaces and `+`. Empty: the id of the node, and `/witness`. It stands in
        /// every cosignature; policies need the new lines where it changes.
        name: String = String::new();
        /// Files with policies (C2SP tlog-policy) whose `log` lines name the logs that are witnessed. Empty: those of the global configuration.
        logs: Vec<PathBuf> = Vec::new();
    }
}

/// What the file says of the witness.
pub(crate) struct WitnessPlan {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Where logs reach it.
    pub(crate) url: String,
    /// The name of its keys.
    pub(crate) name: String,
    /// The keys of the logs that it witnesses, those of one log together; `None` where the global configuration says it.
    pub(crate) logs: Option<Vec<Vec<VerifierKey>>>,
}

impl Loaded<NodeSettings> {
    /// What the file says of the witness, checked; `None` where the node witnesses nothing.
    pub(crate) fn witness(&self) -> anyhow::Result<Option<WitnessPlan>> {
        let Some(settings) = &self.settings.witness else { return Ok(None) };
        let listen: SocketAddr = settings
            .listen
            .parse()
            .map_err(|error| self.refused("witness.listen", &format!("{error}: write IP:PORT")))?;
        let name = match settings.name.as_str() {
            "" => format!("{}/witness", self.server()?),
            name => name.to_owned(),
        };
        if name.contains(['+', ' ']) || name.chars().any(char::is_control) || name.len() > 255 {
            return Err(self.refused("witness.name", &"it must have 1 to 255 bytes and no space and no `+`").into());
        }
        let url = self.witness_url(&settings.url, listen)?;
        let logs = settings.logs.iter().map(|path| self.witnessed(path)).collect::<Result<Vec<_>, _>>()?;
        let logs: Vec<Vec<VerifierKey>> = logs.into_iter().flatten().collect();
        Ok(Some(WitnessPlan { listen, url, name, logs: (!settings.logs.is_empty()).then_some(logs) }))
    }

    fn witness_url(&self, url: &str, listen: SocketAddr) -> Result<String, Refused> {
        if url.is_empty() {
            let host = self.settings.address.rsplit_once(':').map_or("", |(host, _)| host);
            let host = if host.is_empty() { listen.ip().to_string() } else { host.to_owned() };
            return Ok(format!("http://{host}:{}", listen.port()));
        }
        if !url.starts_with("http://") || url.contains(char::is_whitespace) {
            return Err(self.refused("witness.url", &"it must start with http://"));
        }
        Ok(url.trim_end_matches('/').to_owned())
    }

    /// The keys of the logs of a policy file.
    fn witnessed(&self, path: &Path) -> Result<Vec<Vec<VerifierKey>>, Refused> {
        let path = self.path_of(path);
        let refused =
            |reason: &dyn std::fmt::Display| self.refused("witness.logs", &format!("{}: {reason}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| refused(&error))?;
        let policy: Policy = text.parse().map_err(|error| refused(&error))?;
        if policy.logs().is_empty() {
            return Err(refused(&"it names no log"));
        }
        let keys = policy.by_log().into_iter();
        Ok(keys.map(|(_, policy)| policy.logs().iter().map(|log| log.key.clone()).collect()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(folder: &tempfile::TempDir, table: &str) -> Loaded<NodeSettings> {
        let path = folder.path().join("node.toml");
        let text = format!("server = \"BB/COM/2001/node-1\"\naddress = \"node.bank.example:5500\"\n{table}");
        std::fs::write(&path, text).unwrap();
        Loaded::read(&path).unwrap()
    }

    #[test]
    fn a_witness_has_a_name_and_an_address_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        assert!(loaded(&folder, "").witness().unwrap().is_none());
        let plan = loaded(&folder, "[witness]").witness().unwrap().unwrap();
        assert_eq!(
            (plan.name.as_str(), plan.url.as_str()),
            ("BB/COM/2001/node-1/witness", "http://node.bank.example:5588")
        );
        assert!(plan.logs.is_none(), "the global configuration says it");
        for (table, key) in [
            ("listen = \"5588\"", "witness.listen"),
            ("name = \"a b\"", "witness.name"),
            ("url = \"ftp://x\"", "witness.url"),
            ("logs = [\"missing.policy\"]", "witness.logs"),
        ] {
            let refused = loaded(&folder, &format!("[witness]\n{table}")).witness().err().unwrap();
            assert!(refused.to_string().contains(&format!("`{key}`")), "{refused}");
        }
    }
}
