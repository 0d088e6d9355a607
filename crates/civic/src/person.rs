use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Random, random_array};

/// The internal number of a person: ten random digits whose last is a Verhoeff check digit, never starting with 0 or 1.
/// It says nothing about the person, is never printed on a form, and is not the national number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PersonId(String);

/// Why a text is no number of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PersonIdError {
    /// An internal number has ten digits and does not start with 0 or 1.
    #[error("a person id has ten digits and starts with 2 to 9")]
    Shape,
    /// The check digit shows a typing error.
    #[error("the check digit does not fit: a digit was mistyped or two were swapped")]
    CheckDigit,
    /// A national number has the shape S CCC YYYY NNNNN.
    #[error("a national number has 13 characters: 1 or 2, the centre (3), the year (4), the order number (5)")]
    NationalNumber,
}

impl PersonId {
    /// Draws a new internal number.
    pub fn draw(random: &dyn Random) -> Self {
        let bytes = random_array::<8>(random);
        // Nine digits from 200000000 to 999999999; the bias of the remainder over 2^64 is below 10^-10.
        let body = 200_000_000 + u64::from_be_bytes(bytes) % 800_000_000;
        let body = body.to_string();
        let check = verhoeff_check_digit(&body);
        Self(format!("{body}{check}"))
    }

    /// The ten digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for PersonId {
    type Err = PersonIdError;

    fn from_str(text: &str) -> Result<Self, PersonIdError> {
        let shaped =
            text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with(['0', '1']);
        if !shaped {
            return Err(PersonIdError::Shape);
        }
        let (body, check) = text.split_at(9);
        if verhoeff_check_digit(body).to_string() != check {
            return Err(PersonIdError::CheckDigit);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PersonId {
    type Error = PersonIdError;

    fn try_from(text: String) -> Result<Self, PersonIdError> {
        text.parse()
    }
}

impl From<PersonId> for String {
    fn from(id: PersonId) -> Self {
        id.0
    }
}

/// The national number on the card, of the Senegalese shape `S CCC YYYY NNNNN`: sex (1 or 2), civil-status centre
/// (alphanumeric), year of the act, order number. It carries no public check digit, leaks sex, place and year, and can be
/// guessed: it is neither a secret nor a subject identifier.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NationalNumber(String);

impl NationalNumber {
    /// The thirteen characters without spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number as it is printed on the card: `1 751 1987 00421`.
    pub fn grouped(&self) -> String {
        let parts = [self.0.get(..1), self.0.get(1..4), self.0.get(4..8), self.0.get(8..)];
        parts.map(Option::unwrap_or_default).join(" ")
    }
}

impl FromStr for NationalNumber {
    type Err = PersonIdError;

    /// Accepts spaces, hyphens and lower case, as people type it.
    fn from_str(text: &str) -> Result<Self, PersonIdError> {
        let normal: String = text
            .chars()
            .filter(|character| !character.is_whitespace() && *character != '-')
            .map(|character| character.to_ascii_uppercase())
            .take(20)
            .collect();
        let bytes = normal.as_bytes();
        let shaped = bytes.len() == 13
            && matches!(bytes.first(), Some(b'1' | b'2'))
            && bytes.iter().skip(1).take(3).all(u8::is_ascii_alphanumeric)
            && bytes.iter().skip(4).all(u8::is_ascii_digit);
        if shaped { Ok(Self(normal)) } else { Err(PersonIdError::NationalNumber) }
    }
}

impl fmt::Display for NationalNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for NationalNumber {
    /// Personal data do not reach the logs by accident.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NationalNumber(…)")
    }
}

impl TryFrom<String> for NationalNumber {
    type Error = PersonIdError;

    fn try_from(text: String) -> Result<Self, PersonIdError> {
        text.parse()
    }
}

impl From<NationalNumber> for String {
    fn from(number: NationalNumber) -> Self {
        number.0
    }
}

/// Multiplication in the dihedral group D5: elements 0..4 are rotations, 5..9 reflections.
fn dihedral(left: u8, right: u8) -> u8 {
    match (left < 5, right < 5) {
        (true, true) => (left + right) % 5,
        (true, false) => 5 + (left + right - 5) % 5,
        (false, true) => 5 + (left - 5 + 5 - right) % 5,
        (false, false) => (left - 5 + 5 - (right - 5)) % 5,
    }
}

/// Verhoeff's permutation applied `times` times to a digit.
fn permuted(digit: u8, times: usize) -> u8 {
    const ONCE: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    (0..times % 8).fold(digit, |digit, _| ONCE.get(usize::from(digit)).copied().unwrap_or(0))
}

/// The check digit that Verhoeff's scheme (1969) adds to a row of digits.
fn verhoeff_check_digit(digits: &str) -> u8 {
    let sum = digits
        .bytes()
        .rev()
        .enumerate()
        .fold(0, |sum, (position, digit)| dihedral(sum, permuted(digit.wrapping_sub(b'0') % 10, position + 1)));
    // The inverse in D5: a rotation turns back, a reflection is its own inverse.
    if sum < 5 { (5 - sum) % 5 } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(std::sync::atomic::AtomicU8);

    impl Random for Counter {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0.fetch_add(37, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn the_published_example_of_verhoeff_holds() {
        assert_eq!(verhoeff_check_digit("236"), 3);
        assert_eq!(verhoeff_check_digit("12345"), 1);
        assert_eq!(verhoeff_check_digit("142857"), 0);
    }

    #[test]
    fn a_drawn_number_reads_back_and_one_typing_error_does_not() {
        let random = Counter(std::sync::atomic::AtomicU8::new(1));
        for _ in 0..100 {
            let id = PersonId::draw(&random);
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            for position in 1..10 {
                let mut digits: Vec<u8> = id.as_str().bytes().collect();
                digits[position] = b'0' + (digits[position] - b'0' + 1) % 10;
                let wrong = String::from_utf8(digits).unwrap();
                assert_eq!(wrong.parse::<PersonId>(), Err(PersonIdError::CheckDigit));
            }
        }
    }

    #[test]
    fn a_national_number_is_taken_as_people_type_it() {
        let number: NationalNumber = "2 k05 2012-00108".parse().unwrap();
        assert_eq!(number.as_str(), "2K05201200108");
        assert_eq!(number.grouped(), "2 K05 2012 00108");
        assert!("3K05201200108".parse::<NationalNumber>().is_err());
        assert!("2K0520120010".parse::<NationalNumber>().is_err());
        assert!(!format!("{number:?}").contains("K05"));
    }
}
