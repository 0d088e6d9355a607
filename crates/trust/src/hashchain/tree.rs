//! Making the tree and its chains.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{FILES_MAX, HashChainError, MESSAGES_MAX, NAMESPACE, push_single, step};
use crate::digest::DigestAlgorithm;

/// The names that chains and results use for files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// The file that a hash chain is kept as.
    pub chain: &'static str,
    /// The first file of each input; the others are `/attachment1`, `/attachment2` …
    pub data: &'static str,
}

impl Files {
    /// Batch signatures: over messages.
    pub const SIGNATURE: Self = Self { chain: "/sig-hashchain.xml", data: "/message.xml" };
    /// Batch time stamps: over signatures.
    pub const TIME_STAMP: Self = Self { chain: "/ts-hashchain.xml", data: "/META-INF/signatures.xml" };

    /// The names that go with this name of a hash chain.
    pub(super) fn of_chain(name: &str) -> Option<Self> {
        [Self::SIGNATURE, Self::TIME_STAMP].into_iter().find(|files| files.chain == name)
    }

    /// The name of the file with this number of an input, from 0.
    pub(super) fn name(self, number: usize) -> String {
        if number == 0 { self.data.to_owned() } else { format!("/attachment{number}") }
    }
}

/// A finished batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The hash chain result: this text is what is signed or stamped.
    pub result: String,
    /// The hash chain of each message, in the order in which they were given.
    pub chains: Vec<String>,
}

/// The way from a file to the root of its batch: what a hash chain says, in a quarter of its bytes. For batches of messages
/// of one file each, as time stamps have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    algorithm: DigestAlgorithm,
    /// From the root down: the digest of the sibling at each step, and whether the sibling stands on the left.
    steps: Vec<(Vec<u8>, bool)>,
}

/// Builds a batch. Each message is the digests of its files: the message first, then its attachments.
pub fn build(algorithm: DigestAlgorithm, files: Files, messages: &[Vec<Vec<u8>>]) -> Result<Batch, HashChainError> {
    if messages.iter().any(|message| !(1..=FILES_MAX).contains(&message.len())) {
        return Err(HashChainError::Count);
    }
    check_lengths(algorithm, messages.iter().flatten())?;
    let alone = messages.iter().all(|message| message.len() < 2);
    let leaves = messages.iter().map(|message| collapse(algorithm, message)).collect();
    let levels = tree(algorithm, leaves, alone)?;
    let chains = messages
        .iter()
        .enumerate()
        .map(|(place, message)| chain(algorithm, files, message, &steps_down(&levels, place)))
        .collect();
    Ok(Batch { result: result(algorithm, files, &levels), chains })
}

/// A finished batch of files that stand alone, each to be asked for its way: ten thousand ways at once are fifteen megabytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    /// The hash chain result: this text is what is stamped.
    pub result: String,
    algorithm: DigestAlgorithm,
    levels: Vec<Vec<Vec<u8>>>,
}

impl Ways {
    /// Builds the batch of the files with these digests.
    pub fn build(algorithm: DigestAlgorithm, files: Files, digests: Vec<Vec<u8>>) -> Result<Self, HashChainError> {
        check_lengths(algorithm, digests.iter())?;
        let levels = tree(algorithm, digests, true)?;
        Ok(Self { result: result(algorithm, files, &levels), algorithm, levels })
    }

    /// The digests of the files, in their order.
    pub fn digests(&self) -> impl Iterator<Item = &[u8]> {
        self.levels.first().into_iter().flatten().map(Vec::as_slice)
    }

    /// The way of the file that was given at this place.
    pub fn way(&self, place: usize) -> Way {
        let steps =
            steps_down(&self.levels, place).into_iter().map(|(sibling, left)| (sibling.to_vec(), left)).collect();
        Way { algorithm: self.algorithm, steps }
    }
}

impl Way {
    /// The hash chain of the file with this digest, as [`build`] would have written it.
    pub fn chain(&self, files: Files, digest: &[u8]) -> String {
        let steps: Vec<(&[u8], bool)> = self.steps.iter().map(|(sibling, left)| (sibling.as_slice(), *left)).collect();
        chain(self.algorithm, files, &[digest.to_vec()], &steps)
    }

