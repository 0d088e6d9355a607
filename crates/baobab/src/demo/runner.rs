//! What runs in the process: listeners and jobs, and their orderly end.

use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use web::{Job, Room};

use super::ports::local;

/// After a stop signal, jobs and requests under way have this long.
const DRAIN_MAX: Duration = Duration::from_secs(12);

/// The listeners and jobs of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Runner {
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Runner {
    /// Serves a router on a port of this machine.
    pub(super) async fn serve(&self, port: u16, router: Router) -> anyhow::Result<()> {
        let listener = TcpListener::bind(local(port)).await.with_context(|| format!("cannot listen on port {port}"))?;
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            if let Err(error) = web::serve(listener, router, shutdown).await {
                tracing::error!(port, %error, "a listener ended");
            }
        });
        Ok(())
    }

    /// Serves a room with its jobs and its health at `/health`.
    pub(super) async fn run_room(&self, port: u16, room: Room) -> anyhow::Result<()> {
        self.run_jobs(room.jobs);
        let registry = std::sync::Arc::default();
        self.serve(port, room.router.merge(web::health::router(room.health, registry))).await
    }

    pub(super) fn run_jobs(&self, jobs: Vec<Job>) {
        for job in jobs {
            self.tasks.spawn(job.run_until(self.shutdown.clone()));
        }
    }

    /// Stops accepting, lets what is under way end, and returns.
    pub(super) async fn stop(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!("some work was still under way {} s after the stop; it was cut", DRAIN_MAX.as_secs());
        }
    }
}
