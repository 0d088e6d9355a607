use std::time::Duration;

use civic::{ClientId, Locale, NationalNumber, PersonId, Purpose, ServiceId, Timestamp};
use store::StoreError;

use crate::access::{has_no_twins, is_code};

/// The most fields of one grant.
pub const GRANT_FIELDS_MAX: usize = 32;
/// The most years of one grant.
pub const GRANT_YEARS_MAX: usize = 10;
/// The longest validity of a grant, in days.
pub const GRANT_DAYS_MAX: u32 = 365;
/// The most uses of one grant.
pub const GRANT_USES_MAX: u32 = 1_000;

/// What a citizen allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// The citizen.
    pub person: PersonId,
    /// Whose data: the citizen's own national number.
    pub national_number: NationalNumber,
    /// Who may ask.
    pub client: ClientId,
    /// Which service.
    pub service: ServiceId,
    /// Which fields.
    pub fields: Vec<String>,
    /// Which years: the first path segment after the service code.
    pub years: Vec<u16>,
    /// Why, in the words that the citizen read.
    pub purpose: Purpose,
    /// For how many days from now.
    pub valid_for_days: u32,
    /// How many times.
    pub uses_max: u32,
    /// The language of the notice.
    pub locale: Locale,
    /// SHA-256 of the notice that was shown, 64 hexadecimal digits.
    pub notice_hash: String,
    /// How sure the login was, for instance `substantial`.
    pub acr: String,
    /// How the citizen logged in, for instance `pin`, `sms`.
    pub amr: Vec<String>,
    /// When the citizen logged in.
    pub auth_time: Timestamp,
}

/// What a citizen allowed, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// The citizen.
    pub person: PersonId,
    /// Whose data.
    pub national_number: NationalNumber,
    /// Who may ask.
    pub client: ClientId,
    /// Which service.
    pub service: ServiceId,
    /// Which fields.
    pub fields: Vec<String>,
    /// Which years.
    pub years: Vec<u16>,
    /// Why.
    pub purpose: Purpose,
    /// From when.
    pub valid_from: Timestamp,
    /// Until when, excluded.
    pub valid_until: Timestamp,
    /// How many times.
    pub uses_max: u32,
    /// How many times it was used.
    pub uses: u32,
    /// The language of the notice.
    pub locale: Locale,
    /// SHA-256 of the notice, hexadecimal.
    pub notice_hash: String,
    /// How sure the login was.
    pub acr: String,
    /// How the citizen logged in.
    pub amr: Vec<String>,
    /// When the citizen logged in.
    pub auth_time: Timestamp,
    /// Whether and when it was ended.
    pub status: GrantStatus,
}

/// Whether a grant was ended, as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantStatus {
    /// Not ended; it may still be past its end or used up: ask [`Grant::state`].
    Given,
    /// Withdrawn.
    Revoked(Timestamp),
    /// Found to be past its end.
    Expired(Timestamp),
}

/// What a grant is good for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// It may be used.
    Active,
    /// All uses are spent.
    Exhausted,
    /// Past its end.
    Expired,
    /// Withdrawn.
    Revoked,
}

impl Grant {
    /// What it is good for now.
    pub fn state(&self, now: Timestamp) -> GrantState {
        match self.status {
            GrantStatus::Revoked(_) => GrantState::Revoked,
            GrantStatus::Expired(_) => GrantState::Expired,
            GrantStatus::Given if now >= self.valid_until => GrantState::Expired,
            GrantStatus::Given if self.uses >= self.uses_max => GrantState::Exhausted,
            GrantStatus::Given => GrantState::Active,
        }
    }

    /// How many uses are left.
    pub const fn uses_left(&self) -> u32 {
        self.uses_max.saturating_sub(self.uses)
    }

    /// Whether the grant covers this request, whatever its state.
    pub(crate) fn covers(&self, request: &GrantUseRequest) -> Result<(), GrantRefusal> {
        let outside = |what| Err(GrantRefusal::OutOfScope(what));
        if *self.service.client() != request.provider || self.service != request.service {
            return outside("service");
        }
        if self.client != request.client {
            return outside("client");
        }
        if request.method != "GET" && request.method != "HEAD" {
            return outside("method");
        }
        match year_of(&request.path) {
            Some(year) if self.years.contains(&year) => Ok(()),
            _ => outside("year"),
        }
    }
}

