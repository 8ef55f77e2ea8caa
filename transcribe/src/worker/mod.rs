//! The worker: claims jobs, several at once, and works through them window by window.
//!
//! Live rooms have places of their own, so that no long recording can keep them waiting; a finished
//! recording steps back between windows while live ones want all threads. All state is in rows:
//! whoever claims a job goes on at what its transcript has covered.

mod attend;
mod seat;
mod share;
mod task;

use std::time::Duration;

use archive::Store;
use models::db::Change;
use models::job::{Kind, Lease, Limits};
use models::{Db, Job, WallMicros};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine::{self, Model};
use crate::weights::Weights;
use seat::Seat;
use share::Share;

/// How often the jobs are looked at: other processes make them, and cannot tell us.
const POLL: Duration = Duration::from_millis(400);

/// Wait after the database failed.
const RETRY: Duration = Duration::from_secs(2);

/// After nothing was found, news is not heeded for so long: a large installation has thousands of
/// changes a second, and each of them wakes every worker that has a free place.
const CALM: Duration = Duration::from_millis(100);

/// What a worker needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name in the jobs it works on: host and process.
    pub worker: String,
    /// Threads to compute with, all jobs together; at least one is used.
    pub threads: usize,
    /// The model.
    pub weights: Weights,
    /// How long a claimed job is ours without a sign of life; they come four times as often.
    pub lease: Duration,
    /// How many jobs may run at once, those of all workers together.
    pub limits: Limits,
}

impl Config {
    /// A worker with the usual lease, bound by its own places only.
    #[must_use]
    pub fn new(worker: String, threads: usize, weights: Weights) -> Self {
        Self { worker, threads, weights, lease: LEASE, limits: Limits::default() }
    }
}

/// The usual length of a lease: a worker that is gone is replaced after half a minute, and a
/// database that is away for less costs nobody a window.
pub const LEASE: Duration = Duration::from_secs(30);

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model cannot be used.
    #[error("the engine did not start")]
    Engine(#[from] engine::Error),
    /// The runtime or the system refused a thread.
    #[error("starting the engine's threads")]
    Thread(#[source] std::io::Error),
    /// A panic: the process should be started anew.
    #[error("the engine's thread ended in a panic")]
    Panic,
    /// The runtime stopped before the worker did.
    #[error("the runtime stopped under the worker")]
    Stopped(#[source] tokio::task::JoinError),
}

/// Works until `shutdown`; then gives its jobs back and returns.
///
/// # Errors
/// [`Error`] while it starts, and [`Error::Panic`]. Other failures are those of jobs, or are waited
/// out.
pub async fn run(
    db: Db,
    store: Store,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let weights = config.weights.clone();
    let loading = tokio::task::spawn_blocking(move || Model::open(&weights));
    let model = loading.await.map_err(Error::Stopped)??;
    tracing::info!(
        engine = model.name(),
        weights = config.weights.name,
        threads = config.threads,
        "transcription worker ready"
    );
    Desk::new(db, store, config, &model)?.work(shutdown).await
}

/// Where jobs are handed out to seats.
struct Desk {
    db: Db,
    config: Config,
    context: task::Context,
    live: Vec<Seat>,
    batch: Vec<Seat>,
}

impl Desk {
    fn new(db: Db, store: Store, config: Config, model: &Model) -> Result<Self, Error> {
        let seats = |count: usize| -> Result<Vec<Seat>, Error> {
            (0..count).map(|_| Seat::new(model.clone()).map_err(Error::Thread)).collect()
        };
        let (live, batch) =
            (seats((config.threads / 2).max(2))?, seats((config.threads / 4).max(1))?);
        let context = task::Context {
            db: db.clone(),
            store,
            made_by: task::made_by(model, &config.weights),
            share: Share::new(config.threads),
        };
        Ok(Self { db, config, context, live, batch })
    }

    async fn work(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut changes = self.db.changes();
        let mut running = JoinSet::new();
        while !shutdown.is_cancelled() {
            let wait = match self.claim().await {
                Ok(Some((job, lease))) => {
                    if let Some(seat) = self.seats(job.kind).pop() {
                        let (context, length) = (self.context.clone(), self.config.lease);
                        let end = shutdown.clone();
                        running.spawn(attend::attend(context, job, lease, length, seat, end));
                    }
                    continue;
                }
                Ok(None) => POLL,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "the jobs cannot be read; trying again");
                    RETRY
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
                () = news(&mut changes), if wait == POLL => {}
                Some(ended) = running.join_next() => self.free(ended)?,
            }
        }
        while let Some(ended) = running.join_next().await {
            self.free(ended)?;
        }
        let seats = self.live.into_iter().chain(self.batch);
        let closing = tokio::task::spawn_blocking(move || seats.for_each(Seat::close));
        closing.await.map_err(Error::Stopped)
    }

    async fn claim(&self) -> Result<Option<(Job, Lease)>, models::db::Error> {
        let mut kinds = Vec::new();
        if !self.live.is_empty() {
            kinds.push(Kind::TranscribeLive);
        }
        if !self.batch.is_empty() {
            kinds.push(Kind::Transcribe);
        }
        if kinds.is_empty() {
            return Ok(None);
        }
        let Config { worker, lease, limits, .. } = &self.config;
        self.db.claim(&kinds, *limits, worker, millis(*lease), WallMicros::now()).await
    }

    fn seats(&mut self, kind: Kind) -> &mut Vec<Seat> {
        match kind {
            Kind::TranscribeLive => &mut self.live,
            Kind::Transcribe => &mut self.batch,
        }
    }

    fn free(&mut self, ended: Result<(Kind, Seat), tokio::task::JoinError>) -> Result<(), Error> {
        let (kind, seat) = ended.map_err(|_| Error::Panic)?;
        if seat.is_gone() {
            return Err(Error::Panic);
        }
        self.seats(kind).push(seat);
        Ok(())
    }
}

/// Waits for news of jobs, or until some was missed.
async fn news(changes: &mut broadcast::Receiver<Change>) {
    tokio::time::sleep(CALM).await;
    while let Ok(change) = changes.recv().await {
        if matches!(change, Change::Jobs | Change::Unknown) {
            return;
        }
    }
}

/// A time as the database takes it.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
