//! HTTPS between the node and the information systems of its organisation: the listener beside the plain one, who calls on it, and
//! calls of services with `https://` addresses. TLS between nodes is another matter (`tls`).
//!
//! Each subsystem says how its information systems connect (facts §1.1): plain, HTTPS, or HTTPS with a client certificate of its list.
//! Certificates of information systems are compared whole; no authority vouches for them.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use civic::{ClientId, Random, Timestamp, random_array};
use http::request::Parts;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use trust::cert::{Certificate, CertificateProfile, CertificateSpec, DistinguishedName as Name, NameAttribute};
use trust::keys::SigningKey;

use crate::core::Core;
use crate::fault::{Fault, Reason, Side};
use crate::keys::{KeysError, key_in, read_file, write_private};
use crate::registry::{ClientSettings, Connection, Offer};
use crate::tls::TlsIdentity;
use crate::tls_verifier::{Called, Chain, Judge, Verifier};

const KEY: &str = "internal.key.pem";
const CERT: &str = "internal.cert.pem";
const VALID_FOR: Duration = Duration::from_hours(10 * 365 * 24);
/// Peers whose clocks are behind must still find a new certificate valid.
const BACKDATED: Duration = Duration::from_hours(1);
/// Where systems keep the authorities that they trust, the first that is there counts.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The key and certificate by which information systems know the node, on both sides of HTTPS.
#[derive(Clone, Debug)]
pub struct InternalKeys {
    /// The key.
    pub key: SigningKey,
    /// Its certificate.
    pub certificate: Certificate,
}

impl InternalKeys {
    /// Reads both from a directory; where they are missing, makes a P-256 key and a certificate that it signs itself for ten years.
    /// Put files of the same names there to use a certificate of another authority.
    pub fn open(dir: &Path, name: &str, now: Timestamp, random: &dyn Random) -> Result<Self, KeysError> {
        let key = key_in(dir, KEY)?;
        let path = dir.join(CERT);
        if !path.exists() {
            let mut serial = random_array::<16>(random);
            if let Some(first) = serial.first_mut() {
                *first = (*first & 0x3f) | 0x40;
            }
            let spec = CertificateSpec {
                profile: CertificateProfile::Auth,
                serial: &serial,
                subject: Name::new(&[(NameAttribute::CommonName, name)])?,
                public_key: key.public(),
                not_before: now.minus(BACKDATED),
                not_after: now.plus(VALID_FOR),
                ocsp_url: None,
            };
            write_private(&path, Certificate::self_signed(&key, &spec)?.to_pem().as_bytes())?;
        }
        let certificate = Certificate::from_pem(&read_file(&path)?)?;
        if key.public().spki_der() != certificate.public_key().spki_der() {
            return Err(KeysError::Mismatch(CERT));
        }
        Ok(Self { key, certificate })
    }
}

/// What is known of the connection on which an information system calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    tls: bool,
    certificate: Option<Arc<[u8]>>,
}

impl Caller {
    /// The caller of a request; one that nobody said anything of came over plain HTTP.
    fn of(head: &Parts) -> Self {
        head.extensions.get::<Self>().cloned().unwrap_or_default()
    }
}

/// Whether the connection of a request is one that its client allows.
pub(crate) fn admit(head: &Parts, client: &ClientSettings) -> Result<(), Fault> {
    let caller = Caller::of(head);
    if client.connection.admits(caller.tls, caller.certificate.as_deref()) {
        return Ok(());
    }
    let how = match (&client.connection, caller.tls) {
        (Connection::HttpsAuth { .. }, true) => "with a client certificate that the node's operator registered for it",
        (Connection::HttpsAuth { .. }, false) => "over HTTPS with a client certificate. Use the HTTPS port of the node",
        _ => "over HTTPS. Use the HTTPS port of the node",
    };
    let message = format!("{} may only be used {how}", client.id);
    Err(Fault::new(Side::ClientProxy, Reason::SslAuthenticationFailed, message))
}

/// The same for a client by its id; one that the node does not serve is refused elsewhere.
pub(crate) fn admit_client(core: &Core, head: &Parts, client: &ClientId) -> Result<(), Fault> {
    core.registry.current().clients.get(client).map_or(Ok(()), |client| admit(head, client))
}

