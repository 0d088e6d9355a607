//! How a node joins: it asks (over HTTP, or by a file that is handed over), the operator of the authority approves, it gets its
//! certificates.
//!
//! A stranger may ask; nothing follows from it until the operator has compared the code, a digest of the whole request, with the
//! one that the applicant reads out. Private keys never travel. Requests are limited in size, in pace and number for each address
//! that they come from, in number altogether, and in the time that they wait.

mod desk;
mod door;

use anyhow::{Context as _, bail};
use authority::Newcomer;
use civic::{ClientId, ServerId};
use serde::{Deserialize, Serialize};
use trust::cert::{Certificate, CertificateRequest};
use trust::digest;

pub(super) use desk::Desk;
pub(super) use door::router;

const BYTES_MAX: usize = 64 * 1024;
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

    /// What the authority registers once people have compared the code.
    pub(super) fn newcomer(&self, id: &JoinId) -> anyhow::Result<Newcomer> {
        let (sign_request, auth_request) = self.requests()?;
        Ok(Newcomer {
            code: id.code(),
            server: self.server.clone(),
            member_name: self.member_name.clone(),
            address: self.address.clone(),
            clients: self.clients()?,
            sign_request,
            auth_request,
        })
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bridge::NodeKeys;

    use super::*;

    pub(super) fn request(folder: &Path) -> JoinRequest {
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
    fn what_is_no_request_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let good = request(folder.path());
        let mut foreign_key = good.clone();
        foreign_key.sign_request = good.sign_request.replace("MI", "MA");
        let nobody = JoinRequest { subsystems: Vec::new(), ..good.clone() };
        let nameless = JoinRequest { member_name: " ".to_owned(), ..good.clone() };
        for bad in [foreign_key, nobody, nameless] {
            assert!(JoinRequest::from_bytes(&bad.to_bytes().unwrap()).is_err(), "{bad:?}");
        }
        assert!(JoinRequest::from_bytes(b"{}").is_err());
        assert_eq!(JoinRequest::from_bytes(&good.to_bytes().unwrap()).unwrap(), good);
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
