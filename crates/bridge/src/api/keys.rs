//! The keys of the node: those that it started with (files of its operator, or a token), and those made here: sealed in its database, or
//! in the token. The database then keeps the public half in the place of the secret.

use std::collections::HashMap;

use ::store::Tx;
use civic::{MemberId, random_uuid};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use trust::cert::{Certificate, CertificateRequest, MemberNameProfile, NameAttribute};
use trust::digest;
use trust::keys::{KeyKind, PublicKey, SigningKey};
use trust::pkcs11::TokenError;

use super::auth::Role;
use super::call::{Call, Reply, Result, member_id, parse_client, shorten};
use super::certificates::{algorithm_of, check_deletable, hash_of, shown as shown_certificate};
use super::error::ApiError;
use super::store::{self, KeptCertificate, KeptCsr, KeptKey};
use super::tokens::{HARDWARE, hardware, no_token, refused, token_id};
use crate::core::Core;
use crate::keys::{NodeKeys, TokenKeys};
use crate::management::RequestSigner;
use crate::usage::hex_text;

/// Keys that may be made here.
const KEYS_MAX: usize = 100;

/// A key with what belongs to it.
pub(super) struct KeyRow {
    pub(super) id: String,
    pub(super) label: String,
    /// `SIGNING`, `AUTHENTICATION`, or nothing yet.
    pub(super) usage: &'static str,
    pub(super) public: PublicKey,
    pub(super) certificates: Vec<KeptCertificate>,
    pub(super) csrs: Vec<KeptCsr>,
    /// Whether the node started with it.
    pub(super) own: bool,
    /// Whether the token holds it.
    pub(super) in_token: bool,
    secret: Option<Secret>,
}

/// What the database keeps of a key that was made here.
enum Secret {
    Here(SigningKey),
    InToken(PublicKey),
}

impl Secret {
    /// PKCS#8, or the `SubjectPublicKeyInfo` of a key in the token: no bytes are both.
    fn read(bytes: &[u8]) -> std::result::Result<Self, trust::keys::KeyError> {
        match PublicKey::from_spki_der(bytes) {
            Ok(public) => Ok(Self::InToken(public)),
            Err(_) => SigningKey::from_pkcs8_der(bytes).map(Self::Here),
        }
    }

    fn public(&self) -> &PublicKey {
        match self {
            Self::Here(key) => key.public(),
            Self::InToken(public) => public,
        }
    }

    /// The key for use; `None` where it is in a token that the node has not any more.
    fn key(&self, token: Option<&TokenKeys>) -> Option<SigningKey> {
        match self {
            Self::Here(key) => Some(key.clone()),
            Self::InToken(public) => Some(token?.token.key(public)),
        }
    }
}

impl KeyRow {
    /// The key itself.
    fn key(&self, call: &Call) -> Result<SigningKey> {
        match &self.secret {
            Some(secret) => secret.key(call.core.config.token.as_ref()).ok_or_else(|| no_token(HARDWARE)),
            None if self.usage == "SIGNING" => Ok(call.core.files().sign),
            None => Ok(call.core.files().auth),
        }
    }
}

#[derive(Deserialize)]
struct KeyLabel {
    #[serde(default)]
    label: String,
    #[serde(default)]
    key_usage_type: Option<Usage>,
}

