//! One look at a citizen's data: what a provider's node wrote, its proof, and the filters of the page.

use civic::{ClientId, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use trust::digest;
use trust::note::{Opening, TlogProof, VerifierKey};
use web::Text;

/// A use of data as the node of a provider tells it (Estonian data tracker 2.1, with the members that Baobab adds).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// When (RFC 3339).
    pub logtime: String,
    /// Why, in words.
    pub action: String,
    /// The code of the organisation.
    pub receiver_code: String,
    /// The name of the organisation.
    pub receiver_name: String,
    /// The subsystem that asked.
    pub receiver_system: String,
    /// The service; empty from a register that does not tell.
    pub service: String,
    /// The purpose as a code and in words.
    pub purpose: Purpose,
    /// What makes it lawful.
    pub legal_basis: Basis,
    /// The data that were asked for.
    pub fields: Vec<String>,
    /// The id of the exchange.
    pub message_id: String,
    /// The grant, where the basis is consent.
    pub grant_id: Option<String>,
    /// `answered` or `refused`.
    pub outcome: String,
    /// The proof, once the ledger has it.
    pub proof: Option<Proof>,
}

/// A purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Purpose {
    /// Its code.
    pub code: String,
    /// Its words.
    pub text: String,
}

/// A legal basis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Basis {
    /// `consent`, `law` or `self_access`.
    pub code: String,
    /// The grant or the text of law.
    pub reference: String,
}

/// That the record stands in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Proof {
    /// The salt of the commitment, hexadecimal.
    pub salt: String,
    /// The leaf, hexadecimal.
    pub leaf: String,
    /// Its index in the ledger.
    pub index: u64,
    /// The proof text (C2SP tlog-proof).
    pub tlog_proof: String,
}

/// A use, where it was found, and its bytes as they came (the proof is about them).
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The provider whose node told it.
    pub source: ClientId,
    /// The provider's name.
    pub source_name: Text,
    /// When.
    pub at: Timestamp,
    /// What was told.
    pub usage: Usage,
    raw: Map<String, Value>,
}

impl Access {
    /// Reads one element of `usages`; `None` where it is no usage at all (no time, no organisation).
    pub fn read(source: &ClientId, source_name: &Text, value: Value) -> Option<Self> {
        let usage: Usage = serde_json::from_value(value.clone()).ok()?;
        let at = Timestamp::parse_rfc3339(&usage.logtime).ok()?;
        let Value::Object(raw) = value else { return None };
        if usage.receiver_code.is_empty() && usage.receiver_system.is_empty() {
            return None;
        }
        Some(Self { source: source.clone(), source_name: source_name.clone(), at, usage, raw })
    }

    /// The record without its proof, in the canonical form that the leaf commits to: names sorted, no space.
    pub fn canonical(&self) -> String {
        let record: Map<String, Value> = self
            .raw
            .iter()
            .filter(|(name, _)| *name != "proof")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        sorted(&Value::Object(record)).to_string()
    }

    /// The record with its proof, as it came: what the citizen keeps.
    pub fn raw(&self) -> Value {
        Value::Object(self.raw.clone())
    }

    /// Whether the leaf of the proof is the commitment of this record: HMAC-SHA-256 under the salt.
    pub fn fits_its_proof(&self) -> bool {
        let Some(proof) = &self.usage.proof else { return false };
        match (unhex(&proof.salt), unhex(&proof.leaf)) {
            (Some(salt), Some(leaf)) => {
                digest::constant_time_eq(&digest::hmac_sha256(&salt, self.canonical().as_bytes()), &leaf)
            }
            _ => false,
        }
    }

    /// Whether the leaf stands in the ledger whose key this is: the size of the signed state that says so.
    pub fn proven_by(&self, log: &VerifierKey) -> Option<u64> {
        let proof = self.usage.proof.as_ref()?;
        let told = TlogProof::parse(&proof.tlog_proof).ok()?;
        let checkpoint = told.verify(&unhex(&proof.leaf)?, log).ok()?;
        (told.index == proof.index && self.fits_its_proof()).then_some(checkpoint.size)
    }

    /// The proof with record and salt in it, which needs nothing beside it; `None` where there is none, or it is not in the form of ours.
    pub fn opened_proof(&self) -> Option<String> {
        let proof = self.usage.proof.as_ref()?;
        let opening = Opening { salt: unhex(&proof.salt)?.try_into().ok()?, record: self.canonical() };
        opening.put_into(&proof.tlog_proof).ok()
    }

    /// Whether the subsystem itself asked (the citizen, through this portal).
    pub fn asked_by(&self, client: &ClientId) -> bool {
        self.usage.receiver_system == client.to_string()
    }
}

/// Which part of the past is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Period {
    /// Everything that the registers keep.
    #[default]
    All,
    /// The last thirty days.
    Month,
    /// The last twelve months.
    Year,
}

impl Period {
    /// Every period, the widest first.
    pub const ALL: [Self; 3] = [Self::All, Self::Year, Self::Month];

    /// The value in addresses.
    pub const fn code(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The period of a value; everything where it is unknown.
    pub fn from_code(code: &str) -> Self {
        Self::ALL.into_iter().find(|period| period.code() == code).unwrap_or_default()
    }

    /// Its first moment.
    pub fn begins(self, now: Timestamp) -> Option<Timestamp> {
        let days = match self {
            Self::All => return None,
            Self::Month => 30,
            Self::Year => 365,
        };
        Some(now.minus(std::time::Duration::from_hours(days * 24)))
    }
}

/// What the citizen wants to see.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Filter {
    /// Since when.
    pub period: Period,
    /// One organisation alone, by its subsystem.
    pub who: Option<String>,
    /// Also what the citizen looked up here.
    pub own: bool,
}

