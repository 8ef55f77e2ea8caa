//! Jobs: made, woken, listed, tried again, taken back.
//!
//! [`Kind::TranscribeLive`] has one row a recording: a chunk makes it, wakes it again once it is
//! done, and tells it to run once more where it is being worked on. One that is dead or cancelled
//! sleeps until someone retries it.

mod new;
mod row;

use uuid::Uuid;

use super::code::{Code, int, text};
use super::engine::Tx;
use super::{Change, Db, Error, Result, batches, queue, recordings};
use crate::batch;
use crate::id::{JobId, RecordingId};
use crate::job::{Class, Job, Kind, State, Weights};
use crate::time::{Ticks, WallMicros};

pub(super) use new::{Asked, enqueue_within, insert};
pub(super) use row::{CostRow, Row};

const NOT_FOUND: Error = Error::NotFound { what: "job" };

/// Which jobs to list. The default lists all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those of this kind.
    pub kind: Option<Kind>,
}

impl Db {
    /// Makes a job that is ready now. Where one of this kind is open for this recording, it is that
    /// one; one that waits in a less urgent class moves up.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording.
    pub async fn enqueue(
        &self,
        kind: Kind,
        class: Class,
        recording: RecordingId,
        now: WallMicros,
    ) -> Result<JobId> {
        let mut tx = self.begin("make the job").await?;
        let recording = recordings::within(&mut tx, recording).await?;
        let id = enqueue_within(&mut tx, kind, class, &recording, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// At most `limit` jobs, the newest first; the next page begins after the last one of this page
    /// (`before`).
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn jobs(
        &self,
        filter: Filter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>> {
        let step = "list the jobs";
        let kind = filter.kind.map(Code::code);
        let before = before.map_or(Uuid::max(), |id| id.0);
        let rows: Vec<Row> = match filter.state {
            // Two queries: with the state left open SQLite would not use its index.
            None => all!(
                self.pools,
                step,
                "SELECT * FROM jobs WHERE ($1 IS NULL OR kind = $1) AND id < $2
                 ORDER BY id DESC LIMIT $3",
                kind,
                before,
                i64::from(limit),
            ),
            Some(state) => all!(
                self.pools,
                step,
                "SELECT * FROM jobs WHERE ($1 IS NULL OR kind = $1) AND id < $2 AND state = $4
                 ORDER BY id DESC LIMIT $3",
                kind,
                before,
                i64::from(limit),
                state.code(),
            ),
        }?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// The job with this identifier.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn job(&self, id: JobId) -> Result<Job> {
        let sql = "SELECT * FROM jobs WHERE id = $1";
        let row: Option<Row> = one!(self.pools, "read the job", sql, id.0)?;
        row.ok_or(NOT_FOUND)?.try_into()
    }

    /// All jobs of a recording, the oldest first.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn jobs_of(&self, recording: RecordingId) -> Result<Vec<Job>> {
        let rows: Vec<Row> = all!(
            self.pools,
            "list the recording's jobs",
            "SELECT * FROM jobs WHERE recording_id = $1 ORDER BY id",
            recording.0,
        )?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// Makes a dead, cancelled or waiting job ready now, with all its attempts before it; one that
    /// is ready stays so. What it has done so far is kept.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it is being worked on, is done, has nothing
    /// left to do, its batch is paused, or another of its kind has taken its place.
    pub async fn retry_job(&self, id: JobId, now: WallMicros) -> Result<Job> {
        let step = "try the job again";
        // A job is one recording's and one batch's for ever, so these are known before anything is
        // locked.
        let Job { recording_id, batch_id, .. } = self.job(id).await?;
        let mut tx = self.begin(step).await?;
        let paused = match batch_id {
            None => false,
            Some(batch) => batches::state_within(&mut tx, batch).await? == batch::State::Paused,
        };
        let over = !recordings::within(&mut tx, recording_id).await?.state.is_open();
        let job = within(&mut tx, id).await?;
        match job.state {
            State::Running => return Err(Error::conflict("the job is being worked on")),
            State::Done => return Err(Error::conflict("the job is done")),
            _ if paused => return Err(Error::conflict("the job's batch is paused: resume it")),
            // It keeps its turn.
            State::Ready if job.attempt == 0 => return Ok(job),
            State::Ready | State::Dead | State::Cancelled => {}
        }
        if job.kind == Kind::TranscribeLive && over {
            return Err(Error::conflict("the recording is over: it has no live captions to write"));
        }
        let weights = job.weights.as_ref();
        let open = open_job(&mut tx, job.kind, job.recording_id, weights).await?;
        if open.is_some_and(|open| open.id != id) {
            return Err(Error::conflict("another job of this kind has taken its place"));
        }
        let job = make_ready(&mut tx, &job, now).await?;
        tx.commit().await?;
        Ok(job)
    }

    /// Takes a ready or running job back; its worker's next write is refused. One that is cancelled
    /// stays so.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it is done or dead.
    pub async fn cancel_job(&self, id: JobId, now: WallMicros) -> Result<Job> {
        let step = "cancel the job";
        let mut tx = self.begin(step).await?;
        let job = within(&mut tx, id).await?;
        match job.state {
            State::Cancelled => return Ok(job),
            State::Done => return Err(Error::conflict("the job is done")),
            State::Dead => return Err(Error::conflict("the job is dead")),
            State::Ready | State::Running => {}
        }
        let job = end(&mut tx, id, State::Cancelled, None, now).await?;
        tx.commit().await?;
        Ok(job)
    }
}

/// Sees to it that a live recording's captions are worked on up to `total`.
pub(super) async fn wake_live(
    tx: &mut Tx,
    recording: RecordingId,
    total: Ticks,
    now: WallMicros,
) -> Result<()> {
    let row: Option<Row> = locked!(
        tx,
        "find the recording's live job",
        "SELECT * FROM jobs WHERE recording_id = $1 AND kind = $2 ORDER BY id DESC LIMIT 1",
        recording.0,
        Kind::TranscribeLive.code(),
    )?;
    let id = match row.map(Job::try_from).transpose()? {
        None => {
            let recording = recordings::within(tx, recording).await?;
            let (kind, class) = (Kind::TranscribeLive, Class::Live);
            enqueue_within(tx, kind, class, &recording, now).await?
        }
        Some(job) => {
            match job.state {
                State::Running => {
                    let sql = "UPDATE jobs SET woken = TRUE WHERE id = $1";
                    run!(tx, "wake the live job", sql, job.id.0)?;
                }
                State::Done => drop(make_ready(tx, &job, now).await?),
                State::Ready | State::Dead | State::Cancelled => {}
            }
            job.id
        }
    };
    run!(
        tx,
        "note how much there is to caption",
        "UPDATE jobs SET total_ticks = $2, updated_at = $3 WHERE id = $1",
        id.0,
        int(total.0),
        now.0,
    )?;
    tx.note(Change::Jobs);
    Ok(())
}

/// Ends a recording's live job, whoever works on it.
pub(super) async fn end_live(tx: &mut Tx, recording: RecordingId, now: WallMicros) -> Result<()> {
    if let Some(job) = open_job(tx, Kind::TranscribeLive, recording, None).await? {
        end(tx, job.id, State::Done, None, now).await?;
    }
    Ok(())
}

/// The job as the transaction sees it, and nobody else's to change until that ends.
async fn within(tx: &mut Tx, id: JobId) -> Result<Job> {
    let row: Option<Row> = locked!(tx, "read the job", "SELECT * FROM jobs WHERE id = $1", id.0)?;
    row.ok_or(NOT_FOUND)?.try_into()
}

/// The open job of this kind for this recording that asks for just these weights.
pub(super) async fn open_job(
    tx: &mut Tx,
    kind: Kind,
    recording: RecordingId,
    weights: Option<&Weights>,
) -> Result<Option<Job>> {
    let row: Option<Row> = locked!(
        tx,
        "find the recording's open job",
        "SELECT * FROM jobs
         WHERE recording_id = $1 AND kind = $2 AND weights_sha256 = $3
           AND state IN ('ready', 'running')",
        recording.0,
        kind.code(),
        sha256(weights),
    )?;
    row.map(Job::try_from).transpose()
}

/// The SHA-256 of weights that are asked for, as a row has it.
fn sha256(weights: Option<&Weights>) -> &str {
    weights.map_or("", |weights| &weights.sha256)
}

/// Where a job may stand in its queue.
async fn place_of(tx: &mut Tx, job: &Job) -> Result<queue::Place> {
    queue::place(tx, job.kind, job.priority, &job.host, sha256(job.weights.as_ref())).await
}

/// Ready now, as if it had never been tried: it queues like a new one.
pub(super) async fn make_ready(tx: &mut Tx, job: &Job, now: WallMicros) -> Result<Job> {
    let place = place_of(tx, job).await?;
    let row: Option<Row> = one!(
        tx,
        "make the job ready",
        "UPDATE jobs
         SET state = 'ready', due = TRUE, turn = $3, attempt = 0, run_after = $2, woken = FALSE,
             worker = NULL, lease_until = NULL, error = NULL, updated_at = $2
         WHERE id = $1
         RETURNING *",
        job.id.0,
        now.0,
        place.tail(),
    )?;
    tx.note(Change::Jobs);
    row.ok_or(NOT_FOUND)?.try_into()
}

/// To be claimed again, by whoever comes first: what was begun goes on at the head of the queue.
pub(super) async fn put_back(tx: &mut Tx, job: &Job, now: WallMicros) -> Result<()> {
    let place = place_of(tx, job).await?;
    run!(
        tx,
        "put the job back",
        "UPDATE jobs
         SET state = 'ready', due = TRUE, turn = $3, woken = FALSE, worker = NULL,
             lease_until = NULL, updated_at = $2
         WHERE id = $1",
        job.id.0,
        now.0,
        place.head,
    )?;
    tx.note(Change::Jobs);
    Ok(())
}

/// Over, in a state that is neither ready nor running.
pub(super) async fn end(
    tx: &mut Tx,
    id: JobId,
    state: State,
    error: Option<&str>,
    now: WallMicros,
) -> Result<Job> {
    let row: Option<Row> = one!(
        tx,
        "end the job",
        "UPDATE jobs
         SET state = $2, due = FALSE, held = FALSE, woken = FALSE, worker = NULL, lease_until = NULL,
             error = CASE WHEN $2 = 'done' THEN NULL ELSE COALESCE($4, error) END,
             updated_at = $3
         WHERE id = $1
         RETURNING *",
        id.0,
        state.code(),
        now.0,
        error.map(text),
    )?;
    tx.note(Change::Jobs);
    row.ok_or(NOT_FOUND)?.try_into()
}
