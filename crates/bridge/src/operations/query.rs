//! The query for operational data: who may see which records, and the answer as JSON under gzip.

use std::collections::BTreeSet;
use std::io::Write as _;

use civic::ClientId;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value as Json};

use super::record::{FIELDS, INTERNAL_IP, MONITORING_DATA_TS};
use super::services::Caller;
use super::store::{self, Found, Kept, Wanted};
use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};

/// Which records are asked for (PR-OPMON §2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchCriteria {
    /// From this second on (Unix time).
    pub records_from: i64,
    /// Up to this second, inclusive.
    pub records_to: i64,
    /// Only records of services of this client.
    pub client: Option<ClientId>,
    /// The fields that are wanted; none for all.
    pub fields: BTreeSet<String>,
}

/// Operational data as they are given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationalAnswer {
    /// How many records there are in the answer.
    pub records_count: usize,
    /// `{"records": […]}` under gzip.
    pub json_gzip: Vec<u8>,
    /// The second from which the next query goes on; `None` where everything was given.
    pub next_records_from: Option<i64>,
}

/// Answers a query. The owner of the node and the central monitoring client see all records, others those in which they take part.
pub(super) async fn answer(core: &Core, caller: &Caller, criteria: SearchCriteria) -> Result<OperationalAnswer, Fault> {
    let settings = core.operations.settings();
    let available_before = core.clock.now().minus(settings.available_after).seconds();
    check(&criteria, available_before)?;
    let sees_all = caller.sees_all(core);
    let mut next = None;
    let mut to_s = criteria.records_to;
    if to_s >= available_before {
        to_s = available_before - 1;
        next = Some(available_before);
    }
    let wanted = Wanted {
        from_s: criteria.records_from,
        to_s,
        party: (!sees_all).then(|| caller.client.clone()),
        provider: criteria.client.clone(),
        records_max: settings.answer_records_max,
    };
    let Found { records, next_from_s } = store::find(core.log.store(), wanted).await.map_err(internal)?;
    let records_count = records.len();
    let json_gzip = compress(records, &criteria.fields, sees_all)?;
    Ok(OperationalAnswer { records_count, json_gzip, next_records_from: next_from_s.or(next) })
}

fn check(criteria: &SearchCriteria, available_before: i64) -> Result<(), Fault> {
    let SearchCriteria { records_from, records_to, .. } = criteria;
    let refused = |message: String| Err(Fault::new(Side::Client, Reason::InvalidRequest, message));
    if *records_from < 0 || *records_to < 0 {
        return refused("recordsFrom and recordsTo are seconds of Unix time. Send no negative number".to_owned());
    }
    if records_to < records_from {
        return refused(format!("recordsTo ({records_to}) lies before recordsFrom ({records_from}). Turn them round"));
    }
    if *records_from >= available_before {
        return refused(format!("the records from {records_from} on cannot be had yet. Ask a minute later"));
    }
    match criteria.fields.iter().find(|field| !FIELDS.contains(&field.as_str())) {
        Some(unknown) => {
            let shown: String = unknown.chars().take(64).collect();
            refused(format!("there is no field `{shown}`. Ask for fields of PR-OPMON, or for none to get all"))
        }
        None => Ok(()),
    }
}

fn compress(records: Vec<Kept>, fields: &BTreeSet<String>, sees_all: bool) -> Result<Vec<u8>, Fault> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(64 * 1024), Compression::fast());
    let mut first = true;
    encoder.write_all(b"{\"records\":[").map_err(internal)?;
    for record in records {
        if !first {
            encoder.write_all(b",").map_err(internal)?;
        }
        first = false;
        let mut map: Map<String, Json> = serde_json::from_str(&record.json).map_err(internal)?;
        map.insert(MONITORING_DATA_TS.to_owned(), record.stored_s.into());
        map.retain(|name, _| (fields.is_empty() || fields.contains(name)) && (sees_all || name != INTERNAL_IP));
        serde_json::to_writer(&mut encoder, &map).map_err(internal)?;
    }
    encoder.write_all(b"]}").map_err(internal)?;
    encoder.finish().map_err(internal)
}

fn internal<E: std::fmt::Display>(error: E) -> Fault {
    fault(Side::ServerProxy, Reason::InternalError, "The operational data of the node are to be looked at")(error)
}
