//! What the signatures of one signer have in common.
//!
//! Two signatures of one signer differ in a few values only: digests, signing time, signature value. Certificate, OCSP answer, policy
//! and all the markup around them are the same for as long as the OCSP answer is, and are nine tenths of the bytes. A [`Mould`] is
//! that common part. It serves twice: a signature that fits is read without being parsed, and is kept as its values.
//!
//! Why a signature that fits may be read so: outside the values it is byte for byte the signature that was parsed, and a value can
//! only be characters of base64 or of a time, none of which means anything to XML or is changed by its canonical form. So parsing it
//! would find the same structure with these values. Where that cannot be said for certain (a value is folded, or stands twice), there
//! is no mould and the signature is parsed as ever.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use civic::Timestamp;

use super::parse::{Anatomy, Signature, into_signature};
use super::{SignatureError, XADES_NAMESPACE};
use crate::digest::{DigestAlgorithm, constant_time_eq, sha256};
use crate::xml::{Document, Element, Limits};
use crate::xmldsig::XMLDSIG;

/// Signatures above this are not worth a mould.
const LENGTH_MAX: usize = 64 * 1024;
/// So many values at most.
const VALUES_MAX: usize = 32;
const FORMAT: u8 = 1;

/// The common part of signatures.
#[derive(Debug)]
pub struct Mould {
    id: [u8; 32],
    /// The signature from which it was taken.
    first: Vec<u8>,
    /// Where its values stand, in order.
    values: Vec<ValuePlace>,
    /// What is read of `first`.
    signature: Signature,
    signed_info: Canonical,
    signed_properties: Canonical,
    properties_digest: DigestAlgorithm,
}

/// A value in a signature.
#[derive(Clone, Debug)]
struct ValuePlace {
    at: Range<usize>,
    kind: ValueKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    /// The digest of the signed file with this number.
    FileDigest(usize),
    PropertiesDigest,
    SignatureValue,
    SigningTime,
}

/// A canonical form, and where the values stand in it.
#[derive(Clone, Debug)]
struct Canonical {
    bytes: Vec<u8>,
    /// The number of the value and where it begins.
    values: Vec<(usize, usize)>,
}

