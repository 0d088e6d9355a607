//! The zip file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Read as _, Write as _};

use civic::Timestamp;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::{AsicError, MIMETYPE, ledger};
use crate::digest::{DigestAlgorithm, sha512};
use crate::xmldsig::push_base64;

/// Length of a container file in bytes at most.
pub const CONTAINER_MAX: usize = 64 << 20;
/// Length of all files in a container together, unpacked, in bytes at most.
pub const UNPACKED_MAX: u64 = 256 << 20;
/// How many files a container may have.
pub const FILES_MAX: usize = 1_100;

const MESSAGE: &str = "message.xml";
const SIGNATURES: &str = "META-INF/signatures.xml";
const MANIFEST: &str = "META-INF/manifest.xml";
const ASIC_MANIFEST: &str = "META-INF/ASiCManifest.xml";
const TIME_STAMP: &str = "META-INF/timestamp.tst";
/// A name of ours, below `META-INF`, where nothing is a document: X-Road's reader passes over names there that it does not know, and
/// manifests list none of them (decision 0028).
const LEDGER_PROOF: &str = "META-INF/ledger.tlog-proof";
const SIG_RESULT: &str = "sig-hashchainresult.xml";
const SIG_CHAIN: &str = "sig-hashchain.xml";
const TS_RESULT: &str = "ts-hashchainresult.xml";
const TS_CHAIN: &str = "ts-hashchain.xml";

/// A message with its signature and its time stamp, as one evidence file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// The message: the SOAP envelope, or the header part of a REST message.
    pub message: Vec<u8>,
    /// Attachments by number, from 1: SOAP attachments or the body of a REST message (number 1).
    pub attachments: BTreeMap<u32, Vec<u8>>,
    /// The XAdES signature.
    pub signature: Vec<u8>,
    /// The hash chain of a batch signature.
    pub signature_chain: Option<ChainFiles>,
    /// The time stamp, where it is not inside the signature.
    pub time_stamp: Option<StampFiles>,
    /// The proof that a transparency log holds the record of the message (C2SP tlog-proof with the opening of its entry).
    pub ledger_proof: Option<String>,
}

/// A hash chain and its result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainFiles {
    /// What is signed or stamped.
    pub result: Vec<u8>,
    /// The way from the files to the result.
    pub chain: Vec<u8>,
}

/// A time stamp over the result of a hash chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StampFiles {
    /// The time stamp token, DER.
    pub token: Vec<u8>,
    /// The hash chain from the signature to what is stamped.
    pub chain: ChainFiles,
}

impl Container {
    /// Reads a container. Refused: what is not a zip file, more than the limits allow, two files of one name, files that
    /// belong to no container of the profile (X-Road's, and ours with the ledger's proof), and a container without message or
    /// signature.
    pub fn read(bytes: &[u8]) -> Result<Self, AsicError> {
        let mut files = unpack(bytes)?;
        match files.remove("mimetype") {
            Some(found) if found.trim_ascii_end() == MIMETYPE.as_bytes() => {}
            Some(_) => return Err(AsicError::NotContainer("its mimetype is another one")),
            None => return Err(AsicError::NotContainer("it has no file `mimetype`")),
        }
        let mut take = |name: &'static str| files.remove(name).filter(|bytes| !bytes.is_empty());
        let message = take(MESSAGE).ok_or(AsicError::NotContainer("it has no `message.xml`"))?;
        let signature = take(SIGNATURES).ok_or(AsicError::NotContainer("it has no `META-INF/signatures.xml`"))?;
        let signature_chain = chain(take(SIG_RESULT), take(SIG_CHAIN), "signature")?;
        let stamp_chain = chain(take(TS_RESULT), take(TS_CHAIN), "time-stamp")?;
        let time_stamp = match (take(TIME_STAMP), stamp_chain) {
            (Some(token), Some(chain)) => Some(StampFiles { token, chain }),
            (None, None) => None,
            _ => return Err(AsicError::Incomplete("the time stamp and its hash chain must come together")),
        };
        if let (Some(manifest), Some(stamp)) = (take(ASIC_MANIFEST), &time_stamp) {
            super::manifest::check(&manifest, &stamp.chain.result)?;
        }
        let ledger_proof = take(LEDGER_PROOF).map(ledger::text_of).transpose()?;
        let _ = take(MANIFEST);
        let mut attachments = BTreeMap::new();
        for (name, content) in files {
            let number = name.strip_prefix("attachment").filter(|digits| !digits.starts_with('0'));
            match number.and_then(|digits| digits.parse().ok()).filter(|number: &u32| *number as usize <= FILES_MAX) {
                Some(number) => attachments.insert(number, content),
                None => return Err(AsicError::Leftover(name)),
            };
        }
        Ok(Self { message, attachments, signature, signature_chain, time_stamp, ledger_proof })
    }

