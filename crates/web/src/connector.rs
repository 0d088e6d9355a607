//! The connections of clients: plain, or TLS to a server that an authority of their choice vouches for.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// Why nobody can be trusted by a file of authorities.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// It names none.
    #[error("there is no certificate in it. Write those of the authorities to trust, in PEM")]
    None,
    /// One of them is no certificate of an authority.
    #[error("certificate {number} in it cannot be used: {reason}")]
    Unusable {
        /// Which one, from 1 on.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS itself is not to be had.
    #[error("TLS is not possible: {0}")]
    Tls(#[from] rustls::Error),
}

/// Connects to http addresses, and to https ones where it was told whom to trust.
#[derive(Clone, Debug)]
pub struct Connector {
    tcp: HttpConnector,
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// With this TLS over https, and none where it is `None`: then https addresses are refused.
    pub fn new(connect_timeout: Duration, tls: Option<Arc<ClientConfig>>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        Self { tcp, tls }
    }

    /// Trusts, over https, servers whose certificate is for their name and from one of these authorities (PEM): nobody else, also not
    /// whom the machine trusts. TLS 1.2 or 1.3.
    pub fn trusting(authorities: &[u8], connect_timeout: Duration) -> Result<Self, AuthoritiesError> {
        let mut roots = RootCertStore::empty();
        for (place, certificate) in CertificateDer::pem_slice_iter(authorities).enumerate() {
            let unusable = |reason: String| AuthoritiesError::Unusable { number: place + 1, reason };
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(AuthoritiesError::None);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::new(connect_timeout, Some(Arc::new(config))))
    }
}

/// The error with all that caused it, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        next = inner.source();
    }
    text
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_ready(context).map_err(io::Error::other)
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = self.tls.clone();
        let connecting = self.tcp.call(uri);
        Box::pin(async move {
            let stream = connecting.await.map_err(|error| io::Error::other(with_causes(&error)))?;
            if !secure {
                return Ok(Wire(Stream::Plain(stream)));
            }
            let config =
                tls.ok_or_else(|| io::Error::other("this client was given no certificates to trust for https"))?;
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            let stream = TlsConnector::from(config).connect(name, stream.into_inner()).await;
            let stream = stream.map_err(|error| io::Error::new(error.kind(), format!("TLS failed: {error}")))?;
            Ok(Wire(Stream::Secure(Box::new(TokioIo::new(stream)))))
        })
    }
}

/// A connection that was made.
pub struct Wire(Stream);

enum Stream {
    Plain(TokioIo<TcpStream>),
    Secure(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Secure(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Secure(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Secure(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Secure(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
