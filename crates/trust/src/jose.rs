//! JSON Web Signatures (RFC 7515) and public keys (RFC 7517, 7638), as far as a State needs them: compact form, ES256
//! and EdDSA, nothing else. `none`, symmetric algorithms, `crit` and wrong types are refused before any signature is
//! looked at (RFC 8725).
//!
//! A token is verified against a [`Jwks`] that the caller trusts; keys, addresses and certificates inside a token are
//! never used. The `typ` that the caller expects is part of the question, so that a token made for one use cannot be
//! presented for another. Times and audiences are claims: check them with [`Registered::check`].
//!
//! ```
//! use trust::jose::{Jwks, jws_sign, jws_verify};
//! use trust::keys::SigningKey;
//! let key = SigningKey::generate_p256().unwrap();
//! let token = jws_sign(&key, "grant-use+jwt", &serde_json::json!({"jti": "7"})).unwrap();
//! let keys = Jwks::of([key.public()]).unwrap();
//! let (header, claims) = jws_verify::<serde_json::Value>(&token, &keys, "grant-use+jwt").unwrap();
//! assert_eq!((header.alg.as_str(), claims["jti"].as_str()), ("ES256", Some("7")));
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

mod claims;

pub use claims::{Audience, Registered};

use crate::digest;
use crate::keys::{KeyError, KeyKind, PublicKey, SignatureAlgorithm, SigningKey};

/// The longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The most keys that are read from one set.
pub const KEYS_MAX: usize = 64;

