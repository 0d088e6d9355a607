//! A person as the population register tells it.

use serde::Deserialize;

/// The answer of the service `person`; what a register leaves out is simply not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Person {
    /// The national number.
    pub national_number: String,
    /// The names, the official one first.
    pub names: Vec<PersonName>,
    /// `male` or `female`.
    pub sex: String,
    /// The birth.
    pub birth: Birth,
    /// ISO 3166 codes.
    pub nationality: Vec<String>,
    /// `alive`, `dead` or `unknown`.
    pub status: String,
}

/// A name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PersonName {
    /// `official`, `usual` or `marriage`.
    pub kind: String,
    /// Given names.
    pub given: String,
    /// Family name; absent where the act carries none.
    pub family: Option<String>,
}

impl PersonName {
    /// The whole name.
    pub fn whole(&self) -> String {
        match &self.family {
            Some(family) => format!("{} {family}", self.given),
            None => self.given.clone(),
        }
    }
}

/// A birth, as exactly as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Birth {
    /// `1958`, `1958-05` or `1958-05-12`.
    pub date: String,
    /// `day`, `month`, `year` or `estimated`.
    pub precision: String,
    /// Where.
    pub place: Place,
}

/// A place of birth: a name alone or its parts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// Only a name.
    Name(String),
    /// The parts that are known.
    Parts {
        /// The name.
        #[serde(default)]
        name: String,
        /// The commune.
        #[serde(default)]
        commune: String,
        /// The country, where abroad.
        #[serde(default)]
        country: String,
    },
}

impl Default for Place {
    fn default() -> Self {
        Self::Name(String::new())
    }
}

impl Place {
    /// The place in words.
    pub fn words(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Parts { name, commune, country } => {
                let first = if name.is_empty() { commune } else { name };
                [first, country].into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(", ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_without_family_name_and_exact_birth_is_read() {
        let json = r#"{"national_number":"2751198700421","names":[{"kind":"official","given":"Awa"}],
            "birth":{"date":"1958","precision":"estimated","place":{"centre":"751","commune":"Podor","name":"Guédé","country":"SN"}}}"#;
        let person: Person = serde_json::from_str(json).unwrap();
        assert_eq!(person.names[0].whole(), "Awa");
        assert_eq!(person.birth.place.words(), "Guédé, SN");
    }
}
