//! The embedded engine: one writer thread with group commit, several readers.
//!
//! The writer takes every job that waits, runs each (behind a savepoint of its own, appends excepted), commits once (one fsync of the
//! write-ahead log, `synchronous=FULL`) and only then answers. The log is brought into the database file by a thread of its own
//! (`checkpoint`), so no caller waits for that. After a failed read, write or sync of the disk nothing is written any more:
//! the kernel may have dropped the pages that a second sync would report as safe.

mod checkpoint;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags};

use self::checkpoint::Checkpoints;
use crate::error::shorten;
use crate::job::{Job, Line, Verdict};
use crate::metrics::Metrics;
use crate::tx::{ANSWER_ROWS_MAX, Handle, Refusal, names, too_many_rows};
use crate::value::Row;
use crate::{AppendTable, Sealer, StoreError, Tx, Value};

/// One commit serves at most this many callers, so that none waits long.
const GROUP_JOBS_MAX: usize = 1_024;
/// One commit gathers work for at most this long.
const GROUP_TIME_MAX: Duration = Duration::from_millis(5);
/// How long another process may hold the database before we give up.
const BUSY_TIME_MAX: Duration = Duration::from_secs(5);

type Work = Box<dyn Job>;

/// The threads of one SQLite database.
pub(crate) struct Engine {
    writes: Arc<Line<Work>>,
    reads: Arc<Line<Work>>,
    broken: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Opens the file and starts the threads.
    pub(crate) fn open(path: &Path, sealer: &Sealer, metrics: &Metrics) -> Result<Self, StoreError> {
        prepare_file(path)?;
        let writes = Arc::new(Line::new());
        let reads = Arc::new(Line::new());
        let broken = Arc::new(AtomicBool::new(false));
        let writer = Writer::open(path, sealer, metrics, &writes, &broken)?;
        let mut readers = Vec::new();
        for _ in 0..thread::available_parallelism().map_or(2, usize::from).clamp(2, 4) {
            readers.push(open_reader(path).map_err(|error| unavailable(&error))?);
        }
        // SQLite syncs the name of its new write-ahead log and overlooks an error there.
        sync_folder(path)?;
        let line = Arc::clone(&writes);
        let fails = Arc::clone(&broken);
        let mut threads = vec![spawn("store-writer", move || serve(&line, &fails, || writer.serve()))?];
        for connection in readers {
            let (line, fails, sealer) = (Arc::clone(&reads), Arc::clone(&broken), sealer.clone());
            let server = move || serve(&line, &fails, || serve_reads(&connection, &line, &sealer));
            threads.push(spawn("store-reader", server)?);
        }
        Ok(Self { writes, reads, broken, threads: Mutex::new(threads) })
    }

    /// Opens a file that exists, for reads only.
    pub(crate) fn open_to_read(path: &Path, sealer: &Sealer) -> Result<Self, StoreError> {
        let connection = open_only_to_read(path).map_err(|error| unavailable(&error))?;
        let (writes, reads) = (Arc::new(Line::new()), Arc::new(Line::new()));
        writes.close();
        let broken = Arc::new(AtomicBool::new(false));
        let (line, fails, sealer) = (Arc::clone(&reads), Arc::clone(&broken), sealer.clone());
        let server = move || serve(&line, &fails, || serve_reads(&connection, &line, &sealer));
        let reader = spawn("store-reader", server)?;
        Ok(Self { writes, reads, broken, threads: Mutex::new(vec![reader]) })
    }

    pub(crate) fn write(&self, job: Work) -> Result<(), StoreError> {
        self.writes.push(job)
    }

    pub(crate) fn append(&self, job: Work, patience: Duration) -> Result<(), StoreError> {
        self.writes.push_patient(job, patience)
    }

    pub(crate) fn read(&self, job: Work) -> Result<(), StoreError> {
        self.reads.push(job)
    }

    pub(crate) fn health(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) { Err(refused()) } else { Ok(()) }
    }

    /// Refuses new jobs; those that wait are still served.
    pub(crate) fn shut(&self) {
        self.writes.close();
        self.reads.close();
    }

    /// Waits until the threads are gone. Blocks.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has failed its callers already.
            let _ = thread.join();
        }
    }
}

/// Runs a statement; how many rows it changed.
pub(crate) fn execute(connection: &Connection, sql: &str, params: &[Value]) -> Result<u64, Refusal> {
    let mut statement = prepare(connection, sql, params)?;
    let changed = statement.raw_execute().map_err(|error| refusal(&error, sql))?;
    Ok(changed as u64)
}

