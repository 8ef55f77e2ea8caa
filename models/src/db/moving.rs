//! A recording taken out of one database and put into another.

use super::code::{Code, int};
use super::engine::Tx;
use super::{
    Change, Db, Error, Result, chunks, edits, jobs, leases, receipts, recordings, rooms, segments,
    speakers, transcripts,
};
use crate::chunk::{Anchor, Chunk, Gap};
use crate::edit::Edit;
use crate::id::RecordingId;
use crate::job::{self, Class, Job};
use crate::receipt::Receipt;
use crate::recording::{Recording, State};
use crate::room::Room;
use crate::speaker::Speaker;
use crate::time::WallMicros;
use crate::transcript::{Segment, Transcript};

/// A recording that is over, with everything that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// Itself.
    pub recording: Recording,
    /// All its chunks in order.
    pub chunks: Vec<Chunk>,
    /// All its gaps in order.
    pub gaps: Vec<Gap>,
    /// All its anchors in order.
    pub anchors: Vec<Anchor>,
    /// All versions of its words, the oldest first, each with its segments.
    pub transcripts: Vec<(Transcript, Vec<Segment>)>,
    /// Its speakers.
    pub speakers: Vec<Speaker>,
    /// All edits of its words, undone ones included.
    pub edits: Vec<Edit>,
    /// All its receipts, the oldest first.
    pub receipts: Vec<Receipt>,
    /// Whether the last of them tells what is there.
    pub is_receipted: bool,
    /// Its jobs, the oldest first.
    pub jobs: Vec<Job>,
}

impl Db {
    /// Everything that is known of a recording that is over.
    ///
    /// `None` where it is not at rest: it is going on, somebody works on it now, or something of it
    /// changed while it was being read.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Query`].
    pub async fn whole(&self, id: RecordingId, now: WallMicros) -> Result<Option<Whole>> {
        let recording = self.recording(id).await?;
        let jobs = self.jobs_of(id).await?;
        let is_worked_on = |job: &Job| job.lease.as_ref().is_some_and(|(_, until)| *until > now);
        if recording.state.is_open() || jobs.iter().any(is_worked_on) {
            return Ok(None);
        }
        let mut transcripts = Vec::new();
        for transcript in self.transcripts(id).await? {
            let words = self.segments(transcript.id, 0).await?;
            transcripts.push((transcript, words));
        }
        let wanted = self.receipt_wanted(id).await?;
        let whole = Whole {
            is_receipted: wanted.changes == 0,
            receipts: self.receipts(id).await?,
            chunks: self.chunks(id).await?,
            gaps: self.gaps(id).await?,
            anchors: self.anchors(id).await?,
            speakers: self.speakers(id).await?,
            edits: self.all_edits(id).await?,
            transcripts,
            // Words are written by jobs only, and whoever claims one changes its row; a chunk that
            // comes late changes its recording's.
            recording: self.recording(id).await?,
            jobs: self.jobs_of(id).await?,
        };
        let at_rest = whole.recording == recording && whole.jobs == jobs;
        Ok(at_rest.then_some(whole))
    }

