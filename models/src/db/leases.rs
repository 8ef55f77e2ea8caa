//! Leases: claim, keep, finish, fail, give back, and the fence every write of a job goes through.
//!
//! A claim raises the job's token. [`fence`] matches nothing once the job is another's. An expired
//! lease may be taken over but, until it is, its holder may still go on.

use super::code::{Code, int};
use super::engine::Tx;
use super::jobs::Row;
use super::{Change, Db, Error, Result};
use crate::id::JobId;
use crate::job::{Job, Kind, Lease, MAX_ATTEMPTS, State, backoff_ms};
use crate::time::{Ticks, WallMicros};

const _: () = assert!(Kind::NAMES.len() == 2, "the claim's query names two kinds");

impl Db {
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
        // An engine on which writers do not queue adds FOR UPDATE SKIP LOCKED to the inner SELECT.
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
             SET state = 'running', attempt = attempt + 1, token = token + 1, woken = FALSE,
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
             SET state = CASE WHEN woken = TRUE THEN 'ready' ELSE 'done' END,
                 run_after = CASE WHEN woken = TRUE THEN $2 ELSE run_after END,
                 attempt = CASE WHEN woken = TRUE THEN 0 ELSE attempt END,
                 woken = FALSE, worker = NULL, lease_until = NULL, error = NULL
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
             SET state = $2, error = $3, run_after = $4, woken = FALSE, worker = NULL,
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
             SET state = 'ready', attempt = attempt - 1, woken = FALSE, worker = NULL,
                 lease_until = NULL
             WHERE id = $1",
            lease.job_id.0,
        )?;
        tx.note(Change::Jobs);
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
