//! How a node joins: it asks (over HTTP, or by a file that is handed over), the operator of the authority approves, it gets its
//! certificates.
//!
//! A stranger may ask; nothing follows from it until the operator has compared the code, a digest of the whole request, with the
//! one that the applicant reads out. Private keys never travel. Waiting requests are limited in size and number.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use civic::{ClientId, ServerId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use trust::cert::{Certificate, CertificateRequest};
use trust::digest;
use web::Problem;

use crate::files::{make_private, write_durably};

const BYTES_MAX: usize = 64 * 1024;
const WAITING_MAX: usize = 500;
const SUBSYSTEMS_MAX: usize = 64;

/// What a node tells the authority about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinRequest {
    /// The id of the node.
    pub(super) server: ServerId,
    /// The official name of its owner.
    pub(super) member_name: String,
    /// Where other nodes reach it.
    pub(super) address: String,
    /// The subsystems that send and serve through it.
    pub(super) subsystems: Vec<String>,
    /// The certificate request of the signing key, PEM.
    pub(super) sign_request: String,
    /// The certificate request of the authentication key, PEM.
    pub(super) auth_request: String,
}

/// What the authority answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum JoinAnswer {
    /// The operator has not looked at it yet.
    Waiting,
    /// The node is registered.
    Approved {
        /// The certificate of the signing key, PEM.
        sign_certificate: String,
        /// The certificate of the authentication key, PEM.
        auth_certificate: String,
    },
    /// The operator turned it down.
    Refused {
        /// Why.
        reason: String,
    },
}

/// The digest of a request: its name at the authority, and the code that people compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JoinId(String);

/// The requests of an authority, files in a folder of its own.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    folder: PathBuf,
}

impl JoinRequest {
    /// The bytes that travel, and whose digest is the code.
    pub(super) fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// Reads and checks a request; the certificate requests prove that the applicant has the keys.
    pub(super) fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        if bytes.len() > BYTES_MAX {
            bail!("the request has more than {BYTES_MAX} bytes");
        }
        let request: Self = serde_json::from_slice(bytes).context("it is no request to join")?;
        request.requests()?;
        request.clients()?;
        let text = |what: &str, text: &str| {
            let good = !text.trim().is_empty() && text.chars().count() <= 255 && !text.chars().any(char::is_control);
            if good { Ok(()) } else { Err(anyhow::anyhow!("the {what} must have 1 to 255 characters")) }
        };
        text("name of the member", &request.member_name)?;
        text("address", &request.address)?;
        Ok(request)
    }

    /// Whether both ask for the same with the same keys; a request is signed anew each time it is made.
    pub(super) fn is_same_wish(&self, other: &Self) -> bool {
        let wishes = |request: &Self| {
            let (sign, auth) = request.requests().ok()?;
            let wish = |one: &CertificateRequest| (one.public_key().spki_der().to_vec(), one.subject().der().to_vec());
            Some((wish(&sign), wish(&auth)))
        };
        let words =
            |request: &Self| Self { sign_request: String::new(), auth_request: String::new(), ..request.clone() };
        words(self) == words(other) && wishes(self) == wishes(other)
    }

    /// The certificate requests: signing, authentication.
    pub(super) fn requests(&self) -> anyhow::Result<(CertificateRequest, CertificateRequest)> {
        let read = |text: &str| CertificateRequest::from_pem(text).context("a certificate request cannot be read");
        Ok((read(&self.sign_request)?, read(&self.auth_request)?))
    }

    /// The ids of the subsystems.
    pub(super) fn clients(&self) -> anyhow::Result<Vec<ClientId>> {
        if self.subsystems.is_empty() || self.subsystems.len() > SUBSYSTEMS_MAX {
            bail!("a node joins with 1 to {SUBSYSTEMS_MAX} subsystems");
        }
        let member = self.server.owner();
        self.subsystems.iter().map(|code| Ok(member.subsystem(code)?)).collect()
    }
}

impl JoinId {
    /// The digest of a request.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(digest::sha256(bytes)))
    }

    /// What people compare: `1a2b-3c4d-5e6f-7081`.
    pub(super) fn code(&self) -> String {
        let groups = (0..4).filter_map(|group| self.0.get(group * 4..group * 4 + 4));
        groups.collect::<Vec<_>>().join("-")
    }

    fn parse(text: &str) -> Option<Self> {
        let digest =
            text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        digest.then(|| Self(text.to_owned()))
    }
}

impl Desk {
    /// The desk of an authority.
    pub(super) fn open(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join("join");
        make_private(&folder)?;
        Ok(Self { folder })
    }

    /// Takes a request in. The same one again is no change.
    pub(super) fn take(&self, bytes: &[u8]) -> anyhow::Result<JoinId> {
        JoinRequest::from_bytes(bytes)?;
        let id = JoinId::of(bytes);
        if !self.file(&id, "request").exists() {
            if self.waiting()?.len() >= WAITING_MAX {
                bail!("{WAITING_MAX} requests wait already: the operator must approve or refuse some first");
            }
            write_durably(&self.file(&id, "request"), bytes)?;
        }
        Ok(id)
    }

