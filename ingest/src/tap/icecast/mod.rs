//! Icecast sources: ffmpeg, Liquidsoap, BUTT, OBS and whatever else can send to an Icecast server.
//!
//! ```text
//! socket ─► head (who, what, where) ─► answer
//!        └► body (chunks off) ─┬─► Ogg Opus: demuxed, kept as it came ─────────────► Feed
//!                              └► anything else: a thread that decodes and encodes ─► Feed
//! ```
//!
//! The tap reads its own sockets: the body that most sources send has neither a length nor chunks,
//! which HTTP servers take for an empty one. The mount is the room's slug, the password its source
//! key; the user name does not matter.
//!
//! | Answer | When |
//! |---|---|
//! | 100, then 200 | the source waits for `100 Continue`; 200 alone where it does not |
//! | 400, 431 | the head cannot be read; it is too long |
//! | 401 | no password, or a wrong one |
//! | 403 | the room must not be recorded; another source is sending to it; the content type |
//! | 404 | there is no such room, or it takes no Icecast source |
//! | 405 | neither `PUT` nor `SOURCE` |
//! | 408 | the head took too long |
//! | 503 | we are stopping, or the database does not answer |
//!
//! A refused source is answered before any of its body is read. Every connection ends some time: a
//! head must come within 10 s, an answer must be taken within 10 s, and a source that is connected
//! and gives no audio for the room's grace time is disconnected. What cannot be decoded ends its
//! connection with one line in the log; what was recorded stays.

mod answer;
mod body;
mod head;
mod source;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::Arc;
use std::time::Duration;

use models::Db;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use body::Framing;
pub use head::{Head, Login, MAX_HEAD_BYTES, Method, Parsed, Version};

use crate::Supervisor;

/// Bounds of what sources may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long a head may take, and an answer to be taken.
    pub(crate) head: Duration,
    /// The least time without audio after which a source is disconnected, however short the room's
    /// grace time: sources send by the page, which may be a second and more.
    pub(crate) idle: Duration,
    /// Connections at once; more wait to be accepted. One holds a head (16 KiB) and, where it has
    /// to be decoded, a thread with about 1 MiB: 4,096 of them fit a machine of 8 GiB, and are four
    /// times the rooms that one core is planned for.
    pub(crate) connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), idle: Duration::from_secs(5), connections: 4096 }
    }
}

/// What every connection needs.
struct Shared {
    db: Db,
    supervisor: Supervisor,
    limits: Limits,
}

/// Takes sources in on `listener` until `shutdown`, then waits until every connection has ended.
pub(crate) async fn run(
    listener: TcpListener,
    db: Db,
    supervisor: Supervisor,
    shutdown: CancellationToken,
) {
    run_within(listener, db, supervisor, Limits::default(), shutdown).await;
}

async fn run_within(
    listener: TcpListener,
    db: Db,
    supervisor: Supervisor,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let shared = Arc::new(Shared { db, supervisor, limits });
    let connections = TaskTracker::new();
    let accept = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("nobody closes the semaphore");
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
                    connections.spawn(async move {
                        shutdown.run_until_cancelled(source::serve(stream, peer, &shared)).await;
                        drop(place);
                    });
                }
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
