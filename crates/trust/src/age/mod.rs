//! Files encrypted to recipients' public keys, in the age v1 format (C2SP `age.md`): message-log archives leave the node in it.
//!
//! Any age tool opens them with the secret key, which the node never has. Only X25519 recipients are written and read. The payload is
//! sealed in chunks of 64 KiB with ChaCha20-Poly1305, the header is bound by HMAC-SHA-256 under the file key: whoever lacks a secret
//! key learns the length and nothing else, and altered or cut files are refused. Not proven: who wrote the file. Inside an archive the
//! signatures and the linking information say that.
//!
//! ```
//! use trust::age::{Identity, decrypt, encrypt};
//! # fn main() -> Result<(), trust::age::AgeError> {
//! # let random = civic::testing::SeededRandom::new(7);
//! let identity = Identity::generate(&random)?;
//! let sealed = encrypt(&[identity.recipient()?], b"archive", &random)?;
//! assert_eq!(decrypt(&identity, &sealed)?, b"archive");
//! # Ok(())
//! # }
//! ```

mod bech32;

use std::fmt;
use std::fmt::Write as _;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use civic::{Random, random_array};

use crate::digest::{constant_time_eq, hmac_sha256};

/// Recipients of one file at most.
pub const RECIPIENTS_MAX: usize = 20;
/// Bytes of one encrypted file at most.
pub const FILE_BYTES_MAX: usize = 256 << 20;

const MAGIC: &str = "age-encryption.org/v1\n";
const HEADER_BYTES_MAX: usize = 64 * 1024;
const LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const RECIPIENT: &str = "age";
const IDENTITY: &str = "AGE-SECRET-KEY-";
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

/// Why a file cannot be encrypted or opened, or a key not read. Nothing secret is in the messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// The text is no key.
    #[error("this is no {0} of age: copy it whole, as `age-keygen` prints it")]
    Key(&'static str),
    /// Nobody, or too many, could open the file.
    #[error("a file is encrypted to 1 to {RECIPIENTS_MAX} recipients")]
    Recipients,
    /// The file is over the limit.
    #[error("an encrypted file has at most {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// The bytes are no age file.
    #[error("this is no file of age version 1: {0}")]
    Malformed(&'static str),
    /// The file is for others.
    #[error("the file is not encrypted to this key: use the secret key of one of its recipients")]
    NotForUs,
    /// The file was altered or cut.
    #[error("the encrypted file was altered or cut: take another copy")]
    Altered,
    /// The cryptographic library failed.
    #[error("the cryptographic library refused {0}")]
    Library(&'static str),
}

/// Whom a file is for: a public key, written `age1…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

/// A secret key, written `AGE-SECRET-KEY-1…`. The one who opens archives keeps it, not the node.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity([u8; 32]);

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity(…)")
    }
}

impl Recipient {
    /// Reads `age1…`.
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        let key = bech32::decode(RECIPIENT, text.trim()).and_then(|bytes| bytes.try_into().ok());
        key.map(Self).ok_or(AgeError::Key("public key"))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&bech32::encode(RECIPIENT, &self.0))
    }
}

impl Identity {
    /// A new secret key.
    pub fn generate(random: &dyn Random) -> Result<Self, AgeError> {
        let identity = Self(random_array::<32>(random));
        identity.recipient().map(|_| identity)
    }

    /// Reads `AGE-SECRET-KEY-1…`; lines before it that begin with `#`, as `age-keygen` writes them, are passed over.
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let key = line.and_then(|line| bech32::decode(IDENTITY, line)).and_then(|bytes| bytes.try_into().ok());
        key.map(Self).ok_or(AgeError::Key("secret key"))
    }

    /// The text of the key: keep it as secret as what it opens.
    pub fn to_text(&self) -> String {
        bech32::encode(&IDENTITY.to_ascii_lowercase(), &self.0).to_ascii_uppercase()
    }

    /// The public key that belongs to it.
    pub fn recipient(&self) -> Result<Recipient, AgeError> {
        public_of(&self.private()?).map(Recipient)
    }

    fn private(&self) -> Result<PrivateKey, AgeError> {
        PrivateKey::from_private_key(&X25519, &self.0).map_err(|_| AgeError::Library("the X25519 key"))
    }
}