    /// Writes the container: `mimetype` first and stored, the others deflated; `at` is the time written beside each file.
    pub fn write(&self, at: Timestamp) -> Result<Vec<u8>, AsicError> {
        let attachments: Vec<_> =
            self.attachments.iter().map(|(number, bytes)| (format!("attachment{number}"), bytes)).collect();
        let mut files: Vec<(&str, &[u8])> = vec![(MESSAGE, &self.message), (SIGNATURES, &self.signature)];
        if let Some(chain) = &self.signature_chain {
            files.push((SIG_RESULT, &chain.result));
            files.push((SIG_CHAIN, &chain.chain));
        }
        let mut asic_manifest = None;
        if let Some(stamp) = &self.time_stamp {
            files.push((TS_RESULT, &stamp.chain.result));
            files.push((TS_CHAIN, &stamp.chain.chain));
            files.push((TIME_STAMP, &stamp.token));
            asic_manifest = Some(write_asic_manifest(&stamp.chain.result));
        }
        if let Some(proof) = &self.ledger_proof {
            files.push((LEDGER_PROOF, proof.as_bytes()));
        }
        files.extend(attachments.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        let manifest = write_manifest(files.iter().map(|(name, _)| *name));
        files.push((MANIFEST, manifest.as_bytes()));
        if let Some(manifest) = &asic_manifest {
            files.push((ASIC_MANIFEST, manifest.as_bytes()));
        }
        pack(&files, at)
    }
}

/// The number of entries in the end-of-central-directory record. The zip reader keeps files by name and would silently
/// drop all but one of several with the same name, so the counts are compared.
pub(crate) fn entries_recorded(bytes: &[u8]) -> Option<usize> {
    let from = bytes.len().checked_sub(22)?;
    let start = (from.saturating_sub(usize::from(u16::MAX))..=from).rev().find(|start| {
        let record = bytes.get(*start..).unwrap_or_default();
        let comment = record.get(20..22).and_then(|length| length.try_into().ok()).map(u16::from_le_bytes);
        record.starts_with(b"PK\x05\x06") && comment.map(usize::from) == Some(record.len() - 22)
    })?;
    let count = bytes.get(start + 10..start + 12)?;
    Some(usize::from(u16::from_le_bytes(count.try_into().ok()?)))
}

fn unpack(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, AsicError> {
    if bytes.len() > CONTAINER_MAX {
        return Err(AsicError::TooLarge);
    }
    let not_zip = |_| AsicError::NotContainer("it is no readable zip file");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(not_zip)?;
    if archive.len() > FILES_MAX {
        return Err(AsicError::TooLarge);
    }
    if archive.offset() != 0 || entries_recorded(bytes) != Some(archive.len()) {
        return Err(AsicError::Duplicate);
    }
    let mut left = UNPACKED_MAX;
    let mut files = BTreeMap::new();
    for place in 0..archive.len() {
        let file = archive.by_index(place).map_err(not_zip)?;
        if file.is_dir() && file.size() == 0 {
            continue;
        }
        let name = file.name().to_owned();
        let mut content = Vec::new();
        // The sizes in the zip file are the sender's word: count what really comes out.
        file.take(left + 1).read_to_end(&mut content).map_err(|_| AsicError::Damaged(name.clone()))?;
        left = left.checked_sub(content.len() as u64).ok_or(AsicError::TooLarge)?;
        if files.insert(name, content).is_some() {
            return Err(AsicError::Duplicate);
        }
    }
    Ok(files)
}

/// A moment as zip files write it; their first moment where it lies outside of their calendar.
pub(crate) fn zip_time(at: Timestamp) -> DateTime {
    let moment = at.calendar();
    let time = u16::try_from(moment.year()).ok().and_then(|year| {
        let (month, day) = (u8::from(moment.month()), moment.day());
        DateTime::from_date_and_time(year, month, day, moment.hour(), moment.minute(), moment.second()).ok()
    });
    time.unwrap_or_default()
}

fn pack(files: &[(&str, &[u8])], at: Timestamp) -> Result<Vec<u8>, AsicError> {
    let failed = |_| AsicError::TooLarge;
    let options = SimpleFileOptions::default().last_modified_time(zip_time(at));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.set_comment(format!("mimetype={MIMETYPE}"));
    zip.start_file("mimetype", options.compression_method(CompressionMethod::Stored)).map_err(failed)?;
    zip.write_all(MIMETYPE.as_bytes()).map_err(|_| AsicError::TooLarge)?;
    for (name, content) in files {
        zip.start_file(*name, options.compression_method(CompressionMethod::Deflated)).map_err(failed)?;
        zip.write_all(content).map_err(|_| AsicError::TooLarge)?;
    }
    let bytes = zip.finish().map_err(failed)?.into_inner();
    if bytes.len() > CONTAINER_MAX { Err(AsicError::TooLarge) } else { Ok(bytes) }
}

fn chain(result: Option<Vec<u8>>, chain: Option<Vec<u8>>, what: &'static str) -> Result<Option<ChainFiles>, AsicError> {
    match (result, chain) {
        (Some(result), Some(chain)) => Ok(Some(ChainFiles { result, chain })),
        (None, None) => Ok(None),
        _ if what == "signature" => {
            Err(AsicError::Incomplete("the signature's hash chain and its result must come together"))
        }
        _ => Err(AsicError::Incomplete("the time stamp's hash chain and its result must come together")),
    }
}

/// The OpenDocument manifest: every file outside `META-INF`.
fn write_manifest<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <manifest:manifest xmlns:manifest=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\" manifest:version=\"1.2\">\n    \
         <manifest:file-entry manifest:media-type=\"{MIMETYPE}\" manifest:full-path=\"/\"/>\n"
    );
    for name in names.filter(|name| !name.starts_with("META-INF/")) {
        let media_type = if name.starts_with("attachment") { "application/octet-stream" } else { "text/xml" };
        let _ = writeln!(
            xml,
            "    <manifest:file-entry manifest:media-type=\"{media_type}\" manifest:full-path=\"{name}\"/>"
        );
    }
    xml.push_str("</manifest:manifest>\n");
    xml
}

