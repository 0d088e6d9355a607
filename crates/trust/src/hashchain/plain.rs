//! Chains as [`build`](super::build) writes them, without their markup: read without a parser of XML, kept in a fifth of the bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::{chain, collapse, digest_step, result_of};
use super::{FILES_MAX, Files};
use crate::digest::DigestAlgorithm;
use crate::xml::Limits;
use crate::xmldsig::digest_algorithm;

const FORMAT: u8 = 1;

/// A hash chain and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    algorithm: DigestAlgorithm,
    files: Files,
    /// From the root down: the digest of the sibling at each step, and whether the sibling stands on the left.
    path: Vec<(Vec<u8>, bool)>,
    /// The digests of the files: the message, then its attachments.
    message: Vec<Vec<u8>>,
}

/// What stands in a step.
enum Item {
    Sibling(Vec<u8>),
    Below,
    File(Vec<u8>),
}

impl Plain {
    /// Reads a chain and its result; `None` where either is not byte for byte what [`build`](super::build) would have written.
    pub fn read(files: Files, result: &[u8], chain: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(chain).ok()?;
        let (_, rest) = text.split_once("<DefaultDigestMethod Algorithm=\"")?;
        let (uri, rest) = rest.split_once("\"/>")?;
        let mut plain = Self { algorithm: digest_algorithm(uri)?, files, path: Vec::new(), message: Vec::new() };
        for step in rest.split("<HashStep ").skip(1) {
            let mut items = items(step, plain.algorithm)?;
            match (items.pop()?, items.pop()) {
                (Item::Below, Some(Item::Sibling(left))) if items.is_empty() => plain.path.push((left, true)),
                (Item::Sibling(right), Some(Item::Below)) if items.is_empty() => plain.path.push((right, false)),
                (Item::File(file), Some(Item::Sibling(left))) if items.is_empty() => {
                    plain.path.push((left, true));
                    plain.message = vec![file];
                }
                (Item::Sibling(right), Some(Item::File(file))) if items.is_empty() => {
                    plain.path.push((right, false));
                    plain.message = vec![file];
                }
                (last, before) => {
                    items.extend(before);
                    items.push(last);
                    let file = |item| if let Item::File(digest) = item { Some(digest) } else { None };
                    plain.message = items.into_iter().map(file).collect::<Option<_>>()?;
                }
            }
        }
        plain.is_written_so(result, text).then_some(plain)
    }

    fn is_written_so(&self, result: &[u8], chain: &str) -> bool {
        let in_limits = self.path.len() < Limits::SMALL.depth_max && (1..=FILES_MAX).contains(&self.message.len());
        in_limits && self.chain() == chain && self.result().as_bytes() == result
    }

    /// The hash chain as it was written.
    pub fn chain(&self) -> String {
        let path: Vec<(&[u8], bool)> = self.path.iter().map(|(sibling, left)| (sibling.as_slice(), *left)).collect();
        chain(self.algorithm, self.files, &self.message, &path)
    }

    /// The hash chain result as it was written.
    pub fn result(&self) -> String {
        result_of(self.algorithm, self.files, &self.root())
    }

    /// The algorithm of all digests.
    pub const fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The files by their names, with their digests.
    pub fn files(&self) -> impl Iterator<Item = (String, &[u8])> {
        self.message.iter().enumerate().map(|(number, digest)| (self.files.name(number), digest.as_slice()))
    }

    fn root(&self) -> Vec<u8> {
        self.path.iter().rev().fold(collapse(self.algorithm, &self.message), |below, (sibling, left)| {
            let (first, second) = if *left { (sibling, &below) } else { (&below, sibling) };
            digest_step(self.algorithm, [first.as_slice(), second.as_slice()].into_iter())
        })
    }

