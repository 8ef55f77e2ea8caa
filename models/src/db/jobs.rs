//! Jobs: claim, lease, fence, retry.
//!
//! A claim raises the job's token; every write of the work goes through [`fence`], which matches
//! nothing once the job is another's. An expired lease may be taken over but, until it is, its
//! holder may still go on.
//!
//! [`Kind::TranscribeLive`] has one row a recording: a chunk makes it, wakes it again once it is
//! done, and tells it to run once more where it is being worked on. One that is dead or cancelled
//! sleeps until someone retries it.

use sqlx::FromRow;
use uuid::Uuid;

use super::code::{Code, int, number, ticks};
use super::engine::Tx;
use super::{Change, Db, Error, Result, recordings};
use crate::id::{JobId, RecordingId};
use crate::job::{Job, Kind, Lease, MAX_ATTEMPTS, State, backoff_ms};
use crate::recording::Recording;
use crate::time::{Ticks, WallMicros};

const NOT_FOUND: Error = Error::NotFound { what: "job" };

impl Db {
    /// Makes a job that is ready now. Where one of this kind is open for this recording, it is that
    /// one.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording.
    pub async fn enqueue(
        &self,
        kind: Kind,
        recording: RecordingId,
        now: WallMicros,
    ) -> Result<JobId> {
        let mut tx = self.begin("make the job").await?;
        let recording = recordings::within(&mut tx, recording).await?;
        let id = enqueue_within(&mut tx, kind, &recording, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Takes the most urgent job of these kinds that is ready or whose lease has expired; of
    /// several, the one that has waited longest. It is the worker's for `lease_ms` from now.
    ///
    /// A job claimed [`MAX_ATTEMPTS`] times whose last lease expired too is [`State::Dead`]: it
    /// kills its workers.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn claim(
        &self,
        kinds: &[Kind],
        worker: &str,
        lease_ms: i64,
        now: WallMicros,
    ) -> Result<Option<(Job, Lease)>> {
        let step = "claim a job";
        let wanted = |kind: Kind| kinds.contains(&kind).then(|| kind.code());
        let mut tx = self.begin(step).await?;
        let buried = run!(
            tx,
            step,
            "UPDATE jobs
             SET state = 'dead', worker = NULL, lease_until = NULL, updated_at = $1,
                 error = 'the worker was lost; so were those before it'
             WHERE state = 'running' AND lease_until <= $1 AND attempt >= $2",
            now.0,
            i64::from(MAX_ATTEMPTS),
        )?;
        let row: Option<Row> = one!(
            tx,
            step,
            "UPDATE jobs
             SET state = 'running', attempt = attempt + 1, token = token + 1, woken = 0,
                 worker = $1, lease_until = $2, updated_at = $3
             WHERE id = (
                 SELECT id FROM jobs
                 WHERE state IN ('ready', 'running')
                   AND kind IN ($4, $5)
                   AND (CASE WHEN state = 'ready' THEN run_after ELSE lease_until END) <= $3
                 ORDER BY priority DESC, run_after, id
                 LIMIT 1
             )
             RETURNING *",
            worker,
            now.plus_millis(lease_ms).0,
            now.0,
            wanted(Kind::TranscribeLive),
            wanted(Kind::Transcribe),
        )?;
        let claimed = row.map(Job::try_from).transpose()?;
        if claimed.is_some() || buried > 0 {
            tx.note(Change::Jobs);
            tx.commit().await?;
        }
        Ok(claimed.map(|job| {
            let lease = Lease { job_id: job.id, token: job.token };
            (job, lease)
        }))
    }

    /// Keeps a job for `lease_ms` from now.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn heartbeat(&self, lease: &Lease, lease_ms: i64, now: WallMicros) -> Result<()> {
        let step = "keep the lease";
        let mut tx = self.begin(step).await?;
        fence(&mut tx, lease, now).await?;
        run!(
            tx,
            step,
            "UPDATE jobs SET lease_until = $2 WHERE id = $1",
            lease.job_id.0,
            now.plus_millis(lease_ms).0,
        )?;
        tx.commit().await
    }

