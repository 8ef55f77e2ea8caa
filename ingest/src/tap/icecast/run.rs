//! The listening socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use models::Db;
use models::doors::Doors;
use models::refusal::Refusals;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::head::Version;
use super::source;
use crate::Supervisor;

/// How many that found no place may hear so at once. Any more are closed without a word: they are
/// what the doors are for.
const REFUSALS: usize = 64;

/// Bounds of what sources may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// How long a head may take, and an answer to be taken.
    pub(super) head: Duration,
    /// The least time without audio after which a source is disconnected, however short the room's
    /// grace time: sources send by the page, which may be a second and more.
    pub(super) idle: Duration,
    /// The least time over which a source's audio is measured against the clock.
    pub(super) slow: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { head: secs(10), idle: secs(5), slow: secs(60) }
    }
}

/// What every connection needs.
pub(super) struct Shared {
    pub(super) db: Db,
    pub(super) supervisor: Supervisor,
    pub(super) limits: Limits,
}

/// Takes the sources in that `doors` let through on `listener` until `shutdown`, then waits until
/// every connection has ended.
pub(crate) async fn run(
    listener: TcpListener,
    doors: Doors,
    db: Db,
    supervisor: Supervisor,
    shutdown: CancellationToken,
) {
    let shared = Shared { db, supervisor, limits: Limits::default() };
    run_within(listener, doors, shared, shutdown).await;
}

pub(super) async fn run_within(
    listener: TcpListener,
    doors: Doors,
    shared: Shared,
    shutdown: CancellationToken,
) {
    let shared = Arc::new(shared);
    let connections = TaskTracker::new();
    let refusals = Refusals::new(REFUSALS);
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match doors.enter(peer.ip(), Instant::now()) {
                    Ok(place) => {
                        let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
                        connections.spawn(async move {
                            let serve = source::serve(stream, peer, place, &shared);
                            shutdown.run_until_cancelled(serve).await;
                        });
                    }
                    Err(full) => {
                        tracing::debug!(%full, "an icecast connection was refused");
                        let answer = Answer::new(503, full.to_string()).bytes(Version::Http11);
                        if let Some(telling) = refusals.refuse(stream, answer) {
                            let shutdown = shutdown.clone();
                            connections
                                .spawn(async move { shutdown.run_until_cancelled(telling).await });
                        }
                    }
                },
                // A connection that was reset before we took it, or no file descriptors: neither
                // lasts, and trying at once would only burn the processor.
                Err(error) => {
                    tracing::warn!(%error, "an icecast connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(accept).await;
    connections.close();
    connections.wait().await;
}
