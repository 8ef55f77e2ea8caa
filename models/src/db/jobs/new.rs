//! Jobs made, or moved up.

use super::{open_job, sha256};
use crate::db::code::{Code as _, int};
use crate::db::engine::Tx;
use crate::db::{Change, Error, Result, queue};
use crate::id::{BatchId, JobId};
use crate::job::{Class, Job, Kind, State, Weights};
use crate::recording::Recording;
use crate::time::WallMicros;

/// The open job of this kind for this recording that asks for no weights, or a new one.
pub(in crate::db) async fn enqueue_within(
    tx: &mut Tx,
    kind: Kind,
    class: Class,
    recording: &Recording,
    now: WallMicros,
) -> Result<JobId> {
    if let Some(open) = open_job(tx, kind, recording.id, None).await? {
        if open.state == State::Ready && open.priority < class.priority() {
            move_up(tx, &open, class, now).await?;
        }
        return Ok(open.id);
    }
    let asked = Asked { kind, priority: class.priority(), ..Asked::default() };
    insert(tx, &asked, recording, now).await
}

/// What a new job is to be.
#[derive(Debug, Clone, Copy)]
pub(in crate::db) struct Asked<'a> {
    pub(in crate::db) kind: Kind,
    pub(in crate::db) priority: i16,
    pub(in crate::db) weights: Option<&'a Weights>,
    pub(in crate::db) batch: Option<BatchId>,
    pub(in crate::db) held: bool,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        let (kind, priority) = (Kind::Transcribe, Class::Fresh.priority());
        Self { kind, priority, weights: None, batch: None, held: false }
    }
}

/// Makes a job. None like it may be open.
pub(in crate::db) async fn insert(
    tx: &mut Tx,
    asked: &Asked<'_>,
    recording: &Recording,
    now: WallMicros,
) -> Result<JobId> {
    let step = "make the job";
    let Asked { kind, priority, weights, batch, held } = *asked;
    let host: Option<(String,)> = one!(
        tx,
        step,
        "SELECT CASE WHEN host = '' THEN slug ELSE host END FROM rooms WHERE id = $1",
        recording.room_id.0,
    )?;
    let (host,) = host.ok_or(Error::NotFound { what: "room" })?;
    let place = queue::place(tx, kind, priority, &host, sha256(weights)).await?;
    let id = JobId::new();
    run!(
        tx,
        step,
        "INSERT INTO jobs (id, kind, recording_id, host, state, due, held, priority, turn,
                           run_after, total_ticks, weights, weights_sha256, batch_id, created_at,
                           updated_at)
         VALUES ($1, $2, $3, $4, 'ready', $5, $6, $7, $8, $9, $10, $11, $12, $13, $9, $9)",
        id.0,
        kind.code(),
        recording.id.0,
        host,
        !held,
        held,
        i64::from(priority),
        place.tail(),
        now.0,
        int(recording.duration.0),
        weights.map_or("", |weights| &weights.name),
        sha256(weights),
        batch.map(|batch| batch.0),
    )?;
    tx.note(Change::Jobs);
    Ok(id)
}

/// Puts a waiting job into a more urgent class. One that waits to be tried again goes on waiting.
async fn move_up(tx: &mut Tx, job: &Job, class: Class, now: WallMicros) -> Result<()> {
    let sha256 = sha256(job.weights.as_ref());
    let place = queue::place(tx, job.kind, class.priority(), &job.host, sha256).await?;
    run!(
        tx,
        "move the job up",
        "UPDATE jobs SET priority = $2, turn = $3, updated_at = $4 WHERE id = $1",
        job.id.0,
        i64::from(class.priority()),
        place.tail(),
        now.0,
    )?;
    tx.note(Change::Jobs);
    Ok(())
}
