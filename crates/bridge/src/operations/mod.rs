//! Operational monitoring: what passed this node, how long it took and how it ended (PR-OPMON; facts §1.8).
//!
//! Every exchange makes one [`OperationalData`] record on each side. Records are kept in memory and written in batches once a second,
//! never while an exchange waits; **a crash loses the last second**, which is accepted: the records are figures for operators, the
//! evidence is the message log. `monitoringDataTs` is the second in which a record was written, so a query that leaves out the last
//! [`OperationsSettings::available_after`] never misses a late one.
//!
//! # No personal data
//! These records go to people who may not read the messages: operators, the central monitoring client, partners. So nothing in them may
//! name a citizen, although X-Road's own records do:
//! - `restPath` loses the segment that the service declares as its subject ([`crate::config::SubjectRule`]) and every long number; a path
//!   that could be read in two ways is left out whole, for nobody knows which of its segments is which. The query is never kept.
//! - `messageUserId` (X-Road-UserId: by convention the national number of the user) is never kept. The field can be asked for and is
//!   always absent.
//! - `faultString`, `messageIssue` and `representedPartyCode` lose runs of nine and more digits.
//! - `messageId` is kept as it came: it is the key that ties the records of both sides to the message log.

mod environment;
mod health;
mod observed;
mod query;
mod record;
mod services;
mod store;

pub use environment::{Environment, Metric, MetricValue};
pub use health::{PeriodStatistics, ServiceHealth, Statistics};
pub(crate) use observed::Observed;
pub use query::{OperationalAnswer, SearchCriteria};
pub use record::{FIELDS, OperationalData, ServerType};
pub(crate) use services::{Caller, MonitoringRequest};
pub use services::{MonitoringAnswer, is_monitoring_service};

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::store::{Migration, StoreError};
use civic::{ClientId, ServiceId, Timestamp};

use crate::core::Core;
use environment::Sampler;
use health::Health;

/// Records that are written at once: more would be memory that a busy node needs elsewhere.
const BATCH_RECORDS: usize = 250;

pub(crate) const MIGRATION: Migration = Migration {
    room: "bridge",
    number: 4,
    name: "operational data",
    sql: include_str!("../../migrations/0004_operational_data.sql"),
};

/// What an operator decides about operational monitoring.
#[derive(Clone, Debug)]
pub struct OperationsSettings {
    /// How long records are kept.
    pub retention: Duration,
    /// How often records are written.
    pub write_every: Duration,
    /// How often the state of the machine is measured, and old records are deleted.
    pub measure_every: Duration,
    /// So many records wait in memory while the store does not take them; then the oldest go, and are counted.
    pub waiting_records_max: usize,
    /// Records younger than this are not given out (60 s in X-Road).
    pub available_after: Duration,
    /// An answer holds about so many records; more are had with the next query.
    pub answer_records_max: usize,
    /// The period of the health statistics.
    pub health_period: Duration,
    /// The client that may see the records of all: the central monitoring of the federation.
    pub monitoring_client: Option<ClientId>,
}

impl Default for OperationsSettings {
    fn default() -> Self {
        Self {
            retention: Duration::from_hours(7 * 24),
            write_every: Duration::from_secs(1),
            measure_every: Duration::from_mins(1),
            waiting_records_max: 20_000,
            available_after: Duration::from_mins(1),
            answer_records_max: 10_000,
            health_period: Duration::from_mins(10),
            monitoring_client: None,
        }
    }
}

/// The operational monitoring of one node.
pub(crate) struct Operations {
    settings: OperationsSettings,
    started: Timestamp,
    internal_ip: String,
    waiting: Mutex<VecDeque<OperationalData>>,
    health: Mutex<Health>,
    sampler: Mutex<Sampler>,
    writing: tokio::sync::Mutex<()>,
}

