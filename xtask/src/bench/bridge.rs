//! What two nodes of the bridge do, beside nginx → mutual TLS 1.3 → nginx in the same run.

mod exchanges;

use std::fs;
use std::path::PathBuf;

use clap::ValueEnum;

use super::load::{Paced, Target, megabytes_per_second, run_paced, run_wrk};
use super::machine::{anonymous_mib, cpu_ms, forget_peak, fresh_folder, load_average, machine, peak_mib};
use super::nation::Nation;
use super::pair::{NODES, Pair};
use super::peer::Nginx;
use super::spread::Spread;
use crate::packages;
use crate::{cargo, check, step, target};
use exchanges::Variant;

/// The load under which memory, latency, log modes and flushes are measured.
const CALLERS: u32 = 64;
/// Time to fill pools and caches before a measurement, seconds.
const WARM_UP_S: u32 = 2;

/// Options of `cargo xtask bench bridge`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of each measured run.
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Runs of everything; what is printed is the median, the least and the most.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Numbers of concurrent callers.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    callers: Vec<u32>,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Leave authority and nodes running at the end and print what a profiler needs; without `--only`, measure nothing before.
    #[arg(long)]
    keep: bool,
    /// Use this program, built with `--profile dist`, instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// A line for the top of both nodes' `node.toml`, for instance `limits.idle_connections_max = 64`; may be said several times.
    #[arg(long, value_name = "KEY = VALUE")]
    set: Vec<String>,
}

/// A part of the bench.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Exchanges a second, direct and batch signatures, commits, flushes and processor time of each.
    Exchanges,
    /// What the nodes add to nginx's latency at half of the load that they bear.
    Latency,
    /// Memory of each node under load.
    Memory,
    /// From the start of the processes to the first exchange.
    Start,
    /// A body of 100 MB.
    Body,
    /// What each mode of the message log costs.
    Modes,
    /// The demo nation, everything in one process.
    Nation,
}

/// What the parts share.
struct Bench<'a> {
    arguments: &'a Arguments,
    binary: PathBuf,
    folder: PathBuf,
    nginx: Nginx,
    pair: Pair,
}

/// Runs the parts that are asked for.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    packages::ensure(packages::FOR_BENCHES)?;
    let binary = if let Some(binary) = &arguments.binary {
        fs::canonicalize(binary)?
    } else {
        step("building the program that operators install (--profile dist)");
        check(&mut cargo(&["build", "--profile", "dist", "--package", "baobab"]))?;
        target().join("dist/baobab")
    };
    let folder = fresh_folder()?;
    let nginx = Nginx::start(&folder, None)?;
    step("an authority and two nodes, processes of their own");
    let pair = Pair::found(&binary, &folder, nginx.service("").url.trim_end_matches('/'))?;
    let (runs, seconds) = (arguments.runs, arguments.seconds);
    step(&format!("{} ({runs} runs of {seconds} s; medians, least–most in parentheses)", machine()?));
    let mut bench = Bench { arguments, binary, folder, nginx, pair };
    for part in Part::value_variants() {
        let asked_for = arguments.only.contains(part) || (arguments.only.is_empty() && !arguments.keep);
        if asked_for {
            bench.part(*part)?;
        }
    }
    println!("load average at the end: {}", load_average()?);
    bench.finish()
}