    /// Ends a job that is done. One that was woken while it was worked on is ready again.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn finish_job(&self, lease: &Lease, now: WallMicros) -> Result<()> {
        let step = "finish the job";
        let mut tx = self.begin(step).await?;
        fence(&mut tx, lease, now).await?;
        run!(
            tx,
            step,
            "UPDATE jobs
             SET state = CASE WHEN woken = 1 THEN 'ready' ELSE 'done' END,
                 run_after = CASE WHEN woken = 1 THEN $2 ELSE run_after END,
                 attempt = CASE WHEN woken = 1 THEN 0 ELSE attempt END,
                 woken = 0, worker = NULL, lease_until = NULL, error = NULL
             WHERE id = $1",
            lease.job_id.0,
            now.0,
        )?;
        tx.note(Change::Jobs);
        tx.commit().await
    }

    /// Ends an attempt that failed. The job is tried again after [`backoff_ms`], or is
    /// [`State::Dead`] where the caller gives up or this was the last attempt.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn fail_job(
        &self,
        lease: &Lease,
        error: &str,
        give_up: bool,
        now: WallMicros,
    ) -> Result<()> {
        let step = "note the job's failure";
        let mut tx = self.begin(step).await?;
        let job = fence(&mut tx, lease, now).await?;
        let state = if give_up || job.attempt >= MAX_ATTEMPTS { State::Dead } else { State::Ready };
        run!(
            tx,
            step,
            "UPDATE jobs
             SET state = $2, error = $3, run_after = $4, woken = 0, worker = NULL,
                 lease_until = NULL
             WHERE id = $1",
            lease.job_id.0,
            state.code(),
            error,
            now.plus_millis(backoff_ms(job.attempt)).0,
        )?;
        tx.note(Change::Jobs);
        tx.commit().await
    }

    /// Gives a job back unfinished, to be claimed at once. The attempt does not count: the worker
    /// is shutting down, which is not the job's fault.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn release_job(&self, lease: &Lease, now: WallMicros) -> Result<()> {
        let step = "give the job back";
        let mut tx = self.begin(step).await?;
        fence(&mut tx, lease, now).await?;
        run!(
            tx,
            step,
            "UPDATE jobs
             SET state = 'ready', attempt = attempt - 1, woken = 0, worker = NULL,
                 lease_until = NULL
             WHERE id = $1",
            lease.job_id.0,
        )?;
        tx.note(Change::Jobs);
        tx.commit().await
    }

    /// At most `limit` jobs, the newest first; the next page begins after the last one of this page
    /// (`before`).
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn jobs(
        &self,
        state: Option<State>,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>> {
        let rows: Vec<Row> = all!(
            self.pools,
            "list the jobs",
            "SELECT * FROM jobs
             WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR id < $2)
             ORDER BY id DESC
             LIMIT $3",
            state.map(Code::code),
            before.map(|id| id.0),
            i64::from(limit),
        )?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// The job with this identifier.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn job(&self, id: JobId) -> Result<Job> {
        let row: Option<Row> = one!(self.pools, "read the job", BY_ID, id.0)?;
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

    /// Makes a dead, cancelled or waiting job ready now, with all its attempts before it. What it
    /// has done so far is kept.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it is being worked on, is done, has nothing
    /// left to do, or another of its kind has taken its place.
    pub async fn retry_job(&self, id: JobId, now: WallMicros) -> Result<Job> {
        let step = "try the job again";
        let mut tx = self.begin(step).await?;
        let job = within(&mut tx, id).await?;
        match job.state {
            State::Running => return Err(Error::conflict("the job is being worked on")),
            State::Done => return Err(Error::conflict("the job is done")),
            State::Ready | State::Dead | State::Cancelled => {}
        }
        let over = !recordings::within(&mut tx, job.recording_id).await?.state.is_open();
        if job.kind == Kind::TranscribeLive && over {
            return Err(Error::conflict("the recording is over: it has no live captions to write"));
        }
        if open_job(&mut tx, job.kind, job.recording_id).await?.is_some_and(|open| open.id != id) {
            return Err(Error::conflict("another job of this kind has taken its place"));
        }
        let job = make_ready(&mut tx, id, now).await?;
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
        let job = end(&mut tx, id, State::Cancelled, now).await?;
        tx.commit().await?;
        Ok(job)
    }
}

const BY_ID: &str = "SELECT * FROM jobs WHERE id = $1";

/// The job, where `lease` still holds it; on engines that lock rows it stays locked until the
/// transaction ends, so that nobody takes it over in between.
pub(super) async fn fence(tx: &mut Tx, lease: &Lease, now: WallMicros) -> Result<Job> {
    let row: Option<Row> = one!(
        tx,
        "check the lease",
        "UPDATE jobs SET updated_at = $3
         WHERE id = $1 AND token = $2 AND state = 'running'
         RETURNING *",
        lease.job_id.0,
        lease.token,
        now.0,
    )?;
    row.ok_or(Error::LeaseLost)?.try_into()
}

/// Notes how far a job is. To be called behind [`fence`].
pub(super) async fn progress(tx: &mut Tx, id: JobId, done: Ticks, total: Ticks) -> Result<()> {
    run!(
        tx,
        "note the job's progress",
        "UPDATE jobs SET done_ticks = $2, total_ticks = $3 WHERE id = $1",
        id.0,
        int(done.0),
        int(total.0),
    )?;
    tx.note(Change::Jobs);
    Ok(())
}

