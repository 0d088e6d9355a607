//! An authority and two nodes, processes of their own as the guide sets them up, each with an address of its own on the loopback.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::load::Target;
use super::machine::cpu_ms;
use crate::packages::find;
use crate::{check, output};

/// The consumer's and the provider's node, in this order wherever there are two figures.
pub(super) const NODES: [(&str, u8); 2] = [("bank", 3), ("tax", 4)];

/// A process that ends with this value.
struct Role {
    child: Child,
    keep: bool,
}

impl Role {
    fn start(binary: &Path, home: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let log = fs::OpenOptions::new().create(true).append(true).open(home.join("log"))?;
        let child = Command::new(binary).args(arguments).current_dir(home).stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(Self { child, keep: false })
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if !self.keep {
            drop(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status());
            drop(self.child.wait());
        }
    }
}

/// The federation: the nodes run or not, the authority does.
pub(super) struct Pair {
    binary: PathBuf,
    folder: PathBuf,
    net: String,
    service: String,
    nodes: Vec<Role>,
    authority: Role,
}

impl Pair {
    /// Founds it in a folder; `service` is the address of what the provider's node offers. No node runs yet.
    pub(super) fn found(binary: &Path, folder: &Path, service: &str) -> anyhow::Result<Self> {
        let net = free_net();
        let home = folder.join("authority");
        fs::create_dir_all(&home)?;
        let settings = format!(
            "instance = \"BB\"\nname = \"Agence\"\npublic_url = \"http://{net}.2:8604\"\nlisten = \"{net}.2:8604\"\n\
             management_listen = \"{net}.2:8606\"\n\
             admin = \"{net}.2:8605\"\nrefresh_s = 1\n"
        );
        fs::write(home.join("authority.toml"), settings)?;
        output(Command::new(binary).args(["authority", "init"]).current_dir(&home))?;
        let authority = Role::start(binary, &home, &["authority", "run"])?;
        let pair = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            net,
            service: service.to_owned(),
            nodes: Vec::new(),
            authority,
        };
        wait_for(&pair.target_at(2, 8604, "/anchor.xml"), Duration::from_secs(30), "the authority")?;
        for (name, host) in NODES {
            pair.join(name, host)?;
        }
        // The configuration with both members is published before a node asks for it.
        std::thread::sleep(Duration::from_secs(3));
        Ok(pair)
    }

    fn join(&self, name: &str, host: u8) -> anyhow::Result<()> {
        let home = self.folder.join(name);
        fs::create_dir_all(&home)?;
        fs::write(home.join("node.toml"), self.settings(host, &[])?)?;
        let said = output(Command::new(&self.binary).args(["node", "init"]).current_dir(&home))?;
        let code = said.split("baobab authority approve ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let code = code.context("`node init` named no code")?;
        let authority = self.folder.join("authority");
        output(Command::new(&self.binary).args(["authority", "approve", code]).current_dir(authority))?;
        output(Command::new(&self.binary).args(["node", "init"]).current_dir(&home))?;
        Ok(())
    }

    /// The file of a node; `extra` are lines for its top.
    fn settings(&self, host: u8, extra: &[String]) -> anyhow::Result<String> {
        let net = &self.net;
        let (server, client) = match host {
            3 => ("BB/COM/2001/node-1", "BB/COM/2001/credit"),
            _ => ("BB/GOV/1002/node-1", "BB/GOV/1002/fisc"),
        };
        let mut text = format!(
            "server = \"{server}\"\nname = \"{server}\"\naddress = \"{net}.{host}:5500\"\nauthority = \"http://{net}.2:8604\"\n{}\n\
             [listen]\nconsumer = \"{net}.{host}:8080\"\nconsumer_https = \"\"\ntransport = \"{net}.{host}:5500\"\n\
             ocsp = \"{net}.{host}:5577\"\nadmin = \"{net}.{host}:8090\"\n[[client]]\nid = \"{client}\"\n",
            extra.join("\n")
        );
        if host == 4 {
            let service = &self.service;
            write!(
                text,
                "[[service]]\nid = \"BB/GOV/1002/fisc/income\"\nurl = \"{service}\"\n\
                 [[right]]\nclient = \"BB/COM/2001/credit\"\nservice = \"BB/GOV/1002/fisc/income\"\n"
            )?;
        }
        Ok(text)
    }

    /// Stops the nodes, writes their settings anew and starts them; waits for the first exchange and answers how long that took, from the
    /// start of the processes.
    pub(super) fn restart(&mut self, extra: &[String]) -> anyhow::Result<Duration> {
        self.nodes.clear();
        for (name, host) in NODES {
            fs::write(self.folder.join(name).join("node.toml"), self.settings(host, extra)?)?;
        }
        let started = Instant::now();
        for (name, _) in NODES {
            self.nodes.push(Role::start(&self.binary, &self.folder.join(name), &["node", "run"])?);
        }
        wait_for(&self.exchange("answer.json"), Duration::from_secs(90), "the first exchange")?;
        Ok(started.elapsed())
    }

    /// Starts the consumer's node alone anew; the provider's runs. How long until its first exchange.
    pub(super) fn restart_consumer(&mut self) -> anyhow::Result<Duration> {
        drop(self.nodes.remove(0));
        let (name, _) = NODES[0];
        let started = Instant::now();
        self.nodes.insert(0, Role::start(&self.binary, &self.folder.join(name), &["node", "run"])?);
        wait_for(&self.exchange("answer.json"), Duration::from_secs(90), "the first exchange")?;
        Ok(started.elapsed())
    }

    /// A file of the service, asked for through both nodes.
    pub(super) fn exchange(&self, file: &str) -> Target {
        self.target_at(3, 8080, &format!("/r1/BB/GOV/1002/fisc/income/{file}"))
    }

    fn target_at(&self, host: u8, port: u16, path: &str) -> Target {
        Target {
            url: format!("http://{}.{host}:{port}{path}", self.net),
            headers: vec!["X-Road-Client: BB/COM/2001/credit".to_owned()],
        }
    }

    /// The processes of the nodes.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.child.id()).collect()
    }

    /// What each node has used so far.
    pub(super) fn used(&self) -> anyhow::Result<Vec<Used>> {
        let mut all = Vec::new();
        for ((_, host), pid) in NODES.iter().zip(self.pids()) {
            let metrics = self.target_at(*host, 8090, "/metrics").body()?;
            let commits = metrics
                .lines()
                .filter(|line| line.starts_with("baobab_store_commits"))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum();
            all.push(Used { cpu_ms: cpu_ms(pid)?, commits });
        }
        Ok(all)
    }

    /// Runs something while strace counts the flushes of each node.
    pub(super) fn flushes<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Vec<f64>, T)> {
        let strace = find("strace").context("strace is missing")?;
        let mut traces = Vec::new();
        for pid in self.pids() {
            traces.push(
                Command::new(&strace)
                    .args(["-f", "-c", "-e", "trace=fsync,fdatasync", "-p", &pid.to_string()])
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()?,
            );
        }
        std::thread::sleep(Duration::from_millis(500));
        let done = work();
        let mut counts = Vec::new();
        for trace in traces {
            check(Command::new("kill").args(["-INT", &trace.id().to_string()]))?;
            let report = String::from_utf8_lossy(&trace.wait_with_output()?.stderr).into_owned();
            let calls = report
                .lines()
                .filter(|line| line.ends_with("sync"))
                .filter_map(|line| line.split_whitespace().nth(3)?.parse::<f64>().ok())
                .sum();
            counts.push(calls);
        }
        Ok((counts, done?))
    }

    /// Leaves every process running; answers what an operator needs to look at them and to end them.
    pub(super) fn leave_running(mut self) -> anyhow::Result<String> {
        let target = self.exchange("answer.json");
        let mut text = String::new();
        let mut pids = vec![self.authority.child.id()];
        for ((name, host), pid) in NODES.iter().zip(self.pids()) {
            writeln!(
                text,
                "{name}: process {pid}, metrics http://{}.{host}:8090/metrics, folder {}",
                self.net,
                self.folder.join(name).display()
            )?;
            pids.push(pid);
        }
        self.authority.keep = true;
        self.nodes.iter_mut().for_each(|node| node.keep = true);
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        write!(text, "load:  {}\nstop:  kill {}", target.as_wrk(64, 30), pids.join(" "))?;
        Ok(text)
    }
}

/// What a node has used so far, or between two moments.
#[derive(Clone, Copy)]
pub(super) struct Used {
    /// Processor time, milliseconds.
    pub(super) cpu_ms: f64,
    /// Commits of its store.
    pub(super) commits: f64,
}

impl Used {
    /// The difference.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { cpu_ms: self.cpu_ms - earlier.cpu_ms, commits: self.commits - earlier.commits }
    }
}

/// Asks again and again until an address answers well; asks without a pause, so that this says when it does.
fn wait_for(target: &Target, most: Duration, what: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    while !target.answers() {
        if started.elapsed() > most {
            bail!("{what} did not answer within {} s ({})", most.as_secs(), target.url);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A part of the loopback that nobody uses: `127.x.y`.
fn free_net() -> String {
    let mut number = std::process::id();
    loop {
        let net = format!("127.{}.{}", 20 + number % 200, 1 + number / 200 % 250);
        if TcpListener::bind(format!("{net}.2:8604")).is_ok() {
            return net;
        }
        number = number.wrapping_add(7919);
    }
}
