//! Mutual TLS between nodes. Host names mean nothing here: a peer is the node that registered its certificate in the global
//! configuration (PR-MESSTRANSP §2). OCSP is checked apart: of the caller with each message, of the provider before the first one.
//!
//! Between our nodes TLS 1.3. This module is the only one that knows rustls; a layer for the CBC suites of X-Road's defaults takes
//! its place in a later issue.

use std::sync::{Arc, PoisonError, RwLock};

use civic::{ServerId, SharedClock};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig,
    SignatureScheme, version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use trust::cert::Certificate;
use trust::keys::SigningKey;

use crate::globalconf::{GlobalConf, Snapshot};
use crate::keys::NodeKeys;

/// A node at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) server: ServerId,
    pub(crate) certificate: Certificate,
    pub(crate) fingerprint: [u8; 32],
}

/// The authentication key and certificate of the node; exchanged while connections go on.
#[derive(Debug)]
pub(crate) struct TlsIdentity(RwLock<Arc<CertifiedKey>>);

impl TlsIdentity {
    pub(crate) fn new(keys: &NodeKeys) -> Result<Self, Error> {
        Self::of(&keys.auth, &keys.auth_certificate)
    }

    /// Any key with its certificate.
    pub(crate) fn of(key: &SigningKey, certificate: &Certificate) -> Result<Self, Error> {
        Ok(Self(RwLock::new(certified(key, certificate)?)))
    }

    /// New handshakes use this key and certificate.
    pub(crate) fn replace(&self, key: &SigningKey, certificate: &Certificate) -> Result<(), Error> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified(key, certificate)?;
        Ok(())
    }

    fn present(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for TlsIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present())
    }
}

impl ResolvesClientCert for TlsIdentity {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.present())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(key: &SigningKey, certificate: &Certificate) -> Result<Arc<CertifiedKey>, Error> {
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let der = key.to_pkcs8_der().map_err(|error| Error::General(error.to_string()))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der));
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
    Ok(Arc::new(certified))
}

/// Both ends of mutual TLS for one node.
pub(crate) fn configure(
    identity: &Arc<TlsIdentity>,
    conf: &Arc<GlobalConf>,
    clock: &SharedClock,
) -> Result<(TlsAcceptor, TlsConnector), Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        Arc::new(NodeVerifier { conf: Arc::clone(conf), clock: Arc::clone(clock), provider: Arc::clone(&provider) });
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(Arc::clone(identity) as Arc<dyn ResolvesServerCert>);
    // A resumed session would skip the look at the certificate; connections are kept alive instead.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::clone(identity) as Arc<dyn ResolvesClientCert>);
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    Ok((TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client))))
}

/// Who is at the other end of a connection whose handshake succeeded.
pub(crate) fn peer_of(connection: &CommonState, snapshot: &Snapshot) -> Result<Peer, String> {
    let chain = connection.peer_certificates().unwrap_or_default();
    let leaf = chain.first().ok_or("it showed no certificate")?;
    identify(leaf, chain.get(1..).unwrap_or_default(), snapshot)
}

/// Finds the node of a certificate and checks the way to an approved authority.
fn identify(leaf: &[u8], rest: &[CertificateDer<'_>], snapshot: &Snapshot) -> Result<Peer, String> {
    let certificate = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let fingerprint = certificate.sha256();
    let server = snapshot.server_of(&fingerprint).ok_or("its certificate is registered for no node")?.clone();
    let mut extra = Vec::new();
    for der in rest.iter().take(4) {
        extra.push(Certificate::from_der(der).map_err(|error| error.to_string())?);
    }
    let instance = snapshot.instance_of(server.owner().instance())?;
    instance.check_auth_cert(&certificate, &extra, snapshot.now()).map_err(|error| error.to_string())?;
    Ok(Peer { server, certificate, fingerprint })
}

struct NodeVerifier {
    conf: Arc<GlobalConf>,
    clock: SharedClock,
    provider: Arc<CryptoProvider>,
}

impl NodeVerifier {
    fn check(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), Error> {
        let snapshot = self.conf.current().filter(|snapshot| self.clock.now() < snapshot.expires());
        let snapshot = snapshot.ok_or_else(|| Error::General("there is no valid global configuration".to_owned()))?;
        identify(leaf, rest, &snapshot).map(|_| ()).map_err(Error::General)
    }

    fn tls13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for NodeVerifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("NodeVerifier")
    }
}

/// Only TLS 1.3 is configured; this is never reached.
fn no_tls12() -> Error {
    Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered)
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
