use civic::Timestamp;
use serde::{Deserialize, Serialize};

use crate::grant::{Grant, GrantUseRequest};

/// What happened to a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The citizen gave it.
    Given,
    /// It was used.
    Used,
    /// A use was refused.
    Refused,
    /// It was withdrawn.
    Revoked,
    /// It was found past its end.
    Expired,
}

impl EventKind {
    /// The word in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Used => "used",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// The record of an event. Its JSON, byte for byte, is what the ledger holds a salted commitment of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The version of this form.
    pub v: u8,
    /// What happened.
    pub event: EventKind,
    /// When, RFC 3339.
    pub at: String,
    /// The grant.
    pub grant_id: String,
    /// The national number of the person; empty where the grant is unknown.
    pub subject: String,
    /// Who may ask, or asked.
    pub client: String,
    /// Which service.
    pub service: String,
    /// The rest of what the grant says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<EventTerms>,
    /// What was asked, for a use or its refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<EventRequest>,
    /// Why it was refused or ended: a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a grant says, as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTerms {
    /// Which fields.
    pub fields: Vec<String>,
    /// Which years.
    pub years: Vec<u16>,
    /// Why: the code.
    pub purpose_code: String,
    /// Why: the words.
    pub purpose_text: String,
    /// Until when, RFC 3339.
    pub valid_until: String,
    /// How many times.
    pub uses_max: u32,
    /// SHA-256 of the notice, hexadecimal.
    pub notice_hash: String,
    /// The language of the notice.
    pub locale: String,
    /// How sure the login was.
    pub acr: String,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRequest {
    /// The message of the bridge.
    pub message_id: String,
    /// The method.
    pub method: String,
    /// The path after the service code.
    pub path: String,
}

/// An event as pages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantEvent {
    /// Its id.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// The record.
    pub record: EventRecord,
    /// Where the ledger holds its commitment; `None` while it is on the way.
    pub ledger_index: Option<u64>,
}

/// With this the citizen proves, to anybody who trusts the ledger's key, that the record was in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventProof {
    /// The record, byte for byte.
    pub record: String,
    /// The salt, hexadecimal.
    pub salt: String,
    /// The leaf: HMAC-SHA-256 of the record under the salt, hexadecimal.
    pub leaf: String,
    /// Where the ledger holds it; absent while it is on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The ledger's proof (C2SP tlog-proof) with record and salt in it; absent while it is on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tlog_proof: Option<String>,
}

impl EventRecord {
    /// Something happened to a grant.
    pub(crate) fn of(grant: &Grant, event: EventKind, at: Timestamp) -> Self {
        let terms = (event == EventKind::Given).then(|| EventTerms {
            fields: grant.fields.clone(),
            years: grant.years.clone(),
            purpose_code: grant.purpose.code.clone(),
            purpose_text: grant.purpose.text.clone(),
            valid_until: grant.valid_until.rfc3339(),
            uses_max: grant.uses_max,
            notice_hash: grant.notice_hash.clone(),
            locale: grant.locale.tag().to_owned(),
            acr: grant.acr.clone(),
        });
        Self {
            v: 1,
            event,
            at: at.rfc3339(),
            grant_id: grant.id.clone(),
            subject: grant.national_number.as_str().to_owned(),
            client: grant.client.to_string(),
            service: grant.service.to_string(),
            terms,
            request: None,
            reason: None,
        }
    }

    /// A use of a grant that is not known was refused.
    pub(crate) fn of_unknown(request: &GrantUseRequest, at: Timestamp) -> Self {
        Self {
            v: 1,
            event: EventKind::Refused,
            at: at.rfc3339(),
            grant_id: request.grant_id.clone(),
            subject: String::new(),
            client: request.client.to_string(),
            service: request.service.to_string(),
            terms: None,
            request: None,
            reason: None,
        }
    }

    pub(crate) fn asked(mut self, request: &GrantUseRequest) -> Self {
        self.request = Some(EventRequest {
            message_id: request.message_id.clone(),
            method: request.method.clone(),
            path: request.path.clone(),
        });
        self
    }

    pub(crate) fn because(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }
}
