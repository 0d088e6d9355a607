//! The engine for several replicas: PostgreSQL, through sync connections on threads of their own.
//!
//! Transactions are SERIALIZABLE, as SQLite's are by nature, and run again after a serialization failure. Reads see
//! one snapshot. Waiting appends become one UNNEST insert and one commit. A lost connection is opened again; the
//! caller hears of it only where the database stays away, or where the commit itself was cut.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use civic::{SharedRandom, random_array};
use postgres::error::SqlState;
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Statement};

use crate::append::AppendJob;
use crate::error::shorten;
use crate::job::{Job, Line, Verdict};
use crate::metrics::Metrics;
use crate::pg_value::{Decoded, column_array};
use crate::tx::{ANSWER_ROWS_MAX, Handle, Refusal, names, too_many_rows};
use crate::value::Row;
use crate::{AppendTable, Sealer, StoreError, Tx, Value};

/// Connections that serve transactions and reads; one more serves the append path. Opened when first needed.
const SESSIONS: usize = 8;
/// A transaction gives way to others this often before its caller hears of it.
const RUNS_MAX: u32 = 60;
/// A lost connection is opened again this often for one job.
const RECONNECTS_MAX: u32 = 3;
/// One insert holds at most this many rows.
const MERGED_ROWS_MAX: usize = 4_096;
/// Prepared statements kept per connection.
const STATEMENTS_MAX: usize = 512;

/// Why a transaction should be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It gave way to a concurrent change.
    Serialization,
    /// The connection was lost before the commit.
    Connection,
    /// A table changed under a prepared statement.
    StaleStatement,
}

struct Work {
    job: Box<dyn Job>,
    begin: &'static str,
}

const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The threads that talk with one PostgreSQL database.
pub(crate) struct Engine {
    work: Arc<Line<Work>>,
    appends: Arc<Line<AppendJob>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    only_reads: bool,
}

impl Engine {
    /// Opens a database; with `only_reads` one that exists, to look at it.
    pub(crate) fn open(
        url: &str,
        schema: Option<&str>,
        sealer: &Sealer,
        metrics: &Metrics,
        random: &SharedRandom,
        only_reads: bool,
    ) -> Result<Self, StoreError> {
        let mut config: Config =
            url.parse().map_err(|_| StoreError::Location { text: "the postgres connection text".into() })?;
        config.connect_timeout(Duration::from_secs(5)).tcp_user_timeout(Duration::from_secs(20));
        if config.get_application_name().is_none() {
            config.application_name("baobab");
        }
        let mut first = Session::new(config.clone(), schema.map(str::to_owned));
        first.ensure().map_err(|refusal| refusal.error)?;
        if let Some(schema) = schema.filter(|_| !only_reads) {
            first.create_schema(schema)?;
        }
        let work = Arc::new(Line::new());
        let appends = Arc::new(Line::new());
        let mut threads = Vec::new();
        let mut first = Some(first);
        for _ in 0..SESSIONS {
            let session = first.take().unwrap_or_else(|| Session::new(config.clone(), schema.map(str::to_owned)));
            let line = Arc::clone(&work);
            let mut server = Server::new(session, sealer, metrics, random);
            threads.push(spawn(move || {
                line.serve(|| server.serve(&line), |work, error| work.job.finish(Err(error)));
            })?);
        }
        let mut server = Server::new(Session::new(config.clone(), schema.map(str::to_owned)), sealer, metrics, random);
        let (line, others) = (Arc::clone(&appends), Arc::clone(&work));
        threads.push(spawn(move || {
            if !line.serve(|| server.serve_appends(&line), AppendJob::refuse) {
                // A store that appends no more is of no use: its health says so.
                others.close();
            }
        })?);
        Ok(Self { work, appends, threads: Mutex::new(threads), only_reads })
    }

    pub(crate) fn write(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        if self.only_reads {
            return Err(StoreError::Closed);
        }
        self.work.push(Work { job, begin: BEGIN_WRITE })
    }

    pub(crate) fn read(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.work.push(Work { job, begin: BEGIN_READ })
    }

    pub(crate) fn append(&self, job: AppendJob, patience: Duration) -> Result<(), StoreError> {
        if self.only_reads {
            return Err(StoreError::Closed);
        }
        self.appends.push_patient(job, patience)
    }

