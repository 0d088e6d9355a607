//! The three monitoring services of a node, as SOAP bodies: read what is asked for, write what is answered. Namespaces and elements of
//! X-Road's op-monitoring.xsd and monitoring.xsd. The envelope around them is the SOAP side's.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use civic::{ClientId, MemberId, ServerId, ServiceId};
use trust::xml::{Element, escape_text};

use super::environment::{self, Metric, MetricValue};
use super::health::{ServiceHealth, Statistics};
use super::lock;
use super::query::{self, SearchCriteria};
use super::record::kind_word;
use crate::core::Core;
use crate::fault::{Fault, Reason, Side};

/// getSecurityServerOperationalData.
const OPERATIONAL_DATA: &str = "getSecurityServerOperationalData";
/// getSecurityServerHealthData.
const HEALTH_DATA: &str = "getSecurityServerHealthData";
/// getSecurityServerMetrics.
const METRICS: &str = "getSecurityServerMetrics";

const OPERATIONS_NS: &str = "http://x-road.eu/xsd/op-monitoring.xsd";
const METRICS_NS: &str = "http://x-road.eu/xsd/monitoring";
const IDENTIFIERS_NS: &str = "http://x-road.eu/xsd/identifiers";
/// The name of the attachment with the records.
const RECORDS: &str = "operational-monitoring-data.json.gz";
/// A query names at most so many fields.
const FIELDS_MAX: usize = 256;

/// Whether a service is one of the three of a node whose owner this is: they belong to the member, not to a subsystem.
pub fn is_monitoring_service(owner: &MemberId, service: &ServiceId) -> bool {
    let provider = service.client();
    provider.subsystem().is_none()
        && provider.member() == owner
        && [OPERATIONAL_DATA, HEALTH_DATA, METRICS].contains(&service.code())
}

/// Who asks. The client is verified by the signature of the message.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The client of the message.
    pub(crate) client: ClientId,
    /// The node that the message names.
    pub(crate) server: Option<ServerId>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MonitoringRequest {
    /// Records.
    OperationalData(SearchCriteria),
    /// The health of the services, of one provider where it is named.
    HealthData(Option<ClientId>),
    /// The state of the machine: the named measurements, or all.
    Metrics(Vec<String>),
}

/// The element in the SOAP body of an answer and the attachment that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitoringAnswer {
    /// The element that stands in the SOAP body.
    pub body: String,
    /// Content-ID, media type and bytes of the attachment.
    pub attachment: Option<(&'static str, &'static str, Vec<u8>)>,
}

impl Caller {
    /// The owner of this node, or the central monitoring of the federation.
    pub(super) fn sees_all(&self, core: &Core) -> bool {
        let own = &core.config.server;
        let is_owner = self.client.subsystem().is_none()
            && self.client.member() == own.owner()
            && self.server.as_ref().is_none_or(|server| server == own);
        is_owner || core.operations.settings().monitoring_client.as_ref() == Some(&self.client)
    }
}

impl MonitoringRequest {
    /// Reads the element in the SOAP body.
    pub(crate) fn read(element: Element<'_, '_>) -> Result<Self, Fault> {
        if element.is(OPERATIONS_NS, OPERATIONAL_DATA) {
            let criteria = element.child(OPERATIONS_NS, "searchCriteria").ok_or_else(|| missing("searchCriteria"))?;
            return Ok(Self::OperationalData(SearchCriteria {
                records_from: number(criteria, "recordsFrom")?,
                records_to: number(criteria, "recordsTo")?,
                client: client(criteria)?,
                fields: fields(element, OPERATIONS_NS)?,
            }));
        }
        if element.is(OPERATIONS_NS, HEALTH_DATA) {
            let filter = element.child(OPERATIONS_NS, "filterCriteria");
            return Ok(Self::HealthData(filter.map_or(Ok(None), client)?));
        }
        if element.is(METRICS_NS, METRICS) || element.local() == METRICS {
            return Ok(Self::Metrics(fields(element, METRICS_NS)?.into_iter().collect()));
        }
        Err(refused(format!("the body must hold {OPERATIONAL_DATA}, {HEALTH_DATA} or {METRICS}")))
    }

    /// Answers it.
    pub(crate) async fn answer(self, core: &Core, caller: &Caller) -> Result<MonitoringAnswer, Fault> {
        match self {
            Self::OperationalData(criteria) => operational_data(core, caller, criteria).await,
            Self::HealthData(provider) => Ok(health_data(core, provider.as_ref())),
            Self::Metrics(wanted) if caller.sees_all(core) => Ok(metrics(core, &wanted)),
            Self::Metrics(_) => {
                let message = format!(
                    "{} may not see the state of this node. Only its owner and the central monitoring client may",
                    caller.client
                );
                Err(Fault::new(Side::ServerProxy, Reason::AccessDenied, message))
            }
        }
    }
}

