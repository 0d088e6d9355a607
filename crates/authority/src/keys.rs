//! The key directory: four keys with their certificates, made at the first start.
//!
//! Whoever reads this directory can issue certificates, revoke revocations, stamp any time and write the global
//! configuration. It belongs to the process alone: directory 0700, keys 0600, PKCS#8 PEM; a key that others may read is
//! refused.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use civic::{Random, Timestamp, random_array};
use trust::cert::{Certificate, CertificateProfile, CertificateSpec, DistinguishedName, NameAttribute};
use trust::keys::SigningKey;

use crate::{AuthorityConfig, AuthorityError};

const YEAR: Duration = Duration::from_hours(365 * 24);
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Peers whose clocks are behind must still find a new certificate valid.
const BACKDATED: Duration = Duration::from_hours(1);

/// A key with its certificate.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

/// What the authority signs with.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) authority: Holder,
    pub(crate) ocsp: Holder,
    pub(crate) tsa: Holder,
    pub(crate) configuration: Holder,
}

impl Keys {
    /// Reads the directory and makes what is missing.
    pub(crate) fn open(
        folder: &Path,
        config: &AuthorityConfig,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, AuthorityError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| refused(folder, &error))?;
        let maker = Maker { folder, config, now, random };
        let authority = maker.holder("ca", CertificateProfile::Authority, "CA", None)?;
        let issuer = Some(&authority);
        Ok(Self {
            ocsp: maker.holder("ocsp", CertificateProfile::OcspResponder, "OCSP", issuer)?,
            tsa: maker.holder("tsa", CertificateProfile::TimeStamping, "TSA", issuer)?,
            configuration: maker.holder(
                "configuration",
                CertificateProfile::ConfigurationSigning,
                "configuration",
                None,
            )?,
            authority,
        })
    }
}

/// A fresh serial number: 126 random bits, positive, never starting with a zero byte.
pub(crate) fn serial(random: &dyn Random) -> [u8; 16] {
    let mut serial = random_array::<16>(random);
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    serial
}

struct Maker<'a> {
    folder: &'a Path,
    config: &'a AuthorityConfig,
    now: Timestamp,
    random: &'a dyn Random,
}

impl Maker<'_> {
    fn holder(
        &self,
        name: &str,
        profile: CertificateProfile,
        role: &str,
        issuer: Option<&Holder>,
    ) -> Result<Holder, AuthorityError> {
        let (key_path, path) =
            (self.folder.join(format!("{name}.key.pem")), self.folder.join(format!("{name}.cert.pem")));
        let key = if let Some(text) = read(&key_path, true)? {
            SigningKey::from_pkcs8_pem(&text).map_err(|error| refused(&key_path, &error))?
        } else {
            let key = SigningKey::generate_p256()?;
            write(&key_path, &key.to_pkcs8_pem()?)?;
            key
        };
        let certificate = if let Some(text) = read(&path, false)? {
            Certificate::from_pem(&text).map_err(|error| refused(&path, &error))?
        } else {
            let certificate = self.certify(&key, profile, role, issuer)?;
            write(&path, &certificate.to_pem())?;
            certificate
        };
        if certificate.public_key() != key.public() {
            return Err(refused(&path, &"it does not belong to the key beside it; restore both from one backup"));
        }
        if !certificate.is_valid_at(self.now) {
            let reason = format!(
                "it is valid from {} to {}; check the clock",
                certificate.not_before(),
                certificate.not_after()
            );
            return Err(refused(&path, &reason));
        }
        if issuer.is_some_and(|issuer| certificate.verify_signed_by(&issuer.certificate).is_err()) {
            return Err(refused(&path, &"the authority beside it did not issue it; remove it and start again"));
        }
        Ok(Holder { key, certificate })
    }

    fn certify(
        &self,
        key: &SigningKey,
        profile: CertificateProfile,
        role: &str,
        issuer: Option<&Holder>,
    ) -> Result<Certificate, AuthorityError> {
        let common_name = format!("{} {role}", self.config.instance);
        let years = if issuer.is_none() { 20 } else { 10 };
        let spec = CertificateSpec {
            profile,
            serial: &serial(self.random),
            subject: DistinguishedName::new(&[
                (NameAttribute::Country, &self.config.country),
                (NameAttribute::Organization, &self.config.name),
                (NameAttribute::CommonName, &common_name),
            ])?,
            public_key: key.public(),
            not_before: self.now.minus(BACKDATED),
            not_after: self.now.plus(YEAR * years),
            ocsp_url: None,
        };
        Ok(match issuer {
            Some(issuer) => Certificate::issue(&issuer.certificate, &issuer.key, &spec)?,
            None => Certificate::self_signed(key, &spec)?,
        })
    }
}

fn read(path: &Path, secret: bool) -> Result<Option<String>, AuthorityError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(path, &error)),
    };
    if secret && metadata.permissions().mode() & 0o077 != 0 {
        return Err(refused(
            path,
            &"others may read it; run chmod 600 on it, and replace the key if others had access",
        ));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(refused(path, &"it is too large for a key or certificate"));
    }
    fs::read_to_string(path).map(Some).map_err(|error| refused(path, &error))
}

/// Writes the whole file or nothing, readable by us alone, on the disk when this returns.
fn write(path: &Path, text: &str) -> Result<(), AuthorityError> {
    let unfinished: PathBuf = path.with_extension("unfinished");
    let attempt = || -> std::io::Result<()> {
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    attempt().map_err(|error| refused(path, &error))
}

fn refused(path: &Path, reason: &dyn std::fmt::Display) -> AuthorityError {
    AuthorityError::KeyFile { path: path.to_owned(), reason: reason.to_string() }
}
