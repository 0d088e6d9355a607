//! `notary.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use civic::ClientId;
use identity::AccessTokenVerifier;
use trust::cert::Certificate;
use trust::jose::Jwks;
use trust::keys::PublicKey;
use trust::note::policy::Policy;

use super::{Loaded, LogSettings, settings};

settings! {
    /// A notary with a transparency log of its own: `baobab notary run --config notary.toml`.
    NotarySettings {
        /// Required. The name of the organisation that answers for it; people read it.
        organisation: String = String::new();
        /// Required. Where people and programs reach it, without a slash at the end: `https://notary.example`.
        public_url: String = String::new();
        /// Where it listens for them: pages and API, plain HTTP. Put TLS in front of it.
        listen: String = "127.0.0.1:8610".to_owned();
        /// Where it listens for its operator: `/health`, `/metrics`. Keep it on the loopback or behind a firewall.
        admin: String = "127.0.0.1:8611".to_owned();
        /// The folder of its keys, which are sealed with the store key.
        keys: PathBuf = "keys".into();
        /// Where registrations are kept: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
        store: String = "sqlite:data/notary.db".to_owned();
        /// The file with the key that seals stores and keys. Where systemd gives a credential of the same name (`LoadCredential=`), that
        /// one is used.
        store_key: PathBuf = "store.key".into();
        /// The transparency log of the notary.
        book: BookSettings = BookSettings::default();
        /// Whose access tokens open the notary beside API keys.
        tokens: Option<TokensSettings> = None;
        /// Log lines.
        log: LogSettings = LogSettings::default();
    }
}

settings! {
    /// The transparency log of the notary (C2SP tlog-tiles).
    BookSettings {
        /// Required. The name of the log, as in a schema-less URL: `log.example/notary`. It cannot change later.
        origin: String = String::new();
        /// Required. Where everybody reads it, `http://…`, without a slash at the end.
        url: String = String::new();
        /// Where it listens for them.
        listen: String = "0.0.0.0:8612".to_owned();
        /// Where it is kept; not where the registrations are.
        store: String = "sqlite:data/book.db".to_owned();
        /// A folder for tiles and entries, which any web server can serve. Without it they lie in the store.
        folder: Option<PathBuf> = None;
        /// A file with the policy (C2SP tlog-policy): the log's own line, the witnesses that it asks, and their quorum. Without it the log
        /// has no witnesses, and its word is its own.
        policy: Option<PathBuf> = None;
        /// Others who may append, for instance nodes with a `[ledger]`.
        submitter: Vec<SubmitterEntry> = Vec::new();
    }
}

settings! {
    /// Somebody who may append to the log: `[[book.submitter]]`.
    SubmitterEntry {
        /// Required. The name that it appends by.
        name: String = String::new();
        /// Required. A file with its certificate, PEM: of a node, the signing certificate.
        certificate: PathBuf = PathBuf::new();
    }
}

settings! {
    /// The identity provider whose clients may use the notary with the scope `notary` (OAuth client credentials).
    TokensSettings {
        /// Required. The issuer.
        issuer: String = String::new();
        /// Required. A file with its keys (JWKS).
        jwks: PathBuf = PathBuf::new();
        /// Required. The audience that tokens must name: the subsystem of the notary, `INSTANCE/CLASS/CODE/SUBSYSTEM`.
        audience: String = String::new();
    }
}

/// What the file says, checked.
pub(crate) struct NotaryPlan {
    /// Pages and API.
    pub(crate) listen: SocketAddr,
    /// The operator.
    pub(crate) admin: SocketAddr,
    /// The log.
    pub(crate) book: SocketAddr,
    /// The witnesses of the log.
    pub(crate) policy: Option<Policy>,
    /// Whose tokens are believed, and for whom they must be.
    pub(crate) tokens: Option<(AccessTokenVerifier, ClientId)>,
    /// Others who may append.
    pub(crate) submitters: Vec<(String, PublicKey)>,
}

