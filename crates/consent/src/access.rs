use civic::{Actor, ClientId, LegalBasis, NationalNumber, Purpose, ServiceId, Timestamp};
use store::StoreError;
use trust::jose::Jwks;

/// The most fields that one request may ask for.
pub const FIELDS_MAX: usize = 64;

const CODE_BYTES_MAX: usize = 64;
const TEXT_CHARS_MAX: usize = 500;
const ID_BYTES_MAX: usize = 256;

/// Somebody asks to read something about somebody.
#[derive(Clone, Debug)]
pub struct AccessRequest {
    /// Who asks.
    pub actor: Actor,
    /// About whom.
    pub subject: NationalNumber,
    /// Through which service of this organisation.
    pub service: ServiceId,
    /// Which fields.
    pub fields: Vec<String>,
    /// Why. For a grant, the purpose that the citizen read replaces it.
    pub purpose: Purpose,
    /// What makes it lawful.
    pub basis: Basis,
    /// The message of the bridge that asks (`X-Road-Id`); needed for a grant.
    pub message_id: Option<String>,
}

/// What the one who asks claims to make it lawful.
#[derive(Clone, Debug)]
pub enum Basis {
    /// A citizen reads their own data. The caller has checked that the number is that of the citizen who is logged in.
    SelfAccess,
    /// A law allows it; the reference must be one that this organisation has put down for the service.
    Law {
        /// The text and article.
        reference: String,
    },
    /// The citizen allowed it: the proof of use (JWS) that the consent service signed for this message.
    Grant(String),
}

/// What a Consent handle decides by.
#[derive(Clone, Debug)]
pub struct ConsentConfig {
    /// This organisation, as provider of services.
    pub organisation: ClientId,
    /// Whose proofs of grant use are believed: issuer and its keys. `None`: no service rests on consent.
    pub grant_issuer: Option<(String, Jwks)>,
    /// The services that a law opens.
    pub laws: Vec<LawfulService>,
}

/// A service that a law opens, as the organisation declared it to the data protection authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LawfulService {
    /// The service.
    pub service: ServiceId,
    /// The text and article, as it is shown to citizens.
    pub reference: String,
    /// The fields that the law covers.
    pub fields: Vec<String>,
    /// Who may ask; `None`: whoever has the right to call the service on the bridge.
    pub clients: Option<Vec<ClientId>>,
}

/// The proof that reading was decided and written down. Only [`crate::Consent::decide`] makes one; the store functions of
/// a room take it, so that no datum is read without it.
#[derive(Debug)]
pub struct Permit {
    pub(crate) journal_id: String,
    pub(crate) actor: Actor,
    pub(crate) subject: NationalNumber,
    pub(crate) service: ServiceId,
    pub(crate) fields: Vec<String>,
    pub(crate) years: Option<Vec<u16>>,
    pub(crate) purpose: Purpose,
    pub(crate) basis: LegalBasis,
    pub(crate) message_id: Option<String>,
    pub(crate) at: Timestamp,
}

impl Permit {
    /// The entry of the access journal.
    pub fn journal_id(&self) -> &str {
        &self.journal_id
    }

    /// Who may read.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// About whom, and about nobody else.
    pub const fn subject(&self) -> &NationalNumber {
        &self.subject
    }

    /// Through which service.
    pub const fn service(&self) -> &ServiceId {
        &self.service
    }

    /// Which fields, and no others.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Whether this field may be read.
    pub fn allows_field(&self, field: &str) -> bool {
        self.fields.iter().any(|allowed| allowed == field)
    }

    /// Whether data of this year may be read. Only a grant limits the years.
    pub fn allows_year(&self, year: u16) -> bool {
        self.years.as_ref().is_none_or(|years| years.contains(&year))
    }

    /// Why: for a grant, what the citizen read.
    pub const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// What makes it lawful.
    pub const fn basis(&self) -> &LegalBasis {
        &self.basis
    }

    /// The message of the bridge that asked.
    pub fn message_id(&self) -> Option<&str> {
        self.message_id.as_deref()
    }

    /// When it was decided.
    pub const fn decided_at(&self) -> Timestamp {
        self.at
    }
}

