use civic::MemberId;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use trust::cert::{Certificate, KeyUse, NameAttribute};
use trust::keys::{KeyKind, SignatureAlgorithm};
use trust::mserv::Command;

use super::call::{Call, Reply, Result, member_id, shorten};
use super::error::ApiError;
use super::keys::{KeyRow, rows};
use super::management::{ask_as_owner, ask_for_certificate, checked_address, is_registered, seen};
use super::store::{self, KeptCertificate};
use crate::usage::hex_text;

/// A certificate, DER or PEM.
pub(super) fn read_certificate(bytes: &[u8]) -> Result<Certificate> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN CERTIFICATE-----"));
    let read = text.map_or_else(|| Certificate::from_der(bytes), Certificate::from_pem);
    read.map_err(|error| ApiError::new(http::StatusCode::BAD_REQUEST, "invalid_cert", error.to_string()))
}

/// SHA-256, hexadecimal: how certificates are named in paths.
pub(super) fn hash_of(certificate: &Certificate) -> String {
    hex_text(&certificate.sha256())
}

/// What a certificate says.
pub(super) fn details(certificate: &Certificate) -> Json {
    let usages = [
        (KeyUse::DigitalSignature, "DIGITAL_SIGNATURE"),
        (KeyUse::NonRepudiation, "NON_REPUDIATION"),
        (KeyUse::KeyEncipherment, "KEY_ENCIPHERMENT"),
        (KeyUse::CertificateSigning, "KEY_CERT_SIGN"),
    ];
    let usages: Vec<&str> =
        usages.into_iter().filter(|(usage, _)| certificate.allows(*usage)).map(|(_, word)| word).collect();
    let key = certificate.public_key();
    // X-Road's definition requires the two numbers of every key; one that is no RSA key has none.
    let (modulus, exponent) = key.rsa_numbers().map_or_else(
        || ("0".to_owned(), 0),
        |(modulus, exponent)| {
            (hex_text(&modulus), exponent.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte)))
        },
    );
    let mut shown = json!({
        "issuer_distinguished_name": certificate.issuer().to_string(),
        "issuer_common_name": certificate.issuer().get(NameAttribute::CommonName).unwrap_or_default(),
        "subject_distinguished_name": certificate.subject().to_string(),
        "subject_common_name": certificate.subject().get(NameAttribute::CommonName).unwrap_or_default(),
        "not_before": certificate.not_before().rfc3339(),
        "not_after": certificate.not_after().rfc3339(),
        "serial": certificate.serial_decimal(),
        "version": 3,
        "signature_algorithm": certificate.signature_algorithm().map_or("unknown", signature_name),
        "signature": hex_text(certificate.signature()),
        "public_key_algorithm": algorithm_of(key.kind()),
        "rsa_public_key_modulus": modulus,
        "rsa_public_key_exponent": exponent,
        "hash": hash_of(certificate),
        "key_usages": usages,
        "subject_alternative_names": certificate.alternative_names().join(", "),
    });
    let curve = match key.kind() {
        KeyKind::P256 => "secp256r1 (1.2.840.10045.3.1.7)",
        KeyKind::P384 => "secp384r1 (1.3.132.0.34)",
        KeyKind::Ed25519 | KeyKind::Rsa { .. } => return shown,
    };
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("ec_public_parameters".to_owned(), json!(curve));
        shown.insert("ec_public_key_point".to_owned(), json!(hex_text(key.raw())));
    }
    shown
}

/// What kind of key it is, in X-Road's words.
pub(super) const fn algorithm_of(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Rsa { .. } => "RSA",
        KeyKind::P256 | KeyKind::P384 => "EC",
        KeyKind::Ed25519 => "EdDSA",
    }
}

/// The names that Java has for them, which X-Road shows.
const fn signature_name(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::EcdsaSha256Fixed | SignatureAlgorithm::EcdsaSha256Der => "SHA256withECDSA",
        SignatureAlgorithm::EcdsaSha384Fixed | SignatureAlgorithm::EcdsaSha384Der => "SHA384withECDSA",
        SignatureAlgorithm::EcdsaSha512Fixed | SignatureAlgorithm::EcdsaSha512Der => "SHA512withECDSA",
        SignatureAlgorithm::Ed25519 => "Ed25519",
        SignatureAlgorithm::RsaPkcs1Sha256 => "SHA256withRSA",
        SignatureAlgorithm::RsaPkcs1Sha384 => "SHA384withRSA",
        SignatureAlgorithm::RsaPkcs1Sha512 => "SHA512withRSA",
        SignatureAlgorithm::RsaPssSha256 | SignatureAlgorithm::RsaPssSha384 | SignatureAlgorithm::RsaPssSha512 => {
            "RSASSA-PSS"
        }
    }
}

