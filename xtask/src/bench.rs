//! Measurements against a peer in the same run. Figures are printed, never asserted.

mod ledger;

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::packages::{self, find};
use crate::{cargo, check, output, step, target};

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Exchanges through two nodes against nginx → mutual TLS 1.3 → nginx.
    Bridge {
        /// Seconds of each measured run.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        /// Numbers of concurrent callers.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
        callers: Vec<u32>,
    },
    /// Durable entries of the ledger on both engines, with and without witnesses; proofs; the start of a long log.
    Ledger {
        /// Seconds of each measured run.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        /// Numbers of concurrent callers.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
        callers: Vec<u32>,
        /// How long the log is that is started anew.
        #[arg(long, default_value_t = 100_000_000)]
        entries: u64,
    },
}

/// Runs a bench.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Bridge { seconds, callers } => bridge(*seconds, callers),
        Bench::Ledger { seconds, callers, entries } => ledger::run(*seconds, callers, *entries),
    }
}

fn bridge(seconds: u32, callers: &[u32]) -> anyhow::Result<()> {
    packages::ensure(packages::FOR_BENCHES)?;
    step("building the release binary");
    check(&mut cargo(&["build", "--release", "--package", "baobab"]))?;
    let folder =
        PathBuf::from(output(Command::new("mktemp").args(["--directory", "/tmp/baobab-bench-XXXXXX"]))?.trim());
    let nation = Nation::start(&folder)?;
    let url = format!("{}/r1/BB/GOV/1001/etat-civil/communes/{}", nation.consumer_url, nation.commune);
    let headers = ["X-Road-Client: BB/COM/2001/credit".to_owned()];
    let nginx = Nginx::start(&folder, &output(Command::new("curl").args(["-sf", "-H", &headers[0], &url]))?)?;

    step(&format!("{} ({seconds} s a run, one warm-up each)", machine()?));
    load(&url, &headers, 16, 3)?;
    load(&nginx.url, &[], 16, 3)?;
    let mut table = String::from(
        "| callers | what | exchanges/s | p50 | p99 | errors | commits per exchange | ratio to nginx |\n|---|---|---|---|---|---|---|---|\n",
    );
    for &count in callers {
        // The peer before and after ours, so that a drift of the machine shows.
        let before = load(&nginx.url, &[], count, seconds)?;
        let commits = nation.commits()?;
        let ours = load(&url, &headers, count, seconds)?;
        let commits = nation.commits()? - commits;
        let after = load(&nginx.url, &[], count, seconds)?;
        let peer = f64::midpoint(before.per_second, after.per_second);
        let per_exchange = commits / (ours.per_second * f64::from(seconds)).max(1.0);
        row(
            &mut table,
            count,
            "two nodes: signed, verified, logged",
            &ours,
            &format!("{per_exchange:.2}"),
            ours.per_second / peer,
        )?;
        row(&mut table, count, "nginx → mTLS 1.3 → nginx (before)", &before, "0", 1.0)?;
        row(&mut table, count, "nginx → mTLS 1.3 → nginx (after)", &after, "0", 1.0)?;
    }
    println!("{table}");
    println!(
        "memory of the whole nation (four nodes, authority, ledger, portal …): {} MiB resident",
        nation.resident_mib()?
    );
    println!("fsyncs in 3 s at 64 callers (a run of its own under strace): {}", nation.syncs(&url, &headers)?);
    drop(nation);
    drop(nginx);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn row(
    table: &mut String,
    callers: u32,
    what: &str,
    figures: &Figures,
    commits: &str,
    ratio: f64,
) -> anyhow::Result<()> {
    let Figures { per_second, p50, p99, errors } = figures;
    writeln!(
        table,
        "| {callers} | {what} | {per_second:.0} | {p50} | {p99} | {errors} | {commits} | {:.1} % |",
        ratio * 100.0
    )?;
    Ok(())
}

/// The demo nation in a process of its own.
struct Nation {
    process: Child,
    consumer_url: String,
    admin_urls: Vec<String>,
    commune: String,
}

impl Nation {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("nation");
        let log = fs::File::create(folder.join("nation.log"))?;
        let base = free_port_range()?;
        let process = Command::new(target().join("release/baobab"))
            .args(["demo", "--population", "1000", "--port-base", &base.to_string(), "--data"])
            .arg(&data)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let description = data.join("demo.json");
        let deadline = Instant::now() + Duration::from_mins(1);
        while !description.exists() {
            if Instant::now() > deadline {
                bail!("the demo nation did not start within 60 s; see {}", folder.join("nation.log").display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_secs(1));
        let text = fs::read_to_string(&description)?;
        let members = values(&text, "consumer_url");
        let consumer_url = members.last().context("demo.json names no consumer_url")?.clone();
        let mut nation = Self { process, consumer_url, admin_urls: values(&text, "admin_url"), commune: String::new() };
        let list = output(
            Command::new("curl")
                .args(["-sf", "-H", "X-Road-Client: BB/COM/2001/credit"])
                .arg(format!("{}/r1/BB/GOV/1001/etat-civil/communes", nation.consumer_url)),
        )?;
        nation.commune.clone_from(values(&list, "code").first().context("the service lists no commune")?);
        Ok(nation)
    }

    /// Commits of every node of the nation so far.
    fn commits(&self) -> anyhow::Result<f64> {
        let mut total = 0.0;
        for admin in &self.admin_urls {
            let metrics = output(Command::new("curl").args(["-sf", &format!("{admin}/metrics")]))?;
            for line in metrics.lines().filter(|line| line.starts_with("baobab_store_commits")) {
                total += line.rsplit(' ').next().unwrap_or_default().parse::<f64>().unwrap_or(0.0);
            }
        }
        Ok(total)
    }

    fn resident_mib(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).unwrap_or_default().parse::<u64>()? / 1024)
    }

    fn syncs(&self, url: &str, headers: &[String]) -> anyhow::Result<String> {
        let strace = find("strace").context("strace is missing")?;
        let pid = self.process.id().to_string();
        let trace = Command::new(strace)
            .args(["-f", "-c", "-e", "trace=fsync,fdatasync", "-p", &pid])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(500));
        let figures = load(url, headers, 64, 3)?;
        check(Command::new("kill").args(["-INT", &trace.id().to_string()]))?;
        let report = String::from_utf8_lossy(&trace.wait_with_output()?.stderr).into_owned();
        let calls: f64 = report
            .lines()
            .filter(|line| line.ends_with("sync"))
            .filter_map(|line| line.split_whitespace().nth(3)?.parse::<f64>().ok())
            .sum();
        let exchanges = figures.per_second * 3.0;
        Ok(format!("{calls:.0} for {exchanges:.0} exchanges = {:.2} per exchange", calls / exchanges.max(1.0)))
    }
}

