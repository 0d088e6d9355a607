//! Speaking the transport between nodes by hand: a peer that a test makes as wrong as it likes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, Error, ServerConfig, version};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::digest::{Digest, DigestAlgorithm};
use trust::hashchain;
use trust::xades::{self, DataRef, Signer};

use super::{Federation, TwoNodes, need};
use crate::NodeKeys;
use crate::listener::{plain, serve};
use crate::message::{RequestIds, RestRequest};
use crate::spool::Body;
use crate::tls_verifier::{Called, Chain, Judge, Verifier};
use crate::transport::{self, Attachment, BatchParts, Envelope, EnvelopeReader, Kind, Limits, Message, Received};

/// Signs a message with the keys of a node. `batch` goes through a hash chain (of message and body).
pub fn sign(federation: &Federation, keys: &NodeKeys, head: Bytes, body: Option<Bytes>, batch: bool) -> Envelope {
    let signer = need(Signer::new(keys.sign.clone(), &keys.sign_certificate, &[]));
    let ocsp = federation.ocsp_response(&keys.sign_certificate);
    let now = federation.now();
    let mut digests = vec![Digest::sha512(&head)];
    digests.extend(body.as_deref().map(Digest::sha512));
    let (signature, parts) = if batch {
        let files = vec![digests.iter().map(|digest| digest.bytes().to_vec()).collect()];
        let built = need(hashchain::build(DigestAlgorithm::Sha512, hashchain::Files::SIGNATURE, &files));
        let file = DataRef { name: xades::HASH_CHAIN_RESULT, digest: Digest::sha512(built.result.as_bytes()) };
        let signature = need(signer.sign(&[file], now, &[&ocsp]));
        let chain = built.chains.into_iter().next().unwrap_or_default();
        (signature, Some(BatchParts { result: Bytes::from(built.result), chain: Bytes::from(chain) }))
    } else {
        let names = [xades::MESSAGE, "/attachment1"];
        let files: Vec<DataRef<'_>> =
            names.into_iter().zip(&digests).map(|(name, digest)| DataRef { name, digest: *digest }).collect();
        (need(signer.sign(&files, now, &[&ocsp])), None)
    };
    let auth = Bytes::from(federation.ocsp_response(&keys.auth_certificate));
    Envelope {
        ocsp: vec![auth],
        message: Message::Rest(head),
        attachments: body.map(|body| Attachment::rest(Body::from(body))).into_iter().collect(),
        batch: parts,
        signature: Bytes::from(signature),
    }
}

/// The header part of a request of [`super::CLIENT`]; `path` follows `/r1/`.
pub fn request(path: &str, headers: &[(&str, &str)], request_id: &str) -> RestRequest {
    let ids = RequestIds { message_id: format!("m-{request_id}"), request_id: request_id.to_owned() };
    let mut all = vec![("x-road-client", super::CLIENT.as_bytes())];
    all.extend(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    need(RestRequest::from_http("POST", &format!("/r1/{path}"), all.into_iter(), ids))
}

impl TwoNodes {
    /// Sends an envelope to the provider's node, as the node with these keys.
    pub async fn post(&self, keys: &NodeKeys, envelope: &Envelope) -> Result<Received, String> {
        let bytes = transport::write(Kind::Request, "xtopTEST", envelope);
        self.post_bytes(keys, &transport::content_type("xtopTEST"), bytes).await
    }

    /// Sends any bytes to the provider's node, as the node with these keys.
    pub async fn post_bytes(&self, keys: &NodeKeys, content_type: &str, bytes: Vec<u8>) -> Result<Received, String> {
        self.post_with(keys, &[("content-type", content_type)], bytes).await
    }

    /// The same with these headers.
    pub async fn post_with(
        &self,
        keys: &NodeKeys,
        headers: &[(&str, &str)],
        bytes: Vec<u8>,
    ) -> Result<Received, String> {
        let stream = connect(self.provider.addresses().transport, keys).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let mut request = Request::post("/").header("host", "node");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(bytes)));
        let response = sender.send_request(need(request)).await.map_err(|error| error.to_string())?;
        let kind =
            response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let bytes = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        if kind.starts_with("text/xml") {
            return transport::read_fault(&bytes).map(Received::Fault).map_err(|error| error.to_string());
        }
        let limits = Limits::with_body(64 * 1024 * 1024);
        let mut reader = EnvelopeReader::new(Kind::Response, &kind, limits).map_err(|error| error.to_string())?;
        reader.push(bytes).map_err(|error| error.to_string())?;
        reader.finish().map_err(|error| error.to_string())
    }
}

