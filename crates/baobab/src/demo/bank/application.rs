//! A request for a loan: what was asked, what the citizen answered, what the tax office certified.

use civic::{Currency, Locale, Timestamp};
use identity::rp::{Login, Pending};
use serde::{Deserialize, Serialize};

/// The smallest and the largest sum, in francs.
pub(super) const AMOUNTS: std::ops::RangeInclusive<i64> = 50_000..=20_000_000;
/// Over how many months a loan can be paid back.
pub(super) const MONTHS: [u16; 5] = [6, 12, 24, 36, 60];
/// What loans are for: the codes of the bank, each with words in the translations.
pub(super) const PROJECTS: [&str; 5] = ["trade", "equipment", "school", "housing", "health"];
/// The fields of the statement that the bank asks for; it needs no other.
pub(super) const FIELDS: [&str; 3] = ["gross_income", "taxable_income", "employer"];

/// What the citizen asks the bank for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loan {
    /// Francs.
    pub(super) amount: i64,
    /// Months to pay back, one of [`MONTHS`].
    pub(super) months: u16,
    /// What it is for, one of [`PROJECTS`].
    pub(super) project: String,
}

/// A request for a loan.
#[derive(Clone, Debug)]
pub(super) struct Application {
    /// Random.
    pub(super) id: String,
    /// The language in which it was made.
    pub(super) locale: Locale,
    /// What was asked for.
    pub(super) loan: Loan,
    /// How far it is.
    pub(super) state: State,
    /// The income, where the tax office certified it and the consent stands.
    pub(super) income: Option<Income>,
    /// When it was made.
    pub(super) created_at: Timestamp,
}

/// How far a request is.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// The citizen has not answered yet; the login that was begun, unless it could not be begun.
    Asked(Option<Box<Pending>>),
    /// The citizen said no.
    Refused,
    /// The citizen said yes.
    Agreed(Box<Access>),
}

/// What the citizen's consent gave the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Access {
    /// The access token for the bridge.
    pub(super) token: String,
    /// When the token ends.
    pub(super) until: Timestamp,
    /// The citizen as the bank alone knows them.
    pub(super) subject: String,
    /// The grant, as the citizen's portal names it.
    pub(super) grant: Option<String>,
}

/// What the tax office certified; only what was granted is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the service's fields")]
pub(super) struct Income {
    /// The year of the income.
    pub(super) year: u16,
    /// The currency of the amounts.
    pub(super) currency: Currency,
    /// Gross income.
    pub(super) gross_income: Option<i64>,
    /// Taxable income.
    pub(super) taxable_income: Option<i64>,
    /// Who paid it.
    pub(super) employer: Option<String>,
}

/// A call that the bank made for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The message id.
    pub(super) id: String,
    /// When it began.
    pub(super) called_at: Timestamp,
    /// How long it took, microseconds.
    pub(super) took_us: i64,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// The request id of the node, or the detail id of its error.
    pub(super) reference: Option<String>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The tax office answered with the income.
    Answered,
    /// The citizen withdrew the consent.
    ConsentRevoked,
    /// The consent has ended by itself.
    ConsentExpired,
    /// The consent was for fewer calls.
    ConsentExhausted,
    /// The consent does not cover this call.
    ConsentOutOfScope,
    /// The organisation has no right, or the token is not accepted.
    AccessDenied,
    /// The tax office has no statement of this citizen for the year.
    NoStatement,
    /// No answer: network, a node or a service that is down.
    Unreachable,
    /// Anything else.
    Other,
}

impl Outcome {
    const ALL: [Self; 9] = [
        Self::Answered,
        Self::ConsentRevoked,
        Self::ConsentExpired,
        Self::ConsentExhausted,
        Self::ConsentOutOfScope,
        Self::AccessDenied,
        Self::NoStatement,
        Self::Unreachable,
        Self::Other,
    ];

