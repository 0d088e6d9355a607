//! A made-up population with the warts of a real register, the same for the same seed.
//!
//! Of a hundred adults about twelve know only the year of their birth or less, eight were registered years after it, one
//! bears the name and year of birth of somebody else, five are second records of one human, thirty have no phone.

mod names;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use civic::{NationalNumber, PersonId, Random};

use crate::commune::{Commune, Country};
use crate::communes::COMMUNES;
use crate::person::{Birth, Name, NameKind, PartialDate, Person, Place, Precision, Registration, Sex, Status};
use names::{COMMUNITIES, Names, SPELLINGS, WOLOF};

/// The year in which the demo's register stands; nobody is born after it.
pub const PRESENT_YEAR: u16 = 2025;

/// The records of a made-up register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Population {
    /// Every record, in the order of registration in the demo. The first ten (fewer in a smaller population) are the
    /// sample citizens: adults who are alive and have a phone.
    pub people: Vec<Person>,
    /// Pairs of positions in `people` that describe one human. The register itself does not know them: they are for the
    /// tests of whoever looks for duplicates.
    pub duplicates: Vec<(usize, usize)>,
}

impl Population {
    /// The citizens to log in as.
    pub fn samples(&self) -> &[Person] {
        self.people.get(..SAMPLES.len().min(self.people.len())).unwrap_or_default()
    }
}

/// Makes `count` records (at most ten million) from a seed.
pub fn generate(seed: u64, count: usize) -> Population {
    let count = count.min(10_000_000);
    let mut maker = Maker::new(seed);
    let mut people: Vec<Person> = Vec::with_capacity(count);
    let mut duplicates = Vec::new();
    while people.len() < count {
        let position = people.len();
        let person = match SAMPLES.get(position) {
            Some(sample) => maker.sample(sample),
            None => match maker.dice.below(1_000) {
                0..50 => {
                    let first = maker.dice.index(position);
                    match people.get(first) {
                        Some(original) => {
                            duplicates.push((first, position));
                            maker.duplicate(original)
                        }
                        None => maker.stranger(),
                    }
                }
                50..60 => match people.get(maker.dice.index(position)) {
                    Some(other) => maker.homonym(other),
                    None => maker.stranger(),
                },
                _ => maker.stranger(),
            },
        };
        people.push(person);
    }
    Population { people, duplicates }
}

/// A citizen to log in as, whose name stands in the guides and pictures.
struct Sample {
    given: &'static str,
    family: &'static str,
    sex: Sex,
    year: u16,
    precision: Precision,
    language: &'static str,
    commune: &'static str,
}

const fn sample(
    given: &'static str,
    family: &'static str,
    sex: Sex,
    (year, precision): (u16, Precision),
    language: &'static str,
    commune: &'static str,
) -> Sample {
    Sample { given, family, sex, year, precision, language, commune }
}

const SAMPLES: [Sample; 10] = [
    sample("Awa", "Ndiaye", Sex::Female, (1991, Precision::Day), "wo", "SN-TH-02"),
    sample("Moussa", "Sarr", Sex::Male, (1984, Precision::Day), "wo", "SN-DK-06"),
    sample("Mariama", "Diallo", Sex::Female, (1996, Precision::Day), "ff", "SN-KD-01"),
    sample("Ousmane", "Bâ", Sex::Male, (1962, Precision::Estimated), "ff", "SN-MT-02"),
    sample("Chancelvie", "Makaya", Sex::Female, (1989, Precision::Day), "ktu", "CG-16-02"),
    sample("Prosper", "Ngoma", Sex::Male, (1978, Precision::Month), "ktu", "CG-9-01"),
    sample("Merveille", "Okemba", Sex::Female, (2001, Precision::Day), "ln", "CG-8-02"),
    sample("Dieudonné", "Itoua", Sex::Male, (1973, Precision::Year), "ln", "CG-BZV-04"),
    sample("Jean-Baptiste", "Faye", Sex::Male, (1987, Precision::Day), "fr", "SN-TH-01"),
    sample("Fatou", "Diop", Sex::Female, (1979, Precision::Day), "wo", "SN-SL-03"),
];

/// Where somebody is born of whom no commune is known; the draw never reaches it.
const ELSEWHERE: Commune = COMMUNES[0];

/// Repeatable dice (SplitMix64). They make demo data, never keys.
struct Dice(AtomicU64);

