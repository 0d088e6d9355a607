//! `authority.toml`.

use std::path::PathBuf;
use std::time::Duration;

use authority::{AuthorityConfig, AutoApproval};
use serde::{Deserialize, Serialize};
use trust::note::VerifierKey;

use super::{Loaded, LogSettings, settings};

settings! {
    /// The governing authority of a federation: `baobab authority run --config authority.toml`.
    AuthoritySettings {
        /// Required. The instance that it governs: capital letters and digits, for instance `BB`. It cannot change later.
        instance: String = String::new();
        /// Required. The name of the organisation that governs; it stands in certificates.
        name: String = String::new();
        /// Required. Where nodes reach this authority, without a slash at the end: `http://authority.example:8604`.
        public_url: String = String::new();
        /// The country in certificates, two letters. Empty: the first two letters of the instance.
        country: String = String::new();
        /// Who offers the management services of the federation, `INSTANCE/CLASS/CODE/SUBSYSTEM`. Empty:
        /// `INSTANCE/GOV/1000/management`.
        management: String = String::new();
        /// Where it listens for nodes: configuration, OCSP, time stamps, requests to join.
        listen: String = "0.0.0.0:8604".to_owned();
        /// Where nodes send the registration of an authentication certificate, if not to `/authcertreg` below `public_url`: for instance
        /// `https://authority.example:4001/authcertreg`, where a proxy takes TLS off and passes on to `listen`.
        auth_cert_reg_url: String = String::new();
        /// The certificate (PEM) that is shown there. Nodes then believe it and no other; it may be self-signed. Empty: nodes
        /// believe whom their system believes.
        auth_cert_reg_certificate: PathBuf = PathBuf::new();
        /// Where it takes the management requests of nodes (`/managementservice`) that the node of the management service brings.
        /// It believes whom that node vouches for: only that node may reach it. Empty: none.
        management_listen: String = "127.0.0.1:8606".to_owned();
        /// Which requests of nodes need no operator, where everybody whom they name is registered: `auth-cert-reg`, `client-reg`,
        /// `owner-change`.
        auto_approve: Vec<ApprovalName> = Vec::new();
        /// Where it listens for its operator: `/health`, `/metrics`, `/api/v1`. Keep it on the loopback or behind a firewall.
        admin: String = "127.0.0.1:8605".to_owned();
        /// The folder of requests to join and of files to hand over.
        data: PathBuf = "data".into();
        /// Days that a request to join waits for the operator. Then it is forgotten, with its code; a node that still asks waits anew.
        join_wait_d: u64 = 14;
        /// The folder of its keys. Whoever reads it is the federation.
        keys: PathBuf = "keys".into();
        /// Where the register is kept: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
        store: String = "sqlite:data/authority.db".to_owned();
        /// The file with the key that seals columns of the store. Where systemd gives a credential of the same name
        /// (`LoadCredential=`), that one is used.
        store_key: PathBuf = "store.key".into();
        /// Seconds between two regenerations of the signed configuration.
        refresh_s: u64 = 10;
        /// Seconds that a signed configuration holds: so long can the authority be away before traffic stops.
        expires_s: u64 = 600;
        /// Seconds that an OCSP answer may be old.
        ocsp_freshness_s: u64 = 3_600;
        /// Seconds that a message may stay without time stamp.
        time_stamping_interval_s: u64 = 60;
        /// Days that certificates of members are valid.
        certificate_validity_d: u64 = 730;
        /// The policy of time stamps, dotted decimals.
        tsa_policy: String = "1.2.3.4.1".to_owned();
        /// The classes that members are in; without any: GOV and COM.
        member_class: Vec<MemberClassSettings> = Vec::new();
        /// The transparency log that the acts of the authority are committed to, where there is one.
        ledger: Option<ActsLogSettings> = None;
        /// Log lines.
        log: LogSettings = LogSettings::default();
    }
}

settings! {
    /// The transparency log that the acts of the authority are committed to. It should be kept by somebody else.
    ActsLogSettings {
        /// Required. Its address, `http://…`.
        url: String = String::new();
        /// Required. Its verifier key (`NAME+HASH+KEY`, C2SP signed-note).
        key: String = String::new();
        /// The name under which it knows this authority. The key is made in `ledger.key.pem` of the folder `keys`; `authority run` shows
        /// what the keeper of the log writes into `[[submitter]]`.
        submitter: String = "authority".to_owned();
    }
}

settings! {
    /// A class of members.
    MemberClassSettings {
        /// Required. Its code, for instance `NGO`.
        code: String = String::new();
        /// Required. What it is, for people.
        name: String = String::new();
    }
}