/// Runs a statement; its rows.
pub(crate) fn query(connection: &Connection, sql: &str, params: &[Value]) -> Result<Vec<Row>, Refusal> {
    let mut statement = prepare(connection, sql, params)?;
    let columns = names(statement.column_names());
    let mut rows = statement.raw_query();
    let mut answer = Vec::new();
    while let Some(row) = rows.next().map_err(|error| refusal(&error, sql))? {
        if answer.len() == ANSWER_ROWS_MAX {
            return Err(Refusal { error: too_many_rows(sql), again: None });
        }
        let mut values = Vec::with_capacity(columns.len());
        for index in 0..columns.len() {
            let value = row.get_ref(index).map_err(|error| refusal(&error, sql))?;
            values.push(decode(value).map_err(|reason| statement_error(sql, reason))?);
        }
        answer.push(Row::new(Arc::clone(&columns), values));
    }
    Ok(answer)
}

/// Adds rows by one prepared statement.
pub(crate) fn append_rows(connection: &Connection, table: &AppendTable, rows: &[Vec<Value>]) -> Result<(), Refusal> {
    let sql = table.row_insert();
    let mut statement = connection.prepare_cached(&sql).map_err(|error| refusal(&error, &sql))?;
    for row in rows {
        for (index, value) in row.iter().enumerate() {
            statement.raw_bind_parameter(index + 1, encode(value)).map_err(|error| refusal(&error, &sql))?;
        }
        statement.raw_execute().map_err(|error| refusal(&error, &sql))?;
    }
    Ok(())
}

/// Runs statements that define tables.
pub(crate) fn define(connection: &Connection, sql: &str) -> Result<(), Refusal> {
    connection.execute_batch(sql).map_err(|error| refusal(&error, sql))
}

struct Writer {
    connection: Connection,
    line: Arc<Line<Work>>,
    sealer: Sealer,
    metrics: Metrics,
    broken: Arc<AtomicBool>,
    /// Pages in the write-ahead log after the last commit; -1 where none took place since it was looked at.
    log_pages: Arc<AtomicI64>,
    checkpoints: Checkpoints,
}

/// How the run of a group of jobs inside one transaction ended.
enum GroupEnd {
    Committed,
    /// Nothing of it was stored.
    Undone(StoreError),
    /// What is on disk is uncertain.
    Uncertain(StoreError),
}

