//! Batches: made, counted, paused, resumed, cancelled.
//!
//! A batch is locked before recordings and jobs are. What it says of its jobs is said of each of
//! their rows in the same transaction, so that a claim has nothing more to look at: jobs of a paused
//! batch are held, and those that were worked on are taken back at their last window.

use sqlx::FromRow;
use uuid::Uuid;

use super::code::{Code, number, text};
use super::engine::Tx;
use super::jobs::{self, Asked};
use super::{Change, Db, Error, Result, recordings};
use crate::batch::{Batch, NewBatch, Progress, State};
use crate::id::{BatchId, RecordingId};
use crate::job::{Job, Kind, Weights};
use crate::time::{Ticks, WallMicros};

const NOT_FOUND: Error = Error::NotFound { what: "batch" };

/// Jobs made in one transaction: others want to write between two of them.
const SLICE: usize = 200;

impl Db {
    /// Makes a batch, and jobs for the first hundreds of these recordings at once. The others are
    /// given back, for [`Self::add_to_batch`].
    ///
    /// # Errors
    /// Those of [`Self::add_to_batch`].
    pub async fn create_batch<'a>(
        &self,
        new: &NewBatch,
        recordings: &'a [RecordingId],
        now: WallMicros,
    ) -> Result<(Batch, &'a [RecordingId])> {
        let step = "make the batch";
        let mut tx = self.begin(step).await?;
        let id = BatchId::new();
        run!(
            tx,
            step,
            "INSERT INTO batches (id, filter, weights, weights_sha256, priority, promote, state,
                                  created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $7)",
            id.0,
            text(&new.filter),
            text(&new.weights.name),
            text(&new.weights.sha256),
            i64::from(new.class.priority()),
            new.promote,
            now.0,
        )?;
        let (first, rest) = recordings.split_at(recordings.len().min(SLICE));
        add_within(&mut tx, id, first, now).await?;
        tx.commit().await?;
        Ok((self.batch(id).await?, rest))
    }

    /// Makes jobs of a batch for these recordings, and tells how many: one that is forgotten by now,
    /// or for which such a job is open, gets none. Jobs of a paused batch wait with the others.
    ///
    /// The oldest should come first. One transaction for some hundreds of them: what was made stays
    /// where the rest fails.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such batch; [`Error::Conflict`] where it is cancelled.
    pub async fn add_to_batch(
        &self,
        id: BatchId,
        recordings: &[RecordingId],
        now: WallMicros,
    ) -> Result<u64> {
        let mut added = 0;
        for slice in recordings.chunks(SLICE) {
            let mut tx = self.begin("queue the batch's jobs").await?;
            added += add_within(&mut tx, id, slice, now).await?;
            tx.commit().await?;
        }
        Ok(added)
    }

    /// At most `limit` batches, the newest first; the next page begins after the last one of this
    /// page (`before`).
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn batches(&self, before: Option<BatchId>, limit: u32) -> Result<Vec<Batch>> {
        let rows: Vec<Row> = all!(
            self.pools,
            "list the batches",
            "SELECT * FROM batches WHERE id < $1 ORDER BY id DESC LIMIT $2",
            before.map_or(Uuid::max(), |id| id.0),
            i64::from(limit),
        )?;
        let mut batches = Vec::new();
        for row in rows {
            let counts = self.counts(BatchId(row.id)).await?;
            batches.push(row.read(counts)?);
        }
        Ok(batches)
    }

    /// The batch with this identifier.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn batch(&self, id: BatchId) -> Result<Batch> {
        let sql = "SELECT * FROM batches WHERE id = $1";
        let row: Option<Row> = one!(self.pools, "read the batch", sql, id.0)?;
        row.ok_or(NOT_FOUND)?.read(self.counts(id).await?)
    }

    /// At most `limit` jobs of a batch that are in this state, the oldest first.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn jobs_of_batch(
        &self,
        id: BatchId,
        state: crate::job::State,
        limit: u32,
    ) -> Result<Vec<Job>> {
        let rows: Vec<jobs::Row> = all!(
            self.pools,
            "list the batch's jobs",
            "SELECT * FROM jobs WHERE batch_id = $1 AND state = $2 ORDER BY id LIMIT $3",
            id.0,
            state.code(),
            i64::from(limit),
        )?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// Keeps a batch's jobs from being claimed. Those that are worked on are taken back, and go on
    /// one day where they were. One that is paused stays so.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it is cancelled or done.
    pub async fn pause_batch(&self, id: BatchId, now: WallMicros) -> Result<Batch> {
        let step = "pause the batch";
        let mut tx = self.begin(step).await?;
        match state_within(&mut tx, id).await? {
            State::Paused => {
                drop(tx);
                return self.batch(id).await;
            }
            other => refuse_what_is_over(other)?,
        }
        run!(
            tx,
            step,
            "UPDATE jobs
             SET attempt = CASE WHEN state = 'running' THEN attempt - 1 ELSE attempt END,
                 state = 'ready', due = FALSE, held = TRUE, woken = FALSE, worker = NULL,
                 lease_until = NULL, updated_at = $2
             WHERE batch_id = $1 AND state IN ('ready', 'running')",
            id.0,
            now.0,
        )?;
        self.become_within(tx, id, State::Paused, now).await
    }

    /// Lets a paused batch's jobs be claimed again. One that runs goes on.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it is cancelled or done.
    pub async fn resume_batch(&self, id: BatchId, now: WallMicros) -> Result<Batch> {
        let step = "resume the batch";
        let mut tx = self.begin(step).await?;
        match state_within(&mut tx, id).await? {
            State::Running => {
                drop(tx);
                return self.batch(id).await;
            }
            other => refuse_what_is_over(other)?,
        }
        run!(
            tx,
            step,
            "UPDATE jobs SET held = FALSE, due = (run_after <= $2), updated_at = $2
             WHERE batch_id = $1 AND state = 'ready' AND held = TRUE",
            id.0,
            now.0,
        )?;
        self.become_within(tx, id, State::Running, now).await
    }

    /// Takes all of a batch's jobs back that are still to be done: their workers' next writes are
    /// refused. One that is cancelled stays so.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it is done.
    pub async fn cancel_batch(&self, id: BatchId, now: WallMicros) -> Result<Batch> {
        let step = "cancel the batch";
        let mut tx = self.begin(step).await?;
        match state_within(&mut tx, id).await? {
            State::Cancelled => {
                drop(tx);
                return self.batch(id).await;
            }
            State::Done => refuse_what_is_over(State::Done)?,
            State::Running | State::Paused => {}
        }
        run!(
            tx,
            step,
            "UPDATE jobs
             SET state = 'cancelled', due = FALSE, held = FALSE, woken = FALSE, worker = NULL,
                 lease_until = NULL, updated_at = $2
             WHERE batch_id = $1 AND state IN ('ready', 'running')",
            id.0,
            now.0,
        )?;
        self.become_within(tx, id, State::Cancelled, now).await
    }

    /// Notes the batch's state, commits, and reads what has become of it.
    async fn become_within(
        &self,
        mut tx: Tx,
        id: BatchId,
        state: State,
        now: WallMicros,
    ) -> Result<Batch> {
        run!(
            tx,
            "note the batch's state",
            "UPDATE batches SET state = $2, updated_at = $3 WHERE id = $1",
            id.0,
            state.code(),
            now.0,
        )?;
        tx.note(Change::Jobs);
        tx.commit().await?;
        self.batch(id).await
    }

    /// How many of a batch's jobs are in each state, and how much audio.
    async fn counts(&self, id: BatchId) -> Result<Vec<Count>> {
        all!(
            self.pools,
            "count the batch's jobs",
            "SELECT state, COUNT(*) AS jobs, CAST(SUM(total_ticks) AS BIGINT) AS total,
                    CAST(SUM(CASE WHEN state = 'done' THEN total_ticks ELSE done_ticks END)
                         AS BIGINT) AS done
             FROM jobs WHERE batch_id = $1 GROUP BY state",
            id.0,
        )
    }
}

