//! What the node counts, for `/metrics`.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::messagelog::Role;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExchangeLabels {
    role: RoleLabel,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: RoleLabel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum RoleLabel {
    Consumer,
    Provider,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    Answered,
    Failed,
}

/// The metrics of one node.
pub(crate) struct Metrics {
    exchanges: Family<ExchangeLabels, Counter>,
    durations: Family<RoleLabels, Histogram, fn() -> Histogram>,
    batches: Counter,
    batched: Counter,
    pub(crate) stamps_waiting: Gauge,
    pub(crate) stamps_oldest_seconds: Gauge,
    pub(crate) stamps_stop_seconds: Gauge,
    pub(crate) archived: Counter,
    pub(crate) leaves: Counter,
    pub(crate) configuration_seconds: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            exchanges: Family::default(),
            durations: Family::new_with_constructor(buckets as fn() -> Histogram),
            batches: Counter::default(),
            batched: Counter::default(),
            stamps_waiting: Gauge::default(),
            stamps_oldest_seconds: Gauge::default(),
            stamps_stop_seconds: Gauge::default(),
            archived: Counter::default(),
            leaves: Counter::default(),
            configuration_seconds: Gauge::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("baobab_bridge_exchanges", "Exchanges by side and outcome", self.exchanges.clone());
        registry.register(
            "baobab_bridge_exchange_duration_seconds",
            "From the request to the answer, with everything logged",
            self.durations.clone(),
        );
        registry.register("baobab_bridge_signature_batches", "Signatures made for batches", self.batches.clone());
        registry.register("baobab_bridge_batched_messages", "Messages signed in batches", self.batched.clone());
        registry.register(
            "baobab_bridge_stamps_waiting_records",
            "Logged messages that have no time stamp yet",
            self.stamps_waiting.clone(),
        );
        registry.register(
            "baobab_bridge_stamps_oldest_seconds",
            "How long the oldest logged message has waited for its time stamp",
            self.stamps_oldest_seconds.clone(),
        );
        registry.register(
            "baobab_bridge_stamps_stop_seconds",
            "How long until exchanges are refused for want of time stamps; -1 where nothing waits or the policy is to go on",
            self.stamps_stop_seconds.clone(),
        );
        registry.register(
            "baobab_bridge_archived_records",
            "Logged messages written to archives",
            self.archived.clone(),
        );
        registry.register("baobab_bridge_ledger_leaves", "Commitments in the ledger", self.leaves.clone());
        registry.register(
            "baobab_bridge_configuration_valid_seconds",
            "How long the global configuration still holds; negative once it expired",
            self.configuration_seconds.clone(),
        );
    }

    /// One signature was made for so many messages.
    pub(crate) fn signed_together(&self, messages: usize) {
        self.batches.inc();
        self.batched.inc_by(messages as u64);
    }

    pub(crate) fn exchange(&self, role: Role, answered: bool, duration: Duration) {
        let role = match role {
            Role::Consumer => RoleLabel::Consumer,
            Role::Provider => RoleLabel::Provider,
        };
        let outcome = if answered { Outcome::Answered } else { Outcome::Failed };
        self.exchanges.get_or_create(&ExchangeLabels { role, outcome }).inc();
        self.durations.get_or_create(&RoleLabels { role }).observe(duration.as_secs_f64());
    }
}

fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}