impl Writer {
    fn open(
        path: &Path,
        sealer: &Sealer,
        metrics: &Metrics,
        line: &Arc<Line<Work>>,
        broken: &Arc<AtomicBool>,
    ) -> Result<Self, StoreError> {
        let log_pages = Arc::new(AtomicI64::new(-1));
        let mut connection = open_connection(path).map_err(|error| unavailable(&error))?;
        let seen = Arc::clone(&log_pages);
        connection
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
                seen.store(i64::from(pages), Ordering::SeqCst);
                Ok(())
            }))
            .map_err(|error| unavailable(&error))?;
        Ok(Self {
            connection,
            line: Arc::clone(line),
            sealer: sealer.clone(),
            metrics: metrics.clone(),
            broken: Arc::clone(broken),
            log_pages,
            checkpoints: Checkpoints::start(path, metrics, broken)?,
        })
    }

    fn serve(mut self) {
        while let Some(first) = self.line.next() {
            self.serve_group(first);
            if !self.is_broken() {
                self.checkpoints.after_commit(&self.connection, self.log_pages.load(Ordering::SeqCst));
            }
        }
        self.checkpoints.finish(&self.connection);
    }

    fn serve_group(&self, first: Work) {
        if self.is_broken() {
            first.finish(Err(refused()));
            return;
        }
        let started = Instant::now();
        let mut group = Vec::new();
        let mut next = Some(first);
        let end = self.run_group(&mut group, || {
            if let Some(job) = next.take() {
                return Some(job);
            }
            if started.elapsed() < GROUP_TIME_MAX { self.line.next_now() } else { None }
        });
        match end {
            GroupEnd::Committed => self.finish_all(group, &Ok(())),
            GroupEnd::Uncertain(error) => {
                self.broken.store(true, Ordering::SeqCst);
                tracing::error!(%error, "the disk failed under the database; this store refuses further writes");
                self.finish_all(group, &Err(error));
            }
            GroupEnd::Undone(error) if group.len() == 1 => self.finish_all(group, &Err(error)),
            // One job may have spoiled it for its neighbours: each gets a transaction of its own.
            GroupEnd::Undone(_) => group.into_iter().for_each(|job| self.serve_group_of_one(job)),
        }
    }

    fn serve_group_of_one(&self, job: Work) {
        if self.is_broken() {
            job.finish(Err(refused()));
            return;
        }
        let mut next = Some(job);
        let mut group = Vec::new();
        let outcome = match self.run_group(&mut group, || next.take()) {
            GroupEnd::Committed => Ok(()),
            GroupEnd::Undone(error) => Err(error),
            GroupEnd::Uncertain(error) => {
                self.broken.store(true, Ordering::SeqCst);
                Err(error)
            }
        };
        self.finish_all(group, &outcome);
    }

    /// Runs jobs in one transaction until there is none left to take; `group` holds every job that was taken.
    fn run_group(&self, group: &mut Vec<Work>, mut take: impl FnMut() -> Option<Work>) -> GroupEnd {
        self.log_pages.store(-1, Ordering::SeqCst);
        let begun = self.control("BEGIN IMMEDIATE");
        let mut appended = 0;
        while group.len() < GROUP_JOBS_MAX {
            let Some(mut job) = take() else { break };
            if let Err(error) = &begun {
                group.push(job);
                return GroupEnd::Undone(error.clone());
            }
            let ran = self.run_job(job.as_mut());
            group.push(job);
            match ran {
                Ok(rows) => appended += rows,
                Err(error) => return self.undo(error),
            }
        }
        if let Err(error) = self.control("COMMIT") {
            return self.undo(error);
        }
        if self.log_pages.load(Ordering::SeqCst) >= 0 {
            self.metrics.committed(group.len());
        }
        self.metrics.rows_appended.inc_by(appended);
        GroupEnd::Committed
    }

    /// The rows appended; an error where the whole transaction is lost.
    fn run_job(&self, job: &mut dyn Job) -> Result<u64, StoreError> {
        // An append hardly ever fails, and a savepoint copies each page that is touched behind it: one that fails takes its group along,
        // and each job of it then runs alone.
        let alone = job.is_append();
        if !alone {
            self.control("SAVEPOINT job")?;
        }
        let mut tx = Tx::new(Handle::Sqlite(&self.connection), &self.sealer);
        let verdict = job.run(&mut tx);
        let failure = tx.failure();
        if let Some(error @ (StoreError::Broken { .. } | StoreError::Full { .. })) = failure {
            return Err(error.clone());
        }
        if self.connection.is_autocommit() {
            return Err(StoreError::Unavailable { reason: "the engine rolled the transaction back".into() });
        }
        match verdict {
            Verdict::Commit => {
                if !alone {
                    self.control("RELEASE job")?;
                }
                Ok(tx.appended())
            }
            Verdict::RollBack if alone => Err(failure.cloned().unwrap_or(StoreError::Closed)),
            Verdict::RollBack => {
                self.control("ROLLBACK TO job")?;
                self.control("RELEASE job")?;
                Ok(0)
            }
        }
    }

    fn undo(&self, error: StoreError) -> GroupEnd {
        if matches!(error, StoreError::Broken { .. }) {
            return GroupEnd::Uncertain(error);
        }
        if !self.connection.is_autocommit()
            && let Err(error) = self.control("ROLLBACK")
        {
            return GroupEnd::Uncertain(StoreError::Broken { reason: error.to_string() });
        }
        GroupEnd::Undone(error)
    }

    fn control(&self, sql: &str) -> Result<(), StoreError> {
        let run = || self.connection.prepare_cached(sql)?.execute([]);
        run().map(drop).map_err(|error| classify(&error, sql))
    }

    fn finish_all(&self, group: Vec<Work>, outcome: &Result<(), StoreError>) {
        if outcome.is_err() {
            self.metrics.failures.inc_by(group.len() as u64);
        }
        for job in group {
            job.finish(outcome.clone());
        }
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }
}

/// Serves a line; after a panic the store says that it is broken.
fn serve(line: &Line<Work>, broken: &AtomicBool, server: impl FnOnce()) {
    if !line.serve(server, |job, error| job.finish(Err(error))) {
        broken.store(true, Ordering::SeqCst);
    }
}

