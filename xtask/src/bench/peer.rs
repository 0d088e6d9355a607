//! nginx: the peer that figures are compared with, and the service behind the provider's node.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::load::Target;
use crate::check;
use crate::packages::find;

/// The answer of the service: JSON of 1,000 bytes.
const ANSWER_BYTES: usize = 1000;
/// The big body.
const BODY_BYTES: usize = 100_000_000;

/// nginx in front of nginx, mutual TLS 1.3 between them; the inner one also is the service behind the provider's node.
pub(super) struct Nginx {
    process: Child,
    front: u16,
    service: u16,
    /// Leaves the process running when this value goes.
    pub(super) keep: bool,
}

impl Nginx {
    /// Starts both in a folder. `body` stands where an own JSON is to be answered at `/answer.json`.
    pub(super) fn start(folder: &Path, body: Option<&str>) -> anyhow::Result<Self> {
        let program = find("nginx").context("nginx is missing")?;
        let place = folder.join("nginx");
        fs::create_dir_all(place.join("www"))?;
        fs::write(place.join("www/answer.json"), body.map_or_else(answer, str::to_owned))?;
        fs::write(place.join("www/body"), big_body())?;
        for name in ["front", "back"] {
            make_certificate(&place, name)?;
        }
        let (front, back, service) = (free_port()?, free_port()?, free_port()?);
        let path = place.join("nginx.conf");
        fs::write(&path, configuration(&place, front, back, service))?;
        let process = Command::new(program).arg("-c").arg(&path).arg("-e").arg(place.join("nginx.log")).spawn()?;
        let nginx = Self { process, front, service, keep: false };
        for _ in 0..100 {
            if nginx.peer("answer.json").answers() && nginx.service("answer.json").answers() {
                return Ok(nginx);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("nginx did not answer; see {}", place.join("nginx.log").display())
    }

    /// A file through both servers and their TLS.
    pub(super) fn peer(&self, file: &str) -> Target {
        Target { url: format!("http://127.0.0.1:{}/{file}", self.front), headers: Vec::new() }
    }

    /// A file straight from the inner server: what the provider's node asks.
    pub(super) fn service(&self, file: &str) -> Target {
        Target { url: format!("http://127.0.0.1:{}/{file}", self.service), headers: Vec::new() }
    }

    /// The process that rules the workers.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if !self.keep {
            drop(Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status());
            drop(self.process.wait());
        }
    }
}

fn answer() -> String {
    let mut text = String::from("{\"year\":2025,\"income\":1200000,\"filler\":\"");
    while text.len() < ANSWER_BYTES - 2 {
        text.push('x');
    }
    text + "\"}"
}

/// Bytes that no compression shortens much: a simple sequence, the same in each run.
fn big_body() -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(BODY_BYTES)
    .collect()
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn make_certificate(place: &Path, name: &str) -> anyhow::Result<()> {
    let place = place.display();
    check(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={name}")])
            .args(["-keyout", &format!("{place}/{name}.key"), "-out", &format!("{place}/{name}.pem")])
            .stderr(Stdio::null()),
    )
}

fn configuration(place: &Path, front: u16, back: u16, service: u16) -> String {
    let place = place.display();
    format!(
        "daemon off; worker_processes 2; pid {place}/nginx.pid; error_log {place}/nginx.log warn;
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
  server {{ listen 127.0.0.1:{service}; root {place}/www; }}
}}
"
    )
}
