//! Law 1: arrows go down only. The list below is the house; a new edge is a reviewed line and a decision record.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Which crate may use which.
const ARROWS: &[(&str, &[&str])] = &[
    ("civic", &[]),
    ("trust", &["civic"]),
    ("store", &["civic", "trust"]),
    ("ledger", &["civic", "trust", "store"]),
    ("web", &["civic", "trust", "store"]),
    ("consent", &["civic", "trust", "store", "ledger", "web"]),
    ("identity", &["civic", "trust", "store", "ledger", "web", "consent"]),
    ("authority", &["civic", "trust", "store", "ledger", "web"]),
    ("bridge", &["civic", "trust", "store", "ledger", "web", "consent", "identity"]),
    ("civil", &["civic", "trust", "store", "ledger", "web", "consent", "identity", "bridge"]),
    ("fisc", &["civic", "trust", "store", "ledger", "web", "consent", "identity", "bridge"]),
    ("notary", &["civic", "trust", "store", "ledger", "web", "consent", "identity", "bridge"]),
    ("portal", &["civic", "trust", "store", "ledger", "web", "consent", "identity", "bridge"]),
];

/// Crates that only one floor may use: cryptography, and the engines.
const ONLY_HOME: &[(&str, &str)] = &[
    ("aws-lc-rs", "trust"),
    ("argon2", "trust"),
    ("cms", "trust"),
    ("x509-cert", "trust"),
    ("cryptoki", "trust"),
    ("openssl", "bridge"),
    ("tokio-openssl", "bridge"),
    ("rusqlite", "store"),
    ("postgres", "store"),
    ("tokio-postgres", "store"),
    ("object_store", "store"),
    ("anyhow", "baobab"),
    ("clap", "baobab"),
    ("tracing-subscriber", "baobab"),
];

#[test]
fn arrows_go_down_only() {
    for (name, used) in direct_dependencies() {
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else { continue };
        for target in
            used.iter().filter(|target| ARROWS.iter().any(|(known, _)| known == target) || *target == "baobab")
        {
            assert!(allowed.contains(&target.as_str()), "{name} must not use {target}");
        }
    }
}

#[test]
fn cryptography_and_engines_have_one_home() {
    for (name, used) in direct_dependencies() {
        for (library, home) in ONLY_HOME {
            let stranger = used.contains(*library) && name != *home && name != "xtask";
            assert!(!stranger, "{name} uses {library}, whose only home is {home}");
        }
    }
}

#[test]
fn every_crate_of_the_house_stands_in_the_list() {
    for name in direct_dependencies().keys().filter(|name| !["baobab", "xtask"].contains(&name.as_str())) {
        assert!(ARROWS.iter().any(|(known, _)| known == name), "{name} has no line in ARROWS");
    }
}

/// The crates of the workspace with what they use at run time (tests may use more).
fn direct_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let answer = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let used = package["dependencies"].as_array().unwrap().iter();
            let at_run_time = used.filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), at_run_time.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}
