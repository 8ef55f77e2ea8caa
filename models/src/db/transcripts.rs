//! Transcripts: versions of a recording's words.

use sqlx::FromRow;
use uuid::Uuid;

use super::code::{Code, number, ticks};
use super::engine::Tx;
use super::jobs::CostRow;
use super::{Change, Db, Error, Result, leases, recordings};
use crate::id::{RecordingId, TranscriptId};
use crate::job::{Job, Lease};
use crate::time::{Span, Ticks, WallMicros};
use crate::transcript::{Coverage, MadeBy, State, Transcript};

const NOT_FOUND: Error = Error::NotFound { what: "transcript" };

impl Db {
    /// Begins or resumes the version of a recording's words that the job works on.
    ///
    /// `live`: version 0, as far as it is (what made its first words is what it says it was made
    /// by); shown to people at once where no version is. Else the version from 1 on that is running
    /// and was made by the same, or the next one: a running one made by something else is given up,
    /// unless another job of the recording waits that may go on with it.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; [`Error::Conflict`] where the job is another recording's.
    pub async fn begin_transcript(
        &self,
        lease: &Lease,
        recording: RecordingId,
        live: bool,
        made_by: &MadeBy,
        now: WallMicros,
    ) -> Result<Transcript> {
        let mut tx = self.begin("begin the transcript").await?;
        // Two jobs of a recording must not both find that no version of its words is shown.
        lock_recording_of(&mut tx, lease).await?;
        let job = leases::fence(&mut tx, lease, now).await?;
        if job.recording_id != recording {
            return Err(Error::conflict("the job is another recording's"));
        }
        let known = versions(&mut tx, recording).await?;
        let transcript = if live {
            let promote = !known.iter().any(|version| version.promoted);
            match known.into_iter().find(|version| version.version == 0) {
                Some(version) => reopen(&mut tx, version.id, promote).await?,
                None => insert(&mut tx, recording, 0, promote, made_by, now).await?,
            }
        } else {
            next_version(&mut tx, &job, known, made_by, now).await?
        };
        tx.note(Change::Recording(recording));
        tx.commit().await?;
        Ok(transcript)
    }

    /// Finishes a transcript: it never changes again. From version 1 on it becomes the one that
    /// people are shown, unless they are shown a later one or the job's batch is only to make it. One
    /// that is finished already stays as it is.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; [`Error::NotFound`] where the job's recording has no such transcript;
    /// [`Error::Conflict`] where it was given up.
    pub async fn complete_transcript(
        &self,
        lease: &Lease,
        transcript: TranscriptId,
        now: WallMicros,
    ) -> Result<()> {
        let step = "finish the transcript";
        let mut tx = self.begin(step).await?;
        lock_recording_of(&mut tx, lease).await?;
        let current = fenced(&mut tx, lease, transcript, now).await?;
        let shown = shown_in_its_place(&mut tx, lease, &current).await?;
        match current.state {
            State::Complete => return Ok(()),
            State::Failed => return Err(Error::conflict("the transcript was given up")),
            State::Running => {}
        }
        let promoted = current.promoted || shown;
        if promoted {
            run!(
                tx,
                step,
                "UPDATE transcripts SET promoted = FALSE WHERE recording_id = $1",
                current.recording_id.0,
            )?;
        }
        run!(
            tx,
            step,
            "UPDATE transcripts SET state = 'complete', promoted = $2, completed_at = $3
             WHERE id = $1",
            transcript.0,
            promoted,
            now.0,
        )?;
        tx.note(Change::Recording(current.recording_id));
        tx.commit().await
    }

    /// Makes a version that is complete the one that people are shown. Rolling back is showing an
    /// older one. The one that is shown already stays so.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such recording or version; [`Error::Conflict`] where
    /// the version is not complete.
    pub async fn promote_transcript(
        &self,
        recording: RecordingId,
        version: u32,
    ) -> Result<Transcript> {
        let step = "show the version";
        let mut tx = self.begin(step).await?;
        recordings::within(&mut tx, recording).await?;
        let known = versions(&mut tx, recording).await?;
        let wanted = known.into_iter().find(|known| known.version == version);
        let wanted = wanted.ok_or(NOT_FOUND)?;
        let why_not = match wanted.state {
            State::Running => Some("is still being made"),
            State::Failed => Some("was given up"),
            State::Complete => None,
        };
        if let Some(why) = why_not {
            return Err(Error::conflict(format!("version {version} {why}")));
        }
        if wanted.promoted {
            return Ok(wanted);
        }
        let sql = "UPDATE transcripts SET promoted = FALSE WHERE recording_id = $1";
        run!(tx, step, sql, recording.0)?;
        let sql = "UPDATE transcripts SET promoted = TRUE WHERE id = $1";
        run!(tx, step, sql, wanted.id.0)?;
        tx.note(Change::Recording(recording));
        tx.commit().await?;
        Ok(Transcript { promoted: true, ..wanted })
    }

