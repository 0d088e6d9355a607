//! The state of the machine: what getSecurityServerMetrics tells (facts §1.8; names of X-Road's SystemMetricNames).
//!
//! On Linux it is read from /proc; elsewhere what cannot be had is left out. Two things of X-Road are left out on purpose: the list of all
//! processes with their command lines, which may hold secrets of other programs, and the packages of the machine, which tell an
//! attacker what to try; the own process and the version of this program are there.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use civic::Timestamp;
use trust::cert::Certificate;

/// So many measurements are kept for minimum, maximum and median: an hour of one each minute.
const SAMPLES_MAX: usize = 60;

/// A tree of measurements, as `metricSet` of X-Road's monitoring.xsd.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// The name of the set.
    pub name: String,
    /// What it holds.
    pub metrics: Vec<Metric>,
}

/// A named measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: MetricValue,
}

/// The value of a measurement.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Figures of the measurements of the last hour.
    Histogram {
        /// When the last was made.
        updated: Timestamp,
        /// The measurements, sorted.
        sorted: Vec<i64>,
    },
    /// Measurements that belong together.
    Set(Vec<Metric>),
}

/// Measurements of the last hour.
#[derive(Default)]
pub(super) struct Sampler {
    samples: VecDeque<Sample>,
    processor: Option<(u64, u64)>,
}

#[derive(Clone, Copy)]
struct Sample {
    at: Timestamp,
    /// Names and values; `None` where the system does not tell.
    values: [Option<i64>; 5],
}

const SAMPLED: [&str; 5] =
    ["SystemCpuLoad", "FreePhysicalMemory", "FreeSwapSpace", "OpenFileDescriptorCount", "CommittedVirtualMemory"];

