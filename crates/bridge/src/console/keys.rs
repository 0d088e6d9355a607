//! Keys and certificates: which are in use and until when; a new one in a few clicks: a key with its request, the authority's answer,
//! registration, use.

use std::collections::HashMap;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use civic::Timestamp;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use memchr::memmem;
use serde::Deserialize;
use serde_json::json;
use trust::cert::NameAttribute;
use web::{Field, Form, Page, Params, Problem, Visit};

use super::confirm::Confirm;
use super::overview::{End, Left, end};
use super::{At, Operator, Refusal, Section};
use crate::api::Done;

const PAGE: &str = "/console/keys";
/// A certificate as PEM has a few thousand bytes; the form around it some hundreds.
const UPLOAD_BYTES_MAX: usize = 64 * 1024;
/// The form has three.
const FIELDS_MAX: usize = 16;

#[derive(Template)]
#[template(path = "console/keys.html")]
struct List<'a> {
    v: &'a Visit,
    notice: Option<super::NoticeView>,
    uses: Vec<UseView>,
    csrf: String,
}

/// What the keys of one use have.
struct UseView {
    /// `SIGNING` or `AUTHENTICATION`.
    word: &'static str,
    certificates: Vec<CertificateView>,
    requests: Vec<RequestView>,
}

struct CertificateView {
    hash: String,
    name: String,
    key: String,
    end: End,
    status: String,
    active: bool,
    /// The steps that can be taken now, in the order in which they are taken.
    actions: Vec<Act>,
}

struct RequestView {
    key: String,
    key_name: String,
    id: String,
}

#[derive(Template)]
#[template(path = "console/upload.html")]
struct Upload<'a> {
    v: &'a Visit,
    notice: Option<super::NoticeView>,
    csrf: String,
}

/// A step in the life of a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Register,
    Activate,
    Disable,
    Unregister,
    Delete,
}

impl Act {
    const ALL: [Self; 5] = [Self::Register, Self::Activate, Self::Disable, Self::Unregister, Self::Delete];

    /// As it stands in addresses and keys of translations.
    const fn word(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Activate => "activate",
            Self::Disable => "disable",
            Self::Unregister => "unregister",
            Self::Delete => "delete",
        }
    }

    /// As the management API names it among possible actions.
    const fn possible(self) -> &'static str {
        match self {
            Self::Register => "REGISTER",
            Self::Activate => "ACTIVATE",
            Self::Disable => "DISABLE",
            Self::Unregister => "UNREGISTER",
            Self::Delete => "DELETE",
        }
    }

    const fn operation(self) -> &'static str {
        match self {
            Self::Register => "registerCertificate",
            Self::Activate => "activateCertificate",
            Self::Disable => "disableCertificate",
            Self::Unregister => "unregisterAuthCertificate",
            Self::Delete => "deleteCertificate",
        }
    }

    const fn step(self) -> (&'static str, &'static str) {
        (self.word(), self.operation())
    }

    fn of(word: &str) -> Result<Self, Problem> {
        Self::ALL.into_iter().find(|act| act.word() == word).ok_or_else(Problem::not_found)
    }
}

/// The steps as doors know them.
pub(super) const STEPS: &[(&str, &str)] =
    &[Act::Register.step(), Act::Activate.step(), Act::Disable.step(), Act::Unregister.step(), Act::Delete.step()];

#[derive(Deserialize)]
struct Token {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    label: String,
    #[serde(default)]
    usage: Option<String>,
    certificates: Vec<Certificate>,
    certificate_signing_requests: Vec<Csr>,
    #[serde(default)]
    possible_actions: Vec<String>,
}

#[derive(Deserialize)]
struct Csr {
    id: String,
}

#[derive(Deserialize)]
struct Certificate {
    active: bool,
    status: String,
    #[serde(default)]
    possible_actions: Vec<String>,
    #[serde(rename = "certificate_details")]
    details: Details,
}

#[derive(Deserialize)]
struct Details {
    hash: String,
    subject_distinguished_name: String,
    not_after: String,
}

