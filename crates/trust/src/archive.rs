//! Archives of the message log in X-Road's form: a zip file of ASiC-E containers and one file `linkinginfo`, which chains the
//! containers of this archive, and this archive to the one before it (X-Road UG-SS §11; protocol facts §1.7).
//!
//! The first line of `linkinginfo` names the last digest and the file of the archive before (`-` where there is none) and the digest
//! function; each further line a digest and a container: `H(hex(digest before) || hex(H(container)))`, in the order of the zip file.
//! So nobody can take a container out, put one in, or drop a whole archive unseen by whoever knows the last digest.
//!
//! [`verify_archive`] judges the chain only; the containers are judged one by one with [`crate::asic::verify_with`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Cursor, Read as _, Write as _};

use civic::Timestamp;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::asic::{entries_recorded, zip_time};
use crate::digest::DigestAlgorithm;

/// Bytes of an archive file at most, packed.
pub const ARCHIVE_BYTES_MAX: usize = 192 << 20;
/// Bytes of all files in an archive at most, unpacked.
pub const UNPACKED_BYTES_MAX: u64 = 256 << 20;
/// Containers in one archive at most.
pub const CONTAINERS_MAX: usize = 20_000;

const LINKING_INFO: &str = "linkinginfo";
const LINKING_INFO_BYTES_MAX: usize = 16 << 20;

/// Why an archive is refused, or not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Not a zip file that can be read in one way only.
    #[error("this is no archive of a message log: {0}")]
    NotArchive(&'static str),
    /// More than the limits allow.
    #[error(
        "the archive is too large: more than {ARCHIVE_BYTES_MAX} bytes, {UNPACKED_BYTES_MAX} unpacked, or {CONTAINERS_MAX} containers"
    )]
    TooLarge,
    /// The file `linkinginfo` is malformed.
    #[error("the file `linkinginfo` of the archive is malformed in line {line}: {reason}")]
    LinkingInfo {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The archive does not follow the one that it must follow.
    #[error(
        "the archive follows `{found}`, not `{expected}`: an archive between is missing, or it belongs to another chain"
    )]
    Previous {
        /// The digest that the archive before ended with; `-` for none.
        expected: String,
        /// The digest that this archive begins with; `-` for none.
        found: String,
    },
    /// The containers are not those that `linkinginfo` names.
    #[error("the archive and its `linkinginfo` do not name the same files: `{0}` is in one of them only")]
    Files(String),
    /// A container is not the one that was archived, or not at its place.
    #[error("the container `{0}` was altered, or stands at another place than when it was archived")]
    Digest(String),
}

/// What an archive must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After<'d> {
    /// Whatever it names: the verdict says which.
    Any,
    /// Nothing: it must be the first of its chain.
    Nothing,
    /// The archive that ended with this digest (hexadecimal).
    Digest(&'d str),
}

/// The archive before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// The last digest in it, hexadecimal.
    pub digest: String,
    /// Its file name.
    pub file: String,
}

/// A container in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedContainer {
    /// Its name in the archive.
    pub name: String,
    /// The digest of the chain up to and with it, hexadecimal.
    pub digest: String,
    /// Its bytes: an ASiC-E file.
    pub bytes: Vec<u8>,
}

/// An archive whose chain holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The archive that it follows; `None` for the first.
    pub previous: Option<Previous>,
    /// The digest function of the chain.
    pub algorithm: DigestAlgorithm,
    /// Its containers, at least one, in the order of the chain.
    pub containers: Vec<ArchivedContainer>,
    /// The last digest: the next archive of this chain names it.
    pub digest: String,
    /// The comment of the zip file.
    pub comment: String,
}