impl Loaded<NotarySettings> {
    /// What the file says; an error names the key.
    pub(crate) fn plan(&self) -> anyhow::Result<NotaryPlan> {
        let settings = &self.settings;
        for (key, value) in [
            ("organisation", &settings.organisation),
            ("public_url", &settings.public_url),
            ("book.origin", &settings.book.origin),
            ("book.url", &settings.book.url),
        ] {
            if value.trim().is_empty() {
                return Err(self.refused(key, &"it is required").into());
            }
        }
        if !settings.public_url.starts_with("http://") && !settings.public_url.starts_with("https://") {
            return Err(self.refused("public_url", &"it must start with http:// or https://").into());
        }
        if !settings.book.url.starts_with("http://") {
            return Err(self
                .refused("book.url", &"it must start with http://: those who follow logs speak no TLS")
                .into());
        }
        if settings.book.store == settings.store {
            return Err(self.refused("book.store", &"the log needs a store of its own").into());
        }
        self.location(&settings.store)?;
        self.location(&settings.book.store)?;
        let address = |key: &str, text: &str| {
            text.parse::<SocketAddr>().map_err(|error| self.refused(key, &format!("{error}: write IP:PORT")))
        };
        Ok(NotaryPlan {
            listen: address("listen", &settings.listen)?,
            admin: address("admin", &settings.admin)?,
            book: address("book.listen", &settings.book.listen)?,
            policy: self.policy()?,
            tokens: self.tokens()?,
            submitters: self.submitters()?,
        })
    }

    /// The policy of the log: it must speak of this log, and of no other.
    fn policy(&self) -> anyhow::Result<Option<Policy>> {
        let Some(path) = &self.settings.book.policy else { return Ok(None) };
        let path = self.path_of(path);
        let refused =
            |reason: &dyn std::fmt::Display| self.refused("book.policy", &format!("{}: {reason}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| refused(&error))?;
        let policy: Policy = text.parse().map_err(|error| refused(&error))?;
        let origin = &self.settings.book.origin;
        if policy.logs().is_empty() || policy.logs().iter().any(|log| log.key.name() != origin) {
            return Err(refused(&format!("its log lines must name {origin}, and no other log")).into());
        }
        Ok(Some(policy))
    }

    fn tokens(&self) -> anyhow::Result<Option<(AccessTokenVerifier, ClientId)>> {
        let Some(tokens) = &self.settings.tokens else { return Ok(None) };
        if tokens.issuer.is_empty() {
            return Err(self.refused("tokens.issuer", &"it is required").into());
        }
        let path = self.path_of(&tokens.jwks);
        let refused = |reason: String| self.refused("tokens.jwks", &format!("{}: {reason}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| refused(error.to_string()))?;
        let keys: Jwks = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
        let audience = tokens.audience.parse().map_err(|error| self.refused("tokens.audience", &error))?;
        Ok(Some((AccessTokenVerifier::new(tokens.issuer.clone(), keys), audience)))
    }

    fn submitters(&self) -> anyhow::Result<Vec<(String, PublicKey)>> {
        let entries = self.settings.book.submitter.iter().map(|entry| {
            let path = self.path_of(&entry.certificate);
            let refused = |reason: String| self.refused("book.submitter", &format!("{}: {reason}", path.display()));
            if entry.name.is_empty() {
                return Err(self.refused("book.submitter.name", &"it is required"));
            }
            let text = std::fs::read_to_string(&path).map_err(|error| refused(error.to_string()))?;
            let certificate = Certificate::from_pem(&text).map_err(|error| refused(error.to_string()))?;
            Ok((entry.name.clone(), certificate.public_key().clone()))
        });
        Ok(entries.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notary_that_cannot_work_is_refused_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notary.toml");
        let good = "organisation = \"Agence\"\npublic_url = \"http://n.example\"\n[book]\norigin = \"log.example/n\"\nurl = \"http://l.example\"\n";
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Loaded::<NotarySettings>::read(&path).unwrap().plan()
        };
        assert!(read(good).unwrap().policy.is_none());
        for (text, key) in [
            (String::new(), "organisation"),
            (good.replace("http://n", "n"), "public_url"),
            (good.replace("http://l", "https://l"), "book.url"),
            (format!("{good}store = \"sqlite:data/notary.db\""), "book.store"),
            (format!("{good}listen = \"x\""), "book.listen"),
            (format!("{good}policy = \"missing\""), "book.policy"),
            (format!("{good}[tokens]\nissuer = \"x\"\njwks = \"missing\""), "tokens.jwks"),
            (format!("{good}[[book.submitter]]\nname = \"x\"\ncertificate = \"missing\""), "book.submitter"),
        ] {
            let error = read(&text).err().unwrap();
            assert!(error.to_string().contains(&format!("`{key}")), "{key}: {error}");
        }
    }
}