/// Imports a certificate for a key that this node has.
pub(super) async fn import(call: Call) -> Result {
    let certificate = read_certificate(&call.body)?;
    let snapshot = call.snapshot()?;
    let conflict = |code, what: &str| Err(ApiError::conflict(code, what));
    let all = rows(&call).await?;
    let of_key = all.iter().find(|row| row.public.spki_der() == certificate.public_key().spki_der());
    let Some(row) = of_key else {
        return conflict(
            "key_not_found",
            "the certificate is of no key of this node: make a key and a request here first",
        );
    };
    let hash = hash_of(&certificate);
    if row.certificates.iter().any(|known| known.id == hash) {
        return conflict("certificate_already_exists", "this certificate is here already");
    }
    if snapshot.issuer_of(&certificate).is_none() {
        return conflict("certificate_not_issued_by_approved_ca", "no authority of the global configuration issued it");
    }
    let fits = match row.usage {
        "SIGNING" => certificate.is_sign_certificate(),
        _ => certificate.is_auth_certificate(),
    };
    if !fits {
        return conflict("wrong_cert_usage", "the certificate is for another use than its key");
    }
    let owner = call.core.config.server.owner();
    let named = snapshot.own().and_then(|own| own.check_sign_cert(&certificate, &[], call.core.clock.now()).ok());
    let serves = |member: &MemberId| member == owner || call.serves_member(member);
    if row.usage == "SIGNING" && !named.as_ref().is_some_and(serves) {
        return conflict(
            "client_not_found",
            "the certificate names neither the owner of this node nor a member who is its client",
        );
    }
    if !certificate.is_valid_at(call.core.clock.now()) {
        return conflict("certificate_not_valid", "the certificate does not hold now");
    }
    let status = if row.usage == "SIGNING" { "registered" } else { "saved" };
    let member = named.filter(|_| row.usage == "SIGNING");
    // A client's first certificate is in use at once: there is none to go on with.
    let of_client = |member: &MemberId| member != owner;
    let signs = |member: &MemberId| {
        all.iter().flat_map(|row| &row.certificates).any(|one| one.active && one.is_of(member, owner))
    };
    let active = member.as_ref().is_some_and(|member| of_client(member) && !signs(member));
    let kept = KeptCertificate {
        id: hash.clone(),
        key: row.id.clone(),
        certificate: certificate.der().to_vec(),
        status: status.to_owned(),
        active,
        member,
    };
    let now = call.core.clock.now();
    let import = move |tx: &mut ::store::Tx<'_>| {
        store::insert_certificate(tx, &kept, now)?;
        store::raise_version(tx)
    };
    call.act("bridge.import_certificate", "import_certificate", &hash, import).await?;
    if let Err(reason) = crate::reload::take_over(&call.core).await {
        tracing::warn!(node = %call.core.config.server, reason, "an imported certificate is not in use yet");
    }
    let (row, kept) = find(&call, &hash).await?;
    Ok(Reply::created(shown(&call, &row, &kept, &certificate)))
}

pub(super) async fn get(call: Call) -> Result {
    let (row, kept) = find(&call, call.param("hash")).await?;
    let certificate = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
    Ok(Reply::json(shown(&call, &row, &kept, &certificate)))
}

pub(super) async fn delete(call: Call) -> Result {
    let (row, kept) = find(&call, call.param("hash")).await?;
    check_deletable(&call, &row, &kept)?;
    let id = kept.id.clone();
    call.act("bridge.delete_certificate", "delete_certificate", &kept.id, move |tx| store::remove_certificate(tx, &id))
        .await?;
    Ok(Reply::done())
}

/// Refuses to let a certificate go that is in use, or that the authority knows: this node could not unregister it any more.
pub(super) fn check_deletable(call: &Call, row: &KeyRow, kept: &KeptCertificate) -> Result<()> {
    if row.own || kept.active {
        let what =
            format!("the node uses the certificate {}, or has it in its files: activate another one first", kept.id);
        return Err(in_use(&what));
    }
    let certificate = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
    if !actions(row, kept, seen(&call.core, row.usage, kept, &certificate)).contains(&"DELETE") {
        let what = format!("the authority knows the certificate {}: unregister it first", kept.id);
        return Err(ApiError::conflict("action_not_possible", what));
    }
    Ok(())
}

