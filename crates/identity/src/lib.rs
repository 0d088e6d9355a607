//! The OpenID provider of the State: who are you, and what do you allow?
//!
//! Citizens log in with a passkey, or with national number, PIN and a code by SMS; organisations receive a pairwise subject and,
//! where they ask for data over the bridge, an access token that names the grant which the citizen gave on the consent screen.
//!
//! What it serves
//! - discovery, JWKS, pushed authorization requests (RFC 9126), code flow with PKCE S256 (RFC 7636), token, userinfo,
//!   RP-initiated logout; `authorization_details` of type [`bridge-service`](details::BridgeService) (RFC 9396); access tokens
//!   after RFC 9068; `iss` in every answer (RFC 9207);
//! - pages that work without a script, in French and English; the passkey module adds to them;
//! - [`rp`]: the other side, for the portal and for organisations; [`token`]: what a node of the bridge checks.
//!
//! Invariants
//! - Nothing but the [register of clients](client::IdentityConfig) decides where an answer may go; addresses are compared exactly.
//! - A request is answered once, a code is exchanged once, a client assertion, an SMS code and a passkey challenge hold once. A code
//!   that comes twice revokes what was made from it.
//! - The national number never leaves but to a first-party client that may ask the scope `person`.
//! - No answer, status or duration tells whether a national number has an account; attempts are counted before they are checked.
//! - What changes an account is committed to a log in the same transaction ([`AccountActs`]).
//! - Numbers, names and phones are sealed; PINs are Argon2id with a pepper; codes and tokens are stored as digests.
//! - Two sources of randomness are not the injected one, on purpose: keys and signatures (aws-lc), WebAuthn challenges (webauthn-rs).
//!
//! Trusted: whoever can write the `identity_*` tables can log in as anybody; whoever holds the signing key can forge logins at every
//! client; whoever holds the key ring of the store can read names and numbers and compute every pairwise subject. Losing the key ring
//! changes all subjects.
//!
//! Access tokens are bearer tokens for now. On the bridge only the organisation that signs the message can use its own; binding
//! them to a key by DPoP (RFC 9449) comes with a later issue.
//!
//! ```no_run
//! # async fn example(store: store::Store, config: identity::IdentityConfig, clock: civic::SharedClock, random: civic::SharedRandom)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use identity::{Identity, Phone};
//! let key = trust::keys::SigningKey::generate_p256()?;
//! let identity = Identity::open(store, key, config, clock, random).await?;
//! let pages = identity.room().router;                               // serve it at the issuer's address
//! let handset = Phone::new(identity.clone()).room("http://localhost:8603");
//! let verifier = identity.access_token_verifier();                  // for the nodes of the bridge
//! # let _ = (pages, handset, verifier);
//! # Ok(()) }
//! ```

mod account;
mod acts;
mod assurance;
mod browser;
pub mod client;
pub mod details;
mod error;
mod finish;
mod grants;
mod http;
mod identity;
mod login;
mod machine;
mod notice;
mod oauth;
mod passkeys;
mod phone;
mod pkce;
mod request;
pub mod rp;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod throttle;
pub mod token;
mod words;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use account::{ACTIVATION_CODE_LENGTH, NewCitizen, draw_activation_code, draw_pin, weak_pin};
pub use acts::{ACTS_FIELD, AccountAct, AccountActs, ActError, forget_acts};
pub use assurance::{Acr, Amr, Authentication, UnknownAcr};
pub use client::{Client, IdentityConfig, Resource, Scope, ServiceNotice};
pub use details::BridgeService;
pub use error::{IdentityError, ProtocolError};
pub use identity::Identity;
pub use phone::Phone;
pub use token::{AccessToken, AccessTokenVerifier, IdToken, TokenError};

/// Base64url without padding (RFC 7515 §2).
fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
