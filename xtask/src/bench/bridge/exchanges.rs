//! Exchanges a second of nodes with different settings, turn by turn, nginx before and after each.

use super::{Bench, CALLERS};
use crate::bench::load::{Figures, run_wrk};
use crate::bench::spread::Spread;

/// Nodes with certain settings, and what was found of them.
pub(super) struct Variant {
    name: &'static str,
    settings: &'static [&'static str],
    rows: Vec<Row>,
    flushes: [Spread; 2],
}

impl Variant {
    /// Nothing found yet.
    pub(super) fn of(name: &'static str, settings: &'static [&'static str]) -> Self {
        Self { name, settings, rows: Vec::new(), flushes: Default::default() }
    }
}

/// The runs of a variant with a number of callers.
#[derive(Default)]
struct Row {
    callers: u32,
    ours: Vec<Figures>,
    before: Spread,
    after: Spread,
    ratio: Spread,
    /// Of the consumer's and the provider's node, each exchange.
    cpu_ms: [Spread; 2],
    commits: [Spread; 2],
}

impl Bench<'_> {
    /// Measures the variants in turn, so that a drift of the machine meets all of them, and prints a table.
    pub(super) fn compare<const N: usize>(
        &mut self,
        mut variants: [Variant; N],
        callers: &[u32],
    ) -> anyhow::Result<()> {
        for variant in &mut variants {
            variant.rows = callers.iter().map(|count| Row { callers: *count, ..Row::default() }).collect();
        }
        for _ in 0..self.arguments.runs {
            for variant in &mut variants {
                self.restart(variant.settings)?;
                for row in &mut variant.rows {
                    self.measure(row)?;
                }
                self.count_flushes(variant)?;
            }
        }
        print(&variants);
        Ok(())
    }

    fn measure(&self, row: &mut Row) -> anyhow::Result<()> {
        let seconds = self.arguments.seconds;
        let before = run_wrk(&self.peer(), row.callers, seconds)?;
        let used = self.pair.used()?;
        let ours = run_wrk(&self.ours(), row.callers, seconds)?;
        let now = self.pair.used()?;
        let after = run_wrk(&self.peer(), row.callers, seconds)?;
        row.before.add(before.per_second);
        row.after.add(after.per_second);
        row.ratio.add(100.0 * ours.per_second / f64::midpoint(before.per_second, after.per_second));
        for (node, (now, then)) in now.iter().zip(used).enumerate() {
            let difference = now.since(then);
            if let (Some(cpu), Some(commits)) = (row.cpu_ms.get_mut(node), row.commits.get_mut(node)) {
                cpu.add(difference.cpu_ms / ours.answers.max(1.0));
                commits.add(difference.commits / ours.answers.max(1.0));
            }
        }
        row.ours.push(ours);
        Ok(())
    }

    /// A run of its own: under strace everything is slower.
    fn count_flushes(&self, variant: &mut Variant) -> anyhow::Result<()> {
        let (counts, figures) = self.pair.flushes(|| run_wrk(&self.ours(), CALLERS, 3))?;
        for (count, spread) in counts.iter().zip(&mut variant.flushes) {
            spread.add(count / figures.answers.max(1.0));
        }
        Ok(())
    }
}

fn print(variants: &[Variant]) {
    println!(
        "| what | callers | exchanges/s | % of nginx | p50 ms | p99 ms | errors | ms of processor time an exchange, consumer + provider | \
         commits an exchange, consumer + provider | nginx/s before, after |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for variant in variants {
        for row in &variant.rows {
            let of = |figure: fn(&Figures) -> f64| -> Spread { row.ours.iter().map(figure).collect() };
            println!(
                "| {} | {} | {} | {} | {} | {} | {} | {} + {} | {} + {} | {}, {} |",
                variant.name,
                row.callers,
                of(|run| run.per_second),
                row.ratio,
                of(|run| run.p50_ms),
                of(|run| run.p99_ms),
                row.ours.iter().map(|run| run.errors).sum::<u64>(),
                row.cpu_ms[0],
                row.cpu_ms[1],
                row.commits[0],
                row.commits[1],
                row.before,
                row.after,
            );
        }
    }
    for variant in variants {
        let [consumer, provider] = &variant.flushes;
        println!(
            "{}: flushes an exchange, {CALLERS} callers, under strace: {consumer} + {provider} (consumer + provider)",
            variant.name
        );
    }
    println!();
}
