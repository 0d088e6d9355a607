use std::sync::Arc;

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

/// A version 4 UUID (RFC 9562 §5.4), lower case with hyphens.
pub fn random_uuid(random: &dyn Random) -> String {
    uuid::Builder::from_random_bytes(random_array::<16>(random)).into_uuid().to_string()
}