/// Why a token or a key set is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum JoseError {
    /// The token is longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// The token is not three base64url parts around JSON (RFC 7515 §3.1).
    #[error("the token is not a JWS in compact form: {0}")]
    Malformed(&'static str),
    /// The header or the claims are not the JSON that is expected here.
    #[error("the {part} of the token is not as expected here: {reason}")]
    Json {
        /// `header` or `claims`.
        part: &'static str,
        /// What the JSON reader says.
        reason: String,
    },
    /// `alg` is neither ES256 nor EdDSA.
    #[error("the token is signed with `{0}`; only ES256 and EdDSA are accepted")]
    Algorithm(String),
    /// The header holds `crit` (RFC 7515 §4.1.11): an extension that must be understood and is not.
    #[error("the token needs an extension (crit) that is not supported")]
    Critical,
    /// The token was made for another use.
    #[error("the token has typ `{found}`; `{expected}` is needed")]
    Type {
        /// What the verifier needs.
        expected: String,
        /// What the header says.
        found: String,
    },
    /// No trusted key fits the header's `kid` and `alg`.
    #[error(
        "no trusted key has the id `{0}` and fits the algorithm: fetch the signer's key set again, or register the key"
    )]
    UnknownKey(String),
    /// The signature does not fit.
    #[error("the signature of the token is not valid")]
    Signature,
    /// A claim is missing or wrong.
    #[error("the claim `{claim}` {reason}")]
    Claim {
        /// The name of the claim.
        claim: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A public key cannot be written as, or read from, a JWK of P-256 or Ed25519.
    #[error("not a public key of P-256 or Ed25519: {0}")]
    Key(&'static str),
    /// The signing key failed.
    #[error("the token could not be signed: {0}")]
    Signing(#[from] KeyError),
}

/// The protected header of a token, as far as it means something here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The algorithm: `ES256` or `EdDSA`.
    pub alg: String,
    /// What the token is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// Which key signed it: the RFC 7638 thumbprint in our own tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    #[serde(default, skip_serializing)]
    crit: Option<serde_json::Value>,
}

/// A public key of P-256 or Ed25519 with its id.
#[derive(Clone, Debug)]
pub struct Jwk {
    members: JwkMembers,
    key: PublicKey,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct JwkMembers {
    kty: String,
    crv: String,
    x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(default, skip_serializing)]
    d: Option<serde_json::Value>,
}

/// A set of trusted public keys (RFC 7517 §5). Reading passes over keys of other kinds and for other uses.
#[derive(Clone, Debug, Default)]
pub struct Jwks {
    keys: Vec<Jwk>,
}

/// Signs claims: compact JWS, header `alg`, `typ`, `kid` (thumbprint). ES256 with a P-256 key, EdDSA with an Ed25519 key.
pub fn jws_sign(key: &SigningKey, typ: &str, claims: &impl Serialize) -> Result<String, JoseError> {
    let jwk = Jwk::of(key.public())?;
    jws_sign_with(key, &jwk, typ, claims)
}

/// As [`jws_sign`], with the public key at hand: saves deriving the thumbprint for every token.
pub fn jws_sign_with(key: &SigningKey, jwk: &Jwk, typ: &str, claims: &impl Serialize) -> Result<String, JoseError> {
    let header =
        Header { alg: jwk.alg().to_owned(), typ: Some(typ.to_owned()), kid: Some(jwk.kid().to_owned()), crit: None };
    let mut token = encode_json("header", &header)?;
    token.push('.');
    token.push_str(&encode_json("claims", claims)?);
    let signature = key.sign(jwk.algorithm(), token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// Checks form, type, algorithm and signature against trusted keys and answers header and claims.
/// Times, issuer and audience are the caller's to check: see [`Registered::check`].
pub fn jws_verify<Claims: DeserializeOwned>(
    token: &str,
    trusted: &Jwks,
    typ: &str,
) -> Result<(Header, Claims), JoseError> {
    let parts = Parts::split(token)?;
    let header = parts.header()?;
    let found = header.typ.as_deref().unwrap_or_default();
    if !same_media_type(found, typ) {
        return Err(JoseError::Type { expected: typ.to_owned(), found: cut(found) });
    }
    let signature = decode(parts.signature, "the signature is not base64url")?;
    let candidates = trusted.candidates(header.kid.as_deref(), &header.alg);
    if candidates.is_empty() {
        return Err(JoseError::UnknownKey(cut(header.kid.as_deref().unwrap_or("(none)"))));
    }
    let valid =
        candidates.iter().any(|jwk| jwk.key.verify(jwk.algorithm(), parts.signed.as_bytes(), &signature).is_ok());
    if !valid {
        return Err(JoseError::Signature);
    }
    Ok((header, decode_json("claims", parts.claims)?))
}

/// The header and claims of a token **that nobody has verified**: only to find out whose keys to verify it with
/// (for instance `iss`), before [`jws_verify`].
pub fn jws_unverified<Claims: DeserializeOwned>(token: &str) -> Result<(Header, Claims), JoseError> {
    let parts = Parts::split(token)?;
    Ok((parts.header()?, decode_json("claims", parts.claims)?))
}

impl Jwk {
    /// The JWK of a public key; its `kid` is the thumbprint.
    pub fn of(key: &PublicKey) -> Result<Self, JoseError> {
        let mut members = match (key.kind(), key.raw()) {
            (KeyKind::P256, [4, point @ ..]) => {
                let (x, y) = point.split_at_checked(32).ok_or(JoseError::Key("the point is too short"))?;
                JwkMembers::new("EC", "P-256", "ES256", x, Some(y))
            }
            (KeyKind::Ed25519, raw) => JwkMembers::new("OKP", "Ed25519", "EdDSA", raw, None),
            _ => return Err(JoseError::Key("other kind of key")),
        };
        members.kid = Some(members.thumbprint());
        Ok(Self { members, key: key.clone() })
    }

    /// The id of the key: the thumbprint where the set that it came from gave none.
    pub fn kid(&self) -> &str {
        self.members.kid.as_deref().unwrap_or_default()
    }

    /// The SHA-256 thumbprint (RFC 7638), base64url.
    pub fn thumbprint(&self) -> String {
        self.members.thumbprint()
    }

    /// The public key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The name of the only algorithm this key verifies: `ES256` or `EdDSA`.
    pub fn alg(&self) -> &'static str {
        if self.members.kty == "EC" { "ES256" } else { "EdDSA" }
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        if self.members.kty == "EC" { SignatureAlgorithm::EcdsaSha256Fixed } else { SignatureAlgorithm::Ed25519 }
    }
}

impl JwkMembers {
    fn new(kty: &str, crv: &str, alg: &str, x: &[u8], y: Option<&[u8]>) -> Self {
        Self {
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x: URL_SAFE_NO_PAD.encode(x),
            y: y.map(|y| URL_SAFE_NO_PAD.encode(y)),
            kid: None,
            alg: Some(alg.to_owned()),
            usage: Some("sig".to_owned()),
            d: None,
        }
    }

    /// RFC 7638 §3: the required members in alphabetical order, without white space. The values are base64url and
    /// names, so nothing needs escaping.
    fn thumbprint(&self) -> String {
        let y = self.y.as_ref().map(|y| format!(",\"y\":\"{y}\"")).unwrap_or_default();
        let text = format!("{{\"crv\":\"{}\",\"kty\":\"{}\",\"x\":\"{}\"{y}}}", self.crv, self.kty, self.x);
        URL_SAFE_NO_PAD.encode(digest::sha256(text.as_bytes()))
    }
}

impl TryFrom<JwkMembers> for Jwk {
    type Error = JoseError;

    fn try_from(mut members: JwkMembers) -> Result<Self, JoseError> {
        if members.d.is_some() {
            return Err(JoseError::Key("it holds the private part; the key is burnt, make a new one"));
        }
        if members.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err(JoseError::Key("it is not for signatures"));
        }
        let (alg, key) = match (members.kty.as_str(), members.crv.as_str(), members.y.as_deref()) {
            ("EC", "P-256", Some(y)) => {
                let point = [vec![4], coordinate(&members.x)?, coordinate(y)?].concat();
                ("ES256", PublicKey::from_p256_point(&point))
            }
            ("OKP", "Ed25519", None) => ("EdDSA", PublicKey::from_ed25519_bytes(&coordinate(&members.x)?)),
            _ => return Err(JoseError::Key("other kind of key")),
        };
        if members.alg.as_deref().is_some_and(|named| named != alg) {
            return Err(JoseError::Key("its alg does not fit its curve"));
        }
        let key = key.map_err(|_| JoseError::Key("it is not a point of the curve"))?;
        if members.kid.as_ref().is_none_or(|kid| kid.len() > 256) {
            members.kid = Some(members.thumbprint());
        }
        Ok(Self { members, key })
    }
}

impl Serialize for Jwk {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.members.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(JwkMembers::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Jwks {
    /// The set of these public keys.
    pub fn of<'k>(keys: impl IntoIterator<Item = &'k PublicKey>) -> Result<Self, JoseError> {
        Ok(Self { keys: keys.into_iter().map(Jwk::of).collect::<Result<_, _>>()? })
    }

    /// Reads the JSON of a key set. Keys that cannot verify here (RSA, encryption keys, …) are passed over.
    pub fn from_json(json: &[u8]) -> Result<Self, JoseError> {
        serde_json::from_slice(json).map_err(|error| JoseError::Json { part: "key set", reason: error.to_string() })
    }

    /// The keys.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// Adds a key, for instance the next one before a rotation.
    pub fn push(&mut self, key: Jwk) {
        self.keys.push(key);
    }

    fn candidates(&self, kid: Option<&str>, alg: &str) -> Vec<&Jwk> {
        self.keys.iter().filter(|jwk| jwk.alg() == alg && kid.is_none_or(|kid| jwk.kid() == kid)).take(4).collect()
    }
}

impl Serialize for Jwks {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Set<'a> {
            keys: &'a [Jwk],
        }
        Set { keys: &self.keys }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Jwks {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set = Set::deserialize(deserializer)?;
        if set.keys.len() > KEYS_MAX {
            return Err(serde::de::Error::custom(format!("more than {KEYS_MAX} keys")));
        }
        Ok(Self { keys: set.keys.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect() })
    }
}

struct Parts<'t> {
    signed: &'t str,
    header: &'t str,
    claims: &'t str,
    signature: &'t str,
}