/// Judges an archive: every container is there, unaltered, at its place, and the archive follows the one that it must follow.
pub fn verify_archive(zip: &[u8], after: After<'_>) -> Result<Archive, ArchiveError> {
    let (files, comment) = unpack(zip)?;
    let mut info = None;
    let mut containers = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        if name == LINKING_INFO {
            info = Some(bytes);
        } else {
            containers.push((name, bytes));
        }
    }
    let info = LinkingInfo::read(&info.ok_or(ArchiveError::NotArchive("it has no file `linkinginfo`"))?)?;
    let found = info.previous.as_ref().map(|previous| previous.digest.as_str());
    let expected = match after {
        After::Any => found,
        After::Nothing => None,
        After::Digest(digest) => Some(digest),
    };
    if !expected.unwrap_or_default().eq_ignore_ascii_case(found.unwrap_or_default()) {
        let shown = |digest: Option<&str>| digest.filter(|digest| !digest.is_empty()).unwrap_or("-").to_owned();
        return Err(ArchiveError::Previous { expected: shown(expected), found: shown(found) });
    }
    if containers.is_empty() {
        return Err(ArchiveError::NotArchive("it holds no container"));
    }
    let named: BTreeSet<&str> = info.lines.keys().map(String::as_str).collect();
    let there: BTreeSet<&str> = containers.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(name) = named.symmetric_difference(&there).next() {
        return Err(ArchiveError::Files((*name).to_owned()));
    }
    let mut digest = found.unwrap_or_default().to_owned();
    let mut judged = Vec::with_capacity(containers.len());
    for (name, bytes) in containers {
        digest = next_digest(info.algorithm, &digest, &bytes);
        if info.lines.get(&name) != Some(&digest) {
            return Err(ArchiveError::Digest(name));
        }
        judged.push(ArchivedContainer { name, digest: digest.clone(), bytes });
    }
    Ok(Archive { previous: info.previous, algorithm: info.algorithm, containers: judged, digest, comment })
}

/// Makes an archive, container by container.
pub struct ArchiveBuilder {
    zip: ZipWriter<Cursor<Vec<u8>>>,
    algorithm: DigestAlgorithm,
    info: String,
    digest: String,
    bytes: usize,
    names: BTreeSet<String>,
}

impl ArchiveBuilder {
    /// An empty archive that follows another one, or is the first.
    pub fn new(algorithm: DigestAlgorithm, previous: Option<&Previous>) -> Self {
        let (digest, file) = previous.map_or(("", "-"), |previous| (previous.digest.as_str(), previous.file.as_str()));
        let shown = if digest.is_empty() { "-" } else { digest };
        Self {
            zip: ZipWriter::new(Cursor::new(Vec::new())),
            algorithm,
            info: format!("{shown} {file} {algorithm}\n"),
            digest: digest.to_owned(),
            bytes: 0,
            names: BTreeSet::new(),
        }
    }

    /// Adds a container. Its name must hold no white space and not be there yet; the time is written beside it.
    pub fn add(&mut self, name: &str, at: Timestamp, container: &[u8]) -> Result<(), ArchiveError> {
        if name.is_empty() || name == LINKING_INFO || name.contains(char::is_whitespace) {
            return Err(ArchiveError::NotArchive("the name of a container may hold no white space"));
        }
        if self.names.len() >= CONTAINERS_MAX || self.bytes + container.len() > ARCHIVE_BYTES_MAX {
            return Err(ArchiveError::TooLarge);
        }
        if !self.names.insert(name.to_owned()) {
            return Err(ArchiveError::Files(name.to_owned()));
        }
        self.put(name, at, container)?;
        self.bytes += container.len();
        self.digest = next_digest(self.algorithm, &self.digest, container);
        // Writing to a String cannot fail.
        let _ = writeln!(self.info, "{} {name}", self.digest);
        Ok(())
    }

    /// How many containers are in it.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Bytes of the containers in it.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The digest of the chain so far, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The zip file, with its linking information and a comment.
    pub fn finish(mut self, at: Timestamp, comment: &str) -> Result<Vec<u8>, ArchiveError> {
        let info = std::mem::take(&mut self.info);
        self.put(LINKING_INFO, at, info.as_bytes())?;
        self.zip.set_comment(comment);
        Ok(self.zip.finish().map_err(|_| ArchiveError::TooLarge)?.into_inner())
    }

