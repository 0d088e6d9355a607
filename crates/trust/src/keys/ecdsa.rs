//! The two forms of an ECDSA signature: r || s, and `Ecdsa-Sig-Value` (RFC 3279 §2.2.3).

use der::asn1::UintRef;
use der::{Decode, Encode, Sequence};

#[derive(Sequence)]
struct SigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// DER to r || s, each padded to `len` bytes; `None` where it is not canonical DER or a number is too long.
pub(super) fn fixed_from_der(der: &[u8], len: usize) -> Option<Vec<u8>> {
    let value = SigValue::from_der(der).ok()?;
    let mut fixed = Vec::with_capacity(2 * len);
    for number in [value.r.as_bytes(), value.s.as_bytes()] {
        let padding = len.checked_sub(number.len())?;
        fixed.resize(fixed.len() + padding, 0);
        fixed.extend_from_slice(number);
    }
    Some(fixed)
}

/// r || s to DER; `None` where the length is not `2 len`.
pub(super) fn der_from_fixed(fixed: &[u8], len: usize) -> Option<Vec<u8>> {
    if fixed.len() != 2 * len {
        return None;
    }
    let (r, s) = fixed.split_at(len);
    SigValue { r: UintRef::new(r).ok()?, s: UintRef::new(s).ok()? }.to_der().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_survive_both_forms() {
        let mut fixed = [0_u8; 64];
        fixed[31] = 1;
        fixed[32] = 0x80;
        let der = der_from_fixed(&fixed, 32).unwrap();
        assert_eq!(fixed_from_der(&der, 32).unwrap(), fixed);
        assert_eq!(der_from_fixed(&fixed, 48), None);
        assert_eq!(fixed_from_der(&der, 16), None);
    }
}
