//! What the node counts, for `/metrics`: the figures of operational monitoring as Prometheus metrics.
//!
//! Labels are bounded: sides, outcomes, the codes of [`Reason`], directions, uses of certificates, and the services that exist on this
//! node, of which no more than a fixed number are counted apart. No client, no message and no path is ever a label.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

use crate::fault::{Fault, Reason};
use crate::operations::{OperationalData, ServerType};

/// Services beyond this number are counted together as `other`.
const SERVICES_MAX: usize = 200;
/// The label of what is not counted apart.
const OTHER: &str = "other";

/// A metric, for people who read or generate its documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDescription {
    /// The name as it stands on `/metrics`; of counters without the `_total` that the format appends.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it says, with its unit.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

macro_rules! descriptions {
    ($($key:ident: $name:literal, $kind:literal, $labels:expr, $help:literal;)+) => {
        $(const $key: MetricDescription =
            MetricDescription { name: $name, kind: $kind, help: $help, labels: &$labels };)+
        /// All metrics of the bridge, in the order of `/metrics`.
        pub const METRICS: &[MetricDescription] = &[$($key),+];
    };
}

descriptions! {
    EXCHANGES: "baobab_bridge_exchanges", "counter", ["role", "outcome"], "Exchanges by side and outcome";
    DURATION: "baobab_bridge_exchange_duration_seconds", "histogram", ["role"],
        "Seconds from the request to the answer, with everything logged";
    UPSTREAM: "baobab_bridge_upstream_duration_seconds", "histogram", ["role"],
        "Seconds that the other side took: the provider's node (consumer) or the information system (provider)";
    FAULTS: "baobab_bridge_faults", "counter", ["role", "reason"],
        "Exchanges that a node refused or that failed, by the end of the error type";
    MESSAGE_BYTES: "baobab_bridge_message_bytes", "counter", ["role", "direction"],
        "Bytes of messages, header part and body";
    SERVICE_EXCHANGES: "baobab_bridge_service_exchanges", "counter", ["service", "outcome"],
        "Exchanges of the services behind this node; failed where the answer is an error, too";
    SERVICE_SECONDS: "baobab_bridge_service_duration_seconds", "counter", ["service"],
        "Seconds that successful exchanges of a service took together; divide by their number for the average";
    BATCHES: "baobab_bridge_signature_batches", "counter", [], "Signatures made for batches";
    BATCHED: "baobab_bridge_batched_messages", "counter", [], "Messages signed in batches";
    STAMPS_WAITING: "baobab_bridge_stamps_waiting_records", "gauge", [], "Logged messages that have no time stamp yet";
    STAMPS_OLDEST: "baobab_bridge_stamps_oldest_seconds", "gauge", [],
        "Seconds for which the oldest logged message has waited for its time stamp";
    STAMPS_STOP: "baobab_bridge_stamps_stop_seconds", "gauge", [],
        "Seconds until exchanges are refused for want of time stamps; -1 where nothing waits or the policy is to go on";
    ARCHIVED: "baobab_bridge_archived_records", "counter", [], "Logged messages written to archives";
    ARCHIVED_UNPROVEN: "baobab_bridge_archived_unproven_records", "counter", [],
        "Logged messages archived without the ledger's proof although there is a ledger: they waited as long as they may";
    LEAVES: "baobab_bridge_ledger_leaves", "counter", [], "Commitments in the ledger";
    CONFIGURATION: "baobab_bridge_configuration_valid_seconds", "gauge", [],
        "Seconds for which the global configuration still holds; negative once it expired";
    CERTIFICATES: "baobab_bridge_certificate_valid_seconds", "gauge", ["use"],
        "Seconds for which the certificates of the node still hold; negative once one expired";
    RECORDS_WAITING: "baobab_bridge_operational_records_waiting_records", "gauge", [],
        "Records of operational data that are not written yet";
    RECORDS_WRITTEN: "baobab_bridge_operational_records_written", "counter", [], "Records of operational data written";
    RECORDS_DROPPED: "baobab_bridge_operational_records_dropped", "counter", [],
        "Records of operational data lost because the store did not take them in time";
}

