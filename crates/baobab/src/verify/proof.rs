//! A proof of a transparency log that carries its record and salt.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use civic::Timestamp;
use serde_json::{Value, json};
use trust::digest::{sha256, sha512};
use trust::note::policy::{POLICY_BYTES_MAX, Policy};
use trust::note::{NOTE_BYTES_MAX, Opened, Opening};

use crate::cli::{VerifyArguments, print_line};

/// A document is at most this long, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Prints the verdict; the exit status is 0 for valid, 1 for anything else.
pub(super) fn run(arguments: &VerifyArguments, policy: &Path) -> anyhow::Result<ExitCode> {
    let policy = read_policy(policy)?;
    let proof = text(&arguments.container, NOTE_BYTES_MAX)?;
    let document = arguments.document.as_deref().map(digest).transpose()?;
    let judged = judge(&proof, &policy, document.as_ref());
    print_line(&match (&judged, arguments.json) {
        (Ok(opened), true) => as_json(opened),
        (Ok(opened), false) => as_text(opened, document.is_some())?,
        (Err(reason), true) => format!("{:#}", json!({ "valid": false, "reason": reason })),
        (Err(reason), false) => format!("NOT VALID: {reason}"),
    });
    Ok(if judged.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the file of a policy.
pub(super) fn read_policy(path: &Path) -> anyhow::Result<Policy> {
    let policy = text(path, POLICY_BYTES_MAX)?.parse();
    policy.with_context(|| format!("{} is no trust policy", path.display()))
}

fn judge(proof: &str, policy: &Policy, document: Option<&Digests>) -> Result<Opened, String> {
    let opened = Opening::verify(proof, policy).map_err(|error| error.to_string())?;
    if let Some(digests) = document.filter(|digests| !digests.stand_in(&opened.record)) {
        let Digests { sha256, sha512 } = digests;
        return Err(format!(
            "the document is not the one that was registered: its SHA-256 is {sha256}, its SHA-512 {sha512}"
        ));
    }
    with_quorum(opened)
}

/// What a proof shows, where the witnesses that the policy asks for are there; else which are.
pub(super) fn with_quorum(opened: Opened) -> Result<Opened, String> {
    if opened.verdict.quorum {
        return Ok(opened);
    }
    let there: Vec<&str> = opened.verdict.cosigned.iter().map(|(name, _)| name.as_str()).collect();
    Err(format!("the quorum of witnesses is missing; there are: [{}]", there.join(", ")))
}

fn as_text(opened: &Opened, document: bool) -> Result<String, std::fmt::Error> {
    let mut text = String::from("VALID\n");
    if document {
        writeln!(text, "  document    is the one that was registered")?;
    }
    writeln!(text, "  record      {}", opened.record)?;
    writeln!(text, "  stands at   {} of {}", opened.index, opened.verdict.checkpoint.origin)?;
    for (name, seconds) in &opened.verdict.cosigned {
        writeln!(text, "  witnessed   by {name} at {}", moment(*seconds))?;
    }
    write!(
        text,
        "  says        that the record existed then and did not change; not who wrote it, nor whether it is true"
    )?;
    Ok(text)
}

fn as_json(opened: &Opened) -> String {
    let value = json!({
        "valid": true,
        "record": opened.record,
        "log": opened.verdict.checkpoint.origin,
        "index": opened.index,
        "size": opened.verdict.checkpoint.size,
        "witnesses": witnesses(opened),
    });
    format!("{value:#}")
}

pub(super) fn witnesses(opened: &Opened) -> Value {
    opened.verdict.cosigned.iter().map(|(name, seconds)| json!({ "name": name, "at": moment(*seconds) })).collect()
}

pub(super) fn moment(seconds: u64) -> String {
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 2_000_000)).rfc3339()
}

fn text(path: &Path, bytes_max: usize) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    file.take(limit).read_to_string(&mut text).with_context(|| format!("{} is no text", path.display()))?;
    Ok(text)
}

/// The digests by which a record may name a document, hexadecimal.
struct Digests {
    /// As the notary names it, and the record of a use where the exchange was signed over it.
    sha256: String,
    /// As the record of any other use names what was given.
    sha512: String,
}

impl Digests {
    /// Whether a record names the document by one of them.
    fn stand_in(&self, record: &str) -> bool {
        let record: Value = serde_json::from_str(record).unwrap_or_default();
        let fields = [("sha256", &self.sha256), ("documentSha256", &self.sha256), ("documentSha512", &self.sha512)];
        fields.into_iter().any(|(field, digest)| record.get(field).and_then(Value::as_str) == Some(digest))
    }
}

fn digest(path: &Path) -> anyhow::Result<Digests> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    anyhow::ensure!(size <= DOCUMENT_BYTES_MAX, "{} is longer than 4 GiB", path.display());
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Digests { sha256: hex::encode(sha256(&bytes)), sha512: hex::encode(sha512(&bytes)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_the_one_that_a_record_names_by_either_digest() {
        let digests = Digests { sha256: "aa".to_owned(), sha512: "bb".to_owned() };
        for record in [r#"{"sha256":"aa"}"#, r#"{"documentSha256":"aa"}"#, r#"{"documentSha512":"bb"}"#] {
            assert!(digests.stand_in(record), "{record}");
        }
        for record in ["", "{}", r#"{"sha256":"bb"}"#, r#"{"documentSha256":"bb"}"#, r#"{"documentSha512":"aa"}"#] {
            assert!(!digests.stand_in(record), "{record}");
        }
    }
}