impl Dice {
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut word = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number from 0 to `limit - 1`; 0 where the limit is 0.
    fn below(&self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit.max(1))).unwrap_or(0)
    }

    fn index(&self, length: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(length.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn between(&self, first: u16, last: u16) -> u16 {
        first + u16::try_from(self.below(u32::from(last.saturating_sub(first)) + 1)).unwrap_or(0)
    }

    fn chance(&self, per_thousand: u32) -> bool {
        self.below(1_000) < per_thousand
    }

    fn pick<'a, T: ?Sized>(&self, list: &'a [&'a T], otherwise: &'a T) -> &'a T {
        list.get(self.index(list.len())).copied().unwrap_or(otherwise)
    }
}

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            for (byte, drawn) in chunk.iter_mut().zip(self.next().to_le_bytes()) {
                *byte = drawn;
            }
        }
    }
}

struct Maker {
    dice: Dice,
    ids: HashSet<PersonId>,
    numbers: HashSet<NationalNumber>,
}

impl Maker {
    fn new(seed: u64) -> Self {
        Self { dice: Dice(AtomicU64::new(seed)), ids: HashSet::new(), numbers: HashSet::new() }
    }

    fn sample(&mut self, sample: &Sample) -> Person {
        let commune = Commune::find(sample.commune).unwrap_or_else(|| self.commune(false));
        let name =
            Name { kind: NameKind::Official, given: sample.given.to_owned(), family: Some(sample.family.to_owned()) };
        let birth = self.birth_in(sample.year, sample.precision, commune);
        let mut person = self.register(vec![name], sample.sex, birth, sample.language);
        person.status = Status::Alive;
        person.phone = Some(self.phone(commune.country));
        person
    }

    fn stranger(&mut self) -> Person {
        let community = self.community();
        let sex = if self.dice.chance(507) { Sex::Female } else { Sex::Male };
        let year = self.year_of_birth();
        let commune = self.commune(community.congo);
        let precision = self.precision(year);
        let birth = self.birth_in(year, precision, commune);
        let names = self.names(community, sex, PRESENT_YEAR.saturating_sub(year));
        self.register(names, sex, birth, community.language)
    }

    /// Somebody else with the same name and year of birth.
    fn homonym(&mut self, other: &Person) -> Person {
        let congo = other.birth.place.country == Country::Congo.code();
        let commune = self.commune(congo);
        let birth = self.birth_in(other.birth.date.year(), Precision::Day, commune);
        let names = other.names.iter().take(1).cloned().collect();
        self.register(names, other.sex, birth, &other.language)
    }

    /// The same human once more: another act, another number, often another spelling or a rounder date.
    fn duplicate(&mut self, original: &Person) -> Person {
        let mut names = original.names.clone();
        if let Some(name) = names.first_mut() {
            name.given = respelled(&name.given);
            name.family = name.family.as_deref().map(respelled);
        }
        let mut birth = original.birth.clone();
        if self.dice.chance(400) {
            birth.date = birth.date.year_only();
            birth.precision =
                if birth.precision == Precision::Estimated { Precision::Estimated } else { Precision::Year };
        }
        let mut person = self.register(names, original.sex, birth, &original.language);
        person.status = original.status;
        person.phone = if self.dice.chance(600) { original.phone.clone() } else { None };
        person
    }

    fn register(&mut self, names: Vec<Name>, sex: Sex, birth: Birth, language: &str) -> Person {
        let registration = self.registration(&birth);
        let national_number = self.national_number(sex, &birth.place.centre, registration.year);
        let age = PRESENT_YEAR.saturating_sub(birth.date.year());
        let country = if birth.place.country == "CG" { Country::Congo } else { Country::Senegal };
        let mut nationality = vec![country.code().to_owned()];
        if self.dice.chance(15) {
            nationality.push("FR".to_owned());
        }
        let status = match (age, self.dice.below(1_000)) {
            (95.., 0..600) | (75.., 0..200) | (55.., 0..40) | (_, 0..8) => Status::Dead,
            (75.., 200..300) | (_, 990..) => Status::Unknown,
            _ => Status::Alive,
        };
        let phone = (age >= 16 && status != Status::Dead && self.dice.chance(700)).then(|| self.phone(country));
        Person {
            id: self.person_id(),
            national_number,
            names,
            sex,
            birth,
            registration,
            nationality,
            status,
            phone,
            language: language.to_owned(),
        }
    }