    /// Puts a recording from another database into this one, all of it in one transaction, and
    /// returns whether it was not there before. Its room has to be there already, and its objects
    /// have to be in the store.
    ///
    /// Jobs that are over come along, though not their batches. In place of one that was still to be done there is a new one,
    /// for which nobody waits; what it had done so far counts.
    ///
    /// # Errors
    /// [`Error::NotFound`] where its room is not there; [`Error::Conflict`] where it is not over.
    pub async fn take_in(&self, whole: &Whole, now: WallMicros) -> Result<bool> {
        let id = whole.recording.id;
        if whole.recording.state.is_open() {
            return Err(Error::conflict("a recording that goes on cannot be moved"));
        }
        let mut tx = self.begin("take the recording in").await?;
        match recordings::within(&mut tx, id).await {
            Ok(_) => return Ok(false),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        rooms::room_within(&mut tx, whole.recording.room_id).await?;
        insert_recording(&mut tx, whole, now).await?;
        for chunk in &whole.chunks {
            chunks::insert_chunk(&mut tx, id, chunk, now).await?;
        }
        chunks::insert_gaps(&mut tx, id, &whole.gaps).await?;
        chunks::insert_anchors(&mut tx, id, &whole.anchors).await?;
        for (transcript, words) in &whole.transcripts {
            insert_transcript(&mut tx, transcript).await?;
            for segment in words {
                segments::insert(&mut tx, transcript.id, segment).await?;
            }
        }
        for speaker in &whole.speakers {
            speakers::put_within(&mut tx, id, speaker).await?;
        }
        for edit in &whole.edits {
            edits::insert(&mut tx, id, edit).await?;
        }
        for receipt in &whole.receipts {
            receipts::insert(&mut tx, id, receipt).await?;
        }
        for job in &whole.jobs {
            insert_job(&mut tx, &whole.recording, job, now).await?;
        }
        tx.note(Change::Recording(id));
        tx.commit().await?;
        Ok(true)
    }

    /// Puts a room from another database into this one and returns whether it was not there before.
    /// One with the same identifier stays as it is.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another room has its short name or its RTP port.
    pub async fn take_room_in(&self, room: &Room) -> Result<bool> {
        match self.room(room.id).await {
            Ok(_) => Ok(false),
            Err(Error::NotFound { .. }) => self.create_room(room).await.map(|()| true),
            Err(error) => Err(error),
        }
    }

    /// Forgets everything about a recording that is over. Its objects are the caller's to remove,
    /// and should be gone before: without its row nobody knows of them.
    ///
    /// One that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is going on.
    pub async fn forget(&self, id: RecordingId) -> Result<()> {
        let step = "forget the recording";
        let mut tx = self.begin(step).await?;
        match recordings::within(&mut tx, id).await {
            Ok(recording) if recording.state.is_open() => {
                return Err(Error::conflict("the recording is going on"));
            }
            Ok(_) => {}
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        // Everything else of it goes with it.
        run!(tx, step, "DELETE FROM recordings WHERE id = $1", id.0)?;
        tx.note(Change::Recording(id));
        tx.note(Change::Jobs);
        tx.commit().await
    }
}

/// The recording as it was, but for duration and size, which its chunks bring.
async fn insert_recording(tx: &mut Tx, whole: &Whole, now: WallMicros) -> Result<()> {
    let row = &whole.recording;
    let takes = whole.chunks.iter().map(|chunk| chunk.take).max().unwrap_or(0);
    run!(
        tx,
        "take the recording in",
        "INSERT INTO recordings
             (id, room_id, title, origin, state, started_at, ended_at, end_reason, channels, source,
              take, takes, unreceipted, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13, $14)",
        row.id.0,
        row.room_id.0,
        &row.title,
        row.origin.code(),
        row.state.code(),
        row.started_at.map(|at| at.0),
        row.ended_at.map(|at| at.0),
        row.end_reason.map(Code::code),
        i64::from(row.channels),
        &row.source,
        i64::from(takes),
        i64::from(!whole.is_receipted),
        row.created_at.0,
        now.0,
    )?;
    Ok(())
}

async fn insert_transcript(tx: &mut Tx, transcript: &Transcript) -> Result<()> {
    let made_by = &transcript.made_by;
    let cost = transcript.cost.clone().unwrap_or_default();
    run!(
        tx,
        "take the transcript in",
        "INSERT INTO transcripts (id, recording_id, version, state, promoted, engine, weights,
                                  weights_sha256, parameters, covered_ticks, created_at,
                                  completed_at, cost_ms, cost_ticks, cost_windows, cost_threads,
                                  cost_device, speech_ticks, bare)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                 $19)",
        transcript.id.0,
        transcript.recording_id.0,
        i64::from(transcript.version),
        transcript.state.code(),
        transcript.promoted,
        &made_by.engine,
        &made_by.weights,
        &made_by.weights_sha256,
        made_by.parameters.to_string(),
        int(transcript.covered.0),
        transcript.created_at.0,
        transcript.completed_at.map(|at| at.0),
        int(cost.wall_ms),
        int(cost.audio.0),
        i64::from(cost.windows),
        i64::from(cost.threads),
        cost.device,
        int(transcript.coverage.speech.0),
        transcripts::write_spans(&transcript.coverage.bare),
    )?;
    Ok(())
}

async fn insert_job(tx: &mut Tx, recording: &Recording, job: &Job, now: WallMicros) -> Result<()> {
    match job.state {
        job::State::Ready | job::State::Running => {
            // A failed import's sound is not offered, so that it needs no words.
            if recording.state == State::Ended {
                let asked = jobs::Asked {
                    kind: job.kind,
                    priority: Class::Batch.priority(),
                    weights: job.weights.as_ref(),
                    ..jobs::Asked::default()
                };
                let id = jobs::insert(tx, &asked, recording, now).await?;
                leases::progress(tx, id, job.done, job.total).await?;
            }
            return Ok(());
        }
        job::State::Done | job::State::Dead | job::State::Cancelled => {}
    }
    let cost = job.cost.clone().unwrap_or_default();
    run!(
        tx,
        "take the job in",
        "INSERT INTO jobs (id, kind, recording_id, host, state, priority, attempt, run_after, token,
                           done_ticks, total_ticks, error, created_at, updated_at, weights,
                           weights_sha256, cost_ms, cost_ticks, cost_windows, cost_threads,
                           cost_device)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                 $19, $20, $21)",
        job.id.0,
        job.kind.code(),
        job.recording_id.0,
        &job.host,
        job.state.code(),
        i64::from(job.priority),
        i64::from(job.attempt),
        job.run_after.0,
        job.token,
        int(job.done.0),
        int(job.total.0),
        job.error.as_deref(),
        job.created_at.0,
        job.updated_at.0,
        job.weights.as_ref().map_or("", |weights| &weights.name),
        job.weights.as_ref().map_or("", |weights| &weights.sha256),
        int(cost.wall_ms),
        int(cost.audio.0),
        i64::from(cost.windows),
        i64::from(cost.threads),
        cost.device,
    )?;
    Ok(())
}