/// Why nobody may read. Each one is in the access journal too, but for the last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request breaks the limits of its form.
    #[error("the access request is not usable: {0}")]
    Malformed(&'static str),
    /// The service belongs to somebody else.
    #[error("the service {0} is not one of this organisation")]
    ForeignService(String),
    /// This kind of actor cannot claim this basis.
    #[error("{0}")]
    Actor(&'static str),
    /// No law of that reference is put down for the service.
    #[error("`{reference}` is not a law that this organisation has put down for {service}")]
    NotLawful {
        /// The service.
        service: String,
        /// The reference that was claimed.
        reference: String,
    },
    /// A field is outside of what the law or the citizen allows.
    #[error("the field `{0}` is not covered by the law or grant: leave it out")]
    Field(String),
    /// This organisation does not serve on consent.
    #[error("this organisation trusts no consent service: no proof of a grant can be accepted")]
    NoGrantIssuer,
    /// The proof of grant use does not verify, or is too old.
    #[error("the proof of grant use is not accepted: {0}")]
    Proof(String),
    /// The proof is good, but for another request.
    #[error("the proof of grant use is for another {0}")]
    OtherRequest(&'static str),
    /// The proof opened a door before.
    #[error("the proof of grant use has served already: send a new message, with an X-Road-Id of its own")]
    Spent,
    /// The access journal cannot be written: then nothing is read.
    #[error("the access journal cannot be written, so nothing may be read: {0}")]
    Journal(#[from] StoreError),
}

impl Refusal {
    /// The code for journals and machines.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "consent_bad_request",
            Self::ForeignService(_) => "consent_foreign_service",
            Self::Actor(_) => "consent_wrong_actor",
            Self::NotLawful { .. } => "consent_no_law",
            Self::Field(_) => "consent_field_not_covered",
            Self::NoGrantIssuer => "consent_not_served",
            Self::Proof(_) => "consent_proof_invalid",
            Self::OtherRequest(_) => "consent_proof_mismatch",
            Self::Spent => "consent_proof_spent",
            Self::Journal(_) => "consent_journal_unavailable",
        }
    }
}

impl AccessRequest {
    /// What can be judged without knowing anything but the configuration.
    pub(crate) fn check(&self, config: &ConsentConfig) -> Result<(), Refusal> {
        let fields_usable = (1..=FIELDS_MAX).contains(&self.fields.len())
            && self.fields.iter().all(|field| is_code(field))
            && has_no_twins(&self.fields);
        if !fields_usable {
            return Err(Refusal::Malformed("name 1 to 64 different fields of a-z, 0-9, _ and -"));
        }
        if !is_code(&self.purpose.code) || self.purpose.text.chars().count() > TEXT_CHARS_MAX {
            return Err(Refusal::Malformed("give a purpose: a code of a-z, 0-9, _ and -, and at most 500 characters"));
        }
        if self.message_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > ID_BYTES_MAX) {
            return Err(Refusal::Malformed("the message id is empty or has more than 256 bytes"));
        }
        if self.service.client().member() != config.organisation.member() {
            return Err(Refusal::ForeignService(self.service.to_string()));
        }
        Ok(())
    }

    /// The law that opens the service to this actor for these fields.
    pub(crate) fn check_law(&self, reference: &str, config: &ConsentConfig) -> Result<(), Refusal> {
        let law = config.laws.iter().find(|law| law.service == self.service && law.reference == reference);
        let not_lawful = || Refusal::NotLawful { service: self.service.to_string(), reference: cut(reference) };
        let law = law.ok_or_else(not_lawful)?;
        match &self.actor {
            Actor::Organisation(client) => {
                if law.clients.as_ref().is_some_and(|clients| !clients.contains(client)) {
                    return Err(Refusal::Actor(
                        "this organisation is not among those that the law opens the service to",
                    ));
                }
            }
            Actor::Official(_) | Actor::House(_) => {}
            Actor::Citizen(_) => return Err(Refusal::Actor("a citizen reads by self access, not by a law")),
        }
        first_outside(&self.fields, &law.fields)
    }
}

/// The first field that is not among the allowed ones refuses all.
pub(crate) fn first_outside(asked: &[String], allowed: &[String]) -> Result<(), Refusal> {
    match asked.iter().find(|field| !allowed.contains(field)) {
        Some(field) => Err(Refusal::Field(field.clone())),
        None => Ok(()),
    }
}

pub(crate) fn is_code(text: &str) -> bool {
    (1..=CODE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
}

pub(crate) fn has_no_twins<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(at, item)| !items.iter().take(at).any(|earlier| earlier == item))
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