    /// The requests that nobody decided on yet.
    pub(super) fn waiting(&self) -> anyhow::Result<Vec<(JoinId, JoinRequest)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(".request.json").and_then(JoinId::parse) else { continue };
            if self.file(&id, "answer").exists() {
                continue;
            }
            found.push((id, JoinRequest::from_bytes(&fs::read(entry.path())?)?));
        }
        found.sort_by(|one, other| one.0.0.cmp(&other.0.0));
        Ok(found)
    }

    /// The waiting request with this code.
    pub(super) fn by_code(&self, code: &str) -> anyhow::Result<(JoinId, JoinRequest)> {
        let mut fitting = self.waiting()?.into_iter().filter(|(id, _)| id.code() == code.trim().to_lowercase());
        match (fitting.next(), fitting.next()) {
            (Some(found), None) => Ok(found),
            (Some(_), Some(_)) => bail!("two requests have the code {code}: refuse both, and let the node ask again"),
            (None, _) => bail!("no request with the code {code} waits; `baobab authority list` shows those that do"),
        }
    }

    /// Writes down what was decided.
    pub(super) fn answer(&self, id: &JoinId, answer: &JoinAnswer) -> anyhow::Result<()> {
        write_durably(&self.file(id, "answer"), &serde_json::to_vec_pretty(answer)?)
    }

    fn status(&self, id: &JoinId) -> anyhow::Result<Option<JoinAnswer>> {
        match fs::read(self.file(id, "answer")) {
            Ok(bytes) => return Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.file(id, "request").exists().then_some(JoinAnswer::Waiting))
    }

    fn file(&self, id: &JoinId, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}.json", id.0))
    }
}

impl JoinAnswer {
    /// The certificates of an approval.
    pub(super) fn certificates(&self) -> anyhow::Result<(Certificate, Certificate)> {
        match self {
            Self::Approved { sign_certificate, auth_certificate } => {
                Ok((Certificate::from_pem(sign_certificate)?, Certificate::from_pem(auth_certificate)?))
            }
            Self::Waiting => bail!("the authority has not approved the request yet"),
            Self::Refused { reason } => bail!("the authority refused the request: {reason}"),
        }
    }
}

/// `POST /join`, `GET /join/{digest}`.
pub(super) fn router(desk: Desk) -> Router {
    Router::new()
        .route("/join", post(ask))
        .route("/join/{id}", get(look))
        .layer(DefaultBodyLimit::max(BYTES_MAX))
        .with_state(Arc::new(desk))
}

#[derive(Serialize)]
struct Taken {
    code: String,
    id: String,
}

async fn ask(State(desk): State<Arc<Desk>>, body: Bytes) -> Result<Response, Problem> {
    let taken = tokio::task::spawn_blocking(move || desk.take(&body)).await.map_err(Problem::internal)?;
    let id = taken.map_err(|error| Problem::bad_request(format!("{error:#}.")))?;
    tracing::info!(code = id.code(), "a node asks to join");
    Ok((StatusCode::ACCEPTED, Json(Taken { code: id.code(), id: id.0 })).into_response())
}

async fn look(State(desk): State<Arc<Desk>>, UrlPath(id): UrlPath<String>) -> Result<Json<JoinAnswer>, Problem> {
    let id = JoinId::parse(&id).ok_or_else(Problem::not_found)?;
    let status = tokio::task::spawn_blocking(move || desk.status(&id)).await.map_err(Problem::internal)?;
    let status = status.map_err(|error| Problem::internal(format!("{error:#}")))?;
    status.map(Json).ok_or_else(Problem::not_found)
}

#[cfg(test)]
mod tests {
    use bridge::NodeKeys;

    use super::*;

    fn request(folder: &Path) -> JoinRequest {
        let server: ServerId = "BB/GOV/1002/node-1".parse().unwrap();
        let requests = NodeKeys::init(folder, &server, "BB", "Impôts").unwrap();
        JoinRequest {
            server,
            member_name: "Impôts".to_owned(),
            address: "10.0.0.2:5500".to_owned(),
            subsystems: vec!["fisc".to_owned()],
            sign_request: requests.sign.to_pem(),
            auth_request: requests.auth.to_pem(),
        }
    }

    #[test]
    fn a_request_waits_until_it_is_decided() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::open(folder.path()).unwrap();
        let bytes = request(folder.path()).to_bytes().unwrap();
        let id = desk.take(&bytes).unwrap();
        assert_eq!(desk.take(&bytes).unwrap(), id);
        assert_eq!(desk.status(&id).unwrap(), Some(JoinAnswer::Waiting));
        assert_eq!(desk.by_code(&id.code().to_uppercase()).unwrap().0, id);
        desk.answer(&id, &JoinAnswer::Refused { reason: "unknown".to_owned() }).unwrap();
        assert!(desk.waiting().unwrap().is_empty());
        assert!(desk.by_code(&id.code()).is_err());
        assert!(desk.status(&id).unwrap().unwrap().certificates().is_err());
    }

    #[test]
    fn what_is_no_request_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::open(folder.path()).unwrap();
        let good = request(folder.path());
        let mut foreign_key = good.clone();
        foreign_key.sign_request = good.sign_request.replace("MI", "MA");
        let nobody = JoinRequest { subsystems: Vec::new(), ..good.clone() };
        let nameless = JoinRequest { member_name: " ".to_owned(), ..good };
        for bad in [foreign_key, nobody, nameless] {
            assert!(desk.take(&bad.to_bytes().unwrap()).is_err(), "{bad:?}");
        }
        assert!(desk.take(b"{}").is_err());
        assert!(desk.waiting().unwrap().is_empty());
    }

    #[test]
    fn every_change_of_a_request_changes_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let one = request(folder.path());
        let other = JoinRequest { address: "10.0.0.3:5500".to_owned(), ..one.clone() };
        let code = |request: &JoinRequest| JoinId::of(&request.to_bytes().unwrap()).code();
        assert_ne!(code(&one), code(&other));
        assert_eq!(code(&one).len(), 19);
    }
}