#[derive(Deserialize)]
struct KeyName {
    name: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Usage {
    Authentication,
    Signing,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Format {
    Pem,
    Der,
}

#[derive(Deserialize)]
struct CsrGenerate {
    key_usage_type: Usage,
    csr_format: Format,
    #[serde(default)]
    member_id: Option<String>,
    subject_field_values: HashMap<String, String>,
}

#[derive(Deserialize)]
struct KeyLabelWithCsrGenerate {
    key_label: String,
    csr_generate_request: CsrGenerate,
}

impl Usage {
    const fn word(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Signing => "signing",
        }
    }
}

pub(super) async fn add(call: Call) -> Result {
    token_id(&call)?;
    let KeyLabel { label, key_usage_type } = call.json()?;
    let id = make(&call, &label, key_usage_type.unwrap_or(Usage::Signing)).await?;
    Ok(Reply::created(shown(&call, &find(&call, &id).await?)?))
}

pub(super) async fn add_with_csr(call: Call) -> Result {
    token_id(&call)?;
    let wanted: KeyLabelWithCsrGenerate = call.json()?;
    check_csr(&call, &wanted.csr_generate_request)?;
    let id = make(&call, &wanted.key_label, wanted.csr_generate_request.key_usage_type).await?;
    let csr = request(&call, &find(&call, &id).await?, &wanted.csr_generate_request).await?;
    let key = shown(&call, &find(&call, &id).await?)?;
    Ok(Reply::created(json!({ "key": key, "csr_id": csr.id })))
}

pub(super) async fn get(call: Call) -> Result {
    Ok(Reply::json(shown(&call, &find(&call, call.param("id")).await?)?))
}

pub(super) async fn rename(call: Call) -> Result {
    let KeyName { name } = call.json()?;
    check_label(&name)?;
    let id = made_here(find(&call, call.param("id")).await?)?.id;
    let of = id.clone();
    call.act("bridge.rename_key", "rename_key", &id, move |tx| store::rename_key(tx, &of, &name)).await?;
    Ok(Reply::json(shown(&call, &find(&call, &id).await?)?))
}

/// A key goes with its certificates, so each of them must be one that could go by itself.
pub(super) async fn delete(call: Call) -> Result {
    let row = made_here(find(&call, call.param("id")).await?)?;
    check_usage(&call, row.usage)?;
    for kept in &row.certificates {
        check_deletable(&call, &row, kept)?;
    }
    let (id, of) = (row.id.clone(), row.id.clone());
    let remove = move |tx: &mut Tx<'_>| store::remove_node_key(tx, &of);
    let Some(Secret::InToken(public)) = &row.secret else {
        call.act("bridge.delete_key", "delete_key", &id, remove).await?;
        return Ok(Reply::done());
    };
    let token = hardware(&call)?;
    let delete = async {
        match token.delete(public) {
            Ok(()) | Err(TokenError::NoKey(_)) => {}
            Err(error) => return Err(refused(error)),
        }
        Ok(call.store().tx("bridge.delete_key", remove).await?)
    };
    call.act_outside("delete_key", &id, delete).await?;
    Ok(Reply::done())
}

pub(super) async fn add_csr(call: Call) -> Result {
    let wanted: CsrGenerate = call.json()?;
    check_csr(&call, &wanted)?;
    let row = find(&call, call.param("id")).await?;
    if row.usage != wanted.key_usage_type.word().to_uppercase() {
        return Err(ApiError::bad("the key is for another use"));
    }
    let csr = request(&call, &row, &wanted).await?;
    file(&csr, wanted.csr_format)
}

pub(super) async fn download_csr(call: Call) -> Result {
    let row = find(&call, call.param("id")).await?;
    let format = match call.query("csr_format") {
        None | Some("PEM") => Format::Pem,
        Some("DER") => Format::Der,
        Some(_) => return Err(ApiError::bad("csr_format is PEM or DER")),
    };
    file(&csr_of(&call, &row)?, format)
}

pub(super) async fn delete_csr(call: Call) -> Result {
    let row = find(&call, call.param("id")).await?;
    check_usage(&call, row.usage)?;
    let id = csr_of(&call, &row)?.id;
    let of = id.clone();
    call.act("bridge.delete_csr", "delete_csr", &id, move |tx| store::remove_csr(tx, &of)).await?;
    Ok(Reply::done())
}

pub(super) async fn sign_certificates_of_client(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let mut shown = Vec::new();
    let owner = call.core.config.server.owner();
    for row in rows(&call).await?.iter().filter(|row| row.usage == "SIGNING") {
        for kept in row.certificates.iter().filter(|kept| kept.is_of(client.member(), owner)) {
            let certificate = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
            shown.push(shown_certificate(&call, row, kept, &certificate));
        }
    }
    Ok(Reply::json(json!(shown)))
}

/// All keys, those of the files first.
pub(super) async fn rows(call: &Call) -> Result<Vec<KeyRow>> {
    let (keys, csrs, certificates) = call
        .store()
        .read("bridge.list_keys", |tx| {
            Ok::<_, ApiError>((store::node_keys(tx)?, store::csrs(tx)?, store::certificates(tx)?))
        })
        .await?;
    let belongs = |id: &str| {
        let csrs: Vec<KeptCsr> = csrs.iter().filter(|csr| csr.key == id).cloned().collect();
        let certificates: Vec<KeptCertificate> = certificates.iter().filter(|one| one.key == id).cloned().collect();
        (csrs, certificates)
    };
    let mut rows = Vec::new();
    let (files, used) = (call.core.files(), call.core.keys());
    for (label, usage, key, certificate) in [
        ("signing", "SIGNING", &files.sign, &files.sign_certificate),
        ("authentication", "AUTHENTICATION", &files.auth, &files.auth_certificate),
    ] {
        let in_use = if usage == "SIGNING" { &used.sign_certificate } else { &used.auth_certificate };
        let id = key_id(certificate.public_key());
        if keys.iter().any(|key| key.id == id) {
            continue;
        }
        let (csrs, _) = belongs(&id);
        let kept = KeptCertificate {
            id: hash_of(certificate),
            key: id.clone(),
            certificate: certificate.der().to_vec(),
            // One that rests was registered once, and may have been given back.
            status: if in_use.der() == certificate.der() { "registered" } else { "saved" }.to_owned(),
            active: in_use.der() == certificate.der(),
            member: None,
        };
        let public = certificate.public_key().clone();
        rows.push(KeyRow {
            id,
            label: label.to_owned(),
            usage,
            public,
            certificates: vec![kept],
            csrs,
            own: true,
            in_token: key.is_in_token(),
            secret: None,
        });
    }
    for key in keys {
        let (csrs, certificates) = belongs(&key.id);
        let usage = if key.usage == "signing" { "SIGNING" } else { "AUTHENTICATION" };
        let secret = call.store().sealer().open("bridge_key", "secret", &key.id, &key.secret)?;
        let secret = Secret::read(&secret).map_err(ApiError::internal)?;
        let public = secret.public().clone();
        rows.push(KeyRow {
            id: key.id,
            label: key.label,
            usage,
            public,
            certificates,
            csrs,
            own: false,
            in_token: matches!(secret, Secret::InToken(_)),
            secret: Some(secret),
        });
    }
    Ok(rows)
}

/// The keys that the node works with.
pub(crate) struct InForce {
    /// Those that it started with, unless others were activated.
    pub(crate) own: NodeKeys,
    /// What signs for members who may be its clients: keys that were activated, and the key of its files where that of the owner is another.
    pub(crate) others: Vec<(SigningKey, Certificate)>,
}

/// The keys that a node of this owner works with now.
pub(crate) async fn in_force(
    store: &::store::Store,
    files: NodeKeys,
    token: Option<&TokenKeys>,
    owner: &MemberId,
) -> std::result::Result<InForce, String> {
    let (keys, certificates) = store
        .read("bridge.active_keys", |tx| {
            Ok::<_, ::store::StoreError>((store::node_keys(tx)?, store::certificates(tx)?))
        })
        .await
        .map_err(|error| error.to_string())?;
    let mut own = files.clone();
    let mut others = Vec::new();
    for active in certificates.iter().filter(|one| one.active) {
        let Some(key) = keys.iter().find(|key| key.id == active.key) else { continue };
        let secret =
            store.sealer().open("bridge_key", "secret", &key.id, &key.secret).map_err(|error| error.to_string())?;
        let secret = Secret::read(&secret).map_err(|error| error.to_string())?;
        let gone = "a key in use lies in a token, and the configuration names none. Bring its table [token] back";
        let secret = secret.key(token).ok_or(gone)?;
        let certificate = Certificate::from_der(&active.certificate).map_err(|error| error.to_string())?;
        let taken = if key.usage != "signing" {
            NodeKeys::new(own.sign, own.sign_certificate, secret, certificate)
        } else if active.is_of(owner, owner) {
            NodeKeys::new(secret, certificate, own.auth, own.auth_certificate)
        } else {
            others.push((secret, certificate));
            Ok(own)
        };
        own = taken.map_err(|error| error.to_string())?;
    }
    if own.sign_certificate.der() != files.sign_certificate.der() {
        // First, so that a certificate of the same member that was activated wins.
        others.insert(0, (files.sign, files.sign_certificate));
    }
    Ok(InForce { own, others })
}

async fn make(call: &Call, label: &str, usage: Usage) -> Result<String> {
    check_label(label)?;
    check_usage(call, &usage.word().to_uppercase())?;
    if rows(call).await?.len() >= KEYS_MAX {
        return Err(ApiError::conflict("too_many_keys", format!("the node keeps at most {KEYS_MAX} keys: delete one")));
    }
    if token_id(call)? == HARDWARE {
        let make = async {
            let kind = call.core.config.token.as_ref().map_or(KeyKind::P256, |keys| keys.kind);
            let public = hardware(call)?.generate(kind, label, &*call.core.random).map_err(refused)?;
            let kept = keep(call, label, usage, &public, public.spki_der()).await;
            if kept.is_err() && hardware(call)?.delete(&public).is_err() {
                tracing::warn!(label, "a key was made in the token and could not be kept: delete it there");
            }
            kept
        };
        return call.act_outside("add_key", &format!("token {HARDWARE} {}", shorten(label)), make).await;
    }
    let key = SigningKey::generate_p256().map_err(ApiError::internal)?;
    let secret = key.to_pkcs8_der().map_err(ApiError::internal)?;
    keep(call, label, usage, key.public(), &secret).await
}

/// Keeps a key that was just made; `secret` is what [`Secret::read`] reads.
async fn keep(call: &Call, label: &str, usage: Usage, public: &PublicKey, secret: &[u8]) -> Result<String> {
    let id = key_id(public);
    let secret = call.store().sealer().seal("bridge_key", "secret", &id, secret)?;
    let label = if label.is_empty() { usage.word() } else { label };
    let kept = KeptKey { id: id.clone(), label: label.to_owned(), usage: usage.word().to_owned(), secret };
    let now = call.core.clock.now();
    call.act("bridge.add_key", "add_key", &id, move |tx| store::insert_key(tx, &kept, now)).await?;
    Ok(id)
}

/// The country that a request names where its maker says none: the node's setting, else what the authority wrote into its certificate.
fn country(core: &Core) -> String {
    let of_certificate = || core.keys().sign_certificate.subject().get(NameAttribute::Country);
    let of_instance = || MemberNameProfile::country_of(core.config.server.owner().instance());
    core.config.country.clone().or_else(of_certificate).unwrap_or_else(of_instance)
}

/// Makes a request for a certificate in the profile that the authority of this house understands.
async fn request(call: &Call, row: &KeyRow, wanted: &CsrGenerate) -> Result<KeptCsr> {
    let server = &call.core.config.server;
    let key = row.key(call)?;
    let member = member_of(call, wanted)?;
    let field = |name: &str| wanted.subject_field_values.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let named = call.core.conf.current().map(|snapshot| snapshot.member_name(&member));
    let name = field("O").map(str::to_owned).or(named).unwrap_or_else(|| member.code().to_owned());
    let country = field("C").map_or_else(|| country(&call.core), str::to_owned);
    let subject = MemberNameProfile::subject(&country, &member, &name, server.code())
        .map_err(|error| ApiError::bad(error.to_string()))?;
    let request = CertificateRequest::create(&key, &subject);
    let request = request.map_err(|error| ApiError::conflict("csr_not_possible", error.to_string()))?;
    let csr = KeptCsr {
        id: random_uuid(&*call.core.random),
        key: row.id.clone(),
        owner: member_id(&member),
        request: request.der().to_vec(),
    };
    let (kept, now) = (csr.clone(), call.core.clock.now());
    call.act("bridge.add_csr", "add_csr", &row.id, move |tx| store::insert_csr(tx, &kept, now)).await?;
    Ok(csr)
}

fn check_csr(call: &Call, wanted: &CsrGenerate) -> Result<()> {
    check_usage(call, &wanted.key_usage_type.word().to_uppercase())?;
    member_of(call, wanted).map(drop)
}

/// The member whom the certificate will name: the owner of the node, or for signing one who is its client.
fn member_of(call: &Call, wanted: &CsrGenerate) -> Result<MemberId> {
    let owner = call.core.config.server.owner();
    let Some(text) = wanted.member_id.as_deref().filter(|member| !member.is_empty() && *member != member_id(owner))
    else {
        return Ok(owner.clone());
    };
    let client = parse_client(text)?;
    let served = client.subsystem().is_none() && call.serves_member(client.member());
    if served && wanted.key_usage_type == Usage::Signing {
        return Ok(client.member().clone());
    }
    let what = "this node signs for its owner, and for members who are its clients: add that client first";
    Err(ApiError::conflict("unsupported_member", what))
}

/// The key itself, by its id.
pub(super) async fn secret_of(call: &Call, id: &str) -> Result<SigningKey> {
    find(call, id).await?.key(call)
}

/// What signs for a member who is not the owner: a key made here with an imported certificate that names the member.
pub(super) async fn signer_of(call: &Call, member: &MemberId) -> Result<RequestSigner> {
    let snapshot = call.snapshot()?;
    let now = call.core.clock.now();
    for row in rows(call).await?.iter().filter(|row| row.usage == "SIGNING") {
        for kept in &row.certificates {
            let certificate = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
            let names = snapshot.own().and_then(|own| own.check_sign_cert(&certificate, &[], now).ok());
            if names.as_ref() != Some(member) {
                continue;
            }
            let ocsp = crate::ocsp::ask(&certificate, &snapshot, &call.core.outbound).await;
            let ocsp = ocsp.map_err(|reason| ApiError::conflict("ocsp_response_unavailable", reason))?;
            return Ok(RequestSigner { key: row.key(call)?, certificate, ocsp });
        }
    }
    let what = format!(
        "{member} must sign this request, and the node has no signing certificate of it: make a key and a request with its member_id, \
         and import the certificate"
    );
    Err(ApiError::conflict("certificate_not_found", what))
}

/// As in X-Road: authentication keys are the security officer's alone.
fn check_usage(call: &Call, usage: &str) -> Result<()> {
    if usage == "AUTHENTICATION" && !call.has(&[Role::XroadSecurityOfficer]) {
        let what = "authentication keys need the role XROAD_SECURITY_OFFICER";
        return Err(ApiError::new(http::StatusCode::FORBIDDEN, "forbidden", what));
    }
    Ok(())
}

fn check_label(label: &str) -> Result<()> {
    if label.chars().count() <= 255 && !label.chars().any(char::is_control) {
        return Ok(());
    }
    Err(ApiError::bad("a name has at most 255 characters, none of them a control character"))
}

async fn find(call: &Call, id: &str) -> Result<KeyRow> {
    let found = rows(call).await?.into_iter().find(|row| row.id == id);
    found.ok_or_else(|| ApiError::not_found("key_not_found", format!("the node has no key `{}`", shorten(id))))
}

fn made_here(row: KeyRow) -> Result<KeyRow> {
    if row.own {
        let what = "the node has this key in its files: its operator changes it there";
        return Err(ApiError::conflict("action_not_possible", what));
    }
    Ok(row)
}

fn csr_of(call: &Call, row: &KeyRow) -> Result<KeptCsr> {
    let id = call.param("csr_id");
    let found = row.csrs.iter().find(|csr| csr.id == id).cloned();
    found.ok_or_else(|| ApiError::not_found("csr_not_found", format!("the key has no request `{}`", shorten(id))))
}

fn file(csr: &KeptCsr, format: Format) -> Result {
    let request = CertificateRequest::from_der(&csr.request).map_err(ApiError::internal)?;
    let (bytes, ending) = match format {
        Format::Pem => (request.to_pem().into_bytes(), "pem"),
        Format::Der => (csr.request.clone(), "der"),
    };
    let name = format!("csr-{}.{ending}", csr.id);
    Ok(Reply::File { bytes: bytes.into(), content_type: "application/octet-stream", name })
}

/// SHA-256 of the public key, hexadecimal.
fn key_id(public: &PublicKey) -> String {
    hex_text(&digest::sha256(public.spki_der()))
}

pub(super) fn shown(call: &Call, row: &KeyRow) -> Result<Json> {
    let certificate = |kept: &KeptCertificate| {
        let parsed = Certificate::from_der(&kept.certificate).map_err(ApiError::internal)?;
        Ok(shown_certificate(call, row, kept, &parsed))
    };
    let certificates = row.certificates.iter().map(certificate).collect::<Result<Vec<_>>>()?;
    let csrs: Vec<Json> = row
        .csrs
        .iter()
        .map(|csr| json!({ "id": csr.id, "owner_id": csr.owner, "possible_actions": ["DELETE"] }))
        .collect();
    let mut actions = vec![if row.usage == "SIGNING" { "GENERATE_SIGN_CSR" } else { "GENERATE_AUTH_CSR" }];
    if !row.own {
        actions.push("EDIT_FRIENDLY_NAME");
    }
    if !row.own && row.certificates.iter().all(|kept| check_deletable(call, row, kept).is_ok()) {
        actions.push("DELETE");
    }
    Ok(json!({
        "id": row.id,
        "name": row.label,
        "label": row.label,
        "usage": row.usage,
        "certificates": certificates,
        "certificate_signing_requests": csrs,
        "available": true,
        "saved_to_configuration": true,
        "possible_actions": actions,
        "key_algorithm": algorithm_of(row.public.kind()),
    }))
}