    fn put(&mut self, name: &str, at: Timestamp, content: &[u8]) -> Result<(), ArchiveError> {
        // Containers are packed already.
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        self.zip.start_file(name, options.last_modified_time(zip_time(at))).map_err(|_| ArchiveError::TooLarge)?;
        self.zip.write_all(content).map_err(|_| ArchiveError::TooLarge)
    }
}

struct LinkingInfo {
    previous: Option<Previous>,
    algorithm: DigestAlgorithm,
    lines: BTreeMap<String, String>,
}

impl LinkingInfo {
    fn read(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let malformed = |line: usize, reason| ArchiveError::LinkingInfo { line, reason };
        let text = std::str::from_utf8(bytes).map_err(|_| malformed(1, "it is not UTF-8"))?;
        let mut lines = text.lines().enumerate();
        let first = lines.next().map_or("", |(_, line)| line);
        let parts: Vec<&str> = first.split_whitespace().collect();
        let [digest, file, algorithm] = parts.as_slice() else {
            return Err(malformed(1, "it must name a digest, a file and a digest function"));
        };
        let known = [DigestAlgorithm::Sha256, DigestAlgorithm::Sha384, DigestAlgorithm::Sha512];
        let algorithm = known.into_iter().find(|known| known.to_string() == *algorithm);
        let algorithm = algorithm.ok_or(malformed(1, "its digest function must be SHA-256, SHA-384 or SHA-512"))?;
        let previous = match *digest {
            "-" => None,
            digest if is_digest(algorithm, digest) => {
                Some(Previous { digest: digest.to_ascii_lowercase(), file: (*file).to_owned() })
            }
            _ => return Err(malformed(1, "it does not begin with a digest")),
        };
        let mut found = BTreeMap::new();
        for (number, line) in lines {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let [digest, name] = parts.as_slice() else {
                return Err(malformed(number + 1, "it must name a digest and a file"));
            };
            if !is_digest(algorithm, digest) {
                return Err(malformed(number + 1, "it does not begin with a digest"));
            }
            if found.insert((*name).to_owned(), digest.to_ascii_lowercase()).is_some() {
                return Err(malformed(number + 1, "it names a file a second time"));
            }
        }
        Ok(Self { previous, algorithm, lines: found })
    }
}

fn is_digest(algorithm: DigestAlgorithm, text: &str) -> bool {
    text.len() == 2 * algorithm.output_len() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn next_digest(algorithm: DigestAlgorithm, before: &str, file: &[u8]) -> String {
    let joined = format!("{before}{}", hex::encode(algorithm.digest(file)));
    hex::encode(algorithm.digest(joined.as_bytes()))
}

type Files = Vec<(String, Vec<u8>)>;

/// The files in their order, and the comment.
fn unpack(bytes: &[u8]) -> Result<(Files, String), ArchiveError> {
    if bytes.len() > ARCHIVE_BYTES_MAX {
        return Err(ArchiveError::TooLarge);
    }
    let not_zip = |_| ArchiveError::NotArchive("it is no readable zip file");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(not_zip)?;
    if archive.len() > CONTAINERS_MAX + 1 {
        return Err(ArchiveError::TooLarge);
    }
    if archive.offset() != 0 || entries_recorded(bytes) != Some(archive.len()) {
        return Err(ArchiveError::NotArchive(
            "it can be read in two ways: two files have one name, or data stand outside",
        ));
    }
    let comment = String::from_utf8_lossy(archive.comment()).into_owned();
    let mut left = UNPACKED_BYTES_MAX;
    let mut files = Vec::with_capacity(archive.len());
    for place in 0..archive.len() {
        let file = archive.by_index(place).map_err(not_zip)?;
        let name = file.name().to_owned();
        let mut content = Vec::new();
        // The sizes in the zip file are the sender's word: count what really comes out.
        file.take(left + 1)
            .read_to_end(&mut content)
            .map_err(|_| ArchiveError::NotArchive("a file in it is damaged"))?;
        left = left.checked_sub(content.len() as u64).ok_or(ArchiveError::TooLarge)?;
        if name == LINKING_INFO && content.len() > LINKING_INFO_BYTES_MAX {
            return Err(ArchiveError::TooLarge);
        }
        files.push((name, content));
    }
    Ok((files, comment))
}
