//! A demo nation for one test: the real thing, on free ports, in a folder that goes away.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The demo as its own process, started from the binary as a newcomer would.
pub(crate) struct DemoProcess {
    child: Child,
    data: PathBuf,
    port_base: u16,
}

impl DemoProcess {
    /// Starts it on a data folder and waits until `demo.json` says that everything answers.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_on(data, free_ports())
    }

    /// The same on ports that an earlier start of the same nation used.
    pub(crate) fn start_on(data: &Path, port_base: u16) -> Self {
        let description = data.join("demo.json");
        drop(std::fs::remove_file(&description));
        let child = Command::new(env!("CARGO_BIN_EXE_baobab"))
            .args(["demo", "--population", "60", "--port-base", &port_base.to_string(), "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut started = Self { child, data: data.to_owned(), port_base };
        let deadline = Instant::now() + Duration::from_mins(1);
        while !description.exists() {
            assert!(Instant::now() < deadline, "the demo nation did not start within 60 s");
            assert!(started.child.try_wait().unwrap().is_none(), "the demo nation stopped while starting");
            std::thread::sleep(Duration::from_millis(10));
        }
        started
    }

    /// What `demo.json` says.
    pub(crate) fn description(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.data.join("demo.json")).unwrap()).unwrap()
    }

    /// The first of its ports.
    pub(crate) const fn port_base(&self) -> u16 {
        self.port_base
    }

    /// The consumer address of a member's node.
    pub(crate) fn consumer_url(&self, member: &str) -> String {
        let description = self.description();
        let members = description["members"].as_array().unwrap();
        let found = members.iter().find(|candidate| candidate["id"] == member).unwrap();
        found["consumer_url"].as_str().unwrap().to_owned()
    }

    /// Ends it as a power cut would end the process: no handler runs.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in good order; answers how it left and what it had printed.
    pub(crate) fn terminate(mut self) -> (std::process::ExitStatus, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut printed = String::new();
        std::io::Read::read_to_string(&mut self.child.stdout.take().unwrap(), &mut printed).unwrap();
        (status, printed)
    }
}

impl Drop for DemoProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `baobab` with arguments, run to its end.
pub(crate) fn baobab(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_baobab")).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// A first port with room for a nation above it; tests that run side by side get different ones.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    loop {
        let base = NEXT.fetch_add(200, Ordering::SeqCst);
        if (base..base + 130).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
}
