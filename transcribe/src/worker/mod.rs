//! The worker: claims jobs, several at once, and works through them window by window.
//!
//! Live rooms have places of their own, so that no long recording can keep them waiting; a finished
//! recording steps back between windows while live ones want all threads. All state is in rows:
//! whoever claims a job goes on at what its transcript has covered. What asks for other weights is
//! left to others; rows say that this worker lives and which it has.

mod ahead;
mod attend;
mod crew;
mod meter;
mod place;
mod presence;
mod reader;
mod share;
mod task;
mod tune;

use std::time::Duration;

use archive::Store;
use models::batch::Transcriber;
use models::db::{Change, Claimant};
use models::job::{Kind, Lease, Limits};
use models::{Db, Job, WallMicros};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine::{self, Model};
use crate::weights::Weights;
use crew::Crew;
use place::Place;
use share::Share;
pub use tune::{Trial, Tuning, tune};

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
    /// Do nothing but what asks for these weights.
    pub only_asked: bool,
}

impl Config {
    /// A worker with the usual lease, bound by its own places only.
    #[must_use]
    pub fn new(worker: String, threads: usize, weights: Weights) -> Self {
        let limits = Limits::default();
        Self { worker, threads, weights, lease: LEASE, limits, only_asked: false }
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
    let threads = config.threads.max(1);
    let starting = tokio::task::spawn_blocking(move || start(&weights, threads));
    let (model, tuning) = starting.await.map_err(Error::Stopped)??;
    for device in engine::devices() {
        tracing::info!(%device, "device found");
    }
    tracing::info!(
        engine = model.name(),
        gpu = model.gpu().map(tracing::field::display),
        weights = config.weights.name,
        threads,
        windows_at_once = tuning.windows,
        threads_each = tuning.threads,
        "transcription worker ready"
    );
    let desk = Desk::new(db.clone(), store, config, model, &tuning)?;
    let us = desk.us();
    let outcome = tokio::select! {
        outcome = desk.work(shutdown) => outcome,
        never = presence::tell(&db, &us) => never,
    };
    presence::leave(&db, us).await;
    outcome
}

/// Loads the model and finds out how finished recordings are read fastest, before there is any work
/// beside which that would come out wrong.
fn start(weights: &Weights, threads: usize) -> Result<(Model, Tuning), engine::Error> {
    let mut model = Model::open(weights)?;
    let mut tuning = tune(&model, threads, |_| ());
    if let (Err(engine::Error::Room(error)), true) = (&tuning, model.gpu().is_some()) {
        tracing::warn!(%error, "no memory for a window on the graphics card; using the processor");
        model = model.on_processor()?;
        tuning = tune(&model, threads, |_| ());
    }
    Ok((model, tuning?))
}

/// Where jobs are handed out.
struct Desk {
    db: Db,
    config: Config,
    context: task::Context,
    live: Places,
    batch: Places,
}

/// Who works on the jobs of one kind, and how many more jobs there is room for.
struct Places {
    crew: Crew,
    free: usize,
}

impl Desk {
    fn new(
        db: Db,
        store: Store,
        config: Config,
        model: Model,
        tuning: &Tuning,
    ) -> Result<Self, Error> {
        let places = |jobs: usize, members: usize| {
            let crew = Crew::new(model.clone(), members).map_err(Error::Thread)?;
            Ok::<_, Error>(Places { crew, free: jobs })
        };
        let live = (config.threads / 2).max(2);
        let batch = (config.threads / 4).max(1);
        let (live, batch) = (places(live, live)?, places(batch, tuning.windows)?);
        let context = task::Context {
            db: db.clone(),
            store,
            made_by: task::made_by(&model, &config.weights),
            share: Share::new(config.threads, tuning.windows, tuning.threads),
            threads: u32::try_from(config.threads).unwrap_or(u32::MAX).max(1),
        };
        Ok(Self { db, config, context, live, batch })
    }

    /// What others are told of this worker.
    fn us(&self) -> Transcriber {
        Transcriber {
            name: self.config.worker.clone(),
            made_by: self.context.made_by(false),
            places: u32::try_from(self.batch.free).unwrap_or(u32::MAX),
            alive_until: WallMicros(0),
        }
    }

    async fn work(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut changes = self.db.changes();
        let (back, mut freed) = mpsc::unbounded_channel();
        let mut running = JoinSet::new();
        while !shutdown.is_cancelled() {
            let wait = match self.claim().await {
                Ok(Some((job, lease))) => {
                    let (context, length) = (self.context.clone(), self.config.lease);
                    let (places, end) = (self.places(job.kind), shutdown.clone());
                    places.free -= 1;
                    let place = (places.crew.sit(), Place::new(job.kind, back.clone()));
                    running.spawn(attend::attend(context, job, lease, length, place, end));
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
                Some(kind) = freed.recv() => self.places(kind).free += 1,
                Some(ended) = running.join_next() => self.check(ended)?,
            }
        }
        while let Some(ended) = running.join_next().await {
            self.check(ended)?;
        }
        let crews = [self.live.crew, self.batch.crew];
        let closing = tokio::task::spawn_blocking(move || crews.into_iter().for_each(Crew::close));
        closing.await.map_err(Error::Stopped)
    }

    async fn claim(&self) -> Result<Option<(Job, Lease)>, models::db::Error> {
        let mut kinds = Vec::new();
        if self.live.free > 0 {
            kinds.push(Kind::TranscribeLive);
        }
        if self.batch.free > 0 {
            kinds.push(Kind::Transcribe);
        }
        if kinds.is_empty() {
            return Ok(None);
        }
        let Config { worker, weights, lease, limits, only_asked, .. } = &self.config;
        let claimant = Claimant {
            name: worker,
            kinds: &kinds,
            weights: Some(&weights.sha256),
            only_asked: *only_asked,
        };
        self.db.claim_as(claimant, *limits, millis(*lease), WallMicros::now()).await
    }

    fn places(&mut self, kind: Kind) -> &mut Places {
        match kind {
            Kind::TranscribeLive => &mut self.live,
            Kind::Transcribe => &mut self.batch,
        }
    }

    /// Nobody's thread may have ended in a panic.
    fn check(&self, ended: Result<(), tokio::task::JoinError>) -> Result<(), Error> {
        ended.map_err(|_| Error::Panic)?;
        let broken = self.live.crew.is_broken() || self.batch.crew.is_broken();
        if broken { Err(Error::Panic) } else { Ok(()) }
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
