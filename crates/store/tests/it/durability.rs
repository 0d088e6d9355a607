//! What an `Ok` promises on the embedded engine.

use store::testing::{open, sqlite, sqlite_in};
use store::{StoreError, params};

use crate::engines::{LOG, TABLES, count, log_row};

#[tokio::test]
async fn what_was_acknowledged_is_there_for_another_process_before_the_store_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite_in(folder.path()).await;
    store.migrate(TABLES).await.unwrap();
    store.append(&LOG, vec![log_row(1)]).await.unwrap();
    // A second store on the same file stands for the next process: it sees the log that was synced.
    let next = sqlite_in(folder.path()).await;
    assert_eq!(count(&next, "SELECT COUNT(*) AS n FROM demo_log").await, 1);
}

#[tokio::test]
async fn a_full_disk_is_an_error_for_those_who_wait_and_loses_nothing() {
    let store = sqlite().await;
    store.migrate(TABLES).await.unwrap();
    store.append(&LOG, vec![log_row(1)]).await.unwrap();
    limit_pages(&store, "PRAGMA max_page_count = 60").await;
    let mut acknowledged = 1_i64;
    let mut refused = 0;
    let callers: Vec<_> = (2..200)
        .map(|id| {
            let store = store.clone();
            let row = params![id, "large", vec![7_u8; 4_000]];
            tokio::spawn(async move { store.append(&LOG, vec![row]).await })
        })
        .collect();
    for caller in callers {
        match caller.await.unwrap() {
            Ok(()) => acknowledged += 1,
            Err(StoreError::Full { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0 && acknowledged > 1, "{acknowledged} acknowledged, {refused} refused");
    assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM demo_log").await, acknowledged);
    // Room again: the store goes on.
    limit_pages(&store, "PRAGMA max_page_count = 100000").await;
    store.append(&LOG, vec![log_row(1_000)]).await.unwrap();
    let again = open(store.location()).await;
    assert_eq!(count(&again, "SELECT COUNT(*) AS n FROM demo_log").await, acknowledged + 1);
}

/// A file system of two megabytes, where the tests may mount one (as root).
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the threads of the store may still close their files.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_disk_without_room_acknowledges_nothing_that_is_not_there() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = sqlite_in(disk.0.path()).await;
    store.migrate(TABLES).await.unwrap();
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 700_000]).unwrap();
    let mut acknowledged = 0_i64;
    let refused = loop {
        match store.append(&LOG, vec![params![acknowledged, "large", vec![7_u8; 20_000]]]).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000, "the disk never filled");
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
    // Room again: the store goes on, without a restart.
    std::fs::remove_file(ballast).unwrap();
    store.append(&LOG, vec![log_row(5_000)]).await.unwrap();
    acknowledged += 1;
    let again = open(store.location()).await;
    assert_eq!(count(&again, "SELECT COUNT(*) AS n FROM demo_log").await, acknowledged);
}

#[tokio::test]
async fn the_write_ahead_log_is_brought_in_before_it_grows_large() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite_in(folder.path()).await;
    store.migrate(TABLES).await.unwrap();
    for batch in 0..160 {
        let rows = (0..100).map(|row| params![batch * 100 + row, "large", vec![7_u8; 8_000]]).collect();
        store.append(&LOG, rows).await.unwrap();
    }
    let log = std::fs::metadata(folder.path().join("test.db-wal")).unwrap().len();
    // It is brought in at 32 MiB while the writer goes on; at 64 MiB the writer waits.
    assert!(log < 68 << 20, "the log grew to {log} bytes");
    assert!(store.stats().checkpoints >= 2);
    store.close().await;
    let log = std::fs::metadata(folder.path().join("test.db-wal")).map_or(0, |file| file.len());
    assert_eq!(log, 0, "a closed store leaves no log behind");
}

#[tokio::test]
async fn the_file_is_ours_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let _store = sqlite_in(&folder.path().join("deep/er")).await;
    let mode = std::fs::metadata(folder.path().join("deep/er/test.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

async fn limit_pages(store: &store::Store, pragma: &'static str) {
    let limited: Result<(), StoreError> = store.tx("demo.limit", move |tx| tx.query(pragma, &[]).map(drop)).await;
    limited.unwrap();
}
