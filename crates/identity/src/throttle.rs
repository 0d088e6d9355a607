//! How guessing is slowed down: the delay doubles with each further failure, and a success forgives.

use std::time::Duration;

use civic::Timestamp;

/// The rule of one kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThrottlePolicy {
    /// Failures without any delay.
    pub(crate) free_failures: u32,
    /// The first delay; each further failure doubles it.
    pub(crate) delay_first: Duration,
    /// The longest delay.
    pub(crate) delay_max: Duration,
    /// Failures older than this are forgotten.
    pub(crate) memory: Duration,
}

impl ThrottlePolicy {
    /// For one national number, known or not: five attempts, then 30 s, 1 min … up to one hour. About 30 guesses a day.
    pub(crate) const ACCOUNT: Self = Self {
        free_failures: 5,
        delay_first: Duration::from_secs(30),
        delay_max: Duration::from_hours(1),
        memory: Duration::from_hours(24),
    };

    /// For one network address. Generous, because operators put whole towns behind one address.
    pub(crate) const SOURCE: Self = Self {
        free_failures: 100,
        delay_first: Duration::from_secs(5),
        delay_max: Duration::from_mins(10),
        memory: Duration::from_hours(1),
    };

    /// For the messages sent to one phone: five, then a growing wait. Protects the purse of the State and the sleep of the citizen.
    pub(crate) const SMS: Self = Self {
        free_failures: 5,
        delay_first: Duration::from_mins(1),
        delay_max: Duration::from_hours(1),
        memory: Duration::from_hours(1),
    };
}

/// What is remembered of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Throttle {
    /// Attempts counted and not forgiven.
    pub(crate) failures: u32,
    /// The last one.
    pub(crate) last: Timestamp,
}

impl Throttle {
    /// A key never seen.
    pub(crate) const fn fresh() -> Self {
        Self { failures: 0, last: Timestamp::from_micros(0) }
    }

    /// How long this key must still wait; zero where it may try.
    pub(crate) fn wait(self, policy: &ThrottlePolicy, now: Timestamp) -> Duration {
        let past = now.since(self.last);
        if past >= policy.memory || self.failures < policy.free_failures {
            return Duration::ZERO;
        }
        let doublings = (self.failures - policy.free_failures).min(20);
        let delay = policy.delay_first.saturating_mul(1 << doublings).min(policy.delay_max);
        delay.saturating_sub(past)
    }

    /// The memory after one more attempt, counted before it is checked so that parallel guesses cannot slip through.
    #[must_use]
    pub(crate) fn counted(self, policy: &ThrottlePolicy, now: Timestamp) -> Self {
        let kept = if now.since(self.last) >= policy.memory { 0 } else { self.failures };
        Self { failures: kept.saturating_add(1), last: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_grows_and_is_capped_and_forgotten() {
        let policy = ThrottlePolicy::ACCOUNT;
        let mut now = Timestamp::from_seconds(1_000_000);
        let mut throttle = Throttle::fresh();
        for _ in 0..5 {
            assert_eq!(throttle.wait(&policy, now), Duration::ZERO);
            throttle = throttle.counted(&policy, now);
        }
        assert_eq!(throttle.wait(&policy, now), Duration::from_secs(30));
        now = now.plus(Duration::from_secs(30));
        assert_eq!(throttle.wait(&policy, now), Duration::ZERO);
        throttle = throttle.counted(&policy, now);
        assert_eq!(throttle.wait(&policy, now), Duration::from_mins(1));
        for _ in 0..40 {
            throttle = throttle.counted(&policy, now);
        }
        assert_eq!(throttle.wait(&policy, now), Duration::from_hours(1));
        now = now.plus(Duration::from_hours(24));
        assert_eq!(throttle.wait(&policy, now), Duration::ZERO);
        assert_eq!(throttle.counted(&policy, now).failures, 1);
    }
}
