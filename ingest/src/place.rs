//! Where recordings are kept, and who keeps them: shared by every recorder of a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::store::Store;
use models::db::{self, NewChunk};
use models::{Db, WallMicros, Worker, WorkerId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use crate::meters::Meters;
use crate::space::Space;

/// How long a worker is taken to be alive after each sign of life, in milliseconds: how long a room
/// waits before another worker takes it from one that died.
pub const LEASE_MS: i64 = 5_000;
/// How often a worker that holds recordings gives a sign of life.
const BEAT: Duration = Duration::from_millis(1_250);
/// Chunks that are noted in one transaction at most.
const BATCH: usize = 256;
/// Name of the file that makes a spool the same worker's after a restart.
const IDENTITY: &str = "worker-id";

/// Where recordings are kept.
#[derive(Debug, Clone)]
pub struct Place {
    /// Their rows.
    pub db: Db,
    /// Their objects.
    pub store: Store,
    /// Their chunks being written.
    pub spool_dir: PathBuf,
    /// Who holds the recordings that are written here.
    pub worker: Worker,
    /// What is counted of all of it.
    pub meters: Meters,
    /// How much room the spool has.
    pub space: Space,
    /// Divides waits between tries, so that tests need not take hours.
    pub(crate) haste: u32,
    noter: mpsc::Sender<Noted>,
}

/// A chunk on its way into the rows, and who waits for it.
type Noted = (NewChunk, oneshot::Sender<Result<(), db::Error>>);

impl Place {
    /// A place with a task of its own that notes chunks; it ends with the last clone.
    #[must_use]
    pub fn new(db: Db, store: Store, spool_dir: PathBuf, worker: Worker) -> Self {
        let (noter, queue) = mpsc::channel(BATCH);
        tokio::spawn(note_all(db.clone(), queue));
        let (meters, space, haste) = (Meters::default(), Space::default(), 1);
        Self { db, store, spool_dir, worker, meters, space, haste, noter }
    }

    /// How long to wait here where elsewhere it is `wait`.
    pub(crate) fn waits(&self, wait: Duration) -> Duration {
        wait / self.haste
    }

    /// Gives signs of life for the worker until what this returns is dropped.
    pub fn stay_alive(&self) -> AbortOnDropHandle<()> {
        let (db, worker) = (self.db.clone(), self.worker.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut beat = beat();
            loop {
                beat.tick().await;
                if let Err(error) = db.keep_worker(&worker, WallMicros::now()).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the worker's lease was not renewed");
                }
            }
        }))
    }

    /// Notes a chunk, together with those of other recordings that come while the database is busy:
    /// one commit for all of them.
    ///
    /// # Errors
    /// See [`Db::add_chunk`].
    pub(crate) async fn note(&self, chunk: NewChunk) -> Result<(), db::Error> {
        let now = WallMicros::now();
        let (tell, told) = oneshot::channel();
        let alone = chunk.clone();
        if self.noter.send((chunk, tell)).await.is_ok()
            && let Ok(outcome) = told.await
        {
            return outcome;
        }
        let NewChunk { hold, chunk, gaps, anchors } = alone;
        self.db.add_chunk(hold, &chunk, &gaps, &anchors, now).await
    }
}

/// When a worker that holds recordings gives a sign of life.
pub(crate) fn beat() -> Interval {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// A worker that is nobody's after this process: for what is not continued, such as an import.
#[must_use]
pub fn passing_worker(name: &str) -> Worker {
    Worker { id: WorkerId::new(), name: name.to_owned(), lease_ms: LEASE_MS }
}

/// The worker that a spool belongs to: the same each time it is opened. The caller sees to it that
/// no two processes use it at once.
///
/// # Errors
/// The spool cannot be read or written, or its identity is not one.
pub fn spool_worker(spool_dir: &Path, name: &str) -> std::io::Result<Worker> {
    std::fs::create_dir_all(spool_dir)?;
    if let Some(parent) = spool_dir.parent() {
        std::fs::File::open(parent)?.sync_all()?;
    }
    let path = spool_dir.join(IDENTITY);
    let id = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            let what = format!("{} does not hold a worker's identifier", path.display());
            std::io::Error::new(std::io::ErrorKind::InvalidData, what)
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = WorkerId::new();
            let mut file = tempfile::NamedTempFile::new_in(spool_dir)?;
            std::io::Write::write_all(&mut file, format!("{id}\n").as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            std::fs::File::open(spool_dir)?.sync_all()?;
            id
        }
        Err(error) => return Err(error),
    };
    Ok(Worker { id, name: name.to_owned(), lease_ms: LEASE_MS })
}

/// Whether a path in a spool is the file that says whose it is.
pub(crate) fn is_identity(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == IDENTITY)
}

/// Notes what comes, as many at once as have come while the last transaction went on.
async fn note_all(db: Db, mut queue: mpsc::Receiver<Noted>) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, BATCH).await > 0 {
        let (chunks, tells): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
        let now = WallMicros::now();
        let outcomes = match db.add_chunks(&chunks, now).await {
            Ok(outcomes) => outcomes,
            Err(error) if chunks.len() == 1 => vec![Err(error)],
            // One of them may be to blame: the others must not wait for it.
            Err(_) => each_alone(&db, &chunks, now).await,
        };
        for (tell, outcome) in tells.into_iter().zip(outcomes) {
            // Whoever asked may be gone; he asks again.
            let _ = tell.send(outcome);
        }
    }
}

async fn each_alone(db: &Db, chunks: &[NewChunk], now: WallMicros) -> Vec<Result<(), db::Error>> {
    let mut outcomes = Vec::new();
    for new in chunks {
        outcomes.push(db.add_chunk(new.hold, &new.chunk, &new.gaps, &new.anchors, now).await);
    }
    outcomes
}