/// What the node adds to [`METRICS`] of its place for bodies.
pub const SPOOL: MetricDescription = MetricDescription {
    name: "baobab_bridge_spool_bytes",
    kind: "gauge",
    help: "Bytes of bodies on their way that wait on the disk",
    labels: &[],
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExchangeLabels {
    role: RoleLabel,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: RoleLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    role: RoleLabel,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BytesLabels {
    role: RoleLabel,
    direction: Direction,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceOutcomeLabels {
    service: String,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    r#use: CertificateUse,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Direction {
    Request,
    Response,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum CertificateUse {
    Sign,
    Auth,
}

type Seconds = Counter<f64, AtomicU64>;

/// The metrics of one node.
pub(crate) struct Metrics {
    exchanges: Family<ExchangeLabels, Counter>,
    durations: Family<RoleLabels, Histogram, fn() -> Histogram>,
    upstream: Family<RoleLabels, Histogram, fn() -> Histogram>,
    faults: Family<FaultLabels, Counter>,
    bytes: Family<BytesLabels, Counter>,
    service_exchanges: Family<ServiceOutcomeLabels, Counter>,
    service_seconds: Family<ServiceLabels, Seconds>,
    services: Mutex<HashSet<String>>,
    certificates: Family<CertificateLabels, Gauge<i64, AtomicI64>>,
    waiting: Gauge,
    written: Counter,
    dropped: Counter,
    batches: Counter,
    batched: Counter,
    pub(crate) stamps_waiting: Gauge,
    pub(crate) stamps_oldest_seconds: Gauge,
    pub(crate) stamps_stop_seconds: Gauge,
    pub(crate) archived: Counter,
    pub(crate) archived_unproven: Counter,
    pub(crate) leaves: Counter,
    pub(crate) configuration_seconds: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            exchanges: Family::default(),
            durations: Family::new_with_constructor(buckets as fn() -> Histogram),
            upstream: Family::new_with_constructor(buckets as fn() -> Histogram),
            faults: Family::default(),
            bytes: Family::default(),
            service_exchanges: Family::default(),
            service_seconds: Family::default(),
            services: Mutex::default(),
            certificates: Family::default(),
            waiting: Gauge::default(),
            written: Counter::default(),
            dropped: Counter::default(),
            batches: Counter::default(),
            batched: Counter::default(),
            stamps_waiting: Gauge::default(),
            stamps_oldest_seconds: Gauge::default(),
            stamps_stop_seconds: Gauge::default(),
            archived: Counter::default(),
            archived_unproven: Counter::default(),
            leaves: Counter::default(),
            configuration_seconds: Gauge::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        add(registry, EXCHANGES, &self.exchanges);
        add(registry, DURATION, &self.durations);
        add(registry, UPSTREAM, &self.upstream);
        add(registry, FAULTS, &self.faults);
        add(registry, MESSAGE_BYTES, &self.bytes);
        add(registry, SERVICE_EXCHANGES, &self.service_exchanges);
        add(registry, SERVICE_SECONDS, &self.service_seconds);
        add(registry, BATCHES, &self.batches);
        add(registry, BATCHED, &self.batched);
        add(registry, STAMPS_WAITING, &self.stamps_waiting);
        add(registry, STAMPS_OLDEST, &self.stamps_oldest_seconds);
        add(registry, STAMPS_STOP, &self.stamps_stop_seconds);
        add(registry, ARCHIVED, &self.archived);
        add(registry, ARCHIVED_UNPROVEN, &self.archived_unproven);
        add(registry, LEAVES, &self.leaves);
        add(registry, CONFIGURATION, &self.configuration_seconds);
        add(registry, CERTIFICATES, &self.certificates);
        add(registry, RECORDS_WAITING, &self.waiting);
        add(registry, RECORDS_WRITTEN, &self.written);
        add(registry, RECORDS_DROPPED, &self.dropped);
    }

    /// One signature was made for so many messages.
    pub(crate) fn signed_together(&self, messages: usize) {
        self.batches.inc();
        self.batched.inc_by(messages as u64);
    }

    /// Counts an exchange that ended.
    pub(crate) fn observe(&self, data: &OperationalData, fault: Option<&Fault>, took: Duration) {
        let role = match data.server_type {
            ServerType::Client => RoleLabel::Consumer,
            ServerType::Producer => RoleLabel::Provider,
        };
        let outcome = if fault.is_none() { Outcome::Answered } else { Outcome::Failed };
        self.exchanges.get_or_create(&ExchangeLabels { role, outcome }).inc();
        self.durations.get_or_create(&RoleLabels { role }).observe(took.as_secs_f64());
        if let (Some(out), Some(back)) = (data.request_out, data.response_in) {
            self.upstream.get_or_create(&RoleLabels { role }).observe(back.since(out).as_secs_f64());
        }
        if let Some(fault) = fault {
            self.faults.get_or_create(&FaultLabels { role, reason: reason_of(fault) }).inc();
        }
        for (direction, size) in [(Direction::Request, data.request_size), (Direction::Response, data.response_size)] {
            self.bytes.get_or_create(&BytesLabels { role, direction }).inc_by(size.unwrap_or(0));
        }
        if let (ServerType::Producer, Some(service), Some(_)) = (data.server_type, &data.service, data.service_type) {
            let service = self.service_label(service.to_string());
            if data.succeeded {
                let labels = ServiceLabels { service: service.clone() };
                self.service_seconds.get_or_create(&labels).inc_by(took.as_secs_f64());
            }
            let outcome = if data.succeeded { Outcome::Answered } else { Outcome::Failed };
            self.service_exchanges.get_or_create(&ServiceOutcomeLabels { service, outcome }).inc();
        }
    }

    pub(crate) fn records_written(&self, count: u64) {
        self.written.inc_by(count);
    }

    pub(crate) fn records_dropped(&self, count: u64) {
        self.dropped.inc_by(count);
    }

    pub(crate) fn records_waiting(&self, count: usize) {
        self.waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn certificate_valid(&self, is_auth: bool, seconds: i64) {
        let r#use = if is_auth { CertificateUse::Auth } else { CertificateUse::Sign };
        self.certificates.get_or_create(&CertificateLabels { r#use }).set(seconds);
    }

    fn service_label(&self, service: String) -> String {
        let mut known = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&service) {
            return service;
        }
        if known.len() >= SERVICES_MAX {
            return OTHER.to_owned();
        }
        known.insert(service.clone());
        service
    }
}

/// The end of the error type, where it is one that this house knows: peers may send any text.
fn reason_of(fault: &Fault) -> &'static str {
    let fits = |reason: &&Reason| fault.is(**reason);
    Reason::ALL.iter().filter(fits).map(|reason| reason.code()).max_by_key(|code| code.len()).unwrap_or(OTHER)
}

fn add(registry: &mut Registry, description: MetricDescription, metric: &(impl Metric + Clone)) {
    registry.register(description.name, description.help, metric.clone());
}

fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}

#[cfg(test)]
mod tests {
    use civic::Timestamp;

    use super::*;
    use crate::fault::Side;
    use crate::registry::ServiceKind;

    fn text(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    fn exchange(service: usize) -> OperationalData {
        let at = Timestamp::from_seconds(1);
        OperationalData {
            request_out: Some(at),
            response_in: Some(at),
            service: Some(format!("BB/GOV/1002/fisc/s{service}").parse().unwrap()),
            service_type: Some(ServiceKind::Rest),
            request_size: Some(7),
            succeeded: true,
            ..OperationalData::begun(ServerType::Producer, at)
        }
    }

    #[test]
    fn every_metric_on_the_page_is_described_with_its_kind() {
        let metrics = Metrics::new();
        let fault = Fault::new(Side::Client, Reason::BadRequest, "no");
        metrics.observe(&exchange(1), Some(&fault), Duration::from_millis(3));
        metrics.certificate_valid(true, 60);
        let page = text(&metrics);
        let typed: Vec<(&str, &str)> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        let described: Vec<(&str, &str)> = METRICS.iter().map(|metric| (metric.name, metric.kind)).collect();
        assert_eq!(typed, described);
        for metric in METRICS {
            assert!(metric.name.starts_with("baobab_bridge_"), "{}", metric.name);
            for label in metric.labels {
                assert!(page.contains(&format!("{label}=\"")), "{} has no label {label}", metric.name);
            }
        }
        assert!(page.contains("baobab_bridge_faults_total{role=\"Provider\",reason=\"bad_request\"} 1"), "{page}");
        assert!(page.contains("direction=\"Request\"} 7"), "{page}");
    }

    #[test]
    fn labels_stay_few_whatever_callers_and_peers_send() {
        let metrics = Metrics::new();
        for service in 0..SERVICES_MAX + 50 {
            metrics.observe(&exchange(service), None, Duration::from_millis(3));
        }
        for code in 0..1_000 {
            let fault = Fault::remote(&format!("server.x.made_up_{code}"), "", "");
            metrics.observe(&OperationalData { service_type: None, ..exchange(7) }, Some(&fault), Duration::ZERO);
        }
        let page = text(&metrics);
        let services = page.lines().filter(|line| line.starts_with("baobab_bridge_service_exchanges_total")).count();
        assert_eq!(services, SERVICES_MAX + 1);
        assert!(page.contains("service=\"other\",outcome=\"Answered\"} 50"), "{page}");
        assert!(page.contains("reason=\"other\"} 1000"));
        let lines = page.lines().count();
        assert!(lines < 700, "{lines} lines");
    }

    #[test]
    fn the_longest_reason_that_fits_is_the_label() {
        let fault = Fault::new(Side::ServerProxy, Reason::InvalidHashChain, "no");
        assert_eq!(reason_of(&fault), "signature_verification.invalid_hash_chain");
        let camel = Fault::remote("Server.ServerProxy.AccessDenied", "no", "");
        assert_eq!(reason_of(&camel), "access_denied");
    }
}
