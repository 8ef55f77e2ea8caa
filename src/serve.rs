//! `roomtape serve`: every role in one process, Whisper in a child of it, and an ordered shutdown.
//!
//! Order of the end: taps stop and seal what they hold, then the API stops answering, then the
//! worker gives its leases back. What cannot be done in time is done by the next start.

use std::net::SocketAddr;

use ::api::Pulse;
use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::role::{Role, api, ingest};
use crate::{home, log, signals, worker};

/// A running server.
pub(crate) struct Server {
    /// Where pages and API are.
    pub(crate) http: SocketAddr,
    /// Where Icecast sources go; `None`: off.
    pub(crate) icecast: Option<SocketAddr>,
    ingest: Role,
    api: Role,
    worker: JoinHandle<()>,
    stop_worker: CancellationToken,
    pulse: Pulse,
    config: Config,
    _lock: home::ServerLock,
}

/// Serves until the process is asked to end.
///
/// # Errors
/// What kept it from starting, or the role that failed.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let ending = signals::heed()?;
    let mut server = start(&config).await?;
    log::print(&format!("roomtape serves http://{}/", server.http));
    ingest::say(server.icecast);
    let outcome = tokio::select! {
        () = ending.cancelled() => Ok(()),
        failed = server.failed() => Err(failed),
    };
    server.end().await?;
    outcome
}

/// Starts every role.
///
/// # Errors
/// An address that cannot be bound, or a setting that cannot be used.
pub(crate) async fn start(config: &Config) -> anyhow::Result<Server> {
    let lock = home::lock(&config.data)?;
    let home = home::open(config).await?;
    let pulse = Pulse::starting();
    let (api, http) =
        api::start(config, &home, pulse.clone(), Some(ingest::metrics(&home))).await?;
    let (ingest, icecast) = ingest::start(config, &home).await?;
    pulse.ready();
    let stop_worker = CancellationToken::new();
    let worker = tokio::spawn(worker::supervise(
        config.clone(),
        worker::Duty::Everything,
        stop_worker.clone(),
    ));
    let config = config.clone();
    Ok(Server { http, icecast, ingest, api, worker, stop_worker, pulse, config, _lock: lock })
}

impl Server {
    /// Waits until a role ends by itself, which none should.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            failed = self.ingest.failed() => failed,
            failed = self.api.failed() => failed,
        }
    }

    /// Ends every role in order.
    ///
    /// # Errors
    /// A role that could not keep what it held.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.pulse.draining();
        let (kept, ()) = tokio::join!(self.ingest.end(), tokio::time::sleep(self.config.linger));
        let answered = self.api.end().await;
        self.stop_worker.cancel();
        let _ = self.worker.await;
        kept.context("sealing what was being recorded").and(answered)
    }
}
