use std::fmt;

use civic::{NationalNumber, PersonId, Random, Timestamp, random_array};

/// A citizen to be enrolled, as the authority that sends the letter knows them.
#[derive(Clone)]
pub struct NewCitizen {
    /// The internal number.
    pub person: PersonId,
    /// The number on the card: the login name.
    pub national_number: NationalNumber,
    /// The name to show.
    pub display_name: String,
    /// The phone in E.164 form (`+221771234567`); `None` for somebody without one.
    pub phone: Option<String>,
    /// The PIN of the letter; `None` where the citizen chooses one at first use.
    pub pin: Option<String>,
    /// The activation code of the letter. It works once.
    pub activation_code: String,
}

impl fmt::Debug for NewCitizen {
    /// Secrets and personal data stay out of logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NewCitizen").field("person", &self.person).finish_non_exhaustive()
    }
}

/// An account as the login reads it.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) person: PersonId,
    pub(crate) national_number: NationalNumber,
    pub(crate) display_name: String,
    pub(crate) phone: Option<String>,
    pub(crate) pin_hash: Option<String>,
    pub(crate) activation_mac: Option<Vec<u8>>,
    pub(crate) activated_at: Option<Timestamp>,
}

impl Account {
    /// Whether the letter was used.
    pub(crate) const fn is_active(&self) -> bool {
        self.activated_at.is_some()
    }

    /// The phone with all but the last two digits hidden: enough to know which phone to pick up.
    pub(crate) fn phone_hint(&self) -> String {
        let phone = self.phone.as_deref().unwrap_or_default();
        let shown = phone.chars().count().saturating_sub(2);
        let tail: String = phone.chars().skip(shown).collect();
        format!("•• •• {tail}")
    }
}

/// How many characters an activation code has, without the hyphen.
pub const ACTIVATION_CODE_LENGTH: usize = 8;

/// Draws an activation code for a letter: `K7PX-2MQF`, 40 bits, without letters and digits that look alike.
pub fn draw_activation_code(random: &dyn Random) -> String {
    // 32 signs, so that five bits of a byte choose one without bias.
    const SIGNS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut code = String::with_capacity(ACTIVATION_CODE_LENGTH + 1);
    for (position, byte) in random_array::<ACTIVATION_CODE_LENGTH>(random).into_iter().enumerate() {
        if position == ACTIVATION_CODE_LENGTH / 2 {
            code.push('-');
        }
        code.push(SIGNS.get(usize::from(byte & 31)).copied().map_or('A', char::from));
    }
    code
}

/// Draws a PIN of six digits for a letter; never one that [`weak_pin`] refuses.
pub fn draw_pin(random: &dyn Random) -> String {
    loop {
        let pin = draw_digits(random);
        if !weak_pin(&pin) {
            return pin;
        }
    }
}

/// Six random digits; the bias of the remainder over 2^64 is below 10^-13.
pub(crate) fn draw_digits(random: &dyn Random) -> String {
    format!("{:06}", u64::from_be_bytes(random_array::<8>(random)) % 1_000_000)
}

/// An activation code as it is compared: upper case, letters and digits only, at most 32 of them.
pub(crate) fn normal_activation_code(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphanumeric).map(|sign| sign.to_ascii_uppercase()).take(32).collect()
}

/// The digits of a code or PIN as people type them, with spaces or hyphens; at most 16.
pub(crate) fn normal_digits(typed: &str) -> String {
    typed.chars().filter(|sign| !sign.is_whitespace() && *sign != '-').take(16).collect()
}

/// Whether a PIN is not six digits, or is among the first that anybody would try: repeated, counted up or down, two or three
/// signs repeated, or a part of the national number.
pub fn weak_pin(pin: &str) -> bool {
    let digits = pin.as_bytes();
    if digits.len() != 6 || !digits.iter().all(u8::is_ascii_digit) {
        return true;
    }
    let steps: Vec<i16> =
        digits.windows(2).filter_map(|pair| Some(i16::from(*pair.get(1)?) - i16::from(*pair.first()?))).collect();
    let even = steps.iter().all(|step| Some(step) == steps.first() && step.abs() <= 1);
    let (front, back) = digits.split_at(3);
    let doubled = digits.chunks(2).all(|chunk| Some(chunk) == digits.get(..2));
    even || front == back || doubled
}

#[cfg(test)]
mod tests {
    use civic::testing::SeededRandom;

    use super::*;

    #[test]
    fn pins_that_everybody_tries_are_weak() {
        for pin in ["000000", "123456", "654321", "121212", "123123", "12345", "12345a", "1234567"] {
            assert!(weak_pin(pin), "{pin}");
        }
        for pin in ["482915", "135790", "112233"] {
            assert!(!weak_pin(pin), "{pin}");
        }
    }

    #[test]
    fn drawn_codes_have_their_shape_and_read_back_as_typed() {
        let random = SeededRandom::new(7);
        for _ in 0..200 {
            assert!(!weak_pin(&draw_pin(&random)));
            let code = draw_activation_code(&random);
            assert_eq!(code.len(), 9);
            assert_eq!(normal_activation_code(&format!(" {} ", code.to_lowercase())), code.replace('-', ""));
        }
        assert_eq!(normal_digits(" 123 456"), "123456");
    }
}
