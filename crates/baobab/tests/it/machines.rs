//! Machines in network namespaces: each with an address, a folder and a shell of its own, joined by a switch that can be cut.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A small network; it goes away with everything that runs in it.
pub(crate) struct Network {
    name: String,
    folder: tempfile::TempDir,
    machines: Vec<String>,
}

impl Network {
    /// Machines `10.23.0.1` and up, in this order; `None`, and a word on stderr, where this user may not make namespaces.
    pub(crate) fn of(machines: &[&str]) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bb{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let mut network = Self { name, folder: tempfile::tempdir().unwrap(), machines: Vec::new() };
        let switch = network.namespace("switch");
        if !ip(&["netns", "add", &switch]) || !ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"]) {
            eprintln!("LEFT OUT: the machines of this test need network namespaces (root, iproute2)");
            return None;
        }
        assert!(ip(&["-n", &switch, "link", "set", "br0", "up"]));
        for (number, machine) in machines.iter().enumerate() {
            network.add(machine, number + 1);
        }
        Some(network)
    }

    fn add(&mut self, machine: &str, number: usize) {
        let (switch, space) = (self.namespace("switch"), self.namespace(machine));
        let port = format!("port{number}");
        assert!(ip(&["netns", "add", &space]));
        self.machines.push(machine.to_owned());
        assert!(ip(&["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &space]));
        assert!(ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"]));
        assert!(ip(&["-n", &space, "addr", "add", &format!("10.23.0.{number}/24"), "dev", "eth0"]));
        assert!(ip(&["-n", &space, "link", "set", "eth0", "up"]) && ip(&["-n", &space, "link", "set", "lo", "up"]));
        std::fs::create_dir(self.home(machine)).unwrap();
    }

    /// The folder of a machine.
    pub(crate) fn home(&self, machine: &str) -> PathBuf {
        self.folder.path().join(machine)
    }

    /// Cuts the cable of a machine, or mends it.
    pub(crate) fn cut(&self, machine: &str, cut: bool) {
        let number = self.machines.iter().position(|known| known == machine).unwrap() + 1;
        let state = if cut { "down" } else { "up" };
        assert!(ip(&["-n", &self.namespace("switch"), "link", "set", &format!("port{number}"), state]));
    }

    /// Makes the link of a machine slow in both directions: so many kilobits a second. `false` where the kernel cannot.
    pub(crate) fn slow(&self, machine: &str, kilobits: u32) -> bool {
        let rate = format!("{kilobits}kbit");
        let space = self.namespace(machine);
        let shape = ["qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", &rate, "burst", "4kb", "latency", "2s"];
        Command::new("tc")
            .args(["-n", &space])
            .args(shape)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Makes the link of a machine as bad as a rural one: so many kilobits a second and, where the kernel has netem, late and lossy
    /// in both directions; where it has not, says so.
    pub(crate) fn impair(&self, machine: &str, kilobits: u32) {
        let rate = format!("{kilobits}kbit");
        let port = format!("port{}", self.machines.iter().position(|known| known == machine).unwrap() + 1);
        for (space, device) in [(self.namespace(machine), "eth0"), (self.namespace("switch"), port.as_str())] {
            let netem = ["-n", &space, "qdisc", "replace", "dev", device, "root", "netem"];
            let bad = ["delay", "60ms", "20ms", "loss", "1%", "rate", &rate];
            let done = Command::new("tc").args(netem).args(bad).stderr(Stdio::null()).status();
            if !done.is_ok_and(|status| status.success()) {
                eprintln!("LEFT OUT: this kernel has no netem (delay and loss); the link is slowed with tbf only");
                assert!(self.slow(machine, kilobits), "the kernel has neither netem nor tbf");
                return;
            }
        }
    }

    /// The process ids of a program on a machine.
    pub(crate) fn processes_of(&self, machine: &str, program: &str) -> Vec<String> {
        let name = |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        self.processes(machine).into_iter().filter(|pid| name(pid).trim() == program).collect()
    }

    /// Runs a script to its end; what it leaves in the background runs on until the network goes.
    pub(crate) fn shell(&mut self, machine: &str, script: &str) -> Output {
        let home = self.home(machine);
        let (out, said) = (home.join("shell.out"), home.join("shell.err"));
        let file = |path: &Path| std::fs::File::create(path).unwrap();
        // Background jobs would keep pipes open: the output goes to files.
        let mut child =
            self.command(machine, &["sh", "-eu", "-c", script]).stdout(file(&out)).stderr(file(&said)).spawn().unwrap();
        let status = child.wait().unwrap();
        Output { status, stdout: std::fs::read(out).unwrap(), stderr: std::fs::read(said).unwrap() }
    }

    /// The process ids of the `baobab` processes of a machine.
    pub(crate) fn processes(&self, machine: &str) -> Vec<String> {
        let output = Command::new("ip").args(["netns", "pids", &self.namespace(machine)]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
    }

    fn command(&self, machine: &str, arguments: &[&str]) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_baobab")).parent().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the binary under test goes before those of the machine")]
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(machine)]).args(arguments);
        command.current_dir(self.home(machine)).env("PATH", path).stdin(Stdio::null());
        command
    }

    fn namespace(&self, machine: &str) -> String {
        format!("{}{machine}", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in self.machines.clone() {
            for pid in self.processes(&machine) {
                drop(Command::new("kill").args(["-KILL", &pid]).status());
            }
            ip(&["netns", "del", &self.namespace(&machine)]);
        }
        ip(&["netns", "del", &self.namespace("switch")]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
