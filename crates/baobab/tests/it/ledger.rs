//! `baobab ledger check` as an operator calls it: each kind of row and file of a log is altered, and the command names it.
//! And `baobab ledger run`, with tiles in a bucket.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use civic::testing::TestClock;
use ledger::{ENTRIES_MAX, Ledger, LedgerClient, LedgerConfig, Submitter};
use store::bucket::{Bucket, BucketConfig};
use store::testing::{Moto, engines};
use store::{Store, StoreError, Value, params};
use trust::keys::SigningKey;

/// Enough for a full tile of level 1.
const SIZE: u64 = 66_000;

async fn make(store: &Store, tiles: Option<&Path>, size: u64) -> Ledger {
    let clock = std::sync::Arc::new(TestClock::at("2026-11-27T16:00:00Z"));
    let config = LedgerConfig::new(store.clone(), SigningKey::generate_ed25519().unwrap(), "ledger.test/check", clock);
    let config = if let Some(tiles) = tiles { config.folder(tiles) } else { config };
    let ledger = Ledger::open_with(config).await.unwrap();
    let entries: Vec<Vec<u8>> = (0..size).map(|number| format!("entry {number}").into_bytes()).collect();
    for batch in entries.chunks(ENTRIES_MAX) {
        ledger.append(batch.to_vec()).await.unwrap();
    }
    ledger
}

/// The address of a store as it is written on a command line.
fn address(store: &Store) -> String {
    match store.location() {
        store::Location::Sqlite(path) => format!("sqlite:{}", path.display()),
        store::Location::Postgres { url, schema } => {
            let mark = if url.contains('?') { '&' } else { '?' };
            format!("{url}{mark}schema={}", schema.as_deref().unwrap_or("public"))
        }
    }
}

/// Whether the command found the log whole, and what it said.
fn check(store: &Store, vkey: &str, more: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_baobab"))
        .args(["ledger", "check", "--store", &address(store), "--vkey", vkey])
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    (output.status.success(), said)
}

/// Changes one bit of the last byte of a column of bytes; twice is as before.
async fn flip(store: &Store, column: &'static str, table: &'static str, place: &'static str) {
    let flipped: Result<(), StoreError> = store
        .tx("test.flip", move |tx| {
            let row = tx.query_one(&format!("SELECT {column} FROM {table} WHERE {place}"), &[])?.unwrap();
            let value = if let Ok(mut bytes) = row.get::<Vec<u8>>(column) {
                *bytes.last_mut().unwrap() ^= 1;
                Value::Bytes(bytes)
            } else {
                // A text: its last letter but the line end.
                let mut bytes = row.get::<String>(column)?.into_bytes();
                let place = bytes.len() - 5;
                bytes[place] ^= 1;
                Value::Text(String::from_utf8(bytes).unwrap())
            };
            tx.execute(&format!("UPDATE {table} SET {column} = $1 WHERE {place}"), &[value]).map(drop)
        })
        .await;
    flipped.unwrap();
}