impl<'t> Parts<'t> {
    fn split(token: &'t str) -> Result<Self, JoseError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JoseError::TooLong);
        }
        let three = JoseError::Malformed("it has not three parts between two dots");
        let Some((signed, signature)) = token.rsplit_once('.') else { return Err(three) };
        let Some((header, claims)) = signed.split_once('.') else { return Err(three) };
        if claims.contains('.') {
            return Err(three);
        }
        Ok(Self { signed, header, claims, signature })
    }

    fn header(&self) -> Result<Header, JoseError> {
        let header: Header = decode_json("header", self.header)?;
        if header.crit.is_some() {
            return Err(JoseError::Critical);
        }
        if header.alg != "ES256" && header.alg != "EdDSA" {
            return Err(JoseError::Algorithm(cut(&header.alg)));
        }
        Ok(header)
    }
}

/// RFC 7515 §4.1.9: `application/` may be left out; names of media types do not know upper and lower case.
fn same_media_type(found: &str, expected: &str) -> bool {
    let short = found
        .get(..12)
        .filter(|prefix| prefix.eq_ignore_ascii_case("application/"))
        .map_or(found, |_| found.get(12..).unwrap_or_default());
    short.eq_ignore_ascii_case(expected)
}

fn coordinate(text: &str) -> Result<Vec<u8>, JoseError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| JoseError::Key("a coordinate is not base64url"))?;
    if bytes.len() == 32 { Ok(bytes) } else { Err(JoseError::Key("a coordinate has not 32 bytes")) }
}

