//! A node of its own process whose keys lie in a PKCS#11 token, from `init` to traffic. The test runs in a process of its own, whose
//! environment the nodes inherit: see `trust::pkcs11::testing`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use trust::pkcs11::testing::{LABEL, PIN, SoftHsm, alone};

use crate::federation::{ECHO, Federation, Process, offer, run};
use crate::processes::Service;

#[test]
fn a_newcomer_makes_its_keys_in_a_token_and_is_in_traffic() {
    alone("token::a_newcomer_makes_its_keys_in_a_token_and_is_in_traffic", |hsm| {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(newcomer(hsm));
    });
}

fn write_pin(path: &Path, pin: &str, mode: u32) {
    std::fs::write(path, format!("{pin}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

async fn newcomer(hsm: &SoftHsm) {
    let service = Service::start(Duration::ZERO).await;
    let federation = Federation::found();
    let pin = federation.folder.path().join("token.pin");
    write_pin(&pin, PIN, 0o600);
    let table = format!(
        "[token]\nmodule = \"{}\"\nlabel = \"{LABEL}\"\npin_file = \"../token.pin\"\nsign = \"bank sign\"\nauth = \"bank auth\"\n",
        hsm.module().display()
    );
    federation.join("bank", 3, "BB/COM/2001/node-1", "credit", &table).await;
    federation.join("tax", 4, "BB/GOV/1002/node-1", "fisc", &offer(&service.url)).await;
    let home = federation.home("bank");
    for file in ["sign.key.pem", "auth.key.pem"] {
        assert!(!home.join("keys").join(file).exists(), "{file}");
    }
    let bank = federation.run_node("bank", 3).await;
    let _tax = federation.run_node("tax", 4).await;
    let reply = federation.call_until_well(&federation.at(3, 8080), ECHO).await;
    assert_eq!(&*reply.body, b"a good answer");
    let (well, said) = run(&home, &["node", "init"]);
    assert!(well && said.contains("`bank sign`") && said.contains("baobab node run") && !said.contains(PIN), "{said}");
    assert_eq!(bank.terminate().0.code(), Some(0));

    // A PIN that others may read, and a module that is not there, are refused by their key before anything starts.
    write_pin(&pin, PIN, 0o644);
    let (well, said) = run(&home, &["node", "run"]);
    assert!(!well && said.contains("`token.pin_file`") && said.contains("chmod 600") && !said.contains(PIN), "{said}");
    let file = home.join("node.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("libsofthsm2.so", "nothing.so")).unwrap();
    let (well, said) = run(&home, &["node", "run"]);
    assert!(!well && said.contains("`token.module`") && said.contains("nothing.so"), "{said}");
    std::fs::write(&file, good).unwrap();

    // A wrong PIN: the node runs and says what is wrong; the right one and SIGHUP bring it into traffic.
    write_pin(&pin, "wrong", 0o600);
    let bank = Process::start(&home, &["node", "run"]);
    until(&federation, |body| body.contains("refused the PIN")).await;
    write_pin(&pin, PIN, 0o600);
    until(&federation, |body| {
        // A signal that comes before the node has started is none: it is sent again.
        bank.signal("HUP");
        body == "a good answer"
    })
    .await;
    assert_eq!(bank.terminate().0.code(), Some(0));
    let log = std::fs::read_to_string(home.join("log")).unwrap();
    assert!(log.contains("the token does not serve now") && !log.contains(PIN), "{log}");
}

/// Calls until the answer is as wanted.
async fn until(federation: &Federation, wanted: impl Fn(&str) -> bool) {
    let started = Instant::now();
    for turn in 0_u32.. {
        let reply = federation.call(&federation.at(3, 8080), ECHO, &format!("pin-{turn}-{started:?}")).await;
        if reply.as_ref().is_ok_and(|reply| wanted(&String::from_utf8_lossy(&reply.body))) {
            return;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "{reply:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