impl Filter {
    /// The address of the page with this filter, without a slice.
    pub fn address(&self, page: &str) -> String {
        let mut fields = Vec::new();
        if self.period != Period::All {
            fields.push(("period", self.period.code()));
        }
        if let Some(who) = &self.who {
            fields.push(("who", who.as_str()));
        }
        if self.own {
            fields.push(("own", "1"));
        }
        if fields.is_empty() { page.to_owned() } else { format!("{page}?{}", web::form_text(&fields)) }
    }

    /// Whether an access is shown.
    pub fn shows(&self, access: &Access, own: &ClientId) -> bool {
        let who = self.who.as_ref().is_none_or(|who| *who == access.usage.receiver_system);
        who && (self.own || !access.asked_by(own))
    }
}

/// Rows as CSV (RFC 4180, UTF-8 with a byte order mark for spreadsheets). A cell that a spreadsheet would run as a
/// formula is preceded by an apostrophe.
pub fn csv(header: &[String], rows: &[Vec<String>]) -> String {
    let cell = |text: &String| {
        let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    };
    let line = |cells: &[String]| cells.iter().map(cell).collect::<Vec<_>>().join(",") + "\r\n";
    let mut text = String::from("\u{feff}");
    text.push_str(&line(header));
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            names.sort_unstable();
            Value::Object(
                names.into_iter().filter_map(|name| map.get(name).map(|inner| (name.clone(), sorted(inner)))).collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 256 {
        return None;
    }
    let digits: Vec<u8> =
        text.chars().map(|letter| letter.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0_u8, |byte, digit| (byte << 4) | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn access(value: Value) -> Option<Access> {
        Access::read(&"BB/GOV/1002/fisc".parse().unwrap(), &Text::new("Impôts", "Taxes"), value)
    }

    fn usage() -> Value {
        json!({
            "logtime": "2026-11-21T22:40:00.5Z", "action": "Demande de prêt", "receiverCode": "2001",
            "receiverName": "Banque du Fleuve", "receiverSystem": "BB/COM/2001/credit",
            "purpose": {"text": "Prêt", "code": "credit-application"}, "unknown": [1, {"b": 1, "a": 2}]
        })
    }

    #[test]
    fn the_canonical_form_sorts_names_keeps_unknown_ones_and_leaves_the_proof_out() {
        let mut value = usage();
        value["proof"] = json!({"salt": "00", "leaf": "00", "index": 1, "tlogProof": ""});
        let text = access(value).unwrap().canonical();
        assert!(text.starts_with(r#"{"action":"Demande de prêt","logtime":"#), "{text}");
        assert!(text.ends_with(r#""unknown":[1,{"a":2,"b":1}]}"#), "{text}");
        assert!(!text.contains("proof"));
    }

    #[test]
    fn a_record_fits_its_own_leaf_and_no_altered_one() {
        let mut value = usage();
        let leaf = digest::hmac_sha256(&[7; 32], access(value.clone()).unwrap().canonical().as_bytes());
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<String>>().concat();
        value["proof"] = json!({"salt": hex(&[7; 32]), "leaf": hex(&leaf), "index": 4, "tlogProof": "x"});
        assert!(access(value.clone()).unwrap().fits_its_proof());
        value["receiverName"] = "Another bank".into();
        assert!(!access(value.clone()).unwrap().fits_its_proof());
        value["proof"]["salt"] = "zz".into();
        assert!(!access(value).unwrap().fits_its_proof());
    }

    #[test]
    fn a_register_that_speaks_only_the_estonian_contract_is_understood() {
        let plain =
            json!({"logtime": "2026-01-01T00:00:00+01:00", "action": "x", "receiverCode": "1", "receiverSystem": "s"});
        let access = access(plain).unwrap();
        assert_eq!(access.at.rfc3339(), "2025-12-31T23:00:00Z");
        assert!(access.usage.proof.is_none() && access.usage.service.is_empty());
    }

    #[test]
    fn what_is_no_usage_is_left_out() {
        assert!(access(json!({"logtime": "yesterday", "receiverCode": "1"})).is_none());
        assert!(access(json!({"logtime": "2026-01-01T00:00:00Z"})).is_none());
        assert!(access(json!([1])).is_none());
    }

    #[test]
    fn a_filter_survives_its_address() {
        let filter = Filter { period: Period::Year, who: Some("BB/COM/2001/credit".into()), own: true };
        assert_eq!(filter.address("/consultations"), "/consultations?period=year&who=BB%2FCOM%2F2001%2Fcredit&own=1");
        assert_eq!(Filter::default().address("/consultations"), "/consultations");
    }

    #[test]
    fn a_table_for_spreadsheets_runs_nothing() {
        let text = csv(&["a".into()], &[vec!["=cmd|'/c'!A1".into()], vec!["say \"hi\"".into()]]);
        assert_eq!(text, "\u{feff}\"a\"\r\n\"'=cmd|'/c'!A1\"\r\n\"say \"\"hi\"\"\"\r\n");
    }
}