    /// For keeping: 1, the length of a digest, how many steps and how many files (16 bits each, big endian), each step as 1 (sibling on the
    /// left) or 0 and the digest, then the digests of the files.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = |items: usize| u16::try_from(items).unwrap_or(u16::MAX).to_be_bytes();
        let length = self.algorithm.output_len();
        let mut bytes = Vec::with_capacity(6 + (length + 1) * (self.path.len() + self.message.len()));
        bytes.extend_from_slice(&[FORMAT, u8::try_from(length).unwrap_or(0)]);
        bytes.extend_from_slice(&count(self.path.len()));
        bytes.extend_from_slice(&count(self.message.len()));
        for (sibling, left) in &self.path {
            bytes.push(u8::from(*left));
            bytes.extend_from_slice(sibling);
        }
        for digest in &self.message {
            bytes.extend_from_slice(digest);
        }
        bytes
    }

    /// Reads what was kept; `None` for anything else.
    pub fn from_bytes(files: Files, bytes: &[u8]) -> Option<Self> {
        let (&[format, length, steps_high, steps_low, files_high, files_low], rest) = bytes.split_first_chunk::<6>()?;
        let length = usize::from(length);
        let algorithm = DigestAlgorithm::ALL.into_iter().find(|algorithm| algorithm.output_len() == length)?;
        let steps = usize::from(u16::from_be_bytes([steps_high, steps_low]));
        let (steps, message) = rest.split_at_checked(steps * (length + 1))?;
        let whole = message.len() == usize::from(u16::from_be_bytes([files_high, files_low])) * length;
        let step = |step: &[u8]| match step.split_first()? {
            (left @ (0 | 1), sibling) => Some((sibling.to_vec(), *left == 1)),
            _ => None,
        };
        let path = steps.chunks(length + 1).map(step).collect::<Option<_>>()?;
        let message = message.chunks(length).map(<[u8]>::to_vec).collect();
        (format == FORMAT && whole).then_some(Self { algorithm, files, path, message })
    }
}

/// What stands in the text of a step, in order.
fn items(step: &str, algorithm: DigestAlgorithm) -> Option<Vec<Item>> {
    let mut items = Vec::with_capacity(2);
    for element in step.split('<') {
        let file = element.starts_with("DataRef ");
        if file || element.starts_with("HashValue>") {
            items.push(if file { Item::File(Vec::new()) } else { Item::Sibling(Vec::new()) });
        } else if element.starts_with("StepRef ") {
            items.push(Item::Below);
        } else if let Some(text) = element.strip_prefix("ns2:DigestValue>") {
            let (Item::File(digest) | Item::Sibling(digest)) = items.last_mut()? else { return None };
            *digest = STANDARD.decode(text).ok().filter(|digest| digest.len() == algorithm.output_len())?;
        }
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::*;

    fn batch(algorithm: DigestAlgorithm, messages: &[usize]) -> (String, Vec<String>) {
        let digest = |message: usize, file: usize| algorithm.digest(format!("{message}/{file}").as_bytes());
        let messages: Vec<Vec<Vec<u8>>> = messages
            .iter()
            .enumerate()
            .map(|(message, files)| (0..*files).map(|file| digest(message, file)).collect())
            .collect();
        let built = build(algorithm, Files::SIGNATURE, &messages).unwrap();
        (built.result, built.chains)
    }

    #[test]
    fn what_build_wrote_is_read_kept_and_written_again() {
        for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
            for messages in [&[2][..], &[1, 1], &[1, 2, 3], &[4, 1, 1, 1, 2, 1, 1]] {
                let (result, chains) = batch(algorithm, messages);
                for (chain, files) in chains.iter().zip(messages) {
                    let plain = Plain::read(Files::SIGNATURE, result.as_bytes(), chain.as_bytes()).unwrap();
                    assert_eq!((plain.files().count(), plain.algorithm()), (*files, algorithm));
                    let kept = Plain::from_bytes(Files::SIGNATURE, &plain.to_bytes()).unwrap();
                    assert_eq!((kept.chain(), kept.result()), (chain.clone(), result.clone()));
                    assert!(5 * plain.to_bytes().len() < 2 * (chain.len() + result.len()));
                    for end in 0..plain.to_bytes().len() {
                        assert_eq!(Plain::from_bytes(Files::SIGNATURE, &plain.to_bytes()[..end]), None, "cut at {end}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_altered_character_makes_it_something_that_build_did_not_write() {
        let (result, chains) = batch(DigestAlgorithm::Sha256, &[1, 2, 1]);
        let chain = &chains[1];
        for place in 0..chain.len() {
            let mut altered = chain.clone().into_bytes();
            altered[place] ^= 1;
            assert_eq!(Plain::read(Files::SIGNATURE, result.as_bytes(), &altered), None, "byte {place}");
        }
        assert_eq!(Plain::read(Files::SIGNATURE, &result.as_bytes()[1..], chain.as_bytes()), None);
        assert_eq!(Plain::read(Files::TIME_STAMP, result.as_bytes(), chain.as_bytes()), None);
    }
}
