//! ASiC-E containers: a message, its signature and its time stamp as one evidence file (ETSI TS 102 918, in the shape
//! that X-Road exports).
//!
//! [`Container`] reads and writes the zip file, with limits and without leftovers; [`verify`] judges what is inside,
//! offline, with a global configuration: the time stamp first (it says which moment counts), then the signature at that
//! moment ([`crate::xades`]), that the signer is who speaks in the message, and that the proof of a transparency log, where there
//! is one, is about this message ([`LedgerProof`]).
//!
//! ```no_run
//! use trust::asic::{Container, Rules, verify};
//! # fn judge(file: &[u8], trust: &trust::globalconf::TrustDir) -> Result<(), trust::asic::AsicError> {
//! let container = Container::read(file)?;
//! let verdict = verify(&container, trust, &Rules::default())?;
//! assert_eq!(verdict.message.sender().member(), &verdict.member);
//! # Ok(())
//! # }
//! ```

mod container;
mod ledger;
mod manifest;
mod message;

use civic::{MemberId, Timestamp};

pub use container::{CONTAINER_MAX, ChainFiles, Container, FILES_MAX, StampFiles, UNPACKED_MAX};
pub(crate) use container::{entries_recorded, zip_time};
pub use ledger::{LedgerProof, LoggedRecord};
pub use message::{Direction, MessageSummary, Protocol};

use crate::globalconf::TrustDir;
use crate::hashchain::{self, Data, HashChainError};
use crate::keys::SignatureAlgorithm;
use crate::note::NoteError;
use crate::tsp::{TimestampToken, TspError};
use crate::xades::{HashChain, MESSAGE, Part, PartContent, Signature, SignatureError, SignedFile, Verifier};

/// The media type of a container.
pub const MIMETYPE: &str = "application/vnd.etsi.asic-e+zip";

const SIGNATURE_FILE: &str = "/META-INF/signatures.xml";
const TIME_STAMP_CHAIN: &str = "/ts-hashchain.xml";
/// How many attachments of one message may be kept elsewhere.
const DETACHED_MAX: usize = 64;

/// What is asked of a container beyond a good signature. The default is the strict one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Judge a container without time stamp at this moment. `None`: a container must be stamped.
    pub unstamped_at: Option<Timestamp>,
    /// Accept a container that lacks attachments which are signed (X-Road exports such where bodies are not logged); they
    /// are reported as detached: the verdict says nothing of their content.
    pub detached_attachments: bool,
}

/// What a valid container proves.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The member who signed.
    pub member: MemberId,
    /// The message in few words; its sender belongs to the member.
    pub message: MessageSummary,
    /// The subject of the signing certificate.
    pub subject: String,
    /// The issuer of the signing certificate.
    pub issuer: String,
    /// The serial number of the signing certificate, in decimal digits.
    pub serial: String,
    /// How the signature was made.
    pub algorithm: SignatureAlgorithm,
    /// When the signer says to have signed.
    pub signing_time: Option<Timestamp>,
    /// When the OCSP answer was made that says that the certificate was good.
    pub ocsp_time: Timestamp,
    /// When the signature existed, as a time-stamping authority says; `None` only where [`Rules::unstamped_at`] allowed it.
    pub time_stamp: Option<Timestamp>,
    /// The files that are signed.
    pub files: Vec<SignedFile>,
    /// The proof of a transparency log, where the container has one: about this message and whole in itself. Whether to believe the
    /// log is for [`LedgerProof::judge`].
    pub ledger: Option<LedgerProof>,
}

/// Why a container is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AsicError {
    /// Not an ASiC-E container.
    #[error("this is no ASiC-E container: {0}")]
    NotContainer(&'static str),
    /// More than the limits.
    #[error(
        "the container is too large: more than {CONTAINER_MAX} bytes, {UNPACKED_MAX} unpacked, or {FILES_MAX} files"
    )]
    TooLarge,
    /// Two files of one name, or hidden data before the container: readers could see different contents.
    #[error("the container can be read in two ways: it has two files of one name or data outside its directory")]
    Duplicate,
    /// A file that cannot be unpacked.
    #[error("the file `{0}` in the container is damaged")]
    Damaged(String),
    /// A file that belongs to no container: nothing signs it.
    #[error("the container holds the file `{0}`, which belongs to no signed message")]
    Leftover(String),
    /// Files that must come together do not.
    #[error("malformed container: {0}")]
    Incomplete(&'static str),
    /// The ASiC manifest contradicts the files.
    #[error("malformed container: META-INF/ASiCManifest.xml does not name ts-hashchainresult.xml with its digest")]
    Manifest,
    /// The message does not say who speaks.
    #[error("malformed message: {0}")]
    Message(String),
    /// The signature is refused.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The time stamp's hash chain does not lead from the signature to what is stamped.
    #[error("malformed signature: the time-stamp hash chain is refused: {0}")]
    TimeStampChain(HashChainError),
    /// The time stamp is refused.
    #[error("malformed signature: the time stamp is refused: {0}")]
    TimeStamp(#[from] TspError),
    /// The proof of the ledger does not hold.
    #[error("the ledger's proof in the container is refused: {0}")]
    LedgerProof(#[from] NoteError),
    /// The proof of the ledger holds for something else.
    #[error(
        "the ledger's proof in the container is of another record: it names another signature or another hash chain"
    )]
    OtherRecord,
    /// The signature is of a batch, and the record names the signature only, as records of earlier versions do.
    #[error(
        "the ledger's proof in the container may be of another message: its signature is that of a whole batch, and its record names no \
         hash chain"
    )]
    BatchRecord,
    /// There is no time stamp.
    #[error(
        "the container has no time stamp, so nobody vouches for the moment of the signature; export it again after the node has stamped it"
    )]
    NotStamped,
}