/// The open job of this kind for this recording, or a new one.
pub(super) async fn enqueue_within(
    tx: &mut Tx,
    kind: Kind,
    recording: &Recording,
    now: WallMicros,
) -> Result<JobId> {
    if let Some(open) = open_job(tx, kind, recording.id).await? {
        return Ok(open.id);
    }
    let id = JobId::new();
    run!(
        tx,
        "make the job",
        "INSERT INTO jobs (id, kind, recording_id, state, priority, run_after, total_ticks,
                           created_at, updated_at)
         VALUES ($1, $2, $3, 'ready', $4, $5, $6, $5, $5)",
        id.0,
        kind.code(),
        recording.id.0,
        i64::from(kind.priority()),
        now.0,
        int(recording.duration.0),
    )?;
    tx.note(Change::Jobs);
    Ok(id)
}

/// Sees to it that a live recording's captions are worked on up to `total`.
pub(super) async fn wake_live(
    tx: &mut Tx,
    recording: RecordingId,
    total: Ticks,
    now: WallMicros,
) -> Result<()> {
    let row: Option<Row> = one!(
        tx,
        "find the recording's live job",
        "SELECT * FROM jobs WHERE recording_id = $1 AND kind = $2 ORDER BY id DESC LIMIT 1",
        recording.0,
        Kind::TranscribeLive.code(),
    )?;
    let id = match row.map(Job::try_from).transpose()? {
        None => {
            let recording = recordings::within(tx, recording).await?;
            enqueue_within(tx, Kind::TranscribeLive, &recording, now).await?
        }
        Some(job) => {
            match job.state {
                State::Running => {
                    run!(
                        tx,
                        "wake the live job",
                        "UPDATE jobs SET woken = 1 WHERE id = $1",
                        job.id.0
                    )?;
                }
                State::Done => drop(make_ready(tx, job.id, now).await?),
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
    if let Some(job) = open_job(tx, Kind::TranscribeLive, recording).await? {
        end(tx, job.id, State::Done, now).await?;
    }
    Ok(())
}

async fn within(tx: &mut Tx, id: JobId) -> Result<Job> {
    let row: Option<Row> = one!(tx, "read the job", BY_ID, id.0)?;
    row.ok_or(NOT_FOUND)?.try_into()
}

async fn open_job(tx: &mut Tx, kind: Kind, recording: RecordingId) -> Result<Option<Job>> {
    let row: Option<Row> = one!(
        tx,
        "find the recording's open job",
        "SELECT * FROM jobs
         WHERE recording_id = $1 AND kind = $2 AND state IN ('ready', 'running')",
        recording.0,
        kind.code(),
    )?;
    row.map(Job::try_from).transpose()
}

/// Ready now, as if it had never been tried.
async fn make_ready(tx: &mut Tx, id: JobId, now: WallMicros) -> Result<Job> {
    let row: Option<Row> = one!(
        tx,
        "make the job ready",
        "UPDATE jobs
         SET state = 'ready', attempt = 0, run_after = $2, woken = 0, updated_at = $2
         WHERE id = $1
         RETURNING *",
        id.0,
        now.0,
    )?;
    tx.note(Change::Jobs);
    row.ok_or(NOT_FOUND)?.try_into()
}

/// Over, in a state that is neither ready nor running.
async fn end(tx: &mut Tx, id: JobId, state: State, now: WallMicros) -> Result<Job> {
    let row: Option<Row> = one!(
        tx,
        "end the job",
        "UPDATE jobs
         SET state = $2, woken = 0, worker = NULL, lease_until = NULL, updated_at = $3
         WHERE id = $1
         RETURNING *",
        id.0,
        state.code(),
        now.0,
    )?;
    tx.note(Change::Jobs);
    row.ok_or(NOT_FOUND)?.try_into()
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    recording_id: Uuid,
    state: String,
    priority: i64,
    attempt: i64,
    run_after: i64,
    worker: Option<String>,
    lease_until: Option<i64>,
    token: i64,
    done_ticks: i64,
    total_ticks: i64,
    error: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Job {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: JobId(row.id),
            kind: Kind::parse(&row.kind)?,
            recording_id: RecordingId(row.recording_id),
            state: State::parse(&row.state)?,
            priority: number("priority", row.priority)?,
            attempt: number("attempt", row.attempt)?,
            run_after: WallMicros(row.run_after),
            lease: row.worker.zip(row.lease_until.map(WallMicros)),
            token: row.token,
            done: ticks(row.done_ticks)?,
            total: ticks(row.total_ticks)?,
            error: row.error,
            created_at: WallMicros(row.created_at),
            updated_at: WallMicros(row.updated_at),
        })
    }
}