    /// The code in the store and, with `-` for `_`, in the keys of the translations.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ConsentRevoked => "consent_revoked",
            Self::ConsentExpired => "consent_expired",
            Self::ConsentExhausted => "consent_exhausted",
            Self::ConsentOutOfScope => "consent_out_of_scope",
            Self::AccessDenied => "access_denied",
            Self::NoStatement => "no_statement",
            Self::Unreachable => "unreachable",
            Self::Other => "other",
        }
    }

    /// From a stored code.
    pub(super) fn of_code(code: &str) -> Self {
        Self::ALL.into_iter().find(|outcome| outcome.code() == code).unwrap_or(Self::Other)
    }

    /// From the type of an r1 error (`server.serverproxy.consent_revoked`) or of a problem of the service
    /// (`urn:baobab:problem:no_statement`): the last word decides.
    pub(super) fn of_error_type(kind: &str) -> Self {
        match kind.rsplit(['.', ':']).next().unwrap_or_default() {
            "consent_revoked" => Self::ConsentRevoked,
            "consent_expired" => Self::ConsentExpired,
            "consent_exhausted" => Self::ConsentExhausted,
            "consent_out_of_scope" | "consent_unknown" => Self::ConsentOutOfScope,
            "access_denied" | "grant_use_missing" => Self::AccessDenied,
            other if other.starts_with("token_") || other.starts_with("consent_proof") => Self::AccessDenied,
            "no_statement" => Self::NoStatement,
            "network_error" | "service_failed" | "unavailable" | "io_error" | "consent_unavailable" => {
                Self::Unreachable
            }
            _ => Self::Other,
        }
    }

    /// Whether the citizen must be asked again before another call makes sense.
    pub(super) const fn needs_new_consent(self) -> bool {
        matches!(self, Self::ConsentRevoked | Self::ConsentExpired | Self::ConsentExhausted | Self::ConsentOutOfScope)
    }
}

/// What the bank's calculator says; a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Assessment {
    /// What is paid back every month, in francs.
    pub(super) instalment: i64,
    /// Which part of the monthly gross income that is, in percent, at most 999.
    pub(super) share_percent: i64,
}

impl Assessment {
    /// Above this share of the income an adviser looks for another plan with the citizen.
    pub(super) const SHARE_PERCENT_MAX: i64 = 33;
    /// The indicative interest of a year, in percent.
    pub(super) const INTEREST_PERCENT: i64 = 9;

    /// Instalments at 9 % a year on the average debt, against a twelfth of the gross income.
    pub(super) fn of(loan: &Loan, income: &Income) -> Option<Self> {
        let months = i64::from(loan.months);
        let monthly_income = income.gross_income? / 12;
        if monthly_income <= 0 || months == 0 {
            return None;
        }
        let interest = loan.amount * Self::INTEREST_PERCENT * months / (100 * 24);
        let instalment = (loan.amount + interest + months - 1) / months;
        Some(Self { instalment, share_percent: (instalment * 100 / monthly_income).min(999) })
    }

    /// Whether the instalments leave enough to live on.
    pub(super) const fn affordable(self) -> bool {
        self.share_percent <= Self::SHARE_PERCENT_MAX
    }
}

impl From<Login> for Access {
    fn from(login: Login) -> Self {
        Self {
            token: login.access_token,
            until: login.access_token_until,
            subject: login.subject,
            grant: login.granted.and_then(|granted| granted.grant_id),
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn income(gross_income: Option<i64>) -> Income {
        Income { year: 2025, currency: Currency::Xof, gross_income, taxable_income: None, employer: None }
    }

    #[test]
    fn a_loan_is_weighed_against_the_monthly_income() {
        let loan = Loan { amount: 1_200_000, months: 24, project: "trade".into() };
        let assessment = Assessment::of(&loan, &income(Some(3_600_000))).unwrap();
        assert_eq!(assessment, Assessment { instalment: 54_500, share_percent: 18 });
        assert!(assessment.affordable());
        assert!(!Assessment::of(&loan, &income(Some(1_200_000))).unwrap().affordable());
    }

    #[test]
    fn without_a_gross_income_nothing_is_computed() {
        let loan = Loan { amount: 1_200_000, months: 24, project: "trade".into() };
        assert_eq!(Assessment::of(&loan, &income(None)), None);
        assert_eq!(Assessment::of(&loan, &income(Some(0))), None);
    }

    #[test]
    fn errors_of_nodes_and_services_are_told_apart_by_their_last_word() {
        assert_eq!(Outcome::of_error_type("server.serverproxy.consent_revoked"), Outcome::ConsentRevoked);
        assert_eq!(Outcome::of_error_type("urn:baobab:problem:no_statement"), Outcome::NoStatement);
        assert_eq!(Outcome::of_error_type("server.clientproxy.network_error"), Outcome::Unreachable);
        assert_eq!(Outcome::of_error_type("client.bad_request"), Outcome::Other);
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::of_code(outcome.code()), outcome);
        }
    }
}