impl Bench<'_> {
    fn part(&mut self, part: Part) -> anyhow::Result<()> {
        match part {
            Part::Exchanges => self.exchanges(),
            Part::Latency => self.latency(),
            Part::Memory => self.memory(),
            Part::Start => self.start(),
            Part::Body => self.body(),
            Part::Modes => self.modes(),
            Part::Nation => self.nation(),
        }
    }

    fn finish(mut self) -> anyhow::Result<()> {
        if !self.arguments.keep {
            let folder = self.folder.clone();
            drop(self);
            return Ok(fs::remove_dir_all(folder)?);
        }
        self.restart(&[])?;
        self.nginx.keep = true;
        println!("{} {}; rm -r {}", self.pair.leave_running()?, self.nginx.pid(), self.folder.display());
        println!("peer:  {}", self.nginx.peer("answer.json").as_wrk(CALLERS, 30));
        Ok(())
    }

    /// Starts the nodes anew with these settings beside those of the command line, and warms everything up.
    fn restart(&mut self, extra: &[&str]) -> anyhow::Result<()> {
        let mut lines = self.arguments.set.clone();
        lines.extend(extra.iter().map(|line| (*line).to_owned()));
        self.pair.restart(&lines)?;
        run_wrk(&self.ours(), 16, WARM_UP_S)?;
        run_wrk(&self.peer(), 16, 1)?;
        Ok(())
    }

    fn ours(&self) -> Target {
        self.pair.exchange("answer.json")
    }

    fn peer(&self) -> Target {
        self.nginx.peer("answer.json")
    }

    fn latency(&mut self) -> anyhow::Result<()> {
        step(
            "added latency at half of the load (a generator with a fixed rate, of our own; counted from when a call was due)",
        );
        self.restart(&[])?;
        let full = run_wrk(&self.ours(), CALLERS, self.arguments.seconds)?;
        let rate = full.per_second / 2.0;
        let (mut ours, mut peer): (Vec<Paced>, Vec<Paced>) = (Vec::new(), Vec::new());
        for _ in 0..self.arguments.runs {
            peer.push(run_paced(&self.peer(), rate, CALLERS, self.arguments.seconds)?);
            ours.push(run_paced(&self.ours(), rate, CALLERS, self.arguments.seconds)?);
        }
        println!("{rate:.0} calls/s on {CALLERS} connections, half of {:.0}/s\n", full.per_second);
        println!("| what | p50 ms | p99 ms | errors |\n|---|---|---|---|");
        for (what, runs) in [("two nodes", &ours), ("nginx → mTLS 1.3 → nginx", &peer)] {
            let p50: Spread = runs.iter().map(|run| run.p50_ms).collect();
            let p99: Spread = runs.iter().map(|run| run.p99_ms).collect();
            println!("| {what} | {p50} | {p99} | {} |", runs.iter().map(|run| run.errors).sum::<u32>());
        }
        let added = |figure: fn(&Paced) -> f64| -> Spread {
            ours.iter().zip(&peer).map(|(ours, peer)| figure(ours) - figure(peer)).collect()
        };
        println!("| added | {} | {} | |\n", added(|run| run.p50_ms), added(|run| run.p99_ms));
        Ok(())
    }

    fn memory(&mut self) -> anyhow::Result<()> {
        step(&format!("memory of a node under {CALLERS} callers"));
        println!(
            "| node | most resident MiB, pages of the program included | anonymous MiB at the end |\n|---|---|---|"
        );
        let mut figures = NODES.map(|(name, _)| (name, Spread::default(), Spread::default()));
        for _ in 0..self.arguments.runs {
            self.restart(&[])?;
            let pids = self.pair.pids();
            pids.iter().try_for_each(|pid| forget_peak(*pid))?;
            run_wrk(&self.ours(), CALLERS, self.arguments.seconds * 2)?;
            for (pid, (_, peak, anonymous)) in pids.iter().zip(&mut figures) {
                peak.add(peak_mib(*pid)?);
                anonymous.add(anonymous_mib(*pid)?);
            }
        }
        for (name, peak, anonymous) in figures {
            println!("| {name} | {peak} | {anonymous} |");
        }
        println!();
        Ok(())
    }

    fn start(&mut self) -> anyhow::Result<()> {
        step("start to first exchange");
        self.restart(&[])?;
        let (mut both, mut consumer) = (Spread::default(), Spread::default());
        for _ in 0..self.arguments.runs.max(5) {
            both.add(self.pair.restart(&self.arguments.set)?.as_secs_f64() * 1000.0);
            consumer.add(self.pair.restart_consumer()?.as_secs_f64() * 1000.0);
        }
        println!(
            "| what starts | ms |\n|---|---|\n| both nodes | {both} |\n| the consumer's node, the provider's runs | {consumer} |\n"
        );
        Ok(())
    }

    fn body(&mut self) -> anyhow::Result<()> {
        step("an answer of 100 MB to one caller");
        self.restart(&[])?;
        let (ours, peer) = (self.pair.exchange("body"), self.nginx.peer("body"));
        let (mut our_rate, mut peer_rate) = (Spread::default(), Spread::default());
        let pids = self.pair.pids();
        pids.iter().try_for_each(|pid| forget_peak(*pid))?;
        let before = self.pair.used()?;
        for _ in 0..self.arguments.runs {
            peer_rate.add(megabytes_per_second(&peer)?);
            our_rate.add(megabytes_per_second(&ours)?);
        }
        println!("| what | MB/s |\n|---|---|\n| two nodes | {our_rate} |\n| nginx → mTLS 1.3 → nginx | {peer_rate} |");
        println!("| ratio | {:.0} % |\n", 100.0 * our_rate.median() / peer_rate.median());
        for (((name, _), pid), (now, then)) in NODES.iter().zip(pids).zip(self.pair.used()?.iter().zip(before)) {
            let cpu = now.since(then).cpu_ms / f64::from(self.arguments.runs);
            println!("{name}: {cpu:.0} ms of processor time a body, most resident {:.0} MiB", peak_mib(pid)?);
        }
        println!();
        Ok(())
    }

    fn modes(&mut self) -> anyhow::Result<()> {
        step(&format!("what each mode of the message log costs, {CALLERS} callers"));
        let variants = [
            Variant::of("full", &["message_log.mode = \"full\""]),
            Variant::of("metadata", &["message_log.mode = \"metadata\""]),
            Variant::of("none", &["message_log.mode = \"none\""]),
        ];
        self.compare(variants, &[CALLERS])
    }

    fn exchanges(&mut self) -> anyhow::Result<()> {
        step("exchanges of 1 kB: signed, verified, durably logged");
        let variants =
            [Variant::of("direct signatures", &[]), Variant::of("batch signatures", &["batch_signatures = true"])];
        self.compare(variants, &self.arguments.callers)
    }

    fn nation(&mut self) -> anyhow::Result<()> {
        step(&format!("the demo nation in one process: `communes/{{code}}` of the register, {CALLERS} callers"));
        let nation = Nation::start(&self.binary, &self.folder)?;
        run_wrk(&nation.target(), 16, WARM_UP_S)?;
        let (mut rate, mut ratio, mut cpu, mut errors) = (Spread::default(), Spread::default(), Spread::default(), 0);
        for _ in 0..self.arguments.runs {
            let peer = run_wrk(&self.peer(), CALLERS, self.arguments.seconds)?;
            let before = cpu_ms(nation.pid())?;
            let ours = run_wrk(&nation.target(), CALLERS, self.arguments.seconds)?;
            cpu.add((cpu_ms(nation.pid())? - before) / ours.answers.max(1.0));
            rate.add(ours.per_second);
            ratio.add(100.0 * ours.per_second / peer.per_second);
            errors += ours.errors;
        }
        println!("{rate} exchanges/s, {ratio} % of nginx, {errors} errors, {cpu} ms of processor time an exchange");
        println!("most resident: {:.0} MiB (four nodes, authority, ledger, portal …)\n", peak_mib(nation.pid())?);
        Ok(())
    }
}
