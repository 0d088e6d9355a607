//! The proof that a transparency log holds the record of a message: `META-INF/ledger.tlog-proof`.
//!
//! The signature does not cover this file (it is made later), so it must speak for itself: its record names the signature file by
//! its digest (and the hash chain file, where the signature is of a batch), the salt opens the entry of the log, and the path leads to a checkpoint. What does not hold is refused. Whose
//! checkpoint it is, and who witnessed it, only a trust policy can say ([`LedgerProof::judge`]).

use civic::Timestamp;
use serde::{Deserialize, Serialize};

use super::AsicError;
use crate::digest::Digest;
use crate::merkle::{leaf_hash, verify_inclusion};
use crate::note::policy::Policy;
use crate::note::{Checkpoint, NOTE_BYTES_MAX, Note, NoteError, Opened, Opening, TlogProof};

/// A record of a message log, in the form that is committed to a transparency log. It names what it is about by digests only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRecord {
    /// When the node made the record: its word, fixed by the entry.
    pub at: Timestamp,
    /// SHA-256 of the whole record in the form of the node.
    pub content: [u8; 32],
    /// The digest of the signature file; `None` where the node keeps nothing but commitments of this subsystem.
    pub signature: Option<Digest>,
    /// The digest of the hash chain file of a batch signature, which names the message and its attachments; `None` where the signature
    /// is of one message, and in the records of earlier versions.
    pub chain: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    at: String,
    content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
}

impl LoggedRecord {
    /// The text that is committed to: `{"at":"…","content":"…","signature":"…","chain":"…"}`, digests in hexadecimal, without what
    /// there is not.
    pub fn to_text(&self) -> String {
        let written = Written {
            at: self.at.rfc3339(),
            content: hex::encode(self.content),
            signature: self.signature.map(|digest| hex::encode(digest.bytes())),
            chain: self.chain.map(|digest| hex::encode(digest.bytes())),
        };
        // Four texts always have a JSON form.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads that text; fields of later versions are passed over, since the entry commits to them all the same.
    pub fn read(text: &str) -> Result<Self, NoteError> {
        let refused = |reason| NoteError::Malformed { what: "record of a message log", reason };
        let written: Written =
            serde_json::from_str(text).map_err(|_| refused("it is no JSON with at, content and signature"))?;
        let content = hex::decode(&written.content).ok().and_then(|digest| digest.try_into().ok());
        let digest = |text: &Option<String>, reason| match text {
            None => Ok(None),
            Some(text) => match hex::decode(text).ok().and_then(|digest| Digest::kept(&digest)) {
                None => Err(refused(reason)),
                digest => Ok(digest),
            },
        };
        Ok(Self {
            at: Timestamp::parse_rfc3339(&written.at)
                .map_err(|_| refused("its moment is not in the form of RFC 3339"))?,
            content: content.ok_or(refused("its content is no SHA-256"))?,
            signature: digest(&written.signature, "its signature is neither SHA-256 nor SHA-512")?,
            chain: digest(&written.chain, "its chain is neither SHA-256 nor SHA-512")?,
        })
    }

    /// Whether it is about the message that was signed so. The signature of a batch is that of other messages too; its hash chain names the
    /// digests of one.
    fn must_be_of(&self, signature: &[u8], chain: Option<&[u8]>) -> Result<(), AsicError> {
        let is = |named: &Option<Digest>, file| named.is_some_and(|digest| digest.is_of(file));
        if !is(&self.signature, signature) {
            return Err(AsicError::OtherRecord);
        }
        match chain {
            None if self.chain.is_none() => Ok(()),
            Some(chain) if is(&self.chain, chain) => Ok(()),
            Some(_) if self.chain.is_none() => Err(AsicError::BatchRecord),
            _ => Err(AsicError::OtherRecord),
        }
    }
}

/// A proof that belongs to its container and is whole in itself. Whether the log is one that is trusted, and whether its checkpoint
/// was witnessed, is not judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerProof {
    text: String,
    /// The record of the message.
    pub record: LoggedRecord,
    /// The log, as it calls itself.
    pub origin: String,
    /// The place of the record in the log.
    pub index: u64,
}