/// Judges a container with a global configuration.
pub fn verify(container: &Container, trust: &TrustDir, rules: &Rules) -> Result<Verdict, AsicError> {
    verify_with(container, &Verifier::new(trust), rules)
}

/// Judges a container with a verifier at hand: for many containers.
pub fn verify_with(container: &Container, verifier: &Verifier, rules: &Rules) -> Result<Verdict, AsicError> {
    let message = MessageSummary::read(&container.message).map_err(AsicError::Message)?;
    let signature = Signature::parse(&container.signature)?;
    let time_stamp = stamped_at(container, &signature, verifier)?;
    let at = time_stamp.or(rules.unstamped_at).ok_or(AsicError::NotStamped)?;

    let names: Vec<(String, &[u8])> = container
        .attachments
        .iter()
        .map(|(number, bytes)| (format!("/attachment{number}"), bytes.as_slice()))
        .collect();
    let mut parts = vec![Part::bytes(MESSAGE, &container.message)];
    parts.extend(names.iter().map(|(name, bytes)| Part::bytes(name, bytes)));
    let chain =
        container.signature_chain.as_ref().map(|files| HashChain { result: &files.result, chain: &files.chain });
    let detached = if rules.detached_attachments { detached(&signature, &parts, chain)? } else { Vec::new() };
    parts.extend(detached.iter().map(|name| Part { name, content: PartContent::Detached }));

    let signer = verifier.verify(&signature, &parts, chain, message.sender(), at)?;
    let chain = container.signature_chain.as_ref().map(|files| files.chain.as_slice());
    let ledger = container.ledger_proof.as_deref().map(|proof| LedgerProof::of(proof, &container.signature, chain));
    Ok(Verdict {
        member: signer.member,
        message,
        subject: signer.certificate.subject().to_string(),
        issuer: signer.certificate.issuer().to_string(),
        serial: signer.certificate.serial_decimal(),
        algorithm: signer.algorithm,
        signing_time: signer.signing_time,
        ocsp_time: signer.ocsp.produced_at(),
        time_stamp,
        files: signer.files,
        ledger: ledger.transpose()?,
    })
}

/// The earliest moment that an approved authority vouches for; every stamp that is there must be good.
fn stamped_at(
    container: &Container,
    signature: &Signature,
    verifier: &Verifier,
) -> Result<Option<Timestamp>, AsicError> {
    let authorities = verifier.time_stampers();
    let mut earliest: Option<Timestamp> = None;
    let mut add = |moment: Timestamp| earliest = Some(earliest.map_or(moment, |known| known.min(moment)));
    if let Some(stamp) = &container.time_stamp {
        let files = hashchain::verify(&stamp.chain.result, TIME_STAMP_CHAIN, &stamp.chain.chain, |name| {
            if name == SIGNATURE_FILE { Data::Bytes(&container.signature) } else { Data::Unknown }
        })
        .map_err(AsicError::TimeStampChain)?;
        if files.is_empty() {
            let missing = HashChainError::Unresolved(SIGNATURE_FILE.to_owned());
            return Err(AsicError::TimeStampChain(missing));
        }
        add(TimestampToken::from_der(&stamp.token)?.verify(&stamp.chain.result, authorities)?);
    }
    for token in signature.time_stamps() {
        add(TimestampToken::from_der(token)?.verify(signature.value(), authorities)?);
    }
    Ok(earliest)
}

/// The attachments that are signed but not in the container.
fn detached(
    signature: &Signature,
    parts: &[Part<'_>],
    chain: Option<HashChain<'_>>,
) -> Result<Vec<String>, SignatureError> {
    let mut missing: Vec<String> = Vec::new();
    loop {
        let with_missing: Vec<Part<'_>> = parts
            .iter()
            .copied()
            .chain(missing.iter().map(|name| Part { name, content: PartContent::Detached }))
            .collect();
        match signature.check_files(&with_missing, chain) {
            Err(SignatureError::Missing(name)) if name.starts_with("/attachment") && missing.len() < DETACHED_MAX => {
                missing.push(name);
            }
            Err(error) => return Err(error),
            Ok(_) => return Ok(missing),
        }
    }
}
