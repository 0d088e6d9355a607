//! "Mes données": the citizen's record in the population register.

use askama::Template;
use axum::extract::State;
use civic::{NationalNumber, Timestamp};
use web::{Page, Problem, Visit};

use crate::http::{At, Citizen, Section};
use crate::person::{Birth, Person};
use crate::sources::Found;

#[derive(Template)]
#[template(path = "data.html")]
struct Data<'a> {
    v: &'a Visit,
    pairs: Vec<(String, Vec<String>)>,
    nobody: bool,
    silent: bool,
    source: String,
    read_at: Timestamp,
}

/// `/mes-donnees`
pub(crate) async fn data(State(portal): At, citizen: Citizen) -> Result<Page, Problem> {
    let fields = ["names", "sex", "birth", "nationality", "status", "national_number"];
    let permit = portal.permit(&citizen.known, "my-data", &fields).await?;
    let found = portal.sources.person(&permit).await;
    let v = &citizen.visit;
    let body = Data {
        v,
        pairs: match &found {
            Found::Person(person) => pairs(v, person),
            Found::Nobody | Found::Silent => Vec::new(),
        },
        nobody: found == Found::Nobody,
        silent: found == Found::Silent,
        source: portal.name_of(&portal.sources.person_service().client().to_string(), v.locale),
        read_at: portal.clock.now(),
    };
    citizen.page(Section::Data, &v.t("portal-data-title"), &body)
}

fn pairs(v: &Visit, person: &Person) -> Vec<(String, Vec<String>)> {
    let number = person.national_number.parse::<NationalNumber>();
    let number = number.map_or_else(|_| person.national_number.clone(), |number| number.grouped());
    let mut pairs = Vec::new();
    for kind in ["official", "usual", "marriage"] {
        let names: Vec<String> =
            person.names.iter().filter(|name| name.kind == kind).map(crate::person::PersonName::whole).collect();
        pairs.push((v.t(&format!("portal-data-name-{kind}")), names));
    }
    pairs.push((v.t("portal-field-national-number"), vec![number]));
    pairs.push((v.t("portal-field-sex"), vec![v.t_or(&format!("portal-data-sex-{}", person.sex), &person.sex)]));
    pairs.push((v.t("portal-data-birth-date"), vec![birth_words(v, &person.birth)]));
    pairs.push((v.t("portal-data-birth-place"), vec![person.birth.place.words()]));
    let countries = person.nationality.iter().map(|code| v.t_or(&format!("portal-country-{code}"), code)).collect();
    pairs.push((v.t("portal-field-nationality"), countries));
    pairs.push((
        v.t("portal-field-status"),
        vec![v.t_or(&format!("portal-data-status-{}", person.status), &person.status)],
    ));
    pairs.retain(|(_, values)| values.iter().any(|value| !value.is_empty()));
    pairs
}

/// A date as exactly as it is known: a day, a month, a year, or about a year.
fn birth_words(v: &Visit, birth: &Birth) -> String {
    let whole = match birth.date.len() {
        4 => format!("{}-01-01", birth.date),
        7 => format!("{}-01", birth.date),
        _ => birth.date.clone(),
    };
    // Noon: no country's offset moves it to another day.
    let Ok(moment) = Timestamp::parse_rfc3339(&format!("{whole}T12:00:00Z")) else { return birth.date.clone() };
    let day = v.day(&moment);
    let year = moment.calendar().year().to_string();
    match birth.precision.as_str() {
        "year" => v.t1("portal-data-birth-year", "year", year),
        "estimated" => v.t1("portal-data-birth-estimated", "year", year),
        "month" => {
            v.t1("portal-data-birth-month", "month", day.split_once(' ').map_or(day.as_str(), |(_, month)| month))
        }
        _ => day,
    }
}
