//! The `authorization_details` type `bridge-service` (RFC 9396): one service of the bridge, for one citizen, within bounds.

use civic::{Purpose, ServiceId};
use serde::{Deserialize, Serialize};

use crate::error::ProtocolError;

/// The value of `type`.
pub const BRIDGE_SERVICE: &str = "bridge-service";

/// Longest text of a purpose, in characters: it must be readable on a phone.
pub const PURPOSE_CHARS_MAX: usize = 300;
/// Most fields that one request may name.
pub const FIELDS_MAX: usize = 32;
/// Most years that one request may name.
pub const YEARS_MAX: usize = 10;
/// Longest validity of a grant, in days.
pub const VALID_FOR_DAYS_MAX: u32 = 365;
/// Most uses of one grant.
pub const USES_MAX: u32 = 1_000;

/// What an organisation asks to read over the bridge, and within which bounds. The consent screen shows all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeService {
    /// Always `bridge-service`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The service, for instance `BB/GOV/1002/fisc/income-statement`.
    pub service: ServiceId,
    /// The fields that may be disclosed, by their codes in the catalogue.
    pub fields: Vec<String>,
    /// The years covered: the first path segment after the service code.
    pub years: Vec<u16>,
    /// Why.
    pub purpose: Purpose,
    /// For how many days from the grant.
    pub valid_for_days: u32,
    /// How many calls.
    pub uses: u32,
    /// The grant that the citizen gave: absent in a request, present in an access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
}

impl BridgeService {
    /// A request for one service; check it with [`BridgeService::checked`].
    pub fn new(
        service: ServiceId,
        fields: &[&str],
        years: &[u16],
        purpose: Purpose,
        valid_for_days: u32,
        uses: u32,
    ) -> Self {
        Self {
            kind: BRIDGE_SERVICE.to_owned(),
            service,
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
            years: years.to_vec(),
            purpose,
            valid_for_days,
            uses,
            grant_id: None,
        }
    }

    /// Reads the parameter `authorization_details`: a JSON array with exactly one object of this type. One request asks the citizen
    /// one question; an organisation that needs two services asks twice.
    pub fn read_parameter(json: &str) -> Result<Self, ProtocolError> {
        let values: Vec<serde_json::Value> =
            serde_json::from_str(json).map_err(|_| ProtocolError::Details("it is not a JSON array".to_owned()))?;
        let [value] = values.as_slice() else {
            return Err(ProtocolError::Details("exactly one object is needed".to_owned()));
        };
        if value.get("type").and_then(serde_json::Value::as_str) != Some(BRIDGE_SERVICE) {
            return Err(ProtocolError::Details(format!("the only type is `{BRIDGE_SERVICE}`")));
        }
        let details: Self =
            serde_json::from_value(value.clone()).map_err(|error| ProtocolError::Details(error.to_string()))?;
        details.checked()
    }

    /// The same request, if it stays within the limits of this module.
    pub fn checked(self) -> Result<Self, ProtocolError> {
        let fault = if self.kind != BRIDGE_SERVICE {
            "the only type is `bridge-service`"
        } else if self.service.client().subsystem().is_none() {
            "the service is one of a subsystem: INSTANCE/CLASS/MEMBER/SUBSYSTEM/SERVICE"
        } else if self.grant_id.is_some() {
            "a request carries no grant_id"
        } else if self.fields.is_empty() || self.fields.len() > FIELDS_MAX || has_twice(&self.fields) {
            "name 1 to 32 different fields"
        } else if !self.fields.iter().all(|field| is_code(field, b'_')) {
            "a field is 1 to 64 of a-z, 0-9 and _"
        } else if self.years.is_empty() || self.years.len() > YEARS_MAX || has_twice(&self.years) {
            "name 1 to 10 different years"
        } else if !self.years.iter().all(|year| (1900..=2200).contains(year)) {
            "a year lies between 1900 and 2200"
        } else if !is_code(&self.purpose.code, b'-') {
            "purpose.code is 1 to 64 of a-z, 0-9 and -"
        } else if !is_sentence(&self.purpose.text) {
            "purpose.text is 1 to 300 printable characters"
        } else if self.valid_for_days == 0 || self.valid_for_days > VALID_FOR_DAYS_MAX {
            "valid_for_days is 1 to 365"
        } else if self.uses == 0 || self.uses > USES_MAX {
            "uses is 1 to 1000"
        } else {
            return Ok(self);
        };
        Err(ProtocolError::Details(fault.to_owned()))
    }

    /// Whether these details cover a call of `service` whose path after the service code is `path` (`2025`, `/2025?x`).
    pub fn covers(&self, service: &ServiceId, path: &str) -> bool {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let path = path.strip_prefix('/').unwrap_or(path);
        // A path that another system could read otherwise covers nothing.
        if path.contains(['%', ';', '\\', '#']) || path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
            return false;
        }
        let first = path.split('/').next().unwrap_or_default();
        self.service == *service && self.years.iter().any(|year| year.to_string() == first)
    }
}

fn is_code(text: &str, joint: u8) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == joint)
}

fn is_sentence(text: &str) -> bool {
    let count = text.chars().count();
    // Bidirectional controls could make the screen say something else than the record.
    let disguise = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    (1..=PURPOSE_CHARS_MAX).contains(&count) && !text.trim().is_empty() && !text.chars().any(disguise)
}

fn has_twice<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().any(|(position, item)| items.iter().skip(position + 1).any(|other| other == item))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"[{"type":"bridge-service","service":"BB/GOV/1002/fisc/income-statement","fields":["gross_income"],
        "years":[2025],"purpose":{"code":"credit-application","text":"Étudier votre demande de prêt"},"valid_for_days":30,"uses":3}]"#;

    #[test]
    fn the_request_of_the_bank_is_read() {
        let details = BridgeService::read_parameter(GOOD).unwrap();
        assert_eq!(details.years, [2025]);
        assert!(details.covers(&details.service, "/2025"));
        assert!(details.covers(&details.service, "2025?format=json"));
        assert!(!details.covers(&details.service, "2024"));
        for path in ["20255", "//2025", "2025/../2024", "2025%2f2024", "2025/", "", "/"] {
            assert!(!details.covers(&details.service, path), "{path}");
        }
        assert!(!details.covers(&"BB/GOV/1002/fisc/other".parse().unwrap(), "2025"));
    }

    #[test]
    fn what_lies_outside_the_limits_is_refused() {
        for (from, to) in [
            ("\"uses\":3", "\"uses\":0"),
            ("\"uses\":3", "\"uses\":1001"),
            ("\"uses\":3", "\"uses\":3,\"surprise\":1"),
            ("\"uses\":3", "\"uses\":3,\"grant_id\":\"x\""),
            ("[2025]", "[]"),
            ("[2025]", "[2025,2025]"),
            ("[2025]", "[1]"),
            ("[\"gross_income\"]", "[\"Gross Income\"]"),
            ("30", "366"),
            ("credit-application", "Credit application"),
            ("Étudier", "\\u202eÉtudier"),
            ("bridge-service", "payment"),
            ("/income-statement", ""),
        ] {
            let bad = GOOD.replace(from, to);
            assert_ne!(bad, GOOD);
            assert!(matches!(BridgeService::read_parameter(&bad), Err(ProtocolError::Details(_))), "{bad}");
        }
        let twice = GOOD.replace("[{", "[{\"a\":1},{");
        assert!(BridgeService::read_parameter(&twice).is_err());
        assert!(BridgeService::read_parameter("{}").is_err());
    }
}
