//! `roomtape serve`: every role in one process, Whisper in a child of it, and an ordered shutdown.
//!
//! Order of the end: taps stop and seal what they hold, then the API stops answering, then the
//! worker gives its leases back. What cannot be done in time is done by the next start.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::{home, log, worker};

/// How long open requests may go on once the server is to end.
const DRAIN: Duration = Duration::from_secs(5);

/// A running server.
pub(crate) struct Server {
    /// Where pages and API are.
    pub(crate) http: SocketAddr,
    /// Where Icecast sources go; `None`: off.
    pub(crate) icecast: Option<SocketAddr>,
    stop: Stop,
    ingest: JoinHandle<Result<(), ingest::Error>>,
    api: JoinHandle<std::io::Result<()>>,
    worker: JoinHandle<()>,
    _lock: home::ServerLock,
}

/// The roles' shutdown signals, in the order in which they are given.
struct Stop {
    ingest: CancellationToken,
    api: CancellationToken,
    worker: CancellationToken,
}

/// Serves until the process is asked to end.
///
/// # Errors
/// What kept it from starting, or the role that failed.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let mut server = start(&config).await?;
    log::print(&format!("roomtape serves http://{}/", server.http));
    if let Some(icecast) = server.icecast {
        log::print(&format!("Icecast sources: icecast://source:KEY@{icecast}/ROOM"));
    }
    let outcome = tokio::select! {
        () = asked_to_end() => Ok(()),
        failed = server.failed() => Err(failed),
    };
    server.end().await?;
    outcome
}

/// Starts every role.
///
/// # Errors
/// An address that cannot be bound, or a data folder that cannot be opened.
pub(crate) async fn start(config: &Config) -> anyhow::Result<Server> {
    let lock = home::lock(&config.data)?;
    let home = home::open(config).await?;
    let listener = TcpListener::bind(config.http)
        .await
        .with_context(|| format!("listening on http = {}", config.http))?;
    let http = listener.local_addr().context("reading the bound address")?;
    let stop = Stop {
        ingest: CancellationToken::new(),
        api: CancellationToken::new(),
        worker: CancellationToken::new(),
    };

    let (bound, is_bound) = oneshot::channel();
    let mut ingest = tokio::spawn(ingest::run(
        home.db.clone(),
        home.store.clone(),
        ingest::Config {
            spool_dir: home.spool.clone(),
            rtp_bind: config.rtp_bind,
            icecast_listen: config.icecast,
        },
        bound,
        stop.ingest.clone(),
    ));
    let bound = tokio::select! {
        bound = is_bound => bound.ok(),
        ended = &mut ingest => {
            ended.context("the ingest role")?.context("starting the ingest role")?;
            None
        }
    };
    let icecast =
        bound.ok_or_else(|| anyhow!("the ingest role ended before it had started"))?.icecast;

    let router = api::router(
        home.db.clone(),
        home.store.clone(),
        api::Config {
            operator_token: config.operator_token.clone(),
            allowed_hosts: config.allowed_hosts.clone(),
        },
    );
    let api = tokio::spawn(api::serve(listener, router, stop.api.clone()));
    let worker = tokio::spawn(worker::supervise(config.clone(), stop.worker.clone()));
    Ok(Server { http, icecast, stop, ingest, api, worker, _lock: lock })
}

impl Server {
    /// Waits until a role ends by itself, which none should.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        let (role, ended) = tokio::select! {
            ended = &mut self.ingest => ("ingest", flatten(ended)),
            ended = &mut self.api => ("api", flatten(ended)),
        };
        match ended {
            Ok(()) => anyhow!("the {role} role ended by itself"),
            Err(error) => error.context(format!("the {role} role failed")),
        }
    }

    /// Ends every role in order.
    ///
    /// # Errors
    /// A role that could not keep what it held.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.stop.ingest.cancel();
        let kept = if self.ingest.is_finished() { Ok(()) } else { flatten(self.ingest.await) };
        self.stop.api.cancel();
        if !self.api.is_finished() && tokio::time::timeout(DRAIN, self.api).await.is_err() {
            tracing::warn!("requests were still open when the server ended");
        }
        self.stop.worker.cancel();
        let _ = self.worker.await;
        kept.context("sealing what was being recorded")
    }
}

fn flatten<E: Into<anyhow::Error>>(
    ended: Result<Result<(), E>, tokio::task::JoinError>,
) -> anyhow::Result<()> {
    ended.map_err(anyhow::Error::from)?.map_err(Into::into)
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            },
            Err(_) => {
                let _ = tokio::signal::ctrl_c().await;
            }
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
    }
}
