//! Keys as objects of a token: found, made, used, deleted.

use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use der::asn1::OctetStringRef;
use der::{Decode as _, Encode as _};

use super::TokenError;
use super::error::Failure;
use crate::digest::DigestAlgorithm;
use crate::keys::{KeyKind, PublicKey, TokenInput};

/// 65537, as everyone has it.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// The private key to a public one: by its modulus (RSA), or by the identifier that it shares with the public key object.
pub(super) fn private_key(session: &Session, public: &PublicKey) -> Result<ObjectHandle, Failure> {
    let private = Attribute::Class(ObjectClass::PRIVATE_KEY);
    let missing = || Failure::Final(TokenError::NoKey(public.kind()));
    if let Some((modulus, _)) = public.rsa_numbers() {
        let found = find(session, &[private, Attribute::KeyType(KeyType::RSA), Attribute::Modulus(modulus)])?;
        return found.first().copied().ok_or_else(missing);
    }
    for object in public_objects(session, public)? {
        let id = attribute(session, object, AttributeType::Id)?;
        let Some(Attribute::Id(id)) = id.filter(|id| !matches!(id, Attribute::Id(id) if id.is_empty())) else {
            continue;
        };
        let template = [private.clone(), Attribute::KeyType(KeyType::EC), Attribute::Id(id)];
        if let Some(found) = find(session, &template)?.first() {
            return Ok(*found);
        }
    }
    Err(missing())
}

/// The public half of the only key pair with this label.
pub(super) fn by_label(session: &Session, label: &str) -> Result<Option<PublicKey>, Failure> {
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Label(label.as_bytes().to_vec())];
    match *find(session, &template)? {
        [] => Ok(None),
        [one] => read_public(session, one).map(Some),
        _ => Err(Failure::Final(TokenError::SeveralKeys(label.to_owned()))),
    }
}

/// Makes a key pair that stays.
pub(super) fn generate(session: &Session, kind: KeyKind, label: &str, id: &[u8]) -> Result<PublicKey, Failure> {
    let both = [Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id.to_vec())];
    let mut public = both.to_vec();
    public.extend([Attribute::Private(false), Attribute::Verify(true)]);
    let mut private = both.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
    ]);
    let unsupported = || Failure::Final(TokenError::Unsupported(format!("keys of kind {kind}")));
    let mechanism = match kind {
        KeyKind::P256 | KeyKind::P384 => {
            public.push(Attribute::EcParams(kind.curve_der().ok_or_else(unsupported)?));
            Mechanism::EccKeyPairGen
        }
        KeyKind::Rsa { bits: bits @ (2_048 | 3_072 | 4_096) } => {
            public.push(Attribute::ModulusBits(Ulong::new(bits.into())));
            public.push(Attribute::PublicExponent(RSA_EXPONENT.to_vec()));
            Mechanism::RsaPkcsKeyPairGen
        }
        KeyKind::Rsa { .. } | KeyKind::Ed25519 => return Err(unsupported()),
    };
    let (public, _) = session.generate_key_pair(&mechanism, &public, &private).map_err(Failure::of)?;
    read_public(session, public)
}

/// Deletes both halves.
pub(super) fn delete(session: &Session, public: &PublicKey) -> Result<(), Failure> {
    let private = private_key(session, public)?;
    session.destroy_object(private).map_err(Failure::of)?;
    for object in public_objects(session, public)? {
        session.destroy_object(object).map_err(Failure::of)?;
    }
    Ok(())
}

/// One signature.
pub(super) fn sign(session: &Session, key: ObjectHandle, input: TokenInput<'_>) -> Result<Vec<u8>, Failure> {
    let (mechanism, data) = match input {
        TokenInput::Ecdsa(digest) => (Mechanism::Ecdsa, digest),
        TokenInput::RsaPkcs1(info) => (Mechanism::RsaPkcs, info),
        TokenInput::RsaPss { digest, algorithm } => {
            let (hash_alg, mgf) = match algorithm {
                DigestAlgorithm::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
                DigestAlgorithm::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
                DigestAlgorithm::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
                DigestAlgorithm::Sha1 => return Err(TokenError::Unsupported("SHA-1".to_owned()).into()),
            };
            let s_len = Ulong::try_from(digest.len()).map_err(Failure::of)?;
            (Mechanism::RsaPkcsPss(PkcsPssParams { hash_alg, mgf, s_len }), digest)
        }
    };
    session.sign(&mechanism, key, data).map_err(Failure::of)
}

/// The objects of a public key.
fn public_objects(session: &Session, public: &PublicKey) -> Result<Vec<ObjectHandle>, Failure> {
    let class = Attribute::Class(ObjectClass::PUBLIC_KEY);
    if let Some((modulus, _)) = public.rsa_numbers() {
        return find(session, &[class, Attribute::KeyType(KeyType::RSA), Attribute::Modulus(modulus)]);
    }
    let wrapped = OctetStringRef::new(public.raw()).and_then(|point| point.to_der());
    let wrapped = wrapped.map_err(|error| TokenError::Unreadable(error.to_string()))?;
    let of = |point: Vec<u8>| [class.clone(), Attribute::KeyType(KeyType::EC), Attribute::EcPoint(point)];
    let found = find(session, &of(wrapped))?;
    // Old modules keep the bare point, against PKCS#11 §2.3.3.
    if found.is_empty() { find(session, &of(public.raw().to_vec())) } else { Ok(found) }
}

fn read_public(session: &Session, object: ObjectHandle) -> Result<PublicKey, Failure> {
    let unreadable = |reason: &str| Failure::Final(TokenError::Unreadable(reason.to_owned()));
    let bytes = |kind| match attribute(session, object, kind)? {
        Some(
            Attribute::EcParams(bytes)
            | Attribute::EcPoint(bytes)
            | Attribute::Modulus(bytes)
            | Attribute::PublicExponent(bytes),
        ) => Ok(bytes),
        _ => Err(unreadable("it lacks a part")),
    };
    let public = match attribute(session, object, AttributeType::KeyType)? {
        Some(Attribute::KeyType(KeyType::EC)) => {
            let point = bytes(AttributeType::EcPoint)?;
            let bare = <&OctetStringRef>::from_der(&point).map_or(point.as_slice(), |wrapped| wrapped.as_bytes());
            PublicKey::from_point(&bytes(AttributeType::EcParams)?, bare)
        }
        Some(Attribute::KeyType(KeyType::RSA)) => {
            PublicKey::from_rsa_numbers(&bytes(AttributeType::Modulus)?, &bytes(AttributeType::PublicExponent)?)
        }
        _ => return Err(unreadable("it is neither elliptic nor RSA")),
    };
    public.map_err(|error| unreadable(&error.to_string()))
}

fn find(session: &Session, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Failure> {
    session.find_objects(template).map_err(Failure::of)
}

fn attribute(session: &Session, object: ObjectHandle, kind: AttributeType) -> Result<Option<Attribute>, Failure> {
    Ok(session.get_attributes(object, &[kind]).map_err(Failure::of)?.into_iter().next())
}
