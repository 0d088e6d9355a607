//! Keys in a PKCS#11 token: a smart card, a USB key, a hardware security module. A key that is made here never leaves its token;
//! what leaves is signatures.
//!
//! This is the one module of `trust` that speaks to something outside: a PKCS#11 module is a shared library of the token's maker, and
//! loading it runs its code in this process. Trusted: whoever can replace that file, or read the PIN, signs for the organisation.
//!
//! How it behaves
//! - A [`Module`] is loaded once a process and shared by the [`Token`]s in it; PKCS#11 knows one login for each token and process.
//! - Each token has a pool of sessions. Whoever finds none free waits a little, and is then told that the token is [`TokenError::Busy`].
//! - A token that was pulled out, was logged out or whose module failed is looked for anew at the next use, so that traffic goes on by
//!   itself when it is back. Each use tries at most three times.
//! - A PIN that the token refused is never tried again by itself: tokens lock after a few wrong ones.
//! - Calls block. Whoever runs many tasks on a thread says with [`Token::stepping_aside`] how they are kept off it.

mod error;
mod module;
mod objects;
mod sessions;
#[cfg(feature = "testing")]
pub mod testing;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use civic::{Random, random_array};
use cryptoki::error::{Error as Refusal, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

pub use error::TokenError;
pub use module::Module;

use self::error::Failure;
use self::sessions::Sessions;
use crate::keys::{KeyKind, PublicKey, SigningKey, TokenInput};

/// How many signatures are made at once where nothing else is said.
pub const SESSIONS_USUAL: usize = 8;
/// More sessions than this are not opened.
pub const SESSIONS_MAX: usize = 256;
/// The longest PIN, bytes.
pub const PIN_BYTES_MAX: usize = 256;
/// How long a caller waits for a free session.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a use is tried: as it is, with new sessions, with the module started anew.
const TRIES: usize = 3;

/// Which token of a module is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenName {
    /// The one with this label.
    Label(String),
    /// The one with this serial number.
    Serial(String),
}

/// How a blocking call is run; see [`Token::stepping_aside`].
pub type Aside = fn(&mut dyn FnMut());

/// A token and the login to it. Cloning shares both.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    module: Module,
    name: TokenName,
    sessions: Sessions,
    login: Mutex<Login>,
    aside: Aside,
}

/// What is known of the PIN.
enum Login {
    /// Nobody said one, or the operator logged out.
    None,
    /// It worked, or was not tried yet.
    Pin(AuthPin),
    /// The token refused it: it is not tried again.
    Refused,
}

/// What a token says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenStatus {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its maker.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// How many wrong PINs it still takes.
    pub pin: PinState,
    /// Nothing can be made or deleted in it.
    pub write_protected: bool,
}

/// How many wrong PINs a token still takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    /// Some.
    Good,
    /// A wrong one was said since the last right one.
    Low,
    /// The next wrong one locks it.
    FinalTry,
    /// None: its security officer must unlock it.
    Locked,
    /// It has no user PIN yet.
    Missing,
}

impl Token {
    /// A token of a module. Nothing is asked of it yet: it may be absent, and come later.
    pub fn new(module: Module, name: TokenName, sessions_max: usize) -> Self {
        let sessions = Sessions::new(sessions_max.clamp(1, SESSIONS_MAX), WAIT_MAX);
        let login = Mutex::new(Login::None);
        Self(Arc::new(Inner { module, name, sessions, login, aside: |call| call() }))
    }