/// The form of a step.
#[derive(Deserialize)]
pub(super) struct ActForm {
    csrf: String,
    #[serde(default)]
    address: Option<String>,
}

/// `/console/keys`
pub(super) async fn list(State(_): At, mut operator: Operator) -> Result<Page, Problem> {
    let notice = operator.notice().await?;
    let keys = keys(&operator).await?;
    let now = operator.console.core.clock.now();
    let uses = ["SIGNING", "AUTHENTICATION"].map(|word| view(word, &keys, now));
    let v = &operator.visit;
    let csrf = operator.session.csrf();
    operator.page(Section::Keys, &v.t("console-keys-title"), &List { v, notice, uses: uses.into(), csrf })
}

/// `/console/keys/new?usage=…`: asks before a key is made.
pub(super) async fn new(State(_): At, operator: Operator, params: Params) -> Result<Page, Problem> {
    let usage = usage(params.get("usage").unwrap_or_default())?;
    let v = &operator.visit;
    let page = Confirm {
        v,
        title: v.t(&format!("console-renew-{}", usage.to_lowercase())),
        text: v.t("console-renew-text"),
        facts: vec![
            (v.t("console-keys-server"), operator.console.core.config.server.to_string()),
            (v.t("console-keys-kind"), "EC P-256".to_owned()),
        ],
        action: format!("{PAGE}/new?usage={usage}"),
        field: None,
        button: v.t("console-renew-button"),
        warn: false,
        back: PAGE,
        csrf: operator.session.csrf(),
    };
    page.page(&operator, Section::Keys)
}

/// `POST /console/keys/new`
pub(super) async fn make(
    State(_): At,
    operator: Operator,
    params: Params,
    Form(form): Form<ActForm>,
) -> Result<Response, Problem> {
    operator.session.verify_csrf(&form.csrf)?;
    let usage = usage(params.get("usage").unwrap_or_default())?;
    let core = &operator.console.core;
    let certificate = core.keys().sign_certificate;
    // The same country and organisation as before; the authority puts what its registry says.
    let mut fields = HashMap::new();
    for (name, attribute) in [("C", NameAttribute::Country), ("O", NameAttribute::Organization)] {
        fields.extend(certificate.subject().get(attribute).map(|value| (name, value.clone())));
    }
    let label = format!("{} {}", usage.to_lowercase(), core.clock.now().rfc3339().get(..10).unwrap_or_default());
    let body = json!({
        "key_label": label,
        "csr_generate_request": { "key_usage_type": usage, "csr_format": "PEM", "subject_field_values": fields },
    });
    let made = operator.perform("addKeyAndCsr", &[("id", "0")], &[], body.to_string().into()).await;
    operator.said(made.map(drop), "console-renew-made", &label, PAGE).await
}

