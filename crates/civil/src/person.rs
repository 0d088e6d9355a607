//! A person of the register: names, sex, birth, registration, nationality, status.

use std::fmt;

use civic::{NationalNumber, PersonId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::commune::Commune;

/// The fields of a person that the service `person` can answer, in the order in which it answers them.
pub const FIELDS: [&str; 6] = ["national_number", "names", "sex", "birth", "nationality", "status"];

/// One record of the register. Two records can describe one human (duplicates are part of the real world), and two
/// humans can bear the same name and day of birth (homonyms).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The internal number, random, never shown on a form.
    pub id: PersonId,
    /// The number on the card.
    pub national_number: NationalNumber,
    /// The names, the one of the civil-status act first; never empty.
    pub names: Vec<Name>,
    /// The sex written in the act.
    pub sex: Sex,
    /// When and where the person was born, as far as anybody knows.
    pub birth: Birth,
    /// When and how the birth came into the register.
    pub registration: Registration,
    /// Countries of nationality (ISO 3166-1 alpha-2).
    pub nationality: Vec<String>,
    /// Whether the register believes the person to be alive.
    pub status: Status,
    /// The phone that the person gave, in E.164 with no space; many people have none.
    pub phone: Option<String>,
    /// The language spoken at home (BCP 47: `wo`, `ff`, `ln`, `ktu`, `fr`).
    pub language: String,
}

/// A name under which somebody is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// What the name is used for.
    pub kind: NameKind,
    /// Given names, in the order of the act.
    pub given: String,
    /// Family name; some acts carry none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
}

/// What a name is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    /// The name of the civil-status act.
    Official,
    /// The name that people call the person by.
    Usual,
    /// The name of the spouse, borne by usage.
    Marriage,
}

/// The sex of the civil-status act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sex {
    /// Male: national numbers start with 1.
    Male,
    /// Female: national numbers start with 2.
    Female,
}

/// Day and place of birth, with what is not known said plainly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// The date, as long as it is known: `1958`, `1958-05` or `1958-05-12`.
    pub date: PartialDate,
    /// How well the date is known.
    pub precision: Precision,
    /// Where.
    pub place: Place,
}

/// How well a date of birth is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// To the day.
    Day,
    /// To the month.
    Month,
    /// To the year ("né en 1958").
    Year,
    /// The year is somebody's estimate ("né vers 1958").
    Estimated,
}

/// A date of which the day, or the month and the day, may be unknown. Its text is the beginning of an ISO 8601 date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartialDate {
    year: u16,
    month: Option<u8>,
    day: Option<u8>,
}

/// A place of birth: a civil-status centre of a commune.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The three characters of the civil-status centre, as in the national number.
    pub centre: String,
    /// The code of the commune, as the service `communes` lists it.
    pub commune: String,
    /// The name of the commune.
    pub name: String,
    /// The country (ISO 3166-1 alpha-2).
    pub country: String,
}

/// How the birth came into the register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The year of the act; years after the birth for a late registration.
    pub year: u16,
    /// The judgment that ordered a late registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgment: Option<String>,
}

/// Whether the person is alive, as far as the register knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No act of death is known and the person has been seen.
    Alive,
    /// An act of death is registered.
    Dead,
    /// Nobody knows.
    Unknown,
}

impl Person {
    /// The name to greet the person with: given and family name of the act.
    pub fn display_name(&self) -> String {
        self.names.first().map_or_else(String::new, ToString::to_string)
    }

    /// The part of the record that these fields name, in the order of [`FIELDS`]. Unknown names are left out.
    pub fn disclose(&self, fields: &[String]) -> Map<String, Value> {
        let mut answer = Map::new();
        let Ok(Value::Object(mut whole)) = serde_json::to_value(self) else { return answer };
        for name in FIELDS {
            let asked = fields.iter().any(|field| field == name);
            if let (true, Some(value)) = (asked, whole.remove(name)) {
                answer.insert(name.to_owned(), value);
            }
        }
        answer
    }

