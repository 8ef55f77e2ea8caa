//! Live audio in: taps, the media timeline, and one recording's way from packet to archive.
//!
//! ```text
//! tap ──Feed──► supervise (one actor a room) ─► record ─► cut ─► spool ─► upload ─► store + rows
//! import ──────────────────────────────────────────┘
//! ```
//!
//! Invariants: a room that must not be recorded is never written, the spool included; every
//! fragment (at most 0.5 s) is on disk before the next one is cut; a spool file goes only after the
//! store's copy is verified and its row is there; chunks are rowed in order without a hole; media
//! time only runs on, and whatever of it carries no audio is a marked gap.
//!
//! Deliberately unknown here: words, listeners, HTTP beyond what an Icecast source speaks, and SQL.

mod anchors;
pub mod bounds;
pub mod cut;
pub mod decode;
pub mod encode;
pub mod import;
pub mod late;
pub mod meters;
pub mod mix;
pub mod ogg;
pub mod place;
pub mod record;
pub mod resample;
pub mod space;
pub mod spool;
pub mod supervise;
pub mod tap;
pub mod timeline;
pub mod transcode;
pub mod upload;

#[cfg(test)]
mod testing;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use archive::Store;
use models::Db;
use models::doors::{self, Doors};
use space::Space;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use import::{Imported, import_file};
pub use meters::Meters;
pub use place::Place;
pub use record::{Mode, Recorder};
pub use space::Marks;
pub use supervise::{Feed, Refused, Supervisor};
pub use tap::{Event, Source};

/// How long taps may take to end before the rooms are sealed without them.
const TAPS_END_WITHIN: Duration = Duration::from_secs(2);

/// How ingest is to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the chunks being written, on a local disk. Imports of other processes may write
    /// there at the same time; two servers may not.
    pub spool_dir: PathBuf,
    /// What other workers and people call this one.
    pub worker_name: String,
    /// Address on which rooms' RTP ports are bound.
    pub rtp_bind: IpAddr,
    /// Where Icecast sources connect; `None`: no Icecast tap. Port 0 takes any free one.
    pub icecast_listen: Option<SocketAddr>,
    /// At how much free space of the spool's filesystem what is refused.
    pub marks: Marks,
    /// Where figures are counted.
    pub meters: Meters,
    /// Who may be connected there at once.
    pub doors: doors::Limits,
}

/// What was bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Where Icecast sources connect, where asked for.
    pub icecast: Option<SocketAddr>,
}

/// Why ingest could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool cannot be used.
    #[error("could not use the spool in {}", path.display())]
    Spool {
        /// Its folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The Icecast address cannot be bound.
    #[error("could not listen for Icecast sources on {address}")]
    Icecast {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Records rooms until `shutdown`: taps, supervisor, and what an earlier run left.
///
/// `bound` is told once everything listens. On shutdown the taps end first; then every room's
/// fragments are synced, its chunk is sealed and, where the store lets us, uploaded. Recordings
/// stay open: the next start goes on with them, within their room's grace time.
///
/// # Errors
/// [`Error`]: nothing was started.
pub async fn run(
    db: Db,
    store: Store,
    config: Config,
    bound: oneshot::Sender<Bound>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let Config { spool_dir, worker_name, rtp_bind, icecast_listen, marks, meters, doors } = config;
    let worker = place::spool_worker(&spool_dir, &worker_name)
        .map_err(|source| Error::Spool { path: spool_dir.clone(), source })?;
    let mut place = Place::new(db.clone(), store, spool_dir, worker);
    (place.space, place.meters) = (Space::new(marks), meters);
    // Before the first source comes.
    place.space.look(&place.spool_dir, &place.meters);
    let icecast = match icecast_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };

    let stop_rooms = CancellationToken::new();
    let supervisor = Supervisor::new(place, stop_rooms.clone());
    let rooms = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.run().await }
    });
    let taps = TaskTracker::new();
    let at = icecast.as_ref().map(|(_, at)| *at);
    if let Some((listener, _)) = icecast {
        let (db, supervisor) = (db.clone(), supervisor.clone());
        let doors = Doors::new(doors);
        taps.spawn(tap::icecast::run(listener, doors, db, supervisor, shutdown.clone()));
    }
    taps.spawn(tap::rtp::run(db, supervisor, rtp_bind, shutdown.clone()));
    taps.close();
    // Nobody may want to know.
    let _ = bound.send(Bound { icecast: at });

    shutdown.cancelled().await;
    if tokio::time::timeout(TAPS_END_WITHIN, taps.wait()).await.is_err() {
        tracing::warn!("a tap did not end in time");
    }
    stop_rooms.cancel();
    if let Err(error) = rooms.await {
        tracing::error!(%error, "the rooms did not end as they should");
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Icecast { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    Ok((listener, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &std::path::Path, icecast: SocketAddr) -> Config {
        Config {
            spool_dir: folder.join("spool"),
            worker_name: "test".into(),
            rtp_bind: IpAddr::from([127, 0, 0, 1]),
            icecast_listen: Some(icecast),
            marks: Marks::default(),
            meters: Meters::default(),
            doors: doors::Limits::of(8),
        }
    }

    #[tokio::test]
    async fn it_says_where_it_listens_and_ends_when_asked() {
        let rig = testing::Rig::new().await;
        let Place { db, store, .. } = rig.place.clone();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = config(rig.folder.path(), any);
        let (stop, (bound, is_bound)) = (CancellationToken::new(), oneshot::channel());
        let running = tokio::spawn(run(db, store, config, bound, stop.clone()));
        let address = is_bound.await.unwrap().icecast.unwrap();
        tokio::net::TcpStream::connect(address).await.unwrap();
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_an_error() {
        let rig = testing::Rig::new().await;
        let Place { db, store, .. } = rig.place.clone();
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let config = config(rig.folder.path(), taken.local_addr().unwrap());
        let (bound, _is_bound) = oneshot::channel();
        let error = run(db, store, config, bound, CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, Error::Icecast { .. }), "{error}");
    }
}