/// `/console/keys/requests/{key}/{csr}`: the request for the authority, PEM.
pub(super) async fn request(
    State(_): At,
    operator: Operator,
    Path((key, csr)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let params = [("id", key.as_str()), ("csr_id", csr.as_str())];
    match operator.perform("downloadCsr", &params, &[("csr_format", "PEM")], Bytes::new()).await {
        Ok(Done::File { bytes, name }) => Ok((
            [
                (CONTENT_TYPE, "application/x-pem-file".to_owned()),
                (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
                (CACHE_CONTROL, "no-store".to_owned()),
            ],
            Body::from(bytes),
        )
            .into_response()),
        Ok(_) => Err(Problem::not_found()),
        Err(refusal) => operator.said(Err(refusal), "", "", PAGE).await,
    }
}

/// `POST /console/keys/requests/{key}/{csr}`: forgets a request, with its key where nothing else came of it.
pub(super) async fn forget(
    State(_): At,
    operator: Operator,
    Path((key, csr)): Path<(String, String)>,
    Form(form): Form<ActForm>,
) -> Result<Response, Problem> {
    operator.session.verify_csrf(&form.csrf)?;
    let all = keys(&operator).await?;
    let known = all.iter().find(|one| one.id == key).ok_or_else(Problem::not_found)?;
    let lone = known.certificates.is_empty() && known.certificate_signing_requests.len() == 1;
    let (operation, params) = if lone {
        ("deleteKey", vec![("id", key.as_str())])
    } else {
        ("deleteCsr", vec![("id", key.as_str()), ("csr_id", csr.as_str())])
    };
    let outcome = operator.perform(operation, &params, &[], Bytes::new()).await;
    let name = known.label.clone();
    operator.said(outcome.map(drop), "console-request-forgotten", &name, PAGE).await
}

/// `/console/keys/certificate`: the form for the authority's answer.
pub(super) async fn upload(State(_): At, mut operator: Operator) -> Result<Page, Problem> {
    let notice = operator.notice().await?;
    let v = &operator.visit;
    let csrf = operator.session.csrf();
    Ok(operator.page(Section::Keys, &v.t("console-upload-title"), &Upload { v, notice, csrf })?.back(PAGE))
}

/// `POST /console/keys/certificate`: a file, or text that was pasted.
pub(super) async fn import(
    State(_): At,
    operator: Operator,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let fields = multipart(&headers, body).await?;
    let sent = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, bytes)| bytes.clone());
    let csrf = sent("csrf").unwrap_or_default();
    operator.session.verify_csrf(&String::from_utf8_lossy(&csrf))?;
    let certificate = sent("file").filter(|file| !file.is_empty()).or_else(|| sent("text")).unwrap_or_default();
    let outcome = operator.perform("importCertificate", &[], &[], certificate).await;
    match outcome {
        Ok(Done::Json(imported)) => {
            let name = imported.pointer("/certificate_details/subject_common_name").and_then(|name| name.as_str());
            let name = name.unwrap_or_default().to_owned();
            operator.said(Ok(()), "console-upload-done", &name, PAGE).await
        }
        Ok(_) => Err(Problem::not_found()),
        Err(refusal) => operator.said(Err(refusal), "", "", "/console/keys/certificate").await,
    }
}

/// `/console/keys/certificates/{hash}/{action}`: asks before a step is taken.
pub(super) async fn confirm(
    State(_): At,
    operator: Operator,
    Path((hash, action)): Path<(String, String)>,
) -> Result<Page, Problem> {
    let act = Act::of(&action)?;
    let all = keys(&operator).await?;
    let (key, certificate) = find(&all, &hash)?;
    let v = &operator.visit;
    let details = &certificate.details;
    let core = &operator.console.core;
    let field = (act == Act::Register).then(|| {
        let known = core.conf.current().and_then(|snapshot| snapshot.address_of(&core.config.server));
        Field::new("address", v.t("console-keys-address"))
            .hint(v.t("console-keys-address-hint"))
            .value(known.unwrap_or_default())
    });
    let page = Confirm {
        v,
        title: v.t(&format!("console-certificate-{}", act.word())),
        text: v.t(&format!("console-certificate-{}-text", act.word())),
        facts: vec![
            (v.t("console-keys-certificate"), details.subject_distinguished_name.clone()),
            (v.t("console-keys-key"), key.label.clone()),
            (v.t("console-ends-at"), v.moment(&moment(&details.not_after))),
            ("SHA-256".to_owned(), details.hash.clone()),
        ],
        action: format!("{PAGE}/certificates/{}/{}", details.hash, act.word()),
        field,
        button: v.t(&format!("console-certificate-{}", act.word())),
        warn: matches!(act, Act::Unregister | Act::Delete),
        back: PAGE,
        csrf: operator.session.csrf(),
    };
    page.page(&operator, Section::Keys)
}