/// Encrypts a file so that each recipient can open it.
pub fn encrypt(recipients: &[Recipient], plain: &[u8], random: &dyn Random) -> Result<Vec<u8>, AgeError> {
    if !(1..=RECIPIENTS_MAX).contains(&recipients.len()) {
        return Err(AgeError::Recipients);
    }
    if plain.len() > FILE_BYTES_MAX {
        return Err(AgeError::TooLarge);
    }
    let file_key = random_array::<16>(random);
    let mut header = MAGIC.to_owned();
    for recipient in recipients {
        let once = Identity(random_array::<32>(random));
        let share = once.recipient()?.0;
        let key = wrap_key(&once.private()?, &recipient.0, &share, &recipient.0)?;
        let body = seal(&key, [0; 12], &file_key)?;
        let (share, body) = (STANDARD_NO_PAD.encode(share), STANDARD_NO_PAD.encode(body));
        // Writing to a String cannot fail.
        let _ = write!(header, "-> X25519 {share}\n{body}\n");
    }
    header.push_str("---");
    let mac = hmac_sha256(&derive(&file_key, &[], b"header")?, header.as_bytes());
    let nonce = random_array::<16>(random);
    let mut out = format!("{header} {}\n", STANDARD_NO_PAD.encode(mac)).into_bytes();
    out.reserve(plain.len() + (plain.len() / CHUNK + 1) * TAG + nonce.len());
    out.extend_from_slice(&nonce);
    let key = derive(&file_key, &nonce, b"payload")?;
    let count = plain.len().div_ceil(CHUNK).max(1);
    let mut chunks = plain.chunks(CHUNK);
    for number in 0..count {
        let chunk = chunks.next().unwrap_or_default();
        out.extend_from_slice(&seal(&key, chunk_nonce(number, number + 1 == count), chunk)?);
    }
    Ok(out)
}

/// Opens a file with the secret key of one of its recipients.
pub fn decrypt(identity: &Identity, file: &[u8]) -> Result<Vec<u8>, AgeError> {
    if file.len() > FILE_BYTES_MAX + HEADER_BYTES_MAX {
        return Err(AgeError::TooLarge);
    }
    let header = Header::read(file)?;
    let private = identity.private()?;
    let own = public_of(&private)?;
    let mut file_key = None;
    for (share, body) in &header.stanzas {
        let key = wrap_key(&private, share, share, &own)?;
        if let Ok(found) = open(&key, [0; 12], body) {
            file_key = Some(found);
            break;
        }
    }
    let file_key = file_key.filter(|key| key.len() == 16).ok_or(AgeError::NotForUs)?;
    let mac = hmac_sha256(&derive(&file_key, &[], b"header")?, header.signed);
    if !constant_time_eq(&mac, &header.mac) {
        return Err(AgeError::Altered);
    }
    let (nonce, payload) = header.rest.split_at_checked(16).ok_or(AgeError::Altered)?;
    let key = derive(&file_key, nonce, b"payload")?;
    let chunks: Vec<&[u8]> = payload.chunks(CHUNK + TAG).collect();
    let mut plain = Vec::with_capacity(payload.len());
    for (number, chunk) in chunks.iter().enumerate() {
        let opened = open(&key, chunk_nonce(number, number + 1 == chunks.len()), chunk)?;
        if opened.is_empty() && chunks.len() > 1 {
            return Err(AgeError::Altered);
        }
        plain.extend_from_slice(&opened);
    }
    if chunks.is_empty() { Err(AgeError::Altered) } else { Ok(plain) }
}

/// What stands before the payload.
struct Header<'f> {
    stanzas: Vec<([u8; 32], Vec<u8>)>,
    signed: &'f [u8],
    mac: Vec<u8>,
    rest: &'f [u8],
}

