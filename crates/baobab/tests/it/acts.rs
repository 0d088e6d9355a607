//! The acts of a running authority, in a log of its own process.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use trust::keys::SigningKey;
use trust::note::Opening;
use trust::note::policy::Policy;
use web::{ClientLimits, HttpClient};

use crate::federation::{Federation, header, run};
use crate::ledger::Running;

/// The key by which the authority appends, as it makes it itself the first time.
fn lay_key(home: &Path, key: &SigningKey) {
    let keys = home.join("keys");
    fs::DirBuilder::new().mode(0o700).create(&keys).unwrap();
    fs::write(keys.join("ledger.key.pem"), key.to_pkcs8_pem().unwrap()).unwrap();
    fs::set_permissions(keys.join("ledger.key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn start_log(folder: &Path, key: &SigningKey) -> Running {
    let key = STANDARD.encode(key.public().spki_der());
    let settings = format!(
        "origin = \"log.test/acts\"\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         [[submitter]]\nname = \"authority\"\nkey = \"{key}\"\n"
    );
    fs::write(folder.join("ledger.toml"), settings).unwrap();
    Running::start(folder)
}

/// What the proof of an act opens, once the log has it.
async fn opened(federation: &Federation, key: &str, act: i64, policy: &Policy) -> Value {
    let http = HttpClient::new(ClientLimits::default(), None);
    let url = format!("http://{}/api/v1/audit/{act}/proof", federation.at(2, 8605));
    let bearer = header("authorization", &format!("X-Road-ApiKey token={key}"));
    let started = Instant::now();
    loop {
        let answer = http.get(&url, std::slice::from_ref(&bearer)).await;
        if let Ok(answer) = answer
            && answer.status.is_success()
        {
            let proof = String::from_utf8(answer.body.to_vec()).unwrap();
            return serde_json::from_str(&Opening::verify(&proof, policy).unwrap().record).unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(30), "there is no proof of act {act}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_at_the_command_line_is_proved_by_the_log_also_after_a_reload() {
    let (place, key) = (tempfile::tempdir().unwrap(), SigningKey::generate_p256().unwrap());
    let log = start_log(place.path(), &key);
    let federation = Federation::found_with(|home, _| {
        lay_key(home, &key);
        format!("[ledger]\nurl = \"{}\"\nkey = \"{}\"\n", log.url(), log.vkey())
    });
    federation.answers(&federation.at(2, 8605), "/health").await;
    let home = federation.home("authority");
    let (well, api_key) = run(&home, &["authority", "api-key", "--role", "observer"]);
    assert!(well, "{api_key}");
    let policy = Policy::log_only(log.vkey().parse().unwrap());
    let first = opened(&federation, api_key.trim(), 1, &policy).await;
    assert_eq!((&first["action"], &first["actor"]), (&"key.create".into(), &"command line".into()));

    federation.authority.signal("HUP");
    let (well, said) = run(&home, &["authority", "add-member", "BB/GOV/1002", "Impôts"]);
    assert!(well, "{said}");
    let second = opened(&federation, api_key.trim(), 2, &policy).await;
    assert_eq!((&second["action"], &second["detail"]), (&"member.put".into(), &"Impôts".into()));
    let (_, said) = run(&home, &["authority", "init"]);
    assert!(said.contains(&STANDARD.encode(key.public().spki_der())), "{said}");
}