/// TLS 1.3 with the authentication certificate of a node, to whoever listens there.
pub async fn connect(address: SocketAddr, keys: &NodeKeys) -> Result<TlsStream<TcpStream>, String> {
    let config = need(
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13]),
    )
    .dangerous()
    .with_custom_certificate_verifier(any_server())
    .with_client_auth_cert(chain(keys), secret(keys));
    let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(need(config)));
    let name = need(ServerName::try_from("node.invalid"));
    connector.connect(name, socket).await.map_err(|error| error.to_string())
}

/// What a [`FakeNode`] does with a request.
pub type Reaction = Arc<dyn Fn(Envelope) -> Option<Vec<u8>> + Send + Sync>;

/// A provider's node that a test plays: the right certificate, any answer. `None` is no answer at all.
pub struct FakeNode {
    address: SocketAddr,
    _stop: DropGuard,
}

impl FakeNode {
    /// Takes the place of the provider's node in the global configuration; the consumer's node is to be refreshed then.
    pub async fn replace(nodes: &TwoNodes, reaction: Reaction) -> Self {
        Self::start(nodes, Play::Answer(reaction)).await
    }

    /// The same, of a node that takes connections and requests but reads no body.
    pub async fn deaf(nodes: &TwoNodes) -> Self {
        Self::start(nodes, Play::Deaf).await
    }

    /// The same, of a node that answers the first request of each connection, and hangs up on the next once it has read it.
    pub async fn hanging_up(nodes: &TwoNodes, reaction: Reaction) -> Self {
        Self::start(nodes, Play::HangUp(reaction)).await
    }

    /// The same, of a node that answers with a fault as soon as it has read so many bytes of a request, and a little later.
    pub async fn refusing(nodes: &TwoNodes, fault: String, after_bytes: usize) -> Self {
        Self::start(nodes, Play::Refuse(fault, after_bytes)).await
    }