    /// Reads a way that was kept: 1, how many steps, then each as 1 (sibling on the left) or 0 and the digest. `None` for anything else.
    /// Message logs of earlier versions hold such ways; none is written any more.
    pub fn from_bytes(algorithm: DigestAlgorithm, bytes: &[u8]) -> Option<Self> {
        let (&[format, count], rest) = bytes.split_first_chunk::<2>()?;
        let steps = rest.chunks(1 + algorithm.output_len());
        let whole = rest.len() == usize::from(count) * (1 + algorithm.output_len());
        if format != WAY_FORMAT || !whole {
            return None;
        }
        let step = |step: &[u8]| match step.split_first()? {
            (0, sibling) => Some((sibling.to_vec(), false)),
            (1, sibling) => Some((sibling.to_vec(), true)),
            _ => None,
        };
        Some(Self { algorithm, steps: steps.map(step).collect::<Option<_>>()? })
    }
}

const WAY_FORMAT: u8 = 1;

fn check_lengths<'d>(
    algorithm: DigestAlgorithm,
    mut digests: impl Iterator<Item = &'d Vec<u8>>,
) -> Result<(), HashChainError> {
    match digests.find(|digest| digest.len() != algorithm.output_len()) {
        None => Ok(()),
        Some(odd) => {
            Err(HashChainError::DigestLength { algorithm, expected: algorithm.output_len(), found: odd.len() })
        }
    }
}

/// The levels of the tree over these leaves; `alone` where each stands for one file, so that one leaf is no tree.
fn tree(algorithm: DigestAlgorithm, leaves: Vec<Vec<u8>>, alone: bool) -> Result<Vec<Vec<Vec<u8>>>, HashChainError> {
    if !(1..=MESSAGES_MAX).contains(&leaves.len()) || (alone && leaves.len() == 1) {
        return Err(HashChainError::Count);
    }
    Ok(levels(algorithm, leaves))
}

fn result(algorithm: DigestAlgorithm, files: Files, levels: &[Vec<Vec<u8>>]) -> String {
    result_of(algorithm, files, levels.last().and_then(|level| level.first()).map_or(&[][..], Vec::as_slice))
}

pub(super) fn result_of(algorithm: DigestAlgorithm, files: Files, root: &[u8]) -> String {
    format!(
        "{DECLARATION}<HashChainResult xmlns=\"{NAMESPACE}\" xmlns:ns2=\"{XMLDSIG}\" URI=\"{}#STEP0\">\
         <ns2:DigestMethod Algorithm=\"{}\"/><ns2:DigestValue>{}</ns2:DigestValue></HashChainResult>",
        files.chain,
        algorithm.xml_uri(),
        STANDARD.encode(root)
    )
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// A message with attachments counts as the step over its files; a message alone as its own digest.
pub(super) fn collapse(algorithm: DigestAlgorithm, message: &[Vec<u8>]) -> Vec<u8> {
    match message {
        [alone] => alone.clone(),
        files => digest_step(algorithm, files.iter().map(Vec::as_slice)),
    }
}

pub(super) fn digest_step<'d>(algorithm: DigestAlgorithm, digests: impl Iterator<Item = &'d [u8]>) -> Vec<u8> {
    let mut singles = Vec::with_capacity(256);
    for digest in digests {
        push_single(algorithm, digest, &mut singles);
    }
    algorithm.digest(&step(&singles))
}

/// The tree from the leaves up; a node without a sibling rises as it is.
fn levels(algorithm: DigestAlgorithm, leaves: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut levels = Vec::new();
    let mut level = leaves;
    while level.len() > 1 {
        let above = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => digest_step(algorithm, [left.as_slice(), right.as_slice()].into_iter()),
                other => other.concat(),
            })
            .collect();
        levels.push(std::mem::replace(&mut level, above));
    }
    levels.push(level);
    levels
}

/// From the root down to a leaf: the digest of the sibling at each step, and whether the sibling stands on the left.
fn steps_down(levels: &[Vec<Vec<u8>>], leaf: usize) -> Vec<(&[u8], bool)> {
    let mut path = Vec::with_capacity(levels.len());
    let mut place = leaf;
    for level in levels {
        if let Some(sibling) = level.get(place ^ 1) {
            path.push((sibling.as_slice(), place % 2 == 1));
        }
        place /= 2;
    }
    path.reverse();
    path
}

