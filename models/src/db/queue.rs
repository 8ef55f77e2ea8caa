//! The queue: which job goes next.
//!
//! Jobs of one kind and priority that ask for the same weights (or for none) are a queue of their
//! own, in which hosts take turns (start-time fair queueing). A job gets its turn when it is made: behind the host's own jobs, but not before
//! what is being served now. So ten thousand jobs of one host have ten thousand turns one after the
//! other, and another host's first job stands beside the first of them. That costs three index
//! probes at the making, and leaves the claim one a queue: the least turn of the highest priority. A
//! worker looks at two queues of whole recordings, that of its own weights and that of any, and takes
//! the better of the two. They have one scale of turns, because a queue that was empty begins with
//! what is being worked on in all of them; but one that nobody serves keeps only its own waiting.
//!
//! Of one recording and kind at most one job runs: the others, with other weights, are passed over.
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
pub(super) async fn place(
    tx: &mut Tx,
    kind: Kind,
    priority: i16,
    host: &str,
    weights_sha256: &str,
) -> Result<Place> {
    // Where nobody waits, what is served now is what was begun last.
    let place: Option<Place> = one!(
        tx,
        "give the job a turn",
        "SELECT COALESCE(
                    (SELECT turn FROM jobs
                     WHERE kind = $1 AND weights_sha256 = $4 AND priority = $2 AND due = TRUE
                     ORDER BY turn LIMIT 1),
                    (SELECT turn FROM jobs
                     WHERE kind = $1 AND priority = $2 AND state = 'running'
                     ORDER BY turn DESC LIMIT 1),
                    0) AS head,
                COALESCE(
                    (SELECT turn + 1 FROM jobs
                     WHERE kind = $1 AND priority = $2 AND host = $3 AND weights_sha256 = $4
                       AND state IN ('ready', 'running')
                     ORDER BY turn DESC LIMIT 1),
                    0) AS behind",
        kind.code(),
        i64::from(priority),
        host,
        weights_sha256,
    )?;
    Ok(place.unwrap_or(Place { head: 0, behind: 0 }))
}

/// Who looks for a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeker<'a> {
    /// What it can do.
    pub(super) kinds: &'a [Kind],
    /// SHA-256 of its weights; `None`: it does nothing that asks for any.
    pub(super) weights: Option<&'a str>,
    /// It does nothing but what asks for its weights.
    pub(super) only_asked: bool,
}

impl<'a> Seeker<'a> {
    /// Kind and weights of each of the three queues, where they are wanted; else nothing has them.
    fn queues(&self) -> [Option<(Kind, &'a str)>; 3] {
        let can = |kind| self.kinds.contains(&kind);
        [
            (can(Kind::TranscribeLive) && !self.only_asked).then_some((Kind::TranscribeLive, "")),
            (can(Kind::Transcribe) && !self.only_asked).then_some((Kind::Transcribe, "")),
            self.weights
                .filter(|_| can(Kind::Transcribe))
                .map(|weights| (Kind::Transcribe, weights)),
        ]
    }

    /// A kind's name, where it is wanted; else nothing has it.
    fn kind(&self, kind: Kind) -> Option<&'static str> {
        self.kinds.contains(&kind).then(|| kind.code())
    }
}

/// The job that goes next in one of a seeker's queues, or, with [`LATE`] as its queue, that a waiting
/// job's time has come or a lease has run out.
#[derive(Debug, Clone, Copy, FromRow)]
struct Next {
    queue: i64,
    priority: i64,
    turn: i64,
}

const LATE: i64 = 3;

/// What there is to be had.
#[derive(Debug, Clone)]
pub(super) struct Sight(Vec<Next>);

impl Sight {
    pub(super) fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    fn is_late(&self) -> bool {
        self.0.iter().any(|next| next.queue == LATE)
    }

    /// The queues that have something, the one with what goes next first.
    fn queues<'a>(&self, seeker: &Seeker<'a>) -> impl Iterator<Item = (Kind, &'a str)> {
        let all = seeker.queues();
        let mut found: Vec<_> = self.0.iter().filter(|next| next.queue != LATE).collect();
        // Live words and whole recordings have turns of their own.
        found.sort_by_key(|n| (std::cmp::Reverse(n.priority), n.queue.min(1), n.turn, n.queue));
        let queues = found.into_iter().filter_map(move |next| {
            usize::try_from(next.queue).ok().and_then(|queue| all.get(queue).copied()).flatten()
        });
        queues.collect::<Vec<_>>().into_iter()
    }
}