impl<'f> Header<'f> {
    fn read(file: &'f [u8]) -> Result<Self, AgeError> {
        let malformed = AgeError::Malformed;
        let mut rest = file.strip_prefix(MAGIC.as_bytes()).ok_or(malformed("it begins otherwise"))?;
        let mut stanzas = Vec::new();
        loop {
            let line = next_line(&mut rest).ok_or(malformed("its header does not end"))?;
            if let Some(mac) = line.strip_prefix("--- ") {
                let end = file.len() - rest.len() - line.len() - 1;
                let signed = file.get(..end + 3).ok_or(malformed("its header does not end"))?;
                let mac = STANDARD_NO_PAD.decode(mac).map_err(|_| malformed("its header has no code"))?;
                return Ok(Self { stanzas, signed, mac, rest });
            }
            let arguments = line.strip_prefix("-> ").ok_or(malformed("a line of its header is unknown"))?;
            let mut body = String::new();
            loop {
                let line = next_line(&mut rest).ok_or(malformed("a recipient is cut"))?;
                body.push_str(line);
                if line.len() < 64 {
                    break;
                }
            }
            // Recipients of other kinds are others'.
            if let Some(share) = arguments.strip_prefix("X25519 ") {
                let share = STANDARD_NO_PAD.decode(share).ok().and_then(|share| share.try_into().ok());
                let body = STANDARD_NO_PAD.decode(body).ok().filter(|body| body.len() == 16 + TAG);
                let (Some(share), Some(body)) = (share, body) else { return Err(malformed("a recipient is damaged")) };
                stanzas.push((share, body));
            }
            if stanzas.len() > RECIPIENTS_MAX || file.len() - rest.len() > HEADER_BYTES_MAX {
                return Err(AgeError::Recipients);
            }
        }
    }
}

fn next_line<'f>(rest: &mut &'f [u8]) -> Option<&'f str> {
    let end = rest.iter().take(HEADER_BYTES_MAX).position(|byte| *byte == b'\n')?;
    let (line, after) = rest.split_at_checked(end)?;
    *rest = after.get(1..)?;
    std::str::from_utf8(line).ok()
}

fn public_of(private: &PrivateKey) -> Result<[u8; 32], AgeError> {
    let failed = AgeError::Library("the X25519 key");
    let public = private.compute_public_key().map_err(|_| failed.clone())?;
    public.as_ref().try_into().map_err(|_| failed)
}

/// The key that wraps the file key: X25519, then HKDF bound to both public keys.
fn wrap_key(
    private: &PrivateKey,
    peer: &[u8; 32],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<[u8; 32], AgeError> {
    let salt = [share.as_slice(), recipient.as_slice()].concat();
    let peer = UnparsedPublicKey::new(&X25519, peer);
    agree(private, peer, AgeError::Library("the X25519 agreement"), |shared| derive(shared, &salt, LABEL))
}

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<[u8; 32], AgeError> {
    let failed = |_| AgeError::Library("HKDF");
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret);
    let info = [info];
    let expanded = extracted.expand(&info, HKDF_SHA256).map_err(failed)?;
    let mut key = [0_u8; 32];
    expanded.fill(&mut key).map_err(failed)?;
    Ok(key)
}

/// Eleven bytes of counter, one that says whether it is the last.
fn chunk_nonce(number: usize, last: bool) -> [u8; 12] {
    let mut nonce = [0_u8; 12];
    for (byte, value) in nonce.iter_mut().skip(3).zip((number as u64).to_be_bytes()) {
        *byte = value;
    }
    if let Some(end) = nonce.last_mut() {
        *end = u8::from(last);
    }
    nonce
}

fn seal(key: &[u8; 32], nonce: [u8; 12], plain: &[u8]) -> Result<Vec<u8>, AgeError> {
    let failed = |_| AgeError::Library("ChaCha20-Poly1305");
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(failed)?);
    let mut body = plain.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut body).map_err(failed)?;
    Ok(body)
}

