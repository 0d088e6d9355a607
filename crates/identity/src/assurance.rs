use std::fmt;
use std::str::FromStr;

use civic::{PersonId, Timestamp};
use serde::{Deserialize, Serialize};

/// How sure the house is of who logged in: the claim `acr`. The names are those of Regulation (EU) 910/2014 and of TARA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acr {
    /// One factor, for instance a PIN without a phone.
    Low,
    /// Two factors, or a passkey with user verification.
    Substantial,
    /// A device-bound, attested authenticator. No method of this version reaches it.
    High,
}

impl Acr {
    /// Every level that discovery publishes, lowest first.
    pub const OFFERED: [Self; 2] = [Self::Low, Self::Substantial];

    /// The value of the claim.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Substantial => "substantial",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Acr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Acr {
    type Err = UnknownAcr;

    fn from_str(text: &str) -> Result<Self, UnknownAcr> {
        match text {
            "low" => Ok(Self::Low),
            "substantial" => Ok(Self::Substantial),
            "high" => Ok(Self::High),
            _ => Err(UnknownAcr),
        }
    }
}

/// A level that this provider does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the assurance levels are low, substantial and high")]
pub struct UnknownAcr;

/// One method of the claim `amr` (RFC 8176 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Amr {
    /// The PIN of the letter, or one that the citizen chose.
    Pin,
    /// A code sent to the registered phone.
    Sms,
    /// The activation code of the letter: it works once.
    Otp,
    /// A passkey that stays in one device.
    Hwk,
    /// A passkey that the platform copies between devices.
    Swk,
    /// The authenticator verified its user (fingerprint, face, device PIN).
    User,
    /// More than one factor took part.
    Mfa,
}

impl Amr {
    /// The value in the claim.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Sms => "sms",
            Self::Otp => "otp",
            Self::Hwk => "hwk",
            Self::Swk => "swk",
            Self::User => "user",
            Self::Mfa => "mfa",
        }
    }
}

/// A completed login: who, how sure, by what, when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// The internal number of the person.
    pub person: PersonId,
    /// The level reached.
    pub acr: Acr,
    /// The methods used.
    pub amr: Vec<Amr>,
    /// When the last factor was checked.
    pub at: Timestamp,
}

impl Authentication {
    /// By the factors of a first or ordinary login without a passkey. With a phone the level is substantial, without one it is low.
    pub fn by_codes(person: PersonId, pin: bool, letter: bool, sms: bool, at: Timestamp) -> Self {
        let mut amr = Vec::with_capacity(4);
        for (used, method) in [(pin, Amr::Pin), (letter, Amr::Otp), (sms, Amr::Sms)] {
            if used {
                amr.push(method);
            }
        }
        if amr.len() > 1 {
            amr.push(Amr::Mfa);
        }
        Self { person, acr: if sms { Acr::Substantial } else { Acr::Low }, amr, at }
    }

    /// By a passkey whose authenticator verified its user. `synced`: the platform may copy the key (flag BE of WebAuthn L3 §6.1).
    /// The level never exceeds the one that the passkey was registered under.
    pub fn by_passkey(person: PersonId, synced: bool, bound_at: Acr, at: Timestamp) -> Self {
        let key = if synced { Amr::Swk } else { Amr::Hwk };
        Self { person, acr: bound_at.min(Acr::Substantial), amr: vec![key, Amr::User, Amr::Mfa], at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn awa() -> PersonId {
        PersonId::draw(&civic::testing::SeededRandom::new(1))
    }

    #[test]
    fn a_pin_alone_is_low_and_with_a_phone_substantial() {
        let now = Timestamp::from_seconds(1);
        assert_eq!(Authentication::by_codes(awa(), true, false, false, now).acr, Acr::Low);
        let login = Authentication::by_codes(awa(), true, false, true, now);
        assert_eq!((login.acr, login.amr), (Acr::Substantial, vec![Amr::Pin, Amr::Sms, Amr::Mfa]));
        let first = Authentication::by_codes(awa(), true, true, false, now);
        assert_eq!((first.acr, first.amr), (Acr::Low, vec![Amr::Pin, Amr::Otp, Amr::Mfa]));
    }

    #[test]
    fn a_passkey_is_no_stronger_than_the_login_it_was_made_under() {
        let now = Timestamp::from_seconds(1);
        assert_eq!(Authentication::by_passkey(awa(), true, Acr::Low, now).acr, Acr::Low);
        let bound = Authentication::by_passkey(awa(), false, Acr::High, now);
        assert_eq!((bound.acr, bound.amr), (Acr::Substantial, vec![Amr::Hwk, Amr::User, Amr::Mfa]));
    }
}
