//! Leases: claim, keep, finish, fail, give back, and the fence every write of a job goes through.
//!
//! A claim raises the job's token. [`fence`] matches nothing once the job was taken back. A lease
//! that has run out is taken back by the next claim of that kind; until then its holder may go on.

use super::code::{int, text};
use super::engine::Tx;
use super::jobs::{self, Row};
use super::{Change, Db, Error, Result, queue};
use crate::id::{JobId, TranscriptId};
use crate::job::{Cost, Job, Kind, Lease, Limits, MAX_ATTEMPTS, State, backoff_ms};
use crate::time::{Ticks, WallMicros};

/// Who claims jobs, and which.
#[derive(Debug, Clone, Copy)]
pub struct Claimant<'a> {
    /// Its name in the jobs it works on.
    pub name: &'a str,
    /// What it can do.
    pub kinds: &'a [Kind],
    /// SHA-256 of its weights: it takes what asks for them, and what asks for none. `None`: only what
    /// asks for none.
    pub weights: Option<&'a str>,
    /// It takes nothing but what asks for its weights.
    pub only_asked: bool,
}

impl Db {
    /// Takes the job of these kinds that goes next: of the most urgent class the one with the least
    /// turn. It is the worker's for `lease_ms` from now.
    ///
    /// Jobs whose workers gave no sign of life for as long as their leases are taken back here. One
    /// that was claimed [`MAX_ATTEMPTS`] times without getting any further is then [`State::Dead`]:
    /// it kills its workers.
    ///
    /// A kind of which as many run as `limits` allow is passed over. Every worker has to be given
    /// the same limits.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn claim(
        &self,
        kinds: &[Kind],
        limits: Limits,
        worker: &str,
        lease_ms: i64,
        now: WallMicros,
    ) -> Result<Option<(Job, Lease)>> {
        let claimant = Claimant { name: worker, kinds, weights: None, only_asked: false };
        self.claim_as(claimant, limits, lease_ms, now).await
    }

    /// [`Self::claim`] for a worker that has weights: what asks for them goes by the same rules.
    /// While a recording is being worked on, no other job of that kind of it is given out.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn claim_as(
        &self,
        claimant: Claimant<'_>,
        limits: Limits,
        lease_ms: i64,
        now: WallMicros,
    ) -> Result<Option<(Job, Lease)>> {
        let Claimant { name, kinds, weights, only_asked } = claimant;
        let seeker = queue::Seeker { kinds, weights, only_asked };
        let sight = queue::look(self, &seeker, now).await?;
        if sight.is_nothing() {
            return Ok(None);
        }
        let step = "claim a job";
        let mut tx = self.begin(step).await?;
        let found = queue::find(&mut tx, sight, &seeker, limits, now).await?;
        let Some(id) = found.id else {
            if found.swept {
                tx.commit().await?;
            }
            return Ok(None);
        };
        let claimed: Result<Option<Row>> = one!(
            tx,
            step,
            "UPDATE jobs
             SET state = 'running', due = FALSE, attempt = attempt + 1, token = token + 1,
                 woken = FALSE, worker = $2, lease_until = $3, updated_at = $4
             WHERE id = $1
             RETURNING *",
            id.0,
            name,
            now.plus_millis(lease_ms).0,
            now.0,
        );
        let row = match claimed {
            // Another job of the recording was claimed at the same moment.
            Err(Error::Conflict { .. }) => return Ok(None),
            claimed => claimed?,
        };
        let job = row.map(Job::try_from).transpose()?.ok_or(Error::NotFound { what: "job" })?;
        tx.note(Change::Jobs);
        tx.commit().await?;
        let lease = Lease { job_id: job.id, token: job.token };
        Ok(Some((job, lease)))
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

    /// Notes what work on a job took beyond what was noted before, at the job and at the transcript
    /// that it wrote.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn spend(
        &self,
        lease: &Lease,
        transcript: Option<TranscriptId>,
        cost: &Cost,
        now: WallMicros,
    ) -> Result<()> {
        let step = "note what the job took";
        let mut tx = self.begin(step).await?;
        let job = fence(&mut tx, lease, now).await?;
        run!(
            tx,
            step,
            "UPDATE jobs
             SET cost_ms = cost_ms + $2, cost_ticks = cost_ticks + $3,
                 cost_windows = cost_windows + $4, cost_threads = $5, cost_device = $6
             WHERE id = $1",
            job.id.0,
            int(cost.wall_ms),
            int(cost.audio.0),
            i64::from(cost.windows),
            i64::from(cost.threads),
            &cost.device,
        )?;
        run!(
            tx,
            step,
            "UPDATE transcripts
             SET cost_ms = cost_ms + $2, cost_ticks = cost_ticks + $3,
                 cost_windows = cost_windows + $4, cost_threads = $5, cost_device = $6
             WHERE id = $1 AND recording_id = $7",
            transcript.map(|id| id.0),
            int(cost.wall_ms),
            int(cost.audio.0),
            i64::from(cost.windows),
            i64::from(cost.threads),
            &cost.device,
            job.recording_id.0,
        )?;
        tx.note(Change::Jobs);
        tx.commit().await
    }

    /// Ends a job that is done. One that was woken while it was worked on is ready again.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn finish_job(&self, lease: &Lease, now: WallMicros) -> Result<()> {
        let step = "finish the job";
        let mut tx = self.begin(step).await?;
        let job = fence(&mut tx, lease, now).await?;
        if job.woken {
            jobs::make_ready(&mut tx, &job, now).await?;
        } else {
            jobs::end(&mut tx, lease.job_id, State::Done, None, now).await?;
        }
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
        if give_up || job.attempt >= MAX_ATTEMPTS {
            jobs::end(&mut tx, lease.job_id, State::Dead, Some(error), now).await?;
            return tx.commit().await;
        }
        run!(
            tx,
            step,
            "UPDATE jobs
             SET state = 'ready', due = FALSE, error = $2, run_after = $3, woken = FALSE,
                 worker = NULL, lease_until = NULL
             WHERE id = $1",
            lease.job_id.0,
            text(error),
            now.plus_millis(backoff_ms(job.id, job.attempt)).0,
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
        let job = fence(&mut tx, lease, now).await?;
        jobs::put_back(&mut tx, &job, now).await?;
        let sql = "UPDATE jobs SET attempt = attempt - 1 WHERE id = $1";
        run!(tx, step, sql, lease.job_id.0)?;
        tx.commit().await
    }
}

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

/// Notes how far a job is. To be called behind [`fence`]. Getting further counts as a first attempt:
/// a long job may lose any number of workers on its way.
pub(super) async fn progress(tx: &mut Tx, id: JobId, done: Ticks, total: Ticks) -> Result<()> {
    run!(
        tx,
        "note the job's progress",
        "UPDATE jobs
         SET done_ticks = $2, total_ticks = $3,
             attempt = CASE WHEN done_ticks < $2 THEN 1 ELSE attempt END
         WHERE id = $1",
        id.0,
        int(done.0),
        int(total.0),
    )?;
    tx.note(Change::Jobs);
    Ok(())
}