/// The listening end: TLS 1.2 and 1.3; a client certificate is taken where one is shown.
pub(crate) fn acceptor(identity: &Arc<TlsIdentity>) -> Result<TlsAcceptor, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Verifier::of(AnyCaller))
        .with_cert_resolver(Arc::clone(identity) as Arc<dyn rustls::server::ResolvesServerCert>);
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The handshake of an information system.
pub(crate) async fn accept(
    acceptor: TlsAcceptor,
    socket: TcpStream,
) -> std::io::Result<(TlsStream<TcpStream>, Caller)> {
    let stream = acceptor.accept(socket).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate: Option<Arc<[u8]>> = shown.map(|certificate| Arc::from(&**certificate));
    Ok((stream, Caller { tls: true, certificate }))
}

/// Certificates of information systems that are believed without an authority: those of the subsystems' lists.
#[derive(Debug, Default)]
pub(crate) struct Pins(RwLock<HashSet<Vec<u8>>>);

impl Pins {
    /// Takes the lists of an offer over; whether a certificate is believed no more.
    pub(crate) fn set(&self, offer: &Offer) -> bool {
        let lists = offer.clients.values().filter_map(|client| match &client.connection {
            Connection::HttpsAuth { certificates } => Some(certificates),
            Connection::Http | Connection::HttpsNoAuth => None,
        });
        let all: HashSet<Vec<u8>> = lists.flat_map(|list| list.iter().cloned()).collect();
        let mut present = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let gone = !present.is_subset(&all);
        *present = all;
        gone
    }

    /// Believes one certificate (DER) more, until lists are taken over.
    pub(crate) fn believe(&self, certificate: Vec<u8>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(certificate);
    }

    fn contains(&self, certificate: &[u8]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(certificate)
    }
}

/// The calling end towards services. `pins`: verify the service, by the lists or by the authorities of the system; `None`: whoever
/// answers is believed, as the operator decided for that service.
pub(crate) fn client(identity: Option<&Arc<TlsIdentity>>, pins: Option<Arc<Pins>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let services = Services { pins, system: OnceLock::new(), provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Verifier::of(services));
    Ok(match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::clone(identity) as Arc<dyn rustls::client::ResolvesClientCert>)
        }
        None => builder.with_no_client_auth(),
    })
}

/// Takes any certificate of a caller, or none: the list of the subsystem decides.
#[derive(Debug)]
struct AnyCaller;

impl Judge for AnyCaller {
    fn judge_client(&self, _shown: &Chain<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn judge_server(&self, _shown: &Chain<'_>, _called: &Called<'_>) -> Result<(), Error> {
        Err(Error::General("this end calls nobody".to_owned()))
    }

    fn wants_certificate(&self) -> bool {
        false
    }
}

/// Believes a service by the lists of the subsystems, else by the authorities of the system.
#[derive(Debug)]
struct Services {
    pins: Option<Arc<Pins>>,
    system: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
    provider: Arc<CryptoProvider>,
}

impl Services {
    /// The authorities of the system, read when they are needed first.
    fn system(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        let read = || {
            let path = SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.is_file())?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(CertificateDer::pem_file_iter(path).ok()?.flatten());
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build().ok()
        };
        self.system.get_or_init(read).as_ref()
    }
}

impl Judge for Services {
    fn judge_client(&self, _shown: &Chain<'_>) -> Result<(), Error> {
        Err(Error::General("nobody calls at this end".to_owned()))
    }

    fn judge_server(&self, shown: &Chain<'_>, called: &Called<'_>) -> Result<(), Error> {
        match &self.pins {
            None => Ok(()),
            Some(pins) if pins.contains(shown.leaf) => Ok(()),
            Some(_) => {
                let system = self.system().ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
                let Called { name, ocsp, now } = called;
                system.verify_server_cert(shown.leaf, shown.rest, name, ocsp, *now).map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use civic::testing::SeededRandom;

    use super::*;

    #[test]
    fn the_certificate_is_made_once_and_another_ones_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_seconds(1_795_300_800);
        let open = || InternalKeys::open(folder.path(), "node-1", now, &SeededRandom::new(1));
        let first = open().unwrap();
        assert_eq!(open().unwrap().certificate.der(), first.certificate.der());
        let other = tempfile::tempdir().unwrap();
        InternalKeys::open(other.path(), "node-2", now, &SeededRandom::new(2)).unwrap();
        std::fs::copy(other.path().join(CERT), folder.path().join(CERT)).unwrap();
        assert!(matches!(open(), Err(KeysError::Mismatch(_))));
    }
}
