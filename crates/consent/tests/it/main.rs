//! The consent service and the access journal, on every storage engine at hand.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod decide;
mod grants;
mod http;
mod ledger;

use std::sync::Arc;

use civic::testing::{SeededRandom, TestClock};
use civic::{NationalNumber, SharedClock, SharedRandom};

const NOW: &str = "2026-11-21T22:40:00Z";
const BANK: &str = "BB/COM/2001/credit";
const FISC: &str = "BB/GOV/1002/fisc";
const INCOME: &str = "BB/GOV/1002/fisc/income-statement";
const AWA: &str = "2K05201200108";
const MOUSSA: &str = "17511987 00421";

fn clock() -> Arc<TestClock> {
    Arc::new(TestClock::at(NOW))
}

fn shared(clock: &Arc<TestClock>) -> SharedClock {
    Arc::<TestClock>::clone(clock)
}

fn random(seed: u64) -> SharedRandom {
    Arc::new(SeededRandom::new(seed))
}

fn number(text: &str) -> NationalNumber {
    text.parse().unwrap()
}

/// A person id with its check digit.
fn person() -> String {
    civic::PersonId::draw(&SeededRandom::new(99)).to_string()
}
