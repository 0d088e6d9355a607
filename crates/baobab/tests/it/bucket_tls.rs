//! `baobab ledger run` with its tiles in a bucket of a server that speaks TLS: whom the log believes, and whom not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use store::testing::Moto;
use trust::keys::SigningKey;

use crate::federation::{Process, run};
use crate::ledger::{Running, client_of, write_configuration};

/// Makes a certificate and its key, `NAME.pem` and `NAME.key`, with `openssl` as an operator would.
fn certificate(folder: &Path, name: &str, more: &[&str]) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
        .args(["-subj", &format!("/CN={name}"), "-out", &format!("{name}.pem"), "-keyout", &format!("{name}.key")])
        .args(more)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Takes TLS off in front of the server, as `localhost`; its port.
async fn front(folder: &Path, behind: u16) -> (Process, u16) {
    certificate(folder, "authority", &[]);
    certificate(folder, "stranger", &[]);
    let of_server = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"];
    certificate(folder, "server", &[&of_server[..], &["-CA", "authority.pem", "-CAkey", "authority.key"]].concat());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls_front.py");
    let (here, behind) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{behind}"));
    let arguments = [script.to_str().unwrap(), &here, "server.pem", "server.key", &behind];
    let process = Process::of("python3", folder, &arguments);
    while tokio::net::TcpStream::connect(&here).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (process, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_keeps_its_tiles_over_tls_and_believes_only_the_server_that_its_authority_names() {
    let Some(server) = Moto::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let (_front, port) = front(folder, server.port).await;
    let key = SigningKey::generate_p256().unwrap();
    let configure = |endpoint: &str, ca_file: &str| {
        write_configuration(folder, endpoint, &key);
        let path = folder.join("ledger.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text + ca_file).unwrap();
    };
    let refused = || {
        let (good, said) = run(folder, &["ledger", "run"]);
        assert!(!good, "{said}");
        said
    };
    let named = format!("https://localhost:{port}");

    configure(&named, "");
    let said = refused();
    assert!(said.contains("`bucket.ca_file`") && said.contains("required for an https:// address"), "{said}");
    configure(&named, "ca_file = \"server.key\"\n");
    assert!(refused().contains("no certificate in it"));
    configure(&format!("http://localhost:{port}"), "ca_file = \"authority.pem\"\n");
    assert!(refused().contains("nobody would be checked"));
    configure(&named, "ca_file = \"stranger.pem\"\n");
    let said = refused();
    assert!(said.contains("TLS failed: invalid peer certificate: UnknownIssuer"), "{said}");
    configure(&format!("https://127.0.0.1:{port}"), "ca_file = \"authority.pem\"\n");
    let said = refused();
    assert!(said.contains("not valid for name"), "{said}");

    configure(&named, "ca_file = \"authority.pem\"\n");
    let running = Running::start(folder);
    assert_eq!(client_of(&running, &key).append(&[b"over TLS".to_vec()]).await.unwrap(), [0]);
    let vkey = running.vkey();
    assert_eq!(running.terminate(), Some(0));
    let check = ["ledger", "check", "--store", "sqlite:data/ledger.db", "--vkey", &vkey, "--bucket", "ledger.toml"];
    let (whole, said) = run(folder, &check);
    assert!(whole && said.contains("WHOLE: 1 entries"), "{said}");
}
