//! How often strangers may ask.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use civic::Timestamp;

/// A bucket of permissions: full at first, one more after each pause.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: u32,
    pause: Duration,
    state: Mutex<(f64, Option<Timestamp>)>,
}

impl Bucket {
    pub(crate) fn new(burst: u32, pause: Duration) -> Self {
        Self { burst, pause, state: Mutex::new((f64::from(burst), None)) }
    }

    /// Takes a permission, where one is left.
    pub(crate) fn take(&self, now: Timestamp) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, before) = *state;
        let elapsed = before.map_or(Duration::ZERO, |before| now.since(before));
        let filled = (left + elapsed.as_secs_f64() / self.pause.as_secs_f64()).min(f64::from(self.burst));
        let granted = filled >= 1.0;
        *state = (if granted { filled - 1.0 } else { filled }, Some(now));
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_and_then_one_after_each_pause() {
        let bucket = Bucket::new(3, Duration::from_secs(2));
        let at = |seconds: i64| Timestamp::from_seconds(1_000 + seconds);
        assert_eq!((0..4).filter(|_| bucket.take(at(0))).count(), 3);
        assert!(!bucket.take(at(1)));
        assert!(bucket.take(at(2)) && !bucket.take(at(2)));
        assert!(!bucket.take(at(0)), "a clock that goes back grants nothing");
        assert_eq!((0..9).filter(|_| bucket.take(at(1_000))).count(), 3);
    }
}
