//! The running process: its listeners, its jobs, and what a SIGHUP changes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use web::Job;

use super::{House, committing};
use crate::cli::print_line;
use crate::command::join;
use crate::command::process::{Signals, Wish, block_on, reload_logs, start_logs};
use crate::settings::{AuthoritySettings, Loaded};
use crate::telemetry::LogOptions;

/// The routes of this moment: a reload swaps them, connections stay.
#[derive(Clone, Default)]
struct Routes(Arc<RwLock<Router>>);

/// The routes of each listener.
#[derive(Default)]
struct Doors {
    /// Nodes and strangers.
    public: Routes,
    /// Operators.
    operator: Routes,
    /// The node of the management service.
    management: Routes,
}

impl Routes {
    fn set(&self, router: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    /// A router that asks for the present routes at each request.
    fn router(&self) -> Router {
        let routes = self.clone();
        Router::new().fallback(move |request: Request| {
            let present = routes.0.read().unwrap_or_else(PoisonError::into_inner).clone();
            present.oneshot(request)
        })
    }
}

/// Runs the authority until it is told to stop.
pub(in crate::command) fn run(config: &Path, log: &LogOptions) -> anyhow::Result<ExitCode> {
    block_on(async {
        let mut signals = Signals::listen()?;
        let loaded = Loaded::<AuthoritySettings>::read(config)?;
        let filter = start_logs(log, &loaded.settings.log)?;
        let started = async {
            let house = House::open(loaded, false).await?;
            let listener = bind("listen", &house.loaded.settings.listen).await?;
            let admin = bind("admin", &house.loaded.settings.admin).await?;
            let management = match house.loaded.settings.management_listen.as_str() {
                "" => None,
                address => Some(bind("management_listen", address).await?),
            };
            let acts = committing::job(&house.authority, &house.loaded).await?;
            Ok::<_, anyhow::Error>((house, acts, listener, admin, management))
        };
        let (mut house, acts, listener, admin, management) = tokio::select! {
            started = started => started?,
            () = signals.stop() => return Ok(ExitCode::SUCCESS),
        };
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let routes = Doors::default();
        let mut jobs = start_parts(&house, acts, &routes, &shutdown, &tasks)?;
        print_line(&format!(
            "The authority of {} listens on {}.",
            house.loaded.settings.instance,
            listener.local_addr()?
        ));
        committing::introduce(&house.loaded)?;
        tasks.spawn(serve(listener, routes.public.router(), shutdown.clone()));
        tasks.spawn(serve(admin, routes.operator.router(), shutdown.clone()));
        if let Some(management) = management {
            tasks.spawn(serve(management, routes.management.router(), shutdown.clone()));
        }
        while signals.next().await == Wish::Reload {
            match reload(&house).await {
                Ok((fresh, acts)) => {
                    let outcome = reload_logs(&filter, log, &fresh.loaded.settings.log);
                    jobs.cancel();
                    jobs = start_parts(&fresh, acts, &routes, &shutdown, &tasks)?;
                    house = fresh;
                    outcome.unwrap_or_else(|error| tracing::error!("{error:#}"));
                    tracing::info!("the configuration was read again");
                }
                Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
            }
        }
        tracing::info!("stopping: requests under way end first");
        shutdown.cancel();
        tasks.close();
        tasks.wait().await;
        house.close().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Starts the jobs and puts the routes in place; the token ends these jobs.
fn start_parts(
    house: &House,
    acts: Option<Job>,
    doors: &Doors,
    shutdown: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<CancellationToken> {
    let jobs = shutdown.child_token();
    for job in house.authority.jobs().into_iter().chain(acts) {
        tasks.spawn(job.run_until(jobs.clone()));
    }
    doors.public.set(house.authority.router().merge(join::router(house.desk()?, super::clock())));
    let mut registry = prometheus_client::registry::Registry::default();
    house.store.register_metrics(&mut registry);
    house.authority.register_metrics(&mut registry);
    let registry = Arc::new(std::sync::Mutex::new(registry));
    let operator = web::health::router(house.authority.health(), registry);
    doors.operator.set(operator.merge(house.authority.operator_router()));
    doors.management.set(house.authority.management_router());
    Ok(jobs)
}

/// Reads the file again. The store stays open; where it is, and where the process listens, takes a restart.
async fn reload(house: &House) -> anyhow::Result<(House, Option<Job>)> {
    let loaded = Loaded::<AuthoritySettings>::read(&house.loaded.path)?;
    let config = loaded.config()?;
    let (before, after) = (&house.loaded.settings, &loaded.settings);
    if before.instance != after.instance || before.keys != after.keys || before.data != after.data {
        return Err(loaded.refused("instance, keys or data", &"it cannot change while the authority runs").into());
    }
    for (key, changed) in [
        ("listen", before.listen != after.listen),
        ("admin", before.admin != after.admin),
        ("management_listen", before.management_listen != after.management_listen),
        ("store", before.store != after.store),
    ] {
        if changed {
            tracing::warn!(key, "a changed key of the configuration takes a restart");
        }
    }
    let folder = loaded.path_of(&after.keys);
    let (clock, random) = (super::clock(), super::random());
    let authority = authority::Authority::open(house.store.clone(), &folder, config, clock, random).await?;
    let acts = committing::job(&authority, &loaded).await?;
    Ok((House { authority, store: house.store.clone(), loaded }, acts))
}

async fn bind(key: &str, address: &str) -> anyhow::Result<TcpListener> {
    let parsed: SocketAddr = address
        .parse()
        .map_err(|_| crate::settings::Refused(format!("the key `{key}` must be IP:PORT, and is `{address}`")))?;
    TcpListener::bind(parsed).await.with_context(|| {
        format!("{address} cannot be listened on. Choose another port for `{key}`, or end the program that has it")
    })
}

async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    if let Err(error) = web::serve(listener, router, shutdown).await {
        tracing::error!(%error, "a listener ended");
    }
}
