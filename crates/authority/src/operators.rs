//! Who operates the authority: keys with roles, and the book of what was done.

use civic::Timestamp;
use serde::{Deserialize, Serialize};

/// What the bearer of a key may do. The names are those of X-Road's central server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Members, subsystems, nodes, groups; approves and declines; issues certificates.
    #[serde(rename = "XROAD_REGISTRATION_OFFICER")]
    RegistrationOfficer,
    /// Approved authorities, federation, keys of the configuration; revokes certificates.
    #[serde(rename = "XROAD_SECURITY_OFFICER")]
    SecurityOfficer,
    /// Keys of operators, classes and categories.
    #[serde(rename = "XROAD_SYSTEM_ADMINISTRATOR")]
    SystemAdministrator,
    /// Reads only; every role may read.
    #[serde(rename = "XROAD_OBSERVER")]
    Observer,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] =
        [Self::RegistrationOfficer, Self::SecurityOfficer, Self::SystemAdministrator, Self::Observer];

    /// As it is stored and told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RegistrationOfficer => "XROAD_REGISTRATION_OFFICER",
            Self::SecurityOfficer => "XROAD_SECURITY_OFFICER",
            Self::SystemAdministrator => "XROAD_SYSTEM_ADMINISTRATOR",
            Self::Observer => "XROAD_OBSERVER",
        }
    }

    /// The role of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A key of an operator; the secret itself is shown once and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its first part, which is no secret.
    pub id: String,
    /// Whose it is, for people.
    pub label: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Who did what, when, with which values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// A running number.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who: an operator's key, a node, or the process itself.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// With which values.
    pub detail: String,
}