    fn community(&self) -> &'static Names {
        let total = COMMUNITIES.iter().map(|community| community.weight).sum();
        let mut ticket = self.dice.below(total);
        for community in &COMMUNITIES {
            if ticket < community.weight {
                return community;
            }
            ticket -= community.weight;
        }
        // The tickets are fewer than the weights, so the loop has returned.
        &WOLOF
    }

    /// A commune of the country, the larger the likelier.
    fn commune(&self, congo: bool) -> &'static Commune {
        let country = if congo { Country::Congo } else { Country::Senegal };
        let of_country = || Commune::all().iter().filter(|commune| commune.country == country);
        let total = of_country().map(|commune| commune.thousands).sum();
        let mut ticket = self.dice.below(total);
        for commune in of_country() {
            if ticket < commune.thousands {
                return commune;
            }
            ticket -= commune.thousands;
        }
        &ELSEWHERE
    }

    /// A young population: half of it is below twenty.
    fn year_of_birth(&self) -> u16 {
        let age = match self.dice.below(100) {
            0..30 => self.dice.between(0, 10),
            30..52 => self.dice.between(11, 20),
            52..80 => self.dice.between(21, 40),
            80..94 => self.dice.between(41, 60),
            94..99 => self.dice.between(61, 80),
            _ => self.dice.between(81, 102),
        };
        PRESENT_YEAR - age
    }

    fn precision(&self, year: u16) -> Precision {
        let (unknown_day, unknown_month) = if year < 1975 { (330, 250) } else { (110, 70) };
        match self.dice.below(1_000) {
            draw if draw < unknown_month / 2 => Precision::Estimated,
            draw if draw < unknown_month => Precision::Year,
            draw if draw < unknown_day => Precision::Month,
            _ => Precision::Day,
        }
    }

    fn birth_in(&self, year: u16, precision: Precision, commune: &Commune) -> Birth {
        let month = u8::try_from(self.dice.between(1, 12)).unwrap_or(1);
        let day = u8::try_from(self.dice.between(1, 28)).unwrap_or(1);
        let date = match precision {
            Precision::Day => PartialDate::of_day(year, month, day),
            Precision::Month => PartialDate::of_month(year, month),
            Precision::Year | Precision::Estimated => PartialDate::of_year(year),
        };
        let date = date.unwrap_or(PartialDate::EARLIEST);
        Birth { date, precision, place: Place::of(commune, self.dice.pick(commune.centres, "A01")) }
    }

    fn registration(&self, birth: &Birth) -> Registration {
        let year = birth.date.year();
        let last = PRESENT_YEAR.min(year.saturating_add(30));
        let late = matches!(birth.precision, Precision::Estimated) || self.dice.chance(80);
        if !late || year + 2 > last {
            return Registration { year, judgment: None };
        }
        let registered = self.dice.between(year + 2, last);
        let number = self.dice.below(4_000) + 1;
        let judgment = format!("Jugement supplétif n° {number}/{registered}, tribunal de {}", birth.place.name);
        Registration { year: registered, judgment: Some(judgment) }
    }

    fn names(&self, community: &Names, sex: Sex, age: u16) -> Vec<Name> {
        let given_list = community.given(sex);
        let mut given = self.dice.pick(given_list, "Awa").to_owned();
        if self.dice.chance(220) {
            let second = self.dice.pick(given_list, "Awa");
            if second != given {
                given = format!("{given} {second}");
            }
        }
        // A few acts carry no family name.
        let family = (!self.dice.chance(5)).then(|| self.dice.pick(community.family, "Ndiaye").to_owned());
        let mut names = vec![Name { kind: NameKind::Official, given: given.clone(), family: family.clone() }];
        if sex == Sex::Female && age > 25 && self.dice.chance(150) {
            let spouse = self.dice.pick(community.family, "Ndiaye").to_owned();
            names.push(Name { kind: NameKind::Marriage, given: given.clone(), family: Some(spouse) });
        }
        if self.dice.chance(70) {
            let usual = self.dice.pick(community.usual, "Vieux").to_owned();
            names.push(Name { kind: NameKind::Usual, given: usual, family: None });
        }
        names
    }

    /// Mobile numbers in ranges that no operator is known to use, so that the demo never writes to anybody.
    fn phone(&self, country: Country) -> String {
        match country {
            Country::Senegal => format!("+22179{:07}", self.dice.below(10_000_000)),
            Country::Congo => format!("+24209{:07}", self.dice.below(10_000_000)),
        }
    }

    fn person_id(&mut self) -> PersonId {
        loop {
            let id = PersonId::draw(&self.dice);
            if self.ids.insert(id.clone()) {
                return id;
            }
        }
    }

    /// The number that the centre gives in the year of the act.
    fn national_number(&mut self, sex: Sex, centre: &str, year: u16) -> NationalNumber {
        loop {
            let order = self.dice.below(99_999) + 1;
            let text = format!("{}{centre}{year:04}{order:05}", sex.digit());
            if let Ok(number) = text.parse::<NationalNumber>()
                && self.numbers.insert(number.clone())
            {
                return number;
            }
        }
    }
}

