//! A yearly income statement and what of it may be shown.

use civic::Currency;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The fields that a grant can name, in the order of the answer. `year` and `currency` come with every answer.
pub const FIELDS: [&str; 6] = ["gross_income", "taxable_income", "tax_paid", "employer", "reference", "issued_on"];

/// The first and the last year for which the office issued statements.
pub const YEARS: std::ops::RangeInclusive<u16> = 2022..=2025;

/// What one taxpayer earned in one year, as the tax office certified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The year in which the income was earned.
    pub year: u16,
    /// The currency of the amounts.
    pub currency: Currency,
    /// Everything earned, in the smallest unit of the currency.
    pub gross_income: i64,
    /// What remains after social contributions and the flat deduction for expenses.
    pub taxable_income: i64,
    /// The tax paid on it.
    pub tax_paid: i64,
    /// Who paid the income (the largest part of it).
    pub employer: String,
    /// The reference of the statement, unique.
    pub reference: String,
    /// The day of issue, ISO 8601.
    pub issued_on: String,
}

impl Statement {
    /// The statement of a year from its gross income.
    pub fn of_gross(year: u16, gross_income: i64, employer: &str, reference: String, issued_on: String) -> Self {
        let taxable_income = taxable(gross_income);
        Self {
            year,
            currency: Currency::Xof,
            gross_income,
            taxable_income,
            tax_paid: tax(taxable_income),
            employer: employer.to_owned(),
            reference,
            issued_on,
        }
    }

    /// The part of the statement that these fields name, with year and currency. Unknown names are left out: nothing is
    /// shown that was not asked for by its name.
    pub fn disclose(&self, fields: &[String]) -> Map<String, Value> {
        let mut answer = Map::new();
        let Ok(Value::Object(whole)) = serde_json::to_value(self) else { return answer };
        for (name, value) in whole {
            let always = name == "year" || name == "currency";
            if always || (FIELDS.contains(&name.as_str()) && fields.contains(&name)) {
                answer.insert(name, value);
            }
        }
        answer
    }
}

/// Gross income less 5.6 % of social contributions and 30 % of flat expenses (at most 900 000 francs), in whole
/// thousands.
fn taxable(gross: i64) -> i64 {
    let after_contributions = gross - gross * 56 / 1_000;
    let expenses = (after_contributions * 30 / 100).min(900_000);
    (after_contributions - expenses).max(0) / 1_000 * 1_000
}

/// A progressive tax in the manner of the Senegalese scale, simplified for the demo: no family parts, no rebate.
fn tax(taxable: i64) -> i64 {
    // Upper bound of the band in francs and rate in percent.
    const BANDS: [(i64, i64); 6] =
        [(630_000, 0), (1_500_000, 20), (4_000_000, 30), (8_000_000, 35), (13_500_000, 37), (i64::MAX, 40)];
    let mut floor = 0;
    let mut due = 0;
    for (ceiling, percent) in BANDS {
        due += (taxable.min(ceiling) - floor).max(0) * percent / 100;
        floor = ceiling;
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement::of_gross(2025, 4_200_000, "Huilerie du Saloum", "RI-2025-000001".into(), "2026-03-14".into())
    }

    #[test]
    fn the_tax_grows_band_by_band() {
        assert_eq!(tax(0), 0);
        assert_eq!(tax(630_000), 0);
        assert_eq!(tax(1_500_000), 174_000);
        assert_eq!(tax(4_000_000), 924_000);
        assert_eq!(tax(20_000_000), 924_000 + 1_400_000 + 2_035_000 + 2_600_000);
    }

    #[test]
    fn taxable_income_is_what_contributions_and_expenses_leave() {
        assert_eq!(taxable(1_000_000), 660_000);
        assert_eq!(taxable(10_000_000), 8_540_000);
        assert_eq!(taxable(0), 0);
    }

    #[test]
    fn only_the_named_fields_are_disclosed() {
        let granted = ["gross_income", "employer", "salary", "year"].map(str::to_owned);
        let answer = statement().disclose(&granted);
        let names: Vec<&str> = answer.keys().map(String::as_str).collect();
        assert_eq!(names, ["year", "currency", "gross_income", "employer"]);
        assert_eq!(statement().disclose(&[]).len(), 2);
        assert_eq!(answer["currency"], "XOF");
    }
}