/// The node uses the certificate and its key from the next exchange on.
pub(super) async fn activate(call: Call) -> Result {
    let (row, kept) = find(&call, call.param("hash")).await?;
    if row.own && kept.active {
        return Ok(Reply::done());
    }
    let snapshot = call.snapshot()?;
    let certificate = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
    if row.usage != "SIGNING" && !is_registered(&call.core, &snapshot, &certificate) {
        let what = "the global configuration does not name this certificate for this node: register it first, and wait for the authority";
        return Err(ApiError::conflict("action_not_possible", what));
    }
    use_only(&call, &row, &kept, Use::Activate).await?;
    Ok(Reply::done())
}

/// The node goes back to the certificate that it has in its files.
pub(super) async fn disable(call: Call) -> Result {
    let (row, kept) = find(&call, call.param("hash")).await?;
    if row.own {
        return Err(in_use("the node has this certificate in its files: activate another one, then it rests"));
    }
    if kept.active {
        use_only(&call, &row, &kept, Use::Disable).await?;
    } else {
        call.audit(Use::Disable.action(), &kept.id).await?;
    }
    Ok(Reply::done())
}

/// Not `action_not_possible`: of that, tools of X-Road tell their user that it is done already.
fn in_use(what: &str) -> ApiError {
    ApiError::conflict("certificate_in_use", what)
}

/// What is done with a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Activate,
    Disable,
}

impl Use {
    const fn action(self) -> &'static str {
        match self {
            Self::Activate => "activate_certificate",
            Self::Disable => "disable_certificate",
        }
    }

    /// What the audit says where the node cannot work with it and goes back.
    const fn taken_back(self) -> &'static str {
        match self {
            Self::Activate => "take_back_activate_certificate",
            Self::Disable => "take_back_disable_certificate",
        }
    }
}

/// Of the imported certificates for the use and the member of this one, it alone is in use, or none. The certificate of the files is in use where
/// none of the others is. Where the node cannot work with that, all stays.
async fn use_only(call: &Call, row: &KeyRow, kept: &KeptCertificate, wanted: Use) -> Result<()> {
    let all = rows(call).await?;
    let owner = call.core.config.server.owner();
    let member = kept.member.as_ref().unwrap_or(owner);
    let rivals =
        all.iter().filter(|other| other.usage == row.usage && !other.own).flat_map(|other| &other.certificates);
    let before: Vec<(String, bool)> =
        rivals.filter(|one| one.is_of(member, owner)).map(|one| (one.id.clone(), one.active)).collect();
    let after = before.iter().map(|(id, _)| (id.clone(), wanted == Use::Activate && *id == kept.id)).collect();
    set_active(call, wanted.action(), &kept.id, after).await?;
    if let Err(reason) = crate::reload::take_over(&call.core).await {
        set_active(call, wanted.taken_back(), &kept.id, before).await?;
        let what = format!("the node cannot work with this certificate now: {reason}. It goes on with the one before");
        return Err(ApiError::conflict("action_not_possible", what));
    }
    Ok(())
}

async fn set_active(call: &Call, action: &'static str, object: &str, all: Vec<(String, bool)>) -> Result<()> {
    let write = move |tx: &mut ::store::Tx<'_>| {
        for (id, active) in &all {
            store::set_certificate(tx, id, "active", (*active).into())?;
        }
        store::raise_version(tx)
    };
    call.act("bridge.activate_certificate", action, object, write).await
}

pub(super) async fn possible_actions(call: Call) -> Result {
    let (row, kept) = find(&call, call.param("hash")).await?;
    let certificate = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
    Ok(Reply::json(json!(actions(&row, &kept, seen(&call.core, row.usage, &kept, &certificate)))))
}

#[derive(Default, Deserialize)]
struct RegisterBody {
    #[serde(default)]
    address: Option<String>,
}

/// Asks the authority; without an address in the body, for the one that the global configuration knows.
pub(super) async fn register(call: Call) -> Result {
    let (row, kept) = authentication(&call).await?;
    let RegisterBody { address } = call.optional_json()?;
    let certificate = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
    let snapshot = call.snapshot()?;
    if is_registered(&call.core, &snapshot, &certificate) {
        set_status(&call, &row, &kept, "registered").await?;
        return Ok(Reply::done());
    }
    let known = snapshot.address_of(&call.core.config.server);
    let address = address.filter(|address| !address.is_empty()).or(known);
    let address = address.ok_or_else(|| ApiError::bad("name the address under which other nodes reach this one"))?;
    ask_for_certificate(&call, &row.id, &certificate, checked_address(&address)?).await?;
    set_status(&call, &row, &kept, "registration_in_progress").await?;
    Ok(Reply::done())
}

