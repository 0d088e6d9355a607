//! Why a token does not serve, and what to do about it.

use cryptoki::error::{Error as Refusal, RvError};

/// Why a token does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The shared library cannot be loaded.
    #[error("the PKCS#11 module {path} cannot be loaded ({reason}). Install it, or correct its path")]
    Module {
        /// Its path.
        path: String,
        /// What the system or the module said.
        reason: String,
    },
    /// The token is not in any slot of the module.
    #[error("there is no token {0}. Plug it in, or correct its name; work goes on by itself once it is there")]
    Absent(String),
    /// Several tokens have the label.
    #[error("several tokens are {0}: name the one that is meant by its serial number")]
    Ambiguous(String),
    /// No PIN is known.
    #[error("nobody is logged in to the token. Log in with its PIN (management API, or the PIN file and a reload)")]
    LoggedOut,
    /// The PIN is wrong.
    #[error(
        "the token refused the PIN, which is not tried again lest the token lock itself. Log in with the right one (management API, or correct the PIN file and reload)"
    )]
    PinRefused,
    /// Too many wrong PINs.
    #[error("the token is locked after too many wrong PINs. Its security officer must unlock it")]
    PinLocked,
    /// The PIN has no possible length.
    #[error("a PIN has 1 to {} bytes", super::PIN_BYTES_MAX)]
    PinLength,
    /// The private key is not there.
    #[error(
        "the token does not hold the private key of this {0} certificate, or not its public key beside it. Was it made in another token?"
    )]
    NoKey(crate::keys::KeyKind),
    /// Several keys have the label.
    #[error("several keys of the token have the label `{0}`: rename all but one, or choose another label")]
    SeveralKeys(String),
    /// The token cannot make or use such a key.
    #[error("the token does not offer {0}. Choose another kind of key, or another token")]
    Unsupported(String),
    /// What the token answered is no key of ours.
    #[error("a key of the token cannot be read: {0}")]
    Unreadable(String),
    /// All sessions are in use.
    #[error(
        "the token has no session free in time: it is slow or overloaded. Sign batches, or raise the number of sessions"
    )]
    Busy,
    /// Something else.
    #[error("the token failed: {0}. Look at the token and its module; work goes on by itself once they serve")]
    Failed(String),
    /// It answered what nobody can use.
    #[error("the token answered wrongly: {0}. Its module is defective, or the certificate belongs to another key")]
    Wrong(String),
}

/// Whether it is worth trying again with new sessions.
#[derive(Debug)]
pub(super) enum Failure {
    /// The sessions, the token or the login are gone.
    Lost(TokenError),
    /// It would fail again.
    Final(TokenError),
}

impl Failure {
    pub(super) fn of(error: Refusal) -> Self {
        let Refusal::Pkcs11(code, function) = error else { return Self::Final(TokenError::Failed(error.to_string())) };
        let failed = TokenError::Failed(format!("{function} answered {code:?}"));
        match code {
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => Self::Final(TokenError::PinRefused),
            RvError::PinLocked => Self::Final(TokenError::PinLocked),
            RvError::MechanismInvalid | RvError::CurveNotSupported | RvError::KeySizeRange => {
                Self::Final(TokenError::Unsupported(format!("what was asked of it ({function} answered {code:?})")))
            }
            RvError::SessionCount => Self::Final(TokenError::Busy),
            RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::DeviceRemoved
            | RvError::DeviceError
            | RvError::GeneralError
            | RvError::FunctionFailed
            | RvError::SlotIdInvalid
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
            | RvError::OperationActive
            | RvError::UserNotLoggedIn
            | RvError::CryptokiNotInitialized => Self::Lost(failed),
            _ => Self::Final(failed),
        }
    }

    pub(super) fn into_error(self) -> TokenError {
        match self {
            Self::Lost(error) | Self::Final(error) => error,
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::Final(error)
    }
}
