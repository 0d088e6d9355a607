//! What a room hands to the roof: its routes, tables, jobs, cards and health.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use store::Migration;
use tokio_util::sync::CancellationToken;

use crate::Text;

/// A vertical slice of the product, ready to be composed by `baobab`.
pub struct Room {
    /// The name, also the prefix of its tables.
    pub name: &'static str,
    /// Its pages and services, already wrapped by [`crate::Site::wrap`] where people see them.
    pub router: Router,
    /// Its tables.
    pub migrations: Vec<Migration>,
    /// What it does by itself.
    pub jobs: Vec<Job>,
    /// What the portal shows of it.
    pub cards: Vec<Card>,
    /// What must hold for it to serve.
    pub health: Vec<HealthCheck>,
}

impl Room {
    /// A room with routes only.
    pub fn new(name: &'static str, router: Router) -> Self {
        Self { name, router, migrations: Vec::new(), jobs: Vec::new(), cards: Vec::new(), health: Vec::new() }
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Room").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A link that the portal shows to a citizen who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The title, also the words of the link.
    pub title: Text,
    /// One sentence: what the citizen finds there.
    pub text: Text,
    /// Where it leads.
    pub href: String,
}

/// Why a job or a check failed, in words for the log. Anything that displays converts into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

type Doing = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;
type Deed = Arc<dyn Fn() -> Doing + Send + Sync>;

/// Something done again and again while the process runs.
#[derive(Clone)]
pub struct Job {
    /// The name in logs: `room.what`.
    pub name: &'static str,
    /// The pause between the end of one run and the start of the next.
    pub every: Duration,
    run: Deed,
}

impl Job {
    /// A job from an async closure; `every` is the pause between two runs.
    pub fn new<F, R>(name: &'static str, every: Duration, run: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Self { name, every, run: Arc::new(move || Box::pin(run())) }
    }

    /// One run.
    pub async fn once(&self) -> Result<(), Failure> {
        (self.run)().await
    }

    /// Runs until the token is cancelled; a run under way is finished first. Failures are logged and the job goes on.
    pub async fn run_until(self, shutdown: CancellationToken) {
        loop {
            if let Err(failure) = self.once().await {
                tracing::warn!(job = self.name, %failure, "a job failed; it will be tried again");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Job").field("name", &self.name).field("every", &self.every).finish_non_exhaustive()
    }
}

/// A condition that `/health` reports.
#[derive(Clone)]
pub struct HealthCheck {
    /// The name in the report.
    pub name: &'static str,
    check: Question,
}

type Telling = Pin<Box<dyn Future<Output = Result<Option<String>, Failure>> + Send>>;
type Question = Arc<dyn Fn() -> Telling + Send + Sync>;

impl HealthCheck {
    /// A check from an async closure.
    pub fn new<F, R>(name: &'static str, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Self::noting(name, move || {
            let check = check();
            async move { check.await.map(|()| None) }
        })
    }

    /// A check that may have something to note although all works: a queue that grows, a date that nears.
    pub fn noting<F, R>(name: &'static str, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<String>, Failure>> + Send + 'static,
    {
        Self { name, check: Arc::new(move || Box::pin(check())) }
    }

    /// Asks it; a check that takes longer than two seconds has failed.
    pub async fn ask(&self) -> Result<(), Failure> {
        self.told().await.map(drop)
    }

    /// Asks it, and what it has to note.
    pub async fn told(&self) -> Result<Option<String>, Failure> {
        tokio::time::timeout(Duration::from_secs(2), (self.check)())
            .await
            .unwrap_or_else(|_| Err(Failure("no answer within two seconds".to_owned())))
    }
}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HealthCheck").field("name", &self.name).finish_non_exhaustive()
    }
}