fn refuse_what_is_over(state: State) -> Result<()> {
    match state {
        State::Running | State::Paused => Ok(()),
        State::Cancelled => Err(Error::conflict("the batch is cancelled")),
        State::Done => Err(Error::conflict("the batch is done")),
    }
}

/// Where the batch stands, and nobody else's to change until the transaction ends.
pub(super) async fn state_within(tx: &mut Tx, id: BatchId) -> Result<State> {
    let step = "read the batch";
    let row: Option<Row> = locked!(tx, step, "SELECT * FROM batches WHERE id = $1", id.0)?;
    let state = State::parse(&row.ok_or(NOT_FOUND)?.state)?;
    let sql = "SELECT COUNT(*) FROM jobs WHERE batch_id = $1 AND state IN ('ready', 'running')";
    let open: Option<(i64,)> = one!(tx, step, sql, id.0)?;
    Ok(seen(state, open.map_or(0, |(open,)| open) > 0))
}

/// A batch that is not cancelled is done once nothing of it is open.
fn seen(state: State, is_open: bool) -> State {
    match state {
        State::Running | State::Paused if !is_open => State::Done,
        state => state,
    }
}

async fn add_within(
    tx: &mut Tx,
    id: BatchId,
    recordings: &[RecordingId],
    now: WallMicros,
) -> Result<u64> {
    let row: Option<Row> =
        locked!(tx, "read the batch", "SELECT * FROM batches WHERE id = $1", id.0)?;
    let row = row.ok_or(NOT_FOUND)?;
    let state = State::parse(&row.state)?;
    if state == State::Cancelled {
        return Err(Error::conflict("the batch is cancelled"));
    }
    let weights = row.weights();
    let asked = Asked {
        kind: Kind::Transcribe,
        priority: number("priority", row.priority)?,
        weights: Some(&weights),
        batch: Some(id),
        held: state == State::Paused,
    };
    let mut added = 0;
    for recording in recordings {
        let recording = match recordings::within(tx, *recording).await {
            Ok(recording) => recording,
            Err(Error::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        if jobs::open_job(tx, asked.kind, recording.id, asked.weights).await?.is_none() {
            jobs::insert(tx, &asked, &recording, now).await?;
            added += 1;
        }
    }
    Ok(added)
}

#[derive(FromRow)]
struct Count {
    state: String,
    jobs: i64,
    total: i64,
    done: i64,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    filter: String,
    weights: String,
    weights_sha256: String,
    priority: i64,
    promote: bool,
    state: String,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn weights(&self) -> Weights {
        Weights { name: self.weights.clone(), sha256: self.weights_sha256.clone() }
    }

    fn read(self, counts: Vec<Count>) -> Result<Batch> {
        let progress = progress(&counts)?;
        Ok(Batch {
            id: BatchId(self.id),
            weights: self.weights(),
            filter: self.filter,
            priority: number("priority", self.priority)?,
            promote: self.promote,
            state: seen(State::parse(&self.state)?, progress.open() > 0),
            created_at: WallMicros(self.created_at),
            updated_at: WallMicros(self.updated_at),
            progress,
        })
    }
}

fn progress(counts: &[Count]) -> Result<Progress> {
    use crate::job::State as Stage;
    let mut progress = Progress::default();
    for count in counts {
        let jobs: u64 = number("count", count.jobs)?;
        let millis = |ticks: i64| number("media time", ticks).map(|ticks| Ticks(ticks).as_millis());
        let (total, done) = (millis(count.total)?, millis(count.done)?);
        progress.total_ms += total;
        match Stage::parse(&count.state)? {
            Stage::Ready => progress.ready = jobs,
            Stage::Running => progress.running = jobs,
            Stage::Done => progress.done = jobs,
            Stage::Dead => progress.failed = jobs,
            Stage::Cancelled => progress.cancelled = jobs,
        }
        match Stage::parse(&count.state)? {
            Stage::Dead | Stage::Cancelled => progress.lost_ms += total,
            Stage::Ready | Stage::Running | Stage::Done => progress.done_ms += done,
        }
    }
    Ok(progress)
}