    pub(crate) fn shut(&self) {
        self.work.close();
        self.appends.close();
    }

    /// Waits until the threads are gone. Blocks.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has already failed its callers.
            let _ = thread.join();
        }
    }
}

/// One thread, one connection.
struct Server {
    session: Session,
    sealer: Sealer,
    metrics: Metrics,
    random: SharedRandom,
}

/// How one run of a job ended.
enum RunEnd {
    /// As the job wanted; the rows it appended.
    Done(u64),
    Again(Again, StoreError),
    Failed(StoreError),
}

impl Server {
    fn new(session: Session, sealer: &Sealer, metrics: &Metrics, random: &SharedRandom) -> Self {
        Self { session, sealer: sealer.clone(), metrics: metrics.clone(), random: Arc::clone(random) }
    }

    fn serve(&mut self, line: &Line<Work>) {
        while let Some(Work { mut job, begin }) = line.next() {
            let outcome = self.run(job.as_mut(), begin, 1);
            if outcome.is_err() {
                self.metrics.failures.inc();
            }
            job.finish(outcome);
        }
    }

    /// Runs a job until it is done or cannot be; `callers` wait for it.
    fn run(&mut self, job: &mut dyn Job, begin: &'static str, callers: usize) -> Result<(), StoreError> {
        let mut reconnects = 0;
        for run in 1..=RUNS_MAX {
            match self.run_once(job, begin) {
                RunEnd::Done(rows) => {
                    if begin == BEGIN_WRITE {
                        self.metrics.committed(callers);
                        self.metrics.rows_appended.inc_by(rows);
                    }
                    return Ok(());
                }
                RunEnd::Failed(error) => return Err(error),
                RunEnd::Again(Again::Connection, error) => {
                    reconnects += 1;
                    if reconnects >= RECONNECTS_MAX {
                        return Err(error);
                    }
                }
                RunEnd::Again(Again::Serialization | Again::StaleStatement, _) => {}
            }
            self.metrics.retries.inc();
            self.pause(run);
        }
        Err(StoreError::Contention { name: job.name(), attempts: RUNS_MAX })
    }

    fn run_once(&mut self, job: &mut dyn Job, begin: &'static str) -> RunEnd {
        if let Err(refusal) = self.session.ensure().and_then(|()| self.session.define(begin)) {
            return refusal.into();
        }
        let mut tx = Tx::new(Handle::Postgres(&mut self.session), &self.sealer);
        let verdict = job.run(&mut tx);
        let appended = tx.appended();
        if let (Some(again), Some(error)) = (tx.again(), tx.failure().cloned()) {
            self.session.roll_back(again);
            return RunEnd::Again(again, error);
        }
        match verdict {
            Verdict::Commit => match self.session.define("COMMIT") {
                Ok(()) => RunEnd::Done(appended),
                Err(Refusal { error, again: Some(Again::Connection) }) if begin == BEGIN_WRITE => {
                    RunEnd::Failed(StoreError::OutcomeUnknown { reason: error.to_string() })
                }
                Err(refusal) => refusal.into(),
            },
            Verdict::RollBack => {
                self.session.roll_back(Again::Serialization);
                RunEnd::Done(0)
            }
        }
    }

    fn serve_appends(&mut self, line: &Line<AppendJob>) {
        while let Some(first) = line.next() {
            let mut rows = first.rows.len();
            let mut batch = vec![first];
            while rows < MERGED_ROWS_MAX
                && let Some(next) = line.next_now()
            {
                rows += next.rows.len();
                batch.push(next);
            }
            self.append_batch(batch);
        }
    }

    fn append_batch(&mut self, batch: Vec<AppendJob>) {
        let mut merged = Merged { batch, failure: None };
        let callers = merged.batch.len();
        let outcome = self.run(&mut merged, BEGIN_WRITE, callers);
        match outcome.and_then(|()| merged.failure.map_or(Ok(()), Err)) {
            Ok(()) => merged.batch.into_iter().for_each(|job| job.answer(Ok(()))),
            Err(error) if callers == 1 || is_everyones(&error) => {
                self.metrics.failures.inc_by(callers as u64);
                merged.batch.into_iter().for_each(|job| job.answer(Err(error.clone())));
            }
            // One caller's rows may have spoiled it for the others: each gets a transaction of its own.
            Err(_) => {
                for mut job in merged.batch {
                    let outcome = self.run(&mut job, BEGIN_WRITE, 1);
                    Box::new(job).finish(outcome);
                }
            }
        }
    }