async fn operational_data(core: &Core, caller: &Caller, criteria: SearchCriteria) -> Result<MonitoringAnswer, Fault> {
    let answer = query::answer(core, caller, criteria).await?;
    let next = answer.next_records_from;
    let next = next.map(|next| format!("<om:nextRecordsFrom>{next}</om:nextRecordsFrom>")).unwrap_or_default();
    let body = format!(
        "<om:{OPERATIONAL_DATA}Response xmlns:om=\"{OPERATIONS_NS}\"><om:recordsCount>{}</om:recordsCount>\
         <om:records>cid:{RECORDS}</om:records>{next}</om:{OPERATIONAL_DATA}Response>",
        answer.records_count
    );
    Ok(MonitoringAnswer { body, attachment: Some((RECORDS, "application/gzip", answer.json_gzip)) })
}

fn health_data(core: &Core, provider: Option<&ClientId>) -> MonitoringAnswer {
    let operations = &core.operations;
    let mut body = format!(
        "<om:{HEALTH_DATA}Response xmlns:om=\"{OPERATIONS_NS}\" xmlns:id=\"{IDENTIFIERS_NS}\">\
         <om:monitoringStartupTimestamp>{}</om:monitoringStartupTimestamp>\
         <om:statisticsPeriodSeconds>{}</om:statisticsPeriodSeconds><om:servicesEvents>",
        operations.started.millis(),
        operations.settings.health_period.as_secs()
    );
    for health in operations.health(core.clock.now()) {
        if provider.is_none_or(|provider| provider == health.service.client()) {
            write_health(&mut body, &health);
        }
    }
    let _ = write!(body, "</om:servicesEvents></om:{HEALTH_DATA}Response>");
    MonitoringAnswer { body, attachment: None }
}

fn write_health(out: &mut String, health: &ServiceHealth) {
    out.push_str("<om:serviceEvents>");
    write_service(out, &health.service, health.version.as_deref());
    let moments = [
        ("lastSuccessfulRequestTimestamp", health.last_successful),
        ("lastUnsuccessfulRequestTimestamp", health.last_unsuccessful),
    ];
    for (name, at) in moments {
        if let Some(at) = at {
            let _ = write!(out, "<om:{name}>{}</om:{name}>", at.millis());
        }
    }
    if let Some(kind) = health.service_type.map(kind_word) {
        let _ = write!(out, "<om:serviceType>{kind}</om:serviceType>");
    }
    let period = &health.period;
    let _ = write!(
        out,
        "<om:lastPeriodStatistics><om:successfulRequestCount>{}</om:successfulRequestCount>\
         <om:unsuccessfulRequestCount>{}</om:unsuccessfulRequestCount>",
        period.successful, period.unsuccessful
    );
    write_statistics(out, "request", "Duration", &period.duration_ms);
    write_statistics(out, "request", "Size", &period.request_bytes);
    write_statistics(out, "response", "Size", &period.response_bytes);
    out.push_str("</om:lastPeriodStatistics></om:serviceEvents>");
}

fn write_statistics(out: &mut String, direction: &str, what: &str, figures: &Statistics) {
    let (Some(min), Some(average), Some(max), Some(deviation)) =
        (figures.min(), figures.average(), figures.max(), figures.deviation())
    else {
        return;
    };
    let _ = write!(
        out,
        "<om:{direction}Min{what}>{min}</om:{direction}Min{what}>\
         <om:{direction}Average{what}>{average}</om:{direction}Average{what}>\
         <om:{direction}Max{what}>{max}</om:{direction}Max{what}>\
         <om:{direction}{what}StdDev>{deviation}</om:{direction}{what}StdDev>"
    );
}

fn write_service(out: &mut String, service: &ServiceId, version: Option<&str>) {
    let member = service.client().member();
    out.push_str("<om:service id:objectType=\"SERVICE\">");
    let parts = [
        ("xRoadInstance", Some(member.instance())),
        ("memberClass", Some(member.class())),
        ("memberCode", Some(member.code())),
        ("subsystemCode", service.client().subsystem()),
        ("serviceCode", Some(service.code())),
        ("serviceVersion", version),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            let _ = write!(out, "<id:{name}>{}</id:{name}>", escape_text(value));
        }
    }
    out.push_str("</om:service>");
}