/// The ASiC manifest: which file the time stamp covers. Its namespace has no leading zero, as X-Road writes it.
fn write_asic_manifest(result: &[u8]) -> String {
    let mut digest = String::new();
    push_base64(&sha512(result), &mut digest);
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <asic:ASiCManifest xmlns:asic=\"http://uri.etsi.org/2918/v1.2.1#\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\n\
         <asic:SigReference URI=\"{TIME_STAMP}\" MimeType=\"vnd.etsi.timestamp-token\"/>\n\
         <asic:DataObjectReference URI=\"{TS_RESULT}\" MimeType=\"text/xml\">\n\
         <ds:DigestMethod Algorithm=\"{}\" />\n<ds:DigestValue>{digest}</ds:DigestValue>\n\
         </asic:DataObjectReference>\n</asic:ASiCManifest>",
        DigestAlgorithm::Sha512.xml_uri()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Container {
        Container {
            message: b"GET\r\n/r1/BB/GOV/1002/fisc/x\r\n".to_vec(),
            attachments: BTreeMap::from([(1, b"{}".to_vec())]),
            signature: b"<signature/>".to_vec(),
            signature_chain: Some(ChainFiles { result: b"<r/>".to_vec(), chain: b"<c/>".to_vec() }),
            time_stamp: Some(StampFiles {
                token: vec![1, 2, 3],
                chain: ChainFiles { result: b"<tr/>".to_vec(), chain: b"<tc/>".to_vec() },
            }),
            ledger_proof: Some("c2sp.org/tlog-proof@v1\n".to_owned()),
        }
    }

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = sample().write(Timestamp::from_seconds(1_795_300_800)).unwrap();
        assert_eq!(Container::read(&bytes).unwrap(), sample());
        assert_eq!(bytes.get(30..38), Some(&b"mimetype"[..]));
        assert_eq!(bytes.get(38..69), Some(MIMETYPE.as_bytes()));
        assert!(bytes.ends_with(b"mimetype=application/vnd.etsi.asic-e+zip"));
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let base: [(&str, &[u8]); 3] =
            [("mimetype", MIMETYPE.as_bytes()), ("message.xml", b"m"), ("META-INF/signatures.xml", b"s")];
        assert!(Container::read(&zipped(&base)).is_ok());
        for odd in [
            "other.xml",
            "attachment0",
            "attachment01",
            "attachmentx",
            "../message.xml",
            "META-INF/signatures2.xml",
            "META-INF/other.tlog-proof",
            "META-INF/LEDGER.tlog-proof",
            "ledger.tlog-proof",
        ] {
            let files = [base.as_slice(), &[(odd, b"x".as_slice())]].concat();
            assert_eq!(Container::read(&zipped(&files)), Err(AsicError::Leftover(odd.to_owned())));
        }
        assert!(matches!(Container::read(&zipped(&base[..2])), Err(AsicError::NotContainer(_))));
        assert!(matches!(Container::read(b"text"), Err(AsicError::NotContainer(_))));
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let mut bytes = zipped(&[
            ("mimetype", MIMETYPE.as_bytes()),
            ("message.xml", b"one"),
            ("message.xmk", b"two"),
            ("META-INF/signatures.xml", b"s"),
        ]);
        let places: Vec<usize> =
            bytes.windows(11).enumerate().filter(|(_, name)| *name == b"message.xmk").map(|(place, _)| place).collect();
        for place in places {
            bytes[place + 10] = b'l';
        }
        assert_eq!(Container::read(&bytes), Err(AsicError::Duplicate));
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_the_memory() {
        let zeros = vec![0_u8; (UNPACKED_MAX / 2) as usize + 1];
        let bytes = zipped(&[("attachment1", &zeros), ("attachment2", &zeros)]);
        assert!(bytes.len() < 1 << 20);
        assert_eq!(Container::read(&bytes), Err(AsicError::TooLarge));
    }
}
