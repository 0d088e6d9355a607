//! The sessions of one token: how many are in use, those that are free, and the keys that were found through them.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use super::TokenError;
use super::error::Failure;
use super::module::Running;
use crate::keys::PublicKey;

/// Keys whose handles are remembered.
const KEYS_MAX: usize = 64;

pub(super) struct Sessions {
    max: usize,
    wait_max: Duration,
    used: Mutex<usize>,
    freed: Condvar,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Session>,
    /// Handles of private keys hold for all sessions of a login.
    keys: HashMap<Vec<u8>, ObjectHandle>,
    /// The start of the module that all this belongs to.
    generation: u64,
    /// Counts how often all sessions were given up: one that was in use then is not kept.
    epoch: u64,
}

/// A session in use.
pub(super) struct Lease {
    pub(super) session: Session,
    epoch: u64,
}

/// Leave to use one session.
pub(super) struct Permit<'a>(&'a Sessions);

impl Sessions {
    pub(super) fn new(max: usize, wait_max: Duration) -> Self {
        Self { max, wait_max, used: Mutex::new(0), freed: Condvar::new(), state: Mutex::default() }
    }

    /// Waits until fewer than the allowed number are at work.
    pub(super) fn permit(&self) -> Result<Permit<'_>, TokenError> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(used, self.wait_max, |used| *used >= self.max);
        let (mut used, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() && *used >= self.max {
            return Err(TokenError::Busy);
        }
        *used += 1;
        Ok(Permit(self))
    }

    /// A session that is free, or a new one.
    pub(super) fn lease(
        &self,
        module: &Running,
        open: impl FnOnce() -> Result<Session, Failure>,
    ) -> Result<Lease, Failure> {
        let (epoch, idle) = {
            let mut state = self.state(module);
            (state.epoch, state.idle.pop())
        };
        let session = idle.map_or_else(open, Ok)?;
        Ok(Lease { session, epoch })
    }

    pub(super) fn keep(&self, lease: Lease, module: &Running) {
        let mut state = self.state(module);
        if state.epoch == lease.epoch {
            state.idle.push(lease.session);
        } else {
            let _ = lease.session.close();
        }
    }

    pub(super) fn close_all(&self, module: &Running) {
        let mut state = self.state(module);
        state.keys.clear();
        state.epoch += 1;
        for session in state.idle.drain(..) {
            let _ = session.close();
        }
    }

    /// The handle of a private key, looked for where it is not known.
    pub(super) fn key(
        &self,
        public: &PublicKey,
        find: impl FnOnce() -> Result<ObjectHandle, Failure>,
    ) -> Result<ObjectHandle, Failure> {
        if let Some(known) = self.lock().keys.get(public.spki_der()) {
            return Ok(*known);
        }
        let found = find()?;
        let mut state = self.lock();
        if state.keys.len() >= KEYS_MAX {
            state.keys.clear();
        }
        state.keys.insert(public.spki_der().to_vec(), found);
        Ok(found)
    }

    pub(super) fn forget_key(&self, public: &PublicKey) {
        self.lock().keys.remove(public.spki_der());
    }

    /// What belongs to the present start of the module; what is older is dropped, not closed: the numbers may be others' by now.
    fn state(&self, module: &Running) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if state.generation != module.generation {
            let epoch = state.epoch + 1;
            *state = State { generation: module.generation, epoch, ..State::default() };
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}
