//! When the servers of the authority were asked last, and how that ended: what diagnostics tell.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use civic::Timestamp;

/// Addresses that are remembered; when there are more, the one that was asked longest ago goes.
const ADDRESSES_MAX: usize = 256;

/// How the last attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) at: Timestamp,
    /// Why it failed; `None` where it did not.
    pub(crate) error: Option<String>,
}

/// The last attempt at each address.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<BTreeMap<String, Attempt>>);

impl Attempts {
    pub(crate) fn note(&self, address: &str, attempt: Attempt) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES_MAX && !all.contains_key(address) {
            let oldest = all.iter().min_by_key(|(_, kept)| kept.at).map(|(address, _)| address.clone());
            oldest.map(|address| all.remove(&address));
        }
        all.insert(address.to_owned(), attempt);
    }

    pub(crate) fn of(&self, address: &str) -> Option<Attempt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }

    /// What failed since then, each with its address.
    pub(crate) fn failures_since(&self, since: Timestamp) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = all.iter().filter(|(_, attempt)| attempt.at >= since);
        recent.filter_map(|(address, attempt)| Some(format!("{address}: {}", attempt.error.as_ref()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(second: i64, error: Option<&str>) -> Attempt {
        Attempt { at: Timestamp::from_seconds(second), error: error.map(str::to_owned) }
    }

    #[test]
    fn the_last_attempt_counts_and_old_failures_are_not_told_again() {
        let attempts = Attempts::default();
        attempts.note("http://one", attempt(1, Some("refused")));
        attempts.note("http://two", attempt(2, Some("gone")));
        assert_eq!(attempts.failures_since(Timestamp::from_seconds(2)), ["http://two: gone"]);
        attempts.note("http://two", attempt(3, None));
        assert_eq!(attempts.of("http://two"), Some(attempt(3, None)));
        assert_eq!(attempts.failures_since(Timestamp::from_seconds(1)), ["http://one: refused"]);
    }

    #[test]
    fn no_more_addresses_are_remembered_than_a_node_can_hold() {
        let attempts = Attempts::default();
        for second in 0..300 {
            attempts.note(&format!("http://{second}"), attempt(second, None));
        }
        assert_eq!(attempts.0.lock().unwrap().len(), ADDRESSES_MAX);
        assert!(attempts.of("http://0").is_none() && attempts.of("http://299").is_some());
    }
}