    /// All versions of a recording's words, the oldest first.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn transcripts(&self, recording: RecordingId) -> Result<Vec<Transcript>> {
        let rows: Vec<Row> = all!(self.pools, "list the transcripts", VERSIONS, recording.0)?;
        rows.into_iter().map(Transcript::try_from).collect()
    }

    /// One version of a recording's words; `None`: the one that people are shown.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn transcript_version(
        &self,
        recording: RecordingId,
        version: Option<u32>,
    ) -> Result<Option<Transcript>> {
        let row: Option<Row> = one!(
            self.pools,
            "read the transcript",
            "SELECT * FROM transcripts
             WHERE recording_id = $1
               AND (version = $2 OR ($2 IS NULL AND promoted = TRUE))",
            recording.0,
            version.map(i64::from),
        )?;
        row.map(Transcript::try_from).transpose()
    }
}

const VERSIONS: &str = "SELECT * FROM transcripts WHERE recording_id = $1 ORDER BY version";

async fn versions(tx: &mut Tx, recording: RecordingId) -> Result<Vec<Transcript>> {
    let rows: Vec<Row> = all!(tx, "list the transcripts", VERSIONS, recording.0)?;
    rows.into_iter().map(Transcript::try_from).collect()
}

/// Locks the recording of a job. Recordings are locked before jobs, and of which recording a job is
/// never changes.
async fn lock_recording_of(tx: &mut Tx, lease: &Lease) -> Result<()> {
    let recording: Option<(Uuid,)> = locked!(
        tx,
        "find the job's recording",
        "SELECT id FROM recordings WHERE id = (SELECT recording_id FROM jobs WHERE id = $1)",
        lease.job_id.0,
    )?;
    recording.map(drop).ok_or(Error::LeaseLost)
}

/// The transcript, where the lease holds and it is of the job's recording. Nobody else changes it
/// until the transaction ends.
pub(super) async fn fenced(
    tx: &mut Tx,
    lease: &Lease,
    transcript: TranscriptId,
    now: WallMicros,
) -> Result<Transcript> {
    let job = leases::fence(tx, lease, now).await?;
    let row: Option<Row> = locked!(
        tx,
        "read the transcript",
        "SELECT * FROM transcripts WHERE id = $1 AND recording_id = $2",
        transcript.0,
        job.recording_id.0,
    )?;
    row.ok_or(NOT_FOUND)?.try_into()
}

/// Whether people are to be shown this version, once it is finished, instead of what they are shown.
async fn shown_in_its_place(tx: &mut Tx, lease: &Lease, version: &Transcript) -> Result<bool> {
    let against: Option<(i64,)> = one!(
        tx,
        "see what people are shown",
        "SELECT CAST(1 AS BIGINT)
         WHERE EXISTS (SELECT 1 FROM transcripts
                       WHERE recording_id = $1 AND promoted = TRUE AND version > $2)
            OR EXISTS (SELECT 1 FROM jobs JOIN batches ON batches.id = jobs.batch_id
                       WHERE jobs.id = $3 AND batches.promote = FALSE)",
        version.recording_id.0,
        i64::from(version.version),
        lease.job_id.0,
    )?;
    Ok(version.version >= 1 && against.is_none())
}

async fn next_version(
    tx: &mut Tx,
    job: &Job,
    known: Vec<Transcript>,
    made_by: &MadeBy,
    now: WallMicros,
) -> Result<Transcript> {
    let next = known.last().map_or(1, |last| last.version.saturating_add(1));
    let step = "give the older transcript up";
    let mut running = known.into_iter().filter(|v| v.version >= 1 && v.state == State::Running);
    if let Some(ours) = running.find(|version| version.made_by == *made_by) {
        return Ok(ours);
    }
    run!(
        tx,
        step,
        "UPDATE transcripts SET state = 'failed'
         WHERE recording_id = $1 AND version >= 1 AND state = 'running'
           AND NOT EXISTS (SELECT 1 FROM jobs
                           WHERE recording_id = $1 AND kind = $2 AND id <> $3
                             AND state IN ('ready', 'running'))",
        job.recording_id.0,
        job.kind.code(),
        job.id.0,
    )?;
    run!(
        tx,
        step,
        "DELETE FROM windows_ahead
         WHERE transcript_id IN (SELECT id FROM transcripts
                                 WHERE recording_id = $1 AND state = 'failed')",
        job.recording_id.0,
    )?;
    insert(tx, job.recording_id, next, false, made_by, now).await
}