impl Mould {
    /// The mould of a signature; `None` where it has none: it is not whole in itself, or its values cannot be told apart for certain.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LENGTH_MAX {
            return None;
        }
        let document = Document::parse(bytes, &Limits::SMALL).ok()?;
        let anatomy = Anatomy::of(&document).ok()?;
        let values = find_values(&anatomy, bytes)?;
        let (properties_digest, properties) = anatomy.canonical_properties().ok()?;
        let signature = anatomy.read().ok()?;
        let text = |place: &ValuePlace| bytes.get(place.at.clone());
        let placed = |canonical: Vec<u8>, inside: fn(ValueKind) -> bool| {
            let mut places = Vec::new();
            for (number, place) in values.iter().enumerate().filter(|(_, place)| inside(place.kind)) {
                places.push((number, only_place(&canonical, text(place)?)?));
            }
            Some(Canonical { bytes: canonical, values: places })
        };
        let signed_info = placed(signature.signed_info_bytes().to_vec(), ValueKind::is_in_signed_info)?;
        let signed_properties = placed(properties, |kind| kind == ValueKind::SigningTime)?;
        let mut mould = Self {
            id: [0; 32],
            first: bytes.to_vec(),
            values,
            signature,
            signed_info,
            signed_properties,
            properties_digest,
        };
        mould.id = sha256(&mould.common());
        Some(mould)
    }

    /// What identifies it: the SHA-256 of [`Mould::common`].
    pub const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// Whether a signature has this common part.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        if bytes.len() != self.first.len() {
            return false;
        }
        let mut from = 0;
        for place in &self.values {
            if bytes.get(from..place.at.start) != self.first.get(from..place.at.start) {
                return false;
            }
            from = place.at.end;
        }
        let is_value = |place: &ValuePlace| bytes.get(place.at.clone()).is_some_and(|text| place.kind.allows(text));
        bytes.get(from..) == self.first.get(from..) && self.values.iter().all(is_value)
    }

    /// Reads a signature that [`fits`](Mould::fits); the same as [`Signature::parse`], which is asked where a value is no base64 after all.
    fn read(&self, bytes: &[u8]) -> Result<Signature, SignatureError> {
        let mut signature = self.signature.over(self.filled(&self.signed_info, bytes));
        let mut named = Vec::new();
        for place in &self.values {
            let text = bytes.get(place.at.clone()).unwrap_or_default();
            if place.kind == ValueKind::SigningTime {
                signature.signing_time =
                    std::str::from_utf8(text).ok().and_then(|text| Timestamp::parse_rfc3339(text).ok());
                continue;
            }
            let Some(value) = decode(text) else { return Signature::parse(bytes) };
            match place.kind {
                ValueKind::FileDigest(file) => {
                    if let Some(file) = signature.files.get_mut(file) {
                        file.digest = value;
                    }
                }
                ValueKind::PropertiesDigest => named = value,
                ValueKind::SignatureValue | ValueKind::SigningTime => signature.value = value,
            }
        }
        let properties = self.filled(&self.signed_properties, bytes);
        if !constant_time_eq(&self.properties_digest.digest(&properties), &named) {
            return Err(SignatureError::SignedProperties);
        }
        Ok(signature)
    }

    /// The canonical form with the values of a signature.
    fn filled(&self, canonical: &Canonical, bytes: &[u8]) -> Vec<u8> {
        let mut filled = canonical.bytes.clone();
        for (number, start) in &canonical.values {
            let text = self.values.get(*number).and_then(|place| bytes.get(place.at.clone())).unwrap_or_default();
            if let Some(place) = filled.get_mut(*start..start + text.len()) {
                place.copy_from_slice(text);
            }
        }
        filled
    }

    /// The common part, for keeping: 1, how many values (16 bits), where each begins and how long it is (32 bits each, big endian),
    /// then the signature without them.
    pub fn common(&self) -> Vec<u8> {
        let mut common = Vec::with_capacity(self.first.len() + 64);
        common.push(FORMAT);
        common.extend_from_slice(&u16::try_from(self.values.len()).unwrap_or(u16::MAX).to_be_bytes());
        for place in &self.values {
            for number in [place.at.start, place.at.len()] {
                common.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
            }
        }
        let mut from = 0;
        for place in &self.values {
            common.extend_from_slice(self.first.get(from..place.at.start).unwrap_or_default());
            from = place.at.end;
        }
        common.extend_from_slice(self.first.get(from..).unwrap_or_default());
        common
    }

    /// The values of a signature that [`fits`](Mould::fits), one after the other.
    pub fn values_of(&self, bytes: &[u8]) -> Vec<u8> {
        let mut values = Vec::with_capacity(512);
        for place in &self.values {
            values.extend_from_slice(bytes.get(place.at.clone()).unwrap_or_default());
        }
        values
    }

    /// The signature again, from [`Mould::common`] and [`Mould::values_of`]; `None` where they do not belong together.
    pub fn refill(common: &[u8], mut values: &[u8]) -> Option<Vec<u8>> {
        let (&[format, high, low], mut rest) = common.split_first_chunk::<3>()?;
        let count = usize::from(u16::from_be_bytes([high, low]));
        if format != FORMAT || count > VALUES_MAX {
            return None;
        }
        let mut places = Vec::with_capacity(count);
        for _ in 0..count {
            let (start, after) = rest.split_first_chunk::<4>()?;
            let (length, after) = after.split_first_chunk::<4>()?;
            places.push((u32::from_be_bytes(*start) as usize, u32::from_be_bytes(*length) as usize));
            rest = after;
        }
        let mut bytes = Vec::with_capacity(rest.len() + values.len());
        for (start, length) in places {
            let (constant, after) = rest.split_at_checked(start.checked_sub(bytes.len())?)?;
            bytes.extend_from_slice(constant);
            rest = after;
            let (value, after) = values.split_at_checked(length)?;
            bytes.extend_from_slice(value);
            values = after;
        }
        bytes.extend_from_slice(rest);
        values.is_empty().then_some(bytes)
    }
}

impl ValueKind {
    const fn is_in_signed_info(self) -> bool {
        matches!(self, Self::FileDigest(_) | Self::PropertiesDigest)
    }

