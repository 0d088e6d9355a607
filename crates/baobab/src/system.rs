//! The real clock and the real randomness; everything below takes them as arguments.

use std::time::{SystemTime, UNIX_EPOCH};

use civic::{Clock, Random, Timestamp};

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place of the house that reads the clock of the machine")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The randomness of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness nothing here is safe: stopping is the only honest answer.
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}
