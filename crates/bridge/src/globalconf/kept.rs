//! The last good configuration on disk: a folder for each instance, the files as the authority signed them, and the anchor as they
//! corrected it.
//!
//! Trusted: whoever writes this folder may name further certificates of the source (they stand in the shared parameters), as the
//! owner of the node's directory may do anything to the node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use civic::Timestamp;
use trust::digest;
use trust::globalconf::{
    Anchor, AnchorSource, Directory, PRIVATE_PARAMETERS, SHARED_PARAMETERS, TRANSPARENCY_LOGS, read_anchor,
    read_private, read_shared, write_anchor,
};

use super::ConfigurationError;
use super::part::{LogsPart, Part, Realm};

const DIRECTORY_FILE: &str = "directory";
const SHARED_FILE: &str = "shared-params.xml";
const PRIVATE_FILE: &str = "private-params.xml";
/// The last good list of transparency logs; it may be older than the directory, where a newer one was refused.
const LOGS_FILE: &str = "transparency-logs.json";
/// The anchor as good configurations corrected it; it outlives them.
const ANCHOR_FILE: &str = "corrected-anchor.xml";
/// The digest of the anchor that was corrected: another anchor begins anew.
const CORRECTED_FILE: &str = "corrected-anchor.of";

/// The folder of the last good configuration.
pub(super) struct Kept(PathBuf);

impl Kept {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Keeps an instance. The directory is written last: it is only believed together with the files whose digests it holds.
    pub(super) fn keep(&self, part: &Part) -> io::Result<()> {
        let folder = self.folder(part.instance());
        fs::create_dir_all(&folder)?;
        replace(&folder.join(SHARED_FILE), &part.shared)?;
        if let Some(private) = &part.private {
            replace(&folder.join(PRIVATE_FILE), private)?;
        }
        match &part.logs.file {
            Some(logs) => replace(&folder.join(LOGS_FILE), logs)?,
            // A list that was withdrawn does not come back.
            None => remove(&folder.join(LOGS_FILE))?,
        }
        replace(&folder.join(DIRECTORY_FILE), &part.directory)
    }

    /// Keeps what a good configuration corrected of an anchor: a node that was away for longer than a configuration holds still knows the
    /// keys of the source.
    pub(super) fn correct(&self, anchor: &Anchor, sources: &[AnchorSource]) -> io::Result<()> {
        let folder = self.folder(&anchor.instance);
        fs::create_dir_all(&folder)?;
        let corrected = Anchor { sources: sources.to_vec(), ..anchor.clone() };
        replace(&folder.join(ANCHOR_FILE), write_anchor(&corrected).as_bytes())?;
        replace(&folder.join(CORRECTED_FILE), digest_of(anchor).as_bytes())
    }

    /// The sources of an anchor as they were corrected last; those of the anchor itself where it never was, or is another one now.
    pub(super) fn sources(&self, anchor: &Anchor) -> Vec<AnchorSource> {
        let folder = self.folder(&anchor.instance);
        let of_this = fs::read(folder.join(CORRECTED_FILE)).is_ok_and(|of| of == digest_of(anchor).as_bytes());
        let kept = of_this.then(|| read_anchor(&fs::read(folder.join(ANCHOR_FILE)).ok()?).ok()).flatten();
        kept.filter(|kept| kept.instance == anchor.instance).map_or_else(|| anchor.sources.clone(), |kept| kept.sources)
    }

    /// Reads an instance back; `None` where nothing was kept. What no longer holds is an error.
    pub(super) fn read(
        &self,
        anchor: &Anchor,
        realm: Realm,
        now: Timestamp,
    ) -> Result<Option<Part>, ConfigurationError> {
        let folder = self.folder(&anchor.instance);
        let Some(directory) = optional(&folder.join(DIRECTORY_FILE))? else { return Ok(None) };
        let shared = fs::read(folder.join(SHARED_FILE))?;
        let mut certs: Vec<Vec<u8>> = self.sources(anchor).into_iter().flat_map(|source| source.certs).collect();
        if let Ok(params) = read_shared(&shared) {
            certs.extend(params.sources.iter().flat_map(|source| realm.certs(source).to_vec()));
        }
        let verified = super::part::verify(&directory, &certs, now)?;
        let refused = |error: String| ConfigurationError::Refused(error);
        let entry = verified.part(SHARED_PARAMETERS, &anchor.instance);
        let entry = entry.ok_or_else(|| refused("the kept one is of another instance".to_owned()))?;
        entry.check(&shared).map_err(|error| refused(error.to_string()))?;
        let private = match verified.part(PRIVATE_PARAMETERS, &anchor.instance) {
            Some(entry) => optional(&folder.join(PRIVATE_FILE))?
                .filter(|file| entry.check(file).is_ok() && read_private(file).is_ok()),
            None => None,
        };
        let logs = Self::logs(&folder, &verified, &anchor.instance);
        Ok(Some(Part::new(&anchor.instance, directory, &verified, shared, private)?.with_logs(logs)))
    }

    /// The last good list of logs, where the directory names any.
    fn logs(folder: &Path, directory: &Directory, instance: &str) -> LogsPart {
        let Some(entry) = directory.part(TRANSPARENCY_LOGS, instance) else { return LogsPart::default() };
        let file = optional(&folder.join(LOGS_FILE)).ok().flatten();
        let Some(file) = file else { return LogsPart::stays(None, "it was not kept".to_owned()) };
        let outdated = entry.check(&file).err().map(|_| "the newer one was refused, or not kept".to_owned());
        match LogsPart::read(file, instance) {
            Ok(logs) => LogsPart { refused: outdated, ..logs },
            Err(reason) => LogsPart::stays(None, reason),
        }
    }

    /// A name from outside becomes a name of a folder only where it is plain.
    fn folder(&self, instance: &str) -> PathBuf {
        let plain = !instance.is_empty()
            && instance.len() <= 64
            && instance.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let hashed = || crate::usage::hex_text(&digest::sha256(instance.as_bytes()));
        self.0.join(if plain { instance.to_owned() } else { hashed() })
    }
}

fn digest_of(anchor: &Anchor) -> String {
    crate::usage::hex_text(&digest::sha256(write_anchor(anchor).as_bytes()))
}

fn optional(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts a file in place whole or not at all; one that is the same is left alone.
fn replace(target: &Path, content: &[u8]) -> io::Result<()> {
    if optional(target)?.is_some_and(|present| present == content) {
        return Ok(());
    }
    let partial = target.with_extension("partial");
    fs::write(&partial, content)?;
    fs::File::open(&partial)?.sync_all()?;
    fs::rename(&partial, target)
}