pub(super) fn chain(algorithm: DigestAlgorithm, files: Files, message: &[Vec<u8>], path: &[(&[u8], bool)]) -> String {
    let mut xml = format!(
        "{DECLARATION}<HashChain xmlns=\"{NAMESPACE}\" xmlns:ns2=\"{XMLDSIG}\"><DefaultDigestMethod Algorithm=\"{}\"/>",
        algorithm.xml_uri()
    );
    for (number, (sibling, left)) in path.iter().enumerate() {
        let sibling = format!("<HashValue><ns2:DigestValue>{}</ns2:DigestValue></HashValue>", STANDARD.encode(sibling));
        let below = match message {
            [alone] if number + 1 == path.len() => data_ref(files.data, alone),
            _ => format!("<StepRef URI=\"#STEP{}\"/>", number + 1),
        };
        let (first, second) = if *left { (sibling, below) } else { (below, sibling) };
        // Writing to a String cannot fail.
        let _ = write!(xml, "<HashStep id=\"STEP{number}\">{first}{second}</HashStep>");
    }
    if message.len() > 1 {
        let _ = write!(xml, "<HashStep id=\"STEP{}\">", path.len());
        for (number, digest) in message.iter().enumerate() {
            xml.push_str(&data_ref(&files.name(number), digest));
        }
        xml.push_str("</HashStep>");
    }
    xml.push_str("</HashChain>");
    xml
}

fn data_ref(name: &str, digest: &[u8]) -> String {
    format!("<DataRef URI=\"{name}\"><ns2:DigestValue>{}</ns2:DigestValue></DataRef>", STANDARD.encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as earlier versions wrote them: never to be edited.
    fn as_kept(way: &Way) -> Vec<u8> {
        let mut bytes = vec![1, u8::try_from(way.steps.len()).unwrap()];
        for (sibling, left) in &way.steps {
            bytes.push(u8::from(*left));
            bytes.extend_from_slice(sibling);
        }
        bytes
    }

    #[test]
    fn a_way_says_what_its_hash_chain_says_and_reads_back() {
        for count in [2_u8, 3, 5, 8, 100] {
            let digests: Vec<Vec<u8>> = (0..count).map(|number| vec![number; 64]).collect();
            let messages: Vec<Vec<Vec<u8>>> = digests.iter().map(|digest| vec![digest.clone()]).collect();
            let batch = build(DigestAlgorithm::Sha512, Files::TIME_STAMP, &messages).unwrap();
            let ways = Ways::build(DigestAlgorithm::Sha512, Files::TIME_STAMP, digests.clone()).unwrap();
            assert_eq!(ways.result, batch.result);
            for (place, (digest, chain)) in digests.iter().zip(&batch.chains).enumerate() {
                let kept = Way::from_bytes(DigestAlgorithm::Sha512, &as_kept(&ways.way(place))).unwrap();
                assert_eq!(kept.chain(Files::TIME_STAMP, digest), *chain);
            }
        }
    }

    #[test]
    fn a_way_that_is_cut_or_too_long_or_of_another_kind_is_not_read() {
        let digests = vec![vec![1; 64], vec![2; 64], vec![3; 64]];
        let ways = Ways::build(DigestAlgorithm::Sha512, Files::TIME_STAMP, digests).unwrap();
        let bytes = as_kept(&ways.way(0));
        for end in 0..bytes.len() {
            assert_eq!(Way::from_bytes(DigestAlgorithm::Sha512, &bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(Way::from_bytes(DigestAlgorithm::Sha512, &[bytes.as_slice(), &[0]].concat()), None);
        assert_eq!(Way::from_bytes(DigestAlgorithm::Sha512, b"<?xml version=\"1.0\"?>"), None);
        assert_eq!(Way::from_bytes(DigestAlgorithm::Sha256, &bytes), None);
        let mut neither = bytes;
        neither[2] = 2;
        assert_eq!(Way::from_bytes(DigestAlgorithm::Sha512, &neither), None);
    }
}