/// A kind of request that may be approved by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ApprovalName {
    /// Authentication certificates.
    AuthCertReg,
    /// Clients.
    ClientReg,
    /// Other owners of nodes.
    OwnerChange,
}

/// Requests for shorter lives would let traffic stop at the first hiccup.
const EXPIRES_MIN_S: u64 = 60;

impl Loaded<AuthoritySettings> {
    /// What the authority is told; an error names the key.
    pub(crate) fn config(&self) -> anyhow::Result<AuthorityConfig> {
        let settings = &self.settings;
        for (key, value) in
            [("instance", &settings.instance), ("name", &settings.name), ("public_url", &settings.public_url)]
        {
            if value.trim().is_empty() {
                return Err(self.refused(key, &"it is required").into());
            }
        }
        if !(settings.public_url.starts_with("http://") || settings.public_url.starts_with("https://")) {
            return Err(self.refused("public_url", &"it must start with http:// or https://").into());
        }
        if settings.refresh_s == 0 || settings.expires_s < EXPIRES_MIN_S || settings.refresh_s * 2 > settings.expires_s
        {
            let reason = format!("it must be at least {EXPIRES_MIN_S}, and twice refresh_s");
            return Err(self.refused("expires_s", &reason).into());
        }
        if settings.join_wait_d == 0 {
            return Err(self.refused("join_wait_d", &"it must be at least 1").into());
        }
        let management = if settings.management.is_empty() {
            format!("{}/GOV/1000/management", settings.instance)
        } else {
            settings.management.clone()
        };
        let management = management.parse().map_err(|error| self.refused("management", &error))?;
        let mut config = AuthorityConfig::new(&settings.instance, &settings.name, &settings.public_url, management);
        if !settings.country.is_empty() {
            config.country.clone_from(&settings.country);
        }
        if !settings.member_class.is_empty() {
            let classes = settings.member_class.iter();
            config.member_classes = classes.map(|class| (class.code.clone(), class.name.clone())).collect();
        }
        config.refresh = Duration::from_secs(settings.refresh_s);
        config.expires = Duration::from_secs(settings.expires_s);
        config.ocsp_freshness = Duration::from_secs(settings.ocsp_freshness_s);
        config.time_stamping_interval = Duration::from_secs(settings.time_stamping_interval_s);
        config.certificate_validity = Duration::from_secs(settings.certificate_validity_d.saturating_mul(86_400));
        let approves = |kind| settings.auto_approve.contains(&kind);
        config.auto_approval = AutoApproval {
            auth_cert_reg: approves(ApprovalName::AuthCertReg),
            client_reg: approves(ApprovalName::ClientReg),
            owner_change: approves(ApprovalName::OwnerChange),
        };
        config.tsa_policy.clone_from(&settings.tsa_policy);
        self.registration(&mut config)?;
        self.acts_log()?;
        Ok(config)
    }

    /// Address and key of the log that acts are committed to, and the name by which it knows us.
    pub(crate) fn acts_log(&self) -> anyhow::Result<Option<(String, VerifierKey, String)>> {
        let Some(ActsLogSettings { url, key, submitter }) = self.settings.ledger.clone() else { return Ok(None) };
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(self.refused("ledger.url", &"it must start with http:// or https://").into());
        }
        let key = key.parse().map_err(|error| self.refused("ledger.key", &error))?;
        Ok(Some((url, key, submitter)))
    }

    /// How long a request to join waits.
    pub(crate) fn join_wait(&self) -> Duration {
        Duration::from_secs(self.settings.join_wait_d.saturating_mul(86_400))
    }

    /// Where authentication certificates are registered, and the certificate that is believed there.
    fn registration(&self, config: &mut AuthorityConfig) -> anyhow::Result<()> {
        let AuthoritySettings { auth_cert_reg_url: url, auth_cert_reg_certificate: file, .. } = &self.settings;
        if !url.is_empty() {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                return Err(self.refused("auth_cert_reg_url", &"it must start with http:// or https://").into());
            }
            config.auth_cert_reg_url = Some(url.clone());
        }
        if !file.as_os_str().is_empty() {
            if !url.starts_with("https://") {
                let reason = "it stands beside auth_cert_reg_url, which must start with https://";
                return Err(self.refused("auth_cert_reg_certificate", &reason).into());
            }
            let certificate = self.certificate("auth_cert_reg_certificate", file)?;
            config.auth_cert_reg_certificate = Some(certificate.der().to_vec());
        }
        Ok(())
    }
}