    /// Whether a text has only characters of such a value: none means anything to XML.
    fn allows(self, text: &[u8]) -> bool {
        match self {
            Self::SigningTime => {
                text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b':' | b'.' | b'T' | b'Z'))
            }
            _ => text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')),
        }
    }

    /// Whether a text is such a value.
    fn is(self, text: &[u8]) -> bool {
        self.allows(text) && (self == Self::SigningTime || decode(text).is_some())
    }
}

/// Strict base64: no white space.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty())
}

/// The values of a signature in the order of the document; `None` where one is not plainly there.
fn find_values(anatomy: &Anatomy<'_, '_>, bytes: &[u8]) -> Option<Vec<ValuePlace>> {
    let mut values = Vec::new();
    let mut files = 0;
    for reference in anatomy.signed_info.named("Reference") {
        let kind = if reference.attribute("URI").and_then(into_signature).is_some() {
            ValueKind::PropertiesDigest
        } else {
            files += 1;
            ValueKind::FileDigest(files - 1)
        };
        values.push(value_place(reference.child(XMLDSIG, "DigestValue")?, kind, bytes)?);
    }
    values.push(value_place(anatomy.value, ValueKind::SignatureValue, bytes)?);
    if let Some(time) = anatomy.signed_signature().child(XADES_NAMESPACE, "SigningTime") {
        values.push(value_place(time, ValueKind::SigningTime, bytes)?);
    }
    let ascending =
        values.windows(2).all(|pair| pair.first().map(|one| one.at.end) <= pair.last().map(|one| one.at.start));
    (ascending && values.len() <= VALUES_MAX).then_some(values)
}

/// The text between the tags of an element, where it is nothing but the value.
fn value_place(element: Element<'_, '_>, kind: ValueKind, bytes: &[u8]) -> Option<ValuePlace> {
    let span = element.span();
    let text = element.text();
    let inside = bytes.get(span.clone())?;
    // The last tag of an element with text is its end tag.
    let end = span.start + inside.iter().rposition(|byte| *byte == b'<')?;
    let start = end.checked_sub(text.len())?;
    let plain = bytes.get(start..end) == Some(text.as_bytes())
        && start > span.start
        && bytes.get(start - 1) == Some(&b'>')
        && element.children().count() == 1;
    (plain && !text.is_empty() && kind.is(text.as_bytes())).then_some(ValuePlace { at: start..end, kind })
}

/// Where a text stands, where it stands once.
fn only_place(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let mut places =
        bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text).map(|(place, _)| place);
    let first = places.next()?;
    places.next().is_none().then_some(first)
}

/// The moulds that are known, the oldest given up for new ones.
#[derive(Debug)]
pub struct Moulds {
    known: Mutex<Known>,
    most: usize,
}

#[derive(Debug, Default)]
struct Known {
    by_length: HashMap<usize, Vec<Arc<Mould>>>,
    order: VecDeque<Arc<Mould>>,
}

impl Moulds {
    /// None are known; so many will be remembered at most.
    pub fn new(most: usize) -> Self {
        Self { known: Mutex::default(), most: most.max(1) }
    }

    /// The mould that a signature fits, where it is known.
    pub fn fitting(&self, signature: &[u8]) -> Option<Arc<Mould>> {
        let known = self.lock();
        known.by_length.get(&signature.len())?.iter().find(|mould| mould.fits(signature)).cloned()
    }

    /// Reads a signature: by its mould where that is known, else by parsing it.
    pub fn read(&self, signature: &[u8]) -> Result<Signature, SignatureError> {
        match self.fitting(signature) {
            Some(mould) => mould.read(signature),
            None => Signature::parse(signature),
        }
    }

    /// Remembers the mould of a signature; answers it, where the signature has one.
    pub fn learn(&self, signature: &[u8]) -> Option<Arc<Mould>> {
        if let Some(known) = self.fitting(signature) {
            return Some(known);
        }
        let mould = Arc::new(Mould::of(signature)?);
        let mut known = self.lock();
        known.by_length.entry(signature.len()).or_default().push(Arc::clone(&mould));
        known.order.push_back(Arc::clone(&mould));
        if known.order.len() > self.most
            && let Some(oldest) = known.order.pop_front()
            && let Some(same_length) = known.by_length.get_mut(&oldest.first.len())
        {
            same_length.retain(|one| !Arc::ptr_eq(one, &oldest));
        }
        Some(mould)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
