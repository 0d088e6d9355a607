//! Strangers, unmodified, judge our log and our witness, and one of them witnesses us. Where a judge is not installed the
//! test says LEFT OUT; `cargo xtask test` installs them (`BAOBAB_JUDGES` names the Python that has them).

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ledger::witness::Witness;
use ledger::{Ledger, LedgerConfig, Submitters};
use store::testing::python_with;
use trust::keys::SigningKey;
use trust::mldsa::MlDsaKey;
use trust::note::policy::Policy;
use trust::note::{Cosigner, Note};

use crate::log::{ORIGIN, clock, entry, fill, key};

/// The Python that has the judges, if any has.
fn python() -> Option<PathBuf> {
    python_with("aics_tlog, aics_witness, metamorphic_log")
}

fn judge(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/judges").join(name)
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn convinced(output: &Output) {
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    eprintln!("{}", said.trim_end());
}

/// A log with both kinds of keys, with tiles in a folder, served.
async fn served() -> (Ledger, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = store::testing::sqlite().await;
    let config = LedgerConfig::new(store, SigningKey::generate_ed25519().unwrap(), ORIGIN, clock());
    let config = config.post_quantum(MlDsaKey::generate().unwrap()).folder(folder.path());
    let ledger = Ledger::open_with(config).await.unwrap();
    fill(&ledger, 0, 700).await;
    let url = serve(ledger::http::router(ledger.clone(), Submitters::new())).await;
    (ledger, url, folder)
}

async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checksum_database_of_go_proves_our_entries() {
    let sources = PathBuf::from("/usr/share/gocode/src/golang.org/x/mod/sumdb");
    if !sources.exists() || Command::new("go").arg("version").output().is_err() {
        eprintln!("LEFT OUT: golang-go and golang-golang-x-mod-dev are not installed");
        return;
    }
    let (ledger, url, folder) = served().await;
    let mut go = Command::new("go");
    go.arg("run").arg(judge("sumdb.go")).args([&url, &ledger.vkey()]);
    go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOFLAGS", "");
    go.env("GOCACHE", folder.path().join("go-cache"));
    convinced(&run(go).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_judges_audit_our_log_and_accept_our_witness() {
    let Some(python) = python() else { return };
    let (ledger, url, _folder) = served().await;
    let cosigners = vec![
        Cosigner::ed25519("witness.test/w", SigningKey::generate_ed25519().unwrap()).unwrap(),
        Cosigner::ml_dsa("witness.test/w", MlDsaKey::generate().unwrap()).unwrap(),
    ];
    let witness = Witness::open(store::testing::sqlite().await, cosigners, clock()).await.unwrap();
    witness.follow(ledger.verifiers()).unwrap();
    let witness_url = serve(witness.router()).await;
    let mut audit = Command::new(python);
    audit.arg(judge("audit.py")).args([&url, &ledger.vkey(), &witness_url, &witness.verifiers()[0].to_string()]);
    convinced(&run(audit).await);
}

/// A witness of others, with its own process and store.
struct Foreign(Child);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_witness_cosigns_our_log() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let pem = key();
    let log = trust::note::VerifierKey::new(ORIGIN, SigningKey::from_pkcs8_pem(&pem).unwrap().public()).unwrap();
    let configuration = folder.path().join("witness.json");
    let command = |words: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-m", "aics_witness"]).args(words).arg("--config").arg(&configuration);
        command
    };
    convinced(&run(command(&["init", "--name", "witness.judge/w", "--listen", &listen])).await);
    convinced(&run(command(&["add-log", "--origin", ORIGIN, "--vkey", &log.to_string()])).await);
    let status = run(command(&["status", "--json"])).await;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let vkey = find_vkey(&status).unwrap_or_else(|| panic!("no vkey in {status}"));
    let serving = command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _foreign = Foreign(serving);
    let policy = format!("log {log}\nwitness judge {vkey} http://{listen}\nquorum judge\n");
    let policy = Policy::parse(&policy).unwrap();
    let store = store::testing::sqlite().await;
    let config = LedgerConfig::new(store, SigningKey::from_pkcs8_pem(&pem).unwrap(), ORIGIN, clock());
    let ledger = Ledger::open_with(config.witnesses(policy.clone())).await.unwrap();
    for number in 0..4 {
        let mut waited = 0;
        while let Err(error) = ledger.append_witnessed(vec![entry(number)]).await {
            assert!(error.is_temporary() && waited < 100, "{error}");
            waited += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let verdict = policy.judge(&Note::parse(&ledger.checkpoint()).unwrap()).unwrap();
    assert!(verdict.quorum && verdict.cosigned.len() == 1, "{verdict:?}");
}

/// The first text of the status that is a verifier key of the witness.
fn find_vkey(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) if text.starts_with("witness.judge/w+") => Some(text.clone()),
        serde_json::Value::Array(items) => items.iter().find_map(find_vkey),
        serde_json::Value::Object(fields) => fields.values().find_map(find_vkey),
        _ => None,
    }
}
