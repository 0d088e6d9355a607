//! An S3 server by another hand (PyPI `moto`), for tests. They say LEFT OUT where it is not installed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server of its own, with the bucket `tiles`, which ends with the test.
pub struct Moto {
    process: Child,
    /// Where it listens, on the loopback.
    pub port: u16,
}

impl Moto {
    /// Starts the server; `None`, said aloud, where it is not installed.
    pub fn start() -> Option<Self> {
        let python = python_with("moto.server")?;
        let moto = Self::run(&python).unwrap_or_else(|error| super::stop(&format!("moto does not start: {error}")));
        moto.make_bucket().unwrap_or_else(|error| super::stop(&format!("moto makes no bucket: {error}")));
        Some(moto)
    }

    /// Ends the server now.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn run(python: &Path) -> std::io::Result<Self> {
        // moto takes the port that it is told: one that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut moto = Self { process, port };
        let said = moto.process.stderr.take().ok_or_else(|| std::io::Error::other("it has no stderr"))?;
        let mut said = BufReader::new(said);
        let mut line = String::new();
        while !line.contains("Running on") {
            line.clear();
            if said.read_line(&mut line)? == 0 {
                return Err(std::io::Error::other("it ended at once"));
            }
        }
        std::thread::spawn(move || drop(std::io::copy(&mut said, &mut std::io::sink())));
        Ok(moto)
    }

    fn make_bucket(&self) -> std::io::Result<()> {
        let mut server = TcpStream::connect(("127.0.0.1", self.port))?;
        server
            .write_all(b"PUT /tiles HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        server.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other(answer)) }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The Python that has these modules (`a, b`), in which programs by other hands run beside ours; `None`, said aloud, where there is none.
#[expect(clippy::print_stderr, reason = "who reads the output of tests is told what did not run")]
pub fn python_with(modules: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the one door through which `cargo xtask test` names the judges")]
    let named = std::env::var("BAOBAB_JUDGES").ok().filter(|path| !path.is_empty());
    let python = PathBuf::from(named.unwrap_or_else(|| "python3".to_owned()));
    let there = Command::new(&python).args(["-c", &format!("import {modules}")]).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    eprintln!("LEFT OUT: {modules}: not installed");
    None
}
