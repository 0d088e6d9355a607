//! Mutual TLS between nodes. Host names mean nothing here: a peer is the node that registered its certificate in the global
//! configuration (PR-MESSTRANSP §2). OCSP is checked apart: of the caller with each message, of the provider before the first one.
//!
//! Between our nodes TLS 1.3; TLS 1.2 with GCM suites for others. This module is the only one that knows which library speaks: rustls, or
//! OpenSSL where the operator wants X-Road's CBC suites too (`legacy`, a feature). Decision 0018.

#[cfg(feature = "xroad-legacy-tls")]
mod legacy;
mod stream;
mod token_key;

use std::sync::{Arc, PoisonError, RwLock};

use civic::{ServerId, SharedClock};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, CommonState, Error, ServerConfig, SignatureScheme, version};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use trust::cert::Certificate;
use trust::keys::{KeyError, SigningKey};

pub(crate) use self::stream::{Shown, Stream};
use self::token_key::HeldKey;
use crate::config::NodeConfig;
use crate::globalconf::{GlobalConf, Snapshot};
use crate::keys::NodeKeys;
use crate::tls_verifier::{Called, Chain, Judge, Verifier};

/// A node at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) server: ServerId,
    pub(crate) certificate: Certificate,
    pub(crate) fingerprint: [u8; 32],
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsSetupError {
    #[error(transparent)]
    Rustls(#[from] Error),
    #[cfg(feature = "xroad-legacy-tls")]
    #[error("OpenSSL cannot use the authentication key or certificate: {0}")]
    OpenSsl(String),
    #[cfg(feature = "xroad-legacy-tls")]
    #[error(
        "the authentication key is in a token, which goes with TLS of our own only: turn legacy_tls off, or take an authentication key in a file"
    )]
    KeyInToken,
    #[cfg(not(feature = "xroad-legacy-tls"))]
    #[error(
        "legacy_tls is on, and this program was built without it: build it with --features xroad-legacy-tls, or turn legacy_tls off"
    )]
    NotBuilt,
}

/// The authentication key and certificate of the node; exchanged while connections go on.
#[derive(Debug)]
pub(crate) struct TlsIdentity(RwLock<Present>);

/// The key and certificate in force, also in the form of rustls.
#[derive(Clone, Debug)]
struct Present {
    certified: Arc<CertifiedKey>,
    #[cfg(feature = "xroad-legacy-tls")]
    key: SigningKey,
    #[cfg(feature = "xroad-legacy-tls")]
    certificate: Certificate,
}

impl TlsIdentity {
    pub(crate) fn new(keys: &NodeKeys) -> Result<Self, Error> {
        Self::of(&keys.auth, &keys.auth_certificate)
    }

    /// Any key with its certificate.
    pub(crate) fn of(key: &SigningKey, certificate: &Certificate) -> Result<Self, Error> {
        Ok(Self(RwLock::new(Present::of(key, certificate)?)))
    }

    /// New handshakes use this key and certificate.
    pub(crate) fn replace(&self, key: &SigningKey, certificate: &Certificate) -> Result<(), Error> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Present::of(key, certificate)?;
        Ok(())
    }

    /// The certificate that new handshakes show, DER.
    pub(crate) fn certificate(&self) -> Option<Vec<u8>> {
        self.present().certified.cert.first().map(|certificate| certificate.to_vec())
    }

    fn present(&self) -> Present {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Present {
    fn of(key: &SigningKey, certificate: &Certificate) -> Result<Self, Error> {
        Ok(Self {
            certified: certified(key, certificate)?,
            #[cfg(feature = "xroad-legacy-tls")]
            key: key.clone(),
            #[cfg(feature = "xroad-legacy-tls")]
            certificate: certificate.clone(),
        })
    }
}

impl ResolvesServerCert for TlsIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present().certified)
    }
}

impl ResolvesClientCert for TlsIdentity {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.present().certified)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(key: &SigningKey, certificate: &Certificate) -> Result<Arc<CertifiedKey>, Error> {
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let certified = match key.to_pkcs8_der() {
        Ok(der) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der));
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?
        }
        Err(KeyError::InToken) => CertifiedKey::new(chain, HeldKey::of(key)),
        Err(error) => return Err(Error::General(error.to_string())),
    };
    Ok(Arc::new(certified))
}

/// Both ends of mutual TLS for one node.
#[derive(Clone)]
pub(crate) enum Transport {
    Modern {
        acceptor: TlsAcceptor,
        connector: TlsConnector,
    },
    #[cfg(feature = "xroad-legacy-tls")]
    Legacy(Arc<legacy::Legacy>),
}