async fn run(store: &Store, sql: &'static str) {
    let changed: Result<u64, StoreError> = store.tx("test.alter", move |tx| tx.execute(sql, &params![])).await;
    assert_eq!(changed, Ok(1), "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_row_that_was_altered_is_named_with_what_helps() {
    for store in engines().await {
        let vkey = make(&store, None, SIZE).await.vkey();
        let (whole, said) = check(&store, &vkey, &[]);
        assert!(whole && said.contains("WHOLE: 66000 entries and 258 full tiles"), "{said}");

        for (column, table, place, named, helps) in [
            ("bundle", "ledger_batch", "first = 1000", "entry 1999: in the store", "bring these entries back"),
            ("hashes", "ledger_tile", "level = 0 AND tile_index = 7", "tile/0/007: it is not", "bring this tile back"),
            ("hashes", "ledger_tile", "level = 1", "tile/1/000: it is not", "bring this tile back"),
            ("note", "ledger_checkpoint", "size = 66000", "the checkpoint: ", "restore the newest backup"),
            ("origin", "ledger_checkpoint", "size = 66000", "the store holds `ledger.test/", "that belong together"),
        ] {
            flip(&store, column, table, place).await;
            let (whole, said) = check(&store, &vkey, &[]);
            assert!(!whole && said.contains(named) && said.contains(helps), "{table} {place}: {said}");
            flip(&store, column, table, place).await;
        }
        for (there, back, named) in [
            (
                "UPDATE ledger_batch SET entries = 999 WHERE first = 3000",
                "UPDATE ledger_batch SET entries = 1000 WHERE first = 3000",
                "the batch at entry 3000: its entries are cut short",
            ),
            (
                "UPDATE ledger_batch SET first = 4001 WHERE first = 4000",
                "UPDATE ledger_batch SET first = 4000 WHERE first = 4001",
                "entry 4000",
            ),
            (
                "UPDATE ledger_checkpoint SET size = 65999",
                "UPDATE ledger_checkpoint SET size = 66000",
                "the row says 65999 entries, the signed note 66000",
            ),
            (
                "UPDATE ledger_tile SET tile_index = 900 WHERE level = 0 AND tile_index = 9",
                "UPDATE ledger_tile SET tile_index = 9 WHERE tile_index = 900",
                "tile/0/009: it is missing",
            ),
        ] {
            run(&store, there).await;
            let (whole, said) = check(&store, &vkey, &[]);
            assert!(!whole && said.contains(named), "{there}: {said}");
            run(&store, back).await;
        }
        // Two at once are both named; as JSON too.
        flip(&store, "bundle", "ledger_batch", "first = 0").await;
        flip(&store, "hashes", "ledger_tile", "level = 1").await;
        let (whole, said) = check(&store, &vkey, &["--json"]);
        assert!(
            !whole && said.contains("entry 999") && said.contains("tile/1/000") && said.contains("\"damaged\": 2"),
            "{said}"
        );
        run(&store, "DELETE FROM ledger_checkpoint").await;
        let (whole, said) = check(&store, &vkey, &[]);
        assert!(!whole && said.contains("the checkpoint: the store has none"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_file_that_was_altered_or_lost_is_named_with_what_helps() {
    for store in engines().await {
        let folder = tempfile::tempdir().unwrap();
        let ledger = make(&store, Some(folder.path()), SIZE).await;
        let vkey = ledger.vkey();
        ledger.settle().await.unwrap();
        // What comes now is staged still.
        ledger.append(vec![b"one more".to_vec()]).await.unwrap();
        drop(ledger);
        let tiles = ["--tiles", folder.path().to_str().unwrap()];
        let (whole, said) = check(&store, &vkey, &tiles);
        assert!(whole && said.contains("WHOLE: 66001 entries"), "{said}");
        let (whole, said) = check(&store, &vkey, &[]);
        assert!(!whole && said.contains("they are in a folder of tiles: name it"), "{said}");
        for (path, named, helps) in [
            ("tile/0/003", "tile/0/003: it is", "bring this tile back"),
            ("tile/1/000", "tile/1/000: it is", "bring this tile back"),
            ("tile/entries/003", "up to 1023: in tile/entries/003", "bring these entries back"),
            ("tile/0/257.p/209", "tile/0/257.p/209: it is", "start the log"),
            ("tile/entries/257.p/209", "tile/entries/257.p/209", "start the log"),
            ("tile/2/000.p/1", "tile/2/000.p/1: it is", "start the log"),
            ("checkpoint", "checkpoint: it is", "start the log"),
        ] {
            let path = folder.path().join(path);
            let good = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut bad = good.clone();
            bad[1] ^= 1;
            fs::write(&path, &bad).unwrap();
            let (whole, said) = check(&store, &vkey, &tiles);
            assert!(!whole && said.contains(named) && said.contains(helps), "{}: {said}", path.display());
            fs::remove_file(&path).unwrap();
            let (whole, said) = check(&store, &vkey, &tiles);
            assert!(!whole && said.contains(named.split(": it is").next().unwrap()), "{}: {said}", path.display());
            fs::write(&path, &good).unwrap();
        }
        flip(&store, "bundle", "ledger_batch", "first = 66000").await;
        let (whole, said) = check(&store, &vkey, &tiles);
        assert!(!whole && said.contains("entry 66000: in "), "{said}");
        flip(&store, "bundle", "ledger_batch", "first = 66000").await;
        assert!(check(&store, &vkey, &tiles).0, "the command changes nothing");
    }
}

#[tokio::test]
async fn what_is_not_there_and_a_foreign_key_are_told() {
    let place = tempfile::tempdir().unwrap();
    let store = store::testing::sqlite_in(place.path()).await;
    let vkey = make(&store, None, 3).await.vkey();
    let other = make(&store::testing::sqlite().await, None, 1).await.vkey();
    let (whole, said) = check(&store, &other, &[]);
    assert!(!whole && said.contains("the checkpoint"), "{said}");
    let (whole, said) = check(&store, &vkey, &["--tiles", "/nowhere"]);
    assert!(!whole && said.contains("no folder of tiles at /nowhere"), "{said}");
    let path = place.path().join("test.db");
    store.close().await;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, [b"not a database, ".as_slice(), &bytes[16..]].concat()).unwrap();
    let (whole, said) = check(&store, &vkey, &[]);
    assert!(!whole && said.contains("not a database"), "{said}");
    fs::remove_file(&path).unwrap();
    let (whole, said) = check(&store, &vkey, &[]);
    assert!(!whole && said.contains("there is no store at"), "{said}");
}

/// A log as a process of its own.
pub(crate) struct Running {
    process: Child,
    lines: Vec<String>,
}

impl Running {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_baobab"))
            .args(["ledger", "run"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        // Where it listens, and its two keys.
        let lines: Vec<String> = said.lines().map_while(Result::ok).take(3).collect();
        let complained = fs::read_to_string(folder.join("stderr")).unwrap();
        assert_eq!(lines.len(), 3, "{lines:?} {complained}");
        Self { process, lines }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.lines[0].rsplit(' ').next().unwrap().trim_end_matches('.'))
    }

    pub(crate) fn vkey(&self) -> String {
        self.lines[1].strip_prefix("vkey ").unwrap().to_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
        self.process.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SECRET: &str = "a-secret-that-nobody-sees";

pub(crate) fn write_configuration(folder: &Path, endpoint: &str, submitter: &SigningKey) {
    let key = STANDARD.encode(submitter.public().spki_der());
    let text = format!(
        "origin = \"log.example/check\"\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         [[submitter]]\nname = \"BB/COM/2001\"\nkey = \"{key}\"\n\
         [bucket]\nendpoint = \"{endpoint}\"\nname = \"tiles\"\nprefix = \"check\"\n\
         access_key = \"keeper\"\naway_s_max = 2\n"
    );
    fs::write(folder.join("ledger.toml"), text).unwrap();
    fs::write(folder.join("bucket.key"), format!("{SECRET}\n")).unwrap();
    fs::set_permissions(folder.join("bucket.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_its_own_process_keeps_its_tiles_in_a_bucket_and_is_checked_there() {
    let Some(mut server) = Moto::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let key = SigningKey::generate_p256().unwrap();
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    write_configuration(folder, &endpoint, &key);
    let (good, said) = crate::federation::run(folder, &["config", "check", "ledger.toml"]);
    assert!(good, "{said}");
    let running = Running::start(folder);
    let vkey = running.vkey();
    let client = client_of(&running, &key);
    let entries: Vec<Vec<u8>> = (0..600).map(|number| format!("entry {number}").into_bytes()).collect();
    assert_eq!(client.append(&entries).await.unwrap(), (0..600).collect::<Vec<u64>>());
    assert_eq!(running.terminate(), Some(0));

    let vkey = vkey.as_str();
    let arguments = ["ledger", "check", "--store", "sqlite:data/ledger.db", "--vkey", vkey, "--bucket", "ledger.toml"];
    let (whole, said) = crate::federation::run(folder, &arguments);
    assert!(whole && said.contains("WHOLE: 600 entries"), "{said}");
    let bucket = Bucket::new(BucketConfig {
        endpoint,
        bucket: "tiles".to_owned(),
        region: "us-east-1".to_owned(),
        prefix: "check".to_owned(),
        access_key: "keeper".to_owned(),
        secret_key: SECRET.to_owned(),
        away_max: Duration::from_secs(5),
    });
    bucket.unwrap().delete("tile/0/001").await.unwrap();
    let (whole, said) = crate::federation::run(folder, &arguments);
    assert!(!whole && said.contains("tile/0/001: it is missing") && said.contains("start the log"), "{said}");
    assert_eq!(Running::start(folder).terminate(), Some(0));
    assert!(crate::federation::run(folder, &arguments).0, "the start wrote it anew");

    // Without its bucket the process ends with an error that says what to do, and tells no secret.
    let mut running = Running::start(folder);
    server.kill();
    let _ = client_of(&running, &key).append(&[b"one more".to_vec()]).await;
    assert_eq!(running.process.wait().unwrap().code(), Some(1));
    let complained = fs::read_to_string(folder.join("stderr")).unwrap();
    assert!(complained.contains("bring it back") && !complained.contains(SECRET), "{complained}");
}

pub(crate) fn client_of(running: &Running, key: &SigningKey) -> LedgerClient {
    let key = SigningKey::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap();
    let submitter = Submitter::new("BB/COM/2001", key).unwrap();
    let clock = std::sync::Arc::new(baobab::SystemClock);
    LedgerClient::new(&running.url(), running.vkey().parse().unwrap(), Some(submitter), clock).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_log_takes_another_key_of_a_submitter_at_sighup() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let [old, new] = [(); 2].map(|()| SigningKey::generate_p256().unwrap());
    let entry = |key: &SigningKey| {
        let key = STANDARD.encode(key.public().spki_der());
        format!("[[submitter]]\nname = \"BB/COM/2001\"\nkey = \"{key}\"\n")
    };
    let write = |entries: &[String]| {
        let settings = "origin = \"log.test/keys\"\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n".to_owned();
        fs::write(folder.join("ledger.toml"), settings + &entries.concat()).unwrap();
    };
    write(&[entry(&old)]);
    let running = Running::start(folder);
    let (with_old, with_new) = (client_of(&running, &old), client_of(&running, &new));
    assert_eq!(with_old.append(&[b"first".to_vec()]).await.unwrap(), [0]);
    assert!(with_new.append(&[b"early".to_vec()]).await.is_err());

    write(&[entry(&old), entry(&new)]);
    running.signal("HUP");
    until_taken(&with_new, b"second").await;
    assert_eq!(with_old.append(&[b"first".to_vec()]).await.unwrap(), [0], "the old key still counts");

    // A broken file changes nothing; without its entry the old key is out.
    fs::write(folder.join("ledger.toml"), "orign = 1").unwrap();
    running.signal("HUP");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(with_new.append(&[b"second".to_vec()]).await.unwrap(), [1]);
    write(&[entry(&new)]);
    running.signal("HUP");
    until_refused(&with_old, b"first").await;
    assert_eq!(with_new.append(&[b"second".to_vec()]).await.unwrap(), [1]);
    assert_eq!(running.terminate(), Some(0));
}

pub(crate) async fn until_taken(client: &LedgerClient, entry: &[u8]) {
    let started = Instant::now();
    while client.append(&[entry.to_vec()]).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn until_refused(client: &LedgerClient, entry: &[u8]) {
    let started = Instant::now();
    while client.append(&[entry.to_vec()]).await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
