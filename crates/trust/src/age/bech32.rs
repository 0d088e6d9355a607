//! Bech32 (BIP 173) as age uses it: no limit of 90 characters, lower or upper case but not mixed.

const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM: usize = 6;
const TEXT_MAX: usize = 200;

/// The text of these bytes, in lower case. The prefix must be in lower case.
pub(super) fn encode(prefix: &str, bytes: &[u8]) -> String {
    let data = regroup(bytes, 8, 5, true).unwrap_or_default();
    let mut values = expanded(prefix);
    values.extend_from_slice(&data);
    values.extend_from_slice(&[0; CHECKSUM]);
    let check = polymod(&values) ^ 1;
    let checksum = (0..CHECKSUM).map(|place| ((check >> (5 * (5 - place))) & 31) as u8);
    let letters = data.iter().copied().chain(checksum).filter_map(|value| CHARSET.get(usize::from(value)));
    let mut text = format!("{prefix}1");
    text.extend(letters.map(|letter| char::from(*letter)));
    text
}

/// The bytes of such a text; `None` where prefix, case, letters, padding or checksum are wrong.
pub(super) fn decode(prefix: &str, text: &str) -> Option<Vec<u8>> {
    let mixed =
        text.bytes().any(|byte| byte.is_ascii_lowercase()) && text.bytes().any(|byte| byte.is_ascii_uppercase());
    if text.len() > TEXT_MAX || !text.is_ascii() || mixed {
        return None;
    }
    let (text, prefix) = (text.to_ascii_lowercase(), prefix.to_ascii_lowercase());
    let letters = text.strip_prefix(&prefix)?.strip_prefix('1')?;
    let place =
        |letter: u8| CHARSET.iter().position(|known| *known == letter).and_then(|place| u8::try_from(place).ok());
    let data: Vec<u8> = letters.bytes().map(place).collect::<Option<_>>()?;
    let mut values = expanded(&prefix);
    values.extend_from_slice(&data);
    let length = data.len().checked_sub(CHECKSUM)?;
    if polymod(&values) != 1 {
        return None;
    }
    regroup(data.get(..length)?, 5, 8, false)
}

fn expanded(prefix: &str) -> Vec<u8> {
    let mut values: Vec<u8> = prefix.bytes().map(|byte| byte >> 5).collect();
    values.push(0);
    values.extend(prefix.bytes().map(|byte| byte & 31));
    values
}

fn polymod(values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.iter().fold(1_u32, |check, value| {
        let top = check >> 25;
        let next = ((check & 0x01ff_ffff) << 5) ^ u32::from(*value);
        GENERATOR.iter().enumerate().fold(next, |sum, (bit, part)| if (top >> bit) & 1 == 1 { sum ^ part } else { sum })
    })
}

/// Bits in groups of another size; without padding the bits left over must be few and zero.
fn regroup(values: &[u8], from: u32, to: u32, pad: bool) -> Option<Vec<u8>> {
    let (mut held, mut bits) = (0_u32, 0_u32);
    let mut out = Vec::with_capacity(values.len() * from as usize / to as usize + 1);
    let mask = (1_u32 << to) - 1;
    for value in values {
        held = ((held << from) | u32::from(*value)) & 0xffff;
        bits += from;
        while bits >= to {
            bits -= to;
            out.push(((held >> bits) & mask) as u8);
        }
    }
    let left = held & ((1 << bits) - 1);
    if pad {
        if bits > 0 {
            out.push(((left << (to - bits)) & mask) as u8);
        }
    } else if bits >= from || left != 0 {
        return None;
    }
    Some(out)
}
