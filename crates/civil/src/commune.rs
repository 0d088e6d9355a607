//! The communes that the register knows: where people are born.
//!
//! Names, departments, regions and approximate coordinates are those of real places; the number of inhabitants and the
//! civil-status centres are made up for the demo and say so in every answer.

use serde::Serialize;
use serde_json::{Value, json};

use crate::communes::COMMUNES;

/// A commune.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Commune {
    /// The code: the ISO 3166-2 code of the region or department and a number within it, for instance `SN-TH-01`.
    pub code: &'static str,
    /// The name in French.
    pub name: &'static str,
    /// The country.
    pub country: Country,
    /// The region; Congo has none.
    pub region: Option<&'static str>,
    /// The department.
    pub department: &'static str,
    /// Degrees north, WGS 84, two decimals.
    pub latitude: f64,
    /// Degrees east, WGS 84, two decimals.
    pub longitude: f64,
    /// Inhabitants in thousands: an order of magnitude made up for the demo.
    pub thousands: u32,
    /// The codes of the civil-status centres (three characters of the national number), the main one first.
    pub centres: &'static [&'static str],
}

/// A country of the demo nation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Country {
    /// Senegal.
    #[serde(rename = "SN")]
    Senegal,
    /// Congo (Brazzaville).
    #[serde(rename = "CG")]
    Congo,
}

impl Country {
    /// The code of ISO 3166-1 alpha-2.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Senegal => "SN",
            Self::Congo => "CG",
        }
    }

    /// The name in French.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Senegal => "Sénégal",
            Self::Congo => "Congo",
        }
    }

    const fn time_zone(self) -> &'static str {
        match self {
            Self::Senegal => "Africa/Dakar",
            Self::Congo => "Africa/Brazzaville",
        }
    }

    const fn languages(self) -> &'static [&'static str] {
        match self {
            Self::Senegal => &["fr", "wo", "ff"],
            Self::Congo => &["fr", "ln", "ktu"],
        }
    }
}

impl Commune {
    /// Every commune, ordered by code.
    pub const fn all() -> &'static [Self] {
        &COMMUNES
    }

    /// The commune with that code, capital letters as listed.
    pub fn find(code: &str) -> Option<&'static Self> {
        COMMUNES.iter().find(|commune| commune.code == code)
    }

    /// What the service `communes` answers for one commune: about 1 kB.
    pub fn json(&self) -> Value {
        let centres: Vec<Value> = self
            .centres
            .iter()
            .enumerate()
            .map(|(position, code)| {
                let (kind, name) = if position == 0 {
                    ("main", format!("Centre principal d'état civil de {}", self.name))
                } else {
                    ("secondary", format!("Centre secondaire n° {position} de {}", self.name))
                };
                json!({ "code": code, "kind": kind, "name": name })
            })
            .collect();
        json!({
            "code": self.code,
            "name": self.name,
            "country": { "code": self.country.code(), "name": self.country.name() },
            "region": self.region,
            "department": self.department,
            "coordinates": {
                "latitude": self.latitude,
                "longitude": self.longitude,
                "datum": "WGS 84",
                "accuracy_m": 2000,
            },
            "population": {
                "estimate": self.thousands * 1000,
                "year": 2025,
                "synthetic": true,
                "note": "Ordre de grandeur inventé pour la démonstration : aucun recensement",
            },
            "civil_status_centres": centres,
            "centres_synthetic": true,
            "languages": self.country.languages(),
            "time_zone": self.country.time_zone(),
            "register": {
                "organisation": "État civil (démonstration Baobab)",
                "acts": ["birth", "marriage", "death"],
                "late_registration": "Plus d'un an après la naissance, l'acte suit un jugement supplétif du tribunal.",
                "proof": "Extrait délivré au guichet ou par le portail, sur présentation du numéro national",
                "opening_hours": "lundi-vendredi 08:00-16:00",
            },
            "licence": "CC0-1.0",
            "updated_on": "2026-01-15",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_is_ordered_and_no_code_or_centre_stands_twice() {
        assert!(Commune::all().len() >= 40);
        assert!(Commune::all().is_sorted_by(|left, right| left.code < right.code));
        let centres: Vec<&str> = Commune::all().iter().flat_map(|commune| commune.centres.iter().copied()).collect();
        assert_eq!(centres.iter().collect::<HashSet<_>>().len(), centres.len());
        assert!(centres.iter().all(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    }

    #[test]
    fn every_commune_lies_in_its_country() {
        for commune in Commune::all() {
            let (latitudes, longitudes) = match commune.country {
                Country::Senegal => (12.3..16.7, -17.6..-11.3),
                Country::Congo => (-5.1..3.8, 11.1..18.7),
            };
            assert!(
                latitudes.contains(&commune.latitude) && longitudes.contains(&commune.longitude),
                "{}",
                commune.name
            );
            assert!(commune.code.starts_with(commune.country.code()));
            assert_eq!(commune.region.is_some(), commune.country == Country::Senegal);
            assert!(!commune.centres.is_empty());
        }
    }

    #[test]
    fn an_answer_weighs_about_a_kilobyte() {
        for commune in Commune::all() {
            let bytes = commune.json().to_string().len();
            assert!((900..1_450).contains(&bytes), "{} weighs {bytes} bytes", commune.name);
        }
    }
}