const LOOK: &str = "SELECT * FROM (
        SELECT CAST(0 AS BIGINT) AS queue, priority, turn FROM jobs
        WHERE kind = $1 AND weights_sha256 = '' AND due = TRUE
        ORDER BY priority DESC, turn, id LIMIT 1) AS live
    UNION ALL
    SELECT * FROM (
        SELECT CAST(1 AS BIGINT) AS queue, priority, turn FROM jobs
        WHERE kind = $2 AND weights_sha256 = '' AND due = TRUE
          AND NOT EXISTS (SELECT 1 FROM jobs AS other
                          WHERE other.recording_id = jobs.recording_id
                            AND other.kind = jobs.kind AND other.state = 'running')
        ORDER BY priority DESC, turn, id LIMIT 1) AS whole
    UNION ALL
    SELECT * FROM (
        SELECT CAST(2 AS BIGINT) AS queue, priority, turn FROM jobs
        WHERE kind = $3 AND weights_sha256 = $4 AND due = TRUE
          AND NOT EXISTS (SELECT 1 FROM jobs AS other
                          WHERE other.recording_id = jobs.recording_id
                            AND other.kind = jobs.kind AND other.state = 'running')
        ORDER BY priority DESC, turn, id LIMIT 1) AS asked
    UNION ALL
    SELECT CAST(3 AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT)
    WHERE EXISTS (SELECT 1 FROM jobs
                  WHERE state = 'ready' AND due = FALSE AND held = FALSE AND run_after <= $5)
       OR EXISTS (SELECT 1 FROM jobs
                  WHERE state = 'running' AND kind IN ($6, $7) AND lease_until <= $5)";

/// What a seeker sees, through the pools or within a transaction.
macro_rules! seen {
    ($on:expr, $seeker:expr, $now:expr) => {{
        let [live, whole, asked] = $seeker.queues();
        let code = |queue: Option<(Kind, &str)>| queue.map(|(kind, _)| kind.code());
        all!(
            $on,
            STEP,
            LOOK,
            code(live),
            code(whole),
            code(asked),
            asked.map(|(_, weights)| weights),
            $now.0,
            $seeker.kind(Kind::TranscribeLive),
            $seeker.kind(Kind::Transcribe),
        )
        .map(Sight)
    }};
}

/// Looks for jobs. Reads only: a worker that finds nothing takes no lock.
pub(super) async fn look(db: &Db, seeker: &Seeker<'_>, now: WallMicros) -> Result<Sight> {
    seen!(db.pools, seeker, now)
}

/// What a claim came to within its transaction.
pub(super) struct Found {
    /// The job that goes next; nobody else can take it.
    pub(super) id: Option<JobId>,
    /// Other jobs were changed.
    pub(super) swept: bool,
}

/// Finds the job that goes next among what [`look`] has seen.
pub(super) async fn find(
    tx: &mut Tx,
    mut sight: Sight,
    seeker: &Seeker<'_>,
    limits: Limits,
    now: WallMicros,
) -> Result<Found> {
    let mut found = Found { id: None, swept: false };
    if sight.is_late() {
        found.swept = raise(tx, now).await? | take_back(tx, seeker, now).await?;
        sight = seen!(tx, seeker, now)?;
    }
    for (kind, weights) in sight.queues(seeker) {
        if let Some(most) = limits.of(kind)
            && !has_room(tx, kind, most).await?
        {
            continue;
        }
        let next: Option<(Uuid,)> = first_free!(
            tx,
            STEP,
            "SELECT id FROM jobs
             WHERE kind = $1 AND weights_sha256 = $2 AND due = TRUE
               AND NOT EXISTS (SELECT 1 FROM jobs AS other
                               WHERE other.recording_id = jobs.recording_id
                                 AND other.kind = jobs.kind AND other.state = 'running')
             ORDER BY priority DESC, turn, id LIMIT 1",
            kind.code(),
            weights,
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
            "SELECT * FROM jobs
             WHERE state = 'ready' AND due = FALSE AND held = FALSE AND run_after <= $1
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
async fn take_back(tx: &mut Tx, seeker: &Seeker<'_>, now: WallMicros) -> Result<bool> {
    for taken in 0..SWEEP {
        let row: Option<Row> = first_free!(
            tx,
            STEP,
            "SELECT * FROM jobs
             WHERE state = 'running' AND kind IN ($1, $2) AND lease_until <= $3 LIMIT 1",
            seeker.kind(Kind::TranscribeLive),
            seeker.kind(Kind::Transcribe),
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
        let (live, whole) = (Kind::TranscribeLive.code(), Kind::Transcribe.code());
        let plan: Vec<(i64, i64, i64, String)> =
            all!(db.pools, "explain", explain(), live, whole, whole, "00", 1_i64, live, whole,)
                .unwrap();
        let steps: Vec<_> = plan.iter().map(|(.., step)| step.as_str()).collect();
        let indexes = ["jobs_to_claim", "jobs_waiting", "jobs_leased", "jobs_one_running_a_kind"];
        for index in indexes {
            assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:?}");
        }
        let slow = |step: &&str| step.contains("SCAN jobs") || step.contains("TEMP B-TREE");
        assert!(!steps.iter().any(slow), "{steps:?}");
    }
}
