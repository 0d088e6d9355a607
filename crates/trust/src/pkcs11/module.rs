//! The shared library of a token's maker.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Refusal, RvError};
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::error::Failure;
use super::{PinState, TokenError, TokenName, TokenStatus};

/// A module that fails is not started anew more often.
const RESTART_EVERY: Duration = Duration::from_secs(2);

/// A PKCS#11 module, loaded and initialised. Cloning shares it. A process loads a module once: its state belongs to the process.
#[derive(Clone)]
pub struct Module(Arc<Inner>);

struct Inner {
    path: PathBuf,
    running: RwLock<Running>,
    restarted: Mutex<Option<Instant>>,
}

/// The module between two starts; sessions of before an earlier start are void.
pub(super) struct Running {
    calls: Pkcs11,
    /// Counts the starts.
    pub(super) generation: u64,
}

impl Module {
    /// Loads the shared library and initialises it. Its code runs in this process: the file must be as trustworthy as the program.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let unusable = |error: Refusal| {
            let reason = match error {
                // Its text repeats the path.
                Refusal::LibraryLoading(error) => format!("the system says: {error}"),
                error => error.to_string(),
            };
            TokenError::Module { path: path.display().to_string(), reason }
        };
        let calls = Pkcs11::new(path).map_err(unusable)?;
        initialise(&calls).map_err(unusable)?;
        let running = RwLock::new(Running { calls, generation: 0 });
        Ok(Self(Arc::new(Inner { path: path.to_owned(), running, restarted: Mutex::new(None) })))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The tokens that are present now.
    pub fn tokens(&self) -> Result<Vec<TokenStatus>, TokenError> {
        let all =
            self.with(|module| Ok(module.slots()?.into_iter().filter_map(|slot| module.status(slot).ok()).collect()));
        all.map_err(Failure::into_error)
    }

    /// Runs with the module; it is not started anew meanwhile.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Running) -> Result<T, Failure>) -> Result<T, Failure> {
        work(&self.0.running.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the module and starts it anew, unless it is in use or this was just done; true where it is fresh.
    pub(super) fn restart(&self) -> bool {
        let Ok(mut running) = self.0.running.try_write() else { return false };
        let mut restarted = self.0.restarted.lock().unwrap_or_else(PoisonError::into_inner);
        if restarted.is_some_and(|last| last.elapsed() < RESTART_EVERY) {
            return false;
        }
        *restarted = Some(Instant::now());
        running.generation += 1;
        let _ = running.calls.clone().finalize();
        initialise(&running.calls).is_ok()
    }
}

impl Running {
    /// The slot of a token.
    pub(super) fn find(&self, name: &TokenName) -> Result<Slot, Failure> {
        let mut found = None;
        for slot in self.slots()? {
            let Ok(info) = self.calls.get_token_info(slot) else { continue };
            let fits = match name {
                TokenName::Label(label) => info.label() == label,
                TokenName::Serial(serial) => info.serial_number() == serial,
            };
            if fits && info.token_initialized() && found.replace(slot).is_some() {
                return Err(Failure::Final(TokenError::Ambiguous(name.to_string())));
            }
        }
        found.ok_or_else(|| Failure::Lost(TokenError::Absent(name.to_string())))
    }

    /// A new session. It is closed by hand: after a restart its number may be that of another one.
    pub(super) fn open(&self, slot: Slot, writing: bool) -> Result<Session, Failure> {
        let opened =
            if writing { self.calls.open_rw_session_no_drop(slot) } else { self.calls.open_ro_session_no_drop(slot) };
        opened.map_err(Failure::of)
    }

    pub(super) fn status(&self, slot: Slot) -> Result<TokenStatus, Failure> {
        let info = self.calls.get_token_info(slot).map_err(Failure::of)?;
        if !info.token_initialized() {
            return Err(Failure::Final(TokenError::Unreadable("the token is empty: initialise it".to_owned())));
        }
        Ok(TokenStatus {
            label: info.label().to_owned(),
            serial: info.serial_number().to_owned(),
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            pin: if !info.user_pin_initialized() {
                PinState::Missing
            } else if info.user_pin_locked() {
                PinState::Locked
            } else if info.user_pin_final_try() {
                PinState::FinalTry
            } else if info.user_pin_count_low() {
                PinState::Low
            } else {
                PinState::Good
            },
            write_protected: info.write_protected(),
        })
    }

    /// A slot whose token is gone may be among them still.
    fn slots(&self) -> Result<Vec<Slot>, Failure> {
        self.calls.get_slots_with_token().map_err(Failure::of)
    }
}

fn initialise(calls: &Pkcs11) -> Result<(), Refusal> {
    match calls.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Refusal::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        other => other,
    }
}
