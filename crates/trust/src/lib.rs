//! Trust as values: keys, certificates, revocation answers, time stamps, signatures, containers and proofs.
//!
//! This crate is a stone of the house. It builds and verifies; it never reads a file, opens a socket, looks at a clock
//! or logs. A moment is an argument (`civic::Timestamp`), a serial number is an argument, bytes come in and go out.
//! One module is another kind of thing, because cryptography has its only home here: [`pkcs11`] loads the library of a
//! token and waits for it.
//!
//! Invariants
//! - Only this crate calls signature, hash and AEAD primitives (TLS excepted). Everything else asks here.
//! - What is parsed has limits (size, count, depth); what is verified names the reason when it is refused.
//! - Private keys leave only as PKCS#8 ([`keys::SigningKey::to_pkcs8_pem`]), those in a token never; `Debug` never shows
//!   them.
//! - The one exception to "randomness is an argument": keys and ECDSA nonces use aws-lc's own generator, because a
//!   repeatable key or nonce is a published key.
//!
//! ```
//! use trust::keys::{SignatureAlgorithm, SigningKey};
//!
//! # fn main() -> Result<(), trust::keys::KeyError> {
//! let key = SigningKey::generate_p256()?;
//! let algorithm = key.default_xml_algorithm();
//! let signature = key.sign(algorithm, b"message.xml")?;
//! key.public().verify(algorithm, b"message.xml", &signature)?;
//! # Ok(())
//! # }
//! ```

pub mod age;
pub mod archive;
pub mod asic;
mod asn1;
pub mod c14n;
pub mod cert;
pub mod digest;
pub mod globalconf;
pub mod hashchain;
pub mod jose;
pub mod keys;
pub mod merkle;
mod mime;
pub mod mldsa;
pub mod mserv;
pub mod note;
pub mod ocsp;
mod pem;
pub mod pin;
pub mod pkcs11;
pub mod seal;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tsp;
pub mod xades;
pub mod xml;
mod xmldsig;