    async fn start(nodes: &TwoNodes, play: Play) -> Self {
        let (transport, ocsp) = sockets().await;
        let address = need(transport.local_addr());
        let stop = CancellationToken::new();
        let keys = &nodes.provider_keys;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = need(ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&version::TLS13]))
            .with_client_cert_verifier(any_client())
            .with_single_cert(chain(keys), secret(keys));
        let acceptor = TlsAcceptor::from(Arc::new(need(config)));
        let limits = crate::config::NodeLimits::default();
        if let Play::HangUp(reaction) = play {
            let end = stop.clone();
            tokio::spawn(async move { end.run_until_cancelled(hang_up(transport, acceptor, reaction)).await });
            return Self::known(nodes, address, ocsp, stop);
        }
        let play = Arc::new(play);
        let connect = move |socket| {
            let acceptor = acceptor.clone();
            async move { Ok((acceptor.accept(socket).await?, ())) }
        };
        let handle = move |(): (), request: Request<hyper::body::Incoming>| react(Arc::clone(&play), request);
        tokio::spawn(serve(transport, limits, stop.clone(), connect, handle));
        Self::known(nodes, address, ocsp, stop)
    }

    /// Shows an OCSP response and stands in the global configuration.
    fn known(nodes: &TwoNodes, address: SocketAddr, ocsp: TcpListener, stop: CancellationToken) -> Self {
        let (keys, limits) = (&nodes.provider_keys, crate::config::NodeLimits::default());
        let response = Bytes::from(nodes.federation.ocsp_response(&keys.auth_certificate));
        let show = move |(): (), _request| {
            let body = transport::write_parts("xocsp", &[(transport::OCSP_RESPONSE, response.as_ref())]);
            let answer = Response::builder()
                .header("content-type", "multipart/related; boundary=xocsp")
                .body(Full::new(Bytes::from(body)));
            async move { need(answer) }
        };
        tokio::spawn(serve(ocsp, limits, stop.clone(), plain, show));
        nodes.federation.change(|params| {
            for server in params.servers.iter_mut().filter(|server| server.id.owner().code() == "1002") {
                server.address = Some(address.to_string());
            }
        });
        Self { address, _stop: stop.drop_guard() }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What a [`FakeNode`] does with requests.
enum Play {
    Answer(Reaction),
    Deaf,
    HangUp(Reaction),
    Refuse(String, usize),
}

async fn hang_up(listener: TcpListener, acceptor: TlsAcceptor, reaction: Reaction) {
    while let Ok((socket, _)) = listener.accept().await {
        let Ok(stream) = acceptor.accept(socket).await else { continue };
        let (reaction, first) = (Arc::clone(&reaction), AtomicBool::new(true));
        let service = service_fn(move |request| {
            let (reaction, is_first) = (Arc::clone(&reaction), first.swap(false, Ordering::SeqCst));
            async move {
                let answer = answer(&reaction, request).await;
                if is_first { Ok(answer) } else { Err(io::Error::other("this node hangs up")) }
            }
        });
        tokio::spawn(async move {
            let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = (&mut connection).await;
            // As a node does that ends a connection, and not as one that is killed.
            let _ = connection.into_parts().io.into_inner().shutdown().await;
        });
    }
}

async fn react(play: Arc<Play>, request: Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
    match &*play {
        Play::Answer(reaction) | Play::HangUp(reaction) => answer(reaction, request).await,
        Play::Deaf => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            drop(request);
            Response::default()
        }
        Play::Refuse(fault, after_bytes) => {
            let (mut body, mut read) = (request.into_body(), 0);
            while read < *after_bytes
                && let Some(Ok(frame)) = body.frame().await
            {
                read += frame.data_ref().map_or(0, Bytes::len);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            let response = Response::builder().header("content-type", "text/xml");
            need(response.body(Full::new(Bytes::from(fault.clone()))))
        }
    }
}

async fn answer(reaction: &Reaction, request: Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
    let kind =
        request.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let bytes = need(request.into_body().collect().await).to_bytes();
    let mut reader = need(EnvelopeReader::new(Kind::Request, &kind, Limits::with_body(64 * 1024 * 1024)));
    need(reader.push(bytes));
    let answer = match need(reader.finish()) {
        Received::Message(envelope) => reaction(*envelope),
        Received::Fault(_) => None,
    };
    let Some(answer) = answer else {
        tokio::time::sleep(Duration::from_mins(1)).await;
        return Response::default();
    };
    // A fault stands for itself, everything else is a message in parts.
    let kind = if answer.starts_with(b"<") { "text/xml".to_owned() } else { transport::content_type("xtopTEST") };
    let response = Response::builder().header("content-type", kind);
    need(response.body(Full::new(Bytes::from(answer))))
}

async fn sockets() -> (TcpListener, TcpListener) {
    for _ in 0..200 {
        let first = need(TcpListener::bind("127.0.0.1:0").await);
        let Some(port) = need(first.local_addr()).port().checked_add(77) else { continue };
        if let Ok(second) = TcpListener::bind(("127.0.0.1", port)).await {
            return (first, second);
        }
    }
    super::stop("no two free ports are 77 apart")
}

fn chain(keys: &NodeKeys) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from(keys.auth_certificate.der().to_vec())]
}

fn secret(keys: &NodeKeys) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(need(keys.auth.to_pkcs8_der())))
}

/// Believes everyone who has the key of what it shows: the test looks at what the node under test believes.
#[derive(Debug)]
struct Anyone;

impl Judge for Anyone {
    fn judge_client(&self, _shown: &Chain<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn judge_server(&self, _shown: &Chain<'_>, _called: &Called<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// Believes whoever is called.
pub fn any_server() -> Arc<dyn ServerCertVerifier> {
    Verifier::of(Anyone)
}

/// Believes whoever calls and shows a certificate.
pub fn any_client() -> Arc<dyn ClientCertVerifier> {
    Verifier::of(Anyone)
}
