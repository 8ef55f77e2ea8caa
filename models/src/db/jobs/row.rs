//! A job's row, and what jobs and transcripts cost.

use sqlx::FromRow;
use uuid::Uuid;

use crate::db::code::{Code as _, number, ticks};
use crate::db::{Error, Result};
use crate::id::{BatchId, JobId, RecordingId};
use crate::job::{Cost, Job, Kind, State, Weights};
use crate::time::WallMicros;

#[derive(FromRow)]
pub(in crate::db) struct Row {
    id: Uuid,
    kind: String,
    recording_id: Uuid,
    host: String,
    state: String,
    priority: i64,
    turn: i64,
    attempt: i64,
    run_after: i64,
    worker: Option<String>,
    lease_until: Option<i64>,
    token: i64,
    woken: bool,
    done_ticks: i64,
    total_ticks: i64,
    error: Option<String>,
    weights: String,
    weights_sha256: String,
    batch_id: Option<Uuid>,
    held: bool,
    #[sqlx(flatten)]
    cost: CostRow,
    created_at: i64,
    updated_at: i64,
}

/// What jobs and transcripts cost.
#[derive(FromRow)]
pub(in crate::db) struct CostRow {
    cost_ms: i64,
    cost_ticks: i64,
    cost_windows: i64,
    cost_threads: i64,
    cost_device: String,
}

impl CostRow {
    pub(in crate::db) fn read(self) -> Result<Option<Cost>> {
        let cost = Cost {
            wall_ms: number("cost", self.cost_ms)?,
            audio: ticks(self.cost_ticks)?,
            windows: number("windows", self.cost_windows)?,
            threads: number("threads", self.cost_threads)?,
            device: self.cost_device,
        };
        Ok((cost.wall_ms > 0).then_some(cost))
    }
}

impl TryFrom<Row> for Job {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: JobId(row.id),
            kind: Kind::parse(&row.kind)?,
            recording_id: RecordingId(row.recording_id),
            host: row.host,
            state: State::parse(&row.state)?,
            priority: number("priority", row.priority)?,
            turn: row.turn,
            attempt: number("attempt", row.attempt)?,
            run_after: WallMicros(row.run_after),
            lease: row.worker.zip(row.lease_until.map(WallMicros)),
            token: row.token,
            woken: row.woken,
            done: ticks(row.done_ticks)?,
            total: ticks(row.total_ticks)?,
            error: row.error,
            weights: (!row.weights_sha256.is_empty())
                .then_some(Weights { name: row.weights, sha256: row.weights_sha256 }),
            batch_id: row.batch_id.map(BatchId),
            held: row.held,
            cost: row.cost.read()?,
            created_at: WallMicros(row.created_at),
            updated_at: WallMicros(row.updated_at),
        })
    }
}
