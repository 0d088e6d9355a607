//! The letters that the demo nation has sent: PIN and activation code of each person, the same for the same seed.

use std::sync::atomic::{AtomicU64, Ordering};

use civic::Random;
use civil::person::Person;
use identity::NewCitizen;
use serde::Serialize;
use trust::digest::hmac_sha256;

/// A citizen to log in as, as `demo.json` and the table show them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SampleCitizen {
    pub(super) name: String,
    pub(super) national_id: String,
    pub(super) pin: String,
    pub(super) activation_code: String,
    pub(super) phone: String,
}

/// Writes one person's letter. Samples get a PIN; the others choose one at first use, as slow hashes for a whole nation would
/// take minutes.
pub(super) fn citizen(seed: u64, person: &Person, sample: bool) -> NewCitizen {
    let letter = Letter::to(seed, person);
    // Drawn in this order, always both, so that the code does not depend on who is a sample.
    let pin = identity::draw_pin(&letter);
    let activation_code = identity::draw_activation_code(&letter);
    NewCitizen {
        person: person.id.clone(),
        national_number: person.national_number.clone(),
        display_name: person.display_name(),
        phone: person.phone.clone(),
        pin: sample.then_some(pin),
        activation_code,
    }
}

/// What a sample citizen's letter says.
pub(super) fn sample(seed: u64, person: &Person) -> SampleCitizen {
    let citizen = citizen(seed, person, true);
    SampleCitizen {
        name: citizen.display_name,
        national_id: person.national_number.to_string(),
        pin: citizen.pin.unwrap_or_default(),
        activation_code: citizen.activation_code,
        phone: citizen.phone.unwrap_or_default(),
    }
}

/// Repeatable bytes for one letter: HMAC of a counter under the seed and the person. Only the demo may be this predictable.
struct Letter {
    key: [u8; 32],
    counter: AtomicU64,
}

impl Letter {
    fn to(seed: u64, person: &Person) -> Self {
        let key = hmac_sha256(&seed.to_be_bytes(), person.id.as_str().as_bytes());
        Self { key, counter: AtomicU64::new(0) }
    }
}

impl Random for Letter {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = hmac_sha256(&self.key, &self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            for (byte, drawn) in chunk.iter_mut().zip(block) {
                *byte = drawn;
            }
        }
    }
}
