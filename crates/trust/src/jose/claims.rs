use std::time::Duration;

use civic::Timestamp;
use serde::{Deserialize, Serialize};

use super::{JoseError, cut};

/// For whom a token is: one name or several (RFC 7519 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One name, as text.
    One(String),
    /// Several names.
    Many(Vec<String>),
}

impl Audience {
    /// Whether the name is among them.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Many(many) => many.iter().any(|one| one == name),
        }
    }
}

/// The registered claims (RFC 7519 §4.1); put it into a claims struct with `#[serde(flatten)]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Who made the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Of whom it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// For whom it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// Not valid from this second on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// Not valid before this second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Made in this second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// The id of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

impl Registered {
    /// Checks issuer, audience and times. `skew` is how far two clocks may differ; `exp` and `iat` must be there; a token
    /// may not live longer than `lifetime_max`.
    pub fn check(
        &self,
        issuer: &str,
        audience: &str,
        now: Timestamp,
        skew: Duration,
        lifetime_max: Duration,
    ) -> Result<(), JoseError> {
        let wrong = |claim, reason: String| Err(JoseError::Claim { claim, reason });
        if self.iss.as_deref() != Some(issuer) {
            return wrong(
                "iss",
                format!("is `{}`; `{issuer}` is needed", cut(self.iss.as_deref().unwrap_or_default())),
            );
        }
        if !self.aud.as_ref().is_some_and(|aud| aud.contains(audience)) {
            return wrong("aud", format!("does not name `{audience}`: the token is for somebody else"));
        }
        let (Some(iat), Some(exp)) = (self.iat, self.exp) else {
            return wrong("exp", "and `iat` are both needed".to_owned());
        };
        let (iat, exp) = (Timestamp::from_seconds(iat), Timestamp::from_seconds(exp));
        if now >= exp.plus(skew) {
            return wrong("exp", format!("is past: the token ended at {exp}, get a new one"));
        }
        if iat > now.plus(skew) || self.nbf.is_some_and(|nbf| Timestamp::from_seconds(nbf) > now.plus(skew)) {
            return wrong("iat", format!("lies in the future ({iat}): set the clock of the signer"));
        }
        if exp.since(iat) > lifetime_max {
            return wrong("exp", format!("is more than {} s after `iat`", lifetime_max.as_secs()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registered_claims_are_judged() {
        let now = Timestamp::from_seconds(1_000_000);
        let good = Registered {
            iss: Some("op".to_owned()),
            aud: Some(Audience::One("BB/GOV/1002/fisc".to_owned())),
            iat: Some(999_990),
            exp: Some(1_000_060),
            ..Registered::default()
        };
        let check = |claims: &Registered| {
            claims.check("op", "BB/GOV/1002/fisc", now, Duration::from_secs(10), Duration::from_hours(1))
        };
        assert!(check(&good).is_ok());
        let wrong = |change: fn(&mut Registered)| {
            let mut claims = good.clone();
            change(&mut claims);
            check(&claims).unwrap_err().to_string()
        };
        assert!(wrong(|claims| claims.iss = None).contains("`iss`"));
        assert!(wrong(|claims| claims.aud = Some(Audience::Many(vec!["x".to_owned()]))).contains("`aud`"));
        assert!(wrong(|claims| claims.exp = Some(999_990)).contains("past"));
        assert!(wrong(|claims| claims.exp = None).contains("needed"));
        assert!(wrong(|claims| claims.iat = Some(1_000_011)).contains("future"));
        assert!(wrong(|claims| claims.exp = Some(2_000_000)).contains("more than 3600 s"));
    }
}
