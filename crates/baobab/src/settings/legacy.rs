//! `legacy_tls` of `node.toml`: OpenSSL between nodes, where the program was built with it.

use bridge::config::LegacyTls;

use super::{Loaded, NodeSettings, Refused};

impl Loaded<NodeSettings> {
    /// What the file says, which this program must be able to do.
    pub(super) fn legacy_tls(&self) -> Result<Option<LegacyTls>, Refused> {
        if !self.settings.legacy_tls {
            return Ok(None);
        }
        if !bridge::LEGACY_TLS {
            let reason = "this program was built without it. Build it with `--features xroad-legacy-tls`";
            return Err(self.refused("legacy_tls", &reason));
        }
        Ok(Some(LegacyTls { suites: self.settings.legacy_tls_suites.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_tls_is_refused_where_the_program_was_built_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, "legacy_tls = true\nlegacy_tls_suites = \"A\"").unwrap();
        match Loaded::<NodeSettings>::read(&path).unwrap().legacy_tls() {
            Ok(settings) => assert!(bridge::LEGACY_TLS && settings.is_some_and(|settings| settings.suites == "A")),
            Err(Refused(text)) => {
                assert!(!bridge::LEGACY_TLS && text.contains("--features xroad-legacy-tls"), "{text}");
            }
        }
    }
}
