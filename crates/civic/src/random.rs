use std::sync::Arc;

use crate::Timestamp;

/// Where unpredictable bytes come from. An argument everywhere; seeded in tests and for the demo population.
pub trait Random: Send + Sync + 'static {
    /// Fills the slice with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The source of randomness as the handles of the house keep it.
pub type SharedRandom = Arc<dyn Random>;

/// `N` unpredictable bytes.
pub fn random_array<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut bytes = [0_u8; N];
    random.fill(&mut bytes);
    bytes
}

/// `N` unpredictable bytes as lower-case hexadecimal text of `2 N` characters.
pub fn random_hex<const N: usize>(random: &dyn Random) -> String {
    let mut text = String::with_capacity(2 * N);
    for byte in random_array::<N>(random) {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    text
}

/// A version 7 UUID (RFC 9562 §5.7), lower case with hyphens: the milliseconds of this moment, then unpredictable bits. Ids that are
/// indexed are made so: those of one time stand beside each other, and a commit writes few pages of an index.
pub fn time_uuid(now: Timestamp, random: &dyn Random) -> String {
    let millis = u64::try_from(now.micros() / 1_000).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random_array::<10>(random)).into_uuid().to_string()
}

/// A version 4 UUID (RFC 9562 §5.4), lower case with hyphens.
pub fn random_uuid(random: &dyn Random) -> String {
    uuid::Builder::from_random_bytes(random_array::<16>(random)).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn ids_of_one_time_stand_beside_each_other() {
        let at = |millis| time_uuid(Timestamp::from_millis(millis), &Counting);
        assert_eq!(at(1_795_300_800_123), "01a20044-367b-7707-8707-070707070707");
        assert!(at(1) < at(2) && at(2) < at(1_795_300_800_123));
    }
}
