//! Made-up tax accounts for the demo: who earns, from whom, how much. The same for the same seed.

use civic::NationalNumber;

use crate::statement::{Statement, YEARS};

/// Somebody whom the tax office is told of by the demo.
#[derive(Clone, Debug)]
pub struct Taxpayer {
    /// The national number.
    pub national_number: NationalNumber,
    /// The year of birth.
    pub birth_year: u16,
    /// Whether the person certainly earns a declared income in every year (sample citizens do); otherwise about four
    /// adults in ten do, some of them not in every year.
    pub earner: bool,
}

/// A tax account with its statements, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account number, `F` and nine digits.
    pub id: String,
    /// The holder.
    pub national_number: NationalNumber,
    /// At most one per year.
    pub statements: Vec<Statement>,
}

/// Opens accounts for those who earn. People below twenty or above seventy have none unless they are certain earners.
pub fn accounts(seed: u64, taxpayers: &[Taxpayer]) -> Vec<Account> {
    let mut dice = Dice(seed ^ 0x0F15_C0DE);
    let mut serial: u32 = 0;
    let mut opened = Vec::new();
    for taxpayer in taxpayers {
        let age = YEARS.end().saturating_sub(taxpayer.birth_year);
        let earns = taxpayer.earner || ((20..=70).contains(&age) && dice.chance(420));
        if earns {
            serial += 1;
            opened.push(account(&mut dice, taxpayer, serial));
        }
    }
    opened
}

/// Those who pay, and the pay of a year in thousands of francs: the lowest and the highest of the house.
const EMPLOYERS: [(&str, i64, i64); 24] = [
    ("Huilerie du Saloum", 900, 5_400),
    ("Conserverie de Joal", 850, 4_200),
    ("Transports Baol Express", 960, 4_800),
    ("Coopérative maraîchère des Niayes", 800, 2_900),
    ("Rizerie du Delta", 880, 3_900),
    ("Clinique Keur Yaye", 1_500, 14_000),
    ("Lycée technique de Thiès", 1_900, 6_800),
    ("École La Teranga", 1_200, 4_600),
    ("Télécoms du Fleuve", 2_200, 21_000),
    ("Studio numérique Ndar", 2_000, 12_500),
    ("Banque du Fleuve", 2_600, 24_000),
    ("Assurances Fouta", 1_900, 13_000),
    ("Ciments de Bargny-Nord", 1_400, 9_800),
    ("Mairie de Rufisque Est", 1_100, 5_200),
    ("Port de pêche de Kafountine", 820, 3_600),
    ("Hôtel Les Palétuviers", 860, 4_100),
    ("Boulangeries Jaboot", 800, 2_700),
    ("Scieries de la Sangha", 980, 6_200),
    ("Chemins de fer du Niari", 1_300, 7_400),
    ("Brasserie du Pool", 1_250, 8_900),
    ("Pharmacie centrale de Talangaï", 1_500, 9_600),
    ("Services pétroliers de la Côte", 3_800, 38_000),
    ("Ateliers de couture Sandaga", 800, 2_400),
    ("Activité indépendante déclarée", 770, 9_000),
];

fn account(dice: &mut Dice, taxpayer: &Taxpayer, serial: u32) -> Account {
    let id = format!("F{:03}{serial:06}", dice.below(1_000));
    let mut employer = dice.index(EMPLOYERS.len());
    // Squared, so that most people stand near the bottom of the scale.
    let mut place = dice.below(1_000) * dice.below(1_000) / 1_000;
    let mut statements = Vec::new();
    for year in YEARS {
        if dice.chance(120) {
            employer = dice.index(EMPLOYERS.len());
        }
        place = (place + dice.below(45)).min(1_000);
        let young = year.saturating_sub(taxpayer.birth_year) < 18;
        let idle = !taxpayer.earner && dice.chance(90);
        if young || idle {
            continue;
        }
        let (name, lowest, highest) =
            EMPLOYERS.get(employer).copied().unwrap_or(("Activité indépendante déclarée", 770, 9_000));
        let thousands = lowest + (highest - lowest) * i64::from(place) / 1_000;
        let gross = thousands * 1_000 + i64::from(dice.below(1_000)) / 5 * 5;
        let reference = format!("RI-{year}-{}", id.trim_start_matches('F'));
        let issued_on = format!("{}-{:02}-{:02}", year + 1, 2 + dice.below(3), 1 + dice.below(28));
        statements.push(Statement::of_gross(year, gross, name, reference, issued_on));
    }
    Account { id, national_number: taxpayer.national_number.clone(), statements }
}

/// Repeatable dice (SplitMix64). They make demo data, never keys.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number from 0 to `limit - 1`; 0 where the limit is 0.
    fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit.max(1))).unwrap_or(0)
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(length.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn chance(&mut self, per_thousand: u32) -> bool {
        self.below(1_000) < per_thousand
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn taxpayers() -> Vec<Taxpayer> {
        (0..5_000_u32)
            .map(|order| Taxpayer {
                national_number: format!("2A011990{order:05}").parse().unwrap(),
                birth_year: 1940 + u16::try_from(order % 80).unwrap(),
                earner: order < 10,
            })
            .collect()
    }

    #[test]
    fn the_same_seed_opens_the_same_accounts() {
        assert_eq!(accounts(5, &taxpayers()), accounts(5, &taxpayers()));
        assert_ne!(accounts(5, &taxpayers()), accounts(6, &taxpayers()));
    }

    #[test]
    fn a_certain_earner_has_a_statement_for_every_year() {
        for account in &accounts(5, &taxpayers())[..10] {
            let years: Vec<u16> = account.statements.iter().map(|statement| statement.year).collect();
            assert_eq!(years, YEARS.collect::<Vec<_>>());
        }
    }

    #[test]
    fn accounts_are_unique_and_incomes_plausible() {
        let opened = accounts(5, &taxpayers());
        assert!((800..2_500).contains(&opened.len()), "{}", opened.len());
        let ids: HashSet<&str> = opened.iter().map(|account| account.id.as_str()).collect();
        assert_eq!(ids.len(), opened.len());
        let mut gross: Vec<i64> =
            opened.iter().flat_map(|account| &account.statements).map(|statement| statement.gross_income).collect();
        gross.sort_unstable();
        assert!(gross[0] >= 770_000 && gross[gross.len() - 1] < 40_000_000);
        let median = gross[gross.len() / 2];
        assert!((1_000_000..5_000_000).contains(&median), "median {median}");
        for statement in opened.iter().flat_map(|account| &account.statements) {
            assert!(statement.tax_paid < statement.taxable_income && statement.taxable_income < statement.gross_income);
        }
        assert!(opened.iter().any(|account| account.statements.len() < 4), "some people earn nothing for a year");
    }
}