impl NewGrant {
    /// Whether it keeps within the limits; the consent screen has refused worse before.
    pub(crate) fn check(&self) -> Result<(), GrantError> {
        let invalid = |what| Err(GrantError::Invalid(what));
        if !(1..=GRANT_FIELDS_MAX).contains(&self.fields.len())
            || !self.fields.iter().all(|field| is_code(field))
            || !has_no_twins(&self.fields)
        {
            return invalid("name 1 to 32 different fields of a-z, 0-9, _ and -");
        }
        if !(1..=GRANT_YEARS_MAX).contains(&self.years.len()) || !has_no_twins(&self.years) {
            return invalid("name 1 to 10 different years");
        }
        if !is_code(&self.purpose.code) || !(1..=500).contains(&self.purpose.text.chars().count()) {
            return invalid("a purpose has a code and 1 to 500 characters of text");
        }
        if !(1..=GRANT_DAYS_MAX).contains(&self.valid_for_days) {
            return invalid("a grant is valid for 1 to 365 days");
        }
        if !(1..=GRANT_USES_MAX).contains(&self.uses_max) {
            return invalid("a grant allows 1 to 1000 uses");
        }
        if self.notice_hash.len() != 64 || !self.notice_hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return invalid("the hash of the notice has 64 hexadecimal digits");
        }
        if self.acr.len() > 64 || self.amr.len() > 16 || self.amr.iter().any(|method| method.len() > 32) {
            return invalid("acr or amr is too long");
        }
        Ok(())
    }

    /// The grant that it becomes at this moment.
    pub(crate) fn given(self, id: String, now: Timestamp) -> Grant {
        let days = Duration::from_secs(u64::from(self.valid_for_days) * 86_400);
        Grant {
            id,
            person: self.person,
            national_number: self.national_number,
            client: self.client,
            service: self.service,
            fields: self.fields,
            years: self.years,
            purpose: self.purpose,
            valid_from: now,
            valid_until: now.plus(days),
            uses_max: self.uses_max,
            uses: 0,
            locale: self.locale,
            notice_hash: self.notice_hash,
            acr: self.acr,
            amr: self.amr,
            auth_time: self.auth_time,
            status: GrantStatus::Given,
        }
    }
}

/// A provider's node asks to use a grant for one message. The node itself has been authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantUseRequest {
    /// The grant.
    pub grant_id: String,
    /// The provider that asks: it must be the one that serves the service.
    pub provider: ClientId,
    /// The client that signed the message.
    pub client: ClientId,
    /// The service that is called.
    pub service: ServiceId,
    /// The method of the request.
    pub method: String,
    /// The path after the service code, with or without a slash in front.
    pub path: String,
    /// The message of the bridge (`X-Road-Id`).
    pub message_id: String,
}

/// A use that was counted, with the proof for the information system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantUse {
    /// The proof: a JWS of type [`crate::GRANT_USE_TYP`].
    pub jws: String,
    /// Whose data.
    pub subject: NationalNumber,
    /// Which fields.
    pub fields: Vec<String>,
    /// Which years.
    pub years: Vec<u16>,
    /// Why.
    pub purpose: Purpose,
    /// Until when the proof opens.
    pub expires: Timestamp,
}

/// Why a grant may not be used. Each is written down as an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// There is no such grant.
    #[error("this grant is not known: ask the citizen again")]
    Unknown,
    /// The citizen withdrew it.
    #[error("the citizen withdrew this grant: ask the citizen again")]
    Revoked,
    /// It is past its end.
    #[error("this grant is past its end: ask the citizen again")]
    Expired,
    /// All uses are spent.
    #[error("all uses of this grant are spent: ask the citizen again")]
    Exhausted,
    /// It does not cover the request.
    #[error("this grant does not cover the {0} of the request: ask the citizen for what you need")]
    OutOfScope(&'static str),
}

impl GrantRefusal {
    /// The end of the problem type: `consent_unknown`, `consent_revoked`, `consent_expired`, `consent_exhausted` or
    /// `consent_out_of_scope`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "consent_unknown",
            Self::Revoked => "consent_revoked",
            Self::Expired => "consent_expired",
            Self::Exhausted => "consent_exhausted",
            Self::OutOfScope(_) => "consent_out_of_scope",
        }
    }
}

/// Why a use was not granted: by the rules, or for want of something.
#[derive(Debug, thiserror::Error)]
pub enum UseError {
    /// By the rules.
    #[error(transparent)]
    Refused(#[from] GrantRefusal),
    /// Storage or signing failed: nothing may be disclosed; the same message may ask again.
    #[error(transparent)]
    Failed(#[from] GrantError),
}

/// What can go wrong with grants, beside refusals.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The grant is outside the limits.
    #[error("this cannot be granted: {0}")]
    Invalid(&'static str),
    /// There is no such grant or event, or it is somebody else's: which of them is not said.
    #[error("you have no grant of this id")]
    NotYours,
    /// The grant has ended before.
    #[error("this grant has ended already")]
    Ended,
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The proof could not be signed.
    #[error("the proof of use could not be signed: {0}")]
    Signing(String),
    /// The ledger did not answer.
    #[error("the ledger did not answer: {0}")]
    Ledger(String),
}

/// The year that a path starts with. A path with two readings has none.
fn year_of(path: &str) -> Option<u16> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.len() > 1_024 || path.contains(['%', ';', '\\', '#']) || path.contains("//") {
        return None;
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return None;
    }
    let first = path.split('/').next()?;
    if first.len() == 4 && first.bytes().all(|byte| byte.is_ascii_digit()) { first.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_path_has_a_year() {
        for path in ["2025", "/2025", "/2025/", "/2025/details", "/2025?format=json"] {
            assert_eq!(year_of(path), Some(2025), "{path}");
        }
        for path in
            ["", "/", "//2025", "/2024/../2025", "/2025/../2024", "/20255", "/+025", "/%32025", "/2025;x", "/٢٠٢٥"]
        {
            assert_eq!(year_of(path), None, "{path}");
        }
    }
}