impl Drop for Nation {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status());
        drop(self.process.wait());
    }
}

/// nginx in front of nginx, mutual TLS 1.3 between them, the same JSON at the end.
struct Nginx {
    process: Child,
    url: String,
}

impl Nginx {
    fn start(folder: &Path, body: &str) -> anyhow::Result<Self> {
        let program = find("nginx").context("nginx is missing")?;
        let front = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let back = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let place = folder.display();
        fs::create_dir_all(folder.join("www"))?;
        fs::write(folder.join("www/commune.json"), body)?;
        for name in ["front", "back"] {
            check(
                Command::new("openssl")
                    .args([
                        "req",
                        "-x509",
                        "-newkey",
                        "ec",
                        "-pkeyopt",
                        "ec_paramgen_curve:prime256v1",
                        "-nodes",
                        "-days",
                        "2",
                    ])
                    .args(["-subj", &format!("/CN={name}")])
                    .args(["-keyout", &format!("{place}/{name}.key"), "-out", &format!("{place}/{name}.pem")])
                    .stderr(Stdio::null()),
            )?;
        }
        let configuration = format!(
            "daemon off; worker_processes 2; pid {place}/nginx.pid; error_log {place}/nginx.log warn; user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000;
  client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  upstream back {{ server 127.0.0.1:{back}; keepalive 128; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{front};
    location / {{ proxy_pass https://back; proxy_http_version 1.1; proxy_set_header Connection \"\";
      proxy_ssl_protocols TLSv1.3; proxy_ssl_certificate {place}/front.pem; proxy_ssl_certificate_key {place}/front.key;
      proxy_ssl_verify on; proxy_ssl_name back; proxy_ssl_trusted_certificate {place}/back.pem; }} }}
  server {{ listen 127.0.0.1:{back} ssl; ssl_protocols TLSv1.3; ssl_certificate {place}/back.pem; ssl_certificate_key {place}/back.key;
    ssl_verify_client on; ssl_client_certificate {place}/front.pem; root {place}/www; }}
}}
"
        );
        let path = folder.join("nginx.conf");
        fs::write(&path, configuration)?;
        // The workers must reach the folder, which mktemp made for its owner only.
        check(Command::new("chmod").args(["755", &place.to_string()]))?;
        let process = Command::new(program).arg("-c").arg(&path).arg("-e").arg(folder.join("nginx.log")).spawn()?;
        let url = format!("http://127.0.0.1:{front}/commune.json");
        for _ in 0..100 {
            if Command::new("curl").args(["-sf", "-o", "/dev/null", &url]).status()?.success() {
                return Ok(Self { process, url });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("nginx did not answer; see {place}/nginx.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status());
        drop(self.process.wait());
    }
}

struct Figures {
    per_second: f64,
    p50: String,
    p99: String,
    errors: u64,
}

/// One run of `wrk`, an unmodified load generator: each connection is a caller that waits for its answer.
fn load(url: &str, headers: &[String], callers: u32, seconds: u32) -> anyhow::Result<Figures> {
    let mut command = Command::new(find("wrk").context("wrk is missing")?);
    command.args(["--latency", "-t1", &format!("-c{callers}"), &format!("-d{seconds}s"), "--timeout", "10s"]);
    for header in headers {
        command.args(["-H", header]);
    }
    let report = output(command.arg(url))?;
    let word = |line_start: &str| {
        report
            .lines()
            .find_map(|line| line.trim().strip_prefix(line_start))
            .map(|rest| rest.split_whitespace().next().unwrap_or_default().to_owned())
    };
    let socket_errors = report
        .lines()
        .find(|line| line.contains("Socket errors"))
        .map_or(0, |line| line.split([' ', ',']).filter_map(|part| part.parse::<u64>().ok()).sum());
    let refused: u64 = word("Non-2xx or 3xx responses:").and_then(|count| count.parse().ok()).unwrap_or(0);
    Ok(Figures {
        per_second: word("Requests/sec:").context("wrk printed no rate")?.parse()?,
        p50: word("50%").unwrap_or_default(),
        p99: word("99%").unwrap_or_default(),
        errors: socket_errors + refused,
    })
}

fn machine() -> anyhow::Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let date = output(Command::new("date").args(["-u", "+%F"]))?;
    Ok(format!(
        "{}, {cores} processors, load generator included, {}",
        model.trim_start_matches([' ', '\t', ':']),
        date.trim()
    ))
}

/// The string values of a key in a JSON text that we wrote ourselves.
fn values(json: &str, key: &str) -> Vec<String> {
    let marker = format!("\"{key}\"");
    json.split(&marker)
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// A port with room for the whole nation above it.
fn free_port_range() -> anyhow::Result<u16> {
    for base in (20_000..50_000_u16).step_by(200) {
        if (base..base + 130).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(base);
        }
    }
    bail!("no free range of ports")
}