fn serve_reads(connection: &Connection, line: &Line<Work>, sealer: &Sealer) {
    while let Some(mut job) = line.next() {
        let begin = connection.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([]));
        if let Err(error) = begin {
            job.finish(Err(classify(&error, "BEGIN")));
            continue;
        }
        let mut tx = Tx::new(Handle::Sqlite(connection), sealer);
        job.run(&mut tx);
        let end = connection.prepare_cached("ROLLBACK").and_then(|mut end| end.execute([]));
        job.finish(end.map(drop).map_err(|error| classify(&error, "ROLLBACK")));
    }
}

/// The file exists, is ours alone, and its name is on disk.
fn prepare_file(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::create_dir_all(folder_of(path)).map_err(|error| of_file(path, &error))?;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| of_file(path, &error))?;
    sync_folder(path)
}

/// The names of the files beside this one are on disk.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let synced = std::fs::File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    synced.map_err(|error| of_file(path, &error))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn of_file(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable { reason: format!("{}: {error}", path.display()) }
}

fn open_connection(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIME_MAX)?;
    // Of a new database only: three sealed messages to a page instead of one (docs/decisions/0024).
    connection.pragma_update(None, "page_size", 8_192)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -8_000)?;
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(connection)
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open_connection(path)?;
    connection.pragma_update(None, "query_only", true)?;
    // There are several readers, and most of what they read is read once: 2 MiB each.
    connection.pragma_update(None, "cache_size", -2_000)?;
    Ok(connection)
}

/// A connection that changes no byte of the database, of its format neither.
fn open_only_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIME_MAX)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// A prepared statement with its parameters bound. SQLite numbers `$n` by appearance, so each is bound by its name.
fn prepare<'c>(connection: &'c Connection, sql: &str, params: &[Value]) -> Result<CachedStatement<'c>, Refusal> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| refusal(&error, sql))?;
    let mut highest = 0;
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).unwrap_or("?");
        let number: usize = name
            .strip_prefix('$')
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| statement_error(sql, format!("parameter `{name}`: write $1, $2, ...")))?;
        let value = number
            .checked_sub(1)
            .and_then(|place| params.get(place))
            .ok_or_else(|| statement_error(sql, format!("no value for ${number}")))?;
        highest = highest.max(number);
        statement.raw_bind_parameter(index, encode(value)).map_err(|error| refusal(&error, sql))?;
    }
    if highest != params.len() {
        return Err(statement_error(sql, format!("{} values for {highest} parameters", params.len())));
    }
    Ok(statement)
}

fn encode(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Int(number) => ValueRef::Integer(*number),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Bytes(bytes) => ValueRef::Blob(bytes),
    })
}

fn decode(value: ValueRef<'_>) -> Result<Value, String> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Text(text) => {
            std::str::from_utf8(text).map(|text| Value::Text(text.to_owned())).map_err(|error| error.to_string())
        }
        ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes.to_vec())),
        ValueRef::Real(_) => Err("a fraction: the house stores integers, text and bytes only".into()),
    }
}

fn refusal(error: &rusqlite::Error, sql: &str) -> Refusal {
    Refusal { error: classify(error, sql), again: None }
}

fn statement_error(sql: &str, reason: String) -> Refusal {
    Refusal { error: StoreError::Statement { statement: shorten(sql), reason }, again: None }
}

fn classify(error: &rusqlite::Error, sql: &str) -> StoreError {
    let reason = error.to_string();
    let Some(failure) = error.sqlite_error() else {
        return StoreError::Statement { statement: shorten(sql), reason };
    };
    match failure.code {
        ErrorCode::ConstraintViolation
            if matches!(
                failure.extended_code,
                rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                    | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                    | rusqlite::ffi::SQLITE_CONSTRAINT_ROWID
            ) =>
        {
            StoreError::Unique { reason }
        }
        ErrorCode::ConstraintViolation => StoreError::Constraint { reason },
        ErrorCode::DiskFull => StoreError::Full { reason },
        ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            StoreError::Broken { reason }
        }
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::CannotOpen
        | ErrorCode::OutOfMemory
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed => StoreError::Unavailable { reason },
        _ => StoreError::Statement { statement: shorten(sql), reason },
    }
}

fn unavailable(error: &rusqlite::Error) -> StoreError {
    match classify(error, "open") {
        StoreError::Statement { reason, .. } => StoreError::Unavailable { reason },
        other => other,
    }
}

fn refused() -> StoreError {
    StoreError::Broken { reason: "an earlier write failed".into() }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| StoreError::Unavailable { reason: format!("no thread for {name}: {error}") })
}