/// `POST /console/keys/certificates/{hash}/{action}`
pub(super) async fn act(
    State(_): At,
    operator: Operator,
    Path((hash, action)): Path<(String, String)>,
    Form(form): Form<ActForm>,
) -> Result<Response, Problem> {
    operator.session.verify_csrf(&form.csrf)?;
    let act = Act::of(&action)?;
    let all = keys(&operator).await?;
    let (_, certificate) = find(&all, &hash)?;
    let name = certificate.details.subject_distinguished_name.clone();
    let body = match form.address.filter(|_| act == Act::Register) {
        Some(address) => Bytes::from(json!({ "address": address }).to_string()),
        None => Bytes::new(),
    };
    let outcome = operator.perform(act.operation(), &[("hash", &hash)], &[], body).await;
    operator.said(outcome.map(drop), &format!("console-certificate-{}-done", act.word()), &name, PAGE).await
}

/// The keys of all tokens.
async fn keys(operator: &Operator) -> Result<Vec<Key>, Problem> {
    let answered = operator.perform("getTokens", &[], &[], Bytes::new()).await;
    let Done::Json(tokens) = answered.map_err(|refusal: Refusal| Problem::forbidden(refusal.text))? else {
        return Err(Problem::not_found());
    };
    let tokens: Vec<Token> = serde_json::from_value(tokens).map_err(Problem::internal)?;
    Ok(tokens.into_iter().flat_map(|token| token.keys).collect())
}

fn find<'k>(keys: &'k [Key], hash: &str) -> Result<(&'k Key, &'k Certificate), Problem> {
    let all = keys.iter().flat_map(|key| key.certificates.iter().map(move |one| (key, one)));
    let mut all = all.filter(|(_, one)| one.details.hash.eq_ignore_ascii_case(hash));
    all.next().ok_or_else(Problem::not_found)
}

fn view(word: &'static str, keys: &[Key], now: Timestamp) -> UseView {
    let of_use: Vec<&Key> = keys.iter().filter(|key| key.usage.as_deref() == Some(word)).collect();
    let mut certificates: Vec<CertificateView> =
        of_use.iter().flat_map(|key| key.certificates.iter().map(|one| certificate_view(key, one, now))).collect();
    certificates.sort_by_key(|one| !one.active);
    // A key that has its certificate waits for nothing.
    let requests = of_use.iter().filter(|key| key.certificates.is_empty()).flat_map(|key| {
        key.certificate_signing_requests.iter().map(|csr| RequestView {
            key: key.id.clone(),
            key_name: key.label.clone(),
            id: csr.id.clone(),
        })
    });
    UseView { word, certificates, requests: requests.collect() }
}

fn certificate_view(key: &Key, certificate: &Certificate, now: Timestamp) -> CertificateView {
    let details = &certificate.details;
    // The API names what X-Road's rules allow. No button for what the node would refuse now: a certificate in the files of its operator is not
    // disabled here, and one in use is not given back.
    let made_here = key.possible_actions.iter().any(|possible| possible == "DELETE");
    let taken = |act: &Act| match act {
        Act::Disable => made_here,
        Act::Unregister => !certificate.active,
        Act::Register | Act::Activate | Act::Delete => true,
    };
    let can = |act: &Act| certificate.possible_actions.iter().any(|possible| possible == act.possible()) && taken(act);
    CertificateView {
        hash: details.hash.clone(),
        name: details.subject_distinguished_name.clone(),
        key: key.label.clone(),
        end: end(String::new(), String::new(), moment(&details.not_after), now),
        status: certificate.status.to_lowercase().replace('_', "-"),
        active: certificate.active,
        actions: Act::ALL.into_iter().filter(can).collect(),
    }
}

fn moment(text: &str) -> Timestamp {
    // The API of this very program wrote it.
    Timestamp::parse_rfc3339(text).unwrap_or(Timestamp::from_seconds(0))
}

fn usage(word: &str) -> Result<&'static str, Problem> {
    let known = ["SIGNING", "AUTHENTICATION"].into_iter().find(|known| *known == word);
    known.ok_or_else(|| Problem::bad_request("A key is for SIGNING or AUTHENTICATION."))
}

