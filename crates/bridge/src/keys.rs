//! The keys of a node and their certificates, as files.
//!
//! Trusted: whoever reads `sign.key.pem` can sign for the organisation. The files are made readable for their owner only; a PKCS#11 token
//! in their place comes with a later issue.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use civic::ServerId;
use trust::cert::{CertError, Certificate, CertificateRequest, MemberNameProfile};
use trust::keys::{KeyError, SigningKey};

const SIGN_KEY: &str = "sign.key.pem";
const AUTH_KEY: &str = "auth.key.pem";
const SIGN_CERT: &str = "sign.cert.pem";
const AUTH_CERT: &str = "auth.cert.pem";

/// Why keys could not be made, kept or used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("{file}: {error}")]
    File {
        /// The name of the file.
        file: String,
        /// What the system said.
        error: io::Error,
    },
    /// A key cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate or request cannot be made or read.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// A certificate is not for the key that it lies beside.
    #[error("{0} is not the certificate of its key: ask the authority again with the request of this node")]
    Mismatch(&'static str),
}

/// The certificate requests of a new node, for the authority.
#[derive(Clone, Debug)]
pub struct NodeRequests {
    /// Of the signing key.
    pub sign: CertificateRequest,
    /// Of the authentication (TLS) key.
    pub auth: CertificateRequest,
}

/// The keys of a node with their certificates.
#[derive(Clone, Debug)]
pub struct NodeKeys {
    /// Signs messages for the organisation.
    pub sign: SigningKey,
    /// Its certificate.
    pub sign_certificate: Certificate,
    /// Speaks TLS for the node.
    pub auth: SigningKey,
    /// Its certificate.
    pub auth_certificate: Certificate,
}

impl NodeKeys {
    /// Makes both keys (P-256) in a directory, where they are not there yet, and the requests for their certificates.
    /// `country` is two letters.
    pub fn init(dir: &Path, server: &ServerId, country: &str, member_name: &str) -> Result<NodeRequests, KeysError> {
        std::fs::create_dir_all(dir).map_err(|error| file_error(dir, error))?;
        let subject = MemberNameProfile::subject(country, server.owner(), member_name, server.code())?;
        let sign = CertificateRequest::create(&key_in(dir, SIGN_KEY)?, &subject)?;
        let auth = CertificateRequest::create(&key_in(dir, AUTH_KEY)?, &subject)?;
        Ok(NodeRequests { sign, auth })
    }

    /// Puts the certificates of the authority beside their keys.
    pub fn install(dir: &Path, sign: &Certificate, auth: &Certificate) -> Result<Self, KeysError> {
        for (name, certificate) in [(SIGN_CERT, sign), (AUTH_CERT, auth)] {
            write_private(&dir.join(name), certificate.to_pem().as_bytes())?;
        }
        Self::load(dir)
    }

    /// Whether keys and certificates are all there.
    pub fn are_installed(dir: &Path) -> bool {
        [SIGN_KEY, AUTH_KEY, SIGN_CERT, AUTH_CERT].iter().all(|name| dir.join(name).is_file())
    }

    /// Reads keys and certificates.
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        let certificate = |name: &str| Ok::<_, KeysError>(Certificate::from_pem(&read_file(&dir.join(name))?)?);
        let secret = |name: &str| Ok::<_, KeysError>(SigningKey::from_pkcs8_pem(&read_file(&dir.join(name))?)?);
        Self::new(secret(SIGN_KEY)?, certificate(SIGN_CERT)?, secret(AUTH_KEY)?, certificate(AUTH_CERT)?)
    }

    /// Puts keys and certificates together; each certificate must be that of its key.
    pub fn new(
        sign: SigningKey,
        sign_certificate: Certificate,
        auth: SigningKey,
        auth_certificate: Certificate,
    ) -> Result<Self, KeysError> {
        for (name, key, certificate) in [(SIGN_CERT, &sign, &sign_certificate), (AUTH_CERT, &auth, &auth_certificate)] {
            if key.public().spki_der() != certificate.public_key().spki_der() {
                return Err(KeysError::Mismatch(name));
            }
        }
        Ok(Self { sign, sign_certificate, auth, auth_certificate })
    }
}

/// The key of this name, made (P-256) where it is missing.
pub(crate) fn key_in(dir: &Path, name: &str) -> Result<SigningKey, KeysError> {
    let path = dir.join(name);
    if path.exists() {
        return Ok(SigningKey::from_pkcs8_pem(&read_file(&path)?)?);
    }
    let key = SigningKey::generate_p256()?;
    write_private(&path, key.to_pkcs8_pem()?.as_bytes())?;
    Ok(key)
}

pub(crate) fn read_file(path: &Path) -> Result<String, KeysError> {
    std::fs::read_to_string(path).map_err(|error| file_error(path, error))
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), KeysError> {
    let partial = path.with_extension("partial");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file: File = options.open(&partial)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|error| file_error(path, error))
}

fn file_error(path: &Path, error: io::Error) -> KeysError {
    KeysError::File { file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(), error }
}