    /// Waits a little, longer each time, never as long as the neighbour that ran into the same conflict.
    fn pause(&self, run: u32) {
        let [draw] = random_array::<1>(self.random.as_ref());
        let ceiling_micros = 500_u64 << run.min(6);
        thread::sleep(Duration::from_micros(ceiling_micros * (u64::from(draw) + 64) / 320));
    }
}

/// Whether an error says something about the database rather than about the rows.
fn is_everyones(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. } | StoreError::Broken { .. })
}

/// Appends of several callers as one job.
struct Merged {
    batch: Vec<AppendJob>,
    failure: Option<StoreError>,
}

impl Job for Merged {
    fn name(&self) -> &'static str {
        "append"
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict {
        self.failure = None;
        let mut tables: Vec<(&'static AppendTable, Vec<Vec<Value>>)> = Vec::new();
        for job in &self.batch {
            let known = tables.iter().position(|(table, _)| *table == job.table);
            match known.and_then(|place| tables.get_mut(place)) {
                Some((_, rows)) => rows.extend(job.rows.iter().cloned()),
                None => tables.push((job.table, job.rows.clone())),
            }
        }
        for (table, rows) in &tables {
            if let Err(error) = tx.append(table, rows) {
                self.failure = Some(error);
                return Verdict::RollBack;
            }
        }
        Verdict::Commit
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        for job in self.batch {
            job.answer(outcome.clone());
        }
    }
}

/// A connection with its prepared statements, opened again when it is lost.
pub(crate) struct Session {
    config: Config,
    schema: Option<String>,
    client: Option<Client>,
    statements: HashMap<String, Statement>,
}

impl Session {
    fn new(config: Config, schema: Option<String>) -> Self {
        Self { config, schema, client: None, statements: HashMap::new() }
    }

    pub(crate) fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Refusal> {
        let statement = self.prepare(sql, params.len())?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.with_client(sql, |client| client.execute(&statement, &params))
    }

    pub(crate) fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Refusal> {
        let statement = self.prepare(sql, params.len())?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let rows = self.with_client(sql, |client| client.query(&statement, &params))?;
        if rows.len() > ANSWER_ROWS_MAX {
            return Err(Refusal { error: too_many_rows(sql), again: None });
        }
        let columns = names(statement.columns().iter().map(postgres::Column::name));
        rows.iter()
            .map(|row| {
                let values: Result<Vec<Value>, postgres::Error> =
                    (0..columns.len()).map(|index| row.try_get::<_, Decoded>(index).map(|decoded| decoded.0)).collect();
                values
                    .map(|values| Row::new(Arc::clone(&columns), values))
                    .map_err(|error| classify(&error, sql, false))
            })
            .collect()
    }

    pub(crate) fn append(&mut self, table: &AppendTable, rows: &[Vec<Value>]) -> Result<(), Refusal> {
        let sql = table.array_insert();
        let statement = self.prepare(&sql, table.columns.len())?;
        let arrays: Vec<_> =
            table.columns.iter().enumerate().map(|(index, (_, kind))| column_array(*kind, index, rows)).collect();
        let params: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(AsRef::as_ref).collect();
        self.with_client(&sql, |client| client.execute(&statement, &params)).map(drop)
    }

    /// Runs statements without parameters.
    pub(crate) fn define(&mut self, sql: &str) -> Result<(), Refusal> {
        self.with_client(sql, |client| client.batch_execute(sql))
    }

    /// Opens the connection where there is none that lives.
    fn ensure(&mut self) -> Result<(), Refusal> {
        if self.client.as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(());
        }
        self.client = None;
        self.statements.clear();
        let mut client = self.config.connect(NoTls).map_err(|error| lost(&error))?;
        let path = self.schema.as_ref().map(|name| format!("SET search_path TO {name};")).unwrap_or_default();
        let settings = format!(
            "{path} SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'; \
             SET client_min_messages = warning; SET synchronous_commit = on"
        );
        client.batch_execute(&settings).map_err(|error| lost(&error))?;
        self.client = Some(client);
        Ok(())
    }

