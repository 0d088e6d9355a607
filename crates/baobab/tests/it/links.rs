//! The links between two nodes and their authority, on machines of their own, are slow, and are cut in the middle of a body and of many
//! exchanges: what was answered stands in both logs, and once the cables are back traffic flows without anybody's hand.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use civic::testing::SeededRandom;
use store::{Location, Store, params};
use trust::seal::KeyRing;

use crate::guide::{ask, follow};
use crate::machines::Network;

/// The big body: about eight seconds on the slowed link.
const BODY_BYTES: usize = 2_000_000;
const KILOBITS: u32 = 2_000;
const CALLERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_slow_and_cut_in_mid_body_lose_no_answered_exchange_and_need_no_hand() {
    let Some(mut network) = Network::of(&["authority", "tax", "bank", "notary"]) else { return };
    follow(&mut network, "guide.md");
    let nodes = [network.processes_of("tax", "baobab"), network.processes_of("bank", "baobab")];
    assert_eq!(nodes.clone().map(|pids| pids.len()), [1, 1], "one node on each machine");
    network.impair("tax", KILOBITS);
    network.shell("tax", &format!("head -c {BODY_BYTES} /dev/urandom > www/income/big"));
    begin(&mut network);

    // In the middle of the body, then of each other machine.
    for (machine, cut_s) in [("tax", 5), ("bank", 3), ("authority", 2)] {
        std::thread::sleep(Duration::from_secs(2));
        network.cut(machine, true);
        std::thread::sleep(Duration::from_secs(cut_s));
        network.cut(machine, false);
    }
    until_answered(&mut network, "after-the-cuts");
    std::thread::sleep(Duration::from_secs(3));
    end(&mut network);

    whole_or_refused(&mut network);
    let answered = answered(&network);
    assert!(answered.len() > 5, "only {} exchanges were answered: the test proves too little", answered.len());
    assert!(answered.iter().any(|id| id.starts_with("late-")), "none was answered after the cuts");
    let now = [network.processes_of("tax", "baobab"), network.processes_of("bank", "baobab")];
    assert_eq!(now, nodes, "no node was started anew");
    for (machine, role) in [("bank", 0), ("tax", 1)] {
        stop(&mut network, machine);
        let logged = fully_logged(&network.home(machine), role).await;
        let lost: Vec<&String> = answered.difference(&logged).collect();
        assert!(lost.is_empty(), "{} answered exchanges are not in the log of {machine}: {lost:?}", lost.len());
    }
}

/// A big body and many callers, in the background of the bank's shell. Each id that was answered with 200 is written down.
fn begin(network: &mut Network) {
    let call = "curl --silent --max-time 60 --header 'X-Road-Client: BB/COM/2001/credit'";
    let url = "http://127.0.0.1:8080/r1/BB/GOV/1002/fisc/income";
    let script = format!(
        "({call} --output big --write-out '%{{http_code}}' --header 'X-Road-Id: big' {url}/big > big.status || true; touch done-big) &\n\
         for caller in $(seq {CALLERS}); do (\n\
           turn=0\n\
           until test -e over; do\n\
             turn=$((turn + 1)); id=$(test -e late && echo late || echo early)-$caller-$turn\n\
             code=$({call} --output /dev/null --write-out '%{{http_code}}' --header \"X-Road-Id: $id\" {url}/2025 || true)\n\
             test \"$code\" = 200 && echo $id >> answered-$caller || true\n\
             sleep 0.1\n\
           done\n\
           touch done-$caller\n\
         ) & done"
    );
    assert!(network.shell("bank", &script).status.success());
}

/// From here on ids are late; waits until every caller and the big body have ended.
fn end(network: &mut Network) {
    network.shell("bank", "touch late");
    std::thread::sleep(Duration::from_secs(3));
    network.shell("bank", "touch over");
    let started = Instant::now();
    let home = network.home("bank");
    let names: Vec<String> = (1..=CALLERS).map(|caller| caller.to_string()).chain(["big".to_owned()]).collect();
    while !names.iter().all(|name| home.join(format!("done-{name}")).exists()) {
        assert!(started.elapsed() < Duration::from_mins(2), "a caller hangs");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn until_answered(network: &mut Network, id: &str) {
    let started = Instant::now();
    for turn in 0_u32.. {
        if ask(network, &format!("{id}-{turn}")) == "200" {
            return;
        }
        assert!(started.elapsed() < Duration::from_mins(2), "traffic does not flow again");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// What came with 200 is the body; where the cut broke it off, the caller knows, and asks again.
fn whole_or_refused(network: &mut Network) {
    let (bank, tax) = (network.home("bank"), network.home("tax"));
    let status = std::fs::read_to_string(bank.join("big.status")).unwrap();
    eprintln!("the body that was cut in the middle: status {status}");
    if status != "200" {
        let again = "curl --silent --fail --max-time 100 --output big --header 'X-Road-Client: BB/COM/2001/credit' \
                     http://127.0.0.1:8080/r1/BB/GOV/1002/fisc/income/big";
        let done = network.shell("bank", again);
        assert!(done.status.success(), "the body does not come on the mended link");
    }
    let read = |path: &Path| std::fs::read(path).unwrap();
    assert!(read(&bank.join("big")) == read(&tax.join("www/income/big")), "another body than the service gave");
}

fn answered(network: &Network) -> BTreeSet<String> {
    let home = network.home("bank");
    let read = |caller: usize| std::fs::read_to_string(home.join(format!("answered-{caller}"))).unwrap_or_default();
    (1..=CALLERS).flat_map(|caller| read(caller).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn stop(network: &mut Network, machine: &str) {
    for pid in network.processes_of(machine, "baobab") {
        assert!(network.shell(machine, &format!("kill -TERM {pid}")).status.success());
    }
    let started = Instant::now();
    while !network.processes_of(machine, "baobab").is_empty() {
        assert!(started.elapsed() < Duration::from_mins(1), "the node of {machine} does not stop");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The message ids whose request and answer both stand in the log of a node that has stopped.
async fn fully_logged(home: &Path, role: i64) -> BTreeSet<String> {
    let keys = KeyRing::from_text(&std::fs::read_to_string(home.join("store.key")).unwrap()).unwrap();
    let location = Location::Sqlite(home.join("data/node.db"));
    let store = Store::open(&location, keys, Arc::new(SeededRandom::new(1))).await.unwrap();
    let sql =
        "SELECT message_id FROM bridge_message WHERE role = $1 GROUP BY message_id HAVING COUNT(DISTINCT kind) = 2";
    let rows = store.read("test.logged", move |tx| tx.query(sql, &params![role])).await;
    let rows = rows.map_err(|error: store::StoreError| error).unwrap();
    store.close().await;
    rows.iter().map(|row| row.get("message_id").unwrap()).collect()
}