    /// The age that the person reaches in this year, by the year of birth alone.
    pub fn age_in(&self, year: u16) -> u16 {
        year.saturating_sub(self.birth.date.year())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.given)?;
        self.family.as_ref().map_or(Ok(()), |family| write!(formatter, " {family}"))
    }
}

impl Sex {
    /// The first character of a national number: `1` or `2`.
    pub const fn digit(self) -> char {
        match self {
            Self::Male => '1',
            Self::Female => '2',
        }
    }
}

impl Place {
    /// The place that a centre of a commune stands for.
    pub fn of(commune: &Commune, centre: &str) -> Self {
        Self {
            centre: centre.to_owned(),
            commune: commune.code.to_owned(),
            name: commune.name.to_owned(),
            country: commune.country.code().to_owned(),
        }
    }
}

/// A text that is not the beginning of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a date is written 1958, 1958-05 or 1958-05-12, between the years 1880 and 2199, with a day that exists")]
pub struct DateError;

impl PartialDate {
    /// The first date that the register can hold.
    pub const EARLIEST: Self = Self { year: 1880, month: None, day: None };

    /// A date known to the year.
    pub const fn of_year(year: u16) -> Result<Self, DateError> {
        Self::checked(year, None, None)
    }

    /// A date known to the month (1 to 12).
    pub const fn of_month(year: u16, month: u8) -> Result<Self, DateError> {
        Self::checked(year, Some(month), None)
    }

    /// A date known to the day.
    pub const fn of_day(year: u16, month: u8, day: u8) -> Result<Self, DateError> {
        Self::checked(year, Some(month), Some(day))
    }

    /// The year.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, where it is known.
    pub const fn month(self) -> Option<u8> {
        self.month
    }

    /// The day of the month, where it is known.
    pub const fn day(self) -> Option<u8> {
        self.day
    }

    /// The same date, known to the year only.
    #[must_use]
    pub const fn year_only(self) -> Self {
        Self { year: self.year, month: None, day: None }
    }

    const fn checked(year: u16, month: Option<u8>, day: Option<u8>) -> Result<Self, DateError> {
        let month_fits = match month {
            Some(month) => month >= 1 && month <= 12,
            None => day.is_none(),
        };
        let day_fits = match (month, day) {
            (Some(month), Some(day)) => day >= 1 && day <= days_in(year, month),
            _ => true,
        };
        if year >= 1880 && year <= 2199 && month_fits && day_fits {
            Ok(Self { year, month, day })
        } else {
            Err(DateError)
        }
    }
}

const fn days_in(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}", self.year)?;
        for part in [self.month, self.day].into_iter().flatten() {
            write!(formatter, "-{part:02}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for PartialDate {
    type Error = DateError;

    fn try_from(text: String) -> Result<Self, DateError> {
        let mut parts = text.split('-');
        let mut number = |width: usize| match parts.next() {
            None => Ok(None),
            Some(part) if part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()) => {
                part.parse::<u16>().map(Some).map_err(|_| DateError)
            }
            Some(_) => Err(DateError),
        };
        let (year, month, day) = (number(4)?.ok_or(DateError)?, number(2)?, number(2)?);
        let small = |part: Option<u16>| part.map(|part| u8::try_from(part).map_err(|_| DateError)).transpose();
        if parts.next().is_some() {
            return Err(DateError);
        }
        Self::checked(year, small(month)?, small(day)?)
    }
}

impl From<PartialDate> for String {
    fn from(date: PartialDate) -> Self {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_survives_its_text_however_much_of_it_is_known() {
        for text in ["1958", "1958-05", "1958-05-12", "2000-02-29"] {
            assert_eq!(PartialDate::try_from(text.to_owned()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_date_that_does_not_exist_is_refused() {
        for text in
            ["", "58", "1958-13", "1958-00", "1959-02-29", "1958-05-12-01", "1958-5-1", "1700", "+958", "1958-05-"]
        {
            assert_eq!(PartialDate::try_from(text.to_owned()), Err(DateError), "{text}");
        }
    }
}
