use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// What the ledger counts about itself.
pub(crate) struct Metrics {
    size: Gauge,
    checkpoints: Counter,
    batch_entries: Histogram,
}

impl Metrics {
    pub(crate) fn new(size: u64) -> Self {
        let metrics = Self {
            size: Gauge::default(),
            checkpoints: Counter::default(),
            batch_entries: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
        };
        metrics.size.set(i64::try_from(size).unwrap_or(i64::MAX));
        metrics
    }

    /// A checkpoint over `entries` more, which makes the log `size` long.
    pub(crate) fn batch(&self, entries: u64, size: u64) {
        self.checkpoints.inc();
        self.batch_entries.observe(f64::from(u32::try_from(entries).unwrap_or(u32::MAX)));
        self.size.set(i64::try_from(size).unwrap_or(i64::MAX));
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("baobab_ledger_size_entries", "Entries that the last checkpoint covers", self.size.clone());
        registry.register("baobab_ledger_checkpoints", "Checkpoints signed", self.checkpoints.clone());
        registry.register(
            "baobab_ledger_batch_entries",
            "Entries covered by one commit and checkpoint",
            self.batch_entries.clone(),
        );
    }
}
