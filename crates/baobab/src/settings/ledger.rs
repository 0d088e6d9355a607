//! `ledger.toml`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger::{Submitters, Tiles};
use store::bucket::{Bucket, BucketConfig, CONNECT_TIME_MAX};
use trust::keys::PublicKey;
use trust::note::policy::Policy;
use web::Connector;

use super::{Loaded, LogSettings, settings};
use crate::command::credential;
use crate::files::others_may_read;

/// Where Debian keeps the authorities of the machine.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

settings! {
    /// A transparency log on a machine of its own: `baobab ledger run --config ledger.toml`. Its keys are made at the first start.
    KeptLogSettings {
        /// Required. The name of the log, as in an address without its scheme: `log.example/2027`. It cannot change later.
        origin: String = String::new();
        /// Where it listens for everyone: tiles, checkpoint, proofs, `POST /append`.
        listen: String = "0.0.0.0:8620".to_owned();
        /// Where it listens for its operator: `/health`, `/metrics`. Keep it on the loopback or behind a firewall.
        admin: String = "127.0.0.1:8621".to_owned();
        /// The folder of its keys. Whoever reads it can sign a second history, which the witnesses would see.
        keys: PathBuf = "keys".into();
        /// Where checkpoint and entries are kept: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
        store: String = "sqlite:data/ledger.db".to_owned();
        /// The file with the key that seals columns of the store. Where systemd gives a credential of the same name
        /// (`LoadCredential=`), that one is used.
        store_key: PathBuf = "store.key".into();
        /// A folder for tiles and entries, which any web server can serve. Without it and without `[bucket]` they are rows of the store.
        /// A log may move from rows to a folder, not back.
        tiles: Option<PathBuf> = None;
        /// A file with the witnesses that must cosign each checkpoint (C2SP tlog-policy). Without it there are none.
        policy: Option<PathBuf> = None;
        /// Who may append.
        submitter: Vec<AppenderEntry> = Vec::new();
        /// Tiles and entries in a bucket instead of a folder.
        bucket: Option<BucketSettings> = None;
        /// Log lines.
        log: LogSettings = LogSettings::default();
    }
}

settings! {
    /// Who may append to the log.
    AppenderEntry {
        /// Required. Its name, for instance `BB/COM/2001`.
        name: String = String::new();
        /// Required. Its public key, P-256 or Ed25519: the base64 lines of its PEM file (SubjectPublicKeyInfo) as one.
        key: String = String::new();
    }
}

settings! {
    /// A bucket of an S3 server for tiles and entries. Nothing in it is secret or trusted: it is verified when it is read.
    BucketSettings {
        /// Required. The address of the server: `http://10.1.2.3:9000`, or `https://s3.example` with `ca_file`.
        endpoint: String = String::new();
        /// A PEM file with the authorities that vouch for the certificate of an https server, for its name; nobody else is believed. For a
        /// server on the internet, the one of the machine: `/etc/ssl/certs/ca-certificates.crt`.
        ca_file: Option<PathBuf> = None;
        /// Required. The name of the bucket, which exists.
        name: String = String::new();
        /// The region that the server wants to be named; most take any.
        region: String = "us-east-1".to_owned();
        /// What stands before the name of each object, without a slash at its ends. Give each log its own.
        prefix: String = String::new();
        /// Required. The access key. It needs the rights to put, get, list and delete objects.
        access_key: String = String::new();
        /// A file with the secret key, which nobody but its owner may read (mode 0600). Where systemd gives a credential of the same name (`LoadCredential=`), that one is used.
        secret_key_file: PathBuf = "bucket.key".into();
        /// Seconds that the server may be away: so long do those wait who append. Then the process ends, and loses nothing.
        away_s_max: u64 = 300;
    }
}

impl Loaded<KeptLogSettings> {
    /// Where tiles and entries are kept outside of the store.
    pub(crate) fn tiles(&self) -> anyhow::Result<Option<Tiles>> {
        match (&self.settings.tiles, &self.settings.bucket) {
            (Some(_), Some(_)) => Err(self.refused("tiles", &"there is a [bucket] too: choose one").into()),
            (Some(path), None) => Ok(Some(Tiles::Folder(self.path_of(path)))),
            (None, Some(settings)) => Ok(Some(Tiles::Bucket(self.bucket(settings)?))),
            (None, None) => Ok(None),
        }
    }