impl Operations {
    /// `address` is where the node listens for other nodes.
    pub(crate) fn new(settings: OperationsSettings, started: Timestamp, address: IpAddr) -> Self {
        Self {
            health: Mutex::new(Health::new(settings.health_period)),
            settings,
            started,
            internal_ip: internal_ip(address).to_string(),
            waiting: Mutex::default(),
            sampler: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) const fn settings(&self) -> &OperationsSettings {
        &self.settings
    }

    /// Takes the record of an exchange. Cheap: two short locks, no I/O. Answers how many records had to go for it.
    pub(crate) fn record(&self, data: OperationalData) -> u64 {
        lock(&self.health).record(&data);
        let mut waiting = lock(&self.waiting);
        waiting.push_back(data);
        make_room(&mut waiting, self.settings.waiting_records_max)
    }

    /// How many records wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// The health of the services of this node.
    pub(crate) fn health(&self, now: Timestamp) -> Vec<ServiceHealth> {
        lock(&self.health).services(now)
    }

    /// Measures the machine.
    pub(crate) fn measure(&self, now: Timestamp) {
        lock(&self.sampler).measure(now);
    }

    fn take_waiting(&self, records_max: usize) -> Vec<OperationalData> {
        let mut waiting = lock(&self.waiting);
        let some = waiting.len().min(records_max);
        waiting.drain(..some).collect()
    }

    /// Puts records back that could not be written; the oldest go where there is no room. Answers how many went.
    fn put_back(&self, records: Vec<OperationalData>) -> u64 {
        let mut waiting = lock(&self.waiting);
        for record in records.into_iter().rev() {
            waiting.push_front(record);
        }
        make_room(&mut waiting, self.settings.waiting_records_max)
    }
}

/// Writes what waits now; answers how many records were written. What cannot be written waits on.
pub(crate) async fn write(core: &Core) -> Result<u64, StoreError> {
    let operations = &core.operations;
    // One writer at a time keeps `monitoringDataTs` in order.
    let _writing = operations.writing.lock().await;
    let (mut left, mut written) = (operations.waiting(), 0);
    while left > 0 {
        let records = operations.take_waiting(left.min(BATCH_RECORDS));
        if records.is_empty() {
            break;
        }
        left -= records.len();
        written += write_some(core, records).await?;
    }
    Ok(written)
}

async fn write_some(core: &Core, records: Vec<OperationalData>) -> Result<u64, StoreError> {
    let operations = &core.operations;
    let stored_s = core.clock.now().seconds();
    let rows = records
        .iter()
        .map(|record| store::New {
            stored_s,
            client: record.client.as_ref(),
            provider: record.service.as_ref().map(ServiceId::client),
            json: record.json(&operations.internal_ip, stored_s),
        })
        .collect();
    if let Err(error) = store::write(core.log.store(), rows, &*core.random).await {
        core.metrics.records_dropped(operations.put_back(records));
        return Err(error);
    }
    let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
    core.metrics.records_written(count);
    Ok(count)
}

/// Deletes what is older than the retention; answers how many records went.
pub(crate) async fn delete_old(core: &Core) -> Result<u64, StoreError> {
    let oldest = core.clock.now().minus(core.operations.settings.retention);
    store::delete_before(core.log.store(), oldest.seconds()).await
}

/// Refreshes the gauges that nobody else sets.
pub(crate) fn refresh_gauges(core: &Core) {
    let now = core.clock.now();
    for certificate in core.certificates() {
        let seconds = certificate.not_after().seconds().saturating_sub(now.seconds());
        core.metrics.certificate_valid(certificate.is_auth_certificate(), seconds);
    }
    core.metrics.records_waiting(core.operations.waiting());
}

fn make_room(waiting: &mut VecDeque<OperationalData>, max: usize) -> u64 {
    let surplus = waiting.len().saturating_sub(max);
    waiting.drain(..surplus);
    u64::try_from(surplus).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address by which the node stands in its own network. A node that listens on all addresses asks the system which one leads
/// outwards: connecting a datagram socket sends nothing.
fn internal_ip(listening: IpAddr) -> IpAddr {
    if !listening.is_unspecified() {
        return listening;
    }
    let outwards = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // An address of documentation (RFC 5737): any address beyond the own network does.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    outwards().unwrap_or(listening)
}