impl Sampler {
    pub(super) fn measure(&mut self, now: Timestamp) {
        let memory = read("/proc/meminfo");
        let status = read("/proc/self/status");
        let values = [
            self.processor_percent(),
            kibibytes(&memory, "MemAvailable:"),
            kibibytes(&memory, "SwapFree:"),
            fs::read_dir("/proc/self/fd").ok().and_then(|files| i64::try_from(files.count()).ok()),
            kibibytes(&status, "VmSize:"),
        ];
        self.samples.push_back(Sample { at: now, values });
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// Measures where nothing was measured yet.
    pub(super) fn measure_once(&mut self, now: Timestamp) {
        if self.samples.is_empty() {
            self.measure(now);
        }
    }

    /// How busy the processors were since the last measurement; the first time, since the machine started.
    fn processor_percent(&mut self) -> Option<i64> {
        let text = read("/proc/stat");
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let total: u64 = ticks.iter().sum();
        let idle = ticks.get(3)?.saturating_add(ticks.get(4).copied().unwrap_or(0));
        let (before_total, before_idle) = self.processor.replace((total, idle)).unwrap_or_default();
        let passed = total.checked_sub(before_total).filter(|passed| *passed > 0)?;
        let busy = passed.saturating_sub(idle.saturating_sub(before_idle));
        i64::try_from(busy.saturating_mul(100) / passed).ok()
    }

    fn histograms(&self) -> Vec<Metric> {
        let Some(last) = self.samples.back() else { return Vec::new() };
        let histogram = |(position, name): (usize, &&str)| {
            let mut sorted: Vec<i64> = self.samples.iter().filter_map(|sample| *sample.values.get(position)?).collect();
            sorted.sort_unstable();
            (!sorted.is_empty()).then(|| metric(name, MetricValue::Histogram { updated: last.at, sorted }))
        };
        SAMPLED.iter().enumerate().filter_map(histogram).collect()
    }
}

/// Everything that is measured, but only what was asked for by name; all where nothing was.
pub(super) fn describe(
    sampler: &Sampler,
    certificates: &[Certificate],
    folder: &Path,
    wanted: &[String],
) -> Vec<Metric> {
    let memory = read("/proc/meminfo");
    let mut metrics = vec![metric("OperatingSystem", MetricValue::Text(operating_system()))];
    let numbers = [
        ("TotalPhysicalMemory".to_owned(), kibibytes(&memory, "MemTotal:")),
        ("TotalSwapSpace".to_owned(), kibibytes(&memory, "SwapTotal:")),
        ("MaxFileDescriptorCount".to_owned(), files_max()),
    ];
    let numbers = numbers.into_iter().chain(disk(folder));
    metrics.extend(numbers.filter_map(|(name, value)| Some(metric(&name, MetricValue::Number(value?)))));
    metrics.push(metric("Certificates", MetricValue::Set(certificates.iter().map(certificate).collect())));
    metrics.extend(sampler.histograms());
    metrics.push(metric("Xroad Processes", MetricValue::Set(own_process())));
    let version = MetricValue::Text(env!("CARGO_PKG_VERSION").to_owned());
    metrics.push(metric("Packages", MetricValue::Set(vec![metric("baobab", version)])));
    metrics.retain(|metric| wanted.is_empty() || wanted.contains(&metric.name));
    metrics
}

fn certificate(certificate: &Certificate) -> Metric {
    let hash: Vec<String> = certificate.sha1().iter().map(|byte| format!("{byte:02X}")).collect();
    let hash = hash.join(":");
    let text = |name: &str, value: String| metric(name, MetricValue::Text(value));
    let parts = vec![
        text("sha1Hash", hash.clone()),
        text("notBefore", certificate.not_before().rfc3339()),
        text("notAfter", certificate.not_after().rfc3339()),
        text("certificateType", "AUTH_OR_SIGN".to_owned()),
        text("active", "true".to_owned()),
    ];
    metric(&format!("certificate-{hash}"), MetricValue::Set(parts))
}

fn own_process() -> Vec<Metric> {
    let status = read("/proc/self/status");
    let id = std::process::id();
    let mut parts = vec![metric("processId", MetricValue::Number(i64::from(id)))];
    parts.push(metric("command", MetricValue::Text(field(&status, "Name:").unwrap_or("baobab").to_owned())));
    if let Some(bytes) = kibibytes(&status, "VmRSS:") {
        parts.push(metric("memUsed", MetricValue::Number(bytes)));
    }
    vec![metric(&id.to_string(), MetricValue::Set(parts))]
}

fn operating_system() -> String {
    let release = read("/etc/os-release");
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = read("/proc/sys/kernel/osrelease");
    let words =
        [std::env::consts::OS, kernel.trim(), std::env::consts::ARCH, pretty.unwrap_or_default().trim_matches('"')];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Size and free space of the file system that holds the state of the node, bytes.
fn disk(folder: &Path) -> Vec<(String, Option<i64>)> {
    let Ok(state) = rustix::fs::statvfs(folder) else { return Vec::new() };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(state.f_frsize)).ok();
    let shown = folder.display();
    vec![
        (format!("DiskSpaceTotal_{shown}"), bytes(state.f_blocks)),
        (format!("DiskSpaceFree_{shown}"), bytes(state.f_bavail)),
    ]
}

fn files_max() -> Option<i64> {
    let limits = read("/proc/self/limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn kibibytes(text: &str, name: &str) -> Option<i64> {
    let value: i64 = field(text, name)?.split_whitespace().next()?.parse().ok()?;
    value.checked_mul(1_024)
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// A file of the system; empty where there is none.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn metric(name: &str, value: MetricValue) -> Metric {
    Metric { name: name.to_owned(), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_by_name_is_given_and_nothing_else() {
        let mut sampler = Sampler::default();
        for second in 0..100 {
            sampler.measure(Timestamp::from_seconds(second));
        }
        assert_eq!(sampler.samples.len(), SAMPLES_MAX);
        let all = describe(&sampler, &[], Path::new("/"), &[]);
        assert!(all.iter().any(|metric| metric.name == "OperatingSystem"));
        let wanted = ["OperatingSystem".to_owned()];
        assert_eq!(describe(&sampler, &[], Path::new("/"), &wanted).len(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_disk_and_files_are_measured() {
        let mut sampler = Sampler::default();
        sampler.measure(Timestamp::from_seconds(7));
        let all = describe(&sampler, &[], Path::new("/"), &[]);
        for name in ["TotalPhysicalMemory", "DiskSpaceTotal_/", "DiskSpaceFree_/", "MaxFileDescriptorCount"] {
            let found = all.iter().find(|metric| metric.name == name).map(|metric| &metric.value);
            assert!(matches!(found, Some(MetricValue::Number(1..))), "{name}: {found:?}");
        }
        for name in ["FreePhysicalMemory", "OpenFileDescriptorCount", "SystemCpuLoad"] {
            let found = all.iter().find(|metric| metric.name == name).map(|metric| &metric.value);
            assert!(matches!(found, Some(MetricValue::Histogram { sorted, .. }) if sorted.len() == 1), "{name}");
        }
    }
}