/// Asks the authority to take the certificate out of the global configuration, or takes a request back that waits.
pub(super) async fn unregister(call: Call) -> Result {
    let (row, kept) = authentication(&call).await?;
    if kept.active {
        let what = "the node uses this certificate: activate another one first, or nobody can reach it any more";
        return Err(in_use(what));
    }
    let server = call.core.config.server.clone();
    ask_as_owner(&call, Command::AuthCertDeletion { server, auth_cert: kept.certificate.clone() }).await?;
    set_status(&call, &row, &kept, "deletion_in_progress").await?;
    Ok(Reply::done())
}

/// For a certificate that the authority took out by itself: it can be deleted then.
pub(super) async fn mark_for_deletion(call: Call) -> Result {
    let (row, kept) = authentication(&call).await?;
    if row.own || kept.active {
        let what = "the node uses this certificate, or has it in its files";
        return Err(ApiError::conflict("action_not_possible", what));
    }
    let id = kept.id.clone();
    let mark = move |tx: &mut ::store::Tx<'_>| store::set_certificate(tx, &id, "status", "deletion_in_progress".into());
    call.act("bridge.set_certificate_status", "mark_certificate_for_deletion", &kept.id, mark).await?;
    Ok(Reply::done())
}

/// The authentication certificate that the path names.
async fn authentication(call: &Call) -> Result<(KeyRow, KeptCertificate)> {
    let (row, kept) = find(call, call.param("hash")).await?;
    if row.usage == "SIGNING" {
        return Err(ApiError::conflict("action_not_possible", "only authentication certificates are registered"));
    }
    Ok((row, kept))
}

async fn set_status(call: &Call, row: &KeyRow, kept: &KeptCertificate, status: &'static str) -> Result<()> {
    if row.own {
        // Of the certificate in the files the global configuration alone says how it stands.
        return Ok(());
    }
    let id = kept.id.clone();
    let write = move |tx: &mut ::store::Tx<'_>| store::set_certificate(tx, &id, "status", status.into());
    Ok(call.store().tx("bridge.set_certificate_status", write).await?)
}

async fn find(call: &Call, hash: &str) -> Result<(KeyRow, KeptCertificate)> {
    let hash = hash.to_ascii_lowercase();
    for row in rows(call).await? {
        if let Some(kept) = row.certificates.iter().find(|one| one.id == hash).cloned() {
            return Ok((row, kept));
        }
    }
    Err(ApiError::not_found("certificate_not_found", format!("the node has no certificate `{}`", shorten(&hash))))
}

/// What X-Road's rules name for a certificate that stands so. Tools read from them how it stands: `DISABLE` means in use, `UNREGISTER` means
/// known to the authority. What the node cannot do without first having another certificate is named too, and refused with the reason.
fn actions(row: &KeyRow, kept: &KeptCertificate, status: &str) -> Vec<&'static str> {
    let mut actions = Vec::new();
    if !kept.active && (row.usage == "SIGNING" || status == "REGISTERED") {
        actions.push("ACTIVATE");
    }
    if kept.active {
        actions.push("DISABLE");
    }
    if row.usage != "SIGNING" {
        match status {
            "SAVED" | "GLOBAL_ERROR" => actions.push("REGISTER"),
            "REGISTERED" | "REGISTRATION_IN_PROGRESS" => actions.push("UNREGISTER"),
            _ => {}
        }
    }
    let gone = row.usage == "SIGNING" || matches!(status, "SAVED" | "DELETION_IN_PROGRESS" | "GLOBAL_ERROR");
    if !row.own && !kept.active && gone {
        actions.push("DELETE");
    }
    actions
}

/// A certificate of a key as X-Road's API shows it.
pub(super) fn shown(call: &Call, row: &KeyRow, kept: &KeptCertificate, certificate: &Certificate) -> Json {
    let status = seen(&call.core, row.usage, kept, certificate);
    let ocsp = if !kept.active {
        "DISABLED"
    } else if !certificate.is_valid_at(call.core.clock.now()) {
        "EXPIRED"
    } else if call.core.own_ocsp.signing().and_then(|_| call.core.own_ocsp.authentication()).is_ok() {
        "OCSP_RESPONSE_GOOD"
    } else {
        "OCSP_RESPONSE_UNKNOWN"
    };
    json!({
        "ocsp_status": ocsp,
        "owner_id": member_id(kept.member.as_ref().unwrap_or(call.core.config.server.owner())),
        "active": kept.active,
        "saved_to_configuration": true,
        "certificate_details": details(certificate),
        "status": status,
        "possible_actions": actions(row, kept, status),
    })
}
