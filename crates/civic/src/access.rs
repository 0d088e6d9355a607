use serde::{Deserialize, Serialize};

use crate::{ClientId, PersonId};

/// Who asks to read or change something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Actor {
    /// A citizen who acts for themself.
    Citizen(PersonId),
    /// An organisation that asks over the bridge, named by its signing subsystem.
    Organisation(ClientId),
    /// An official, by the pseudonym that the citizen is shown.
    Official(String),
    /// A job of the house itself, by its name.
    House(String),
}

/// Why data are asked for: a code that machines compare and the words that the citizen reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purpose {
    /// The code of the purpose, for instance `credit-application`.
    pub code: String,
    /// The purpose in plain words, in the language that the citizen was shown.
    pub text: String,
}

/// What makes an access lawful.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "basis", content = "reference")]
pub enum LegalBasis {
    /// The citizen agreed; the reference is the id of the grant.
    Consent(String),
    /// A law or decree orders or allows it; the reference names the text and article.
    Law(String),
    /// The citizen looks at their own data.
    SelfAccess,
}

impl LegalBasis {
    /// The code of the basis: `consent`, `law` or `self_access`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Consent(_) => "consent",
            Self::Law(_) => "law",
            Self::SelfAccess => "self_access",
        }
    }
}
