//! The queue: which job goes next.
//!
//! Jobs of one kind and priority are a queue of their own, in which hosts take turns (start-time
//! fair queueing). A job gets its turn when it is made: behind the host's own jobs, but not before
//! what is being served now. So ten thousand jobs of one host have ten thousand turns one after the
//! other, and another host's first job stands beside the first of them. That costs three index
//! probes at the making, and leaves the claim one: the least turn of the highest priority.
//!
//! A job that comes back unfinished (it failed, was given back, or lost its worker) has had its turn
//! and stands at the head.
//!
//! Two jobs made at the same moment may get the same turn. That moves one of them by one place and
//! is not worth a lock.

use sqlx::FromRow;
use uuid::Uuid;

use super::code::Code;
use super::engine::Tx;
use super::jobs::{self, Row};
use super::{Change, Db, Result};
use crate::id::JobId;
use crate::job::{Job, Kind, Limits, MAX_ATTEMPTS, State};
use crate::time::WallMicros;

const STEP: &str = "find a job to do";

/// Jobs that one claim brings back into the queue at most, of each sort, so that it stays short
/// after a whole site was away.
const SWEEP: usize = 16;

/// Number of an advisory lock on PostgreSQL; one for each kind follows it.
const LIMITED: i64 = 0x726f_6f6d_7461_0000;

const _: () = assert!(Kind::NAMES.len() == 2, "the queries here name two kinds");

/// The turns of a job that is to stand in a queue.
#[derive(Debug, Clone, Copy, FromRow)]
pub(super) struct Place {
    /// Of a job that has had its turn: what is served now.
    pub(super) head: i64,
    /// Behind the host's other jobs.
    behind: i64,
}

impl Place {
    /// Of a job that is new.
    pub(super) fn tail(self) -> i64 {
        self.head.max(self.behind)
    }
}

/// Where a host's job may stand.
pub(super) async fn place(tx: &mut Tx, kind: Kind, priority: i16, host: &str) -> Result<Place> {
    // Where nobody waits, what is served now is what was begun last.
    let place: Option<Place> = one!(
        tx,
        "give the job a turn",
        "SELECT COALESCE(
                    (SELECT turn FROM jobs
                     WHERE kind = $1 AND priority = $2 AND due = TRUE
                     ORDER BY turn LIMIT 1),
                    (SELECT turn FROM jobs
                     WHERE kind = $1 AND priority = $2 AND state = 'running'
                     ORDER BY turn DESC LIMIT 1),
                    0) AS head,
                COALESCE(
                    (SELECT turn + 1 FROM jobs
                     WHERE kind = $1 AND priority = $2 AND host = $3
                       AND state IN ('ready', 'running')
                     ORDER BY turn DESC LIMIT 1),
                    0) AS behind",
        kind.code(),
        i64::from(priority),
        host,
    )?;
    Ok(place.unwrap_or(Place { head: 0, behind: 0 }))
}

/// What there is to be had.
#[derive(Debug, Clone, Copy, FromRow)]
pub(super) struct Sight {
    /// Priority of the live job that goes next.
    live: Option<i64>,
    /// Priority of the other job that goes next.
    whole: Option<i64>,
    /// A waiting job's time has come, or a lease has run out.
    late: bool,
}

impl Sight {
    pub(super) fn is_nothing(self) -> bool {
        self.live.is_none() && self.whole.is_none() && !self.late
    }

    /// The kinds there are, the most urgent first.
    fn kinds(self) -> impl Iterator<Item = Kind> {
        let mut kinds = [(self.live, Kind::TranscribeLive), (self.whole, Kind::Transcribe)];
        kinds.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        kinds.into_iter().filter(|(priority, _)| priority.is_some()).map(|(_, kind)| kind)
    }
}

const LOOK: &str = "SELECT
        (SELECT priority FROM jobs WHERE kind = $1 AND due = TRUE
         ORDER BY priority DESC, turn, id LIMIT 1) AS live,
        (SELECT priority FROM jobs WHERE kind = $2 AND due = TRUE
         ORDER BY priority DESC, turn, id LIMIT 1) AS whole,
        (EXISTS (SELECT 1 FROM jobs WHERE state = 'ready' AND due = FALSE AND run_after <= $3)
         OR EXISTS (SELECT 1 FROM jobs
                    WHERE state = 'running' AND kind IN ($1, $2) AND lease_until <= $3)) AS late";

/// Looks for jobs of these kinds. Reads only: a worker that finds nothing takes no lock.
pub(super) async fn look(db: &Db, kinds: &[Kind], now: WallMicros) -> Result<Sight> {
    let [live, whole] = wanted(kinds);
    let sight: Option<Sight> = one!(db.pools, STEP, LOOK, live, whole, now.0)?;
    Ok(sight.unwrap_or(Sight { live: None, whole: None, late: false }))
}

