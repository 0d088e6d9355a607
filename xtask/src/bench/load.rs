//! Load generators: `wrk`, whose callers wait for their answer, and one of our own that keeps to a fixed rate, which wrk cannot and
//! Debian packages nothing for.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::output;
use crate::packages::find;

/// An address to call, with the headers of each call.
#[derive(Clone, Default)]
pub(super) struct Target {
    /// `http://IP:PORT/PATH`.
    pub(super) url: String,
    /// `Name: value`.
    pub(super) headers: Vec<String>,
}

impl Target {
    /// What to type for a load of so many callers.
    pub(super) fn as_wrk(&self, callers: u32, seconds: u32) -> String {
        let headers: Vec<String> = self.headers.iter().map(|header| format!("-H '{header}'")).collect();
        format!("wrk --latency -t1 -c{callers} -d{seconds}s {} {}", headers.join(" "), self.url)
    }

    /// The answer to one call, which must succeed.
    pub(super) fn body(&self) -> anyhow::Result<String> {
        let mut command = Command::new("curl");
        command.args(["-sf", "--max-time", "30"]);
        command.args(self.header_options());
        output(command.arg(&self.url))
    }

    /// The headers as options of curl and wrk.
    fn header_options(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().flat_map(|header| ["-H", header])
    }

    /// Whether one call is answered well, without waiting for long.
    pub(super) fn answers(&self) -> bool {
        Connection::open(self).and_then(|mut connection| connection.call()).is_ok()
    }
}

/// What a run of wrk found.
#[derive(Clone, Copy)]
pub(super) struct Figures {
    /// Answers a second.
    pub(super) per_second: f64,
    /// All answers of the run.
    pub(super) answers: f64,
    /// Milliseconds.
    pub(super) p50_ms: f64,
    /// Milliseconds.
    pub(super) p99_ms: f64,
    /// Broken connections, time-outs, and answers other than success.
    pub(super) errors: u64,
}

/// One run of `wrk`, an unmodified load generator: each connection is a caller that waits for its answer.
pub(super) fn run_wrk(target: &Target, callers: u32, seconds: u32) -> anyhow::Result<Figures> {
    let mut command = Command::new(find("wrk").context("wrk is missing")?);
    command.args(["--latency", "-t1", &format!("-c{callers}"), &format!("-d{seconds}s"), "--timeout", "10s"]);
    command.args(target.header_options());
    let report = output(command.arg(&target.url))?;
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
    let answers = report
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .context("wrk printed no number of requests")?;
    Ok(Figures {
        per_second: word("Requests/sec:").context("wrk printed no rate")?.parse()?,
        answers: answers.0.parse()?,
        p50_ms: milliseconds(&word("50%").unwrap_or_default())?,
        p99_ms: milliseconds(&word("99%").unwrap_or_default())?,
        errors: socket_errors + refused,
    })
}

/// `12.3ms`, `812.00us` or `1.2s`, as wrk writes times.
fn milliseconds(text: &str) -> anyhow::Result<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("us") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1.0)
    } else {
        (text.strip_suffix('s').context("wrk printed a time without a unit")?, 1000.0)
    };
    Ok(number.parse::<f64>()? * factor)
}

/// What a run at a fixed rate found.
#[derive(Clone, Copy)]
pub(super) struct Paced {
    /// Milliseconds.
    pub(super) p50_ms: f64,
    /// Milliseconds.
    pub(super) p99_ms: f64,
    /// Broken connections and answers other than success.
    pub(super) errors: u32,
}

/// Calls at a fixed rate on so many connections. A call's latency counts from the moment when it was due, so that a slow answer which
/// delays the next call is not forgotten (coordinated omission).
pub(super) fn run_paced(target: &Target, per_second: f64, connections: u32, seconds: u32) -> anyhow::Result<Paced> {
    let next = AtomicU32::new(0);
    let errors = AtomicU32::new(0);
    let latencies = Mutex::new(Vec::new());
    let start = Instant::now() + Duration::from_millis(100);
    let end = start + Duration::from_secs(u64::from(seconds));
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut mine = Vec::new();
                let mut connection = None;
                loop {
                    let due =
                        start + Duration::from_secs_f64(f64::from(next.fetch_add(1, Ordering::Relaxed)) / per_second);
                    // A system that does not keep up is not waited for longer than the run took.
                    if due >= end || Instant::now() > end + Duration::from_secs(u64::from(seconds)) {
                        break;
                    }
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    match call_on(&mut connection, target) {
                        Ok(()) => mine.push(due.elapsed().as_secs_f64() * 1000.0),
                        Err(_) => drop(errors.fetch_add(1, Ordering::Relaxed)),
                    }
                }
                if let Ok(mut all) = latencies.lock() {
                    all.append(&mut mine);
                }
            });
        }
    });
    let mut latencies = latencies.into_inner().unwrap_or_default();
    latencies.sort_by(f64::total_cmp);
    let quantile = |percent: usize| latencies.get(latencies.len() * percent / 100).copied();
    let (Some(p50_ms), Some(p99_ms)) = (quantile(50), quantile(99)) else { bail!("no call at a fixed rate succeeded") };
    Ok(Paced { p50_ms, p99_ms, errors: errors.into_inner() })
}

fn call_on(kept: &mut Option<Connection>, target: &Target) -> io::Result<()> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(target)?,
    };
    connection.call()?;
    *kept = Some(connection);
    Ok(())
}

/// A kept HTTP/1.1 connection that asks the same again and again.
struct Connection {
    stream: BufReader<TcpStream>,
    request: String,
}

impl Connection {
    fn open(target: &Target) -> io::Result<Self> {
        let rest = target.url.strip_prefix("http://").unwrap_or(&target.url);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let headers = [&[format!("GET /{path} HTTP/1.1"), format!("Host: {host}")], &target.headers[..]].concat();
        let request = format!("{}\r\n\r\n", headers.join("\r\n"));
        Ok(Self { stream: BufReader::new(stream), request })
    }

    /// One call; an error where the answer is not a success, after which the connection is of no more use.
    fn call(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(self.request.as_bytes())?;
        let status = self.line()?;
        if status.split(' ').nth(1) != Some("200") {
            return Err(io::Error::other(status));
        }
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            chunked |= line.starts_with("transfer-encoding:") && line.ends_with("chunked");
        }
        while chunked {
            let size = self.line()?;
            let size = u64::from_str_radix(size.split(';').next().unwrap_or_default(), 16).map_err(io::Error::other)?;
            // The line end after a chunk, too.
            self.skip(size + 2)?;
            chunked = size > 0;
        }
        self.skip(length)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        // Bounded: no line of an answer of ours is this long.
        (&mut self.stream).take(65_536).read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.stream).take(length), &mut io::sink())?;
        if skipped == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Fetches a big body once; megabytes (10⁶) a second.
pub(super) fn megabytes_per_second(target: &Target) -> anyhow::Result<f64> {
    let mut command = Command::new("curl");
    command.args(["-sf", "--max-time", "120", "-o", "/dev/null", "-w", "%{speed_download}"]);
    command.args(target.header_options());
    let speed = output(command.arg(&target.url)).context("a big body did not arrive")?;
    Ok(speed.trim().parse::<f64>()? / 1e6)
}
