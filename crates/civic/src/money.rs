use std::fmt;

use serde::{Deserialize, Serialize};

/// A currency of ISO 4217 in use where the house stands. Both CFA francs have no minor unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// West African CFA franc (BCEAO).
    Xof,
    /// Central African CFA franc (BEAC).
    Xaf,
}

/// An exact amount in the smallest unit of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// The amount in the smallest unit (francs).
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// An amount of West African CFA francs.
    pub const fn xof(amount: i64) -> Self {
        Self { amount, currency: Currency::Xof }
    }
}

impl fmt::Display for Money {
    /// Groups of three digits with a no-break space, as French and Senegalese usage write it: `4 250 000 FCFA`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.amount.unsigned_abs().to_string();
        if self.amount < 0 {
            formatter.write_str("-")?;
        }
        for (position, digit) in digits.chars().enumerate() {
            if position > 0 && (digits.len() - position).is_multiple_of(3) {
                formatter.write_str("\u{a0}")?;
            }
            write!(formatter, "{digit}")?;
        }
        formatter.write_str("\u{a0}FCFA")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn francs_are_grouped_by_three() {
        assert_eq!(Money::xof(4_250_000).to_string(), "4\u{a0}250\u{a0}000\u{a0}FCFA");
        assert_eq!(Money::xof(-12).to_string(), "-12\u{a0}FCFA");
        assert_eq!(Money::xof(123).to_string(), "123\u{a0}FCFA");
    }
}