async fn insert(
    tx: &mut Tx,
    recording: RecordingId,
    version: u32,
    promoted: bool,
    made_by: &MadeBy,
    now: WallMicros,
) -> Result<Transcript> {
    let row: Option<Row> = one!(
        tx,
        "begin the transcript",
        "INSERT INTO transcripts (id, recording_id, version, state, promoted, engine, weights,
                                  weights_sha256, parameters, created_at)
         VALUES ($1, $2, $3, 'running', $4, $5, $6, $7, $8, $9)
         RETURNING *",
        TranscriptId::new().0,
        recording.0,
        i64::from(version),
        promoted,
        &made_by.engine,
        &made_by.weights,
        &made_by.weights_sha256,
        made_by.parameters.to_string(),
        now.0,
    )?;
    row.ok_or(NOT_FOUND)?.try_into()
}

/// Live captions go on for as long as their job may be claimed.
async fn reopen(tx: &mut Tx, id: TranscriptId, promote: bool) -> Result<Transcript> {
    let row: Option<Row> = one!(
        tx,
        "resume the live captions",
        "UPDATE transcripts
         SET state = 'running', completed_at = NULL,
             promoted = CASE WHEN $2 = TRUE THEN TRUE ELSE promoted END
         WHERE id = $1
         RETURNING *",
        id.0,
        promote,
    )?;
    row.ok_or(NOT_FOUND)?.try_into()
}

/// Closes the live captions of a recording that ends.
pub(super) async fn complete_live(
    tx: &mut Tx,
    recording: RecordingId,
    now: WallMicros,
) -> Result<()> {
    run!(
        tx,
        "close the live captions",
        "UPDATE transcripts SET state = 'complete', completed_at = $2
         WHERE recording_id = $1 AND version = 0 AND state = 'running'",
        recording.0,
        now.0,
    )?;
    Ok(())
}

/// Spans as a row has them: `[[start, end], …]` in ticks.
pub(super) fn write_spans(spans: &[Span]) -> String {
    let pairs: Vec<[u64; 2]> = spans.iter().map(|span| [span.start.0, span.end.0]).collect();
    serde_json::json!(pairs).to_string()
}

fn read_spans(json: &str) -> Result<Vec<Span>> {
    let pairs: Vec<[u64; 2]> = serde_json::from_str(json)
        .map_err(|e| Error::Corrupt { what: format!("speech without words: {e}") })?;
    Ok(pairs.into_iter().map(|[start, end]| Span::new(Ticks(start), Ticks(end))).collect())
}

#[derive(FromRow)]
pub(super) struct Row {
    id: Uuid,
    recording_id: Uuid,
    version: i64,
    state: String,
    promoted: bool,
    engine: String,
    weights: String,
    weights_sha256: String,
    parameters: String,
    covered_ticks: i64,
    speech_ticks: i64,
    bare: String,
    #[sqlx(flatten)]
    cost: CostRow,
    created_at: i64,
    completed_at: Option<i64>,
}

impl TryFrom<Row> for Transcript {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let parameters = serde_json::from_str(&row.parameters)
            .map_err(|e| Error::Corrupt { what: format!("parameters of a transcript: {e}") })?;
        Ok(Self {
            id: TranscriptId(row.id),
            recording_id: RecordingId(row.recording_id),
            version: number("version", row.version)?,
            state: State::parse(&row.state)?,
            promoted: row.promoted,
            made_by: MadeBy {
                engine: row.engine,
                weights: row.weights,
                weights_sha256: row.weights_sha256,
                parameters,
            },
            covered: ticks(row.covered_ticks)?,
            coverage: Coverage { speech: ticks(row.speech_ticks)?, bare: read_spans(&row.bare)? },
            cost: row.cost.read()?,
            created_at: WallMicros(row.created_at),
            completed_at: row.completed_at.map(WallMicros),
        })
    }
}
