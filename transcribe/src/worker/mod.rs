//! The worker: claims jobs, several at once, and works through them window by window.
//!
//! Live rooms have places of their own, so that no long recording can keep them waiting; a finished
//! recording steps back between windows while live ones want all threads. All state is in rows:
//! whoever claims a job goes on at what its transcript has covered.

mod seat;
mod share;
mod task;

use std::time::Duration;

use archive::Store;
use models::job::{Kind, Lease};
use models::{Db, Job, WallMicros};
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

/// How long a claimed job is ours without a sign of life.
const LEASE_MS: i64 = 30_000;

/// Between signs of life.
const HEARTBEAT: Duration = Duration::from_secs(8);

/// What a worker needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name in the jobs it works on: host and process.
    pub worker: String,
    /// Threads to compute with, all jobs together; at least one is used.
    pub threads: usize,
    /// The model.
    pub weights: Weights,
}

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
    Desk::new(db, store, &config, &model)?.work(config.worker, shutdown).await
}

/// Where jobs are handed out to seats.
struct Desk {
    db: Db,
    context: task::Context,
    live: Vec<Seat>,
    batch: Vec<Seat>,
}

impl Desk {
    fn new(db: Db, store: Store, config: &Config, model: &Model) -> Result<Self, Error> {
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
        Ok(Self { db, context, live, batch })
    }

    async fn work(mut self, worker: String, shutdown: CancellationToken) -> Result<(), Error> {
        let mut changes = self.db.changes();
        let mut running = JoinSet::new();
        while !shutdown.is_cancelled() {
            let wait = match self.claim(&worker).await {
                Ok(Some((job, lease))) => {
                    if let Some(seat) = self.seats(job.kind).pop() {
                        let context = self.context.clone();
                        running.spawn(attend(context, job, lease, seat, shutdown.clone()));
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
                _ = changes.recv(), if wait == POLL => {}
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

    async fn claim(&self, worker: &str) -> Result<Option<(Job, Lease)>, models::db::Error> {
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
        self.db.claim(&kinds, worker, LEASE_MS, WallMicros::now()).await
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

/// Sees one job through and gives the seat back.
async fn attend(
    context: task::Context,
    job: Job,
    lease: Lease,
    seat: Seat,
    shutdown: CancellationToken,
) -> (Kind, Seat) {
    let kind = job.kind;
    let begun = seat.begin();
    let work = task::work(&context, &job, &lease, &seat);
    let end = tokio::select! {
        end = work => end,
        () = beat(&context.db, &lease) => Err(task::Failure::Lost),
        () = shutdown.cancelled() => Err(task::Failure::Shutdown),
    };
    drop(begun);
    if let Err(error) = note(&context.db, &job, &lease, end).await
        && !matches!(error, models::db::Error::LeaseLost)
    {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(job = %job.id, error, "the job's end could not be noted; its lease will run out");
    }
    (kind, seat)
}

/// Writes down how the job ended.
async fn note(
    db: &Db,
    job: &Job,
    lease: &Lease,
    end: Result<(), task::Failure>,
) -> Result<(), models::db::Error> {
    let now = WallMicros::now();
    let recording = job.recording_id;
    match end {
        Ok(()) => db.finish_job(lease, now).await,
        Err(task::Failure::Lost) => {
            tracing::info!(job = %job.id, %recording, "the job is no longer ours");
            Ok(())
        }
        Err(task::Failure::Shutdown) => db.release_job(lease, now).await,
        Err(task::Failure::Work { give_up, source }) => {
            let error = chain(&*source);
            let attempt = job.attempt;
            tracing::warn!(job = %job.id, %recording, attempt, give_up, error, "a job failed");
            db.fail_job(lease, &error, give_up, now).await
        }
    }
}

/// Gives signs of life until the job is no longer ours.
async fn beat(db: &Db, lease: &Lease) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        match db.heartbeat(lease, LEASE_MS, WallMicros::now()).await {
            Ok(()) => {}
            Err(models::db::Error::LeaseLost) => return,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(job = %lease.job_id, error, "a sign of life could not be given");
            }
        }
    }
}

/// An error with its causes, for people.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