    /// Calls of the token are run by this function from now on: an async runtime gives one that lets the other tasks of the thread go
    /// on elsewhere. To be said before the token is shared; later it does nothing.
    #[must_use]
    pub fn stepping_aside(mut self, aside: Aside) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.aside = aside;
        }
        self
    }

    /// Which one it is.
    pub fn name(&self) -> &TokenName {
        &self.0.name
    }

    /// Takes a PIN for later, without trying it now: for a token that may be absent.
    pub fn remember_pin(&self, pin: &str) -> Result<(), TokenError> {
        let pin = checked(pin)?;
        *self.login_state() = Login::Pin(pin);
        Ok(())
    }

    /// Logs in with this PIN. Where somebody is logged in already, nothing changes and the PIN is not looked at.
    pub fn login(&self, pin: &str) -> Result<(), TokenError> {
        let pin = checked(pin)?;
        if self.has_pin() && self.check().is_ok() {
            return Ok(());
        }
        let before = std::mem::replace(&mut *self.login_state(), Login::Pin(pin));
        // New sessions: the PIN is judged when one is opened.
        let _ = self.0.module.with(|module| {
            self.0.sessions.close_all(module);
            Ok(())
        });
        let outcome = self.check();
        if let Err(error) = &outcome
            && !matches!(error, TokenError::PinRefused | TokenError::PinLocked)
        {
            // The PIN was not judged: what was known before counts.
            *self.login_state() = before;
        }
        outcome
    }

    /// Forgets the PIN and logs out: nothing is signed until the next [`Self::login`].
    pub fn logout(&self) -> Result<(), TokenError> {
        *self.login_state() = Login::None;
        let sessions = &self.0.sessions;
        self.aside(&mut || {
            self.0.module.with(|module| {
                sessions.close_all(module);
                let slot = module.find(&self.0.name)?;
                let session = module.open(slot, false)?;
                let outcome = session.logout();
                let _ = session.close();
                match outcome {
                    Ok(()) | Err(Refusal::Pkcs11(RvError::UserNotLoggedIn, _)) => Ok(()),
                    Err(error) => Err(Failure::of(error)),
                }
            })
        })
        .map_err(Failure::into_error)
    }

    /// Whether it is there and takes the PIN: what a signature needs, without making one.
    pub fn check(&self) -> Result<(), TokenError> {
        self.use_session(&mut |_| Ok(()))
    }

    /// Whether a PIN is known that was not refused.
    pub fn has_pin(&self) -> bool {
        matches!(*self.login_state(), Login::Pin(_))
    }

    /// What it says about itself; it need not be logged in.
    pub fn status(&self) -> Result<TokenStatus, TokenError> {
        let ask = || {
            self.aside(&mut || {
                self.0.module.with(|module| {
                    let slot = module.find(&self.0.name)?;
                    module.status(slot)
                })
            })
        };
        let permit = self.0.sessions.permit()?;
        let mut outcome = ask();
        if matches!(outcome, Err(Failure::Lost(_))) && self.0.module.restart() {
            outcome = ask();
        }
        drop(permit);
        outcome.map_err(Failure::into_error)
    }

    /// A key of the token, for signing. The key is looked for at each use: the token may be absent now.
    pub fn key(&self, public: &PublicKey) -> SigningKey {
        let (token, of) = (self.clone(), public.clone());
        SigningKey::in_token(public.clone(), Box::new(move |input| token.sign(&of, input)))
    }

    /// The public half of the key pair with this label; `None` where there is none.
    pub fn find(&self, label: &str) -> Result<Option<PublicKey>, TokenError> {
        self.use_session(&mut |session| objects::by_label(session, label))
    }

    /// Whether the private key to this public one is in the token.
    pub fn holds(&self, public: &PublicKey) -> Result<bool, TokenError> {
        self.use_session(&mut |session| match objects::private_key(session, public) {
            Ok(_) => Ok(true),
            Err(Failure::Final(TokenError::NoKey(_))) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Makes a key pair in the token: sensitive, not extractable, for signatures only. P-256, P-384, RSA of 2048, 3072 or 4096 bits.
    pub fn generate(&self, kind: KeyKind, label: &str, random: &dyn Random) -> Result<PublicKey, TokenError> {
        let id = random_array::<16>(random);
        self.write(&mut |session| objects::generate(session, kind, label, &id))
    }

    /// Deletes a key pair for ever.
    pub fn delete(&self, public: &PublicKey) -> Result<(), TokenError> {
        self.0.sessions.forget_key(public);
        self.write(&mut |session| objects::delete(session, public))
    }

    fn sign(&self, public: &PublicKey, input: TokenInput<'_>) -> Result<Vec<u8>, TokenError> {
        self.use_session(&mut |session| {
            let key = self.0.sessions.key(public, || objects::private_key(session, public))?;
            objects::sign(session, key, input)
        })
    }

    /// Runs on a session that may write; the login of the others holds for it.
    fn write<T>(&self, work: &mut dyn FnMut(&Session) -> Result<T, Failure>) -> Result<T, TokenError> {
        self.check()?;
        let outcome = self.aside(&mut || {
            self.0.module.with(|module| {
                let slot = module.find(&self.0.name)?;
                let session = module.open(slot, true)?;
                let outcome = work(&session);
                let _ = session.close();
                outcome
            })
        });
        outcome.map_err(Failure::into_error)
    }

    fn use_session<T>(&self, work: &mut dyn FnMut(&Session) -> Result<T, Failure>) -> Result<T, TokenError> {
        self.aside(&mut || self.tries(work))
    }

    fn tries<T>(&self, work: &mut dyn FnMut(&Session) -> Result<T, Failure>) -> Result<T, TokenError> {
        let _permit = self.0.sessions.permit()?;
        let mut last = None;
        for attempt in 0..TRIES {
            // Some modules notice a token that came back only when they are started anew.
            if attempt == TRIES - 1 && !self.0.module.restart() {
                break;
            }
            match self.once(work) {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Lost(error)) => last = Some(error),
            }
        }
        Err(last.unwrap_or(TokenError::Busy))
    }

    fn once<T>(&self, work: &mut dyn FnMut(&Session) -> Result<T, Failure>) -> Result<T, Failure> {
        self.0.module.with(|module| {
            if !self.has_pin() {
                return Err(Failure::Final(self.without_pin()));
            }
            let lease = self.0.sessions.lease(module, || self.open(module))?;
            let outcome = work(&lease.session);
            match &outcome {
                Err(Failure::Lost(_)) => {
                    let _ = lease.session.close();
                    self.0.sessions.close_all(module);
                }
                // A session may be left in the middle of an operation.
                Err(Failure::Final(_)) => drop(lease.session.close()),
                Ok(_) => self.0.sessions.keep(lease, module),
            }
            outcome
        })
    }

    /// A new session, logged in. One caller at a time: two must not spend two tries of the same wrong PIN.
    fn open(&self, module: &module::Running) -> Result<Session, Failure> {
        let mut login = self.login_state();
        let Login::Pin(pin) = &*login else { return Err(Failure::Final(Self::reason(&login))) };
        let session = module.open(module.find(&self.0.name)?, false)?;
        match session.login(UserType::User, Some(pin)) {
            Ok(()) | Err(Refusal::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                let _ = session.close();
                let failure = Failure::of(error);
                if matches!(failure, Failure::Final(TokenError::PinRefused | TokenError::PinLocked)) {
                    *login = Login::Refused;
                }
                Err(failure)
            }
        }
    }

    fn without_pin(&self) -> TokenError {
        Self::reason(&self.login_state())
    }

    const fn reason(login: &Login) -> TokenError {
        match login {
            Login::Refused => TokenError::PinRefused,
            Login::None | Login::Pin(_) => TokenError::LoggedOut,
        }
    }

    fn login_state(&self) -> std::sync::MutexGuard<'_, Login> {
        self.0.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a blocking call as the owner of the token said.
    fn aside<T, E>(&self, call: &mut dyn FnMut() -> Result<T, E>) -> Result<T, E>
    where
        E: From<TokenError>,
    {
        let mut outcome = None;
        (self.0.aside)(&mut || outcome = Some(call()));
        outcome.unwrap_or_else(|| Err(TokenError::Busy.into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Token({:?} of {})", self.0.name, self.0.module.path().display())
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(formatter, "with the label `{label}`"),
            Self::Serial(serial) => write!(formatter, "with the serial number `{serial}`"),
        }
    }
}

fn checked(pin: &str) -> Result<AuthPin, TokenError> {
    if pin.is_empty() || pin.len() > PIN_BYTES_MAX {
        return Err(TokenError::PinLength);
    }
    Ok(AuthPin::new(pin.into()))
}
