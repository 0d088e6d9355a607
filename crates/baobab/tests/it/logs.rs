//! The logs of the nation, as a stranger sees them who has `demo.json` and nothing else.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use serde_json::Value;
use trust::note::policy::{Policy, Verdict};
use trust::note::{Note, VerifierKey};
use web::{ClientLimits, HttpClient};

use crate::nation::DemoProcess;

#[tokio::test(flavor = "multi_thread")]
async fn the_state_and_the_bank_witness_each_others_logs_and_a_stranger_audits_them() {
    let data = tempfile::tempdir().unwrap();
    let nation = DemoProcess::start(data.path());
    // The agency's own node commits to the bank's log, every other node to the State's.
    for member in ["BB/COM/2001/credit", "BB/GOV/1000/portal"] {
        exchange(&nation, member).await;
    }
    let logs = nation.description()["logs"].as_array().unwrap().clone();
    assert_eq!(logs.len(), 2);
    for log in &logs {
        let policy: Policy = text(log, "policy").parse().unwrap();
        let key: VerifierKey = text(log, "vkey").parse().unwrap();
        assert_eq!(key.name(), text(log, "origin"));
        let verdict = witnessed(text(log, "url"), &policy).await;
        assert!(verdict.quorum, "{verdict:?}");
        assert_eq!(verdict.cosigned.len(), 2, "Ed25519 and ML-DSA-44: {verdict:?}");
        assert!(
            verdict
                .cosigned
                .iter()
                .all(|(name, _)| !text(log, "origin").ends_with("bank") || name.starts_with("agency"))
        );
    }
    followed(&nation, &logs).await;
    audited(&data.path().join("demo.json"));
}

/// One exchange, so that both sides have something to commit to.
async fn exchange(nation: &DemoProcess, member: &str) {
    let url = format!("{}/r1/BB/GOV/1001/etat-civil/communes", nation.consumer_url(member));
    let client = (HeaderName::from_static("x-road-client"), HeaderValue::from_str(member).unwrap());
    http().get(&url, &[client]).await.unwrap().success().unwrap();
}

/// The first checkpoint with entries that has its quorum.
async fn witnessed(url: &str, policy: &Policy) -> Verdict {
    for _ in 0..100 {
        let answer = http().get(&format!("{url}/checkpoint/witnessed"), &[]).await.unwrap();
        if answer.status.is_success() {
            let verdict = policy.judge(&Note::parse(std::str::from_utf8(&answer.body).unwrap()).unwrap()).unwrap();
            if verdict.checkpoint.size > 0 {
                return verdict;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{url} has no witnessed checkpoint after ten seconds")
}

/// Every node follows every log and is content.
async fn followed(nation: &DemoProcess, logs: &[Value]) {
    for member in nation.description()["members"].as_array().unwrap() {
        let admin = text(member, "admin_url");
        let started = std::time::Instant::now();
        let metrics = loop {
            let metrics = http().get(&format!("{admin}/metrics"), &[]).await.unwrap();
            let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
            let seen = metrics.lines().find_map(|line| line.strip_prefix("baobab_ledger_monitor_checkpoints_total "));
            if seen.unwrap().parse::<usize>().unwrap() >= logs.len() {
                break metrics;
            }
            // The authority names the logs: a node looks at them once it has the configuration.
            assert!(started.elapsed() < Duration::from_secs(30), "{seen:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let health: Value = http().get(&format!("{admin}/health"), &[]).await.unwrap().json().unwrap();
        assert_eq!(health["checks"]["logs"], "ok", "{health}");
        assert!(metrics.contains("baobab_ledger_monitor_alarms_total 0"));
    }
}

/// An unmodified judge from the Python registry audits every tile and entry.
fn audited(description: &Path) {
    let Some(python) = store::testing::python_with("aics_tlog") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/demo_logs.py");
    let output = Command::new(python).arg(script).arg(description).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("aics-tlog audited").count(), 2, "{said}");
    eprintln!("{}", said.trim_end());
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap()
}

fn http() -> HttpClient {
    HttpClient::new(ClientLimits::default(), None)
}
