//! A PostgreSQL server that lives as long as a command.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::packages::{self, find};
use crate::{check, output};

/// A server in a temporary folder on a free port of the loopback; stopped and removed when dropped.
pub(crate) struct Temporary {
    folder: PathBuf,
    server: Child,
    port: u16,
}

impl Temporary {
    /// Makes a cluster and waits until it answers.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let initdb = find("initdb").context("initdb is missing: install the Debian package postgresql")?;
        let postgres = find("postgres").context("postgres is missing: install the Debian package postgresql")?;
        let folder =
            PathBuf::from(output(Command::new("mktemp").args(["--directory", "/tmp/baobab-pg-XXXXXX"]))?.trim());
        let account = account_for_server()?;
        if let Some(account) = &account {
            check(Command::new("chown").arg(account).arg(&folder))?;
        }
        let data = folder.join("data");
        check(
            as_account(account.as_deref(), &initdb)
                .args([
                    "--username=baobab",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                    "--pgdata",
                ])
                .arg(&data)
                .stdout(Stdio::null()),
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = as_account(account.as_deref(), &postgres)
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "log_min_messages=fatal"])
            .args(["-c", &format!("port={port}"), "-c", &format!("unix_socket_directories={}", folder.display())])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut started = Self { folder, server, port };
        started.wait_until_it_answers()?;
        Ok(started)
    }

    /// The address for `BAOBAB_TEST_POSTGRES`.
    pub(crate) fn url(&self) -> String {
        format!("postgres://baobab@127.0.0.1:{}/postgres", self.port)
    }

    fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let ready = find("pg_isready").context("pg_isready is missing: install the Debian package postgresql")?;
        for _ in 0..200 {
            let answer = Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status()?;
            if answer.success() {
                return Ok(());
            }
            if let Some(status) = self.server.try_wait()? {
                bail!("PostgreSQL stopped while starting ({status})");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("PostgreSQL did not answer within 10 s")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The child may be `runuser`, which hands SIGTERM on; the cluster is thrown away, so a hard stop is fine.
        let postmaster = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = postmaster.lines().next() {
            drop(Command::new("kill").args(["-QUIT", pid]).status());
        }
        drop(self.server.kill());
        drop(self.server.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Runs a command with `BAOBAB_TEST_POSTGRES` set.
pub(crate) fn with_command(command: &[String]) -> anyhow::Result<()> {
    packages::ensure(packages::FOR_TESTS)?;
    let database = Temporary::start()?;
    println!("BAOBAB_TEST_POSTGRES={}", database.url());
    let Some((program, arguments)) = command.split_first() else {
        println!("press Ctrl-D to stop it");
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        return Ok(());
    };
    check(Command::new(program).args(arguments).env("BAOBAB_TEST_POSTGRES", database.url()))
}

/// PostgreSQL refuses to run as root: there, the account that its package made is used.
fn account_for_server() -> anyhow::Result<Option<String>> {
    let root = output(Command::new("id").arg("-u"))?.trim() == "0";
    Ok(root.then(|| "postgres".to_owned()))
}

fn as_account(account: Option<&str>, program: &Path) -> Command {
    let Some(account) = account else { return Command::new(program) };
    let mut command = Command::new("runuser");
    command.args(["-u", account, "--"]).arg(program).current_dir("/tmp");
    command
}
