//! The keys of a node and their certificates: keys in files or in a PKCS#11 token, certificates in files.
//!
//! Trusted: whoever reads `sign.key.pem` can sign for the organisation; the files are made readable for their owner only. Of a key in a
//! token only the use can be had, by whoever has its PIN.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use civic::{Random, ServerId};
use trust::cert::{CertError, Certificate, CertificateRequest, MemberNameProfile};
use trust::keys::{KeyError, KeyKind, SigningKey};
use trust::pkcs11::{Token, TokenError};

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
    /// The token does not serve.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token lacks a key that the configuration names.
    #[error("the token holds no key with the label `{0}`. Make it with `baobab node init`, or correct the label")]
    NotInToken(String),
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

/// Which keys of a node lie in a token, by their labels; the others lie in files.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    /// The token.
    pub token: Token,
    /// The label of the signing key.
    pub sign: Option<String>,
    /// The label of the authentication (TLS) key.
    pub auth: Option<String>,
    /// What keys are made as: P-256, P-384 or RSA.
    pub kind: KeyKind,
}

impl TokenKeys {
    /// Makes the keys that are named and not there yet.
    pub fn make(&self, random: &dyn Random) -> Result<(), KeysError> {
        for label in [&self.sign, &self.auth].into_iter().flatten() {
            if self.token.find(label)?.is_none() {
                self.token.generate(self.kind, label, random)?;
            }
        }
        Ok(())
    }
}

/// Where the keys of a node lie: a folder, which has the certificates too, and perhaps a token.
#[derive(Clone, Debug)]
pub struct KeyPlaces {
    dir: PathBuf,
    token: Option<TokenKeys>,
}

impl KeyPlaces {
    /// All keys in files of this folder, but those that are in the token.
    pub fn new(dir: &Path, token: Option<TokenKeys>) -> Self {
        Self { dir: dir.to_owned(), token }
    }

    /// The requests for the certificates of both keys. Keys in files (P-256) are made where they are missing; those in a token must be
    /// there, see [`TokenKeys::make`]. `country` is two letters.
    pub fn init(&self, server: &ServerId, country: &str, member_name: &str) -> Result<NodeRequests, KeysError> {
        std::fs::create_dir_all(&self.dir).map_err(|error| file_error(&self.dir, error))?;
        let subject = MemberNameProfile::subject(country, server.owner(), member_name, server.code())?;
        let request = |label: Option<&str>, file| {
            let key = match (&self.token, label) {
                (Some(keys), Some(label)) => {
                    let public = keys.token.find(label)?.ok_or_else(|| KeysError::NotInToken(label.to_owned()))?;
                    keys.token.key(&public)
                }
                _ => key_in(&self.dir, file)?,
            };
            Ok::<_, KeysError>(CertificateRequest::create(&key, &subject)?)
        };
        Ok(NodeRequests { sign: request(self.sign_label(), SIGN_KEY)?, auth: request(self.auth_label(), AUTH_KEY)? })
    }

    /// Puts the certificates of the authority beside their keys. Those of other keys are refused before anything is written, so that good
    /// ones stay. Of keys in a token it is asked, as [`KeyPlaces::init`] asks it.
    pub fn install(&self, sign: &Certificate, auth: &Certificate) -> Result<NodeKeys, KeysError> {
        let keys = self.with(sign.clone(), auth.clone())?;
        for (label, name, certificate) in [(self.sign_label(), SIGN_CERT, sign), (self.auth_label(), AUTH_CERT, auth)] {
            self.check_in_token(label, name, certificate)?;
        }
        for (name, certificate) in [(SIGN_CERT, sign), (AUTH_CERT, auth)] {
            write_private(&self.dir.join(name), certificate.to_pem().as_bytes())?;
        }
        Ok(keys)
    }

    /// The keys with their certificates, read as [`KeyPlaces::load`] reads them; `None` where the authority has not answered yet.
    pub fn installed(&self) -> Result<Option<NodeKeys>, KeysError> {
        let keys = [(self.sign_label(), SIGN_KEY), (self.auth_label(), AUTH_KEY)];
        let in_files = keys.into_iter().filter(|(label, _)| label.is_none()).map(|(_, file)| file);
        let all = in_files.chain([SIGN_CERT, AUTH_CERT]).all(|name| self.dir.join(name).is_file());
        if all { self.load().map(Some) } else { Ok(None) }
    }

    /// Reads keys and certificates. A token is not asked: it may be absent now, and come later.
    pub fn load(&self) -> Result<NodeKeys, KeysError> {
        let certificate = |name: &str| Ok::<_, KeysError>(Certificate::from_pem(&read_file(&self.dir.join(name))?)?);
        self.with(certificate(SIGN_CERT)?, certificate(AUTH_CERT)?)
    }

    /// The keys with these certificates.
    fn with(&self, sign_certificate: Certificate, auth_certificate: Certificate) -> Result<NodeKeys, KeysError> {
        let secret = |label: Option<&str>, file, certificate: &Certificate| match (&self.token, label) {
            (Some(keys), Some(_)) => Ok(keys.token.key(certificate.public_key())),
            _ => Ok::<_, KeysError>(SigningKey::from_pkcs8_pem(&read_file(&self.dir.join(file))?)?),
        };
        let sign = secret(self.sign_label(), SIGN_KEY, &sign_certificate)?;
        let auth = secret(self.auth_label(), AUTH_KEY, &auth_certificate)?;
        NodeKeys::new(sign, sign_certificate, auth, auth_certificate)
    }

    /// Refuses a certificate that is of another key than the one with this label.
    fn check_in_token(
        &self,
        label: Option<&str>,
        name: &'static str,
        certificate: &Certificate,
    ) -> Result<(), KeysError> {
        let (Some(keys), Some(label)) = (&self.token, label) else { return Ok(()) };
        let public = keys.token.find(label)?.ok_or_else(|| KeysError::NotInToken(label.to_owned()))?;
        if public.spki_der() == certificate.public_key().spki_der() { Ok(()) } else { Err(KeysError::Mismatch(name)) }
    }

    fn sign_label(&self) -> Option<&str> {
        self.token.as_ref()?.sign.as_deref()
    }

    fn auth_label(&self) -> Option<&str> {
        self.token.as_ref()?.auth.as_deref()
    }
}

/// How calls of a token are kept off the threads of the runtime, for [`Token::stepping_aside`]: a signature of a hardware module takes
/// milliseconds, in which a thread of the runtime would serve nobody else.
pub fn off_the_runtime(call: &mut dyn FnMut()) {
    let flavour = tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavour {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(call),
        _ => call(),
    }
}

impl NodeKeys {
    /// [`KeyPlaces::init`] for keys in files.
    pub fn init(dir: &Path, server: &ServerId, country: &str, member_name: &str) -> Result<NodeRequests, KeysError> {
        KeyPlaces::new(dir, None).init(server, country, member_name)
    }

    /// [`KeyPlaces::install`] for keys in files.
    pub fn install(dir: &Path, sign: &Certificate, auth: &Certificate) -> Result<Self, KeysError> {
        KeyPlaces::new(dir, None).install(sign, auth)
    }

    /// [`KeyPlaces::installed`] for keys in files.
    pub fn installed(dir: &Path) -> Result<Option<Self>, KeysError> {
        KeyPlaces::new(dir, None).installed()
    }

    /// [`KeyPlaces::load`] for keys in files.
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        KeyPlaces::new(dir, None).load()
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
