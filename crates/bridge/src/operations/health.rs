//! How the services of this node did lately: counts, durations and sizes over a sliding period, in memory.
//!
//! The period is cut into slices whose figures are summed when asked: memory is bounded whatever the load, and what leaves the period
//! leaves it one slice at a time. Sums are kept as mean and squared distance (Welford; merged as Chan, Golub and LeVeque do), so that
//! long runs lose no precision.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use civic::{ServiceId, Timestamp};

use super::record::{OperationalData, ServerType};
use crate::registry::ServiceKind;

/// The period is cut into so many slices.
const SLICES: u32 = 20;
/// More services than this are not counted apart.
const SERVICES_MAX: usize = 4_096;

/// Minimum, average, maximum and standard deviation of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    count: u64,
    min: i64,
    max: i64,
    mean: f64,
    squares: f64,
}

/// What happened at one service in the period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeriodStatistics {
    /// Requests that succeeded.
    pub successful: u64,
    /// Requests that did not.
    pub unsuccessful: u64,
    /// Milliseconds from request to answer; of the successful ones, as the sizes.
    pub duration_ms: Statistics,
    /// Bytes of the requests.
    pub request_bytes: Statistics,
    /// Bytes of the answers.
    pub response_bytes: Statistics,
}

/// The health of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceHealth {
    /// The service.
    pub service: ServiceId,
    /// Its version (SOAP).
    pub version: Option<String>,
    /// What it is.
    pub service_type: Option<ServiceKind>,
    /// When the last successful answer left, by the clock of the node.
    pub last_successful: Option<Timestamp>,
    /// When the last unsuccessful one did.
    pub last_unsuccessful: Option<Timestamp>,
    /// The figures of the period.
    pub period: PeriodStatistics,
}

/// The services that were asked since the node started.
pub(super) struct Health {
    slice_s: i64,
    services: BTreeMap<(ServiceId, Option<String>), Watched>,
}

#[derive(Default)]
struct Watched {
    service_type: Option<ServiceKind>,
    last_successful: Option<Timestamp>,
    last_unsuccessful: Option<Timestamp>,
    slices: VecDeque<(i64, PeriodStatistics)>,
}

impl Health {
    pub(super) fn new(period: Duration) -> Self {
        let slice_s = i64::try_from(period.as_secs()).unwrap_or(i64::MAX) / i64::from(SLICES);
        Self { slice_s: slice_s.max(1), services: BTreeMap::new() }
    }

    /// Counts an exchange on the side of the service; of services that exist only, so that callers cannot fill the memory.
    pub(super) fn record(&mut self, data: &OperationalData) {
        let (ServerType::Producer, Some(service), Some(_)) = (data.server_type, &data.service, data.service_type)
        else {
            return;
        };
        let key = (service.clone(), data.service_version.clone());
        if self.services.len() >= SERVICES_MAX && !self.services.contains_key(&key) {
            return;
        }
        let slice = data.response_out.seconds() / self.slice_s;
        let watched = self.services.entry(key).or_default();
        watched.service_type = data.service_type;
        let last = if data.succeeded { &mut watched.last_successful } else { &mut watched.last_unsuccessful };
        *last = (*last).max(Some(data.response_out));
        watched.forget_before(slice - i64::from(SLICES));
        if watched.slices.back().is_none_or(|(present, _)| *present < slice) {
            watched.slices.push_back((slice, PeriodStatistics::default()));
        }
        if let Some((_, figures)) = watched.slices.back_mut() {
            figures.add(data);
        }
    }

    /// The health of all services, by id.
    pub(super) fn services(&self, now: Timestamp) -> Vec<ServiceHealth> {
        let oldest = now.seconds() / self.slice_s - i64::from(SLICES);
        self.services
            .iter()
            .map(|((service, version), watched)| ServiceHealth {
                service: service.clone(),
                version: version.clone(),
                service_type: watched.service_type,
                last_successful: watched.last_successful,
                last_unsuccessful: watched.last_unsuccessful,
                period: watched.since(oldest),
            })
            .collect()
    }
}

impl Watched {
    fn forget_before(&mut self, oldest: i64) {
        while self.slices.front().is_some_and(|(slice, _)| *slice <= oldest) {
            self.slices.pop_front();
        }
    }

    fn since(&self, oldest: i64) -> PeriodStatistics {
        let mut sum = PeriodStatistics::default();
        for (_, figures) in self.slices.iter().filter(|(slice, _)| *slice > oldest) {
            sum.merge(figures);
        }
        sum
    }
}

