//! The key directory: four keys with their certificates, made at the first start, and their later generations
//! (`ca-2.key.pem`). Which key signs the configuration stands in `configuration.active`.
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
/// Generations of one key that are kept.
const GENERATIONS_MAX: u32 = 32;
const ACTIVE_FILE: &str = "configuration.active";
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Peers whose clocks are behind must still find a new certificate valid.
pub(crate) const BACKDATED: Duration = Duration::from_hours(1);

/// A key with its certificate.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

/// Holders of one use: the newest signs, the older are still believed.
#[derive(Clone, Debug)]
pub(crate) struct Generations<T> {
    older: Vec<T>,
    newest: T,
}

impl<T> Generations<T> {
    pub(crate) const fn newest(&self) -> &T {
        &self.newest
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.older.iter().chain([&self.newest])
    }
}

/// A certification authority with the responder that it appointed.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    pub(crate) authority: Holder,
    pub(crate) ocsp: Holder,
}

/// A key that may sign the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) number: u32,
    pub(crate) holder: Holder,
}

/// What the authority signs with.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) issuers: Generations<Issuer>,
    pub(crate) tsas: Generations<Holder>,
    /// The one that signs the configuration.
    pub(crate) signer: Signer,
    /// Those that are announced, and may sign after it.
    pub(crate) announced: Vec<Signer>,
}

/// Which key gets a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// The certification authority, with its OCSP responder.
    Authority,
    /// The time-stamping authority.
    TimeStamping,
    /// The signature of the configuration; announced first, see [`crate::Desk::activate_signing_key`].
    Configuration,
}

impl KeyUse {
    const fn file(self) -> &'static str {
        match self {
            Self::Authority => "ca",
            Self::TimeStamping => "tsa",
            Self::Configuration => "configuration",
        }
    }
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
        let issuers = maker.generations(KeyUse::Authority, |number| {
            let authority = maker.holder("ca", number, CertificateProfile::Authority, "CA", &[])?;
            let issuer = std::slice::from_ref(&authority);
            let ocsp = maker.holder("ocsp", number, CertificateProfile::OcspResponder, "OCSP", issuer)?;
            Ok(Issuer { authority, ocsp })
        })?;
        let authorities: Vec<Holder> = issuers.all().map(|issuer| issuer.authority.clone()).collect();
        let tsas = maker.generations(KeyUse::TimeStamping, |number| {
            maker.holder("tsa", number, CertificateProfile::TimeStamping, "TSA", &authorities)
        })?;
        let signers = maker.generations(KeyUse::Configuration, |number| {
            let profile = CertificateProfile::ConfigurationSigning;
            Ok(Signer { number, holder: maker.holder("configuration", number, profile, "configuration", &[])? })
        })?;
        let path = folder.join(ACTIVE_FILE);
        let active = match read(&path, false)? {
            Some(text) => text.trim().parse().map_err(|_| refused(&path, &"it does not hold the number of a key"))?,
            None => signers.all().next().map_or(1, |first| first.number),
        };
        let (mut signer, announced): (Vec<Signer>, Vec<Signer>) =
            signers.all().cloned().partition(|signer| signer.number == active);
        let missing = || refused(&path, &"the key that it names is not in the directory; restore it from a backup");
        Ok(Self { issuers, tsas, signer: signer.pop().ok_or_else(missing)?, announced })
    }

    /// Makes the next generation of a key.
    pub(crate) fn add(
        folder: &Path,
        used_for: KeyUse,
        config: &AuthorityConfig,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, AuthorityError> {
        let next = numbers(folder, used_for).into_iter().max().unwrap_or(0) + 1;
        if next > GENERATIONS_MAX {
            return Err(refused(folder, &"it holds as many generations of this key as are kept; retire old ones"));
        }
        write(&folder.join(key_file(used_for.file(), next)), &SigningKey::generate_p256()?.to_pkcs8_pem()?)?;
        Self::open(folder, config, now, random)
    }

    /// Lets an announced key sign from now on.
    pub(crate) fn activate(folder: &Path, number: u32) -> Result<(), AuthorityError> {
        write(&folder.join(ACTIVE_FILE), &number.to_string())
    }

    /// Destroys a key that signs no more.
    pub(crate) fn retire(folder: &Path, number: u32) -> Result<(), AuthorityError> {
        for file in [key_file("configuration", number), certificate_file("configuration", number)] {
            let path = folder.join(file);
            fs::remove_file(&path).map_err(|error| refused(&path, &error))?;
        }
        Ok(())
    }
}

/// The generations of which there is a key.
fn numbers(folder: &Path, used_for: KeyUse) -> Vec<u32> {
    (1..=GENERATIONS_MAX).filter(|number| folder.join(key_file(used_for.file(), *number)).exists()).collect()
}

fn key_file(name: &str, number: u32) -> String {
    if number == 1 { format!("{name}.key.pem") } else { format!("{name}-{number}.key.pem") }
}

fn certificate_file(name: &str, number: u32) -> String {
    if number == 1 { format!("{name}.cert.pem") } else { format!("{name}-{number}.cert.pem") }
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
    /// Every generation; those before the newest are left out when they have expired.
    fn generations<T>(
        &self,
        used_for: KeyUse,
        mut open: impl FnMut(u32) -> Result<T, AuthorityError>,
    ) -> Result<Generations<T>, AuthorityError> {
        let mut numbers = numbers(self.folder, used_for);
        let newest = open(numbers.pop().unwrap_or(1))?;
        let mut older = Vec::new();
        for number in numbers {
            match open(number) {
                Ok(holder) => older.push(holder),
                Err(error @ AuthorityError::KeyExpired { .. }) => tracing::info!(%error, "an old key is left out"),
                Err(error) => return Err(error),
            }
        }
        Ok(Generations { older, newest })
    }

    /// A key with its certificate; without issuers it is self-signed, else the last of them issues.
    fn holder(
        &self,
        name: &str,
        number: u32,
        profile: CertificateProfile,
        role: &str,
        issuers: &[Holder],
    ) -> Result<Holder, AuthorityError> {
        let key_path = self.folder.join(key_file(name, number));
        let path = self.folder.join(certificate_file(name, number));
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
            let role = if number == 1 { role.to_owned() } else { format!("{role} {number}") };
            let certificate = self.certify(&key, profile, &role, issuers.last())?;
            write(&path, &certificate.to_pem())?;
            certificate
        };
        if certificate.public_key() != key.public() {
            return Err(refused(&path, &"it does not belong to the key beside it; restore both from one backup"));
        }
        if !certificate.is_valid_at(self.now) {
            let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
            return Err(AuthorityError::KeyExpired { path, not_before, not_after });
        }
        let issued = |issuer: &Holder| certificate.verify_signed_by(&issuer.certificate).is_ok();
        if !issuers.is_empty() && !issuers.iter().any(issued) {
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