/// The fields of a form with a file (RFC 7578).
async fn multipart(headers: &HeaderMap, body: Body) -> Result<Vec<(String, Bytes)>, Problem> {
    let unreadable = || Problem::bad_request("Send the form as multipart/form-data.");
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (name, parameters) = kind.split_once(';').ok_or_else(unreadable)?;
    let boundary = parameters.split(';').find_map(|one| one.trim().strip_prefix("boundary="));
    let boundary = boundary.map(|text| text.trim_matches('"')).filter(|text| (1..=70).contains(&text.len()));
    let boundary = boundary.filter(|_| name.trim().eq_ignore_ascii_case("multipart/form-data"));
    let delimiter = format!("--{}", boundary.ok_or_else(unreadable)?);
    let bytes = axum::body::to_bytes(body, UPLOAD_BYTES_MAX)
        .await
        .map_err(|_| Problem::too_large(format!("A certificate has at most {UPLOAD_BYTES_MAX} bytes.")))?;
    let starts: Vec<usize> = memmem::find_iter(&bytes, &delimiter).take(FIELDS_MAX + 1).collect();
    let parts = starts.windows(2).filter_map(|pair| match pair {
        [start, end] => field(&bytes, start + delimiter.len(), *end),
        _ => None,
    });
    Ok(parts.collect())
}

/// The field between two boundaries: its name and content.
fn field(bytes: &Bytes, start: usize, end: usize) -> Option<(String, Bytes)> {
    let part = bytes.get(start..end)?.strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
    let head_end = memmem::find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(part.get(..head_end)?).ok()?;
    let is_disposition = |line: &&str| line.to_ascii_lowercase().starts_with("content-disposition:");
    let disposition = head.split("\r\n").find(is_disposition)?;
    let name = disposition.split(';').find_map(|piece| piece.trim().strip_prefix("name="))?;
    Some((name.trim_matches('"').to_owned(), bytes.slice_ref(part.get(head_end + 4..)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_form_as_browsers_send_it_is_read_and_others_are_refused() {
        let form = "--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n1\r\n--x\r\nContent-Disposition: \
                    form-data; name=\"file\"; filename=\"a.pem\"\r\nContent-Type: application/octet-stream\r\n\r\na\r\nb\r\n\
                    --x--\r\n";
        let read = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            async move { multipart(&headers, Body::from(form)).await }
        };
        let fields = read("multipart/form-data; boundary=x").await.unwrap();
        let pairs: Vec<(&str, &[u8])> =
            fields.iter().map(|(name, content)| (name.as_str(), content.as_ref())).collect();
        assert_eq!(pairs, [("csrf", &b"1"[..]), ("file", &b"a\r\nb"[..])]);
        assert!(read("application/x-www-form-urlencoded").await.is_err());
        assert!(read("multipart/mixed; boundary=x").await.is_err());
    }

    #[test]
    fn what_the_node_would_refuse_has_no_button() {
        let steps = |of_key: &[&str], active: bool, possible: &[&str]| {
            let details = serde_json::json!({ "hash": "", "subject_distinguished_name": "", "not_after": "" });
            let certificate = serde_json::json!({
                "active": active, "status": "REGISTERED", "possible_actions": possible, "certificate_details": details,
            });
            let key = serde_json::json!({
                "id": "", "label": "", "certificates": [certificate], "certificate_signing_requests": [],
                "possible_actions": of_key,
            });
            let key: Key = serde_json::from_value(key).unwrap();
            let actions = certificate_view(&key, &key.certificates[0], Timestamp::from_seconds(0)).actions;
            actions.into_iter().map(Act::word).collect::<Vec<_>>()
        };
        assert!(steps(&[], true, &["DISABLE", "UNREGISTER"]).is_empty(), "in the files of the operator");
        assert_eq!(steps(&["DELETE"], true, &["DISABLE", "UNREGISTER"]), ["disable"]);
        assert_eq!(steps(&["DELETE"], false, &["ACTIVATE", "UNREGISTER"]), ["activate", "unregister"]);
    }
}