/// A kind's name, where it is wanted; else nothing has it.
fn wanted(kinds: &[Kind]) -> [Option<&'static str>; 2] {
    [Kind::TranscribeLive, Kind::Transcribe].map(|kind| kinds.contains(&kind).then(|| kind.code()))
}

/// What a claim came to within its transaction.
pub(super) struct Found {
    /// The job that goes next; nobody else can take it.
    pub(super) id: Option<JobId>,
    /// Other jobs were changed.
    pub(super) swept: bool,
}

/// Finds the job of these kinds that goes next among what [`look`] has seen.
pub(super) async fn find(
    tx: &mut Tx,
    mut sight: Sight,
    kinds: &[Kind],
    limits: Limits,
    now: WallMicros,
) -> Result<Found> {
    let mut found = Found { id: None, swept: false };
    let names = wanted(kinds);
    if sight.late {
        found.swept = raise(tx, now).await? | take_back(tx, names, now).await?;
        let again: Option<Sight> = one!(tx, STEP, LOOK, names[0], names[1], now.0)?;
        sight = again.unwrap_or(sight);
    }
    for kind in sight.kinds() {
        if let Some(most) = limits.of(kind)
            && !has_room(tx, kind, most).await?
        {
            continue;
        }
        let next: Option<(Uuid,)> = first_free!(
            tx,
            STEP,
            "SELECT id FROM jobs WHERE kind = $1 AND due = TRUE
             ORDER BY priority DESC, turn, id LIMIT 1",
            kind.code(),
        )?;
        if let Some((id,)) = next {
            found.id = Some(JobId(id));
            break;
        }
    }
    Ok(found)
}

/// Whether one more of a kind may run. Claims of that kind wait for each other until the transaction
/// ends, so that no two of them take the last place.
async fn has_room(tx: &mut Tx, kind: Kind, most: u32) -> Result<bool> {
    tx.alone(STEP, LIMITED + kind as i64).await?;
    let sql = "SELECT COUNT(*) FROM jobs WHERE kind = $1 AND state = 'running'";
    let running: Option<(i64,)> = one!(tx, STEP, sql, kind.code())?;
    Ok(running.is_none_or(|(running,)| running < i64::from(most)))
}

/// Lets waiting jobs whose time has come be claimed.
async fn raise(tx: &mut Tx, now: WallMicros) -> Result<bool> {
    for raised in 0..SWEEP {
        let row: Option<Row> = first_free!(
            tx,
            STEP,
            "SELECT * FROM jobs WHERE state = 'ready' AND due = FALSE AND run_after <= $1
             ORDER BY run_after LIMIT 1",
            now.0,
        )?;
        let Some(row) = row else { return Ok(raised > 0) };
        jobs::put_back(tx, &Job::try_from(row)?, now).await?;
    }
    Ok(true)
}

/// Takes jobs of the wanted kinds from workers that gave no sign of life. One that was claimed
/// [`MAX_ATTEMPTS`] times and got nowhere is dead: it kills its workers.
async fn take_back(tx: &mut Tx, [a, b]: [Option<&str>; 2], now: WallMicros) -> Result<bool> {
    for taken in 0..SWEEP {
        let row: Option<Row> = first_free!(
            tx,
            STEP,
            "SELECT * FROM jobs
             WHERE state = 'running' AND kind IN ($1, $2) AND lease_until <= $3 LIMIT 1",
            a,
            b,
            now.0,
        )?;
        let Some(row) = row else { return Ok(taken > 0) };
        let job = Job::try_from(row)?;
        if job.attempt < MAX_ATTEMPTS {
            jobs::put_back(tx, &job, now).await?;
        } else {
            jobs::end(tx, job.id, State::Dead, Some(LOST), now).await?;
        }
        tx.note(Change::Jobs);
    }
    Ok(true)
}

/// Why a job that kills its workers is dead.
const LOST: &str = "the worker was lost; so were those before it";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looking_for_a_job_is_a_handful_of_index_probes() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("room.db").display());
        let db = Db::open(&url).await.unwrap();
        let explain = || sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {LOOK}"));
        let [live, whole] = wanted(&[Kind::TranscribeLive, Kind::Transcribe]);
        let plan: Vec<(i64, i64, i64, String)> =
            all!(db.pools, "explain", explain(), live, whole, 1_i64).unwrap();
        let steps: Vec<_> = plan.iter().map(|(.., step)| step.as_str()).collect();
        for index in ["jobs_to_claim", "jobs_waiting", "jobs_leased"] {
            assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:?}");
        }
        let slow = |step: &&str| step.contains("SCAN jobs") || step.contains("TEMP B-TREE");
        assert!(!steps.iter().any(slow), "{steps:?}");
    }
}