impl PeriodStatistics {
    fn add(&mut self, data: &OperationalData) {
        if !data.succeeded {
            self.unsuccessful += 1;
            return;
        }
        self.successful += 1;
        self.duration_ms.add(data.duration_ms());
        for (figures, size) in
            [(&mut self.request_bytes, data.request_size), (&mut self.response_bytes, data.response_size)]
        {
            if let Some(size) = size {
                figures.add(i64::try_from(size).unwrap_or(i64::MAX));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.successful += other.successful;
        self.unsuccessful += other.unsuccessful;
        self.duration_ms.merge(&other.duration_ms);
        self.request_bytes.merge(&other.request_bytes);
        self.response_bytes.merge(&other.response_bytes);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts, milliseconds and bytes are far below 2^53")]
impl Statistics {
    /// The smallest value; `None` where there is none.
    pub fn min(&self) -> Option<i64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest value.
    pub fn max(&self) -> Option<i64> {
        (self.count > 0).then_some(self.max)
    }

    /// The average.
    pub fn average(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// The standard deviation of the sample (divided by n − 1); 0 of one value.
    pub fn deviation(&self) -> Option<f64> {
        match self.count {
            0 => None,
            1 => Some(0.0),
            count => Some((self.squares / (count - 1) as f64).sqrt()),
        }
    }

    pub(super) fn add(&mut self, value: i64) {
        self.merge(&Self { count: 1, min: value, max: value, mean: value as f64, squares: 0.0 });
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let distance = other.mean - self.mean;
        self.mean += distance * theirs / (ours + theirs);
        self.squares += distance.mul_add(distance * ours * theirs / (ours + theirs), other.squares);
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(at_s: i64, duration_ms: i64, succeeded: bool) -> OperationalData {
        OperationalData {
            response_out: Timestamp::from_millis(at_s * 1_000 + duration_ms),
            service: Some("BB/GOV/1002/fisc/echo".parse().unwrap()),
            service_type: Some(ServiceKind::Rest),
            request_size: Some(10),
            response_size: Some(20),
            succeeded,
            ..OperationalData::begun(ServerType::Producer, Timestamp::from_seconds(at_s))
        }
    }

    #[test]
    fn the_figures_of_a_service_are_those_of_its_period() {
        let mut health = Health::new(Duration::from_mins(10));
        for duration in [10, 20, 30, 40] {
            health.record(&answered(1_000_000, duration, true));
        }
        health.record(&answered(1_000_300, 2, false));
        let one = health.services(Timestamp::from_seconds(1_000_301)).remove(0);
        assert_eq!((one.period.successful, one.period.unsuccessful), (4, 1));
        assert_eq!((one.period.duration_ms.min(), one.period.duration_ms.max()), (Some(10), Some(40)));
        assert_eq!(one.period.duration_ms.average(), Some(25.0));
        assert!((one.period.duration_ms.deviation().unwrap() - 12.909_944).abs() < 1e-6);
        assert_eq!(one.period.response_bytes.average(), Some(20.0));
        assert_eq!(one.last_successful, Some(Timestamp::from_millis(1_000_000_040)));
        assert_eq!(one.last_unsuccessful, Some(Timestamp::from_millis(1_000_300_002)));
        // Ten minutes later only the failure is left, then nothing but the moments.
        let later = health.services(Timestamp::from_seconds(1_000_620)).remove(0);
        assert_eq!((later.period.successful, later.period.unsuccessful), (0, 1));
        assert_eq!(later.period.duration_ms.average(), None);
        let last = health.services(Timestamp::from_seconds(1_009_000)).remove(0);
        assert_eq!(last.period, PeriodStatistics::default());
        assert!(last.last_successful.is_some());
    }

    #[test]
    fn a_service_that_does_not_exist_takes_no_memory_and_neither_does_load() {
        let mut health = Health::new(Duration::from_mins(10));
        health.record(&OperationalData { service_type: None, ..answered(1, 1, false) });
        health.record(&OperationalData { server_type: ServerType::Client, ..answered(1, 1, true) });
        assert!(health.services(Timestamp::from_seconds(2)).is_empty());
        for second in 0..5_000 {
            health.record(&answered(second, 1, true));
        }
        assert!(health.services.values().all(|watched| watched.slices.len() <= 20));
    }

    proptest::proptest! {
        /// Slices merged are the whole.
        #[test]
        fn merging_changes_no_figure(values in proptest::collection::vec(0_i64..1_000_000, 1..60), cut in 0_usize..60) {
            let (first, second) = values.split_at(cut.min(values.len()));
            let of = |values: &[i64]| values.iter().fold(Statistics::default(), |mut sum, value| { sum.add(*value); sum });
            let (mut merged, whole) = (of(first), of(&values));
            merged.merge(&of(second));
            proptest::prop_assert_eq!((merged.min(), merged.max()), (whole.min(), whole.max()));
            proptest::prop_assert!((merged.average().unwrap() - whole.average().unwrap()).abs() < 1e-3);
            proptest::prop_assert!((merged.deviation().unwrap() - whole.deviation().unwrap()).abs() < 1e-3);
        }
    }
}