    fn bucket(&self, settings: &BucketSettings) -> anyhow::Result<Bucket> {
        let ours = self.path_of(&settings.secret_key_file);
        let file = credential(&ours).unwrap_or_else(|| ours.clone());
        let refused = |reason: String| self.refused("bucket.secret_key_file", &reason);
        let unreadable = |error: std::io::Error| refused(format!("{}: {error}", file.display()));
        if file == ours && others_may_read(&file).map_err(unreadable)? {
            let file = file.display();
            return Err(refused(format!("others may read {file}: type `chmod 600 {file}`, and change the key")).into());
        }
        let secret = std::fs::read_to_string(&file).map_err(unreadable)?;
        let config = BucketConfig {
            endpoint: settings.endpoint.clone(),
            bucket: settings.name.clone(),
            region: settings.region.clone(),
            prefix: settings.prefix.clone(),
            access_key: settings.access_key.clone(),
            secret_key: secret.trim().to_owned(),
            away_max: Duration::from_secs(settings.away_s_max),
        };
        let bucket = match self.connector(settings)? {
            Some(connector) => Bucket::over(config, connector),
            None => Bucket::new(config),
        };
        Ok(bucket.map_err(|error| self.refused("bucket", &error))?)
    }

    /// What connects to an https server.
    fn connector(&self, settings: &BucketSettings) -> anyhow::Result<Option<Connector>> {
        let refused = |reason: String| self.refused("bucket.ca_file", &reason);
        match (&settings.ca_file, settings.endpoint.starts_with("https://")) {
            (None, false) => Ok(None),
            (None, true) => Err(refused(format!(
                "it is required for an https:// address: write the file with the authorities to trust, `ca_file = \"{SYSTEM_ROOTS}\"` for those of the machine"
            ))
            .into()),
            (Some(_), false) => Err(refused("the address is no https:// one: nobody would be checked".to_owned()).into()),
            (Some(file), true) => {
                let file = self.path_of(file);
                let pem = std::fs::read(&file).map_err(|error| refused(format!("{}: {error}", file.display())))?;
                let connector = Connector::trusting(&pem, CONNECT_TIME_MAX);
                Ok(Some(connector.map_err(|error| refused(format!("{}: {error}", file.display())))?))
            }
        }
    }

    /// Who may append.
    pub(crate) fn submitters(&self) -> anyhow::Result<Submitters> {
        let submitters = Submitters::new();
        for entry in &self.settings.submitter {
            let refused = |reason: String| self.refused("submitter.key", &format!("{}: {reason}", entry.name));
            let der = STANDARD.decode(&entry.key).map_err(|error| refused(error.to_string()))?;
            let key = PublicKey::from_spki_der(&der).map_err(|error| refused(error.to_string()))?;
            submitters.allow(&entry.name, &key).map_err(|error| refused(error.to_string()))?;
        }
        Ok(submitters)
    }

    /// The witnesses, where there are any.
    pub(crate) fn policy(&self) -> anyhow::Result<Option<Policy>> {
        let Some(file) = &self.settings.policy else { return Ok(None) };
        let file = self.path_of(file);
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Some(text.parse().map_err(|error| self.refused("policy", &error))?))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_key_of_a_bucket_that_others_may_read_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("ledger.toml"), folder.path().join("bucket.key"));
        let bucket = "endpoint = \"http://127.0.0.1:9\"\nname = \"tiles\"\naccess_key = \"keeper\"\n";
        fs::write(&path, format!("origin = \"log.example/one\"\n[bucket]\n{bucket}")).unwrap();
        fs::write(&key, "secret\n").unwrap();
        let tiles = || Loaded::<KeptLogSettings>::read(&path).unwrap().tiles();
        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let refused = tiles().unwrap_err().to_string();
        assert!(refused.contains("`bucket.secret_key_file`") && refused.contains("chmod 600"), "{refused}");
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(tiles(), Ok(Some(Tiles::Bucket(_)))));
        fs::remove_file(&key).unwrap();
        assert!(tiles().unwrap_err().to_string().contains("bucket.key"));
    }

    #[test]
    fn a_bucket_over_https_needs_a_file_of_authorities_and_one_over_http_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.toml");
        let key = folder.path().join("bucket.key");
        fs::write(&key, "secret\n").unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        fs::write(folder.path().join("empty.pem"), "").unwrap();
        for (settings, refusal) in [
            ("endpoint = \"https://s3.example\"", "required for an https:// address"),
            ("endpoint = \"https://s3.example\"\nca_file = \"nowhere.pem\"", "nowhere.pem"),
            ("endpoint = \"https://s3.example\"\nca_file = \"empty.pem\"", "no certificate in it"),
            ("endpoint = \"http://s3.example\"\nca_file = \"empty.pem\"", "nobody would be checked"),
        ] {
            let bucket = format!("[bucket]\n{settings}\nname = \"tiles\"\naccess_key = \"keeper\"\n");
            fs::write(&path, format!("origin = \"log.example/one\"\n{bucket}")).unwrap();
            let refused = Loaded::<KeptLogSettings>::read(&path).unwrap().tiles().unwrap_err().to_string();
            assert!(refused.contains("`bucket.ca_file`") && refused.contains(refusal), "{refused}");
        }
    }
}
