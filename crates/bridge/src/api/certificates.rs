use serde_json::{Value as Json, json};
use trust::cert::{Certificate, KeyUse, NameAttribute};

use super::call::{Call, Reply, Result, member_id, shorten};
use super::clients::ask_the_authority;
use super::error::ApiError;
use super::keys::{KeyRow, rows};
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
    json!({
        "issuer_distinguished_name": certificate.issuer().to_string(),
        "issuer_common_name": certificate.issuer().get(NameAttribute::CommonName).unwrap_or_default(),
        "subject_distinguished_name": certificate.subject().to_string(),
        "subject_common_name": certificate.subject().get(NameAttribute::CommonName).unwrap_or_default(),
        "not_before": certificate.not_before().rfc3339(),
        "not_after": certificate.not_after().rfc3339(),
        "serial": certificate.serial_decimal(),
        "version": 3,
        "public_key_algorithm": format!("{:?}", certificate.public_key().kind()),
        "hash": hash_of(certificate),
        "key_usages": usages,
    })
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
    if row.usage == "SIGNING" && named.as_ref() != Some(owner) {
        return conflict("client_not_found", "the certificate names another member than the owner of this node");
    }
    if !certificate.is_valid_at(call.core.clock.now()) {
        return conflict("certificate_not_valid", "the certificate does not hold now");
    }
    let status = if row.usage == "SIGNING" { "registered" } else { "saved" };
    let kept = KeptCertificate {
        id: hash.clone(),
        key: row.id.clone(),
        certificate: certificate.der().to_vec(),
        status: status.to_owned(),
        active: false,
    };
    let now = call.core.clock.now();
    call.store().tx("bridge.import_certificate", move |tx| store::insert_certificate(tx, &kept, now)).await?;
    call.audit("import_certificate", &hash).await?;
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
    if row.own || kept.active {
        let what = "the node uses this certificate: activate another one first";
        return Err(ApiError::conflict("action_not_possible", what));
    }
    let id = kept.id.clone();
    call.store().tx("bridge.delete_certificate", move |tx| store::remove_certificate(tx, &id)).await?;
    call.audit("delete_certificate", &kept.id).await?;
    Ok(Reply::done())
}

/// The node uses the certificate and its key from its next start or reload (SIGHUP) on.
pub(super) async fn activate(call: Call) -> Result {
    let (row, kept) = find(&call, call.param("hash")).await?;
    if row.own {
        return Ok(Reply::done());
    }
    let snapshot = call.snapshot()?;
    let certificate = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
    if row.usage != "SIGNING" && snapshot.server_of(&certificate.sha256()) != Some(&call.core.config.server) {
        return Err(ask_the_authority("register this authentication certificate for this node"));
    }
    let others: Vec<String> = rows(&call)
        .await?
        .iter()
        .filter(|other| other.usage == row.usage && !other.own)
        .flat_map(|other| other.certificates.iter().map(|one| one.id.clone()))
        .collect();
    let id = kept.id.clone();
    let write = move |tx: &mut ::store::Tx<'_>| {
        for other in &others {
            store::set_certificate(tx, other, "active", false.into())?;
        }
        store::set_certificate(tx, &id, "status", "registered".into())?;
        store::set_certificate(tx, &id, "active", true.into())
    };
    call.store().tx("bridge.activate_certificate", write).await?;
    call.audit("activate_certificate", &kept.id).await?;
    Ok(Reply::done())
}

/// The node goes back, at its next start or reload, to the certificate that it has in its files.
pub(super) async fn disable(call: Call) -> Result {
    let (row, kept) = find(&call, call.param("hash")).await?;
    if row.own {
        let what = "the node has this certificate in its files: activate another one, then it rests";
        return Err(ApiError::conflict("action_not_possible", what));
    }
    let id = kept.id.clone();
    call.store()
        .tx("bridge.disable_certificate", move |tx| store::set_certificate(tx, &id, "active", false.into()))
        .await?;
    call.audit("disable_certificate", &kept.id).await?;
    Ok(Reply::done())
}

pub(super) async fn possible_actions(call: Call) -> Result {
    let (row, kept) = find(&call, call.param("hash")).await?;
    Ok(Reply::json(json!(actions(&row, &kept))))
}

pub(super) async fn register(call: Call) -> Result {
    let (row, kept) = find(&call, call.param("hash")).await?;
    let certificate = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
    let snapshot = call.snapshot()?;
    if row.usage == "SIGNING" {
        return Err(ApiError::conflict("action_not_possible", "only authentication certificates are registered"));
    }
    if snapshot.server_of(&certificate.sha256()) != Some(&call.core.config.server) {
        return Err(ask_the_authority("register this authentication certificate for this node"));
    }
    if !row.own {
        let id = kept.id.clone();
        let write = move |tx: &mut ::store::Tx<'_>| store::set_certificate(tx, &id, "status", "registered".into());
        call.store().tx("bridge.register_certificate", write).await?;
    }
    call.audit("register_certificate", &kept.id).await?;
    Ok(Reply::done())
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

fn actions(row: &KeyRow, kept: &KeptCertificate) -> Vec<&'static str> {
    match (row.own, kept.active) {
        (true, _) => Vec::new(),
        (false, true) => vec!["DISABLE"],
        (false, false) if row.usage == "SIGNING" => vec!["ACTIVATE", "DELETE"],
        (false, false) => vec!["ACTIVATE", "REGISTER", "DELETE"],
    }
}

/// A certificate of a key as X-Road's API shows it.
pub(super) fn shown(call: &Call, row: &KeyRow, kept: &KeptCertificate, certificate: &Certificate) -> Json {
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
        "owner_id": member_id(call.core.config.server.owner()),
        "active": kept.active,
        "saved_to_configuration": true,
        "certificate_details": details(certificate),
        "status": kept.status.to_uppercase(),
        "possible_actions": actions(row, kept),
    })
}
