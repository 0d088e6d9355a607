//! Requests of nodes and of the authority's own operators: values and states.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::{ClientId, ServerId, Timestamp};
use serde::{Deserialize, Serialize};
use trust::cert::Certificate;
use trust::digest::sha256;
use trust::mserv::Command;

/// What is asked: the management services of PR-MSERV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestKind {
    /// An authentication certificate for a node; the first one registers the node.
    AuthCertReg,
    /// A node gives an authentication certificate back.
    AuthCertDeletion,
    /// A client at a node.
    ClientReg,
    /// A client leaves a node.
    ClientDeletion,
    /// Another member takes the node over.
    OwnerChange,
    /// The node moved.
    AddressChange,
    /// A client is stopped for a time.
    ClientDisable,
    /// A stopped client goes on.
    ClientEnable,
    /// A subsystem is renamed.
    ClientRename,
    /// A maintenance begins.
    MaintenanceModeEnable,
    /// A maintenance ends.
    MaintenanceModeDisable,
}

impl RequestKind {
    const ALL: [Self; 11] = [
        Self::AuthCertReg,
        Self::AuthCertDeletion,
        Self::ClientReg,
        Self::ClientDeletion,
        Self::OwnerChange,
        Self::AddressChange,
        Self::ClientDisable,
        Self::ClientEnable,
        Self::ClientRename,
        Self::MaintenanceModeEnable,
        Self::MaintenanceModeDisable,
    ];

    /// As the service is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthCertReg => "authCertReg",
            Self::AuthCertDeletion => "authCertDeletion",
            Self::ClientReg => "clientReg",
            Self::ClientDeletion => "clientDeletion",
            Self::OwnerChange => "ownerChange",
            Self::AddressChange => "addressChange",
            Self::ClientDisable => "clientDisable",
            Self::ClientEnable => "clientEnable",
            Self::ClientRename => "clientRename",
            Self::MaintenanceModeEnable => "maintenanceModeEnable",
            Self::MaintenanceModeDisable => "maintenanceModeDisable",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A node.
    Node,
    /// An operator of the authority.
    Authority,
}

impl Origin {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Authority => "authority",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Node, Self::Authority].into_iter().find(|origin| origin.name() == name)
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// One side asked.
    Waiting,
    /// Both sides asked; an operator still says yes.
    Submitted,
    /// Done.
    Approved,
    /// An operator said no.
    Declined,
    /// Taken back by who asked.
    Revoked,
}

impl RequestState {
    pub(crate) const ALL: [Self; 5] = [Self::Waiting, Self::Submitted, Self::Approved, Self::Declined, Self::Revoked];

    /// As it is stored and told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Revoked => "revoked",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    pub(crate) const fn is_pending(self) -> bool {
        matches!(self, Self::Waiting | Self::Submitted)
    }
}

/// What else a request says; which fields are there depends on its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestDetail {
    /// The address of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The authentication certificate, DER in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_cert: Option<String>,
    /// The name of the subsystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsystem_name: Option<String>,
    /// The message for callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A request with its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number, which the answer names.
    pub id: i64,
    /// What is asked.
    pub kind: RequestKind,
    /// Who asks.
    pub origin: Origin,
    /// Where it stands.
    pub state: RequestState,
    /// The node that it is about.
    pub server: ServerId,
    /// The client that it is about.
    pub client: Option<ClientId>,
    /// What else it says.
    pub detail: RequestDetail,
    /// SHA-256 of the certificate that it is about, hexadecimal.
    pub certificate: Option<String>,
    /// The request of the other side that it complements.
    pub complements: Option<i64>,
    /// When it came.
    pub created_at: Timestamp,
    /// Who asked.
    pub created_by: String,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// Why it was declined.
    pub reason: Option<String>,
}

impl Request {
    /// A new one from a command; its number comes when it is stored.
    pub(crate) fn of_command(command: &Command, origin: Origin, by: &str, now: Timestamp) -> Self {
        let mut detail = RequestDetail::default();
        let mut certificate = None;
        let kind = match command {
            Command::AuthCertReg { address, auth_cert, .. } => {
                detail.address.clone_from(address);
                detail.auth_cert = Some(STANDARD.encode(auth_cert));
                certificate = Some(hex::encode(sha256(auth_cert)));
                RequestKind::AuthCertReg
            }
            Command::AuthCertDeletion { auth_cert, .. } => {
                detail.auth_cert = Some(STANDARD.encode(auth_cert));
                certificate = Some(hex::encode(sha256(auth_cert)));
                RequestKind::AuthCertDeletion
            }
            Command::ClientReg { subsystem_name, .. } => {
                detail.subsystem_name.clone_from(subsystem_name);
                RequestKind::ClientReg
            }
            Command::ClientDeletion { .. } => RequestKind::ClientDeletion,
            Command::OwnerChange { .. } => RequestKind::OwnerChange,
            Command::AddressChange { address, .. } => {
                detail.address = Some(address.clone());
                RequestKind::AddressChange
            }
            Command::ClientDisable { .. } => RequestKind::ClientDisable,
            Command::ClientEnable { .. } => RequestKind::ClientEnable,
            Command::ClientRename { subsystem_name, .. } => {
                detail.subsystem_name = Some(subsystem_name.clone());
                RequestKind::ClientRename
            }
            Command::MaintenanceModeEnable { message, .. } => {
                detail.message.clone_from(message);
                RequestKind::MaintenanceModeEnable
            }
            Command::MaintenanceModeDisable { .. } => RequestKind::MaintenanceModeDisable,
        };
        Self {
            id: 0,
            kind,
            origin,
            state: RequestState::Waiting,
            server: command.server().clone(),
            client: command.client().cloned(),
            detail,
            certificate,
            complements: None,
            created_at: now,
            created_by: by.to_owned(),
            decided_at: None,
            decided_by: None,
            reason: None,
        }
    }

    /// The authentication certificate that it is about.
    pub fn auth_certificate(&self) -> Option<Certificate> {
        let text = self.detail.auth_cert.as_deref()?;
        Certificate::from_der(&STANDARD.decode(text).ok()?).ok()
    }
}
