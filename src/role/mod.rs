//! What a process can do for a recording: take its sound, write down its words, show it. Each is a
//! command of its own; `serve` does all of them.

pub(crate) mod api;
pub(crate) mod ingest;
pub(crate) mod transcribe;

use std::net::SocketAddr;

use ::api::{Metrics, Probe, Pulse, health_router};
use anyhow::{Context as _, anyhow};
use models::doors::{Doors, Limits};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::log;

/// Connections at once where a role without pages tells how it is: balancers and scrapers.
const HEALTH_PLACES: usize = 64;

/// A role at work.
pub(crate) struct Role {
    name: &'static str,
    task: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Role {
    fn new(
        name: &'static str,
        stop: CancellationToken,
        work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> Self {
        Self { name, task: tokio::spawn(work), stop }
    }

    /// Waits until it ends by itself, which it should not.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        let name = self.name;
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow!("the {name} role ended by itself"),
            Ok(Err(error)) => error.context(format!("the {name} role failed")),
            Err(error) => anyhow::Error::from(error).context(format!("the {name} role broke off")),
        }
    }

    /// Ends it in order. One that has failed has said so.
    ///
    /// # Errors
    /// It could not finish what it had.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        if self.task.is_finished() {
            return Ok(());
        }
        self.stop.cancel();
        self.task.await.with_context(|| format!("the {} role broke off", self.name))?
    }
}

/// Tells at the address of the setting `health` (its usual one is `usual`) how a role without pages
/// is, until the process ends: also while it ends. `metrics` are what it counts.
async fn show_health(
    config: &Config,
    usual: SocketAddr,
    probe: Probe,
    metrics: Option<Metrics>,
) -> anyhow::Result<()> {
    let Some(address) = config.health(usual) else { return Ok(()) };
    let (listener, at) = listen("health", address).await?;
    let doors = Doors::new(Limits::of(HEALTH_PLACES));
    let router = health_router(probe, metrics);
    tokio::spawn(::api::serve(listener, router, doors, CancellationToken::new()));
    log::print(&format!("health: http://{at}/readyz"));
    Ok(())
}

/// Listens on `address`, which the setting `name` says.
async fn listen(
    name: &'static str,
    address: SocketAddr,
) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("{name} = {address} cannot be listened on"))?;
    let at = listener.local_addr().context("reading the bound address")?;
    Ok((listener, at))
}

/// Works until the process is asked to end or the role fails; then says to balancers that it ends.
async fn until_the_end(
    role: &mut Role,
    ending: &CancellationToken,
    pulse: &Pulse,
) -> anyhow::Result<()> {
    let outcome = tokio::select! {
        () = ending.cancelled() => Ok(()),
        failed = role.failed() => Err(failed),
    };
    pulse.draining();
    outcome
}
