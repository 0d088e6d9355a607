//! The ground that pages stand on, spoken to over HTTP.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod client;
mod guard;
mod pages;
mod sessions;

use std::sync::Arc;

use civic::testing::SeededRandom;
use civic::{Locale, SharedRandom};
use web::{Messages, Site, Text};

const FR: &str = "test-title = Demander un prêt\ntest-lead = Bonjour { $name }\n";
const EN: &str = "test-title = Ask for a loan\ntest-lead = Hello { $name }\n";

fn random() -> SharedRandom {
    Arc::new(SeededRandom::new(7))
}

fn site() -> Site {
    let messages = Messages::load(&[(Locale::Fr, FR), (Locale::En, EN)]).unwrap();
    Site::new(
        Text::new("Agence du numérique", "Digital Agency"),
        Text::new("Mon portail", "My portal"),
        "http://localhost:8600",
        Arc::new(messages),
        random(),
    )
}
