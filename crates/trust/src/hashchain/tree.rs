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
}

/// A finished batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The hash chain result: this text is what is signed or stamped.
    pub result: String,
    /// The hash chain of each message, in the order in which they were given.
    pub chains: Vec<String>,
}

/// Builds a batch. Each message is the digests of its files: the message first, then its attachments.
pub fn build(algorithm: DigestAlgorithm, files: Files, messages: &[Vec<Vec<u8>>]) -> Result<Batch, HashChainError> {
    let alone = messages.len() == 1 && messages.iter().all(|message| message.len() < 2);
    let counted = messages.iter().all(|message| (1..=FILES_MAX).contains(&message.len()));
    if !(1..=MESSAGES_MAX).contains(&messages.len()) || alone || !counted {
        return Err(HashChainError::Count);
    }
    if let Some(odd) = messages.iter().flatten().find(|digest| digest.len() != algorithm.output_len()) {
        return Err(HashChainError::DigestLength { algorithm, expected: algorithm.output_len(), found: odd.len() });
    }
    let leaves: Vec<Vec<u8>> = messages.iter().map(|message| collapse(algorithm, message)).collect();
    let levels = levels(algorithm, leaves);
    let root = levels.last().and_then(|level| level.first()).map_or(&[][..], Vec::as_slice);
    let method = algorithm.xml_uri();
    let result = format!(
        "{DECLARATION}<HashChainResult xmlns=\"{NAMESPACE}\" xmlns:ns2=\"{XMLDSIG}\" URI=\"{}#STEP0\">\
         <ns2:DigestMethod Algorithm=\"{method}\"/><ns2:DigestValue>{}</ns2:DigestValue></HashChainResult>",
        files.chain,
        STANDARD.encode(root)
    );
    let chains = messages
        .iter()
        .enumerate()
        .map(|(place, message)| chain(algorithm, files, message, &steps_down(&levels, place)))
        .collect();
    Ok(Batch { result, chains })
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// A message with attachments counts as the step over its files; a message alone as its own digest.
fn collapse(algorithm: DigestAlgorithm, message: &[Vec<u8>]) -> Vec<u8> {
    match message {
        [alone] => alone.clone(),
        files => digest_step(algorithm, files.iter().map(Vec::as_slice)),
    }
}

fn digest_step<'d>(algorithm: DigestAlgorithm, digests: impl Iterator<Item = &'d [u8]>) -> Vec<u8> {
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

fn chain(algorithm: DigestAlgorithm, files: Files, message: &[Vec<u8>], path: &[(&[u8], bool)]) -> String {
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
            let name = if number == 0 { files.data.to_owned() } else { format!("/attachment{number}") };
            xml.push_str(&data_ref(&name, digest));
        }
        xml.push_str("</HashStep>");
    }
    xml.push_str("</HashChain>");
    xml
}

fn data_ref(name: &str, digest: &[u8]) -> String {
    format!("<DataRef URI=\"{name}\"><ns2:DigestValue>{}</ns2:DigestValue></DataRef>", STANDARD.encode(digest))
}