impl Transport {
    pub(crate) fn new(
        identity: &Arc<TlsIdentity>,
        conf: &Arc<GlobalConf>,
        clock: &SharedClock,
        config: &NodeConfig,
    ) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier::of(Nodes { conf: Arc::clone(conf), clock: Arc::clone(clock) });
        match &config.legacy_tls {
            None => Ok(modern(identity, verifier, provider)?),
            #[cfg(feature = "xroad-legacy-tls")]
            Some(settings) => Ok(Self::Legacy(Arc::new(legacy::Legacy::new(identity, verifier, &settings.suites)?))),
            #[cfg(not(feature = "xroad-legacy-tls"))]
            Some(_) => Err(TlsSetupError::NotBuilt),
        }
    }

    /// The handshake of a node that calls.
    pub(crate) async fn accept(&self, socket: TcpStream) -> Result<(Stream, Shown), String> {
        match self {
            Self::Modern { acceptor, .. } => {
                let stream = acceptor.accept(socket).await.map_err(|error| error.to_string())?;
                let shown = shown(stream.get_ref().1)?;
                Ok((Stream::Accepted(Box::new(stream)), shown))
            }
            #[cfg(feature = "xroad-legacy-tls")]
            Self::Legacy(legacy) => legacy.accept(socket).await,
        }
    }

    /// The handshake with a node that is called.
    pub(crate) async fn connect(&self, socket: TcpStream) -> Result<(Stream, Shown), String> {
        match self {
            Self::Modern { connector, .. } => {
                let name = ServerName::try_from("node.invalid").map_err(|error| error.to_string())?;
                let stream = connector.connect(name, socket).await.map_err(|error| error.to_string())?;
                let shown = shown(stream.get_ref().1)?;
                Ok((Stream::Opened(Box::new(stream)), shown))
            }
            #[cfg(feature = "xroad-legacy-tls")]
            Self::Legacy(legacy) => legacy.connect(socket).await,
        }
    }
}

fn modern(
    identity: &Arc<TlsIdentity>,
    verifier: Arc<Verifier<Nodes>>,
    provider: Arc<CryptoProvider>,
) -> Result<Transport, Error> {
    let versions = [&version::TLS13, &version::TLS12];
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)?
        .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(Arc::clone(identity) as Arc<dyn ResolvesServerCert>);
    // A resumed session would skip the look at the certificate; connections are kept alive instead.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::clone(identity) as Arc<dyn ResolvesClientCert>);
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    Ok(Transport::Modern {
        acceptor: TlsAcceptor::from(Arc::new(server)),
        connector: TlsConnector::from(Arc::new(client)),
    })
}

fn shown(connection: &CommonState) -> Result<Shown, String> {
    let mut chain = connection.peer_certificates().unwrap_or_default().iter().map(|der| der.to_vec());
    let leaf = chain.next().ok_or("it showed no certificate")?;
    Ok(Shown { leaf, rest: chain.collect() })
}

/// Who is at the other end of a connection whose handshake succeeded.
pub(crate) fn peer_of(shown: &Shown, snapshot: &Snapshot) -> Result<Peer, String> {
    identify(&shown.leaf, shown.rest.iter().map(Vec::as_slice), snapshot)
}

/// Finds the node of a certificate and checks the way to an approved authority.
fn identify<'a>(leaf: &[u8], rest: impl Iterator<Item = &'a [u8]>, snapshot: &Snapshot) -> Result<Peer, String> {
    let certificate = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let fingerprint = certificate.sha256();
    let server = snapshot.server_of(&fingerprint).ok_or("its certificate is registered for no node")?.clone();
    let mut extra = Vec::new();
    for der in rest.take(4) {
        extra.push(Certificate::from_der(der).map_err(|error| error.to_string())?);
    }
    let instance = snapshot.instance_of(server.owner().instance())?;
    instance.check_auth_cert(&certificate, &extra, snapshot.now()).map_err(|error| error.to_string())?;
    Ok(Peer { server, certificate, fingerprint })
}

/// Believes the certificates that are registered for a node.
struct Nodes {
    conf: Arc<GlobalConf>,
    clock: SharedClock,
}

impl Nodes {
    fn check(&self, shown: &Chain<'_>) -> Result<(), Error> {
        let snapshot =
            self.snapshot().ok_or_else(|| Error::General("there is no valid global configuration".to_owned()))?;
        identify(shown.leaf, shown.rest.iter().map(|der| &**der), &snapshot).map(|_| ()).map_err(Error::General)
    }

    /// Whether a certificate is registered for a node; the rest of it is looked at after the handshake.
    #[cfg(feature = "xroad-legacy-tls")]
    fn knows(&self, leaf: &[u8]) -> bool {
        self.snapshot().is_some_and(|snapshot| snapshot.server_of(&trust::digest::sha256(leaf)).is_some())
    }

    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.conf.current().filter(|snapshot| self.clock.now() < snapshot.expires())
    }
}

impl Judge for Nodes {
    fn judge_client(&self, shown: &Chain<'_>) -> Result<(), Error> {
        self.check(shown)
    }

    fn judge_server(&self, shown: &Chain<'_>, _called: &Called<'_>) -> Result<(), Error> {
        self.check(shown)
    }
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Nodes")
    }
}
