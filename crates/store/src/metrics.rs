use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type ByName = [(&'static str, &'static str); 1];

/// What a store counts about itself. Every clone counts into the same numbers.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) commits: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) rows_appended: Counter,
    pub(crate) retries: Counter,
    pub(crate) failures: Counter,
    durations: Family<ByName, Histogram, fn() -> Histogram>,
    group_sizes: Arc<Histogram>,
}

/// The counters of a store at one moment, since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Durable commits. On SQLite each is one fsync of the write-ahead log; on PostgreSQL one commit of the server.
    pub commits: u64,
    /// Times the write-ahead log was brought into the database file (SQLite: two fsyncs each).
    pub checkpoints: u64,
    /// Rows written by the append path.
    pub rows_appended: u64,
    /// Transactions run again after a serialization failure or a lost connection.
    pub retries: u64,
    /// Transactions that ended in an error of the store.
    pub failures: u64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            commits: Counter::default(),
            checkpoints: Counter::default(),
            rows_appended: Counter::default(),
            retries: Counter::default(),
            failures: Counter::default(),
            durations: Family::new_with_constructor(duration_histogram),
            group_sizes: Arc::new(Histogram::new(exponential_buckets(1.0, 2.0, 12))),
        }
    }

    /// One durable commit that served `jobs` callers.
    pub(crate) fn committed(&self, jobs: usize) {
        self.commits.inc();
        self.group_sizes.observe(f64::from(u32::try_from(jobs).unwrap_or(u32::MAX)));
    }

    pub(crate) fn took(&self, name: &'static str, started: Instant) {
        self.durations.get_or_create(&[("name", name)]).observe(seconds(started.elapsed()));
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            commits: self.commits.get(),
            checkpoints: self.checkpoints.get(),
            rows_appended: self.rows_appended.get(),
            retries: self.retries.get(),
            failures: self.failures.get(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let counters = [
            ("commits", "Durable commits", &self.commits),
            ("checkpoints", "Write-ahead log checkpoints", &self.checkpoints),
            ("appended_rows", "Rows written by the append path", &self.rows_appended),
            ("retries", "Transactions run again", &self.retries),
            ("failures", "Transactions that ended in an error of the store", &self.failures),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("baobab_store_{name}"), help, counter.clone());
        }
        registry.register_with_unit(
            "baobab_store_tx_duration",
            "From the call of a transaction to its answer, by name",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register(
            "baobab_store_group_jobs",
            "Callers served by one commit",
            Histogram::clone(&self.group_sizes),
        );
    }
}

/// Registers the metrics of a store that is not open, with one transaction counted: for who writes them down.
pub fn example_metrics(registry: &mut Registry) {
    let metrics = Metrics::new();
    metrics.took("NAME", Instant::now());
    metrics.register(registry);
}

fn duration_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 18))
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