fn encode_json(part: &'static str, value: &impl Serialize) -> Result<String, JoseError> {
    let json = serde_json::to_vec(value).map_err(|error| JoseError::Json { part, reason: error.to_string() })?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

fn decode_json<T: DeserializeOwned>(part: &'static str, text: &str) -> Result<T, JoseError> {
    let json = decode(text, "a part is not base64url without padding")?;
    serde_json::from_slice(&json).map_err(|error| JoseError::Json { part, reason: error.to_string() })
}

fn decode(text: &str, reason: &'static str) -> Result<Vec<u8>, JoseError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JoseError::Malformed(reason))
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn key() -> (SigningKey, Jwks) {
        let key = SigningKey::generate_p256().unwrap();
        let keys = Jwks::of([key.public()]).unwrap();
        (key, keys)
    }

    fn token_with_header(header: &Value, key: &SigningKey) -> String {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(json!({"jti": "1"}).to_string())
        );
        let signature = key.sign(SignatureAlgorithm::EcdsaSha256Fixed, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn a_token_is_read_by_those_who_trust_its_key_and_expect_its_type() {
        for key in [SigningKey::generate_p256().unwrap(), SigningKey::generate_ed25519().unwrap()] {
            let keys = Jwks::of([key.public()]).unwrap();
            let keys = Jwks::from_json(&serde_json::to_vec(&keys).unwrap()).unwrap();
            let token = jws_sign(&key, "at+jwt", &json!({"jti": "1"})).unwrap();
            let (header, claims) = jws_verify::<Value>(&token, &keys, "at+jwt").unwrap();
            assert_eq!(claims["jti"], "1");
            assert_eq!(header.kid.as_deref(), Some(keys.keys()[0].thumbprint().as_str()));
            assert!(matches!(jws_verify::<Value>(&token, &keys, "JWT"), Err(JoseError::Type { .. })));
            assert!(matches!(jws_verify::<Value>(&token, &self::key().1, "at+jwt"), Err(JoseError::UnknownKey(_))));
        }
    }

    #[test]
    fn the_thumbprint_of_rfc_8037_is_found() {
        let jwk: Jwk = serde_json::from_value(json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        }))
        .unwrap();
        assert_eq!(jwk.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_signature_of_rfc_8037_appendix_a4_verifies() {
        let keys = Jwks::from_json(
            br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        )
        .unwrap();
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = URL_SAFE_NO_PAD
            .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
            .unwrap();
        let key = keys.keys()[0].public_key();
        assert!(key.verify(SignatureAlgorithm::Ed25519, signed.as_bytes(), &signature).is_ok());
    }

    #[test]
    fn the_well_known_tricks_are_refused() {
        let (key, keys) = key();
        let kid = keys.keys()[0].kid();
        for alg in ["none", "None", "HS256", "RS256", "ES384", ""] {
            let token = token_with_header(&json!({"alg": alg, "typ": "at+jwt", "kid": kid}), &key);
            assert!(matches!(jws_verify::<Value>(&token, &keys, "at+jwt"), Err(JoseError::Algorithm(_))), "{alg}");
        }
        let token = token_with_header(&json!({"alg": "ES256", "typ": "at+jwt", "crit": ["b64"], "b64": false}), &key);
        assert!(matches!(jws_verify::<Value>(&token, &keys, "at+jwt"), Err(JoseError::Critical)));
        let foreign = SigningKey::generate_p256().unwrap();
        let token = token_with_header(&json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}), &foreign);
        assert!(matches!(jws_verify::<Value>(&token, &keys, "at+jwt"), Err(JoseError::Signature)));
        let token = token_with_header(&json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid}), &key);
        assert!(matches!(jws_verify::<Value>(&token, &keys, "at+jwt"), Err(JoseError::UnknownKey(_))));
        let token = token_with_header(&json!({"alg": "ES256", "typ": "application/AT+JWT", "kid": kid}), &key);
        assert!(jws_verify::<Value>(&token, &keys, "at+jwt").is_ok());
        let long = format!("{}.{}", "a".repeat(TOKEN_BYTES_MAX), token);
        assert!(matches!(jws_verify::<Value>(&long, &keys, "at+jwt"), Err(JoseError::TooLong)));
    }

    #[test]
    fn a_private_key_in_a_set_is_not_used() {
        let set = Jwks::from_json(
            br#"{"keys":[{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
        )
        .unwrap();
        assert!(set.keys().is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_refused_without_a_panic(text in "[A-Za-z0-9_.-]{0,80}") {
            let (_, keys) = key();
            prop_assert!(jws_verify::<Value>(&text, &keys, "at+jwt").is_err());
        }

        #[test]
        fn one_changed_character_breaks_the_token(position in 0_usize..120) {
            let (key, keys) = key();
            let token = jws_sign(&key, "at+jwt", &json!({"sub": "someone", "n": 1})).unwrap();
            let position = position % token.len();
            let mut bytes = token.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert!(jws_verify::<Value>(&changed, &keys, "at+jwt").is_err());
        }
    }
}
