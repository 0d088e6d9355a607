//! A federation of real `baobab` processes, each with a folder and an address of its own on the loopback: 127.x.y.2 and up.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use web::{ClientLimits, HttpClient, Reply};

pub(crate) const BANK: &str = "BB/COM/2001/credit";
pub(crate) const ECHO: &str = "BB/GOV/1002/fisc/echo";

/// A running process of a role.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `baobab` with these arguments in a folder; log lines go to `log` there.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::of(env!("CARGO_BIN_EXE_baobab"), folder, arguments)
    }

    /// The same of another program.
    pub(crate) fn of(program: &str, folder: &Path, arguments: &[&str]) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// SIGTERM; answers how it left and how long that took.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        self.signal("TERM");
        (self.child.wait().unwrap(), started.elapsed())
    }

    /// As a power cut: no handler runs.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn exit(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An authority and two nodes, a bank's and the tax office's, with a service behind the second.
pub(crate) struct Federation {
    pub(crate) folder: tempfile::TempDir,
    net: String,
    http: HttpClient,
    pub(crate) authority: Process,
}

impl Federation {
    /// Founds a federation: an authority that runs, in a fresh folder.
    pub(crate) fn found() -> Self {
        Self::found_with(|_, _| String::new())
    }

    /// The same; `more` may lay files into the folder of the authority and answers lines for its settings, given the network.
    pub(crate) fn found_with(more: impl FnOnce(&Path, &str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let net = free_net();
        let home = folder.path().join("authority");
        std::fs::create_dir(&home).unwrap();
        let settings = format!(
            "instance = \"BB\"\nname = \"Agence du numérique\"\npublic_url = \"http://{net}.2:8604\"\nlisten = \"{net}.2:8604\"\n\
             management_listen = \"{net}.2:8606\"\nadmin = \"{net}.2:8605\"\nrefresh_s = 1\n"
        );
        std::fs::write(home.join("authority.toml"), settings + &more(&home, &net)).unwrap();
        let (well, said) = run(&home, &["authority", "init"]);
        assert!(well && said.contains("Next: baobab authority run"), "{said}");
        let authority = Process::start(&home, &["authority", "run"]);
        let http = HttpClient::new(ClientLimits { timeout: Duration::from_secs(30), ..ClientLimits::default() }, None);
        Self { folder, net, http, authority }
    }

    /// The folder of a role.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An address of the federation: `3` is the bank's node, `4` the tax office's.
    pub(crate) fn at(&self, host: u8, port: u16) -> String {
        format!("{}.{host}:{port}", self.net)
    }

    /// Makes a node that is approved and does not run yet. `more` is added to its file.
    pub(crate) async fn join(&self, name: &str, host: u8, server: &str, subsystem: &str, more: &str) {
        let home = self.home(name);
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("node.toml"), self.settings(host, host, server, subsystem, more)).unwrap();
        self.answers(&self.at(2, 8604), "/anchor.xml").await;
        let (well, said) = run(&home, &["node", "init"]);
        assert!(well, "{said}");
        let code = said.split("baobab authority approve ").nth(1).unwrap().split_whitespace().next().unwrap();
        let (well, said) = run(&self.home("authority"), &["authority", "approve", code]);
        assert!(well && said.contains("Approved"), "{said}");
    }

    /// The file of a node that listens on `host` and is registered under `registered`.
    pub(crate) fn settings(&self, host: u8, registered: u8, server: &str, subsystem: &str, more: &str) -> String {
        let (member, _) = server.rsplit_once('/').unwrap();
        let mut text = format!(
            "server = \"{server}\"\nname = \"Member {member}\"\naddress = \"{}\"\nauthority = \"http://{}\"\n",
            self.at(registered, 5500),
            self.at(2, 8604)
        );
        let (top, tables): (Vec<&str>, Vec<&str>) = more.lines().partition(|line| line.starts_with("store = "));
        writeln!(text, "{}", top.join("\n")).unwrap();
        for (key, port) in
            [("consumer", 8080), ("consumer_https", 8443), ("transport", 5500), ("ocsp", 5577), ("admin", 8090)]
        {
            if key == "consumer" {
                text.push_str("[listen]\n");
            }
            writeln!(text, "{key} = \"{}\"", self.at(host, port)).unwrap();
        }
        writeln!(text, "[rhythm]\nconfiguration_s = 1\nstamping_s = 1\n[[client]]\nid = \"{member}/{subsystem}\"")
            .unwrap();
        text + &tables.join("\n") + "\n"
    }

    /// Starts a node and waits until it is in traffic.
    pub(crate) async fn run_node(&self, name: &str, host: u8) -> Process {
        let process = Process::start(&self.home(name), &["node", "run"]);
        self.answers(&self.at(host, 8090), "/health").await;
        process
    }

    /// Waits until an address answers with success.
    pub(crate) async fn answers(&self, address: &str, path: &str) {
        let started = Instant::now();
        loop {
            if let Ok(reply) = self.http.get(&format!("http://{address}{path}"), &[]).await
                && reply.status.is_success()
            {
                return;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "http://{address}{path} does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Calls a service through the node at this address, as the bank.
    pub(crate) async fn call(&self, address: &str, service: &str, id: &str) -> Result<Reply, web::HttpError> {
        let headers = [header("x-road-client", BANK), header("x-road-id", id)];
        self.http.get(&format!("http://{address}/r1/{service}"), &headers).await
    }

    /// Calls until it succeeds; the last answer is shown where it never does.
    pub(crate) async fn call_until_well(&self, address: &str, service: &str) -> Reply {
        let started = Instant::now();
        for turn in 0_u32.. {
            let reply = self.call(address, service, &format!("until-{turn}-{started:?}")).await;
            match reply {
                Ok(reply) if reply.status.is_success() => return reply,
                other => assert!(started.elapsed() < Duration::from_mins(1), "{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("the loop returns or asserts")
    }
}

/// What the tax office offers in its file.
pub(crate) fn offer(service: &str) -> String {
    format!("[[service]]\nid = \"{ECHO}\"\nurl = \"{service}\"\n[[right]]\nclient = \"{BANK}\"\nservice = \"{ECHO}\"\n")
}

/// Runs `baobab` to its end in a folder; answers whether it did well, and all that it said.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_baobab")).args(arguments).current_dir(folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

pub(crate) fn header(name: &'static str, value: &str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
}

/// A part of the loopback that nobody uses: `127.x.y`.
fn free_net() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst) * 7919);
        let net = format!("127.{}.{}", 20 + number % 200, 1 + number / 200 % 250);
        if TcpListener::bind(format!("{net}.2:8604")).is_ok() {
            return net;
        }
    }
}