fn open(key: &[u8; 32], nonce: [u8; 12], sealed: &[u8]) -> Result<Vec<u8>, AgeError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| AgeError::Library("ChaCha20-Poly1305"))?;
    let mut body = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let length =
        LessSafeKey::new(key).open_in_place(nonce, Aad::empty(), &mut body).map_err(|_| AgeError::Altered)?.len();
    body.truncate(length);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use civic::testing::SeededRandom;

    use super::*;

    #[test]
    fn every_recipient_opens_the_file_and_nobody_else() {
        let random = SeededRandom::new(11);
        let keys: Vec<Identity> = (0..3).map(|_| Identity::generate(&random).unwrap()).collect();
        let recipients: Vec<Recipient> = keys.iter().take(2).map(|key| key.recipient().unwrap()).collect();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain = vec![7_u8; length];
            let file = encrypt(&recipients, &plain, &random).unwrap();
            assert_eq!(decrypt(&keys[0], &file).unwrap(), plain, "{length}");
            assert_eq!(decrypt(&keys[1], &file).unwrap(), plain, "{length}");
            assert_eq!(decrypt(&keys[2], &file), Err(AgeError::NotForUs));
        }
        assert_eq!(encrypt(&[], b"x", &random), Err(AgeError::Recipients));
    }

    #[test]
    fn no_altered_or_cut_file_opens() {
        let random = SeededRandom::new(12);
        let identity = Identity::generate(&random).unwrap();
        let file = encrypt(&[identity.recipient().unwrap()], b"a small archive", &random).unwrap();
        for place in 0..file.len() {
            let mut altered = file.clone();
            altered[place] ^= 1;
            assert!(decrypt(&identity, &altered).is_err(), "byte {place}");
            assert!(decrypt(&identity, &file[..place]).is_err(), "cut at {place}");
        }
        let long = encrypt(&[identity.recipient().unwrap()], &vec![1; 2 * CHUNK], &random).unwrap();
        assert_eq!(decrypt(&identity, &long[..long.len() - CHUNK - TAG]), Err(AgeError::Altered), "a chunk less");
    }

    #[test]
    fn keys_survive_their_text_and_mistakes_in_it_are_seen() {
        let identity = Identity::generate(&SeededRandom::new(13)).unwrap();
        let text = identity.to_text();
        assert!(text.starts_with("AGE-SECRET-KEY-1"));
        assert_eq!(Identity::parse(&format!("# created: today\n{text}\n")).unwrap(), identity);
        let public = identity.recipient().unwrap().to_string();
        assert_eq!(Recipient::parse(&public).unwrap().to_string(), public);
        assert!(Recipient::parse(&public.replacen('q', "p", 1)).is_err() || !public.contains('q'));
        assert_eq!(Recipient::parse(&public[..public.len() - 1]), Err(AgeError::Key("public key")));
        assert!(Recipient::parse(&text).is_err());
        assert_eq!(format!("{identity:?}"), "Identity(…)");
    }

    /// A file made by the Rust implementation of age (pyrage 1.2), with a recipient of an unknown kind beside ours.
    #[test]
    fn a_file_of_another_program_opens() {
        let identity =
            Identity::parse("AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0").unwrap();
        let public = "age1xmwwc06ly3ee5rytxm9mflaz2u56jjj36s0mypdrwsvlul66mv4q47ryef";
        assert_eq!(identity.recipient().unwrap().to_string(), public);
        let file = STANDARD.decode(concat!(
            "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBGMDVaWkNIck84N0RqczJDNXR6UHZoV1FUWnJXVnR1K2xhcEJSbll5",
            "dDFJCmc2QXNjREFjbDdid241THdWK09kUVdRWDlreEcyeUtHRkZMblJackFlOTQKLT4gfShJLWdyZWFzZSBBPFJeJXJlNiBY",
            "YyY4KVggTFw4JyppCk01UCsxUGJCcFkwcXgvWXVKT3ptdGR5YmNUYUxhUTlYMUloMUVmMU53OXpJZHFPZytMdjdvanVaSGx5",
            "YkRjMy8Kc3RhMkNscWZ1VERSRVF1YzJzVjJtdWxnZmUvMko2V045UWExZ09VWnhaL2RwdEpSejkyVGM3Q0sKLS0tIGFXUXFT",
            "SVB1dTJLUmNMRld0bTk2bTdLaFA3ZFphdVJoRVBIdU80dmlyMGcKTQ0VkDGPib3nmMBjw5MHveFNjJJLsnhGb3DHM3D9lvX9",
            "yhpyw47zhTWgqJB4Vml7W3v4JsWLdxWi1tiaYGOtYGNw5w==",
        ));
        assert_eq!(decrypt(&identity, &file.unwrap()).unwrap(), b"an archive made by another program\n");
    }
}
