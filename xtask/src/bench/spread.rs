//! Figures of several runs: the median, and how far the runs lay apart.

use std::fmt;

/// The figures of several runs of the same thing.
#[derive(Default)]
pub(super) struct Spread(Vec<f64>);

impl Spread {
    /// Adds the figure of a run.
    pub(super) fn add(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    /// The figure in the middle; of an even number of runs, the upper one. 0 without any.
    pub(super) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        let mut spread = Self::default();
        figures.into_iter().for_each(|figure| spread.add(figure));
        spread
    }
}

/// `median (min–max)`, with two digits after the point below 10, one below 100, none above, unless a precision is asked for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = f.precision();
        let usual = |figure: f64| if figure.abs() < 10.0 { 2 } else { usize::from(figure.abs() < 100.0) };
        let digits = |figure: f64| wanted.unwrap_or(usual(figure));
        let median = self.median();
        write!(f, "{median:.*}", digits(median))?;
        if let (Some(least), Some(most)) = (self.0.first(), self.0.last())
            && self.0.len() > 1
        {
            write!(f, " ({least:.*}–{most:.*})", digits(*least), digits(*most))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_shows_the_middle_and_both_ends() {
        assert_eq!([3.0, 1.0, 200.0].into_iter().collect::<Spread>().to_string(), "3.00 (1.00–200)");
        assert_eq!(Spread::from_iter([12.34]).to_string(), "12.3");
        assert_eq!(format!("{:.0}", Spread::from_iter([12.34])), "12");
    }
}
