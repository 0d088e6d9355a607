//! TLS between nodes through OpenSSL: for peers that offer nothing but X-Road's default CBC suites under TLS 1.2 (facts §1.4). TLS 1.3 and
//! the GCM suites come first; whom we believe is decided by the same rule as always.
//!
//! OpenSSL's own verdict on a certificate (authorities of the system, host names, its clock) counts for nothing: it checks that the peer
//! has the key. During the handshake a certificate that is registered for no node is turned away; before a byte is read or sent on the
//! connection, `peer_of` looks at all of it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use openssl::bn::BigNum;
use openssl::dh::Dh;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use trust::digest;

use super::{Nodes, Shown, Stream, TlsIdentity, TlsSetupError};
use crate::tls_verifier::Verifier;

/// TLS 1.3.
const SUITES_13: &str = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
/// TLS 1.2, the better ones first; the last three are X-Road's defaults.
const SUITES_12: &str = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:DHE-RSA-AES256-SHA256";

/// Both ends of mutual TLS through OpenSSL.
pub(crate) struct Legacy {
    identity: Arc<TlsIdentity>,
    verifier: Arc<Verifier<Nodes>>,
    suites: String,
    ready: Mutex<Option<Ready>>,
}

/// What was made for the present key and certificate.
struct Ready {
    certificate: [u8; 32],
    context: SslContext,
}

impl Legacy {
    /// `suites`: only these of TLS 1.2 and no TLS 1.3, in the words of OpenSSL; empty: all of ours.
    pub(super) fn new(
        identity: &Arc<TlsIdentity>,
        verifier: Arc<Verifier<Nodes>>,
        suites: &str,
    ) -> Result<Self, TlsSetupError> {
        let legacy =
            Self { identity: Arc::clone(identity), verifier, suites: suites.to_owned(), ready: Mutex::new(None) };
        legacy.context()?;
        Ok(legacy)
    }

    pub(super) async fn accept(&self, socket: TcpStream) -> Result<(Stream, Shown), String> {
        let mut stream = self.stream(socket)?;
        Pin::new(&mut stream).accept().await.map_err(|error| error.to_string())?;
        shown(stream)
    }

    pub(super) async fn connect(&self, socket: TcpStream) -> Result<(Stream, Shown), String> {
        let mut stream = self.stream(socket)?;
        Pin::new(&mut stream).connect().await.map_err(|error| error.to_string())?;
        shown(stream)
    }

    fn stream(&self, socket: TcpStream) -> Result<SslStream<TcpStream>, String> {
        let context = self.context().map_err(|error| error.to_string())?;
        let stream = Ssl::new(&context).and_then(|ssl| SslStream::new(ssl, socket));
        stream.map_err(|error| error.to_string())
    }

    /// The context of the present key; another one after the key was exchanged.
    fn context(&self) -> Result<SslContext, TlsSetupError> {
        let present = self.identity.present();
        let certificate = digest::sha256(present.certificate.der());
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = ready.as_ref().filter(|ready| ready.certificate == certificate) {
            return Ok(ready.context.clone());
        }
        if present.key.is_in_token() {
            return Err(TlsSetupError::KeyInToken);
        }
        let key = present.key.to_pkcs8_der().map_err(|error| TlsSetupError::OpenSsl(error.to_string()))?;
        let context = self.build(&key, present.certificate.der());
        let context = context.map_err(|error| TlsSetupError::OpenSsl(error.to_string()))?;
        *ready = Some(Ready { certificate, context: context.clone() });
        Ok(context)
    }

    fn build(&self, key: &[u8], certificate: &[u8]) -> Result<SslContext, ErrorStack> {
        let mut builder = SslContextBuilder::new(SslMethod::tls())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        if self.suites.is_empty() {
            builder.set_cipher_list(SUITES_12)?;
            builder.set_ciphersuites(SUITES_13)?;
        } else {
            builder.set_max_proto_version(Some(SslVersion::TLS1_2))?;
            builder.set_cipher_list(&self.suites)?;
        }
        builder.set_options(
            SslOptions::CIPHER_SERVER_PREFERENCE
                | SslOptions::NO_COMPRESSION
                | SslOptions::NO_RENEGOTIATION
                | SslOptions::NO_TICKET
                | SslOptions::SINGLE_DH_USE
                | SslOptions::SINGLE_ECDH_USE,
        );
        // A resumed session would skip the look at the certificate; connections are kept alive instead.
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        builder.set_num_tickets(0)?;
        let (key, certificate) = (PKey::private_key_from_pkcs8(key)?, X509::from_der(certificate)?);
        builder.set_private_key(&key)?;
        builder.set_certificate(&certificate)?;
        builder.check_private_key()?;
        // The group of 3072 bits of RFC 3526, for DHE.
        let group = Dh::from_pqg(BigNum::get_rfc3526_prime_3072()?, None, BigNum::from_u32(2)?)?;
        builder.set_tmp_dh(&group)?;
        let verifier = Arc::clone(&self.verifier);
        builder.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, move |_, chain| {
            if chain.error_depth() != 0 {
                return true;
            }
            let leaf = chain.current_cert().and_then(|certificate| certificate.to_der().ok());
            leaf.is_some_and(|leaf| verifier.judge().knows(&leaf))
        });
        Ok(builder.build())
    }
}

/// The stream with what the other end showed.
fn shown(stream: SslStream<TcpStream>) -> Result<(Stream, Shown), String> {
    let text = |error: ErrorStack| error.to_string();
    let ssl = stream.ssl();
    let leaf = ssl.peer_certificate().ok_or("it showed no certificate")?.to_der().map_err(text)?;
    let mut rest = Vec::new();
    // The chain of a server begins with its own certificate, that of a client does not.
    for certificate in ssl.peer_cert_chain().into_iter().flatten() {
        let der = certificate.to_der().map_err(text)?;
        if der != leaf {
            rest.push(der);
        }
    }
    Ok((Stream::Legacy(stream), Shown { leaf, rest }))
}