fn respelled(name: &str) -> String {
    SPELLINGS
        .iter()
        .find_map(|(usual, other)| name.contains(usual).then(|| name.replacen(usual, other, 1)))
        .unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_people_and_another_seed_others() {
        assert_eq!(generate(7, 300), generate(7, 300));
        assert_ne!(generate(7, 300).people[20], generate(8, 300).people[20]);
        assert_eq!(generate(7, 300).people[..200], generate(7, 200).people[..]);
    }

    #[test]
    fn ids_and_numbers_are_unique_and_well_formed() {
        let population = generate(1, 5_000);
        let ids: HashSet<&PersonId> = population.people.iter().map(|person| &person.id).collect();
        let numbers: HashSet<&NationalNumber> =
            population.people.iter().map(|person| &person.national_number).collect();
        assert_eq!((ids.len(), numbers.len()), (5_000, 5_000));
        for person in &population.people {
            let number = person.national_number.as_str();
            assert_eq!(person.id.as_str().parse(), Ok(person.id.clone()));
            assert_eq!(number.chars().next(), Some(person.sex.digit()));
            assert_eq!(&number[1..4], person.birth.place.centre);
            assert_eq!(number[4..8].parse(), Ok(person.registration.year));
            assert!(person.registration.year >= person.birth.date.year());
            assert!(!person.names.is_empty());
        }
    }

    #[test]
    fn the_register_has_the_warts_of_a_real_one() {
        let population = generate(2, 10_000);
        let share = |test: &dyn Fn(&Person) -> bool| population.people.iter().filter(|person| test(person)).count();
        assert!((420..580).contains(&population.duplicates.len()), "{} duplicates", population.duplicates.len());
        assert!(share(&|person| matches!(person.birth.precision, Precision::Year | Precision::Estimated)) > 500);
        assert!(share(&|person| person.registration.judgment.is_some()) > 500);
        assert!(share(&|person| person.names[0].family.is_none()) > 10);
        assert!(share(&|person| person.status == Status::Dead) > 50);
        let adults = share(&|person| person.age_in(PRESENT_YEAR) >= 18);
        let mute = share(&|person| person.age_in(PRESENT_YEAR) >= 18 && person.phone.is_none());
        assert!((20..45).contains(&(mute * 100 / adults)), "{mute} of {adults} adults have no phone");
        let mut seen = HashSet::new();
        let homonyms = share(&|_| true)
            - population
                .people
                .iter()
                .filter(|person| seen.insert((person.display_name(), person.birth.date.year())))
                .count();
        assert!(homonyms > 100, "{homonyms} homonyms born in one year");
        for language in ["wo", "ff", "ln", "ktu", "fr"] {
            assert!(share(&|person| person.language == language) > 500, "{language}");
        }
    }

    #[test]
    fn a_duplicate_is_the_same_human_under_another_number() {
        let population = generate(3, 10_000);
        for (first, second) in &population.duplicates {
            let (first, second) = (&population.people[*first], &population.people[*second]);
            assert_ne!(first.national_number, second.national_number);
            assert_ne!(first.id, second.id);
            assert_eq!(first.birth.date.year(), second.birth.date.year());
            assert_eq!(first.sex, second.sex);
        }
    }

    #[test]
    fn the_sample_citizens_can_log_in() {
        let population = generate(2026, 10);
        assert_eq!(population.samples().len(), 10);
        for person in population.samples() {
            assert!(person.phone.is_some() && person.status == Status::Alive && person.age_in(PRESENT_YEAR) >= 18);
        }
        assert_eq!(population.samples()[0].display_name(), "Awa Ndiaye");
        assert!(population.samples().iter().any(|person| person.birth.precision == Precision::Estimated));
        assert_eq!(generate(2026, 3).samples().len(), 3);
    }
}
