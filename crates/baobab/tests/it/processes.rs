//! Authority and nodes as processes of their own: how they come to be, how they end, and what a signal changes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::cert::{CertificateRequest, NameAttribute};

use crate::federation::{ECHO, Federation, Process, offer, run};

/// A service behind the tax office's node: answers after a moment, counts.
pub(crate) struct Service {
    pub(crate) url: String,
    asked: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl Service {
    pub(crate) async fn start(pause: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let router = Router::new().fallback(move || {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(pause).await;
                "a good answer"
            }
        });
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, router, stop.clone()));
        Self { url, asked, _stop: stop.drop_guard() }
    }
}

/// A federation with both nodes in traffic.
async fn two_nodes(service: &Service) -> (Federation, Process, Process) {
    let federation = Federation::found();
    federation.join("bank", 3, "BB/COM/2001/node-1", "credit", "").await;
    federation.join("tax", 4, "BB/GOV/1002/node-1", "fisc", &offer(&service.url)).await;
    let bank = federation.run_node("bank", 3).await;
    let tax = federation.run_node("tax", 4).await;
    federation.call_until_well(&federation.at(3, 8080), ECHO).await;
    (federation, bank, tax)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_is_in_traffic_after_one_approval() {
    let service = Service::start(Duration::ZERO).await;
    let (federation, bank, tax) = two_nodes(&service).await;
    let reply = federation.call(&federation.at(3, 8080), ECHO, "first").await.unwrap();
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, &b"a good answer"[..]));

    let mode = |name: &str, file: &str| {
        std::fs::metadata(federation.home(name).join(file)).unwrap().permissions().mode() & 0o777
    };
    for (name, folders) in [("bank", ["keys", "data"]), ("authority", ["keys", "data"])] {
        for folder in folders {
            assert_eq!(mode(name, folder), 0o700, "{name}/{folder}");
        }
        assert_eq!(mode(name, "store.key"), 0o600);
    }
    assert_eq!(mode("bank", "keys/sign.key.pem"), 0o600);

    let (well, said) = run(&federation.home("authority"), &["authority", "list"]);
    assert!(well && said.contains("Waiting: 0") && said.contains("Members: 2") && said.contains("Nodes: 2"), "{said}");
    let (well, said) = run(&federation.home("bank"), &["node", "init"]);
    assert!(well && said.contains("baobab node run"), "done twice, it only says what comes next: {said}");
    let (well, said) = run(&federation.home("bank"), &["config", "check", "node.toml"]);
    assert!(well, "{said}");
    for process in [bank, tax, federation.authority] {
        let (status, _) = process.terminate();
        assert_eq!(status.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_names_the_country_of_its_authority_or_the_one_it_says() {
    let federation = Federation::found_with(|_, _| "country = \"SN\"\n".to_owned());
    let home = federation.home("bank");
    let folder = home.to_str().unwrap();
    federation.answers(&federation.at(2, 8604), "/anchor.xml").await;
    let authority = format!("http://{}", federation.at(2, 8604));
    let asked = |more: &[&str]| {
        let config = format!("{folder}/node.toml");
        let usual =
            ["node", "init", "--config", &config, "--server", "BB/COM/2001/node-1", "--name", "Banque", "--subsystem"];
        let rest = ["credit", "--address", "127.0.0.1:5500", "--authority", &authority];
        let (well, said) = run(federation.folder.path(), &[&usual[..], &rest, more].concat());
        assert!(well, "{said}");
        let request: serde_json::Value =
            serde_json::from_slice(&std::fs::read(home.join("data/join.json")).unwrap()).unwrap();
        let request = CertificateRequest::from_pem(request["auth_request"].as_str().unwrap()).unwrap();
        request.subject().get(NameAttribute::Country).unwrap()
    };
    assert_eq!(asked(&[]), "SN");
    // Another word of the operator makes another request, with the same keys.
    let (file, key) = (home.join("node.toml"), std::fs::read(home.join("keys/sign.key.pem")).unwrap());
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("country = \"CG\"\n{text}")).unwrap();
    assert_eq!(asked(&[]), "CG");
    assert_eq!(std::fs::read(home.join("keys/sign.key.pem")).unwrap(), key);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(asked(&["--country", "ML"]), "ML");
    assert!(std::fs::read_to_string(&file).unwrap().contains("country = \"ML\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_leads_nowhere() {
    let federation = Federation::found();
    let home = federation.home("bank");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("node.toml"), federation.settings(3, 3, "BB/COM/2001/node-1", "credit", "")).unwrap();
    federation.answers(&federation.at(2, 8604), "/anchor.xml").await;
    let (_, said) = run(&home, &["node", "init"]);
    let code = said.split("baobab authority approve ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let authority = federation.home("authority");
    let (well, said) = run(&authority, &["authority", "approve", "0000-0000-0000-0000"]);
    assert!(!well && said.contains("no request with the code"), "{said}");
    let (well, said) = run(&authority, &["authority", "refuse", &code, "--reason", "not a member"]);
    assert!(well, "{said}");
    let (well, said) = run(&home, &["node", "run"]);
    assert!(!well && said.contains("not a member"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_handed_over_by_files_where_no_network_leads_to_the_authority() {
    let federation = Federation::found();
    let home = without_a_network(&federation, "bank", "BB/COM/2001/node-1");
    let (well, said) = run(&home, &["node", "init"]);
    assert!(!well && said.contains("--anchor"), "{said}");
    let (well, said) =
        run(&home, &["node", "init", "--anchor", "../authority/anchor.xml", "--anchor-sha256", &"0".repeat(64)]);
    assert!(!well && said.contains("another way"), "{said}");
    let (well, said) = run(&home, &["node", "init", "--anchor", "../authority/anchor.xml"]);
    assert!(well && said.contains("hand"), "{said}");
    let (well, said) = run(&federation.home("authority"), &["authority", "approve", "../bank/data/join.json"]);
    assert!(well, "{said}");
    let (well, said) = run(&home, &["node", "init", "--answer", "data/join.answer.json"]);
    assert!(well && said.contains("baobab node run"), "{said}");

    // The answer to another node is refused, and what was good stays good.
    let other = without_a_network(&federation, "other", "BB/COM/2002/node-1");
    let (well, said) = run(&other, &["node", "init", "--anchor", "../authority/anchor.xml"]);
    assert!(well, "{said}");
    let (well, said) = run(&federation.home("authority"), &["authority", "approve", "../other/data/join.json"]);
    assert!(well, "{said}");
    let kept = || ["sign", "auth"].map(|name| std::fs::read(home.join(format!("keys/{name}.cert.pem"))).unwrap());
    let good = kept();
    let (well, said) = run(&home, &["node", "init", "--answer", "../other/data/join.answer.json"]);
    assert!(!well && said.contains("not the certificate of its key"), "{said}");
    assert_eq!(kept(), good);
    let (well, said) = run(&home, &["node", "init"]);
    assert!(well && said.contains("is registered"), "{said}");

    // Nor does it say that all is well where another hand put a wrong certificate.
    std::fs::copy(home.join("keys/sign.cert.pem"), home.join("keys/auth.cert.pem")).unwrap();
    let (well, said) = run(&home, &["node", "init"]);
    assert!(!well && said.contains("auth.cert.pem is not the certificate of its key"), "{said}");
}

/// The folder of a node whose configuration names no authority.
fn without_a_network(federation: &Federation, name: &str, server: &str) -> PathBuf {
    let home = federation.home(name);
    std::fs::create_dir(&home).unwrap();
    let settings = federation.settings(3, 3, server, "credit", "");
    let settings: Vec<&str> = settings.lines().filter(|line| !line.starts_with("authority")).collect();
    std::fs::write(home.join("node.toml"), settings.join("\n")).unwrap();
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_to_start_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let status = |arguments: &[&str]| Process::start(folder.path(), arguments).exit().code();
    assert_eq!(status(&["node", "run"]), Some(3), "no configuration");
    std::fs::write(folder.path().join("node.toml"), "sever = 1").unwrap();
    assert_eq!(status(&["node", "run"]), Some(3), "an unknown key");
    assert_eq!(status(&["config", "check", "node.toml"]), Some(3));
    assert_eq!(status(&["node", "walk"]), Some(2), "wrong use");
    let (_, said) = run(folder.path(), &["authority", "run"]);
    assert!(said.contains("authority.toml cannot be read") && said.contains("init"), "{said}");
    let (_, said) = run(folder.path(), &["authority", "init"]);
    assert!(said.contains("--instance"), "{said}");
    let (_, said) = run(folder.path(), &["config", "reference"]);
    assert!(said.contains("| `transport` |"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_while_a_node_starts_is_remembered_until_it_runs() {
    let service = Service::start(Duration::ZERO).await;
    let federation = Federation::found();
    federation.join("bank", 3, "BB/COM/2001/node-1", "credit", "").await;
    let _bank = federation.run_node("bank", 3).await;

    // A node that waits for its approval is starting: its sockets are bound, its file is read.
    let home = federation.home("tax");
    std::fs::create_dir(&home).unwrap();
    let settings = |more: &str| federation.settings(4, 4, "BB/GOV/1002/node-1", "fisc", more);
    std::fs::write(home.join("node.toml"), settings("")).unwrap();
    let (well, said) = run(&home, &["node", "init"]);
    assert!(well, "{said}");
    let tax = Process::start(&home, &["node", "run"]);
    while tokio::net::TcpStream::connect(federation.at(4, 8090)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::write(home.join("node.toml"), settings(&offer(&service.url))).unwrap();
    tax.signal("HUP");
    tokio::time::sleep(Duration::from_millis(300)).await;

    let code = said.split("baobab authority approve ").nth(1).unwrap().split_whitespace().next().unwrap();
    let (well, said) = run(&federation.home("authority"), &["authority", "approve", code]);
    assert!(well, "{said}");
    federation.call_until_well(&federation.at(3, 8080), ECHO).await;
    let log = std::fs::read_to_string(home.join("log")).unwrap();
    assert_eq!(log.matches("were read again").count(), 1, "one reload, once it runs: {log}");
    assert_eq!(tax.terminate().0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_breaks_no_exchange_off() {
    let service = Service::start(Duration::from_millis(200)).await;
    let (federation, bank, tax) = two_nodes(&service).await;
    let federation = Arc::new(federation);
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for caller in 0..16 {
        let (federation, over) = (Arc::clone(&federation), Arc::clone(&over));
        callers.push(tokio::spawn(async move {
            let mut answered = 0;
            for turn in 0_u32.. {
                match federation.call(&federation.at(3, 8080), ECHO, &format!("drain-{caller}-{turn}")).await {
                    Ok(reply) if reply.status.is_success() => answered += 1,
                    Ok(reply) => assert!(over.load(Ordering::SeqCst), "an exchange failed: {:?}", reply.body),
                    // A refused connection after the signal is how a drained node looks; a broken exchange is not.
                    Err(error) => {
                        assert!(over.load(Ordering::SeqCst), "{error}");
                        assert!(error.to_string().to_lowercase().contains("connect"), "{error}");
                        return answered;
                    }
                }
            }
            answered
        }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    over.store(true, Ordering::SeqCst);
    let (status, took) = tokio::task::spawn_blocking(move || bank.terminate()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(took >= Duration::from_millis(50) && took < Duration::from_secs(10), "{took:?}");
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.unwrap();
    }
    assert!(answered >= 16 && service.asked.load(Ordering::SeqCst) >= answered);
    assert_eq!(tax.terminate().0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_brings_a_new_right_and_new_certificates_into_force_without_dropping_an_exchange() {
    let service = Service::start(Duration::from_millis(100)).await;
    let (federation, bank, tax) = two_nodes(&service).await;
    let federation = Arc::new(federation);
    let other = "BB/GOV/1002/fisc/other";
    let refused = federation.call(&federation.at(3, 8080), other, "before").await.unwrap();
    assert!(!refused.status.is_success());

    // Traffic goes on meanwhile, and no exchange of it fails.
    let over = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn({
        let (federation, over) = (Arc::clone(&federation), Arc::clone(&over));
        async move {
            let (mut count, mut repeated) = (0_u32, 0_u32);
            while !over.load(Ordering::SeqCst) {
                let reply = federation.call(&federation.at(3, 8080), ECHO, &format!("traffic-{count}")).await.unwrap();
                if !reply.status.is_success() {
                    // A message that leaves in the very moment of the change may show the one certificate on the other's connection.
                    repeated += 1;
                    assert!(repeated <= 1, "{:?}", reply.body);
                }
                count += 1;
            }
            count
        }
    });

    let file = federation.home("tax").join("node.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{}", offer(&service.url).replace("/echo", "/other"))).unwrap();
    tax.signal("HUP");
    federation.call_until_well(&federation.at(3, 8080), other).await;

    // A broken file changes nothing.
    std::fs::write(&file, "sever = 1").unwrap();
    tax.signal("HUP");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(federation.call(&federation.at(3, 8080), other, "after").await.unwrap().status.is_success());

    // New keys: the old ones are put aside, the node asks again, the authority approves, SIGHUP.
    let home = federation.home("bank");
    for name in ["sign.key.pem", "sign.cert.pem", "auth.key.pem", "auth.cert.pem"] {
        std::fs::rename(home.join("keys").join(name), home.join(format!("old-{name}"))).unwrap();
    }
    let (_, said) = run(&home, &["node", "init"]);
    let code = said.split("baobab authority approve ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let (well, said) = run(&federation.home("authority"), &["authority", "approve", &code]);
    assert!(well, "{said}");
    let (well, said) = run(&home, &["node", "init"]);
    assert!(well && said.contains("has its certificates"), "{said}");
    // The peers learn the new certificate first.
    tokio::time::sleep(Duration::from_secs(4)).await;
    bank.signal("HUP");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let log = std::fs::read_to_string(home.join("log")).unwrap();
    assert!(log.contains("keys and certificates were read again"), "{log}");
    federation.call_until_well(&federation.at(3, 8080), ECHO).await;
    over.store(true, Ordering::SeqCst);
    assert!(traffic.await.unwrap() > 10);
    for process in [bank, tax] {
        assert_eq!(process.terminate().0.code(), Some(0));
    }
}