fn metrics(core: &Core, wanted: &[String]) -> MonitoringAnswer {
    let operations = &core.operations;
    let machine = {
        let mut sampler = lock(&operations.sampler);
        sampler.measure_once(core.clock.now());
        environment::describe(&sampler, &core.certificates(), &core.config.state_dir, wanted)
    };
    let mut body = format!("<m:{METRICS}Response xmlns:m=\"{METRICS_NS}\">");
    let version =
        Metric { name: "proxyVersion".to_owned(), value: MetricValue::Text(crate::PROTOCOL_VERSION.to_owned()) };
    let machine = Metric { name: "systemMetrics".to_owned(), value: MetricValue::Set(machine) };
    let root =
        Metric { name: format!("SERVER:{}", core.config.server), value: MetricValue::Set(vec![version, machine]) };
    write_metric(&mut body, &root);
    let _ = write!(body, "</m:{METRICS}Response>");
    MonitoringAnswer { body, attachment: None }
}

fn write_metric(out: &mut String, metric: &Metric) {
    let name = escape_text(&metric.name);
    let _ = match &metric.value {
        MetricValue::Text(text) => write!(
            out,
            "<m:stringMetric><m:name>{name}</m:name><m:value>{}</m:value></m:stringMetric>",
            escape_text(text)
        ),
        MetricValue::Number(number) => {
            write!(out, "<m:numericMetric><m:name>{name}</m:name><m:value>{number}</m:value></m:numericMetric>")
        }
        MetricValue::Histogram { updated, sorted } => write!(
            out,
            "<m:histogramMetric><m:name>{name}</m:name><m:updated>{}</m:updated>{}</m:histogramMetric>",
            updated.rfc3339(),
            histogram(sorted)
        ),
        MetricValue::Set(parts) => {
            let _ = write!(out, "<m:metricSet><m:name>{name}</m:name>");
            for part in parts {
                write_metric(out, part);
            }
            write!(out, "</m:metricSet>")
        }
    };
}

#[expect(clippy::cast_precision_loss, reason = "a mean of measurements needs no more than 53 bits")]
fn histogram(sorted: &[i64]) -> String {
    let mut figures = Statistics::default();
    for value in sorted {
        figures.add(*value);
    }
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default() as f64;
    format!(
        "<m:min>{}</m:min><m:max>{}</m:max><m:mean>{:.3}</m:mean><m:median>{median}</m:median><m:stddev>{:.3}</m:stddev>",
        figures.min().unwrap_or_default(),
        figures.max().unwrap_or_default(),
        figures.average().unwrap_or_default(),
        figures.deviation().unwrap_or_default()
    )
}

fn number(criteria: Element<'_, '_>, name: &str) -> Result<i64, Fault> {
    let element = criteria.child(OPERATIONS_NS, name).ok_or_else(|| missing(name))?;
    element.text().trim().parse().map_err(|_| refused(format!("{name} must be a whole number of seconds")))
}

fn fields(element: Element<'_, '_>, namespace: &str) -> Result<BTreeSet<String>, Fault> {
    let Some(spec) = element.child(namespace, "outputSpec") else { return Ok(BTreeSet::new()) };
    let fields: BTreeSet<String> =
        spec.named("outputField").take(FIELDS_MAX + 1).map(|field| field.text().trim().to_owned()).collect();
    if fields.len() > FIELDS_MAX {
        return Err(refused(format!("outputSpec names more than {FIELDS_MAX} fields. Ask for less")));
    }
    Ok(fields)
}

/// The child `client`, an identifier of a member or subsystem.
fn client(parent: Element<'_, '_>) -> Result<Option<ClientId>, Fault> {
    let Some(element) = parent.child(OPERATIONS_NS, "client") else { return Ok(None) };
    let part = |name: &str| element.child(IDENTIFIERS_NS, name).map(|part| part.text().trim().to_owned());
    let needed = |name: &str| part(name).ok_or_else(|| missing(name));
    let wrong = |error: civic::IdError| refused(format!("client is no identifier: {error}"));
    let member = MemberId::new(&needed("xRoadInstance")?, &needed("memberClass")?, &needed("memberCode")?);
    let member = member.map_err(wrong)?;
    match part("subsystemCode") {
        Some(code) => member.subsystem(&code).map(Some).map_err(wrong),
        None => Ok(Some(ClientId::of_member(member))),
    }
}

fn missing(name: &str) -> Fault {
    refused(format!("the element {name} is missing in the body. Send the request as op-monitoring.xsd says"))
}

fn refused(message: String) -> Fault {
    Fault::new(Side::Client, Reason::InvalidRequest, message)
}
