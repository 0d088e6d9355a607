//! The demo nation, everything in one process, as a row beside the two nodes.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::load::Target;

/// The demo nation in a process of its own.
pub(super) struct Nation {
    process: Child,
    consumer_url: String,
    commune: String,
}

impl Nation {
    /// Starts it with its data in a folder, and waits until the population register answers.
    pub(super) fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("nation");
        let log = fs::File::create(folder.join("nation.log"))?;
        let base = free_port_range()?;
        let process = Command::new(binary)
            .args(["demo", "--population", "1000", "--port-base", &base.to_string(), "--data"])
            .arg(&data)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut nation = Self { process, consumer_url: String::new(), commune: String::new() };
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
        nation.consumer_url.clone_from(members.last().context("demo.json names no consumer_url")?);
        let list = nation.target().body()?;
        nation.commune = format!("/{}", values(&list, "code").first().context("the service lists no commune")?);
        Ok(nation)
    }

    /// A register's answer through the bank's node.
    pub(super) fn target(&self) -> Target {
        Target {
            url: format!("{}/r1/BB/GOV/1001/etat-civil/communes{}", self.consumer_url, self.commune),
            headers: vec!["X-Road-Client: BB/COM/2001/credit".to_owned()],
        }
    }

    /// The process.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Nation {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status());
        drop(self.process.wait());
    }
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