    /// The name was checked when the location was read, and is checked again here.
    fn create_schema(&mut self, schema: &str) -> Result<(), StoreError> {
        if !crate::location::is_plain_name(schema) {
            return Err(StoreError::Location { text: format!("schema {schema}") });
        }
        let known = "SELECT 1 AS known FROM information_schema.schemata WHERE schema_name = $1";
        let rows = self.query(known, &crate::params![schema]).map_err(|refusal| refusal.error)?;
        if rows.is_empty() {
            match self.define(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).map_err(|refusal| refusal.error) {
                // Another process created it at the same moment.
                Ok(()) | Err(StoreError::Unique { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn roll_back(&mut self, after: Again) {
        if after == Again::StaleStatement {
            self.statements.clear();
        }
        if self.define("ROLLBACK").is_err() {
            // A connection that cannot even roll back is not used again.
            self.client = None;
        }
    }

    fn prepare(&mut self, sql: &str, values: usize) -> Result<Statement, Refusal> {
        let statement = if let Some(known) = self.statements.get(sql) {
            known.clone()
        } else {
            let made = self.with_client(sql, |client| client.prepare(sql))?;
            if self.statements.len() >= STATEMENTS_MAX {
                self.statements.clear();
            }
            self.statements.insert(sql.to_owned(), made.clone());
            made
        };
        if statement.params().len() == values {
            return Ok(statement);
        }
        let reason = format!("{values} values for {} parameters", statement.params().len());
        Err(Refusal { error: StoreError::Statement { statement: shorten(sql), reason }, again: None })
    }

    fn with_client<T>(
        &mut self,
        sql: &str,
        run: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, Refusal> {
        let Some(client) = self.client.as_mut() else {
            let error = StoreError::Unavailable { reason: "not connected".into() };
            return Err(Refusal { error, again: Some(Again::Connection) });
        };
        let outcome = run(client);
        outcome.map_err(|error| classify(&error, sql, client.is_closed()))
    }
}

impl From<Refusal> for RunEnd {
    fn from(refusal: Refusal) -> Self {
        match refusal.again {
            Some(again) => Self::Again(again, refusal.error),
            None => Self::Failed(refusal.error),
        }
    }
}

fn classify(error: &postgres::Error, sql: &str, closed: bool) -> Refusal {
    let Some(details) = error.as_db_error() else {
        if closed || error.is_closed() || has_io_cause(error) {
            return lost(error);
        }
        let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        return Refusal { error: StoreError::Statement { statement: shorten(sql), reason }, again: None };
    };
    // Never the detail: it holds the values of the row.
    let reason = details.constraint().map_or_else(
        || format!("{} {}", details.code().code(), details.message()),
        |name| format!("{} {name}: {}", details.code().code(), details.message()),
    );
    let code = details.code();
    let (error, again) = match code.code() {
        "40001" | "40P01" => (StoreError::Unavailable { reason }, Some(Again::Serialization)),
        "0A000" if reason.contains("cached plan") => (StoreError::Unavailable { reason }, Some(Again::StaleStatement)),
        "57P01" | "57P02" | "57P03" | "53300" => (StoreError::Unavailable { reason }, Some(Again::Connection)),
        "25006" | "57014" | "55P03" => (StoreError::Unavailable { reason }, None),
        "53100" => (StoreError::Full { reason }, None),
        "58030" | "XX001" | "XX002" => (StoreError::Broken { reason }, None),
        text if text.starts_with("08") => (StoreError::Unavailable { reason }, Some(Again::Connection)),
        _ if *code == SqlState::UNIQUE_VIOLATION => (StoreError::Unique { reason }, None),
        text if text.starts_with("23") => (StoreError::Constraint { reason }, None),
        _ => (StoreError::Statement { statement: shorten(sql), reason }, None),
    };
    Refusal { error, again }
}

fn lost(error: &postgres::Error) -> Refusal {
    let reason = match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(details), _) => details.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    };
    Refusal { error: StoreError::Unavailable { reason }, again: Some(Again::Connection) }
}

fn has_io_cause(error: &postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new()
        .name("store-postgres".to_owned())
        .spawn(body)
        .map_err(|error| StoreError::Unavailable { reason: format!("no thread: {error}") })
}