impl LedgerProof {
    /// Checks everything that needs no trust in a log: that the record is that of this signature (`chain` is the hash chain file of
    /// a batch signature), and that record, salt and path lead to the root in the checkpoint.
    pub fn of(text: &str, signature: &[u8], chain: Option<&[u8]>) -> Result<Self, AsicError> {
        let proof = TlogProof::parse(text)?;
        let missing =
            NoteError::Malformed { what: "opened proof", reason: "it has no extra line with salt and record" };
        let opening = Opening::from_extra(proof.extra.as_deref().ok_or(missing)?)?;
        let record = LoggedRecord::read(&opening.record)?;
        record.must_be_of(signature, chain)?;
        let checkpoint = Checkpoint::parse(Note::parse(&proof.checkpoint)?.text())?;
        let leaf = leaf_hash(&opening.leaf());
        verify_inclusion(&leaf, proof.index, checkpoint.size, &proof.hashes, &checkpoint.root)
            .map_err(NoteError::from)?;
        Ok(Self { text: text.to_owned(), record, origin: checkpoint.origin, index: proof.index })
    }

    /// Judges it by a policy: whether one of its logs signed the checkpoint, and whether the quorum of witnesses is there (see
    /// [`crate::note::policy::Verdict::quorum`]).
    pub fn judge(&self, policy: &Policy) -> Result<Opened, NoteError> {
        Opening::verify(&self.text, policy)
    }
}

/// The file as text.
pub(super) fn text_of(file: Vec<u8>) -> Result<String, AsicError> {
    let refused = |reason| NoteError::Malformed { what: "tlog-proof", reason };
    if file.len() > NOTE_BYTES_MAX {
        return Err(refused("it is longer than 256 KiB").into());
    }
    Ok(String::from_utf8(file).map_err(|_| refused("it is not UTF-8"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_its_text_is_frozen() {
        let at = Timestamp::from_micros(1_795_300_800_123_456);
        let record = LoggedRecord { at, content: [1; 32], signature: Some(Digest::made_sha512([2; 64])), chain: None };
        let (content, signature) = ("01".repeat(32), "02".repeat(64));
        let text = format!(r#"{{"at":"2026-11-21T22:40:00.123456Z","content":"{content}","signature":"{signature}"}}"#);
        assert_eq!(record.to_text(), text);
        assert_eq!(LoggedRecord::read(&text), Ok(record.clone()));
        let of_batch = LoggedRecord { chain: Some(Digest::made_sha512([3; 64])), ..record.clone() };
        let longer = format!(r#"{},"chain":"{}"}}"#, text.trim_end_matches('}'), "03".repeat(64));
        assert_eq!(of_batch.to_text(), longer);
        assert_eq!(LoggedRecord::read(&longer), Ok(of_batch));
        let bare = LoggedRecord { signature: None, ..record };
        assert_eq!(bare.to_text(), format!(r#"{{"at":"2026-11-21T22:40:00.123456Z","content":"{content}"}}"#));
        assert_eq!(LoggedRecord::read(&bare.to_text()), Ok(bare));
    }

    #[test]
    fn what_is_no_record_is_refused_with_a_reason() {
        let content = "01".repeat(32);
        for text in [
            String::new(),
            "{}".to_owned(),
            content.clone(),
            format!(r#"{{"at":"yesterday","content":"{content}"}}"#),
            r#"{"at":"2026-11-21T22:40:00Z","content":"01"}"#.to_owned(),
            format!(r#"{{"at":"2026-11-21T22:40:00Z","content":"{content}","signature":"02"}}"#),
            format!(r#"{{"at":"2026-11-21T22:40:00Z","content":"{content}","chain":"03"}}"#),
        ] {
            assert!(matches!(LoggedRecord::read(&text), Err(NoteError::Malformed { .. })), "{text}");
        }
    }
}
