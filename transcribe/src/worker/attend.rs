//! Sees one job through: the work, the signs of life beside it, and a note of how it ended.

use std::time::Duration;

use models::db::Error;
use models::job::{Kind, Lease};
use models::{Db, Job, WallMicros};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::crew::Sitting;
use super::meter::Meter;
use super::place::Place;
use super::{millis, task};

/// How long a sign of life that comes late may take. The database knows whether it is too late.
const LAST_TRY: Duration = Duration::from_secs(5);

/// Sees one job through. What ends first ends the others: where the lease is lost or the worker is to
/// end, the engine is stopped within its window and nothing more is written.
pub(super) async fn attend(
    context: task::Context,
    job: Job,
    lease: Lease,
    length: Duration,
    (sitting, place): (Sitting, Place),
    shutdown: CancellationToken,
) {
    let meter = Meter::new(&context.made_by.engine, context.threads);
    let work = task::work(&context, &job, &lease, (&sitting, &place), &meter);
    let end = tokio::select! {
        end = work => end,
        () = beat(&context.db, &lease, length) => Err(task::Failure::Lost),
        () = shutdown.cancelled() => Err(task::Failure::Shutdown),
    };
    drop(sitting);
    // What a job took that is done was noted before its transcript was finished. Live words come in so
    // many runs that noting each would cost more than it tells.
    if matches!(end, Err(task::Failure::Shutdown | task::Failure::Work { .. }))
        && job.kind == Kind::Transcribe
        && let Err(error) = meter.note(&context.db, &lease).await
    {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(job = %job.id, error, "what the job took could not be noted");
    }
    if let Err(error) = note(&context.db, &job, &lease, end).await
        && !matches!(error, Error::LeaseLost)
    {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(job = %job.id, error, "the job's end could not be noted; its lease will run out");
    }
}

/// Writes down how the job ended.
async fn note(
    db: &Db,
    job: &Job,
    lease: &Lease,
    end: Result<(), task::Failure>,
) -> Result<(), Error> {
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

/// Gives signs of life until the job is no longer ours, or until it may not be: none has reached the
/// database for as long as the lease.
async fn beat(db: &Db, lease: &Lease, length: Duration) {
    let mut until = Instant::now() + length;
    loop {
        sleep(length / 4).await;
        let asked = Instant::now();
        // A process that was stopped for a while finds its lease run out. It may still be ours.
        let sign = db.heartbeat(lease, millis(length), WallMicros::now());
        match timeout_at(until.max(asked + LAST_TRY), sign).await {
            Ok(Ok(())) => until = asked + length,
            Ok(Err(Error::LeaseLost)) => return,
            Ok(Err(error)) if Instant::now() < until => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(job = %lease.job_id, error, "a sign of life could not be given");
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(job = %lease.job_id, "no sign of life reached the database in time");
                return;
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
